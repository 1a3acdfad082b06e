//! What can go wrong with a store, one variant per thing a caller can do something about.

use std::{io, path::PathBuf, sync::Arc};

use cairn_core::Invalid;

/// Why a store could not be opened. The files are as they were.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is nothing at the path, and nothing was to be made there.
    #[error("There is no store at {path}: no such file or folder.")]
    Missing {
        /// The folder asked for.
        path: PathBuf,
    },
    /// A folder without `mlflow.db` that may not become a store.
    #[error("The folder {path} holds no mlflow.db.")]
    NoDatabase {
        /// The folder asked for.
        path: PathBuf,
    },
    /// A log or journal lies where a new database was to be made.
    #[error("No store can be made here: {path} was left behind by a database that is gone.")]
    LeftBehind {
        /// The log or journal.
        path: PathBuf,
    },
    /// The file is no SQLite database.
    #[error("{path} is not an MLflow database: it is not an SQLite file.")]
    NotSqlite {
        /// The file.
        path: PathBuf,
    },
    /// An SQLite file without MLflow's tables.
    #[error("{path} is an SQLite file, but not an MLflow database: {reason}.")]
    NotMlflow {
        /// The file.
        path: PathBuf,
        /// Which table or column is missing.
        reason: String,
    },
    /// The file is damaged.
    #[error("{path} is damaged: {detail}.")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// SQLite's finding.
        detail: String,
    },
    /// The folder or file cannot be read, or nothing can be made there.
    #[error("{path} cannot be {action}: {source}.")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// `read`, `created`, …
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The disk is full.
    #[error("The disk of {path} is full: the store cannot be created.")]
    DiskFull {
        /// The folder.
        path: PathBuf,
    },
    /// Another program holds the file for longer than the 20 seconds that MLflow waits.
    #[error("{path} is in use by another program that does not let go of it.")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Anything else that SQLite says.
    #[error("{path} cannot be opened: {source}.")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// SQLite's answer.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// What to do about it, in one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "Check the path, or choose a folder to start a new store in.",
            Self::NoDatabase { .. } => {
                "Choose the folder that holds mlflow.db, or an empty folder to start a new store."
            }
            Self::LeftBehind { .. } => {
                "Put its mlflow.db back beside it, or move the file away to start anew."
            }
            Self::NotSqlite { .. } | Self::NotMlflow { .. } => {
                "Choose an mlflow.db that MLflow 2 or 3 or Cairn made. The file was not touched."
            }
            Self::Corrupt { .. } => {
                "'cairn restore' puts the newest backup in its place and keeps the damaged file beside \
                 it; the sqlite3 program's .recover may save more. The file was not touched."
            }
            Self::Io { .. } => "Check the permissions of the folder and of the file.",
            Self::DiskFull { .. } => "Free some space, or choose a folder on another disk.",
            Self::Busy { .. } => "Close the program that writes to it, then try again.",
            Self::Sqlite { .. } => "Check that the file is on a local disk and readable.",
        }
    }

    /// Sorts an SQLite error met while opening `path`.
    pub(crate) fn from_sqlite(path: PathBuf, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match source.sqlite_error_code() {
            Some(Code::NotADatabase) => Self::NotSqlite { path },
            Some(Code::DatabaseCorrupt) => Self::Corrupt { path, detail: source.to_string() },
            Some(Code::DiskFull) => Self::DiskFull { path },
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Busy { path },
            _ => Self::Sqlite { path, source },
        }
    }
}

/// Why a read or a write of an open store was not done. Nothing of it was kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The input breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The thing named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The name is taken.
    #[error("{0}")]
    AlreadyExists(String),
    /// The input contradicts what is stored (MLflow answers BAD_REQUEST).
    #[error("{0}")]
    Conflict(String),
    /// The thing is in a state that forbids this (MLflow answers INVALID_STATE).
    #[error("{0}")]
    InvalidState(String),
    /// The file's schema has no place for this.
    #[error("{0}")]
    UnsupportedByFile(String),
    /// The store is open for reading only.
    #[error("The store {path} is open for reading only: {reason}")]
    ReadOnly {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another program held the database for more than 20 seconds.
    #[error(
        "The database is locked by another program for more than 20 seconds. Nothing was written; \
         try again."
    )]
    Busy,
    /// The disk is full.
    #[error("The disk of {path} is full. Nothing was written; free some space and try again.")]
    DiskFull {
        /// The folder.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{path} cannot be {action}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// `read`, `written`, …
        action: &'static str,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// A fault of Cairn's own; the request would end the same way again.
    #[error("A fault inside Cairn ended this request: {0}")]
    Fault(String),
    /// The store was closed while the request waited.
    #[error("The store was closed before this was done.")]
    Closed,
    /// The database is damaged.
    #[error("The database is damaged: {0}")]
    Corrupt(String),
    /// SQLite refused for a reason that is a fault of Cairn's.
    #[error("Unexpected answer of the database: {0}")]
    Sqlite(Arc<rusqlite::Error>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Busy,
            Some(Code::DiskFull) => Self::DiskFull { path: PathBuf::from("the store") },
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Self::Corrupt(error.to_string()),
            _ => Self::Sqlite(Arc::new(error)),
        }
    }
}

impl StoreError {
    /// Whether a unique or foreign key of the schema refused the write.
    pub(crate) fn is_constraint(&self) -> bool {
        matches!(self, Self::Sqlite(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation))
    }

    /// Names the store in errors that SQLite gives without a place.
    pub(crate) fn at(self, dir: &std::path::Path) -> Self {
        match self {
            Self::DiskFull { .. } => Self::DiskFull { path: dir.to_owned() },
            other => other,
        }
    }
}
