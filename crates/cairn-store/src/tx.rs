//! A transaction as the noun modules see it.

use std::ops::Deref;

use cairn_core::UnixMillis;
use rusqlite::Connection;

use crate::{Change, ChangeSet, Result, Shape, StoreError};

/// A consistent view of the database.
#[derive(Debug, Clone, Copy)]
pub struct ReadTx<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) shape: &'a Shape,
}

impl ReadTx<'_> {
    /// The shape of the file in this view.
    pub fn shape(&self) -> &Shape {
        self.shape
    }

    /// Refuses what the file has no tables for.
    ///
    /// Errors: [`StoreError::UnsupportedByFile`], naming what is missing and since when MLflow has
    /// it.
    pub(crate) fn require(&self, present: bool, what: &str, since: &str) -> Result<()> {
        if present {
            return Ok(());
        }
        Err(StoreError::UnsupportedByFile(format!(
            "This mlflow.db has no tables for {what}: it was made by an MLflow older than {since} \
             (revision {}). Back it up, then run 'mlflow db upgrade' on it.",
            self.shape.revision
        )))
    }
}

/// One request's part of a write transaction. Rolled back alone if it fails.
#[derive(Debug)]
pub struct WriteTx<'a> {
    pub(crate) read: ReadTx<'a>,
    /// What this request changed; told after the commit.
    pub(crate) changes: &'a mut ChangeSet,
    /// The time of this transaction by the application's clock.
    pub(crate) now: UnixMillis,
}

impl<'a> Deref for WriteTx<'a> {
    type Target = ReadTx<'a>;

    fn deref(&self) -> &ReadTx<'a> {
        &self.read
    }
}

impl WriteTx<'_> {
    /// Notes a change for the feed.
    pub(crate) fn changed(&mut self, change: Change) {
        self.changes.add(change);
    }

    /// The time of this transaction.
    pub fn now(&self) -> UnixMillis {
        self.now
    }
}

/// 32 random hexadecimal digits, for names of temporary files.
pub(crate) fn random_hex() -> String {
    random_bytes().iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 16 random bytes for an id.
///
/// Panics if the system has no source of randomness, which no supported system lacks.
pub(crate) fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has a source of randomness");
    bytes
}
