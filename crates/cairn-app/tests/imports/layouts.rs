//! The forms that folders come in.

use cairn_app::imports::{ArtifactMode, ImportError, ImportOptions, SkipReason};
use cairn_core::{ExperimentId, LifecycleStage, RunStatus};
use cairn_store::registry::Stage;

use crate::{
    Target, count, first,
    folders::{Mlruns, model_id, run_id},
};

#[test]
fn a_run_comes_in_with_all_that_it_has() {
    let folder = Mlruns::new();
    folder.experiment("912345678901234567", "churn");
    folder.write("912345678901234567/tags/mlflow.note.content", "about\nit");
    let run = folder.run("912345678901234567", 'a');
    folder.write(&format!("{run}/metrics/val/auc"), "5 nan 0\n6 inf 3\n7 -inf 3\n7 -inf 3\n");
    folder.write(&format!("{run}/metrics/old"), "1700000000 1\n");
    folder.write(&format!("{run}/metrics/on data"), "9 0.75 4 my data 2981c147\n");
    folder.write(&format!("{run}/params/opt/name"), "a\nb");
    folder.write(&format!("{run}/artifacts/plots/deep/a.png"), b"\x89PNG");
    folder.write(&format!("{run}/artifacts/empty"), "");
    let target = Target::new();
    let report = target.import(&folder.root());
    assert_eq!(report.skipped, []);
    assert_eq!((report.counts.experiments, report.counts.runs), (1, 1));
    assert_eq!((report.counts.metric_values, report.counts.files), (7, 2));

    let run = target.run(&run_id('a'));
    assert_eq!(run.info.experiment_id, ExperimentId(912_345_678_901_234_567));
    assert_eq!(run.info.run_name, "run-a");
    assert_eq!(run.info.user_id, "ada");
    assert_eq!(run.info.status, RunStatus::Finished);
    assert_eq!(run.info.start_time, Some(1_700_000_000_000));
    assert_eq!(run.info.end_time, Some(1_700_000_009_000));
    let uri = format!("mlflow-artifacts:/912345678901234567/{}/artifacts", run_id('a'));
    assert_eq!(run.info.artifact_uri, uri);
    let params: Vec<_> =
        run.params.iter().map(|param| (param.key.as_str(), param.value.as_str())).collect();
    assert_eq!(params, [("lr", "0.01"), ("opt/name", "a\nb")]);
    assert_eq!(target.history(&run_id('a'), "old"), [(1_700_000_000, 0, 1.0)]);
    assert_eq!(target.history(&run_id('a'), "on data"), [(9, 4, 0.75)]);
    let history = target.history(&run_id('a'), "val/auc");
    assert_eq!(history.len(), 3);
    assert!(history[0].2.is_nan());
    assert_eq!(history[1], (6, 3, f64::MAX));
    assert_eq!(history[2], (7, 3, f64::MIN));
    // Step, then time, then value.
    let latest = run.metrics.iter().find(|metric| metric.key == "val/auc").unwrap();
    assert_eq!((latest.timestamp, latest.step), (7, 3));
    let tree = format!("912345678901234567/{}/artifacts", run_id('a'));
    assert_eq!(target.artifact(&format!("{tree}/plots/deep/a.png")).unwrap(), b"\x89PNG");
    assert_eq!(target.artifact(&format!("{tree}/empty")).unwrap(), b"");
    let experiment = target.store.read_blocking(|tx| tx.experiment_by_name("churn")).unwrap();
    assert_eq!(experiment.tags[0].value, "about\nit");
    assert_eq!(experiment.creation_time, Some(1_700_000_000_000));
    assert_eq!(experiment.artifact_location, "mlflow-artifacts:/912345678901234567");
}

#[test]
fn files_of_old_releases_are_read() {
    let folder = Mlruns::new();
    let id = run_id('b');
    folder.write(
        &format!("0/{id}/meta.yaml"),
        format!(
            "artifact_uri: /moved/0/{id}/artifacts\nend_time: 1540000001000\n\
             entry_point_name: main\nexperiment_id: 0\nname: Run 1\nrun_uuid: {id}\n\
             source_name: train.py\nsource_type: 3\nsource_version: abc\n\
             start_time: 1540000000000\nstatus: 4\ntags: []\nuser_id: bob\n"
        ),
    );
    folder.write(&format!("0/{id}/metrics/loss"), "1540000000 0.5\n");
    let target = Target::new();
    let report = target.import(&folder.root());
    assert_eq!((report.counts.runs, report.has_losses()), (1, false));
    let run = target.run(&id);
    assert_eq!(run.info.run_name, "Run 1");
    assert_eq!(run.info.status, RunStatus::Failed);
    assert_eq!(run.info.lifecycle_stage, LifecycleStage::Active);
    assert_eq!(run.tags.iter().find(|tag| tag.key == "mlflow.runName").unwrap().value, "Run 1");
    assert_eq!(target.history(&id, "loss"), [(1_540_000_000, 0, 0.5)]);
}

#[test]
fn deleted_runs_and_experiments_come_in_deleted() {
    let folder = Mlruns::new();
    folder.experiment_at(".trash/77", "77", "gone", "deleted");
    folder.run(".trash/77", 'c');
    let run = folder.run("0", 'd');
    folder.run_meta(&run, &run_id('d'), "lifecycle_stage: deleted\ndeleted_time: 1700000010000\n");
    let target = Target::new();
    assert_eq!(target.import(&folder.root()).counts.runs, 2);
    let gone = target.store.read_blocking(|tx| tx.experiment_by_name("gone")).unwrap();
    assert_eq!(gone.lifecycle_stage, LifecycleStage::Deleted);
    assert_eq!(gone.experiment_id, ExperimentId(77));
    assert_eq!(target.run(&run_id('d')).info.lifecycle_stage, LifecycleStage::Deleted);
    assert_eq!(target.run(&run_id('c')).info.experiment_id, ExperimentId(77));
}

#[test]
fn models_datasets_and_the_registry_come_in() {
    let folder = Mlruns::new();
    let run = folder.run("0", 'e');
    let data = run_id('9');
    folder.write(
        &format!("0/datasets/{data}/meta.yaml"),
        "digest: 2981c147\nname: d1\nprofile: '{}'\nschema: null\nsource: '{\"a\": 1}'\n\
         source_type: code\n",
    );
    folder.write(
        &format!("{run}/inputs/{}/meta.yaml", run_id('8')),
        format!(
            "destination_id: {data}\ndestination_type: RUN\nsource_id: {data}\n\
             source_type: DATASET\ntags:\n  mlflow.data.context: training\n"
        ),
    );
    let model = folder.model("0", 'f', 'e');
    folder.write(&format!("{model}/artifacts/MLmodel"), "flavors: {}");
    folder.write(&format!("{model}/params/depth"), "3");
    folder.write(
        &format!("{model}/metrics/auc"),
        format!("5 0.7 2 {} d1 2981c147\n6 0.8 3 {}\n", run_id('e'), run_id('e')),
    );
    folder.write(
        &format!("{run}/outputs/{}/meta.yaml", model_id('f')),
        format!(
            "destination_id: {0}\ndestination_type: MODEL_OUTPUT\nsource_id: {0}\n\
             source_type: RUN_OUTPUT\nstep: 2\ntags: {{}}\n",
            model_id('f')
        ),
    );
    folder.registered("reg");
    folder.write("models/reg/tags/team", "blue");
    folder.write("models/reg/aliases/champion", "2");
    let local = format!("file:///moved/away/0/{}/artifacts/model", run_id('e'));
    folder.version("reg", 1, "Staging", &local, &run_id('e'));
    let stored = format!("/old/mlruns/0/models/{}/artifacts", model_id('f'));
    folder.version("reg", 2, "None", &stored, &run_id('e'));
    folder.version("reg", 3, "Deleted_Internal", "REDACTED-SOURCE-PATH", "REDACTED-RUN-ID");
    folder.write("models/reg/version-2/tags/checked", "yes");
    let target = Target::new();
    let report = target.import(&folder.root());
    assert_eq!(report.skipped, []);
    assert_eq!((report.counts.logged_models, report.counts.registered_models), (1, 1));
    assert_eq!(report.counts.model_versions, 3);

    let run = target.run(&run_id('e'));
    assert_eq!(run.inputs.datasets[0].dataset.name, "d1");
    assert_eq!(run.inputs.datasets[0].tags[0].value, "training");
    assert_eq!(run.outputs.models[0].step, 2);
    let id = model_id('f').parse().unwrap();
    let model = target.store.read_blocking(|tx| tx.logged_model(&id, false)).unwrap();
    assert_eq!(model.params[0].value, "3");
    assert_eq!(model.metrics.len(), 2);
    assert_eq!(model.metrics[0].dataset_name.as_deref(), Some("d1"));
    let in_tree = format!("0/models/{}/artifacts", model_id('f'));
    assert_eq!(model.artifact_location, format!("mlflow-artifacts:/{in_tree}"));
    assert_eq!(target.artifact(&format!("{in_tree}/MLmodel")).unwrap(), b"flavors: {}");
    let first = target.store.read_blocking(|tx| tx.model_version("reg", 1)).unwrap();
    let source = format!("mlflow-artifacts:/0/{}/artifacts/model", run_id('e'));
    assert_eq!(first.source.as_deref(), Some(source.as_str()));
    assert_eq!(first.stage, Stage::Staging);
    let second = target.store.read_blocking(|tx| tx.model_version("reg", 2)).unwrap();
    assert_eq!(second.storage_location, Some(format!("mlflow-artifacts:/{in_tree}")));
    assert_eq!(second.aliases, ["champion"]);
    assert_eq!(second.tags[0].value, "yes");
    // The number of a deleted version is never given again.
    assert!(target.store.read_blocking(|tx| tx.model_version("reg", 3)).is_err());
    assert!(target.contents().contains("Deleted_Internal"));
}

#[test]
fn a_path_may_be_the_parent_folder_or_one_experiment() {
    let folder = Mlruns::new();
    folder.experiment("5", "five");
    folder.run("5", 'a');
    folder.run("0", 'b');
    let target = Target::new();
    assert_eq!(target.import(folder.parent()).counts.runs, 2);
    let target = Target::new();
    let report = target.import(&folder.root().join("5"));
    assert_eq!((report.counts.runs, report.counts.experiments), (1, 1));
    assert_eq!(target.run(&run_id('a')).info.experiment_id, ExperimentId(5));
}

#[test]
fn a_path_that_is_something_else_is_refused_with_what_to_do() {
    let folder = Mlruns::new();
    let run = folder.run("0", 'a');
    let target = Target::new();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("mlflow.db"), "").unwrap();
    let refusal = |path: &std::path::Path| target.refusal(path);
    assert!(matches!(refusal(&folder.root().join(run)), ImportError::OneRun { .. }));
    assert!(matches!(refusal(elsewhere.path()), ImportError::Database { .. }));
    let database = elsewhere.path().join("mlflow.db");
    assert!(matches!(refusal(&database), ImportError::Database { .. }));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(refusal(empty.path()), ImportError::NotMlruns { .. }));
    let missing = empty.path().join("missing");
    assert!(matches!(refusal(&missing), ImportError::Unreadable { .. }));
    for path in [elsewhere.path(), empty.path(), missing.as_path()] {
        assert!(refusal(path).hint().is_some());
    }
}

#[test]
fn names_and_numbers_that_are_taken_are_joined_or_replaced() {
    let folder = Mlruns::new();
    folder.experiment("1", "mine");
    folder.run("1", 'a');
    folder.experiment("2", "theirs");
    folder.run("2", 'b');
    let target = Target::new();
    let new = |name: &str| cairn_store::experiments::NewExperiment {
        name: name.to_owned(),
        ..Default::default()
    };
    let (one, two) = (new("other"), new("theirs"));
    let numbers = target
        .store
        .write_blocking(move |tx| Ok((tx.create_experiment(&one)?, tx.create_experiment(&two)?)))
        .unwrap();
    assert_eq!(numbers, (ExperimentId(1), ExperimentId(2)));
    let deleted = target
        .store
        .write_blocking(move |tx| {
            tx.delete_experiment(ExperimentId(2))?;
            tx.experiment(ExperimentId(2))
        })
        .unwrap();
    assert_eq!(deleted.lifecycle_stage, LifecycleStage::Deleted);
    let report = target.import(&folder.root());
    assert_eq!(count(&report, SkipReason::ExperimentChanged), 2);
    assert!(!report.has_losses());
    let mine = target.run(&run_id('a')).info.experiment_id;
    assert_ne!(mine, ExperimentId(1));
    let joined = target.store.read_blocking(|tx| tx.experiment_by_name("theirs (imported)"));
    assert_eq!(target.run(&run_id('b')).info.experiment_id, joined.unwrap().experiment_id);
    // A second import finds them again.
    let before = target.contents();
    assert_eq!(target.import(&folder.root()).counts.experiments, 0);
    assert_eq!(target.contents(), before);
}

#[test]
fn files_elsewhere_are_found_kept_or_refused() {
    let folder = Mlruns::new();
    let outside = tempfile::tempdir().unwrap();
    let kept = outside.path().join(run_id('a')).join("artifacts");
    std::fs::create_dir_all(&kept).unwrap();
    std::fs::write(kept.join("a.txt"), "theirs").unwrap();
    let a = folder.run("0", 'a');
    folder.run_meta(&a, &run_id('a'), &format!("artifact_uri: {}\n", kept.display()));
    let secret = outside.path().join("secret");
    std::fs::create_dir_all(&secret).unwrap();
    std::fs::write(secret.join("key"), "secret").unwrap();
    let b = folder.run("0", 'b');
    folder.run_meta(&b, &run_id('b'), &format!("artifact_uri: {}\n", secret.display()));
    let c = folder.run("0", 'c');
    folder.run_meta(&c, &run_id('c'), "artifact_uri: s3://bucket/x/artifacts\n");
    let d = folder.run("0", 'd');
    let served = format!("artifact_uri: mlflow-artifacts:/0/{}/artifacts\n", run_id('d'));
    folder.run_meta(&d, &run_id('d'), &served);
    let tree = folder.parent().join("mlartifacts/0").join(run_id('d')).join("artifacts");
    std::fs::create_dir_all(&tree).unwrap();
    std::fs::write(tree.join("d.txt"), "served").unwrap();
    folder.registered("reg");
    folder.version("reg", 1, "None", &secret.display().to_string(), &run_id('b'));
    let target = Target::new();
    let report = target.import(&folder.root());
    assert_eq!(report.counts.files, 2);
    let artifacts = |digit: char| format!("0/{}/artifacts", run_id(digit));
    assert_eq!(target.artifact(&format!("{}/a.txt", artifacts('a'))).unwrap(), b"theirs");
    assert_eq!(target.artifact(&format!("{}/d.txt", artifacts('d'))).unwrap(), b"served");
    assert_eq!(count(&report, SkipReason::Outside), 2);
    assert_eq!(first(&report, SkipReason::Remote).1, "s3://bucket/x/artifacts");
    assert_eq!(target.run(&run_id('c')).info.artifact_uri, "s3://bucket/x/artifacts");
    let version = target.store.read_blocking(|tx| tx.model_version("reg", 1)).unwrap();
    assert_eq!(version.source.as_deref(), Some(""));
    assert_eq!(version.tags[0].value, secret.display().to_string());
    assert!(!target.contents().contains("secret"), "{}", target.contents());
}

#[test]
fn artifacts_can_stay_where_they_are() {
    let folder = Mlruns::new();
    let run = folder.run("0", 'a');
    folder.write(&format!("{run}/artifacts/a.txt"), "here");
    let target = Target::new();
    let options = ImportOptions { artifacts: ArtifactMode::Reference, ..ImportOptions::default() };
    assert_eq!(target.import_with(&folder.root(), options).counts.files, 0);
    let uri = target.run(&run_id('a')).info.artifact_uri;
    assert_eq!(std::path::Path::new(&uri), folder.root().join(run).join("artifacts"));
}
