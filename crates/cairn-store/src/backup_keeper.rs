//! Takes backups of an open store by itself: regularly, and only when something changed.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use cairn_core::UnixMillis;
use tokio::sync::broadcast;

use crate::{
    ChangeSet, Store,
    backup::{Backup, BackupError, BackupFolder},
};

/// When a keeper takes backups.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// The least time between two backups.
    pub every: Duration,
    /// How often it looks whether one is due; the first look is this long after the start, so that
    /// opening a store costs nothing.
    pub look: Duration,
    /// The time of day.
    pub clock: fn() -> UnixMillis,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            every: Duration::from_mins(30),
            look: Duration::from_mins(5),
            clock: UnixMillis::now,
        }
    }
}

/// How backups stand.
#[derive(Debug, Clone, Default)]
pub struct KeptBackups {
    /// The newest one.
    pub newest: Option<Backup>,
    /// Why the last attempt failed, in a sentence; `None` after a success.
    pub failure: Option<String>,
}

/// Backs an open store up as long as it is not dropped. It does not keep the store open.
#[derive(Debug)]
pub struct BackupKeeper {
    folder: BackupFolder,
    kept: Arc<Mutex<KeptBackups>>,
    is_cancelled: Arc<AtomicBool>,
    stop: Option<SyncSender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl BackupKeeper {
    /// Starts the thread.
    pub fn start(store: &Store, folder: BackupFolder, schedule: Schedule) -> io::Result<Self> {
        let newest = folder.list().ok().and_then(|backups| backups.into_iter().next());
        let has_changed = newest.as_ref().is_none_or(|newest| folder.has_changed_since(newest));
        let kept = Arc::new(Mutex::new(KeptBackups { newest, failure: None }));
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = sync_channel(1);
        let worker = Worker {
            folder: folder.clone(),
            schedule,
            changes: store.subscribe(),
            has_changed,
            kept: kept.clone(),
            is_cancelled: is_cancelled.clone(),
        };
        let thread = thread::Builder::new()
            .name("cairn-store-backups".into())
            .spawn(move || worker.run(&stopped))?;
        Ok(Self { folder, kept, is_cancelled, stop: Some(stop), thread: Some(thread) })
    }

    /// Where the backups lie.
    pub fn folder(&self) -> &BackupFolder {
        &self.folder
    }

    /// How backups stand now.
    pub fn kept(&self) -> KeptBackups {
        self.kept.lock().expect("no holder of this lock panics").clone()
    }

    /// Takes a backup now, whether or not one is due.
    pub fn take_now(&self) -> Result<Backup, BackupError> {
        take(&self.folder, &self.kept, &self.is_cancelled, UnixMillis::now())
    }
}

impl Drop for BackupKeeper {
    fn drop(&mut self) {
        // A backup that is being taken is given up: the next start takes one.
        self.is_cancelled.store(true, Ordering::Relaxed);
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Worker {
    folder: BackupFolder,
    schedule: Schedule,
    changes: broadcast::Receiver<Arc<ChangeSet>>,
    has_changed: bool,
    kept: Arc<Mutex<KeptBackups>>,
    is_cancelled: Arc<AtomicBool>,
}

impl Worker {
    fn run(mut self, stopped: &Receiver<()>) {
        while stopped.recv_timeout(self.schedule.look) == Err(RecvTimeoutError::Timeout) {
            self.look();
        }
    }

    fn look(&mut self) {
        use broadcast::error::TryRecvError;
        while let Ok(_) | Err(TryRecvError::Lagged(_)) = self.changes.try_recv() {
            self.has_changed = true;
        }
        let now = (self.schedule.clock)();
        if !self.has_changed || !self.is_due(now) {
            return;
        }
        match take(&self.folder, &self.kept, &self.is_cancelled, now) {
            Ok(_) => self.has_changed = false,
            Err(BackupError::Cancelled) => {}
            Err(error) => tracing::warn!(%error, "no backup of the store could be taken"),
        }
    }

    /// Whether the newest backup is old enough, by a clock that may have been set back since.
    fn is_due(&self, now: UnixMillis) -> bool {
        let newest = self.folder.list().ok().and_then(|backups| backups.into_iter().next());
        newest.is_none_or(|newest| {
            let age_ms = now.0 - newest.taken_at.0;
            u64::try_from(age_ms)
                .map_or(true, |ms| Duration::from_millis(ms) >= self.schedule.every)
        })
    }
}

fn take(
    folder: &BackupFolder,
    kept: &Mutex<KeptBackups>,
    is_cancelled: &AtomicBool,
    now: UnixMillis,
) -> Result<Backup, BackupError> {
    let taken = folder.take_unless(is_cancelled, now);
    let mut kept = kept.lock().expect("no holder of this lock panics");
    match &taken {
        Ok(backup) => {
            *kept = KeptBackups { newest: Some(backup.clone()), failure: None };
        }
        Err(BackupError::Cancelled) => {}
        Err(error) => kept.failure = Some(error.to_string()),
    }
    taken
}
