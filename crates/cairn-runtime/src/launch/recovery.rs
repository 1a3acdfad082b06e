//! Finishing what a supervisor could not finish.

use std::fs;
use std::time::{Duration, Instant};

use cairn_core::run::RunStatus;
use rustix::process::Signal;

use super::{Cause, Event, Launch, LaunchId, LaunchState, Launches, Ledger};
use crate::error::{Result, RuntimeError};
use crate::serving;
use crate::survivors::Family;
use crate::tracking::Tracking;

/// How long processes that nobody supervises any more may take to end by themselves.
const LEFT_OVER_GRACE: Duration = Duration::from_secs(2);

/// The tag that says why a launch ended, in words.
pub const CAUSE_TAG: &str = "cairn.launch.cause";

impl Launches {
    /// Looks at everything that is not over: what nobody supervises any more is closed with its
    /// cause and its remaining processes are ended, what was let through but never began goes back
    /// into the queue, what the tracking server was not told is told, and the queue goes on.
    ///
    /// For the start of a program and every few seconds from then on; costs next to nothing while
    /// all is well. Any number of programs may do it at once.
    pub fn recover(&self) -> Result<()> {
        for id in self.active_ids()? {
            match self.recover_one(&id) {
                Err(RuntimeError::NoSuchLaunch(_)) => {
                    let _ = fs::remove_file(self.root.join("active").join(id.as_str()));
                }
                Err(error) => tracing::warn!(launch = %id, %error, "a launch is not closed yet"),
                Ok(()) => {}
            }
        }
        self.start_next()
    }

    fn recover_one(&self, id: &LaunchId) -> Result<()> {
        // Held: its supervisor lives, or another program is at it.
        let Some(_lock) = self.try_lock(id)? else { return Ok(()) };
        let launch = self.get(id)?;
        match launch.state {
            LaunchState::Ended { .. } => return self.report_again(&launch),
            LaunchState::Queued { .. } => return Ok(()),
            _ => {}
        }
        let is_stop_asked =
            launch.entries.iter().any(|entry| matches!(entry.event, Event::StopAsked));
        let Some(supervisor) = launch.supervisor() else {
            return if is_stop_asked { self.close_unstarted(id) } else { self.enqueue_first(id) };
        };
        end_left_over(&launch, supervisor.pid);
        let cause =
            launch.cause().unwrap_or(if is_stop_asked { Cause::Stopped } else { Cause::Vanished });
        self.close(&launch, &cause)
    }

    /// Closes a launch whose lock this process has, and tells the tracking server if it answers.
    pub(crate) fn close(&self, launch: &Launch, cause: &Cause) -> Result<()> {
        let is_reported = self.report_at_all(launch, cause, crate::now_ms());
        self.close_as(launch, cause, is_reported)
    }

    pub(crate) fn close_as(&self, launch: &Launch, cause: &Cause, is_reported: bool) -> Result<()> {
        let closed = Event::Closed {
            status: cause.status().as_str().to_owned(),
            cause: cause.clone(),
            is_reported,
        };
        Ledger::append(&launch.folder, &closed)?;
        let _ = fs::remove_file(launch.folder.join("environment"));
        if is_reported {
            self.mark_inactive(&launch.spec.launch_id);
        }
        Ok(())
    }

    fn report_again(&self, launch: &Launch) -> Result<()> {
        let (Some(cause), Some(ended_ms)) = (launch.cause(), launch.ended_ms) else {
            return Ok(());
        };
        let is_reported = launch.entries.iter().any(|entry| {
            matches!(entry.event, Event::Reported | Event::Closed { is_reported: true, .. })
        });
        if !is_reported {
            if !self.report_at_all(launch, &cause, ended_ms) {
                // Not a word about it: it is tried again in a moment.
                return Ok(());
            }
            Ledger::append(&launch.folder, &Event::Reported)?;
        }
        self.mark_inactive(&launch.spec.launch_id);
        Ok(())
    }

    /// Reports; where nobody serves the store, a stand-in has to.
    fn report_at_all(&self, launch: &Launch, cause: &Cause, ended_ms: i64) -> bool {
        if report(launch, cause, ended_ms).is_ok() {
            return true;
        }
        let spec = &launch.spec;
        let served = spec.store.as_ref().zip(serving::port_of(&spec.tracking_uri));
        served.is_some_and(|(store, port)| {
            serving::ensure(self.data_dir(), store, port).is_ok()
                && report(launch, cause, ended_ms).is_ok()
        })
    }

    fn mark_inactive(&self, id: &LaunchId) {
        let _ = fs::remove_file(self.root.join("active").join(id.as_str()));
    }
}

/// Gives the run the status that the launch ended with, unless the child did so itself.
///
/// Errors: the server does not answer, or refuses for a reason that may pass.
pub(crate) fn report(launch: &Launch, cause: &Cause, ended_ms: i64) -> Result<()> {
    let Some(run_id) = &launch.run_id else { return Ok(()) };
    let spec = &launch.spec;
    let mut told = tell(&spec.tracking()?, launch, run_id, cause, ended_ms);
    if let (Err(RuntimeError::TrackingUnavailable { .. }), Some(store)) = (&told, &spec.store) {
        // The store may be served elsewhere now.
        let data_dir = Launches::around(&launch.folder).data_dir().to_owned();
        for note in serving::of_store(&data_dir, store) {
            let uri = format!("http://127.0.0.1:{}", note.port);
            told = tell(&Tracking::new(&uri, spec.token())?, launch, run_id, cause, ended_ms);
            if told.is_ok() {
                break;
            }
        }
    }
    match told {
        // The run is gone or in the trash: there is nobody to tell.
        Err(RuntimeError::TrackingRefused { status: 400..=499, .. }) => Ok(()),
        told => told,
    }
}

fn tell(
    tracking: &Tracking,
    launch: &Launch,
    run_id: &str,
    cause: &Cause,
    ended_ms: i64,
) -> Result<()> {
    let run = tracking.get_run(run_id)?;
    let is_open = matches!(run.info.status, RunStatus::Running | RunStatus::Scheduled);
    // A program that was asked to end may have called its run finished or failed on the way out.
    let was_stopped = *cause == Cause::Stopped
        && launch.entries.iter().any(|entry| {
            matches!(entry.event, Event::StopAsked)
                && run.info.end_ms.is_none_or(|end_ms| end_ms >= entry.at_ms)
        });
    if is_open || was_stopped {
        tracking.update_run(run_id, Some(cause.status()), Some(ended_ms), None)?;
    }
    tracking.set_tag(run_id, CAUSE_TAG, &cause.to_string())
}

/// Ends what is left of the processes of a launch whose supervisor is gone.
fn end_left_over(launch: &Launch, supervisor_pid: i32) {
    let Some(family) = left_over(launch, supervisor_pid) else { return };
    if family.signal(Signal::TERM, false) == 0 {
        return;
    }
    let begin = Instant::now();
    while family.count() > 0 {
        if begin.elapsed() > LEFT_OVER_GRACE {
            family.signal(Signal::KILL, false);
        }
        if begin.elapsed() > LEFT_OVER_GRACE * 2 {
            tracing::warn!(launch = %launch.spec.launch_id, "a process that was killed is still there");
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes of a launch, recognised without anyone who watched them: by their mark, or as the
/// group of the child in the session of the supervisor. After a restart of the system there are none.
fn left_over(launch: &Launch, supervisor_pid: i32) -> Option<Family> {
    let mark = launch.entries.iter().rev().find_map(|entry| match &entry.event {
        Event::Supervised { mark, supervisor }
            if supervisor.boot_id == super::identity::boot_id() =>
        {
            Some(mark.clone())
        }
        _ => None,
    })?;
    let group = launch.entries.iter().rev().find_map(|entry| match &entry.event {
        Event::Started { child } => Some(child.pid),
        _ => None,
    });
    Some(Family::left_behind(group, supervisor_pid, mark))
}
