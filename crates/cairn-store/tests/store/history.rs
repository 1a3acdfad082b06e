//! Series that are kept in memory stay those of the file.

use cairn_core::RunId;
use cairn_store::{
    history::Series,
    metrics::{Batch, NewMetric},
    runs::Run,
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
