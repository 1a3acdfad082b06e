//! Reading runs, models and registered models: from their folders to what the store takes.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use cairn_core::{
    ExperimentId, LifecycleStage, LoggedModelId, MetricPoint, MetricValue, RunId, RunStatus, limits,
};
use cairn_store::{
    experiments::Tag,
    imports::{ImportedPoint, ImportedRegisteredModel, ImportedRun, ImportedVersion},
    inputs::{Dataset, DatasetInput, ModelOutput},
    logged_models::{LoggedModel, LoggedModelMetric, LoggedModelStatus},
    registry::{ModelAlias, Stage},
    runs::{Param, RUN_NAME_TAG},
};

use super::{
    folder::{Entry, Fingerprint, Folder, Kind},
    layout::{META, note_text, read_meta},
    report::{SkipReason, Skips},
    yaml::{Node, shorten},
};

/// The largest file of a parameter or tag: far above MLflow's limits on their characters.
const MAX_VALUE_BYTES: u64 = 1 << 20;
/// Folders in each other below `metrics`, `params` and `tags`: keys have at most 250 characters.
const MAX_KEY_DEPTH: usize = 125;
/// Points that are passed on at once.
const POINTS_AT_ONCE: usize = 8_192;
/// The longest line of a metric.
const MAX_LINE: usize = 4_096;

/// The files that describe a run or model: what is read, and what tells whether it changed.
#[derive(Debug)]
pub(super) struct Described {
    folder: Folder,
    path: PathBuf,
    metrics: Vec<KeyFile>,
    params: Vec<KeyFile>,
    tags: Vec<KeyFile>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    /// Changes with any of them.
    pub fingerprint: u64,
}

/// A file whose path below its folder is a key.
#[derive(Debug)]
struct KeyFile {
    key: String,
    size_bytes: u64,
}

impl Described {
    /// Lists the files of a run or model; what is odd goes into `skips`.
    pub fn list(folder: Folder, path: PathBuf, skips: &mut Skips) -> Self {
        let mut print = Fingerprint::new();
        if let Ok((_, facts)) = folder.file(META) {
            print.add_file(META, facts);
        }
        let mut described = Self {
            metrics: Vec::new(),
            params: Vec::new(),
            tags: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            fingerprint: 0,
            path,
            folder,
        };
        described.metrics = described.keys("metrics", &mut print, skips);
        described.params = described.keys("params", &mut print, skips);
        described.tags = described.keys("tags", &mut print, skips);
        described.inputs = described.folders("inputs", &mut print, skips);
        described.outputs = described.folders("outputs", &mut print, skips);
        described.fingerprint = print.finish();
        described
    }

    /// The files below one of its folders, by key.
    fn keys(&self, name: &str, print: &mut Fingerprint, skips: &mut Skips) -> Vec<KeyFile> {
        let mut files = Vec::new();
        let top = self.path.join(name);
        let mut open = match self.folder.find(name) {
            Ok(Some(folder)) => vec![(folder, String::new(), 0)],
            Ok(None) => return files,
            Err(error) => {
                skips.add(SkipReason::Unreadable, &top, error.to_string());
                return files;
            }
        };
        print.add(name.as_bytes());
        while let Some((folder, prefix, depth)) = open.pop() {
            let entries = match folder.entries() {
                Ok(entries) => entries,
                Err(error) => {
                    skips.add(SkipReason::Unreadable, &top.join(&prefix), error.to_string());
                    continue;
                }
            };
            for entry in entries {
                let path = || top.join(&prefix).join(&entry.name);
                let Some(text) = entry.text() else {
                    skips.add(SkipReason::BadKey, &path(), "it is no UTF-8 text".to_owned());
                    continue;
                };
                let key =
                    if prefix.is_empty() { text.to_owned() } else { format!("{prefix}/{text}") };
                match entry.kind {
                    Kind::File => {
                        print.add_file(&key, entry.facts);
                        files.push(KeyFile { key, size_bytes: entry.facts.size_bytes });
                    }
                    Kind::Folder if depth >= MAX_KEY_DEPTH => {
                        skips.add(SkipReason::TooDeep, &path(), None);
                    }
                    Kind::Folder => match folder.folder(&entry.name) {
                        Ok(below) => open.push((below, key, depth + 1)),
                        Err(error) => {
                            skips.add(SkipReason::Unreadable, &path(), error.to_string());
                        }
                    },
                    Kind::Link => skips.add(SkipReason::Link, &path(), None),
                    Kind::Special => skips.add(SkipReason::Special, &path(), None),
                }
            }
        }
        files.sort_by(|a, b| a.key.cmp(&b.key));
        files
    }

    /// The names of the folders with a `meta.yaml` in one of its folders.
    fn folders(&self, name: &str, print: &mut Fingerprint, skips: &mut Skips) -> Vec<String> {
        let Ok(Some(folder)) = self.folder.find(name) else { return Vec::new() };
        let entries = folder.entries().unwrap_or_else(|error| {
            skips.add(SkipReason::Unreadable, &self.path.join(name), error.to_string());
            Vec::new()
        });
        print.add(name.as_bytes());
        let mut names = Vec::new();
        for entry in entries {
            let Some(text) = entry.text() else { continue };
            match entry.kind {
                Kind::Folder => {
                    print.add_file(text, entry.facts);
                    names.push(text.to_owned());
                }
                Kind::Link => skips.add(SkipReason::Link, &self.path.join(name).join(text), None),
                _ => {}
            }
        }
        names
    }

    /// The run's or model's own folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Reads its `meta.yaml`.
    pub fn meta(&self, skips: &mut Skips) -> Option<Node> {
        read_meta(&self.folder).map_err(|error| error.note(skips, &self.path)).ok()
    }

    /// Reads all parameters; those with keys that MLflow refuses are left out.
    fn params(&self, max_chars: Option<usize>, skips: &mut Skips) -> Vec<Param> {
        let read = self.values("params", &self.params, skips, |key| {
            limits::check_param_key(key, "key").map_err(|error| error.message)
        });
        self.note_cut("params", &read, max_chars, skips);
        read.into_iter().map(|(key, value)| Param { key, value }).collect()
    }

    fn tags(&self, max_chars: Option<usize>, skips: &mut Skips) -> Vec<Tag> {
        let read = self.values("tags", &self.tags, skips, |key| {
            limits::check_tag_key(key, "key").map_err(|error| error.message)
        });
        self.note_cut("tags", &read, max_chars, skips);
        read.into_iter().map(|(key, value)| Tag { key, value }).collect()
    }

    fn note_cut(
        &self,
        name: &str,
        read: &[(String, String)],
        max_chars: Option<usize>,
        skips: &mut Skips,
    ) {
        let Some(max_chars) = max_chars else { return };
        for (key, value) in read {
            // Bytes first: hardly any value needs its characters counted.
            if value.len() > max_chars && value.chars().count() > max_chars {
                let detail = format!("to {max_chars} characters");
                skips.add(SkipReason::Cut, &self.path.join(name).join(key), detail);
            }
        }
    }

    fn values(
        &self,
        name: &str,
        files: &[KeyFile],
        skips: &mut Skips,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Vec<(String, String)> {
        let mut values = Vec::with_capacity(files.len());
        let Ok(Some(top)) = self.folder.find(name) else { return values };
        for file in files {
            let path = || self.path.join(name).join(&file.key);
            if let Err(reason) = check(&file.key) {
                skips.add(SkipReason::BadKey, &path(), reason);
                continue;
            }
            let read = match open_key(&top, &file.key) {
                Ok((folder, name)) => folder.as_ref().unwrap_or(&top).text(name, MAX_VALUE_BYTES),
                Err(error) => Err(super::folder::TextError::Io(error)),
            };
            match read {
                Ok(value) => values.push((file.key.clone(), value)),
                Err(error) => note_text(&error, skips, &path()),
            }
        }
        values
    }
}

/// Opens the folder that holds a key's file; `None` if that is `top` itself.
fn open_key<'a>(top: &Folder, key: &'a str) -> std::io::Result<(Option<Folder>, &'a str)> {
    let Some((folders, name)) = key.rsplit_once('/') else { return Ok((None, key)) };
    let mut parts = folders.split('/');
    let mut folder = top.folder(parts.next().unwrap_or_default())?;
    for part in parts {
        folder = folder.folder(part)?;
    }
    Ok((Some(folder), name))
}

/// Reads the facts of a run; `None`, and a note, if its `meta.yaml` does not say them.
pub(super) fn read_run(
    described: &Described,
    run_id: &RunId,
    experiment_id: ExperimentId,
    artifact_uri: String,
    experiment: &Folder,
    meta: &Node,
    skips: &mut Skips,
) -> Option<ImportedRun> {
    let path = &described.path;
    let bad = |skips: &mut Skips, reason: String| {
        skips.add(SkipReason::BadMeta, &path.join(META), reason);
    };
    let mut integer = |key: &str| meta.integer(key).map_err(|reason| bad(skips, reason)).ok();
    let (start_time, end_time, deleted_time) =
        (integer("start_time")?, integer("end_time")?, integer("deleted_time")?);
    let source_type = integer("source_type")?;
    let status = match meta.text("status") {
        None => RunStatus::Running,
        Some(text) => {
            let known = text.trim().parse().ok().and_then(RunStatus::from_number);
            let Some(status) = known.or_else(|| text.parse().ok()) else {
                bad(skips, format!("status is none of MLflow's: {}", shorten(text)));
                return None;
            };
            status
        }
    };
    let tags = described.tags(Some(limits::MAX_RUN_TAG_VALUE_CHARS), skips);
    let tagged = tags.iter().find(|tag| tag.key == RUN_NAME_TAG).map(|tag| tag.value.clone());
    let named = |key| meta.text(key).filter(|name| !name.is_empty()).map(str::to_owned);
    let name = tagged.filter(|name| !name.is_empty()).or(named("run_name")).or(named("name"));
    let stage = meta.text("lifecycle_stage").map(LifecycleStage::from_column);
    let text = |key| meta.text(key).unwrap_or_default().to_owned();
    let (datasets, model_inputs) = read_inputs(described, experiment, skips);
    Some(ImportedRun {
        run_id: run_id.clone(),
        experiment_id,
        name: name.unwrap_or_default(),
        user_id: text("user_id"),
        source_type: match source_type {
            Some(1) => "NOTEBOOK",
            Some(2) => "JOB",
            Some(3) => "PROJECT",
            Some(4) => "LOCAL",
            _ => "UNKNOWN",
        },
        source_name: text("source_name"),
        source_version: text("source_version"),
        entry_point_name: text("entry_point_name"),
        status,
        start_time,
        end_time,
        deleted_time,
        lifecycle_stage: stage.unwrap_or(LifecycleStage::Active),
        artifact_uri,
        params: described.params(Some(limits::MAX_PARAM_VALUE_CHARS), skips),
        tags,
        datasets,
        model_inputs,
        model_outputs: read_outputs(described, skips),
    })
}

fn read_inputs(
    described: &Described,
    experiment: &Folder,
    skips: &mut Skips,
) -> (Vec<DatasetInput>, Vec<LoggedModelId>) {
    let (mut datasets, mut models) = (Vec::new(), Vec::new());
    let Ok(Some(inputs)) = described.folder.find("inputs") else { return (datasets, models) };
    for name in &described.inputs {
        let path = described.path.join("inputs").join(name);
        let meta = inputs.folder(name).map_err(|error| error.to_string());
        let meta = match meta {
            Ok(folder) => read_meta(&folder),
            Err(error) => {
                skips.add(SkipReason::Unreadable, &path, error);
                continue;
            }
        };
        let meta = match meta {
            Ok(meta) => meta,
            Err(error) => {
                error.note(skips, &path);
                continue;
            }
        };
        let source = meta.text("source_id").unwrap_or_default();
        match meta.text("source_type") {
            Some("DATASET") => {
                let Some(dataset) = read_dataset(experiment, source) else {
                    skips.add(
                        SkipReason::MissingPart,
                        &path,
                        format!("dataset {}", shorten(source)),
                    );
                    continue;
                };
                let tags = meta.texts("tags").into_iter();
                let tags: Vec<_> = tags.map(|(key, value)| Tag { key, value }).collect();
                let mut checked = limits::check_dataset(
                    &dataset.name,
                    &dataset.digest,
                    &dataset.source,
                    dataset.schema.as_deref(),
                    dataset.profile.as_deref(),
                );
                for tag in &tags {
                    checked = checked.and_then(|()| limits::check_input_tag(&tag.key, &tag.value));
                }
                match checked {
                    Ok(()) => datasets.push(DatasetInput { tags, dataset }),
                    Err(error) => skips.add(SkipReason::TooLarge, &path, error.message),
                }
            }
            Some("MODEL" | "RUN_INPUT" | "MODEL_INPUT") => match source.parse() {
                Ok(model) => models.push(model),
                Err(error) => skips.add(SkipReason::BadMeta, &path.join(META), error.to_string()),
            },
            other => {
                let detail = format!("source_type is {}", shorten(other.unwrap_or("missing")));
                skips.add(SkipReason::BadMeta, &path.join(META), detail);
            }
        }
    }
    (datasets, models)
}

fn read_dataset(experiment: &Folder, id: &str) -> Option<Dataset> {
    // The id is a folder's name, and comes from a file.
    if id.is_empty() || id.contains('/') || id.starts_with('.') {
        return None;
    }
    let meta = read_meta(&experiment.find("datasets").ok()??.find(id).ok()??).ok()?;
    let text = |key| meta.text(key).map(str::to_owned);
    Some(Dataset {
        name: text("name")?,
        digest: text("digest")?,
        source_type: text("source_type").unwrap_or_default(),
        source: text("source").unwrap_or_default(),
        schema: text("schema"),
        profile: text("profile"),
    })
}

fn read_outputs(described: &Described, skips: &mut Skips) -> Vec<ModelOutput> {
    let mut outputs = Vec::new();
    let Ok(Some(folder)) = described.folder.find("outputs") else { return outputs };
    for name in &described.outputs {
        let path = described.path.join("outputs").join(name);
        let Ok(below) = folder.folder(name) else { continue };
        let meta = match read_meta(&below) {
            Ok(meta) => meta,
            Err(error) => {
                error.note(skips, &path);
                continue;
            }
        };
        let model = meta.text("destination_id").unwrap_or(name).parse();
        match (model, meta.integer("step")) {
            (Ok(model_id), Ok(step)) => {
                outputs.push(ModelOutput { model_id, step: step.unwrap_or_default() });
            }
            (Err(error), _) => {
                skips.add(SkipReason::BadMeta, &path.join(META), error.to_string());
            }
            (_, Err(reason)) => skips.add(SkipReason::BadMeta, &path.join(META), reason),
        }
    }
    outputs
}

/// Points of one metric on their way to the writer.
#[derive(Debug)]
pub(super) struct Points {
    /// The metric.
    pub key: Arc<str>,
    /// The values, in the file's order.
    pub points: Vec<ImportedPoint>,
}

/// How far the files of a run's metrics have been read, by key, in bytes; for runs that go on.
pub(super) type Offsets = HashMap<String, u64>;

/// Reads the metrics of a run, piece by piece; `send` answers whether to go on. Answers the latest
/// value of each metric among those that were read.
///
/// With `offsets` only what came after them is read, and a last line without its end is left for
/// the next time.
pub(super) fn read_metrics(
    described: &Described,
    mut offsets: Option<&mut Offsets>,
    skips: &mut Skips,
    mut send: impl FnMut(Points) -> bool,
) -> Option<Vec<(Arc<str>, ImportedPoint)>> {
    let mut latest = Vec::with_capacity(described.metrics.len());
    let Ok(Some(top)) = described.folder.find("metrics") else { return Some(latest) };
    let mut buffer = Vec::new();
    for file in &described.metrics {
        let path = || described.path.join("metrics").join(&file.key);
        if let Err(error) = limits::check_metric_key(&file.key, "key") {
            skips.add(SkipReason::BadKey, &path(), error.message);
            continue;
        }
        let known = offsets.as_deref().and_then(|offsets| offsets.get(&file.key).copied());
        let from = known.filter(|from| *from <= file.size_bytes).unwrap_or_default();
        if known.is_some() && from == file.size_bytes {
            continue;
        }
        let opened = open_key(&top, &file.key)
            .and_then(|(folder, name)| folder.as_ref().unwrap_or(&top).file(name));
        let mut opened = match opened {
            Ok((opened, _)) => opened,
            Err(error) => {
                skips.add(SkipReason::Unreadable, &path(), error.to_string());
                continue;
            }
        };
        let key: Arc<str> = file.key.as_str().into();
        let mut best: Option<ImportedPoint> = None;
        let mut goes_on = true;
        let mut lines = Lines { file: &mut opened, from, takes_unended: offsets.is_none() };
        let read = lines.read(&mut buffer, |points, bad| {
            for (line, text) in bad {
                let detail = format!("line {line}: {}", shorten(&text));
                skips.add(SkipReason::BadMetricLine, &path(), detail);
            }
            for point in &points {
                if best.as_ref().is_none_or(|best| point.is_later_than(best)) {
                    best = Some(*point);
                }
            }
            if !points.is_empty() {
                goes_on = send(Points { key: key.clone(), points });
            }
            goes_on
        });
        match read {
            Ok(end) => {
                if let Some(offsets) = offsets.as_deref_mut() {
                    offsets.insert(file.key.clone(), end);
                }
            }
            Err(error) => skips.add(SkipReason::Unreadable, &path(), error.to_string()),
        }
        if !goes_on {
            return None;
        }
        latest.extend(best.map(|best| (key, best)));
    }
    Some(latest)
}

/// A metric's file.
struct Lines<'a> {
    file: &'a mut File,
    from: u64,
    /// Whether a last line without its end counts.
    takes_unended: bool,
}

impl Lines<'_> {
    /// Reads to the end, piece by piece; answers up to which byte lines were taken.
    fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        mut take: impl FnMut(Vec<ImportedPoint>, Vec<(u64, String)>) -> bool,
    ) -> std::io::Result<u64> {
        const PIECE: usize = 256 << 10;
        if self.from > 0 {
            self.file.seek(SeekFrom::Start(self.from))?;
        }
        buffer.clear();
        let (mut taken, mut line_number) = (self.from, 0_u64);
        loop {
            let carried = buffer.len();
            buffer.resize(carried + PIECE, 0);
            let read = self.file.read(&mut buffer[carried..])?;
            buffer.truncate(carried + read);
            let is_end = read == 0;
            let whole = match buffer.iter().rposition(|byte| *byte == b'\n') {
                _ if is_end && self.takes_unended => buffer.len(),
                Some(at) => at + 1,
                None if buffer.len() > MAX_LINE * 64 => buffer.len(),
                None => 0,
            };
            let (mut points, mut bad) = (Vec::new(), Vec::new());
            for line in buffer[..whole].split_inclusive(|byte| *byte == b'\n') {
                line_number += 1;
                match parse_line(line) {
                    Line::Point(point) => points.push(point),
                    Line::Empty => {}
                    Line::Bad => {
                        let text = String::from_utf8_lossy(&line[..line.len().min(200)]);
                        bad.push((line_number, text.trim().to_owned()));
                    }
                }
                if points.len() == POINTS_AT_ONCE
                    && !take(std::mem::take(&mut points), std::mem::take(&mut bad))
                {
                    return Ok(taken);
                }
            }
            taken += whole as u64;
            buffer.drain(..whole);
            if !take(points, bad) || is_end {
                return Ok(taken);
            }
        }
    }
}

enum Line {
    Point(ImportedPoint),
    Empty,
    Bad,
}

/// Reads `time value [step [dataset digest]]`, fields between single spaces.
///
/// MLflow itself reads a line with a dataset as step 0, although the third field is the step.
fn parse_line(line: &[u8]) -> Line {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Line::Empty;
    }
    if line.len() > MAX_LINE {
        return Line::Bad;
    }
    let Ok(line) = std::str::from_utf8(line) else { return Line::Bad };
    let mut fields = line.split(' ');
    let (Some(time), Some(value)) = (fields.next(), fields.next()) else { return Line::Bad };
    let step = fields.next();
    let rest = fields.count();
    if rest == 1 {
        return Line::Bad;
    }
    point(time, value, step.unwrap_or("0")).map_or(Line::Bad, Line::Point)
}

fn point(time: &str, value: &str, step: &str) -> Option<ImportedPoint> {
    let timestamp: i64 = time.parse().ok()?;
    if timestamp < 0 {
        return None;
    }
    Some(ImportedPoint {
        timestamp,
        value: MetricValue(value.parse().ok()?),
        step: step.parse().ok()?,
    })
}

/// Reads a logged model; `None`, and a note, if its `meta.yaml` does not say what it must.
pub(super) fn read_model(
    described: &Described,
    model_id: &LoggedModelId,
    experiment_id: ExperimentId,
    artifact_location: String,
    meta: &Node,
    skips: &mut Skips,
) -> Option<LoggedModel> {
    let path = described.path.join(META);
    let mut integer = |key: &str| match meta.integer(key) {
        Ok(number) => Some(number.unwrap_or_default()),
        Err(reason) => {
            skips.add(SkipReason::BadMeta, &path, reason);
            None
        }
    };
    let creation_timestamp = integer("creation_timestamp")?;
    let last_updated_timestamp = integer("last_updated_timestamp")?;
    let status = integer("status")?;
    let stage = meta.text("lifecycle_stage").map(LifecycleStage::from_column);
    let text = |key| meta.text(key).map(str::to_owned);
    Some(LoggedModel {
        model_id: model_id.clone(),
        experiment_id,
        name: text("name").unwrap_or_default(),
        artifact_location,
        creation_timestamp,
        last_updated_timestamp,
        status: LoggedModelStatus::from_number(status),
        status_message: text("status_message"),
        lifecycle_stage: stage.unwrap_or(LifecycleStage::Active),
        model_type: text("model_type"),
        source_run_id: text("source_run_id"),
        params: described.params(None, skips),
        tags: described.tags(None, skips),
        metrics: read_model_metrics(described, skips),
    })
}

/// Reads `time value step run [dataset digest]`, from all metric files of a model.
fn read_model_metrics(described: &Described, skips: &mut Skips) -> Vec<LoggedModelMetric> {
    let mut metrics = Vec::new();
    let values = described.values("metrics", &described.metrics, skips, |key| {
        limits::check_metric_key(key, "key").map_err(|error| error.message)
    });
    for (key, text) in values {
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            if let Some(metric) = model_metric(&key, line.trim()) {
                metrics.push(metric);
            } else {
                let detail = format!("line {}: {}", number + 1, shorten(line));
                let path = described.path.join("metrics").join(&key);
                skips.add(SkipReason::BadMetricLine, &path, detail);
            }
        }
    }
    metrics
}

fn model_metric(key: &str, line: &str) -> Option<LoggedModelMetric> {
    let fields: Vec<&str> = line.split(' ').collect();
    let (dataset_name, dataset_digest) = match fields.len() {
        4 => (None, None),
        // The name of a dataset may hold spaces.
        6.. => (Some(fields[4..fields.len() - 1].join(" ")), fields.last().map(|&d| d.to_owned())),
        _ => return None,
    };
    let point = point(fields[0], fields[1], fields[2])?;
    Some(LoggedModelMetric {
        point: MetricPoint {
            key: key.to_owned(),
            value: point.value,
            timestamp: point.timestamp,
            step: point.step,
        },
        run_id: fields[3].to_owned(),
        dataset_name,
        dataset_digest,
    })
}

/// Reads the tags of an experiment.
pub(super) fn read_experiment_tags(folder: &Folder, path: &Path, skips: &mut Skips) -> Vec<Tag> {
    let mut print = Fingerprint::new();
    let Ok(copy) = folder.folder(".") else { return Vec::new() };
    let mut described = Described::bare(copy, path.to_owned());
    described.tags = described.keys("tags", &mut print, skips);
    described
        .tags(Some(limits::MAX_EXPERIMENT_TAG_VALUE_CHARS), skips)
        .into_iter()
        .filter(|tag| match limits::check_experiment_tag(&tag.key, &tag.value) {
            Ok(()) => true,
            Err(error) => {
                skips.add(SkipReason::TooLarge, &path.join("tags").join(&tag.key), error.message);
                false
            }
        })
        .collect()
}

impl Described {
    /// A folder of which nothing is listed yet.
    fn bare(folder: Folder, path: PathBuf) -> Self {
        Self {
            folder,
            path,
            metrics: Vec::new(),
            params: Vec::new(),
            tags: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            fingerprint: 0,
        }
    }
}

/// A registered model as its folder has it; addresses are not yet those of the store.
pub(super) fn read_registered(
    folder: Folder,
    path: &Path,
    skips: &mut Skips,
) -> Option<(ImportedRegisteredModel, u64)> {
    let mut print = Fingerprint::new();
    if let Ok((_, facts)) = folder.file(META) {
        print.add_file(META, facts);
    }
    let mut described = Described::bare(folder, path.to_owned());
    let meta = described.meta(skips)?;
    let bad = |skips: &mut Skips, reason: String| {
        skips.add(SkipReason::BadMeta, &path.join(META), reason);
    };
    let name = meta
        .text("name")
        .map(str::to_owned)
        .or_else(|| path.file_name().and_then(|name| name.to_str()).map(str::to_owned))?;
    if let Err(error) = limits::check_registered_model_name(&name) {
        bad(skips, error.message);
        return None;
    }
    let mut integer = |key: &str| meta.integer(key).map_err(|reason| bad(skips, reason)).ok();
    let creation_time = integer("creation_timestamp")?;
    let last_updated_time = integer("last_updated_timestamp")?;
    described.tags = described.keys("tags", &mut print, skips);
    let tags = described.registry_tags(skips);
    let aliases = described.aliases(&meta, &mut print, skips);
    let mut versions = Vec::new();
    let entries = described.folder.entries().unwrap_or_default();
    for entry in &entries {
        let is_version = entry.text().is_some_and(|name| name.starts_with("version-"));
        if is_version
            && entry.kind == Kind::Folder
            && let Some(version) = described.version(entry, &mut print, skips)
        {
            versions.push(version);
        }
    }
    versions.sort_by_key(|version| version.version);
    let model = ImportedRegisteredModel {
        name,
        creation_time,
        last_updated_time,
        description: meta.text("description").map(str::to_owned),
        tags,
        aliases,
        versions,
    };
    Some((model, print.finish()))
}

impl Described {
    fn registry_tags(&self, skips: &mut Skips) -> Vec<Tag> {
        let tags = self.tags(None, skips);
        let mut kept = Vec::new();
        for tag in tags {
            match limits::check_registry_tag(&tag.key, &tag.value) {
                Ok(()) => kept.push(tag),
                Err(error) => {
                    let path = self.path.join("tags").join(&tag.key);
                    skips.add(SkipReason::TooLarge, &path, error.message);
                }
            }
        }
        kept
    }

    fn aliases(
        &mut self,
        meta: &Node,
        print: &mut Fingerprint,
        skips: &mut Skips,
    ) -> Vec<ModelAlias> {
        let files = self.keys("aliases", print, skips);
        let mut texts = self.values("aliases", &files, skips, |_| Ok(()));
        if files.is_empty() {
            texts = meta.texts("aliases");
        }
        let mut aliases = Vec::new();
        for (alias, version) in texts {
            let checked = limits::check_alias(&alias).map_err(|error| error.message);
            let number = version.trim().parse().map_err(|_| "it names no version".to_owned());
            match checked.and(number) {
                Ok(version) => aliases.push(ModelAlias { alias, version }),
                Err(reason) => {
                    skips.add(SkipReason::BadKey, &self.path.join("aliases").join(&alias), reason);
                }
            }
        }
        aliases
    }

    fn version(
        &self,
        entry: &Entry,
        print: &mut Fingerprint,
        skips: &mut Skips,
    ) -> Option<ImportedVersion> {
        let path = self.path.join(&entry.name);
        let folder = match self.folder.folder(&entry.name) {
            Ok(folder) => folder,
            Err(error) => {
                skips.add(SkipReason::Unreadable, &path, error.to_string());
                return None;
            }
        };
        if let Ok((_, facts)) = folder.file(META) {
            print.add_file(&path.to_string_lossy(), facts);
        }
        let mut described = Self::bare(folder, path.clone());
        described.tags = described.keys("tags", print, skips);
        let meta = described.meta(skips)?;
        let number = entry.text().and_then(|name| name.strip_prefix("version-"));
        let bad = |skips: &mut Skips, reason: String| {
            skips.add(SkipReason::BadMeta, &path.join(META), reason);
        };
        let version = match meta.integer("version") {
            Ok(Some(version)) => version,
            Ok(None) => number.and_then(|number| number.parse().ok())?,
            Err(reason) => {
                bad(skips, reason);
                return None;
            }
        };
        let mut integer = |key: &str| meta.integer(key).map_err(|reason| bad(skips, reason)).ok();
        let creation_time = integer("creation_timestamp")?;
        let last_updated_time = integer("last_updated_timestamp")?;
        let text = |key| meta.text(key).map(str::to_owned);
        let stage = match meta.text("current_stage") {
            None => Some(Stage::None),
            // MLflow keeps the number of a deleted version in this way.
            Some("Deleted_Internal") => None,
            Some(stage) => match stage.parse() {
                Ok(stage) => Some(stage),
                Err(error) => {
                    bad(skips, format!("{error}"));
                    return None;
                }
            },
        };
        let source = text("source").unwrap_or_default();
        Some(ImportedVersion {
            version,
            creation_time,
            last_updated_time,
            description: text("description"),
            user_id: text("user_id"),
            stage,
            storage_location: text("storage_location").unwrap_or_else(|| source.clone()),
            source,
            run_id: text("run_id"),
            status: text("status").unwrap_or_else(|| "READY".to_owned()),
            status_message: text("status_message"),
            run_link: text("run_link"),
            tags: described.registry_tags(skips),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(i64, f64, i64)>) {
        let read = match parse_line(line.as_bytes()) {
            Line::Point(point) => Some((point.timestamp, point.value.0, point.step)),
            Line::Bad | Line::Empty => None,
        };
        assert_eq!(format!("{read:?}"), format!("{expected:?}"), "{line:?}");
    }

    #[test]
    fn metric_lines_have_two_three_or_five_fields() {
        check("1700000000123 0.5 7\n", Some((1_700_000_000_123, 0.5, 7)));
        check("1700000000 0.5\n", Some((1_700_000_000, 0.5, 0)));
        check("5 1e-05 -3 data 2981c147\r\n", Some((5, 1e-5, -3)));
        check("5 1 2 a name of words 2981c147", Some((5, 1.0, 2)));
        check("5 nan 0", Some((5, f64::NAN, 0)));
        check("5 -inf 0", Some((5, f64::NEG_INFINITY, 0)));
        check("5 inf 0", Some((5, f64::INFINITY, 0)));
        for line in [
            "5",
            "5 x 0",
            "x 5 0",
            "5 0.5 1.5",
            "5 0.5 1 data",
            "-5 0.5 1",
            "5 0,5 1",
            "\u{feff}5 1 1",
        ] {
            check(line, None);
        }
        assert!(matches!(parse_line(b"\n"), Line::Empty));
        assert!(matches!(parse_line(b"5 \xff 1"), Line::Bad));
    }

    #[test]
    fn model_metric_lines_name_their_run() {
        let metric = model_metric("mm", "5 0.7 2 d14f a set 2981c147").unwrap();
        assert_eq!(metric.run_id, "d14f");
        assert_eq!(metric.dataset_name.as_deref(), Some("a set"));
        assert_eq!(metric.dataset_digest.as_deref(), Some("2981c147"));
        assert_eq!((metric.point.timestamp, metric.point.step), (5, 2));
        assert!(model_metric("mm", "5 0.7 2").is_none());
        assert!(model_metric("mm", "5 0.7 2 run data").is_none());
    }

    fn lines(bytes: &[u8], from: u64, takes_unended: bool) -> (usize, Vec<u64>, u64) {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        file.rewind().unwrap();
        let (mut count, mut bad_lines) = (0, Vec::new());
        let mut lines = Lines { file: &mut file, from, takes_unended };
        let end = lines
            .read(&mut Vec::new(), |points, bad| {
                count += points.len();
                bad_lines.extend(bad.into_iter().map(|(line, _)| line));
                true
            })
            .unwrap();
        (count, bad_lines, end)
    }

    #[test]
    fn a_last_line_without_its_end_waits_while_the_file_grows() {
        assert_eq!(lines(b"1 2 3\n4 5 6", 0, true), (2, vec![], 11));
        assert_eq!(lines(b"1 2 3\n4 5 6", 0, false), (1, vec![], 6));
        assert_eq!(lines(b"1 2 3\n4 5 6\n", 6, false), (1, vec![], 12));
        assert_eq!(lines(b"1 2 3\n\nbad\n4 5 6\n", 0, true), (2, vec![3], 17));
        assert_eq!(lines(b"", 0, true), (0, vec![], 0));
    }

    #[test]
    fn lines_across_pieces_and_endless_lines_are_read() {
        let many = "1700000000000 0.123456789 12345\n".repeat(30_000);
        assert_eq!(lines(many.as_bytes(), 0, false).0, 30_000);
        let endless = vec![b'7'; 3 << 20];
        let (count, bad, _) = lines(&endless, 0, true);
        assert_eq!(count, 0);
        assert!(!bad.is_empty());
    }
}
