//! What the interface gets to know of environments.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Which environment.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct EnvironmentRef {
    /// From [`EnvironmentView::name`].
    pub name: String,
}

/// Which environments may go.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct EnvironmentsPrune {
    /// Only those that no run used for so many days.
    pub unused_days: u32,
    /// Whether to remove them; else only what would go is answered.
    pub remove: bool,
}

/// How an environment was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum EnvironmentKindView {
    /// From requirements, by uv.
    Python,
    /// From a uv.lock.
    UvProject,
    /// From conda channels.
    Conda,
    /// From a lock of Cairn's own.
    Lock,
    /// It is not whole.
    Unfinished,
}

/// A run that an environment was made ready for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct EnvironmentUseView {
    /// The run.
    pub run_id: String,
    /// The folder of its store, as a person writes it; `None` when it is elsewhere.
    pub store: Option<String>,
    /// Whether it is a run of the store that is open, so that it can be shown.
    pub is_here: bool,
    /// When.
    #[ts(type = "number")]
    pub at_ms: i64,
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct EnvironmentView {
    /// The name of its folder, which stands for it.
    pub name: String,
    /// Its folder, as a person writes it.
    pub folder: String,
    /// How it was made.
    pub kind: EnvironmentKindView,
    /// One line: `Python 3.11 with 5 requirements, by uv`.
    pub summary: String,
    /// Python's version.
    pub python: Option<String>,
    /// How many packages are in it.
    pub packages: u32,
    /// When it was made.
    #[ts(type = "number")]
    pub made_ms: i64,
    /// The room its files take, also those that it shares with others.
    #[ts(type = "number")]
    pub size_bytes: u64,
    /// What removing it frees.
    #[ts(type = "number")]
    pub own_bytes: u64,
    /// When a run last used it; when it was made, if none did.
    #[ts(type = "number")]
    pub last_used_ms: i64,
    /// The runs that used it, the newest first, at most 50.
    pub used_by: Vec<EnvironmentUseView>,
    /// How many uses there were in all.
    pub uses: u32,
    /// Whether a program runs in it, or a run that has not ended needs it.
    pub is_in_use: bool,
    /// Whether part of it is gone, so that it must be made again.
    pub is_broken: bool,
    /// Whether it can be made again exactly.
    pub has_lock: bool,
}

/// All environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct EnvironmentListView {
    /// Where they lie, as a person writes it.
    pub folder: String,
    /// Those that were used last come first.
    pub environments: Vec<EnvironmentView>,
    /// The room of all, files that several share counted once.
    #[ts(type = "number")]
    pub total_bytes: u64,
}

/// An environment that stays, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct EnvironmentKept {
    /// Its name.
    pub name: String,
    /// Why, as a clause: `a run used it 2 days ago`.
    pub because: String,
}

/// What pruning did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct EnvironmentsPruned {
    /// The names of those that go.
    pub removed: Vec<String>,
    /// The ones that stay.
    pub kept: Vec<EnvironmentKept>,
    /// What that frees.
    #[ts(type = "number")]
    pub freed_bytes: u64,
}
