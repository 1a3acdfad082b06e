//! Searching runs: MLflow's language over the run index.

use std::{collections::HashMap, rc::Rc};

use cairn_core::{
    ExperimentId, Invalid, ViewType,
    filter::tree::{Comparison, DatasetAttribute, Expr, Field, OrderItem},
};
use rusqlite::types::Value;

use crate::{
    ReadTx, Result, Store, StoreError,
    run_index::{ColumnKey, OrderKey, RunQuery},
    runs::{INFO_COLUMNS, Run, RunInfo, info_from_row},
    sql::{Page, Sql},
};

/// A search of runs.
#[derive(Debug, Clone, Default)]
pub struct SearchRuns {
    /// Whose runs; none find nothing.
    pub experiment_ids: Vec<ExperimentId>,
    /// Parsed for [`cairn_core::filter::Entity::Runs`].
    pub filter: Option<Expr>,
    /// Empty: newest first. Ties: newest first, then by id.
    pub order: Vec<OrderItem>,
    /// Which stages.
    pub view: ViewType,
    /// Rows at most.
    pub max_results: usize,
    /// Rows to leave out.
    pub offset: usize,
}

impl Store {
    /// [`Store::search_runs_blocking`], off the async threads.
    ///
    /// Panics outside a tokio runtime.
    pub async fn search_runs(&self, search: SearchRuns) -> Result<Page<Run>> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.search_runs_blocking(&search))
            .await
            .map_err(|error| StoreError::Fault(error.to_string()))?
    }

    /// A page of runs with all that belongs to them.
    ///
    /// Runs without the key that is sorted by come last in both directions; for metrics the order
    /// is values, then NaN, then none. The first search for a key reads it from the file, later ones
    /// find it in memory.
    pub fn search_runs_blocking(&self, search: &SearchRuns) -> Result<Page<Run>> {
        if search.experiment_ids.is_empty() {
            return Ok(Page { items: Vec::new(), next_offset: None });
        }
        let order = search.order.iter().map(order_key).collect::<Result<_>>()?;
        let query = RunQuery {
            experiments: &search.experiment_ids,
            view: search.view,
            filter: search.filter.as_ref(),
            order,
        };
        self.find_runs(&query, |tx, list| {
            let end = search.offset.saturating_add(search.max_results).min(list.rows.len());
            let rows = list.rows.get(search.offset..end).unwrap_or_default();
            let items = tx
                .infos_by_row(rows)?
                .into_iter()
                .map(|info| tx.complete_run(info))
                .collect::<Result<_>>()?;
            Ok(Page { items, next_offset: (end < list.rows.len()).then_some(end) })
        })
    }
}

fn order_key(item: &OrderItem) -> Result<OrderKey> {
    let column = ColumnKey::of(&item.field)
        .ok_or_else(|| Invalid::new("Runs cannot be ordered by this field"))?;
    Ok(OrderKey { column, ascending: item.ascending, is_natural: false })
}

impl ReadTx<'_> {
    /// The facts of runs with these row numbers, in their order; runs that are gone are left out.
    pub(crate) fn infos_by_row(&self, rows: &[i64]) -> Result<Vec<RunInfo>> {
        let numbers = Rc::new(rows.iter().map(|row| Value::from(*row)).collect::<Vec<_>>());
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {INFO_COLUMNS}, rowid FROM runs WHERE rowid IN rarray(?1)"
        ))?;
        let mut infos = statement
            .query_map([numbers], |row| Ok((row.get::<_, i64>(9)?, info_from_row(row)?)))?
            .collect::<rusqlite::Result<HashMap<_, _>>>()?;
        Ok(rows.iter().filter_map(|row| infos.remove(row)).collect())
    }

    /// The row numbers of runs that used a dataset for which a comparison holds, or for negated
    /// operators one for which it holds that way.
    pub(crate) fn runs_with_dataset(&self, comparison: &Comparison) -> Result<Vec<i64>> {
        let Field::Dataset(attribute) = comparison.field else {
            return Err(Invalid::new("This field is not searchable for runs").into());
        };
        if !self.shape.has_inputs {
            return Ok(Vec::new());
        }
        let mut sql = Sql::default();
        sql.push(
            "SELECT DISTINCT runs.rowid FROM inputs AS i \
             JOIN datasets AS d ON d.dataset_uuid = i.source_id \
             JOIN runs ON runs.run_uuid = i.destination_id",
        );
        if attribute == DatasetAttribute::Context {
            sql.push(
                " JOIN input_tags AS t ON t.input_uuid = i.input_uuid \
                 AND t.name = 'mlflow.data.context'",
            );
        }
        sql.push(" WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND ");
        let column = match attribute {
            DatasetAttribute::Name => "d.name",
            DatasetAttribute::Digest => "d.digest",
            DatasetAttribute::Context => "t.value",
        };
        sql.compare(column, comparison.op, &comparison.value);
        let mut statement = self.connection.prepare_cached(&sql.text)?;
        let rows = statement.query_map(sql.params(), |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
