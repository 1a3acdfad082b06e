//! Stamps: what a step was done for, so that it is done again only when that has changed.
//!
//! A stamp is a small file that holds the hash of the inputs. It is written after the step
//! succeeded and lies where it disappears together with the result.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The hash of a step's inputs.
///
/// Files count with their path below the root and their content; times do not count. The hash may
/// differ between compiler versions, which makes a step run once more and nothing else.
#[derive(Default)]
pub struct Inputs {
    files: BTreeMap<PathBuf, Vec<u8>>,
    words: Vec<String>,
}

impl Inputs {
    /// Adds a value that is no file: a version, a switch.
    pub fn word(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    /// Adds one file, which must exist.
    pub fn file(mut self, path: &Path) -> Result<Self> {
        let content =
            fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        self.files.insert(path.to_path_buf(), content);
        Ok(self)
    }

    /// Adds every file below `root`, except below folders named in `without` (at any depth).
    pub fn tree(mut self, root: &Path, without: &[&str]) -> Result<Self> {
        let mut waiting = vec![root.to_path_buf()];
        while let Some(folder) = waiting.pop() {
            let entries = fs::read_dir(&folder)
                .with_context(|| format!("{} cannot be listed", folder.display()))?;
            for entry in entries {
                let path = entry?.path();
                let is_left_out = path
                    .file_name()
                    .is_some_and(|name| without.iter().any(|unwanted| name == *unwanted));
                if is_left_out {
                    continue;
                }
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    let content = fs::read(&path)
                        .with_context(|| format!("{} cannot be read", path.display()))?;
                    let below = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
                    self.files.insert(below, content);
                }
            }
        }
        Ok(self)
    }

    /// The hash, as sixteen hexadecimal digits.
    pub fn hash(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.files.hash(&mut hasher);
        self.words.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// Whether the stamp exists and was written for these inputs.
pub fn is_current(stamp: &Path, hash: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|written| written.trim() == hash)
}

/// Writes the stamp, after the step succeeded.
pub fn write(stamp: &Path, hash: &str) -> Result<()> {
    if let Some(folder) = stamp.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(stamp, format!("{hash}\n"))
        .with_context(|| format!("{} cannot be written", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree_hash(root: &Path) -> String {
        Inputs::default().tree(root, &["left_out"]).expect("the folder was just made").hash()
    }

    #[test]
    fn content_names_and_words_count_but_left_out_folders_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir_all(root.join("a/left_out")).expect("folders");
        fs::write(root.join("a/one"), "1").expect("a file");
        let first = tree_hash(root);

        fs::write(root.join("a/left_out/two"), "2").expect("a file");
        assert_eq!(tree_hash(root), first, "a left-out folder counted");

        fs::write(root.join("a/one"), "3").expect("a file");
        let changed = tree_hash(root);
        assert_ne!(changed, first, "the content did not count");

        fs::rename(root.join("a/one"), root.join("a/other")).expect("a rename");
        assert_ne!(tree_hash(root), changed, "the name did not count");

        let one_word = Inputs::default().word("ab").word("c").hash();
        assert_ne!(one_word, Inputs::default().word("a").word("bc").hash());
    }

    #[test]
    fn a_stamp_is_current_only_for_the_hash_it_was_written_with() {
        let folder = tempfile::tempdir().expect("a folder");
        let stamp = folder.path().join("deep/stamp");
        assert!(!is_current(&stamp, "a"));
        write(&stamp, "a").expect("a written stamp");
        assert!(is_current(&stamp, "a"));
        assert!(!is_current(&stamp, "b"));
    }
}
