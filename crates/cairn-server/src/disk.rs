//! How much of the disk uploads may take.

use std::{fmt, io, path::Path, sync::Arc};

/// Disk space that uploads leave free, so that the database can go on writing.
pub const RESERVE_BYTES: u64 = 1 << 30;
/// An upload looks at the disk again after this many bytes.
pub(crate) const CHECK_EVERY_BYTES: u64 = 256 << 10;
/// What all connections together can write between two looks at the disk.
const MARGIN_BYTES: u64 = crate::listener::MAX_CONNECTIONS as u64 * CHECK_EVERY_BYTES;

type Free = dyn Fn(&Path) -> io::Result<u64> + Send + Sync;

/// Where the free space of a folder's disk is asked for.
#[derive(Clone)]
pub struct Disk(Arc<Free>);

impl Disk {
    /// A disk that a function tells about: bytes that this user may still take, for a folder.
    pub fn new(free: impl Fn(&Path) -> io::Result<u64> + Send + Sync + 'static) -> Self {
        Self(Arc::new(free))
    }

    /// Bytes that uploads into a folder may still take.
    pub(crate) fn room(&self, folder: &Path) -> io::Result<u64> {
        Ok((self.0)(folder)?.saturating_sub(RESERVE_BYTES + MARGIN_BYTES))
    }
}

impl Default for Disk {
    /// The real disk.
    fn default() -> Self {
        Self::new(|folder| {
            let disk = rustix::fs::statvfs(folder)?;
            Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
        })
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}
