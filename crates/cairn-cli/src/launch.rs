//! `cairn launch …`: what supervisors and the stand-ins for MLflow's tools call. Not for people.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use cairn_projects::ProjectError;
use cairn_runtime::launch::Launch;
use clap::Subcommand;

/// The steps of a launch.
#[derive(Debug, Subcommand)]
pub enum LaunchCommand {
    /// Make a launch ready
    Prepare {
        /// The launch's folder
        folder: PathBuf,
    },
    /// Keep what belongs to the run of a launch
    Finish {
        /// The launch's folder
        folder: PathBuf,
    },
    /// Submit the launches of a sweep or pipeline, and wait for them
    Coordinate {
        /// The launch's folder
        folder: PathBuf,
    },
    /// Answer a call of the stand-in for conda
    Conda {
        /// The folder for data
        data_dir: PathBuf,
        /// What conda was called with
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Answer a call of the stand-in for pyenv
    Pyenv {
        /// The folder for data
        data_dir: PathBuf,
        /// What pyenv was called with
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

/// Does a step. What it says goes to the log of the launch.
pub fn run(command: LaunchCommand) -> ExitCode {
    match command {
        LaunchCommand::Prepare { folder } => {
            let done = cairn_projects::prepare(&folder, &|text| print(&format!("{text}\n")));
            done.map_or_else(
                |error| {
                    let hint = error.hint();
                    if let Ok(launch) = Launch::open(&folder) {
                        // When that cannot be written either, the exit code and the log have to do.
                        let _ = launch.write_failure(&error.to_string(), hint.as_deref());
                    }
                    failed(&error)
                },
                |()| ExitCode::SUCCESS,
            )
        }
        LaunchCommand::Finish { folder } => {
            answered(cairn_projects::finish(&folder).map(|()| String::new()))
        }
        LaunchCommand::Coordinate { folder } => {
            match cairn_projects::coordinate(&folder, &mut std::io::stdout()) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(error) => failed(&error),
            }
        }
        LaunchCommand::Conda { data_dir, arguments } => {
            answered(cairn_projects::conda(&data_dir, &arguments, &|text| eprintln!("{text}")))
        }
        LaunchCommand::Pyenv { data_dir, arguments } => {
            answered(cairn_projects::pyenv(&data_dir, &arguments))
        }
    }
}

fn answered(answer: Result<String, ProjectError>) -> ExitCode {
    match answer {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &ProjectError) -> ExitCode {
    eprintln!("{error}");
    if let Some(hint) = error.hint() {
        eprintln!("{hint}");
    }
    if let Some(detail) = error.detail() {
        eprintln!("{detail}");
    }
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn print(text: &str) {
    print!("{text}");
    // The log gets a sentence when it is said.
    let _ = std::io::stdout().flush();
}
