//! Cairn's own dialect over every kind of thing that is searched.

use cairn_core::{
    UnixMillis, ViewType,
    filter::{Context, Entity, Expr, parse_extended},
};
use cairn_store::{
    experiments::{NewExperiment, SearchExperiments, Tag},
    registry::{NewRegisteredModel, SearchRegisteredModels},
    runs::RunUpdate,
    search_runs::SearchRuns,
};

use crate::Fixture;

const NOW: i64 = 1_795_262_400_000;

fn parsed(entity: Entity, text: &str) -> Option<Expr> {
    let context = Context { now: UnixMillis(NOW), zone: jiff::tz::TimeZone::UTC };
    parse_extended(entity, text, &context).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn runs_are_found_by_all_that_the_dialect_says() {
    let fixture = Fixture::new();
    let experiment = fixture.experiment("churn");
    let hours = |hours: i64| hours * 3_600_000;
    for (name, age, length, lr) in
        [("a", 1, Some(1), "0.1"), ("b", 30, Some(3), "1e-2"), ("c", 50, None, "auto")]
    {
        let run = fixture.run(experiment, NOW - hours(age));
        fixture.tag(&run, "mlflow.runName", name);
        fixture.param(&run, "lr", lr);
        if let Some(length) = length {
            let id = run.info.run_id.clone();
            let end_time = Some(NOW - hours(age) + hours(length));
            let update = RunUpdate { end_time, ..RunUpdate::default() };
            fixture.store.write_blocking(move |tx| tx.update_run(&id, &update)).unwrap();
        }
        if name != "b" {
            fixture.metric(&run, "auc", f64::from(u8::from(name == "a")), 1);
        }
    }
    let check = |filter: &str, expected: &str| {
        let search = SearchRuns {
            experiment_ids: vec![experiment],
            filter: parsed(Entity::Runs, filter),
            max_results: 10,
            ..SearchRuns::default()
        };
        let page = fixture.store.search_runs_blocking(&search).unwrap();
        let names: String = page.items.iter().map(|run| run.info.run_name.as_str()).collect();
        assert_eq!(names, expected, "{filter}");
    };
    check("params.lr < 0.05", "b");
    check("params.lr >= 0.01 OR params.lr = 'auto'", "abc");
    check("params.lr != 0.1", "b");
    check("params.lr REGEXP '^[0-9]'", "ab");
    check("params.lr NOT REGEXP '^[0-9]' OR params.none NOT LIKE 'x'", "c");
    check("NOT params.lr < 0.05", "ac");
    check("NOT (metrics.auc > 0)", "bc");
    check("metrics.auc IS NULL", "b");
    check("metrics.auc IN (1, 2)", "a");
    check("metrics.auc NOT IN (1, 2)", "c");
    check("run_name IN ('a', 'c') AND NOT run_name LIKE 'c'", "a");
    check("start_time > -1d", "a");
    check("start_time < 'yesterday' OR end_time IS NULL", "c");
    check("start_time = 'yesterday'", "b");
    check("duration >= 2h AND duration < 4h", "b");
    check("user_id REGEXP 'd' AND run_id NOT IN ('x') AND status IN ('RUNNING')", "abc");
}

#[test]
fn experiments_and_models_are_found_by_it_too() {
    let fixture = Fixture::new();
    let tag = |key: &str, value: &str| Tag { key: key.into(), value: value.into() };
    for (name, tags) in
        [("alpha", vec![tag("n", "10")]), ("beta", vec![tag("n", "9")]), ("gamma", vec![])]
    {
        let new =
            NewExperiment { name: name.into(), tags: tags.clone(), ..NewExperiment::default() };
        fixture.store.write_blocking(move |tx| tx.create_experiment(&new)).unwrap();
        let new = NewRegisteredModel { name: name.into(), description: None, tags };
        fixture.store.write_blocking(move |tx| tx.create_registered_model(&new)).unwrap();
    }
    let check = |filter: &str, expected: &[&str]| {
        let search = SearchExperiments {
            filter: parsed(Entity::Experiments, &format!("({filter}) AND name != 'Default'")),
            view: ViewType::ActiveOnly,
            max_results: 10,
            ..SearchExperiments::default()
        };
        let page = fixture.store.read_blocking(|tx| tx.search_experiments(&search)).unwrap();
        let mut names: Vec<&str> = page.items.iter().map(|one| one.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "experiments: {filter}");
        let search = SearchRegisteredModels {
            filter: parsed(Entity::RegisteredModels, filter),
            max_results: 10,
            ..SearchRegisteredModels::default()
        };
        let page = fixture.store.read_blocking(|tx| tx.search_registered_models(&search)).unwrap();
        let names: Vec<&str> = page.items.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, expected, "models: {filter}");
    };
    check("tags.n > 9.5", &["alpha"]);
    check("tags.n >= 9 AND NOT name = 'beta'", &["alpha"]);
    check("tags.n IS NULL OR name REGEXP '^al'", &["alpha", "gamma"]);
    check("tags.n IS NOT NULL", &["alpha", "beta"]);
    check("NOT (tags.n = 10 OR name ILIKE 'GAM%')", &["beta"]);
    check("name NOT LIKE '%a' OR name IN ('beta', 'x')", &["beta"]);
    check("tags.n NOT IN (9) AND name NOT ILIKE 'B%'", &["alpha"]);
}
