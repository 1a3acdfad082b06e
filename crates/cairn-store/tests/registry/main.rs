//! The registry and logged models, on stores of every shape.

mod logged_models;
mod models;
mod search;
mod shapes;
mod sources;
mod versions;

use std::str::FromStr as _;

use cairn_core::{ExperimentId, LoggedModelId, RunId};
use cairn_store::{
    OpenOptions, ReadTx, Result, Store, StoreError, WriteTx,
    experiments::{NewExperiment, Tag},
    logged_models::{LoggedModel, NewLoggedModel},
    registry::{ModelVersion, NewModelVersion, NewRegisteredModel, RegisteredModel},
    runs::{NewRun, RunInfo},
};
use rusqlite::Connection;
use tempfile::TempDir;

/// A store in a folder of its own.
struct Fixture {
    dir: TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), OpenOptions::Create).unwrap();
        Self { dir, store }
    }

    /// A store whose file another program changed before it was opened.
    fn changed(change: impl FnOnce(&Connection)) -> Self {
        let Self { dir, store } = Self::new();
        drop(store);
        change(&Connection::open(dir.path().join("mlflow.db")).unwrap());
        let store = Store::open(dir.path(), OpenOptions::Existing).unwrap();
        Self { dir, store }
    }

    /// A connection of another program.
    fn connection(&self) -> Connection {
        Connection::open(self.dir.path().join("mlflow.db")).unwrap()
    }

    fn try_write<T: Send + 'static>(
        &self,
        op: impl FnOnce(&mut WriteTx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.store.write_blocking(op)
    }

    fn write<T: Send + 'static>(
        &self,
        op: impl FnOnce(&mut WriteTx<'_>) -> Result<T> + Send + 'static,
    ) -> T {
        self.try_write(op).unwrap()
    }

    fn refused<T: Send + 'static>(
        &self,
        op: impl FnOnce(&mut WriteTx<'_>) -> Result<T> + Send + 'static,
    ) -> StoreError {
        match self.try_write(op) {
            Ok(_) => panic!("the write should have been refused"),
            Err(error) => error,
        }
    }

    fn try_read<T>(&self, op: impl FnOnce(&ReadTx<'_>) -> Result<T>) -> Result<T> {
        self.store.read_blocking(op)
    }

    fn read<T>(&self, op: impl FnOnce(&ReadTx<'_>) -> Result<T>) -> T {
        self.try_read(op).unwrap()
    }

    fn run(&self, experiment_id: ExperimentId) -> RunInfo {
        self.write(move |tx| {
            tx.create_run(&NewRun {
                experiment_id,
                user_id: String::new(),
                run_name: None,
                start_time: 1,
                tags: Vec::new(),
            })
        })
        .info
    }

    /// An experiment whose files lie at a location.
    fn experiment_at(&self, location: &str) -> ExperimentId {
        let new = NewExperiment {
            name: location.to_owned(),
            artifact_location: Some(location.to_owned()),
            tags: Vec::new(),
        };
        self.write(move |tx| tx.create_experiment(&new))
    }

    fn logged_model(&self, experiment_id: ExperimentId, run: Option<&RunId>) -> LoggedModel {
        let source_run_id = run.map(ToString::to_string);
        self.write(move |tx| {
            tx.create_logged_model(&NewLoggedModel {
                source_run_id,
                ..new_logged_model(experiment_id)
            })
        })
    }

    fn model(&self, name: &str) -> RegisteredModel {
        let new = NewRegisteredModel { name: name.to_owned(), ..NewRegisteredModel::default() };
        self.write(move |tx| tx.create_registered_model(&new))
    }

    /// A version of a cloud source, which needs no run.
    fn version(&self, name: &str) -> ModelVersion {
        let new = new_version(name, "s3://bucket/model");
        self.write(move |tx| tx.create_model_version(&new))
    }

    fn stored<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        self.connection().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

fn new_version(name: &str, source: &str) -> NewModelVersion {
    NewModelVersion {
        name: name.to_owned(),
        source: source.to_owned(),
        ..NewModelVersion::default()
    }
}

fn new_logged_model(experiment_id: ExperimentId) -> NewLoggedModel {
    NewLoggedModel {
        experiment_id,
        name: Some("model".to_owned()),
        model_type: None,
        source_run_id: None,
        params: Vec::new(),
        tags: Vec::new(),
    }
}

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.to_owned(), value: value.to_owned() }
}

fn unknown_model() -> LoggedModelId {
    LoggedModelId::from_str("m-00000000000000000000000000000000").unwrap()
}

/// Waits until the clock of the store has moved on.
fn tick() {
    std::thread::sleep(std::time::Duration::from_millis(3));
}
