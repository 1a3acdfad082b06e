//! `cairn environments`, as a person calls it. The environments are made by the uv on PATH.

use std::{
    path::Path,
    process::{Command, Output},
};

use cairn_runtime::{
    CancellationToken, EnvironmentSpec, Environments, environment::EnvironmentUse,
};
use serde_json::Value;

fn cairn(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cairn"))
        .arg("environments")
        .args(arguments)
        .env("CAIRN_HOME", home)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn environments_are_listed_remade_pruned_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    assert!(text(&cairn(home, &[])).starts_with("There is no environment in "));

    let environments = Environments::new(home.join("data"));
    let spec = EnvironmentSpec::python("tiny", None, ["toolz==1.0.0"]).unwrap();
    let made = environments.ensure(&spec, &|_| (), &CancellationToken::new()).await.unwrap();
    let used = EnvironmentUse { run_id: "f".repeat(32), store: None, at_ms: 1 };
    environments.note_use(&made, &used).unwrap();
    let name = made.name();

    let listed = text(&cairn(home, &["list"]));
    assert!(
        listed.contains(name) && listed.contains("1 run") && listed.contains("Together"),
        "{listed}"
    );
    let list = json(&cairn(home, &["list", "--json"]));
    let entry = &list["environments"][0];
    assert_eq!(entry["name"], name);
    assert_eq!(entry["kind"], "python");
    assert_eq!(entry["used_by"][0]["run_id"], "f".repeat(32));
    assert!(entry["own_bytes"].as_u64().unwrap() <= entry["size_bytes"].as_u64().unwrap());

    let kept = json(&cairn(home, &["prune", "--json"]));
    assert_eq!(kept["removed"].as_array().unwrap().len(), 0);
    assert!(kept["kept"][0]["because"].as_str().unwrap().contains("ago"), "{kept}");
    let planned = text(&cairn(home, &["prune", "--days", "0", "--dry-run"]));
    assert!(planned.contains(&format!("Would remove {name}")), "{planned}");

    let rebuilt = json(&cairn(home, &["rebuild", name, "--json"]));
    assert_eq!(rebuilt["name"], name);
    assert!(made.python().exists());

    let removed = text(&cairn(home, &["remove", name]));
    assert_eq!(removed, format!("Removed {name}\n"));
    let refused = cairn(home, &["remove", name]);
    assert!(!refused.status.success());
    assert!(text(&refused).contains("There is no environment"), "{}", text(&refused));
}
