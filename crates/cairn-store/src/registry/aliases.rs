//! Aliases: names that point at one version of a registered model.

use cairn_core::{Invalid, limits};
use rusqlite::{OptionalExtension as _, params};

use super::ModelVersion;
use crate::{Change, ReadTx, Result, StoreError, WriteTx};

impl ReadTx<'_> {
    /// The version that an alias points at, with aliases. `latest`, in any case, is the highest
    /// version.
    ///
    /// Errors: an alias that the model does not have is [`StoreError::Invalid`], as in MLflow.
    pub fn model_version_by_alias(&self, name: &str, alias: &str) -> Result<ModelVersion> {
        limits::check_alias_name(alias)?;
        if alias.eq_ignore_ascii_case("latest") {
            let latest = self.latest_versions(name, &[])?.into_iter().last();
            return latest.ok_or_else(|| {
                StoreError::NotFound(format!("Latest version not found for model {name}."))
            });
        }
        self.require_registered_model(name)?;
        let version = self
            .version_of_alias(name, alias)?
            .ok_or_else(|| Invalid::new(format!("Registered model alias {alias} not found.")))?;
        self.model_version(name, version)
    }

    fn version_of_alias(&self, name: &str, alias: &str) -> Result<Option<i64>> {
        if !self.shape.has_aliases {
            return Ok(None);
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT version FROM registered_model_aliases WHERE name = ?1 AND alias = ?2",
        )?;
        Ok(statement.query_row([name, alias], |row| row.get(0)).optional()?)
    }
}

impl WriteTx<'_> {
    /// Points an alias at a version; one that pointed elsewhere moves.
    pub fn set_model_alias(&mut self, name: &str, alias: &str, version: i64) -> Result<()> {
        limits::check_alias(alias)?;
        self.require(self.shape.has_aliases, "model aliases", "2.3")?;
        self.require_model_version(name, version)?;
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO registered_model_aliases (alias, version, name) \
                 VALUES (?1, ?2, ?3)",
            )?
            .execute(params![alias, version, name])?;
        self.changed(Change::Registry);
        Ok(())
    }

    /// Removes an alias; removing one that is not there is a success.
    pub fn delete_model_alias(&mut self, name: &str, alias: &str) -> Result<()> {
        limits::check_alias_name(alias)?;
        self.require_registered_model(name)?;
        if !self.shape.has_aliases {
            return Ok(());
        }
        self.connection
            .prepare_cached("DELETE FROM registered_model_aliases WHERE name = ?1 AND alias = ?2")?
            .execute([name, alias])?;
        self.changed(Change::Registry);
        Ok(())
    }
}
