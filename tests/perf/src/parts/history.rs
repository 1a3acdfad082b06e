//! A history of a million points: reduced for a chart, and read whole over REST.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cairn_app::{App, AppOptions, Host, commands, dto::ServerStatus};
use cairn_store::Store;
use serde_json::{Value, json};

use super::median;
use crate::Bench;
use crate::raw;
use crate::report::{Report, Target, number};
use crate::servers::Server;
use crate::stores::{self, LONG_KEY, LONG_RUN, POINTS};

/// Pixel columns of the chart: two points in each.
const WIDTH_PX: u64 = 1000;
/// Points of one page over REST.
const PAGE: u64 = 25_000;

/// Measures the chart in this process, through the command that a window asks, and the pages on a
/// server.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    // A copy: opening a store in WAL writes beside it.
    let folder = bench.folder("history");
    stores::copy(&bench.stores.history()?, &folder)?;
    chart(bench, report, &folder)?;
    pages(bench, report, &folder)?;
    mlflow(bench, report)
}

struct NoServer;

impl Host for NoServer {
    fn serve(&self, _: Option<Store>) -> cairn_app::ports::Waiting<'_> {
        Box::pin(std::future::ready(()))
    }

    fn server_status(&self) -> ServerStatus {
        ServerStatus::Off { reason: "not needed".to_owned() }
    }
}

fn chart(bench: &Bench, report: &mut Report, store: &Path) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut cold = Vec::new();
    let mut warm = Vec::new();
    for _ in 0..5 {
        raw::forget_cached(&store.join("mlflow.db"))?;
        let options = AppOptions {
            config_dir: bench.folder("config"),
            data_dir: bench.folder("data"),
            store: Some(store.to_owned()),
        };
        runtime.block_on(async {
            let app = App::start(options, Box::new(NoServer)).await;
            cold.push(ask(&app).await?);
            for _ in 0..5 {
                warm.push(ask(&app).await?);
            }
            app.stop().await;
            anyhow::Ok(())
        })?;
    }
    report.add(
        "1,000,000 points reduced to 2,000, cold",
        Target::Below(400.0),
        median(cold),
        "ms",
        "the first question after opening, the file not in memory",
    );
    report.add(
        "1,000,000 points reduced to 2,000, warm",
        Target::Below(30.0),
        median(warm),
        "ms",
        "the same question again",
    );
    Ok(())
}

/// Milliseconds that the command took.
async fn ask(app: &App) -> Result<f64> {
    let arguments = json!({
        "run_id": LONG_RUN, "metric_key": LONG_KEY, "width_px": WIDTH_PX, "after": null,
    });
    let started = Instant::now();
    let answer = commands::call(app, "series.get", arguments).await;
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    let answer = answer.map_err(|error| anyhow::anyhow!("series.get: {}", error.message))?;
    let answer: Value = serde_json::to_value(&answer)?;
    let points = answer["steps"].as_array().map_or(0, Vec::len) as u64;
    if answer["total_points"] != json!(POINTS) || !(WIDTH_PX..=2 * WIDTH_PX).contains(&points) {
        bail!("{points} of {} points", answer["total_points"]);
    }
    Ok(ms)
}

fn pages(bench: &Bench, report: &mut Report, store: &Path) -> Result<()> {
    let server = Server::cairn(&bench.cairn, store)?;
    let mut connection = server.connect();
    let path =
        format!("/api/2.0/mlflow/metrics/get-history?run_id={LONG_RUN}&metric_key={LONG_KEY}");
    // The code of the answer is loaded before memory is compared.
    connection.get(&format!("{path}&max_results=10"))?;
    server.forget_peak()?;
    let before = server.memory()?;
    let started = Instant::now();
    let mut token = String::new();
    let mut points = 0;
    loop {
        let page = connection.get(&format!("{path}&max_results={PAGE}{token}"))?;
        let page = crate::load::answer(&page)?;
        points += page["metrics"].as_array().map_or(0, Vec::len) as u64;
        match page["next_page_token"].as_str() {
            Some(next) if !next.is_empty() => token = format!("&page_token={next}"),
            _ => break,
        }
    }
    let paged_secs = started.elapsed().as_secs_f64();
    if points != POINTS {
        bail!("the pages have {points} points together instead of {POINTS}");
    }
    let paged_mb = server.memory()?.peak_mb - before.resident_mb;
    report.add(
        "1,000,000 points over REST in pages, memory",
        Target::Below(32.0),
        paged_mb,
        "MB",
        format!("pages of {}, {} s", number(PAGE as f64), number(paged_secs)),
    );
    server.forget_peak()?;
    let before = server.memory()?;
    connection.set_patience(Duration::from_mins(1));
    let started = Instant::now();
    let bytes = connection.get_and_count(&path)?;
    let secs = started.elapsed().as_secs_f64();
    report.add(
        "1,000,000 points over REST in one answer, memory",
        Target::Below(32.0),
        server.memory()?.peak_mb - before.resident_mb,
        "MB",
        format!("{} MB of JSON in {} s", number(bytes as f64 / 1e6), number(secs)),
    );
    Ok(())
}

/// What stock MLflow's own pages take for a chart of a history of the same length.
fn mlflow(bench: &Bench, report: &mut Report) -> Result<()> {
    let server = bench.mlflow()?;
    let mut connection = server.connect();
    connection.set_patience(Duration::from_mins(2));
    // Into the file directly: over REST it would take minutes.
    let database = bench.folder("mlflow").join("mlflow.db");
    stores::add_history(&database)?;
    let path = format!(
        "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={LONG_RUN}\
         &metric_key={LONG_KEY}&max_results=2000"
    );
    let mut times = Vec::new();
    for _ in 0..2 {
        let started = Instant::now();
        let answer = crate::load::answer(&connection.get(&path)?)?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        answer["metrics"].as_array().context("no metrics")?;
    }
    report.add(
        "1,000,000 points sampled by MLflow's own interface",
        Target::None,
        median(times),
        "ms",
        "MLflow, for comparison",
    );
    Ok(())
}
