//! The servers that are measured: Cairn's and stock MLflow's.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::http::Connection;

/// A server process on loopback; ended when dropped.
pub struct Server {
    /// What it is called in the report.
    pub name: &'static str,
    /// `127.0.0.1:port`.
    pub address: String,
    process: Child,
}

impl Server {
    /// Starts `cairn serve` (release build) on `store`, with a port of its choice.
    pub fn cairn(program: &Path, store: &Path) -> Result<Self> {
        let server = Self::begin_cairn(program, store)?;
        server.wait_until_healthy()?;
        Ok(server)
    }

    /// Like [`Self::cairn`], but returns as soon as the address is told.
    pub fn begin_cairn(program: &Path, store: &Path) -> Result<Self> {
        fs::create_dir_all(store)?;
        let mut command = Command::new(program);
        command.args(["serve", "--port", "0", "--store"]).arg(store);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        in_own_group(&mut command);
        let mut process = command.spawn().context("cairn serve cannot be started")?;
        let stdout = process.stdout.take().context("stdout was asked for")?;

        // The line is read on a thread of its own, so that a silent server is an error and no wait
        // without end. The thread goes on reading: a full pipe would stop the server.
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::Builder::new().name("cairn-stdout".to_owned()).spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(address) = address_in(&line) {
                    // Only the first address counts; later ones find the channel full or closed.
                    let _ = sender.try_send(address);
                }
            }
        })?;
        let mut server = Self { name: "Cairn", address: String::new(), process };
        server.address = receiver
            .recv_timeout(Duration::from_secs(20))
            .map_err(|_| anyhow::anyhow!("cairn serve printed no address within 20 s"))?;
        Ok(server)
    }

    /// Starts stock `mlflow server` with its default settings on `mlflow.db` in `folder`, which it makes if
    /// there is none.
    pub fn mlflow(python: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let port = free_port()?;
        let log = File::create(folder.join("server.log"))?;
        let mut command = Command::new(python);
        command.current_dir(folder);
        command.args(["-m", "mlflow", "server", "--host", "127.0.0.1", "--port"]);
        command.arg(port.to_string()).arg("--backend-store-uri");
        command.arg(format!("sqlite:///{}", folder.join("mlflow.db").display()));
        command.arg("--artifacts-destination").arg(folder.join("artifacts"));
        command.env("MLFLOW_DISABLE_TELEMETRY", "true").env("DO_NOT_TRACK", "true");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Its workers are children; a group of its own lets all of them be ended together.
        in_own_group(&mut command);
        let process = command.spawn().context("mlflow server cannot be started")?;
        let server = Self { name: "MLflow", address: format!("127.0.0.1:{port}"), process };
        server.wait_until_healthy()?;
        Ok(server)
    }

    /// The id of the server's process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A new connection to it.
    pub fn connect(&self) -> Connection {
        Connection::new(&self.address)
    }

    fn wait_until_healthy(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_mins(3);
        while Instant::now() < deadline {
            if self.connect().get("/health").is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("{} did not become healthy at {}", self.name, self.address)
    }

    /// Its memory now, without that of its children.
    ///
    /// Errors: not on Linux, or the process has ended.
    pub fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .context("the memory of a process can only be read on Linux")?;
        Memory::read(&status)
    }

    /// The memory of it and of its children, counting a page that several of them have once for each
    /// by its share; units of 1,000,000 bytes.
    pub fn memory_with_children_mb(&self) -> Result<f64> {
        let mut total_kb = 0.0;
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
            else {
                continue;
            };
            if group_of(pid) != Some(self.pid()) {
                continue;
            }
            // A process may end at any moment.
            let Ok(maps) = fs::read_to_string(entry.path().join("smaps_rollup")) else { continue };
            let share = maps.lines().find_map(|line| line.strip_prefix("Pss:"));
            let kb = share.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok());
            total_kb += kb.unwrap_or_default();
        }
        Ok(total_kb * 1024.0 / 1e6)
    }

    /// Makes [`Memory::peak_mb`] begin anew.
    pub fn forget_peak(&self) -> Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5")
            .context("the peak of a process can only be reset on Linux")
    }
}

/// Memory of a process, in units of 1,000,000 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_field_names, reason = "each says its unit")]
pub struct Memory {
    /// What is in memory of it now, the touched part of its program file included.
    pub resident_mb: f64,
    /// Of it, what is no part of any file.
    pub own_mb: f64,
    /// The most that was resident since the start, or since [`Server::forget_peak`].
    pub peak_mb: f64,
}

impl Memory {
    /// Reads the text of `/proc/<pid>/status`.
    fn read(status: &str) -> Result<Self> {
        let megabytes = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .with_context(|| format!("no {name} in the status of the process"))?;
            let kilobytes: f64 =
                line.trim().trim_end_matches(" kB").parse().with_context(|| line.to_owned())?;
            anyhow::Ok(kilobytes * 1024.0 / 1e6)
        };
        Ok(Self {
            resident_mb: megabytes("VmRSS")?,
            own_mb: megabytes("RssAnon")?,
            peak_mb: megabytes("VmHWM")?,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end_group(self.process.id(), "TERM");
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
        // A worker that still answers a question does not end by itself.
        end_group(self.process.id(), "KILL");
        // Ended already or not, it is reaped here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(unix)]
fn in_own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

#[cfg(not(unix))]
fn in_own_group(_command: &mut Command) {}

/// Ends every process of the group that `leader` leads; nothing where it leads none.
fn end_group(leader: u32, signal: &str) {
    let _ = Command::new("kill")
        .args([&format!("-{signal}"), "--", &format!("-{leader}")])
        .stderr(Stdio::null())
        .status();
}

/// The group that a process belongs to.
fn group_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may have spaces: state, parent and group stand after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

/// A port that was free a moment ago. Stock MLflow cannot choose one itself.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The `host:port` of the first address on this machine that the line names.
fn address_in(line: &str) -> Option<String> {
    let (_, after) = line.split_once("http://127.0.0.1:")?;
    let port: String = after.chars().take_while(char::is_ascii_digit).collect();
    port.parse::<u16>().ok().map(|port| format!("127.0.0.1:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_decimal_megabytes() {
        let status = "Name:\tcairn\nVmHWM:\t   2000 kB\nVmRSS:\t   97656 kB\nRssAnon:\t 1000 kB\n";
        let memory = Memory::read(status).expect("three numbers");
        assert!((memory.resident_mb - 99.999_744).abs() < 1e-9);
        assert!((memory.own_mb - 1.024).abs() < 1e-9 && (memory.peak_mb - 2.048).abs() < 1e-9);
        assert!(Memory::read("Name:\tcairn\n").is_err());
    }

    #[test]
    fn the_address_is_found_in_a_sentence() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(address_in(line).as_deref(), expected, "{line}");
        };
        check("Cairn answers at http://127.0.0.1:5000/ and [::1]", Some("127.0.0.1:5000"));
        check("http://127.0.0.1:41234", Some("127.0.0.1:41234"));
        check("http://127.0.0.1:99999", None);
        check("opening the store", None);
    }
}
