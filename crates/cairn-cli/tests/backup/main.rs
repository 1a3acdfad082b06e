//! `cairn backup`, `cairn backups` and `cairn restore`, as a person calls them.

use std::{
    path::Path,
    process::{Command, Output},
};

use cairn_core::ExperimentId;
use cairn_store::{OpenOptions, Store, experiments::Tag};

fn cairn(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cairn"))
        .args(arguments)
        .arg("--store")
        .arg(home.join("store"))
        .env("CAIRN_HOME", home.join("cairn"))
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn tag(store: &Store, key: &str) {
    let tag = Tag { key: key.into(), value: "x".into() };
    store.write_blocking(move |tx| tx.set_experiment_tag(ExperimentId(0), &tag)).unwrap();
}

#[test]
fn a_backup_is_taken_of_a_store_in_use_and_put_back_once_it_is_closed() {
    let home = tempfile::tempdir().unwrap();
    let refused = cairn(home.path(), &["backup"]);
    assert!(!refused.status.success());
    assert!(text(&refused).contains("There is no database at"), "{}", text(&refused));
    assert!(!home.path().join("store").exists());

    let store = Store::open(&home.path().join("store"), OpenOptions::Create).unwrap();
    let none = cairn(home.path(), &["restore"]);
    assert!(text(&none).contains("There is no backup"), "{}", text(&none));
    tag(&store, "before");
    let taken = cairn(home.path(), &["backup"]);
    assert!(taken.status.success(), "{}", text(&taken));
    tag(&store, "after");

    let listed = text(&cairn(home.path(), &["backups"]));
    let name = listed.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let refused = cairn(home.path(), &["restore", &name]);
    assert!(!refused.status.success());
    let words = text(&refused);
    assert!(words.contains("is open in") && words.contains("Stop these programs"), "{words}");
    drop(store);

    let restored = cairn(home.path(), &["restore", &name]);
    assert!(restored.status.success(), "{}", text(&restored));
    assert!(text(&restored).contains("is kept as"), "{}", text(&restored));
    let store = Store::open(&home.path().join("store"), OpenOptions::Existing).unwrap();
    let tags = store.read_blocking(|tx| tx.experiment(ExperimentId(0))).unwrap().tags;
    assert_eq!(tags.iter().map(|tag| tag.key.as_str()).collect::<Vec<_>>(), ["before"]);
}
