//! Opening and creating: what is accepted, what is refused, and that refusing touches nothing.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, thread, time::Duration};

use cairn_store::{OpenError, OpenOptions, Store, StoreError, experiments::NewExperiment};
use rusqlite::Connection;

use crate::Fixture;

fn error(path: &Path) -> OpenError {
    Store::open(path, OpenOptions::Existing).expect_err("opened all the same")
}

#[test]
fn a_new_store_is_for_its_owner_only_and_in_wal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/store");
    let store = Store::open(&path, OpenOptions::Create).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("mlflow.db")), 0o600);
    let upload = store.artifacts().upload(&cairn_core::ArtifactPath::parse("0/x/y.txt").unwrap());
    upload.unwrap().finish().unwrap();
    for folder in ["mlartifacts", "mlartifacts/0", "mlartifacts/0/x"] {
        assert_eq!(mode(&path.join(folder)), 0o700, "{folder}");
    }
    assert_eq!(mode(&path.join("mlartifacts/0/x/y.txt")), 0o600);
    drop(store);
    let connection = Connection::open(path.join("mlflow.db")).unwrap();
    let journal: String =
        connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(journal, "wal");
}

#[test]
fn a_new_store_has_the_experiment_default_and_opens_again() {
    let fixture = Fixture::new();
    fixture.experiment("churn");
    let Fixture { store, dir } = fixture;
    drop(store);
    let store = Store::open(&dir.path().join("mlflow.db"), OpenOptions::Existing).unwrap();
    assert_eq!(store.dir(), dir.path());
    let names = store
        .read_blocking(|tx| {
            Ok([
                tx.experiment_by_name("Default")?.experiment_id,
                tx.experiment_by_name("churn")?.experiment_id,
            ])
        })
        .unwrap();
    assert_eq!(names.map(|id| id.0), [0, 1]);
}

#[test]
fn a_folder_with_other_things_is_not_made_a_store() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.txt"), "x").unwrap();
    let refused = Store::open(dir.path(), OpenOptions::CreateInEmpty).unwrap_err();
    assert!(matches!(refused, OpenError::NoDatabase { .. }));
    assert!(matches!(error(dir.path()), OpenError::NoDatabase { .. }));
    assert!(matches!(error(&dir.path().join("none")), OpenError::Missing { .. }));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_text_file_is_no_database() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mlflow.db");
    fs::write(&path, "experiment,auc\nchurn,0.91\n".repeat(100)).unwrap();
    let refused = error(&path);
    assert!(matches!(refused, OpenError::NotSqlite { .. }), "{refused}");
    assert!(refused.to_string().contains("mlflow.db is not an MLflow database"));
    assert_eq!(fs::read(&path).unwrap().len(), 2_600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was left beside it");
}

#[test]
fn an_sqlite_file_of_another_program_is_refused_and_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("places.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE places (id INTEGER)").unwrap();
    let before = fs::read(&path).unwrap();
    let refused = error(&path);
    assert!(refused.to_string().contains("the table alembic_version is missing"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn damaged_files_are_refused_and_untouched() {
    let fixture = Fixture::new();
    for number in 0..200 {
        fixture.experiment(&format!("experiment {number}"));
    }
    let Fixture { store, dir } = fixture;
    drop(store);
    let path = dir.path().join("mlflow.db");
    let whole = fs::read(&path).unwrap();

    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let refused = error(&path);
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap().len(), whole.len() / 2);

    let mut damaged = whole.clone();
    for byte in &mut damaged[8_192..40_960] {
        *byte = 0x5a;
    }
    fs::write(&path, &damaged).unwrap();
    let refused = error(&path);
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), damaged);
}

#[test]
fn a_file_of_a_newer_mlflow_opens_for_reading_with_the_reason() {
    let fixture = Fixture::new();
    fixture.experiment("churn");
    let Fixture { store, dir } = fixture;
    drop(store);
    let path = dir.path().join("mlflow.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE alembic_version SET version_num = 'abcdef012345'", []).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();

    let store = Store::open(dir.path(), OpenOptions::Existing).unwrap();
    assert!(store.read_only().unwrap().contains("abcdef012345"));
    assert!(store.read_blocking(|tx| tx.experiment_by_name("churn")).is_ok());
    let new = NewExperiment { name: "x".into(), ..NewExperiment::default() };
    let refused = store.write_blocking(move |tx| tx.create_experiment(&new)).unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    drop(store);
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_migration_by_another_program_is_noticed() {
    let fixture = Fixture::new();
    let experiment = fixture.experiment("churn");
    let other = Connection::open(fixture.dir.path().join("mlflow.db")).unwrap();
    // What MLflow 3.10 does to the table: a copy with another key and the column `workspace`.
    other
        .execute_batch(
            "PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE;
             CREATE TABLE new_experiments (experiment_id INTEGER NOT NULL,
               name VARCHAR(256) NOT NULL, artifact_location VARCHAR(256),
               lifecycle_stage VARCHAR(32), creation_time BIGINT, last_update_time BIGINT,
               workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
               CONSTRAINT experiment_pk PRIMARY KEY (experiment_id),
               CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name));
             INSERT INTO new_experiments (experiment_id, name, artifact_location, lifecycle_stage,
               creation_time, last_update_time)
               SELECT experiment_id, name, artifact_location, lifecycle_stage, creation_time,
               last_update_time FROM experiments;
             DROP TABLE experiments;
             ALTER TABLE new_experiments RENAME TO experiments;
             UPDATE alembic_version SET version_num = '1b5f0d9ad7c1';
             COMMIT;",
        )
        .unwrap();
    let run = fixture.run(experiment, 5);
    fixture.metric(&run, "auc", 0.9, 1);
    assert_eq!(fixture.experiment("prices").0, 2);
    let shape = fixture.store.shape();
    assert!(shape.has_workspaces);
    assert_eq!(shape.mlflow_release(), Some("3.10"));

    other.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'", []).unwrap();
    let new = NewExperiment { name: "x".into(), ..NewExperiment::default() };
    let refused = fixture.store.write_blocking(move |tx| tx.create_experiment(&new)).unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    assert_eq!(fixture.read_run(&run.info.run_id).metrics.len(), 1);
}

#[test]
fn a_migration_is_told_when_nobody_writes_afterwards() {
    let fixture = Fixture::new();
    let mut feed = fixture.store.subscribe();
    let mut told = move || {
        (0..100).any(|_| {
            thread::sleep(Duration::from_millis(50));
            feed.try_recv().is_ok_and(|changes| changes.everything)
        })
    };
    let other = Connection::open(fixture.dir.path().join("mlflow.db")).unwrap();
    other.execute("UPDATE alembic_version SET version_num = 'bda7b8c39065'", []).unwrap();
    assert!(told());
    assert_eq!(fixture.store.shape().mlflow_release(), Some("3.1"));
    assert_eq!(fixture.store.read_only(), None);

    other.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'", []).unwrap();
    assert!(told());
    assert!(fixture.store.read_only().unwrap().contains("ffffffffffff"));
}

#[test]
fn closing_leaves_the_schema_as_it_was() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("mlflow.db");
    let schema = || {
        let connection = Connection::open(&path).unwrap();
        let mut statement =
            connection.prepare("SELECT type || name FROM sqlite_schema ORDER BY 1").unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap()
    };
    let before = schema();
    for number in 0..20 {
        fixture.run(fixture.experiment(&format!("experiment {number}")), 1);
    }
    let Fixture { store, dir, .. } = fixture;
    drop(store);
    assert_eq!(schema(), before);
    drop(dir);
}

#[test]
fn programs_that_make_the_same_store_at_once_end_up_on_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let names: Vec<String> = (0..6).map(|number| format!("made by {number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let path = &path;
            scope.spawn(move || {
                let store = Store::open(path, OpenOptions::Create).unwrap();
                let new = NewExperiment { name: name.clone(), ..NewExperiment::default() };
                store.write_blocking(move |tx| tx.create_experiment(&new)).unwrap();
            });
        }
    });
    let store = Store::open(&path, OpenOptions::Existing).unwrap();
    for name in &names {
        assert!(store.read_blocking(|tx| tx.experiment_by_name(name)).is_ok(), "{name} is lost");
    }
}

#[test]
fn no_store_is_made_over_the_log_of_a_database_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("mlflow.db-wal");
    fs::write(&log, "frames").unwrap();
    let refused = Store::open(dir.path(), OpenOptions::Create).unwrap_err();
    assert!(matches!(refused, OpenError::LeftBehind { .. }), "{refused}");
    assert!(refused.to_string().contains("mlflow.db-wal"));
    assert_eq!(fs::read_to_string(&log).unwrap(), "frames");
}

#[test]
fn a_file_with_other_workspaces_is_read_only() {
    let fixture = Fixture::new();
    fixture.experiment("churn");
    let Fixture { store, dir } = fixture;
    drop(store);
    let connection = Connection::open(dir.path().join("mlflow.db")).unwrap();
    connection
        .execute_batch(
            "ALTER TABLE experiments ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
             UPDATE experiments SET workspace = 'team' WHERE name = 'churn'",
        )
        .unwrap();
    drop(connection);
    let store = Store::open(dir.path(), OpenOptions::Existing).unwrap();
    assert!(store.read_only().unwrap().contains("workspaces"));
}

#[test]
fn the_bundled_sqlite_has_the_fix_of_the_wal_reset_fault() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}
