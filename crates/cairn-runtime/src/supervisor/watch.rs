//! The second thread of a supervisor: keeps the tracking address served, measures the machine.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::measure::Meter;
use crate::launch::{Launch, LaunchSpec};
use crate::serving;
use crate::tracking::Metric;

/// How often it is looked whether the address is served.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often it is looked whether someone who waits was stopped.
const LOOK_FOR_STOP: Duration = Duration::from_millis(100);

/// How long the start of a launch waits for the address.
const SERVED_LIMIT: Duration = Duration::from_secs(20);

/// How many values wait at most while the server is away; then the oldest are lost.
const MAX_WAITING: usize = 4000;

#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_served: bool,
    /// The run that measurements belong to, while the child is at work.
    measured: Option<String>,
    child: i32,
    is_over: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    pub(super) fn start(launch: &Launch, data_dir: &Path) -> Self {
        let shared = Arc::new(Shared::default());
        let watcher = Watcher {
            shared: shared.clone(),
            spec: launch.spec.clone(),
            data_dir: data_dir.to_owned(),
            meter: None,
            waiting: VecDeque::new(),
            step: 0,
        };
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || watcher.run())
            .inspect_err(|error| eprintln!("nothing watches the tracking address: {error}"))
            .ok();
        Self { shared, thread }
    }

    /// Waits until the address is served, or it seems that it will not be, or nobody wants it.
    pub(super) fn wait_until_served(&self, is_stopped: impl Fn() -> bool) {
        let begin = Instant::now();
        let mut state = self.shared.state();
        while self.thread.is_some()
            && !state.is_served
            && !is_stopped()
            && begin.elapsed() < SERVED_LIMIT
        {
            let waited = self.shared.changed.wait_timeout(state, LOOK_FOR_STOP);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Measures for this run from now on.
    pub(super) fn measure(&self, run_id: Option<String>) {
        self.shared.state().measured = run_id;
        self.shared.changed.notify_all();
    }

    pub(super) fn note_child(&self, pid: i32) {
        self.shared.state().child = pid;
    }

    pub(super) fn stop_measuring(&self) {
        self.measure(None);
    }

    pub(super) fn end(&mut self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Watcher {
    shared: Arc<Shared>,
    spec: LaunchSpec,
    data_dir: PathBuf,
    /// There while a child is at work.
    meter: Option<(String, Meter, Instant)>,
    /// Values that the server does not have yet.
    waiting: VecDeque<Metric>,
    step: i64,
}

impl Watcher {
    fn run(mut self) {
        loop {
            let is_served = self.keep_served();
            let mut state = self.shared.state();
            if is_served && !state.is_served {
                state.is_served = true;
                self.shared.changed.notify_all();
            }
            if state.is_over {
                return;
            }
            let (state, _) = self
                .shared
                .changed
                .wait_timeout(state, LOOK_EVERY)
                .unwrap_or_else(PoisonError::into_inner);
            let (measured, child) = (state.measured.clone(), state.child);
            drop(state);
            self.measure(measured, child);
        }
    }

    /// Starts a stand-in where nobody serves the store at its address; whether someone does now.
    fn keep_served(&self) -> bool {
        let (Some(store), Some(port)) =
            (&self.spec.store, serving::port_of(&self.spec.tracking_uri))
        else {
            return true;
        };
        serving::ensure(&self.data_dir, store, port)
            .inspect_err(|error| eprintln!("the tracking address is not served: {error}"))
            .is_ok()
    }

    fn measure(&mut self, run_id: Option<String>, child: i32) {
        if self.spec.sample_s == 0 {
            return;
        }
        let every = Duration::from_secs(self.spec.sample_s);
        match (&mut self.meter, run_id) {
            (None, None) => {}
            (None, Some(run_id)) => self.meter = Some((run_id, Meter::start(), Instant::now())),
            (Some(_), None) => {
                self.send();
                self.meter = None;
            }
            (Some((_, meter, last)), Some(_)) => {
                if last.elapsed() < every {
                    return;
                }
                *last = Instant::now();
                let timestamp_ms = crate::now_ms();
                for (key, value) in meter.measure(child) {
                    self.waiting.push_back(Metric { key, value, timestamp_ms, step: self.step });
                }
                self.step += 1;
                while self.waiting.len() > MAX_WAITING {
                    self.waiting.pop_front();
                }
                self.send();
            }
        }
    }

    /// Sends what waits; what cannot be sent goes on waiting.
    fn send(&mut self) {
        let Some((run_id, _, _)) = &self.meter else { return };
        if self.waiting.is_empty() {
            return;
        }
        let sent = self.spec.tracking().and_then(|tracking| {
            tracking.log_batch(run_id, &[], &[], self.waiting.make_contiguous())
        });
        match sent {
            Err(crate::RuntimeError::TrackingUnavailable { .. }) => {}
            // Refused once is refused always.
            Ok(()) | Err(_) => self.waiting.clear(),
        }
    }
}
