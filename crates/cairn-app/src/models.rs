//! Registered models and their versions, for reading.

use std::collections::HashMap;

use cairn_core::RunId;
use cairn_store::registry;
use serde::Deserialize;
use ts_rs::TS;

use crate::{
    app::App,
    commands::NoArgs,
    dto::{
        CommandError, KeyValue, ModelAlias, ModelVersion, RegisteredModelDetail,
        RegisteredModelSummary, RunLink,
    },
    errors,
    runs::link,
};

/// Versions that a model's page lists.
const MAX_VERSIONS: usize = 1_000;

/// Which registered model.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct ModelRef {
    /// Its name.
    pub name: String,
}

pub(crate) async fn list(
    app: &App,
    _: NoArgs,
) -> Result<Vec<RegisteredModelSummary>, CommandError> {
    let store = app.store()?;
    let models =
        store.read(|tx| tx.registered_model_summaries()).await.map_err(errors::store_error)?;
    Ok(models.into_iter().map(summary).collect())
}

pub(crate) async fn get(app: &App, args: ModelRef) -> Result<RegisteredModelDetail, CommandError> {
    let store = app.store()?;
    store
        .read(move |tx| {
            let model = tx.registered_model_summary(&args.name)?;
            let versions = tx.model_versions_of(&args.name, MAX_VERSIONS)?;
            let mut runs: HashMap<String, Option<RunLink>> = HashMap::new();
            let versions = versions
                .into_iter()
                .map(|version| {
                    let run =
                        version.run_id.clone().filter(|run| !run.is_empty()).and_then(|run| {
                            let find = |run: &String| {
                                let id: RunId = run.parse().ok()?;
                                tx.run_info(&id).ok().map(|info| link(&info))
                            };
                            runs.entry(run.clone()).or_insert_with(|| find(&run)).clone()
                        });
                    version_dto(version, run)
                })
                .collect();
            Ok(RegisteredModelDetail { summary: summary(model), versions })
        })
        .await
        .map_err(errors::store_error)
}

fn summary(model: registry::RegisteredModelSummary) -> RegisteredModelSummary {
    let number = |version: i64| u32::try_from(version).unwrap_or(u32::MAX);
    RegisteredModelSummary {
        name: model.name,
        description: model.description.filter(|text| !text.is_empty()),
        creation_time: model.creation_time,
        last_updated_time: model.last_updated_time,
        version_count: u32::try_from(model.version_count).unwrap_or(u32::MAX),
        latest_version: model.latest_version.map(number),
        aliases: model
            .aliases
            .into_iter()
            .map(|alias| ModelAlias { alias: alias.alias, version: number(alias.version) })
            .collect(),
        tags: tags(model.tags),
    }
}

fn version_dto(version: registry::ModelVersion, run: Option<RunLink>) -> ModelVersion {
    ModelVersion {
        version: u32::try_from(version.version).unwrap_or(u32::MAX),
        creation_time: version.creation_time,
        last_updated_time: version.last_updated_time,
        stage: version.stage.as_str().to_owned(),
        status: version.status,
        description: version.description.filter(|text| !text.is_empty()),
        source: version.source.filter(|source| !source.is_empty()),
        run,
        aliases: version.aliases,
        tags: tags(version.tags),
    }
}

fn tags(tags: Vec<cairn_store::experiments::Tag>) -> Vec<KeyValue> {
    tags.into_iter().map(|tag| KeyValue { key: tag.key, value: tag.value }).collect()
}
