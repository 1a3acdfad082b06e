//! The layer itself: an SQLite VFS in front of the system's own, which does the work.
//!
//! It is the process's default VFS once installed. A file outside every watched folder is passed
//! through. Each file of ours begins with [`File`]; the system's own file follows it in memory.

use std::{
    collections::HashMap,
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    mem::size_of,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    ptr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use rusqlite::ffi::{
    SQLITE_CANTOPEN, SQLITE_FULL, SQLITE_IOERR_DELETE, SQLITE_IOERR_FSYNC, SQLITE_IOERR_READ,
    SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_WRITE, SQLITE_OK, SQLITE_OPEN_CREATE,
    SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_SUPER_JOURNAL, SQLITE_OPEN_WAL, sqlite3_file,
    sqlite3_filename, sqlite3_initialize, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs,
    sqlite3_vfs_find, sqlite3_vfs_register,
};

use crate::disk::{FaultKind, Inode, Op, Watched};

type Shared = Arc<Mutex<Watched>>;

static FOLDERS: OnceLock<Mutex<HashMap<PathBuf, Shared>>> = OnceLock::new();

fn folders() -> MutexGuard<'static, HashMap<PathBuf, Shared>> {
    FOLDERS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches a folder: files in it that are opened from now on.
pub(crate) fn register(folder: PathBuf, watched: &Shared) {
    folders().insert(folder, watched.clone());
}

/// Ends [`register`].
pub(crate) fn unregister(folder: &Path) {
    folders().remove(folder);
}

/// Puts the layer in front of the system's own VFS, once in a process.
pub(crate) fn install() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        // SAFETY: the system's VFS is found and copied before ours is registered; ours is leaked,
        // as SQLite wants it to live as long as the process.
        unsafe {
            assert_eq!(sqlite3_initialize(), SQLITE_OK, "SQLite starts");
            let system = sqlite3_vfs_find(ptr::null());
            assert!(!system.is_null(), "SQLite has a VFS");
            let mut ours = *system;
            ours.szOsFile = (*system).szOsFile + size_of::<File>() as c_int;
            ours.pNext = ptr::null_mut();
            ours.zName = c"cairn-faults".as_ptr();
            ours.pAppData = system.cast();
            ours.xOpen = Some(open);
            ours.xDelete = Some(delete);
            ours.xAccess = Some(access);
            ours.xFullPathname = Some(full_pathname);
            let ours = Box::into_raw(Box::new(ours));
            assert_eq!(sqlite3_vfs_register(ours, 1), SQLITE_OK, "the layer is installed");
        }
    });
}

/// One open file. The system's own file lies behind it.
#[repr(C)]
struct File {
    base: sqlite3_file,
    /// `None` when the file is not watched. A box of ours, so that SQLite's memory holds one pointer.
    tracked: *mut Tracked,
}

struct Tracked {
    watched: Shared,
    inode: Inode,
    /// The system's VFS syncs the folder too at the first sync of a journal or log that it made.
    syncs_folder: bool,
}

impl Tracked {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The system's file behind one of ours.
///
/// # Safety
/// `file` was opened by [`open`].
unsafe fn inner(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: SQLite allocated `szOsFile` bytes, which is both sizes together.
    unsafe { file.cast::<u8>().add(size_of::<File>()).cast() }
}

/// What is known of one of our files; `None` if it is not watched.
///
/// # Safety
/// `file` was opened by [`open`] and not closed.
unsafe fn tracked<'a>(file: *mut sqlite3_file) -> Option<&'a mut Tracked> {
    // SAFETY: by the contract it begins with `File`, whose pointer is null or a live box of ours;
    // SQLite uses a file from one thread at a time.
    unsafe { (*file.cast::<File>()).tracked.as_mut() }
}

/// The system's VFS.
///
/// # Safety
/// `vfs` is the one that [`install`] made.
unsafe fn system(vfs: *mut sqlite3_vfs) -> *mut sqlite3_vfs {
    // SAFETY: set by `install`.
    unsafe { (*vfs).pAppData.cast() }
}

/// The watched folder that a path lies in, and the path's name in it.
///
/// # Safety
/// `path` is null or ends with a zero byte.
unsafe fn watched_at(path: *const c_char) -> Option<(Shared, String)> {
    if path.is_null() {
        return None;
    }
    // SAFETY: by the contract.
    let path = unsafe { CStr::from_ptr(path) };
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let watched = folders().get(path.parent()?)?.clone();
    Some((watched, path.file_name()?.to_string_lossy().into_owned()))
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite hands in memory for both files, and names that end with a zero byte; without
    // methods SQLite does not call `close`.
    unsafe {
        (*file).pMethods = ptr::null();
        let found = watched_at(name);
        let mut locked = found.as_ref().map(|(watched, name)| {
            (watched.lock().unwrap_or_else(PoisonError::into_inner), name.as_str())
        });
        if let Some((watched, name)) = &mut locked {
            let creates = flags & SQLITE_OPEN_CREATE != 0 && !watched.names.contains_key(*name);
            if watched.fails(FaultKind::TooManyFiles) || creates && watched.fails(FaultKind::Full) {
                return SQLITE_CANTOPEN;
            }
        }
        let system = system(vfs);
        let code =
            (*system).xOpen.expect("every VFS opens")(system, name, inner(file), flags, out_flags);
        if code != SQLITE_OK {
            return code;
        }
        let tracked = match (&found, locked) {
            (Some((shared, name)), Some((mut watched, _))) => {
                let known = watched.names.get(name).copied();
                let inode = known.unwrap_or_else(|| {
                    let inode = watched.new_inode(name);
                    watched.record(Op::Create { name: name.clone(), inode });
                    inode
                });
                let journal =
                    SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
                let syncs_folder = flags & SQLITE_OPEN_CREATE != 0 && flags & journal != 0;
                let tracked = Tracked { watched: shared.clone(), inode, syncs_folder };
                Box::into_raw(Box::new(tracked))
            }
            _ => ptr::null_mut(),
        };
        ptr::addr_of_mut!((*file.cast::<File>()).tracked).write(tracked);
        (*file).pMethods = &raw const METHODS;
        SQLITE_OK
    }
}

unsafe extern "C" fn delete(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    sync_folder: c_int,
) -> c_int {
    // SAFETY: names of SQLite's end with a zero byte.
    unsafe {
        let found = watched_at(name);
        let mut locked = found.as_ref().map(|(watched, name)| {
            (watched.lock().unwrap_or_else(PoisonError::into_inner), name.as_str())
        });
        if let Some((watched, _)) = &mut locked
            && watched.fails(FaultKind::Broken)
        {
            return SQLITE_IOERR_DELETE;
        }
        let system = system(vfs);
        let code = (*system).xDelete.expect("every VFS deletes")(system, name, sync_folder);
        if code == SQLITE_OK
            && let Some((watched, name)) = &mut locked
        {
            watched.names.remove(*name);
            watched.record(Op::Remove { name: (*name).to_owned() });
            if sync_folder & 1 != 0 && !watched.lies_about_syncs {
                watched.record(Op::SyncFolder);
            }
        }
        code
    }
}

unsafe extern "C" fn access(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        let system = system(vfs);
        (*system).xAccess.expect("every VFS tells of access")(system, name, flags, out)
    }
}

unsafe extern "C" fn full_pathname(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    len: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        let system = system(vfs);
        (*system).xFullPathname.expect("every VFS knows full names")(system, name, len, out)
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once, and does not use it after.
    unsafe {
        let tracked = (*file.cast::<File>()).tracked;
        if !tracked.is_null() {
            drop(Box::from_raw(tracked));
        }
        let code = methods(file).xClose.expect("every file closes")(inner(file));
        (*file).pMethods = ptr::null();
        code
    }
}

/// The system's methods for one of our files.
///
/// # Safety
/// `file` was opened by [`open`] and not closed.
unsafe fn methods<'a>(file: *mut sqlite3_file) -> &'a sqlite3_io_methods {
    // SAFETY: an open file of the system's has methods, which live for ever.
    unsafe { &*(*inner(file)).pMethods }
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    out: *mut c_void,
    len: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        if tracked(file).is_some_and(|file| file.lock().fails(FaultKind::Broken)) {
            return SQLITE_IOERR_READ;
        }
        methods(file).xRead.expect("every file reads")(inner(file), out, len, offset)
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    bytes: *const c_void,
    len: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite hands in `len` readable bytes.
    unsafe {
        let inner_write =
            |len| methods(file).xWrite.expect("every file writes")(inner(file), bytes, len, offset);
        let Some(tracked) = tracked(file) else { return inner_write(len) };
        let mut watched = tracked.lock();
        let fault = if watched.fails(FaultKind::Full) {
            Some(SQLITE_FULL)
        } else if watched.fails(FaultKind::Broken) {
            Some(SQLITE_IOERR_WRITE)
        } else {
            None
        };
        // A write that fails may have done half of its work.
        let len = if fault.is_some() { len / 2 } else { len };
        let code = if len > 0 { inner_write(len) } else { SQLITE_OK };
        if code == SQLITE_OK {
            let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), len as usize).to_vec();
            watched.record(Op::Write { inode: tracked.inode, offset: offset as u64, bytes });
        }
        fault.unwrap_or(code)
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        let inner_truncate =
            || methods(file).xTruncate.expect("every file can be cut")(inner(file), size);
        let Some(tracked) = tracked(file) else { return inner_truncate() };
        let mut watched = tracked.lock();
        if watched.fails(FaultKind::Broken) {
            return SQLITE_IOERR_TRUNCATE;
        }
        let code = inner_truncate();
        if code == SQLITE_OK {
            watched.record(Op::Truncate { inode: tracked.inode, size: size as u64 });
        }
        code
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        let Some(tracked) = tracked(file) else {
            return methods(file).xSync.expect("every file syncs")(inner(file), flags);
        };
        let syncs_folder = std::mem::take(&mut tracked.syncs_folder);
        let mut watched = tracked.lock();
        if watched.fails(FaultKind::Broken) {
            return SQLITE_IOERR_FSYNC;
        }
        // The disk of the test is the recording; the real one is not waited for.
        if !watched.lies_about_syncs {
            watched.record(Op::Sync { inode: tracked.inode });
            if syncs_folder {
                watched.record(Op::SyncFolder);
            }
        }
        SQLITE_OK
    }
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        if extend != 0 && tracked(file).is_some_and(|file| file.lock().fails(FaultKind::Full)) {
            return SQLITE_IOERR_SHMSIZE;
        }
        let map = methods(file).xShmMap.expect("the system's files share memory");
        map(inner(file), page, size, extend, out)
    }
}

/// Methods that only pass on.
macro_rules! passed_on {
    ($($name:ident = $method:ident($($argument:ident: $type:ty),*) $(-> $answer:ty)?;)*) => {
        $(unsafe extern "C" fn $name(file: *mut sqlite3_file, $($argument: $type),*) $(-> $answer)? {
            // SAFETY: passed on as it came.
            unsafe {
                methods(file).$method.expect("the system's files have it")(
                    inner(file),
                    $($argument),*
                )
            }
        })*
    };
}

passed_on! {
    file_size = xFileSize(size: *mut sqlite3_int64) -> c_int;
    lock = xLock(level: c_int) -> c_int;
    unlock = xUnlock(level: c_int) -> c_int;
    check_reserved_lock = xCheckReservedLock(out: *mut c_int) -> c_int;
    file_control = xFileControl(op: c_int, argument: *mut c_void) -> c_int;
    sector_size = xSectorSize() -> c_int;
    device_characteristics = xDeviceCharacteristics() -> c_int;
    shm_lock = xShmLock(offset: c_int, n: c_int, flags: c_int) -> c_int;
    shm_barrier = xShmBarrier();
    shm_unmap = xShmUnmap(delete_flag: c_int) -> c_int;
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // The second version: memory-mapped reads, the third, would go past this layer.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
