//! The power fails: what was answered is there, whatever the disk had not written yet.
//!
//! A store is written to on a recorded disk. From the recording come crash clones: what was synced,
//! and some of what was not, torn between sectors. Each is opened as it is.

use std::{fs, path::Path};

use cairn_faults::{CrashClones, Disk, Recording};
use fastrand::Rng;
use rusqlite::Connection;

use crate::{
    Journal, make_store, open, scaled,
    workload::{Asked, Workload, fault},
};

/// Crash clones for each journal mode.
const CLONES: usize = 2_000;
/// Clones from one recording.
const CLONES_OF_ONE: usize = 250;
/// Every so many clones one is opened by the store itself.
const OPENED_BY_STORE: usize = 10;

#[test]
fn nothing_answered_is_lost_with_a_write_ahead_log() {
    survives(Journal::Wal);
}

#[test]
fn nothing_answered_is_lost_with_a_rollback_journal() {
    survives(Journal::Delete);
}

#[test]
fn a_disk_whose_syncs_do_nothing_is_caught() {
    for journal in [Journal::Wal, Journal::Delete] {
        let (recording, asked) = record_store(journal, |disk| disk.lie_about_syncs());
        let lost = losses(&recording, &asked, CLONES_OF_ONE, 1);
        assert!(lost > CLONES_OF_ONE / 4, "{journal:?}: only {lost} clones showed it");
    }
}

/// The same check on writers that are built wrong: it must find fault with them, and with none that
/// is built right.
#[test]
fn a_weaker_commit_is_caught() {
    let check = |journal: Journal, synchronous: &str, is_sound: bool| {
        let (recording, asked) = record_raw(journal, synchronous);
        let lost = losses(&recording, &asked, CLONES_OF_ONE, 2);
        assert_eq!(lost == 0, is_sound, "{journal:?} with synchronous={synchronous}: {lost}");
    };
    check(Journal::Wal, "OFF", false);
    check(Journal::Wal, "NORMAL", false);
    check(Journal::Wal, "FULL", true);
    check(Journal::Delete, "OFF", false);
    check(Journal::Delete, "EXTRA", true);
}

fn survives(journal: Journal) {
    let mut left = scaled(CLONES);
    let mut seed = 1_000;
    let (mut operations, mut answered) = (0, 0);
    while left > 0 {
        let clones = left.min(CLONES_OF_ONE);
        let (recording, asked) = record_store(journal, |_| {});
        operations += recording.ops.len();
        answered += asked.len();
        assert!(asked.iter().all(|write| write.answered_at.is_some()), "a write failed");
        assert_eq!(losses(&recording, &asked, clones, seed), 0);
        left -= clones;
        seed += 1;
    }
    eprintln!("{journal:?}: {operations} operations of the disk, {answered} answered writes");
}

/// Writes to a store on a recorded disk, up to its closing.
fn record_store(journal: Journal, prepare: impl Fn(&Disk)) -> (Recording, Vec<Asked>) {
    let dir = tempfile::tempdir().unwrap();
    make_store(dir.path(), journal);
    let disk = Disk::watch(dir.path());
    prepare(&disk);
    let store = open(dir.path());
    let workload = Workload::default();
    workload.run(&store, 4, 40, || disk.position());
    drop(store);
    (disk.take_recording(), workload.asked())
}

/// The same kind of writes by a writer of the test's own.
fn record_raw(journal: Journal, synchronous: &str) -> (Recording, Vec<Asked>) {
    let dir = tempfile::tempdir().unwrap();
    make_store(dir.path(), journal);
    let disk = Disk::watch(dir.path());
    let connection = Connection::open(dir.path().join("mlflow.db")).unwrap();
    connection.execute_batch(&format!("PRAGMA synchronous = {synchronous}")).unwrap();
    let workload = Workload::default();
    for _ in 0..60 {
        workload.write_raw(&connection, || disk.position());
    }
    // Without this, closing would move the log into the file, and sync that.
    let recording = disk.take_recording();
    drop(connection);
    (recording, workload.asked())
}

/// In how many of so many crash clones something answered is lost, or something is torn.
fn losses(recording: &Recording, asked: &[Asked], clones: usize, seed: u64) -> usize {
    let mut rng = Rng::with_seed(seed);
    let mut moments: Vec<usize> = (0..clones).map(|_| rng.usize(..=recording.ops.len())).collect();
    moments.sort_unstable();
    let mut disk = CrashClones::new(recording);
    let mut lost = 0;
    for (index, moment) in moments.into_iter().enumerate() {
        disk.advance(moment);
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in disk.crash(&mut rng) {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let found = if index % OPENED_BY_STORE == 0 { opened_by_store(dir.path()) } else { None };
        let found = found.or_else(|| {
            let connection = Connection::open(dir.path().join("mlflow.db")).unwrap();
            fault(&connection, asked, moment)
        });
        if let Some(what) = found {
            eprintln!("seed {seed}, clone {index} at {moment}: {what}");
            lost += 1;
        }
    }
    lost
}

/// Opens a clone as a person would, and writes to it.
fn opened_by_store(dir: &Path) -> Option<String> {
    let store = match cairn_store::Store::open(dir, cairn_store::OpenOptions::Existing) {
        Ok(store) => store,
        Err(error) => return Some(error.to_string()),
    };
    let wrote = store.write_blocking(|tx| {
        tx.set_experiment_tag(
            cairn_core::ExperimentId(0),
            &cairn_store::experiments::Tag { key: "after".into(), value: "x".into() },
        )
    });
    wrote.err().map(|error| error.to_string())
}
