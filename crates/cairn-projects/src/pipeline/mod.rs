//! A declared chain of steps: the section `pipeline:` of an `MLproject`, which MLflow ignores.
//!
//! ```yaml
//! pipeline:
//!   parameters:
//!     url: {type: uri, default: "https://example.org/ratings.zip"}
//!   steps:
//!     download:
//!       parameters: {url: "${parameters.url}"}
//!     clean:
//!       parameters: {raw: "${steps.download.artifacts.raw/ratings.csv}"}
//!     train:
//!       entry_point: fit
//!       needs: [download]
//!       parameters: {data: "${steps.clean.artifacts.ratings.parquet}", rows: "${steps.clean.metrics.rows}"}
//! ```
//!
//! A step runs an entry point of the project (by default the one of its own name) as a nested run. A
//! reference makes a step wait for the one it names; `needs` is for order without a value. `$${` is a
//! literal `${`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    problem::{Place, Problem},
    project::{Parameter, ParameterKind, Project},
    request::RunRequest,
    yaml::{Node, shortened},
};

mod coordinator;
mod parse;
mod reference;

pub use coordinator::{PIPELINE_JSON, coordinate, prepare, read_pipeline, resume, resumed, submit};
pub use reference::{Output, Piece, Reference, Template};

/// The tag of a pipeline's run: its [`PipelineState`] as JSON.
pub const STATE_TAG: &str = "cairn.pipeline.state";
/// The tag of a step's run: the step's name.
pub const STEP_TAG: &str = "cairn.pipeline.step";
/// The tag of a step's run: what its result depends on, hashed.
pub const KEY_TAG: &str = "cairn.pipeline.key";
/// The tag of a step's run that did not run: the run id whose result it stands for.
pub const CACHED_FROM_TAG: &str = "cairn.pipeline.cached_from";

/// So many steps one pipeline may have.
pub const MAX_STEPS: usize = 64;

/// A pipeline as its project declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// What can be given when it is started.
    pub parameters: Vec<Parameter>,
    /// In the file's order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// The entry point or script that it runs.
    pub entry_point: String,
    /// The steps that must be done before, named or implied by references, in the file's order.
    pub needs: Vec<String>,
    /// What the entry point gets, with references.
    pub parameters: Vec<(String, Template)>,
    /// Where it stands in the file.
    pub place: Place,
}

/// What a person asks for when a pipeline is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineRequest {
    /// The project, experiment and environment; `params` are the pipeline's own parameters, the entry
    /// point is not used.
    pub run: RunRequest,
    /// Whether steps run although nothing changed.
    #[serde(default)]
    pub ignore_cache: bool,
    /// The run of an earlier, ended pipeline that is gone on with; `None` begins anew.
    #[serde(default)]
    pub resume_run_id: Option<String>,
}

/// How far a pipeline is: the content of [`STATE_TAG`], and what a graph is drawn from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineState {
    /// In the file's order.
    pub steps: Vec<StepState>,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepState {
    /// Its name.
    pub name: String,
    /// The steps before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// What it is doing.
    pub status: StepStatus,
    /// Its run, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Why it failed or was skipped; the run that a cached step stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a step is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Steps before it are not done.
    Waiting,
    /// It is queued or at work.
    Running,
    /// It is done.
    Done,
    /// An earlier run has its result; nothing changed since.
    Cached,
    /// It failed.
    Failed,
    /// A step before it failed, or the pipeline was stopped.
    Skipped,
}

impl Pipeline {
    /// The pipeline of a project; `None` when it declares none.
    ///
    /// Errors: every problem with its line: a wrong shape, an unknown step, parameter or entry point,
    /// a cycle.
    pub fn of(project: &Project) -> Option<Result<Self, Vec<Problem>>> {
        project.pipeline.as_ref().map(|node| parse::pipeline(project, node))
    }

    /// A step by its name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The steps in an order in which each comes after those it needs; steps that are free to choose
    /// keep the file's order.
    pub fn order(&self) -> Vec<&Step> {
        let mut done: BTreeSet<&str> = BTreeSet::new();
        let mut order = Vec::new();
        while order.len() < self.steps.len() {
            let next = self.steps.iter().find(|step| {
                !done.contains(step.name.as_str())
                    && step.needs.iter().all(|need| done.contains(need.as_str()))
            });
            // A pipeline that was parsed has no cycle; one that was made by hand ends here.
            let Some(next) = next else { break };
            done.insert(&next.name);
            order.push(next);
        }
        order
    }

    /// The values of the pipeline's own parameters.
    ///
    /// Errors: required ones that are missing, given ones that are not declared, floats that are none.
    pub fn values(
        &self,
        given: &[(String, String)],
    ) -> Result<BTreeMap<String, String>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut values = BTreeMap::new();
        for parameter in &self.parameters {
            let value = given
                .iter()
                .find(|(name, _)| *name == parameter.name)
                .map(|(_, value)| value.clone())
                .or_else(|| parameter.default.clone());
            let Some(value) = value else {
                problems.push(Problem::of_request(
                    format!(
                        "The pipeline's parameter \"{}\" has no value",
                        shortened(&parameter.name)
                    ),
                    format!("Give one: -P {}=…", parameter.name),
                ));
                continue;
            };
            if parameter.kind == ParameterKind::Float
                && let Err(reason) = crate::template::check_float(&value)
            {
                problems.push(Problem::of_request(
                    format!("The pipeline's parameter \"{}\" {reason}", shortened(&parameter.name)),
                    "Give a number such as 0.5 or 1e-3.".to_owned(),
                ));
            }
            values.insert(parameter.name.clone(), value);
        }
        for (name, _) in given {
            if !self.parameters.iter().any(|parameter| parameter.name == *name) {
                let known: Vec<&str> =
                    self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
                problems.push(Problem::of_request(
                    format!("The pipeline has no parameter \"{}\"", shortened(name)),
                    if known.is_empty() {
                        "Declare it under pipeline: parameters.".to_owned()
                    } else {
                        format!("It has {}.", known.join(", "))
                    },
                ));
            }
        }
        if problems.is_empty() { Ok(values) } else { Err(problems) }
    }
}

impl StepStatus {
    /// Whether steps after it can use its outputs.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::Cached)
    }
}

/// The node of a mapping's key, when it says something.
fn present<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    node.get(key).filter(|node| !node.is_null())
}

#[cfg(test)]
mod tests;
