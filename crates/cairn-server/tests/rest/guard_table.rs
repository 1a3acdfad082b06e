//! The guard over every route of the table, and over paths that are no route.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use serde_json::json;

use crate::support::{App, PORT, Reply};

/// Hosts that are not this server, or not plainly.
const HOSTS: &[&str] = &[
    "",
    "127.0.0.1",
    "localhost",
    "127.0.0.1:5998",
    "127.0.0.1:05999",
    "127.0.0.1:59990",
    "0.0.0.0:5999",
    "[::]:5999",
    "[::ffff:127.0.0.1]:5999",
    "[::ffff:7f00:1]:5999",
    "::1:5999",
    "[fd00::1]:5999",
    "fd00:x",
    "127.1:5999",
    "2130706433:5999",
    "0177.0.0.1:5999",
    "10.evil.example",
    "10.evil.example:5999",
    "192.168.evil.example:5999",
    "172.16.evil.example:5999",
    "evil.example",
    "evil.example:5999",
    "localhost.evil:5999",
    "localhost.:5999",
    "127.0.0.1.:5999",
    "127.0.0.1:5999@evil",
    "evil@127.0.0.1:5999",
    "127.0.0.1:5999:5999",
    "127.0.0.1:5999,127.0.0.1:5999",
    "127.0.0.1:",
    "*:5999",
    "127.0.0.1.nip.io:5999",
    "host.docker.internal:5999",
    "http://127.0.0.1:5999",
    "[::1]",
    "[::1]:80",
    "192.168.1.10:5999",
    "10.0.0.1:5999",
    "172.17.0.1:5999",
    "169.254.169.254:5999",
    "127.0.0.2:5999",
    "127.0.0.1:5999.",
    "127.0.0.1.evil.example:5999",
    "127.0.0.1 :5999",
    "127.0.0.1:5999 evil",
    "127.0.0.1:5999\\@evil",
    "127.0.0.1:5999#evil",
    "127.0.0.1:5999?evil",
    "127.0.0.1:5999/evil",
    "localhost:5999:80",
    "localhost:+5999",
    "localhost:5999.0",
    "localhost:0x176f",
    "localhost:71535",
    "localhost.localdomain:5999",
    "ip6-localhost:5999",
    "[::1%25lo]:5999",
    "[0:0:0:0:0:0:0:1]:5999",
    "[::1].evil:5999",
    "[::1",
    "0x7f000001:5999",
];

/// Origins of pages that a browser could show.
const ORIGINS: &[&str] = &[
    "null",
    "",
    "http://127.0.0.1:5999",
    "http://localhost:5999",
    "http://[::1]:5999",
    "http://localhost:9999",
    "http://localhost",
    "https://localhost:5999",
    "http://127.0.0.1",
    "tauri://localhost",
    "http://tauri.localhost",
    "https://evil.example",
    "http://localhost.evil",
    "http://127.0.0.1:5999@evil",
    "http://127.0.0.1:5999.evil.example",
    "HTTP://LOCALHOST:5999",
    "http://localhost.:5999",
    "file://",
    "vscode-webview://x",
    "chrome-extension://x",
    "moz-extension://x",
    "http://0.0.0.0:5999",
    "http://10.0.0.1:5999",
    "http://192.168.1.1",
    "data:",
];

const SITES: &[&str] = &["cross-site", "same-site", "same-origin", "none"];

const TYPES: &[&str] = &[
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
];

/// Paths that are no route here, some of them routes of MLflow.
const UNKNOWN: &[&str] = &[
    "/",
    "/nothing",
    "/api",
    "/api/2.0",
    "/api/2.0/mlflow",
    "/api/2.0/mlflow/nothing",
    "/api/1.2/mlflow/runs/get",
    "/api/2.0/preview/mlflow/runs/get",
    "/ajax-api/3.0/mlflow/assistant/config",
    "/ajax-api/3.0/jobs/",
    "/ajax-api/2.0/mlflow/gateway-proxy",
    "/api/3.0/mlflow/traces",
    "/api/2.0/mlflow-artifacts/mpu/create/x",
    "/static-files/index.html",
    "/v1/traces",
    "/signup",
    "/api/2.0/mlflow/users/create",
    "//evil.example/x",
    "/api/2.0/mlflow/experiments/../runs/get",
];

/// Every route of the table with values in the variable parts.
pub fn routes() -> Vec<(Method, String)> {
    cairn_server::ROUTES
        .iter()
        .flat_map(|route| {
            let path = route
                .path
                .replace("{model_id}", "m-00000000000000000000000000000000")
                .replace("{*path}", "0/evil/artifacts/evil.txt")
                .replace("{*key}", "key");
            let prefixes = route.place.prefixes().iter();
            prefixes.map(move |prefix| (route.method.clone(), format!("{prefix}{path}")))
        })
        .collect()
}

/// A body that would change something on most routes.
pub fn body() -> String {
    json!({
        "experiment_id": "0", "experiment_ids": ["0"], "name": "evil", "new_name": "evil",
        "key": "evil", "value": "1", "timestamp": 1, "max_results": 1, "alias": "evil", "version": "1",
        "source": "s3://evil/x", "artifact_location": "s3://evil"
    })
    .to_string()
}

fn assert_refused(reply: &Reply, what: &str) {
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "{what}");
    assert_hardened(reply, what);
    assert_eq!(reply.header("content-type"), "application/json", "{what}");
    // The answer to HEAD has no body.
    assert!(reply.body.is_empty() || reply.code() == "PERMISSION_DENIED", "{what}");
    assert!(!String::from_utf8_lossy(&reply.body).contains("evil"), "{what} is repeated");
}

pub fn assert_hardened(reply: &Reply, what: &str) {
    assert_eq!(reply.header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(reply.header("cross-origin-resource-policy"), "same-origin", "{what}");
    assert_eq!(reply.header("x-frame-options"), "DENY", "{what}");
    assert_eq!(reply.header("cache-control"), "no-store", "{what}");
    let allows = reply.headers.keys().any(|name| name.as_str().starts_with("access-control-"));
    assert!(!allows, "{what}");
}

async fn send(app: &App, method: &Method, path: &str, headers: &[(&'static str, &str)]) -> Reply {
    let mut request =
        Request::builder().method(method).uri(path).body(Body::from(body())).expect("a request");
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
        request.headers_mut().append(HeaderName::from_static(name), value);
    }
    app.send(request).await
}

#[tokio::test]
async fn foreign_hosts_reach_no_route() {
    let app = App::new();
    let before = app.fingerprint();
    let long = "a".repeat(9 << 10);
    let mut asked = routes();
    asked.extend(UNKNOWN.iter().map(|path| (Method::POST, (*path).to_owned())));
    assert!(asked.len() > 130, "the table has {} routes", asked.len());
    for (method, path) in &asked {
        for host in HOSTS.iter().copied().chain([long.as_str()]) {
            let headers = [("host", host), ("content-type", "application/json")];
            let reply = send(&app, method, path, &headers).await;
            assert_refused(&reply, &format!("{method} {path} with Host {host}"));
        }
        let own = format!("127.0.0.1:{PORT}");
        let json = ("content-type", "application/json");
        assert_refused(&send(&app, method, path, &[json]).await, "no Host");
        let twice = [("host", own.as_str()), ("host", own.as_str()), json];
        assert_refused(&send(&app, method, path, &twice).await, "two Hosts");
        let full = format!("http://evil.example:{PORT}{path}");
        assert_refused(&send(&app, method, &full, &[("host", own.as_str()), json]).await, &full);
    }
    assert!(app.fingerprint() == before, "something was written");
}

#[tokio::test]
async fn browsers_reach_no_route() {
    let app = App::new();
    let before = app.fingerprint();
    let own = format!("127.0.0.1:{PORT}");
    let mut asked = routes();
    for path in UNKNOWN {
        for method in
            [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD]
        {
            asked.push((method, (*path).to_owned()));
        }
    }
    for (number, (method, path)) in asked.iter().enumerate() {
        // All pairs over the routes together, a quarter of them on each.
        for (index, origin) in ORIGINS.iter().enumerate() {
            let site = SITES[(index + number) % SITES.len()];
            let content_type = TYPES[(index / SITES.len() + number) % TYPES.len()];
            let what = format!("{method} {path} from {origin}, {site}");
            let host = ("host", own.as_str());
            let typed = ("content-type", content_type);
            let reply = send(&app, method, path, &[host, typed, ("origin", origin)]).await;
            assert_refused(&reply, &what);
            let both = [host, typed, ("origin", origin), ("sec-fetch-site", site)];
            assert_refused(&send(&app, method, path, &both).await, &what);
        }
        for site in SITES {
            let headers = [
                ("host", own.as_str()),
                ("content-type", "application/json"),
                ("cookie", "session=1"),
                ("sec-fetch-site", site),
            ];
            let what = format!("{method} {path}, {site}");
            assert_refused(&send(&app, method, path, &headers).await, &what);
        }
    }
    assert!(app.fingerprint() == before, "something was written");
}

#[tokio::test]
async fn preflights_are_refused_everywhere() {
    let app = App::new();
    let own = format!("127.0.0.1:{PORT}");
    let unknown = UNKNOWN.iter().map(|path| (*path).to_owned());
    for path in routes().into_iter().map(|(_, path)| path).chain(unknown) {
        for method in [Method::OPTIONS, Method::TRACE] {
            let reply = send(&app, &method, &path, &[("host", own.as_str())]).await;
            assert_refused(&reply, &format!("{method} {path}"));
        }
    }
}

#[tokio::test]
async fn programs_reach_every_route() {
    let app = App::new();
    for (method, path) in routes() {
        for host in ["127.0.0.1:5999", "localhost:5999", "[::1]:5999", "LOCALHOST:5999"] {
            let headers = [("host", host), ("content-type", "application/json")];
            let reply = send(&app, &method, &path, &headers).await;
            let what = format!("{method} {path} with Host {host}: {:?}", reply.body);
            assert_ne!(reply.status, StatusCode::FORBIDDEN, "{what}");
            assert_ne!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{what}");
            assert!(!String::from_utf8_lossy(&reply.body).contains("ENDPOINT_NOT_FOUND"), "{what}");
            // What only clouds have is not implemented; nothing else fails.
            let is_cloud = path.contains("/mpu/") || path.contains("/presigned/");
            assert!(reply.status.as_u16() < 500 || is_cloud, "{what}");
            assert_hardened(&reply, &what);
        }
    }
}

#[tokio::test]
async fn unknown_paths_are_answered_in_json() {
    let app = App::new();
    for path in UNKNOWN {
        let reply = app.ask("POST", path, None).await;
        let is_missing =
            matches!(reply.status, StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED);
        assert!(is_missing, "{path}: {}", reply.status);
        assert!(matches!(reply.code().as_str(), "ENDPOINT_NOT_FOUND" | "NOT_IMPLEMENTED"));
        assert_hardened(&reply, path);
    }
    let reply = app.ask("DELETE", "/api/2.0/mlflow/runs/create", None).await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_hardened(&reply, "a wrong method");
}
