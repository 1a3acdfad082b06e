//! The list of experiments.

use cairn_store::experiments::ExperimentActivity;

use crate::{
    app::App,
    commands::NoArgs,
    dto::{CommandError, ExperimentSummary},
    errors,
};

pub(crate) async fn list(app: &App, _: NoArgs) -> Result<Vec<ExperimentSummary>, CommandError> {
    let store = app.store()?;
    let activity = store.read(|tx| tx.experiment_activity()).await.map_err(errors::store_error)?;
    Ok(activity.into_iter().map(summary).collect())
}

fn summary(entry: ExperimentActivity) -> ExperimentSummary {
    let ExperimentActivity { experiment, run_count, running_count, last_run_time } = entry;
    let mut tags = experiment.tags.into_iter();
    ExperimentSummary {
        experiment_id: experiment.experiment_id.to_string(),
        name: experiment.name,
        run_count,
        running_count,
        creation_time: experiment.creation_time,
        last_run_time,
        description: tags.find(|tag| tag.key == "mlflow.note.content").map(|tag| tag.value),
    }
}
