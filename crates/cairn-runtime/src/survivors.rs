//! Finding and ending every process that a supervised process left behind.
//!
//! A process group is not enough: a child may start a session of its own. So every supervised
//! process carries a random mark in its environment, which its descendants inherit, and Linux shows
//! the environment of one's own processes in `/proc`. Elsewhere only the group is known.

use rustix::process::{Pid, Signal};

/// The environment variable that carries the mark.
pub(crate) const MARK_VARIABLE: &str = "CAIRN_PROCESS_MARK";

/// How the descendants of one supervised process are recognised.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    /// The group that the process was started in; its own id.
    pub(crate) group: Pid,
    /// The value of [`MARK_VARIABLE`].
    pub(crate) mark: String,
}

impl Family {
    /// Sends a signal once to every living member.
    ///
    /// `is_leader_unreaped` says that the process itself was not waited for yet, so that the number
    /// of its group cannot have been given to somebody else. Answers how many members were found
    /// one by one: all, or only those outside the group when the group was signalled as a whole.
    pub(crate) fn signal(&self, signal: Signal, is_leader_unreaped: bool) -> usize {
        let is_group_signalled = is_leader_unreaped || cfg!(not(target_os = "linux"));
        if is_group_signalled {
            // Failing means that the group is empty, which is what is wanted.
            let _ = rustix::process::kill_process_group(self.group, signal);
        }
        #[cfg(target_os = "linux")]
        return linux::members(self)
            .into_iter()
            // Once only: a program that is ending after the first SIGTERM would be torn off by a second.
            .filter(|member| !(is_group_signalled && member.is_in_group))
            .filter(|&member| linux::signal_member(self, member, signal))
            .count();
        #[cfg(not(target_os = "linux"))]
        return self.count();
    }

    /// How many members are alive; zombies are not.
    pub(crate) fn count(&self) -> usize {
        #[cfg(target_os = "linux")]
        return linux::members(self).len();
        #[cfg(not(target_os = "linux"))]
        return usize::from(rustix::process::test_kill_process_group(self.group).is_ok());
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    use super::{Family, MARK_VARIABLE};

    /// A living process of the family.
    #[derive(Clone, Copy)]
    pub(super) struct Member {
        pid: Pid,
        /// In the family's process group, not only marked.
        pub(super) is_in_group: bool,
    }

    pub(super) fn members(family: &Family) -> Vec<Member> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(Pid::from_raw)
            .filter_map(|pid| member(family, pid))
            .collect()
    }

    /// Signals through a handle of the process, and looks again after taking it: the number may have
    /// been given to another process since it was listed.
    pub(super) fn signal_member(family: &Family, found: Member, signal: Signal) -> bool {
        let Ok(handle) = pidfd_open(found.pid, PidfdFlags::empty()) else {
            return false;
        };
        member(family, found.pid).is_some() && pidfd_send_signal(&handle, signal).is_ok()
    }

    fn member(family: &Family, pid: Pid) -> Option<Member> {
        let number = pid.as_raw_nonzero();
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        // The name in parentheses may hold anything; what follows the last one is fixed:
        // state, parent, group.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let state = fields.next()?;
        let group = fields.nth(1)?;
        if matches!(state, "Z" | "X") {
            return None;
        }
        if group.parse() == Ok(family.group.as_raw_nonzero().get()) {
            return Some(Member { pid, is_in_group: true });
        }
        let environment = fs::read(format!("/proc/{number}/environ")).ok()?;
        let marked = format!("{MARK_VARIABLE}={}", family.mark);
        let is_marked =
            environment.split(|&byte| byte == 0).any(|entry| entry == marked.as_bytes());
        is_marked.then_some(Member { pid, is_in_group: false })
    }
}
