//! Running one program to its end, with all that it starts, by one thread that never waits for
//! anything but all of it at once.

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use crate::error::{Result, RuntimeError};
use crate::launch::{Cause, LogWriter, ProcessIdentity};
use crate::survivors::{Family, MARK_VARIABLE};

/// How often it is looked whether descendants are still there, while an end is on its way.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long the system may take to remove processes that were killed.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// How much is read at once: what a pipe of the usual size holds.
const READ_BYTES: usize = 64 * 1024;

/// How much the system keeps for the program while this one writes to the disk.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

/// The signals that this process hears: they wake the one who waits.
#[derive(Debug)]
pub(super) struct Signals {
    wake: OwnedFd,
    stop: Arc<AtomicBool>,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Self> {
        let (wake, waker) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            // The flag first: who is woken finds it set.
            signal_hook::flag::register(signal, stop.clone())?;
            signal_hook::low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        signal_hook::low_level::pipe::register(SIGCHLD, waker)?;
        Ok(Self { wake, stop })
    }

    /// Whether someone wants the launch to end.
    pub(super) fn is_stop_asked(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(super) fn forget_stop(&self) {
        self.stop.store(false, Ordering::SeqCst);
    }

    fn drain(&self) {
        let mut bytes = [0; 256];
        while rustix::io::read(&self.wake, &mut bytes).is_ok_and(|count| count > 0) {}
    }
}

/// A program to run.
pub(super) struct Program<'a> {
    pub(super) command: Command,
    /// What its descendants are recognised by when this process is gone.
    pub(super) mark: &'a str,
    /// The time between SIGTERM and SIGKILL.
    pub(super) grace: Duration,
}

/// What became of a program.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It ended by itself, or something else ended it.
    Ended(Cause),
    /// It was asked to end.
    Stopped,
    /// It never began.
    NotStarted(String),
}

impl Program<'_> {
    /// Runs it until nothing of it is left; both of its streams go to the log as they come.
    ///
    /// What it leaves behind when it ends by itself is asked to end too, and killed when the grace
    /// is over. `started` is told once it is there.
    pub(super) fn run(
        mut self,
        signals: &mut Signals,
        log: &mut LogWriter,
        started: impl FnOnce(ProcessIdentity) -> Result<()>,
    ) -> Result<Outcome> {
        let kills_before = out_of_memory_kills();
        // One pipe for both streams keeps the order in which they were written.
        let (output, input) = pipe_with(PipeFlags::CLOEXEC)
            .map_err(|error| RuntimeError::io("making a pipe for", "a program")(error.into()))?;
        let again =
            input.try_clone().map_err(RuntimeError::io("making a pipe for", "a program"))?;
        let _ = rustix::io::ioctl_fionbio(&output, true);
        #[cfg(target_os = "linux")]
        let _ = rustix::pipe::fcntl_setpipe_size(&output, PIPE_BYTES);
        self.command.env(MARK_VARIABLE, self.mark);
        self.command.stdin(Stdio::null()).stdout(input).stderr(again).process_group(0);
        let child = match self.command.spawn() {
            Ok(child) => child,
            Err(error) => return Ok(Outcome::NotStarted(self.why_not(&error))),
        };
        // Both ends for writing are now the child's alone.
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        let pid = child.id().cast_signed();
        let group = Pid::from_raw(pid);
        started(
            ProcessIdentity::of(pid)
                .unwrap_or_else(|| ProcessIdentity { pid, ..ProcessIdentity::own() }),
        )?;
        let mut end =
            End { group, family: family(group, self.mark), grace: self.grace, ..End::default() };
        end.follow(signals, output, log);
        let is_oom = || out_of_memory_kills() > kills_before;
        Ok(if end.was_stopped {
            Outcome::Stopped
        } else {
            Outcome::Ended(
                end.status.map_or(Cause::Signal { signal: 9 }, |status| cause(status, is_oom)),
            )
        })
    }

    fn why_not(&self, error: &io::Error) -> String {
        let program = self.command.get_program().to_string_lossy();
        let folder = self.command.get_current_dir().unwrap_or("/".as_ref());
        if folder.is_dir() {
            format!("{program}: {error}")
        } else {
            format!("the folder {} is not there", folder.display())
        }
    }
}

/// All descendants where the system tells them; else the group.
fn family(group: Option<Pid>, mark: &str) -> Option<Family> {
    if cfg!(target_os = "linux") {
        Some(Family::of_subreaper(group))
    } else {
        group.map(|group| Family::marked(group, mark.to_owned()))
    }
}

/// A program on its way to its end.
#[derive(Default)]
struct End {
    group: Option<Pid>,
    family: Option<Family>,
    grace: Duration,
    /// How the program itself ended; its descendants may still be there.
    status: Option<ExitStatus>,
    was_stopped: bool,
    /// When those that are still there are killed; set once an end was asked for.
    kill_at: Option<Instant>,
    /// When they were looked for last.
    looked: Option<Instant>,
}

impl End {
    fn follow(&mut self, signals: &mut Signals, output: OwnedFd, log: &mut LogWriter) {
        let mut output = std::fs::File::from(output);
        let mut is_open = true;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            // Without a deadline the signal of an ended child wakes this thread.
            let limit = if self.is_ending() { Some(LOOK_EVERY) } else { None };
            let is_readable = wait(signals, is_open.then_some(&output), limit);
            signals.drain();
            self.reap();
            if is_readable {
                is_open = pump(&mut output, &mut buffer, log);
            }
            if self.advance(signals) {
                // Nobody writes any more; what is in the pipe is all there is.
                while is_open && pump(&mut output, &mut buffer, log) {
                    if !wait(signals, Some(&output), Some(Duration::ZERO)) {
                        break;
                    }
                }
                return;
            }
        }
    }

    fn is_ending(&self) -> bool {
        self.kill_at.is_some() || self.status.is_some()
    }

    /// Takes the ends of the program and of orphans, so that none stays a zombie.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if Some(pid) == self.group {
                self.status = Some(ExitStatus::from_raw(status.as_raw()));
            }
        }
    }

    /// Does what has its time; whether all is over.
    fn advance(&mut self, signals: &Signals) -> bool {
        let Some(family) = &self.family else { return self.status.is_some() };
        let now = Instant::now();
        let is_leader_unreaped = self.status.is_none();
        if signals.is_stop_asked() && !self.was_stopped && is_leader_unreaped {
            self.was_stopped = true;
            family.signal(Signal::TERM, is_leader_unreaped);
            self.kill_at = Some(now + self.grace);
        }
        if !self.is_ending() || self.looked.is_some_and(|at| now - at < LOOK_EVERY) {
            return false;
        }
        self.looked = Some(now);
        if self.status.is_some() && family.count() == 0 {
            return true;
        }
        match self.kill_at {
            // It ended by itself and left others behind.
            None => {
                family.signal(Signal::TERM, false);
                self.kill_at = Some(now + self.grace);
            }
            Some(at) if now >= at => {
                // Again and again: between listing and killing, one may have made another.
                family.signal(Signal::KILL, is_leader_unreaped);
                if now >= at + KILL_WAIT {
                    eprintln!("a process that was killed is still there; the system holds it");
                    return true;
                }
            }
            Some(_) => {}
        }
        false
    }
}

/// Waits for a signal, for output, or for so long; whether there is output.
fn wait(signals: &Signals, output: Option<&std::fs::File>, limit: Option<Duration>) -> bool {
    let limit = limit.map(|limit| Timespec {
        tv_sec: limit.as_secs().cast_signed(),
        tv_nsec: i64::from(limit.subsec_nanos()),
    });
    let mut waiting = vec![PollFd::new(&signals.wake, PollFlags::IN)];
    if let Some(output) = output {
        waiting.push(PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN));
    }
    match poll(&mut waiting, limit.as_ref()) {
        Ok(_) => waiting.get(1).is_some_and(|output| !output.revents().is_empty()),
        // A signal came in between.
        Err(_) => false,
    }
}

/// Moves what is there to the log, at most one buffer; whether more may come.
fn pump(output: &mut std::fs::File, buffer: &mut [u8], log: &mut LogWriter) -> bool {
    match output.read(buffer) {
        Ok(0) => false,
        Ok(count) => {
            // A full disk must not hold the program up: what cannot be kept is lost.
            if let Err(error) = log.write(&buffer[..count]) {
                eprintln!("output is lost: {error}");
            }
            true
        }
        Err(error) => {
            matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
        }
    }
}

/// What a shell makes of a program that SIGKILL ended.
const KILLED_IN_A_SHELL: i32 = 128 + 9;

fn cause(status: ExitStatus, is_oom: impl Fn() -> bool) -> Cause {
    let killed = status.signal() == Some(9) || status.code() == Some(KILLED_IN_A_SHELL);
    if killed && is_oom() {
        return Cause::OutOfMemory;
    }
    match (status.code(), status.signal()) {
        (Some(code), _) => Cause::Code { code },
        (None, signal) => Cause::Signal { signal: signal.unwrap_or_default() },
    }
}

/// How many processes the system has ended for want of memory: in this control group where it
/// counts them, else on the whole machine.
#[cfg(target_os = "linux")]
fn out_of_memory_kills() -> u64 {
    let number = |text: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill "))
            .and_then(|number| number.trim().parse().ok())
    };
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = group.lines().find_map(|line| line.strip_prefix("0::/")).and_then(|path| {
        let file = format!("/sys/fs/cgroup/{path}/memory.events");
        number(&std::fs::read_to_string(file).ok()?)
    });
    own.or_else(|| number(&std::fs::read_to_string("/proc/vmstat").ok()?)).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn out_of_memory_kills() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_tell_want_of_memory_from_other_kills() {
        let check = |raw: i32, is_oom: bool, expected: Cause| {
            assert_eq!(cause(ExitStatus::from_raw(raw), || is_oom), expected);
        };
        check(0, true, Cause::Code { code: 0 });
        check(3 << 8, true, Cause::Code { code: 3 });
        check(9, false, Cause::Signal { signal: 9 });
        check(9, true, Cause::OutOfMemory);
        check(137 << 8, true, Cause::OutOfMemory);
        check(137 << 8, false, Cause::Code { code: 137 });
        check(11, true, Cause::Signal { signal: 11 });
    }
}
