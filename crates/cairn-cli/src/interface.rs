//! The browser host: the same interface and the same commands as in the window, over HTTP.
//!
//! It listens on a port of its own. The first link carries a random token, which becomes a cookie
//! that only this origin gets; everything else needs the cookie. The guard of the MLflow port stands
//! in front here too, in its form for pages of one's own.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    middleware::{self, Next},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post},
};
use cairn_app::{
    App, commands,
    dto::{CommandError, ErrorCode, LiveEvent},
};
use cairn_server::{GuardLayer, GuardPolicy, Listener, PortChoice};
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tokio::{sync::watch, task::JoinHandle};
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

use crate::assets;

/// Arguments of a command are small.
const BODY_BYTES: usize = 1 << 20;

/// The browser host at work.
pub struct Interface {
    port: u16,
    token: String,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    app: App,
    token: Arc<str>,
    cookie: Arc<str>,
    /// Turns true when the program ends: event streams never end by themselves.
    stopped: watch::Receiver<bool>,
}

impl Interface {
    /// Takes a port (0: any free one) and serves the interface on it.
    pub async fn start(app: App, port: u16) -> anyhow::Result<Self> {
        let listener =
            Listener::bind(PortChoice::Exactly(port)).await.context("the port of the interface")?;
        let port = listener.port();
        let token = random_hex()?;
        let (stop, stopped) = watch::channel(false);
        let mut ended = stopped.clone();
        let shared = Shared {
            app,
            stopped,
            token: token.as_str().into(),
            // Cookies are shared by all ports of a host: the name tells two programs apart.
            cookie: format!("cairn_{port}").into(),
        };
        let router = router(shared).layer(GuardLayer::new(GuardPolicy::interface(port)));
        let serving = tokio::spawn(listener.serve(router, async move {
            // An error means that the sender is gone, which ends it too.
            let _ = ended.wait_for(|ended| *ended).await;
        }));
        Ok(Self { port, token, stop, serving })
    }

    /// The link that lets a browser in.
    pub fn link(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.token)
    }

    /// Stops, ending open event streams.
    pub async fn shutdown(self) {
        let _ = self.stop.send(true);
        let _ = self.serving.await;
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/call/{name}", post(call))
        .route("/live", get(live))
        .route("/file/{handle}", get(file))
        .fallback(get(asset))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(shared.clone(), let_in))
        .with_state(shared)
}

#[derive(Deserialize)]
struct FirstLink {
    token: Option<String>,
}

/// Lets in who has the cookie, gives it to who has the token, and sends away all others.
async fn let_in(
    State(shared): State<Shared>,
    Query(link): Query<FirstLink>,
    request: Request,
    next: Next,
) -> Response {
    let is_same = |given: &str| bool::from(given.as_bytes().ct_eq(shared.token.as_bytes()));
    if request.uri().path() == "/"
        && let Some(token) = &link.token
    {
        if is_same(token) {
            let cookie =
                format!("{}={}; Path=/; HttpOnly; SameSite=Strict", shared.cookie, shared.token);
            let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, "/".to_owned())];
            return (StatusCode::SEE_OTHER, headers).into_response();
        }
        return refused();
    }
    if cookie(request.headers(), &shared.cookie).is_some_and(is_same) {
        return next.run(request).await;
    }
    refused()
}

fn refused() -> Response {
    let text = "Open the link that `cairn serve --ui` printed in the terminal.\n";
    (StatusCode::UNAUTHORIZED, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
        .into_response()
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

async fn call(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    if !is_json {
        return failure(&CommandError::new(
            ErrorCode::InvalidInput,
            "Arguments must be sent as application/json",
        ));
    }
    let args =
        if body.is_empty() { Ok(serde_json::Value::Null) } else { serde_json::from_slice(&body) };
    let args = match args {
        Ok(args) => args,
        Err(error) => {
            let message = format!("The arguments are not JSON: {error}");
            return failure(&CommandError::new(ErrorCode::InvalidInput, message));
        }
    };
    match commands::call(&shared.app, &name, args).await {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(error) => failure(&error),
    }
}

fn failure(error: &CommandError) -> Response {
    let status = match error.code {
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Busy | ErrorCode::NoStore => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorCode::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    json(status, error)
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Live events as server-sent events. Who lags is told to ask for everything again.
async fn live(State(shared): State<Shared>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut stopped = shared.stopped.clone();
    let until_stopped = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let events = BroadcastStream::new(shared.app.listen()).filter_map(|event| async {
        let event = match event {
            Ok(event) => event,
            Err(BroadcastStreamRecvError::Lagged(_)) => LiveEvent::Resync,
        };
        Some(Ok(Event::default().json_data(event).unwrap_or_default()))
    });
    let events = events.take_until(Box::pin(until_stopped));
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

async fn file(State(shared): State<Shared>, Path(handle): Path<String>) -> Response {
    let opened = tokio::task::spawn_blocking(move || shared.app.open_file(&handle)).await;
    match opened {
        Ok(Ok(file)) => {
            let headers = [
                (header::CONTENT_TYPE, file.mime),
                (
                    header::CONTENT_SECURITY_POLICY,
                    "sandbox; default-src 'none'; style-src 'unsafe-inline'",
                ),
                (header::CACHE_CONTROL, "private, max-age=3600"),
            ];
            (headers, file.bytes).into_response()
        }
        Ok(Err(error)) => failure(&error),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Files of the interface; every other address is one of its pages.
async fn asset(request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if let Some(asset) =
        (!path.is_empty() && path != "index.html").then(|| assets::find(path)).flatten()
    {
        let cache =
            if asset.is_immutable { "private, max-age=31536000, immutable" } else { "no-cache" };
        let headers = [(header::CONTENT_TYPE, asset.mime.as_str()), (header::CACHE_CONTROL, cache)];
        return (headers, Body::from(asset.bytes.into_owned())).into_response();
    }
    if path.starts_with("_app/") {
        return StatusCode::NOT_FOUND.into_response();
    }
    page().unwrap_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// The page, with its inline start script allowed by a nonce.
fn page() -> Option<Response> {
    let Some(page) = assets::page() else {
        let text =
            "This program was built without its interface. Build it with `cargo xtask run`.\n";
        return Some((StatusCode::NOT_FOUND, text).into_response());
    };
    let nonce = random_hex().ok()?;
    let page = page.replace("<script", &format!("<script nonce=\"{nonce}\""));
    let policy = format!(
        "default-src 'self'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; \
         img-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    Some((headers, page).into_response())
}

/// 256 random bits as hexadecimal digits.
fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system has no source of randomness: {error}"))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=1; cairn_5=abc; b=2".parse().unwrap());
        assert_eq!(cookie(&headers, "cairn_5"), Some("abc"));
        assert_eq!(cookie(&headers, "cairn_6"), None);
    }
}
