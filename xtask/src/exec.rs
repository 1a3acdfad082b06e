//! Starting other programs: always with an explicit folder, always with an error that names them.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A command that starts `name` in `folder`, without what cargo set for xtask itself.
pub fn program(name: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(folder);
    // `cargo run` describes the package it runs; inherited by another cargo, these would describe
    // the wrong one to build scripts and tests.
    for (key, _) in env::vars_os() {
        let key_text = key.to_string_lossy();
        if key_text.starts_with("CARGO_PKG_") || key_text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&key);
        }
    }
    command
}

/// Runs to the end with its output on this terminal; a non-zero exit is an error.
pub fn run(command: &mut Command) -> Result<()> {
    println!("  $ {}", line(command));
    let status =
        command.status().with_context(|| format!("{} cannot be started", name(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", name(command));
    }
    Ok(())
}

/// Like [`run`], but a program that is still running after `limit_secs` is ended with its children
/// when nobody watches (`CI` is set). At a terminal the limit does not apply, so that Ctrl-C keeps
/// reaching the program itself.
pub fn run_limited(command: &mut Command, limit_secs: u64) -> Result<()> {
    if env::var_os("CI").is_none() {
        return run(command);
    }
    let folder = command.get_current_dir().unwrap_or(Path::new(".")).to_path_buf();
    let mut limited = Command::new("timeout");
    limited.current_dir(folder).arg("--kill-after=20").arg(limit_secs.to_string());
    limited.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(key, value),
            None => limited.env_remove(key),
        };
    }
    println!("  $ {}", line(command));
    let status = limited
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("{} cannot be started", name(command)))?;
    match status.code() {
        Some(0) => Ok(()),
        // What `timeout` exits with when it had to end the program, gently or not.
        Some(124 | 137) => bail!("{} was ended after {limit_secs} s", name(command)),
        _ => bail!("{} ended with {status}", name(command)),
    }
}

/// Runs silently and returns what it wrote to stdout; its stderr is part of the error.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} cannot be started", name(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {}", line(command), output.status, stderr.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} wrote no UTF-8", name(command)))
}

/// Whether the program can be started and exits with zero; all output is dropped.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether a program of this name is on PATH.
pub fn is_on_path(name: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

fn name(command: &Command) -> String {
    let path = Path::new(command.get_program());
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn line(command: &Command) -> String {
    let mut text = name(command);
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
