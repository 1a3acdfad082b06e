//! What was allowed to run is what runs: a project that changed while it waited is refused.

use std::{net::TcpListener, time::Duration};

use cairn_projects::{
    EnvManager, RunRequest,
    pipeline::PipelineRequest,
    plan,
    sweep::{Method, SweepParam, SweepRequest, Values},
};
use cairn_runtime::launch::{
    Cause, Launch, LaunchKind, LaunchSpec, LaunchState, Launches, Placement,
};
use serde::Serialize;

use crate::world::{World, until, write};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cairn");

const PROJECT: &str = "
entry_points:
  main: {parameters: {x: float}, command: \"python3 train.py {x}\"}
pipeline:
  steps:
    first: {entry_point: main, parameters: {x: \"1\"}}
    second: {entry_point: main, needs: [first], parameters: {x: \"2\"}}
";

/// As the window starts launches: with the content that was allowed.
struct Window {
    world: World,
    launches: Launches,
    uri: String,
}

impl Window {
    fn new() -> Self {
        let world = World::new();
        world.project("search", &[("MLproject", PROJECT), ("train.py", "print('as it was')\n")]);
        let launches = Launches::new(&world.path("home/data")).with_program(PROGRAM);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { world, launches, uri: format!("http://127.0.0.1:{port}") }
    }

    fn change(&self) {
        let changed = "open('changed-ran', 'w').close()\n";
        write(&self.world.path("search/train.py"), changed);
    }

    fn ran_changed(&self) -> bool {
        self.world.path("search/changed-ran").exists()
    }

    /// A run that is allowed as the project is now.
    fn allowed(&self) -> RunRequest {
        let folder = self.world.path("search");
        let mut request = RunRequest::new(folder.display().to_string(), folder);
        request.env_manager = Some(EnvManager::Local);
        let mut shown = request.clone();
        shown.params = vec![("x".to_owned(), "1".to_owned())];
        let plan = plan(&shown, self.launches.data_dir()).unwrap();
        assert!(plan.problems.is_empty(), "{:?}", plan.problems);
        request.allowed_content = Some(plan.content_hash);
        request
    }

    fn submit(&self, kind: LaunchKind, request: &impl Serialize) -> LaunchSpec {
        let mut spec = LaunchSpec::new("search", kind, &self.uri);
        spec.store = Some(self.world.path("store"));
        spec.request = serde_json::to_value(request).unwrap();
        let folder = self.launches.folder(&spec.launch_id).display().to_string();
        let phase = |name: &str| {
            Some([PROGRAM, "launch", name, &folder].iter().map(ToString::to_string).collect())
        };
        spec.prepare = phase("prepare");
        spec.finish = phase("finish");
        self.launches.submit(spec.clone(), Placement::Now).unwrap();
        spec
    }

    fn end_of(&self, spec: &LaunchSpec) -> Launch {
        let launch = self.launches.wait_for(&spec.launch_id, Duration::from_secs(90)).unwrap();
        assert!(launch.state.is_ended(), "{launch:?}");
        launch
    }

    /// Starts it, changes the project while what it submitted waits, and looks at what became of it.
    fn change_in_the_queue(&self, kind: LaunchKind, request: &impl Serialize) {
        self.launches.set_paused(true).unwrap();
        let spec = self.submit(kind, request);
        let waiting = until("a launch in the queue", || {
            self.launches.queue().unwrap().order.first().cloned()
        });
        self.change();
        self.launches.set_paused(false).unwrap();
        self.end_of(&spec);
        assert_refused(&self.launches.get(&waiting).unwrap());
        assert!(!self.ran_changed());

        // Pressed before the change, begun after it.
        let late = self.end_of(&self.submit(kind, request));
        assert_refused(&late);
        assert_eq!(late.run_id, None);
    }
}

fn assert_refused(launch: &Launch) {
    let LaunchState::Ended { cause: Cause::PrepareFailed { message, hint }, .. } = &launch.state
    else {
        panic!("{launch:?}")
    };
    assert!(message.contains("changed after they were allowed to run"), "{message}");
    assert!(hint.as_ref().is_some_and(|hint| hint.contains("start it again")), "{hint:?}");
}

#[test]
fn trials_of_a_changed_project_are_refused() {
    let window = Window::new();
    let sweep = |run: RunRequest| SweepRequest {
        run,
        space: vec![SweepParam {
            name: "x".to_owned(),
            values: Values::Choice { choices: vec!["1".to_owned()] },
        }],
        method: Method::Grid,
        goal: None,
        prune: None,
        parallel: Some(1),
        resume_run_id: None,
    };
    window.change_in_the_queue(LaunchKind::Sweep, &sweep(window.allowed()));

    let again = window.end_of(&window.submit(LaunchKind::Sweep, &sweep(window.allowed())));
    assert!(matches!(again.cause(), Some(Cause::Code { code: 0 })), "{again:?}");
    assert!(window.ran_changed(), "what is allowed now runs");
}

#[test]
fn steps_of_a_changed_project_are_refused() {
    let window = Window::new();
    let pipeline =
        |run: RunRequest| PipelineRequest { run, ignore_cache: false, resume_run_id: None };
    window.change_in_the_queue(LaunchKind::Pipeline, &pipeline(window.allowed()));

    let again = window.end_of(&window.submit(LaunchKind::Pipeline, &pipeline(window.allowed())));
    assert!(matches!(again.cause(), Some(Cause::Code { code: 0 })), "{again:?}");
    assert!(window.ran_changed(), "what is allowed now runs");
}
