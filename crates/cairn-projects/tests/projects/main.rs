//! Projects through the crate's public functions: what is read, refused, fetched and captured.

mod capture;
mod injection;

mod parse;
mod sources;

use std::fs;
use std::path::Path;
use std::process::Command;

/// Writes a file below a folder, with the folders above it.
pub fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("it is below a folder")).expect("a folder can be made");
    fs::write(path, text).expect("a file can be written");
}

/// Runs git in a folder, with nothing of the person's settings.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=A Person",
            "-c",
            "user.email=person@localhost",
            "-c",
            "commit.gpgSign=false",
        ])
        .args([
            "-c",
            "init.defaultBranch=main",
            "-c",
            "protocol.file.allow=always",
            "-c",
            "gc.auto=0",
            "-c",
            "maintenance.auto=false",
        ])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git starts");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Everything below a folder with size, time and content: to see whether anything was touched.
pub fn state(folder: &Path) -> Vec<(String, u64, std::time::SystemTime, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(&current).expect("it can be read").flatten() {
            let data = entry.metadata().expect("it can be looked at");
            if data.is_dir() {
                folders.push(entry.path());
            }
            let content = if data.is_file() {
                fs::read(entry.path()).expect("it can be read")
            } else {
                Vec::new()
            };
            let name =
                entry.path().strip_prefix(folder).expect("it is below").display().to_string();
            // git notes by an object's time that it was asked for; its content and name never change.
            let is_object = entry.path().to_string_lossy().contains("/.git/objects/");
            let modified = if is_object {
                std::time::UNIX_EPOCH
            } else {
                data.modified().expect("the system knows it")
            };
            found.push((name, if data.is_file() { data.len() } else { 0 }, modified, content));
        }
    }
    found.sort();
    found
}
