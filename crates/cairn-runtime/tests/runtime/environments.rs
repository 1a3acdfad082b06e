//! Making environments with the real uv, and finding or installing it.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use cairn_runtime::environment::{EnvironmentLock, EnvironmentUse, PruneOptions};
use cairn_runtime::{
    CancellationToken, Environment, EnvironmentSpec, Environments, Process, RuntimeError,
    ToolFolders, Uv, samples,
};

/// A package without dependencies, of a few kilobytes.
const TINY: &str = "toolz==1.0.0";

fn spec(requirements: &[&str]) -> EnvironmentSpec {
    EnvironmentSpec::python("tiny", None, requirements).expect("these are requirements")
}

fn entries(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !matches!(name.as_str(), ".locks" | ".uses"))
        .collect()
}

/// A folder for environments of one test; it needs the uv on PATH.
fn environments() -> (tempfile::TempDir, Environments) {
    let data = tempfile::tempdir().expect("a folder");
    let environments = Environments::new(data.path());
    (data, environments)
}

async fn ensure(
    environments: &Environments,
    spec: &EnvironmentSpec,
) -> Result<Environment, RuntimeError> {
    environments.ensure(spec, &|_| (), &CancellationToken::new()).await
}

async fn output_of(environment: &Environment, code: &str) -> String {
    let run = environment.process(environment.python(), "/").args(["-c", code]);
    let (exit, output) = Process::spawn(&run, &CancellationToken::new())
        .expect("it starts")
        .run_to_end(5, |_| ())
        .await;
    assert!(exit.is_success(), "{output}");
    output
}

#[tokio::test]
async fn environment_is_made_once_and_reused() {
    let (_data, environments) = environments();
    let cancel = CancellationToken::new();
    let told = Mutex::new(Vec::new());
    let progress = |line: &str| told.lock().expect("no panic").push(line.to_owned());

    let environment =
        environments.ensure(&spec(&[TINY]), &progress, &cancel).await.expect("it is made");
    assert!(
        told.lock().expect("no panic").iter().any(|line| line.contains("toolz")),
        "uv's lines are told"
    );
    let script = environment.folder().join("bin/activate");
    assert!(fs::read_to_string(script).is_ok());
    assert_eq!(output_of(&environment, "import toolz; print(toolz.__version__)").await, "1.0.0");

    told.lock().expect("no panic").clear();
    let started = std::time::Instant::now();
    let again = environments.ensure(&spec(&[TINY]), &progress, &cancel).await.expect("it is found");
    assert!(started.elapsed() < std::time::Duration::from_millis(50), "{:?}", started.elapsed());
    assert_eq!(again.folder(), environment.folder());
    // The name is for people; the content decides.
    let other = EnvironmentSpec::python("other", None, [TINY]).expect("it is one");
    let other = environments.ensure(&other, &progress, &cancel).await.expect("it is found");
    assert_eq!(other.folder(), environment.folder());
    assert_eq!(*told.lock().expect("no panic"), Vec::<String>::new(), "nothing was to be done");
    assert_eq!(entries(environments.root()).len(), 1);
}

#[tokio::test]
async fn folder_of_environments_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_data, environments) = environments();
    ensure(&environments, &spec(&[])).await.expect("it is made");
    let mode = fs::metadata(environments.root()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn lock_alone_makes_the_same_environment_elsewhere() {
    let (_data, first) = environments();
    let requirements = ["toolz>=0.12,<2", "six"];
    let environment = ensure(&first, &spec(&requirements)).await.expect("it is made");
    let lock = environment.lock().expect("it has one");
    assert!(lock.is_hashed());
    assert_eq!(lock.python_version(), environment.python_version());
    assert_eq!(lock.package_count(), 2);
    let lock = EnvironmentLock::parse(&lock.to_string()).expect("it can be read");

    // Where it is there already, it is found by its lock.
    let found = ensure(&first, &EnvironmentSpec::of_lock(lock.clone())).await.expect("it is found");
    assert_eq!(found.folder(), environment.folder());

    let (_data, second) = environments();
    let again = ensure(&second, &EnvironmentSpec::of_lock(lock)).await.expect("it is made");
    let code = "import importlib.metadata as m, sys; print(sorted((d.name, d.version) for d in m.distributions()), sys.version)";
    assert_eq!(output_of(&again, code).await, output_of(&environment, code).await);
    assert_eq!(
        again.lock().expect("it has one").to_string(),
        environment.lock().expect("it has one").to_string()
    );
}

#[tokio::test]
async fn package_with_another_digest_is_refused() {
    let (_data, environments) = environments();
    let text = format!("toolz==1.0.0 --hash=sha256:{}", "0".repeat(64));
    let error = ensure(&environments, &spec(&[&text])).await.expect_err("the digest is wrong");
    let detail = error.detail().unwrap_or_default();
    assert!(detail.to_lowercase().contains("hash mismatch"), "{error} {detail}");
    assert_eq!(entries(environments.root()), Vec::<String>::new());
}

#[tokio::test]
async fn two_builders_at_a_time_end_with_one_environment() {
    let (_data, environments) = environments();
    let spec = spec(&[TINY]);
    let told = Mutex::new(Vec::new());
    let progress = |line: &str| told.lock().expect("no panic").push(line.to_owned());
    let cancel = CancellationToken::new();
    let ensure = || environments.ensure(&spec, &progress, &cancel);
    let (first, second) = tokio::join!(ensure(), ensure());
    assert_eq!(first.expect("it is made").folder(), second.expect("it is made").folder());
    assert_eq!(entries(environments.root()), [spec.folder_name()]);
    let told = told.into_inner().expect("no panic");
    assert_eq!(told.iter().filter(|line| line.starts_with("Making")).count(), 1, "{told:?}");
}

#[tokio::test]
async fn unfinished_folder_is_not_taken_for_an_environment() {
    let (_data, environments) = environments();
    let spec = spec(&[]);
    fs::create_dir_all(environments.root().join(spec.folder_name()).join("bin"))
        .expect("it can be made");
    let environment = ensure(&environments, &spec).await.expect("it is made");
    assert!(environment.python().exists());
}

#[tokio::test]
async fn impossible_requirement_is_named_and_leaves_nothing() {
    let (_data, environments) = environments();
    let spec = spec(&["cairn-no-such-package-8b1f==1.0"]);
    let error = ensure(&environments, &spec).await.expect_err("there is no such package");
    assert!(matches!(error, RuntimeError::ToolFailed { .. }), "{error:?}");
    assert!(error.to_string().contains("tiny"));
    assert!(error.detail().is_some_and(|detail| detail.contains("cairn-no-such-package-8b1f")));
    assert_eq!(entries(environments.root()), Vec::<String>::new());
}

#[tokio::test]
async fn package_that_fails_to_build_is_named() {
    let (_data, environments) = environments();
    let source = tempfile::tempdir().expect("a folder");
    fs::write(source.path().join("setup.py"), "raise SystemExit('no compiler')").expect("written");
    let text = format!("broken @ file://{}", source.path().display());
    let error = ensure(&environments, &spec(&[&text])).await.expect_err("it cannot be built");
    assert!(
        matches!(&error, RuntimeError::PackageBuildFailed { package, .. } if package.contains("broken")),
        "{error:?}"
    );
    assert!(
        error.detail().is_some_and(|detail| detail.contains("no compiler")),
        "{:?}",
        error.detail()
    );
    assert_eq!(entries(environments.root()), Vec::<String>::new());
}

#[tokio::test]
async fn python_that_is_not_there_is_named_with_those_that_are() {
    let (_data, environments) = environments();
    let spec = EnvironmentSpec::python("tiny", Some("3.99"), [TINY]).expect("it is one");
    let told = Mutex::new(Vec::new());
    let progress = |line: &str| told.lock().expect("no panic").push(line.to_owned());
    let error = environments
        .ensure(&spec, &progress, &CancellationToken::new())
        .await
        .expect_err("there is no such Python");
    assert!(matches!(error, RuntimeError::PythonVersionMissing { .. }), "{error:?}");
    assert!(error.to_string().starts_with("Python 3.99 is not on this computer: "), "{error}");
    let told = told.into_inner().expect("no panic");
    assert!(told.iter().any(|line| line.contains("downloads it")), "{told:?}");
}

#[tokio::test]
async fn index_that_cannot_be_reached_is_a_network_failure() {
    let (_data, environments) = environments();
    // Nothing listens on port 9 here, and a package from an address must be fetched.
    let spec = spec(&["toolz @ http://127.0.0.1:9/toolz-1.0.0-py3-none-any.whl"]);
    let error = ensure(&environments, &spec).await.expect_err("nobody answers");
    assert!(
        matches!(error, RuntimeError::NetworkUnavailable { .. }),
        "{error:?} {:?}",
        error.detail()
    );
    assert!(error.hint().is_some_and(|hint| hint.contains("network")));
}

#[tokio::test]
async fn cancelled_build_leaves_nothing() {
    let (_data, environments) = environments();
    let cancel = CancellationToken::new();
    let from_progress = cancel.clone();
    // The first line comes before the tools start, so something is running soon after.
    let progress = move |line: &str| {
        if line.starts_with("Making") {
            let later = from_progress.clone();
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                later.cancel();
            });
        }
    };
    let error = environments
        .ensure(&samples::environment_spec(), &progress, &cancel)
        .await
        .expect_err("it was cancelled");
    assert!(matches!(error, RuntimeError::Cancelled), "{error:?}");
    assert_eq!(entries(environments.root()), Vec::<String>::new());
}

#[tokio::test]
async fn project_of_uv_is_made_from_its_lock() {
    let (_data, environments) = environments();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("pyproject.toml"),
        "[project]\nname = 'x'\nversion = '1'\nrequires-python = '>=3.10'\ndependencies = ['toolz<1']\n",
    )
    .expect("written");
    let lock = Process::spawn(
        &cairn_runtime::ProcessSpec::new("uv", folder.path()).args(["lock", "--quiet"]),
        &CancellationToken::new(),
    )
    .expect("uv starts");
    assert!(lock.run_to_end(5, |_| ()).await.0.is_success());
    let found = EnvironmentSpec::of_project_folder(
        folder.path(),
        &cairn_runtime::environment::DeclaredEnvironment::default(),
        None,
    )
    .expect("it is read");
    let cairn_runtime::environment::ProjectPlace::Environment(spec) = found.place else {
        panic!("{found:?}");
    };
    let environment = ensure(&environments, &spec).await.expect("it is made");
    assert_eq!(output_of(&environment, "import toolz; print(toolz.__version__)").await, "0.12.1");
    let lock = environment.lock().expect("it has one");
    assert_eq!(
        lock.packages().into_iter().collect::<Vec<_>>(),
        [("toolz".to_owned(), "0.12.1".to_owned())]
    );
    assert!(lock.is_hashed());
}

#[tokio::test]
async fn environments_are_listed_pruned_and_made_again() {
    let (_data, environments) = environments();
    let used = ensure(&environments, &spec(&[TINY])).await.expect("it is made");
    let unused = ensure(&environments, &spec(&[])).await.expect("it is made");
    let list = environments.list();
    assert_eq!(list.environments.len(), 2);
    let info =
        list.environments.iter().find(|info| info.name == used.name()).expect("it is listed");
    assert!(info.has_lock && !info.is_broken && !info.is_in_use && info.packages == 1);
    assert!(info.own_bytes < info.size_bytes, "hard links of uv's cache are not its own");
    assert!(list.total_bytes >= info.size_bytes);

    let now = info.made_ms;
    let note = EnvironmentUse { run_id: "a".repeat(32), store: None, at_ms: now + 600_000 };
    environments.note_use(&used, &note).expect("it is noted");
    let listed = environments.list();
    assert_eq!(listed.environments[0].used_by, [note]);

    let fresh = environments.prune(&PruneOptions::default()).expect("nothing fails");
    assert!(fresh.removed.is_empty() && fresh.kept.len() == 2, "{fresh:?}");
    let options = PruneOptions {
        unused_for: std::time::Duration::ZERO,
        needed: [used.name().to_owned()].into(),
    };
    let planned = environments.prune_plan(&options);
    assert_eq!(planned.removed.len(), 1);
    let pruned = environments.prune(&options).expect("it is removed");
    assert_eq!(pruned.removed[0].name, unused.name());
    assert_eq!(pruned.kept[0].because, "a run that has not ended needs it");
    assert_eq!(entries(environments.root()), [used.name()]);

    // One that a program runs in stays.
    let sleep =
        used.process(used.python(), "/").args(["-c", "import time; print(1); time.sleep(60)"]);
    let cancel = CancellationToken::new();
    let mut process = Process::spawn(&sleep, &cancel).expect("it starts");
    assert!(process.next_output().await.is_some());
    let options = PruneOptions { unused_for: std::time::Duration::ZERO, ..PruneOptions::default() };
    let pruned = environments.prune(&options).expect("nothing fails");
    assert_eq!(pruned.kept[0].because, "a program runs in it");
    let error = environments.remove(used.name(), &options.needed, false).expect_err("it is in use");
    assert!(matches!(error, RuntimeError::EnvironmentInUse { .. }));
    cancel.cancel();
    process.wait().await;

    // Broken, then made again in its place.
    let lock = used.lock().expect("it has one");
    fs::remove_file(used.python()).expect("removed");
    assert!(environments.list().environments[0].is_broken);
    let rebuilt = environments
        .rebuild(used.name(), &|_| (), &CancellationToken::new())
        .await
        .expect("it is made again");
    assert_eq!(rebuilt.folder(), used.folder());
    assert_eq!(rebuilt.lock().expect("it has one").to_string(), lock.to_string());
    assert_eq!(environments.list().environments[0].uses, 1);
    let again = environments.find(&spec(&[TINY])).expect("it is found by its spec");
    assert_eq!(again.folder(), used.folder());
    assert_eq!(output_of(&again, "import toolz; print(toolz.__version__)").await, "1.0.0");

    environments.remove(used.name(), &options.needed, false).expect("it is removed");
    assert!(matches!(
        environments.remove("../etc", &options.needed, false),
        Err(RuntimeError::EnvironmentNotFound(_))
    ));
    assert_eq!(entries(environments.root()), Vec::<String>::new());
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
