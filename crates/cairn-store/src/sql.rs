//! Pieces of SQL shared by the searches: conditions from filter comparisons, always with bound
//! values, and pages.

use cairn_core::filter::tree::{Comparison, Expr, Op, Value};
use rusqlite::types::Value as SqlValue;

/// One page of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows, in order.
    pub items: Vec<T>,
    /// Where the next page begins; `None` when this is the last.
    pub next_offset: Option<usize>,
}

impl<T> Page<T> {
    /// Cuts a page out of rows that were read with one more than `max_results`.
    pub(crate) fn from_overfull(mut items: Vec<T>, offset: usize, max_results: usize) -> Self {
        let has_more = items.len() > max_results;
        items.truncate(max_results);
        Self { items, next_offset: has_more.then_some(offset + max_results) }
    }
}

/// A WHERE or ORDER BY being put together: text with `?` and the values for them, in order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sql {
    /// The text.
    pub text: String,
    /// The values of its `?`, in order.
    pub values: Vec<SqlValue>,
}

impl Sql {
    /// Appends text without values.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Appends a `?` and its value.
    pub fn bind(&mut self, value: impl Into<SqlValue>) -> &mut Self {
        self.text.push('?');
        self.values.push(value.into());
        self
    }

    /// Appends `(?, ?, …)`; `(NULL)` for an empty list, which nothing is in.
    pub fn bind_list<V: Into<SqlValue>>(
        &mut self,
        values: impl IntoIterator<Item = V>,
    ) -> &mut Self {
        self.text.push('(');
        let mut is_first = true;
        for value in values {
            if !is_first {
                self.text.push_str(", ");
            }
            is_first = false;
            self.bind(value);
        }
        if is_first {
            self.text.push_str("NULL");
        }
        self.text.push(')');
        self
    }

    /// Appends `column op value` for a text or number column.
    ///
    /// `column` is SQL of ours, never text from outside. LIKE relies on the connection's
    /// `case_sensitive_like`. `IS NULL` and `IS NOT NULL` are about rows, not columns: the caller
    /// renders them.
    pub fn compare(&mut self, column: &str, op: Op, value: &Value) -> &mut Self {
        match (op, value) {
            (Op::ILike | Op::NotILike, value) => {
                let word = if op == Op::ILike { ") LIKE LOWER(" } else { ") NOT LIKE LOWER(" };
                self.push("LOWER(").push(column).push(word).value(value).push(")")
            }
            (Op::In | Op::NotIn, Value::List(items)) => {
                // One value however long the list is: SQLite limits how many there may be.
                let word = if op == Op::In { " IN " } else { " NOT IN " };
                let items = serde_json::Value::from(items.clone()).to_string();
                self.push(column).push(word).push("(SELECT value FROM json_each(");
                self.bind(items).push("))")
            }
            (Op::IsNull, _) => self.push(column).push(" IS NULL"),
            (Op::IsNotNull, _) => self.push(column).push(" IS NOT NULL"),
            (op, value) => self.push(column).push(operator(op)).value(value),
        }
    }

    fn value(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Text(text) => self.bind(text.clone()),
            Value::Integer(number) => self.bind(*number),
            Value::Number(number) => self.bind(*number),
            // Lists and nothing never reach an operator that takes one value: the parser checks.
            Value::List(_) | Value::None => self.push("NULL"),
        }
    }

    /// The values as parameters of a statement.
    pub fn params(&self) -> rusqlite::ParamsFromIter<&Vec<SqlValue>> {
        rusqlite::params_from_iter(&self.values)
    }
}

fn operator(op: Op) -> &'static str {
    match op {
        Op::Eq => " = ",
        Op::Ne => " != ",
        Op::Gt => " > ",
        Op::Ge => " >= ",
        Op::Lt => " < ",
        Op::Le => " <= ",
        Op::Like => " LIKE ",
        Op::NotLike => " NOT LIKE ",
        Op::Regexp => " REGEXP ",
        Op::NotRegexp => " NOT REGEXP ",
        Op::ILike | Op::NotILike | Op::In | Op::NotIn | Op::IsNull | Op::IsNotNull => {
            unreachable!("rendered above")
        }
    }
}

/// Calls `render` for every comparison of a filter, joined by the filter's words.
pub(crate) fn render_filter<E>(
    sql: &mut Sql,
    filter: &Expr,
    render: &mut impl FnMut(&mut Sql, &Comparison) -> Result<(), E>,
) -> Result<(), E> {
    let (parts, word) = match filter {
        Expr::Compare(comparison) => return render(sql, comparison),
        Expr::Not(part) => {
            // What is unknown to SQL does not hold, so its opposite does.
            sql.push("NOT COALESCE(");
            render_filter(sql, part, render)?;
            sql.push(", 0)");
            return Ok(());
        }
        Expr::And(parts) => (parts, " AND "),
        Expr::Or(parts) => (parts, " OR "),
    };
    sql.push("(");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            sql.push(word);
        }
        render_filter(sql, part, render)?;
    }
    sql.push(")");
    Ok(())
}
