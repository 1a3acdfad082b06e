//! `/mlflow/logged-models/…`

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cairn_core::{
    LoggedModelId,
    filter::{Entity, OrderItem, logged_model_order_field},
};
use cairn_store::logged_models::{
    DatasetFilter, LoggedModelOrder, LoggedModelStatus, NewLoggedModel, SearchLoggedModels,
};
use serde::{Deserialize, Serialize};

use crate::{
    artifacts::{self, RawCall},
    call::{Answer, Call, done, json},
    download,
    error::{ApiError, ErrorCode},
    experiments::read_tags,
    fields::Fields,
    runs::read_params,
    search::{filter_of, max_results},
    wire::{Listing, One},
    wire_models::LoggedModelMessage,
};

/// Models of one page when the request does not say.
const DEFAULT_PAGE: i64 = 50;
/// Models of one page when the request says 0.
const PAGE_FOR_ZERO: usize = 100;

const STATUSES: &[(&str, i64, LoggedModelStatus)] = &[
    ("LOGGED_MODEL_STATUS_UNSPECIFIED", 0, LoggedModelStatus::Unspecified),
    ("LOGGED_MODEL_PENDING", 1, LoggedModelStatus::Pending),
    ("LOGGED_MODEL_READY", 2, LoggedModelStatus::Ready),
    ("LOGGED_MODEL_UPLOAD_FAILED", 3, LoggedModelStatus::UploadFailed),
];

/// The model that the path names; what can be no id is answered like a model that does not exist.
fn model_id(call: &Call) -> Result<LoggedModelId, ApiError> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    text.parse().map_err(|_| ApiError::not_found("There is no logged model with this ID."))
}

/// Refuses a body without the model's id, which MLflow wants beside the one in the path.
fn require_same_id(fields: &Fields<'_>, id: &LoggedModelId) -> Result<(), ApiError> {
    if fields.required_text("model_id")? == id.as_str() {
        Ok(())
    } else {
        Err(ApiError::invalid("The 'model_id' of the body is not the one of the path."))
    }
}

pub(crate) async fn create(call: Call) -> Answer {
    let fields = call.fields()?;
    let new = NewLoggedModel {
        experiment_id: fields.experiment_id("experiment_id")?,
        name: fields.text("name")?.map(str::to_owned),
        model_type: fields.text("model_type")?.map(str::to_owned),
        source_run_id: fields.text("source_run_id")?.map(str::to_owned),
        params: read_params(&fields)?,
        tags: read_tags(&fields)?,
    };
    let model = call.store.write(move |tx| tx.create_logged_model(&new)).await?;
    json(&One("model", LoggedModelMessage::from(&model)))
}

pub(crate) async fn get(call: Call) -> Answer {
    let id = model_id(&call)?;
    let allow_deleted = call.fields()?.boolean("allow_deleted")?.unwrap_or(false);
    let model = call.store.read(move |tx| tx.logged_model(&id, allow_deleted)).await?;
    json(&One("model", LoggedModelMessage::from(&model)))
}

pub(crate) async fn finalize(call: Call) -> Answer {
    let id = model_id(&call)?;
    let fields = call.fields()?;
    require_same_id(&fields, &id)?;
    let status = fields.one_of("status", STATUSES)?.ok_or_else(|| fields.missing("status"))?;
    let model = call.store.write(move |tx| tx.finalize_logged_model(&id, status)).await?;
    json(&One("model", LoggedModelMessage::from(&model)))
}

pub(crate) async fn delete(call: Call) -> Answer {
    let id = model_id(&call)?;
    call.store.write(move |tx| tx.delete_logged_model(&id)).await?;
    done()
}

pub(crate) async fn set_tags(call: Call) -> Answer {
    let id = model_id(&call)?;
    let tags = read_tags(&call.fields()?)?;
    call.store.write(move |tx| tx.set_logged_model_tags(&id, &tags)).await?;
    done()
}

pub(crate) async fn delete_tag(call: Call) -> Answer {
    let id = model_id(&call)?;
    let key = call.path.get(1).cloned().unwrap_or_default();
    call.store.write(move |tx| tx.delete_logged_model_tag(&id, &key)).await?;
    done()
}

pub(crate) async fn log_params(call: Call) -> Answer {
    let id = model_id(&call)?;
    let fields = call.fields()?;
    require_same_id(&fields, &id)?;
    let params = read_params(&fields)?;
    call.store.write(move |tx| tx.log_logged_model_params(&id, &params)).await?;
    done()
}

pub(crate) async fn search(call: Call) -> Answer {
    let fields = call.fields()?;
    let place = Place::read(&fields)?;
    let experiment_ids = fields.experiment_ids("experiment_ids")?;
    if experiment_ids.is_empty() {
        return Err(fields.missing("experiment_ids"));
    }
    let search = SearchLoggedModels {
        experiment_ids,
        filter: filter_of(&fields, Entity::LoggedModels)?,
        datasets: fields
            .objects("datasets")?
            .iter()
            .map(|dataset| {
                Ok(DatasetFilter {
                    name: dataset.required_text("dataset_name")?.to_owned(),
                    digest: dataset.text("dataset_digest")?.map(str::to_owned),
                })
            })
            .collect::<Result<_, ApiError>>()?,
        order: place
            .order_by
            .iter()
            .flatten()
            .map(|key| {
                Ok(LoggedModelOrder {
                    item: OrderItem {
                        field: logged_model_order_field(&key.field_name)?,
                        ascending: key.ascending,
                    },
                    dataset_name: key.dataset_name.clone(),
                    dataset_digest: key.dataset_digest.clone(),
                })
            })
            .collect::<Result<_, ApiError>>()?,
        max_results: match fields.int("max_results")? {
            Some(0) => PAGE_FOR_ZERO,
            _ => max_results(&fields, DEFAULT_PAGE, i64::from(i32::MAX))?,
        },
        offset: place.offset,
    };
    drop(fields);
    let found = call.store.read(move |tx| tx.search_logged_models(&search)).await?;
    json(&Listing {
        name: "models",
        items: found.items.iter().map(LoggedModelMessage::from).collect(),
        next_page_token: found.next_offset.map(|offset| Place { offset, ..place }.token()),
    })
}

/// `…/artifacts/directories`: the files of a model, with paths from its root.
pub(crate) async fn list_artifacts(call: Call) -> Answer {
    let id = model_id(&call)?;
    let path = artifacts::folder_path(call.fields()?.text("artifact_directory_path")?)?;
    let uri = call.store.read(move |tx| tx.logged_model(&id, false)).await?.artifact_location;
    artifacts::list_below(call.store, uri, path).await
}

/// `…/artifacts/files`: a file of a model.
pub(crate) async fn get_artifact(call: RawCall) -> Answer {
    let id: LoggedModelId = call
        .path
        .parse()
        .map_err(|_| ApiError::not_found("There is no logged model with this ID."))?;
    let fields = Fields::from_query(call.query.as_deref().unwrap_or_default());
    let path =
        fields.text("artifact_file_path")?.filter(|text| !text.is_empty()).ok_or_else(|| {
            ApiError::new(
                ErrorCode::BadRequest,
                "Request must include the \"artifact_file_path\" query parameter.",
            )
        })?;
    let path = artifacts::file_path(path)?;
    let store = call.store;
    let uri = store.read(move |tx| tx.logged_model(&id, false)).await?.artifact_location;
    let location = store.artifacts().locate(&uri);
    download::send(store, location, path, &call.headers).await
}

/// A place in a search: the search itself, and the offset. The page token holds all of it, and is
/// only good for the same search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    experiment_ids: Vec<String>,
    filter_string: Option<String>,
    order_by: Option<Vec<OrderKey>>,
    offset: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OrderKey {
    field_name: String,
    ascending: bool,
    dataset_name: Option<String>,
    dataset_digest: Option<String>,
}

impl Place {
    /// Reads the search of a request and the offset of its token.
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        let order_by = fields
            .objects("order_by")?
            .iter()
            .map(|key| {
                Ok(OrderKey {
                    field_name: key.required_text("field_name")?.to_owned(),
                    ascending: key.boolean("ascending")?.unwrap_or(true),
                    dataset_name: key.text("dataset_name")?.map(str::to_owned),
                    dataset_digest: key.text("dataset_digest")?.map(str::to_owned),
                })
            })
            .collect::<Result<Vec<_>, ApiError>>()?;
        let mut asked = Self {
            experiment_ids: fields
                .texts("experiment_ids")?
                .into_iter()
                .map(str::to_owned)
                .collect(),
            filter_string: fields
                .text("filter")?
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            order_by: (!order_by.is_empty()).then_some(order_by),
            offset: 0,
        };
        let Some(token) = fields.text("page_token")?.filter(|token| !token.is_empty()) else {
            return Ok(asked);
        };
        let held: Self = STANDARD
            .decode(token)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .ok_or_else(|| ApiError::invalid("Invalid page token: it cannot be decoded."))?;
        asked.offset = held.offset;
        if held != asked {
            return Err(ApiError::invalid(
                "Invalid page token: it belongs to a search with other experiments, another filter \
                 or another order.",
            ));
        }
        Ok(asked)
    }

    fn token(&self) -> String {
        STANDARD.encode(serde_json::to_vec(self).expect("texts and numbers are always JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_only_good_for_its_search() {
        let request = |filter: &str, token: &str| {
            let body = format!(
                r#"{{"experiment_ids":["1"],"filter":"{filter}","page_token":"{token}",
                    "order_by":[{{"field_name":"name"}}]}}"#
            );
            Place::read(&Fields::from_body(body.as_bytes()).unwrap())
        };
        let first = request("name = 'a'", "").unwrap();
        let token = Place { offset: 7, ..first }.token();
        assert_eq!(request("name = 'a'", &token).unwrap().offset, 7);
        assert!(request("name = 'b'", &token).is_err());
        assert!(request("name = 'a'", "eyJvZmZzZXQiOiAxfQ==").is_err());
    }
}
