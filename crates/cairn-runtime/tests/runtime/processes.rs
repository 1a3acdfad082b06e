//! What a supervised process may rely on, and what it cannot escape.

use std::path::Path;
use std::time::{Duration, Instant};

use cairn_runtime::{
    CancellationToken, Exit, ExitCause, OutputEvent, OutputStream, Process, ProcessSpec,
    RuntimeError,
};

fn python(code: &str) -> ProcessSpec {
    ProcessSpec::new("python3", "/").arg("-c").arg(code)
}

async fn lines(process: &Process) -> Vec<(OutputStream, String)> {
    let mut lines = Vec::new();
    while let Some(event) = process.next_output().await {
        match event {
            OutputEvent::Line(line) => lines.push((line.stream, line.text)),
            OutputEvent::Skipped { lines } => panic!("{lines} lines were skipped"),
        }
    }
    lines
}

async fn run(spec: &ProcessSpec) -> (Exit, Vec<String>) {
    let mut process = Process::spawn(spec, &CancellationToken::new()).expect("the program starts");
    let lines = lines(&process).await.into_iter().map(|(_, text)| text).collect();
    (process.wait().await, lines)
}

/// The processes, zombies aside, whose command line holds `needle`.
fn processes_with(needle: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("/proc is there");
    entries
        .flatten()
        .filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
        })
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|line| line.contains(needle))
        .collect()
}

#[tokio::test]
async fn arguments_arrive_as_they_are() {
    let odd = ["$(id)", "`id`", "a;b", "a b", "-x", "'", "\"", "*", "line\nbreak", ""];
    let spec =
        ProcessSpec::new("python3", "/").args(["-c", "import sys; print(sys.argv[1:])"]).args(odd);
    let (exit, output) = run(&spec).await;
    assert!(exit.is_success());
    let expected = r#"['$(id)', '`id`', 'a;b', 'a b', '-x', "'", '"', '*', 'line\nbreak', '']"#;
    assert_eq!(output, [expected]);
}

#[tokio::test]
async fn both_streams_folder_environment_and_code_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let code = "import os, sys; print(os.getcwd()); print(os.environ['MARK'], file=sys.stderr); \
                print(sys.stdin.read() == '', 'PYTHONHASHSEED' in os.environ); sys.exit(3)";
    let spec = ProcessSpec::new("python3", folder.path()).arg("-c").arg(code).env("MARK", "é");
    let mut process = Process::spawn(&spec, &CancellationToken::new()).expect("it starts");
    let (stderr, stdout): (Vec<_>, Vec<_>) =
        lines(&process).await.into_iter().partition(|(stream, _)| *stream == OutputStream::Stderr);
    let real = folder.path().canonicalize().expect("it exists").display().to_string();
    assert_eq!(
        stdout.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
        [real.as_str(), "True False"]
    );
    assert_eq!(stderr, [(OutputStream::Stderr, "é".to_owned())]);
    let exit = process.wait().await;
    assert_eq!(exit, Exit { cause: ExitCause::Code(3), was_cancelled: false });
    assert_eq!(process.wait().await, exit, "asking again answers the same");
}

#[tokio::test]
async fn hundred_thousand_lines_arrive_although_nobody_reads_at_first() {
    let spec = python("for i in range(100_000): print('line', i)");
    let started = Instant::now();
    let mut process = Process::spawn(&spec, &CancellationToken::new()).expect("it starts");
    // It ends without being read: a full pipe would hold it up for ever.
    let exit = tokio::time::timeout(Duration::from_mins(1), process.wait())
        .await
        .expect("it is not held up");
    assert!(exit.is_success());
    let lines = lines(&process).await;
    assert_eq!(lines.len(), 100_000);
    for (index, (_, text)) in lines.iter().enumerate() {
        assert_eq!(*text, format!("line {index}"));
    }
    assert!(started.elapsed() < Duration::from_mins(1));
}

#[tokio::test]
async fn lines_arrive_while_the_process_runs() {
    let cancel = CancellationToken::new();
    let process = Process::spawn(&python("import time; print('now'); time.sleep(600)"), &cancel)
        .expect("it starts");
    let first = tokio::time::timeout(Duration::from_secs(30), process.next_output()).await;
    assert!(matches!(first, Ok(Some(OutputEvent::Line(line))) if line.text == "now"));
    cancel.cancel();
}

/// A program that ignores SIGTERM, with a grandchild of the same kind and one in a session of its own.
/// Each says `ready` in one write: all share one pipe, and an unbuffered `print` makes several.
const STUBBORN: &str = "
import signal, subprocess, sys, time
needle, depth = sys.argv[1], int(sys.argv[2])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if depth:
    for session in (False, True):
        subprocess.Popen([sys.executable, '-c', sys.argv[3], needle, str(depth - 1), sys.argv[3]], start_new_session=session)
sys.stdout.write(f'ready {depth}\\n')
time.sleep(600)
";

#[tokio::test]
async fn cancel_leaves_no_descendant_even_if_all_ignore_sigterm() {
    let needle = format!("needle-{}", std::process::id());
    let spec =
        python(STUBBORN).args([needle.as_str(), "2", STUBBORN]).grace(Duration::from_millis(500));
    let cancel = CancellationToken::new();
    let mut process = Process::spawn(&spec, &cancel).expect("it starts");
    for _ in 0..7 {
        let ready = tokio::time::timeout(Duration::from_mins(1), process.next_output()).await;
        assert!(
            matches!(ready, Ok(Some(OutputEvent::Line(line))) if line.text.starts_with("ready"))
        );
    }
    assert_eq!(processes_with(&needle).len(), 7);
    let cancelled_at = Instant::now();
    cancel.cancel();
    let exit = process.wait().await;
    assert_eq!(exit, Exit { cause: ExitCause::Signal(9), was_cancelled: true });
    assert_eq!(processes_with(&needle), Vec::<String>::new());
    assert!(cancelled_at.elapsed() >= Duration::from_millis(500), "the grace is given");
    assert!(cancelled_at.elapsed() < Duration::from_secs(6));
}

#[tokio::test]
async fn cancel_lets_a_program_end_by_itself() {
    let code = "import signal, sys, time\n\
                def end(*_): print('tidied up'); sys.exit(5)\n\
                signal.signal(signal.SIGTERM, end)\n\
                print('ready')\n\
                while True: time.sleep(0.05)";
    let cancel = CancellationToken::new();
    let mut process = Process::spawn(&python(code), &cancel).expect("it starts");
    assert!(process.next_output().await.is_some());
    cancel.cancel();
    let exit = process.wait().await;
    assert_eq!(exit, Exit { cause: ExitCause::Code(5), was_cancelled: true });
    assert_eq!(lines(&process).await, [(OutputStream::Stdout, "tidied up".to_owned())]);
}

#[tokio::test]
async fn ended_program_takes_what_it_left_behind_with_it() {
    let needle = format!("left-behind-{}", std::process::id());
    let code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', sys.argv[1]])";
    let (exit, _) = run(&python(code).arg(&needle)).await;
    assert!(exit.is_success());
    assert_eq!(processes_with(&needle), Vec::<String>::new());
}

#[tokio::test]
async fn dropped_process_ends() {
    let needle = format!("dropped-{}", std::process::id());
    let process = Process::spawn(
        &python("print('on'); import time; time.sleep(600)").arg(&needle),
        &CancellationToken::new(),
    )
    .expect("it starts");
    assert!(process.next_output().await.is_some());
    assert_eq!(processes_with(&needle).len(), 1);
    drop(process);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !processes_with(&needle).is_empty() {
        assert!(Instant::now() < deadline, "it is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn missing_program_and_missing_folder_are_named() {
    let check = |program: &str, folder: &str| {
        let spec = ProcessSpec::new(program, folder);
        let error = Process::spawn(&spec, &CancellationToken::new()).expect_err("it cannot start");
        assert!(matches!(error, RuntimeError::CannotStart { .. }));
        assert!(
            error.to_string().contains(program) && error.to_string().contains(folder),
            "{error}"
        );
        assert!(error.hint().is_some());
    };
    check("no-such-program", "/");
    check("python3", "/no/such/folder");
}

#[tokio::test]
async fn cancelled_token_starts_nothing() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("made");
    let spec = ProcessSpec::new("touch", "/").arg(&file);
    assert!(matches!(Process::spawn(&spec, &cancel), Err(RuntimeError::Cancelled)));
    assert!(!Path::new(&file).exists());
}
