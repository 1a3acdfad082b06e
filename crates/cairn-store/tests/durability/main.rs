//! What is left of a store after the machine, the disk or the clock failed.
//!
//! Each test has a bounded default; `CAIRN_TEST_SCALE` multiplies it (CONTRIBUTING.md).

mod artifacts;
mod backups;
mod clock;
mod faults;
mod filters;
mod power_loss;
mod registry_model;
mod workload;

use std::path::Path;

use cairn_store::{OpenOptions, Store};
use rusqlite::Connection;

/// How a store keeps what is not committed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Journal {
    /// A write-ahead log, as in stores that Cairn makes.
    Wal,
    /// A rollback journal, as in files that MLflow makes.
    Delete,
}

/// So many, times `CAIRN_TEST_SCALE`.
fn scaled(count: usize) -> usize {
    let scale = std::env::var("CAIRN_TEST_SCALE").ok().and_then(|text| text.parse().ok());
    count * scale.unwrap_or(1)
}

/// Makes a store in a folder, closed, in a journal mode.
fn make_store(dir: &Path, journal: Journal) {
    drop(Store::open(dir, OpenOptions::Create).unwrap());
    if journal == Journal::Delete {
        let connection = Connection::open(dir.join("mlflow.db")).unwrap();
        let mode: String =
            connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "delete");
    }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, OpenOptions::Existing).unwrap()
}
