//! `cargo xtask run`: from a fresh clone to the open window.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::exec;
use crate::setup::{self, Purpose};
use crate::steps::{Outcome, Steps};
use crate::ui;
use crate::workspace::Workspace;

/// Sets up, builds release and becomes the window, or the browser host where there is no display.
/// Everything after `--` is given to that program.
pub fn command(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let given = match arguments.split_first() {
        None => &[],
        Some((first, rest)) if first == "--" => rest,
        Some((first, _)) => bail!("`{first}`: arguments for Cairn stand after `--`"),
    };

    let mut steps = Steps::begin();
    setup::steps_for(workspace, Purpose::Run, &mut steps)?;
    steps.need("interface build", || ui::build(workspace))?;
    let mut cairn = if has_display() {
        // The window starts the runs of a person by the program beside it.
        steps.need("cairn, release build", || release(workspace, CLI))?;
        steps.need("window, release build", || release(workspace, DESKTOP))?;
        exec::program(workspace.built("release", "cairn-desktop"), &env::current_dir()?)
    } else {
        println!("  no DISPLAY and no WAYLAND_DISPLAY: the browser host instead of the window");
        steps.need("browser host, release build", || release(workspace, CLI))?;
        let mut cairn = exec::program(workspace.built("release", "cairn"), &env::current_dir()?);
        cairn.args(["serve", "--ui"]);
        cairn
    };
    steps.end()?;
    println!();
    become_program(cairn.args(given))
}

/// Cargo's arguments for the window. Without `custom-protocol` it would look for a development
/// server instead of the embedded interface.
pub const DESKTOP: &[&str] = &["--package", "cairn-desktop", "--features", "custom-protocol"];

/// Cargo's arguments for the program `cairn`.
pub const CLI: &[&str] = &["--package", "cairn-cli", "--bin", "cairn", "--bin", "cairn-supervisor"];

/// Cargo's arguments for the program for conda environments.
const CONDA: &[&str] = &["--package", "cairn-conda", "--bin", "cairn-conda"];

/// Builds the program for conda environments, where `cairn` and the window look for it: beside themselves.
///
/// `cargo xtask run` does not: nobody should wait for 300 crates before the first window, and most projects need no
/// channel. A project that does says so, and names this command.
pub fn conda(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    crate::only_switches(arguments, &[])?;
    let mut steps = Steps::begin();
    steps.need("conda program, release build", || release(workspace, CONDA))?;
    steps.end()?;
    println!("\n{}", workspace.built("release", "cairn-conda").display());
    Ok(())
}

/// Builds a package in release; cargo itself skips what is built.
pub fn release(workspace: &Workspace, package: &[&str]) -> Result<Outcome> {
    exec::run(workspace.cargo().args(["build", "--release"]).args(package))?;
    Ok(Outcome::Done)
}

/// Whether there is a display to open a window on.
pub fn has_display() -> bool {
    cfg!(not(target_os = "linux"))
        || ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Replaces this process, so that signals reach the program itself.
#[cfg(unix)]
fn become_program(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec())
        .with_context(|| format!("{} cannot be started", command.get_program().display()))
}

#[cfg(not(unix))]
fn become_program(command: &mut Command) -> Result<()> {
    exec::run(command)
}
