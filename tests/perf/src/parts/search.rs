//! `runs/search`: a filter on a metric and a parameter, ordered by a metric, with no two questions
//! alike, so that no answer can be one that was kept.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use cairn_charts::{Axis, LineChart, Series as Line};
use serde_json::{Value, json};

use super::{CLIENTS, largest, median};
use crate::Bench;
use crate::http::Connection;
use crate::load::{Caller, slice};
use crate::report::{Report, Table, Target, number};
use crate::servers::Server;
use crate::stores::{self, KEYS, TAGS, metric_key, param_key};

/// Runs on a page.
const PAGE: u64 = 100;
/// The later page that is asked for, counted from 1, where there are as many.
const LATER_PAGE: u64 = 500;
/// Questions whose median counts.
const QUESTIONS: u32 = 15;
/// How long MLflow may take for one question.
const PATIENCE: Duration = Duration::from_secs(40);

/// Measures both pages at each size on both servers, and what the answers cost in memory.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut ours = Vec::new();
    let mut theirs: Vec<Pages> = Vec::new();
    for runs in bench.sizes.iter().copied() {
        let found = measure_cairn(bench, report, runs)?;
        crate::say(&format!(
            "Cairn, {} runs: first page {} ms, later page {} ms, first question {} ms",
            number(runs as f64),
            number(found.first_ms),
            number(found.later_ms),
            number(found.opening_ms)
        ));
        ours.push(found);
    }
    for runs in bench.sizes.iter().copied() {
        let found = match measure_mlflow(bench, runs) {
            Ok(found) => found,
            Err(error) => {
                report.failed(&format!("search, MLflow with {runs} runs"), &error);
                Pages::none(runs)
            }
        };
        crate::say(&format!(
            "MLflow, {} runs: first page {}, later page {}",
            number(runs as f64),
            found.text(found.first_ms),
            found.text(found.later_ms)
        ));
        let same = ours.iter().find(|pages| pages.runs == runs).context("measured before")?;
        if !found.ids.is_empty() && found.ids != same.ids {
            let error = anyhow::anyhow!("MLflow lists other runs first, or in another order");
            report.failed(&format!("search, the same answer for {runs} runs"), &error);
        }
        theirs.push(found);
    }
    judge(report, &ours, &theirs)?;
    report.tables.push(table(&ours, &theirs));
    Ok(())
}

/// What was found at one size. Times are medians.
struct Pages {
    runs: u64,
    first_ms: f64,
    later_ms: f64,
    /// The first question after the store was opened.
    opening_ms: f64,
    /// A first page right after another metric was logged.
    after_write_ms: f64,
    /// The runs of one first page.
    ids: Vec<String>,
    /// Whether the times are limits that passed without an answer.
    is_cut: bool,
}

impl Pages {
    fn none(runs: u64) -> Self {
        Self {
            runs,
            first_ms: f64::NAN,
            later_ms: f64::NAN,
            opening_ms: f64::NAN,
            after_write_ms: f64::NAN,
            ids: Vec::new(),
            is_cut: false,
        }
    }

    fn text(&self, ms: f64) -> String {
        if self.is_cut && ms.is_infinite() {
            format!("no answer in {} s", PATIENCE.as_secs())
        } else {
            format!("{} ms", number(ms))
        }
    }
}

fn judge(report: &mut Report, ours: &[Pages], theirs: &[Pages]) -> Result<()> {
    let most = ours.last().context("several sizes")?;
    let runs = number(most.runs as f64);
    let later = if later_offset(most.runs) == (LATER_PAGE - 1) * PAGE {
        "page 500"
    } else {
        "a later page"
    };
    let pages = [
        ("first page", most.first_ms, "after the first question of all"),
        (later, most.later_ms, "after the first question of all"),
        ("first page right after a write", most.after_write_ms, "a metric logged in between"),
        ("first question after opening", most.opening_ms, "told, not judged"),
    ];
    for (what, ms, detail) in pages {
        let target = if detail.starts_with("told") { Target::None } else { Target::Below(50.0) };
        report.add(format!("runs/search of {runs} runs, {what}"), target, ms, "ms", detail);
    }
    // Where MLflow gave no answer, the largest store on which it did is what counts.
    for (what, pick) in [
        ("first page", (|pages: &Pages| pages.first_ms) as fn(&Pages) -> f64),
        (later, |pages: &Pages| pages.later_ms),
    ] {
        let pairs = ours.iter().zip(theirs);
        let Some((ours, theirs)) = pairs.rev().find(|(_, theirs)| pick(theirs).is_finite()) else {
            bail!("MLflow answered no {what} at any size");
        };
        let cut = if theirs.runs == most.runs {
            String::new()
        } else {
            format!("; with {runs} runs MLflow gave no answer in {} s", PATIENCE.as_secs())
        };
        report.add(
            format!("runs/search of {} runs, {what}, against MLflow", number(ours.runs as f64)),
            Target::AtLeast(50.0),
            pick(theirs) / pick(ours),
            "times as fast",
            format!("{} ms against {} ms{cut}", number(pick(ours)), number(pick(theirs))),
        );
    }
    Ok(())
}

fn measure_cairn(bench: &Bench, report: &mut Report, runs: u64) -> Result<Pages> {
    // A copy, because metrics are logged as well.
    let folder = bench.folder(&format!("search-{runs}"));
    stores::copy(&bench.stores.cairn(runs)?, &folder)?;
    let server = Server::cairn(&bench.cairn, &folder)?;
    std::thread::sleep(Duration::from_millis(500));
    let before = server.memory()?;
    let mut connection = server.connect();
    let (opening_ms, ids) = ask(&mut connection, 0, 0)?;
    let mut pages = [Vec::new(), Vec::new(), Vec::new()];
    for number in 1..=QUESTIONS {
        pages[0].push(ask(&mut connection, number, 0)?.0);
        pages[1].push(ask(&mut connection, number + 100, later_offset(runs))?.0);
        log_metric(&mut connection, &ids[number as usize % ids.len()], number)?;
        pages[2].push(ask(&mut connection, number + 200, 0)?.0);
    }
    if runs == largest(bench) {
        ask_for_every_key(&mut connection)?;
        // What was freed meanwhile may be given back a moment later.
        std::thread::sleep(Duration::from_millis(500));
        let after = server.memory()?;
        let values = runs * (2 * KEYS + TAGS) as u64;
        report.add(
            format!("memory of the index for {} runs", number(runs as f64)),
            Target::Below(32.0),
            (after.resident_mb - before.resident_mb) * 1e6 / values as f64,
            "bytes a value",
            format!(
                "{} MB after opening, {} MB after questions to all {} values",
                number(before.resident_mb),
                number(after.resident_mb),
                number(values as f64)
            ),
        );
        report.tables.push(by_clients(bench, &server)?);
    }
    let [first, later, after_write] = pages.map(median);
    drop(server);
    std::fs::remove_dir_all(folder)?;
    Ok(Pages {
        runs,
        first_ms: first,
        later_ms: later,
        opening_ms,
        after_write_ms: after_write,
        ids,
        is_cut: false,
    })
}

fn measure_mlflow(bench: &Bench, runs: u64) -> Result<Pages> {
    let folder = bench.stores.mlflow(runs)?;
    let server = Server::mlflow(&bench.stores.python, &folder)?;
    let mut connection = server.connect();
    connection.set_patience(PATIENCE);
    let mut found = Pages::none(runs);
    // One question warms it up; where it takes long, one must do.
    let Ok((opening_ms, ids)) = ask(&mut connection, 0, 0) else {
        return Ok(Pages {
            first_ms: f64::INFINITY,
            later_ms: f64::INFINITY,
            is_cut: true,
            ..found
        });
    };
    (found.opening_ms, found.ids) = (opening_ms, ids);
    let questions = if opening_ms > 5000.0 { 1 } else { 5 };
    let mut times = [Vec::new(), Vec::new()];
    for number in 1..=questions {
        for (at, offset) in [0, later_offset(runs)].into_iter().enumerate() {
            let asked = ask(&mut connection, number, offset);
            times[at].push(asked.map_or(f64::INFINITY, |answered| answered.0));
        }
    }
    [found.first_ms, found.later_ms] = times.map(median);
    found.is_cut = found.first_ms.is_infinite() || found.later_ms.is_infinite();
    Ok(found)
}

/// Where the later page begins: page 500, or the last one that surely has runs.
fn later_offset(runs: u64) -> u64 {
    ((LATER_PAGE - 1) * PAGE).min(runs / 2)
}

/// A question like no other with another number.
fn question(number: u32, offset: u64) -> Value {
    let threshold = 0.2 + f64::from(number) * 1e-4;
    let filter = format!(
        "metrics.{} > {threshold:.4} and params.{} != 'choice-7'",
        metric_key(3),
        param_key(6)
    );
    let mut body = json!({
        "experiment_ids": ["1"],
        "filter": filter,
        "order_by": [format!("metrics.{} DESC", metric_key(5))],
        "max_results": PAGE,
    });
    if offset > 0 {
        let token = format!("{{\"offset\": {offset}}}");
        body["page_token"] = json!(base64::engine::general_purpose::STANDARD.encode(token));
    }
    body
}

/// Milliseconds until the whole answer was there, and the runs of the page.
fn ask(connection: &mut Connection, number: u32, offset: u64) -> Result<(f64, Vec<String>)> {
    let body = question(number, offset).to_string();
    let started = Instant::now();
    let response = connection.post("/api/2.0/mlflow/runs/search", body.as_bytes())?;
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    let answer = crate::load::answer(&response)?;
    let runs = answer["runs"].as_array().context("a page without runs")?;
    if runs.len() as u64 != PAGE {
        bail!("a page of {} runs instead of {PAGE}", runs.len());
    }
    let ids = runs.iter().filter_map(|run| run["info"]["run_id"].as_str()).map(str::to_owned);
    Ok((ms, ids.collect()))
}

/// Logs a metric that the questions do not ask for.
fn log_metric(connection: &mut Connection, run_id: &str, number: u32) -> Result<()> {
    let body = json!({
        "run_id": run_id, "key": metric_key(9), "value": f64::from(number), "timestamp": number,
        "step": number,
    });
    let body = body.to_string();
    crate::load::answer(&connection.post("/api/2.0/mlflow/runs/log-metric", body.as_bytes())?)?;
    Ok(())
}

/// Filters by and orders by each metric, parameter and tag once, so that nothing is left out of what
/// the answers need in memory.
fn ask_for_every_key(connection: &mut Connection) -> Result<()> {
    let mut fields: Vec<(String, &str)> = Vec::new();
    for key in 0..KEYS {
        fields.push((format!("metrics.{}", metric_key(key)), "> 0.5"));
        fields.push((format!("params.{}", param_key(key)), "!= 'x'"));
    }
    for tag in ["runName", "source.name", "source.type", "source.git.commit", "user"] {
        fields.push((format!("tags.`mlflow.{tag}`"), "!= 'x'"));
    }
    for (field, condition) in fields {
        let body = json!({
            "experiment_ids": ["1"],
            "filter": format!("{field} {condition}"),
            "order_by": [format!("{field} ASC")],
            "max_results": 1,
        });
        let body = body.to_string();
        crate::load::answer(&connection.post("/api/2.0/mlflow/runs/search", body.as_bytes())?)
            .with_context(|| field)?;
    }
    Ok(())
}

struct Asker {
    connection: Connection,
    number: u32,
}

impl Caller for Asker {
    fn call(&mut self) -> Result<()> {
        self.number += 1;
        let body = question(self.number % 4000, 0).to_string();
        let response = self.connection.post("/api/2.0/mlflow/runs/search", body.as_bytes())?;
        if response.status != 200 {
            bail!("a search was answered with {}", response.status);
        }
        Ok(())
    }
}

fn by_clients(bench: &Bench, server: &Server) -> Result<Table> {
    let mut rows = Vec::new();
    let mut points = Vec::new();
    for clients in CLIENTS {
        let mut askers: Vec<Asker> = (0..clients as u32)
            .map(|at| Asker { connection: server.connect(), number: at * 125 })
            .collect();
        let measured = slice(&mut askers, bench.slice)?;
        points.push((clients as f64, measured.rate()));
        let ms = measured.median_us() / 1000.0;
        rows.push(vec![clients.to_string(), number(measured.rate()), number(ms)]);
    }
    let title =
        format!("runs/search of {} runs a second, by clients", number(largest(bench) as f64));
    let chart = LineChart {
        title: title.clone(),
        description: "How many first pages of 100 runs are answered a second when 1 to 32 clients \
                      ask without a pause."
            .to_owned(),
        x: Axis::log("clients"),
        y: Axis::log("pages per second"),
        series: vec![Line { name: "Cairn".to_owned(), points }],
    };
    let columns = ["clients", "pages per second", "median of one page, ms"];
    Ok(Table {
        title,
        columns: columns.map(str::to_owned).to_vec(),
        rows,
        chart: Some(("search-by-clients".to_owned(), chart)),
    })
}

fn table(ours: &[Pages], theirs: &[Pages]) -> Table {
    let columns = [
        "runs",
        "Cairn, first page",
        "Cairn, later page",
        "Cairn, after a write",
        "MLflow, first page",
        "MLflow, later page",
    ];
    let rows = ours
        .iter()
        .zip(theirs)
        .map(|(ours, theirs)| {
            vec![
                number(ours.runs as f64),
                ours.text(ours.first_ms),
                ours.text(ours.later_ms),
                ours.text(ours.after_write_ms),
                theirs.text(theirs.first_ms),
                theirs.text(theirs.later_ms),
            ]
        })
        .collect();
    let line = |name: &str, pages: &[Pages], pick: fn(&Pages) -> f64| Line {
        name: name.to_owned(),
        points: pages
            .iter()
            .map(|pages| (pages.runs as f64, pick(pages)))
            .filter(|(_, ms)| ms.is_finite())
            .collect(),
    };
    let chart = LineChart {
        title: "runs/search, by runs in the store".to_owned(),
        description: "Milliseconds for a page of 100 runs, filtered by a metric and a parameter and \
                      ordered by a metric. A missing point is a question that MLflow did not answer \
                      in time."
            .to_owned(),
        x: Axis::log("runs in the store"),
        y: Axis::log("milliseconds"),
        series: vec![
            line("Cairn, first page", ours, |pages| pages.first_ms),
            line("Cairn, later page", ours, |pages| pages.later_ms),
            line("MLflow, first page", theirs, |pages| pages.first_ms),
            line("MLflow, later page", theirs, |pages| pages.later_ms),
        ],
    };
    Table {
        title: "runs/search, by runs in the store".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows,
        chart: Some(("search-by-runs".to_owned(), chart)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_questions_are_alike_and_each_leaves_enough_runs() {
        assert_ne!(question(1, 0)["filter"], question(2, 0)["filter"]);
        assert!(question(1, 0)["page_token"].is_null());
        assert_eq!(question(1, 49_900)["page_token"], "eyJvZmZzZXQiOiA0OTkwMH0=");
        assert_eq!(later_offset(100_000), 49_900);
        assert_eq!(later_offset(1_000), 500);
    }
}
