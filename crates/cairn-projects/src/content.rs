//! What consent is given to: a digest of a project's own files.
//!
//! It covers the project file, the files that describe the environment and every file that is code or
//! configuration by its ending, below the project's folder. Data is left out, since a run may write data and
//! consent would be asked again each time; so are saved models, what is larger than 1 MiB, and what git, Python and
//! MLflow keep for themselves. A change of any file that is covered changes the digest.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::capture::hex;

/// A larger file is no code.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// So much is read altogether; of what is beyond, only size and time count.
const MAX_READ_BYTES: u64 = 128 << 20;
/// So many entries of folders are looked at.
const MAX_ENTRIES: usize = 50_000;
/// Folders in each other.
const MAX_DEPTH: usize = 24;

const CODE_ENDINGS: [&str; 24] = [
    "py", "pyx", "sh", "bash", "zsh", "r", "jl", "ipynb", "sql", "yaml", "yml", "toml", "cfg",
    "ini", "lock", "c", "h", "cpp", "rs", "js", "pl", "rb", "so", "dylib",
];
const CODE_NAMES: [&str; 5] = ["mlproject", "makefile", "dockerfile", "pipfile", ".python-version"];
const OTHER_FOLDERS: [&str; 12] = [
    ".git",
    "__pycache__",
    ".venv",
    "venv",
    "node_modules",
    "mlruns",
    "mlartifacts",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".tox",
];

/// SHA-256, in hexadecimal digits, of what consent to a project is given to. `named` are files that the project
/// names itself, relative to the folder or absolute.
pub(crate) fn content_hash(folder: &Path, named: &[PathBuf]) -> String {
    let mut files: BTreeMap<PathBuf, PathBuf> =
        named.iter().map(|file| (file.clone(), folder.join(file))).collect();
    let is_whole = walk(folder, &mut files);
    let mut digest = Sha256::new();
    digest.update(b"cairn project 1\n");
    let mut left = MAX_READ_BYTES;
    for (name, path) in &files {
        digest.update(name.as_os_str().as_bytes());
        digest.update(b"\0");
        match content(path, &mut left) {
            Some(Content::Read(hash)) => digest.update(hash.as_bytes()),
            Some(Content::Seen(size, modified)) => {
                digest.update(format!("{size} {modified}").as_bytes());
            }
            None => digest.update(b"missing"),
        }
        digest.update(b"\n");
    }
    if !is_whole {
        digest.update(b"and more\n");
    }
    hex(&digest.finalize())
}

/// SHA-256 of one small file; `None` when it cannot be read.
pub(crate) fn file_hash(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(MAX_READ_BYTES).read_to_end(&mut bytes).ok()?;
    Some(hex(&Sha256::digest(&bytes)))
}

enum Content {
    Read(String),
    Seen(u64, u128),
}

fn content(path: &Path, left: &mut u64) -> Option<Content> {
    let data = fs::metadata(path).ok()?;
    if !data.is_file() {
        return None;
    }
    if data.len() <= *left && data.len() <= MAX_FILE_BYTES {
        *left -= data.len();
        return file_hash(path).map(Content::Read);
    }
    let modified = data.modified().ok()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Some(Content::Seen(data.len(), modified.as_nanos()))
}

/// Gathers the code files below a folder; answers whether all were looked at. Links to folders are not followed.
fn walk(root: &Path, files: &mut BTreeMap<PathBuf, PathBuf>) -> bool {
    let mut folders = vec![(root.to_owned(), 0)];
    let mut entries = 0;
    while let Some((folder, depth)) = folders.pop() {
        let Ok(listed) = fs::read_dir(&folder) else { continue };
        let mut listed: Vec<_> = listed.flatten().collect();
        // A model that a run saved brings files of code; they are its data.
        if depth > 0 && listed.iter().any(|entry| entry.file_name() == "MLmodel") {
            continue;
        }
        listed.sort_by_key(fs::DirEntry::file_name);
        for entry in listed {
            entries += 1;
            if entries > MAX_ENTRIES {
                return false;
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                // A folder with a pyvenv.cfg is an environment, whatever it is called.
                let is_other = OTHER_FOLDERS.contains(&&*name) || path.join("pyvenv.cfg").exists();
                if depth < MAX_DEPTH && !is_other {
                    folders.push((path, depth + 1));
                }
            } else if is_code(&name)
                && entry
                    .metadata()
                    .is_ok_and(|data| kind.is_symlink() || data.len() <= MAX_FILE_BYTES)
            {
                let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
                files.insert(relative, path);
            }
        }
    }
    true
}

fn is_code(name: &str) -> bool {
    let lower = name.to_lowercase();
    if CODE_NAMES.contains(&lower.as_str())
        || (lower.starts_with("requirements") && lower.ends_with("txt"))
    {
        return true;
    }
    lower.rsplit_once('.').is_some_and(|(_, ending)| CODE_ENDINGS.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_changes_the_hash_and_data_does_not() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("a folder can be made");
            fs::write(path, text).expect("a file can be written");
        };
        let hash = || content_hash(folder.path(), &["MLproject".into()]);
        write("MLproject", "name: a");
        write("steps/train.py", "print(1)");
        let first = hash();
        for (name, text, is_changed) in [
            ("data/big.csv", "1,2", false),
            ("__pycache__/train.py", "x", false),
            ("mlruns/0/meta.yaml", "x", false),
            ("model/MLmodel", "x", false),
            ("model/conda.yaml", "x", false),
            ("steps/train.py", "print(2)", true),
            ("steps/train.py", "print(1)", false),
            ("requirements-dev.txt", "x", true),
        ] {
            write(name, text);
            assert_eq!(hash() != first, is_changed, "{name}");
        }
    }
}
