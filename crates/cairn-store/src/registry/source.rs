//! The `source` of a model version, parsed once.
//!
//! MLflow reads this text in several places by different rules, and most of its published path
//! traversals lived between two such readings. Here it is parsed once, into one of a few kinds.
//! Whatever could be read in two ways is refused: `?`, `#`, `;`, backslashes, control characters,
//! percent-encoding outside `file:` URIs, hosts, empty schemes, relative paths, and segments that
//! move. The check is on text alone: it says the same about paths that exist and paths that do not.

use cairn_core::{ArtifactPath, Invalid, LoggedModelId, RunId};

use super::Stage;

/// Schemes whose host the one who opens the files would connect to.
const HOST_ADDRESSED: [&str; 9] =
    ["ftp", "sftp", "hdfs", "viewfs", "http", "https", "r2", "b2", "abfss"];

/// What a model version is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ModelSource {
    /// `runs:/<run>/…`: files of a run, and the path below its folder.
    Run(RunId, ArtifactPath),
    /// `models:/m-…`: a logged model.
    LoggedModel(LoggedModelId),
    /// `models:/<name>/…` or `models:/<name>@…`: another version.
    Registered(String, Selector),
    /// `mlflow-artifacts:/…`: files of the artifact tree.
    Tree(ArtifactPath),
    /// A path on this machine, or a `file:` URI; here without its first slash.
    Local(ArtifactPath),
    /// A place in someone's cloud, which is never opened here.
    Cloud,
}

/// Which version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selector {
    Version(i64),
    Latest,
    Stage(Stage),
    Alias(String),
}

/// Which parameter of the request says whose files the source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Run,
    Model,
}

impl Owner {
    fn parameter(self) -> &'static str {
        match self {
            Self::Run => "run_id",
            Self::Model => "model_id",
        }
    }
}

/// Why a source is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A path on this machine that is not (or not surely) among the owner's files.
    Local,
    /// Something in it is relative or has more than one reading.
    Relative,
    /// The owner does not own it.
    NotOwned,
    /// It is a logged model, and not the one that the request names.
    NotThisModel,
    /// Opening it would connect to a host of its choice.
    Host(&'static str),
    /// The version that it copies has another run or model than the request says.
    OtherLineage,
    /// It copies a prompt.
    Prompt,
}

impl Refusal {
    /// The refusal in MLflow's words.
    pub fn of(self, source: &str, owner: Owner) -> Invalid {
        let parameter = owner.parameter();
        let reason = match self {
            Self::Local => format!(
                "To use a local path as a model version source, the {parameter} request parameter \
                 has to be specified and the local path has to be contained within the artifact \
                 directory of the run specified by the {parameter}."
            ),
            Self::Relative => "If supplying a source as an http, https, local file path, ftp, \
                 objectstore, or mlflow-artifacts uri, an absolute path must be provided without \
                 relative path references present. Please provide an absolute path."
                .to_owned(),
            Self::NotOwned => format!(
                "The {parameter} request parameter must identify the resource that contains the \
                 source."
            ),
            Self::NotThisModel => "The model_id request parameter must identify the resource that \
                 contains the source."
                .to_owned(),
            Self::Host(scheme) => {
                return Invalid::new(format!(
                    "'source' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses a \
                     host other than the tracking server's configured artifact storage, so the \
                     server would connect to the host named in the URI."
                ));
            }
            Self::OtherLineage => "The run_id and model_id request parameters must match the \
                 referenced model version."
                .to_owned(),
            Self::Prompt => "Prompt versions cannot be used as model version sources.".to_owned(),
        };
        Invalid::new(format!("Invalid model version source: '{source}'. {reason}"))
    }
}

impl ModelSource {
    /// Reads a source, or the location of a run's or model's files.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let Some((scheme, rest)) = split_scheme(text) else {
            return local(text).map(Self::Local);
        };
        if let Some(scheme) = HOST_ADDRESSED.iter().find(|known| known.eq_ignore_ascii_case(scheme))
        {
            return Err(Refusal::Host(scheme));
        }
        match scheme {
            "runs" => {
                let path = rooted(rest).ok_or(Refusal::NotOwned)?;
                let (run, below) = path.as_str().split_once('/').unwrap_or((path.as_str(), ""));
                let run = run.parse().map_err(|_| Refusal::NotOwned)?;
                let below = ArtifactPath::parse(below).map_err(|_| Refusal::NotOwned)?;
                Ok(Self::Run(run, below))
            }
            "models" => model(rest).ok_or(Refusal::NotThisModel),
            "mlflow-artifacts" if rest.starts_with("//") => Err(Refusal::NotOwned),
            "mlflow-artifacts" => rooted(rest).map(Self::Tree).ok_or(Refusal::Relative),
            "file" => file(rest).map(Self::Local),
            _ => cloud(scheme, rest),
        }
    }

    /// Whether this lies among the files at a run's or model's location.
    pub fn is_within(&self, root: &Self) -> bool {
        match (self, root) {
            (Self::Tree(path), Self::Tree(root)) | (Self::Local(path), Self::Local(root)) => {
                let rest = path.as_str().strip_prefix(root.as_str());
                !root.is_root() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            _ => false,
        }
    }
}

/// Cuts off a scheme; `None` for paths, and for what only looks like having one (`C:\x`).
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    is_scheme.then_some((scheme, rest))
}

/// Whether a text has characters that some reader of URIs or paths takes for more than a name.
fn has_second_reading(text: &str) -> bool {
    text.contains(['?', '#', ';', '\\']) || text.contains(char::is_control)
}

/// A path below a root, from text that starts with exactly one slash; one may stand at its end.
fn rooted(text: &str) -> Option<ArtifactPath> {
    let path = text.strip_prefix('/')?;
    if path.starts_with('/') || path.contains('%') || has_second_reading(path) {
        return None;
    }
    ArtifactPath::parse(path.strip_suffix('/').unwrap_or(path)).ok()
}

fn local(text: &str) -> Result<ArtifactPath, Refusal> {
    rooted(text).ok_or(Refusal::Local)
}

/// The path of `file:/path` and `file:///path`; a host is refused. Decoded once.
fn file(rest: &str) -> Result<ArtifactPath, Refusal> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if has_second_reading(path) {
        return Err(Refusal::Local);
    }
    let decoded =
        percent_encoding::percent_decode_str(path).decode_utf8().map_err(|_| Refusal::Local)?;
    local(&decoded)
}

/// What is behind `models:`.
fn model(rest: &str) -> Option<ModelSource> {
    // Unlike elsewhere, a slash at the end is not overlooked: it stands for a missing version.
    let path = rooted(rest).filter(|_| !rest.ends_with('/'))?;
    match path.as_str().split_once('/') {
        Some((name, selector)) => {
            let selector = if selector.bytes().all(|b| b.is_ascii_digit()) {
                Selector::Version(selector.parse().ok()?)
            } else if selector.eq_ignore_ascii_case("latest") {
                Selector::Latest
            } else {
                Selector::Stage(selector.parse().ok()?)
            };
            Some(ModelSource::Registered(name.to_owned(), selector))
        }
        None => match path.as_str().rsplit_once('@') {
            Some((name, alias)) if !name.is_empty() && !alias.is_empty() => {
                Some(ModelSource::Registered(name.to_owned(), Selector::Alias(alias.to_owned())))
            }
            _ => path.as_str().parse().ok().map(ModelSource::LoggedModel),
        },
    }
}

/// `scheme://host/path`, or `dbfs:/path`.
fn cloud(scheme: &str, rest: &str) -> Result<ModelSource, Refusal> {
    let has_place = match rest.strip_prefix("//") {
        Some(place) => !place.is_empty() && !place.starts_with('/'),
        None => scheme == "dbfs" && rest.starts_with('/'),
    };
    if !has_place || scheme.bytes().any(|b| b.is_ascii_uppercase()) || has_second_reading(rest) {
        return Err(Refusal::Relative);
    }
    // Whoever opens this may decode it more than once; each decoding makes the text shorter.
    let mut text = rest.to_owned();
    loop {
        if has_second_reading(&text) || text.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(Refusal::Relative);
        }
        let decoded = percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if decoded == text {
            return Ok(ModelSource::Cloud);
        }
        text = decoded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ArtifactPath {
        ArtifactPath::parse(text).unwrap()
    }

    fn check(text: &str, expected: ModelSource) {
        assert_eq!(ModelSource::parse(text), Ok(expected), "{text}");
    }

    #[test]
    fn each_kind_of_source_is_told_apart() {
        let registered = |name: &str, selector| ModelSource::Registered(name.to_owned(), selector);
        let run = |below: &str| ModelSource::Run("ab12".parse().unwrap(), path(below));
        check("runs:/ab12", run(""));
        check("runs:/ab12/model", run("model"));
        check("runs:/ab12/a/b c/", run("a/b c"));
        check("models:/m-1f", ModelSource::LoggedModel("m-1f".parse().unwrap()));
        check("models:/my model/12", registered("my model", Selector::Version(12)));
        check("models:/m/latest", registered("m", Selector::Latest));
        check("models:/m/production", registered("m", Selector::Stage(Stage::Production)));
        check("models:/a@b@c", registered("a@b", Selector::Alias("c".to_owned())));
        check("mlflow-artifacts:/1/ab/artifacts", ModelSource::Tree(path("1/ab/artifacts")));
        check("/home/a b/mlruns/", ModelSource::Local(path("home/a b/mlruns")));
        check("file:///home/a%20b/x", ModelSource::Local(path("home/a b/x")));
        check("file:/home/x", ModelSource::Local(path("home/x")));
        for cloud in
            ["s3://b/m", "gs://b/a%20b/", "wasbs://c@a.blob.core.windows.net/x", "dbfs:/x/y"]
        {
            check(cloud, ModelSource::Cloud);
        }
    }

    #[test]
    fn sources_with_a_second_reading_are_refused() {
        for text in [
            "",
            ".",
            "..",
            "etc",
            "../../etc",
            "./x",
            ":/etc",
            "//proc/self/root",
            "/a/../b",
            "/a//b",
            "/a/./b",
            "/a%2f..",
            "/a%2e%2e",
            "/a?/../../etc",
            "/a#/../..",
            "/a;x",
            "/a\\..\\b",
            "C:\\x",
            "C:/x",
            "\\\\host\\share",
            "/a\0b",
            "/a\nb",
            "file:etc",
            "file://etc/x",
            "file://localhost/etc",
            "file://./etc",
            "file:////etc",
            "file:../x",
            "file:///a/%2e%2e/b",
            "file:///a/%252e%252e/b",
            "file:///a%3f",
            "file:///a?b",
            "file:///a#b",
            "file:///%ff",
            "FILE:///etc",
            "File:/etc",
            "runs:",
            "runs:/",
            "runs://host/a",
            "runs:/a/../b",
            "runs:/a/b?x",
            "runs:/a%2fb",
            "Runs:/a/b",
            "models:",
            "models:/",
            "models://host/m-1",
            "models:/a/b/c",
            "models:/a/",
            "models:/a/nostage",
            "models:/@a",
            "models:/a@",
            "models:/../m-1",
            "models:/a%2f1",
            "models:/a/1?x=1",
            "models:/a/99999999999999999999",
            "mlflow-artifacts:",
            "mlflow-artifacts:x",
            "mlflow-artifacts://host/x",
            "mlflow-artifacts:/a/../b",
            "mlflow-artifacts:/a/%2e%2e/b",
            "mlflow-artifacts:/a?b",
            "mlflow-artifacts:/a%20b",
            "mlflow-artifacts:/a;b",
            "mlflow-artifacts:/a\\b",
            "http:///?/../../etc",
            "http:///#/../../etc",
            "https://h/x",
            "HTTP://h/x",
            "ftp://h/x",
            "hdfs://h/x",
            "abfss://f@h/x",
            "s3:",
            "s3:/b/m",
            "s3://",
            "s3:///x",
            "s3://b/../x",
            "s3://b/%2e%2e/x",
            "s3://b/%252e%252e/x",
            "s3://b/..%2fx",
            "s3://b/x?y",
            "s3://b/x#y",
            "s3://b/x;y",
            "s3://b\\..\\x",
            "S3://b/x",
            "dbfs:/a/%3f/x",
            "dbfs:x",
            "x:y",
        ] {
            assert!(ModelSource::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_what_lies_below_a_location_is_within() {
        let is_within = |path: &str, root: &str| {
            ModelSource::parse(path).unwrap().is_within(&ModelSource::parse(root).unwrap())
        };
        assert!(is_within("mlflow-artifacts:/1/r/artifacts/m", "mlflow-artifacts:/1/r/artifacts"));
        assert!(is_within("mlflow-artifacts:/1/r/artifacts", "mlflow-artifacts:/1/r/artifacts/"));
        assert!(is_within("/s/1/r/artifacts/m", "file:///s/1/r/artifacts"));
        assert!(!is_within("mlflow-artifacts:/1/r/artifacts2", "mlflow-artifacts:/1/r/artifacts"));
        assert!(!is_within("mlflow-artifacts:/1/r", "mlflow-artifacts:/1/r/artifacts"));
        assert!(!is_within("/1/r/artifacts/m", "mlflow-artifacts:/1/r/artifacts"));
        assert!(!is_within("mlflow-artifacts:/x", "mlflow-artifacts:/"));
        assert!(!is_within("/etc", "/"));
        assert!(!is_within("s3://b/m", "s3://b/m"));
    }
}
