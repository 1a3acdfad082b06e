//! The four kinds of runs, by what is recorded of them.

use std::{collections::BTreeMap, process::Command};

use cairn_core::run::RunStatus;
use cairn_runtime::tracking::RunInfo;

use super::*;
use crate::capture::{EnvironmentCapture, PlatformCapture, SourceCapture};

fn record(tags: &[(&str, &str)], params: &[(&str, &str)]) -> RunRecord {
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    RunRecord {
        info: RunInfo {
            run_id: "a".repeat(32),
            experiment_id: "7".to_owned(),
            name: "bold-crow-1".to_owned(),
            status: RunStatus::Finished,
            start_ms: Some(1),
            end_ms: Some(2),
            artifact_uri: "mlflow-artifacts:/7".to_owned(),
            is_deleted: false,
        },
        params: pairs(params),
        tags: pairs(tags),
        metrics: BTreeMap::new(),
    }
}

fn capture(folder: &Path) -> Capture {
    Capture {
        version: 1,
        uri: folder.display().to_string(),
        entry_point: "train".to_owned(),
        params: BTreeMap::from([
            ("alpha".to_owned(), "0.5".to_owned()),
            ("seed".to_owned(), "1".to_owned()),
        ]),
        given: vec![("seed".to_owned(), "1".to_owned())],
        command: "python train.py".to_owned(),
        source: Some(SourceCapture {
            is_git: true,
            commit: Some("3f2a1b4c".repeat(5)),
            remote: None,
            branch: None,
            captured_commit: "c".repeat(40),
            captured_tree: "d".repeat(40),
            subfolder: String::new(),
            is_partial: false,
            changed: Vec::new(),
            changed_count: 2,
            left_out: Vec::new(),
            bundle_bytes: 10,
        }),
        environment: EnvironmentCapture {
            kind: "python".to_owned(),
            manager: "uv".to_owned(),
            python: Some("3.11.7".to_owned()),
            ..EnvironmentCapture::default()
        },
        platform: PlatformCapture {
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            kernel: None,
            processor: None,
            cairn: "0.1.0".to_owned(),
        },
        inputs: Vec::new(),
        seeds: BTreeMap::new(),
        content_hash: "e".repeat(64),
        notes: Vec::new(),
    }
}

fn what(parts: &[Unknown]) -> Vec<&str> {
    parts.iter().map(|part| part.what.as_str()).collect()
}

#[test]
fn a_run_of_cairn_is_repeated_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let mut capture = capture(folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let data = elsewhere.path().join("t.csv");
    fs::write(&data, "a,b\n").unwrap();
    let own = folder.path().join("own.csv");
    fs::write(&own, "a,b\n").unwrap();
    let input = |sha256: &str, path: PathBuf| InputCapture {
        param: "data".to_owned(),
        path,
        is_folder: false,
        size_bytes: 4,
        modified_ms: 0,
        sha256: Some(sha256.to_owned()),
    };
    capture.inputs = vec![input(&digest(&data).unwrap(), data.clone()), input("00", own)];
    let record = record(&[("mlflow.source.type", "PROJECT")], &[("model", "logged by the code")]);
    let plan = plan_of(&record, Some(&capture), Some("numpy==2.1\nrich==13\n"));
    assert_eq!(plan.exactness, Exactness::Exact);
    assert_eq!(what(&plan.unknown), Vec::<&str>::new());
    let details: Vec<&str> = plan.restores.iter().map(|part| part.detail.as_str()).collect();
    assert_eq!(details[0], "commit 3f2a1b4 with 2 changed files, as it was captured");
    assert_eq!(details[1], "2 packages from the lock, Python 3.11.7");
    assert_eq!(details[2], "seed=1, alpha=0.5");
    assert!(details[3].ends_with("t.csv is as it was"), "{details:?}");
    assert!(details[4].ends_with("own.csv comes with the code"), "{details:?}");
    let request = plan.with_params(&[("alpha".to_owned(), "0.7".to_owned())]).unwrap();
    assert_eq!(request.param("alpha"), Some("0.7"));
    assert_eq!(request.param("model"), None);
    assert_eq!(request.rerun_of, Some(record.info.run_id.clone()));
    assert_eq!(request.tags[RERUN_OF_TAG], record.info.run_id);
    assert_eq!(request.experiment_id.as_deref(), Some("7"));
    assert_eq!(request.run_name.as_deref(), Some("bold-crow-1 again"));
    assert_eq!(request.restore.as_ref().map(|it| (it.code, it.environment)), Some((true, true)));

    capture.inputs = vec![input("00", data), input("00", "/gone".into())];
    let plan = plan_of(&record, Some(&capture), None);
    assert_eq!(plan.exactness, Exactness::FromTags);
    assert_eq!(what(&plan.unknown), ["Environment", "Data", "Data"]);
}

#[test]
fn a_run_of_mlflow_run_is_repeated_by_its_tags() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("MLproject"),
        "entry_points:\n  train:\n    parameters: {alpha: float, note: string}\n    command: \"true {alpha} {note}\"\n",
    )
    .unwrap();
    let source = format!("file://{}", folder.path().display());
    let record = record(
        &[
            ("mlflow.source.type", "PROJECT"),
            ("mlflow.source.name", &source),
            ("mlflow.project.entryPoint", "train"),
            ("mlflow.project.env", "virtualenv"),
            ("mlflow.source.git.commit", "3f2a1b4c"),
        ],
        &[("alpha", "0.5"), ("note", "'it'\"'\"'s a $HOME; x'"), ("rows", "10")],
    );
    let plan = plan_of(&record, None, None);
    assert_eq!(plan.exactness, Exactness::FromTags);
    assert_eq!(what(&plan.unknown), ["Environment", "Uncommitted changes", "Other parameters"]);
    let request = plan.request.unwrap();
    assert_eq!(request.param("note"), Some("it's a $HOME; x"));
    assert_eq!(request.param("rows"), None);
    assert_eq!(request.version.as_deref(), Some("3f2a1b4c"));
    assert_eq!(request.env_manager, Some(EnvManager::Virtualenv));

    fs::remove_dir_all(folder.path()).unwrap();
    let plan = plan_of(&record, None, None);
    assert_eq!(plan.exactness, Exactness::NotPossible);
    assert!(plan.summary.contains("is not there any more"), "{}", plan.summary);
}

#[test]
fn a_script_is_repeated_as_well_as_can_be_told() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("sub/train.py");
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(&script, "parser.add_argument('--lr')\n").unwrap();
    let source = script.display().to_string();
    let tags = [("mlflow.source.type", "LOCAL"), ("mlflow.source.name", source.as_str())];
    let plan = plan_of(&record(&tags, &[("lr", "0.1"), ("rows", "3")]), None, None);
    assert_eq!(plan.exactness, Exactness::BestEffort);
    assert_eq!(what(&plan.unknown), ["Command line", "Environment", "Code", "Other parameters"]);
    let request = plan.request.unwrap();
    assert_eq!((request.entry_point.as_str(), request.param("lr")), ("train.py", Some("0.1")));
    assert_eq!((request.param("rows"), request.version.as_ref()), (None, None));

    let init = Command::new("git").args(["init", "-q"]).current_dir(folder.path()).status();
    assert!(init.unwrap().success());
    let tags = [tags[0], tags[1], ("mlflow.source.git.commit", "3f2a1b4c")];
    let plan = plan_of(&record(&tags, &[]), None, None);
    let request = plan.request.unwrap();
    assert_eq!(request.uri, format!("{}#sub", folder.path().display()));
    assert_eq!(request.version.as_deref(), Some("3f2a1b4c"));
    assert!(what(&plan.unknown).contains(&"Uncommitted changes"));
}

#[test]
fn what_cannot_be_repeated_is_told_with_what_can_be_done() {
    let check = |tags: &[(&str, &str)], expected: &str, has_request: bool| {
        let plan = plan_of(&record(tags, &[]), None, None);
        assert_eq!(plan.exactness, Exactness::NotPossible, "{tags:?}");
        assert!(plan.request.is_none());
        assert!(plan.summary.contains(expected), "{}", plan.summary);
        assert_eq!(plan.offers.iter().any(|offer| offer.request.is_some()), has_request);
        assert!(!plan.offers.is_empty());
    };
    let folder = tempfile::tempdir().unwrap();
    let notebook = folder.path().join("study.ipynb");
    fs::write(&notebook, "{}").unwrap();
    check(&[("mlflow.source.name", notebook.to_str().unwrap())], "notebook", true);
    check(&[("mlflow.source.name", "/usr/lib/python3/ipykernel_launcher.py")], "notebook", false);
    check(&[("mlflow.source.type", "NOTEBOOK")], "notebook", false);
    check(&[], "Nothing is recorded", false);
    check(&[("mlflow.source.name", "/gone/train.py")], "not there any more", false);
    check(&[("mlflow.source.name", "train.py")], "from a folder that is not recorded", false);
}

#[test]
fn only_what_mlflow_quoted_is_unquoted() {
    for (logged, expected) in [
        ("'a b'", "a b"),
        ("plain", "plain"),
        ("'plain'", "'plain'"),
        ("'", "'"),
        ("''", ""),
        ("'it'\"'\"'s'", "it's"),
    ] {
        assert_eq!(unquoted(logged), expected, "{logged}");
    }
}
