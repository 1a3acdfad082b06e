//! Importing through the public functions: every layout, every reason to skip, going on after an
//! end in the middle, and following.

mod folders;
mod following;
mod layouts;
mod resuming;
mod skips;

use std::path::Path;

use cairn_app::imports::{
    CancellationToken, ImportError, ImportOptions, ImportReport, Importer, SkipReason,
};
use cairn_core::RunId;
use cairn_store::{OpenOptions, Store, runs::Run};

/// A new store in a folder of its own.
struct Target {
    dir: tempfile::TempDir,
    store: Store,
}

impl Target {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), OpenOptions::Create).unwrap();
        Self { dir, store }
    }

    fn import(&self, path: &Path) -> ImportReport {
        self.import_with(path, ImportOptions::default())
    }

    fn import_with(&self, path: &Path, options: ImportOptions) -> ImportReport {
        let mut importer = Importer::open(&self.store, path, options).unwrap();
        let (report, ended) = importer.pass(&CancellationToken::new(), &|_| {});
        ended.unwrap();
        report
    }

    fn refusal(&self, path: &Path) -> ImportError {
        Importer::open(&self.store, path, ImportOptions::default()).unwrap_err()
    }

    fn run(&self, id: &str) -> Run {
        let id: RunId = id.parse().unwrap();
        self.store.read_blocking(|tx| tx.run(&id)).unwrap()
    }

    /// A metric's history as (time, step, value), by time.
    fn history(&self, id: &str, key: &str) -> Vec<(i64, i64, f64)> {
        let id: RunId = id.parse().unwrap();
        let page = self.store.read_blocking(|tx| tx.metric_history(&id, key, None, 0)).unwrap();
        page.items.iter().map(|point| (point.timestamp, point.step, point.value.0)).collect()
    }

    /// A file of the artifact tree.
    fn artifact(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.dir.path().join("store/mlartifacts").join(path)).ok()
    }

    /// Everything that an import writes, as text; what is made up at random is left out.
    fn contents(&self) -> String {
        let database = rusqlite::Connection::open(self.dir.path().join("store/mlflow.db")).unwrap();
        let mut text = String::new();
        for (table, columns) in [
            ("experiments", "experiment_id, name, artifact_location, lifecycle_stage"),
            ("experiment_tags", "key, value, experiment_id"),
            (
                "runs",
                "run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, \
                 artifact_uri, experiment_id, source_type",
            ),
            ("tags", "key, value, run_uuid"),
            ("params", "key, value, run_uuid"),
            ("metrics", "key, value, timestamp, run_uuid, step, is_nan"),
            ("latest_metrics", "key, value, timestamp, step, is_nan, run_uuid"),
            ("registered_models", "name, creation_time, description"),
            ("model_versions", "name, version, source, run_id, current_stage, storage_location"),
            ("registered_model_aliases", "alias, version, name"),
            ("logged_models", "model_id, name, status, artifact_location"),
            ("logged_model_metrics", "model_id, metric_name, metric_value, run_id, dataset_name"),
        ] {
            let sql = format!("SELECT {columns} FROM {table} ORDER BY {columns}");
            let mut statement = database.prepare(&sql).unwrap();
            let width = statement.column_count();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                text.push_str(table);
                for column in 0..width {
                    use std::fmt::Write as _;
                    let value: rusqlite::types::Value = row.get(column).unwrap();
                    let _ = write!(text, " {value:?}");
                }
                text.push('\n');
            }
        }
        text
    }
}

/// How often a reason is in a report.
fn count(report: &ImportReport, reason: SkipReason) -> u64 {
    report.skipped.iter().find(|group| group.reason == reason).map_or(0, |group| group.count)
}

/// The first place that a report names for a reason: its path and detail.
fn first(report: &ImportReport, reason: SkipReason) -> (String, String) {
    let group = report.skipped.iter().find(|group| group.reason == reason);
    let place = &group.unwrap_or_else(|| panic!("{reason:?} in {report:?}")).first[0];
    (place.path.clone(), place.detail.clone().unwrap_or_default())
}
