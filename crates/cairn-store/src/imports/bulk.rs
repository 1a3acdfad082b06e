//! Many rows without shutting others out.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{Result, Store, WriteTx};

/// How long the statements of one transaction aim to take; its commit comes on top, and takes what
/// the disk takes however few they are.
const AIM: Duration = Duration::from_millis(250);
/// After this long with hardly a gap between transactions, others get one.
const GAP_EVERY: Duration = Duration::from_secs(5);
/// SQLite's own waiting looks at the lock every 100 ms at least: a gap that long lets in everyone
/// who waits, whatever program they run.
const GAP: Duration = Duration::from_millis(105);
/// Rows of the first transaction, and bounds of the later ones.
const FIRST_ROWS: usize = 5_000;
const MAX_ROWS: usize = 200_000;
const MIN_ROWS: usize = 500;
/// Kibibytes of the database that the writer keeps in memory during a bulk write.
const CACHE_KIB: i64 = 160 << 10;
/// SQLite's defaults, put back afterwards.
const USUAL_CACHE: i64 = -2_000;
const USUAL_CHECKPOINT_PAGES: i64 = 1_000;
/// Pages of the log after which it is moved into the file. Larger than usual: pages that are
/// written again and again go there once.
const CHECKPOINT_PAGES: i64 = 48_000;

/// A bulk write: transactions of bounded time, and a gap now and then in which clients of this and
/// other programs write. The writer's larger cache is given back when this is dropped.
#[derive(Debug)]
pub struct Bulk {
    store: Store,
    rows: usize,
    since_gap: Duration,
    last_end: Option<Instant>,
}

impl Bulk {
    /// Prepares the writer.
    pub fn begin(store: &Store) -> Result<Self> {
        settings(store, -CACHE_KIB, CHECKPOINT_PAGES)?;
        Ok(Self {
            store: store.clone(),
            rows: FIRST_ROWS,
            since_gap: Duration::ZERO,
            last_end: None,
        })
    }

    /// How many rows the next transaction should have to take about a quarter of a second.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Runs one transaction with about `rows` rows, and learns from its time.
    pub fn write<T, F>(&mut self, rows: usize, op: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut WriteTx<'_>) -> Result<T> + Send + 'static,
    {
        let started = Instant::now();
        // Time that went by without a transaction was a gap already.
        let idle = self.last_end.map_or(Duration::ZERO, |end| started - end);
        if idle >= GAP {
            self.since_gap = Duration::ZERO;
        }
        let (answer, worked) = self.store.write_blocking(move |tx| {
            let started = Instant::now();
            let answer = op(tx)?;
            Ok((answer, started.elapsed()))
        })?;
        let took = started.elapsed();
        if rows >= MIN_ROWS {
            let wanted = rows as f64 * AIM.as_secs_f64() / worked.as_secs_f64().max(1e-4);
            // Half way, so that one slow moment does not make all that follow tiny.
            let next = f64::midpoint(self.rows as f64, wanted);
            self.rows = (next as usize).clamp(MIN_ROWS, MAX_ROWS);
        }
        self.since_gap += took;
        if self.since_gap >= GAP_EVERY {
            thread::sleep(GAP);
            self.since_gap = Duration::ZERO;
        }
        self.last_end = Some(Instant::now());
        Ok(answer)
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        // Only speed and memory depend on it; a store that is closed meanwhile has no cache.
        let _ = settings(&self.store, USUAL_CACHE, USUAL_CHECKPOINT_PAGES);
    }
}

fn settings(store: &Store, cache: i64, checkpoint: i64) -> Result<()> {
    store.write_blocking(move |tx| {
        tx.connection.pragma_update(None, "cache_size", cache)?;
        tx.connection.pragma_update(None, "wal_autocheckpoint", checkpoint)?;
        Ok(())
    })
}
