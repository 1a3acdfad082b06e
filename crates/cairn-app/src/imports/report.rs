//! What an import brought, and what it did not, by reason.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;
use ts_rs::TS;

/// Places that are named for each reason; the rest is counted.
const NAMED: usize = 5;

/// Why something did not come in, or not as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum SkipReason {
    /// A `meta.yaml` that is missing a field or cannot be read.
    BadMeta,
    /// A folder that is no experiment, run, model or version.
    NoMeta,
    /// Two runs, models or experiments with one id; the first came in.
    SameId,
    /// A metric line that is no time, value and step.
    BadMetricLine,
    /// A name that MLflow does not allow for a metric, parameter or tag.
    BadKey,
    /// A parameter or tag that is no UTF-8 text.
    NotText,
    /// A file larger than anything that MLflow writes there.
    TooLarge,
    /// A parameter or tag cut to MLflow's limit.
    Cut,
    /// A parameter that the store has with another value.
    ParamConflict,
    /// A dataset, model or run that something refers to and that is not there.
    MissingPart,
    /// A link; none is followed.
    Link,
    /// A pipe, a socket or a device.
    Special,
    /// A file or folder that the system did not let Cairn read or write.
    Unreadable,
    /// A name that cannot be an artifact's path.
    BadFileName,
    /// Folders in each other too deep.
    TooDeep,
    /// A file in whose place the store has something else.
    InTheWay,
    /// Files that lie outside the folder and are not surely this run's.
    Outside,
    /// Traces; Cairn does not keep them.
    Traces,
    /// Something that the store's file has no tables for.
    OldFile,
    /// Files in another system, left where they are.
    Remote,
    /// An experiment that joined the one of its name, or got another number or name.
    ExperimentChanged,
    /// A run that the store has already in another experiment.
    OtherExperiment,
    /// A version that got another number because its own was taken.
    Renumbered,
    /// An alias that the store has pointing elsewhere.
    AliasKept,
}

impl SkipReason {
    /// The words for a person.
    pub fn words(self) -> &'static str {
        match self {
            Self::BadMeta => "meta.yaml that cannot be read",
            Self::NoMeta => "Folders without a meta.yaml",
            Self::SameId => "Ids that occur twice; the first came in",
            Self::BadMetricLine => "Metric lines that cannot be read",
            Self::BadKey => "Names that MLflow does not allow",
            Self::NotText => "Parameters and tags that are no text",
            Self::TooLarge => "Files too large for a parameter, a tag or a meta.yaml",
            Self::Cut => "Values cut to MLflow’s limit",
            Self::ParamConflict => "Parameters that have another value in the store, which stays",
            Self::MissingPart => "References to something that is not there",
            Self::Link => "Links, which are not followed",
            Self::Special => "Pipes, sockets and devices",
            Self::Unreadable => "Files and folders that could not be read",
            Self::BadFileName => "File names that the artifact tree cannot hold",
            Self::TooDeep => "Folders nested too deep",
            Self::InTheWay => "Files whose place is taken by something else",
            Self::Outside => "Files outside the folder, not copied",
            Self::Traces => "Traces, which Cairn does not keep",
            Self::OldFile => "Things that the store’s older mlflow.db has no tables for",
            Self::Remote => "Files in another system, left where they are",
            Self::ExperimentChanged => {
                "Experiments that joined one of the store or were renumbered"
            }
            Self::OtherExperiment => "Runs that the store has in another experiment",
            Self::Renumbered => "Versions that got another number",
            Self::AliasKept => "Aliases that point elsewhere in the store, and stay",
        }
    }

    /// Whether something was left out; otherwise it came in, changed.
    pub fn is_loss(self) -> bool {
        !matches!(
            self,
            Self::Remote
                | Self::ExperimentChanged
                | Self::OtherExperiment
                | Self::Renumbered
                | Self::Cut
                | Self::AliasKept
        )
    }
}

/// A place and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct SkippedPlace {
    /// The path, from the folder that was imported on.
    pub path: String,
    /// More, where the reason alone does not say it.
    pub detail: Option<String>,
}

/// All that was left out or changed for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct SkipGroup {
    /// Why.
    pub reason: SkipReason,
    /// Why, in words.
    pub words: String,
    /// Whether it was left out; otherwise it came in, changed.
    pub is_loss: bool,
    /// How many.
    #[ts(type = "number")]
    pub count: u64,
    /// The first of them, at most five.
    pub first: Vec<SkippedPlace>,
}

/// How much came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, TS)]
#[ts(export)]
pub struct ImportCounts {
    /// Experiments made.
    #[ts(type = "number")]
    pub experiments: u64,
    /// Runs made.
    #[ts(type = "number")]
    pub runs: u64,
    /// Runs that were there, and got what was missing.
    #[ts(type = "number")]
    pub runs_updated: u64,
    /// Runs that an earlier import brought, unchanged since.
    #[ts(type = "number")]
    pub runs_unchanged: u64,
    /// Metric values added.
    #[ts(type = "number")]
    pub metric_values: u64,
    /// Logged models made.
    #[ts(type = "number")]
    pub logged_models: u64,
    /// Registered models made.
    #[ts(type = "number")]
    pub registered_models: u64,
    /// Versions added.
    #[ts(type = "number")]
    pub model_versions: u64,
    /// Artifact files copied.
    #[ts(type = "number")]
    pub files: u64,
    /// Their bytes.
    #[ts(type = "number")]
    pub file_bytes: u64,
    /// Artifact files that were there already.
    #[ts(type = "number")]
    pub files_unchanged: u64,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, TS)]
#[ts(export)]
pub struct ImportReport {
    /// How much came in.
    pub counts: ImportCounts,
    /// What did not, or not as it was; losses first.
    pub skipped: Vec<SkipGroup>,
}

impl ImportReport {
    /// Whether anything was left out.
    pub fn has_losses(&self) -> bool {
        self.skipped.iter().any(|group| group.is_loss)
    }

    /// How many things were left out.
    pub fn losses(&self) -> u64 {
        self.skipped.iter().filter(|group| group.is_loss).map(|group| group.count).sum()
    }
}

/// A list of what is skipped, while it grows.
#[derive(Debug, Clone, Default)]
pub(super) struct Skips {
    groups: BTreeMap<SkipReason, (u64, Vec<SkippedPlace>)>,
}

impl Skips {
    /// Adds one place.
    pub fn add(&mut self, reason: SkipReason, path: &Path, detail: impl Into<Option<String>>) {
        self.add_many(reason, 1, path, detail);
    }

    /// Adds several things at one place.
    pub fn add_many(
        &mut self,
        reason: SkipReason,
        count: u64,
        path: &Path,
        detail: impl Into<Option<String>>,
    ) {
        let (sum, first) = self.groups.entry(reason).or_default();
        *sum += count;
        if first.len() < NAMED {
            first.push(SkippedPlace { path: path.display().to_string(), detail: detail.into() });
        }
    }

    /// Adds all of another list.
    pub fn merge(&mut self, other: Self) {
        for (reason, (count, first)) in other.groups {
            let (sum, known) = self.groups.entry(reason).or_default();
            *sum += count;
            let room = NAMED.saturating_sub(known.len());
            known.extend(first.into_iter().take(room));
        }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The groups, losses first.
    pub fn groups(&self) -> Vec<SkipGroup> {
        let mut groups: Vec<_> = self
            .groups
            .iter()
            .map(|(reason, (count, first))| SkipGroup {
                reason: *reason,
                words: reason.words().to_owned(),
                is_loss: reason.is_loss(),
                count: *count,
                first: first.clone(),
            })
            .collect();
        groups.sort_by_key(|group| (!group.is_loss, group.reason));
        groups
    }
}
