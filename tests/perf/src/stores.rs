//! Generated stores: the same runs for every server, kept between runs of the bench.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cairn_store::{OpenOptions, Store};
use rusqlite::{Connection, params};

use crate::load::value;
use crate::servers::Server;

/// Parameters, and metrics, of each generated run; metrics have one value.
pub const KEYS: usize = 20;
/// Tags of each generated run.
pub const TAGS: usize = 5;
/// Points of the long history.
pub const POINTS: u64 = 1_000_000;
/// The run with the long history, and its metric.
pub const LONG_RUN: &str = "0123456789abcdef0123456789abcdef";
/// See [`LONG_RUN`].
pub const LONG_KEY: &str = "loss";

/// Raised when what is generated changes, so that old stores are made anew.
const GENERATION: u32 = 1;

/// Where the stores are kept, and how stock MLflow is started to make its own.
pub struct Stores {
    /// A folder on the disk that is measured.
    pub folder: PathBuf,
    /// The interpreter of an environment with MLflow.
    pub python: PathBuf,
}

impl Stores {
    /// A store that Cairn made, with so many runs in the experiment 1.
    pub fn cairn(&self, runs: u64) -> Result<PathBuf> {
        self.cached(&format!("cairn-{runs}"), |folder| {
            drop(Store::open(folder, OpenOptions::Create)?);
            fill(&folder.join("mlflow.db"), runs)
        })
    }

    /// The same runs in a file that stock MLflow made.
    pub fn mlflow(&self, runs: u64) -> Result<PathBuf> {
        let empty = self.cached("mlflow-empty", |folder| {
            drop(Server::mlflow(&self.python, folder)?);
            Ok(())
        })?;
        self.cached(&format!("mlflow-{runs}"), |folder| {
            fs::copy(empty.join("mlflow.db"), folder.join("mlflow.db"))?;
            fill(&folder.join("mlflow.db"), runs)
        })
    }

    /// A store that Cairn made, with 1,000 runs and one more that has [`POINTS`] points of one metric
    /// and a tenth of them of another.
    pub fn history(&self) -> Result<PathBuf> {
        self.cached("history", |folder| {
            drop(Store::open(folder, OpenOptions::Create)?);
            fill(&folder.join("mlflow.db"), 1000)?;
            fill_history(&folder.join("mlflow.db"), 1)
        })
    }

    fn cached(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let folder = self.folder.join(format!("{name}-v{GENERATION}"));
        let complete = folder.join("complete");
        if complete.exists() {
            return Ok(folder);
        }
        crate::say(&format!("making the store {name}"));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        make(&folder).with_context(|| format!("the store {name} cannot be made"))?;
        fs::write(complete, "")?;
        Ok(folder)
    }
}

/// Copies a store, so that the copy may be written to.
pub fn copy(store: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    fs::copy(store.join("mlflow.db"), to.join("mlflow.db"))?;
    Ok(())
}

/// Writes the runs with plain SQL in one transaction: through a server it would take minutes.
fn fill(database: &Path, runs: u64) -> Result<()> {
    let connection = open_quick(database)?;
    connection.execute_batch(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, \
         creation_time, last_update_time) \
         VALUES (1, 'bench', 'mlflow-artifacts:/1', 'active', 1, 1)",
    )?;
    {
        let mut run = connection.prepare(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, \
             user_id, status, start_time, end_time, source_version, lifecycle_stage, \
             artifact_uri, experiment_id) VALUES (?1, ?2, 'UNKNOWN', '', '', 'ada', 'FINISHED', \
             ?3, ?3 + 60000, '', 'active', 'mlflow-artifacts:/1/' || ?1 || '/artifacts', 1)",
        )?;
        let mut tag =
            connection.prepare("INSERT INTO tags (key, value, run_uuid) VALUES (?1, ?2, ?3)")?;
        let mut param =
            connection.prepare("INSERT INTO params (key, value, run_uuid) VALUES (?1, ?2, ?3)")?;
        let mut metric = connection.prepare(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) \
             VALUES (?1, ?2, ?3, 1, 0, ?4)",
        )?;
        let mut history = connection.prepare(
            "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) \
             VALUES (?1, ?2, ?3, 1, 0, ?4)",
        )?;
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for number in 0..runs {
            let id = format!("{:016x}{:016x}", random.next(), random.next());
            let start = 1_700_000_000_000_i64 + (random.next() % 10_000_000_000) as i64;
            let name = format!("run-{number}");
            run.execute(params![id, name, start])?;
            let commit = format!("{:016x}", random.next());
            for (key, value) in [
                ("mlflow.runName", &*name),
                ("mlflow.source.name", "train.py"),
                ("mlflow.source.type", "LOCAL"),
                ("mlflow.source.git.commit", &*commit),
                ("mlflow.user", "ada"),
            ] {
                tag.execute(params![key, value, id])?;
            }
            for key in 0..KEYS {
                let value = match key % 4 {
                    // A learning rate, a number of layers, a word, a seed.
                    0 => format!("{}e-{}", random.next() % 9 + 1, random.next() % 6),
                    1 => (random.next() % 64).to_string(),
                    2 => format!("choice-{}", random.next() % 10),
                    _ => random.next().to_string(),
                };
                param.execute(params![param_key(key), value, id])?;
                let value = (random.next() % 1_000_000) as f64 / 1e6;
                let key = metric_key(key);
                metric.execute(params![key, value, start + 1, id])?;
                history.execute(params![key, value, start + 1, id])?;
            }
        }
    }
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

/// The key of a generated parameter.
pub fn param_key(number: usize) -> String {
    format!("param_{number:02}")
}

/// The key of a generated metric.
pub fn metric_key(number: usize) -> String {
    format!("metric_{number:02}")
}

/// Adds the long run to a file that has an experiment 0.
pub fn add_history(database: &Path) -> Result<()> {
    fill_history(database, 0)
}

fn fill_history(database: &Path, experiment: i64) -> Result<()> {
    let connection = open_quick(database)?;
    connection.execute(
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, \
         status, start_time, source_version, lifecycle_stage, artifact_uri, experiment_id) VALUES \
         (?1, 'long', 'UNKNOWN', '', '', 'ada', 'RUNNING', 1700000000000, '', 'active', '', ?2)",
        params![LONG_RUN, experiment],
    )?;
    {
        let mut insert = connection.prepare(
            "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) \
             VALUES (?1, ?2, ?3, ?4, 0, ?5)",
        )?;
        for number in 0..POINTS {
            let (time, step) = (1_760_000_000_000 + 10 * number as i64, number as i64);
            insert.execute(params![LONG_KEY, value(number), time, step, LONG_RUN])?;
            if number % 10 == 0 {
                insert.execute(params!["accuracy", 1.0 - value(number), time, step, LONG_RUN])?;
            }
        }
        let mut latest = connection.prepare(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) \
             SELECT key, value, MAX(timestamp), step, is_nan, run_uuid FROM metrics \
             WHERE run_uuid = ?1 GROUP BY key",
        )?;
        latest.execute([LONG_RUN])?;
    }
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

/// A connection in a transaction that need not survive anything.
fn open_quick(database: &Path) -> Result<Connection> {
    let connection = Connection::open(database)?;
    connection.execute_batch(
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; PRAGMA temp_store = MEMORY; BEGIN",
    )?;
    Ok(connection)
}

/// Numbers without order, the same in every run of the bench (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
