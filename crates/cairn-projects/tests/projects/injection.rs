//! Values, names and addresses that try to be something else: each arrives as one argument, byte for byte.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use cairn_projects::{Restore, RunPlan, RunRequest, plan};

use crate::write;

/// Texts that a shell, an option parser, a template or a path would take for something else.
fn strings() -> Vec<String> {
    const PARTS: [&str; 25] = [
        "$(tripwire)",
        "`tripwire`",
        "; tripwire",
        "| tripwire",
        "&& tripwire",
        "\ntripwire\n",
        "> out",
        "< /etc/passwd",
        "--index-url=x",
        "-rf",
        "--",
        "'",
        "\"",
        "\\",
        "*",
        "~",
        "${HOME}",
        "$((1+1))",
        "{alpha}",
        "{{x}}",
        "!!",
        "# x",
        "ü😀",
        "\t",
        "%s%n",
    ];
    let mut strings: Vec<String> = PARTS.iter().map(|part| (*part).to_owned()).collect();
    strings.push(String::new());
    for (at, part) in PARTS.iter().enumerate() {
        strings.push(format!("a {part}"));
        strings.push(format!("'{part}'"));
        strings.push(format!("\"{part}\""));
        strings.push(format!("\\{part}"));
        strings.push(format!("{part}\u{1}\u{7f}"));
        for step in [1, 3, 7, 11, 13, 17, 19, 23] {
            strings.push(format!("{part}{}", PARTS[(at + step) % PARTS.len()]));
        }
        strings.push(format!("x'{part}'\"'\"'{part}"));
        strings.push(format!("{part}={part}"));
        strings.push(part.repeat(40));
    }
    strings
}

fn project(folder: &Path) {
    write(
        folder,
        "MLproject",
        "entry_points:\n  main:\n    parameters: {value: string, other: {default: \"{y}\"}}\n    command: \"show {value} {other} {{z}}\"\n",
    );
}

fn planned(folder: &Path, params: Vec<(String, String)>) -> RunPlan {
    let mut request = RunRequest::new(folder.to_str().expect("it is text"), folder);
    request.params = params;
    let data = tempfile::tempdir().expect("a folder can be made");
    plan(&request, data.path()).expect("the project is right")
}

/// A program that writes its arguments, each ended by a zero byte, and one that tells that it was called.
fn programs(folder: &Path) -> std::path::PathBuf {
    let programs = folder.join("programs");
    write(
        &programs,
        "show",
        "#!/bin/sh\nfor a in \"$@\"; do printf '%s\\0' \"$a\"; done > \"$SHOWN\"\n",
    );
    write(&programs, "tripwire", "#!/bin/sh\ntouch \"$TRIPPED\"\n");
    for name in ["show", "tripwire"] {
        let path = programs.join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be changed");
    }
    programs
}

#[test]
fn every_value_arrives_as_one_argument() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    project(folder.path());
    let programs = programs(folder.path());
    let shown = folder.path().join("shown");
    let tripped = folder.path().join("tripped");
    let strings = strings();
    assert!(strings.len() >= 400, "{}", strings.len());
    for pair in strings.chunks(2) {
        let (value, extra) = (&pair[0], pair.get(1).unwrap_or(&pair[0]));
        let name =
            if extra.is_empty() || extra == "value" || extra == "other" { "x" } else { extra };
        let params = vec![("value".to_owned(), value.clone()), (name.to_owned(), extra.clone())];
        let plan = planned(folder.path(), params);
        assert!(plan.can_run(), "{:?}", plan.problems);
        assert_eq!(plan.argv[..2], ["bash", "-c"]);
        let status = Command::new(&plan.argv[0])
            .args(&plan.argv[1..])
            .current_dir(folder.path())
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .env("SHOWN", &shown)
            .env("TRIPPED", &tripped)
            .status()
            .expect("bash starts");
        assert!(status.success(), "{value:?}");
        let got = fs::read(&shown).expect("it was written");
        let got: Vec<&[u8]> = got.split(|&byte| byte == 0).collect();
        let name = format!("--{name}");
        let wanted = [value.as_str(), "{y}", "{z}", &name, extra.as_str(), ""];
        assert_eq!(got, wanted.map(str::as_bytes), "{value:?} {extra:?}");
        assert!(!tripped.exists(), "{value:?} {extra:?}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).expect("it can be read").flatten().collect();
    let mut names: Vec<_> =
        left.iter().map(|entry| entry.file_name().as_bytes().to_vec()).collect();
    names.sort();
    assert_eq!(names, [&b"MLproject"[..], b"programs", b"shown"], "a value wrote a file");
}

#[test]
fn planning_starts_nothing_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    write(folder.path(), "python_env.yaml", "python: '3.11'\ndependencies: [pandas]\n");
    project(folder.path());
    // git would start this for a mere look.
    write(folder.path(), ".git/HEAD", "ref: refs/heads/main\n");
    write(
        folder.path(),
        ".git/config",
        "[core]\n\tfsmonitor = touch tripped\n\trepositoryformatversion = 0\n",
    );
    write(folder.path(), ".git/objects/x", "");
    write(folder.path(), ".git/refs/x", "");
    let before = crate::state(folder.path());
    let plan = planned(folder.path(), vec![("value".to_owned(), "1".to_owned())]);
    assert!(plan.can_run(), "{:?}", plan.problems);
    assert!(!plan.environment.is_built);
    assert_eq!(plan.environment.files, ["python_env.yaml"]);
    assert_eq!(before, crate::state(folder.path()));
}

#[test]
fn wrong_values_are_problems_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    write(
        folder.path(),
        "MLproject",
        "entry_points:\n  main:\n    parameters:\n      a: float\n      p: path\n      u: uri\n      s: string\n    command: \"x {a} {p} {u} {s}\"\n",
    );
    write(folder.path(), "data/in.csv", "1");
    let elsewhere = tempfile::tempdir().expect("a folder can be made");
    write(elsewhere.path(), "mine.csv", "1");
    let check = |params: [(&str, &str); 4], words: &[&str]| {
        let mut request =
            RunRequest::new(folder.path().to_str().expect("it is text"), elsewhere.path());
        request.params = params.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let plan = plan(&request, elsewhere.path()).expect("the project is right");
        let problems: Vec<_> =
            plan.problems.iter().map(|problem| problem.message.clone()).collect();
        assert_eq!(problems.len(), words.len(), "{problems:?}");
        for (problem, word) in problems.iter().zip(words) {
            assert!(problem.contains(word), "{problems:?}");
        }
        plan
    };
    let good = [("a", "1e-3"), ("p", "mine.csv"), ("u", "s3://a/b"), ("s", "x")];
    let plan = check(good, &[]);
    let mine = elsewhere.path().join("mine.csv");
    assert_eq!(plan.command, format!("x 1e-3 {} s3://a/b x", mine.display()));
    // Absent where the person stands, present in the project.
    let plan = check([good[0], ("p", "data/in.csv"), good[2], good[3]], &[]);
    assert!(plan.command.contains(&format!("{}/data/in.csv", folder.path().display())));
    let plan = check([good[0], ("p", "https://host/a/b.csv?x=1"), good[2], good[3]], &[]);
    assert!(plan.command.contains("param_1/b.csv"), "{}", plan.command);
    check([("a", "abc"), good[1], good[2], good[3]], &["no number"]);
    check(
        [("a", "1,5"), ("p", "none.csv"), ("u", "notauri"), good[3]],
        &["no number", "neither in", "no scheme"],
    );
    check([good[0], ("p", "s3://bucket/x"), good[2], good[3]], &["downloads nothing by s3"]);
    check([good[0], ("p", "file://otherhost/x"), good[2], good[3]], &["another computer"]);
    check([good[0], good[1], good[2], ("s", "a\0b")], &["zero byte"]);
    check([good[0], good[1], good[2], ("other", "x")], &["missing parameters: 's'"]);
}

#[test]
fn files_that_are_gone_are_no_problem_where_code_is_restored() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    write(
        folder.path(),
        "MLproject",
        "entry_points:\n  main:\n    parameters: {data: path}\n    command: \"x {data}\"\n",
    );
    let elsewhere = tempfile::tempdir().expect("a folder can be made");
    let check = |entry_point: &str, data: &str, now: &[&str], restored: &[&str]| {
        let mut request =
            RunRequest::new(folder.path().to_str().expect("it is text"), elsewhere.path());
        entry_point.clone_into(&mut request.entry_point);
        request.params = vec![("data".to_owned(), data.to_owned())];
        let restore = |code| Restore { run_id: "a".repeat(32), code, environment: false };
        for (restore, words) in
            [(None, now), (Some(restore(false)), now), (Some(restore(true)), restored)]
        {
            request.restore = restore;
            let plan = plan(&request, elsewhere.path()).expect("the project is right");
            assert_eq!(plan.problems.len(), words.len(), "{:?}", plan.problems);
            for (problem, word) in plan.problems.iter().zip(words) {
                assert!(problem.message.contains(word), "{problem:?}");
            }
        }
    };
    check("gone.py", "1", &["no file \"gone.py\""], &[]);
    check("gone", "1", &["gone"], &[]);
    check("main", "rows.csv", &["neither in"], &[]);
    // What is not in the project's folder is not restored.
    check("main", "/nowhere/rows.csv", &["does not exist"], &["does not exist"]);
}
