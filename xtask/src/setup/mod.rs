//! `cargo xtask setup`: makes a fresh machine able to build, and with `--tests` to test.

mod apt;
mod npm;
mod tools;

use anyhow::Result;

use crate::steps::Steps;
use crate::workspace::Workspace;

pub use tools::{nextest, tauri_driver, uv};

/// What the machine shall be able to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Build and run Cairn.
    Run,
    /// Also run every test.
    Tests,
}

/// Runs `cargo xtask setup [--tests]`.
pub fn command(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    crate::only_switches(arguments, &["--tests"])?;
    let purpose = if arguments.is_empty() { Purpose::Run } else { Purpose::Tests };
    let mut steps = Steps::begin();
    steps_for(workspace, purpose, &mut steps)?;
    steps.end()
}

/// Takes the steps of the set-up as part of another command.
pub fn steps_for(workspace: &Workspace, purpose: Purpose, steps: &mut Steps) -> Result<()> {
    steps.need("system packages", || apt::install_missing(workspace, purpose))?;
    steps.need("npm packages", || npm::install(workspace))?;
    if purpose == Purpose::Tests {
        steps.need("uv", || tools::install_uv(workspace))?;
        steps.need("tauri-driver", || tools::install_tauri_driver(workspace))?;
    }
    Ok(())
}
