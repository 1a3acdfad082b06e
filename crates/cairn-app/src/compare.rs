//! Runs side by side: every key that any of them has, and whether it tells them apart.

use std::collections::BTreeMap;

use cairn_core::RunId;
use cairn_store::runs::Run;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    app::App,
    dto::{Cell, CommandError, ErrorCode, Number, RunStatus},
    errors,
    runs::{SOURCE_NAME, USER, parse_run, started, status, user},
};

/// Up to here a double holds every whole number: 2 to the power of 53.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// Runs in one comparison at most.
const MAX_RUNS: usize = 100;

/// Which runs are compared.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct CompareRequest {
    /// 32 hexadecimal digits each, of any experiments; the first one is what the others are
    /// compared with.
    pub run_ids: Vec<String>,
}

/// Runs side by side.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct Comparison {
    /// The runs that are there, in the order asked for.
    pub runs: Vec<ComparedRun>,
    /// Ids that no run of this store has.
    pub missing: Vec<String>,
    /// Facts, metrics, parameters and tags, each sorted by key.
    pub rows: Vec<CompareRow>,
}

/// The head of a column.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ComparedRun {
    /// 32 hexadecimal digits.
    pub run_id: String,
    /// Its name.
    pub name: String,
    /// Its experiment.
    pub experiment_id: String,
    /// Its experiment's name.
    pub experiment_name: String,
    /// Its status.
    pub status: RunStatus,
    /// Whether it is in the trash.
    pub deleted: bool,
}

/// Where a row belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum CompareSection {
    /// What every run has: experiment, user, source, commit, duration.
    Run,
    /// Latest values.
    Metrics,
    /// Parameters.
    Params,
    /// Tags without MLflow's own.
    Tags,
}

/// One key of all runs.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct CompareRow {
    /// What it is.
    pub section: CompareSection,
    /// Its name.
    pub key: String,
    /// Its value in each run, in their order; `None` where the run has no such key.
    pub cells: Vec<Option<Cell>>,
    /// For numbers, how much each is more than that of the first run; `None` where one of the two
    /// is missing or no finite number. Empty for rows that are not numbers.
    #[ts(type = "(number | null)[]")]
    pub deltas: Vec<Option<f64>>,
    /// Whether the runs are not all the same here.
    pub differs: bool,
}

pub(crate) async fn compare(app: &App, args: CompareRequest) -> Result<Comparison, CommandError> {
    let store = app.store()?;
    if args.run_ids.len() > MAX_RUNS {
        return Err(CommandError::new(
            ErrorCode::InvalidInput,
            format!("{} runs are too many to stand side by side", args.run_ids.len()),
        )
        .with_hint(format!("Compare at most {MAX_RUNS}; the run table takes any number.")));
    }
    let mut ids: Vec<RunId> = Vec::with_capacity(args.run_ids.len());
    for id in &args.run_ids {
        let id = parse_run(id)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    store
        .read(move |tx| {
            let (mut runs, mut missing) = (Vec::new(), Vec::new());
            for id in &ids {
                match tx.run(id) {
                    Ok(run) => {
                        let experiment = tx.experiment(run.info.experiment_id)?;
                        runs.push((run, experiment.name));
                    }
                    Err(cairn_store::StoreError::NotFound(_)) => missing.push(id.to_string()),
                    Err(error) => return Err(error),
                }
            }
            let rows = rows(&runs);
            let runs = runs
                .into_iter()
                .map(|(run, experiment_name)| ComparedRun {
                    run_id: run.info.run_id.to_string(),
                    status: status(&run.info),
                    deleted: run.info.lifecycle_stage == cairn_core::LifecycleStage::Deleted,
                    name: run.info.run_name,
                    experiment_id: run.info.experiment_id.to_string(),
                    experiment_name,
                })
                .collect();
            Ok(Comparison { runs, missing, rows })
        })
        .await
        .map_err(errors::store_error)
}

fn rows(runs: &[(Run, String)]) -> Vec<CompareRow> {
    let mut cells: BTreeMap<(CompareSection, String), Vec<Option<Cell>>> = BTreeMap::new();
    let mut note = |section, key: &str, at: usize, cell: Cell| {
        let row = cells.entry((section, key.to_owned())).or_insert_with(|| vec![None; runs.len()]);
        row[at] = Some(cell);
    };
    for (at, (run, experiment)) in runs.iter().enumerate() {
        let tag =
            |key: &str| run.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.clone());
        let facts = [
            ("Experiment", Some(experiment.clone())),
            ("User", tag(USER).or_else(|| user(&run.info))),
            ("Source", tag(SOURCE_NAME)),
            ("Commit", tag("mlflow.source.git.commit")),
        ];
        for (key, text) in facts {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                note(CompareSection::Run, key, at, Cell::Text(text));
            }
        }
        if let (Some(start), Some(end)) = (started(&run.info), run.info.end_time) {
            let seconds = end.saturating_sub(start) as f64 / 1000.0;
            note(CompareSection::Run, "Duration in seconds", at, Cell::Metric(seconds.into()));
        }
        for point in &run.metrics {
            let value = Number::from(point.value.unclamped());
            note(CompareSection::Metrics, &point.key, at, Cell::Metric(value));
        }
        for param in &run.params {
            note(CompareSection::Params, &param.key, at, Cell::Text(param.value.clone()));
        }
        for tag in run.tags.iter().filter(|tag| !tag.key.starts_with("mlflow.")) {
            note(CompareSection::Tags, &tag.key, at, Cell::Text(tag.value.clone()));
        }
    }
    cells
        .into_iter()
        .map(|((section, key), cells)| CompareRow {
            deltas: deltas(&cells),
            differs: cells.windows(2).any(|pair| !is_same(pair[0].as_ref(), pair[1].as_ref())),
            section,
            key,
            cells,
        })
        .collect()
}

/// Whether two cells say the same; two that are NaN do.
fn is_same(one: Option<&Cell>, other: Option<&Cell>) -> bool {
    // A learning rate of 0.10 is one of 0.1. Where doubles leave out whole numbers, digits decide.
    let is_same_number = match (one.and_then(number), other.and_then(number)) {
        (Some(one), Some(other)) => one.abs() < EXACT && one.total_cmp(&other).is_eq(),
        _ => false,
    };
    is_same_number || one == other
}

fn deltas(cells: &[Option<Cell>]) -> Vec<Option<f64>> {
    let numbers: Vec<Option<f64>> =
        cells.iter().map(|cell| cell.as_ref().and_then(number)).collect();
    let is_text = |(cell, number): (&Option<Cell>, &Option<f64>)| {
        matches!(cell, Some(Cell::Text(_))) && number.is_none()
    };
    if cells.iter().zip(&numbers).any(is_text) {
        return Vec::new();
    }
    let first = numbers.first().copied().flatten();
    let delta = |number: &Option<f64>| Some((*number)? - first?).filter(|delta| delta.is_finite());
    numbers.iter().map(delta).collect()
}

/// A finite number, also one that is written as a text.
fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Metric(Number::Finite(number)) => Some(*number),
        Cell::Metric(Number::Special { .. }) => None,
        Cell::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
    }
}
