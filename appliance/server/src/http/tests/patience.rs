use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn impatient() -> Http {
    Http { head_timeout_s: 1, body_timeout_s: 1, idle_timeout_s: 1, ..Http::default() }
}

/// Sends this and reads until the box closes the connection.
async fn exchange(site: &Site, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("closed in time").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_closed() {
    let site = Site::open(0, impatient()).await;
    assert_eq!(exchange(&site, b"").await, "");
    assert_eq!(exchange(&site, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await, "");
    site.close().await;
}

#[tokio::test]
async fn a_client_that_rests_too_long_is_closed_after_its_answer() {
    let site = Site::open(0, impatient()).await;
    let answer = exchange(&site, b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    site.close().await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_refused() {
    let site = Site::open(0, impatient()).await;
    let request = format!(
        "POST /v1/terminal/login HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{{",
        site.token
    );
    let answer = exchange(&site, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("body_malformed"), "{answer}");
    site.close().await;
}

#[tokio::test]
async fn what_is_not_http_is_answered_closed_and_counted() {
    let site = Site::open(0, Http::default()).await;
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
    let cases: [(&[u8], &str); 3] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello by TLS\r\n\r\n", "400"),
        (b"SELL 1 HTTP/9.9\r\n\r\n", "400"),
        (many.as_bytes(), "431"),
    ];
    for (bytes, status) in cases {
        let answer = exchange(&site, bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
    }
    assert_eq!(site.traffic.odd_connections(), 3, "each is a log line and a number");
    site.close().await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_unread() {
    let site = Site::open(0, Http::default()).await;
    let request = format!(
        "POST /v1/terminals HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 999999999\r\n\r\n",
        site.token
    );
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 403", "who may not come is not measured either");
    drop(stream);
    let allowed = request.replace("/v1/terminals", "/v1/models");
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(allowed.as_bytes()).await.unwrap();
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    drop(stream);
    site.close().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_unheard() {
    let limits = Http { connections_per_address_max: 2, ..Http::default() };
    let site = Site::open(0, limits).await;
    let hello = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(hello).await.unwrap();
        stream.read_exact(&mut [0; 12]).await.unwrap();
        held.push(stream);
    }
    let mut third = TcpStream::connect(site.address).await.unwrap();
    let mut nothing = Vec::new();
    assert_eq!(third.read_to_end(&mut nothing).await.unwrap_or(0), 0);
    drop(held);
    site.close().await;
}

#[tokio::test]
async fn a_waiting_connection_does_not_hold_up_the_stop() {
    let site = Site::open(0, Http::default()).await;
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    stream.read_exact(&mut [0; 12]).await.unwrap();
    site.close().await;
}
