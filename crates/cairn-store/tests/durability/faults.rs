//! Each call to the disk fails in turn: the write is refused whole, what was answered stays, and
//! the store works on once the disk does.

use std::{collections::BTreeMap, path::Path};

use cairn_core::{ExperimentId, MetricPoint, MetricValue, RunId};
use cairn_faults::{Disk, Fault, FaultKind};
use cairn_store::{
    OpenOptions, Result, Store, StoreError, WriteTx,
    experiments::{NewExperiment, Tag},
    inputs::{Dataset, DatasetInput},
    logged_models::NewLoggedModel,
    metrics::{Batch, NewMetric},
    registry::{NewModelVersion, NewRegisteredModel},
    runs::{NewRun, Param},
};
use rusqlite::Connection;

use crate::{Journal, make_store, open, scaled};

/// Calls that fail in turn, for each scenario and kind of fault; a scenario that makes fewer ends
/// sooner.
const CALLS: usize = 30;
/// The same for making a store, which makes more.
const CALLS_OF_MAKING: usize = 120;
const KINDS: [FaultKind; 3] = [FaultKind::Full, FaultKind::Broken, FaultKind::TooManyFiles];

/// A kind of write with a number.
struct Scenario {
    name: &'static str,
    write: fn(&mut WriteTx<'_>, &RunId, i64) -> Result<()>,
    /// Counts the rows that the write `?1` left.
    rows: &'static str,
    /// How many there are when it was done.
    whole: i64,
}

const SCENARIOS: [Scenario; 12] = [
    Scenario {
        name: "an experiment",
        write: |tx, _, number| {
            let new = NewExperiment {
                name: format!("e{number}"),
                tags: vec![tag(number)],
                ..NewExperiment::default()
            };
            tx.create_experiment(&new).map(drop)
        },
        rows: "SELECT COUNT(*) + (SELECT COUNT(*) FROM experiment_tags WHERE key = 't' || ?1) \
               FROM experiments WHERE name = 'e' || ?1",
        whole: 2,
    },
    Scenario {
        name: "a run",
        write: |tx, _, number| tx.create_run(&new_run(format!("r{number}"), number)).map(drop),
        rows: "SELECT COUNT(*) FROM runs JOIN tags USING (run_uuid) WHERE name = 'r' || ?1",
        whole: 2,
    },
    Scenario {
        name: "a metric",
        write: |tx, run, number| tx.log_metric(run, &metric("auc", number)),
        rows: "SELECT COUNT(*) + (SELECT COUNT(*) FROM latest_metrics WHERE key = 'auc' \
               AND step >= ?1) FROM metrics WHERE key = 'auc' AND step = ?1",
        whole: 2,
    },
    Scenario {
        name: "a batch",
        write: |tx, run, number| {
            let batch = Batch {
                metrics: vec![metric("loss", number), metric("f1", number)],
                params: vec![Param { key: format!("bp{number}"), value: "x".into() }],
                tags: vec![Tag { key: format!("bt{number}"), value: "x".into() }],
            };
            tx.log_batch(run, &batch)
        },
        rows: "SELECT COUNT(*) + (SELECT COUNT(*) FROM params WHERE key = 'bp' || ?1) \
               + (SELECT COUNT(*) FROM tags WHERE key = 'bt' || ?1) \
               FROM metrics WHERE key IN ('loss', 'f1') AND step = ?1",
        whole: 4,
    },
    Scenario {
        name: "a batch of a thousand metrics",
        write: |tx, run, number| {
            let metrics = (0..1_000).map(|key| metric(&format!("k{key}"), number)).collect();
            tx.log_batch(run, &Batch { metrics, ..Batch::default() })
        },
        rows: "SELECT COUNT(*) FROM metrics WHERE key LIKE 'k%' AND step = ?1",
        whole: 1_000,
    },
    Scenario {
        name: "a tag",
        write: |tx, run, number| tx.set_tag(run, &tag(number)),
        rows: "SELECT COUNT(*) FROM tags WHERE key = 't' || ?1",
        whole: 1,
    },
    Scenario {
        name: "a parameter",
        write: |tx, run, number| {
            let value = "x".repeat(5_000);
            tx.log_param(run, &Param { key: format!("p{number}"), value })
        },
        rows: "SELECT COUNT(*) FROM params WHERE key = 'p' || ?1",
        whole: 1,
    },
    Scenario {
        name: "a dataset",
        write: |tx, run, number| {
            let dataset = Dataset {
                name: format!("d{number}"),
                digest: "1".into(),
                source_type: "local".into(),
                source: "x".into(),
                schema: None,
                profile: None,
            };
            tx.log_inputs(run, &[DatasetInput { tags: vec![tag(number)], dataset }], &[])
        },
        rows: "SELECT COUNT(*) + (SELECT COUNT(*) FROM input_tags WHERE name = 't' || ?1) \
               FROM datasets JOIN inputs ON source_id = dataset_uuid WHERE name = 'd' || ?1",
        whole: 2,
    },
    Scenario {
        name: "a logged model",
        write: |tx, _, number| {
            tx.create_logged_model(&NewLoggedModel {
                experiment_id: ExperimentId(0),
                name: Some(format!("l{number}")),
                model_type: None,
                source_run_id: None,
                params: vec![Param { key: "depth".into(), value: "3".into() }],
                tags: vec![tag(number)],
            })
            .map(drop)
        },
        rows: "SELECT COUNT(*) + (SELECT COUNT(*) FROM logged_model_tags WHERE tag_key = 't' || ?1) \
               FROM logged_models JOIN logged_model_params USING (model_id) WHERE name = 'l' || ?1",
        whole: 2,
    },
    Scenario {
        name: "a registered model",
        write: |tx, _, number| {
            tx.create_registered_model(&NewRegisteredModel {
                name: format!("m{number}"),
                tags: vec![tag(number)],
                ..NewRegisteredModel::default()
            })
            .map(drop)
        },
        rows: "SELECT COUNT(*) + (SELECT COUNT(*) FROM registered_model_tags WHERE key = 't' || ?1) \
               FROM registered_models WHERE name = 'm' || ?1",
        whole: 2,
    },
    Scenario {
        name: "a version and its alias",
        write: |tx, _, number| {
            let version = tx.create_model_version(&NewModelVersion {
                name: "the model".into(),
                source: format!("s3://bucket/{number}"),
                ..NewModelVersion::default()
            })?;
            tx.set_model_alias("the model", &format!("a{number}"), version.version)
        },
        rows: "SELECT COUNT(*) + (SELECT COUNT(*) FROM registered_model_aliases \
               WHERE alias = 'a' || ?1) FROM model_versions WHERE source = 's3://bucket/' || ?1",
        whole: 2,
    },
    Scenario {
        name: "a run to the trash",
        write: |tx, _, number| {
            let run = tx.create_run(&new_run(format!("x{number}"), number))?;
            tx.delete_run(&run.info.run_id)
        },
        rows: "SELECT COUNT(*) FROM runs WHERE name = 'x' || ?1 AND lifecycle_stage = 'deleted'",
        whole: 1,
    },
];

#[test]
fn each_failing_call_refuses_one_write_whole_with_a_log() {
    each_failing_call(Journal::Wal);
}

#[test]
fn each_failing_call_refuses_one_write_whole_with_a_journal() {
    each_failing_call(Journal::Delete);
}

fn each_failing_call(journal: Journal) {
    let mut refusals: BTreeMap<&str, usize> = BTreeMap::new();
    for scenario in &SCENARIOS {
        let dir = tempfile::tempdir().unwrap();
        make_store(dir.path(), journal);
        let run = prepare(dir.path());
        let disk = Disk::watch(dir.path());
        disk.stop_recording();
        let store = open(dir.path());
        let mut tried =
            Tried { scenario, store: Some(store), run, number: 0, answered: Vec::new() };
        for kind in KINDS {
            for times in [1, u32::MAX] {
                for after in 0..scaled(CALLS) {
                    disk.break_with(Fault { kind, after: after as u32, times });
                    let refused = tried.write();
                    let hits = disk.heal();
                    if let Some(error) = refused {
                        assert!(hits > 0, "{}: {error} for no reason", scenario.name);
                        *refusals.entry(code(&error)).or_default() += 1;
                    }
                    // The same store, without a restart.
                    if let Some(error) = tried.write() {
                        panic!("{}: {error} after {kind:?} {after} {times}", scenario.name);
                    }
                    if hits == 0 {
                        break;
                    }
                }
            }
        }
        tried.check(&dir.path().join("mlflow.db"));
    }
    eprintln!("{journal:?}: {refusals:?}");
    assert!(refusals["disk full"] >= SCENARIOS.len());
    assert!(refusals["other"] >= SCENARIOS.len());
}

#[test]
fn opening_reading_and_closing_on_a_failing_disk_lose_nothing() {
    for journal in [Journal::Wal, Journal::Delete] {
        let dir = tempfile::tempdir().unwrap();
        make_store(dir.path(), journal);
        let run = prepare(dir.path());
        let disk = Disk::watch(dir.path());
        disk.stop_recording();
        let scenario = &SCENARIOS[1];
        let mut tried = Tried { scenario, store: None, run, number: 0, answered: Vec::new() };
        let mut failed = 0;
        for kind in KINDS {
            for after in 0..scaled(CALLS) {
                let fault = Fault { kind, after: after as u32, times: u32::MAX };
                disk.break_with(fault);
                let opened = Store::open(dir.path(), OpenOptions::Existing);
                let mut hits = disk.heal();
                failed += usize::from(opened.is_err());
                tried.store = Some(opened.unwrap_or_else(|_| open(dir.path())));
                assert!(tried.write().is_none());
                // A reader that fails does no harm to the next one.
                disk.break_with(fault);
                let store = tried.store.clone().unwrap();
                let read = store.read_blocking(|tx| tx.run_activity());
                hits += disk.heal();
                failed += usize::from(read.is_err());
                assert!(store.read_blocking(|tx| tx.run_activity()).is_ok());
                drop(store);
                disk.break_with(fault);
                tried.store = None;
                hits += disk.heal();
                if hits == 0 {
                    break;
                }
            }
        }
        assert!(failed > 0, "no fault was met");
        tried.check(&dir.path().join("mlflow.db"));
    }
}

#[test]
fn a_new_store_is_made_whole_or_not_at_all() {
    let mut failed = 0;
    for kind in KINDS {
        for after in 0..scaled(CALLS_OF_MAKING) {
            let dir = tempfile::tempdir().unwrap();
            let disk = Disk::watch(dir.path());
            disk.stop_recording();
            disk.break_with(Fault { kind, after: after as u32, times: u32::MAX });
            let made = Store::open(dir.path(), OpenOptions::Create);
            let hits = disk.heal();
            failed += usize::from(made.is_err());
            drop(made);
            let left: Vec<String> = std::fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .filter(|name| name.starts_with(".mlflow"))
                .collect();
            assert_eq!(left, [] as [&str; 0], "{kind:?} {after}");
            drop(Store::open(dir.path(), OpenOptions::Create).unwrap());
            if hits == 0 {
                break;
            }
        }
    }
    assert!(failed > 10, "{failed} attempts met a fault");
}

/// A store under test and what it answered.
struct Tried<'a> {
    scenario: &'a Scenario,
    store: Option<Store>,
    run: RunId,
    number: i64,
    answered: Vec<i64>,
}

impl Tried<'_> {
    /// Does the next write; its refusal.
    fn write(&mut self) -> Option<StoreError> {
        self.number += 1;
        let (write, run, number) = (self.scenario.write, self.run.clone(), self.number);
        let store = self.store.as_ref().expect("opened");
        let written = store.write_blocking(move |tx| write(tx, &run, number));
        match written {
            Ok(()) => {
                self.answered.push(number);
                None
            }
            Err(error) => Some(error),
        }
    }

    /// Every answered write is whole, every other one whole or absent, and the file is sound.
    fn check(mut self, database: &Path) {
        self.store = None;
        let connection = Connection::open(database).unwrap();
        let finding: String =
            connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(finding, "ok", "{}", self.scenario.name);
        for number in 1..=self.number {
            let rows: i64 =
                connection.query_row(self.scenario.rows, [number], |row| row.get(0)).unwrap();
            let is_whole = rows == self.scenario.whole;
            let was_answered = self.answered.contains(&number);
            assert!(
                is_whole || (!was_answered && self.is_absent(rows)),
                "{}: {number} has {rows} rows, answered: {was_answered}",
                self.scenario.name
            );
        }
    }

    /// The latest value of a metric may be of a later write.
    fn is_absent(&self, rows: i64) -> bool {
        rows == 0 || (self.scenario.name == "a metric" && rows == 1)
    }
}

fn code(error: &StoreError) -> &'static str {
    match error {
        StoreError::DiskFull { .. } => "disk full",
        StoreError::Sqlite(_) | StoreError::Io { .. } => "other",
        unexpected => panic!("{unexpected}"),
    }
}

/// Makes what scenarios write to; the run of it.
fn prepare(dir: &Path) -> RunId {
    let store = open(dir);
    let made = store.write_blocking(|tx| {
        let run = tx.create_run(&new_run("the run".into(), 1))?;
        tx.create_registered_model(&NewRegisteredModel {
            name: "the model".into(),
            ..NewRegisteredModel::default()
        })?;
        Ok(run.info.run_id)
    });
    made.unwrap()
}

fn tag(number: i64) -> Tag {
    Tag { key: format!("t{number}"), value: "x".into() }
}

fn new_run(name: String, start_time: i64) -> NewRun {
    NewRun {
        experiment_id: ExperimentId(0),
        user_id: "ada".into(),
        run_name: Some(name),
        start_time,
        tags: vec![Tag { key: "x".into(), value: "x".into() }],
    }
}

fn metric(key: &str, number: i64) -> NewMetric {
    let value = MetricValue(number as f64);
    NewMetric {
        point: MetricPoint { key: key.into(), value, timestamp: number, step: number },
        model_id: None,
        dataset_name: None,
        dataset_digest: None,
    }
}
