//! Tracking and registry: `cargo xtask bench tracking [PART …] [--write] [--quick] [--artifact-mb N]`.
//!
//! The measuring itself is a program of its own, `cairn-perf`, built in release: this one is usually a
//! debug build, which would be slower than what it measures.

use std::path::Path;

use anyhow::Result;

use crate::exec;
use crate::workspace::Workspace;

/// Measures with the interpreter `python`, which has MLflow; `arguments` are those after `tracking`.
///
/// Generated stores are kept below cargo's target folder, on the disk that is measured.
pub fn measure(workspace: &Workspace, python: &Path, arguments: &[String]) -> Result<()> {
    exec::run(workspace.cargo().args(["build", "--release", "--package", "cairn-perf"]))?;
    let mut perf = exec::program(workspace.built("release", "cairn-perf"), &workspace.root);
    perf.arg("--cairn").arg(workspace.built("release", "cairn"));
    perf.arg("--python").arg(python);
    perf.arg("--folder").arg(workspace.target.join("bench/tracking"));
    for argument in arguments {
        if argument == "--write" {
            perf.arg("--docs").arg(workspace.root.join("docs"));
        } else {
            perf.arg(argument);
        }
    }
    exec::run(&mut perf)
}
