//! The model registry: registered models, their versions, aliases and stages.
//!
//! The statements hold with and without the column `workspace` (MLflow 3.10 adds it to every key
//! here, and may do so between two transactions): rows are found by name, written without naming a
//! workspace (its default is the one that MLflow uses), and never through `ON CONFLICT`.
//!
//! A deleted version keeps its row, with its facts blacked out, so that its number is never given
//! again; nothing here shows it. Prompts are registered models with a tag of their own; searches
//! leave them out, as MLflow's do.

mod aliases;
mod files;
mod models;
mod source;
mod versions;

use std::{collections::HashMap, rc::Rc, str::FromStr};

use cairn_core::Invalid;
use rusqlite::types::Value;

use crate::{ReadTx, Result, experiments::Tag};

pub use files::FilePlace;
pub use models::{NewRegisteredModel, RegisteredModelSummary, SearchRegisteredModels};
pub use versions::{ModelVersionRef, NewModelVersion, SearchModelVersions};

/// The tag that makes a registered model a prompt.
const PROMPT_TAG: &str = "mlflow.prompt.is_prompt";

/// The stage of deleted versions, which no interface shows.
pub(crate) const DELETED: &str = "Deleted_Internal";

/// A name with its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredModel {
    /// Its name, unique.
    pub name: String,
    /// Milliseconds since 1970.
    pub creation_time: Option<i64>,
    /// When it was last renamed or described, or a version came, went or changed its stage.
    pub last_updated_time: Option<i64>,
    /// Markdown; MLflow's server stores an empty text when none is given.
    pub description: Option<String>,
    /// The highest version of each stage, in order of version, without aliases.
    pub latest_versions: Vec<ModelVersion>,
    /// Its tags, sorted by key.
    pub tags: Vec<Tag>,
    /// Its aliases, sorted.
    pub aliases: Vec<ModelAlias>,
}

/// A name for one version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelAlias {
    /// The alias.
    pub alias: String,
    /// The version that it points at.
    pub version: i64,
}

/// One version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelVersion {
    /// The registered model.
    pub name: String,
    /// Its number, from 1 on.
    pub version: i64,
    /// Milliseconds since 1970.
    pub creation_time: Option<i64>,
    /// Milliseconds since 1970.
    pub last_updated_time: Option<i64>,
    /// Markdown; empty when none was given, `None` when it was removed.
    pub description: Option<String>,
    /// Never set by MLflow's SQL store.
    pub user_id: Option<String>,
    /// Its stage.
    pub stage: Stage,
    /// What it was made from, as given (`models:/m-…`, `runs:/…`, a path).
    pub source: Option<String>,
    /// Where its files are; `None` in files of MLflow before 2.8.
    pub storage_location: Option<String>,
    /// The run that made it; empty when none was given.
    pub run_id: Option<String>,
    /// `READY`, `PENDING_REGISTRATION` or `FAILED_REGISTRATION`.
    pub status: String,
    /// More about the status.
    pub status_message: Option<String>,
    /// A link to the run; empty when none was given.
    pub run_link: Option<String>,
    /// Its tags, sorted by key.
    pub tags: Vec<Tag>,
    /// Its aliases, sorted. Only filled where the method says so.
    pub aliases: Vec<String>,
}

/// A stage of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// No stage.
    None,
    /// On trial.
    Staging,
    /// In use.
    Production,
    /// Put away.
    Archived,
}

impl Stage {
    /// All, in MLflow's order.
    pub const ALL: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// MLflow's name, as stored and as sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
        }
    }
}

impl FromStr for Stage {
    type Err = Invalid;

    /// Reads a stage in any case.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|stage| stage.as_str().eq_ignore_ascii_case(text)).ok_or_else(
            || {
                Invalid::new(format!(
                    "Invalid Model Version stage: {text}. Value must be one of None, Staging, \
                     Production, Archived."
                ))
            },
        )
    }
}

/// Reads the number of a version as requests carry it.
pub fn parse_version(text: &str) -> Result<i64, Invalid> {
    text.trim()
        .parse()
        .map_err(|_| Invalid::new(format!("Parameter 'version' must be an integer, got '{text}'.")))
}

/// Whether tags make a registered model a prompt.
fn has_prompt_tag(tags: &[Tag]) -> bool {
    tags.iter().rfind(|tag| tag.key == PROMPT_TAG).is_some_and(|tag| is_true(&tag.value))
}

fn is_true(text: &str) -> bool {
    text.eq_ignore_ascii_case("true")
}

/// A list of texts for `IN rarray(?)`.
fn text_array<'a>(texts: impl IntoIterator<Item = &'a str>) -> Rc<Vec<Value>> {
    Rc::new(texts.into_iter().map(|text| Value::Text(text.to_owned())).collect())
}

/// Tags by key with the last one of a key, as MLflow keeps those given twice.
fn last_of_each_key(tags: &[Tag]) -> impl Iterator<Item = &Tag> {
    let last: HashMap<&str, usize> =
        tags.iter().enumerate().map(|(index, tag)| (tag.key.as_str(), index)).collect();
    tags.iter()
        .enumerate()
        .filter(move |(index, tag)| last[tag.key.as_str()] == *index)
        .map(|(_, tag)| tag)
}

impl ReadTx<'_> {
    /// The aliases of some registered models, by name.
    fn aliases_of(&self, names: &Rc<Vec<Value>>) -> Result<HashMap<String, Vec<ModelAlias>>> {
        let mut found: HashMap<String, Vec<ModelAlias>> = HashMap::new();
        if !self.shape.has_aliases {
            return Ok(found);
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT name, alias, version FROM registered_model_aliases \
             WHERE name IN rarray(?1) ORDER BY alias",
        )?;
        let mut rows = statement.query([names])?;
        while let Some(row) = rows.next()? {
            let alias = ModelAlias { alias: row.get(1)?, version: row.get(2)? };
            found.entry(row.get(0)?).or_default().push(alias);
        }
        Ok(found)
    }

    /// The tags of some registered models, by name.
    fn model_tags_of(&self, names: &Rc<Vec<Value>>) -> Result<HashMap<String, Vec<Tag>>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name, key, COALESCE(value, '') FROM registered_model_tags \
             WHERE name IN rarray(?1) ORDER BY key",
        )?;
        let mut rows = statement.query([names])?;
        let mut found: HashMap<String, Vec<Tag>> = HashMap::new();
        while let Some(row) = rows.next()? {
            let tag = Tag { key: row.get(1)?, value: row.get(2)? };
            found.entry(row.get(0)?).or_default().push(tag);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read_in_any_case() {
        assert_eq!("pRODUCTION".parse(), Ok(Stage::Production));
        assert_eq!("none".parse(), Ok(Stage::None));
        assert_eq!(
            "Live".parse::<Stage>(),
            Err(Invalid::new(
                "Invalid Model Version stage: Live. Value must be one of None, Staging, \
                 Production, Archived."
            ))
        );
        assert!(DELETED.parse::<Stage>().is_err());
    }

    #[test]
    fn versions_are_whole_numbers() {
        assert_eq!(parse_version(" 12 "), Ok(12));
        assert_eq!(
            parse_version("abc"),
            Err(Invalid::new("Parameter 'version' must be an integer, got 'abc'."))
        );
        assert!(parse_version("99999999999999999999").is_err());
        assert!(parse_version("").is_err());
    }

    #[test]
    fn the_last_tag_of_a_key_counts() {
        let tag = |key: &str, value: &str| Tag { key: key.into(), value: value.into() };
        let tags = [tag("a", "1"), tag("b", "2"), tag("a", "3")];
        let kept: Vec<_> = last_of_each_key(&tags).cloned().collect();
        assert_eq!(kept, [tag("b", "2"), tag("a", "3")]);
        assert!(has_prompt_tag(&[tag(PROMPT_TAG, "false"), tag(PROMPT_TAG, "TRUE")]));
        assert!(!has_prompt_tag(&[tag(PROMPT_TAG, "true"), tag(PROMPT_TAG, "no")]));
    }
}
