//! `cairn chart`: metrics of runs as a picture or a table in a file.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use cairn_app::{
    AppOptions,
    app::usual_store,
    charts::{
        self, MetricNames,
        dto::{
            ChartBand, ChartCenter, ChartFormat, ChartGroupKey, ChartLeftOut, ChartLeftOutReason,
            ChartPicture, ChartRange, ChartRequest, ChartRuns, ChartSeries, ChartSmoothing,
            ChartTheme, ChartX,
        },
    },
    dto::CommandError,
};
use cairn_core::{ExperimentId, RunId, series::Smoothing};
use cairn_store::{OpenOptions, Store, StoreError, run_keys::RunKeys};
use clap::{Args, ValueEnum};

use crate::{search, serve};

/// Which runs, what of them, and how it looks.
#[derive(Debug, Args)]
pub struct ChartArgs {
    /// The runs, by id
    #[arg(value_name = "RUN_ID", conflicts_with_all = ["experiment", "filter"])]
    runs: Vec<String>,

    /// A metric, or a formula such as "train_loss - val_loss"; may be given more than once
    #[arg(short, long, value_name = "METRIC", required = true)]
    metric: Vec<String>,

    /// All runs of this experiment, by name or number; may be given more than once [default: all]
    #[arg(short, long, value_name = "EXPERIMENT")]
    experiment: Vec<String>,

    /// Only the runs that match, for example "metrics.auc > 0.9 AND params.depth > 6"
    #[arg(short, long)]
    filter: Option<String>,

    /// What stands along the chart: step, time, relative (to the run's start), a metric or a formula
    #[arg(long, value_name = "X", default_value = "step")]
    x: String,

    /// How lines are smoothed: ema:0.9, time-ema:0.9, gaussian:3 or mean:25
    #[arg(long, value_name = "HOW", default_value = "none")]
    smooth: Smoothing,

    /// One line for all runs that have this in common: a parameter, a tag, name, status, user, source,
    /// experiment, or a formula; may be given more than once
    #[arg(short, long, value_name = "KEY")]
    group_by: Vec<String>,

    /// What the band around the line of a group holds
    #[arg(long, value_enum, requires = "group_by")]
    band: Option<Band>,

    /// Where the line of a group runs
    #[arg(long, value_enum, default_value_t = Center::Mean)]
    center: Center,

    /// A logarithmic x axis
    #[arg(long)]
    log_x: bool,

    /// A logarithmic y axis
    #[arg(long)]
    log_y: bool,

    /// Where the x axis begins and ends, as in 100:2000, 100: or :2000
    #[arg(long, value_name = "FROM:TO", value_parser = range, allow_hyphen_values = true)]
    x_range: Option<ChartRange>,

    /// Where the y axis begins and ends
    #[arg(long, value_name = "FROM:TO", value_parser = range, allow_hyphen_values = true)]
    y_range: Option<ChartRange>,

    /// Let the y axis end where the most values do: from the 2nd to the 98th percentile
    #[arg(long)]
    ignore_outliers: bool,

    /// The colours
    #[arg(long, value_enum, default_value_t = Colors::Light)]
    theme: Colors,

    /// Pixels of the picture
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "960x540", value_parser = size)]
    size: (u32, u32),

    /// What stands above [default: the metrics]
    #[arg(long, default_value = "")]
    title: String,

    /// The file: loss.svg, loss.png, or loss.csv for the points that would be drawn
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// The folder of the store, or an existing mlflow.db [default: the store of the desktop program]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Band {
    /// From the smallest to the largest value
    Minmax,
    /// A standard deviation on both sides
    Std,
    /// A standard error on both sides
    Se,
    /// The 95 % interval of the line, by bootstrap
    Ci95,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Center {
    /// Through the mean
    Mean,
    /// Through the median
    Median,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Colors {
    /// On light ground
    Light,
    /// On dark ground
    Dark,
}

/// Writes the file.
pub fn run(args: &ChartArgs) -> anyhow::Result<()> {
    let format = format_of(&args.output)?;
    let options = AppOptions::for_this_user(args.store.clone()).map_err(|text| anyhow!(text))?;
    let path = args.store.clone().unwrap_or_else(|| usual_store(&options));
    let store = serve::open(&path, OpenOptions::Existing)?;
    let experiments = experiments(&store, args)?;
    let keys = store.run_keys(&experiments)?;
    let request = request(args, &experiments, &keys)?;
    let chart = charts::lines(&store, &request).map_err(|error| told(args, error))?;
    let picture = picture(args);
    if let Some(unknown) =
        chart.left_out.iter().find(|left| left.reason == ChartLeftOutReason::UnknownRun)
    {
        bail!("The run {} was deleted meanwhile", unknown.run_id);
    }
    if chart.lines.is_empty() {
        return Err(nothing(&store, args, &chart, &experiments));
    }
    note_left_out(args, &chart);
    let bytes =
        charts::file(&chart, &request, &picture, format).map_err(|error| told(args, error))?;
    fs::write(&args.output, bytes)
        .with_context(|| format!("{} cannot be written", args.output.display()))?;
    let runs: BTreeSet<&String> = chart.lines.iter().flat_map(|line| &line.run_ids).collect();
    // To where notes go: the file is the answer.
    eprintln!(
        "{}: {} of {}",
        args.output.display(),
        counted(chart.lines.len(), "line"),
        counted(runs.len(), "run")
    );
    Ok(())
}

fn request(
    args: &ChartArgs,
    experiments: &[ExperimentId],
    keys: &RunKeys,
) -> anyhow::Result<ChartRequest> {
    let runs = if args.runs.is_empty() {
        if args.experiment.is_empty() && args.filter.is_none() {
            bail!("Which runs? Name them by id, or give --experiment or --filter.");
        }
        ChartRuns::Filter {
            experiment_ids: experiments.iter().map(ToString::to_string).collect(),
            filter: args.filter.clone().unwrap_or_default(),
            limit: None,
        }
    } else {
        ChartRuns::Ids { run_ids: args.runs.clone() }
    };
    Ok(ChartRequest {
        runs,
        y: args.metric.clone(),
        x: match args.x.as_str() {
            "step" => ChartX::Step,
            "time" => ChartX::WallTime,
            "relative" => ChartX::RelativeTime,
            text => ChartX::Formula { text: text.to_owned() },
        },
        x_range: args.x_range,
        x_log: args.log_x,
        columns: args.size.0,
        smoothing: match args.smooth {
            Smoothing::None => ChartSmoothing::None,
            Smoothing::Ema { weight } => ChartSmoothing::Ema { weight },
            Smoothing::TimeEma { weight } => ChartSmoothing::TimeEma { weight },
            Smoothing::Gaussian { sigma } => ChartSmoothing::Gaussian { sigma },
            Smoothing::Mean { window } => ChartSmoothing::Mean { window },
        },
        group_by: args.group_by.iter().map(|text| group_key(text, keys)).collect(),
        center: match args.center {
            Center::Mean => ChartCenter::Mean,
            Center::Median => ChartCenter::Median,
        },
        band: match args.band {
            None => ChartBand::None,
            Some(Band::Minmax) => ChartBand::MinMax,
            Some(Band::Std) => ChartBand::Std,
            Some(Band::Se) => ChartBand::Se,
            Some(Band::Ci95) => ChartBand::Ci95,
        },
        ignore_outliers: args.ignore_outliers,
        statistics: false,
    })
}

fn picture(args: &ChartArgs) -> ChartPicture {
    ChartPicture {
        width: args.size.0,
        height: args.size.1,
        theme: match args.theme {
            Colors::Light => ChartTheme::Light,
            Colors::Dark => ChartTheme::Dark,
        },
        title: args.title.clone(),
        y_log: args.log_y,
        y_range: args.y_range,
    }
}

/// What a word stands for: `params.` and `tags.` say it, else the first of a parameter, a tag, and a
/// fact of the run that exists, else it is a formula.
fn group_key(text: &str, keys: &RunKeys) -> ChartGroupKey {
    let key = text.to_owned();
    if let Some(key) =
        text.strip_prefix("params.").filter(|key| keys.params.iter().any(|k| k == key))
    {
        return ChartGroupKey::Param { key: key.to_owned() };
    }
    if let Some(key) = text.strip_prefix("tags.") {
        return ChartGroupKey::Tag { key: key.trim_matches('`').to_owned() };
    }
    if keys.params.contains(&key) {
        return ChartGroupKey::Param { key };
    }
    if keys.tags.contains(&key) {
        return ChartGroupKey::Tag { key };
    }
    match text {
        "name" => ChartGroupKey::Name,
        "status" => ChartGroupKey::Status,
        "user" => ChartGroupKey::User,
        "source" => ChartGroupKey::Source,
        "experiment" => ChartGroupKey::Experiment,
        _ => ChartGroupKey::Formula { text: key },
    }
}

/// The experiments that are searched, or those of the runs that were named.
fn experiments(store: &Store, args: &ChartArgs) -> anyhow::Result<Vec<ExperimentId>> {
    if args.runs.is_empty() {
        return search::experiments(store, &args.experiment);
    }
    let ids = args
        .runs
        .iter()
        .map(|id| id.parse().map_err(|error| anyhow!("{id} is no run id: {error}")))
        .collect::<anyhow::Result<Vec<RunId>>>()?;
    let mut found = BTreeSet::new();
    for id in &ids {
        match store.read_blocking(|tx| tx.run_info(id)) {
            Ok(info) => found.insert(info.experiment_id),
            Err(StoreError::NotFound(_)) => {
                bail!("There is no run {id} in {}", store.dir().display())
            }
            Err(error) => return Err(error.into()),
        };
    }
    Ok(found.into_iter().collect())
}

/// Why there is no line.
fn nothing(
    store: &Store,
    args: &ChartArgs,
    chart: &ChartSeries,
    experiments: &[ExperimentId],
) -> anyhow::Error {
    if chart.runs == 0 {
        return anyhow!("No run matches.");
    }
    let Some(first) = chart.left_out.first() else { return anyhow!("There is nothing to draw.") };
    let whose = if chart.runs == 1 { "The run" } else { "No run can be drawn: the first" };
    let mut text = format!("{whose} {}", first.message);
    if first.reason == ChartLeftOutReason::Missing {
        let ids: Vec<(RunId, ExperimentId)> = chart
            .left_out
            .iter()
            .filter_map(|left| Some((left.run_id.parse().ok()?, *experiments.first()?)))
            .collect();
        // The names that the runs do have: a formula may name several.
        let meant = MetricNames::of(store, &ids).ok().and_then(|names| {
            let missing = first.message.split('“').nth(1)?.split('”').next()?;
            names.meant(missing)
        });
        text.push('.');
        if let Some(meant) = meant {
            text = format!("{text} {meant}");
        } else if args.metric.len() == 1 {
            text = format!("{text} `cairn search --format json` lists what runs have.");
        }
    }
    anyhow!(text)
}

/// Says which runs have no line, each reason once.
fn note_left_out(args: &ChartArgs, chart: &ChartSeries) {
    let mut reasons: Vec<(&ChartLeftOut, usize)> = Vec::new();
    for left in &chart.left_out {
        match reasons.iter_mut().find(|(other, _)| other.message == left.message) {
            Some((_, count)) => *count += 1,
            None => reasons.push((left, 1)),
        }
    }
    for (left, count) in reasons {
        let of = match left.y_index {
            Some(at) if args.metric.len() > 1 => format!(" for {}", args.metric[at as usize]),
            _ => String::new(),
        };
        match count {
            1 => eprintln!("note: left out{of}: run {} {}", left.run_id, left.message),
            _ => eprintln!("note: left out{of}: {count} runs, each of which {}", left.message),
        }
    }
}

/// A refusal, with a mark under the place of a formula or filter.
fn told(args: &ChartArgs, error: CommandError) -> anyhow::Error {
    let mut text = error.message.clone();
    let texts = args.metric.iter().chain([&args.x]).chain(&args.group_by).chain(&args.filter);
    let is_refused = |text: &&String| error.message.contains(&format!("“{text}”"));
    let refused = texts.clone().find(is_refused).or(args.filter.as_ref());
    if let (Some(span), Some(refused)) = (error.span, refused) {
        // Places are counted in UTF-16 units.
        let chars = |units: u32| {
            let mut left = units as usize;
            refused
                .chars()
                .take_while(|c| {
                    let is_before = left > 0;
                    left = left.saturating_sub(c.len_utf16());
                    is_before
                })
                .count()
        };
        let (start, end) = (chars(span.start), chars(span.end));
        text = format!(
            "{text}\n  {refused}\n  {}{}",
            " ".repeat(start),
            "^".repeat((end - start).max(1))
        );
    }
    if let Some(hint) = error.hint {
        text = format!("{text}\n{hint}");
    }
    anyhow!(text)
}

fn format_of(path: &Path) -> anyhow::Result<ChartFormat> {
    let extension = path.extension().and_then(|end| end.to_str()).map(str::to_lowercase);
    Ok(match extension.as_deref() {
        Some("svg") => ChartFormat::Svg,
        Some("png") => ChartFormat::Png,
        Some("csv") => ChartFormat::Csv,
        _ => bail!("-o {}: the name must end in .svg, .png or .csv", path.display()),
    })
}

fn range(text: &str) -> Result<ChartRange, String> {
    let wrong = || format!("“{text}” is no range: it reads 100:2000, 100: or :2000");
    let (from, to) = text.split_once(':').ok_or_else(wrong)?;
    let end = |text: &str| match text.trim() {
        "" => Ok(None),
        number => {
            number.parse().ok().filter(|end: &f64| end.is_finite()).map(Some).ok_or_else(wrong)
        }
    };
    let range = ChartRange { from: end(from)?, to: end(to)? };
    match (range.from, range.to) {
        (Some(from), Some(to)) if from >= to => Err(format!("{from} is not before {to}")),
        _ => Ok(range),
    }
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let wrong = || format!("“{text}” is no size: it reads 960x540, from 200x150 to 8000x8000");
    let (width, height) = text.split_once(['x', '×']).ok_or_else(wrong)?;
    let size = width.trim().parse().ok().zip(height.trim().parse().ok());
    size.filter(|(width, height)| (200..=8_000).contains(width) && (150..=8_000).contains(height))
        .ok_or_else(wrong)
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_sizes_are_read_or_refused() {
        let ends = |text: &str| range(text).map(|range| (range.from, range.to));
        assert_eq!(ends("-1:2.5"), Ok((Some(-1.0), Some(2.5))));
        assert_eq!(ends("10:"), Ok((Some(10.0), None)));
        assert_eq!(ends(":1e3"), Ok((None, Some(1_000.0))));
        for wrong in ["", "5", "a:b", "2:1", "1:1", "nan:2", ":inf"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
        assert_eq!(size("960x540"), Ok((960, 540)));
        for wrong in ["960", "960x", "10x10", "9000x9000", "-5x300"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_word_is_what_runs_have() {
        let keys = RunKeys {
            metrics: vec![],
            params: vec!["lr".into(), "status".into()],
            tags: vec!["team".into()],
        };
        let param = |key: &str| ChartGroupKey::Param { key: key.into() };
        assert_eq!(group_key("lr", &keys), param("lr"));
        assert_eq!(group_key("params.lr", &keys), param("lr"));
        assert_eq!(group_key("status", &keys), param("status"));
        assert_eq!(group_key("team", &keys), ChartGroupKey::Tag { key: "team".into() });
        assert_eq!(group_key("tags.`a b`", &keys), ChartGroupKey::Tag { key: "a b".into() });
        assert_eq!(group_key("user", &keys), ChartGroupKey::User);
        let formula = |text: &str| ChartGroupKey::Formula { text: text.into() };
        assert_eq!(group_key("params.lr * 2", &keys), formula("params.lr * 2"));
    }
}
