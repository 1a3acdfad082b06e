//! *Import…*: what the window asks.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Mutex,
};

use cairn_store::Store;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{
    ArtifactMode, Following, ImportError, ImportOptions, ImportReport, Importer, Progress,
    SkipGroup, Step, files, folder, follow, layout,
    report::{ImportCounts, SkipReason, Skips},
};
use crate::{
    app::App,
    dto::{CommandError, ErrorCode, Job},
    errors,
    jobs::{JobHandle, JobRef, Jobs},
};

/// Which folder to look into.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct ImportLook {
    /// An `mlruns` folder, the folder that holds it, or one experiment; `~` is the person's home.
    pub path: String,
}

/// What to import.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct ImportStart {
    /// As in [`ImportLook`].
    pub path: String,
    /// Go on bringing in what is written to the folder later, until the job is stopped.
    #[serde(default)]
    pub follow: bool,
    /// Leave artifacts where they are instead of copying them.
    #[serde(default)]
    pub reference_artifacts: bool,
}

/// An experiment that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct FoundExperimentRow {
    /// Its name.
    pub name: String,
    /// A string of digits.
    pub experiment_id: String,
    /// Whether it is in the trash.
    pub is_deleted: bool,
    /// Its runs.
    #[ts(type = "number")]
    pub runs: u64,
    /// Its logged models.
    #[ts(type = "number")]
    pub logged_models: u64,
    /// What differs in the store, in a sentence: it joins one of the same name, or its number is
    /// taken. `None` if it comes in as it is.
    pub conflict: Option<String>,
}

/// What was found in a folder; nothing has been imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ImportFound {
    /// The folder that holds the experiments.
    pub path: String,
    /// The folder as a person writes it.
    pub display_path: String,
    /// The experiments, in order of name.
    pub experiments: Vec<FoundExperimentRow>,
    /// Runs in all of them.
    #[ts(type = "number")]
    pub runs: u64,
    /// Of these, runs that are in the store.
    #[ts(type = "number")]
    pub runs_in_store: u64,
    /// Logged models in all of them.
    #[ts(type = "number")]
    pub logged_models: u64,
    /// Registered models.
    #[ts(type = "number")]
    pub registered_models: u64,
    /// Artifact files that would be copied.
    #[ts(type = "number")]
    pub files: u64,
    /// Their bytes.
    #[ts(type = "number")]
    pub file_bytes: u64,
    /// What would be left out, as far as a look can tell.
    pub skipped: Vec<SkipGroup>,
}

/// How an import stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ImportState {
    /// The folder as a person writes it.
    pub display_path: String,
    /// What came in; `None` until the import has ended or gone over to following.
    pub report: Option<ImportReport>,
    /// Set while the folder is followed: what came in since.
    pub followed: Option<ImportCounts>,
    /// Why the folder is looked at every ten seconds instead of being watched.
    pub polls_because: Option<String>,
}

/// The imports since the start, by job.
#[derive(Default)]
pub(crate) struct Imports {
    states: Mutex<HashMap<String, ImportState>>,
}

impl Imports {
    fn set(&self, job_id: &str, state: ImportState) {
        let mut states = self.states.lock().expect("no holder of this lock panics");
        states.insert(job_id.to_owned(), state);
    }
}

pub(crate) async fn look(app: &App, args: ImportLook) -> Result<ImportFound, CommandError> {
    let store = app.store()?;
    let path = given_path(&args.path)?;
    let looked = tokio::task::spawn_blocking(move || found(&store, &path)).await;
    looked.map_err(errors::internal)?.map_err(import_error)
}

pub(crate) async fn start(app: &App, args: ImportStart) -> Result<Job, CommandError> {
    let store = app.store()?;
    let path = given_path(&args.path)?;
    let options = ImportOptions {
        artifacts: if args.reference_artifacts {
            ArtifactMode::Reference
        } else {
            ArtifactMode::Copy
        },
        recheck: false,
        ..ImportOptions::default()
    };
    let opened = {
        let store = store.clone();
        tokio::task::spawn_blocking(move || Importer::open(&store, &path, options)).await
    };
    let importer = opened.map_err(errors::internal)?.map_err(import_error)?;
    let display_path = errors::shorten_home(importer.root());
    let title = format!("Import {display_path}");
    let asked = app.clone();
    Jobs::start(app, &title, move |job| async move {
        let work = move || run(&asked, &store, &job, importer, args.follow, display_path);
        tokio::task::spawn_blocking(work).await.map_err(errors::internal)?
    })
}

pub(crate) async fn state(app: &App, args: JobRef) -> Result<Option<ImportState>, CommandError> {
    let states = app.inner.imports.states.lock().expect("no holder of this lock panics");
    Ok(states.get(&args.job_id).cloned())
}

fn run(
    app: &App,
    store: &Store,
    job: &JobHandle,
    mut importer: Importer,
    follows: bool,
    display_path: String,
) -> Result<(), CommandError> {
    let state = |report, followed, polls_because| {
        let display_path = display_path.clone();
        let state = ImportState { display_path, report, followed, polls_because };
        app.inner.imports.set(job.id(), state);
    };
    state(None, None, None);
    let (report, ended) = importer.pass(&job.cancel, &|progress| {
        let (words, fraction) = words(progress);
        job.step(words, fraction);
    });
    state(Some(report.clone()), None, None);
    ended.map_err(import_error)?;
    job.step(summary(&report.counts), Some(1.0));
    if !follows {
        return Ok(());
    }
    // Another store in its place: what comes later is not meant for the old one.
    let cancel = job.cancel.child_token();
    let mut ends = app.inner.generation.subscribe();
    let (asked, followed_store, ended) = (app.clone(), store.clone(), cancel.clone());
    let watch = tokio::spawn(async move {
        while ends.changed().await.is_ok() {
            if !asked.store().is_ok_and(|open| open.is_same(&followed_store)) {
                ended.cancel();
            }
        }
    });
    let followed = follow(&mut importer, &cancel, &|following: &Following| {
        let polls = following.polls_because.clone();
        state(Some(report.clone()), Some(following.counts), polls);
        job.step(follow_words(&display_path, following), None);
    });
    watch.abort();
    followed.map_err(import_error)?;
    job.step(format!("Stopped following {display_path}"), Some(1.0));
    Ok(())
}

fn follow_words(display_path: &str, following: &Following) -> String {
    if following.arrivals == 0 {
        return format!("Following {display_path}");
    }
    let counts = &following.counts;
    format!(
        "Following {display_path}: {} new, {} since",
        plural(counts.runs, "run"),
        plural(counts.metric_values, "metric value")
    )
}

/// What an import does, in words, and how far it is.
pub fn words(progress: Progress) -> (String, Option<f64>) {
    let Progress { done, total, .. } = progress;
    let fraction = |from: f64, share: f64| {
        Some(from + share * if total == 0 { 0.0 } else { done as f64 / total as f64 })
    };
    match progress.step {
        Step::Looking => (format!("Looking: {} found", plural(done, "run")), None),
        Step::Runs => {
            let values = plural(progress.values, "metric value");
            (format!("{done} of {}, {values}", plural(total, "run")), fraction(0.0, 0.8))
        }
        Step::Models => (format!("{done} of {}", plural(total, "model")), fraction(0.8, 0.02)),
        Step::Files => {
            (format!("Files of {done} of {}", plural(total, "run")), fraction(0.82, 0.18))
        }
    }
}

/// What came in, in a line.
pub fn summary(counts: &ImportCounts) -> String {
    let mut parts = vec![
        plural(counts.runs, "run"),
        plural(counts.metric_values, "metric value"),
        plural(counts.files, "file"),
    ];
    if counts.runs_unchanged > 0 {
        parts.push(format!("{} there already", plural(counts.runs_unchanged, "run")));
    }
    format!("Imported {}", parts.join(", "))
}

/// A count with its noun, digits in groups.
pub fn plural(count: u64, noun: &str) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} {noun}{}", if count == 1 { "" } else { "s" })
}

fn given_path(text: &str) -> Result<PathBuf, CommandError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(CommandError::new(ErrorCode::InvalidInput, "No path was given")
            .with_hint("Give the path of an mlruns folder."));
    }
    Ok(errors::expand_home(Path::new(text)))
}

fn import_error(error: ImportError) -> CommandError {
    let hint = error.hint();
    let mut failure = match error {
        ImportError::Cancelled => CommandError::new(ErrorCode::Cancelled, "Stopped"),
        ImportError::Store(error) => errors::store_error(error),
        error => CommandError::new(ErrorCode::InvalidInput, error.to_string()),
    };
    if failure.hint.is_none() {
        failure.hint = hint.map(str::to_owned);
    }
    failure
}

/// Looks through a folder without importing anything.
fn found(store: &Store, path: &Path) -> Result<ImportFound, ImportError> {
    let importer = Importer::open(store, path, ImportOptions::default())?;
    let root = importer.root().to_owned();
    let mut skips = Skips::default();
    let cancel = super::CancellationToken::new();
    let layout = layout::scan(&root, None, &mut skips, &cancel, |_| {})?;
    let mut rows = Vec::with_capacity(layout.experiments.len());
    let (mut files, mut file_bytes, mut runs_in_store) = (0, 0, 0);
    for experiment in &layout.experiments {
        rows.push(FoundExperimentRow {
            name: experiment.name.clone(),
            experiment_id: experiment.experiment_id.to_string(),
            is_deleted: experiment.stage == cairn_core::LifecycleStage::Deleted,
            runs: experiment.runs.len() as u64,
            logged_models: experiment.models.len() as u64,
            conflict: conflict(store, experiment)?,
        });
        runs_in_store += store.read_blocking(|tx| {
            Ok(experiment.runs.iter().filter(|run| tx.run_info(&run.run_id).is_ok()).count() as u64)
        })?;
        let runs = experiment.runs.iter().map(|run| &run.path);
        for path in runs.chain(experiment.models.iter().map(|model| &model.path)) {
            let Ok(folder) = folder::Folder::open(&root.join(path)) else { continue };
            let (count, bytes) = files::measure(&folder);
            files += count;
            file_bytes += bytes;
        }
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(ImportFound {
        display_path: errors::shorten_home(&root),
        path: root.display().to_string(),
        experiments: rows,
        runs: layout.run_count() as u64,
        runs_in_store,
        logged_models: layout.model_count() as u64,
        registered_models: layout.registered.len() as u64,
        files,
        file_bytes,
        skipped: skips.groups(),
    })
}

/// What differs for an experiment in the store.
fn conflict(store: &Store, found: &layout::FoundExperiment) -> Result<Option<String>, ImportError> {
    store
        .read_blocking(|tx| {
            let named = tx.experiment_by_name(&found.name).ok();
            let numbered = tx.experiment(found.experiment_id).ok();
            Ok(match (named, numbered) {
                (Some(named), _)
                    if named.lifecycle_stage == cairn_core::LifecycleStage::Deleted
                        && found.stage == cairn_core::LifecycleStage::Active =>
                {
                    Some(format!(
                        "An experiment of this name is in the trash; this one becomes “{} \
                         (imported)”",
                        found.name
                    ))
                }
                (Some(named), _) if named.experiment_id == found.experiment_id => {
                    Some("Joins the experiment of the same name and number".to_owned())
                }
                (Some(named), _) => {
                    Some(format!("Joins the experiment of the same name ({})", named.experiment_id))
                }
                (None, Some(numbered)) => Some(format!(
                    "Gets another number: {} is “{}” in the store",
                    found.experiment_id, numbered.name
                )),
                (None, None) => None,
            })
        })
        .map_err(ImportError::Store)
}

impl SkipReason {
    /// All that a report can name, for lists of them.
    #[cfg(test)]
    const ALL: [Self; 24] = [
        Self::BadMeta,
        Self::NoMeta,
        Self::SameId,
        Self::BadMetricLine,
        Self::BadKey,
        Self::NotText,
        Self::TooLarge,
        Self::Cut,
        Self::ParamConflict,
        Self::MissingPart,
        Self::Link,
        Self::Special,
        Self::Unreadable,
        Self::BadFileName,
        Self::TooDeep,
        Self::InTheWay,
        Self::Outside,
        Self::Traces,
        Self::OldFile,
        Self::Remote,
        Self::ExperimentChanged,
        Self::OtherExperiment,
        Self::Renumbered,
        Self::AliasKept,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_easily() {
        assert_eq!(plural(1, "run"), "1 run");
        assert_eq!(plural(0, "run"), "0 runs");
        assert_eq!(plural(20_000_000, "metric value"), "20,000,000 metric values");
        assert_eq!(plural(1_234, "file"), "1,234 files");
    }

    #[test]
    fn every_reason_has_words_of_its_own() {
        let words: std::collections::HashSet<_> =
            SkipReason::ALL.iter().map(|reason| reason.words()).collect();
        assert_eq!(words.len(), SkipReason::ALL.len());
    }
}
