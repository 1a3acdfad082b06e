//! The person's own git, called with argument lists only.
//!
//! Their credentials, helpers and proxies are used as they are. Hooks and file system monitors of a
//! repository are not started, and only transports that fetch are allowed.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use cairn_runtime::CancellationToken;

use crate::error::{ProjectError, Result};

/// How often a running git is asked whether it has ended or should.
const POLL: Duration = Duration::from_millis(2);
/// How much of an error's text is kept.
const KEPT_BYTES: u64 = 64 << 10;
/// The largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 256 << 20;

/// Variables that would lead git to another repository than the one of its folder.
const FOREIGN: [&str; 9] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_CEILING_DIRECTORIES",
];

/// git in a folder.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    folder: PathBuf,
    variables: Vec<(&'static str, OsString)>,
}

impl Git {
    /// Runs in a folder, on whatever repository that is in.
    pub(crate) fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), variables: Vec::new() }
    }

    /// With a variable of its own.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Runs to the end and answers what was printed. `what` is the subject of an error's sentence.
    pub(crate) fn run<A: AsRef<OsStr>>(
        &self,
        what: &str,
        arguments: &[A],
        cancel: &CancellationToken,
    ) -> Result<Vec<u8>> {
        self.run_with_input(what, arguments, None, cancel)
    }

    /// Like [`Git::run`], with something to read.
    pub(crate) fn run_with_input<A: AsRef<OsStr>>(
        &self,
        what: &str,
        arguments: &[A],
        input: Option<Vec<u8>>,
        cancel: &CancellationToken,
    ) -> Result<Vec<u8>> {
        let mut command = self.command(arguments);
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().map_err(|error| self.cannot_start(what, &error))?;
        let writer = child.stdin.take().zip(input).map(|(mut stdin, input)| {
            thread::spawn(move || {
                // A git that has ended already says why itself.
                let _ = std::io::Write::write_all(&mut stdin, &input);
            })
        });
        let reader = |pipe: Option<Box<dyn std::io::Read + Send>>, limit: u64| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                if let Some(mut pipe) = pipe {
                    let _ = pipe.as_mut().take(limit).read_to_end(&mut bytes);
                    // What is beyond the limit is read too, so that the program is not held up.
                    let _ = std::io::copy(&mut pipe, &mut std::io::sink());
                }
                bytes
            })
        };
        let stdout = reader(child.stdout.take().map(|pipe| Box::new(pipe) as _), MAX_ANSWER_BYTES);
        let stderr = reader(child.stderr.take().map(|pipe| Box::new(pipe) as _), KEPT_BYTES);
        let status = wait(&mut child, cancel)?;
        if let Some(writer) = writer {
            let _ = writer.join();
        }
        let stdout = stdout.join().unwrap_or_default();
        let stderr = String::from_utf8_lossy(&stderr.join().unwrap_or_default()).trim().to_owned();
        if status.success() {
            return Ok(stdout);
        }
        let detail = if stderr.is_empty() { status.to_string() } else { last_lines(&stderr) };
        Err(ProjectError::Tool { what: what.to_owned(), hint: hint(&detail), detail })
    }

    /// Runs to the end; the trimmed text, or `None` when it failed or printed nothing.
    pub(crate) fn ask<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Option<String> {
        let bytes = self.run("Asking git", arguments, &CancellationToken::new()).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
        (!text.is_empty()).then_some(text)
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new("git");
        command
            .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"])
            .args(["-c", "core.quotePath=false", "-c", "advice.detachedHead=false"])
            .args(arguments)
            .current_dir(&self.folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in FOREIGN {
            command.env_remove(name);
        }
        command
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_LITERAL_PATHSPECS", "0")
            .env("LC_ALL", "C");
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }

    fn cannot_start(&self, what: &str, error: &std::io::Error) -> ProjectError {
        let is_missing = error.kind() == std::io::ErrorKind::NotFound && self.folder.is_dir();
        ProjectError::Tool {
            what: what.to_owned(),
            detail: if is_missing {
                "git was not found on PATH".to_owned()
            } else {
                error.to_string()
            },
            hint: is_missing.then(|| "Install git, then try again.".to_owned()),
        }
    }
}

fn wait(child: &mut Child, cancel: &CancellationToken) -> Result<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if cancel.is_cancelled() => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(ProjectError::Cancelled);
            }
            Ok(None) => thread::sleep(POLL),
            Err(error) => return Err(ProjectError::io("waiting for", "git")(error)),
        }
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

fn hint(detail: &str) -> Option<String> {
    let lower = detail.to_lowercase();
    let found = [
        (
            "could not read username",
            "Log in to that server with git once (git ls-remote URL), or use an address with a key.",
        ),
        (
            "authentication failed",
            "Log in to that server with git once (git ls-remote URL), or use an address with a key.",
        ),
        ("permission denied (publickey", "Add your key to the server, or use an https address."),
        ("could not resolve host", "Check the address and the network connection."),
        (
            "dubious ownership",
            "The repository belongs to another user: git config --global --add safe.directory FOLDER allows it.",
        ),
        ("couldn't find remote ref", "Check the name of the branch, tag or commit."),
        ("transport 'ext' not allowed", "Give an https, ssh or file address."),
    ];
    found.into_iter().find(|(sign, _)| lower.contains(sign)).map(|(_, hint)| hint.to_owned())
}

/// A name that git reads as a commit and never as an option, a range or a mapping.
pub(crate) fn check_version(version: &str) -> Result<()> {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || "._/-@^~{}#+=".contains(c) || !c.is_ascii();
    let is_right = !version.is_empty()
        && version.len() <= 250
        && !version.starts_with(['-', '+', '^', '/'])
        && !version.contains("..")
        && version.chars().all(|c| is_plain(c) && !c.is_control());
    if is_right {
        return Ok(());
    }
    Err(ProjectError::source(
        format!("\"{}\" is no branch, tag or commit", crate::yaml::shortened(version)),
        "Give the name of a branch or tag, or a commit's hash.",
    ))
}

/// The path of the folder that a repository keeps its objects in.
pub(crate) fn objects_folder(folder: &Path) -> Option<PathBuf> {
    let path =
        Git::at(folder).ask(&["rev-parse", "--path-format=absolute", "--git-path", "objects"])?;
    Some(PathBuf::from(path))
}

/// An address without a name and password in it, as MLflow records it.
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_never_an_option_or_a_mapping() {
        for good in
            ["main", "v1.2.3", "feature/a-b", "HEAD~2", "0123abcd", "größe", "a@{1}", "fix#12"]
        {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "--upload-pack=touch x",
            "-v",
            "a b",
            "a:b",
            "+main",
            "a..b",
            "a\nb",
            "*",
            "a?b",
            "/x",
        ] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_passwords_are_taken_out_of_addresses() {
        for (url, expected) in [
            ("https://user:token@host/a.git", "https://host/a.git"),
            ("https://host/a@b.git", "https://host/a@b.git"),
            ("git@host:a/b.git", "git@host:a/b.git"),
            ("ssh://git@host/a.git", "ssh://host/a.git"),
        ] {
            assert_eq!(without_credentials(url), expected);
        }
    }
}
