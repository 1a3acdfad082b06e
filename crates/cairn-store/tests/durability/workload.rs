//! Numbered writes, and finding them again: each is whole, or it is not there.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use cairn_core::{ExperimentId, MetricPoint, MetricValue, RunId};
use cairn_store::{
    Result, Store,
    experiments::Tag,
    metrics::{Batch, NewMetric},
    registry::{NewModelVersion, NewRegisteredModel},
    runs::{NewRun, Param},
};
use rusqlite::Connection;

/// Metrics in one batch.
const KEYS: [&str; 8] = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"];

/// What a write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A run with a tag.
    Run,
    /// Metrics, a parameter and a tag of a run.
    Batch,
    /// A tag of a run.
    Tag,
    /// A version of a registered model with a tag, and the model's alias moved to it.
    Version,
}

impl Kind {
    /// Rows that a write leaves.
    fn parts(self) -> usize {
        match self {
            Self::Run => 3,
            Self::Batch => KEYS.len() + 2,
            Self::Tag => 1,
            Self::Version => 2,
        }
    }
}

/// A write that was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    pub number: i64,
    /// Each thread writes one after the other.
    pub thread: std::thread::ThreadId,
    pub kind: Kind,
    /// When it was answered, by the clock that [`Workload::run`] was given; `None` if it failed.
    pub answered_at: Option<usize>,
}

/// Threads that write, and what they were answered.
#[derive(Debug, Default)]
pub struct Workload {
    next: AtomicI64,
    asked: Mutex<Vec<Asked>>,
}

impl Workload {
    /// Lets threads write so many times each; `clock` tells the moment of an answer.
    pub fn run(
        &self,
        store: &Store,
        threads: usize,
        writes: usize,
        clock: impl Fn() -> usize + Sync,
    ) {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut run_id = None;
                    for index in 0..writes {
                        let kind = match index % 8 {
                            0 => Kind::Run,
                            3 => Kind::Version,
                            5 => Kind::Tag,
                            _ => Kind::Batch,
                        };
                        // Without a run of its own there is nothing to write to.
                        let kind = if run_id.is_none() { Kind::Run } else { kind };
                        self.write(store, kind, &mut run_id, &clock);
                    }
                });
            }
        });
    }

    fn write(
        &self,
        store: &Store,
        kind: Kind,
        run: &mut Option<RunId>,
        clock: &impl Fn() -> usize,
    ) {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let written = match kind {
            Kind::Run => create_run(store, number).map(|id| *run = Some(id)),
            Kind::Batch => log_batch(store, run.as_ref().expect("chosen with a run"), number),
            Kind::Tag => {
                let id = run.clone().expect("chosen with a run");
                store.write_blocking(move |tx| tx.set_tag(&id, &tag(number)))
            }
            Kind::Version => create_version(store, number),
        };
        let answered_at = written.is_ok().then(clock);
        self.asked.lock().unwrap().push(Asked {
            number,
            thread: std::thread::current().id(),
            kind,
            answered_at,
        });
    }

    /// Makes a run with one tag by statements of the test's own, as a writer would that does not
    /// go through the store.
    pub fn write_raw(&self, connection: &Connection, clock: impl Fn() -> usize) {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let written = connection.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             INSERT INTO runs (run_uuid, name, start_time, lifecycle_stage, experiment_id)
               VALUES ('{number:032x}', 'run {number}', {number}, 'active', 0);
             INSERT INTO tags (key, value, run_uuid) VALUES ('t{number}', '{number}', '{number:032x}');
             INSERT INTO tags (key, value, run_uuid)
               VALUES ('mlflow.runName', 'run {number}', '{number:032x}');
             COMMIT;"
        ));
        let answered_at = written.is_ok().then(clock);
        self.asked.lock().unwrap().push(Asked {
            number,
            thread: std::thread::current().id(),
            kind: Kind::Run,
            answered_at,
        });
    }

    /// All that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn tag(number: i64) -> Tag {
    Tag { key: format!("t{number}"), value: number.to_string() }
}

fn create_run(store: &Store, number: i64) -> Result<RunId> {
    let new = NewRun {
        experiment_id: ExperimentId(0),
        user_id: "ada".into(),
        run_name: Some(format!("run {number}")),
        start_time: number,
        tags: vec![tag(number)],
    };
    Ok(store.write_blocking(move |tx| tx.create_run(&new))?.info.run_id)
}

fn log_batch(store: &Store, id: &RunId, number: i64) -> Result<()> {
    let metric = |key: &str| NewMetric {
        point: MetricPoint {
            key: key.into(),
            value: MetricValue(number as f64),
            timestamp: number,
            step: number,
        },
        model_id: None,
        dataset_name: None,
        dataset_digest: None,
    };
    let batch = Batch {
        metrics: KEYS.map(metric).to_vec(),
        params: vec![Param { key: format!("p{number}"), value: number.to_string() }],
        tags: vec![tag(number)],
    };
    let id = id.clone();
    store.write_blocking(move |tx| tx.log_batch(&id, &batch))
}

/// Each thousand of numbers has a model of its own.
fn create_version(store: &Store, number: i64) -> Result<()> {
    let name = format!("model {}", number / 1_000);
    store.write_blocking(move |tx| {
        if tx.registered_model(&name).is_err() {
            tx.create_registered_model(&NewRegisteredModel {
                name: name.clone(),
                ..NewRegisteredModel::default()
            })?;
        }
        let version = tx.create_model_version(&NewModelVersion {
            name: name.clone(),
            source: format!("s3://bucket/{number}"),
            tags: vec![tag(number)],
            ..NewModelVersion::default()
        })?;
        tx.set_model_alias(&name, "newest", version.version)
    })
}

/// What is wrong with a database, given what was asked of it; `None` if all is well.
///
/// Every write answered before `now` is whole; every other one is whole or absent. Tables that say
/// the same in two places agree, and SQLite finds the file sound.
pub fn fault(connection: &Connection, asked: &[Asked], now: usize) -> Option<String> {
    match look(connection, asked, now) {
        Ok(fault) => fault,
        Err(error) => Some(format!("it cannot be read: {error}")),
    }
}

fn look(connection: &Connection, asked: &[Asked], now: usize) -> rusqlite::Result<Option<String>> {
    let finding: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if finding != "ok" {
        return Ok(Some(finding));
    }
    if connection.prepare("PRAGMA foreign_key_check")?.exists([])? {
        return Ok(Some("a row refers to one that is not there".to_owned()));
    }
    let disagreements = [
        "SELECT 1 FROM latest_metrics AS l WHERE l.step != (SELECT MAX(m.step) FROM metrics AS m \
         WHERE m.run_uuid = l.run_uuid AND m.key = l.key)",
        "SELECT 1 FROM (SELECT DISTINCT run_uuid, key FROM metrics EXCEPT \
         SELECT run_uuid, key FROM latest_metrics)",
        "SELECT 1 FROM registered_models AS r WHERE (SELECT MAX(version) FROM model_versions AS v \
         WHERE v.name = r.name) IS NOT (SELECT version FROM registered_model_aliases AS a \
         WHERE a.name = r.name AND a.alias = 'newest')",
    ];
    for sql in disagreements {
        if connection.prepare(sql)?.exists([])? {
            return Ok(Some(format!("two tables disagree: {sql}")));
        }
    }
    let found = parts(connection)?;
    let mut known = HashMap::new();
    for write in asked {
        known.insert(write.number, write.kind.parts());
        let found = found.get(&write.number).copied().unwrap_or(0);
        let is_whole = found == write.kind.parts();
        if write.answered_at.is_some_and(|at| at <= now) {
            if !is_whole {
                return Ok(Some(format!("{write:?} was answered, and {found} parts are left")));
            }
        } else if !is_whole && found != 0 {
            return Ok(Some(format!("{write:?} is torn: {found} parts are there")));
        }
    }
    Ok(found
        .keys()
        .find(|number| !known.contains_key(number))
        .map(|number| format!("there is a write {number} that nobody asked for")))
}

/// How many rows of each numbered write there are.
pub fn parts(connection: &Connection) -> rusqlite::Result<HashMap<i64, usize>> {
    let mut found = HashMap::new();
    for sql in [
        "SELECT step FROM metrics",
        "SELECT CAST(value AS INTEGER) FROM params",
        "SELECT CAST(value AS INTEGER) FROM tags WHERE key LIKE 't%'",
        "SELECT CAST(SUBSTR(value, 5) AS INTEGER) FROM tags WHERE key = 'mlflow.runName'",
        "SELECT start_time FROM runs",
        "SELECT CAST(SUBSTR(source, 13) AS INTEGER) FROM model_versions",
        "SELECT CAST(value AS INTEGER) FROM model_version_tags",
    ] {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            *found.entry(row.get(0)?).or_default() += 1;
        }
    }
    Ok(found)
}
