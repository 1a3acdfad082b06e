//! Tells windows what launches do: supervisors are other processes, so their folders are looked at.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use tokio::time;

use crate::{app::App, dto::LiveEvent};

/// How often the folders are looked at while something runs or waits.
const BUSY: Duration = Duration::from_millis(200);
/// How often one looks whether something was submitted, by another program too.
const IDLE: Duration = Duration::from_secs(1);

/// What was seen of one launch.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Seen {
    ledger_bytes: u64,
    log_bytes: u64,
    run_id: Option<String>,
}

/// Tells of launches until the application ends.
pub(crate) fn follow(app: &App) {
    let launches = app.inner.launches.clone();
    let app = std::sync::Arc::downgrade(&app.inner);
    tokio::spawn(async move {
        let root = launches.data_dir().join("launches");
        let mut seen: HashMap<String, Seen> = HashMap::new();
        let mut queue = None;
        loop {
            let (asked, known) = (launches.clone(), seen.clone());
            let (path, folder) = (root.join("queue.json"), root.join("active"));
            let looked = tokio::task::spawn_blocking(move || {
                (changed(&path), changed(&folder), look(&asked, &known))
            })
            .await;
            let Ok((file, folder, now)) = looked else { return };
            let Some(inner) = app.upgrade() else { return };
            let app = App { inner };
            if queue.as_ref() != Some(&(file, folder)) || has_moved(&seen, &now) {
                // The first look is no news.
                if queue.is_some() {
                    app.tell(LiveEvent::Queue);
                }
            }
            queue = Some((file, folder));
            for (launch_id, seen_now) in &now {
                let before = seen.get(launch_id).map_or(0, |before| before.log_bytes);
                if seen_now.log_bytes > before {
                    app.tell(LiveEvent::Log {
                        launch_id: launch_id.clone(),
                        run_id: seen_now.run_id.clone(),
                    });
                }
            }
            let pause = if now.is_empty() { IDLE } else { BUSY };
            seen = now;
            drop(app);
            time::sleep(pause).await;
        }
    });
}

fn look(
    launches: &cairn_runtime::launch::Launches,
    before: &HashMap<String, Seen>,
) -> HashMap<String, Seen> {
    let active = fs::read_dir(launches.data_dir().join("launches/active"));
    let ids = active.into_iter().flatten().flatten().filter_map(|entry| {
        entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<cairn_runtime::launch::LaunchId>().ok())
    });
    ids.filter_map(|id| {
        let folder = launches.folder(&id);
        let ledger_bytes = fs::metadata(folder.join("ledger")).map_or(0, |data| data.len());
        let known = before.get(id.as_str());
        // The ledger is read only when it grew.
        let run_id = match known {
            Some(known) if known.ledger_bytes == ledger_bytes => known.run_id.clone(),
            _ => launches.get(&id).ok()?.run_id,
        };
        Some((id.to_string(), Seen { ledger_bytes, log_bytes: log_bytes(&folder), run_id }))
    })
    .collect()
}

fn log_bytes(folder: &Path) -> u64 {
    let parts = fs::read_dir(folder.join("log")).into_iter().flatten().flatten();
    // Parts begin where their names say, so the furthest end is how long the log is.
    parts
        .map(|part| {
            let start = part
                .file_name()
                .to_str()
                .and_then(|name| u64::from_str_radix(name.strip_prefix("tail-")?, 16).ok());
            start.unwrap_or(0) + part.metadata().map_or(0, |data| data.len())
        })
        .max()
        .unwrap_or(0)
}

fn has_moved(before: &HashMap<String, Seen>, now: &HashMap<String, Seen>) -> bool {
    before.len() != now.len()
        || now.iter().any(|(id, seen)| {
            before.get(id).is_none_or(|before| before.ledger_bytes != seen.ledger_bytes)
        })
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}
