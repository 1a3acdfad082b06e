//! The `cairn` program.
//!
//! `cairn serve` answers MLflow clients over a store; with `--ui` it also serves the interface to a
//! browser on a port of its own. `cairn search` lists what a store holds, `cairn chart`
//! draws it. `cairn backup` and its
//! siblings copy a store's database and put a copy back. `cairn import` brings in what MLflow's file
//! store kept.

mod assets;
mod backup;
mod chart;
mod environments;
mod import;
mod interface;
mod launch;
mod queue;
mod rerun;
mod run;
mod search;
mod serve;
mod target;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

/// Experiments, models and runs on this computer, compatible with MLflow.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a store to MLflow clients on this computer
    Serve(ServeArgs),
    /// Import an mlruns folder of MLflow's file store into a store
    ///
    /// Runs keep their ids. What is in the store already is recognised, so an import that was
    /// stopped goes on when it is started again. Ends with 0 when all came in, 3 when some things
    /// were left out (the report says which and why), 130 when it was stopped, 1 when it failed.
    Import(import::ImportArgs),

    /// Run an MLflow project: a folder, a zip file, or a git repository
    ///
    /// Takes the options of `mlflow run`. Ends with the exit code of the project's command, 1 when the
    /// project or a value is wrong, 2 for wrong options, 130 when it was stopped by Ctrl-C.
    Run(Box<run::RunArgs>),

    /// Run a past run again, and compare the two
    ///
    /// Says first what is put back as it was and what is not known. Ends as the run ends; with --check, with 0 only when
    /// the run was reproduced, exactly or within tolerance.
    Rerun(Box<rerun::RerunArgs>),
    /// Run a project for many values: a grid, random draws, or draws where earlier ones were good
    Sweep(Box<rerun::SweepArgs>),
    /// Run the steps that a project declares in its section pipeline:
    Pipeline(Box<rerun::PipelineArgs>),

    /// What supervisors call
    #[command(subcommand, hide = true)]
    Launch(launch::LaunchCommand),

    /// Print the token of MLflow clients, for MLFLOW_TRACKING_TOKEN; made if there is none
    Token,
    /// The runs that Cairn starts: what is at work, what waits, and stopping them
    Queue(queue::QueueArgs),
    /// Find runs, experiments or models by a filter
    Search(search::SearchArgs),
    /// Draw metrics of runs as SVG or PNG, or write what would be drawn as CSV
    Chart(Box<chart::ChartArgs>),
    /// Run a container to its end, as the child of a launch
    #[command(hide = true)]
    ContainerRun {
        /// What runs, as a launch's preparation wrote it
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// List, prune, remove and remake the environments that projects run in
    Environments(environments::EnvironmentsArgs),
    /// Copy a store's database to a file outside it, also while it is in use
    Backup(StoreArgs),
    /// List the backups of a store, newest first
    Backups(StoreArgs),
    /// Put a backup in the place of a store's database, and keep what was there beside it
    Restore {
        /// Which backup, as `cairn backups` names it [default: the newest]
        #[arg(value_name = "BACKUP")]
        backup: Option<String>,

        #[command(flatten)]
        store: StoreArgs,
    },
}

/// Which store.
#[derive(Debug, Args)]
struct StoreArgs {
    /// The folder of the store, or its mlflow.db [default: the store of the desktop program]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// Which store, and on which ports.
#[derive(Debug, Args)]
struct ServeArgs {
    /// The folder of the store, made if it is missing; or an existing mlflow.db
    /// [default: the store of the desktop program]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,

    /// The port for MLflow clients; 0 takes any free one
    /// [default: this user's usual port, or a free one if it is taken]
    #[arg(long, value_name = "N")]
    port: Option<u16>,

    /// Serve only clients that send the token, whatever the settings say; see `cairn token`
    #[arg(long)]
    require_token: bool,

    /// Serve only for as long as runs need it that Cairn started, whose launches lie below DATA
    #[arg(long, value_name = "DATA", hide = true, conflicts_with = "ui", requires = "port")]
    stand_in: Option<PathBuf>,

    /// Also serve the interface to a browser, and print its link
    #[arg(long)]
    ui: bool,

    /// The port of the interface; 0 takes any free one
    #[arg(long, value_name = "N", default_value_t = 0, requires = "ui")]
    ui_port: u16,
}

fn main() -> ExitCode {
    // A supervisor lives for as long as a run does: nothing of what follows may stay in its memory.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == "launch")
        && arguments.next().is_some_and(|word| word == "supervise")
    {
        return cairn_runtime::supervisor::main(arguments);
    }
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("CAIRN_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .init();
    let done = |outcome: anyhow::Result<()>| outcome.map(|()| ExitCode::SUCCESS);
    let outcome = match cli.command {
        Command::Serve(args) => done(serve::run(args)),
        Command::Run(args) => run::run(*args),
        Command::Rerun(args) => rerun::rerun(*args),
        Command::Sweep(args) => rerun::sweep(*args),
        Command::Pipeline(args) => rerun::pipeline(*args),
        Command::Launch(command) => Ok(launch::run(command)),
        Command::Token => done(serve::print_token()),
        Command::Queue(args) => queue::run(args),
        Command::Search(args) => done(search::run(&args)),
        Command::Chart(args) => done(chart::run(&args)),
        Command::ContainerRun { file } => environments::run_container(&file),
        Command::Environments(args) => environments::run(args),
        Command::Backup(args) => done(backup::take(args.store)),
        Command::Backups(args) => done(backup::list(args.store)),
        Command::Restore { backup, store } => done(backup::restore(store.store, backup.as_deref())),
        Command::Import(args) => import::run(args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
