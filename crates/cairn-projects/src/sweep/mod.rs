//! Running a project for many values: grid, random and TPE searches over its parameters.
//!
//! A sweep is a launch of its own  that submits one launch for each trial and waits
//! for them. The trials are nested runs of the sweep's run. Nothing is kept in memory alone: which
//! trial has which values is written before a trial is submitted, and everything else is read from
//! the launches and the tracking server, so a sweep can go on after any kill.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::request::RunRequest;

mod coordinator;
mod prune;
mod sampler;
mod trials;

pub use coordinator::{coordinate, prepare, resume, resumed, submit};
pub use prune::{Series, median_says_stop};
pub use sampler::{Asked, Past, Sampler, sampler};

/// The tag of a trial's run: its number, from 1 on.
pub const TRIAL_TAG: &str = "cairn.sweep.trial";
/// The tag of a trial's run that was stopped early: the reason in words.
pub const PRUNED_TAG: &str = "cairn.sweep.pruned";
/// The tag of a sweep's run: the run id of the best trial so far.
pub const BEST_RUN_TAG: &str = "cairn.sweep.best_run";
/// The tag of a sweep's run: the goal metric of the best trial so far.
pub const BEST_VALUE_TAG: &str = "cairn.sweep.best_value";
/// The tag of a sweep's run: `7 of 20 done, 1 pruned, 2 failed`.
pub const PROGRESS_TAG: &str = "cairn.sweep.progress";
/// The artifact of a sweep's run that holds its [`SweepRequest`].
pub const SWEEP_JSON: &str = "cairn/sweep.json";

/// So many random draws of TPE come first, when nothing else is asked for.
pub const STARTUP_TRIALS: usize = 10;

/// So many trials one sweep may have.
pub const MAX_TRIALS: usize = 10_000;

/// What a person asks for when a project is to run for several values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepRequest {
    /// What each trial runs; the parameters of [`SweepRequest::space`] are put into it.
    pub run: RunRequest,
    /// The parameters that vary, in the order of the form or the command line.
    pub space: Vec<SweepParam>,
    /// How values are chosen.
    pub method: Method,
    /// What makes a trial good; needed by TPE and by pruning, else only for the live best value.
    pub goal: Option<Goal>,
    /// Whether trials that do badly are stopped early.
    pub prune: Option<Prune>,
    /// Trials at once, at most; the queue's limit holds too. `None` is the queue's limit.
    pub parallel: Option<usize>,
    /// The run of an earlier sweep that is gone on with; `None` begins anew.
    #[serde(default)]
    pub resume_run_id: Option<String>,
}

/// A parameter that varies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepParam {
    /// Its name.
    pub name: String,
    /// The values it may take.
    pub values: Values,
}

/// The values that a parameter may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Values {
    /// One of these texts.
    Choice {
        /// In the order they were given.
        choices: Vec<String>,
    },
    /// A number between two bounds, both included.
    Float {
        /// The lower bound.
        low: f64,
        /// The upper bound.
        high: f64,
        /// Whether orders of magnitude are equally likely; both bounds are above 0 then.
        log: bool,
        /// Points of a grid, bounds included; a grid needs it, the others ignore it.
        points: Option<usize>,
    },
    /// A whole number between two bounds, both included.
    Int {
        /// The lower bound.
        low: i64,
        /// The upper bound.
        high: i64,
        /// Whether orders of magnitude are equally likely; both bounds are above 0 then.
        log: bool,
        /// Points of a grid; `None` takes every whole number.
        points: Option<usize>,
    },
}

/// How values are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Method {
    /// Every combination once; the last parameter changes quickest.
    Grid,
    /// Independent draws.
    Random {
        /// How many.
        trials: usize,
        /// The same seed gives the same values.
        seed: u64,
    },
    /// The tree-structured Parzen estimator: draws where earlier trials were good.
    Tpe {
        /// How many.
        trials: usize,
        /// The same seed and the same results give the same values.
        seed: u64,
        /// So many random draws come first.
        startup: usize,
    },
}

/// What makes a trial good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goal {
    /// A metric of the trials; its latest value counts.
    pub metric: String,
    /// Which way is better.
    pub direction: Direction,
}

/// Which way a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Lower is better.
    Minimize,
    /// Higher is better.
    Maximize,
}

impl Direction {
    /// Whether `a` is better than `b`. NaN is better than nothing.
    pub fn is_better(self, a: f64, b: f64) -> bool {
        match self {
            Self::Minimize => a < b || (b.is_nan() && !a.is_nan()),
            Self::Maximize => a > b || (b.is_nan() && !a.is_nan()),
        }
    }
}

/// The median rule: a trial is stopped when its best value so far is worse than the median of the
/// other trials at the same step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prune {
    /// Steps below this one are not judged.
    pub warmup_steps: i64,
    /// So many trials must have reached a step before it is judged.
    pub startup_trials: usize,
}

impl Default for Prune {
    fn default() -> Self {
        Self { warmup_steps: 0, startup_trials: 4 }
    }
}

impl SweepRequest {
    /// What is wrong with it, in words; empty when it can run.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.space.is_empty() {
            problems
                .push("No parameter varies. Name at least one, as in -S lr=0.01,0.1".to_owned());
        }
        for (at, param) in self.space.iter().enumerate() {
            if self.space[..at].iter().any(|earlier| earlier.name == param.name) {
                problems.push(format!(
                    "The parameter {} varies twice. Keep one of the two.",
                    param.name
                ));
            }
            if self.run.params.iter().any(|(name, _)| *name == param.name) {
                problems.push(format!(
                    "The parameter {} has a fixed value and varies too. Leave one of the two out.",
                    param.name
                ));
            }
            if let Some(problem) = param.values.problem(matches!(self.method, Method::Grid)) {
                problems.push(format!("{}: {problem}", param.name));
            }
        }
        match self.method {
            Method::Grid if problems.is_empty() => {
                if self.grid_size().is_none_or(|size| size > MAX_TRIALS) {
                    problems.push(format!(
                        "The grid has more than {MAX_TRIALS} combinations. Take fewer values, or a random search."
                    ));
                }
            }
            Method::Random { trials, .. } | Method::Tpe { trials, .. }
                if trials == 0 || trials > MAX_TRIALS =>
            {
                problems.push(format!("The number of trials is between 1 and {MAX_TRIALS}."));
            }
            _ => {}
        }
        if self.goal.is_none() {
            if matches!(self.method, Method::Tpe { .. }) {
                problems.push(
                    "TPE needs a goal: the metric that is to become small or large.".to_owned(),
                );
            }
            if self.prune.is_some() {
                problems.push(
                    "Pruning needs a goal: the metric by which trials are judged.".to_owned(),
                );
            }
        }
        if self.goal.as_ref().is_some_and(|goal| goal.metric.trim().is_empty()) {
            problems.push("The goal has no metric.".to_owned());
        }
        if self.parallel == Some(0) {
            problems.push("At least one trial runs at a time.".to_owned());
        }
        problems
    }

    /// How many trials it will have; `None` for a grid too large to count.
    pub fn trial_count(&self) -> Option<usize> {
        match self.method {
            Method::Grid => self.grid_size(),
            Method::Random { trials, .. } | Method::Tpe { trials, .. } => Some(trials),
        }
    }

    fn grid_size(&self) -> Option<usize> {
        self.space
            .iter()
            .try_fold(1_usize, |size, param| size.checked_mul(param.values.grid_len()?))
    }
}

impl Values {
    /// What is wrong with it; `None` when it can be used.
    fn problem(&self, is_grid: bool) -> Option<String> {
        match self {
            Self::Choice { choices } if choices.is_empty() => Some("there is no value".to_owned()),
            Self::Choice { .. } => None,
            Self::Float { low, high, log, points } => {
                if !low.is_finite() || !high.is_finite() || low >= high {
                    Some(format!("the lower bound {low} is not below the upper bound {high}"))
                } else if *log && *low <= 0.0 {
                    Some("a logarithmic range is above 0".to_owned())
                } else if is_grid && points.is_none_or(|points| points < 2) {
                    Some(format!(
                        "a grid needs the number of points, at least 2, as in {low}..{high}/5"
                    ))
                } else {
                    None
                }
            }
            Self::Int { low, high, log, points } => {
                if low >= high {
                    Some(format!("the lower bound {low} is not below the upper bound {high}"))
                } else if *log && *low <= 0 {
                    Some("a logarithmic range is above 0".to_owned())
                } else if points.is_some_and(|points| points < 2) {
                    Some("a range has at least 2 points".to_owned())
                } else {
                    None
                }
            }
        }
    }

    fn grid_len(&self) -> Option<usize> {
        match self {
            Self::Choice { choices } => Some(choices.len()),
            Self::Float { points, .. } => *points,
            Self::Int { points: Some(_), .. } => Some(self.grid().len()),
            Self::Int { low, high, .. } => {
                usize::try_from(high.checked_sub(*low)?).ok()?.checked_add(1)
            }
        }
    }

    /// The values of a grid, in order, each once.
    fn grid(&self) -> Vec<String> {
        let spread = |points: usize, low: f64, high: f64, log: bool| {
            (0..points).map(move |at| {
                let share = at as f64 / (points - 1) as f64;
                match at {
                    // The bounds as they were given, not what arithmetic makes of them.
                    0 => low,
                    _ if at + 1 == points => high,
                    _ if log => tidy((low.ln() + share * (high.ln() - low.ln())).exp()),
                    _ => tidy(low + share * (high - low)),
                }
            })
        };
        match self {
            Self::Choice { choices } => choices.clone(),
            Self::Float { low, high, log, points } => {
                spread(points.unwrap_or(2).max(2), *low, *high, *log).map(number).collect()
            }
            Self::Int { low, high, points: None, .. } => {
                (*low..=*high).map(|value| value.to_string()).collect()
            }
            Self::Int { low, high, log, points: Some(points) } => {
                let mut values: Vec<i64> =
                    spread((*points).max(2), *low as f64, *high as f64, *log)
                        .map(|value| value.round() as i64)
                        .collect();
                values.dedup();
                values.iter().map(ToString::to_string).collect()
            }
        }
    }
}

/// Without what arithmetic leaves in the last digits: 0.3, not 0.30000000000000004.
fn tidy(value: f64) -> f64 {
    format!("{value:.12e}").parse().unwrap_or(value)
}

/// The shortest text that gives the number back.
fn number(value: f64) -> String {
    if value != 0.0 && !(1e-4..1e15).contains(&value.abs()) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

/// Reads what the command line takes: `lr=log:1e-4..1e-1`, `depth=2..8`, `alpha=0.1..0.9/5`,
/// `model=tree,forest`.
///
/// A range is of whole numbers when both bounds are written as such.
impl FromStr for SweepParam {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, values) =
            text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                format!("{text:?} is no NAME=VALUES, such as lr=0.01,0.1 or depth=2..8")
            })?;
        Ok(Self { name: name.to_owned(), values: values.parse()? })
    }
}

impl FromStr for Values {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (log, range) = match text.strip_prefix("log:") {
            Some(range) => (true, range),
            None => (false, text),
        };
        let Some((low, rest)) =
            range.split_once("..").filter(|(low, _)| low.parse::<f64>().is_ok())
        else {
            if log {
                return Err(format!("{text:?} is no range, such as log:1e-4..1e-1"));
            }
            return Ok(Self::Choice { choices: text.split(',').map(str::to_owned).collect() });
        };
        let (high, points) = match rest.split_once('/') {
            Some((high, points)) => {
                let points = points
                    .parse()
                    .map_err(|_| format!("{points:?} is no number of points, as in 0.1..0.9/5"))?;
                (high, Some(points))
            }
            None => (rest, None),
        };
        if let (Ok(low), Ok(high)) = (low.parse(), high.parse()) {
            return Ok(Self::Int { low, high, log, points });
        }
        let wrong = |part: &str| format!("{part:?} is no number");
        Ok(Self::Float {
            low: low.parse().map_err(|_| wrong(low))?,
            high: high.parse().map_err(|_| wrong(high))?,
            log,
            points,
        })
    }
}

/// As it is written on the command line.
impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (log, low, high, points) = match self {
            Self::Choice { choices } => return f.write_str(&choices.join(",")),
            Self::Float { low, high, log, points } => (log, number(*low), number(*high), points),
            Self::Int { low, high, log, points } => {
                (log, low.to_string(), high.to_string(), points)
            }
        };
        write!(f, "{}{low}..{high}", if *log { "log:" } else { "" })?;
        match points {
            Some(points) => write!(f, "/{points}"),
            None => Ok(()),
        }
    }
}

/// The values of one trial, by parameter.
pub type TrialParams = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(space: &[&str], method: Method) -> SweepRequest {
        SweepRequest {
            run: RunRequest::new(".", "/"),
            space: space.iter().map(|text| text.parse().unwrap()).collect(),
            method,
            goal: None,
            prune: None,
            parallel: None,
            resume_run_id: None,
        }
    }

    #[test]
    fn values_are_read_as_they_are_written() {
        for text in
            ["a,b", "0.1..0.9", "0.1..0.9/5", "log:1e-5..0.1", "2..8", "log:1..1024/11", "../x"]
        {
            let values: Values = text.parse().unwrap();
            assert_eq!(values.to_string(), text);
        }
        assert!(matches!("2..8".parse().unwrap(), Values::Int { low: 2, high: 8, .. }));
        assert!(matches!("2..8.5".parse().unwrap(), Values::Float { .. }));
        for wrong in ["log:a,b", "1..x", "1..2/x"] {
            assert!(wrong.parse::<Values>().is_err(), "{wrong}");
        }
        for wrong in ["lr", "=1"] {
            assert!(wrong.parse::<SweepParam>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_grid_keeps_its_bounds() {
        let grid = |text: &str| text.parse::<Values>().unwrap().grid().join(" ");
        assert_eq!(grid("0.1..0.9/5"), "0.1 0.3 0.5 0.7 0.9");
        assert_eq!(grid("log:0.001..0.1/3"), "0.001 0.01 0.1");
        assert_eq!(grid("1..4"), "1 2 3 4");
        assert_eq!(grid("log:1..1000/4"), "1 10 100 1000");
        assert_eq!(grid("a,b"), "a b");
    }

    #[test]
    fn what_cannot_be_swept_is_told() {
        let check = |request: SweepRequest, expected: &str| {
            let problems = request.problems().join("\n");
            assert!(problems.contains(expected), "{problems:?} lacks {expected:?}");
        };
        let random = Method::Random { trials: 5, seed: 1 };
        assert_eq!(request(&["a=1,2"], Method::Grid).problems(), Vec::<String>::new());
        check(request(&[], random), "No parameter varies");
        check(request(&["a=1,2", "a=1..2"], random), "varies twice");
        check(request(&["a=2..1"], random), "not below");
        check(request(&["a=log:0..1"], random), "above 0");
        check(request(&["a=0.1..0.2"], Method::Grid), "number of points");
        check(request(&["a=0..1000000000"], Method::Grid), "more than");
        check(request(&["a=0..9"], Method::Random { trials: 0, seed: 1 }), "between 1 and");
        check(request(&["a=0..9"], Method::Tpe { trials: 5, seed: 1, startup: 2 }), "needs a goal");
        let mut fixed = request(&["a=0..9"], random);
        fixed.run.params.push(("a".to_owned(), "1".to_owned()));
        check(fixed, "fixed value");
    }
}
