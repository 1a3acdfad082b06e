//! `/mlflow/runs/…`

use cairn_core::{MetricPoint, MetricValue, filter::Entity};
use cairn_store::{
    inputs::{Dataset, DatasetInput, ModelOutput},
    metrics::{Batch, NewMetric},
    runs::{NewRun, Param, RunUpdate},
    search_runs::SearchRuns,
};

use serde_json::{Map, Value};

use crate::{
    call::{Answer, Call, done, json},
    error::ApiError,
    experiments::{read_tag, read_tags},
    fields::Fields,
    page,
    search::Search,
    wire::{Listing, One, RunInfoMessage, RunMessage},
};

/// Runs of one page when the request does not say.
pub(crate) const DEFAULT_PAGE: i64 = 1_000;
/// The most runs of one page.
pub(crate) const MAX_PAGE: i64 = 50_000;

pub(crate) async fn create(call: Call) -> Answer {
    let fields = call.fields()?;
    let new = NewRun {
        experiment_id: fields.experiment_id("experiment_id")?,
        user_id: fields.text_or_empty("user_id")?,
        run_name: fields.text("run_name")?.map(str::to_owned),
        start_time: fields.int("start_time")?.unwrap_or(0),
        tags: read_tags(&fields)?,
    };
    let run = call.store.write(move |tx| tx.create_run(&new)).await?;
    json(&One("run", RunMessage::created(&run)))
}

pub(crate) async fn get(call: Call) -> Answer {
    let id = call.fields()?.run_id()?;
    let run = call.store.read(move |tx| tx.run(&id)).await?;
    json(&One("run", RunMessage::whole(&run)))
}

pub(crate) async fn update(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.run_id()?;
    let update = RunUpdate {
        status: fields.run_status()?,
        end_time: fields.int("end_time")?,
        run_name: fields.text("run_name")?.map(str::to_owned),
    };
    let info = call.store.write(move |tx| tx.update_run(&id, &update)).await?;
    json(&One("run_info", RunInfoMessage::from(&info)))
}

pub(crate) async fn delete(call: Call) -> Answer {
    let id = call.fields()?.run_id_only()?;
    call.store.write(move |tx| tx.delete_run(&id)).await?;
    done()
}

pub(crate) async fn restore(call: Call) -> Answer {
    let id = call.fields()?.run_id_only()?;
    call.store.write(move |tx| tx.restore_run(&id)).await?;
    done()
}

pub(crate) async fn log_metric(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.run_id()?;
    let metric = read_metric(&fields)?;
    call.store.write(move |tx| tx.log_metric(&id, &metric)).await?;
    done()
}

pub(crate) async fn log_parameter(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.run_id()?;
    let param = read_param(&fields)?;
    call.store.write(move |tx| tx.log_param(&id, &param)).await?;
    done()
}

pub(crate) async fn log_batch(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.required_text("run_id")?.parse()?;
    let batch = Batch {
        metrics: fields.objects("metrics")?.iter().map(read_metric).collect::<Result<_, _>>()?,
        params: read_params(&fields)?,
        tags: read_tags(&fields)?,
    };
    call.store.write(move |tx| tx.log_batch(&id, &batch)).await?;
    done()
}

pub(crate) async fn set_tag(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.run_id()?;
    let tag = read_tag(&fields)?;
    call.store.write(move |tx| tx.set_tag(&id, &tag)).await?;
    done()
}

pub(crate) async fn delete_tag(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.run_id_only()?;
    let key = fields.required_text("key")?.to_owned();
    call.store.write(move |tx| tx.delete_tag(&id, &key)).await?;
    done()
}

pub(crate) async fn search(call: Call) -> Answer {
    let fields = call.fields()?;
    let search = Search::read(&fields, Entity::Runs, DEFAULT_PAGE, MAX_PAGE)?;
    let search = SearchRuns {
        experiment_ids: fields.experiment_ids("experiment_ids")?,
        filter: search.filter,
        order: search.order,
        view: fields.view_type("run_view_type")?,
        max_results: search.max_results,
        offset: search.offset,
    };
    drop(fields);
    let found = call.store.search_runs(search).await?;
    json(&Listing {
        name: "runs",
        items: found.items.iter().map(RunMessage::whole).collect(),
        next_page_token: found.next_offset.map(page::token),
    })
}

pub(crate) async fn log_inputs(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.required_text("run_id")?.parse()?;
    let datasets = fields
        .objects("datasets")?
        .iter()
        .map(read_dataset_input)
        .collect::<Result<Vec<_>, _>>()?;
    let models = fields
        .objects("models")?
        .iter()
        .map(|model| model.model_id("model_id")?.ok_or_else(|| model.missing("model_id")))
        .collect::<Result<Vec<_>, _>>()?;
    drop(fields);
    call.store.write(move |tx| tx.log_inputs(&id, &datasets, &models)).await?;
    done()
}

pub(crate) async fn log_outputs(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.run_id_only()?;
    let models = fields.objects("models")?;
    if models.is_empty() {
        return Err(fields.missing("models"));
    }
    let models = models
        .iter()
        .map(|model| {
            Ok(ModelOutput {
                model_id: model.model_id("model_id")?.ok_or_else(|| model.missing("model_id"))?,
                step: model.int("step")?.unwrap_or(0),
            })
        })
        .collect::<Result<Vec<_>, ApiError>>()?;
    drop(fields);
    call.store.write(move |tx| tx.log_outputs(&id, &models)).await?;
    done()
}

/// `log-model`: what clients before MLflow 3 note of a model that they saved.
pub(crate) async fn log_model(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.run_id_only()?;
    let text = fields.required_text("model_json")?;
    let mut model: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        ApiError::invalid(format!("Malformed model info: it is no JSON object: {error}."))
    })?;
    let missing: Vec<&str> = ["artifact_path", "flavors", "utc_time_created", "run_id"]
        .into_iter()
        .filter(|name| !model.contains_key(*name))
        .collect();
    if !missing.is_empty() {
        return Err(ApiError::invalid(format!(
            "Model json is missing mandatory fields: {}",
            missing.join(", ")
        )));
    }
    // As MLflow does, the history keeps what a model is, not how it was configured.
    model.retain(|name, _| {
        ["run_id", "utc_time_created", "artifact_path", "model_uuid", "flavors"]
            .contains(&name.as_str())
    });
    let Some(Value::Object(flavors)) = model.get_mut("flavors") else {
        return Err(ApiError::invalid("Malformed model info: 'flavors' is no JSON object."));
    };
    for flavor in flavors.values_mut().filter_map(Value::as_object_mut) {
        flavor.remove("config");
    }
    call.store.write(move |tx| tx.record_model(&id, model.clone())).await?;
    done()
}

fn read_metric(fields: &Fields<'_>) -> Result<NewMetric, ApiError> {
    Ok(NewMetric {
        point: MetricPoint {
            key: fields.required_text("key")?.to_owned(),
            value: MetricValue(fields.double("value")?.ok_or_else(|| fields.missing("value"))?),
            timestamp: fields.required_int("timestamp")?,
            step: fields.int("step")?.unwrap_or(0),
        },
        model_id: fields.model_id("model_id")?,
        dataset_name: fields.text("dataset_name")?.map(str::to_owned),
        dataset_digest: fields.text("dataset_digest")?.map(str::to_owned),
    })
}

/// The parameters that a request lists.
pub(crate) fn read_params(fields: &Fields<'_>) -> Result<Vec<Param>, ApiError> {
    fields.objects("params")?.iter().map(read_param).collect()
}

fn read_param(fields: &Fields<'_>) -> Result<Param, ApiError> {
    Ok(Param {
        key: fields.required_text("key")?.to_owned(),
        value: fields.text_or_empty("value")?,
    })
}

fn read_dataset_input(fields: &Fields<'_>) -> Result<DatasetInput, ApiError> {
    let dataset = fields.object("dataset")?.ok_or_else(|| fields.missing("dataset"))?;
    Ok(DatasetInput {
        tags: read_tags(fields)?,
        dataset: Dataset {
            name: dataset.required_text("name")?.to_owned(),
            digest: dataset.required_text("digest")?.to_owned(),
            source_type: dataset.required_text("source_type")?.to_owned(),
            source: dataset.required_text("source")?.to_owned(),
            schema: dataset.text("schema")?.map(str::to_owned),
            profile: dataset.text("profile")?.map(str::to_owned),
        },
    })
}
