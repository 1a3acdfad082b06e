//! The servers that are measured: Cairn's and stock MLflow's, each on a new store.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::http::Connection;
use crate::exec;
use crate::workspace::Workspace;

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
    pub fn cairn(workspace: &Workspace, store: &Path) -> Result<Self> {
        fs::create_dir_all(store)?;
        let mut command = exec::program(workspace.built("release", "cairn"), &workspace.root);
        command.args(["serve", "--port", "0", "--store"]).arg(store);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
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
        server.wait_until_healthy()?;
        Ok(server)
    }

    /// Starts stock `mlflow server` with its default settings on a new SQLite file in `folder`.
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
            thread::sleep(Duration::from_millis(100));
        }
        bail!("{} did not become healthy at {}", self.name, self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end_group(self.process.id());
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
fn end_group(leader: u32) {
    let _ = Command::new("kill")
        .args(["-TERM", "--", &format!("-{leader}")])
        .stderr(Stdio::null())
        .status();
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
