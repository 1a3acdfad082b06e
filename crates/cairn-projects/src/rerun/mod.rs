//! Running a past run again: what would run, how exactly, and what cannot be known.
//!
//! [`plan`] starts nothing and fetches nothing but the run's record. What it answers is a
//! [`RunRequest`] like any other; [`start`] makes a launch of it. At the end of that launch
//! [`write_report`] compares the two runs.

use serde::{Deserialize, Serialize};

use crate::{report::RunLabel, request::RunRequest};

mod check;
mod planning;

pub use check::{
    CHECK_FOLDER, TOLERANCES_TAG, read_report, set_tolerances, start, tolerances, write_report,
};
pub use planning::plan;

/// How near a rerun can come to its original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exactness {
    /// Started by Cairn: the code as it was, the environment from its lock, the same parameters.
    Exact,
    /// Started by `mlflow run`: what its tags say.
    FromTags,
    /// A script that logged: its file, the commit, and parameters that look like its options.
    BestEffort,
    /// A notebook, or nothing is known.
    NotPossible,
}

/// What would run, and how near it comes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RerunPlan {
    /// The run that would be repeated.
    pub original: RunLabel,
    /// How near it can come.
    pub exactness: Exactness,
    /// One sentence for people.
    pub summary: String,
    /// What would be asked for; `None` when it is not possible. `Run again with changes` is this with
    /// other parameters.
    pub request: Option<RunRequest>,
    /// What is put back as it was, in the order in which it is told.
    pub restores: Vec<Restored>,
    /// What cannot be put back, or may have been otherwise.
    pub unknown: Vec<Unknown>,
    /// What can be done instead, or beside it.
    pub offers: Vec<Offer>,
}

/// Something that is put back as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// `Code`, `Environment`, `Parameters`, `Data`.
    pub what: String,
    /// `commit 3f2a1b4 with 2 changed files`, `43 packages from the lock`.
    pub detail: String,
}

/// Something that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// `Environment`, `Command line`.
    pub what: String,
    /// Why, as a sentence.
    pub why: String,
}

/// Something else that can be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// On a button: `Run the notebook from start to end`.
    pub title: String,
    /// What would be asked for; `None` when it is advice only.
    pub request: Option<RunRequest>,
}

impl RerunPlan {
    /// The request with parameters changed or added: *Run again with changes*, `-P name=value`.
    pub fn with_params(&self, changes: &[(String, String)]) -> Option<RunRequest> {
        let mut request = self.request.clone()?;
        for (name, value) in changes {
            match request.params.iter_mut().find(|(known, _)| known == name) {
                Some(known) => known.1.clone_from(value),
                None => request.params.push((name.clone(), value.clone())),
            }
        }
        Some(request)
    }
}
