//! Files of runs: what was answered is on the disk with all the names that lead to it, and a disk
//! that fails refuses one upload whole.
//!
//! The artifact tree is watched, and made to fail, from outside: a process of its own uploads under
//! strace.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cairn_core::ArtifactPath;
use cairn_store::Store;

use crate::{Journal, make_store, open};

/// Tells the child where to upload, and how.
const FOLDER: &str = "CAIRN_TEST_UPLOAD_FOLDER";
const HOW: &str = "CAIRN_TEST_UPLOAD_HOW";
/// Files that a child uploads.
const UPLOADS: usize = 6;
/// Writes that a child makes before the first upload. The test harness makes fewer on its own
/// threads, so a fault at a later one is met by an upload.
const WRITES_BEFORE: usize = 8;
const TRACED: &str = "trace=openat,openat2,mkdir,mkdirat,write,pwrite64,fsync,fdatasync,rename,\
                      renameat,renameat2";

#[test]
fn an_answered_file_is_on_the_disk_with_every_name_that_leads_to_it() {
    let Some((log, dir)) = traced("store") else { return };
    let (answers, faults) = judge(&log, dir.path());
    assert_eq!(faults, [] as [String; 0]);
    assert_eq!(answers, UPLOADS);
}

#[test]
fn uploads_that_sync_too_little_are_caught() {
    for how in ["no file sync", "no folder sync"] {
        let Some((log, dir)) = traced(how) else { return };
        let (answers, faults) = judge(&log, dir.path());
        assert_eq!(answers, UPLOADS);
        assert!(faults.len() >= UPLOADS, "{how}: {faults:?}");
    }
}

#[test]
fn a_failing_call_refuses_one_upload_whole() {
    if !has_strace() {
        return;
    }
    let faults = [
        ("write", "ENOSPC", WRITES_BEFORE),
        ("write", "EIO", WRITES_BEFORE),
        ("write", "EINTR", WRITES_BEFORE),
        ("fsync", "EIO", 0),
        ("fsync", "ENOSPC", 0),
        ("openat2", "EMFILE", 0),
        ("mkdirat", "ENOSPC", 0),
        ("renameat,renameat2", "ENOSPC", 0),
        ("renameat,renameat2", "EIO", 0),
    ];
    let mut refused = HashMap::new();
    for (call, error, before) in faults {
        for number in 1..=crate::scaled(5) {
            let dir = new_store();
            let inject = format!("inject={call}:error={error}:when={}", before + number);
            let output =
                strace(dir.path(), "store", &["-e", &format!("trace={call}"), "-e", &inject]);
            let answered = answered(dir.path());
            *refused.entry((call, error)).or_insert(0) += UPLOADS - answered.len();
            assert!(answered.len() + 1 >= UPLOADS, "{inject}: {answered:?} {output:?}");
            let store = open(&dir.path().join("store"));
            for index in 0..UPLOADS {
                let found = read(&store, index);
                let is_whole = found.as_deref() == Some(&content(index)[..]);
                assert!(
                    is_whole || (found.is_none() && !answered.contains(&index)),
                    "{inject}: file {index}"
                );
            }
            let uploads = dir.path().join("store/.cairn-uploads");
            let left = fs::read_dir(uploads).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{inject}: an upload was left behind");
        }
    }
    // An interrupted call is repeated; every other fault refused something.
    for ((call, error), refused) in refused {
        assert_eq!(refused == 0, error == "EINTR", "{call} {error}: {refused} refused");
    }
}

/// The child: does nothing unless it is told where to upload.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let how = std::env::var(HOW).unwrap();
    let store = open(&dir.join("store"));
    let mut null = fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
    for _ in 0..WRITES_BEFORE {
        null.write_all(b"x").unwrap();
    }
    let answers = File::create(dir.join("answers")).unwrap();
    let mut end = 0;
    for index in 0..UPLOADS {
        let done = match how.as_str() {
            "store" => upload(&store, index).is_ok(),
            how => upload_badly(&dir.join("store/mlartifacts"), index, how),
        };
        if done {
            let line = format!("answered {}\n", name(index));
            answers.write_all_at(line.as_bytes(), end).unwrap();
            end += line.len() as u64;
        }
    }
}

fn upload(store: &Store, index: usize) -> cairn_store::Result<()> {
    let mut upload = store.artifacts().upload(&ArtifactPath::parse(&name(index)).unwrap())?;
    for part in content(index).chunks(64 * 1024) {
        upload.write(part)?;
    }
    upload.finish()
}

/// What the store would do if it forgot a sync.
fn upload_badly(tree: &Path, index: usize, how: &str) -> bool {
    let path = tree.join(name(index));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let temporary = tree.join("temporary");
    let mut file = File::create(&temporary).unwrap();
    file.write_all(&content(index)).unwrap();
    if how != "no file sync" {
        file.sync_all().unwrap();
    }
    fs::rename(&temporary, &path).unwrap();
    if how != "no folder sync" {
        for folder in path.ancestors().skip(1).take(6) {
            File::open(folder).unwrap().sync_all().unwrap();
        }
    }
    true
}

/// Files of two runs, some in one folder, some larger than one write.
fn name(index: usize) -> String {
    format!("0/run{}/artifacts/model{}/file{index}", index / 3, index % 2)
}

fn content(index: usize) -> Vec<u8> {
    (0..index * 50_000 + 10).map(|at| (at * 31 + index) as u8).collect()
}

fn read(store: &Store, index: usize) -> Option<Vec<u8>> {
    let tree = cairn_store::artifacts::Location::Tree(ArtifactPath::root());
    let path = ArtifactPath::parse(&name(index)).unwrap();
    let mut opened = store.artifacts().open(&tree, &path).ok()?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut opened.file, &mut bytes).ok()?;
    Some(bytes)
}

fn new_store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    make_store(&dir.path().join("store"), Journal::Wal);
    dir
}

/// Which uploads of a child were answered.
fn answered(dir: &Path) -> Vec<usize> {
    let text = fs::read_to_string(dir.join("answers")).unwrap_or_default();
    (0..UPLOADS).filter(|index| text.contains(&format!("answered {}\n", name(*index)))).collect()
}

/// Whether processes can be watched here; says so if not.
fn has_strace() -> bool {
    let works = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("SKIPPED: strace is not installed, or may not watch processes here");
    }
    works
}

fn strace(dir: &Path, how: &str, options: &[&str]) -> Output {
    Command::new("strace")
        .args(["-f", "-y", "-s", "200"])
        .args(options)
        .arg("-o")
        .arg(dir.join("log"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "artifacts::child", "--nocapture"])
        .env(FOLDER, dir)
        .env(HOW, how)
        .output()
        .unwrap()
}

/// The calls of a child, and its folder; `None` if they cannot be watched here.
fn traced(how: &str) -> Option<(String, tempfile::TempDir)> {
    if !has_strace() {
        return None;
    }
    let dir = new_store();
    let output = strace(dir.path(), how, &["-e", TRACED]);
    assert!(output.status.success(), "{output:?}");
    Some((fs::read_to_string(dir.path().join("log")).unwrap(), dir))
}

/// Goes through the calls in order: how many uploads were answered, and what was not on the disk
/// when it was made visible or answered.
fn judge(log: &str, dir: &Path) -> (usize, Vec<String>) {
    let store = fs::canonicalize(dir).unwrap().join("store");
    let mut unsynced_bytes: HashSet<PathBuf> = HashSet::new();
    let mut unsynced_names: HashSet<PathBuf> = HashSet::new();
    let (mut answers, mut faults) = (0, Vec::new());
    for call in whole_calls(log) {
        let Some((name, rest)) = call.split_once('(') else { continue };
        // Failed calls did nothing.
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { continue };
        let arguments = arguments.trim_end().trim_end_matches(')');
        if result.starts_with('-') {
            continue;
        }
        let paths = match name {
            // What follows is what was written, not a name.
            "write" | "pwrite64" => paths_in(arguments.split(", ").next().unwrap_or_default()),
            _ => paths_in(arguments),
        };
        match (name, paths.as_slice()) {
            ("pwrite64", [path, ..]) if path.ends_with("answers") => {
                let (_, text) = arguments.split_once("\"answered ").unwrap();
                let file = store.join("mlartifacts").join(text.split("\\n").next().unwrap());
                answers += 1;
                if unsynced_bytes.contains(&file) {
                    faults.push(format!("{} was answered before its bytes", file.display()));
                }
                for path in file.ancestors().take_while(|path| *path != store) {
                    if unsynced_names.contains(path) {
                        faults.push(format!("{} was answered before its name", path.display()));
                    }
                }
            }
            ("write", [path, ..]) => {
                unsynced_bytes.insert(path.clone());
            }
            ("mkdir" | "mkdirat", [.., path]) => {
                unsynced_names.insert(path.clone());
            }
            ("openat" | "openat2", [.., path]) if arguments.contains("O_CREAT") => {
                unsynced_names.insert(path.clone());
            }
            ("fsync" | "fdatasync", [path, ..]) => {
                unsynced_bytes.remove(path);
                unsynced_names.retain(|name| name.parent() != Some(path));
            }
            ("rename" | "renameat" | "renameat2", [from, to]) => {
                if unsynced_bytes.remove(from) {
                    faults.push(format!("{} was visible before its bytes", to.display()));
                    unsynced_bytes.insert(to.clone());
                }
                unsynced_names.insert(to.clone());
            }
            _ => {}
        }
    }
    (answers, faults)
}

/// The calls of a log, each in one piece, without the number of its thread.
fn whole_calls(log: &str) -> Vec<String> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(part) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, part);
        } else if let Some((_, rest)) = call.split_once(" resumed>") {
            calls.push(format!("{}{rest}", begun.remove(thread).unwrap_or_default()));
        } else {
            calls.push(call.to_owned());
        }
    }
    calls
}

/// The files that a call names, in order: an open one (`7</a/b>`), or a folder and a name below it
/// (`5</a>, "b"`).
fn paths_in(arguments: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut folder: Option<PathBuf> = None;
    for argument in arguments.split(", ") {
        if let Some((_, path)) = argument.split_once('<')
            && let Some((path, _)) = path.rsplit_once('>')
        {
            paths.extend(folder.replace(PathBuf::from(path)));
        } else if let Some(name) = argument.strip_prefix('"') {
            let name = name.trim_end_matches("...").trim_end_matches('"');
            match folder.take() {
                Some(folder) => paths.push(folder.join(name)),
                None => paths.push(PathBuf::from(name)),
            }
        }
    }
    paths.extend(folder);
    paths
}
