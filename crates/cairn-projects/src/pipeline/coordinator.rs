//! The launch of a pipeline: it submits the launches of its steps when those before them are done.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    thread,
    time::Duration,
};

use cairn_core::run::RunStatus;
use cairn_runtime::{
    CancellationToken, RuntimeError,
    launch::{Launch, LaunchId, LaunchKind, LaunchState, Placement},
    tracking::{Metric, NewRun, RunRecord, Tracking},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    CACHED_FROM_TAG, KEY_TAG, Output, Piece, Pipeline, PipelineRequest, PipelineState, Reference,
    STATE_TAG, STEP_TAG, Step, StepState, StepStatus, Template,
};
use crate::{
    capture::{digest, hex},
    error::{ProjectError, Result},
    launching::{
        LaunchTarget, coordinator, keep_request, now_ms, parent_run, request_of, take_over,
    },
    plan,
    project::{ParameterKind, Project},
    report::read,
    source::ProjectSource,
};

/// How often the steps are looked at.
const POLL: Duration = Duration::from_millis(250);
/// The artifact of a pipeline's run that holds its [`PipelineRequest`].
pub const PIPELINE_JSON: &str = "cairn/pipeline.json";
/// What the coordinator knows about its steps, in the launch's folder.
const STEPS_FILE: &str = "steps.json";

/// Submits a pipeline. It is started at once: a pipeline only waits, and its steps queue.
pub fn submit(target: &LaunchTarget, request: &PipelineRequest) -> Result<LaunchId> {
    let title = format!("{}: pipeline", crate::prepare::title(&request.run));
    let spec = target.spec(title, LaunchKind::Pipeline, None, request)?;
    target.submit(spec, Placement::Now)
}

/// Goes on with a pipeline that ended before its steps did: steps that are done stay done as long as
/// nothing they depend on changed. `None` when the run is no pipeline.
pub fn resume(target: &LaunchTarget, run_id: &str) -> Result<Option<LaunchId>> {
    resumed(target, run_id)?.map(|request| submit(target, &request)).transpose()
}

/// What [`resume`] submits; `None` when the run is no pipeline.
pub fn resumed(target: &LaunchTarget, run_id: &str) -> Result<Option<PipelineRequest>> {
    let tracking = target.tracking()?;
    let Some(text) = read::text(&tracking, run_id, PIPELINE_JSON) else { return Ok(None) };
    let mut request: PipelineRequest = serde_json::from_str(&text).map_err(|error| {
        ProjectError::source(format!("{PIPELINE_JSON} of {run_id}: {error}"), "")
    })?;
    request.resume_run_id = Some(run_id.to_owned());
    // The person who goes on with it asks for what is there now.
    request.run.allowed_content = None;
    Ok(Some(request))
}

/// The pipeline of a request's project, its values, and the folder that it was read in; `work` is
/// where a project that is not local is put.
///
/// Errors: [`ProjectError::Problems`] with the line of what is wrong.
pub fn read_pipeline(
    request: &PipelineRequest,
    work: &std::path::Path,
    cancel: &CancellationToken,
) -> Result<(Project, Pipeline, BTreeMap<String, String>)> {
    let run = &request.run;
    let source = ProjectSource::parse(&run.uri, run.version.as_deref(), &run.caller_folder)?;
    if source.in_place().is_none() {
        let _ = fs::remove_dir_all(work);
    }
    let fetched = source.fetch(work, &|_| {}, cancel)?;
    let project = Project::parse(&fetched.folder).map_err(ProjectError::Problems)?;
    let pipeline = match Pipeline::of(&project) {
        Some(pipeline) => pipeline.map_err(ProjectError::Problems)?,
        None => {
            return Err(ProjectError::source(
                format!("{} declares no pipeline", run.uri),
                "Add a section pipeline: with steps: to its MLproject, or run an entry point.",
            ));
        }
    };
    let values = pipeline.values(&run.params).map_err(ProjectError::Problems)?;
    Ok((project, pipeline, values))
}

/// Makes the launch of a pipeline ready: its run, and what is to be run.
pub fn prepare(launch: &Launch) -> Result<()> {
    let request: PipelineRequest = request_of(launch)?;
    let target = LaunchTarget::of(launch);
    let tracking = target.tracking()?;
    let cancel = CancellationToken::new();
    // What is wrong with the file is found before there is a run.
    let (project, pipeline, values) =
        read_pipeline(&request, &launch.folder.join("project"), &cancel)?;
    plan::check_allowed(&request.run, &project)?;
    let run_id = if let Some(run_id) = &request.resume_run_id {
        if let Some(earlier) = take_over(&target, &tracking, launch, run_id, "pipeline")? {
            // Steps that are still at work are waited for; without it they would start anew.
            let _ = fs::copy(earlier.folder.join(STEPS_FILE), launch.folder.join(STEPS_FILE));
        }
        run_id.clone()
    } else {
        let run = parent_run(&tracking, &request.run, launch)?;
        let run_id = tracking.create_run(&NewRun {
            name: request.run.run_name.clone().or_else(|| Some("pipeline".to_owned())),
            ..run
        })?;
        let mut kept = request.clone();
        kept.resume_run_id = None;
        keep_request(&tracking, &run_id, PIPELINE_JSON, &kept)?;
        let params: Vec<(String, String)> = values.into_iter().collect();
        tracking.log_batch(&run_id, &params, &[], &[])?;
        run_id
    };
    launch.note_run(&run_id)?;
    tracking.set_tag(&run_id, STATE_TAG, &state_text(&state_of(&pipeline)))?;
    launch.write_child(&coordinator(launch)?)?;
    Ok(())
}

fn state_of(pipeline: &Pipeline) -> PipelineState {
    let steps = pipeline.steps.iter().map(|step| StepState {
        name: step.name.clone(),
        needs: step.needs.clone(),
        status: StepStatus::Waiting,
        run_id: None,
        note: None,
    });
    PipelineState { steps: steps.collect() }
}

fn state_text(state: &PipelineState) -> String {
    serde_json::to_string(state).unwrap_or_default()
}

/// What was submitted for a step; written before it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Submitted {
    key: String,
    launch_id: LaunchId,
    params: Vec<(String, String)>,
}

/// Runs a pipeline to its end: the child of its launch. `out` gets a line for each step.
///
/// Answers whether every step is done.
pub fn coordinate(launch: &Launch, out: &mut dyn Write) -> Result<bool> {
    let request: PipelineRequest = request_of(launch)?;
    let target = LaunchTarget::of(launch);
    let tracking = target.tracking()?;
    let cancel = CancellationToken::new();
    let (project, pipeline, values) =
        read_pipeline(&request, &launch.folder.join("project"), &cancel)?;
    let run_id = launch
        .run_id
        .clone()
        .ok_or_else(|| ProjectError::source("The pipeline has no run", "Start it again."))?;
    let experiment_id = tracking.get_run(&run_id)?.info.experiment_id;
    let file = launch.folder.join(STEPS_FILE);
    let submitted = fs::read(&file)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let content = crate::content::content_hash(&project.folder, &[]);
    let mut pipeline_run = Coordinator {
        state: state_of(&pipeline),
        request,
        target,
        tracking,
        project,
        pipeline,
        values,
        content,
        run_id,
        experiment_id,
        file,
        submitted,
        results: BTreeMap::new(),
    };
    pipeline_run.go_on(out)
}

struct Coordinator {
    request: PipelineRequest,
    target: LaunchTarget,
    tracking: Tracking,
    project: Project,
    pipeline: Pipeline,
    values: BTreeMap<String, String>,
    /// Of the project's own files.
    content: String,
    run_id: String,
    experiment_id: String,
    file: std::path::PathBuf,
    submitted: BTreeMap<String, Submitted>,
    state: PipelineState,
    /// By step: the run whose outputs are used, which for a cached step is the earlier one.
    results: BTreeMap<String, String>,
}

impl Coordinator {
    fn go_on(&mut self, out: &mut dyn Write) -> Result<bool> {
        loop {
            let before = self.state.clone();
            for step in self.pipeline.steps.clone() {
                match self.status(&step.name) {
                    StepStatus::Waiting => self.begin(&step, out)?,
                    StepStatus::Running => self.look(&step, out)?,
                    _ => {}
                }
            }
            if self.state != before {
                self.tracking.set_tag(&self.run_id, STATE_TAG, &state_text(&self.state))?;
                // A step that ended may let others begin at once.
                continue;
            }
            let is_at_work =
                |step: &StepState| matches!(step.status, StepStatus::Waiting | StepStatus::Running);
            if !self.state.steps.iter().any(is_at_work) {
                return Ok(self.state.steps.iter().all(|step| step.status.is_done()));
            }
            thread::sleep(POLL);
        }
    }

    fn status(&self, name: &str) -> StepStatus {
        let step = self.state.steps.iter().find(|step| step.name == name);
        step.map_or(StepStatus::Skipped, |step| step.status)
    }

    fn set(
        &mut self,
        name: &str,
        status: StepStatus,
        run_id: Option<String>,
        note: Option<String>,
    ) {
        if let Some(step) = self.state.steps.iter_mut().find(|step| step.name == name) {
            step.status = status;
            if run_id.is_some() {
                step.run_id = run_id;
            }
            if note.is_some() {
                step.note = note;
            }
        }
    }

    /// Begins a step when those before it are done.
    fn begin(&mut self, step: &Step, out: &mut dyn Write) -> Result<()> {
        let needs: Vec<(String, StepStatus)> =
            step.needs.iter().map(|need| (need.clone(), self.status(need))).collect();
        if let Some((need, _)) = needs
            .iter()
            .find(|(_, status)| matches!(status, StepStatus::Failed | StepStatus::Skipped))
        {
            let note = format!("the step {need} was not done");
            say(out, &format!("Step {} is skipped: {note}", step.name));
            self.set(&step.name, StepStatus::Skipped, None, Some(note));
            return Ok(());
        }
        if !needs.iter().all(|(_, status)| status.is_done()) {
            return Ok(());
        }
        let (params, key) = match self.resolve(step) {
            Ok(resolved) => resolved,
            Err(why) => {
                say(out, &format!("Step {} failed: {why}", step.name));
                self.set(&step.name, StepStatus::Failed, None, Some(why));
                return Ok(());
            }
        };
        // Its launch may have outlived an earlier coordinator.
        if let Some(earlier) = self.submitted.get(&step.name)
            && earlier.key == key
        {
            match self.target.launches.get(&earlier.launch_id) {
                Ok(launch) if !launch.state.is_ended() => {
                    self.set(&step.name, StepStatus::Running, launch.run_id, None);
                    return Ok(());
                }
                // It is gone: it was pruned, or noted and not submitted. The run says which.
                Ok(_) | Err(RuntimeError::NoSuchLaunch(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(earlier) = self.earlier(&key)? {
            return self.stand_in(step, &params, &earlier, out);
        }
        say(out, &format!("Step {} begins", step.name));
        let submitted = Submitted { key, launch_id: LaunchId::new(), params };
        self.submitted.insert(step.name.clone(), submitted.clone());
        self.keep()?;
        self.start(step, &submitted)
    }

    fn start(&mut self, step: &Step, submitted: &Submitted) -> Result<()> {
        let mut request = self.request.run.clone();
        request.entry_point.clone_from(&step.entry_point);
        request.params.clone_from(&submitted.params);
        request.experiment_name = None;
        request.experiment_id = Some(self.experiment_id.clone());
        request.parent_run_id = Some(self.run_id.clone());
        request.run_name = Some(step.name.clone());
        request.tags.insert(STEP_TAG.to_owned(), step.name.clone());
        request.tags.insert(KEY_TAG.to_owned(), submitted.key.clone());
        let id = submitted.launch_id.clone();
        let mut spec =
            self.target.spec(step.name.clone(), LaunchKind::Project, Some(id), &request)?;
        spec.parent_run_id = Some(self.run_id.clone());
        self.target.submit(spec, Placement::Queue)?;
        self.set(&step.name, StepStatus::Running, None, None);
        Ok(())
    }

    /// Looks whether a step at work is over.
    fn look(&mut self, step: &Step, out: &mut dyn Write) -> Result<()> {
        let Some(submitted) = self.submitted.get(&step.name) else { return Ok(()) };
        let launch = self.target.launches.get(&submitted.launch_id)?;
        let LaunchState::Ended { status, cause } = &launch.state else {
            if let Some(run_id) = launch.run_id {
                self.set(&step.name, StepStatus::Running, Some(run_id), None);
            }
            return Ok(());
        };
        match (&launch.run_id, status) {
            (Some(run_id), RunStatus::Finished) => {
                say(out, &format!("Step {} is done", step.name));
                self.results.insert(step.name.clone(), run_id.clone());
                self.set(&step.name, StepStatus::Done, Some(run_id.clone()), None);
            }
            (run_id, _) => {
                say(out, &format!("Step {} failed: {cause}", step.name));
                let note = Some(cause.to_string());
                self.set(&step.name, StepStatus::Failed, run_id.clone(), note);
            }
        }
        Ok(())
    }

    /// A run that ended well with the same key; one of this pipeline first.
    fn earlier(&self, key: &str) -> Result<Option<RunRecord>> {
        let filter = format!("tags.{KEY_TAG} = '{key}' AND attributes.status = 'FINISHED'");
        let found =
            self.tracking.search_runs(std::slice::from_ref(&self.experiment_id), &filter, 50)?;
        let is_own = |run: &RunRecord| {
            run.tags.get("mlflow.parentRunId").is_some_and(|parent| *parent == self.run_id)
        };
        if let Some(own) = found.iter().find(|run| is_own(run)) {
            return Ok(Some(own.clone()));
        }
        Ok(found.into_iter().next().filter(|_| !self.request.ignore_cache))
    }

    /// Takes an earlier run's result in the place of running a step. A run of another pipeline gets a
    /// run of this one that stands for it.
    fn stand_in(
        &mut self,
        step: &Step,
        params: &[(String, String)],
        earlier: &RunRecord,
        out: &mut dyn Write,
    ) -> Result<()> {
        let earlier_id = earlier.info.run_id.clone();
        self.results.insert(step.name.clone(), earlier_id.clone());
        if earlier.tags.get("mlflow.parentRunId") == Some(&self.run_id) {
            say(out, &format!("Step {} is done already", step.name));
            self.set(&step.name, StepStatus::Done, Some(earlier_id), None);
            return Ok(());
        }
        say(out, &format!("Step {} is not run: nothing changed since run {earlier_id}", step.name));
        let filter = format!("tags.mlflow.parentRunId = '{}'", self.run_id);
        let own =
            self.tracking.search_runs(std::slice::from_ref(&self.experiment_id), &filter, 1000)?;
        let known = own.into_iter().find(|run| {
            run.tags.get(STEP_TAG) == Some(&step.name)
                && run.tags.get(CACHED_FROM_TAG) == Some(&earlier_id)
        });
        let run_id = if let Some(run) = known {
            run.info.run_id
        } else {
            let mut tags = vec![
                ("mlflow.parentRunId".to_owned(), self.run_id.clone()),
                ("mlflow.project.entryPoint".to_owned(), step.entry_point.clone()),
                (STEP_TAG.to_owned(), step.name.clone()),
                (CACHED_FROM_TAG.to_owned(), earlier_id.clone()),
            ];
            for name in [
                "mlflow.source.name",
                "mlflow.source.type",
                "mlflow.source.git.commit",
                "mlflow.user",
            ] {
                if let Some(value) = earlier.tags.get(name) {
                    tags.push((name.to_owned(), value.clone()));
                }
            }
            let run_id = self.tracking.create_run(&NewRun {
                experiment_id: self.experiment_id.clone(),
                name: Some(step.name.clone()),
                user: earlier.tags.get("mlflow.user").cloned(),
                start_ms: None,
                tags,
            })?;
            let metrics: Vec<Metric> = earlier
                .metrics
                .values()
                .filter(|metric| !metric.key.starts_with("system/"))
                .cloned()
                .collect();
            self.tracking.log_batch(&run_id, params, &[], &metrics)?;
            self.tracking.update_run(&run_id, Some(RunStatus::Finished), Some(now_ms()), None)?;
            run_id
        };
        self.set(&step.name, StepStatus::Cached, Some(run_id), Some(earlier_id));
        Ok(())
    }

    /// The values of a step's parameters, and the key of what its result depends on.
    fn resolve(&self, step: &Step) -> Result<(Vec<(String, String)>, String), String> {
        let entry = self.project.entry_points.iter().find(|entry| entry.name == step.entry_point);
        let mut key = Sha256::new();
        let mut part = |text: &str| {
            key.update((text.len() as u64).to_le_bytes());
            key.update(text.as_bytes());
        };
        let manager = self.request.run.env_manager.map_or("", crate::EnvManager::name);
        for text in [
            "cairn step 1",
            &self.content,
            self.request.run.version.as_deref().unwrap_or_default(),
            manager,
            &step.entry_point,
        ] {
            part(text);
        }
        let mut params = Vec::new();
        for (name, template) in &step.parameters {
            let (value, depends_on) = self.fill(template)?;
            let kind = entry
                .and_then(|entry| entry.parameters.iter().find(|parameter| parameter.name == *name))
                .map(|parameter| &parameter.kind);
            // A file on this computer counts by its content, not by its place.
            let own_file = (kind == Some(&ParameterKind::Path) && value == depends_on)
                .then(|| {
                    // From the caller's folder on, else from the project's, as a run looks for it.
                    digest(&self.request.run.caller_folder.join(&value))
                        .or_else(|_| digest(&self.project.folder.join(&value)))
                        .ok()
                })
                .flatten();
            part(name);
            part(own_file.as_deref().unwrap_or(&depends_on));
            params.push((name.clone(), value));
        }
        for parameter in entry.map(|entry| entry.parameters.as_slice()).unwrap_or_default() {
            if parameter.kind == ParameterKind::Path
                && !params.iter().any(|(name, _)| *name == parameter.name)
                && let Some(default) = &parameter.default
                && let Ok(content) = digest(&self.project.folder.join(default))
            {
                part(&parameter.name);
                part(&content);
            }
        }
        Ok((params, hex(&key.finalize())))
    }

    /// A text with its references replaced: what the step gets, and what its result depends on.
    fn fill(&self, template: &Template) -> Result<(String, String), String> {
        let (mut value, mut depends_on) = (String::new(), String::new());
        for piece in &template.0 {
            let (text, on) = match piece {
                Piece::Text(text) => (text.clone(), text.clone()),
                Piece::Reference(Reference::Parameter(name)) => {
                    let text = self.values.get(name).cloned().unwrap_or_default();
                    (text.clone(), text)
                }
                Piece::Reference(reference @ Reference::Step { step, output }) => {
                    let run_id = self
                        .results
                        .get(step)
                        .ok_or_else(|| format!("{reference} is not there: the step has no run"))?;
                    self.output(reference, run_id, output)?
                }
            };
            value.push_str(&text);
            depends_on.push_str(&on);
        }
        Ok((value, depends_on))
    }

    fn output(
        &self,
        reference: &Reference,
        run_id: &str,
        output: &Output,
    ) -> Result<(String, String), String> {
        let missing =
            || format!("{reference} is not there: the step's run {run_id} did not log it");
        let run = || self.tracking.get_run(run_id).map_err(|error| error.to_string());
        let same = |text: String| (text.clone(), text);
        Ok(match output {
            Output::RunId => same(run_id.to_owned()),
            Output::Param(name) => same(run()?.params.get(name).cloned().ok_or_else(missing)?),
            Output::Tag(name) => same(run()?.tags.get(name).cloned().ok_or_else(missing)?),
            Output::Metric(name) => {
                same(run()?.metrics.get(name).ok_or_else(missing)?.value.to_string())
            }
            Output::Artifact(path) => {
                let content = self
                    .artifact_digest(run_id, path)
                    .map_err(|error| format!("{reference}: {error}"))?
                    .ok_or_else(missing)?;
                (format!("runs:/{run_id}/{path}"), content)
            }
        })
    }

    /// SHA-256 of an artifact, or of the list of a folder's files with theirs; `None` when there is
    /// none.
    fn artifact_digest(&self, run_id: &str, path: &str) -> Result<Option<String>> {
        let (folder, _) = path.rsplit_once('/').unwrap_or(("", path));
        let listed = self.tracking.list_artifacts(run_id, folder)?;
        let Some(entry) = listed.into_iter().find(|entry| entry.path == path) else {
            return Ok(None);
        };
        let mut files = Vec::new();
        let mut entries = vec![entry];
        while let Some(entry) = entries.pop() {
            if entry.is_folder {
                entries.extend(self.tracking.list_artifacts(run_id, &entry.path)?);
            } else {
                files.push(entry.path);
            }
        }
        files.sort();
        let mut all = Sha256::new();
        for file in files {
            let mut content = Content(Sha256::new());
            io::copy(&mut self.tracking.download(run_id, &file)?, &mut content)
                .map_err(ProjectError::io("reading", &file))?;
            all.update(file.as_bytes());
            all.update(content.0.finalize());
        }
        Ok(Some(hex(&all.finalize())))
    }

    fn keep(&self) -> Result<()> {
        let partial = self.file.with_extension("partial");
        let write = || -> io::Result<()> {
            let mut file = fs::File::create(&partial)?;
            file.write_all(&serde_json::to_vec(&self.submitted)?)?;
            file.sync_data()?;
            fs::rename(&partial, &self.file)
        };
        write().map_err(ProjectError::io("writing", &self.file))
    }
}

struct Content(Sha256);

impl Write for Content {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line of the log. That it cannot be written stops nothing.
fn say(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}
