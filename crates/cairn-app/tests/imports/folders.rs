//! Handmade folders, written as MLflow's file store writes them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// An `mlruns` folder being made.
pub struct Mlruns {
    dir: tempfile::TempDir,
}

/// A run's id made of one digit.
pub fn run_id(digit: char) -> String {
    digit.to_string().repeat(32)
}

/// A logged model's id made of one digit.
pub fn model_id(digit: char) -> String {
    format!("m-{}", run_id(digit))
}

impl Mlruns {
    pub fn new() -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap() };
        folder.experiment("0", "Default");
        folder
    }

    /// The folder that holds `mlruns`.
    pub fn parent(&self) -> &Path {
        self.dir.path()
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("mlruns")
    }

    /// Writes a file below the root, with the folders above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn append(&self, path: &str, content: &str) {
        use std::io::Write as _;
        let mut options = fs::OpenOptions::new();
        let mut file = options.append(true).open(self.root().join(path)).unwrap();
        file.write_all(content.as_bytes()).unwrap();
    }

    pub fn experiment(&self, id: &str, name: &str) {
        self.experiment_at(id, id, name, "active");
    }

    pub fn experiment_at(&self, path: &str, id: &str, name: &str, stage: &str) {
        self.write(
            &format!("{path}/meta.yaml"),
            format!(
                "artifact_location: file:///moved/away/{id}\ncreation_time: 1700000000000\n\
                 experiment_id: '{id}'\nlast_update_time: 1700000000001\n\
                 lifecycle_stage: {stage}\nname: {name}\n"
            ),
        );
    }

    /// A run with one metric, parameter and tag; answers its path.
    pub fn run(&self, experiment: &str, digit: char) -> String {
        let path = format!("{experiment}/{}", run_id(digit));
        self.run_meta(&path, &run_id(digit), "");
        self.write(&format!("{path}/metrics/loss"), "1700000000000 0.5 0\n1700000001000 0.25 1\n");
        self.write(&format!("{path}/params/lr"), "0.01");
        self.write(&format!("{path}/tags/mlflow.runName"), format!("run-{digit}"));
        path
    }

    /// The `meta.yaml` of a run; `more` replaces lines with the same key.
    pub fn run_meta(&self, path: &str, id: &str, more: &str) {
        let usual = format!(
            "artifact_uri: file:///moved/away/{path}/artifacts\nend_time: 1700000009000\n\
             entry_point_name: ''\nexperiment_id: '0'\nlifecycle_stage: active\nrun_id: {id}\n\
             run_name: run-{}\nsource_name: ''\nsource_type: 4\nsource_version: ''\n\
             start_time: 1700000000000\nstatus: 3\ntags: []\nuser_id: ada\n",
            &id[..1]
        );
        let key = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
        let replaced: Vec<String> = more.lines().map(key).collect();
        let mut text = String::new();
        for line in usual.lines().filter(|line| !replaced.contains(&key(line))) {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(more);
        self.write(&format!("{path}/meta.yaml"), text);
    }

    /// A logged model made by a run.
    pub fn model(&self, experiment: &str, digit: char, run: char) -> String {
        let id = model_id(digit);
        let path = format!("{experiment}/models/{id}");
        self.write(
            &format!("{path}/meta.yaml"),
            format!(
                "artifact_location: file:///moved/away/{path}/artifacts\n\
                 creation_timestamp: 1700000002000\nexperiment_id: '{experiment}'\n\
                 last_updated_timestamp: 1700000003000\nmodel_id: {id}\nmodel_type: null\n\
                 name: forest\nsource_run_id: {}\nstatus: 2\nstatus_message: null\n",
                run_id(run)
            ),
        );
        path
    }

    /// A registered model without versions.
    pub fn registered(&self, name: &str) {
        self.write(
            &format!("models/{name}/meta.yaml"),
            format!(
                "aliases: {{}}\ncreation_timestamp: 1700000004000\ndescription: words\n\
                 last_updated_timestamp: 1700000005000\nname: {name}\n"
            ),
        );
    }

    /// A version; `source` is also where it is stored.
    pub fn version(&self, name: &str, number: u32, stage: &str, source: &str, run: &str) {
        self.write(
            &format!("models/{name}/version-{number}/meta.yaml"),
            format!(
                "creation_timestamp: {}\ncurrent_stage: {stage}\ndescription: null\n\
                 last_updated_timestamp: 1700000006000\nname: {name}\nrun_id: {run}\n\
                 run_link: null\nsource: {source}\nstatus: READY\nstatus_message: null\n\
                 storage_location: {source}\nuser_id: null\nversion: {number}\n",
                1_700_000_005_000_u64 + u64::from(number)
            ),
        );
    }
}
