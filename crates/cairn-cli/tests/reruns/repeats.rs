//! `cairn rerun`: what reproduces, and what is named when something does not.

use std::path::{Path, PathBuf};

use crate::world::{Run, World, write};

const PROJECT: &str = "
name: tiny
entry_points:
  main:
    parameters:
      seed: {type: float, default: 1}
      data: {type: path, default: rows.csv}
    command: \"python3 train.py {seed} {data}\"
";

const TRAIN: &str = "
import random, sys, log
seed, rows = float(sys.argv[1]), open(sys.argv[2]).read().split()
chance = random.Random(seed)
for step in range(5):
    log.metric('auc', chance.random() + len(rows), step)
log.artifact('model/weights.txt', ('%r' % chance.random()).encode())
log.artifact('model/MLmodel', ('run_id: %s\\nutc_time_created: %r\\nsize: 3\\n' % (log.RUN, log.time.time())).encode())
print('trained')
";

fn tiny(world: &World) -> std::path::PathBuf {
    let folder = world.project("tiny", &[("MLproject", PROJECT), ("train.py", TRAIN)]);
    write(&folder.join("rows.csv"), "1\n2\n");
    folder
}

#[test]
fn a_rerun_reproduces_and_a_change_is_named() {
    let world = World::new();
    let folder = tiny(&world);
    let data = world.path("data/rows.csv");
    write(&data, "1\n2\n3\n");
    let data_param = format!("data={}", data.display());
    let original = world.run(&[folder.to_str().unwrap(), "-P", &data_param]);
    let id = original.id();

    let plan = world.good(&["rerun", id, "--plan"]);
    assert!(plan.contains("with the code, the environment and the parameters it had"), "{plan}");

    // The folder is of no importance: the captured code runs.
    write(&folder.join("train.py"), "raise SystemExit('changed')\n");
    let said = world.good(&["rerun", id, "--check"]);
    assert!(said.contains("Verdict: reproduced"), "{said}");
    let rerun = world.only(&format!("tags.`cairn.rerun.of` = '{id}'"));
    assert_eq!(rerun.tag("cairn.reproduction.verdict"), Some("reproduced"));
    assert_eq!(rerun.metric("auc"), original.metric("auc"));
    let page = find(&world.path("store"), "reproduction.html");
    assert!(page.contains("Reproduced"), "{page}");

    let (code, said) = world.cairn(&["rerun", id, "--check", "-P", "seed=2"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("Verdict: differs"), "{said}");
    assert!(said.contains("  1. The seed changed: seed was 1, is 2"), "{said}");

    let (code, said) = world.cairn(&["rerun", id, "--check", "-P", "seed=2", "--atol", "10"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Verdict: within tolerance"), "{said}");

    let (code, said) = world.cairn(&["rerun", id, "--check", "--current-code"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("The rerun ended FAILED, the original FINISHED"), "{said}");
    assert!(said.contains("The code changed: train.py"), "{said}");

    write(&data, "1\n2\n3\n4\n");
    let (code, said) = world.cairn(&["rerun", id, "--check"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("  1. The data file of data changed: "), "{said}");
}

#[test]
fn code_that_is_not_the_captured_one_is_refused() {
    let world = World::new();
    let folder = tiny(&world);
    let original = world.run(&[folder.to_str().unwrap()]);
    write(&folder.join("train.py"), "print('another')\n");
    let other = world.run(&[folder.to_str().unwrap()]);
    let bundle = |run: &Run| {
        let inside = format!("{}/artifacts/cairn/source.bundle", run.id());
        let found = files(&world.path("store")).into_iter().find(|path| path.ends_with(&inside));
        found.unwrap_or_else(|| panic!("no {inside}"))
    };
    let kept = std::fs::read(bundle(&original)).unwrap();
    let mut flipped = kept.clone();
    let middle = flipped.len() - 40;
    flipped[middle] ^= 0x55;
    let another = std::fs::read(bundle(&other)).unwrap();
    for (what, bytes) in [("damaged", &flipped), ("cut", &kept[..60].to_vec()), ("other", &another)]
    {
        std::fs::write(bundle(&original), bytes).unwrap();
        let (code, said) = world.cairn(&["rerun", original.id()]);
        assert_ne!(code, 0, "{what}: {said}");
        assert!(said.contains("Restoring the captured code failed"), "{what}: {said}");
        assert!(said.contains("The artifact was changed or is incomplete"), "{what}: {said}");
    }
    assert_eq!(world.runs("").len(), 2, "no run was made for it");
    std::fs::write(bundle(&original), kept).unwrap();
    assert!(world.good(&["rerun", original.id()]).contains("Restoring the code"));
}

#[test]
fn a_run_that_nobody_can_repeat_says_so() {
    let world = World::new();
    let folder = world.project(
        "logged",
        &[(
            "make.py",
            "import log\nexp = log.call('runs/create', {'experiment_id': '0', 'tags': [{'key': 'mlflow.source.name', 'value': '/x/ipykernel_launcher.py'}]})\nprint(exp['run']['info']['run_id'])\n",
        )],
    );
    world.run(&[folder.to_str().unwrap(), "-e", "make.py"]);
    let notebook = world.only("tags.`mlflow.source.name` = '/x/ipykernel_launcher.py'");
    let (code, said) = world.cairn(&["rerun", notebook.id(), "--check"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("came from a notebook"), "{said}");
    assert!(said.contains("Instead: "), "{said}");
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

fn find(folder: &Path, name: &str) -> String {
    let found = files(folder).into_iter().find(|path| path.ends_with(name));
    std::fs::read_to_string(found.unwrap_or_else(|| panic!("there is no {name}"))).unwrap()
}
