//! Which Pythons are on this computer.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use pep508_rs::pep440_rs::{Version, VersionSpecifiers};

use super::problem::shortened;
use crate::error::{Result, RuntimeError};
use crate::process::{Process, ProcessSpec};
use crate::uv::{Uv, clean_python};
use crate::{CancellationToken, Progress, programs, tool};

/// A Python on this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonInterpreter {
    /// Such as `3.11.7`.
    pub version: String,
    /// The program.
    pub program: PathBuf,
    /// Who installed it, for people: `pyenv`, `uv`.
    pub installed_by: &'static str,
}

/// Reads which Python is wanted: a version (`3.11`, `3.11.7`) or bounds (`>=3.10,<3.13`).
pub(super) fn request(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_version = text.split('.').count() <= 3
        && text.split('.').all(|part| {
            !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit())
        });
    if is_version || (!text.is_empty() && VersionSpecifiers::from_str(text).is_ok()) {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{}\" is not a version of Python", shortened(text)))
    }
}

/// The Pythons that pyenv and uv installed, newest first.
///
/// Looked up by their folders, started by nobody: pyenv shows only one of its own on PATH.
pub fn installed_pythons() -> Vec<PythonInterpreter> {
    let mut folders = Vec::new();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let pyenv = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(home.as_ref()?.join(".pyenv")));
    folders.extend(pyenv.map(|root| (root.join("versions"), "pyenv")));
    let uv = std::env::var_os("UV_PYTHON_INSTALL_DIR").map(PathBuf::from).or_else(|| {
        let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
        Some(data.or_else(|| Some(home.as_ref()?.join(".local/share")))?.join("uv/python"))
    });
    folders.extend(uv.map(|root| (root, "uv")));
    let mut found: Vec<PythonInterpreter> =
        folders.iter().flat_map(|(folder, installed_by)| in_folder(folder, installed_by)).collect();
    found.sort_by_key(|python| std::cmp::Reverse(version_key(&python.version)));
    found
}

/// `versions/3.11.7` of pyenv, `cpython-3.11.7-linux-x86_64-gnu` of uv.
fn in_folder(folder: &Path, installed_by: &'static str) -> Vec<PythonInterpreter> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str()?;
            let version = match name.strip_prefix("cpython-") {
                Some(rest) => rest.split('-').next()?,
                None => name,
            };
            // Not the links for a minor version, nor builds without the lock.
            let parts: Vec<&str> = version.split('.').collect();
            if parts.len() != 3 || parts.iter().any(|part| part.parse::<u32>().is_err()) {
                return None;
            }
            let program = entry.path().join("bin/python");
            let numbered = entry.path().join(format!("bin/python{}.{}", parts[0], parts[1]));
            let program = [program, numbered].into_iter().find(|p| programs::is_executable(p))?;
            Some(PythonInterpreter { version: version.to_owned(), program, installed_by })
        })
        .collect()
}

fn version_key(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// Whether a version is one that is wanted.
fn matches(request: &str, version: &str) -> bool {
    if request.starts_with(|c: char| c.is_ascii_digit()) {
        let wanted: Vec<&str> = request.split('.').collect();
        let has: Vec<&str> = version.split('.').collect();
        return wanted.len() <= has.len() && wanted.iter().zip(&has).all(|(a, b)| a == b);
    }
    match (VersionSpecifiers::from_str(request), Version::from_str(version)) {
        (Ok(bounds), Ok(version)) => bounds.contains(&version),
        _ => false,
    }
}

/// The Python to make an environment with.
///
/// A version is looked for among the installed ones; bounds, and what is not there, are asked of uv without
/// downloads. Only then is one downloaded, and that is said first. Variables that keep uv from downloading
/// (`UV_OFFLINE`, `UV_PYTHON_DOWNLOADS=never`) are heeded.
///
/// Errors: [`RuntimeError::PythonVersionMissing`] names the ones that are there.
pub(super) async fn find_or_download(
    uv: &Uv,
    request: Option<&str>,
    folder: &Path,
    progress: Progress<'_>,
    cancel: &CancellationToken,
) -> Result<PathBuf> {
    if let Some(request) = request.filter(|r| r.starts_with(|c: char| c.is_ascii_digit()))
        && let Some(found) =
            installed_pythons().into_iter().find(|python| matches(request, &python.version))
    {
        return Ok(found.program);
    }
    let (program, mut detail) = ask(uv, request, folder, cancel).await?;
    if let Some(program) = program {
        return Ok(program);
    }
    if let Some(request) = request
        && let Some(found) =
            installed_pythons().into_iter().find(|python| matches(request, &python.version))
    {
        return Ok(found.program);
    }
    let is_forbidden = std::env::var_os("UV_OFFLINE").is_some()
        || std::env::var_os("UV_PYTHON_DOWNLOADS").is_some_and(|value| value == "never");
    if !is_forbidden {
        let named = request.map_or_else(String::new, |request| format!(" {request}"));
        progress(&format!(
            "Python{named} is not on this computer; uv downloads it (about 30 MB) into its own folder"
        ));
        let mut install = clean_python(ProcessSpec::new(uv.program(), folder))
            .env("NO_COLOR", "1")
            .args(["python", "install", "--no-progress"]);
        if let Some(request) = request {
            install = install.arg(request);
        }
        match tool::run("Downloading Python", &install, progress, cancel).await {
            Ok(()) => {
                let (program, answer) = ask(uv, request, folder, cancel).await?;
                if let Some(program) = program {
                    return Ok(program);
                }
                detail = answer;
            }
            Err(RuntimeError::Cancelled) => return Err(RuntimeError::Cancelled),
            Err(error) => detail = error.detail().unwrap_or_default(),
        }
    }
    Err(missing(request, detail))
}

fn missing(request: Option<&str>, detail: String) -> RuntimeError {
    let found: Vec<String> = installed_pythons().into_iter().map(|python| python.version).collect();
    let there = if found.is_empty() {
        "neither pyenv nor uv has installed one".to_owned()
    } else {
        format!("there are {}", found.join(", "))
    };
    let wanted = request.map_or_else(|| "Python".to_owned(), |request| format!("Python {request}"));
    RuntimeError::PythonVersionMissing { wanted, there, detail }
}

/// Asks uv, without downloads.
async fn ask(
    uv: &Uv,
    request: Option<&str>,
    folder: &Path,
    cancel: &CancellationToken,
) -> Result<(Option<PathBuf>, String)> {
    let mut find = clean_python(ProcessSpec::new(uv.program(), folder))
        .env("NO_COLOR", "1")
        .args(["python", "find", "--no-project", "--system", "--no-python-downloads"]);
    if let Some(request) = request {
        find = find.arg(request);
    }
    let (exit, output) = Process::spawn(&find, cancel)?.run_to_end(40, |_| ()).await;
    if exit.was_cancelled {
        return Err(RuntimeError::Cancelled);
    }
    let program =
        output.lines().map(|line| PathBuf::from(line.trim())).find(|path| path.is_absolute());
    Ok((program.filter(|_| exit.is_success()), output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_bounds_are_told_from_other_texts() {
        for good in ["3", "3.11", "3.11.7", ">=3.10", ">=3.10,<3.15", "==3.11.*", "~=3.11"] {
            assert_eq!(request(good).as_deref(), Ok(good));
        }
        for bad in ["", "--help", "three", "3.", "3.11.7.1", "/bin/sh", "3.11;id", "$(id)"] {
            assert!(request(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_match_their_requests() {
        assert!(matches("3.11", "3.11.7"));
        assert!(!matches("3.1", "3.11.7"));
        assert!(!matches("3.11.8", "3.11.7"));
        assert!(matches(">=3.10,<3.12", "3.11.7"));
        assert!(!matches(">=3.12", "3.11.7"));
    }

    #[test]
    fn folders_of_pyenv_and_uv_are_read_by_their_names() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [
            "3.11.7",
            "3.9.1",
            "cpython-3.12.1-linux-x86_64-gnu",
            "3.13",
            "pypy3.10",
            "cpython-3.14.0+freethreaded-linux",
        ] {
            let bin = folder.path().join(name).join("bin");
            std::fs::create_dir_all(&bin).expect("it can be made");
            std::os::unix::fs::symlink("/bin/sh", bin.join("python")).expect("it can be linked");
        }
        let mut versions: Vec<String> =
            in_folder(folder.path(), "pyenv").into_iter().map(|python| python.version).collect();
        versions.sort();
        assert_eq!(versions, ["3.11.7", "3.12.1", "3.9.1"]);
    }
}
