//! Long series as files beside the database, so that a chart of millions of points need not read millions
//! of rows again after a restart, or after another program wrote to the file.
//!
//! A file holds the columns of one metric of one run, as [`Series`] has them. It is never the truth: a
//! series is taken from it only if the database still has the row that was the last one then, with the same
//! content, and what was logged since is read from the table. A file that is torn, of another version or
//! of another schema is as good as none, and the whole folder may be deleted at any time.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use cairn_core::RunId;

use crate::history::Series;

/// The folder in a store.
pub const CACHE_FOLDER: &str = "cairn-cache";
/// Shorter series are read from the table as quickly.
pub(crate) const WORTH_A_FILE: usize = 50_000;
/// Bytes of all files together; those used longest ago make room.
const MOST_BYTES: u64 = 1 << 30;

/// What the disk has free afterwards, or nothing is written.
const LEFT_FREE_BYTES: u64 = 1 << 30;

const MAGIC: &[u8; 8] = b"cairnser";
const VERSION: u64 = 1;

/// The files of a store; `None` for one that can only be read.
#[derive(Debug, Default)]
pub(crate) struct SeriesFiles {
    folder: Option<PathBuf>,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl SeriesFiles {
    pub fn new(store: &Path, is_read_only: bool) -> Self {
        Self { folder: (!is_read_only).then(|| store.join(CACHE_FOLDER).join("series")) }
    }

    /// The series that was kept, whoever changed the database since.
    pub fn load(&self, id: &RunId, key: &str) -> Option<Series> {
        let path = self.path(id, key)?;
        let file = fs::File::open(&path).ok()?;
        // Used now: others go first. That this may fail costs nothing but the order.
        let _ = file.set_modified(SystemTime::now());
        let series = decode(&fs::read(&path).ok()?, id, key);
        if series.is_none() {
            let _ = fs::remove_file(&path);
        }
        series
    }

    /// Keeps a series. What goes wrong is only logged: the table has it all.
    pub fn save(&self, id: &RunId, key: &str, series: &Series) {
        let Some(path) = self.path(id, key) else { return };
        let bytes = encode(id, key, series);
        if !has_room(&path, bytes.len() as u64) {
            return;
        }
        if let Err(error) = write(&path, &bytes) {
            tracing::debug!(path = %path.display(), %error, "a series could not be kept as a file");
            return;
        }
        if let Some(folder) = &self.folder {
            make_room(folder, MOST_BYTES);
        }
    }

    fn path(&self, id: &RunId, key: &str) -> Option<PathBuf> {
        // Run ids come from clients too: nothing of them becomes part of a path.
        let name = digest(id.as_str().as_bytes().iter().chain(&[0]).chain(key.as_bytes()));
        Some(self.folder.as_ref()?.join(format!("{name:016x}.series")))
    }
}

/// Source: FNV-1a, 64 bits.
fn digest<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Whether the disk has at least a gigabyte free beside the file: what people log goes first.
fn has_room(path: &Path, size_bytes: u64) -> bool {
    let existing = path.ancestors().find(|folder| folder.is_dir());
    let Some(Ok(disk)) = existing.map(rustix::fs::statvfs) else { return true };
    disk.f_bavail.saturating_mul(disk.f_frsize) >= size_bytes.saturating_add(LEFT_FREE_BYTES)
}

/// A file is written whole under another name, then put in its place.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_extension(format!("{}-{number}.draft", std::process::id()));
    let written = fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Deletes the files that were used longest ago until all together are no larger than this.
fn make_room(folder: &Path, most_bytes: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        })
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|file| file.1).sum();
    for (_, size, path) in files {
        if total <= most_bytes {
            break;
        }
        total -= size;
        let _ = fs::remove_file(path);
    }
}

/// All numbers are little-endian words of eight bytes, or of four where times are near each other:
/// magic, version, schema version, last row, last row of the run, number of points, the stride of steps
/// (0: each step stands there), the first time and whether times are distances from it, the lengths of
/// the run's id and the key; these two, padded; steps or the first one, times, values; a checksum.
fn encode(id: &RunId, key: &str, series: &Series) -> Vec<u8> {
    let count = series.steps.len();
    let stride = stride(&series.steps);
    let first_time = series.timestamps.iter().copied().min().unwrap_or_default();
    let last_time = series.timestamps.iter().copied().max().unwrap_or_default();
    let is_near = last_time.checked_sub(first_time).is_some_and(|span| span <= i64::from(u32::MAX));
    let mut out = Vec::with_capacity(count * 24 + 256);
    out.extend_from_slice(MAGIC);
    let numbers = [
        VERSION as i64,
        series.schema_version,
        series.last_row.unwrap_or(-1),
        series.last_row_of_run.unwrap_or(-1),
        count as i64,
        stride.unwrap_or(0),
        first_time,
        i64::from(is_near),
        id.as_str().len() as i64,
        key.len() as i64,
    ];
    push_words(&mut out, &numbers);
    out.extend_from_slice(id.as_str().as_bytes());
    out.extend_from_slice(key.as_bytes());
    pad(&mut out);
    let steps = if stride.is_some() { &series.steps[..1] } else { &series.steps[..] };
    push_words(&mut out, steps);
    if is_near {
        for time in &series.timestamps {
            out.extend_from_slice(&((time - first_time) as u32).to_le_bytes());
        }
        pad(&mut out);
    } else {
        push_words(&mut out, &series.timestamps);
    }
    for value in &series.values {
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.extend_from_slice(&checksum(&out).to_le_bytes());
    out
}

fn push_words(out: &mut Vec<u8>, numbers: &[i64]) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(8), 0);
}

/// The distance of steps, if all are equally far apart.
fn stride(steps: &[i64]) -> Option<i64> {
    let stride = steps.get(1)?.checked_sub(*steps.first()?).filter(|stride| *stride > 0)?;
    steps.windows(2).all(|pair| pair[1].checked_sub(pair[0]) == Some(stride)).then_some(stride)
}

fn decode(bytes: &[u8], id: &RunId, key: &str) -> Option<Series> {
    let (content, sum) = bytes.split_last_chunk::<8>()?;
    if content.len() % 8 != 0 || checksum(content) != u64::from_le_bytes(*sum) {
        return None;
    }
    let mut rest = content.strip_prefix(MAGIC)?;
    let mut number = || {
        let (word, others) = rest.split_first_chunk::<8>()?;
        rest = others;
        Some(i64::from_le_bytes(*word))
    };
    if number()? != VERSION as i64 {
        return None;
    }
    let (schema_version, last_row, last_row_of_run) = (number()?, number()?, number()?);
    let count = usize::try_from(number()?).ok()?;
    let (stride, first_time, is_near) = (number()?, number()?, number()? == 1);
    let id_len = usize::try_from(number()?).ok()?;
    let key_len = usize::try_from(number()?).ok()?;
    let names_len = id_len.checked_add(key_len)?.checked_next_multiple_of(8)?;
    let (names, columns) = rest.split_at_checked(names_len)?;
    // Two names with one digest share a file: the last one has it.
    if names.get(..id_len)? != id.as_str().as_bytes()
        || names.get(id_len..id_len + key_len)? != key.as_bytes()
    {
        return None;
    }
    let step_count = if stride == 0 { count } else { 1 };
    let time_bytes = if is_near { 4 } else { 8 };
    let (steps, columns) = columns.split_at_checked(step_count.checked_mul(8)?)?;
    let times_len = count.checked_mul(time_bytes)?.checked_next_multiple_of(8)?;
    let (times, values) = columns.split_at_checked(times_len)?;
    if values.len() != count.checked_mul(8)? {
        return None;
    }
    let steps = if stride == 0 {
        words(steps).collect()
    } else {
        let first = words(steps).next()?;
        // It was made of steps, so that the last one is one.
        (0..count as i64).map(|at| first.wrapping_add(at.wrapping_mul(stride))).collect()
    };
    let timestamps = if is_near {
        let near = times.as_chunks::<4>().0[..count].iter();
        near.map(|word| first_time.wrapping_add(i64::from(u32::from_le_bytes(*word)))).collect()
    } else {
        words(times).collect()
    };
    Some(Series {
        steps,
        timestamps,
        values: values.as_chunks::<8>().0.iter().map(|word| f64::from_le_bytes(*word)).collect(),
        last_row: (last_row >= 0).then_some(last_row),
        schema_version,
        last_row_of_run: (last_row_of_run >= 0).then_some(last_row_of_run),
        in_file: count,
    })
}

fn words(bytes: &[u8]) -> impl Iterator<Item = i64> {
    bytes.as_chunks::<8>().0.iter().map(|word| i64::from_le_bytes(*word))
}

/// Tells a torn file from a whole one; four lanes, so that it is as quick as reading.
fn checksum(bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut lanes = [1_u64, 2, 3, 4];
    let mix = |lane: u64, word: &[u8; 8]| {
        (lane ^ u64::from_le_bytes(*word)).wrapping_mul(ODD).rotate_left(29)
    };
    let (words, _) = bytes.as_chunks::<8>();
    let (fours, others) = words.as_chunks::<4>();
    for four in fours {
        for (lane, word) in lanes.iter_mut().zip(four) {
            *lane = mix(*lane, word);
        }
    }
    for word in others {
        lanes[0] = mix(lanes[0], word);
    }
    lanes
        .into_iter()
        .fold(bytes.len() as u64, |sum, lane| (sum.rotate_left(17) ^ lane).wrapping_mul(ODD))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "0123456789abcdef0123456789abcdef";

    fn series(steps: &[i64], timestamps: &[i64]) -> Series {
        let values = steps.iter().map(|step| *step as f64 / 3.0).collect();
        Series {
            steps: steps.to_vec(),
            timestamps: timestamps.to_vec(),
            values,
            last_row: Some(77),
            schema_version: 5,
            last_row_of_run: Some(99),
            in_file: steps.len(),
        }
    }

    #[test]
    fn what_is_kept_comes_back_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let files = SeriesFiles::new(home.path(), false);
        let id: RunId = RUN.parse().unwrap();
        for (steps, times) in [
            (vec![5, 7, 9, 11], vec![1_000, 1_001, 1_900, 900]),
            (vec![5, 7, 9, 12], vec![i64::MIN, 0, 5, i64::MAX]),
            (vec![3, 3, 3], vec![0, 1, 2]),
            (vec![i64::MIN, i64::MAX], vec![0, 1 << 40]),
            (vec![1], vec![7]),
            (vec![], vec![]),
        ] {
            let kept = series(&steps, &times);
            files.save(&id, "a/b", &kept);
            assert_eq!(files.load(&id, "a/b").unwrap(), kept);
            assert!(files.load(&id, "a").is_none());
        }
        let mut special = series(&[1, 2, 3], &[1, 2, 3]);
        special.values = vec![f64::NAN, f64::NEG_INFINITY, -0.0];
        files.save(&id, "a/b", &special);
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&files.load(&id, "a/b").unwrap().values), bits(&special.values));
    }

    #[test]
    fn a_torn_or_foreign_file_is_none() {
        let home = tempfile::tempdir().unwrap();
        let files = SeriesFiles::new(home.path(), false);
        let id: RunId = RUN.parse().unwrap();
        let whole = encode(&id, "loss", &series(&[1, 2, 4, 9], &[1, 2, 3, 4]));
        assert!(decode(&whole, &id, "loss").is_some());
        for at in 0..whole.len() {
            let mut torn = whole.clone();
            torn[at] ^= 0x40;
            assert!(decode(&torn, &id, "loss").is_none(), "byte {at}");
            assert!(decode(&whole[..at], &id, "loss").is_none(), "{at} bytes");
        }
        assert!(decode(&whole, &id, "other").is_none());
        files.save(&id, "loss", &series(&[1], &[1]));
        let path = files.path(&id, "loss").unwrap();
        fs::write(&path, b"nonsense").unwrap();
        assert!(files.load(&id, "loss").is_none());
        assert!(!path.exists(), "it is of no use to anyone");
    }

    #[test]
    fn a_store_that_can_only_be_read_has_no_files() {
        let home = tempfile::tempdir().unwrap();
        let files = SeriesFiles::new(home.path(), true);
        let id: RunId = RUN.parse().unwrap();
        files.save(&id, "loss", &series(&[1], &[1]));
        assert!(files.load(&id, "loss").is_none());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn those_used_longest_ago_make_room() {
        let home = tempfile::tempdir().unwrap();
        for (name, age) in [("old", 30), ("new", 10), ("middle", 20)] {
            let path = home.path().join(name);
            fs::write(&path, [0; 100]).unwrap();
            let time = SystemTime::now() - std::time::Duration::from_secs(age);
            fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }
        make_room(home.path(), 150);
        let left: Vec<_> =
            fs::read_dir(home.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["new"]);
    }
}
