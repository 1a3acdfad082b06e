//! An import that was stopped goes on, and ends as one that was not.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use cairn_app::imports::{
    CancellationToken, ImportError, ImportOptions, Importer, SkipReason, Step,
};

use crate::{
    Target, count,
    folders::{Mlruns, run_id},
};

/// A folder with runs of several sizes.
fn large() -> Mlruns {
    let folder = Mlruns::new();
    for digit in "123456789abcdef".chars() {
        let run = folder.run("0", digit);
        let mut lines = String::new();
        for step in 0..3_000 {
            use std::fmt::Write as _;
            let _ = writeln!(lines, "{} {step}.5 {step}", 1_700_000_000_000_u64 + step);
        }
        for key in ["a", "b/c", "d"] {
            folder.write(&format!("{run}/metrics/{key}"), &lines);
        }
        folder.write(&format!("{run}/artifacts/one"), vec![b'1'; 1_000]);
        folder.write(&format!("{run}/artifacts/two/three"), digit.to_string());
    }
    folder.registered("reg");
    folder.version("reg", 1, "None", "models:/other/1", "");
    folder
}

#[test]
fn an_import_stopped_anywhere_goes_on_to_the_same_result() {
    let folder = large();
    let whole = Target::new();
    whole.import(&folder.root());
    let expected = whole.contents();
    for stop_at in [1, 3, 6, 10] {
        let target = Target::new();
        let mut stops = 0;
        for _ in 0..100 {
            let options = ImportOptions { told_every: Duration::ZERO, ..ImportOptions::default() };
            let mut importer = Importer::open(&target.store, &folder.root(), options).unwrap();
            let cancel = CancellationToken::new();
            let told = AtomicU64::new(0);
            let (_, ended) = importer.pass(&cancel, &|progress| {
                let count = told.fetch_add(1, Ordering::Relaxed) + 1;
                // Each further attempt gets a little further.
                if progress.step != Step::Looking && count >= stop_at + stops {
                    cancel.cancel();
                }
            });
            match ended {
                Ok(()) => break,
                Err(ImportError::Cancelled) => stops += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(stops > 0, "it was never stopped");
        assert_eq!(target.contents(), expected, "stopped at {stop_at}");
        for digit in "123456789abcdef".chars() {
            let path = format!("0/{}/artifacts/two/three", run_id(digit));
            assert_eq!(target.artifact(&path).unwrap(), digit.to_string().as_bytes());
        }
    }
}

#[test]
fn a_second_import_changes_nothing_and_reads_little() {
    let folder = large();
    let target = Target::new();
    let first = target.import(&folder.root());
    let before = target.contents();
    let second = target.import(&folder.root());
    assert_eq!(second.counts.runs_unchanged, first.counts.runs);
    assert_eq!(second.counts.files_unchanged, first.counts.files);
    assert_eq!((second.counts.metric_values, second.counts.files), (0, 0));
    let options = ImportOptions { recheck: true, ..ImportOptions::default() };
    let third = target.import_with(&folder.root(), options);
    assert_eq!((third.counts.runs_updated, third.counts.metric_values), (15, 0));
    // Without what Cairn knows about the store, everything is looked at again, to the same result.
    std::fs::remove_file(target.dir.path().join("store/cairn.db")).unwrap();
    assert_eq!(target.import(&folder.root()).counts.runs_updated, 15);
    assert_eq!(target.contents(), before);
}

#[test]
fn what_changed_in_the_folder_since_comes_in() {
    let folder = Mlruns::new();
    let run = folder.run("0", 'a');
    folder.run_meta(&run, &run_id('a'), "status: 1\nend_time: null\n");
    folder.write(&format!("{run}/artifacts/model"), "first");
    let target = Target::new();
    target.import(&folder.root());
    folder.append(&format!("{run}/metrics/loss"), "1700000002000 0.125 2\n");
    folder.write(&format!("{run}/metrics/new"), "1700000002000 1 2\n");
    folder.write(&format!("{run}/tags/mlflow.note.content"), "later");
    folder.run_meta(&run, &run_id('a'), "status: 3\n");
    folder.write(&format!("{run}/artifacts/model"), "second and longer");
    let report = target.import(&folder.root());
    assert_eq!((report.counts.runs_updated, report.counts.metric_values), (1, 2));
    let imported = target.run(&run_id('a'));
    assert_eq!(imported.info.status, cairn_core::RunStatus::Finished);
    assert_eq!(imported.info.end_time, Some(1_700_000_009_000));
    assert!(imported.tags.iter().any(|tag| tag.value == "later"));
    let latest = imported.metrics.iter().find(|metric| metric.key == "loss").unwrap();
    assert_eq!((latest.step, latest.value.0.to_bits()), (2, 0.125_f64.to_bits()));
    let path = format!("0/{}/artifacts/model", run_id('a'));
    assert_eq!(target.artifact(&path).unwrap(), b"second and longer");
}

#[test]
fn others_write_while_an_import_is_at_work() {
    let folder = large();
    let target = Target::new();
    let store = target.store.clone();
    let root = folder.root();
    let importing = std::thread::spawn(move || {
        let mut importer = Importer::open(&store, &root, ImportOptions::default()).unwrap();
        importer.pass(&CancellationToken::new(), &|_| {}).1.unwrap();
    });
    let mut written = 0;
    while !importing.is_finished() || written == 0 {
        let other = rusqlite::Connection::open(target.store.database()).unwrap();
        other.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
        let sql = "INSERT OR REPLACE INTO experiment_tags (key, value, experiment_id) \
                   VALUES ('from elsewhere', ?1, 0)";
        other.execute(sql, [written]).unwrap();
        written += 1;
    }
    importing.join().unwrap();
    assert_eq!(target.history(&run_id('f'), "d").len(), 3_000);
}

#[test]
fn a_read_only_store_is_refused_before_anything_is_read() {
    let folder = Mlruns::new();
    let target = Target::new();
    target.store.write_blocking(|_| Ok(())).unwrap();
    let path = target.dir.path().join("other");
    drop(cairn_store::Store::open(&path, cairn_store::OpenOptions::Create).unwrap());
    rusqlite::Connection::open(path.join("mlflow.db"))
        .unwrap()
        .execute("UPDATE alembic_version SET version_num = 'ffff00001111'", [])
        .unwrap();
    let store = cairn_store::Store::open(&path, cairn_store::OpenOptions::Existing).unwrap();
    let refused = Importer::open(&store, &folder.root(), ImportOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("ffff00001111"));
    assert!(!path.join("cairn.db").exists());
    let nothing = target.import(&folder.root());
    assert_eq!(count(&nothing, SkipReason::BadMeta), 0);
}
