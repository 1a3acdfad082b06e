//! A metric's points: the three ways to them through MLflow's table, histories in their order, and
//! series for charts, which are kept in memory, and the long ones in files.
//!
//! The table has an index that begins with the key and one of the run alone. Which of them leads to
//! few rows depends on the store: a key may have points of 100,000 runs, and a run points of a hundred
//! keys. What was logged together mostly lies together as well, so that the stretch of the table
//! between a run's first and last row is often the shortest way of all.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use cairn_core::{MetricPoint, MetricValue, RunId};
use rusqlite::{OptionalExtension as _, Row, params};

use crate::{ChangeSet, ReadTx, Result, Store, series_files::WORTH_A_FILE, sql::Page};

/// A stretch of at most so many rows is read whole, without looking for a shorter way.
const SHORT: i64 = 4_096;
/// Rows that are looked at to estimate what a stretch of the table holds.
const PROBES: i64 = 64;
/// A row that is found through the index of runs costs as much as so many in a stretch.
const LOOKUP_COST: f64 = 5.0;

/// Series with fewer points are not kept: reading them costs next to nothing.
const WORTH_KEEPING: usize = 500;
/// Points of all kept series together; each takes 24 bytes. As many as a chart of 20 runs of a million
/// points: half a gigabyte, but only for who looks at so much.
const KEPT_POINTS: usize = 21_000_000;
/// Series that are kept, however short: each question looks through all of them.
const KEPT_SERIES: usize = 2_000;

/// One point of a history, as it lies in the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistoryPoint {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Step.
    pub step: i64,
    /// The column `value`.
    value: f64,
    /// The column `is_nan`.
    is_nan: bool,
}

impl HistoryPoint {
    /// The measured value.
    pub fn value(&self) -> MetricValue {
        MetricValue::from_columns(self.value, self.is_nan)
    }
}

/// Where in a history reading begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HistoryStart {
    /// After so many points.
    Offset(usize),
    /// After this point. Costs the same wherever it is, and points that arrive meanwhile neither hide
    /// others nor show them twice.
    After(HistoryPoint),
}

/// A metric's points for a chart: by step, then time, then arrival.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Steps.
    pub steps: Vec<i64>,
    /// Milliseconds since 1970.
    pub timestamps: Vec<i64>,
    /// Values as a person sees them: what MLflow clamped is an infinity again.
    pub values: Vec<f64>,
    /// The highest row number among the points.
    pub last_row: Option<i64>,
    /// The file's schema version: row numbers hold while it stays the same.
    pub schema_version: i64,
    /// The highest row number of the whole run when the series was read.
    pub(crate) last_row_of_run: Option<i64>,
    /// How many of the points, from the first on, a file has.
    pub(crate) in_file: usize,
}

/// Which rows are looked at for one metric of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// All points of the key, whichever run they belong to, by time.
    Key,
    /// All rows from the run's first to its last.
    Stretch(i64, i64),
    /// All rows of the run, one by one.
    Run,
}

impl Way {
    /// The condition for the run `?1` and the key `?2`; the unary plus keeps an index from being used.
    fn condition(self) -> &'static str {
        match self {
            Self::Key => "key = ?2 AND +run_uuid = ?1 AND ?3 <= ?4",
            Self::Stretch(..) => "rowid BETWEEN ?3 AND ?4 AND +run_uuid = ?1 AND +key = ?2",
            Self::Run => "run_uuid = ?1 AND +key = ?2 AND ?3 <= ?4",
        }
    }

    /// The values of `?3` and `?4`.
    fn bounds(self) -> (i64, i64) {
        match self {
            Self::Stretch(first, last) => (first, last),
            Self::Key | Self::Run => (0, 0),
        }
    }
}

impl ReadTx<'_> {
    /// Visits up to `limit` points of a metric's history, by time, then step, then value. Unknown runs
    /// and keys have none.
    pub fn visit_history(
        &self,
        id: &RunId,
        key: &str,
        start: HistoryStart,
        limit: usize,
        mut visit: impl FnMut(&HistoryPoint),
    ) -> Result<()> {
        let way = self.way_to(id, key)?;
        let (first, last) = way.bounds();
        let (offset, after) = match start {
            HistoryStart::Offset(offset) => (offset, None),
            HistoryStart::After(point) => (0, Some(point)),
        };
        let since = if after.is_some() {
            "(timestamp, step, value, is_nan) > (?7, ?8, ?9, ?10)"
        } else {
            "1"
        };
        // The run is the same in all rows; named in the order, it lets the index of the key serve.
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT timestamp, step, value, is_nan FROM metrics WHERE {} AND {since} \
             ORDER BY timestamp, step, run_uuid, value, is_nan LIMIT ?5 OFFSET ?6",
            way.condition()
        ))?;
        let (limit, offset) = (as_sql(limit), as_sql(offset));
        let mut rows = match after {
            None => statement.query(params![id.as_str(), key, first, last, limit, offset])?,
            Some(HistoryPoint { timestamp, step, value, is_nan }) => statement.query(params![
                id.as_str(),
                key,
                first,
                last,
                limit,
                offset,
                timestamp,
                step,
                value,
                is_nan
            ])?,
        };
        while let Some(row) = rows.next()? {
            visit(&HistoryPoint {
                timestamp: row.get(0)?,
                step: row.get(1)?,
                value: row.get(2)?,
                is_nan: row.get(3)?,
            });
        }
        Ok(())
    }

    /// A metric's history, by time, then step, then value. Unknown runs and keys have none.
    pub fn metric_history(
        &self,
        id: &RunId,
        key: &str,
        max_results: Option<usize>,
        offset: usize,
    ) -> Result<Page<MetricPoint>> {
        let limit = max_results.unwrap_or(i64::MAX as usize - 1);
        let mut points = Vec::new();
        self.visit_history(id, key, HistoryStart::Offset(offset), limit + 1, |point| {
            points.push(MetricPoint {
                key: key.to_owned(),
                value: point.value(),
                timestamp: point.timestamp,
                step: point.step,
            });
        })?;
        Ok(Page::from_overfull(points, offset, limit))
    }

    /// How many points a metric's history has.
    pub fn metric_count(&self, id: &RunId, key: &str) -> Result<u64> {
        let way = self.way_to(id, key)?;
        let (first, last) = way.bounds();
        let mut statement = self
            .connection
            .prepare_cached(&format!("SELECT COUNT(*) FROM metrics WHERE {}", way.condition()))?;
        let count: i64 =
            statement.query_row(params![id.as_str(), key, first, last], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// The way that leads past the fewest rows, as far as a few probes can tell.
    fn way_to(&self, id: &RunId, key: &str) -> Result<Way> {
        let Some((first, last)) = self.rows_of_run(id)? else { return Ok(Way::Run) };
        let stretch = last - first + 1;
        if stretch <= SHORT {
            return Ok(Way::Stretch(first, last));
        }
        let whole: Option<i64> = self
            .connection
            .prepare_cached("SELECT MAX(rowid) FROM metrics")?
            .query_row([], |row| row.get(0))?;
        let whole = whole.unwrap_or(last);
        let run_share = self.share(id, key, first, last)?.0;
        let key_share = self.share(id, key, 1, whole)?.1;
        let costs = [
            (Way::Stretch(first, last), stretch as f64),
            (Way::Run, stretch as f64 * run_share * LOOKUP_COST),
            (Way::Key, whole as f64 * key_share),
        ];
        let cheapest = costs.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        Ok(cheapest.map_or(Way::Run, |(way, _)| *way))
    }

    /// The first and the last row number of a run's metrics.
    fn rows_of_run(&self, id: &RunId) -> Result<Option<(i64, i64)>> {
        // One aggregate for each statement: only then SQLite seeks instead of counting.
        let end = |sql: &str| -> Result<Option<i64>> {
            Ok(self.connection.prepare_cached(sql)?.query_row([id.as_str()], |row| row.get(0))?)
        };
        let first = end("SELECT MIN(rowid) FROM metrics WHERE run_uuid = ?1")?;
        let last = end("SELECT MAX(rowid) FROM metrics WHERE run_uuid = ?1")?;
        Ok(first.zip(last))
    }

    /// Which part of the rows of a stretch belongs to the run, and which to the key, from a few of
    /// them; never nothing.
    fn share(&self, id: &RunId, key: &str, first: i64, last: i64) -> Result<(f64, f64)> {
        let mut statement = self.connection.prepare_cached(
            "SELECT run_uuid = ?1, key = ?2 FROM metrics WHERE rowid >= ?3 ORDER BY rowid LIMIT 1",
        )?;
        let part = (last - first) / PROBES;
        let (mut of_run, mut of_key) = (1, 1);
        for number in 0..PROBES {
            // Not at equal distances: keys that take turns would all look alike.
            let within = (number * 7_919) % part.max(1);
            let place = first + part * number + within;
            let found: Option<(bool, bool)> = statement
                .query_row(params![id.as_str(), key, place], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            if let Some((is_run, is_key)) = found {
                of_run += i64::from(is_run);
                of_key += i64::from(is_key);
            }
        }
        let share = |count: i64| count as f64 / (PROBES + 1) as f64;
        Ok((share(of_run), share(of_key)))
    }

    /// Reads a metric's series from the table.
    fn read_series(&self, id: &RunId, key: &str) -> Result<Series> {
        let last_row_of_run = self.rows_of_run(id)?.map(|(_, last)| last);
        let way = self.way_to(id, key)?;
        let (first, last) = way.bounds();
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT rowid, step, timestamp, value, is_nan FROM metrics WHERE {}",
            way.condition()
        ))?;
        let mut found = statement.query(params![id.as_str(), key, first, last])?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            rows.push(SeriesRow::read(row)?);
        }
        let order = |row: &SeriesRow| (row.step, row.timestamp, row.row_id);
        // Mostly they are in order as they come.
        if !rows.is_sorted_by_key(order) {
            rows.sort_unstable_by_key(order);
        }
        Ok(Series {
            steps: rows.iter().map(|row| row.step).collect(),
            timestamps: rows.iter().map(|row| row.timestamp).collect(),
            values: rows.iter().map(|row| row.value.unclamped()).collect(),
            last_row: rows.iter().map(|row| row.row_id).max(),
            schema_version: self.shape.schema_version,
            last_row_of_run,
            in_file: 0,
        })
    }

    /// Whether a series that a file kept is still that of the file's rows: its last row is there, and
    /// has the content of one of its points. Rows never change, and where one was removed its whole
    /// run was.
    fn is_still(&self, id: &RunId, key: &str, series: &Series) -> Result<bool> {
        if series.schema_version != self.shape.schema_version {
            return Ok(false);
        }
        let last: Option<SeriesRow> = self
            .connection
            .prepare_cached(
                "SELECT rowid, step, timestamp, value, is_nan FROM metrics \
                 WHERE rowid = ?1 AND run_uuid = ?2 AND key = ?3",
            )?
            .query_row(params![series.last_row, id.as_str(), key], SeriesRow::read)
            .optional()?;
        let Some(last) = last else { return Ok(false) };
        // Where points of its step begin: those are looked at one by one.
        let start = series.steps.partition_point(|step| *step < last.step);
        let value = last.value.unclamped();
        let is_same = |at: usize| {
            let found = series.values[at];
            let is_nan = found.is_nan() && value.is_nan();
            series.timestamps[at] == last.timestamp
                && (is_nan || found.to_bits() == value.to_bits())
        };
        Ok((start..series.steps.len()).take_while(|at| series.steps[*at] == last.step).any(is_same))
    }

    /// Adds the rows that came after the series was read.
    ///
    /// `false` if they do not all belong at its end: then it has to be read anew.
    fn extend_series(&self, id: &RunId, key: &str, series: &mut Series) -> Result<bool> {
        let last_row_of_run = self.rows_of_run(id)?.map(|(_, last)| last);
        for row in self.metric_series(id, key, series.last_row_of_run.unwrap_or(i64::MIN))? {
            let end = series.steps.last().zip(series.timestamps.last());
            if end.is_some_and(|(step, time)| (row.step, row.timestamp) < (*step, *time)) {
                return Ok(false);
            }
            series.steps.push(row.step);
            series.timestamps.push(row.timestamp);
            series.values.push(row.value.unclamped());
            series.last_row = series.last_row.max(Some(row.row_id));
        }
        series.last_row_of_run = last_row_of_run;
        Ok(true)
    }

    /// A metric's points that came after `after_row`, for a chart that has the others: by step, then
    /// time, then arrival.
    pub fn metric_series(&self, id: &RunId, key: &str, after_row: i64) -> Result<Vec<SeriesRow>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT rowid, step, timestamp, value, is_nan FROM metrics \
             WHERE run_uuid = ?1 AND +key = ?2 AND rowid > ?3 ORDER BY step, timestamp, rowid",
        )?;
        let rows = statement.query_map(params![id.as_str(), key, after_row], SeriesRow::read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// A row of a metric's history with its place in the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeriesRow {
    /// The row's number in the file; later rows have higher ones.
    pub row_id: i64,
    /// Step.
    pub step: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Value.
    pub value: MetricValue,
}

impl SeriesRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            row_id: row.get(0)?,
            step: row.get(1)?,
            timestamp: row.get(2)?,
            value: MetricValue::from_columns(row.get(3)?, row.get(4)?),
        })
    }
}

impl Store {
    /// A metric's series, from memory if it was read before; only what was logged since is read then.
    ///
    /// Blocks until a reader is free. Unknown runs and keys have an empty one.
    pub fn metric_series(&self, id: &RunId, key: &str) -> Result<Arc<Series>> {
        let kept = self.kept_series();
        let (known, generation) = kept.find(id, key);
        let is_from_memory = known.is_some();
        let files = self.series_files();
        // Before a reader is taken: others can use it meanwhile.
        let known = known.or_else(|| files.load(id, key).map(Arc::new));
        let keep = |series: &mut Arc<Series>| {
            // A growing one is written again when a quarter of it is new.
            let count = series.steps.len();
            if count >= WORTH_A_FILE && series.in_file + series.in_file / 4 < count {
                Arc::make_mut(series).in_file = count;
                files.save(id, key, series);
            }
            kept.keep(id, key, series, generation);
        };
        self.read_blocking(|tx| {
            if let Some(mut series) = known
                && series.schema_version == tx.shape.schema_version
                && (is_from_memory || tx.is_still(id, key, &series)?)
            {
                let last_row_of_run = tx.rows_of_run(id)?.map(|(_, last)| last);
                if last_row_of_run == series.last_row_of_run {
                    if !is_from_memory {
                        keep(&mut series);
                    }
                    return Ok(series);
                }
                // Copied, because others may be reading the old one.
                if tx.extend_series(id, key, Arc::make_mut(&mut series))? {
                    keep(&mut series);
                    return Ok(series);
                }
            }
            let mut series = Arc::new(tx.read_series(id, key)?);
            keep(&mut series);
            Ok(series)
        })
    }
}

/// The long series that were read last.
#[derive(Debug, Default)]
pub(crate) struct KeptSeries(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// The one used last stands last.
    series: VecDeque<(RunId, String, Arc<Series>)>,
    /// Counts how often everything was forgotten.
    generation: u64,
}

impl KeptSeries {
    /// Forgets everything if another program may have changed or removed rows. What Cairn itself
    /// writes only adds rows, which each question looks for.
    pub fn note(&self, changes: &ChangeSet) {
        if changes.everything {
            let mut kept = self.lock();
            kept.series.clear();
            kept.generation += 1;
        }
    }

    /// Finds a series, which then is the one used last, and tells what [`Self::keep`] needs.
    fn find(&self, id: &RunId, key: &str) -> (Option<Arc<Series>>, u64) {
        let mut kept = self.lock();
        let place = kept.series.iter().position(|(run, name, _)| run == id && name == key);
        let found = place.and_then(|place| kept.series.remove(place));
        let series = found.as_ref().map(|(.., series)| series.clone());
        kept.series.extend(found);
        (series, kept.generation)
    }

    /// Keeps a series that was read since `generation` was told.
    fn keep(&self, id: &RunId, key: &str, series: &Arc<Series>, generation: u64) {
        let mut kept = self.lock();
        kept.series.retain(|(run, name, _)| run != id || name != key);
        if kept.generation != generation || series.steps.len() < WORTH_KEEPING {
            return;
        }
        kept.series.push_back((id.clone(), key.to_owned(), series.clone()));
        let mut points: usize = kept.series.iter().map(|(.., series)| series.steps.len()).sum();
        while (points > KEPT_POINTS || kept.series.len() > KEPT_SERIES) && kept.series.len() > 1 {
            if let Some((.., oldest)) = kept.series.pop_front() {
                points -= oldest.steps.len();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

fn as_sql(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::{Shape, schema};

    const RUN: &str = "0123456789abcdef0123456789abcdef";

    /// A file whose table of metrics holds the run's `loss` at these row numbers; all others are of the
    /// run and key that `others` tells for their number.
    fn check(rows: i64, mut is_loss: impl FnMut(i64) -> bool, others: (&str, &str), expected: Way) {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::create(&mut connection, "mlflow-artifacts:/0", 5).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF; BEGIN").unwrap();
        let mut insert = connection
            .prepare(
                "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid, rowid) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )
            .unwrap();
        let mut logged = Vec::new();
        for row in 1..=rows {
            let (run, key) = if is_loss(row) { (RUN, "loss") } else { others };
            // Time runs against steps, some values are NaN, and some times are the same.
            let (time, step, is_nan) = (-row / 3, row, row % 7 == 0);
            insert.execute(params![key, 0.5, time, step, is_nan, run, row]).unwrap();
            if (run, key) == (RUN, "loss") {
                logged.push((time, step, is_nan));
            }
        }
        drop(insert);
        let shape = Shape::read(&connection).unwrap().unwrap();
        let tx = ReadTx { connection: &connection, shape: &shape };
        let id: RunId = RUN.parse().unwrap();
        assert_eq!(tx.way_to(&id, "loss").unwrap(), expected, "{others:?}");

        let series = tx.read_series(&id, "loss").unwrap();
        let steps: Vec<i64> = logged.iter().map(|point| point.1).collect();
        assert_eq!((&series.steps, series.last_row), (&steps, steps.last().copied()));
        assert_eq!(tx.metric_count(&id, "loss").unwrap(), logged.len() as u64);

        logged.sort_unstable();
        let mut start = HistoryStart::Offset(0);
        let mut visited = Vec::new();
        loop {
            let before = visited.len();
            tx.visit_history(&id, "loss", start, 1_000, |point| {
                visited.push((point.timestamp, point.step, point.value().0.is_nan()));
                start = HistoryStart::After(*point);
            })
            .unwrap();
            if visited.len() == before {
                break;
            }
        }
        assert!(visited == logged, "{others:?}: {} of {}", visited.len(), logged.len());
        let page = tx.metric_history(&id, "loss", Some(5), 2).unwrap();
        let steps: Vec<i64> = logged[2..7].iter().map(|point| point.1).collect();
        assert_eq!(page.items.iter().map(|point| point.step).collect::<Vec<_>>(), steps);
        assert_eq!(page.next_offset, Some(7));
    }

    #[test]
    fn each_way_leads_to_the_same_points_and_the_shortest_is_taken() {
        let foreign = "ffffffffffffffffffffffffffffffff";
        // One run alone, or almost: its rows lie together.
        check(20_000, |row| row > 1_000, (foreign, "loss"), Way::Stretch(1_001, 20_000));
        // Few points between many of others that have the same key.
        check(20_000, |row| row % 1_000 == 1, (foreign, "loss"), Way::Run);
        // Few points between many other keys of the same run.
        check(20_000, |row| row % 1_000 == 1, (RUN, "accuracy"), Way::Key);
    }

    #[test]
    fn a_run_without_metrics_has_none() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::create(&mut connection, "mlflow-artifacts:/0", 5).unwrap();
        let shape = Shape::read(&connection).unwrap().unwrap();
        let tx = ReadTx { connection: &connection, shape: &shape };
        let id: RunId = RUN.parse().unwrap();
        assert_eq!(tx.metric_count(&id, "loss").unwrap(), 0);
        let none = Series { schema_version: shape.schema_version, ..Series::default() };
        assert_eq!(tx.read_series(&id, "loss").unwrap(), none);
    }

    #[test]
    fn the_series_used_last_stay_and_none_that_was_read_too_early() {
        let kept = KeptSeries::default();
        let id: RunId = RUN.parse().unwrap();
        let long = |points| Arc::new(Series { steps: vec![0; points], ..Series::default() });
        kept.keep(&id, "short", &long(WORTH_KEEPING - 1), 0);
        kept.keep(&id, "a", &long(KEPT_POINTS / 2), 0);
        kept.keep(&id, "b", &long(KEPT_POINTS / 2), 0);
        let has = |key| kept.find(&id, key).0.is_some();
        assert!(!has("short") && has("b") && has("a"));
        kept.keep(&id, "c", &long(KEPT_POINTS / 2), 0);
        assert!(has("a") && has("c") && !has("b"));
        let changes = ChangeSet { everything: true, ..ChangeSet::default() };
        kept.note(&changes);
        assert!(!has("a") && !has("c"));
        kept.keep(&id, "a", &long(WORTH_KEEPING), 0);
        assert!(!has("a"), "it was read before everything was forgotten");
        for number in 0..=KEPT_SERIES {
            kept.keep(&id, &number.to_string(), &long(WORTH_KEEPING), 1);
        }
        assert!(!has("0") && has("1"));
    }
}
