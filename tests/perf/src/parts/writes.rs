//! Writes: `log-metric`, `runs/create` and `log-batch`, against SQLite alone and against MLflow.

use std::time::Duration;

use anyhow::{Result, ensure};
use cairn_charts::{Axis, LineChart, Series as Line};

use super::CLIENTS;
use crate::Bench;
use crate::http::Connection;
use crate::load::{Caller, Measured, Series, Workload, slice};
use crate::raw::RawCaller;
use crate::report::{Report, Table, Target, number};
use crate::servers::Server;
use crate::stores;

/// Each side gets this many slices, in turns, so that whatever else the machine does meets both.
const TURNS: usize = 4;

/// `runs/log-metric`: one client against a commit each, sixteen against one.
pub fn log_metric(bench: &Bench, report: &mut Report) -> Result<()> {
    let workload = Workload::LogMetric;
    let cairn = Server::cairn(&bench.cairn, &bench.folder("log-metric"))?;
    against_one_commit(bench, report, &cairn, workload)?;
    let rates = by_clients(bench, report, &cairn, workload)?;
    let rate_of = |clients| rates.iter().find(|(of, _)| *of == clients).map_or(f64::NAN, |r| r.1);
    report.add(
        "log-metric, 16 clients against 1",
        Target::AtLeast(8.0),
        rate_of(16) / rate_of(1),
        "times the rate",
        format!("{}/s against {}/s", number(rate_of(16)), number(rate_of(1))),
    );
    against_mlflow(bench, report, workload, 16, rate_of(16), Target::None)
}

/// `runs/create`: one client against a commit each, eight against MLflow.
pub fn create_run(bench: &Bench, report: &mut Report) -> Result<()> {
    let workload = Workload::CreateRun;
    let cairn = Server::cairn(&bench.cairn, &bench.folder("create-run"))?;
    against_one_commit(bench, report, &cairn, workload)?;
    let rates = by_clients(bench, report, &cairn, workload)?;
    let eight = rates.iter().find(|(clients, _)| *clients == 8).map_or(f64::NAN, |found| found.1);
    against_mlflow(bench, report, workload, 8, eight, Target::AtLeast(30.0))
}

/// `runs/log-batch`: eight clients against transactions of 1,000 rows, and against MLflow.
pub fn log_batch(bench: &Bench, report: &mut Report) -> Result<()> {
    let workload = Workload::LogBatch;
    let cairn = Server::cairn(&bench.cairn, &bench.folder("log-batch"))?;
    let (ours, raw) = in_turns(bench, &cairn, workload, 8)?;
    let units = workload.units_per_call() as f64;
    report.add(
        "log-batch of 1,000 metrics, 8 clients, against plain SQLite",
        Target::AtLeast(0.5),
        ours.rate() / raw.rate(),
        "of its rate",
        format!(
            "{} metrics/s against {} rows/s",
            number(ours.rate() * units),
            number(raw.rate() * units)
        ),
    );
    let rates = by_clients(bench, report, &cairn, workload)?;
    let eight = rates.iter().find(|(clients, _)| *clients == 8).map_or(f64::NAN, |found| found.1);
    against_mlflow(bench, report, workload, 8, eight, Target::AtLeast(20.0))
}

/// Every write on stores that hold more and more runs.
pub fn growth(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for runs in bench.sizes.iter().copied() {
        let folder = bench.folder(&format!("growth-{runs}"));
        stores::copy(&bench.stores.cairn(runs)?, &folder)?;
        let cairn = Server::cairn(&bench.cairn, &folder)?;
        let mut row = vec![number(runs as f64)];
        for workload in Workload::ALL {
            for clients in [1, 8] {
                let measured = one_slice(bench, &cairn, workload, clients)?;
                let rate = measured.rate() * workload.units_per_call() as f64;
                row.push(number(rate));
                let name = format!("{}, {}", workload.unit(), clients_text(clients));
                match lines.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, points)) => points.push((runs as f64, rate)),
                    None => lines.push((name, vec![(runs as f64, rate)])),
                }
            }
        }
        rows.push(row);
        drop(cairn);
        std::fs::remove_dir_all(folder)?;
    }
    let mut columns = vec!["runs in the store".to_owned()];
    columns.extend(lines.iter().map(|(name, _)| format!("{name}, per second")));
    let chart = LineChart {
        title: "Writes a second, by runs in the store".to_owned(),
        description: "The rate of each kind of write stays nearly the same from 1,000 to 100,000 \
                      runs when its line is level."
            .to_owned(),
        x: Axis::log("runs in the store"),
        y: Axis::log("per second"),
        series: lines.into_iter().map(|(name, points)| Line { name, points }).collect(),
    };
    report.tables.push(Table {
        title: "Writes a second, by runs in the store".to_owned(),
        columns,
        rows,
        chart: Some(("writes-by-runs".to_owned(), chart)),
    });
    Ok(())
}

/// Cairn with one client against SQLite alone with one transaction for each call.
fn against_one_commit(
    bench: &Bench,
    report: &mut Report,
    cairn: &Server,
    workload: Workload,
) -> Result<()> {
    let (ours, raw) = in_turns(bench, cairn, workload, 1)?;
    // What one client waits for when there is nothing to write: HTTP, and waking up the two programs.
    let nothing = slice(&mut [Ping(cairn.connect())], bench.slice)?;
    report.add(
        format!("{}, 1 client, against one commit each", workload.unit()),
        Target::Below(1.3),
        raw.rate() / ours.rate(),
        "times as long",
        format!(
            "{} µs against {} µs; medians {} and {}, and {} for a request that writes nothing",
            number(1e6 / ours.rate()),
            number(1e6 / raw.rate()),
            number(ours.median_us()),
            number(raw.median_us()),
            number(nothing.median_us())
        ),
    );
    Ok(())
}

/// Asks for what the server answers without looking anything up.
struct Ping(Connection);

impl Caller for Ping {
    fn call(&mut self) -> Result<()> {
        let response = self.0.get("/health")?;
        ensure!(response.status == 200, "/health was answered with {}", response.status);
        Ok(())
    }
}

/// Cairn and SQLite alone, slice by slice; then Cairn is asked whether it kept what it answered.
fn in_turns(
    bench: &Bench,
    cairn: &Server,
    workload: Workload,
    clients: usize,
) -> Result<(Measured, Measured)> {
    let mut ours = Series::begin(cairn, workload, clients)?;
    let raw_folder = bench.folder(&format!("raw-{}-{clients}", workload.unit().replace('/', "-")));
    let mut raw = [RawCaller::new(&raw_folder, workload, clients)?];
    let warm_up = ours.slice(Duration::from_millis(300))?;
    slice(&mut raw, Duration::from_millis(300))?;
    let mut sums = (Measured::default(), Measured::default());
    for _ in 0..TURNS {
        sums.0 = sums.0.and(ours.slice(bench.slice)?);
        sums.1 = sums.1.and(slice(&mut raw, bench.slice)?);
    }
    ours.verify(sums.0.calls + warm_up.calls)?;
    Ok(sums)
}

fn one_slice(
    bench: &Bench,
    server: &Server,
    workload: Workload,
    clients: usize,
) -> Result<Measured> {
    let mut series = Series::begin(server, workload, clients)?;
    let warm_up = series.slice(Duration::from_millis(200))?;
    let measured = series.slice(bench.slice)?;
    series.verify(warm_up.calls + measured.calls)?;
    Ok(measured)
}

/// The rate of calls at each number of clients, also as a table.
fn by_clients(
    bench: &Bench,
    report: &mut Report,
    cairn: &Server,
    workload: Workload,
) -> Result<Vec<(usize, f64)>> {
    let mut rates = Vec::new();
    let mut rows = Vec::new();
    for clients in CLIENTS {
        let measured = one_slice(bench, cairn, workload, clients)?;
        rates.push((clients, measured.rate()));
        rows.push(vec![
            clients.to_string(),
            number(measured.rate() * workload.units_per_call() as f64),
            number(measured.median_us()),
        ]);
    }
    let per_second = format!("{} per second", workload.unit());
    let points = rates
        .iter()
        .map(|(clients, rate)| (*clients as f64, rate * workload.units_per_call() as f64))
        .collect();
    let chart = LineChart {
        title: format!("{per_second}, by clients"),
        description: format!(
            "How many {per_second} are answered when 1 to 32 clients send without a pause."
        ),
        x: Axis::log("clients"),
        y: Axis::log(per_second.clone()),
        series: vec![Line { name: "Cairn".to_owned(), points }],
    };
    let file = format!("{}-by-clients", workload.unit().replace(['/', ' '], "-"));
    report.tables.push(Table {
        title: format!("{per_second}, by clients"),
        columns: ["clients", per_second.as_str(), "median of one call, µs"]
            .map(str::to_owned)
            .to_vec(),
        rows,
        chart: Some((file, chart)),
    });
    Ok(rates)
}

fn against_mlflow(
    bench: &Bench,
    report: &mut Report,
    workload: Workload,
    clients: usize,
    our_rate: f64,
    target: Target,
) -> Result<()> {
    let mlflow = bench.mlflow()?;
    let mut series = Series::begin(mlflow, workload, clients)?;
    series.slice(bench.slice)?;
    let theirs = series.slice(bench.slice * 3)?;
    let units = workload.units_per_call() as f64;
    report.add(
        format!("{}, {}, against MLflow", workload.unit(), clients_text(clients)),
        target,
        our_rate / theirs.rate(),
        "times the rate",
        format!("{}/s against {}/s", number(our_rate * units), number(theirs.rate() * units)),
    );
    Ok(())
}

fn clients_text(clients: usize) -> String {
    if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") }
}
