//! The run table's data path: a cached order of all matching runs, and slices of it.
//!
//! Sorting 100,000 runs takes a tenth of a second, cutting a slice out of the result takes next to
//! nothing. So the order is kept as a list of row numbers until something that it depends on
//! changes: a list in order of start is not disturbed by metrics that arrive.

use std::{
    cmp::Ordering as CmpOrdering,
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use cairn_core::{
    ExperimentId, MetricValue, RunId, ViewType,
    filter::tree::{Expr, Field, RunAttribute},
};
use rusqlite::types::{Value as SqlValue, ValueRef};

use crate::{
    ChangeSet, ReadTx, Result, RunFacets, Store,
    runs::{INFO_COLUMNS, RunInfo, info_from_row},
    search_runs::scope,
    sql::Sql,
};

/// Orders kept; a window shows one, and steps between few.
const KEPT: usize = 12;
/// Experiments with at most this many runs are asked run by run for their keys.
const SMALL_EXPERIMENT: i64 = 2_000;

/// A column of the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TableColumn {
    /// The run's name.
    Name,
    /// Its status.
    Status,
    /// Start time.
    Start,
    /// End minus start; for running ones until now.
    Duration,
    /// The tag `mlflow.source.name`.
    Source,
    /// Who ran it.
    User,
    /// A parameter; numbers sort as numbers, before other text.
    Param(String),
    /// The latest value of a metric.
    Metric(String),
    /// A tag, sorted as a parameter.
    Tag(String),
}

/// Which runs in which order.
#[derive(Debug, Clone)]
pub struct TableQuery {
    /// Whose runs.
    pub experiment_ids: Vec<ExperimentId>,
    /// The filter as typed; with the same text `filter` is the same.
    pub filter_text: String,
    /// The filter, parsed for runs.
    pub filter: Option<Expr>,
    /// The column to sort by.
    pub column: TableColumn,
    /// Smallest first. Runs without a value come last either way.
    pub ascending: bool,
    /// Deleted runs instead of active ones.
    pub deleted: bool,
}

/// A slice of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct TablePage {
    /// Runs that match.
    pub total: u64,
    /// Runs before the filter.
    pub unfiltered_total: u64,
    /// The runs of the slice, in order.
    pub rows: Vec<TableRow>,
}

/// A run in the table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRow {
    /// Its facts.
    pub info: RunInfo,
    /// Metrics asked for that it has.
    pub metrics: HashMap<String, MetricValue>,
    /// Parameters asked for that it has.
    pub params: HashMap<String, String>,
    /// Tags asked for that it has.
    pub tags: HashMap<String, String>,
}

/// The keys that the active runs of some experiments have, each list sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunKeys {
    /// Metrics.
    pub metrics: Vec<String>,
    /// Parameters.
    pub params: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
}

/// Counts of changes per kind, raised by every commit before it is answered.
#[derive(Debug, Default)]
pub(crate) struct Versions([AtomicU64; 6]);

/// Values of [`Versions`] at one moment.
type Stamp = [u64; 6];

impl Versions {
    /// Notes what changed.
    pub fn raise(&self, changes: &ChangeSet) {
        let mut kinds = [changes.everything; 6];
        for (_, facets) in changes.runs.values() {
            let RunFacets { listed, info, params, tags, metrics, inputs, .. } = *facets;
            for (kind, changed) in
                kinds.iter_mut().zip([listed, info, params, tags, metrics, inputs])
            {
                *kind |= changed;
            }
        }
        for (version, changed) in self.0.iter().zip(kinds) {
            if changed {
                version.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn stamp(&self) -> Stamp {
        std::array::from_fn(|index| self.0[index].load(Ordering::SeqCst))
    }
}

/// Which kinds of change disturb a list; same order as [`Versions`].
type Dependencies = [bool; 6];

const LISTED: usize = 0;
const INFO: usize = 1;
const PARAMS: usize = 2;
const TAGS: usize = 3;
const METRICS: usize = 4;
const INPUTS: usize = 5;

/// Identifies a cached order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    experiments: Vec<i64>,
    filter: String,
    column: TableColumn,
    ascending: bool,
    deleted: bool,
}

struct Ordered {
    /// Row numbers of `runs`, in order.
    rows: Vec<i64>,
    dependencies: Dependencies,
    stamp: Stamp,
    /// Row numbers hold as long as the schema does: a migration copies tables.
    schema_version: i64,
    last_used: u64,
}

struct KnownKeys {
    keys: Arc<RunKeys>,
    stamp: Stamp,
    schema_version: i64,
}

/// The cached orders and keys of one store.
#[derive(Default)]
pub(crate) struct RunTables {
    pub versions: Arc<Versions>,
    lists: Mutex<Lists>,
    keys: Mutex<HashMap<Vec<i64>, KnownKeys>>,
}

#[derive(Default)]
struct Lists {
    by_key: HashMap<Key, Arc<Ordered>>,
    clock: u64,
}

impl Store {
    /// A slice of the run table with the given metric, parameter and tag columns.
    ///
    /// The first slice of an order costs a sort of all matching runs; the next ones only their own
    /// rows. `limit` bounds the rows, `columns` the cells.
    pub fn run_table_page(
        &self,
        query: &TableQuery,
        offset: usize,
        limit: usize,
        columns: &[TableColumn],
    ) -> Result<TablePage> {
        let tables = self.run_tables();
        let stamp = tables.versions.stamp();
        self.read_blocking(|tx| {
            let ordered = tables.ordered(tx, query, stamp)?;
            let unfiltered_total = if query.filter.is_none() {
                ordered.rows.len()
            } else {
                let all = TableQuery {
                    filter_text: String::new(),
                    filter: None,
                    column: TableColumn::Start,
                    ascending: false,
                    ..query.clone()
                };
                tables.ordered(tx, &all, stamp)?.rows.len()
            };
            let end = offset.saturating_add(limit).min(ordered.rows.len());
            let slice = ordered.rows.get(offset..end).unwrap_or_default();
            Ok(TablePage {
                total: ordered.rows.len() as u64,
                unfiltered_total: unfiltered_total as u64,
                rows: tx.table_rows(slice, columns)?,
            })
        })
    }

    /// The keys that the active runs of some experiments have.
    pub fn run_keys(&self, experiments: &[ExperimentId]) -> Result<Arc<RunKeys>> {
        let tables = self.run_tables();
        let wanted: Vec<i64> = experiments.iter().map(|id| id.0).collect();
        let stamp = tables.versions.stamp();
        self.read_blocking(|tx| {
            let is_same = |entry: &KnownKeys, kinds: &[usize]| {
                entry.schema_version == tx.shape.schema_version
                    && kinds.iter().all(|kind| entry.stamp[*kind] == stamp[*kind])
            };
            // While no run and no tag went away, a key that was there still is: only others are
            // looked for.
            let mut before = Arc::default();
            {
                let known = tables.keys.lock().expect("no holder of this lock panics");
                if let Some(entry) = known.get(&wanted) {
                    if is_same(entry, &[LISTED, PARAMS, TAGS, METRICS]) {
                        return Ok(entry.keys.clone());
                    }
                    if is_same(entry, &[LISTED, TAGS]) {
                        before = entry.keys.clone();
                    }
                }
            }
            let keys = Arc::new(tx.run_keys(experiments, &before)?);
            let entry =
                KnownKeys { keys: keys.clone(), stamp, schema_version: tx.shape.schema_version };
            let mut known = tables.keys.lock().expect("no holder of this lock panics");
            if known.len() >= KEPT {
                known.clear();
            }
            known.insert(wanted, entry);
            Ok(keys)
        })
    }
}

impl RunTables {
    /// The cached order for a query, or a new one.
    ///
    /// `stamp` was taken before the transaction began: a commit that falls between is in the new
    /// list but not in its stamp, so the list is built once more, and never kept too long.
    fn ordered(&self, tx: &ReadTx<'_>, query: &TableQuery, stamp: Stamp) -> Result<Arc<Ordered>> {
        let key = Key {
            experiments: query.experiment_ids.iter().map(|id| id.0).collect(),
            filter: query.filter_text.clone(),
            column: query.column.clone(),
            ascending: query.ascending,
            deleted: query.deleted,
        };
        {
            let mut lists = self.lists.lock().expect("no holder of this lock panics");
            lists.clock += 1;
            let clock = lists.clock;
            if let Some(list) = lists.by_key.get_mut(&key) {
                let holds = list.schema_version == tx.shape.schema_version
                    && (0..6)
                        .all(|kind| !list.dependencies[kind] || list.stamp[kind] == stamp[kind]);
                if holds {
                    if let Some(list) = Arc::get_mut(list) {
                        list.last_used = clock;
                    }
                    return Ok(list.clone());
                }
            }
        }
        let rows = tx.ordered_rows(query)?;
        let mut lists = self.lists.lock().expect("no holder of this lock panics");
        let list = Arc::new(Ordered {
            rows,
            dependencies: dependencies(query),
            stamp,
            schema_version: tx.shape.schema_version,
            last_used: lists.clock,
        });
        if lists.by_key.len() >= KEPT && !lists.by_key.contains_key(&key) {
            let oldest = lists.by_key.iter().min_by_key(|(_, list)| list.last_used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                lists.by_key.remove(&oldest);
            }
        }
        lists.by_key.insert(key, list.clone());
        Ok(list)
    }
}

impl ReadTx<'_> {
    /// Row numbers of all matching runs, in order; ties by newest start, then by id.
    ///
    /// Read unsorted and sorted here: that takes half the time of a sort in SQL, which carries the
    /// long ids along.
    fn ordered_rows(&self, query: &TableQuery) -> Result<Vec<i64>> {
        let mut sql = Sql::default();
        let (value, joined) = sort_value(&query.column);
        sql.push("SELECT runs.rowid, COALESCE(runs.start_time, 0), ").push(&value);
        sql.push(" FROM runs");
        if let Some((table, key)) = joined {
            sql.push(" LEFT JOIN ").push(table);
            sql.push(" AS o ON o.run_uuid = runs.run_uuid AND o.key = ").bind(key.to_owned());
        }
        sql.push(" WHERE ");
        let view = if query.deleted { ViewType::DeletedOnly } else { ViewType::ActiveOnly };
        scope(&mut sql, &query.experiment_ids, view);
        if let Some(filter) = &query.filter {
            sql.push(" AND ");
            self.run_filter(&mut sql, filter)?;
        }
        let mut statement = self.connection.prepare_cached(&sql.text)?;
        let mut found = statement.query(sql.params())?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            rows.push(SortRow {
                number: row.get(0)?,
                start_time: row.get(1)?,
                value: SortValue::of(row.get_ref(2)?, &query.column),
            });
        }
        rows.sort_unstable_by(|a, b| {
            a.value.compare(&b.value, query.ascending).then(b.start_time.cmp(&a.start_time))
        });
        let is_tie = |a: &SortRow, b: &SortRow| {
            a.start_time == b.start_time && a.value.compare(&b.value, true).is_eq()
        };
        for ties in rows.chunk_by_mut(is_tie).filter(|ties| ties.len() > 1) {
            let numbers = ties.iter().map(|row| SqlValue::from(row.number)).collect::<Vec<_>>();
            let mut statement = self
                .connection
                .prepare_cached("SELECT rowid, run_uuid FROM runs WHERE rowid IN rarray(?1)")?;
            let ids = statement
                .query_map([Rc::new(numbers)], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<HashMap<i64, String>>>()?;
            ties.sort_unstable_by(|a, b| ids.get(&a.number).cmp(&ids.get(&b.number)));
        }
        Ok(rows.into_iter().map(|row| row.number).collect())
    }

    fn table_rows(&self, row_numbers: &[i64], columns: &[TableColumn]) -> Result<Vec<TableRow>> {
        let numbers =
            Rc::new(row_numbers.iter().map(|row| SqlValue::from(*row)).collect::<Vec<_>>());
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {INFO_COLUMNS}, rowid FROM runs WHERE rowid IN rarray(?1)"
        ))?;
        let found = statement
            .query_map([numbers], |row| Ok((row.get::<_, i64>(9)?, info_from_row(row)?)))?;
        let mut infos = found.collect::<rusqlite::Result<HashMap<_, _>>>()?;
        let mut rows: Vec<TableRow> = row_numbers
            .iter()
            .filter_map(|number| infos.remove(number))
            .map(|info| TableRow {
                info,
                metrics: HashMap::new(),
                params: HashMap::new(),
                tags: HashMap::new(),
            })
            .collect();
        let places: HashMap<RunId, usize> =
            rows.iter().enumerate().map(|(place, row)| (row.info.run_id.clone(), place)).collect();
        let ids: Rc<Vec<SqlValue>> =
            Rc::new(places.keys().map(|id| SqlValue::from(id.to_string())).collect());

        let keys = |pick: fn(&TableColumn) -> Option<&String>| {
            Rc::new(
                columns.iter().filter_map(pick).cloned().map(SqlValue::from).collect::<Vec<_>>(),
            )
        };
        let metrics = keys(|column| match column {
            TableColumn::Metric(key) => Some(key),
            _ => None,
        });
        let params = keys(|column| match column {
            TableColumn::Param(key) => Some(key),
            _ => None,
        });
        let tags = keys(|column| match column {
            TableColumn::Tag(key) => Some(key),
            _ => None,
        });
        // CROSS JOIN fixes the plan: one seek per run and key, however many keys the runs have.
        if !metrics.is_empty() {
            let mut statement = self.connection.prepare_cached(
                "SELECT m.run_uuid, m.key, m.value, m.is_nan FROM rarray(?1) AS k \
                 CROSS JOIN rarray(?2) AS r CROSS JOIN latest_metrics AS m \
                 WHERE m.key = k.value AND m.run_uuid = r.value",
            )?;
            let mut found = statement.query([&metrics, &ids])?;
            while let Some(row) = found.next()? {
                if let Some(place) = place_of(&places, &row.get::<_, String>(0)?) {
                    let value = MetricValue::from_columns(row.get(2)?, row.get(3)?);
                    rows[place].metrics.insert(row.get(1)?, value);
                }
            }
        }
        for (table, keys, is_param) in [("params", params, true), ("tags", tags, false)] {
            if keys.is_empty() {
                continue;
            }
            let mut statement = self.connection.prepare_cached(&format!(
                "SELECT t.run_uuid, t.key, COALESCE(t.value, '') FROM rarray(?1) AS k \
                 CROSS JOIN rarray(?2) AS r CROSS JOIN {table} AS t \
                 WHERE t.key = k.value AND t.run_uuid = r.value"
            ))?;
            let mut found = statement.query([&keys, &ids])?;
            while let Some(row) = found.next()? {
                if let Some(place) = place_of(&places, &row.get::<_, String>(0)?) {
                    let cells =
                        if is_param { &mut rows[place].params } else { &mut rows[place].tags };
                    cells.insert(row.get(1)?, row.get(2)?);
                }
            }
        }
        Ok(rows)
    }

    /// The keys of the experiments' runs; those in `before` are known to be there.
    fn run_keys(&self, experiments: &[ExperimentId], before: &RunKeys) -> Result<RunKeys> {
        Ok(RunKeys {
            metrics: self.keys_of("latest_metrics", experiments, &before.metrics)?,
            params: self.keys_of("params", experiments, &before.params)?,
            tags: self.keys_of("tags", experiments, &before.tags)?,
        })
    }

    /// The keys of one table that active runs of the experiments have.
    ///
    /// For a small experiment its runs are asked. For a large one the table's keys are found by
    /// jumping through its primary key, and each is kept if some run of the experiment has it;
    /// that ends at the first hit.
    fn keys_of(
        &self,
        table: &str,
        experiments: &[ExperimentId],
        before: &[String],
    ) -> Result<Vec<String>> {
        let ids = Rc::new(experiments.iter().map(|id| SqlValue::from(id.0)).collect::<Vec<_>>());
        let few = self
            .connection
            .prepare_cached(
                "SELECT COUNT(*) FROM (SELECT 1 FROM runs WHERE experiment_id IN rarray(?1) \
                 AND lifecycle_stage = 'active' LIMIT ?2)",
            )?
            .query_row((&ids, SMALL_EXPERIMENT + 1), |row| row.get::<_, i64>(0))?
            <= SMALL_EXPERIMENT;
        if few {
            let mut statement = self.connection.prepare_cached(&format!(
                "SELECT DISTINCT t.key FROM runs AS r CROSS JOIN {table} AS t \
                 WHERE r.experiment_id IN rarray(?1) AND r.lifecycle_stage = 'active' \
                 AND t.run_uuid = r.run_uuid"
            ))?;
            let keys = statement.query_map([ids], |row| row.get(0))?;
            let mut keys = keys.collect::<rusqlite::Result<Vec<String>>>()?;
            keys.sort();
            return Ok(keys);
        }
        let mut keys = Vec::new();
        let mut next = self
            .connection
            .prepare_cached(&format!("SELECT MIN(key) FROM {table} WHERE key > ?1"))?;
        let mut has = self.connection.prepare_cached(&format!(
            "SELECT EXISTS (SELECT 1 FROM {table} AS t CROSS JOIN runs AS r \
             WHERE t.key = ?1 AND r.run_uuid = t.run_uuid AND r.experiment_id IN rarray(?2) \
             AND r.lifecycle_stage = 'active')"
        ))?;
        let mut last = String::new();
        while let Some(key) = next.query_row([&last], |row| row.get::<_, Option<String>>(0))? {
            let is_known = before.binary_search(&key).is_ok();
            if is_known || has.query_row((&key, &ids), |row| row.get(0))? {
                keys.push(key.clone());
            }
            last = key;
        }
        Ok(keys)
    }
}

/// A run on its way into an order.
struct SortRow {
    number: i64,
    start_time: i64,
    value: SortValue,
}

/// What a run is sorted by. Numbers come before text, then NaN, then nothing: the last two in both
/// directions.
enum SortValue {
    Number(f64),
    Text(String),
    NaN,
    Missing,
}

impl SortValue {
    fn of(value: ValueRef<'_>, column: &TableColumn) -> Self {
        match value {
            ValueRef::Integer(number) => Self::Number(number as f64),
            ValueRef::Real(number) => Self::Number(number),
            // A metric that is NaN comes as this text: its column holds a number then.
            ValueRef::Text(b"NaN") if matches!(column, TableColumn::Metric(_)) => Self::NaN,
            ValueRef::Text(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                let may_be_number = matches!(column, TableColumn::Param(_) | TableColumn::Tag(_));
                match text.trim().parse::<f64>() {
                    Ok(number) if may_be_number && !number.is_nan() => Self::Number(number),
                    _ => Self::Text(text.into_owned()),
                }
            }
            ValueRef::Null | ValueRef::Blob(_) => Self::Missing,
        }
    }

    fn compare(&self, other: &Self, ascending: bool) -> CmpOrdering {
        let rank = |value: &Self| match value {
            Self::Number(_) => 0,
            Self::Text(_) => 1,
            Self::NaN => 2,
            Self::Missing => 3,
        };
        let ordering = match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => return rank(self).cmp(&rank(other)),
        };
        if ascending { ordering } else { ordering.reverse() }
    }
}

/// The SQL for what a column sorts by, and the table of keys that it needs, called `o`.
fn sort_value(column: &TableColumn) -> (String, Option<(&'static str, &str)>) {
    match column {
        TableColumn::Start => ("NULLIF(runs.start_time, 0)".into(), None),
        TableColumn::Name => ("runs.name".into(), None),
        TableColumn::Status => ("runs.status".into(), None),
        TableColumn::User => ("NULLIF(runs.user_id, '')".into(), None),
        TableColumn::Duration => {
            let now = cairn_core::UnixMillis::now().0;
            let duration = format!("COALESCE(runs.end_time, {now}) - NULLIF(runs.start_time, 0)");
            (duration, None)
        }
        TableColumn::Metric(key) => {
            ("CASE WHEN o.is_nan THEN 'NaN' ELSE o.value END".into(), Some(("latest_metrics", key)))
        }
        TableColumn::Source => ("o.value".into(), Some(("tags", "mlflow.source.name"))),
        TableColumn::Param(key) => ("o.value".into(), Some(("params", key))),
        TableColumn::Tag(key) => ("o.value".into(), Some(("tags", key))),
    }
}

fn place_of(places: &HashMap<RunId, usize>, id: &str) -> Option<usize> {
    places.get(&id.parse::<RunId>().ok()?).copied()
}

/// What a list depends on: which runs there are, the sorted column, and the filter's fields.
fn dependencies(query: &TableQuery) -> Dependencies {
    let mut kinds = HashSet::from([LISTED]);
    match query.column {
        TableColumn::Start => {}
        TableColumn::Name | TableColumn::Status | TableColumn::Duration | TableColumn::User => {
            kinds.insert(INFO);
        }
        TableColumn::Source | TableColumn::Tag(_) => {
            kinds.insert(TAGS);
        }
        TableColumn::Param(_) => {
            kinds.insert(PARAMS);
        }
        TableColumn::Metric(_) => {
            kinds.insert(METRICS);
        }
    }
    if let Some(filter) = &query.filter {
        filter_dependencies(filter, &mut kinds);
    }
    std::array::from_fn(|kind| kinds.contains(&kind))
}

fn filter_dependencies(filter: &Expr, kinds: &mut HashSet<usize>) {
    match filter {
        Expr::And(parts) => parts.iter().for_each(|part| filter_dependencies(part, kinds)),
        Expr::Compare(comparison) => {
            kinds.insert(match &comparison.field {
                Field::Metric(_) => METRICS,
                Field::Param(_) => PARAMS,
                Field::Tag(_) | Field::Run(RunAttribute::RunName) => TAGS,
                Field::Dataset(_) => INPUTS,
                _ => INFO,
            });
        }
    }
}
