//! MLflow's messages about logged models, registered models and their versions.

use cairn_store::{
    logged_models::{LoggedModel, LoggedModelMetric, LoggedModelStatus},
    registry::{ModelVersion, RegisteredModel},
};
use serde::Serialize;

use crate::wire::{Double, Pair, params, tags};

/// The name of a logged model's status in the interface.
pub(crate) fn status_name(status: LoggedModelStatus) -> &'static str {
    match status {
        LoggedModelStatus::Unspecified => "LOGGED_MODEL_STATUS_UNSPECIFIED",
        LoggedModelStatus::Pending => "LOGGED_MODEL_PENDING",
        LoggedModelStatus::Ready => "LOGGED_MODEL_READY",
        LoggedModelStatus::UploadFailed => "LOGGED_MODEL_UPLOAD_FAILED",
    }
}

#[derive(Debug, Serialize)]
struct LoggedModelInfo<'a> {
    model_id: &'a str,
    experiment_id: String,
    name: &'a str,
    creation_timestamp_ms: i64,
    last_updated_timestamp_ms: i64,
    artifact_uri: &'a str,
    status: &'static str,
    model_type: &'a str,
    source_run_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
}

#[derive(Debug, Serialize)]
struct LoggedModelMetricMessage<'a> {
    key: &'a str,
    value: Double,
    timestamp: i64,
    step: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset_digest: Option<&'a str>,
    model_id: &'a str,
    run_id: &'a str,
}

#[derive(Debug, Serialize)]
struct LoggedModelData<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<LoggedModelMetricMessage<'a>>,
}

/// A logged model with its data.
#[derive(Debug, Serialize)]
pub(crate) struct LoggedModelMessage<'a> {
    info: LoggedModelInfo<'a>,
    data: LoggedModelData<'a>,
}

impl<'a> From<&'a LoggedModel> for LoggedModelMessage<'a> {
    fn from(model: &'a LoggedModel) -> Self {
        let metric = |metric: &'a LoggedModelMetric| LoggedModelMetricMessage {
            key: &metric.point.key,
            value: Double(metric.point.value.0),
            timestamp: metric.point.timestamp,
            step: metric.point.step,
            dataset_name: metric.dataset_name.as_deref(),
            dataset_digest: metric.dataset_digest.as_deref(),
            model_id: model.model_id.as_str(),
            run_id: &metric.run_id,
        };
        Self {
            info: LoggedModelInfo {
                model_id: model.model_id.as_str(),
                experiment_id: model.experiment_id.to_string(),
                name: &model.name,
                creation_timestamp_ms: model.creation_timestamp,
                last_updated_timestamp_ms: model.last_updated_timestamp,
                artifact_uri: &model.artifact_location,
                status: status_name(model.status),
                model_type: model.model_type.as_deref().unwrap_or_default(),
                source_run_id: model.source_run_id.as_deref().unwrap_or_default(),
                status_message: model.status_message.as_deref(),
                tags: tags(&model.tags),
            },
            data: LoggedModelData {
                params: params(&model.params),
                metrics: model.metrics.iter().map(metric).collect(),
            },
        }
    }
}

#[derive(Debug, Serialize)]
struct AliasMessage<'a> {
    alias: &'a str,
    version: String,
}

/// A registered model with its latest versions.
#[derive(Debug, Serialize)]
pub(crate) struct RegisteredModelMessage<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    latest_versions: Vec<ModelVersionMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<AliasMessage<'a>>,
}

impl<'a> From<&'a RegisteredModel> for RegisteredModelMessage<'a> {
    fn from(model: &'a RegisteredModel) -> Self {
        Self {
            name: &model.name,
            creation_timestamp: model.creation_time,
            last_updated_timestamp: model.last_updated_time,
            // Unlike a version's, an empty description is left out.
            description: model.description.as_deref().filter(|text| !text.is_empty()),
            latest_versions: model.latest_versions.iter().map(Into::into).collect(),
            tags: tags(&model.tags),
            aliases: model
                .aliases
                .iter()
                .map(|alias| AliasMessage {
                    alias: &alias.alias,
                    version: alias.version.to_string(),
                })
                .collect(),
        }
    }
}

/// A version of a registered model.
#[derive(Debug, Serialize)]
pub(crate) struct ModelVersionMessage<'a> {
    name: &'a str,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    current_stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_link: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    aliases: &'a [String],
}

impl<'a> From<&'a ModelVersion> for ModelVersionMessage<'a> {
    fn from(version: &'a ModelVersion) -> Self {
        Self {
            name: &version.name,
            version: version.version.to_string(),
            creation_timestamp: version.creation_time,
            last_updated_timestamp: version.last_updated_time,
            user_id: version.user_id.as_deref(),
            current_stage: version.stage.as_str(),
            description: version.description.as_deref(),
            source: version.source.as_deref(),
            run_id: version.run_id.as_deref(),
            status: &version.status,
            status_message: version.status_message.as_deref(),
            tags: tags(&version.tags),
            run_link: version.run_link.as_deref(),
            aliases: &version.aliases,
        }
    }
}
