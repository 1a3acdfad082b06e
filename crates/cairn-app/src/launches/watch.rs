//! Tells windows what launches do: supervisors are other processes, so their folders are looked at.

use std::{collections::HashMap, time::Duration};

use cairn_runtime::launch::{LaunchId, Launches};
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
        let mut seen: HashMap<LaunchId, Seen> = HashMap::new();
        let mut queue = None;
        loop {
            let (asked, known) = (launches.clone(), seen.clone());
            let looked =
                tokio::task::spawn_blocking(move || (asked.queue_stamp(), look(&asked, &known)))
                    .await;
            let Ok((stamp, now)) = looked else { return };
            let Some(inner) = app.upgrade() else { return };
            let app = App { inner };
            if queue.as_ref() != Some(&stamp) || has_moved(&seen, &now) {
                // The first look is no news.
                if queue.is_some() {
                    app.tell(LiveEvent::Queue);
                }
            }
            queue = Some(stamp);
            for (launch_id, seen_now) in &now {
                let before = seen.get(launch_id).map_or(0, |before| before.log_bytes);
                if seen_now.log_bytes > before {
                    app.tell(LiveEvent::Log {
                        launch_id: launch_id.to_string(),
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

fn look(launches: &Launches, before: &HashMap<LaunchId, Seen>) -> HashMap<LaunchId, Seen> {
    let ids = launches.active_ids().unwrap_or_default().into_iter();
    ids.filter_map(|id| {
        let ledger_bytes = launches.ledger_bytes(&id);
        let run_id = match before.get(&id) {
            Some(known) if known.ledger_bytes == ledger_bytes => known.run_id.clone(),
            _ => launches.get(&id).ok()?.run_id,
        };
        let log_bytes = launches.log(&id).len();
        Some((id, Seen { ledger_bytes, log_bytes, run_id }))
    })
    .collect()
}

fn has_moved(before: &HashMap<LaunchId, Seen>, now: &HashMap<LaunchId, Seen>) -> bool {
    before.len() != now.len()
        || now.iter().any(|(id, seen)| {
            before.get(id).is_none_or(|before| before.ledger_bytes != seen.ledger_bytes)
        })
}
