//! What is known about a run and its children, as far as a report needs it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use sha2::{Digest as _, Sha256};

use super::RunLabel;
use crate::capture::{Capture, hex};

/// An artifact up to this size is looked into when it differs.
const MAX_LOOK_BYTES: u64 = 16 << 20;
/// Text up to this size is compared word by word.
const MAX_TEXT_BYTES: usize = 4 << 20;

/// A value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// MLflow's step.
    pub step: i64,
    /// The value, NaN and infinities included.
    pub value: f64,
}

/// What is known of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactFact {
    /// Its size.
    pub size_bytes: u64,
    /// SHA-256 in hexadecimal digits; `None` when it was too large to read.
    pub digest: Option<String>,
    /// What was kept to explain a difference.
    pub content: Content,
}

/// What was kept of an artifact's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// UTF-8 text that is not too large.
    Text(String),
    /// A zip archive (`.npz`, `.keras`, `.pt`): its members, in order.
    Zip(Vec<ZipMember>),
    /// SHA-256 of a gzip file without the time in its header.
    Gzip(String),
    /// Anything else.
    Opaque,
}

/// A member of a zip archive; its time is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipMember {
    /// Its name.
    pub name: String,
    /// CRC-32 of its content.
    pub crc: u32,
    /// Bytes of its content.
    pub size: u64,
}

/// A data file that was a parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataFact {
    /// Where it was.
    pub path: String,
    /// SHA-256; `None` when it was not read.
    pub digest: Option<String>,
    /// Its size.
    pub size_bytes: Option<u64>,
}

/// The record of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFacts {
    /// Its name, id, status, times.
    pub label: RunLabel,
    /// The entry point, else the script's name, else `run`.
    pub entry_point: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its parameters.
    pub params: BTreeMap<String, String>,
    /// By name, ordered by step, then time, then arrival.
    pub metrics: BTreeMap<String, Vec<Point>>,
    /// By path.
    pub artifacts: BTreeMap<String, ArtifactFact>,
    /// `cairn/environment.lock.txt`.
    pub lock: Option<String>,
    /// The interpreter's version.
    pub python: Option<String>,
    /// System, machine, processor, graphics cards, by name.
    pub platform: BTreeMap<String, String>,
    /// By parameter.
    pub data: BTreeMap<String, DataFact>,
    /// Names of parameters that the capture takes for seeds.
    pub seeds: BTreeSet<String>,
    /// How it was started, where Cairn started it.
    pub capture: Option<Capture>,
    /// Why it ended, where Cairn noted it.
    pub end_cause: Option<String>,
    /// What could not be read, one sentence each.
    pub notes: Vec<String>,
    /// In order of start.
    pub children: Vec<RunFacts>,
}

impl RunFacts {
    /// What the run did, in one word: pairs of children are found by it.
    pub fn what(&self) -> &str {
        self.entry_point.as_deref().unwrap_or("run")
    }
}

/// Reads a file once: its digest, and what may explain a difference.
pub(super) fn look(mut from: impl Read) -> io::Result<ArtifactFact> {
    let mut digest = Sha256::new();
    let mut kept = Vec::new();
    let mut size_bytes = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        digest.update(&buffer[..n]);
        size_bytes += n as u64;
        if size_bytes <= MAX_LOOK_BYTES {
            kept.extend_from_slice(&buffer[..n]);
        }
    }
    let content = if size_bytes <= MAX_LOOK_BYTES { content(kept) } else { Content::Opaque };
    Ok(ArtifactFact { size_bytes, digest: Some(hex(&digest.finalize())), content })
}

fn content(bytes: Vec<u8>) -> Content {
    if bytes.starts_with(b"PK\x03\x04") {
        return zip_members(&bytes).map_or(Content::Opaque, Content::Zip);
    }
    // Bytes 4 to 8 of a gzip file are the time of its making.
    if bytes.starts_with(&[0x1f, 0x8b]) && bytes.len() > 10 {
        let mut digest = Sha256::new();
        digest.update(&bytes[..4]);
        digest.update(&bytes[8..]);
        return Content::Gzip(hex(&digest.finalize()));
    }
    if bytes.len() > MAX_TEXT_BYTES || bytes.contains(&0) {
        return Content::Opaque;
    }
    String::from_utf8(bytes).map_or(Content::Opaque, Content::Text)
}

/// The members by the central directory of a zip archive; `None` when it is not a plain one.
fn zip_members(bytes: &[u8]) -> Option<Vec<ZipMember>> {
    let short = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let end = (0..=bytes.len().checked_sub(22)?)
        .rev()
        .take(1 << 16)
        .find(|at| bytes[*at..].starts_with(b"PK\x05\x06"))?;
    let count = short(end + 10)?;
    let mut at = long(end + 16)? as usize;
    let mut members = Vec::new();
    for _ in 0..count {
        if !bytes.get(at..)?.starts_with(b"PK\x01\x02") {
            return None;
        }
        let name_length = usize::from(short(at + 28)?);
        let name = bytes.get(at + 46..at + 46 + name_length)?;
        members.push(ZipMember {
            name: String::from_utf8_lossy(name).into_owned(),
            crc: long(at + 16)?,
            size: u64::from(long(at + 24)?),
        });
        at += 46 + name_length + usize::from(short(at + 30)?) + usize::from(short(at + 32)?);
    }
    Some(members)
}
