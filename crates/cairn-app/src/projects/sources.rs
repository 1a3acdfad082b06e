//! Where projects are, and which runs of the store are theirs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cairn_store::run_table::TableColumn;

use super::dto::ProjectKind;
use crate::{
    app::App,
    dto::{CommandError, ErrorCode, RunLink},
    errors,
    runs::{link, newest},
};

const SOURCE_NAME: &str = "mlflow.source.name";
const ENTRY_POINT: &str = "mlflow.project.entryPoint";
/// Runs of projects that are looked at, newest first.
const MOST_RUNS: usize = 20_000;
/// Bytes of a file of git's that are read.
const HEAD_BYTES: usize = 4096;

/// Where a project is: its address, taken apart once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A folder on this computer.
    Folder(PathBuf),
    /// A zip archive, with a folder in it.
    Archive { uri: String },
    /// What git fetches, with a folder in it.
    Git { uri: String },
}

impl Place {
    /// The place that a person gave: a folder with `~` or without, an address.
    pub fn given(uri: &str) -> Result<Self, CommandError> {
        let text = uri.trim().trim_matches(['"', '\'']);
        if text.is_empty() {
            return Err(CommandError::new(ErrorCode::InvalidInput, "No project was given"));
        }
        let place = Self::of(text);
        if let Self::Folder(folder) = &place
            && folder.is_relative()
        {
            return Err(CommandError::new(
                ErrorCode::InvalidInput,
                format!("{text} is neither a whole path nor an address"),
            )
            .with_hint("Begin a folder with / or ~, and an address with https:// or git@."));
        }
        Ok(place)
    }

    /// Reads an address as `mlflow run` does: what is neither an archive nor local is git's.
    pub fn of(uri: &str) -> Self {
        let (base, below) = match uri.split_once('#') {
            Some((base, below)) => (base, Some(below)),
            None => (uri, None),
        };
        if base.to_ascii_lowercase().ends_with(".zip") {
            return Self::Archive { uri: uri.to_owned() };
        }
        let local = base.strip_prefix("file://").unwrap_or(base);
        let path = errors::expand_home(Path::new(local));
        let is_local = base.starts_with("file://")
            || path.is_absolute()
            || path.exists()
            || !looks_remote(base);
        if !is_local {
            return Self::Git { uri: uri.to_owned() };
        }
        let folder = match below {
            Some(below) => path.join(below),
            None => path,
        };
        // A folder has one name, however it was written.
        let folder = folder.components().collect();
        Self::Folder(folder)
    }

    /// The address that names it.
    pub fn uri(&self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::Archive { uri } | Self::Git { uri } => uri.clone(),
        }
    }

    /// As a person writes it.
    pub fn shown(&self) -> String {
        match self {
            Self::Folder(folder) => errors::shorten_home(folder),
            Self::Archive { uri } => errors::shorten_home(Path::new(uri)),
            Self::Git { uri } => uri.clone(),
        }
    }

    /// What to call it while it has no name of its own.
    pub fn name(&self) -> String {
        let uri = self.uri();
        let text = uri.trim_end_matches('/').trim_end_matches(".git");
        let last = text.rsplit(['/', '#', ':']).next().unwrap_or(text);
        if last.is_empty() { uri.clone() } else { last.to_owned() }
    }

    pub fn kind(&self) -> ProjectKind {
        match self {
            Self::Folder(_) => ProjectKind::Folder,
            Self::Archive { .. } => ProjectKind::Archive,
            Self::Git { .. } => ProjectKind::Git,
        }
    }

    /// Its folder, where it has one on this computer.
    pub fn folder(&self) -> Option<PathBuf> {
        match self {
            Self::Folder(folder) => Some(folder.clone()),
            Self::Archive { .. } | Self::Git { .. } => None,
        }
    }
}

/// `scheme://…` or `git@host:path`.
fn looks_remote(text: &str) -> bool {
    text.contains("://")
        || text.split_once(':').is_some_and(|(host, _)| host.contains('@') && !host.contains('/'))
}

/// A run of a project.
#[derive(Debug, Clone)]
pub(super) struct RunOfProject {
    /// The project's address, in the form of [`Place::uri`].
    pub uri: String,
    pub entry_point: String,
    pub link: RunLink,
    pub start_time: Option<i64>,
    pub end_time: Option<i64>,
    /// How far its steps are, if it is one of a pipeline.
    pub pipeline: Option<String>,
}

/// The runs of all projects in the store, newest first.
pub(super) async fn runs(app: &App) -> Result<Vec<RunOfProject>, CommandError> {
    let store = app.store()?;
    let wanted = [SOURCE_NAME, ENTRY_POINT, cairn_projects::pipeline::STATE_TAG]
        .map(|tag| TableColumn::Tag(tag.into()));
    let of_projects = "tags.`mlflow.source.type` = 'PROJECT'";
    let rows = newest(&store, of_projects, MOST_RUNS, wanted.to_vec()).await?;
    // Addresses are looked up on the disk.
    let runs = tokio::task::spawn_blocking(move || {
        rows.into_iter()
            .filter_map(|row| {
                let source = row.tags.get(SOURCE_NAME)?;
                Some(RunOfProject {
                    uri: Place::of(source).uri(),
                    entry_point: row.tags.get(ENTRY_POINT).cloned().unwrap_or_default(),
                    link: link(&row.info),
                    start_time: row.info.start_time.filter(|start| *start != 0),
                    end_time: row.info.end_time,
                    pipeline: row.tags.get(cairn_projects::pipeline::STATE_TAG).cloned(),
                })
            })
            .collect()
    });
    runs.await.map_err(errors::internal)
}

/// The commit and branch of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Head {
    pub commit: Option<String>,
    pub branch: Option<String>,
}

/// Reads where a repository stands, without git: a repository's settings can make git run programs.
pub(super) fn head_of(folder: &Path) -> Option<Head> {
    let repository = folder.ancestors().find(|folder| folder.join(".git").exists())?;
    let git = repository.join(".git");
    // A worktree has a file there that names its folder.
    let (git, common) = if git.is_file() {
        let named = read(&git)?.strip_prefix("gitdir: ")?.to_owned();
        let git = repository.join(named);
        let common =
            read(&git.join("commondir")).map_or_else(|| git.clone(), |common| git.join(common));
        (git, common)
    } else {
        (git.clone(), git)
    };
    let head = read(&git.join("HEAD"))?;
    let Some(reference) = head.strip_prefix("ref: ") else {
        return Some(Head { commit: is_commit(&head).then_some(head), branch: None });
    };
    if reference.contains("..") {
        return None;
    }
    let branch = reference.strip_prefix("refs/heads/").map(str::to_owned);
    let loose = read(&common.join(reference)).filter(|text| is_commit(text));
    let commit = loose.or_else(|| {
        let packed = fs::read_to_string(common.join("packed-refs")).ok()?;
        let line = packed.lines().find(|line| line.ends_with(&format!(" {reference}")))?;
        line.split(' ').next().filter(|text| is_commit(text)).map(str::to_owned)
    });
    Some(Head { commit, branch })
}

fn read(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8(bytes.get(..HEAD_BYTES.min(bytes.len()))?.to_vec()).ok()?;
    Some(text.trim_end().to_owned())
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &str, uri: &str, name: &str, kind: ProjectKind) {
        let place = Place::of(given);
        assert_eq!((place.uri().as_str(), place.name().as_str()), (uri, name), "{given}");
        assert_eq!(place.kind(), kind, "{given}");
    }

    #[test]
    fn a_folder_has_one_address_however_it_was_given() {
        for given in
            ["/home/ada/churn", "/home/ada/churn/", "file:///home/ada/churn", "/home/ada//churn/."]
        {
            check(given, "/home/ada/churn", "churn", ProjectKind::Folder);
        }
        for given in ["/home/ada#churn", "file:///home/ada#churn"] {
            check(given, "/home/ada/churn", "churn", ProjectKind::Folder);
        }
    }

    #[test]
    fn what_git_fetches_keeps_its_address() {
        let https = "https://github.com/mlflow/mlflow-example";
        check(https, https, "mlflow-example", ProjectKind::Git);
        let below = "https://github.com/mlflow/mlflow.git#examples/sklearn";
        check(below, below, "sklearn", ProjectKind::Git);
        check("git@host:team/churn.git", "git@host:team/churn.git", "churn", ProjectKind::Git);
        check("/x/churn.zip", "/x/churn.zip", "churn.zip", ProjectKind::Archive);
    }

    #[test]
    fn half_a_path_is_refused_with_what_would_be_right() {
        assert!(Place::given("churn").unwrap_err().hint.is_some());
        assert!(Place::given(" ").is_err());
    }

    #[test]
    fn where_a_repository_stands_is_read_from_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let folder = dir.path().join("deep/er");
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(head_of(&folder), None);
        let git = dir.path().join(".git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        let on_main = |commit: Option<&str>| {
            Some(Head { commit: commit.map(str::to_owned), branch: Some("main".to_owned()) })
        };
        assert_eq!(head_of(&folder), on_main(None));
        fs::write(git.join("packed-refs"), format!("# pack\n{commit} refs/heads/main\n")).unwrap();
        assert_eq!(head_of(&folder), on_main(Some(commit)));
        let newer = commit.replace('0', "f");
        fs::write(git.join("refs/heads/main"), format!("{newer}\n")).unwrap();
        assert_eq!(head_of(&folder), on_main(Some(&newer)));
        fs::write(git.join("HEAD"), commit).unwrap();
        let loose = Head { commit: Some(commit.to_owned()), branch: None };
        assert_eq!(head_of(&folder), Some(loose));
    }
}
