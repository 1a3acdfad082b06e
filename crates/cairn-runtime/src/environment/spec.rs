//! What an environment is made of, and the name that follows from it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::detect::EnvironmentKind;
use super::lock::EnvironmentLock;
use super::python;
use super::requirement::{PackageSources, Requirement};
use crate::error::{Result, RuntimeError};

/// Raised when environments made before must not be reused.
const LAYOUT: u32 = 2;

/// What an environment is made of. Equal contents share one folder, whatever their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentSpec {
    /// For people, and the first part of the folder's name: lower-case letters, digits and `-`.
    pub name: String,
    /// What is in it.
    pub content: EnvironmentContent,
}

/// What is in an environment, by how it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentContent {
    /// Requirements that uv chooses versions for.
    Python(PythonContent),
    /// The lock of a project that is managed by uv.
    UvProject(UvProjectContent),
    /// Packages of conda channels.
    Conda(CondaContent),
    /// Exactly what was there before.
    Lock(EnvironmentLock),
}

/// Requirements, and where they come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PythonContent {
    /// The Python wanted: a version (`3.12`) or bounds (`>=3.10`); `None` for uv's own choice.
    pub python: Option<String>,
    /// What MLflow installs before the others: pip, setuptools, wheel.
    pub build_requirements: Vec<Requirement>,
    /// The requirements; the order does not matter.
    pub requirements: Vec<Requirement>,
    /// Bounds for packages that others need.
    pub constraints: Vec<Requirement>,
    /// Where packages come from.
    pub sources: PackageSources,
}

/// A `pyproject.toml` and its `uv.lock`, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UvProjectContent {
    /// The Python wanted.
    pub python: Option<String>,
    /// The text of `pyproject.toml`.
    pub pyproject: String,
    /// The text of `uv.lock`.
    pub lock: String,
}

/// What a `conda.yaml` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CondaContent {
    /// Channels by name or address, the first one first.
    pub channels: Vec<String>,
    /// Packages as conda writes them (`numpy=2.1`).
    pub dependencies: Vec<String>,
    /// The `pip:` section.
    pub pip: Vec<Requirement>,
    /// Bounds for it.
    pub pip_constraints: Vec<Requirement>,
    /// Where its packages come from.
    pub pip_sources: PackageSources,
}

impl EnvironmentSpec {
    /// Python packages from the usual index.
    ///
    /// Errors: [`RuntimeError::InvalidSpec`] names the requirement or version that cannot be one.
    pub fn python<T: AsRef<str>>(
        name: &str,
        python: Option<&str>,
        requirements: impl IntoIterator<Item = T>,
    ) -> Result<Self> {
        let requirements = requirements
            .into_iter()
            .map(|text| Requirement::parse(text.as_ref()))
            .collect::<Result<_, _>>()
            .map_err(RuntimeError::InvalidSpec)?;
        let content = PythonContent {
            python: python.map(str::to_owned),
            requirements,
            ..PythonContent::default()
        };
        let spec = Self { name: name.to_owned(), content: EnvironmentContent::Python(content) };
        spec.check()?;
        Ok(spec)
    }

    /// What a lock says, under the name of the environment that it was taken from.
    pub fn of_lock(lock: EnvironmentLock) -> Self {
        Self { name: lock.name().to_owned(), content: EnvironmentContent::Lock(lock) }
    }

    /// Its kind.
    pub fn kind(&self) -> EnvironmentKind {
        match &self.content {
            EnvironmentContent::Python(_) => EnvironmentKind::Python,
            EnvironmentContent::UvProject(_) => EnvironmentKind::UvProject,
            EnvironmentContent::Conda(_) => EnvironmentKind::Conda,
            EnvironmentContent::Lock(_) => EnvironmentKind::Lock,
        }
    }

    /// Whether packages of conda are in it.
    pub(super) fn needs_conda(&self) -> bool {
        match &self.content {
            EnvironmentContent::Conda(_) => true,
            EnvironmentContent::Lock(lock) => !lock.explicit().is_empty(),
            EnvironmentContent::Python(_) | EnvironmentContent::UvProject(_) => false,
        }
    }

    /// The requirements of Python packages that it names itself, conda's `pip:` section included.
    pub fn requirements(&self) -> &[Requirement] {
        match &self.content {
            EnvironmentContent::Python(content) => &content.requirements,
            EnvironmentContent::Conda(content) => &content.pip,
            EnvironmentContent::UvProject(_) | EnvironmentContent::Lock(_) => &[],
        }
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let python = |wanted: &Option<String>| {
            wanted
                .as_ref()
                .map_or_else(|| "Python".to_owned(), |version| format!("Python {version}"))
        };
        let count = |count: usize, noun: &str| match count {
            1 => format!("1 {noun}"),
            count => format!("{count} {noun}s"),
        };
        match &self.content {
            EnvironmentContent::Python(content) => {
                let mut text = format!(
                    "{} with {}, by uv",
                    python(&content.python),
                    count(
                        content.requirements.len() + content.build_requirements.len(),
                        "requirement"
                    )
                );
                let from = content.sources.shown();
                if !from.is_empty() {
                    let _ = write!(text, ", packages also from {}", from.join(", "));
                }
                text
            }
            EnvironmentContent::UvProject(content) => {
                format!("{} with the packages of uv.lock, by uv", python(&content.python))
            }
            EnvironmentContent::Conda(content) => {
                let mut text = format!(
                    "Conda with {} from {}",
                    count(content.dependencies.len(), "package"),
                    content.channels.join(", "),
                );
                if !content.pip.is_empty() {
                    let _ = write!(text, ", and {} by uv", count(content.pip.len(), "requirement"));
                }
                text
            }
            EnvironmentContent::Lock(lock) => format!(
                "Python {} with exactly the {} of a lock",
                lock.python_version().unwrap_or("of conda"),
                count(lock.package_count(), "package")
            ),
        }
    }

    /// What the environment's folder name ends with: 16 hexadecimal digits of its content.
    ///
    /// The machine is part of it, since a home folder may be shared by machines of two kinds.
    pub fn digest(&self) -> String {
        let content = match &self.content {
            EnvironmentContent::Python(content) => {
                let mut content = content.clone();
                for list in [
                    &mut content.build_requirements,
                    &mut content.requirements,
                    &mut content.constraints,
                ] {
                    list.sort();
                    list.dedup();
                }
                serde_json::json!(["python", content])
            }
            EnvironmentContent::UvProject(content) => serde_json::json!(["uv", content]),
            EnvironmentContent::Conda(content) => serde_json::json!(["conda", content]),
            EnvironmentContent::Lock(lock) => serde_json::json!(["lock", lock.digest()]),
        };
        short_digest(
            &serde_json::json!([LAYOUT, std::env::consts::OS, std::env::consts::ARCH, content])
                .to_string(),
        )
    }

    /// The name of the folder that is made for it: `<name>-<digest>`.
    pub fn folder_name(&self) -> String {
        format!("{}-{}", self.name, self.digest())
    }

    pub(super) fn check(&self) -> Result<()> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty()
            || self.name.len() > 64
            || self.name.starts_with('-')
            || !self.name.chars().all(is_plain)
        {
            return Err(RuntimeError::InvalidSpec(format!(
                "\"{}\" cannot name an environment: use up to 64 lower-case letters, digits and dashes",
                self.name
            )));
        }
        let wanted = match &self.content {
            EnvironmentContent::Python(content) => content.python.as_deref(),
            EnvironmentContent::UvProject(content) => content.python.as_deref(),
            EnvironmentContent::Conda(_) => None,
            EnvironmentContent::Lock(lock) => lock.python_version(),
        };
        match wanted.map(python::request) {
            Some(Err(message)) => Err(RuntimeError::InvalidSpec(message)),
            _ => Ok(()),
        }
    }
}

/// 16 hexadecimal digits of a text.
pub(super) fn short_digest(text: &str) -> String {
    Sha256::digest(text).iter().take(8).fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, python: Option<&str>, requirements: &[&str]) -> EnvironmentSpec {
        EnvironmentSpec::python(name, python, requirements).expect("it is one")
    }

    #[test]
    fn equal_content_has_the_same_folder() {
        let name = spec("a", None, &["x==1", "y"]).folder_name();
        assert_eq!(name, spec("a", None, &["y", "x==1"]).folder_name());
        assert_eq!(name[2..], spec("b", None, &["y", "x==1"]).digest());
        assert_ne!(name, spec("a", None, &["y", "x==2"]).folder_name());
        assert_ne!(name, spec("a", Some("3.12"), &["y", "x==1"]).folder_name());
        assert_eq!(name.len(), "a-".len() + 16);
    }

    #[test]
    fn specs_that_would_be_options_or_paths_are_refused() {
        let check = |name: &str, python: Option<&str>, requirements: &[&str]| {
            EnvironmentSpec::python(name, python, requirements).is_ok()
        };
        assert!(check("log-samples", Some(">=3.10"), &["mlflow-skinny==3.17.2"]));
        assert!(!check("../up", None, &[]));
        assert!(!check("", None, &[]));
        assert!(!check("-x", None, &[]));
        assert!(!check("a", None, &["--index-url=http://x"]));
        assert!(!check("a", None, &["a\n--pre"]));
        assert!(!check("a", Some("--help"), &[]));
    }
}
