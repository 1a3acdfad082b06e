//! Measures launches: what a supervisor holds in memory, how much output it takes, and a queue of
//! many; run by `cargo xtask bench projects`.
//!
//! `bench_launches DIR`, with `CAIRN_PROGRAM` naming the program `cairn`, prints one line of JSON.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use cairn_runtime::launch::{
    ChildSpec, Launch, LaunchId, LaunchKind, LaunchSpec, LaunchState, Launches, Placement,
};
use serde_json::{Value, json};

/// Launches in the queue, and how many may be at work at once.
const QUEUED: usize = 100;
const AT_ONCE: usize = 4;
/// What each of the printing launches prints.
const PRINTED_BYTES: u64 = 256 << 20;

/// Prints lines that are counted, and at last the longest that one write took, in seconds.
const PRINTER: &str = "
import os, sys, time
total, size, longest = int(sys.argv[1]), 65536, 0.0
block = (b'epoch 12 loss 0.123456 accuracy 0.987654\\n' * (size // 41 + 1))[:size]
for _ in range(total // size):
    begin = time.perf_counter()
    os.write(1, block)
    longest = max(longest, time.perf_counter() - begin)
open(sys.argv[2], 'w').write(repr(longest))
";

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).expect("the folder for the launches"));
    fs::create_dir_all(&folder).expect("a folder that can be made");
    let launches = Launches::new(&folder);
    let mut found = json!({});
    measure_output(&launches, &folder, &mut found);
    measure_queue(&launches, &folder, &mut found);
    #[expect(clippy::print_stdout, reason = "the bench reads it")]
    {
        println!("{found}");
    }
}

fn spec(title: String, folder: &Path, argv: Vec<String>) -> LaunchSpec {
    // Nothing is logged, so nothing needs to answer there.
    let mut spec = LaunchSpec::new(title, LaunchKind::Project, "http://127.0.0.1:1");
    spec.child = Some(ChildSpec { argv, folder: folder.to_owned(), ..ChildSpec::default() });
    spec.sample_s = 0;
    spec
}

/// Four at once that print as fast as they can, and the memory of their supervisors meanwhile.
fn measure_output(launches: &Launches, folder: &Path, found: &mut Value) {
    let longest_of = |at: usize| folder.join(format!("longest-{at}"));
    let printer = |at: usize| {
        let longest = longest_of(at).display().to_string();
        ["python3", "-c", PRINTER, &PRINTED_BYTES.to_string(), &longest].map(str::to_owned).to_vec()
    };
    let began = Instant::now();
    let ids: Vec<LaunchId> = (0..AT_ONCE)
        .map(|at| {
            let spec = spec(format!("printer {at}"), folder, printer(at));
            launches.submit(spec, Placement::Now).expect("a launch that starts")
        })
        .collect();
    let mut resident_mb: f64 = 0.0;
    while ids.iter().any(|id| !launch(launches, id).state.is_ended()) {
        for id in &ids {
            resident_mb = resident_mb.max(supervisor_mb(&launch(launches, id)).unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let seconds = began.elapsed().as_secs_f64();
    for id in &ids {
        let launch = launch(launches, id);
        assert_good(&launch);
        assert_eq!(launch.log().len(), PRINTED_BYTES, "every byte was counted");
    }
    let longest = (0..AT_ONCE)
        .map(|at| fs::read_to_string(longest_of(at)).expect("the printer ended well"))
        .map(|text| text.parse::<f64>().expect("seconds"))
        .fold(0.0, f64::max);

    // The same bytes through a pipe into nothing but the disk.
    let began = Instant::now();
    let mut raw: Vec<_> = (0..AT_ONCE)
        .map(|at| {
            let argv = printer(at);
            let file = fs::File::create(folder.join(format!("raw-{at}"))).expect("a new file");
            let mut printer = Command::new(&argv[0])
                .args(&argv[1..])
                .stdout(Stdio::piped())
                .spawn()
                .expect("python3");
            let pipe = printer.stdout.take().expect("it was piped");
            let cat = Command::new("cat").stdin(pipe).stdout(file).spawn().expect("cat");
            (printer, cat)
        })
        .collect();
    for (printer, cat) in &mut raw {
        printer.wait().expect("an end");
        cat.wait().expect("an end");
    }
    let raw_seconds = began.elapsed().as_secs_f64();
    let bytes = (PRINTED_BYTES * AT_ONCE as u64) as f64;
    found["supervisor_mb"] = json!(resident_mb);
    found["gigabytes_per_minute"] = json!(bytes / 1e9 / seconds * 60.0);
    found["raw_gigabytes_per_minute"] = json!(bytes / 1e9 / raw_seconds * 60.0);
    found["longest_write_s"] = json!(longest);
}

/// Many that do almost nothing, a few at a time, beside the same without a supervisor.
fn measure_queue(launches: &Launches, folder: &Path, found: &mut Value) {
    let argv = || vec!["python3".to_owned(), "-c".to_owned(), "print('done')".to_owned()];
    launches.set_limit(AT_ONCE).expect("a queue");
    let began = Instant::now();
    let ids: Vec<LaunchId> = (0..QUEUED)
        .map(|at| {
            let spec = spec(format!("queued {at}"), folder, argv());
            launches.submit(spec, Placement::Queue).expect("a launch that waits")
        })
        .collect();
    let mut most = 0;
    loop {
        let states: Vec<_> = ids.iter().map(|id| launch(launches, id).state).collect();
        let is_busy = |state: &&LaunchState| {
            !state.is_ended() && !matches!(state, LaunchState::Queued { .. })
        };
        most = most.max(states.iter().filter(is_busy).count());
        if states.iter().all(LaunchState::is_ended) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let seconds = began.elapsed().as_secs_f64();
    for id in &ids {
        assert_good(&launch(launches, id));
    }
    let began = Instant::now();
    for _ in 0..QUEUED / AT_ONCE {
        let mut raw: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let argv = argv();
                let mut command = Command::new(&argv[0]);
                command.args(&argv[1..]).stdout(Stdio::null()).spawn().expect("python3")
            })
            .collect();
        for child in &mut raw {
            child.wait().expect("an end");
        }
    }
    found["queue_s"] = json!(seconds);
    found["raw_queue_s"] = json!(began.elapsed().as_secs_f64());
    found["most_at_once"] = json!(most);
}

fn launch(launches: &Launches, id: &LaunchId) -> Launch {
    launches.get(id).expect("the launch that was submitted")
}

fn assert_good(launch: &Launch) {
    let cause = launch.cause().map(|cause| cause.to_string());
    assert_eq!(cause.as_deref(), Some("Finished"), "{}", launch.spec.title);
}

/// What a supervisor holds in memory now, units of 1,000,000 bytes.
fn supervisor_mb(launch: &Launch) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", launch.supervisor()?.pid)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024.0 / 1e6)
}
