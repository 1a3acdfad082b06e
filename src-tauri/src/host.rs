//! What the window gives to `cairn-app`: the MLflow port and the system's dialogs.

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock},
};

use cairn_app::{
    App, AppOptions, Host, Pick,
    app::preferred_port,
    dto::ServerStatus,
    ports::{ClientPort, Ports, Waiting, take_from_stand_in},
    token::{ClientAccess, client_access},
};
use cairn_server::{AccessRule, PortChoice, RunningServer, Server, Token};
use cairn_store::Store;
use tauri::WebviewWindow;
use tokio::{
    sync::{SetOnce, oneshot},
    task::AbortHandle,
};

/// What the window's commands share. The application starts beside the window; until it is there,
/// commands wait for it.
#[derive(Default)]
pub struct Session {
    app: SetOnce<App>,
    port: Port,
    window: Arc<OnceLock<WebviewWindow>>,
    listeners: Mutex<Vec<AbortHandle>>,
}

impl Session {
    /// The application, as soon as it has started.
    pub async fn app(&self) -> App {
        self.app.wait().await.clone()
    }

    /// The window, from then on the parent of dialogs.
    pub fn set_window(&self, window: WebviewWindow) {
        // There is one window; a second one would find the first still there.
        let _ = self.window.set(window);
    }

    /// Remembers a task that forwards live events to the page.
    pub fn add_listener(&self, listener: AbortHandle) {
        self.listeners.lock().expect("no holder of this lock panics").push(listener);
    }

    /// Ends the forwarding of live events: the page that listened is gone.
    pub fn drop_listeners(&self) {
        for listener in self.listeners.lock().expect("no holder of this lock panics").drain(..) {
            listener.abort();
        }
    }

    /// Cancels what runs, closes the store and frees the port.
    pub async fn stop(&self) {
        self.drop_listeners();
        if let Some(app) = self.app.get() {
            app.stop().await;
        }
        if let Some(ports) = self.port.ports.get() {
            ports.shutdown().await;
        }
    }
}

/// Takes the port, then opens the store on it.
pub async fn start(session: Arc<Session>, options: AppOptions) {
    let (usual, hold) = take_from_stand_in(&options, None, preferred_port(&options)).await;
    session.port.take(usual, &options).await;
    let host = WindowHost {
        port: session.port.clone(),
        window: session.window.clone(),
        near: Mutex::default(),
        dialog: Arc::default(),
    };
    let app = App::start(options, Box::new(host)).await;
    drop(hold);
    if app.settings().port.is_none()
        && let Some(port) = session.port.number()
    {
        app.remember_port(port);
    }
    // Set once, here alone.
    let _ = session.app.set(app);
}

/// The ports for MLflow clients. Clones share them.
#[derive(Clone, Default)]
struct Port {
    ports: Arc<OnceLock<Ports>>,
    /// Why there is none.
    failure: Arc<OnceLock<String>>,
    usual: Arc<OnceLock<u16>>,
}

impl Port {
    /// Listens on the usual port, or on a free one while that one is taken.
    async fn take(&self, usual: u16, options: &AppOptions) {
        let first = match listen(PortChoice::Prefer(usual), options).await {
            Ok(port) => Some(port),
            Err(reason) => {
                tracing::error!(reason, "MLflow clients cannot reach this program");
                let _ = self.failure.set(reason);
                None
            }
        };
        let for_more = options.clone();
        let take = move || -> Waiting<'static, _> {
            let options = for_more.clone();
            Box::pin(async move { listen(PortChoice::Any, &options).await.ok() })
        };
        // Taken once, at the start.
        let _ = self.usual.set(usual);
        let _ = self.ports.set(Ports::new(options, first, false, Box::new(take)));
    }

    fn number(&self) -> Option<u16> {
        self.ports.get()?.number()
    }

    fn status(&self) -> ServerStatus {
        if let Some(port) = self.number() {
            return ServerStatus::Listening {
                tracking_uri: format!("http://127.0.0.1:{port}"),
                instead_of: self.usual.get().copied().filter(|usual| *usual != port),
            };
        }
        let reason = match self.failure.get() {
            Some(reason) => reason.clone(),
            None if self.ports.get().is_some() => "Cairn is ending.".to_owned(),
            None => "Cairn is still starting.".to_owned(),
        };
        ServerStatus::Off { reason }
    }
}

async fn listen(choice: PortChoice, options: &AppOptions) -> Result<Arc<dyn ClientPort>, String> {
    let rule = access_rule(client_access(options, false));
    let server = Server::start_with(None, choice, rule).await;
    server.map(|server| Arc::new(Listening(server)) as _).map_err(|error| error.to_string())
}

/// A server for MLflow clients, as the application wants it.
struct Listening(RunningServer);

impl ClientPort for Listening {
    fn number(&self) -> u16 {
        self.0.port()
    }

    fn set_store(&self, store: Option<Store>) {
        self.0.set_store(store);
    }

    fn set_access(&self, access: ClientAccess) {
        self.0.set_access(access_rule(access));
    }

    fn shutdown(&self) -> Waiting<'_> {
        Box::pin(self.0.shutdown())
    }
}

struct WindowHost {
    port: Port,
    window: Arc<OnceLock<WebviewWindow>>,
    /// The folder around the open store: where a dialog begins, since stores lie together.
    near: Mutex<Option<PathBuf>>,
    /// Held while a dialog is open.
    dialog: Arc<tokio::sync::Mutex<()>>,
}

impl Host for WindowHost {
    fn serve(&self, store: Option<Store>) -> Waiting<'_> {
        if let Some(folder) = store.as_ref().and_then(|store| store.dir().parent()) {
            *self.near.lock().expect("no holder of this lock panics") = Some(folder.to_owned());
        }
        Box::pin(async move {
            if let Some(ports) = self.port.ports.get() {
                ports.serve(store).await;
            }
        })
    }

    fn set_access(&self, access: ClientAccess) {
        if let Some(ports) = self.port.ports.get() {
            ports.set_access(&access);
        }
    }

    fn server_status(&self) -> ServerStatus {
        self.port.status()
    }

    fn has_native_dialogs(&self) -> bool {
        true
    }

    fn pick(&self, what: Pick) -> Pin<Box<dyn Future<Output = Option<PathBuf>> + Send>> {
        let window = self.window.get().cloned();
        let near = self.near.lock().expect("no holder of this lock panics").clone();
        let dialog = self.dialog.clone();
        Box::pin(async move {
            // GTK's dialogs do not block the window; a second one would only hide the first.
            let _one_at_a_time = dialog.try_lock().ok()?;
            pick(window?, what, near).await
        })
    }
}

/// What the port is told about who may use it.
fn access_rule(access: ClientAccess) -> AccessRule {
    match access {
        ClientAccess::Everyone => AccessRule::Everyone,
        ClientAccess::Token(token) => {
            Token::parse(&token).map_or(AccessRule::Nobody, AccessRule::Token)
        }
        ClientAccess::Nobody => AccessRule::Nobody,
    }
}

/// What a dialog answers.
type Picked = Pin<Box<dyn Future<Output = Option<rfd::FileHandle>> + Send>>;

/// Asks where a file of one kind is saved.
fn save(dialog: rfd::AsyncFileDialog, kind: &str, extension: &str) -> Picked {
    let name = format!("chart.{extension}");
    Box::pin(dialog.add_filter(kind, &[extension]).set_file_name(name).save_file())
}

/// Shows the system's dialog. It is made on the main thread, as GTK and AppKit want it, and answered
/// on any.
async fn pick(window: WebviewWindow, what: Pick, near: Option<PathBuf>) -> Option<PathBuf> {
    let (sender, dialog) = oneshot::channel();
    let parent = window.clone();
    window
        .run_on_main_thread(move || {
            let mut dialog =
                rfd::AsyncFileDialog::new().set_parent(&parent).set_title(what.title());
            if let Some(near) = near {
                dialog = dialog.set_directory(near);
            }
            let picked: Picked = match what {
                Pick::StoreFolder | Pick::MlrunsFolder | Pick::ProjectFolder => {
                    Box::pin(dialog.pick_folder())
                }
                Pick::SaveSvg => save(dialog, "SVG drawings", "svg"),
                Pick::SavePng => save(dialog, "PNG pictures", "png"),
                Pick::SaveCsv => save(dialog, "CSV tables", "csv"),
                Pick::StoreFile => Box::pin(
                    dialog
                        .add_filter("SQLite databases", &["db", "sqlite", "sqlite3"])
                        .add_filter("All files", &["*"])
                        .pick_file(),
                ),
            };
            // The one who asked waits for it below.
            let _ = sender.send(picked);
        })
        .ok()?;
    Some(dialog.await.ok()?.await?.path().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(home: &std::path::Path) -> AppOptions {
        AppOptions { config_dir: home.join("config"), data_dir: home.join("data"), store: None }
    }

    #[tokio::test]
    async fn a_taken_port_is_named_beside_the_one_used_instead() {
        let home = tempfile::tempdir().unwrap();
        let first = Port::default();
        first.take(0, &options(home.path())).await;
        let usual = first.number().expect("any free port");
        let second = Port::default();
        second.take(usual, &options(home.path())).await;
        let other = second.number().expect("another port");
        assert_eq!(
            second.status(),
            ServerStatus::Listening {
                tracking_uri: format!("http://127.0.0.1:{other}"),
                instead_of: Some(usual),
            }
        );
    }

    #[tokio::test]
    async fn the_port_of_the_first_start_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let options = options(home.path());
        let session = Arc::new(Session::default());
        start(session.clone(), options.clone()).await;
        let port = session.port.number();
        assert_eq!(session.app().await.settings().port, port);
        assert_eq!(Some(preferred_port(&options)), port);
        session.stop().await;
        assert_eq!(session.port.number(), None);
    }
}
