//! Running one program under supervision, with all that it starts.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::{Result, RuntimeError};
use crate::output::{OutputEvent, OutputQueue, OutputStream, pump};
use crate::survivors::{Family, MARK_VARIABLE};

/// How long a process may take to end by itself after it was asked to.
pub const GRACE: Duration = Duration::from_secs(10);

/// How long output is still read after the process and all its descendants are gone: somebody
/// else may hold the pipe.
const DRAIN: Duration = Duration::from_secs(2);

/// How long the system may take to remove processes that were killed.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// A program to run: its exact arguments, folder and environment.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    argv: Vec<OsString>,
    folder: PathBuf,
    set: Vec<(OsString, OsString)>,
    removed: Vec<OsString>,
    grace: Duration,
}

impl ProcessSpec {
    /// A program, by path or by a name on PATH, run in `folder` with Cairn's own environment.
    pub fn new(program: impl Into<OsString>, folder: impl Into<PathBuf>) -> Self {
        Self {
            argv: vec![program.into()],
            folder: folder.into(),
            set: Vec::new(),
            removed: Vec::new(),
            grace: GRACE,
        }
    }

    /// Adds one argument, passed on as it is.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.argv.push(argument.into());
        self
    }

    /// Adds arguments, passed on as they are.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.set.push((key.into(), value.into()));
        self
    }

    /// Keeps a variable of Cairn's own environment from the program.
    #[must_use]
    pub fn env_remove(mut self, key: impl Into<OsString>) -> Self {
        self.removed.push(key.into());
        self
    }

    /// Another time to end in than [`GRACE`].
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The program and its arguments, for showing.
    pub fn argv(&self) -> impl Iterator<Item = &OsStr> {
        self.argv.iter().map(OsString::as_os_str)
    }

    /// The folder that it runs in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn command(&self, mark: &str) -> Command {
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]).current_dir(&self.folder);
        for key in &self.removed {
            command.env_remove(key);
        }
        // Without it Python keeps its output to itself until there are 8 KiB of it.
        command.env("PYTHONUNBUFFERED", "1");
        command.envs(self.set.iter().map(|(key, value)| (key, value)));
        command.env(MARK_VARIABLE, mark);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// By itself, or by a signal.
    pub cause: ExitCause,
    /// Whether it was asked to end by its cancellation token. It may still have ended well.
    pub was_cancelled: bool,
}

/// What ended a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCause {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// Code 0, and not cancelled.
    pub fn is_success(&self) -> bool {
        self.cause == ExitCause::Code(0) && !self.was_cancelled
    }

    fn new(status: ExitStatus, was_cancelled: bool) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let cause = match (status.code(), status.signal()) {
            (Some(code), _) => ExitCause::Code(code),
            (None, signal) => ExitCause::Signal(signal.unwrap_or_default()),
        };
        Self { cause, was_cancelled }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            ExitCause::Code(code) => write!(f, "exit code {code}"),
            ExitCause::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A running program.
///
/// It leads a process group of its own, reads nothing from standard input, and is watched by a task
/// that outlives no drop: dropping this value cancels the program as its token would. A program
/// that ends by itself takes what it started with it: descendants that are still there get
/// SIGTERM, and SIGKILL when the grace is over.
///
/// [`Process::next_output`] never holds the program up: what is not taken waits in memory, up to
/// 16 MiB, and beyond that is dropped and counted.
#[derive(Debug)]
pub struct Process {
    id: u32,
    output: Arc<OutputQueue>,
    exit: ExitState,
    _cancel_on_drop: DropGuard,
}

#[derive(Debug)]
enum ExitState {
    Awaited(oneshot::Receiver<Exit>),
    Known(Exit),
}

impl Process {
    /// Starts a program; `cancel` ends it: SIGTERM to it and all its descendants, SIGKILL when the
    /// grace is over.
    ///
    /// Must be called within a tokio runtime. Errors: [`RuntimeError::CannotStart`] when the
    /// program or the folder is missing, [`RuntimeError::Cancelled`] when `cancel` was used before.
    pub fn spawn(spec: &ProcessSpec, cancel: &CancellationToken) -> Result<Self> {
        if cancel.is_cancelled() {
            return Err(RuntimeError::Cancelled);
        }
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let mut child =
            spec.command(&mark).spawn().map_err(|source| RuntimeError::CannotStart {
                program: spec.argv[0].to_string_lossy().into_owned(),
                folder: spec.folder.clone(),
                source,
            })?;
        let id = child.id().expect("a child that was not waited for has an id");
        let group = Pid::from_raw(id.cast_signed()).expect("process ids are positive");
        let output = Arc::new(OutputQueue::default());

        let streams = {
            let stdout = child.stdout.take().expect("stdout was piped");
            let stderr = child.stderr.take().expect("stderr was piped");
            let queue = Arc::clone(&output);
            async move {
                tokio::join!(
                    pump(stdout, OutputStream::Stdout, &queue),
                    pump(stderr, OutputStream::Stderr, &queue)
                );
            }
        };
        let (exit_sender, exit) = oneshot::channel();
        let own_cancel = cancel.child_token();
        let supervision = Supervision {
            child,
            family: Family::marked(group, mark),
            group,
            cancel: own_cancel.clone(),
            grace: spec.grace,
        };
        let queue = Arc::clone(&output);
        tokio::spawn(async move {
            let mut pumping = tokio::spawn(streams);
            let exit = supervision.run().await;
            if timeout(DRAIN, &mut pumping).await.is_err() {
                pumping.abort();
            }
            queue.close();
            // The receiver is gone when the process was dropped; then nobody asks.
            let _ = exit_sender.send(exit);
        });
        Ok(Self {
            id,
            output,
            exit: ExitState::Awaited(exit),
            _cancel_on_drop: own_cancel.drop_guard(),
        })
    }

    /// The system's number of the process, and of its group.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The next piece of output; `None` when the process has ended and everything was handed out.
    ///
    /// Can be dropped and called again without losing a line.
    pub async fn next_output(&self) -> Option<OutputEvent> {
        self.output.next().await
    }

    /// Waits until the process and all its descendants are gone, and its output is complete.
    ///
    /// Can be dropped and called again. Output need not be read first.
    pub async fn wait(&mut self) -> Exit {
        let exit = match &mut self.exit {
            ExitState::Known(exit) => return *exit,
            // The watching task answers always, unless the runtime is shut down under it; then it is
            // dropped, which kills the child.
            ExitState::Awaited(receiver) => receiver.await.unwrap_or(Exit {
                cause: ExitCause::Signal(Signal::KILL.as_raw()),
                was_cancelled: true,
            }),
        };
        self.exit = ExitState::Known(exit);
        exit
    }

    /// Runs to the end, telling every line; the exit comes with the last `keep_lines` lines.
    pub async fn run_to_end(
        mut self,
        keep_lines: usize,
        mut told: impl FnMut(&str),
    ) -> (Exit, String) {
        let mut tail = std::collections::VecDeque::with_capacity(keep_lines);
        while let Some(event) = self.next_output().await {
            let OutputEvent::Line(line) = event else {
                continue;
            };
            told(&line.text);
            if tail.len() == keep_lines {
                tail.pop_front();
            }
            tail.push_back(line.text);
        }
        (self.wait().await, Vec::from(tail).join("\n"))
    }
}

/// What the watching task owns.
struct Supervision {
    child: Child,
    family: Family,
    group: Pid,
    cancel: CancellationToken,
    grace: Duration,
}

impl Supervision {
    /// Waits for the end, asks for it when cancelled, and leaves no descendant behind.
    async fn run(mut self) -> Exit {
        let ended = tokio::select! {
            ended = self.child.wait() => Some(ended),
            () = self.cancel.cancelled() => None,
        };
        let was_cancelled = ended.is_none();
        if was_cancelled {
            self.family.signal(Signal::TERM, true);
        } else if self.family.signal(Signal::TERM, false) > 0 {
            tracing::debug!(group = %self.group.as_raw_nonzero(), "The process left descendants behind; they are being ended.");
        }
        let deadline = Instant::now() + self.grace;
        let mut status = ended;
        while Instant::now() < deadline {
            if status.is_none() {
                status = timeout(Duration::from_millis(50), self.child.wait()).await.ok();
            }
            if status.is_some() && self.family.count() == 0 {
                break;
            }
            if status.is_some() {
                sleep(Duration::from_millis(20)).await;
            }
        }
        let kill_deadline = Instant::now() + KILL_WAIT;
        // Again and again: between listing and killing, a member may have made another one.
        while status.is_none() || self.family.count() > 0 {
            self.family.signal(Signal::KILL, status.is_none());
            if status.is_none() {
                status = timeout(Duration::from_millis(50), self.child.wait()).await.ok();
            } else {
                sleep(Duration::from_millis(10)).await;
            }
            if Instant::now() > kill_deadline {
                tracing::warn!(group = %self.group.as_raw_nonzero(), "A killed process is still there; the system holds it.");
                break;
            }
        }
        match status {
            Some(Ok(status)) => Exit::new(status, was_cancelled),
            // Either the system holds the process in an endless call, or its status was taken by
            // somebody else; the strongest signal was sent in any case.
            Some(Err(_)) | None => {
                Exit { cause: ExitCause::Signal(Signal::KILL.as_raw()), was_cancelled }
            }
        }
    }
}
