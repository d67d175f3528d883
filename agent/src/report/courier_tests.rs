//! Real requests to receivers that do odd things.

use std::path::PathBuf;

use hyper::header::HeaderName;
use hyper::http::uri::PathAndQuery;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::model::check::TlsDef;
use crate::model::testing::name;

use super::*;

const LIMIT: Duration = Duration::from_millis(500);

#[test]
fn answers_of_strangers_are_one_short_line() {
    assert_eq!(printable(b"no\r\n\x1b[2J way\t!\n"), "no [2J way !");
    assert_eq!(printable(&[b'x'; 900]).len(), SHOWN);
    assert_eq!(printable(b"\xff\xfe"), "\u{fffd}\u{fffd}");
}

/// A receiver that says `head` and then, if it echoes, what it was sent; it never closes. Its port.
async fn receiver(head: &'static str, echoes: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (supervisor, _) = Supervisor::new(Handle::current(), Handle::current());
    supervisor.helper(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let _ = stream.write_all(head.as_bytes()).await;
            if echoes {
                let _ = stream.write_all(&request[..length]).await;
            }
            held.push(stream);
        }
    });
    port
}

fn courier(port: u16, token_file: Option<PathBuf>, timeout: Duration) -> Courier {
    let url = Url {
        secure: false,
        host: "127.0.0.1".into(),
        port,
        authority: format!("127.0.0.1:{port}"),
        path: PathAndQuery::from_static("/"),
        shown: String::new(),
    };
    let target = Target {
        name: name("central"),
        url,
        interval: Duration::from_secs(60),
        on_change: true,
        headers: vec![(HeaderName::from_static("x-key"), HeaderValue::from_static("a-key-that-is-secret"))],
        token_file,
        tls: TlsDef::default(),
        gzip: true,
        timeout,
        buffer: 1 << 20,
    };
    let (supervisor, _) = Supervisor::new(Handle::current(), Handle::current());
    Courier::new(Arc::new(target), supervisor, Arc::new(Tls::default()))
}

#[tokio::test]
async fn an_answer_counts_although_its_body_stalls() {
    let port = receiver("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", false).await;
    let mut courier = courier(port, None, LIMIT);
    for _ in 0..2 {
        assert_eq!(courier.deliver(Bytes::from_static(b"{}")).await, Attempt::Delivered);
        assert!(courier.line.is_none(), "nothing else goes over it");
    }
}

#[tokio::test]
async fn what_a_receiver_echoes_is_masked() {
    let dir = tempfile::tempdir().expect("tempdir");
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "a-token-that-is-secret\n").expect("writes");
    let port = receiver("HTTP/1.1 403 Forbidden\r\ncontent-length: 4000\r\n\r\n", true).await;
    let attempt = courier(port, Some(token_file), LIMIT * 20).deliver(Bytes::from_static(b"{}")).await;
    let Attempt::Failed { failure: Failure::Unauthorized, why, .. } = attempt else { panic!("{attempt:?}") };
    assert!(!why.contains("secret") && why.contains("x-key: ***"), "{why}");
    assert!(why.contains("authorization: ***"), "{why}");
}

#[tokio::test]
async fn an_idle_connection_is_given_back() {
    let port = receiver("HTTP/1.1 204 No Content\r\n\r\n", false).await;
    let mut courier = courier(port, None, LIMIT * 20);
    assert_eq!(courier.deliver(Bytes::from_static(b"{}")).await, Attempt::Delivered);
    courier.hang_up_when_idle();
    let line = courier.line.as_mut().expect("it is kept for a while");
    line.used = Instant::now().checked_sub(REUSE_WITHIN).expect("the machine runs for longer");
    courier.hang_up_when_idle();
    assert!(courier.line.is_none());
}
