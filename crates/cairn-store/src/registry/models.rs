//! Registered models: making, reading, searching, renaming and removing them.

use std::collections::HashMap;

use cairn_core::{
    Invalid,
    filter::tree::{Comparison, Expr, Field, Op, OrderItem, RegisteredModelAttribute, Value},
    limits,
};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    DELETED, ModelAlias, PROMPT_TAG, RegisteredModel, Stage, has_prompt_tag, is_true,
    last_of_each_key, text_array,
};
use crate::{
    Change, ReadTx, Result, StoreError, WriteTx,
    experiments::Tag,
    registry::ModelVersion,
    sql::{Page, Sql, render_filter},
};

/// What a registered model is made from.
#[derive(Debug, Clone, Default)]
pub struct NewRegisteredModel {
    /// Its name.
    pub name: String,
    /// Markdown.
    pub description: Option<String>,
    /// Its first tags; of those with the same key, the last counts.
    pub tags: Vec<Tag>,
}

/// A search of registered models.
#[derive(Debug, Clone, Default)]
pub struct SearchRegisteredModels {
    /// Parsed for [`cairn_core::filter::Entity::RegisteredModels`].
    pub filter: Option<Expr>,
    /// Empty: by name, which also breaks ties.
    pub order: Vec<OrderItem>,
    /// Rows at most.
    pub max_results: usize,
    /// Rows to leave out.
    pub offset: usize,
}

/// What a list of registered models shows of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredModelSummary {
    /// Its name.
    pub name: String,
    /// Markdown; `None` if there is none.
    pub description: Option<String>,
    /// Milliseconds since 1970.
    pub creation_time: Option<i64>,
    /// Milliseconds since 1970.
    pub last_updated_time: Option<i64>,
    /// Versions that are not deleted.
    pub version_count: u64,
    /// The highest of them.
    pub latest_version: Option<i64>,
    /// Its aliases, sorted.
    pub aliases: Vec<ModelAlias>,
    /// Its tags, sorted by key.
    pub tags: Vec<Tag>,
}

const COLUMNS: &str = "name, creation_time, last_updated_time, description";

impl ReadTx<'_> {
    /// A registered model with its latest versions, tags and aliases.
    pub fn registered_model(&self, name: &str) -> Result<RegisteredModel> {
        let model = self.find_registered_model(name)?.ok_or_else(|| not_found(name))?;
        Ok(self.complete_models(vec![model])?.remove(0))
    }

    /// A page of registered models. Prompts are left out unless the filter asks for them.
    pub fn search_registered_models(
        &self,
        search: &SearchRegisteredModels,
    ) -> Result<Page<RegisteredModel>> {
        let mut sql = Sql::default();
        sql.push("SELECT ").push(COLUMNS).push(" FROM registered_models AS m WHERE ");
        let asks_for_prompts = search.filter.as_ref().is_some_and(asks_for_prompts);
        if asks_for_prompts {
            sql.push("1");
        } else {
            sql.push("m.name NOT IN (SELECT name FROM registered_model_tags WHERE key = ");
            sql.bind(PROMPT_TAG.to_owned()).push(" AND value = 'true')");
        }
        if let Some(filter) = &search.filter {
            sql.push(" AND ");
            render_filter(&mut sql, filter, &mut |sql, comparison| {
                model_condition(sql, comparison, asks_for_prompts)
            })?;
        }
        sql.push(" ORDER BY ");
        for item in &search.order {
            let Field::RegisteredModel(attribute) = &item.field else { continue };
            sql.push(column(*attribute)).push(if item.ascending { " ASC, " } else { " DESC, " });
        }
        sql.push("m.name ASC LIMIT ").bind((search.max_results as i64).saturating_add(1));
        sql.push(" OFFSET ").bind(search.offset as i64);
        let mut statement = self.connection.prepare_cached(&sql.text)?;
        let rows = statement.query_map(sql.params(), model_from_row)?;
        let models = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut page = Page::from_overfull(models, search.offset, search.max_results);
        page.items = self.complete_models(page.items)?;
        Ok(page)
    }

    /// The highest version of each given stage (of every stage if none is given), in order of
    /// version, with aliases.
    pub fn latest_versions(&self, name: &str, stages: &[Stage]) -> Result<Vec<ModelVersion>> {
        let model = self.registered_model(name)?;
        let mut versions = model.latest_versions;
        versions.retain(|version| stages.is_empty() || stages.contains(&version.stage));
        for version in &mut versions {
            let here = model.aliases.iter().filter(|alias| alias.version == version.version);
            version.aliases = here.map(|alias| alias.alias.clone()).collect();
        }
        Ok(versions)
    }

    /// All registered models that are no prompts, by name, in a few passes over the tables.
    pub fn registered_model_summaries(&self) -> Result<Vec<RegisteredModelSummary>> {
        self.summaries(None)
    }

    /// What a list shows of one registered model.
    pub fn registered_model_summary(&self, name: &str) -> Result<RegisteredModelSummary> {
        self.summaries(Some(name))?.pop().ok_or_else(|| not_found(name))
    }

    /// All that are no prompts, or the one with a name, prompt or not.
    fn summaries(&self, name: Option<&str>) -> Result<Vec<RegisteredModelSummary>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name, description, creation_time, last_updated_time FROM registered_models \
             WHERE name = ?1 OR (?1 IS NULL AND name NOT IN \
             (SELECT name FROM registered_model_tags WHERE key = ?2 AND value = 'true')) \
             ORDER BY name",
        )?;
        let rows = statement.query_map(params![name, PROMPT_TAG], |row| {
            let description: Option<String> = row.get(1)?;
            Ok(RegisteredModelSummary {
                name: row.get(0)?,
                description: description.filter(|text| !text.is_empty()),
                creation_time: row.get(2)?,
                last_updated_time: row.get(3)?,
                version_count: 0,
                latest_version: None,
                aliases: Vec::new(),
                tags: Vec::new(),
            })
        })?;
        let mut summaries = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let names = text_array(summaries.iter().map(|summary| summary.name.as_str()));
        let mut aliases = self.aliases_of(&names)?;
        let mut tags = self.model_tags_of(&names)?;
        let mut statement = self.connection.prepare_cached(
            "SELECT name, COUNT(*), MAX(version) FROM model_versions \
             WHERE current_stage != ?1 AND (?2 IS NULL OR name = ?2) GROUP BY name",
        )?;
        let rows = statement.query_map(params![DELETED, name], |row| {
            Ok((row.get::<_, String>(0)?, (row.get::<_, i64>(1)?, row.get(2)?)))
        })?;
        let mut versions = rows.collect::<rusqlite::Result<HashMap<_, (i64, Option<i64>)>>>()?;
        for summary in &mut summaries {
            summary.aliases = aliases.remove(&summary.name).unwrap_or_default();
            summary.tags = tags.remove(&summary.name).unwrap_or_default();
            let (count, latest) = versions.remove(&summary.name).unwrap_or_default();
            summary.version_count = count.unsigned_abs();
            summary.latest_version = latest;
        }
        Ok(summaries)
    }

    /// Refuses a name that no registered model has.
    pub fn require_registered_model(&self, name: &str) -> Result<()> {
        self.find_registered_model(name)?.map(|_| ()).ok_or_else(|| not_found(name))
    }

    /// Whether a registered model is a prompt.
    pub(super) fn is_prompt(&self, name: &str) -> Result<bool> {
        let tags = self.model_tags_of(&text_array([name]))?.remove(name).unwrap_or_default();
        Ok(has_prompt_tag(&tags))
    }

    /// The row of a registered model.
    fn find_registered_model(&self, name: &str) -> Result<Option<RegisteredModel>> {
        limits::check_registered_model_name(name)?;
        let sql = format!("SELECT {COLUMNS} FROM registered_models WHERE name = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([name], model_from_row).optional()?)
    }

    /// Adds latest versions, tags and aliases to rows.
    fn complete_models(&self, mut models: Vec<RegisteredModel>) -> Result<Vec<RegisteredModel>> {
        let names = text_array(models.iter().map(|model| model.name.as_str()));
        let mut versions = self.latest_versions_of(&names)?;
        let mut tags = self.model_tags_of(&names)?;
        let mut aliases = self.aliases_of(&names)?;
        for model in &mut models {
            model.latest_versions = versions.remove(&model.name).unwrap_or_default();
            model.tags = tags.remove(&model.name).unwrap_or_default();
            model.aliases = aliases.remove(&model.name).unwrap_or_default();
        }
        Ok(models)
    }
}

impl WriteTx<'_> {
    /// Makes a registered model and answers it.
    ///
    /// Errors: [`StoreError::AlreadyExists`] when the name is taken.
    pub fn create_registered_model(&mut self, new: &NewRegisteredModel) -> Result<RegisteredModel> {
        for tag in &new.tags {
            limits::check_registry_tag(&tag.key, &tag.value)?;
        }
        if self.find_registered_model(&new.name)?.is_some() {
            let is_prompt = self.is_prompt(&new.name)?;
            return Err(name_taken(&new.name, is_prompt, has_prompt_tag(&new.tags)));
        }
        self.connection
            .prepare_cached(
                "INSERT INTO registered_models \
                 (name, creation_time, last_updated_time, description) VALUES (?1, ?2, ?2, ?3)",
            )?
            .execute(params![
                new.name,
                self.now.0,
                new.description.as_deref().unwrap_or_default()
            ])?;
        for tag in last_of_each_key(&new.tags) {
            self.put_model_tag(&new.name, tag)?;
        }
        self.changed(Change::Registry);
        self.registered_model(&new.name)
    }

    /// Gives a registered model and all its versions another name.
    ///
    /// Errors: [`StoreError::AlreadyExists`] when the new name is taken.
    pub fn rename_registered_model(
        &mut self,
        name: &str,
        new_name: &str,
    ) -> Result<RegisteredModel> {
        limits::check_registered_model_name(new_name)?;
        self.require_registered_model(name)?;
        if name != new_name && self.find_registered_model(new_name)?.is_some() {
            return Err(StoreError::AlreadyExists(format!(
                "Registered Model (name={new_name}) already exists."
            )));
        }
        self.with_indexed_version_tags(name, |tx| {
            // The foreign keys carry the name on to versions, tags and aliases.
            tx.connection
                .prepare_cached(
                    "UPDATE registered_models SET name = ?2, last_updated_time = ?3 \
                     WHERE name = ?1",
                )?
                .execute(params![name, new_name, tx.now.0])?;
            Ok(())
        })?;
        self.connection
            .prepare_cached("UPDATE model_versions SET last_updated_time = ?2 WHERE name = ?1")?
            .execute(params![new_name, self.now.0])?;
        self.changed(Change::Registry);
        self.registered_model(new_name)
    }

    /// Changes the description; `None` empties it.
    pub fn update_registered_model(
        &mut self,
        name: &str,
        description: Option<&str>,
    ) -> Result<RegisteredModel> {
        self.require_registered_model(name)?;
        self.connection
            .prepare_cached(
                "UPDATE registered_models SET description = ?2, last_updated_time = ?3 \
                 WHERE name = ?1",
            )?
            .execute(params![name, description.unwrap_or_default(), self.now.0])?;
        self.changed(Change::Registry);
        self.registered_model(name)
    }

    /// Removes a registered model with its versions, tags and aliases, for good.
    pub fn delete_registered_model(&mut self, name: &str) -> Result<()> {
        self.require_registered_model(name)?;
        let aliases = self.shape.has_aliases.then_some("registered_model_aliases");
        let tables = ["model_version_tags", "model_versions", "registered_model_tags"];
        self.with_indexed_version_tags(name, |tx| {
            for table in aliases.into_iter().chain(tables).chain(["registered_models"]) {
                tx.connection
                    .prepare_cached(&format!("DELETE FROM {table} WHERE name = ?1"))?
                    .execute([name])?;
            }
            Ok(())
        })?;
        self.changed(Change::Registry);
        Ok(())
    }

    /// Sets a tag of a registered model.
    pub fn set_registered_model_tag(&mut self, name: &str, tag: &Tag) -> Result<()> {
        limits::check_registry_tag(&tag.key, &tag.value)?;
        self.require_registered_model(name)?;
        self.put_model_tag(name, tag)?;
        self.changed(Change::Registry);
        Ok(())
    }

    /// Removes a tag of a registered model; removing one that is not there is a success.
    pub fn delete_registered_model_tag(&mut self, name: &str, key: &str) -> Result<()> {
        limits::check_key(key, "key")?;
        self.require_registered_model(name)?;
        self.connection
            .prepare_cached("DELETE FROM registered_model_tags WHERE name = ?1 AND key = ?2")?
            .execute([name, key])?;
        self.changed(Change::Registry);
        Ok(())
    }

    /// Notes that a version of a registered model came, went or changed its stage.
    pub(super) fn touch_registered_model(&self, name: &str) -> Result<()> {
        self.connection
            .prepare_cached("UPDATE registered_models SET last_updated_time = ?2 WHERE name = ?1")?
            .execute(params![name, self.now.0])?;
        Ok(())
    }

    /// Changes the keys of a model's versions, with an index for the tags that hang on them.
    ///
    /// MLflow has no index by which SQLite finds the tags of a version (since 3.12 it has), so that
    /// it would read all tags for each version: half a minute for 10,000 of each, during which
    /// nobody else can write. The index is gone before the commit; the file's schema stays as it is.
    fn with_indexed_version_tags(
        &self,
        name: &str,
        op: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        const FEW: i64 = 250;
        let versions: i64 = self
            .connection
            .prepare_cached("SELECT COUNT(*) FROM model_versions WHERE name = ?1")?
            .query_row([name], |row| row.get(0))?;
        if versions <= FEW {
            return op(self);
        }
        // Unless all columns of the foreign key are in it, SQLite prefers the primary key's.
        let workspace = if self.shape.has_workspaces { "workspace, " } else { "" };
        self.connection.execute_batch(&format!(
            "CREATE INDEX cairn_version_tags ON model_version_tags ({workspace}name, version)"
        ))?;
        op(self)?;
        self.connection.execute_batch("DROP INDEX cairn_version_tags")?;
        Ok(())
    }

    fn put_model_tag(&self, name: &str, tag: &Tag) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO registered_model_tags (key, value, name) \
                 VALUES (?1, ?2, ?3)",
            )?
            .execute([&tag.key, &tag.value, name])?;
        Ok(())
    }
}

/// Whether a filter looks at prompts: the first comparison of their tag decides.
pub(super) fn asks_for_prompts(filter: &Expr) -> bool {
    fn first(filter: &Expr) -> Option<&Comparison> {
        match filter {
            Expr::Compare(comparison) => is_prompt_field(&comparison.field).then_some(comparison),
            Expr::And(parts) | Expr::Or(parts) => parts.iter().find_map(first),
            Expr::Not(_) => None,
        }
    }
    first(filter).is_some_and(|comparison| match (comparison.op, &comparison.value) {
        (Op::Eq, Value::Text(text)) => is_true(text),
        (Op::Ne, Value::Text(text)) => text.eq_ignore_ascii_case("false"),
        _ => false,
    })
}

/// Whether a field is the tag of prompts. In a search that leaves prompts out, a comparison of it
/// says nothing more, as most models lack the tag.
pub(super) fn is_prompt_field(field: &Field) -> bool {
    matches!(field, Field::Tag(key) if key == PROMPT_TAG)
}

fn model_condition(sql: &mut Sql, comparison: &Comparison, asks_for_prompts: bool) -> Result<()> {
    match &comparison.field {
        field if is_prompt_field(field) && !asks_for_prompts => {
            sql.push("1");
        }
        Field::RegisteredModel(attribute) => {
            sql.compare(column(*attribute), comparison.op, &comparison.value);
        }
        Field::Tag(key) => {
            sql.not_if_absent(comparison.op);
            sql.push("m.name IN (SELECT t.name FROM registered_model_tags AS t WHERE t.key = ");
            sql.bind(key.clone()).and_value("t.value", comparison.op, &comparison.value).push(")");
        }
        _ => return Err(Invalid::new("This field is not searchable for registered models").into()),
    }
    Ok(())
}

fn column(attribute: RegisteredModelAttribute) -> &'static str {
    match attribute {
        RegisteredModelAttribute::Name => "m.name",
        RegisteredModelAttribute::LastUpdatedTimestamp => "m.last_updated_time",
    }
}

fn model_from_row(row: &Row<'_>) -> rusqlite::Result<RegisteredModel> {
    Ok(RegisteredModel {
        name: row.get(0)?,
        creation_time: row.get(1)?,
        last_updated_time: row.get(2)?,
        description: row.get(3)?,
        latest_versions: Vec::new(),
        tags: Vec::new(),
        aliases: Vec::new(),
    })
}

fn not_found(name: &str) -> StoreError {
    StoreError::NotFound(format!("Registered Model with name={name} not found"))
}

/// The refusal of a taken name, which tells prompts and models apart.
fn name_taken(name: &str, is_prompt: bool, new_is_prompt: bool) -> StoreError {
    let message = match (new_is_prompt, is_prompt) {
        (false, false) => format!("Registered Model (name={name}) already exists."),
        (true, true) => format!("Prompt (name={name}) already exists."),
        (new_is_prompt, _) => {
            let (new, old) = if new_is_prompt {
                ("prompt", "registered model")
            } else {
                ("registered model", "prompt")
            };
            format!(
                "Tried to create a {new} with name '{name}', but the name is already taken by a \
                 {old}. MLflow does not allow creating a model and a prompt with the same name."
            )
        }
    };
    StoreError::AlreadyExists(message)
}
