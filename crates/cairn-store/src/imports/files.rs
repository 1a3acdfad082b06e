//! Files on their way into the artifact tree, many at once.
//!
//! A file is copied (or cloned, where the file system can) beside the tree and renamed into its
//! place, so that a file of the tree is always whole. What costs is not the copying but making
//! sure of it: the disk is flushed once for a batch instead of once for a file.

use std::{
    fs::File,
    io,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cairn_core::{ArtifactPath, Invalid};
use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions, OpenOptionsExt as _},
};
use rustix::fs::{AtFlags, Timespec, Timestamps, ioctl_ficlone, syncfs, utimensat};

use crate::{
    Result, StoreError,
    artifacts::{ArtifactTree, Root, UPLOADS, ensure_dir},
    tx::random_hex,
};

/// Files and bytes of one batch.
const BATCH_FILES: usize = 512;
const BATCH_BYTES: u64 = 256 << 20;

/// What tells a file from its later self.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Bytes.
    pub size_bytes: u64,
    /// When it was last written.
    pub modified: SystemTime,
}

/// What lies at a file's place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or an older file.
    Outdated,
    /// The same file, or a later one.
    Current,
}

/// A batch of files being copied. What was not flushed when it is dropped leaves no trace.
#[derive(Debug)]
pub struct CopiedFiles {
    tree: ArtifactTree,
    store: Dir,
    /// The store's folder, as an open file: flushing goes through one.
    disk: File,
    staged: Vec<Staged>,
    bytes: u64,
    can_clone: bool,
}

#[derive(Debug)]
struct Staged {
    temporary: PathBuf,
    path: ArtifactPath,
    facts: FileFacts,
}

impl CopiedFiles {
    /// Begins to copy into a tree.
    pub fn begin(tree: &ArtifactTree) -> Result<Self> {
        let failed = |error| tree.io_error(&ArtifactPath::root(), "written", error);
        let store = Dir::open_ambient_dir(tree.dir(), ambient_authority()).map_err(failed)?;
        ensure_dir(&store, UPLOADS.as_ref()).map_err(failed)?;
        let disk = File::open(tree.dir()).map_err(failed)?;
        Ok(Self { tree: tree.clone(), store, disk, staged: Vec::new(), bytes: 0, can_clone: true })
    }

    /// Whether a file needs to be copied: not if one of its size and time is there, or a later one.
    pub fn look(&self, path: &ArtifactPath, facts: FileFacts) -> Result<Found> {
        let Some(root) = self.tree.open_root(Root::Tree, false)? else {
            return Ok(Found::Outdated);
        };
        let Ok(there) = root.symlink_metadata(path.as_path()) else { return Ok(Found::Outdated) };
        if !there.is_file() {
            return Ok(Found::Outdated);
        }
        let modified = there.modified().map_or(UNIX_EPOCH, cap_std::time::SystemTime::into_std);
        let is_same = there.len() == facts.size_bytes && modified == facts.modified;
        Ok(if is_same || modified > facts.modified { Found::Current } else { Found::Outdated })
    }

    /// Copies a file that is open at its start; it is in its place after the next flush. Answers
    /// how many bytes it had.
    pub fn add(&mut self, source: &mut File, path: &ArtifactPath, facts: FileFacts) -> Result<u64> {
        if path.is_root() {
            return Err(StoreError::Invalid(Invalid::new("Invalid path")));
        }
        let failed = |tree: &ArtifactTree, error| tree.io_error(path, "written", error);
        let temporary = PathBuf::from(UPLOADS).join(random_hex());
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = self.store.open_with(&temporary, &options);
        let mut file = file.map_err(|error| failed(&self.tree, error))?.into_std();
        // Staged first, so that it is removed if copying fails.
        self.staged.push(Staged { temporary, path: path.clone(), facts });
        if self.can_clone && facts.size_bytes > 0 {
            match ioctl_ficlone(&file, &*source) {
                Ok(()) => {
                    self.bytes += facts.size_bytes;
                    return Ok(facts.size_bytes);
                }
                // Another file system, or one that cannot: not asked again.
                Err(_) => self.can_clone = false,
            }
        }
        let copied = io::copy(source, &mut file).map_err(|error| {
            self.discard_last();
            failed(&self.tree, error)
        })?;
        self.bytes += copied;
        Ok(copied)
    }

    /// Whether the batch is large enough to be flushed.
    pub fn is_full(&self) -> bool {
        self.staged.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES
    }

    /// Puts all files that were added into their places; their bytes and names are on disk then.
    ///
    /// Answers the files that could not get their place because something else is there.
    pub fn flush(&mut self) -> Result<Vec<ArtifactPath>> {
        if self.staged.is_empty() {
            return Ok(Vec::new());
        }
        let tree = self.tree.clone();
        let failed = |error| tree.io_error(&ArtifactPath::root(), "written", error);
        syncfs(&self.disk).map_err(|error| failed(error.into()))?;
        let root = tree.open_root(Root::Tree, true)?.expect("made when missing");
        let mut in_the_way = Vec::new();
        for staged in std::mem::take(&mut self.staged) {
            let placed = self.place(&staged, &root);
            if let Err(error) = placed {
                let _ = self.store.remove_file(&staged.temporary);
                match error.kind() {
                    io::ErrorKind::IsADirectory
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::AlreadyExists
                    | io::ErrorKind::DirectoryNotEmpty => in_the_way.push(staged.path),
                    _ => return Err(tree.io_error(&staged.path, "written", error)),
                }
            }
        }
        syncfs(&self.disk).map_err(|error| failed(error.into()))?;
        self.bytes = 0;
        Ok(in_the_way)
    }

    fn place(&self, staged: &Staged, root: &Dir) -> io::Result<()> {
        // Not before now: files with an old time in this folder count as left behind.
        let time = timespec(staged.facts.modified);
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(&self.store, &staged.temporary, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        let parent = staged.path.parent().expect("the root is refused");
        ensure_dir(root, parent.as_path())?;
        self.store.rename(&staged.temporary, root, staged.path.as_path())
    }

    fn discard_last(&mut self) {
        if let Some(staged) = self.staged.pop() {
            let _ = self.store.remove_file(&staged.temporary);
        }
    }
}

impl Drop for CopiedFiles {
    fn drop(&mut self) {
        for staged in &self.staged {
            let _ = self.store.remove_file(&staged.temporary);
        }
    }
}

fn timespec(time: SystemTime) -> Timespec {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Timespec {
            tv_sec: after.as_secs().cast_signed(),
            tv_nsec: i64::from(after.subsec_nanos()),
        },
        Err(before) => {
            // Whole seconds are exact enough for a time before 1970.
            let before: Duration = before.duration();
            Timespec { tv_sec: -before.as_secs().cast_signed(), tv_nsec: 0 }
        }
    }
}
