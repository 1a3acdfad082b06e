//! `cairn serve`: from process start to the first answer out of the store, and its memory at rest.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use cairn_charts::{Axis, LineChart, Series as Line};

use super::{largest, median};
use crate::Bench;
use crate::report::{Report, Table, Target, number};
use crate::servers::Server;
use crate::stores;

/// Starts whose median counts.
const STARTS: usize = 7;
/// How long nobody asks anything before memory at rest is read.
const REST: Duration = Duration::from_secs(1);

/// Measures an empty store, then larger and larger ones.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let folder = bench.folder("start");
    let making = start(bench, &folder)?;
    let empty = median_start(bench, &folder)?;
    report.add(
        "start on an empty store",
        Target::Below(150.0),
        empty.ready_ms,
        "ms",
        format!("to the first answer; {} ms when the store is made first", number(making.ready_ms)),
    );
    report.add(
        "memory at rest on an empty store",
        Target::Below(25.0),
        empty.resident_mb,
        "MB",
        format!("of it the process's own {} MB", number(empty.own_mb)),
    );
    let mut rows = vec![row("0", &empty)];
    let mut points = Vec::new();
    for runs in bench.sizes.iter().copied() {
        let folder = bench.folder(&format!("start-{runs}"));
        stores::copy(&bench.stores.cairn(runs)?, &folder)?;
        let found = median_start(bench, &folder)?;
        rows.push(row(&number(runs as f64), &found));
        points.push((runs as f64, found.ready_ms));
        if runs == largest(bench) {
            report.add(
                format!("start on {} runs", number(runs as f64)),
                Target::Below(600.0),
                found.ready_ms,
                "ms",
                format!("to the first answer; {} MB at rest", number(found.resident_mb)),
            );
        }
        std::fs::remove_dir_all(folder)?;
    }
    let title = "Start of cairn serve, by runs in the store".to_owned();
    let chart = LineChart {
        title: title.clone(),
        description: "Milliseconds from the start of the process to the first answer out of the \
                      store."
            .to_owned(),
        x: Axis::log("runs in the store"),
        y: Axis::log("milliseconds"),
        series: vec![Line { name: "Cairn".to_owned(), points }],
    };
    let columns = ["runs in the store", "first answer, ms", "memory at rest, MB"];
    report.tables.push(Table {
        title,
        columns: columns.map(str::to_owned).to_vec(),
        rows,
        chart: Some(("start-by-runs".to_owned(), chart)),
    });
    mlflow(bench, report)
}

struct Start {
    ready_ms: f64,
    resident_mb: f64,
    own_mb: f64,
}

fn row(runs: &str, start: &Start) -> Vec<String> {
    vec![runs.to_owned(), number(start.ready_ms), number(start.resident_mb)]
}

fn median_start(bench: &Bench, folder: &Path) -> Result<Start> {
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        starts.push(start(bench, folder)?);
    }
    let pick = |field: fn(&Start) -> f64| median(starts.iter().map(field).collect());
    Ok(Start {
        ready_ms: pick(|start| start.ready_ms),
        resident_mb: pick(|start| start.resident_mb),
        own_mb: pick(|start| start.own_mb),
    })
}

fn start(bench: &Bench, folder: &Path) -> Result<Start> {
    let started = Instant::now();
    let server = Server::begin_cairn(&bench.cairn, folder)?;
    let response =
        server.connect().post("/api/2.0/mlflow/experiments/search", br#"{"max_results": 10}"#)?;
    let ready_ms = started.elapsed().as_secs_f64() * 1000.0;
    if response.status != 200 {
        bail!("the first question was answered with {}", response.status);
    }
    std::thread::sleep(REST);
    let memory = server.memory()?;
    Ok(Start { ready_ms, resident_mb: memory.resident_mb, own_mb: memory.own_mb })
}

fn mlflow(bench: &Bench, report: &mut Report) -> Result<()> {
    let started = Instant::now();
    let server = Server::mlflow(&bench.stores.python, &bench.folder("start-mlflow"))?;
    let seconds = started.elapsed().as_secs_f64();
    report.add(
        "start of MLflow on an empty store",
        Target::None,
        seconds,
        "s",
        "for comparison; to the first answer",
    );
    std::thread::sleep(REST);
    report.add(
        "memory of MLflow at rest",
        Target::None,
        server.memory_with_children_mb()?,
        "MB",
        "for comparison; all its processes",
    );
    Ok(())
}
