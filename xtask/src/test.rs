//! `cargo xtask test`: every test there is, from nothing.
//!
//! The whole workspace is compiled once, with everything that any later step needs, because cargo
//! compiles shared dependencies anew for every other selection of packages. A failing step does not
//! stop the others, so one run shows every failure.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::codegen::{self, Scope};
use crate::exec;
use crate::setup::{self, Purpose};
use crate::stamp::Inputs;
use crate::steps::{Outcome, Steps};
use crate::ui;
use crate::workspace::Workspace;

/// Cargo's selection of everything, the window as `cargo xtask run` builds it. The program for conda
/// environments is built and tested by a step of its own: its 300 crates would be compiled for every other selection.
pub const WHOLE_WORKSPACE: &[&str] =
    &["--workspace", "--exclude", "cairn-conda", "--features", "cairn-desktop/custom-protocol"];

/// A step that can be chosen with `--only`.
struct Part {
    name: &'static str,
    /// Whether it needs the debug build.
    needs_build: bool,
    take: fn(&Workspace) -> Result<Outcome>,
}

const PARTS: &[Part] = &[
    Part { name: "codegen", needs_build: true, take: |ws| codegen::check(ws, Scope::Workspace) },
    Part { name: "rust", needs_build: true, take: rust },
    Part { name: "ui-lint", needs_build: false, take: |ws| script(ws, "lint") },
    Part { name: "ui-types", needs_build: false, take: |ws| script(ws, "check") },
    Part { name: "ui-unit", needs_build: false, take: |ws| script(ws, "test") },
    Part { name: "clients", needs_build: true, take: clients },
    Part { name: "interface", needs_build: true, take: |ws| node_tests(ws, "interface") },
    Part { name: "window", needs_build: true, take: |ws| node_tests(ws, "window") },
    Part { name: "conda", needs_build: false, take: conda },
];

/// The longest that one step may take when nobody watches.
const STEP_LIMIT_SECS: u64 = 20 * 60;

/// Runs `cargo xtask test [--only NAME] [--list]`.
pub fn command(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let names = || PARTS.iter().map(|part| part.name).collect::<Vec<_>>().join(" ");
    let only = match arguments {
        [] => None,
        [switch] if switch == "--list" => {
            println!("{}", names());
            return Ok(());
        }
        [switch, name] if switch == "--only" => {
            if !PARTS.iter().any(|part| part.name == name) {
                bail!("there is no step `{name}`; there are: {}", names());
            }
            Some(name.as_str())
        }
        _ => bail!("possible: --only NAME, --list"),
    };
    let chosen: Vec<&Part> =
        PARTS.iter().filter(|part| only.is_none_or(|name| name == part.name)).collect();

    let mut steps = Steps::begin();
    setup::steps_for(workspace, Purpose::Tests, &mut steps)?;
    let is_built = if chosen.iter().any(|part| part.needs_build) {
        build_all(workspace, &mut steps)
    } else {
        true
    };
    for part in chosen {
        if part.needs_build && !is_built {
            steps.not_possible(part.name, "the debug build failed");
        } else {
            steps.attempt(part.name, || (part.take)(workspace));
        }
    }
    steps.end()?;
    println!("\nAll tests passed.");
    Ok(())
}

/// Builds the interface, then everything that embeds or tests it. True if both were built.
fn build_all(workspace: &Workspace, steps: &mut Steps) -> bool {
    const RUST: &str = "debug build of everything";
    if steps.attempt("interface build", || ui::build(workspace)) {
        return steps.attempt(RUST, || build(workspace));
    }
    steps.not_possible(RUST, "the interface it embeds was not built");
    false
}

fn build(workspace: &Workspace) -> Result<Outcome> {
    let mut cargo = workspace.cargo();
    exec::run(cargo.arg("build").args(WHOLE_WORKSPACE).args(["--bins", "--tests"]))?;
    Ok(Outcome::Done)
}

fn rust(workspace: &Workspace) -> Result<Outcome> {
    let mut cargo = workspace.cargo();
    if setup::nextest(workspace) {
        cargo.args(["nextest", "run", "--no-fail-fast"]);
    } else {
        println!("  cargo-nextest is not installed; `cargo test` runs the same tests");
        cargo.args(["test", "--no-fail-fast", "--lib", "--bins", "--tests"]);
    }
    cargo.args(WHOLE_WORKSPACE);
    test_environment(workspace, &mut cargo)?;
    // A changed snapshot is a failure, never a new file.
    cargo.env("INSTA_UPDATE", "no");
    exec::run_limited(&mut cargo, STEP_LIMIT_SECS)?;
    Ok(Outcome::Done)
}

/// The program for conda environments, on a channel that its tests write.
fn conda(workspace: &Workspace) -> Result<Outcome> {
    // Building takes many minutes the first time, so it does not count for the limit.
    exec::run(workspace.cargo().args(["build", "--package", "cairn-conda", "--bins", "--tests"]))?;
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--package", "cairn-conda", "--no-fail-fast"]);
    test_environment(workspace, &mut cargo)?;
    exec::run_limited(&mut cargo, STEP_LIMIT_SECS)?;
    Ok(Outcome::Done)
}

fn script(workspace: &Workspace, name: &str) -> Result<Outcome> {
    ui::script(&workspace.ui(), name)?;
    Ok(Outcome::Done)
}

/// The real MLflow client and stock MLflow on the same files, by pytest.
fn clients(workspace: &Workspace) -> Result<Outcome> {
    let folder = workspace.root.join("tests/clients");
    let python = python_environment(workspace, "clients", &folder.join("requirements.txt"))?;
    let mut pytest = exec::program(python, &folder);
    // Two at a time: most of these tests wait for one program after the other.
    pytest.args(["-m", "pytest", "-ra", "--color=no", "-n", "2", "--dist", "worksteal"]);
    test_environment(workspace, &mut pytest)?;
    exec::run_limited(&mut pytest, STEP_LIMIT_SECS)?;
    Ok(Outcome::Done)
}

/// A folder of `tests/` with a `run.mjs`, run by node with the packages of `ui/`.
fn node_tests(workspace: &Workspace, name: &str) -> Result<Outcome> {
    let folder = workspace.root.join("tests").join(name);
    let script = folder.join("run.mjs");
    if !script.is_file() {
        bail!("{} is missing", script.display());
    }
    let mut node = exec::program("node", &folder);
    node.arg("run.mjs").env("NODE_PATH", workspace.ui().join("node_modules"));
    test_environment(workspace, &mut node)?;
    exec::run_limited(&mut node, STEP_LIMIT_SECS)?;
    Ok(Outcome::Done)
}

/// Tells a test where the programs under test, the tools and the test cache are.
fn test_environment(workspace: &Workspace, command: &mut Command) -> Result<()> {
    let cache = workspace.cache.join("tests");
    fs::create_dir_all(&cache)?;
    let uv = setup::uv(workspace)?;
    // Programs under test look for uv on PATH, as they do for a user.
    let folders = uv.parent().map(Path::to_path_buf).into_iter();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(folders.chain(env::split_paths(&path)))
        .context("a folder on PATH has a name that cannot stand there")?;
    command
        .env("PATH", path)
        .env("CAIRN_BIN", workspace.built("debug", "cairn"))
        .env("CAIRN_DESKTOP_BIN", workspace.built("debug", "cairn-desktop"))
        .env("CAIRN_TEST_CACHE", cache)
        .env("CAIRN_UV", uv)
        .env("CAIRN_TAURI_DRIVER", setup::tauri_driver(workspace));
    Ok(())
}

/// The Python of an environment that holds exactly the given requirements.
///
/// The folder's name carries the hash of the requirements, so a changed list makes a new one and a
/// half-made one (without its mark) is made again.
pub fn python_environment(
    workspace: &Workspace,
    name: &str,
    requirements: &Path,
) -> Result<PathBuf> {
    let hash = Inputs::default().file(requirements)?.hash();
    let folder = workspace.cache.join("venvs").join(format!("{name}-{hash}"));
    let python = folder.join("bin/python");
    let mark = folder.join(".complete");
    if mark.is_file() && python.is_file() {
        println!("  environment {name}: present");
        return Ok(python);
    }
    let uv = setup::uv(workspace)?;
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut make = exec::program(&uv, &workspace.root);
    make.args(["venv", "--quiet", "--clear"]).arg(&folder);
    if env::var_os("UV_PYTHON_PREFERENCE").is_none() {
        make.env("UV_PYTHON_PREFERENCE", "system");
    }
    exec::run(&mut make)?;
    let mut install = exec::program(&uv, &workspace.root);
    install.args(["pip", "install", "--quiet", "--python"]).arg(&python).arg("--requirement");
    exec::run(install.arg(requirements))?;
    fs::write(&mark, "").with_context(|| format!("{} cannot be written", mark.display()))?;
    Ok(python)
}
