//! Exactly what would run, in which folder and environment, before anything is started.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::project::{EntryPoint, ParameterKind};
use crate::request::EnvManager;

/// What a run would be. Consent is given to this and remembered by [`RunPlan::content_hash`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPlan {
    /// The project's own name, else its folder's.
    pub name: String,
    /// The project's folder, where the command starts.
    pub folder: PathBuf,
    /// The entry point or script.
    pub entry_point: String,
    /// All entry points of the project, in its own order, to choose from.
    pub entry_points: Vec<EntryPoint>,
    /// The command with all values filled in, as a shell reads it.
    pub command: String,
    /// The program and its arguments; for a container, those of the container program.
    pub argv: Vec<String>,
    /// The environment it would run in.
    pub environment: EnvironmentPlan,
    /// The declared parameters in their order, then the extra ones.
    pub params: Vec<PlannedParam>,
    /// Variables that the child gets beside those of this program; what is not known yet is in angle brackets.
    pub env_added: BTreeMap<String, String>,
    /// Variables that the child does not inherit.
    pub env_removed: Vec<String>,
    /// SHA-256, in hexadecimal digits, of the project file, the environment's files and the code files of the folder.
    pub content_hash: String,
    /// What keeps it from running; empty when it can run.
    pub problems: Vec<Problem>,
    /// What is odd, but keeps nothing from running.
    pub warnings: Vec<Problem>,
}

/// The environment of a planned run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentPlan {
    /// What it is.
    pub kind: EnvironmentKind,
    /// Who makes it, in MLflow's words.
    pub manager: EnvManager,
    /// The files that describe it, relative to the project's folder.
    pub files: Vec<String>,
    /// One line for people: `Python 3.11, 5 packages (python_env.yaml)`.
    pub summary: String,
    /// Whether it exists already, so that the run starts at once.
    pub is_built: bool,
    /// Its folder, known before it is built; `None` for a container or none.
    pub folder: Option<PathBuf>,
}

/// What kind of environment a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentKind {
    /// Python packages, made by uv.
    Python,
    /// Packages from conda channels, made natively.
    Conda,
    /// A container by podman or docker.
    Container,
    /// None: the programs on PATH.
    Local,
}

/// A parameter as it would be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedParam {
    /// Its name.
    pub name: String,
    /// What would be logged, as it was given; `None` when a required one is missing.
    pub value: Option<String>,
    /// What the command gets, where that differs: an absolute path.
    pub used: Option<String>,
    /// Its type.
    pub kind: ParameterKind,
    /// Where the value comes from.
    pub origin: ParameterOrigin,
    /// What is wrong with the value.
    pub problem: Option<String>,
}

/// Where a parameter's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterOrigin {
    /// Given, and declared by the entry point.
    Given,
    /// The entry point's default.
    Default,
    /// Given, and not declared: appended as `--name value`.
    Extra,
    /// Required and not given.
    Missing,
}

impl RunPlan {
    /// Whether nothing keeps it from running.
    pub fn can_run(&self) -> bool {
        self.problems.is_empty()
    }
}
