//! What a pipeline may say, and the line of what it may not.

use super::*;

const ENTRY_POINTS: &str =
    "entry_points:\n  a: {command: \"true\"}\n  b: {command: \"true\"}\n  c: {command: \"true\"}\n";

fn parsed(section: &str) -> Result<Pipeline, Vec<Problem>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("MLproject"), format!("{ENTRY_POINTS}{section}")).unwrap();
    let project = Project::parse(folder.path()).unwrap();
    Pipeline::of(&project).unwrap()
}

#[test]
fn references_make_the_order() {
    let pipeline = parsed(
        "pipeline:\n  parameters: {url: {type: uri, default: \"x:y\"}, n: float}\n  steps:\n    last:\n      entry_point: c\n      needs: b\n      parameters: {in: \"${steps.a.artifacts.x/y.csv}\"}\n    b:\n      parameters: {n: \"${steps.a.metrics.n} ${parameters.n}\", k: 3}\n    a: {}\n",
    )
    .unwrap();
    let order: Vec<&str> = pipeline.order().iter().map(|step| step.name.as_str()).collect();
    assert_eq!(order, ["a", "b", "last"]);
    assert_eq!(pipeline.steps[0].needs, ["b", "a"]);
    let given = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        pipeline.values(&pairs)
    };
    assert_eq!(given(&[("n", "2")]).unwrap()["url"], "x:y");
    assert!(given(&[]).unwrap_err()[0].message.contains("\"n\" has no value"));
    assert!(given(&[("n", "x")]).unwrap_err()[0].message.contains("no number"));
    assert!(
        given(&[("n", "1"), ("z", "1")]).unwrap_err()[0].message.contains("no parameter \"z\"")
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let check = |section: &str, line: usize, expected: &str| {
        let problems = parsed(section).unwrap_err();
        let found =
            problems.iter().any(|one| one.line == Some(line + 4) && one.message.contains(expected));
        assert!(found, "{section}\n{problems:#?}");
    };
    check("pipeline: 3\n", 1, "is a mapping");
    check("pipeline:\n  steps: [a]\n", 2, "mapping from names to steps");
    check("pipeline:\n  steps: {}\n", 2, "no steps");
    check("pipeline:\n  stages: {}\n", 2, "no key \"stages\"");
    check("pipeline:\n  steps:\n    x: {}\n", 3, "no entry point \"x\"");
    check("pipeline:\n  steps:\n    a: {need: b}\n", 3, "no key \"need\"");
    check("pipeline:\n  steps:\n    a:\n      needs: [z]\n", 4, "no step \"z\"");
    check(
        "pipeline:\n  steps:\n    a: {}\n    b:\n      parameters:\n        p: \"${steps.z.run_id}\"\n",
        6,
        "no step \"z\"",
    );
    check(
        "pipeline:\n  steps:\n    a:\n      parameters: {p: \"${parameters.q}\"}\n",
        4,
        "no parameter \"q\"",
    );
    check("pipeline:\n  steps:\n    a:\n      parameters: {p: \"${oops}\"}\n", 4, "no reference");
    check("pipeline:\n  steps:\n    a: {needs: [a]}\n", 3, "a → a");
    check(
        "pipeline:\n  steps:\n    a: {}\n    b: {needs: [c, a]}\n    c:\n      parameters: {p: \"${steps.b.run_id}\"}\n",
        4,
        "wait for each other: c → b → c",
    );
    check("pipeline:\n  steps:\n    \"a b\": {entry_point: a}\n", 3, "cannot be a step's name");
}
