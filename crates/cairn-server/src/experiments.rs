//! `/mlflow/experiments/…`

use cairn_core::filter::Entity;
use cairn_store::{
    Store,
    experiments::{NewExperiment, SearchExperiments, Tag},
};

use crate::{
    call::{Answer, Call, done, json},
    error::ApiError,
    fields::Fields,
    page,
    search::Search,
    wire::{DatasetSummaryMessage, ExperimentMessage, Listing, One},
};

/// The most experiments whose datasets one request asks for.
const MAX_DATASET_EXPERIMENTS: usize = 20;
/// The most datasets of an answer.
const MAX_DATASETS: usize = 1_000;
/// The most experiments of one page.
const MAX_PAGE: i64 = 50_000;

/// The tags that a request lists.
pub(crate) fn read_tags(fields: &Fields<'_>) -> Result<Vec<Tag>, ApiError> {
    fields.objects("tags")?.iter().map(read_tag).collect()
}

/// The tag that the fields `key` and `value` make; without a value it is empty.
pub(crate) fn read_tag(fields: &Fields<'_>) -> Result<Tag, ApiError> {
    Ok(Tag { key: fields.required_text("key")?.to_owned(), value: fields.text_or_empty("value")? })
}

pub(crate) async fn create(call: Call) -> Answer {
    let fields = call.fields()?;
    let new = NewExperiment {
        name: fields.required_text("name")?.to_owned(),
        artifact_location: fields.text("artifact_location")?.map(str::to_owned),
        tags: read_tags(&fields)?,
    };
    let new = NewExperiment {
        artifact_location: new.artifact_location.map(|location| absolute(&call.store, location)),
        ..new
    };
    let id = call.store.write(move |tx| tx.create_experiment(&new)).await?;
    json(&One("experiment_id", id.to_string()))
}

/// A location without scheme is a local path; a relative one counts from the store's folder, since
/// clients in different folders must find the same files.
fn absolute(store: &Store, location: String) -> String {
    let has_scheme = location.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    if location.is_empty() || has_scheme || location.starts_with('/') {
        return location;
    }
    let below = location.strip_prefix("./").unwrap_or(&location);
    store.dir().join(below).display().to_string()
}

pub(crate) async fn get(call: Call) -> Answer {
    let id = call.fields()?.experiment_id("experiment_id")?;
    let experiment = call.store.read(move |tx| tx.experiment(id)).await?;
    json(&One("experiment", ExperimentMessage::from(&experiment)))
}

pub(crate) async fn get_by_name(call: Call) -> Answer {
    let name = call.fields()?.required_text("experiment_name")?.to_owned();
    let experiment = call.store.read(move |tx| tx.experiment_by_name(&name)).await?;
    json(&One("experiment", ExperimentMessage::from(&experiment)))
}

pub(crate) async fn search(call: Call) -> Answer {
    let fields = call.fields()?;
    // No default: MLflow reads an absent number as 0, and 0 is refused.
    let search = Search::read(&fields, Entity::Experiments, 0, MAX_PAGE)?;
    let search = SearchExperiments {
        filter: search.filter,
        order: search.order,
        view: fields.view_type("view_type")?,
        max_results: search.max_results,
        offset: search.offset,
    };
    drop(fields);
    let found = call.store.read(move |tx| tx.search_experiments(&search)).await?;
    json(&Listing {
        name: "experiments",
        items: found.items.iter().map(ExperimentMessage::from).collect(),
        next_page_token: found.next_offset.map(page::token),
    })
}

pub(crate) async fn update(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.experiment_id("experiment_id")?;
    let name = fields.required_text("new_name")?.to_owned();
    call.store.write(move |tx| tx.rename_experiment(id, &name)).await?;
    done()
}

pub(crate) async fn delete(call: Call) -> Answer {
    let id = call.fields()?.experiment_id("experiment_id")?;
    call.store.write(move |tx| tx.delete_experiment(id)).await?;
    done()
}

pub(crate) async fn restore(call: Call) -> Answer {
    let id = call.fields()?.experiment_id("experiment_id")?;
    call.store.write(move |tx| tx.restore_experiment(id)).await?;
    done()
}

pub(crate) async fn set_tag(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.experiment_id("experiment_id")?;
    let tag = read_tag(&fields)?;
    call.store.write(move |tx| tx.set_experiment_tag(id, &tag)).await?;
    done()
}

pub(crate) async fn delete_tag(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.experiment_id("experiment_id")?;
    let key = fields.required_text("key")?.to_owned();
    call.store.write(move |tx| tx.delete_experiment_tag(id, &key)).await?;
    done()
}

/// `search-datasets`: which datasets the runs of some experiments read.
pub(crate) async fn search_datasets(call: Call) -> Answer {
    let fields = call.fields()?;
    let experiments = fields.experiment_ids("experiment_ids")?;
    if experiments.is_empty() {
        return Err(ApiError::invalid(
            "SearchDatasets request must specify at least one experiment_id.",
        ));
    }
    if experiments.len() > MAX_DATASET_EXPERIMENTS {
        return Err(ApiError::invalid(format!(
            "SearchDatasets request cannot specify more than {MAX_DATASET_EXPERIMENTS} \
             experiment_ids. Received {} experiment_ids.",
            experiments.len()
        )));
    }
    drop(fields);
    let found = call.store.read(move |tx| tx.dataset_summaries(&experiments, MAX_DATASETS)).await?;
    json(&Listing {
        name: "dataset_summaries",
        items: found.iter().map(DatasetSummaryMessage::from).collect(),
        next_page_token: None,
    })
}
