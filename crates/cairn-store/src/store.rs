//! Opening and creating stores, and the two ways into an open one.

use std::{
    fmt, fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, RwLock},
    thread,
};

use cairn_core::UnixMillis;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{broadcast, oneshot};

use crate::{
    Change, ChangeSet, OpenError, ReadTx, Result, Shape, StoreError, WriteTx,
    artifacts::ArtifactTree,
    changes::ChangeFeed,
    history::KeptSeries,
    readers::{ReadTarget, Readers, prepare},
    run_index::{IndexSize, RunIndex, RunList, RunQuery, Stamp},
    run_keys::KnownKeys,
    schema,
    series_files::SeriesFiles,
    tx::random_hex,
    writer::{Answer, FileState, Request, Writer, note_damage},
};

/// The name of MLflow's database in a store.
pub const DATABASE: &str = "mlflow.db";
/// The folder of the artifact tree in a store; the one that `mlflow server` uses by default.
pub const ARTIFACTS: &str = "mlartifacts";
/// Files up to this size are checked whole when opened, bytes. Larger ones are checked after it, in
/// the background, if they were not closed cleanly.
const CHECKED_WHOLE: u64 = 32 << 20;

/// Whether a store may be made where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpenOptions {
    /// Only open what is there.
    #[default]
    Existing,
    /// Make a store if the folder is missing or empty.
    CreateInEmpty,
    /// Make a store if the folder has no `mlflow.db`.
    Create,
}

/// An open store. Clones share it; the last one closes it after what waits is written.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    database: PathBuf,
    state: Arc<RwLock<FileState>>,
    feed: ChangeFeed,
    readers: Readers,
    writer: Option<Writer>,
    writer_thread: Mutex<Option<thread::JoinHandle<()>>>,
    check: Mutex<Option<WholeCheck>>,
    artifacts: ArtifactTree,
    run_index: RunIndex,
    kept_series: Arc<KeptSeries>,
    series_files: SeriesFiles,
    known_keys: KnownKeys,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}
impl Store {
    /// Opens the store in a folder, or the one that a database file lies in.
    ///
    /// A file made by someone else keeps its journal mode; a new one is in WAL. A file that may not
    /// be written (unknown revision, read-only folder) opens for reading, with the reason in
    /// [`Store::read_only`].
    ///
    /// Errors: see [`OpenError`]; whatever was there is untouched.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self, OpenError> {
        Self::open_with_clock(path, options, UnixMillis::now)
    }

    /// [`Store::open`] with another clock than the system's for the times of writes.
    pub fn open_with_clock(
        path: &Path,
        options: OpenOptions,
        clock: impl Fn() -> UnixMillis + Send + 'static,
    ) -> Result<Self, OpenError> {
        let path = std::path::absolute(path).map_err(|source| OpenError::Io {
            path: path.to_owned(),
            action: "found",
            source,
        })?;
        let (dir, database) = locate(&path, options)?;
        match fs::metadata(&database) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_database(&dir, &database, clock())?;
            }
            Err(source) => return Err(OpenError::Io { path: database, action: "read", source }),
        }
        let was_left_open = was_left_open(&database);
        let (read_only_disk, target) = inspect(&dir, &database)?;
        let shape = check(&target)?;
        let read_only = shape.why_read_only().or(read_only_disk);
        let state = Arc::new(RwLock::new(FileState { shape: Arc::new(shape), read_only }));
        let is_read_only = state.read().expect("just made").read_only.is_some();
        let connection = if is_read_only { target.open() } else { open_for_writing(&database) }
            .map_err(|error| OpenError::from_sqlite(database.clone(), error))?;
        let run_index = RunIndex::default();
        let kept_series = Arc::<KeptSeries>::default();
        let feed = ChangeFeed::new(run_index.versions.clone(), kept_series.clone());
        let (writer, thread) =
            Writer::start(connection, dir.clone(), state.clone(), feed.clone(), Box::new(clock))
                .map_err(|source| OpenError::Io { path: dir.clone(), action: "opened", source })?;
        let artifacts = ArtifactTree::new(dir.clone());
        let size = fs::metadata(&database).map_or(0, |metadata| metadata.len());
        let check = if was_left_open && size > CHECKED_WHOLE {
            WholeCheck::start(&target, state.clone(), feed.clone())
        } else {
            None
        };
        let inner = Inner {
            readers: Readers::new(target, state.clone()),
            run_index,
            kept_series,
            series_files: SeriesFiles::new(&dir, is_read_only),
            known_keys: KnownKeys::default(),
            dir,
            database,
            state,
            feed,
            writer: Some(writer),
            writer_thread: Mutex::new(Some(thread)),
            check: Mutex::new(check),
            artifacts,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether both are clones of one open store.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// The database file.
    pub fn database(&self) -> &Path {
        &self.inner.database
    }

    /// The shape of the file now.
    pub fn shape(&self) -> Arc<Shape> {
        self.inner.state.read().expect("no holder of this lock panics").shape.clone()
    }

    /// Why the store can only be read; `None` if it can be written.
    pub fn read_only(&self) -> Option<String> {
        self.inner.state.read().expect("no holder of this lock panics").read_only.clone()
    }

    /// The artifact tree.
    pub fn artifacts(&self) -> &ArtifactTree {
        &self.inner.artifacts
    }

    /// Finds runs by the index and hands them to `op` in the same view of the file.
    pub(crate) fn find_runs<T>(
        &self,
        query: &RunQuery<'_>,
        op: impl Fn(&ReadTx<'_>, &RunList) -> Result<T>,
    ) -> Result<T> {
        self.inner.run_index.find(&self.inner.readers, query, op)
    }

    /// How much memory the index of runs takes now.
    pub fn index_size(&self) -> IndexSize {
        self.inner.run_index.size()
    }

    /// Counts of what changed so far.
    pub(crate) fn change_stamp(&self) -> Stamp {
        self.inner.run_index.versions.stamp()
    }

    /// The keys of runs that were looked up before.
    pub(crate) fn known_keys(&self) -> &KnownKeys {
        &self.inner.known_keys
    }

    /// The long series that were read last.
    pub(crate) fn kept_series(&self) -> &KeptSeries {
        &self.inner.kept_series
    }

    /// The long series that were read once.
    pub(crate) fn series_files(&self) -> &SeriesFiles {
        &self.inner.series_files
    }

    /// Tells of every change from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<ChangeSet>> {
        self.inner.feed.subscribe()
    }

    /// Tells the feed of a change that is not in the database (files).
    pub fn note_change(&self, change: Change) {
        let mut changes = ChangeSet::default();
        changes.add(change);
        self.inner.feed.publish(changes);
    }

    /// Runs a closure on a consistent view of the file; blocks until a reader is free.
    pub fn read_blocking<T>(&self, op: impl FnOnce(&ReadTx<'_>) -> Result<T>) -> Result<T> {
        self.inner.readers.read(op)
    }

    /// Runs a closure on a consistent view of the file, off the async threads.
    ///
    /// Panics outside a tokio runtime.
    pub async fn read<T, F>(&self, op: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTx<'_>) -> Result<T> + Send + 'static,
    {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.read_blocking(op))
            .await
            .map_err(|error| StoreError::Fault(error.to_string()))?
    }

    /// Queues a write, and answers after it was committed to disk.
    ///
    /// The closure runs on the writer thread, in a savepoint of its own: keep it short. If it
    /// fails, nothing of it is kept.
    pub async fn write<T, F>(&self, op: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut WriteTx<'_>) -> Result<T> + Send + 'static,
    {
        let (request, answer) = request(op);
        let writer = self.inner.writer.clone().ok_or(StoreError::Closed)?;
        if let Err(request) = writer.try_send(request) {
            // The queue is full: wait for room where waiting does no harm.
            let sent = tokio::task::spawn_blocking(move || writer.send(request)).await;
            sent.map_err(|_| StoreError::Closed)?;
        }
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// [`Store::write`] for callers without a runtime.
    pub fn write_blocking<T, F>(&self, op: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut WriteTx<'_>) -> Result<T> + Send + 'static,
    {
        let (request, answer) = request(op);
        self.inner.writer.clone().ok_or(StoreError::Closed)?.send(request);
        answer.blocking_recv().map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer's connection is to be the last one: only then SQLite moves the log into the
        // file, so that the file alone is the whole database.
        self.readers.close();
        drop(self.check.lock().ok().and_then(|mut slot| slot.take()));
        drop(self.writer.take());
        let thread = self.writer_thread.lock().ok().and_then(|mut slot| slot.take());
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
        {
            // What waits is written before the thread ends.
            let _ = thread.join();
        }
    }
}

/// Ties a closure to a channel that gets its value after the commit, or its error.
fn request<T, F>(op: F) -> (Request, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    F: FnOnce(&mut WriteTx<'_>) -> Result<T> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let slot = Arc::new(Mutex::new(Some(sender)));
    let failed = slot.clone();
    let answer = move |slot: &Mutex<Option<oneshot::Sender<Result<T>>>>, outcome| {
        if let Some(sender) = slot.lock().ok().and_then(|mut slot| slot.take()) {
            // The asker may have gone away; the write stands all the same.
            let _ = sender.send(outcome);
        }
    };
    let asked = slot.clone();
    let request = Request {
        is_abandoned: Box::new(move || {
            asked.lock().is_ok_and(|slot| slot.as_ref().is_some_and(oneshot::Sender::is_closed))
        }),
        work: Box::new(move |tx| {
            let value = op(tx)?;
            let done: Answer = Box::new(move || answer(&slot, Ok(value)));
            Ok(done)
        }),
        fail: Box::new(move |error| answer(&failed, Err(error))),
    };
    (request, receiver)
}

/// The folder and the database file that a path means.
fn locate(path: &Path, options: OpenOptions) -> Result<(PathBuf, PathBuf), OpenError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if options == OpenOptions::Existing {
                return Err(OpenError::Missing { path: path.to_owned() });
            }
            create_dir(path)?;
            return Ok((path.to_owned(), path.join(DATABASE)));
        }
        Err(source) => {
            return Err(OpenError::Io { path: path.to_owned(), action: "read", source });
        }
    };
    if !metadata.is_dir() {
        let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
        return Ok((dir, path.to_owned()));
    }
    let database = path.join(DATABASE);
    if !database.exists() {
        let is_empty = fs::read_dir(path)
            .map_err(|source| OpenError::Io { path: path.to_owned(), action: "read", source })?
            .next()
            .is_none();
        if options == OpenOptions::Existing || (options == OpenOptions::CreateInEmpty && !is_empty)
        {
            return Err(OpenError::NoDatabase { path: path.to_owned() });
        }
    }
    Ok((path.to_owned(), database))
}

fn create_dir(path: &Path) -> Result<(), OpenError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| io_error(path, "created", source))
}

/// Makes a store's database beside the final name and renames it, so that a half-made one is never
/// seen, and one that another program makes at the same moment is never replaced.
fn create_database(dir: &Path, database: &Path, now: UnixMillis) -> Result<(), OpenError> {
    // SQLite would play what an older file left behind into the new one.
    for suffix in ["-wal", "-shm", "-journal"] {
        let path = with_suffix(database, suffix);
        if path.exists() {
            // Not left behind if another program has made the store in this very moment.
            return if database.exists() { Ok(()) } else { Err(OpenError::LeftBehind { path }) };
        }
    }
    let temporary = dir.join(format!(".{DATABASE}.new-{}", random_hex()));
    let discard = || {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(with_suffix(&temporary, suffix));
        }
    };
    discard();
    let made = (|| {
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|source| io_error(database, "created", source))?;
        let sqlite = |error| OpenError::from_sqlite(database.to_owned(), error);
        let mut connection = Connection::open(&temporary).map_err(sqlite)?;
        connection.execute_batch("PRAGMA synchronous = FULL").map_err(sqlite)?;
        schema::create(&mut connection, "mlflow-artifacts:/0", now.0).map_err(sqlite)?;
        // Last, so that closing the only connection leaves one complete file.
        connection
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0))
            .map_err(sqlite)?;
        connection.close().map_err(|(_, error)| sqlite(error))?;
        // What did not get into the file would be lost when only the file gets the name.
        if ["-wal", "-journal"].iter().any(|suffix| with_suffix(&temporary, suffix).exists()) {
            let source = io::Error::other("its last changes could not be written");
            return Err(OpenError::Io { path: database.to_owned(), action: "created", source });
        }
        publish(&temporary, database).map_err(|source| io_error(database, "created", source))?;
        let folder = fs::File::open(dir).map_err(|source| io_error(dir, "read", source))?;
        folder.sync_all().map_err(|source| io_error(dir, "written", source))
    })();
    if made.is_err() {
        discard();
    }
    made
}

/// Gives the new file its name, unless there is one of that name already.
fn publish(temporary: &Path, database: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, temporary, CWD, database, RenameFlags::NOREPLACE) {
        // Another program was faster: its file is the store.
        Err(error) if error == rustix::io::Errno::EXIST => fs::remove_file(temporary),
        // A file system that knows no such rename; a hard link does not replace either.
        Err(error) if error == rustix::io::Errno::INVAL => {
            match fs::hard_link(temporary, database) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other?,
            }
            fs::remove_file(temporary)
        }
        other => Ok(other?),
    }
}

/// A file that SQLite keeps beside another: its log, journal or lock file.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn io_error(path: &Path, action: &'static str, source: io::Error) -> OpenError {
    if source.kind() == io::ErrorKind::StorageFull {
        return OpenError::DiskFull { path: path.to_owned() };
    }
    OpenError::Io { path: path.to_owned(), action, source }
}

/// Why the disk forbids writing, and how to read the file all the same.
fn inspect(dir: &Path, database: &Path) -> Result<(Option<String>, ReadTarget), OpenError> {
    use rustix::fs::{Access, access};
    access(database, Access::READ_OK).map_err(|error| OpenError::Io {
        path: database.to_owned(),
        action: "read",
        source: error.into(),
    })?;
    let why = [(database, "the file"), (dir, "the folder")].into_iter().find_map(|(path, what)| {
        let error = access(path, Access::WRITE_OK).err()?;
        Some(format!("{what} {} cannot be written ({}).", path.display(), io::Error::from(error)))
    });
    let target = ReadTarget { path: database.to_owned(), immutable: false };
    // With a file in WAL mode SQLite needs a lock file beside it, which cannot be made here.
    let needs_lock_file = |error: rusqlite::Error| {
        matches!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly)
        )
    };
    let has_log = with_suffix(database, "-wal").exists();
    if why.is_some() && !has_log && target.open().is_err_and(needs_lock_file) {
        return Ok((why, ReadTarget { immutable: true, ..target }));
    }
    Ok((why, target))
}

/// Reads the shape, and checks that the file is whole.
fn check(target: &ReadTarget) -> Result<Shape, OpenError> {
    let sqlite = |error| OpenError::from_sqlite(target.path.clone(), error);
    let connection = target.open().map_err(sqlite)?;
    let shape = Shape::read(&connection)
        .map_err(sqlite)?
        .map_err(|reason| OpenError::NotMlflow { path: target.path.clone(), reason })?;
    let size = fs::metadata(&target.path).map_or(0, |metadata| metadata.len());
    let pages: u64 = connection
        .query_row(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
            [],
            |row| row.get::<_, i64>(0),
        )
        .map_err(sqlite)?
        .unsigned_abs();
    let has_log = with_suffix(&target.path, "-wal").exists();
    if size < pages && !has_log {
        return Err(OpenError::Corrupt {
            path: target.path.clone(),
            detail: format!("it is {size} bytes long, but its header says {pages}"),
        });
    }
    if size <= CHECKED_WHOLE {
        let finding: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sqlite)?;
        if finding != "ok" {
            return Err(OpenError::Corrupt { path: target.path.clone(), detail: finding });
        }
    }
    Ok(shape)
}

/// Whether the last program that wrote to the file did not close it: its log or journal is there.
/// Also when one has it open now.
fn was_left_open(database: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|suffix| {
        fs::metadata(with_suffix(database, suffix)).is_ok_and(|metadata| metadata.len() > 0)
    })
}

/// A look through a whole large file, beside its use. Given up when dropped.
struct WholeCheck {
    interrupt: rusqlite::InterruptHandle,
    thread: Option<thread::JoinHandle<()>>,
}

impl WholeCheck {
    /// `None` if it cannot be started, which is no reason not to open the store.
    fn start(target: &ReadTarget, state: Arc<RwLock<FileState>>, feed: ChangeFeed) -> Option<Self> {
        let connection = target.open().ok()?;
        let interrupt = connection.get_interrupt_handle();
        let check = move || {
            let finding = connection
                .query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
                .map_err(StoreError::from);
            match finding {
                Ok(finding) if finding != "ok" => note_damage(&state, &feed, &finding),
                Err(StoreError::Corrupt(finding)) => note_damage(&state, &feed, &finding),
                _ => {}
            }
        };
        let thread = thread::Builder::new().name("cairn-store-check".into()).spawn(check).ok()?;
        Some(Self { interrupt, thread: Some(thread) })
    }
}

impl Drop for WholeCheck {
    fn drop(&mut self) {
        self.interrupt.interrupt();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open_for_writing(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    prepare(&connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    // In rollback mode, EXTRA also syncs the folder after the journal is removed.
    let synchronous = if mode.eq_ignore_ascii_case("wal") { "FULL" } else { "EXTRA" };
    connection.execute_batch(&format!("PRAGMA synchronous = {synchronous}"))?;
    Ok(connection)
}
