//! `cairn search`: what a store holds, by Cairn's filter language, as a table, CSV or JSON.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Context as _, anyhow, bail};
use cairn_app::{AppOptions, app::usual_store};
use cairn_core::{
    ExperimentId, Invalid, UnixMillis, ViewType,
    filter::{self, Context, Entity, Expr},
};
use cairn_store::{
    OpenOptions, Store,
    experiments::{Experiment, SearchExperiments, Tag},
    logged_models::{LoggedModel, LoggedModelOrder, SearchLoggedModels},
    registry::{ModelVersion, RegisteredModel, SearchModelVersions, SearchRegisteredModels},
    runs::Run,
    search_runs::SearchRuns,
};
use clap::{Args, ValueEnum};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value, json};

use crate::serve;

/// What is searched, and how it is shown.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// What to search
    #[arg(value_enum, default_value_t = What::Runs)]
    what: What,

    /// A filter, for example "metrics.auc > 0.9 AND (params.depth > 6 OR tags.note IS NULL)"
    #[arg(short, long, default_value = "")]
    filter: String,

    /// What to sort by, for example "metrics.auc DESC"; may be given more than once
    #[arg(short, long, value_name = "KEY")]
    order_by: Vec<String>,

    /// Only of this experiment, by name or number; may be given more than once [default: all]
    #[arg(short, long, value_name = "EXPERIMENT")]
    experiment: Vec<String>,

    /// What is in the trash instead
    #[arg(long)]
    deleted: bool,

    /// The columns of the table, for example run_id,metrics.auc,params.depth
    #[arg(short, long, value_delimiter = ',')]
    columns: Vec<String>,

    /// Results at most
    #[arg(short = 'n', long, default_value_t = 100)]
    limit: usize,

    /// How they are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// The folder of the store, or an existing mlflow.db [default: the store of the desktop program]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Runs,
    Experiments,
    Models,
    Versions,
    LoggedModels,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object with all facts on each line
    Json,
}

/// Prints what is found.
pub fn run(args: &SearchArgs) -> anyhow::Result<()> {
    let options = AppOptions::for_this_user(args.store.clone()).map_err(|text| anyhow!(text))?;
    let path = args.store.clone().unwrap_or_else(|| usual_store(&options));
    let store = serve::open(&path, OpenOptions::Existing)?;
    let found = find(&store, args)?;
    let columns = if args.columns.is_empty() {
        default_columns(args.what).iter().map(ToString::to_string).collect()
    } else {
        args.columns.clone()
    };
    let printed = print(io::stdout().lock(), &found, &columns, args.format);
    match printed {
        // Whoever reads has seen enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("the results cannot be printed"),
    }
}

fn default_columns(what: What) -> &'static [&'static str] {
    match what {
        What::Runs => &["run_id", "run_name", "status", "start_time", "duration"],
        What::Experiments => &["experiment_id", "name", "last_update_time"],
        What::Models => &["name", "latest_version", "aliases", "last_updated_timestamp"],
        What::Versions => &["name", "version", "stage", "run_id", "creation_timestamp"],
        What::LoggedModels => &["model_id", "name", "status", "source_run_id"],
    }
}

/// The results as JSON objects, in order.
fn find(store: &Store, args: &SearchArgs) -> anyhow::Result<Vec<Value>> {
    let entity = match args.what {
        What::Runs => Entity::Runs,
        What::Experiments => Entity::Experiments,
        What::Models => Entity::RegisteredModels,
        What::Versions => Entity::ModelVersions,
        What::LoggedModels => Entity::LoggedModels,
    };
    let filter = parse(entity, &args.filter)?;
    let order = filter::parse_order(entity, &args.order_by)
        .map_err(|error| anyhow!("--order-by: {error}"))?;
    let view = if args.deleted { ViewType::DeletedOnly } else { ViewType::ActiveOnly };
    let max_results = args.limit;
    if args.deleted && !matches!(args.what, What::Runs | What::Experiments) {
        bail!("--deleted: only runs and experiments have a trash");
    }
    if !args.experiment.is_empty() && !matches!(args.what, What::Runs | What::LoggedModels) {
        bail!("--experiment: only runs and logged models belong to an experiment");
    }
    Ok(match args.what {
        What::Runs => {
            let experiment_ids = experiments(store, &args.experiment)?;
            let search = SearchRuns { experiment_ids, filter, order, view, max_results, offset: 0 };
            store.search_runs_blocking(&search)?.items.iter().map(run_object).collect()
        }
        What::Experiments => {
            let search = SearchExperiments { filter, order, view, max_results, offset: 0 };
            let page = store.read_blocking(|tx| tx.search_experiments(&search))?;
            page.items.iter().map(experiment_object).collect()
        }
        What::Models => {
            let search = SearchRegisteredModels { filter, order, max_results, offset: 0 };
            let page = store.read_blocking(|tx| tx.search_registered_models(&search))?;
            page.items.iter().map(model_object).collect()
        }
        What::Versions => {
            let search = SearchModelVersions { filter, order, max_results, offset: 0 };
            let page = store.read_blocking(|tx| tx.search_model_versions(&search))?;
            page.items.iter().map(version_object).collect()
        }
        What::LoggedModels => {
            let order = order.into_iter().map(|item| LoggedModelOrder {
                item,
                dataset_name: None,
                dataset_digest: None,
            });
            let search = SearchLoggedModels {
                experiment_ids: experiments(store, &args.experiment)?,
                filter,
                datasets: Vec::new(),
                order: order.collect(),
                max_results,
                offset: 0,
            };
            let page = store.read_blocking(|tx| tx.search_logged_models(&search))?;
            page.items.iter().map(logged_model_object).collect()
        }
    })
}

/// Reads the filter; an error shows its place.
fn parse(entity: Entity, text: &str) -> anyhow::Result<Option<Expr>> {
    let context = Context { now: UnixMillis::now(), zone: TimeZone::system() };
    filter::parse_extended(entity, text, &context).map_err(|error| anyhow!(shown(text, &error)))
}

/// A refusal with the filter and a mark under the place.
fn shown(text: &str, error: &Invalid) -> String {
    let Some(span) = error.span.filter(|_| !text.contains('\n')) else {
        return format!("--filter: {error}");
    };
    let before = text[..span.start].chars().count();
    let marked = text[span.start..span.end].chars().count().max(1);
    format!("--filter: {error}\n  {text}\n  {}{}", " ".repeat(before), "^".repeat(marked))
}

/// The experiments with these names or numbers, or all that are in use.
pub(crate) fn experiments(store: &Store, named: &[String]) -> anyhow::Result<Vec<ExperimentId>> {
    store
        .read_blocking(|tx| {
            if named.is_empty() {
                let all = SearchExperiments {
                    view: ViewType::ActiveOnly,
                    max_results: usize::MAX >> 2,
                    ..SearchExperiments::default()
                };
                let page = tx.search_experiments(&all)?;
                return Ok(page.items.iter().map(|one| one.experiment_id).collect());
            }
            named
                .iter()
                .map(|name| match tx.experiment_by_name(name) {
                    Ok(experiment) => Ok(experiment.experiment_id),
                    Err(error) => match name.parse() {
                        Ok(id) => tx.experiment(id).map(|experiment| experiment.experiment_id),
                        Err(_) => Err(error),
                    },
                })
                .collect()
        })
        .map_err(|error| anyhow!("--experiment: {error}"))
}

fn run_object(run: &Run) -> Value {
    let metrics: Map<_, _> = run
        .metrics
        .iter()
        .map(|point| (point.key.clone(), number(point.value.unclamped())))
        .collect();
    let params: Map<_, _> =
        run.params.iter().map(|param| (param.key.clone(), json!(param.value))).collect();
    let info = &run.info;
    let duration = info
        .start_time
        .filter(|start| *start != 0)
        .map(|start| info.end_time.unwrap_or_else(|| UnixMillis::now().0).saturating_sub(start));
    json!({
        "run_id": info.run_id.as_str(),
        "run_name": info.run_name,
        "experiment_id": info.experiment_id.to_string(),
        "user_id": info.user_id,
        "status": info.status.as_str(),
        "start_time": info.start_time,
        "end_time": info.end_time,
        "duration": duration,
        "artifact_uri": info.artifact_uri,
        "metrics": metrics,
        "params": params,
        "tags": tags(&run.tags),
    })
}

fn experiment_object(experiment: &Experiment) -> Value {
    json!({
        "experiment_id": experiment.experiment_id.to_string(),
        "name": experiment.name,
        "artifact_location": experiment.artifact_location,
        "creation_time": experiment.creation_time,
        "last_update_time": experiment.last_update_time,
        "tags": tags(&experiment.tags),
    })
}

fn model_object(model: &RegisteredModel) -> Value {
    let aliases: Map<_, _> =
        model.aliases.iter().map(|alias| (alias.alias.clone(), json!(alias.version))).collect();
    json!({
        "name": model.name,
        "description": model.description,
        "latest_version": model.latest_versions.iter().map(|version| version.version).max(),
        "aliases": aliases,
        "creation_timestamp": model.creation_time,
        "last_updated_timestamp": model.last_updated_time,
        "tags": tags(&model.tags),
    })
}

fn version_object(version: &ModelVersion) -> Value {
    json!({
        "name": version.name,
        "version": version.version,
        "stage": version.stage.as_str(),
        "description": version.description,
        "run_id": version.run_id,
        "source": version.source,
        "creation_timestamp": version.creation_time,
        "last_updated_timestamp": version.last_updated_time,
        "tags": tags(&version.tags),
    })
}

fn logged_model_object(model: &LoggedModel) -> Value {
    let params: Map<_, _> =
        model.params.iter().map(|param| (param.key.clone(), json!(param.value))).collect();
    json!({
        "model_id": model.model_id.as_str(),
        "name": model.name,
        "experiment_id": model.experiment_id.to_string(),
        "status": model.status.as_str(),
        "model_type": model.model_type,
        "source_run_id": model.source_run_id,
        "artifact_location": model.artifact_location,
        "creation_timestamp": model.creation_timestamp,
        "last_updated_timestamp": model.last_updated_timestamp,
        "params": params,
        "tags": tags(&model.tags),
    })
}

fn tags(tags: &[Tag]) -> Map<String, Value> {
    tags.iter().map(|tag| (tag.key.clone(), json!(tag.value))).collect()
}

/// A metric as JSON, which knows neither NaN nor infinities.
fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| json!(value.to_string()), Value::Number)
}

fn print(
    mut out: impl Write,
    found: &[Value],
    columns: &[String],
    format: Format,
) -> io::Result<()> {
    let rows = found
        .iter()
        .map(|object| columns.iter().map(|column| cell(object, column, format)).collect());
    match format {
        Format::Json => found.iter().try_for_each(|object| writeln!(out, "{object}")),
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(out);
            csv.write_record(columns)?;
            for row in rows {
                let row: Vec<String> = row;
                csv.write_record(row.iter().map(|text| without_formula(text)))?;
            }
            csv.flush()
        }
        Format::Table => {
            let rows: Vec<Vec<String>> = rows.collect();
            let widths: Vec<usize> = columns
                .iter()
                .enumerate()
                .map(|(at, name)| {
                    let cells = rows.iter().map(|row| row[at].chars().count());
                    cells.chain([name.chars().count()]).max().unwrap_or_default()
                })
                .collect();
            for row in [columns].into_iter().chain(rows.iter().map(Vec::as_slice)) {
                let padded: Vec<String> =
                    row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}")).collect();
                writeln!(out, "{}", padded.join("  ").trim_end())?;
            }
            Ok(())
        }
    }
}

/// The text of a column, `metrics.auc` or `run_id`; empty where there is none.
fn cell(object: &Value, column: &str, format: Format) -> String {
    let value = match column.split_once('.') {
        Some((group, key)) => object.get(group).and_then(|group| group.get(key)),
        None => object.get(column),
    };
    let is_table = format == Format::Table;
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::Number(millis)) if is_table && is_time(column) => {
            millis.as_i64().and_then(|millis| Timestamp::from_millisecond(millis).ok()).map_or_else(
                || millis.to_string(),
                |time| time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
            )
        }
        Some(Value::Number(millis)) if is_table && column == "duration" => {
            format!("{:.1} s", millis.as_f64().unwrap_or_default() / 1_000.0)
        }
        // One line per row: what would break it, or steer a terminal, is shown as its code.
        Some(Value::String(text)) if is_table => text
            .chars()
            .flat_map(|c| {
                let shown: Box<dyn Iterator<Item = char>> = if c.is_control() {
                    Box::new(c.escape_default())
                } else {
                    Box::new([c].into_iter())
                };
                shown
            })
            .collect(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn is_time(column: &str) -> bool {
    !column.contains('.') && (column.ends_with("_time") || column.ends_with("_timestamp"))
}

/// A text that a spreadsheet would take for a formula gets a quote before it.
fn without_formula(text: &str) -> String {
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(found: &[Value], columns: &[&str], format: Format) -> String {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        let mut out = Vec::new();
        print(&mut out, found, &columns, format).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_are_aligned_and_stay_on_their_line() {
        let found = [
            json!({"run_id": "ab", "metrics": {"a.b": 0.5}, "tags": {"note": "two\nlines\u{1b}[31m"}}),
            json!({"run_id": "cdef", "metrics": {}, "tags": {}}),
        ];
        assert_eq!(
            printed(&found, &["run_id", "metrics.a.b", "tags.note"], Format::Table),
            "run_id  metrics.a.b  tags.note\nab      0.5          two\\nlines\\u{1b}[31m\ncdef\n"
        );
    }

    #[test]
    fn csv_has_no_formulas() {
        let found = [json!({"params": {"a": "=1+1", "b": "-3", "c": "x,\"y\""}})];
        assert_eq!(
            printed(&found, &["params.a", "params.b", "params.c"], Format::Csv),
            "params.a,params.b,params.c\n'=1+1,-3,\"x,\"\"y\"\"\"\n"
        );
    }

    #[test]
    fn a_refused_filter_is_shown_with_its_place() {
        let Err(error) = parse(Entity::Runs, "metrics.é > 'x'") else { panic!("not a number") };
        let text = error.to_string();
        assert!(text.ends_with("\n  metrics.é > 'x'\n              ^^^"), "{text}");
    }
}
