//! The optional token: who has it is served, who has not learns nothing.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Body;
use cairn_server::{Access, AccessRule, Token};
use cairn_store::{OpenOptions, Store};
use http::{Method, StatusCode};

use crate::{
    guard_table::{assert_hardened, body, routes},
    support::{App, Reply, request},
};

const TOKEN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const WRONG: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee00";
const HEALTH: &str = "/health";

fn app(rule: AccessRule) -> App {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), OpenOptions::Create).expect("a new store");
    App::with_access(dir, store, Access::new(rule))
}

fn guarded() -> App {
    app(AccessRule::Token(Token::parse(TOKEN).expect("64 digits")))
}

async fn send(app: &App, method: &Method, path: &str, authorization: Option<&str>) -> Reply {
    let mut request = request(method.as_str(), path).header("content-type", "application/json");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    app.send(request.body(Body::from(body())).expect("a request")).await
}

fn assert_unauthenticated(reply: &Reply, what: &str) {
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}");
    assert_eq!(reply.code(), "UNAUTHENTICATED", "{what}");
    assert_eq!(reply.header("www-authenticate"), "Bearer", "{what}");
    assert_hardened(reply, what);
    assert!(!String::from_utf8_lossy(&reply.body).contains("0011"), "{what}");
}

#[tokio::test(start_paused = true)]
async fn no_route_answers_without_the_token() {
    let app = guarded();
    let before = app.fingerprint();
    let mut asked = routes();
    asked.push((Method::GET, "/nothing".to_owned()));
    for (method, path) in &asked {
        for authorization in [None, Some(WRONG), Some("Bearer ")] {
            let reply = send(&app, method, path, authorization).await;
            assert_unauthenticated(&reply, &format!("{method} {path} with {authorization:?}"));
        }
        let wrong = format!("Bearer {WRONG}");
        assert_unauthenticated(&send(&app, method, path, Some(&wrong)).await, path);
    }
    assert!(app.fingerprint() == before, "something was written");
    let right = format!("Bearer {TOKEN}");
    for (method, path) in &asked {
        let reply = send(&app, method, path, Some(&right)).await;
        assert_ne!(reply.status, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
}

#[tokio::test]
async fn the_guard_comes_before_the_token() {
    let app = guarded();
    let right = format!("Bearer {TOKEN}");
    for (name, value) in [("origin", "http://localhost:9999"), ("sec-fetch-site", "none")] {
        let request = request("GET", HEALTH).header("authorization", &right).header(name, value);
        let reply = app.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
    }
    let foreign = http::Request::get(HEALTH).header("host", "evil.example");
    let reply = app.send(foreign.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "who may not ask is not told of a token");
}

#[tokio::test(start_paused = true)]
async fn guessing_is_slow_and_holds_no_one_else_up() {
    let app = guarded();
    let wrong = format!("Bearer {WRONG}");
    let right = format!("Bearer {TOKEN}");
    let began = tokio::time::Instant::now();
    for _ in 0..20 {
        assert_unauthenticated(&send(&app, &Method::GET, HEALTH, Some(&wrong)).await, "a guess");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    let late = send(&app, &Method::GET, HEALTH, Some(&wrong));
    let (late, served) = tokio::join!(late, async {
        let served = send(&app, &Method::GET, HEALTH, Some(&right)).await;
        (served.status, began.elapsed())
    });
    assert_eq!(served, (StatusCode::OK, Duration::ZERO));
    assert_unauthenticated(&late, "a guess too many");
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_token_that_is_wanted_but_missing_lets_no_one_in() {
    let app = app(AccessRule::Nobody);
    for authorization in [None, Some("Bearer "), Some(&*format!("Bearer {TOKEN}"))] {
        let reply = send(&app, &Method::GET, HEALTH, authorization).await;
        assert_unauthenticated(&reply, "no token is known");
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_token_is_in_no_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("the log is kept");
    let app = guarded();
    for token in [TOKEN, WRONG] {
        let authorization = format!("Bearer {token}");
        for path in [HEALTH, "/api/2.0/mlflow/runs/get?run_id=x", "/nothing"] {
            send(&app, &Method::GET, path, Some(&authorization)).await;
        }
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("the log is kept"));
    assert!(!text.contains("00112233"), "{text}");
}
