//! Logged models: what runs make of type model, with parameters, tags and metrics of their own.
//!
//! Files of MLflow before 3.0 have no tables for them: reads find nothing there, writes are refused.

mod search;

use std::collections::HashMap;

use cairn_core::{
    ExperimentId, Invalid, LifecycleStage, LoggedModelId, MetricPoint, MetricValue, limits, names,
};
use rusqlite::{OptionalExtension as _, Row, params};

use crate::{
    Change, ReadTx, Result, StoreError, WriteTx, experiments::Tag, runs::Param, tx::random_bytes,
};

pub use search::{DatasetFilter, LoggedModelOrder, SearchLoggedModels};

/// The tag of a logged model that lists the versions made from it.
const MODEL_VERSIONS_TAG: &str = "mlflow.modelVersions";

/// A logged model.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedModel {
    /// Its id.
    pub model_id: LoggedModelId,
    /// Its experiment.
    pub experiment_id: ExperimentId,
    /// Its name; not unique.
    pub name: String,
    /// Where its files are.
    pub artifact_location: String,
    /// Milliseconds since 1970.
    pub creation_timestamp: i64,
    /// Milliseconds since 1970.
    pub last_updated_timestamp: i64,
    /// How far its making is.
    pub status: LoggedModelStatus,
    /// More about the status.
    pub status_message: Option<String>,
    /// In use or in the trash.
    pub lifecycle_stage: LifecycleStage,
    /// What kind of model it is; empty or `None` if the client did not say.
    pub model_type: Option<String>,
    /// The run that made it; empty or `None` if none did.
    pub source_run_id: Option<String>,
    /// Its tags, sorted by key.
    pub tags: Vec<Tag>,
    /// Its parameters, sorted by key.
    pub params: Vec<Param>,
    /// All its metric values, sorted by name, time, step and run.
    pub metrics: Vec<LoggedModelMetric>,
}

/// How far the making of a logged model is, with MLflow's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoggedModelStatus {
    /// MLflow does not know.
    Unspecified = 0,
    /// Its files are still being written.
    Pending = 1,
    /// It is complete.
    Ready = 2,
    /// Writing its files failed.
    UploadFailed = 3,
}

impl LoggedModelStatus {
    /// The status with a number; [`Self::Unspecified`] for numbers that mean nothing.
    pub fn from_number(number: i64) -> Self {
        match number {
            1 => Self::Pending,
            2 => Self::Ready,
            3 => Self::UploadFailed,
            _ => Self::Unspecified,
        }
    }

    /// The name in filters and on screen; the interface puts `LOGGED_MODEL_` before it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "STATUS_UNSPECIFIED",
            Self::Pending => "PENDING",
            Self::Ready => "READY",
            Self::UploadFailed => "UPLOAD_FAILED",
        }
    }
}

/// A metric value that was measured on a logged model.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedModelMetric {
    /// The value, with its time and step. NaN was stored as 0.
    pub point: MetricPoint,
    /// The run that measured it.
    pub run_id: String,
    /// The dataset that it was measured on.
    pub dataset_name: Option<String>,
    /// The digest of that dataset.
    pub dataset_digest: Option<String>,
}

/// What a logged model is made from.
#[derive(Debug, Clone)]
pub struct NewLoggedModel {
    /// Its experiment; must be active.
    pub experiment_id: ExperimentId,
    /// Its name; one is made up if none is given.
    pub name: Option<String>,
    /// What kind of model it is.
    pub model_type: Option<String>,
    /// The run that makes it.
    pub source_run_id: Option<String>,
    /// Its parameters.
    pub params: Vec<Param>,
    /// Its first tags.
    pub tags: Vec<Tag>,
}

/// Columns that [`model_from_row`] reads, in its order.
const COLUMNS: &str = "model_id, experiment_id, name, artifact_location, creation_timestamp_ms, \
     last_updated_timestamp_ms, status, status_message, lifecycle_stage, model_type, source_run_id";

impl ReadTx<'_> {
    /// A logged model with all that belongs to it; deleted ones only if they are allowed.
    pub fn logged_model(&self, id: &LoggedModelId, allow_deleted: bool) -> Result<LoggedModel> {
        let mut found = self.logged_models(std::slice::from_ref(id))?;
        found
            .pop()
            .filter(|model| allow_deleted || model.lifecycle_stage == LifecycleStage::Active)
            .ok_or_else(|| not_found(id))
    }

    /// Those of some logged models that exist, deleted ones included, in the order asked for.
    pub fn logged_models(&self, ids: &[LoggedModelId]) -> Result<Vec<LoggedModel>> {
        if !self.shape.has_logged_models || ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM json_each(?1) AS wanted \
             JOIN logged_models ON model_id = wanted.value ORDER BY wanted.id"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([json_ids(ids)], model_from_row)?;
        let models = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        self.complete_logged_models(models)
    }

    /// Where the files of a logged model are, and which run made it.
    ///
    /// Errors: [`StoreError::NotFound`], also for deleted ones.
    pub(crate) fn logged_model_origin(
        &self,
        id: &LoggedModelId,
    ) -> Result<(String, Option<String>)> {
        if !self.shape.has_logged_models {
            return Err(not_found(id));
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT artifact_location, source_run_id FROM logged_models \
             WHERE model_id = ?1 AND lifecycle_stage != 'deleted'",
        )?;
        let origin =
            statement.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        origin.ok_or_else(|| not_found(id))
    }

    /// Adds tags, parameters and metrics to rows.
    fn complete_logged_models(&self, mut models: Vec<LoggedModel>) -> Result<Vec<LoggedModel>> {
        let ids: Vec<_> = models.iter().map(|model| model.model_id.clone()).collect();
        let json = json_ids(&ids);
        let index: HashMap<&str, usize> =
            ids.iter().enumerate().map(|(index, id)| (id.as_str(), index)).collect();
        let mut statement = self.connection.prepare_cached(
            "SELECT model_id, tag_key, tag_value FROM logged_model_tags \
             WHERE model_id IN (SELECT value FROM json_each(?1)) ORDER BY model_id, tag_key",
        )?;
        let mut rows = statement.query([&json])?;
        while let Some(row) = rows.next()? {
            let tag = Tag { key: row.get(1)?, value: row.get(2)? };
            models[index[row.get::<_, String>(0)?.as_str()]].tags.push(tag);
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT model_id, param_key, param_value FROM logged_model_params \
             WHERE model_id IN (SELECT value FROM json_each(?1)) ORDER BY model_id, param_key",
        )?;
        let mut rows = statement.query([&json])?;
        while let Some(row) = rows.next()? {
            let param = Param { key: row.get(1)?, value: row.get(2)? };
            models[index[row.get::<_, String>(0)?.as_str()]].params.push(param);
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT model_id, metric_name, metric_timestamp_ms, metric_step, metric_value, run_id, \
             dataset_name, dataset_digest FROM logged_model_metrics \
             WHERE model_id IN (SELECT value FROM json_each(?1)) \
             ORDER BY model_id, metric_name, metric_timestamp_ms, metric_step, run_id",
        )?;
        let mut rows = statement.query([&json])?;
        while let Some(row) = rows.next()? {
            let value: Option<f64> = row.get(4)?;
            let metric = LoggedModelMetric {
                point: MetricPoint {
                    key: row.get(1)?,
                    value: MetricValue(value.unwrap_or(f64::NAN)),
                    timestamp: row.get(2)?,
                    step: row.get(3)?,
                },
                run_id: row.get(5)?,
                dataset_name: row.get(6)?,
                dataset_digest: row.get(7)?,
            };
            models[index[row.get::<_, String>(0)?.as_str()]].metrics.push(metric);
        }
        Ok(models)
    }
}

impl WriteTx<'_> {
    /// Makes a logged model, pending, and answers it.
    pub fn create_logged_model(&mut self, new: &NewLoggedModel) -> Result<LoggedModel> {
        self.require(self.shape.has_logged_models, "logged models", "3.0")?;
        if let Some(name) = &new.name {
            limits::check_logged_model_name(name)?;
        }
        let experiment = self.experiment(new.experiment_id)?;
        if experiment.lifecycle_stage == LifecycleStage::Deleted {
            return Err(Invalid::new(format!(
                "The experiment {} must be in the 'active' state. Current state is deleted.",
                experiment.experiment_id
            ))
            .into());
        }
        let id = LoggedModelId::from_random(random_bytes());
        let name = new.name.clone().unwrap_or_else(|| {
            let bytes = random_bytes();
            let (number, _) = bytes.split_first_chunk().expect("sixteen bytes are eight and more");
            names::generate_run_name(u64::from_le_bytes(*number))
        });
        let location =
            append_to_location(&experiment.artifact_location, &format!("models/{id}/artifacts"));
        self.connection
            .prepare_cached(
                "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, \
                 creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage, \
                 model_type, source_run_id) VALUES (?1, ?2, ?3, ?4, ?5, ?5, 1, 'active', ?6, ?7)",
            )?
            .execute(params![
                id.as_str(),
                new.experiment_id.0,
                name,
                location,
                self.now.0,
                new.model_type,
                new.source_run_id
            ])?;
        self.insert_model_params(&id, new.experiment_id, &new.params)?;
        for (index, tag) in new.tags.iter().enumerate() {
            if new.tags[..index].iter().any(|earlier| earlier.key == tag.key) {
                return Err(StoreError::Conflict(format!(
                    "The tag '{}' was given more than once.",
                    tag.key
                )));
            }
            self.put_logged_model_tag(&id, new.experiment_id, tag)?;
        }
        self.changed(Change::LoggedModels(new.experiment_id));
        self.logged_model(&id, false)
    }

    /// Ends the making of a logged model, also of a deleted one, and answers it.
    pub fn finalize_logged_model(
        &mut self,
        id: &LoggedModelId,
        status: LoggedModelStatus,
    ) -> Result<LoggedModel> {
        let experiment_id = self.require_logged_model(id)?;
        self.connection
            .prepare_cached(
                "UPDATE logged_models SET status = ?2, last_updated_timestamp_ms = ?3 \
                 WHERE model_id = ?1",
            )?
            .execute(params![id.as_str(), status as i64, self.now.0])?;
        self.changed(Change::LoggedModels(experiment_id));
        self.logged_model(id, true)
    }

    /// Moves a logged model to the trash; deleting twice is a success.
    pub fn delete_logged_model(&mut self, id: &LoggedModelId) -> Result<()> {
        let experiment_id = self.require_logged_model(id)?;
        self.connection
            .prepare_cached(
                "UPDATE logged_models SET lifecycle_stage = 'deleted', \
                 last_updated_timestamp_ms = ?2 WHERE model_id = ?1",
            )?
            .execute(params![id.as_str(), self.now.0])?;
        self.changed(Change::LoggedModels(experiment_id));
        Ok(())
    }

    /// Sets tags of a logged model; of those with the same key, the last counts.
    pub fn set_logged_model_tags(&mut self, id: &LoggedModelId, tags: &[Tag]) -> Result<()> {
        let experiment_id = self.require_logged_model(id)?;
        for tag in tags {
            self.put_logged_model_tag(id, experiment_id, tag)?;
        }
        self.changed(Change::LoggedModels(experiment_id));
        Ok(())
    }

    /// Removes a tag of a logged model.
    pub fn delete_logged_model_tag(&mut self, id: &LoggedModelId, key: &str) -> Result<()> {
        let experiment_id = self.require_logged_model(id)?;
        let removed = self
            .connection
            .prepare_cached("DELETE FROM logged_model_tags WHERE model_id = ?1 AND tag_key = ?2")?
            .execute([id.as_str(), key])?;
        if removed == 0 {
            return Err(StoreError::NotFound(format!(
                "No tag with key '{key}' found for model with ID '{id}'."
            )));
        }
        self.changed(Change::LoggedModels(experiment_id));
        Ok(())
    }

    /// Adds parameters to a logged model.
    ///
    /// Errors: [`StoreError::Conflict`] for a key that it has already, also with the same value.
    pub fn log_logged_model_params(&mut self, id: &LoggedModelId, params: &[Param]) -> Result<()> {
        let experiment_id = self.require_logged_model(id)?;
        self.insert_model_params(id, experiment_id, params)?;
        self.changed(Change::LoggedModels(experiment_id));
        Ok(())
    }

    /// Notes in a logged model's tag that a version was made from it.
    ///
    /// A tag that holds no list is someone else's, and stays as it is.
    pub(crate) fn note_model_version(
        &mut self,
        id: &LoggedModelId,
        name: &str,
        version: i64,
    ) -> Result<()> {
        let experiment_id = self.require_logged_model(id)?;
        let listed: Option<String> = self
            .connection
            .prepare_cached(
                "SELECT tag_value FROM logged_model_tags WHERE model_id = ?1 AND tag_key = ?2",
            )?
            .query_row([id.as_str(), MODEL_VERSIONS_TAG], |row| row.get(0))
            .optional()?;
        let Some(value) = with_model_version(listed.as_deref(), name, version) else {
            return Ok(());
        };
        let tag = Tag { key: MODEL_VERSIONS_TAG.to_owned(), value };
        self.put_logged_model_tag(id, experiment_id, &tag)?;
        self.changed(Change::LoggedModels(experiment_id));
        Ok(())
    }

    /// The experiment of a logged model, deleted ones included.
    fn require_logged_model(&self, id: &LoggedModelId) -> Result<ExperimentId> {
        self.require(self.shape.has_logged_models, "logged models", "3.0")?;
        let found: Option<i64> = self
            .connection
            .prepare_cached("SELECT experiment_id FROM logged_models WHERE model_id = ?1")?
            .query_row([id.as_str()], |row| row.get(0))
            .optional()?;
        found.map(ExperimentId).ok_or_else(|| not_found(id))
    }

    fn insert_model_params(
        &self,
        id: &LoggedModelId,
        experiment_id: ExperimentId,
        params: &[Param],
    ) -> Result<()> {
        for param in params {
            let inserted = self
                .connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO logged_model_params \
                     (model_id, experiment_id, param_key, param_value) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![id.as_str(), experiment_id.0, param.key, param.value])?;
            if inserted == 0 {
                return Err(StoreError::Conflict(format!(
                    "Changing param values is not allowed. Param with key='{}' was already logged \
                     for model ID='{id}'.",
                    param.key
                )));
            }
        }
        Ok(())
    }

    fn put_logged_model_tag(
        &self,
        id: &LoggedModelId,
        experiment_id: ExperimentId,
        tag: &Tag,
    ) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO logged_model_tags \
                 (model_id, experiment_id, tag_key, tag_value) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![id.as_str(), experiment_id.0, tag.key, tag.value])?;
        Ok(())
    }
}

/// A list of versions with one more; `None` if the text is no list.
fn with_model_version(listed: Option<&str>, name: &str, version: i64) -> Option<String> {
    let mut list: Vec<serde_json::Value> = match listed {
        None | Some("") => Vec::new(),
        Some(text) => serde_json::from_str(text).ok()?,
    };
    list.push(serde_json::json!({ "name": name, "version": version }));
    serde_json::to_string(&list).ok()
}

/// A location below another; what stands behind a `?` stays behind it.
fn append_to_location(location: &str, below: &str) -> String {
    let (path, query) = match location.split_once('?') {
        Some((path, query)) if location.contains(':') => (path, format!("?{query}")),
        _ => (location, String::new()),
    };
    format!("{}/{below}{query}", path.trim_end_matches('/'))
}

fn json_ids(ids: &[LoggedModelId]) -> String {
    ids.iter().map(LoggedModelId::as_str).collect::<serde_json::Value>().to_string()
}

fn model_from_row(row: &Row<'_>) -> rusqlite::Result<LoggedModel> {
    let id: String = row.get(0)?;
    let stage: Option<String> = row.get(8)?;
    Ok(LoggedModel {
        model_id: id.parse().map_err(|invalid: Invalid| {
            rusqlite::Error::FromSqlConversionFailure(
                0,
                rusqlite::types::Type::Text,
                Box::new(invalid),
            )
        })?,
        experiment_id: ExperimentId(row.get(1)?),
        name: row.get(2)?,
        artifact_location: row.get(3)?,
        creation_timestamp: row.get(4)?,
        last_updated_timestamp: row.get(5)?,
        status: LoggedModelStatus::from_number(row.get(6)?),
        status_message: row.get(7)?,
        lifecycle_stage: LifecycleStage::from_column(&stage.unwrap_or_default()),
        model_type: row.get(9)?,
        source_run_id: row.get(10)?,
        tags: Vec::new(),
        params: Vec::new(),
        metrics: Vec::new(),
    })
}

fn not_found(id: &LoggedModelId) -> StoreError {
    StoreError::NotFound(format!("Logged model with ID '{id}' not found."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_appended_to_the_list() {
        let first = with_model_version(None, "é", 1).unwrap();
        assert_eq!(first, r#"[{"name":"é","version":1}]"#);
        assert_eq!(
            with_model_version(Some(r#"[{"name": "m", "version": "1"}]"#), "m", 2).unwrap(),
            r#"[{"name":"m","version":"1"},{"name":"m","version":2}]"#
        );
        assert_eq!(with_model_version(Some("see the wiki"), "m", 1), None);
        assert_eq!(with_model_version(Some(r#"{"a": 1}"#), "m", 1), None);
    }

    #[test]
    fn models_lie_below_their_experiment() {
        assert_eq!(
            append_to_location("mlflow-artifacts:/3/", "models"),
            "mlflow-artifacts:/3/models"
        );
        assert_eq!(append_to_location("s3://b/x?v=1", "models"), "s3://b/x/models?v=1");
        assert_eq!(append_to_location("/home/what?/x", "models"), "/home/what?/x/models");
    }
}
