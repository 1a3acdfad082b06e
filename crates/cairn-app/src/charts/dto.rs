//! What a chart is asked for, and what it answers.
//!
//! Values that are not finite are `null` in every array of an answer: a line breaks there.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::dto::{Number, RunStatus};

/// Asks for the lines of a chart.
#[derive(Debug, Clone, PartialEq, Deserialize, TS)]
#[ts(export)]
pub struct ChartRequest {
    /// Whose lines.
    pub runs: ChartRuns,
    /// What stands upright: each a metric, or a formula over metrics (`loss * 100`,
    /// `train_loss - val_loss`). A text that is the name of a metric is that metric. One line for each
    /// of them and each run (or group).
    pub y: Vec<String>,
    /// What stands along the chart.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub x: ChartX,
    /// The stretch of x to answer; `null` for all.
    #[serde(default)]
    #[ts(optional = nullable)]
    pub x_range: Option<ChartRange>,
    /// Whether the x axis is logarithmic: points at 0 and below have no place then.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub x_log: bool,
    /// How many columns of pixels the chart has; at most two finite points come back per column.
    pub columns: u32,
    /// How lines are smoothed, over all of their points, whatever stretch is shown.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub smoothing: ChartSmoothing,
    /// What runs are grouped by: those with equal values are one line. Empty: each run has its own.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub group_by: Vec<ChartGroupKey>,
    /// Where the line of a group runs.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub center: ChartCenter,
    /// What the band around the line of a group holds.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub band: ChartBand,
    /// Whether `y_bounds` is wanted.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub ignore_outliers: bool,
    /// Whether `statistics` of each line are wanted.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub statistics: bool,
}

/// Whose lines.
#[derive(Debug, Clone, PartialEq, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum ChartRuns {
    /// These runs, in this order.
    Ids {
        /// 32 hexadecimal digits each.
        run_ids: Vec<String>,
    },
    /// What a filter finds, newest first.
    Filter {
        /// Strings of digits.
        experiment_ids: Vec<String>,
        /// In the language of the run table; empty for all.
        #[serde(default)]
        #[ts(optional, as = "Option<_>")]
        filter: String,
        /// Runs at most; `null` for all.
        #[serde(default)]
        #[ts(optional = nullable)]
        limit: Option<u32>,
    },
}

/// What stands along a chart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum ChartX {
    /// Steps.
    #[default]
    Step,
    /// Milliseconds since 1970.
    WallTime,
    /// Seconds since the run began (its first point, if that is not known).
    RelativeTime,
    /// Another metric or a formula, joined by step.
    Formula {
        /// The metric's name, or the formula.
        text: String,
    },
}

/// A stretch of an axis; `null` where it is open.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct ChartRange {
    /// Where it begins.
    #[serde(default)]
    #[ts(optional = nullable)]
    pub from: Option<f64>,
    /// Where it ends.
    #[serde(default)]
    #[ts(optional = nullable)]
    pub to: Option<f64>,
}

/// How lines are smoothed. NaN and infinities stay, and nothing is smoothed over them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum ChartSmoothing {
    /// As logged.
    #[default]
    None,
    /// An exponential moving average without the pull of its beginning.
    Ema {
        /// What stays of the average at each point: 0 to below 1.
        weight: f64,
    },
    /// One by distance along x, as W&B has it.
    TimeEma {
        /// 0 to below 1.
        weight: f64,
    },
    /// A Gaussian curve around each point.
    Gaussian {
        /// Its standard deviation, in points; above 0.
        sigma: f64,
    },
    /// The mean of the points around each one.
    Mean {
        /// How many points; from 1 on.
        window: u32,
    },
}

/// What runs are grouped by.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum ChartGroupKey {
    /// A parameter.
    Param {
        /// Its key.
        key: String,
    },
    /// A tag.
    Tag {
        /// Its key.
        key: String,
    },
    /// A formula over the run's metrics and parameters, `best(loss)`.
    Formula {
        /// The formula.
        text: String,
    },
    /// The run's name.
    Name,
    /// The run's status.
    Status,
    /// Who ran it.
    User,
    /// The tag `mlflow.source.name`.
    Source,
    /// Its experiment, by id.
    Experiment,
}

/// Where the line of a group runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ChartCenter {
    /// Through the mean.
    #[default]
    Mean,
    /// Through the median.
    Median,
}

/// What the band around the line of a group holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ChartBand {
    /// There is none.
    #[default]
    None,
    /// From the smallest to the largest value.
    MinMax,
    /// A sample standard deviation on both sides.
    Std,
    /// A standard error on both sides.
    Se,
    /// The 95 % interval of the line, by drawing runs again; always the same draws.
    Ci95,
}

/// The lines of a chart.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ChartSeries {
    /// The lines: by `y` as asked, in it by run as asked, or by group.
    pub lines: Vec<ChartLine>,
    /// From the first to the last place of all points, whatever stretch was asked; `null` without any.
    pub x_bounds: Option<ChartRange>,
    /// Where the y axis may end when outliers are ignored: the 2nd to the 98th percentile of all
    /// values in the stretch, and a little room. `null` unless asked for, or without values.
    pub y_bounds: Option<ChartRange>,
    /// Runs without a line, and why.
    pub left_out: Vec<ChartLeftOut>,
    /// Runs that were found.
    #[ts(type = "number")]
    pub runs: u64,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ChartLine {
    /// The same line has the same id in every answer: the run's id, or the values of the group, and
    /// which `y`.
    pub id: String,
    /// What a legend says.
    pub label: String,
    /// Which of the `y` asked for, from 0.
    pub y_index: u32,
    /// The run, or the runs of the group.
    pub run_ids: Vec<String>,
    /// The group's values, one for each key; `null` where runs have none. Empty without groups.
    pub group: Vec<Option<String>>,
    /// The run's status; `null` for groups.
    pub status: Option<RunStatus>,
    /// Places, ascending. The points beside the stretch asked for are among them.
    pub x: Vec<f64>,
    /// Values, smoothed as asked.
    #[ts(type = "(number | null)[]")]
    pub y: Vec<f64>,
    /// The lower edge of the band at each place; `null` for lines without one.
    #[ts(type = "(number | null)[] | null")]
    pub low: Option<Vec<f64>>,
    /// The upper edge of the band.
    #[ts(type = "(number | null)[] | null")]
    pub high: Option<Vec<f64>>,
    /// The line as it was logged, if it is smoothed; `null` for groups.
    pub raw: Option<ChartRaw>,
    /// Where values are not finite: the first of each kind in each column.
    pub marks: Vec<ChartMark>,
    /// Points that the run, or all runs of the group, have along the whole axis.
    #[ts(type = "number")]
    pub points: u64,
    /// Whether points in the stretch were left out (the smallest and largest of each column never are).
    pub is_reduced: bool,
    /// For groups: how runs came to values at the same places.
    pub alignment: Option<ChartAlignment>,
    /// Of the values as logged in the stretch; for groups, of its line. `null` unless asked for.
    pub statistics: Option<ChartStatistics>,
}

/// A line as it was logged.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ChartRaw {
    /// Places.
    pub x: Vec<f64>,
    /// Values.
    #[ts(type = "(number | null)[]")]
    pub y: Vec<f64>,
}

/// A value that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ChartMark {
    /// Its place.
    pub x: f64,
    /// The value.
    pub value: Number,
}

/// How the runs of a group came to values at the same places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ChartAlignment {
    /// They were logged there.
    Same,
    /// Straight between the points of each run.
    Interpolated,
    /// By means of columns.
    Columns,
}

/// What a stretch of a line comes to; `null` where there are too few finite values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ChartStatistics {
    /// Finite values.
    #[ts(type = "number")]
    pub count: u64,
    /// Others.
    #[ts(type = "number")]
    pub not_finite: u64,
    /// The first value.
    pub first: Option<f64>,
    /// The last value.
    pub last: Option<f64>,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// Their mean.
    pub mean: Option<f64>,
    /// Their sample standard deviation.
    pub std: Option<f64>,
    /// The area below the line, units of x times units of y.
    pub area: Option<f64>,
}

/// A run without a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ChartLeftOut {
    /// The run.
    pub run_id: String,
    /// For which of the `y` asked for; `null` for all.
    pub y_index: Option<u32>,
    /// Why.
    pub reason: ChartLeftOutReason,
    /// Why, in words: *has no metric “loss”*.
    pub message: String,
}

/// Why a run has no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ChartLeftOutReason {
    /// There is no such run (any more).
    UnknownRun,
    /// It lacks a metric or parameter.
    Missing,
    /// Its metrics have no common step, or none with a place on the x axis.
    NoPlace,
}

/// Asks for a chart as a file.
#[derive(Debug, Clone, PartialEq, Deserialize, TS)]
#[ts(export)]
pub struct ChartExport {
    /// The lines. `columns` is taken from the width.
    pub request: ChartRequest,
    /// How it looks.
    pub picture: ChartPicture,
    /// Which kind of file.
    pub format: ChartFormat,
    /// Whether the person chooses a place for it by the system's dialog; otherwise the bytes are
    /// answered.
    pub save: bool,
}

/// How a chart looks in a file.
#[derive(Debug, Clone, PartialEq, Deserialize, TS)]
#[ts(export)]
pub struct ChartPicture {
    /// Pixels; 200 to 8,000.
    pub width: u32,
    /// Pixels; 150 to 8,000.
    pub height: u32,
    /// Its colours.
    pub theme: ChartTheme,
    /// What stands above; empty for what stands upright.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub title: String,
    /// Whether the y axis is logarithmic.
    #[serde(default)]
    #[ts(optional, as = "Option<_>")]
    pub y_log: bool,
    /// The ends of the y axis; `null` for what the lines need.
    #[serde(default)]
    #[ts(optional = nullable)]
    pub y_range: Option<ChartRange>,
}

/// The colours of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ChartTheme {
    /// On light ground.
    #[default]
    Light,
    /// On dark ground.
    Dark,
}

/// Which kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ChartFormat {
    /// A drawing that scales.
    Svg,
    /// A picture.
    Png,
    /// The points that are drawn.
    Csv,
}

/// A chart as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ChartFile {
    /// A name for it, `loss.svg`.
    pub name: String,
    /// Its media type.
    pub mime: String,
    /// The bytes in Base64; `null` if it was saved or nothing was chosen.
    pub base64: Option<String>,
    /// Where it was saved; `null` if the bytes are answered, or the person chose nothing.
    pub path: Option<String>,
}
