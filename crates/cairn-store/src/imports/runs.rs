//! Experiments, runs and their metrics, with the ids that they had.

use cairn_core::{
    ExperimentId, LifecycleStage, LoggedModelId, MetricValue, RunId, RunStatus, limits,
};
use rusqlite::{OptionalExtension as _, params};

use super::{Existing, ParamConflict};
use crate::{
    Change, Result, RunFacets, WriteTx,
    experiments::Tag,
    inputs::{DatasetInput, ModelOutput},
    runs::{Param, RUN_NAME_TAG},
};

/// An experiment on its way in.
#[derive(Debug, Clone)]
pub struct ImportedExperiment {
    /// The number that it had; kept if it is free.
    pub experiment_id: Option<ExperimentId>,
    /// Its name.
    pub name: String,
    /// Where files of new runs go; `None` is the store's artifact tree.
    pub artifact_location: Option<String>,
    /// In use or in the trash.
    pub lifecycle_stage: LifecycleStage,
    /// Milliseconds since 1970.
    pub creation_time: Option<i64>,
    /// Milliseconds since 1970.
    pub last_update_time: Option<i64>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// Where an experiment came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentOutcome {
    /// Its number in the store.
    pub experiment_id: ExperimentId,
    /// Its name in the store.
    pub name: String,
    /// Whether it was made; otherwise the runs join one that was there.
    pub is_new: bool,
}

/// A run on its way in, without its metrics.
#[derive(Debug, Clone)]
pub struct ImportedRun {
    /// Its id.
    pub run_id: RunId,
    /// Its experiment in the store.
    pub experiment_id: ExperimentId,
    /// Its name; empty if it has none.
    pub name: String,
    /// Who ran it.
    pub user_id: String,
    /// `NOTEBOOK`, `JOB`, `PROJECT`, `LOCAL` or `UNKNOWN`.
    pub source_type: &'static str,
    /// As the file says; MLflow itself uses tags instead.
    pub source_name: String,
    /// See `source_name`.
    pub source_version: String,
    /// See `source_name`.
    pub entry_point_name: String,
    /// What it was doing.
    pub status: RunStatus,
    /// Milliseconds since 1970.
    pub start_time: Option<i64>,
    /// Milliseconds since 1970.
    pub end_time: Option<i64>,
    /// Milliseconds since 1970.
    pub deleted_time: Option<i64>,
    /// In use or in the trash.
    pub lifecycle_stage: LifecycleStage,
    /// Where its files are.
    pub artifact_uri: String,
    /// Parameters; keys are checked, values are cut to the limit.
    pub params: Vec<Param>,
    /// Tags; keys are checked, values are cut to the limit.
    pub tags: Vec<Tag>,
    /// Datasets that it read.
    pub datasets: Vec<DatasetInput>,
    /// Logged models that it read.
    pub model_inputs: Vec<LoggedModelId>,
    /// Logged models that it made.
    pub model_outputs: Vec<ModelOutput>,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOutcome {
    /// Whether its row was made.
    pub is_new: bool,
    /// Parameters that the store has with another value.
    pub conflicts: Vec<ParamConflict>,
    /// The run is in the store under another experiment: which one.
    pub other_experiment: Option<ExperimentId>,
}

/// A measured value on its way in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImportedPoint {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Its step.
    pub step: i64,
    /// Its value.
    pub value: MetricValue,
}

impl ImportedPoint {
    /// Whether this point replaces `other` as the latest value, by MLflow's rule: step, then time,
    /// then value, with NaN as 0.
    pub fn is_later_than(&self, other: &Self) -> bool {
        match (self.step, self.timestamp).cmp(&(other.step, other.timestamp)) {
            std::cmp::Ordering::Equal => self.value.to_columns().0 > other.value.to_columns().0,
            ordering => ordering.is_gt(),
        }
    }
}

impl WriteTx<'_> {
    /// Makes an experiment, or finds the one that its runs join: the one with its name.
    ///
    /// A number that is taken by another name is replaced by the next free one. A name that only a
    /// deleted experiment has gets ` (imported)` appended, unless the imported one is deleted too.
    pub fn import_experiment(
        &mut self,
        new: &ImportedExperiment,
        existing: Existing,
    ) -> Result<ExperimentOutcome> {
        let mut name = new.name.clone();
        let mut found = self.named_experiment(&name)?;
        if found.is_some_and(|(_, stage)| stage == LifecycleStage::Deleted)
            && new.lifecycle_stage == LifecycleStage::Active
            && existing == Existing::Stays
        {
            name.push_str(" (imported)");
            found = self.named_experiment(&name)?;
        }
        if let Some((experiment_id, stage)) = found {
            if existing == Existing::Follows && stage != new.lifecycle_stage {
                self.connection
                    .prepare_cached(
                        "UPDATE experiments SET lifecycle_stage = ?2 WHERE experiment_id = ?1",
                    )?
                    .execute(params![experiment_id.0, new.lifecycle_stage.as_str()])?;
            }
            self.import_experiment_tags(experiment_id, &new.tags, existing)?;
            self.changed(Change::Experiments);
            return Ok(ExperimentOutcome { experiment_id, name, is_new: false });
        }
        let wanted = match new.experiment_id {
            Some(id) if self.is_free(id)? => Some(id.0),
            _ => None,
        };
        self.connection
            .prepare_cached(
                "INSERT INTO experiments (experiment_id, name, artifact_location, \
                 lifecycle_stage) VALUES (?1, ?2, '', ?3)",
            )?
            .execute(params![wanted, name, new.lifecycle_stage.as_str()])?;
        let experiment_id = ExperimentId(self.connection.last_insert_rowid());
        let location = new.artifact_location.clone();
        let location = location.unwrap_or_else(|| format!("mlflow-artifacts:/{experiment_id}"));
        self.connection
            .prepare_cached(
                "UPDATE experiments SET artifact_location = ?2 WHERE experiment_id = ?1",
            )?
            .execute(params![experiment_id.0, location])?;
        if self.shape.has_experiment_times {
            self.connection
                .prepare_cached(
                    "UPDATE experiments SET creation_time = ?2, last_update_time = ?3 \
                     WHERE experiment_id = ?1",
                )?
                .execute(params![experiment_id.0, new.creation_time, new.last_update_time])?;
        }
        self.import_experiment_tags(experiment_id, &new.tags, existing)?;
        self.changed(Change::Experiments);
        Ok(ExperimentOutcome { experiment_id, name, is_new: true })
    }

    /// Makes a run, or adds to the one with its id.
    ///
    /// Its experiment must exist. Keys of parameters and tags were checked by the caller.
    pub fn import_run(&mut self, new: &ImportedRun, existing: Existing) -> Result<RunOutcome> {
        let id = &new.run_id;
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO runs (run_uuid, name, source_type, source_name, \
                 entry_point_name, user_id, status, start_time, end_time, source_version, \
                 lifecycle_stage, artifact_uri, experiment_id) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                id.as_str(),
                new.name,
                new.source_type,
                new.source_name,
                new.entry_point_name,
                new.user_id,
                new.status.as_str(),
                new.start_time,
                new.end_time,
                new.source_version,
                new.lifecycle_stage.as_str(),
                new.artifact_uri,
                new.experiment_id.0
            ])?;
        let is_new = inserted == 1;
        let mut other_experiment = None;
        if !is_new {
            let there = self.run_info(id)?.experiment_id;
            other_experiment = (there != new.experiment_id).then_some(there);
            if existing == Existing::Follows {
                self.connection
                    .prepare_cached(
                        "UPDATE runs SET name = ?2, status = ?3, end_time = ?4, \
                         lifecycle_stage = ?5 WHERE run_uuid = ?1",
                    )?
                    .execute(params![
                        id.as_str(),
                        new.name,
                        new.status.as_str(),
                        new.end_time,
                        new.lifecycle_stage.as_str()
                    ])?;
            }
        }
        if self.shape.has_deleted_time && (is_new || existing == Existing::Follows) {
            self.connection
                .prepare_cached("UPDATE runs SET deleted_time = ?2 WHERE run_uuid = ?1")?
                .execute(params![id.as_str(), new.deleted_time])?;
        }
        let mut conflicts = Vec::new();
        for param in &new.params {
            let value = limits::param_value(&param.value);
            if let Some(kept) = self.put_param(id, &param.key, value)? {
                conflicts.push(ParamConflict { key: param.key.clone(), kept });
            }
        }
        for tag in &new.tags {
            let value = limits::run_tag_value(&tag.value);
            let sql = match existing {
                Existing::Follows => {
                    "INSERT OR REPLACE INTO tags (key, value, run_uuid) VALUES (?1, ?2, ?3)"
                }
                Existing::Stays => {
                    "INSERT OR IGNORE INTO tags (key, value, run_uuid) VALUES (?1, ?2, ?3)"
                }
            };
            self.connection.prepare_cached(sql)?.execute([&tag.key, value, id.as_str()])?;
        }
        if !new.name.is_empty() && !new.tags.iter().any(|tag| tag.key == RUN_NAME_TAG) {
            self.connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO tags (key, value, run_uuid) VALUES (?1, ?2, ?3)",
                )?
                .execute([RUN_NAME_TAG, &new.name, id.as_str()])?;
        }
        let experiment_id = other_experiment.unwrap_or(new.experiment_id);
        self.import_inputs(experiment_id, new)?;
        self.changed(Change::Run(experiment_id, id.clone(), RunFacets::LISTED));
        Ok(RunOutcome { is_new, conflicts, other_experiment })
    }

    /// Adds points to a metric of a run that exists; exact duplicates are left out. Answers how
    /// many were added.
    pub fn import_points(
        &mut self,
        run: &RunId,
        key: &str,
        points: &[ImportedPoint],
    ) -> Result<u64> {
        // Row by row: a statement of many rows opens a savepoint of its own, and closing that walks
        // over all that the transaction has changed so far.
        let mut statement = self.connection.prepare_cached(
            "INSERT OR IGNORE INTO metrics (key, run_uuid, value, timestamp, step, is_nan) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        statement.raw_bind_parameter(1, key)?;
        statement.raw_bind_parameter(2, run.as_str())?;
        let mut added = 0;
        for point in points {
            let (value, is_nan) = point.value.to_columns();
            statement.raw_bind_parameter(3, value)?;
            statement.raw_bind_parameter(4, point.timestamp)?;
            statement.raw_bind_parameter(5, point.step)?;
            statement.raw_bind_parameter(6, is_nan)?;
            added += statement.raw_execute()? as u64;
        }
        Ok(added)
    }

    /// Keeps a point as the latest of a metric, if it is later than the one that is there, and
    /// tells the change feed of the run's metrics.
    pub fn import_latest(&mut self, run: &RunId, key: &str, point: &ImportedPoint) -> Result<()> {
        let point = cairn_core::MetricPoint {
            key: key.to_owned(),
            value: point.value,
            timestamp: point.timestamp,
            step: point.step,
        };
        self.put_latest(run, &point)
    }

    /// Tells the change feed that metrics of a run came in.
    pub fn imported_metrics(&mut self, experiment_id: ExperimentId, run: &RunId) {
        self.changed(Change::Run(experiment_id, run.clone(), RunFacets::METRICS));
    }

    fn named_experiment(&self, name: &str) -> Result<Option<(ExperimentId, LifecycleStage)>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT experiment_id, COALESCE(lifecycle_stage, '') FROM experiments WHERE name = ?1",
        )?;
        Ok(statement
            .query_row([name], |row| {
                let stage: String = row.get(1)?;
                Ok((ExperimentId(row.get(0)?), LifecycleStage::from_column(&stage)))
            })
            .optional()?)
    }

    fn is_free(&self, id: ExperimentId) -> Result<bool> {
        let mut statement =
            self.connection.prepare_cached("SELECT 1 FROM experiments WHERE experiment_id = ?1")?;
        Ok(!statement.exists([id.0])?)
    }

    fn import_experiment_tags(
        &self,
        id: ExperimentId,
        tags: &[Tag],
        existing: Existing,
    ) -> Result<()> {
        let sql = match existing {
            Existing::Follows => {
                "INSERT OR REPLACE INTO experiment_tags (key, value, experiment_id) \
                 VALUES (?1, ?2, ?3)"
            }
            Existing::Stays => {
                "INSERT OR IGNORE INTO experiment_tags (key, value, experiment_id) \
                 VALUES (?1, ?2, ?3)"
            }
        };
        for tag in tags {
            self.connection.prepare_cached(sql)?.execute(params![tag.key, tag.value, id.0])?;
        }
        Ok(())
    }

    fn import_inputs(&mut self, experiment_id: ExperimentId, new: &ImportedRun) -> Result<()> {
        if self.shape.has_inputs {
            for input in &new.datasets {
                self.put_dataset_input(experiment_id, &new.run_id, input)?;
            }
            for model in &new.model_inputs {
                self.put_model_input(&new.run_id, model)?;
            }
        }
        if self.shape.has_input_steps {
            for output in &new.model_outputs {
                self.put_model_output(&new.run_id, output)?;
            }
        }
        Ok(())
    }
}
