//! Versions: numbers, stages, descriptions, tags, removal.

use cairn_store::{
    StoreError,
    registry::{NewModelVersion, Stage},
};

use crate::{Fixture, new_version, tag, tick};

#[test]
fn a_new_version_has_what_was_given() {
    let fixture = Fixture::new();
    let model = fixture.model("m");
    tick();
    let new = NewModelVersion {
        run_id: Some("ab".to_owned()),
        run_link: Some("link".to_owned()),
        description: Some("text".to_owned()),
        tags: vec![tag("b", "1"), tag("a", "2"), tag("b", "3")],
        ..new_version("m", "s3://b/m")
    };
    let version = fixture.write(move |tx| tx.create_model_version(&new));
    assert_eq!((version.name.as_str(), version.version), ("m", 1));
    assert_eq!(version.creation_time, version.last_updated_time);
    assert_eq!((version.stage, version.status.as_str()), (Stage::None, "READY"));
    assert_eq!(version.run_id.as_deref(), Some("ab"));
    assert_eq!(version.run_link.as_deref(), Some("link"));
    assert_eq!(version.description.as_deref(), Some("text"));
    assert_eq!((version.user_id, version.status_message), (None, None));
    assert_eq!(version.tags, [tag("a", "2"), tag("b", "3")]);
    assert!(version.aliases.is_empty());
    let touched = fixture.read(|tx| tx.registered_model("m"));
    assert_eq!(touched.last_updated_time, version.creation_time);
    assert!(touched.last_updated_time > model.last_updated_time);
}

#[test]
fn texts_that_were_not_given_are_stored_empty() {
    let fixture = Fixture::new();
    fixture.model("m");
    let version = fixture.version("m");
    assert_eq!(version.description.as_deref(), Some(""));
    assert_eq!(version.run_link.as_deref(), Some(""));
    assert_eq!(version.run_id.as_deref(), Some(""));
}

#[test]
fn a_number_is_never_given_again() {
    let fixture = Fixture::new();
    fixture.model("m");
    assert_eq!(fixture.version("m").version, 1);
    assert_eq!(fixture.version("m").version, 2);
    fixture.write(|tx| tx.delete_model_version("m", 2));
    assert_eq!(fixture.version("m").version, 3);
}

#[test]
fn a_deleted_version_is_hidden_and_its_row_is_blacked_out() {
    let fixture = Fixture::new();
    fixture.model("m");
    fixture.version("m");
    fixture.write(|tx| {
        tx.update_model_version("m", 1, Some("secret"))?;
        tx.set_model_version_tag("m", 1, &tag("a", "b"))?;
        tx.set_model_alias("m", "champion", 1)?;
        tx.delete_model_version("m", 1)
    });
    let hidden = [
        fixture.try_read(|tx| tx.model_version("m", 1).map(drop)),
        fixture.try_read(|tx| tx.model_version_download_uri("m", 1).map(drop)),
        fixture.try_write(|tx| tx.delete_model_version("m", 1)),
        fixture.try_write(|tx| tx.update_model_version("m", 1, None).map(drop)),
        fixture.try_write(|tx| tx.set_model_alias("m", "a", 1)),
        fixture.try_write(|tx| tx.set_model_version_tag("m", 1, &tag("a", "b"))),
        fixture.try_write(|tx| tx.delete_model_version_tag("m", 1, "a")),
        fixture
            .try_write(|tx| tx.transition_model_version("m", 1, Stage::Staging, false).map(drop)),
    ];
    for outcome in hidden {
        match outcome {
            Err(StoreError::NotFound(message)) => {
                assert_eq!(message, "Model Version (name=m, version=1) not found");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(fixture.read(|tx| tx.registered_model("m")).latest_versions.is_empty());
    assert!(fixture.read(|tx| tx.registered_model("m")).aliases.is_empty());
    assert!(fixture.read(|tx| tx.model_versions_of("m", 9)).is_empty());
    let row: String = fixture.stored(
        "SELECT current_stage || '|' || source || '|' || run_id || '|' || run_link || '|' || \
         COALESCE(description, 'NULL') || '|' || COALESCE(user_id, 'NULL') FROM model_versions",
    );
    assert_eq!(
        row,
        "Deleted_Internal|REDACTED-SOURCE-PATH|REDACTED-RUN-ID|REDACTED-RUN-LINK|NULL|NULL"
    );
}

#[test]
fn the_latest_version_of_each_stage_is_the_highest() {
    let fixture = Fixture::new();
    fixture.model("m");
    fixture.model("other");
    fixture.version("other");
    for _ in 0..5 {
        fixture.version("m");
    }
    fixture.write(|tx| {
        tx.transition_model_version("m", 1, Stage::Production, false)?;
        tx.transition_model_version("m", 2, Stage::Production, false)?;
        tx.transition_model_version("m", 3, Stage::Staging, false)?;
        tx.set_model_version_tag("m", 2, &tag("a", "b"))?;
        tx.set_model_alias("m", "champion", 2)
    });
    let latest = fixture.read(|tx| tx.latest_versions("m", &[]));
    let stages: Vec<_> = latest.iter().map(|version| (version.version, version.stage)).collect();
    assert_eq!(stages, [(2, Stage::Production), (3, Stage::Staging), (5, Stage::None)]);
    assert_eq!(latest[0].aliases, ["champion"]);
    assert_eq!(latest[0].tags, [tag("a", "b")]);
    assert_eq!(latest[0].source.as_deref(), Some("s3://bucket/model"));
    let staging = fixture.read(|tx| tx.latest_versions("m", &[Stage::Staging, Stage::Archived]));
    assert_eq!(staging.iter().map(|version| version.version).collect::<Vec<_>>(), [3]);
    let model = fixture.read(|tx| tx.registered_model("m"));
    assert_eq!(model.latest_versions.len(), 3);
    assert!(model.latest_versions.iter().all(|version| version.aliases.is_empty()));
}

#[test]
fn a_stage_can_be_taken_over() {
    let fixture = Fixture::new();
    fixture.model("m");
    for _ in 0..3 {
        fixture.version("m");
    }
    fixture.write(|tx| {
        tx.transition_model_version("m", 1, Stage::Production, true)?;
        tx.transition_model_version("m", 3, Stage::Staging, true)
    });
    tick();
    let moved = fixture.write(|tx| tx.transition_model_version("m", 2, Stage::Production, true));
    assert_eq!(moved.stage, Stage::Production);
    let model = fixture.read(|tx| tx.registered_model("m"));
    assert_eq!(model.last_updated_time, moved.last_updated_time);
    let versions = fixture.read(|tx| tx.model_versions_of("m", 9));
    let stages: Vec<_> = versions.iter().map(|version| version.stage).collect();
    assert_eq!(stages, [Stage::Staging, Stage::Production, Stage::Archived]);
    assert_eq!(versions[2].last_updated_time, moved.last_updated_time);
    assert!(versions[0].last_updated_time < moved.last_updated_time);
}

#[test]
fn only_active_stages_can_be_taken_over() {
    let fixture = Fixture::new();
    fixture.model("m");
    fixture.version("m");
    for stage in [Stage::None, Stage::Archived] {
        let error = fixture.refused(move |tx| tx.transition_model_version("m", 1, stage, true));
        assert!(matches!(&error, StoreError::Invalid(_)), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!(
                "Model version transition cannot archive existing model versions because '{}' is \
                 not an Active stage. Valid stages are ['Staging', 'Production']",
                stage.as_str()
            )
        );
        assert!(
            fixture.try_write(move |tx| tx.transition_model_version("m", 1, stage, false)).is_ok()
        );
    }
}

#[test]
fn descriptions_and_tags_change() {
    let fixture = Fixture::new();
    fixture.model("m");
    let made = fixture.version("m");
    tick();
    let version = fixture.write(|tx| tx.update_model_version("m", 1, Some("text")));
    assert_eq!(version.description.as_deref(), Some("text"));
    assert!(version.last_updated_time > made.last_updated_time);
    let version = fixture.write(|tx| tx.update_model_version("m", 1, None));
    assert_eq!(version.description, None);
    for value in ["1", "2"] {
        fixture.write(move |tx| tx.set_model_version_tag("m", 1, &tag("t", value)));
    }
    assert_eq!(fixture.read(|tx| tx.model_version("m", 1)).tags, [tag("t", "2")]);
    for _ in 0..2 {
        fixture.write(|tx| tx.delete_model_version_tag("m", 1, "t"));
    }
    assert!(fixture.read(|tx| tx.model_version("m", 1)).tags.is_empty());
}

#[test]
fn a_page_of_a_model_has_the_highest_versions_first() {
    let fixture = Fixture::new();
    fixture.model("m");
    for _ in 0..4 {
        fixture.version("m");
    }
    fixture.write(|tx| {
        tx.set_model_alias("m", "b", 3)?;
        tx.set_model_alias("m", "a", 3)?;
        tx.set_model_version_tag("m", 3, &tag("t", "1"))
    });
    let versions = fixture.read(|tx| tx.model_versions_of("m", 2));
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [4, 3]);
    assert_eq!(versions[1].aliases, ["a", "b"]);
    assert_eq!(versions[1].tags, [tag("t", "1")]);
}
