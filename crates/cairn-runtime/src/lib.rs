//! How anything of the user's is executed: environments made by uv, and supervised processes.
//!
//! Three steps, each usable alone:
//! [`Uv::find_or_install`] finds the tool, [`Environments::ensure`] makes (or reuses) a Python
//! environment with it, [`Process::spawn`] runs a program and hands out what it prints.
//! [`samples`] is the first user of all three.
//!
//! Nothing here goes through a shell: a program gets its arguments as they are. Everything that
//! waits takes a [`CancellationToken`]; cancelling it ends every process begun on the way, with its
//! descendants, and answers [`RuntimeError::Cancelled`]. Cloning a token shares it.
//!
//! What can take long tells so through a [`Progress`] function: plain sentences, in the order in
//! which things happen, made to be shown as they are.

pub mod environment;
mod error;
pub mod launch;
mod output;
mod process;
mod programs;
pub mod samples;
pub mod serving;
pub mod supervisor;
mod survivors;
mod tool;
pub mod tracking;
mod uv;

pub use environment::{Environment, EnvironmentSpec, Environments};
pub use error::{Result, RuntimeError, capital};
pub use output::{OutputEvent, OutputLine, OutputStream};
pub use process::{Exit, ExitCause, GRACE, Process, ProcessSpec};
pub use tokio_util::sync::CancellationToken;
pub use uv::{ToolFolders, Uv};

/// Where progress is told: called with one sentence (or one line of a tool's output) at a time.
///
/// It is called on an async thread and must return quickly.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}
