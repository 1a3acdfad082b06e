//! Paths inside an artifact tree.

use std::{fmt, path::Path};

use crate::error::Invalid;

/// A relative path that cannot leave the folder it is opened under.
///
/// Made once, by [`ArtifactPath::parse`], from text that has already been percent-decoded exactly
/// once; afterwards it is never decoded again, so what was checked is what is opened. It has no
/// empty, `.` or `..` segment, no NUL, and never starts with a slash. The empty path is the root.
///
/// Names that only look odd (`a?b`, `a#b`, `a%2fb`, `CON`, a backslash) are ordinary file names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArtifactPath(String);

impl ArtifactPath {
    /// The longest path accepted, in bytes.
    const MAX_BYTES: usize = 4_096;
    /// The longest segment that file systems here can hold, in bytes.
    const MAX_SEGMENT_BYTES: usize = 255;

    /// The folder itself.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// Checks a decoded path.
    ///
    /// Refused, with MLflow's words `Invalid path`: absolute paths, `.`/`..`/empty segments, NUL,
    /// over-long paths and segments, and text that would contain a `..` segment if someone decoded
    /// it again (stock MLflow does, and may serve the same tree).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new("Invalid path");
        if text.is_empty() {
            return Ok(Self::root());
        }
        if text.len() > Self::MAX_BYTES || has_bad_segment(text, true) {
            return Err(refused());
        }
        let mut again = text.to_owned();
        while again.contains('%') {
            let decoded =
                percent_encoding::percent_decode_str(&again).decode_utf8_lossy().into_owned();
            if decoded == again {
                break;
            }
            if has_bad_segment(&decoded, false) {
                return Err(refused());
            }
            again = decoded;
        }
        Ok(Self(text.to_owned()))
    }

    /// The path below this one.
    #[must_use]
    pub fn join(&self, below: &Self) -> Self {
        match (self.0.as_str(), below.0.as_str()) {
            ("", _) => below.clone(),
            (_, "") => self.clone(),
            (first, second) => Self(format!("{first}/{second}")),
        }
    }

    /// Whether this is the folder itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path with `/` between segments.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path as the file system wants it; `.` for the folder itself.
    pub fn as_path(&self) -> &Path {
        Path::new(if self.0.is_empty() { "." } else { &self.0 })
    }

    /// The segments from the top; none for the folder itself.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// The last segment; empty for the folder itself.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The folder that holds this path, or `None` for the folder itself.
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        Some(Self(
            self.0.rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_owned()),
        ))
    }
}

/// Whether any segment would move or confuse: `..` always; empty, `.` and over-long ones only in
/// the text that is really opened (`strict`).
fn has_bad_segment(text: &str, strict: bool) -> bool {
    text.contains('\0')
        || text.starts_with('/')
        || text.split(['/', '\\']).any(|segment| segment == "..")
        || (strict
            && text.split('/').any(|segment| {
                segment.is_empty()
                    || segment == "."
                    || segment.len() > ArtifactPath::MAX_SEGMENT_BYTES
            }))
}

impl fmt::Display for ArtifactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        for text in [
            "..",
            "../x",
            "a/../../x",
            "/etc/passwd",
            "a//b",
            "a/./b",
            ".",
            "a/",
            "a\0b",
            "..\\x",
            "a\\..\\..\\x",
            "%2e%2e/x",
            "%252e%252e%252fx",
            "a/%2e%2e%2fx",
            "%2fetc",
            "%00",
            &"x".repeat(5_000),
            &"y".repeat(256),
        ] {
            assert_eq!(ArtifactPath::parse(text), Err(Invalid::new("Invalid path")), "{text:?}");
        }
    }

    #[test]
    fn the_longest_path_and_segment_are_accepted() {
        let segment = "s".repeat(ArtifactPath::MAX_SEGMENT_BYTES);
        assert!(ArtifactPath::parse(&segment).is_ok());
        assert!(ArtifactPath::parse(&format!("{segment}s")).is_err());
        // 16 segments of 255 bytes with their slashes, and one more letter.
        let path = format!("{}a", format!("{segment}/").repeat(16));
        let longest = &path[1..];
        assert_eq!(longest.len(), ArtifactPath::MAX_BYTES);
        assert_eq!(ArtifactPath::parse(longest).unwrap().to_string(), longest);
        assert!(ArtifactPath::parse(&path).is_err());
    }

    #[test]
    fn only_the_empty_path_is_the_root() {
        assert!(ArtifactPath::parse("").unwrap().is_root());
        assert!(ArtifactPath::root().is_root());
        assert!(!ArtifactPath::parse("a").unwrap().is_root());
        assert_eq!(ArtifactPath::root().as_path(), Path::new("."));
    }

    #[test]
    fn odd_names_are_ordinary_names() {
        for text in
            ["a?b", "a#b", "a%2fb", "a;b", "ü/模型", ".hidden", "-dash", "CON", "C:\\x", "..."]
        {
            assert_eq!(ArtifactPath::parse(text).expect(text).as_str(), text);
        }
    }

    #[test]
    fn parents_and_joins() {
        let path = ArtifactPath::parse("a/b/c.txt").unwrap();
        assert_eq!(path.file_name(), "c.txt");
        assert_eq!(path.parent().unwrap().as_str(), "a/b");
        assert_eq!(path.segments().collect::<Vec<_>>(), ["a", "b", "c.txt"]);
        assert_eq!(ArtifactPath::root().segments().count(), 0);
        assert_eq!(ArtifactPath::root().join(&path), path);
        assert_eq!(ArtifactPath::root().parent(), None);
        assert_eq!(ArtifactPath::parse("a").unwrap().parent(), Some(ArtifactPath::root()));
    }
}
