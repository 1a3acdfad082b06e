//! What a person asks for when a project is to run. It is also what a launch keeps and `prepare` reads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{ProjectError, Result};

/// One run of a project, as asked for by the command line, the window, a sweep or a rerun.
///
/// [`RunRequest::new`] has the defaults of `mlflow run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRequest {
    /// A folder, `file://…`, a zip file, or what git fetches; `#sub/folder` may follow.
    pub uri: String,
    /// A branch, tag or commit of a git source.
    pub version: Option<String>,
    /// The name of an entry point, or of a script in the project.
    pub entry_point: String,
    /// In the order they were given; no name twice.
    pub params: Vec<(String, String)>,
    /// `None` takes what the project declares.
    pub env_manager: Option<EnvManager>,
    /// Made if it is missing. Not together with `experiment_id`.
    pub experiment_name: Option<String>,
    /// An experiment that exists.
    pub experiment_id: Option<String>,
    /// The name of the run; `None` lets the server make one.
    pub run_name: Option<String>,
    /// A run that exists already and is to be used in place of a new one.
    pub run_id: Option<String>,
    /// The run above this one.
    pub parent_run_id: Option<String>,
    /// Tags beside MLflow's own.
    pub tags: BTreeMap<String, String>,
    /// The run that this one repeats.
    pub rerun_of: Option<String>,
    /// What is taken from an earlier run in place of the source and the declared environment.
    pub restore: Option<Restore>,
    /// Where files of `path` parameters with a remote address are put; a temporary folder of the launch otherwise.
    pub storage_dir: Option<PathBuf>,
    /// Arguments of `docker run`.
    pub docker_args: Vec<DockerArgument>,
    /// Whether a docker project gets an image of its own with the code in it.
    pub build_image: bool,
    /// Only `local` can be run by Cairn.
    pub backend: String,
    /// What was given for the backend; nothing in it concerns `local`.
    pub backend_config: Option<serde_json::Value>,
    /// What the person allowed to run: the [`RunPlan::content_hash`](crate::RunPlan::content_hash), or the
    /// [`Capture::restored_content`](crate::Capture::restored_content) where code is restored. A launch for which it
    /// is another one by the time it starts does not run. `None` for what a person typed themselves.
    pub allowed_content: Option<String>,
    /// Where the person stood: relative folders and `path` parameters are looked up from here.
    pub caller_folder: PathBuf,
}

impl Default for RunRequest {
    fn default() -> Self {
        Self::new("", "/")
    }
}

impl RunRequest {
    /// The entry point `main` of a project, with nothing else said.
    pub fn new(uri: impl Into<String>, caller_folder: impl Into<PathBuf>) -> Self {
        Self {
            uri: uri.into(),
            version: None,
            entry_point: "main".to_owned(),
            params: Vec::new(),
            env_manager: None,
            experiment_name: None,
            experiment_id: None,
            run_name: None,
            run_id: None,
            parent_run_id: None,
            tags: BTreeMap::new(),
            rerun_of: None,
            restore: None,
            storage_dir: None,
            docker_args: Vec::new(),
            build_image: false,
            backend: "local".to_owned(),
            backend_config: None,
            allowed_content: None,
            caller_folder: caller_folder.into(),
        }
    }

    /// Whether the code of an earlier run is put back in place of the source.
    pub fn restores_code(&self) -> bool {
        self.restore.as_ref().is_some_and(|restore| restore.code)
    }

    /// Refuses content that is not the one that was allowed to run.
    pub(crate) fn check_allowed(&self, content: &str) -> Result<()> {
        if self.allowed_content.as_deref().is_none_or(|allowed| allowed == content) {
            return Ok(());
        }
        Err(ProjectError::source(
            "The project's files changed after they were allowed to run",
            "Look at what would run now, and start it again.",
        ))
    }

    /// The value given for a parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Who makes the environment, in MLflow's words, and what Cairn makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvManager {
    /// No environment: `python` is the first on PATH.
    Local,
    /// Made by uv; MLflow's name is kept in the tag.
    Virtualenv,
    /// Made by uv.
    Uv,
    /// From `conda.yaml`, natively when it has channels.
    Conda,
    /// A container; only for projects with `docker_env`.
    Docker,
}

impl EnvManager {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Local, Self::Virtualenv, Self::Uv, Self::Conda, Self::Docker];

    /// MLflow's word, also the value of the tag `mlflow.project.env`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Virtualenv => "virtualenv",
            Self::Uv => "uv",
            Self::Conda => "conda",
            Self::Docker => "docker",
        }
    }

    /// Reads MLflow's word.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|manager| manager.name() == name)
    }
}

/// An argument of `docker run`: `-A gpus=all` or `-A t`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerArgument {
    /// One letter becomes `-x`, more become `--name`.
    pub name: String,
    /// `None` for a flag.
    pub value: Option<String>,
}

/// What an exact rerun takes from the run that it repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The run whose artifacts hold the capture.
    pub run_id: String,
    /// Whether its code is used (`cairn/source.bundle`), in a folder of its own.
    pub code: bool,
    /// Whether its environment is used (`cairn/environment.lock.txt`).
    pub environment: bool,
}
