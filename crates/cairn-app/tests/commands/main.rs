//! The commands as a host calls them: names and JSON in, JSON out, live events beside it.

use std::{fs, path::Path, time::Duration};

use cairn_app::{
    App, AppOptions, Host, commands,
    dto::{CommandError, ErrorCode, JobState, LiveEvent, ServerStatus},
    ports::Waiting,
};
use cairn_core::{ArtifactPath, ExperimentId, MetricPoint, MetricValue, RunId};
use cairn_runtime::launch::{LaunchKind, LaunchSpec, Launches};
use cairn_store::{
    Store,
    experiments::{NewExperiment, Tag},
    metrics::NewMetric,
    registry::{NewModelVersion, NewRegisteredModel},
    runs::{NewRun, Param},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;

mod charts;
mod parts;

/// A host without a port.
struct Quiet;

impl Host for Quiet {
    fn serve(&self, _: Option<Store>) -> Waiting<'_> {
        Box::pin(std::future::ready(()))
    }

    fn server_status(&self) -> ServerStatus {
        ServerStatus::Off { reason: "This test has no port.".to_owned() }
    }
}

struct Fixture {
    app: App,
    home: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        Self::with_host(Box::new(Quiet)).await
    }

    async fn with_host(host: Box<dyn Host>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let app = start_with(home.path(), host).await;
        Self { app, home }
    }

    async fn call(&self, name: &str, args: Value) -> Result<Value, CommandError> {
        commands::call(&self.app, name, args).await
    }

    async fn ok(&self, name: &str, args: Value) -> Value {
        self.call(name, args).await.unwrap_or_else(|error| panic!("{name}: {}", error.message))
    }

    async fn run(&self, experiment: i64, name: &str, start_time: i64) -> RunId {
        let tag = |key: &str, value: &str| Tag { key: key.into(), value: value.into() };
        let new = NewRun {
            experiment_id: ExperimentId(experiment),
            user_id: "ada".into(),
            run_name: Some(name.into()),
            start_time,
            tags: vec![tag("mlflow.source.name", "train.py"), tag("mlflow.source.type", "LOCAL")],
        };
        let store = self.app.store().unwrap();
        store.write(move |tx| tx.create_run(&new)).await.unwrap().info.run_id
    }

    async fn metric(&self, run: &RunId, key: &str, value: f64, step: i64) {
        let point =
            MetricPoint { key: key.into(), value: MetricValue(value), timestamp: step, step };
        let metric = NewMetric { point, model_id: None, dataset_name: None, dataset_digest: None };
        let run = run.clone();
        let store = self.app.store().unwrap();
        store.write(move |tx| tx.log_metric(&run, &metric)).await.unwrap();
    }
}

async fn start(home: &Path) -> App {
    start_with(home, Box::new(Quiet)).await
}

async fn start_with(home: &Path, host: Box<dyn Host>) -> App {
    let options =
        AppOptions { config_dir: home.join("config"), data_dir: home.join("data"), store: None };
    App::start(options, host).await
}

fn page(filter: &str) -> Value {
    json!({"experiment_ids": ["0"], "filter": filter, "offset": 0, "limit": 50,
           "columns": [{"kind": "metric", "key": "auc"}, {"kind": "param", "key": "lr"}]})
}

#[tokio::test]
async fn a_first_start_makes_the_default_store_and_remembers_it() {
    let fixture = Fixture::new().await;
    let status = fixture.ok("store.status", Value::Null).await;
    assert_eq!(status["path"], fixture.home.path().join("data/store").display().to_string());
    assert_eq!((&status["has_runs"], &status["running_runs"]), (&json!(false), &json!(0)));
    assert_eq!(status["mlflow_release"], "3.0");
    let settings = fixture.ok("settings.get", json!({})).await;
    assert_eq!(settings["recent_stores"], json!([status["path"]]));
    fixture.ok("settings.set_theme", json!({"theme": "dark"})).await;
    fixture.app.stop().await;
    let Fixture { home, .. } = fixture;
    let again = start(home.path()).await;
    let settings = commands::call(&again, "settings.get", json!({})).await.unwrap();
    assert_eq!(settings["theme"], "dark");
}

#[tokio::test]
async fn the_table_has_rows_cells_and_the_place_of_a_broken_filter() {
    let fixture = Fixture::new().await;
    let first = fixture.run(0, "first", 1_000).await;
    fixture.run(0, "second", 2_000).await;
    fixture.metric(&first, "auc", f64::INFINITY, 1).await;
    let (run, store) = (first.clone(), fixture.app.store().unwrap());
    let param = Param { key: "lr".into(), value: "0.1".into() };
    store.write(move |tx| tx.log_param(&run, &param)).await.unwrap();

    let table = fixture.ok("runs.page", page("")).await;
    assert_eq!((&table["total"], &table["unfiltered_total"]), (&json!(2), &json!(2)));
    assert_eq!(table["rows"][0]["name"], "second");
    assert_eq!(table["rows"][0]["cells"], json!([null, null]));
    assert_eq!(table["rows"][1]["cells"], json!([{"special": "Infinity"}, "0.1"]));
    assert_eq!(table["rows"][1]["source"], json!({"name": "train.py", "kind": "LOCAL"}));
    let table = fixture.ok("runs.page", page("params.lr = '0.1'")).await;
    assert_eq!((&table["total"], &table["unfiltered_total"]), (&json!(1), &json!(2)));
    let columns = fixture.ok("runs.columns", json!({"experiment_ids": ["0"]})).await;
    assert_eq!(columns["metrics"], json!(["auc"]));

    let filter = "  tags.ü = 'ö' or é";
    let error = fixture.call("runs.page", page(filter)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidFilter);
    let span = error.span.unwrap();
    let units: Vec<u16> = filter.encode_utf16().collect();
    let place = String::from_utf16_lossy(&units[span.start as usize..span.end as usize]);
    assert_eq!(place, "é");
}

#[tokio::test]
async fn runs_come_as_text_all_that_match_or_those_that_are_named() {
    let fixture = Fixture::new().await;
    let first = fixture.run(0, "first", 1_700_000_000_000).await;
    for number in 0..3 {
        fixture.run(0, &format!("other {number}"), 1_000 + number).await;
    }
    fixture.metric(&first, "auc", 0.1 + 0.2, 1).await;
    let ask = |run_ids: Value, filter: &str, format: &str| {
        json!({"experiment_ids": ["0"], "run_ids": run_ids, "filter": filter, "format": format,
               "order": [{"column": {"kind": "name"}, "ascending": true}],
               "columns": [{"kind": "name"}, {"kind": "metric", "key": "auc"},
                           {"kind": "start"}, {"kind": "source"}, {"kind": "user"},
                           {"kind": "experiment"}]})
    };
    let named = fixture.ok("runs.text", ask(json!([first.as_str()]), "", "csv")).await;
    assert_eq!(named["rows"], 1);
    let expected = format!(
        "run_id,run,auc,start,source,user,experiment\r\n{first},first,0.30000000000000004,\
         2023-11-14T22:13:20Z,train.py,ada,Default\r\n"
    );
    assert_eq!(named["text"], expected);
    let all = fixture.ok("runs.text", ask(json!([]), "", "tsv")).await;
    assert_eq!(all["rows"], 4);
    let some = fixture.ok("runs.text", ask(json!([]), "run_name LIKE 'other%'", "tsv")).await;
    assert_eq!(some["rows"], 3);
    let wrong = fixture.call("runs.text", ask(json!(["x' OR '1"]), "", "tsv")).await.unwrap_err();
    assert_eq!(wrong.code, ErrorCode::InvalidInput);
}

#[tokio::test]
async fn runs_stand_side_by_side_and_what_tells_them_apart_is_marked() {
    let fixture = Fixture::new().await;
    let runs = [fixture.run(0, "base", 1_000).await, fixture.run(0, "new", 2_000).await];
    for (run, (lr, auc, note)) in
        runs.iter().zip([("0.1", 0.5, Some("first")), ("0.10", 0.75, None)])
    {
        fixture.metric(run, "auc", auc, 1).await;
        fixture.metric(run, "broken", f64::NAN, 1).await;
        let (run, store) = (run.clone(), fixture.app.store().unwrap());
        let tag = note.map(|note| Tag { key: "note".into(), value: note.into() });
        let param = |key: &str, value: &str| Param { key: key.into(), value: value.into() };
        let params = [param("lr", lr), param("kind", if note.is_some() { "a" } else { "7" })];
        store
            .write(move |tx| {
                params.iter().try_for_each(|param| tx.log_param(&run, param))?;
                tag.iter().try_for_each(|tag| tx.set_tag(&run, tag))
            })
            .await
            .unwrap();
    }
    let gone = "f".repeat(32);
    let ids = json!([runs[0].as_str(), runs[1].as_str(), gone, runs[0].as_str()]);
    let compared = fixture.ok("runs.compare", json!({"run_ids": ids})).await;
    assert_eq!(compared["missing"], json!([gone]));
    assert_eq!(compared["runs"][1]["name"], "new");
    assert_eq!(compared["runs"][1]["experiment_name"], "Default");
    let rows: Vec<Value> = compared["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["key"], row["cells"], row["deltas"], row["differs"]]))
        .collect();
    let nan = json!({"special": "NaN"});
    let expected = [
        json!(["Experiment", ["Default", "Default"], [], false]),
        json!(["Source", ["train.py", "train.py"], [], false]),
        json!(["User", ["ada", "ada"], [], false]),
        json!(["auc", [0.5, 0.75], [0.0, 0.25], true]),
        json!(["broken", [nan, nan], [null, null], false]),
        json!(["kind", ["a", "7"], [], true]),
        json!(["lr", ["0.1", "0.10"], [0.0, 0.0], false]),
        json!(["note", ["first", null], [], true]),
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn every_edit_comes_with_the_way_back() {
    let fixture = Fixture::new().await;
    let ids = [
        fixture.run(0, "first", 1).await.to_string(),
        fixture.run(0, "second", 2).await.to_string(),
    ];
    let edit = |edit: Value| json!({"edits": [{"run_ids": ids, "edit": edit}]});
    let one = |edit: Value| json!({"edits": [{"run_ids": [ids[0]], "edit": edit}]});
    let look = async || {
        let of = |deleted| {
            let mut request = page("");
            request["deleted"] = json!(deleted);
            request["columns"] = json!([{"kind": "tag", "key": "team"}]);
            request
        };
        let facts = |table: &Value| -> Vec<Value> {
            let rows = table["rows"].as_array().unwrap();
            rows.iter().map(|row| json!([row["name"], row["starred"], row["cells"]])).collect()
        };
        let active = facts(&fixture.ok("runs.page", of(false)).await);
        (active, facts(&fixture.ok("runs.page", of(true)).await))
    };
    fixture.ok("runs.edit", one(json!({"kind": "set_tag", "key": "team", "value": "a"}))).await;
    let before = look().await;
    assert_eq!(before.0[1], json!(["first", false, ["a"]]));

    let edits = [
        (one(json!({"kind": "rename", "name": " best "})), 1),
        (edit(json!({"kind": "set_tag", "key": "team", "value": "b"})), 2),
        (edit(json!({"kind": "set_tag", "key": "cairn.star", "value": "1"})), 2),
        (edit(json!({"kind": "remove_tag", "key": "team"})), 1),
        (edit(json!({"kind": "delete"})), 2),
    ];
    for (edit, changed) in edits {
        let edited = fixture.ok("runs.edit", edit.clone()).await;
        assert_eq!(edited["changed"], changed, "{edit}");
        let after = look().await;
        assert_ne!(after, before, "{edit}");
        let undone = fixture.ok("runs.edit", json!({"edits": edited["undo"]})).await;
        assert_eq!(look().await, before, "{edit}");
        fixture.ok("runs.edit", json!({"edits": undone["undo"]})).await;
        assert_eq!(look().await, after, "{edit}, done again");
        fixture.ok("runs.edit", json!({"edits": edited["undo"]})).await;
    }
}

#[tokio::test]
async fn an_edit_is_made_of_all_runs_or_of_none() {
    let fixture = Fixture::new().await;
    let first = fixture.run(0, "first", 1).await.to_string();
    let gone = "0".repeat(32);
    let edit = json!({"kind": "delete"});
    let request = json!({"edits": [{"run_ids": [first, gone], "edit": edit}]});
    let error = fixture.call("runs.edit", request).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
    assert_eq!(fixture.ok("runs.page", page("")).await["total"], 1, "it is still there");
    let request = json!({"edits": [{"run_ids": [first], "edit": {"kind": "rename", "name": " "}}]});
    let error = fixture.call("runs.edit", request).await.unwrap_err();
    assert_eq!(error.message, "A run needs a name");
}

#[tokio::test]
async fn a_series_goes_on_after_its_cursor() {
    let fixture = Fixture::new().await;
    let run = fixture.run(0, "r", 1).await;
    for step in 0..10 {
        fixture.metric(&run, "loss", f64::from(10 - step), i64::from(step)).await;
    }
    let ask = |after: Value, width: u32| json!({"run_id": run.as_str(), "metric_key": "loss", "width_px": width, "after": after});
    let whole = fixture.ok("series.get", ask(Value::Null, 800)).await;
    assert_eq!(whole["steps"].as_array().unwrap().len(), 10);
    assert_eq!((&whole["is_reduced"], &whole["total_points"]), (&json!(false), &json!(10)));
    fixture.metric(&run, "loss", f64::NAN, 10).await;
    let later = fixture.ok("series.get", ask(whole["cursor"].clone(), 800)).await;
    assert_eq!((&later["steps"], &later["values"]), (&json!([10]), &json!([{"special": "NaN"}])));
    assert_eq!(later["total_points"], 11);
    let nothing = fixture.ok("series.get", ask(later["cursor"].clone(), 800)).await;
    assert_eq!((&nothing["steps"], &nothing["cursor"]), (&json!([]), &later["cursor"]));
    let narrow = fixture.ok("series.get", ask(Value::Null, 2)).await;
    assert_eq!(narrow["is_reduced"], true);
    let foreign = fixture.ok("series.get", ask(json!("0.0"), 800)).await;
    assert_eq!(foreign["restarted"], true);
    assert_eq!(foreign["steps"].as_array().unwrap().len(), 11);
}

#[tokio::test]
async fn files_are_listed_and_previewed_and_images_come_by_handle() {
    let fixture = Fixture::new().await;
    let run = fixture.run(0, "r", 1).await;
    let store = fixture.app.store().unwrap();
    let png = b"\x89PNG\r\n\x1a\nrest".to_vec();
    for (path, bytes) in [
        ("notes/a.txt", "hëllo".as_bytes().to_vec()),
        ("plot.png", png.clone()),
        ("model.pkl", vec![0x80, 0x04, 0x95, 0, 0]),
    ] {
        let path = ArtifactPath::parse(&format!("0/{run}/artifacts/{path}")).unwrap();
        let mut upload = store.artifacts().upload(&path).unwrap();
        upload.write(&bytes).unwrap();
        upload.finish().unwrap();
    }
    let at = |path: &str| json!({"run_id": run.as_str(), "path": path});
    let root = fixture.ok("artifacts.list", at("")).await;
    let names: Vec<_> = root.as_array().unwrap().iter().map(|entry| &entry["path"]).collect();
    assert_eq!(names, ["notes", "model.pkl", "plot.png"]);
    let below = fixture.ok("artifacts.list", at("notes")).await;
    assert_eq!((&below[0]["path"], &below[0]["size_bytes"]), (&json!("notes/a.txt"), &json!(6)));
    let text = fixture.ok("artifact.preview", at("notes/a.txt")).await;
    assert_eq!((&text["kind"], &text["text"]), (&json!("text"), &json!("hëllo")));
    assert_eq!(fixture.ok("artifact.preview", at("model.pkl")).await["kind"], "none");
    let image = fixture.ok("artifact.preview", at("plot.png")).await;
    let file = fixture.app.open_file(image["handle"].as_str().unwrap()).unwrap();
    assert_eq!((file.mime, file.bytes), ("image/png", png));
    let unknown = fixture.app.open_file("00").unwrap_err();
    assert_eq!(unknown.code, ErrorCode::NotFound);
    for path in ["../x", "/etc/passwd", "notes/../../x"] {
        let refused = fixture.call("artifact.preview", at(path)).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidInput, "{path}");
    }
    let missing = fixture.call("artifact.preview", at("none.txt")).await.unwrap_err();
    assert_eq!(missing.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_leaves_the_open_one() {
    let fixture = Fixture::new().await;
    let before = fixture.ok("store.status", json!({})).await;
    let bad = fixture.home.path().join("bad/mlflow.db");
    fs::create_dir(bad.parent().unwrap()).unwrap();
    fs::write(&bad, "no database at all").unwrap();
    for path in [bad.clone(), fixture.home.path().join("bad"), fixture.home.path().to_owned()] {
        let error = fixture.call("store.open", json!({"path": path})).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::CannotOpen, "{}", path.display());
        assert!(error.message.contains(&*path.display().to_string()) && error.hint.is_some());
    }
    assert_eq!(fs::read_to_string(bad).unwrap(), "no database at all");
    let after = fixture.ok("store.status", json!({})).await;
    assert_eq!(after["path"], before["path"]);

    let other = fixture.home.path().join("other");
    let opened = fixture.ok("store.open", json!({"path": other})).await;
    assert_eq!(opened["path"], other.display().to_string());
    let settings = fixture.ok("settings.get", json!({})).await;
    assert_eq!(settings["recent_stores"], json!([opened["path"], before["path"]]));
}

#[tokio::test]
async fn models_show_versions_aliases_and_their_runs() {
    let fixture = Fixture::new().await;
    let run = fixture.run(0, "r", 1).await;
    let store = fixture.app.store().unwrap();
    let source = format!("mlflow-artifacts:/0/{run}/artifacts/model");
    let run_id = run.to_string();
    store
        .write(move |tx| {
            tx.create_registered_model(&NewRegisteredModel {
                name: "churn".into(),
                ..NewRegisteredModel::default()
            })?;
            tx.create_model_version(&NewModelVersion {
                name: "churn".into(),
                source,
                run_id: Some(run_id),
                ..NewModelVersion::default()
            })?;
            tx.set_model_alias("churn", "champion", 1)
        })
        .await
        .unwrap();
    let models = fixture.ok("models.list", json!({})).await;
    assert_eq!(models[0]["aliases"], json!([{"alias": "champion", "version": 1}]));
    let model = fixture.ok("model.get", json!({"name": "churn"})).await;
    assert_eq!(model["versions"][0]["aliases"], json!(["champion"]));
    assert_eq!(model["versions"][0]["run"]["name"], "r");
    let missing = fixture.call("model.get", json!({"name": "none"})).await.unwrap_err();
    assert_eq!(missing.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn windows_are_told_of_changes_within_a_moment() {
    let fixture = Fixture::new().await;
    let mut events = fixture.app.listen();
    let run = fixture.run(0, "r", 1).await;
    fixture.metric(&run, "auc", 0.5, 0).await;
    let told = next(&mut events, |event| match event {
        LiveEvent::Changed { runs, .. } => runs.iter().any(|change| change.run_id == run.as_str()),
        _ => false,
    });
    told.await;
    let running = next(&mut events, |event| match event {
        LiveEvent::Store { status: Some(status) } => status.running_runs == 1 && status.has_runs,
        _ => false,
    });
    running.await;
    let new = NewExperiment { name: "prices".into(), ..NewExperiment::default() };
    fixture.app.store().unwrap().write(move |tx| tx.create_experiment(&new)).await.unwrap();
    next(&mut events, |event| {
        matches!(event, LiveEvent::Changed { experiments: true, runs, .. } if runs.is_empty())
    })
    .await;
}

#[tokio::test]
async fn wrong_calls_say_what_is_wrong() {
    let fixture = Fixture::new().await;
    let unknown = fixture.call("no.such", json!({})).await.unwrap_err();
    assert!(unknown.message.contains("no.such"));
    let wrong = fixture.call("run.get", json!({"run": 1})).await.unwrap_err();
    assert_eq!(wrong.code, ErrorCode::InvalidInput);
    assert!(wrong.message.contains("run_id"), "{}", wrong.message);
    let missing = fixture.call("run.get", json!({"run_id": "f".repeat(32)})).await.unwrap_err();
    assert_eq!(missing.code, ErrorCode::NotFound);
    let off = fixture.call("samples.start", json!({})).await.unwrap_err();
    assert_eq!(off.hint.as_deref(), Some("This test has no port."));
    let pick = fixture.call("path.pick", json!({"what": "store_folder"})).await.unwrap_err();
    assert_eq!(pick.code, ErrorCode::Unsupported);
}

/// Waits for an event, at most five seconds.
async fn next(events: &mut Receiver<LiveEvent>, mut is_it: impl FnMut(&LiveEvent) -> bool) {
    let found = async {
        while let Ok(event) = events.recv().await {
            if is_it(&event) {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(Duration::from_secs(5), found).await;
    assert_eq!(found, Ok(true), "the event did not come");
}

/// Leaves the folder of a launch that ended well.
fn ended_launch(home: &Path, store: &Path, run: &RunId) {
    let mut spec = LaunchSpec::new("train", LaunchKind::Project, "http://127.0.0.1:9");
    spec.store = Some(store.to_owned());
    spec.run_id = Some(run.to_string());
    let folder = Launches::new(&home.join("data")).folder(&spec.launch_id);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("launch.json"), serde_json::to_vec(&spec).unwrap()).unwrap();
    let closed = json!({"at_ms": 5, "event": "closed", "status": "FINISHED",
                        "cause": {"kind": "code", "code": 0}, "is_reported": true});
    fs::write(folder.join("ledger"), format!("{closed}\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_is_of_the_open_store_however_the_store_was_named() {
    let fixture = Fixture::new().await;
    let run = fixture.run(0, "train", 1).await;
    let home = fixture.home.path();
    let store = home.join("data/store");
    let link = home.join("link");
    std::os::unix::fs::symlink(&store, &link).unwrap();
    for named in [store.clone(), store.join("mlflow.db"), link.clone(), link.join("mlflow.db")] {
        ended_launch(home, &named, &run);
    }
    ended_launch(home, &home.join("elsewhere"), &run);
    let queue = fixture.ok("queue.get", json!({})).await;
    let ended = queue["ended"].as_array().unwrap();
    let (here, there): (Vec<_>, Vec<_>) =
        ended.iter().partition(|launch| launch["other_store"].is_null());
    assert_eq!((here.len(), there.len()), (4, 1), "{ended:?}");
    assert!(here.iter().all(|launch| launch["run"]["run_id"] == run.to_string()), "{here:?}");
    assert!(there[0]["run"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_taken_listed_and_put_back() {
    let fixture = Fixture::new().await;
    let kept = fixture.run(0, "before", 1).await;
    let mut live = fixture.app.listen();
    fixture.ok("backup.start", json!({})).await;
    next(&mut live, |event| matches!(event, LiveEvent::Job { job } if job.state == JobState::Done))
        .await;
    let listed = fixture.ok("backups.list", json!({})).await;
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1);
    assert_eq!(listed["failure"], Value::Null);
    let name = listed["backups"][0]["name"].clone();

    let lost = fixture.run(0, "after", 2).await;
    let missing = fixture.call("backup.restore", json!({ "name": "none" })).await.unwrap_err();
    assert_eq!(missing.code, ErrorCode::NotFound);
    fixture.ok("run.get", json!({ "run_id": lost.to_string() })).await;

    let restored = fixture.ok("backup.restore", json!({ "name": name })).await;
    assert_eq!(restored["lost_minutes"], 1);
    assert!(restored["replaced"].as_str().unwrap().contains("mlflow.db.replaced-"));
    fixture.ok("run.get", json!({ "run_id": kept.to_string() })).await;
    let gone = fixture.call("run.get", json!({ "run_id": lost.to_string() })).await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::NotFound);
    fixture.run(0, "again", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_opened_comes_back_from_its_backup() {
    let fixture = Fixture::new().await;
    let kept = fixture.run(0, "before", 1).await;
    let mut live = fixture.app.listen();
    fixture.ok("backup.start", json!({})).await;
    next(&mut live, |event| matches!(event, LiveEvent::Job { job } if job.state == JobState::Done))
        .await;
    fixture.app.stop().await;
    let database = fixture.home.path().join("data/store/mlflow.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes[8_192..40_960].fill(0x5a);
    fs::write(&database, bytes).unwrap();

    let app = start(fixture.home.path()).await;
    assert!(app.store().is_err());
    let listed = commands::call(&app, "backups.list", json!({})).await.unwrap();
    let name = listed["backups"][0]["name"].clone();
    commands::call(&app, "backup.restore", json!({ "name": name })).await.unwrap();
    let run = json!({ "run_id": kept.to_string() });
    assert!(commands::call(&app, "run.get", run).await.is_ok());
}
