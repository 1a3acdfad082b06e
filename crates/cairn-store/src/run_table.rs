//! The run table's data path: a slice of an ordered list of runs, with the cells asked for.

use std::{collections::HashMap, rc::Rc};

use cairn_core::{ExperimentId, MetricValue, RunId, ViewType, filter::tree::Expr};
use rusqlite::types::Value as SqlValue;

use crate::{
    ReadTx, Result, Store,
    run_index::{ColumnKey, OrderKey, RunQuery},
    runs::RunInfo,
};

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
    /// Its experiment, sorted by its number: in the order in which experiments were made.
    Experiment,
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
    /// The filter, parsed for runs.
    pub filter: Option<Expr>,
    /// What is sorted by: the first key decides, the next ones where it is equal. Ties by newest
    /// start.
    pub order: Vec<TableOrder>,
    /// Deleted runs instead of active ones.
    pub deleted: bool,
}

/// One key of the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOrder {
    /// The column.
    pub column: TableColumn,
    /// Smallest first. Runs without a value come last either way.
    pub ascending: bool,
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

impl TableOrder {
    fn key(&self) -> OrderKey {
        let column = match &self.column {
            TableColumn::Name => ColumnKey::Name,
            TableColumn::Status => ColumnKey::Status,
            TableColumn::Start => ColumnKey::Start,
            TableColumn::Duration => ColumnKey::Duration,
            TableColumn::Source => ColumnKey::Tag("mlflow.source.name".to_owned()),
            TableColumn::User => ColumnKey::UserId,
            TableColumn::Experiment => ColumnKey::Experiment,
            TableColumn::Param(key) => ColumnKey::Param(key.clone()),
            TableColumn::Metric(key) => ColumnKey::Metric(key.clone()),
            TableColumn::Tag(key) => ColumnKey::Tag(key.clone()),
        };
        OrderKey { column, ascending: self.ascending, is_natural: true }
    }
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
        let runs = RunQuery {
            experiments: &query.experiment_ids,
            view: if query.deleted { ViewType::DeletedOnly } else { ViewType::ActiveOnly },
            filter: query.filter.as_ref(),
            order: query.order.iter().map(TableOrder::key).collect(),
        };
        self.find_runs(&runs, |tx, list| {
            let end = offset.saturating_add(limit).min(list.rows.len());
            let slice = list.rows.get(offset..end).unwrap_or_default();
            Ok(TablePage {
                total: list.rows.len() as u64,
                unfiltered_total: list.unfiltered as u64,
                rows: tx.table_rows(slice, columns)?,
            })
        })
    }
}

impl ReadTx<'_> {
    fn table_rows(&self, row_numbers: &[i64], columns: &[TableColumn]) -> Result<Vec<TableRow>> {
        let infos = self.infos_by_row(row_numbers)?;
        let mut rows: Vec<TableRow> = infos
            .into_iter()
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
}

fn place_of(places: &HashMap<RunId, usize>, id: &str) -> Option<usize> {
    places.get(&id.parse::<RunId>().ok()?).copied()
}
