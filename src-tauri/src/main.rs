//! The window: a thin host of `cairn-app`.
//!
//! Start reading here for the order of the start: the environment before GTK, then the store and the
//! MLflow port ([`host`]) beside the window ([`window`]). [`commands`] is all that the page can ask,
//! [`scheme`] all that it can load, [`bench`] how the start is measured.

mod bench;
mod commands;
mod environment;
mod host;
mod scheme;
mod window;

use std::{io::IsTerminal as _, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use cairn_app::AppOptions;
use clap::Parser;
use tauri::{AppHandle, RunEvent};
use tokio::sync::SetOnce;
use tracing_subscriber::EnvFilter;

use crate::host::Session;

/// How long open connections and the store's last work may hold up the exit.
const EXIT_LIMIT: Duration = Duration::from_secs(20);

/// Experiment tracking on your own computer, compatible with MLflow.
#[derive(Debug, Parser)]
#[command(name = "cairn-desktop", version)]
struct Arguments {
    /// The store to open: a folder or an mlflow.db; without it, the last one.
    store: Option<PathBuf>,

    /// The same as STORE.
    #[arg(long = "store", value_name = "DIR", conflicts_with = "store")]
    store_option: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    environment::prepare();
    let arguments = Arguments::parse();
    log_to_stderr();
    let options = AppOptions::for_this_user(arguments.store.or(arguments.store_option))
        .map_err(|reason| anyhow!(reason))?;
    if !window::has_display() {
        bail!(
            "There is no display to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set). \
             `cairn serve --ui` shows Cairn in a browser."
        );
    }

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("cairn")
        .enable_all()
        .build()
        .context("The threads of the program could not be started")?;
    tauri::async_runtime::set(runtime.handle().clone());

    let handle = Arc::new(SetOnce::new());
    runtime.spawn(end_on_signal(handle.clone()));

    // The store and the port open while the window is made.
    let session = Arc::new(Session::default());
    runtime.spawn(host::start(session.clone(), options.clone()));

    let context = tauri::generate_context!();
    let shown = session.clone();
    let mut builder = tauri::Builder::default()
        .manage(session.clone())
        .plugin(window::remembered_state(&options))
        .register_asynchronous_uri_scheme_protocol(scheme::NAME, scheme::answer)
        .setup(move |app| {
            window::open(app, &options, &shown)?;
            // Set once: set-up runs once.
            let _ = handle.set(app.handle().clone());
            Ok(())
        });
    // One handler in each case: a second call would replace the first.
    builder = if bench::is_on() {
        builder.invoke_handler(tauri::generate_handler![
            commands::call,
            commands::listen,
            bench::bench_first_table
        ])
    } else {
        builder.invoke_handler(tauri::generate_handler![commands::call, commands::listen])
    };
    let app = builder.build(context).context("The window could not be opened")?;

    let mut runtime = Some(runtime);
    app.run(move |_, event| {
        if let RunEvent::Exit = event
            && let Some(runtime) = runtime.take()
        {
            let stopped =
                runtime.block_on(async { tokio::time::timeout(EXIT_LIMIT, session.stop()).await });
            if stopped.is_err() {
                tracing::warn!("the exit did not wait for all connections");
            }
            runtime.shutdown_timeout(EXIT_LIMIT);
        }
    });
    Ok(())
}

/// Log lines go to stderr; `CAIRN_LOG` chooses them (`debug`, `cairn_store=trace` …).
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("CAIRN_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Closes the program in order on Ctrl-C and SIGTERM, also while it starts; a second signal ends it
/// at once.
async fn end_on_signal(app: Arc<SetOnce<AppHandle>>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::warn!("signals cannot be caught; the window's own close still works");
        return;
    };
    for times in 0.. {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if times > 0 {
            std::process::exit(130);
        }
        let app = app.clone();
        tokio::spawn(async move { app.wait().await.exit(0) });
    }
}
