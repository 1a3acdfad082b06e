//! A disk for tests that remembers and fails.
//!
//! [`Disk::watch`] puts a layer between SQLite and the files below a folder, for every connection
//! that this process opens from then on. The layer records each write, and what a sync or a change
//! of the folder made sure of ([`Recording`]); from that come [`CrashClones`]: what could be on the
//! disk after the power failed at some moment. And it lets calls fail ([`Fault`]): a full disk, a
//! broken one, too many open files.
//!
//! The code under test knows nothing of it: it opens its files as it always does.

mod clones;
mod disk;
#[expect(unsafe_code, reason = "SQLite's file layer is a C interface of function pointers")]
mod vfs;

pub use clones::{Clone, CrashClones};
pub use disk::{Disk, Fault, FaultKind, Op, Recording};
