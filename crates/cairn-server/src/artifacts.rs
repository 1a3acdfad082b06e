//! `/mlflow-artifacts/artifacts/…`: the artifact tree over HTTP, and the routes that look at the
//! files of one run.
//!
//! A path is percent-decoded once, by the router, and then checked by [`ArtifactPath`]; it is never
//! decoded again.

use axum::{body::Body, response::Response};
use cairn_core::{ArtifactPath, ExperimentId, RunId};
use cairn_store::{
    Change, RunFacets, Store, StoreError,
    artifacts::{Entry, Location},
};
use http::HeaderMap;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    body,
    call::{Answer, Call, done, json},
    disk::{CHECK_EVERY_BYTES, Disk},
    download,
    error::{ApiError, ErrorCode},
    fields::{Fields, find_run_id},
    wire::Listing,
};

/// The most bytes that `upload-artifact` takes, as in MLflow.
const FORM_UPLOAD_BYTES: usize = 10 << 20;
/// Pieces that may wait for the disk; the client waits when there are more.
const QUEUED_PIECES: usize = 16;

/// A request whose body is not read yet.
#[derive(Debug)]
pub(crate) struct RawCall {
    /// The store that is open now.
    pub(crate) store: Store,
    /// The disk that uploads go to.
    pub(crate) disk: Disk,
    /// The path below the route, percent-decoded once.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

#[derive(Debug, Serialize)]
struct FileInfo {
    path: String,
    is_dir: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<u64>,
}

impl FileInfo {
    fn new(path: String, entry: &Entry) -> Self {
        let file_size = (!entry.is_dir).then_some(entry.size_bytes);
        Self { path, is_dir: entry.is_dir, file_size }
    }
}

#[derive(Debug, Serialize)]
struct RunFiles {
    root_uri: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FileInfo>,
}

/// Writes a file, replacing one that is there.
pub(crate) async fn put(call: RawCall) -> Answer {
    let RawCall { store, disk, path, headers, mut body, .. } = call;
    let outcome = async {
        let path = file_path(&path)?;
        require_writable(&store)?;
        let declared = body::declared_length(&headers).unwrap_or(0);
        receive(&store, disk, &path, declared, &mut body).await?;
        Ok(path)
    };
    match outcome.await {
        Ok(path) => {
            note_change(&store, &path);
            Ok(Response::new(Body::empty()))
        }
        Err(error) => {
            body::discard(body).await;
            Err(error)
        }
    }
}

/// Streams a body into a file on a blocking thread; at most [`QUEUED_PIECES`] wait in memory.
async fn receive(
    store: &Store,
    disk: Disk,
    path: &ArtifactPath,
    declared: u64,
    body: &mut Body,
) -> Result<(), ApiError> {
    let (pieces, mut queue) = mpsc::channel::<Option<bytes::Bytes>>(QUEUED_PIECES);
    let (store, path) = (store.clone(), path.clone());
    let writing = tokio::task::spawn_blocking(move || -> Result<bool, ApiError> {
        let mut room = room_for_uploads(&store, &disk)?;
        if declared > room {
            return Err(disk_full(&store));
        }
        let mut upload = store.artifacts().upload(&path)?;
        let mut since_check = 0;
        loop {
            match queue.blocking_recv() {
                Some(Some(piece)) => {
                    since_check += piece.len() as u64;
                    if since_check > room {
                        return Err(disk_full(&store));
                    }
                    upload.write(&piece)?;
                    if since_check >= CHECK_EVERY_BYTES {
                        room = room_for_uploads(&store, &disk)?;
                        since_check = 0;
                    }
                }
                Some(None) => {
                    upload.finish()?;
                    return Ok(true);
                }
                // The sender gave up: the half-written file goes away with `upload`.
                None => return Ok(false),
            }
        }
    });
    let mut sent = Ok(());
    loop {
        match body::next_chunk(body).await {
            Ok(piece) => {
                let is_last = piece.is_none();
                if pieces.send(piece).await.is_err() || is_last {
                    break;
                }
            }
            Err(error) => {
                sent = Err(error);
                break;
            }
        }
    }
    drop(pieces);
    let written = writing.await.map_err(|_| StoreError::Closed)?;
    sent?;
    written.map(drop)
}

/// Bytes that uploads may still take.
fn room_for_uploads(store: &Store, disk: &Disk) -> Result<u64, ApiError> {
    let room = disk.room(store.dir()).map_err(|error| StoreError::Io {
        path: store.dir().to_owned(),
        action: "read",
        source: std::sync::Arc::new(error),
    })?;
    Ok(room)
}

fn disk_full(store: &Store) -> ApiError {
    ApiError::new(
        ErrorCode::ResourceExhausted,
        format!(
            "The disk of {} has too little space for this file: 1 GiB is kept free. Free some space \
             and try again.",
            store.dir().display()
        ),
    )
}

/// `/mlflow/upload-artifact`: writes a small file of a run.
pub(crate) async fn upload_to_run(call: RawCall) -> Answer {
    let fields = Fields::from_query(call.query.as_deref().unwrap_or_default());
    let id = fields.text("run_uuid")?.unwrap_or_default();
    if id.is_empty() {
        return Err(ApiError::invalid("Request must specify run_uuid."));
    }
    let path = fields.text("path")?.unwrap_or_default();
    if path.is_empty() {
        return Err(ApiError::invalid("Request must specify path."));
    }
    let (id, path) = (find_run_id(id)?, file_path(path)?);
    let store = call.store;
    require_writable(&store)?;
    let bytes =
        body::read(&call.headers, call.body, FORM_UPLOAD_BYTES).await.map_err(
            |error| match error.code {
                ErrorCode::RequestTooLarge => {
                    ApiError::invalid("Artifact size is too large. Max size is 10MB.")
                }
                _ => error,
            },
        )?;
    if bytes.is_empty() {
        return Err(ApiError::invalid("Request must specify data."));
    }
    let uri = store.read(move |tx| tx.run_info(&id)).await?.artifact_uri;
    let Location::Tree(root) = store.artifacts().locate(&uri) else {
        return Err(ApiError::invalid(
            "The files of this run lie outside the artifact tree that this server writes to. Log \
             them with MLflow's client, which writes them there itself.",
        ));
    };
    let path = root.join(&path);
    receive(&store, call.disk, &path, bytes.len() as u64, &mut Body::from(bytes)).await?;
    note_change(&store, &path);
    Ok(Response::new(Body::empty()))
}

/// Sends a file.
pub(crate) async fn get(call: RawCall) -> Answer {
    if call.path.is_empty() {
        return list(call).await;
    }
    let path = file_path(&call.path)?;
    download::send(call.store, Location::Tree(ArtifactPath::root()), path, &call.headers).await
}

/// Lists a folder; empty for a file or for nothing, by which clients tell files from folders.
pub(crate) async fn list(call: RawCall) -> Answer {
    let fields = Fields::from_query(call.query.as_deref().unwrap_or_default());
    let path = folder_path(fields.text("path")?)?;
    let store = call.store;
    let entries =
        blocking(move || store.artifacts().list(&Location::Tree(ArtifactPath::root()), &path))
            .await?;
    json(&Listing {
        name: "files",
        items: entries.iter().map(|entry| FileInfo::new(entry.name.clone(), entry)).collect(),
        next_page_token: None,
    })
}

/// Removes a file or a folder; what is not there is no error.
pub(crate) async fn delete(call: RawCall) -> Answer {
    let path = file_path(&call.path)?;
    let store = call.store;
    require_writable(&store)?;
    blocking(move || {
        store.artifacts().delete(&path)?;
        note_change(&store, &path);
        Ok(())
    })
    .await?;
    done()
}

/// `/mlflow/artifacts/list`: the files of a run, with paths from its root.
pub(crate) async fn list_of_run(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.run_id()?;
    let path = folder_path(fields.text("path")?)?;
    drop(fields);
    let root_uri = call.store.read(move |tx| tx.run_info(&id)).await?.artifact_uri;
    list_below(call.store, root_uri, path).await
}

/// Lists a folder below an artifact URI, with paths from there.
pub(crate) async fn list_below(store: Store, root_uri: String, path: ArtifactPath) -> Answer {
    let location = store.artifacts().locate(&root_uri);
    let below = path.clone();
    let entries = blocking(move || store.artifacts().list(&location, &below)).await?;
    let files = entries
        .iter()
        .map(|entry| {
            let place =
                if path.is_root() { entry.name.clone() } else { format!("{path}/{}", entry.name) };
            FileInfo::new(place, entry)
        })
        .collect();
    json(&RunFiles { root_uri, files })
}

/// `/get-artifact`: a file of a run.
pub(crate) async fn get_of_run(call: RawCall) -> Answer {
    let fields = Fields::from_query(call.query.as_deref().unwrap_or_default());
    let id = fields.run_id()?;
    let path = file_path(fields.required_text("path")?)?;
    let store = call.store;
    let uri = store.read(move |tx| tx.run_info(&id)).await?.artifact_uri;
    let location = store.artifacts().locate(&uri);
    download::send(store, location, path, &call.headers).await
}

/// Refuses what would write into a store that is open for reading only.
fn require_writable(store: &Store) -> Result<(), ApiError> {
    match store.read_only() {
        None => Ok(()),
        Some(reason) => Err(StoreError::ReadOnly { path: store.dir().to_owned(), reason }.into()),
    }
}

/// The path of a file; the root is none.
pub(crate) fn file_path(text: &str) -> Result<ArtifactPath, ApiError> {
    let path = ArtifactPath::parse(text)?;
    if path.is_root() { Err(ApiError::invalid("Invalid path")) } else { Ok(path) }
}

/// The path of a folder; a slash at its end is no harm.
pub(crate) fn folder_path(text: Option<&str>) -> Result<ArtifactPath, ApiError> {
    let text = text.unwrap_or_default();
    Ok(ArtifactPath::parse(text.strip_suffix('/').unwrap_or(text))?)
}

/// Runs file work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> cairn_store::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)??)
}

/// Tells the change feed whose files changed: `<experiment>/<run>/artifacts/…`, or
/// `<experiment>/models/<model>/artifacts/…`.
fn note_change(store: &Store, path: &ArtifactPath) {
    if let Some(change) = change_of(path) {
        store.note_change(change);
    }
}

fn change_of(path: &ArtifactPath) -> Option<Change> {
    let mut parts = path.as_str().split('/');
    let experiment: ExperimentId = parts.next()?.parse().ok()?;
    let (owner, kind) = (parts.next()?, parts.next()?);
    if owner == "models" {
        return Some(Change::LoggedModels(experiment));
    }
    let run: RunId = owner.parse().ok()?;
    (kind == "artifacts").then_some(Change::Run(experiment, run, RunFacets::ARTIFACTS))
}

/// `/mlflow-artifacts/mpu/…` and `/mlflow-artifacts/presigned/…`: for artifacts in clouds only.
pub(crate) async fn no_parts(call: RawCall) -> Answer {
    file_path(&call.path)?;
    Err(ApiError::new(
        ErrorCode::NotImplemented,
        "Multipart upload is not supported for the current artifact repository",
    ))
}

/// `/mlflow/artifacts/presigned-…-url`: URLs of a cloud, which files in this store have not.
pub(crate) async fn no_presigned_url(call: Call) -> Answer {
    let fields = call.fields()?;
    file_path(fields.required_text("path")?)?;
    let given = ["run_id", "model_id"].map(|name| fields.text(name));
    let [run_id, model_id] = given;
    let is_given = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
    if is_given(run_id?) == is_given(model_id?) {
        return Err(ApiError::invalid("Exactly one of run_id and model_id must be provided."));
    }
    Err(ApiError::invalid(
        "Presigned URLs are not supported: the files of this store are on this computer and are \
         served by this server.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_name_the_run_or_the_models() {
        let change = |text: &str| change_of(&ArtifactPath::parse(text).unwrap());
        let run: RunId = "f6ccff3d64c84315b81f9514e30c73ba".parse().unwrap();
        assert_eq!(
            change("3/f6ccff3d64c84315b81f9514e30c73ba/artifacts/a/b.txt"),
            Some(Change::Run(ExperimentId(3), run, RunFacets::ARTIFACTS))
        );
        assert_eq!(
            change("3/models/m-1/artifacts/MLmodel"),
            Some(Change::LoggedModels(ExperimentId(3)))
        );
        assert_eq!(change("elsewhere/x/y"), None);
        assert_eq!(change("3/x"), None);
    }
}
