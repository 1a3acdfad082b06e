//! Starting and stopping the server, and changing the store under it.

use std::sync::{Arc, Mutex, RwLock};

use axum::Router;
use cairn_store::Store;
use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle};

use crate::{
    access::{Access, AccessRule},
    disk::Disk,
    error::{ApiError, ErrorCode},
    guard::{GuardLayer, GuardPolicy},
    listener::{BindError, Listener, PortChoice},
    routes,
};

/// What the handlers share. The lock is held only to copy the handle of the store.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    store: RwLock<Option<Store>>,
    pub(crate) disk: Disk,
}

impl Shared {
    /// The store that is open now.
    ///
    /// Errors: 503 while there is none; clients then try again.
    pub(crate) fn store(&self) -> Result<Store, ApiError> {
        self.store.read().expect("no holder of this lock panics").clone().ok_or_else(|| {
            ApiError::new(ErrorCode::TemporarilyUnavailable, "No store is open. Open one in Cairn.")
        })
    }
}

/// MLflow's API over one store at a time.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Takes a port and serves MLflow's API on it, over a store or, until one is set, over none.
    ///
    /// Needs a tokio runtime. The server runs until [`RunningServer::shutdown`], or until the handle
    /// is dropped.
    pub async fn start(
        store: impl Into<Option<Store>>,
        choice: PortChoice,
    ) -> Result<RunningServer, BindError> {
        Self::start_with(store, choice, AccessRule::Everyone).await
    }

    /// Like [`Server::start`], with a rule about tokens from the first request on.
    pub async fn start_with(
        store: impl Into<Option<Store>>,
        choice: PortChoice,
        rule: AccessRule,
    ) -> Result<RunningServer, BindError> {
        let listener = Listener::bind(choice).await?;
        let port = listener.port();
        let shared = Arc::new(Shared::default());
        let access = Access::new(rule);
        let router = guarded(shared.clone(), GuardPolicy::mlflow(port), access.clone());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(listener.serve(router, async {
            let _ = stopped.await;
        }));
        let running = Mutex::new(Some((stop, serving)));
        let server = RunningServer { shared, access, port, runtime: Handle::current(), running };
        server.set_store(store.into());
        Ok(server)
    }

    /// The guarded router alone, for tests and for other listeners. `port` is what `Host` must name.
    pub fn router(
        store: impl Into<Option<Store>>,
        port: u16,
        access: Access,
        disk: Disk,
    ) -> Router {
        let shared = Arc::new(Shared { store: RwLock::new(store.into()), disk });
        guarded(shared, GuardPolicy::mlflow(port), access)
    }
}

/// The routes behind the guard. The guard is the outermost layer: it also sees what no route
/// answers.
fn guarded(shared: Arc<Shared>, policy: GuardPolicy, access: Access) -> Router {
    routes::router(shared).layer(GuardLayer::new(policy).with_access(access))
}

/// A server at work. Dropping it stops the server without waiting.
#[derive(Debug)]
pub struct RunningServer {
    shared: Arc<Shared>,
    access: Access,
    port: u16,
    runtime: Handle,
    /// Taken by the first shutdown.
    running: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl RunningServer {
    /// The port, on 127.0.0.1 and, where there is IPv6, on ::1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What clients take as their tracking URI: `http://127.0.0.1:PORT`.
    pub fn tracking_uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Serves another store, or none, from the next request on. Requests in progress end on the old
    /// one. May be called from any thread.
    pub fn set_store(&self, store: Option<Store>) {
        let mut slot = self.shared.store.write().expect("no holder of this lock panics");
        let is_same = matches!((&*slot, &store), (Some(old), Some(new)) if old.dir() == new.dir());
        if let Some(new) = &store
            && !is_same
        {
            let artifacts = new.artifacts().clone();
            artifacts.discard_abandoned_uploads();
        }
        let old = std::mem::replace(&mut *slot, store);
        drop(slot);
        // The last handle of a store waits for its writer, which may take a moment.
        self.runtime.spawn_blocking(move || drop(old));
    }

    /// Changes who may use the port, from the next request on. May be called from any thread.
    pub fn set_access(&self, rule: AccessRule) {
        self.access.set(rule);
    }

    /// Stops: no new connections, requests in progress may end within five seconds.
    /// A second call does nothing.
    pub async fn shutdown(&self) {
        let running = self.running.lock().expect("no holder of this lock panics").take();
        if let Some((stop, serving)) = running {
            let _ = stop.send(());
            let _ = serving.await;
        }
    }
}
