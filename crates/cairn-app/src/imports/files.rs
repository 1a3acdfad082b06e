//! Artifacts: from a run's or model's folder into the store's artifact tree.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use cairn_core::ArtifactPath;
use cairn_runtime::CancellationToken;
use cairn_store::{
    Change, Store, StoreError,
    artifacts::Location,
    imports::{CopiedFiles, Found},
};

use super::{
    ImportError,
    folder::{Folder, Kind},
    pass::Pass,
    report::SkipReason,
};

/// Folders in each other; MLflow itself reaches a handful.
const MAX_DEPTH: usize = 64;
/// A file of a followed folder that was written later than this ago may still be growing.
const SETTLED: Duration = Duration::from_secs(2);

/// Files on their way, with the places that they came from.
#[derive(Debug)]
pub(super) struct Copied {
    store: Store,
    cancel: CancellationToken,
    files: CopiedFiles,
    sources: Vec<(ArtifactPath, PathBuf, u64)>,
    /// Leave alone what was written just now.
    waits: bool,
}

impl Copied {
    /// Begins to copy into a store.
    pub fn begin(
        store: &Store,
        cancel: &CancellationToken,
        waits: bool,
    ) -> Result<Self, ImportError> {
        let files = CopiedFiles::begin(store.artifacts())?;
        let (store, cancel) = (store.clone(), cancel.clone());
        Ok(Self { store, cancel, files, sources: Vec::new(), waits })
    }

    /// Puts what was copied into its place, and counts it.
    pub fn flush(&mut self, pass: &mut Pass) -> Result<(), ImportError> {
        let in_the_way = self.files.flush()?;
        for (path, source, bytes) in self.sources.drain(..) {
            if in_the_way.contains(&path) {
                pass.skips.add(SkipReason::InTheWay, &source, None);
            } else {
                pass.counts.files += 1;
                pass.counts.file_bytes += bytes;
            }
        }
        Ok(())
    }
}

/// Copies all files below `source` to the place that the store has for them.
///
/// `path` is the run's or model's, for the report; `uri` its address in the store.
pub(super) fn copy_files(
    source: &Folder,
    path: &Path,
    uri: &str,
    copied: &mut Copied,
    pass: &mut Pass,
    tell: impl Fn(),
) -> Result<(), ImportError> {
    let Location::Tree(top) = copied.store.artifacts().locate(uri) else {
        pass.skips.add(SkipReason::InTheWay, path, format!("the store has its files at {uri}"));
        return Ok(());
    };
    let shown = path.join(super::places::ARTIFACTS);
    let Ok(start) = source.folder(".") else { return Ok(()) };
    let mut open = vec![(start, ArtifactPath::root(), 0)];
    let mut has_changed = false;
    while let Some((folder, below, depth)) = open.pop() {
        let entries = match folder.entries() {
            Ok(entries) => entries,
            Err(error) => {
                let place = shown.join(below.as_str());
                pass.skips.add(SkipReason::Unreadable, &place, error.to_string());
                continue;
            }
        };
        for entry in entries {
            if copied.cancel.is_cancelled() {
                copied.flush(pass)?;
                return Err(ImportError::Cancelled);
            }
            let place = || shown.join(below.as_str()).join(&entry.name);
            let name = entry.text().and_then(|name| ArtifactPath::parse(name).ok());
            let target = name.and_then(|name| {
                let target = below.join(&name);
                // As a whole it may be too long, or mean something else together.
                ArtifactPath::parse(top.join(&target).as_str()).ok().map(|_| target)
            });
            match entry.kind {
                Kind::Link => pass.skips.add(SkipReason::Link, &place(), None),
                Kind::Special => pass.skips.add(SkipReason::Special, &place(), None),
                Kind::File | Kind::Folder if target.is_none() => {
                    pass.skips.add(SkipReason::BadFileName, &place(), None);
                }
                Kind::Folder if depth >= MAX_DEPTH => {
                    pass.skips.add(SkipReason::TooDeep, &place(), None);
                }
                Kind::Folder => match folder.folder(&entry.name) {
                    Ok(inner) => {
                        open.push((inner, target.expect("checked above"), depth + 1));
                    }
                    Err(error) => {
                        pass.skips.add(SkipReason::Unreadable, &place(), error.to_string());
                    }
                },
                Kind::File => {
                    let target = top.join(&target.expect("checked above"));
                    let age = SystemTime::now().duration_since(entry.facts.modified);
                    if copied.waits && age.is_ok_and(|age| age < SETTLED) {
                        pass.unsettled.insert(path.to_owned());
                        continue;
                    }
                    if copied.files.look(&target, entry.facts)? == Found::Current {
                        pass.counts.files_unchanged += 1;
                        continue;
                    }
                    let (mut file, facts) = match folder.file(&entry.name) {
                        Ok(opened) => opened,
                        Err(error) => {
                            pass.skips.add(SkipReason::Unreadable, &place(), error.to_string());
                            continue;
                        }
                    };
                    match copied.files.add(&mut file, &target, facts) {
                        Ok(bytes) => {
                            copied.sources.push((target, place(), bytes));
                            has_changed = true;
                        }
                        Err(error @ (StoreError::DiskFull { .. } | StoreError::Closed)) => {
                            return Err(error.into());
                        }
                        Err(error) => {
                            pass.skips.add(SkipReason::Unreadable, &place(), error.to_string());
                        }
                    }
                    if copied.files.is_full() {
                        copied.flush(pass)?;
                        tell();
                    }
                }
            }
        }
    }
    if has_changed {
        copied.store.note_change(Change::Everything);
    }
    Ok(())
}

/// How many regular files lie in a run's or model's own folder for artifacts, and their bytes.
pub(super) fn measure(folder: &Folder) -> (u64, u64) {
    let (mut count, mut bytes) = (0, 0);
    let Ok(Some(top)) = folder.find(super::places::ARTIFACTS) else { return (0, 0) };
    let mut open = vec![(top, 0)];
    while let Some((folder, depth)) = open.pop() {
        for entry in folder.entries().unwrap_or_default() {
            match entry.kind {
                Kind::File => {
                    count += 1;
                    bytes += entry.facts.size_bytes;
                }
                Kind::Folder if depth < MAX_DEPTH => {
                    if let Ok(below) = folder.folder(&entry.name) {
                        open.push((below, depth + 1));
                    }
                }
                _ => {}
            }
        }
    }
    (count, bytes)
}
