//! The static build of the interface, which both hosts embed.

use std::env;
use std::path::Path;

use anyhow::Result;

use crate::exec;
use crate::stamp::{self, Inputs};
use crate::steps::Outcome;
use crate::workspace::Workspace;

/// Folders below `ui/` that the build does not read.
const NOT_READ: &[&str] = &["node_modules", "build", ".svelte-kit", "test-results", "coverage"];

/// Builds `ui/build` unless it was built from these very files.
pub fn build(workspace: &Workspace) -> Result<Outcome> {
    let ui = workspace.ui();
    let hash = Inputs::default().tree(&ui, NOT_READ)?.hash();
    let stamp_file = ui.join("node_modules/.cairn-ui-build");
    if ui.join("build/index.html").is_file() && stamp::is_current(&stamp_file, &hash) {
        return Ok(Outcome::Skipped("ui/build fits its sources".to_owned()));
    }
    script(&ui, "build")?;
    stamp::write(&stamp_file, &hash)?;
    Ok(Outcome::Done)
}

/// Runs a script of `ui/package.json`.
pub fn script(ui: &Path, name: &str) -> Result<()> {
    let mut npm = exec::program("npm", ui);
    npm.args(["run", "--silent", name]);
    if env::var_os("CI").is_some() {
        // Vitest and others wait for keys when they believe that somebody watches.
        npm.stdin(std::process::Stdio::null());
    }
    exec::run(&mut npm)
}
