//! Reading a folder that someone else made, without ever leaving it or waiting in it.
//!
//! Everything below the folder that was named is opened relative to its parent's handle and without
//! following links. Only regular files are opened; a pipe, a socket or a device is named, never
//! touched.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _},
    os::{fd::OwnedFd, unix::ffi::OsStringExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cairn_store::imports::FileFacts;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    handle: OwnedFd,
    /// Where it is, for messages.
    pub path: PathBuf,
}

/// What lies in a folder.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its name; may be no UTF-8.
    pub name: OsString,
    /// What it is.
    pub kind: Kind,
    /// Its size and time.
    pub facts: FileFacts,
}

impl Entry {
    /// The name as text; `None` if it is no UTF-8.
    pub fn text(&self) -> Option<&str> {
        self.name.to_str()
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    /// A pipe, a socket or a device.
    Special,
}

/// Why a small file could not be read as text.
#[derive(Debug)]
pub(super) enum TextError {
    NotUtf8,
    TooLarge,
    Io(io::Error),
}

impl Folder {
    /// Opens the folder that a person named; only here links are followed.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let handle = openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { handle, path: path.to_owned() })
    }

    /// Opens a folder in this one.
    pub fn folder(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = name.as_ref();
        let flags = OFlags::RDONLY
            | OFlags::DIRECTORY
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NONBLOCK;
        let handle = openat(&self.handle, name, flags, Mode::empty())?;
        Ok(Self { handle, path: self.path.join(name) })
    }

    /// Opens a folder in this one, if there is one of that name.
    pub fn find(&self, name: &str) -> io::Result<Option<Self>> {
        match self.folder(name) {
            Ok(folder) => Ok(Some(folder)),
            // A file, or a link: no folder that would be looked into.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// All that lies in it, sorted by name. What vanishes meanwhile is left out.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            let entry = entry?;
            let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
            if name == "." || name == ".." {
                continue;
            }
            match statat(&self.handle, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => entries.push(Entry { name, kind: kind(&stat), facts: facts(&stat) }),
                Err(error) if error == rustix::io::Errno::NOENT => {}
                Err(error) => return Err(error.into()),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Whether there is a regular file of that name.
    pub fn has_file(&self, name: &str) -> bool {
        statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| kind(&stat) == Kind::File)
    }

    /// Opens a regular file in it, and says what it is now.
    ///
    /// Errors: `InvalidInput` for anything but a regular file.
    pub fn file(&self, name: impl AsRef<OsStr>) -> io::Result<(File, FileFacts)> {
        let name = name.as_ref();
        // Looked at before it is opened: opening a device can do something.
        let before = statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        if kind(&before) != Kind::File {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let file = openat(&self.handle, name, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        if kind(&stat) != Kind::File {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        Ok((File::from(file), facts(&stat)))
    }

    /// Reads a regular file in it as text.
    pub fn text(&self, name: impl AsRef<OsStr>, max_bytes: u64) -> Result<String, TextError> {
        let (file, facts) = self.file(name).map_err(TextError::Io)?;
        if facts.size_bytes > max_bytes {
            return Err(TextError::TooLarge);
        }
        let mut bytes = Vec::with_capacity(facts.size_bytes as usize);
        file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(TextError::Io)?;
        if bytes.len() as u64 > max_bytes {
            return Err(TextError::TooLarge);
        }
        String::from_utf8(bytes).map_err(|_| TextError::NotUtf8)
    }
}

fn kind(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        _ => Kind::Special,
    }
}

fn facts(stat: &Stat) -> FileFacts {
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
    let modified = match u64::try_from(stat.st_mtime) {
        Ok(secs) => UNIX_EPOCH + Duration::new(secs, nanos),
        Err(_) => UNIX_EPOCH - Duration::from_secs(stat.st_mtime.unsigned_abs()),
    };
    FileFacts { size_bytes: u64::try_from(stat.st_size).unwrap_or_default(), modified }
}

/// A number that changes when one of the files that were added changes: names, sizes and times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    /// Nothing added yet.
    pub fn new() -> Self {
        // FNV-1a, because the number is kept between versions of this program.
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Adds a file.
    pub fn add_file(&mut self, path: &str, facts: FileFacts) {
        self.add(path.as_bytes());
        self.add(&[0]);
        self.add(&facts.size_bytes.to_le_bytes());
        let since: SystemTime = facts.modified;
        let nanos = since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        self.add(&nanos.to_le_bytes());
    }

    /// The number; never 0, which means that something is to be looked at again.
    pub fn finish(self) -> u64 {
        self.0.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_pipes_are_named_and_never_opened() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "text").unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink(".", dir.path().join("loop")).unwrap();
        rustix::fs::mknodat(CWD, dir.path().join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let kinds: Vec<_> = folder
            .entries()
            .unwrap()
            .into_iter()
            .map(|entry| (entry.name.into_string().unwrap(), entry.kind))
            .collect();
        let expected = [
            ("file", Kind::File),
            ("folder", Kind::Folder),
            ("link", Kind::Link),
            ("loop", Kind::Link),
            ("pipe", Kind::Special),
        ];
        assert_eq!(kinds, expected.map(|(name, kind)| (name.to_owned(), kind)));
        for name in ["link", "pipe", "folder", "missing"] {
            assert!(folder.file(name).is_err(), "{name}");
        }
        assert!(folder.folder("loop").is_err());
        assert!(folder.find("loop").unwrap().is_none());
        assert_eq!(folder.text("file", 4).unwrap(), "text");
        assert!(matches!(folder.text("file", 3), Err(TextError::TooLarge)));
    }

    #[test]
    fn a_fingerprint_changes_with_size_time_and_name() {
        let facts = FileFacts { size_bytes: 1, modified: UNIX_EPOCH };
        let of = |path: &str, facts| {
            let mut print = Fingerprint::new();
            print.add_file(path, facts);
            print.finish()
        };
        let first = of("a", facts);
        assert_eq!(first, of("a", facts));
        assert_ne!(first, of("b", facts));
        assert_ne!(first, of("a", FileFacts { size_bytes: 2, ..facts }));
        let later = UNIX_EPOCH + Duration::from_nanos(1);
        assert_ne!(first, of("a", FileFacts { modified: later, ..facts }));
    }
}
