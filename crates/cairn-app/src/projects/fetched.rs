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

/// What was fetched before; `None` if nothing was.
pub(super) fn here(data_dir: &Path, uri: &str, version: Option<&str>) -> Option<Here> {
    let folder = folder_of(data_dir, uri, version);
    let bytes = fs::read(folder.join("fetched.json")).ok()?;
    let (of, of_version, fetched): (String, Option<String>, Fetched) =
        serde_json::from_slice(&bytes).ok()?;
    let is_it = of == uri && of_version.as_deref() == version && fetched.folder.is_dir();
    let commit = sources::head_of(&fetched.folder).and_then(|head| head.commit);
    is_it.then_some(Here { fetched, commit })
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
    let mut message = error.to_string();
    if let Some(first) = message.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    let mut failure = CommandError::new(code, message);
    failure.hint = error.hint();
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

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
        fs::remove_dir_all(folder.join("files")).unwrap();
        assert!(here(dir.path(), "/x/a.zip", None).is_none());
    }
}
