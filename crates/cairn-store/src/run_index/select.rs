//! Which runs a filter matches.

use std::{cmp::Ordering, collections::HashSet, sync::Arc};

use cairn_core::filter::tree::{Comparison, Expr, Op, Value};

use super::{
    ColumnKey, View,
    bits::Bits,
    column::{Column, Values},
    texts::TextTest,
};
use crate::{ReadTx, Result};

impl View {
    /// The slots that match; also of runs that are out of scope.
    pub(super) fn select(&self, tx: &ReadTx<'_>, filter: &Expr) -> Result<Bits> {
        match filter {
            Expr::And(parts) => self.join(tx, parts, Bits::and),
            Expr::Or(parts) => self.join(tx, parts, Bits::or),
            Expr::Not(part) => {
                let mut bits = self.select(tx, part)?;
                bits.invert();
                Ok(bits)
            }
            Expr::Compare(comparison) => self.compare(tx, comparison),
        }
    }

    fn join(
        &self,
        tx: &ReadTx<'_>,
        parts: &[Expr],
        join: impl Fn(&mut Bits, &Bits),
    ) -> Result<Bits> {
        let mut joined: Option<Bits> = None;
        for part in parts {
            let bits = self.select(tx, part)?;
            match &mut joined {
                Some(joined) => join(joined, &bits),
                None => joined = Some(bits),
            }
        }
        Ok(joined.unwrap_or_else(|| Bits::none(self.slots.len())))
    }

    fn compare(&self, tx: &ReadTx<'_>, comparison: &Comparison) -> Result<Bits> {
        let Comparison { field, op, value, .. } = comparison;
        let mut bits = Bits::none(self.slots.len());
        let Some(key) = ColumnKey::of(field) else {
            for row in tx.runs_with_dataset(comparison)? {
                if let Some(slot) = self.slots.slot_of_row(row) {
                    bits.insert(slot);
                }
            }
            return Ok(bits);
        };
        if key == ColumnKey::RunId {
            self.compare_ids(&mut bits, *op, value)?;
            return Ok(bits);
        }
        let column = self.column(&key);
        let having = || column.slots().iter().map(|slot| *slot as usize);
        match (op, column.values()) {
            (Op::IsNotNull, _) => having().for_each(|slot| bits.insert(slot)),
            (Op::IsNull, _) => {
                having().for_each(|slot| bits.insert(slot));
                bits.invert();
            }
            (_, Values::Numbers(numbers)) => {
                for (slot, number) in having().zip(numbers) {
                    if is_number_match(number_order(*number, value), *op) {
                        bits.insert(slot);
                    }
                }
            }
            (_, Values::Integers(numbers)) => {
                for (slot, number) in having().zip(numbers) {
                    if is_number_match(Some(integer_order(*number, value)), *op) {
                        bits.insert(slot);
                    }
                }
            }
            (_, Values::Texts(texts)) => {
                // Each different text is tested once.
                let test = TextTest::new(*op, value)?;
                let holds: Vec<bool> = texts.distinct().map(|text| test.holds(text)).collect();
                for (position, slot) in having().enumerate() {
                    if texts.code(position).is_some_and(|code| holds[code]) {
                        bits.insert(slot);
                    }
                }
            }
        }
        Ok(bits)
    }

    fn compare_ids(&self, bits: &mut Bits, op: Op, value: &Value) -> Result<()> {
        let named: Vec<&String> = match (op, value) {
            (Op::Eq | Op::Ne, Value::Text(text)) => vec![text],
            (Op::In | Op::NotIn, Value::List(texts)) => texts.iter().collect(),
            _ => {
                let test = match op {
                    Op::IsNull | Op::IsNotNull => None,
                    _ => Some(TextTest::new(op, value)?),
                };
                for slot in 0..self.slots.len() {
                    let holds = test.as_ref().map_or(op == Op::IsNotNull, |test| {
                        test.holds(&self.slots.id(slot).to_string())
                    });
                    if holds {
                        bits.insert(slot);
                    }
                }
                return Ok(());
            }
        };
        let named: HashSet<u32> =
            named.into_iter().filter_map(|text| self.slots.slot_of(&text.parse().ok()?)).collect();
        for slot in named {
            bits.insert(slot as usize);
        }
        if matches!(op, Op::Ne | Op::NotIn) {
            bits.invert();
        }
        Ok(())
    }

    /// A column of the query.
    pub(super) fn column(&self, key: &ColumnKey) -> Arc<Column> {
        match key {
            ColumnKey::Duration => Arc::new(self.durations()),
            stored => self.columns[stored].clone(),
        }
    }

    /// From start to end, or until now; none for runs whose start is not known.
    fn durations(&self) -> Column {
        let (start, end) = (&self.columns[&ColumnKey::Start], &self.columns[&ColumnKey::End]);
        let (Values::Integers(starts), Values::Integers(ends)) = (start.values(), end.values())
        else {
            unreachable!("times are integers")
        };
        let mut ended = end.slots().iter().zip(ends).peekable();
        Column::integers(start.slots().iter().zip(starts).filter_map(|(slot, start)| {
            while ended.next_if(|(other, _)| *other < slot).is_some() {}
            let end = ended.next_if(|(other, _)| *other == slot).map_or(self.now, |(_, end)| *end);
            (*start != 0).then(|| (*slot, end.saturating_sub(*start)))
        }))
    }
}

/// How a number of the file stands to that of a filter, exactly; `None` for NaN.
pub(super) fn number_order(number: f64, value: &Value) -> Option<Ordering> {
    match value {
        Value::Integer(other) => {
            (!number.is_nan()).then(|| integer_to_number_order(*other, number).reverse())
        }
        Value::Number(other) => number.partial_cmp(other),
        _ => None,
    }
}

fn integer_order(number: i64, value: &Value) -> Ordering {
    match value {
        Value::Integer(other) => number.cmp(other),
        Value::Number(other) => integer_to_number_order(number, *other),
        // Never met: the parser lets only numbers stand against times.
        _ => Ordering::Less,
    }
}

/// Compares without rounding the integer to a double.
fn integer_to_number_order(integer: i64, number: f64) -> Ordering {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if number >= BEYOND {
        Ordering::Less
    } else if number < -BEYOND {
        Ordering::Greater
    } else {
        // Exact: what is left is in the range of integers.
        let whole = number.trunc();
        integer
            .cmp(&(whole as i64))
            .then_with(|| 0.0.partial_cmp(&(number - whole)).unwrap_or(Ordering::Equal))
    }
}

/// Whether an order is what an operator asks for. NaN (`None`) is unequal to every number.
pub(super) fn is_number_match(order: Option<Ordering>, op: Op) -> bool {
    match op {
        Op::Eq => order == Some(Ordering::Equal),
        Op::Ne => order != Some(Ordering::Equal),
        Op::Gt => order == Some(Ordering::Greater),
        Op::Ge => order.is_some_and(Ordering::is_ge),
        Op::Lt => order == Some(Ordering::Less),
        Op::Le => order.is_some_and(Ordering::is_le),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_and_doubles_compare_exactly(integer: i64, near in -3.0..3.0_f64, far: f64) {
            let connection = rusqlite::Connection::open_in_memory().unwrap();
            for number in [integer as f64 + near, integer as f64, near, far] {
                if number.is_nan() {
                    continue;
                }
                let (less, equal): (bool, bool) = connection
                    .query_row("SELECT ?1 < ?2, ?1 = ?2", (integer, number), |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })
                    .unwrap();
                let order = integer_to_number_order(integer, number);
                prop_assert_eq!((order.is_lt(), order.is_eq()), (less, equal), "{} {}", integer, number);
            }
        }
    }
}
