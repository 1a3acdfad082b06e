//! Makes a store of long runs and measures charts of them; run by `cargo xtask bench`.
//!
//! `bench_charts DIR [RUNS [POINTS]]` fills a new store in DIR (default 20 runs × 1,000,000 points of one
//! metric), asks for charts as the window does, and prints the times as one line of JSON, in milliseconds:
//! `rows_ms` the first chart ever, which reads the table; `files_ms` the first one after a restart;
//! all others with the series in memory. Then a chart of 25 times as many runs of 2,000 points.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use cairn_app::charts::{self, dto::ChartRequest};
use cairn_store::{OpenOptions, Store};
use rusqlite::Connection;
use serde_json::{Value, json};

/// Pixel columns of a chart.
const COLUMNS: u32 = 1_000;
const SHORT_POINTS: u64 = 2_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = PathBuf::from(args.first().expect("the folder of the new store"));
    let number =
        |at: usize, usual: u64| args.get(at).map_or(usual, |text| text.parse().expect("a number"));
    let (runs, points) = (number(1, 20), number(2, 1_000_000));
    fill(&dir, runs, points);
    let report = measure(&dir, runs, points);
    #[expect(clippy::print_stdout, reason = "the bench reads it")]
    {
        println!("{report}");
    }
}

/// Writes runs with plain SQL in one transaction, each with its rows together, as one that logs alone
/// leaves them.
fn fill(dir: &Path, runs: u64, points: u64) {
    drop(Store::open(dir, OpenOptions::Create).expect("a new store"));
    let connection = Connection::open(dir.join("mlflow.db")).expect("the file just made");
    connection
        .execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN")
        .expect("a transaction");
    for number in 0..runs + runs * 25 {
        let id = format!("{number:032x}");
        let (key, count) = if number < runs { ("loss", points) } else { ("short", SHORT_POINTS) };
        connection
            .execute(
                "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, \
                 user_id, status, start_time, end_time, source_version, lifecycle_stage, \
                 artifact_uri, experiment_id) VALUES (?1, ?2, 'UNKNOWN', '', '', 'ada', \
                 'FINISHED', 1700000000000, 1700000060000, '', 'active', '', 0)",
                (&id, format!("run-{number}")),
            )
            .expect("a run");
        connection
            .execute(
                "INSERT INTO params (key, value, run_uuid) VALUES ('lr', ?1, ?2)",
                ((number % 4).to_string(), &id),
            )
            .expect("a parameter");
        connection
            .execute(
                "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) \
                 VALUES (?1, 0.5, 1700000000000, ?2, 0, ?3)",
                (key, count as i64, &id),
            )
            .expect("a latest value");
        connection
            .execute(
                "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2) \
                 INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) \
                 SELECT ?1, (abs(random()) % 1000000) / 1e6 + 100.0 / (i + 100), \
                 1700000000000 + i * 50, i, 0, ?3 FROM n",
                (key, count as i64, &id),
            )
            .expect("its points");
    }
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").expect("the disk has room");
}

fn measure(dir: &Path, runs: u64, points: u64) -> Value {
    let store = Store::open(dir, OpenOptions::Existing).expect("the store");
    let all = |key: &str, other: Value| -> ChartRequest {
        let first = if key == "loss" { 0 } else { runs };
        let count = if key == "loss" { runs } else { runs * 25 };
        let ids: Vec<String> =
            (first..first + count).map(|number| format!("{number:032x}")).collect();
        let mut request = json!({
            "runs": {"kind": "ids", "run_ids": ids}, "y": [key], "columns": COLUMNS,
        });
        for (name, value) in other.as_object().expect("fields") {
            request[name] = value.clone();
        }
        serde_json::from_value(request).expect("a request")
    };
    let took = |store: &Store, request: &ChartRequest| {
        let start = Instant::now();
        let chart = charts::lines(store, request)
            .unwrap_or_else(|error| panic!("a chart: {}", error.message));
        let bytes = serde_json::to_vec(&chart).expect("JSON").len();
        assert!(!chart.lines.is_empty());
        (start.elapsed().as_secs_f64() * 1_000.0, bytes)
    };
    let plain = all("loss", json!({}));
    let rows_ms = took(&store, &plain).0;
    drop(store);
    let store = Store::open(dir, OpenOptions::Existing).expect("the store");
    let (files_ms, bytes) = took(&store, &plain);
    let again = |other: Value| took(&store, &all("loss", other)).0;
    let zoom = json!({"from": points as f64 * 0.4, "to": points as f64 * 0.45});
    let report = json!({
        "runs": runs,
        "points": points,
        "bytes": bytes,
        "rows_ms": rows_ms,
        "files_ms": files_ms,
        "memory_ms": again(json!({})),
        "zoom_ms": again(json!({"x_range": zoom})),
        "smooth_ms": again(json!({"smoothing": {"kind": "ema", "weight": 0.99}})),
        "gaussian_ms": again(json!({"smoothing": {"kind": "gaussian", "sigma": 50.0}})),
        "time_ms": again(json!({"x": {"kind": "relative_time"}})),
        "grouped_ms": again(json!({"group_by": [{"kind": "param", "key": "lr"}], "band": "ci95"})),
        "formula_ms": again(json!({"y": ["log10(loss) * 100"]})),
        "many_rows_ms": took(&store, &all("short", json!({}))).0,
        "many_memory_ms": took(&store, &all("short", json!({}))).0,
    });
    report
}
