//! Data that a parameter names elsewhere, brought to this computer.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cairn_runtime::CancellationToken;
use cairn_runtime::tracking::Tracking;

use crate::error::{ProjectError, Result};
use crate::params::scheme;
use crate::yaml::shortened;

/// Files and folders of a run that are fetched for one parameter.
const MAX_FILES: usize = 20_000;

/// Whether a value names something that is not a path on this computer.
pub(crate) fn is_remote(address: &str) -> bool {
    scheme(address).is_some_and(|scheme| scheme != "file")
}

/// Downloads to `target`, a file or, for a folder of a run, a folder.
///
/// `http` and `https` go through curl, which knows the person's proxies and certificates; `runs:/ID/path` comes from
/// the tracking server.
pub(crate) fn get(
    tracking: &Tracking,
    address: &str,
    target: &Path,
    cancel: &CancellationToken,
) -> Result<()> {
    let folder = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(ProjectError::io("creating", folder))?;
    match scheme(address).as_deref() {
        Some("http" | "https") => with_curl(address, target, cancel),
        Some("runs") => {
            let rest = address["runs:".len()..].trim_start_matches('/');
            let (run_id, path) = rest.split_once('/').unwrap_or((rest, ""));
            of_run(tracking, run_id, path.trim_matches('/'), target)
        }
        _ => Err(ProjectError::source(
            format!("{} cannot be downloaded", shortened(address)),
            "Download it yourself, and give the path.",
        )),
    }
}

fn with_curl(address: &str, target: &Path, cancel: &CancellationToken) -> Result<()> {
    let what = format!("Downloading {}", crate::git::without_credentials(address));
    let mut child = Command::new("curl")
        .args([
            "--fail",
            "--silent",
            "--show-error",
            "--location",
            "--globoff",
            "--proto",
            "=http,https",
        ])
        .args(["--proto-redir", "=http,https", "--connect-timeout", "30", "--output"])
        .arg(target)
        .arg("--url")
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| ProjectError::Tool {
            what: what.clone(),
            detail: error.to_string(),
            hint: Some("Install curl, or download it yourself and give the path.".to_owned()),
        })?;
    let status = loop {
        match child.try_wait().map_err(ProjectError::io("waiting for", "curl"))? {
            Some(status) => break status,
            None if cancel.is_cancelled() => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(ProjectError::Cancelled);
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut detail = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = std::io::Read::read_to_string(&mut std::io::Read::take(stderr, 4096), &mut detail);
    }
    Err(ProjectError::Tool {
        what,
        detail: detail.trim().to_owned(),
        hint: Some("Check the address and the network connection.".to_owned()),
    })
}

/// A file of a run, or everything in a folder of it.
fn of_run(tracking: &Tracking, run_id: &str, path: &str, target: &Path) -> Result<()> {
    let mut folders = vec![path.to_owned()];
    let mut files = Vec::new();
    let mut is_folder = path.is_empty();
    while let Some(folder) = folders.pop() {
        for entry in tracking.list_artifacts(run_id, &folder)? {
            is_folder = true;
            if entry.is_folder {
                folders.push(entry.path);
            } else {
                files.push(entry.path);
            }
            if files.len() > MAX_FILES {
                return Err(ProjectError::source(
                    format!("The run {run_id} has more than {MAX_FILES} files there"),
                    "Name a file or a smaller folder.",
                ));
            }
        }
    }
    if !is_folder {
        return one_file(tracking, run_id, path, target);
    }
    fs::create_dir_all(target).map_err(ProjectError::io("creating", target))?;
    for file in files {
        let inside = file.strip_prefix(path).unwrap_or(&file).trim_start_matches('/');
        // What a server names is not trusted to stay inside.
        let is_inside = Path::new(inside)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_inside {
            continue;
        }
        let place = target.join(inside);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(ProjectError::io("creating", folder))?;
        }
        one_file(tracking, run_id, &file, &place)?;
    }
    Ok(())
}

fn one_file(tracking: &Tracking, run_id: &str, path: &str, target: &Path) -> Result<()> {
    let mut content = tracking.download(run_id, path)?;
    let mut file = fs::File::create(target).map_err(ProjectError::io("creating", target))?;
    std::io::copy(&mut content, &mut file).map_err(ProjectError::io("writing", target))?;
    Ok(())
}
