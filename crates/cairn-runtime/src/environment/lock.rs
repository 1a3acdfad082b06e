//! The exact content of an environment as one text, which is enough to make it again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::requirement::{PackageSources, Requirement, without_credentials};
use super::{python, spec::short_digest};
use crate::error::{Result, RuntimeError};

/// The first line of every lock.
const HEAD: &str = "# The packages of a Cairn environment, exactly. Cairn makes the same environment again from this file.";

/// What stands before the pip section of a conda lock.
const PIP_LINE: &str = "# pip:";

/// The largest lock.
const MAX_BYTES: usize = 16 << 20;

/// Everything in an environment: Python's version, and every package with its digest.
///
/// As a text it is a requirements file (for conda an explicit list) with a few comments in front that say the rest, so
/// that pip, uv and conda read it as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvironmentLock {
    name: String,
    python: Option<String>,
    platform: String,
    /// Addresses of conda packages, `url#md5`; empty for an environment without conda.
    explicit: Vec<String>,
    /// Lines of a requirements file with every package pinned, options about sources first.
    body: String,
    packages: usize,
}

impl EnvironmentLock {
    /// A lock of Python packages; `body` is what `uv pip compile` wrote.
    pub(super) fn new(
        name: &str,
        python: Option<&str>,
        explicit: Vec<String>,
        sources: &PackageSources,
        body: &str,
    ) -> Self {
        let sources = PackageSources {
            index: sources.index.as_deref().map(without_credentials),
            extra_indexes: sources
                .extra_indexes
                .iter()
                .map(|url| without_credentials(url))
                .collect(),
            find_links: sources.find_links.iter().map(|url| without_credentials(url)).collect(),
            ..sources.clone()
        };
        let mut text = sources.lines();
        // Comments of uv name its command line and files that are gone.
        for line in body.lines().filter(|line| !line.trim_start().starts_with('#')) {
            text.push_str(line);
            text.push('\n');
        }
        let packages = explicit.len() + count_packages(&text);
        Self {
            name: name.to_owned(),
            python: python.map(str::to_owned),
            platform: platform(),
            explicit,
            body: text,
            packages,
        }
    }

    /// Reads a lock, written by Cairn or by `uv pip compile`.
    ///
    /// Errors: [`RuntimeError::InvalidSpec`] says which line is not one of a lock.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |line: usize, message: &str| {
            Err(RuntimeError::InvalidSpec(format!(
                "The lock cannot be used: line {line}: {message}"
            )))
        };
        if text.len() > MAX_BYTES {
            return invalid(0, "it is larger than 16 MiB");
        }
        let mut lock = Self {
            name: "lock".to_owned(),
            python: None,
            platform: platform(),
            explicit: Vec::new(),
            body: String::new(),
            packages: 0,
        };
        let mut is_explicit = false;
        let mut continued = String::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if let Some(comment) = line.strip_prefix('#') {
                if line == PIP_LINE {
                    is_explicit = false;
                }
                match comment.trim().split_once(": ") {
                    Some(("python", version)) => match python::request(version) {
                        Ok(version) => lock.python = Some(version),
                        Err(message) => return invalid(number, &message),
                    },
                    Some(("name", name)) => name.clone_into(&mut lock.name),
                    Some(("platform", platform)) => platform.clone_into(&mut lock.platform),
                    _ => {}
                }
                continue;
            }
            let trimmed = line.trim();
            if trimmed == "@EXPLICIT" {
                is_explicit = true;
                continue;
            }
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            if is_explicit {
                let is_address =
                    ["https://", "http://", "file://"].iter().any(|s| trimmed.starts_with(s));
                if !is_address || trimmed.contains(char::is_whitespace) {
                    return invalid(number, "this is not the address of a conda package");
                }
                lock.explicit.push(trimmed.to_owned());
                continue;
            }
            if let Some(begun) = trimmed.strip_suffix('\\') {
                continued.push_str(begun);
                continued.push(' ');
                continue;
            }
            continued.push_str(trimmed);
            let whole = std::mem::take(&mut continued);
            if let Err(message) = check_line(&whole) {
                return invalid(number, &message);
            }
            lock.body.push_str(&whole);
            lock.body.push('\n');
        }
        if !continued.is_empty() {
            return invalid(text.lines().count(), "the file ends in the middle");
        }
        lock.packages = lock.explicit.len() + count_packages(&lock.body);
        Ok(lock)
    }

    /// The name of the environment that it was taken from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Python's version; `None` when conda brings it.
    pub fn python_version(&self) -> Option<&str> {
        self.python.as_deref()
    }

    /// How many packages it holds.
    pub fn package_count(&self) -> usize {
        self.packages
    }

    /// The addresses of conda packages.
    pub fn explicit(&self) -> &[String] {
        &self.explicit
    }

    /// The kind of machine that it is for, such as `linux-x86_64`.
    pub fn platform(&self) -> &str {
        &self.platform
    }

    /// The part for uv.
    pub(super) fn body(&self) -> &str {
        &self.body
    }

    /// Whether a digest stands behind every package; one from git, for example, has a commit instead.
    pub fn is_hashed(&self) -> bool {
        self.requirement_lines().all(|line| line.contains("--hash="))
    }

    /// Every package and its version, as [`packages_of`] says, for comparing two locks.
    pub fn packages(&self) -> BTreeMap<String, String> {
        packages_of(&self.to_string())
    }

    fn requirement_lines(&self) -> impl Iterator<Item = String> {
        // Lines that uv continued are joined.
        let joined = self.body.replace("\\\n", " ");
        joined
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|line| !line.is_empty() && !line.starts_with('-'))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// 16 hexadecimal digits of the content, whatever the name, the order of digests and the line breaks.
    pub(super) fn digest(&self) -> String {
        let mut lines: Vec<String> = self.requirement_lines().collect();
        lines.sort();
        let sources: Vec<&str> = self.body.lines().filter(|line| line.starts_with('-')).collect();
        short_digest(
            &serde_json::json!([self.python, self.platform, self.explicit, sources, lines])
                .to_string(),
        )
    }

    /// The whole digest of the text, for a tag or a report.
    pub fn sha256(&self) -> String {
        let mut hex = String::new();
        for byte in Sha256::digest(self.to_string()) {
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

impl std::fmt::Display for EnvironmentLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{HEAD}")?;
        writeln!(f, "# name: {}", self.name)?;
        if let Some(python) = &self.python {
            writeln!(f, "# python: {python}")?;
        }
        writeln!(f, "# platform: {}", self.platform)?;
        if !self.explicit.is_empty() {
            writeln!(f, "@EXPLICIT")?;
            for url in &self.explicit {
                writeln!(f, "{url}")?;
            }
            writeln!(f, "{PIP_LINE}")?;
        }
        f.write_str(&self.body)
    }
}

impl TryFrom<String> for EnvironmentLock {
    type Error = RuntimeError;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<EnvironmentLock> for String {
    fn from(lock: EnvironmentLock) -> Self {
        lock.to_string()
    }
}

/// The packages that a lock names, and their versions; for a conda package `version build`, for one
/// from elsewhere its address. Names are as indexes compare them.
///
/// Reads every kind of lock, of Cairn or not: `name==version`, `name @ URL`, conda's
/// `name=version=build` and the addresses of its explicit lists, one on each line; hashes, comments,
/// options and what else is there are passed over.
pub fn packages_of(lock: &str) -> BTreeMap<String, String> {
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
                found.insert(compared_name(name), format!("{version} {build}"));
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
            found.insert(compared_name(name), version.replace('=', " "));
        }
    }
    found
}

/// As indexes compare names: lower case, runs of `-_.` one dash, extras left out.
fn compared_name(name: &str) -> String {
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

fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

fn count_packages(body: &str) -> usize {
    body.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric())).count()
}

/// A line of a lock goes into a file that uv reads, so it is checked like one of a project.
fn check_line(line: &str) -> Result<(), String> {
    const OPTIONS: [&str; 6] = [
        "--index-url ",
        "--extra-index-url ",
        "--find-links ",
        "--only-binary ",
        "--no-binary ",
        "--no-index",
    ];
    if line.starts_with('-') {
        return if OPTIONS.iter().any(|option| line.starts_with(option)) {
            Ok(())
        } else {
            Err(format!("the option \"{line}\" does not belong in a lock"))
        };
    }
    Requirement::parse(line).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(c: char) -> String {
        format!("sha256:{}", c.to_string().repeat(64))
    }

    fn packages(named: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = named.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned()));
        owned.collect()
    }

    #[test]
    fn lock_is_the_same_after_it_was_written_and_read() {
        let body = format!(
            "# by uv\na==1 \\\n    --hash={} \\\n    --hash={}\n    # via b\nb @ git+https://example.org/b@abc\n",
            hash('a'),
            hash('b')
        );
        let sources = PackageSources {
            extra_indexes: vec!["https://u:p@example.org/s".to_owned()],
            ..PackageSources::default()
        };
        let lock = EnvironmentLock::new("x", Some("3.11.7"), Vec::new(), &sources, &body);
        assert_eq!(lock.package_count(), 2);
        assert!(!lock.is_hashed());
        let text = lock.to_string();
        assert!(text.contains("--extra-index-url https://example.org/s\n"), "{text}");
        let again = EnvironmentLock::parse(&text).expect("it is one");
        assert_eq!(again.digest(), lock.digest());
        assert_eq!(again.python_version(), Some("3.11.7"));
        assert_eq!(
            again.packages(),
            packages(&[("a", "1"), ("b", "git+https://example.org/b@abc")])
        );
    }

    #[test]
    fn conda_lock_keeps_both_parts() {
        let urls = vec!["https://c/linux-64/python-3.11.7-h1_0.conda#0123".to_owned()];
        let body = format!("a==1 --hash={}\n", hash('a'));
        let lock =
            EnvironmentLock::new("conda", None, urls.clone(), &PackageSources::default(), &body);
        let again = EnvironmentLock::parse(&lock.to_string()).expect("it is one");
        assert_eq!(again.explicit(), urls);
        assert_eq!(again.packages(), packages(&[("python", "3.11.7 h1_0"), ("a", "1")]));
        assert_eq!(again.digest(), lock.digest());
    }

    #[test]
    fn lines_that_are_options_of_something_else_are_refused() {
        let check = |text: &str| EnvironmentLock::parse(text).is_ok();
        assert!(check("a==1\n"));
        assert!(!check("--target /\n"));
        assert!(!check("-r other.txt\n"));
        assert!(!check("# python: $(id)\n"));
        assert!(!check("@EXPLICIT\nrm -rf\n"));
        assert!(!check("a==1 \\\n"));
    }

    #[test]
    fn packages_of_every_kind_of_lock_are_found() {
        let check = |lock: &str, expected: &[(&str, &str)]| {
            assert_eq!(packages_of(lock), packages(expected), "{lock}");
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
