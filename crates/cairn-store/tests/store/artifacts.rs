//! The artifact tree: nothing leaves it, nothing half-written is seen.

use std::{fs, io::Read as _};

use cairn_core::ArtifactPath;
use cairn_store::{StoreError, artifacts::Location};

use crate::Fixture;

fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

fn put(fixture: &Fixture, at: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let mut upload = fixture.store.artifacts().upload(&path(at))?;
    upload.write(bytes)?;
    upload.finish()
}

fn read(fixture: &Fixture, at: &str) -> Result<Vec<u8>, StoreError> {
    let tree = Location::Tree(ArtifactPath::root());
    let mut opened = fixture.store.artifacts().open(&tree, &path(at))?;
    let mut bytes = Vec::new();
    opened.file.read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

#[test]
fn files_are_written_read_listed_replaced_and_deleted() {
    let fixture = Fixture::new();
    put(&fixture, "1/r/artifacts/a/b.txt", b"one").unwrap();
    put(&fixture, "1/r/artifacts/a/b.txt", b"two").unwrap();
    put(&fixture, "1/r/artifacts/a?b#c%2fd", b"odd").unwrap();
    assert_eq!(read(&fixture, "1/r/artifacts/a/b.txt").unwrap(), b"two");
    assert_eq!(read(&fixture, "1/r/artifacts/a?b#c%2fd").unwrap(), b"odd");
    let tree = Location::Tree(path("1/r/artifacts"));
    let entries = fixture.store.artifacts().list(&tree, &ArtifactPath::root()).unwrap();
    let listed: Vec<_> =
        entries.iter().map(|entry| (&*entry.name, entry.is_dir, entry.size_bytes)).collect();
    assert_eq!(listed, [("a", true, 0), ("a?b#c%2fd", false, 3)]);
    assert!(fixture.store.artifacts().list(&tree, &path("none")).unwrap().is_empty());
    fixture.store.artifacts().delete(&path("1/r")).unwrap();
    fixture.store.artifacts().delete(&path("1/r")).unwrap();
    assert!(matches!(read(&fixture, "1/r/artifacts/a/b.txt"), Err(StoreError::NotFound(_))));
}

#[test]
fn a_dropped_upload_leaves_no_trace() {
    let fixture = Fixture::new();
    let mut upload = fixture.store.artifacts().upload(&path("1/x")).unwrap();
    upload.write(b"half").unwrap();
    drop(upload);
    assert!(read(&fixture, "1/x").is_err());
    let uploads = fixture.dir.path().join(".cairn-uploads");
    assert_eq!(fs::read_dir(uploads).unwrap().count(), 0);
}

#[test]
fn a_file_does_not_replace_a_folder_nor_lie_below_a_file() {
    let fixture = Fixture::new();
    put(&fixture, "1/folder/x", b"x").unwrap();
    assert!(matches!(put(&fixture, "1/folder", b"y"), Err(StoreError::Invalid(_))));
    assert!(matches!(put(&fixture, "1/folder/x/y", b"y"), Err(StoreError::Invalid(_))));
    assert_eq!(read(&fixture, "1/folder/x").unwrap(), b"x");
}

#[test]
fn links_lead_nowhere_outside() {
    let fixture = Fixture::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("canary"), "secret").unwrap();
    put(&fixture, "1/a", b"x").unwrap();
    let tree = fixture.dir.path().join("mlartifacts");
    std::os::unix::fs::symlink(outside.path(), tree.join("1/out")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("canary"), tree.join("1/file")).unwrap();
    assert!(matches!(read(&fixture, "1/out/canary"), Err(StoreError::NotFound(_))));
    assert!(matches!(read(&fixture, "1/file"), Err(StoreError::NotFound(_))));
    assert!(put(&fixture, "1/out/new", b"x").is_err());
    fixture.store.artifacts().delete(&path("1/out")).unwrap();
    assert_eq!(fs::read_to_string(outside.path().join("canary")).unwrap(), "secret");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn a_pipe_does_not_hold_up_its_reader() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let fixture = Fixture::new();
    put(&fixture, "1/a", b"x").unwrap();
    let pipe = fixture.dir.path().join("mlartifacts/1/pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert!(matches!(read(&fixture, "1/pipe"), Err(StoreError::NotFound(_))));
}

#[test]
fn locations_inside_and_outside_are_told_apart() {
    let fixture = Fixture::new();
    let dir = fixture.dir.path().display().to_string();
    let locate = |uri: &str| fixture.store.artifacts().locate(uri);
    assert_eq!(locate("mlflow-artifacts:/1/r/artifacts"), Location::Tree(path("1/r/artifacts")));
    assert_eq!(locate(&format!("{dir}/mlruns/1/r")), Location::Folder(path("mlruns/1/r")));
    assert_eq!(locate(&format!("file://{dir}/mlruns/1")), Location::Folder(path("mlruns/1")));
    for uri in [
        "mlflow-artifacts://host/1",
        "mlflow-artifacts:/../x",
        "s3://bucket/x",
        "/etc",
        "relative",
        "file://host/etc",
        "dbfs:/x",
        &format!("{dir}/../x"),
        "",
    ] {
        assert!(matches!(locate(uri), Location::Elsewhere(_)), "{uri}");
    }
    fs::create_dir_all(fixture.dir.path().join("mlruns/7/r/artifacts")).unwrap();
    let moved = locate("/home/before/project/mlruns/7/r/artifacts");
    assert_eq!(moved, Location::Folder(path("mlruns/7/r/artifacts")));
}

#[test]
fn links_are_neither_shown_nor_followed_even_inside_the_tree() {
    let fixture = Fixture::new();
    put(&fixture, "1/r/artifacts/real/f", b"inside").unwrap();
    let tree = fixture.store.dir().join("mlartifacts");
    let link = |from: &str, to: &str| std::os::unix::fs::symlink(to, tree.join(from)).unwrap();
    link("1/r/artifacts/folder", "real");
    link("1/r/artifacts/file", "real/f");
    link("1/r/artifacts/gone", "nothing");
    let root = Location::Tree(path("1/r/artifacts"));
    let listed = fixture.store.artifacts().list(&root, &ArtifactPath::root()).unwrap();
    assert_eq!(listed.iter().map(|entry| &*entry.name).collect::<Vec<_>>(), ["real"]);
    assert_eq!(fixture.store.artifacts().list(&root, &path("folder")).unwrap(), []);
    for name in ["file", "gone", "folder/f"] {
        let read = read(&fixture, &format!("1/r/artifacts/{name}"));
        assert!(matches!(read, Err(StoreError::NotFound(_))), "{name}: {read:?}");
    }
    for name in ["folder/new", "gone/new", "file/new"] {
        let written = put(&fixture, &format!("1/r/artifacts/{name}"), b"x");
        assert!(matches!(written, Err(StoreError::Invalid(_))), "{name}: {written:?}");
    }
    fixture.store.artifacts().delete(&path("1/r/artifacts/folder/f")).unwrap();
    assert_eq!(read(&fixture, "1/r/artifacts/real/f").unwrap(), b"inside");
    // A link itself is replaced or removed, never what it leads to.
    put(&fixture, "1/r/artifacts/file", b"new").unwrap();
    fixture.store.artifacts().delete(&path("1/r/artifacts/folder")).unwrap();
    assert_eq!(read(&fixture, "1/r/artifacts/file").unwrap(), b"new");
    assert_eq!(read(&fixture, "1/r/artifacts/real/f").unwrap(), b"inside");
}

/// Folders turn into links to a place outside and back while files are read, written, listed and
/// removed through them. `CAIRN_LINK_RACE_SECONDS` makes it longer than its two seconds.
#[test]
fn a_folder_that_turns_into_a_link_lets_nothing_out_or_in() {
    use std::{
        sync::atomic::{AtomicBool, AtomicUsize, Ordering},
        time::{Duration, Instant},
    };
    let seconds = std::env::var("CAIRN_LINK_RACE_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(2));
    let fixture = Fixture::new();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("below")).unwrap();
    for name in ["f", "below/f"] {
        fs::write(outside.path().join(name), "canary").unwrap();
    }
    put(&fixture, "0/r/artifacts/swapped/below/f", b"inside").unwrap();
    put(&fixture, "0/r/artifacts/swapped/f", b"inside").unwrap();
    let swapped = fixture.store.dir().join("mlartifacts/0/r/artifacts/swapped");
    let aside = swapped.with_file_name("aside");
    let (is_over, swaps, reads) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // The workers remove and make it too: what is not there cannot be swapped.
                let _ = fs::rename(&swapped, &aside);
                if std::os::unix::fs::symlink(outside.path(), &swapped).is_ok() {
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
                let _ = fs::remove_file(&swapped);
                if fs::rename(&aside, &swapped).is_err() {
                    let _ = fs::remove_dir_all(&aside);
                }
            }
        });
        for worker in 0..2 {
            let (fixture, reads) = (&fixture, &reads);
            scope.spawn(move || {
                let root = Location::Tree(path("0/r/artifacts/swapped"));
                while Instant::now() < end {
                    for name in ["f", "below/f"] {
                        let at = format!("0/r/artifacts/swapped/{name}");
                        if let Ok(bytes) = read(fixture, &at) {
                            assert_ne!(bytes, b"canary", "{at}");
                        }
                        reads.fetch_add(1, Ordering::Relaxed);
                        let _ = put(fixture, &format!("{at}{worker}"), b"inside");
                        let _ = put(fixture, &at, b"inside");
                        if let Ok(entries) = fixture.store.artifacts().list(&root, &path("below")) {
                            assert!(entries.iter().all(|entry| entry.name != "canary"));
                        }
                    }
                    let _ = fixture.store.artifacts().delete(&path("0/r/artifacts/swapped/below"));
                }
            });
        }
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(swaps.into_inner() > 50, "the folder was hardly swapped");
    assert!(reads.into_inner() > 50, "hardly anything was read");
    let mut left: Vec<_> = fs::read_dir(outside.path())
        .unwrap()
        .chain(fs::read_dir(outside.path().join("below")).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["below", "f", "f"], "nothing outside came or went");
    for name in ["f", "below/f"] {
        assert_eq!(fs::read_to_string(outside.path().join(name)).unwrap(), "canary");
    }
}

#[test]
fn a_file_that_goes_to_the_disk_in_parts_is_whole() {
    let fixture = Fixture::new();
    let part = |number: u8| vec![number; 1 << 20];
    let mut upload = fixture.store.artifacts().upload(&path("1/large")).unwrap();
    for number in 0..70 {
        upload.write(&part(number)).unwrap();
    }
    upload.finish().unwrap();
    let bytes = read(&fixture, "1/large").unwrap();
    assert_eq!(bytes.len(), 70 << 20);
    assert!(bytes.chunks(1 << 20).zip(0..).all(|(chunk, number)| chunk == part(number)));
}
