//! Following a folder: what is written to it later comes in too.
//!
//! The system's events are hints at what to look at; what is true is found by looking. Lost events,
//! a folder that cannot be watched and a long silence all lead to a whole pass.

use std::{
    collections::HashSet,
    path::{Component, Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::{Duration, Instant},
};

use cairn_runtime::CancellationToken;
use cairn_store::StoreError;
use notify::{EventKind, RecursiveMode, Watcher as _};

use super::{
    ImportError,
    pass::{Importer, Pass},
    report::{ImportCounts, SkipGroup},
};

/// Events that wait; more lead to a whole pass.
const QUEUE: usize = 8_192;
/// A pass begins when nothing happened for this long …
const QUIET: Duration = Duration::from_millis(200);
/// … or this long after the first event.
const LATEST: Duration = Duration::from_secs(1);
/// A whole pass where the folder cannot be watched.
const POLL: Duration = Duration::from_secs(10);
/// A whole pass where it can: file systems of other machines tell nothing.
const SAFETY: Duration = Duration::from_mins(5);
/// Files that were just written are looked at again after this.
const UNSETTLED: Duration = Duration::from_secs(2);
/// How often to look whether to stop.
const TICK: Duration = Duration::from_millis(100);
/// More changed runs than this are a reason for a whole pass.
const MANY: usize = 500;

/// What following has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Following {
    /// What came in since following began.
    pub counts: ImportCounts,
    /// What the last pass left out.
    pub skipped: Vec<SkipGroup>,
    /// Passes that brought something.
    pub arrivals: u64,
    /// Why the folder is looked at every ten seconds instead of being watched.
    pub polls_because: Option<String>,
}

/// Follows a folder until it is cancelled, which is no error; `tell` hears of every pass that
/// brought something, and once at the beginning. Blocks; call it off the async threads.
///
/// Errors: those of a pass; a store that is busy is tried again.
pub fn follow(
    importer: &mut Importer,
    cancel: &CancellationToken,
    tell: &dyn Fn(&Following),
) -> Result<(), ImportError> {
    importer.follows = true;
    let events = Events::watch(&importer.root);
    let mut following =
        Following { polls_because: events.polls_because.clone(), ..Following::default() };
    // What was written between the import and the first watch.
    let mut wanted = Wanted::all();
    let mut is_first = true;
    loop {
        if wanted.is_due() {
            let mut pass = Pass::default();
            let only = wanted.take();
            match importer.pass_over(only.as_ref(), &mut pass, cancel, &|_| {}) {
                Err(ImportError::Cancelled) => return Ok(()),
                Err(ImportError::Store(StoreError::Busy)) => wanted.add_all(),
                // A folder that cannot be read may come back: a disk that was unmounted.
                Ok(()) | Err(ImportError::Unreadable { .. }) => {}
                Err(error) => return Err(error),
            }
            wanted.add_later(std::mem::take(&mut pass.unsettled));
            if is_first || brought(&pass.counts) {
                following.arrivals += u64::from(brought(&pass.counts));
                add(&mut following.counts, &pass.counts);
                following.skipped = pass.skips.groups();
                tell(&following);
                is_first = false;
            }
        }
        if cancel.is_cancelled() {
            return Ok(());
        }
        events.gather(&importer.root, &mut wanted);
    }
}

fn brought(counts: &ImportCounts) -> bool {
    counts.experiments
        + counts.runs
        + counts.runs_updated
        + counts.metric_values
        + counts.logged_models
        + counts.registered_models
        + counts.model_versions
        + counts.files
        > 0
}

fn add(sum: &mut ImportCounts, new: &ImportCounts) {
    sum.experiments += new.experiments;
    sum.runs += new.runs;
    sum.runs_updated += new.runs_updated;
    sum.metric_values += new.metric_values;
    sum.logged_models += new.logged_models;
    sum.registered_models += new.registered_models;
    sum.model_versions += new.model_versions;
    sum.files += new.files;
    sum.file_bytes += new.file_bytes;
}

/// What the next pass is to look at.
struct Wanted {
    everything: bool,
    paths: HashSet<PathBuf>,
    first: Option<Instant>,
    last: Option<Instant>,
    later: HashSet<PathBuf>,
    later_at: Option<Instant>,
    whole_pass: Instant,
}

impl Wanted {
    fn all() -> Self {
        let long_ago = Instant::now().checked_sub(LATEST);
        Self {
            everything: true,
            paths: HashSet::new(),
            first: long_ago.or_else(|| Some(Instant::now())),
            last: long_ago,
            later: HashSet::new(),
            later_at: None,
            whole_pass: Instant::now(),
        }
    }

    fn add(&mut self, path: PathBuf) {
        self.paths.insert(path);
        if self.paths.len() > MANY {
            self.everything = true;
        }
        self.touch();
    }

    fn add_all(&mut self) {
        self.everything = true;
        self.touch();
    }

    fn add_later(&mut self, paths: HashSet<PathBuf>) {
        if !paths.is_empty() {
            self.later.extend(paths);
            self.later_at = Some(Instant::now() + UNSETTLED);
        }
    }

    fn touch(&mut self) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// Whether something waits, and has come to rest or waited long enough.
    fn is_due(&mut self) -> bool {
        if self.later_at.is_some_and(|at| at <= Instant::now()) {
            self.later_at = None;
            let later = std::mem::take(&mut self.later);
            self.paths.extend(later);
            return true;
        }
        let is_quiet = self.last.is_none_or(|last| last.elapsed() >= QUIET);
        self.first.is_some_and(|first| is_quiet || first.elapsed() >= LATEST)
    }

    /// What to look at; `None` for everything.
    fn take(&mut self) -> Option<HashSet<PathBuf>> {
        let paths = std::mem::take(&mut self.paths);
        let everything = std::mem::take(&mut self.everything);
        (self.first, self.last) = (None, None);
        if everything {
            self.whole_pass = Instant::now();
        }
        (!everything).then_some(paths)
    }
}

/// The system's events about a folder.
struct Events {
    receiver: Receiver<PathBuf>,
    lost: Arc<AtomicBool>,
    polls_because: Option<String>,
    /// Ends with this.
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Events {
    fn watch(root: &Path) -> Self {
        let (sender, receiver) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicBool::new(false));
        let heard_lost = lost.clone();
        let heard = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else {
                heard_lost.store(true, Ordering::Release);
                return;
            };
            if matches!(event.kind, EventKind::Access(_)) && !event.need_rescan() {
                return;
            }
            if event.need_rescan() || event.paths.is_empty() {
                heard_lost.store(true, Ordering::Release);
            }
            for path in event.paths {
                if sender.try_send(path).is_err() {
                    heard_lost.store(true, Ordering::Release);
                }
            }
        };
        let watcher = notify::recommended_watcher(heard).and_then(|mut watcher| {
            watcher.watch(root, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        let (watcher, polls_because) = match watcher {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self { receiver, lost, polls_because, _watcher: watcher }
    }

    /// Waits a moment for events and sorts them.
    fn gather(&self, root: &Path, wanted: &mut Wanted) {
        match self.receiver.recv_timeout(TICK) {
            Ok(path) => {
                let more = std::iter::from_fn(|| self.receiver.try_recv().ok());
                for path in std::iter::once(path).chain(more) {
                    match path.strip_prefix(root).ok().and_then(unit_of) {
                        Some(unit) => wanted.add(unit),
                        None => wanted.add_all(),
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // Without a watcher there is nobody to wait for.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK),
        }
        if self.lost.swap(false, Ordering::AcqRel) {
            wanted.add_all();
        }
        let pause = if self.polls_because.is_some() { POLL } else { SAFETY };
        if wanted.whole_pass.elapsed() >= pause {
            wanted.add_all();
        }
    }
}

/// The run, model, registered model or experiment that a path (from the root on) belongs to;
/// `None` if that cannot be said.
fn unit_of(path: &Path) -> Option<PathBuf> {
    let mut parts = Vec::new();
    for part in path.components() {
        let Component::Normal(part) = part else { return None };
        parts.push(part.to_str()?);
    }
    let length = match parts.as_slice() {
        // The registry, or an experiment's own folder.
        ["models", _, ..] => 2,
        // Deleted, restored: what it was before is elsewhere.
        [".trash", ..] | [] | [_] => return None,
        [_, "models", _, ..] => 3,
        // What an experiment has of its own: its datasets belong to the runs that name them.
        [_, "tags" | "meta.yaml" | "datasets" | "models" | "traces", ..] => 1,
        [_, _, ..] => 2,
    };
    Some(parts[..length].iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_a_run_a_model_or_an_experiment() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(unit_of(Path::new(path)), expected.map(PathBuf::from), "{path}");
        };
        check("0/abc/metrics/a/b", Some("0/abc"));
        check("0/abc", Some("0/abc"));
        check("0/models/m-1/artifacts/MLmodel", Some("0/models/m-1"));
        check("0/models", Some("0"));
        check("0/meta.yaml", Some("0"));
        check("0/tags/mlflow.note.content", Some("0"));
        check("models/reg/version-1/meta.yaml", Some("models/reg"));
        check("models", None);
        check("7", None);
        check(".trash/7/x", None);
        check("", None);
    }
}
