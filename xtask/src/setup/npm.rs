//! The packages of the interface, exactly as `ui/package-lock.json` names them.

use anyhow::{Result, bail};

use crate::exec;
use crate::stamp::{self, Inputs};
use crate::steps::Outcome;
use crate::workspace::Workspace;

/// Runs `npm ci` in `ui/` unless `node_modules` was made from this lock file by this node.
pub fn install(workspace: &Workspace) -> Result<Outcome> {
    let ui = workspace.ui();
    let lock = ui.join("package-lock.json");
    if !lock.is_file() {
        bail!("{} is missing", lock.display());
    }
    if !exec::is_on_path("npm") {
        bail!("npm is not on PATH. Install Node 20 or newer (https://nodejs.org), then try again.");
    }
    let node = exec::capture(exec::program("node", &ui).arg("--version"))?;
    let hash = Inputs::default().file(&lock)?.word(node.trim()).hash();
    // The stamp lies inside, so that deleting node_modules deletes it too.
    let stamp_file = ui.join("node_modules/.cairn-stamp");
    if stamp::is_current(&stamp_file, &hash) {
        return Ok(Outcome::Skipped("node_modules fits the lock file".to_owned()));
    }
    exec::run(exec::program("npm", &ui).args(["ci", "--no-audit", "--no-fund"]))?;
    stamp::write(&stamp_file, &hash)?;
    Ok(Outcome::Done)
}
