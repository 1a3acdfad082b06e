//! `/mlflow/registered-models/…`

use cairn_core::filter::Entity;
use cairn_store::registry::{NewRegisteredModel, SearchRegisteredModels, Stage};

use crate::{
    call::{Answer, Call, done, json},
    experiments::{read_tag, read_tags},
    model_versions::read_version,
    page,
    search::Search,
    wire::{Listing, One},
    wire_models::{ModelVersionMessage, RegisteredModelMessage},
};

/// Models of one page when the request does not say.
const DEFAULT_PAGE: i64 = 100;
/// The most models of one page.
const MAX_PAGE: i64 = 1_000;

pub(crate) async fn create(call: Call) -> Answer {
    let fields = call.fields()?;
    let new = NewRegisteredModel {
        name: fields.required_text("name")?.to_owned(),
        description: fields.text("description")?.map(str::to_owned),
        tags: read_tags(&fields)?,
    };
    let model = call.store.write(move |tx| tx.create_registered_model(&new)).await?;
    json(&One("registered_model", RegisteredModelMessage::from(&model)))
}

pub(crate) async fn get(call: Call) -> Answer {
    let name = call.fields()?.required_text("name")?.to_owned();
    let model = call.store.read(move |tx| tx.registered_model(&name)).await?;
    json(&One("registered_model", RegisteredModelMessage::from(&model)))
}

pub(crate) async fn rename(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let new_name = fields.required_text("new_name")?.to_owned();
    let model = call.store.write(move |tx| tx.rename_registered_model(&name, &new_name)).await?;
    json(&One("registered_model", RegisteredModelMessage::from(&model)))
}

pub(crate) async fn update(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let text = fields.text("description")?.map(str::to_owned);
    let model =
        call.store.write(move |tx| tx.update_registered_model(&name, text.as_deref())).await?;
    json(&One("registered_model", RegisteredModelMessage::from(&model)))
}

pub(crate) async fn delete(call: Call) -> Answer {
    let name = call.fields()?.required_text("name")?.to_owned();
    call.store.write(move |tx| tx.delete_registered_model(&name)).await?;
    done()
}

pub(crate) async fn search(call: Call) -> Answer {
    let search = Search::read(&call.fields()?, Entity::RegisteredModels, DEFAULT_PAGE, MAX_PAGE)?;
    let search = SearchRegisteredModels {
        filter: search.filter,
        order: search.order,
        max_results: search.max_results,
        offset: search.offset,
    };
    let found = call.store.read(move |tx| tx.search_registered_models(&search)).await?;
    json(&Listing {
        name: "registered_models",
        items: found.items.iter().map(RegisteredModelMessage::from).collect(),
        next_page_token: found.next_offset.map(page::token),
    })
}

pub(crate) async fn latest_versions(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let stages =
        fields.texts("stages")?.into_iter().map(str::parse::<Stage>).collect::<Result<Vec<_>, _>>();
    drop(fields);
    let versions = call
        .store
        .read(move |tx| {
            // A model that is not there is said before a stage that is none.
            tx.require_registered_model(&name)?;
            tx.latest_versions(&name, &stages?)
        })
        .await?;
    json(&Listing {
        name: "model_versions",
        items: versions.iter().map(ModelVersionMessage::from).collect(),
        next_page_token: None,
    })
}

pub(crate) async fn set_tag(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let tag = read_tag(&fields)?;
    call.store.write(move |tx| tx.set_registered_model_tag(&name, &tag)).await?;
    done()
}

pub(crate) async fn delete_tag(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let key = fields.required_text("key")?.to_owned();
    call.store.write(move |tx| tx.delete_registered_model_tag(&name, &key)).await?;
    done()
}

pub(crate) async fn set_alias(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let alias = fields.required_text("alias")?.to_owned();
    let version = read_version(&fields)?;
    call.store.write(move |tx| tx.set_model_alias(&name, &alias, version)).await?;
    done()
}

pub(crate) async fn get_alias(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let alias = fields.required_text("alias")?.to_owned();
    drop(fields);
    let version = call.store.read(move |tx| tx.model_version_by_alias(&name, &alias)).await?;
    json(&One("model_version", ModelVersionMessage::from(&version)))
}

pub(crate) async fn delete_alias(call: Call) -> Answer {
    let fields = call.fields()?;
    let name = fields.required_text("name")?.to_owned();
    let alias = fields.required_text("alias")?.to_owned();
    call.store.write(move |tx| tx.delete_model_alias(&name, &alias)).await?;
    done()
}
