//! What lies in an `mlruns` folder: found once, read later.

use std::{
    collections::HashSet,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use cairn_core::{ExperimentId, LifecycleStage, LoggedModelId, RunId};
use cairn_runtime::CancellationToken;

use super::{
    ImportError,
    folder::{Entry, Folder, Kind, TextError},
    report::{SkipReason, Skips},
    yaml::{self, Node},
};

/// The name of the file that describes a thing.
pub(super) const META: &str = "meta.yaml";
/// The largest `meta.yaml`: that of a dataset holds its schema and profile.
const MAX_META_BYTES: u64 = 24 << 20;
/// Where deleted experiments are.
const TRASH: &str = ".trash";
/// The registry, beside the experiments; logged models, beside the runs.
const MODELS: &str = "models";

/// What was found.
#[derive(Debug)]
pub(super) struct Layout {
    /// The folder that holds the experiments, or the only experiment.
    pub root: PathBuf,
    /// In order of name.
    pub experiments: Vec<FoundExperiment>,
    /// Paths of registered models, from the root on.
    pub registered: Vec<PathBuf>,
}

/// An experiment's folder.
#[derive(Debug)]
pub(super) struct FoundExperiment {
    /// From the root on; empty if the root is the experiment.
    pub path: PathBuf,
    /// The number that it has there.
    pub experiment_id: ExperimentId,
    /// Its name.
    pub name: String,
    /// In use or in the trash.
    pub stage: LifecycleStage,
    /// Its whole description.
    pub meta: Node,
    /// Its runs, oldest first.
    pub runs: Vec<FoundRun>,
    /// Its logged models, in order of name.
    pub models: Vec<FoundModel>,
}

/// A run's folder.
#[derive(Debug, Clone)]
pub(super) struct FoundRun {
    /// From the root on.
    pub path: PathBuf,
    /// Its id.
    pub run_id: RunId,
    /// Milliseconds since 1970; 0 if it says none.
    pub start_time: i64,
}

/// A logged model's folder.
#[derive(Debug, Clone)]
pub(super) struct FoundModel {
    /// From the root on.
    pub path: PathBuf,
    /// Its id.
    pub model_id: LoggedModelId,
}

impl Layout {
    /// How many runs there are.
    pub fn run_count(&self) -> usize {
        self.experiments.iter().map(|experiment| experiment.runs.len()).sum()
    }

    /// How many logged models there are.
    pub fn model_count(&self) -> usize {
        self.experiments.iter().map(|experiment| experiment.models.len()).sum()
    }
}

/// Finds out what a path means: an `mlruns` folder, the folder that holds one, or an experiment.
///
/// Errors: [`ImportError::NotMlruns`] and its relatives, with what to do.
pub(super) fn root_of(path: &Path) -> Result<PathBuf, ImportError> {
    let path = std::path::absolute(path)
        .map_err(|source| ImportError::Unreadable { path: path.to_owned(), source })?;
    let metadata = std::fs::metadata(&path)
        .map_err(|source| ImportError::Unreadable { path: path.clone(), source })?;
    if metadata.is_file() && path.extension().is_some_and(|extension| extension == "db") {
        return Err(ImportError::Database { path });
    }
    if !metadata.is_dir() {
        return Err(ImportError::NotMlruns { path });
    }
    let folder = open(&path)?;
    if folder.has_file(META) {
        let meta = read_meta(&folder).ok();
        if meta.as_ref().is_some_and(|meta| meta.text("run_id").or(meta.text("run_uuid")).is_some())
        {
            return Err(ImportError::OneRun { path });
        }
        return Ok(path);
    }
    if looks_like_mlruns(&folder) {
        return Ok(path);
    }
    let below = path.join("mlruns");
    if let Ok(Some(folder)) = folder.find("mlruns")
        && looks_like_mlruns(&folder)
    {
        return Ok(below);
    }
    if path.join("mlflow.db").is_file() {
        return Err(ImportError::Database { path });
    }
    Err(ImportError::NotMlruns { path })
}

fn open(path: &Path) -> Result<Folder, ImportError> {
    Folder::open(path).map_err(|source| ImportError::Unreadable { path: path.to_owned(), source })
}

/// Whether some folder in it has a `meta.yaml`, or it has MLflow's trash or registry.
fn looks_like_mlruns(folder: &Folder) -> bool {
    let Ok(entries) = folder.entries() else { return false };
    entries.iter().filter(|entry| entry.kind == Kind::Folder).any(|entry| {
        let Ok(below) = folder.folder(&entry.name) else { return false };
        if below.has_file(META) {
            return true;
        }
        // The trash and the registry hold such folders themselves.
        (entry.name == TRASH || entry.name == MODELS)
            && below.entries().is_ok_and(|entries| {
                entries.iter().any(|entry| {
                    below.folder(&entry.name).is_ok_and(|folder| folder.has_file(META))
                })
            })
    })
}

/// Looks through the folder: every experiment, run and model with its `meta.yaml`; or only those
/// whose paths from the root on are in `only`, with the experiments that they are in.
pub(super) fn scan(
    root: &Path,
    only: Option<&HashSet<PathBuf>>,
    skips: &mut Skips,
    cancel: &CancellationToken,
    mut found: impl FnMut(usize),
) -> Result<Layout, ImportError> {
    let folder = open(root)?;
    let mut scan = Scan {
        skips,
        cancel,
        only,
        runs: HashSet::new(),
        models: HashSet::new(),
        ids: HashSet::new(),
    };
    let mut layout =
        Layout { root: root.to_owned(), experiments: Vec::new(), registered: Vec::new() };
    if folder.has_file(META) {
        if let Some(experiment) = scan.experiment(&folder, PathBuf::new(), false)? {
            layout.experiments.push(experiment);
        }
        return Ok(layout);
    }
    let entries = folder
        .entries()
        .map_err(|source| ImportError::Unreadable { path: root.to_owned(), source })?;
    let mut runs = 0;
    for entry in &entries {
        let path = PathBuf::from(&entry.name);
        if !scan.leads_to_any(&path) {
            continue;
        }
        let Some(below) = scan.enter(&folder, entry, &path) else { continue };
        if entry.name == MODELS {
            scan.registry(&below, &path, &mut layout.registered);
        } else if entry.name == TRASH {
            let Some(deleted) = scan.list(&below, &path) else { continue };
            for entry in &deleted {
                let path = path.join(&entry.name);
                if !scan.leads_to_any(&path) {
                    continue;
                }
                let Some(below) = scan.enter(&below, entry, &path) else { continue };
                if let Some(experiment) = scan.experiment(&below, path, true)? {
                    layout.experiments.push(experiment);
                }
            }
        } else if let Some(experiment) = scan.experiment(&below, path, false)? {
            runs += experiment.runs.len();
            layout.experiments.push(experiment);
            found(runs);
        }
    }
    Ok(layout)
}

struct Scan<'a> {
    skips: &'a mut Skips,
    cancel: &'a CancellationToken,
    only: Option<&'a HashSet<PathBuf>>,
    runs: HashSet<RunId>,
    models: HashSet<LoggedModelId>,
    ids: HashSet<ExperimentId>,
}

impl Scan<'_> {
    /// Whether something that is looked for is at a path or below it.
    fn leads_to_any(&self, path: &Path) -> bool {
        self.only.is_none_or(|only| only.iter().any(|wanted| wanted.starts_with(path)))
    }

    /// Whether a run or model is looked for.
    fn is_wanted(&self, path: &Path) -> bool {
        self.only.is_none_or(|only| only.contains(path))
    }

    /// Opens a folder in a folder; `None`, and a note, for what is none.
    fn enter(&mut self, parent: &Folder, entry: &Entry, path: &Path) -> Option<Folder> {
        match entry.kind {
            Kind::Folder => match parent.folder(&entry.name) {
                Ok(folder) => return Some(folder),
                Err(error) => self.unreadable(path, &error),
            },
            Kind::Link => self.skips.add(SkipReason::Link, path, None),
            Kind::Special => self.skips.add(SkipReason::Special, path, None),
            // Files beside the folders are nobody's (`.DS_Store`, notes).
            Kind::File => {}
        }
        None
    }

    fn list(&mut self, folder: &Folder, path: &Path) -> Option<Vec<Entry>> {
        folder.entries().map_err(|error| self.unreadable(path, &error)).ok()
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.skips.add(SkipReason::Unreadable, path, error.to_string());
    }

    /// Reads the `meta.yaml` of a folder; `None`, and a note, if that cannot be.
    fn meta(&mut self, folder: &Folder, path: &Path) -> Option<Node> {
        match read_meta(folder) {
            Ok(meta) => Some(meta),
            Err(error) => {
                error.note(self.skips, path);
                None
            }
        }
    }

    fn bad(&mut self, path: &Path, detail: String) {
        self.skips.add(SkipReason::BadMeta, &path.join(META), detail);
    }

    fn experiment(
        &mut self,
        folder: &Folder,
        path: PathBuf,
        in_trash: bool,
    ) -> Result<Option<FoundExperiment>, ImportError> {
        if !folder.has_file(META) && path.file_name().is_some_and(is_nobodys) {
            return Ok(None);
        }
        let Some(meta) = self.meta(folder, &path) else { return Ok(None) };
        let experiment_id = match meta.integer("experiment_id") {
            Ok(Some(id)) => ExperimentId(id),
            Ok(None) => {
                self.bad(&path, "experiment_id is missing".to_owned());
                return Ok(None);
            }
            Err(reason) => {
                self.bad(&path, reason);
                return Ok(None);
            }
        };
        let Some(name) = meta.text("name").filter(|name| !name.trim().is_empty()) else {
            self.bad(&path, "name is missing".to_owned());
            return Ok(None);
        };
        if !self.ids.insert(experiment_id) {
            self.skips.add(SkipReason::SameId, &path, format!("experiment {experiment_id}"));
            return Ok(None);
        }
        let stage = match meta.text("lifecycle_stage") {
            Some(stage) => LifecycleStage::from_column(stage),
            None if in_trash => LifecycleStage::Deleted,
            None => LifecycleStage::Active,
        };
        let name = name.to_owned();
        let mut experiment = FoundExperiment {
            experiment_id,
            name,
            stage,
            meta,
            path: path.clone(),
            runs: Vec::new(),
            models: Vec::new(),
        };
        let Some(entries) = self.list(folder, &path) else { return Ok(Some(experiment)) };
        for entry in &entries {
            if self.cancel.is_cancelled() {
                return Err(ImportError::Cancelled);
            }
            let below_path = path.join(&entry.name);
            if !self.leads_to_any(&below_path) {
                continue;
            }
            match entry.text() {
                Some("tags" | "datasets") => continue,
                Some("traces") => {
                    let Some(traces) = self.enter(folder, entry, &below_path) else { continue };
                    let count = traces.entries().map_or(0, |entries| entries.len() as u64);
                    if count > 0 {
                        self.skips.add_many(SkipReason::Traces, count, &below_path, None);
                    }
                    continue;
                }
                _ => {}
            }
            let Some(below) = self.enter(folder, entry, &below_path) else { continue };
            if entry.name == MODELS && !below.has_file(META) {
                self.models(&below, &below_path, &mut experiment.models);
            } else {
                self.run(&below, below_path, &mut experiment.runs);
            }
        }
        // Rows then come in the order of time, as if they had been logged.
        experiment.runs.sort_by(|a, b| (a.start_time, &a.run_id).cmp(&(b.start_time, &b.run_id)));
        Ok(Some(experiment))
    }

    fn run(&mut self, folder: &Folder, path: PathBuf, runs: &mut Vec<FoundRun>) {
        let Some(meta) = self.meta(folder, &path) else { return };
        let id = meta.text("run_id").or_else(|| meta.text("run_uuid"));
        let Some(id) = id else {
            self.bad(&path, "run_id is missing".to_owned());
            return;
        };
        let Ok(run_id) = id.parse::<RunId>() else {
            self.bad(&path, format!("run_id is no id: {}", yaml::shorten(id)));
            return;
        };
        let start_time = match meta.integer("start_time") {
            Ok(time) => time.unwrap_or_default(),
            Err(reason) => {
                self.bad(&path, reason);
                return;
            }
        };
        if !self.runs.insert(run_id.clone()) {
            self.skips.add(SkipReason::SameId, &path, format!("run {run_id}"));
            return;
        }
        runs.push(FoundRun { path, run_id, start_time });
    }

    fn models(&mut self, folder: &Folder, path: &Path, models: &mut Vec<FoundModel>) {
        let Some(entries) = self.list(folder, path) else { return };
        for entry in &entries {
            let path = path.join(&entry.name);
            if !self.is_wanted(&path) {
                continue;
            }
            let Some(below) = self.enter(folder, entry, &path) else { continue };
            let Some(meta) = self.meta(&below, &path) else { continue };
            let id = meta.text("model_id").and_then(|id| id.parse::<LoggedModelId>().ok());
            let Some(model_id) = id else {
                self.bad(&path, "model_id is missing or no id".to_owned());
                continue;
            };
            if !self.models.insert(model_id.clone()) {
                self.skips.add(SkipReason::SameId, &path, format!("model {model_id}"));
                continue;
            }
            models.push(FoundModel { path, model_id });
        }
    }

    fn registry(&mut self, folder: &Folder, path: &Path, registered: &mut Vec<PathBuf>) {
        let Some(entries) = self.list(folder, path) else { return };
        for entry in &entries {
            let path = path.join(&entry.name);
            if !self.is_wanted(&path) {
                continue;
            }
            let Some(below) = self.enter(folder, entry, &path) else { continue };
            if below.has_file(META) {
                registered.push(path);
            } else {
                self.skips.add(SkipReason::NoMeta, &path, None);
            }
        }
    }
}

/// Whether a folder's name is one that programs leave everywhere.
fn is_nobodys(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with('.') || name == "__pycache__")
}

/// Why a `meta.yaml` could not be used.
#[derive(Debug)]
pub(super) enum MetaError {
    Missing,
    Text(TextError),
    Yaml(yaml::YamlError),
}

impl MetaError {
    /// Puts it into the list.
    pub fn note(&self, skips: &mut Skips, path: &Path) {
        let meta = path.join(META);
        match self {
            Self::Missing => skips.add(SkipReason::NoMeta, path, None),
            Self::Text(error) => note_text(error, skips, &meta),
            Self::Yaml(error) => skips.add(SkipReason::BadMeta, &meta, error.to_string()),
        }
    }
}

/// Notes a small file that could not be read.
pub(super) fn note_text(error: &TextError, skips: &mut Skips, path: &Path) {
    match error {
        TextError::NotUtf8 => skips.add(SkipReason::NotText, path, None),
        TextError::TooLarge => skips.add(SkipReason::TooLarge, path, None),
        TextError::Io(error) => skips.add(SkipReason::Unreadable, path, error.to_string()),
    }
}

/// Reads the `meta.yaml` of a folder.
pub(super) fn read_meta(folder: &Folder) -> Result<Node, MetaError> {
    let text = match folder.text(META, MAX_META_BYTES) {
        Ok(text) => text,
        Err(TextError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Err(MetaError::Missing);
        }
        Err(error) => return Err(MetaError::Text(error)),
    };
    yaml::parse(&text).map_err(MetaError::Yaml)
}
