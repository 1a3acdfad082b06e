//! A small client of MLflow's REST API that waits for its answers.
//!
//! It is for what Cairn itself starts: launches, the command line, reruns. It speaks plain HTTP to
//! this computer, follows no redirects and uses no proxy, so that a token goes nowhere else. It is
//! cheap to make and to keep; one connection is kept open and used again.
//!
//! Nothing is tried again here: a caller knows whether it may wait.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use cairn_core::limits::{
    MAX_BATCH_METRICS, MAX_BATCH_PARAMS, MAX_BATCH_TAGS, MAX_PARAM_VALUE_CHARS,
    MAX_RUN_TAG_VALUE_CHARS,
};
use cairn_core::run::RunStatus;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;

use crate::error::{Result, RuntimeError};

/// How long one request may take that carries no file.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// How long connecting may take; everything is on this computer.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The largest answer that is read into memory. A page of runs with all their tags is far below.
const MAX_ANSWER_BYTES: u64 = 256 << 20;

/// How many things a page of an answer has.
const PAGE: usize = 1000;

/// MLflow's limit for all entries of one `log-batch` together.
const MAX_BATCH_ENTITIES: usize = 1000;

/// A tracking server, by its address.
#[derive(Debug, Clone)]
pub struct Tracking {
    agent: Agent,
    uri: String,
    authorization: Option<String>,
}

/// The token in a file, as it is now; `None` when it cannot be read.
pub fn token_in(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.trim_end().to_owned())
}

/// A run to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRun {
    /// The experiment that it belongs to.
    pub experiment_id: String,
    /// Its name; `None` lets the server make one up.
    pub name: Option<String>,
    /// Who runs it, as in the tag `mlflow.user`.
    pub user: Option<String>,
    /// When it began, milliseconds since 1970; `None` for now.
    pub start_ms: Option<i64>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// What a server says about a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Its facts.
    pub info: RunInfo,
    /// Its parameters, by name.
    pub params: BTreeMap<String, String>,
    /// Its tags, by name.
    pub tags: BTreeMap<String, String>,
    /// The latest value of each metric, by name.
    pub metrics: BTreeMap<String, Metric>,
}

/// The facts of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// Its id.
    pub run_id: String,
    /// The experiment that it belongs to.
    pub experiment_id: String,
    /// Its name; may be empty.
    pub name: String,
    /// What it is doing.
    pub status: RunStatus,
    /// When it began, milliseconds since 1970.
    pub start_ms: Option<i64>,
    /// When it ended, milliseconds since 1970.
    pub end_ms: Option<i64>,
    /// Where its artifacts are: an address that [`Tracking::download`] understands, a path, or
    /// something foreign.
    pub artifact_uri: String,
    /// Whether it is in the trash.
    pub is_deleted: bool,
}

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name.
    pub key: String,
    /// Its value; NaN and the infinities are values too.
    pub value: f64,
    /// When it was measured, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The step it belongs to.
    pub step: i64,
}

/// A file or folder of a run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ArtifactEntry {
    /// Its path in the run, with `/` between the parts.
    pub path: String,
    /// Whether it is a folder.
    #[serde(default, rename = "is_dir")]
    pub is_folder: bool,
    /// Its size; `None` for a folder.
    #[serde(default, deserialize_with = "optional_number", rename = "file_size")]
    pub size_bytes: Option<u64>,
}

impl Tracking {
    /// A server at `http://HOST:PORT`, with the token that it may want.
    ///
    /// Errors: [`RuntimeError::InvalidSpec`] for an address that is not plain HTTP. Nothing is sent.
    pub fn new(uri: &str, token: Option<String>) -> Result<Self> {
        let uri = uri.trim_end_matches('/');
        if !uri.starts_with("http://") {
            return Err(RuntimeError::InvalidSpec(format!(
                "The tracking server must be reached by http:// on this computer; {uri} is not."
            )));
        }
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_LIMIT))
            .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")))
            .build();
        let authorization = token.map(|token| format!("Bearer {token}"));
        Ok(Self { agent: Agent::new_with_config(config), uri: uri.to_owned(), authorization })
    }

    /// The address, without a slash at its end.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether a server answers at the address.
    pub fn is_answering(&self) -> bool {
        self.agent
            .get(format!("{}/health", self.uri))
            .config()
            .timeout_global(Some(CONNECT_LIMIT))
            .build()
            .call()
            .is_ok()
    }

    /// The id of an experiment, which is made if there is none. One in the trash stays there, and is
    /// an error.
    pub fn experiment_id(&self, name: &str) -> Result<String> {
        let found = self.get("experiments/get-by-name", &[("experiment_name", name)]);
        match found {
            Ok(answer) => {
                let experiment = &answer["experiment"];
                if experiment["lifecycle_stage"] == "deleted" {
                    return Err(RuntimeError::InvalidSpec(format!(
                        "The experiment {name} is in the trash. Restore it, or choose another name."
                    )));
                }
                text(experiment, "experiment_id")
            }
            Err(RuntimeError::TrackingRefused { status: 404, .. }) => {
                let made = self.post("experiments/create", &json!({ "name": name }));
                match made {
                    // Someone else made it in between.
                    Err(RuntimeError::TrackingRefused { code, .. })
                        if code == "RESOURCE_ALREADY_EXISTS" =>
                    {
                        let answer =
                            self.get("experiments/get-by-name", &[("experiment_name", name)])?;
                        text(&answer["experiment"], "experiment_id")
                    }
                    made => text(&made?, "experiment_id"),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a run, which is RUNNING from then on; its id.
    pub fn create_run(&self, run: &NewRun) -> Result<String> {
        let mut body = json!({
            "experiment_id": run.experiment_id,
            "start_time": run.start_ms.unwrap_or_else(crate::now_ms),
            "tags": pairs(&run.tags),
        });
        if let Some(name) = &run.name {
            body["run_name"] = json!(name);
        }
        if let Some(user) = &run.user {
            body["user_id"] = json!(user);
        }
        let answer = self.post("runs/create", &body)?;
        text(&answer["run"]["info"], "run_id")
    }

    /// Logs what is given in as many requests as MLflow's limits make it. Tags and parameters that
    /// are too long are cut, with `…` at their end.
    ///
    /// When a request fails, those before it are kept: all of it can be sent again.
    pub fn log_batch(
        &self,
        run_id: &str,
        params: &[(String, String)],
        tags: &[(String, String)],
        metrics: &[Metric],
    ) -> Result<()> {
        let (mut params, mut tags, mut metrics) = (params, tags, metrics);
        while !(params.is_empty() && tags.is_empty() && metrics.is_empty()) {
            let some_params = take(&mut params, MAX_BATCH_PARAMS);
            let some_tags = take(&mut tags, MAX_BATCH_TAGS);
            let room = MAX_BATCH_ENTITIES - some_params.len() - some_tags.len();
            let some_metrics = take(&mut metrics, MAX_BATCH_METRICS.min(room));
            let body = json!({
                "run_id": run_id,
                "params": cut_pairs(some_params, MAX_PARAM_VALUE_CHARS),
                "tags": cut_pairs(some_tags, MAX_RUN_TAG_VALUE_CHARS),
                "metrics": some_metrics.iter().map(metric_json).collect::<Vec<_>>(),
            });
            self.post("runs/log-batch", &body)?;
        }
        Ok(())
    }

    /// Sets a tag of a run; a value that is too long is cut.
    pub fn set_tag(&self, run_id: &str, key: &str, value: &str) -> Result<()> {
        let value = cut(value, MAX_RUN_TAG_VALUE_CHARS);
        self.post("runs/set-tag", &json!({ "run_id": run_id, "key": key, "value": value }))?;
        Ok(())
    }

    /// Changes what is given: the status, the time of the end in milliseconds since 1970, the name.
    pub fn update_run(
        &self,
        run_id: &str,
        status: Option<RunStatus>,
        end_ms: Option<i64>,
        name: Option<&str>,
    ) -> Result<()> {
        let mut body = json!({ "run_id": run_id });
        if let Some(status) = status {
            body["status"] = json!(status.as_str());
        }
        if let Some(end_ms) = end_ms {
            body["end_time"] = json!(end_ms);
        }
        if let Some(name) = name {
            body["run_name"] = json!(name);
        }
        self.post("runs/update", &body)?;
        Ok(())
    }

    /// All about one run. Errors: [`RuntimeError::TrackingRefused`] with status 404 for none.
    pub fn get_run(&self, run_id: &str) -> Result<RunRecord> {
        let mut answer = self.get("runs/get", &[("run_id", run_id)])?;
        run_record(answer["run"].take())
    }

    /// The runs of experiments that a filter lets through, newest first, at most `max`.
    pub fn search_runs(
        &self,
        experiment_ids: &[String],
        filter: &str,
        max: usize,
    ) -> Result<Vec<RunRecord>> {
        let mut found = Vec::new();
        let mut page_token = Value::Null;
        while found.len() < max {
            let mut body = json!({
                "experiment_ids": experiment_ids,
                "filter": filter,
                "max_results": PAGE.min(max - found.len()),
            });
            if !page_token.is_null() {
                body["page_token"] = page_token;
            }
            let mut answer = self.post("runs/search", &body)?;
            page_token = answer["next_page_token"].take();
            let runs = match answer["runs"].take() {
                Value::Array(runs) => runs,
                _ => Vec::new(),
            };
            if runs.is_empty() {
                break;
            }
            for run in runs {
                found.push(run_record(run)?);
            }
            if page_token.as_str().unwrap_or_default().is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// Every value of a metric that was logged, in the server's order.
    pub fn metric_history(&self, run_id: &str, key: &str) -> Result<Vec<Metric>> {
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let max = (PAGE * 20).to_string();
            let mut query = vec![("run_id", run_id), ("metric_key", key), ("max_results", &max)];
            if !page_token.is_empty() {
                query.push(("page_token", &page_token));
            }
            let answer = self.get("metrics/get-history", &query)?;
            found.extend(list(&answer, "metrics").iter().filter_map(metric));
            let next = answer["next_page_token"].as_str().unwrap_or_default().to_owned();
            if next.is_empty() {
                return Ok(found);
            }
            page_token = next;
        }
    }

    /// What lies in a folder of a run; an empty path is its root.
    pub fn list_artifacts(&self, run_id: &str, path: &str) -> Result<Vec<ArtifactEntry>> {
        let mut query = vec![("run_id", run_id)];
        if !path.is_empty() {
            query.push(("path", path));
        }
        let mut answer = self.get("artifacts/list", &query)?;
        match answer["files"].take() {
            Value::Null => Ok(Vec::new()),
            files => serde_json::from_value(files).map_err(|error| self.not_understood(&error)),
        }
    }

    /// Reads a file of a run: through the server when its artifacts lie there, else from the disk.
    pub fn download(&self, run_id: &str, path: &str) -> Result<Box<dyn Read + Send>> {
        match self.place(run_id, path)? {
            Place::Port(address) => {
                let mut request = self.agent.get(&address);
                if let Some(authorization) = &self.authorization {
                    request = request.header("authorization", authorization);
                }
                let response = request.call().map_err(|error| self.unavailable(error))?;
                let (head, body) = response.into_parts();
                if !head.status.is_success() {
                    let mut detail = String::new();
                    let _ = body.into_reader().take(4096).read_to_string(&mut detail);
                    return Err(refused(head.status.as_u16(), &detail));
                }
                Ok(Box::new(body.into_reader()))
            }
            Place::Disk(file) => {
                let opened = fs::File::open(&file).map_err(RuntimeError::io("reading", &file))?;
                Ok(Box::new(opened))
            }
        }
    }

    /// Keeps what `content` gives as a file of a run, in place of one of this name.
    pub fn upload(&self, run_id: &str, path: &str, content: &mut dyn Read) -> Result<()> {
        match self.place(run_id, path)? {
            Place::Port(address) => {
                let mut request = self.agent.put(&address);
                if let Some(authorization) = &self.authorization {
                    request = request.header("authorization", authorization);
                }
                let response = request
                    .content_type("application/octet-stream")
                    .send(ureq::SendBody::from_reader(content))
                    .map_err(|error| self.unavailable(error))?;
                self.answer(response).map(drop)
            }
            Place::Disk(file) => {
                let folder = file.parent().unwrap_or(Path::new("/"));
                fs::create_dir_all(folder).map_err(RuntimeError::io("creating", folder))?;
                let partial = folder.join(format!(".{}.partial", uuid::Uuid::new_v4().simple()));
                let mut copy = || -> io::Result<()> {
                    let mut target = fs::File::create(&partial)?;
                    io::copy(content, &mut target)?;
                    target.sync_all()?;
                    fs::rename(&partial, &file)
                };
                copy().map_err(|error| {
                    let _ = fs::remove_file(&partial);
                    RuntimeError::io("writing", &file)(error)
                })
            }
        }
    }

    /// Where a file of a run is read and written.
    fn place(&self, run_id: &str, path: &str) -> Result<Place> {
        let is_plain =
            Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if path.is_empty() || !is_plain {
            return Err(RuntimeError::InvalidSpec(format!("{path} is no path of an artifact.")));
        }
        let root = self.get_run(run_id)?.info.artifact_uri;
        if let Some(rest) = root.strip_prefix("mlflow-artifacts:") {
            // An authority would name another server: only this one is asked.
            let rest = rest
                .strip_prefix("//")
                .map_or(rest, |rest| rest.find('/').map_or("", |slash| &rest[slash..]));
            let rest = rest.trim_matches('/');
            let path = encoded(&format!("{rest}/{path}"));
            return Ok(Place::Port(format!(
                "{}/api/2.0/mlflow-artifacts/artifacts/{path}",
                self.uri
            )));
        }
        let folder = match root.strip_prefix("file:") {
            Some(rest) => PathBuf::from(decoded(rest.strip_prefix("//").unwrap_or(rest))),
            None => PathBuf::from(&root),
        };
        if folder.is_absolute() {
            return Ok(Place::Disk(folder.join(path)));
        }
        Err(RuntimeError::InvalidSpec(format!(
            "The artifacts of run {run_id} lie at {root}, where Cairn cannot reach them."
        )))
    }

    fn get(&self, what: &str, query: &[(&str, &str)]) -> Result<Value> {
        let mut request = self
            .agent
            .get(format!("{}/api/2.0/mlflow/{what}", self.uri))
            .query_pairs(query.iter().copied())
            .config()
            .timeout_global(Some(REQUEST_LIMIT))
            .build();
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        self.answer(request.call().map_err(|error| self.unavailable(error))?)
    }

    fn post(&self, what: &str, body: &Value) -> Result<Value> {
        let mut request = self
            .agent
            .post(format!("{}/api/2.0/mlflow/{what}", self.uri))
            .config()
            .timeout_global(Some(REQUEST_LIMIT))
            .build()
            .content_type("application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let sent = request.send(body.to_string().as_bytes());
        self.answer(sent.map_err(|error| self.unavailable(error))?)
    }

    fn answer(&self, mut response: ureq::http::Response<ureq::Body>) -> Result<Value> {
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec()
            .map_err(|error| self.unavailable(error))?;
        if !status.is_success() {
            return Err(refused(status.as_u16(), &String::from_utf8_lossy(&body)));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| self.not_understood(&error))
    }

    fn unavailable(&self, error: ureq::Error) -> RuntimeError {
        RuntimeError::TrackingUnavailable { uri: self.uri.clone(), detail: error.to_string() }
    }

    fn not_understood(&self, error: &serde_json::Error) -> RuntimeError {
        RuntimeError::TrackingUnavailable {
            uri: self.uri.clone(),
            detail: format!("its answer is not MLflow's: {error}"),
        }
    }
}

/// Where a file of a run lies.
enum Place {
    Port(String),
    Disk(PathBuf),
}

/// The server's words out of an answer that is an error.
fn refused(status: u16, body: &str) -> RuntimeError {
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let mut message = field("message");
    if message.is_empty() {
        message = body.chars().take(400).collect();
    }
    RuntimeError::TrackingRefused { status, code: field("error_code"), message }
}

fn take<'a, T>(rest: &mut &'a [T], most: usize) -> &'a [T] {
    let (some, others) = rest.split_at(most.min(rest.len()));
    *rest = others;
    some
}

fn pairs(pairs: &[(String, String)]) -> Value {
    cut_pairs(pairs, MAX_RUN_TAG_VALUE_CHARS)
}

fn cut_pairs(pairs: &[(String, String)], max_chars: usize) -> Value {
    pairs.iter().map(|(key, value)| json!({ "key": key, "value": cut(value, max_chars) })).collect()
}

fn cut(value: &str, max_chars: usize) -> String {
    if value.chars().count() <= max_chars {
        return value.to_owned();
    }
    value.chars().take(max_chars - 1).chain(['…']).collect()
}

fn metric_json(metric: &Metric) -> Value {
    // JSON has no such numbers; MLflow reads these words.
    let value = if metric.value.is_finite() {
        json!(metric.value)
    } else if metric.value.is_nan() {
        json!("NaN")
    } else {
        json!(if metric.value > 0.0 { "Infinity" } else { "-Infinity" })
    };
    json!({
        "key": metric.key,
        "value": value,
        "timestamp": metric.timestamp_ms,
        "step": metric.step,
    })
}

fn metric(value: &Value) -> Option<Metric> {
    let number = match &value["value"] {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.parse().ok()?,
        _ => 0.0,
    };
    Some(Metric {
        key: value["key"].as_str()?.to_owned(),
        value: number,
        timestamp_ms: integer(&value["timestamp"]).unwrap_or_default(),
        step: integer(&value["step"]).unwrap_or_default(),
    })
}

/// MLflow writes 64-bit numbers as numbers or as text.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn optional_number<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<u64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(integer(&value).and_then(|number| number.try_into().ok()))
}

fn text(value: &Value, name: &str) -> Result<String> {
    value[name].as_str().map(str::to_owned).ok_or_else(|| RuntimeError::TrackingRefused {
        status: 200,
        code: String::new(),
        message: format!("the answer has no {name}"),
    })
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn run_record(run: Value) -> Result<RunRecord> {
    let (info, data) = (&run["info"], &run["data"]);
    let map = |name: &str| {
        list(data, name)
            .iter()
            .filter_map(|pair| {
                let key = pair["key"].as_str()?.to_owned();
                Some((key, pair["value"].as_str().unwrap_or_default().to_owned()))
            })
            .collect()
    };
    Ok(RunRecord {
        info: RunInfo {
            run_id: text(info, "run_id")?,
            experiment_id: text(info, "experiment_id")?,
            name: info["run_name"].as_str().unwrap_or_default().to_owned(),
            status: info["status"]
                .as_str()
                .and_then(|status| status.parse().ok())
                .unwrap_or(RunStatus::Running),
            start_ms: integer(&info["start_time"]),
            end_ms: integer(&info["end_time"]),
            artifact_uri: info["artifact_uri"].as_str().unwrap_or_default().to_owned(),
            is_deleted: info["lifecycle_stage"] == "deleted",
        },
        params: map("params"),
        tags: map("tags"),
        metrics: list(data, "metrics")
            .iter()
            .filter_map(metric)
            .map(|metric| (metric.key.clone(), metric))
            .collect(),
    })
}

/// A path for an address: everything but letters, digits, `-._~` and `/` as `%XX`.
fn encoded(path: &str) -> String {
    use std::fmt::Write as _;
    path.bytes().fold(String::with_capacity(path.len()), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// The bytes that `%XX` in an address stand for.
fn decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut found = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = (bytes[at] == b'%')
            .then(|| path.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        found.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&found).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_addresses_go_there_and_back() {
        let check = |path: &str, expected: &str| {
            assert_eq!(encoded(path), expected);
            assert_eq!(decoded(expected), path);
        };
        check("a/b-c_d.txt", "a/b-c_d.txt");
        check("a b/é#?%", "a%20b/%C3%A9%23%3F%25");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz"), "%zz");
    }

    #[test]
    fn numbers_that_json_has_not_are_words() {
        let check = |value: f64, expected: Value| {
            let point = Metric { key: "m".into(), value, timestamp_ms: 1, step: 2 };
            let json = metric_json(&point);
            assert_eq!(json["value"], expected);
            let back = metric(&json).unwrap();
            assert_eq!(back.value.to_bits(), value.to_bits());
        };
        check(1.5, json!(1.5));
        check(f64::NAN, json!("NaN"));
        check(f64::INFINITY, json!("Infinity"));
        check(f64::NEG_INFINITY, json!("-Infinity"));
    }

    #[test]
    fn a_server_elsewhere_by_tls_is_refused_in_words() {
        let error = Tracking::new("https://example.org", None).unwrap_err();
        assert!(error.to_string().contains("https://example.org"), "{error}");
    }

    #[test]
    fn what_a_server_refuses_is_told_in_its_words() {
        let error = refused(404, r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"No run"}"#);
        assert!(matches!(
            error,
            RuntimeError::TrackingRefused { status: 404, ref code, ref message }
                if code == "RESOURCE_DOES_NOT_EXIST" && message == "No run"
        ));
    }
}
