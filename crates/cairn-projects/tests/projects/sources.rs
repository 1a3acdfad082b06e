//! Where projects come from: what a URI means, what git and zip files give, and what is refused.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use cairn_projects::{ProjectError, ProjectSource};
use cairn_runtime::CancellationToken;

use crate::{git, state, write};

fn fetch(
    uri: &str,
    version: Option<&str>,
    dest: &Path,
) -> Result<cairn_projects::Fetched, ProjectError> {
    let source = ProjectSource::parse(uri, version, Path::new("/"))?;
    source.fetch(dest, &|_| (), &CancellationToken::new())
}

fn repository(folder: &Path) {
    write(folder, "MLproject", "name: first\n");
    write(folder, "sub/train.py", "print(1)\n");
    git(folder, &["init", "--quiet"]);
    git(folder, &["add", "."]);
    git(folder, &["commit", "--quiet", "-m", "first"]);
    git(folder, &["tag", "v1"]);
    git(folder, &["branch", "side"]);
    write(folder, "MLproject", "name: second\n");
    git(folder, &["commit", "--quiet", "-am", "second"]);
}

#[test]
fn a_local_version_is_fetched_and_the_repository_stays_as_it_is() {
    let theirs = tempfile::tempdir().expect("a folder can be made");
    repository(theirs.path());
    write(theirs.path(), "untracked.txt", "x");
    let before = state(theirs.path());
    let first = git(theirs.path(), &["rev-parse", "v1"]);
    let uri = theirs.path().to_str().expect("it is text");
    for (version, name, branch) in [
        ("v1", "first", None),
        ("side", "first", Some("side")),
        ("main", "second", Some("main")),
        (&first[..8], "first", None),
        ("HEAD~1", "first", None),
    ] {
        let dest = tempfile::tempdir().expect("a folder can be made");
        let fetched = fetch(uri, Some(version), dest.path()).expect("it is there");
        let text = fs::read_to_string(fetched.folder.join("MLproject")).expect("it came");
        assert_eq!(text, format!("name: {name}\n"), "{version}");
        assert_eq!(fetched.branch.as_deref(), branch, "{version}");
        assert!(!fetched.folder.join("untracked.txt").exists());
    }
    let before_names: Vec<_> = before.iter().map(|(name, ..)| name).collect();
    let after = state(theirs.path());
    assert_eq!(before_names, after.iter().map(|(name, ..)| name).collect::<Vec<_>>());
    assert!(before == after, "the repository was changed");
    // A subfolder in the repository, and below the address.
    let dest = tempfile::tempdir().expect("a folder can be made");
    let fetched = fetch(&format!("{uri}#sub"), Some("v1"), dest.path()).expect("it is there");
    assert!(fetched.folder.join("train.py").exists());
    let dest = tempfile::tempdir().expect("a folder can be made");
    let fetched = fetch(&format!("{uri}/sub"), Some("v1"), dest.path()).expect("it is there");
    assert!(fetched.folder.join("train.py").exists());
}

#[test]
fn a_repository_elsewhere_is_fetched_at_any_version() {
    let theirs = tempfile::tempdir().expect("a folder can be made");
    repository(theirs.path());
    let bare = tempfile::tempdir().expect("a folder can be made");
    let bare_path = bare.path().join("project.git");
    git(
        theirs.path(),
        &["clone", "--quiet", "--bare", ".", bare_path.to_str().expect("it is text")],
    );
    let first = git(theirs.path(), &["rev-parse", "v1"]);
    let source = |version: Option<&str>| ProjectSource::Git {
        url: format!("file://{}", bare_path.display()),
        version: version.map(str::to_owned),
        subfolder: String::new(),
    };
    let parsed =
        ProjectSource::parse(bare_path.to_str().expect("it is text"), None, Path::new("/"));
    assert_eq!(parsed.expect("it exists"), source(None));
    for (version, name, branch) in [
        (None, "second", None),
        (Some("v1"), "first", None),
        (Some("side"), "first", Some("side")),
        (Some(first.as_str()), "first", None),
        (Some(&first[..8]), "first", None),
    ] {
        let dest = tempfile::tempdir().expect("a folder can be made");
        let fetched = source(version)
            .fetch(dest.path(), &|_| (), &CancellationToken::new())
            .expect("it can be fetched");
        let text = fs::read_to_string(fetched.folder.join("MLproject")).expect("it came");
        assert_eq!(text, format!("name: {name}\n"), "{version:?}");
        assert_eq!(fetched.branch.as_deref(), branch);
        assert_eq!(
            git(&fetched.folder, &["config", "remote.origin.url"]),
            format!("file://{}", bare_path.display())
        );
    }
    let dest = tempfile::tempdir().expect("a folder can be made");
    let error = source(Some("nothing")).fetch(dest.path(), &|_| (), &CancellationToken::new());
    assert!(error.is_err_and(|error| error.to_string().contains("nothing")));
}

#[test]
fn addresses_are_read_as_mlflow_reads_them() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    write(folder.path(), "a b/MLproject", "name: a\n");
    write(folder.path(), "a b/steps/x.py", "");
    let there = folder.path().join("a b");
    let parse = |uri: &str| ProjectSource::parse(uri, None, folder.path());
    for uri in ["a b", "'a b'", "\"a b\"", "./a b/", "a b/steps/.."] {
        assert_eq!(
            parse(uri).expect(uri),
            ProjectSource::Folder { folder: there.clone() },
            "{uri}"
        );
    }
    let encoded = format!("file://{}", there.display()).replace(' ', "%20");
    assert_eq!(
        parse(&encoded).expect("it exists"),
        ProjectSource::Folder { folder: there.clone() }
    );
    assert_eq!(
        parse("a b#steps").expect("it exists"),
        ProjectSource::Folder { folder: there.join("steps") }
    );
    for uri in ["https://host/a.git", "git@host:a/b.git", "ssh://git@host/a", "host:a"] {
        assert!(matches!(parse(uri), Ok(ProjectSource::Git { .. })), "{uri}");
    }
}

#[test]
fn what_is_no_project_is_refused_with_what_would_be_right() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    write(folder.path(), "p/MLproject", "name: a\n");
    for (uri, version, words) in [
        ("", None, "No project was named"),
        ("nowhere", None, "There is no folder"),
        ("/nowhere/at/all", None, "There is no folder"),
        ("p#a.b", None, "has a dot"),
        ("p#../x", None, "has a dot"),
        ("p#steps", None, "There is no folder"),
        ("p/MLproject", None, "is no folder"),
        ("p", Some("main"), "git repository"),
        ("p", Some("--upload-pack=touch x"), "no branch"),
        ("https://host/a.git", Some("-x"), "no branch"),
        ("https://host/a.git", Some("a:b"), "no branch"),
        ("ext::sh -c touch% x", None, "no address"),
        ("ext::x", None, "no address"),
        ("-oProxyCommand=x:y", None, "no address"),
        ("ssh://-oProxyCommand=x/y", None, "no address"),
        ("--upload-pack=x", None, "no address"),
        ("https://host/a b", None, "no address"),
        ("https://host/a.zip", None, "not on this computer"),
        ("missing.zip", None, "There is no file"),
    ] {
        let error = ProjectSource::parse(uri, version, folder.path()).expect_err(uri);
        assert!(error.to_string().contains(words), "{uri}: {error}");
        assert!(error.hint().is_some(), "{uri}");
    }
}

fn zip(path: &Path, members: &[(&str, &[u8])], links: &[(&str, &str)]) {
    let mut writer = zip::ZipWriter::new(fs::File::create(path).expect("a file can be made"));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    for (name, content) in members {
        writer.start_file(*name, options).expect("it can be added");
        writer.write_all(content).expect("it can be written");
    }
    for (name, target) in links {
        writer.add_symlink(*name, *target, options).expect("it can be added");
    }
    writer.finish().expect("it can be written");
}

#[test]
fn a_zip_file_is_unpacked_and_nothing_leaves_its_folder() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("project.zip");
    zip(&file, &[("p/MLproject", b"name: a\n"), ("p/run.sh", b"echo\n")], &[]);
    let dest = folder.path().join("dest");
    let uri = file.to_str().expect("it is text");
    let fetched = fetch(&format!("{uri}#p"), None, &dest).expect("it is right");
    assert!(fetched.folder.join("MLproject").is_file());
    let uri = format!("file://{uri}#p");
    assert!(fetch(&uri, None, &folder.path().join("dest2")).is_ok());
    for (at, (name, links)) in [
        ("../out.txt", None),
        ("/tmp/cairn-zip-out.txt", None),
        ("a/../../out.txt", None),
        ("a\\..\\..\\out.txt", None),
        ("good.txt", Some(("link", "/etc"))),
    ]
    .into_iter()
    .enumerate()
    {
        let file = folder.path().join(format!("bad{at}.zip"));
        let links: Vec<_> = links.into_iter().collect();
        zip(&file, &[("MLproject", b"name: a\n"), (name, b"x")], &links);
        let dest = folder.path().join(format!("bad{at}"));
        let error = fetch(file.to_str().expect("it is text"), None, &dest).expect_err(name);
        assert!(matches!(error, ProjectError::Source { .. }), "{error}");
        let came: Vec<_> = fs::read_dir(&dest).expect("it was made").collect();
        assert!(came.is_empty(), "something of {name} was written");
    }
    assert!(!folder.path().join("out.txt").exists());
    write(folder.path(), "broken.zip", "no zip at all");
    let broken = folder.path().join("broken.zip");
    assert!(fetch(broken.to_str().expect("it is text"), None, &folder.path().join("x")).is_err());
}
