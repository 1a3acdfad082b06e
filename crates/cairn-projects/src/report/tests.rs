//! The verdict, its reason and its causes, by what differs.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    facts::{ArtifactFact, DataFact, Point, look},
    *,
};

fn run(run_id: &str) -> RunFacts {
    RunFacts {
        label: RunLabel {
            run_id: run_id.repeat(32),
            name: format!("run {run_id}"),
            experiment_id: "1".to_owned(),
            status: "FINISHED".to_owned(),
            start_ms: 1_700_000_000_000,
            end_ms: Some(1_700_000_002_500),
        },
        entry_point: Some("main".to_owned()),
        tags: BTreeMap::new(),
        params: BTreeMap::from([("alpha".to_owned(), "0.5".to_owned()), seed("1")]),
        metrics: BTreeMap::from([
            ("auc".to_owned(), vec![Point { step: 0, value: 0.8 }, Point { step: 1, value: 0.9 }]),
            ("system/cpu".to_owned(), vec![Point { step: 0, value: run_id.len() as f64 }]),
        ]),
        artifacts: BTreeMap::from([file(
            "model/MLmodel",
            &format!("run_id: {}\nsize: 1\n", run_id.repeat(32)),
        )]),
        lock: Some("numpy==2.1.0\nrich==13.0\n".to_owned()),
        python: Some("3.11.7".to_owned()),
        platform: BTreeMap::from([("cpu".to_owned(), "x".to_owned())]),
        data: BTreeMap::from([(
            "table".to_owned(),
            DataFact {
                path: "/data/t.csv".to_owned(),
                digest: Some("aa".to_owned()),
                size_bytes: Some(2),
            },
        )]),
        seeds: BTreeSet::new(),
        capture: None,
        end_cause: None,
        notes: Vec::new(),
        children: Vec::new(),
    }
}

fn seed(value: &str) -> (String, String) {
    ("seed".to_owned(), value.to_owned())
}

fn file(path: &str, text: &str) -> (String, ArtifactFact) {
    (path.to_owned(), look(text.as_bytes()).unwrap())
}

fn report(change: impl FnOnce(&mut RunFacts)) -> Report {
    let mut rerun = run("b");
    change(&mut rerun);
    let code = CodeComparison { is_same: Some(true), ..CodeComparison::default() };
    compare(&run("a"), &rerun, code, &Tolerances::default(), 1_700_000_010_000)
}

fn check(change: impl FnOnce(&mut RunFacts), verdict: Verdict, summary: &str, causes: &[&str]) {
    let report = report(change);
    assert_eq!((report.verdict, report.summary.as_str()), (verdict, summary), "{report:#?}");
    let texts: Vec<&str> = report.causes.iter().map(|cause| cause.text.as_str()).collect();
    assert_eq!(texts, causes);
}

fn set(run: &mut RunFacts, value: f64) {
    run.metrics.get_mut("auc").unwrap()[1].value = value;
}

#[test]
fn the_same_again_is_reproduced() {
    check(|_| {}, Verdict::Reproduced, "1 metric and 1 artifact are the same.", &[]);
    check(
        |rerun| {
            rerun.metrics.remove("system/cpu");
            rerun.artifacts.extend([file("cairn/environment.lock.txt", "x")]);
        },
        Verdict::Reproduced,
        "1 metric and 1 artifact are the same.",
        &[],
    );
}

#[test]
fn a_changed_seed_is_named_first() {
    check(
        |rerun| {
            set(rerun, 0.7);
            rerun.params.extend([seed("2"), ("alpha".to_owned(), "0.6".to_owned())]);
            rerun.lock = Some("numpy==2.2.0\n".to_owned());
            rerun.python = Some("3.12.1".to_owned());
            rerun.data.get_mut("table").unwrap().digest = Some("bb".to_owned());
        },
        Verdict::Differs,
        "1 metric is out of tolerance or missing.",
        &[
            "The seed changed: seed was 1, is 2",
            "The parameter changed: alpha was 0.5, is 0.6",
            "The data file of table changed: /data/t.csv",
            "Python changed: python was 3.11.7, is 3.12.1",
            "The package numpy changed: 2.1.0 before, 2.2.0 now",
            "The package rich 13.0 is gone",
        ],
    );
}

#[test]
fn what_changed_without_an_effect_is_told_too() {
    check(
        |rerun| rerun.params.extend([seed("2")]),
        Verdict::Reproduced,
        "1 metric and 1 artifact are the same.",
        &["The seed changed: seed was 1, is 2"],
    );
}

#[test]
fn near_values_are_within_tolerance() {
    check(
        |rerun| set(rerun, 0.900_000_000_1),
        Verdict::WithinTolerance,
        "1 metric is not equal, but within tolerance.",
        &["Nothing that is recorded changed: the code itself gives other results each time \
           (threads, a generator that the seed does not reach, time, the network)"],
    );
}

#[test]
fn other_bytes_with_equal_metrics_are_within_tolerance() {
    let change =
        |rerun: &mut RunFacts| rerun.artifacts.extend([file("model/MLmodel", "size: 2\n")]);
    let report = report(change);
    assert_eq!(report.verdict, Verdict::WithinTolerance);
    assert_eq!(report.summary, "All metrics are equal; the content of 1 artifact differs.");
    let report = super::compare(
        &RunFacts { metrics: BTreeMap::new(), ..run("a") },
        &{
            let mut rerun = RunFacts { metrics: BTreeMap::new(), ..run("b") };
            change(&mut rerun);
            rerun
        },
        CodeComparison::default(),
        &Tolerances::default(),
        0,
    );
    assert_eq!(report.verdict, Verdict::Differs, "without metrics the bytes decide");
}

#[test]
fn a_failed_rerun_differs() {
    check(
        |rerun| {
            "FAILED".clone_into(&mut rerun.label.status);
            rerun.end_cause = Some("exit code 3".to_owned());
            rerun.metrics.clear();
        },
        Verdict::Differs,
        "The original ended FINISHED, the rerun FAILED; 1 metric is out of tolerance or missing.",
        &["The rerun ended FAILED, the original FINISHED: exit code 3"],
    );
}

fn child(of: &str, entry_point: &str, params: &[(&str, &str)], value: f64) -> RunFacts {
    let mut child = run(of);
    child.entry_point = Some(entry_point.to_owned());
    child.params =
        params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    set(&mut child, value);
    child
}

#[test]
fn children_are_paired_by_what_they_did() {
    let mut original = run("a");
    let mut rerun = run("b");
    let input = |of: &str| format!("file:///x/{}/artifacts/t.csv", of.repeat(32));
    // In another order, with the ids of siblings in their parameters.
    original.children = vec![
        child("c", "clean", &[("data", &input("a"))], 1.0),
        child("d", "train", &[("lr", "0.1")], 0.5),
        child("e", "train", &[("lr", "0.2")], 0.6),
    ];
    rerun.children = vec![
        child("0", "train", &[("lr", "0.2")], 0.6),
        child("1", "train", &[("lr", "0.1")], 0.5),
        child("2", "clean", &[("data", &input("b"))], 1.0),
    ];
    let code = || CodeComparison { is_same: Some(true), ..CodeComparison::default() };
    let report = compare(&original, &rerun, code(), &Tolerances::default(), 0);
    assert_eq!(report.verdict, Verdict::Reproduced, "{report:#?}");
    let labels: Vec<&str> = report.runs.iter().map(|run| run.label.as_str()).collect();
    assert_eq!(labels, ["", "clean", "train", "train 2"]);
    assert!(report.runs.iter().all(|run| run.params.is_empty()));

    rerun.children.pop();
    let report = compare(&original, &rerun, code(), &Tolerances::default(), 0);
    assert_eq!(report.verdict, Verdict::Differs);
    assert_eq!(report.causes[0].text, "The child run clean is missing in the rerun");
}

#[test]
fn the_page_and_the_json_say_the_same() {
    let report = report(|rerun| {
        set(rerun, 0.7);
        rerun.params.extend([seed("<script>alert(1)</script>")]);
        rerun.metrics.insert("nan".to_owned(), vec![Point { step: 0, value: f64::NAN }]);
        "a & b".clone_into(&mut rerun.label.name);
    });
    let text = serde_json::to_string_pretty(&report).unwrap();
    let back: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string_pretty(&back).unwrap(), text);
    let page = html::page(&report);
    assert!(!page.contains("<script"), "{page}");
    for expected in [
        "✗ Differs",
        "a &amp; b",
        "&lt;script&gt;",
        "only in the rerun",
        "from step 1 on",
        "default-src 'none'",
    ] {
        assert!(page.contains(expected), "{expected} is missing in {page}");
    }
}
