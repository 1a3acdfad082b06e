//! Conda environments as Cairn makes them, from a channel that the tests write.
//!
//! They need uv and Python on PATH, and an index of packages for the `pip:` section.

mod channel;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use cairn_runtime::environment::{
    DeclaredEnvironment, EnvironmentKind, EnvironmentLock, EnvironmentSpec, ProjectPlace,
};
use cairn_runtime::{
    CancellationToken, Environment, Environments, Process, RuntimeError, ToolFolders,
};
use channel::{PLACEHOLDER, Package};

/// One channel for all tests; packing Python takes a few seconds.
struct Channel {
    _folder: tempfile::TempDir,
    url: String,
}

static CHANNEL: LazyLock<Channel> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let mut binary = b"\x00\x01start".to_vec();
    binary.extend_from_slice(PLACEHOLDER.as_bytes());
    binary.extend_from_slice(b"/share\x00end\x00");
    let url = channel::write(
        folder.path(),
        &[
            channel::python(),
            Package::native("native", "1.0").file("share/native-version", "1.0", 0o644),
            Package::native("native", "2.0")
                .file("share/native-version", "2.0", 0o644)
                .placed_file(
                    "etc/native.conf",
                    format!("place={PLACEHOLDER}/share\n"),
                    0o644,
                    "text",
                )
                .placed_file("bin/native-data", binary, 0o755, "binary")
                .file(
                    "etc/conda/activate.d/native.sh",
                    "export NATIVE_HOME=\"set by native\"\n",
                    0o644,
                ),
            Package::noarch_python("greeter", "0.3")
                .depends("python >=3.8")
                .depends("native >=1")
                .file(
                    "site-packages/greeter.py",
                    "def main():\n    print('hello from conda')\n",
                    0o644,
                )
                .entry_point("greet = greeter:main"),
        ],
    );
    Channel { _folder: folder, url }
});

/// The folder of the program under test comes first on the search path.
fn environments() -> (tempfile::TempDir, Environments) {
    let data = tempfile::tempdir().expect("a folder");
    let own = Path::new(env!("CARGO_BIN_EXE_cairn-conda")).parent().expect("it has one").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let search_path: OsString =
        std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&path)))
            .expect("the folders can stand there");
    let environments =
        Environments::with_tools(ToolFolders { search_path, data_dir: data.path().to_owned() });
    (data, environments)
}

fn spec(conda_yaml: &str) -> EnvironmentSpec {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("conda.yaml"), conda_yaml).expect("it can be written");
    let found =
        EnvironmentSpec::of_project_folder(folder.path(), &DeclaredEnvironment::default(), None)
            .expect("it is read");
    assert_eq!(found.kind, EnvironmentKind::Conda);
    match found.place {
        ProjectPlace::Environment(spec) => spec,
        other => panic!("{other:?}"),
    }
}

async fn ensure(
    environments: &Environments,
    spec: &EnvironmentSpec,
) -> Result<Environment, RuntimeError> {
    environments.ensure(spec, &|_| (), &CancellationToken::new()).await
}

async fn output_of(environment: &Environment, program: &str, arguments: &[&str]) -> String {
    let program: PathBuf = environment.folder().join("bin").join(program);
    let run = environment.process(program, "/").args(arguments.iter().copied());
    let (exit, output) = Process::spawn(&run, &CancellationToken::new())
        .expect("it starts")
        .run_to_end(10, |_| ())
        .await;
    assert!(exit.is_success(), "{output}");
    output
}

#[tokio::test]
async fn conda_and_pip_packages_share_a_prefix_and_a_lock() {
    let (_data, first) = environments();
    let yaml = format!(
        "channels:\n- {}\ndependencies:\n- python\n- greeter=0.3\n- pip:\n  - toolz==1.0.0\n",
        CHANNEL.url
    );
    let told = Mutex::new(Vec::new());
    let progress = |line: &str| told.lock().expect("no panic").push(line.to_owned());
    let environment = first
        .ensure(&spec(&yaml), &progress, &CancellationToken::new())
        .await
        .unwrap_or_else(|error| panic!("{error} {:?}", error.detail()));
    let told = told.into_inner().expect("no panic");
    assert!(told.iter().any(|line| line.starts_with("Linking greeter 0.3")), "{told:?}");

    // A module of conda, a program that conda made, a module of pip, and Python's own idea of where it is.
    assert_eq!(output_of(&environment, "greet", &[]).await, "hello from conda");
    let code = "import sys, greeter, toolz; print(toolz.__version__, sys.prefix)";
    let expected = format!("1.0.0 {}", environment.folder().display());
    assert_eq!(output_of(&environment, "python", &["-c", code]).await, expected);
    // What it depends on came with it: the newest, with its place written into text and binary files.
    let read = |path: &str| fs::read(environment.folder().join(path)).expect("it is there");
    assert_eq!(read("share/native-version"), b"2.0");
    let place = environment.folder().display().to_string();
    assert_eq!(read("etc/native.conf"), format!("place={place}/share\n").as_bytes());
    let binary = read("bin/native-data");
    let expected = [b"\x00\x01start", place.as_bytes(), b"/share\x00"].concat();
    assert_eq!(binary[..expected.len()], expected);
    assert!(binary.ends_with(b"end\x00"));
    assert_eq!(binary.len(), 7 + PLACEHOLDER.len() + 7 + 4, "a binary keeps its length");
    // What activating sets.
    let code = "import os; print(os.environ['NATIVE_HOME'], os.environ['CONDA_PREFIX'])";
    let expected = format!("set by native {place}");
    assert_eq!(output_of(&environment, "python", &["-c", code]).await, expected);

    // The lock alone makes the same, elsewhere.
    let lock = environment.lock().expect("it has one");
    assert_eq!(lock.explicit().len(), 3);
    assert_eq!(lock.package_count(), 4);
    let lock = EnvironmentLock::parse(&lock.to_string()).expect("it can be read");
    let (_data, second) = environments();
    let again = ensure(&second, &EnvironmentSpec::of_lock(lock.clone()))
        .await
        .unwrap_or_else(|error| panic!("{error} {:?}", error.detail()));
    assert_eq!(output_of(&again, "greet", &[]).await, "hello from conda");
    assert_eq!(again.lock().expect("it has one").packages(), lock.packages());
    assert!(again.folder().starts_with(second.root()));
    let config = fs::read_to_string(again.folder().join("etc/native.conf")).expect("it is there");
    assert_eq!(config, format!("place={}/share\n", again.folder().display()));
    // And where it is already, it is found.
    let found = ensure(&first, &EnvironmentSpec::of_lock(lock)).await.expect("it is found");
    assert_eq!(found.folder(), environment.folder());
}

#[tokio::test]
async fn channel_out_of_reach_is_named() {
    let (_data, environments) = environments();
    let check = async |channel: &str| {
        let yaml = format!(
            "channels:\n- {}\n- {channel}\ndependencies:\n- native\n- other\n",
            CHANNEL.url
        );
        let error = ensure(&environments, &spec(&yaml)).await.expect_err("nobody answers");
        assert!(
            matches!(&error, RuntimeError::ChannelUnreachable { channel: named, .. } if named == channel),
            "{error:?}"
        );
        assert!(error.to_string().contains(channel), "{error}");
        assert_eq!(environments.list().environments.len(), 0, "nothing is left");
    };
    // Nothing listens on port 9 here; the second place does not exist.
    check("https://127.0.0.1:9/some-channel").await;
    check("file:///nonexistent/channel").await;
}

#[tokio::test]
async fn package_that_no_channel_has_is_named() {
    let (_data, environments) = environments();
    let yaml = format!("channels:\n- {}\ndependencies:\n- native >=3\n", CHANNEL.url);
    let error = ensure(&environments, &spec(&yaml)).await.expect_err("there is none");
    let detail = error.detail().unwrap_or_default();
    assert!(matches!(error, RuntimeError::ToolFailed { .. }), "{error:?}");
    assert!(detail.contains("native >=3"), "{detail}");
}

#[tokio::test]
async fn package_that_is_not_the_one_of_the_lock_is_refused() {
    let (_data, environments) = environments();
    let folder = tempfile::tempdir().expect("a folder");
    let url = channel::write(
        folder.path(),
        &[Package::native("native", "1.0").file("share/x", "1", 0o644)],
    );
    let yaml = format!("channels:\n- {url}\ndependencies:\n- native\n");
    let environment = ensure(&environments, &spec(&yaml)).await.expect("it is made");
    assert!(environments.find(&spec(&yaml)).is_some(), "one without Python is whole as well");
    let lock = environment.lock().expect("it has one");
    // The same name and version with another content.
    channel::write(folder.path(), &[Package::native("native", "1.0").file("share/x", "2", 0o644)]);
    let (_data, elsewhere) = self::environments();
    let error =
        ensure(&elsewhere, &EnvironmentSpec::of_lock(lock)).await.expect_err("it is another one");
    assert!(error.detail().is_some_and(|detail| detail.contains("digest")), "{:?}", error.detail());
}

#[tokio::test]
async fn without_the_program_a_project_says_what_is_missing() {
    let data = tempfile::tempdir().expect("a folder");
    let uv = std::env::split_paths(&std::env::var_os("PATH").expect("PATH is set"))
        .find(|folder| folder.join("uv").is_file())
        .expect("uv is on PATH");
    let environments = Environments::with_tools(ToolFolders {
        search_path: uv.into_os_string(),
        data_dir: data.path().to_owned(),
    });
    let yaml = format!("channels:\n- {}\ndependencies:\n- native\n", CHANNEL.url);
    let error = ensure(&environments, &spec(&yaml)).await.expect_err("it is not there");
    assert!(matches!(error, RuntimeError::CondaMissing { .. }), "{error:?}");
    assert!(error.to_string().contains("cairn-conda"));
    assert!(error.hint().is_some_and(|hint| hint.contains("CAIRN_CONDA")));
}
