//! Environments and processes, with the real uv and real processes.

mod environments;
mod processes;

use std::path::PathBuf;

use cairn_runtime::{CancellationToken, ToolFolders, Uv};

/// The uv on PATH. Tests that need one fail without it; `cargo xtask test` provides it.
async fn uv() -> Uv {
    let folders = ToolFolders::from_environment(PathBuf::from("/nonexistent"));
    Uv::find_or_install(&folders, &|_| (), &CancellationToken::new())
        .await
        .expect("uv is on PATH for these tests")
}
