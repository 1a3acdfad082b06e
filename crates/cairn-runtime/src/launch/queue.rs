//! Which launch goes next, how many at once, and starting them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use cairn_core::run::RunStatus;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::{
    Cause, Event, Launch, LaunchId, LaunchState, Launches, Ledger, make_folder, write_file,
    write_json,
};
use crate::error::{Result, RuntimeError};
use crate::survivors::{MARK_VARIABLE, SUPERVISES_VARIABLE};

/// What waits, and how it is let through. `queue.json`, written under `queue.lock` alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    /// How many launches may be at work at once; those that do not count are free.
    pub limit: usize,
    /// Whether nothing is started.
    pub paused: bool,
    /// Who waits, the next one first.
    pub order: Vec<LaunchId>,
    /// Who was started and counts; some may have ended since.
    #[serde(default)]
    running: Vec<LaunchId>,
}

impl Default for QueueState {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { limit: (cores / 2).clamp(1, 4), paused: false, order: vec![], running: vec![] }
    }
}

/// When the queue, and which launches are not over, changed last. Two that differ say that something
/// did; nothing else can be read from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStamp {
    queue: Option<SystemTime>,
    active: Option<SystemTime>,
}

impl Launches {
    /// Looks whether anything about the queue changed; nothing is read.
    pub fn queue_stamp(&self) -> QueueStamp {
        let changed = |name: &str| fs::metadata(self.root.join(name)).ok()?.modified().ok();
        QueueStamp { queue: changed("queue.json"), active: changed("active") }
    }

    /// The queue as it is now.
    pub fn queue(&self) -> Result<QueueState> {
        let path = self.root.join("queue.json");
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(QueueState::default()),
            // What cannot be read is begun anew: what waited is found again by `recover`.
            bytes => Ok(serde_json::from_slice(&bytes.map_err(RuntimeError::io("reading", path))?)
                .unwrap_or_default()),
        }
    }

    /// Puts a waiting launch before another one, or at the end.
    pub fn move_before(&self, id: &LaunchId, before: Option<&LaunchId>) -> Result<()> {
        self.change_queue(|queue| {
            let at =
                queue.order.iter().position(|queued| queued == id).ok_or_else(|| not_queued(id))?;
            let moved = queue.order.remove(at);
            let target = before.and_then(|id| queue.order.iter().position(|queued| queued == id));
            queue.order.insert(target.unwrap_or(queue.order.len()), moved);
            Ok(())
        })
    }

    /// Changes how many launches may be at work at once, at least 1; what has its turn by that is
    /// started.
    pub fn set_limit(&self, limit: usize) -> Result<()> {
        self.change_queue(|queue| {
            queue.limit = limit.max(1);
            Ok(())
        })?;
        self.start_next()
    }

    /// Holds the queue, or lets it go on. What is at work is not touched.
    pub fn set_paused(&self, paused: bool) -> Result<()> {
        self.change_queue(|queue| {
            queue.paused = paused;
            Ok(())
        })?;
        self.start_next()
    }

    /// Takes a launch that waits out of the queue; it ends as KILLED without having begun.
    pub fn remove(&self, id: &LaunchId) -> Result<()> {
        let lock = self.change_queue(|queue| {
            let at =
                queue.order.iter().position(|queued| queued == id).ok_or_else(|| not_queued(id))?;
            let lock = self.patient_lock(id)?.ok_or_else(|| not_queued(id))?;
            queue.order.remove(at);
            Ok(lock)
        })?;
        self.close_unstarted(id)?;
        drop(lock);
        Ok(())
    }

    /// Asks a launch to end, with the launches that it submitted. One that waits is taken out of the
    /// queue; one that is over is left alone. Returns at once: [`Launches::wait`] waits for the end.
    pub fn stop(&self, id: &LaunchId) -> Result<()> {
        let launch = self.get(id)?;
        if launch.state.is_ended() {
            return Ok(());
        }
        if matches!(launch.state, LaunchState::Queued { .. }) {
            match self.remove(id) {
                Err(RuntimeError::LaunchNotReady { .. }) => {}
                removed => return removed,
            }
        }
        Ledger::append(&launch.folder, &Event::StopAsked)?;
        // It may have been taken by a supervisor since it was looked at. One that comes later finds
        // the line in the ledger.
        if let Some(supervisor) = self.get(id)?.supervisor() {
            supervisor.signal(Signal::TERM);
        }
        for other in self.active()? {
            if other.spec.parent_launch.as_ref() == Some(id) {
                self.stop(&other.spec.launch_id)?;
            }
        }
        Ok(())
    }

    /// Starts as many waiting launches as the limit lets through.
    pub fn start_next(&self) -> Result<()> {
        if self.queue()?.order.is_empty() {
            return Ok(());
        }
        loop {
            let next = self.change_queue(|queue| {
                queue.running.retain(|id| self.is_at_work(id));
                if queue.paused {
                    return Ok(None);
                }
                while let Some(id) = queue.order.first().cloned() {
                    // One that cannot be read will not become better by waiting.
                    let Ok(launch) = Launch::open(&self.folder(&id)) else {
                        queue.order.remove(0);
                        continue;
                    };
                    if launch.spec.counts && queue.running.len() >= queue.limit {
                        return Ok(None);
                    }
                    queue.order.remove(0);
                    if launch.state.is_ended() {
                        continue;
                    }
                    // Locked: someone has it already.
                    if let Some(lock) = self.patient_lock(&id)? {
                        if launch.spec.counts {
                            queue.running.push(id.clone());
                        }
                        return Ok(Some((id, lock)));
                    }
                }
                Ok(None)
            })?;
            let Some((id, lock)) = next else { return Ok(()) };
            // Closed with its cause; whose turn is next must not suffer from it.
            if let Err(error) = self.supervise(&id, lock) {
                tracing::warn!(launch = %id, %error, "a launch could not be started");
            }
        }
    }

    /// Adds a launch at the end of the queue, unless it is there.
    pub(super) fn enqueue(&self, id: &LaunchId) -> Result<()> {
        self.change_queue(|queue| {
            if !queue.order.contains(id) {
                queue.order.push(id.clone());
            }
            Ok(())
        })
    }

    /// Puts a launch that was let through but never began back to the front.
    pub(super) fn enqueue_first(&self, id: &LaunchId) -> Result<()> {
        self.change_queue(|queue| {
            queue.running.retain(|running| running != id);
            if !queue.order.contains(id) {
                queue.order.insert(0, id.clone());
            }
            Ok(())
        })
    }

    pub(super) fn start_now(&self, id: &LaunchId, lock: File) -> Result<()> {
        let counts = Launch::open(&self.folder(id))?.spec.counts;
        self.change_queue(|queue| {
            if counts && !queue.running.contains(id) {
                queue.running.push(id.clone());
            }
            Ok(())
        })?;
        self.supervise(id, lock)
    }

    /// Starts the supervisor of a launch; one that cannot be started is over.
    fn supervise(&self, id: &LaunchId, lock: File) -> Result<()> {
        let started = lock
            .try_clone()
            .map_err(RuntimeError::io("locking", self.folder(id)))
            .and_then(|given| self.spawn_supervisor(id, given));
        if let Err(error) = &started {
            let cause = Cause::CannotStart { message: error.to_string() };
            self.close(&Launch::open(&self.folder(id))?, &cause)?;
        }
        started
    }

    /// Closes a launch that never began.
    pub(super) fn close_unstarted(&self, id: &LaunchId) -> Result<()> {
        let closed = Event::Closed {
            status: RunStatus::Killed.as_str().to_owned(),
            cause: Cause::Stopped,
            is_reported: true,
        };
        let folder = self.folder(id);
        Ledger::append(&folder, &closed)?;
        let _ = fs::remove_file(folder.join("environment"));
        let _ = fs::remove_file(self.root.join("active").join(id.as_str()));
        Ok(())
    }

    /// Whether a supervisor owns the launch, or is about to.
    fn is_at_work(&self, id: &LaunchId) -> bool {
        // The ledger too: someone may only be looking at one that is over.
        matches!(self.try_lock(id), Ok(None))
            && Launch::open(&self.folder(id)).is_ok_and(|launch| !launch.state.is_ended())
    }

    /// The lock of a launch; `None` while another process has it for longer than a look takes.
    fn patient_lock(&self, id: &LaunchId) -> Result<Option<File>> {
        for _ in 0..10 {
            if let Some(lock) = self.try_lock(id)? {
                return Ok(Some(lock));
            }
            std::thread::sleep(std::time::Duration::from_millis(3));
        }
        self.try_lock(id)
    }

    /// The lock of a launch; `None` while another process has it. It is given back when the file is
    /// closed by all who have it.
    pub(crate) fn try_lock(&self, id: &LaunchId) -> Result<Option<File>> {
        let path = self.folder(id).join("lock");
        let file = match open_lock(&path) {
            // The folder was forgotten.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RuntimeError::NoSuchLaunch(id.to_string()));
            }
            file => file.map_err(RuntimeError::io("opening", &path))?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(RuntimeError::io("locking", path)(error.into())),
        }
    }

    /// Starts the supervisor, which gets the lock without letting go of it in between.
    fn spawn_supervisor(&self, id: &LaunchId, lock: File) -> Result<()> {
        let folder = self.folder(id);
        let program = supervisor_program(self.program.clone().map_or_else(program, Ok)?);
        let errors = folder.join("supervisor.log");
        let errors = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&errors)
            .map_err(RuntimeError::io("writing", errors))?;
        let mut command = Command::new(&program);
        command.args(["launch", "supervise"]).arg(&folder).current_dir("/");
        if let Some(environment) = kept_environment(&folder) {
            command.env_clear().envs(environment);
        }
        command.env_remove(MARK_VARIABLE).env(SUPERVISES_VARIABLE, &folder);
        // The lock goes along as standard input.
        command.stdin(lock).stdout(Stdio::null()).stderr(errors).process_group(0);
        // It starts the lasting process and ends.
        let status = command.status().map_err(|source| RuntimeError::CannotStart {
            program: program.display().to_string(),
            folder: folder.clone(),
            source,
        })?;
        if status.success() {
            return Ok(());
        }
        let detail = fs::read_to_string(folder.join("supervisor.log")).unwrap_or_default();
        Err(RuntimeError::ToolFailed {
            what: "The supervisor of a run".to_owned(),
            exit: status.to_string(),
            detail,
        })
    }

    /// Reads and writes the queue while nobody else does. What is begun under the lock must be short.
    fn change_queue<T>(&self, change: impl FnOnce(&mut QueueState) -> Result<T>) -> Result<T> {
        make_folder(&self.root)?;
        let path = self.root.join("queue.lock");
        let lock = open_lock(&path).map_err(RuntimeError::io("opening", &path))?;
        rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))
            .map_err(|error| RuntimeError::io("locking", &path)(error.into()))?;
        let before = self.queue()?;
        let mut queue = before.clone();
        let answer = change(&mut queue)?;
        if queue != before {
            write_json(&self.root.join("queue.json"), &queue)?;
        }
        Ok(answer)
    }
}

impl Launch {
    /// The process that took this launch last.
    pub fn supervisor(&self) -> Option<&super::ProcessIdentity> {
        self.entries.iter().rev().find_map(|entry| match &entry.event {
            Event::Supervised { supervisor, .. } => Some(supervisor),
            _ => None,
        })
    }
}

fn not_queued(id: &LaunchId) -> RuntimeError {
    RuntimeError::LaunchNotReady { launch_id: id.to_string(), why: "is not in the queue" }
}

fn open_lock(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Keeps the environment of this process for the child, until the launch begins. It may hold
/// secrets of this person, so the file is for them alone and goes away at the start.
pub(super) fn keep_environment(folder: &Path) -> Result<()> {
    let mut bytes = Vec::new();
    for (key, value) in std::env::vars_os() {
        if key == MARK_VARIABLE || key == SUPERVISES_VARIABLE {
            continue;
        }
        bytes.extend_from_slice(key.as_bytes());
        bytes.push(b'=');
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
    }
    write_file(&folder.join("environment"), &bytes)
}

fn kept_environment(folder: &Path) -> Option<Vec<(OsString, OsString)>> {
    let bytes = fs::read(folder.join("environment")).ok()?;
    let pairs = bytes.split(|&byte| byte == 0).filter_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let owned = |part: &[u8]| OsString::from_vec(part.to_vec());
        Some((owned(&pair[..at]), owned(&pair[at + 1..])))
    });
    Some(pairs.collect())
}

/// The program that supervises: the small one beside `cairn`, else `cairn` itself.
fn supervisor_program(cairn: PathBuf) -> PathBuf {
    let small = cairn.with_file_name("cairn-supervisor");
    if crate::programs::is_executable(&small) { small } else { cairn }
}

/// The program `cairn`: `CAIRN_PROGRAM`, this program itself, or the one beside it.
pub fn program() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("CAIRN_PROGRAM").filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    let own = std::env::current_exe().map_err(RuntimeError::io("finding", "this program"))?;
    if own.file_name().is_some_and(|name| name == "cairn") {
        return Ok(own);
    }
    let beside = own.with_file_name("cairn");
    if crate::programs::is_executable(&beside) {
        return Ok(beside);
    }
    Err(RuntimeError::InvalidSpec(format!(
        "The program cairn is not beside {}. Install Cairn again.",
        own.display()
    )))
}
