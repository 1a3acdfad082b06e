//! Metrics side by side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Verdict, facts::Point};

/// How far metrics may be apart.
///
/// A value is within tolerance when `|rerun - original| <= absolute + relative * |original|`. A
/// metric's own tolerance replaces both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tolerances {
    /// In the metric's own unit.
    pub absolute: f64,
    /// As a share of the original's value.
    pub relative: f64,
    /// By metric name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_metric: BTreeMap<String, Tolerance>,
}

/// One metric's own tolerance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// In the metric's own unit.
    pub absolute: f64,
    /// As a share of the original's value.
    pub relative: f64,
}

impl Default for Tolerances {
    /// What sums in another order make of doubles: 1e-6 relative, 1e-9 absolute.
    fn default() -> Self {
        Self { absolute: 1e-9, relative: 1e-6, by_metric: BTreeMap::new() }
    }
}

impl Tolerances {
    /// What holds for a metric.
    pub fn of(&self, metric: &str) -> Tolerance {
        self.by_metric
            .get(metric)
            .copied()
            .unwrap_or(Tolerance { absolute: self.absolute, relative: self.relative })
    }

    /// Reads `name=0.01` (absolute) or `name=1%` (relative) into the table.
    ///
    /// Errors: a text that says what is wrong with it.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let wrong = || {
            format!("{text:?} is no tolerance: it reads name=0.01 (absolute) or name=1% (relative)")
        };
        // Metric names may hold `=`; numbers do not.
        let (name, number) = text.rsplit_once('=').ok_or_else(wrong)?;
        let (number, is_relative) = match number.trim().strip_suffix('%') {
            Some(share) => (share, true),
            None => (number, false),
        };
        let value: f64 = number.trim().parse().map_err(|_| wrong())?;
        if name.is_empty() || !value.is_finite() || value < 0.0 {
            return Err(wrong());
        }
        let tolerance = if is_relative {
            Tolerance { absolute: 0.0, relative: value / 100.0 }
        } else {
            Tolerance { absolute: value, relative: 0.0 }
        };
        self.by_metric.insert(name.to_owned(), tolerance);
        Ok(())
    }
}

impl Tolerance {
    /// Whether the two values are near enough. Values that are not finite must be the same.
    pub fn allows(self, original: f64, rerun: f64) -> bool {
        same(original, rerun)
            || (original.is_finite()
                && rerun.is_finite()
                && (rerun - original).abs() <= self.absolute + self.relative * original.abs())
    }
}

/// Equal to the last bit, but for the sign of zero; NaN equals NaN.
#[expect(clippy::float_cmp, reason = "equal to the last bit is what is asked")]
pub(super) fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

/// How one metric came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricOutcome {
    /// Every point is equal.
    Equal,
    /// Every point is within tolerance.
    WithinTolerance,
    /// It measures how long something took, which no run repeats; it does not decide.
    Time,
    /// A point is out of tolerance, or the number of points or their steps differ.
    Differs,
    /// Only the original has it.
    Missing,
    /// Only the rerun has it.
    Extra,
}

impl MetricOutcome {
    /// What it means for the whole.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Equal => Verdict::Reproduced,
            Self::WithinTolerance | Self::Time => Verdict::WithinTolerance,
            Self::Differs | Self::Missing | Self::Extra => Verdict::Differs,
        }
    }
}

/// One metric of both runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricComparison {
    /// Its name.
    pub name: String,
    /// How it came out.
    pub outcome: MetricOutcome,
    /// The original's latest value; a text where JSON has no number for it.
    #[serde(with = "json_number")]
    pub original: Option<f64>,
    /// The rerun's latest value.
    #[serde(with = "json_number")]
    pub rerun: Option<f64>,
    /// `rerun - original`; `None` when a side is missing or not finite.
    pub difference: Option<f64>,
    /// The difference as a share of the original; also `None` when that is 0.
    pub relative_difference: Option<f64>,
    /// What was allowed.
    pub tolerance: Tolerance,
    /// Points of the original.
    pub original_points: usize,
    /// Points of the rerun.
    pub rerun_points: usize,
    /// The first step whose value is out of tolerance, or that only one side has.
    pub first_different_step: Option<i64>,
}

/// All metrics of a pair, differing ones first, `system/` left out.
pub(super) fn compare(
    original: &BTreeMap<String, Vec<Point>>,
    rerun: &BTreeMap<String, Vec<Point>>,
    tolerances: &Tolerances,
) -> Vec<MetricComparison> {
    let mut names: Vec<&String> =
        original.keys().chain(rerun.keys()).filter(|name| !name.starts_with("system/")).collect();
    names.sort();
    names.dedup();
    let mut compared: Vec<MetricComparison> = names
        .into_iter()
        .map(|name| one(name, original.get(name), rerun.get(name), tolerances))
        .collect();
    compared.sort_by_key(|metric| std::cmp::Reverse(metric.outcome.verdict()));
    compared
}

fn one(
    name: &str,
    original: Option<&Vec<Point>>,
    rerun: Option<&Vec<Point>>,
    tolerances: &Tolerances,
) -> MetricComparison {
    let tolerance = tolerances.of(name);
    let (before, after) = (
        original.map(Vec::as_slice).unwrap_or_default(),
        rerun.map(Vec::as_slice).unwrap_or_default(),
    );
    let (last_before, last_after) =
        (before.last().map(|point| point.value), after.last().map(|point| point.value));
    let difference = last_before
        .zip(last_after)
        .map(|(before, after)| after - before)
        .filter(|difference| difference.is_finite());
    let first_different_step = before
        .iter()
        .zip(after)
        .find(|(before, after)| {
            before.step != after.step || !tolerance.allows(before.value, after.value)
        })
        .map(|(before, _)| before.step)
        .or_else(|| {
            let shorter = before.len().min(after.len());
            before.get(shorter).or_else(|| after.get(shorter)).map(|point| point.step)
        });
    let is_equal = before.len() == after.len()
        && before
            .iter()
            .zip(after)
            .all(|(before, after)| before.step == after.step && same(before.value, after.value));
    let outcome = match (original, rerun) {
        (Some(_), None) => MetricOutcome::Missing,
        (None, _) => MetricOutcome::Extra,
        _ if is_equal => MetricOutcome::Equal,
        _ if first_different_step.is_none() => MetricOutcome::WithinTolerance,
        _ if measures_time(name) && !tolerances.by_metric.contains_key(name) => MetricOutcome::Time,
        _ => MetricOutcome::Differs,
    };
    MetricComparison {
        name: name.to_owned(),
        outcome,
        original: last_before,
        rerun: last_after,
        difference,
        relative_difference: difference
            .zip(last_before)
            .map(|(difference, before)| difference / before.abs())
            .filter(|share| share.is_finite()),
        tolerance,
        original_points: before.len(),
        rerun_points: after.len(),
        first_different_step: first_different_step
            .filter(|_| matches!(outcome, MetricOutcome::Differs | MetricOutcome::Time)),
    }
}

/// Whether a name says that the metric is how long something took, or how quick it was.
///
/// The last word decides (`fit_seconds`, `epoch-time`, `samples_per_second`): `time_to_failure_mae`
/// is a metric like any other.
fn measures_time(name: &str) -> bool {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.last().is_some_and(|last| {
        matches!(
            last.as_str(),
            "time"
                | "seconds"
                | "secs"
                | "ms"
                | "millis"
                | "duration"
                | "elapsed"
                | "runtime"
                | "walltime"
                | "throughput"
        ) || (matches!(last.as_str(), "second" | "sec" | "s")
            && words.iter().any(|word| word == "per"))
    })
}

/// Doubles in JSON, with texts for those that JSON does not have.
pub(super) mod json_number {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::ref_option, reason = "serde asks for this signature")]
    pub fn serialize<S: Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            None => to.serialize_none(),
            Some(value) if value.is_finite() => to.serialize_f64(*value),
            Some(value) if value.is_nan() => to.serialize_str("NaN"),
            Some(value) if *value > 0.0 => to.serialize_str("Infinity"),
            Some(_) => to.serialize_str("-Infinity"),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Shape {
            Number(f64),
            Text(String),
        }
        Ok(match Option::<Shape>::deserialize(from)? {
            None => None,
            Some(Shape::Number(value)) => Some(value),
            Some(Shape::Text(text)) => Some(match text.as_str() {
                "NaN" => f64::NAN,
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                other => return Err(D::Error::custom(format!("{other:?} is no number"))),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &str, original: &[f64], rerun: &[f64], rtol: f64) -> MetricOutcome {
        let points = |values: &[f64]| {
            let at = |(step, value): (usize, &f64)| Point { step: step as i64, value: *value };
            BTreeMap::from([(name.to_owned(), values.iter().enumerate().map(at).collect())])
        };
        let tolerances = Tolerances { relative: rtol, ..Tolerances::default() };
        compare(&points(original), &points(rerun), &tolerances)[0].outcome
    }

    #[test]
    fn a_metric_is_judged_by_all_its_points() {
        use MetricOutcome::{Differs, Equal, Time, WithinTolerance};
        let check = |original: &[f64], rerun: &[f64], rtol, expected| {
            assert_eq!(outcome("auc", original, rerun, rtol), expected, "{original:?} {rerun:?}");
        };
        check(&[0.5], &[0.5], 0.0, Equal);
        check(&[0.5, f64::NAN], &[0.5, f64::NAN], 0.0, Equal);
        check(&[0.0], &[-0.0], 0.0, Equal);
        check(&[0.5], &[0.500_000_01], 1e-6, WithinTolerance);
        check(&[0.5], &[0.51], 1e-6, Differs);
        check(&[0.4, 0.5], &[0.3, 0.5], 1e-6, Differs);
        check(&[0.5], &[0.5, 0.5], 1e-6, Differs);
        check(&[f64::INFINITY], &[f64::INFINITY], 0.0, Equal);
        check(&[f64::INFINITY], &[f64::NEG_INFINITY], 1e9, Differs);
        check(&[0.5], &[f64::NAN], 1e9, Differs);
        assert_eq!(outcome("fit_seconds", &[1.0], &[1.5], 0.0), Time);
        assert_eq!(outcome("rows_per_second", &[1.0], &[1.5], 0.0), Time);
        assert_eq!(outcome("time_to_failure_mae", &[1.0], &[1.5], 0.0), Differs);
    }

    #[test]
    fn a_metric_can_have_a_tolerance_of_its_own() {
        let mut tolerances = Tolerances::default();
        tolerances.add("auc=0.01").unwrap();
        tolerances.add("loss=5%").unwrap();
        assert!(tolerances.of("auc").allows(0.5, 0.509));
        assert!(!tolerances.of("auc").allows(0.5, 0.52));
        assert!(tolerances.of("loss").allows(100.0, 104.0));
        assert!(!tolerances.of("other").allows(100.0, 104.0));
        for wrong in ["auc", "=1", "auc=-1", "auc=x", "auc=inf", "auc=%"] {
            assert!(tolerances.add(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_that_json_lacks_come_back() {
        let points = |value| BTreeMap::from([("m".to_owned(), vec![Point { step: 0, value }])]);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1 + 0.2] {
            let made = compare(&points(value), &points(value), &Tolerances::default());
            let text = serde_json::to_string(&made).unwrap();
            let back: Vec<MetricComparison> = serde_json::from_str(&text).unwrap();
            assert!(same(back[0].original.unwrap(), value), "{text}");
        }
    }
}
