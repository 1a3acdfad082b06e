//! Who serves which store at which address, and seeing to it that someone does.
//!
//! Whoever serves a store leaves a note in `<data_dir>/servers/<port>.json` for as long as it does.
//! A note of a process that is gone counts for nothing. While nobody serves the store of a launch at
//! its address, its supervisor starts a *stand-in*: `cairn serve --stand-in`, which ends by itself
//! when no launch needs it any more, and at once when the window wants the address back. Giving an
//! address from one to the other happens under `<port>.lock`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::error::{Result, RuntimeError};
use crate::launch::{LaunchState, Launches, ProcessIdentity, make_folder, program, write_json};
use crate::survivors::{MARK_VARIABLE, SUPERVISES_VARIABLE};

/// How long a stand-in goes on when no launch needs it.
pub const STAND_IN_IDLE: Duration = Duration::from_secs(10);

/// How long a stand-in may take to begin.
const START_LIMIT: Duration = Duration::from_secs(15);

/// How long a stand-in may take to end; it answers open requests first.
const LEAVE_LIMIT: Duration = Duration::from_secs(15);

/// A store at an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerNote {
    /// The store's database.
    pub store: PathBuf,
    /// The port on this computer.
    pub port: u16,
    /// Who serves it.
    pub process: ProcessIdentity,
    /// Whether it is there for launches alone.
    pub is_stand_in: bool,
    /// Whether clients need the token by the wish of a command line.
    pub requires_token: bool,
}

/// A note that is there; it goes away when this is dropped.
#[derive(Debug)]
pub struct Announcement {
    path: PathBuf,
    note: ServerNote,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Not one that another process left since.
        if read(&self.path).as_ref() == Some(&self.note) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Tells launches that this process serves a store at a port.
pub fn announce(
    data_dir: &Path,
    store: &Path,
    port: u16,
    is_stand_in: bool,
    requires_token: bool,
) -> Result<Announcement> {
    let note = ServerNote {
        store: database_of(store),
        port,
        process: ProcessIdentity::own(),
        is_stand_in,
        requires_token,
    };
    make_folder(&folder(data_dir))?;
    let path = note_file(data_dir, port);
    write_json(&path, &note)?;
    Ok(Announcement { path, note })
}

/// Who serves at a port; `None` when nobody of Cairn's does.
pub fn at_port(data_dir: &Path, port: u16) -> Option<ServerNote> {
    read(&note_file(data_dir, port)).filter(|note| note.process.is_alive())
}

/// Everyone who serves a store.
pub fn of_store(data_dir: &Path, store: &Path) -> Vec<ServerNote> {
    let store = database_of(store);
    fs::read_dir(folder(data_dir))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| read(&entry.path()))
        .filter(|note| note.store == store && note.process.is_alive())
        .collect()
}

/// The port of an address on this computer.
pub fn port_of(tracking_uri: &str) -> Option<u16> {
    let rest = tracking_uri.strip_prefix("http://")?;
    let host_and_port = rest.split('/').next()?;
    let (host, port) = host_and_port.rsplit_once(':')?;
    matches!(host, "127.0.0.1" | "localhost" | "[::1]").then(|| port.parse().ok())?
}

/// Whether a launch that is at work logs to a store, at this port if one is given.
pub fn is_needed(data_dir: &Path, store: &Path, port: Option<u16>) -> bool {
    let store = database_of(store);
    Launches::new(data_dir).active().is_ok_and(|active| {
        active.iter().any(|launch| {
            !matches!(launch.state, LaunchState::Queued { .. })
                && launch.spec.store.as_deref().map(database_of).as_ref() == Some(&store)
                && port.is_none_or(|port| port_of(&launch.spec.tracking_uri) == Some(port))
        })
    })
}

/// Sees to it that a store is served at a port: by whoever does so already, else by a stand-in.
///
/// Errors: another store is served there, or the stand-in could not be started; in time that may
/// change.
pub fn ensure(data_dir: &Path, store: &Path, port: u16) -> Result<()> {
    if is_served(data_dir, store, port)? {
        return Ok(());
    }
    make_folder(&folder(data_dir))?;
    let _lock = Hold::wait(data_dir, port)?;
    // Someone else was first.
    if is_served(data_dir, store, port)? {
        return Ok(());
    }
    // What the last one asked for goes on.
    let last = read(&note_file(data_dir, port));
    let requires_token = last.is_some_and(|note| note.requires_token);
    start_stand_in(data_dir, store, port, requires_token)
}

fn is_served(data_dir: &Path, store: &Path, port: u16) -> Result<bool> {
    match at_port(data_dir, port) {
        None => Ok(false),
        Some(note) if note.store == database_of(store) => Ok(true),
        Some(note) => Err(RuntimeError::InvalidSpec(format!(
            "Port {port} serves another store, {}",
            note.store.display()
        ))),
    }
}

fn start_stand_in(data_dir: &Path, store: &Path, port: u16, requires_token: bool) -> Result<()> {
    let program = program()?;
    let errors = folder(data_dir).join("stand-in.log");
    let errors = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&errors)
        .map_err(RuntimeError::io("writing", errors))?;
    let mut command = Command::new(&program);
    command.arg("serve").arg("--store").arg(store).arg("--port").arg(port.to_string());
    command.arg("--stand-in").arg(data_dir);
    if requires_token {
        command.arg("--require-token");
    }
    command.env_remove(MARK_VARIABLE).env(SUPERVISES_VARIABLE, "stand-in").current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).process_group(0);
    let mut child = command.spawn().map_err(|source| RuntimeError::CannotStart {
        program: program.display().to_string(),
        folder: "/".into(),
        source,
    })?;
    let begin = Instant::now();
    while !is_served(data_dir, store, port)? {
        let is_gone = !matches!(child.try_wait(), Ok(None));
        if is_gone || begin.elapsed() > START_LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            let detail = fs::read_to_string(folder(data_dir).join("stand-in.log"));
            return Err(RuntimeError::ToolFailed {
                what: format!("Serving {} at port {port}", store.display()),
                exit: if is_gone { "it ended" } else { "it did not begin in time" }.to_owned(),
                detail: detail.unwrap_or_default(),
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// An address that no stand-in takes for as long as this is held.
#[derive(Debug)]
pub struct Hold {
    _lock: File,
}

impl Hold {
    fn wait(data_dir: &Path, port: u16) -> Result<Self> {
        make_folder(&folder(data_dir))?;
        let path = folder(data_dir).join(format!("{port}.lock"));
        let open = || -> io::Result<File> {
            let lock = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))?;
            Ok(lock)
        };
        Ok(Self { _lock: open().map_err(RuntimeError::io("locking", &path))? })
    }
}

/// Asks the stand-in at a port to leave, if one is there for this store, and waits until it has; no
/// other one comes until the answer is dropped. Waits: not for async threads.
pub fn take_over(data_dir: &Path, store: &Path, port: u16) -> Result<Hold> {
    let hold = Hold::wait(data_dir, port)?;
    let store = database_of(store);
    if let Some(note) = at_port(data_dir, port)
        && note.is_stand_in
        && note.store == store
        && note.process.signal(Signal::TERM)
    {
        let begin = Instant::now();
        while note.process.is_alive() && begin.elapsed() < LEAVE_LIMIT {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(hold)
}

/// The port of the stand-in that serves a store now.
pub fn stand_in_port(data_dir: &Path, store: &Path) -> Option<u16> {
    of_store(data_dir, store).into_iter().find(|note| note.is_stand_in).map(|note| note.port)
}

/// One name for each store, whether it was given by its folder or by its database: the database, with
/// links followed. A store that is not there yet keeps the name that was given. Asks the disk.
pub fn database_of(store: &Path) -> PathBuf {
    let path = fs::canonicalize(store).unwrap_or_else(|_| store.to_owned());
    // A folder that is not there yet has no ending; a database has one.
    let is_folder = path.is_dir() || (!path.exists() && path.extension().is_none());
    if is_folder { path.join("mlflow.db") } else { path }
}

fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("servers")
}

fn note_file(data_dir: &Path, port: u16) -> PathBuf {
    folder(data_dir).join(format!("{port}.json"))
}

fn read(path: &Path) -> Option<ServerNote> {
    if path.extension().is_none_or(|ending| ending != "json") {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_computer_have_a_port_here() {
        let check = |uri: &str, expected: Option<u16>| assert_eq!(port_of(uri), expected, "{uri}");
        check("http://127.0.0.1:5000", Some(5000));
        check("http://localhost:5000/", Some(5000));
        check("http://[::1]:5000", Some(5000));
        check("http://example.org:5000", None);
        check("https://127.0.0.1:5000", None);
        check("http://127.0.0.1", None);
    }

    #[test]
    fn a_note_counts_while_its_process_is_there() {
        let data_dir = tempfile::tempdir().unwrap();
        let store = data_dir.path().join("store");
        fs::create_dir(&store).unwrap();
        let announced = announce(data_dir.path(), &store, 4321, false, true).unwrap();
        let note = at_port(data_dir.path(), 4321).unwrap();
        assert_eq!(note.store, fs::canonicalize(&store).unwrap().join("mlflow.db"));
        assert_eq!(of_store(data_dir.path(), &note.store), std::slice::from_ref(&note));
        assert!(ensure(data_dir.path(), &store, 4321).is_ok(), "it is served");

        let mut gone = note.clone();
        gone.process.start_ticks += 1;
        write_json(&note_file(data_dir.path(), 4321), &gone).unwrap();
        assert_eq!(at_port(data_dir.path(), 4321), None, "another process of this number");
        drop(announced);
        assert!(note_file(data_dir.path(), 4321).exists(), "the note was not its any more");
    }
}
