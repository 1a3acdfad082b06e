//! What happened to a launch, line by line, on disk before anyone acts upon it.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Cause, ProcessIdentity};
use crate::error::{Result, RuntimeError};

/// One line of a ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen to a launch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A supervisor took it.
    Supervised {
        /// Which process it is.
        supervisor: ProcessIdentity,
        /// The value of the variable by which every descendant is recognised.
        mark: String,
    },
    /// Something is going on that a person may want to know.
    Note {
        /// In words.
        text: String,
    },
    /// It made this run.
    Run {
        /// The run's id.
        run_id: String,
    },
    /// The child is about to be started.
    Starting {
        /// Its command.
        argv: Vec<String>,
    },
    /// The child is there.
    Started {
        /// Which process it is; the leader of its group.
        child: ProcessIdentity,
    },
    /// Someone wants it to end.
    StopAsked,
    /// The child is gone, with all that it started.
    Exited {
        /// Why.
        cause: Cause,
    },
    /// What belongs to the run is being kept.
    Finishing,
    /// What it printed is kept with its run as well.
    LogKept,
    /// It is over.
    Closed {
        /// The status of the run.
        status: String,
        /// Why.
        cause: Cause,
        /// Whether the tracking server knows; if not, it is told when it answers again.
        is_reported: bool,
    },
    /// The tracking server knows.
    Reported,
}

/// The file `ledger` of a launch: JSON, a line for each [`Entry`].
pub(crate) struct Ledger;

impl Ledger {
    /// Adds a line; when this returns, it is on disk. Lines of several processes do not mix: each
    /// is one write to a file opened for appending.
    pub(crate) fn append(folder: &Path, event: &Event) -> Result<()> {
        let path = folder.join("ledger");
        let entry = Entry { at_ms: crate::now_ms(), event: event.clone() };
        let write = || -> io::Result<()> {
            let mut line = serde_json::to_vec(&entry)?;
            line.push(b'\n');
            let mut file =
                fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
            // A line that a power cut tore stays alone on its line.
            if !ends_with_newline(&path)? {
                line.insert(0, b'\n');
            }
            file.write_all(&line)?;
            file.sync_data()
        };
        write().map_err(RuntimeError::io("writing", &path))
    }

    /// All lines that are whole, oldest first.
    pub(crate) fn read(folder: &Path) -> Result<Vec<Entry>> {
        let path = folder.join("ledger");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            bytes => bytes.map_err(RuntimeError::io("reading", &path))?,
        };
        let lines = bytes.split(|&byte| byte == b'\n');
        Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

fn ends_with_newline(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::open(path)?;
    let len = file.metadata()?.len();
    let mut last = [0];
    Ok(len == 0 || (file.read_at(&mut last, len - 1)? == 1 && last[0] == b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        Ledger::append(folder.path(), &Event::StopAsked).unwrap();
        let path = folder.path().join("ledger");
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(br#"{"at_ms":1,"event":"clo"#).unwrap();
        Ledger::append(folder.path(), &Event::Finishing).unwrap();
        let entries = Ledger::read(folder.path()).unwrap();
        assert!(matches!(
            entries.iter().map(|entry| &entry.event).collect::<Vec<_>>()[..],
            [Event::StopAsked, Event::Finishing]
        ));
    }
}
