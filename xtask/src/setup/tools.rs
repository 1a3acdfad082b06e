//! Tools that apt does not have, installed into the cache folder and nowhere else.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::exec;
use crate::steps::Outcome;
use crate::workspace::Workspace;

/// The uv to use: `$CAIRN_UV`, else the one on PATH, else the one in the cache.
pub fn uv(workspace: &Workspace) -> Result<PathBuf> {
    find_uv(workspace).context("uv is not installed; run `cargo xtask setup --tests`")
}

fn find_uv(workspace: &Workspace) -> Option<PathBuf> {
    let named = env::var_os("CAIRN_UV").map(PathBuf::from);
    let on_path = env::var_os("PATH")
        .into_iter()
        .flat_map(|path| env::split_paths(&path).collect::<Vec<_>>())
        .map(|folder| folder.join("uv"));
    let in_cache = workspace.tools().join("uv/bin/uv");
    named.into_iter().chain(on_path).chain([in_cache]).find(|path| path.is_file())
}

/// Makes sure that there is a uv, from PyPI if need be.
pub fn install_uv(workspace: &Workspace) -> Result<Outcome> {
    if let Some(found) = find_uv(workspace) {
        return Ok(Outcome::Skipped(format!("found {}", found.display())));
    }
    let folder = workspace.tools().join("uv");
    fs::create_dir_all(workspace.tools())?;
    exec::run(
        exec::program("python3", &workspace.root).args(["-m", "venv", "--clear"]).arg(&folder),
    )?;
    let pip = folder.join("bin/python");
    exec::run(exec::program(pip, &workspace.root).args(["-m", "pip", "install", "--quiet", "uv"]))?;
    uv(workspace)?;
    Ok(Outcome::Done)
}

/// The WebDriver bridge of the window tests.
pub fn tauri_driver(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("bin/tauri-driver")
}

/// Makes sure that there is a tauri-driver 2.
pub fn install_tauri_driver(workspace: &Workspace) -> Result<Outcome> {
    let path = tauri_driver(workspace);
    if path.is_file() {
        return Ok(Outcome::Skipped(format!("found {}", path.display())));
    }
    // The plain name would install a pre-release of 3.
    exec::run(
        workspace
            .cargo()
            .args(["install", "tauri-driver", "--version", "^2", "--locked", "--root"])
            .arg(workspace.tools()),
    )?;
    Ok(Outcome::Done)
}

/// Whether `cargo nextest` is there; where it is not, tests run by `cargo test`.
pub fn nextest(workspace: &Workspace) -> bool {
    exec::succeeds(workspace.cargo().args(["nextest", "--version"]))
}
