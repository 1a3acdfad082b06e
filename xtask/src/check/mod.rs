//! `cargo xtask check`: what must hold before a change is handed over, tests aside.

mod direction;
mod metadata;
mod tidy;
mod versions;

use anyhow::Result;

use crate::codegen::{self, Scope};
use crate::exec;
use crate::steps::{Outcome, Steps};
use crate::test::WHOLE_WORKSPACE;
use crate::workspace::Workspace;

/// Runs `cargo xtask check [--all]`.
pub fn command(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    crate::only_switches(arguments, &["--all"])?;
    let with_window = !arguments.is_empty();
    let mut steps = Steps::begin();
    steps.attempt("crate boundaries", || direction::check(workspace));
    steps.attempt("versions of Tauri", || versions::check(workspace));
    steps.attempt("tidiness", || tidy::check(workspace));
    steps.attempt("formatting", || {
        exec::run(workspace.cargo().args(["fmt", "--all", "--check"]))?;
        Ok(Outcome::Done)
    });
    steps.attempt("lints", || lints(workspace, with_window));
    let scope = if with_window { Scope::Workspace } else { Scope::App };
    steps.attempt("generated types", || codegen::check(workspace, scope));
    steps.end()
}

fn lints(workspace: &Workspace, with_window: bool) -> Result<Outcome> {
    let mut cargo = workspace.cargo();
    cargo.arg("clippy").arg("--all-targets");
    if with_window {
        cargo.args(WHOLE_WORKSPACE);
    }
    exec::run(cargo.args(["--", "-D", "warnings"]))?;
    if with_window {
        let mut cargo = workspace.cargo();
        cargo.args(["clippy", "--all-targets", "--package", "cairn-conda"]);
        exec::run(cargo.args(["--", "-D", "warnings"]))?;
    }
    Ok(Outcome::Done)
}
