//! `/mlflow/model-versions/…`

use cairn_core::filter::Entity;
use cairn_store::registry::{NewModelVersion, SearchModelVersions, Stage, parse_version};

use crate::{
    artifacts::{RawCall, file_path},
    call::{Answer, Call, done, json},
    download,
    error::{ApiError, ErrorCode},
    experiments::{read_tag, read_tags},
    fields::Fields,
    page,
    search::Search,
    wire::{Listing, One},
    wire_models::ModelVersionMessage,
};

/// The most versions of one page, and as many as there are when the request does not say.
const MAX_PAGE: i64 = 200_000;

/// The number that the text `version` of a request holds.
pub(crate) fn read_version(fields: &Fields<'_>) -> Result<i64, ApiError> {
    Ok(parse_version(fields.required_text("version")?)?)
}

/// A text that counts as absent when it is empty.
fn filled(fields: &Fields<'_>, name: &str) -> Result<Option<String>, ApiError> {
    Ok(fields.text(name)?.filter(|text| !text.is_empty()).map(str::to_owned))
}

pub(crate) async fn create(call: Call) -> Answer {
    let fields = call.fields()?;
    let new = NewModelVersion {
        name: fields.required_text("name")?.to_owned(),
        source: fields.required_text("source")?.to_owned(),
        run_id: filled(&fields, "run_id")?,
        model_id: filled(&fields, "model_id")?,
        run_link: fields.text("run_link")?.map(str::to_owned),
        description: fields.text("description")?.map(str::to_owned),
        tags: read_tags(&fields)?,
    };
    let version = call.store.write(move |tx| tx.create_model_version(&new)).await?;
    json(&One("model_version", ModelVersionMessage::from(&version)))
}

pub(crate) async fn get(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let number = read_version(&fields)?;
    let version = call.store.read(move |tx| tx.model_version(&name, number)).await?;
    json(&One("model_version", ModelVersionMessage::from(&version)))
}

/// `/model-versions/get-artifact`: a file of a version, from the first place that has it.
pub(crate) async fn get_artifact(call: RawCall) -> Answer {
    let fields = Fields::from_query(call.query.as_deref().unwrap_or_default());
    let name = fields.required_text("name")?.to_owned();
    let number = read_version(&fields)?;
    let path = file_path(fields.required_text("path")?)?;
    let store = call.store;
    let mut places = store.read(move |tx| tx.model_version_places(&name, number)).await?;
    let last = places.pop().expect("there is at least one");
    for place in places {
        let location = store.artifacts().locate(&place.uri);
        let path = place.below.join(&path);
        match download::send(store.clone(), location, path, &call.headers).await {
            Err(error) if error.code == ErrorCode::ResourceDoesNotExist => {}
            answer => return answer,
        }
    }
    let location = store.artifacts().locate(&last.uri);
    download::send(store, location, last.below.join(&path), &call.headers).await
}

pub(crate) async fn update(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let number = read_version(&fields)?;
    let text = fields.text("description")?.map(str::to_owned);
    let version =
        call.store.write(move |tx| tx.update_model_version(&name, number, text.as_deref())).await?;
    json(&One("model_version", ModelVersionMessage::from(&version)))
}

pub(crate) async fn delete(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let number = read_version(&fields)?;
    call.store.write(move |tx| tx.delete_model_version(&name, number)).await?;
    done()
}

pub(crate) async fn search(call: Call) -> Answer {
    let search = Search::read(&call.fields()?, Entity::ModelVersions, MAX_PAGE, MAX_PAGE)?;
    let search = SearchModelVersions {
        filter: search.filter,
        order: search.order,
        max_results: search.max_results,
        offset: search.offset,
    };
    let found = call.store.read(move |tx| tx.search_model_versions(&search)).await?;
    json(&Listing {
        name: "model_versions",
        items: found.items.iter().map(ModelVersionMessage::from).collect(),
        next_page_token: found.next_offset.map(page::token),
    })
}

pub(crate) async fn download_uri(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let number = read_version(&fields)?;
    let uri = call.store.read(move |tx| tx.model_version_download_uri(&name, number)).await?;
    json(&One("artifact_uri", uri))
}

pub(crate) async fn set_stage(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let number = read_version(&fields)?;
    let stage: Stage = fields.required_text("stage")?.parse()?;
    let archive = fields.boolean("archive_existing_versions")?.unwrap_or(false);
    let version = call
        .store
        .write(move |tx| tx.transition_model_version(&name, number, stage, archive))
        .await?;
    json(&One("model_version", ModelVersionMessage::from(&version)))
}

pub(crate) async fn set_tag(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let number = read_version(&fields)?;
    let tag = read_tag(&fields)?;
    call.store.write(move |tx| tx.set_model_version_tag(&name, number, &tag)).await?;
    done()
}

pub(crate) async fn delete_tag(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let number = read_version(&fields)?;
    let key = fields.required_text("key")?.to_owned();
    call.store.write(move |tx| tx.delete_model_version_tag(&name, number, &key)).await?;
    done()
}
