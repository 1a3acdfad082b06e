//! What can go wrong between asking for a run and its first line.

use std::io;
use std::path::PathBuf;

use cairn_runtime::capital;

use crate::problem::Problem;

/// This crate's results.
pub type Result<T, E = ProjectError> = std::result::Result<T, E>;

/// A failure to find, read, fetch or prepare a project.
///
/// The text says what failed and for which thing; [`ProjectError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The project, or what was asked of it, is wrong; each problem says where and what would be right.
    #[error("{}", listed(.0))]
    Problems(Vec<Problem>),

    /// A source that cannot be what it is called: a missing folder, a refused version, a bad URI.
    #[error("{message}")]
    Source {
        /// What is wrong.
        message: String,
        /// What would be right.
        hint: Option<String>,
    },

    /// A program that was needed, such as git, ended with an error or is missing.
    #[error("{what} failed: {detail}")]
    Tool {
        /// What was done, as the subject of a sentence.
        what: String,
        /// The last lines it printed, or the system's answer.
        detail: String,
        /// What to do about it.
        hint: Option<String>,
    },

    /// The environment or a process failed.
    #[error(transparent)]
    Runtime(#[from] cairn_runtime::RuntimeError),

    /// A file or folder could not be read or written.
    #[error("{} {} failed: {source}", capital(action), path.display())]
    Io {
        /// What was tried: `reading`, `creating`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// The person stopped it.
    #[error("Cancelled")]
    Cancelled,
}

impl ProjectError {
    /// What the person can do about it; `None` when the text says all there is.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Source { hint, .. } | Self::Tool { hint, .. } => hint.clone(),
            Self::Runtime(error) => error.hint().map(ToOwned::to_owned),
            Self::Io { .. } => Some(
                "Check that the path exists, that it may be used, and that the disk is not full."
                    .to_owned(),
            ),
            Self::Problems(_) | Self::Cancelled => None,
        }
    }

    /// The last lines of the tool that failed, for a report; `None` when the text has them.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Runtime(error) => error.detail(),
            _ => None,
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

    /// A source that is wrong, with what would be right.
    pub(crate) fn source(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Source { message: message.into(), hint: Some(hint.into()) }
    }
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}
