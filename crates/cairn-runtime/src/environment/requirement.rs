//! What an environment asks for: requirements as PEP 508 has them, and files of them as pip has them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::problem::{SpecProblem, shortened};

/// How deep requirements files may name each other.
const MAX_DEPTH: usize = 8;

/// The largest requirements file.
const MAX_BYTES: u64 = 1 << 20;

/// The most requirements of one environment.
const MAX_REQUIREMENTS: usize = 10_000;

/// One requirement: a package, with extras, versions, an address or a marker.
///
/// Its text is one line, is PEP 508, and begins with the package's name, so that no tool takes it for an option.
/// Environment variables in an address (`${TOKEN}`) stay as they are; uv puts in their values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Requirement {
    text: String,
    /// `sha256:…`, any of which is right.
    hashes: Vec<String>,
}

impl Requirement {
    /// Reads one requirement, with `--hash=` after it or without.
    ///
    /// Errors: in words, what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.chars().any(char::is_control) {
            return Err("a requirement is one line of text".to_owned());
        }
        let (text, options) = split_options(text);
        if text.is_empty() {
            return Err(if options.is_empty() {
                "a requirement is empty".to_owned()
            } else {
                format!("\"{}\" is an option, not a package", shortened(options))
            });
        }
        let mut hashes = Vec::new();
        let mut words = options.split_whitespace();
        while let Some(word) = words.next() {
            let hash = match word.strip_prefix("--hash") {
                Some("") => words.next(),
                Some(rest) => rest.strip_prefix('='),
                None => None,
            };
            match hash.filter(|hash| is_hash(hash)) {
                Some(hash) => hashes.push(hash.to_owned()),
                None => {
                    return Err(format!(
                        "\"{}\" after a package is not supported; only --hash=sha256:… is",
                        shortened(word)
                    ));
                }
            }
        }
        // What pip calls `git+https://…#egg=name`.
        let rewritten = from_egg(text);
        let text = rewritten.as_deref().unwrap_or(text);
        match pep508_rs::Requirement::<pep508_rs::VerbatimUrl>::from_str(text) {
            Ok(_) => Ok(Self { text: text.to_owned(), hashes }),
            Err(error) => Err(reason(text, &error)),
        }
    }

    /// The package's name, lower-case, with `-` for `_` and `.`.
    pub fn package(&self) -> String {
        let end = self
            .text
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(self.text.len());
        normal_name(&self.text[..end])
    }

    /// The requirement without its hashes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its hashes; empty when none was given.
    pub fn hashes(&self) -> &[String] {
        &self.hashes
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.hashes.iter().try_for_each(|hash| write!(f, " --hash={hash}"))
    }
}

impl TryFrom<String> for Requirement {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Requirement> for String {
    fn from(requirement: Requirement) -> Self {
        requirement.to_string()
    }
}

/// A package's name as PEP 503 compares it.
pub(crate) fn normal_name(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.push(c.to_ascii_lowercase()),
        }
    }
    normal
}

/// Where packages come from, beside or instead of the usual index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageSources {
    /// `--index-url`: instead of PyPI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// `--extra-index-url`: asked before the index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_indexes: Vec<String>,
    /// `--find-links`: pages or folders with files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub find_links: Vec<String>,
    /// `--no-index`: nothing but those.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_index: bool,
    /// `--pre`: versions before a release, too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pre_releases: bool,
    /// `--only-binary`: packages that are never built here, or `:all:`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_binary: Vec<String>,
    /// `--no-binary`: packages that are always built here, or `:all:`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_binary: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl PackageSources {
    /// As lines of a requirements file.
    pub(crate) fn lines(&self) -> String {
        let mut lines = String::new();
        let mut add = |option: &str, value: &str| {
            lines.push_str(option);
            lines.push(' ');
            lines.push_str(value);
            lines.push('\n');
        };
        if let Some(index) = &self.index {
            add("--index-url", index);
        }
        self.extra_indexes.iter().for_each(|url| add("--extra-index-url", url));
        self.find_links.iter().for_each(|url| add("--find-links", url));
        self.only_binary.iter().for_each(|name| add("--only-binary", name));
        self.no_binary.iter().for_each(|name| add("--no-binary", name));
        if self.no_index {
            lines.push_str("--no-index\n");
        }
        lines
    }

    /// Where packages come from, for people, without user names and passwords; empty for the usual index.
    pub fn shown(&self) -> Vec<String> {
        self.index
            .iter()
            .chain(&self.extra_indexes)
            .chain(&self.find_links)
            .map(|url| without_credentials(url))
            .collect()
    }
}

/// An address without the user name and password that may be in it.
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => url.to_owned(),
    }
}

/// What a requirements file holds, with what it includes.
#[derive(Debug, Default)]
pub(super) struct RequirementsFile {
    pub requirements: Vec<Requirement>,
    pub constraints: Vec<Requirement>,
    pub sources: PackageSources,
}

/// Reads requirements files of a project.
pub(super) struct Reader<'a> {
    /// Paths in problems are relative to it.
    pub folder: &'a Path,
    /// Every file that was read, in order.
    pub files: &'a mut Vec<PathBuf>,
}

impl Reader<'_> {
    pub fn shown(&self, file: &Path) -> PathBuf {
        file.strip_prefix(self.folder).unwrap_or(file).to_owned()
    }

    pub fn problem(
        &self,
        file: &Path,
        line: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> SpecProblem {
        SpecProblem {
            file: self.shown(file),
            line,
            column: 0,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// The text of a file; it is noted as read.
    pub fn text(&mut self, file: &Path) -> Result<String, SpecProblem> {
        let fail = |message: String, hint: &str| Err(self.problem(file, 0, message, hint));
        match std::fs::metadata(file) {
            Err(error) => return fail(format!("it cannot be read: {error}"), "Check its name."),
            Ok(data) if !data.is_file() => return fail("it is not a file".to_owned(), ""),
            Ok(data) if data.len() > MAX_BYTES => {
                return fail("it is larger than 1 MiB".to_owned(), "");
            }
            Ok(_) => {}
        }
        match std::fs::read_to_string(file) {
            Ok(text) => {
                if !self.files.iter().any(|known| known == file) {
                    self.files.push(file.to_owned());
                }
                Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))
            }
            Err(error) => fail(format!("it cannot be read: {error}"), "It must be UTF-8 text."),
        }
    }

    /// Reads one file and all that it includes into `into`.
    pub fn read(
        &mut self,
        file: &Path,
        is_constraint: bool,
        depth: usize,
        into: &mut RequirementsFile,
    ) -> Result<(), SpecProblem> {
        let text = self.text(file)?;
        for (line, content) in logical_lines(&text) {
            self.line(file, line, &content, is_constraint, depth, into)?;
        }
        Ok(())
    }

    /// Reads one line, as a file in `file`'s place would hold it.
    pub fn line(
        &mut self,
        file: &Path,
        line: usize,
        content: &str,
        is_constraint: bool,
        depth: usize,
        into: &mut RequirementsFile,
    ) -> Result<(), SpecProblem> {
        if content.starts_with('-') {
            return self.option(file, line, content, is_constraint, depth, into);
        }
        let requirement = Requirement::parse(content).map_err(|message| {
            self.problem(
                file,
                line,
                message,
                "Write a package as \"name==version\" or \"name @ https://…\".",
            )
        })?;
        let list = if is_constraint { &mut into.constraints } else { &mut into.requirements };
        if list.len() >= MAX_REQUIREMENTS {
            return Err(self.problem(file, line, "there are too many requirements", ""));
        }
        list.push(requirement);
        Ok(())
    }

    fn option(
        &mut self,
        file: &Path,
        line: usize,
        content: &str,
        is_constraint: bool,
        depth: usize,
        into: &mut RequirementsFile,
    ) -> Result<(), SpecProblem> {
        let (option, value) = match content.find([' ', '\t', '=']) {
            Some(at) => (&content[..at], content[at + 1..].trim()),
            // Short options may hold their value: `-rbase.txt`.
            None if !content.starts_with("--")
                && content.len() > 2
                && content.is_char_boundary(2) =>
            {
                content.split_at(2)
            }
            None => (content, ""),
        };
        let needs_value = || self.problem(file, line, format!("{option} needs a value"), "");
        match option {
            "-r" | "--requirement" | "-c" | "--constraint" => {
                if value.is_empty() {
                    return Err(needs_value());
                }
                if value.contains("://") {
                    return Err(self.problem(
                        file,
                        line,
                        format!("{option} names an address, and looking at a project fetches nothing"),
                        "Download the file into the project and name it here.",
                    ));
                }
                if depth >= MAX_DEPTH {
                    return Err(self.problem(
                        file,
                        line,
                        format!("requirements files include each other more than {MAX_DEPTH} deep"),
                        "Look for a file that includes itself.",
                    ));
                }
                let other = file.parent().unwrap_or(self.folder).join(value);
                if !other.is_file() {
                    return Err(self.problem(
                        file,
                        line,
                        format!("{} does not exist", shortened(value)),
                        "The path is relative to the file that names it.",
                    ));
                }
                let is_constraint = is_constraint || option.ends_with("-c") || option.ends_with("constraint");
                self.read(&other, is_constraint, depth + 1, into)
            }
            "-i" | "--index-url" | "--extra-index-url" | "-f" | "--find-links" => {
                if value.is_empty() {
                    return Err(needs_value());
                }
                let is_links = option == "-f" || option == "--find-links";
                let url = self.address(file, line, value, is_links)?;
                match option {
                    "-i" | "--index-url" => into.sources.index = Some(url),
                    "--extra-index-url" => into.sources.extra_indexes.push(url),
                    _ => into.sources.find_links.push(url),
                }
                Ok(())
            }
            "--no-index" => {
                into.sources.no_index = true;
                Ok(())
            }
            "--pre" => {
                into.sources.pre_releases = true;
                Ok(())
            }
            "--only-binary" | "--no-binary" => {
                let list = if option == "--only-binary" {
                    &mut into.sources.only_binary
                } else {
                    &mut into.sources.no_binary
                };
                for name in value.split([',', ' ']).filter(|name| !name.is_empty()) {
                    let is_name = name == ":all:" || name == ":none:"
                        || name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
                            && !name.starts_with('-');
                    if !is_name {
                        let message = format!("\"{}\" is not a package's name", shortened(name));
                        return Err(self.problem(file, line, message, ""));
                    }
                    list.push(name.to_owned());
                }
                Ok(())
            }
            // They change nothing here: uv takes wheels first, and asks for hashes where all have some.
            "--prefer-binary" | "--require-hashes" => Ok(()),
            "-e" | "--editable" => Err(self.problem(
                file,
                line,
                "an editable install cannot be part of an environment that projects share",
                "Remove the line: code in the project's folder is imported from there. For a package of \
                 the project itself use a pyproject.toml with a uv.lock.",
            )),
            "--trusted-host" => Err(self.problem(
                file,
                line,
                "--trusted-host is not accepted: packages would come without a check of who sends them",
                "Use an https address, or set UV_INSECURE_HOST yourself before starting Cairn.",
            )),
            _ => Err(self.problem(
                file,
                line,
                format!("the option {} is not supported here", shortened(option)),
                "Supported: -r, -c, -i, --extra-index-url, -f, --no-index, --pre, --only-binary, --no-binary, --hash.",
            )),
        }
    }

    fn address(
        &self,
        file: &Path,
        line: usize,
        value: &str,
        may_be_folder: bool,
    ) -> Result<String, SpecProblem> {
        let is_plain =
            !value.starts_with('-') && !value.chars().any(|c| c.is_control() || c.is_whitespace());
        let is_address = ["https://", "http://", "file://"].iter().any(|s| value.starts_with(s));
        if is_plain && is_address {
            return Ok(value.to_owned());
        }
        if may_be_folder && !value.contains("://") && !value.starts_with('-') {
            let folder = file.parent().unwrap_or(self.folder).join(value);
            if folder.exists() && !folder.to_string_lossy().contains(char::is_whitespace) {
                return Ok(folder.display().to_string());
            }
        }
        Err(self.problem(
            file,
            line,
            format!("\"{}\" is not an address of packages", shortened(value)),
            "Write an address that begins with https://, http:// or file://.",
        ))
    }
}

/// The lines of a requirements file as pip joins and strips them, each with its number.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut begun: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let is_comment = line.trim_start().starts_with('#');
        // A comment in the middle of a continued line ends it, as for pip.
        let (content, continues) = match line.strip_suffix('\\') {
            Some(content) if !is_comment => (content, true),
            _ => (line, false),
        };
        let (start, mut whole) = begun.take().unwrap_or((index + 1, String::new()));
        whole.push_str(content);
        if continues {
            begun = Some((start, whole));
        } else {
            lines.push((start, whole));
        }
    }
    lines.extend(begun);
    lines
        .into_iter()
        .map(|(line, text)| (line, without_comment(&text).trim().to_owned()))
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

/// Without `#` at the start or after white space, and what follows.
fn without_comment(line: &str) -> &str {
    let is_start = |at: usize| at == 0 || line[..at].ends_with(char::is_whitespace);
    line.match_indices('#').find(|(at, _)| is_start(*at)).map_or(line, |(at, _)| &line[..at])
}

/// Splits a requirement from the options after it.
fn split_options(text: &str) -> (&str, &str) {
    if text.starts_with('-') {
        return ("", text);
    }
    let is_start = |at: usize| text[..at].ends_with(char::is_whitespace);
    match text.match_indices("--").find(|(at, _)| is_start(*at)) {
        Some((at, _)) => (text[..at].trim_end(), &text[at..]),
        None => (text, ""),
    }
}

fn is_hash(text: &str) -> bool {
    text.split_once(':').is_some_and(|(kind, digest)| {
        matches!(kind, "sha256" | "sha384" | "sha512")
            && digest.len() >= 64
            && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// `name @ git+https://…` of `git+https://…#egg=name`.
fn from_egg(text: &str) -> Option<String> {
    let is_address = ["git+", "hg+", "svn+", "bzr+", "http://", "https://"]
        .iter()
        .any(|start| text.starts_with(start));
    let (url, fragment) = text.split_once('#').filter(|_| is_address)?;
    let name = fragment.split('&').find_map(|part| part.strip_prefix("egg="))?;
    Some(format!("{name} @ {url}"))
}

fn reason(text: &str, error: &pep508_rs::Pep508Error) -> String {
    let shown = shortened(text);
    if text.starts_with("git+") || text.contains("://") && !text.contains('@') {
        return format!("\"{shown}\" does not say which package it is; write \"name @ {shown}\"");
    }
    if text.starts_with(['.', '/']) || text.to_ascii_lowercase().ends_with(".whl") {
        return format!(
            "\"{shown}\" is a path; an environment that projects share takes packages by name, \
             or \"name @ file:///the/whole/path\""
        );
    }
    let message = error.message.to_string();
    let message = message.lines().next().unwrap_or_default();
    format!("\"{shown}\" is not a package requirement: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_pep_508_or_refused() {
        let check = |text: &str| Requirement::parse(text).map(|r| r.to_string());
        for good in [
            "toolz",
            "toolz==1.0.0",
            "scikit-learn>=1.6,<2",
            "uvicorn[standard]~=0.30 ; python_version >= '3.9'",
            "x @ https://example.org/x-1.0-py3-none-any.whl",
            "x @ git+https://example.org/x.git@abc",
        ] {
            assert_eq!(check(good).as_deref(), Ok(good));
        }
        let hash = "a".repeat(64);
        assert_eq!(
            check(&format!("toolz==1 --hash sha256:{hash}")),
            Ok(format!("toolz==1 --hash=sha256:{hash}"))
        );
        assert_eq!(
            check("git+https://example.org/x.git@v1#egg=x"),
            Ok("x @ git+https://example.org/x.git@v1".to_owned())
        );
        for bad in [
            "",
            "--index-url=http://x",
            "-e .",
            "-r other.txt",
            "toolz==1\n--pre",
            "toolz; $(id)",
            "$(id)",
            "`id`",
            "a b",
            "./toolz",
            "toolz --index-url http://x",
            "toolz==1 --hash=md5:00",
            "toolz|id",
            "toolz &",
            "git+https://example.org/x.git",
            "toolz\u{0}",
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    /// B-23: whatever a project writes, what reaches uv is one line that begins with a package's name.
    #[test]
    fn hostile_strings_are_refused_or_stay_one_requirement() {
        let payloads = [
            "$(touch x)",
            "`touch x`",
            "; touch x",
            "| touch x",
            "&& touch x",
            "> x",
            "\n--index-url=http://x",
            "\r-e .",
            "\t--pre",
            " --index-url http://x",
            " -i http://x",
            "--extra-index-url=http://x",
            "-r/etc/passwd",
            "'",
            "\"",
            "*",
            "?",
            "[",
            "]",
            "{}",
            "~",
            "!",
            "#",
            "%0a--pre",
            "\u{0}",
            "\u{2028}--pre",
            "\\",
            " @ $(id)",
            " @ file:///x --pre",
            "==1 --config-settings=x",
            " ; os_name == '$(id)'",
            "[-e]",
        ];
        let starts = [
            "",
            " ",
            "-",
            "--",
            "toolz",
            "toolz==1.0",
            "toolz>=1 ",
            "toolz @ https://x/",
            "./",
            "../",
            "git+",
            "-e ",
            "\n",
        ];
        let mut count = 0;
        for start in starts {
            for payload in payloads {
                count += 1;
                let given = format!("{start}{payload}");
                let Ok(requirement) = Requirement::parse(&given) else { continue };
                let text = requirement.to_string();
                assert!(!text.contains(char::is_control), "{given:?} became {text:?}");
                assert!(
                    text.starts_with(|c: char| c.is_ascii_alphanumeric()),
                    "{given:?} became {text:?}"
                );
                assert!(
                    !requirement.text().contains(" --") && requirement.hashes().is_empty(),
                    "{given:?} became {text:?}"
                );
            }
        }
        assert!(count > 400, "{count}");
    }

    #[test]
    fn names_are_compared_as_pep_503_does() {
        let name = |text: &str| Requirement::parse(text).map(|r| r.package());
        assert_eq!(name("Foo_.Bar[x]>=1").as_deref(), Ok("foo-bar"));
        assert_eq!(name("toolz").as_deref(), Ok("toolz"));
    }

    #[test]
    fn lines_are_joined_and_stripped_as_pip_does() {
        let text = "# head\na==1 \\\n  --hash=x # end\n\nb # why\nc#no\n  \\\n";
        let lines = logical_lines(text);
        assert_eq!(
            lines,
            [(2, "a==1   --hash=x".to_owned()), (5, "b".to_owned()), (6, "c#no".to_owned())]
        );
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_credentials("https://u:p@h/x@y"), "https://h/x@y");
        assert_eq!(without_credentials("https://h/x"), "https://h/x");
    }
}
