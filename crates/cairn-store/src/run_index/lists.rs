//! What was found, kept until something that it depends on changes.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{ColumnKey, Kind, RunQuery, Stamp, order::Found};

/// Lists kept; a window shows one, and steps between few.
const KEPT: usize = 12;
/// How long a list that depends on the time of day holds.
const MOMENT: Duration = Duration::from_secs(2);

/// The runs of a query in their order.
#[derive(Debug)]
pub(crate) struct RunList {
    /// Row numbers of `runs`, in order.
    pub rows: Vec<i64>,
    /// Runs before the filter.
    pub unfiltered: usize,
    /// The schema that the row numbers belong to.
    pub schema_version: i64,
    dependencies: HashSet<Kind>,
    stamp: Stamp,
    until: Option<Instant>,
}

/// The kept lists of one store.
#[derive(Default)]
pub(super) struct Lists(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_key: HashMap<String, (Arc<RunList>, u64)>,
    clock: u64,
}

/// Identifies a query: equal for equal ones.
pub(super) fn key(query: &RunQuery<'_>) -> String {
    format!("{query:?}")
}

impl Lists {
    /// A kept list, if nothing that it depends on changed since.
    pub fn get(&self, key: &str, now: &Stamp) -> Option<Arc<RunList>> {
        let mut kept = self.0.lock().expect("no holder of this lock panics");
        kept.clock += 1;
        let clock = kept.clock;
        let (list, last_used) = kept.by_key.get_mut(key)?;
        let holds = list.dependencies.iter().all(|kind| list.stamp.is_same(now, *kind))
            && list.until.is_none_or(|until| Instant::now() < until);
        *last_used = clock;
        holds.then(|| list.clone())
    }

    /// Keeps a list.
    ///
    /// `stamp` was taken before the view of the file began: a commit that falls between is in the
    /// list but not in its stamp, so the list is made once more, and never kept too long.
    pub fn put(
        &self,
        key: String,
        found: Found,
        schema_version: i64,
        stamp: Stamp,
        query: &RunQuery<'_>,
    ) -> Arc<RunList> {
        let Found { rows, unfiltered } = found;
        let is_of_the_moment = query.columns().contains(&ColumnKey::Duration);
        let list = Arc::new(RunList {
            rows,
            unfiltered,
            schema_version,
            dependencies: query.dependencies(),
            stamp,
            until: is_of_the_moment.then(|| Instant::now() + MOMENT),
        });
        let mut kept = self.0.lock().expect("no holder of this lock panics");
        if kept.by_key.len() >= KEPT && !kept.by_key.contains_key(&key) {
            let oldest = kept.by_key.iter().min_by_key(|(_, (_, last_used))| *last_used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                kept.by_key.remove(&oldest);
            }
        }
        let clock = kept.clock;
        kept.by_key.insert(key, (list.clone(), clock));
        list
    }
}
