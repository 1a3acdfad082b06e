//! What the interface gets to know of a run's origin, of running it again, and of how that went.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    dto::{KeyValue, Number, RunLink},
    launches::dto::LaunchView,
    projects::dto::{RunDraft, RunPlanView},
};

/// Where a run came from, as far as it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RunOrigin {
    /// Its launch, if Cairn started it here and still has its folder.
    pub launch: Option<LaunchView>,
    /// Whether there is output to read.
    pub has_log: bool,
    /// What was captured of its code.
    pub code: Option<CodeFacts>,
    /// What was captured of its environment.
    pub environment: Option<EnvironmentFacts>,
    /// The run that it repeats.
    pub rerun_of: Option<RunLink>,
    /// Runs that repeat it, newest first.
    pub reruns: Vec<RunLink>,
    /// How well it reproduced the run that it repeats.
    pub verdict: Option<Verdict>,
}

/// The code of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct CodeFacts {
    /// The project as it was given.
    pub project: Option<String>,
    /// Its entry point.
    pub entry_point: Option<String>,
    /// The exact command that ran.
    pub command: Option<String>,
    /// The folder that it ran in.
    pub folder: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The remote.
    pub remote: Option<String>,
    /// Files that differed from the commit and were kept.
    pub changed_files: Vec<String>,
    /// Files that were left out, and why.
    pub left_out: Vec<KeyValue>,
    /// Files that were read as parameters: path, size, digest.
    pub data: Vec<DataFile>,
    /// Parameters that look like seeds.
    pub seeds: Vec<KeyValue>,
    /// What is not kept, in sentences.
    pub notes: Vec<String>,
}

/// A file that a run read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct DataFile {
    /// The parameter that named it.
    pub parameter: String,
    /// Where it was.
    pub path: String,
    /// Its size, or that of all files in it.
    #[ts(type = "number | null")]
    pub size_bytes: Option<u64>,
    /// Its digest.
    pub digest: Option<String>,
}

/// The environment of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct EnvironmentFacts {
    /// The folder's name, as on the page of environments.
    pub name: Option<String>,
    /// `uv`, `conda`, `docker`, `local`.
    pub kind: Option<String>,
    /// The interpreter.
    pub python: Option<String>,
    /// The system and processor.
    pub platform: Option<String>,
    /// Packages and their versions, sorted; empty if not known.
    pub packages: Vec<KeyValue>,
    /// The file with the lock, among the run's files.
    pub lock_file: Option<String>,
}

/// How exactly a run can be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Exactness {
    /// Same code, environment and parameters.
    Exact,
    /// From what `mlflow run` noted.
    FromTags,
    /// Some things are unknown.
    BestEffort,
    /// Too little is known.
    NotPossible,
}

/// Something that a rerun does not have from the first run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RerunUnknown {
    /// What: `the environment`.
    pub what: String,
    /// Why, and what is used instead.
    pub why: String,
}

/// Something else that can be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RerunOffer {
    /// `Run the notebook from start to end`.
    pub title: String,
    /// What would be asked for; `None` for advice.
    pub draft: Option<RunDraft>,
}

/// What a rerun would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RerunPlanView {
    /// The run to repeat.
    pub run: RunLink,
    /// How exactly.
    pub exactness: Exactness,
    /// The same in a sentence about this run.
    pub summary: String,
    /// What is as it was: what, and in which form.
    pub restores: Vec<KeyValue>,
    /// What is not.
    pub unknown: Vec<RerunUnknown>,
    /// What can be done instead, or beside it.
    pub offers: Vec<RerunOffer>,
    /// What would be asked for; the form is filled with it. `None` if nothing can run.
    pub draft: Option<RunDraft>,
    /// What would run.
    pub plan: Option<RunPlanView>,
}

/// Starts a rerun.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct RerunStart {
    /// The run to repeat.
    pub run_id: String,
    /// As in [`crate::projects::dto::RunStart::allow`].
    #[serde(default)]
    pub allow: Option<String>,
}

/// How well a run reproduced another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Verdict {
    /// The same values.
    Reproduced,
    /// Values that differ by no more than allowed.
    WithinTolerance,
    /// Values that differ.
    Differs,
}

impl From<cairn_projects::report::Verdict> for Verdict {
    fn from(verdict: cairn_projects::report::Verdict) -> Self {
        use cairn_projects::report::Verdict as Outcome;
        match verdict {
            Outcome::Reproduced => Self::Reproduced,
            Outcome::WithinTolerance => Self::WithinTolerance,
            Outcome::Differs => Self::Differs,
        }
    }
}

/// A metric of both runs.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct MetricComparison {
    /// Its name.
    pub key: String,
    /// In the first run.
    pub original: Option<Number>,
    /// In the rerun.
    pub rerun: Option<Number>,
    /// Rerun minus original; `None` if one is missing.
    pub difference: Option<Number>,
    /// The tolerance, for a person: `± 0.001`.
    pub tolerance: String,
    /// How it compares.
    pub verdict: Verdict,
}

/// A file or fact of both runs that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Difference {
    /// What.
    pub name: String,
    /// In the first run; `None` if it was not there.
    pub original: Option<String>,
    /// In the rerun.
    pub rerun: Option<String>,
}

/// A likely cause of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct LikelyCause {
    /// What changed, in a sentence.
    pub what: String,
    /// Why that may matter; may be empty.
    pub why: String,
}

/// The reproduction report of a rerun.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ReproductionView {
    /// The run that was repeated, if it is still here.
    pub original: Option<RunLink>,
    /// Its id.
    pub original_run_id: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The verdict in a sentence.
    pub summary: String,
    /// Metrics, those that differ first.
    pub metrics: Vec<MetricComparison>,
    /// Files that are the same in both.
    #[ts(type = "number")]
    pub same_files: u64,
    /// Files that differ.
    pub files: Vec<Difference>,
    /// What differs in the environment.
    pub environment: Vec<Difference>,
    /// What differs in the code, parameters and data.
    pub code: Vec<Difference>,
    /// Likely causes, likeliest first.
    pub causes: Vec<LikelyCause>,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
}
