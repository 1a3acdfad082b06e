//! Telling a process from another one that got its number later.

use std::fs;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

/// A process, told from every other one that had or will have its number: numbers are used again,
/// but not with the same start in the same uptime of the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its number.
    pub pid: i32,
    /// When it started, in the system's ticks since it was turned on.
    pub start_ticks: u64,
    /// Which uptime of the system.
    pub boot_id: String,
}

impl ProcessIdentity {
    /// This process.
    pub fn own() -> Self {
        Self::of(std::process::id().cast_signed()).unwrap_or(Self {
            pid: std::process::id().cast_signed(),
            start_ticks: 0,
            boot_id: boot_id(),
        })
    }

    /// The process that has a number now; `None` when there is none.
    pub fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, start_ticks: start_ticks(pid)?, boot_id: boot_id() })
    }

    /// Whether it is alive. One that ended and was not waited for is not.
    pub fn is_alive(&self) -> bool {
        self.boot_id == boot_id() && start_ticks(self.pid) == Some(self.start_ticks)
    }

    /// Sends a signal to it and to no other; whether it was there to get it.
    #[cfg(target_os = "linux")]
    pub fn signal(&self, signal: Signal) -> bool {
        use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
        let Some(pid) = Pid::from_raw(self.pid) else { return false };
        // The handle first: once it is there, the number cannot be given to another one unnoticed.
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
        self.is_alive() && pidfd_send_signal(&handle, signal).is_ok()
    }

    /// Sends a signal to it; whether it was there to get it.
    #[cfg(not(target_os = "linux"))]
    pub fn signal(&self, signal: Signal) -> bool {
        let Some(pid) = Pid::from_raw(self.pid) else { return false };
        self.is_alive() && rustix::process::kill_process(pid, signal).is_ok()
    }
}

/// Names the time since the system was turned on.
#[cfg(target_os = "linux")]
pub(crate) fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim_end().to_owned()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn boot_id() -> String {
    String::new()
}

/// When the process of a number started; `None` when there is none or it has ended.
#[cfg(target_os = "linux")]
fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows the last one is fixed.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // The 22nd of all fields; the first two are before the parenthesis.
    fields.nth(18)?.parse().ok()
}

#[cfg(not(target_os = "linux"))]
fn start_ticks(pid: i32) -> Option<u64> {
    rustix::process::test_kill_process(Pid::from_raw(pid)?).ok().map(|()| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_of_the_same_number_is_not_it() {
        let mut own = ProcessIdentity::own();
        assert!(own.is_alive());
        assert!(own.signal(Signal::CONT));
        own.start_ticks += 1;
        assert!(!own.is_alive());
        assert!(!own.signal(Signal::KILL), "it would have ended this test");
        let mut earlier = ProcessIdentity::own();
        earlier.boot_id = "another uptime".to_owned();
        assert!(!earlier.is_alive());
    }

    #[test]
    fn an_ended_child_that_nobody_waited_for_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let identity = ProcessIdentity::of(child.id().cast_signed());
        while ProcessIdentity::of(child.id().cast_signed()).is_some() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(identity.is_none_or(|identity| !identity.is_alive()));
        child.wait().unwrap();
    }
}
