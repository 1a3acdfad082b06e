//! A server over a new store, asked without sockets.

use axum::{Router, body::Body};
use bytes::Bytes;
use cairn_server::{Access, Disk, Server};
use cairn_store::{OpenOptions, Store};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

/// The port that `Host` names in these tests.
pub const PORT: u16 = 5999;

/// A new store in a folder of its own, and the guarded router over it.
pub struct App {
    pub dir: tempfile::TempDir,
    pub store: Store,
    router: Router,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The `error_code` of an error.
    pub fn code(&self) -> String {
        self.json()["error_code"].as_str().expect("an error").to_owned()
    }

    /// The `message` of an error.
    pub fn message(&self) -> String {
        self.json()["message"].as_str().expect("an error").to_owned()
    }

    /// A header's text; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("plain text"))
    }
}

impl App {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path(), OpenOptions::Create).expect("a new store");
        Self::over(dir, store)
    }

    /// The router over a store that is there.
    pub fn over(dir: tempfile::TempDir, store: Store) -> Self {
        Self::with(dir, store, Access::default(), Disk::default())
    }

    /// The same with a rule about tokens.
    pub fn with_access(dir: tempfile::TempDir, store: Store, access: Access) -> Self {
        Self::with(dir, store, access, Disk::default())
    }

    /// The same with a disk of which a test tells how full it is.
    pub fn with(dir: tempfile::TempDir, store: Store, access: Access, disk: Disk) -> Self {
        let router = Server::router(store.clone(), PORT, access, disk);
        Self { dir, store, router }
    }

    /// Sends a request as it is, `Host` included.
    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.expect("never fails");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// Sends what MLflow's client would send: a path or URL, and a JSON body if there is one.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        match body {
            None => self.send(request(method, path).body(Body::empty()).expect("a request")).await,
            Some(json) => self.ask_text(method, path, "application/json", json.to_string()).await,
        }
    }

    /// Sends a body of any type.
    pub async fn ask_text(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> Reply {
        let request = request(method, path).header("content-type", content_type);
        self.send(request.body(body.into()).expect("a request")).await
    }

    /// POSTs JSON below `/api/2.0/mlflow/` and insists on success.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let reply = self.ask("POST", &format!("/api/2.0/mlflow/{path}"), Some(&body)).await;
        assert_eq!(reply.status, StatusCode::OK, "{path} {body}: {:?}", reply.body);
        reply.json()
    }

    /// GETs JSON below `/api/2.0/mlflow/` and insists on success.
    pub async fn get(&self, path: &str) -> Value {
        let reply = self.ask("GET", &format!("/api/2.0/mlflow/{path}"), None).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {:?}", reply.body);
        reply.json()
    }

    /// Makes a run in the default experiment and answers its id.
    pub async fn make_run(&self) -> String {
        let made = self.post("runs/create", serde_json::json!({ "experiment_id": "0" })).await;
        made["run"]["info"]["run_id"].as_str().expect("an id").to_owned()
    }

    /// The bytes of the database and its log, and the names of all files beside them: equal as long
    /// as nothing was written.
    pub fn fingerprint(&self) -> (Vec<u8>, Vec<u8>, Vec<String>) {
        let read = |name: &str| std::fs::read(self.dir.path().join(name)).unwrap_or_default();
        let mut files = Vec::new();
        let mut folders = vec![self.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path.clone());
                }
                files.push(path.to_string_lossy().into_owned());
            }
        }
        files.sort();
        (read("mlflow.db"), read("mlflow.db-wal"), files)
    }
}

/// A request with the `Host` that the guard wants.
pub fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header("host", format!("127.0.0.1:{PORT}"))
}

/// A text percent-encoded for a query or a path, slashes included.
pub fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
