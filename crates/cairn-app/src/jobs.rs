//! Long work: started once, told live, cancelled by the person.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cairn_runtime::CancellationToken;
use serde::Deserialize;
use ts_rs::TS;

use crate::{
    app::App,
    commands::NoArgs,
    dto::{CommandError, CommandErrorText, ErrorCode, Job, JobState, LiveEvent},
};

/// Lines of a job's log that are kept.
const LOG_LINES: usize = 200;
/// The least time between two messages about a job: a noisy process writes far more lines.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// Ended jobs that are remembered.
const REMEMBERED: usize = 20;

/// Which job.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct JobRef {
    /// From [`Job::job_id`].
    pub job_id: String,
}

/// All jobs since the start.
#[derive(Default)]
pub(crate) struct Jobs {
    next: AtomicU64,
    jobs: Mutex<BTreeMap<u64, Entry>>,
}

struct Entry {
    job: Job,
    cancel: CancellationToken,
    /// Changed since windows were last told.
    is_untold: bool,
}

/// The job's own view of itself: it reports here, and learns here that it was cancelled.
#[derive(Clone)]
pub(crate) struct JobHandle {
    app: App,
    number: u64,
    id: String,
    /// Cancelled when the person stops the job.
    pub cancel: CancellationToken,
}

impl JobHandle {
    /// The job's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Says what it is doing and how far it is (0 to 1).
    pub fn step(&self, step: impl Into<String>, progress: Option<f64>) {
        let step = step.into();
        self.change(|job| {
            job.step = step;
            job.progress = progress;
        });
    }

    /// Adds a line that a process wrote.
    pub fn log(&self, line: &str) {
        self.change(|job| {
            if job.log.len() >= LOG_LINES {
                job.log.remove(0);
            }
            job.log.push(line.to_owned());
        });
    }

    fn change(&self, change: impl FnOnce(&mut Job)) {
        let mut jobs = self.app.inner.jobs.jobs.lock().expect("no holder of this lock panics");
        let Some(entry) = jobs.get_mut(&self.number) else { return };
        change(&mut entry.job);
        entry.is_untold = true;
    }

    /// Tells windows how the job stands, if that changed.
    fn tell(&self) {
        let mut jobs = self.app.inner.jobs.jobs.lock().expect("no holder of this lock panics");
        let Some(entry) = jobs.get_mut(&self.number).filter(|entry| entry.is_untold) else {
            return;
        };
        entry.is_untold = false;
        let job = entry.job.clone();
        drop(jobs);
        self.app.tell(LiveEvent::Job { job });
    }
}

impl Jobs {
    /// Starts a job; `work` reports through its handle.
    ///
    /// Errors: `invalid_input` while a job of the same title runs.
    pub fn start<F, Fut>(app: &App, title: &str, work: F) -> Result<Job, CommandError>
    where
        F: FnOnce(JobHandle) -> Fut,
        Fut: Future<Output = Result<(), CommandError>> + Send + 'static,
    {
        let jobs = &app.inner.jobs;
        let number = jobs.next.fetch_add(1, Ordering::Relaxed) + 1;
        let cancel = CancellationToken::new();
        let job = Job {
            job_id: number.to_string(),
            title: title.to_owned(),
            step: "Starting".to_owned(),
            progress: None,
            state: JobState::Running,
            log: Vec::new(),
        };
        {
            let mut entries = jobs.jobs.lock().expect("no holder of this lock panics");
            let is_running =
                |entry: &Entry| entry.job.title == title && entry.job.state == JobState::Running;
            if entries.values().any(is_running) {
                return Err(CommandError::new(
                    ErrorCode::InvalidInput,
                    format!("“{title}” is running already"),
                ));
            }
            while entries.len() >= REMEMBERED {
                let ended = entries.iter().find(|(_, entry)| entry.job.state != JobState::Running);
                let Some(number) = ended.map(|(number, _)| *number) else { break };
                entries.remove(&number);
            }
            let entry = Entry { job: job.clone(), cancel: cancel.clone(), is_untold: false };
            entries.insert(number, entry);
        }
        app.tell(LiveEvent::Job { job: job.clone() });
        let handle = JobHandle { app: app.clone(), number, id: job.job_id.clone(), cancel };
        let running = work(handle.clone());
        tokio::spawn(async move {
            let mut running = pin!(running);
            let mut ticks = tokio::time::interval(TOLD_EVERY);
            let outcome = loop {
                tokio::select! {
                    outcome = &mut running => break outcome,
                    _ = ticks.tick() => handle.tell(),
                }
            };
            handle.change(|job| match outcome {
                Ok(()) => {
                    job.state = JobState::Done;
                    job.progress = Some(1.0);
                }
                Err(error) if error.code == ErrorCode::Cancelled => job.state = JobState::Cancelled,
                Err(error) => {
                    if let Some(detail) = &error.detail {
                        job.log.extend(detail.lines().map(str::to_owned));
                    }
                    let error = CommandErrorText { message: error.message, hint: error.hint };
                    job.state = JobState::Failed { error };
                }
            });
            handle.tell();
        });
        Ok(job)
    }

    /// Cancels all that runs, and waits until it has ended (at most 15 seconds).
    pub async fn cancel_all(&self) {
        for entry in self.jobs.lock().expect("no holder of this lock panics").values() {
            entry.cancel.cancel();
        }
        for _ in 0..150 {
            let is_running = self
                .jobs
                .lock()
                .expect("no holder of this lock panics")
                .values()
                .any(|entry| entry.job.state == JobState::Running);
            if !is_running {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

pub(crate) async fn list(app: &App, _: NoArgs) -> Result<Vec<Job>, CommandError> {
    let jobs = app.inner.jobs.jobs.lock().expect("no holder of this lock panics");
    Ok(jobs.values().map(|entry| entry.job.clone()).collect())
}

pub(crate) async fn cancel(app: &App, args: JobRef) -> Result<Job, CommandError> {
    let jobs = app.inner.jobs.jobs.lock().expect("no holder of this lock panics");
    let entry = args.job_id.parse().ok().and_then(|number: u64| jobs.get(&number));
    let entry = entry.ok_or_else(|| {
        CommandError::new(ErrorCode::NotFound, format!("There is no job {}", args.job_id))
    })?;
    entry.cancel.cancel();
    Ok(entry.job.clone())
}

/// A closure that a [`cairn_runtime::Progress`] takes, reporting to a job.
pub(crate) fn progress_of(job: &JobHandle) -> Arc<dyn Fn(&str) + Send + Sync> {
    let job = job.clone();
    Arc::new(move |line: &str| job.log(line))
}
