//! Pieces of SQL shared by the searches: conditions from filter comparisons, always with bound
//! values, and pages.

use cairn_core::filter::tree::{Comparison, Expr, Op, Value};
use regex::Regex;
use rusqlite::{
    Connection,
    functions::FunctionFlags,
    types::{Value as SqlValue, ValueRef},
};

/// Our SQL function for the number that a text is.
const NUMBER_FUNCTION: &str = "cairn_number";

/// Adds the functions that filters need to a connection: `regexp(pattern, text)`, which SQLite
/// calls for its operator `REGEXP`, and the number that a text is.
pub(crate) fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("regexp", 2, flags, |context| {
        let pattern = context.get_or_create_aux(0, |pattern| {
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Regex::new(pattern.as_str()?)?)
        })?;
        Ok(context.get_raw(1).as_str_or_null()?.map(|text| pattern.is_match(text)))
    })?;
    connection.create_scalar_function(NUMBER_FUNCTION, 1, flags, |context| {
        Ok(match context.get_raw(0) {
            ValueRef::Text(text) => std::str::from_utf8(text).ok().and_then(number_in),
            ValueRef::Integer(number) => Some(number as f64),
            ValueRef::Real(number) => Some(number),
            ValueRef::Null | ValueRef::Blob(_) => None,
        })
    })
}

/// The number that a text is, white space around it aside; NaN is none.
pub(crate) fn number_in(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| !number.is_nan())
}

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

    /// Appends `NOT` before the sub-query for a key if the comparison asks for rows without it.
    pub fn not_if_absent(&mut self, op: Op) -> &mut Self {
        self.push(if op == Op::IsNull { "NOT " } else { "" })
    }

    /// Appends `AND` and a comparison of the value that a key has, unless only its presence is asked
    /// for. A number against a text compares with the number that the text is, if it is one.
    pub fn and_value(&mut self, column: &str, op: Op, value: &Value) -> &mut Self {
        match (op, value) {
            (Op::IsNull | Op::IsNotNull, _) => self,
            (_, Value::Integer(_) | Value::Number(_)) => {
                let number = format!("{NUMBER_FUNCTION}({column})");
                self.push(" AND ").compare(&number, op, value)
            }
            _ => self.push(" AND ").compare(column, op, value),
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
