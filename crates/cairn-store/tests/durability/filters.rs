//! Filters and orders that nobody meant: none panics, none takes long, none becomes SQL.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use cairn_core::{
    ExperimentId, MetricPoint, MetricValue, UnixMillis,
    filter::{Context, Entity, parse, parse_extended, parse_order},
};
use cairn_store::{
    Store, StoreError,
    experiments::{SearchExperiments, Tag},
    logged_models::SearchLoggedModels,
    metrics::{Batch, NewMetric},
    registry::{NewModelVersion, NewRegisteredModel, SearchModelVersions, SearchRegisteredModels},
    runs::{NewRun, Param},
    search_runs::SearchRuns,
};
use fastrand::Rng;

use crate::{Journal, make_store, open, scaled};

/// Generated texts.
const TEXTS: usize = 100_000;
/// What reading a text may cost, by the thread's own time, in a build without optimisation.
const PARSE_LIMIT: Duration = Duration::from_millis(50);
/// What a search among a hundred runs may cost.
const SEARCH_LIMIT: Duration = Duration::from_millis(500);

const ENTITIES: [Entity; 5] = [
    Entity::Runs,
    Entity::Experiments,
    Entity::RegisteredModels,
    Entity::ModelVersions,
    Entity::LoggedModels,
];
const WORDS: &[&str] = &[
    "metrics.auc",
    "metrics.`a b`",
    "metrics.\"x\"",
    "params.lr",
    "parameters.lr",
    "tags.team",
    "tags.mlflow.runName",
    "tags.`odd'key`",
    "attributes.status",
    "attribute.run_id",
    "run_name",
    "run_id",
    "start_time",
    "end_time",
    "status",
    "user_id",
    "artifact_uri",
    "dataset.name",
    "datasets.digest",
    "dataset.context",
    "name",
    "creation_time",
    "last_update_time",
    "version_number",
    "source_path",
    "model_id",
    "model_type",
    "experiment_id",
    "Name",
    "METRICS.x",
    "metrics.",
    ".auc",
    "x.y.z",
    "duration",
    "created",
    "aliases",
    "`",
    "a",
    "_",
];
const OPERATORS: &[&str] = &[
    "=",
    "!=",
    ">",
    ">=",
    "<",
    "<=",
    "LIKE",
    "ILIKE",
    "like",
    "NOT LIKE",
    "IN",
    "NOT IN",
    "IS NULL",
    "IS NOT NULL",
    "==",
    "<>",
    "=>",
    "!",
    "REGEXP",
    "NOT REGEXP",
    "BETWEEN",
    "IS",
    "||",
    "",
];
const VALUES: &[&str] = &[
    "0.5",
    "-1",
    "1e308",
    "1e999",
    "-0.0",
    "NaN",
    "nan",
    "inf",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "0x10",
    "1_000",
    "1.",
    ".5",
    "--1",
    "'x'",
    "\"x\"",
    "''",
    "'it''s'",
    "'%_%'",
    "'\\'",
    "'",
    "\"",
    "'a",
    "('a','b')",
    "('a')",
    "()",
    "(1, 2)",
    "('a',)",
    "('a' 'b')",
    "NULL",
    "true",
    "'RUNNING'",
    "'2026-11-01'",
    "'today'",
    "-7d",
    "90s",
    "1h30m",
    "'[a-z'",
    "'(a+)+$'",
    "'((((((((((a*)*)*)*)*)*)*)*)*)*b'",
    "'\u{0}'",
    "'\u{202e}é𝄞'",
    "'); DROP TABLE runs; --'",
    "' OR 1=1 --",
    "1; DELETE FROM runs",
    "?1",
    ":x",
    "@a",
    "$b",
    "(SELECT value FROM tags)",
    "CAST(1 AS TEXT)",
    "x'00'",
];
const JOINERS: &[&str] =
    &[" AND ", " and ", " OR ", " or ", " NOT ", " ", ",", " AND AND ", "(", ")", "\t", "\n"];

#[test]
fn no_text_panics_takes_long_or_becomes_sql() {
    let dir = tempfile::tempdir().unwrap();
    make_store(dir.path(), Journal::Wal);
    let store = open(dir.path());
    fill(&store);
    let context = Context { now: UnixMillis(1_763_747_103_042), zone: jiff::tz::TimeZone::UTC };
    let mut rng = Rng::with_seed(20_261_121);
    let (mut read, mut searched) = (0, 0);
    for _ in 0..scaled(TEXTS) {
        let entity = ENTITIES[rng.usize(..ENTITIES.len())];
        let text = text(&mut rng, entity);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let began = thread_time();
            let strict = parse(entity, &text);
            let extended = parse_extended(entity, &text, &context);
            let order = parse_order(entity, std::slice::from_ref(&text));
            assert!(thread_time().saturating_sub(began) <= PARSE_LIMIT, "reading took too long");
            let mut tries = 0;
            for filter in [&strict, &extended].into_iter().flatten() {
                let began = thread_time();
                let order = order.clone().unwrap_or_default();
                search(&store, entity, filter.clone(), order);
                assert!(
                    thread_time().saturating_sub(began) <= SEARCH_LIMIT,
                    "searching took too long"
                );
                tries += 1;
            }
            if let (true, Ok(order)) = (tries == 0, order) {
                search(&store, entity, None, order);
                tries += 1;
            }
            (usize::from(strict.is_ok()), tries)
        }));
        let Ok((is_filter, tries)) = outcome else { panic!("{entity:?}: {text:?}") };
        read += is_filter;
        searched += tries;
    }
    eprintln!("{read} read as filters, {searched} searches");
    // Otherwise the texts were all nonsense, and only the first check was met.
    assert!(read > scaled(TEXTS) / 50 && searched > read);
    let (_, has_runs) = store.read_blocking(|tx| tx.run_activity()).unwrap();
    assert!(has_runs, "the runs are still there");
}

/// Values that look like SQL are values: they find exactly what has them.
#[test]
fn what_looks_like_sql_is_only_a_value() {
    let dir = tempfile::tempdir().unwrap();
    make_store(dir.path(), Journal::Wal);
    let store = open(dir.path());
    for value in ["x' OR '1'='1", "'); DROP TABLE runs; --", "%", "_", "?1"] {
        let stored = value.to_owned();
        store
            .write_blocking(move |tx| {
                let run = tx.create_run(&new_run(1))?;
                tx.log_param(&run.info.run_id, &Param { key: "p".into(), value: stored })
            })
            .unwrap();
        let text = format!("params.p = \"{value}\"");
        let filter = parse(Entity::Runs, &text).unwrap();
        let search = SearchRuns {
            experiment_ids: vec![ExperimentId(0)],
            filter,
            max_results: 10,
            ..SearchRuns::default()
        };
        let found = store.search_runs_blocking(&search).unwrap();
        let values: Vec<_> = found.items.iter().map(|run| run.params[0].value.as_str()).collect();
        assert_eq!(values, [value]);
    }
}

fn search(
    store: &Store,
    entity: Entity,
    filter: Option<cairn_core::filter::Expr>,
    order: Vec<cairn_core::filter::OrderItem>,
) {
    let experiment_ids = vec![ExperimentId(0)];
    let max_results = 20;
    let found = match entity {
        Entity::Runs => {
            let search =
                SearchRuns { experiment_ids, filter, order, max_results, ..SearchRuns::default() };
            store.search_runs_blocking(&search).map(drop)
        }
        Entity::Experiments => {
            let search =
                SearchExperiments { filter, order, max_results, ..SearchExperiments::default() };
            store.read_blocking(|tx| tx.search_experiments(&search).map(drop))
        }
        Entity::RegisteredModels => {
            let search = SearchRegisteredModels { filter, order, max_results, offset: 0 };
            store.read_blocking(|tx| tx.search_registered_models(&search).map(drop))
        }
        Entity::ModelVersions => {
            let search = SearchModelVersions { filter, order, max_results, offset: 0 };
            store.read_blocking(|tx| tx.search_model_versions(&search).map(drop))
        }
        Entity::LoggedModels => {
            let search = SearchLoggedModels {
                experiment_ids,
                filter,
                max_results,
                ..SearchLoggedModels::default()
            };
            store.read_blocking(|tx| tx.search_logged_models(&search).map(drop))
        }
    };
    match found {
        // Refused with a reason, or done: never an error of the database.
        Ok(()) | Err(StoreError::Invalid(_)) => {}
        Err(other) => panic!("{other}"),
    }
}

/// A filter, an order, or something like one, often damaged.
fn text(rng: &mut Rng, entity: Entity) -> String {
    let pick = |rng: &mut Rng, words: &[&'static str]| words[rng.usize(..words.len())];
    let mut text = String::new();
    if rng.bool() {
        let clauses: Vec<String> = (0..=rng.usize(..3)).map(|_| clause(rng, entity)).collect();
        text = clauses.join(" AND ");
    } else if rng.u8(..8) == 0 {
        text.push_str(pick(rng, WORDS));
        text.push_str(pick(rng, &["", " ASC", " DESC", " asc", " desc desc", " , "]));
    } else {
        for clause in 0..=rng.usize(..4) {
            if clause > 0 {
                let joiner = if rng.u8(..4) == 0 { pick(rng, JOINERS) } else { " AND " };
                text.push_str(joiner);
            }
            text.push_str(pick(rng, WORDS));
            text.push_str(if rng.u8(..8) == 0 { "" } else { " " });
            text.push_str(pick(rng, OPERATORS));
            text.push_str(if rng.u8(..8) == 0 { "" } else { " " });
            text.push_str(pick(rng, VALUES));
        }
    }
    for _ in 0..[0, 0, 0, 1, 2, 6][rng.usize(..6)] {
        damage(rng, &mut text);
    }
    // Now and then very long or very deep.
    if rng.u16(..2_000) == 0 {
        text = match rng.u8(..4) {
            0 => format!("{}{text}{}", "(".repeat(5_000), ")".repeat(5_000)),
            1 => format!("{}{text}", "NOT ".repeat(5_000)),
            2 => vec![text; 600].join(" AND "),
            _ => format!("params.p IN ({})", vec!["'x'"; 5_000].join(",")),
        };
    }
    text
}

/// A clause that means something.
fn clause(rng: &mut Rng, entity: Entity) -> String {
    let (numbers, texts): (&[&str], &[&str]) = match entity {
        Entity::Runs => (
            &["metrics.auc", "metrics.`a b`", "start_time", "attributes.end_time"],
            &["params.lr", "tags.team", "run_name", "status", "user_id", "run_id", "dataset.name"],
        ),
        Entity::Experiments => (&["creation_time", "last_update_time"], &["name", "tags.team"]),
        Entity::RegisteredModels => (&[], &["name", "tags.team", "tag.`x`"]),
        Entity::ModelVersions => {
            (&["version_number"], &["name", "run_id", "source_path", "tags.t"])
        }
        Entity::LoggedModels => {
            (&["metrics.auc", "creation_time"], &["name", "model_type", "params.p"])
        }
    };
    let field = rng.usize(..numbers.len() + texts.len());
    if let Some(field) = numbers.get(field) {
        let operator = ["=", "!=", "<", "<=", ">", ">="][rng.usize(..6)];
        return format!("{field} {operator} {}", rng.i32(-5..2_000));
    }
    let field = texts[field - numbers.len()];
    let value = ["a", "%a_", "0.5", "RUNNING", "it", "x y", "%"][rng.usize(..7)];
    let operator = ["=", "!=", "LIKE", "ILIKE"][rng.usize(..4)];
    format!("{field} {operator} '{value}'")
}

/// Removes, doubles or puts in something at a random place.
fn damage(rng: &mut Rng, text: &mut String) {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let at = places[rng.usize(..places.len())];
    match rng.u8(..4) {
        0 if at < text.len() => {
            text.remove(at);
        }
        1 => {
            let end = places[rng.usize(..places.len())];
            let part = text[at.min(end)..at.max(end)].to_owned();
            text.insert_str(at, &part);
        }
        2 => text.insert(at, rng.char(..)),
        _ => text.insert_str(at, VALUES[rng.usize(..VALUES.len())]),
    }
}

fn fill(store: &Store) {
    let filled = store.write_blocking(|tx| {
        for number in 0..100 {
            let run = tx.create_run(&new_run(number))?;
            let point = MetricPoint {
                key: "auc".into(),
                value: MetricValue(number as f64 / 100.0),
                timestamp: number,
                step: 0,
            };
            let metric =
                NewMetric { point, model_id: None, dataset_name: None, dataset_digest: None };
            let batch = Batch {
                metrics: vec![metric],
                params: vec![Param { key: "lr".into(), value: format!("0.{number}") }],
                tags: vec![Tag { key: "team".into(), value: "a".repeat(number as usize) }],
            };
            tx.log_batch(&run.info.run_id, &batch)?;
        }
        tx.create_registered_model(&NewRegisteredModel {
            name: "m".into(),
            ..NewRegisteredModel::default()
        })?;
        tx.create_model_version(&NewModelVersion {
            name: "m".into(),
            source: "s3://bucket/m".into(),
            ..NewModelVersion::default()
        })
    });
    filled.unwrap();
}

fn new_run(start_time: i64) -> NewRun {
    NewRun {
        experiment_id: ExperimentId(0),
        user_id: "ada".into(),
        run_name: None,
        start_time,
        tags: Vec::new(),
    }
}

/// The processor time of this thread, which other programs on the machine do not add to.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
