//! The store through its public face, on real files.

mod artifacts;
mod dialect;
mod history;
mod opening;
mod run_index;
mod run_table;
mod runs;
mod writing;

use cairn_core::{ExperimentId, MetricPoint, MetricValue, RunId};
use cairn_store::{
    OpenOptions, Store,
    experiments::{NewExperiment, Tag},
    metrics::NewMetric,
    runs::{NewRun, Param, Run},
};
use tempfile::TempDir;

/// A new store in a folder that goes away with it.
struct Fixture {
    store: Store,
    dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), OpenOptions::Create).unwrap();
        Self { store, dir }
    }

    fn experiment(&self, name: &str) -> ExperimentId {
        let new = NewExperiment { name: name.to_owned(), ..NewExperiment::default() };
        self.store.write_blocking(move |tx| tx.create_experiment(&new)).unwrap()
    }

    fn run(&self, experiment_id: ExperimentId, start_time: i64) -> Run {
        let new = NewRun {
            experiment_id,
            user_id: "ada".into(),
            run_name: None,
            start_time,
            tags: Vec::new(),
        };
        self.store.write_blocking(move |tx| tx.create_run(&new)).unwrap()
    }

    fn metric(&self, run: &Run, key: &str, value: f64, step: i64) {
        let (id, metric) = (run.info.run_id.clone(), metric(key, value, 1_000 + step, step));
        self.store.write_blocking(move |tx| tx.log_metric(&id, &metric)).unwrap();
    }

    fn param(&self, run: &Run, key: &str, value: &str) {
        let id = run.info.run_id.clone();
        let param = Param { key: key.into(), value: value.into() };
        self.store.write_blocking(move |tx| tx.log_param(&id, &param)).unwrap();
    }

    fn tag(&self, run: &Run, key: &str, value: &str) {
        let id = run.info.run_id.clone();
        let tag = Tag { key: key.into(), value: value.into() };
        self.store.write_blocking(move |tx| tx.set_tag(&id, &tag)).unwrap();
    }

    fn read_run(&self, id: &RunId) -> Run {
        self.store.read_blocking(|tx| tx.run(id)).unwrap()
    }
}

fn metric(key: &str, value: f64, timestamp: i64, step: i64) -> NewMetric {
    NewMetric {
        point: MetricPoint { key: key.into(), value: MetricValue(value), timestamp, step },
        model_id: None,
        dataset_name: None,
        dataset_digest: None,
    }
}
