//! The ports for MLflow clients that a host serves: usually one, and a second one for as long as
//! runs still log to a store that was left for another.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use cairn_runtime::serving::{self, Announcement, Hold};
use cairn_store::Store;

use crate::{AppOptions, app::usual_store, token::ClientAccess};

/// How often it is looked whether a store that was left is still logged to.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Something that a host waits for.
pub type Waiting<'a, T = ()> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A server for MLflow clients, as a host has it.
pub trait ClientPort: Send + Sync + 'static {
    /// Its number.
    fn number(&self) -> u16;

    /// Serves this store from the next request on, or none.
    fn set_store(&self, store: Option<Store>);

    /// Changes who may use it, from the next request on.
    fn set_access(&self, access: ClientAccess);

    /// Answers open requests and gives the port back.
    fn shutdown(&self) -> Waiting<'_>;
}

/// Takes one more port, any that is free; `None` when there is none.
pub type TakePort = Box<dyn Fn() -> Waiting<'static, Option<Arc<dyn ClientPort>>> + Send + Sync>;

/// The ports of a host. Clones share them.
#[derive(Clone)]
pub struct Ports {
    inner: Arc<Inner>,
}

struct Inner {
    data_dir: PathBuf,
    requires_token: bool,
    take: TakePort,
    /// Held while a store is being changed; the state's own lock is held for moments only.
    changing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Served>,
    kept: Vec<Served>,
}

struct Served {
    port: Arc<dyn ClientPort>,
    store: Option<PathBuf>,
    /// Tells launches of it.
    note: Option<Announcement>,
}

impl Ports {
    /// Begins with one port, or with none when it could not be taken. `requires_token` is the wish of
    /// a command line, which a stand-in has to heed too.
    pub fn new(
        options: &AppOptions,
        first: Option<Arc<dyn ClientPort>>,
        requires_token: bool,
        take: TakePort,
    ) -> Self {
        let current = first.map(|port| Served { port, store: None, note: None });
        let inner = Inner {
            data_dir: options.data_dir.clone(),
            requires_token,
            take,
            changing: tokio::sync::Mutex::default(),
            state: Mutex::new(State { current, kept: Vec::new() }),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The port of the store that is open.
    pub fn number(&self) -> Option<u16> {
        self.state().current.as_ref().map(|served| served.port.number())
    }

    /// Serves a store, or none. One that runs still log to stays where it is, and the new one gets a
    /// port of its own.
    pub async fn serve(&self, store: Option<Store>) {
        let _one_at_a_time = self.inner.changing.lock().await;
        let database = store.as_ref().map(|store| store.database().to_owned());
        if let (Some(old), Some(new)) = (self.store_in_use().await, &database)
            && old != *new
        {
            self.leave_in_place(new).await;
        }
        let state = &mut *self.state();
        let Some(current) = &mut state.current else { return };
        current.port.set_store(store);
        if current.store != database || current.note.is_none() {
            // The old note goes first: both have the same name.
            current.note = None;
            current.note =
                database.as_deref().and_then(|database| self.announce(database, current));
            current.store = database;
        }
    }

    /// Changes who may use the ports.
    pub fn set_access(&self, access: &ClientAccess) {
        let state = self.state();
        for served in state.current.iter().chain(&state.kept) {
            served.port.set_access(access.clone());
        }
    }

    /// Gives all ports back.
    pub async fn shutdown(&self) {
        let served = {
            let mut state = self.state();
            let current = state.current.take();
            current.into_iter().chain(state.kept.drain(..)).collect::<Vec<_>>()
        };
        for served in served {
            served.port.set_store(None);
            served.port.shutdown().await;
        }
    }

    /// The store that is served now, if a launch logs to it by this port.
    async fn store_in_use(&self) -> Option<PathBuf> {
        let (store, port) = {
            let state = self.state();
            let current = state.current.as_ref()?;
            (current.store.clone()?, current.port.number())
        };
        let data_dir = self.inner.data_dir.clone();
        let asked = store.clone();
        let is_needed =
            tokio::task::spawn_blocking(move || serving::is_needed(&data_dir, &asked, Some(port)));
        is_needed.await.unwrap_or_default().then_some(store)
    }

    /// Makes room for a store beside the one that is in use: the port that it was left on, or a new
    /// one. Where there is none, the old store has to go.
    async fn leave_in_place(&self, new: &Path) {
        let at = self.state().kept.iter().position(|kept| kept.store.as_deref() == Some(new));
        let next = match at {
            Some(at) => Some(self.state().kept.remove(at)),
            None => (self.inner.take)().await.map(|port| Served { port, store: None, note: None }),
        };
        let Some(next) = next else { return };
        let is_first = {
            let mut state = self.state();
            let old = state.current.replace(next);
            state.kept.extend(old);
            state.kept.len() == 1
        };
        if is_first {
            tokio::spawn(self.clone().let_go());
        }
    }

    /// Gives ports back as the last run that logs by them ends.
    async fn let_go(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let kept: Vec<_> = {
                let state = self.state();
                let place = |kept: &Served| (kept.store.clone(), kept.port.number());
                state.kept.iter().map(place).collect()
            };
            if kept.is_empty() {
                return;
            }
            for (store, port) in kept {
                let data_dir = self.inner.data_dir.clone();
                let is_needed = tokio::task::spawn_blocking(move || {
                    store.is_some_and(|store| serving::is_needed(&data_dir, &store, Some(port)))
                });
                if is_needed.await.unwrap_or(true) {
                    continue;
                }
                let gone = {
                    let mut state = self.state();
                    let at = state.kept.iter().position(|kept| kept.port.number() == port);
                    at.map(|at| state.kept.remove(at))
                };
                if let Some(gone) = gone {
                    gone.port.set_store(None);
                    gone.port.shutdown().await;
                }
            }
        }
    }

    fn announce(&self, database: &Path, served: &Served) -> Option<Announcement> {
        let (data_dir, port) = (&self.inner.data_dir, served.port.number());
        serving::announce(data_dir, database, port, false, self.inner.requires_token)
            .inspect_err(|error| tracing::warn!(%error, "launches are not told of this port"))
            .ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().expect("no holder of this lock panics")
    }
}

/// The port that a host should take: `wanted`, or where a stand-in serves the store that will be
/// opened, else `usual`. The stand-in is gone when this returns, and no other comes before the answer is dropped.
pub async fn take_from_stand_in(
    options: &AppOptions,
    wanted: Option<u16>,
    usual: u16,
) -> (u16, Option<Hold>) {
    let options = options.clone();
    let taken = tokio::task::spawn_blocking(move || {
        let store = options.store.clone().unwrap_or_else(|| usual_store(&options));
        let port =
            wanted.or_else(|| serving::stand_in_port(&options.data_dir, &store)).unwrap_or(usual);
        let hold = serving::take_over(&options.data_dir, &store, port)
            .inspect_err(|error| tracing::warn!(%error, "a stand-in may still have the port"));
        (port, hold.ok())
    });
    taken.await.unwrap_or((usual, None))
}
