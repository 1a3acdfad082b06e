//! Containers, with the real podman. Where there is none, or it cannot run here, the tests say so and pass.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cairn_runtime::environment::container::{
    ContainerRun, ContainerTool, ContainerVariable, command_argv,
};

/// An image of nothing but busybox, made here, without a network.
const IMAGE: &str = "localhost/cairn-test-busybox:1";

/// Set for this test binary when it is started to be the child of a test.
const CHILD_VARIABLE: &str = "CAIRN_TEST_CONTAINER_RUN";

/// Podman with the image, or why not.
fn podman() -> Option<ContainerTool> {
    static FOUND: OnceLock<Result<ContainerTool, String>> = OnceLock::new();
    match FOUND.get_or_init(prepare) {
        Ok(tool) => Some(tool.clone()),
        Err(reason) => {
            // Loud, so that nobody takes it for a test that ran.
            eprintln!("SKIPPED: containers were not tested: {reason}");
            None
        }
    }
}

fn prepare() -> Result<ContainerTool, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tool = ContainerTool::find(&path).map_err(|error| error.to_string())?;
    if tool.program().file_name().is_none_or(|name| name != "podman") {
        return Err("only docker is there, and these tests make an image with podman".to_owned());
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).is_file())
        .ok_or("busybox is not installed (Debian: busybox-static)")?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let bin = folder.path().join("bin");
    fs::create_dir_all(&bin).map_err(|error| error.to_string())?;
    fs::copy(busybox, bin.join("busybox")).map_err(|error| error.to_string())?;
    for name in ["sh", "echo", "cat", "sleep", "env", "id", "pwd", "touch", "trap"] {
        symlink("busybox", bin.join(name)).map_err(|error| error.to_string())?;
    }
    let packed = Command::new("tar").arg("-C").arg(folder.path()).args(["-c", "."]).output();
    let packed = packed.map_err(|error| error.to_string())?.stdout;
    let mut import = podman_command(tool.program())
        .args(["import", "-", IMAGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    import
        .stdin
        .take()
        .expect("it was piped")
        .write_all(&packed)
        .map_err(|error| error.to_string())?;
    let output = import.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("podman import: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let probe = podman_command(tool.program())
        .args(["run", "--rm", "--network=host", IMAGE, "/bin/echo", "works"])
        .output()
        .map_err(|error| error.to_string())?;
    if !probe.status.success() {
        return Err(format!(
            "podman runs nothing here: {}",
            String::from_utf8_lossy(&probe.stderr)
        ));
    }
    Ok(tool)
}

/// Where this runs, podman's own defaults may ask for more than the machine gives.
fn configuration() -> PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let file = std::env::temp_dir().join(format!("cairn-test-containers-{}.conf", std::process::id()));
        let runtime = if Path::new("/usr/sbin/runc").exists() || Path::new("/usr/bin/runc").exists() {
            "runtime = \"runc\"\n"
        } else {
            ""
        };
        let text = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\n[engine]\n{runtime}"
        );
        fs::write(&file, text).expect("it can be written");
        file
    })
    .clone()
}

fn podman_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("CONTAINERS_CONF", configuration());
    command
}

fn run_of(tool: ContainerTool, name: &str, project: &Path, command: &str) -> ContainerRun {
    ContainerRun {
        tool,
        name: format!("cairn-test-{name}-{}", std::process::id()),
        image: IMAGE.to_owned(),
        project: project.to_owned(),
        readable: Vec::new(),
        volumes: Vec::new(),
        passed: Vec::new(),
        set: Vec::new(),
        arguments: Vec::new(),
        command: command_argv(command),
    }
}

/// Not a test of its own: what `cairn` does as the child of a supervisor, in a process of its own.
#[test]
fn child_that_runs_a_container() {
    let Some(file) = std::env::var_os(CHILD_VARIABLE) else { return };
    let code = cairn_runtime::environment::container::run_to_end(Path::new(&file));
    std::process::exit(code.unwrap_or_else(|error| {
        eprintln!("{error} {:?}", error.detail());
        125
    }));
}

/// This test binary as that child.
fn child(run: &ContainerRun, folder: &Path) -> Command {
    let file = folder.join("container.json");
    run.write(&file).expect("it can be written");
    let mut command = Command::new(std::env::current_exe().expect("it has a path"));
    command
        .args(["containers::child_that_runs_a_container", "--exact", "--nocapture"])
        .env(CHILD_VARIABLE, file)
        .env("CONTAINERS_CONF", configuration());
    command
}

fn containers_named(tool: &ContainerTool, name: &str) -> String {
    let output = podman_command(tool.program())
        .args(["ps", "--all", "--quiet", "--filter"])
        .arg(format!("name={name}"))
        .output()
        .expect("podman starts");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn project_variables_and_exit_code_pass_through_a_container() {
    let Some(tool) = podman() else { return };
    let project = tempfile::tempdir().expect("a folder");
    let data = tempfile::tempdir().expect("a folder");
    let spec = tempfile::tempdir().expect("a folder");
    fs::write(project.path().join("in.txt"), "from the project\n").expect("written");
    fs::write(data.path().join("extra.txt"), "from elsewhere\n").expect("written");
    let command = format!(
        "cat in.txt && cat {} && echo $GIVEN $MLFLOW_RUN_ID && pwd && touch made.txt && exit 42",
        data.path().join("extra.txt").display()
    );
    let mut run = run_of(tool.clone(), "pass", project.path(), &command);
    run.readable.push(data.path().to_owned());
    run.passed.push("MLFLOW_RUN_ID".to_owned());
    run.add_variables(&[ContainerVariable::Set("GIVEN".to_owned(), "it's; $(id)".to_owned())])
        .expect("they are set");
    let output =
        child(&run, spec.path()).env("MLFLOW_RUN_ID", "run-1").output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let expected = "from the project\nfrom elsewhere\nit's; $(id) run-1\n/mlflow/projects/code\n";
    assert!(text.contains(expected), "{text} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(42));
    assert_eq!(containers_named(&tool, &run.name), "", "it is removed");
    // What was made belongs to whoever ran it.
    let made = fs::metadata(project.path().join("made.txt")).expect("it was made");
    let own = fs::metadata(project.path()).expect("it is there");
    assert_eq!(made.uid(), own.uid());
}

#[test]
fn container_is_stopped_with_its_child_even_if_it_ignores_sigterm() {
    let Some(tool) = podman() else { return };
    let project = tempfile::tempdir().expect("a folder");
    let spec = tempfile::tempdir().expect("a folder");
    let command = "trap '' TERM; echo ready > ready.txt; while true; do sleep 1; done";
    let run = run_of(tool.clone(), "stop", project.path(), command);
    let mut running = child(&run, spec.path()).spawn().expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !project.path().join("ready.txt").exists() {
        assert!(Instant::now() < deadline, "it does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    let pid = rustix::process::Pid::from_raw(running.id().cast_signed()).expect("it has one");
    let asked = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is there");
    let status = running.wait().expect("it ends");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(137), "the code of a program that was killed");
    assert_eq!(containers_named(&tool, &run.name), "");
}

#[test]
fn image_that_is_not_there_and_variable_that_is_not_set_are_named() {
    let Some(tool) = podman() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut run = run_of(tool.clone(), "missing", folder.path(), "echo");
    run.image = "localhost/cairn-test-no-such-image:1".to_owned();
    assert!(tool.has_image(IMAGE) && !tool.has_image(&run.image));
    let output = child(&run, folder.path()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(125));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("cairn-test-no-such-image"), "{words}");
    let unset = [ContainerVariable::Copied("CAIRN_TEST_NOT_SET".to_owned())];
    let error = run.add_variables(&unset).expect_err("it is not set");
    assert!(error.to_string().contains("CAIRN_TEST_NOT_SET"));
}
