//! Where things are: the checkout, cargo's target folder, the cache of tools and environments.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::exec;

/// The folders that every command works in. All paths are absolute.
pub struct Workspace {
    /// The checkout: the folder of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// Tools, Python environments and test data, shared by all checkouts and kept between runs:
    /// `$CAIRN_CACHE`, else `$XDG_CACHE_HOME/cairn-dev`, else `~/.cache/cairn-dev`.
    pub cache: PathBuf,
    /// Where cargo puts what it builds, as cargo itself answers.
    pub target: PathBuf,
}

impl Workspace {
    /// Finds the checkout from the folder cargo started this program for, or from the current one.
    pub fn find() -> Result<Self> {
        let start = match env::var_os("CARGO_MANIFEST_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => env::current_dir().context("the current folder cannot be read")?,
        };
        let root = start
            .ancestors()
            .find(|folder| folder.join("xtask/Cargo.toml").is_file())
            .with_context(|| format!("{} is not inside a checkout of Cairn", start.display()))?
            .to_path_buf();
        let cache = cache_folder(&|name| env::var_os(name).map(PathBuf::from))?;
        let target = target_folder(&root)?;
        Ok(Self { root, cache, target })
    }

    /// The folder of the interface.
    pub fn ui(&self) -> PathBuf {
        self.root.join("ui")
    }

    /// Where tools that apt does not have are installed; their programs lie in `bin`.
    pub fn tools(&self) -> PathBuf {
        self.cache.join("tools")
    }

    /// A program that cargo builds here, in the `debug` or `release` folder.
    pub fn built(&self, profile: &str, program: &str) -> PathBuf {
        self.target.join(profile).join(format!("{program}{}", env::consts::EXE_SUFFIX))
    }

    /// Cargo, started in the checkout.
    pub fn cargo(&self) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        exec::program(cargo, &self.root)
    }
}

/// Picks the cache folder; `variable` looks up an environment variable.
fn cache_folder(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    let set = |name| variable(name).filter(|path| path.is_absolute());
    if let Some(cache) = set("CAIRN_CACHE") {
        return Ok(cache);
    }
    if variable("CAIRN_CACHE").is_some_and(|path| !path.as_os_str().is_empty()) {
        bail!("CAIRN_CACHE must be an absolute path");
    }
    if let Some(cache) = set("XDG_CACHE_HOME") {
        return Ok(cache.join("cairn-dev"));
    }
    let home = set("HOME").context("neither CAIRN_CACHE nor HOME names a folder for the cache")?;
    Ok(home.join(".cache/cairn-dev"))
}

fn target_folder(root: &Path) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = exec::program(cargo, root);
    metadata.args(["metadata", "--no-deps", "--format-version", "1", "--quiet"]);
    let text = exec::capture(&mut metadata)?;
    let metadata: Metadata =
        serde_json::from_str(&text).context("cargo metadata is not readable")?;
    Ok(metadata.target_directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], expected: Option<&str>) {
        let lookup = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        };
        let found = cache_folder(&lookup).ok();
        assert_eq!(found, expected.map(PathBuf::from), "{variables:?}");
    }

    #[test]
    fn cache_folder_follows_the_most_specific_variable() {
        check(&[("HOME", "/h")], Some("/h/.cache/cairn-dev"));
        check(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")], Some("/x/cairn-dev"));
        check(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("CAIRN_CACHE", "/c")], Some("/c"));
    }

    #[test]
    fn relative_or_missing_cache_folders_are_refused() {
        check(&[("HOME", "/h"), ("CAIRN_CACHE", "c")], None);
        check(&[("HOME", "/h"), ("XDG_CACHE_HOME", "x")], Some("/h/.cache/cairn-dev"));
        check(&[], None);
    }
}
