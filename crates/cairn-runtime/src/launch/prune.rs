//! Forgetting launches that ended long ago.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use super::{Launch, LaunchId, Launches, ids_in};
use crate::error::Result;

/// What is kept of launches that are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// So many of the newest, whatever their age.
    pub newest: usize,
    /// Those that ended within this time, however many.
    pub younger_than: Duration,
}

impl Default for Keep {
    /// The newest 2,000 and those of the last 30 days: more than a page lists, and enough to resume and
    /// compare what one still works on.
    fn default() -> Self {
        Self { newest: 2_000, younger_than: Duration::from_hours(30 * 24) }
    }
}

impl Launches {
    /// Deletes the folders of launches that ended long ago; their runs stay. Answers how many went.
    ///
    /// A launch stays, whatever its age, while it is not over, while the launch that submitted it is not
    /// over, while the tracking server was not told its end, and when its folder has the only copy of
    /// what its run printed ([`Launch::note_log_kept`]). Any number of programs may do it at once.
    /// `is_cancelled` is asked before each launch. Waits for the disk: not for async threads.
    ///
    /// Errors: the list of launches cannot be read. A launch that cannot be read or deleted stays.
    pub fn prune(&self, keep: &Keep, is_cancelled: &dyn Fn() -> bool) -> Result<usize> {
        self.clear_forgotten();
        let active: HashSet<LaunchId> = self.active_ids()?.into_iter().collect();
        let mut ended: Vec<LaunchId> =
            ids_in(&self.root)?.into_iter().filter(|id| !active.contains(id)).collect();
        if ended.len() <= keep.newest {
            return Ok(0);
        }
        // Names in order are launches in order.
        ended.sort_unstable_by(|a, b| b.cmp(a));
        let age = i64::try_from(keep.younger_than.as_millis()).unwrap_or(i64::MAX);
        let before_ms = crate::now_ms().saturating_sub(age);
        let mut count = 0;
        for id in &ended[keep.newest..] {
            if is_cancelled() {
                break;
            }
            match self.prune_one(id, before_ms, &active) {
                Ok(true) => count += 1,
                Ok(false) => {}
                Err(error) => tracing::warn!(launch = %id, %error, "an old launch is kept"),
            }
        }
        Ok(count)
    }

    fn prune_one(&self, id: &LaunchId, before_ms: i64, active: &HashSet<LaunchId>) -> Result<bool> {
        // Held: someone is at it.
        let Some(_lock) = self.try_lock(id)? else { return Ok(false) };
        let launch = self.get(id)?;
        let is_old = launch.ended_ms.is_some_and(|ended_ms| ended_ms < before_ms);
        let is_awaited =
            launch.spec.parent_launch.as_ref().is_some_and(|parent| active.contains(parent));
        let goes = launch.state.is_ended() && is_old && !is_awaited && !launch.has_only_log();
        if goes {
            self.forget(id)?;
        }
        Ok(goes)
    }

    /// Deletes what is left of launches whose deletion was interrupted.
    fn clear_forgotten(&self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.ends_with(FORGOTTEN)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// How the name of a folder ends that is being deleted.
pub(super) const FORGOTTEN: &str = ".forgotten";

impl Launch {
    /// Whether a run has what it printed nowhere else.
    fn has_only_log(&self) -> bool {
        self.run_id.is_some() && !self.is_log_kept
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cause, Event, LaunchKind, LaunchSpec, Ledger, write_file, write_json};
    use super::*;

    const RUN: &str = "0123456789abcdef0123456789abcdef";

    /// A launch that was submitted as the `nth`, and what happened to it.
    fn launch(launches: &Launches, nth: u32, events: &[Event]) -> LaunchId {
        let mut spec = LaunchSpec::new("train", LaunchKind::Project, "http://127.0.0.1:9");
        spec.launch_id = format!("{nth:032x}").parse().unwrap();
        launch_of(launches, &spec, events)
    }

    fn launch_of(launches: &Launches, spec: &LaunchSpec, events: &[Event]) -> LaunchId {
        let folder = launches.folder(&spec.launch_id);
        fs::create_dir_all(&folder).unwrap();
        write_json(&folder.join("launch.json"), spec).unwrap();
        for event in events {
            Ledger::append(&folder, event).unwrap();
        }
        spec.launch_id.clone()
    }

    fn closed() -> Event {
        let cause = Cause::Code { code: 0 };
        Event::Closed { status: "FINISHED".to_owned(), cause, is_reported: true }
    }

    fn left(launches: &Launches) -> Vec<u32> {
        let mut left: Vec<u32> = ids_in(&launches.root)
            .unwrap()
            .iter()
            .map(|id| u32::from_str_radix(&id.as_str()[24..], 16).unwrap())
            .collect();
        left.sort_unstable();
        left
    }

    fn all() -> Keep {
        Keep { newest: 0, younger_than: Duration::ZERO }
    }

    fn prune(launches: &Launches, keep: Keep) -> usize {
        // What ended just now is older than nothing only a moment later.
        std::thread::sleep(Duration::from_millis(3));
        launches.prune(&keep, &|| false).unwrap()
    }

    #[test]
    fn the_newest_and_the_young_are_kept() {
        let data_dir = tempfile::tempdir().unwrap();
        let launches = Launches::new(data_dir.path());
        assert_eq!(prune(&launches, all()), 0, "there is nothing");
        for nth in 1..=5 {
            launch(&launches, nth, &[closed()]);
        }
        assert_eq!(prune(&launches, Keep::default()), 0);
        assert_eq!(prune(&launches, Keep { newest: 0, ..Keep::default() }), 0, "all are young");
        assert_eq!(launches.prune(&all(), &|| true).unwrap(), 0, "it was cancelled");
        assert_eq!(prune(&launches, Keep { newest: 2, ..all() }), 3);
        assert_eq!(left(&launches), [4, 5]);
    }

    #[test]
    fn what_is_not_over_stays() {
        let data_dir = tempfile::tempdir().unwrap();
        let launches = Launches::new(data_dir.path());
        let supervised = launch(&launches, 1, &[Event::Finishing]);
        // Over, but the tracking server does not know yet.
        let untold = launch(&launches, 2, &[closed()]);
        fs::create_dir_all(launches.root.join("active")).unwrap();
        write_file(&launches.root.join("active").join(untold.as_str()), b"").unwrap();
        let mut trial = LaunchSpec::new("trial", LaunchKind::Project, "http://127.0.0.1:9");
        trial.launch_id = format!("{:032x}", 3).parse().unwrap();
        trial.parent_launch = Some(untold);
        launch_of(&launches, &trial, &[closed()]);
        let held = launch(&launches, 4, &[closed()]);
        let lock = launches.try_lock(&held).unwrap().unwrap();
        assert_eq!(prune(&launches, all()), 0);
        assert_eq!(left(&launches), [1, 2, 3, 4]);

        drop(lock);
        Ledger::append(&launches.folder(&supervised), &closed()).unwrap();
        assert_eq!(prune(&launches, all()), 2);
        assert_eq!(left(&launches), [2, 3], "the sweep and its trial");
    }

    #[test]
    fn the_only_log_of_a_run_stays() {
        let data_dir = tempfile::tempdir().unwrap();
        let launches = Launches::new(data_dir.path());
        let run = || Event::Run { run_id: RUN.to_owned() };
        launch(&launches, 1, &[run(), closed()]);
        launch(&launches, 2, &[run(), Event::LogKept, closed()]);
        launch(&launches, 3, &[closed()]);
        assert_eq!(prune(&launches, all()), 2);
        assert_eq!(left(&launches), [1]);
    }

    #[test]
    fn a_run_is_still_found_when_an_earlier_launch_of_it_is_forgotten() {
        let data_dir = tempfile::tempdir().unwrap();
        let launches = Launches::new(data_dir.path());
        fs::create_dir_all(launches.root.join("runs")).unwrap();
        let run = || Event::Run { run_id: RUN.to_owned() };
        let earlier = launch(&launches, 1, &[run(), closed()]);
        let resumed = launch(&launches, 2, &[run(), closed()]);
        launches.note_run(&resumed, RUN).unwrap();
        launches.forget(&earlier).unwrap();
        assert_eq!(launches.by_run(RUN).unwrap().unwrap().spec.launch_id, resumed);
        launches.forget(&resumed).unwrap();
        assert!(launches.by_run(RUN).unwrap().is_none());
        assert!(!launches.root.join("runs").join(RUN).exists());
    }

    #[test]
    fn what_an_interrupted_deletion_left_goes() {
        let data_dir = tempfile::tempdir().unwrap();
        let launches = Launches::new(data_dir.path());
        let half = launches.root.join(format!("{RUN}{FORGOTTEN}"));
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("launch.json"), "{}").unwrap();
        assert_eq!(left(&launches), [0_u32; 0], "it is no launch any more");
        prune(&launches, Keep::default());
        assert!(!half.exists());
    }
}
