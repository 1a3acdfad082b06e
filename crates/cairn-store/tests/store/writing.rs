//! The writer: one commit for many requests, each failing alone, and the change feed.

use std::{sync::Arc, thread, time::Duration};

use cairn_core::RunId;
use cairn_store::{
    StoreError,
    experiments::{NewExperiment, Tag},
};
use rusqlite::Connection;

use crate::{Fixture, metric};

#[test]
fn a_failing_request_takes_no_other_with_it() {
    let fixture = Fixture::new();
    let run = fixture.run(fixture.experiment("churn"), 1);
    let id = run.info.run_id.clone();
    tokio::runtime::Runtime::new().unwrap().block_on(log_to_this_and_a_missing_run(&fixture, &id));
    let count = fixture.store.read_blocking(|tx| tx.metric_count(&id, "loss")).unwrap();
    assert_eq!(count, 200);
}

async fn log_to_this_and_a_missing_run(fixture: &Fixture, id: &RunId) {
    let missing: RunId = "f".repeat(32).parse().unwrap();
    let writes = (0..300).map(|step| {
        let id = if step % 3 == 0 { missing.clone() } else { id.clone() };
        let store = fixture.store.clone();
        tokio::spawn(async move {
            store.write(move |tx| tx.log_metric(&id, &metric("loss", 1.0, step, step))).await
        })
    });
    let writes: Vec<_> = writes.collect();
    let (mut kept, mut refused) = (0, 0);
    for write in writes {
        match write.await.unwrap() {
            Ok(()) => kept += 1,
            Err(StoreError::NotFound(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((kept, refused), (200, 100));
}

#[test]
fn half_a_request_is_rolled_back() {
    let fixture = Fixture::new();
    let refused = fixture.store.write_blocking(|tx| {
        let bad = Tag { key: "bad\u{7}key".into(), value: "x".into() };
        let new = NewExperiment { name: "kept?".into(), ..NewExperiment::default() };
        let id = tx.create_experiment(&new)?;
        tx.set_experiment_tag(id, &bad)
    });
    assert!(matches!(refused, Err(StoreError::Invalid(_))));
    let found = fixture.store.read_blocking(|tx| tx.experiment_by_name("kept?"));
    assert!(matches!(found, Err(StoreError::NotFound(_))));
}

#[test]
fn a_panic_in_one_request_leaves_the_writer_alive() {
    let fixture = Fixture::new();
    let outcome = fixture.store.write_blocking(|_| -> Result<(), StoreError> { panic!("a fault") });
    assert!(outcome.is_err());
    assert_eq!(fixture.experiment("after").0, 1);
}

#[test]
fn changes_are_told_after_the_commit_and_foreign_ones_too() {
    let fixture = Fixture::new();
    let mut feed = fixture.store.subscribe();
    let run = fixture.run(fixture.experiment("churn"), 1);
    fixture.metric(&run, "auc", 0.5, 0);
    let mut all = cairn_store::ChangeSet::default();
    while let Ok(changes) = feed.try_recv() {
        all.merge(&changes);
    }
    assert!(all.experiments);
    let facets = all.runs[&run.info.run_id].1;
    assert!(facets.listed && facets.metrics && !facets.artifacts);

    let other = Connection::open(fixture.dir.path().join("mlflow.db")).unwrap();
    other.execute("UPDATE runs SET name = 'renamed elsewhere'", []).unwrap();
    let told = (0..50).any(|_| {
        thread::sleep(Duration::from_millis(50));
        feed.try_recv().is_ok_and(|changes: Arc<_>| changes.everything)
    });
    assert!(told, "a commit of another program was not noticed within 2.5 s");
    assert_eq!(fixture.read_run(&run.info.run_id).info.run_name, "renamed elsewhere");
}

#[test]
fn a_short_lock_of_another_program_only_delays() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("mlflow.db");
    let (locked, is_locked) = std::sync::mpsc::sync_channel(1);
    let other = thread::spawn(move || {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        locked.send(()).unwrap();
        thread::sleep(Duration::from_millis(700));
        connection.execute_batch("COMMIT").unwrap();
    });
    is_locked.recv().unwrap();
    assert_eq!(fixture.experiment("waited").0, 1);
    other.join().unwrap();
}

#[test]
fn closing_keeps_what_was_answered() {
    let fixture = Fixture::new();
    for number in 0..20 {
        fixture.experiment(&format!("e{number}"));
    }
    let Fixture { store, dir } = fixture;
    drop(store);
    assert!(!dir.path().join("mlflow.db-wal").exists(), "the log was folded into the file");
    let connection = Connection::open(dir.path().join("mlflow.db")).unwrap();
    let count: i64 =
        connection.query_row("SELECT COUNT(*) FROM experiments", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 21);
}

#[test]
fn a_write_that_nobody_waits_for_any_more_is_not_begun() {
    let fixture = Fixture::new();
    let other = Connection::open(fixture.dir.path().join("mlflow.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = fixture.store.clone();
    let create = |name: &str| {
        let (store, new) =
            (store.clone(), NewExperiment { name: name.to_owned(), ..NewExperiment::default() });
        runtime.spawn(async move { store.write(move |tx| tx.create_experiment(&new)).await })
    };
    // The first one is taken by the writer, which waits for the lock; the second one waits behind.
    let waited_for = create("waited for");
    thread::sleep(Duration::from_millis(200));
    let given_up = create("given up");
    thread::sleep(Duration::from_millis(200));
    given_up.abort();
    assert!(runtime.block_on(given_up).unwrap_err().is_cancelled());
    other.execute_batch("COMMIT").unwrap();
    assert!(runtime.block_on(waited_for).unwrap().is_ok());
    fixture.experiment("after");
    let found = fixture.store.read_blocking(|tx| tx.experiment_by_name("given up"));
    assert!(matches!(found, Err(StoreError::NotFound(_))));
}
