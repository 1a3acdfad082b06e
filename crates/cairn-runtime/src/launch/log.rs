//! What a launch printed: both streams as they came, the first and the last part kept.
//!
//! The folder `log/` holds `head`, which is never touched again once it is full, and after that
//! `tail-<where it begins>`, a row of files of which the oldest are deleted. Every place in the log
//! has a number, the count of bytes before it, which stays the same whatever is deleted.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::make_folder;
use crate::error::{Result, RuntimeError};

/// How often someone who follows looks for more.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The one who writes a log; the supervisor.
#[derive(Debug)]
pub(crate) struct LogWriter {
    folder: PathBuf,
    head: File,
    head_room: u64,
    tail: Vec<Part>,
    tail_file: Option<File>,
    part_cap: u64,
    parts_cap: usize,
    len: u64,
}

/// A piece of the log in a file of its own.
#[derive(Debug, Clone)]
struct Part {
    path: PathBuf,
    start: u64,
    len: u64,
}

impl LogWriter {
    /// Begins the log of a launch, or goes on with it. At most `cap_bytes` are kept, of which a half
    /// are the first and at least three eighths the last.
    pub(crate) fn open(launch_folder: &Path, cap_bytes: u64) -> Result<Self> {
        let folder = launch_folder.join("log");
        make_folder(&folder)?;
        let path = folder.join("head");
        let head = open_to_append(&path).map_err(RuntimeError::io("writing", &path))?;
        let cap = cap_bytes.max(1024);
        let log = LaunchLog { folder: folder.clone() };
        let parts = log.parts();
        let (head_len, tail) = match parts.split_first() {
            Some((head, tail)) => (head.len, tail.to_vec()),
            None => (0, Vec::new()),
        };
        let len = tail.last().map_or(head_len, |part| part.start + part.len);
        Ok(Self {
            folder,
            head,
            head_room: (cap / 2).saturating_sub(head_len),
            tail,
            tail_file: None,
            part_cap: cap / 16,
            parts_cap: 8,
            len,
        })
    }

    /// Adds bytes at the end. Errors: the disk is full; what did not fit is lost.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = if self.tail.is_empty() && self.head_room > 0 {
                let fitting = bytes.len().min(self.head_room as usize);
                let written = self.head.write(&bytes[..fitting])?;
                self.head_room -= written as u64;
                written
            } else {
                self.write_to_tail(bytes)?
            };
            self.len += written as u64;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    fn write_to_tail(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_full = self.tail.last().is_none_or(|part| part.len >= self.part_cap);
        if is_full || self.tail_file.is_none() {
            let path = self.folder.join(format!("tail-{:016x}", self.len));
            self.tail_file = Some(open_to_append(&path)?);
            self.tail.push(Part { path, start: self.len, len: 0 });
            while self.tail.len() > self.parts_cap {
                let oldest = self.tail.remove(0);
                let _ = fs::remove_file(oldest.path);
            }
        }
        let (Some(part), Some(file)) = (self.tail.last_mut(), &mut self.tail_file) else {
            return Ok(0);
        };
        let fitting = bytes.len().min((self.part_cap - part.len) as usize);
        let written = file.write(&bytes[..fitting])?;
        part.len += written as u64;
        Ok(written)
    }
}

fn open_to_append(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The log of a launch, to read.
#[derive(Debug, Clone)]
pub struct LaunchLog {
    folder: PathBuf,
}

/// Some of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPiece {
    /// How many bytes before it were thrown away: there was more output than is kept.
    pub skipped_bytes: u64,
    /// What was printed: any bytes, and a line or a character may go on in the next piece.
    pub bytes: Vec<u8>,
    /// Where to read on.
    pub next_offset: u64,
}

impl LaunchLog {
    pub(crate) fn open(launch_folder: &Path) -> Self {
        Self { folder: launch_folder.join("log") }
    }

    /// How many bytes were printed so far, with those that were thrown away.
    pub fn len(&self) -> u64 {
        self.parts().last().map_or(0, |part| part.start + part.len)
    }

    /// Whether nothing was printed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads at most `max` bytes from a place on; none at the end of what there is so far.
    pub fn read(&self, offset: u64, max: usize) -> Result<LogPiece> {
        // The file that was to be read may be deleted in between; then a later one has its turn.
        for _ in 0..16 {
            match self.try_read(offset, max) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                read => return read.map_err(RuntimeError::io("reading", &self.folder)),
            }
        }
        Ok(LogPiece { next_offset: offset, ..LogPiece::default() })
    }

    fn try_read(&self, offset: u64, max: usize) -> io::Result<LogPiece> {
        let mut piece = LogPiece { next_offset: offset, ..LogPiece::default() };
        for part in self.parts() {
            if part.start + part.len <= piece.next_offset {
                continue;
            }
            if part.start > piece.next_offset {
                if !piece.bytes.is_empty() {
                    break;
                }
                piece.skipped_bytes = part.start - piece.next_offset;
                piece.next_offset = part.start;
            }
            let room = max.saturating_sub(piece.bytes.len()) as u64;
            if room == 0 {
                break;
            }
            let mut file = File::open(&part.path)?;
            file.seek(SeekFrom::Start(piece.next_offset - part.start))?;
            // Not beyond what was counted: the rest may be the beginning of a longer write.
            let left = part.start + part.len - piece.next_offset;
            let read = file.take(room.min(left)).read_to_end(&mut piece.bytes)?;
            piece.next_offset += read as u64;
        }
        Ok(piece)
    }

    /// Hands out everything from a place on as it comes, until `is_over` answers true and all was
    /// handed out, or `piece` answers false. Answers where it ended.
    pub fn follow(
        &self,
        mut offset: u64,
        is_over: &dyn Fn() -> bool,
        piece: &mut dyn FnMut(&LogPiece) -> bool,
    ) -> Result<u64> {
        loop {
            // Asked first: what was printed before the end is read after it.
            let is_last = is_over();
            loop {
                let read = self.read(offset, 256 * 1024)?;
                if read.next_offset == offset {
                    break;
                }
                offset = read.next_offset;
                if !piece(&read) {
                    return Ok(offset);
                }
            }
            if is_last {
                return Ok(offset);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Writes all that is kept, with a line where something was thrown away.
    pub fn copy_to(&self, target: &mut dyn Write) -> Result<()> {
        let mut offset = 0;
        loop {
            let piece = self.read(offset, 256 * 1024)?;
            if piece.next_offset == offset {
                return Ok(());
            }
            offset = piece.next_offset;
            let write = |target: &mut dyn Write| -> io::Result<()> {
                if piece.skipped_bytes > 0 {
                    writeln!(
                        target,
                        "\n[Cairn left out {} bytes here: the log has a limit.]",
                        piece.skipped_bytes
                    )?;
                }
                target.write_all(&piece.bytes)
            };
            write(target).map_err(RuntimeError::io("copying", &self.folder))?;
        }
    }

    /// The files, in order; the first is always the head.
    fn parts(&self) -> Vec<Part> {
        let head = self.folder.join("head");
        let len = fs::metadata(&head).map_or(0, |data| data.len());
        let mut parts = vec![Part { path: head, start: 0, len }];
        let tail = fs::read_dir(&self.folder).into_iter().flatten().flatten().filter_map(|entry| {
            let name = entry.file_name();
            let start = u64::from_str_radix(name.to_str()?.strip_prefix("tail-")?, 16).ok()?;
            Some(Part { path: entry.path(), start, len: entry.metadata().ok()?.len() })
        });
        parts.extend(tail);
        parts[1..].sort_unstable_by_key(|part| part.start);
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(from: u64, to: u64) -> Vec<u8> {
        (from..to).map(|at| (at % 251) as u8).collect()
    }

    fn all(log: &LaunchLog, max: usize) -> (Vec<u8>, Vec<(u64, u64)>) {
        let (mut bytes, mut gaps, mut offset) = (Vec::new(), Vec::new(), 0);
        loop {
            let piece = log.read(offset, max).unwrap();
            if piece.next_offset == offset {
                return (bytes, gaps);
            }
            if piece.skipped_bytes > 0 {
                gaps.push((offset, piece.skipped_bytes));
            }
            offset = piece.next_offset;
            bytes.extend(piece.bytes);
        }
    }

    #[test]
    fn a_log_below_its_cap_is_kept_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(folder.path(), 16 * 1024).unwrap();
        let log = LaunchLog::open(folder.path());
        assert!(log.is_empty());
        for (from, to) in [(0, 1), (1, 5000), (5000, 5000), (5000, 14_000)] {
            writer.write(&numbered(from, to)).unwrap();
            assert_eq!(log.len(), to);
        }
        for max in [1, 7, 4096, 1 << 20] {
            assert_eq!(all(&log, max), (numbered(0, 14_000), vec![]), "max {max}");
        }
    }

    #[test]
    fn first_and_last_parts_are_exact_and_the_gap_is_told() {
        const CAP: u64 = 16 * 1024;
        const LEN: u64 = 1_000_000;
        let folder = tempfile::tempdir().unwrap();
        let mut at = 0;
        let mut sizes = [1_u64, 100, 4096, 33, 10_000, 50_000].into_iter().cycle();
        while at < LEN {
            // Opened anew each time: nothing depends on what is in memory.
            let mut writer = LogWriter::open(folder.path(), CAP).unwrap();
            for _ in 0..3 {
                let to = (at + sizes.next().unwrap()).min(LEN);
                writer.write(&numbered(at, to)).unwrap();
                at = to;
            }
            let kept: u64 = fs::read_dir(folder.path().join("log"))
                .unwrap()
                .map(|e| e.unwrap().metadata().unwrap().len())
                .sum();
            assert!(kept <= CAP, "{kept} bytes are kept");
        }
        let log = LaunchLog::open(folder.path());
        assert_eq!(log.len(), LEN);
        let (bytes, gaps) = all(&log, 1000);
        let [(begin, skipped)] = gaps[..] else { panic!("{gaps:?}") };
        assert_eq!(begin, CAP / 2);
        let mut expected = numbered(0, begin);
        expected.extend(numbered(begin + skipped, LEN));
        assert_eq!(bytes, expected);
        let mut copied = Vec::new();
        log.copy_to(&mut copied).unwrap();
        let told = format!("\n[Cairn left out {skipped} bytes here: the log has a limit.]\n");
        assert!(copied.windows(told.len()).any(|window| window == told.as_bytes()));
        assert_eq!(copied.len(), bytes.len() + told.len());
    }

    #[test]
    fn who_follows_gets_everything_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let over = is_over.clone();
        let writing = std::thread::spawn(move || {
            let mut writer = LogWriter::open(&path, 1 << 20).unwrap();
            for at in 0..50 {
                writer.write(&numbered(at * 1000, at * 1000 + 1000)).unwrap();
            }
            over.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let mut seen = Vec::new();
        let end = LaunchLog::open(folder.path())
            .follow(0, &|| is_over.load(std::sync::atomic::Ordering::SeqCst), &mut |piece| {
                seen.extend_from_slice(&piece.bytes);
                true
            })
            .unwrap();
        writing.join().unwrap();
        assert_eq!((end, seen), (50_000, numbered(0, 50_000)));
    }
}
