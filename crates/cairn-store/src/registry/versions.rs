//! Versions of registered models: making, reading, searching, moving between stages, removing.

use std::{collections::HashMap, rc::Rc};

use cairn_core::{
    Invalid, LoggedModelId, RunId,
    filter::tree::{Comparison, Expr, Field, ModelVersionAttribute, OrderItem, Value},
    limits,
};
use rusqlite::{OptionalExtension as _, Row, params, types::Value as SqlValue};

use super::{
    DELETED, ModelVersion, PROMPT_TAG, Stage, last_of_each_key,
    models::{asks_for_prompts, is_prompt_field},
    source::{ModelSource, Owner, Refusal, Selector},
    text_array,
};
use crate::{
    Change, ReadTx, Result, StoreError, WriteTx,
    experiments::Tag,
    sql::{Page, Sql, render_filter},
};

/// What a version is made from. `None` means that the request does not say, which is not the same
/// as an empty text when a version is copied.
#[derive(Debug, Clone, Default)]
pub struct NewModelVersion {
    /// The registered model.
    pub name: String,
    /// Where its files are: a URI or a path on this machine.
    pub source: String,
    /// The run that made it.
    pub run_id: Option<String>,
    /// The logged model that it is.
    pub model_id: Option<String>,
    /// A link to the run.
    pub run_link: Option<String>,
    /// Markdown.
    pub description: Option<String>,
    /// Its first tags; of those with the same key, the last counts.
    pub tags: Vec<Tag>,
}

/// A search of versions.
#[derive(Debug, Clone, Default)]
pub struct SearchModelVersions {
    /// Parsed for [`cairn_core::filter::Entity::ModelVersions`].
    pub filter: Option<Expr>,
    /// Empty: last updated first. Ties are broken by name, then the highest version first.
    pub order: Vec<OrderItem>,
    /// Rows at most.
    pub max_results: usize,
    /// Rows to leave out.
    pub offset: usize,
}

/// Names a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelVersionRef {
    /// The registered model.
    pub name: String,
    /// The version.
    pub version: i64,
}

impl ReadTx<'_> {
    /// A version that is not deleted, with its aliases.
    pub fn model_version(&self, name: &str, version: i64) -> Result<ModelVersion> {
        limits::check_registered_model_name(name)?;
        let sql = format!(
            "SELECT {} FROM model_versions AS v \
             WHERE name = ?1 AND version = ?2 AND current_stage != ?3",
            self.version_columns()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let found =
            statement.query_row(params![name, version, DELETED], version_from_row).optional()?;
        let mut found = found.ok_or_else(|| not_found(name, version))?;
        let mut statement = self.connection.prepare_cached(
            "SELECT key, COALESCE(value, '') FROM model_version_tags \
             WHERE name = ?1 AND version = ?2 ORDER BY key",
        )?;
        let tags = statement.query_map(params![name, version], |row| {
            Ok(Tag { key: row.get(0)?, value: row.get(1)? })
        })?;
        found.tags = tags.collect::<rusqlite::Result<_>>()?;
        let aliases = self.aliases_of(&text_array([name]))?.remove(name).unwrap_or_default();
        let here = aliases.into_iter().filter(|alias| alias.version == version);
        found.aliases = here.map(|alias| alias.alias).collect();
        Ok(found)
    }

    /// Where the files of a version are, as the client that asks must read it.
    pub fn model_version_download_uri(&self, name: &str, version: i64) -> Result<String> {
        let version = self.model_version(name, version)?;
        let stored = version.storage_location.filter(|location| !location.is_empty());
        Ok(stored.or(version.source).unwrap_or_default())
    }

    /// A page of versions, without aliases. Those of prompts are left out unless the filter asks
    /// for them.
    pub fn search_model_versions(
        &self,
        search: &SearchModelVersions,
    ) -> Result<Page<ModelVersion>> {
        let mut sql = Sql::default();
        sql.push("SELECT ").push(self.version_columns()).push(" FROM model_versions AS v WHERE ");
        sql.push("v.current_stage != ").bind(DELETED.to_owned());
        let asks_for_prompts = search.filter.as_ref().is_some_and(asks_for_prompts);
        if !asks_for_prompts {
            sql.push(" AND v.name NOT IN (SELECT name FROM model_version_tags WHERE key = ");
            sql.bind(PROMPT_TAG.to_owned()).push(" AND value = 'true')");
        }
        if let Some(filter) = &search.filter {
            sql.push(" AND ");
            render_filter(&mut sql, filter, &mut |sql, comparison| {
                version_condition(sql, comparison, asks_for_prompts)
            })?;
        }
        sql.push(" ORDER BY ");
        for item in &search.order {
            let Field::ModelVersion(attribute) = &item.field else { continue };
            sql.push(column(*attribute)).push(if item.ascending { " ASC, " } else { " DESC, " });
        }
        if search.order.is_empty() {
            sql.push("v.last_updated_time DESC, ");
        }
        sql.push("v.name ASC, v.version DESC LIMIT ")
            .bind((search.max_results as i64).saturating_add(1));
        sql.push(" OFFSET ").bind(search.offset as i64);
        let mut statement = self.connection.prepare_cached(&sql.text)?;
        let rows = statement.query_map(sql.params(), version_from_row)?;
        let versions = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut page = Page::from_overfull(versions, search.offset, search.max_results);
        self.add_version_tags(&mut page.items)?;
        Ok(page)
    }

    /// The highest versions of a registered model, highest first, with aliases.
    pub fn model_versions_of(&self, name: &str, limit: usize) -> Result<Vec<ModelVersion>> {
        self.require_registered_model(name)?;
        let sql = format!(
            "SELECT {} FROM model_versions AS v WHERE name = ?1 AND current_stage != ?2 \
             ORDER BY version DESC LIMIT ?3",
            self.version_columns()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![name, DELETED, limit as i64], version_from_row)?;
        let mut versions = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        self.add_version_tags(&mut versions)?;
        let mut aliases: HashMap<i64, Vec<String>> = HashMap::new();
        for alias in self.aliases_of(&text_array([name]))?.remove(name).unwrap_or_default() {
            aliases.entry(alias.version).or_default().push(alias.alias);
        }
        for version in &mut versions {
            version.aliases = aliases.remove(&version.version).unwrap_or_default();
        }
        Ok(versions)
    }

    /// Which versions were made from some logged models, by the model; lowest version first.
    pub fn versions_of_logged_models(
        &self,
        models: &[LoggedModelId],
    ) -> Result<HashMap<LoggedModelId, Vec<ModelVersionRef>>> {
        let sources: Vec<_> = models.iter().map(|model| format!("models:/{model}")).collect();
        let sources = text_array(sources.iter().map(String::as_str));
        let mut statement = self.connection.prepare_cached(
            "SELECT source, name, version FROM model_versions \
             WHERE source IN rarray(?1) AND current_stage != ?2 ORDER BY name, version",
        )?;
        let mut rows = statement.query(params![sources, DELETED])?;
        let mut found: HashMap<LoggedModelId, Vec<ModelVersionRef>> = HashMap::new();
        while let Some(row) = rows.next()? {
            let source: String = row.get(0)?;
            let model = source.strip_prefix("models:/").unwrap_or_default();
            let version = ModelVersionRef { name: row.get(1)?, version: row.get(2)? };
            found.entry(model.parse()?).or_default().push(version);
        }
        Ok(found)
    }

    /// The highest version of each stage of some registered models, by name, without aliases.
    pub(super) fn latest_versions_of(
        &self,
        names: &Rc<Vec<SqlValue>>,
    ) -> Result<HashMap<String, Vec<ModelVersion>>> {
        // SQLite takes the other columns from the row that has the maximum.
        let sql = format!(
            "SELECT {}, MAX(version) FROM model_versions AS v \
             WHERE name IN rarray(?1) AND current_stage != ?2 \
             GROUP BY name, current_stage ORDER BY version",
            self.version_columns()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![names, DELETED], version_from_row)?;
        let mut versions = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        self.add_version_tags(&mut versions)?;
        let mut found: HashMap<String, Vec<ModelVersion>> = HashMap::new();
        for version in versions {
            found.entry(version.name.clone()).or_default().push(version);
        }
        Ok(found)
    }

    /// Refuses a version that does not exist or is deleted.
    pub(super) fn require_model_version(&self, name: &str, version: i64) -> Result<()> {
        limits::check_registered_model_name(name)?;
        let exists = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM model_versions \
                 WHERE name = ?1 AND version = ?2 AND current_stage != ?3",
            )?
            .exists(params![name, version, DELETED])?;
        if exists { Ok(()) } else { Err(not_found(name, version)) }
    }

    fn add_version_tags(&self, versions: &mut [ModelVersion]) -> Result<()> {
        let index: HashMap<_, _> = versions
            .iter()
            .enumerate()
            .map(|(index, version)| ((version.name.clone(), version.version), index))
            .collect();
        let names = text_array(versions.iter().map(|version| version.name.as_str()));
        let mut statement = self.connection.prepare_cached(
            "SELECT name, version, key, COALESCE(value, '') FROM model_version_tags \
             WHERE name IN rarray(?1) ORDER BY key",
        )?;
        let mut rows = statement.query([names])?;
        while let Some(row) = rows.next()? {
            if let Some(index) = index.get(&(row.get(0)?, row.get(1)?)) {
                versions[*index].tags.push(Tag { key: row.get(2)?, value: row.get(3)? });
            }
        }
        Ok(())
    }

    /// Columns that [`version_from_row`] reads, in its order.
    fn version_columns(&self) -> &'static str {
        if self.shape.has_storage_location {
            "v.name, v.version, v.creation_time, v.last_updated_time, v.description, v.user_id, \
             v.current_stage, v.source, v.run_id, v.status, v.status_message, v.run_link, \
             v.storage_location"
        } else {
            "v.name, v.version, v.creation_time, v.last_updated_time, v.description, v.user_id, \
             v.current_stage, v.source, v.run_id, v.status, v.status_message, v.run_link, NULL"
        }
    }
}

/// What a source means for the row of its version.
struct Lineage {
    /// The source; a copied version is named by its number.
    source: String,
    storage_location: String,
    run_id: Option<String>,
}

impl WriteTx<'_> {
    /// Makes the next version of a registered model and answers it, with its aliases (none).
    ///
    /// A version of a logged model is also noted in the model's tag `mlflow.modelVersions`.
    ///
    /// Errors: [`StoreError::Invalid`], in MLflow's words, when the source is not surely among the
    /// files of the run or model that the request names; tags have no say in this.
    pub fn create_model_version(&mut self, new: &NewModelVersion) -> Result<ModelVersion> {
        limits::check_registered_model_name(&new.name)?;
        for tag in &new.tags {
            limits::check_registry_tag(&tag.key, &tag.value)?;
        }
        let lineage = self.lineage(new)?;
        self.require_registered_model(&new.name)?;
        self.touch_registered_model(&new.name)?;
        let version: i64 = self
            .connection
            .prepare_cached(
                "SELECT COALESCE(MAX(version), 0) + 1 FROM model_versions WHERE name = ?1",
            )?
            .query_row([&new.name], |row| row.get(0))?;
        self.connection
            .prepare_cached(
                "INSERT INTO model_versions (name, version, creation_time, last_updated_time, \
                 description, current_stage, source, run_id, status, run_link) \
                 VALUES (?1, ?2, ?3, ?3, ?4, 'None', ?5, ?6, 'READY', ?7)",
            )?
            .execute(params![
                new.name,
                version,
                self.now.0,
                new.description.as_deref().unwrap_or_default(),
                lineage.source,
                lineage.run_id.unwrap_or_default(),
                new.run_link.as_deref().unwrap_or_default()
            ])?;
        if self.shape.has_storage_location {
            self.connection
                .prepare_cached(
                    "UPDATE model_versions SET storage_location = ?3 \
                     WHERE name = ?1 AND version = ?2",
                )?
                .execute(params![new.name, version, lineage.storage_location])?;
        }
        for tag in last_of_each_key(&new.tags) {
            self.put_version_tag(&new.name, version, tag)?;
        }
        if let Some(model_id) = new.model_id.as_deref().filter(|id| !id.is_empty()) {
            self.note_model_version(&model_id.parse()?, &new.name, version)?;
        }
        self.changed(Change::Registry);
        self.model_version(&new.name, version)
    }

    /// Changes the description; `None` removes it.
    pub fn update_model_version(
        &mut self,
        name: &str,
        version: i64,
        description: Option<&str>,
    ) -> Result<ModelVersion> {
        self.require_model_version(name, version)?;
        self.connection
            .prepare_cached(
                "UPDATE model_versions SET description = ?3, last_updated_time = ?4 \
                 WHERE name = ?1 AND version = ?2",
            )?
            .execute(params![name, version, description, self.now.0])?;
        self.changed(Change::Registry);
        self.model_version(name, version)
    }

    /// Moves a version to a stage; `archive_existing` moves all others of that stage to
    /// `Archived`.
    ///
    /// Errors: [`StoreError::Invalid`] for `archive_existing` with another stage than `Staging` and
    /// `Production`.
    pub fn transition_model_version(
        &mut self,
        name: &str,
        version: i64,
        stage: Stage,
        archive_existing: bool,
    ) -> Result<ModelVersion> {
        if archive_existing && !matches!(stage, Stage::Staging | Stage::Production) {
            return Err(Invalid::new(format!(
                "Model version transition cannot archive existing model versions because '{}' is \
                 not an Active stage. Valid stages are ['Staging', 'Production']",
                stage.as_str()
            ))
            .into());
        }
        self.require_model_version(name, version)?;
        if archive_existing {
            self.connection
                .prepare_cached(
                    "UPDATE model_versions SET current_stage = 'Archived', last_updated_time = ?4 \
                     WHERE name = ?1 AND version != ?2 AND current_stage = ?3",
                )?
                .execute(params![name, version, stage.as_str(), self.now.0])?;
        }
        self.connection
            .prepare_cached(
                "UPDATE model_versions SET current_stage = ?3, last_updated_time = ?4 \
                 WHERE name = ?1 AND version = ?2",
            )?
            .execute(params![name, version, stage.as_str(), self.now.0])?;
        self.touch_registered_model(name)?;
        self.changed(Change::Registry);
        self.model_version(name, version)
    }

    /// Removes a version and its aliases. Its row stays, blacked out, so that the number is never
    /// given again.
    pub fn delete_model_version(&mut self, name: &str, version: i64) -> Result<()> {
        self.require_model_version(name, version)?;
        self.connection
            .prepare_cached(
                "UPDATE model_versions SET current_stage = ?3, last_updated_time = ?4, \
                 description = NULL, user_id = NULL, source = 'REDACTED-SOURCE-PATH', \
                 run_id = 'REDACTED-RUN-ID', run_link = 'REDACTED-RUN-LINK', \
                 status_message = NULL WHERE name = ?1 AND version = ?2",
            )?
            .execute(params![name, version, DELETED, self.now.0])?;
        if self.shape.has_aliases {
            self.connection
                .prepare_cached(
                    "DELETE FROM registered_model_aliases WHERE name = ?1 AND version = ?2",
                )?
                .execute(params![name, version])?;
        }
        self.touch_registered_model(name)?;
        self.changed(Change::Registry);
        Ok(())
    }

    /// Sets a tag of a version.
    pub fn set_model_version_tag(&mut self, name: &str, version: i64, tag: &Tag) -> Result<()> {
        limits::check_registry_tag(&tag.key, &tag.value)?;
        self.require_model_version(name, version)?;
        self.put_version_tag(name, version, tag)?;
        self.changed(Change::Registry);
        Ok(())
    }

    /// Removes a tag of a version; removing one that is not there is a success.
    pub fn delete_model_version_tag(&mut self, name: &str, version: i64, key: &str) -> Result<()> {
        limits::check_key(key, "key")?;
        self.require_model_version(name, version)?;
        self.connection
            .prepare_cached(
                "DELETE FROM model_version_tags WHERE name = ?1 AND version = ?2 AND key = ?3",
            )?
            .execute(params![name, version, key])?;
        self.changed(Change::Registry);
        Ok(())
    }

    fn put_version_tag(&self, name: &str, version: i64, tag: &Tag) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO model_version_tags (key, value, name, version) \
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![tag.key, tag.value, name, version])?;
        Ok(())
    }

    /// Checks a new version's source against the run or model that the request names.
    fn lineage(&self, new: &NewModelVersion) -> Result<Lineage> {
        let model_id = new.model_id.as_deref().filter(|id| !id.is_empty());
        let run_id = new.run_id.as_deref().filter(|id| !id.is_empty());
        let owner = if model_id.is_some() { Owner::Model } else { Owner::Run };
        let refused = |refusal: Refusal| StoreError::from(refusal.of(&new.source, owner));
        let source = ModelSource::parse(&new.source).map_err(refused)?;
        if let ModelSource::Registered(name, selector) = &source {
            return self.copied_lineage(new, name, selector, refused);
        }
        let model = match model_id {
            Some(id) => Some(id.parse().map_err(|_| refused(Refusal::NotOwned))?),
            None => None,
        };
        let model: Option<&LoggedModelId> = model.as_ref();
        let mut lineage = Lineage {
            source: new.source.clone(),
            storage_location: new.source.clone(),
            run_id: run_id.map(str::to_owned),
        };
        match &source {
            ModelSource::LoggedModel(id) if model == Some(id) => {
                let unavailable = |error| match error {
                    StoreError::NotFound(message) => StoreError::NotFound(format!(
                        "Unable to fetch model from model URI source artifact location '{}'. \
                         Error: {message}",
                        new.source
                    )),
                    error => error,
                };
                let (location, _) = self.logged_model_origin(id).map_err(unavailable)?;
                lineage.storage_location = location;
            }
            ModelSource::LoggedModel(_) => return Err(refused(Refusal::NotThisModel)),
            ModelSource::Run(id, _) if model.is_none() && run_id == Some(id.as_str()) => {}
            ModelSource::Run(..) => return Err(refused(Refusal::NotOwned)),
            ModelSource::Tree(_) | ModelSource::Local(_) => {
                let location = match (model, run_id) {
                    (Some(id), _) => self.logged_model_origin(id).map(|(location, _)| location),
                    (None, Some(id)) => self.artifact_uri_of(id),
                    (None, None) if matches!(source, ModelSource::Local(_)) => {
                        return Err(refused(Refusal::Local));
                    }
                    (None, None) => return Err(refused(Refusal::NotOwned)),
                };
                let location = location.map_err(|error| match error {
                    StoreError::NotFound(_) => refused(Refusal::NotOwned),
                    error => error,
                })?;
                let is_within =
                    ModelSource::parse(&location).is_ok_and(|root| source.is_within(&root));
                if !is_within {
                    let is_local = matches!(source, ModelSource::Local(_));
                    return Err(refused(if is_local { Refusal::Local } else { Refusal::NotOwned }));
                }
            }
            ModelSource::Cloud | ModelSource::Registered(..) => {}
        }
        if let (Some(id), None) = (model, run_id) {
            lineage.run_id = self.logged_model_origin(id)?.1;
        }
        Ok(lineage)
    }

    /// What a version inherits from the one that it copies.
    fn copied_lineage(
        &self,
        new: &NewModelVersion,
        name: &str,
        selector: &Selector,
        refused: impl Fn(Refusal) -> StoreError,
    ) -> Result<Lineage> {
        self.require_registered_model(name)?;
        if self.is_prompt(name)? {
            return Err(refused(Refusal::Prompt));
        }
        let copied = match selector {
            Selector::Version(version) => self.model_version(name, *version)?,
            Selector::Alias(alias) => self.model_version_by_alias(name, alias)?,
            Selector::Latest => self.model_version_by_alias(name, "latest")?,
            Selector::Stage(stage) => {
                self.latest_versions(name, &[*stage])?.pop().ok_or_else(|| {
                    StoreError::NotFound(format!(
                        "No versions of model with name '{name}' and stage '{}' found",
                        stage.as_str()
                    ))
                })?
            }
        };
        let inherited = copied.run_id.clone().unwrap_or_default();
        let has_other_run = new.run_id.as_ref().is_some_and(|run_id| *run_id != inherited);
        // Which logged model a version is stands nowhere in its row, so that none can match.
        let has_model = new.model_id.as_ref().is_some_and(|model_id| !model_id.is_empty());
        if has_other_run || has_model {
            return Err(refused(Refusal::OtherLineage));
        }
        Ok(Lineage {
            source: format!("models:/{name}/{}", copied.version),
            storage_location: self.model_version_download_uri(name, copied.version)?,
            run_id: copied.run_id,
        })
    }

    fn artifact_uri_of(&self, run_id: &str) -> Result<String> {
        let run_id: RunId =
            run_id.parse().map_err(|invalid: Invalid| StoreError::NotFound(invalid.message))?;
        Ok(self.run_info(&run_id)?.artifact_uri)
    }
}

fn version_condition(sql: &mut Sql, comparison: &Comparison, asks_for_prompts: bool) -> Result<()> {
    match &comparison.field {
        field if is_prompt_field(field) && !asks_for_prompts => {
            sql.push("1");
        }
        Field::ModelVersion(attribute @ ModelVersionAttribute::VersionNumber) => {
            // The number may come in quotes; as a text it would equal nothing.
            let value = match &comparison.value {
                Value::Text(text) => Value::Integer(super::parse_version(text)?),
                other => other.clone(),
            };
            sql.compare(column(*attribute), comparison.op, &value);
        }
        Field::ModelVersion(attribute) => {
            sql.compare(column(*attribute), comparison.op, &comparison.value);
        }
        Field::Tag(key) => {
            sql.not_if_absent(comparison.op);
            sql.push(
                "(v.name, v.version) IN (SELECT t.name, t.version \
                 FROM model_version_tags AS t WHERE t.key = ",
            );
            sql.bind(key.clone()).and_value("t.value", comparison.op, &comparison.value).push(")");
        }
        _ => return Err(Invalid::new("This field is not searchable for model versions").into()),
    }
    Ok(())
}

fn column(attribute: ModelVersionAttribute) -> &'static str {
    match attribute {
        ModelVersionAttribute::Name => "v.name",
        ModelVersionAttribute::VersionNumber => "v.version",
        ModelVersionAttribute::RunId => "v.run_id",
        ModelVersionAttribute::SourcePath => "v.source",
        ModelVersionAttribute::CreationTimestamp => "v.creation_time",
        ModelVersionAttribute::LastUpdatedTimestamp => "v.last_updated_time",
    }
}

fn version_from_row(row: &Row<'_>) -> rusqlite::Result<ModelVersion> {
    let stage: String = row.get(6)?;
    let status: Option<String> = row.get(9)?;
    Ok(ModelVersion {
        name: row.get(0)?,
        version: row.get(1)?,
        creation_time: row.get(2)?,
        last_updated_time: row.get(3)?,
        description: row.get(4)?,
        user_id: row.get(5)?,
        // MLflow writes no other stage; if something else did, the version is still shown.
        stage: stage.parse().unwrap_or(Stage::None),
        source: row.get(7)?,
        run_id: row.get(8)?,
        status: status.unwrap_or_else(|| "READY".to_owned()),
        status_message: row.get(10)?,
        run_link: row.get(11)?,
        storage_location: row.get(12)?,
        tags: Vec::new(),
        aliases: Vec::new(),
    })
}

fn not_found(name: &str, version: i64) -> StoreError {
    StoreError::NotFound(format!("Model Version (name={name}, version={version}) not found"))
}
