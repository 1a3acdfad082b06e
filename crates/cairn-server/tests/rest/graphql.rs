//! GraphQL, as far as MLflow's pages ask it: the queries are the ones that they send.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{App, Reply, encode};

const GET_RUN: &str = r#"query GetRun($data: MlflowGetRunInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetRun(input: $data) {
    apiError { helpUrl code message }
    run {
      info { runName status runUuid experimentId artifactUri endTime lifecycleStage startTime userId }
      experiment { experimentId name tags { key value } artifactLocation lifecycleStage lastUpdateTime }
      modelVersions { status version name source }
      data { metrics { key value step timestamp } params { key value } tags { key value } }
      inputs { datasetInputs { dataset { digest name profile schema source sourceType } tags { key value } } modelInputs { modelId } }
      outputs { modelOutputs { modelId step } }
    }
  }
}"#;
const GET_EXPERIMENT: &str = r#"query MlflowGetExperimentQuery($input: MlflowGetExperimentInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetExperiment(input: $input) {
    apiError { code message }
    experiment { artifactLocation creationTime effectiveTraceArchivalRetention experimentId lastUpdateTime lifecycleStage name tags { key value } }
  }
}"#;
const SEARCH_RUNS: &str = r"query SearchRuns($data: MlflowSearchRunsInput!) {
  mlflowSearchRuns(input: $data) {
    apiError { helpUrl code message }
    nextPageToken
    runs { info { runUuid } experiment { name } data { metrics { key value } } modelVersions { version name creationTimestamp } }
  }
}";
const GET_HISTORY: &str = r#"query GetMetricHistoryBulkInterval($data: MlflowGetMetricHistoryBulkIntervalInput!)
  @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetMetricHistoryBulkInterval(input: $data) {
    __typename
    metrics { timestamp step runId key value }
    apiError { code message }
  }
}"#;

async fn send(app: &App, query: &str, variables: Value) -> Reply {
    let body = json!({"query": query, "variables": variables, "operationName": null});
    app.ask("POST", "/graphql", Some(&body)).await
}

async fn ask(app: &App, query: &str, variables: Value) -> Value {
    let reply = send(app, query, variables).await;
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
    let answer = reply.json();
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    answer["data"].clone()
}

#[tokio::test]
async fn a_run_is_told_with_all_that_belongs_to_it() {
    let app = App::new();
    let run = app.make_run().await;
    for (key, value) in [("loss", json!(0.5)), ("gone", json!("NaN"))] {
        let metric = json!({"run_id": run, "key": key, "value": value, "timestamp": 7, "step": 2});
        app.post("runs/log-metric", metric).await;
    }
    app.post("runs/log-parameter", json!({"run_id": run, "key": "p", "value": "1"})).await;
    app.post("registered-models/create", json!({"name": "m"})).await;
    let source = format!("runs:/{run}/model");
    app.post("model-versions/create", json!({"name": "m", "source": source, "run_id": run})).await;
    let found = ask(&app, GET_RUN, json!({"data": {"runId": run}})).await;
    let found = &found["mlflowGetRun"];
    assert_eq!(found["apiError"], Value::Null);
    assert_eq!(found["run"]["info"]["runUuid"], json!(run));
    assert_eq!(found["run"]["info"]["startTime"], json!("0"));
    assert_eq!(found["run"]["experiment"]["name"], "Default");
    assert_eq!(found["run"]["data"]["params"], json!([{"key": "p", "value": "1"}]));
    assert_eq!(
        found["run"]["data"]["metrics"],
        json!([
            {"key": "loss", "value": 0.5, "step": "2", "timestamp": "7"},
            {"key": "gone", "value": null, "step": "2", "timestamp": "7"}
        ])
    );
    assert_eq!(
        found["run"]["modelVersions"],
        json!([{"status": "READY", "version": "1", "name": "m", "source": source}])
    );
    let by_old_name = ask(&app, GET_RUN, json!({"data": {"runUuid": run}})).await;
    assert_eq!(by_old_name["mlflowGetRun"]["run"], found["run"]);
}

#[tokio::test]
async fn experiments_searches_and_histories_are_told() {
    let app = App::new();
    let runs = [app.make_run().await, app.make_run().await, app.make_run().await];
    for run in &runs {
        for step in 0..5 {
            let metric =
                json!({"run_id": run, "key": "m", "value": step, "timestamp": step, "step": step});
            app.post("runs/log-metric", metric).await;
        }
    }
    let found = ask(&app, GET_EXPERIMENT, json!({"input": {"experimentId": "0"}})).await;
    assert_eq!(found["mlflowGetExperiment"]["experiment"]["experimentId"], "0");
    let first = ask(
        &app,
        SEARCH_RUNS,
        json!({"data": {"experimentIds": ["0"], "filter": "metrics.m > 3", "maxResults": 2,
            "runViewType": "ALL", "orderBy": ["metrics.m DESC"]}}),
    )
    .await;
    let first = &first["mlflowSearchRuns"];
    assert_eq!(first["runs"].as_array().map(Vec::len), Some(2));
    assert_eq!(first["runs"][0]["experiment"]["name"], "Default");
    assert_eq!(first["runs"][0]["modelVersions"], json!([]));
    let rest = ask(
        &app,
        SEARCH_RUNS,
        json!({"data": {"experimentIds": ["0"], "pageToken": first["nextPageToken"]}}),
    )
    .await;
    assert_eq!(rest["mlflowSearchRuns"]["runs"].as_array().map(Vec::len), Some(1));
    let history = ask(
        &app,
        GET_HISTORY,
        json!({"data": {"runIds": [runs[0], runs[1]], "metricKey": "m", "startStep": 1, "endStep": 4, "maxResults": 2}}),
    )
    .await;
    let points = history["mlflowGetMetricHistoryBulkInterval"]["metrics"].as_array().unwrap();
    let told: Vec<_> = points.iter().map(|point| (&point["runId"], &point["step"])).collect();
    let expected: Vec<_> = [(0, "1"), (0, "4"), (1, "1"), (1, "4")]
        .map(|(run, step)| (json!(runs[run]), json!(step)))
        .into_iter()
        .collect();
    assert_eq!(told, expected.iter().map(|(run, step)| (run, step)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_question_without_an_answer_is_an_error_in_the_list() {
    let app = App::new();
    for (query, variables, words) in [
        (GET_RUN, json!({"data": {"runId": "0123456789abcdef0123456789abcdef"}}), "not found"),
        (GET_RUN, json!({"data": {"runId": "../x"}}), "no run"),
        (GET_RUN, json!({"data": {}}), "'run_id'"),
        (GET_EXPERIMENT, json!({"input": {"experimentId": "77"}}), "No Experiment with id=77"),
        (GET_EXPERIMENT, json!({"input": {"experimentId": "x"}}), "'x'"),
        (SEARCH_RUNS, json!({"data": {"experimentIds": ["0"], "filter": "nonsense"}}), ""),
        (SEARCH_RUNS, json!({"data": {"experimentIds": ["0"], "maxResults": 50_001}}), "50000"),
        (SEARCH_RUNS, json!({"data": {"experimentIds": ["0"], "pageToken": "x"}}), "page token"),
        (GET_HISTORY, json!({"data": {"runIds": [], "metricKey": "m"}}), "'run_ids'"),
        (GET_HISTORY, json!({"data": {"runIds": ["a"], "metricKey": "m", "startStep": 1}}), "both"),
    ] {
        let reply = send(&app, query, variables).await;
        assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
        let answer = reply.json();
        let error = answer["errors"][0].as_str().unwrap_or_default();
        assert!(!error.is_empty() && error.contains(words), "{words}: {answer}");
    }
}

#[tokio::test]
async fn what_is_no_query_is_refused() {
    let app = App::new();
    for body in [
        json!({}),
        json!({"query": ""}),
        json!({"query": 5}),
        json!({"query": "{"}),
        json!({"query": "{ nothing }"}),
        json!({"query": "mutation { mlflowSearchRuns { runs { info { runId } } } }"}),
        json!([{"query": "{ __typename }"}, {"query": "{ __typename }"}]),
        json!({"query": GET_RUN, "variables": {"data": {"runId": 5}}}),
        json!({"query": "query A { __typename } query B { __typename }"}),
    ] {
        let reply = app.ask("POST", "/graphql", Some(&body)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}: {:?}", reply.body);
        assert_eq!(reply.code(), "INVALID_PARAMETER_VALUE");
    }
    let schema = ask(&app, "{ __schema { types { name } } }", Value::Null).await;
    assert_eq!(schema, json!({"__schema": null}), "the schema is not told");
    let path = format!("/graphql?query={}&variables=%7B%7D", encode("{ __typename }"));
    let reply = app.ask("GET", &path, None).await;
    assert_eq!(reply.json(), json!({"data": {"__typename": "Query"}, "errors": null}));
}

#[tokio::test]
async fn queries_that_ask_for_too_much_are_refused_at_once() {
    let app = App::new();
    let one = r#"mlflowSearchRuns(input: {experimentIds: ["0"]}) { runs { info { runId } } }"#;
    let aliases = |count: usize| {
        let fields: Vec<String> = (0..count).map(|n| format!("a{n}: {one}")).collect();
        format!("{{ {} }}", fields.join(" "))
    };
    let reply = app.ask("POST", "/graphql", Some(&json!({"query": aliases(3)}))).await;
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
    let wide = (0..1_100).map(|n| format!("b{n}: runId")).collect::<Vec<_>>().join(" ");
    let doubling = (1..200)
        .map(|n| format!("fragment f{n} on Query {{ ...f{0} ...f{0} }}", n + 1))
        .collect::<Vec<_>>()
        .join(" ");
    for query in [
        aliases(4),
        aliases(500),
        format!("{{ {one} }}").replace("info { runId }", &"info { ".repeat(12)) + &"} ".repeat(11),
        format!("{{ {one} }}").replace("runId", &wide),
        "query A { ...a } fragment a on Query { ...b } fragment b on Query { ...a }".to_owned(),
        format!("query A {{ ...f1 }} {doubling} fragment f200 on Query {{ {one} }}"),
        "{a".repeat(20_000),
        format!("{{ mlflowSearchRuns(input: {}", "[".repeat(50_000)),
        format!("{{ __typename {} }}", "@include(if: true) ".repeat(2_000)),
        format!("{{ {} }}", "... on Query { ".repeat(2_000)),
    ] {
        let began = std::time::Instant::now();
        let reply = app.ask("POST", "/graphql", Some(&json!({"query": query}))).await;
        let what = format!("{} …: {:?}", &query[..query.len().min(80)], reply.body);
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{what}");
        assert!(reply.body.len() < 2_000, "the query is repeated");
        assert!(began.elapsed().as_secs() < 2, "{what}");
    }
    let long = format!("{{ __typename }} # {}", "x".repeat(70_000));
    let reply = app.ask("POST", "/graphql", Some(&json!({"query": long}))).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
}
