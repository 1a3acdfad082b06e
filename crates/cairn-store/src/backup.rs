//! Backups of `mlflow.db`: taken while it is in use, checked, and put back.
//!
//! A backup is one complete database file, made by SQLite's online backup: a view of one moment,
//! also while other programs write. It lies outside the store, in a folder of the program's own, so
//! that losing the store's folder does not lose its backups. Files of runs are not in it.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use cairn_core::UnixMillis;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, backup::StepResult};

use crate::{readers::ReadTarget, schema, store::with_suffix, tx::random_hex};

/// Backups that are kept whatever their age, newest first.
pub const KEPT_RECENT: usize = 10;
/// Days before those of which the newest backup is kept too.
pub const KEPT_DAYS: usize = 7;

/// Pages copied at once; other programs get in between.
const STEP_PAGES: i32 = 256;
/// A pause between two steps.
const STEP_PAUSE: Duration = Duration::from_millis(2);
/// A file with a rollback journal is copied in steps for so long; if writers made SQLite begin anew
/// all the time, it is then copied at once, while they wait.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where the path of the store stands in its folder of backups.
const STORE_NAME: &str = "store.txt";
/// How a moment is written in the name of a backup: UTC, so that names sort by age.
const NAME_FORMAT: &str = "%Y-%m-%dT%H-%M-%S.%3fZ";

/// Why a backup was not taken, or not put back. The store is as it was.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or folder cannot be read or written.
    #[error("{path} cannot be {action}: {source}.")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// `read`, `written`, …
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The disk of the backups is too full to hold another one.
    #[error(
        "The disk of {path} has {free_bytes} bytes free, and the backup needs {needed_bytes}. No \
         backup was taken."
    )]
    NoSpace {
        /// The folder of backups.
        path: PathBuf,
        /// Bytes free.
        free_bytes: u64,
        /// Bytes of the database.
        needed_bytes: u64,
    },
    /// The copy is damaged, because the database is.
    #[error("{path} is damaged: {detail}. No backup was taken of it.")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// SQLite's finding.
        detail: String,
    },
    /// The backup itself is no sound database.
    #[error("The backup {path} is damaged: {detail}. The store was not touched.")]
    UnsoundBackup {
        /// The backup.
        path: PathBuf,
        /// SQLite's finding.
        detail: String,
    },
    /// Programs have the database open.
    #[error("{path} is open in {}. Nothing was restored; close it there first.", programs.join(", "))]
    InUse {
        /// The database.
        path: PathBuf,
        /// Names and process ids.
        programs: Vec<String>,
    },
    /// There is no such backup.
    #[error("There is no backup {name} in {folder}.")]
    Missing {
        /// What was asked for.
        name: String,
        /// The folder of backups.
        folder: PathBuf,
    },
    /// It was stopped before its end.
    #[error("The backup was stopped before it was complete.")]
    Cancelled,
    /// The database cannot be read.
    #[error("{path} cannot be copied: {source}.")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// SQLite's answer.
        source: rusqlite::Error,
    },
}

impl BackupError {
    /// What to do about it, in one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "Check the permissions of the folder and of the file.",
            Self::NoSpace { .. } => "Free some space; older backups may be removed by hand.",
            Self::Damaged { .. } => {
                "'cairn restore' puts the newest backup in its place and keeps the damaged file."
            }
            Self::UnsoundBackup { .. } => "Choose another one; 'cairn backups' lists them.",
            Self::InUse { .. } => "Stop these programs, then try again.",
            Self::Missing { .. } => "'cairn backups' lists those that there are.",
            Self::Cancelled => "Try again.",
            Self::Sqlite { .. } => "Check that it is an mlflow.db on a local disk, and readable.",
        }
    }
}

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The file.
    pub path: PathBuf,
    /// The moment whose state it holds.
    pub taken_at: UnixMillis,
    /// Its size.
    pub size_bytes: u64,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where the database that was replaced lies now; `None` if there was none.
    pub replaced: Option<PathBuf>,
    /// From the backup to the last change of the replaced database: what happened then is only in
    /// the replaced file.
    pub lost: Duration,
}

/// The backups of one store.
#[derive(Debug, Clone)]
pub struct BackupFolder {
    dir: PathBuf,
    database: PathBuf,
}

impl Backup {
    /// The name by which `cairn restore` knows it.
    pub fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl BackupFolder {
    /// The folder for a database below the folder of all backups. Nothing is made yet.
    ///
    /// Two stores never share one: its name has a hash of the database's path.
    pub fn new(root: &Path, database: &Path) -> Self {
        let database = resolved(database);
        let store = database.parent().and_then(Path::file_name).unwrap_or_default();
        let readable: String = store
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { '_' })
            .take(40)
            .collect();
        let hash = fnv1a(database.as_os_str().as_encoded_bytes());
        Self { dir: root.join(format!("{readable}-{hash:016x}")), database }
    }

    /// Where the backups lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All backups, newest first; none if there is no folder.
    pub fn list(&self) -> Result<Vec<Backup>, BackupError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(io_error(&self.dir, "read", source)),
        };
        let mut backups: Vec<Backup> = entries
            .flatten()
            .filter_map(|entry| {
                let path = entry.path();
                let name = path.file_name()?.to_str()?;
                let taken_at = moment_of(name.strip_suffix(".db")?)?;
                let size_bytes = entry.metadata().ok()?.len();
                Some(Backup { path, taken_at, size_bytes })
            })
            .collect();
        backups.sort_by_key(|backup| std::cmp::Reverse(backup.taken_at.0));
        Ok(backups)
    }

    /// The backup of that name; the newest one for `None`.
    ///
    /// Errors: [`BackupError::Missing`].
    pub fn find(&self, name: Option<&str>) -> Result<Backup, BackupError> {
        let wanted = |backup: &Backup| name.is_none_or(|name| backup.name() == name);
        self.list()?.into_iter().find(wanted).ok_or_else(|| BackupError::Missing {
            name: name.unwrap_or("at all").to_owned(),
            folder: self.dir.clone(),
        })
    }

    /// Whether the database was written to after a backup was taken, by the times of its files.
    pub fn has_changed_since(&self, backup: &Backup) -> bool {
        !self.lost_since(backup).is_zero()
    }

    /// Copies the database as it is at one moment, checks the copy, and removes backups that are too
    /// old.
    ///
    /// Other programs go on reading and writing; with a rollback journal they may have to wait while
    /// the file is copied. The copy is on the disk when this returns.
    pub fn take(&self, now: UnixMillis) -> Result<Backup, BackupError> {
        self.take_unless(&AtomicBool::new(false), now)
    }

    /// [`BackupFolder::take`], ended early with [`BackupError::Cancelled`] once the flag is set.
    pub fn take_unless(
        &self,
        is_cancelled: &AtomicBool,
        now: UnixMillis,
    ) -> Result<Backup, BackupError> {
        self.make()?;
        self.require_space()?;
        let path = self.dir.join(format!("{}.db", name_of(now)));
        let temporary = self.dir.join(format!(".{}.tmp", random_hex()));
        let taken = self.copy_to(&temporary, is_cancelled).and_then(|()| {
            fs::rename(&temporary, &path).map_err(|source| io_error(&path, "written", source))?;
            sync_folder(&self.dir)?;
            let size_bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            Ok(Backup { path, taken_at: now, size_bytes })
        });
        if taken.is_err() {
            remove_with_companions(&temporary);
        } else {
            self.prune()?;
        }
        taken
    }

    /// Puts a backup in the place of the database.
    ///
    /// What was there stays beside it as `mlflow.db.replaced-<moment>`, its log with it. There is no
    /// moment at which two databases are mixed: after a crash in the middle the name `mlflow.db` is
    /// free, and restoring again completes it.
    ///
    /// Errors: [`BackupError::InUse`] when a program of this user has the database open;
    /// [`BackupError::UnsoundBackup`].
    pub fn restore(&self, backup: &Backup, now: UnixMillis) -> Result<Restored, BackupError> {
        check_copy(&backup.path)
            .map_err(|detail| BackupError::UnsoundBackup { path: backup.path.clone(), detail })?;
        let programs = programs_using(&self.database);
        if !programs.is_empty() {
            return Err(BackupError::InUse { path: self.database.clone(), programs });
        }
        let store = self.database.parent().unwrap_or(Path::new("/")).to_owned();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&store)
            .map_err(|source| io_error(&store, "created", source))?;
        let temporary = store.join(format!(".mlflow.db.restore-{}", random_hex()));
        let lost = self.lost_since(backup);
        let restored = copy_file(&backup.path, &temporary)
            .map_err(|source| io_error(&temporary, "written", source))
            .and_then(|()| self.swap_in(&temporary, &store, now));
        if restored.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        Ok(Restored { replaced: restored?, lost })
    }

    fn make(&self) -> Result<(), BackupError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|source| io_error(&self.dir, "created", source))?;
        let name = self.dir.join(STORE_NAME);
        if !name.exists() {
            // For a person who looks into the folder; the program does not read it.
            let text = format!("Backups of {}\n", self.database.display());
            new_file(&name)
                .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
                .map_err(|source| io_error(&name, "written", source))?;
        }
        Ok(())
    }

    fn require_space(&self) -> Result<(), BackupError> {
        let log = with_suffix(&self.database, "-wal");
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let needed_bytes = size(&self.database) + size(&log);
        let Ok(disk) = rustix::fs::statvfs(&self.dir) else { return Ok(()) };
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free_bytes < needed_bytes.saturating_add(needed_bytes / 8) {
            return Err(BackupError::NoSpace { path: self.dir.clone(), free_bytes, needed_bytes });
        }
        Ok(())
    }

    fn copy_to(&self, temporary: &Path, is_cancelled: &AtomicBool) -> Result<(), BackupError> {
        let sqlite = |source| BackupError::Sqlite { path: self.database.clone(), source };
        let file = new_file(temporary).map_err(|source| io_error(temporary, "created", source))?;
        // May write, so that what a killed program left half-written is rolled back first.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let from = Connection::open_with_flags(&self.database, flags).map_err(sqlite)?;
        from.busy_timeout(Duration::from_secs(20)).map_err(sqlite)?;
        let mut to = Connection::open(temporary).map_err(sqlite)?;
        // The copy is synced as a whole at its end.
        to.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY")
            .map_err(sqlite)?;
        if !copy_pages(&from, &mut to, is_cancelled).map_err(sqlite)? {
            return Err(BackupError::Cancelled);
        }
        to.close().map_err(|(_, error)| sqlite(error))?;
        drop(from);
        file.sync_all().map_err(|source| io_error(temporary, "written", source))?;
        check_copy(temporary)
            .map_err(|detail| BackupError::Damaged { path: self.database.clone(), detail })
    }

    /// Removes what is neither among the recent ones nor the newest of a recent day.
    fn prune(&self) -> Result<(), BackupError> {
        for backup in to_remove(&self.list()?) {
            fs::remove_file(&backup.path)
                .map_err(|source| io_error(&backup.path, "removed", source))?;
        }
        Ok(())
    }

    /// How long the database was changed after the backup was taken.
    fn lost_since(&self, backup: &Backup) -> Duration {
        let changed = ["", "-wal"]
            .iter()
            .filter_map(|suffix| fs::metadata(with_suffix(&self.database, suffix)).ok())
            .map(|metadata| metadata.mtime() * 1_000 + metadata.mtime_nsec() / 1_000_000)
            .max();
        let lost = changed.map_or(0, |changed| changed - backup.taken_at.0);
        Duration::from_millis(u64::try_from(lost).unwrap_or(0))
    }

    fn swap_in(
        &self,
        temporary: &Path,
        store: &Path,
        now: UnixMillis,
    ) -> Result<Option<PathBuf>, BackupError> {
        let replaced = with_suffix(&self.database, &format!(".replaced-{}", name_of(now)));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| io_error(&path, "replaced", source)
        };
        let mut is_replaced = false;
        // The database first: without it nothing reads its log, and nobody plays that into another.
        for suffix in ["", "-wal", "-journal", "-shm"] {
            let old = with_suffix(&self.database, suffix);
            if old.exists() {
                fs::rename(&old, with_suffix(&replaced, suffix)).map_err(failed(&old))?;
                is_replaced = true;
            }
        }
        sync_folder(store)?;
        fs::rename(temporary, &self.database).map_err(failed(&self.database))?;
        sync_folder(store)?;
        Ok(is_replaced.then_some(replaced))
    }
}

/// Copies all pages as they are at one moment; `false` when it was cancelled.
fn copy_pages(
    from: &Connection,
    to: &mut Connection,
    is_cancelled: &AtomicBool,
) -> rusqlite::Result<bool> {
    let is_set = || is_cancelled.load(Ordering::Relaxed);
    let mode: String = from.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    let has_log = mode.eq_ignore_ascii_case("wal");
    if !has_log {
        let deadline = Instant::now() + PATIENCE;
        if step_until(from, to, STEP_PAUSE, || is_set() || Instant::now() >= deadline)? {
            return Ok(true);
        }
    }
    // A view that stays, so that the copy never begins anew. With a log, writers go on beside it;
    // with a journal they wait, so it is not made longer than it must be.
    let pause = if has_log { STEP_PAUSE } else { Duration::ZERO };
    from.execute_batch("BEGIN")?;
    schema::schema_version(from)?;
    let is_complete = step_until(from, to, pause, is_set)?;
    from.execute_batch("COMMIT")?;
    Ok(is_complete)
}

/// Copies pages in small steps; answers whether the end was reached before it was to stop.
fn step_until(
    from: &Connection,
    to: &mut Connection,
    pause: Duration,
    is_over: impl Fn() -> bool,
) -> rusqlite::Result<bool> {
    let backup = rusqlite::backup::Backup::new(from, to)?;
    while !is_over() {
        if backup.step(STEP_PAGES)? == StepResult::Done {
            return Ok(true);
        }
        std::thread::sleep(pause);
    }
    Ok(false)
}

/// Looks through a whole database that nobody else uses; `Err` is what is wrong with it.
fn check_copy(path: &Path) -> Result<(), String> {
    let check = || -> rusqlite::Result<Option<String>> {
        // Read as it is, so that no log or lock file is made beside it.
        let target = ReadTarget { path: path.to_owned(), immutable: true };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(target.uri(), flags)?;
        let finding: String =
            connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        Ok((finding != "ok").then_some(finding))
    };
    match check() {
        Ok(None) => Ok(()),
        Ok(Some(finding)) => Err(finding),
        Err(error) => Err(error.to_string()),
    }
}

/// Which backups, newest first, are too old: neither among the [`KEPT_RECENT`] nor the newest of
/// one of the [`KEPT_DAYS`] days before.
fn to_remove(backups: &[Backup]) -> Vec<Backup> {
    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    let mut days = Vec::new();
    let mut removed = Vec::new();
    for backup in backups.iter().skip(KEPT_RECENT) {
        let day = backup.taken_at.0.div_euclid(DAY_MS);
        if days.contains(&day) || days.len() >= KEPT_DAYS {
            removed.push(backup.clone());
        } else {
            days.push(day);
        }
    }
    removed
}

/// Programs of this user that have a file or its log open, by name and process id.
///
/// Those of other users cannot be looked into, and are not found.
pub fn programs_using(database: &Path) -> Vec<String> {
    let ids: Vec<(u64, u64)> = ["", "-wal", "-shm", "-journal"]
        .iter()
        .filter_map(|suffix| fs::metadata(with_suffix(database, suffix)).ok())
        .map(|metadata| (metadata.dev(), metadata.ino()))
        .collect();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let uses = |process: &Path| {
        let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
        files.flatten().any(|file| {
            fs::metadata(file.path())
                .is_ok_and(|metadata| ids.contains(&(metadata.dev(), metadata.ino())))
        })
    };
    let mut found = Vec::new();
    for process in processes.flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        if uses(&process.path()) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            found.push(format!("{} (process {id})", name.trim()));
        }
    }
    found
}

/// The database's path without links, also when the file itself is gone.
fn resolved(database: &Path) -> PathBuf {
    let absolute = std::path::absolute(database).unwrap_or_else(|_| database.to_owned());
    if let Ok(path) = fs::canonicalize(&absolute) {
        return path;
    }
    match (absolute.parent().and_then(|dir| fs::canonicalize(dir).ok()), absolute.file_name()) {
        (Some(dir), Some(name)) => dir.join(name),
        _ => absolute,
    }
}

/// A hash that stays the same in every version of the program.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn name_of(moment: UnixMillis) -> String {
    let moment = Timestamp::from_millisecond(moment.0).unwrap_or(Timestamp::UNIX_EPOCH);
    moment.strftime(NAME_FORMAT).to_string()
}

fn moment_of(name: &str) -> Option<UnixMillis> {
    // The format has its own marks where the standard one has colons.
    let (date, time) = name.split_once('T')?;
    let standard = format!("{date}T{}", time.replacen('-', ":", 2));
    let moment: Timestamp = standard.parse().ok()?;
    Some(UnixMillis(moment.as_millisecond()))
}

fn new_file(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut target = new_file(to)?;
    io::copy(&mut File::open(from)?, &mut target)?;
    target.sync_all()
}

fn sync_folder(dir: &Path) -> Result<(), BackupError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| io_error(dir, "written", source))
}

fn remove_with_companions(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(with_suffix(path, suffix));
    }
}

fn io_error(path: &Path, action: &'static str, source: io::Error) -> BackupError {
    BackupError::Io { path: path.to_owned(), action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 60 * 60 * 1_000;

    fn backup(taken_at: i64) -> Backup {
        let taken_at = UnixMillis(taken_at);
        Backup { path: PathBuf::from(name_of(taken_at)), taken_at, size_bytes: 1 }
    }

    #[test]
    fn a_name_says_the_moment_and_is_read_back() {
        let moment = UnixMillis(1_763_747_103_042);
        assert_eq!(name_of(moment), "2025-11-21T17-45-03.042Z");
        assert_eq!(moment_of(&name_of(moment)), Some(moment));
        for other in ["", "2025-11-21", "notes", "2025-11-21T17-45-03.042Z.tmp"] {
            assert_eq!(moment_of(other), None, "{other}");
        }
    }

    #[test]
    fn ten_recent_ones_and_one_of_each_of_seven_days_are_kept() {
        // One every two hours for thirty days, newest first.
        let newest = 1_763_747_103_042;
        let mut kept: Vec<Backup> = Vec::new();
        for index in 0..360 {
            kept.insert(0, backup(newest + index * 2 * HOUR_MS));
            let removed = to_remove(&kept);
            kept.retain(|backup| !removed.contains(backup));
        }
        assert_eq!(kept.len(), KEPT_RECENT + KEPT_DAYS);
        let ages: Vec<i64> =
            kept.iter().map(|b| (kept[0].taken_at.0 - b.taken_at.0) / HOUR_MS).collect();
        assert_eq!(ages[..10], [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
        assert!(ages[16] >= 24 * 6, "{ages:?}");
    }

    #[test]
    fn stores_of_the_same_name_have_folders_of_their_own() {
        let folder = |path: &str| BackupFolder::new(Path::new("/b"), Path::new(path)).dir;
        assert_ne!(folder("/x/store/mlflow.db"), folder("/y/store/mlflow.db"));
        assert!(folder("/x/store/mlflow.db").starts_with("/b"));
    }
}
