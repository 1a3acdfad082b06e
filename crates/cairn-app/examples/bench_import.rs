//! Writes a large mlruns folder and measures its import; run by `cargo xtask bench import`.
//!
//! `bench_import DIR [RUNS [METRICS [STEPS]]]` writes the folder `DIR/mlruns` as MLflow's file store
//! writes it (default 10,000 runs × 20 metrics × 100 steps), imports it into a new store, inserts
//! the same metric rows into another new file with plain SQL, and prints the times as one line of
//! JSON. With `--only-make` it stops after writing.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use cairn_app::imports::{CancellationToken, ImportOptions, Importer, Step};
use cairn_store::{OpenOptions, Store};
use rusqlite::Connection;
use serde_json::json;

const EXPERIMENT: &str = "912345678901234567";
/// Rows in one transaction of the plain SQL.
const RAW_ROWS: u64 = 100_000;

#[derive(Clone, Copy)]
struct Size {
    runs: u64,
    metrics: u64,
    steps: u64,
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let only_make = args.iter().position(|arg| arg == "--only-make").map(|at| args.remove(at));
    let dir = PathBuf::from(args.first().expect("a folder"));
    let number =
        |at: usize, usual: u64| args.get(at).map_or(usual, |text| text.parse().expect("a number"));
    let size = Size { runs: number(1, 10_000), metrics: number(2, 20), steps: number(3, 100) };
    let folder = dir.join("mlruns");
    write_folder(&folder, size);
    if only_make.is_some() {
        return;
    }
    let import = import(&folder, &dir.join("store"));
    let raw_s = raw(&dir.join("raw"), size);
    let points = size.runs * size.metrics * size.steps;
    #[expect(clippy::print_stdout, reason = "the bench reads it")]
    {
        println!(
            "{}",
            json!({
                "runs": size.runs,
                "points": points,
                "import_s": import.0,
                "looking_s": import.1,
                "again_s": import.2,
                "raw_s": raw_s,
            })
        );
    }
}

/// The id of a run: spread like random ones, the same each time.
fn run_id(number: u64) -> String {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{spread:016x}{:016x}", spread.rotate_left(23) ^ number)
}

fn start_of(run: u64) -> u64 {
    1_700_000_000_000 + run * 60_000
}

fn value(run: u64, metric: u64, step: u64) -> f64 {
    let mixed = (run * 31 + metric * 7 + step).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

fn write_folder(folder: &Path, size: Size) {
    let write = |path: PathBuf, text: &str| {
        fs::create_dir_all(path.parent().expect("it has a name")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    for (id, name) in [("0", "Default"), (EXPERIMENT, "bench")] {
        let meta = format!(
            "artifact_location: file:///gone/{id}\ncreation_time: 1700000000000\n\
             experiment_id: '{id}'\nlast_update_time: 1700000000000\nlifecycle_stage: active\n\
             name: {name}\n"
        );
        write(folder.join(id).join("meta.yaml"), &meta);
    }
    let mut lines = String::new();
    for run in 0..size.runs {
        let (id, start) = (run_id(run), start_of(run));
        let dir = folder.join(EXPERIMENT).join(&id);
        for kind in ["artifacts", "metrics", "params", "tags"] {
            fs::create_dir_all(dir.join(kind)).expect("a folder");
        }
        let meta = format!(
            "artifact_uri: file:///gone/{EXPERIMENT}/{id}/artifacts\nend_time: {}\n\
             entry_point_name: ''\nexperiment_id: '{EXPERIMENT}'\nlifecycle_stage: active\n\
             run_id: {id}\nrun_name: run-{run}\nsource_name: ''\nsource_type: 4\n\
             source_version: ''\nstart_time: {start}\nstatus: 3\ntags: []\nuser_id: ada\n",
            start + 50_000
        );
        write(dir.join("meta.yaml"), &meta);
        write(dir.join("tags/mlflow.runName"), &format!("run-{run}"));
        write(dir.join("tags/mlflow.user"), "ada");
        for param in 0..5 {
            write(dir.join(format!("params/param_{param}")), &format!("{}", run % 17));
        }
        for metric in 0..size.metrics {
            lines.clear();
            for step in 0..size.steps {
                let time = start + step * 500;
                let _ = writeln!(lines, "{time} {} {step}", value(run, metric, step));
            }
            write(dir.join(format!("metrics/metric_{metric:02}")), &lines);
        }
    }
}

/// Seconds of the import, of these until all runs were found, and of a second import.
fn import(folder: &Path, dir: &Path) -> (f64, f64, f64) {
    let store = Store::open(dir, OpenOptions::Create).expect("a new store");
    let started = Instant::now();
    let mut importer =
        Importer::open(&store, folder, ImportOptions::default()).expect("the folder just written");
    let looking = std::sync::Mutex::new(0.0);
    let (report, ended) = importer.pass(&CancellationToken::new(), &|progress| {
        if progress.step == Step::Looking {
            *looking.lock().expect("nobody panics") = started.elapsed().as_secs_f64();
        }
    });
    let took = started.elapsed().as_secs_f64();
    ended.expect("an import to its end");
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    let again = Instant::now();
    importer.pass(&CancellationToken::new(), &|_| {}).1.expect("a second import");
    let looking_s = *looking.lock().expect("nobody panics");
    (took, looking_s, again.elapsed().as_secs_f64())
}

/// Seconds that plain SQL takes for the same metric rows, in the same order.
fn raw(dir: &Path, size: Size) -> f64 {
    drop(Store::open(dir, OpenOptions::Create).expect("a new store"));
    let connection = Connection::open(dir.join("mlflow.db")).expect("the file just made");
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; BEGIN IMMEDIATE")
        .expect("a transaction");
    let started = Instant::now();
    let mut rows = 0;
    for run in 0..size.runs {
        let id = run_id(run);
        connection
            .prepare_cached(
                "INSERT INTO runs (run_uuid, status, lifecycle_stage, experiment_id) \
                 VALUES (?1, 'FINISHED', 'active', 0)",
            )
            .and_then(|mut statement| statement.execute([&id]))
            .expect("a run");
        for metric in 0..size.metrics {
            let key = format!("metric_{metric:02}");
            let mut insert = connection
                .prepare_cached(
                    "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) \
                     VALUES (?1, ?2, ?3, ?4, ?5, 0)",
                )
                .expect("MLflow's table");
            for step in 0..size.steps {
                let time = (start_of(run) + step * 500).cast_signed();
                let row = (&key, value(run, metric, step), time, &id, step.cast_signed());
                insert.execute(row).expect("a row");
                rows += 1;
                if rows % RAW_ROWS == 0 {
                    connection.execute_batch("COMMIT; BEGIN IMMEDIATE").expect("a commit");
                }
            }
        }
    }
    connection.execute_batch("COMMIT").expect("a commit");
    started.elapsed().as_secs_f64()
}
