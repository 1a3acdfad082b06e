//! One pass over a folder: read, write, copy.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use cairn_core::{ExperimentId, RunId};
use cairn_runtime::CancellationToken;
use cairn_store::{
    Store,
    imports::{
        Bulk, Existing, ImportedExperiment, ImportedPoint, ImportedRegisteredModel, ImportedRun,
        ParamConflict,
    },
    logged_models::LoggedModel,
    own::{ImportLedger, ImportPart},
};

use super::{
    ImportError,
    files::{Copied, copy_files},
    folder::{Fingerprint, Folder},
    layout::{self, FoundExperiment, FoundModel, FoundRun, Layout},
    places::{Address, Files, Owner, files_of, owner_of},
    reader::{
        Described, Offsets, Points, read_experiment_tags, read_metrics, read_model,
        read_registered, read_run,
    },
    report::{ImportCounts, ImportReport, SkipReason, Skips},
};

/// Messages of one bundle aim at this many rows.
const BUNDLE_ROWS: usize = 8_192;
/// Bundles that may wait between reading and writing.
const BUNDLES: usize = 8;
/// What was read is written after this long, also if it is little.
const PATIENCE: Duration = Duration::from_millis(250);
/// [`ImportOptions::told_every`] unless something else is asked for.
const TOLD_EVERY: Duration = Duration::from_millis(100);

/// How an import treats what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportOptions {
    /// What happens to artifacts.
    pub artifacts: ArtifactMode,
    /// Look at every run again, also at those that an earlier import brought unchanged.
    pub recheck: bool,
    /// The least time between two messages about progress.
    pub told_every: Duration,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { artifacts: ArtifactMode::default(), recheck: false, told_every: TOLD_EVERY }
    }
}

/// What happens to artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArtifactMode {
    /// They are copied into the store's artifact tree.
    #[default]
    Copy,
    /// They stay where they are, and the runs name that place. Clients on this machine read them
    /// there; the port for MLflow clients does not serve them.
    Reference,
}

/// What an import is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Finding experiments and runs; `done` runs found, `total` unknown (0).
    Looking,
    /// Runs and their metrics; in runs.
    Runs,
    /// Logged models and registered models; in models.
    Models,
    /// Artifacts; in runs and models whose files are there.
    Files,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub step: Step,
    /// How many are done.
    pub done: u64,
    /// Of how many; 0 while that is not known.
    pub total: u64,
    /// Metric values written so far.
    pub values: u64,
    /// Bytes of files copied so far.
    pub bytes: u64,
}

/// Imports one folder into one store, as often as it is asked to.
#[derive(Debug)]
pub struct Importer {
    pub(super) store: Store,
    ledger: ImportLedger,
    pub(super) root: PathBuf,
    options: ImportOptions,
    /// Which metric files of runs that go on were read, and how far. Only kept while following.
    offsets: HashMap<RunId, Offsets>,
    /// Whether the folder is followed: then what is just being written is left for the next pass.
    pub(super) follows: bool,
}

/// What one pass did.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub counts: ImportCounts,
    pub skips: Skips,
    /// Runs and models with files that were written in the last moments: to be looked at again.
    pub unsettled: HashSet<PathBuf>,
}

impl Pass {
    pub fn report(&self) -> ImportReport {
        ImportReport { counts: self.counts, skipped: self.skips.groups() }
    }
}

/// What goes from the reading thread to the writing one.
enum Message {
    Run {
        run: Box<ImportedRun>,
        path: PathBuf,
        existing: Existing,
    },
    Points {
        run: Arc<RunId>,
        points: Points,
    },
    RunEnd {
        run: Arc<RunId>,
        experiment: ExperimentId,
        latest: Vec<(Arc<str>, ImportedPoint)>,
        fingerprint: u64,
    },
    Model {
        model: Box<LoggedModel>,
        path: PathBuf,
        existing: Existing,
        fingerprint: u64,
    },
}

impl Message {
    fn rows(&self) -> usize {
        match self {
            Self::Run { run, .. } => 4 + run.params.len() + run.tags.len(),
            Self::Points { points, .. } => points.points.len(),
            Self::RunEnd { latest, .. } => 1 + latest.len(),
            Self::Model { model, .. } => 4 + model.metrics.len() + model.params.len(),
        }
    }
}

/// What became of the messages of one transaction.
#[derive(Default)]
struct Written {
    counts: ImportCounts,
    conflicts: Vec<(PathBuf, Vec<ParamConflict>)>,
    elsewhere: Vec<(PathBuf, ExperimentId)>,
    model_values_left_out: Vec<(PathBuf, u64)>,
    done: Vec<(ImportPart, String, u64)>,
    runs_done: u64,
}

impl Importer {
    /// Prepares to import a folder: an `mlruns`, the folder that holds it, or one experiment.
    ///
    /// Errors: those that say what is wrong with the path, and a store that is read-only.
    pub fn open(store: &Store, path: &Path, options: ImportOptions) -> Result<Self, ImportError> {
        let root = layout::root_of(path)?;
        let canonical = |path: &Path| {
            std::fs::canonicalize(path)
                .map_err(|source| ImportError::Unreadable { path: path.to_owned(), source })
        };
        let (inside, store_dir) = (canonical(&root)?, canonical(store.dir())?);
        // `mlruns` beside an `mlflow.db` is common; the artifact tree of the store is not meant.
        if store_dir.starts_with(&inside) || inside.starts_with(store_dir.join("mlartifacts")) {
            return Err(ImportError::IsStore { path: root });
        }
        if let Some(reason) = store.read_only() {
            let path = store.dir().to_owned();
            return Err(cairn_store::StoreError::ReadOnly { path, reason }.into());
        }
        let ledger = ImportLedger::open(store.dir())?;
        let store = store.clone();
        Ok(Self { store, ledger, root, options, offsets: HashMap::new(), follows: false })
    }

    /// The folder that holds the experiments.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Imports all that is there and not yet in the store. Blocks; call it off the async threads.
    ///
    /// Answers what came in, also when it broke off: what the report says is in the store.
    pub fn pass(
        &mut self,
        cancel: &CancellationToken,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> (ImportReport, Result<(), ImportError>) {
        let mut pass = Pass::default();
        let ended = self.pass_over(None, &mut pass, cancel, progress);
        (pass.report(), ended)
    }

    /// [`Importer::pass`] over some runs, models and experiments only (paths from the root on).
    pub(super) fn pass_over(
        &mut self,
        only: Option<&HashSet<PathBuf>>,
        pass: &mut Pass,
        cancel: &CancellationToken,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<(), ImportError> {
        let told = Told::new(progress, self.options.told_every);
        let layout = layout::scan(&self.root, only, &mut pass.skips, cancel, |runs| {
            told.step(Step::Looking, runs as u64, 0);
        })?;
        let mut bulk = Bulk::begin(&self.store)?;
        let experiments = self.experiments(&layout, pass, &mut bulk)?;
        self.rows(&layout, &experiments, pass, &mut bulk, cancel, &told)?;
        self.registry(&layout, pass, &mut bulk, cancel, &told)?;
        drop(bulk);
        if self.options.artifacts == ArtifactMode::Copy {
            self.files(&layout, pass, cancel, &told)?;
        }
        Ok(())
    }

    /// Makes the experiments; answers their numbers in the store.
    fn experiments(
        &self,
        layout: &Layout,
        pass: &mut Pass,
        bulk: &mut Bulk,
    ) -> Result<Vec<ExperimentId>, ImportError> {
        let mut numbers = Vec::with_capacity(layout.experiments.len());
        for found in &layout.experiments {
            let folder = self.folder(&found.path)?;
            let tags = read_experiment_tags(&folder, &found.path, &mut pass.skips);
            let mut print = Fingerprint::new();
            print.add(found.stage.as_str().as_bytes());
            for tag in &tags {
                print.add(tag.key.as_bytes());
                print.add(&[0]);
                print.add(tag.value.as_bytes());
            }
            let print = print.finish();
            let id = found.experiment_id.to_string();
            let known = self.ledger.fingerprint(ImportPart::Experiment, &id)?;
            let existing = match known {
                Some(known) if known != print => Existing::Follows,
                _ => Existing::Stays,
            };
            let time = |key| found.meta.integer(key).ok().flatten();
            let location = found.meta.text("artifact_location");
            let is_remote = location.and_then(Address::parse) == Some(Address::Remote);
            let new = ImportedExperiment {
                experiment_id: Some(found.experiment_id),
                name: found.name.clone(),
                artifact_location: location.filter(|_| is_remote).map(str::to_owned),
                lifecycle_stage: found.stage,
                creation_time: time("creation_time"),
                last_update_time: time("last_update_time"),
                tags,
            };
            let outcome = bulk.write(1, move |tx| tx.import_experiment(&new, existing))?;
            if outcome.is_new {
                pass.counts.experiments += 1;
            }
            let is_moved = outcome.experiment_id != found.experiment_id;
            if is_moved || outcome.name != found.name {
                let detail = format!(
                    "“{}” ({}) is “{}” ({}) in the store",
                    found.name, found.experiment_id, outcome.name, outcome.experiment_id
                );
                pass.skips.add(SkipReason::ExperimentChanged, &found.path, detail);
            }
            self.ledger.note([(ImportPart::Experiment, id.as_str(), print)])?;
            numbers.push(outcome.experiment_id);
        }
        Ok(numbers)
    }

    /// Brings in runs, metrics and logged models: read on a thread of its own, written on the
    /// store's.
    fn rows(
        &mut self,
        layout: &Layout,
        experiments: &[ExperimentId],
        pass: &mut Pass,
        bulk: &mut Bulk,
        cancel: &CancellationToken,
        told: &Told<'_>,
    ) -> Result<(), ImportError> {
        let total = (layout.run_count() + layout.model_count()) as u64;
        let read = AtomicU64::new(0);
        let offsets = std::mem::take(&mut self.offsets);
        let reading = Reading { importer: self, layout, experiments, cancel, read: &read };
        let (sender, receiver) = sync_channel(BUNDLES);
        let (written, reader) = thread::scope(|scope| {
            let reader = thread::Builder::new()
                .name("cairn-import-reader".to_owned())
                .spawn_scoped(scope, move || reading.all(offsets, &sender));
            let reader = match reader {
                Ok(reader) => reader,
                Err(source) => {
                    return (
                        Err(ImportError::Unreadable { path: layout.root.clone(), source }),
                        None,
                    );
                }
            };
            let written = self.write(
                &receiver,
                pass,
                bulk,
                || told.rows(read.load(Ordering::Relaxed), total),
                told,
            );
            // A reader that still sends ends when nobody listens.
            drop(receiver);
            (written, reader.join().ok())
        });
        if let Some(reader) = reader {
            pass.skips.merge(reader.skips);
            pass.counts.runs_unchanged += reader.unchanged;
            self.offsets = reader.offsets;
        }
        written?;
        if cancel.is_cancelled() {
            return Err(ImportError::Cancelled);
        }
        Ok(())
    }

    fn write(
        &self,
        bundles: &Receiver<Vec<Message>>,
        pass: &mut Pass,
        bulk: &mut Bulk,
        tell: impl Fn(),
        told: &Told<'_>,
    ) -> Result<(), ImportError> {
        let mut waiting = Vec::new();
        let mut rows = 0;
        let mut since = Instant::now();
        loop {
            let (received, is_end) = match bundles.recv_timeout(PATIENCE) {
                Ok(bundle) => (bundle, false),
                Err(RecvTimeoutError::Timeout) => (Vec::new(), false),
                Err(RecvTimeoutError::Disconnected) => (Vec::new(), true),
            };
            rows += received.iter().map(Message::rows).sum::<usize>();
            waiting.extend(received);
            let is_due = rows >= bulk.rows() || since.elapsed() >= PATIENCE * 4 || is_end;
            if is_due && !waiting.is_empty() {
                let messages = std::mem::take(&mut waiting);
                let written = bulk.write(rows, move |tx| write_messages(tx, messages))?;
                rows = 0;
                since = Instant::now();
                let done = written.done.iter();
                self.ledger.note(done.map(|(part, id, print)| (*part, id.as_str(), *print)))?;
                note_written(pass, &written);
                told.values.store(pass.counts.metric_values, Ordering::Relaxed);
            }
            tell();
            if is_end {
                return Ok(());
            }
        }
    }

    /// Brings in registered models and versions; runs and logged models are in the store by now.
    fn registry(
        &self,
        layout: &Layout,
        pass: &mut Pass,
        bulk: &mut Bulk,
        cancel: &CancellationToken,
        told: &Told<'_>,
    ) -> Result<(), ImportError> {
        let total = layout.registered.len() as u64;
        for (done, path) in layout.registered.iter().enumerate() {
            if cancel.is_cancelled() {
                return Err(ImportError::Cancelled);
            }
            told.step(Step::Models, done as u64, total);
            let folder = self.folder(path)?;
            let mut skips = Skips::default();
            let Some((mut model, print)) = read_registered(folder, path, &mut skips) else {
                pass.skips.merge(skips);
                continue;
            };
            let (existing, is_unchanged) =
                self.existing(ImportPart::RegisteredModel, &model.name, print)?;
            if is_unchanged && self.has_registered(&model.name) {
                continue;
            }
            self.relocate(&mut model, path, &mut skips)?;
            let name = model.name.clone();
            let rows = 4 + model.versions.len();
            let outcome =
                bulk.write(rows, move |tx| tx.import_registered_model(&model, existing))?;
            pass.counts.registered_models += u64::from(outcome.is_new);
            pass.counts.model_versions += outcome.new_versions;
            for (old, new) in outcome.renumbered {
                let detail = format!("version {old} is version {new} in the store");
                skips.add(SkipReason::Renumbered, path, detail);
            }
            for alias in outcome.kept_aliases {
                skips.add(SkipReason::AliasKept, path, alias);
            }
            if outcome.has_no_aliases {
                skips.add(SkipReason::OldFile, path, "aliases".to_owned());
            }
            let print = if skips.is_empty() { print } else { 0 };
            self.ledger.note([(ImportPart::RegisteredModel, name.as_str(), print)])?;
            pass.skips.merge(skips);
        }
        Ok(())
    }

    /// Copies artifacts of runs and logged models into the tree.
    fn files(
        &self,
        layout: &Layout,
        pass: &mut Pass,
        cancel: &CancellationToken,
        told: &Told<'_>,
    ) -> Result<(), ImportError> {
        let total = (layout.run_count() + layout.model_count()) as u64;
        let mut copied = Copied::begin(&self.store, cancel, self.follows)?;
        let mut done = 0;
        let runs = layout.experiments.iter().flat_map(|experiment| &experiment.runs);
        for run in runs {
            if cancel.is_cancelled() {
                copied.flush(pass)?;
                return Err(ImportError::Cancelled);
            }
            let id = run.run_id.clone();
            let uri =
                self.store.read_blocking(move |tx| tx.run_info(&id).map(|run| run.artifact_uri));
            let tail = run.run_id.to_string();
            self.files_of_one(&run.path, uri, &tail, &mut copied, pass, || {
                told.files(done, total);
            })?;
            done += 1;
            told.files(done, total);
        }
        let models = layout.experiments.iter().flat_map(|experiment| &experiment.models);
        for model in models {
            if cancel.is_cancelled() {
                copied.flush(pass)?;
                return Err(ImportError::Cancelled);
            }
            let id = model.model_id.clone();
            let uri = self.store.read_blocking(move |tx| {
                tx.logged_model(&id, true).map(|model| model.artifact_location)
            });
            let tail = format!("models/{}", model.model_id);
            self.files_of_one(&model.path, uri, &tail, &mut copied, pass, || {
                told.files(done, total);
            })?;
            done += 1;
            told.files(done, total);
        }
        copied.flush(pass)?;
        told.bytes.store(pass.counts.file_bytes, Ordering::Relaxed);
        told.files(done, total);
        Ok(())
    }

    fn files_of_one(
        &self,
        path: &Path,
        uri: cairn_store::Result<String>,
        tail: &str,
        copied: &mut Copied,
        pass: &mut Pass,
        tell: impl Fn(),
    ) -> Result<(), ImportError> {
        // What did not come in has no place for files either; why was said.
        let Ok(uri) = uri else { return Ok(()) };
        let Ok(folder) = self.folder(path) else { return Ok(()) };
        let meta = layout::read_meta(&folder).ok();
        let address = meta
            .as_ref()
            .and_then(|meta| meta.text("artifact_uri").or(meta.text("artifact_location")));
        match files_of(&folder, address, tail, &self.root) {
            Files::Here(source) => {
                copy_files(&source, path, &uri, copied, pass, tell)?;
            }
            Files::Remote => {
                pass.skips.add(SkipReason::Remote, path, address.map(str::to_owned));
            }
            Files::Outside => {
                pass.skips.add(SkipReason::Outside, path, address.map(str::to_owned));
            }
            Files::None => {}
        }
        Ok(())
    }

    /// Whether a thing came in before, and whether it has not changed since.
    fn existing(
        &self,
        part: ImportPart,
        id: &str,
        print: u64,
    ) -> Result<(Existing, bool), ImportError> {
        let known = self.ledger.fingerprint(part, id)?;
        let existing = if known.is_some() { Existing::Follows } else { Existing::Stays };
        Ok((existing, known == Some(print) && !self.options.recheck))
    }

    fn has_registered(&self, name: &str) -> bool {
        let name = name.to_owned();
        self.store.read_blocking(move |tx| tx.registered_model(&name)).is_ok()
    }

    /// Gives the versions of a model the addresses that their files have in the store.
    ///
    /// A path of this machine that is no imported run's or model's is not taken over: the store's
    /// readers would open it. It stays in a tag.
    fn relocate(
        &self,
        model: &mut ImportedRegisteredModel,
        path: &Path,
        skips: &mut Skips,
    ) -> Result<(), ImportError> {
        for version in &mut model.versions {
            let place = path.join(format!("version-{}", version.version));
            for address in [&mut version.source, &mut version.storage_location] {
                if !matches!(Address::parse(address), Some(Address::Local(_) | Address::Served(_)))
                {
                    continue;
                }
                if let Some(new) = self.new_address(address)? {
                    *address = new;
                    continue;
                }
                let tag = cairn_store::experiments::Tag {
                    key: "cairn.import.source".to_owned(),
                    value: address.clone(),
                };
                if !version.tags.iter().any(|known| known.key == tag.key) {
                    skips.add(SkipReason::Outside, &place, address.clone());
                    version.tags.push(tag);
                }
                address.clear();
            }
        }
        Ok(())
    }

    /// The address that the files behind an old one have in the store.
    fn new_address(&self, old: &str) -> Result<Option<String>, ImportError> {
        let (uri, below) = match owner_of(old) {
            Some(Owner::Run(id, below)) => {
                let Ok(id) = id.parse::<RunId>() else { return Ok(None) };
                let found = self.store.read_blocking(move |tx| tx.run_info(&id));
                let Some(run) = known(found)? else { return Ok(None) };
                (run.artifact_uri, below)
            }
            Some(Owner::Model(id, below)) => {
                let Ok(id) = id.parse() else { return Ok(None) };
                let found = self.store.read_blocking(move |tx| tx.logged_model(&id, true));
                let Some(model) = known(found)? else { return Ok(None) };
                (model.artifact_location, below)
            }
            None => return Ok(None),
        };
        let Ok(below) = cairn_core::ArtifactPath::parse(&below) else { return Ok(None) };
        Ok(Some(if below.is_root() { uri } else { format!("{uri}/{below}") }))
    }

    /// Opens a folder below the root, link by link not followed.
    fn folder(&self, path: &Path) -> Result<Folder, ImportError> {
        let failed = |source| ImportError::Unreadable { path: self.root.join(path), source };
        let mut folder = Folder::open(&self.root).map_err(failed)?;
        for part in path {
            folder = folder.folder(part).map_err(failed)?;
        }
        Ok(folder)
    }
}

/// `None` for what the store does not have.
fn known<T>(found: cairn_store::Result<T>) -> Result<Option<T>, ImportError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(cairn_store::StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The reading side of a pass.
struct Reading<'a> {
    importer: &'a Importer,
    layout: &'a Layout,
    experiments: &'a [ExperimentId],
    cancel: &'a CancellationToken,
    read: &'a AtomicU64,
}

/// What the reading side found.
struct Read {
    skips: Skips,
    unchanged: u64,
    offsets: HashMap<RunId, Offsets>,
}

/// Messages on their way, in bundles.
struct Outbox<'a> {
    sender: &'a SyncSender<Vec<Message>>,
    bundle: Vec<Message>,
    rows: usize,
}

impl Outbox<'_> {
    /// Answers whether anyone listens.
    fn send(&mut self, message: Message) -> bool {
        self.rows += message.rows();
        self.bundle.push(message);
        self.rows < BUNDLE_ROWS || self.flush()
    }

    fn flush(&mut self) -> bool {
        self.rows = 0;
        let bundle = std::mem::take(&mut self.bundle);
        bundle.is_empty() || self.sender.send(bundle).is_ok()
    }
}

impl Reading<'_> {
    fn all(&self, offsets: HashMap<RunId, Offsets>, sender: &SyncSender<Vec<Message>>) -> Read {
        let mut read = Read { skips: Skips::default(), unchanged: 0, offsets };
        let mut outbox = Outbox { sender, bundle: Vec::new(), rows: 0 };
        let mut runs: Vec<(&FoundExperiment, ExperimentId, &FoundRun)> = Vec::new();
        for (found, number) in self.layout.experiments.iter().zip(self.experiments) {
            runs.extend(found.runs.iter().map(|run| (found, *number, run)));
        }
        // In order of time over all experiments: metrics are kept in that order by key.
        runs.sort_by_key(|(_, _, run)| run.start_time);
        for (experiment, number, run) in runs {
            if self.cancel.is_cancelled()
                || !self.run(experiment, number, run, &mut read, &mut outbox)
            {
                break;
            }
            self.read.fetch_add(1, Ordering::Relaxed);
        }
        // Models name runs, so they come after all of them.
        for (found, number) in self.layout.experiments.iter().zip(self.experiments) {
            for model in &found.models {
                if self.cancel.is_cancelled() || !self.model(*number, model, &mut read, &mut outbox)
                {
                    break;
                }
                self.read.fetch_add(1, Ordering::Relaxed);
            }
        }
        outbox.flush();
        read
    }

    /// Reads a run; answers whether to go on.
    fn run(
        &self,
        experiment: &FoundExperiment,
        number: ExperimentId,
        run: &FoundRun,
        read: &mut Read,
        outbox: &mut Outbox<'_>,
    ) -> bool {
        let mut skips = Skips::default();
        let goes_on = self.run_into(experiment, number, run, read, outbox, &mut skips);
        read.skips.merge(skips);
        goes_on
    }

    fn run_into(
        &self,
        experiment: &FoundExperiment,
        number: ExperimentId,
        run: &FoundRun,
        read: &mut Read,
        outbox: &mut Outbox<'_>,
        skips: &mut Skips,
    ) -> bool {
        let Some(described) = self.described(&run.path, skips) else { return true };
        let id = run.run_id.as_str();
        let found = self.importer.existing(ImportPart::Run, id, described.fingerprint);
        let Ok((existing, is_unchanged)) = found else { return false };
        let wanted = run.run_id.clone();
        if is_unchanged && self.importer.store.read_blocking(move |tx| tx.run_info(&wanted)).is_ok()
        {
            read.unchanged += 1;
            return true;
        }
        let Some(meta) = described.meta(skips) else { return true };
        let uri = self.address(&described, meta.text("artifact_uri"), number, id, id);
        let Ok(experiment_folder) = self.importer.folder(&experiment.path) else { return true };
        let imported =
            read_run(&described, &run.run_id, number, uri, &experiment_folder, &meta, skips);
        let Some(imported) = imported else { return true };
        let goes_on = matches!(
            imported.status,
            cairn_core::RunStatus::Running | cairn_core::RunStatus::Scheduled
        );
        let run_id = Arc::new(run.run_id.clone());
        let (run_box, path) = (Box::new(imported), run.path.clone());
        if !outbox.send(Message::Run { run: run_box, path, existing }) {
            return false;
        }
        let mut offsets = (self.importer.follows && goes_on)
            .then(|| read.offsets.remove(&run.run_id).unwrap_or_default());
        let latest = read_metrics(&described, offsets.as_mut(), skips, |points| {
            !self.cancel.is_cancelled()
                && outbox.send(Message::Points { run: run_id.clone(), points })
        });
        // Broken off in the middle: the run is not marked as done, and read again another time.
        let Some(latest) = latest else { return false };
        if let Some(offsets) = offsets {
            read.offsets.insert(run.run_id.clone(), offsets);
        } else {
            read.offsets.remove(&run.run_id);
        }
        let fingerprint = if skips.is_empty() { described.fingerprint } else { 0 };
        outbox.send(Message::RunEnd { run: run_id, experiment: number, latest, fingerprint })
    }

    fn model(
        &self,
        number: ExperimentId,
        model: &FoundModel,
        read: &mut Read,
        outbox: &mut Outbox<'_>,
    ) -> bool {
        let mut skips = Skips::default();
        let goes_on = self.model_into(number, model, outbox, &mut skips);
        read.skips.merge(skips);
        goes_on
    }

    fn model_into(
        &self,
        number: ExperimentId,
        model: &FoundModel,
        outbox: &mut Outbox<'_>,
        skips: &mut Skips,
    ) -> bool {
        if !self.importer.store.shape().has_logged_models {
            skips.add(SkipReason::OldFile, &model.path, "logged models".to_owned());
            return true;
        }
        let Some(described) = self.described(&model.path, skips) else { return true };
        let id = model.model_id.as_str();
        let found = self.importer.existing(ImportPart::Model, id, described.fingerprint);
        let Ok((existing, is_unchanged)) = found else { return false };
        let wanted = model.model_id.clone();
        let is_there = self.importer.store.read_blocking(move |tx| tx.logged_model(&wanted, true));
        if is_unchanged && is_there.is_ok() {
            return true;
        }
        let Some(meta) = described.meta(skips) else { return true };
        let tail = format!("models/{id}");
        let location =
            self.address(&described, meta.text("artifact_location"), number, &tail, &tail);
        let imported = read_model(&described, &model.model_id, number, location, &meta, skips);
        let Some(imported) = imported else { return true };
        let fingerprint = if skips.is_empty() { described.fingerprint } else { 0 };
        let (model_box, path) = (Box::new(imported), model.path.clone());
        outbox.send(Message::Model { model: model_box, path, existing, fingerprint })
    }

    fn described(&self, path: &Path, skips: &mut Skips) -> Option<Described> {
        match self.importer.folder(path) {
            Ok(folder) => Some(Described::list(folder, path.to_owned(), skips)),
            Err(error) => {
                skips.add(SkipReason::Unreadable, path, error.to_string());
                None
            }
        }
    }

    /// Where the files of a run or model are from now on.
    fn address(
        &self,
        described: &Described,
        old: Option<&str>,
        number: ExperimentId,
        below: &str,
        tail: &str,
    ) -> String {
        let in_tree = || format!("mlflow-artifacts:/{number}/{below}/artifacts");
        match files_of(described.folder(), old, tail, &self.layout.root) {
            Files::Remote => old.unwrap_or_default().to_owned(),
            Files::Here(source) if self.importer.options.artifacts == ArtifactMode::Reference => {
                source.path.display().to_string()
            }
            _ => in_tree(),
        }
    }
}

fn write_messages(
    tx: &mut cairn_store::WriteTx<'_>,
    messages: Vec<Message>,
) -> cairn_store::Result<Written> {
    let mut written = Written::default();
    for message in messages {
        match message {
            Message::Run { run, path, existing } => {
                let outcome = tx.import_run(&run, existing)?;
                if outcome.is_new {
                    written.counts.runs += 1;
                } else {
                    written.counts.runs_updated += 1;
                }
                if !outcome.conflicts.is_empty() {
                    written.conflicts.push((path.clone(), outcome.conflicts));
                }
                if let Some(other) = outcome.other_experiment {
                    written.elsewhere.push((path, other));
                }
            }
            Message::Points { run, points } => {
                written.counts.metric_values +=
                    tx.import_points(&run, &points.key, &points.points)?;
            }
            Message::RunEnd { run, experiment, latest, fingerprint } => {
                for (key, point) in &latest {
                    tx.import_latest(&run, key, point)?;
                }
                if !latest.is_empty() {
                    tx.imported_metrics(experiment, &run);
                }
                written.runs_done += 1;
                written.done.push((ImportPart::Run, run.to_string(), fingerprint));
            }
            Message::Model { model, path, existing, fingerprint } => {
                let (is_new, left_out) = tx.import_logged_model(&model, existing)?;
                written.counts.logged_models += u64::from(is_new);
                let mut print = fingerprint;
                if left_out > 0 {
                    written.model_values_left_out.push((path, left_out));
                    print = 0;
                }
                written.done.push((ImportPart::Model, model.model_id.to_string(), print));
            }
        }
    }
    Ok(written)
}

fn note_written(pass: &mut Pass, written: &Written) {
    let (sum, new) = (&mut pass.counts, &written.counts);
    sum.runs += new.runs;
    sum.runs_updated += new.runs_updated;
    sum.metric_values += new.metric_values;
    sum.logged_models += new.logged_models;
    for (path, conflicts) in &written.conflicts {
        for conflict in conflicts {
            let detail = format!("the store has {}", super::yaml::shorten(&conflict.kept));
            let path = path.join("params").join(&conflict.key);
            pass.skips.add(SkipReason::ParamConflict, &path, detail);
        }
    }
    for (path, other) in &written.elsewhere {
        pass.skips.add(SkipReason::OtherExperiment, path, format!("in experiment {other}"));
    }
    for (path, count) in &written.model_values_left_out {
        let detail = "metric values whose run is not there".to_owned();
        pass.skips.add_many(SkipReason::MissingPart, *count, path, detail);
    }
}

/// Who is told of progress, not too often.
struct Told<'a> {
    tell: &'a (dyn Fn(Progress) + Sync),
    every: Duration,
    last: std::sync::Mutex<Option<(Step, Instant)>>,
    values: AtomicU64,
    bytes: AtomicU64,
}

impl<'a> Told<'a> {
    fn new(tell: &'a (dyn Fn(Progress) + Sync), every: Duration) -> Self {
        let last = std::sync::Mutex::new(None);
        Self { tell, every, last, values: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    fn rows(&self, done: u64, total: u64) {
        self.step(Step::Runs, done, total);
    }

    fn files(&self, done: u64, total: u64) {
        self.step(Step::Files, done, total);
    }

    fn step(&self, step: Step, done: u64, total: u64) {
        let mut last = self.last.lock().expect("no holder of this lock panics");
        let is_soon = last.is_some_and(|(known, at)| known == step && at.elapsed() < self.every);
        if is_soon && done != total {
            return;
        }
        *last = Some((step, Instant::now()));
        drop(last);
        (self.tell)(Progress {
            step,
            done,
            total,
            values: self.values.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        });
    }
}
