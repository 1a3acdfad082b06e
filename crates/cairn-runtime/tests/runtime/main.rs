//! Environments and processes, with the real uv and real processes.
//!
//! Tests that make environments need a uv on PATH and fail without it; `cargo xtask test` provides it.

mod containers;
mod environments;
mod notebooks;
mod processes;
