//! Paths over every route that takes one: what leads out of the tree is refused, and what only looks
//! odd is an ordinary name.

use std::{
    collections::BTreeMap,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::body::Body;
use bytes::Bytes;
use cairn_core::ArtifactPath;
use cairn_server::{Access, Disk, RESERVE_BYTES};
use cairn_store::{OpenOptions, Store};
use http::StatusCode;
use serde_json::json;

use crate::support::{App, encode, request};

/// How a route takes the path of a file or folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// As the end of its own path.
    End,
    /// As a parameter of the query.
    Query(&'static str),
    /// As a member of the JSON body.
    Json(&'static str),
}

/// What a route is asked with, so that nothing but the path can be wrong.
pub struct Owners {
    pub run: String,
    pub model: String,
}

impl Owners {
    /// A run and a model with a file each, and a version of a registered model made from the run.
    pub async fn make(app: &App) -> Self {
        let run = app.make_run().await;
        let body = json!({"experiment_id": "0", "name": "net", "source_run_id": run});
        let made = app.post("logged-models", body).await;
        let model = made["model"]["info"]["model_id"].as_str().unwrap().to_owned();
        for place in [format!("0/{run}"), format!("0/models/{model}")] {
            let path = format!("/api/2.0/mlflow-artifacts/artifacts/{place}/artifacts/inside");
            let reply = app.ask_text("PUT", &path, "text/plain", "1").await;
            assert_eq!(reply.status, StatusCode::OK);
        }
        app.post("registered-models/create", json!({"name": "m"})).await;
        let source = format!("runs:/{run}/");
        app.post("model-versions/create", json!({"name": "m", "source": source, "run_id": run}))
            .await;
        Self { run, model }
    }
}

/// Every route of the table that takes a path: method, URL without it, how it takes it.
fn path_routes(owners: &Owners) -> Vec<(&'static str, String, Takes)> {
    let Owners { run, model } = owners;
    let mut found = Vec::new();
    for route in cairn_server::ROUTES {
        let (path, takes) = match route.path {
            path if path.ends_with("{*path}") => (path.replace("{*path}", ""), Takes::End),
            "/mlflow-artifacts/artifacts" | "/mlflow-artifacts/artifacts/" => {
                (format!("{}?", route.path), Takes::Query("path"))
            }
            "/get-artifact" | "/mlflow/artifacts/list" => {
                (format!("{}?run_id={run}&", route.path), Takes::Query("path"))
            }
            "/mlflow/upload-artifact" => {
                (format!("{}?run_uuid={run}&", route.path), Takes::Query("path"))
            }
            "/model-versions/get-artifact" => {
                (format!("{}?name=m&version=1&", route.path), Takes::Query("path"))
            }
            "/mlflow/logged-models/{model_id}/artifacts/directories" => (
                format!("/mlflow/logged-models/{model}/artifacts/directories?"),
                Takes::Query("artifact_directory_path"),
            ),
            "/mlflow/logged-models/{model_id}/artifacts/files" => (
                format!("/mlflow/logged-models/{model}/artifacts/files?"),
                Takes::Query("artifact_file_path"),
            ),
            "/mlflow/artifacts/presigned-upload-url"
            | "/mlflow/artifacts/presigned-download-url" => {
                (route.path.to_owned(), Takes::Json("path"))
            }
            other => {
                assert!(!other.contains("artifact"), "how does {other} take its path?");
                continue;
            }
        };
        for prefix in route.place.prefixes() {
            found.push((route.method.as_str(), format!("{prefix}{path}"), takes));
        }
    }
    assert!(found.len() >= 25, "{} routes take paths", found.len());
    found
}

/// Sends a path, already encoded as often as the test likes, to a route.
async fn ask(
    app: &App,
    owners: &Owners,
    (method, url, takes): &(&'static str, String, Takes),
    path: &str,
) -> Option<crate::support::Reply> {
    let (url, body) = match takes {
        Takes::End => (format!("{url}{path}"), Bytes::from_static(b"evil")),
        Takes::Query(name) => {
            let escaped = path.replace('&', "%26").replace('#', "%23").replace('+', "%2b");
            (format!("{url}{name}={escaped}"), Bytes::from_static(b"evil"))
        }
        Takes::Json(name) => {
            let body = json!({"run_id": owners.run, *name: path}).to_string();
            (url.clone(), Bytes::from(body))
        }
    };
    let content_type =
        if matches!(takes, Takes::Json(_)) { "application/json" } else { "text/plain" };
    // What no URI can hold never arrives.
    let request = request(method, &url).header("content-type", content_type);
    Some(app.send(request.body(Body::from(body)).ok()?).await)
}

/// Paths that lead out, in all spellings: number `n` of them, the same at every run.
fn traversal(n: usize, outside: &str) -> String {
    const DOTS: &[&str] = &[
        "..",
        "%2e%2e",
        ".%2e",
        "%2E.",
        "%252e%252e",
        "%25252e%25252e",
        "..;",
        "..%3b",
        "..%00",
        "..%20",
        "..%09",
        "%c0%ae%c0%ae",
        "%e0%80%ae.",
        "%u002e%u002e",
        "....",
        "..\u{2024}",
        "\u{2025}",
        "%ef%bc%8e%ef%bc%8e",
        "..%ff",
    ];
    const SLASHES: &[&str] = &[
        "/",
        "%2f",
        "%2F",
        "%252f",
        "%25252f",
        "\\",
        "%5c",
        "%255c",
        "//",
        "/./",
        "/;/",
        "%2f%2f",
        "%c0%af",
        "\u{2215}",
        "%ef%bc%8f",
        "?/",
        "%3f/",
        "#/",
        "%23/",
    ];
    const STARTS: &[&str] = &[
        "",
        "/",
        "%2f",
        "//",
        "\\\\host\\",
        "C:/",
        "C:%5c",
        "file:///",
        "file:",
        "./",
        "0/",
        "inside/",
        "a?/",
        "a%3f/",
        "a%23/",
        "a;/",
        "%00",
        "~/",
        "dbfs:/",
        "..",
    ];
    let mut rest = n;
    let mut pick = |count: usize| {
        let picked = rest % count;
        rest /= count;
        picked
    };
    let (dot, slash) = (DOTS[pick(DOTS.len())], SLASHES[pick(SLASHES.len())]);
    let start = STARTS[pick(STARTS.len())];
    let depth = 1 + pick(7);
    let target = ["CANARY", "mlflow.db", &outside[1..]][pick(3)];
    format!("{start}{}{target}", format!("{dot}{slash}").repeat(depth))
}

/// What lies in a folder: for each path its inode, its size and when it was written.
pub fn walk(folder: &Path) -> BTreeMap<PathBuf, (u64, u64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let facts = path.symlink_metadata().expect("its facts");
            if facts.is_dir() {
                folders.push(path.clone());
            }
            let size = if facts.is_dir() { 0 } else { facts.len() };
            found.insert(path, (facts.ino(), size, facts.mtime(), facts.mtime_nsec()));
        }
    }
    found
}

/// 50,000 paths are parsed, and one in so many is also sent to a route; `CAIRN_TRAVERSAL_EVERY=1`
/// sends them all, each to one route after the other.
#[tokio::test]
async fn no_spelling_leads_out_on_any_route() {
    let every = std::env::var("CAIRN_TRAVERSAL_EVERY").ok().and_then(|text| text.parse().ok());
    let every: usize = every.unwrap_or(11);
    let outside = tempfile::tempdir().unwrap();
    let canary = outside.path().join("CANARY");
    std::fs::write(&canary, "k3dfj2-canary").unwrap();
    let app = App::new();
    std::fs::write(app.dir.path().join("CANARY"), "k3dfj2-canary").unwrap();
    let owners = Owners::make(&app).await;
    let routes = path_routes(&owners);
    let before = (walk(outside.path()), app.fingerprint());
    let mut refused = 0;
    for n in 0..50_000 {
        let path = traversal(n, canary.to_str().unwrap());
        let decoded = percent_encoding::percent_decode_str(&path).decode_utf8_lossy();
        if let Ok(parsed) = ArtifactPath::parse(&decoded) {
            // Whatever is accepted is a name below: it has no segment that moves.
            assert!(!Path::new(parsed.as_path()).is_absolute(), "{path}");
            assert!(parsed.segments().all(|part| !matches!(part, "." | ".." | "")), "{path}");
        }
        if n % every != 0 {
            continue;
        }
        let route = &routes[(n / every) % routes.len()];
        let Some(reply) = ask(&app, &owners, route, &path).await else { continue };
        let body = String::from_utf8_lossy(&reply.body);
        let what = format!("{} {} with {path}: {} {body}", route.0, route.1, reply.status);
        assert!(!body.contains("k3dfj2") && !body.contains("SQLite format"), "{what}");
        let is_cloud = reply.status == StatusCode::NOT_IMPLEMENTED;
        assert!(reply.status.as_u16() < 500 || is_cloud, "{what}");
        refused += usize::from(reply.status.is_client_error());
    }
    assert!(refused > 20_000 / every, "{refused} were refused");
    let (database, _, files) = app.fingerprint();
    assert!(before.0 == walk(outside.path()), "something outside changed");
    assert!(database == before.1.0, "the database changed");
    let tree = app.dir.path().join("mlartifacts");
    let beside = |files: &[String]| -> Vec<String> {
        let is_beside = |file: &&String| !Path::new(file).starts_with(&tree);
        files.iter().filter(is_beside).filter(|f| !f.contains(".cairn-uploads")).cloned().collect()
    };
    assert_eq!(beside(&files), beside(&before.1.2));
}

#[tokio::test]
async fn outside_files_are_no_oracle_on_any_route() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("there"), "x").unwrap();
    let app = App::new();
    std::fs::write(app.dir.path().join("there"), "x").unwrap();
    let owners = Owners::make(&app).await;
    for route in path_routes(&owners) {
        for start in [
            "..%2f",
            "..%2f..%2f..%2f..%2f",
            "%2e%2e%5c",
            &encode(outside.path().to_str().unwrap()),
        ] {
            let there = ask(&app, &owners, &route, &format!("{start}%2fthere")).await.unwrap();
            let not_there = ask(&app, &owners, &route, &format!("{start}%2fthewe")).await.unwrap();
            let what = format!("{} {} {start}", route.0, route.1);
            assert_eq!(there.status, StatusCode::BAD_REQUEST, "{what}");
            assert_eq!((there.status, there.body), (not_there.status, not_there.body), "{what}");
        }
    }
}

/// Names that look odd and are allowed: number `n` of them.
fn odd_name(n: usize) -> String {
    const PIECES: &[&str] = &[
        "a?b",
        "a#b",
        "a%2fb",
        "a;b",
        "a b",
        "a+b",
        "a&b=c",
        "-a",
        ".a",
        "...",
        "CON",
        "nul.txt",
        "C:x",
        "a\\b",
        "\"",
        "'",
        "\n",
        "\u{202e}txt.exe",
        "\u{5d0}\u{5d1}",
        "\u{e9}",
        "e\u{301}",
        "\u{6a21}\u{578b}",
        "\u{1f5ff}",
        "*",
        "~",
        "$(x)",
        "%",
        "%zz",
        "%25",
        "<b>",
        "|",
        "\t",
        "a.",
        "a ",
        " a",
    ];
    let first = PIECES[n % PIECES.len()];
    match n / PIECES.len() {
        0 => first.to_owned(),
        round => format!("{first}{}{round}", PIECES[(n * 7 + round) % PIECES.len()]),
    }
}

#[tokio::test]
async fn five_hundred_odd_names_are_kept_apart() {
    let app = App::new();
    let run = app.make_run().await;
    let mut names: Vec<String> = (0..500).map(odd_name).collect();
    names.push("x".repeat(255));
    names.sort();
    names.dedup();
    assert!(names.len() > 480, "{} names", names.len());
    let root = "/api/2.0/mlflow-artifacts/artifacts/odd";
    for (number, name) in names.iter().enumerate() {
        let path = format!("{root}/{}", encode(name));
        let put = app.ask_text("PUT", &path, "text/plain", number.to_string()).await;
        assert_eq!(put.status, StatusCode::OK, "{name:?}: {:?}", put.body);
        let tag = json!({"run_id": run, "key": format!("k{number}"), "value": name});
        app.post("runs/set-tag", tag).await;
        let param = json!({"run_id": run, "key": format!("k{number}"), "value": name});
        app.post("runs/log-parameter", param).await;
        // A key is refused or kept as it is, never changed into another one.
        let tag = json!({"run_id": run, "key": name, "value": name});
        let reply = app.ask("POST", "/api/2.0/mlflow/runs/set-tag", Some(&tag)).await;
        assert!(matches!(reply.status.as_u16(), 200 | 400), "{name:?}: {:?}", reply.body);
        let model = json!({"name": name});
        let path = "/api/2.0/mlflow/registered-models/create";
        let reply = app.ask("POST", path, Some(&model)).await;
        assert!(matches!(reply.status.as_u16(), 200 | 400), "{name:?}: {:?}", reply.body);
        if reply.status == StatusCode::OK {
            let path = format!("registered-models/get?name={}", encode(name));
            assert_eq!(app.get(&path).await["registered_model"]["name"], json!(name));
        }
    }
    for (number, name) in names.iter().enumerate() {
        let reply = app.ask("GET", &format!("{root}/{}", encode(name)), None).await;
        assert_eq!(reply.body, number.to_string(), "{name:?}");
    }
    let listed = app.ask("GET", "/api/2.0/mlflow-artifacts/artifacts?path=odd", None).await.json();
    let listed: Vec<&str> = listed["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(listed, names, "each is listed once, in order of its bytes");
    let found = app.get(&format!("runs/get?run_id={run}")).await;
    for kind in ["tags", "params"] {
        for pair in found["run"]["data"][kind].as_array().unwrap() {
            let (key, value) = (pair["key"].as_str().unwrap(), pair["value"].as_str().unwrap());
            if let Some(number) = key.strip_prefix('k').and_then(|n| n.parse::<usize>().ok()) {
                assert_eq!(value, names[number], "{kind}");
            } else if kind == "tags" && !key.starts_with("mlflow.") {
                assert_eq!(value, key, "a key was changed");
            }
        }
    }
}

#[tokio::test]
async fn a_flood_of_uploads_leaves_the_reserve_free() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), OpenOptions::Create).unwrap();
    // 64 MiB is what 256 connections can write between two looks at the disk.
    let capacity = RESERVE_BYTES + (64 << 20) + (10 << 20);
    let begin = used(dir.path());
    let lowest = Arc::new(AtomicU64::new(u64::MAX));
    let seen = lowest.clone();
    let disk = Disk::new(move |folder| {
        let free = capacity.saturating_sub(used(folder).saturating_sub(begin));
        seen.fetch_min(free, Ordering::Relaxed);
        Ok(free)
    });
    let app = Arc::new(App::with(dir, store, Access::default(), disk));
    let piece = Bytes::from(vec![7; 64 << 10]);
    let uploads = (0..20).map(|number| {
        let (app, piece) = (app.clone(), piece.clone());
        // 2 MiB in pieces, without saying before how many: 10 MiB are free.
        let body = futures_util::stream::iter(
            (0..32).map(move |_| Ok::<_, std::io::Error>(piece.clone())),
        );
        let path = format!("/api/2.0/mlflow-artifacts/artifacts/flood/{number}");
        tokio::spawn(async move {
            app.ask_text("PUT", &path, "text/plain", Body::from_stream(body)).await.status
        })
    });
    let mut kept = 0;
    let mut refused = 0;
    for upload in uploads.collect::<Vec<_>>() {
        match upload.await.unwrap() {
            StatusCode::OK => kept += 1,
            StatusCode::INSUFFICIENT_STORAGE => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(kept + refused, 20);
    assert!(refused >= 15, "{kept} files of 2 MiB were kept in 10 MiB");
    assert!(lowest.load(Ordering::Relaxed) >= RESERVE_BYTES);
    let left = std::fs::read_dir(app.dir.path().join(".cairn-uploads")).unwrap().count();
    assert_eq!(left, 0, "half-written files are left");
    let whole: Vec<u64> = match std::fs::read_dir(app.dir.path().join("mlartifacts/flood")) {
        Ok(entries) => entries.map(|entry| entry.unwrap().metadata().unwrap().len()).collect(),
        Err(_) => Vec::new(),
    };
    assert_eq!(whole, vec![2 << 20; kept]);
}

/// Bytes of all files in a folder, those that vanish meanwhile left out.
fn used(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(facts) if facts.is_dir() => used(&entry.path()),
            Ok(facts) => facts.len(),
            Err(_) => 0,
        })
        .sum()
}

#[tokio::test]
async fn what_is_made_is_for_its_owner_alone_whatever_the_umask() {
    // Left so for the tests beside this one: what Cairn makes names its mode itself.
    rustix::process::umask(rustix::fs::Mode::empty());
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("made/store");
    let store = Store::open(&dir, OpenOptions::Create).unwrap();
    let app = App::with(home, store, Access::default(), Disk::default());
    let owners = Owners::make(&app).await;
    let pieces = [Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("gone"))];
    let broken = Body::from_stream(futures_util::stream::iter(pieces));
    let path = format!("/api/2.0/mlflow-artifacts/artifacts/0/{}/artifacts/b", owners.run);
    app.ask_text("PUT", &path, "text/plain", broken).await;
    let mut seen = 0;
    for path in walk(&dir).into_keys().chain([dir.clone()]) {
        let facts = path.symlink_metadata().unwrap();
        let wanted = if facts.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(facts.permissions().mode() & 0o777, wanted, "{}", path.display());
        seen += 1;
    }
    assert!(seen > 10, "only {seen} files and folders were made");
}
