//! Launches with real processes: the supervisor, its child, the queue and the servers are the
//! program `cairn` itself.

mod bounds;
mod queue;
mod recovery;
mod serving;
mod stop;

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use cairn_core::run::RunStatus;
use cairn_runtime::{
    launch::{
        Cause, ChildSpec, LaunchId, LaunchKind, LaunchSpec, LaunchState, Launches, Placement,
    },
    tracking::{NewRun, RunRecord, Tracking},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cairn");

/// A home of its own for launches, with a store.
struct Home {
    folder: tempfile::TempDir,
    launches: Launches,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let launches = Launches::new(&folder.path().join("data")).with_program(PROGRAM);
        // All at once, unless a test says otherwise.
        launches.set_limit(100).unwrap();
        Self { folder, launches }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// What a shell runs, without a tracking server.
    fn shell(&self, script: &str) -> LaunchSpec {
        let mut spec = LaunchSpec::new(script, LaunchKind::Project, "http://127.0.0.1:9");
        spec.child = Some(self.child(&["bash", "-c", script]));
        spec
    }

    fn child(&self, argv: &[&str]) -> ChildSpec {
        ChildSpec {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            folder: self.path().to_owned(),
            ..ChildSpec::default()
        }
    }

    fn start(&self, spec: LaunchSpec) -> LaunchId {
        self.launches.submit(spec, Placement::Now).unwrap()
    }

    /// Waits for the end, which must come in time; its cause.
    fn cause(&self, id: &LaunchId, limit_secs: u64) -> Cause {
        let launch = self.launches.wait_for(id, Duration::from_secs(limit_secs)).unwrap();
        match launch.state {
            LaunchState::Ended { cause, .. } => cause,
            state => panic!("{state:?} after {limit_secs} s:\n{}", self.told(id)),
        }
    }

    /// Everything that it printed and that is known of it, for the message of a failed test.
    fn told(&self, id: &LaunchId) -> String {
        let folder = self.launches.folder(id);
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        format!("{}\n{}\n{}", read("ledger"), read("supervisor.log"), text(&self.log(id)))
    }

    fn log(&self, id: &LaunchId) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.launches.get(id).unwrap().log().copy_to(&mut bytes).unwrap();
        bytes
    }

    /// `cairn serve` on the store of this home.
    fn serve(&self, port: u16, more: &[&str]) -> Server {
        Server::start(self.path(), &self.store(), port, more)
    }

    /// A launch that logs to a server, with a run that is there already.
    fn tracked(&self, server: &Server, script: &str) -> (LaunchSpec, String) {
        let mut spec = self.shell(script);
        spec.tracking_uri.clone_from(&server.uri);
        spec.store = Some(self.store());
        let run_id = server
            .tracking()
            .create_run(&NewRun { experiment_id: "0".to_owned(), ..NewRun::default() });
        (spec, run_id.unwrap())
    }

    /// Starts a launch as the one of a run.
    fn start_for(&self, spec: LaunchSpec, run_id: &str) -> LaunchId {
        let run_id = Some(run_id.to_owned());
        self.start(LaunchSpec { run_id, ..spec })
    }
}

impl Drop for Home {
    /// A test that failed leaves nothing at work.
    fn drop(&mut self) {
        for launch in self.launches.active().unwrap_or_default() {
            if let Some(supervisor) = launch.supervisor() {
                supervisor.signal(rustix::process::Signal::TERM);
            }
            let _ = self.launches.wait_for(&launch.spec.launch_id, Duration::from_secs(15));
        }
    }
}

/// A `cairn serve` that ends with this value.
struct Server {
    process: Child,
    uri: String,
    lines: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start(home: &Path, store: &Path, port: u16, more: &[&str]) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(["serve", "--port", &port.to_string(), "--store"])
            .arg(store)
            .args(more)
            .env("CAIRN_HOME", home)
            .env("CAIRN_PROGRAM", PROGRAM)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let uri = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "cairn serve ended at its start");
            if let Some((_, uri)) = line.trim_end().split_once(" at http") {
                break format!("http{uri}");
            }
        };
        Self { process, uri, lines }
    }

    fn port(&self) -> u16 {
        self.uri.rsplit(':').next().unwrap().parse().unwrap()
    }

    fn tracking(&self) -> Tracking {
        Tracking::new(&self.uri, None).unwrap()
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to end and waits.
    fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut rest = String::new();
        let _ = self.lines.read_to_string(&mut rest);
        assert!(self.process.wait().unwrap().success(), "{rest}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until something is true.
fn eventually(what: &str, limit_secs: u64, mut is_true: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_true() {
        assert!(
            begin.elapsed() < Duration::from_secs(limit_secs),
            "not within {limit_secs} s: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How often a test that searches at random does its rounds.
fn rounds(usual: usize) -> usize {
    let scale = std::env::var("CAIRN_TEST_SCALE").ok().and_then(|text| text.parse().ok());
    usual * scale.unwrap_or(1)
}

/// The processes, zombies too, that carry a word in their environment or on their command line.
fn processes_with(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        if entry.file_name().to_str().is_none_or(|name| name.parse::<i32>().is_err()) {
            continue;
        }
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let mut all = read("environ");
        all.extend(read("cmdline"));
        if all.windows(word.len()).any(|window| window == word.as_bytes()) {
            found.push(text(&read("stat")));
        }
    }
    found
}

fn status_of(server: &Server, run_id: &str) -> RunRecord {
    server.tracking().get_run(run_id).unwrap()
}

#[test]
fn a_good_end_a_code_a_signal_and_what_cannot_start_are_told_apart() {
    let home = Home::new();
    let check = |spec: LaunchSpec, expected: Cause, status: RunStatus| {
        let id = home.start(spec);
        let cause = home.cause(&id, 20);
        assert_eq!(cause, expected, "{}", home.told(&id));
        assert_eq!(cause.status(), status);
        assert!(home.launches.active().unwrap().is_empty());
    };
    check(home.shell("echo hello"), Cause::Code { code: 0 }, RunStatus::Finished);
    check(home.shell("exit 3"), Cause::Code { code: 3 }, RunStatus::Failed);
    check(home.shell("kill -SEGV $$"), Cause::Signal { signal: 11 }, RunStatus::Failed);
    let mut missing = home.shell("");
    missing.child = Some(home.child(&["no-such-program"]));
    let message = "no-such-program: No such file or directory (os error 2)".to_owned();
    check(missing, Cause::CannotStart { message }, RunStatus::Failed);
    let mut nowhere = home.shell("true");
    nowhere.child.as_mut().unwrap().folder = "/no/such/folder".into();
    let message = "the folder /no/such/folder is not there".to_owned();
    check(nowhere, Cause::CannotStart { message }, RunStatus::Failed);
}

#[test]
fn both_streams_are_kept_in_their_order_and_the_child_sees_what_it_should() {
    let home = Home::new();
    let mut spec = home.shell(
        "echo one; echo two >&2; echo three; pwd; echo $A; echo ${HOME-none}; \
         echo $MLFLOW_TRACKING_URI; echo ${CAIRN_SUPERVISES-none}; cat",
    );
    let child = spec.child.as_mut().unwrap();
    child.env.insert("A".into(), "it's $HOME".into());
    child.env_remove.push("HOME".into());
    let id = home.start(spec);
    assert_eq!(home.cause(&id, 20), Cause::Code { code: 0 });
    let folder = home.path().display();
    assert_eq!(
        text(&home.log(&id)),
        format!("one\ntwo\nthree\n{folder}\nit's $HOME\nnone\nhttp://127.0.0.1:9\nnone\n")
    );
}

#[test]
fn nobody_else_can_read_what_is_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let server = home.serve(0, &[]);
    let (spec, run_id) = home.tracked(&server, "echo secret");
    let id = home.start_for(spec, &run_id);
    assert_eq!(home.cause(&id, 20), Cause::Code { code: 0 });
    let mut folders = vec![home.path().join("data")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let data = entry.metadata().unwrap();
            assert_eq!(data.permissions().mode() & 0o077, 0, "{:?}", entry.path());
            seen += 1;
            if data.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    assert!(seen > 12, "{seen}");
    let folder = home.launches.folder(&id);
    assert!(!folder.join("environment").exists(), "the environment is kept until the start only");
}

#[test]
fn what_is_prepared_is_run_and_a_failure_of_it_is_told() {
    let home = Home::new();
    let prepare = |script: &str| {
        let mut spec = home.shell("true");
        spec.child = None;
        let folder = home.launches.folder(&spec.launch_id);
        let argv = ["bash", "-c", script, "prepare", folder.to_str().unwrap()];
        spec.prepare = Some(argv.map(str::to_owned).to_vec());
        spec.finish = Some(["echo", "finished"].map(str::to_owned).to_vec());
        spec
    };
    let id = home.start(prepare(
        r#"echo preparing; echo '{"argv": ["echo", "child"], "folder": "/"}' > "$1/child.json""#,
    ));
    assert_eq!(home.cause(&id, 20), Cause::Code { code: 0 });
    assert_eq!(text(&home.log(&id)), "preparing\nchild\nfinished\n");

    let id = home.start(prepare(
        r#"echo '{"message": "no such branch", "hint": "Name one"}' > "$1/failure.json"; exit 1"#,
    ));
    let hint = Some("Name one".to_owned());
    assert_eq!(
        home.cause(&id, 20),
        Cause::PrepareFailed { message: "no such branch".to_owned(), hint }
    );
    assert_eq!(text(&home.log(&id)), "finished\n");

    let id = home.start(prepare("exit 7"));
    let message = "Ended with exit code 7; the log says more".to_owned();
    assert_eq!(home.cause(&id, 20), Cause::PrepareFailed { message, hint: None });
}
