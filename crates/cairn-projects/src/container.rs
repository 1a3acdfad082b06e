//! A project with a `docker_env`: `cairn` runs podman or docker, and is the child.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn_runtime::RuntimeError;
use cairn_runtime::environment::container::{
    ContainerImage, ContainerRun, ContainerTool, PROJECT_PLACE, command_argv,
};
use cairn_runtime::launch::{ChildSpec, Launch};

use crate::error::Result;
use crate::plan::{PlannedParam, RunPlan};
use crate::problem::Problem;
use crate::project::ParameterKind;
use crate::request::RunRequest;

/// What is to run, for `cairn container-run`, in the launch's folder.
const FILE: &str = "container.json";

/// Variables that a container gets where they are set: those of MLflow, and the keys of the stores that artifacts
/// may lie in, as MLflow passes them.
const PASSED: [&str; 15] = [
    "MLFLOW_RUN_ID",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_EXPERIMENT_ID",
    "PYTHONUNBUFFERED",
    "NO_PROXY",
    "no_proxy",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_S3_ENDPOINT_URL",
    "MLFLOW_S3_IGNORE_TLS",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_ACCESS_KEY",
    "GOOGLE_CLOUD_PROJECT",
];

/// The command of a plan as podman or docker gets it. Starts neither.
///
/// Errors: what keeps it from running.
pub(crate) fn shown(
    image: &ContainerImage,
    request: &RunRequest,
    folder: &Path,
    params: &[PlannedParam],
    command: &str,
) -> std::result::Result<Vec<String>, Problem> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = |error: RuntimeError| {
        let hint = error.hint().map(str::to_owned);
        Problem::of_request(error.to_string(), hint)
    };
    let tool = ContainerTool::guess(&path).map_err(missing)?;
    let run = run(tool, "<name>", image, request, folder, params, command).map_err(missing)?;
    let program = run.tool.program().file_name().unwrap_or_default().to_string_lossy().into_owned();
    // What is created and then started is, in one word, run.
    let arguments = run.create_arguments().into_iter().skip(1);
    let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    Ok([program, "run".to_owned()].into_iter().chain(arguments).collect())
}

fn run(
    tool: ContainerTool,
    name: &str,
    image: &ContainerImage,
    request: &RunRequest,
    folder: &Path,
    params: &[PlannedParam],
    command: &str,
) -> std::result::Result<ContainerRun, RuntimeError> {
    let mut run = ContainerRun {
        tool,
        name: name.to_owned(),
        image: image.image.clone(),
        project: folder.to_owned(),
        readable: readable(folder, params),
        volumes: image.volumes.clone(),
        passed: PASSED.map(str::to_owned).to_vec(),
        set: Vec::new(),
        arguments: request
            .docker_args
            .iter()
            .map(|argument| (argument.name.clone(), argument.value.clone()))
            .collect(),
        command: command_argv(&in_container(command, folder)),
    };
    run.add_variables(&image.environment)?;
    Ok(run)
}

/// What parameters of type `path` name outside of the project: it is there under the same path.
fn readable(folder: &Path, params: &[PlannedParam]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = params
        .iter()
        .filter(|param| param.kind == ParameterKind::Path)
        .filter_map(|param| param.used.as_ref().or(param.value.as_ref()))
        .map(PathBuf::from)
        // A colon would end the path in the words of the container program.
        .filter(|path| path.is_absolute() && !path.starts_with(folder))
        .filter(|path| !path.to_string_lossy().contains(':'))
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Paths into the project lead to where it is in the container.
fn in_container(command: &str, folder: &Path) -> String {
    let folder = folder.to_string_lossy();
    if folder.len() < 2 {
        return command.to_owned();
    }
    command.replace(&format!("{folder}/"), &format!("{PROJECT_PLACE}/"))
}

/// What runs a project in a container: the image is fetched if it is not there, and its id is answered.
pub(crate) fn child(
    image: &ContainerImage,
    request: &RunRequest,
    plan: &RunPlan,
    launch: &Launch,
    env: BTreeMap<String, String>,
    env_remove: Vec<String>,
    fetch: &dyn Fn(&ContainerTool) -> Result<()>,
) -> Result<(ChildSpec, Option<String>)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tool = ContainerTool::find(&path)?;
    let name = format!("cairn-{}", launch.spec.launch_id.as_str());
    let run = run(tool, &name, image, request, &plan.folder, &plan.params, &plan.command)?;
    if !run.tool.has_image(&image.image) {
        fetch(&run.tool)?;
    }
    let id = run.tool.image_id(&image.image);
    let file = launch.folder.join(FILE);
    run.write(&file)?;
    let program = cairn_runtime::launch::program()?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let argv = vec![text(&program), "container-run".to_owned(), text(&file)];
    Ok((ChildSpec { argv, folder: plan.folder.clone(), env, env_remove }, id))
}

/// Removes a container that a launch left behind, because the program that watched it was killed.
pub(crate) fn clean_up(launch: &Launch) {
    let file = launch.folder.join(FILE);
    if file.is_file() {
        cairn_runtime::environment::container::remove(&file);
    }
}
