//! The parts of a run that is made of others, the steps of a pipeline or the trials of a sweep, and
//! going on with one that ended before its parts did.

use std::{cmp::Ordering, collections::BTreeMap};

use cairn_core::{
    ExperimentId, RunId, UnixMillis,
    filter::{self, Context, Entity},
};
use cairn_projects::{
    RunPlan, RunRequest,
    pipeline::{self, PipelineRequest, PipelineState, StepState, StepStatus},
    sweep::{self, Direction, SweepRequest},
};
use cairn_runtime::launch::LaunchKind;
use cairn_store::{
    Store,
    run_table::{TableColumn, TableQuery, TableRow},
};
use jiff::tz::TimeZone;

use super::{
    dto::{
        PipelineStep, PipelineStepRun, PipelineStepState, RunParts, RunPlanView, RunResume,
        SweepTrial,
    },
    running::{self, Asked, PIPELINE, answer, blocking as in_projects, consent, target},
};
use crate::{
    app::App,
    dto::{CommandError, ErrorCode, RunLink, RunStatus},
    errors,
    launches::{self, dto::LaunchView},
    runs::{RunRef, blocking, link, parse_run},
};

/// Trials that a sweep's page lists, the best first.
const MOST_TRIALS: usize = 500;
const ENTRY_POINT: &str = "mlflow.project.entryPoint";

pub(crate) async fn parts(app: &App, args: RunRef) -> Result<Option<RunParts>, CommandError> {
    let store = app.store()?;
    let id = parse_run(&args.run_id)?;
    let run_id = id.clone();
    let run = store.read(move |tx| tx.run(&run_id)).await.map_err(errors::store_error)?;
    let tag = |key: &str| run.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.clone());
    let status = link(&run.info).status;
    let is_ended = has_ended(app, &args.run_id, status).await?;
    let can_resume = is_ended
        && matches!(status, RunStatus::Failed | RunStatus::Killed)
        && run.info.lifecycle_stage == cairn_core::LifecycleStage::Active;
    if let Some(text) = tag(pipeline::STATE_TAG) {
        let state: PipelineState = serde_json::from_str(&text).map_err(errors::internal)?;
        let steps = steps(&store, state, is_ended).await?;
        return Ok(Some(RunParts::Pipeline { steps, can_resume }));
    }
    let Some(progress) = tag(sweep::PROGRESS_TAG) else { return Ok(None) };
    let request = launches::artifact_text(app, &args.run_id, sweep::SWEEP_JSON).await;
    let request: Option<SweepRequest> = request.and_then(|text| serde_json::from_str(&text).ok());
    let names: Vec<String> = request
        .iter()
        .flat_map(|request| request.space.iter().map(|param| param.name.clone()))
        .collect();
    let goal = request.and_then(|request| request.goal);
    let experiment_id = run.info.experiment_id;
    let (trials, total) = {
        let (names, goal) = (names.clone(), goal.clone());
        blocking(move || {
            let mut wanted = vec![
                TableColumn::Tag(sweep::TRIAL_TAG.into()),
                TableColumn::Tag(sweep::PRUNED_TAG.into()),
            ];
            wanted.extend(names.iter().map(|name| TableColumn::Param(name.clone())));
            wanted.extend(goal.iter().map(|goal| TableColumn::Metric(goal.metric.clone())));
            let rows = children(&store, &id, experiment_id, &wanted)?;
            let mut trials = trials(&rows, &names, goal.as_ref());
            let total = trials.len();
            trials.truncate(MOST_TRIALS);
            Ok((trials, total))
        })
        .await?
    };
    Ok(Some(RunParts::Sweep {
        progress,
        names,
        metric: goal.as_ref().map(|goal| goal.metric.clone()),
        maximize: goal.is_some_and(|goal| goal.direction == Direction::Maximize),
        trials,
        total: total as u64,
        can_resume,
    }))
}

/// Whether nothing is at work on a run any more. Its launch knows better than its status, which a
/// client can set.
async fn has_ended(app: &App, run_id: &str, status: RunStatus) -> Result<bool, CommandError> {
    let launch = launches::launch_of(app, run_id).await?;
    Ok(launch.map_or(!matches!(status, RunStatus::Running | RunStatus::Scheduled), |launch| {
        launch.state.is_ended()
    }))
}

/// The runs nested in a run, newest first.
fn children(
    store: &Store,
    id: &RunId,
    experiment_id: ExperimentId,
    wanted: &[TableColumn],
) -> cairn_store::Result<Vec<TableRow>> {
    let context = Context { now: UnixMillis::now(), zone: TimeZone::system() };
    let filter = format!("tags.`mlflow.parentRunId` = '{id}'");
    let filter = filter::parse_extended(Entity::Runs, &filter, &context)
        .expect("a run's id has nothing that a filter could stumble over");
    let query = TableQuery {
        experiment_ids: vec![experiment_id],
        filter,
        order: Vec::new(),
        deleted: false,
    };
    Ok(store.run_table_page(&query, 0, sweep::MAX_TRIALS, wanted)?.rows)
}

/// The steps as a state has them, each with its run.
async fn steps(
    store: &Store,
    state: PipelineState,
    is_ended: bool,
) -> Result<Vec<PipelineStep>, CommandError> {
    let (links, mut entry_points) = (links(store, &state).await, BTreeMap::new());
    for run_id in links.keys().cloned() {
        let id = parse_run(&run_id)?;
        let tags = store.read(move |tx| tx.tags(&id)).await.map_err(errors::store_error)?;
        let entry_point = tags.into_iter().find(|tag| tag.key == ENTRY_POINT);
        entry_points.extend(entry_point.map(|tag| (run_id, tag.value)));
    }
    let steps = state.steps.into_iter().map(|step| {
        let entry_point = step.run_id.as_ref().and_then(|id| entry_points.get(id));
        PipelineStep {
            entry_point: entry_point.cloned().unwrap_or_else(|| step.name.clone()),
            last: Some(step_run(&step, &links, is_ended)),
            name: step.name,
            needs: step.needs,
        }
    });
    Ok(steps.collect())
}

/// The runs of the steps of a state that are in the store, by id.
pub(super) async fn links(store: &Store, state: &PipelineState) -> BTreeMap<String, RunLink> {
    let mut links = BTreeMap::new();
    for run_id in state.steps.iter().filter_map(|step| step.run_id.clone()) {
        if let Some(link) = launches::run_link(store, &run_id).await {
            links.insert(run_id, link);
        }
    }
    links
}

/// How a step went, and why where it did not go well.
pub(super) fn step_run(
    step: &StepState,
    links: &BTreeMap<String, RunLink>,
    is_ended: bool,
) -> PipelineStepRun {
    let run = step.run_id.as_ref().and_then(|id| links.get(id)).cloned();
    let state = step_state(step.status, run.as_ref().map(|run| run.status), is_ended);
    let tells_why = matches!(step.status, StepStatus::Failed | StepStatus::Skipped);
    PipelineStepRun { state, run, why: step.note.clone().filter(|_| tells_why) }
}

/// A pipeline that was stopped did not write down how its steps ended: then their runs say it, and what
/// waited was not run.
fn step_state(status: StepStatus, run: Option<RunStatus>, is_ended: bool) -> PipelineStepState {
    if is_ended {
        match (status, run) {
            (StepStatus::Waiting, _) | (StepStatus::Running, None) => {
                return PipelineStepState::Skipped;
            }
            (StepStatus::Running, Some(run)) => {
                return match run {
                    RunStatus::Finished => PipelineStepState::Finished,
                    RunStatus::Failed => PipelineStepState::Failed,
                    RunStatus::Killed => PipelineStepState::Killed,
                    RunStatus::Running | RunStatus::Scheduled => PipelineStepState::Running,
                };
            }
            _ => {}
        }
    }
    match status {
        StepStatus::Waiting => PipelineStepState::Waiting,
        StepStatus::Running => PipelineStepState::Running,
        StepStatus::Done => PipelineStepState::Finished,
        StepStatus::Cached => PipelineStepState::Cached,
        StepStatus::Failed => PipelineStepState::Failed,
        StepStatus::Skipped => PipelineStepState::Skipped,
    }
}

/// The trials of a sweep, ordered. Of several attempts at one trial the last one counts.
fn trials(rows: &[TableRow], names: &[String], goal: Option<&sweep::Goal>) -> Vec<SweepTrial> {
    let mut by_number: BTreeMap<u32, (SweepTrial, Option<f64>)> = BTreeMap::new();
    for row in rows {
        let number = row.tags.get(sweep::TRIAL_TAG).and_then(|text| text.parse().ok());
        let Some(number) = number else { continue };
        let value = goal.and_then(|goal| row.metrics.get(&goal.metric));
        let value = value.map(|value| value.unclamped());
        let trial = SweepTrial {
            number,
            run: link(&row.info),
            values: names
                .iter()
                .map(|name| row.params.get(name).cloned().unwrap_or_default())
                .collect(),
            value: value.map(Into::into),
            pruned: row.tags.get(sweep::PRUNED_TAG).cloned(),
            is_best: false,
        };
        by_number.entry(number).or_insert((trial, value));
    }
    ordered(by_number.into_values().collect(), goal.map(|goal| goal.direction))
}

/// The best trial, those at work, then the others from good to bad; as they come where there is no goal.
fn ordered(
    mut trials: Vec<(SweepTrial, Option<f64>)>,
    direction: Option<Direction>,
) -> Vec<SweepTrial> {
    if let Some(direction) = direction {
        trials.sort_by(|(a, value_a), (b, value_b)| {
            let by_value = match (value_a, value_b) {
                (Some(a), Some(b)) if direction.is_better(*a, *b) => Ordering::Less,
                (Some(a), Some(b)) if direction.is_better(*b, *a) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                _ => Ordering::Equal,
            };
            class(a).cmp(&class(b)).then(by_value)
        });
        let best = trials.iter().position(|(trial, value)| {
            trial.run.status == RunStatus::Finished && value.is_some_and(|value| !value.is_nan())
        });
        if let Some(best) = best {
            // Those at work stand before all that ended; the best goes before them.
            trials[..=best].rotate_right(1);
            trials[0].0.is_best = true;
        }
    }
    trials.into_iter().map(|(trial, _)| trial).collect()
}

/// Which trials stand before which, whatever they reached.
fn class(trial: &SweepTrial) -> u8 {
    match trial.run.status {
        RunStatus::Running | RunStatus::Scheduled => 0,
        RunStatus::Finished => 1,
        _ if trial.pruned.is_some() => 2,
        RunStatus::Failed | RunStatus::Killed => 3,
    }
}

/// What is gone on with.
enum Resumed {
    Pipeline(PipelineRequest),
    Sweep(SweepRequest),
}

/// What going on with a run would run.
async fn resumed(app: &App, run_id: &str) -> Result<(Resumed, Asked, RunPlan), CommandError> {
    parse_run(run_id)?;
    if let Some(launch) = launches::launch_of(app, run_id).await?
        && !launch.state.is_ended()
    {
        let what = match launch.spec.kind {
            LaunchKind::Pipeline => "pipeline",
            LaunchKind::Sweep => "sweep",
            LaunchKind::Project | LaunchKind::Rerun => "run",
        };
        let failure = format!("The {what} is still at work");
        return Err(CommandError::new(ErrorCode::InvalidInput, failure)
            .with_hint("Wait for its end, or stop it first."));
    }
    let to = target(app)?;
    let id = run_id.to_owned();
    let found = in_projects(move || {
        Ok(match pipeline::resumed(&to, &id)? {
            Some(request) => Some(Resumed::Pipeline(request)),
            None => sweep::resumed(&to, &id)?.map(Resumed::Sweep),
        })
    });
    let resumed = found.await?.ok_or_else(|| {
        CommandError::new(ErrorCode::InvalidInput, "Only pipelines and sweeps can be gone on with")
            .with_hint("Run it again.")
    })?;
    let request = match &resumed {
        Resumed::Pipeline(request) => {
            RunRequest { entry_point: PIPELINE.to_owned(), ..request.run.clone() }
        }
        Resumed::Sweep(request) => running::first_trial(request),
    };
    let (asked, plan) = running::asked_again(app, request).await?;
    Ok((resumed, asked, plan))
}

pub(crate) async fn plan_resume(app: &App, args: RunRef) -> Result<RunPlanView, CommandError> {
    let (_, asked, plan) = resumed(app, &args.run_id).await?;
    let is_allowed = running::is_allowed(app, &plan, &asked);
    Ok(running::plan_view(plan, is_allowed))
}

pub(crate) async fn resume(app: &App, args: RunResume) -> Result<LaunchView, CommandError> {
    let (mut resumed, asked, plan) = resumed(app, &args.run_id).await?;
    consent(app, &plan, &asked, args.allow.as_deref())?;
    let run = match &mut resumed {
        Resumed::Pipeline(request) => &mut request.run,
        Resumed::Sweep(request) => &mut request.run,
    };
    run.allowed_content = Some(plan.content_hash);
    let to = target(app)?;
    let id = in_projects(move || match &resumed {
        Resumed::Pipeline(request) => pipeline::submit(&to, request),
        Resumed::Sweep(request) => sweep::submit(&to, request),
    })
    .await?;
    answer(app, id).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(status: RunStatus) -> RunLink {
        let id = "0".repeat(32);
        RunLink { run_id: id, experiment_id: "0".to_owned(), name: "step".to_owned(), status }
    }

    fn step(status: StepStatus) -> StepState {
        StepState {
            name: "train".to_owned(),
            needs: Vec::new(),
            status,
            run_id: Some("0".repeat(32)),
            note: Some("why".to_owned()),
        }
    }

    #[test]
    fn a_step_of_a_pipeline_that_was_stopped_is_as_its_run_says() {
        use PipelineStepState as Shown;
        let check = |status: StepStatus, link: Option<RunStatus>, ended: bool, expected: Shown| {
            let links = link.map(|status| (run(status).run_id, run(status))).into_iter().collect();
            assert_eq!(step_run(&step(status), &links, ended).state, expected, "{status:?}");
        };
        check(StepStatus::Running, Some(RunStatus::Running), false, Shown::Running);
        check(StepStatus::Running, Some(RunStatus::Killed), true, Shown::Killed);
        check(StepStatus::Running, Some(RunStatus::Finished), true, Shown::Finished);
        check(StepStatus::Running, None, true, Shown::Skipped);
        check(StepStatus::Waiting, None, false, Shown::Waiting);
        check(StepStatus::Waiting, None, true, Shown::Skipped);
        check(StepStatus::Cached, Some(RunStatus::Finished), true, Shown::Cached);
    }

    fn trial(
        number: u32,
        status: RunStatus,
        value: Option<f64>,
        is_pruned: bool,
    ) -> (SweepTrial, Option<f64>) {
        let pruned = is_pruned.then(|| "worse".to_owned());
        let values = Vec::new();
        let shown = value.map(Into::into);
        let trial =
            SweepTrial { number, run: run(status), values, value: shown, pruned, is_best: false };
        (trial, value)
    }

    #[test]
    fn the_best_trial_stands_before_those_at_work_and_these_before_the_others() {
        use RunStatus::{Failed, Finished, Killed, Running};
        let trials = vec![
            trial(1, Finished, Some(0.5), false),
            trial(2, Failed, None, false),
            trial(3, Finished, Some(f64::NAN), false),
            trial(4, Killed, Some(0.9), true),
            trial(5, Finished, Some(0.2), false),
            trial(6, Running, Some(0.1), false),
            trial(7, Finished, None, false),
            trial(8, Running, None, false),
            trial(9, Finished, Some(0.7), false),
        ];
        let check = |direction: Option<Direction>, expected: &[u32], best: Option<u32>| {
            let found = ordered(trials.clone(), direction);
            let numbers: Vec<u32> = found.iter().map(|trial| trial.number).collect();
            assert_eq!(numbers, expected, "{direction:?}");
            let marked = found.iter().find(|trial| trial.is_best).map(|trial| trial.number);
            assert_eq!(marked, best, "{direction:?}");
        };
        check(Some(Direction::Minimize), &[5, 6, 8, 1, 9, 3, 7, 4, 2], Some(5));
        check(Some(Direction::Maximize), &[9, 6, 8, 1, 5, 3, 7, 4, 2], Some(9));
        check(None, &[1, 2, 3, 4, 5, 6, 7, 8, 9], None);
    }

    #[test]
    fn a_sweep_without_a_good_trial_has_no_best_one() {
        let trials = vec![
            trial(1, RunStatus::Finished, Some(f64::NAN), false),
            trial(2, RunStatus::Failed, Some(0.1), false),
        ];
        assert!(ordered(trials, Some(Direction::Minimize)).iter().all(|trial| !trial.is_best));
    }

    #[test]
    fn why_is_told_of_what_did_not_end_well_only() {
        let why = |status| step_run(&step(status), &BTreeMap::new(), true).why;
        assert_eq!(why(StepStatus::Failed).as_deref(), Some("why"));
        assert_eq!(why(StepStatus::Skipped).as_deref(), Some("why"));
        // Its note is the id of the run that it stands for.
        assert_eq!(why(StepStatus::Cached), None);
    }
}
