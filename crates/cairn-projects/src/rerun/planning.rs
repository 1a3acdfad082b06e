//! What running a run again would be, by how the run was started.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use cairn_runtime::{
    CancellationToken,
    environment::packages_of,
    tracking::{RunRecord, Tracking},
};

use super::{Exactness, Offer, RerunPlan, Restored, Unknown};
use crate::{
    capture::{Capture, InputCapture, LOCK_ARTIFACT, digest, is_secret},
    error::Result,
    git::Git,
    pipeline::STATE_TAG,
    project::{DeclaredEnvironment, Project},
    report::{RERUN_OF_TAG, RunLabel, read},
    request::{EnvManager, Restore, RunRequest},
    sweep::PROGRESS_TAG,
    template::quote,
};

/// How a run was started, by its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Cairn,
    Sweep,
    Pipeline,
    Project,
    Script,
    Notebook,
    Nothing,
}

/// What running a run again would be.
///
/// Errors: when the run or its capture cannot be read. That a run cannot be repeated is no error.
pub fn plan(tracking: &Tracking, run_id: &str) -> Result<RerunPlan> {
    let record = tracking.get_run(run_id)?;
    let capture = read::capture(tracking, run_id);
    let lock = read::text(tracking, run_id, LOCK_ARTIFACT);
    Ok(plan_of(&record, capture.as_ref(), lock.as_deref()))
}

/// The plan of a record, its capture and its lock.
fn plan_of(record: &RunRecord, capture: Option<&Capture>, lock: Option<&str>) -> RerunPlan {
    let origin = origin(record, capture.is_some());
    let mut plan = match origin {
        Origin::Cairn => match capture {
            Some(capture) => captured(record, capture, lock),
            None => from_tags(record),
        },
        Origin::Sweep => nothing(
            record,
            "This run is a sweep: each of its trials can be run again, the sweep itself is gone on with.",
            vec![advice(&format!("cairn sweep --resume {}", record.info.run_id))],
        ),
        Origin::Pipeline => nothing(
            record,
            "This run is a pipeline: each of its steps can be run again, the pipeline itself is gone on with.",
            vec![advice(&format!("cairn pipeline --resume {}", record.info.run_id))],
        ),
        Origin::Project => from_tags(record),
        Origin::Script => script(record),
        Origin::Notebook => notebook(record),
        Origin::Nothing => nothing(
            record,
            "Nothing is recorded about where this run came from.",
            vec![advice("Log from a script or a project: its file and commit are then recorded")],
        ),
    };
    if let Some(request) = &mut plan.request {
        finish_request(request, record);
    }
    for offer in &mut plan.offers {
        if let Some(request) = &mut offer.request {
            finish_request(request, record);
        }
    }
    plan
}

fn finish_request(request: &mut RunRequest, record: &RunRecord) {
    request.experiment_name = None;
    request.experiment_id = Some(record.info.experiment_id.clone());
    request.run_name = (!record.info.name.is_empty()).then(|| again(&record.info.name));
    request.run_id = None;
    request.parent_run_id = None;
    request.rerun_of = Some(record.info.run_id.clone());
    request.tags.insert(RERUN_OF_TAG.to_owned(), record.info.run_id.clone());
}

/// `bold-crow-1`, `bold-crow-1 again`, `bold-crow-1 again`: the word is not piled up.
fn again(name: &str) -> String {
    format!("{} again", name.strip_suffix(" again").unwrap_or(name))
}

fn origin(record: &RunRecord, has_capture: bool) -> Origin {
    let tag = |name: &str| record.tags.get(name).map(String::as_str).unwrap_or_default();
    let source = tag("mlflow.source.name");
    if record.tags.contains_key(STATE_TAG) {
        Origin::Pipeline
    } else if record.tags.contains_key(PROGRESS_TAG) {
        Origin::Sweep
    } else if has_capture {
        Origin::Cairn
    } else if tag("mlflow.source.type") == "PROJECT"
        || record.tags.contains_key("mlflow.project.entryPoint")
    {
        if source.is_empty() { Origin::Nothing } else { Origin::Project }
    } else if tag("mlflow.source.type") == "NOTEBOOK" || is_notebook(source) {
        Origin::Notebook
    } else if has_extension(source, "py") || has_extension(source, "sh") {
        Origin::Script
    } else {
        Origin::Nothing
    }
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// A notebook, or the program that runs one.
fn is_notebook(source: &str) -> bool {
    let name = source.rsplit(['/', '\\']).next().unwrap_or(source);
    has_extension(source, "ipynb")
        || matches!(
            name,
            "ipykernel_launcher.py" | "colab_kernel_launcher.py" | "ipython" | "ipython3"
        )
}

fn label(record: &RunRecord) -> RunLabel {
    RunLabel {
        run_id: record.info.run_id.clone(),
        name: record.info.name.clone(),
        experiment_id: record.info.experiment_id.clone(),
        status: record.info.status.as_str().to_owned(),
        start_ms: record.info.start_ms.unwrap_or_default(),
        end_ms: record.info.end_ms,
    }
}

fn advice(title: &str) -> Offer {
    Offer { title: title.to_owned(), request: None }
}

fn nothing(record: &RunRecord, why: &str, offers: Vec<Offer>) -> RerunPlan {
    RerunPlan {
        original: label(record),
        exactness: Exactness::NotPossible,
        summary: why.to_owned(),
        request: None,
        restores: Vec::new(),
        unknown: vec![Unknown { what: "Code".to_owned(), why: why.to_owned() }],
        offers,
    }
}

fn restored(what: &str, detail: impl Into<String>) -> Restored {
    Restored { what: what.to_owned(), detail: detail.into() }
}

fn unknown(what: &str, why: impl Into<String>) -> Unknown {
    Unknown { what: what.to_owned(), why: why.into() }
}

/// A run that Cairn started.
fn captured(record: &RunRecord, capture: &Capture, lock: Option<&str>) -> RerunPlan {
    // The address as it was given may be relative to a folder that nobody noted; the tag's is not.
    let source_name = record.tags.get("mlflow.source.name");
    let uri = source_name.unwrap_or(&capture.uri);
    let mut request = RunRequest::new(uri.clone(), "/");
    if let Some(name) = source_name {
        request.tags.insert("mlflow.source.name".to_owned(), name.clone());
    }
    request.entry_point.clone_from(&capture.entry_point);
    // Every value as it was: defaults may be others in the code of today.
    request.params.clone_from(&capture.given);
    for (name, value) in &capture.params {
        if request.param(name).is_none() {
            request.params.push((name.clone(), value.clone()));
        }
    }
    request.env_manager = EnvManager::parse(&capture.environment.manager);
    let mut restores = Vec::new();
    let mut unknowns = Vec::new();
    let mut restore =
        Restore { run_id: record.info.run_id.clone(), code: false, environment: false };
    if let Some(source) = &capture.source {
        restore.code = true;
        let changed = match source.changed_count {
            0 => String::new(),
            1 => " with 1 changed file".to_owned(),
            n => format!(" with {n} changed files"),
        };
        let what = match &source.commit {
            Some(commit) => format!("commit {}{changed}, as it was captured", short(commit)),
            None => "the folder as it was captured".to_owned(),
        };
        restores.push(restored("Code", what));
        if !source.left_out.is_empty() {
            let names: Vec<&str> =
                source.left_out.iter().take(5).map(|file| file.path.as_str()).collect();
            unknowns.push(unknown(
                "Files that were left out",
                format!(
                    "{} not kept with the run{}: secrets, or larger than 10 MiB.",
                    names.join(", "),
                    if source.left_out.len() > 5 { " (and others)" } else { "" }
                ),
            ));
        }
    } else {
        if let Some(commit) = record.tags.get("mlflow.source.git.commit") {
            request.version = Some(commit.clone());
            restores.push(restored("Code", format!("commit {}", short(commit))));
        }
        unknowns.push(unknown(
            "Code",
            capture
                .notes
                .first()
                .cloned()
                .unwrap_or_else(|| "The code was not kept with the run.".to_owned()),
        ));
    }
    let environment = &capture.environment;
    match (lock, environment.kind.as_str()) {
        (Some(lock), _) => {
            restore.environment = true;
            let count = packages_of(lock).len();
            let python = environment.python.as_deref().unwrap_or("as recorded");
            restores.push(restored(
                "Environment",
                format!("{count} packages from the lock, Python {python}"),
            ));
        }
        (None, "container") => restores.push(restored(
            "Environment",
            format!("the image {}", environment.image.as_deref().unwrap_or("of the project")),
        )),
        (None, "local") => unknowns.push(unknown(
            "Environment",
            "It ran with the programs on PATH, which may be others today.",
        )),
        (None, _) => unknowns.push(unknown(
            "Environment",
            "No lock is kept with the run: packages without a pinned version may be newer now.",
        )),
    }
    if !request.params.is_empty() {
        restores.push(restored("Parameters", named(&request.params)));
    }
    let own_folder = capture.source.as_ref().and_then(|_| local_folder(uri));
    for input in &capture.inputs {
        if own_folder.as_ref().is_some_and(|own| input.path.starts_with(own)) && is_code(input) {
            restores
                .push(restored("Data", format!("{} comes with the code", input.path.display())));
            continue;
        }
        // The copy of the code does not have it: it is read where it lies.
        if let Some((_, value)) = request.params.iter_mut().find(|(name, _)| *name == input.param) {
            *value = input.path.display().to_string();
        }
        match data_state(input) {
            DataState::Same => {
                restores.push(restored("Data", format!("{} is as it was", input.path.display())));
            }
            DataState::Changed => unknowns.push(unknown(
                "Data",
                format!(
                    "{} is not what it was: its size or content changed.",
                    input.path.display()
                ),
            )),
            DataState::Missing => unknowns
                .push(unknown("Data", format!("{} is not there any more.", input.path.display()))),
            DataState::NotLooked => unknowns.push(unknown(
                "Data",
                format!("{} is too large to be checked beforehand.", input.path.display()),
            )),
        }
    }
    let is_exact = restore.code
        && (restore.environment || environment.kind == "container" || environment.kind == "local");
    if restore.code || restore.environment {
        request.restore = Some(restore);
    }
    RerunPlan {
        original: label(record),
        exactness: if is_exact { Exactness::Exact } else { Exactness::FromTags },
        summary: if is_exact {
            format!(
                "The entry point {} is run with the code, the environment and the parameters it had.",
                capture.entry_point
            )
        } else {
            format!("The entry point {} is run as far as it was recorded.", capture.entry_point)
        },
        request: Some(request),
        restores,
        unknown: unknowns,
        offers: Vec::new(),
    }
}

/// Whether a data file in the project's folder was captured with the code: git does not ignore it, and it is no
/// secret and not large.
fn is_code(input: &InputCapture) -> bool {
    const MAX_BYTES: u64 = 10 << 20;
    let Some(folder) = input.path.parent() else { return false };
    let path = input.path.display().to_string();
    let is_ignored = || {
        let arguments = ["check-ignore", "--quiet", "--", path.as_str()];
        Git::at(folder).run("Asking git", &arguments, &CancellationToken::new()).is_ok()
    };
    input.size_bytes <= MAX_BYTES && !is_secret(&path) && folder.is_dir() && !is_ignored()
}

enum DataState {
    Same,
    Changed,
    Missing,
    NotLooked,
}

/// Looks at a data file without taking long.
fn data_state(input: &InputCapture) -> DataState {
    const QUICK_BYTES: u64 = 32 << 20;
    let Ok(data) = fs::metadata(&input.path) else { return DataState::Missing };
    if data.is_file() && data.len() != input.size_bytes {
        return DataState::Changed;
    }
    match &input.sha256 {
        Some(known) if input.size_bytes <= QUICK_BYTES => match digest(&input.path) {
            Ok(now) if now == *known => DataState::Same,
            _ => DataState::Changed,
        },
        _ => DataState::NotLooked,
    }
}

/// A run of `mlflow run`.
fn from_tags(record: &RunRecord) -> RerunPlan {
    let tag = |name: &str| record.tags.get(name).cloned();
    let source = tag("mlflow.source.name").unwrap_or_default();
    if let Some(folder) = local_folder(&source)
        && !folder.exists()
    {
        return nothing(
            record,
            &format!("The project's folder {} is not there any more.", folder.display()),
            vec![advice(
                "Put the folder back, or add the project at its new place and run it there",
            )],
        );
    }
    let commit = tag("mlflow.source.git.commit");
    // A remote is fetched at the commit; so is a folder in git.
    let mut request = RunRequest::new(source.clone(), "/");
    request.version.clone_from(&commit);
    request.entry_point = tag("mlflow.project.entryPoint").unwrap_or_else(|| "main".to_owned());
    request.env_manager = tag("mlflow.project.env").and_then(|name| EnvManager::parse(&name));
    if request.env_manager.is_none() {
        request.env_manager = Some(EnvManager::Local);
    }
    let mut unknowns = vec![unknown(
        "Environment",
        "MLflow keeps no lock: packages without a pinned version may be newer now.",
    )];
    let mut restores = Vec::new();
    match &commit {
        Some(commit) => {
            restores.push(restored("Code", format!("commit {} of {source}", short(commit))));
            unknowns.push(unknown(
                "Uncommitted changes",
                "MLflow records the commit only: what was changed and not committed is lost.",
            ));
        }
        None => unknowns.push(unknown(
            "Code",
            format!("No commit is recorded: what lies in {source} now is run."),
        )),
    }
    // The record mixes what was given with what the code logged; only declared ones can be told apart.
    let declared =
        local_folder(&source).and_then(|folder| declared(&folder, &source, &request.entry_point));
    let mut left_out = Vec::new();
    for (name, value) in &record.params {
        if declared.as_ref().is_none_or(|names| names.contains(name)) {
            request.params.push((name.clone(), unquoted(value)));
        } else {
            left_out.push(name.as_str());
        }
    }
    if !request.params.is_empty() {
        restores.push(restored("Parameters", named(&request.params)));
    }
    if !left_out.is_empty() {
        unknowns.push(unknown(
            "Other parameters",
            format!(
                "{} are not declared by the entry point: they were logged by the code, or given as extra.",
                left_out.join(", ")
            ),
        ));
    }
    RerunPlan {
        original: label(record),
        exactness: Exactness::FromTags,
        summary: format!(
            "The entry point {} of {source} is run from what mlflow run recorded.",
            request.entry_point
        ),
        request: Some(request),
        restores,
        unknown: unknowns,
        offers: Vec::new(),
    }
}

/// The parameters that an entry point of a folder declares.
fn declared(folder: &Path, source: &str, entry_point: &str) -> Option<Vec<String>> {
    let folder = match source.split_once('#') {
        Some((_, below)) => folder.join(below),
        None => folder.to_owned(),
    };
    let project = Project::parse(&folder).ok()?;
    let entry = project.entry_points.into_iter().find(|entry| entry.name == entry_point)?;
    Some(entry.parameters.into_iter().map(|parameter| parameter.name).collect())
}

/// A script that logged by itself.
fn script(record: &RunRecord) -> RerunPlan {
    let source = record.tags.get("mlflow.source.name").cloned().unwrap_or_default();
    let path = PathBuf::from(&source);
    let commit = record.tags.get("mlflow.source.git.commit").cloned();
    let (Some(folder), Some(name)) =
        (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return nothing(record, "The name of the script is not known.", Vec::new());
    };
    if !path.is_absolute() {
        return nothing(
            record,
            &format!("The script {source} was started from a folder that is not recorded."),
            vec![advice(
                "Run the script from its folder with an absolute path once, or as a project",
            )],
        );
    }
    let text = fs::read_to_string(&path).ok();
    if text.is_none() && commit.is_none() {
        return nothing(
            record,
            &format!("The script {source} is not there any more."),
            vec![advice(
                "Put the script back, or add the project at its new place and run it there",
            )],
        );
    }
    let mut request = RunRequest::new(folder.display().to_string(), folder);
    name.clone_into(&mut request.entry_point);
    request.env_manager = manager_of(folder);
    let mut unknowns = vec![
        unknown("Command line", "A script does not record its arguments."),
        unknown("Environment", "A script does not record its interpreter and packages."),
    ];
    let mut restores = Vec::new();
    match (&commit, repository_of(folder)) {
        (Some(commit), Some(root)) => {
            let below = folder.strip_prefix(&root).unwrap_or(Path::new("")).display().to_string();
            request.uri = if below.is_empty() {
                root.display().to_string()
            } else {
                format!("{}#{below}", root.display())
            };
            request.version = Some(commit.clone());
            restores
                .push(restored("Code", format!("commit {} of {}", short(commit), root.display())));
            unknowns.push(unknown(
                "Uncommitted changes",
                "Only the commit is recorded: what was changed and not committed is lost.",
            ));
        }
        _ => unknowns
            .push(unknown("Code", format!("No commit is recorded: {source} is run as it is now."))),
    }
    let text = text.unwrap_or_default();
    let mut left_out = Vec::new();
    for (name, value) in &record.params {
        // An option of argparse, click or the like stands in the file in quotes.
        let option = |quote: char| text.contains(&format!("{quote}--{name}{quote}"));
        if option('"') || option('\'') {
            request.params.push((name.clone(), value.clone()));
        } else {
            left_out.push(name.as_str());
        }
    }
    if !request.params.is_empty() {
        restores.push(restored(
            "Parameters",
            format!("{}; the script has options of these names", named(&request.params)),
        ));
    }
    if !left_out.is_empty() {
        unknowns.push(unknown(
            "Other parameters",
            format!(
                "{} are logged, but the script has no option of that name.",
                left_out.join(", ")
            ),
        ));
    }
    RerunPlan {
        original: label(record),
        exactness: Exactness::BestEffort,
        summary: format!("The script {source} is run as well as can be told from what it logged."),
        request: Some(request),
        restores,
        unknown: unknowns,
        offers: Vec::new(),
    }
}

/// A run that was logged from a notebook.
fn notebook(record: &RunRecord) -> RerunPlan {
    let source = record.tags.get("mlflow.source.name").cloned().unwrap_or_default();
    let path = PathBuf::from(&source);
    let mut offers = Vec::new();
    if has_extension(&source, "ipynb")
        && path.is_file()
        && let (Some(folder), Some(name)) =
            (path.parent(), path.file_name().and_then(|name| name.to_str()))
    {
        let mut request = RunRequest::new(folder.display().to_string(), folder);
        name.clone_into(&mut request.entry_point);
        request.env_manager = manager_of(folder);
        offers.push(Offer {
            title: format!("Run {name} from start to end as it is now"),
            request: Some(request),
        });
    } else {
        offers.push(advice("Open the notebook and run its cells again"));
    }
    nothing(
        record,
        "This run came from a notebook: which cells ran, and in which order, is not recorded.",
        offers,
    )
}

/// A folder that says nothing about its environment was used with the programs on PATH.
fn manager_of(folder: &Path) -> Option<EnvManager> {
    let project = Project::parse(folder).ok()?;
    matches!(project.environment, DeclaredEnvironment::None).then_some(EnvManager::Local)
}

/// The folder of a local source, without what follows `#`; `None` for a remote.
fn local_folder(source: &str) -> Option<PathBuf> {
    let source = source.split('#').next().unwrap_or(source);
    let path = source.strip_prefix("file://").unwrap_or(source);
    path.starts_with('/').then(|| PathBuf::from(path))
}

/// The root of the git repository that a folder lies in.
fn repository_of(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned)
}

/// A value as it was given: `mlflow run` logs it as a shell reads it.
fn unquoted(text: &str) -> String {
    text.strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''))
        .map(|inner| inner.replace("'\"'\"'", "'"))
        .filter(|inner| quote(inner) == text)
        .unwrap_or_else(|| text.to_owned())
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// `alpha=0.5, seed=1`, and how many more.
fn named(params: &[(String, String)]) -> String {
    const SHOWN: usize = 6;
    let mut text = params
        .iter()
        .take(SHOWN)
        .map(|(name, value)| {
            let value: String = value.chars().take(40).collect();
            format!("{name}={value}")
        })
        .collect::<Vec<_>>()
        .join(", ");
    if params.len() > SHOWN {
        let _ = write!(text, " and {} more", params.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests;
