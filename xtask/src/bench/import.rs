//! Importing an `mlruns` folder: 10,000 runs × 20 metrics × 100 steps, beside plain SQL with the same
//! rows, and MLflow's own migration on a smaller folder.
//!
//! `CAIRN_BENCH_IMPORT_RUNS` measures another number of runs; the target holds for 10,000.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::report::{Report, number};
use crate::exec;
use crate::workspace::Workspace;

/// Seconds that the whole folder may take.
const TARGET_S: f64 = 60.0;
/// Percent of the time that MLflow's migration takes for a value.
const TARGET_PERCENT: f64 = 10.0;
const RUNS: u64 = 10_000;
/// MLflow's migration would take hours for all of them.
const RUNS_FOR_MLFLOW: u64 = 100;

/// What the example program `bench_import` of `cairn-app` prints as its last line; seconds.
#[derive(Deserialize)]
struct Printed {
    runs: u64,
    points: u64,
    import_s: f64,
    looking_s: f64,
    again_s: f64,
    raw_s: f64,
}

/// Lets `cairn-app` write the folder in `scratch` and import it; `python` has stock MLflow.
pub fn measure(
    workspace: &Workspace,
    python: &Path,
    scratch: &Path,
    report: &mut Report,
) -> Result<()> {
    let runs = match env::var("CAIRN_BENCH_IMPORT_RUNS") {
        Ok(text) => text.parse().context("CAIRN_BENCH_IMPORT_RUNS is no number")?,
        Err(_) => RUNS,
    };
    println!("  writing and importing a folder of {runs} runs; this takes minutes");
    let text = exec::capture(example(workspace).arg(scratch.join("import")).arg(runs.to_string()))?;
    let line = text.lines().next_back().context("bench_import printed nothing")?;
    let printed: Printed =
        serde_json::from_str(line).with_context(|| format!("bench_import printed `{line}`"))?;
    let rate = printed.points as f64 / printed.import_s;
    report.add(
        format!("import of {} runs, {} values", printed.runs, printed.points),
        printed.import_s,
        "s",
        TARGET_S * runs as f64 / RUNS as f64,
        format!(
            "{} values/s; plain SQL with the same rows {} s ({} of its rate); finding the runs {} s, importing again {} s",
            number(rate),
            number(printed.raw_s),
            number(printed.raw_s / printed.import_s),
            number(printed.looking_s),
            number(printed.again_s)
        ),
    );
    let theirs = migrate(workspace, python, scratch, printed.points / printed.runs)?;
    report.add(
        "time for a value, of mlflow migrate-filestore's",
        100.0 * theirs / rate,
        "%",
        TARGET_PERCENT,
        format!("MLflow {} values/s on {RUNS_FOR_MLFLOW} runs", number(theirs)),
    );
    Ok(())
}

/// Metric values a second of MLflow's own migration.
fn migrate(
    workspace: &Workspace,
    python: &Path,
    scratch: &Path,
    points_per_run: u64,
) -> Result<f64> {
    let folder = scratch.join("migrate");
    let runs = RUNS_FOR_MLFLOW.to_string();
    exec::capture(example(workspace).arg(&folder).arg(runs).arg("--only-make"))?;
    let mut command = Command::new(python);
    command.current_dir(&folder).args(["-m", "mlflow", "migrate-filestore", "--no-progress"]);
    command.arg("--source").arg(&folder).arg("--target");
    command.arg(format!("sqlite:///{}", folder.join("mlflow.db").display()));
    command.env("MLFLOW_DISABLE_TELEMETRY", "true").env("DO_NOT_TRACK", "true");
    let started = Instant::now();
    exec::capture(&mut command)?;
    Ok((RUNS_FOR_MLFLOW * points_per_run) as f64 / started.elapsed().as_secs_f64())
}

/// Cargo, asked for the example program in release.
fn example(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--release", "--quiet", "--package", "cairn-app"]);
    cargo.args(["--example", "bench_import", "--"]);
    cargo
}
