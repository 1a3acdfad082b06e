//! `projects.json`: projects that were added, content that was allowed to run.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{dto::CommandError, errors};

/// What a person chose about projects; in the data folder, for them alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Known {
    /// Addresses that were added, with when, milliseconds since 1970.
    pub added: BTreeMap<String, i64>,
    /// Addresses that were taken off the list, with when: runs before that do not bring them back.
    pub forgotten: BTreeMap<String, i64>,
    /// Hashes of content that was allowed to run, with when.
    pub allowed: BTreeMap<String, i64>,
    /// Launches that ended before are not listed any more.
    pub queue_cleared_ms: i64,
}

impl Known {
    /// Reads the file; one that is missing or damaged counts as empty, so that everything is asked
    /// again.
    pub fn load(data_dir: &Path) -> Self {
        let bytes = fs::read(path(data_dir)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Changes the file under its lock: another Cairn may do so too.
    pub fn change(data_dir: &Path, change: impl FnOnce(&mut Self)) -> Result<Self, CommandError> {
        let write = || -> std::io::Result<Self> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600);
            let lock = options.open(data_dir.join(".projects.lock"))?;
            lock.lock()?;
            let mut known = Self::load(data_dir);
            let before = known.clone();
            change(&mut known);
            if known != before {
                let partial = data_dir.join(".projects.json.partial");
                let mut options = fs::OpenOptions::new();
                let mut file =
                    options.write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
                file.write_all(&serde_json::to_vec_pretty(&known)?)?;
                file.sync_all()?;
                fs::rename(partial, path(data_dir))?;
            }
            Ok(known)
        };
        write().map_err(errors::internal)
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("projects.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_allowed_is_known_after_a_restart_and_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        assert_eq!(Known::load(&data), Known::default());
        Known::change(&data, |known| {
            known.allowed.insert("a".to_owned(), 1);
        })
        .unwrap();
        Known::change(&data, |known| {
            known.allowed.insert("b".to_owned(), 2);
        })
        .unwrap();
        let allowed = Known::load(&data).allowed;
        assert_eq!(allowed.keys().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_damaged_file_allows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(path(dir.path()), "{ not json").unwrap();
        assert_eq!(Known::load(dir.path()), Known::default());
    }
}
