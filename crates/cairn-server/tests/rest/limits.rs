//! Too much of anything is refused early, and says so.

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{App, request};

const CREATE: &str = "/api/2.0/mlflow/experiments/create";
const BATCH: &str = "/api/2.0/mlflow/runs/log-batch";

#[tokio::test]
async fn long_bodies_are_refused_before_they_are_read() {
    let app = App::new();
    let declared = request("POST", CREATE)
        .header("content-type", "application/json")
        .header("content-length", "400000000")
        .body(Body::from("{}"))
        .unwrap();
    let reply = app.send(declared).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(reply.message().contains("1 MiB"));
    let piece = Bytes::from(vec![b' '; 65_536]);
    for (path, limit) in [(CREATE, 1_usize << 20), (BATCH, 16 << 20)] {
        let piece = piece.clone();
        let endless =
            futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
        let bounded = futures_util::StreamExt::take(endless, limit / 65_536 + 2);
        let request = request("POST", path)
            .header("content-type", "application/json")
            .header("transfer-encoding", "chunked")
            .body(Body::from_stream(bounded))
            .unwrap();
        assert_eq!(app.send(request).await.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_fit_is_refused_before_it_is_read() {
    let app = App::new();
    let huge = request("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/huge")
        .header("content-length", "1000000000000000")
        .body(Body::from("begin"))
        .unwrap();
    let reply = app.send(huge).await;
    assert_eq!(reply.status, StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(reply.code(), "RESOURCE_EXHAUSTED");
    assert!(!app.dir.path().join("mlartifacts/0").exists());
}

#[tokio::test]
async fn a_batch_may_be_long_but_not_endless() {
    let app = App::new();
    let run = app.make_run().await;
    let metrics = |count: usize| -> Value {
        let metrics: Vec<Value> = (0..count)
            .map(|step| json!({"key": "loss", "value": 0.5, "timestamp": 1, "step": step}))
            .collect();
        json!({"run_id": run, "metrics": metrics})
    };
    app.post("runs/log-batch", metrics(1_000)).await;
    let reply = app.ask("POST", BATCH, Some(&metrics(1_001))).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        reply.message(),
        "A batch logging request can contain at most 1000 metrics. Got 1001 metrics. Please split \
         up metrics across multiple requests and try again."
    );
    let history = app.get(&format!("metrics/get-history?run_id={run}&metric_key=loss")).await;
    assert_eq!(history["metrics"].as_array().unwrap().len(), 1_000);
    // 2 MB, which another route would refuse.
    let params: Vec<Value> =
        (0..100).map(|n| json!({"key": format!("p{n}"), "value": "x".repeat(20_000)})).collect();
    app.post("runs/log-batch", json!({"run_id": run, "params": params})).await;
}

#[tokio::test]
async fn deep_and_packed_bodies_are_refused() {
    let app = App::new();
    let deep = format!("{}{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let reply = app.ask_text("POST", CREATE, "application/json", deep).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    // What is packed is not unpacked.
    let packed = request("POST", CREATE)
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(Body::from(vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0]))
        .unwrap();
    assert_eq!(app.send(packed).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn long_texts_are_refused() {
    let app = App::new();
    let run = app.make_run().await;
    for (path, body) in [
        ("runs/set-tag", json!({"run_id": run, "key": "k".repeat(1_000_000), "value": ""})),
        (
            "runs/search",
            json!({"experiment_ids": ["0"], "filter": format!("params.a = '{}'", "x".repeat(900_000)), "max_results": 1_i64 << 40}),
        ),
        ("runs/search", json!({"experiment_ids": ["0"], "filter": "a".repeat(1_000_000)})),
        (
            "runs/search",
            json!({"experiment_ids": ["0"], "filter": vec!["params.a = 'b'"; 20_000].join(" AND ")}),
        ),
        ("runs/search", json!({"experiment_ids": ["0"], "order_by": vec!["metrics.a"; 1_000]})),
        ("experiments/search", json!({"max_results": i64::MAX})),
        ("logged-models/search", json!({"experiment_ids": ["0"], "max_results": i64::MAX})),
    ] {
        let reply = app.ask("POST", &format!("/api/2.0/mlflow/{path}"), Some(&body)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}: {:?}", reply.body);
        assert!(reply.body.len() < 2_000, "{path}: the text is repeated");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_written_says_so() {
    use std::os::unix::fs::PermissionsExt as _;
    let app = App::new();
    drop(app.store);
    let database = app.dir.path().join("mlflow.db");
    // A revision that no one knows makes the store read-only, whoever asks.
    let bytes = std::fs::read(&database).unwrap();
    let known = b"6953534de441";
    let changed: Vec<u8> = {
        let mut bytes = bytes;
        let places: Vec<usize> = bytes
            .windows(known.len())
            .enumerate()
            .filter(|(_, it)| it == known)
            .map(|(at, _)| at)
            .collect();
        assert!(!places.is_empty(), "the revision is in the file");
        for at in places {
            bytes[at..at + known.len()].copy_from_slice(b"ffffffffffff");
        }
        bytes
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mlflow.db"), changed).unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let store = cairn_store::Store::open(dir.path(), cairn_store::OpenOptions::Existing).unwrap();
    assert!(store.read_only().is_some());
    let other = App::over(dir, store);
    let reply = other.ask("POST", CREATE, Some(&json!({"name": "x"}))).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::FORBIDDEN, "PERMISSION_DENIED"));
    assert!(reply.message().contains("reading only"), "{}", reply.message());
    let upload =
        other.ask_text("PUT", "/api/2.0/mlflow-artifacts/artifacts/f", "text/plain", "x").await;
    assert_eq!(upload.status, StatusCode::FORBIDDEN);
    let reply = other.ask("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", None).await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn a_long_history_comes_in_pieces_and_pages_without_a_gap() {
    let app = App::new();
    let run = app.make_run().await;
    let count = 23_000;
    for first in (0..count).step_by(1_000) {
        let metrics: Vec<Value> = (first..first + 1_000)
            .map(|step| json!({"key": "loss", "value": "NaN", "timestamp": step / 7, "step": step}))
            .collect();
        app.post("runs/log-batch", json!({"run_id": run, "metrics": metrics})).await;
    }
    let steps = |answer: &Value| -> Vec<i64> {
        let metrics = answer["metrics"].as_array().expect("points");
        metrics.iter().map(|metric| metric["step"].as_i64().unwrap()).collect()
    };
    let path = format!("metrics/get-history?run_id={run}&metric_key=loss");
    let whole = app.get(&path).await;
    assert_eq!(steps(&whole), (0..count).collect::<Vec<_>>());
    assert!(whole["next_page_token"].is_null());

    let mut paged = Vec::new();
    let mut token = String::new();
    for expected in [11_500, 11_500] {
        let page = app.get(&format!("{path}&max_results=11500{token}")).await;
        let steps = steps(&page);
        assert_eq!(steps.len(), expected);
        paged.extend(steps);
        token = page["next_page_token"]
            .as_str()
            .map_or(String::new(), |next| format!("&page_token={next}"));
    }
    assert_eq!((paged, token.as_str()), ((0..count).collect::<Vec<_>>(), ""));
    let none = app.get(&format!("metrics/get-history?run_id={run}&metric_key=none")).await;
    assert_eq!(none, json!({}));
}
