//! Python environments, each named after what is in it, made once and then reused.
//!
//! [`EnvironmentSpec::of_project_folder`] reads what a project asks for, [`Environments::ensure`] makes it or
//! finds it, [`Environment::lock`] says exactly what is in it; a spec of that lock makes the same one again.
//! An environment is never changed once it is made: its files are hard links of uv's cache, shared with others.

mod build;
mod conda;
pub mod container;
mod detect;
mod keep;
mod lock;
pub mod notebook;
mod problem;
mod python;
mod requirement;
mod spec;
mod yaml;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::fs;

pub use detect::{
    DeclaredEnvironment, EnvironmentKind, EnvironmentManager, ProjectEnvironment, ProjectPlace,
};
pub use keep::{EnvironmentInfo, EnvironmentList, EnvironmentUse, Kept, PruneOptions, Pruned};
pub use lock::{EnvironmentLock, packages_of};
pub use problem::SpecProblem;
pub use python::{PythonInterpreter, installed_pythons};
pub use requirement::{PackageSources, Requirement};
pub use spec::{
    CondaContent, EnvironmentContent, EnvironmentSpec, PythonContent, UvProjectContent,
};

use crate::error::{Result, RuntimeError};
use crate::process::ProcessSpec;
use crate::uv::clean_python;
use crate::{CancellationToken, Progress, ToolFolders};

/// Written last; a folder without it is not an environment.
const MARKER: &str = "cairn-environment.json";
/// The lock, beside the marker.
const LOCK: &str = "cairn-environment.lock.txt";
/// What it was made of, beside the marker.
const SPEC: &str = "cairn-environment.spec.json";

/// In the name of a folder that is being made.
const PARTIAL: &str = ".partial-";
/// In the name of a folder that is being removed.
const REMOVED: &str = ".removed-";

/// A folder that was being made so long ago was left behind by a crash.
const STALE_AFTER: Duration = Duration::from_hours(24);

/// The environments below one folder, and the tools that make them.
#[derive(Debug, Clone)]
pub struct Environments {
    root: PathBuf,
    tools: ToolFolders,
}

/// A complete environment.
#[derive(Debug, Clone)]
pub struct Environment {
    folder: PathBuf,
    marker: Marker,
}

/// What is known of an environment without looking into it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Marker {
    /// The name of its spec, for people.
    name: String,
    kind: EnvironmentKind,
    /// Of the spec: the end of the folder's name.
    digest: String,
    /// Of its lock: a spec of the lock finds it by this.
    lock_digest: String,
    /// Python's version, when it is known.
    python: Option<String>,
    /// One line for people.
    summary: String,
    packages: usize,
    made_ms: i64,
    /// Variables that activating it sets, conda's only.
    #[serde(default)]
    variables: Vec<(String, String)>,
}

impl Environments {
    /// Those of Cairn's data folder, made by the tools on PATH.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self::with_tools(ToolFolders::from_environment(data_dir))
    }

    /// Those below `tools.data_dir`, made by the tools on its search path.
    pub fn with_tools(tools: ToolFolders) -> Self {
        Self { root: tools.data_dir.join("environments"), tools }
    }

    /// The folder that holds them.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The complete environment of a spec, if it was made before. Reads a few small files; starts nothing.
    pub fn find(&self, spec: &EnvironmentSpec) -> Option<Environment> {
        let digest = spec.digest();
        let is_lock = matches!(spec.content, EnvironmentContent::Lock(_));
        let lock_digest = match &spec.content {
            EnvironmentContent::Lock(lock) => lock.digest(),
            _ => String::new(),
        };
        let mut names: Vec<String> = self.names();
        // An environment of the name wanted before others with the same content.
        names.sort_by_key(|name| *name != spec.folder_name());
        names
            .into_iter()
            .filter(|name| is_lock || name.ends_with(&digest))
            .filter_map(|name| self.get(&name))
            .find(|environment| {
                environment.marker.digest == digest
                    || is_lock && environment.marker.lock_digest == lock_digest
            })
    }

    /// The complete environment in a folder of that name.
    pub fn get(&self, folder_name: &str) -> Option<Environment> {
        let folder = self.folder(folder_name)?;
        read(&folder).filter(Environment::is_whole)
    }

    /// Why an environment that is not there yet could not be made, as far as that is known before: a program that
    /// Cairn does not install by itself is missing. Starts nothing.
    ///
    /// Errors: [`RuntimeError::CondaMissing`].
    pub fn check_tools(&self, spec: &EnvironmentSpec) -> Result<()> {
        if spec.needs_conda() && self.find(spec).is_none() {
            conda::Conda::find(&self.tools)?;
        }
        Ok(())
    }

    /// The environment for `spec`: the one made before, or a new one.
    ///
    /// A new one is built in a folder beside its place and moved there when complete, so what is
    /// found is always whole; of several that want the same one at a time, one builds and the others wait. The
    /// tools' lines come through `progress`. uv is looked for, or installed, only when something is to be made.
    ///
    /// Errors: [`RuntimeError::InvalidSpec`], [`RuntimeError::PythonVersionMissing`],
    /// [`RuntimeError::NetworkUnavailable`], [`RuntimeError::PackageBuildFailed`],
    /// [`RuntimeError::CondaMissing`], [`RuntimeError::ToolFailed`], [`RuntimeError::Io`],
    /// [`RuntimeError::Cancelled`], and those of [`crate::Uv::find_or_install`]; nothing of the
    /// attempt is left then.
    pub async fn ensure(
        &self,
        spec: &EnvironmentSpec,
        progress: Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Environment> {
        spec.check()?;
        if let Some(environment) = self.find(spec) {
            return Ok(environment);
        }
        self.prepare_root()?;
        let _lock = self.lock(&spec.digest(), progress, cancel).await?;
        // Somebody else may have made it while this one waited.
        if let Some(environment) = self.find(spec) {
            return Ok(environment);
        }
        let folder = self.root.join(spec.folder_name());
        progress(&format!(
            "Making the environment \"{}\" in {}: {}",
            spec.name,
            folder.display(),
            spec.summary()
        ));
        self.build(spec, &folder, progress, cancel).await
    }

    /// Builds beside `folder` and puts the result there, in the place of what may be there.
    async fn build(
        &self,
        spec: &EnvironmentSpec,
        folder: &Path,
        progress: Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Environment> {
        self.remove_stale();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let is_conda = spec.needs_conda();
        // Conda writes the place into its files, so it is made there; without the marker it counts for nothing.
        let partial = if is_conda {
            if folder.exists() {
                self.discard(folder)?;
            }
            folder.to_owned()
        } else {
            self.root.join(format!("{}{PARTIAL}{id}", spec.name))
        };
        let work = self.root.join(format!(".work-{id}"));
        let job =
            build::Build { tools: &self.tools, partial: &partial, work: &work, progress, cancel };
        let result = match job.run(spec).await {
            Ok(marker) if is_conda => Ok(marker),
            Ok(marker) => self.settle(&partial, folder).map(|()| marker),
            Err(error) => Err(error),
        };
        if result.is_err() {
            let _ = fs::remove_dir_all(&partial).await;
        }
        let _ = fs::remove_dir_all(&work).await;
        result.map(|marker| Environment { folder: folder.to_owned(), marker })
    }

    /// Moves a complete folder to its place; what was there is removed.
    fn settle(&self, partial: &Path, folder: &Path) -> Result<()> {
        if folder.exists() {
            self.discard(folder)?;
        }
        std::fs::rename(partial, folder).map_err(RuntimeError::io("renaming", partial))
    }

    /// Removes a folder so that it is never seen half removed.
    fn discard(&self, folder: &Path) -> Result<()> {
        let removed = self.root.join(format!("{REMOVED}{}", uuid::Uuid::new_v4().simple()));
        std::fs::rename(folder, &removed).map_err(RuntimeError::io("renaming", folder))?;
        std::fs::remove_dir_all(&removed).map_err(RuntimeError::io("removing", removed))
    }

    fn prepare_root(&self) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        for folder in [self.root.clone(), self.root.join(".locks"), self.root.join(".uses")] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(RuntimeError::io("creating", &folder))?;
        }
        Ok(())
    }

    /// The names of all folders that may be environments.
    fn names(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.root) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.') && !name.contains(PARTIAL))
            .collect();
        names.sort();
        names
    }

    /// The path of a folder, if its name can be one of an environment.
    fn folder(&self, name: &str) -> Option<PathBuf> {
        let is_plain = !name.is_empty()
            && !name.starts_with(['.', '-'])
            && !name.contains(PARTIAL)
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
        is_plain.then(|| self.root.join(name))
    }

    /// Waits until nobody else makes or removes the environment of that digest.
    async fn lock(
        &self,
        digest: &str,
        progress: Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<FileLock> {
        let mut is_told = false;
        loop {
            if let Some(lock) = self.try_lock(digest)? {
                return Ok(lock);
            }
            if !is_told {
                progress("Another run is making the same environment; waiting for it");
                is_told = true;
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(RuntimeError::Cancelled),
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    }

    /// `None` while somebody else holds it. Held until dropped; the system frees it when a process dies.
    fn try_lock(&self, digest: &str) -> Result<Option<FileLock>> {
        let path = self.root.join(".locks").join(digest);
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(RuntimeError::io("creating", &path))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(FileLock(file))),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(None),
            Err(error) => Err(RuntimeError::io("locking", path)(error.into())),
        }
    }

    /// Removes what a crash left behind; failing to is of no consequence.
    fn remove_stale(&self) {
        let Ok(entries) = std::fs::read_dir(&self.root) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let is_left_over =
                name.contains(PARTIAL) || name.starts_with(REMOVED) || name.starts_with(".work-");
            let modified = entry.metadata().ok().and_then(|data| data.modified().ok());
            let is_stale =
                modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > STALE_AFTER);
            if is_left_over && is_stale {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// A lock on a file; dropping it frees it.
#[derive(Debug)]
struct FileLock(#[expect(dead_code, reason = "held for its lock")] std::fs::File);

fn read(folder: &Path) -> Option<Environment> {
    let marker = std::fs::read(folder.join(MARKER)).ok()?;
    let marker = serde_json::from_slice(&marker).ok()?;
    Some(Environment { folder: folder.to_owned(), marker })
}

impl Environment {
    /// Whether it can be used: not when the Python that it was made with has been removed.
    fn is_whole(&self) -> bool {
        // A link that leads nowhere does not exist; conda's Python is a file of its own, if there is one.
        self.folder.join("conda-meta").is_dir() || self.python().exists()
    }

    /// Its Python.
    pub fn python(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name of its folder, which stands for it everywhere: in tags, lists and commands.
    pub fn name(&self) -> &str {
        self.folder.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Its kind.
    pub fn kind(&self) -> EnvironmentKind {
        self.marker.kind
    }

    /// Python's version, such as `3.11.7`.
    pub fn python_version(&self) -> Option<&str> {
        self.marker.python.as_deref()
    }

    /// Exactly what is in it.
    ///
    /// Errors: [`RuntimeError::Io`] when its lock is gone, [`RuntimeError::InvalidSpec`] when it was changed.
    pub fn lock(&self) -> Result<EnvironmentLock> {
        let path = self.folder.join(LOCK);
        let text = std::fs::read_to_string(&path).map_err(RuntimeError::io("reading", path))?;
        EnvironmentLock::parse(&text)
    }

    /// The variables of a program that runs with this environment active: `PATH` begins with its programs.
    pub fn variables(&self) -> Vec<(String, OsString)> {
        let mut search = vec![self.folder.join("bin")];
        search.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let mut variables = Vec::new();
        // Joining fails only when an entry contains the separator; then the environment's own
        // programs are still reached by their paths.
        if let Ok(path) = std::env::join_paths(search) {
            variables.push(("PATH".to_owned(), path));
        }
        let folder = self.folder.clone().into_os_string();
        if self.folder.join("conda-meta").is_dir() {
            variables.push(("CONDA_PREFIX".to_owned(), folder.clone()));
            variables.push(("CONDA_DEFAULT_ENV".to_owned(), folder));
        } else {
            variables.push(("VIRTUAL_ENV".to_owned(), folder));
        }
        let set = self.marker.variables.iter().map(|(key, value)| (key.clone(), value.into()));
        variables.extend(set);
        variables
    }

    /// Variables of Cairn's own surroundings that such a program must not see.
    pub fn variables_removed() -> &'static [&'static str] {
        &crate::uv::PYTHON_VARIABLES
    }

    /// A program to run with this environment active.
    pub fn process(&self, program: impl Into<OsString>, folder: impl Into<PathBuf>) -> ProcessSpec {
        let spec = clean_python(ProcessSpec::new(program, folder));
        self.variables().into_iter().fold(spec, |spec, (key, value)| spec.env(key, value))
    }
}
