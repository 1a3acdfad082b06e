//! The reader pool: read-only connections, made when needed, at most [`MAX`] of them.
//!
//! A pool of our own, because the ready-made ones open connections with one fixed set of flags,
//! and a store on a read-only disk needs others.

use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, RwLock},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use crate::{Result, Shape, StoreError, schema, tx::ReadTx, writer::FileState};

/// Connections at most; each holds a few MB of page cache.
const MAX: usize = 4;

/// How a database file is opened for reading.
#[derive(Debug, Clone)]
pub(crate) struct ReadTarget {
    pub path: PathBuf,
    /// The file is in WAL mode in a folder that cannot be written: there can be no lock file, so the
    /// file is read as it is.
    pub immutable: bool,
}

impl ReadTarget {
    /// Opens the file for reading, after what a killed program left half-written was rolled back.
    pub fn open(&self) -> rusqlite::Result<Connection> {
        match self.connect() {
            Err(error) if is_half_written(&error) => {
                self.recover()?;
                self.connect()
            }
            other => other,
        }
    }

    /// Lets SQLite roll back what a killed program left in the journal: only a connection that may
    /// write can, and every program that opens the file next would do the same.
    fn recover(&self) -> rusqlite::Result<()> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(self.uri(), flags)?;
        prepare(&connection)?;
        // The first look into the file does it.
        schema::schema_version(&connection).map(drop)
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(self.uri(), flags)?;
        prepare(&connection)?;
        connection.execute_batch("PRAGMA query_only = ON")?;
        // The first look into the file, so that whatever is wrong with it is an error of opening.
        schema::schema_version(&connection)?;
        Ok(connection)
    }

    /// The path and how it is opened, as SQLite reads it with `SQLITE_OPEN_URI`.
    pub fn uri(&self) -> String {
        use std::fmt::Write as _;
        let mut uri = String::from("file:");
        for byte in self.path.as_os_str().as_encoded_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                    uri.push(char::from(*byte));
                }
                _ => {
                    let _ = write!(uri, "%{byte:02x}");
                }
            }
        }
        if self.immutable {
            uri.push_str("?immutable=1");
        }
        uri
    }
}

/// Whether the file holds a change that its writer was killed in.
fn is_half_written(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_READONLY_RECOVERY, SQLITE_READONLY_ROLLBACK};
    error.sqlite_error().is_some_and(|error| {
        matches!(error.extended_code, SQLITE_READONLY_ROLLBACK | SQLITE_READONLY_RECOVERY)
    })
}

/// Session settings that equal MLflow's, for every connection.
pub(crate) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(20))?;
    connection.set_prepared_statement_cache_capacity(256);
    rusqlite::vtab::array::load_module(connection)?;
    crate::sql::add_functions(connection)?;
    connection.execute_batch(
        "PRAGMA foreign_keys = ON; PRAGMA case_sensitive_like = ON; PRAGMA cache_size = -8000; \
         PRAGMA temp_store = MEMORY;",
    )
}

/// The pool. Waiting for a connection is bounded by the longest read.
pub(crate) struct Readers {
    target: ReadTarget,
    state: Arc<RwLock<FileState>>,
    pool: Mutex<Pool>,
    returned: Condvar,
}

struct Pool {
    idle: Vec<Connection>,
    /// Connections that exist, idle or lent.
    made: usize,
}

impl Readers {
    pub fn new(target: ReadTarget, state: Arc<RwLock<FileState>>) -> Self {
        Self {
            target,
            state,
            pool: Mutex::new(Pool { idle: Vec::new(), made: 0 }),
            returned: Condvar::new(),
        }
    }

    /// Closes the idle connections.
    pub fn close(&self) {
        let mut pool = self.pool.lock().expect("no holder of this lock panics");
        pool.made -= pool.idle.len();
        pool.idle.clear();
    }

    /// Runs a closure on a consistent view of the file.
    pub fn read<T>(&self, op: impl FnOnce(&ReadTx<'_>) -> Result<T>) -> Result<T> {
        let lent = Lent { connection: Some(self.take()?), readers: self };
        let connection = lent.connection.as_ref().expect("present until dropped");
        let mut transaction = connection.unchecked_transaction()?;
        // The first look into the file: from here on the view stays.
        let mut shape = self.shape_of(connection);
        if let Err(StoreError::Sqlite(error)) = &shape
            && is_half_written(error)
        {
            // Another program was killed while it wrote.
            transaction.rollback()?;
            self.target.recover()?;
            transaction = connection.unchecked_transaction()?;
            shape = self.shape_of(connection);
        }
        let shape = shape?;
        let outcome = op(&ReadTx { connection, shape: &shape });
        // Nothing was written: ending by either word is the same.
        transaction.rollback()?;
        outcome
    }

    /// The shape in this transaction: the shared one, or read anew if another program migrated the
    /// file and the writer has not noticed yet.
    fn shape_of(&self, connection: &Connection) -> Result<Arc<Shape>> {
        let known = self.state.read().expect("no holder of this lock panics").shape.clone();
        if schema::schema_version(connection)? == known.schema_version {
            return Ok(known);
        }
        match Shape::read(connection)? {
            Ok(shape) => Ok(Arc::new(shape)),
            Err(reason) => Err(StoreError::Corrupt(format!("MLflow's tables are gone: {reason}"))),
        }
    }

    fn take(&self) -> Result<Connection> {
        let mut pool = self.pool.lock().expect("no holder of this lock panics");
        loop {
            if let Some(connection) = pool.idle.pop() {
                return Ok(connection);
            }
            if pool.made < MAX {
                pool.made += 1;
                drop(pool);
                return self.target.open().map_err(|error| {
                    self.pool.lock().expect("no holder of this lock panics").made -= 1;
                    self.returned.notify_one();
                    error.into()
                });
            }
            pool = self.returned.wait(pool).expect("no holder of this lock panics");
        }
    }
}

/// Gives its connection back when dropped, also when the closure panics.
struct Lent<'a> {
    connection: Option<Connection>,
    readers: &'a Readers,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.pool.lock().expect("no holder of this lock panics");
        match self.connection.take() {
            // An open transaction means that a panic or an error unwound through it.
            Some(connection) if connection.is_autocommit() => pool.idle.push(connection),
            _ => pool.made -= 1,
        }
        self.readers.returned.notify_one();
    }
}
