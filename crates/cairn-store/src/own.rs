//! `cairn.db`, beside `mlflow.db`: what only Cairn knows about a store and no MLflow needs.
//!
//! Nothing here is the only record of a person's work: a store without its `cairn.db` is whole, and
//! work that was noted here as done is done again, to the same result.

use std::{path::Path, sync::Mutex};

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::Result;

/// The name of the file in a store.
pub const OWN_DATABASE: &str = "cairn.db";

/// What an import has brought in completely, and what it looked like then.
#[derive(Debug)]
pub struct ImportLedger {
    connection: Mutex<Connection>,
}

/// Which part of which thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImportPart {
    /// A run with all its rows.
    Run,
    /// A logged model with all its rows.
    Model,
    /// An experiment and its tags.
    Experiment,
    /// A registered model with its versions.
    RegisteredModel,
}

impl ImportPart {
    fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Model => "logged model",
            Self::Experiment => "experiment",
            Self::RegisteredModel => "registered model",
        }
    }
}

impl ImportLedger {
    /// Opens the file in a store's folder, making it if it is missing.
    pub fn open(dir: &Path) -> Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = dir.join(OWN_DATABASE);
        let made = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        made.map_err(|error| crate::StoreError::Io {
            path: path.clone(),
            action: "opened",
            source: std::sync::Arc::new(error),
        })?;
        let connection = Connection::open(path)?;
        // A lost note costs time, never data.
        connection.execute_batch(
            "PRAGMA busy_timeout = 20000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
             CREATE TABLE IF NOT EXISTS imported (part TEXT NOT NULL, id TEXT NOT NULL, \
             fingerprint INTEGER NOT NULL, PRIMARY KEY (part, id)) WITHOUT ROWID",
        )?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// What a part looked like when it was last brought in completely.
    pub fn fingerprint(&self, part: ImportPart, id: &str) -> Result<Option<u64>> {
        let connection = self.connection.lock().expect("no holder of this lock panics");
        let found: Option<i64> = connection
            .prepare_cached("SELECT fingerprint FROM imported WHERE part = ?1 AND id = ?2")?
            .query_row([part.as_str(), id], |row| row.get(0))
            .optional()?;
        Ok(found.map(i64::cast_unsigned))
    }

    /// Notes parts that are now in the store completely.
    pub fn note<'a>(
        &self,
        parts: impl IntoIterator<Item = (ImportPart, &'a str, u64)>,
    ) -> Result<()> {
        let mut connection = self.connection.lock().expect("no holder of this lock panics");
        let transaction = connection.transaction()?;
        for (part, id, fingerprint) in parts {
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO imported (part, id, fingerprint) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![part.as_str(), id, fingerprint.cast_signed()])?;
        }
        transaction.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = ImportLedger::open(dir.path()).unwrap();
        assert_eq!(ledger.fingerprint(ImportPart::Run, "a").unwrap(), None);
        ledger.note([(ImportPart::Run, "a", u64::MAX), (ImportPart::Experiment, "a", 2)]).unwrap();
        ledger.note([(ImportPart::Experiment, "a", 3)]).unwrap();
        drop(ledger);
        let ledger = ImportLedger::open(dir.path()).unwrap();
        assert_eq!(ledger.fingerprint(ImportPart::Run, "a").unwrap(), Some(u64::MAX));
        assert_eq!(ledger.fingerprint(ImportPart::Experiment, "a").unwrap(), Some(3));
        assert_eq!(ledger.fingerprint(ImportPart::Model, "a").unwrap(), None);
    }
}
