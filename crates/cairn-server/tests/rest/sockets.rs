//! The same server through real sockets: binding, limits of time and number, stopping.

use std::time::{Duration, Instant};

use cairn_server::{PortChoice, RunningServer, Server};
use cairn_store::{OpenOptions, Store};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

async fn start() -> (tempfile::TempDir, RunningServer) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), OpenOptions::Create).unwrap();
    let server = Server::start(store, PortChoice::Any).await.unwrap();
    (dir, server)
}

async fn connect(server: &RunningServer) -> TcpStream {
    TcpStream::connect(("127.0.0.1", server.port())).await.unwrap()
}

/// Sends raw text and reads until the server closes, or stops sending for two seconds.
async fn talk(mut stream: TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(count @ 1..)) = timeout(Duration::from_secs(2), stream.read(&mut buffer)).await
    {
        answer.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn get_health(server: &RunningServer) -> String {
    format!(
        "GET /health HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
        server.port()
    )
}

#[tokio::test]
async fn both_loopback_addresses_answer() {
    let (_dir, server) = start().await;
    let answer = talk(connect(&server).await, &get_health(&server)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("OK"), "{answer}");
    if let Ok(stream) = TcpStream::connect(("::1", server.port())).await {
        let port = server.port();
        let text =
            format!("GET /version HTTP/1.1\r\nHost: [::1]:{port}\r\nConnection: close\r\n\r\n");
        assert!(talk(stream, &text).await.ends_with("3.18.0"));
    }
    server.shutdown().await;
}

#[tokio::test]
async fn heads_that_contradict_themselves_are_refused() {
    let (_dir, server) = start().await;
    let port = server.port();
    let own = format!("127.0.0.1:{port}");
    for (head, allowed) in [
        (format!("GET /health HTTP/1.1\r\nHost: {own}\r\nHost: {own}\r\n"), &["403", "400"][..]),
        (format!("GET http://evil.example/health HTTP/1.1\r\nHost: {own}\r\n"), &["403"]),
        (format!("GET http://{own}/health HTTP/1.1\r\nHost: {own}\r\n"), &["200"]),
        ("GET /health HTTP/1.0\r\n".to_owned(), &["403"]),
        ("GET /health HTTP/1.1\r\n".to_owned(), &["403", "400"]),
        (format!("OPTIONS * HTTP/1.1\r\nHost: {own}\r\n"), &["403"]),
        (format!("CONNECT {own} HTTP/1.1\r\nHost: {own}\r\n"), &["403"]),
        (format!("GET /health HTTP/1.1\r\nHost: {own}\r\nX: {}\r\n", "x".repeat(20_000)), &["431"]),
        (format!("GET /health HTTP/1.1\r\nHost: {own}\r\n{}", "X: y\r\n".repeat(70)), &["431"]),
        (format!("GET /health HTTP/1.1\r\nHost: {own}\r\n{}", "X: y\r\n".repeat(50)), &["200"]),
    ] {
        let text = format!("{head}Connection: close\r\n\r\n");
        let answer = talk(connect(&server).await, &text).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(allowed.contains(&status), "{head} -> {answer}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_in_full_flow_sees_that_it_sends_too_much() {
    let (_dir, server) = start().await;
    let mut stream = connect(&server).await;
    let length = 100_000_000;
    let head = format!(
        "POST /api/2.0/mlflow/experiments/create HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
        server.port()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b' '; 1 << 20];
    let mut left = length;
    while left > 0 {
        let count = left.min(piece.len());
        if stream.write_all(&piece[..count]).await.is_err() {
            break;
        }
        left -= count;
    }
    let mut answer = [0; 12];
    let read = timeout(Duration::from_secs(3), stream.read_exact(&mut answer)).await;
    assert!(matches!(read, Ok(Ok(_))), "{read:?}");
    assert_eq!(&answer, b"HTTP/1.1 413");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_lock_no_one_out() {
    let (_dir, server) = start().await;
    let mut idle = Vec::new();
    for number in 0..400 {
        let Ok(Ok(mut stream)) =
            timeout(Duration::from_secs(5), TcpStream::connect(("127.0.0.1", server.port()))).await
        else {
            panic!("connection {number} was not taken");
        };
        // Half of them send a head slowly, half nothing.
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHo").await;
        }
        idle.push(stream);
    }
    for _ in 0..5 {
        let began = Instant::now();
        let mut stream = connect(&server).await;
        stream.write_all(get_health(&server).as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        timeout(Duration::from_secs(4), stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        assert!(began.elapsed() < Duration::from_secs(4));
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let (_dir, server) = start().await;
    let mut stream = connect(&server).await;
    stream.write_all(b"GET /health HTTP/1.1\r\nHo").await.unwrap();
    let mut answer = Vec::new();
    let closed = timeout(Duration::from_secs(14), stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "still open after {answer:?}");
    assert!(!String::from_utf8_lossy(&answer).contains("200"));
    server.shutdown().await;
}

#[tokio::test]
async fn the_store_can_be_changed_from_any_thread() {
    let (_dir, server) = start().await;
    let server = std::thread::spawn(move || {
        server.set_store(None);
        server
    });
    server.join().expect("no runtime is needed").shutdown().await;
}

#[tokio::test]
async fn stopping_lets_a_request_end() {
    let (dir, server) = start().await;
    let port = server.port();
    let mut stream = connect(&server).await;
    let head = format!(
        "PUT /api/2.0/mlflow-artifacts/artifacts/f.txt HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
         Content-Length: 8\r\n\r\nfirst"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The head must have arrived before the server stops.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let idle = connect(&server).await;
    let stopping = tokio::spawn(async move { server.shutdown().await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.write_all(b"end").await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(4), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    timeout(Duration::from_secs(4), stopping)
        .await
        .expect("an idle connection holds nothing up")
        .unwrap();
    drop(idle);
    assert_eq!(std::fs::read_to_string(dir.path().join("mlartifacts/f.txt")).unwrap(), "firstend");
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn the_store_can_be_changed_under_a_port() {
    let (_dir, server) = start().await;
    let port = server.port();
    let create = |name: &str| {
        let body = format!("{{\"name\":\"{name}\"}}");
        format!(
            "POST /api/2.0/mlflow/experiments/create HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let answer = talk(connect(&server).await, &create("a")).await;
    assert!(answer.ends_with("{\"experiment_id\":\"1\"}"), "{answer}");
    server.set_store(None);
    let answer = talk(connect(&server).await, &create("b")).await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("TEMPORARILY_UNAVAILABLE"),
        "{answer}"
    );
    assert!(talk(connect(&server).await, &get_health(&server)).await.ends_with("OK"));
    let other = tempfile::tempdir().unwrap();
    server.set_store(Some(Store::open(other.path(), OpenOptions::Create).unwrap()));
    let answer = talk(connect(&server).await, &create("a")).await;
    assert!(answer.ends_with("{\"experiment_id\":\"1\"}"), "{answer}");
    assert_eq!(server.tracking_uri(), format!("http://127.0.0.1:{port}"));
    server.shutdown().await;
}
