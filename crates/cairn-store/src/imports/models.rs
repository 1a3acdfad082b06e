//! Logged models, with the ids that they had.

use cairn_core::{MetricPoint, RunId};
use rusqlite::params;

use super::Existing;
use crate::{Change, Result, WriteTx, logged_models::LoggedModel, metrics::NewMetric};

impl WriteTx<'_> {
    /// Makes a logged model, or adds to the one with its id. Answers whether it was made, and how
    /// many of its metric values were left out because the store does not have their run.
    ///
    /// Errors: [`crate::StoreError::UnsupportedByFile`] in files of MLflow before 3.0.
    pub fn import_logged_model(
        &mut self,
        new: &LoggedModel,
        existing: Existing,
    ) -> Result<(bool, u64)> {
        self.require(self.shape.has_logged_models, "logged models", "3.0")?;
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO logged_models (model_id, experiment_id, name, \
                 artifact_location, creation_timestamp_ms, last_updated_timestamp_ms, status, \
                 status_message, lifecycle_stage, model_type, source_run_id) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                new.model_id.as_str(),
                new.experiment_id.0,
                new.name,
                new.artifact_location,
                new.creation_timestamp,
                new.last_updated_timestamp,
                new.status as i64,
                new.status_message,
                new.lifecycle_stage.as_str(),
                new.model_type,
                new.source_run_id
            ])?;
        if inserted == 0 && existing == Existing::Follows {
            self.connection
                .prepare_cached(
                    "UPDATE logged_models SET status = ?2, status_message = ?3, \
                     lifecycle_stage = ?4, last_updated_timestamp_ms = ?5 WHERE model_id = ?1",
                )?
                .execute(params![
                    new.model_id.as_str(),
                    new.status as i64,
                    new.status_message,
                    new.lifecycle_stage.as_str(),
                    new.last_updated_timestamp
                ])?;
        }
        for param in &new.params {
            self.connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO logged_model_params \
                     (model_id, experiment_id, param_key, param_value) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![
                    new.model_id.as_str(),
                    new.experiment_id.0,
                    param.key,
                    param.value
                ])?;
        }
        for tag in &new.tags {
            let sql = match existing {
                Existing::Follows => {
                    "INSERT OR REPLACE INTO logged_model_tags \
                     (model_id, experiment_id, tag_key, tag_value) VALUES (?1, ?2, ?3, ?4)"
                }
                Existing::Stays => {
                    "INSERT OR IGNORE INTO logged_model_tags \
                     (model_id, experiment_id, tag_key, tag_value) VALUES (?1, ?2, ?3, ?4)"
                }
            };
            self.connection.prepare_cached(sql)?.execute(params![
                new.model_id.as_str(),
                new.experiment_id.0,
                tag.key,
                tag.value
            ])?;
        }
        let mut left_out = 0;
        for metric in &new.metrics {
            let run = metric.run_id.parse::<RunId>();
            let Some(run) = run.ok().filter(|run| self.run_info(run).is_ok()) else {
                left_out += 1;
                continue;
            };
            let point: MetricPoint = metric.point.clone();
            let metric = NewMetric {
                point,
                model_id: Some(new.model_id.clone()),
                dataset_name: metric.dataset_name.clone(),
                dataset_digest: metric.dataset_digest.clone(),
            };
            self.put_model_metric(new.experiment_id, &run, &metric)?;
        }
        self.changed(Change::LoggedModels(new.experiment_id));
        Ok((inserted == 1, left_out))
    }
}
