//! MLflow's messages as they are answered.
//!
//! What is not set is left out, and so are empty lists; what was set to a default value stays.
//! Whole numbers are JSON numbers, NaN is the text `"NaN"`.

use cairn_core::{LifecycleStage, MetricPoint};
use cairn_store::{
    experiments::{Experiment, Tag},
    inputs::{DatasetInput, DatasetSummary, RunInputs, RunOutputs},
    runs::{Param, Run, RunInfo},
};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// A double; NaN becomes a text, because JSON has no such number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Double(pub(crate) f64);

impl Serialize for Double {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_nan() {
            serializer.serialize_str("NaN")
        } else {
            // Stored values are finite; what is not is written as MLflow stores it.
            serializer.serialize_f64(self.0.clamp(f64::MIN, f64::MAX))
        }
    }
}

/// A key with its text: tags and parameters.
#[derive(Debug, Serialize)]
pub(crate) struct Pair<'a> {
    key: &'a str,
    value: &'a str,
}

pub(crate) fn tags(tags: &[Tag]) -> Vec<Pair<'_>> {
    tags.iter().map(|tag| Pair { key: &tag.key, value: &tag.value }).collect()
}

pub(crate) fn params(params: &[Param]) -> Vec<Pair<'_>> {
    params.iter().map(|param| Pair { key: &param.key, value: &param.value }).collect()
}

#[derive(Debug, Serialize)]
pub(crate) struct ExperimentMessage<'a> {
    experiment_id: String,
    name: &'a str,
    artifact_location: &'a str,
    lifecycle_stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_time: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
    workspace: &'static str,
}

impl<'a> From<&'a Experiment> for ExperimentMessage<'a> {
    fn from(experiment: &'a Experiment) -> Self {
        Self {
            experiment_id: experiment.experiment_id.to_string(),
            name: &experiment.name,
            artifact_location: &experiment.artifact_location,
            lifecycle_stage: experiment.lifecycle_stage.as_str(),
            last_update_time: experiment.last_update_time,
            creation_time: experiment.creation_time,
            tags: tags(&experiment.tags),
            workspace: "default",
        }
    }
}

/// A run's facts; always with both names of its id.
#[derive(Debug, Serialize)]
pub(crate) struct RunInfoMessage<'a> {
    run_uuid: &'a str,
    experiment_id: String,
    run_name: &'a str,
    user_id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<i64>,
    artifact_uri: &'a str,
    lifecycle_stage: &'static str,
    run_id: &'a str,
}

impl<'a> From<&'a RunInfo> for RunInfoMessage<'a> {
    fn from(info: &'a RunInfo) -> Self {
        Self {
            run_uuid: info.run_id.as_str(),
            experiment_id: info.experiment_id.to_string(),
            run_name: &info.run_name,
            user_id: &info.user_id,
            status: info.status.as_str(),
            start_time: info.start_time,
            end_time: info.end_time,
            artifact_uri: &info.artifact_uri,
            lifecycle_stage: LifecycleStage::as_str(info.lifecycle_stage),
            run_id: info.run_id.as_str(),
        }
    }
}

/// A value of a metric; `run_id` only where the values of several runs are mixed.
#[derive(Debug, Serialize)]
pub(crate) struct MetricMessage<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: Double,
    pub(crate) timestamp: i64,
    pub(crate) step: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_id: Option<&'a str>,
}

impl<'a> From<&'a MetricPoint> for MetricMessage<'a> {
    fn from(point: &'a MetricPoint) -> Self {
        Self {
            key: &point.key,
            value: Double(point.value.0),
            timestamp: point.timestamp,
            step: point.step,
            run_id: None,
        }
    }
}

#[derive(Debug, Serialize)]
struct RunData<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<MetricMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
}

#[derive(Debug, Serialize)]
struct DatasetMessage<'a> {
    name: &'a str,
    digest: &'a str,
    source_type: &'a str,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DatasetSummaryMessage<'a> {
    experiment_id: String,
    name: &'a str,
    digest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a str>,
}

impl<'a> From<&'a DatasetSummary> for DatasetSummaryMessage<'a> {
    fn from(summary: &'a DatasetSummary) -> Self {
        Self {
            experiment_id: summary.experiment_id.to_string(),
            name: &summary.name,
            digest: &summary.digest,
            context: summary.context.as_deref(),
        }
    }
}

#[derive(Debug, Serialize)]
struct DatasetInputMessage<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
    dataset: DatasetMessage<'a>,
}

impl<'a> From<&'a DatasetInput> for DatasetInputMessage<'a> {
    fn from(input: &'a DatasetInput) -> Self {
        let dataset = &input.dataset;
        Self {
            tags: tags(&input.tags),
            dataset: DatasetMessage {
                name: &dataset.name,
                digest: &dataset.digest,
                source_type: &dataset.source_type,
                source: &dataset.source,
                schema: dataset.schema.as_deref(),
                profile: dataset.profile.as_deref(),
            },
        }
    }
}

#[derive(Debug, Serialize)]
struct ModelInputMessage<'a> {
    model_id: &'a str,
}

#[derive(Debug, Serialize)]
struct RunInputsMessage<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dataset_inputs: Vec<DatasetInputMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_inputs: Vec<ModelInputMessage<'a>>,
}

impl<'a> From<&'a RunInputs> for RunInputsMessage<'a> {
    fn from(inputs: &'a RunInputs) -> Self {
        Self {
            dataset_inputs: inputs.datasets.iter().map(Into::into).collect(),
            model_inputs: inputs
                .models
                .iter()
                .map(|model| ModelInputMessage { model_id: model.as_str() })
                .collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct ModelOutputMessage<'a> {
    model_id: &'a str,
    step: i64,
}

#[derive(Debug, Serialize)]
struct RunOutputsMessage<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_outputs: Vec<ModelOutputMessage<'a>>,
}

impl<'a> From<&'a RunOutputs> for RunOutputsMessage<'a> {
    fn from(outputs: &'a RunOutputs) -> Self {
        Self {
            model_outputs: outputs
                .models
                .iter()
                .map(|output| ModelOutputMessage {
                    model_id: output.model_id.as_str(),
                    step: output.step,
                })
                .collect(),
        }
    }
}

/// A run with its data and inputs; `outputs` only where MLflow sends it.
#[derive(Debug, Serialize)]
pub(crate) struct RunMessage<'a> {
    info: RunInfoMessage<'a>,
    data: RunData<'a>,
    inputs: RunInputsMessage<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<RunOutputsMessage<'a>>,
}

impl<'a> RunMessage<'a> {
    /// As `runs/get` and `runs/search` answer it.
    pub(crate) fn whole(run: &'a Run) -> Self {
        Self { outputs: Some((&run.outputs).into()), ..Self::created(run) }
    }

    /// As `runs/create` answers it.
    pub(crate) fn created(run: &'a Run) -> Self {
        Self {
            info: (&run.info).into(),
            data: RunData {
                metrics: run.metrics.iter().map(Into::into).collect(),
                params: params(&run.params),
                tags: tags(&run.tags),
            },
            inputs: (&run.inputs).into(),
            outputs: None,
        }
    }
}

/// A message with one field.
#[derive(Debug)]
pub(crate) struct One<T>(pub(crate) &'static str, pub(crate) T);

impl<T: Serialize> Serialize for One<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut message = serializer.serialize_struct("One", 1)?;
        message.serialize_field(self.0, &self.1)?;
        message.end()
    }
}

/// A page of a search: the list by its name, and the token of the next page.
#[derive(Debug)]
pub(crate) struct Listing<T> {
    pub(crate) name: &'static str,
    pub(crate) items: Vec<T>,
    pub(crate) next_page_token: Option<String>,
}

impl<T: Serialize> Serialize for Listing<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut message = serializer.serialize_struct("Listing", 2)?;
        if !self.items.is_empty() {
            message.serialize_field(self.name, &self.items)?;
        }
        if let Some(token) = &self.next_page_token {
            message.serialize_field("next_page_token", token)?;
        }
        message.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_mlflow_does() {
        for (value, text) in [
            (f64::NAN, "\"NaN\""),
            (1.0, "1.0"),
            (f64::INFINITY, "1.7976931348623157e+308"),
            (-0.1, "-0.1"),
        ] {
            assert_eq!(serde_json::to_string(&Double(value)).unwrap(), text);
        }
    }

    #[test]
    fn empty_lists_are_left_out() {
        let empty = Listing::<u8> { name: "runs", items: vec![], next_page_token: None };
        assert_eq!(serde_json::to_string(&empty).unwrap(), "{}");
        let full = Listing { name: "runs", items: vec![1], next_page_token: Some("t".into()) };
        assert_eq!(serde_json::to_string(&full).unwrap(), r#"{"runs":[1],"next_page_token":"t"}"#);
    }
}
