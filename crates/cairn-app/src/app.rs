//! The application: which store is open, and what all windows share.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, RwLock},
};

use cairn_runtime::launch::Launches;
use cairn_store::{BackupKeeper, OpenOptions, Schedule, Store, backup::BackupFolder};
use serde::Deserialize;
use tokio::sync::{broadcast, watch};
use ts_rs::TS;

use crate::{
    artifacts::FileHandles,
    dto::{AppInfo, CommandError, ErrorCode, LiveEvent, ServerStatus, StoreStatus},
    errors,
    imports::Imports,
    jobs::Jobs,
    launch_keeper::LaunchKeeper,
    launches::{self, LogIndexes},
    live,
    ports::Waiting,
    settings::SettingsFile,
    token::ClientAccess,
};

/// What a host can do that the application cannot.
pub trait Host: Send + Sync + 'static {
    /// Serves this store to MLflow clients from now on, or none. A host that has [`crate::ports::Ports`]
    /// keeps a store that runs still log to where it is.
    fn serve(&self, store: Option<Store>) -> Waiting<'_>;

    /// Whether MLflow clients can reach the store, and where.
    fn server_status(&self) -> ServerStatus;

    /// Changes who may use the port for MLflow clients, from the next request on.
    fn set_access(&self, _access: ClientAccess) {}

    /// Whether [`Host::pick`] opens the system's dialog.
    fn has_native_dialogs(&self) -> bool {
        false
    }

    /// Lets the person choose a path; `Ok(None)` when they chose none.
    fn pick(&self, _what: Pick) -> Pin<Box<dyn Future<Output = Option<PathBuf>> + Send>> {
        Box::pin(std::future::ready(None))
    }
}

/// What a dialog lets one choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Pick {
    /// The folder of a store.
    StoreFolder,
    /// An `mlflow.db`.
    StoreFile,
    /// A folder of MLflow's file store.
    MlrunsFolder,
    /// The folder of a project.
    ProjectFolder,
    /// Where a chart is saved as SVG.
    SaveSvg,
    /// Where a chart is saved as PNG.
    SavePng,
    /// Where the points of a chart are saved as CSV.
    SaveCsv,
}

impl Pick {
    /// What the dialog says above.
    pub fn title(self) -> &'static str {
        match self {
            Self::StoreFolder => "Open a store folder",
            Self::StoreFile => "Open an mlflow.db",
            Self::MlrunsFolder => "Choose an mlruns folder to import",
            Self::ProjectFolder => "Choose the folder of a project",
            Self::SaveSvg => "Save the chart as SVG",
            Self::SavePng => "Save the chart as PNG",
            Self::SaveCsv => "Save the chart's points as CSV",
        }
    }
}

/// Where the application keeps its own things, and what it opens.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// The folder of `settings.json`.
    pub config_dir: PathBuf,
    /// The folder of environments and of the default store.
    pub data_dir: PathBuf,
    /// The store to open; `None` opens the last one, or the default one.
    pub store: Option<PathBuf>,
}

impl AppOptions {
    /// The system's folders for this user, or those under `CAIRN_HOME` when it is set.
    ///
    /// Errors: the words for a person when the system names no home folder.
    pub fn for_this_user(store: Option<PathBuf>) -> Result<Self, String> {
        if let Some(home) = std::env::var_os("CAIRN_HOME").filter(|home| !home.is_empty()) {
            let home = PathBuf::from(home);
            return Ok(Self {
                config_dir: home.join("config"),
                data_dir: home.join("data"),
                store,
            });
        }
        let dirs = directories::ProjectDirs::from("dev", "cairn", "Cairn").ok_or(
            "There is no home folder for this user. Set CAIRN_HOME to a folder that Cairn may use.",
        )?;
        Ok(Self {
            config_dir: dirs.config_dir().to_owned(),
            data_dir: dirs.data_dir().to_owned(),
            store,
        })
    }

    /// Where a store is made when none was chosen.
    pub fn default_store(&self) -> PathBuf {
        self.data_dir.join("store")
    }

    /// Where the backups of all stores lie, a folder for each.
    pub fn backups(&self) -> PathBuf {
        self.data_dir.join("backups")
    }
}

/// The application. Clones share it.
#[derive(Clone)]
pub struct App {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub options: AppOptions,
    pub host: Box<dyn Host>,
    pub settings: Mutex<SettingsFile>,
    pub store: RwLock<Option<Store>>,
    /// Backs up the open store.
    pub backups: Mutex<Option<BackupKeeper>>,
    pub live: broadcast::Sender<LiveEvent>,
    pub jobs: Jobs,
    /// Looks after launches until the end.
    pub launch_keeper: Mutex<Option<LaunchKeeper>>,
    pub imports: Imports,
    pub files: FileHandles,
    /// Supervised starts of a person's code, of this user and every store.
    pub launches: Launches,
    pub logs: LogIndexes,
    /// Held while a store is opened: the one asked for last is the one that is open in the end.
    pub opening: tokio::sync::Mutex<()>,
    /// Counts the stores opened so far, and the end; who follows a store ends when it moves.
    pub generation: watch::Sender<u64>,
}

impl App {
    /// Starts the application and opens its store; must be called in a tokio runtime.
    ///
    /// When the store cannot be opened the application starts all the same, without one;
    /// `store.retry` tells why.
    pub async fn start(options: AppOptions, host: Box<dyn Host>) -> Self {
        let settings = SettingsFile::load(&options.config_dir);
        let inner = Inner {
            launches: Launches::new(&options.data_dir),
            logs: LogIndexes::default(),
            options,
            host,
            settings: Mutex::new(settings),
            store: RwLock::new(None),
            backups: Mutex::new(None),
            live: broadcast::channel(1024).0,
            jobs: Jobs::default(),
            launch_keeper: Mutex::new(None),
            imports: Imports::default(),
            files: FileHandles::default(),
            opening: tokio::sync::Mutex::default(),
            generation: watch::channel(0).0,
        };
        let app = Self { inner: Arc::new(inner) };
        launches::follow(&app);
        if let Err(error) = app.retry().await {
            tracing::warn!(message = %error.message, "no store could be opened at the start");
        }
        // After the store: what is closed is told to the port that serves it.
        let keeper = LaunchKeeper::start(&app.inner.options.data_dir);
        *app.inner.launch_keeper.lock().expect("no holder of this lock panics") = keeper;
        app
    }

    /// Live events from now on. Who lags misses events and must ask again for all that is shown.
    pub fn listen(&self) -> broadcast::Receiver<LiveEvent> {
        self.inner.live.subscribe()
    }

    /// The open store.
    pub fn store(&self) -> Result<Store, CommandError> {
        self.inner
            .store
            .read()
            .expect("no holder of this lock panics")
            .clone()
            .ok_or_else(errors::no_store)
    }

    /// The open store and the address that clients log to it at. `refusal` and `who` begin the
    /// sentences that say why nothing can be logged: `Nothing can be run`, `Runs`.
    ///
    /// Errors: no store is open, it is open for reading only, its port is off.
    pub(crate) fn place_to_log(
        &self,
        refusal: &str,
        who: &str,
    ) -> Result<(Store, String), CommandError> {
        let store = self.store()?;
        if let Some(reason) = store.read_only() {
            return Err(CommandError::new(
                ErrorCode::ReadOnly,
                format!("{refusal}: the store is open for reading only: {reason}"),
            ));
        }
        match self.inner.host.server_status() {
            ServerStatus::Listening { tracking_uri, .. } => Ok((store, tracking_uri)),
            ServerStatus::Off { reason } => Err(CommandError::new(
                ErrorCode::InvalidInput,
                format!("{who} need the address for MLflow clients, which is off"),
            )
            .with_hint(reason)),
        }
    }

    /// Cancels what runs and closes the store; what was acknowledged is on disk already.
    pub async fn stop(&self) {
        let keeper = self.inner.launch_keeper.lock().expect("no holder of this lock panics").take();
        let _ = tokio::task::spawn_blocking(move || drop(keeper)).await;
        self.inner.host.serve(None).await;
        self.inner.jobs.cancel_all().await;
        self.close_store().await;
    }

    pub(crate) fn info(&self) -> AppInfo {
        AppInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            has_native_dialogs: self.inner.host.has_native_dialogs(),
            default_store: self.inner.options.default_store().display().to_string(),
        }
    }

    /// Opens the store asked for at the start, the last one, or the default one, in this order.
    pub(crate) async fn retry(&self) -> Result<StoreStatus, CommandError> {
        let last = self.settings().recent_stores.first().map(PathBuf::from);
        match (self.inner.options.store.clone(), last) {
            (Some(path), _) => self.open(&path, OpenOptions::Create).await,
            (None, Some(path)) => self.open(&path, OpenOptions::Existing).await,
            (None, None) => {
                self.open(&self.inner.options.default_store(), OpenOptions::Create).await
            }
        }
    }

    /// Opens a store in place of the open one, which stays open if this fails.
    pub(crate) async fn open(
        &self,
        path: &Path,
        options: OpenOptions,
    ) -> Result<StoreStatus, CommandError> {
        let _one_at_a_time = self.inner.opening.lock().await;
        let path = errors::expand_home(path);
        let opened = tokio::task::spawn_blocking(move || Store::open(&path, options)).await;
        let store = opened.map_err(errors::internal)?.map_err(errors::open_error)?;
        // Ends who followed the store that was open.
        self.inner.generation.send_modify(|generation| *generation += 1);
        *self.inner.store.write().expect("no holder of this lock panics") = Some(store.clone());
        self.inner.files.clear();
        self.inner.logs.clear();
        let backups = keep_backups(&store, &self.inner.options);
        // The old one ends off this thread: it may be in the middle of a backup.
        let old = {
            let mut slot = self.inner.backups.lock().expect("no holder of this lock panics");
            std::mem::replace(&mut *slot, backups)
        };
        tokio::task::spawn_blocking(move || drop(old));
        live::follow(self, &store);
        self.inner.host.serve(Some(store.clone())).await;
        self.update_settings(|settings| {
            let path = path_of(&store).display().to_string();
            settings.recent_stores.retain(|recent| *recent != path);
            settings.recent_stores.insert(0, path);
            settings.recent_stores.truncate(12);
        });
        let status = self.status_of(&store).await?;
        self.tell(LiveEvent::Store { status: Some(status.clone()) });
        Ok(status)
    }

    /// Lets go of the open store, if there is one. Requests that are being answered still hold it.
    pub(crate) async fn close_store(&self) {
        self.inner.generation.send_modify(|generation| *generation += 1);
        self.inner.host.serve(None).await;
        let backups = self.inner.backups.lock().expect("no holder of this lock panics").take();
        let store = self.inner.store.write().expect("no holder of this lock panics").take();
        self.inner.files.clear();
        // Both end threads of their own.
        let _ = tokio::task::spawn_blocking(move || drop((backups, store))).await;
    }

    pub(crate) async fn status(&self) -> Result<Option<StoreStatus>, CommandError> {
        let store = self.inner.store.read().expect("no holder of this lock panics").clone();
        match store {
            Some(store) => Ok(Some(self.status_of(&store).await?)),
            None => Ok(None),
        }
    }

    pub(crate) async fn status_of(&self, store: &Store) -> Result<StoreStatus, CommandError> {
        let (running_runs, has_runs) =
            store.read(|tx| tx.run_activity()).await.map_err(errors::store_error)?;
        let shape = store.shape();
        Ok(StoreStatus {
            path: store.dir().display().to_string(),
            display_path: errors::shorten_home(store.dir()),
            revision: shape.revision.clone(),
            mlflow_release: shape.mlflow_release().map(str::to_owned),
            read_only: store.read_only().map(|reason| {
                let mut reason = reason;
                if let Some(first) = reason.get_mut(0..1) {
                    first.make_ascii_uppercase();
                }
                reason
            }),
            server: self.inner.host.server_status(),
            running_runs,
            has_runs,
            disk_free_bytes: rustix::fs::statvfs(store.dir())
                .ok()
                .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        })
    }

    pub(crate) fn update_settings(&self, change: impl FnOnce(&mut crate::dto::Settings)) {
        let mut file = self.inner.settings.lock().expect("no holder of this lock panics");
        if file.update(change) {
            self.tell(LiveEvent::Settings { settings: file.settings().clone() });
        }
    }

    /// The settings now.
    pub fn settings(&self) -> crate::dto::Settings {
        self.inner.settings.lock().expect("no holder of this lock panics").settings().clone()
    }

    /// Remembers the port that MLflow clients know.
    pub fn remember_port(&self, port: u16) {
        self.update_settings(|settings| settings.port = Some(port));
    }

    pub(crate) fn tell(&self, event: LiveEvent) {
        // No window listens while none is open.
        let _ = self.inner.live.send(event);
    }
}

/// A store as it is named elsewhere: its folder, or the database where that has another name.
pub(crate) fn path_of(store: &Store) -> &Path {
    if store.database().file_name().is_some_and(|name| name == "mlflow.db") {
        store.dir()
    } else {
        store.database()
    }
}

/// Backs a store up while it is open; `None` for one that is only read, or if that cannot be done,
/// which is no reason not to open the store.
pub fn keep_backups(store: &Store, options: &AppOptions) -> Option<BackupKeeper> {
    if store.read_only().is_some() {
        return None;
    }
    let folder = BackupFolder::new(&options.backups(), store.database());
    BackupKeeper::start(store, folder, Schedule::default())
        .inspect_err(|error| tracing::warn!(%error, "no backups are taken of the store"))
        .ok()
}

/// The store that the window opens when none is named: the last one, or the default one.
pub fn usual_store(options: &AppOptions) -> PathBuf {
    let settings = SettingsFile::load(&options.config_dir);
    let last = settings.settings().recent_stores.first().map(PathBuf::from);
    last.unwrap_or_else(|| options.default_store())
}

/// Remembers the port that this user's MLflow clients know, where there is no [`App`].
pub fn remember_port(options: &AppOptions, port: u16) {
    SettingsFile::load(&options.config_dir).update(|settings| settings.port = Some(port));
}

/// Whether MLflow clients must send the token, before an [`App`] exists.
pub(crate) fn wants_token(options: &AppOptions) -> bool {
    SettingsFile::load(&options.config_dir).settings().requires_token
}

/// The port that this user's MLflow clients know; `None` before the first start.
pub fn remembered_port(options: &AppOptions) -> Option<u16> {
    SettingsFile::load(&options.config_dir).settings().port
}

/// The port that this user's MLflow clients know, before an [`App`] exists; made up at the first
/// start, between 20000 and 29999, so that no two users of a machine are likely to share it.
pub fn preferred_port(options: &AppOptions) -> u16 {
    remembered_port(options).unwrap_or_else(|| {
        let mut bytes = [0; 2];
        // Without randomness every user gets the same port; the next one is taken then.
        let _ = getrandom::fill(&mut bytes);
        20_000 + u16::from_le_bytes(bytes) % 10_000
    })
}
