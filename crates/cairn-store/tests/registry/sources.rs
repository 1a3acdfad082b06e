//! What a version may be made from.

use cairn_core::ExperimentId;
use cairn_store::{
    Result, StoreError,
    registry::{ModelVersion, NewModelVersion, Stage},
};

use crate::{Fixture, new_version, tag, unknown_model};

const DEFAULT: ExperimentId = ExperimentId(0);

fn create(fixture: &Fixture, new: &NewModelVersion) -> Result<ModelVersion> {
    let new = new.clone();
    fixture.try_write(move |tx| tx.create_model_version(&new))
}

/// A version of the model `m`, made from a source for a run or a logged model.
fn from(source: &str, run_id: Option<&str>, model_id: Option<&str>) -> NewModelVersion {
    NewModelVersion {
        run_id: run_id.map(str::to_owned),
        model_id: model_id.map(str::to_owned),
        ..new_version("m", source)
    }
}

fn not_owned(source: &str, parameter: &str) -> String {
    format!(
        "Invalid model version source: '{source}'. The {parameter} request parameter must identify \
         the resource that contains the source."
    )
}

fn not_local(source: &str, parameter: &str) -> String {
    format!(
        "Invalid model version source: '{source}'. To use a local path as a model version source, \
         the {parameter} request parameter has to be specified and the local path has to be \
         contained within the artifact directory of the run specified by the {parameter}."
    )
}

#[track_caller]
fn check_refused(fixture: &Fixture, new: &NewModelVersion, message: &str) {
    match create(fixture, new) {
        Err(StoreError::Invalid(invalid)) => assert_eq!(invalid.message, message),
        other => panic!("{new:?}: {other:?}"),
    }
}

#[test]
fn a_run_source_needs_its_own_run() {
    let fixture = Fixture::new();
    fixture.model("m");
    let run = fixture.run(DEFAULT).run_id;
    let other = fixture.run(DEFAULT).run_id;
    let source = format!("runs:/{run}/model");
    let version = create(&fixture, &from(&source, Some(run.as_str()), None)).unwrap();
    assert_eq!(version.source.as_deref(), Some(source.as_str()));
    assert_eq!(version.storage_location.as_deref(), Some(source.as_str()));
    assert_eq!(version.run_id.as_deref(), Some(run.as_str()));
    check_refused(&fixture, &from(&source, None, None), &not_owned(&source, "run_id"));
    check_refused(
        &fixture,
        &from(&source, Some(other.as_str()), None),
        &not_owned(&source, "run_id"),
    );
    let model = fixture.logged_model(DEFAULT, Some(&run)).model_id;
    let with_model = from(&source, Some(run.as_str()), Some(model.as_str()));
    check_refused(&fixture, &with_model, &not_owned(&source, "model_id"));
}

#[test]
fn a_logged_model_source_resolves_to_the_models_files_and_run() {
    let fixture = Fixture::new();
    fixture.model("m");
    let run = fixture.run(DEFAULT).run_id;
    let model = fixture.logged_model(DEFAULT, Some(&run));
    let id = model.model_id.as_str();
    let source = format!("models:/{id}");
    let version = create(&fixture, &from(&source, None, Some(id))).unwrap();
    assert_eq!(version.source.as_deref(), Some(source.as_str()));
    assert_eq!(version.storage_location, Some(model.artifact_location.clone()));
    assert_eq!(version.run_id.as_deref(), Some(run.as_str()));
    assert_eq!(
        fixture.read(|tx| tx.model_version_download_uri("m", 1)),
        format!("mlflow-artifacts:/0/models/{id}/artifacts")
    );
    check_refused(
        &fixture,
        &from(&source, Some(run.as_str()), None),
        &not_owned(&source, "model_id"),
    );
    let other = fixture.logged_model(DEFAULT, None).model_id;
    check_refused(
        &fixture,
        &from(&source, None, Some(other.as_str())),
        &not_owned(&source, "model_id"),
    );
}

#[test]
fn a_missing_or_deleted_logged_model_is_told_apart_from_a_bad_request() {
    let fixture = Fixture::new();
    fixture.model("m");
    let missing = unknown_model();
    let deleted = fixture.logged_model(DEFAULT, None).model_id;
    let id = deleted.clone();
    fixture.write(move |tx| tx.delete_logged_model(&id));
    for id in [missing.as_str(), deleted.as_str()] {
        let source = format!("models:/{id}");
        match create(&fixture, &from(&source, None, Some(id))) {
            Err(StoreError::NotFound(message)) => assert_eq!(
                message,
                format!(
                    "Unable to fetch model from model URI source artifact location '{source}'. Error: \
                 Logged model with ID '{id}' not found."
                )
            ),
            other => panic!("{other:?}"),
        }
        let source = format!("mlflow-artifacts:/0/models/{id}/artifacts");
        check_refused(&fixture, &from(&source, None, Some(id)), &not_owned(&source, "model_id"));
        let cloud = create(&fixture, &from("s3://b/m", None, Some(id)));
        assert!(matches!(cloud, Err(StoreError::NotFound(_))), "{cloud:?}");
    }
    assert_eq!(fixture.stored::<i64>("SELECT COUNT(*) FROM model_versions"), 0);
}

#[test]
fn artifact_sources_lie_below_the_run_or_model() {
    let fixture = Fixture::new();
    fixture.model("m");
    let run = fixture.run(DEFAULT).run_id;
    let model = fixture.logged_model(DEFAULT, Some(&run)).model_id;
    let (run, model) = (run.as_str(), model.as_str());
    let of_run = format!("mlflow-artifacts:/0/{run}/artifacts/a b/model");
    let of_model = format!("mlflow-artifacts:/0/models/{model}/artifacts");
    let version = create(&fixture, &from(&of_run, Some(run), None)).unwrap();
    assert_eq!(version.storage_location.as_deref(), Some(of_run.as_str()));
    let version = create(&fixture, &from(&of_model, None, Some(model))).unwrap();
    assert_eq!(version.run_id.as_deref(), Some(run), "the model's run is inherited");
    check_refused(&fixture, &from(&of_run, None, None), &not_owned(&of_run, "run_id"));
    check_refused(&fixture, &from(&of_run, Some("unknown"), None), &not_owned(&of_run, "run_id"));
    check_refused(&fixture, &from(&of_run, Some("../x"), None), &not_owned(&of_run, "run_id"));
    check_refused(&fixture, &from(&of_run, None, Some(model)), &not_owned(&of_run, "model_id"));
    check_refused(&fixture, &from(&of_model, Some(run), None), &not_owned(&of_model, "run_id"));
    for source in [
        format!("mlflow-artifacts:/0/{run}/artifacts2/model"),
        format!("mlflow-artifacts:/0/{run}"),
        "mlflow-artifacts:/".to_owned(),
        format!("mlflow-artifacts://127.0.0.1:5000/0/{run}/artifacts/model"),
        format!("mlflow-artifacts:/1/{run}/artifacts/model"),
    ] {
        check_refused(&fixture, &from(&source, Some(run), None), &not_owned(&source, "run_id"));
    }
}

#[test]
fn local_sources_lie_in_the_local_folder_of_the_run_or_model() {
    let fixture = Fixture::new();
    fixture.model("m");
    let experiment = fixture.experiment_at("/data/my runs/7");
    let run = fixture.run(experiment).run_id;
    let model = fixture.logged_model(experiment, None);
    let (run, id) = (run.as_str(), model.model_id.as_str());
    let path = format!("/data/my runs/7/{run}/artifacts/model");
    let uri = format!("file:///data/my%20runs/7/{run}/artifacts/model");
    for source in [&path, &uri] {
        let version = create(&fixture, &from(source, Some(run), None)).unwrap();
        assert_eq!(version.source.as_ref(), Some(source));
        assert_eq!(version.storage_location.as_ref(), Some(source));
        check_refused(&fixture, &from(source, None, None), &not_local(source, "run_id"));
        check_refused(&fixture, &from(source, None, Some(id)), &not_local(source, "model_id"));
        check_refused(&fixture, &from(source, Some("unknown"), None), &not_owned(source, "run_id"));
    }
    let of_model = format!("{}/x", model.artifact_location);
    assert!(create(&fixture, &from(&of_model, None, Some(id))).is_ok());
    // A run whose files are served has no local folder.
    let served = fixture.run(DEFAULT).run_id;
    let source = format!("/0/{served}/artifacts");
    check_refused(
        &fixture,
        &from(&source, Some(served.as_str()), None),
        &not_local(&source, "run_id"),
    );
}

#[test]
fn local_paths_that_may_lead_elsewhere_are_refused_whether_they_exist_or_not() {
    let fixture = Fixture::new();
    fixture.model("m");
    let experiment = fixture.experiment_at("/data/7");
    let run = fixture.run(experiment);
    for source in [
        "/etc/passwd",
        "/no/such/file",
        "/data/7",
        "file:///etc/",
        "file:/etc",
        "file://etc/x",
        "file://./etc",
        "file://localhost/etc",
        "../../../etc",
        "etc",
        "./etc",
        "//proc/self/root",
        "\\..\\..\\etc",
        "C:/etc",
        "C:%5cetc",
        "\\\\host\\share",
        ":/etc",
    ] {
        let new = from(source, Some(run.run_id.as_str()), None);
        check_refused(&fixture, &new, &not_local(source, "run_id"));
    }
    for below in [
        "/../../../../etc",
        "/%2e%2e/%2e%2e/etc",
        "/%252e%252e/etc",
        "/a?/../../../../etc",
        "/a#/../../../../etc",
        "/a;/../../../../etc",
        "/..;/etc",
        "/a\\..\\..",
        "/a\0b",
        "/a//b",
        "/a%3f/../x",
        "/....//../x",
    ] {
        for prefix in ["", "file://"] {
            let source = format!("{prefix}{}{below}", run.artifact_uri);
            let new = from(&source, Some(run.run_id.as_str()), None);
            check_refused(&fixture, &new, &not_local(&source, "run_id"));
        }
    }
}

#[test]
fn served_paths_with_a_second_reading_are_refused() {
    let fixture = Fixture::new();
    fixture.model("m");
    let run = fixture.run(DEFAULT);
    for below in [
        "/../../../../etc",
        "/%2e%2e/x",
        "/%252e%252e%252fx",
        "/a?/../../x",
        "/a#/../../x",
        "/a;/../../x",
        "/a\\..\\..",
        "/a%00b",
        "/a//b",
        "/a%20b",
    ] {
        let source = format!("{}{below}", run.artifact_uri);
        let message = format!(
            "Invalid model version source: '{source}'. If supplying a source as an http, https, \
             local file path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be \
             provided without relative path references present. Please provide an absolute path."
        );
        check_refused(&fixture, &from(&source, Some(run.run_id.as_str()), None), &message);
    }
}

#[test]
fn clouds_are_taken_as_they_are_and_hosts_are_refused() {
    let fixture = Fixture::new();
    fixture.model("m");
    for source in
        ["s3://bucket/a/b", "gs://bucket/x", "wasbs://c@a.blob.core.windows.net/m", "dbfs:/x"]
    {
        let version = create(&fixture, &from(source, None, None)).unwrap();
        assert_eq!(version.source.as_deref(), Some(source));
        assert_eq!(version.storage_location.as_deref(), Some(source));
        assert_eq!(version.run_id.as_deref(), Some(""));
    }
    for source in ["s3://bucket/a/../b", "s3://bucket/%2e%2e/b", "dbfs:/r/a%3f/../../x"] {
        let error = create(&fixture, &from(source, None, None)).unwrap_err();
        assert!(error.to_string().contains("without relative path references"), "{error}");
    }
    for scheme in ["http", "https", "ftp", "sftp", "hdfs", "abfss"] {
        let source = format!("{scheme}://host/api/2.0/mlflow-artifacts/artifacts/");
        check_refused(
            &fixture,
            &from(&source, None, None),
            &format!(
                "'source' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses a host \
             other than the tracking server's configured artifact storage, so the server would \
             connect to the host named in the URI."
            ),
        );
    }
}

#[test]
fn tags_never_change_what_is_checked() {
    let fixture = Fixture::new();
    fixture.model("m");
    let prompt = tag("mlflow.prompt.is_prompt", "true");
    let on_model = prompt.clone();
    fixture.write(move |tx| tx.set_registered_model_tag("m", &on_model));
    for source in ["file:///etc/", "../../../etc", "prompt-template", "/etc"] {
        let new = NewModelVersion { tags: vec![prompt.clone()], ..from(source, None, None) };
        check_refused(&fixture, &new, &not_local(source, "run_id"));
    }
}

#[test]
fn a_copy_inherits_the_run_and_the_files() {
    let fixture = Fixture::new();
    fixture.model("m");
    fixture.model("origin");
    let run = fixture.run(DEFAULT).run_id;
    let model = fixture.logged_model(DEFAULT, Some(&run));
    let new = NewModelVersion {
        model_id: Some(model.model_id.to_string()),
        ..new_version("origin", &format!("models:/{}", model.model_id))
    };
    create(&fixture, &new).unwrap();
    fixture.version("origin");
    fixture.write(|tx| tx.set_model_alias("origin", "champion", 1));
    fixture.write(|tx| tx.transition_model_version("origin", 1, Stage::Production, false));
    for source in ["models:/origin/1", "models:/origin@champion", "models:/origin/production"] {
        let copy = create(&fixture, &from(source, None, None)).unwrap();
        assert_eq!(copy.source.as_deref(), Some("models:/origin/1"), "{source}");
        assert_eq!(copy.storage_location, Some(model.artifact_location.clone()));
        assert_eq!(copy.run_id.as_deref(), Some(run.as_str()));
    }
    // The client sends what the version has.
    assert!(create(&fixture, &from("models:/origin/1", Some(run.as_str()), None)).is_ok());
    let latest = create(&fixture, &from("models:/origin/latest", None, None)).unwrap();
    assert_eq!(latest.source.as_deref(), Some("models:/origin/2"));
    // A copy of a copy still points at the first one's files.
    let again = create(&fixture, &from("models:/m/1", None, None)).unwrap();
    assert_eq!(again.storage_location, Some(model.artifact_location));
    let message = "Invalid model version source: 'models:/origin/1'. The run_id and model_id \
        request parameters must match the referenced model version.";
    check_refused(&fixture, &from("models:/origin/1", Some("other"), None), message);
    check_refused(
        &fixture,
        &from("models:/origin/1", None, Some(model.model_id.as_str())),
        message,
    );
}

#[test]
fn a_copy_of_what_is_not_there_is_not_found() {
    let fixture = Fixture::new();
    fixture.model("m");
    for (source, message) in [
        ("models:/none/1", "Registered Model with name=none not found"),
        ("models:/m/1", "Model Version (name=m, version=1) not found"),
        ("models:/m/latest", "Latest version not found for model m."),
        ("models:/m/Staging", "No versions of model with name 'm' and stage 'Staging' found"),
    ] {
        match create(&fixture, &from(source, None, None)) {
            Err(StoreError::NotFound(found)) => assert_eq!(found, message),
            other => panic!("{source}: {other:?}"),
        }
    }
    check_refused(
        &fixture,
        &from("models:/m@champion", None, None),
        "Registered model alias champion not found.",
    );
    for source in
        ["models:/", "models:/m/1/2", "models://host/m/1", "models:/m/nowhere", "models:/m%2f1"]
    {
        check_refused(&fixture, &from(source, None, None), &not_owned(source, "model_id"));
    }
}

#[test]
fn prompts_are_not_copied() {
    let fixture = Fixture::new();
    fixture.model("m");
    fixture.model("prompt");
    fixture.version("prompt");
    let prompt = tag("mlflow.prompt.is_prompt", "true");
    fixture.write(move |tx| tx.set_registered_model_tag("prompt", &prompt));
    check_refused(
        &fixture,
        &from("models:/prompt/1", None, None),
        "Invalid model version source: 'models:/prompt/1'. Prompt versions cannot be used as model \
         version sources.",
    );
}

#[test]
fn each_version_is_noted_on_its_logged_model() {
    let fixture = Fixture::new();
    fixture.model("m");
    let id = fixture.logged_model(DEFAULT, None).model_id;
    let source = format!("models:/{id}");
    for _ in 0..2 {
        create(&fixture, &from(&source, None, Some(id.as_str()))).unwrap();
    }
    let model = fixture.read(|tx| tx.logged_model(&id, false));
    assert_eq!(
        model.tags,
        [tag("mlflow.modelVersions", r#"[{"name":"m","version":1},{"name":"m","version":2}]"#)]
    );
    let versions = fixture.read(|tx| tx.versions_of_logged_models(std::slice::from_ref(&id)));
    let numbers: Vec<_> = versions[&id].iter().map(|version| version.version).collect();
    assert_eq!(numbers, [1, 2]);
    fixture.write(|tx| tx.delete_model_version("m", 1));
    let versions = fixture.read(|tx| tx.versions_of_logged_models(std::slice::from_ref(&id)));
    assert_eq!(versions[&id].len(), 1);
}
