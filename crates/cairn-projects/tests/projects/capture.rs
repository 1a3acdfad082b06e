//! The code of a run: captured as it lies there, restored as it was, and nothing of the person's touched.

use std::fs;
use std::path::Path;

use cairn_projects::{LeftOutReason, SourceCapture, capture_code, restore};
use cairn_runtime::CancellationToken;

use crate::{git, state, write};

fn captured(folder: &Path, work: &Path) -> (SourceCapture, std::path::PathBuf) {
    capture_code(folder, work, &CancellationToken::new()).expect("it can be captured")
}

fn restored(bundle: &Path, source: &SourceCapture, dest: &Path) -> std::path::PathBuf {
    restore(bundle, source, dest, &CancellationToken::new()).expect("it can be restored")
}

#[test]
fn a_dirty_tree_is_captured_and_nothing_of_it_is_touched() {
    let theirs = tempfile::tempdir().expect("a folder can be made");
    let folder = theirs.path();
    write(folder, "project/train.py", "print('committed')\n");
    write(folder, "project/gone.py", "old\n");
    write(folder, "project/MLproject", "name: a\n");
    write(folder, "lib/help.py", "x = 1\n");
    write(folder, ".gitignore", "*.tmp\n");
    write(folder, "key.pem", "a committed secret\n");
    git(folder, &["init", "--quiet"]);
    git(folder, &["add", "."]);
    git(folder, &["commit", "--quiet", "-m", "first"]);
    git(folder, &["remote", "add", "origin", "https://me:token@host/a.git"]);
    write(folder, "project/train.py", "print('changed')\n");
    write(folder, "project/staged.py", "staged\n");
    git(folder, &["add", "project/staged.py"]);
    fs::remove_file(folder.join("project/gone.py")).expect("it can be removed");
    write(folder, "project/new ü\n.py", "untracked\n");
    write(folder, "project/.env", "TOKEN=x\n");
    write(folder, "project/x.tmp", "ignored\n");
    write(folder, "project/big.bin", vec![1; 11 << 20]);
    let before = state(folder);

    let work = tempfile::tempdir().expect("a folder can be made");
    let (source, bundle) = captured(&folder.join("project"), work.path());
    let after = state(folder);
    let touched: Vec<_> =
        before.iter().filter(|entry| !after.contains(entry)).map(|entry| &entry.0).collect();
    assert!(before == after, "the person's repository was changed: {touched:?}");

    assert_eq!(source.subfolder, "project");
    assert_eq!(source.commit.as_deref(), Some(git(folder, &["rev-parse", "HEAD"]).as_str()));
    assert_eq!(source.remote.as_deref(), Some("https://host/a.git"));
    assert_eq!(source.branch.as_deref(), Some("main"));
    let changed: Vec<_> =
        source.changed.iter().map(|file| (file.status, file.path.as_str())).collect();
    assert_eq!(
        changed,
        [
            ('D', "project/gone.py"),
            ('A', "project/new ü\n.py"),
            ('A', "project/staged.py"),
            ('M', "project/train.py"),
        ]
    );
    let mut left_out: Vec<_> =
        source.left_out.iter().map(|left| (left.path.as_str(), left.why)).collect();
    left_out.sort_by_key(|(path, _)| *path);
    assert_eq!(
        left_out,
        [
            ("key.pem", LeftOutReason::Secret),
            ("project/.env", LeftOutReason::Secret),
            ("project/big.bin", LeftOutReason::TooLarge),
        ]
    );
    assert!(source.bundle_bytes < 20_000, "{}", source.bundle_bytes);

    let dest = work.path().join("restored");
    let project = restored(&bundle, &source, &dest);
    assert_eq!(project, dest.join("project"));
    assert_eq!(
        fs::read_to_string(project.join("train.py")).expect("it came"),
        "print('changed')\n"
    );
    assert_eq!(fs::read_to_string(project.join("new ü\n.py")).expect("it came"), "untracked\n");
    assert_eq!(fs::read_to_string(dest.join("lib/help.py")).expect("it came"), "x = 1\n");
    for absent in ["project/gone.py", "project/.env", "key.pem", "project/x.tmp", "project/big.bin"]
    {
        assert!(!dest.join(absent).exists(), "{absent}");
    }
}

#[test]
fn equal_code_has_an_equal_tree_with_git_or_without() {
    let one = tempfile::tempdir().expect("a folder can be made");
    let two = tempfile::tempdir().expect("a folder can be made");
    let work = tempfile::tempdir().expect("a folder can be made");
    for folder in [one.path(), two.path()] {
        write(folder, "train.py", "print(1)\n");
        write(folder, "sub/b.py", "print(2)\n");
    }
    git(one.path(), &["init", "--quiet"]);
    git(one.path(), &["add", "train.py"]);
    git(one.path(), &["commit", "--quiet", "-m", "first"]);
    write(two.path(), "mlruns/0/meta.yaml", "x");
    write(two.path(), "__pycache__/a.pyc", "x");
    write(two.path(), ".venv/bin/python", "x");
    let (first, _) = captured(one.path(), &work.path().join("1"));
    let (second, bundle) = captured(two.path(), &work.path().join("2"));
    assert_eq!(first.captured_tree, second.captured_tree);
    assert_eq!(first.captured_commit, second.captured_commit);
    assert!(first.is_git && !second.is_git);
    assert!(!two.path().join(".git").exists());
    let dest = work.path().join("restored");
    let folder = restored(&bundle, &second, &dest);
    assert!(folder.join("sub/b.py").exists() && !folder.join("mlruns").exists());
    // A change is another tree.
    write(two.path(), "sub/b.py", "print(3)\n");
    let (third, _) = captured(two.path(), &work.path().join("3"));
    assert_ne!(third.captured_tree, second.captured_tree);
}

#[test]
fn a_repository_without_a_commit_and_one_in_another_are_captured() {
    let theirs = tempfile::tempdir().expect("a folder can be made");
    let work = tempfile::tempdir().expect("a folder can be made");
    write(theirs.path(), "a.py", "1\n");
    git(theirs.path(), &["init", "--quiet"]);
    write(theirs.path(), "inner/b.py", "1\n");
    git(&theirs.path().join("inner"), &["init", "--quiet"]);
    git(&theirs.path().join("inner"), &["add", "."]);
    git(&theirs.path().join("inner"), &["commit", "--quiet", "-m", "first"]);
    let (source, bundle) = captured(theirs.path(), work.path());
    assert_eq!(source.commit, None);
    let left: Vec<_> = source.left_out.iter().map(|left| (left.path.as_str(), left.why)).collect();
    assert_eq!(left, [("inner/", LeftOutReason::Submodule)]);
    assert!(restored(&bundle, &source, &work.path().join("r")).join("a.py").exists());
}

#[test]
fn a_folder_that_its_repository_ignores_is_captured_by_itself() {
    let theirs = tempfile::tempdir().expect("a folder can be made");
    let work = tempfile::tempdir().expect("a folder can be made");
    write(theirs.path(), "a.py", "1\n");
    write(theirs.path(), ".gitignore", "scratch/\n");
    write(theirs.path(), "scratch/try/b.py", "2\n");
    git(theirs.path(), &["init", "--quiet"]);
    git(theirs.path(), &["add", "."]);
    git(theirs.path(), &["commit", "--quiet", "-m", "first"]);
    let (source, bundle) = captured(&theirs.path().join("scratch/try"), work.path());
    assert_eq!((source.commit.as_deref(), source.subfolder.as_str()), (None, ""));
    let folder = restored(&bundle, &source, &work.path().join("r"));
    assert!(folder.join("b.py").exists() && !folder.join("a.py").exists());
}

#[test]
fn a_bundle_that_was_changed_is_refused() {
    let theirs = tempfile::tempdir().expect("a folder can be made");
    let work = tempfile::tempdir().expect("a folder can be made");
    write(theirs.path(), "a.py", "1\n");
    let (mut source, bundle) = captured(theirs.path(), work.path());
    let whole = fs::read(&bundle).expect("it is there");
    fs::write(&bundle, &whole[..whole.len() - 30]).expect("it can be written");
    let cancel = CancellationToken::new();
    assert!(restore(&bundle, &source, &work.path().join("1"), &cancel).is_err());
    fs::write(&bundle, whole).expect("it can be written");
    let whole_commit = std::mem::replace(&mut source.captured_commit, "0".repeat(40));
    assert!(restore(&bundle, &source, &work.path().join("2"), &cancel).is_err());
    source.captured_commit = whole_commit;
    let tree = std::mem::replace(&mut source.captured_tree, "0".repeat(40));
    let error = restore(&bundle, &source, &work.path().join("4"), &cancel).unwrap_err();
    assert!(error.to_string().contains(&tree), "{error}");
    assert!(
        restore(Path::new("/nowhere.bundle"), &source, &work.path().join("3"), &cancel).is_err()
    );
}
