//! Searching runs: filters and orders of MLflow's language as bound SQL.

use cairn_core::{
    ExperimentId, Invalid, ViewType,
    filter::tree::{Comparison, DatasetAttribute, Expr, Field, Op, OrderItem, RunAttribute},
};

use crate::{
    ReadTx, Result,
    runs::{INFO_COLUMNS, RUN_NAME_TAG, Run, info_from_row},
    sql::{Page, Sql, render_filter},
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

impl ReadTx<'_> {
    /// A page of runs with all that belongs to them.
    ///
    /// Runs without the key that is sorted by come last in both directions; for metrics the order
    /// is values, then NaN, then none.
    pub fn search_runs(&self, search: &SearchRuns) -> Result<Page<Run>> {
        if search.experiment_ids.is_empty() {
            return Ok(Page { items: Vec::new(), next_offset: None });
        }
        let mut order = Sql::default();
        let mut joins = Sql::default();
        for (index, item) in search.order.iter().enumerate() {
            order_by(&mut joins, &mut order, index, item)?;
        }
        let has_start =
            search.order.iter().any(|item| item.field == Field::Run(RunAttribute::StartTime));
        if !has_start {
            order.push("runs.start_time IS NULL, runs.start_time DESC, ");
        }
        order.push("runs.run_uuid ASC");

        let mut sql = Sql::default();
        sql.push("SELECT ").push(&qualified(INFO_COLUMNS)).push(" FROM runs");
        sql.push(&joins.text).values.append(&mut joins.values);
        sql.push(" WHERE ");
        scope(&mut sql, &search.experiment_ids, search.view);
        if let Some(filter) = &search.filter {
            sql.push(" AND ");
            self.run_filter(&mut sql, filter)?;
        }
        sql.push(" ORDER BY ").push(&order.text);
        sql.push(" LIMIT ").bind(search.max_results as i64 + 1);
        sql.push(" OFFSET ").bind(search.offset as i64);
        let mut statement = self.connection.prepare_cached(&sql.text)?;
        let rows = statement.query_map(sql.params(), info_from_row)?;
        let infos = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let page = Page::from_overfull(infos, search.offset, search.max_results);
        let next_offset = page.next_offset;
        let items =
            page.items.into_iter().map(|info| self.complete_run(info)).collect::<Result<_>>()?;
        Ok(Page { items, next_offset })
    }

    /// Appends the condition of a filter on the table `runs`.
    pub(crate) fn run_filter(&self, sql: &mut Sql, filter: &Expr) -> Result<()> {
        render_filter(sql, filter, &mut |sql, comparison| self.run_condition(sql, comparison))
    }

    fn run_condition(&self, sql: &mut Sql, comparison: &Comparison) -> Result<()> {
        let Comparison { field, op, value, .. } = comparison;
        match field {
            Field::Metric(key) => {
                sql.push(
                    "EXISTS (SELECT 1 FROM latest_metrics AS m \
                     WHERE m.run_uuid = runs.run_uuid AND m.key = ",
                );
                sql.bind(key.clone());
                // NaN is unequal to every number and comparable to none.
                sql.push(if *op == Op::Ne {
                    " AND (m.is_nan OR "
                } else {
                    " AND (NOT m.is_nan AND "
                });
                sql.compare("m.value", *op, value).push("))");
            }
            Field::Param(key) => key_condition(sql, "params", key, comparison),
            Field::Tag(key) => key_condition(sql, "tags", key, comparison),
            Field::Run(RunAttribute::RunName) => {
                key_condition(sql, "tags", RUN_NAME_TAG, comparison);
            }
            Field::Run(attribute) => {
                sql.compare(run_column(*attribute), *op, value);
            }
            Field::Dataset(_) if !self.shape.has_inputs => {
                sql.push("0");
            }
            Field::Dataset(attribute) => {
                sql.push(
                    "EXISTS (SELECT 1 FROM inputs AS i \
                     JOIN datasets AS d ON d.dataset_uuid = i.source_id",
                );
                if *attribute == DatasetAttribute::Context {
                    sql.push(
                        " JOIN input_tags AS t ON t.input_uuid = i.input_uuid \
                         AND t.name = 'mlflow.data.context'",
                    );
                }
                sql.push(
                    " WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' \
                     AND i.destination_id = runs.run_uuid AND ",
                );
                let column = match attribute {
                    DatasetAttribute::Name => "d.name",
                    DatasetAttribute::Digest => "d.digest",
                    DatasetAttribute::Context => "t.value",
                };
                sql.compare(column, *op, value).push(")");
            }
            _ => return Err(Invalid::new("This field is not searchable for runs").into()),
        }
        Ok(())
    }
}

/// Appends which experiments and stages are looked at.
pub(crate) fn scope(sql: &mut Sql, experiments: &[ExperimentId], view: ViewType) {
    sql.push("runs.experiment_id IN ").bind_list(experiments.iter().map(|id| id.0));
    sql.push(match view {
        ViewType::ActiveOnly => " AND runs.lifecycle_stage = 'active'",
        ViewType::DeletedOnly => " AND runs.lifecycle_stage = 'deleted'",
        ViewType::All => "",
    });
}

/// A condition on a key-value table of runs; a run without the key matches only `IS NULL`.
fn key_condition(sql: &mut Sql, table: &str, key: &str, comparison: &Comparison) {
    if comparison.op == Op::IsNull {
        sql.push("NOT ");
    }
    sql.push("EXISTS (SELECT 1 FROM ").push(table);
    sql.push(" AS k WHERE k.run_uuid = runs.run_uuid AND k.key = ").bind(key.to_owned());
    if !matches!(comparison.op, Op::IsNull | Op::IsNotNull) {
        sql.push(" AND ").compare("k.value", comparison.op, &comparison.value);
    }
    sql.push(")");
}

fn order_by(joins: &mut Sql, order: &mut Sql, index: usize, item: &OrderItem) -> Result<()> {
    let direction = if item.ascending { "ASC" } else { "DESC" };
    let (table, key) = match &item.field {
        Field::Metric(key) => ("latest_metrics", key.as_str()),
        Field::Param(key) => ("params", key.as_str()),
        Field::Tag(key) => ("tags", key.as_str()),
        Field::Run(RunAttribute::RunName) => ("tags", RUN_NAME_TAG),
        Field::Run(attribute) => {
            let column = run_column(*attribute);
            order.push(&format!("{column} IS NULL, {column} {direction}, "));
            return Ok(());
        }
        _ => return Err(Invalid::new("Runs cannot be ordered by this field").into()),
    };
    joins.push(&format!(
        " LEFT JOIN {table} AS o{index} ON o{index}.run_uuid = runs.run_uuid AND o{index}.key = "
    ));
    joins.bind(key.to_owned());
    if matches!(item.field, Field::Metric(_)) {
        order.push(&format!(
            "CASE WHEN o{index}.value IS NULL THEN 2 WHEN o{index}.is_nan THEN 1 ELSE 0 END, "
        ));
    } else {
        order.push(&format!("o{index}.value IS NULL, "));
    }
    order.push(&format!("o{index}.value {direction}, "));
    Ok(())
}

fn run_column(attribute: RunAttribute) -> &'static str {
    match attribute {
        RunAttribute::RunId => "runs.run_uuid",
        RunAttribute::RunName => "runs.name",
        RunAttribute::Status => "runs.status",
        RunAttribute::ArtifactUri => "runs.artifact_uri",
        RunAttribute::UserId => "runs.user_id",
        RunAttribute::StartTime => "runs.start_time",
        RunAttribute::EndTime => "runs.end_time",
    }
}

/// [`INFO_COLUMNS`] with their table named, for statements that join others.
fn qualified(columns: &str) -> String {
    columns
        .split(", ")
        .map(|column| match column.strip_prefix("COALESCE(") {
            Some(inner) => format!("COALESCE(runs.{inner}"),
            None if column.starts_with("'')") => column.to_owned(),
            None => format!("runs.{column}"),
        })
        .collect::<Vec<_>>()
        .join(", ")
}
