//! Requests that cannot be done: each has its status, code and words.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::App;

/// Asks, and compares status, code and a part of the message.
async fn check(app: &App, method: &str, path: &str, body: Value, expected: (u16, &str, &str)) {
    let path = format!("/api/2.0/mlflow/{path}");
    let body = (!body.is_null()).then_some(&body);
    let reply = app.ask(method, &path, body).await;
    let (status, code, message) = expected;
    let what = format!("{method} {path} {body:?}: {:?}", reply.body);
    assert_eq!(reply.status.as_u16(), status, "{what}");
    assert_eq!(reply.code(), code, "{what}");
    assert!(reply.message().contains(message), "{what}");
    assert!(!reply.message().to_ascii_uppercase().contains("INSERT INTO"), "{what}");
}

const INVALID: &str = "INVALID_PARAMETER_VALUE";
const MISSING: &str = "RESOURCE_DOES_NOT_EXIST";

#[tokio::test]
async fn experiments() {
    let app = App::new();
    let post = "POST";
    check(
        &app,
        post,
        "experiments/create",
        json!({}),
        (400, INVALID, "Missing value for required parameter 'name'"),
    )
    .await;
    check(&app, post, "experiments/create", json!({"name": ""}), (400, INVALID, "Missing value"))
        .await;
    check(
        &app,
        post,
        "experiments/create",
        json!({"name": "  "}),
        (400, INVALID, "Invalid experiment name: '  '"),
    )
    .await;
    check(
        &app,
        post,
        "experiments/create",
        json!({"name": "x".repeat(501)}),
        (400, INVALID, "500"),
    )
    .await;
    check(
        &app,
        post,
        "experiments/create",
        json!({"name": 5}),
        (
            400,
            INVALID,
            "Invalid value 5 for parameter 'name' supplied:  Hint: Value was of type 'int'.",
        ),
    )
    .await;
    check(
        &app,
        post,
        "experiments/create",
        json!({"name": "Default"}),
        (400, "RESOURCE_ALREADY_EXISTS", "Experiment(name=Default) already exists."),
    )
    .await;
    check(
        &app,
        post,
        "experiments/create",
        json!({"name": "a", "artifact_location": "s3://b/#f"}),
        (400, INVALID, "'artifact_location' URL can't include fragments or params."),
    )
    .await;
    check(
        &app,
        post,
        "experiments/create",
        json!({"name": "a", "tags": "x"}),
        (400, INVALID, "of type 'str'"),
    )
    .await;
    check(
        &app,
        post,
        "experiments/create",
        json!({"name": "a", "tags": [{"value": "x"}]}),
        (400, INVALID, "'tags[0].key'"),
    )
    .await;
    check(
        &app,
        "GET",
        "experiments/get?experiment_id=77",
        Value::Null,
        (404, MISSING, "No Experiment with id=77 exists"),
    )
    .await;
    check(&app, "GET", "experiments/get?experiment_id=x", Value::Null, (400, INVALID, "'x'")).await;
    check(&app, "GET", "experiments/get", Value::Null, (400, INVALID, "'experiment_id'")).await;
    check(&app, post, "experiments/search", json!({}), (400, INVALID, "max_results")).await;
    check(
        &app,
        post,
        "experiments/search",
        json!({"max_results": 50_001}),
        (400, INVALID, "50000"),
    )
    .await;
    check(
        &app,
        post,
        "experiments/search",
        json!({"max_results": 5, "filter": "name ="}),
        (400, INVALID, ""),
    )
    .await;
    check(
        &app,
        post,
        "experiments/search",
        json!({"max_results": 5, "order_by": ["nothing ASC"]}),
        (400, INVALID, "nothing"),
    )
    .await;
    check(
        &app,
        post,
        "experiments/search",
        json!({"max_results": 5, "page_token": "x"}),
        (400, INVALID, "page token"),
    )
    .await;
    check(
        &app,
        post,
        "experiments/search",
        json!({"max_results": 5, "view_type": "SOME"}),
        (400, INVALID, "ACTIVE_ONLY"),
    )
    .await;
    app.post("experiments/create", json!({"name": "b"})).await;
    check(
        &app,
        post,
        "experiments/update",
        json!({"experiment_id": "1", "new_name": "Default"}),
        (400, "RESOURCE_ALREADY_EXISTS", "Default"),
    )
    .await;
    check(&app, post, "experiments/restore", json!({"experiment_id": "1"}), (404, MISSING, ""))
        .await;
    app.post("experiments/delete", json!({"experiment_id": "1"})).await;
    check(&app, post, "experiments/delete", json!({"experiment_id": "1"}), (404, MISSING, ""))
        .await;
    check(
        &app,
        post,
        "experiments/update",
        json!({"experiment_id": "1", "new_name": "c"}),
        (400, "INVALID_STATE", "Cannot rename a non-active experiment."),
    )
    .await;
    check(
        &app,
        post,
        "experiments/create",
        json!({"name": "b"}),
        (400, "RESOURCE_ALREADY_EXISTS", "already exists."),
    )
    .await;
    check(
        &app,
        post,
        "experiments/set-experiment-tag",
        json!({"experiment_id": "0", "key": "a//b", "value": "1"}),
        (400, INVALID, "resolve"),
    )
    .await;
    check(
        &app,
        post,
        "experiments/set-experiment-tag",
        json!({"experiment_id": "0", "key": "k", "value": "v".repeat(20_001)}),
        (400, INVALID, "20000"),
    )
    .await;
    check(
        &app,
        post,
        "experiments/delete-experiment-tag",
        json!({"experiment_id": "0", "key": "k"}),
        (404, MISSING, "No tag with name: k in experiment with id 0"),
    )
    .await;
}

#[tokio::test]
async fn runs() {
    let app = App::new();
    let run = app.make_run().await;
    let post = "POST";
    check(
        &app,
        post,
        "runs/create",
        json!({"experiment_id": "9"}),
        (404, MISSING, "No Experiment with id=9 exists"),
    )
    .await;
    check(
        &app,
        post,
        "runs/create",
        json!({"experiment_id": "0", "start_time": 1.5}),
        (400, INVALID, "of type 'float'"),
    )
    .await;
    check(&app, post, "runs/create", json!({"experiment_id": "0", "run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]}), (400, INVALID, "mlflow.runName")).await;
    check(&app, post, "runs/create", json!({"experiment_id": "0", "tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "1"}]}), (400, "BAD_REQUEST", "'a'")).await;
    check(
        &app,
        "GET",
        "runs/get?run_id=0123456789abcdef0123456789abcdef",
        Value::Null,
        (404, MISSING, "Run with id=0123456789abcdef0123456789abcdef not found"),
    )
    .await;
    check(
        &app,
        "GET",
        "runs/get?run_id=..%2Fx",
        Value::Null,
        (404, MISSING, "Run with id=../x not found"),
    )
    .await;
    check(&app, "GET", "runs/get", Value::Null, (400, INVALID, "'run_id'")).await;
    check(
        &app,
        post,
        "runs/update",
        json!({"run_id": run, "status": "DONE"}),
        (400, INVALID, "FINISHED"),
    )
    .await;
    check(
        &app,
        post,
        "runs/log-metric",
        json!({"run_id": run, "key": "m", "timestamp": 1}),
        (400, INVALID, "'value'"),
    )
    .await;
    check(
        &app,
        post,
        "runs/log-metric",
        json!({"run_id": run, "key": "m", "value": "abc", "timestamp": 1}),
        (400, INVALID, "Invalid value abc for parameter 'value'"),
    )
    .await;
    check(
        &app,
        post,
        "runs/log-metric",
        json!({"run_id": run, "key": "m", "value": 1, "timestamp": -1}),
        (400, INVALID, "-1"),
    )
    .await;
    check(
        &app,
        post,
        "runs/log-metric",
        json!({"run_id": run, "key": "m\"x", "value": 1, "timestamp": 1}),
        (400, INVALID, "Names may only contain"),
    )
    .await;
    check(
        &app,
        post,
        "runs/log-metric",
        json!({"run_id": run, "key": "k".repeat(251), "value": 1, "timestamp": 1}),
        (400, INVALID, "exceeds the maximum length of 250 characters"),
    )
    .await;
    check(
        &app,
        post,
        "runs/log-metric",
        json!({"run_id": run, "runId": run, "key": "m", "value": 1, "timestamp": 1}),
        (400, INVALID, "Request specifies both 'run_id' and 'runId'"),
    )
    .await;
    app.post("runs/log-parameter", json!({"run_id": run, "key": "p", "value": "A"})).await;
    check(&app, post, "runs/log-parameter", json!({"run_id": run, "key": "p", "value": "B"}), (400, INVALID, &format!("Changing param values is not allowed. Param with key='p' was already logged with value='A' for run ID='{run}'. Attempted logging new value 'B'."))).await;
    check(
        &app,
        post,
        "runs/log-batch",
        json!({"run_id": run, "params": [{"key": "p", "value": "9"}]}),
        (
            400,
            INVALID,
            "Params were already logged='[{'key': 'p', 'old_value': 'A', 'new_value': '9'}]'",
        ),
    )
    .await;
    check(&app, post, "runs/log-batch", json!({"run_id": run, "params": [{"key": "dd", "value": "1"}, {"key": "dd", "value": "1"}]}), (400, INVALID, "Duplicate parameter keys have been submitted: ['dd'].")).await;
    check(&app, post, "runs/log-batch", json!({"run_id": run, "metrics": [{"key": "ok", "value": 1, "timestamp": 1}, {"key": "m", "value": [], "timestamp": 1}]}), (400, INVALID, "'metrics[1].value'")).await;
    check(&app, post, "runs/log-batch", json!({"run_uuid": run}), (400, INVALID, "'run_id'")).await;
    check(&app, post, "runs/log-batch", json!({"run_id": "a b"}), (400, INVALID, "Invalid run ID"))
        .await;
    check(
        &app,
        post,
        "runs/delete-tag",
        json!({"run_id": run, "key": "t"}),
        (404, MISSING, &format!("No tag with name: t in run with id {run}")),
    )
    .await;
    check(
        &app,
        post,
        "runs/search",
        json!({"experiment_ids": ["0"], "max_results": 0}),
        (400, INVALID, "max_results"),
    )
    .await;
    check(
        &app,
        post,
        "runs/search",
        json!({"experiment_ids": ["0"], "max_results": "9223372036854775807"}),
        (400, INVALID, "50000"),
    )
    .await;
    check(
        &app,
        post,
        "runs/search",
        json!({"experiment_ids": [15]}),
        (400, INVALID, "'experiment_ids'"),
    )
    .await;
    check(
        &app,
        post,
        "runs/search",
        json!({"experiment_ids": ["0"], "filter": "metrics.a = 1 OR metrics.b = 2"}),
        (400, INVALID, ""),
    )
    .await;
    check(
        &app,
        post,
        "runs/search",
        json!({"experiment_ids": ["0"], "filter": "foo.a = 1"}),
        (400, INVALID, "foo"),
    )
    .await;
    check(&app, post, "runs/log-inputs", json!({"run_id": run, "datasets": [{"dataset": {"name": "d", "digest": "x".repeat(37), "source_type": "s", "source": "{}"}}]}), (400, INVALID, "36")).await;
    check(
        &app,
        post,
        "runs/log-inputs",
        json!({"run_id": run, "datasets": [{}]}),
        (400, INVALID, "'datasets[0].dataset'"),
    )
    .await;
    check(&app, post, "runs/outputs", json!({"run_id": run}), (400, INVALID, "'models'")).await;
    check(
        &app,
        "GET",
        &format!("metrics/get-history?run_id={run}&metric_key=m&max_results=0"),
        Value::Null,
        (400, INVALID, "max_results"),
    )
    .await;
    app.post("runs/delete", json!({"run_id": run})).await;
    check(
        &app,
        post,
        "runs/log-metric",
        json!({"run_id": run, "key": "m", "value": 1, "timestamp": 1}),
        (
            400,
            INVALID,
            &format!("The run {run} must be in the 'active' state. Current state is deleted."),
        ),
    )
    .await;
    // Nothing of all this was kept.
    let kept = app.get(&format!("runs/get?run_id={run}")).await;
    assert_eq!(kept["run"]["data"].get("metrics"), None);
    assert_eq!(kept["run"]["data"]["params"], json!([{"key": "p", "value": "A"}]));
}

#[tokio::test]
async fn models() {
    let app = App::new();
    let post = "POST";
    check(
        &app,
        post,
        "registered-models/create",
        json!({"name": "a/b"}),
        (400, INVALID, "Invalid model name 'a/b'. Names cannot contain '/' or ':'."),
    )
    .await;
    check(
        &app,
        "GET",
        "registered-models/get?name=x",
        Value::Null,
        (404, MISSING, "Registered Model with name=x not found"),
    )
    .await;
    app.post("registered-models/create", json!({"name": "m"})).await;
    check(
        &app,
        post,
        "registered-models/create",
        json!({"name": "m"}),
        (400, "RESOURCE_ALREADY_EXISTS", "Registered Model (name=m) already exists."),
    )
    .await;
    check(&app, "DELETE", "registered-models/delete?name=m", Value::Null, (400, INVALID, "'name'"))
        .await;
    check(
        &app,
        "GET",
        "registered-models/alias?name=m&alias=a",
        Value::Null,
        (400, INVALID, "Registered model alias a not found."),
    )
    .await;
    check(
        &app,
        "GET",
        "model-versions/get?name=m&version=1",
        Value::Null,
        (404, MISSING, "Model Version (name=m, version=1) not found"),
    )
    .await;
    check(
        &app,
        "GET",
        "model-versions/get?name=m&version=abc",
        Value::Null,
        (400, INVALID, "Parameter 'version' must be an integer, got 'abc'."),
    )
    .await;
    check(
        &app,
        post,
        "model-versions/create",
        json!({"name": "m", "source": "file:///etc/"}),
        (400, INVALID, "Invalid model version source"),
    )
    .await;
    check(&app, post, "model-versions/create", json!({"name": "m", "source": "../../../etc", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}), (400, INVALID, "Invalid model version source")).await;
    check(
        &app,
        post,
        "registered-models/get-latest-versions",
        json!({"name": "m", "stages": ["Nowhere"]}),
        (400, INVALID, "Value must be one of None, Staging, Production, Archived."),
    )
    .await;
    app.post("model-versions/create", json!({"name": "m", "source": "s3://bucket/m"})).await;
    check(
        &app,
        post,
        "registered-models/alias",
        json!({"name": "m", "alias": "Latest", "version": "1"}),
        (400, INVALID, "alias name (case insensitive) is reserved"),
    )
    .await;
    check(
        &app,
        post,
        "registered-models/alias",
        json!({"name": "m", "alias": "a", "version": 1}),
        (400, INVALID, "of type 'int'"),
    )
    .await;
    check(
        &app,
        post,
        "model-versions/transition-stage",
        json!({"name": "m", "version": "1", "stage": "Gone"}),
        (400, INVALID, "Invalid Model Version stage"),
    )
    .await;
    check(
        &app,
        post,
        "logged-models",
        json!({"experiment_id": "0", "name": "a:b"}),
        (400, INVALID, ""),
    )
    .await;
    check(
        &app,
        post,
        "logged-models",
        json!({"experiment_id": "8", "name": "a"}),
        (404, MISSING, "id=8"),
    )
    .await;
    let made = app
        .post(
            "logged-models",
            json!({"experiment_id": "0", "name": "a", "params": [{"key": "p", "value": "1"}]}),
        )
        .await;
    let id = made["model"]["info"]["model_id"].as_str().unwrap().to_owned();
    check(
        &app,
        "PATCH",
        &format!("logged-models/{id}"),
        json!({"status": "LOGGED_MODEL_READY"}),
        (400, INVALID, "'model_id'"),
    )
    .await;
    check(
        &app,
        "PATCH",
        &format!("logged-models/{id}"),
        json!({"model_id": id, "status": "READY"}),
        (400, INVALID, "LOGGED_MODEL_READY"),
    )
    .await;
    check(
        &app,
        post,
        &format!("logged-models/{id}/params"),
        json!({"model_id": id, "params": [{"key": "p", "value": "1"}]}),
        (400, "BAD_REQUEST", "p"),
    )
    .await;
    check(
        &app,
        "DELETE",
        &format!("logged-models/{id}/tags/u"),
        Value::Null,
        (404, MISSING, &format!("No tag with key 'u' found for model with ID '{id}'.")),
    )
    .await;
    check(
        &app,
        "GET",
        "logged-models/m-00000000000000000000000000000000",
        Value::Null,
        (404, MISSING, "not found"),
    )
    .await;
    check(&app, post, "logged-models/search", json!({}), (400, INVALID, "'experiment_ids'")).await;
    check(
        &app,
        post,
        "logged-models/search",
        json!({"experiment_ids": ["0"], "page_token": "eyJvZmZzZXQiOiAxfQ=="}),
        (400, INVALID, "page token"),
    )
    .await;
}

#[tokio::test]
async fn bodies_must_be_declared_and_be_json() {
    let app = App::new();
    let path = "/api/2.0/mlflow/experiments/create";
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
    {
        let reply = app.ask_text("POST", path, content_type, r#"{"name":"x"}"#).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(
            reply.message(),
            "Bad Request. Content-Type must be one of ['application/json']."
        );
    }
    for body in ["{", "nonsense", "[]", "3", "{\"name\":NaN}", "\u{0}", "{\"name\":\"x\"}}"] {
        let reply = app.ask_text("POST", path, "application/json", body).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (StatusCode::BAD_REQUEST, INVALID),
            "{body}"
        );
    }
    let reply =
        app.ask_text("POST", path, "application/json; charset=utf-8", r#"{"name":"x"}"#).await;
    assert_eq!(reply.status, StatusCode::OK);
    let twice = serde_json::to_string(r#"{"name":"y"}"#).unwrap();
    let reply = app.ask_text("POST", path, "application/json", twice).await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn lenient_spellings_are_read() {
    let app = App::new();
    let run = app.make_run().await;
    app.post("runs/log-metric", json!({"runUuid": run, "key": "m", "value": "1.5", "timestamp": "7", "step": 2.0, "unknown": {}})).await;
    app.post("runs/log-metric", json!({"run_id": run, "key": "n", "value": "NaN", "timestamp": 1}))
        .await;
    app.post(
        "runs/log-metric",
        json!({"run_id": run, "key": "i", "value": "-Infinity", "timestamp": 1}),
    )
    .await;
    let found = app.get(&format!("runs/get?run_uuid={run}")).await;
    assert_eq!(
        found["run"]["data"]["metrics"],
        json!([
            {"key": "m", "value": 1.5, "timestamp": 7, "step": 2},
            {"key": "n", "value": "NaN", "timestamp": 1, "step": 0},
            {"key": "i", "value": f64::MIN, "timestamp": 1, "step": 0}
        ])
    );
    let by_body = json!({"run_id": run});
    let reply = app.ask("GET", "/api/2.0/mlflow/runs/get", Some(&by_body)).await;
    assert_eq!(reply.status, StatusCode::OK);
    let view = app
        .post("runs/search", json!({"experimentIds": ["0"], "runViewType": 3, "maxResults": "1"}))
        .await;
    assert_eq!(view["runs"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn pages_follow_one_another() {
    let app = App::new();
    for _ in 0..5 {
        app.make_run().await;
    }
    let mut seen = Vec::new();
    let mut token = Value::Null;
    loop {
        let page = app
            .post(
                "runs/search",
                json!({"experiment_ids": ["0"], "max_results": 2, "page_token": token}),
            )
            .await;
        seen.extend(
            page["runs"].as_array().unwrap().iter().map(|run| run["info"]["run_id"].clone()),
        );
        match page.get("next_page_token") {
            Some(next) => token = next.clone(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    seen.sort_by_key(Value::to_string);
    seen.dedup();
    assert_eq!(seen.len(), 5);
    assert_eq!(app.post("runs/search", json!({"experiment_ids": []})).await, json!({}));
    assert_eq!(app.post("runs/search", json!({"experiment_ids": ["77"]})).await, json!({}));
}

#[tokio::test]
async fn histories_of_several_runs_come_in_one_answer() {
    let app = App::new();
    let (first, second) = (app.make_run().await, app.make_run().await);
    for run in [&first, &second] {
        let metrics: Vec<Value> = (0..10)
            .map(|step| json!({"key": "m", "value": step, "timestamp": step, "step": step}))
            .collect();
        app.post("runs/log-batch", json!({"run_id": run, "metrics": metrics})).await;
    }
    let path = format!(
        "/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id={first}&run_id={second}&metric_key=m&max_results=15"
    );
    let bulk = app.ask("GET", &path, None).await.json();
    let rows = bulk["metrics"].as_array().unwrap();
    assert_eq!(rows.len(), 15);
    assert_eq!((&rows[0]["run_id"], &rows[14]["run_id"]), (&json!(first), &json!(second)));
    let thin = app.get(&format!("metrics/get-history-bulk-interval?run_ids={first}&metric_key=m&start_step=2&end_step=8&max_results=3")).await;
    let steps: Vec<_> =
        thin["metrics"].as_array().unwrap().iter().map(|row| row["step"].clone()).collect();
    assert_eq!(steps, [2, 5, 8]);
}

/// Requests that MLflow answers with 200 and another value than was meant, with 500, or with the
/// text of an SQL statement.
#[tokio::test]
async fn what_is_not_meant_is_not_kept() {
    let app = App::new();
    let run = app.make_run().await;
    app.post("registered-models/create", json!({"name": "m"})).await;
    app.post("model-versions/create", json!({"name": "m", "source": "s3://b/m"})).await;
    let metric = |name: &str, value: Value| {
        let mut body = json!({"run_id": run, "key": "m", "value": 1, "timestamp": 1});
        body[name] = value;
        body
    };
    let search = |name: &str, value: Value| {
        let mut body = json!({"experiment_ids": ["0"]});
        body[name] = value;
        body
    };
    let unknown_model = "m-00000000000000000000000000000000";
    for (path, body) in [
        ("runs/log-metric", metric("value", json!("nan"))),
        ("runs/log-metric", metric("value", json!("inf"))),
        ("runs/log-metric", metric("value", json!(true))),
        ("runs/log-metric", metric("step", json!(1.5))),
        ("runs/log-metric", metric("step", json!("1.5"))),
        ("runs/log-metric", metric("step", json!(1e30))),
        ("runs/log-metric", metric("timestamp", json!(1.5))),
        ("runs/log-metric", metric("timestamp", json!("soon"))),
        ("runs/log-metric", metric("key", json!(7))),
        ("runs/log-metric", metric("model_id", json!(unknown_model))),
        ("runs/log-batch", json!({"run_id": run, "metrics": [metric("value", json!("abc"))]})),
        ("runs/log-batch", json!({"run_id": run, "metrics": {"key": "m"}})),
        ("runs/log-batch", json!({"run_id": run, "params": ["p"]})),
        ("runs/log-batch", json!({"run_id": run, "tags": [{"key": "t", "value": 1}]})),
        ("runs/update", json!({"run_id": run, "status": 9})),
        ("runs/update", json!({"run_id": run, "end_time": "late"})),
        ("runs/create", json!({"start_time": 1})),
        ("runs/search", search("run_view_type", json!("SOME"))),
        ("runs/search", search("filter", json!("run_id IN (abc)"))),
        ("runs/search", search("filter", json!("   "))),
        ("runs/search", search("order_by", json!(["metrics.a", "metrics.a"]))),
        ("runs/search", search("order_by", json!("metrics.a"))),
        ("logged-models/search", search("filter", json!("nothing = 'x'"))),
        (
            "model-versions/transition-stage",
            json!({"name": "m", "version": "1", "stage": "None", "archive_existing_versions": true}),
        ),
    ] {
        let reply = app.ask("POST", &format!("/api/2.0/mlflow/{path}"), Some(&body)).await;
        let what = format!("{path} {body}: {:?}", reply.body);
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{what}");
        let message = reply.message().to_ascii_uppercase();
        for word in ["INSERT INTO", "SELECT ", "UNIQUE CONSTRAINT", "FOREIGN KEY", "SQLITE"] {
            assert!(!message.contains(word), "{what}");
        }
    }
    for path in ["0//x", "0/./x", "a/%2e/b", "%2f/x"] {
        let path = format!("/api/2.0/mlflow-artifacts/artifacts/{path}");
        let reply = app.ask_text("PUT", &path, "text/plain", "x").await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}");
    }
    let kept = app.get(&format!("runs/get?run_id={run}")).await;
    assert_eq!(kept["run"]["data"].get("metrics"), None);
    assert_eq!(kept["run"]["data"].get("params"), None);
    assert_eq!(kept["run"]["info"]["status"], "RUNNING");
}
