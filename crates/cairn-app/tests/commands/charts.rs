//! `chart.series`: lines of many runs.

use std::{path::PathBuf, pin::Pin};

use cairn_app::{
    Host, Pick,
    dto::{ErrorCode, ServerStatus},
    ports::Waiting,
};
use cairn_core::RunId;
use cairn_store::{Store, runs::Param};
use serde_json::{Value, json};

use crate::Fixture;

impl Fixture {
    async fn param(&self, run: &RunId, key: &str, value: &str) {
        let (run, param) = (run.clone(), Param { key: key.into(), value: value.into() });
        self.app.store().unwrap().write(move |tx| tx.log_param(&run, &param)).await.unwrap();
    }

    /// A run with `loss` of these values at the steps 0, 1, 2 …
    async fn with_loss(&self, name: &str, lr: &str, values: &[f64]) -> RunId {
        let run = self.run(0, name, 1_000).await;
        self.param(&run, "lr", lr).await;
        for (step, value) in values.iter().enumerate() {
            self.metric(&run, "loss", *value, step as i64).await;
        }
        run
    }
}

fn ids(runs: &[&RunId]) -> Value {
    json!({"kind": "ids", "run_ids": runs.iter().map(ToString::to_string).collect::<Vec<_>>()})
}

/// A request for `loss` of all runs, with other fields.
fn request(runs: Value, other: Value) -> Value {
    let mut request = json!({"runs": runs, "y": ["loss"], "columns": 500});
    for (key, value) in other.as_object().unwrap() {
        request[key] = value.clone();
    }
    request
}

#[tokio::test]
async fn each_run_and_metric_has_a_line_with_gaps_and_marks() {
    let fixture = Fixture::new().await;
    let (nan, infinity) = (f64::NAN, f64::INFINITY);
    let first = fixture.with_loss("first", "0.1", &[4.0, nan, 2.0, infinity]).await;
    let second = fixture.with_loss("second", "0.1", &[1.0]).await;
    fixture.metric(&first, "acc", 0.5, 2).await;
    let asked = request(ids(&[&first, &second]), json!({"y": ["loss", "acc"]}));
    let chart = fixture.ok("chart.series", asked).await;
    assert_eq!(chart["runs"], 2);
    let lines = chart["lines"].as_array().unwrap();
    let labels: Vec<&str> = lines.iter().map(|line| line["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["first · loss", "second · loss", "first · acc"]);
    assert_eq!(lines[0]["x"], json!([0.0, 1.0, 2.0, 3.0]));
    assert_eq!(lines[0]["y"], json!([4.0, null, 2.0, null]));
    let marks = json!([{"x": 1.0, "value": {"special": "NaN"}},
                       {"x": 3.0, "value": {"special": "Infinity"}}]);
    assert_eq!(lines[0]["marks"], marks);
    assert_eq!((&lines[0]["points"], &lines[0]["is_reduced"]), (&json!(4), &json!(false)));
    assert_eq!((&lines[2]["y_index"], &lines[2]["raw"]), (&json!(1), &Value::Null));
    assert_eq!(chart["x_bounds"], json!({"from": 0.0, "to": 3.0}));
    assert_eq!(chart["y_bounds"], Value::Null);
    let left = json!([{"run_id": second.to_string(), "y_index": 1, "reason": "missing",
                       "message": "has no metric “acc”"}]);
    assert_eq!(chart["left_out"], left);
}

#[tokio::test]
async fn smoothed_lines_come_with_the_raw_one_and_are_smoothed_beyond_the_stretch_shown() {
    let fixture = Fixture::new().await;
    let run = fixture.with_loss("run", "0.1", &[8.0, 0.0, 0.0, 0.0, 0.0]).await;
    let asked = request(
        ids(&[&run]),
        json!({"smoothing": {"kind": "mean", "window": 3}, "x_range": {"from": 1.0, "to": 2.0},
               "statistics": true, "ignore_outliers": true}),
    );
    let chart = fixture.ok("chart.series", asked).await;
    let line = &chart["lines"][0];
    // The neighbours of the stretch are there, so that lines reach its edges.
    assert_eq!(line["x"], json!([0.0, 1.0, 2.0, 3.0]));
    assert_eq!(line["y"], json!([4.0, 8.0 / 3.0, 0.0, 0.0]));
    assert_eq!(line["raw"], json!({"x": [0.0, 1.0, 2.0, 3.0], "y": [8.0, 0.0, 0.0, 0.0]}));
    let statistics = &line["statistics"];
    assert_eq!((&statistics["count"], &statistics["max"]), (&json!(2), &json!(0.0)));
    assert_eq!(chart["x_bounds"], json!({"from": 0.0, "to": 4.0}));
    assert_eq!(chart["y_bounds"], json!({"from": 0.0, "to": 0.0}));
}

#[tokio::test]
async fn runs_with_equal_parameters_are_one_line_with_a_band() {
    let fixture = Fixture::new().await;
    fixture.with_loss("a", "0.1", &[1.0, 2.0]).await;
    fixture.with_loss("b", "0.1", &[3.0, 6.0]).await;
    fixture.with_loss("c", "0.02", &[5.0]).await;
    let without = fixture.run(0, "d", 1_000).await;
    fixture.metric(&without, "loss", 7.0, 1).await;
    let all = json!({"kind": "filter", "experiment_ids": ["0"], "filter": "metrics.loss > 0"});
    let asked = request(
        all.clone(),
        json!({"group_by": [{"kind": "param", "key": "lr"}], "band": "min_max"}),
    );
    let chart = fixture.ok("chart.series", asked).await;
    let lines = chart["lines"].as_array().unwrap();
    let labels: Vec<&str> = lines.iter().map(|line| line["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["lr = 0.02 (1)", "lr = 0.1 (2)", "lr = none (1)"]);
    assert_eq!(lines[1]["group"], json!(["0.1"]));
    assert_eq!(lines[1]["run_ids"].as_array().unwrap().len(), 2);
    assert_eq!((&lines[1]["x"], &lines[1]["y"]), (&json!([0.0, 1.0]), &json!([2.0, 4.0])));
    assert_eq!((&lines[1]["low"], &lines[1]["high"]), (&json!([1.0, 2.0]), &json!([3.0, 6.0])));
    assert_eq!((&lines[1]["alignment"], &lines[1]["points"]), (&json!("same"), &json!(4)));
    // One run has no deviation.
    let asked = request(
        all,
        json!({"group_by": [{"kind": "formula", "text": "params.lr * 100"}], "band": "std"}),
    );
    let chart = fixture.ok("chart.series", asked).await;
    assert_eq!(chart["lines"][0]["label"], "params.lr * 100 = 2 (1)");
    assert_eq!(chart["lines"][0]["low"], json!([null]));
}

#[tokio::test]
async fn formulas_and_other_metrics_are_axes() {
    let fixture = Fixture::new().await;
    let run = fixture.with_loss("run", "0.5", &[4.0, 3.0, 2.0]).await;
    for (step, epoch) in [(0, 10.0), (2, 30.0)] {
        fixture.metric(&run, "the epoch", epoch, step).await;
    }
    let x = json!({"kind": "formula", "text": "the epoch"});
    let asked = request(ids(&[&run]), json!({"y": ["loss * params.lr - min(loss)"], "x": x}));
    let chart = fixture.ok("chart.series", asked).await;
    assert_eq!(chart["lines"][0]["x"], json!([10.0, 30.0]));
    assert_eq!(chart["lines"][0]["y"], json!([0.0, -1.0]));
    let x = json!({"kind": "relative_time"});
    let chart = fixture.ok("chart.series", request(ids(&[&run]), json!({"x": x}))).await;
    // Logged at 0, 1 and 2 ms, before the run began.
    assert_eq!(chart["lines"][0]["x"], json!([0.0, 0.001, 0.002]));
    let chart = fixture.ok("chart.series", request(ids(&[&run]), json!({"x_log": true}))).await;
    assert_eq!(chart["lines"][0]["x"], json!([1.0, 2.0]));
}

#[tokio::test]
async fn what_cannot_be_drawn_is_told() {
    let fixture = Fixture::new().await;
    let run = fixture.with_loss("run", "0.5", &[4.0]).await;
    let refused = async |other: Value| {
        fixture.call("chart.series", request(ids(&[&run]), other)).await.unwrap_err()
    };
    let error = refused(json!({"y": ["loss +* 2"]})).await;
    assert_eq!(error.code, ErrorCode::InvalidFormula);
    assert_eq!(error.span.map(|span| (span.start, span.end)), Some((6, 7)));
    let error = refused(json!({"y": ["best(loss)"]})).await;
    assert!(error.message.contains("one number of a run"), "{}", error.message);
    let error = refused(json!({"y": []})).await;
    assert_eq!(error.code, ErrorCode::InvalidInput);
    let error = refused(json!({"smoothing": {"kind": "ema", "weight": 1.5}})).await;
    assert!(error.message.contains("“ema:1.5” needs a weight"), "{}", error.message);
    let error = refused(json!({"x_range": {"from": 2.0, "to": 1.0}})).await;
    assert!(error.message.contains("not before 1"), "{}", error.message);
    let error = refused(json!({"x_range": {"from": 0.0}, "x_log": true})).await;
    assert!(error.message.contains("logarithmic"), "{}", error.message);

    let unknown = "0".repeat(32);
    let runs = json!({"kind": "ids", "run_ids": [unknown, run.to_string()]});
    let chart = fixture.ok("chart.series", request(runs, json!({"x_log": true}))).await;
    assert_eq!(chart["lines"], json!([]));
    let reasons: Vec<&Value> =
        chart["left_out"].as_array().unwrap().iter().map(|left| &left["reason"]).collect();
    assert_eq!(reasons, ["unknown_run", "no_place"]);
}

#[tokio::test]
async fn names_that_are_the_same_get_their_ids() {
    let fixture = Fixture::new().await;
    let first = fixture.with_loss("same", "0.5", &[4.0]).await;
    let second = fixture.with_loss("same", "0.5", &[4.0]).await;
    let chart = fixture.ok("chart.series", request(ids(&[&first, &second]), json!({}))).await;
    let expected = format!("same {}", &first.as_str()[..8]);
    assert_eq!(chart["lines"][0]["label"], expected);
}

fn export(request: Value, format: &str, save: bool) -> Value {
    json!({"request": request, "format": format, "save": save,
           "picture": {"width": 400, "height": 300, "theme": "dark", "title": "Loss of a run"}})
}

#[tokio::test]
async fn a_chart_is_a_file() {
    let fixture = Fixture::new().await;
    let run = fixture.with_loss("run", "0.5", &[4.0, 3.0, 2.0]).await;
    let asked = request(ids(&[&run]), json!({"columns": 2}));
    let file = fixture.ok("chart.export", export(asked.clone(), "svg", false)).await;
    assert_eq!(
        (&file["name"], &file["mime"]),
        (&json!("Loss-of-a-run.svg"), &json!("image/svg+xml"))
    );
    // "<svg width=\"400\" " in Base64.
    assert!(file["base64"].as_str().unwrap().starts_with("PHN2ZyB3aWR0aD0iNDAwIi"), "{file}");
    let file = fixture.ok("chart.export", export(asked.clone(), "png", false)).await;
    assert!(file["base64"].as_str().unwrap().starts_with("iVBORw0KGgo"), "{file}");

    let error = fixture.call("chart.export", export(asked.clone(), "svg", true)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unsupported);
    let nothing = request(ids(&[&run]), json!({"y": ["acc"]}));
    let error = fixture.call("chart.export", export(nothing, "svg", false)).await.unwrap_err();
    assert!(error.message.contains("no points to draw"), "{}", error.message);
    let mut small = export(asked, "svg", false);
    small["picture"]["width"] = json!(10);
    let error = fixture.call("chart.export", small).await.unwrap_err();
    assert!(error.message.contains("10 × 300"), "{}", error.message);
}

#[tokio::test]
async fn a_chart_is_saved_where_the_person_chooses() {
    let home = tempfile::tempdir().unwrap();
    let chosen = home.path().join("my chart");
    let fixture = Fixture::with_host(Box::new(Saving(chosen.clone()))).await;
    let run = fixture.with_loss("run", "0.5", &[4.0, 3.0]).await;
    let asked = export(request(ids(&[&run]), json!({})), "csv", true);
    let file = fixture.ok("chart.export", asked.clone()).await;
    let path = chosen.with_extension("csv");
    assert_eq!(
        (&file["base64"], &file["path"]),
        (&Value::Null, &json!(path.display().to_string()))
    );
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");

    let fixture = Fixture::with_host(Box::new(Saving(home.path().join("none/chart.csv")))).await;
    let run = fixture.with_loss("run", "0.5", &[4.0]).await;
    let asked = export(request(ids(&[&run]), json!({})), "csv", true);
    let error = fixture.call("chart.export", asked).await.unwrap_err();
    assert!(error.message.contains("cannot be written to"), "{}", error.message);
    assert!(error.hint.unwrap().contains("No such file"));
}

/// A host whose person always chooses this file.
struct Saving(std::path::PathBuf);

impl Host for Saving {
    fn serve(&self, _: Option<Store>) -> Waiting<'_> {
        Box::pin(std::future::ready(()))
    }

    fn server_status(&self) -> ServerStatus {
        ServerStatus::Off { reason: "This test has no port.".to_owned() }
    }

    fn has_native_dialogs(&self) -> bool {
        true
    }

    fn pick(&self, what: Pick) -> Pin<Box<dyn Future<Output = Option<PathBuf>> + Send>> {
        assert_eq!(what, Pick::SaveCsv);
        Box::pin(std::future::ready(Some(self.0.clone())))
    }
}
