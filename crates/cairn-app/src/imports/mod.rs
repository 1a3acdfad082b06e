//! Importing: what MLflow's file store kept in an `mlruns` folder comes into a store.
//!
//! [`Importer::pass`] looks through the folder ([`layout`]), reads on one thread ([`reader`]) and
//! writes on the store's, in transactions of bounded time; then it copies the artifacts
//! ([`files`]). Everything may be done again: what is there is recognised, so an import that was
//! cancelled or killed goes on when it is started again, and following a folder ([`follow`]) is
//! the same pass over what changed. The folder is only read; see [`folder`] for how.

mod commands;
mod files;
mod folder;
mod follow;
mod layout;
mod pass;
mod places;
mod reader;
mod report;
mod yaml;

use std::{io, path::PathBuf};

use cairn_store::StoreError;

pub use cairn_runtime::CancellationToken;
pub use commands::{FoundExperimentRow, ImportFound, ImportLook, ImportStart, ImportState};
pub(crate) use commands::{Imports, look, start, state};
pub use commands::{plural, summary, words};
pub use follow::{Following, follow};
pub use pass::{ArtifactMode, ImportOptions, Importer, Progress, Step};
pub use report::{ImportCounts, ImportReport, SkipGroup, SkipReason, SkippedPlace};

/// Why an import did not go on. What was committed before stays, and a later import goes on there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The folder cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// What was looked at.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The folder holds nothing of MLflow's file store.
    #[error("{path} is no mlruns folder: it holds no experiment of MLflow's")]
    NotMlruns {
        /// The folder.
        path: PathBuf,
    },
    /// The path is a database.
    #[error("{path} holds a database, not an mlruns folder")]
    Database {
        /// The path.
        path: PathBuf,
    },
    /// The folder is a single run's.
    #[error("{path} is the folder of one run")]
    OneRun {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is in the store, or the store in it.
    #[error("{path} is part of the store that it would be imported into")]
    IsStore {
        /// The folder.
        path: PathBuf,
    },
    /// The person stopped it.
    #[error("Stopped")]
    Cancelled,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ImportError {
    /// What to do about it; `None` when the error says it all.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable { .. } => Some("Check the path and its permissions."),
            Self::NotMlruns { .. } => Some(
                "Choose the folder named mlruns (or the one that holds it), or an experiment’s \
                 folder in it.",
            ),
            Self::Database { .. } => {
                Some("Nothing needs to be imported: open the folder of the mlflow.db as a store.")
            }
            Self::OneRun { .. } => {
                Some("Choose the folder of its experiment, or the whole mlruns.")
            }
            Self::IsStore { .. } => Some("Choose a folder outside the store."),
            Self::Cancelled | Self::Store(_) => None,
        }
    }
}
