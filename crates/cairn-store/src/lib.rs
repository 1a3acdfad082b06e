//! A store: the folder with MLflow's `mlflow.db` and its artifact tree.
//!
//! One thread owns the write connection and commits many requests at once ([`writer`]); readers
//! share a small pool ([`readers`]). Both see the file through [`tx::ReadTx`] and [`tx::WriteTx`],
//! whose methods are in one module per noun: [`experiments`], [`runs`], [`metrics`], [`history`], [`inputs`],
//! [`logged_models`], [`registry`], [`imports`]. What changed is told by the change feed ([`changes`]).
//!
//! The SQL is written so that it holds for every shape of the file that [`schema`] knows, because
//! another program may migrate the file between two statements of ours.

pub mod error;
pub mod schema;
pub mod store;
pub mod tx;
pub mod changes;
pub mod writer;
pub mod readers;
pub mod artifacts;
pub mod backup;
mod backup_keeper;
pub mod experiments;
pub mod runs;
pub mod metrics;
pub mod history;
pub mod series_files;
pub mod inputs;
pub mod search_runs;
mod run_index;
pub mod run_table;
pub mod run_keys;
mod model_history;
pub mod logged_models;
pub mod registry;
pub mod imports;
pub mod own;
mod sql;

pub use backup_keeper::{BackupKeeper, KeptBackups, Schedule};
pub use changes::{Change, ChangeSet, RunFacets};
pub use error::{OpenError, StoreError};
pub use run_index::IndexSize;
pub use schema::Shape;
pub use store::{OpenOptions, Store};
pub use tx::{ReadTx, WriteTx};

/// What a store operation answers.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
