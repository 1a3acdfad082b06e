//! Makes a large store and measures the run table on it; run by `cargo xtask bench`.
//!
//! `bench_table DIR [RUNS]` fills a new store in DIR (default 100,000 runs × 20 parameters × 20
//! metrics), opens it through the application, asks for the first page of the table as the window
//! does, and prints the times as one line of JSON. With `--only-make` it stops after filling.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use cairn_app::{App, AppOptions, Host, commands, dto::ServerStatus, ports::Waiting};
use cairn_store::{OpenOptions, Store};
use rusqlite::Connection;
use serde_json::{Value, json};

const KEYS: usize = 20;

struct NoServer;

impl Host for NoServer {
    fn serve(&self, _: Option<Store>) -> Waiting<'_> {
        Box::pin(std::future::ready(()))
    }

    fn server_status(&self) -> ServerStatus {
        ServerStatus::Off { reason: "not needed".to_owned() }
    }
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let only_make = args.iter().position(|arg| arg == "--only-make").map(|at| args.remove(at));
    let dir = PathBuf::from(args.first().expect("the folder of the new store"));
    let runs: u64 = args.get(1).map_or(100_000, |text| text.parse().expect("a number of runs"));
    fill(&dir, runs);
    if only_make.is_none() {
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        let report = runtime.block_on(measure(&dir, runs));
        #[expect(clippy::print_stdout, reason = "the bench reads it")]
        {
            println!("{report}");
        }
    }
}

/// Writes the runs with plain SQL in one transaction: through the store it would take minutes.
fn fill(dir: &Path, runs: u64) {
    drop(Store::open(dir, OpenOptions::Create).expect("a new store"));
    let connection = Connection::open(dir.join("mlflow.db")).expect("the file just made");
    connection
        .execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN")
        .expect("a transaction");
    connection
        .execute_batch(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, \
             creation_time, last_update_time) \
             VALUES (1, 'bench', 'mlflow-artifacts:/1', 'active', 1, 1)",
        )
        .expect("an experiment");
    {
        let prepare = |sql| connection.prepare(sql).expect("MLflow's tables");
        let mut run = prepare(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, \
             user_id, status, start_time, end_time, source_version, lifecycle_stage, \
             artifact_uri, experiment_id) VALUES (?1, ?2, 'UNKNOWN', '', '', 'ada', 'FINISHED', \
             ?3, ?3 + 60000, '', 'active', 'mlflow-artifacts:/1/' || ?1 || '/artifacts', 1)",
        );
        let mut tag = prepare("INSERT INTO tags (key, value, run_uuid) VALUES (?1, ?2, ?3)");
        let mut param = prepare("INSERT INTO params (key, value, run_uuid) VALUES (?1, ?2, ?3)");
        let mut metric = prepare(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) \
             VALUES (?1, ?2, 1, 1, 0, ?3)",
        );
        let mut history = prepare(
            "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) \
             VALUES (?1, ?2, 1, 1, 0, ?3)",
        );
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        for number in 0..runs {
            let id = format!("{:016x}{:016x}", next(), next());
            let start = 1_700_000_000_000_i64 + (next() % 10_000_000_000) as i64;
            let name = format!("run-{number}");
            run.execute((&id, &name, start)).expect("a run");
            for (key, value) in [
                ("mlflow.runName", &*name),
                ("mlflow.source.name", "train.py"),
                ("mlflow.user", "ada"),
            ] {
                tag.execute((key, value, &id)).expect("a tag");
            }
            for key in 0..KEYS {
                let value = next() % 1_000_000;
                param
                    .execute((format!("param_{key:02}"), value.to_string(), &id))
                    .expect("a param");
                let key = format!("metric_{key:02}");
                let value = value as f64 / 1e6;
                metric.execute((&key, value, &id)).expect("a metric");
                history.execute((&key, value, &id)).expect("a metric");
            }
        }
    }
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").expect("the disk has room");
}

async fn measure(dir: &Path, runs: u64) -> Value {
    let home = tempfile::tempdir().expect("a temporary folder");
    let options = AppOptions {
        config_dir: home.path().join("config"),
        data_dir: home.path().join("data"),
        store: Some(dir.to_owned()),
    };
    let opening = Instant::now();
    let app = App::start(options, Box::new(NoServer)).await;
    let open_ms = millis(opening);
    let columns: Vec<Value> = (0..KEYS)
        .flat_map(|key| {
            [
                json!({"kind": "metric", "key": format!("metric_{key:02}")}),
                json!({"kind": "param", "key": format!("param_{key:02}")}),
            ]
        })
        .collect();
    let page = |offset: u64, order: Value| {
        json!({"experiment_ids": ["1"], "filter": "", "order": order, "deleted": false,
               "offset": offset, "limit": 100, "columns": columns})
    };
    let by_metric = json!([{"column": {"kind": "metric", "key": "metric_03"}, "ascending": false}]);
    let first_page_ms = timed(&app, "runs.page", page(0, json!([]))).await;
    let next_page_ms = timed(&app, "runs.page", page(runs / 2, json!([]))).await;
    let sorted_page_ms = timed(&app, "runs.page", page(0, by_metric)).await;
    let columns_ms = timed(&app, "runs.columns", json!({"experiment_ids": ["1"]})).await;
    let mut filtered = page(0, json!([]));
    filtered["filter"] = json!("metrics.metric_03 > 0.99 and params.param_04 LIKE '1%'");
    let filtered_page_ms = timed(&app, "runs.page", filtered).await;
    json!({
        "runs": runs, "open_ms": open_ms, "first_page_ms": first_page_ms,
        "next_page_ms": next_page_ms, "sorted_page_ms": sorted_page_ms,
        "filtered_page_ms": filtered_page_ms, "columns_ms": columns_ms,
    })
}

async fn timed(app: &App, command: &str, args: Value) -> f64 {
    let started = Instant::now();
    let answer = commands::call(app, command, args).await;
    let elapsed = millis(started);
    if let Err(error) = answer {
        panic!("{command}: {}", error.message);
    }
    elapsed
}

fn millis(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e5).round() / 100.0
}
