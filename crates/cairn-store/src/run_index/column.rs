//! One key of all runs that have it.

use cairn_core::RunId;
use rusqlite::{OptionalExtension as _, types::ValueRef};

use super::{
    ColumnKey,
    slots::Slots,
    texts::{Texts, TextsBuilder},
};
use crate::{ReadTx, Result};

/// Values by slot, ascending. Runs without the key take no room.
#[derive(Debug, Clone)]
pub(super) struct Column {
    slots: Vec<u32>,
    values: Values,
}

/// The values of a column, in the order of its slots.
#[derive(Debug, Clone)]
pub(super) enum Values {
    /// Metrics as the file has them: infinities clamped, NaN where it is flagged.
    Numbers(Vec<f64>),
    /// Times.
    Integers(Vec<i64>),
    Texts(Texts),
}

/// A value on its way into a column.
enum Value<'a> {
    Number(f64),
    Integer(i64),
    Text(Option<&'a str>),
}

/// Where the values of a column are in the file.
struct Source {
    /// What stands between SELECT and WHERE: the value, and for metrics whether it is NaN.
    value: &'static str,
    table: &'static str,
    /// The key, for tables that have one row per run and key.
    key: Option<String>,
}

impl Source {
    fn of(key: &ColumnKey) -> Self {
        let (value, table, key) = match key {
            ColumnKey::Metric(key) => ("value, is_nan", "latest_metrics", Some(key.clone())),
            ColumnKey::Param(key) => ("value, 0", "params", Some(key.clone())),
            ColumnKey::Tag(key) => ("value, 0", "tags", Some(key.clone())),
            ColumnKey::Name => ("name, 0", "runs", None),
            ColumnKey::Status => ("status, 0", "runs", None),
            ColumnKey::ArtifactUri => ("artifact_uri, 0", "runs", None),
            ColumnKey::UserId => ("user_id, 0", "runs", None),
            ColumnKey::Experiment => ("experiment_id, 0", "runs", None),
            ColumnKey::Start => ("start_time, 0", "runs", None),
            ColumnKey::End => ("end_time, 0", "runs", None),
            ColumnKey::Duration | ColumnKey::RunId => {
                unreachable!("put together from other columns")
            }
        };
        Self { value, table, key }
    }
}

impl Column {
    /// Reads a column of [`ColumnKey::stored`].
    pub fn load(tx: &ReadTx<'_>, key: &ColumnKey, slots: &Slots) -> Result<Self> {
        let Source { value, table, key: wanted } = Source::of(key);
        let mut builder = Builder::new(key);
        let Some(wanted) = wanted else {
            let sql = format!("SELECT rowid, {value} FROM {table} ORDER BY rowid");
            let mut statement = tx.connection.prepare_cached(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if let Some(slot) = slots.slot_of_row(row.get(0)?)
                    && let Some(value) = read(key, row.get_ref(1)?, row.get_ref(2)?)
                {
                    builder.push(slot as u32, &value);
                }
            }
            return Ok(builder.finish());
        };
        // The primary key leads from the key to the runs in the order of their ids, and has all that
        // is asked here. The rows themselves lie in the order of logging: read in that order, each
        // page of the file is read once.
        let sql = format!("SELECT rowid, run_uuid FROM {table} WHERE key = ?1 ORDER BY run_uuid");
        let mut statement = tx.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([wanted])?;
        let mut slot_of = slots.by_ascending_id();
        let mut places: Vec<(i64, u32)> = Vec::new();
        while let Some(row) = rows.next()? {
            // A row whose run is gone belongs to nothing.
            if let Some(slot) = slot_of(text(row.get_ref(1)?)) {
                places.push((row.get(0)?, slot));
            }
        }
        places.sort_unstable();
        let sql = format!("SELECT {value} FROM {table} WHERE rowid = ?1");
        let mut statement = tx.connection.prepare_cached(&sql)?;
        for (row, slot) in places {
            let mut found = statement.query([row])?;
            if let Some(row) = found.next()?
                && let Some(value) = read(key, row.get_ref(0)?, row.get_ref(1)?)
            {
                builder.push(slot, &value);
            }
        }
        Ok(builder.finish())
    }

    /// Reads the value of one run again.
    pub fn read_again(
        &mut self,
        tx: &ReadTx<'_>,
        key: &ColumnKey,
        run: &RunId,
        slot: u32,
    ) -> Result<()> {
        let Source { value, table, key: wanted } = Source::of(key);
        let condition = if wanted.is_some() { "key = ?2" } else { "?2 IS NULL" };
        let sql = format!("SELECT {value} FROM {table} WHERE run_uuid = ?1 AND {condition}");
        tx.connection
            .prepare_cached(&sql)?
            .query_row((run.as_str(), wanted), |row| {
                self.set(slot, read(key, row.get_ref(0)?, row.get_ref(1)?).as_ref());
                Ok(())
            })
            .optional()?
            .unwrap_or_else(|| self.set(slot, None));
        Ok(())
    }

    /// A column that is put together from others.
    pub fn integers(values: impl Iterator<Item = (u32, i64)>) -> Self {
        let (slots, values) = values.unzip();
        Self { slots, values: Values::Integers(values) }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn bytes(&self) -> usize {
        let values = match &self.values {
            Values::Numbers(numbers) => size_of::<f64>() * numbers.capacity(),
            Values::Integers(numbers) => size_of::<i64>() * numbers.capacity(),
            Values::Texts(texts) => texts.memory(),
        };
        values + size_of::<u32>() * self.slots.capacity()
    }

    /// Slots that have a value, ascending.
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Their values.
    pub fn values(&self) -> &Values {
        &self.values
    }

    fn set(&mut self, slot: u32, value: Option<&Value<'_>>) {
        let Some(value) = value else {
            if let Ok(position) = self.slots.binary_search(&slot) {
                self.slots.remove(position);
                match &mut self.values {
                    Values::Numbers(numbers) => drop(numbers.remove(position)),
                    Values::Integers(numbers) => drop(numbers.remove(position)),
                    Values::Texts(texts) => texts.remove(position),
                }
            }
            return;
        };
        match self.slots.binary_search(&slot) {
            Ok(position) => match (&mut self.values, value) {
                (Values::Numbers(numbers), Value::Number(number)) => numbers[position] = *number,
                (Values::Integers(numbers), Value::Integer(number)) => numbers[position] = *number,
                (Values::Texts(texts), Value::Text(text)) => texts.replace(position, *text),
                _ => unreachable!("a key always has one kind of value"),
            },
            Err(position) => {
                self.slots.insert(position, slot);
                match (&mut self.values, value) {
                    (Values::Numbers(numbers), Value::Number(number)) => {
                        numbers.insert(position, *number);
                    }
                    (Values::Integers(numbers), Value::Integer(number)) => {
                        numbers.insert(position, *number);
                    }
                    (Values::Texts(texts), Value::Text(text)) => texts.insert(position, *text),
                    _ => unreachable!("a key always has one kind of value"),
                }
            }
        }
    }
}

/// Collects values in the order of the file.
struct Builder {
    slots: Vec<u32>,
    numbers: Vec<f64>,
    integers: Vec<i64>,
    texts: TextsBuilder,
    kind: fn(Self, &[usize]) -> Values,
}

impl Builder {
    fn new(key: &ColumnKey) -> Self {
        fn ordered<T: Copy>(values: &[T], order: &[usize]) -> Vec<T> {
            order.iter().map(|position| values[*position]).collect()
        }
        Self {
            slots: Vec::new(),
            numbers: Vec::new(),
            integers: Vec::new(),
            texts: TextsBuilder::default(),
            kind: match key {
                ColumnKey::Metric(_) => {
                    |built, order| Values::Numbers(ordered(&built.numbers, order))
                }
                ColumnKey::Start | ColumnKey::End | ColumnKey::Experiment => {
                    |built, order| Values::Integers(ordered(&built.integers, order))
                }
                _ => |built, order| Values::Texts(built.texts.finish_in_order(order)),
            },
        }
    }

    fn push(&mut self, slot: u32, value: &Value<'_>) {
        self.slots.push(slot);
        match value {
            Value::Number(number) => self.numbers.push(*number),
            Value::Integer(number) => self.integers.push(*number),
            Value::Text(text) => self.texts.push(*text),
        }
    }

    fn finish(self) -> Column {
        let mut order: Vec<usize> = (0..self.slots.len()).collect();
        order.sort_unstable_by_key(|position| self.slots[*position]);
        let slots = order.iter().map(|position| self.slots[*position]).collect();
        let kind = self.kind;
        Column { slots, values: kind(self, &order) }
    }
}

/// A text as far as it is one; an id never is anything else.
fn text(value: ValueRef<'_>) -> &str {
    value.as_str().unwrap_or_default()
}

/// A value of the file; `None` where a fact of a run is NULL, which it then does not have.
fn read<'a>(key: &ColumnKey, value: ValueRef<'a>, is_nan: ValueRef<'_>) -> Option<Value<'a>> {
    match (key, value) {
        (ColumnKey::Metric(_), _) if !matches!(is_nan, ValueRef::Integer(0) | ValueRef::Null) => {
            Some(Value::Number(f64::NAN))
        }
        (ColumnKey::Metric(_), ValueRef::Real(number)) => Some(Value::Number(number)),
        (ColumnKey::Metric(_), ValueRef::Integer(number)) => Some(Value::Number(number as f64)),
        (ColumnKey::Start | ColumnKey::End | ColumnKey::Experiment, ValueRef::Integer(number)) => {
            Some(Value::Integer(number))
        }
        (ColumnKey::Metric(_) | ColumnKey::Start | ColumnKey::End | ColumnKey::Experiment, _) => {
            None
        }
        (_, ValueRef::Text(bytes)) => Some(Value::Text(std::str::from_utf8(bytes).ok())),
        // A parameter or tag is there even if its value is NULL.
        (ColumnKey::Param(_) | ColumnKey::Tag(_), _) => Some(Value::Text(None)),
        _ => None,
    }
}
