//! The routes that MLflow's own pages and scripts of users call, beside those of its client.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{App, Reply, encode, request};

const ROOT: &str = "/api/2.0/mlflow-artifacts/artifacts";
const INVALID: &str = "INVALID_PARAMETER_VALUE";

async fn put(app: &App, path: &str, body: &str) {
    let reply = app.ask_text("PUT", &format!("{ROOT}/{path}"), "text/plain", body.to_owned()).await;
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
}

fn assert_error(reply: &Reply, status: u16, code: &str, words: &str) {
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (status, code), "{:?}", reply.body);
    assert!(reply.message().contains(words), "{}", reply.message());
}

#[tokio::test]
async fn a_page_can_upload_a_small_file_of_a_run() {
    let app = App::new();
    let run = app.make_run().await;
    let post = async |query: &str, body: Vec<u8>| {
        let path = format!("/ajax-api/2.0/mlflow/upload-artifact{query}");
        app.ask_text("POST", &path, "application/octet-stream", body).await
    };
    let query = format!("?run_uuid={run}&path={}", encode("d/a b.txt"));
    let reply = post(&query, b"text".to_vec()).await;
    assert_eq!((reply.status, reply.body.len()), (StatusCode::OK, 0));
    let file = app.ask("GET", &format!("{ROOT}/0/{run}/artifacts/d/a%20b.txt"), None).await;
    assert_eq!(file.body, "text");
    assert_error(&post("?path=f", b"x".to_vec()).await, 400, INVALID, "must specify run_uuid");
    assert_error(
        &post(&format!("?run_uuid={run}"), b"x".to_vec()).await,
        400,
        INVALID,
        "must specify path",
    );
    assert_error(&post(&query, Vec::new()).await, 400, INVALID, "must specify data");
    let large = post(&query, vec![0; (10 << 20) + 1]).await;
    assert_error(&large, 400, INVALID, "Artifact size is too large. Max size is 10MB.");
    let exact = post(&format!("?run_uuid={run}&path=ten"), vec![0; 10 << 20]).await;
    assert_eq!(exact.status, StatusCode::OK);
    let other = "?run_uuid=0123456789abcdef0123456789abcdef&path=f";
    assert_error(&post(other, b"x".to_vec()).await, 404, "RESOURCE_DOES_NOT_EXIST", "not found");
    let escape = format!("?run_uuid={run}&path=..%2f..%2fx");
    assert_error(&post(&escape, b"x".to_vec()).await, 400, INVALID, "Invalid path");
    // Not under the prefix of the client, as in MLflow.
    let api = app.ask("POST", &format!("/api/2.0/mlflow/upload-artifact{query}"), None).await;
    assert_eq!(api.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_upload_outside_the_tree_is_refused() {
    let app = App::new();
    let location = app.dir.path().join("mlruns/9");
    let made = app
        .post("experiments/create", json!({"name": "local", "artifact_location": location}))
        .await;
    let run = app.post("runs/create", json!({"experiment_id": made["experiment_id"]})).await;
    let run = run["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let path = format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=f");
    let reply = app.ask_text("POST", &path, "text/plain", "x").await;
    assert_error(&reply, 400, INVALID, "outside the artifact tree");
    assert!(!location.exists());
}

#[tokio::test]
async fn files_of_a_version_come_from_where_its_source_is() {
    let app = App::new();
    let run = app.make_run().await;
    put(&app, &format!("0/{run}/artifacts/model/MLmodel"), "of the run").await;
    let logged = app
        .post("logged-models", json!({"experiment_id": "0", "name": "net", "source_run_id": run}))
        .await;
    let model = logged["model"]["info"]["model_id"].as_str().unwrap().to_owned();
    put(&app, &format!("0/models/{model}/artifacts/MLmodel"), "of the model").await;
    app.post("registered-models/create", json!({"name": "m"})).await;
    for body in [
        json!({"source": format!("runs:/{run}/model"), "run_id": run}),
        json!({"source": format!("mlflow-artifacts:/0/{run}/artifacts/model"), "run_id": run}),
        json!({"source": format!("models:/{model}"), "model_id": model}),
        // The run has no such folder; it made a logged model of that name.
        json!({"source": format!("runs:/{run}/net"), "run_id": run}),
        json!({"source": "s3://bucket/m"}),
    ] {
        let mut body = body;
        body["name"] = json!("m");
        app.post("model-versions/create", body).await;
    }
    let get = async |version: &str, path: &str| {
        let path = format!("/model-versions/get-artifact?name=m&version={version}&path={path}");
        app.ask("GET", &path, None).await
    };
    for (version, text) in
        [("1", "of the run"), ("2", "of the run"), ("3", "of the model"), ("4", "of the model")]
    {
        let reply = get(version, "MLmodel").await;
        assert_eq!(reply.body, text, "{version}");
        assert!(reply.header("content-disposition").starts_with("attachment"));
        let missing = get(version, "nothing").await;
        assert_error(&missing, 404, "RESOURCE_DOES_NOT_EXIST", "No such artifact");
    }
    assert_error(&get("5", "MLmodel").await, 400, INVALID, "outside the store");
    assert_error(&get("9", "MLmodel").await, 404, "RESOURCE_DOES_NOT_EXIST", "version=9");
    assert_error(&get("x", "MLmodel").await, 400, INVALID, "must be an integer");
    for path in ["", "..%2fMLmodel", "%2fetc%2fpasswd", "a%2f..%2f..%2fx"] {
        assert_eq!(get("1", path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn files_of_a_logged_model_are_sent() {
    let app = App::new();
    let made = app.post("logged-models", json!({"experiment_id": "0", "name": "net"})).await;
    let id = made["model"]["info"]["model_id"].as_str().unwrap().to_owned();
    put(&app, &format!("0/models/{id}/artifacts/d/f"), "1").await;
    let get = async |id: &str, query: &str| {
        let path = format!("/ajax-api/2.0/mlflow/logged-models/{id}/artifacts/files{query}");
        app.ask("GET", &path, None).await
    };
    assert_eq!(get(&id, "?artifact_file_path=d/f").await.body, "1");
    assert_error(&get(&id, "").await, 400, "BAD_REQUEST", "artifact_file_path");
    let missing = "RESOURCE_DOES_NOT_EXIST";
    assert_error(&get(&id, "?artifact_file_path=g").await, 404, missing, "No such artifact");
    assert_error(&get("m-1", "?artifact_file_path=g").await, 404, missing, "");
    assert_error(&get("a%2fb", "?artifact_file_path=g").await, 404, missing, "");
    let escape = get(&id, "?artifact_file_path=..%2f..%2f..%2f..%2fmlflow.db").await;
    assert_error(&escape, 400, INVALID, "Invalid path");
}

#[tokio::test]
async fn datasets_of_experiments_are_summed_up() {
    let app = App::new();
    let (first, second) = (app.make_run().await, app.make_run().await);
    let input = |name: &str, context: Option<&str>| {
        let tags: Vec<Value> = context
            .map(|context| json!({"key": "mlflow.data.context", "value": context}))
            .into_iter()
            .collect();
        json!({"tags": tags, "dataset":
            {"name": name, "digest": "d1", "source_type": "local", "source": "{}"}})
    };
    app.post(
        "runs/log-inputs",
        json!({"run_id": first, "datasets": [input("b", Some("training")), input("a", None)]}),
    )
    .await;
    app.post(
        "runs/log-inputs",
        json!({"run_id": second, "datasets": [input("b", Some("training")), input("b", Some("eval"))]}),
    )
    .await;
    let ask = async |ids: Value| {
        let body = json!({"experiment_ids": ids});
        app.ask("POST", "/ajax-api/2.0/mlflow/experiments/search-datasets", Some(&body)).await
    };
    assert_eq!(
        ask(json!(["0"])).await.json(),
        json!({"dataset_summaries": [
            {"experiment_id": "0", "name": "a", "digest": "d1"},
            {"experiment_id": "0", "name": "b", "digest": "d1", "context": "training"}
        ]})
    );
    assert_eq!(ask(json!(["7"])).await.json(), json!({}));
    assert_error(&ask(json!([])).await, 400, INVALID, "at least one experiment_id");
    assert_error(&ask(json!(vec!["0"; 21])).await, 400, INVALID, "more than 20 experiment_ids");
    assert_error(&ask(json!([0])).await, 400, INVALID, "experiment_ids");
    let api = app.ask("POST", "/api/2.0/mlflow/experiments/search-datasets", None).await;
    assert_eq!(api.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn old_clients_note_their_models_in_a_tag() {
    let app = App::new();
    let run = app.make_run().await;
    let model = |path: &str| {
        json!({"artifact_path": path, "run_id": run, "utc_time_created": "2026-01-01 00:00:00",
            "flavors": {"sklearn": {"code": null, "config": {"a": 1}}}, "signature": {"inputs": "[]"}})
    };
    for path in ["first", "second"] {
        let body = json!({"run_id": run, "model_json": model(path).to_string()});
        assert_eq!(app.post("runs/log-model", body).await, json!({}));
    }
    let found = app.get(&format!("runs/get?run_id={run}")).await;
    let tags = found["run"]["data"]["tags"].as_array().unwrap();
    let tag = tags.iter().find(|tag| tag["key"] == "mlflow.log-model.history").unwrap();
    let history: Value = serde_json::from_str(tag["value"].as_str().unwrap()).unwrap();
    let kept = |path: &str| {
        json!({"artifact_path": path, "run_id": run, "utc_time_created": "2026-01-01 00:00:00",
            "flavors": {"sklearn": {"code": null}}})
    };
    assert_eq!(history, json!([kept("first"), kept("second")]));
    let ask =
        async |body: Value| app.ask("POST", "/api/2.0/mlflow/runs/log-model", Some(&body)).await;
    let bad = |text: &str| json!({"run_id": run, "model_json": text});
    assert_error(&ask(bad("{")).await, 400, INVALID, "Malformed model info");
    assert_error(&ask(bad("[]")).await, 400, INVALID, "Malformed model info");
    assert_error(&ask(bad("{\"run_id\": \"x\"}")).await, 400, INVALID, "artifact_path, flavors");
    let flavors = model("x").to_string().replace("{\"sklearn\"", "[{\"sklearn\"");
    assert_error(&ask(bad(&flavors)).await, 400, INVALID, "Malformed model info");
    assert_error(&ask(json!({"run_id": run})).await, 400, INVALID, "'model_json'");
    let long = json!({"run_id": run, "model_json": model(&"x".repeat(600_000)).to_string()});
    assert_eq!(ask(long.clone()).await.status, StatusCode::OK);
    assert_error(&ask(long).await, 400, INVALID, "at most 1 MiB");
    app.post(
        "runs/set-tag",
        json!({"run_id": run, "key": "mlflow.log-model.history", "value": "x"}),
    )
    .await;
    assert_error(&ask(bad(&model("x").to_string())).await, 400, INVALID, "not a list of models");
    app.post("runs/delete", json!({"run_id": run})).await;
    assert_error(&ask(bad(&model("x").to_string())).await, 400, INVALID, "'active' state");
}

#[tokio::test]
async fn what_only_clouds_have_is_refused_in_words() {
    let app = App::new();
    let run = app.make_run().await;
    for prefix in ["/api/2.0", "/ajax-api/2.0"] {
        for (method, below) in [
            ("POST", "mpu/create"),
            ("POST", "mpu/complete"),
            ("POST", "mpu/abort"),
            ("GET", "presigned"),
        ] {
            let path = format!("{prefix}/mlflow-artifacts/{below}");
            let reply = app.ask(method, &format!("{path}/0/{run}/artifacts/f"), None).await;
            assert_error(&reply, 501, "NOT_IMPLEMENTED", "Multipart upload is not supported");
            let escape = app.ask(method, &format!("{path}/..%2f..%2fx"), None).await;
            assert_error(&escape, 400, INVALID, "Invalid path");
        }
        for name in ["presigned-upload-url", "presigned-download-url"] {
            let path = format!("{prefix}/mlflow/artifacts/{name}");
            let ask = async |body: Value| app.ask("POST", &path, Some(&body)).await;
            let reply = ask(json!({"run_id": run, "path": "f"})).await;
            assert_error(&reply, 400, INVALID, "Presigned URLs are not supported");
            assert_error(&ask(json!({"path": "f"})).await, 400, INVALID, "Exactly one of");
            let both = ask(json!({"path": "f", "run_id": run, "model_id": "m-1"})).await;
            assert_error(&both, 400, INVALID, "Exactly one of");
            assert_error(&ask(json!({"run_id": run})).await, 400, INVALID, "'path'");
            let escape = ask(json!({"run_id": run, "path": "../f"})).await;
            assert_error(&escape, 400, INVALID, "Invalid path");
        }
    }
    assert!(!app.dir.path().join("mlartifacts").exists());
}

#[tokio::test]
async fn pages_learn_that_nothing_is_collected() {
    let app = App::new();
    for method in ["GET", "POST"] {
        let reply = app.ask(method, "/ajax-api/3.0/mlflow/ui-telemetry", None).await;
        assert_eq!(
            reply.json(),
            json!({"disable_ui_events": [], "disable_ui_telemetry": true, "ui_rollout_percentage": 0})
        );
    }
}

#[tokio::test]
async fn another_workspace_is_not_mistaken_for_this_one() {
    let app = App::new();
    let before = app.fingerprint();
    let ask = async |workspace: &str| {
        let request = request("POST", "/api/2.0/mlflow/experiments/create")
            .header("content-type", "application/json")
            .header("x-mlflow-workspace", workspace);
        app.send(request.body(r#"{"name":"x"}"#.into()).unwrap()).await
    };
    for workspace in ["team", "", "Default"] {
        let reply = ask(workspace).await;
        assert_error(&reply, 501, "NOT_IMPLEMENTED", "no workspaces");
    }
    assert_eq!(app.fingerprint(), before);
    assert_eq!(ask("default").await.status, StatusCode::OK);
}
