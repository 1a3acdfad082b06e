//! Searches of registered models and of versions.

use cairn_core::{
    ExperimentId,
    filter::{Entity, parse, parse_order},
};
use cairn_store::registry::{
    NewModelVersion, NewRegisteredModel, SearchModelVersions, SearchRegisteredModels,
};

use crate::{Fixture, new_version, tag, tick};

fn order(entity: Entity, keys: &[&str]) -> Vec<cairn_core::filter::OrderItem> {
    let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
    parse_order(entity, &keys).unwrap()
}

fn models(fixture: &Fixture, filter: &str, keys: &[&str]) -> Vec<String> {
    let search = SearchRegisteredModels {
        filter: parse(Entity::RegisteredModels, filter).unwrap(),
        order: order(Entity::RegisteredModels, keys),
        max_results: 100,
        offset: 0,
    };
    let page = fixture.read(|tx| tx.search_registered_models(&search));
    page.items.into_iter().map(|model| model.name).collect()
}

fn versions(fixture: &Fixture, filter: &str, keys: &[&str]) -> Vec<(String, i64)> {
    let search = SearchModelVersions {
        filter: parse(Entity::ModelVersions, filter).unwrap(),
        order: order(Entity::ModelVersions, keys),
        max_results: 100,
        offset: 0,
    };
    let page = fixture.read(|tx| tx.search_model_versions(&search));
    page.items.into_iter().map(|version| (version.name, version.version)).collect()
}

fn with_models() -> Fixture {
    let fixture = Fixture::new();
    for (name, tags) in [
        ("Beta", vec![tag("team", "Blue"), tag("tier", "1")]),
        ("alpha", vec![tag("team", "red")]),
        ("gamma", vec![]),
        ("prompt", vec![tag("mlflow.prompt.is_prompt", "true"), tag("team", "red")]),
    ] {
        let new =
            NewRegisteredModel { name: name.to_owned(), tags, ..NewRegisteredModel::default() };
        fixture.write(move |tx| tx.create_registered_model(&new));
        tick();
    }
    fixture
}

#[test]
fn models_are_found_by_name_and_tag() {
    let fixture = with_models();
    for (filter, expected) in [
        ("", &["Beta", "alpha", "gamma"][..]),
        ("name = 'alpha'", &["alpha"]),
        ("name != 'alpha'", &["Beta", "gamma"]),
        ("name LIKE '%A'", &[]),
        ("name LIKE '%a'", &["Beta", "alpha", "gamma"]),
        ("name ILIKE 'b%'", &["Beta"]),
        ("name IN ('alpha', 'gamma')", &["alpha", "gamma"]),
        ("name NOT IN ('alpha')", &["Beta", "gamma"]),
        ("tags.team = 'red'", &["alpha"]),
        ("tags.team != 'red'", &["Beta"]),
        ("tag.team ILIKE 'b%' AND tag.tier = '1'", &["Beta"]),
        ("tag.team = 'Blue' AND tag.tier = '2'", &[]),
        ("name = 'it''s'", &[]),
    ] {
        assert_eq!(models(&fixture, filter, &[]), expected, "{filter}");
    }
}

#[test]
fn prompts_are_found_only_when_asked_for() {
    let fixture = with_models();
    let normal = ["Beta", "alpha", "gamma"];
    for (filter, expected) in [
        ("tag.`mlflow.prompt.is_prompt` != 'true'", &normal[..]),
        ("tag.`mlflow.prompt.is_prompt` = 'false'", &normal),
        ("tag.`mlflow.prompt.is_prompt` LIKE '%'", &normal),
        ("name LIKE '%' AND tag.`mlflow.prompt.is_prompt` != 'true'", &normal),
        ("tag.`mlflow.prompt.is_prompt` = 'true'", &["prompt"]),
        ("tag.`mlflow.prompt.is_prompt` != 'false'", &["prompt"]),
        ("tag.team = 'red' AND tag.`mlflow.prompt.is_prompt` = 'true'", &["prompt"]),
    ] {
        assert_eq!(models(&fixture, filter, &[]), expected, "{filter}");
    }
}

#[test]
fn models_are_ordered_by_name_and_by_time() {
    let fixture = with_models();
    assert_eq!(models(&fixture, "", &["name DESC"]), ["gamma", "alpha", "Beta"]);
    assert_eq!(models(&fixture, "", &["timestamp"]), ["Beta", "alpha", "gamma"]);
    assert_eq!(models(&fixture, "", &["last_updated_timestamp DESC"]), ["gamma", "alpha", "Beta"]);
}

#[test]
fn pages_of_models_have_all_that_belongs_to_them() {
    let fixture = with_models();
    fixture.version("alpha");
    fixture.write(|tx| tx.set_model_alias("alpha", "a", 1));
    let page = |offset| {
        let search =
            SearchRegisteredModels { max_results: 2, offset, ..SearchRegisteredModels::default() };
        fixture.read(|tx| tx.search_registered_models(&search))
    };
    let first = page(0);
    assert_eq!(first.next_offset, Some(2));
    assert_eq!(first.items[1], fixture.read(|tx| tx.registered_model("alpha")));
    assert_eq!(first.items[1].latest_versions.len(), 1);
    let second = page(2);
    assert_eq!((second.items.len(), second.next_offset), (1, None));
}

fn with_versions() -> (Fixture, String) {
    let fixture = with_models();
    let run = fixture.run(ExperimentId(0)).run_id.to_string();
    for (name, source, run_id, tags) in [
        ("alpha", "s3://b/one", Some(run.clone()), vec![tag("k", "x")]),
        ("alpha", "s3://b/two", None, vec![tag("k", "Y"), tag("l", "1")]),
        ("Beta", "s3://b/three", Some(run.clone()), vec![]),
        ("alpha", "s3://b/gone", None, vec![]),
    ] {
        let new = NewModelVersion { run_id, tags, ..new_version(name, source) };
        fixture.write(move |tx| tx.create_model_version(&new));
        tick();
    }
    fixture.write(|tx| tx.delete_model_version("alpha", 3));
    (fixture, run)
}

#[test]
fn versions_are_found_by_their_facts_and_tags() {
    let (fixture, run) = with_versions();
    let alpha = |version| ("alpha".to_owned(), version);
    let beta = || ("Beta".to_owned(), 1);
    for (filter, expected) in [
        (String::new(), vec![beta(), alpha(2), alpha(1)]),
        ("name = 'alpha'".to_owned(), vec![alpha(2), alpha(1)]),
        ("name IN ('Beta')".to_owned(), vec![beta()]),
        (format!("run_id = '{run}'"), vec![beta(), alpha(1)]),
        (format!("run_id != '{run}'"), vec![alpha(2)]),
        (format!("run_id IN ('{run}', 'x')"), vec![beta(), alpha(1)]),
        ("source_path LIKE '%/t%'".to_owned(), vec![beta(), alpha(2)]),
        ("version_number > 1".to_owned(), vec![alpha(2)]),
        ("version_number = '2'".to_owned(), vec![alpha(2)]),
        ("version_number <= 1 AND name = 'alpha'".to_owned(), vec![alpha(1)]),
        ("tags.k = 'x'".to_owned(), vec![alpha(1)]),
        ("tags.k ILIKE 'y' AND tag.l = '1'".to_owned(), vec![alpha(2)]),
        ("tags.k != 'x'".to_owned(), vec![alpha(2)]),
    ] {
        assert_eq!(versions(&fixture, &filter, &[]), expected, "{filter}");
    }
}

#[test]
fn versions_are_ordered_and_ties_broken() {
    let (fixture, _) = with_versions();
    let alpha = |version| ("alpha".to_owned(), version);
    let beta = || ("Beta".to_owned(), 1);
    assert_eq!(versions(&fixture, "", &["name DESC"]), [alpha(2), alpha(1), beta()]);
    assert_eq!(versions(&fixture, "", &["version_number ASC"]), [beta(), alpha(1), alpha(2)]);
    assert_eq!(versions(&fixture, "", &["creation_timestamp"]), [alpha(1), alpha(2), beta()]);
    fixture.write(|tx| tx.update_model_version("alpha", 1, Some("text")));
    assert_eq!(versions(&fixture, "", &[]), [alpha(1), beta(), alpha(2)]);
}

#[test]
fn pages_of_versions_have_tags_but_no_aliases() {
    let (fixture, _) = with_versions();
    fixture.write(|tx| tx.set_model_alias("alpha", "a", 2));
    let page = |offset| {
        let search =
            SearchModelVersions { max_results: 2, offset, ..SearchModelVersions::default() };
        fixture.read(|tx| tx.search_model_versions(&search))
    };
    let first = page(0);
    assert_eq!(first.next_offset, Some(2));
    assert_eq!(first.items[1].tags, [tag("k", "Y"), tag("l", "1")]);
    assert!(first.items[1].aliases.is_empty());
    assert_eq!(page(2).next_offset, None);
}

#[test]
fn a_version_that_is_a_prompt_hides_its_whole_model() {
    let (fixture, _) = with_versions();
    fixture
        .write(|tx| tx.set_model_version_tag("alpha", 1, &tag("mlflow.prompt.is_prompt", "true")));
    assert_eq!(versions(&fixture, "", &[]), [("Beta".to_owned(), 1)]);
    assert_eq!(
        versions(&fixture, "tag.`mlflow.prompt.is_prompt` = 'true'", &[]),
        [("alpha".to_owned(), 1)]
    );
}
