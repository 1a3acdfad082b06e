//! Where a run came from, running it again, and how well that reproduced it.

pub mod dto;

use cairn_core::{
    UnixMillis,
    filter::{self, Context, Entity},
};
use cairn_store::{
    Store,
    run_table::{TableColumn, TableQuery},
};
use jiff::tz::TimeZone;

use crate::{
    app::App,
    dto::{CommandError, RunLink},
    errors,
    launches::{self, dto::LaunchView, not_yet},
    runs::{RunRef, blocking, link, parse_run},
};
use dto::{ReproductionView, RerunPlanView, RerunStart, RunOrigin, Verdict};

/// The run that a run repeats.
const RERUN_OF: &str = "cairn.rerun.of";
/// How well it did.
const VERDICT: &str = "cairn.reproduction.verdict";
/// Reruns of one run that are listed.
const MOST_RERUNS: usize = 50;

pub(crate) async fn origin(app: &App, args: RunRef) -> Result<RunOrigin, CommandError> {
    let store = app.store()?;
    let id = parse_run(&args.run_id)?;
    let tags = store.read(move |tx| tx.tags(&id)).await.map_err(errors::store_error)?;
    let tag = |key: &str| tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.clone());
    let launch = launches::launch_of(app, &args.run_id).await?;
    let has_log = launch.is_some() || launches::has_log(app, &args.run_id).await;
    let launch = match launch {
        Some(launch) => Some(launches::view(app, launch).await),
        None => None,
    };
    let rerun_of = match tag(RERUN_OF) {
        Some(original) => launches::run_link(&store, &original).await,
        None => None,
    };
    Ok(RunOrigin {
        launch,
        has_log,
        code: None,
        environment: None,
        rerun_of,
        reruns: reruns_of(&store, &args.run_id).await?,
        verdict: tag(VERDICT).as_deref().and_then(verdict),
    })
}

/// Runs that repeat a run, newest first.
async fn reruns_of(store: &Store, run_id: &str) -> Result<Vec<RunLink>, CommandError> {
    let context = Context { now: UnixMillis::now(), zone: TimeZone::system() };
    let id = parse_run(run_id)?;
    let filter =
        filter::parse_extended(Entity::Runs, &format!("tags.`{RERUN_OF}` = '{id}'"), &context)
            .map_err(errors::invalid)?;
    let store = store.clone();
    blocking(move || {
        let experiment_ids = store
            .read_blocking(|tx| tx.experiment_activity())?
            .into_iter()
            .map(|activity| activity.experiment.experiment_id)
            .collect();
        let query = TableQuery {
            experiment_ids,
            filter,
            column: TableColumn::Start,
            ascending: false,
            deleted: false,
        };
        let page = store.run_table_page(&query, 0, MOST_RERUNS, &[])?;
        Ok(page.rows.iter().map(|row| link(&row.info)).collect())
    })
    .await
}

/// The verdict of a tag.
pub(crate) fn verdict(text: &str) -> Option<Verdict> {
    match text.replace([' ', '-'], "_").as_str() {
        "reproduced" => Some(Verdict::Reproduced),
        "within_tolerance" => Some(Verdict::WithinTolerance),
        "differs" => Some(Verdict::Differs),
        "incomplete" => Some(Verdict::Incomplete),
        _ => None,
    }
}

pub(crate) async fn plan(_: &App, _: RunRef) -> Result<RerunPlanView, CommandError> {
    not_yet()
}
pub(crate) async fn start(_: &App, _: RerunStart) -> Result<LaunchView, CommandError> {
    not_yet()
}
pub(crate) async fn reproduction(_: &App, _: RunRef) -> Result<ReproductionView, CommandError> {
    not_yet()
}
