//! Launches as the window sees them: the queue, stopping, and the log.

pub mod dto;
mod log;
mod watch;

use std::path::Path;

use cairn_core::ArtifactPath;
use cairn_runtime::{
    RuntimeError,
    launch::{Launch, LaunchId, LaunchState, Launches},
    serving::database_of,
};
use cairn_store::Store;

use crate::{
    app::{App, path_of},
    commands::NoArgs,
    dto::{CommandError, ErrorCode, RunLink, RunStatus},
    errors,
    projects::{known::Known, running},
    runs::{self, link, parse_run},
};
use dto::{
    LaunchKind, LaunchMove, LaunchRef, LaunchStage, LaunchView, LogFound, LogLines, LogRef,
    LogRequest, LogSearch, QueueLimit, QueuePause, QueueView,
};
pub(crate) use log::LogIndexes;
use log::{Lines, Source};
pub(crate) use watch::follow;

/// Ended launches that the queue lists.
const MOST_ENDED: usize = 100;
/// The artifact that keeps the output of a run.
const KEPT_LOG: &str = "cairn/output.log";

pub(crate) async fn queue(app: &App, _: NoArgs) -> Result<QueueView, CommandError> {
    let launches = app.inner.launches.clone();
    let cleared_ms = Known::load(&app.inner.options.data_dir).queue_cleared_ms;
    let (state, active, ended, more_ended) = off_thread(move || {
        let active = launches.active()?;
        // Ended ones are found by when they were submitted, and shown by when they ended.
        let mut ended: Vec<Launch> = launches
            .recent(MOST_ENDED + active.len())?
            .into_iter()
            .filter(|launch| launch.ended_ms.is_some_and(|end| end > cleared_ms))
            .collect();
        ended.sort_by_key(|launch| std::cmp::Reverse(launch.ended_ms));
        let listed = ended.len() + active.len();
        let is_cleared = cleared_ms > 0;
        let all = if is_cleared { listed } else { launches.count()? };
        Ok((launches.queue()?, active, ended, all.saturating_sub(listed)))
    })
    .await?;
    let mut waiting: Vec<(usize, Launch)> = Vec::new();
    let mut working: Vec<Launch> = Vec::new();
    for launch in active {
        match launch.state {
            LaunchState::Queued { position } => waiting.push((position, launch)),
            _ => working.push(launch),
        }
    }
    waiting.sort_by_key(|(position, _)| *position);
    Ok(QueueView {
        limit: u32::try_from(state.limit).unwrap_or(u32::MAX),
        is_paused: state.paused,
        active: views(app, working).await,
        waiting: views(app, waiting.into_iter().map(|(_, launch)| launch).collect()).await,
        ended: views(app, ended).await,
        more_ended: more_ended as u64,
    })
}

pub(crate) async fn set_limit(app: &App, args: QueueLimit) -> Result<QueueView, CommandError> {
    change(app, move |launches| launches.set_limit(args.limit as usize)).await
}

pub(crate) async fn set_paused(app: &App, args: QueuePause) -> Result<QueueView, CommandError> {
    change(app, move |launches| launches.set_paused(args.paused)).await
}

/// Hides those that are over by now; nothing is deleted.
pub(crate) async fn clear(app: &App, _: NoArgs) -> Result<QueueView, CommandError> {
    Known::change(&app.inner.options.data_dir, |known| {
        known.queue_cleared_ms = cairn_core::UnixMillis::now().0;
    })?;
    queue(app, NoArgs {}).await
}

pub(crate) async fn move_before(app: &App, args: LaunchMove) -> Result<QueueView, CommandError> {
    let id = parse(&args.launch_id)?;
    let before = args.before.as_deref().map(parse).transpose()?;
    change(app, move |launches| launches.move_before(&id, before.as_ref())).await
}

pub(crate) async fn stop(app: &App, args: LaunchRef) -> Result<QueueView, CommandError> {
    let id = parse(&args.launch_id)?;
    change(app, move |launches| launches.stop(&id)).await
}

pub(crate) async fn remove(app: &App, args: LaunchRef) -> Result<QueueView, CommandError> {
    let id = parse(&args.launch_id)?;
    change(app, move |launches| launches.remove(&id)).await
}

/// Submits what a launch was asked to do once more, if its content is still what was allowed.
pub(crate) async fn again(app: &App, args: LaunchRef) -> Result<LaunchView, CommandError> {
    let id = parse(&args.launch_id)?;
    let launches = app.inner.launches.clone();
    let old = off_thread(move || launches.get(&id)).await?;
    running::again(app, &old).await
}

pub(crate) async fn log_lines(app: &App, args: LogRequest) -> Result<LogLines, CommandError> {
    with_lines(app, args.log, move |lines, source, is_open| {
        lines.read(source, args.first, u64::from(args.count), is_open)
    })
    .await
}

pub(crate) async fn log_find(app: &App, args: LogSearch) -> Result<LogFound, CommandError> {
    with_lines(app, args.log, move |lines, source, _| lines.find(source, args.text.as_deref()))
        .await
}

/// Brings the lines of a log up to date and asks them something.
async fn with_lines<T: Send + 'static>(
    app: &App,
    log: LogRef,
    ask: impl FnOnce(&Lines, &mut Source, bool) -> std::io::Result<T> + Send + 'static,
) -> Result<T, CommandError> {
    let kept = match &log {
        LogRef::Run(run_id) if launch_of(app, run_id).await?.is_none() => {
            Some(kept_log(app, run_id).await?)
        }
        _ => None,
    };
    let lines = app.inner.logs.of(&log);
    let launches = app.inner.launches.clone();
    let answer = tokio::task::spawn_blocking(move || {
        let found = |launch: cairn_runtime::Result<Option<Launch>>| match launch {
            Ok(Some(launch)) => Ok(of_launch(&launch)),
            Ok(None) => Err(no_log()),
            Err(error) => Err(failed(&error)),
        };
        let (mut source, is_open) = match (kept, &log) {
            (Some(file), _) => (Source::File(file), false),
            (None, LogRef::Launch(id)) => found(launches.get(&parse(id)?).map(Some))?,
            (None, LogRef::Run(run_id)) => found(launches.by_run(run_id))?,
        };
        let mut lines = lines.lock().expect("no holder of this lock panics");
        lines.update(&mut source).map_err(errors::internal)?;
        ask(&lines, &mut source, is_open).map_err(errors::internal)
    })
    .await;
    answer.map_err(errors::internal)?
}

fn no_log() -> CommandError {
    CommandError::new(ErrorCode::NotFound, "No output of this run was kept")
        .with_hint("Cairn keeps what a run prints when it starts the run.")
}

fn of_launch(launch: &Launch) -> (Source, bool) {
    let source = Source::Launch { log: launch.log(), cap: launch.spec.log_cap_bytes };
    (source, !launch.state.is_ended())
}

/// The log among a run's artifacts.
async fn kept_log(app: &App, run_id: &str) -> Result<std::fs::File, CommandError> {
    let file = artifact(app, run_id, KEPT_LOG).await;
    file.map_err(|error| if error.code == ErrorCode::NotFound { no_log() } else { error })
}

/// A file among a run's artifacts.
async fn artifact(app: &App, run_id: &str, path: &str) -> Result<std::fs::File, CommandError> {
    let store = app.store()?;
    let id = parse_run(run_id)?;
    let info = store.read(move |tx| tx.run_info(&id)).await.map_err(errors::store_error)?;
    let path = ArtifactPath::parse(path).map_err(errors::invalid)?;
    runs::blocking(move || {
        let location = store.artifacts().locate(&info.artifact_uri);
        Ok(store.artifacts().open(&location, &path)?.file)
    })
    .await
}

/// A text among a run's artifacts, at most 64 MiB of it; `None` if it is not there.
pub(crate) async fn artifact_text(app: &App, run_id: &str, path: &str) -> Option<String> {
    const MOST_BYTES: u64 = 64 << 20;
    let file = artifact(app, run_id, path).await.ok()?;
    let read = tokio::task::spawn_blocking(move || {
        use std::io::Read as _;
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text).map(|_| text)
    });
    read.await.ok()?.ok()
}

/// Whether there is output of a run to read.
pub(crate) async fn has_log(app: &App, run_id: &str) -> bool {
    kept_log(app, run_id).await.is_ok()
}

/// The launch of a run, if its folder is still here.
pub(crate) async fn launch_of(app: &App, run_id: &str) -> Result<Option<Launch>, CommandError> {
    let launches = app.inner.launches.clone();
    let run_id = run_id.to_owned();
    off_thread(move || launches.by_run(&run_id)).await
}

async fn change(
    app: &App,
    change: impl FnOnce(&Launches) -> cairn_runtime::Result<()> + Send + 'static,
) -> Result<QueueView, CommandError> {
    let launches = app.inner.launches.clone();
    off_thread(move || change(&launches)).await?;
    app.tell(crate::dto::LiveEvent::Queue);
    queue(app, NoArgs {}).await
}

async fn off_thread<T: Send + 'static>(
    ask: impl FnOnce() -> cairn_runtime::Result<T> + Send + 'static,
) -> Result<T, CommandError> {
    let answer = tokio::task::spawn_blocking(ask).await;
    answer.map_err(errors::internal)?.map_err(|error| failed(&error))
}

fn failed(error: &RuntimeError) -> CommandError {
    let mut failure = errors::runtime_error(error);
    if matches!(error, RuntimeError::NoSuchLaunch(_)) {
        failure.code = ErrorCode::NotFound;
    }
    failure
}

fn parse(id: &str) -> Result<LaunchId, CommandError> {
    id.parse().map_err(|error| failed(&error))
}

async fn views(app: &App, launches: Vec<Launch>) -> Vec<LaunchView> {
    let mut views = Vec::with_capacity(launches.len());
    for launch in launches {
        views.push(view(app, launch).await);
    }
    views
}

/// Whether a store that a launch names is this one. The window names a store by its folder, a command
/// line may do so by its database; mostly they are the same, and the disk is not asked.
fn is_of(named: &Path, store: &Store) -> bool {
    named == path_of(store) || database_of(named) == database_of(store.database())
}

/// A launch in the words of the window.
pub(crate) async fn view(app: &App, launch: Launch) -> LaunchView {
    let store = app.store().ok();
    let is_here = match (&launch.spec.store, &store) {
        (None, _) => true,
        (Some(named), Some(store)) => is_of(named, store),
        (Some(_), None) => false,
    };
    let run = match (&store, &launch.run_id) {
        (Some(store), Some(run_id)) if is_here => run_link(store, run_id).await,
        _ => None,
    };
    let text = |key: &str| launch.spec.request[key].as_str().map(str::to_owned);
    let hint = match &launch.state {
        LaunchState::Ended { cause, .. } => hint_of(cause),
        _ => None,
    };
    let other_store = launch.spec.store.as_deref().filter(|_| !is_here).map(errors::shorten_home);
    LaunchView {
        launch_id: launch.spec.launch_id.to_string(),
        kind: match launch.spec.kind {
            cairn_runtime::launch::LaunchKind::Project => LaunchKind::Project,
            cairn_runtime::launch::LaunchKind::Rerun => LaunchKind::Rerun,
            cairn_runtime::launch::LaunchKind::Sweep => LaunchKind::Sweep,
            cairn_runtime::launch::LaunchKind::Pipeline => LaunchKind::Pipeline,
        },
        created: launch.spec.created_ms,
        started: launch.started_ms,
        ended: launch.ended_ms,
        stage: match &launch.state {
            LaunchState::Queued { position } => {
                LaunchStage::Queued { position: u32::try_from(position + 1).unwrap_or(u32::MAX) }
            }
            LaunchState::Preparing => LaunchStage::Preparing,
            LaunchState::Running => LaunchStage::Running,
            LaunchState::Stopping => LaunchStage::Stopping,
            LaunchState::Finishing => LaunchStage::Finishing,
            LaunchState::Ended { status, cause } => LaunchStage::Ended {
                status: match status {
                    cairn_core::RunStatus::Finished => RunStatus::Finished,
                    cairn_core::RunStatus::Killed => RunStatus::Killed,
                    _ => RunStatus::Failed,
                },
                cause: cause.to_string(),
                hint,
            },
        },
        step: launch.note.filter(|_| {
            !matches!(launch.state, LaunchState::Queued { .. } | LaunchState::Ended { .. })
        }),
        run,
        run_id: launch.run_id,
        project: text("uri"),
        parent_run_id: launch.spec.parent_run_id.or_else(|| text("parent_run_id")),
        other_store,
        counts: launch.spec.counts,
        title: launch.spec.title,
    }
}

fn hint_of(cause: &cairn_runtime::launch::Cause) -> Option<String> {
    use cairn_runtime::launch::Cause;
    match cause {
        Cause::PrepareFailed { hint, .. } => hint.clone(),
        Cause::Code { code: 0 } | Cause::Stopped | Cause::CannotStart { .. } => None,
        Cause::OutOfMemory => {
            Some("Use less data or smaller batches, or run fewer at a time.".to_owned())
        }
        Cause::Vanished => Some("What it logged before is kept. Run it again.".to_owned()),
        Cause::Code { .. } | Cause::Signal { .. } => {
            Some("The last lines of its log say why.".to_owned())
        }
    }
}

/// A run of the store, if it is there.
pub(crate) async fn run_link(store: &Store, run_id: &str) -> Option<RunLink> {
    let id = parse_run(run_id).ok()?;
    store.read(move |tx| tx.run_info(&id)).await.ok().map(|info| link(&info))
}
