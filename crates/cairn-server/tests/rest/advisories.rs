//! Published weaknesses of MLflow, replayed here: each is a row of `advisories.toml`.
//!
//! A row is a list of requests with what each must be answered; whatever they are, no answer holds
//! the canary, nothing outside the artifact tree is made, changed or removed, no connection is
//! opened, and nothing fails with a status that clients repeat.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    path::Path,
};

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;

use crate::{
    guard_table::{self, assert_hardened},
    paths::walk,
    support::{App, Reply, request},
};

const CANARY: &str = "k3dfj2-canary";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Requests that many rows begin with, by name.
    setup: BTreeMap<String, Vec<Step>>,
    advisory: Vec<Advisory>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advisory {
    /// The ids that the row stands for.
    ids: Vec<String>,
    /// What happened, in a few words.
    what: String,
    /// Setups that come first.
    #[serde(default)]
    uses: Vec<String>,
    #[serde(default)]
    requests: Vec<Step>,
    /// Headers that must be refused on every route of the table, with every kind of body.
    #[serde(default)]
    refused_everywhere: Vec<BTreeMap<String, String>>,
}

/// A request. `{name}` stands for a value saved before, or for one of those of [`Place::new`].
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    method: String,
    path: String,
    json: Option<String>,
    text: Option<String>,
    /// `text/plain` for text when not said.
    content_type: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The statuses that are right; any below 500 when not said.
    #[serde(default)]
    status: Vec<u16>,
    /// The beginnings that headers of the answer must have.
    #[serde(default)]
    answers: BTreeMap<String, String>,
    /// The whole body of the answer.
    body: Option<String>,
    /// What the body must not hold.
    #[serde(default)]
    without: Vec<String>,
    /// Values of the answer to keep: a name, and a JSON pointer.
    #[serde(default)]
    save: BTreeMap<String, String>,
}

/// A server with a store, a folder outside with the canary, and a port that no one may connect to.
struct Place {
    app: App,
    outside: tempfile::TempDir,
    listener: TcpListener,
    values: BTreeMap<String, String>,
}

impl Place {
    fn new(prefix: &str) -> Self {
        let outside = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(outside.path().join("dir")).expect("a folder");
        for name in ["CANARY", "dir/CANARY"] {
            std::fs::write(outside.path().join(name), CANARY).expect("a file");
        }
        let app = App::new();
        std::fs::write(app.dir.path().join("CANARY"), CANARY).expect("a file");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let text = |path: &Path| path.to_str().expect("plain text").to_owned();
        let values = [
            ("api", format!("{prefix}/2.0/mlflow")),
            ("api3", format!("{prefix}/3.0/mlflow")),
            ("files", format!("{prefix}/2.0/mlflow-artifacts")),
            ("outside", text(outside.path())),
            ("store", text(app.dir.path())),
            ("listener", format!("127.0.0.1:{port}")),
            ("long", "x".repeat(600_000)),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        Self { app, outside, listener, values }
    }

    fn fill(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        })
    }

    async fn take(&mut self, step: &Step, what: &str) {
        let path = self.fill(&step.path);
        let (body, content_type) = match (&step.json, &step.text) {
            (Some(json), _) => (self.fill(json), "application/json"),
            (None, Some(text)) => (self.fill(text), "text/plain"),
            (None, None) => (String::new(), "application/json"),
        };
        let content_type = step.content_type.as_deref().unwrap_or(content_type);
        let mut asked = request(&step.method, &path)
            .header("content-type", content_type)
            .body(Body::from(body))
            .unwrap_or_else(|error| panic!("{what}: {path}: {error}"));
        for (name, value) in &step.headers {
            let name: HeaderName = name.parse().expect("a header");
            let value = HeaderValue::from_str(&self.fill(value)).expect("a header value");
            asked.headers_mut().insert(name, value);
        }
        let reply = self.app.send(asked).await;
        let what = format!("{what}: {} {path}: {} {:?}", step.method, reply.status, short(&reply));
        assert_harmless(&reply, &what);
        let status = reply.status.as_u16();
        if step.status.is_empty() {
            assert!(status < 500, "{what}");
        } else {
            assert!(step.status.contains(&status), "{what}");
        }
        for (name, beginning) in &step.answers {
            assert!(reply.header(name).starts_with(beginning), "{what}: {:?}", reply.headers);
        }
        if let Some(body) = &step.body {
            assert_eq!(reply.body, self.fill(body), "{what}");
        }
        for text in &step.without {
            let text = self.fill(text);
            assert!(!String::from_utf8_lossy(&reply.body).contains(&text), "{what} holds {text}");
        }
        for (name, pointer) in &step.save {
            let json = reply.json();
            let value = json.pointer(pointer).and_then(|value| value.as_str());
            let value = value.unwrap_or_else(|| panic!("{what}: no {pointer}")).to_owned();
            self.values.insert(name.clone(), value);
        }
    }

    fn assert_untouched(&self, before: &Outside, what: &str) {
        assert!(self.outside() == *before, "{what}: something outside the tree changed");
        let connected = self.listener.accept();
        assert!(connected.is_err(), "{what}: a connection was opened");
    }

    /// What lies outside the artifact tree, but for the database.
    fn outside(&self) -> Outside {
        let beside = std::fs::read_dir(self.app.dir.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| !["mlartifacts", ".cairn-uploads"].contains(&name.as_str()))
            .filter(|name| !name.starts_with("mlflow.db"))
            .collect();
        (walk(self.outside.path()), beside)
    }
}

type Outside = (BTreeMap<std::path::PathBuf, (u64, u64, i64, i64)>, BTreeSet<String>);

fn short(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).chars().take(300).collect()
}

fn assert_harmless(reply: &Reply, what: &str) {
    let body = String::from_utf8_lossy(&reply.body);
    assert!(!body.contains(CANARY), "{what}: the canary is told");
    assert!(!body.contains("SQLite format 3"), "{what}: the database is told");
    assert_hardened(reply, what);
    // 408, 429 and these are what clients repeat for minutes.
    assert!(![408, 429, 500, 502, 503, 504].contains(&reply.status.as_u16()), "{what}");
}

fn table() -> Table {
    toml::from_str(include_str!("advisories.toml")).expect("advisories.toml")
}

#[tokio::test]
async fn every_row_holds_under_both_prefixes() {
    let table = table();
    for prefix in ["/api", "/ajax-api"] {
        for advisory in &table.advisory {
            let what = format!("{} ({})", advisory.ids.join(", "), advisory.what);
            let mut place = Place::new(prefix);
            for name in &advisory.uses {
                for step in &table.setup[name] {
                    place.take(step, &what).await;
                }
            }
            let before = place.outside();
            for step in &advisory.requests {
                place.take(step, &what).await;
            }
            place.assert_untouched(&before, &what);
        }
    }
}

#[tokio::test]
async fn what_is_refused_everywhere_is_refused_on_every_route() {
    for advisory in table().advisory.iter().filter(|row| !row.refused_everywhere.is_empty()) {
        let place = Place::new("/api");
        let before = (place.outside(), place.app.fingerprint());
        let mut routes = guard_table::routes();
        for path in ["/", "/nothing", "/ajax-api/3.0/mlflow/assistant/config", "/signup"] {
            routes.extend([(Method::GET, path.to_owned()), (Method::POST, path.to_owned())]);
        }
        for (method, path) in &routes {
            for headers in &advisory.refused_everywhere {
                let what = format!("{}: {method} {path} with {headers:?}", advisory.ids.join(", "));
                let mut asked =
                    request(method.as_str(), path).body(Body::from(guard_table::body())).unwrap();
                for (name, value) in headers {
                    let name: HeaderName = name.parse().expect("a header");
                    let value = HeaderValue::from_str(value).expect("a header value");
                    asked.headers_mut().insert(name, value);
                }
                let reply = place.app.send(asked).await;
                assert_harmless(&reply, &what);
                assert_eq!(reply.status.as_u16(), 403, "{what}");
            }
        }
        assert!(place.app.fingerprint() == before.1, "something was written");
        place.assert_untouched(&before.0, "refused everywhere");
    }
}

#[test]
fn each_row_says_something_and_stands_once() {
    let table = table();
    let mut seen = BTreeSet::new();
    for row in &table.advisory {
        assert!(!row.requests.is_empty() || !row.refused_everywhere.is_empty(), "{:?}", row.ids);
        assert!(!row.what.is_empty() && !row.ids.is_empty());
        for id in &row.ids {
            assert!(seen.insert(id.clone()), "{id} stands twice");
        }
    }
    assert!(seen.len() >= 80, "{} ids", seen.len());
}

/// The same rows under a tracer: the server opens no connection to anywhere.
#[test]
fn no_row_makes_the_server_connect() {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let traced = std::process::Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=connect,execve", "-o"])
        .arg(trace.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "advisories::every_row_holds_under_both_prefixes"])
        .output();
    let Ok(traced) = traced else {
        eprintln!("SKIPPED: strace is not installed");
        return;
    };
    let log = std::fs::read_to_string(trace.path()).unwrap();
    if !log.contains("execve(") {
        eprintln!("SKIPPED: this place allows no tracing");
        return;
    }
    assert!(traced.status.success(), "{}", String::from_utf8_lossy(&traced.stdout));
    let connects: Vec<&str> =
        log.lines().filter(|line| line.contains("connect(") && line.contains("AF_INET")).collect();
    assert_eq!(connects, [] as [&str; 0]);
    assert_eq!(log.matches("execve(").count(), 1, "only the test itself was started: {log}");
}
