//! Exactly what would run, in which folder and environment, before anything is started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn_runtime::environment::{EnvironmentSpec, Environments, ProjectEnvironment, ProjectPlace};
use serde::{Deserialize, Serialize};

use crate::container;
use crate::content::content_hash;
use crate::error::{ProjectError, Result};
use crate::params;
use crate::place;
use crate::problem::Problem;
use crate::project::{EntryPoint, ParameterKind, Project};
use crate::request::{EnvManager, RunRequest};
use crate::source::{Fetched, ProjectSource};
use crate::yaml::shortened;

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

/// A plan with what it was made of, for those who go on from it.
pub(crate) struct Planned {
    pub plan: RunPlan,
    /// `None` when there is no such entry point.
    pub entry_point: Option<EntryPoint>,
    /// `None` when the environment's files are wrong.
    pub environment: Option<ProjectEnvironment>,
}

/// What a run of a project in a folder would be. Reads the project's files, and starts nothing.
///
/// Errors: [`ProjectError::Problems`] when the project file is wrong, [`ProjectError::Source`] for a source that has to
/// be fetched first ([`ProjectSource::fetch`], then [`plan_fetched`]). What is wrong with parameters, the entry point or
/// the environment is in [`RunPlan::problems`]. Where code is restored, the plan is that of the project as it is now,
/// and what is not in its folder is no problem.
pub fn plan(request: &RunRequest, data_dir: &Path) -> Result<RunPlan> {
    let source =
        ProjectSource::parse(&request.uri, request.version.as_deref(), &request.caller_folder)?;
    let Some(folder) = source.in_place() else {
        return Err(ProjectError::source(
            "This project has to be fetched before it can be shown",
            "Fetch it first; nothing of it is started by that.",
        ));
    };
    let fetched = Fetched { folder: folder.to_owned(), source: source.clone(), branch: None };
    plan_fetched(request, &fetched, data_dir)
}

/// What a run of a project would be that was fetched before.
///
/// Errors: [`ProjectError::Problems`] when the project file is wrong.
pub fn plan_fetched(request: &RunRequest, fetched: &Fetched, data_dir: &Path) -> Result<RunPlan> {
    let environments = Environments::new(data_dir);
    let downloads = Path::new("<downloads>");
    let code = if request.restores_code() { Code::Elsewhere } else { Code::Here };
    make(request, &fetched.folder, code, &environments, None, downloads).map(|planned| planned.plan)
}

/// Where the code of a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// In the folder.
    Here,
    /// With an earlier run, and not restored yet: the folder is the project as it is now, so that
    /// nothing is said of what is not in it.
    Elsewhere,
}

/// Makes a plan. `restored` is the environment of an exact rerun, in place of the project's own.
pub(crate) fn make(
    request: &RunRequest,
    folder: &Path,
    code: Code,
    environments: &Environments,
    restored: Option<EnvironmentSpec>,
    downloads: &Path,
) -> Result<Planned> {
    let project = Project::parse(folder).map_err(ProjectError::Problems)?;
    let mut problems = Vec::new();
    if request.backend != "local" {
        problems.push(Problem::of_request(
            format!("Cairn has no backend \"{}\"", shortened(&request.backend)),
            "Projects run on this computer: leave --backend out, or give local.".to_owned(),
        ));
    }
    let entry_point = match project.entry_point(&request.entry_point, &shell()) {
        Ok(entry_point) => Some(entry_point),
        Err(_) if code == Code::Elsewhere => None,
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    let is_notebook = entry_point.as_ref().is_some_and(EntryPoint::is_notebook);
    if let Some(entry_point) =
        entry_point.as_ref().filter(|entry_point| entry_point.command_place.is_none())
        && code == Code::Here
        && !folder.join(&entry_point.name).is_file()
    {
        problems.push(Problem::of_request(
            format!(
                "There is no file \"{}\" in {}",
                shortened(&entry_point.name),
                folder.display()
            ),
            "Name the script from the project's folder on.".to_owned(),
        ));
    }
    let mut params = Vec::new();
    let mut command = String::new();
    if let Some(entry_point) = &entry_point {
        params = params::resolve(entry_point, request, folder, code, downloads);
        problems.extend(params::problems(&params));
        match params::command(entry_point, &params) {
            Ok(filled) => command = filled,
            Err(problem) => problems.push(problem),
        }
    }
    let declared = place::of_project(&project, request.env_manager, is_notebook);
    let content_hash = content_with(&project, &declared);
    let environment = match restored {
        Some(spec) => Ok(ProjectEnvironment {
            kind: spec.kind(),
            place: ProjectPlace::Environment(spec),
            files: Vec::new(),
            warnings: Vec::new(),
            // Where the project's own modules lie is no part of a lock.
            python_path: declared.map(|found| found.python_path).unwrap_or_default(),
        }),
        None => declared,
    };
    let mut warnings = project.warnings.clone();
    let (environment, environment_plan) = match environment {
        Ok(environment) => {
            warnings.extend(
                environment.warnings.iter().map(|text| Problem::of_request(text.clone(), None)),
            );
            let planned = place::planned(&environment, request.env_manager, environments);
            (Some(environment), planned)
        }
        Err(problem) => {
            problems.push(problem);
            (None, unknown_environment())
        }
    };
    let mut argv = shell_argv(&command);
    if let Some(ProjectPlace::Container(image)) = environment.as_ref().map(|found| &found.place) {
        match container::shown(image, request, folder, &params, &command) {
            Ok(shown) => argv = shown,
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(ProjectPlace::Environment(spec)) = environment.as_ref().map(|found| &found.place)
        && let Err(error) = environments.check_tools(spec)
    {
        let hint = error.hint().map(str::to_owned);
        problems.push(Problem::of_request(error.to_string(), hint));
    }
    let plan = RunPlan {
        name: project.name.clone().unwrap_or_else(|| folder_name(folder)),
        folder: folder.to_owned(),
        entry_point: request.entry_point.clone(),
        entry_points: project.entry_points.clone(),
        argv,
        command,
        env_added: variables_shown(&environment_plan),
        env_removed: vec!["MLFLOW_EXPERIMENT_NAME".to_owned()],
        environment: environment_plan,
        params,
        content_hash,
        problems,
        warnings,
    };
    Ok(Planned { plan, entry_point, environment })
}

/// Refuses a project that is another one than was allowed, before several of its entry points run. What
/// is restored is looked at by each of those runs.
pub(crate) fn check_allowed(run: &RunRequest, project: &Project) -> Result<()> {
    if run.allowed_content.is_none() || run.restores_code() {
        return Ok(());
    }
    run.check_allowed(&content_with(project, &place::of_project(project, run.env_manager, false)))
}

/// What consent to running a project is given to, whichever of its entry points runs.
fn content_with(project: &Project, declared: &Result<ProjectEnvironment, Problem>) -> String {
    let files = declared.as_ref().map(|found| found.files.as_slice()).unwrap_or_default();
    let named: Vec<PathBuf> =
        project.file.iter().map(PathBuf::from).chain(files.iter().cloned()).collect();
    content_hash(&project.folder, &named)
}

/// How MLflow runs a command: by bash, in the project's folder.
pub(crate) fn shell_argv(command: &str) -> Vec<String> {
    vec!["bash".to_owned(), "-c".to_owned(), command.to_owned()]
}

/// What runs `.sh` files.
fn shell() -> String {
    std::env::var("SHELL")
        .ok()
        .filter(|shell| !shell.is_empty())
        .unwrap_or_else(|| "bash".to_owned())
}

fn folder_name(folder: &Path) -> String {
    folder
        .file_name()
        .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn unknown_environment() -> EnvironmentPlan {
    EnvironmentPlan {
        kind: EnvironmentKind::Local,
        manager: EnvManager::Local,
        files: Vec::new(),
        summary: "Not known: its files are wrong".to_owned(),
        is_built: false,
        folder: None,
    }
}

/// The variables that a person is shown before a run; their values are known when it starts.
fn variables_shown(environment: &EnvironmentPlan) -> BTreeMap<String, String> {
    let mut shown: BTreeMap<String, String> = [
        ("MLFLOW_RUN_ID", "<the new run>"),
        ("MLFLOW_EXPERIMENT_ID", "<the experiment>"),
        ("MLFLOW_TRACKING_URI", "<this store's address>"),
        ("PYTHONUNBUFFERED", "1"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    if let Some(folder) = &environment.folder {
        let folder = folder.display();
        shown.insert("PATH".to_owned(), format!("{folder}/bin:<PATH>"));
        let own =
            if environment.kind == EnvironmentKind::Conda { "CONDA_PREFIX" } else { "VIRTUAL_ENV" };
        shown.insert(own.to_owned(), folder.to_string());
    }
    shown
}
