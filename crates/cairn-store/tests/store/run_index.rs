//! Searches while runs change: what the index was told must equal what is in the file.

use cairn_core::{
    ExperimentId, RunStatus, ViewType,
    filter::{Entity, parse, parse_order},
};
use cairn_store::{
    OpenOptions, Store,
    inputs::{Dataset, DatasetInput},
    runs::{Run, RunUpdate},
    search_runs::SearchRuns,
};
use proptest::prelude::*;

use crate::Fixture;

/// Filters and orders that together look at every kind of column.
const SEARCHES: [(&str, &[&str]); 9] = [
    ("", &[]),
    ("metrics.loss < 0.5", &["metrics.loss"]),
    ("metrics.loss != 0.25", &["metrics.loss DESC", "params.lr"]),
    ("params.lr LIKE '%1'", &["params.lr DESC"]),
    ("params.lr IS NULL", &["tags.note"]),
    ("tags.note ILIKE 'a%' AND status = 'RUNNING'", &["attributes.end_time", "run_name"]),
    ("run_name != 'x' AND end_time > 5", &["attributes.status", "attributes.start_time ASC"]),
    ("dataset.name = 'iris'", &["attributes.run_id"]),
    ("user_id = 'ada' AND artifact_uri LIKE 'mlflow-artifacts:%'", &["tags.note DESC"]),
];

#[derive(Debug, Clone)]
enum Step {
    Create(i64),
    Metric(usize, f64),
    Param(usize, u8),
    Tag(usize, String),
    Untag(usize),
    Finish(usize, i64),
    Trash(usize),
    Restore(usize),
    UseDataset(usize),
    /// Another program writes: a metric without telling anyone.
    Foreign(usize, f64),
}

fn step() -> impl Strategy<Value = Step> {
    let run = 0..12_usize;
    let value = prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(0.25), -1.0..1.0];
    prop_oneof![
        3 => (0..4_i64).prop_map(Step::Create),
        4 => (run.clone(), value.clone()).prop_map(|(run, value)| Step::Metric(run, value)),
        2 => (run.clone(), 0..30_u8).prop_map(|(run, value)| Step::Param(run, value)),
        2 => (run.clone(), "[aAx]{0,2}").prop_map(|(run, text)| Step::Tag(run, text)),
        1 => run.clone().prop_map(Step::Untag),
        1 => (run.clone(), 0..10_i64).prop_map(|(run, end)| Step::Finish(run, end)),
        1 => run.clone().prop_map(Step::Trash),
        1 => run.clone().prop_map(Step::Restore),
        1 => run.clone().prop_map(Step::UseDataset),
        1 => (run, value).prop_map(|(run, value)| Step::Foreign(run, value)),
    ]
}

/// Refusals (a deleted run, a changed parameter) are part of the game.
fn take(fixture: &Fixture, runs: &mut Vec<Run>, number: usize, step: &Step) {
    let store = &fixture.store;
    if let Step::Create(start) = step {
        runs.push(fixture.run(ExperimentId(1), *start));
        return;
    }
    let pick = |run: usize| runs.get(run % runs.len().max(1)).map(|run| run.info.run_id.clone());
    match step {
        Step::Create(_) => {}
        Step::Metric(run, value) => {
            let Some(id) = pick(*run) else { return };
            let metric = crate::metric("loss", *value, 1, number as i64);
            let _ = store.write_blocking(move |tx| tx.log_metric(&id, &metric));
        }
        Step::Param(run, value) => {
            let Some(id) = pick(*run) else { return };
            let param = cairn_store::runs::Param { key: "lr".into(), value: value.to_string() };
            let _ = store.write_blocking(move |tx| tx.log_param(&id, &param));
        }
        Step::Tag(run, text) => {
            let Some(id) = pick(*run) else { return };
            let tag = cairn_store::experiments::Tag { key: "note".into(), value: text.clone() };
            let _ = store.write_blocking(move |tx| tx.set_tag(&id, &tag));
        }
        Step::Untag(run) => {
            let Some(id) = pick(*run) else { return };
            let _ = store.write_blocking(move |tx| tx.delete_tag(&id, "note"));
        }
        Step::Finish(run, end) => {
            let Some(id) = pick(*run) else { return };
            let update = RunUpdate {
                status: Some(RunStatus::Finished),
                end_time: Some(*end),
                run_name: Some(format!("n{end}")),
            };
            let _ = store.write_blocking(move |tx| tx.update_run(&id, &update));
        }
        Step::Trash(run) => {
            let Some(id) = pick(*run) else { return };
            store.write_blocking(move |tx| tx.delete_run(&id)).unwrap();
        }
        Step::Restore(run) => {
            let Some(id) = pick(*run) else { return };
            store.write_blocking(move |tx| tx.restore_run(&id)).unwrap();
        }
        Step::UseDataset(run) => {
            let Some(id) = pick(*run) else { return };
            let dataset = Dataset {
                name: "iris".into(),
                digest: "1".into(),
                source_type: "local".into(),
                source: "{}".into(),
                schema: None,
                profile: None,
            };
            let input = DatasetInput { tags: Vec::new(), dataset };
            let _ = store.write_blocking(move |tx| tx.log_inputs(&id, &[input], &[]));
        }
        Step::Foreign(run, value) => {
            let Some(id) = pick(*run) else { return };
            let mut changes = store.subscribe();
            let other = rusqlite::Connection::open(store.database()).unwrap();
            other
                .execute(
                    "INSERT OR REPLACE INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) \
                     VALUES ('loss', ?1, 1, ?2, ?3, ?4)",
                    (
                        if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) },
                        number as i64,
                        value.is_nan(),
                        id.as_str(),
                    ),
                )
                .unwrap();
            // The watch finds it by itself within a quarter of a second.
            while !changes.blocking_recv().unwrap().everything {}
        }
    }
}

fn found(store: &Store, view: ViewType) -> Vec<Vec<String>> {
    SEARCHES
        .iter()
        .map(|(filter, order)| {
            let order: Vec<String> = order.iter().map(ToString::to_string).collect();
            let search = SearchRuns {
                experiment_ids: vec![ExperimentId(0), ExperimentId(1)],
                filter: parse(Entity::Runs, filter).unwrap(),
                order: parse_order(Entity::Runs, &order).unwrap(),
                view,
                max_results: 100,
                offset: 0,
            };
            let page = store.search_runs_blocking(&search).unwrap();
            page.items.iter().map(|run| run.info.run_id.to_string()).collect()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_index_that_was_told_of_changes_equals_a_fresh_one(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let fixture = Fixture::new();
        fixture.experiment("churn");
        let mut runs = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            take(&fixture, &mut runs, number, step);
            // Asked all the time, so that there is something to keep current.
            let _ = found(&fixture.store, ViewType::ActiveOnly);
            if number % 8 == 7 || number + 1 == steps.len() {
                let fresh = Store::open(fixture.dir.path(), OpenOptions::Existing).unwrap();
                for view in [ViewType::ActiveOnly, ViewType::DeletedOnly, ViewType::All] {
                    prop_assert_eq!(found(&fixture.store, view), found(&fresh, view));
                }
            }
        }
    }
}

#[test]
fn a_value_takes_few_bytes() {
    let fixture = Fixture::new();
    let experiment = fixture.experiment("churn");
    for number in 0..300 {
        let run = fixture.run(experiment, number);
        fixture.metric(&run, "loss", number as f64, 1);
        fixture.param(&run, "lr", &format!("0.{number:016}"));
    }
    for filter in ["metrics.loss > 1", "params.lr != '1'"] {
        let search = SearchRuns {
            experiment_ids: vec![experiment],
            filter: parse(Entity::Runs, filter).unwrap(),
            max_results: 1,
            ..SearchRuns::default()
        };
        fixture.store.search_runs_blocking(&search).unwrap();
    }
    let size = fixture.store.index_size();
    assert_eq!((size.columns, size.values), (2, 600));
    // Two columns bear the list of runs, which 40 would share: it alone is 53 bytes a run.
    let columns = size.bytes - 300 * 60;
    assert!(columns / size.values < 32, "{size:?}");
}
