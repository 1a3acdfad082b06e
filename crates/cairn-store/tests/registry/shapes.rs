//! The same operations on files of older and of newer MLflows.

use cairn_core::ExperimentId;
use cairn_store::{
    StoreError,
    logged_models::SearchLoggedModels,
    registry::{NewModelVersion, SearchModelVersions, SearchRegisteredModels, Stage},
};
use rusqlite::Connection;

use crate::{Fixture, new_logged_model, new_version, tag, unknown_model};

/// The registry's tables since MLflow 3.10, children first.
const WITH_WORKSPACES: [(&str, &str, &str); 5] = [
    (
        "model_version_tags",
        "key, value, name, version",
        "key VARCHAR(250) NOT NULL, value TEXT, name VARCHAR(256) NOT NULL, \
         version INTEGER NOT NULL, workspace VARCHAR(63) DEFAULT 'default' NOT NULL, \
         PRIMARY KEY (workspace, key, name, version), \
         FOREIGN KEY (workspace, name, version) \
         REFERENCES model_versions (workspace, name, version) ON UPDATE CASCADE",
    ),
    (
        "registered_model_aliases",
        "alias, version, name",
        "alias VARCHAR(256) NOT NULL, version INTEGER NOT NULL, name VARCHAR(256) NOT NULL, \
         workspace VARCHAR(63) DEFAULT 'default' NOT NULL, PRIMARY KEY (workspace, name, alias), \
         FOREIGN KEY (workspace, name) REFERENCES registered_models (workspace, name) \
         ON DELETE CASCADE ON UPDATE CASCADE",
    ),
    (
        "registered_model_tags",
        "key, value, name",
        "key VARCHAR(250) NOT NULL, value VARCHAR(5000), name VARCHAR(256) NOT NULL, \
         workspace VARCHAR(63) DEFAULT 'default' NOT NULL, PRIMARY KEY (workspace, key, name), \
         FOREIGN KEY (workspace, name) REFERENCES registered_models (workspace, name) \
         ON UPDATE CASCADE",
    ),
    (
        "model_versions",
        "name, version, creation_time, last_updated_time, description, user_id, current_stage, \
         source, run_id, status, status_message, run_link, storage_location",
        "name VARCHAR(256) NOT NULL, version INTEGER NOT NULL, creation_time BIGINT, \
         last_updated_time BIGINT, description VARCHAR(5000), user_id VARCHAR(256), \
         current_stage VARCHAR(20), source VARCHAR(500), run_id VARCHAR(32), status VARCHAR(20), \
         status_message VARCHAR(500), run_link VARCHAR(500), storage_location VARCHAR(500), \
         workspace VARCHAR(63) DEFAULT 'default' NOT NULL, \
         PRIMARY KEY (workspace, name, version), \
         FOREIGN KEY (workspace, name) REFERENCES registered_models (workspace, name) \
         ON UPDATE CASCADE",
    ),
    (
        "registered_models",
        "name, creation_time, last_updated_time, description",
        "name VARCHAR(256) NOT NULL, creation_time BIGINT, last_updated_time BIGINT, \
         description VARCHAR(5000), workspace VARCHAR(63) DEFAULT 'default' NOT NULL, \
         PRIMARY KEY (workspace, name)",
    ),
];

/// Does to a file what MLflow's migrations up to 3.17 do to the registry.
fn migrate(connection: &Connection) {
    connection
        .execute_batch(
            "PRAGMA busy_timeout = 20000; PRAGMA foreign_keys = OFF; \
             PRAGMA legacy_alter_table = ON; BEGIN IMMEDIATE; \
             ALTER TABLE experiments ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL; \
             UPDATE alembic_version SET version_num = 'dc11669786a5';",
        )
        .unwrap();
    for (table, columns, definition) in WITH_WORKSPACES {
        connection
            .execute_batch(&format!(
                "ALTER TABLE {table} RENAME TO old; CREATE TABLE {table} ({definition}); \
                 INSERT INTO {table} ({columns}) SELECT {columns} FROM old; DROP TABLE old;"
            ))
            .unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

/// Every kind of write, then a look at what it left.
fn use_registry(fixture: &Fixture, name: &'static str) {
    fixture.model(name);
    fixture.version(name);
    fixture.version(name);
    fixture.write(move |tx| {
        tx.set_registered_model_tag(name, &tag("t", "1"))?;
        tx.set_registered_model_tag(name, &tag("t", "2"))?;
        tx.set_registered_model_tag(name, &tag("gone", "2"))?;
        tx.delete_registered_model_tag(name, "gone")?;
        tx.set_model_version_tag(name, 1, &tag("v", "1"))?;
        tx.set_model_version_tag(name, 1, &tag("v", "2"))?;
        tx.set_model_alias(name, "champion", 2)?;
        tx.set_model_alias(name, "champion", 1)?;
        tx.transition_model_version(name, 1, Stage::Production, true)?;
        tx.update_model_version(name, 1, Some("text"))?;
        tx.update_registered_model(name, Some("about"))?;
        tx.delete_model_version(name, 2)
    });
    assert!(matches!(
        fixture.refused(move |tx| tx.create_registered_model(
            &cairn_store::registry::NewRegisteredModel {
                name: name.to_owned(),
                ..Default::default()
            }
        )),
        StoreError::AlreadyExists(_)
    ));
    let version = fixture.read(|tx| tx.model_version_by_alias(name, "champion"));
    assert_eq!((version.version, version.stage), (1, Stage::Production));
    assert_eq!(version.tags, [tag("v", "2")]);
    let model = fixture.read(|tx| tx.registered_model(name));
    assert_eq!(model.tags, [tag("t", "2")]);
    assert_eq!(model.latest_versions.len(), 1);
}

/// Renames, searches and removes what [`use_registry`] left.
fn rename_and_remove(fixture: &Fixture, name: &'static str) {
    let renamed = fixture.write(move |tx| tx.rename_registered_model(name, "renamed"));
    assert_eq!(renamed.tags, [tag("t", "2")]);
    let version = fixture.read(|tx| tx.model_version_by_alias("renamed", "champion"));
    assert_eq!((version.version, &version.tags[..]), (1, &[tag("v", "2")][..]));
    let search = SearchModelVersions { max_results: 9, ..SearchModelVersions::default() };
    let found = fixture.read(|tx| tx.search_model_versions(&search)).items;
    assert!(found.iter().any(|version| version.name == "renamed" && version.tags.len() == 1));
    let search = SearchRegisteredModels { max_results: 9, ..SearchRegisteredModels::default() };
    let found = fixture.read(|tx| tx.search_registered_models(&search)).items;
    assert!(found.iter().any(|model| model.name == "renamed" && model.aliases.len() == 1));
    let summary = fixture.read(|tx| tx.registered_model_summary("renamed"));
    assert_eq!((summary.version_count, summary.latest_version), (1, Some(1)));
    fixture.write(|tx| tx.delete_registered_model("renamed"));
    let left: i64 =
        fixture.stored("SELECT COUNT(*) FROM model_version_tags WHERE name = 'renamed'");
    assert_eq!(left, 0);
}

#[test]
fn the_registry_works_in_a_file_with_workspaces() {
    let fixture = Fixture::changed(migrate);
    assert!(fixture.store.shape().has_workspaces && fixture.store.read_only().is_none());
    use_registry(&fixture, "m");
    for table in WITH_WORKSPACES.map(|(table, _, _)| table) {
        let others: i64 =
            fixture.stored(&format!("SELECT COUNT(*) FROM {table} WHERE workspace != 'default'"));
        assert_eq!(others, 0, "{table}");
    }
    rename_and_remove(&fixture, "m");
}

#[test]
fn a_migration_while_the_store_is_open_is_survived() {
    let fixture = Fixture::new();
    use_registry(&fixture, "before");
    migrate(&fixture.connection());
    use_registry(&fixture, "after");
    rename_and_remove(&fixture, "before");
    rename_and_remove(&fixture, "after");
    assert!(fixture.store.shape().has_workspaces);
}

/// Takes away what MLflow 2.0 did not have yet.
fn make_old(connection: &Connection) {
    connection
        .execute_batch(
            "PRAGMA foreign_keys = OFF; DROP TABLE logged_model_tags; \
             DROP TABLE logged_model_params; DROP TABLE logged_model_metrics; \
             DROP TABLE logged_models; DROP TABLE registered_model_aliases; \
             ALTER TABLE model_versions DROP COLUMN storage_location; \
             UPDATE alembic_version SET version_num = 'cc1f77228345';",
        )
        .unwrap();
}

#[test]
fn files_without_aliases_and_storage_locations_are_read_and_written() {
    let fixture = Fixture::changed(make_old);
    fixture.model("m");
    let version = fixture.version("m");
    assert_eq!(version.storage_location, None);
    assert_eq!(fixture.read(|tx| tx.model_version_download_uri("m", 1)), "s3://bucket/model");
    let error = fixture.refused(|tx| tx.set_model_alias("m", "a", 1));
    assert!(matches!(&error, StoreError::UnsupportedByFile(_)), "{error:?}");
    assert!(error.to_string().contains("older than 2.3"), "{error}");
    let error = fixture.try_read(|tx| tx.model_version_by_alias("m", "a")).unwrap_err();
    assert_eq!(error.to_string(), "Registered model alias a not found.");
    assert_eq!(fixture.read(|tx| tx.model_version_by_alias("m", "latest")).version, 1);
    assert!(fixture.read(|tx| tx.registered_model("m")).aliases.is_empty());
    fixture.write(|tx| {
        tx.delete_model_alias("m", "a")?;
        tx.rename_registered_model("m", "n")?;
        tx.delete_model_version("n", 1)?;
        tx.delete_registered_model("n")
    });
}

#[test]
fn files_without_logged_models_answer_nothing_and_take_none() {
    let fixture = Fixture::changed(make_old);
    fixture.model("m");
    let default = ExperimentId(0);
    let search = SearchLoggedModels {
        experiment_ids: vec![default],
        max_results: 9,
        ..SearchLoggedModels::default()
    };
    assert!(fixture.read(|tx| tx.search_logged_models(&search)).items.is_empty());
    assert!(fixture.read(|tx| tx.logged_models(&[unknown_model()])).is_empty());
    let error = fixture.try_read(|tx| tx.logged_model(&unknown_model(), true)).unwrap_err();
    assert!(matches!(error, StoreError::NotFound(_)), "{error:?}");
    for outcome in [
        fixture.try_write(move |tx| tx.create_logged_model(&new_logged_model(default)).map(drop)),
        fixture.try_write(|tx| tx.delete_logged_model(&unknown_model())),
        fixture.try_write(|tx| tx.set_logged_model_tags(&unknown_model(), &[])),
    ] {
        assert!(matches!(outcome, Err(StoreError::UnsupportedByFile(_))), "{outcome:?}");
    }
    let id = unknown_model().to_string();
    let new = NewModelVersion {
        model_id: Some(id.clone()),
        ..new_version("m", &format!("models:/{id}"))
    };
    let error = fixture.refused(move |tx| tx.create_model_version(&new));
    assert!(matches!(error, StoreError::NotFound(_)), "{error:?}");
}

#[test]
fn a_model_of_many_versions_is_renamed_and_removed_without_a_trace_in_the_schema() {
    for fixture in [Fixture::new(), Fixture::changed(migrate)] {
        let indexes = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'index'";
        let before: i64 = fixture.stored(indexes);
        fixture.model("m");
        fixture.write(|tx| {
            for number in 1..=300 {
                tx.create_model_version(&new_version("m", "s3://bucket/model"))?;
                tx.set_model_version_tag("m", number, &tag("t", &number.to_string()))?;
            }
            Ok(())
        });
        fixture.write(|tx| tx.rename_registered_model("m", "n"));
        assert_eq!(fixture.read(|tx| tx.model_version("n", 300)).tags, [tag("t", "300")]);
        assert_eq!(fixture.stored::<i64>(indexes), before);
        fixture.write(|tx| tx.delete_registered_model("n"));
        assert_eq!(fixture.stored::<i64>("SELECT COUNT(*) FROM model_version_tags"), 0);
        assert_eq!(fixture.stored::<i64>(indexes), before);
        use_registry(&fixture, "again");
    }
}
