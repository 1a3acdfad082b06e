//! Charts of 20 runs of a million points, and of 500 of 2,000.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::report::{Report, number};
use crate::exec;
use crate::workspace::Workspace;

/// What a chart of long runs may take after a restart, its answer written as JSON.
const FIRST_MS: f64 = 300.0;
/// What another stretch of it may take.
const ZOOM_MS: f64 = 100.0;
/// What a chart of many short runs may take that were never read before.
const MANY_MS: f64 = 250.0;

/// What the example program `bench_charts` of `cairn-app` prints as its last line, in milliseconds.
#[derive(Deserialize)]
struct Printed {
    runs: u64,
    points: u64,
    bytes: u64,
    rows_ms: f64,
    files_ms: f64,
    memory_ms: f64,
    zoom_ms: f64,
    smooth_ms: f64,
    gaussian_ms: f64,
    time_ms: f64,
    grouped_ms: f64,
    formula_ms: f64,
    many_rows_ms: f64,
    many_memory_ms: f64,
}

/// Lets `cairn-app` make the store in `scratch` and measure itself.
pub fn measure(workspace: &Workspace, scratch: &Path, report: &mut Report) -> Result<()> {
    println!("  making a store of 20,000,000 points; this takes minutes");
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--release", "--quiet", "--package", "cairn-app"]);
    cargo.args(["--example", "bench_charts", "--"]).arg(scratch.join("charts"));
    let text = exec::capture(&mut cargo)?;
    let line = text.lines().next_back().context("bench_charts printed nothing")?;
    let printed: Printed =
        serde_json::from_str(line).with_context(|| format!("bench_charts printed `{line}`"))?;
    let of = format!("{} runs of {} points", printed.runs, printed.points);
    report.add(
        format!("first chart after a restart, {of}"),
        printed.files_ms,
        "ms",
        FIRST_MS,
        format!(
            "the very first, from the table, {} ms; once more {}, by time {}, smoothed {}, by a Gaussian {}, \
             in groups with intervals {}, of a formula {}; {} bytes",
            number(printed.rows_ms),
            number(printed.memory_ms),
            number(printed.time_ms),
            number(printed.smooth_ms),
            number(printed.gaussian_ms),
            number(printed.grouped_ms),
            number(printed.formula_ms),
            printed.bytes
        ),
    );
    report.add(
        format!("zoom into a twentieth of it, {of}"),
        printed.zoom_ms,
        "ms",
        ZOOM_MS,
        String::new(),
    );
    report.add(
        format!("first chart of {} runs of 2000 points", printed.runs * 25),
        printed.many_rows_ms,
        "ms",
        MANY_MS,
        format!("once more {} ms", number(printed.many_memory_ms)),
    );
    Ok(())
}
