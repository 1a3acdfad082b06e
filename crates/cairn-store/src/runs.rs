//! Runs: making, reading, changing and trashing them; their parameters and tags.

use cairn_core::{
    ExperimentId, Invalid, LifecycleStage, MetricPoint, RunId, RunStatus, limits, names,
};
use rusqlite::{OptionalExtension as _, Row, params};

use crate::{
    Change, ReadTx, Result, RunFacets, StoreError, WriteTx,
    experiments::{Tag, require_active},
    inputs::{RunInputs, RunOutputs},
    tx::random_bytes,
};

/// The tag that mirrors a run's name.
pub const RUN_NAME_TAG: &str = "mlflow.runName";

/// A parameter of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// The key.
    pub key: String,
    /// The text.
    pub value: String,
}

/// The facts of a run that every run has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// Its id.
    pub run_id: RunId,
    /// Its name; not unique.
    pub run_name: String,
    /// Its experiment.
    pub experiment_id: ExperimentId,
    /// Who ran it; empty if the client did not say.
    pub user_id: String,
    /// What it is doing.
    pub status: RunStatus,
    /// Milliseconds since 1970; 0 when the client sent none.
    pub start_time: Option<i64>,
    /// Milliseconds since 1970.
    pub end_time: Option<i64>,
    /// Where its files are.
    pub artifact_uri: String,
    /// In use or in the trash.
    pub lifecycle_stage: LifecycleStage,
}

/// A run with all that belongs to it but metric histories and files.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its facts.
    pub info: RunInfo,
    /// The latest value of each metric, in order of first logging.
    pub metrics: Vec<MetricPoint>,
    /// Parameters, in order of logging.
    pub params: Vec<Param>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Datasets and models it read.
    pub inputs: RunInputs,
    /// Models it made.
    pub outputs: RunOutputs,
}

/// What a run is made from.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its experiment; must be active.
    pub experiment_id: ExperimentId,
    /// Who runs it.
    pub user_id: String,
    /// Its name; the tag `mlflow.runName` must agree, and a name is made up if neither is given.
    pub run_name: Option<String>,
    /// Milliseconds since 1970.
    pub start_time: i64,
    /// Its first tags.
    pub tags: Vec<Tag>,
}

/// What changes about a run; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct RunUpdate {
    /// The new status.
    pub status: Option<RunStatus>,
    /// When it ended, milliseconds since 1970.
    pub end_time: Option<i64>,
    /// The new name; an empty one is ignored.
    pub run_name: Option<String>,
}

/// Columns that [`info_from_row`] reads, in its order.
pub(crate) const INFO_COLUMNS: &str = "run_uuid, COALESCE(name, ''), experiment_id, \
     COALESCE(user_id, ''), status, start_time, end_time, COALESCE(artifact_uri, ''), \
     lifecycle_stage";

impl ReadTx<'_> {
    /// The facts of a run, deleted ones included.
    pub fn run_info(&self, id: &RunId) -> Result<RunInfo> {
        let mut statement = self
            .connection
            .prepare_cached(&format!("SELECT {INFO_COLUMNS} FROM runs WHERE run_uuid = ?1"))?;
        statement
            .query_row([id.as_str()], info_from_row)
            .optional()?
            .ok_or_else(|| StoreError::NotFound(format!("Run with id={id} not found")))
    }

    /// A run with all that belongs to it, deleted ones included.
    pub fn run(&self, id: &RunId) -> Result<Run> {
        self.complete_run(self.run_info(id)?)
    }

    /// Adds to a run's facts all that belongs to it.
    pub(crate) fn complete_run(&self, info: RunInfo) -> Result<Run> {
        Ok(Run {
            metrics: self.latest_metrics(&info.run_id)?,
            params: self.params(&info.run_id)?,
            tags: self.tags(&info.run_id)?,
            inputs: self.run_inputs(&info.run_id)?,
            outputs: self.run_outputs(&info.run_id)?,
            info,
        })
    }

    /// A run's parameters, in order of logging.
    pub fn params(&self, id: &RunId) -> Result<Vec<Param>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT key, value FROM params WHERE run_uuid = ?1 ORDER BY rowid")?;
        let rows = statement
            .query_map([id.as_str()], |row| Ok(Param { key: row.get(0)?, value: row.get(1)? }))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// A run's tags.
    pub fn tags(&self, id: &RunId) -> Result<Vec<Tag>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT key, COALESCE(value, '') FROM tags WHERE run_uuid = ?1 ORDER BY rowid",
        )?;
        let rows = statement
            .query_map([id.as_str()], |row| Ok(Tag { key: row.get(0)?, value: row.get(1)? }))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Runs nested in a run (tag `mlflow.parentRunId`), oldest first.
    pub fn child_runs(&self, parent: &RunId, limit: usize) -> Result<Vec<RunInfo>> {
        let experiment = self.run_info(parent)?.experiment_id;
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {INFO_COLUMNS} FROM runs WHERE experiment_id = ?1 \
             AND lifecycle_stage = 'active' AND EXISTS (SELECT 1 FROM tags AS t \
             WHERE t.key = 'mlflow.parentRunId' AND t.run_uuid = runs.run_uuid AND t.value = ?2) \
             ORDER BY start_time, run_uuid LIMIT ?3"
        ))?;
        let rows = statement
            .query_map(params![experiment.0, parent.as_str(), limit as i64], info_from_row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How many active runs are RUNNING, and whether there is any run at all.
    pub fn run_activity(&self) -> Result<(u64, bool)> {
        let mut statement = self.connection.prepare_cached(
            "SELECT (SELECT COUNT(*) FROM runs WHERE status = 'RUNNING' \
             AND lifecycle_stage = 'active'), EXISTS (SELECT 1 FROM runs)",
        )?;
        Ok(statement
            .query_row([], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?)))?)
    }
}

impl WriteTx<'_> {
    /// Makes a run and answers it.
    pub fn create_run(&mut self, new: &NewRun) -> Result<Run> {
        let experiment = self.experiment(new.experiment_id)?;
        require_active(&experiment)?;
        let run_id = RunId::from_random(random_bytes());
        let tagged = new.tags.iter().find(|tag| tag.key == RUN_NAME_TAG).map(|tag| &tag.value);
        let given = new.run_name.as_ref().filter(|name| !name.is_empty());
        let run_name = match (given, tagged.filter(|name| !name.is_empty())) {
            (Some(name), Some(tag)) if name != tag => {
                return Err(Invalid::new(format!(
                    "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with \
                     different values (run_name='{name}', mlflow.runName='{tag}')."
                ))
                .into());
            }
            (Some(name), _) | (None, Some(name)) => name.clone(),
            (None, None) => {
                let bytes = random_bytes();
                names::generate_run_name(u64::from_le_bytes(
                    bytes[..8].try_into().expect("eight of sixteen bytes"),
                ))
            }
        };
        let artifact_uri =
            format!("{}/{run_id}/artifacts", experiment.artifact_location.trim_end_matches('/'));
        self.connection
            .prepare_cached(
                "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, \
                 user_id, status, start_time, end_time, source_version, lifecycle_stage, \
                 artifact_uri, experiment_id) \
                 VALUES (?1, ?2, 'UNKNOWN', '', '', ?3, 'RUNNING', ?4, NULL, '', 'active', ?5, ?6)",
            )?
            .execute(params![
                run_id.as_str(),
                run_name,
                new.user_id,
                new.start_time,
                artifact_uri,
                new.experiment_id.0
            ])?;
        for (index, tag) in new.tags.iter().enumerate() {
            if new.tags[..index].iter().any(|earlier| earlier.key == tag.key) {
                return Err(StoreError::Conflict(format!(
                    "The tag '{}' was given more than once.",
                    tag.key
                )));
            }
            self.put_tag(&run_id, &tag.key, limits::run_tag_value(&tag.value))?;
        }
        if tagged.is_none_or(String::is_empty) {
            self.put_tag(&run_id, RUN_NAME_TAG, &run_name)?;
        }
        self.changed(Change::Run(new.experiment_id, run_id.clone(), RunFacets::LISTED));
        self.run(&run_id)
    }

    /// Changes a run's status, end or name.
    pub fn update_run(&mut self, id: &RunId, update: &RunUpdate) -> Result<RunInfo> {
        let experiment_id = self.require_active_run(id)?;
        if let Some(status) = update.status {
            self.connection
                .prepare_cached("UPDATE runs SET status = ?2 WHERE run_uuid = ?1")?
                .execute(params![id.as_str(), status.as_str()])?;
        }
        if let Some(end_time) = update.end_time {
            self.connection
                .prepare_cached("UPDATE runs SET end_time = ?2 WHERE run_uuid = ?1")?
                .execute(params![id.as_str(), end_time])?;
        }
        if let Some(name) = update.run_name.as_ref().filter(|name| !name.is_empty()) {
            self.rename_run(id, name)?;
            self.put_tag(id, RUN_NAME_TAG, name)?;
        }
        let facets = RunFacets { tags: update.run_name.is_some(), ..RunFacets::INFO };
        self.changed(Change::Run(experiment_id, id.clone(), facets));
        self.run_info(id)
    }

    /// Moves a run to the trash; deleting twice is a success.
    pub fn delete_run(&mut self, id: &RunId) -> Result<()> {
        self.set_run_stage(id, LifecycleStage::Deleted)
    }

    /// Brings a run back from the trash; restoring an active one is a success.
    pub fn restore_run(&mut self, id: &RunId) -> Result<()> {
        self.set_run_stage(id, LifecycleStage::Active)
    }

    /// Logs a parameter. Logging the same value again is a success, another value is refused.
    pub fn log_param(&mut self, id: &RunId, param: &Param) -> Result<()> {
        limits::check_param_key(&param.key, "key")?;
        let experiment_id = self.require_active_run(id)?;
        let value = limits::param_value(&param.value);
        if let Some(old) = self.put_param(id, &param.key, value)? {
            return Err(Invalid::new(format!(
                "Changing param values is not allowed. Param with key='{}' was already logged \
                 with value='{old}' for run ID='{id}'. Attempted logging new value '{value}'.",
                param.key
            ))
            .into());
        }
        self.changed(Change::Run(experiment_id, id.clone(), RunFacets::PARAMS));
        Ok(())
    }

    /// Sets a tag; `mlflow.runName` also renames the run.
    pub fn set_tag(&mut self, id: &RunId, tag: &Tag) -> Result<()> {
        limits::check_tag_key(&tag.key, "key")?;
        let experiment_id = self.require_active_run(id)?;
        self.set_tag_unchecked(id, tag)?;
        let facets = RunFacets { info: tag.key == RUN_NAME_TAG, ..RunFacets::TAGS };
        self.changed(Change::Run(experiment_id, id.clone(), facets));
        Ok(())
    }

    /// Removes a tag.
    pub fn delete_tag(&mut self, id: &RunId, key: &str) -> Result<()> {
        let experiment_id = self.require_active_run(id)?;
        let removed = self
            .connection
            .prepare_cached("DELETE FROM tags WHERE run_uuid = ?1 AND key = ?2")?
            .execute([id.as_str(), key])?;
        if removed == 0 {
            return Err(StoreError::NotFound(format!(
                "No tag with name: {key} in run with id {id}"
            )));
        }
        self.changed(Change::Run(experiment_id, id.clone(), RunFacets::TAGS));
        Ok(())
    }

    /// Sets a tag whose key and run were checked.
    pub(crate) fn set_tag_unchecked(&self, id: &RunId, tag: &Tag) -> Result<()> {
        let value = limits::run_tag_value(&tag.value);
        if tag.key == RUN_NAME_TAG {
            if value.is_empty() {
                return Ok(());
            }
            self.rename_run(id, value)?;
        }
        self.put_tag(id, &tag.key, value)
    }

    /// Inserts a parameter, or answers the other value that stands there.
    pub(crate) fn put_param(&self, id: &RunId, key: &str, value: &str) -> Result<Option<String>> {
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO params (key, value, run_uuid) VALUES (?1, ?2, ?3)",
            )?
            .execute([key, value, id.as_str()])?;
        if inserted == 1 {
            return Ok(None);
        }
        let old: String = self
            .connection
            .prepare_cached("SELECT value FROM params WHERE key = ?1 AND run_uuid = ?2")?
            .query_row([key, id.as_str()], |row| row.get(0))?;
        Ok((old != value).then_some(old))
    }

    /// The experiment of a run that may be written to.
    ///
    /// Errors: [`StoreError::NotFound`]; [`StoreError::Invalid`] for a deleted run, in MLflow's
    /// words.
    pub(crate) fn require_active_run(&self, id: &RunId) -> Result<ExperimentId> {
        let found: Option<(i64, Option<String>)> = self
            .connection
            .prepare_cached("SELECT experiment_id, lifecycle_stage FROM runs WHERE run_uuid = ?1")?
            .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((experiment_id, stage)) = found else {
            return Err(StoreError::NotFound(format!("Run with id={id} not found")));
        };
        if stage.as_deref() == Some("deleted") {
            return Err(Invalid::new(format!(
                "The run {id} must be in the 'active' state. Current state is deleted."
            ))
            .into());
        }
        Ok(ExperimentId(experiment_id))
    }

    /// Writes a tag's row as it is.
    pub(crate) fn put_tag(&self, id: &RunId, key: &str, value: &str) -> Result<()> {
        let updated = self
            .connection
            .prepare_cached("UPDATE tags SET value = ?2 WHERE key = ?1 AND run_uuid = ?3")?
            .execute([key, value, id.as_str()])?;
        if updated == 0 {
            self.connection
                .prepare_cached("INSERT INTO tags (key, value, run_uuid) VALUES (?1, ?2, ?3)")?
                .execute([key, value, id.as_str()])?;
        }
        Ok(())
    }

    fn rename_run(&self, id: &RunId, name: &str) -> Result<()> {
        self.connection
            .prepare_cached("UPDATE runs SET name = ?2 WHERE run_uuid = ?1")?
            .execute([id.as_str(), name])?;
        Ok(())
    }

    fn set_run_stage(&mut self, id: &RunId, stage: LifecycleStage) -> Result<()> {
        let info = self.run_info(id)?;
        self.connection
            .prepare_cached("UPDATE runs SET lifecycle_stage = ?2 WHERE run_uuid = ?1")?
            .execute([id.as_str(), stage.as_str()])?;
        if self.shape.has_deleted_time {
            let deleted = (stage == LifecycleStage::Deleted).then_some(self.now.0);
            self.connection
                .prepare_cached("UPDATE runs SET deleted_time = ?2 WHERE run_uuid = ?1")?
                .execute(params![id.as_str(), deleted])?;
        }
        self.changed(Change::Run(info.experiment_id, id.clone(), RunFacets::LISTED));
        Ok(())
    }
}

/// Reads [`INFO_COLUMNS`].
///
/// A status that MLflow does not know counts as FAILED, an id that is none as an error of the file.
pub(crate) fn info_from_row(row: &Row<'_>) -> rusqlite::Result<RunInfo> {
    let id: String = row.get(0)?;
    let run_id = id.parse().map_err(|error: Invalid| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })?;
    let status: Option<String> = row.get(4)?;
    Ok(RunInfo {
        run_id,
        run_name: row.get(1)?,
        experiment_id: ExperimentId(row.get::<_, Option<i64>>(2)?.unwrap_or_default()),
        user_id: row.get(3)?,
        status: status.and_then(|status| status.parse().ok()).unwrap_or(RunStatus::Failed),
        start_time: row.get(5)?,
        end_time: row.get(6)?,
        artifact_uri: row.get(7)?,
        lifecycle_stage: LifecycleStage::from_column(
            &row.get::<_, Option<String>>(8)?.unwrap_or_default(),
        ),
    })
}
