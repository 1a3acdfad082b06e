//! Which trials there are, and how far they are.
//!
//! The list is a file of the sweep's launch, one line for each trial, on disk before the trial is
//! submitted. Its launch's id is chosen beforehand: a line whose launch is not there was never
//! submitted, any other one was, so no kill makes a trial run twice or not at all.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use cairn_core::run::RunStatus;
use cairn_runtime::{
    RuntimeError,
    launch::{CAUSE_TAG, Cause, LaunchId, LaunchState, Launches},
    tracking::{RunRecord, Tracking},
};
use serde::{Deserialize, Serialize};

use super::{PRUNED_TAG, TRIAL_TAG, TrialParams};
use crate::error::{ProjectError, Result};

const FILE: &str = "trials.jsonl";

/// A line of the list. A later line of the same number takes the place of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trial {
    /// From 1 on.
    pub number: usize,
    pub params: TrialParams,
    /// `None` for one that is known from the store alone.
    pub launch_id: Option<LaunchId>,
    /// Its run, where it is known beforehand.
    #[serde(default)]
    pub run_id: Option<String>,
}

/// How far a trial is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Progress {
    /// Its line was written and its launch was not.
    NotSubmitted,
    /// It waits, or is at work.
    Active { run_id: Option<String>, is_running: bool },
    /// It is over.
    Ended(Outcome),
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub run_id: Option<String>,
    pub status: RunStatus,
    pub is_pruned: bool,
    /// Whether it did not get its chance: it was stopped, or its supervisor vanished.
    pub is_interrupted: bool,
    /// For people, when it did not end well.
    pub cause: Option<String>,
}

pub(super) struct List {
    path: PathBuf,
    pub trials: Vec<Trial>,
}

impl List {
    /// Reads the list of a launch; an incomplete last line is one that was never acted upon.
    pub(super) fn open(launch_folder: &Path) -> Result<Self> {
        let path = launch_folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(ProjectError::io("reading", path)(error)),
        };
        let mut list = Self { path, trials: Vec::new() };
        if !text.is_empty() && !text.ends_with('\n') {
            list.write(b"\n")?;
        }
        for trial in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            list.put(trial);
        }
        Ok(list)
    }

    /// Takes over the list of an earlier launch of the same sweep.
    pub(super) fn copy(from_folder: &Path, to_folder: &Path) {
        // Without it the trials are read from the store.
        let _ = fs::copy(from_folder.join(FILE), to_folder.join(FILE));
    }

    /// Writes a trial down; it is on disk when this returns.
    pub(super) fn add(&mut self, trial: Trial) -> Result<()> {
        let mut line = serde_json::to_vec(&trial)
            .map_err(|error| ProjectError::io("writing", &self.path)(error.into()))?;
        line.push(b'\n');
        self.write(&line)?;
        self.put(trial);
        Ok(())
    }

    /// Whether neither a launch nor a run is known of a trial.
    pub(super) fn is_lost(&self, number: usize, launches: &Launches) -> bool {
        let Some(trial) = self.trials.iter().find(|trial| trial.number == number) else {
            return true;
        };
        let is_there = |id: &LaunchId| launches.folder(id).is_dir();
        trial.run_id.is_none() && !trial.launch_id.as_ref().is_some_and(is_there)
    }

    fn put(&mut self, trial: Trial) {
        match self.trials.iter_mut().find(|known| known.number == trial.number) {
            Some(known) => *known = trial,
            None => self.trials.push(trial),
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        let write = || -> io::Result<()> {
            let mut file =
                OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
            file.write_all(bytes)?;
            file.sync_data()
        };
        write().map_err(ProjectError::io("writing", &self.path))
    }
}

/// The trials that the store knows, for a sweep whose launch is gone.
pub(super) fn from_store(children: &[RunRecord], names: &[&str]) -> Vec<Trial> {
    let mut found: Vec<Trial> = Vec::new();
    for run in children {
        let Some(number) = run.tags.get(TRIAL_TAG).and_then(|text| text.parse().ok()) else {
            continue;
        };
        let params = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), run.params.get(*name)?.clone())))
            .collect();
        let trial =
            Trial { number, params, launch_id: None, run_id: Some(run.info.run_id.clone()) };
        match found.iter_mut().find(|known| known.number == number) {
            // Of several attempts the one that ended well counts.
            Some(known) if run.info.status == RunStatus::Finished => *known = trial,
            Some(_) => {}
            None => found.push(trial),
        }
    }
    found.sort_by_key(|trial| trial.number);
    found
}

impl Trial {
    /// How far it is, by its launch, else by its run.
    pub(super) fn progress(&self, launches: &Launches, tracking: &Tracking) -> Result<Progress> {
        let launch = match &self.launch_id {
            Some(id) => match launches.get(id) {
                Ok(launch) => Some(launch),
                Err(RuntimeError::NoSuchLaunch(_)) => None,
                Err(error) => return Err(error.into()),
            },
            None => None,
        };
        let Some(launch) = launch else {
            let Some(run_id) = &self.run_id else { return Ok(Progress::NotSubmitted) };
            let run = tracking.get_run(run_id)?;
            let status = run.info.status;
            return Ok(Progress::Ended(Outcome {
                run_id: Some(run_id.clone()),
                status,
                is_pruned: run.tags.contains_key(PRUNED_TAG),
                is_interrupted: status == RunStatus::Running
                    || (status == RunStatus::Killed && !run.tags.contains_key(PRUNED_TAG)),
                cause: run.tags.get(CAUSE_TAG).cloned(),
            }));
        };
        let LaunchState::Ended { status, cause } = &launch.state else {
            let is_running = matches!(launch.state, LaunchState::Running);
            return Ok(Progress::Active { run_id: launch.run_id, is_running });
        };
        let is_pruned = match &launch.run_id {
            Some(run_id) if *status == RunStatus::Killed => {
                tracking.get_run(run_id)?.tags.contains_key(PRUNED_TAG)
            }
            _ => false,
        };
        Ok(Progress::Ended(Outcome {
            run_id: launch.run_id.clone(),
            status: *status,
            is_pruned,
            is_interrupted: !is_pruned && matches!(cause, Cause::Stopped | Cause::Vanished),
            cause: (*status != RunStatus::Finished).then(|| cause.to_string()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(number: usize, value: &str) -> Trial {
        Trial {
            number,
            params: TrialParams::from([("x".to_owned(), value.to_owned())]),
            launch_id: Some(LaunchId::new()),
            run_id: None,
        }
    }

    #[test]
    fn a_trial_without_its_launch_and_without_a_run_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let launches = Launches::new(folder.path());
        let mut list = List::open(folder.path()).unwrap();
        let there = trial(1, "a");
        fs::create_dir_all(launches.folder(there.launch_id.as_ref().unwrap())).unwrap();
        list.add(there).unwrap();
        list.add(trial(2, "b")).unwrap();
        list.add(Trial { run_id: Some("r".to_owned()), ..trial(3, "c") }).unwrap();
        let known = [1, 2, 3, 4].map(|number| list.is_lost(number, &launches));
        assert_eq!(known, [false, true, false, true]);
    }

    #[test]
    fn a_list_comes_back_after_a_kill_in_the_middle_of_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut list = List::open(folder.path()).unwrap();
        list.add(trial(1, "a")).unwrap();
        list.add(trial(2, "b")).unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join(FILE))
            .unwrap()
            .write_all(b"{\"number\":3,\"par")
            .unwrap();
        let mut list = List::open(folder.path()).unwrap();
        assert_eq!(list.trials.len(), 2);
        list.add(trial(3, "c")).unwrap();
        list.add(trial(2, "d")).unwrap();
        let list = List::open(folder.path()).unwrap();
        let values: Vec<&str> =
            list.trials.iter().map(|trial| trial.params["x"].as_str()).collect();
        assert_eq!(values, ["a", "d", "c"]);
    }
}
