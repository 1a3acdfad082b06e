//! Logged models.

use cairn_core::{
    ExperimentId, LifecycleStage, LoggedModelId, MetricPoint, MetricValue, RunId,
    filter::{Entity, OrderItem, logged_model_order_field, parse},
};
use cairn_store::{
    StoreError,
    logged_models::{
        DatasetFilter, LoggedModelOrder, LoggedModelStatus, NewLoggedModel, SearchLoggedModels,
    },
    metrics::NewMetric,
    runs::Param,
};

use crate::{Fixture, new_logged_model, tag, tick, unknown_model};

const DEFAULT: ExperimentId = ExperimentId(0);

fn param(key: &str, value: &str) -> Param {
    Param { key: key.to_owned(), value: value.to_owned() }
}

fn create(fixture: &Fixture, new: NewLoggedModel) -> LoggedModelId {
    let id = fixture.write(move |tx| tx.create_logged_model(&new)).model_id;
    tick();
    id
}

fn log(
    fixture: &Fixture,
    run: &RunId,
    model: &LoggedModelId,
    value: f64,
    step: i64,
    dataset: Option<(&str, &str)>,
) {
    let metric = NewMetric {
        point: MetricPoint { key: "acc".to_owned(), value: MetricValue(value), timestamp: 5, step },
        model_id: Some(model.clone()),
        dataset_name: dataset.map(|(name, _)| name.to_owned()),
        dataset_digest: dataset.map(|(_, digest)| digest.to_owned()),
    };
    let run = run.clone();
    fixture.write(move |tx| tx.log_metric(&run, &metric));
}

#[test]
fn a_new_model_is_pending_and_has_what_was_given() {
    let fixture = Fixture::new();
    let new = NewLoggedModel {
        model_type: Some("kind".to_owned()),
        source_run_id: Some("ab".to_owned()),
        params: vec![param("b", "1"), param("a", "2")],
        tags: vec![tag("b", "1"), tag("a", "2")],
        ..new_logged_model(DEFAULT)
    };
    let model = fixture.write(move |tx| tx.create_logged_model(&new));
    let id = model.model_id.as_str();
    assert!(id.len() == 34 && id.starts_with("m-"), "{id}");
    assert_eq!(model.name, "model");
    assert_eq!(model.artifact_location, format!("mlflow-artifacts:/0/models/{id}/artifacts"));
    assert_eq!(model.status, LoggedModelStatus::Pending);
    assert_eq!(model.lifecycle_stage, LifecycleStage::Active);
    assert_eq!(model.creation_timestamp, model.last_updated_timestamp);
    assert_eq!(model.model_type.as_deref(), Some("kind"));
    assert_eq!(model.source_run_id.as_deref(), Some("ab"));
    assert_eq!(model.params, [param("a", "2"), param("b", "1")]);
    assert_eq!(model.tags, [tag("a", "2"), tag("b", "1")]);
    assert!(model.metrics.is_empty());
    assert_eq!(fixture.read(|tx| tx.logged_model(&model.model_id, false)), model);
}

#[test]
fn a_model_without_a_name_gets_one() {
    let fixture = Fixture::new();
    let new = NewLoggedModel { name: None, ..new_logged_model(DEFAULT) };
    let model = fixture.write(move |tx| tx.create_logged_model(&new));
    assert_eq!(model.name.split('-').count(), 3, "{}", model.name);
}

#[test]
fn models_that_break_a_rule_are_refused() {
    let fixture = Fixture::new();
    for name in ["", "a/b", "a:b", "a.b", "a%b", "a\"b", "a'b"] {
        let new = NewLoggedModel { name: Some(name.to_owned()), ..new_logged_model(DEFAULT) };
        let error = fixture.refused(move |tx| tx.create_logged_model(&new));
        assert!(matches!(error, StoreError::Invalid(_)), "{name}: {error:?}");
    }
    let new = new_logged_model(ExperimentId(77));
    let error = fixture.refused(move |tx| tx.create_logged_model(&new));
    assert_eq!(error.to_string(), "No Experiment with id=77 exists");
    let params = vec![param("a", "1"), param("a", "1")];
    let new = NewLoggedModel { params, ..new_logged_model(DEFAULT) };
    let error = fixture.refused(move |tx| tx.create_logged_model(&new));
    assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
    let tags = vec![tag("a", "1"), tag("a", "2")];
    let new = NewLoggedModel { tags, ..new_logged_model(DEFAULT) };
    let error = fixture.refused(move |tx| tx.create_logged_model(&new));
    assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
    fixture.write(|tx| tx.delete_experiment(DEFAULT));
    let error = fixture.refused(move |tx| tx.create_logged_model(&new_logged_model(DEFAULT)));
    assert_eq!(
        error.to_string(),
        "The experiment 0 must be in the 'active' state. Current state is deleted."
    );
    assert_eq!(fixture.stored::<i64>("SELECT COUNT(*) FROM logged_models"), 0);
}

#[test]
fn a_model_is_finalized_and_deleted_but_still_readable() {
    let fixture = Fixture::new();
    let model = fixture.logged_model(DEFAULT, None);
    tick();
    let id = model.model_id.clone();
    let ready = fixture.write(move |tx| tx.finalize_logged_model(&id, LoggedModelStatus::Ready));
    assert_eq!(ready.status, LoggedModelStatus::Ready);
    assert!(ready.last_updated_timestamp > model.last_updated_timestamp);
    for _ in 0..2 {
        let id = model.model_id.clone();
        fixture.write(move |tx| tx.delete_logged_model(&id));
    }
    let error = fixture.try_read(|tx| tx.logged_model(&model.model_id, false)).unwrap_err();
    assert!(matches!(&error, StoreError::NotFound(_)), "{error:?}");
    assert_eq!(error.to_string(), format!("Logged model with ID '{}' not found.", model.model_id));
    let deleted = fixture.read(|tx| tx.logged_model(&model.model_id, true));
    assert_eq!(deleted.lifecycle_stage, LifecycleStage::Deleted);
    let id = model.model_id.clone();
    let failed =
        fixture.write(move |tx| tx.finalize_logged_model(&id, LoggedModelStatus::UploadFailed));
    assert_eq!(failed.status, LoggedModelStatus::UploadFailed);
}

#[test]
fn tags_are_replaced_and_a_missing_one_is_not_found() {
    let fixture = Fixture::new();
    let id = fixture.logged_model(DEFAULT, None).model_id;
    let model = id.clone();
    fixture.write(move |tx| {
        tx.set_logged_model_tags(&model, &[tag("a", "1"), tag("b", "2"), tag("a", "3")])?;
        tx.set_logged_model_tags(&model, &[tag("b", "4")])
    });
    let tags = fixture.read(|tx| tx.logged_model(&id, false)).tags;
    assert_eq!(tags, [tag("a", "3"), tag("b", "4")]);
    let model = id.clone();
    fixture.write(move |tx| tx.delete_logged_model_tag(&model, "a"));
    let model = id.clone();
    let error = fixture.refused(move |tx| tx.delete_logged_model_tag(&model, "a"));
    assert!(matches!(&error, StoreError::NotFound(_)), "{error:?}");
    assert_eq!(error.to_string(), format!("No tag with key 'a' found for model with ID '{id}'."));
}

#[test]
fn params_are_added_once() {
    let fixture = Fixture::new();
    let id = fixture.logged_model(DEFAULT, None).model_id;
    let model = id.clone();
    fixture.write(move |tx| tx.log_logged_model_params(&model, &[param("b", "1"), param("a", "")]));
    let model = id.clone();
    let error = fixture
        .refused(move |tx| tx.log_logged_model_params(&model, &[param("c", "1"), param("a", "")]));
    assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
    let params = fixture.read(|tx| tx.logged_model(&id, false)).params;
    assert_eq!(params, [param("a", ""), param("b", "1")]);
}

#[test]
fn every_operation_on_a_missing_model_says_so() {
    let fixture = Fixture::new();
    let outcomes = [
        fixture.try_read(|tx| tx.logged_model(&unknown_model(), true).map(drop)),
        fixture.try_write(|tx| {
            tx.finalize_logged_model(&unknown_model(), LoggedModelStatus::Ready).map(drop)
        }),
        fixture.try_write(|tx| tx.delete_logged_model(&unknown_model())),
        fixture.try_write(|tx| tx.set_logged_model_tags(&unknown_model(), &[])),
        fixture.try_write(|tx| tx.delete_logged_model_tag(&unknown_model(), "a")),
        fixture.try_write(|tx| tx.log_logged_model_params(&unknown_model(), &[])),
    ];
    for outcome in outcomes {
        match outcome {
            Err(StoreError::NotFound(message)) => {
                assert_eq!(
                    message,
                    format!("Logged model with ID '{}' not found.", unknown_model())
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn several_models_come_in_the_order_asked_for() {
    let fixture = Fixture::new();
    let first = fixture.logged_model(DEFAULT, None).model_id;
    let second = fixture.logged_model(DEFAULT, None).model_id;
    let asked = [second.clone(), unknown_model(), first.clone()];
    let found = fixture.read(|tx| tx.logged_models(&asked));
    assert_eq!(found.into_iter().map(|model| model.model_id).collect::<Vec<_>>(), [second, first]);
}

#[test]
fn a_model_has_its_metrics_with_run_and_dataset() {
    let fixture = Fixture::new();
    let run = fixture.run(DEFAULT).run_id;
    let id = fixture.logged_model(DEFAULT, Some(&run)).model_id;
    log(&fixture, &run, &id, 0.5, 2, Some(("train", "b2")));
    log(&fixture, &run, &id, f64::NAN, 1, None);
    let metrics = fixture.read(|tx| tx.logged_model(&id, false)).metrics;
    assert_eq!(metrics.iter().map(|metric| metric.point.step).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(metrics[0].point.value, MetricValue(0.0), "NaN is stored as 0");
    assert_eq!(metrics[1].point.value, MetricValue(0.5));
    assert_eq!(metrics[1].run_id, run.as_str());
    assert_eq!(metrics[1].dataset_name.as_deref(), Some("train"));
    assert_eq!(metrics[1].dataset_digest.as_deref(), Some("b2"));
}

/// Three models: `a` (ready, 0.9 then 0.2 on `train`, 0.7 on `test`), `b` (pending, 0.5 on
/// `train`), `c` (without metrics, of another experiment).
struct Searchable {
    fixture: Fixture,
    run: RunId,
    other_experiment: ExperimentId,
}

impl Searchable {
    fn new() -> Self {
        let fixture = Fixture::new();
        let other_experiment = fixture.experiment_at("mlflow-artifacts:/other");
        let run = fixture.run(DEFAULT).run_id;
        let named = |name: &str, experiment| NewLoggedModel {
            name: Some(name.to_owned()),
            ..new_logged_model(experiment)
        };
        let a = create(
            &fixture,
            NewLoggedModel {
                source_run_id: Some(run.to_string()),
                params: vec![param("depth", "3")],
                tags: vec![tag("team", "Blue")],
                ..named("a", DEFAULT)
            },
        );
        let b = create(
            &fixture,
            NewLoggedModel {
                model_type: Some("agent".to_owned()),
                params: vec![param("depth", "10")],
                ..named("b", DEFAULT)
            },
        );
        create(&fixture, named("c", other_experiment));
        log(&fixture, &run, &a, 0.9, 1, Some(("train", "d1")));
        log(&fixture, &run, &a, 0.2, 2, Some(("train", "d1")));
        log(&fixture, &run, &a, 0.7, 0, Some(("test", "d2")));
        log(&fixture, &run, &b, 0.5, 1, Some(("train", "d1")));
        fixture.write(move |tx| tx.finalize_logged_model(&a, LoggedModelStatus::Ready));
        Self { fixture, run, other_experiment }
    }

    fn search(&self, filter: &str, datasets: &[(&str, Option<&str>)], order: &[Key<'_>]) -> String {
        let order = order.iter().map(|(field, ascending, dataset)| LoggedModelOrder {
            item: OrderItem {
                field: logged_model_order_field(field).unwrap(),
                ascending: *ascending,
            },
            dataset_name: dataset.map(str::to_owned),
            dataset_digest: None,
        });
        let search = SearchLoggedModels {
            experiment_ids: vec![DEFAULT, self.other_experiment],
            filter: parse(Entity::LoggedModels, filter).unwrap(),
            datasets: datasets
                .iter()
                .map(|(name, digest)| DatasetFilter {
                    name: (*name).to_owned(),
                    digest: digest.map(str::to_owned),
                })
                .collect(),
            order: order.collect(),
            max_results: 50,
            offset: 0,
        };
        let page = self.fixture.read(|tx| tx.search_logged_models(&search));
        page.items.into_iter().map(|model| model.name).collect()
    }
}

/// A field, whether it ascends, and the dataset that it is about.
type Key<'a> = (&'a str, bool, Option<&'a str>);

#[test]
fn models_are_found_by_attributes_params_and_tags() {
    let store = Searchable::new();
    let (run, other) = (store.run.as_str(), store.other_experiment);
    for (filter, expected) in [
        ("", "cba"),
        ("name = 'a'", "a"),
        ("attributes.name != 'a'", "cb"),
        ("name IN ('a', 'c')", "ca"),
        ("name NOT IN ('a', 'c')", "b"),
        ("name LIKE 'A'", ""),
        ("name ILIKE 'A'", "a"),
        ("status = 'READY'", "a"),
        ("status != 'READY'", "cb"),
        ("status IN ('READY', 'UPLOAD_FAILED')", "a"),
        ("status NOT IN ('READY')", "cb"),
        ("model_type = 'agent'", "b"),
        (&format!("source_run_id = '{run}'"), "a"),
        (&format!("experiment_id = '{other}'"), "c"),
        ("lifecycle_stage = 'active'", "cba"),
        ("creation_timestamp > 1", "cba"),
        ("creation_time < 1", ""),
        ("params.depth = '3'", "a"),
        ("params.depth != '3'", "b"),
        ("params.depth IN ('3', '10')", "ba"),
        ("tags.team ILIKE 'blue' AND params.depth = '3'", "a"),
        ("tags.team = 'blue'", ""),
    ] {
        assert_eq!(store.search(filter, &[], &[]), expected, "{filter}");
    }
}

#[test]
fn the_latest_value_of_a_metric_is_compared() {
    let store = Searchable::new();
    for (filter, expected) in [
        ("metrics.acc > 0.8", ""),
        ("metrics.acc = 0.2", "a"),
        ("metrics.acc >= 0.2", "ba"),
        ("metrics.acc != 0.2", "b"),
        ("metrics.other != 1", ""),
    ] {
        assert_eq!(store.search(filter, &[], &[]), expected, "{filter}");
    }
}

#[test]
fn datasets_narrow_metrics_and_models() {
    let store = Searchable::new();
    for (filter, datasets, expected) in [
        ("", &[("train", None)][..], "ba"),
        ("", &[("train", Some("d1"))], "ba"),
        ("", &[("train", Some("no"))], ""),
        ("", &[("test", None)], "a"),
        ("", &[("test", None), ("train", None)], "ba"),
        ("metrics.acc > 0.6", &[("test", Some("d2"))], "a"),
        ("metrics.acc > 0.6", &[("train", None)], ""),
    ] {
        assert_eq!(store.search(filter, datasets, &[]), expected, "{filter} {datasets:?}");
    }
}

#[test]
fn models_are_ordered_with_those_without_a_value_last() {
    let store = Searchable::new();
    for (order, expected) in [
        (&[("name", true, None)][..], "abc"),
        (&[("name", false, None)], "cba"),
        (&[("metrics.acc", true, None)], "abc"),
        (&[("metrics.acc", false, None)], "bac"),
        (&[("metrics.acc", true, Some("test"))], "acb"),
        (&[("metrics.acc", false, Some("test"))], "acb"),
        (&[("model_type", false, None)], "bca"),
        (&[("experiment_id", true, None), ("name", true, None)], "abc"),
        (&[("creation_timestamp", true, None)], "abc"),
        (&[("last_updated_timestamp_ms", false, None)], "acb"),
    ] {
        assert_eq!(store.search("", &[], order), expected, "{order:?}");
    }
}

#[test]
fn deleted_models_and_other_experiments_are_not_found() {
    let store = Searchable::new();
    let search = |experiment_ids: Vec<ExperimentId>, max_results, offset| {
        let search = SearchLoggedModels {
            experiment_ids,
            max_results,
            offset,
            ..SearchLoggedModels::default()
        };
        let page = store.fixture.read(|tx| tx.search_logged_models(&search));
        let names: String = page.items.iter().map(|model| model.name.as_str()).collect();
        (names, page.next_offset)
    };
    let both = vec![DEFAULT, store.other_experiment];
    assert_eq!(search(vec![DEFAULT], 50, 0), ("ba".to_owned(), None));
    assert_eq!(search(Vec::new(), 50, 0), (String::new(), None));
    assert_eq!(search(both.clone(), 2, 0), ("cb".to_owned(), Some(2)));
    assert_eq!(search(both.clone(), 2, 2), ("a".to_owned(), None));
    let filter = SearchLoggedModels {
        experiment_ids: vec![DEFAULT],
        filter: parse(Entity::LoggedModels, "name = 'b'").unwrap(),
        max_results: 1,
        ..SearchLoggedModels::default()
    };
    let b = store.fixture.read(|tx| tx.search_logged_models(&filter)).items.remove(0);
    assert_eq!(b.metrics.len(), 1);
    store.fixture.write(move |tx| tx.delete_logged_model(&b.model_id));
    assert_eq!(search(both, 50, 0), ("ca".to_owned(), None));
}

#[test]
fn writes_tell_the_feed_which_experiment() {
    let fixture = Fixture::new();
    let mut feed = fixture.store.subscribe();
    let id = fixture.logged_model(DEFAULT, None).model_id;
    assert_eq!(feed.try_recv().unwrap().logged_models, [DEFAULT]);
    fixture.write(move |tx| tx.set_logged_model_tags(&id, &[tag("a", "b")]));
    assert_eq!(feed.try_recv().unwrap().logged_models, [DEFAULT]);
}
