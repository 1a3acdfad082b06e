//! Killing what supervises and what shows: runs go on, or are closed with their cause.

use std::time::{Duration, Instant};

use cairn_core::run::RunStatus;
use cairn_runtime::launch::{Cause, LaunchState, ProcessIdentity};
use rustix::process::Signal;

use crate::{Home, eventually, processes_with, rounds, status_of, text};

/// Prints numbered lines with their own sum, so that any lost byte shows.
const COUNTING: &str = "for at in $(seq 1 COUNT); do echo line $at; sleep 0.01; done";

fn counted(count: usize) -> String {
    let lines: Vec<_> = (1..=count).map(|at| format!("line {at}\n")).collect();
    lines.concat()
}

#[test]
fn killing_the_window_changes_nothing_for_its_runs() {
    let home = Home::new();
    let mut random = fastrand::Rng::new();
    let mut server = home.serve(0, &["--ui"]);
    let port = server.port();
    for round in 0..rounds(2) {
        let runs: Vec<_> = (0..4)
            .map(|at| {
                let count = 100 + 50 * at;
                let script = COUNTING.replace("COUNT", &count.to_string());
                let script = if at == 3 { format!("{script}; exit 3") } else { script };
                let (spec, run_id) = home.tracked(&server, &script);
                (home.start_for(spec, &run_id), run_id, count)
            })
            .collect();
        std::thread::sleep(Duration::from_millis(random.u64(0..1500)));
        server.kill();
        std::thread::sleep(Duration::from_millis(random.u64(0..1000)));
        server = home.serve(port, &["--ui"]);
        for (at, (id, run_id, count)) in runs.iter().enumerate() {
            let cause = home.cause(id, 60);
            let code = if at == 3 { 3 } else { 0 };
            assert_eq!(cause, Cause::Code { code }, "round {round}: {}", home.told(id));
            assert_eq!(text(&home.log(id)), counted(*count), "no byte is lost");
            let run = status_of(&server, run_id);
            let expected = if at == 3 { RunStatus::Failed } else { RunStatus::Finished };
            assert_eq!(run.info.status, expected);
            assert!(run.info.end_ms.is_some());
        }
    }
}

#[test]
fn a_run_whose_supervisor_is_killed_is_closed_within_five_seconds() {
    let home = Home::new();
    let server = home.serve(0, &["--ui"]);
    for _ in 0..rounds(1) {
        let word = format!("orphan-{}-{}", std::process::id(), fastrand::u32(..));
        let script =
            format!("(setsid bash -c 'sleep 1000; :' {word} &); exec -a {word} sleep 1000");
        let (spec, run_id) = home.tracked(&server, &script);
        let id = home.start_for(spec, &run_id);
        eventually("it runs", 20, || processes_with(&word).len() >= 2);
        let launch = home.launches.get(&id).unwrap();
        assert!(launch.supervisor().unwrap().signal(Signal::KILL));
        let begin = Instant::now();
        eventually("the run is closed", 10, || {
            status_of(&server, &run_id).info.status == RunStatus::Failed
        });
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert_eq!(home.cause(&id, 5), Cause::Vanished);
        let run = status_of(&server, &run_id);
        assert!(run.info.end_ms.is_some());
        assert!(run.tags["cairn.launch.cause"].starts_with("Ended without a trace"));
        eventually("nothing of it is left", 5, || processes_with(&word).is_empty());
    }
}

#[test]
fn what_ended_while_nobody_was_there_is_closed_at_the_next_start() {
    let home = Home::new();
    let server = home.serve(0, &[]);
    let port = server.port();
    let (spec, run_id) = home.tracked(&server, "sleep 1000");
    let id = home.start_for(spec, &run_id);
    eventually("it runs", 20, || home.launches.get(&id).unwrap().state == LaunchState::Running);
    // As if the computer was turned off: everything ends at once.
    server.kill();
    let launch = home.launches.get(&id).unwrap();
    launch.supervisor().unwrap().signal(Signal::KILL);
    let begin = Instant::now();
    let server = home.serve(port, &["--ui"]);
    eventually("the run is closed", 10, || {
        status_of(&server, &run_id).info.status == RunStatus::Failed
    });
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
}

#[test]
fn a_process_that_got_the_number_of_a_supervisor_is_left_alone() {
    let home = Home::new();
    let id = home.start(home.shell("sleep 1000"));
    eventually("it runs", 20, || home.launches.get(&id).unwrap().state == LaunchState::Running);
    let launch = home.launches.get(&id).unwrap();
    launch.supervisor().unwrap().signal(Signal::KILL);
    eventually("the supervisor is gone", 5, || !launch.supervisor().unwrap().is_alive());

    // The numbers in the ledger are now those of processes that have nothing to do with it.
    let mut bystander = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = bystander.id().cast_signed();
    let ledger = home.launches.folder(&id).join("ledger");
    let written = std::fs::read_to_string(&ledger).unwrap();
    let number = launch.supervisor().unwrap().pid;
    let child = written.split("\"child\":{\"pid\":").nth(1).unwrap();
    let child: String = child.chars().take_while(char::is_ascii_digit).collect();
    let changed = written
        .replace(&format!("\"pid\":{number}"), &format!("\"pid\":{pid}"))
        .replace(&format!("\"pid\":{child}"), &format!("\"pid\":{pid}"));
    assert_ne!(written, changed);
    std::fs::write(&ledger, changed).unwrap();

    home.launches.stop(&id).unwrap();
    eventually("it is closed", 10, || {
        home.launches.recover().unwrap();
        home.launches.get(&id).unwrap().state.is_ended()
    });
    assert_eq!(home.cause(&id, 10), Cause::Stopped);
    assert!(ProcessIdentity::of(pid).is_some(), "the bystander lives");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn a_launch_that_was_let_through_but_never_began_begins_again() {
    let home = Home::new();
    home.launches.set_paused(true).unwrap();
    let id = home
        .launches
        .submit(home.shell("echo begun"), cairn_runtime::launch::Placement::Queue)
        .unwrap();
    // What a kill leaves between taking it out of the queue and starting its supervisor.
    let queue = home.path().join("data/launches/queue.json");
    let text = std::fs::read_to_string(&queue).unwrap();
    let mut state: serde_json::Value = serde_json::from_str(&text).unwrap();
    state["order"] = serde_json::json!([]);
    state["running"] = serde_json::json!([id]);
    state["paused"] = serde_json::json!(false);
    std::fs::write(&queue, state.to_string()).unwrap();
    // As whoever has Cairn open does it: a lock may still be held by a process that is being made.
    eventually("it begins", 10, || {
        home.launches.recover().unwrap();
        home.launches.get(&id).unwrap().started_ms.is_some()
    });
    assert_eq!(home.cause(&id, 20), Cause::Code { code: 0 });
    assert_eq!(crate::text(&home.log(&id)), "begun\n");
}
