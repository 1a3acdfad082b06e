//! The small process that owns one launch from its start to its end.
//!
//! `cairn launch supervise DIR` starts itself once more and ends, so that whoever asked has no child
//! to wait for; the second one leads a session of its own and holds the lock of the folder, which it
//! got as its standard input and which never was free in between.
//!
//! It has no async runtime and few threads: the first one waits for the child, its output and
//! signals ([`program`]), the second one keeps the tracking address served and measures the machine
//! ([`watch`]). What it knows is in the ledger before it acts, so that its own sudden end costs
//! nothing but the way in which the child ended.

#[cfg(target_os = "linux")]
mod gpu;
mod measure;
mod program;
mod watch;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Result, RuntimeError};
use crate::launch::{
    Cause, ChildSpec, Event, Launch, Launches, Ledger, LogWriter, ProcessIdentity,
};
use crate::survivors::SUPERVISES_VARIABLE;

use program::{Outcome, Program, Signals};
use watch::Watch;

/// On the command line of the process that lasts.
const LASTING: &str = "--lasting";

/// How long the tracking server is waited for at the end, until the rest is left to `recover`.
const REPORT_LIMIT: Duration = Duration::from_mins(1);

/// Runs what `cairn launch supervise` was given on its command line, and ends with it.
///
/// To be called before anything else in the program: threads, an async runtime and what they need
/// would stay in memory for as long as the launch lasts.
pub fn main(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let done = match arguments.as_slice() {
        [folder] => start_lasting(Path::new(folder)),
        [folder, word] if word == LASTING => supervise(Path::new(folder)),
        _ => Err(RuntimeError::InvalidSpec("cairn launch supervise takes a folder".to_owned())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start_lasting(folder: &Path) -> Result<()> {
    let own = std::env::current_exe().map_err(RuntimeError::io("finding", "this program"))?;
    let mut command = Command::new(&own);
    command.args(["launch", "supervise"]).arg(folder).arg(LASTING);
    // Standard input, the lock, goes along; nobody waits for the new process.
    command.stdin(Stdio::inherit()).stdout(Stdio::null());
    command.spawn().map(drop).map_err(|source| RuntimeError::CannotStart {
        program: own.display().to_string(),
        folder: folder.to_owned(),
        source,
    })
}

fn supervise(folder: &Path) -> Result<()> {
    // Fails for the leader of a group, which this is not.
    let _ = rustix::process::setsid();
    let Some(lock) = own_lock(folder)? else {
        return Err(RuntimeError::LaunchNotReady {
            launch_id: folder.display().to_string(),
            why: "has a supervisor",
        });
    };
    let signals = Signals::catch().map_err(RuntimeError::io("catching signals for", folder))?;
    // Descendants that lost their parent are given to this process, so that it finds and reaps them.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));

    let launches = Launches::around(folder);
    let launch = Launch::open(folder)?;
    if launch.state.is_ended() {
        return Ok(());
    }
    let mark = uuid::Uuid::new_v4().simple().to_string();
    let supervised = Event::Supervised { supervisor: ProcessIdentity::own(), mark: mark.clone() };
    Ledger::append(folder, &supervised)?;
    let _ = fs::remove_file(folder.join("environment"));

    let mut supervisor = Supervisor {
        folder,
        log: LogWriter::open(folder, launch.spec.log_cap_bytes)?,
        watch: Watch::start(&launch, launches.data_dir()),
        launch,
        mark,
        signals,
    };
    // A stop that was asked for before this process could hear of it.
    if supervisor.is_stop_asked()? {
        supervisor.signals.stop();
    }
    let cause = supervisor.run()?;
    supervisor.close(&launches, &cause)?;
    // Who waits for its turn must find this one's place free.
    drop(lock);
    launches.start_next()
}

/// The lock of the folder: standard input, or taken anew when this was started by hand.
fn own_lock(folder: &Path) -> Result<Option<File>> {
    let path = folder.join("lock");
    let given = || -> io::Result<Option<File>> {
        use std::os::fd::AsFd as _;
        let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let given = stdin.metadata()?;
        let is_it = fs::metadata(&path)
            .is_ok_and(|wanted| given.ino() == wanted.ino() && given.dev() == wanted.dev());
        Ok(is_it.then_some(stdin))
    };
    let given = given().map_err(RuntimeError::io("opening", &path))?;
    let nothing = File::open("/dev/null").map_err(RuntimeError::io("opening", "/dev/null"))?;
    rustix::stdio::dup2_stdin(&nothing)
        .map_err(|error| RuntimeError::io("opening", "/dev/null")(error.into()))?;
    if given.is_some() {
        return Ok(given);
    }
    let id = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().parse()?;
    Launches::around(folder).try_lock(&id)
}

struct Supervisor<'a> {
    folder: &'a Path,
    /// As it was when it was opened last; [`Supervisor::look_again`] reads the ledger anew.
    launch: Launch,
    mark: String,
    signals: Signals,
    log: LogWriter,
    watch: Watch,
}

impl Supervisor<'_> {
    /// From getting ready to the end of `finish`.
    fn run(&mut self) -> Result<Cause> {
        self.watch.wait_until_served(|| self.signals.is_stop_asked());
        let cause = match self.prepare()? {
            Ok(child) => self.run_child(&child)?,
            Err(cause) => cause,
        };
        Ledger::append(self.folder, &Event::Exited { cause: cause.clone() })?;
        self.watch.stop_measuring();
        self.finish()?;
        Ok(cause)
    }

    /// What is to be run, or why there is nothing.
    fn prepare(&mut self) -> Result<Result<ChildSpec, Cause>> {
        if self.signals.is_stop_asked() {
            return Ok(Err(Cause::Stopped));
        }
        if let Some(argv) = self.launch.spec.prepare.clone() {
            let outcome = self.run_program(&own_program(argv), true)?;
            self.look_again()?;
            let message = match outcome {
                Outcome::Stopped => return Ok(Err(Cause::Stopped)),
                Outcome::Ended(Cause::Code { code: 0 }) => None,
                Outcome::Ended(cause) => Some(format!("{cause}; the log says more")),
                Outcome::NotStarted(message) => Some(message),
            };
            if let Some(failure) = self.launch.failure() {
                let (message, hint) = (failure.message, failure.hint);
                return Ok(Err(Cause::PrepareFailed { message, hint }));
            }
            if let Some(message) = message {
                return Ok(Err(Cause::PrepareFailed { message, hint: None }));
            }
        }
        Ok(self.launch.child().ok_or_else(|| Cause::PrepareFailed {
            message: "there is nothing to run".to_owned(),
            hint: None,
        }))
    }

    fn run_child(&mut self, child: &ChildSpec) -> Result<Cause> {
        Ledger::append(self.folder, &Event::Starting { argv: child.argv.clone() })?;
        self.watch.measure(self.launch.run_id.clone());
        Ok(match self.run_program(child, false)? {
            Outcome::Ended(cause) => cause,
            Outcome::Stopped => Cause::Stopped,
            Outcome::NotStarted(message) => Cause::CannotStart { message },
        })
    }

    /// Keeps what belongs to the run. Its failure changes nothing about the run; the log tells it.
    fn finish(&mut self) -> Result<()> {
        self.look_again()?;
        if let Some(argv) = self.launch.spec.finish.clone() {
            Ledger::append(self.folder, &Event::Finishing)?;
            // The stop was for the child.
            self.signals.forget_stop();
            self.run_program(&own_program(argv), true)?;
        }
        Ok(())
    }

    fn run_program(&mut self, spec: &ChildSpec, is_own: bool) -> Result<Outcome> {
        let mut command = Command::new(spec.argv.first().map_or("", String::as_str));
        command.args(spec.argv.iter().skip(1)).current_dir(&spec.folder);
        command.env_remove(SUPERVISES_VARIABLE);
        for key in &spec.env_remove {
            command.env_remove(key);
        }
        command.env("PYTHONUNBUFFERED", "1");
        if !is_own {
            command.env("MLFLOW_TRACKING_URI", &self.launch.spec.tracking_uri);
            if let Some(token) = self.launch.spec.token() {
                command.env("MLFLOW_TRACKING_TOKEN", token);
            }
            if let Some(run_id) = &self.launch.run_id {
                command.env("MLFLOW_RUN_ID", run_id);
            }
        }
        command.envs(&spec.env);
        let program = Program {
            command,
            mark: &self.mark,
            grace: Duration::from_secs(self.launch.spec.grace_s),
        };
        let (folder, watch) = (self.folder, &self.watch);
        program.run(&mut self.signals, &mut self.log, |child| {
            watch.note_child(child.pid);
            if is_own { Ok(()) } else { Ledger::append(folder, &Event::Started { child }) }
        })
    }

    /// Tells the tracking server how it ended, for as long as that makes sense, and closes.
    fn close(mut self, launches: &Launches, cause: &Cause) -> Result<()> {
        self.look_again()?;
        let ended_ms = crate::now_ms();
        let begin = Instant::now();
        let mut wait = Duration::from_millis(50);
        let is_reported = loop {
            match crate::launch::report(&self.launch, cause, ended_ms) {
                Ok(()) => break true,
                Err(_) if begin.elapsed() > REPORT_LIMIT => break false,
                Err(_) => std::thread::sleep(wait),
            }
            wait = (wait * 2).min(Duration::from_secs(2));
        };
        self.watch.end();
        launches.close_as(&self.launch, cause, is_reported)
    }

    fn look_again(&mut self) -> Result<()> {
        self.launch = Launch::open(self.folder)?;
        Ok(())
    }

    fn is_stop_asked(&mut self) -> Result<bool> {
        self.look_again()?;
        Ok(self.launch.entries.iter().any(|entry| matches!(entry.event, Event::StopAsked)))
    }
}

/// What prepares and finishes runs in the folder of root: it belongs to nobody's project.
fn own_program(argv: Vec<String>) -> ChildSpec {
    ChildSpec { argv, folder: "/".into(), ..ChildSpec::default() }
}
