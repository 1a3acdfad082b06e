//! The run table: slices, orders, keys, and that cached orders are dropped in time.

use std::collections::HashMap;

use cairn_core::{
    ExperimentId,
    filter::{Entity, parse},
};
use cairn_store::{
    run_table::{TableColumn, TableOrder, TableQuery},
    runs::Run,
};

use crate::Fixture;

fn query(column: TableColumn, ascending: bool, filter: &str) -> TableQuery {
    TableQuery {
        experiment_ids: vec![ExperimentId(1)],
        filter: parse(Entity::Runs, filter).unwrap(),
        order: vec![TableOrder { column, ascending }],
        deleted: false,
    }
}

fn names(fixture: &Fixture, query: &TableQuery) -> String {
    let page = fixture.store.run_table_page(query, 0, 100, &[]).unwrap();
    page.rows.iter().map(|row| row.info.run_name.clone()).collect()
}

fn named(fixture: &Fixture, names: &[&str]) -> Vec<Run> {
    let experiment = fixture.experiment("churn");
    let mut runs = Vec::new();
    for (start, name) in (1..).zip(names) {
        let run = fixture.run(experiment, start * 10);
        fixture.tag(&run, "mlflow.runName", name);
        runs.push(run);
    }
    runs
}

#[test]
fn parameters_sort_as_numbers_where_they_are_numbers() {
    let fixture = Fixture::new();
    let runs = named(&fixture, &["a", "b", "c", "d", "e"]);
    for (run, value) in runs.iter().zip(["10", "2", "1e-3", "auto"]) {
        fixture.param(run, "depth", value);
    }
    let column = TableColumn::Param("depth".into());
    assert_eq!(names(&fixture, &query(column.clone(), true, "")), "cbade");
    assert_eq!(names(&fixture, &query(column, false, "")), "abcde");
}

#[test]
fn a_second_key_decides_where_the_first_is_equal() {
    let fixture = Fixture::new();
    let runs = named(&fixture, &["a", "b", "c", "d"]);
    for (run, (lr, auc)) in runs.iter().zip([("0.1", 0.5), ("0.2", 0.9), ("0.1", 0.7)]) {
        fixture.param(run, "lr", lr);
        fixture.metric(run, "auc", auc, 1);
    }
    let by_lr = |ascending| TableOrder { column: TableColumn::Param("lr".into()), ascending };
    let by_auc = |ascending| TableOrder { column: TableColumn::Metric("auc".into()), ascending };
    let check = |order: Vec<TableOrder>, expected: &str| {
        let query = TableQuery { order, ..query(TableColumn::Start, false, "") };
        assert_eq!(names(&fixture, &query), expected);
    };
    check(vec![by_lr(true), by_auc(true)], "acbd");
    check(vec![by_lr(true), by_auc(false)], "cabd");
    check(vec![by_lr(false), by_auc(false)], "bcad");
    check(Vec::new(), "dcba");
}

#[test]
fn runs_of_several_experiments_are_sorted_by_them() {
    let fixture = Fixture::new();
    named(&fixture, &["a", "b"]);
    let other = fixture.experiment("other");
    let run = fixture.run(other, 15);
    fixture.tag(&run, "mlflow.runName", "c");
    let check = |order: Vec<TableOrder>, expected: &str| {
        let experiment_ids = vec![other, ExperimentId(1)];
        let query = TableQuery { experiment_ids, order, ..query(TableColumn::Start, false, "") };
        assert_eq!(names(&fixture, &query), expected);
    };
    let by_experiment = |ascending| TableOrder { column: TableColumn::Experiment, ascending };
    check(Vec::new(), "bca");
    check(vec![by_experiment(true)], "bac");
    check(vec![by_experiment(false)], "cba");
}

#[test]
fn a_slice_has_the_cells_asked_for() {
    let fixture = Fixture::new();
    let runs = named(&fixture, &["a", "b", "c"]);
    fixture.metric(&runs[2], "auc", 0.9, 1);
    fixture.metric(&runs[2], "other", 0.1, 1);
    fixture.param(&runs[2], "lr", "0.1");
    fixture.tag(&runs[2], "team", "red");
    let columns = [
        TableColumn::Metric("auc".into()),
        TableColumn::Param("lr".into()),
        TableColumn::Tag("team".into()),
    ];
    let newest = query(TableColumn::Start, false, "");
    let page = fixture.store.run_table_page(&newest, 0, 2, &columns).unwrap();
    assert_eq!((page.total, page.rows.len()), (3, 2));
    let row = &page.rows[0];
    assert_eq!(row.info.run_name, "c");
    assert_eq!(
        row.metrics.iter().map(|(key, value)| (&**key, value.0)).collect::<Vec<_>>(),
        [("auc", 0.9)]
    );
    assert_eq!(row.params, HashMap::from([("lr".into(), "0.1".into())]));
    assert_eq!(row.tags, HashMap::from([("team".into(), "red".into())]));
    assert!(page.rows[1].metrics.is_empty());
    let beyond = fixture.store.run_table_page(&newest, 50, 10, &columns).unwrap();
    assert_eq!((beyond.total, beyond.rows.len()), (3, 0));
}

#[test]
fn every_change_that_matters_is_seen_at_once() {
    let fixture = Fixture::new();
    let runs = named(&fixture, &["a", "b"]);
    let newest = query(TableColumn::Start, false, "");
    let by_auc = query(TableColumn::Metric("auc".into()), false, "");
    let good = query(TableColumn::Start, false, "metrics.auc > 0.5");
    let by_name = query(TableColumn::Name, true, "");
    assert_eq!(names(&fixture, &newest), "ba");
    assert_eq!(names(&fixture, &by_auc), "ba");
    assert_eq!(names(&fixture, &good), "");
    fixture.metric(&runs[0], "auc", 0.9, 0);
    assert_eq!(names(&fixture, &by_auc), "ab");
    assert_eq!(names(&fixture, &good), "a");
    let page = fixture.store.run_table_page(&good, 0, 10, &[]).unwrap();
    assert_eq!((page.total, page.unfiltered_total), (1, 2));
    assert_eq!(names(&fixture, &by_name), "ab");
    fixture.tag(&runs[0], "mlflow.runName", "z");
    assert_eq!(names(&fixture, &by_name), "bz");
    let third = fixture.run(ExperimentId(1), 99);
    fixture.tag(&third, "mlflow.runName", "c");
    assert_eq!(names(&fixture, &newest), "cbz");
    let id = third.info.run_id.clone();
    fixture.store.write_blocking(move |tx| tx.delete_run(&id)).unwrap();
    assert_eq!(names(&fixture, &newest), "bz");
    let trash = TableQuery { deleted: true, ..newest };
    assert_eq!(names(&fixture, &trash), "c");
}

#[test]
fn keys_are_those_of_the_experiment() {
    let fixture = Fixture::new();
    let runs = named(&fixture, &["a"]);
    let other = fixture.experiment("prices");
    let foreign = fixture.run(other, 5);
    fixture.metric(&runs[0], "auc", 0.9, 0);
    fixture.param(&runs[0], "lr", "1");
    fixture.metric(&foreign, "rmse", 3.0, 0);
    let keys = fixture.store.run_keys(&[ExperimentId(1)]).unwrap();
    assert_eq!((&keys.metrics, &keys.params), (&vec!["auc".to_owned()], &vec!["lr".to_owned()]));
    assert_eq!(keys.tags, ["mlflow.runName"]);
    fixture.metric(&runs[0], "loss", 0.9, 0);
    let keys = fixture.store.run_keys(&[ExperimentId(1)]).unwrap();
    assert_eq!(keys.metrics, ["auc", "loss"]);
    let keys = fixture.store.run_keys(&[ExperimentId(1), other]).unwrap();
    assert_eq!(keys.metrics, ["auc", "loss", "rmse"]);
}
