//! The first page of the run table of a store of 100,000 runs × 20 parameters × 20 metrics.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::report::{Report, number};
use crate::exec;
use crate::workspace::Workspace;

/// Milliseconds that the first page may take.
const TARGET_MS: f64 = 100.0;

/// Runs in the store.
const RUNS: u64 = 100_000;

/// What the example program `bench_table` of `cairn-app` prints as its last line; all but `runs` are
/// milliseconds that a command took on a store that was just opened, in this order.
#[derive(Deserialize)]
struct Printed {
    runs: u64,
    open_ms: f64,
    first_page_ms: f64,
    next_page_ms: f64,
    sorted_page_ms: f64,
    columns_ms: f64,
    filtered_page_ms: f64,
}

/// Lets `cairn-app` make the store in `scratch` and measure itself.
pub fn measure(workspace: &Workspace, scratch: &Path, report: &mut Report) -> Result<()> {
    println!("  making a store of {RUNS} runs; this takes minutes");
    let text = exec::capture(example(workspace).arg(scratch.join("table")).arg(RUNS.to_string()))?;
    let line = text.lines().next_back().context("bench_table printed nothing")?;
    let printed: Printed =
        serde_json::from_str(line).with_context(|| format!("bench_table printed `{line}`"))?;
    report.add(
        format!("first page of {} runs", printed.runs),
        printed.first_page_ms,
        "ms",
        TARGET_MS,
        format!(
            "opening {} ms; a page from the middle {}, sorted by a metric {}, filtered {}, the list of columns {}",
            number(printed.open_ms),
            number(printed.next_page_ms),
            number(printed.sorted_page_ms),
            number(printed.filtered_page_ms),
            number(printed.columns_ms)
        ),
    );
    Ok(())
}

/// Makes a store of `runs` finished runs in `folder` and measures nothing.
pub fn make_store(workspace: &Workspace, folder: &Path, runs: u64) -> Result<()> {
    exec::capture(example(workspace).arg(folder).arg(runs.to_string()).arg("--only-make"))?;
    Ok(())
}

/// Cargo, asked for the example program in release.
fn example(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--release", "--quiet", "--package", "cairn-app"]);
    cargo.args(["--example", "bench_table", "--"]);
    cargo
}
