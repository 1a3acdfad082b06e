//! What could be on the disk after the power failed.
//!
//! A file system promises only this: what was synced is there. What was written since may be there
//! whole, in part, in another order, or not at all; a disk writes sectors of 512 bytes, so a write
//! may be torn between any two. Names made or removed since the folder was synced may be there or
//! not, in the order in which they were made.

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;

use crate::disk::{Inode, Op, Recording};

/// Bytes that a disk writes as one.
const SECTOR: u64 = 512;

/// Names and contents of the files after a power failure.
pub type Clone = BTreeMap<String, Vec<u8>>;

/// Walks through a recording, and makes clones of the disk at any point of it.
#[derive(Debug)]
pub struct CrashClones<'a> {
    recording: &'a Recording,
    at: usize,
    files: HashMap<Inode, File>,
    /// Names that are safely on the disk.
    names: BTreeMap<String, Inode>,
    /// Changes of names that may be on the disk, in order.
    unsynced_names: Vec<NameChange>,
}

#[derive(Debug, Default)]
struct File {
    /// The content that is safely on the disk.
    synced: Vec<u8>,
    /// What was done since: indices into the recording.
    unsynced: Vec<usize>,
}

#[derive(Debug)]
enum NameChange {
    Create(String, Inode),
    Remove(String),
}

impl<'a> CrashClones<'a> {
    /// Begins before the first recorded operation.
    pub fn new(recording: &'a Recording) -> Self {
        let mut files = HashMap::new();
        let mut names = BTreeMap::new();
        for (name, inode, content) in &recording.before {
            names.insert(name.clone(), *inode);
            files.insert(*inode, File { synced: content.clone(), unsynced: Vec::new() });
        }
        Self { recording, at: 0, files, names, unsynced_names: Vec::new() }
    }

    /// Goes on to the moment after so many operations; never back.
    pub fn advance(&mut self, to: usize) {
        assert!(to >= self.at, "a recording is walked forward");
        for index in self.at..to.min(self.recording.ops.len()) {
            match &self.recording.ops[index] {
                Op::Write { inode, .. } | Op::Truncate { inode, .. } => {
                    self.files.entry(*inode).or_default().unsynced.push(index);
                }
                Op::Sync { inode } => {
                    let file = self.files.entry(*inode).or_default();
                    for index in std::mem::take(&mut file.unsynced) {
                        apply(&self.recording.ops[index], &mut file.synced);
                    }
                }
                Op::Create { name, inode } => {
                    self.unsynced_names.push(NameChange::Create(name.clone(), *inode));
                }
                Op::Remove { name } => {
                    self.unsynced_names.push(NameChange::Remove(name.clone()));
                }
                Op::SyncFolder => {
                    for change in std::mem::take(&mut self.unsynced_names) {
                        rename(&change, &mut self.names);
                    }
                }
            }
        }
        self.at = to;
    }

    /// One of the many states in which the disk may be now.
    pub fn crash(&self, rng: &mut Rng) -> Clone {
        // Everything arrived, nothing did, or anything between: each as likely to go wrong.
        let luck = match rng.u8(..5) {
            0 => 0.0,
            1 => 1.0,
            _ => rng.f64(),
        };
        let mut names = self.names.clone();
        let kept = match rng.u8(..3) {
            0 => 0,
            1 => self.unsynced_names.len(),
            _ => rng.usize(..=self.unsynced_names.len()),
        };
        for change in &self.unsynced_names[..kept] {
            rename(change, &mut names);
        }
        let mut clone = Clone::new();
        for (name, inode) in names {
            let mut content = Vec::new();
            if let Some(file) = self.files.get(&inode) {
                content.clone_from(&file.synced);
                for &index in &file.unsynced {
                    lose_some(&self.recording.ops[index], &mut content, luck, rng);
                }
            }
            clone.insert(name, content);
        }
        clone
    }
}

fn rename(change: &NameChange, names: &mut BTreeMap<String, Inode>) {
    match change {
        NameChange::Create(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
    }
}

fn apply(op: &Op, content: &mut Vec<u8>) {
    match op {
        Op::Write { offset, bytes, .. } => put(content, *offset, bytes),
        Op::Truncate { size, .. } => content.resize(*size as usize, 0),
        _ => {}
    }
}

/// Does the part of an operation that luck lets arrive, sector by sector.
fn lose_some(op: &Op, content: &mut Vec<u8>, luck: f64, rng: &mut Rng) {
    let Op::Write { offset, bytes, .. } = op else {
        if rng.f64() < luck {
            apply(op, content);
        }
        return;
    };
    if rng.bool() {
        // Whole or not at all.
        if rng.f64() < luck {
            apply(op, content);
        }
        return;
    }
    let end = offset + bytes.len() as u64;
    let mut from = *offset;
    while from < end {
        let to = end.min((from / SECTOR + 1) * SECTOR);
        if rng.f64() < luck {
            put(content, from, &bytes[(from - offset) as usize..(to - offset) as usize]);
        }
        from = to;
    }
}

fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (from, to) = (offset as usize, offset as usize + bytes.len());
    if content.len() < to {
        content.resize(to, 0);
    }
    content[from..to].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(inode: Inode, offset: u64, byte: u8, len: usize) -> Op {
        Op::Write { inode, offset, bytes: vec![byte; len] }
    }

    fn recording(ops: Vec<Op>) -> Recording {
        Recording { before: vec![("a".to_owned(), 1, vec![0; 1024])], ops }
    }

    #[test]
    fn what_was_synced_is_in_every_clone() {
        let recording = recording(vec![write(1, 0, 7, 2048), Op::Sync { inode: 1 }]);
        let mut clones = CrashClones::new(&recording);
        clones.advance(2);
        for seed in 0..50 {
            assert_eq!(clones.crash(&mut Rng::with_seed(seed))["a"], vec![7; 2048]);
        }
    }

    #[test]
    fn what_was_not_synced_is_lost_kept_or_torn_between_sectors() {
        let recording = recording(vec![write(1, 0, 7, 1024)]);
        let mut clones = CrashClones::new(&recording);
        clones.advance(1);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let content = &clones.crash(&mut Rng::with_seed(seed))["a"];
            for sector in content.chunks(512) {
                assert!(sector.iter().all(|byte| *byte == sector[0]));
            }
            seen.insert((content[0], content[512]));
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
    }

    #[test]
    fn a_name_is_sure_only_after_its_folder_was_synced() {
        let ops = vec![
            Op::Create { name: "b".to_owned(), inode: 2 },
            write(2, 0, 1, 10),
            Op::Sync { inode: 2 },
            Op::SyncFolder,
            Op::Remove { name: "a".to_owned() },
        ];
        let recording = recording(ops);
        let names = |to: usize| {
            let mut clones = CrashClones::new(&recording);
            clones.advance(to);
            let all = (0..100).map(|seed| clones.crash(&mut Rng::with_seed(seed)));
            all.map(|clone| clone.into_keys().collect::<String>())
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(names(3), ["a", "ab"]);
        assert_eq!(names(4), ["ab"]);
        assert_eq!(names(5), ["ab", "b"]);
    }
}
