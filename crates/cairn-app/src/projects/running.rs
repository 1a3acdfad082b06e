//! What would run, whether it may, and running it.

use std::{collections::BTreeMap, path::PathBuf};

use cairn_core::UnixMillis;
use cairn_projects::{
    EnvManager, EnvironmentKind, ParameterOrigin, Problem, Project, ProjectError, RunPlan,
    RunRequest, launch_spec,
    launching::LaunchTarget,
    pipeline::{self, Pipeline, PipelineRequest},
    plan, plan_fetched, rerun,
    sweep::{self, Direction, Goal, Method, Prune, STARTUP_TRIALS, SweepRequest, Values},
};
use cairn_runtime::launch::{Launch, LaunchId, LaunchKind, Placement};

use super::{
    dto::{
        ParamOrigin, PipelineStart, PlannedEnvironment, PlannedParam, ProjectProblem, RunDraft,
        RunPlanView, RunStart, SweepMethod, SweepPlanView, SweepStart, SweepValues,
    },
    fetched::{self, project_error},
    known::Known,
    problem_view,
    sources::Place,
};
use crate::{
    app::{App, path_of},
    dto::{CommandError, CommandErrorText, ErrorCode, KeyValue, LiveEvent},
    errors,
    launches::{self, dto::LaunchView},
    token::token_of_launches,
};

/// What stands for the pipeline where an entry point is named.
pub(crate) const PIPELINE: &str = "pipeline:";

/// Runs blocking work of the crate for projects.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> cairn_projects::Result<T> + Send + 'static,
) -> Result<T, CommandError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(errors::internal)?.map_err(|error| project_error(&error))
}

/// Where launches log to: the open store, at its address.
pub(crate) fn target(app: &App) -> Result<LaunchTarget, CommandError> {
    let (store, tracking_uri) = app.place_to_log("Nothing can be run", "Runs")?;
    Ok(LaunchTarget {
        launches: app.inner.launches.clone(),
        tracking_uri,
        store: Some(path_of(&store).to_owned()),
        token_file: token_of_launches(&app.inner.options),
        parent_launch: None,
    })
}

/// A draft that can be planned and run.
pub(crate) struct Asked {
    pub request: RunRequest,
    /// What was fetched, for what is no folder of the person's.
    pub here: Option<fetched::Here>,
    /// What a rerun puts back.
    pub original: Option<crate::reruns::Original>,
}

/// What a draft asks for.
pub(crate) async fn asked(app: &App, draft: &RunDraft) -> Result<Asked, CommandError> {
    let place = Place::given(&draft.uri)?;
    let data_dir = app.inner.options.data_dir.clone();
    let params: Vec<(String, String)> =
        draft.params.iter().map(|param| (param.key.clone(), param.value.clone())).collect();
    let manager = match draft.env_manager.as_deref() {
        None => None,
        Some(name) => Some(EnvManager::parse(name).ok_or_else(|| {
            CommandError::new(ErrorCode::InvalidInput, format!("There is no environment by {name}"))
                .with_hint("Choose uv, virtualenv, conda, docker or local.")
        })?),
    };
    if let Some(original) = &draft.rerun_of {
        let original = crate::reruns::original(app, original).await?;
        let mut request = original.plan.request.clone().ok_or_else(|| {
            CommandError::new(ErrorCode::InvalidInput, original.plan.summary.clone())
        })?;
        request.params = params;
        request.experiment_id = match &draft.experiment {
            Some(_) => None,
            None => request.experiment_id,
        };
        request.experiment_name = draft.experiment.clone().or(request.experiment_name);
        request.run_name = draft.run_name.clone().or(request.run_name);
        if manager.is_some() {
            request.env_manager = manager;
        }
        return Ok(Asked { request, here: None, original: Some(original) });
    }
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
    // Files that parameters name are looked up in the project, where the person sees them.
    let caller = place.folder().or(home).unwrap_or_else(|| PathBuf::from("/"));
    let uri = place.uri();
    let mut request = RunRequest::new(uri.clone(), caller);
    request.version.clone_from(&draft.version);
    request.entry_point.clone_from(&draft.entry_point);
    request.params = params;
    request.env_manager = manager;
    request.experiment_name.clone_from(&draft.experiment);
    request.run_name.clone_from(&draft.run_name);
    let here = if place.folder().is_some() && draft.version.is_none() {
        None
    } else {
        let version = draft.version.clone();
        let found =
            tokio::task::spawn_blocking(move || fetched::here(&data_dir, &uri, version.as_deref()))
                .await;
        let here = found.map_err(errors::internal)?.ok_or_else(|| {
            CommandError::new(ErrorCode::NotFound, "This project was not fetched yet")
                .with_hint("Fetch it; nothing of it is run by that.")
        })?;
        // What was looked at is what runs, whatever was pushed since.
        if here.commit.is_some() {
            request.version.clone_from(&here.commit);
        }
        Some(here)
    };
    Ok(Asked { request, here, original: None })
}

/// What would run.
async fn planned(app: &App, asked: &Asked) -> Result<RunPlan, CommandError> {
    let data_dir = app.inner.options.data_dir.clone();
    let request = asked.request.clone();
    let here = asked.here.clone();
    let original = asked.original.clone();
    blocking(move || {
        let made = if request.entry_point == PIPELINE {
            plan_of_pipeline(&request, here.as_ref(), &data_dir)
        } else {
            match &here {
                Some(here) => plan_fetched(&request, &here.fetched, &data_dir),
                None => plan(&request, &data_dir),
            }
        };
        match &original {
            Some(original) => original.plan_of(&request, made),
            None => made.or_else(|error| match error {
                // A file that cannot be read is shown where the plan would stand.
                ProjectError::Problems(problems) => Ok(plan_with(&request, problems)),
                other => Err(other),
            }),
        }
    })
    .await
}

/// A plan that says only why there is none.
pub(crate) fn plan_with(request: &RunRequest, problems: Vec<Problem>) -> RunPlan {
    RunPlan {
        name: String::new(),
        folder: request.caller_folder.clone(),
        entry_point: request.entry_point.clone(),
        entry_points: Vec::new(),
        command: String::new(),
        argv: Vec::new(),
        environment: cairn_projects::EnvironmentPlan {
            kind: EnvironmentKind::Local,
            manager: request.env_manager.unwrap_or(EnvManager::Local),
            files: Vec::new(),
            summary: "Not known".to_owned(),
            is_built: false,
            folder: None,
        },
        params: Vec::new(),
        env_added: BTreeMap::new(),
        env_removed: Vec::new(),
        content_hash: String::new(),
        problems,
        warnings: Vec::new(),
    }
}

/// The plan of a pipeline: that of its first step, with all commands in order.
fn plan_of_pipeline(
    request: &RunRequest,
    here: Option<&fetched::Here>,
    data_dir: &std::path::Path,
) -> cairn_projects::Result<RunPlan> {
    let folder = match here {
        Some(here) => here.fetched.folder.clone(),
        None => PathBuf::from(&request.uri),
    };
    let project = Project::parse(&folder).map_err(ProjectError::Problems)?;
    let declared = Pipeline::of(&project).unwrap_or_else(|| {
        Err(vec![Problem::of_request("This project declares no pipeline", None)])
    });
    let declared = declared.map_err(ProjectError::Problems)?;
    let mut plans = Vec::new();
    for step in declared.order() {
        let mut of_step = request.clone();
        of_step.entry_point.clone_from(&step.entry_point);
        of_step.params = Vec::new();
        let made = match here {
            Some(here) => plan_fetched(&of_step, &here.fetched, data_dir)?,
            None => plan(&of_step, data_dir)?,
        };
        let command = project
            .entry_points
            .iter()
            .find(|entry| entry.name == step.entry_point)
            .map_or(made.command.clone(), |entry| entry.command.clone());
        plans.push((format!("# {}\n{command}", step.name), made));
    }
    let commands: Vec<String> = plans.iter().map(|(command, _)| command.clone()).collect();
    let (_, mut first) = plans.into_iter().next().ok_or_else(|| {
        ProjectError::Problems(vec![Problem::of_request("The pipeline has no steps", None)])
    })?;
    first.command = commands.join("\n");
    // Values of steps are made when the steps before them are done; the pipeline's own are given.
    first.params.clear();
    first.problems.retain(|problem| !problem.file.is_empty());
    first.problems.extend(declared.values(&request.params).err().into_iter().flatten());
    Ok(first)
}

/// A plan in the words of the window.
pub(crate) fn plan_view(plan: RunPlan, is_allowed: bool) -> RunPlanView {
    let environment = plan.environment;
    RunPlanView {
        command: plan.command,
        folder: errors::shorten_home(&plan.folder.components().collect::<PathBuf>()),
        environment: PlannedEnvironment {
            kind: match environment.kind {
                EnvironmentKind::Python => "uv",
                EnvironmentKind::Conda => "conda",
                EnvironmentKind::Container => "docker",
                EnvironmentKind::Local => "local",
            }
            .to_owned(),
            is_built: match environment.kind {
                EnvironmentKind::Python | EnvironmentKind::Conda => Some(environment.is_built),
                EnvironmentKind::Container | EnvironmentKind::Local => None,
            },
            summary: environment.summary,
            files: environment.files,
            folder: environment.folder.as_deref().map(errors::shorten_home),
        },
        params: plan
            .params
            .into_iter()
            .map(|param| PlannedParam {
                name: param.name,
                value: param.value.unwrap_or_default(),
                kind: param.kind.name().to_owned(),
                origin: match param.origin {
                    ParameterOrigin::Given => ParamOrigin::Given,
                    ParameterOrigin::Default => ParamOrigin::Default,
                    ParameterOrigin::Extra => ParamOrigin::Extra,
                    ParameterOrigin::Missing => ParamOrigin::Missing,
                },
                problem: param.problem,
            })
            .collect(),
        variables: plan.env_added.into_iter().map(|(key, value)| KeyValue { key, value }).collect(),
        content_hash: plan.content_hash,
        is_allowed,
        problems: plan.problems.into_iter().map(problem_view).collect(),
        warnings: plan.warnings.iter().map(warning_of).collect(),
    }
}

fn warning_of(problem: &Problem) -> String {
    let place = match (problem.file.as_str(), problem.line) {
        ("", _) => String::new(),
        (file, None) => format!("{file}: "),
        (file, Some(line)) => format!("{file}:{line}: "),
    };
    format!("{place}{}", problem.message)
}

/// Whether content may run without a question.
pub(super) fn is_allowed(app: &App, plan: &RunPlan, asked: &Asked) -> bool {
    let was_run_here = asked.original.as_ref().is_some_and(|original| original.was_run_here);
    !plan.content_hash.is_empty()
        && (was_run_here
            || Known::load(&app.inner.options.data_dir).allowed.contains_key(&plan.content_hash))
}

/// Lets through what may run: allowed before, or by this press.
pub(crate) fn consent(
    app: &App,
    plan: &RunPlan,
    asked: &Asked,
    allow: Option<&str>,
) -> Result<(), CommandError> {
    if let Some(problem) = plan.problems.first() {
        let ProjectProblem { message, hint, .. } = problem_view(problem.clone());
        let mut failure = CommandError::new(ErrorCode::InvalidInput, message);
        failure.hint = hint;
        return Err(failure);
    }
    if is_allowed(app, plan, asked) {
        return Ok(());
    }
    if allow != Some(plan.content_hash.as_str()) || plan.content_hash.is_empty() {
        return Err(CommandError::new(
            ErrorCode::NeedsConsent,
            if allow.is_some() {
                "The project’s files changed while you looked at them"
            } else {
                "This content was not allowed to run yet"
            },
        )
        .with_hint("Read what would run, then allow it."));
    }
    let hash = plan.content_hash.clone();
    Known::change(&app.inner.options.data_dir, |known| {
        known.allowed.insert(hash, UnixMillis::now().0);
    })?;
    Ok(())
}

/// Notes a project that was run, so that it is in the list before its run is.
fn remember(app: &App, uri: &str) -> Result<(), CommandError> {
    let uri = Place::of(uri).uri();
    Known::change(&app.inner.options.data_dir, |known| {
        known.forgotten.remove(&uri);
        known.added.entry(uri).or_insert_with(|| UnixMillis::now().0);
    })?;
    app.tell(LiveEvent::Projects);
    Ok(())
}

pub(super) async fn answer(app: &App, id: LaunchId) -> Result<LaunchView, CommandError> {
    let launches = app.inner.launches.clone();
    let launch: Launch = blocking(move || Ok(launches.get(&id)?)).await?;
    app.tell(LiveEvent::Queue);
    Ok(launches::view(app, launch).await)
}

pub(crate) async fn plan_draft(app: &App, draft: RunDraft) -> Result<RunPlanView, CommandError> {
    let asked = asked(app, &draft).await?;
    let plan = planned(app, &asked).await?;
    let is_allowed = is_allowed(app, &plan, &asked);
    Ok(plan_view(plan, is_allowed))
}

pub(crate) async fn run(app: &App, args: RunStart) -> Result<LaunchView, CommandError> {
    let asked = asked(app, &args.draft).await?;
    let plan = planned(app, &asked).await?;
    consent(app, &plan, &asked, args.allow.as_deref())?;
    let target = target(app)?;
    let placement = if args.draft.at_once { Placement::Now } else { Placement::Queue };
    let mut request = asked.request;
    // It may wait in the queue for long.
    request.allowed_content = Some(plan.content_hash);
    remember(app, &request.uri)?;
    let id = blocking(move || {
        let spec = launch_spec(&request, &target)?;
        target.submit(spec, placement)
    })
    .await?;
    answer(app, id).await
}

pub(crate) async fn run_pipeline(
    app: &App,
    args: PipelineStart,
) -> Result<LaunchView, CommandError> {
    let draft = RunDraft { entry_point: PIPELINE.to_owned(), ..args.draft };
    let asked = asked(app, &draft).await?;
    let plan = planned(app, &asked).await?;
    consent(app, &plan, &asked, args.allow.as_deref())?;
    let target = target(app)?;
    let mut run = asked.request;
    "main".clone_into(&mut run.entry_point);
    run.allowed_content = Some(plan.content_hash);
    remember(app, &run.uri)?;
    let request = PipelineRequest { run, ignore_cache: args.ignore_cache, resume_run_id: None };
    let id = blocking(move || pipeline::submit(&target, &request)).await?;
    answer(app, id).await
}

fn sweep_of(run: RunRequest, args: &SweepStart) -> SweepRequest {
    let mut seed = [0; 8];
    // Without randomness every sweep draws the same values; they are as good.
    let _ = getrandom::fill(&mut seed);
    let seed = u64::from_le_bytes(seed);
    let trials = args.sweep.trials as usize;
    SweepRequest {
        run,
        space: args
            .sweep
            .params
            .iter()
            .map(|param| sweep::SweepParam {
                name: param.name.clone(),
                values: match &param.values {
                    SweepValues::Choice { values } => Values::Choice { choices: values.clone() },
                    #[expect(clippy::cast_possible_truncation, reason = "asked for whole numbers")]
                    SweepValues::Range { low, high, is_whole: true, is_log } => Values::Int {
                        low: low.ceil() as i64,
                        high: high.floor() as i64,
                        log: *is_log,
                        points: None,
                    },
                    SweepValues::Range { low, high, is_whole: false, is_log } => {
                        Values::Float { low: *low, high: *high, log: *is_log, points: None }
                    }
                },
            })
            .collect(),
        method: match args.sweep.method {
            SweepMethod::Grid => Method::Grid,
            SweepMethod::Random => Method::Random { trials, seed },
            SweepMethod::Tpe => Method::Tpe { trials, seed, startup: STARTUP_TRIALS.min(trials) },
        },
        goal: args.sweep.metric.clone().map(|metric| Goal {
            metric,
            direction: if args.sweep.maximize { Direction::Maximize } else { Direction::Minimize },
        }),
        prune: args.sweep.prune.then(Prune::default),
        parallel: Some(args.sweep.parallel.max(1) as usize),
        resume_run_id: None,
    }
}

/// The first trial as a run: each parameter that varies has the first of its values.
pub(super) fn first_trial(request: &SweepRequest) -> RunRequest {
    let mut run = request.run.clone();
    for param in &request.space {
        let value = match &param.values {
            Values::Choice { choices } => choices.first().cloned().unwrap_or_default(),
            Values::Float { low, .. } => low.to_string(),
            Values::Int { low, .. } => low.to_string(),
        };
        run.params.retain(|(name, _)| *name != param.name);
        run.params.push((param.name.clone(), value));
    }
    run
}

async fn sweep_asked(
    app: &App,
    args: &SweepStart,
) -> Result<(SweepRequest, Asked, RunPlan), CommandError> {
    let mut asked = asked(app, &args.draft).await?;
    let varies = |name: &String| args.sweep.params.iter().any(|param| param.name == *name);
    asked.request.params.retain(|(name, _)| !varies(name));
    let request = sweep_of(asked.request.clone(), args);
    asked.request = first_trial(&request);
    let plan = planned(app, &asked).await?;
    Ok((request, asked, plan))
}

pub(crate) async fn plan_sweep(app: &App, args: SweepStart) -> Result<SweepPlanView, CommandError> {
    let (request, asked, plan) = sweep_asked(app, &args).await?;
    let is_allowed = is_allowed(app, &plan, &asked);
    Ok(SweepPlanView {
        trials: request.trial_count().unwrap_or_default() as u64,
        first: plan_view(plan, is_allowed),
        problems: request
            .problems()
            .into_iter()
            .map(|message| CommandErrorText { message, hint: None })
            .collect(),
    })
}

pub(crate) async fn run_sweep(app: &App, args: SweepStart) -> Result<LaunchView, CommandError> {
    let (mut request, asked, plan) = sweep_asked(app, &args).await?;
    consent(app, &plan, &asked, args.allow.as_deref())?;
    let target = target(app)?;
    // Its trials may wait in the queue for long.
    request.run.allowed_content = Some(plan.content_hash);
    remember(app, &request.run.uri)?;
    let id = blocking(move || sweep::submit(&target, &request)).await?;
    answer(app, id).await
}

/// Submits what a launch was asked to do once more.
pub(crate) async fn again(app: &App, old: &Launch) -> Result<LaunchView, CommandError> {
    let target = target(app)?;
    let wrong = || {
        CommandError::new(ErrorCode::InvalidInput, "This cannot be run again from here")
            .with_hint("Start it from its project.")
    };
    let request = old.spec.request.clone();
    let id = match old.spec.kind {
        LaunchKind::Sweep => {
            let mut sweep: SweepRequest = serde_json::from_value(request).map_err(|_| wrong())?;
            sweep.run.allowed_content = Some(allowed_again(app, first_trial(&sweep)).await?);
            blocking(move || sweep::submit(&target, &sweep)).await?
        }
        LaunchKind::Pipeline => {
            let mut chain: PipelineRequest =
                serde_json::from_value(request).map_err(|_| wrong())?;
            let run = RunRequest { entry_point: PIPELINE.to_owned(), ..chain.run.clone() };
            chain.run.allowed_content = Some(allowed_again(app, run).await?);
            blocking(move || pipeline::submit(&target, &chain)).await?
        }
        LaunchKind::Project | LaunchKind::Rerun => {
            let mut request: RunRequest = serde_json::from_value(request).map_err(|_| wrong())?;
            request.run_id = None;
            request.allowed_content = Some(allowed_again(app, request.clone()).await?);
            blocking(move || {
                let spec = launch_spec(&request, &target)?;
                target.submit(spec, Placement::Queue)
            })
            .await?
        }
    };
    answer(app, id).await
}

/// The content that a request would run now, if that was allowed before.
async fn allowed_again(app: &App, request: RunRequest) -> Result<String, CommandError> {
    let (asked, plan) = asked_again(app, request).await?;
    consent(app, &plan, &asked, None)?;
    Ok(plan.content_hash)
}

/// A request of earlier, with what it would run now.
pub(super) async fn asked_again(
    app: &App,
    request: RunRequest,
) -> Result<(Asked, RunPlan), CommandError> {
    let original = match &request.rerun_of {
        Some(original) if request.restore.is_some() => {
            Some(crate::reruns::original(app, original).await?)
        }
        _ => None,
    };
    let data_dir = app.inner.options.data_dir.clone();
    let (uri, version) = (Place::of(&request.uri).uri(), request.version.clone());
    let here =
        tokio::task::spawn_blocking(move || fetched::here(&data_dir, &uri, version.as_deref()))
            .await
            .map_err(errors::internal)?;
    let asked = Asked { request, here, original };
    let plan = planned(app, &asked).await?;
    Ok((asked, plan))
}

/// A rerun of a run, as it was.
pub(crate) async fn rerun(
    app: &App,
    run_id: &str,
    allow: Option<&str>,
) -> Result<LaunchView, CommandError> {
    let original = crate::reruns::original(app, run_id).await?;
    let request =
        original.plan.request.clone().ok_or_else(|| {
            CommandError::new(ErrorCode::InvalidInput, original.plan.summary.clone())
        })?;
    let asked = Asked { request, here: None, original: Some(original) };
    let plan = planned(app, &asked).await?;
    consent(app, &plan, &asked, allow)?;
    let target = target(app)?;
    let mut request = asked.request;
    request.allowed_content = Some(plan.content_hash);
    let id = blocking(move || rerun::start(&target, &request, Placement::Queue)).await?;
    answer(app, id).await
}

/// What a rerun of a run would do, and whether it may.
pub(crate) async fn rerun_plan(
    app: &App,
    original: crate::reruns::Original,
) -> Result<Option<RunPlanView>, CommandError> {
    let Some(request) = original.plan.request.clone() else { return Ok(None) };
    let asked = Asked { request, here: None, original: Some(original) };
    let plan = planned(app, &asked).await?;
    let is_allowed = is_allowed(app, &plan, &asked);
    Ok(Some(plan_view(plan, is_allowed)))
}
