//! The launch of a sweep: it submits the launches of the trials, and waits for them.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::Write,
    thread,
    time::{Duration, Instant},
};

use cairn_core::run::RunStatus;
use cairn_runtime::{
    launch::{Launch, LaunchId, LaunchKind, Placement},
    tracking::{Metric, NewRun, Tracking},
};

use super::{
    Asked, BEST_RUN_TAG, BEST_VALUE_TAG, Direction, PROGRESS_TAG, PRUNED_TAG, Past, SWEEP_JSON,
    Series, SweepRequest, TRIAL_TAG, TrialParams, median_says_stop, sampler,
    trials::{List, Outcome, Progress, Trial, from_store},
};
use crate::{
    error::{ProjectError, Result},
    launching::{LaunchTarget, coordinator, keep_request, now_ms, request_of, take_over},
    plan,
    project::Project,
    report::read,
    request::RunRequest,
    source::ProjectSource,
};

/// How often the trials are looked at.
const POLL: Duration = Duration::from_millis(250);
/// How often metrics of trials at work are asked for.
const PRUNE_EVERY: Duration = Duration::from_secs(1);
/// When so many trials failed and none ended well, the project is at fault.
const MAX_FIRST_FAILURES: usize = 3;

/// Submits a sweep. It is started at once: a sweep only waits, and its trials queue.
pub fn submit(target: &LaunchTarget, request: &SweepRequest) -> Result<LaunchId> {
    check(request)?;
    let count = request.trial_count().unwrap_or_default();
    let title = format!("{}: {count} trials", crate::prepare::title(&request.run));
    let spec = target.spec(title, LaunchKind::Sweep, None, request)?;
    target.submit(spec, Placement::Now)
}

/// Goes on with a sweep that ended before its trials did: trials that are done stay done, those that
/// were stopped run again. `None` when the run is no sweep.
pub fn resume(target: &LaunchTarget, run_id: &str) -> Result<Option<LaunchId>> {
    resumed(target, run_id)?.map(|request| submit(target, &request)).transpose()
}

/// What [`resume`] submits; `None` when the run is no sweep.
pub fn resumed(target: &LaunchTarget, run_id: &str) -> Result<Option<SweepRequest>> {
    let tracking = target.tracking()?;
    let Some(text) = read::text(&tracking, run_id, SWEEP_JSON) else { return Ok(None) };
    let mut request: SweepRequest = serde_json::from_str(&text)
        .map_err(|error| ProjectError::source(format!("{SWEEP_JSON} of {run_id}: {error}"), ""))?;
    request.resume_run_id = Some(run_id.to_owned());
    // The person who goes on with it asks for what is there now.
    request.run.allowed_content = None;
    Ok(Some(request))
}

fn check(request: &SweepRequest) -> Result<()> {
    let problems = request.problems();
    if problems.is_empty() {
        return Ok(());
    }
    Err(ProjectError::Problems(
        problems.into_iter().map(|text| crate::Problem::of_request(text, None)).collect(),
    ))
}

/// Makes the launch of a sweep ready: its run, and what is to be run.
pub fn prepare(launch: &Launch) -> Result<()> {
    let request: SweepRequest = request_of(launch)?;
    check(&request)?;
    check_allowed(&request.run)?;
    let target = LaunchTarget::of(launch);
    let tracking = target.tracking()?;
    let run_id = if let Some(run_id) = &request.resume_run_id {
        if let Some(earlier) = take_over(&target, &tracking, launch, run_id, "sweep")? {
            List::copy(&earlier.folder, &launch.folder);
        }
        run_id.clone()
    } else {
        let run = crate::launching::parent_run(&tracking, &request.run, launch)?;
        let run_id = tracking.create_run(&NewRun {
            name: request.run.run_name.clone().or_else(|| Some("sweep".to_owned())),
            ..run
        })?;
        let mut kept = request.clone();
        kept.resume_run_id = None;
        keep_request(&tracking, &run_id, SWEEP_JSON, &kept)?;
        let params: Vec<(String, String)> = request
            .run
            .params
            .iter()
            .cloned()
            .chain(request.space.iter().map(|param| (param.name.clone(), param.values.to_string())))
            .collect();
        let total = request.trial_count().unwrap_or_default();
        let tag = (PROGRESS_TAG.to_owned(), format!("0 of {total} done"));
        tracking.log_batch(&run_id, &params, &[tag], &[])?;
        run_id
    };
    launch.note_run(&run_id)?;
    launch.write_child(&coordinator(launch)?)?;
    Ok(())
}

/// Refuses a folder that changed since it was allowed, before there is a run. What has to be fetched is
/// looked at by each trial.
fn check_allowed(run: &RunRequest) -> Result<()> {
    if run.allowed_content.is_none() {
        return Ok(());
    }
    let source = ProjectSource::parse(&run.uri, run.version.as_deref(), &run.caller_folder)?;
    let Some(folder) = source.in_place() else { return Ok(()) };
    let project = Project::parse(folder).map_err(ProjectError::Problems)?;
    plan::check_allowed(run, &project)
}

/// Runs a sweep to its end: the child of its launch. `out` gets a line for each trial.
///
/// Answers whether it ended well: at least one trial did.
pub fn coordinate(launch: &Launch, out: &mut dyn Write) -> Result<bool> {
    let request: SweepRequest = request_of(launch)?;
    let target = LaunchTarget::of(launch);
    let tracking = target.tracking()?;
    let run_id = launch
        .run_id
        .clone()
        .ok_or_else(|| ProjectError::source("The sweep has no run", "Start it again."))?;
    let experiment_id = tracking.get_run(&run_id)?.info.experiment_id;
    let mut list = List::open(&launch.folder)?;
    if request.resume_run_id.is_some() {
        let children = children(&tracking, &experiment_id, &run_id)?;
        let names: Vec<&str> = request.space.iter().map(|param| param.name.as_str()).collect();
        // Launches that are pruned are not there any more, their runs are.
        for trial in from_store(&children, &names) {
            if list.is_lost(trial.number, &target.launches) {
                list.add(trial)?;
            }
        }
    }
    let mut sweep = Sweep {
        limit: match request.parallel {
            Some(limit) => limit,
            None => target.launches.queue()?.limit,
        },
        request,
        target,
        tracking,
        run_id,
        experiment_id,
        list,
        ended: HashMap::new(),
        series: HashMap::new(),
        best: None,
        pruned_at: Instant::now(),
    };
    sweep.retry_interrupted(out)?;
    sweep.run(out)
}

fn children(
    tracking: &Tracking,
    experiment_id: &str,
    run_id: &str,
) -> Result<Vec<cairn_runtime::tracking::RunRecord>> {
    let filter = format!("tags.mlflow.parentRunId = '{run_id}'");
    Ok(tracking.search_runs(&[experiment_id.to_owned()], &filter, super::MAX_TRIALS)?)
}

struct Sweep {
    request: SweepRequest,
    target: LaunchTarget,
    tracking: Tracking,
    run_id: String,
    experiment_id: String,
    limit: usize,
    list: List,
    /// By number.
    ended: HashMap<usize, (Outcome, Option<f64>)>,
    /// The goal metric of trials that ended by themselves, by number.
    series: HashMap<usize, Series>,
    best: Option<(f64, String)>,
    pruned_at: Instant,
}

impl Sweep {
    /// After a resume: what did not get its chance gets a new launch.
    fn retry_interrupted(&mut self, out: &mut dyn Write) -> Result<()> {
        for trial in self.list.trials.clone() {
            let progress = trial.progress(&self.target.launches, &self.tracking)?;
            if matches!(&progress, Progress::Ended(outcome) if outcome.is_interrupted) {
                say(out, &format!("Trial {} runs again: it was interrupted", trial.number));
                self.list.add(Trial { launch_id: Some(LaunchId::new()), run_id: None, ..trial })?;
            }
        }
        Ok(())
    }

    fn run(&mut self, out: &mut dyn Write) -> Result<bool> {
        let sampler = sampler(&self.request);
        let total = self.request.trial_count();
        let mut is_exhausted = false;
        loop {
            let mut active = 0;
            let before = self.ended.len();
            for trial in self.list.trials.clone() {
                if self.ended.contains_key(&trial.number) {
                    continue;
                }
                match trial.progress(&self.target.launches, &self.tracking)? {
                    Progress::NotSubmitted => {
                        self.submit(&trial)?;
                        active += 1;
                    }
                    Progress::Active { .. } => active += 1,
                    Progress::Ended(outcome) => self.settle(&trial, outcome, out)?,
                }
            }
            if self.ended.len() > before {
                self.tell_progress(total)?;
            }
            if self.is_hopeless() {
                say(
                    out,
                    &format!(
                        "The first {MAX_FIRST_FAILURES} trials failed, so the sweep ends here"
                    ),
                );
                for trial in &self.list.trials {
                    if let (Some(id), false) =
                        (&trial.launch_id, self.ended.contains_key(&trial.number))
                    {
                        self.target.launches.stop(id)?;
                    }
                }
                return Ok(false);
            }
            let is_out = total.is_some_and(|total| self.list.trials.len() >= total);
            if !is_out && !is_exhausted && active < self.limit {
                let number =
                    self.list.trials.iter().map(|trial| trial.number).max().unwrap_or(0) + 1;
                match sampler.ask(number, &self.past()) {
                    Asked::Trial(params) => {
                        let trial = Trial {
                            number,
                            params,
                            launch_id: Some(LaunchId::new()),
                            run_id: None,
                        };
                        self.list.add(trial.clone())?;
                        self.submit(&trial)?;
                        continue;
                    }
                    Asked::Done => is_exhausted = true,
                }
            }
            if active == 0 && (is_out || is_exhausted) {
                break;
            }
            self.prune(out)?;
            thread::sleep(POLL);
        }
        let good = self.ended.values().filter(|(it, _)| it.status == RunStatus::Finished).count();
        match &self.best {
            Some((value, run_id)) => say(out, &format!("Best: {value} by run {run_id}")),
            None => say(out, &format!("{good} trials ended well")),
        }
        Ok(good > 0)
    }

    fn submit(&self, trial: &Trial) -> Result<()> {
        let mut request: RunRequest = self.request.run.clone();
        request.params.extend(trial.params.clone());
        request.experiment_name = None;
        request.experiment_id = Some(self.experiment_id.clone());
        request.parent_run_id = Some(self.run_id.clone());
        request.run_name = Some(format!("trial {}", trial.number));
        request.tags.insert(TRIAL_TAG.to_owned(), trial.number.to_string());
        let title = format!("trial {}: {}", trial.number, shown(&trial.params));
        let mut spec =
            self.target.spec(title, LaunchKind::Project, trial.launch_id.clone(), &request)?;
        spec.parent_run_id = Some(self.run_id.clone());
        self.target.submit(spec, Placement::Queue)?;
        Ok(())
    }

    /// Takes note of a trial that is over.
    fn settle(&mut self, trial: &Trial, outcome: Outcome, out: &mut dyn Write) -> Result<()> {
        let mut value = None;
        if let (Some(goal), Some(run_id)) = (&self.request.goal, &outcome.run_id) {
            let run = self.tracking.get_run(run_id)?;
            value = run.metrics.get(&goal.metric).map(|metric| metric.value);
            if outcome.status == RunStatus::Finished && self.request.prune.is_some() {
                self.series.insert(trial.number, self.goal_series(run_id)?);
            }
        }
        let is_good = outcome.status == RunStatus::Finished;
        let mut line = format!("Trial {}: {}", trial.number, shown(&trial.params));
        if let (Some(value), Some(goal)) = (value, &self.request.goal) {
            let _ = write!(line, " → {} {value}", goal.metric);
        }
        if outcome.is_pruned {
            line.push_str(", pruned");
        } else if let Some(cause) = &outcome.cause {
            let _ = write!(line, ": {cause}");
        }
        if let (true, Some(value), Some(goal), Some(run_id)) =
            (is_good, value, &self.request.goal, &outcome.run_id)
        {
            let is_best =
                self.best.as_ref().is_none_or(|(best, _)| goal.direction.is_better(value, *best));
            if is_best {
                line.push_str(", the best so far");
                self.best = Some((value, run_id.clone()));
                let tags = [
                    (BEST_RUN_TAG.to_owned(), run_id.clone()),
                    (BEST_VALUE_TAG.to_owned(), value.to_string()),
                ];
                let metric = Metric {
                    key: format!("best_{}", goal.metric),
                    value,
                    timestamp_ms: now_ms(),
                    step: trial.number as i64,
                };
                self.tracking.log_batch(&self.run_id, &[], &tags, &[metric])?;
            }
        }
        say(out, &line);
        self.ended.insert(trial.number, (outcome, value));
        Ok(())
    }

    fn tell_progress(&self, total: Option<usize>) -> Result<()> {
        let pruned = self.ended.values().filter(|(it, _)| it.is_pruned).count();
        let failed = self
            .ended
            .values()
            .filter(|(it, _)| !it.is_pruned && it.status != RunStatus::Finished)
            .count();
        let mut text = match total {
            Some(total) => format!("{} of {total} done", self.ended.len()),
            None => format!("{} done", self.ended.len()),
        };
        if pruned > 0 {
            let _ = write!(text, ", {pruned} pruned");
        }
        if failed > 0 {
            let _ = write!(text, ", {failed} failed");
        }
        Ok(self.tracking.set_tag(&self.run_id, PROGRESS_TAG, &text)?)
    }

    fn is_hopeless(&self) -> bool {
        let failed = |(outcome, _): &(Outcome, Option<f64>)| {
            outcome.status == RunStatus::Failed && !outcome.is_pruned
        };
        self.ended.len() >= MAX_FIRST_FAILURES && self.ended.values().all(failed)
    }

    /// What the sampler learns from: trials that ended well, and pruned ones with what they reached.
    fn past(&self) -> Vec<Past> {
        let past = self.list.trials.iter().filter_map(|trial| {
            let (outcome, value) = self.ended.get(&trial.number)?;
            let counts = outcome.status == RunStatus::Finished || outcome.is_pruned;
            let value = (*value).filter(|_| counts)?;
            Some(Past { params: trial.params.clone(), value })
        });
        past.collect()
    }

    fn goal_series(&self, run_id: &str) -> Result<Series> {
        let Some(goal) = &self.request.goal else { return Ok(Series::new()) };
        let mut history = self.tracking.metric_history(run_id, &goal.metric)?;
        history.sort_by_key(|point| (point.step, point.timestamp_ms));
        Ok(history.iter().map(|point| (point.step, point.value)).collect())
    }

    /// Stops the trials that the median rule gives up.
    fn prune(&mut self, out: &mut dyn Write) -> Result<()> {
        let (Some(prune), Some(goal)) = (self.request.prune, &self.request.goal) else {
            return Ok(());
        };
        if self.pruned_at.elapsed() < PRUNE_EVERY {
            return Ok(());
        }
        self.pruned_at = Instant::now();
        let direction: Direction = goal.direction;
        let others: Vec<Series> = self.series.values().cloned().collect();
        if others.len() < prune.startup_trials.max(1) {
            return Ok(());
        }
        for trial in self.list.trials.clone() {
            if self.ended.contains_key(&trial.number) {
                continue;
            }
            let progress = trial.progress(&self.target.launches, &self.tracking)?;
            let (Progress::Active { run_id: Some(run_id), is_running: true }, Some(launch_id)) =
                (progress, &trial.launch_id)
            else {
                continue;
            };
            let running = self.goal_series(&run_id)?;
            if let Some(why) = median_says_stop(prune, direction, &running, &others) {
                say(out, &format!("Trial {} is pruned: {why}", trial.number));
                self.tracking.set_tag(&run_id, PRUNED_TAG, &why)?;
                self.target.launches.stop(launch_id)?;
            }
        }
        Ok(())
    }
}

fn shown(params: &TrialParams) -> String {
    let pairs: Vec<String> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(" ")
}

/// A line of the log. That it cannot be written stops nothing.
fn say(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}
