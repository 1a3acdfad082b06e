//! Artifacts side by side, and differences that every run makes explained away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Ids, Verdict,
    facts::{ArtifactFact, Content, RunFacts},
    metrics::Tolerances,
};

/// How one artifact came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactOutcome {
    /// Every byte is the same.
    Same,
    /// Only what every run writes anew differs: ids, times of writing.
    SameButForIds,
    /// A text whose numbers are within the general tolerance, and whose words are the same.
    WithinTolerance,
    /// Neither side could be read in full; the sizes are equal.
    NotCompared,
    /// The content differs.
    Differs,
    /// Only the original has it.
    Missing,
    /// Only the rerun has it.
    Extra,
}

impl ArtifactOutcome {
    /// What it means for the whole. Bytes of a model may differ although it is as good: with metrics
    /// to go by, different content alone is no failure, but no full reproduction either.
    pub fn verdict(self, has_metrics: bool) -> Verdict {
        match self {
            Self::Same | Self::SameButForIds => Verdict::Reproduced,
            Self::Differs if !has_metrics => Verdict::Differs,
            Self::WithinTolerance | Self::NotCompared | Self::Differs => Verdict::WithinTolerance,
            Self::Missing | Self::Extra => Verdict::Differs,
        }
    }
}

/// One artifact of both runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactComparison {
    /// Its path among the artifacts of the run, `/` between the parts.
    pub path: String,
    /// How it came out.
    pub outcome: ArtifactOutcome,
    /// What is behind the outcome, for people: *only run_id and utc_time_created differ*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// Bytes of the original's.
    pub original_size: Option<u64>,
    /// Bytes of the rerun's.
    pub rerun_size: Option<u64>,
    /// SHA-256 of the original's; `None` when it was too large to read.
    pub original_digest: Option<String>,
    /// SHA-256 of the rerun's.
    pub rerun_digest: Option<String>,
}

/// All artifacts of a pair, differing ones first, `cairn/` left out.
pub(super) fn compare(
    original: &RunFacts,
    rerun: &RunFacts,
    ids: &Ids,
    tolerances: &Tolerances,
) -> Vec<ArtifactComparison> {
    // A file may bear the run's id in its name.
    let masked =
        |run: &RunFacts, mask: &dyn Fn(&str) -> String| -> BTreeMap<String, ArtifactFact> {
            run.artifacts
                .iter()
                .filter(|(path, _)| !path.starts_with("cairn/"))
                .map(|(path, fact)| (mask(path), fact.clone()))
                .collect()
        };
    let before = masked(original, &|path| ids.mask_original(path));
    let after = masked(rerun, &|path| ids.mask_rerun(path));
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    let mut compared: Vec<ArtifactComparison> = paths
        .into_iter()
        .map(|path| {
            let (before, after) = (before.get(path), after.get(path));
            let (outcome, explanation) = match (before, after) {
                (Some(before), Some(after)) => judge(path, before, after, ids, tolerances),
                (Some(_), None) => (ArtifactOutcome::Missing, None),
                (None, _) => (ArtifactOutcome::Extra, None),
            };
            ArtifactComparison {
                path: path.clone(),
                outcome,
                explanation,
                original_size: before.map(|fact| fact.size_bytes),
                rerun_size: after.map(|fact| fact.size_bytes),
                original_digest: before.and_then(|fact| fact.digest.clone()),
                rerun_digest: after.and_then(|fact| fact.digest.clone()),
            }
        })
        .collect();
    compared.sort_by_key(|artifact| std::cmp::Reverse(artifact.outcome.verdict(false)));
    compared
}

fn judge(
    path: &str,
    before: &ArtifactFact,
    after: &ArtifactFact,
    ids: &Ids,
    tolerances: &Tolerances,
) -> (ArtifactOutcome, Option<String>) {
    use ArtifactOutcome::{Differs, NotCompared, Same, SameButForIds, WithinTolerance};
    match (&before.digest, &after.digest) {
        (Some(before), Some(after)) if before == after => return (Same, None),
        (Some(_), Some(_)) => {}
        _ if before.size_bytes == after.size_bytes => {
            return (NotCompared, Some("too large to read; the sizes are equal".to_owned()));
        }
        _ => return (Differs, None),
    }
    match (&before.content, &after.content) {
        (Content::Text(before), Content::Text(after)) => {
            let (before, after) = (ids.mask_original(before), ids.mask_rerun(after));
            if before == after {
                return (SameButForIds, Some("only the run's own id differs".to_owned()));
            }
            if path.rsplit('/').next() == Some("MLmodel")
                && let Some(keys) = only_own_lines(&before, &after)
            {
                return (SameButForIds, Some(format!("only {keys} differ")));
            }
            if numbers_are_near(&before, &after, tolerances) {
                return (WithinTolerance, Some("only numbers differ, within tolerance".to_owned()));
            }
            (Differs, Some(first_different_line(&before, &after)))
        }
        (Content::Zip(before), Content::Zip(after)) if before == after => (
            SameButForIds,
            Some("the members of the archive are equal; only their times differ".to_owned()),
        ),
        (Content::Zip(before), Content::Zip(after)) => {
            let names: Vec<&str> = before
                .iter()
                .filter(|member| !after.contains(member))
                .map(|member| member.name.as_str())
                .take(3)
                .collect();
            (Differs, (!names.is_empty()).then(|| format!("in the archive: {}", names.join(", "))))
        }
        (Content::Gzip(before), Content::Gzip(after)) if before == after => {
            (SameButForIds, Some("only the time in the gzip header differs".to_owned()))
        }
        _ => (Differs, None),
    }
}

/// Keys of an MLmodel file that MLflow fills anew for every model it writes.
const OWN_KEYS: [&str; 6] =
    ["run_id", "model_uuid", "model_id", "utc_time_created", "artifact_path", "prompts"];

/// The keys that differ, when all lines that differ are [`OWN_KEYS`] at the top level.
fn only_own_lines(before: &str, after: &str) -> Option<String> {
    let (before, after): (Vec<&str>, Vec<&str>) =
        (before.lines().collect(), after.lines().collect());
    if before.len() != after.len() {
        return None;
    }
    let mut keys = Vec::new();
    for (before, after) in before.into_iter().zip(after) {
        if before != after {
            let key = |line: &str| line.split_once(':').map(|(key, _)| key.to_owned());
            let key = key(before).filter(|name| Some(name) == key(after).as_ref())?;
            if !OWN_KEYS.contains(&key.as_str()) {
                return None;
            }
            keys.push(key);
        }
    }
    Some(keys.join(", "))
}

/// Whether two texts have the same words, and numbers within the general tolerance.
fn numbers_are_near(before: &str, after: &str, tolerances: &Tolerances) -> bool {
    let tolerance = tolerances.of("");
    let (mut left, mut right) = (Pieces(before), Pieces(after));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(left), Some(right)) if left == right => {}
            (Some(left), Some(right)) => {
                // `1` and `2` are labels as often as measures: only what has a fraction is near.
                let number = |text: &str| {
                    text.contains(['.', 'e', 'E']).then(|| text.parse::<f64>().ok()).flatten()
                };
                match (number(left), number(right)) {
                    (Some(left), Some(right)) if tolerance.allows(left, right) => {}
                    _ => return false,
                }
            }
            _ => return false,
        }
    }
}

/// A text cut into what may be a number and what stands between.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let of_number = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
        let first = self.0.chars().next()?;
        let end = self.0.find(|c| of_number(c) != of_number(first)).unwrap_or(self.0.len());
        let (piece, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(piece)
    }
}

fn first_different_line(before: &str, after: &str) -> String {
    let at = before
        .lines()
        .zip(after.lines())
        .position(|(before, after)| before != after)
        .unwrap_or_else(|| before.lines().count().min(after.lines().count()));
    format!("first difference in line {}", at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_file_that_every_run_writes_anew_is_explained() {
        let before = "artifact_path: a\nflavors:\n  x: 1\nrun_id: 1\nutc_time_created: '1'\n";
        let after = "artifact_path: b\nflavors:\n  x: 1\nrun_id: 2\nutc_time_created: '2'\n";
        assert_eq!(
            only_own_lines(before, after).as_deref(),
            Some("artifact_path, run_id, utc_time_created")
        );
        assert_eq!(only_own_lines(before, &after.replace("x: 1", "x: 2")), None);
    }

    #[test]
    fn only_fractions_are_near() {
        let check = |before, after, expected| {
            let near = numbers_are_near(before, after, &Tolerances::default());
            assert_eq!(near, expected, "{before} {after}");
        };
        check("a,0.5\nb,1e-3\n", "a,0.50000001\nb,1.0000001e-3\n", true);
        check("a,0.5\n", "a,0.6\n", false);
        check("{\"n\": 1000000000}", "{\"n\": 1000000001}", false);
        check("x 0.5", "y 0.5", false);
        check("[0.5]", "[0.5, 0.6]", false);
        check("12:30:45.5", "12:30:45.500001", true);
    }
}
