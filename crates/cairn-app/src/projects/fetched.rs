//! Projects that are not folders of the person's: fetched when asked to, into a folder of Cairn's.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use cairn_projects::{Fetched, ProjectSource};

use super::sources;
use crate::{
    app::App,
    dto::{CommandError, ErrorCode, Job},
    errors,
    jobs::{Jobs, progress_of},
    projects::dto::ProjectRef,
};

/// Where a project's files lie once they are fetched; one folder for each address and version.
fn folder_of(data_dir: &Path, uri: &str, version: Option<&str>) -> PathBuf {
    // FNV-1a: a name for a folder, not a proof; what is in it says what it is of.
    let text = format!("{uri}\n{}", version.unwrap_or_default());
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    data_dir.join("projects").join(format!("{hash:016x}"))
}

/// What was fetched of a project before, and the commit that it is at.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    pub fetched: Fetched,
    /// The commit; `None` for an archive.
    pub commit: Option<String>,
}

/// What was fetched before; `None` if nothing was. A launch asks for the commit that was fetched under
/// the name of a branch: that is found too.
pub(super) fn here(data_dir: &Path, uri: &str, version: Option<&str>) -> Option<Here> {
    let named = read(&folder_of(data_dir, uri, version), uri);
    if let Some((_, here)) = named.filter(|(of, _)| of.as_deref() == version) {
        return Some(here);
    }
    let folders = fs::read_dir(data_dir.join("projects")).ok()?.flatten();
    let mut found = folders.filter_map(|folder| read(&folder.path(), uri));
    found
        .find(|(_, here)| here.commit.is_some() && here.commit.as_deref() == version)
        .map(|it| it.1)
}

/// What a folder holds of a project: the version that was asked for, and what it is.
fn read(folder: &Path, uri: &str) -> Option<(Option<String>, Here)> {
    let bytes = fs::read(folder.join("fetched.json")).ok()?;
    let (of, version, fetched): (String, Option<String>, Fetched) =
        serde_json::from_slice(&bytes).ok()?;
    if of != uri || !fetched.folder.is_dir() {
        return None;
    }
    let commit = sources::head_of(&fetched.folder).and_then(|head| head.commit);
    Some((version, Here { fetched, commit }))
}

/// Fetches a project, again if it was before; nothing of it is run.
pub(crate) async fn fetch(app: &App, args: ProjectRef) -> Result<Job, CommandError> {
    let place = sources::Place::given(&args.uri)?;
    let data_dir = app.inner.options.data_dir.clone();
    let told = app.clone();
    Jobs::start(app, &format!("Fetch {}", place.name()), |job| async move {
        job.step(format!("Fetching {}", place.shown()), None);
        let progress = progress_of(&job);
        let cancel = job.cancel.clone();
        let done = tokio::task::spawn_blocking(move || {
            let fetched = fetch_now(&data_dir, &place, args.version.as_deref(), &progress, &cancel);
            fetched.map_err(|error| project_error(&error))
        })
        .await
        .map_err(errors::internal)?;
        told.tell(crate::dto::LiveEvent::Projects);
        done
    })
}

fn fetch_now(
    data_dir: &Path,
    place: &sources::Place,
    version: Option<&str>,
    progress: &Arc<dyn Fn(&str) + Send + Sync>,
    cancel: &cairn_runtime::CancellationToken,
) -> cairn_projects::Result<()> {
    let uri = place.uri();
    let source = ProjectSource::parse(&uri, version, Path::new("/"))?;
    let folder = folder_of(data_dir, &uri, version);
    let io = |action: &'static str| {
        let path = folder.clone();
        move |source: io::Error| cairn_projects::ProjectError::Io { action, path, source }
    };
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(io("emptying"))?;
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&folder).map_err(io("creating"))?;
    let fetched = source.fetch(&folder.join("files"), &**progress, cancel)?;
    let record = serde_json::to_vec(&(uri, version, fetched))
        .map_err(|error| io("describing")(io::Error::other(error)))?;
    fs::write(folder.join("fetched.json"), record).map_err(io("writing"))
}

/// A failure of a project, in words for the window.
pub(crate) fn project_error(error: &cairn_projects::ProjectError) -> CommandError {
    use cairn_projects::ProjectError;
    if let ProjectError::Runtime(error) = error {
        return errors::runtime_error(error);
    }
    let code = match error {
        ProjectError::Cancelled => ErrorCode::Cancelled,
        ProjectError::Problems(_) | ProjectError::Source { .. } => ErrorCode::InvalidInput,
        _ => ErrorCode::Internal,
    };
    let mut failure = CommandError::new(code, error.to_string());
    failure.hint = error.hint();
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_sentences_and_names_of_files_stay_as_they_are() {
        let check = |error: cairn_projects::ProjectError, expected: &str| {
            assert_eq!(project_error(&error).message, expected);
        };
        let wrong = cairn_projects::Problem::of_file("conda.yaml", "it has no name", None);
        check(cairn_projects::ProjectError::Problems(vec![wrong]), "conda.yaml: it has no name");
        check(ProjectSource::parse("", None, Path::new("/")).unwrap_err(), "No project was named");
        check(cairn_projects::ProjectError::Cancelled, "Cancelled");
        let refused = io::Error::other("no");
        let failed = cairn_projects::ProjectError::Io {
            action: "reading",
            path: "/x".into(),
            source: refused,
        };
        check(failed, "Reading /x failed: no");
    }

    #[test]
    fn an_archive_is_here_once_it_was_fetched_and_each_version_is_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert!(here(dir.path(), "/x/a.zip", None).is_none());
        let folder = folder_of(dir.path(), "/x/a.zip", None);
        fs::create_dir_all(folder.join("files")).unwrap();
        let fetched = Fetched {
            folder: folder.join("files"),
            source: ProjectSource::Zip { file: "/x/a.zip".into(), subfolder: String::new() },
            branch: None,
        };
        let record = serde_json::to_vec(&("/x/a.zip", None::<String>, &fetched)).unwrap();
        fs::write(folder.join("fetched.json"), record).unwrap();
        assert_eq!(here(dir.path(), "/x/a.zip", None).unwrap().fetched, fetched);
        assert!(here(dir.path(), "/x/a.zip", Some("v2")).is_none());
        let git = folder.join("files/.git");
        fs::create_dir_all(&git).unwrap();
        let commit = "0123456789abcdef0123456789abcdef01234567";
        fs::write(git.join("HEAD"), commit).unwrap();
        assert_eq!(here(dir.path(), "/x/a.zip", Some(commit)).unwrap().fetched, fetched);
        assert!(here(dir.path(), "/x/b.zip", Some(commit)).is_none());
        fs::remove_dir_all(folder.join("files")).unwrap();
        assert!(here(dir.path(), "/x/a.zip", None).is_none());
    }
}
