//! Metrics: latest values, and what is logged.

use std::collections::HashMap;

use cairn_core::{ExperimentId, Invalid, LoggedModelId, MetricPoint, MetricValue, RunId, limits};
use rusqlite::{OptionalExtension as _, params};

use crate::{
    Change, ReadTx, Result, RunFacets, StoreError, WriteTx, experiments::Tag, runs::Param,
};

/// A measured value on its way in.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMetric {
    /// What was measured, and when.
    pub point: MetricPoint,
    /// The logged model that it is about.
    pub model_id: Option<LoggedModelId>,
    /// The dataset that it was measured on: name and digest.
    pub dataset_name: Option<String>,
    /// See `dataset_name`.
    pub dataset_digest: Option<String>,
}

/// What one `log-batch` carries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// At most 1,000.
    pub metrics: Vec<NewMetric>,
    /// At most 100.
    pub params: Vec<Param>,
    /// At most 100.
    pub tags: Vec<Tag>,
}

impl ReadTx<'_> {
    /// The latest value of each metric of a run, in order of first logging.
    pub fn latest_metrics(&self, id: &RunId) -> Result<Vec<MetricPoint>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT key, value, is_nan, COALESCE(timestamp, 0), step FROM latest_metrics \
             WHERE run_uuid = ?1 ORDER BY rowid",
        )?;
        let rows = statement.query_map([id.as_str()], point_from_row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl WriteTx<'_> {
    /// Logs one value of one metric. An exact duplicate is ignored.
    pub fn log_metric(&mut self, id: &RunId, metric: &NewMetric) -> Result<()> {
        limits::check_metric_key(&metric.point.key, "name")?;
        check_timestamp(&metric.point, "timestamp")?;
        let experiment_id = self.require_active_run(id)?;
        self.put_metrics(experiment_id, id, std::slice::from_ref(metric))?;
        self.changed(Change::Run(experiment_id, id.clone(), RunFacets::METRICS));
        Ok(())
    }

    /// Logs metrics, parameters and tags of a run, all or nothing.
    ///
    /// Errors: [`StoreError::Invalid`] for limits, bad keys and changed parameters, naming the
    /// first; nothing of the batch is kept.
    pub fn log_batch(&mut self, id: &RunId, batch: &Batch) -> Result<()> {
        check_batch(batch)?;
        let experiment_id = self.require_active_run(id)?;
        let mut conflicts = Vec::new();
        for param in &batch.params {
            let value = limits::param_value(&param.value);
            if let Some(old) = self.put_param(id, &param.key, value)? {
                conflicts.push(format!(
                    "{{'key': '{}', 'old_value': '{old}', 'new_value': '{value}'}}",
                    param.key
                ));
            }
        }
        if !conflicts.is_empty() {
            return Err(Invalid::new(format!(
                "Changing param values is not allowed. Params were already logged='[{}]' for run \
                 ID='{id}'.",
                conflicts.join(", ")
            ))
            .into());
        }
        self.put_metrics(experiment_id, id, &batch.metrics)?;
        for tag in &batch.tags {
            self.set_tag_unchecked(id, tag)?;
        }
        let facets = RunFacets {
            metrics: !batch.metrics.is_empty(),
            params: !batch.params.is_empty(),
            tags: !batch.tags.is_empty(),
            info: batch.tags.iter().any(|tag| tag.key == crate::runs::RUN_NAME_TAG),
            ..RunFacets::NONE
        };
        if facets != RunFacets::NONE {
            self.changed(Change::Run(experiment_id, id.clone(), facets));
        }
        Ok(())
    }

    /// Adds points to their histories, and keeps the latest of each key.
    fn put_metrics(
        &mut self,
        experiment_id: ExperimentId,
        id: &RunId,
        metrics: &[NewMetric],
    ) -> Result<()> {
        // One comparison with the table per key, not per point; in order of first logging.
        let mut latest: Vec<&MetricPoint> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut insert = self.read.connection.prepare_cached(
            "INSERT OR IGNORE INTO metrics (key, value, timestamp, run_uuid, step, is_nan) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for metric in metrics {
            let point = &metric.point;
            let (value, is_nan) = point.value.to_columns();
            insert.execute(params![
                point.key,
                value,
                point.timestamp,
                id.as_str(),
                point.step,
                is_nan
            ])?;
            self.put_model_metric(experiment_id, id, metric)?;
            let place = *places.entry(&point.key).or_insert_with(|| {
                latest.push(point);
                latest.len() - 1
            });
            if point.is_later_than(latest[place]) {
                latest[place] = point;
            }
        }
        latest.into_iter().try_for_each(|point| self.put_latest(id, point))
    }

    /// Keeps the point if it is later than the latest one.
    pub(crate) fn put_latest(&self, id: &RunId, point: &MetricPoint) -> Result<()> {
        let old = self
            .connection
            .prepare_cached(
                "SELECT key, value, is_nan, COALESCE(timestamp, 0), step FROM latest_metrics \
                 WHERE key = ?1 AND run_uuid = ?2",
            )?
            .query_row([&point.key, id.as_str()], point_from_row)
            .optional()?;
        let (value, is_nan) = point.value.to_columns();
        let sql = match old {
            None => {
                "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            }
            Some(old) if point.is_later_than(&old) => {
                "UPDATE latest_metrics SET value = ?2, timestamp = ?3, step = ?4, is_nan = ?5 \
                 WHERE key = ?1 AND run_uuid = ?6"
            }
            Some(_) => return Ok(()),
        };
        self.connection.prepare_cached(sql)?.execute(params![
            point.key,
            value,
            point.timestamp,
            point.step,
            is_nan,
            id.as_str()
        ])?;
        Ok(())
    }

    /// Notes a metric that is about a logged model, beside the run's own.
    pub(crate) fn put_model_metric(
        &mut self,
        experiment_id: ExperimentId,
        id: &RunId,
        metric: &NewMetric,
    ) -> Result<()> {
        let Some(model_id) = &metric.model_id else { return Ok(()) };
        self.require(self.shape.has_logged_models, "logged models", "3.0")?;
        let exists = self
            .connection
            .prepare_cached("SELECT 1 FROM logged_models WHERE model_id = ?1")?
            .exists([model_id.as_str()])?;
        if !exists {
            return Err(StoreError::Conflict(format!(
                "The metric '{}' names the logged model '{model_id}', which does not exist.",
                metric.point.key
            )));
        }
        let dataset_uuid: Option<String> = match (&metric.dataset_name, &metric.dataset_digest) {
            (Some(name), Some(digest)) => self
                .connection
                .prepare_cached(
                    "SELECT dataset_uuid FROM datasets \
                     WHERE experiment_id = ?1 AND name = ?2 AND digest = ?3",
                )?
                .query_row(params![experiment_id.0, name, digest], |row| row.get(0))
                .optional()?,
            _ => None,
        };
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO logged_model_metrics (model_id, metric_name, \
                 metric_timestamp_ms, metric_step, metric_value, experiment_id, run_id, \
                 dataset_uuid, dataset_name, dataset_digest) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                model_id.as_str(),
                metric.point.key,
                metric.point.timestamp,
                metric.point.step,
                metric.point.value.to_columns().0,
                experiment_id.0,
                id.as_str(),
                dataset_uuid,
                metric.dataset_name,
                metric.dataset_digest
            ])?;
        self.changed(Change::LoggedModels(experiment_id));
        Ok(())
    }
}

/// Checks limits, keys and duplicates before anything is written.
fn check_batch(batch: &Batch) -> Result<()> {
    limits::check_batch_counts(batch.metrics.len(), batch.params.len(), batch.tags.len())?;
    for (index, metric) in batch.metrics.iter().enumerate() {
        let check = |name: &str, timestamp: &str| {
            limits::check_metric_key(&metric.point.key, name)?;
            check_timestamp(&metric.point, timestamp)
        };
        // The place is put into words only for the one that is wrong.
        if check("", "").is_err() {
            check(&format!("metrics[{index}].name"), &format!("metrics[{index}].timestamp"))?;
        }
    }
    for (index, param) in batch.params.iter().enumerate() {
        limits::check_param_key(&param.key, &format!("params[{index}].key"))?;
    }
    for (index, tag) in batch.tags.iter().enumerate() {
        limits::check_tag_key(&tag.key, &format!("tags[{index}].key"))?;
    }
    limits::check_unique_param_keys(batch.params.iter().map(|param| param.key.as_str()))?;
    Ok(())
}

fn check_timestamp(point: &MetricPoint, parameter: &str) -> Result<(), Invalid> {
    limits::check_metric_timestamp(&point.key, point.value.0, point.timestamp, parameter)
}

fn point_from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<MetricPoint> {
    Ok(MetricPoint {
        key: row.get(0)?,
        value: MetricValue::from_columns(row.get(1)?, row.get(2)?),
        timestamp: row.get(3)?,
        step: row.get(4)?,
    })
}
