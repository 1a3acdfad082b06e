//! The JavaScript half of Tauri must be of the same minor version as the Rust half.

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::steps::Outcome;
use crate::workspace::Workspace;

/// Compares `Cargo.lock` with `ui/package-lock.json`.
pub fn check(workspace: &Workspace) -> Result<Outcome> {
    let read = |name: &str| {
        fs::read_to_string(workspace.root.join(name))
            .with_context(|| format!("{name} cannot be read"))
    };
    let rust = in_cargo_lock(&read("Cargo.lock")?, "tauri").context("Cargo.lock has no tauri")?;
    let npm = in_npm_lock(&read("ui/package-lock.json")?, "@tauri-apps/api")
        .context("ui/package-lock.json has no @tauri-apps/api")?;
    if major_minor(&rust) != major_minor(&npm) {
        bail!(
            "tauri is {rust} in Cargo.lock, but @tauri-apps/api is {npm} in ui/package-lock.json"
        );
    }
    Ok(Outcome::Done)
}

fn in_cargo_lock(text: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = text.lines().skip_while(|line| *line != name);
    let version = lines.nth(1)?.strip_prefix("version = \"")?;
    Some(version.trim_end_matches('"').to_owned())
}

fn in_npm_lock(text: &str, package: &str) -> Option<String> {
    let lock: Value = serde_json::from_str(text).ok()?;
    let entry = lock.get("packages")?.get(format!("node_modules/{package}"))?;
    Some(entry.get("version")?.as_str()?.to_owned())
}

fn major_minor(version: &str) -> Option<(&str, &str)> {
    let mut parts = version.split('.');
    Some((parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_both_lock_files() {
        let cargo = "[[package]]\nname = \"tauri\"\nversion = \"2.12.5\"\n";
        assert_eq!(in_cargo_lock(cargo, "tauri").as_deref(), Some("2.12.5"));
        assert_eq!(in_cargo_lock(cargo, "taur"), None);
        let npm = r#"{"packages": {"node_modules/@tauri-apps/api": {"version": "2.12.0"}}}"#;
        assert_eq!(in_npm_lock(npm, "@tauri-apps/api").as_deref(), Some("2.12.0"));
    }

    #[test]
    fn only_major_and_minor_count() {
        assert_eq!(major_minor("2.12.5"), major_minor("2.12.0"));
        assert_ne!(major_minor("2.12.5"), major_minor("2.11.5"));
    }
}
