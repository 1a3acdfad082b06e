//! Making launches: where they log to, and what `cairn` is called with.

use std::path::PathBuf;

use cairn_core::run::RunStatus;
use cairn_runtime::{
    launch::{ChildSpec, Launch, LaunchId, LaunchKind, LaunchSpec, Launches, Placement, program},
    tracking::{NewRun, Tracking, token_in},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{ProjectError, Result},
    git::without_credentials,
    request::RunRequest,
    source::ProjectSource,
};

/// The tag of a run with the id of the launch that made it.
pub const LAUNCH_ID_TAG: &str = "cairn.launch.id";

/// Where launches are kept, and which tracking server they log to.
#[derive(Debug, Clone)]
pub struct LaunchTarget {
    /// All launches of this person.
    pub launches: Launches,
    /// `http://127.0.0.1:PORT`.
    pub tracking_uri: String,
    /// The store that is served there; `None` when it is not Cairn's to serve.
    pub store: Option<PathBuf>,
    /// The file with the token that the server wants.
    pub token_file: Option<PathBuf>,
    /// The launch that submits others.
    pub parent_launch: Option<LaunchId>,
}

impl LaunchTarget {
    /// As a launch that submits others has it.
    pub fn of(launch: &Launch) -> Self {
        Self {
            launches: Launches::around(&launch.folder),
            tracking_uri: launch.spec.tracking_uri.clone(),
            store: launch.spec.store.clone(),
            token_file: launch.spec.token_file.clone(),
            parent_launch: Some(launch.spec.launch_id.clone()),
        }
    }

    /// A client of the tracking server.
    pub fn tracking(&self) -> Result<Tracking> {
        Ok(Tracking::new(&self.tracking_uri, self.token_file.as_deref().and_then(token_in))?)
    }

    /// A launch that `cairn launch prepare` makes ready and `cairn launch finish` ends.
    ///
    /// `launch_id` is chosen beforehand by those who note it before they submit it.
    pub fn spec(
        &self,
        title: impl Into<String>,
        kind: LaunchKind,
        launch_id: Option<LaunchId>,
        request: &impl Serialize,
    ) -> Result<LaunchSpec> {
        let mut spec = LaunchSpec::new(title, kind, self.tracking_uri.clone());
        if let Some(launch_id) = launch_id {
            spec.launch_id = launch_id;
        }
        spec.store.clone_from(&self.store);
        spec.token_file.clone_from(&self.token_file);
        spec.parent_launch.clone_from(&self.parent_launch);
        spec.request = serde_json::to_value(request).map_err(|error| {
            ProjectError::source(format!("The request cannot be written down: {error}"), "")
        })?;
        let folder = self.launches.folder(&spec.launch_id).display().to_string();
        let program = program()?.display().to_string();
        let phase = |name: &str| {
            Some(vec![program.clone(), "launch".to_owned(), name.to_owned(), folder.clone()])
        };
        spec.prepare = phase("prepare");
        spec.finish = phase("finish");
        Ok(spec)
    }

    /// Submits a launch.
    pub fn submit(&self, spec: LaunchSpec, placement: Placement) -> Result<LaunchId> {
        Ok(self.launches.submit(spec, placement)?)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

/// The child of a launch that submits others: `cairn launch coordinate DIR`.
pub(crate) fn coordinator(launch: &Launch) -> Result<ChildSpec> {
    Ok(ChildSpec {
        argv: vec![
            program()?.display().to_string(),
            "launch".to_owned(),
            "coordinate".to_owned(),
            launch.folder.display().to_string(),
        ],
        folder: launch.folder.clone(),
        ..ChildSpec::default()
    })
}

/// The run above others, as MLflow's tags describe the project that they are of.
pub(crate) fn parent_run(
    tracking: &Tracking,
    request: &RunRequest,
    launch: &Launch,
) -> Result<NewRun> {
    let experiment_id = match (&request.experiment_id, &request.experiment_name) {
        (Some(id), _) => id.clone(),
        (None, Some(name)) => tracking.experiment_id(name)?,
        (None, None) => tracking.experiment_id("Default")?,
    };
    let user = crate::prepare::user();
    let source =
        ProjectSource::parse(&request.uri, request.version.as_deref(), &request.caller_folder)
            .ok()
            .and_then(|source| Some(source.in_place()?.display().to_string()))
            .unwrap_or_else(|| without_credentials(&request.uri));
    let mut tags: Vec<(String, String)> = request.tags.clone().into_iter().collect();
    let mut tag = |name: &str, value: String| tags.push((name.to_owned(), value));
    tag(LAUNCH_ID_TAG, launch.spec.launch_id.to_string());
    tag("mlflow.source.type", "PROJECT".to_owned());
    tag("mlflow.source.name", source);
    tag("mlflow.user", user.clone());
    if let Some(parent) = &request.parent_run_id {
        tag("mlflow.parentRunId", parent.clone());
    }
    Ok(NewRun {
        experiment_id,
        name: request.run_name.clone(),
        user: Some(user),
        start_ms: None,
        tags,
    })
}

/// What a launch that submits others was asked for.
pub(crate) fn request_of<T: DeserializeOwned>(launch: &Launch) -> Result<T> {
    serde_json::from_value(launch.spec.request.clone()).map_err(|error| {
        let what = &launch.spec.title;
        ProjectError::source(format!("What was asked of {what} cannot be read: {error}"), "")
    })
}

/// Keeps what was asked for with its run, to go on from.
pub(crate) fn keep_request(
    tracking: &Tracking,
    run_id: &str,
    artifact: &str,
    request: &impl Serialize,
) -> Result<()> {
    let json = serde_json::to_vec_pretty(request).map_err(|error| {
        ProjectError::source(format!("{artifact} cannot be written down: {error}"), "")
    })?;
    Ok(tracking.upload(run_id, artifact, &mut json.as_slice())?)
}

/// Makes the run of an earlier launch the one of this launch, which goes on with it; the earlier one,
/// if it is still there. `what` it is, in one word.
///
/// Errors: the earlier one is still at work.
pub(crate) fn take_over(
    target: &LaunchTarget,
    tracking: &Tracking,
    launch: &Launch,
    run_id: &str,
    what: &str,
) -> Result<Option<Launch>> {
    let earlier = target.launches.by_run(run_id)?;
    if earlier.as_ref().is_some_and(|it| !it.state.is_ended() && it.folder != launch.folder) {
        return Err(ProjectError::source(
            format!("The {what} is still at work"),
            "Wait for its end, or stop it first.",
        ));
    }
    tracking.update_run(run_id, Some(RunStatus::Running), None, None)?;
    tracking.set_tag(run_id, LAUNCH_ID_TAG, launch.spec.launch_id.as_str())?;
    Ok(earlier)
}
