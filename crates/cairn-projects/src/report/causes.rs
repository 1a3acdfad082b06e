//! Why the outcomes differ, by what changed between the two runs.

use cairn_runtime::capital;
use serde::{Deserialize, Serialize};

use crate::is_seed;

use super::{
    CodeComparison, DataComparison, EnvironmentComparison, FactDifference, RunComparison, RunFacts,
    Verdict,
};

/// A change between the runs that may explain what differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What kind of change.
    pub kind: CauseKind,
    /// One line: *The seed changed: seed was 1, is 2*.
    pub text: String,
}

/// Kinds of causes, in the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// A seed has another value.
    Seed,
    /// The rerun, or a child of it, did not end as its original.
    Failure,
    /// A parameter has another value.
    Parameter,
    /// A data file has other content.
    Data,
    /// Files of the code differ.
    Code,
    /// The interpreter has another version.
    Python,
    /// A package has another version, is missing or new.
    Package,
    /// Another system, processor or graphics card.
    Platform,
    /// A child run has no counterpart.
    ChildRun,
    /// Something that could have changed is not recorded.
    NotRecorded,
    /// Nothing that is recorded changed.
    Nondeterminism,
}

pub(super) struct Inputs<'a> {
    pub verdict: Verdict,
    pub original: &'a RunFacts,
    pub rerun: &'a RunFacts,
    pub runs: &'a [RunComparison],
    pub environment: &'a EnvironmentComparison,
    pub code: &'a CodeComparison,
    pub data: &'a [DataComparison],
}

/// Packages that are named before all others: what computes.
const NUMERIC: [&str; 14] = [
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "torch",
    "tensorflow",
    "jax",
    "jaxlib",
    "xgboost",
    "lightgbm",
    "catboost",
    "keras",
    "polars",
    "statsmodels",
];

/// The causes, the likeliest first.
pub(super) fn rank(inputs: &Inputs<'_>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut add = |kind, text: String| causes.push(Cause { kind, text });
    for run in inputs.runs {
        let whose = if run.label.is_empty() { String::new() } else { format!(" of {}", run.label) };
        for param in &run.params {
            // A child gets what its parent got: said once, at the parent.
            if !run.label.is_empty() && inputs.runs[0].params.iter().any(|own| own == param) {
                continue;
            }
            if is_seed(&param.name) || inputs.original.seeds.contains(&param.name) {
                add(CauseKind::Seed, format!("The seed{whose} changed: {}", change(param)));
            } else {
                add(
                    CauseKind::Parameter,
                    format!("The parameter{whose} changed: {}", change(param)),
                );
            }
        }
        match (&run.original, &run.rerun) {
            (Some(original), Some(rerun)) if original.status != rerun.status => {
                let who = if run.label.is_empty() { "The rerun" } else { run.label.as_str() };
                let cause =
                    if run.label.is_empty() { inputs.rerun.end_cause.as_deref() } else { None };
                add(
                    CauseKind::Failure,
                    format!(
                        "{who} ended {}, the original {}{}",
                        rerun.status,
                        original.status,
                        cause.map(|cause| format!(": {cause}")).unwrap_or_default()
                    ),
                );
            }
            (Some(_), None) => {
                add(
                    CauseKind::ChildRun,
                    format!("The child run {} is missing in the rerun", run.label),
                );
            }
            (None, Some(_)) => {
                add(
                    CauseKind::ChildRun,
                    format!("The child run {} is new in the rerun", run.label),
                );
            }
            _ => {}
        }
    }
    for data in inputs.data.iter().filter(|data| data.is_same == Some(false)) {
        let path = data.rerun_path.as_deref().or(data.original_path.as_deref()).unwrap_or_default();
        let size = match (data.original_size, data.rerun_size) {
            (Some(before), Some(after)) if before != after => {
                format!(" ({before} bytes before, {after} now)")
            }
            _ => String::new(),
        };
        add(CauseKind::Data, format!("The data file of {} changed: {path}{size}", data.param));
    }
    if inputs.code.is_same == Some(false) {
        let mut names: Vec<&str> =
            inputs.code.files.iter().take(3).map(|file| file.path.as_str()).collect();
        let more = inputs.code.files.len().saturating_sub(names.len());
        let more_text = format!("{more} more");
        if more > 0 {
            names.push(&more_text);
        }
        let text = if names.is_empty() {
            "The code changed".to_owned()
        } else {
            format!("The code changed: {}", names.join(", "))
        };
        if inputs.code.touches_seed {
            add(CauseKind::Seed, format!("{text}; a changed line sets a seed"));
        } else {
            add(CauseKind::Code, text);
        }
    }
    if let Some(python) = &inputs.environment.python {
        add(CauseKind::Python, format!("Python changed: {}", change(python)));
    }
    let mut packages: Vec<_> = inputs.environment.packages.iter().collect();
    packages.sort_by_key(|package| !NUMERIC.contains(&package.name.as_str()));
    for package in packages.iter().take(8) {
        let text = match (&package.original, &package.rerun) {
            (Some(before), Some(after)) => {
                format!("The package {} changed: {before} before, {after} now", package.name)
            }
            (Some(before), None) => format!("The package {} {before} is gone", package.name),
            (None, after) => {
                format!(
                    "The package {} {} is new",
                    package.name,
                    after.as_deref().unwrap_or_default()
                )
            }
        };
        add(CauseKind::Package, text);
    }
    if packages.len() > 8 {
        add(CauseKind::Package, format!("{} more packages changed", packages.len() - 8));
    }
    for fact in &inputs.environment.platform {
        add(CauseKind::Platform, format!("{} changed: {}", capital(&fact.name), change(fact)));
    }
    if inputs.verdict != Verdict::Reproduced {
        if inputs.code.is_same.is_none() {
            add(
                CauseKind::NotRecorded,
                "The code may have changed: one side is not recorded".into(),
            );
        }
        if !inputs.environment.is_known {
            add(
                CauseKind::NotRecorded,
                "Packages may have changed: those of one side are not recorded".into(),
            );
        }
        let found_one = causes.iter().any(|cause| cause.kind < CauseKind::NotRecorded);
        if !found_one {
            let has_seed = !inputs.original.seeds.is_empty()
                || inputs.original.params.keys().any(|name| is_seed(name));
            causes.push(Cause {
                kind: CauseKind::Nondeterminism,
                text: if has_seed {
                    "Nothing that is recorded changed: the code itself gives other results each time \
                     (threads, a generator that the seed does not reach, time, the network)"
                } else {
                    "Nothing that is recorded changed, and no parameter is a seed: the code may draw \
                     random numbers without one"
                }
                .to_owned(),
            });
        }
    }
    causes.sort_by_key(|cause| cause.kind);
    causes
}

fn change(fact: &FactDifference) -> String {
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "not set".to_owned());
    format!("{} was {}, is {}", fact.name, shown(&fact.original), shown(&fact.rerun))
}
