//! The change feed: what was written, told after it was committed.

use std::{collections::HashMap, sync::Arc};

use cairn_core::{ExperimentId, RunId};
use tokio::sync::broadcast;

use crate::{history::KeptSeries, run_index::Versions};

/// Which facts of a run changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunFacets {
    /// It came into being, was deleted or restored: lists of runs are longer or shorter.
    pub listed: bool,
    /// Name, status, times.
    pub info: bool,
    /// Parameters.
    pub params: bool,
    /// Tags.
    pub tags: bool,
    /// Metrics.
    pub metrics: bool,
    /// Datasets and models it read or made.
    pub inputs: bool,
    /// Files.
    pub artifacts: bool,
}

impl RunFacets {
    /// A run that is new, or came back.
    pub const LISTED: Self =
        Self { listed: true, info: true, params: true, tags: true, ..Self::NONE };
    /// Name, status or times.
    pub const INFO: Self = Self { info: true, ..Self::NONE };
    /// Parameters.
    pub const PARAMS: Self = Self { params: true, ..Self::NONE };
    /// Tags.
    pub const TAGS: Self = Self { tags: true, ..Self::NONE };
    /// Metrics.
    pub const METRICS: Self = Self { metrics: true, ..Self::NONE };
    /// Datasets and models.
    pub const INPUTS: Self = Self { inputs: true, ..Self::NONE };
    /// Files.
    pub const ARTIFACTS: Self = Self { artifacts: true, ..Self::NONE };
    /// Nothing.
    pub const NONE: Self = Self {
        listed: false,
        info: false,
        params: false,
        tags: false,
        metrics: false,
        inputs: false,
        artifacts: false,
    };

    /// Both together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            listed: self.listed | other.listed,
            info: self.info | other.info,
            params: self.params | other.params,
            tags: self.tags | other.tags,
            metrics: self.metrics | other.metrics,
            inputs: self.inputs | other.inputs,
            artifacts: self.artifacts | other.artifacts,
        }
    }
}

/// One thing that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The list of experiments, or facts of one.
    Experiments,
    /// A run.
    Run(ExperimentId, RunId, RunFacets),
    /// Logged models of an experiment.
    LoggedModels(ExperimentId),
    /// Registered models or versions.
    Registry,
    /// Anything: another program wrote, or migrated the file.
    Everything,
}

/// What one commit changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeSet {
    /// The list of experiments, or facts of some.
    pub experiments: bool,
    /// Runs and what changed of them.
    pub runs: HashMap<RunId, (ExperimentId, RunFacets)>,
    /// Experiments whose logged models changed.
    pub logged_models: Vec<ExperimentId>,
    /// Registered models or versions.
    pub registry: bool,
    /// Anything may have changed.
    pub everything: bool,
}

impl ChangeSet {
    /// Adds one change.
    pub fn add(&mut self, change: Change) {
        match change {
            Change::Experiments => self.experiments = true,
            Change::Run(experiment, run, facets) => {
                let entry = self.runs.entry(run).or_insert((experiment, RunFacets::NONE));
                entry.1 = entry.1.union(facets);
            }
            Change::LoggedModels(experiment) => {
                if !self.logged_models.contains(&experiment) {
                    self.logged_models.push(experiment);
                }
            }
            Change::Registry => self.registry = true,
            Change::Everything => self.everything = true,
        }
    }

    /// Adds all of another set.
    pub fn merge(&mut self, other: &Self) {
        self.experiments |= other.experiments;
        self.registry |= other.registry;
        self.everything |= other.everything;
        for (run, (experiment, facets)) in &other.runs {
            self.add(Change::Run(*experiment, run.clone(), *facets));
        }
        for experiment in &other.logged_models {
            self.add(Change::LoggedModels(*experiment));
        }
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Sends change sets to all who listen; those who lag are told so by the channel.
#[derive(Debug, Clone)]
pub(crate) struct ChangeFeed {
    sender: broadcast::Sender<Arc<ChangeSet>>,
    /// Raised before anyone is told, so that who asks next sees no outdated list.
    versions: Arc<Versions>,
    /// Told before anyone else, for the same reason.
    kept_series: Arc<KeptSeries>,
}

impl ChangeFeed {
    pub(crate) fn new(versions: Arc<Versions>, kept_series: Arc<KeptSeries>) -> Self {
        Self { sender: broadcast::channel(256).0, versions, kept_series }
    }

    pub(crate) fn publish(&self, changes: ChangeSet) {
        if !changes.is_empty() {
            self.versions.raise(&changes);
            self.kept_series.note(&changes);
            // No listener is no error: the headless server has none.
            let _ = self.sender.send(Arc::new(changes));
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<ChangeSet>> {
        self.sender.subscribe()
    }
}
