//! The queue: order, limit, pause, and going on without anyone who looks.

use std::time::Duration;

use cairn_runtime::launch::{Cause, LaunchId, LaunchState, Placement};

use crate::{Home, eventually, rounds, text};

fn queue(home: &Home, script: &str) -> LaunchId {
    home.launches.submit(home.shell(script), Placement::Queue).unwrap()
}

#[test]
fn a_hundred_wait_and_go_four_at_a_time() {
    let home = Home::new();
    home.launches.set_limit(4).unwrap();
    home.launches.set_paused(true).unwrap();
    let count = 25 * rounds(1).min(4);
    let running = home.path().join("running");
    std::fs::create_dir(&running).unwrap();
    let script = format!("touch {0}/$$; ls {0} | wc -l; sleep 0.2; rm {0}/$$", running.display());
    let ids: Vec<_> = (0..count).map(|_| queue(&home, &script)).collect();
    let waiting = home.launches.queue().unwrap();
    assert_eq!(waiting.order, ids);
    assert!(home.launches.get(&ids[0]).unwrap().started_ms.is_none());
    // From here on nobody looks: each starts the next one.
    home.launches.set_paused(false).unwrap();
    let mut most = 0;
    for id in &ids {
        assert_eq!(home.cause(id, 120), Cause::Code { code: 0 }, "{}", home.told(id));
        most = most.max(text(&home.log(id)).trim().parse().unwrap());
    }
    assert!((2..=4).contains(&most), "{most} at once");
    let mut started: Vec<_> =
        ids.iter().map(|id| (home.launches.get(id).unwrap().started_ms, id.clone())).collect();
    started.sort();
    let begun: Vec<_> = started.into_iter().map(|(_, id)| id).collect();
    let place = |id| begun.iter().position(|other| other == id).unwrap();
    for (at, id) in ids.iter().enumerate() {
        assert!(place(id).abs_diff(at) < 4, "the order is kept");
    }
    assert!(home.launches.active().unwrap().is_empty());
}

#[test]
fn what_waits_can_be_moved_removed_and_held() {
    let home = Home::new();
    home.launches.set_limit(1).unwrap();
    let first = queue(&home, "sleep 1000");
    let [a, b, c] = ["a", "b", "c"].map(|name| queue(&home, &format!("echo {name}")));
    assert_eq!(home.launches.queue().unwrap().order, [a.clone(), b.clone(), c.clone()]);
    home.launches.move_before(&c, Some(&a)).unwrap();
    home.launches.move_before(&a, None).unwrap();
    assert_eq!(home.launches.queue().unwrap().order, [c.clone(), b.clone(), a.clone()]);
    assert_eq!(home.launches.get(&a).unwrap().state, LaunchState::Queued { position: 2 });
    home.launches.remove(&b).unwrap();
    assert_eq!(home.cause(&b, 0), Cause::Stopped);
    assert!(home.launches.remove(&first).is_err(), "it does not wait");
    home.launches.set_paused(true).unwrap();
    home.launches.stop(&first).unwrap();
    assert_eq!(home.cause(&first, 10), Cause::Stopped);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(home.launches.queue().unwrap().order, [c.clone(), a.clone()]);
    home.launches.set_paused(false).unwrap();
    for id in [&c, &a] {
        assert_eq!(home.cause(id, 20), Cause::Code { code: 0 });
    }
    let ended = |id| home.launches.get(id).unwrap().ended_ms.unwrap();
    assert!(ended(&c) <= ended(&a));
}

#[test]
fn who_only_waits_for_others_takes_no_place() {
    let home = Home::new();
    home.launches.set_limit(1).unwrap();
    let mut coordinator = home.shell("sleep 1000");
    coordinator.counts = false;
    let coordinator = home.launches.submit(coordinator, Placement::Queue).unwrap();
    let worker = queue(&home, "echo worked");
    assert_eq!(home.cause(&worker, 20), Cause::Code { code: 0 });
    home.launches.stop(&coordinator).unwrap();
    assert_eq!(home.cause(&coordinator, 10), Cause::Stopped);
}

#[test]
fn the_command_line_shows_and_steers_it() {
    let home = Home::new();
    let cairn = |arguments: &[&str]| {
        let output = std::process::Command::new(crate::PROGRAM)
            .arg("queue")
            .args(arguments)
            .env("CAIRN_HOME", home.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(cairn(&[]), "Nothing was started yet.\n0 waiting, 100 at once\n");
    cairn(&["limit", "1"]);
    assert_eq!(cairn(&["limit"]), "1\n");
    let first = queue(&home, "echo hello; sleep 1000");
    let second = queue(&home, "echo second");
    eventually("it prints", 10, || cairn(&["log", first.as_str()]) == "hello\n");
    let listed = cairn(&["list"]);
    assert!(listed.contains("running") && listed.contains("waiting 1"), "{listed}");
    cairn(&["pause"]);
    assert!(cairn(&[]).ends_with("1 waiting, 1 at once, paused\n"));
    assert_eq!(cairn(&["stop", first.as_str()]), "Stopped\n");
    cairn(&["resume"]);
    assert_eq!(cairn(&["log", "--follow", second.as_str()]), "second\n");
}
