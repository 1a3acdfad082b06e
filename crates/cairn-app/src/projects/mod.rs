//! Projects as the window sees them: the list, one project, what would run, and running it.
//!
//! Looking at a project reads its files and starts nothing: no git, no Python.

pub mod dto;
mod fetched;
pub(crate) mod known;
mod parts;
pub(crate) mod running;
mod sources;

use std::{collections::BTreeMap, fs, path::Path};

use cairn_core::UnixMillis;
use cairn_projects::{
    DeclaredEnvironment, Parameter, Problem, Project,
    pipeline::{Pipeline, PipelineState},
};

use crate::{
    app::App,
    commands::NoArgs,
    dto::{CommandError, ErrorCode, LiveEvent, RunStatus},
    errors,
};
use dto::{
    PipelineStep, ProjectDetail, ProjectEntryPoint, ProjectParameter, ProjectProblem, ProjectRef,
    ProjectRun, ProjectSummary,
};
pub(crate) use fetched::fetch;
use known::Known;
pub(crate) use parts::{parts, plan_resume, resume};
pub(crate) use running::{plan_draft as plan, plan_sweep, run, run_pipeline, run_sweep};
use sources::{Place, RunOfProject};

/// Runs that a project's page lists.
const MOST_RUNS: usize = 20;
/// Scripts that are offered where a project declares no entry point.
const MOST_SCRIPTS: usize = 50;

pub(crate) async fn list(app: &App, _: NoArgs) -> Result<Vec<ProjectSummary>, CommandError> {
    let runs = sources::runs(app).await?;
    let known = Known::load(&app.inner.options.data_dir);
    let listed = tokio::task::spawn_blocking(move || {
        let mut by_uri: BTreeMap<String, Vec<RunOfProject>> = BTreeMap::new();
        for run in runs {
            by_uri.entry(run.uri.clone()).or_default().push(run);
        }
        by_uri.retain(|uri, runs| {
            let forgotten = known.forgotten.get(uri).copied().unwrap_or(i64::MIN);
            runs.iter().any(|run| run.start_time.unwrap_or(i64::MAX) > forgotten)
        });
        for uri in known.added.keys() {
            by_uri.entry(uri.clone()).or_default();
        }
        let mut projects: Vec<(i64, ProjectSummary)> = by_uri
            .iter()
            .map(|(uri, runs)| {
                let summary = summary(uri, runs, known.added.contains_key(uri));
                let added = known.added.get(uri).copied().unwrap_or(0);
                (summary.last_run_time.unwrap_or(0).max(added), summary)
            })
            .collect();
        projects.sort_by_key(|(used, _)| std::cmp::Reverse(*used));
        projects.into_iter().map(|(_, summary)| summary).collect()
    })
    .await;
    listed.map_err(errors::internal)
}

/// Runs are newest first.
fn summary(uri: &str, runs: &[RunOfProject], is_added: bool) -> ProjectSummary {
    let place = Place::of(uri);
    let parsed = place.folder().map(|folder| look(&folder));
    let (name, count, problem) = match parsed {
        Some(Ok(project)) => (project.name.clone(), Some(entry_points(&project).len()), None),
        Some(Err(problems)) => (None, None, problems.into_iter().next().map(problem_view)),
        None => (None, None, None),
    };
    let last = runs.first();
    ProjectSummary {
        name: name.unwrap_or_else(|| place.name()),
        place: place.shown(),
        kind: place.kind(),
        entry_point_count: count.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
        last_run: last.map(|run| run.link.clone()),
        last_run_time: last.and_then(|run| run.start_time),
        run_count: runs.len() as u64,
        problem,
        is_added,
        uri: uri.to_owned(),
    }
}

/// Reads a project's folder.
fn look(folder: &Path) -> Result<Project, Vec<Problem>> {
    if !folder.is_dir() {
        let message = format!("There is no folder {}", errors::shorten_home(folder));
        let hint = "It was moved or deleted. Put it back, or take the project off the list.";
        return Err(vec![Problem::of_request(message, hint.to_owned())]);
    }
    Project::parse(folder)
}

fn entry_points(project: &Project) -> Vec<ProjectEntryPoint> {
    let declared: Vec<ProjectEntryPoint> = project
        .entry_points
        .iter()
        .map(|entry| ProjectEntryPoint {
            name: entry.name.clone(),
            command: Some(entry.command.clone()),
            parameters: entry.parameters.iter().map(parameter).collect(),
            is_script: false,
        })
        .collect();
    if declared.is_empty() { scripts(&project.folder) } else { declared }
}

fn parameter(declared: &Parameter) -> ProjectParameter {
    ProjectParameter {
        name: declared.name.clone(),
        kind: declared.kind.name().to_owned(),
        default: declared.default.clone(),
    }
}

/// What can be run in a folder that declares nothing: Python, shell and notebook files in it.
fn scripts(folder: &Path) -> Vec<ProjectEntryPoint> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = files
        .filter(|file| file.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|file| file.file_name().into_string().ok())
        .filter(|name| {
            !name.starts_with(['.', '_'])
                && [".py", ".sh", ".ipynb"].iter().any(|ending| name.ends_with(ending))
        })
        .collect();
    names.sort();
    names.truncate(MOST_SCRIPTS);
    names
        .into_iter()
        .map(|name| ProjectEntryPoint {
            name,
            command: None,
            parameters: Vec::new(),
            is_script: true,
        })
        .collect()
}

pub(crate) async fn add(app: &App, args: ProjectRef) -> Result<ProjectSummary, CommandError> {
    let place = Place::given(&args.uri)?;
    if let Some(folder) = place.folder()
        && !folder.is_dir()
    {
        return Err(CommandError::new(
            ErrorCode::NotFound,
            format!("There is no folder {}", errors::shorten_home(&folder)),
        )
        .with_hint(
            "Give the folder of a project, the address of a git repository, or a zip file.",
        ));
    }
    let uri = place.uri();
    let added = uri.clone();
    Known::change(&app.inner.options.data_dir, |known| {
        known.forgotten.remove(&added);
        known.added.insert(added, UnixMillis::now().0);
    })?;
    app.tell(LiveEvent::Projects);
    let runs: Vec<RunOfProject> =
        sources::runs(app).await?.into_iter().filter(|run| run.uri == uri).collect();
    let summary = tokio::task::spawn_blocking(move || summary(&uri, &runs, true)).await;
    summary.map_err(errors::internal)
}

pub(crate) async fn forget(app: &App, args: ProjectRef) -> Result<(), CommandError> {
    Known::change(&app.inner.options.data_dir, |known| {
        known.added.remove(&args.uri);
        known.forgotten.insert(args.uri, UnixMillis::now().0);
    })?;
    app.tell(LiveEvent::Projects);
    Ok(())
}

pub(crate) async fn get(app: &App, args: ProjectRef) -> Result<ProjectDetail, CommandError> {
    let place = Place::given(&args.uri)?;
    let uri = place.uri();
    let mut runs = sources::runs(app).await?;
    runs.retain(|run| run.uri == uri);
    let latest = runs.iter().find_map(|run| Some((run.pipeline.as_ref()?, run.link.status)));
    let is_ended = latest.is_some_and(|(_, status)| status != RunStatus::Running);
    let state: PipelineState =
        latest.and_then(|(text, _)| serde_json::from_str(text).ok()).unwrap_or_default();
    let step_runs = parts::links(&app.store()?, &state).await;
    runs.truncate(MOST_RUNS);
    let data_dir = app.inner.options.data_dir.clone();
    let detail = tokio::task::spawn_blocking(move || {
        let here = fetched::here(&data_dir, &place.uri(), args.version.as_deref());
        let folder = match (&args.version, here) {
            (_, Some(here)) => Some(here.fetched.folder),
            (None, None) => place.folder(),
            (Some(_), None) => None,
        };
        let parsed = folder.as_deref().map(look);
        let (project, mut problems) = match parsed {
            Some(Ok(project)) => (Some(project), Vec::new()),
            Some(Err(problems)) => (None, problems),
            None => (None, Vec::new()),
        };
        let declared = project.as_ref().and_then(Pipeline::of);
        let pipeline_parameters = match &declared {
            Some(Ok(pipeline)) => pipeline.parameters.iter().map(parameter).collect(),
            _ => Vec::new(),
        };
        let steps = match declared {
            Some(Ok(pipeline)) => pipeline
                .steps
                .into_iter()
                .map(|step| PipelineStep {
                    last: state
                        .steps
                        .iter()
                        .find(|known| known.name == step.name)
                        .map(|known| parts::step_run(known, &step_runs, is_ended)),
                    name: step.name,
                    entry_point: step.entry_point,
                    needs: step.needs,
                })
                .collect(),
            Some(Err(wrong)) => {
                problems.extend(wrong);
                Vec::new()
            }
            None => Vec::new(),
        };
        let head = folder.as_deref().and_then(sources::head_of);
        ProjectDetail {
            uri: place.uri(),
            name: project
                .as_ref()
                .and_then(|project| project.name.clone())
                .unwrap_or_else(|| place.name()),
            place: place.shown(),
            kind: place.kind(),
            is_here: folder.is_some(),
            entry_points: project.as_ref().map(entry_points).unwrap_or_default(),
            environment: project.as_ref().and_then(|project| environment(&project.environment)),
            commit: head.as_ref().and_then(|head| head.commit.clone()),
            branch: head.and_then(|head| head.branch),
            steps,
            pipeline_parameters,
            problems: problems.into_iter().map(problem_view).collect(),
            runs: runs
                .into_iter()
                .map(|run| ProjectRun {
                    run: run.link,
                    entry_point: run.entry_point,
                    start_time: run.start_time,
                    end_time: run.end_time,
                })
                .collect(),
        }
    })
    .await;
    detail.map_err(errors::internal)
}

/// What an environment is made from, in a few words.
fn environment(declared: &DeclaredEnvironment) -> Option<String> {
    match declared {
        DeclaredEnvironment::Docker(docker) => Some(docker.image.clone()),
        DeclaredEnvironment::Python { file } | DeclaredEnvironment::Conda { file } => {
            Some(file.display().to_string())
        }
        DeclaredEnvironment::Pyproject { is_locked: true } => Some("uv.lock".to_owned()),
        DeclaredEnvironment::Pyproject { is_locked: false } => Some("pyproject.toml".to_owned()),
        DeclaredEnvironment::Requirements => Some("requirements.txt".to_owned()),
        DeclaredEnvironment::None => None,
    }
}

fn problem_view(problem: Problem) -> ProjectProblem {
    let number = |at: Option<usize>| at.and_then(|at| u32::try_from(at).ok());
    ProjectProblem {
        file: problem.file,
        line: number(problem.line),
        column: number(problem.column),
        message: problem.message,
        hint: problem.hint,
    }
}
