//! Packages, interpreter and platform of both runs.

use cairn_runtime::environment::packages_of;
use serde::{Deserialize, Serialize};

use super::facts::RunFacts;

/// A named fact that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactDifference {
    /// What it is: a parameter's name, `cpu`, `python`.
    pub name: String,
    /// The original's; `None` when it has none.
    pub original: Option<String>,
    /// The rerun's.
    pub rerun: Option<String>,
}

/// A package that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageDifference {
    /// Its name as indexes write it: lower case, dashes.
    pub name: String,
    /// The original's version; `None` when it was not installed.
    pub original: Option<String>,
    /// The rerun's version.
    pub rerun: Option<String>,
}

/// What the two runs ran in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentComparison {
    /// Whether the packages of both are recorded.
    pub is_known: bool,
    /// Packages of the same version.
    pub same_packages: usize,
    /// Packages that differ, by name.
    pub packages: Vec<PackageDifference>,
    /// The interpreter's version, where it differs.
    pub python: Option<FactDifference>,
    /// System, processor, graphics card, …, where they differ, by name.
    pub platform: Vec<FactDifference>,
}

/// Compares locks, interpreters and platforms.
pub(super) fn compare(original: &RunFacts, rerun: &RunFacts) -> EnvironmentComparison {
    let mut made = EnvironmentComparison::default();
    if let (Some(before), Some(after)) = (&original.lock, &rerun.lock) {
        made.is_known = true;
        let (before, after) = (packages_of(before), packages_of(after));
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let (before, after) = (before.get(name), after.get(name));
            if before == after {
                made.same_packages += 1;
            } else {
                made.packages.push(PackageDifference {
                    name: name.clone(),
                    original: before.cloned(),
                    rerun: after.cloned(),
                });
            }
        }
    }
    if let (Some(before), Some(after)) = (&original.python, &rerun.python)
        && before != after
    {
        made.python = Some(FactDifference {
            name: "python".to_owned(),
            original: Some(before.clone()),
            rerun: Some(after.clone()),
        });
    }
    if !original.platform.is_empty() && !rerun.platform.is_empty() {
        let mut names: Vec<&String> =
            original.platform.keys().chain(rerun.platform.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let (before, after) = (original.platform.get(name), rerun.platform.get(name));
            if before != after {
                made.platform.push(FactDifference {
                    name: name.clone(),
                    original: before.cloned(),
                    rerun: after.cloned(),
                });
            }
        }
    }
    made
}
