//! Taking over what MLflow's file store kept: rows with the ids and times that they had.
//!
//! Every method may be called again with the same input and changes nothing then: what is there is
//! recognised by its id (runs, logged models), by its name (experiments, registered models) or by
//! its whole row (metrics). That makes an interrupted import safe to repeat. Callers keep each
//! transaction short, see [`Bulk`].

mod bulk;
mod files;
mod models;
mod registry;
mod runs;

pub use bulk::Bulk;
pub use files::{CopiedFiles, FileFacts, Found};
pub use registry::{ImportedRegisteredModel, ImportedVersion, RegisteredOutcome};
pub use runs::{ExperimentOutcome, ImportedExperiment, ImportedPoint, ImportedRun, RunOutcome};

/// What happens to facts that the store has already, with another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// They stay; only what is missing is added. For what came into the store in another way.
    Stays,
    /// The source's replace them: an earlier import brought them, and the source changed since.
    Follows,
}

/// A parameter that the store has with another value: parameters never change, so the store's stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamConflict {
    /// The parameter.
    pub key: String,
    /// The value in the store.
    pub kept: String,
}
