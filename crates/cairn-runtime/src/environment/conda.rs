//! Conda environments, made by the program `cairn-conda`: only it links the 300 crates that this takes.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::fs;

use crate::error::{Result, RuntimeError};
use crate::process::{Process, ProcessSpec};
use crate::uv::clean_python;
use crate::{CancellationToken, Progress, ToolFolders, programs};

/// The variable that names the program, for tests and for other places.
const PROGRAM_VARIABLE: &str = "CAIRN_CONDA";

/// How many lines of a failure are kept.
const KEPT_LINES: usize = 40;

/// The program.
pub(super) struct Conda {
    program: PathBuf,
}

/// What is to be made, as the program reads it from a file.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    pub channels: &'a [String],
    pub dependencies: &'a [String],
    /// Instead of both: exactly these packages, `url#md5`.
    pub explicit: &'a [String],
    /// Where the environment is made; its files name this place.
    pub prefix: &'a Path,
    /// For downloads, shared by all environments.
    pub cache: &'a Path,
    #[serde(skip)]
    pub work: &'a Path,
}

/// What was made.
#[derive(Debug, Deserialize)]
pub(super) struct Made {
    /// Every package, `url#md5`.
    pub explicit: Vec<String>,
    /// Variables that activating the environment sets.
    #[serde(default)]
    pub variables: Vec<(String, String)>,
}

/// What the program says when it fails.
#[derive(Debug, Deserialize)]
struct Failure {
    message: String,
    /// The channel that could not be read.
    channel: Option<String>,
}

impl Conda {
    /// The program that `CAIRN_CONDA` names, else the one beside this program, else the one on the search path.
    ///
    /// Errors: [`RuntimeError::CondaMissing`] says where it was looked for.
    pub fn find(tools: &ToolFolders) -> Result<Self> {
        let named = std::env::var_os(PROGRAM_VARIABLE).filter(|value| !value.is_empty());
        if let Some(named) = named {
            let program = PathBuf::from(&named);
            if programs::is_executable(&program) {
                return Ok(Self { program });
            }
            return Err(RuntimeError::CondaMissing {
                message: format!(
                    "{PROGRAM_VARIABLE} names {}, which cannot be started",
                    program.display()
                ),
            });
        }
        let own = std::env::current_exe().ok();
        let beside = own.as_deref().and_then(Path::parent).map(|folder| folder.join("cairn-conda"));
        if let Some(program) = beside.clone().filter(|program| programs::is_executable(program)) {
            return Ok(Self { program });
        }
        match programs::find("cairn-conda", &tools.search_path) {
            Some(program) => Ok(Self { program }),
            None => Err(RuntimeError::CondaMissing {
                message: format!(
                    "The project asks for conda packages, and the program cairn-conda that installs them is not there: \
                     looked for {} and on PATH",
                    beside.unwrap_or_default().display()
                ),
            }),
        }
    }

    /// Solves, downloads and links; its lines come through `progress`.
    ///
    /// Errors: [`RuntimeError::ChannelUnreachable`], [`RuntimeError::ToolFailed`], [`RuntimeError::Cancelled`].
    pub async fn make(
        &self,
        request: &Request<'_>,
        progress: Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made> {
        let input = request.work.join("conda-request.json");
        let output = request.work.join("conda-answer.json");
        let text = serde_json::to_vec(request).expect("text is always JSON");
        fs::write(&input, text).await.map_err(RuntimeError::io("writing", &input))?;
        let process = clean_python(ProcessSpec::new(&self.program, request.work))
            .arg("make")
            .arg(&input)
            .arg(&output);
        let (exit, detail) = Process::spawn(&process, cancel)?
            .run_to_end(KEPT_LINES, |line| {
                if !line.trim().is_empty() {
                    progress(line);
                }
            })
            .await;
        if exit.was_cancelled {
            return Err(RuntimeError::Cancelled);
        }
        let answer = fs::read(&output).await.unwrap_or_default();
        if exit.is_success()
            && let Ok(made) = serde_json::from_slice(&answer)
        {
            return Ok(made);
        }
        let what = "Making the conda environment".to_owned();
        Err(match serde_json::from_slice::<Failure>(&answer) {
            Ok(Failure { message, channel: Some(channel) }) => {
                RuntimeError::ChannelUnreachable { channel, detail: message }
            }
            Ok(Failure { message, channel: None }) => {
                RuntimeError::ToolFailed { what, exit: exit.to_string(), detail: message }
            }
            Err(_) => RuntimeError::ToolFailed { what, exit: exit.to_string(), detail },
        })
    }
}
