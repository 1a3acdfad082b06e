//! Backups of the open store, or of the one that could not be opened: listed, taken, put back.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cairn_core::UnixMillis;
use cairn_store::{
    OpenOptions,
    backup::{BackupError, BackupFolder, Restored},
    store::DATABASE,
};
use serde::Deserialize;
use ts_rs::TS;

use crate::{
    app::App,
    commands::NoArgs,
    dto::{BackupEntry, BackupList, BackupRestored, CommandError, ErrorCode, Job, LiveEvent},
    errors,
    jobs::Jobs,
};

const TITLE: &str = "Back up";
/// How long requests that are being answered may hold the store that is to be replaced.
const CLOSING: Duration = Duration::from_secs(10);

/// Which backup.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct BackupRef {
    /// From [`BackupEntry::name`].
    pub name: String,
}

pub(crate) async fn list(app: &App, _: NoArgs) -> Result<BackupList, CommandError> {
    let folder = folder(app);
    let failure = app
        .inner
        .backups
        .lock()
        .expect("no holder of this lock panics")
        .as_ref()
        .and_then(|keeper| keeper.kept().failure);
    tokio::task::spawn_blocking(move || {
        let backups = folder.list().map_err(failed)?;
        Ok(BackupList {
            folder: errors::shorten_home(folder.dir()),
            backups: backups
                .into_iter()
                .map(|backup| BackupEntry {
                    name: backup.name(),
                    taken_at: backup.taken_at.0,
                    size_bytes: backup.size_bytes,
                })
                .collect(),
            failure,
        })
    })
    .await
    .map_err(errors::internal)?
}

pub(crate) async fn start(app: &App, _: NoArgs) -> Result<Job, CommandError> {
    app.store()?;
    let folder = folder(app);
    Jobs::start(app, TITLE, |job| async move {
        job.step("Copying and checking the database", None);
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let told = is_cancelled.clone();
        let mut taking =
            tokio::task::spawn_blocking(move || folder.take_unless(&told, UnixMillis::now()));
        let taken = tokio::select! {
            taken = &mut taking => taken,
            () = job.cancel.cancelled() => {
                is_cancelled.store(true, Ordering::Relaxed);
                taking.await
            }
        };
        taken.map_err(errors::internal)?.map(drop).map_err(failed)
    })
}

/// Closes the store, puts the backup in its place, and opens it again; when that fails the store is
/// opened as it was.
pub(crate) async fn restore(app: &App, args: BackupRef) -> Result<BackupRestored, CommandError> {
    let path = store_path(app);
    let folder = folder(app);
    let restored = {
        let _nothing_is_opened_meanwhile = app.inner.opening.lock().await;
        app.close_store().await;
        tokio::task::spawn_blocking(move || restore_when_closed(&folder, &args.name))
            .await
            .map_err(errors::internal)?
            .map_err(failed)
    };
    let opened = app.open(&path, OpenOptions::Existing).await;
    if opened.is_err() {
        app.tell(LiveEvent::Store { status: None });
    }
    let restored = restored?;
    opened?;
    Ok(BackupRestored {
        replaced: restored.replaced.map(|path| errors::shorten_home(&path)),
        lost_minutes: restored.lost.as_millis().div_ceil(60_000) as u64,
    })
}

/// Waits for requests that still hold the store.
fn restore_when_closed(folder: &BackupFolder, name: &str) -> Result<Restored, BackupError> {
    let backup = folder.find(Some(name))?;
    let began = Instant::now();
    loop {
        match folder.restore(&backup, UnixMillis::now()) {
            Err(BackupError::InUse { .. }) if began.elapsed() < CLOSING => {
                std::thread::sleep(Duration::from_millis(50));
            }
            other => return other,
        }
    }
}

fn folder(app: &App) -> BackupFolder {
    let open = app.store().ok().map(|store| store.database().to_owned());
    let database = open.unwrap_or_else(|| {
        let path = store_path(app);
        if path.is_file() { path } else { path.join(DATABASE) }
    });
    BackupFolder::new(&app.inner.options.backups(), &database)
}

/// The store that is open, or the one that the next start would open.
fn store_path(app: &App) -> PathBuf {
    if let Ok(store) = app.store() {
        return store.database().to_owned();
    }
    let last = || app.settings().recent_stores.first().map(PathBuf::from);
    let asked = app.inner.options.store.clone();
    asked.or_else(last).unwrap_or_else(|| app.inner.options.default_store())
}

fn failed(error: BackupError) -> CommandError {
    let code = match error {
        BackupError::NoSpace { .. } => ErrorCode::DiskFull,
        BackupError::InUse { .. } => ErrorCode::Busy,
        BackupError::Missing { .. } => ErrorCode::NotFound,
        BackupError::Cancelled => ErrorCode::Cancelled,
        _ => ErrorCode::Internal,
    };
    CommandError::new(code, error.to_string()).with_hint(error.hint())
}
