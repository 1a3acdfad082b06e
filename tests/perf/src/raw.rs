//! The limit: what SQLite and the disk do with the same rows and bytes when nothing stands between.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use cairn_store::{OpenOptions, Store};
use rusqlite::{Connection, params};

use crate::load::{BATCH, Caller, KEYS, Workload, value};

/// Plain SQLite with one workload: one connection, prepared statements, MLflow's session settings,
/// `synchronous=FULL`, and one transaction for each call.
pub struct RawCaller {
    connection: Connection,
    workload: Workload,
    run_ids: Vec<String>,
    next: u64,
}

impl RawCaller {
    /// Makes a store (in WAL, as Cairn makes it) in `folder`, with as many runs as there are `clients`
    /// on the other side.
    pub fn new(folder: &Path, workload: Workload, clients: usize) -> Result<Self> {
        drop(Store::open(folder, OpenOptions::Create).context("a store for plain SQLite")?);
        let connection = Connection::open(folder.join("mlflow.db"))?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA cache_size = -8000",
        )?;
        let run_ids: Vec<String> = (0..clients).map(|number| format!("{number:032x}")).collect();
        for run_id in &run_ids {
            insert_run(&connection, run_id)?;
        }
        Ok(Self { connection, workload, run_ids, next: 0 })
    }

    fn log(&self, run_id: &str, count: u64) -> Result<()> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) \
             VALUES (?1, ?2, ?3, ?4, ?5, 0)",
        )?;
        for number in self.next..self.next + count {
            let key = KEYS[number as usize % KEYS.len()];
            let (time, step) = (1_761_000_000_000 + number as i64, number as i64);
            insert.execute(params![key, value(number), time, run_id, step])?;
        }
        let mut latest = self.connection.prepare_cached(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) \
             VALUES (?1, ?2, ?3, ?4, 0, ?5) ON CONFLICT (key, run_uuid) DO UPDATE SET \
             value = excluded.value, timestamp = excluded.timestamp, step = excluded.step",
        )?;
        for number in self.next + count.saturating_sub(KEYS.len() as u64)..self.next + count {
            let key = KEYS[number as usize % KEYS.len()];
            let (time, step) = (1_761_000_000_000 + number as i64, number as i64);
            latest.execute(params![key, value(number), time, step, run_id])?;
        }
        Ok(())
    }
}

impl Caller for RawCaller {
    fn call(&mut self) -> Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let turn = (self.next / BATCH) as usize % self.run_ids.len();
        match self.workload {
            Workload::LogMetric => self.log(&self.run_ids[turn], 1)?,
            Workload::LogBatch => self.log(&self.run_ids[turn], BATCH)?,
            Workload::CreateRun => insert_run(&self.connection, &random_like(self.next))?,
        }
        self.next += BATCH;
        self.connection.execute_batch("COMMIT")?;
        Ok(())
    }
}

/// 32 hexadecimal digits without order, as ids have; the same for the same number.
fn random_like(number: u64) -> String {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{mixed:016x}{:016x}", mixed.rotate_left(23))
}

/// The rows of one `runs/create`: a run and four tags.
fn insert_run(connection: &Connection, run_id: &str) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, \
             status, start_time, end_time, source_version, lifecycle_stage, artifact_uri, \
             experiment_id) VALUES (?1, 'bench', 'UNKNOWN', '', '', 'bench', 'RUNNING', \
             1760000000000, NULL, '', 'active', ?2, 0)",
        )?
        .execute(params![run_id, format!("mlflow-artifacts:/0/{run_id}/artifacts")])?;
    let mut tag =
        connection.prepare_cached("INSERT INTO tags (key, value, run_uuid) VALUES (?1, ?2, ?3)")?;
    for (key, value) in [
        ("mlflow.user", "bench"),
        ("mlflow.source.name", "train.py"),
        ("mlflow.source.type", "LOCAL"),
        ("mlflow.runName", "bench"),
    ] {
        tag.execute([key, value, run_id])?;
    }
    Ok(())
}

/// The median time of an `fsync` after 4 KiB were written to a file in `folder`, microseconds.
pub fn fsync_us(folder: &Path) -> Result<f64> {
    let path = folder.join("fsync");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..300 {
        file.write_all(&[7; 4096])?;
        let started = Instant::now();
        file.sync_all()?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(path)?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Writes `block` so many times to a new file, up to its `fsync`, and gives it its name; seconds.
pub fn write_file(path: &Path, block: &[u8], count: usize) -> Result<f64> {
    let temporary = path.with_extension("new");
    let started = Instant::now();
    let mut file = File::create(&temporary)?;
    for _ in 0..count {
        file.write_all(block)?;
    }
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Ok(started.elapsed().as_secs_f64())
}

/// Reads a file from its start to its end; seconds.
pub fn read_file(path: &Path) -> Result<f64> {
    let mut piece = vec![0; 1 << 20];
    let started = Instant::now();
    let mut file = File::open(path)?;
    while file.read(&mut piece)? > 0 {}
    Ok(started.elapsed().as_secs_f64())
}

/// Lets the system forget what it holds of a file in memory, so that reading it reads the disk.
pub fn forget_cached(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}
