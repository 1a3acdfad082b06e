//! Series that are kept in memory stay those of the file.

use cairn_core::{ExperimentId, RunId};
use cairn_store::{
    OpenOptions, Store,
    history::Series,
    metrics::{Batch, NewMetric},
    runs::{NewRun, Run},
};
use rusqlite::Connection;

use crate::{Fixture, metric};

/// Enough points for a series to be kept.
const POINTS: i64 = 12_000;

fn log(fixture: &Fixture, run: &Run, metrics: &[NewMetric]) {
    for part in metrics.chunks(1_000) {
        let (id, metrics) = (run.info.run_id.clone(), part.to_vec());
        let batch = Batch { metrics, ..Batch::default() };
        fixture.store.write_blocking(move |tx| tx.log_batch(&id, &batch)).unwrap();
    }
}

fn long_run(fixture: &Fixture) -> Run {
    let run = fixture.run(fixture.experiment("churn"), 1);
    let metrics: Vec<_> =
        (0..POINTS).map(|step| metric("loss", step as f64, 1_000 + step, step)).collect();
    log(fixture, &run, &metrics);
    run
}

fn series(fixture: &Fixture, id: &RunId) -> Series {
    fixture.store.metric_series(id, "loss").unwrap().as_ref().clone()
}

#[test]
fn later_points_are_added_and_earlier_ones_find_their_place() {
    let fixture = Fixture::new();
    let run = long_run(&fixture);
    let id = &run.info.run_id;
    assert_eq!(series(&fixture, id).steps, (0..POINTS).collect::<Vec<_>>());
    log(&fixture, &run, &[metric("accuracy", 1.0, 1, 1)]);
    assert_eq!(series(&fixture, id).steps.len() as i64, POINTS, "another metric is no point of it");
    log(&fixture, &run, &[metric("loss", f64::INFINITY, 1, POINTS)]);
    let later = series(&fixture, id);
    assert_eq!(later.steps, (0..=POINTS).collect::<Vec<_>>());
    assert_eq!(later.values.last(), Some(&f64::INFINITY));
    log(&fixture, &run, &[metric("loss", 2.0, 1, -5)]);
    assert_eq!(series(&fixture, id).steps, [vec![-5], (0..=POINTS).collect()].concat());
}

#[test]
fn what_another_program_removes_is_forgotten() {
    let fixture = Fixture::new();
    let run = long_run(&fixture);
    let id = &run.info.run_id;
    assert_eq!(series(&fixture, id).steps.len() as i64, POINTS);
    let mut changes = fixture.store.subscribe();
    let other = Connection::open(fixture.dir.path().join("mlflow.db")).unwrap();
    other.execute("DELETE FROM metrics WHERE step = 7", []).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    while !runtime.block_on(changes.recv()).unwrap().everything {}
    let left: Vec<i64> = (0..POINTS).filter(|step| *step != 7).collect();
    assert_eq!(series(&fixture, id).steps, left);
}

#[test]
fn a_long_series_is_taken_from_its_file_after_a_restart_and_goes_on_from_the_table() {
    let home = tempfile::tempdir().unwrap();
    let (dir, key) = (home.path().join("store"), "loss");
    let store = Store::open(&dir, OpenOptions::Create).unwrap();
    let new = NewRun {
        experiment_id: ExperimentId(0),
        user_id: "ada".into(),
        run_name: None,
        start_time: 1,
        tags: vec![],
    };
    let id = store.write_blocking(move |tx| tx.create_run(&new)).unwrap().info.run_id;
    let sql = rusqlite::Connection::open(dir.join("mlflow.db")).unwrap();
    let add = |from: i64, to: i64| {
        sql.execute(
            "WITH RECURSIVE n(i) AS (SELECT ?2 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?3) \
             INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) \
             SELECT 'loss', 1.0 / (i + 1), 1000 + i, i, i % 1000 = 7, ?1 FROM n",
            rusqlite::params![id.as_str(), from, to],
        )
        .unwrap();
    };
    add(0, 60_000);
    let first = store.metric_series(&id, key).unwrap();
    assert_eq!(first.steps.len(), 60_000);
    let files = dir.join("cairn-cache/series");
    assert_eq!(std::fs::read_dir(&files).unwrap().count(), 1);
    drop(store);

    // The file is what is read: a row that changed in between, which no program does, is not seen.
    sql.execute("UPDATE metrics SET value = 5 WHERE step = 100", []).unwrap();
    add(60_000, 60_010);
    let store = Store::open(&dir, OpenOptions::Existing).unwrap();
    let again = store.metric_series(&id, key).unwrap();
    assert_eq!(again.steps.len(), 60_010);
    assert_eq!(again.steps.last(), Some(&60_009));
    assert_eq!(again.timestamps[..60_000], first.timestamps[..]);
    assert_eq!(again.values[100].to_bits(), first.values[100].to_bits());
    assert!(again.values[1_007].is_nan() && again.values[60_007].is_nan());
    drop(store);

    // Rows that went away with all that came after them, as after a restored backup: read anew.
    sql.execute("DELETE FROM metrics WHERE step >= 55000", []).unwrap();
    let store = Store::open(&dir, OpenOptions::Existing).unwrap();
    let less = store.metric_series(&id, key).unwrap();
    assert_eq!(less.steps.len(), 55_000);
    assert!((less.values[100] - 5.0).abs() < 1e-12);
    drop(store);

    // The same row number for another point.
    sql.execute("UPDATE metrics SET value = 9 WHERE step = 54999", []).unwrap();
    let store = Store::open(&dir, OpenOptions::Existing).unwrap();
    assert!((store.metric_series(&id, key).unwrap().values[54_999] - 9.0).abs() < 1e-12);
}
