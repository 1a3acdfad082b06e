//! The run index: what runs are searched and sorted by, in memory, column by column.
//!
//! MLflow's tables keep one row per run and key, and their indexes lead from a key to runs in the
//! order of ids: a filter on one metric ordered by another costs a look-up per run and key. Here a
//! key that was asked for once is a column, so that a filter is a walk over numbers and an order a
//! sort of them. Nothing is added to the file.
//!
//! The index is kept current by what the change feed tells ([`versions`]): runs that changed are
//! read again before the next answer, and everything after another program wrote. What is found is
//! kept as a list of row numbers ([`lists`]) until something that it depends on changes, so that a
//! page anywhere costs its own rows only.

mod bits;
mod column;
mod lists;
mod order;
mod select;
mod slots;
mod texts;
mod versions;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use cairn_core::{
    ExperimentId, ViewType,
    filter::tree::{Expr, Field, RunAttribute},
};

use crate::{ReadTx, Result, readers::Readers, runs::RUN_NAME_TAG};

use column::Column;
use lists::Lists;
pub(crate) use lists::RunList;
use slots::Slots;
use versions::Marks;
pub(crate) use versions::{Kind, Stamp, Versions};

/// Columns are dropped, the longest unused first, when they take more than this, bytes.
const COLUMNS_MAX: usize = 256 << 20;

/// Something that runs are filtered or sorted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ColumnKey {
    /// The latest value of a metric.
    Metric(String),
    /// A parameter.
    Param(String),
    /// A tag.
    Tag(String),
    /// The run's name as the run has it; filters compare the tag.
    Name,
    Status,
    ArtifactUri,
    UserId,
    /// Its number.
    Experiment,
    Start,
    End,
    /// From start to end, or until now.
    Duration,
    RunId,
}

impl ColumnKey {
    /// The column of a field; `None` for what is asked of the database (datasets).
    pub fn of(field: &Field) -> Option<Self> {
        Some(match field {
            Field::Metric(key) => Self::Metric(key.clone()),
            Field::Param(key) => Self::Param(key.clone()),
            Field::Tag(key) => Self::Tag(key.clone()),
            Field::Run(attribute) => match attribute {
                RunAttribute::RunId => Self::RunId,
                RunAttribute::RunName => Self::Tag(RUN_NAME_TAG.to_owned()),
                RunAttribute::Status => Self::Status,
                RunAttribute::ArtifactUri => Self::ArtifactUri,
                RunAttribute::UserId => Self::UserId,
                RunAttribute::StartTime => Self::Start,
                RunAttribute::EndTime => Self::End,
                RunAttribute::Duration => Self::Duration,
            },
            _ => return None,
        })
    }

    /// The kind of change that disturbs the column.
    fn kind(&self) -> Kind {
        match self {
            Self::Metric(_) => Kind::Metrics,
            Self::Param(_) => Kind::Params,
            Self::Tag(_) => Kind::Tags,
            Self::RunId => Kind::Listed,
            _ => Kind::Info,
        }
    }

    /// The columns to read for it.
    fn stored(&self) -> Vec<Self> {
        match self {
            Self::RunId => Vec::new(),
            Self::Duration => vec![Self::Start, Self::End],
            stored => vec![stored.clone()],
        }
    }
}

/// One key of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderKey {
    /// What is sorted by.
    pub column: ColumnKey,
    /// Smallest first. Runs without a value come last either way, behind those whose metric is NaN.
    pub ascending: bool,
    /// Whether texts that are numbers sort as numbers, before other texts, and a start of 0 or an
    /// empty user counts as none: what a person expects, and MLflow does not do.
    pub is_natural: bool,
}

/// Which runs, in which order; ties by newest start, then by id.
#[derive(Debug, Clone)]
pub(crate) struct RunQuery<'a> {
    pub experiments: &'a [ExperimentId],
    pub view: ViewType,
    pub filter: Option<&'a Expr>,
    pub order: Vec<OrderKey>,
}

impl RunQuery<'_> {
    /// The columns that it needs.
    fn columns(&self) -> HashSet<ColumnKey> {
        let mut found: HashSet<_> = self.order.iter().map(|key| key.column.clone()).collect();
        if let Some(filter) = self.filter {
            visit_fields(filter, &mut |field| found.extend(ColumnKey::of(field)));
        }
        found
    }

    /// The kinds of change that disturb its answer.
    fn dependencies(&self) -> HashSet<Kind> {
        let mut kinds: HashSet<_> = self.columns().iter().map(ColumnKey::kind).collect();
        kinds.insert(Kind::Listed);
        if let Some(filter) = self.filter {
            visit_fields(filter, &mut |field| {
                if matches!(field, Field::Dataset(_)) {
                    kinds.insert(Kind::Inputs);
                }
            });
        }
        kinds
    }
}

/// Calls `visit` with every field that a filter compares.
fn visit_fields(filter: &Expr, visit: &mut impl FnMut(&Field)) {
    match filter {
        Expr::And(parts) | Expr::Or(parts) => {
            for part in parts {
                visit_fields(part, visit);
            }
        }
        Expr::Not(part) => visit_fields(part, visit),
        Expr::Compare(comparison) => visit(&comparison.field),
    }
}

/// How much the columns of an index hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexSize {
    /// Columns.
    pub columns: usize,
    /// Values in them, one per run that has the key.
    pub values: usize,
    /// Memory of the columns and of the list of runs, bytes.
    pub bytes: usize,
}

/// The index of one open store. Empty until something is asked.
#[derive(Default)]
pub(crate) struct RunIndex {
    pub versions: Arc<Versions>,
    state: Mutex<State>,
    lists: Lists,
}

/// What the index holds; complete or empty.
#[derive(Default)]
struct State {
    slots: Option<Arc<Slots>>,
    columns: HashMap<ColumnKey, Held>,
    /// Row numbers hold as long as the schema does: a migration copies tables.
    schema_version: i64,
    clock: u64,
}

struct Held {
    column: Arc<Column>,
    last_used: u64,
}

/// The index at one moment, with the columns of one query.
struct View {
    slots: Arc<Slots>,
    columns: HashMap<ColumnKey, Arc<Column>>,
    /// Milliseconds since 1970; the end of runs that have none.
    now: i64,
}

impl RunIndex {
    /// Finds runs and hands them to `op`, in the same view of the file.
    ///
    /// Every write that was answered before the call is in what is found.
    pub fn find<T>(
        &self,
        readers: &Readers,
        query: &RunQuery<'_>,
        op: impl Fn(&ReadTx<'_>, &RunList) -> Result<T>,
    ) -> Result<T> {
        let key = lists::key(query);
        let stamp = self.versions.stamp();
        if let Some(list) = self.lists.get(&key, &stamp) {
            let found = readers.read(|tx| {
                let holds = tx.shape.schema_version == list.schema_version;
                if holds { op(tx, &list).map(Some) } else { Ok(None) }
            })?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        // Taken before the view of the file begins: what is taken is in the view, and what comes
        // later is taken next time. The lock is held so that no older view is read in afterwards.
        let mut state = self.state();
        let marks = self.versions.take_marks();
        readers.read(move |tx| {
            let view = match state.refresh(tx, &marks, query) {
                Ok(view) => view,
                Err(error) => {
                    // The marks are gone: what they told of must not be believed any more.
                    *state = State::default();
                    return Err(error);
                }
            };
            drop(state);
            let list = view.find(tx, query)?;
            let version = tx.shape.schema_version;
            let list = self.lists.put(key.clone(), list, version, stamp, query);
            op(tx, &list)
        })
    }

    /// How much the index holds now.
    pub fn size(&self) -> IndexSize {
        let state = self.state();
        let columns = state.columns.values().map(|held| &held.column);
        IndexSize {
            columns: state.columns.len(),
            values: columns.clone().map(|column| column.len()).sum(),
            bytes: columns.map(|column| column.bytes()).sum::<usize>()
                + state.slots.as_ref().map_or(0, |slots| slots.bytes()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            // A panic left it between two states; empty is always right.
            let mut state = poisoned.into_inner();
            *state = State::default();
            self.state.clear_poison();
            state
        })
    }
}

impl State {
    /// Reads in what changed and what the query needs.
    fn refresh(&mut self, tx: &ReadTx<'_>, marks: &Marks, query: &RunQuery<'_>) -> Result<View> {
        if marks.everything || self.schema_version != tx.shape.schema_version {
            self.slots = None;
            self.columns.clear();
            self.schema_version = tx.shape.schema_version;
        }
        if !marks.runs.is_empty() && self.slots.is_some() {
            self.read_again(tx, marks)?;
        }
        let slots = match &self.slots {
            Some(slots) => slots.clone(),
            None => self.slots.insert(Arc::new(Slots::load(tx)?)).clone(),
        };
        self.clock += 1;
        let mut columns = HashMap::new();
        for key in query.columns().iter().flat_map(ColumnKey::stored) {
            if !self.columns.contains_key(&key) {
                let column = Arc::new(Column::load(tx, &key, &slots)?);
                self.columns.insert(key.clone(), Held { column, last_used: 0 });
            }
            let held = self.columns.get_mut(&key).expect("just looked up or read");
            held.last_used = self.clock;
            columns.insert(key, held.column.clone());
        }
        self.drop_unused();
        Ok(View { slots, columns, now: cairn_core::UnixMillis::now().0 })
    }

    /// Reads the runs that changed again, or forgets what many of them disturbed.
    fn read_again(&mut self, tx: &ReadTx<'_>, marks: &Marks) -> Result<()> {
        let Some(slots) = &mut self.slots else { return Ok(()) };
        let many = (slots.len() / 8).max(256);
        if marks.runs.len() > many {
            self.slots = None;
            self.columns.clear();
            return Ok(());
        }
        for (run, facets) in &marks.runs {
            if (facets.listed || facets.info) && !Arc::make_mut(slots).read_again(tx, run)? {
                self.slots = None;
                self.columns.clear();
                return Ok(());
            }
        }
        for (key, held) in &mut self.columns {
            for (run, facets) in &marks.runs {
                if key.kind().is_in(*facets)
                    && let Some(slot) = slots.slot_of(run)
                {
                    Arc::make_mut(&mut held.column).read_again(tx, key, run, slot)?;
                }
            }
        }
        Ok(())
    }

    fn drop_unused(&mut self) {
        let mut bytes: usize = self.columns.values().map(|held| held.column.bytes()).sum();
        while bytes > COLUMNS_MAX {
            let unused = self.columns.iter().filter(|(_, held)| held.last_used < self.clock);
            let Some((key, _)) = unused.min_by_key(|(_, held)| held.last_used) else { break };
            let key = key.clone();
            let dropped = self.columns.remove(&key);
            bytes -= dropped.map_or(0, |held| held.column.bytes());
        }
    }
}
