//! Where the files of runs and models lie, and where they go.
//!
//! The addresses in a `meta.yaml` are those of the day it was written: the folder may have moved
//! since. And they are only text: a foreign folder may name any path of this machine. A local
//! address outside the folder is followed only if it ends as MLflow builds them, in the id of the
//! very run or model and `artifacts`; anything else is reported and not read.

use std::path::{Path, PathBuf};

use cairn_core::ArtifactPath;

use super::folder::Folder;

/// The name of the folder with a run's or model's files.
pub(super) const ARTIFACTS: &str = "artifacts";

/// What an address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A path on this machine.
    Local(PathBuf),
    /// A path of a tracking server's artifact tree (`mlflow-artifacts:/…`).
    Served(ArtifactPath),
    /// Another system (`s3://…`).
    Remote,
}

impl Address {
    /// Reads an address as MLflow writes them; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return Some(Self::Local(PathBuf::from(text)));
        }
        let (scheme, rest) = text.split_once(':')?;
        let is_scheme = scheme.len() > 1
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if !is_scheme {
            return None;
        }
        match scheme.to_ascii_lowercase().as_str() {
            "file" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                // Behind two slashes a host may stand; only this machine is meant here.
                let path = path.strip_prefix("localhost").unwrap_or(path);
                let path = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
                path.starts_with('/').then(|| Self::Local(PathBuf::from(path.as_ref())))
            }
            "mlflow-artifacts" => {
                let path = match rest.strip_prefix("//") {
                    // `//host:port/path`
                    Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
                    None => rest.trim_start_matches('/'),
                };
                ArtifactPath::parse(path.trim_end_matches('/')).ok().map(Self::Served)
            }
            _ => Some(Self::Remote),
        }
    }
}

/// Where the files of a run or model are.
#[derive(Debug)]
pub(super) enum Files {
    /// Here.
    Here(Folder),
    /// In another system, at the address in the `meta.yaml`.
    Remote,
    /// Outside, at an address that is not surely theirs.
    Outside,
    /// It has none.
    None,
}

/// Finds the files of a run or model: first in its own folder, then at its address.
///
/// `tail` is how the address must end: `<run>` or `models/<model>`; `root` the `mlruns` folder, beside
/// which a tracking server keeps `mlartifacts`.
pub(super) fn files_of(folder: &Folder, address: Option<&str>, tail: &str, root: &Path) -> Files {
    let address = address.map(Address::parse);
    if matches!(address, Some(Some(Address::Remote))) {
        return Files::Remote;
    }
    let own = folder.find(ARTIFACTS).ok().flatten();
    let is_empty = own.as_ref().is_none_or(|own| own.entries().is_ok_and(|list| list.is_empty()));
    if let Some(own) = own
        && !is_empty
    {
        return Files::Here(own);
    }
    match address {
        Some(Some(Address::Local(path))) => {
            let is_theirs = path.ends_with(Path::new(tail).join(ARTIFACTS));
            let is_own = path == folder.path.join(ARTIFACTS);
            match Folder::open(&path) {
                Ok(found) if is_theirs && !is_own => Files::Here(found),
                Ok(found) if !is_own && !found.entries().is_ok_and(|list| list.is_empty()) => {
                    Files::Outside
                }
                // Stale: what the run has is in its own folder, and that is empty.
                _ => Files::None,
            }
        }
        Some(Some(Address::Served(path))) => {
            let tree = root.parent().map(|parent| parent.join("mlartifacts"));
            let found = tree.and_then(|tree| Folder::open(&tree).ok()).and_then(|mut folder| {
                for part in path.as_str().split('/') {
                    folder = folder.folder(part).ok()?;
                }
                Some(folder)
            });
            found.map_or(Files::None, Files::Here)
        }
        Some(Some(Address::Remote)) => Files::Remote,
        Some(None) | None => Files::None,
    }
}

/// Whose files an address means, by the ids in it, and the path below them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// `…/<run>/artifacts/…`
    Run(&'a str, String),
    /// `…/models/<model>/artifacts/…`
    Model(&'a str, String),
}

/// Finds the run or model in a local or served address.
pub(super) fn owner_of(address: &str) -> Option<Owner<'_>> {
    let parts: Vec<&str> = address.split('/').collect();
    let at =
        (1..parts.len()).rev().find(|at| parts[*at] == ARTIFACTS && parts[at - 1].len() >= 32)?;
    let below = parts[at + 1..].join("/");
    let below = below.trim_end_matches('/').to_owned();
    let id = parts[at - 1];
    if id.starts_with("m-") && at >= 2 && parts[at - 2] == "models" {
        return Some(Owner::Model(id, below));
    }
    Some(Owner::Run(id, below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_local_served_or_remote() {
        let local = |path: &str| Some(Address::Local(PathBuf::from(path)));
        assert_eq!(Address::parse("/a/b"), local("/a/b"));
        assert_eq!(Address::parse("file:///a%20b"), local("/a b"));
        assert_eq!(Address::parse("file:/a"), local("/a"));
        assert_eq!(Address::parse("file://localhost/a"), local("/a"));
        assert_eq!(Address::parse("file://elsewhere/a"), None);
        for text in ["mlflow-artifacts:/0/r/artifacts", "mlflow-artifacts://h:5000/0/r/artifacts/"]
        {
            let path = ArtifactPath::parse("0/r/artifacts").unwrap();
            assert_eq!(Address::parse(text), Some(Address::Served(path)));
        }
        assert_eq!(Address::parse("mlflow-artifacts:/../x"), None);
        for text in ["s3://b/x", "dbfs:/x", "http://h/x", "wasbs://c@a/x"] {
            assert_eq!(Address::parse(text), Some(Address::Remote), "{text}");
        }
        for text in ["", "mlruns/0", "C:\\x"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_names_its_run_or_model() {
        let run = "0123456789abcdef0123456789abcdef";
        let model = "m-0123456789abcdef0123456789abcdef";
        assert_eq!(
            owner_of(&format!("file:///x/mlruns/0/{run}/artifacts/model/data")),
            Some(Owner::Run(run, "model/data".to_owned()))
        );
        assert_eq!(
            owner_of(&format!("/x/0/models/{model}/artifacts")),
            Some(Owner::Model(model, String::new()))
        );
        assert_eq!(owner_of("/etc/artifacts/x"), None);
        assert_eq!(owner_of("dummy-source"), None);
    }

    #[test]
    fn a_foreign_address_is_followed_only_if_it_is_surely_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef0123456789abcdef";
        let run = dir.path().join("mlruns/0").join(id);
        std::fs::create_dir_all(&run).unwrap();
        let secret = dir.path().join("secret");
        std::fs::create_dir_all(&secret).unwrap();
        std::fs::write(secret.join("key"), "x").unwrap();
        let kept = dir.path().join("data").join(id).join(ARTIFACTS);
        std::fs::create_dir_all(&kept).unwrap();
        let root = dir.path().join("mlruns");
        let find = |address: &Path| {
            let folder = Folder::open(&run).unwrap();
            files_of(&folder, Some(&address.display().to_string()), id, &root)
        };
        assert!(matches!(find(&secret), Files::Outside));
        assert!(matches!(find(&kept), Files::Here(_)));
        assert!(matches!(find(Path::new("/gone/x")), Files::None));
        std::fs::create_dir(run.join(ARTIFACTS)).unwrap();
        std::fs::write(run.join(ARTIFACTS).join("a"), "x").unwrap();
        let Files::Here(own) = find(&kept) else { panic!("its own files") };
        assert_eq!(own.path, run.join(ARTIFACTS));
    }
}
