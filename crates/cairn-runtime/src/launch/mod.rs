//! Supervised starts of a person's code, which outlive whoever asked for them.
//!
//! A *launch* is a folder `<data_dir>/launches/<launch id>/`: what was asked (`launch.json`), what
//! happened so far (`ledger`, append-only, on disk before it is acted upon), what was printed
//! (`log/`). It is owned by one supervisor process ([`crate::supervisor`]), which holds the lock of
//! the folder for as long as it lives: a held lock means an owner, whatever numbers say. Everyone
//! else only reads, asks for things (a stop), and after the end of a supervisor that did not
//! finish its work does the rest ([`Launches::recover`]).
//!
//! Which launch goes next is a second file under a second lock ([`QueueState`]); every supervisor
//! starts the next one at its end, so the queue goes on while no window is open.
//!
//! In `launches/` lie beside the folders: `active/` (an empty file for each launch that is not
//! closed, so that looking for them costs nothing in a long history), `runs/` (the launch of each
//! run), `queue.json`, `queue.lock`.

mod identity;
mod ledger;
mod log;
mod prune;
mod queue;
mod recovery;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use cairn_core::run::RunStatus;
use serde::{Deserialize, Serialize};

use crate::error::{Result, RuntimeError};
use crate::tracking::{Tracking, token_in};

pub use identity::ProcessIdentity;
pub use ledger::{Entry, Event};
pub use log::{LaunchLog, LogPiece};
pub use prune::Keep;
pub use queue::{QueueStamp, QueueState, program};
pub use recovery::CAUSE_TAG;

pub(crate) use ledger::Ledger;
pub(crate) use log::LogWriter;
pub(crate) use recovery::report;

/// How many bytes of a log are kept at most when nothing else is asked: half of them the first, half
/// the last.
pub const LOG_CAP_BYTES: u64 = 64 << 20;

/// Names a launch; its folder too. 32 hexadecimal digits, the first 12 of them the time: names in
/// order are launches in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LaunchId(String);

impl LaunchId {
    /// A name that was not there before.
    pub fn new() -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        Self(format!("{:012x}{}", crate::now_ms(), &random[12..]))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LaunchId {
    fn default() -> Self {
        Self::new()
    }
}

impl FromStr for LaunchId {
    type Err = RuntimeError;

    fn from_str(text: &str) -> Result<Self> {
        let is_id =
            text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_id { Ok(Self(text.to_owned())) } else { Err(RuntimeError::NoSuchLaunch(text.into())) }
    }
}

impl TryFrom<String> for LaunchId {
    type Error = RuntimeError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<LaunchId> for String {
    fn from(id: LaunchId) -> Self {
        id.0
    }
}

impl fmt::Display for LaunchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a launch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchKind {
    /// An entry point of a project.
    Project,
    /// A past run once more.
    Rerun,
    /// Many runs with different values; it submits them as launches of their own.
    Sweep,
    /// A chain of steps; it submits them as launches of their own.
    Pipeline,
}

/// All that is asked of a launch. It does not change once it is submitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// Its name.
    pub launch_id: LaunchId,
    /// For people: what is run.
    pub title: String,
    /// What it is for.
    pub kind: LaunchKind,
    /// When it was asked for, milliseconds since 1970.
    pub created_ms: i64,
    /// The store that the tracking address serves, as it was opened; while nobody serves it there, a
    /// stand-in is started. `None`: the address is someone else's affair.
    pub store: Option<PathBuf>,
    /// Where the child logs to: `http://127.0.0.1:PORT`.
    pub tracking_uri: String,
    /// The file with the token that goes with the address. It is read when it is needed, and never
    /// copied into the folder or onto a command line.
    pub token_file: Option<PathBuf>,
    /// The run that it is for, when that is there already; else `prepare` makes one
    /// ([`Launch::note_run`]).
    #[serde(default)]
    pub run_id: Option<String>,
    /// The run above the one that this launch makes.
    pub parent_run_id: Option<String>,
    /// The launch that submitted this one. Stopping that one stops this one.
    pub parent_launch: Option<LaunchId>,
    /// Whether it counts for the limit of the queue; coordinators that only wait do not.
    pub counts: bool,
    /// What makes the launch ready and writes `child.json` ([`Launch::write_child`]); its output
    /// goes to the log as well. `None`: the child is `child`.
    pub prepare: Option<Vec<String>>,
    /// What is run, when there is nothing to prepare.
    pub child: Option<ChildSpec>,
    /// What is run after the child, whatever its end.
    pub finish: Option<Vec<String>>,
    /// What `prepare` and `finish` read.
    #[serde(default)]
    pub request: serde_json::Value,
    /// How many seconds the child has between SIGTERM and SIGKILL.
    pub grace_s: u64,
    /// Every how many seconds the machine is measured; 0 for never.
    pub sample_s: u64,
    /// How many bytes of the log are kept: half of them the first, half the last.
    pub log_cap_bytes: u64,
}

impl LaunchSpec {
    /// A launch that does nothing yet: give it a `child`, or something that prepares one.
    pub fn new(
        title: impl Into<String>,
        kind: LaunchKind,
        tracking_uri: impl Into<String>,
    ) -> Self {
        Self {
            launch_id: LaunchId::new(),
            title: title.into(),
            kind,
            created_ms: crate::now_ms(),
            store: None,
            tracking_uri: tracking_uri.into(),
            token_file: None,
            run_id: None,
            parent_run_id: None,
            parent_launch: None,
            counts: !matches!(kind, LaunchKind::Sweep | LaunchKind::Pipeline),
            prepare: None,
            child: None,
            finish: None,
            request: serde_json::Value::Null,
            grace_s: crate::GRACE.as_secs(),
            sample_s: 10,
            log_cap_bytes: LOG_CAP_BYTES,
        }
    }

    /// The token that goes with the address, as it is now.
    pub fn token(&self) -> Option<String> {
        token_in(self.token_file.as_deref()?)
    }

    /// A client of the tracking address.
    pub fn tracking(&self) -> Result<Tracking> {
        Tracking::new(&self.tracking_uri, self.token())
    }
}

/// What is run in the end.
///
/// It gets the environment of whoever submitted the launch, then `MLFLOW_TRACKING_URI`,
/// `MLFLOW_TRACKING_TOKEN` where there is one, `MLFLOW_RUN_ID` once the run is known and
/// `PYTHONUNBUFFERED`, then what is named here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildSpec {
    /// The program, by path or by a name on PATH, and its arguments as they are.
    pub argv: Vec<String>,
    /// The folder to run it in.
    pub folder: PathBuf,
    /// Variables that are set.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Variables that are kept from it.
    #[serde(default)]
    pub env_remove: Vec<String>,
}

/// Where a submitted launch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// At the end of the queue.
    Queue,
    /// It is started at once, whatever the limit.
    Now,
}

/// What a launch is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchState {
    /// It waits for its turn.
    Queued {
        /// How many are before it.
        position: usize,
    },
    /// The project is fetched, the environment is built.
    Preparing,
    /// The child is at work.
    Running,
    /// It was asked to end and has not ended yet.
    Stopping,
    /// The child has ended; what belongs to the run is being kept.
    Finishing,
    /// It is over.
    Ended {
        /// `FINISHED`, `FAILED` or `KILLED`.
        status: RunStatus,
        /// Why.
        cause: Cause,
    },
}

impl LaunchState {
    /// Whether nothing more will happen.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

/// Why a launch ended. Its text is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// The child returned this code.
    Code {
        /// 0 is a good end.
        code: i32,
    },
    /// This signal ended the child.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// The system ended the child for want of memory.
    OutOfMemory,
    /// Someone stopped it.
    Stopped,
    /// There was no child: making it ready failed.
    PrepareFailed {
        /// What was wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The supervisor is gone without a word; how the child ended is not known.
    Vanished,
    /// The child's program or folder cannot be used.
    CannotStart {
        /// What was wrong.
        message: String,
    },
}

impl Cause {
    /// The status that MLflow's run gets.
    pub fn status(&self) -> RunStatus {
        match self {
            Self::Code { code: 0 } => RunStatus::Finished,
            Self::Stopped => RunStatus::Killed,
            _ => RunStatus::Failed,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code { code: 0 } => f.write_str("Finished"),
            Self::Code { code } => write!(f, "Ended with exit code {code}"),
            Self::Signal { signal } => match signal_name(*signal) {
                Some(name) => write!(f, "Ended by signal {signal} ({name})"),
                None => write!(f, "Ended by signal {signal}"),
            },
            Self::OutOfMemory => f.write_str("Out of memory: the system ended it"),
            Self::Stopped => f.write_str("Stopped"),
            Self::PrepareFailed { message, .. } => write!(f, "Could not be prepared: {message}"),
            Self::Vanished => f.write_str(
                "Ended without a trace: the computer was turned off, or its supervisor was killed",
            ),
            Self::CannotStart { message } => write!(f, "Could not be started: {message}"),
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        _ => return None,
    })
}

/// A launch as it was when it was looked at.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Its folder.
    pub folder: PathBuf,
    /// What was asked.
    pub spec: LaunchSpec,
    /// The run that it made, once there is one.
    pub run_id: Option<String>,
    /// What it is doing.
    pub state: LaunchState,
    /// What it said last about its work ([`Launch::note`]).
    pub note: Option<String>,
    /// Whether what it printed is kept with its run as well ([`Launch::note_log_kept`]).
    pub is_log_kept: bool,
    /// When its supervisor began, milliseconds since 1970.
    pub started_ms: Option<i64>,
    /// When it was over, milliseconds since 1970.
    pub ended_ms: Option<i64>,
    /// Everything that happened, oldest first.
    pub entries: Vec<Entry>,
}

impl Launch {
    /// The launch of a folder, as `prepare` and `finish` get it on their command line.
    pub fn open(folder: &Path) -> Result<Self> {
        let file = folder.join("launch.json");
        let bytes = match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RuntimeError::NoSuchLaunch(folder.display().to_string()));
            }
            bytes => bytes.map_err(RuntimeError::io("reading", &file))?,
        };
        let spec: LaunchSpec = serde_json::from_slice(&bytes)
            .map_err(|error| RuntimeError::io("reading", &file)(error.into()))?;
        let entries = Ledger::read(folder)?;
        let mut launch = Self {
            folder: folder.to_owned(),
            run_id: spec.run_id.clone(),
            spec,
            state: LaunchState::Queued { position: 0 },
            note: None,
            is_log_kept: false,
            started_ms: None,
            ended_ms: None,
            entries: Vec::new(),
        };
        for entry in &entries {
            launch.apply(entry);
        }
        launch.entries = entries;
        Ok(launch)
    }

    fn apply(&mut self, entry: &Entry) {
        let is_open = !self.state.is_ended();
        let mut state = |next| {
            if is_open && self.state != LaunchState::Stopping {
                self.state = next;
            }
        };
        match &entry.event {
            Event::Supervised { .. } => {
                state(LaunchState::Preparing);
                self.started_ms = Some(entry.at_ms);
            }
            Event::Run { run_id } => self.run_id = Some(run_id.clone()),
            Event::Note { text } => self.note = Some(text.clone()),
            Event::Started { .. } => state(LaunchState::Running),
            Event::StopAsked => {
                if is_open && self.started_ms.is_some() {
                    self.state = LaunchState::Stopping;
                }
            }
            Event::LogKept => self.is_log_kept = true,
            Event::Finishing => state(LaunchState::Finishing),
            Event::Closed { status, cause, .. } => {
                self.state = LaunchState::Ended {
                    status: status.parse().unwrap_or(RunStatus::Failed),
                    cause: cause.clone(),
                };
                self.ended_ms = Some(entry.at_ms);
            }
            Event::Starting { .. } | Event::Exited { .. } | Event::Reported => {}
        }
    }

    /// What it printed.
    pub fn log(&self) -> LaunchLog {
        LaunchLog::open(&self.folder)
    }

    /// Remembers which run it made; `prepare` calls it as soon as there is one.
    pub fn note_run(&self, run_id: &str) -> Result<()> {
        Ledger::append(&self.folder, &Event::Run { run_id: run_id.to_owned() })?;
        if is_run_id(run_id) {
            Launches::around(&self.folder).note_run(&self.spec.launch_id, run_id)?;
        }
        Ok(())
    }

    /// Tells a person what is going on: `Building the environment`.
    pub fn note(&self, text: &str) -> Result<()> {
        Ledger::append(&self.folder, &Event::Note { text: text.to_owned() })
    }

    /// Remembers that what it printed is kept with its run; `finish` calls it. Only then may the folder
    /// be pruned.
    pub fn note_log_kept(&self) -> Result<()> {
        Ledger::append(&self.folder, &Event::LogKept)
    }

    /// Says what is to be run; `prepare` calls it when all is ready.
    pub fn write_child(&self, child: &ChildSpec) -> Result<()> {
        write_json(&self.folder.join("child.json"), child)
    }

    /// Says why there is nothing to run; `prepare` calls it before it ends with another code than 0.
    pub fn write_failure(&self, message: &str, hint: Option<&str>) -> Result<()> {
        let failure = Failure { message: message.to_owned(), hint: hint.map(str::to_owned) };
        write_json(&self.folder.join("failure.json"), &failure)
    }

    /// What is to be run, once it is known.
    pub fn child(&self) -> Option<ChildSpec> {
        let prepared = fs::read(self.folder.join("child.json")).ok();
        prepared
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .or_else(|| self.spec.child.clone())
    }

    /// Why the child ended, also before the launch is over: what `finish` looks at.
    pub fn cause(&self) -> Option<Cause> {
        self.entries.iter().rev().find_map(|entry| match &entry.event {
            Event::Exited { cause } | Event::Closed { cause, .. } => Some(cause.clone()),
            _ => None,
        })
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        serde_json::from_slice(&fs::read(self.folder.join("failure.json")).ok()?).ok()
    }
}

/// What `prepare` said before it gave up.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// All launches of this person.
#[derive(Debug, Clone)]
pub struct Launches {
    root: PathBuf,
    /// The program `cairn`, when it is not the usual one.
    program: Option<PathBuf>,
}

impl Launches {
    /// The launches below a folder for data (`AppOptions::data_dir`); nothing is made before it is
    /// needed.
    pub fn new(data_dir: &Path) -> Self {
        Self { root: data_dir.join("launches"), program: None }
    }

    /// The launches that a folder of one of them lies among.
    pub fn around(folder: &Path) -> Self {
        Self { root: folder.parent().unwrap_or(Path::new("/")).to_owned(), program: None }
    }

    /// Supervises with this program `cairn` instead of the usual one; for tests.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// The folder for data that the launches lie in.
    pub fn data_dir(&self) -> &Path {
        self.root.parent().unwrap_or(Path::new("/"))
    }

    /// The folder of a launch, which need not be there.
    pub fn folder(&self, id: &LaunchId) -> PathBuf {
        self.root.join(id.as_str())
    }

    /// Keeps what is asked and starts it, or puts it into the queue and starts what has its turn.
    ///
    /// The environment of this process becomes the child's. When this returns, the launch survives
    /// the end of this process.
    pub fn submit(&self, spec: LaunchSpec, placement: Placement) -> Result<LaunchId> {
        if spec.child.is_none() && spec.prepare.is_none() {
            return Err(RuntimeError::InvalidSpec(format!("{} has nothing to run.", spec.title)));
        }
        let id = spec.launch_id.clone();
        let folder = self.folder(&id);
        make_folder(&folder)?;
        make_folder(&self.root.join("runs"))?;
        make_folder(&self.root.join("active"))?;
        queue::keep_environment(&folder)?;
        write_json(&folder.join("launch.json"), &spec)?;
        if let Some(run_id) = spec.run_id.as_deref().filter(|run_id| is_run_id(run_id)) {
            self.note_run(&id, run_id)?;
        }
        // Nobody takes it for an abandoned one before it is where it belongs.
        let lock = self.try_lock(&id)?.ok_or_else(|| RuntimeError::LaunchNotReady {
            launch_id: id.to_string(),
            why: "was submitted already",
        })?;
        write_file(&self.root.join("active").join(id.as_str()), b"")?;
        match placement {
            Placement::Queue => {
                self.enqueue(&id)?;
                drop(lock);
                self.start_next()?;
            }
            Placement::Now => self.start_now(&id, lock)?,
        }
        Ok(id)
    }

    /// How many launches are kept, ended or not; none of them is read.
    pub fn count(&self) -> Result<usize> {
        ids_in(&self.root).map(|ids| ids.len())
    }

    /// The launches that are not closed, in no order; none of them is read.
    pub fn active_ids(&self) -> Result<Vec<LaunchId>> {
        ids_in(&self.root.join("active"))
    }

    /// How long the account of what happened to a launch is, in bytes; 0 when there is none. It only
    /// grows: as long as it is the same, [`Launches::get`] says the same but for a place in the queue.
    pub fn ledger_bytes(&self, id: &LaunchId) -> u64 {
        fs::metadata(self.folder(id).join("ledger")).map_or(0, |data| data.len())
    }

    /// What a launch printed; empty when it is not there.
    pub fn log(&self, id: &LaunchId) -> LaunchLog {
        LaunchLog::open(&self.folder(id))
    }

    /// Every launch that is kept, newest first.
    pub fn list(&self) -> Result<Vec<Launch>> {
        self.recent(usize::MAX)
    }

    /// The newest launches, at most so many, newest first.
    pub fn recent(&self, max: usize) -> Result<Vec<Launch>> {
        let mut ids = ids_in(&self.root)?;
        ids.sort_unstable_by(|a, b| b.cmp(a));
        let order = self.queue()?.order;
        Ok(ids.iter().filter_map(|id| self.look(id, &order).ok()).take(max).collect())
    }

    /// The launches that are not over, oldest first.
    pub fn active(&self) -> Result<Vec<Launch>> {
        let order = self.queue()?.order;
        let mut launches: Vec<_> = self
            .active_ids()?
            .iter()
            .filter_map(|id| self.look(id, &order).ok())
            .filter(|launch| !launch.state.is_ended())
            .collect();
        launches.sort_unstable_by(|a, b| a.spec.launch_id.cmp(&b.spec.launch_id));
        Ok(launches)
    }

    /// One launch. Errors: [`RuntimeError::NoSuchLaunch`].
    pub fn get(&self, id: &LaunchId) -> Result<Launch> {
        self.look(id, &self.queue()?.order)
    }

    /// The launch that made a run.
    pub fn by_run(&self, run_id: &str) -> Result<Option<Launch>> {
        if !is_run_id(run_id) {
            return Ok(None);
        }
        let Ok(text) = fs::read_to_string(self.root.join("runs").join(run_id)) else {
            return Ok(None);
        };
        match self.get(&text.parse()?) {
            Err(RuntimeError::NoSuchLaunch(_)) => Ok(None),
            launch => launch.map(Some),
        }
    }

    /// Waits until a launch is over.
    pub fn wait(&self, id: &LaunchId) -> Result<Launch> {
        self.wait_for(id, Duration::MAX)
    }

    /// Waits until a launch is over, or for so long; the launch as it is then.
    pub fn wait_for(&self, id: &LaunchId, limit: Duration) -> Result<Launch> {
        let begin = Instant::now();
        let mut seen = None;
        loop {
            let len = self.ledger_bytes(id);
            if seen != Some(len) {
                seen = Some(len);
                let launch = self.get(id)?;
                if launch.state.is_ended() {
                    return Ok(launch);
                }
            }
            if begin.elapsed() >= limit {
                return self.get(id);
            }
            std::thread::sleep(Duration::from_millis(20).min(limit));
        }
    }

    /// Deletes what is kept of a launch that is over; its run stays.
    pub fn forget(&self, id: &LaunchId) -> Result<()> {
        let launch = self.get(id)?;
        if !launch.state.is_ended() {
            return Err(RuntimeError::LaunchNotReady {
                launch_id: id.to_string(),
                why: "is not over yet",
            });
        }
        if let Some(run_id) = &launch.run_id {
            let of_run = self.root.join("runs").join(run_id);
            // A later launch of the run, which went on with it, stays the run's.
            if fs::read_to_string(&of_run).is_ok_and(|named| named == id.as_str()) {
                let _ = fs::remove_file(of_run);
            }
        }
        let _ = fs::remove_file(self.root.join("active").join(id.as_str()));
        // Half a launch would look like one that is not over.
        let folder = self.folder(id);
        let forgotten = self.root.join(format!("{id}{}", prune::FORGOTTEN));
        fs::rename(&folder, &forgotten).map_err(RuntimeError::io("deleting", folder))?;
        fs::remove_dir_all(&forgotten).map_err(RuntimeError::io("deleting", forgotten))
    }

    fn note_run(&self, id: &LaunchId, run_id: &str) -> Result<()> {
        write_file(&self.root.join("runs").join(run_id), id.as_str().as_bytes())
    }

    fn look(&self, id: &LaunchId, order: &[LaunchId]) -> Result<Launch> {
        let mut launch = Launch::open(&self.folder(id)).map_err(|error| match error {
            RuntimeError::NoSuchLaunch(_) => RuntimeError::NoSuchLaunch(id.to_string()),
            other => other,
        })?;
        if let LaunchState::Queued { position } = &mut launch.state {
            match order.iter().position(|queued| queued == id) {
                Some(found) => *position = found,
                None => launch.state = LaunchState::Preparing,
            }
        }
        Ok(launch)
    }
}

/// The launches that a folder names.
fn ids_in(folder: &Path) -> Result<Vec<LaunchId>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(RuntimeError::io("reading", folder))?,
    };
    Ok(entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect())
}

/// Whether a text can be part of a path, as the ids of runs can.
fn is_run_id(text: &str) -> bool {
    text.parse::<cairn_core::RunId>().is_ok()
}

/// Makes a folder that only this person can enter.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(RuntimeError::io("creating", folder))
}

/// Writes a file for this person alone, complete or not at all.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&partial, path)
    };
    write().map_err(RuntimeError::io("writing", path))
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| RuntimeError::io("writing", path)(error.into()))?;
    write_file(path, &bytes)
}
