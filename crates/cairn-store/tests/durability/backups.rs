//! Backups: taken under load, each a consistent beginning of what was written; put back whole.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use cairn_core::{ExperimentId, UnixMillis};
use cairn_store::{
    BackupKeeper, OpenError, OpenOptions, Schedule, Store, StoreError,
    backup::{BackupError, BackupFolder},
    experiments::Tag,
};
use rusqlite::Connection;

use crate::{
    Journal, make_store, open, scaled,
    workload::{Asked, Workload, fault},
};

/// Backups under load with a log, and with a journal, where each has to wait for its turn.
const UNDER_LOAD_WAL: usize = 15;
const UNDER_LOAD_DELETE: usize = 5;
/// Files with damaged pages.
const DAMAGED: usize = 20;

struct Fixture {
    dir: tempfile::TempDir,
    folder: BackupFolder,
}

impl Fixture {
    fn new(journal: Journal) -> Self {
        let dir = tempfile::tempdir().unwrap();
        make_store(&dir.path().join("store"), journal);
        let database = dir.path().join("store/mlflow.db");
        let folder = BackupFolder::new(&dir.path().join("backups"), &database);
        Self { dir, folder }
    }

    fn store(&self) -> std::path::PathBuf {
        self.dir.path().join("store")
    }
}

fn tag(store: &Store, key: &str) -> Result<(), StoreError> {
    let tag = Tag { key: key.into(), value: "x".into() };
    store.write_blocking(move |tx| tx.set_experiment_tag(ExperimentId(0), &tag))
}

fn has_tag(store: &Store, key: &str) -> bool {
    let experiment = store.read_blocking(|tx| tx.experiment(ExperimentId(0))).unwrap();
    experiment.tags.iter().any(|tag| tag.key == key)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_backup_under_load_is_a_consistent_beginning_with_a_log() {
    under_load(Journal::Wal, UNDER_LOAD_WAL);
}

#[test]
fn a_backup_under_load_is_a_consistent_beginning_with_a_journal() {
    under_load(Journal::Delete, UNDER_LOAD_DELETE);
}

fn under_load(journal: Journal, backups_taken: usize) {
    let fixture = Fixture::new(journal);
    let store = open(&fixture.store());
    fill(&store);
    let workload = Workload::default();
    let clock = std::sync::atomic::AtomicUsize::new(0);
    let is_over = AtomicBool::new(false);
    let mut backups = Vec::new();
    let mut written_meanwhile = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                workload.run(&store, 4, 16, || clock.load(Ordering::SeqCst));
            }
        });
        for number in 0..scaled(backups_taken) {
            // What is answered from now on may be in the backup; what was before must be.
            let before = clock.fetch_add(1, Ordering::SeqCst);
            let writes = workload.asked().len();
            let taken = fixture.folder.take(UnixMillis(1_000 + number as i64));
            written_meanwhile += workload.asked().len() - writes;
            let kept = fixture.dir.path().join(format!("kept-{number}"));
            let copied = taken.map(|backup| {
                fs::create_dir(&kept).and_then(|()| fs::copy(backup.path, kept.join("mlflow.db")))
            });
            backups.push((before, kept, copied));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(written_meanwhile >= backups.len(), "{written_meanwhile} writes during the backups");
    let asked = workload.asked();
    assert!(asked.iter().all(|write| write.answered_at.is_some()), "a write failed");
    for (before, kept, copied) in backups {
        copied.expect("a backup").expect("a copy");
        let connection = Connection::open(kept.join("mlflow.db")).unwrap();
        assert_eq!(fault(&connection, &asked, before), None);
        assert_eq!(out_of_order(&connection, &asked), None);
        drop(connection);
        tag(&open(&kept), "restored").unwrap();
    }
}

/// Makes the file some megabytes large, so that writes come between the steps of a backup.
fn fill(store: &Store) {
    let filled = store.write_blocking(|tx| {
        for number in 0..600 {
            let tag = Tag { key: format!("long {number}"), value: "x".repeat(5_000) };
            tx.set_experiment_tag(ExperimentId(0), &tag)?;
        }
        Ok(())
    });
    filled.unwrap();
}

/// A write that is there although an earlier one of the same thread is not.
fn out_of_order(connection: &Connection, asked: &[Asked]) -> Option<Asked> {
    let found = crate::workload::parts(connection).unwrap();
    let mut missing = std::collections::HashSet::new();
    asked.iter().copied().find(|write| {
        let is_there = found.contains_key(&write.number);
        if !is_there {
            missing.insert(write.thread);
        }
        is_there && missing.contains(&write.thread)
    })
}

#[test]
fn backups_are_for_their_owner_only_and_a_restore_keeps_what_it_replaces() {
    let fixture = Fixture::new(Journal::Wal);
    let store = open(&fixture.store());
    tag(&store, "before").unwrap();
    let now = UnixMillis::now();
    let backup = fixture.folder.take(now).unwrap();
    assert_eq!((mode(fixture.folder.dir()), mode(&backup.path)), (0o700, 0o600));
    assert_eq!(fs::read_dir(fixture.folder.dir()).unwrap().count(), 2, "a name and a backup");
    tag(&store, "after").unwrap();

    let refused = fixture.folder.restore(&backup, UnixMillis::now()).unwrap_err();
    assert!(matches!(&refused, BackupError::InUse { programs, .. } if programs.len() == 1));
    assert!(has_tag(&store, "after"));
    drop(store);

    let restored = fixture.folder.restore(&backup, UnixMillis::now()).unwrap();
    assert!(restored.lost < Duration::from_mins(1));
    let replaced = restored.replaced.unwrap();
    let store = open(&fixture.store());
    assert!(has_tag(&store, "before") && !has_tag(&store, "after"));
    assert_eq!(mode(store.database()), 0o600);
    let replaced = Store::open(&replaced, OpenOptions::Existing).unwrap();
    assert!(has_tag(&replaced, "after"));
}

#[test]
fn a_log_that_was_left_behind_is_kept_with_what_it_belongs_to() {
    let fixture = Fixture::new(Journal::Wal);
    let store = open(&fixture.store());
    tag(&store, "before").unwrap();
    let backup = fixture.folder.take(UnixMillis::now()).unwrap();
    tag(&store, "after").unwrap();
    // As after a kill: the database and its log, and nobody who has them open.
    let crashed = tempfile::tempdir().unwrap();
    for name in ["mlflow.db", "mlflow.db-wal"] {
        fs::copy(fixture.store().join(name), crashed.path().join(name)).unwrap();
    }
    let folder =
        BackupFolder::new(&fixture.dir.path().join("b"), &crashed.path().join("mlflow.db"));
    let restored = folder.restore(&backup, UnixMillis::now()).unwrap();
    let store = open(crashed.path());
    assert!(has_tag(&store, "before") && !has_tag(&store, "after"));
    let replaced = Store::open(&restored.replaced.unwrap(), OpenOptions::Existing).unwrap();
    assert!(has_tag(&replaced, "after"));
}

#[test]
fn damage_is_found_at_the_start_and_a_restore_brings_the_store_back() {
    let fixture = Fixture::new(Journal::Wal);
    let store = open(&fixture.store());
    let workload = Workload::default();
    workload.run(&store, 2, 60, || 0);
    let taken = UnixMillis::now();
    let backup = fixture.folder.take(taken).unwrap();
    drop(store);
    let database = fixture.store().join("mlflow.db");
    let whole = fs::read(&database).unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..scaled(DAMAGED) {
        let mut damaged = whole.clone();
        // The whole of a page that is in use: each table's and index's pages are full of rows here.
        let page = rng.usize(0..whole.len() / 4_096) * 4_096;
        rng.fill(&mut damaged[page..page + 4_096]);
        fs::write(&database, &damaged).unwrap();
        match Store::open(&fixture.store(), OpenOptions::Existing) {
            Err(OpenError::Corrupt { .. } | OpenError::NotSqlite { .. }) => {}
            other => panic!("page {page}: {other:?}"),
        }
        assert_eq!(fs::read(&database).unwrap(), damaged, "a damaged file is not touched");
        let later = UnixMillis(taken.0 + 600_000);
        let restored = fixture.folder.restore(&backup, later).unwrap();
        let replaced = restored.replaced.unwrap();
        assert_eq!(fs::read(&replaced).unwrap(), damaged);
        fs::remove_file(replaced).unwrap();
        let connection = Connection::open(&database).unwrap();
        assert_eq!(fault(&connection, &workload.asked(), 0), None);
    }
}

#[test]
fn minutes_lost_are_counted_from_the_backup_to_the_last_change() {
    let fixture = Fixture::new(Journal::Wal);
    let backup = fixture.folder.take(UnixMillis(UnixMillis::now().0 - 25 * 60_000)).unwrap();
    tag(&open(&fixture.store()), "after").unwrap();
    let restored = fixture.folder.restore(&backup, UnixMillis::now()).unwrap();
    assert_eq!(restored.lost.as_secs() / 60, 25);
}

#[test]
fn a_damaged_backup_is_refused_and_the_store_untouched() {
    let fixture = Fixture::new(Journal::Delete);
    let backup = fixture.folder.take(UnixMillis::now()).unwrap();
    let mut bytes = fs::read(&backup.path).unwrap();
    bytes[4_096..12_288].fill(0x5a);
    fs::write(&backup.path, bytes).unwrap();
    let before = fs::read(fixture.store().join("mlflow.db")).unwrap();
    let refused = fixture.folder.restore(&backup, UnixMillis::now()).unwrap_err();
    assert!(matches!(refused, BackupError::UnsoundBackup { .. }), "{refused}");
    assert_eq!(fs::read(fixture.store().join("mlflow.db")).unwrap(), before);
}

#[test]
fn no_backup_is_taken_of_a_damaged_database() {
    let fixture = Fixture::new(Journal::Delete);
    let database = fixture.store().join("mlflow.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes[4_096..40_960].fill(0x5a);
    fs::write(&database, bytes).unwrap();
    assert!(fixture.folder.take(UnixMillis::now()).is_err());
    assert_eq!(fixture.folder.list().unwrap(), []);
    assert_eq!(fs::read_dir(fixture.folder.dir()).unwrap().count(), 1, "only the name is left");
}

#[test]
fn a_store_that_is_gone_comes_back_from_its_backup() {
    let fixture = Fixture::new(Journal::Wal);
    tag(&open(&fixture.store()), "before").unwrap();
    let backup = fixture.folder.take(UnixMillis::now()).unwrap();
    fs::remove_dir_all(fixture.store()).unwrap();
    let restored = fixture.folder.restore(&backup, UnixMillis::now()).unwrap();
    assert_eq!((restored.replaced, restored.lost), (None, Duration::ZERO));
    assert!(has_tag(&open(&fixture.store()), "before"));
}

#[test]
fn a_keeper_takes_backups_only_of_what_changed() {
    let fixture = Fixture::new(Journal::Wal);
    let store = open(&fixture.store());
    let schedule =
        Schedule { every: Duration::ZERO, look: Duration::from_millis(20), ..Schedule::default() };
    let keeper = BackupKeeper::start(&store, fixture.folder.clone(), schedule).unwrap();
    let count = || fixture.folder.list().unwrap().len();
    let becomes = |expected: usize| {
        (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            count() >= expected
        })
    };
    assert!(becomes(1), "a store without a backup gets one");
    let looks = 10 * schedule.look;
    std::thread::sleep(looks);
    let unchanged = count();
    std::thread::sleep(looks);
    assert_eq!(count(), unchanged, "nothing changed");
    tag(&store, "changed").unwrap();
    assert!(becomes(unchanged + 1), "a change is backed up");
    drop(keeper);
    drop(store);
    assert!(!fixture.store().join("mlflow.db-wal").exists(), "the keeper holds nothing open");
}

#[test]
fn damage_met_while_writing_stops_all_further_writing() {
    let fixture = Fixture::new(Journal::Delete);
    let store = open(&fixture.store());
    Workload::default().run(&store, 2, 40, || 0);
    let database = fixture.store().join("mlflow.db");
    // Another program spoils the file while it is open; what the store has in memory is outdated by
    // a change of the schema.
    let other = Connection::open(&database).unwrap();
    other.execute_batch("CREATE TABLE another_programs (id INTEGER)").unwrap();
    drop(other);
    let mut bytes = fs::read(&database).unwrap();
    let len = bytes.len();
    bytes[8_192..len].fill(0x5a);
    fs::write(&database, &bytes).unwrap();
    let refused = tag(&store, "after").unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
    let refused = tag(&store, "again").unwrap_err();
    assert!(
        matches!(&refused, StoreError::ReadOnly { reason, .. } if reason.contains("Restore a backup")),
        "{refused}"
    );
    assert!(store.read_only().unwrap().contains("damaged"));
}
