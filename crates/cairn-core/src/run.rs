//! The states of a run, by MLflow's names.

use std::str::FromStr;

use crate::error::Invalid;

/// What a run is doing. MLflow lets it move freely between all five.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunStatus {
    /// Working, or its process died without saying so.
    Running,
    /// Waiting to be started.
    Scheduled,
    /// Ended well.
    Finished,
    /// Ended by an error.
    Failed,
    /// Ended by someone.
    Killed,
}

impl RunStatus {
    /// MLflow's name, as stored and as sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Scheduled => "SCHEDULED",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }

    /// The status with a number of MLflow's protocol (1 to 5).
    pub fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::Running,
            2 => Self::Scheduled,
            3 => Self::Finished,
            4 => Self::Failed,
            5 => Self::Killed,
            _ => return None,
        })
    }
}

impl FromStr for RunStatus {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Running, Self::Scheduled, Self::Finished, Self::Failed, Self::Killed]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| {
                Invalid::new(format!(
                    "Invalid run status '{text}'. Valid values are RUNNING, SCHEDULED, FINISHED, \
                     FAILED, KILLED."
                ))
            })
    }
}

/// Whether a thing is in use or in the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LifecycleStage {
    /// In use.
    Active,
    /// Deleted, and still restorable.
    Deleted,
}

impl LifecycleStage {
    /// MLflow's name, as stored and as sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
        }
    }

    /// Reads MLflow's column; anything but `deleted` counts as active, as MLflow's filters do.
    pub fn from_column(text: &str) -> Self {
        if text == "deleted" { Self::Deleted } else { Self::Active }
    }
}

/// Which lifecycle stages a search looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ViewType {
    /// Only what is in use.
    #[default]
    ActiveOnly,
    /// Only what is deleted.
    DeletedOnly,
    /// Both.
    All,
}

impl ViewType {
    /// Whether a stage is looked at.
    pub fn includes(self, stage: LifecycleStage) -> bool {
        match self {
            Self::ActiveOnly => stage == LifecycleStage::Active,
            Self::DeletedOnly => stage == LifecycleStage::Deleted,
            Self::All => true,
        }
    }
}
