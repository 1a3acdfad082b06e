//! Registered models and their versions, with the numbers that they had.

use std::collections::HashMap;

use rusqlite::{OptionalExtension as _, params};

use super::Existing;
use crate::{
    Change, Result, WriteTx,
    experiments::Tag,
    registry::{DELETED, ModelAlias, Stage},
};

/// A registered model on its way in.
#[derive(Debug, Clone)]
pub struct ImportedRegisteredModel {
    /// Its name.
    pub name: String,
    /// Milliseconds since 1970.
    pub creation_time: Option<i64>,
    /// Milliseconds since 1970.
    pub last_updated_time: Option<i64>,
    /// Markdown.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its aliases.
    pub aliases: Vec<ModelAlias>,
    /// Its versions, lowest first.
    pub versions: Vec<ImportedVersion>,
}

/// A version on its way in.
#[derive(Debug, Clone)]
pub struct ImportedVersion {
    /// The number that it had.
    pub version: i64,
    /// Milliseconds since 1970.
    pub creation_time: Option<i64>,
    /// Milliseconds since 1970.
    pub last_updated_time: Option<i64>,
    /// Markdown.
    pub description: Option<String>,
    /// Who made it.
    pub user_id: Option<String>,
    /// Its stage; `None` if it was deleted, which keeps its number from being given again.
    pub stage: Option<Stage>,
    /// What it was made from.
    pub source: String,
    /// Where its files are.
    pub storage_location: String,
    /// The run that made it.
    pub run_id: Option<String>,
    /// `READY`, `PENDING_REGISTRATION` or `FAILED_REGISTRATION`.
    pub status: String,
    /// More about the status.
    pub status_message: Option<String>,
    /// A link to the run.
    pub run_link: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// What became of a registered model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegisteredOutcome {
    /// Whether it was made.
    pub is_new: bool,
    /// How many versions were added.
    pub new_versions: u64,
    /// Versions whose number was taken by another one: the number that they had, and the new one.
    pub renumbered: Vec<(i64, i64)>,
    /// Aliases that the store has pointing elsewhere.
    pub kept_aliases: Vec<String>,
    /// Whether the file has no place for aliases.
    pub has_no_aliases: bool,
}

impl WriteTx<'_> {
    /// Makes a registered model with its versions, or adds to the one with its name.
    ///
    /// A version is the same as one in the store when run and creation time are. A number that
    /// another version has (also a deleted one) is replaced by the next free one.
    pub fn import_registered_model(
        &mut self,
        new: &ImportedRegisteredModel,
        existing: Existing,
    ) -> Result<RegisteredOutcome> {
        let mut outcome = RegisteredOutcome::default();
        let is_there = self
            .connection
            .prepare_cached("SELECT 1 FROM registered_models WHERE name = ?1")?
            .exists([&new.name])?;
        if !is_there {
            self.connection
                .prepare_cached(
                    "INSERT INTO registered_models \
                     (name, creation_time, last_updated_time, description) \
                     VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![
                    new.name,
                    new.creation_time,
                    new.last_updated_time,
                    new.description
                ])?;
            outcome.is_new = true;
        } else if existing == Existing::Follows {
            self.connection
                .prepare_cached(
                    "UPDATE registered_models SET last_updated_time = ?2, description = ?3 \
                     WHERE name = ?1",
                )?
                .execute(params![new.name, new.last_updated_time, new.description])?;
        }
        for tag in &new.tags {
            let sql = match existing {
                Existing::Follows => {
                    "INSERT OR REPLACE INTO registered_model_tags (key, value, name) \
                     VALUES (?1, ?2, ?3)"
                }
                Existing::Stays => {
                    "INSERT OR IGNORE INTO registered_model_tags (key, value, name) \
                     VALUES (?1, ?2, ?3)"
                }
            };
            self.connection.prepare_cached(sql)?.execute([&tag.key, &tag.value, &new.name])?;
        }
        let mut numbers = HashMap::new();
        for version in &new.versions {
            let number = self.import_version(&new.name, version, existing, &mut outcome)?;
            numbers.insert(version.version, number);
        }
        self.import_aliases(new, &numbers, existing, &mut outcome)?;
        self.changed(Change::Registry);
        Ok(outcome)
    }

    fn import_version(
        &self,
        name: &str,
        new: &ImportedVersion,
        existing: Existing,
        outcome: &mut RegisteredOutcome,
    ) -> Result<i64> {
        let run_id = new.run_id.as_deref().unwrap_or_default();
        let same: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT version FROM model_versions WHERE name = ?1 AND creation_time IS ?2 \
                 AND COALESCE(run_id, '') = ?3 ORDER BY version != ?4 LIMIT 1",
            )?
            .query_row(params![name, new.creation_time, run_id, new.version], |row| row.get(0))
            .optional()?;
        let number = if let Some(number) = same {
            if existing == Existing::Follows {
                self.connection
                    .prepare_cached(
                        "UPDATE model_versions SET last_updated_time = ?3, description = ?4, \
                         current_stage = ?5, status = ?6, status_message = ?7 \
                         WHERE name = ?1 AND version = ?2",
                    )?
                    .execute(params![
                        name,
                        number,
                        new.last_updated_time,
                        new.description,
                        new.stage.map_or(DELETED, Stage::as_str),
                        new.status,
                        new.status_message
                    ])?;
            }
            number
        } else {
            let number = self.free_number(name, new.version)?;
            self.insert_version(name, number, new)?;
            outcome.new_versions += 1;
            if number != new.version {
                outcome.renumbered.push((new.version, number));
            }
            number
        };
        for tag in &new.tags {
            let sql = match existing {
                Existing::Follows => {
                    "INSERT OR REPLACE INTO model_version_tags (key, value, name, version) \
                     VALUES (?1, ?2, ?3, ?4)"
                }
                Existing::Stays => {
                    "INSERT OR IGNORE INTO model_version_tags (key, value, name, version) \
                     VALUES (?1, ?2, ?3, ?4)"
                }
            };
            self.connection
                .prepare_cached(sql)?
                .execute(params![tag.key, tag.value, name, number])?;
        }
        Ok(number)
    }

    /// The number itself if no version has it, else one above the highest.
    fn free_number(&self, name: &str, wanted: i64) -> Result<i64> {
        let is_taken = self
            .connection
            .prepare_cached("SELECT 1 FROM model_versions WHERE name = ?1 AND version = ?2")?
            .exists(params![name, wanted])?;
        if !is_taken {
            return Ok(wanted);
        }
        Ok(self
            .connection
            .prepare_cached("SELECT MAX(version) + 1 FROM model_versions WHERE name = ?1")?
            .query_row([name], |row| row.get(0))?)
    }

    fn insert_version(&self, name: &str, number: i64, new: &ImportedVersion) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO model_versions (name, version, creation_time, last_updated_time, \
                 description, user_id, current_stage, source, run_id, status, status_message, \
                 run_link) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                name,
                number,
                new.creation_time,
                new.last_updated_time,
                new.description,
                new.user_id,
                new.stage.map_or(DELETED, Stage::as_str),
                new.source,
                new.run_id,
                new.status,
                new.status_message,
                new.run_link
            ])?;
        if self.shape.has_storage_location {
            self.connection
                .prepare_cached(
                    "UPDATE model_versions SET storage_location = ?3 \
                     WHERE name = ?1 AND version = ?2",
                )?
                .execute(params![name, number, new.storage_location])?;
        }
        Ok(())
    }

    fn import_aliases(
        &self,
        new: &ImportedRegisteredModel,
        numbers: &HashMap<i64, i64>,
        existing: Existing,
        outcome: &mut RegisteredOutcome,
    ) -> Result<()> {
        outcome.has_no_aliases = !self.shape.has_aliases && !new.aliases.is_empty();
        if !self.shape.has_aliases {
            return Ok(());
        }
        for alias in &new.aliases {
            let version = numbers.get(&alias.version).copied().unwrap_or(alias.version);
            let there: Option<i64> = self
                .connection
                .prepare_cached(
                    "SELECT version FROM registered_model_aliases WHERE name = ?1 AND alias = ?2",
                )?
                .query_row([&new.name, &alias.alias], |row| row.get(0))
                .optional()?;
            if there.is_some_and(|there| there != version) && existing == Existing::Stays {
                outcome.kept_aliases.push(alias.alias.clone());
                continue;
            }
            self.connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO registered_model_aliases (alias, version, name) \
                     VALUES (?1, ?2, ?3)",
                )?
                .execute(params![alias.alias, version, new.name])?;
        }
        Ok(())
    }
}
