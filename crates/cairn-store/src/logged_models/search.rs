//! Searching logged models.

use std::fmt::Write as _;

use cairn_core::{
    ExperimentId, Invalid,
    filter::tree::{Comparison, Expr, Field, LoggedModelAttribute, Op, OrderItem, Value},
};

use super::{COLUMNS, LoggedModel, LoggedModelStatus, model_from_row};
use crate::{
    ReadTx, Result,
    sql::{Page, Sql, render_filter},
};

/// A search of logged models. Deleted ones are never found.
#[derive(Debug, Clone, Default)]
pub struct SearchLoggedModels {
    /// Where to look; empty finds nothing.
    pub experiment_ids: Vec<ExperimentId>,
    /// Parsed for [`cairn_core::filter::Entity::LoggedModels`].
    pub filter: Option<Expr>,
    /// If not empty, only metrics on these datasets count, and only models with such a metric are
    /// found.
    pub datasets: Vec<DatasetFilter>,
    /// Ties are broken by the newest first, then by id.
    pub order: Vec<LoggedModelOrder>,
    /// Rows at most.
    pub max_results: usize,
    /// Rows to leave out.
    pub offset: usize,
}

/// Names a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetFilter {
    /// Its name.
    pub name: String,
    /// Its digest; `None` means any. (MLflow's server finds nothing then; its Python store does.)
    pub digest: Option<String>,
}

/// One key of an order. Models without the value come last, whichever way it sorts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedModelOrder {
    /// An attribute or a metric.
    pub item: OrderItem,
    /// For a metric: only values on datasets of this name.
    pub dataset_name: Option<String>,
    /// For a metric: only values on datasets of this digest.
    pub dataset_digest: Option<String>,
}

impl ReadTx<'_> {
    /// A page of logged models with all that belongs to them; empty in files that have no tables
    /// for them.
    pub fn search_logged_models(&self, search: &SearchLoggedModels) -> Result<Page<LoggedModel>> {
        if !self.shape.has_logged_models {
            return Ok(Page { items: Vec::new(), next_offset: None });
        }
        let mut sql = Sql::default();
        // Numbers of ours go into the text, because there may be more of them than values may be
        // bound.
        let mut experiments = String::new();
        for id in &search.experiment_ids {
            let _ = write!(experiments, "{}{id}", if experiments.is_empty() { "" } else { ", " });
        }
        sql.push("SELECT ").push(COLUMNS).push(" FROM logged_models AS m ");
        sql.push("WHERE lifecycle_stage != 'deleted' AND experiment_id IN (");
        sql.push(&experiments).push(")");
        let mut has_metrics = false;
        if let Some(filter) = &search.filter {
            sql.push(" AND ");
            render_filter(&mut sql, filter, &mut |sql, comparison| {
                has_metrics |= matches!(comparison.field, Field::Metric(_));
                condition(sql, comparison, &search.datasets)
            })?;
        }
        if !search.datasets.is_empty() && !has_metrics {
            sql.push(
                " AND m.model_id IN (SELECT x.model_id FROM logged_model_metrics AS x WHERE 1",
            );
            on_datasets(&mut sql, &search.datasets);
            sql.push(")");
        }
        sql.push(" ORDER BY ");
        for key in &search.order {
            order(&mut sql, key)?;
        }
        sql.push("creation_timestamp_ms DESC, model_id ASC LIMIT ");
        sql.bind((search.max_results as i64).saturating_add(1))
            .push(" OFFSET ")
            .bind(search.offset as i64);
        let mut statement = self.connection.prepare(&sql.text)?;
        let rows = statement.query_map(sql.params(), model_from_row)?;
        let models = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut page = Page::from_overfull(models, search.offset, search.max_results);
        page.items = self.complete_logged_models(page.items)?;
        Ok(page)
    }
}

fn condition(sql: &mut Sql, comparison: &Comparison, datasets: &[DatasetFilter]) -> Result<()> {
    let (op, value) = (comparison.op, &comparison.value);
    match &comparison.field {
        Field::LoggedModel(LoggedModelAttribute::Status) => {
            status_condition(sql, op, value);
        }
        Field::LoggedModel(attribute) => {
            sql.compare(column(*attribute), op, value);
        }
        Field::Metric(key) => {
            // The latest value of the model, as in an order; models without one do not match.
            sql.not_if_absent(op).push("EXISTS (SELECT 1 FROM (");
            latest_value(sql, key);
            on_datasets(sql, datasets);
            sql.push(LATEST_FIRST).push(") AS latest WHERE 1");
            sql.and_value("latest.metric_value", op, value).push(")");
        }
        Field::Param(key) => {
            sql.not_if_absent(op).push("EXISTS (SELECT 1 FROM logged_model_params AS x ");
            sql.push("WHERE x.model_id = m.model_id AND x.param_key = ").bind(key.clone());
            sql.and_value("x.param_value", op, value).push(")");
        }
        Field::Tag(key) => {
            sql.not_if_absent(op).push("EXISTS (SELECT 1 FROM logged_model_tags AS x ");
            sql.push("WHERE x.model_id = m.model_id AND x.tag_key = ").bind(key.clone());
            sql.and_value("x.tag_value", op, value).push(")");
        }
        _ => return Err(Invalid::new("This field is not searchable for logged models").into()),
    }
    Ok(())
}

/// Statuses are names in a filter and numbers in the table; a name that means nothing equals none.
fn status_condition(sql: &mut Sql, op: Op, value: &Value) {
    let number = |name: &String| {
        [LoggedModelStatus::Pending, LoggedModelStatus::Ready, LoggedModelStatus::UploadFailed]
            .into_iter()
            .find(|status| status.as_str() == name)
            .map_or(-1, |status| status as i64)
    };
    match value {
        Value::List(names) => {
            sql.push(if op == Op::NotIn { "m.status NOT IN " } else { "m.status IN " });
            sql.bind_list(names.iter().map(number));
        }
        Value::Text(name) => {
            sql.compare("m.status", op, &Value::Integer(number(name)));
        }
        other => {
            sql.compare("m.status", op, other);
        }
    }
}

fn order(sql: &mut Sql, key: &LoggedModelOrder) -> Result<()> {
    let direction = if key.item.ascending { "ASC" } else { "DESC" };
    match &key.item.field {
        Field::LoggedModel(LoggedModelAttribute::ExperimentId) => {
            sql.push("m.experiment_id");
        }
        Field::LoggedModel(attribute) => {
            sql.push(column(*attribute));
        }
        Field::Metric(name) => {
            sql.push("(");
            latest_value(sql, name);
            for (column, wanted) in
                [("x.dataset_name", &key.dataset_name), ("x.dataset_digest", &key.dataset_digest)]
            {
                if let Some(wanted) = wanted.as_ref().filter(|text| !text.is_empty()) {
                    sql.push(" AND ").push(column).push(" = ").bind(wanted.clone());
                }
            }
            sql.push(LATEST_FIRST).push(")");
        }
        _ => return Err(Invalid::new("Logged models are not ordered by this field").into()),
    }
    sql.push(" ").push(direction).push(" NULLS LAST, ");
    Ok(())
}

/// Begins a query for the latest value of a metric of the model; conditions and [`LATEST_FIRST`]
/// follow.
fn latest_value(sql: &mut Sql, metric: &str) {
    sql.push("SELECT x.metric_value FROM logged_model_metrics AS x ");
    sql.push("WHERE x.model_id = m.model_id AND x.metric_name = ").bind(metric.to_owned());
}

/// Of values with the same time and step, that of the first run by id.
const LATEST_FIRST: &str =
    " ORDER BY x.metric_timestamp_ms DESC, x.metric_step DESC, x.run_id ASC LIMIT 1";

fn on_datasets(sql: &mut Sql, datasets: &[DatasetFilter]) {
    if datasets.is_empty() {
        return;
    }
    sql.push(" AND (0");
    for dataset in datasets {
        sql.push(" OR (x.dataset_name = ").bind(dataset.name.clone());
        if let Some(digest) = &dataset.digest {
            sql.push(" AND x.dataset_digest = ").bind(digest.clone());
        }
        sql.push(")");
    }
    sql.push(")");
}

fn column(attribute: LoggedModelAttribute) -> &'static str {
    match attribute {
        LoggedModelAttribute::Name => "m.name",
        LoggedModelAttribute::ModelId => "m.model_id",
        LoggedModelAttribute::ModelType => "m.model_type",
        LoggedModelAttribute::Status => "m.status",
        LoggedModelAttribute::StatusMessage => "m.status_message",
        LoggedModelAttribute::SourceRunId => "m.source_run_id",
        // A text in filters.
        LoggedModelAttribute::ExperimentId => "CAST(m.experiment_id AS TEXT)",
        LoggedModelAttribute::LifecycleStage => "m.lifecycle_stage",
        LoggedModelAttribute::ArtifactLocation => "m.artifact_location",
        LoggedModelAttribute::CreationTimestamp => "m.creation_timestamp_ms",
        LoggedModelAttribute::LastUpdatedTimestamp => "m.last_updated_timestamp_ms",
    }
}
