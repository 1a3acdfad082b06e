//! Managed environments: listed with their room and their runs, pruned, removed, made again.

pub mod dto;

use std::path::Path;
use std::time::Duration;

use cairn_runtime::environment::{EnvironmentInfo, EnvironmentKind, PruneOptions};
use cairn_runtime::launch::Launches;
use cairn_runtime::{Environments, RuntimeError};

use crate::{
    app::App,
    commands::NoArgs,
    dto::{CommandError, ErrorCode, Job},
    errors::{self, runtime_error, shorten_home},
    jobs::{Jobs, progress_of},
};
use dto::{
    EnvironmentKept, EnvironmentKindView, EnvironmentListView, EnvironmentRef, EnvironmentUseView,
    EnvironmentView, EnvironmentsPrune, EnvironmentsPruned,
};

fn environments(app: &App) -> Environments {
    Environments::new(&app.inner.options.data_dir)
}

/// Looking at every file takes its time, so it is done on a thread of its own.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(errors::internal)?
        .map_err(|error| failed(&error))
}

fn failed(error: &RuntimeError) -> CommandError {
    let mut failure = runtime_error(error);
    match error {
        RuntimeError::EnvironmentNotFound(_) => failure.code = ErrorCode::NotFound,
        RuntimeError::EnvironmentInUse { .. } => failure.code = ErrorCode::Busy,
        _ => {}
    }
    failure
}

pub(crate) async fn list(app: &App, _: NoArgs) -> Result<EnvironmentListView, CommandError> {
    let environments = environments(app);
    let store = app.store().ok().map(|store| store.dir().to_owned());
    let launches = Launches::new(&app.inner.options.data_dir);
    apart(move || {
        let needed = environments.needed_by(&launches)?;
        let list = environments.list();
        Ok(EnvironmentListView {
            folder: shorten_home(environments.root()),
            total_bytes: list.total_bytes,
            environments: list
                .environments
                .into_iter()
                .map(|info| {
                    let is_needed = needed.contains(&info.name);
                    view(info, is_needed, store.as_deref())
                })
                .collect(),
        })
    })
    .await
}

fn view(info: EnvironmentInfo, is_needed: bool, store: Option<&Path>) -> EnvironmentView {
    let kind = match info.kind {
        Some(EnvironmentKind::Python) => EnvironmentKindView::Python,
        Some(EnvironmentKind::UvProject) => EnvironmentKindView::UvProject,
        Some(EnvironmentKind::Conda) => EnvironmentKindView::Conda,
        Some(EnvironmentKind::Lock) => EnvironmentKindView::Lock,
        Some(EnvironmentKind::None | EnvironmentKind::Container) | None => {
            EnvironmentKindView::Unfinished
        }
    };
    let used_by = info
        .used_by
        .into_iter()
        .map(|used| EnvironmentUseView {
            run_id: used.run_id,
            is_here: store.is_some() && used.store.as_deref() == store,
            store: used.store.as_deref().map(shorten_home),
            at_ms: used.at_ms,
        })
        .collect();
    EnvironmentView {
        folder: shorten_home(&info.folder),
        kind,
        summary: info.summary,
        python: info.python,
        packages: info.packages as u32,
        made_ms: info.made_ms,
        size_bytes: info.size_bytes,
        own_bytes: info.own_bytes,
        last_used_ms: info.last_used_ms,
        used_by,
        uses: info.uses as u32,
        is_in_use: info.is_in_use || is_needed,
        is_broken: info.is_broken,
        has_lock: info.has_lock,
        name: info.name,
    }
}

pub(crate) async fn prune(
    app: &App,
    args: EnvironmentsPrune,
) -> Result<EnvironmentsPruned, CommandError> {
    let environments = environments(app);
    let launches = Launches::new(&app.inner.options.data_dir);
    apart(move || {
        let options = PruneOptions {
            unused_for: Duration::from_hours(24 * u64::from(args.unused_days)),
            needed: environments.needed_by(&launches)?,
        };
        let pruned = if args.remove {
            environments.prune(&options)?
        } else {
            environments.prune_plan(&options)
        };
        Ok(EnvironmentsPruned {
            removed: pruned.removed.into_iter().map(|info| info.name).collect(),
            kept: pruned
                .kept
                .into_iter()
                .map(|kept| EnvironmentKept { name: kept.name, because: kept.because })
                .collect(),
            freed_bytes: pruned.freed_bytes,
        })
    })
    .await
}

pub(crate) async fn remove(
    app: &App,
    args: EnvironmentRef,
) -> Result<EnvironmentListView, CommandError> {
    let environments = environments(app);
    let launches = Launches::new(&app.inner.options.data_dir);
    apart(move || {
        let needed = environments.needed_by(&launches)?;
        environments.remove(&args.name, &needed, false)
    })
    .await?;
    list(app, NoArgs {}).await
}

pub(crate) async fn rebuild(app: &App, args: EnvironmentRef) -> Result<Job, CommandError> {
    let environments = environments(app);
    let title = format!("Make {} again", args.name);
    Jobs::start(app, &title, |job| async move {
        let progress = progress_of(&job);
        job.step("Making it again from its lock", None);
        let made = environments.rebuild(&args.name, &*progress, &job.cancel).await;
        made.map(|_| ()).map_err(|error| failed(&error))
    })
}
