//! The sockets: loopback only, bounded in number and time.
//!
//! A listener serves any axum router, so that the browser host shares its limits.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Instant, timeout},
};
use tower::ServiceExt as _;

/// The most connections at once.
pub const MAX_CONNECTIONS: usize = 256;
/// The most header lines of a request.
pub const MAX_HEADERS: usize = 64;
/// The most bytes of a request's head.
pub const MAX_HEADER_BYTES: usize = 16 << 10;
/// How long a client may take for a request's head, and how long a connection may be idle.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests in progress may go on after a shutdown began.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// How long a connection must have been silent before it may be closed for a new one.
const MIN_SILENCE_MS: u64 = 250;

/// Which port to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortChoice {
    /// This one or none.
    Exactly(u16),
    /// This one, or any free one when it is taken.
    Prefer(u16),
    /// Any free one.
    Any,
}

/// Why no port was taken.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program listens there.
    #[error("Port {port} is taken by another program. Stop that program, or choose another port.")]
    Taken {
        /// The port asked for.
        port: u16,
    },
    /// The system lets this user not listen there.
    #[error("Port {port} may not be used by this user. Choose a port above 1023.")]
    Denied {
        /// The port asked for.
        port: u16,
    },
    /// Loopback is not there, or the system has no sockets left.
    #[error("Port {port} on 127.0.0.1 cannot be opened: {source}")]
    Io {
        /// The port asked for; 0 for any.
        port: u16,
        /// The system's answer.
        source: io::Error,
    },
}

impl BindError {
    fn new(port: u16, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::Taken { port },
            io::ErrorKind::PermissionDenied => Self::Denied { port },
            _ => Self::Io { port, source },
        }
    }
}

/// Sockets on 127.0.0.1 and, where the machine has IPv6, on ::1, with the same port.
#[derive(Debug)]
pub struct Listener {
    v4: TcpListener,
    v6: Option<TcpListener>,
    port: u16,
}

impl Listener {
    /// Takes a port on both loopback addresses; needs a tokio runtime.
    pub async fn bind(choice: PortChoice) -> Result<Self, BindError> {
        match choice {
            PortChoice::Exactly(0) | PortChoice::Any => Self::bind_any().await,
            PortChoice::Exactly(port) => Self::bind_port(port).await,
            PortChoice::Prefer(port) => match Self::bind_port(port).await {
                Err(BindError::Taken { .. } | BindError::Denied { .. }) => Self::bind_any().await,
                other => other,
            },
        }
    }

    async fn bind_any() -> Result<Self, BindError> {
        // The system picks a port that is free on the one address; it may be taken on the other.
        let mut last = None;
        for _ in 0..16 {
            match Self::bind_port(0).await {
                Err(BindError::Taken { port }) => last = Some(port),
                other => return other,
            }
        }
        Err(BindError::Taken { port: last.unwrap_or(0) })
    }

    async fn bind_port(port: u16) -> Result<Self, BindError> {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(|source| BindError::new(port, source))?;
        let port = v4.local_addr().map_err(|source| BindError::new(port, source))?.port();
        let v6 = match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            Ok(listener) => Some(listener),
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                return Err(BindError::Taken { port });
            }
            Err(error) => {
                tracing::info!(%error, "no IPv6 loopback; serving 127.0.0.1 only");
                None
            }
        };
        Ok(Self { v4, v6, port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves a router until `stop` is done, then lets requests in progress end for
    /// [`SHUTDOWN_GRACE`].
    pub async fn serve(self, router: Router, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut connections = Connections::new();
        let mut next_id = 0;
        loop {
            let stream = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = connections.tasks.join_next() => continue,
                accepted = self.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file handles, or a peer that vanished: neither ends the server.
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let permit = tokio::select! {
                biased;
                () = &mut stop => break,
                permit = connections.room() => permit,
            };
            next_id += 1;
            connections.start(next_id, stream, router.clone(), permit);
        }
        drop((self.v4, self.v6));
        connections.finish().await;
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.v6 {
            None => self.v4.accept().await,
            Some(v6) => tokio::select! {
                accepted = self.v4.accept() => accepted,
                accepted = v6.accept() => accepted,
            },
        }
    }
}

/// The open connections of one listener.
struct Connections {
    tasks: JoinSet<()>,
    room: Arc<Semaphore>,
    /// Connections by age; each task removes its own.
    open: Arc<Mutex<Vec<Arc<Peer>>>>,
    stopping: watch::Sender<bool>,
    began: Instant,
}

/// What is known of an open connection.
struct Peer {
    id: u64,
    /// When bytes last went either way, milliseconds after the listener began.
    last_bytes_ms: AtomicU64,
    /// Requests whose handler has not answered yet.
    in_progress: AtomicUsize,
    /// Whether there ever was a request.
    was_asked: AtomicBool,
    evicted: Notify,
}

impl Connections {
    fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            room: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            open: Arc::default(),
            stopping: watch::Sender::new(false),
            began: Instant::now(),
        }
    }

    /// Waits for room; when there is none, the longest-silent connection without a request in
    /// progress has to go, so that idle sockets cannot lock a working client out.
    async fn room(&self) -> OwnedSemaphorePermit {
        loop {
            let room = self.room.clone();
            if let Ok(permit) = room.try_acquire_owned() {
                return permit;
            }
            self.evict_one();
            let waited =
                timeout(Duration::from_millis(20), self.room.clone().acquire_owned()).await;
            if let Ok(Ok(permit)) = waited {
                return permit;
            }
        }
    }

    fn evict_one(&self) {
        let now = elapsed_ms(self.began);
        let open = self.open.lock().expect("no holder of this lock panics");
        let longest_silent = open
            .iter()
            .filter(|peer| peer.in_progress.load(Ordering::Relaxed) == 0)
            .min_by_key(|peer| peer.last_bytes_ms.load(Ordering::Relaxed));
        if let Some(peer) = longest_silent
            && now.saturating_sub(peer.last_bytes_ms.load(Ordering::Relaxed)) >= MIN_SILENCE_MS
        {
            peer.evicted.notify_one();
        }
    }

    fn start(&mut self, id: u64, stream: TcpStream, router: Router, permit: OwnedSemaphorePermit) {
        // Small answers must not wait for the peer's acknowledgement.
        let _ = stream.set_nodelay(true);
        let peer = Arc::new(Peer {
            id,
            last_bytes_ms: AtomicU64::new(elapsed_ms(self.began)),
            in_progress: AtomicUsize::new(0),
            was_asked: AtomicBool::new(false),
            evicted: Notify::new(),
        });
        let open = self.open.clone();
        open.lock().expect("no holder of this lock panics").push(peer.clone());
        let io = WatchedStream { stream, peer: peer.clone(), began: self.began };
        let stopping = self.stopping.subscribe();
        self.tasks.spawn(async move {
            serve_connection(io, router, &peer, stopping).await;
            open.lock().expect("no holder of this lock panics").retain(|other| other.id != peer.id);
            drop(permit);
        });
    }

    /// Ends all connections, those with requests in progress last.
    async fn finish(mut self) {
        let _ = self.stopping.send(true);
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(SHUTDOWN_GRACE, all_ended).await.is_err() {
            self.tasks.abort_all();
            while self.tasks.join_next().await.is_some() {}
        }
    }
}

async fn serve_connection(
    io: WatchedStream,
    router: Router,
    peer: &Arc<Peer>,
    mut stopping: watch::Receiver<bool>,
) {
    let counted = peer.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        let in_progress = InProgress::new(counted.clone());
        async move {
            let response: Result<Response<Body>, Infallible> =
                router.oneshot(request.map(Body::new)).await;
            drop(in_progress);
            response
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(io), service)
    );
    tokio::select! {
        // A peer that breaks off or sends no HTTP is nothing to report.
        _ = connection.as_mut() => return,
        () = peer.evicted.notified() => return,
        _ = stopping.changed() => {}
    }
    // Idle connections end here at once; the listener bounds how long the others may take.
    connection.as_mut().graceful_shutdown();
    if peer.was_asked.load(Ordering::Relaxed) {
        let _ = connection.await;
    }
}

/// Counts a request as long as its handler works.
struct InProgress(Arc<Peer>);

impl InProgress {
    fn new(peer: Arc<Peer>) -> Self {
        peer.in_progress.fetch_add(1, Ordering::Relaxed);
        peer.was_asked.store(true, Ordering::Relaxed);
        Self(peer)
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

fn elapsed_ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A stream that notes when bytes pass.
struct WatchedStream {
    stream: TcpStream,
    peer: Arc<Peer>,
    began: Instant,
}

impl WatchedStream {
    fn note<T>(&self, outcome: Poll<T>) -> Poll<T> {
        if outcome.is_ready() {
            self.peer.last_bytes_ms.store(elapsed_ms(self.began), Ordering::Relaxed);
        }
        outcome
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.note(outcome)
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_and_can_be_avoided() {
        let first = Listener::bind(PortChoice::Any).await.unwrap();
        let port = first.port();
        let refused = Listener::bind(PortChoice::Exactly(port)).await;
        assert!(matches!(refused, Err(BindError::Taken { port: taken }) if taken == port));
        let other = Listener::bind(PortChoice::Prefer(port)).await.unwrap();
        assert_ne!(other.port(), port);
    }

    #[tokio::test]
    async fn a_port_taken_on_ipv6_alone_is_taken() {
        let Ok(v6) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else { return };
        let port = v6.local_addr().unwrap().port();
        let refused = Listener::bind(PortChoice::Exactly(port)).await;
        assert!(matches!(refused, Err(BindError::Taken { .. })), "{refused:?}");
    }
}
