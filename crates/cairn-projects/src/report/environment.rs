//! Packages, interpreter and platform of both runs.

use std::collections::BTreeMap;

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
        let (before, after) = (packages(before), packages(after));
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

/// The packages of a lock: `name==version`, `name @ URL`, or conda's `name=version=build`, one on
/// each line; hashes, comments and options are passed over.
pub(super) fn packages(lock: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in lock.lines() {
        let line = line.trim_end_matches('\\').trim();
        let line = line.split(" #").next().unwrap_or_default().trim();
        let line = line.split(';').next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with(['#', '-', '@']) {
            continue;
        }
        // An explicit list of conda packages names archives.
        if let Some(file) = line.rsplit('/').next().filter(|_| line.contains("://"))
            && let Some(stem) = [".conda", ".tar.bz2"]
                .iter()
                .find_map(|end| file.split('#').next().unwrap_or(file).strip_suffix(end))
        {
            let mut parts = stem.rsplitn(3, '-');
            if let (Some(build), Some(version), Some(name)) =
                (parts.next(), parts.next(), parts.next())
            {
                found.insert(normal(name), format!("{version} {build}"));
            }
            continue;
        }
        let split = line
            .split_once("===")
            .or_else(|| line.split_once("=="))
            .or_else(|| line.split_once(" @ "))
            .or_else(|| line.split_once('='));
        if let Some((name, version)) = split {
            let version = version.split_whitespace().next().unwrap_or_default();
            found.insert(normal(name), version.replace('=', " "));
        }
    }
    found
}

/// As indexes compare names: lower case, runs of `-_.` one dash, extras left out.
fn normal(name: &str) -> String {
    let name = name.split('[').next().unwrap_or_default().trim();
    let mut made = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '-' | '_' | '.') {
            if !made.ends_with('-') {
                made.push('-');
            }
        } else {
            made.extend(c.to_lowercase());
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_every_kind_of_lock_are_found() {
        let check = |lock: &str, expected: &[(&str, &str)]| {
            let expected: BTreeMap<String, String> = expected
                .iter()
                .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
                .collect();
            assert_eq!(packages(lock), expected, "{lock}");
        };
        check(
            "# made by uv\nNumPy==2.1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via x\n",
            &[("numpy", "2.1.0")],
        );
        check(
            "scikit_learn[extra]==1.5 ; python_version >= '3.10'\n-i https://x\nfoo @ file:///a/b\n",
            &[("scikit-learn", "1.5"), ("foo", "file:///a/b")],
        );
        check(
            "@EXPLICIT\nfile:///c/noarch/my-pack-1.2-py_0.conda#abc\npython=3.11.2=h1_0\n",
            &[("my-pack", "1.2 py_0"), ("python", "3.11.2 h1_0")],
        );
        check("", &[]);
    }
}
