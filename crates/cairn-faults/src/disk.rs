//! What is recorded, and what is to fail.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::vfs;

/// The number of a file's content. A file that is removed and made again is another one.
pub(crate) type Inode = u32;

/// One thing that was done below the folder, in order.
#[derive(Debug, Clone)]
pub enum Op {
    /// Bytes were written at an offset.
    Write {
        /// Which file.
        inode: u32,
        /// Where in it, bytes.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A file was cut to a size.
    Truncate {
        /// Which file.
        inode: u32,
        /// Bytes that are left.
        size: u64,
    },
    /// Everything written to a file so far is on the disk.
    Sync {
        /// Which file.
        inode: u32,
    },
    /// A name was given to a new, empty file.
    Create {
        /// Its name in the folder.
        name: String,
        /// Which file.
        inode: u32,
    },
    /// A name was removed.
    Remove {
        /// Its name in the folder.
        name: String,
    },
    /// All names so far are on the disk.
    SyncFolder,
}

/// Which calls fail, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The disk is full (ENOSPC): writes and new files fail, after half of the bytes were written.
    Full,
    /// The disk is broken (EIO): reads, writes, syncs, cuts and removals fail.
    Broken,
    /// The process has too many open files (EMFILE): opening fails.
    TooManyFiles,
}

/// A failure to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Which calls, and as what.
    pub kind: FaultKind,
    /// How many calls of that kind succeed before.
    pub after: u32,
    /// How many calls fail then; `u32::MAX` is until [`Disk::heal`].
    pub times: u32,
}

/// A folder under watch. Ends when dropped.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    watched: Arc<Mutex<Watched>>,
}

/// All that was done below the folder, and what lay there before.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// Names and contents at the start; all of it counts as safely on the disk.
    pub before: Vec<(String, Inode, Vec<u8>)>,
    /// What was done since.
    pub ops: Vec<Op>,
}

/// What the layer knows of one folder.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub recording: Recording,
    /// The file behind each name now.
    pub names: HashMap<String, Inode>,
    next_inode: Inode,
    is_recording: bool,
    /// Syncs do nothing, and say that all is well.
    pub lies_about_syncs: bool,
    fault: Option<Fault>,
    /// Calls that the fault let fail.
    hits: u32,
}

impl Disk {
    /// Watches the files directly in a folder. Connections opened before stay unwatched.
    pub fn watch(folder: &Path) -> Self {
        vfs::install();
        let folder = fs::canonicalize(folder).expect("the folder exists");
        let mut watched = Watched { is_recording: true, ..Watched::default() };
        for entry in fs::read_dir(&folder).expect("a readable folder").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // The shared memory of WAL mode is made anew after a crash.
            if !entry.path().is_file() || name.ends_with("-shm") {
                continue;
            }
            let inode = watched.new_inode(&name);
            let content = fs::read(entry.path()).expect("a readable file");
            watched.recording.before.push((name, inode, content));
        }
        let watched = Arc::new(Mutex::new(watched));
        vfs::register(folder.clone(), &watched);
        Self { folder, watched }
    }

    /// How many operations were recorded so far: what is done next comes after this.
    pub fn position(&self) -> usize {
        self.locked().recording.ops.len()
    }

    /// Stops recording, and gives what was recorded.
    pub fn take_recording(&self) -> Recording {
        let mut watched = self.locked();
        watched.is_recording = false;
        std::mem::take(&mut watched.recording)
    }

    /// Keeps nothing of what is done from now on; faults still happen.
    pub fn stop_recording(&self) {
        self.take_recording();
    }

    /// Lets syncs do nothing from now on, as a disk does that lies, or SQLite itself when it is
    /// told `synchronous=OFF`.
    pub fn lie_about_syncs(&self) {
        self.locked().lies_about_syncs = true;
    }

    /// Lets calls fail from now on.
    pub fn break_with(&self, fault: Fault) {
        let mut watched = self.locked();
        watched.fault = Some(fault);
        watched.hits = 0;
    }

    /// Lets no more calls fail; answers how many did.
    pub fn heal(&self) -> u32 {
        let mut watched = self.locked();
        watched.fault = None;
        std::mem::take(&mut watched.hits)
    }

    fn locked(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().expect("no holder of this lock panics")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        vfs::unregister(&self.folder);
    }
}

impl Watched {
    /// A number for a file that gets this name.
    pub fn new_inode(&mut self, name: &str) -> Inode {
        self.next_inode += 1;
        self.names.insert(name.to_owned(), self.next_inode);
        self.next_inode
    }

    pub fn record(&mut self, op: Op) {
        if self.is_recording {
            self.recording.ops.push(op);
        }
    }

    /// Whether this call, which a fault of the kind concerns, is to fail.
    pub fn fails(&mut self, kind: FaultKind) -> bool {
        let Some(fault) = self.fault.as_mut().filter(|fault| fault.kind == kind) else {
            return false;
        };
        if fault.after > 0 {
            fault.after -= 1;
            return false;
        }
        if fault.times == 0 {
            return false;
        }
        if fault.times != u32::MAX {
            fault.times -= 1;
        }
        self.hits += 1;
        true
    }
}
