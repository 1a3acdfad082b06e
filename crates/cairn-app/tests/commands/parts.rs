//! The steps and trials of a run that is made of others.

use cairn_core::{ArtifactPath, RunId, run::RunStatus};
use cairn_store::runs::{Param, RunUpdate};
use serde_json::{Value, json};

use crate::Fixture;

impl Fixture {
    async fn tag(&self, run: &RunId, key: &str, value: &str) {
        let edit = json!({"kind": "set_tag", "key": key, "value": value});
        let edits = json!({"edits": [{"run_ids": [run.to_string()], "edit": edit}]});
        self.ok("runs.edit", edits).await;
    }

    async fn end(&self, run: &RunId, status: RunStatus) {
        let update = RunUpdate { status: Some(status), end_time: Some(9), run_name: None };
        let (run, store) = (run.clone(), self.app.store().unwrap());
        store.write(move |tx| tx.update_run(&run, &update)).await.unwrap();
    }

    /// A nested run that got `alpha` and reached `loss`.
    async fn trial(&self, of: &RunId, number: u32, start: i64, alpha: &str, loss: f64) -> RunId {
        let run = self.run(0, &format!("trial {number}"), start).await;
        self.tag(&run, "mlflow.parentRunId", of.as_str()).await;
        self.tag(&run, "cairn.sweep.trial", &number.to_string()).await;
        self.metric(&run, "loss", loss, 1).await;
        let param = Param { key: "alpha".into(), value: alpha.into() };
        let (id, store) = (run.clone(), self.app.store().unwrap());
        store.write(move |tx| tx.log_param(&id, &param)).await.unwrap();
        run
    }

    async fn parts(&self, run: &RunId) -> Value {
        self.ok("run.parts", json!({"run_id": run.as_str()})).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trials_of_a_sweep_are_told_with_the_last_attempt_at_each() {
    let fixture = Fixture::new().await;
    let sweep = fixture.run(0, "sweep", 1).await;
    assert_eq!(fixture.parts(&sweep).await, Value::Null);
    fixture.tag(&sweep, "cairn.sweep.progress", "2 of 3 done").await;
    let request = json!({
        "run": {"uri": "/home/ada/churn", "caller_folder": "/home/ada/churn", "entry_point": "main"},
        "space": [{"name": "alpha", "values": {"kind": "choice", "choices": ["1", "2"]}}],
        "method": {"kind": "grid"},
        "goal": {"metric": "loss", "direction": "maximize"},
        "prune": null,
        "parallel": null,
    });
    let path = format!("0/{sweep}/artifacts/cairn/sweep.json");
    let store = fixture.app.store().unwrap();
    let mut upload = store.artifacts().upload(&ArtifactPath::parse(&path).unwrap()).unwrap();
    upload.write(request.to_string().as_bytes()).unwrap();
    upload.finish().unwrap();

    let interrupted = fixture.trial(&sweep, 1, 2, "1", 7.0).await;
    fixture.end(&interrupted, RunStatus::Killed).await;
    let again = fixture.trial(&sweep, 1, 3, "1", 0.5).await;
    fixture.end(&again, RunStatus::Finished).await;
    let best = fixture.trial(&sweep, 2, 4, "2", 0.9).await;
    fixture.end(&best, RunStatus::Finished).await;
    let running = fixture.trial(&sweep, 3, 5, "3", f64::NAN).await;

    let parts = fixture.parts(&sweep).await;
    let rows: Vec<_> = parts["trials"].as_array().unwrap().iter().collect();
    let shown: Vec<Value> = rows
        .iter()
        .map(|row| json!([row["run"]["run_id"], row["values"], row["value"], row["is_best"]]))
        .collect();
    let expected = [
        json!([best.as_str(), ["2"], 0.9, true]),
        json!([running.as_str(), ["3"], {"special": "NaN"}, false]),
        json!([again.as_str(), ["1"], 0.5, false]),
    ];
    assert_eq!(shown, expected);
    assert_eq!((&parts["metric"], &parts["maximize"]), (&json!("loss"), &json!(true)));
    assert_eq!((&parts["names"], &parts["total"]), (&json!(["alpha"]), &json!(3)));
    assert_eq!(parts["can_resume"], false);
    fixture.end(&sweep, RunStatus::Killed).await;
    assert_eq!(fixture.parts(&sweep).await["can_resume"], true);
    fixture.end(&sweep, RunStatus::Finished).await;
    assert_eq!(fixture.parts(&sweep).await["can_resume"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_a_pipeline_are_told_with_their_runs() {
    let fixture = Fixture::new().await;
    let pipeline = fixture.run(0, "pipeline", 1).await;
    let clean = fixture.run(0, "clean", 2).await;
    fixture.tag(&clean, "mlflow.project.entryPoint", "tidy").await;
    fixture.end(&clean, RunStatus::Killed).await;
    let state = json!({"steps": [
        {"name": "clean", "status": "running", "run_id": clean.as_str()},
        {"name": "train", "needs": ["clean"], "status": "waiting"},
    ]});
    fixture.tag(&pipeline, "cairn.pipeline.state", &state.to_string()).await;
    let states = async || {
        let parts = fixture.parts(&pipeline).await;
        let state = |at: usize| parts["steps"][at]["last"]["state"].clone();
        (state(0), state(1), parts["can_resume"].clone())
    };
    assert_eq!(states().await, (json!("running"), json!("waiting"), json!(false)));
    fixture.end(&pipeline, RunStatus::Killed).await;
    assert_eq!(states().await, (json!("killed"), json!("skipped"), json!(true)));
    let parts = fixture.parts(&pipeline).await;
    assert_eq!(parts["steps"][0]["entry_point"], "tidy");
    assert_eq!(parts["steps"][0]["last"]["run"]["run_id"], clean.as_str());
    assert_eq!(parts["steps"][1]["needs"], json!(["clean"]));
}
