//! The first page of the run table of a store of 100,000 runs × 20 parameters × 20 metrics.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::report::{Good, Report};
use crate::exec;
use crate::workspace::Workspace;

/// Milliseconds that the first page may take.
const TARGET_MS: f64 = 100.0;

/// What the example program `bench_table` of `cairn-app` prints as its last line.
#[derive(Deserialize)]
struct Printed {
    /// The command `runs.page` for the first page, on a store that was just opened.
    first_page_ms: f64,
    /// How many runs the store holds.
    runs: u64,
}

/// Lets `cairn-app` make the store in `scratch` and measure itself.
pub fn measure(workspace: &Workspace, scratch: &Path, report: &mut Report) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--release", "--quiet", "--package", "cairn-app"]);
    cargo.args(["--example", "bench_table", "--"]).arg(scratch.join("table"));
    println!("  making a store of 100,000 runs; this takes minutes");
    let text = exec::capture(&mut cargo)?;
    let line = text.lines().next_back().context("bench_table printed nothing")?;
    let printed: Printed =
        serde_json::from_str(line).with_context(|| format!("bench_table printed `{line}`"))?;
    report.add(
        format!("first page of {} runs", printed.runs),
        printed.first_page_ms,
        "ms",
        Good::Below,
        TARGET_MS,
        "",
    );
    Ok(())
}
