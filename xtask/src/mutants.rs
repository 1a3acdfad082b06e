//! `cargo xtask mutants`: small faults are put into the code that keeps others out, and a test must
//! find each.
//!
//! It takes long, since every fault is compiled. The result of each area is written below the cache
//! folder; a fault that no test finds is named and is a failure.

use std::fs;

use anyhow::{Result, bail};

use crate::exec;
use crate::steps::{Outcome, Steps};
use crate::workspace::Workspace;

/// Files that belong together, and the tests that must find what is wrong with them.
struct Area {
    name: &'static str,
    package: &'static str,
    files: &'static [&'static str],
    /// What follows `cargo test`.
    tests: &'static [&'static str],
}

const AREAS: &[Area] = &[
    Area {
        name: "paths",
        package: "cairn-core",
        files: &["crates/cairn-core/src/artifact_path.rs"],
        tests: &["--lib"],
    },
    Area {
        name: "sources",
        package: "cairn-store",
        files: &["crates/cairn-store/src/registry/source.rs"],
        tests: &["--lib", "--test", "registry", "--", "source"],
    },
    Area {
        name: "files",
        package: "cairn-store",
        files: &["crates/cairn-store/src/artifacts.rs"],
        tests: &["--lib", "--test", "store", "--", "artifacts"],
    },
    Area {
        name: "guard",
        package: "cairn-server",
        files: &["crates/cairn-server/src/guard.rs", "crates/cairn-server/src/access.rs"],
        tests: &["--lib", "--test", "rest", "--", "guard", "access", "token", "pages"],
    },
];

/// Of the faults that compile, so many in a hundred must be found.
const WANTED_PERCENT: usize = 95;
/// A fault that makes a test wait for ever is found after so many seconds.
const LIMIT_SECS: &str = "120";

/// Runs `cargo xtask mutants [AREA …]`.
pub fn command(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let names: Vec<&str> = AREAS.iter().map(|area| area.name).collect();
    crate::only_switches(arguments, &names)?;
    let mut steps = Steps::begin();
    steps.need("cargo-mutants", || install(workspace))?;
    let is_asked =
        |area: &&Area| arguments.is_empty() || arguments.iter().any(|name| name == area.name);
    for area in AREAS.iter().filter(is_asked) {
        steps.attempt(area.name, || run(workspace, area));
    }
    steps.end()
}

fn install(workspace: &Workspace) -> Result<Outcome> {
    let path = workspace.tools().join("bin/cargo-mutants");
    if path.is_file() {
        return Ok(Outcome::Skipped(format!("found {}", path.display())));
    }
    exec::run(
        workspace
            .cargo()
            .args(["install", "cargo-mutants", "--version", "^27", "--locked", "--root"])
            .arg(workspace.tools()),
    )?;
    Ok(Outcome::Done)
}

fn run(workspace: &Workspace, area: &Area) -> Result<Outcome> {
    let output = workspace.cache.join("mutants").join(area.name);
    fs::create_dir_all(&output)?;
    let mut cargo = exec::program(workspace.tools().join("bin/cargo-mutants"), &workspace.root);
    cargo.args(["mutants", "--no-shuffle", "--jobs", "1", "--timeout", LIMIT_SECS]);
    cargo.args(["--package", area.package, "--output"]).arg(&output);
    for file in area.files {
        cargo.args(["--file", file]);
    }
    cargo.arg("--").args(area.tests);
    // It exits with 2 when faults were missed, which the files it wrote say better.
    println!("  one fault after another in {}", area.files.join(" and "));
    let _ = exec::succeeds(&mut cargo);
    let lines = |name: &str| -> Vec<String> {
        let path = output.join("mutants.out").join(name);
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let (caught, missed) = (lines("caught.txt"), lines("missed.txt"));
    let found = caught.len() + lines("timeout.txt").len();
    let viable = found + missed.len();
    if viable == 0 {
        bail!("no fault was tried; see {}", output.join("mutants.out/log").display());
    }
    println!("  {found} of {viable} were found");
    for line in &missed {
        println!("  not found: {line}");
    }
    if found * 100 < viable * WANTED_PERCENT {
        bail!("{found} of {viable} were found, {WANTED_PERCENT} in a hundred are wanted");
    }
    Ok(Outcome::Done)
}
