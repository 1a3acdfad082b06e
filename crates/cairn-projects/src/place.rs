//! The environment of a project, between what its file says and what `cairn_runtime` makes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn_runtime::environment::container::{ContainerImage, ContainerVariable};
use cairn_runtime::environment::{
    DeclaredEnvironment as Named, Environment, EnvironmentKind as Kind, EnvironmentManager,
    EnvironmentSpec, Environments, ProjectEnvironment, ProjectPlace, SpecProblem, notebook,
};

use crate::plan::{EnvironmentKind, EnvironmentPlan};
use crate::problem::{Place, Problem};
use crate::project::{DeclaredEnvironment, DockerVariable, Project};
use crate::request::EnvManager;

/// Reads which environment a project asks for; nothing is made or started.
///
/// A notebook gets papermill, whatever the project says.
pub(crate) fn of_project(
    project: &Project,
    manager: Option<EnvManager>,
    is_notebook: bool,
) -> Result<ProjectEnvironment, Problem> {
    let name = |file: &Path| Some(file.to_string_lossy().into_owned());
    let mut named = Named::default();
    match &project.environment {
        DeclaredEnvironment::Docker(docker) => {
            named.docker_env = Some(ContainerImage {
                image: docker.image.clone(),
                volumes: docker.volumes.clone(),
                environment: docker.environment.iter().map(container_variable).collect(),
            });
        }
        DeclaredEnvironment::Python { file } => named.python_env = name(file),
        DeclaredEnvironment::Conda { file } => named.conda_env = name(file),
        DeclaredEnvironment::Pyproject { .. }
        | DeclaredEnvironment::Requirements
        | DeclaredEnvironment::None => {}
    }
    let mut found =
        EnvironmentSpec::of_project_folder(&project.folder, &named, manager.map(runtime_manager))
            .map_err(problem)?;
    if is_notebook && manager != Some(EnvManager::Local) {
        match &mut found.place {
            ProjectPlace::Environment(spec) => *spec = notebook::with_papermill(spec),
            ProjectPlace::Local => {
                found.kind = Kind::Python;
                found.place = ProjectPlace::Environment(notebook::papermill_alone());
            }
            ProjectPlace::Container(_) => {}
        }
    }
    Ok(found)
}

/// What a plan says about an environment.
pub(crate) fn planned(
    environment: &ProjectEnvironment,
    asked: Option<EnvManager>,
    environments: &Environments,
) -> EnvironmentPlan {
    let (is_built, folder) = match &environment.place {
        ProjectPlace::Environment(spec) => match environments.find(spec) {
            Some(built) => (true, Some(built.folder().to_owned())),
            None => (false, Some(environments.root().join(spec.folder_name()))),
        },
        // Whether an image is there is only known to the program that has it.
        ProjectPlace::Local | ProjectPlace::Container(_) => (true, None),
    };
    let (kind, usual) = match environment.kind {
        Kind::None => (EnvironmentKind::Local, EnvManager::Local),
        Kind::Python => (EnvironmentKind::Python, EnvManager::Virtualenv),
        Kind::UvProject | Kind::Lock => (EnvironmentKind::Python, EnvManager::Uv),
        Kind::Conda => (EnvironmentKind::Conda, EnvManager::Conda),
        Kind::Container => (EnvironmentKind::Container, EnvManager::Docker),
    };
    // MLflow takes conda for a conda.yaml, also for one that Cairn makes without conda.
    let is_conda_file = environment.files.iter().any(|file| {
        file.file_name().is_some_and(|name| name.to_string_lossy().to_lowercase().contains("conda"))
    });
    let usual =
        if usual == EnvManager::Virtualenv && is_conda_file { EnvManager::Conda } else { usual };
    EnvironmentPlan {
        kind,
        manager: asked.filter(|_| kind != EnvironmentKind::Container).unwrap_or(usual),
        files: environment.files.iter().map(|file| file.to_string_lossy().into_owned()).collect(),
        summary: environment.summary(),
        is_built,
        folder,
    }
}

/// The variables that a program in an environment gets, and those it does not inherit.
pub(crate) fn variables(
    environment: &Environment,
    project_folder: &Path,
    python_path: &[PathBuf],
) -> (BTreeMap<String, String>, Vec<String>) {
    let mut variables: BTreeMap<String, String> = environment
        .variables()
        .into_iter()
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
        .collect();
    let mut removed: Vec<String> =
        Environment::variables_removed().iter().map(|&name| name.to_owned()).collect();
    if let Some(path) = joined(python_path.iter().map(|path| project_folder.join(path))) {
        variables.insert("PYTHONPATH".to_owned(), path);
    }
    removed.retain(|name| !variables.contains_key(name));
    (variables, removed)
}

/// Paths in the form of the PATH variable; `None` for none.
fn joined(paths: impl Iterator<Item = PathBuf>) -> Option<String> {
    let joined = std::env::join_paths(paths).ok()?.to_string_lossy().into_owned();
    (!joined.is_empty()).then_some(joined)
}

fn container_variable(variable: &DockerVariable) -> ContainerVariable {
    match variable {
        DockerVariable::Copied(name) => ContainerVariable::Copied(name.clone()),
        DockerVariable::Set(name, value) => ContainerVariable::Set(name.clone(), value.clone()),
    }
}

fn runtime_manager(manager: EnvManager) -> EnvironmentManager {
    match manager {
        EnvManager::Local => EnvironmentManager::Local,
        EnvManager::Virtualenv => EnvironmentManager::Virtualenv,
        EnvManager::Uv => EnvironmentManager::Uv,
        EnvManager::Conda => EnvironmentManager::Conda,
        EnvManager::Docker => EnvironmentManager::Docker,
    }
}

fn problem(problem: SpecProblem) -> Problem {
    let file = problem.file.to_string_lossy().into_owned();
    let hint = Some(problem.hint).filter(|hint| !hint.is_empty());
    match problem.line {
        0 => Problem::of_file(file, problem.message, hint),
        line => {
            Problem::at(file, Place { line, column: problem.column.max(1) }, problem.message, hint)
        }
    }
}
