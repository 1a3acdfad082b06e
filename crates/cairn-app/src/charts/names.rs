//! Which formula a text is, and which name was meant.

use std::collections::BTreeSet;

use cairn_core::{ExperimentId, Invalid, RunId, formula::Formula};
use cairn_store::Store;

use crate::dto::{CommandError, ErrorCode};
use crate::errors;

/// Runs whose own metrics are looked at beside those that their experiments list: deleted runs are not
/// listed there.
const LOOKED_AT: usize = 16;

/// The names of the metrics that some runs may have.
pub struct MetricNames {
    known: BTreeSet<String>,
}

impl MetricNames {
    /// Reads them; the runs' experiments list the most.
    pub fn of(store: &Store, runs: &[(RunId, ExperimentId)]) -> cairn_store::Result<Self> {
        let experiments: BTreeSet<ExperimentId> = runs.iter().map(|(_, of)| *of).collect();
        let experiments: Vec<ExperimentId> = experiments.into_iter().collect();
        let mut known: BTreeSet<String> =
            store.run_keys(&experiments)?.metrics.iter().cloned().collect();
        store.read_blocking(|tx| {
            for (run, _) in runs.iter().take(LOOKED_AT) {
                known.extend(tx.latest_metrics(run)?.into_iter().map(|point| point.key));
            }
            Ok(())
        })?;
        Ok(Self { known })
    }

    /// Reads a text: the metric of this name, if there is one, or a formula.
    pub fn formula(&self, text: &str) -> Result<Formula, CommandError> {
        if self.known.contains(text) {
            return Ok(Formula::of_metric(text));
        }
        Formula::parse(text).map_err(|error| self.refused(text, error))
    }

    /// The metrics whose names are the most like a text: those that hold it, or that it holds, then
    /// those that differ by few letters; three at most.
    pub fn nearest(&self, text: &str) -> Vec<&str> {
        let lower = text.to_lowercase();
        let mut found: Vec<(usize, &str)> = self
            .known
            .iter()
            .filter_map(|name| {
                let other = name.to_lowercase();
                let distance = distance(&lower, &other);
                let holds = !lower.is_empty() && (other.contains(&lower) || lower.contains(&other));
                let is_near = holds || distance <= lower.chars().count().max(3) / 3;
                is_near.then_some((if holds { 0 } else { distance }, name.as_str()))
            })
            .collect();
        found.sort_unstable();
        found.into_iter().take(3).map(|(_, name)| name).collect()
    }

    fn refused(&self, text: &str, error: Invalid) -> CommandError {
        let refused = errors::invalid_filter(text, error);
        CommandError {
            code: ErrorCode::InvalidFormula,
            message: format!("The formula “{text}” cannot be read: {}", refused.message),
            hint: Some(self.meant(text).unwrap_or_else(|| {
                "A name with other characters than letters, digits, _ and . stands in backquotes."
                    .to_owned()
            })),
            ..refused
        }
    }

    /// What may have been meant by a name that no run has.
    pub fn meant(&self, text: &str) -> Option<String> {
        let nearest = self.nearest(text);
        let (last, others) = nearest.split_last()?;
        let others: Vec<String> = others.iter().map(|name| format!("“{name}”")).collect();
        Some(if others.is_empty() {
            format!("There is “{last}”.")
        } else {
            format!("There are {} and “{last}”.", others.join(", "))
        })
    }
}

/// Letters to insert, remove, replace or swap with their neighbour to make one text of the other.
/// Source: the restricted Damerau–Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut least =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(known: &[&str]) -> MetricNames {
        MetricNames { known: known.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn near_names_are_found() {
        let known = names(&["accuracy", "eval/loss", "loss", "lr", "system/cpu"]);
        assert_eq!(known.nearest("los"), ["eval/loss", "loss"]);
        assert_eq!(known.nearest("acuracy"), ["accuracy"]);
        assert_eq!(known.nearest("accuarcy"), ["accuracy"]);
        assert_eq!(known.nearest("LOSS"), ["eval/loss", "loss"]);
        assert!(known.nearest("throughput").is_empty());
        assert_eq!(known.meant("los").unwrap(), "There are “eval/loss” and “loss”.");
        assert_eq!(known.meant("throughput"), None);
    }

    #[test]
    fn a_metric_comes_before_a_formula() {
        let known = names(&["a - b", "a", "b"]);
        assert_eq!(known.formula("a - b").unwrap().as_metric(), Some("a - b"));
        assert_eq!(known.formula("a -  b").unwrap().as_metric(), None);
        let refused = known.formula("é + a b").unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidFormula);
        let span = refused.span.unwrap();
        assert_eq!((span.start, span.end), (6, 7));
    }

    #[test]
    fn distances_count_letters() {
        for (a, b, expected) in [("", "abc", 3), ("abc", "acb", 1), ("kitten", "sitting", 3)] {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
