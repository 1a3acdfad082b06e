//! Files over HTTP: they come back as they went in, and nothing outside the tree can be named.

use axum::body::Body;
use http::StatusCode;
use serde_json::json;

use crate::support::{App, Reply, encode, request};

const ROOT: &str = "/api/2.0/mlflow-artifacts/artifacts";

async fn put(app: &App, raw_path: &str, bytes: impl Into<Body>) -> Reply {
    app.ask_text("PUT", &format!("{ROOT}/{raw_path}"), "text/plain", bytes).await
}

async fn get(app: &App, raw_path: &str) -> Reply {
    app.ask("GET", &format!("{ROOT}/{raw_path}"), None).await
}

/// A path encoded part by part.
fn encoded(path: &str) -> String {
    path.split('/').map(encode).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn files_come_back_as_they_went_in() {
    let app = App::new();
    let bytes: Vec<u8> = (0..2_700_000_u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(put(&app, "0/r/artifacts/big.bin", bytes.clone()).await.status, StatusCode::OK);
    let reply = get(&app, "0/r/artifacts/big.bin").await;
    assert_eq!(reply.body, bytes);
    assert_eq!(reply.header("content-type"), "application/octet-stream");
    assert_eq!(reply.header("content-length"), "2700000");
    assert_eq!(reply.header("content-disposition"), "attachment; filename=big.bin");
    assert_eq!(reply.header("content-security-policy"), "sandbox; default-src 'none'");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert!(reply.header("last-modified").ends_with("GMT"));
    let old = reply.header("etag").to_owned();
    // Across the pieces in which it is read.
    let part = request("GET", &format!("{ROOT}/0/r/artifacts/big.bin"));
    let part = part.header("range", "bytes=1000000-2500000").body(Body::empty()).unwrap();
    assert_eq!(app.send(part).await.body, bytes[1_000_000..=2_500_000]);
    assert_eq!(put(&app, "0/r/artifacts/big.bin", "new").await.status, StatusCode::OK);
    let reply = get(&app, "0/r/artifacts/big.bin").await;
    assert_eq!(reply.body.as_ref(), b"new");
    assert_ne!(reply.header("etag"), old);
    let empty = put(&app, "0/r/artifacts/empty", "").await;
    assert_eq!(
        (empty.status, empty.body.len(), empty.header("content-type")),
        (StatusCode::OK, 0, "")
    );
    assert_eq!(get(&app, "0/r/artifacts/empty").await.body.len(), 0);
    let head = app.ask("HEAD", &format!("{ROOT}/0/r/artifacts/big.bin"), None).await;
    assert_eq!((head.status, head.header("content-length")), (StatusCode::OK, "3"));
}

#[tokio::test]
async fn parts_of_files_are_sent() {
    let app = App::new();
    put(&app, "f.txt", "0123456789").await;
    let ask = async |range: &str| {
        let request = request("GET", &format!("{ROOT}/f.txt")).header("range", range);
        app.send(request.body(Body::empty()).unwrap()).await
    };
    for (range, content_range, body) in [
        ("bytes=0-3", "bytes 0-3/10", "0123"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=-2", "bytes 8-9/10", "89"),
        ("bytes=8-100", "bytes 8-9/10", "89"),
    ] {
        let reply = ask(range).await;
        assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(reply.header("content-range"), content_range);
        assert_eq!(reply.body, body);
    }
    let beyond = ask("bytes=10-").await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.header("content-range"), "bytes */10");
    assert_eq!(ask("bytes=0-1,4-5").await.body, "0123456789");
}

#[tokio::test]
async fn folders_are_listed_by_name() {
    let app = App::new();
    for path in ["0/r/artifacts/b.txt", "0/r/artifacts/a/x", "0/r/artifacts/c"] {
        put(&app, path, "12").await;
    }
    let list =
        async |path: &str| app.ask("GET", &format!("{ROOT}?path={}", encode(path)), None).await;
    let expected = json!({"files": [
        {"path": "a", "is_dir": true},
        {"path": "b.txt", "is_dir": false, "file_size": 2},
        {"path": "c", "is_dir": false, "file_size": 2}
    ]});
    assert_eq!(list("0/r/artifacts").await.json(), expected);
    assert_eq!(list("0/r/artifacts/").await.json(), expected);
    assert_eq!(list("0/r/artifacts/b.txt").await.json(), json!({}));
    assert_eq!(list("0/nothing").await.json(), json!({}));
    let root = app.ask("GET", ROOT, None).await;
    assert_eq!(root.json(), json!({"files": [{"path": "0", "is_dir": true}]}));
    assert_eq!(list("../..").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(list("/etc").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn files_of_a_run_are_listed_from_its_root() {
    let app = App::new();
    let run = app.make_run().await;
    put(&app, &format!("0/{run}/artifacts/d/f.txt"), "12").await;
    let listed = app.get(&format!("artifacts/list?run_id={run}&path=d")).await;
    assert_eq!(listed["files"], json!([{"path": "d/f.txt", "is_dir": false, "file_size": 2}]));
    assert_eq!(listed["root_uri"], json!(format!("mlflow-artifacts:/0/{run}/artifacts")));
    let file = app.ask("GET", &format!("/get-artifact?run_uuid={run}&path=d/f.txt"), None).await;
    assert_eq!(file.body, "12");
    let escape = app.ask("GET", &format!("/get-artifact?run_id={run}&path=../x"), None).await;
    assert_eq!(escape.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn files_and_folders_in_the_way_are_refused() {
    let app = App::new();
    put(&app, "d/f", "1").await;
    for path in ["d", "d/f/below"] {
        let reply = put(&app, path, "2").await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}: {:?}", reply.body);
    }
    let folder = get(&app, "d").await;
    assert_eq!(folder.status, StatusCode::BAD_REQUEST);
    assert!(folder.message().contains("directory, not a file: 'd'"));
    let missing = get(&app, "d/none").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(missing.message(), "No such artifact: 'd/none'");
    assert_eq!(put(&app, "d/", "2").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(get(&app, "d/f").await.body, "1");
}

#[tokio::test]
async fn deleting_takes_all_below_and_is_idempotent() {
    let app = App::new();
    put(&app, "d/a/f", "1").await;
    put(&app, "d/g", "1").await;
    let delete = async |path: &str| app.ask("DELETE", &format!("{ROOT}/{path}"), None).await;
    for _ in 0..2 {
        let reply = delete("d/a").await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!({})));
    }
    assert_eq!(get(&app, "d/a/f").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(&app, "d/g").await.body, "1");
    for path in ["%2e%2e", "d/%2e%2e/%2e%2e", "..%2f..", "%252e%252e%252f"] {
        assert_eq!(delete(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn odd_names_are_ordinary_names() {
    let app = App::new();
    let names = [
        "a?b",
        "a#b",
        "a%2fb",
        "a;b",
        "a b",
        "a+b",
        "a&b=c",
        "ü",
        "e\u{301}",
        "模型",
        "🗿",
        "-dash",
        ".hidden",
        "...",
        "CON",
        "C:x",
        "a\\b",
        "a\"b",
        "a'b",
        "a\nb",
        "\u{202e}txt.exe",
        "*",
        "~",
        "$(x)",
        "%",
        "%zz",
        &"x".repeat(255),
    ];
    for (index, name) in names.iter().enumerate() {
        let body = format!("{index}");
        let reply = put(&app, &format!("odd/{}", encoded(name)), body).await;
        assert_eq!(reply.status, StatusCode::OK, "{name:?}: {:?}", reply.body);
    }
    // A name that only looks like a folder and a file is kept apart from them.
    assert_eq!(put(&app, "odd/a/b", "folder").await.status, StatusCode::OK);
    for (index, name) in names.iter().enumerate() {
        let reply = get(&app, &format!("odd/{}", encoded(name))).await;
        assert_eq!(reply.body, format!("{index}"), "{name:?}");
        assert!(reply.header("content-disposition").starts_with("attachment; filename"));
    }
    assert_eq!(get(&app, "odd/a/b").await.body, "folder");
    let listed = app.ask("GET", &format!("{ROOT}?path=odd"), None).await.json();
    let listed: Vec<_> = listed["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    for name in names {
        assert!(listed.contains(&name), "{name:?}");
    }
}

#[tokio::test]
async fn no_path_leads_out_of_the_tree() {
    let app = App::new();
    put(&app, "0/run/artifacts/inside", "1").await;
    let canary = app.dir.path().join("CANARY");
    std::fs::write(&canary, "k3dfj2-canary").unwrap();
    std::os::unix::fs::symlink(app.dir.path(), app.dir.path().join("mlartifacts/0/link")).unwrap();
    let before = app.fingerprint();
    let mut paths = vec![
        "0/link/CANARY".to_owned(),
        "0/link/mlflow.db".to_owned(),
        encoded(canary.to_str().unwrap()),
        canary.to_str().unwrap().to_owned(),
        format!("/{}", canary.to_str().unwrap()),
        encode(canary.to_str().unwrap()),
    ];
    let dots = [
        "..",
        "%2e%2e",
        ".%2e",
        "%252e%252e",
        "%25252e%25252e",
        "%2E%2E",
        "..;",
        "..%00",
        "..%5c",
        "%c0%ae%c0%ae",
    ];
    let slashes = ["/", "%2f", "%252f", "%5c", "\\", "//", "/./", "%2f%2f", ";/", "%3b/"];
    for dot in dots {
        for slash in slashes {
            for depth in 1..=4 {
                for start in ["", "0/run/artifacts/", "0/run/artifacts/inside/", "/", "%2f", "./"] {
                    let up = format!("{dot}{slash}").repeat(depth);
                    for target in ["CANARY", "mlflow.db"] {
                        paths.push(format!("{start}{up}{target}"));
                    }
                }
            }
        }
    }
    assert!(paths.len() > 4_000);
    for path in &paths {
        for method in ["GET", "PUT", "DELETE"] {
            // What no URI can hold never arrives.
            let url = format!("{ROOT}/{path}");
            let Ok(request) =
                request(method, &url).header("content-type", "text/plain").body(Body::from("evil"))
            else {
                continue;
            };
            let reply = app.send(request).await;
            let body = String::from_utf8_lossy(&reply.body).into_owned();
            assert!(!body.contains("k3dfj2"), "{method} {path}");
            assert!(!body.contains("SQLite format"), "{method} {path}");
            assert!(reply.status.as_u16() < 500, "{method} {path}: {} {body}", reply.status);
        }
        let listed = app.ask("GET", &format!("{ROOT}?path={path}"), None).await;
        assert!(!String::from_utf8_lossy(&listed.body).contains("CANARY\",\"is_dir"), "{path}");
    }
    assert_eq!(std::fs::read_to_string(&canary).unwrap(), "k3dfj2-canary");
    let (database, log, files) = app.fingerprint();
    assert!(database == before.0 && log == before.1);
    let inside = app.dir.path().join("mlartifacts").to_string_lossy().into_owned();
    let outside = |files: &[String]| -> Vec<String> {
        files.iter().filter(|file| !file.starts_with(&inside)).cloned().collect()
    };
    assert_eq!(outside(&files), outside(&before.2));
}

#[tokio::test]
async fn outside_files_that_exist_answer_like_those_that_do_not() {
    let app = App::new();
    std::fs::write(app.dir.path().join("CANARY"), "x").unwrap();
    for pattern in ["..%2f", "%2fetc%2f..%2f", "..%5c"] {
        let there = get(&app, &format!("{pattern}CANARY")).await;
        let not_there = get(&app, &format!("{pattern}NOTHIN")).await;
        assert_eq!(there.status, StatusCode::BAD_REQUEST);
        assert_eq!(there.body, not_there.body);
    }
}

#[tokio::test]
async fn uploads_tell_the_change_feed() {
    let app = App::new();
    let run = app.make_run().await;
    let mut feed = app.store.subscribe();
    put(&app, &format!("0/{run}/artifacts/f.txt"), "1").await;
    let changes = feed.try_recv().expect("told at once");
    let (_, facets) =
        changes.runs.iter().find(|(id, _)| id.as_str() == run).map(|(_, it)| it).unwrap();
    assert!(facets.artifacts && !facets.metrics);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let app = App::new();
    put(&app, "f", "old").await;
    let pieces = [Ok("new "), Err(std::io::Error::other("gone"))];
    let broken = put(&app, "f", Body::from_stream(futures_util::stream::iter(pieces))).await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    assert_eq!(get(&app, "f").await.body, "old");
    let left = std::fs::read_dir(app.dir.path().join(".cairn-uploads")).unwrap().count();
    assert_eq!(left, 0);
}
