//! Finding and ending every process that a supervised process left behind.
//!
//! A process group is not enough: a child may start a session of its own. So every supervised
//! process carries a random mark in its environment, which its descendants inherit, and Linux shows
//! the environment of one's own processes in `/proc`. Who is also the one that orphans are given to
//! (a *subreaper*) finds them as its descendants, whatever they did to their environment. Elsewhere
//! only the group is known.

use rustix::process::{Pid, Signal};

/// The environment variable that carries the mark.
pub(crate) const MARK_VARIABLE: &str = "CAIRN_PROCESS_MARK";

/// Names, in the environment of a process, what it works for instead: such a process and what it
/// started do not belong to the family that it was started from.
pub(crate) const SUPERVISES_VARIABLE: &str = "CAIRN_SUPERVISES";

/// How the descendants of one supervised process are recognised.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    /// The group that the process was started in; its own id.
    group: Option<Pid>,
    /// The session that the group must be in, for who cannot know that its number is still its.
    session: Option<Pid>,
    kin: Kin,
}

/// How those are recognised that left the group.
#[derive(Debug, Clone)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only the group is known there"))]
enum Kin {
    /// By this value of [`MARK_VARIABLE`].
    Marked(String),
    /// By descent from this process, itself not included.
    DescendantsOf(Pid),
}

impl Family {
    /// A process that leads a group and carries a mark.
    pub(crate) fn marked(group: Pid, mark: String) -> Self {
        Self { group: Some(group), session: None, kin: Kin::Marked(mark) }
    }

    /// What nobody watches any more: the group only counts in the session that it was made in, since
    /// both numbers cannot have been given to others together.
    pub(crate) fn left_behind(group: Option<i32>, session: i32, mark: String) -> Self {
        Self {
            group: group.and_then(Pid::from_raw),
            session: Pid::from_raw(session),
            kin: Kin::Marked(mark),
        }
    }

    /// All descendants of this process, to which orphans are given, but those that say that they
    /// work for something else.
    pub(crate) fn of_subreaper(group: Option<Pid>) -> Self {
        Self { group, session: None, kin: Kin::DescendantsOf(rustix::process::getpid()) }
    }

    /// Sends a signal once to every living member.
    ///
    /// `is_leader_unreaped` says that the process itself was not waited for yet, so that the number
    /// of its group cannot have been given to somebody else. Answers how many members were found
    /// one by one: all, or only those outside the group when the group was signalled as a whole.
    pub(crate) fn signal(&self, signal: Signal, is_leader_unreaped: bool) -> usize {
        let is_group_signalled = is_leader_unreaped || cfg!(not(target_os = "linux"));
        if is_group_signalled && let Some(group) = self.group {
            // Failing means that the group is empty, which is what is wanted.
            let _ = rustix::process::kill_process_group(group, signal);
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
        return self.group.map_or(0, |group| {
            usize::from(rustix::process::test_kill_process_group(group).is_ok())
        });
    }

    /// The numbers of all living members.
    #[cfg(target_os = "linux")]
    pub(crate) fn pids(&self) -> Vec<i32> {
        linux::members(self).into_iter().map(linux::Member::pid).collect()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::fs;

    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    use super::{Family, Kin, MARK_VARIABLE, SUPERVISES_VARIABLE};

    /// A living process of the family.
    #[derive(Clone, Copy)]
    pub(super) struct Member {
        pid: Pid,
        start_ticks: u64,
        /// In the family's process group, not only marked.
        pub(super) is_in_group: bool,
    }

    impl Member {
        pub(super) fn pid(self) -> i32 {
            self.pid.as_raw_nonzero().get()
        }
    }

    /// What `/proc/<pid>/stat` says of a living process.
    struct Stat {
        pid: Pid,
        parent: i32,
        group: i32,
        session: i32,
        start_ticks: u64,
    }

    pub(super) fn members(family: &Family) -> Vec<Member> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let stats: Vec<Stat> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(Pid::from_raw)
            .filter_map(stat)
            .collect();
        match &family.kin {
            Kin::Marked(mark) => {
                let marked = format!("{MARK_VARIABLE}={mark}");
                stats
                    .iter()
                    .filter(|stat| is_in_group(family, stat) || has_variable(stat.pid, &marked))
                    .map(|stat| member(family, stat))
                    .collect()
            }
            Kin::DescendantsOf(ancestor) => descendants(family, *ancestor, &stats),
        }
    }

    fn descendants(family: &Family, ancestor: Pid, stats: &[Stat]) -> Vec<Member> {
        let mut children: HashMap<i32, Vec<&Stat>> = HashMap::new();
        for stat in stats {
            children.entry(stat.parent).or_default().push(stat);
        }
        let mut found = Vec::new();
        let mut parents = vec![ancestor.as_raw_nonzero().get()];
        while let Some(parent) = parents.pop() {
            for stat in children.remove(&parent).unwrap_or_default() {
                if !has_variable_named(stat.pid, SUPERVISES_VARIABLE) {
                    found.push(member(family, stat));
                    parents.push(stat.pid.as_raw_nonzero().get());
                }
            }
        }
        found
    }

    /// Signals through a handle of the process, and looks again after taking it: the number may have
    /// been given to another process since it was listed.
    pub(super) fn signal_member(family: &Family, found: Member, signal: Signal) -> bool {
        let Ok(handle) = pidfd_open(found.pid, PidfdFlags::empty()) else {
            return false;
        };
        let is_still_it = stat(found.pid).is_some_and(|stat| match &family.kin {
            Kin::Marked(mark) => {
                is_in_group(family, &stat)
                    || has_variable(stat.pid, &format!("{MARK_VARIABLE}={mark}"))
            }
            // Its parent may have changed, its start has not.
            Kin::DescendantsOf(_) => stat.start_ticks == found.start_ticks,
        });
        is_still_it && pidfd_send_signal(&handle, signal).is_ok()
    }

    fn member(family: &Family, stat: &Stat) -> Member {
        Member {
            pid: stat.pid,
            start_ticks: stat.start_ticks,
            is_in_group: is_in_group(family, stat),
        }
    }

    fn is_in_group(family: &Family, stat: &Stat) -> bool {
        let raw = |pid: Pid| pid.as_raw_nonzero().get();
        family.group.is_some_and(|group| raw(group) == stat.group)
            && family.session.is_none_or(|session| raw(session) == stat.session)
    }

    fn stat(pid: Pid) -> Option<Stat> {
        let number = pid.as_raw_nonzero();
        let text = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        // The name in parentheses may hold anything; what follows the last one is fixed:
        // state, parent, group, session, and the start as the 20th.
        let (_, fields) = text.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        Some(Stat {
            pid,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            session: fields.next()?.parse().ok()?,
            start_ticks: fields.nth(15)?.parse().ok()?,
        })
    }

    fn has_variable(pid: Pid, entry: &str) -> bool {
        any_variable(pid, |variable| variable == entry.as_bytes())
    }

    fn has_variable_named(pid: Pid, name: &str) -> bool {
        any_variable(pid, |variable| {
            variable.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
        })
    }

    fn any_variable(pid: Pid, is_it: impl Fn(&[u8]) -> bool) -> bool {
        fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()))
            .is_ok_and(|environment| environment.split(|&byte| byte == 0).any(is_it))
    }
}
