//! The run table, one run, and its series.

use cairn_core::{
    ExperimentId, Invalid, LifecycleStage, RunId, UnixMillis,
    filter::{self, Context, Entity},
    series as reduction,
};
use cairn_store::{
    Store,
    run_table::{TableColumn, TableOrder, TableQuery, TableRow},
    runs::{Run, RunInfo},
};
use jiff::tz::TimeZone;
use serde::Deserialize;
use ts_rs::TS;

use crate::{
    app::App,
    dto::{
        Cell, ColumnRef, CommandError, DatasetUse, KeyValue, LoggedModelSummary, MetricSummary,
        ModelVersionRef, Number, RunColumns, RunDetail, RunLink, RunRow, RunSource, RunStatus,
        RunsPage, RunsPageRequest, Series, SeriesRequest,
    },
    edits::{STAR, STARRED},
    errors,
};

/// Rows in one slice at most.
const MAX_ROWS: u32 = 500;
/// Metric, parameter and tag columns in one slice at most.
const MAX_COLUMNS: usize = 200;
/// Keys of an order at most.
const MAX_ORDER: usize = 8;
/// Characters of a parameter or tag in a cell.
const CELL_CHARS: usize = 500;
/// Nested runs that a run's page lists.
const MAX_CHILDREN: usize = 1_000;

pub(crate) const SOURCE_NAME: &str = "mlflow.source.name";
const SOURCE_TYPE: &str = "mlflow.source.type";
pub(crate) const USER: &str = "mlflow.user";
const PARENT: &str = "mlflow.parentRunId";

/// Whose runs.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct ExperimentIds {
    /// Strings of digits.
    pub experiment_ids: Vec<String>,
}

/// Which run.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct RunRef {
    /// 32 hexadecimal digits.
    pub run_id: String,
}

pub(crate) async fn columns(app: &App, args: ExperimentIds) -> Result<RunColumns, CommandError> {
    let store = app.store()?;
    let experiments = parse_experiments(&args.experiment_ids)?;
    let keys = blocking(move || store.run_keys(&experiments)).await?;
    let mut tags = keys.tags.clone();
    // A stable sort: MLflow's own go last, each part stays sorted.
    tags.sort_by_key(|tag| tag.starts_with("mlflow."));
    Ok(RunColumns { metrics: keys.metrics.clone(), params: keys.params.clone(), tags })
}

pub(crate) async fn page(app: &App, args: RunsPageRequest) -> Result<RunsPage, CommandError> {
    let store = app.store()?;
    let experiment_ids = parse_experiments(&args.experiment_ids)?;
    let context = Context { now: UnixMillis::now(), zone: TimeZone::system() };
    let parsed = filter::parse_extended(Entity::Runs, &args.filter, &context)
        .map_err(|error| errors::invalid_filter(&args.filter, error))?;
    if args.columns.len() > MAX_COLUMNS {
        return Err(errors::invalid(Invalid::new(format!(
            "A slice has at most {MAX_COLUMNS} columns; {} were asked for.",
            args.columns.len()
        ))));
    }
    if args.order.len() > MAX_ORDER {
        return Err(errors::invalid(Invalid::new(format!(
            "The table is sorted by at most {MAX_ORDER} columns; {} were given.",
            args.order.len()
        ))));
    }
    let order = args
        .order
        .iter()
        .map(|key| TableOrder { column: table_column(&key.column), ascending: key.ascending })
        .collect();
    let query = TableQuery { experiment_ids, filter: parsed, order, deleted: args.deleted };
    let mut wanted: Vec<TableColumn> = args.columns.iter().map(table_column).collect();
    wanted.extend(
        [SOURCE_NAME, SOURCE_TYPE, USER, PARENT, STAR].map(|tag| TableColumn::Tag(tag.into())),
    );
    let limit = args.limit.min(MAX_ROWS) as usize;
    let offset = args.offset;
    let page =
        blocking(move || store.run_table_page(&query, offset as usize, limit, &wanted)).await?;
    Ok(RunsPage {
        total: page.total,
        unfiltered_total: page.unfiltered_total,
        offset,
        rows: page.rows.into_iter().map(|row| run_row(row, &args.columns)).collect(),
    })
}

pub(crate) async fn get(app: &App, args: RunRef) -> Result<RunDetail, CommandError> {
    let store = app.store()?;
    let id = parse_run(&args.run_id)?;
    store
        .read(move |tx| {
            let run = tx.run(&id)?;
            let experiment = tx.experiment(run.info.experiment_id)?;
            let parent = tag(&run, PARENT).and_then(|parent| parent.parse::<RunId>().ok());
            let parent =
                parent.and_then(|parent| tx.run_info(&parent).ok()).map(|info| link(&info));
            let children = tx.child_runs(&id, MAX_CHILDREN)?.iter().map(link).collect();
            let models = run
                .outputs
                .models
                .iter()
                .filter_map(|output| tx.logged_model(&output.model_id, true).ok())
                .map(|model| {
                    let versions = model
                        .tags
                        .iter()
                        .find(|tag| tag.key == "mlflow.modelVersions")
                        .map(|tag| registered_versions(&tag.value))
                        .unwrap_or_default()
                        .into_iter()
                        // The tag also names versions that were deleted since.
                        .filter(|of| tx.model_version(&of.name, i64::from(of.version)).is_ok())
                        .collect();
                    LoggedModelSummary {
                        model_id: model.model_id.to_string(),
                        name: model.name,
                        status: model.status.as_str().to_owned(),
                        versions,
                    }
                })
                .collect();
            Ok(detail(run, experiment.name, parent, children, models))
        })
        .await
        .map_err(errors::store_error)
}

pub(crate) async fn series(app: &App, args: SeriesRequest) -> Result<Series, CommandError> {
    let store = app.store()?;
    let id = parse_run(&args.run_id)?;
    let width = args.width_px.clamp(1, 10_000) as usize;
    blocking(move || {
        let whole = store.metric_series(&id, &args.metric_key)?;
        let file = whole.schema_version;
        let total_points = whole.steps.len() as u64;
        let cursor = |row: Option<i64>| row.map(|row| format!("{file}.{row}"));
        let after = args.after.as_deref().map(parse_cursor);
        // After a migration the rows have other numbers: begin again.
        if let Some(Some((version, after_row))) = after
            && version == file
        {
            let rows =
                store.read_blocking(|tx| tx.metric_series(&id, &args.metric_key, after_row))?;
            let last = rows.iter().map(|row| row.row_id).max().unwrap_or(after_row);
            return Ok(Series {
                steps: rows.iter().map(|row| row.step).collect(),
                timestamps: rows.iter().map(|row| row.timestamp).collect(),
                values: rows.iter().map(|row| row.value.unclamped().into()).collect(),
                total_points,
                is_reduced: false,
                cursor: cursor(Some(last)),
                restarted: false,
            });
        }
        let kept = reduction::reduce(&whole.steps, &whole.values, width);
        Ok(Series {
            steps: kept.iter().map(|at| whole.steps[*at]).collect(),
            timestamps: kept.iter().map(|at| whole.timestamps[*at]).collect(),
            values: kept.iter().map(|at| whole.values[*at].into()).collect(),
            total_points,
            is_reduced: kept.len() < whole.steps.len(),
            cursor: cursor(whole.last_row),
            restarted: after.is_some(),
        })
    })
    .await
}

fn parse_cursor(text: &str) -> Option<(i64, i64)> {
    let (version, row) = text.split_once('.')?;
    Some((version.parse().ok()?, row.parse().ok()?))
}

fn run_row(row: TableRow, columns: &[ColumnRef]) -> RunRow {
    let text = |key: &str| row.tags.get(key).filter(|text| !text.is_empty()).cloned();
    let cells = columns
        .iter()
        .map(|column| match column {
            ColumnRef::Metric(key) => {
                row.metrics.get(key).map(|value| Cell::Metric(value.unclamped().into()))
            }
            ColumnRef::Param(key) => row.params.get(key).map(|text| Cell::Text(shorten(text))),
            ColumnRef::Tag(key) => row.tags.get(key).map(|text| Cell::Text(shorten(text))),
            _ => None,
        })
        .collect();
    RunRow {
        run_id: row.info.run_id.to_string(),
        experiment_id: row.info.experiment_id.to_string(),
        status: status(&row.info),
        start_time: started(&row.info),
        end_time: row.info.end_time,
        user: text(USER).or_else(|| user(&row.info)),
        source: RunSource { name: text(SOURCE_NAME), kind: text(SOURCE_TYPE) },
        parent_run_id: text(PARENT),
        starred: text(STAR).as_deref() == Some(STARRED),
        name: row.info.run_name.clone(),
        cells,
    }
}

fn detail(
    run: Run,
    experiment_name: String,
    parent: Option<RunLink>,
    children: Vec<RunLink>,
    models: Vec<LoggedModelSummary>,
) -> RunDetail {
    let text = |key: &str| tag(&run, key).filter(|text| !text.is_empty()).map(str::to_owned);
    let mut params: Vec<_> = run
        .params
        .iter()
        .map(|param| KeyValue { key: param.key.clone(), value: param.value.clone() })
        .collect();
    params.sort_by(|a, b| a.key.cmp(&b.key));
    let mut metrics: Vec<_> = run
        .metrics
        .iter()
        .map(|point| MetricSummary {
            key: point.key.clone(),
            last: Number::from(point.value.unclamped()),
            step: point.step,
            timestamp: point.timestamp,
        })
        .collect();
    metrics.sort_by(|a, b| a.key.cmp(&b.key));
    let mut tags: Vec<_> = run
        .tags
        .iter()
        .map(|tag| KeyValue { key: tag.key.clone(), value: tag.value.clone() })
        .collect();
    tags.sort_by(|a, b| {
        (a.key.starts_with("mlflow."), &a.key).cmp(&(b.key.starts_with("mlflow."), &b.key))
    });
    let datasets = run
        .inputs
        .datasets
        .iter()
        .map(|input| {
            let context = input.tags.iter().find(|tag| tag.key == "mlflow.data.context");
            DatasetUse {
                name: input.dataset.name.clone(),
                digest: input.dataset.digest.clone(),
                context: context.map(|tag| tag.value.clone()),
                source_type: input.dataset.source_type.clone(),
                source: input.dataset.source.clone(),
                schema: input.dataset.schema.clone(),
                profile: input.dataset.profile.clone(),
            }
        })
        .collect();
    RunDetail {
        run_id: run.info.run_id.to_string(),
        experiment_id: run.info.experiment_id.to_string(),
        experiment_name,
        name: run.info.run_name.clone(),
        status: status(&run.info),
        deleted: run.info.lifecycle_stage == LifecycleStage::Deleted,
        start_time: started(&run.info),
        end_time: run.info.end_time,
        user: text(USER).or_else(|| user(&run.info)),
        source: RunSource { name: text(SOURCE_NAME), kind: text(SOURCE_TYPE) },
        git_commit: text("mlflow.source.git.commit"),
        description: text("mlflow.note.content"),
        artifact_uri: Some(run.info.artifact_uri.clone()).filter(|uri| !uri.is_empty()),
        params,
        metrics,
        tags,
        datasets,
        models,
        parent,
        children,
    }
}

/// The versions named by the tag `mlflow.modelVersions` (a JSON list; each may stand twice, once
/// with a number and once with a text, as the client writes it).
fn registered_versions(tag: &str) -> Vec<ModelVersionRef> {
    let Ok(serde_json::Value::Array(entries)) = serde_json::from_str(tag) else {
        return Vec::new();
    };
    let mut versions: Vec<ModelVersionRef> = Vec::new();
    for entry in entries {
        let version = match &entry["version"] {
            serde_json::Value::String(text) => text.parse().ok(),
            other => other.as_u64().and_then(|number| u32::try_from(number).ok()),
        };
        if let (Some(name), Some(version)) = (entry["name"].as_str(), version) {
            let reference = ModelVersionRef { name: name.to_owned(), version };
            if !versions.contains(&reference) {
                versions.push(reference);
            }
        }
    }
    versions
}

fn tag<'a>(run: &'a Run, key: &str) -> Option<&'a str> {
    run.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
}

pub(crate) fn user(info: &RunInfo) -> Option<String> {
    Some(info.user_id.clone()).filter(|user| !user.is_empty())
}

/// Start time; 0 is what MLflow stores when the client sent none.
pub(crate) fn started(info: &RunInfo) -> Option<i64> {
    info.start_time.filter(|start| *start != 0)
}

pub(crate) fn status(info: &RunInfo) -> RunStatus {
    match info.status {
        cairn_core::RunStatus::Running => RunStatus::Running,
        cairn_core::RunStatus::Scheduled => RunStatus::Scheduled,
        cairn_core::RunStatus::Finished => RunStatus::Finished,
        cairn_core::RunStatus::Failed => RunStatus::Failed,
        cairn_core::RunStatus::Killed => RunStatus::Killed,
    }
}

pub(crate) fn link(info: &RunInfo) -> RunLink {
    RunLink {
        run_id: info.run_id.to_string(),
        experiment_id: info.experiment_id.to_string(),
        name: info.run_name.clone(),
        status: status(info),
    }
}

pub(crate) fn table_column(column: &ColumnRef) -> TableColumn {
    match column.clone() {
        ColumnRef::Name => TableColumn::Name,
        ColumnRef::Status => TableColumn::Status,
        ColumnRef::Start => TableColumn::Start,
        ColumnRef::Duration => TableColumn::Duration,
        ColumnRef::Source => TableColumn::Source,
        ColumnRef::User => TableColumn::User,
        ColumnRef::Experiment => TableColumn::Experiment,
        ColumnRef::Param(key) => TableColumn::Param(key),
        ColumnRef::Metric(key) => TableColumn::Metric(key),
        ColumnRef::Tag(key) => TableColumn::Tag(key),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(CELL_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

pub(crate) fn parse_experiments(ids: &[String]) -> Result<Vec<ExperimentId>, CommandError> {
    ids.iter().map(|id| id.parse().map_err(errors::invalid)).collect()
}

/// The newest runs of all experiments that a filter lets through, with the cells of these columns.
pub(crate) async fn newest(
    store: &Store,
    filter: &str,
    most: usize,
    columns: Vec<TableColumn>,
) -> Result<Vec<TableRow>, CommandError> {
    let context = Context { now: UnixMillis::now(), zone: TimeZone::system() };
    let filter = filter::parse_extended(Entity::Runs, filter, &context).map_err(errors::invalid)?;
    let store = store.clone();
    blocking(move || {
        let experiment_ids = store
            .read_blocking(|tx| tx.experiment_activity())?
            .into_iter()
            .map(|activity| activity.experiment.experiment_id)
            .collect();
        let query = TableQuery { experiment_ids, filter, order: Vec::new(), deleted: false };
        Ok(store.run_table_page(&query, 0, most, &columns)?.rows)
    })
    .await
}

pub(crate) fn parse_run(id: &str) -> Result<RunId, CommandError> {
    id.parse().map_err(errors::invalid)
}

/// Runs a blocking question to the store off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    op: impl FnOnce() -> cairn_store::Result<T> + Send + 'static,
) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(op).await.map_err(errors::internal)?.map_err(errors::store_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_written_twice_are_listed_once() {
        let tag = r#"[{"name": "churn", "version": 1}, {"name": "churn", "version": "1"},
                      {"name": "churn", "version": 2}, {"broken": true}]"#;
        let versions = registered_versions(tag);
        assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [1, 2]);
        assert!(registered_versions("not json").is_empty());
    }

    #[test]
    fn long_cells_are_cut_at_a_character() {
        let cell = shorten(&"é".repeat(600));
        assert_eq!(cell.chars().count(), 501);
        assert!(cell.ends_with('…'));
    }
}
