//! The runs themselves: each has a slot, a small number that columns are sorted by.

use std::{cmp::Ordering, fmt};

use cairn_core::{ExperimentId, RunId, ViewType};
use rusqlite::{OptionalExtension as _, Row};

use super::bits::Bits;
use crate::{ReadTx, Result};

/// Every run of the store, in the order of row numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    /// Row numbers, ascending.
    rows: Vec<i64>,
    ids: Vec<PackedId>,
    experiments: Vec<i64>,
    stages: Vec<Stage>,
    /// Milliseconds since 1970; a run without one counts as started at the earliest time.
    starts: Vec<i64>,
    /// Slots in the order of ids.
    by_id: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Active,
    Deleted,
    /// Neither, by a program that is not MLflow; only searches of all stages see it.
    Other,
    /// The run is not in the file any more.
    Gone,
}

/// A run's id, in half the bytes if it has the usual form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PackedId {
    /// 32 lower-case hexadecimal digits.
    Hex([u8; 16]),
    Other(Box<str>),
}

impl PackedId {
    pub fn new(id: &str) -> Self {
        fn digit(byte: u8) -> Option<u8> {
            match byte {
                b'0'..=b'9' => Some(byte - b'0'),
                b'a'..=b'f' => Some(byte - b'a' + 10),
                _ => None,
            }
        }
        let pack = |digits: &[u8; 32]| {
            let mut packed = [0; 16];
            for (byte, pair) in packed.iter_mut().zip(digits.chunks_exact(2)) {
                *byte = digit(pair[0])? << 4 | digit(pair[1])?;
            }
            Some(Self::Hex(packed))
        };
        id.as_bytes().try_into().ok().and_then(pack).unwrap_or_else(|| Self::Other(id.into()))
    }
}

impl fmt::Display for PackedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hex(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Ord for PackedId {
    /// The order of the texts.
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Hex(a), Self::Hex(b)) => a.cmp(b),
            (Self::Other(a), Self::Other(b)) => a.cmp(b),
            _ => self.to_string().cmp(&other.to_string()),
        }
    }
}

impl PartialOrd for PackedId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What a slot is made from.
struct SlotRow {
    row: i64,
    id: PackedId,
    experiment: i64,
    stage: Stage,
    start: i64,
}

const COLUMNS: &str = "rowid, run_uuid, experiment_id, lifecycle_stage, start_time";

fn slot_row(row: &Row<'_>) -> rusqlite::Result<SlotRow> {
    Ok(SlotRow {
        row: row.get(0)?,
        id: PackedId::new(row.get_ref(1)?.as_str()?),
        experiment: row.get::<_, Option<i64>>(2)?.unwrap_or_default(),
        stage: match row.get_ref(3)?.as_bytes_or_null()? {
            Some(b"active") => Stage::Active,
            Some(b"deleted") => Stage::Deleted,
            _ => Stage::Other,
        },
        start: row.get::<_, Option<i64>>(4)?.unwrap_or(i64::MIN),
    })
}

impl Slots {
    pub fn load(tx: &ReadTx<'_>) -> Result<Self> {
        let mut slots = Self::default();
        let mut statement =
            tx.connection.prepare_cached(&format!("SELECT {COLUMNS} FROM runs ORDER BY rowid"))?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            slots.push(slot_row(row)?);
        }
        slots.rows.shrink_to_fit();
        slots.ids.shrink_to_fit();
        slots.experiments.shrink_to_fit();
        slots.stages.shrink_to_fit();
        slots.starts.shrink_to_fit();
        let mut by_id: Vec<u32> = (0..slots.len() as u32).collect();
        by_id.sort_unstable_by(|a, b| slots.ids[*a as usize].cmp(&slots.ids[*b as usize]));
        slots.by_id = by_id;
        Ok(slots)
    }

    fn push(&mut self, row: SlotRow) {
        self.rows.push(row.row);
        self.ids.push(row.id);
        self.experiments.push(row.experiment);
        self.stages.push(row.stage);
        self.starts.push(row.start);
    }

    /// Reads one run again, or for the first time. False if it has a row number that was another
    /// run's: then nothing here can be trusted.
    pub fn read_again(&mut self, tx: &ReadTx<'_>, run: &RunId) -> Result<bool> {
        let row = tx
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM runs WHERE run_uuid = ?1"))?
            .query_row([run.as_str()], slot_row)
            .optional()?;
        match (self.slot_of(run).map(|slot| slot as usize), row) {
            (None, None) => {}
            (Some(slot), None) => self.stages[slot] = Stage::Gone,
            (Some(slot), Some(row)) if row.row == self.rows[slot] => {
                self.experiments[slot] = row.experiment;
                self.stages[slot] = row.stage;
                self.starts[slot] = row.start;
            }
            (None, Some(row)) if self.rows.last().is_none_or(|last| *last < row.row) => {
                let place = self.place_of(&row.id).unwrap_or_else(|place| place);
                self.by_id.insert(place, self.len() as u32);
                self.push(row);
            }
            (_, Some(_)) => return Ok(false),
        }
        Ok(true)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn bytes(&self) -> usize {
        size_of::<i64>()
            * (self.rows.capacity() + self.experiments.capacity() + self.starts.capacity())
            + size_of::<PackedId>() * self.ids.capacity()
            + self.stages.capacity()
            + size_of::<u32>() * self.by_id.capacity()
    }

    pub fn row(&self, slot: usize) -> i64 {
        self.rows[slot]
    }

    pub fn id(&self, slot: usize) -> &PackedId {
        &self.ids[slot]
    }

    pub fn start(&self, slot: usize) -> i64 {
        self.starts[slot]
    }

    pub fn slot_of(&self, run: &RunId) -> Option<u32> {
        self.place_of(&PackedId::new(run.as_str())).ok().map(|place| self.by_id[place])
    }

    pub fn slot_of_row(&self, row: i64) -> Option<usize> {
        self.rows.binary_search(&row).ok()
    }

    /// Where each slot stands in the order of ids.
    pub fn ranks(&self) -> Vec<u32> {
        let mut ranks = vec![0; self.len()];
        for (rank, slot) in self.by_id.iter().enumerate() {
            ranks[*slot as usize] = rank as u32;
        }
        ranks
    }

    /// Finds slots of ids that come in their order, faster than one by one.
    pub fn by_ascending_id(&self) -> impl FnMut(&str) -> Option<u32> + '_ {
        let mut next = 0;
        move |id| {
            let id = PackedId::new(id);
            let here = self.by_id.get(next).is_some_and(|slot| self.ids[*slot as usize] == id);
            if !here {
                next = self.place_of(&id).ok()?;
            }
            next += 1;
            Some(self.by_id[next - 1])
        }
    }

    /// The runs of some experiments in the stages that are looked at.
    pub fn scope(&self, experiments: &[ExperimentId], view: ViewType) -> Bits {
        let mut wanted: Vec<i64> = experiments.iter().map(|id| id.0).collect();
        wanted.sort_unstable();
        let mut bits = Bits::none(self.len());
        for (slot, (stage, experiment)) in self.stages.iter().zip(&self.experiments).enumerate() {
            let is_seen = match view {
                ViewType::ActiveOnly => *stage == Stage::Active,
                ViewType::DeletedOnly => *stage == Stage::Deleted,
                ViewType::All => *stage != Stage::Gone,
            };
            if is_seen && wanted.binary_search(experiment).is_ok() {
                bits.insert(slot);
            }
        }
        bits
    }

    fn place_of(&self, id: &PackedId) -> Result<usize, usize> {
        self.by_id.binary_search_by(|slot| self.ids[*slot as usize].cmp(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_ids_keep_text_and_order() {
        let mut ids = [
            "00112233445566778899aabbccddeeff",
            "ffffffffffffffffffffffffffffffff",
            "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
            "0011",
            "run-1",
            "g0112233445566778899aabbccddeeff",
        ];
        for id in ids {
            assert_eq!(PackedId::new(id).to_string(), id);
        }
        let mut packed = ids.map(PackedId::new);
        packed.sort();
        ids.sort_unstable();
        assert_eq!(packed.map(|id| id.to_string()), ids.map(str::to_owned));
        assert_eq!(
            PackedId::new("00112233445566778899aabbccddeeff"),
            PackedId::Hex([
                0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255
            ])
        );
    }
}
