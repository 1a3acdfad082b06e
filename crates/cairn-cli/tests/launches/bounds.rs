//! The log's limits, its speed, and what a supervisor costs.

use std::time::{Duration, Instant};

use cairn_runtime::launch::Cause;

use crate::{Home, eventually, rounds, text};

#[test]
fn a_flood_is_kept_at_its_ends_and_never_holds_the_child_up() {
    let home = Home::new();
    let megabytes = 256 * rounds(1) as u64;
    let cap = 4 << 20;
    let mut spec = home.shell(&format!(
        "echo first; yes 0123456789abcdef | head -c {}; echo; echo last",
        megabytes << 20
    ));
    spec.log_cap_bytes = cap;
    let begin = Instant::now();
    let id = home.start(spec);
    assert_eq!(home.cause(&id, 60 + megabytes / 10), Cause::Code { code: 0 });
    let seconds = begin.elapsed().as_secs_f64();
    let per_minute = megabytes as f64 / seconds * 60.0;
    eprintln!("{megabytes} MiB of output in {seconds:.2} s: {per_minute:.0} MiB a minute");
    // What is asked: a gigabyte a minute, also on a busy machine.
    assert!(per_minute > 1024.0, "{per_minute:.0} MiB a minute");
    let log = home.launches.get(&id).unwrap().log();
    assert_eq!(log.len(), (megabytes << 20) + "first\n".len() as u64 + "\nlast\n".len() as u64);
    let head = log.read(0, 1 << 20).unwrap();
    assert!(head.bytes.starts_with(b"first\n0123456789abcdef\n"));
    let tail = log.read(log.len() - 40, 1 << 20).unwrap();
    assert_eq!(tail.skipped_bytes, 0);
    assert!(tail.bytes.ends_with(b"\nlast\n"), "{}", text(&tail.bytes));
    let kept = home.log(&id);
    assert!(kept.len() as u64 <= cap + 100, "{} bytes are kept", kept.len());
    assert!(kept.len() as u64 >= cap * 3 / 4);
    assert!(text(&kept).contains("[Cairn left out "));
}

#[test]
fn a_hundred_megabytes_without_a_line_end_and_bytes_that_are_no_text_come_through() {
    let home = Home::new();
    let mut spec = home.shell("head -c 104857600 /dev/zero; printf '\\xff\\xfe\\x80 end'");
    spec.log_cap_bytes = 200 << 20;
    let id = home.start(spec);
    assert_eq!(home.cause(&id, 60), Cause::Code { code: 0 });
    let log = home.launches.get(&id).unwrap().log();
    assert_eq!(log.len(), 104_857_600 + 7);
    assert_eq!(log.read(104_857_600, 100).unwrap().bytes, b"\xff\xfe\x80 end");
}

#[test]
fn many_short_lines_are_all_kept() {
    let home = Home::new();
    let id = home.start(home.shell("seq 1 1000000"));
    assert_eq!(home.cause(&id, 60), Cause::Code { code: 0 });
    let log = home.log(&id);
    assert_eq!(text(&log).lines().count(), 1_000_000);
    assert!(text(&log[log.len() - 20..]).ends_with("999999\n1000000\n"));
}

#[test]
fn a_supervisor_is_small() {
    let home = Home::new();
    let server = home.serve(0, &[]);
    let (mut spec, run_id) = home.tracked(&server, "echo ready; sleep 1000");
    spec.sample_s = 1;
    let id = home.start_for(spec, &run_id);
    // It has talked to the server and measured when it is measured.
    eventually("it measures", 20, || {
        server.tracking().get_run(&run_id).unwrap().metrics.len() > 10
    });
    let launch = home.launches.get(&id).unwrap();
    let pid = launch.supervisor().unwrap().pid;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kilobytes: u64 = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
    eprintln!("the supervisor has {kilobytes} kB resident");
    // A debug build is a little larger.
    assert!(kilobytes < if cfg!(debug_assertions) { 8_000 } else { 6_000 }, "{kilobytes} kB");
    let metrics = server.tracking().get_run(&run_id).unwrap().metrics;
    for name in [
        "system/cpu_utilization_percentage",
        "system/system_memory_usage_megabytes",
        "system/system_memory_usage_percentage",
        "system/disk_usage_megabytes",
        "system/disk_usage_percentage",
        "system/disk_available_megabytes",
        "system/network_receive_megabytes",
        "system/network_transmit_megabytes",
        "system/process_cpu_utilization_percentage",
        "system/process_memory_usage_megabytes",
    ] {
        assert!(metrics.contains_key(name), "{name}");
    }
    assert!(metrics["system/process_count"].value >= 1.0);
    home.launches.stop(&id).unwrap();
    assert_eq!(home.cause(&id, 15), Cause::Stopped);
}

#[test]
fn a_child_begins_soon_after_it_was_asked_for() {
    let home = Home::new();
    let mut times: Vec<_> = (0..5)
        .map(|_| {
            let begin = Instant::now();
            let id = home.start(home.shell("echo ready"));
            eventually("the first line", 10, || !home.launches.get(&id).unwrap().log().is_empty());
            begin.elapsed()
        })
        .collect();
    times.sort();
    eprintln!("from asking to the first line: {times:?}");
    assert!(times[2] < Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 300 }));
}
