//! Lines of a log, found once and remembered: any of them can be asked for by its number.

use std::{
    io::{self, Read, Seek as _, SeekFrom},
    sync::{Arc, Mutex},
};

use cairn_runtime::launch::LaunchLog;

use super::dto::{LogFound, LogLines, LogRef};

/// Bytes of a line at most; longer ones are broken, so that no answer grows without end.
const LINE_BYTES: u64 = 4096;
/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;
/// Lines in one answer at most.
const MOST_LINES: u64 = 500;
/// Numbers of found lines in one answer at most.
const MOST_FOUND: usize = 5_000;
/// Logs whose lines are remembered.
const REMEMBERED: usize = 8;

/// Where a log's bytes are. Places are counted from its beginning, with what was not kept.
pub(crate) enum Source {
    /// Of a launch; `cap` is how many bytes of it are kept.
    Launch { log: LaunchLog, cap: u64 },
    /// A file among the run's artifacts.
    File(std::fs::File),
}

impl Source {
    /// Reads from a place on: bytes that are gone before the piece, the piece, and where it ends.
    fn read(&mut self, offset: u64, max: usize) -> io::Result<(u64, Vec<u8>, u64)> {
        match self {
            Self::Launch { log, .. } => {
                let piece = log.read(offset, max).map_err(io::Error::other)?;
                Ok((piece.skipped_bytes, piece.bytes, piece.next_offset))
            }
            Self::File(file) => {
                file.seek(SeekFrom::Start(offset))?;
                let mut bytes = Vec::new();
                let read = Read::by_ref(file).take(max as u64).read_to_end(&mut bytes)?;
                Ok((0, bytes, offset + read as u64))
            }
        }
    }

    /// The range that was thrown away so far; empty if none was.
    fn gap(&mut self) -> io::Result<std::ops::Range<u64>> {
        let Self::Launch { log, cap } = self else { return Ok(0..0) };
        let begin = (*cap).max(1024) / 2;
        let piece = log.read(begin, 1).map_err(io::Error::other)?;
        Ok(begin..begin + piece.skipped_bytes)
    }
}

/// The lines of one log.
#[derive(Default)]
pub(crate) struct Lines {
    /// Where each line begins, in order.
    starts: Vec<u64>,
    /// Everything before this place was looked at.
    end: u64,
    /// Whether the last line may still grow.
    is_last_open: bool,
    /// What was thrown away, and the line that stands in its place.
    gap: Option<(std::ops::Range<u64>, usize)>,
}

impl Lines {
    /// Looks at what came since the last time.
    pub(crate) fn update(&mut self, source: &mut Source) -> io::Result<()> {
        let gap = source.gap()?;
        if !gap.is_empty() && self.gap.as_ref().is_none_or(|(known, _)| *known != gap) {
            self.throw_away(gap);
        }
        loop {
            let (skipped, bytes, next) = source.read(self.end, CHUNK)?;
            if skipped > 0 {
                let gap = self.end..self.end + skipped;
                self.throw_away(gap);
            }
            if next <= self.end && bytes.is_empty() {
                return Ok(());
            }
            self.take(next - bytes.len() as u64, &bytes);
            self.end = next;
        }
    }

    fn take(&mut self, from: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if !self.is_last_open {
            self.starts.push(from);
            self.is_last_open = true;
        }
        let mut begin = self.starts.last().copied().unwrap_or(from);
        for (place, byte) in bytes.iter().enumerate() {
            let here = from + place as u64;
            // A character is at most four bytes: it is not cut in two.
            let is_begin = byte & 0xc0 != 0x80;
            if here - begin >= LINE_BYTES && is_begin {
                self.starts.push(here);
                begin = here;
            }
            if *byte == b'\n' {
                if place + 1 < bytes.len() {
                    begin = here + 1;
                    self.starts.push(begin);
                } else {
                    self.is_last_open = false;
                }
            }
        }
    }

    /// Forgets lines that begin in what was thrown away; one line stands for them.
    fn throw_away(&mut self, gap: std::ops::Range<u64>) {
        if let Some((known, line)) = self.gap.take()
            && self.starts.get(line) == Some(&known.start)
        {
            self.starts.remove(line);
        }
        let first = self.starts.partition_point(|start| *start < gap.start);
        let last = self.starts.partition_point(|start| *start < gap.end);
        self.starts.drain(first..last);
        self.starts.insert(first, gap.start);
        // What follows the gap begins in the middle of a line: that is a line of its own.
        if self.end > gap.end && self.starts.get(first + 1) != Some(&gap.end) {
            self.starts.insert(first + 1, gap.end);
        }
        if self.end <= gap.end {
            self.end = gap.end;
            self.is_last_open = false;
        }
        self.gap = Some((gap, first));
    }

    fn total(&self) -> u64 {
        self.starts.len() as u64
    }

    /// The bytes of lines, as they are.
    fn bytes_of(&self, source: &mut Source, first: usize, end: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut lines = Vec::with_capacity(end - first);
        let mut at = first;
        while at < end {
            if self.is_gap(at) {
                lines.push(Vec::new());
                at += 1;
                continue;
            }
            // As many as lie together.
            let mut until = at;
            while until < end
                && !self.is_gap(until)
                && self.begin(until) - self.begin(at) < CHUNK as u64
            {
                until += 1;
            }
            let from = self.begin(at);
            let (skipped, bytes, _) = source.read(from, (self.begin(until) - from) as usize)?;
            for line in at..until {
                let place = |start: u64| (start - from).saturating_sub(skipped) as usize;
                let range = place(self.begin(line))..place(self.begin(line + 1)).min(bytes.len());
                lines.push(bytes.get(range).unwrap_or_default().to_vec());
            }
            at = until;
        }
        Ok(lines)
    }

    fn is_gap(&self, line: usize) -> bool {
        self.gap.as_ref().is_some_and(|(_, gap)| *gap == line)
    }

    /// Where a line begins; the one after the last begins at the end.
    fn begin(&self, line: usize) -> u64 {
        self.starts.get(line).copied().unwrap_or(self.end)
    }

    /// Lines from a number on.
    pub(crate) fn read(
        &self,
        source: &mut Source,
        first: u64,
        count: u64,
        is_open: bool,
    ) -> io::Result<LogLines> {
        let first = first.min(self.total());
        let end = (first + count.min(MOST_LINES)).min(self.total());
        let lines = self.bytes_of(source, first as usize, end as usize)?;
        Ok(LogLines {
            total: self.total(),
            first,
            lines: lines.iter().map(|bytes| text_of(bytes)).collect(),
            bytes: self.end,
            skipped_bytes: self.gap.as_ref().map_or(0, |(gap, _)| gap.end - gap.start),
            gap_line: self.gap.as_ref().map(|(_, line)| *line as u64),
            is_open,
        })
    }

    /// The numbers of lines that hold a text, in any case, or that look like errors.
    pub(crate) fn find(&self, source: &mut Source, text: Option<&str>) -> io::Result<LogFound> {
        let wanted = text.map(str::to_lowercase);
        let mut found = LogFound { lines: Vec::new(), total: 0 };
        let mut at = 0;
        while at < self.starts.len() {
            let end = (at + 4096).min(self.starts.len());
            for (place, bytes) in self.bytes_of(source, at, end)?.iter().enumerate() {
                let line = without_escapes(&text_of(bytes));
                let is_found = match &wanted {
                    Some(wanted) => line.to_lowercase().contains(wanted.as_str()),
                    None => is_error(&line),
                };
                if is_found {
                    found.total += 1;
                    if found.lines.len() < MOST_FOUND {
                        found.lines.push((at + place) as u64);
                    }
                }
            }
            at = end;
        }
        Ok(found)
    }
}

/// A line as it stands on a terminal in the end: what a carriage return wrote over is gone.
fn text_of(bytes: &[u8]) -> String {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let last = line.rsplit(|byte| *byte == b'\r').find(|part| !part.is_empty()).unwrap_or(line);
    String::from_utf8_lossy(last).into_owned()
}

/// Leaves terminal escapes out.
fn without_escapes(line: &str) -> String {
    if !line.contains('\u{1b}') {
        return line.to_owned();
    }
    let mut text = String::with_capacity(line.len());
    let mut signs = line.chars();
    while let Some(sign) = signs.next() {
        if sign != '\u{1b}' {
            text.push(sign);
            continue;
        }
        match signs.next() {
            Some('[') => {
                signs.by_ref().find(|sign| ('@'..='~').contains(sign));
            }
            Some(']') => {
                signs.by_ref().find(|sign| *sign == '\u{7}' || *sign == '\\');
            }
            _ => {}
        }
    }
    text
}

/// Whether a line says that something failed, as Python and common tools say it.
fn is_error(line: &str) -> bool {
    let line = line.trim_start();
    if line.starts_with("Traceback (most recent call last)") {
        return true;
    }
    // `ValueError: …`, `numpy.linalg.LinAlgError: …`
    let word = line.split([':', ' ']).next().unwrap_or_default();
    let is_name = word.chars().all(|sign| sign.is_alphanumeric() || matches!(sign, '.' | '_'));
    let is_python = is_name && (word.ends_with("Error") || word.ends_with("Exception"));
    if is_python && line[word.len()..].starts_with(':') {
        return true;
    }
    let low = line.to_lowercase();
    low.starts_with("error:")
        || low.starts_with("error[")
        || low.starts_with("fatal:")
        || low.starts_with("fatal error")
        || ["ERROR", "CRITICAL", "FATAL"].iter().any(|level| {
            line.split(|sign: char| !sign.is_alphanumeric()).take(12).any(|word| word == *level)
        })
}

/// Lines of the logs that were looked at last.
#[derive(Default)]
pub(crate) struct LogIndexes(Mutex<Vec<(LogRef, Arc<Mutex<Lines>>)>>);

impl LogIndexes {
    /// The lines of a log, known or not yet.
    pub(crate) fn of(&self, log: &LogRef) -> Arc<Mutex<Lines>> {
        let mut known = self.0.lock().expect("no holder of this lock panics");
        let place = known.iter().position(|(of, _)| of == log);
        let entry = match place {
            Some(place) => known.remove(place),
            None => (log.clone(), Arc::default()),
        };
        let lines = entry.1.clone();
        known.push(entry);
        if known.len() > REMEMBERED {
            known.remove(0);
        }
        lines
    }

    /// Forgets all: another store is open.
    pub(crate) fn clear(&self) {
        self.0.lock().expect("no holder of this lock panics").clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn lines_of(text: &[u8]) -> (Lines, Source) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let mut source = Source::File(file);
        let mut lines = Lines::default();
        lines.update(&mut source).unwrap();
        (lines, source)
    }

    fn check(text: &[u8], expected: &[&str]) {
        let (lines, mut source) = lines_of(text);
        let read = lines.read(&mut source, 0, 500, false).unwrap();
        assert_eq!(read.lines, expected, "{}", String::from_utf8_lossy(text));
        assert_eq!(read.total, expected.len() as u64);
    }

    #[test]
    fn lines_are_what_a_terminal_shows() {
        check(b"", &[]);
        check(b"a\nb\n", &["a", "b"]);
        check(b"a\r\nb", &["a", "b"]);
        check(b"\n\nx\n", &["", "", "x"]);
        check(b"10 %\r50 %\r100 %\ndone\n", &["100 %", "done"]);
        check(b"50 %\r", &["50 %"]);
        check(b"\xff\xfe\n", &["\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn a_line_without_end_is_broken_but_no_character_is() {
        let text = "é".repeat(10_000);
        let (lines, mut source) = lines_of(text.as_bytes());
        let read = lines.read(&mut source, 0, 500, false).unwrap();
        assert_eq!(read.lines.concat(), text);
        assert!(read.lines.len() > 1 && read.lines.iter().all(|line| line.len() < 4200));
    }

    #[test]
    fn what_comes_later_goes_on_with_the_open_line() {
        let mut file = tempfile::tempfile().unwrap();
        let mut source = Source::File(file.try_clone().unwrap());
        let mut lines = Lines::default();
        for part in ["a", "b\nc", "\n", "d\n", "e"] {
            file.seek(SeekFrom::End(0)).unwrap();
            file.write_all(part.as_bytes()).unwrap();
            lines.update(&mut source).unwrap();
        }
        assert_eq!(lines.read(&mut source, 0, 9, true).unwrap().lines, ["ab", "c", "d", "e"]);
        assert_eq!(lines.read(&mut source, 2, 1, true).unwrap().lines, ["d"]);
        assert_eq!(lines.read(&mut source, 9, 1, true).unwrap().lines, [""; 0]);
    }

    #[test]
    fn lines_that_were_thrown_away_become_one() {
        let (mut lines, _) = lines_of(b"0\n2\n4\n6\n8\n");
        lines.throw_away(2..5);
        assert_eq!(
            (lines.starts.clone(), lines.gap.clone()),
            (vec![0, 2, 5, 6, 8], Some((2..5, 1)))
        );
        lines.throw_away(2..8);
        assert_eq!((lines.starts.clone(), lines.gap.clone()), (vec![0, 2, 8], Some((2..8, 1))));
        lines.throw_away(2..20);
        assert_eq!((lines.starts, lines.end), (vec![0, 2], 20));
    }

    #[test]
    fn a_search_looks_through_colours_and_in_any_case() {
        let (lines, mut source) = lines_of(b"one\n\x1b[31mVal\x1b[0mue\ntwo value\n");
        let found = lines.find(&mut source, Some("VALUE")).unwrap();
        assert_eq!((found.lines, found.total), (vec![1, 2], 2));
    }

    #[test]
    fn errors_are_known_by_how_they_are_said() {
        for line in [
            "Traceback (most recent call last):",
            "ValueError: no",
            "numpy.linalg.LinAlgError: singular",
            "error: no such file",
            "2026-11-21 20:00:01 ERROR train: failed",
            "\x1b[31mCRITICAL\x1b[0m x",
        ] {
            assert!(is_error(&without_escapes(line)), "{line}");
        }
        for line in ["mean error 0.3", "RMSError 0.2", "no errors", "Errors: 0", "loss 1"] {
            assert!(!is_error(line), "{line}");
        }
    }
}
