//! The keys that runs have, for choosing columns.

use std::{
    collections::HashMap,
    rc::Rc,
    sync::{Arc, Mutex},
};

use cairn_core::ExperimentId;
use rusqlite::types::Value as SqlValue;

use crate::{
    ReadTx, Result, Store,
    run_index::{Kind, Stamp},
};

/// Lists of experiments whose keys are kept.
const KEPT: usize = 12;
/// Experiments with at most this many runs are asked run by run for their keys.
const SMALL_EXPERIMENT: i64 = 2_000;

/// The keys that the active runs of some experiments have, each list sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunKeys {
    /// Metrics.
    pub metrics: Vec<String>,
    /// Parameters.
    pub params: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
}

/// Keys that were looked up, per list of experiments.
#[derive(Default)]
pub(crate) struct KnownKeys(Mutex<HashMap<Vec<i64>, Known>>);

struct Known {
    keys: Arc<RunKeys>,
    stamp: Stamp,
    schema_version: i64,
}

impl Store {
    /// The keys that the active runs of some experiments have.
    pub fn run_keys(&self, experiments: &[ExperimentId]) -> Result<Arc<RunKeys>> {
        let wanted: Vec<i64> = experiments.iter().map(|id| id.0).collect();
        let stamp = self.change_stamp();
        self.read_blocking(|tx| {
            let is_same = |entry: &Known, kinds: &[Kind]| {
                entry.schema_version == tx.shape.schema_version
                    && kinds.iter().all(|kind| entry.stamp.is_same(&stamp, *kind))
            };
            // While no run and no tag went away, a key that was there still is: only others are
            // looked for.
            let mut before = Arc::default();
            {
                let known = self.known_keys().0.lock().expect("no holder of this lock panics");
                if let Some(entry) = known.get(&wanted) {
                    if is_same(entry, &[Kind::Listed, Kind::Params, Kind::Tags, Kind::Metrics]) {
                        return Ok(entry.keys.clone());
                    }
                    if is_same(entry, &[Kind::Listed, Kind::Tags]) {
                        before = entry.keys.clone();
                    }
                }
            }
            let keys = Arc::new(tx.run_keys(experiments, &before)?);
            let entry =
                Known { keys: keys.clone(), stamp, schema_version: tx.shape.schema_version };
            let mut known = self.known_keys().0.lock().expect("no holder of this lock panics");
            if known.len() >= KEPT {
                known.clear();
            }
            known.insert(wanted, entry);
            Ok(keys)
        })
    }
}

impl ReadTx<'_> {
    /// The keys of the experiments' runs; those in `before` are known to be there.
    fn run_keys(&self, experiments: &[ExperimentId], before: &RunKeys) -> Result<RunKeys> {
        Ok(RunKeys {
            metrics: self.keys_of("latest_metrics", experiments, &before.metrics)?,
            params: self.keys_of("params", experiments, &before.params)?,
            tags: self.keys_of("tags", experiments, &before.tags)?,
        })
    }

    /// The keys of one table that active runs of the experiments have.
    ///
    /// For a small experiment its runs are asked. For a large one the table's keys are found by
    /// jumping through its primary key, and each is kept if some run of the experiment has it;
    /// that ends at the first hit.
    fn keys_of(
        &self,
        table: &str,
        experiments: &[ExperimentId],
        before: &[String],
    ) -> Result<Vec<String>> {
        let ids = Rc::new(experiments.iter().map(|id| SqlValue::from(id.0)).collect::<Vec<_>>());
        let few = self
            .connection
            .prepare_cached(
                "SELECT COUNT(*) FROM (SELECT 1 FROM runs WHERE experiment_id IN rarray(?1) \
                 AND lifecycle_stage = 'active' LIMIT ?2)",
            )?
            .query_row((&ids, SMALL_EXPERIMENT + 1), |row| row.get::<_, i64>(0))?
            <= SMALL_EXPERIMENT;
        if few {
            let mut statement = self.connection.prepare_cached(&format!(
                "SELECT DISTINCT t.key FROM runs AS r CROSS JOIN {table} AS t \
                 WHERE r.experiment_id IN rarray(?1) AND r.lifecycle_stage = 'active' \
                 AND t.run_uuid = r.run_uuid"
            ))?;
            let keys = statement.query_map([ids], |row| row.get(0))?;
            let mut keys = keys.collect::<rusqlite::Result<Vec<String>>>()?;
            keys.sort();
            return Ok(keys);
        }
        let mut keys = Vec::new();
        let mut next = self
            .connection
            .prepare_cached(&format!("SELECT MIN(key) FROM {table} WHERE key > ?1"))?;
        let mut has = self.connection.prepare_cached(&format!(
            "SELECT EXISTS (SELECT 1 FROM {table} AS t CROSS JOIN runs AS r \
             WHERE t.key = ?1 AND r.run_uuid = t.run_uuid AND r.experiment_id IN rarray(?2) \
             AND r.lifecycle_stage = 'active')"
        ))?;
        let mut last = String::new();
        while let Some(key) = next.query_row([&last], |row| row.get::<_, Option<String>>(0))? {
            let is_known = before.binary_search(&key).is_ok();
            if is_known || has.query_row((&key, &ids), |row| row.get(0))? {
                keys.push(key.clone());
            }
            last = key;
        }
        Ok(keys)
    }
}
