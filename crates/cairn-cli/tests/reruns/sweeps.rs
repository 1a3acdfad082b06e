//! `cairn sweep`: nested trials, the best value, pruning, and going on after a kill.

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{World, counted, until};

const PROJECT: &str = "
entry_points:
  main:
    parameters: {x: float, pause: {type: float, default: 0}, bad: {default: \"\"}}
    command: \"python3 train.py {x} {pause} {bad}\"
";

const TRAIN: &str = "
import sys, log
x, pause = float(sys.argv[1]), float(sys.argv[2])
if sys.argv[3] == 'all':
    raise SystemExit(3)
for step in range(4):
    log.metric('loss', (x - 3) ** 2 + 1 / (step + 1), step)
    log.time.sleep(pause)
";

fn project(world: &World) -> String {
    let folder = world.project("search", &[("MLproject", PROJECT), ("train.py", TRAIN)]);
    folder.display().to_string()
}

#[test]
fn a_grid_runs_every_combination_once_and_knows_the_best() {
    let world = World::new();
    let uri = project(&world);
    let said = world.good(&[
        "sweep",
        &uri,
        "-S",
        "x=1..5",
        "--minimize",
        "loss",
        "--parallel",
        "2",
        "--env-manager",
        "local",
    ]);
    assert!(said.contains("Trial 3: x=3 → loss 0.25, the best so far"), "{said}");
    let parent = world.only("tags.`cairn.sweep.progress` != ''");
    assert_eq!(parent.status(), "FINISHED");
    assert_eq!(parent.tag("cairn.sweep.progress"), Some("5 of 5 done"));
    assert_eq!(parent.tag("cairn.sweep.best_value"), Some("0.25"));
    assert_eq!(parent.metric("best_loss"), Some(0.25));
    let trials = world.runs(&format!("tags.mlflow.parentRunId = '{}'", parent.id()));
    assert_eq!(counted(trials.iter().map(|run| run.param("x").unwrap())).len(), 5);
    assert!(trials.iter().all(|run| run.status() == "FINISHED"));
    let best = trials.iter().find(|run| run.param("x") == Some("3")).unwrap();
    assert_eq!(parent.tag("cairn.sweep.best_run"), Some(best.id()));
}

#[test]
fn a_killed_sweep_goes_on_without_a_trial_twice() {
    let world = World::new();
    let uri = project(&world);
    let mut first = world.spawn(&[
        "sweep",
        &uri,
        "-S",
        "x=1..6",
        "-P",
        "pause=0.3",
        "--minimize",
        "loss",
        "--parallel",
        "2",
        "--env-manager",
        "local",
    ]);
    let parent = until("two trials done", || {
        let parent = world.runs("tags.`cairn.sweep.progress` != ''").pop()?;
        let done = world
            .runs(&format!("tags.mlflow.parentRunId = '{}' AND status = 'FINISHED'", parent.id()))
            .len();
        (done >= 2).then_some(parent)
    });
    // The coordinator and its supervisor, without a chance to say anything.
    for pid in of_sweeps(&world, "supervise").into_iter().chain(of_sweeps(&world, "coordinate")) {
        let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
    let _ = first.kill();
    let _ = first.wait();
    // Looking at the queue closes what nobody owns any more.
    assert!(world.bare(&["queue", "list"]).output().unwrap().status.success());
    until("the sweep is closed", || {
        (world.only(&format!("run_id = '{}'", parent.id())).status() != "RUNNING").then_some(())
    });
    let said = world.good(&["sweep", "--resume", parent.id()]);
    let trials = world.runs(&format!("tags.mlflow.parentRunId = '{}'", parent.id()));
    let finished = trials.iter().filter(|run| run.status() == "FINISHED");
    let by_number = counted(finished.map(|run| run.tag("cairn.sweep.trial").unwrap()));
    assert_eq!(by_number.len(), 6, "{said}\n{trials:#?}");
    assert!(by_number.values().all(|count| *count == 1), "{by_number:?}\n{said}");
    let parent = world.only(&format!("run_id = '{}'", parent.id()));
    assert_eq!((parent.status(), parent.tag("cairn.sweep.best_value")), ("FINISHED", Some("0.25")));

    // Nor when the launches of the trials are pruned; that of the killed sweep has the only log of it.
    let prune = world.bare(&["queue", "prune", "--keep", "0", "--days", "0"]).output().unwrap();
    assert!(String::from_utf8_lossy(&prune.stdout).contains("launches were deleted"), "{prune:?}");
    assert_eq!(world.launches().len(), 1);
    let said = world.good(&["sweep", "--resume", parent.id()]);
    let after = world.runs(&format!("tags.mlflow.parentRunId = '{}'", parent.id()));
    assert_eq!(after.len(), trials.len(), "{said}");
}

#[test]
fn a_trial_below_the_median_is_pruned() {
    let world = World::new();
    let uri = project(&world);
    // The last ones are far off, and slow enough to be caught.
    let said = world.good(&[
        "sweep",
        &uri,
        "-S",
        "x=3,3.1,2.9,3.2,90",
        "-P",
        "pause=1.2",
        "--minimize",
        "loss",
        "--prune",
        "--parallel",
        "1",
        "--env-manager",
        "local",
    ]);
    assert!(said.contains("Trial 5 is pruned"), "{said}");
    let pruned = world.only("tags.`cairn.sweep.pruned` != ''");
    assert_eq!((pruned.status(), pruned.param("x")), ("KILLED", Some("90")));
    let parent = world.only("tags.`cairn.sweep.progress` != ''");
    assert_eq!(parent.tag("cairn.sweep.progress"), Some("5 of 5 done, 1 pruned"));
}

#[test]
fn a_project_that_always_fails_ends_the_sweep() {
    let world = World::new();
    let uri = project(&world);
    let (code, said) = world.cairn(&[
        "sweep",
        &uri,
        "-S",
        "x=1..50",
        "-P",
        "bad=all",
        "--parallel",
        "1",
        "--env-manager",
        "local",
    ]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("The first 3 trials failed"), "{said}");
    let (code, said) = world.cairn(&["sweep", &uri, "-S", "x=5..1"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("not below the upper bound"), "{said}");
}

/// Processes whose command line holds a text.
fn processes(text: &str) -> Vec<i32> {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(text).then_some(pid)
        })
        .collect()
}

/// Processes of the sweeps of this test: `cairn launch <what> DIR`.
fn of_sweeps(world: &World, what: &str) -> Vec<i32> {
    world
        .launches()
        .iter()
        .filter(|folder| {
            let text = std::fs::read_to_string(folder.join("launch.json")).unwrap_or_default();
            text.contains("\"kind\":\"sweep\"")
        })
        .flat_map(|folder| processes(&format!("launch {what} {}", folder.display())))
        .collect()
}
