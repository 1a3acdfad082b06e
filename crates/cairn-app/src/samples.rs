//! *Log sample runs*: small real models, trained by a real MLflow client.

use std::time::Duration;

use cairn_runtime::{
    Environments, OutputEvent, Process,
    samples::{self, SampleClient, SampleProgress},
};

use crate::{
    app::App,
    commands::NoArgs,
    dto::{CommandError, ErrorCode, Job},
    errors::{self, runtime_error},
    jobs::{JobHandle, Jobs, progress_of},
    token::token,
};

const TITLE: &str = "Log sample runs";

pub(crate) async fn start(app: &App, _: NoArgs) -> Result<Job, CommandError> {
    let (_, tracking_uri) = app.place_to_log("Sample runs cannot be logged", "Sample runs")?;
    let options = app.inner.options.clone();
    // Sent whether or not it is wanted now: it may be before the training ends.
    let token = match token(&options) {
        Ok(token) => Some(token),
        Err(error) if app.settings().requires_token => return Err(errors::internal(error)),
        Err(error) => {
            tracing::warn!(%error, "the sample training starts without a token");
            None
        }
    };
    Jobs::start(app, TITLE, |job| async move {
        let client = SampleClient { tracking_uri: &tracking_uri, token: token.as_deref() };
        train(&job, &options.data_dir, client).await
    })
}

async fn train(
    job: &JobHandle,
    data_dir: &std::path::Path,
    client: SampleClient<'_>,
) -> Result<(), CommandError> {
    let failed = |error: cairn_runtime::RuntimeError| runtime_error(&error);
    let progress = progress_of(job);
    job.step("Making a Python environment with MLflow and scikit-learn", None);
    let environment = Environments::new(data_dir)
        .ensure(&samples::environment_spec(), &*progress, &job.cancel)
        .await
        .map_err(failed)?;
    job.step("Starting the training", Some(0.0));
    let work_dir = data_dir.join("samples");
    let spec = samples::prepare(&environment, &work_dir, client).await.map_err(failed)?;
    // A training holds nothing that needs longer to be put away; closing the window waits for it.
    let spec = spec.grace(Duration::from_secs(3));
    let mut process = Process::spawn(&spec, &job.cancel).map_err(failed)?;
    while let Some(event) = process.next_output().await {
        if let OutputEvent::Line(line) = event {
            match SampleProgress::parse(&line.text) {
                Some(told) => job.step(told.words, Some(told.fraction)),
                None => job.log(&line.text),
            }
        }
    }
    let exit = process.wait().await;
    if exit.was_cancelled {
        return Err(CommandError::new(ErrorCode::Cancelled, "Stopped"));
    }
    if !exit.is_success() {
        return Err(CommandError::new(
            ErrorCode::Internal,
            format!("The sample training ended early: {exit}"),
        )
        .with_hint("Its last lines say why. What it logged before is kept."));
    }
    Ok(())
}
