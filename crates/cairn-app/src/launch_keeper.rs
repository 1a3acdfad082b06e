//! Looking after launches for as long as a program of Cairn is open.

use std::{
    path::Path,
    sync::mpsc::{RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use cairn_runtime::launch::{Keep, Launches};

/// How often launches are looked at; what nobody supervises any more is closed within this time.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A thread that closes what nobody supervises any more and lets the queue go on; at its start it
/// prunes what ended long ago. It ends when this
/// is dropped.
#[derive(Debug)]
pub struct LaunchKeeper {
    end: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LaunchKeeper {
    /// Begins at once; `None` when the system has no thread left.
    pub fn start(data_dir: &Path) -> Option<Self> {
        let launches = Launches::new(data_dir);
        let (end, ended) = sync_channel(0);
        let thread = std::thread::Builder::new().name("launches".to_owned()).spawn(move || {
            let mut is_pruned = false;
            loop {
                if let Err(error) = launches.recover() {
                    tracing::warn!(%error, "launches could not be looked at");
                }
                // Once, after what is not over was seen to.
                if !std::mem::replace(&mut is_pruned, true) {
                    let is_cancelled = || !matches!(ended.try_recv(), Err(TryRecvError::Empty));
                    match launches.prune(&Keep::default(), &is_cancelled) {
                        Ok(0) => {}
                        Ok(count) => tracing::info!(count, "old launches were pruned"),
                        Err(error) => tracing::warn!(%error, "old launches are kept"),
                    }
                }
                // The sender is never used but to be dropped.
                if !matches!(ended.recv_timeout(LOOK_EVERY), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        });
        let thread = thread
            .inspect_err(|error| tracing::warn!(%error, "nobody looks after launches"))
            .ok()?;
        Some(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for LaunchKeeper {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It closes what it is at; a panic in it is no reason for another one here.
            let _ = thread.join();
        }
    }
}
