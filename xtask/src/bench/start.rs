//! From process start to a filled run table in the window, and what its process then holds.
//!
//! The window prints `FIRST_TABLE` when it is asked for by `CAIRN_BENCH_START=1` and its first run
//! table is on screen. The time is taken here, from the moment before the process is started.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::report::{Report, number};
use super::table;
use crate::exec;
use crate::run;
use crate::workspace::Workspace;

const RUNS: u64 = 10_000;
const TARGET_MS: f64 = 1500.0;
const TARGET_MB: f64 = 80.0;
/// The window is opened this many times; the median counts. The first one is the coldest.
const STARTS: usize = 5;

/// Fills a store, then opens the window on it several times.
pub fn measure(workspace: &Workspace, scratch: &Path, report: &mut Report) -> Result<()> {
    let store = scratch.join("start");
    println!("  filling a store with {RUNS} runs");
    table::make_store(workspace, &store, RUNS)?;
    let display = if run::has_display() { None } else { Some(Display::start()?) };
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let start = open_once(workspace, scratch, &store, display.as_ref())?;
        println!(
            "  filled after {} ms, {} MB resident",
            number(start.filled_ms),
            number(start.resident_mb)
        );
        starts.push(start);
    }
    let first = starts[0].filled_ms;
    report.add(
        format!("start to a filled table, {RUNS} runs"),
        median(starts.iter().map(|start| start.filled_ms).collect()),
        "ms",
        TARGET_MS,
        format!("median of {STARTS}; the first took {} ms", number(first)),
    );
    report.add(
        "resident memory of the core process",
        median(starts.iter().map(|start| start.resident_mb).collect()),
        "MB",
        TARGET_MB,
        format!(
            "of it the process's own {} MB; {} MB when each shared page counts by its users",
            number(median(starts.iter().map(|start| start.private_mb).collect())),
            number(median(starts.iter().map(|start| start.proportional_mb).collect()))
        ),
    );
    Ok(())
}

struct Start {
    filled_ms: f64,
    /// `VmRSS`: private memory and the touched part of mapped files (libraries).
    resident_mb: f64,
    /// `Pss`: like that, but a page that several processes have counts for each by its share.
    proportional_mb: f64,
    /// `RssAnon`: memory that is no part of any file.
    private_mb: f64,
}

fn open_once(
    workspace: &Workspace,
    scratch: &Path,
    store: &Path,
    display: Option<&Display>,
) -> Result<Start> {
    let mut command = exec::program(workspace.built("release", "cairn-desktop"), &workspace.root);
    command.arg("--store").arg(store).env("CAIRN_BENCH_START", "1");
    // Settings of its own: the measurement neither sees nor changes the user's.
    command.env("CAIRN_HOME", scratch.join("home"));
    if let Some(display) = display {
        command.env("DISPLAY", &display.name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());

    let started = Instant::now();
    let mut window = Ended(command.spawn().context("cairn-desktop cannot be started")?);
    let stdout = window.0.stdout.take().context("stdout was asked for")?;
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new().name("window-stdout".to_owned()).spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if line.starts_with("FIRST_TABLE") {
                // Only the first one counts; later ones find the channel full or closed.
                let _ = sender.try_send(Instant::now());
            }
        }
    })?;
    let filled = receiver
        .recv_timeout(Duration::from_mins(1))
        .map_err(|_| anyhow::anyhow!("the window showed no run table within 60 s"))?;
    let proc = |name: &str| {
        fs::read_to_string(format!("/proc/{}/{name}", window.0.id()))
            .context("the memory of the window can only be read on Linux")
    };
    let status = proc("status")?;
    Ok(Start {
        filled_ms: (filled - started).as_secs_f64() * 1000.0,
        resident_mb: megabytes(&status, "VmRSS")?,
        proportional_mb: megabytes(&proc("smaps_rollup")?, "Pss")?,
        private_mb: megabytes(&status, "RssAnon")?,
    })
}

/// A line of `/proc/<pid>/status` or `smaps_rollup`, such as `VmRSS:   12345 kB`, in units of 1,000,000 bytes.
fn megabytes(status: &str, name: &str) -> Result<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .with_context(|| format!("no {name} in the status of the process"))?;
    let kilobytes: f64 =
        line.trim().trim_end_matches(" kB").parse().with_context(|| line.to_owned())?;
    Ok(kilobytes * 1024.0 / 1e6)
}

/// The middle of some values, of which there is at least one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A process that is ended when this is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Ended already or not, it is reaped here.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A display without a screen, on a number that X chose itself.
struct Display {
    /// What `DISPLAY` must be.
    name: String,
    _server: Ended,
}

impl Display {
    fn start() -> Result<Self> {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Ended(command.spawn().context("Xvfb cannot be started")?);
        let stdout = server.0.stdout.take().context("stdout was asked for")?;
        let mut number = String::new();
        if BufReader::new(stdout).read_line(&mut number)? == 0 {
            bail!("Xvfb ended without a display");
        }
        Ok(Self { name: format!(":{}", number.trim()), _server: server })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_decimal_megabytes() {
        let status = "Name:\tcairn\nVmRSS:\t   97656 kB\nRssAnon:\t    1000 kB\n";
        let resident = megabytes(status, "VmRSS").expect("a number");
        assert!((resident - 99.999_744).abs() < 1e-9);
        assert!(megabytes(status, "VmSwap").is_err());
    }

    #[test]
    fn the_median_is_the_middle_of_the_sorted_values() {
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < 1e-9);
    }
}
