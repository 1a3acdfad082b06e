//! The shapes that `mlflow.db` comes in, and the making of new files.
//!
//! A shape is read from the file's own columns, never guessed from a version number. The revision
//! (Alembic's head) only decides whether writing is allowed: an unknown one is a file of a later
//! MLflow, and what that MLflow expects of a writer is not known.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

/// The revision of the stores that Cairn makes: MLflow 3.0, the oldest with logged models.
///
/// Every MLflow 3 opens such a file; later ones migrate it by themselves.
pub const NEW_STORE_REVISION: &str = "6953534de441";

const NEW_STORE_DDL: &str = include_str!("mlflow_3_0.sql");

/// MLflow's revisions, oldest first, up to release 3.18.
const REVISIONS: [&str; 70] = [
    "451aebb31d03",
    "90e64c465722",
    "181f10493468",
    "df50e92ffc5e",
    "7ac759974ad8",
    "89d4b8295536",
    "2b4d017a5e9b",
    "cfd24bdc0731",
    "0a8213491aaa",
    "728d730b5ebd",
    "27a6a02d2cf1",
    "84291f40a231",
    "a8c4a736bde6",
    "39d1c3be5f05",
    "c48cb773bb87",
    "bd07f7e963c5",
    "0c779009ac13",
    "cc1f77228345",
    "97727af70f4d",
    "3500859a5d39",
    "7f2a7d5fae7d",
    "2d6e25af4d3e",
    "acf3f17fdcc7",
    "867495a8f9d4",
    "5b0e9adcef9c",
    "4465047574b1",
    "f5a4f2784254",
    "0584bdc529eb",
    "400f98739977",
    "6953534de441",
    "bda7b8c39065",
    "cbc13b556ace",
    "770bee3ae1dd",
    "a1b2c3d4e5f6",
    "de4033877273",
    "1a0cddfcaa16",
    "534353b11cbc",
    "71994744cf8e",
    "3da73c924c2f",
    "bf29a5ff90ea",
    "1bd49d398cd23",
    "b7c8d9e0f1a2",
    "5d2d30f0abce",
    "c9d4e5f6a7b8",
    "2c33131f4dae",
    "d3e4f5a6b7c8",
    "d0e1f2a3b4c5",
    "c8d9e0f1a2b3",
    "1b5f0d9ad7c1",
    "e1f2a3b4c5d6",
    "76601a5f987d",
    "c3d6457b6d8a",
    "a5b4c3d2e1f0",
    "ae8bbe7743c9",
    "7d34483879f0",
    "da6fb0208061",
    "89d3d66ed43f",
    "b7e4c1a90f23",
    "a8b9c0d1e2f3",
    "c1d2e3f4a5b6",
    "c3d9e7f1a2b4",
    "6f8d9c3b2a1e",
    "1971f2d9a75b",
    "17e22815139b",
    "b7e2c1a4d9f3",
    "75868b020152",
    "dc11669786a5",
    "e7d1f4b2a9c6",
    "8b6ad64cb8f5",
    "f4a9b2c7d1e6",
];

/// The head of each release line, oldest first: files with a revision up to here were made by it.
const RELEASE_HEADS: [(&str, &str); 18] = [
    ("0584bdc529eb", "2"),
    ("6953534de441", "3.0"),
    ("bda7b8c39065", "3.1"),
    ("770bee3ae1dd", "3.2"),
    ("1a0cddfcaa16", "3.3"),
    ("71994744cf8e", "3.4"),
    ("bf29a5ff90ea", "3.5"),
    ("1bd49d398cd23", "3.8"),
    ("d3e4f5a6b7c8", "3.9"),
    ("1b5f0d9ad7c1", "3.10"),
    ("c3d6457b6d8a", "3.11"),
    ("7d34483879f0", "3.12"),
    ("da6fb0208061", "3.13"),
    ("b7e4c1a90f23", "3.14"),
    ("6f8d9c3b2a1e", "3.15"),
    ("b7e2c1a4d9f3", "3.16"),
    ("dc11669786a5", "3.17"),
    ("f4a9b2c7d1e6", "3.18"),
];

/// Tables and columns that every MLflow 2 and 3 has, and that Cairn cannot do without.
const REQUIRED: [(&str, &[&str]); 9] = [
    ("alembic_version", &["version_num"]),
    ("experiments", &["experiment_id", "name", "artifact_location", "lifecycle_stage"]),
    ("experiment_tags", &["key", "value", "experiment_id"]),
    (
        "runs",
        &[
            "run_uuid",
            "name",
            "source_type",
            "source_name",
            "entry_point_name",
            "user_id",
            "status",
            "start_time",
            "end_time",
            "source_version",
            "lifecycle_stage",
            "artifact_uri",
            "experiment_id",
        ],
    ),
    ("tags", &["key", "value", "run_uuid"]),
    ("params", &["key", "value", "run_uuid"]),
    ("metrics", &["key", "value", "timestamp", "run_uuid", "step", "is_nan"]),
    ("latest_metrics", &["key", "value", "timestamp", "step", "is_nan", "run_uuid"]),
    ("registered_models", &["name", "creation_time", "last_updated_time", "description"]),
];

/// What one file has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Alembic's head, as stored.
    pub revision: String,
    /// SQLite's counter of schema changes when this was read.
    pub(crate) schema_version: i64,
    /// Experiments and registry rows belong to a workspace (MLflow 3.10).
    pub has_workspaces: bool,
    /// Some rows belong to another workspace than `default`.
    pub has_foreign_workspaces: bool,
    /// `experiments.creation_time` and `last_update_time` (MLflow 2.0).
    pub has_experiment_times: bool,
    /// `runs.deleted_time` (MLflow 1.26).
    pub has_deleted_time: bool,
    /// Datasets and inputs (MLflow 2.4).
    pub has_inputs: bool,
    /// `inputs.step` (MLflow 3.0).
    pub has_input_steps: bool,
    /// Registered model aliases (MLflow 2.3).
    pub has_aliases: bool,
    /// `model_versions.storage_location` (MLflow 2.8).
    pub has_storage_location: bool,
    /// Logged models (MLflow 3.0).
    pub has_logged_models: bool,
}

impl Shape {
    /// Reads the shape of an open file.
    ///
    /// Errors: the inner `Err` says which table or column of MLflow's is missing.
    pub fn read(connection: &Connection) -> rusqlite::Result<Result<Self, String>> {
        let mut columns: HashMap<String, Vec<String>> = HashMap::new();
        let mut statement = connection.prepare(
            "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c \
             WHERE m.type = 'table'",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for row in rows {
            let (table, column): (String, String) = row?;
            columns.entry(table).or_default().push(column);
        }
        let has = |table: &str, column: &str| {
            columns.get(table).is_some_and(|names| names.iter().any(|name| name == column))
        };
        for (table, names) in REQUIRED {
            if !columns.contains_key(table) {
                return Ok(Err(format!("the table {table} is missing")));
            }
            if let Some(column) = names.iter().find(|column| !has(table, column)) {
                return Ok(Err(format!("the column {table}.{column} is missing")));
            }
        }
        let revision: Option<String> = connection
            .query_row("SELECT version_num FROM alembic_version", [], |row| row.get(0))
            .optional()?;
        let Some(revision) = revision else {
            return Ok(Err("the table alembic_version is empty".to_owned()));
        };
        let mut has_foreign_workspaces = false;
        for table in ["experiments", "registered_models"] {
            if has(table, "workspace") {
                has_foreign_workspaces |= connection.query_row(
                    &format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE workspace != 'default')"),
                    [],
                    |row| row.get::<_, bool>(0),
                )?;
            }
        }
        Ok(Ok(Self {
            has_foreign_workspaces,
            revision,
            schema_version: schema_version(connection)?,
            has_workspaces: has("experiments", "workspace"),
            has_experiment_times: has("experiments", "creation_time"),
            has_deleted_time: has("runs", "deleted_time"),
            has_inputs: has("datasets", "dataset_uuid") && has("inputs", "input_uuid"),
            has_input_steps: has("inputs", "step"),
            has_aliases: has("registered_model_aliases", "alias"),
            has_storage_location: has("model_versions", "storage_location"),
            has_logged_models: has("logged_models", "model_id")
                && has("logged_model_params", "model_id")
                && has("logged_model_tags", "model_id")
                && has("logged_model_metrics", "model_id"),
        }))
    }

    /// SQLite's counter of schema changes: row numbers hold while it stays the same.
    pub fn schema_version(&self) -> i64 {
        self.schema_version
    }

    /// Whether the revision is one of MLflow's up to the newest that Cairn knows.
    pub fn is_known(&self) -> bool {
        position(&self.revision).is_some()
    }

    /// The MLflow release line that writes files of this revision (`3.0`, `2`), if known.
    pub fn mlflow_release(&self) -> Option<&'static str> {
        let revision = position(&self.revision)?;
        RELEASE_HEADS
            .iter()
            .find(|(head, _)| position(head).is_some_and(|head| revision <= head))
            .map(|(_, release)| *release)
    }

    /// Why the file may not be written, or `None` if it may.
    pub fn why_read_only(&self) -> Option<String> {
        if self.has_foreign_workspaces {
            return Some(
                "it has experiments or models in other workspaces than 'default', which Cairn \
                 cannot tell apart."
                    .to_owned(),
            );
        }
        if self.is_known() {
            return None;
        }
        Some(format!(
            "its schema revision {} is not known to this version of Cairn; a newer MLflow made or \
             migrated the file. Update Cairn to write to it.",
            self.revision
        ))
    }
}

fn position(revision: &str) -> Option<usize> {
    REVISIONS.iter().position(|known| *known == revision)
}

/// Alembic's head now; cheap enough to read at the start of every write.
pub(crate) fn revision(connection: &Connection) -> rusqlite::Result<String> {
    connection
        .prepare_cached("SELECT version_num FROM alembic_version")?
        .query_row([], |row| row.get(0))
}

/// SQLite's counter of schema changes; cheap enough to read at the start of every transaction.
pub(crate) fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))
}

/// Makes MLflow's tables in an empty file, in one transaction: the schema, its revision, and the
/// experiment `Default` with id 0.
pub(crate) fn create(
    connection: &mut Connection,
    default_artifact_location: &str,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(NEW_STORE_DDL)?;
    transaction
        .execute("INSERT INTO alembic_version (version_num) VALUES (?1)", [NEW_STORE_REVISION])?;
    transaction.execute(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, \
         creation_time, last_update_time) VALUES (0, 'Default', ?1, 'active', ?2, ?2)",
        (default_artifact_location, now_ms),
    )?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_file() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        create(&mut connection, "mlflow-artifacts:/0", 5).unwrap();
        connection
    }

    #[test]
    fn a_new_file_has_the_shape_of_mlflow_3_0() {
        let shape = Shape::read(&new_file()).unwrap().unwrap();
        assert!(shape.is_known() && shape.has_logged_models && shape.has_inputs);
        assert!(shape.has_input_steps && shape.has_aliases && shape.has_storage_location);
        assert!(!shape.has_workspaces);
        assert_eq!(shape.mlflow_release(), Some("3.0"));
        assert_eq!(shape.why_read_only(), None);
    }

    #[test]
    fn an_unknown_revision_is_read_only_with_the_revision_named() {
        let connection = new_file();
        connection.execute("UPDATE alembic_version SET version_num = 'ffff00001111'", []).unwrap();
        let shape = Shape::read(&connection).unwrap().unwrap();
        assert!(shape.why_read_only().unwrap().contains("ffff00001111"));
        assert_eq!(shape.mlflow_release(), None);
    }

    #[test]
    fn a_file_without_mlflows_tables_says_which_is_missing() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE notes (id INTEGER)").unwrap();
        assert_eq!(
            Shape::read(&connection).unwrap(),
            Err("the table alembic_version is missing".to_owned())
        );
        let connection = new_file();
        connection.execute_batch("ALTER TABLE metrics RENAME COLUMN is_nan TO x").unwrap();
        assert_eq!(
            Shape::read(&connection).unwrap(),
            Err("the column metrics.is_nan is missing".to_owned())
        );
    }

    #[test]
    fn every_release_head_is_a_known_revision() {
        for (head, release) in RELEASE_HEADS {
            assert!(position(head).is_some(), "{release}");
        }
    }
}
