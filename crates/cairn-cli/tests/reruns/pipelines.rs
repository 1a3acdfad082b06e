//! `cairn pipeline`: order, references, cached steps, and going on from the failed one.

use serde_json::Value;

use crate::world::{Run, World, write};

const PROJECT: &str = "
entry_points:
  download: {parameters: {rows: float}, command: \"python3 step.py download {rows}\"}
  clean: {parameters: {raw: path}, command: \"python3 step.py clean {raw}\"}
  fit: {parameters: {data: path, rows: string}, command: \"python3 step.py fit {data} {rows}\"}
pipeline:
  parameters: {rows: {type: float, default: 3}}
  steps:
    train:
      entry_point: fit
      parameters: {data: \"${steps.clean.artifacts.out/clean.txt}\", rows: \"${steps.clean.metrics.rows}\"}
    clean: {parameters: {raw: \"${steps.download.artifacts.raw.txt}\"}}
    download: {parameters: {rows: \"${parameters.rows}\"}}
";

const STEP: &str = "
import os, sys, log
step, first = sys.argv[1], sys.argv[2]
print('step', step)
if step == 'download':
    log.artifact('raw.txt', b'x\\n' * int(float(first)))
elif step == 'clean':
    rows = open(first).read().split()
    log.artifact('out/clean.txt', ' '.join(rows).encode())
    log.metric('rows', len(rows))
else:
    if os.path.exists(os.environ['HOME_OF_TEST'] + '/broken'):
        raise SystemExit(7)
    log.metric('score', len(open(first).read().split()) + float(sys.argv[3]))
";

struct Steps(Vec<Value>);

impl Steps {
    fn of(run: &Run) -> Self {
        let state: Value = serde_json::from_str(run.tag("cairn.pipeline.state").unwrap()).unwrap();
        Self(state["steps"].as_array().unwrap().clone())
    }

    fn status(&self) -> Vec<(&str, &str)> {
        fn text(value: &Value) -> &str {
            value.as_str().unwrap()
        }
        self.0.iter().map(|step| (text(&step["name"]), text(&step["status"]))).collect()
    }
}

fn pipeline(world: &World, arguments: &[&str]) -> (i32, String, Run) {
    let all: Vec<&str> = ["pipeline"].iter().chain(arguments).copied().collect();
    let output = world.command(&all).env("HOME_OF_TEST", world.path("")).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let run_id = said
        .lines()
        .find_map(|line| line.strip_prefix("Run "))
        .unwrap_or_else(|| panic!("no run: {said}"))
        .to_owned();
    let run = world.only(&format!("run_id = '{run_id}'"));
    (output.status.code().unwrap_or(-1), said, run)
}

#[test]
fn steps_feed_each_other_and_are_not_run_twice() {
    let world = World::new();
    let folder = world.project("chain", &[("MLproject", PROJECT), ("step.py", STEP)]);
    let uri = folder.to_str().unwrap();
    let local = ["--env-manager", "local"];

    // The last step fails; the pipeline goes on from it when it is mended.
    write(&world.path("broken"), "");
    let (code, said, run) = pipeline(&world, &[&[uri][..], &local].concat());
    assert_eq!((code, run.status()), (1, "FAILED"), "{said}");
    assert_eq!(
        Steps::of(&run).status(),
        [("train", "failed"), ("clean", "done"), ("download", "done")]
    );
    std::fs::remove_file(world.path("broken")).unwrap();
    let (code, said, resumed) = pipeline(&world, &["--resume", run.id()]);
    assert_eq!((code, resumed.id(), resumed.status()), (0, run.id(), "FINISHED"), "{said}");
    assert!(said.contains("Step clean is done already"), "{said}");
    let steps = world.runs(&format!("tags.mlflow.parentRunId = '{}'", run.id()));
    let named = |name: &str| -> Vec<&Run> {
        steps.iter().filter(|step| step.tag("cairn.pipeline.step") == Some(name)).collect()
    };
    assert_eq!((named("download").len(), named("clean").len(), named("train").len()), (1, 1, 2));
    let trained = named("train").into_iter().find(|step| step.status() == "FINISHED").unwrap();
    assert_eq!(trained.metric("score"), Some(6.0));

    // Nothing changed: nothing runs, and each step names the run it stands for.
    let (code, said, again) = pipeline(&world, &[&[uri][..], &local].concat());
    assert_eq!(code, 0, "{said}");
    assert_ne!(again.id(), run.id());
    assert!(Steps::of(&again).status().iter().all(|(_, status)| *status == "cached"), "{said}");
    let cached = world.runs(&format!("tags.mlflow.parentRunId = '{}'", again.id()));
    let train =
        cached.iter().find(|step| step.tag("cairn.pipeline.step") == Some("train")).unwrap();
    assert_eq!(train.tag("cairn.pipeline.cached_from"), Some(trained.id()));
    assert_eq!(train.metric("score"), Some(6.0));

    // A parameter changes what depends on it; what does not stays.
    let (code, said, changed) = pipeline(&world, &[&[uri, "-P", "rows=5"][..], &local].concat());
    assert_eq!(code, 0, "{said}");
    assert!(Steps::of(&changed).status().iter().all(|(_, status)| *status == "done"), "{said}");

    // Code that changed makes everything run; the same bytes out of a step do not change its followers' inputs.
    let (code, said, forced) = pipeline(&world, &[&[uri, "--no-cache"][..], &local].concat());
    assert_eq!(code, 0, "{said}");
    assert!(Steps::of(&forced).status().iter().all(|(_, status)| *status == "done"), "{said}");
    write(&folder.join("step.py"), &format!("{STEP}\n# another\n"));
    let (code, said, edited) = pipeline(&world, &[&[uri][..], &local].concat());
    assert_eq!(code, 0, "{said}");
    assert!(Steps::of(&edited).status().iter().all(|(_, status)| *status == "done"), "{said}");
}

#[test]
fn a_wrong_pipeline_is_refused_with_its_line() {
    let world = World::new();
    let wrong = PROJECT.replace("steps.download.artifacts", "steps.train.artifacts");
    let folder = world.project("chain", &[("MLproject", &wrong), ("step.py", STEP)]);
    let (code, said) = world.cairn(&["pipeline", folder.to_str().unwrap()]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("MLproject, line 9: "), "{said}");
    assert!(
        said.contains("train → clean → train") || said.contains("clean → train → clean"),
        "{said}"
    );
}
