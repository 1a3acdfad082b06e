//! Where a run came from, running it again, and how well that reproduced it.

pub mod dto;
mod report;

use std::collections::HashMap;

use cairn_projects::{
    Capture, LOCK_ARTIFACT, LeftOutReason, ProjectError, RunPlan, RunRequest,
    launching::LAUNCH_ID_TAG,
    report::{RERUN_OF_TAG, VERDICT_TAG, Verdict as Outcome},
    rerun::{self, RerunPlan},
};
use cairn_runtime::{environment::packages_of, tracking::Tracking};
use cairn_store::Store;

use crate::{
    app::App,
    dto::{CommandError, ErrorCode, KeyValue, RunLink},
    errors,
    launches::{self, dto::LaunchView},
    projects::{
        dto::RunDraft,
        running::{self, blocking as in_projects},
    },
    runs::{RunRef, link, newest, parse_run},
};
use dto::{
    CodeFacts, DataFile, EnvironmentFacts, Exactness, ReproductionView, RerunOffer, RerunPlanView,
    RerunStart, RerunUnknown, RunOrigin,
};

/// Reruns of one run that are listed.
const MOST_RERUNS: usize = 50;

pub(crate) async fn origin(app: &App, args: RunRef) -> Result<RunOrigin, CommandError> {
    let store = app.store()?;
    let id = parse_run(&args.run_id)?;
    let tags = store.read(move |tx| tx.tags(&id)).await.map_err(errors::store_error)?;
    let tag = |key: &str| tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.clone());
    let launch = launches::launch_of(app, &args.run_id).await?;
    let has_log = launch.is_some() || launches::has_log(app, &args.run_id).await;
    let captured = match tag(LAUNCH_ID_TAG) {
        Some(_) => captured(app, &args.run_id).await,
        None => None,
    };
    let launch = match launch {
        Some(launch) => Some(launches::view(app, launch).await),
        None => None,
    };
    let rerun_of = match tag(RERUN_OF_TAG) {
        Some(original) => launches::run_link(&store, &original).await,
        None => None,
    };
    let (code, environment) = match captured {
        Some((capture, lock)) => {
            (Some(code_of(&capture)), Some(environment_of(&capture, lock.as_deref())))
        }
        None => (None, None),
    };
    Ok(RunOrigin {
        launch,
        has_log,
        code,
        environment,
        rerun_of,
        reruns: reruns_of(&store, &args.run_id).await?,
        verdict: tag(VERDICT_TAG).as_deref().and_then(Outcome::parse).map(Into::into),
    })
}

/// What was captured of a run, and its lock; `None` if nothing was, or it cannot be read now.
async fn captured(app: &App, run_id: &str) -> Option<(Capture, Option<String>)> {
    let capture = launches::artifact_text(app, run_id, cairn_projects::CAPTURE_ARTIFACT).await?;
    let capture = serde_json::from_str(&capture).ok()?;
    Some((capture, launches::artifact_text(app, run_id, LOCK_ARTIFACT).await))
}

fn code_of(capture: &Capture) -> CodeFacts {
    let source = capture.source.as_ref();
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect()
    };
    CodeFacts {
        project: Some(capture.uri.clone()),
        entry_point: Some(capture.entry_point.clone()),
        command: Some(capture.command.clone()).filter(|command| !command.is_empty()),
        folder: source.map(|source| source.subfolder.clone()).filter(|folder| !folder.is_empty()),
        commit: source.and_then(|source| source.commit.clone()),
        branch: source.and_then(|source| source.branch.clone()),
        remote: source.and_then(|source| source.remote.clone()),
        changed_files: source
            .map(|source| {
                source
                    .changed
                    .iter()
                    .map(|file| match file.status {
                        'A' => format!("{} (new)", file.path),
                        'D' => format!("{} (removed)", file.path),
                        _ => file.path.clone(),
                    })
                    .collect()
            })
            .unwrap_or_default(),
        left_out: source
            .map(|source| {
                source
                    .left_out
                    .iter()
                    .map(|file| KeyValue {
                        key: file.path.clone(),
                        value: match file.why {
                            LeftOutReason::Secret => "its name is one that secrets have",
                            LeftOutReason::TooLarge => "larger than 10 MB",
                            LeftOutReason::TooMany => "too many files that git does not know",
                            LeftOutReason::Submodule => "a repository of its own",
                        }
                        .to_owned(),
                    })
                    .collect()
            })
            .unwrap_or_default(),
        data: capture
            .inputs
            .iter()
            .map(|input| DataFile {
                parameter: input.param.clone(),
                path: errors::shorten_home(&input.path),
                size_bytes: Some(input.size_bytes),
                digest: input.sha256.clone(),
            })
            .collect(),
        seeds: pairs(&capture.seeds),
        notes: capture.notes.clone(),
    }
}

fn environment_of(capture: &Capture, lock: Option<&str>) -> EnvironmentFacts {
    let environment = &capture.environment;
    let platform = &capture.platform;
    let machine = [
        Some(format!("{} {}", platform.os, platform.arch)),
        platform.kernel.clone(),
        platform.processor.clone(),
    ];
    EnvironmentFacts {
        name: environment.name.clone(),
        kind: Some(
            match environment.kind.as_str() {
                "python" => "uv",
                "container" => "docker",
                other => other,
            }
            .to_owned(),
        ),
        python: environment.python.clone().or_else(|| environment.image.clone()),
        platform: Some(machine.into_iter().flatten().collect::<Vec<_>>().join(", ")),
        packages: lock.map(packages).unwrap_or_default(),
        lock_file: lock.map(|_| LOCK_ARTIFACT.to_owned()),
    }
}

/// The packages of a lock of any kind, by name.
fn packages(lock: &str) -> Vec<KeyValue> {
    packages_of(lock).into_iter().map(|(key, value)| KeyValue { key, value }).collect()
}

/// Runs that repeat a run, newest first.
async fn reruns_of(store: &Store, run_id: &str) -> Result<Vec<RunLink>, CommandError> {
    let filter = format!("tags.`{RERUN_OF_TAG}` = '{}'", parse_run(run_id)?);
    let rows = newest(store, &filter, MOST_RERUNS, Vec::new()).await?;
    Ok(rows.iter().map(|row| link(&row.info)).collect())
}

/// A run that is to be repeated.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    pub plan: RerunPlan,
    pub capture: Option<Capture>,
    /// Whether it was this computer's Cairn that ran it, by this person's own press or command.
    pub was_run_here: bool,
}

/// Looks at a run that is to be repeated.
pub(crate) async fn original(app: &App, run_id: &str) -> Result<Original, CommandError> {
    let launch = launches::launch_of(app, run_id).await?;
    let capture = captured(app, run_id).await.map(|(capture, _)| capture);
    // Who logs to the store can also put files to a run: only what this Cairn noted itself when it
    // ran it says that it is the same.
    let was_run_here = match (&launch, &capture) {
        (Some(launch), Some(capture)) => noted(&launch.folder)
            .is_some_and(|noted| noted.restored_content() == capture.restored_content()),
        _ => false,
    };
    let target = running::target(app)?;
    let run_id = run_id.to_owned();
    let plan = in_projects(move || {
        let tracking: Tracking = target.tracking()?;
        rerun::plan(&tracking, &run_id)
    })
    .await?;
    Ok(Original { plan, capture, was_run_here })
}

/// What was captured of a run, as its launch has it.
fn noted(launch_folder: &std::path::Path) -> Option<Capture> {
    serde_json::from_slice(&std::fs::read(launch_folder.join("capture.json")).ok()?).ok()
}

impl Original {
    /// What repeating it would run: its own code where that is put back, whatever lies in the
    /// project's folder now.
    pub fn plan_of(
        &self,
        request: &RunRequest,
        made: cairn_projects::Result<RunPlan>,
    ) -> cairn_projects::Result<RunPlan> {
        let (Some(restore), Some(capture)) = (&request.restore, &self.capture) else {
            return match made {
                Err(ProjectError::Problems(problems)) => Ok(running::plan_with(request, problems)),
                other => other,
            };
        };
        if !restore.code {
            return made;
        }
        let mut plan = match made {
            Ok(plan) => plan,
            Err(_) => running::plan_with(request, Vec::new()),
        };
        let given: Vec<(String, String)> = capture.params.clone().into_iter().collect();
        let is_as_it_was = request.params.iter().all(|param| given.contains(param));
        if is_as_it_was || plan.command.is_empty() {
            plan.command.clone_from(&capture.command);
        }
        if plan.params.is_empty() {
            plan.params = given
                .into_iter()
                .map(|(name, value)| cairn_projects::PlannedParam {
                    origin: cairn_projects::ParameterOrigin::Given,
                    kind: cairn_projects::ParameterKind::String,
                    value: Some(request.param(&name).map_or(value, str::to_owned)),
                    used: None,
                    problem: None,
                    name,
                })
                .collect();
        }
        // What is wrong with the folder as it is now does not matter.
        plan.problems.retain(|problem| problem.file.is_empty());
        plan.warnings.clear();
        plan.folder = "<a copy of the code as it was>".into();
        plan.content_hash = capture.restored_content();
        if restore.environment {
            plan.environment.summary = match &capture.environment.python {
                Some(python) => format!("Python {python}, from the lock of the run"),
                None => "From the lock of the run".to_owned(),
            };
            plan.environment.files = vec![LOCK_ARTIFACT.to_owned()];
        }
        Ok(plan)
    }
}

pub(crate) async fn plan(app: &App, args: RunRef) -> Result<RerunPlanView, CommandError> {
    let store = app.store()?;
    let run = launches::run_link(&store, &args.run_id).await.ok_or_else(|| {
        CommandError::new(ErrorCode::NotFound, format!("There is no run {}", args.run_id))
    })?;
    let original = original(app, &args.run_id).await?;
    let known = original.plan.clone();
    let draft = known.request.as_ref().map(draft_of);
    let plan = running::rerun_plan(app, original).await?;
    Ok(RerunPlanView {
        run,
        exactness: match known.exactness {
            rerun::Exactness::Exact => Exactness::Exact,
            rerun::Exactness::FromTags => Exactness::FromTags,
            rerun::Exactness::BestEffort => Exactness::BestEffort,
            rerun::Exactness::NotPossible => Exactness::NotPossible,
        },
        summary: known.summary,
        restores: known
            .restores
            .into_iter()
            .map(|restored| KeyValue { key: restored.what, value: restored.detail })
            .collect(),
        unknown: known
            .unknown
            .into_iter()
            .map(|unknown| RerunUnknown { what: unknown.what, why: unknown.why })
            .collect(),
        offers: known
            .offers
            .into_iter()
            .map(|offer| RerunOffer {
                title: offer.title,
                draft: offer.request.as_ref().map(draft_of),
            })
            .collect(),
        draft,
        plan,
    })
}

fn draft_of(request: &RunRequest) -> RunDraft {
    let params = request.params.iter();
    RunDraft {
        uri: request.uri.clone(),
        version: request.version.clone(),
        entry_point: request.entry_point.clone(),
        params: params
            .map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() })
            .collect(),
        experiment: request.experiment_name.clone(),
        run_name: None,
        env_manager: request.env_manager.map(|manager| manager.name().to_owned()),
        at_once: false,
        rerun_of: request.rerun_of.clone(),
    }
}

pub(crate) async fn start(app: &App, args: RerunStart) -> Result<LaunchView, CommandError> {
    running::rerun(app, &args.run_id, args.allow.as_deref()).await
}

pub(crate) async fn reproduction(
    app: &App,
    args: RunRef,
) -> Result<ReproductionView, CommandError> {
    let store = app.store()?;
    let target = running::target(app)?;
    let run_id = args.run_id.clone();
    let report = in_projects(move || {
        let tracking = target.tracking()?;
        Ok(rerun::read_report(&tracking, &run_id))
    })
    .await?;
    let report = report.ok_or_else(|| {
        CommandError::new(ErrorCode::NotFound, "There is no report of this run yet")
            .with_hint("It is written when the rerun has ended.")
    })?;
    let mut links = HashMap::new();
    if let Some(original) = launches::run_link(&store, &report.original.run_id).await {
        links.insert(report.original.run_id.clone(), original);
    }
    Ok(report::view(report, &links))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_a_conda_lock_are_shown_too() {
        let lock = "# platform: linux-x86_64\n@EXPLICIT\n\
                    https://c/linux-64/python-3.11.7-h1_0.conda#0123\n# pip:\nmlflow==3.0.1\n";
        let shown: Vec<String> =
            packages(lock).into_iter().map(|one| format!("{} {}", one.key, one.value)).collect();
        assert_eq!(shown, ["mlflow 3.0.1", "python 3.11.7 h1_0"]);
    }

    #[test]
    fn packages_of_a_lock_are_read_without_hashes_and_comments() {
        let lock = "# made by uv\nnumpy==2.1.0 ; python_version > '3' \\\n    --hash=sha256:aa\n\
                    mlflow==3.0.1\n    # via -r x\n--index-url https://x\n";
        let shown: Vec<String> =
            packages(lock).into_iter().map(|one| format!("{} {}", one.key, one.value)).collect();
        assert_eq!(shown, ["mlflow 3.0.1", "numpy 2.1.0"]);
    }
}
