//! The reproduction report in the words of the window.

use std::collections::HashMap;

use cairn_projects::report::{ArtifactOutcome, FactDifference, FileChange, Report, RunComparison};

use super::dto::{Difference, LikelyCause, MetricComparison, ReproductionView};
use crate::dto::{Number, RunLink};

/// `links` has the runs of the report that are in the open store.
pub(super) fn view(report: Report, links: &HashMap<String, RunLink>) -> ReproductionView {
    let has_many = report.runs.len() > 1;
    let label = |run: &RunComparison, name: &str| {
        if has_many && !run.label.is_empty() {
            format!("{}: {name}", run.label)
        } else {
            name.to_owned()
        }
    };
    let mut metrics = Vec::new();
    let mut files = Vec::new();
    let mut same_files = 0;
    let mut code = Vec::new();
    for run in &report.runs {
        for metric in &run.metrics {
            metrics.push(MetricComparison {
                key: label(run, &metric.name),
                original: metric.original.map(Number::from),
                rerun: metric.rerun.map(Number::from),
                difference: metric.difference.map(Number::from),
                tolerance: tolerance(metric.tolerance.absolute, metric.tolerance.relative),
                verdict: metric.outcome.verdict().into(),
            });
        }
        for artifact in &run.artifacts {
            if matches!(artifact.outcome, ArtifactOutcome::Same | ArtifactOutcome::SameButForIds) {
                same_files += 1;
                continue;
            }
            let side = |digest: &Option<String>, size: Option<u64>| match (digest, size) {
                (Some(digest), _) => Some(shortened(digest)),
                (None, Some(size)) => Some(format!("{size} bytes")),
                (None, None) => None,
            };
            let name = match &artifact.explanation {
                Some(explanation) => format!("{} ({explanation})", artifact.path),
                None => artifact.path.clone(),
            };
            files.push(Difference {
                name: label(run, &name),
                original: side(&artifact.original_digest, artifact.original_size),
                rerun: side(&artifact.rerun_digest, artifact.rerun_size),
            });
        }
        code.extend(run.params.iter().map(|param| Difference {
            name: label(run, &format!("parameter {}", param.name)),
            original: param.original.clone(),
            rerun: param.rerun.clone(),
        }));
    }
    let commits = (&report.code.original_commit, &report.code.rerun_commit);
    if commits.0 != commits.1 {
        code.push(Difference {
            name: "commit".to_owned(),
            original: commits.0.as_deref().map(shortened),
            rerun: commits.1.as_deref().map(shortened),
        });
    }
    code.extend(report.code.files.iter().map(|file| {
        let counted = format!("{} lines added, {} removed", file.added_lines, file.removed_lines);
        let (original, rerun) = match file.change {
            FileChange::Added => (None, Some(counted)),
            FileChange::Removed => (Some("removed since".to_owned()), None),
            FileChange::Changed => (Some("as captured".to_owned()), Some(counted)),
        };
        Difference { name: file.path.clone(), original, rerun }
    }));
    code.extend(report.data.iter().filter(|data| data.is_same == Some(false)).map(|data| {
        Difference {
            name: format!("data of {}", data.param),
            original: data.original_digest.as_deref().map(shortened),
            rerun: data.rerun_digest.as_deref().map(shortened),
        }
    }));
    let fact = |fact: &FactDifference| Difference {
        name: fact.name.clone(),
        original: fact.original.clone(),
        rerun: fact.rerun.clone(),
    };
    let mut environment: Vec<Difference> = report.environment.python.iter().map(fact).collect();
    environment.extend(report.environment.packages.iter().map(|package| Difference {
        name: package.name.clone(),
        original: package.original.clone(),
        rerun: package.rerun.clone(),
    }));
    environment.extend(report.environment.platform.iter().map(fact));
    ReproductionView {
        original: links.get(&report.original.run_id).cloned(),
        original_run_id: report.original.run_id,
        verdict: report.verdict.into(),
        summary: report.summary,
        metrics,
        same_files,
        files,
        environment,
        code,
        causes: report
            .causes
            .into_iter()
            .map(|cause| LikelyCause { what: cause.text, why: String::new() })
            .collect(),
        notes: report.unknown,
    }
}

/// `± 1e-9 and 0.0001 %`, without what is zero.
fn tolerance(absolute: f64, relative: f64) -> String {
    let parts: Vec<String> = [
        (absolute > 0.0).then(|| number(absolute)),
        (relative > 0.0).then(|| format!("{} %", number(relative * 100.0))),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() { "equal".to_owned() } else { format!("± {}", parts.join(" and ")) }
}

/// A number in at most four digits.
fn number(value: f64) -> String {
    let value: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    if (1e-4..1e6).contains(&value) { format!("{value}") } else { format!("{value:e}") }
}

fn shortened(digest: &str) -> String {
    digest.chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_are_said_in_the_least_signs() {
        assert_eq!(tolerance(0.0, 0.0), "equal");
        assert_eq!(tolerance(0.01, 0.0), "± 0.01");
        assert_eq!(tolerance(1e-9, 1e-6), "± 1e-9 and 0.0001 %");
        assert_eq!(tolerance(0.0, 0.01), "± 1 %");
    }
}
