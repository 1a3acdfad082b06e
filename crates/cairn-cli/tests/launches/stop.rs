//! Stopping: whatever a child does, nothing of it is left.

use std::time::{Duration, Instant};

use cairn_core::run::RunStatus;
use cairn_runtime::launch::{Cause, LaunchState};

use crate::{Home, eventually, processes_with, rounds, text};

/// Ignores SIGTERM, forks twice, makes sessions, hides its environment and floods its output.
const STUBBORN: &str = "
    trap '' TERM HUP INT
    (setsid bash -c 'trap \"\" TERM; while :; do sleep 60; done' stubborn-MARK &)
    (setsid env -i bash -c 'trap \"\" TERM; while :; do sleep 60; done' stubborn-MARK &)
    (bash -c 'trap \"\" TERM; (bash -c \"trap : TERM; while :; do sleep 1; done\" stubborn-MARK &) ; sleep 1000' stubborn-MARK &)
    exec -a stubborn-MARK yes flood
";

#[test]
fn a_run_that_does_not_want_to_end_is_gone_in_twelve_seconds() {
    let home = Home::new();
    let server = home.serve(0, &[]);
    for round in 0..rounds(1) {
        let mark = format!("{}-{round}", std::process::id());
        let (mut spec, run_id) = home.tracked(&server, &STUBBORN.replace("MARK", &mark));
        spec.log_cap_bytes = 1 << 20;
        let id = home.start_for(spec, &run_id);
        let word = format!("stubborn-{mark}");
        eventually("all of it is there", 20, || {
            processes_with(&word).len() >= 4
                && home.launches.get(&id).unwrap().log().len() > 1 << 20
        });
        let begin = Instant::now();
        home.launches.stop(&id).unwrap();
        assert_eq!(home.launches.get(&id).unwrap().state, LaunchState::Stopping);
        assert_eq!(home.cause(&id, 20), Cause::Stopped);
        let took = begin.elapsed();
        assert!(took <= Duration::from_secs(12), "{took:?}");
        assert!(took >= Duration::from_secs(9), "it had its grace: {took:?}");
        assert_eq!(processes_with(&word), Vec::<String>::new());
        let run = crate::status_of(&server, &run_id);
        assert_eq!(run.info.status, RunStatus::Killed);
        assert!(run.info.end_ms.is_some());
        assert_eq!(run.tags["cairn.launch.cause"], "Stopped");
    }
}

#[test]
fn a_run_that_ends_when_it_is_asked_is_gone_at_once() {
    let home = Home::new();
    let id = home.start(
        home.shell("trap 'echo good bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"),
    );
    eventually("it is ready", 10, || text(&home.log(&id)).contains("ready"));
    let begin = Instant::now();
    home.launches.stop(&id).unwrap();
    assert_eq!(home.cause(&id, 10), Cause::Stopped);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(text(&home.log(&id)).ends_with("good bye\n"));
    home.launches.stop(&id).unwrap();
}

#[test]
fn a_stop_while_it_is_being_prepared_ends_that() {
    let home = Home::new();
    let mut spec = home.shell("echo never");
    spec.prepare = Some(["sleep", "1000"].map(str::to_owned).to_vec());
    let id = home.start(spec);
    home.launches.stop(&id).unwrap();
    assert_eq!(home.cause(&id, 10), Cause::Stopped);
    assert!(home.log(&id).is_empty());
}

#[test]
fn what_a_child_leaves_behind_ends_with_it() {
    let home = Home::new();
    let word = format!("left-behind-{}", std::process::id());
    let id = home.start(
        home.shell(&format!("(setsid bash -c 'while :; do sleep 1; done' {word} &); echo done")),
    );
    assert_eq!(home.cause(&id, 15), Cause::Code { code: 0 });
    assert_eq!(processes_with(&word), Vec::<String>::new());
}

#[test]
fn stopping_one_stops_what_it_submitted_and_nothing_else() {
    let home = Home::new();
    let parent = home.start(home.shell("sleep 1000"));
    let mut spec = home.shell("sleep 1000");
    spec.parent_launch = Some(parent.clone());
    let child = home.start(spec);
    let other = home.start(home.shell("sleep 1000"));
    home.launches.stop(&parent).unwrap();
    assert_eq!(home.cause(&parent, 10), Cause::Stopped);
    assert_eq!(home.cause(&child, 10), Cause::Stopped);
    assert!(!home.launches.get(&other).unwrap().state.is_ended());
    home.launches.stop(&other).unwrap();
    assert_eq!(home.cause(&other, 10), Cause::Stopped);
}
