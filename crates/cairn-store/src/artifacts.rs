//! The artifact tree: files of runs and models, opened relative to a directory handle.
//!
//! Every path is an [`ArtifactPath`], and every file is opened below a handle of the tree's folder
//! (cap-std), so that neither `..` nor a symbolic link leads out of it. Links below that folder are
//! not followed at all, whatever they lead to and whenever they appear: each folder on the way is
//! opened from the one before.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use cairn_core::ArtifactPath;
use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::{
    ambient_authority,
    fs::{Dir, DirBuilder, DirBuilderExt as _, File, OpenOptions, OpenOptionsExt as _},
};

use crate::{Result, StoreError, store::ARTIFACTS, tx::random_hex};

/// Where half-written uploads lie, beside the tree so that a rename publishes them.
pub(crate) const UPLOADS: &str = ".cairn-uploads";
/// Bytes of an upload after which they are brought to the disk while more arrive.
const FLUSHED_PART: usize = 32 << 20;
/// An upload that nobody wrote to for so long was left behind.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);

/// A file or folder of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last part of its path.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Bytes; 0 for folders.
    pub size_bytes: u64,
    /// When it was last written, milliseconds since 1970, if the file system says.
    pub modified: Option<i64>,
}

/// An open file of the tree.
#[derive(Debug)]
pub struct OpenFile {
    /// The file, at its start.
    pub file: std::fs::File,
    /// Its size when it was opened.
    pub size_bytes: u64,
    /// When it was last written, milliseconds since 1970.
    pub modified: Option<i64>,
}

/// Where the files of a run or model are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In the store's artifact tree, served over HTTP (`mlflow-artifacts:/…`).
    Tree(ArtifactPath),
    /// In the store's folder, but written by clients directly (a local path below it).
    Folder(ArtifactPath),
    /// Elsewhere: outside the store's folder, or on another machine.
    Elsewhere(String),
}

/// The artifact tree of one store.
#[derive(Debug, Clone)]
pub struct ArtifactTree {
    dir: Arc<PathBuf>,
}

impl ArtifactTree {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir: Arc::new(dir) }
    }

    /// Where an artifact URI of this store's database points.
    ///
    /// Accepted as inside the store: `mlflow-artifacts:/path`, and absolute paths or `file:` URIs
    /// below the store's folder. When the store was moved, an old absolute path is found again by
    /// its part from `mlruns/` or `mlartifacts/` on.
    pub fn locate(&self, uri: &str) -> Location {
        let elsewhere = || Location::Elsewhere(uri.to_owned());
        if let Some(rest) = uri.strip_prefix("mlflow-artifacts:") {
            // `mlflow-artifacts:/x` and `mlflow-artifacts://host/x` both exist; only the first is ours.
            let Some(path) = rest.strip_prefix('/').filter(|path| !path.starts_with('/')) else {
                return elsewhere();
            };
            return ArtifactPath::parse(path.trim_end_matches('/'))
                .map_or_else(|_| elsewhere(), Location::Tree);
        }
        let path = match uri.strip_prefix("file:") {
            Some(rest) => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
            }
            None if uri.starts_with('/') => uri.to_owned(),
            None => return elsewhere(),
        };
        if let Ok(below) = Path::new(&path).strip_prefix(self.dir.as_path())
            && let Some(below) = below.to_str()
            && let Ok(below) = ArtifactPath::parse(below.trim_end_matches('/'))
        {
            return Location::Folder(below);
        }
        for root in ["mlruns", ARTIFACTS] {
            let Some(at) = path.rfind(&format!("/{root}/")) else { continue };
            if let Ok(below) = ArtifactPath::parse(path[at + 1..].trim_end_matches('/'))
                && self.dir.join(below.as_path()).exists()
            {
                return Location::Folder(below);
            }
        }
        elsewhere()
    }

    /// Lists a folder of a location, folders and files mixed, sorted by name; empty when it is
    /// missing or a file.
    ///
    /// Errors: [`StoreError::Invalid`] for places outside the store, [`StoreError::Io`].
    pub fn list(&self, location: &Location, below: &ArtifactPath) -> Result<Vec<Entry>> {
        let (root, path) = resolve(location, below)?;
        let Some(root) = self.open_root(root, false)? else { return Ok(Vec::new()) };
        let dir = match descend(root, &path) {
            Ok(dir) => dir,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(self.io_error(&path, "read", error)),
        };
        let mut entries = Vec::new();
        for entry in dir.entries().map_err(|error| self.io_error(&path, "read", error))? {
            let entry = entry.map_err(|error| self.io_error(&path, "read", error))?;
            // A link or a file that vanished meanwhile is not listed; links are never followed.
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.is_file() && !metadata.is_dir() {
                continue;
            }
            entries.push(Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: metadata.is_dir(),
                size_bytes: if metadata.is_file() { metadata.len() } else { 0 },
                modified: metadata.modified().ok().and_then(|time| unix_millis(time.into_std())),
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Opens a file for reading.
    ///
    /// Errors: [`StoreError::NotFound`] when there is no such file; [`StoreError::Invalid`] for a
    /// folder, with MLflow's words.
    pub fn open(&self, location: &Location, below: &ArtifactPath) -> Result<OpenFile> {
        let (root, path) = resolve(location, below)?;
        let missing = || StoreError::NotFound(format!("No such artifact: '{below}'"));
        let root = self.open_root(root, false)?.ok_or_else(missing)?;
        // A pipe must not make the reader wait for a writer.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
        options.follow(FollowSymlinks::No);
        // The root is opened as the folder that it is, and refused below.
        let opened = match path.parent() {
            Some(parent) => descend(root, &parent)
                .and_then(|folder| folder.open_with(path.file_name(), &options)),
            None => root.open("."),
        };
        let file = match opened {
            Ok(file) => file,
            // That there is a link, or something that may not be read, is not told.
            Err(error) if is_absent(&error) => return Err(missing()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(missing()),
            Err(error) => return Err(self.io_error(&path, "read", error)),
        };
        let metadata = file.metadata().map_err(|error| self.io_error(&path, "read", error))?;
        if metadata.is_dir() {
            return Err(StoreError::Invalid(cairn_core::Invalid::new(format!(
                "Artifact path refers to a directory, not a file: '{below}'"
            ))));
        }
        if !metadata.is_file() {
            return Err(missing());
        }
        Ok(OpenFile {
            size_bytes: metadata.len(),
            modified: metadata.modified().ok().and_then(|time| unix_millis(time.into_std())),
            file: file.into_std(),
        })
    }

    /// Begins to write a file of the tree; nothing is seen of it before [`Upload::finish`].
    pub fn upload(&self, path: &ArtifactPath) -> Result<Upload> {
        if path.is_root() {
            return Err(StoreError::Invalid(cairn_core::Invalid::new("Invalid path")));
        }
        let store = Dir::open_ambient_dir(self.dir.as_path(), ambient_authority())
            .map_err(|error| self.io_error(path, "written", error))?;
        ensure_dir(&store, Path::new(UPLOADS))
            .map_err(|error| self.io_error(path, "written", error))?;
        let temporary = PathBuf::from(UPLOADS).join(random_hex());
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = store
            .open_with(&temporary, &options)
            .map_err(|error| self.io_error(path, "written", error))?;
        Ok(Upload {
            tree: self.clone(),
            store,
            temporary,
            file: Some(file),
            path: path.clone(),
            unflushed_bytes: 0,
            flusher: None,
        })
    }

    /// Removes a file, or a folder with all in it. Removing what is not there is a success.
    pub fn delete(&self, path: &ArtifactPath) -> Result<()> {
        let Some(parent) = path.parent() else {
            return Err(StoreError::Invalid(cairn_core::Invalid::new("Invalid path")));
        };
        let Some(root) = self.open_root(Root::Tree, false)? else { return Ok(()) };
        let name = path.file_name();
        let removed = descend(root, &parent).and_then(|folder| {
            if folder.symlink_metadata(name)?.is_dir() {
                // Opens the folder as no link and removes it by that handle.
                folder.open_dir_nofollow(name)?.remove_open_dir_all()
            } else {
                folder.remove_file(name)
            }
        });
        match removed {
            Err(error) if !is_absent(&error) => Err(self.io_error(path, "removed", error)),
            _ => Ok(()),
        }
    }

    /// Removes uploads that a crash left behind; called when a server starts on the store.
    ///
    /// Those written to within the last [`ABANDONED_AFTER`] stay: another program may be at them.
    pub fn discard_abandoned_uploads(&self) {
        let uploads = Dir::open_ambient_dir(self.dir.as_path(), ambient_authority())
            .and_then(|store| store.open_dir(UPLOADS));
        let Ok(uploads) = uploads else { return };
        let Ok(entries) = uploads.entries() else { return };
        for entry in entries.flatten() {
            let written = entry.metadata().and_then(|metadata| metadata.modified());
            let age = written.ok().and_then(|written| written.into_std().elapsed().ok());
            if age.is_some_and(|age| age > ABANDONED_AFTER) {
                // What cannot be removed now is tried again at the next start.
                let _ = uploads.remove_file(entry.file_name());
            }
        }
    }

    pub(crate) fn open_root(&self, root: Root, create: bool) -> Result<Option<Dir>> {
        let store = Dir::open_ambient_dir(self.dir.as_path(), ambient_authority())
            .map_err(|error| self.io_error(&ArtifactPath::root(), "read", error))?;
        if root == Root::Store {
            return Ok(Some(store));
        }
        if create {
            ensure_dir(&store, Path::new(ARTIFACTS))
                .map_err(|error| self.io_error(&ArtifactPath::root(), "created", error))?;
        }
        match store.open_dir(ARTIFACTS) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.io_error(&ArtifactPath::root(), "read", error)),
        }
    }

    /// The store's folder.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.as_path()
    }

    pub(crate) fn io_error(
        &self,
        path: &ArtifactPath,
        action: &'static str,
        source: io::Error,
    ) -> StoreError {
        if source.kind() == io::ErrorKind::StorageFull {
            return StoreError::DiskFull { path: self.dir.as_path().to_owned() };
        }
        let path = if path.is_root() { self.dir.to_path_buf() } else { path.as_str().into() };
        StoreError::Io { path, action, source: Arc::new(source) }
    }
}

/// What a path is taken from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    Tree,
    Store,
}

/// The folder that a location lies in, and the path from there.
///
/// Errors: [`StoreError::Invalid`] for places outside the store.
fn resolve(location: &Location, below: &ArtifactPath) -> Result<(Root, ArtifactPath)> {
    match location {
        Location::Tree(path) => Ok((Root::Tree, path.join(below))),
        Location::Folder(path) => Ok((Root::Store, path.join(below))),
        Location::Elsewhere(uri) => Err(StoreError::Invalid(cairn_core::Invalid::new(format!(
            "These files lie outside the store, at {uri}."
        )))),
    }
}

/// A file being written. Dropping it without [`Upload::finish`] leaves no trace.
#[derive(Debug)]
pub struct Upload {
    tree: ArtifactTree,
    store: Dir,
    temporary: PathBuf,
    file: Option<File>,
    path: ArtifactPath,
    /// Bytes since the last part was handed to `flusher`.
    unflushed_bytes: usize,
    /// Only large files have one.
    flusher: Option<Flusher>,
}

impl Upload {
    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file.as_mut().expect("present until finished");
        let written = file.write_all(bytes).and_then(|()| {
            self.unflushed_bytes += bytes.len();
            if self.unflushed_bytes < FLUSHED_PART {
                return Ok(());
            }
            self.unflushed_bytes = 0;
            if self.flusher.is_none() {
                self.flusher = Some(Flusher::start(file)?);
            }
            self.flusher.as_ref().map_or(Ok(()), Flusher::flush)
        });
        written.map_err(|error| self.tree.io_error(&self.path, "written", error))
    }

    /// Publishes the file under its path, replacing a file that was there.
    ///
    /// The bytes and the name are on disk when this returns.
    ///
    /// Errors: [`StoreError::Invalid`] when the path is a folder, or lies below a file.
    pub fn finish(mut self) -> Result<()> {
        let tree = self.tree.clone();
        let path = self.path.clone();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::DirectoryNotEmpty => StoreError::Invalid(cairn_core::Invalid::new(
                format!("Cannot write '{path}': a folder or file of that name is in the way."),
            )),
            _ => tree.io_error(&path, "written", error),
        };
        let file = self.file.take().expect("present until finished");
        // The system tells of a failed write once: also what the flusher was told counts.
        if let Some(flusher) = self.flusher.take() {
            flusher.finish().map_err(&failed)?;
        }
        file.sync_all().map_err(&failed)?;
        drop(file);
        let root = self.tree.open_root(Root::Tree, true)?.expect("made when missing");
        let parent = self.path.parent().expect("the root is refused");
        let folders = make_way(root, &parent).map_err(&failed)?;
        let folder = folders.last().expect("the root is among them");
        self.store.rename(&self.temporary, folder, self.path.file_name()).map_err(&failed)?;
        // The name is on disk once its folder is, and a folder once the one above it is. Also those
        // that were there before: the upload that made them may not have come this far yet.
        for folder in folders.iter().rev().chain([&self.store]) {
            folder.open(".").and_then(|dir| dir.sync_all()).map_err(&failed)?;
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // After a successful rename there is nothing of that name.
        let _ = self.store.remove_file(&self.temporary);
    }
}

/// Brings a large file to the disk while more of it arrives, so that its end need not wait for all of
/// it. Ends with its upload.
#[derive(Debug)]
struct Flusher {
    /// Holds one request: while the disk is busy, more would ask for the same.
    requests: mpsc::SyncSender<()>,
    thread: thread::JoinHandle<io::Result<()>>,
}

impl Flusher {
    fn start(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (requests, asked) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("cairn-store-flusher".into())
            .spawn(move || asked.iter().try_for_each(|()| file.sync_data()))?;
        Ok(Self { requests, thread })
    }

    /// Asks for a flush.
    ///
    /// Errors: an earlier one failed; [`Self::finish`] knows how.
    fn flush(&self) -> io::Result<()> {
        match self.requests.try_send(()) {
            Ok(()) | Err(mpsc::TrySendError::Full(())) => Ok(()),
            Err(mpsc::TrySendError::Disconnected(())) => {
                Err(io::Error::other("the file could not be brought to the disk"))
            }
        }
    }

    /// Waits for what was asked for, and tells the first error of all flushes.
    fn finish(self) -> io::Result<()> {
        drop(self.requests);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a panic while flushing")))
    }
}

/// Opens a folder below another one, each on the way from the one before and none through a link.
fn descend(root: Dir, path: &ArtifactPath) -> io::Result<Dir> {
    path.segments().try_fold(root, |folder, name| folder.open_dir_nofollow(name))
}

/// Like [`descend`], but makes what is missing, for the owner only. Answers all folders from the
/// root on.
fn make_way(root: Dir, path: &ArtifactPath) -> io::Result<Vec<Dir>> {
    let mut folders = vec![root];
    for name in path.segments() {
        let above = folders.last().expect("begins with the root");
        let folder = match above.open_dir_nofollow(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match above.create_dir_with(name, DirBuilder::new().mode(0o700)) {
                    // Another upload made it meanwhile.
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error);
                    }
                    _ => above.open_dir_nofollow(name)?,
                }
            }
            // What is in the way of a folder is a file or a link.
            Err(error) if is_absent(&error) => {
                return Err(io::Error::from(io::ErrorKind::NotADirectory));
            }
            folder => folder?,
        };
        folders.push(folder);
    }
    Ok(folders)
}

/// Makes a folder and its parents, for the owner only.
pub(crate) fn ensure_dir(dir: &Dir, path: &Path) -> io::Result<()> {
    if path == Path::new(".") {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    dir.create_dir_with(path, &builder)
}

fn is_absent(error: &io::Error) -> bool {
    let is_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    is_link || matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(crate) fn unix_millis(time: std::time::SystemTime) -> Option<i64> {
    let elapsed = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(elapsed.as_millis()).ok()
}
