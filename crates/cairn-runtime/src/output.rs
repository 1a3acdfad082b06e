//! What a process prints, cut into lines and kept until somebody takes them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Notify;

/// A longer line is handed out in pieces of this size.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// How much text waits at most for a reader that is too slow; about 200,000 usual lines.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// What a line costs beside its text, so that millions of empty lines are bounded too.
const LINE_COST_BYTES: usize = 48;

/// Which of the two streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line that a process printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLine {
    /// Where it was printed.
    pub stream: OutputStream,
    /// Its text without the line end. Bytes that are not UTF-8 are replaced by U+FFFD. A line of
    /// more than 64 KiB comes as several.
    pub text: String,
}

/// What a process's output is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputEvent {
    /// A line. The order within one stream is kept; between the two it is the order of arrival.
    Line(OutputLine),
    /// The reader was more than 16 MiB behind: so many lines were thrown away at this place.
    Skipped {
        /// How many.
        lines: u64,
    },
}

/// The lines that wait for a reader.
///
/// Pushing never waits, so a process is never held up by a slow reader; the price is that lines
/// beyond `MAX_WAITING_BYTES` are dropped and counted. The lock is held for a few instructions only,
/// never across an await.
#[derive(Debug, Default)]
pub(crate) struct OutputQueue {
    state: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<OutputEvent>,
    size_bytes: usize,
    is_closed: bool,
}

impl OutputQueue {
    fn state(&self) -> MutexGuard<'_, Waiting> {
        // A panic cannot happen under the lock; if it did, the queue would still be usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: OutputLine) {
        let mut state = self.state();
        let cost = line.text.len() + LINE_COST_BYTES;
        if state.size_bytes + cost > MAX_WAITING_BYTES {
            if let Some(OutputEvent::Skipped { lines }) = state.events.back_mut() {
                *lines += 1;
            } else {
                state.events.push_back(OutputEvent::Skipped { lines: 1 });
            }
        } else {
            state.size_bytes += cost;
            state.events.push_back(OutputEvent::Line(line));
        }
        drop(state);
        self.changed.notify_one();
    }

    /// No more lines will come; the waiting ones are still handed out.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
    }

    /// The next event, in order; `None` after the last one. For one reader at a time.
    pub(crate) async fn next(&self) -> Option<OutputEvent> {
        loop {
            {
                let mut state = self.state();
                if let Some(event) = state.events.pop_front() {
                    if let OutputEvent::Line(line) = &event {
                        state.size_bytes -= line.text.len() + LINE_COST_BYTES;
                    }
                    return Some(event);
                }
                if state.is_closed {
                    return None;
                }
            }
            // `notify_one` leaves a permit when nobody waits, so nothing is missed in between.
            self.changed.notified().await;
        }
    }
}

/// Reads one stream to its end and queues its lines. A carriage return ends a line as well, so that
/// each state of a progress bar is a line.
pub(crate) async fn pump(
    mut source: impl AsyncRead + Unpin,
    stream: OutputStream,
    queue: &OutputQueue,
) {
    let mut chunk = vec![0; 32 * 1024];
    let mut splitter = LineSplitter::default();
    let mut emit = |bytes: &[u8]| {
        queue.push(OutputLine { stream, text: String::from_utf8_lossy(bytes).into_owned() });
    };
    loop {
        // A read error on a pipe means that it is gone: as good as its end.
        let count = source.read(&mut chunk).await.unwrap_or(0);
        if count == 0 {
            splitter.finish(&mut emit);
            return;
        }
        splitter.feed(&chunk[..count], &mut emit);
    }
}

/// Cuts bytes into lines at `\n`, `\r\n` and `\r`.
#[derive(Debug, Default)]
struct LineSplitter {
    partial: Vec<u8>,
    /// The last byte seen was `\r`: a `\n` right after it belongs to it.
    after_return: bool,
}

impl LineSplitter {
    fn feed(&mut self, mut bytes: &[u8], emit: &mut impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            if self.after_return {
                self.after_return = false;
                if bytes[0] == b'\n' {
                    bytes = &bytes[1..];
                    continue;
                }
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let text = &bytes[..end.unwrap_or(bytes.len())];
            self.extend(text, emit);
            let Some(end) = end else { return };
            emit(&self.partial);
            self.partial.clear();
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
        }
    }

    fn extend(&mut self, text: &[u8], emit: &mut impl FnMut(&[u8])) {
        self.partial.extend_from_slice(text);
        while self.partial.len() > MAX_LINE_BYTES {
            let cut = char_boundary(&self.partial, MAX_LINE_BYTES);
            emit(&self.partial[..cut]);
            self.partial.drain(..cut);
        }
    }

    fn finish(&mut self, emit: &mut impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            emit(&self.partial);
            self.partial.clear();
        }
    }
}

/// The largest cut at or below `limit` that does not split a UTF-8 character.
fn char_boundary(bytes: &[u8], limit: usize) -> usize {
    let is_continuation = |at: usize| bytes[at] & 0b1100_0000 == 0b1000_0000;
    (limit.saturating_sub(3)..=limit).rev().find(|&at| !is_continuation(at)).unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunks: &[&[u8]], expected: &[&str]) {
        let mut lines = Vec::new();
        let mut emit = |bytes: &[u8]| lines.push(String::from_utf8_lossy(bytes).into_owned());
        let mut splitter = LineSplitter::default();
        for chunk in chunks {
            splitter.feed(chunk, &mut emit);
        }
        splitter.finish(&mut emit);
        assert_eq!(lines, expected);
    }

    #[test]
    fn lines_end_at_every_kind_of_line_end() {
        check(&[b"a\nb\r\nc\rd"], &["a", "b", "c", "d"]);
        check(&[b"a\r", b"\nb\n"], &["a", "b"]);
        check(&[b"\n\n"], &["", ""]);
        check(&[b"10%\r20%\r", b"30%\r\ndone\n"], &["10%", "20%", "30%", "done"]);
        check(&[b"half ", b"line"], &["half line"]);
        check(&[], &[]);
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        check(&[b"a\xffb\n"], &["a\u{fffd}b"]);
    }

    #[test]
    fn long_line_is_cut_between_characters() {
        let mut text = "x".repeat(MAX_LINE_BYTES - 1);
        text.push_str("éé");
        let first = "x".repeat(MAX_LINE_BYTES - 1);
        check(&[text.as_bytes()], &[&first, "éé"]);
    }

    #[tokio::test]
    async fn reader_that_is_too_far_behind_is_told_what_it_missed() {
        let queue = OutputQueue::default();
        let text = "y".repeat(MAX_LINE_BYTES);
        let fitting = MAX_WAITING_BYTES / (MAX_LINE_BYTES + LINE_COST_BYTES);
        for _ in 0..fitting + 3 {
            queue.push(OutputLine { stream: OutputStream::Stdout, text: text.clone() });
        }
        queue.close();
        for _ in 0..fitting {
            assert!(matches!(queue.next().await, Some(OutputEvent::Line(_))));
        }
        assert_eq!(queue.next().await, Some(OutputEvent::Skipped { lines: 3 }));
        assert_eq!(queue.next().await, None);
    }
}
