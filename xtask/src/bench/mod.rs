//! `cargo xtask bench`: what Cairn promises to reach, measured on this machine, with a verdict each.
//!
//! * `tracking`: writes, searches, histories, artifacts and starts against stock `mlflow server` and
//!   against what SQLite and the disk allow. It has parts and switches of its own, so it is asked for
//!   alone: `cargo xtask bench tracking --help` names them.
//! * `table`: the first page of the run table of a very large store, in Rust.
//! * `charts`: charts of 20 runs of a million points, in Rust: after a restart, zoomed, smoothed, grouped.
//! * `import`: an mlruns folder of 10,000 runs into a store, beside plain SQL and MLflow's migration.
//! * `projects`: from asking for a run to its first line, building environments, launches; beside `mlflow
//!   run`, uv and bare processes.
//! * `start`: from process start to a filled run table in the window, and the memory of its process.

mod charts;
mod import;
mod projects;
mod report;
mod start;
mod table;
mod tracking;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::exec;
use crate::run;
use crate::setup::{self, Purpose};
use crate::steps::{Outcome, Steps};
use crate::test;
use crate::ui;
use crate::workspace::Workspace;

use report::Report;

const PARTS: [&str; 6] = ["tracking", "table", "charts", "import", "projects", "start"];

/// Runs `cargo xtask bench [PART …] [--write]`; without a part, all of them. `--write` keeps what was
/// measured in `docs/benchmarks/PART.md`. What stands after `tracking` is for that part.
pub fn command(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let (arguments, for_tracking) = match arguments.split_first() {
        Some((first, rest)) if first == "tracking" => (&arguments[..1], rest),
        _ => (arguments, &[] as &[String]),
    };
    let (switches, arguments): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| *argument == "--write");
    if let Some(unknown) = arguments.iter().find(|part| !PARTS.contains(&part.as_str())) {
        bail!("`{unknown}` is not measured; there are: {}", PARTS.join(" "));
    }
    let wants = |part: &str| arguments.is_empty() || arguments.iter().any(|given| *given == part);

    let mut steps = Steps::begin();
    let mut python = PathBuf::new();
    setup::steps_for(workspace, Purpose::Tests, &mut steps)?;
    steps.need("interface build", || ui::build(workspace))?;
    if wants("tracking") || wants("projects") {
        steps.need("cairn, release build", || run::release(workspace, run::CLI))?;
    }
    if wants("tracking") || wants("import") || wants("projects") {
        steps.need("stock MLflow", || {
            let requirements = workspace.root.join("xtask/bench-requirements.txt");
            python = test::python_environment(workspace, "bench", &requirements)?;
            Ok(Outcome::Done)
        })?;
    }
    if wants("start") {
        steps.need("window, release build", || run::release(workspace, run::DESKTOP))?;
    }

    // On the disk that cargo builds on, never in memory: a commit must cost what a commit costs.
    let scratch_parent = workspace.target.join("bench");
    fs::create_dir_all(&scratch_parent)?;
    let scratch = tempfile::tempdir_in(&scratch_parent).context("no scratch folder can be made")?;
    let mut report = Report::default();
    if wants("tracking") {
        steps.attempt("measure: tracking", || {
            tracking::measure(workspace, &python, for_tracking).map(|()| Outcome::Done)
        });
    }
    if wants("table") {
        steps.attempt("measure: table", || {
            measured("table", &mut report, |report| {
                table::measure(workspace, scratch.path(), report)
            })
        });
    }
    if wants("charts") {
        steps.attempt("measure: charts", || {
            measured("charts", &mut report, |report| {
                charts::measure(workspace, scratch.path(), report)
            })
        });
    }
    if wants("import") {
        steps.attempt("measure: import", || {
            measured("import", &mut report, |report| {
                import::measure(workspace, &python, scratch.path(), report)
            })
        });
    }
    if wants("projects") {
        steps.attempt("measure: projects", || {
            measured("projects", &mut report, |report| {
                projects::measure(workspace, &python, scratch.path(), report)
            })
        });
    }
    if wants("start") {
        steps.attempt("measure: start", || {
            measured("start", &mut report, |report| {
                start::measure(workspace, scratch.path(), report)
            })
        });
    }
    let ended = steps.end();
    if arguments.is_empty() || arguments.iter().any(|part| *part != "tracking") {
        if !switches.is_empty() {
            report.write(&workspace.root.join("docs/benchmarks"), &today()?)?;
        }
        report.end()?;
    }
    ended
}

/// Takes a measurement; one that breaks off is in the report as failed.
fn measured(
    what: &str,
    report: &mut Report,
    measure: impl FnOnce(&mut Report) -> Result<()>,
) -> Result<Outcome> {
    report.begin(what);
    match measure(report) {
        Ok(()) => Ok(Outcome::Done),
        Err(error) => {
            report.failed(what, &error);
            Err(error)
        }
    }
}

/// The day, in this computer's time zone: `2026-01-31`.
fn today() -> Result<String> {
    let day = exec::capture(Command::new("date").arg("+%F"))?;
    Ok(day.trim().to_owned())
}
