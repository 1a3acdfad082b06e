//! Where what the command line starts is recorded: a store, and the address that it is served at.

use std::{net::TcpListener, path::PathBuf};

use anyhow::{Context as _, anyhow};
use cairn_app::{
    AppOptions,
    app::{preferred_port, remember_port, remembered_port, usual_store},
    token::token_of_launches,
};
use cairn_projects::launching::LaunchTarget;
use cairn_runtime::{launch::Launches, serving};
use cairn_store::OpenOptions;

use crate::serve;

/// The store of a command line, served by whoever does so already, else by a stand-in for as long as
/// runs need it.
pub fn of(store: Option<PathBuf>) -> anyhow::Result<LaunchTarget> {
    let options = AppOptions::for_this_user(store.clone()).map_err(|text| anyhow!(text))?;
    let path = store.unwrap_or_else(|| usual_store(&options));
    let path = std::path::absolute(&path).with_context(|| path.display().to_string())?;
    // What is wrong with it is told here, not in the log of a launch.
    drop(serve::open(&path, OpenOptions::Create)?);
    let data_dir = &options.data_dir;
    let port = if let Some(note) = serving::of_store(data_dir, &path).first() {
        note.port
    } else {
        let usual = preferred_port(&options);
        let port = free_port(usual)?;
        if port == usual && remembered_port(&options).is_none() {
            remember_port(&options, port);
        }
        port
    };
    serving::ensure(data_dir, &path, port)?;
    Ok(LaunchTarget {
        launches: Launches::new(data_dir),
        tracking_uri: format!("http://127.0.0.1:{port}"),
        store: Some(path),
        token_file: token_of_launches(&options),
        parent_launch: None,
    })
}

/// The usual port, or one that the system chooses when that is taken.
fn free_port(usual: u16) -> anyhow::Result<u16> {
    let try_port = |port| -> std::io::Result<u16> {
        Ok(TcpListener::bind(("127.0.0.1", port))?.local_addr()?.port())
    };
    try_port(usual).or_else(|_| try_port(0)).context("no port is free on this computer")
}
