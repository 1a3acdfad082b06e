//! From runs to lines.

use std::{
    cmp::Ordering,
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{self, AtomicUsize},
    },
    thread,
};

use cairn_core::{
    ExperimentId, Invalid, RunId, UnixMillis, ViewType,
    filter::{self, Context, Entity},
    formula::{Formula, Missing, NameKind, Numbers, Outcome, Pick, SeriesOf},
    series::{self, Alignment, Band, Center, Line, Placed, Points, Smoothing, Window, XAxis},
};
use cairn_store::{Store, StoreError, history::Series, runs::Run, search_runs::SearchRuns};
use jiff::tz::TimeZone;

use super::{
    dto::{
        ChartAlignment, ChartBand, ChartCenter, ChartGroupKey, ChartLeftOut, ChartLeftOutReason,
        ChartLine, ChartMark, ChartRange, ChartRaw, ChartRequest, ChartRuns, ChartSeries,
        ChartSmoothing, ChartStatistics, ChartX,
    },
    names::MetricNames,
};
use crate::{
    dto::{CommandError, ErrorCode},
    errors, runs,
};

/// Columns at most: more than any screen or paper has.
const MAX_COLUMNS: u32 = 20_000;
/// Metrics or formulas of one chart at most.
const MAX_Y: usize = 100;
/// Threads that read and reduce lines at most.
const MAX_WORKERS: usize = 8;
/// Values that each line gives for the bounds without outliers, at most.
const OUTLIER_SAMPLES: usize = 20_000;

/// The lines of a chart, reduced to what its columns can show. Blocks: reading, smoothing and reducing
/// take as many threads as the machine has.
///
/// Runs that lack a metric are left out and named; that is no error.
pub fn lines(store: &Store, request: &ChartRequest) -> Result<ChartSeries, CommandError> {
    if request.y.is_empty() || request.y.len() > MAX_Y {
        return Err(errors::invalid(Invalid::new(format!(
            "A chart shows 1 to {MAX_Y} metrics; {} were asked for.",
            request.y.len()
        ))));
    }
    let range = checked_range(request)?;
    let smoothing = smoothing(request.smoothing)?;
    let mut left_out = Vec::new();
    let runs = find_runs(store, &request.runs, &mut left_out)?;
    let ids: Vec<(RunId, ExperimentId)> =
        runs.iter().map(|run| (run.info.run_id.clone(), run.info.experiment_id)).collect();
    let names = MetricNames::of(store, &ids).map_err(errors::store_error)?;
    let y = request.y.iter().map(|text| upright(&names, text)).collect::<Result<Vec<_>, _>>()?;
    let x = match &request.x {
        ChartX::Formula { text } => Some(upright(&names, text)?),
        _ => None,
    };
    let asked = Asked {
        store,
        request,
        x: x.as_ref(),
        smoothing,
        range,
        columns: request.columns.clamp(2, MAX_COLUMNS) as usize,
    };
    let jobs: Vec<(usize, usize)> =
        (0..y.len()).flat_map(|y| (0..runs.len()).map(move |run| (y, run))).collect();
    let mut chart = if request.group_by.is_empty() {
        let labels = labels(&runs, &request.y);
        let made = parallel(jobs.len(), |job| {
            let (y_index, run) = jobs[job];
            let placed = match asked.place(&runs[run], &y[y_index])? {
                Ok(placed) => placed,
                Err(why) => return Ok(Err(left(&runs[run], y_index, why))),
            };
            Ok(Ok(asked.line_of_run(&runs[run], y_index, labels[job].clone(), placed)))
        });
        gather(made)?
    } else {
        grouped(&asked, &names, &runs, &y, &jobs)?
    };
    left_out.append(&mut chart.left_out);
    chart.left_out = left_out;
    chart.runs = runs.len() as u64;
    Ok(chart)
}

/// A text that has a value at each step.
fn upright(names: &MetricNames, text: &str) -> Result<Formula, CommandError> {
    let formula = names.formula(text)?;
    if formula.is_series() {
        return Ok(formula);
    }
    Err(CommandError::new(
        ErrorCode::InvalidFormula,
        format!("The formula “{text}” is one number of a run: a line needs a value at each step"),
    )
    .with_hint("Name a metric outside of best(…), last(…) and the like."))
}

/// What all lines of a chart have in common.
struct Asked<'a> {
    store: &'a Store,
    request: &'a ChartRequest,
    x: Option<&'a Formula>,
    smoothing: Smoothing,
    range: (Option<f64>, Option<f64>),
    columns: usize,
}

/// A line before it is grouped, and what a chart wants to know of it.
struct Made {
    line: ChartLine,
    bounds: (f64, f64),
    samples: Vec<f64>,
}

type JobResult<T> = Result<Result<T, ChartLeftOut>, CommandError>;
/// Why a run has no line.
type Why = (ChartLeftOutReason, String);

impl Asked<'_> {
    /// The points of a run, with places on the x axis.
    fn place(&self, run: &Run, y: &Formula) -> Result<Result<Placed, Why>, CommandError> {
        let loaded =
            Loaded::read(self.store, run, [Some(y), self.x]).map_err(errors::store_error)?;
        let no_place = |message: &str| Ok(Err((ChartLeftOutReason::NoPlace, message.to_owned())));
        let points = match series_of(y, &loaded) {
            Ok(series) => series,
            Err(missing) => return Ok(Err(why_missing(&missing))),
        };
        let other = match self.x.map(|x| series_of(x, &loaded)).transpose() {
            Ok(series) => series,
            Err(missing) => return Ok(Err(why_missing(&missing))),
        };
        if points.values.is_empty() {
            return no_place("its metrics have no step in common");
        }
        let axis = match (&self.request.x, &other) {
            (_, Some(other)) => XAxis::Other(other.points()),
            (ChartX::WallTime, None) => XAxis::WallTime,
            (ChartX::RelativeTime, None) => XAxis::Relative { start: run.info.start_time },
            _ => XAxis::Step,
        };
        let mut placed = series::place(points.points(), axis);
        if self.request.x_log {
            let first = placed.x.partition_point(|x| *x <= 0.0);
            placed.x.drain(..first);
            placed.y.drain(..first);
        }
        if placed.x.is_empty() {
            return no_place(if self.x.is_some() {
                "no point has a place on the x axis: the two have no step in common"
            } else {
                "no point lies above 0, where a logarithmic axis begins"
            });
        }
        Ok(Ok(placed))
    }

    /// The stretch that is shown of points with places.
    fn window(&self, bounds: (f64, f64)) -> Window {
        let from = self.range.0.unwrap_or(bounds.0);
        let to = self.range.1.unwrap_or(bounds.1);
        Window { from, to: to.max(from), is_log: self.request.x_log }
    }

    fn line_of_run(&self, run: &Run, y_index: usize, label: String, placed: Placed) -> Made {
        let bounds = ends(&placed.x);
        let window = self.window(bounds);
        let raw_kept = series::reduce_by_x(&placed.x, &placed.y, window, self.columns);
        let marks = marks(&placed.x, &placed.y, &raw_kept, window);
        let shown = window.positions(&placed.x);
        let take = |kept: &[usize], from: &[f64]| kept.iter().map(|at| from[*at]).collect();
        let samples = self.samples(&placed.y[shown.clone()]);
        let statistics = self.statistics(&placed.x, &placed.y, window);
        let (x, y, raw, kept) = if self.smoothing == Smoothing::None {
            (take(&raw_kept, &placed.x), take(&raw_kept, &placed.y), None, raw_kept.len())
        } else {
            let smooth = self.smoothing.apply(&placed.x, &placed.y);
            let kept = series::reduce_by_x(&placed.x, &smooth, window, self.columns);
            let raw = ChartRaw { x: take(&raw_kept, &placed.x), y: take(&raw_kept, &placed.y) };
            (take(&kept, &placed.x), take(&kept, &smooth), Some(raw), raw_kept.len())
        };
        let line = ChartLine {
            id: format!("{}:{y_index}", run.info.run_id),
            label,
            y_index: y_index as u32,
            run_ids: vec![run.info.run_id.to_string()],
            group: Vec::new(),
            status: Some(runs::status(&run.info)),
            x,
            y,
            low: None,
            high: None,
            raw,
            marks,
            points: placed.x.len() as u64,
            is_reduced: kept < shown.len(),
            alignment: None,
            statistics,
        };
        Made { line, bounds, samples }
    }

    fn statistics(&self, x: &[f64], y: &[f64], window: Window) -> Option<ChartStatistics> {
        self.request.statistics.then(|| {
            let found = series::statistics(x, y, window);
            ChartStatistics {
                count: found.count as u64,
                not_finite: found.not_finite as u64,
                first: found.first,
                last: found.last,
                min: found.min,
                max: found.max,
                mean: found.mean,
                std: found.std,
                area: found.area,
            }
        })
    }

    fn samples(&self, y: &[f64]) -> Vec<f64> {
        if !self.request.ignore_outliers {
            return Vec::new();
        }
        let stride = y.len().div_ceil(OUTLIER_SAMPLES).max(1);
        y.iter().step_by(stride).copied().filter(|value| value.is_finite()).collect()
    }
}

/// One line for each group and each `y`.
fn grouped(
    asked: &Asked<'_>,
    names: &MetricNames,
    runs: &[Run],
    y: &[Formula],
    jobs: &[(usize, usize)],
) -> Result<ChartSeries, CommandError> {
    let request = asked.request;
    let keys = request
        .group_by
        .iter()
        .map(|key| match key {
            ChartGroupKey::Formula { text } => names.formula(text).map(Some),
            _ => Ok(None),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let values = parallel(runs.len(), |run| {
        request
            .group_by
            .iter()
            .zip(&keys)
            .map(|(key, formula)| group_value(asked.store, &runs[run], key, formula.as_ref()))
            .collect::<cairn_store::Result<Vec<_>>>()
            .map_err(errors::store_error)
    })
    .into_iter()
    .collect::<Result<Vec<_>, _>>()?;
    let placed = parallel(jobs.len(), |job| {
        let (y_index, run) = jobs[job];
        Ok(match asked.place(&runs[run], &y[y_index])? {
            Ok(placed) => {
                let smooth = asked.smoothing.apply(&placed.x, &placed.y);
                Ok(Placed { y: smooth, ..placed })
            }
            Err(why) => Err(left(&runs[run], y_index, why)),
        })
    });
    let mut left_out = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    for ((y_index, run), placed) in jobs.iter().zip(placed) {
        match placed? {
            Err(left) => left_out.push(left),
            Ok(placed) => {
                let member = (*run, placed);
                let is_same =
                    |group: &&mut Group| group.y_index == *y_index && group.values == values[*run];
                match groups.iter_mut().find(is_same) {
                    Some(group) => group.members.push(member),
                    None => groups.push(Group {
                        y_index: *y_index,
                        values: values[*run].clone(),
                        members: vec![member],
                    }),
                }
            }
        }
    }
    groups.sort_by(|a, b| {
        a.y_index.cmp(&b.y_index).then_with(|| compare_values(&a.values, &b.values))
    });
    let bounds = groups
        .iter()
        .flat_map(|group| &group.members)
        .map(|(_, placed)| ends(&placed.x))
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let window = asked.window(bounds.unwrap_or_default());
    let made = parallel(groups.len(), |at| Ok(Ok(line_of_group(asked, runs, &groups[at], window))));
    let mut chart = gather(made)?;
    chart.left_out = left_out;
    Ok(chart)
}

/// Runs that are one line.
struct Group {
    y_index: usize,
    values: Vec<Option<String>>,
    /// Positions of the runs, and their points.
    members: Vec<(usize, Placed)>,
}

fn line_of_group(asked: &Asked<'_>, runs: &[Run], group: &Group, window: Window) -> Made {
    let request = asked.request;
    let lines: Vec<Line<'_>> =
        group.members.iter().map(|(_, placed)| Line { x: &placed.x, y: &placed.y }).collect();
    let center = match request.center {
        ChartCenter::Mean => Center::Mean,
        ChartCenter::Median => Center::Median,
    };
    let band = match request.band {
        ChartBand::None => Band::None,
        ChartBand::MinMax => Band::MinMax,
        ChartBand::Std => Band::Std,
        ChartBand::Se => Band::Se,
        ChartBand::Ci95 => Band::Ci95,
    };
    let found = series::group(&lines, window, asked.columns, center, band);
    let mut marks: Vec<ChartMark> = lines
        .iter()
        .flat_map(|line| {
            let kept = series::reduce_by_x(line.x, line.y, window, asked.columns);
            marks(line.x, line.y, &kept, window)
        })
        .collect();
    marks.sort_by(|a, b| a.x.total_cmp(&b.x));
    marks.truncate(3 * asked.columns);
    let samples = found.center.iter().chain(&found.low).chain(&found.high);
    let samples = samples.copied().filter(|value| value.is_finite() && request.ignore_outliers);
    let points = lines.iter().map(|line| line.x.len() as u64).sum();
    let has_band = band != Band::None;
    let mut label = request
        .group_by
        .iter()
        .zip(&group.values)
        .map(|(key, value)| {
            let value = value.as_deref().unwrap_or("none");
            key_name(key).map_or_else(|| value.to_owned(), |key| format!("{key} = {value}"))
        })
        .collect::<Vec<_>>()
        .join(", ");
    if request.y.len() > 1 {
        label = format!("{label} · {}", request.y[group.y_index]);
    }
    let line = ChartLine {
        id: format!("{}:{}", serde_json::json!(group.values), group.y_index),
        label: format!("{label} ({})", group.members.len()),
        y_index: group.y_index as u32,
        run_ids: group.members.iter().map(|(run, _)| runs[*run].info.run_id.to_string()).collect(),
        group: group.values.clone(),
        status: None,
        marks,
        points,
        is_reduced: found.alignment == Alignment::Columns,
        alignment: Some(match found.alignment {
            Alignment::Same => ChartAlignment::Same,
            Alignment::Interpolated => ChartAlignment::Interpolated,
            Alignment::Columns => ChartAlignment::Columns,
        }),
        statistics: asked.statistics(&found.x, &found.center, window),
        raw: None,
        low: has_band.then_some(found.low.clone()),
        high: has_band.then_some(found.high.clone()),
        y: found.center.clone(),
        x: found.x.clone(),
    };
    let bounds = lines.iter().map(|line| ends(line.x)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    Made { line, bounds: bounds.unwrap_or_default(), samples: samples.collect() }
}

/// What a chart says of a key, before its value; `None` where the value says it all.
fn key_name(key: &ChartGroupKey) -> Option<&str> {
    match key {
        ChartGroupKey::Param { key } | ChartGroupKey::Tag { key } => Some(key),
        ChartGroupKey::Formula { text } => Some(text),
        ChartGroupKey::Experiment => Some("experiment"),
        ChartGroupKey::Name
        | ChartGroupKey::Status
        | ChartGroupKey::User
        | ChartGroupKey::Source => None,
    }
}

fn group_value(
    store: &Store,
    run: &Run,
    key: &ChartGroupKey,
    formula: Option<&Formula>,
) -> cairn_store::Result<Option<String>> {
    let tag = |key: &str| run.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.clone());
    let info = &run.info;
    Ok(match key {
        ChartGroupKey::Param { key } => {
            run.params.iter().find(|param| param.key == *key).map(|param| param.value.clone())
        }
        ChartGroupKey::Tag { key } => tag(key),
        ChartGroupKey::Formula { .. } => {
            let Some(formula) = formula else { return Ok(None) };
            let loaded = Loaded::read(store, run, [Some(formula), None])?;
            formula.number(&loaded).ok().map(|number| number.to_string())
        }
        ChartGroupKey::Name => Some(info.run_name.clone()),
        ChartGroupKey::Status => Some(info.status.as_str().to_lowercase()),
        ChartGroupKey::User => {
            tag("mlflow.user").or_else(|| Some(info.user_id.clone()).filter(|id| !id.is_empty()))
        }
        ChartGroupKey::Source => tag("mlflow.source.name"),
        ChartGroupKey::Experiment => Some(info.experiment_id.to_string()),
    })
}

/// Numbers by size, before other texts; those without a value last.
fn compare_values(a: &[Option<String>], b: &[Option<String>]) -> Ordering {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| !number.is_nan());
    let compare = |a: &str, b: &str| match (number(a), number(b)) {
        (Some(left), Some(right)) => left.total_cmp(&right).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    };
    let pairs = a.iter().zip(b).map(|pair| match pair {
        (Some(a), Some(b)) => compare(a, b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    });
    pairs.fold(Ordering::Equal, Ordering::then)
}

/// What a formula needs of one run.
struct Loaded<'a> {
    run: &'a Run,
    metrics: HashMap<String, Arc<Series>>,
}

impl<'a> Loaded<'a> {
    fn read(
        store: &Store,
        run: &'a Run,
        formulas: [Option<&Formula>; 2],
    ) -> cairn_store::Result<Self> {
        let mut metrics = HashMap::new();
        for name in formulas.iter().flatten().flat_map(|formula| formula.names()) {
            // A run without this metric has no row of it to look for.
            let has = || run.metrics.iter().any(|point| point.key == name.key);
            if name.kind == NameKind::Metric && !metrics.contains_key(&name.key) && has() {
                let series = store.metric_series(&run.info.run_id, &name.key)?;
                metrics.insert(name.key.clone(), series);
            }
        }
        Ok(Self { run, metrics })
    }

    fn points(&self, key: &str) -> Option<Points<'_>> {
        let series = self.metrics.get(key).filter(|series| !series.values.is_empty())?;
        Some(Points { steps: &series.steps, times: &series.timestamps, values: &series.values })
    }

    fn number_of_param(&self, key: &str) -> Option<f64> {
        let param = self.run.params.iter().find(|param| param.key == key)?;
        param.value.trim().parse().ok()
    }
}

impl SeriesOf for Loaded<'_> {
    fn metric(&self, key: &str) -> Option<Points<'_>> {
        self.points(key)
    }

    fn param(&self, key: &str) -> Option<f64> {
        self.number_of_param(key)
    }
}

impl Numbers for Loaded<'_> {
    fn metric(&self, key: &str, pick: Pick) -> Option<f64> {
        pick.of(key, self.points(key)?)
    }

    fn param(&self, key: &str) -> Option<f64> {
        self.number_of_param(key)
    }
}

fn series_of<'a>(
    formula: &Formula,
    run: &'a Loaded<'_>,
) -> Result<cairn_core::formula::StepSeries<'a>, Missing> {
    Ok(match formula.series(run)? {
        Outcome::Series(series) => series,
        // Refused before any run is read.
        Outcome::Number(_) => cairn_core::formula::StepSeries::default(),
    })
}

fn why_missing(missing: &Missing) -> Why {
    let key = &missing.name.key;
    let message = match missing.name.kind {
        NameKind::Metric => format!("has no metric “{key}”"),
        NameKind::Param => format!("has no parameter “{key}” that is a number"),
    };
    (ChartLeftOutReason::Missing, message)
}

fn left(run: &Run, y_index: usize, (reason, message): Why) -> ChartLeftOut {
    let run_id = run.info.run_id.to_string();
    ChartLeftOut { run_id, y_index: Some(y_index as u32), reason, message }
}

fn find_runs(
    store: &Store,
    asked: &ChartRuns,
    left_out: &mut Vec<ChartLeftOut>,
) -> Result<Vec<Run>, CommandError> {
    match asked {
        ChartRuns::Ids { run_ids } => {
            let ids =
                run_ids.iter().map(|id| runs::parse_run(id)).collect::<Result<Vec<_>, _>>()?;
            let found = store
                .read_blocking(|tx| {
                    ids.iter()
                        .map(|id| match tx.run(id) {
                            Ok(run) => Ok(Ok(run)),
                            Err(StoreError::NotFound(_)) => Ok(Err(id.clone())),
                            Err(other) => Err(other),
                        })
                        .collect::<cairn_store::Result<Vec<_>>>()
                })
                .map_err(errors::store_error)?;
            let mut runs = Vec::with_capacity(found.len());
            for run in found {
                match run {
                    Ok(run) => runs.push(run),
                    Err(id) => left_out.push(ChartLeftOut {
                        run_id: id.to_string(),
                        y_index: None,
                        reason: ChartLeftOutReason::UnknownRun,
                        message: "is not in the store".to_owned(),
                    }),
                }
            }
            Ok(runs)
        }
        ChartRuns::Filter { experiment_ids, filter, limit } => {
            let experiment_ids = runs::parse_experiments(experiment_ids)?;
            let context = Context { now: UnixMillis::now(), zone: TimeZone::system() };
            let parsed = filter::parse_extended(Entity::Runs, filter, &context)
                .map_err(|error| errors::invalid_filter(filter, error))?;
            let search = SearchRuns {
                experiment_ids,
                filter: parsed,
                order: Vec::new(),
                view: ViewType::ActiveOnly,
                max_results: limit.map_or(usize::MAX >> 2, |limit| limit as usize),
                offset: 0,
            };
            Ok(store.search_runs_blocking(&search).map_err(errors::store_error)?.items)
        }
    }
}

/// A name for each run and each `y`, in the order of the jobs: no two are the same.
fn labels(runs: &[Run], y: &[String]) -> Vec<String> {
    let name = |run: &Run| {
        let name = run.info.run_name.trim();
        if name.is_empty() { short(run) } else { name.to_owned() }
    };
    let mut count: HashMap<String, usize> = HashMap::new();
    for run in runs {
        *count.entry(name(run)).or_default() += 1;
    }
    let unique: Vec<String> = runs
        .iter()
        .map(|run| match name(run) {
            name if count[&name] > 1 && name != short(run) => format!("{name} {}", short(run)),
            name => name,
        })
        .collect();
    let (many_y, many_runs) = (y.len() > 1, unique.len() > 1);
    let mut labels = Vec::with_capacity(y.len() * unique.len());
    for text in y {
        for name in &unique {
            labels.push(match (many_y, many_runs) {
                (false, _) => name.clone(),
                (true, false) => text.clone(),
                (true, true) => format!("{name} · {text}"),
            });
        }
    }
    labels
}

fn short(run: &Run) -> String {
    run.info.run_id.as_str()[..8].to_owned()
}

fn gather(made: Vec<JobResult<Made>>) -> Result<ChartSeries, CommandError> {
    let (mut lines, mut left_out) = (Vec::new(), Vec::new());
    let mut samples = Vec::new();
    let mut bounds: Option<(f64, f64)> = None;
    for made in made {
        match made? {
            Err(left) => left_out.push(left),
            Ok(made) => {
                let (from, to) = bounds.unwrap_or(made.bounds);
                bounds = Some((from.min(made.bounds.0), to.max(made.bounds.1)));
                samples.push(made.samples);
                lines.push(made.line);
            }
        }
    }
    let samples: Vec<&[f64]> = samples.iter().map(Vec::as_slice).collect();
    let range = |(from, to)| ChartRange { from: Some(from), to: Some(to) };
    Ok(ChartSeries {
        lines,
        x_bounds: bounds.map(range),
        y_bounds: series::outlier_bounds(&samples).map(range),
        left_out,
        runs: 0,
    })
}

/// The places in the window whose values are not finite, among those that were kept.
fn marks(x: &[f64], y: &[f64], kept: &[usize], window: Window) -> Vec<ChartMark> {
    let shown = window.positions(x);
    kept.iter()
        .filter(|at| shown.contains(at) && !y[**at].is_finite())
        .map(|at| ChartMark { x: x[*at], value: y[*at].into() })
        .collect()
}

/// The first and the last place; there is at least one.
fn ends(x: &[f64]) -> (f64, f64) {
    x.first().copied().zip(x.last().copied()).unwrap_or_default()
}

fn checked_range(request: &ChartRequest) -> Result<(Option<f64>, Option<f64>), CommandError> {
    let range = request.x_range.unwrap_or_default();
    let refuse = |message: String| Err(errors::invalid(Invalid::new(message)));
    if let (Some(from), Some(to)) = (range.from, range.to)
        && from >= to
    {
        return refuse(format!("The range of x begins at {from}, which is not before {to}."));
    }
    if let Some(end) = [range.from, range.to].into_iter().flatten().find(|end| !end.is_finite()) {
        return refuse(format!("The range of x cannot end at {end}."));
    }
    if request.x_log
        && let Some(end) = [range.from, range.to].into_iter().flatten().find(|end| *end <= 0.0)
    {
        return refuse(format!(
            "{end} has no place on a logarithmic x axis: only values above 0 have."
        ));
    }
    Ok((range.from, range.to))
}

fn smoothing(asked: ChartSmoothing) -> Result<Smoothing, CommandError> {
    // By way of the text, whose reader knows what is allowed.
    let text = match asked {
        ChartSmoothing::None => return Ok(Smoothing::None),
        ChartSmoothing::Ema { weight } => format!("ema:{weight}"),
        ChartSmoothing::TimeEma { weight } => format!("time-ema:{weight}"),
        ChartSmoothing::Gaussian { sigma } => format!("gaussian:{sigma}"),
        ChartSmoothing::Mean { window } => format!("mean:{window}"),
    };
    text.parse().map_err(errors::invalid)
}

/// Makes the answers for 0 to `count - 1` on several threads, in order.
fn parallel<T: Send>(count: usize, answer: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = cores.min(MAX_WORKERS).min(count);
    if workers <= 1 {
        return (0..count).map(answer).collect();
    }
    let next = AtomicUsize::new(0);
    let answers: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::with_capacity(count));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, atomic::Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    let one = answer(at);
                    answers.lock().expect("no holder of this lock panics").push((at, one));
                }
            });
        }
    });
    let mut answers = answers.into_inner().expect("no holder of this lock panics");
    answers.sort_unstable_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_many_threads_stand_in_order() {
        assert_eq!(parallel(1_000, |at| at * 2), (0..2_000).step_by(2).collect::<Vec<_>>());
        assert!(parallel(0, |at| at).is_empty());
    }

    #[test]
    fn groups_are_ordered_as_numbers_then_texts_then_nothing() {
        let mut values: Vec<Vec<Option<String>>> =
            ["adam", "10", "9", "1e-3", ""].iter().map(|text| vec![Some((*text).into())]).collect();
        values.push(vec![None]);
        values.reverse();
        values.sort_by(|a, b| compare_values(a, b));
        let shown: Vec<&str> =
            values.iter().map(|value| value[0].as_deref().unwrap_or("none")).collect();
        assert_eq!(shown, ["1e-3", "9", "10", "", "adam", "none"]);
    }
}
