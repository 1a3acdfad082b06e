//! MLflow projects: read, planned, prepared, captured and run again.
//!
//! [`Project::parse`] reads a folder with an `MLproject` file. [`plan`](RunPlan) answers exactly what would run,
//! where, with what, and starts nothing. Nothing here knows a store: what is recorded goes to a tracking server,
//! through [`cairn_runtime`].
//!
//! What a project's files hold is not trusted: sizes and depths are bounded, values reach a command quoted as
//! MLflow quotes them, and no text of a project becomes an option of a program.

mod archive;
mod capture;
mod container;
mod content;
mod download;
mod error;
mod git;
pub mod launching;
mod mlflow_tools;
mod params;
mod place;
mod plan;
mod prepare;
mod problem;
mod project;
mod request;
mod source;
mod template;
pub mod yaml;
pub mod rerun;
pub mod report;
pub mod sweep;
pub mod pipeline;

pub use capture::{
    BUNDLE_ARTIFACT, CAPTURE_ARTIFACT, Capture, ChangedFile, EnvironmentCapture, InputCapture,
    LOCK_ARTIFACT, LeftOut, LeftOutReason, PlatformCapture, SourceCapture, capture_code, digest,
    is_secret, is_seed, restore,
};
pub use error::{ProjectError, Result};
pub use mlflow_tools::{conda, pyenv};
pub use plan::{
    EnvironmentKind, EnvironmentPlan, ParameterOrigin, PlannedParam, RunPlan, plan, plan_fetched,
};
pub use prepare::{LOG_ARTIFACT, coordinate, finish, launch_spec, prepare};
pub use problem::{Place, Problem};
pub use project::{
    DeclaredEnvironment, DockerEnvironment, DockerVariable, EntryPoint, PROJECT_FILE, Parameter,
    ParameterKind, Project,
};
pub use request::{DockerArgument, EnvManager, Restore, RunRequest};
pub use source::{Fetched, ProjectSource};
pub use template::quote;
