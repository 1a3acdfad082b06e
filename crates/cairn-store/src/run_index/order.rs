//! In which order runs are.

use super::{ColumnKey, OrderKey, RunQuery, View, column::Values};
use crate::{ReadTx, Result, sql::number_in};

/// What is found: row numbers in order, and how many runs there were before the filter.
pub(super) struct Found {
    pub rows: Vec<i64>,
    pub unfiltered: usize,
}

/// A place in an order, as a number: what kind of value, then which. Values come first, then NaN,
/// then nothing, in both directions.
type Place = u128;

const TEXT: Place = 1 << 64;
const NAN: Place = 2 << 64;
const MISSING: Place = 3 << 64;

impl View {
    /// The runs of a query.
    pub(super) fn find(&self, tx: &ReadTx<'_>, query: &RunQuery<'_>) -> Result<Found> {
        let mut scope = self.slots.scope(query.experiments, query.view);
        let unfiltered = scope.count();
        if let Some(filter) = query.filter {
            scope.and(&self.select(tx, filter)?);
        }
        let matches: Vec<u32> = scope.iter().map(|slot| slot as u32).collect();
        let ranks = self.slots.ranks();
        let mut keys = query.order.iter().map(|key| self.places(key, &matches, &ranks));
        let first = keys.next().unwrap_or_else(|| vec![0; matches.len()]);
        let others: Vec<Vec<Place>> = keys.collect();
        let mut order: Vec<(Place, u32)> = first.into_iter().zip(0..).collect();
        order.sort_unstable_by(|(a, i), (b, j)| {
            let (i, j) = (*i as usize, *j as usize);
            let (one, other) = (matches[i] as usize, matches[j] as usize);
            a.cmp(b)
                .then_with(|| {
                    let mut compared = others.iter().map(|places| places[i].cmp(&places[j]));
                    compared.find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
                })
                .then_with(|| self.slots.start(other).cmp(&self.slots.start(one)))
                .then_with(|| ranks[one].cmp(&ranks[other]))
        });
        let rows = order.iter().map(|(_, at)| self.slots.row(matches[*at as usize] as usize));
        Ok(Found { rows: rows.collect(), unfiltered })
    }

    /// Where each match stands by one key.
    fn places(&self, key: &OrderKey, matches: &[u32], ranks: &[u32]) -> Vec<Place> {
        let directed = |place: u64| Place::from(if key.ascending { place } else { !place });
        if key.column == ColumnKey::RunId {
            return matches.iter().map(|slot| directed(u64::from(ranks[*slot as usize]))).collect();
        }
        let column = self.column(&key.column);
        let mut places = vec![MISSING; matches.len()];
        // Both lists ascend: one walk over them.
        let mut having = column.slots().iter().enumerate().peekable();
        let texts = match column.values() {
            Values::Texts(texts) => text_places(texts.distinct(), key),
            _ => Vec::new(),
        };
        for (place, slot) in places.iter_mut().zip(matches) {
            while having.next_if(|(_, other)| *other < slot).is_some() {}
            let Some((position, _)) = having.next_if(|(_, other)| *other == slot) else { continue };
            *place = match column.values() {
                Values::Numbers(numbers) if numbers[position].is_nan() => NAN,
                Values::Numbers(numbers) => directed(ascending(numbers[position])),
                Values::Integers(numbers)
                    if key.is_natural
                        && key.column == ColumnKey::Start
                        && numbers[position] == 0 =>
                {
                    MISSING
                }
                Values::Integers(numbers) => {
                    directed(numbers[position].cast_unsigned() ^ (1 << 63))
                }
                Values::Texts(values) => values.code(position).map_or(MISSING, |code| texts[code]),
            };
        }
        places
    }
}

/// Where each of some different texts stands.
fn text_places<'a>(texts: impl ExactSizeIterator<Item = &'a str>, key: &OrderKey) -> Vec<Place> {
    let may_be_number =
        key.is_natural && matches!(key.column, ColumnKey::Param(_) | ColumnKey::Tag(_));
    let texts: Vec<&str> = texts.collect();
    let mut sorted: Vec<usize> = (0..texts.len()).collect();
    sorted.sort_unstable_by_key(|code| texts[*code]);
    let mut places = vec![MISSING; texts.len()];
    let mut rank = 0_u64;
    for (at, code) in sorted.iter().enumerate() {
        // A text that is in the dictionary twice has one place.
        if at > 0 && texts[*code] != texts[sorted[at - 1]] {
            rank += 1;
        }
        let (tier, place) = match number_in(texts[*code]).filter(|_| may_be_number) {
            Some(number) => (0, ascending(number)),
            None if key.is_natural
                && key.column == ColumnKey::UserId
                && texts[*code].is_empty() =>
            {
                continue;
            }
            None => (TEXT, rank),
        };
        places[*code] = tier | Place::from(if key.ascending { place } else { !place });
    }
    places
}

/// A number whose order as an unsigned integer is that of the doubles; both zeros are one.
fn ascending(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

#[cfg(test)]
mod tests {
    use super::ascending;

    #[test]
    fn doubles_keep_their_order() {
        let numbers = [f64::MIN, -2.0, -1e-300, -0.0, 5e-324, 1.0, f64::MAX, f64::INFINITY];
        assert!(numbers.windows(2).all(|pair| ascending(pair[0]) < ascending(pair[1])));
        assert_eq!(ascending(-0.0), ascending(0.0));
    }
}
