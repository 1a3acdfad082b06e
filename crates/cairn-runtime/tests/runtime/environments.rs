//! Making environments with the real uv, and finding or installing it.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use cairn_runtime::{
    CancellationToken, Environment, EnvironmentSpec, Process, RuntimeError, ToolFolders, Uv,
    samples,
};

use super::uv;

/// A package without dependencies, of a few kilobytes.
const TINY: &str = "toolz==1.0.0";

fn spec(requirements: &[&str]) -> EnvironmentSpec {
    EnvironmentSpec {
        name: "tiny".to_owned(),
        python: None,
        requirements: requirements.iter().map(|&text| text.to_owned()).collect(),
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn environment_is_made_once_and_reused() {
    let root = tempfile::tempdir().expect("a folder");
    let cancel = CancellationToken::new();
    let told = Mutex::new(Vec::new());
    let progress = |line: &str| told.lock().expect("no panic").push(line.to_owned());
    let uv = uv().await;

    let environment = Environment::ensure(&uv, &spec(&[TINY]), root.path(), &progress, &cancel)
        .await
        .expect("it is made");
    assert!(
        told.lock().expect("no panic").iter().any(|line| line.contains("toolz")),
        "uv's lines are told"
    );
    let script = environment.folder().join("bin/activate");
    assert!(fs::read_to_string(script).is_ok());
    let run = environment
        .process(environment.python(), "/")
        .args(["-c", "import toolz; print(toolz.__version__)"]);
    let (exit, output) =
        Process::spawn(&run, &cancel).expect("it starts").run_to_end(5, |_| ()).await;
    assert!(exit.is_success(), "{output}");
    assert_eq!(output, "1.0.0");

    told.lock().expect("no panic").clear();
    let again = Environment::ensure(&uv, &spec(&[TINY]), root.path(), &progress, &cancel)
        .await
        .expect("it is found");
    assert_eq!(again.folder(), environment.folder());
    assert_eq!(*told.lock().expect("no panic"), Vec::<String>::new(), "nothing was to be done");
    assert_eq!(entries(root.path()).len(), 1);
}

#[tokio::test]
async fn two_builders_at_a_time_end_with_one_environment() {
    let root = tempfile::tempdir().expect("a folder");
    let cancel = CancellationToken::new();
    let uv = uv().await;
    let spec = spec(&[TINY]);
    let ensure = || Environment::ensure(&uv, &spec, root.path(), &|_| (), &cancel);
    let (first, second) = tokio::join!(ensure(), ensure());
    assert_eq!(first.expect("it is made").folder(), second.expect("it is made").folder());
    assert_eq!(entries(root.path()), [spec.folder_name()]);
}

#[tokio::test]
async fn unfinished_folder_is_not_taken_for_an_environment() {
    let root = tempfile::tempdir().expect("a folder");
    let spec = spec(&[]);
    fs::create_dir_all(root.path().join(spec.folder_name()).join("bin")).expect("it can be made");
    let environment =
        Environment::ensure(&uv().await, &spec, root.path(), &|_| (), &CancellationToken::new())
            .await
            .expect("it is made");
    assert!(environment.python().exists());
}

#[tokio::test]
async fn impossible_requirement_is_named_and_leaves_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let spec = spec(&["cairn-no-such-package-8b1f==1.0"]);
    let error =
        Environment::ensure(&uv().await, &spec, root.path(), &|_| (), &CancellationToken::new())
            .await
            .expect_err("there is no such package");
    assert!(matches!(error, RuntimeError::ToolFailed { .. }), "{error:?}");
    assert!(error.to_string().contains("tiny"));
    assert!(error.detail().is_some_and(|detail| detail.contains("cairn-no-such-package-8b1f")));
    assert_eq!(entries(root.path()), Vec::<String>::new());
}

#[tokio::test]
async fn index_that_cannot_be_reached_is_a_network_failure() {
    let root = tempfile::tempdir().expect("a folder");
    // Nothing listens on port 9 here, and a package from an address must be fetched.
    let spec = spec(&["toolz @ http://127.0.0.1:9/toolz-1.0.0-py3-none-any.whl"]);
    let error =
        Environment::ensure(&uv().await, &spec, root.path(), &|_| (), &CancellationToken::new())
            .await
            .expect_err("nobody answers");
    assert!(
        matches!(error, RuntimeError::NetworkUnavailable { .. }),
        "{error:?} {:?}",
        error.detail()
    );
    assert!(error.hint().is_some_and(|hint| hint.contains("network")));
}

#[tokio::test]
async fn cancelled_build_leaves_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let cancel = CancellationToken::new();
    let from_progress = cancel.clone();
    // The first line comes from uv, so something is running when it is cancelled.
    let progress = move |line: &str| {
        if !line.starts_with("Making") {
            from_progress.cancel();
        }
    };
    let error = Environment::ensure(
        &uv().await,
        &samples::environment_spec(),
        root.path(),
        &progress,
        &cancel,
    )
    .await
    .expect_err("it was cancelled");
    assert!(matches!(error, RuntimeError::Cancelled), "{error:?}");
    assert_eq!(entries(root.path()), Vec::<String>::new());
}

#[tokio::test]
async fn without_uv_and_python_the_missing_program_is_named() {
    let data = tempfile::tempdir().expect("a folder");
    let folders = ToolFolders {
        search_path: OsString::from("/nonexistent"),
        data_dir: data.path().to_owned(),
    };
    let error = Uv::find_or_install(&folders, &|_| (), &CancellationToken::new())
        .await
        .expect_err("there is nothing");
    assert!(matches!(error, RuntimeError::PythonMissing));
    assert!(
        error.to_string().contains("python3")
            && error.hint().is_some_and(|hint| hint.contains("python3-venv"))
    );
}

#[tokio::test]
async fn without_uv_it_is_installed_below_the_data_folder_and_found_again() {
    let data = tempfile::tempdir().expect("a folder");
    let tools = tempfile::tempdir().expect("a folder");
    // A search path with a Python that can make environments, and nothing else.
    let python = std::env::split_paths(&std::env::var_os("PATH").expect("PATH is set"))
        .map(|folder| folder.join("python3"))
        .find(|program| program.is_file())
        .expect("python3 is on PATH");
    let real = std::process::Command::new(python)
        .args(["-c", "import sys; print(getattr(sys, '_base_executable', sys.executable))"])
        .output()
        .expect("python3 starts");
    let real = String::from_utf8(real.stdout).expect("a path");
    std::os::unix::fs::symlink(real.trim(), tools.path().join("python3"))
        .expect("it can be linked");
    let folders =
        ToolFolders { search_path: tools.path().into(), data_dir: data.path().to_owned() };
    let told = Mutex::new(Vec::new());
    let progress = |line: &str| told.lock().expect("no panic").push(line.to_owned());

    let uv = Uv::find_or_install(&folders, &progress, &CancellationToken::new())
        .await
        .expect("it is installed");
    assert_eq!(uv.program(), data.path().join("tools/uv/bin/uv"));
    assert!(uv.version().starts_with("0."), "{}", uv.version());
    assert!(
        told.lock().expect("no panic")[0]
            .starts_with("uv, which makes Python environments, is not installed")
    );
    assert_eq!(entries(&data.path().join("tools")), ["uv"]);

    told.lock().expect("no panic").clear();
    Uv::find_or_install(&folders, &progress, &CancellationToken::new()).await.expect("it is found");
    assert_eq!(*told.lock().expect("no panic"), Vec::<String>::new());
}
