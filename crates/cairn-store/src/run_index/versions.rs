//! What changed since when: counts per kind for what is cached, and the runs to read again.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use cairn_core::RunId;

use crate::{ChangeSet, RunFacets};

/// Runs that are remembered one by one; more count as everything.
const MARKS_MAX: usize = 50_000;

/// A kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Runs came into being, were deleted or restored.
    Listed,
    /// Name, status, times.
    Info,
    Params,
    Tags,
    Metrics,
    /// Datasets and models.
    Inputs,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Listed, Self::Info, Self::Params, Self::Tags, Self::Metrics, Self::Inputs];

    /// Whether a change of a run is of this kind.
    pub fn is_in(self, facets: RunFacets) -> bool {
        match self {
            Self::Listed => facets.listed,
            Self::Info => facets.info,
            Self::Params => facets.params,
            Self::Tags => facets.tags,
            Self::Metrics => facets.metrics,
            Self::Inputs => facets.inputs,
        }
    }
}

/// Counts of changes per kind at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp([u64; 6]);

impl Stamp {
    /// Whether nothing of a kind happened between the two.
    pub fn is_same(&self, other: &Self, kind: Kind) -> bool {
        self.0[kind as usize] == other.0[kind as usize]
    }
}

/// Raised by every commit before it is answered.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    counts: [AtomicU64; 6],
    marks: Mutex<Marks>,
}

/// What the index has to read again.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    pub everything: bool,
    pub runs: HashMap<RunId, RunFacets>,
}

impl Versions {
    /// Notes what changed.
    pub fn raise(&self, changes: &ChangeSet) {
        {
            let mut marks = self.marks.lock().expect("no holder of this lock panics");
            marks.everything |= changes.everything;
            if !marks.everything {
                for (run, (_, facets)) in &changes.runs {
                    let entry = marks.runs.entry(run.clone()).or_default();
                    *entry = entry.union(*facets);
                }
            }
            if marks.everything || marks.runs.len() > MARKS_MAX {
                *marks = Marks { everything: true, runs: HashMap::new() };
            }
        }
        for kind in Kind::ALL {
            if changes.everything || changes.runs.values().any(|(_, facets)| kind.is_in(*facets)) {
                self.counts[kind as usize].fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    pub fn stamp(&self) -> Stamp {
        Stamp(std::array::from_fn(|index| self.counts[index].load(Ordering::SeqCst)))
    }

    /// Hands over what changed since the last call.
    pub fn take_marks(&self) -> Marks {
        mem::take(&mut self.marks.lock().expect("no holder of this lock panics"))
    }
}
