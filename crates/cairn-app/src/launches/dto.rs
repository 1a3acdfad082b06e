//! What the interface gets to know of launches, the queue and logs.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::dto::{RunLink, RunStatus};

/// Which launch.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct LaunchRef {
    /// From [`LaunchView::launch_id`].
    pub launch_id: String,
}

/// Moves a waiting launch.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct LaunchMove {
    /// The launch that moves.
    pub launch_id: String,
    /// The waiting launch that it goes before; `None` puts it last.
    pub before: Option<String>,
}

/// How many launches may run at a time.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct QueueLimit {
    /// At least 1.
    pub limit: u32,
}

/// Whether the queue starts launches by itself.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct QueuePause {
    /// Whether waiting launches stay waiting.
    pub paused: bool,
}

/// What a launch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum LaunchKind {
    /// An entry point of a project.
    Project,
    /// A past run, again.
    Rerun,
    /// Many runs of one entry point, each with other values.
    Sweep,
    /// The steps of a pipeline.
    Pipeline,
}

/// Where a launch stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
#[ts(export)]
pub enum LaunchStage {
    /// Waiting; the first position is 1.
    Queued {
        /// Its place among those that wait.
        position: u32,
    },
    /// The project is fetched and its environment built.
    Preparing,
    /// The person's code runs.
    Running,
    /// Asked to stop.
    Stopping,
    /// The code has ended; its log and report are kept.
    Finishing,
    /// Over.
    Ended {
        /// FINISHED, FAILED or KILLED.
        status: RunStatus,
        /// Why, in words: `ended with code 1`, `killed: out of memory`.
        cause: String,
        /// What to do about it, if anything is known.
        hint: Option<String>,
    },
}

/// One supervised start of a person's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct LaunchView {
    /// Names it.
    pub launch_id: String,
    /// `train: main`, for a person.
    pub title: String,
    /// What it is.
    pub kind: LaunchKind,
    /// When it was submitted.
    #[ts(type = "number")]
    pub created: i64,
    /// When it left the queue; `None` while it waits.
    #[ts(type = "number | null")]
    pub started: Option<i64>,
    /// When it was over.
    #[ts(type = "number | null")]
    pub ended: Option<i64>,
    /// Where it stands.
    pub stage: LaunchStage,
    /// What it does now, for a person; `None` while it only waits or is over.
    pub step: Option<String>,
    /// Its run, once there is one in the open store.
    pub run: Option<RunLink>,
    /// Its run's id, also where the run is in another store.
    pub run_id: Option<String>,
    /// The project's address, as it was given; `None` for what has none.
    pub project: Option<String>,
    /// The run that it is a part of.
    pub parent_run_id: Option<String>,
    /// The store that it logs to, when that is not the open one.
    pub other_store: Option<String>,
    /// Whether it takes one of the places that the limit counts.
    pub counts: bool,
}

/// Running, waiting and ended launches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct QueueView {
    /// How many may run at a time.
    pub limit: u32,
    /// Whether waiting ones stay waiting.
    pub is_paused: bool,
    /// Those that work, oldest first.
    pub active: Vec<LaunchView>,
    /// Those that wait, next one first.
    pub waiting: Vec<LaunchView>,
    /// Those that are over, latest end first, at most 100.
    pub ended: Vec<LaunchView>,
    /// How many more are over.
    #[ts(type = "number")]
    pub more_ended: u64,
}

/// Whose output: a launch, or a run with a launch or a kept log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, TS)]
#[serde(tag = "of", content = "id", rename_all = "snake_case")]
#[ts(export)]
pub enum LogRef {
    /// By launch.
    Launch(String),
    /// By run.
    Run(String),
}

/// Asks for lines of a log.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct LogRequest {
    /// Whose.
    pub log: LogRef,
    /// The first line wanted, from 0; beyond the end gives none.
    #[ts(type = "number")]
    pub first: u64,
    /// How many, at most 500.
    pub count: u32,
}

/// Lines of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct LogLines {
    /// Lines that the log has now.
    #[ts(type = "number")]
    pub total: u64,
    /// The number of the first line here.
    #[ts(type = "number")]
    pub first: u64,
    /// The lines, with their terminal colours, without line ends. Very long ones are broken.
    pub lines: Vec<String>,
    /// Bytes that the program wrote.
    #[ts(type = "number")]
    pub bytes: u64,
    /// Bytes in the middle that were not kept, because the log has a cap.
    #[ts(type = "number")]
    pub skipped_bytes: u64,
    /// The line that stands for them, if any were left out.
    #[ts(type = "number | null")]
    pub gap_line: Option<u64>,
    /// Whether more may come.
    pub is_open: bool,
}

/// Asks where something stands in a log.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct LogSearch {
    /// Whose.
    pub log: LogRef,
    /// A text, in any case; `None` looks for errors.
    pub text: Option<String>,
}

/// Lines that were found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct LogFound {
    /// Their numbers, in order, at most 5,000.
    #[ts(type = "number[]")]
    pub lines: Vec<u64>,
    /// How many there are in all.
    #[ts(type = "number")]
    pub total: u64,
}
