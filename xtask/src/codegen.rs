//! `cargo xtask codegen`: the TypeScript types of the command list, made from Rust.
//!
//! The export tests of `cairn-app` write into a throw-away folder. That folder is then compared
//! with the committed one, or copied over it; types that no longer exist disappear.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::exec;
use crate::steps::{Outcome, Steps};
use crate::workspace::Workspace;

/// The committed folder, below the checkout.
const BINDINGS: &str = "ui/src/lib/rpc/bindings";

/// Which packages cargo looks at. It decides the features of shared dependencies, so a caller that
/// has built the whole workspace asks for the same and compiles nothing anew.
#[derive(Clone, Copy)]
pub enum Scope {
    /// `cairn-app` alone: needs no webview.
    App,
    /// The whole workspace with the features of the window.
    Workspace,
}

/// Runs `cargo xtask codegen [--check]`.
pub fn command(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    crate::only_switches(arguments, &["--check"])?;
    let mut steps = Steps::begin();
    if arguments.is_empty() {
        steps.attempt("generated types", || write(workspace));
    } else {
        steps.attempt("generated types", || check(workspace, Scope::App));
    }
    steps.end()
}

/// An error that names the stale files, if any.
pub fn check(workspace: &Workspace, scope: Scope) -> Result<Outcome> {
    let fresh = generate(workspace, scope)?;
    let committed = read_folder(&workspace.root.join(BINDINGS))?;
    let stale = differences(&committed, &fresh);
    if !stale.is_empty() {
        bail!("{BINDINGS} is stale; run `cargo xtask codegen`\n    {}", stale.join("\n    "));
    }
    Ok(Outcome::Done)
}

fn write(workspace: &Workspace) -> Result<Outcome> {
    let fresh = generate(workspace, Scope::App)?;
    let folder = workspace.root.join(BINDINGS);
    fs::create_dir_all(&folder)?;
    let committed = read_folder(&folder)?;
    let changes = differences(&committed, &fresh);
    for change in &changes {
        println!("  {change}");
    }
    for name in committed.keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(folder.join(name))?;
    }
    for (name, content) in &fresh {
        if committed.get(name) != Some(content) {
            fs::write(folder.join(name), content)?;
        }
    }
    Ok(if changes.is_empty() {
        Outcome::Skipped("nothing changed".to_owned())
    } else {
        Outcome::Done
    })
}

/// File name to content of what Rust says today.
fn generate(workspace: &Workspace, scope: Scope) -> Result<BTreeMap<String, Vec<u8>>> {
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let mut cargo = workspace.cargo();
    cargo.arg("test");
    match scope {
        Scope::App => cargo.args(["--package", "cairn-app"]),
        Scope::Workspace => cargo.args(crate::test::WHOLE_WORKSPACE),
    };
    // Every export test, and only those, has the word in its name (ts-rs names its own so).
    cargo.args(["--lib", "--quiet", "export"]);
    cargo.env("TS_RS_EXPORT_DIR", folder.path()).stdout(Stdio::null());
    exec::run(&mut cargo)?;
    let files = read_folder(folder.path())?;
    if files.is_empty() {
        bail!("the export tests of cairn-app wrote nothing");
    }
    Ok(files)
}

fn read_folder(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?);
        }
    }
    Ok(files)
}

/// One line for each file that is missing, left over or different.
fn differences(
    committed: &BTreeMap<String, Vec<u8>>,
    fresh: &BTreeMap<String, Vec<u8>>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, content) in fresh {
        match committed.get(name) {
            None => lines.push(format!("{name} is missing")),
            Some(old) if old != content => lines.push(format!("{name} has changed")),
            Some(_) => {}
        }
    }
    let left_over = committed.keys().filter(|name| !fresh.contains_key(*name));
    lines.extend(left_over.map(|name| format!("{name} has no type in Rust any more")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn missing_changed_and_left_over_files_are_named() {
        let committed = folder(&[("Kept.ts", "1"), ("Old.ts", "1"), ("Changed.ts", "1")]);
        let fresh = folder(&[("Kept.ts", "1"), ("New.ts", "1"), ("Changed.ts", "2")]);
        assert_eq!(
            differences(&committed, &fresh),
            ["Changed.ts has changed", "New.ts is missing", "Old.ts has no type in Rust any more",]
        );
        assert!(differences(&fresh, &fresh).is_empty());
    }
}
