//! What a formula comes to for one run.

use std::borrow::Cow;

use super::{Formula, Function, Name, NameKind, Node, Pick};
use crate::series::{Points, is_lower_better};

/// Where a formula finds the points of a run.
pub trait SeriesOf {
    /// The points of a metric; `None` if the run has none.
    fn metric(&self, key: &str) -> Option<Points<'_>>;

    /// A parameter as a number; `None` if the run has none, or it is none.
    fn param(&self, key: &str) -> Option<f64>;
}

/// Where a formula finds the numbers of a run.
pub trait Numbers {
    /// One number of a metric's points; `None` if the run has none.
    fn metric(&self, key: &str, pick: Pick) -> Option<f64>;

    /// A parameter as a number; `None` if the run has none, or it is none.
    fn param(&self, key: &str) -> Option<f64>;
}

/// What a run lacks that a formula names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The metric or parameter.
    pub name: Name,
}

/// Points that a formula made, by step, then time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepSeries<'a> {
    /// Steps, ascending.
    pub steps: Cow<'a, [i64]>,
    /// Milliseconds since 1970; those of the metric that the formula names first.
    pub times: Cow<'a, [i64]>,
    /// Values.
    pub values: Cow<'a, [f64]>,
}

impl StepSeries<'_> {
    /// The points, to be placed.
    pub fn points(&self) -> Points<'_> {
        Points { steps: &self.steps, times: &self.times, values: &self.values }
    }
}

/// What a formula is for one run.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<'a> {
    /// A value at each step.
    Series(StepSeries<'a>),
    /// One number.
    Number(f64),
}

impl Formula {
    /// The points of a run by this formula. A metric alone is borrowed; anything else costs a pass over
    /// its points for each operation.
    ///
    /// Errors: [`Missing`] for the first name that the run has nothing for.
    pub fn series<'a>(&self, run: &'a dyn SeriesOf) -> Result<Outcome<'a>, Missing> {
        series(&self.tree, run)
    }

    /// One number of a run: a metric that stands alone is its last value.
    ///
    /// Errors: [`Missing`] for the first name that the run has nothing for.
    pub fn number(&self, run: &dyn Numbers) -> Result<f64, Missing> {
        number(&self.tree, run)
    }
}

fn number(node: &Node, run: &dyn Numbers) -> Result<f64, Missing> {
    let missing = |name: &Name| Missing { name: name.clone() };
    Ok(match node {
        Node::Number(number) => *number,
        Node::Name(name) => match name.kind {
            NameKind::Metric => run.metric(&name.key, Pick::Last),
            NameKind::Param => run.param(&name.key),
        }
        .ok_or_else(|| missing(name))?,
        Node::Reduced { pick, name } => {
            run.metric(&name.key, *pick).ok_or_else(|| missing(name))?
        }
        Node::Negative(node) => -number(node, run)?,
        Node::Binary { op, left, right } => op.apply(number(left, run)?, number(right, run)?),
        Node::Call { function, arguments } => {
            let first = number(&arguments[0], run)?;
            arguments[1..].iter().try_fold(function.of(first), |so_far, node| {
                Ok(function.of_two(so_far, number(node, run)?))
            })?
        }
    })
}

fn series<'a>(node: &Node, run: &'a dyn SeriesOf) -> Result<Outcome<'a>, Missing> {
    let missing = |name: &Name| Missing { name: name.clone() };
    Ok(match node {
        Node::Number(number) => Outcome::Number(*number),
        Node::Name(name) if name.kind == NameKind::Param => {
            Outcome::Number(run.param(&name.key).ok_or_else(|| missing(name))?)
        }
        Node::Name(name) => {
            let points = run.metric(&name.key).ok_or_else(|| missing(name))?;
            Outcome::Series(StepSeries {
                steps: Cow::Borrowed(points.steps),
                times: Cow::Borrowed(points.times),
                values: Cow::Borrowed(points.values),
            })
        }
        Node::Reduced { pick, name } => {
            let points = run.metric(&name.key).ok_or_else(|| missing(name))?;
            Outcome::Number(pick.of(&name.key, points).ok_or_else(|| missing(name))?)
        }
        Node::Negative(node) => each(series(node, run)?, |value| -value),
        Node::Binary { op, left, right } => {
            both(series(left, run)?, series(right, run)?, |left, right| op.apply(left, right))
        }
        Node::Call { function, arguments } => {
            let first = each(series(&arguments[0], run)?, |value| function.of(value));
            arguments[1..].iter().try_fold(first, |so_far, node| {
                Ok(both(so_far, series(node, run)?, |left, right| function.of_two(left, right)))
            })?
        }
    })
}

impl Pick {
    /// The number of these points; `None` if there is no point, or no finite one where those count.
    pub fn of(self, key: &str, points: Points<'_>) -> Option<f64> {
        let values = points.values;
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        match self {
            Self::First => values.first().copied(),
            Self::Last => values.last().copied(),
            Self::Min => finite().reduce(f64::min),
            Self::Mean => {
                let count = finite().count() as f64;
                (count > 0.0).then(|| finite().map(|value| value / count).sum())
            }
            Self::Best if is_lower_better(key) => finite().reduce(f64::min),
            Self::Best | Self::Max => finite().reduce(f64::max),
            Self::At(step) => {
                let behind = points.steps.partition_point(|other| *other <= step);
                values.get(behind.checked_sub(1)?).copied()
            }
        }
    }
}

impl Function {
    /// The function of a single argument.
    fn of(self, value: f64) -> f64 {
        match self {
            Self::Abs => value.abs(),
            Self::Sqrt => value.sqrt(),
            Self::Exp => value.exp(),
            Self::Log => value.ln(),
            Self::Log2 => value.log2(),
            Self::Log10 => value.log10(),
            Self::Min | Self::Max => value,
        }
    }

    fn of_two(self, left: f64, right: f64) -> f64 {
        let is_nan = left.is_nan() || right.is_nan();
        match self {
            Self::Min if !is_nan => left.min(right),
            Self::Max if !is_nan => left.max(right),
            _ => f64::NAN,
        }
    }
}

fn each(outcome: Outcome<'_>, of: impl Fn(f64) -> f64) -> Outcome<'_> {
    match outcome {
        Outcome::Number(value) => Outcome::Number(of(value)),
        Outcome::Series(mut series) => {
            series.values.to_mut().iter_mut().for_each(|value| *value = of(*value));
            Outcome::Series(series)
        }
    }
}

fn both<'a>(left: Outcome<'a>, right: Outcome<'a>, of: impl Fn(f64, f64) -> f64) -> Outcome<'a> {
    match (left, right) {
        (Outcome::Number(left), Outcome::Number(right)) => Outcome::Number(of(left, right)),
        (left, Outcome::Number(right)) => each(left, |left| of(left, right)),
        (Outcome::Number(left), right) => each(right, |right| of(left, right)),
        (Outcome::Series(left), Outcome::Series(right)) => Outcome::Series(join(left, right, of)),
    }
}

/// Points of two series by step. Where the same steps were logged, each point meets the one at its
/// position; else the last point of each step that both have.
fn join<'a>(
    mut left: StepSeries<'a>,
    right: StepSeries<'a>,
    of: impl Fn(f64, f64) -> f64,
) -> StepSeries<'a> {
    if left.steps == right.steps {
        for (value, other) in left.values.to_mut().iter_mut().zip(right.values.iter()) {
            *value = of(*value, *other);
        }
        return left;
    }
    let (mut steps, mut times, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut other = 0;
    for (at, step) in left.steps.iter().enumerate() {
        if left.steps.get(at + 1) == Some(step) {
            continue;
        }
        while right.steps.get(other + 1).is_some_and(|next| next <= step) {
            other += 1;
        }
        if right.steps.get(other) == Some(step) {
            steps.push(*step);
            times.push(left.times[at]);
            values.push(of(left.values[at], right.values[other]));
        }
    }
    StepSeries { steps: steps.into(), times: times.into(), values: values.into() }
}
