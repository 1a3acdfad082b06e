//! Runs, metrics, parameters, tags, inputs: MLflow's rules.

use cairn_core::{
    LifecycleStage, MetricValue, RunStatus, ViewType,
    filter::{Entity, parse, parse_order},
};
use cairn_store::{
    StoreError,
    experiments::{SearchExperiments, Tag},
    inputs::{Dataset, DatasetInput, ModelOutput},
    metrics::Batch,
    runs::{NewRun, Param, Run, RunUpdate},
    search_runs::SearchRuns,
};

use crate::{Fixture, metric};

fn message(error: StoreError) -> String {
    error.to_string()
}

#[test]
fn a_run_gets_a_name_that_its_tag_mirrors() {
    let fixture = Fixture::new();
    let experiment = fixture.experiment("churn");
    let run = fixture.run(experiment, 7);
    assert!(!run.info.run_name.is_empty());
    assert_eq!(run.tags, [Tag { key: "mlflow.runName".into(), value: run.info.run_name.clone() }]);
    let id = &run.info.run_id;
    assert_eq!(run.info.artifact_uri, format!("mlflow-artifacts:/{experiment}/{id}/artifacts"));
    assert_eq!(run.info.status, RunStatus::Running);

    fixture.tag(&run, "mlflow.runName", "quiet-heron");
    assert_eq!(fixture.read_run(id).info.run_name, "quiet-heron");
    fixture.tag(&run, "mlflow.runName", "");
    assert_eq!(fixture.read_run(id).info.run_name, "quiet-heron");
}

#[test]
fn two_different_names_are_refused() {
    let fixture = Fixture::new();
    let new = NewRun {
        experiment_id: fixture.experiment("churn"),
        user_id: String::new(),
        run_name: Some("a".into()),
        start_time: 0,
        tags: vec![Tag { key: "mlflow.runName".into(), value: "b".into() }],
    };
    let refused = fixture.store.write_blocking(move |tx| tx.create_run(&new)).unwrap_err();
    assert!(message(refused).contains("different values"));
}

#[test]
fn the_latest_metric_follows_step_then_time_then_value() {
    let fixture = Fixture::new();
    let run = fixture.run(fixture.experiment("churn"), 1);
    let id = run.info.run_id.clone();
    fixture.metric(&run, "loss", 0.5, 2);
    fixture.metric(&run, "loss", 0.9, 1);
    fixture.metric(&run, "loss", 0.5, 2);
    let latest = fixture.read_run(&id).metrics;
    assert_eq!((latest.len(), latest[0].value.0, latest[0].step), (1, 0.5, 2));
    let history =
        fixture.store.read_blocking(|tx| tx.metric_history(&id, "loss", None, 0)).unwrap();
    assert_eq!(history.items.len(), 2, "the exact duplicate was ignored");
    assert_eq!(history.next_offset, None);
    let page =
        fixture.store.read_blocking(|tx| tx.metric_history(&id, "loss", Some(1), 0)).unwrap();
    assert_eq!((page.items[0].value.0, page.next_offset), (0.9, Some(1)));
}

#[test]
fn nan_and_infinity_are_stored_as_mlflow_does() {
    let fixture = Fixture::new();
    let run = fixture.run(fixture.experiment("churn"), 1);
    fixture.metric(&run, "nan", f64::NAN, 0);
    fixture.metric(&run, "inf", f64::NEG_INFINITY, 0);
    let metrics = fixture.read_run(&run.info.run_id).metrics;
    assert!(metrics[0].value.0.is_nan());
    assert_eq!(metrics[1].value, MetricValue(-f64::MAX));
}

#[test]
fn parameters_never_change() {
    let fixture = Fixture::new();
    let run = fixture.run(fixture.experiment("churn"), 1);
    let id = run.info.run_id.clone();
    fixture.param(&run, "lr", "0.1");
    fixture.param(&run, "lr", "0.1");
    let asked = id.clone();
    let other = Param { key: "lr".into(), value: "0.2".into() };
    let refused = fixture.store.write_blocking(move |tx| tx.log_param(&asked, &other)).unwrap_err();
    assert_eq!(
        message(refused),
        format!(
            "Changing param values is not allowed. Param with key='lr' was already logged with \
             value='0.1' for run ID='{id}'. Attempted logging new value '0.2'."
        )
    );
    let batch = Batch {
        params: vec![
            Param { key: "depth".into(), value: "3".into() },
            Param { key: "lr".into(), value: "0.3".into() },
        ],
        ..Batch::default()
    };
    let asked = id.clone();
    let refused = fixture.store.write_blocking(move |tx| tx.log_batch(&asked, &batch)).unwrap_err();
    assert!(message(refused).contains("[{'key': 'lr', 'old_value': '0.1', 'new_value': '0.3'}]"));
    assert_eq!(fixture.read_run(&id).params.len(), 1, "nothing of the batch was kept");
}

#[test]
fn a_batch_keeps_the_latest_of_each_metric() {
    let fixture = Fixture::new();
    let run = fixture.run(fixture.experiment("churn"), 1);
    let id = run.info.run_id.clone();
    let batch = Batch {
        metrics: vec![
            metric("a", 3.0, 10, 3),
            metric("a", 1.0, 10, 1),
            metric("b", 7.0, 10, 0),
            metric("a", 2.0, 10, 2),
        ],
        tags: vec![Tag { key: "mlflow.runName".into(), value: "renamed".into() }],
        ..Batch::default()
    };
    let asked = id.clone();
    fixture.store.write_blocking(move |tx| tx.log_batch(&asked, &batch)).unwrap();
    let run = fixture.read_run(&id);
    let latest: Vec<_> = run.metrics.iter().map(|point| (&*point.key, point.value.0)).collect();
    assert_eq!(latest, [("a", 3.0), ("b", 7.0)]);
    assert_eq!(run.info.run_name, "renamed");
}

#[test]
fn deleted_runs_refuse_writes_until_restored() {
    let fixture = Fixture::new();
    let run = fixture.run(fixture.experiment("churn"), 1);
    let id = run.info.run_id.clone();
    for _ in 0..2 {
        let asked = id.clone();
        fixture.store.write_blocking(move |tx| tx.delete_run(&asked)).unwrap();
    }
    assert_eq!(fixture.read_run(&id).info.lifecycle_stage, LifecycleStage::Deleted);
    let asked = id.clone();
    let update = RunUpdate { status: Some(RunStatus::Finished), ..RunUpdate::default() };
    let refused =
        fixture.store.write_blocking(move |tx| tx.update_run(&asked, &update)).unwrap_err();
    assert_eq!(
        message(refused),
        format!("The run {id} must be in the 'active' state. Current state is deleted.")
    );
    let asked = id.clone();
    fixture.store.write_blocking(move |tx| tx.restore_run(&asked)).unwrap();
    fixture.metric(&run, "auc", 1.0, 0);
}

#[test]
fn deleting_an_experiment_takes_its_runs_and_restoring_brings_all_back() {
    let fixture = Fixture::new();
    let experiment = fixture.experiment("churn");
    let (first, second) = (fixture.run(experiment, 1), fixture.run(experiment, 2));
    let id = first.info.run_id.clone();
    fixture.store.write_blocking(move |tx| tx.delete_run(&id)).unwrap();
    fixture.store.write_blocking(move |tx| tx.delete_experiment(experiment)).unwrap();
    let again = fixture.store.write_blocking(move |tx| tx.delete_experiment(experiment));
    assert!(matches!(again, Err(StoreError::NotFound(_))));
    for run in [&first, &second] {
        let stage = fixture.read_run(&run.info.run_id).info.lifecycle_stage;
        assert_eq!(stage, LifecycleStage::Deleted);
    }
    let found = |view| {
        let search = SearchExperiments { view, max_results: 10, ..SearchExperiments::default() };
        fixture.store.read_blocking(|tx| tx.search_experiments(&search)).unwrap().items.len()
    };
    assert_eq!((found(ViewType::ActiveOnly), found(ViewType::DeletedOnly)), (1, 1));
    fixture.store.write_blocking(move |tx| tx.restore_experiment(experiment)).unwrap();
    for run in [&first, &second] {
        let stage = fixture.read_run(&run.info.run_id).info.lifecycle_stage;
        assert_eq!(stage, LifecycleStage::Active);
    }
}

#[test]
fn the_name_of_a_deleted_experiment_stays_taken() {
    let fixture = Fixture::new();
    let experiment = fixture.experiment("churn");
    fixture.store.write_blocking(move |tx| tx.delete_experiment(experiment)).unwrap();
    let new =
        cairn_store::experiments::NewExperiment { name: "churn".into(), ..Default::default() };
    let refused = fixture.store.write_blocking(move |tx| tx.create_experiment(&new)).unwrap_err();
    assert!(message(refused).starts_with("Experiment(name=churn) already exists."));
}

#[test]
fn inputs_and_outputs_are_read_back() {
    let fixture = Fixture::new();
    let run = fixture.run(fixture.experiment("churn"), 1);
    let id = run.info.run_id.clone();
    let dataset = Dataset {
        name: "train".into(),
        digest: "b2892d90".into(),
        source_type: "code".into(),
        source: "{}".into(),
        schema: None,
        profile: Some("{\"num_rows\": 2}".into()),
    };
    let input = |context: &str| DatasetInput {
        tags: vec![Tag { key: "mlflow.data.context".into(), value: context.into() }],
        dataset: dataset.clone(),
    };
    for context in ["training", "eval"] {
        let (asked, inputs) = (id.clone(), vec![input(context)]);
        fixture.store.write_blocking(move |tx| tx.log_inputs(&asked, &inputs, &[])).unwrap();
    }
    let inputs = fixture.read_run(&id).inputs;
    assert_eq!(
        inputs.datasets,
        [input("training")],
        "the second reading is dropped, as MLflow does"
    );

    let output = ModelOutput { model_id: "m-1".parse().unwrap(), step: 3 };
    let (asked, outputs) = (id.clone(), vec![output.clone()]);
    fixture.store.write_blocking(move |tx| tx.log_outputs(&asked, &outputs)).unwrap();
    assert_eq!(fixture.read_run(&id).outputs.models, std::slice::from_ref(&output));
    let twice = fixture.store.write_blocking(move |tx| tx.log_outputs(&id, &[output]));
    assert!(matches!(twice, Err(StoreError::Conflict(_))));
}

/// Runs a, b, c with auc 0.7, NaN, none; lr "0.1", "0.01", none; started at 30, 20, 10.
fn three_runs() -> (Fixture, [Run; 3]) {
    let fixture = Fixture::new();
    let experiment = fixture.experiment("churn");
    let runs = [30, 20, 10].map(|start| fixture.run(experiment, start));
    for (run, name) in runs.iter().zip(["a", "b", "c"]) {
        fixture.tag(run, "mlflow.runName", name);
    }
    fixture.metric(&runs[0], "auc", 0.7, 0);
    fixture.metric(&runs[1], "auc", f64::NAN, 0);
    fixture.param(&runs[0], "lr", "0.1");
    fixture.param(&runs[1], "lr", "0.01");
    fixture.tag(&runs[2], "team", "Red");
    (fixture, runs)
}

fn search(fixture: &Fixture, filter: &str, order: &[&str]) -> String {
    let order: Vec<String> = order.iter().map(ToString::to_string).collect();
    let search = SearchRuns {
        experiment_ids: vec![cairn_core::ExperimentId(1)],
        filter: parse(Entity::Runs, filter).unwrap(),
        order: parse_order(Entity::Runs, &order).unwrap(),
        max_results: 100,
        ..SearchRuns::default()
    };
    let page = fixture.store.search_runs_blocking(&search).unwrap();
    page.items.iter().map(|run| run.info.run_name.clone()).collect()
}

#[test]
fn filters_find_what_mlflow_finds() {
    let (fixture, runs) = three_runs();
    let check = |filter: &str, expected: &str| {
        assert_eq!(search(&fixture, filter, &[]), expected, "{filter}");
    };
    check("", "abc");
    check("metrics.auc > 0.5", "a");
    check("metrics.auc != 0.5", "ab");
    check("metrics.auc != 0.7", "b");
    check("params.lr = '0.1'", "a");
    check("params.lr != '0.1'", "b");
    check("params.lr LIKE '0.0%'", "b");
    check("params.lr IS NULL", "c");
    check("params.lr IS NOT NULL", "ab");
    check("tags.team = 'red'", "");
    check("tags.team ILIKE 'red'", "c");
    check("tags.team LIKE 'R_d'", "c");
    check("run_name = 'b'", "b");
    check("attributes.run_name != 'b'", "ac");
    check("start_time >= 20", "ab");
    check("status = 'RUNNING' AND start_time < 15", "c");
    check(&format!("run_id IN ('{}')", runs[1].info.run_id), "b");
    check(&format!("run_id NOT IN ('{}')", runs[1].info.run_id), "ac");
    check("user_id = 'ada' and metrics.auc <= 0.7 and tags.mlflow.runName = 'a'", "a");
}

#[test]
fn orders_put_nan_then_missing_last() {
    let (fixture, _) = three_runs();
    let check = |order: &[&str], expected: &str| {
        assert_eq!(search(&fixture, "", order), expected, "{order:?}");
    };
    check(&["metrics.auc ASC"], "abc");
    check(&["metrics.auc DESC"], "abc");
    check(&["params.lr"], "bac");
    check(&["params.lr DESC"], "abc");
    check(&["start_time ASC"], "cba");
    check(&["run_name DESC"], "cba");
    check(&["tags.team", "start_time"], "cba");
}

#[test]
fn pages_follow_each_other() {
    let (fixture, _) = three_runs();
    let mut search = SearchRuns {
        experiment_ids: vec![cairn_core::ExperimentId(1)],
        max_results: 2,
        ..SearchRuns::default()
    };
    let first = fixture.store.search_runs_blocking(&search).unwrap();
    assert_eq!((first.items.len(), first.next_offset), (2, Some(2)));
    search.offset = 2;
    let last = fixture.store.search_runs_blocking(&search).unwrap();
    assert_eq!((last.items.len(), last.next_offset), (1, None));
}
