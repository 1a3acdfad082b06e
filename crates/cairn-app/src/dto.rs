//! What travels between the window and Rust: arguments, answers and live messages.
//!
//! Every type here is generated to TypeScript (`cargo xtask codegen`). They are made by hand from
//! the store's types at this edge; the store's own types never travel. Times are milliseconds since
//! 1970 by the clock of the machine that wrote them; sizes are bytes.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A refused or failed command, in words for the person at the window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct CommandError {
    /// What kind of failure, for screens that treat some kinds in their own way.
    pub code: ErrorCode,
    /// What failed, and for which thing.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The technical cause, to copy into a report.
    pub detail: Option<String>,
    /// The place in the text that was refused; only for filters and formulas. In UTF-16 units, as the browser
    /// counts.
    pub span: Option<TextSpan>,
}

/// Kinds of failure that some screen treats in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ErrorCode {
    /// A filter that cannot be read; `span` says where.
    InvalidFilter,
    /// A formula that cannot be read; `span` says where, if it is known.
    InvalidFormula,
    /// Any other refused input.
    InvalidInput,
    /// The thing asked for does not exist (any more).
    NotFound,
    /// No store is open.
    NoStore,
    /// The store could not be opened; the one that was open stays open.
    CannotOpen,
    /// The store is open for reading only.
    ReadOnly,
    /// Another program holds the database; trying again may work.
    Busy,
    /// The disk is full.
    DiskFull,
    /// The task was stopped by the person.
    Cancelled,
    /// It would run code that the person has not allowed to run, or that changed since.
    NeedsConsent,
    /// This host cannot do that (the browser has no native dialogs).
    Unsupported,
    /// Everything else.
    Internal,
}

/// A place in a text, in UTF-16 units: `start` inclusive, `end` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct TextSpan {
    /// First unit.
    pub start: u32,
    /// First unit after the place.
    pub end: u32,
}

/// What this program is and can do here.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct AppInfo {
    /// Cairn's version.
    pub version: String,
    /// Whether `path.pick` can open the system's dialog.
    pub has_native_dialogs: bool,
    /// Where a store is opened when none was chosen.
    pub default_store: String,
}

/// What a person chose to keep between starts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Settings {
    /// Light, dark, or as the system says.
    pub theme: Theme,
    /// Stores opened before, most recent first; the first one is opened at the next start.
    pub recent_stores: Vec<String>,
    /// The port for MLflow clients; another one is taken while it is in use.
    pub port: Option<u16>,
    /// Whether MLflow clients must send the token.
    pub requires_token: bool,
}

/// The token of MLflow clients.
#[derive(Clone, Serialize, TS)]
#[ts(export)]
pub struct ClientToken {
    /// The token, 64 hexadecimal digits; clients send it when `MLFLOW_TRACKING_TOKEN` is set to it.
    pub token: String,
    /// The file that it is kept in.
    pub path: String,
}

/// The colours of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Theme {
    /// As the system says.
    #[default]
    System,
    /// Dark text on light ground.
    Light,
    /// Light text on dark ground.
    Dark,
}

/// The open store.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct StoreStatus {
    /// The folder that holds `mlflow.db`.
    pub path: String,
    /// The folder as a person writes it (`~/projects/churn`).
    pub display_path: String,
    /// The revision of MLflow's schema that the file has, and the MLflow release that made it.
    pub revision: String,
    /// The MLflow release line of the revision, such as `3.0`; `None` if it is not known.
    pub mlflow_release: Option<String>,
    /// Set when the store can only be read: the reason, in a sentence.
    pub read_only: Option<String>,
    /// Where MLflow clients reach this store.
    pub server: ServerStatus,
    /// Runs that are RUNNING now, over all experiments.
    #[ts(type = "number")]
    pub running_runs: u64,
    /// Whether the store has any run at all (deleted ones included).
    pub has_runs: bool,
    /// Free bytes on the disk of the store.
    #[ts(type = "number | null")]
    pub disk_free_bytes: Option<u64>,
}

/// The backups of a store.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct BackupList {
    /// Where they lie, as a person writes it.
    pub folder: String,
    /// Newest first.
    pub backups: Vec<BackupEntry>,
    /// Why the last one that was due could not be taken; `None` if all is well.
    pub failure: Option<String>,
}

/// One backup.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct BackupEntry {
    /// Its name, for `backup.restore` and `cairn restore`.
    pub name: String,
    /// The moment whose state it holds, milliseconds since 1970.
    #[ts(type = "number")]
    pub taken_at: i64,
    /// Its size.
    #[ts(type = "number")]
    pub size_bytes: u64,
}

/// What putting a backup back did.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct BackupRestored {
    /// Where the database that was replaced is kept; `None` if there was none.
    pub replaced: Option<String>,
    /// Minutes from the backup to the last change of the replaced database, rounded up: what
    /// happened then is only in it.
    #[ts(type = "number")]
    pub lost_minutes: u64,
}

/// Whether MLflow clients can reach the store.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
#[ts(export)]
pub enum ServerStatus {
    /// Listening.
    Listening {
        /// The address for `mlflow.set_tracking_uri`.
        tracking_uri: String,
        /// Set when the usual port was taken and another one is used: the usual one.
        instead_of: Option<u16>,
    },
    /// Not listening.
    Off {
        /// Why, and what to do.
        reason: String,
    },
}

/// One experiment in the list on the left.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ExperimentSummary {
    /// A string of digits.
    pub experiment_id: String,
    /// Its name.
    pub name: String,
    /// Active runs in it.
    #[ts(type = "number")]
    pub run_count: u64,
    /// How many of these are RUNNING.
    #[ts(type = "number")]
    pub running_count: u64,
    /// When it was made; `None` in files of old MLflow versions.
    #[ts(type = "number | null")]
    pub creation_time: Option<i64>,
    /// The latest start of a run in it.
    #[ts(type = "number | null")]
    pub last_run_time: Option<i64>,
    /// The description (`mlflow.note.content`), Markdown.
    pub description: Option<String>,
}

/// Which keys the runs of some experiments have.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct RunColumns {
    /// Metric keys, sorted.
    pub metrics: Vec<String>,
    /// Parameter keys, sorted.
    pub params: Vec<String>,
    /// Tag keys, sorted; MLflow's own (`mlflow.*`) last.
    pub tags: Vec<String>,
}

/// A column of the run table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(tag = "kind", content = "key", rename_all = "snake_case")]
#[ts(export)]
pub enum ColumnRef {
    /// The run's name.
    Name,
    /// Its status.
    Status,
    /// Start time.
    Start,
    /// End minus start.
    Duration,
    /// The script or notebook (`mlflow.source.name`).
    Source,
    /// Who ran it.
    User,
    /// Its experiment; in the order in which experiments were made.
    Experiment,
    /// A parameter.
    Param(String),
    /// The latest value of a metric.
    Metric(String),
    /// A tag.
    Tag(String),
}

/// One key of the order of the run table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct RunOrder {
    /// By which column.
    pub column: ColumnRef,
    /// Smallest first. Runs without a value come last either way.
    pub ascending: bool,
}

/// Asks for a slice of the run table.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct RunsPageRequest {
    /// Whose runs.
    pub experiment_ids: Vec<String>,
    /// MLflow's filter language; empty for all.
    #[serde(default)]
    pub filter: String,
    /// The order: the first key decides, the next ones where it is equal. Empty is newest first.
    #[serde(default)]
    pub order: Vec<RunOrder>,
    /// Deleted runs instead of active ones.
    #[serde(default)]
    pub deleted: bool,
    /// The first row.
    pub offset: u32,
    /// How many rows, at most 500.
    pub limit: u32,
    /// The metric, parameter and tag columns wanted, in order; the other columns always come.
    pub columns: Vec<ColumnRef>,
}

/// A slice of the run table.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct RunsPage {
    /// Rows that match the filter.
    #[ts(type = "number")]
    pub total: u64,
    /// Rows before filtering.
    #[ts(type = "number")]
    pub unfiltered_total: u64,
    /// The first row here.
    pub offset: u32,
    /// The rows, in order; fewer than asked at the end.
    pub rows: Vec<RunRow>,
}

/// One row of the run table.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct RunRow {
    /// 32 hexadecimal digits.
    pub run_id: String,
    /// Its experiment.
    pub experiment_id: String,
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: RunStatus,
    /// Start time; `None` when the client sent none.
    #[ts(type = "number | null")]
    pub start_time: Option<i64>,
    /// End time; `None` while it runs.
    #[ts(type = "number | null")]
    pub end_time: Option<i64>,
    /// Who ran it.
    pub user: Option<String>,
    /// Where it came from.
    pub source: RunSource,
    /// Set on nested runs.
    pub parent_run_id: Option<String>,
    /// Whether a person marked it: the tag `cairn.star` is `1`.
    pub starred: bool,
    /// The cells of the columns asked for, in that order; `None` where the run has no such key.
    pub cells: Vec<Option<Cell>>,
}

/// What a run came from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, TS)]
#[ts(export)]
pub struct RunSource {
    /// The path or name that the client gave.
    pub name: Option<String>,
    /// LOCAL, NOTEBOOK, JOB, PROJECT, or as the client said.
    pub kind: Option<String>,
}

/// MLflow's run states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[ts(export)]
pub enum RunStatus {
    /// Working.
    Running,
    /// Waiting.
    Scheduled,
    /// Ended well.
    Finished,
    /// Ended by an error.
    Failed,
    /// Ended by someone.
    Killed,
}

/// A cell of the run table: text of a parameter or tag, or a metric's value.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(untagged)]
#[ts(export)]
pub enum Cell {
    /// A metric.
    Metric(Number),
    /// A parameter or a tag; at most 500 characters, then cut with `…`.
    Text(String),
}

/// A double that JSON can carry: a number, or `{"special": …}` for what JSON has no number for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, TS)]
#[serde(untagged)]
#[ts(export)]
pub enum Number {
    /// A finite number.
    Finite(f64),
    /// Not a number, or infinite.
    Special {
        /// Which one.
        special: SpecialNumber,
    },
}

/// The doubles that JSON has no number for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub enum SpecialNumber {
    /// Not a number.
    NaN,
    /// Positive infinity.
    Infinity,
    /// Negative infinity.
    #[serde(rename = "-Infinity")]
    NegInfinity,
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        let special = if value.is_nan() {
            SpecialNumber::NaN
        } else if value == f64::INFINITY {
            SpecialNumber::Infinity
        } else if value == f64::NEG_INFINITY {
            SpecialNumber::NegInfinity
        } else {
            return Self::Finite(value);
        };
        Self::Special { special }
    }
}

impl From<Number> for f64 {
    fn from(number: Number) -> Self {
        match number {
            Number::Finite(value) => value,
            Number::Special { special: SpecialNumber::NaN } => f64::NAN,
            Number::Special { special: SpecialNumber::Infinity } => f64::INFINITY,
            Number::Special { special: SpecialNumber::NegInfinity } => f64::NEG_INFINITY,
        }
    }
}

/// All about one run but its series and files.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct RunDetail {
    /// 32 hexadecimal digits.
    pub run_id: String,
    /// Its experiment.
    pub experiment_id: String,
    /// The experiment's name.
    pub experiment_name: String,
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: RunStatus,
    /// Whether it is in the trash.
    pub deleted: bool,
    /// Start time.
    #[ts(type = "number | null")]
    pub start_time: Option<i64>,
    /// End time.
    #[ts(type = "number | null")]
    pub end_time: Option<i64>,
    /// Who ran it.
    pub user: Option<String>,
    /// Where it came from.
    pub source: RunSource,
    /// The commit recorded by the client.
    pub git_commit: Option<String>,
    /// The description (`mlflow.note.content`), Markdown.
    pub description: Option<String>,
    /// Where the client puts its files.
    pub artifact_uri: Option<String>,
    /// Parameters, sorted by key.
    pub params: Vec<KeyValue>,
    /// Metrics, sorted by key.
    pub metrics: Vec<MetricSummary>,
    /// Tags, sorted by key; MLflow's own last.
    pub tags: Vec<KeyValue>,
    /// Datasets it read.
    pub datasets: Vec<DatasetUse>,
    /// Models it logged.
    pub models: Vec<LoggedModelSummary>,
    /// The run it is nested in.
    pub parent: Option<RunLink>,
    /// Runs nested in it, oldest first, at most 1,000.
    pub children: Vec<RunLink>,
}

/// A run, named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RunLink {
    /// 32 hexadecimal digits.
    pub run_id: String,
    /// Its experiment.
    pub experiment_id: String,
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: RunStatus,
}

/// A key and its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct KeyValue {
    /// The key.
    pub key: String,
    /// The whole text.
    pub value: String,
}

/// A metric of a run.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct MetricSummary {
    /// The metric's name.
    pub key: String,
    /// Its latest value, by MLflow's rule (step, then time, then value).
    pub last: Number,
    /// The step of the latest value.
    #[ts(type = "number")]
    pub step: i64,
    /// The time of the latest value.
    #[ts(type = "number")]
    pub timestamp: i64,
}

/// A dataset that a run read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct DatasetUse {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// What for (`training`, `eval` …).
    pub context: Option<String>,
    /// Kind of source (`http`, `code`, `local` …).
    pub source_type: String,
    /// The source, JSON text as the client gave it.
    pub source: String,
    /// Columns, JSON text (MLflow's `mlflow_colspec`) or `None`.
    pub schema: Option<String>,
    /// Sizes, JSON text or `None`.
    pub profile: Option<String>,
}

/// A model that a run logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct LoggedModelSummary {
    /// `m-` and 32 hexadecimal digits.
    pub model_id: String,
    /// Its name.
    pub name: String,
    /// PENDING, READY, UPLOAD_FAILED.
    pub status: String,
    /// Registered versions made from it.
    pub versions: Vec<ModelVersionRef>,
}

/// Names a version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ModelVersionRef {
    /// The registered model.
    pub name: String,
    /// The version.
    pub version: u32,
}

/// Asks for the points of one metric of one run.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct SeriesRequest {
    /// Whose metric.
    pub run_id: String,
    /// Which metric.
    pub metric_key: String,
    /// How many columns of pixels the chart has; at most two points come back per column.
    pub width_px: u32,
    /// Only points after this cursor (from an earlier answer), unreduced; `None` for all.
    #[serde(default)]
    pub after: Option<String>,
}

/// The points of one metric of one run, in order of step, then time.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct Series {
    /// Steps.
    #[ts(type = "number[]")]
    pub steps: Vec<i64>,
    /// Times.
    #[ts(type = "number[]")]
    pub timestamps: Vec<i64>,
    /// Values; not finite ones say so.
    pub values: Vec<Number>,
    /// Points that the store has for this metric.
    #[ts(type = "number")]
    pub total_points: u64,
    /// Whether points were left out (the smallest and largest of each pixel column never are).
    pub is_reduced: bool,
    /// To ask for what comes later; `None` while there is no point.
    pub cursor: Option<String>,
    /// Set when `after` was given but the database was rewritten since: these are all points.
    pub restarted: bool,
}

/// A file or folder of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ArtifactEntry {
    /// The path below the run's folder.
    pub path: String,
    /// The last part of it.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Its size; `None` for folders.
    #[ts(type = "number | null")]
    pub size_bytes: Option<u64>,
    /// When it was written.
    #[ts(type = "number | null")]
    pub modified: Option<i64>,
}

/// What a file of a run looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum ArtifactPreview {
    /// Text, its beginning.
    Text {
        /// At most the first 512 KiB, cut at a character.
        text: String,
        /// Whether the file is longer.
        is_truncated: bool,
        /// Its size.
        #[ts(type = "number")]
        size_bytes: u64,
    },
    /// An image, to be fetched by its handle (`host.fileUrl(handle)`).
    Image {
        /// Random; valid while the store is open.
        handle: String,
        /// Its media type.
        mime: String,
        /// Its size.
        #[ts(type = "number")]
        size_bytes: u64,
    },
    /// A file that has no preview yet.
    None {
        /// What it is, by its content and name.
        mime: String,
        /// Its size.
        #[ts(type = "number")]
        size_bytes: u64,
    },
}

/// A registered model in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RegisteredModelSummary {
    /// Its name.
    pub name: String,
    /// Markdown.
    pub description: Option<String>,
    /// When it was made.
    #[ts(type = "number | null")]
    pub creation_time: Option<i64>,
    /// When it, or a version of it, last changed.
    #[ts(type = "number | null")]
    pub last_updated_time: Option<i64>,
    /// Versions that are not deleted.
    pub version_count: u32,
    /// The highest of them.
    pub latest_version: Option<u32>,
    /// Its aliases, sorted.
    pub aliases: Vec<ModelAlias>,
    /// Its tags, sorted.
    pub tags: Vec<KeyValue>,
}

/// An alias and the version that it points at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ModelAlias {
    /// Its name.
    pub alias: String,
    /// The version.
    pub version: u32,
}

/// A registered model with its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RegisteredModelDetail {
    /// What the list shows.
    pub summary: RegisteredModelSummary,
    /// Its versions, highest first, at most 1,000.
    pub versions: Vec<ModelVersion>,
}

/// A version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ModelVersion {
    /// The version.
    pub version: u32,
    /// When it was made.
    #[ts(type = "number | null")]
    pub creation_time: Option<i64>,
    /// When it last changed.
    #[ts(type = "number | null")]
    pub last_updated_time: Option<i64>,
    /// None, Staging, Production, Archived.
    pub stage: String,
    /// READY, PENDING_REGISTRATION, FAILED_REGISTRATION.
    pub status: String,
    /// Markdown.
    pub description: Option<String>,
    /// What it was made from (`models:/m-…`, `runs:/…`, a path).
    pub source: Option<String>,
    /// The run that made it, when that run is in this store.
    pub run: Option<RunLink>,
    /// Aliases that point at it, sorted.
    pub aliases: Vec<String>,
    /// Its tags, sorted.
    pub tags: Vec<KeyValue>,
}

/// Long work: what it is, how far it is, how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct Job {
    /// Names it in `job.cancel`.
    pub job_id: String,
    /// What it does, for a person: `Log sample runs`.
    pub title: String,
    /// What it is doing now, for a person.
    pub step: String,
    /// How far, 0 to 1; `None` while that is not known.
    pub progress: Option<f64>,
    /// How it stands.
    pub state: JobState,
    /// The last lines that its processes wrote, oldest first, at most 200.
    pub log: Vec<String>,
}

/// How a job stands.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
#[ts(export)]
pub enum JobState {
    /// Working.
    Running,
    /// Ended well.
    Done,
    /// Ended by an error.
    Failed {
        /// What and what to do.
        error: CommandErrorText,
    },
    /// Ended by the person.
    Cancelled,
}

/// The words of a failure inside a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct CommandErrorText {
    /// What failed.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What happened, pushed to every open window at most ten times a second.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export)]
pub enum LiveEvent {
    /// Data of the open store changed.
    Changed {
        /// Experiments were made, renamed, deleted, restored or tagged.
        experiments: bool,
        /// Experiments in which runs were made, ended, renamed, deleted, restored, or got
        /// parameters, tags or metrics.
        runs_in: Vec<String>,
        /// The runs that changed; empty with `everything`.
        runs: Vec<RunChange>,
        /// Registered models or versions changed.
        models: bool,
        /// Another program wrote, or too much changed to list: ask again for all that is shown.
        everything: bool,
    },
    /// Events were lost: ask again for all that is shown, the store and jobs included.
    Resync,
    /// The status line changed, or another store is open.
    Store {
        /// The store now; `None` when none could be opened.
        status: Option<StoreStatus>,
    },
    /// A job moved on.
    Job {
        /// The job now.
        job: Job,
    },
    /// Launches were submitted, moved on, ended or changed their places in the queue.
    Queue,
    /// A log grew.
    Log {
        /// Whose.
        launch_id: String,
        /// Its run, once there is one.
        run_id: Option<String>,
    },
    /// Projects were added, run, changed on disk or forgotten.
    Projects,
    /// Files are dragged over the window, or left it.
    Drag {
        /// What a drop would do, or why nothing; `None` once they left.
        verb: Option<String>,
    },
    /// Files were dropped on the window.
    Dropped {
        /// What came of it.
        outcome: DropOutcome,
    },
    /// Settings changed.
    Settings {
        /// All of them.
        settings: Settings,
    },
}

/// What came of a drop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum DropOutcome {
    /// A project was added, or was there already.
    Project {
        /// Its address.
        uri: String,
    },
    /// Nothing was done.
    Refused {
        /// Why.
        error: CommandError,
    },
}

/// What changed of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RunChange {
    /// Which run.
    pub run_id: String,
    /// Its name, status, times, stage, parameters, tags, inputs or outputs.
    pub facts: bool,
    /// Its metrics.
    pub metrics: bool,
    /// Its files.
    pub artifacts: bool,
}
