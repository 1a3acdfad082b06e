//! Starting a rerun, and comparing at its end.

use std::collections::BTreeMap;

use cairn_core::run::RunStatus;
use cairn_runtime::{
    launch::{Launch, LaunchId, LaunchKind, Placement},
    tracking::Tracking,
};

use crate::{
    error::{ProjectError, Result},
    launching::{LaunchTarget, now_ms},
    report::{
        REPORT_HTML, REPORT_JSON, REPORT_VERSION, RERUN_OF_TAG, Report, Tolerances, VERDICT_TAG,
        compare, html, read,
    },
    request::RunRequest,
};

/// The tag of a rerun that holds its [`Tolerances`] as JSON, when they are not the usual ones.
pub const TOLERANCES_TAG: &str = "cairn.rerun.tolerances";

/// The folder in a launch's folder where code is compared.
pub const CHECK_FOLDER: &str = "compare";

/// Submits a rerun.
pub fn start(
    target: &LaunchTarget,
    request: &RunRequest,
    placement: Placement,
) -> Result<LaunchId> {
    let name = request.run_name.clone().unwrap_or_else(|| request.entry_point.clone());
    let spec = target.spec(name, LaunchKind::Rerun, None, request)?;
    target.submit(spec, placement)
}

/// Compares a run that is at its end with the one it repeats, and keeps the report with it: two
/// artifacts and a tag.
///
/// For a launch's finish phase, in which the server may not know the end yet: `launch` says how it
/// ended, and lends its folder. `None` when the run repeats none.
pub fn write_report(
    tracking: &Tracking,
    run_id: &str,
    launch: Option<&Launch>,
) -> Result<Option<Report>> {
    let record = tracking.get_run(run_id)?;
    let Some(original_id) = record.tags.get(RERUN_OF_TAG) else { return Ok(None) };
    let cause = launch.and_then(Launch::cause);
    let status = cause.as_ref().map_or(RunStatus::Finished, |cause| cause.status());
    let original = read::read(tracking, original_id, None)?;
    let mut rerun = read::read(tracking, run_id, Some(status))?;
    if rerun.end_cause.is_none() {
        rerun.end_cause = cause
            .filter(|cause| cause.status() != RunStatus::Finished)
            .map(|cause| cause.to_string());
    }
    if rerun.label.end_ms.is_none() {
        rerun.label.end_ms = Some(now_ms());
    }
    let work = match launch {
        Some(launch) => launch.folder.join(CHECK_FOLDER),
        None => std::env::temp_dir().join(format!("cairn-compare-{run_id}-{}", std::process::id())),
    };
    let code = read::read_code(tracking, &original, &rerun, &work);
    let report = compare(&original, &rerun, code, &tolerances(&record.tags), now_ms());
    let json = serde_json::to_vec_pretty(&report).map_err(|error| {
        ProjectError::source(
            format!("The report cannot be written: {error}"),
            "Report this as a mistake.",
        )
    })?;
    tracking.upload(run_id, REPORT_JSON, &mut json.as_slice())?;
    tracking.upload(run_id, REPORT_HTML, &mut html::page(&report).as_bytes())?;
    tracking.set_tag(run_id, VERDICT_TAG, report.verdict.as_str())?;
    Ok(Some(report))
}

/// Reads the report of a run; `None` when it has none, or one of a later version.
pub fn read_report(tracking: &Tracking, run_id: &str) -> Option<Report> {
    let text = read::text(tracking, run_id, REPORT_JSON)?;
    let report: Report = serde_json::from_str(&text).ok()?;
    (report.version <= REPORT_VERSION).then_some(report)
}

/// Puts tolerances into a request, for the report at its end.
pub fn set_tolerances(request: &mut RunRequest, tolerances: &Tolerances) {
    if *tolerances != Tolerances::default()
        && let Ok(text) = serde_json::to_string(tolerances)
    {
        request.tags.insert(TOLERANCES_TAG.to_owned(), text);
    }
}

/// The tolerances of a run, by its tags.
pub fn tolerances(tags: &BTreeMap<String, String>) -> Tolerances {
    tags.get(TOLERANCES_TAG).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
