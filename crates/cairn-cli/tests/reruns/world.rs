//! A home for Cairn, a store and projects, all of one test.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Logs to MLflow's REST API with Python's own library, so that no environment is needed.
const LOG: &str = r#"
import json, os, time, urllib.request
URI, RUN = os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_RUN_ID"]
def send(path, body, method="POST"):
    request = urllib.request.Request(URI + path, data=body, method=method)
    if method == "POST":
        request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()
def call(path, body):
    return json.loads(send("/api/2.0/mlflow/" + path, json.dumps(body).encode()) or "{}")
def metric(key, value, step=0):
    call("runs/log-metric", {"run_id": RUN, "key": key, "value": value, "step": step, "timestamp": int(time.time() * 1000)})
def artifact(path, data):
    uri = json.loads(urllib.request.urlopen(URI + "/api/2.0/mlflow/runs/get?run_id=" + RUN).read())["run"]["info"]["artifact_uri"]
    send("/api/2.0/mlflow-artifacts/artifacts/" + uri.split(":/", 1)[1].lstrip("/") + "/" + path, data, "PUT")
"#;

pub struct World {
    folder: TempDir,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("home")).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a project; `log.py` comes with it.
    pub fn project(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = self.path(name);
        for (file, text) in files.iter().copied().chain([("log.py", LOG)]) {
            write(&folder.join(file), text);
        }
        folder
    }

    /// The program on the store.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.args(["--store".as_ref(), self.path("store").as_os_str()]);
        command
    }

    /// The program, for commands that know no store.
    pub fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command
            .args(arguments)
            .env("CAIRN_HOME", self.path("home"))
            .env_remove("MLFLOW_TRACKING_URI")
            .env_remove("MLFLOW_RUN_ID")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end: exit code, and all that it printed.
    pub fn cairn(&self, arguments: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        (status.code().unwrap_or(-1), text)
    }

    /// Runs the program, which must end well.
    pub fn good(&self, arguments: &[&str]) -> String {
        let (code, text) = self.cairn(arguments);
        assert_eq!(code, 0, "{arguments:?}\n{text}");
        text
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// Runs of the store that a filter lets through, newest first.
    pub fn runs(&self, filter: &str) -> Vec<Run> {
        if !self.path("store/mlflow.db").exists() {
            return Vec::new();
        }
        let text = self.good(&["search", "--filter", filter, "--format", "json", "-n", "1000"]);
        text.lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| Run(serde_json::from_str(line).unwrap()))
            .collect()
    }

    pub fn only(&self, filter: &str) -> Run {
        let runs = self.runs(filter);
        assert_eq!(runs.len(), 1, "{filter}: {runs:#?}");
        runs.into_iter().next().unwrap()
    }

    /// Runs an entry point; its run.
    pub fn run(&self, arguments: &[&str]) -> Run {
        let before: Vec<String> = self.runs("").iter().map(|run| run.id().to_owned()).collect();
        let arguments: Vec<&str> = ["run"].iter().chain(arguments).copied().collect();
        self.good(&[&arguments[..], &["--env-manager", "local"]].concat());
        let is_new = |run: &Run| !before.contains(&run.id().to_owned());
        self.runs("")
            .into_iter()
            .filter(is_new)
            .find(|run| run.tag("mlflow.parentRunId").is_none())
            .unwrap()
    }

    /// Every launch folder.
    pub fn launches(&self) -> Vec<PathBuf> {
        let folder = self.path("home/data/launches");
        let mut found: Vec<PathBuf> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.join("launch.json").exists())
            .collect();
        found.sort();
        found
    }
}

/// A run as `cairn search --format json` shows it.
#[derive(Debug, Clone)]
pub struct Run(pub Value);

impl Run {
    pub fn id(&self) -> &str {
        self.0["run_id"].as_str().unwrap()
    }

    pub fn status(&self) -> &str {
        self.0["status"].as_str().unwrap()
    }

    pub fn tag(&self, name: &str) -> Option<&str> {
        self.0["tags"].get(name)?.as_str()
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        self.0["params"].get(name)?.as_str()
    }

    pub fn metric(&self, name: &str) -> Option<f64> {
        self.0["metrics"].get(name)?.as_f64()
    }
}

pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Waits for something that must come to be.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(90), "{what} did not happen");
        thread::sleep(Duration::from_millis(100));
    }
}

/// How often each value occurs.
pub fn counted<T: Ord>(values: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
}
