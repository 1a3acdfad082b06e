//! `cargo xtask bench`: what Cairn promises to reach, measured on this machine, with a verdict each.
//!
//! * `server`: requests a second against stock `mlflow server`, in turns on the same machine, so
//!   that whatever else the machine does meets both.
//! * `table`: the first page of the run table of a very large store, in Rust.
//! * `start`: from process start to a filled run table in the window, and the memory of its process.

mod http;
mod load;
mod report;
mod servers;
mod start;
mod table;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::run;
use crate::setup::{self, Purpose};
use crate::steps::{Outcome, Steps};
use crate::test;
use crate::ui;
use crate::workspace::Workspace;

use load::{Measured, Series, Workload};
use report::{Good, Report, number};
use servers::Server;

const PARTS: [&str; 3] = ["server", "table", "start"];

/// How many times stock MLflow's rate Cairn must reach.
const TARGET_RATIO: f64 = 10.0;
/// Concurrent connections of the two measurements.
const CONNECTIONS: [usize; 2] = [8, 1];
/// Each server gets this many slices of each workload, in turns.
const SLICES: usize = 3;
const SLICE: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(700);

/// Runs `cargo xtask bench [PART …]`; without a part, all of them.
pub fn command(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    if let Some(unknown) = arguments.iter().find(|part| !PARTS.contains(&part.as_str())) {
        bail!("`{unknown}` is not measured; there are: {}", PARTS.join(" "));
    }
    let wants = |part: &str| arguments.is_empty() || arguments.iter().any(|given| given == part);

    let mut steps = Steps::begin();
    let mut python = PathBuf::new();
    setup::steps_for(workspace, Purpose::Tests, &mut steps)?;
    steps.need("interface build", || ui::build(workspace))?;
    if wants("server") {
        steps.need("cairn, release build", || run::release(workspace, run::CLI))?;
    }
    if wants("server") {
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
    if wants("server") {
        steps.attempt("measure: server", || {
            measured("server", &mut report, |report| {
                compare(workspace, &python, scratch.path(), report)
            })
        });
    }
    if wants("table") {
        steps.attempt("measure: table", || {
            measured("table", &mut report, |report| {
                table::measure(workspace, scratch.path(), report)
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
    report.end()?;
    ended
}

/// Takes a measurement; one that breaks off is in the report as failed.
fn measured(
    what: &str,
    report: &mut Report,
    measure: impl FnOnce(&mut Report) -> Result<()>,
) -> Result<Outcome> {
    match measure(report) {
        Ok(()) => Ok(Outcome::Done),
        Err(error) => {
            report.failed(what, &error);
            Err(error)
        }
    }
}

fn compare(
    workspace: &Workspace,
    python: &std::path::Path,
    scratch: &std::path::Path,
    report: &mut Report,
) -> Result<()> {
    let cairn = Server::cairn(workspace, &scratch.join("cairn"))?;
    let mlflow = Server::mlflow(python, &scratch.join("mlflow"))?;
    println!(
        "  Cairn (process {}) and stock mlflow server (default settings), in turns",
        cairn.pid()
    );
    for connections in CONNECTIONS {
        for workload in Workload::ALL {
            let (ours, theirs) = in_turns(&cairn, &mlflow, workload, connections)?;
            let plural = if connections == 1 { "" } else { "s" };
            report.add(
                format!("{}, {connections} connection{plural}", workload.unit()),
                ours.rate() / theirs.rate().max(f64::MIN_POSITIVE),
                "times",
                Good::AtLeast,
                TARGET_RATIO,
                format!("Cairn {}/s, MLflow {}/s", number(ours.rate()), number(theirs.rate())),
            );
        }
    }
    Ok(())
}

/// Measures the same workload on both, slice by slice, then checks that what was answered was kept.
fn in_turns(
    cairn: &Server,
    mlflow: &Server,
    workload: Workload,
    connections: usize,
) -> Result<(Measured, Measured)> {
    let ours = Series::begin(cairn, workload, connections)?;
    let theirs = Series::begin(mlflow, workload, connections)?;
    let warm_up = (ours.slice(WARM_UP)?, theirs.slice(WARM_UP)?);
    let mut sums = (Measured::default(), Measured::default());
    for _ in 0..SLICES {
        sums.0 = sums.0.and(ours.slice(SLICE)?);
        sums.1 = sums.1.and(theirs.slice(SLICE)?);
    }
    ours.verify(sums.0.and(warm_up.0).units)?;
    theirs.verify(sums.1.and(warm_up.1).units)?;
    Ok(sums)
}
