//! What the interface gets to know of projects and of what would run.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::dto::{CommandErrorText, KeyValue, Number, RunLink};

/// Which project.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct ProjectRef {
    /// A folder, a git address, an archive; `#folder` names a folder in it.
    pub uri: String,
    /// A branch, tag or commit; `None` is what is there, or the remote's head.
    #[serde(default)]
    pub version: Option<String>,
}

/// Where a project comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ProjectKind {
    /// A folder on this computer.
    Folder,
    /// A git repository.
    Git,
    /// A zip archive.
    Archive,
}

/// Something in a project's files that cannot be used, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ProjectProblem {
    /// The file, below the project's folder.
    pub file: String,
    /// The line, from 1; `None` if it is about the whole file.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

/// A project in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ProjectSummary {
    /// Its address, which names it.
    pub uri: String,
    /// Its name: what its file says, or its folder's.
    pub name: String,
    /// Where it is, as a person writes it.
    pub place: String,
    /// Where it comes from.
    pub kind: ProjectKind,
    /// Entry points that it declares; `None` while that is not known.
    pub entry_point_count: Option<u32>,
    /// The latest run of it in this store.
    pub last_run: Option<RunLink>,
    /// When that run started.
    #[ts(type = "number | null")]
    pub last_run_time: Option<i64>,
    /// Runs of it in this store.
    #[ts(type = "number")]
    pub run_count: u64,
    /// Why it cannot be run as it is.
    pub problem: Option<ProjectProblem>,
    /// Whether the person added it, so that it stays without runs.
    pub is_added: bool,
}

/// A parameter of an entry point, as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ProjectParameter {
    /// Its name.
    pub name: String,
    /// `string`, `float`, `path`, `uri`, or what the file says.
    pub kind: String,
    /// What it is when nothing is given; `None` if something must be given.
    pub default: Option<String>,
}

/// Something in a project that can be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ProjectEntryPoint {
    /// Its name; for a script, its path.
    pub name: String,
    /// Its command with places for parameters; `None` for a script.
    pub command: Option<String>,
    /// Its parameters, in the order of the file.
    pub parameters: Vec<ProjectParameter>,
    /// Whether it is a script or notebook that the file does not declare.
    pub is_script: bool,
}

/// A step of a declared pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct PipelineStep {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub entry_point: String,
    /// The steps that it waits for.
    pub needs: Vec<String>,
    /// How it went, or goes, in the latest run of the pipeline.
    pub last: Option<PipelineStepRun>,
}

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct PipelineStepRun {
    /// Where it stands.
    pub state: PipelineStepState,
    /// Its run; that of an earlier time where nothing had changed.
    pub run: Option<RunLink>,
    /// Why it failed or was not run.
    pub why: Option<String>,
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum PipelineStepState {
    /// Not begun.
    Waiting,
    /// Works.
    Running,
    /// Ended well.
    Finished,
    /// Nothing had changed since an earlier run, whose outputs are used.
    Cached,
    /// Ended by an error.
    Failed,
    /// Stopped.
    Killed,
    /// Not run, because a step that it needs failed.
    Skipped,
}

/// All about one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ProjectDetail {
    /// Its address.
    pub uri: String,
    /// Its name.
    pub name: String,
    /// Where it is, as a person writes it.
    pub place: String,
    /// Where it comes from.
    pub kind: ProjectKind,
    /// Whether its files are on this computer; when not, fetching brings them.
    pub is_here: bool,
    /// What can be run, declared ones first.
    pub entry_points: Vec<ProjectEntryPoint>,
    /// What its environment is made from: `conda.yaml`, `uv.lock` …; `None` if nothing says.
    pub environment: Option<String>,
    /// The commit of its folder, if it is in a repository.
    pub commit: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// Its pipeline; empty if it declares none.
    pub steps: Vec<PipelineStep>,
    /// What can be given when the pipeline is started, in the order of the file.
    pub pipeline_parameters: Vec<ProjectParameter>,
    /// Why it cannot be run as it is.
    pub problems: Vec<ProjectProblem>,
    /// Its latest runs in this store, newest first, at most 20.
    pub runs: Vec<ProjectRun>,
}

/// A run of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ProjectRun {
    /// The run.
    pub run: RunLink,
    /// Its entry point.
    pub entry_point: String,
    /// When it started.
    #[ts(type = "number | null")]
    pub start_time: Option<i64>,
    /// When it ended.
    #[ts(type = "number | null")]
    pub end_time: Option<i64>,
}

/// What a person wants to run, as the form has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct RunDraft {
    /// The project.
    pub uri: String,
    /// A branch, tag or commit.
    #[serde(default)]
    pub version: Option<String>,
    /// What of it.
    pub entry_point: String,
    /// Parameters given, declared ones and others, in order.
    #[serde(default)]
    pub params: Vec<KeyValue>,
    /// The experiment's name; `None` is the default one.
    #[serde(default)]
    pub experiment: Option<String>,
    /// The run's name; `None` lets one be made.
    #[serde(default)]
    pub run_name: Option<String>,
    /// `uv`, `conda`, `docker`, `local`; `None` as the project says.
    #[serde(default)]
    pub env_manager: Option<String>,
    /// Whether it starts at once, whatever runs and waits.
    #[serde(default)]
    pub at_once: bool,
    /// The run whose code and environment it uses, as far as they were kept.
    #[serde(default)]
    pub rerun_of: Option<String>,
}

/// Where a parameter's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ParamOrigin {
    /// The person gave it.
    Given,
    /// The project's default.
    Default,
    /// Given, and not declared by the project.
    Extra,
    /// Nothing was given and there is no default.
    Missing,
}

/// A parameter as it would be passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct PlannedParam {
    /// Its name.
    pub name: String,
    /// Its value; empty if missing.
    pub value: String,
    /// Its declared type.
    pub kind: String,
    /// Where the value comes from.
    pub origin: ParamOrigin,
    /// Why the value cannot be used.
    pub problem: Option<String>,
}

/// The environment that something would run in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct PlannedEnvironment {
    /// `uv`, `conda`, `docker`, `local`.
    pub kind: String,
    /// What it is made of, for a person: `Python 3.11, 14 packages`.
    pub summary: String,
    /// The files that say so.
    pub files: Vec<String>,
    /// Whether it is there already; `None` where nothing is built.
    pub is_built: Option<bool>,
    /// Where it is or will be.
    pub folder: Option<String>,
}

/// What would run. Nothing was started or fetched to find this out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RunPlanView {
    /// The exact command, as a shell would read it.
    pub command: String,
    /// The folder that it runs in.
    pub folder: String,
    /// The environment.
    pub environment: PlannedEnvironment,
    /// Its parameters.
    pub params: Vec<PlannedParam>,
    /// Environment variables that are added.
    pub variables: Vec<KeyValue>,
    /// Names the project's content: what consent is given to.
    pub content_hash: String,
    /// Whether this content was allowed to run before.
    pub is_allowed: bool,
    /// Why it cannot run.
    pub problems: Vec<ProjectProblem>,
    /// What to know before it runs.
    pub warnings: Vec<String>,
}

/// Starts a run.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct RunStart {
    /// What to run.
    pub draft: RunDraft,
    /// The content that the person allows to run now, from [`RunPlanView::content_hash`]; `None`
    /// if it was allowed before.
    #[serde(default)]
    pub allow: Option<String>,
}

/// Starts a pipeline.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct PipelineStart {
    /// The project, and the pipeline's own parameters; the entry point is not used.
    pub draft: RunDraft,
    /// As in [`RunStart::allow`].
    #[serde(default)]
    pub allow: Option<String>,
    /// Whether steps run although nothing changed.
    #[serde(default)]
    pub ignore_cache: bool,
}

/// Goes on with a pipeline or a sweep that ended before its parts did.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct RunResume {
    /// Its run.
    pub run_id: String,
    /// As in [`RunStart::allow`].
    #[serde(default)]
    pub allow: Option<String>,
}

/// What a run is made of, where it is more than one.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum RunParts {
    /// The steps of a pipeline.
    Pipeline {
        /// In the order of the file.
        steps: Vec<PipelineStep>,
        /// Whether it ended before its steps did, and can be gone on with.
        can_resume: bool,
    },
    /// The trials of a sweep.
    Sweep {
        /// `7 of 20 done, 1 pruned`.
        progress: String,
        /// The parameters that vary.
        names: Vec<String>,
        /// The metric that tells which trial is best.
        metric: Option<String>,
        /// Whether larger is better.
        maximize: bool,
        /// Those that have a run: the best one, those at work, then the others from good to bad; by
        /// number where no metric tells. At most 500.
        trials: Vec<SweepTrial>,
        /// How many have a run.
        #[ts(type = "number")]
        total: u64,
        /// Whether it ended before its trials did, and can be gone on with.
        can_resume: bool,
    },
}

/// One trial of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct SweepTrial {
    /// From 1 on.
    pub number: u32,
    /// Its run.
    pub run: RunLink,
    /// What it got for the parameters that vary, in their order; empty where it is not logged.
    pub values: Vec<String>,
    /// The latest value of the metric, if it logged one.
    pub value: Option<Number>,
    /// Why it was stopped early, if it fell behind.
    pub pruned: Option<String>,
    /// Whether it is the best one that ended well.
    pub is_best: bool,
}

/// How the values of a sweep are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum SweepMethod {
    /// Every combination.
    Grid,
    /// By chance.
    Random,
    /// By what earlier trials gave (tree-structured Parzen estimator).
    Tpe,
}

/// The values that a parameter may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum SweepValues {
    /// One of these texts.
    Choice {
        /// In order.
        values: Vec<String>,
    },
    /// A number between two.
    Range {
        /// The smallest.
        low: f64,
        /// The largest.
        high: f64,
        /// Whether only whole numbers.
        is_whole: bool,
        /// Whether steps are factors.
        is_log: bool,
    },
}

/// One parameter of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct SweepParam {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: SweepValues,
}

/// How an entry point is run for several values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct SweepDraft {
    /// How values are chosen.
    pub method: SweepMethod,
    /// What varies.
    pub params: Vec<SweepParam>,
    /// The metric that tells which trial is best; needed by `tpe`.
    #[serde(default)]
    pub metric: Option<String>,
    /// Whether larger is better.
    #[serde(default)]
    pub maximize: bool,
    /// How many trials; for a grid, at most this many.
    pub trials: u32,
    /// How many at a time.
    pub parallel: u32,
    /// Whether trials that fall behind are stopped early.
    #[serde(default)]
    pub prune: bool,
}

/// Looks at or starts a sweep.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct SweepStart {
    /// What to run, with the values that do not vary.
    pub draft: RunDraft,
    /// What varies.
    pub sweep: SweepDraft,
    /// As in [`RunStart::allow`].
    #[serde(default)]
    pub allow: Option<String>,
}

/// What a sweep would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct SweepPlanView {
    /// How many runs it would start.
    #[ts(type = "number")]
    pub trials: u64,
    /// The first of them: what each would run.
    pub first: RunPlanView,
    /// Why it cannot start.
    pub problems: Vec<CommandErrorText>,
}
