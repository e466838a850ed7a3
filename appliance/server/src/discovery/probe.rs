//! Whether an endpoint is alive: one small HTTP request over a connection that is kept.
//!
//! A kept connection that breaks while nobody asks is told at once: that is how a crash is noticed long
//! before the next probe is due.
//! A kept connection that the other side has closed in the meantime is no failure: a fresh one decides.
//! An answer of the 5xx kind is a failure, because such a box cannot serve a till.
//! An endpoint that is not known yet is asked in the open and, if that is no conversation, over TLS ([`tongue`]).
//!
//! [`tongue`]: super::tongue

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use storebox_proto::beacon::FIXED_NAME;
use storebox_proto::limits::BOOK_ENDPOINTS_MAX;
use storebox_proto::sync::book::Outcome;

use super::tongue::{Stream, Tongue, Tongues};

/// The header in which a box says who it is, until a certificate proves it.
pub(super) const NODE_HEADER: &str = "storebox-node";

type Driver = http1::Connection<TokioIo<Box<dyn Stream>>, Empty<Bytes>>;

/// One connection and the future that moves its bytes.
pub(super) struct Connection {
    sender: http1::SendRequest<Empty<Bytes>>,
    driver: Pin<Box<Driver>>,
}

/// Kept connections, by endpoint.
#[derive(Default)]
pub(super) struct Connections(BTreeMap<SocketAddr, Connection>);

impl Connections {
    pub(super) fn take(&mut self, endpoint: SocketAddr) -> Option<Connection> {
        self.0.remove(&endpoint)
    }

    pub(super) fn keep(&mut self, endpoint: SocketAddr, connection: Option<Connection>) {
        let Some(connection) = connection else { return };
        if self.0.len() >= BOOK_ENDPOINTS_MAX {
            self.0.pop_first();
        }
        self.0.insert(endpoint, connection);
    }
}

impl Connections {
    /// Waits until the other side of a kept connection has closed it, and says where; for ever if none
    /// breaks.
    pub(super) async fn broken(&mut self) -> SocketAddr {
        let broken = poll_fn(|context| {
            for (endpoint, connection) in &mut self.0 {
                if connection.driver.as_mut().poll(context).is_ready() {
                    return Poll::Ready(*endpoint);
                }
            }
            Poll::Pending
        })
        .await;
        self.0.remove(&broken);
        broken
    }
}

/// Asks one endpoint; gives back the connection if it can be used again.
pub(super) async fn probe(
    endpoint: SocketAddr,
    path: String,
    kept: Option<Connection>,
    tongues: &Tongues,
    limit: Duration,
) -> (Outcome, Option<Connection>) {
    let asked = async {
        if let Some(connection) = kept
            && let (Some(outcome), connection) = connection.ask(&path).await
        {
            return (outcome, connection);
        }
        for tongue in tongues.to_try(endpoint) {
            let Some(connection) = Connection::open(endpoint, *tongue, tongues).await else {
                continue;
            };
            if let (Some(outcome), connection) = connection.ask(&path).await {
                tongues.learn(endpoint, Some(*tongue));
                return (outcome, connection);
            }
        }
        tongues.learn(endpoint, None);
        (Outcome::Failed, None)
    };
    tokio::time::timeout(limit, asked).await.unwrap_or((Outcome::Failed, None))
}

impl Connection {
    async fn open(endpoint: SocketAddr, tongue: Tongue, tongues: &Tongues) -> Option<Self> {
        let stream = tongues.open(endpoint, tongue).await.ok()?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        Some(Self { sender, driver: Box::pin(driver) })
    }

    /// The outcome, if there was an answer, and the connection, if it can be used again.
    async fn ask(self, path: &str) -> (Option<Outcome>, Option<Self>) {
        let request = Request::builder()
            .method(Method::HEAD)
            .uri(path)
            .header(HOST, FIXED_NAME)
            .body(Empty::new());
        let Ok(request) = request else { return (None, None) };
        let Self { mut sender, mut driver } = self;
        let mut asked = Box::pin(async {
            sender.ready().await.ok()?;
            sender.send_request(request).await.ok()
        });
        let response = tokio::select! {
            biased;
            response = &mut asked => Some(response),
            _ = &mut driver => None,
        };
        let Some(response) = response else {
            // A request that the driver had not taken up yet waits until the driver is dropped.
            drop(driver);
            return (asked.await.map(|response| outcome(&response)), None);
        };
        drop(asked);
        match response {
            Some(response) => (Some(outcome(&response)), Some(Self { sender, driver })),
            None => (None, None),
        }
    }
}

fn outcome<B>(response: &Response<B>) -> Outcome {
    if response.status().is_server_error() {
        return Outcome::Failed;
    }
    let node = response.headers().get(NODE_HEADER).and_then(|value| value.to_str().ok());
    Outcome::Answered(node.and_then(|node| node.parse().ok()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);
    const OK: &str = "HTTP/1.1 200 OK\r\nstorebox-node: box-1\r\ncontent-length: 0\r\n\r\n";

    async fn ask(at: SocketAddr, kept: Option<Connection>) -> (Outcome, Option<Connection>) {
        probe(at, "/health".to_owned(), kept, &Tongues::default(), LIMIT).await
    }

    /// Answers so many requests on one connection, then closes it.
    async fn serve(listener: &TcpListener, answers: &[&str]) {
        let (mut stream, _) = listener.accept().await.unwrap();
        for answer in answers {
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_box_answers_twice_over_one_connection_and_says_who_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let asked = async {
            let (first, kept) = ask(at, None).await;
            let (second, _) = ask(at, kept).await;
            [first, second]
        };
        let (outcomes, ()) = tokio::join!(asked, serve(&listener, &[OK, OK]));
        let answered = Outcome::Answered(Some("box-1".parse().unwrap()));
        assert_eq!(outcomes, [answered.clone(), answered]);
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_meanwhile_is_no_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let ((first, kept), ()) = tokio::join!(ask(at, None), serve(&listener, &[OK]));
        let ((second, _), ()) = tokio::join!(ask(at, kept), serve(&listener, &[OK]));
        assert_eq!(first, second);
    }

    #[tokio::test]
    async fn a_closed_port_a_server_error_and_nonsense_are_failures() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        for answer in ["HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "220 ftp ready\r\n\r\n"] {
            let answers = [answer];
            let ((outcome, _), ()) = tokio::join!(ask(at, None), serve(&listener, &answers));
            assert_eq!(outcome, Outcome::Failed, "{answer}");
        }
        drop(listener);
        assert_eq!(ask(at, None).await.0, Outcome::Failed);
    }

    #[tokio::test]
    async fn a_kept_connection_that_breaks_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let held = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            stream.write_all(OK.as_bytes()).await.unwrap();
            stream
        };
        let ((_, kept), stream) = tokio::join!(ask(at, None), held);
        drop(stream);
        let mut connections = Connections::default();
        connections.keep(at, kept);
        assert_eq!(tokio::time::timeout(LIMIT, connections.broken()).await, Ok(at));
        assert!(connections.take(at).is_none());
    }

    #[tokio::test]
    async fn silence_ends_with_the_limit() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let limit = Duration::from_millis(20);
        let tongues = Tongues::default();
        assert_eq!(probe(at, "/".to_owned(), None, &tongues, limit).await.0, Outcome::Failed);
    }
}
