//! Zip files, unpacked with bounds.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cairn_runtime::CancellationToken;
use zip::ZipArchive;

use crate::error::{ProjectError, Result};
use crate::yaml::shortened;

/// Files and folders of one archive.
const MAX_MEMBERS: usize = 50_000;
/// All files together, unpacked.
const MAX_BYTES: u64 = 4 << 30;

/// Unpacks a zip file into a folder.
///
/// A member that would leave the folder, a link, and an archive beyond the bounds are refused before anything
/// of it is written.
pub(crate) fn unpack(file: &Path, dest: &Path, cancel: &CancellationToken) -> Result<()> {
    let opened = fs::File::open(file).map_err(ProjectError::io("reading", file))?;
    let refuse = |what: String| {
        ProjectError::source(
            format!("{} {what}", file.display()),
            "Pack the project again, and try that file.",
        )
    };
    let broken = |error: zip::result::ZipError| refuse(format!("cannot be unpacked: {error}"));
    let mut archive = ZipArchive::new(io::BufReader::new(opened)).map_err(broken)?;
    if archive.len() > MAX_MEMBERS {
        return Err(refuse(format!("holds more than {MAX_MEMBERS} files")));
    }
    let mut bytes: u64 = 0;
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(broken)?;
        bytes = bytes.saturating_add(member.size());
        let full = member.name().map_err(broken)?.into_owned();
        let name = shortened(&full);
        if member.enclosed_name().is_none() || full.starts_with('/') || full.contains(['\\', '\0'])
        {
            return Err(refuse(format!(
                "holds \"{name}\", which would be written outside the project"
            )));
        }
        if member.is_symlink() {
            return Err(refuse(format!("holds \"{name}\", which is a link")));
        }
    }
    if bytes > MAX_BYTES {
        return Err(refuse(format!("is larger than {} GiB unpacked", MAX_BYTES >> 30)));
    }
    let mut left = MAX_BYTES;
    for index in 0..archive.len() {
        if cancel.is_cancelled() {
            return Err(ProjectError::Cancelled);
        }
        let mut member = archive.by_index(index).map_err(broken)?;
        let Some(path) = member.enclosed_name().map(|name| dest.join(name)) else { continue };
        if member.is_dir() {
            fs::create_dir_all(&path).map_err(ProjectError::io("creating", &path))?;
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ProjectError::io("creating", parent))?;
        }
        let is_program = member.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
        let mut target = fs::OpenOptions::new()
            .write(true)
            // Two members of one name are one too many.
            .create_new(true)
            .mode(if is_program { 0o700 } else { 0o600 })
            .open(&path)
            .map_err(ProjectError::io("creating", &path))?;
        // What a member says of its size is not trusted.
        let written = io::copy(&mut member.by_ref().take(left + 1), &mut target)
            .map_err(ProjectError::io("unpacking", &path))?;
        left = left
            .checked_sub(written)
            .ok_or_else(|| refuse(format!("is larger than {} GiB unpacked", MAX_BYTES >> 30)))?;
    }
    Ok(())
}
