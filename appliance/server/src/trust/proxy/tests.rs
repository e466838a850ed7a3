use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn proxy(port: u16) -> Proxy {
    let url = config::ProxyUrl(Some(("127.0.0.1".to_owned(), port)));
    Proxy::of(&config::Proxy { url, direct: Vec::new() }).unwrap()
}

async fn listen() -> (TcpListener, Proxy) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, proxy(port))
}

/// Takes one connection and gives this answer; returns the question and the connection.
async fn answer(listener: &TcpListener, answer: &[u8]) -> (String, TcpStream) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer).await.unwrap();
    (String::from_utf8(head).unwrap(), stream)
}

async fn refused(said: &[u8]) -> Arc<ProxyError> {
    let (listener, proxy) = listen().await;
    let asking = async {
        let (_, mut stream) = answer(&listener, said).await;
        let _ = stream.shutdown().await;
        stream
    };
    let (_open, tunnel) = tokio::join!(asking, proxy.tunnel("main.example", 443));
    let error = tunnel.expect_err("no tunnel");
    let told = proxy.said_of("https://main.example/told").unwrap().to_string();
    assert!(told.contains(proxy.url()), "{told} names no proxy");
    assert_eq!(told, error.to_string());
    assert_eq!(proxy.fault().is_some(), !error.is_beyond());
    error
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways_and_forgets_what_went_wrong_before() {
    let (listener, proxy) = listen().await;
    let asking = answer(&listener, b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    let (_, tunnel) = tokio::join!(asking, proxy.tunnel("fe80::1", 8443));
    assert!(tunnel.is_err() && proxy.said_of("http://[fe80::1]:8443").is_some());
    let asking = answer(&listener, b"HTTP/1.1 200 Connection established\r\n\r\n");
    let ((asked, mut far), tunnel) = tokio::join!(asking, proxy.tunnel("fe80::1", 8443));
    assert!(asked.starts_with("CONNECT [fe80::1]:8443 HTTP/1.1\r\n"), "{asked}");
    let mut near = tunnel.unwrap();
    near.write_all(b"up").await.unwrap();
    far.write_all(b"down").await.unwrap();
    let (mut up, mut down) = ([0; 2], [0; 4]);
    far.read_exact(&mut up).await.unwrap();
    near.read_exact(&mut down).await.unwrap();
    assert_eq!((&up, &down), (b"up", b"down"));
    assert!(proxy.fault().is_none() && proxy.said_of("http://[fe80::1]:8443").is_none());
}

#[tokio::test]
async fn a_proxy_that_refuses_or_breaks_off_is_named() {
    let forbidden = refused(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    assert!(forbidden.to_string().contains("main.example:443: it answers 403"), "{forbidden}");
    assert!(forbidden.is_beyond(), "it works, and leads to others");
    let away = refused(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
    assert!(away.is_beyond(), "the proxy works, and the server does not");
    for nonsense in [&b"SSH-2.0-nothing\r\n"[..], b"", b"HTTP/1.1 2"] {
        assert!(matches!(*refused(nonsense).await, ProxyError::Broken { .. }));
    }
}

#[tokio::test]
async fn a_proxy_that_is_switched_off_is_named() {
    let (listener, proxy) = listen().await;
    drop(listener);
    let error = proxy.tunnel("main.example", 443).await.expect_err("nobody is there");
    assert!(matches!(*error, ProxyError::Silent { .. }), "{error}");
    assert!(error.to_string().contains(proxy.url()));
    let odd = proxy.tunnel("no host", 443).await.expect_err("nowhere to lead to");
    assert!(matches!(*odd, ProxyError::Target { .. }), "{odd}");
}

#[test]
fn each_server_has_its_own_fault_and_one_that_is_refused_is_none_of_the_proxys() {
    let proxy = proxy(3128);
    let name = || "http://proxy".to_owned();
    let note = |to: &str, fault| proxy.note(to.to_owned(), fault);
    let refused = |to: &str| {
        let (proxy, to) = (name(), to.to_owned());
        Some(Arc::new(ProxyError::Refused { proxy, to, status: StatusCode::FORBIDDEN }))
    };
    let late = || Some(Arc::new(ProxyError::Late { proxy: name(), to: "a:443".to_owned() }));
    let silent = || {
        let source = io::ErrorKind::ConnectionRefused.into();
        Some(Arc::new(ProxyError::Silent { proxy: name(), source }))
    };
    note("a:443", refused("a:443"));
    note("b:443", None);
    assert!(proxy.fault().is_none(), "it refuses one server");
    assert!(proxy.said_of("https://a").is_some(), "a tunnel to another does not hide it");
    assert!(proxy.said_of("https://b").is_none());
    note("a:443", late());
    assert!(proxy.fault().is_none(), "it leads to another server");
    note("b:443", silent());
    assert!(matches!(*proxy.fault().unwrap(), ProxyError::Silent { .. }));
    note("c:443", None);
    assert!(proxy.fault().is_none(), "it works again, whoever asks");
    assert!(proxy.said_of("https://a").is_some() && proxy.said_of("https://b").is_none());
    note("c:443", late());
    assert!(proxy.fault().is_some(), "late about everybody is as good as silent");
    for number in 0..2 * TARGETS_MAX {
        note(&format!("host-{number}:80"), refused("x:80"));
    }
    assert_eq!(proxy.targets().len(), TARGETS_MAX);
}
