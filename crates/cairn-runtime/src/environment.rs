//! Python environments, each named after what is in it, made once and then reused.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::fs;

use crate::error::{Result, RuntimeError};
use crate::process::ProcessSpec;
use crate::uv::{Uv, clean_python};
use crate::{CancellationToken, Progress, tool};

/// Written last; a folder without it is not an environment.
const MARKER: &str = "cairn-environment.json";

/// In the name of a folder that is being made.
const PARTIAL: &str = ".partial-";

/// A folder that was being made so long ago was left behind by a crash.
const STALE_AFTER: Duration = Duration::from_hours(24);

/// Raised when environments made before must not be reused.
const LAYOUT: u32 = 1;

/// What an environment is made of. Equal specs share one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentSpec {
    /// For people, and the first part of the folder's name: lower-case letters, digits and `-`.
    pub name: String,
    /// The Python wanted, as uv reads it (`3.12`, `>=3.10`, a path); `None` for uv's own choice.
    pub python: Option<String>,
    /// Requirements as in a requirements file, one each; the order does not matter.
    pub requirements: Vec<String>,
}

/// A complete environment.
#[derive(Debug, Clone)]
pub struct Environment {
    folder: PathBuf,
}

impl EnvironmentSpec {
    /// The name of its folder: `<name>-<16 hexadecimal digits>` of its content.
    ///
    /// The machine is part of it, since a home folder may be shared by machines of two kinds.
    pub fn folder_name(&self) -> String {
        let mut requirements = self.requirements.clone();
        requirements.sort();
        let content = serde_json::json!([
            LAYOUT,
            std::env::consts::OS,
            std::env::consts::ARCH,
            self.python,
            requirements
        ]);
        let digest = Sha256::digest(content.to_string());
        let hex = digest.iter().take(8).fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        format!("{}-{hex}", self.name)
    }

    fn check(&self) -> Result<()> {
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
        // A requirement is an argument of uv; one that looks like an option would be one.
        let odd = self
            .requirements
            .iter()
            .find(|r| r.trim().is_empty() || r.trim_start().starts_with('-') || r.contains('\n'));
        if let Some(requirement) = odd {
            return Err(RuntimeError::InvalidSpec(format!(
                "\"{requirement}\" is not a requirement: give one package each"
            )));
        }
        if self
            .python
            .as_ref()
            .is_some_and(|python| python.trim().is_empty() || python.starts_with('-'))
        {
            return Err(RuntimeError::InvalidSpec(
                "the Python version of an environment is empty or an option".to_owned(),
            ));
        }
        Ok(())
    }
}

impl Environment {
    /// The environment for `spec` below `root_dir`: the one made before, or a new one.
    ///
    /// A new one is built in a folder beside its place and moved there when complete, so what is
    /// found is always whole; two programs that build the same one at a time end with one of the
    /// two. uv's lines come through `progress`.
    ///
    /// Errors: [`RuntimeError::InvalidSpec`], [`RuntimeError::NetworkUnavailable`],
    /// [`RuntimeError::ToolFailed`], [`RuntimeError::Io`], [`RuntimeError::Cancelled`]; nothing of the
    /// attempt is left then.
    pub async fn ensure(
        uv: &Uv,
        spec: &EnvironmentSpec,
        root_dir: &Path,
        progress: Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        spec.check()?;
        let folder = root_dir.join(spec.folder_name());
        if is_complete(&folder).await {
            return Ok(Self { folder });
        }
        progress(&format!(
            "Making the Python environment \"{}\" in {}",
            spec.name,
            folder.display()
        ));
        fs::create_dir_all(root_dir).await.map_err(RuntimeError::io("creating", root_dir))?;
        remove_stale(root_dir).await;
        let partial =
            root_dir.join(format!("{}{PARTIAL}{}", spec.name, uuid::Uuid::new_v4().simple()));
        let result = match build(uv, spec, &partial, progress, cancel).await {
            Ok(()) => settle(&partial, &folder).await,
            Err(error) => Err(error),
        };
        // Either moved away, or of no use.
        let _ = fs::remove_dir_all(&partial).await;
        result.map(|()| Self { folder })
    }

    /// Its Python.
    pub fn python(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A program to run with this environment active: its `bin` comes first on PATH.
    pub fn process(
        &self,
        program: impl Into<std::ffi::OsString>,
        folder: impl Into<PathBuf>,
    ) -> ProcessSpec {
        let mut search = vec![self.folder.join("bin")];
        search.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        // Joining fails only when an entry contains the separator; then the environment's own
        // programs are still reached by their paths.
        let search_path = std::env::join_paths(search).unwrap_or_default();
        let spec = clean_python(ProcessSpec::new(program, folder)).env("VIRTUAL_ENV", &self.folder);
        if search_path.is_empty() { spec } else { spec.env("PATH", search_path) }
    }
}

async fn is_complete(folder: &Path) -> bool {
    fs::try_exists(folder.join(MARKER)).await.unwrap_or(false)
        // Dangling when the Python it was made with has been removed: then it is made again.
        && fs::try_exists(folder.join("bin/python")).await.unwrap_or(false)
}

async fn build(
    uv: &Uv,
    spec: &EnvironmentSpec,
    folder: &Path,
    progress: Progress<'_>,
    cancel: &CancellationToken,
) -> Result<()> {
    let what = format!("Making the environment \"{}\"", spec.name);
    let parent = folder.parent().unwrap_or(folder);
    let uv_process = || clean_python(ProcessSpec::new(uv.program(), parent)).env("NO_COLOR", "1");
    // Relocatable, since it is moved when complete.
    let mut venv = uv_process().args(["venv", "--no-project", "--relocatable"]);
    if let Some(python) = &spec.python {
        venv = venv.arg("--python").arg(python);
    }
    tool::run(&what, &venv.arg("--").arg(folder), progress, cancel).await?;
    if !spec.requirements.is_empty() {
        let install = uv_process()
            .args(["pip", "install", "--python"])
            .arg(folder.join("bin/python"))
            .arg("--")
            .args(&spec.requirements);
        tool::run(&what, &install, progress, cancel).await?;
    }
    let marker = folder.join(MARKER);
    let content = serde_json::to_vec_pretty(spec).expect("text is always JSON");
    fs::write(&marker, content).await.map_err(RuntimeError::io("writing", &marker))
}

/// Moves a complete folder to its place.
async fn settle(partial: &Path, folder: &Path) -> Result<()> {
    let Err(first) = fs::rename(partial, folder).await else {
        return Ok(());
    };
    if is_complete(folder).await {
        return Ok(()); // Somebody else was faster; both are equal.
    }
    if !fs::try_exists(folder).await.unwrap_or(false) {
        return Err(RuntimeError::io("renaming", partial)(first));
    }
    fs::remove_dir_all(folder).await.map_err(RuntimeError::io("removing", folder))?;
    fs::rename(partial, folder).await.map_err(RuntimeError::io("renaming", partial))
}

/// Removes what a crash left behind; failing to is of no consequence.
async fn remove_stale(root_dir: &Path) {
    let Ok(mut entries) = fs::read_dir(root_dir).await else {
        return;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let is_partial = entry.file_name().to_str().is_some_and(|name| name.contains(PARTIAL));
        let modified = entry.metadata().await.ok().and_then(|data| data.modified().ok());
        let is_stale =
            modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > STALE_AFTER);
        if is_partial && is_stale {
            let _ = fs::remove_dir_all(entry.path()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, python: Option<&str>, requirements: &[&str]) -> EnvironmentSpec {
        EnvironmentSpec {
            name: name.to_owned(),
            python: python.map(str::to_owned),
            requirements: requirements.iter().map(|&r| r.to_owned()).collect(),
        }
    }

    #[test]
    fn equal_content_has_the_same_folder() {
        let name = spec("a", None, &["x==1", "y"]).folder_name();
        assert_eq!(name, spec("a", None, &["y", "x==1"]).folder_name());
        assert_ne!(name, spec("a", None, &["y", "x==2"]).folder_name());
        assert_ne!(name, spec("a", Some("3.12"), &["y", "x==1"]).folder_name());
        assert_eq!(name.len(), "a-".len() + 16);
    }

    #[test]
    fn specs_that_would_be_options_or_paths_are_refused() {
        let check = |spec: EnvironmentSpec| spec.check().is_ok();
        assert!(check(spec("log-samples", Some(">=3.10"), &["mlflow-skinny==3.17.2"])));
        assert!(!check(spec("../up", None, &[])));
        assert!(!check(spec("", None, &[])));
        assert!(!check(spec("-x", None, &[])));
        assert!(!check(spec("a", None, &["--index-url=http://x"])));
        assert!(!check(spec("a", None, &["a\n--pre"])));
        assert!(!check(spec("a", Some("--help"), &[])));
    }
}
