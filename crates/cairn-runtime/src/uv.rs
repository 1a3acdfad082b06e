//! The tool that makes Python environments: the user's own uv, or one that Cairn installs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tokio::fs;

use crate::error::{Result, RuntimeError};
use crate::process::{Process, ProcessSpec};
use crate::{CancellationToken, Progress, programs, tool};

/// The release of uv that Cairn installs when there is none.
const UV_REQUIREMENT: &str = "uv>=0.13.9,<0.14";

/// Where tools are looked for, and where Cairn puts its own.
#[derive(Debug, Clone)]
pub struct ToolFolders {
    /// Searched in order, in the form of the PATH variable.
    pub search_path: OsString,
    /// Cairn's data folder; tools go into `tools/` in it.
    pub data_dir: PathBuf,
}

impl ToolFolders {
    /// Searches the PATH of this process.
    pub fn from_environment(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            search_path: std::env::var_os("PATH").unwrap_or_default(),
            data_dir: data_dir.into(),
        }
    }
}

/// A working uv.
#[derive(Debug, Clone)]
pub struct Uv {
    program: PathBuf,
    version: String,
}

impl Uv {
    /// The uv on the search path, else the one that Cairn installed before, else a new one.
    ///
    /// Installing says so through `progress`, uses the system's Python, takes about ten seconds and
    /// 40 MB below `data_dir`, and changes nothing elsewhere. A uv that does not start is passed over.
    ///
    /// Errors: [`RuntimeError::PythonMissing`], [`RuntimeError::VenvModuleMissing`],
    /// [`RuntimeError::NetworkUnavailable`], [`RuntimeError::ToolFailed`], [`RuntimeError::Io`],
    /// [`RuntimeError::Cancelled`].
    pub async fn find_or_install(
        folders: &ToolFolders,
        progress: Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        if let Some(program) = programs::find("uv", &folders.search_path)
            && let Some(uv) = Self::probe(program, cancel).await?
        {
            return Ok(uv);
        }
        let tools = folders.data_dir.join("tools");
        let own = tools.join("uv");
        let own_program = own.join("bin/uv");
        if programs::is_executable(&own_program)
            && let Some(uv) = Self::probe(own_program.clone(), cancel).await?
        {
            return Ok(uv);
        }
        install(folders, &tools, &own, progress, cancel).await?;
        match Self::probe(own_program.clone(), cancel).await? {
            Some(uv) => Ok(uv),
            None => Err(RuntimeError::ToolFailed {
                what: format!("Starting {}", own_program.display()),
                exit: "no version".to_owned(),
                detail: String::new(),
            }),
        }
    }

    /// Where it is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its version, such as `0.13.9`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Asks a program for its version; `None` when it does not answer like uv.
    async fn probe(program: PathBuf, cancel: &CancellationToken) -> Result<Option<Self>> {
        let spec = ProcessSpec::new(&program, "/").arg("--version");
        let (exit, output) = match Process::spawn(&spec, cancel) {
            Ok(process) => process.run_to_end(1, |_| ()).await,
            Err(RuntimeError::Cancelled) => return Err(RuntimeError::Cancelled),
            Err(_) => return Ok(None),
        };
        if exit.was_cancelled {
            return Err(RuntimeError::Cancelled);
        }
        let version = output.strip_prefix("uv ").and_then(|rest| rest.split_whitespace().next());
        Ok(version
            .filter(|_| exit.is_success())
            .map(|version| Self { version: version.to_owned(), program }))
    }
}

async fn install(
    folders: &ToolFolders,
    tools: &Path,
    own: &Path,
    progress: Progress<'_>,
    cancel: &CancellationToken,
) -> Result<()> {
    let python =
        programs::find("python3", &folders.search_path).ok_or(RuntimeError::PythonMissing)?;
    progress(&format!(
        "uv, which makes Python environments, is not installed; installing it from PyPI into {}",
        own.display()
    ));
    fs::create_dir_all(tools).await.map_err(RuntimeError::io("creating", tools))?;
    let partial = tools.join(format!("uv.partial-{}", uuid::Uuid::new_v4().simple()));
    let result = install_into(&python, &partial, progress, cancel).await;
    let result = match result {
        Ok(()) => replace(&partial, own).await,
        Err(error) => Err(error),
    };
    // Either moved away, or of no use.
    let _ = fs::remove_dir_all(&partial).await;
    result
}

async fn install_into(
    python: &Path,
    folder: &Path,
    progress: Progress<'_>,
    cancel: &CancellationToken,
) -> Result<()> {
    let make = clean_python(ProcessSpec::new(python, "/")).args(["-m", "venv"]).arg(folder);
    match tool::run("Preparing a folder for uv", &make, progress, cancel).await {
        Err(RuntimeError::ToolFailed { detail, .. }) => {
            return Err(RuntimeError::VenvModuleMissing { python: python.to_owned(), detail });
        }
        other => other?,
    }
    let install = clean_python(ProcessSpec::new(folder.join("bin/python"), "/"))
        .args([
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "--progress-bar",
            "off",
        ])
        .arg(UV_REQUIREMENT);
    tool::run("Installing uv", &install, progress, cancel).await
}

/// Puts a finished folder in the place of a broken one or of nothing.
async fn replace(partial: &Path, own: &Path) -> Result<()> {
    if fs::try_exists(own).await.unwrap_or(false) {
        fs::remove_dir_all(own).await.map_err(RuntimeError::io("removing", own))?;
    }
    // The program in it is a plain executable, so the folder can be moved.
    fs::rename(partial, own).await.map_err(RuntimeError::io("renaming", partial))
}

/// Settings of an activated environment.
pub(crate) const PYTHON_VARIABLES: [&str; 6] = [
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "__PYVENV_LAUNCHER__",
];

/// Keeps settings of an activated environment from a Python that has nothing to do with it.
pub(crate) fn clean_python(spec: ProcessSpec) -> ProcessSpec {
    PYTHON_VARIABLES.into_iter().fold(spec, ProcessSpec::env_remove)
}
