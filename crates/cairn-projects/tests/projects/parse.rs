//! `MLproject` files that are wrong, hostile or odd: each is refused with its line, quickly and in little memory.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use cairn_projects::{DeclaredEnvironment, ParameterKind, Problem, Project};

/// A file takes no longer than this, in a build without optimisation on a busy machine.
const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1500 } else { 100 });

fn parse(text: impl AsRef<[u8]>) -> Result<Project, Vec<Problem>> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join("MLproject"), text).expect("a file can be written");
    let started = Instant::now();
    let parsed = Project::parse(folder.path());
    assert!(started.elapsed() < LIMIT, "it took {:?}", started.elapsed());
    parsed
}

/// The text is refused, at this line, with these words in the message; there is a hint, or the message says all.
fn refuse(text: impl AsRef<[u8]>, line: usize, words: &str) {
    let shown =
        String::from_utf8_lossy(&text.as_ref()[..text.as_ref().len().min(300)]).into_owned();
    match parse(text) {
        Ok(project) => panic!("accepted as {project:?}:\n{shown}"),
        Err(problems) => {
            let found = problems.iter().any(|p| p.line == Some(line) && p.message.contains(words));
            assert!(found, "expected \"{words}\" at line {line}, found {problems:#?}\n{shown}");
            assert!(problems.len() <= 50);
            assert!(problems.iter().all(|problem| problem.file == "MLproject"));
            assert!(problems.iter().all(|problem| problem.message.len() < 1000), "{problems:?}");
        }
    }
}

/// The most memory this process ever had, in bytes. Each test is a process of its own.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the system tells it");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("it is there");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("it is a number")
        * 1024
}

#[test]
fn wrong_shapes_are_refused_at_their_line() {
    for (text, line, words) in [
        ("- a\n- b\n", 1, "a project file is a mapping"),
        ("just text\n", 1, "a project file is a mapping"),
        ("name: [a]\n", 1, "\"name\" is a text"),
        ("name: a\nentry_points: [main]\n", 2, "is a mapping from names"),
        ("entry_points: main\n", 1, "is a mapping from names"),
        ("entry_points:\n  main: python a.py\n", 2, "not a mapping with a command"),
        ("entry_points:\n  main:\n", 2, "not a mapping with a command"),
        ("entry_points:\n  main: {}\n", 2, "has no command"),
        ("entry_points:\n  main:\n    command: null\n", 2, "has no command"),
        ("entry_points:\n  main:\n    command: [python, a.py]\n", 3, "\"command\" is a text"),
        ("entry_points:\n  main:\n    command: {a: b}\n", 3, "\"command\" is a text"),
        (
            "entry_points:\n  main:\n    parameters: [a]\n    command: x\n",
            3,
            "\"parameters\" is a mapping",
        ),
        ("entry_points:\n  main:\n    parameters: {a: }\n    command: x\n", 3, "not a type"),
        ("entry_points:\n  main:\n    parameters: {a: 3}\n    command: x\n", 3, "not a type"),
        ("entry_points:\n  main:\n    parameters: {a: [float]}\n    command: x\n", 3, "not a type"),
        (
            "entry_points:\n  main:\n    parameters:\n      a: {type: [float]}\n    command: x\n",
            4,
            "\"type\" is a text",
        ),
        (
            "entry_points:\n  main:\n    parameters:\n      a: {default: [1]}\n    command: x\n",
            4,
            "is a list",
        ),
        (
            "entry_points:\n  main:\n    parameters:\n      a: {default: {b: 1}}\n    command: x\n",
            4,
            "is a mapping",
        ),
        (
            "entry_points:\n  main:\n    parameters:\n      a: {type: float, default: abc}\n    command: x\n",
            4,
            "no number",
        ),
        ("entry_points:\n  main:\n    command: \"python {alpha}\"\n", 3, "no declared parameter"),
        ("entry_points:\n  main:\n    command: \"awk '{print $1}'\"\n", 3, "no declared parameter"),
        ("entry_points:\n  main:\n    command: \"python {\"\n", 3, "not closed"),
        ("entry_points:\n  main:\n    command: \"python }\"\n", 3, "stands alone"),
        ("entry_points:\n  main:\n    command: \"python {}\"\n", 3, "names no parameter"),
        ("entry_points:\n  main:\n    command: \"python {0}\"\n", 3, "names no parameter"),
        (
            "entry_points:\n  main:\n    parameters: {a: float}\n    command: \"{a!r}\"\n",
            4,
            "more than a name",
        ),
        (
            "entry_points:\n  main:\n    parameters: {a: float}\n    command: \"{a.real}\"\n",
            4,
            "more than a name",
        ),
        ("conda_env: conda.yaml\n", 1, "there is no file"),
        ("python_env: [a]\n", 1, "\"python_env\" is a text"),
        ("python_env: a.yaml\nconda_env: b.yaml\n", 2, "two environments"),
        ("docker_env: {image: a}\nconda_env: b.yaml\n", 2, "two environments"),
        ("docker_env: image\n", 1, "\"docker_env\" is a mapping"),
        ("docker_env: {}\n", 1, "names no image"),
        ("docker_env:\n  image: --privileged\n", 2, "is no image"),
        ("docker_env:\n  image: a\n  volumes: /a:/b\n", 3, "\"volumes\" is a list"),
        ("docker_env:\n  image: a\n  volumes: [[a]]\n", 3, "a volume is a text"),
        ("docker_env:\n  image: a\n  environment: {A: b}\n", 3, "\"environment\" is a list"),
        ("docker_env:\n  image: a\n  environment: [[A]]\n", 3, "a pair of a name and a value"),
        ("name: a\ndatabricks_spark_job:\n  python_file: a.py\n", 3, "Databricks"),
    ] {
        refuse(text, line, words);
    }
}

#[test]
fn hostile_files_are_refused_at_their_line() {
    refuse("name: a\nname: b\n", 2, "given twice");
    refuse(
        "entry_points:\n  a: {command: x}\n  b: {command: x}\n  a: {command: y}\n",
        4,
        "given twice",
    );
    refuse("name: !!python/object/apply:os.system ['id']\n", 1, "is not allowed");
    refuse("name: !!python/name:os.system\n", 1, "is not allowed");
    refuse("name: !own x\n", 1, "is not allowed");
    refuse("a: !!set {b, c}\n", 1, "is not allowed");
    refuse("a: !!binary aGk=\n", 1, "is not allowed");
    refuse("a: &x [*x]\n", 1, "stands for nothing");
    refuse("a: *x\n", 1, "");
    refuse("name: a\n---\nname: b\n", 3, "more than one document");
    refuse("name: \"a\nb\n", 1, "this is not YAML");
    refuse("name: a\n\tentry_points: b\n", 1, "a tab");
    refuse("name: [a\n", 2, "this is not YAML");
    refuse("name: a: b\n", 1, "this is not YAML");
    refuse("? [a]\n: b\n", 1, "a list or a mapping");
    refuse(b"name: a\nx: \xff\xfe\n", 2, "not UTF-8");
    refuse("name: a\nb: \0\n", 2, "zero byte");
    refuse("a: {<<: 3}\n", 1, "takes a mapping");
}

#[test]
fn bombs_are_refused_in_little_memory() {
    // Each level repeats the one before it ten times.
    let mut bomb = String::from("l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let items = vec![format!("*l{}", level - 1); 10].join(", ");
        writeln!(bomb, "l{level}: &l{level} [{items}]").expect("a text grows");
    }
    refuse(&bomb, 5, "more than 20000 values");
    let mut merges = String::from("m0: &m0 {a0: 1, b0: 1}\n");
    for level in 1..40 {
        writeln!(
            merges,
            "m{level}: &m{level}\n  <<: [*m{}, *m{}]\n  a{level}: 1",
            level - 1,
            level - 1
        )
        .expect("a text grows");
    }
    // Repeated merges add nothing twice, so this one is only looked at for its time.
    let _ = parse(&merges);
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
        for depth in [40, 1000, 100_000] {
            let text = format!("a: {}x{}\n", open.repeat(depth), close.repeat(depth));
            assert!(parse(&text).is_err(), "{depth} of {open}");
        }
    }
    let mut nested = String::new();
    for level in 0..5000 {
        writeln!(nested, "{}a:", " ".repeat(level % 900)).expect("a text grows");
    }
    assert!(parse(&nested).is_err());
    for large in [
        format!("{}: 1\n", "k".repeat(1 << 20)),
        format!("name: {}\n", "v".repeat(3 << 20)),
        "a".repeat(8 << 20),
        "[".repeat(1 << 20),
        "&a ".repeat(300_000),
        "\n".repeat(2 << 20),
        "# comment\n".repeat(200_000),
    ] {
        assert!(parse(&large).is_err());
    }
    // Large, and still a project.
    let key = "k".repeat(1000);
    let project = parse(format!("{key}: {}\nname: a\n", "v".repeat(900_000)))
        .expect("a long value is no mistake");
    assert!(project.warnings[0].message.len() < 1000);
    let mut many = String::new();
    for n in 0..4000 {
        writeln!(many, "  e{n}: {{command: 'echo {n}'}}").expect("a text grows");
    }
    assert_eq!(
        parse(format!("entry_points:\n{many}")).expect("they are right").entry_points.len(),
        4000
    );
    let peak = peak_bytes();
    assert!(peak < 96 << 20, "{} MiB with the test program's own", peak >> 20);
}

#[test]
fn generated_mutations_never_panic_and_always_say_where() {
    const GOOD: &str = "name: p\npython_env: python_env.yaml\nentry_points:\n  main:\n    parameters:\n      alpha: {type: float, default: 0.5}\n      data: path\n      url: {type: uri}\n    command: \"python train.py {alpha} {data} {url} {{x}}\"\n  other:\n    command: |\n      python a.py &&\n      python b.py\n";
    const PIECES: [&str; 24] = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        "- ",
        "\t",
        "'",
        "\"",
        "&a",
        "*a",
        "!!python/object:os.x ",
        "|",
        ">",
        "#",
        "\n",
        "  ",
        "<<: ",
        "? ",
        "%YAML 1.1\n",
        "---\n",
        "\u{85}",
        "ü😀",
    ];
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join("python_env.yaml"), "python: '3.11'\n")
        .expect("a file can be written");
    let check = |text: &str| {
        let started = Instant::now();
        if let Err(problems) = Project::parse_text(folder.path(), "MLproject", text) {
            assert!(!problems.is_empty());
            let lines = text.lines().count() + 2;
            for problem in problems {
                let line = problem.line.unwrap_or_else(|| panic!("no line: {problem:?}\n{text}"));
                assert!((1..=lines).contains(&line), "{problem:?}\n{text}");
                assert!(!problem.message.is_empty());
            }
        }
        assert!(started.elapsed() < LIMIT);
    };
    assert!(Project::parse_text(folder.path(), "MLproject", GOOD).is_ok());
    let mut count = 0;
    let places: Vec<usize> = GOOD.char_indices().map(|(at, _)| at).collect();
    for at in places.iter().copied().step_by(3) {
        check(&GOOD[..at]);
        for piece in PIECES.iter().skip(at % 4).step_by(4) {
            check(&format!("{}{piece}{}", &GOOD[..at], &GOOD[at..]));
            check(&format!(
                "{}{piece}{}",
                &GOOD[..at],
                GOOD.get(at + piece.len()..).unwrap_or_default()
            ));
            count += 2;
        }
    }
    assert!(count > 800, "{count}");
}

#[test]
fn a_project_is_read_whole() {
    let project = parse(
        "name: demo\ndocker_env:\n  image: python:3.12\n  volumes: [\"/data:/data\"]\n  environment: [[\"A\", \"b\"], \"HOME\"]\nentry_points:\n  main:\n    parameters:\n      alpha: {type: float, default: 1e-1}\n      l1: {type: float, default: .10}\n      data: path\n      name: {default: yes}\n      old: int\n    command: \"python a.py {alpha} {data}\"\npipeline: {steps: []}\nunknown: 1\n",
    )
    .expect("it is right");
    assert_eq!(project.name.as_deref(), Some("demo"));
    let DeclaredEnvironment::Docker(docker) = &project.environment else {
        panic!("{:?}", project.environment)
    };
    assert_eq!(docker.volumes, ["/data:/data"]);
    let defaults: Vec<_> = project.entry_points[0]
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), p.default.as_deref()))
        .collect();
    assert_eq!(
        defaults,
        [
            ("alpha", Some("1e-1")),
            ("l1", Some("0.1")),
            ("data", None),
            ("name", Some("True")),
            ("old", None)
        ]
    );
    assert_eq!(project.entry_points[0].parameters[4].kind, ParameterKind::Other("int".to_owned()));
    assert!(project.pipeline.is_some());
    let warnings: Vec<_> = project.warnings.iter().filter_map(|warning| warning.line).collect();
    assert_eq!(warnings, [16, 13], "the key \"unknown\" and the type \"int\"");
}

#[test]
fn a_folder_without_a_file_is_a_project_with_scripts() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let project = Project::parse(folder.path()).expect("it is one");
    for (name, command) in [
        ("train.py", "python train.py"),
        ("a b.py", "python 'a b.py'"),
        ("run.sh", "/bin/zsh run.sh"),
        ("x.R", "Rscript -e \"mlflow::mlflow_source('x.R')\" --args"),
        ("n.ipynb", "papermill n.ipynb"),
        ("a{b}.py", "python 'a{{b}}.py'"),
    ] {
        assert_eq!(project.entry_point(name, "/bin/zsh").expect("it is a script").command, command);
    }
    for name in ["main", "train", ".py", "a.txt", ""] {
        assert!(project.entry_point(name, "bash").is_err(), "{name}");
    }
}

#[test]
fn the_file_is_found_in_any_case() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join("mlPROJECT"), "name: a\n").expect("a file can be written");
    assert_eq!(Project::parse(folder.path()).expect("it is one").name.as_deref(), Some("a"));
}
