//! The writer: one thread, one connection, many requests per commit.
//!
//! Requests wait in a bounded queue. The thread takes all that wait (up to [`BATCH_MAX`]), runs each
//! in a savepoint of one transaction, commits once with `synchronous=FULL`, and only then answers
//! them all. A request that fails rolls back alone. Between batches, and four times a second while
//! idle, it looks whether another program changed the file.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, RwLock,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use cairn_core::UnixMillis;
use rusqlite::Connection;

use crate::{
    Change, ChangeSet, Result, Shape, StoreError,
    changes::ChangeFeed,
    schema,
    tx::{ReadTx, WriteTx},
};

/// Requests in one commit.
const BATCH_MAX: usize = 1024;
/// A batch stops growing after this, so that other programs get the lock.
const BATCH_TIME: Duration = Duration::from_millis(100);
/// Requests that may wait; more make their senders wait.
const QUEUE: usize = 4096;
/// How often an idle writer looks for changes by other programs.
const WATCH: Duration = Duration::from_millis(250);

/// A request: runs once inside a savepoint; the second closure answers with the outcome.
pub(crate) struct Request {
    /// Does the work. Its error rolls back its savepoint.
    pub work: Work,
    /// Whether nobody waits for the answer any more: then it is not begun.
    pub is_abandoned: Box<dyn Fn() -> bool + Send>,
    /// Told the outcome if the work never got to answer by itself (failure, commit error).
    pub fail: Fail,
}

/// What a request does in its savepoint.
pub(crate) type Work = Box<dyn FnOnce(&mut WriteTx<'_>) -> Result<Answer> + Send>;

/// Sends a request's value to whoever waits; called after the commit.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

/// Sends an error to whoever waits.
pub(crate) type Fail = Box<dyn FnOnce(StoreError) + Send>;

/// Tells the time of a write.
pub(crate) type Clock = Box<dyn Fn() -> UnixMillis + Send>;

/// The shape of the file and why it may not be written, shared with readers.
#[derive(Debug)]
pub(crate) struct FileState {
    pub shape: Arc<Shape>,
    pub read_only: Option<String>,
}

/// The sending side.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: SyncSender<Request>,
}

impl Writer {
    /// Starts the thread. It ends when every sender is gone and the queue is empty.
    pub fn start(
        connection: Connection,
        dir: PathBuf,
        state: Arc<RwLock<FileState>>,
        feed: ChangeFeed,
        clock: Clock,
    ) -> std::io::Result<(Self, thread::JoinHandle<()>)> {
        let (queue, requests) = sync_channel(QUEUE);
        // Here and not in the thread, so that what others commit from now on is noticed.
        let data_version =
            connection.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap_or(-1);
        let worker = Worker { connection, dir, state, feed, clock, data_version };
        let thread = thread::Builder::new()
            .name("cairn-store-writer".into())
            .spawn(move || worker.run(&requests))?;
        Ok((Self { queue }, thread))
    }

    /// Queues a request, or gives it back while the queue is full.
    pub fn try_send(&self, request: Request) -> Result<(), Request> {
        match self.queue.try_send(request) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(request)) => Err(request),
            Err(TrySendError::Disconnected(request)) => {
                (request.fail)(StoreError::Closed);
                Ok(())
            }
        }
    }

    /// Queues a request; waits while the queue is full.
    pub fn send(&self, request: Request) {
        if let Err(error) = self.queue.send(request) {
            (error.0.fail)(StoreError::Closed);
        }
    }
}

/// Only the writer thread holds this.
struct Worker {
    connection: Connection,
    dir: PathBuf,
    state: Arc<RwLock<FileState>>,
    feed: ChangeFeed,
    clock: Clock,
    /// SQLite's counter of commits by others, as last seen on this connection.
    data_version: i64,
}

impl Worker {
    fn run(mut self, requests: &Receiver<Request>) {
        // What they committed since the shape was read.
        self.refresh_shape();
        self.watch();
        loop {
            match requests.recv_timeout(WATCH) {
                Ok(first) => self.batch(first, requests),
                Err(RecvTimeoutError::Timeout) => self.watch(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.refresh_statistics();
    }

    /// Brings the query planner's statistics up to date in a file that has some. In another this
    /// would add tables of SQLite's to MLflow's. Failure costs only speed.
    fn refresh_statistics(&self) {
        let has_some = self.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1')",
            [],
            |row| row.get(0),
        );
        if has_some.unwrap_or(false) {
            let _ = self.connection.execute_batch("PRAGMA analysis_limit=400; PRAGMA optimize;");
        }
    }

    /// Notices commits by other programs.
    fn watch(&mut self) {
        let Ok(version) = self.read_data_version() else { return };
        let is_first = self.data_version == -1;
        if version != self.data_version {
            self.data_version = version;
            if !is_first {
                self.refresh_shape();
                let mut changes = ChangeSet::default();
                changes.add(Change::Everything);
                self.feed.publish(changes);
            }
        }
    }

    fn read_data_version(&self) -> rusqlite::Result<i64> {
        self.connection
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get::<_, i64>(0))
    }

    /// Runs a statement that begins or ends something; it is compiled once.
    fn execute(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(drop)
    }

    /// Reads the shape again if the schema changed since; a file that lost MLflow's tables keeps
    /// its last shape, and its statements fail one by one.
    fn refresh_shape(&self) -> Arc<Shape> {
        let known = self.state.read().expect("no holder of this lock panics").shape.clone();
        let is_known = schema::schema_version(&self.connection)
            .is_ok_and(|version| version == known.schema_version)
            && schema::revision(&self.connection).is_ok_and(|revision| revision == known.revision);
        if is_known {
            return known;
        }
        let Ok(Ok(shape)) = Shape::read(&self.connection) else { return known };
        let shape = Arc::new(shape);
        let mut state = self.state.write().expect("no holder of this lock panics");
        if state.read_only.is_none() {
            state.read_only = shape.why_read_only();
        }
        state.shape = shape.clone();
        shape
    }

    fn batch(&mut self, first: Request, requests: &Receiver<Request>) {
        let read_only = self.state.read().expect("no holder of this lock panics").read_only.clone();
        if let Some(reason) = read_only {
            (first.fail)(StoreError::ReadOnly { path: self.dir.clone(), reason });
            return;
        }
        self.watch();
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            let error = StoreError::from(error).at(&self.dir);
            self.stop_if_damaged(&error);
            let mut refused = vec![first];
            if matches!(error, StoreError::Busy) {
                // All that wait now would wait as long again, one after the other.
                refused.extend(requests.try_iter());
            }
            for request in refused {
                (request.fail)(error.clone());
            }
            return;
        }
        // Inside the transaction no other program can change the schema any more.
        let shape = self.refresh_shape();
        if let Some(reason) = shape.why_read_only() {
            let _ = self.connection.execute_batch("ROLLBACK");
            (first.fail)(StoreError::ReadOnly { path: self.dir.clone(), reason });
            return;
        }
        let started = Instant::now();
        let mut changes = ChangeSet::default();
        let mut done: Vec<(Answer, Fail)> = Vec::new();
        let mut next = Some(first);
        while let Some(Request { work, is_abandoned, fail }) = next.take() {
            if is_abandoned() {
                fail(StoreError::Closed);
            } else {
                match self.one(work, &shape, &mut changes) {
                    Ok(answer) => done.push((answer, fail)),
                    Err(error) => {
                        let error = error.at(&self.dir);
                        self.stop_if_damaged(&error);
                        fail(error.clone());
                        // Nothing of this transaction goes to a damaged file, and no further request.
                        if matches!(error, StoreError::Corrupt(_)) {
                            let _ = self.connection.execute_batch("ROLLBACK");
                            return fail_all(done, &error);
                        }
                        // A full disk or an I/O error ends the whole transaction.
                        if self.connection.is_autocommit() {
                            return fail_all(done, &error);
                        }
                    }
                }
            }
            if done.len() < BATCH_MAX && started.elapsed() < BATCH_TIME {
                next = requests.try_recv().ok();
            }
        }
        match self.execute("COMMIT") {
            Ok(()) => {
                self.feed.publish(changes);
                for (answer, _) in done {
                    answer();
                }
            }
            Err(error) => {
                let _ = self.connection.execute_batch("ROLLBACK");
                let error = StoreError::from(error).at(&self.dir);
                self.stop_if_damaged(&error);
                fail_all(done, &error);
            }
        }
    }

    /// Writes no more to a file that SQLite found damaged: each further write could spoil more.
    fn stop_if_damaged(&self, error: &StoreError) {
        if let StoreError::Corrupt(finding) = error {
            note_damage(&self.state, &self.feed, finding);
        }
    }

    fn one(&self, work: Work, shape: &Shape, changes: &mut ChangeSet) -> Result<Answer> {
        self.execute("SAVEPOINT request")?;
        let mut own = ChangeSet::default();
        let mut tx = WriteTx {
            read: ReadTx { connection: &self.connection, shape },
            changes: &mut own,
            now: (self.clock)(),
        };
        // A fault of one request must not end the thread that serves all the others.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut tx)))
            .unwrap_or_else(|_| Err(StoreError::Fault("a panic while writing".to_owned())));
        match outcome {
            Ok(answer) => {
                self.execute("RELEASE request")?;
                changes.merge(&own);
                Ok(answer)
            }
            Err(error) => {
                if !self.connection.is_autocommit() {
                    self.connection.execute_batch("ROLLBACK TO request; RELEASE request")?;
                }
                Err(error)
            }
        }
    }
}

/// From now on the store is read only, and says why and what to do.
pub(crate) fn note_damage(state: &RwLock<FileState>, feed: &ChangeFeed, finding: &str) {
    let mut state = state.write().expect("no holder of this lock panics");
    if state.read_only.is_none() {
        tracing::error!(finding, "the database is damaged; nothing more is written to it");
        state.read_only = Some(format!(
            "its database is damaged ({finding}), so Cairn writes no more to it and leaves it as \
             it is. Restore a backup; this file is kept."
        ));
        drop(state);
        let mut changes = ChangeSet::default();
        changes.add(Change::Everything);
        feed.publish(changes);
    }
}

fn fail_all(done: Vec<(Answer, Fail)>, error: &StoreError) {
    for (_, fail) in done {
        fail(error.clone());
    }
}
