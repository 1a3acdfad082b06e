//! What can go wrong while something is made ready or run.

use std::io;
use std::path::PathBuf;

use crate::environment::SpecProblem;

/// This crate's results.
pub type Result<T, E = RuntimeError> = std::result::Result<T, E>;

/// A failure to make ready or to run something.
///
/// The text of each variant says what failed and for which thing; [`RuntimeError::hint`] says what
/// to do, [`RuntimeError::detail`] holds the last lines of the tool concerned.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Neither uv nor a Python to install it with is on this computer.
    #[error("uv cannot be installed: no python3 was found on PATH")]
    PythonMissing,

    /// Python is there, but cannot make environments; Debian packs that part separately.
    #[error("uv cannot be installed: {python} has no working venv module")]
    VenvModuleMissing {
        /// The Python that was asked.
        python: PathBuf,
        /// The last lines it printed.
        detail: String,
    },

    /// A package index could not be reached.
    #[error("{what} needs the network, and the package index did not answer")]
    NetworkUnavailable {
        /// What was being made, as the subject of a sentence.
        what: String,
        /// The last lines of the tool.
        detail: String,
    },

    /// A tool that makes something ready ended with an error.
    #[error("{what} failed ({exit})")]
    ToolFailed {
        /// What was being made, as the subject of a sentence.
        what: String,
        /// How the tool ended: `exit code 1`, `signal 9`.
        exit: String,
        /// The last lines of the tool.
        detail: String,
    },

    /// A package had to be built from its source, and that failed.
    #[error("{what} failed: the package {package} could not be built")]
    PackageBuildFailed {
        /// What was being made, as the subject of a sentence.
        what: String,
        /// The package, with its version.
        package: String,
        /// The last lines of the tool.
        detail: String,
    },

    /// The Python that is wanted is not on this computer, and could not be downloaded.
    #[error("{wanted} is not on this computer: {there}")]
    PythonVersionMissing {
        /// `Python 3.14`.
        wanted: String,
        /// Which ones are there, as a clause.
        there: String,
        /// The last lines of uv.
        detail: String,
    },

    /// A file that describes an environment has a mistake.
    #[error("{0}")]
    Spec(#[from] SpecProblem),

    /// The program that makes conda environments is not there.
    #[error("{message}")]
    CondaMissing {
        /// Where it was looked for.
        message: String,
    },

    /// A conda channel could not be read.
    #[error("The conda channel {channel} is out of reach")]
    ChannelUnreachable {
        /// The channel, as it was named.
        channel: String,
        /// What was answered.
        detail: String,
    },

    /// Neither Podman nor Docker is there.
    #[error("The project runs in a container, and neither podman nor docker was found on PATH")]
    ContainerToolMissing,

    /// There is no environment of that name.
    #[error("There is no environment {0}")]
    EnvironmentNotFound(String),

    /// An environment cannot be changed now.
    #[error("The environment {name} is in use: {by}")]
    EnvironmentInUse {
        /// Its folder's name.
        name: String,
        /// By whom, as a clause.
        by: String,
    },

    /// The description of an environment or a process cannot be used at all.
    #[error("{0}")]
    InvalidSpec(String),

    /// The program, or the folder to run it in, does not exist.
    #[error("{program} cannot be started in {folder}: {source}")]
    CannotStart {
        /// The program, as it was asked for.
        program: String,
        /// The folder it was to run in.
        folder: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// A file or folder of Cairn's own could not be written or read.
    #[error("{} {} failed: {source}", capital(action), path.display())]
    Io {
        /// What was tried: `creating`, `renaming`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// A tracking server did not do what it was asked.
    #[error("The tracking server refused ({status} {code}): {message}")]
    TrackingRefused {
        /// The HTTP status.
        status: u16,
        /// MLflow's error code; empty when the answer had none.
        code: String,
        /// The server's words.
        message: String,
    },

    /// No tracking server answered.
    #[error("The tracking server at {uri} does not answer")]
    TrackingUnavailable {
        /// Its address.
        uri: String,
        /// What happened instead.
        detail: String,
    },

    /// There is no launch of this id.
    #[error("There is no launch {0}")]
    NoSuchLaunch(String),

    /// A launch is past the state in which this can be done.
    #[error("Launch {launch_id} {why}")]
    LaunchNotReady {
        /// Which launch.
        launch_id: String,
        /// The rest of the sentence: `is not in the queue`.
        why: &'static str,
    },

    /// The cancellation token was used; nothing that was begun is still running.
    #[error("Cancelled")]
    Cancelled,
}

impl RuntimeError {
    /// What the person can do about it; `None` when the text says all there is.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::PythonMissing => Some(
                "Install Python 3 (Debian and Ubuntu: python3 and python3-venv) or uv, then try again.",
            ),
            Self::VenvModuleMissing { .. } => Some(
                "Install the missing part (Debian and Ubuntu: python3-venv) or uv, then try again.",
            ),
            Self::NetworkUnavailable { .. } => Some(
                "Check the network connection and proxy settings, then try again. What was downloaded so far is kept.",
            ),
            Self::ToolFailed { .. } => {
                Some("Read the last lines below; the first line with \"error\" names the cause.")
            }
            Self::CannotStart { .. } => {
                Some("Check that the program and the folder exist and may be used.")
            }
            Self::Io { .. } => Some(
                "Check that the folder can be written to and that the disk is not full, then try again.",
            ),
            Self::PackageBuildFailed { .. } => Some(
                "Read the last lines below. Often a compiler or a system library is missing; or choose a version of the package that has a wheel for this Python.",
            ),
            Self::PythonVersionMissing { .. } => Some(
                "Install that Python (with pyenv or uv), allow the download, or ask for a version that is there.",
            ),
            Self::Spec(problem) => Some(problem.hint.as_str()).filter(|hint| !hint.is_empty()),
            Self::CondaMissing { .. } => Some(
                "Build it in Cairn's source folder with `cargo xtask conda`, or put it beside cairn, or name it by CAIRN_CONDA. With --env-manager uv the project runs without its conda packages.",
            ),
            Self::ChannelUnreachable { .. } => Some(
                "Check the name of the channel, the network connection and proxy settings, then try again. What was downloaded so far is kept.",
            ),
            Self::ContainerToolMissing => {
                Some("Install Podman (Debian and Ubuntu: podman) or Docker, then try again.")
            }
            Self::EnvironmentInUse { .. } => Some("Stop the run, or wait for its end."),
            Self::TrackingUnavailable { .. } => {
                Some("Open the store in Cairn, or start `cairn serve` for it, then try again.")
            }
            Self::NoSuchLaunch(_) => Some("List what there is: cairn queue list"),
            Self::EnvironmentNotFound(_)
            | Self::InvalidSpec(_)
            | Self::TrackingRefused { .. }
            | Self::LaunchNotReady { .. }
            | Self::Cancelled => None,
        }
    }

    /// The last lines of the tool that failed, or the system's answer, for a report.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::VenvModuleMissing { detail, .. }
            | Self::PackageBuildFailed { detail, .. }
            | Self::PythonVersionMissing { detail, .. }
            | Self::ChannelUnreachable { detail, .. }
            | Self::NetworkUnavailable { detail, .. }
            | Self::TrackingUnavailable { detail, .. }
            | Self::ToolFailed { detail, .. } => Some(detail.clone()),
            Self::CannotStart { source, .. } | Self::Io { source, .. } => Some(source.to_string()),
            Self::PythonMissing
            | Self::Spec(_)
            | Self::CondaMissing { .. }
            | Self::ContainerToolMissing
            | Self::EnvironmentNotFound(_)
            | Self::EnvironmentInUse { .. }
            | Self::InvalidSpec(_)
            | Self::TrackingRefused { .. }
            | Self::NoSuchLaunch(_)
            | Self::LaunchNotReady { .. }
            | Self::Cancelled => None,
        }
    }

    /// For `map_err` on file operations.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// The same text with its first letter as a capital, for the beginning of a sentence.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}
