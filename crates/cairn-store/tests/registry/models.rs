//! Registered models, their tags and aliases.

use cairn_store::{
    StoreError,
    registry::{ModelAlias, NewRegisteredModel, Stage},
};

use crate::{Fixture, new_version, tag, tick};

#[test]
fn a_new_model_has_what_was_given() {
    let fixture = Fixture::new();
    let new = NewRegisteredModel {
        name: "m 1".to_owned(),
        description: Some("text".to_owned()),
        tags: vec![tag("b", "1"), tag("a", "2"), tag("b", "3")],
    };
    let model = fixture.write(move |tx| tx.create_registered_model(&new));
    assert_eq!(model.name, "m 1");
    assert_eq!(model.description.as_deref(), Some("text"));
    assert_eq!(model.tags, [tag("a", "2"), tag("b", "3")]);
    assert!(model.creation_time.is_some() && model.creation_time == model.last_updated_time);
    assert!(model.latest_versions.is_empty() && model.aliases.is_empty());
    assert_eq!(fixture.read(|tx| tx.registered_model("m 1")), model);
}

#[test]
fn a_taken_name_is_refused_in_mlflows_words() {
    let fixture = Fixture::new();
    fixture.model("m");
    let create = |tags| {
        let new =
            NewRegisteredModel { name: "m".to_owned(), tags, ..NewRegisteredModel::default() };
        match fixture.refused(move |tx| tx.create_registered_model(&new)) {
            StoreError::AlreadyExists(message) => message,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(create(Vec::new()), "Registered Model (name=m) already exists.");
    assert_eq!(
        create(vec![tag("mlflow.prompt.is_prompt", "true")]),
        "Tried to create a prompt with name 'm', but the name is already taken by a registered \
         model. MLflow does not allow creating a model and a prompt with the same name."
    );
}

#[test]
fn bad_names_and_tags_are_refused() {
    let fixture = Fixture::new();
    for name in ["a/b", "a:b", "..", " "] {
        let new = NewRegisteredModel { name: name.to_owned(), ..NewRegisteredModel::default() };
        let error = fixture.refused(move |tx| tx.create_registered_model(&new));
        assert!(matches!(error, StoreError::Invalid(_)), "{name}: {error:?}");
    }
    fixture.model("m");
    let error = fixture.refused(|tx| tx.rename_registered_model("m", "a/b"));
    assert_eq!(error.to_string(), "Invalid model name 'a/b'. Names cannot contain '/' or ':'.");
    let error = fixture.refused(|tx| tx.set_registered_model_tag("m", &tag("a//b", "")));
    assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    let error =
        fixture.refused(|tx| tx.set_registered_model_tag("m", &tag("a", &"x".repeat(100_001))));
    assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
}

#[test]
fn every_operation_on_a_missing_model_says_so() {
    let fixture = Fixture::new();
    let errors = [
        fixture.try_read(|tx| tx.registered_model("m").map(drop)),
        fixture.try_read(|tx| tx.registered_model_summary("m").map(drop)),
        fixture.try_read(|tx| tx.model_versions_of("m", 9).map(drop)),
        fixture.try_read(|tx| tx.latest_versions("m", &[]).map(drop)),
        fixture.try_read(|tx| tx.model_version_by_alias("m", "latest").map(drop)),
        fixture.try_read(|tx| tx.model_version_by_alias("m", "a").map(drop)),
        fixture.try_write(|tx| tx.rename_registered_model("m", "n").map(drop)),
        fixture.try_write(|tx| tx.update_registered_model("m", None).map(drop)),
        fixture.try_write(|tx| tx.delete_registered_model("m")),
        fixture.try_write(|tx| tx.set_registered_model_tag("m", &tag("a", "b"))),
        fixture.try_write(|tx| tx.delete_registered_model_tag("m", "a")),
        fixture.try_write(|tx| tx.delete_model_alias("m", "a")),
        fixture.try_write(|tx| tx.create_model_version(&new_version("m", "s3://b/m")).map(drop)),
    ];
    for outcome in errors {
        match outcome {
            Err(StoreError::NotFound(message)) => {
                assert_eq!(message, "Registered Model with name=m not found");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_renamed_model_takes_everything_along() {
    let fixture = Fixture::new();
    let old = fixture.model("old");
    fixture.version("old");
    fixture.version("old");
    fixture.write(|tx| {
        tx.set_registered_model_tag("old", &tag("t", "1"))?;
        tx.set_model_version_tag("old", 1, &tag("v", "2"))?;
        tx.set_model_alias("old", "champion", 1)
    });
    tick();
    let new = fixture.write(|tx| tx.rename_registered_model("old", "new"));
    assert_eq!(new.name, "new");
    assert_eq!(new.creation_time, old.creation_time);
    assert!(new.last_updated_time > old.last_updated_time);
    assert_eq!(new.tags, [tag("t", "1")]);
    assert_eq!(new.aliases, [ModelAlias { alias: "champion".to_owned(), version: 1 }]);
    let first = fixture.read(|tx| tx.model_version_by_alias("new", "champion"));
    assert_eq!(first.tags, [tag("v", "2")]);
    assert_eq!(first.last_updated_time, new.last_updated_time);
    assert!(fixture.try_read(|tx| tx.registered_model("old")).is_err());
    fixture.model("old");
    match fixture.refused(|tx| tx.rename_registered_model("old", "new")) {
        StoreError::AlreadyExists(message) => {
            assert_eq!(message, "Registered Model (name=new) already exists.");
        }
        other => panic!("{other:?}"),
    }
    assert!(fixture.try_write(|tx| tx.rename_registered_model("new", "new")).is_ok());
}

#[test]
fn a_description_is_replaced_or_emptied() {
    let fixture = Fixture::new();
    let made = fixture.model("m");
    assert_eq!(made.description.as_deref(), Some(""));
    tick();
    let model = fixture.write(|tx| tx.update_registered_model("m", Some("text")));
    assert_eq!(model.description.as_deref(), Some("text"));
    assert!(model.last_updated_time > made.last_updated_time);
    let model = fixture.write(|tx| tx.update_registered_model("m", None));
    assert_eq!(model.description.as_deref(), Some(""));
}

#[test]
fn a_deleted_model_leaves_nothing_behind() {
    let fixture = Fixture::new();
    for name in ["m", "other"] {
        fixture.model(name);
        fixture.version(name);
        fixture.version(name);
        fixture.write(move |tx| {
            tx.set_registered_model_tag(name, &tag("t", "1"))?;
            tx.set_model_version_tag(name, 1, &tag("v", "2"))?;
            tx.set_model_alias(name, "champion", 1)?;
            tx.delete_model_version(name, 2)
        });
    }
    fixture.write(|tx| tx.delete_registered_model("m"));
    for table in [
        "registered_models",
        "registered_model_tags",
        "registered_model_aliases",
        "model_versions",
        "model_version_tags",
    ] {
        let left: i64 = fixture.stored(&format!("SELECT COUNT(*) FROM {table} WHERE name = 'm'"));
        assert_eq!(left, 0, "{table}");
        let others: i64 = fixture.stored(&format!("SELECT COUNT(*) FROM {table}"));
        assert_ne!(others, 0, "{table}");
    }
    fixture.model("m");
    assert_eq!(fixture.version("m").version, 1);
}

#[test]
fn tags_are_replaced_and_deleting_twice_is_a_success() {
    let fixture = Fixture::new();
    fixture.model("m");
    for value in ["1", "2"] {
        fixture.write(move |tx| tx.set_registered_model_tag("m", &tag("t", value)));
    }
    assert_eq!(fixture.read(|tx| tx.registered_model("m")).tags, [tag("t", "2")]);
    for _ in 0..2 {
        fixture.write(|tx| tx.delete_registered_model_tag("m", "t"));
    }
    assert!(fixture.read(|tx| tx.registered_model("m")).tags.is_empty());
}

#[test]
fn an_alias_moves_and_deleting_it_twice_is_a_success() {
    let fixture = Fixture::new();
    fixture.model("m");
    fixture.version("m");
    fixture.version("m");
    for version in [1, 2] {
        fixture.write(move |tx| tx.set_model_alias("m", "champion", version));
        let found = fixture.read(|tx| tx.model_version_by_alias("m", "champion"));
        assert_eq!((found.version, found.aliases), (version, vec!["champion".to_owned()]));
    }
    assert!(fixture.read(|tx| tx.model_version("m", 1)).aliases.is_empty());
    for _ in 0..2 {
        fixture.write(|tx| tx.delete_model_alias("m", "champion"));
    }
    let error = fixture.try_read(|tx| tx.model_version_by_alias("m", "champion")).unwrap_err();
    assert!(matches!(&error, StoreError::Invalid(_)), "{error:?}");
    assert_eq!(error.to_string(), "Registered model alias champion not found.");
}

#[test]
fn reserved_aliases_and_missing_versions_are_refused() {
    let fixture = Fixture::new();
    fixture.model("m");
    fixture.version("m");
    for (alias, message) in [
        ("Latest", "'latest' alias name (case insensitive) is reserved."),
        ("v1", "Version alias name 'v1' is reserved."),
        (
            "a b",
            "Invalid alias name: 'a b'. Names may only contain alphanumerics, underscores (_), and \
             dashes (-).",
        ),
    ] {
        let error = fixture.refused(move |tx| tx.set_model_alias("m", alias, 1));
        assert!(matches!(&error, StoreError::Invalid(_)), "{error:?}");
        assert_eq!(error.to_string(), message);
    }
    for (name, version) in [("m", 2), ("none", 1)] {
        let error = fixture.refused(move |tx| tx.set_model_alias(name, "a", version));
        assert!(matches!(&error, StoreError::NotFound(_)), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!("Model Version (name={name}, version={version}) not found")
        );
    }
}

#[test]
fn latest_is_an_alias_of_the_highest_version() {
    let fixture = Fixture::new();
    fixture.model("m");
    let error = fixture.try_read(|tx| tx.model_version_by_alias("m", "latest")).unwrap_err();
    assert_eq!(error.to_string(), "Latest version not found for model m.");
    for _ in 0..3 {
        fixture.version("m");
    }
    fixture.write(|tx| tx.transition_model_version("m", 3, Stage::Archived, false));
    assert_eq!(fixture.read(|tx| tx.model_version_by_alias("m", "LATEST")).version, 3);
    fixture.write(|tx| tx.delete_model_version("m", 3));
    assert_eq!(fixture.read(|tx| tx.model_version_by_alias("m", "latest")).version, 2);
}

#[test]
fn summaries_count_what_is_not_deleted_and_leave_prompts_out() {
    let fixture = Fixture::new();
    fixture.model("b");
    fixture.model("a");
    fixture.model("prompt");
    for _ in 0..3 {
        fixture.version("b");
    }
    fixture.write(|tx| {
        tx.set_registered_model_tag("prompt", &tag("mlflow.prompt.is_prompt", "true"))?;
        tx.set_registered_model_tag("b", &tag("t", "1"))?;
        tx.set_model_alias("b", "z", 1)?;
        tx.set_model_alias("b", "champion", 1)?;
        tx.update_registered_model("b", Some("text"))?;
        tx.delete_model_version("b", 3)
    });
    let (summaries, alone, prompt) = fixture.read(|tx| {
        let alone = tx.registered_model_summary("b")?;
        Ok((tx.registered_model_summaries()?, alone, tx.registered_model_summary("prompt")?))
    });
    assert_eq!(summaries.iter().map(|model| model.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((summaries[0].version_count, summaries[0].latest_version), (0, None));
    assert_eq!(summaries[0].description, None);
    let b = &summaries[1];
    assert_eq!((b.version_count, b.latest_version), (2, Some(2)));
    assert_eq!(b.description.as_deref(), Some("text"));
    assert_eq!(b.tags, [tag("t", "1")]);
    let aliases: Vec<_> =
        b.aliases.iter().map(|alias| (alias.alias.as_str(), alias.version)).collect();
    assert_eq!(aliases, [("champion", 1), ("z", 1)]);
    assert_eq!(&alone, b);
    assert_eq!(prompt.name, "prompt");
}

#[test]
fn every_write_tells_the_feed() {
    let fixture = Fixture::new();
    let mut feed = fixture.store.subscribe();
    let mut told = move || feed.try_recv().is_ok_and(|changes| changes.registry);
    fixture.model("m");
    assert!(told());
    fixture.version("m");
    assert!(told());
    fixture.write(|tx| tx.set_model_alias("m", "a", 1));
    assert!(told());
    fixture.write(|tx| tx.set_model_version_tag("m", 1, &tag("a", "b")));
    assert!(told());
    fixture.write(|tx| tx.delete_registered_model("m"));
    assert!(told() && !told());
}
