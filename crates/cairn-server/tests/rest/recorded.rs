//! What a stock MLflow 3.18 server answered to its own client, asked again here.
//!
//! `recorded/classic.json` is the conversation: recorded requests with their answers, and set-up
//! steps in between that bring the store to the state in which the next one was recorded. Ids that
//! the server makes are matched to ours as they appear; times that it takes are only compared in
//! kind. The order of tags and parameters is free, all other orders are not.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{App, encode, request};

#[derive(Deserialize)]
struct Step {
    when: String,
    method: String,
    path: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    body: Option<Value>,
    /// Sends so many bytes in place of JSON.
    bytes: Option<usize>,
    status: u16,
    answer: Option<Value>,
    answer_bytes: Option<usize>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Whether the answer may have more than is told.
    #[serde(default)]
    partial: bool,
}

/// Times that the server takes from its own clock.
const OWN_TIMES: &[&str] = &[
    "creation_time",
    "last_update_time",
    "creation_timestamp",
    "last_updated_timestamp",
    "creation_timestamp_ms",
    "last_updated_timestamp_ms",
];
/// Names of ids that the server makes.
const OWN_IDS: &[&str] = &["run_id", "model_id"];
/// A name that the recorded server made up.
const MADE_UP_NAME: &str = "rambunctious-kit-210";
/// Flags of parts that Cairn does not have; MLflow's client reads none of them.
const OTHER_FLAGS: &[&str] = &[
    "gateway",
    "scheduled_issue_detection",
    "presigned_upload_run_id_supported",
    "presigned_upload_model_id_supported",
    "model_artifact_presigned_downloads_supported",
    "skill_content_max_files",
    "skill_content_max_size",
];

#[tokio::test]
async fn the_recorded_conversation_goes_the_same_way() {
    replay("/api/").await;
}

#[tokio::test]
async fn the_other_prefix_answers_the_same() {
    replay("/ajax-api/").await;
}

async fn replay(prefix: &str) {
    let app = App::new();
    let conversation: Vec<Value> =
        serde_json::from_str(include_str!("recorded/classic.json")).expect("the conversation");
    assert!(conversation.len() > 100);
    let mut ours: BTreeMap<String, String> = BTreeMap::new();
    for (number, recorded) in conversation.iter().enumerate() {
        let step: Step = serde_json::from_value(translated(recorded, &ours)).expect("a step");
        let place = format!("step {number}, {}: {} {}", step.when, step.method, step.path);
        let reply = app.send(build(&step, prefix)).await;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(reply.status.as_u16(), step.status, "{place}: {text}");
        for (name, expected) in &step.headers {
            assert_eq!(reply.header(name), expected, "{place}: {name}");
        }
        if let Some(length) = step.answer_bytes {
            assert_eq!(reply.body.len(), length, "{place}");
        }
        if let Some(answer) = &step.answer {
            let actual = reply.json();
            learn_ids(answer, &actual, &mut ours);
            let expected = translated(answer, &ours);
            check(&expected, &actual, "", step.partial)
                .unwrap_or_else(|trouble| panic!("{place}: {trouble}\n{actual:#}"));
        }
        // Searches sort by creation time, which has milliseconds.
        if step.path.ends_with("/create") {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

fn build(step: &Step, prefix: &str) -> http::Request<axum::body::Body> {
    let mut url = step.path.replacen("/api/", prefix, 1);
    for (index, (key, value)) in step.query.iter().enumerate() {
        url.push(if index == 0 { '?' } else { '&' });
        url.extend([key, "=", &encode(value)]);
    }
    let mut request =
        request(&step.method, &url).header("user-agent", "mlflow-python-client/3.18.0");
    let body = match (&step.body, step.bytes) {
        (Some(json), _) => {
            request = request.header("content-type", "application/json");
            json.to_string().into_bytes()
        }
        (None, Some(length)) => {
            request = request.header("content-type", "text/plain");
            vec![b'x'; length]
        }
        (None, None) => Vec::new(),
    };
    request.header("content-length", body.len()).body(body.into()).expect("a request")
}

/// The same with our ids in place of the recorded ones.
fn translated(recorded: &Value, ours: &BTreeMap<String, String>) -> Value {
    let mut text = recorded.to_string();
    for (theirs, our) in ours {
        text = text.replace(theirs, our);
    }
    serde_json::from_str(&text).expect("ids are plain text")
}

/// Pairs ids that are met for the first time.
fn learn_ids(recorded: &Value, actual: &Value, ours: &mut BTreeMap<String, String>) {
    match (recorded, actual) {
        (Value::Object(recorded), Value::Object(actual)) => {
            for (key, value) in recorded {
                let Some(other) = actual.get(key) else { continue };
                let (Some(theirs), Some(our)) = (value.as_str(), other.as_str()) else {
                    learn_ids(value, other, ours);
                    continue;
                };
                let is_id = OWN_IDS.contains(&key.as_str()) && theirs.len() >= 32;
                let is_new = !ours.values().any(|known| known == theirs);
                if (is_id && is_new) || theirs == MADE_UP_NAME {
                    assert_eq!(
                        our.len() == theirs.len(),
                        is_id,
                        "{theirs} and {our} differ in kind"
                    );
                    ours.entry(theirs.to_owned()).or_insert_with(|| our.to_owned());
                }
            }
        }
        (Value::Array(recorded), Value::Array(actual)) => {
            recorded.iter().zip(actual).for_each(|(a, b)| learn_ids(a, b, ours));
        }
        _ => {}
    }
}

fn check(expected: &Value, actual: &Value, at: &str, partial: bool) -> Result<(), String> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            let known = |key: &&String| !OTHER_FLAGS.contains(&key.as_str());
            for key in expected.keys().filter(known) {
                let other = actual.get(key).ok_or_else(|| format!("{at}/{key} is missing"))?;
                let below = format!("{at}/{key}");
                if OWN_TIMES.contains(&key.as_str()) {
                    if other.as_i64().is_none_or(|time| time < 1_500_000_000_000) {
                        return Err(format!("{below} is no time: {other}"));
                    }
                } else {
                    check(&sorted(key, &expected[key]), &sorted(key, other), &below, partial)?;
                }
            }
            let extra: Vec<_> =
                actual.keys().filter(known).filter(|key| !expected.contains_key(*key)).collect();
            if extra.is_empty() || partial {
                Ok(())
            } else {
                Err(format!("{at} also has {extra:?}"))
            }
        }
        (Value::Array(expected), Value::Array(actual)) => {
            if expected.len() != actual.len() {
                return Err(format!("{at} has {} items, not {}", actual.len(), expected.len()));
            }
            for (index, (a, b)) in expected.iter().zip(actual).enumerate() {
                check(a, b, &format!("{at}[{index}]"), partial)?;
            }
            Ok(())
        }
        // 1 and 1.0 are different texts of one number; doubles and whole numbers stay apart.
        (expected, actual) if expected == actual => Ok(()),
        (expected, actual) => Err(format!("{at} is {actual}, not {expected}")),
    }
}

/// Lists whose order is free, sorted.
fn sorted(key: &str, value: &Value) -> Value {
    match value {
        Value::Array(items) if matches!(key, "tags" | "params") => {
            let mut items = items.clone();
            items.sort_by_key(|item| item["key"].as_str().map(str::to_owned));
            Value::Array(items)
        }
        other => other.clone(),
    }
}

#[tokio::test]
async fn every_route_of_the_client_was_recorded() {
    let conversation: Vec<Value> =
        serde_json::from_str(include_str!("recorded/classic.json")).expect("the conversation");
    let asked: Vec<(&str, &str)> = conversation
        .iter()
        .map(|step| (step["method"].as_str().unwrap(), step["path"].as_str().unwrap()))
        .collect();
    // Second ways to ask for the same, and what no client of 3.18 was seen to use.
    let not_recorded = [
        "/mlflow/experiments/search",
        "/mlflow/registered-models/get-latest-versions",
        "/mlflow-artifacts/artifacts/",
        "/health",
        "/version",
    ];
    for route in cairn_server::ROUTES {
        if route.tier != cairn_server::Tier::Client || not_recorded.contains(&route.path) {
            continue;
        }
        let pattern: Vec<&str> = route.path.split('/').collect();
        let is_asked = asked.iter().any(|(method, path)| {
            let below = path.splitn(4, '/').nth(3).unwrap_or_default();
            let parts: Vec<&str> = std::iter::once("").chain(below.split('/')).collect();
            let fits =
                |(part, pattern): (&&str, &&str)| pattern.starts_with('{') || part == pattern;
            let has_length = parts.len() == pattern.len()
                || (route.path.contains("{*") && parts.len() > pattern.len());
            *method == route.method.as_str() && has_length && parts.iter().zip(&pattern).all(fits)
        });
        assert!(is_asked, "{route:?}");
    }
}

#[tokio::test]
async fn health_and_version_are_plain_text() {
    let app = App::new();
    let health = app.ask("GET", "/health", None).await;
    assert_eq!((health.status, health.body.as_ref()), (StatusCode::OK, b"OK".as_ref()));
    let version = app.ask("GET", "/version", None).await;
    assert_eq!(version.body.as_ref(), b"3.18.0");
    assert!(!version.header("x-cairn-version").is_empty());
    assert!(version.header("content-type").starts_with("text/plain"));
}
