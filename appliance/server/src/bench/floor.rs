//! What this machine gives at most, so that every other figure can be told apart from it: a flush, a signature, and
//! an answer.
//!
//! The server here is the HTTP library that the box uses, with nothing behind it: a GET is answered from memory, what
//! is posted is appended to one file and answered after a flush that all who wait share.
//! It believes everybody, checks nothing and keeps nothing in order; the box does all of that on top.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use storebox_proto::ids::Hash32;
use storebox_proto::ticket::{Grade, Receipt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::Error;
use super::table::{row, spread};
use crate::demo::till::mint_key;
use crate::env;

/// What is appended before a flush: about a small ticket.
const TICKET_BYTES: usize = 1024;
/// How long flushes are measured.
const WORK: Duration = Duration::from_secs(3);
/// How many signatures are measured.
const SIGNATURES: u64 = 20_000;
/// Who waits for one flush at most.
const GROUP_MAX: usize = 1024;
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Measures a flush after each kilobyte and the signature of a receipt, one after the other.
pub(super) fn measure(dir: &Path) -> Result<(), Error> {
    flushes(dir)?;
    let signer = SigningKey::from_bytes(&env::random());
    let node = "bench".parse().expect("a literal name");
    let mut times = Vec::new();
    for position in 1..=SIGNATURES {
        let (key, at) = (mint_key(), env::timestamp());
        let digest = Hash32::of(key.to_string().as_bytes());
        let asked = env::instant();
        Receipt::state(key, digest, Grade::Held, &node, position, at).sign(&signer);
        times.push(asked.elapsed());
    }
    row("a receipt signed", &spread(&mut times));
    Ok(())
}

fn flushes(dir: &Path) -> Result<(), Error> {
    let broken = |source| Error::System { what: "append and flush", source };
    std::fs::create_dir_all(dir).map_err(broken)?;
    let mut file = File::create(dir.join("flushes")).map_err(broken)?;
    let (ticket, begun, mut times) = ([b'x'; TICKET_BYTES], env::instant(), Vec::new());
    while begun.elapsed() < WORK {
        let asked = env::instant();
        file.write_all(&ticket).and_then(|()| file.sync_data()).map_err(broken)?;
        times.push(asked.elapsed());
    }
    let rate = times.len() as f64 / WORK.as_secs_f64();
    row("a kilobyte appended and flushed", &format!("{rate:.0} a second, {}", spread(&mut times)));
    Ok(())
}

/// Somebody who waits for a flush.
struct Waiting {
    body: Bytes,
    is_flushed: oneshot::Sender<()>,
}

/// Serves until it is ended: every GET with the bytes of `answer.json` in `dir`, every POST after a flush.
pub(super) async fn serve(address: SocketAddr, dir: &Path) -> Result<(), Error> {
    let broken = |source| Error::System { what: "serve without a box behind it", source };
    let answer = Bytes::from(std::fs::read(dir.join("answer.json")).map_err(broken)?);
    let (posted, waiting) = mpsc::channel(GROUP_MAX);
    let journal = dir.join("floor.journal");
    let mut running = JoinSet::new();
    running.spawn_blocking(move || flush(&journal, waiting));
    let listener = TcpListener::bind(address).await.map_err(broken)?;
    loop {
        let (stream, _) = listener.accept().await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        let (answer, posted) = (answer.clone(), posted.clone());
        running.spawn(async move {
            let service =
                service_fn(move |request| respond(request, answer.clone(), posted.clone()));
            // Whoever goes away ends its connection, and nothing else.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            Ok(())
        });
    }
}

async fn respond(
    request: Request<Incoming>,
    answer: Bytes,
    posted: mpsc::Sender<Waiting>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::new()));
    if request.method() != Method::POST {
        let json = hyper::header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
        *response.body_mut() = Full::new(answer);
        return Ok(response);
    }
    *response.status_mut() = match Limited::new(request, BODY_BYTES_MAX).collect().await {
        Ok(body) => durably(body.to_bytes(), &posted).await,
        Err(_) => StatusCode::BAD_REQUEST,
    };
    Ok(response)
}

async fn durably(body: Bytes, posted: &mpsc::Sender<Waiting>) -> StatusCode {
    let (is_flushed, flushed) = oneshot::channel();
    let sent = posted.send(Waiting { body, is_flushed }).await;
    match (sent, flushed.await) {
        (Ok(()), Ok(())) => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Appends what has come in meanwhile and flushes it once.
fn flush(journal: &PathBuf, mut waiting: mpsc::Receiver<Waiting>) -> std::io::Result<()> {
    let mut file = File::create(journal)?;
    let mut group = Vec::new();
    while waiting.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let bytes: Vec<u8> = group.iter().flat_map(|one| one.body.iter().copied()).collect();
        file.write_all(&bytes)?;
        file.sync_data()?;
        for one in group.drain(..) {
            // Who has gone away meanwhile hears nothing.
            let _ = one.is_flushed.send(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_answered_lies_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("floor.journal");
        let (posted, waiting) = mpsc::channel(GROUP_MAX);
        let mut running = JoinSet::new();
        let file = journal.clone();
        running.spawn_blocking(move || flush(&file, waiting));
        assert_eq!(durably(Bytes::from_static(b"one"), &posted).await, StatusCode::OK);
        assert_eq!(std::fs::read(&journal).unwrap(), b"one");
        drop(posted);
        running.join_next().await.unwrap().unwrap().unwrap();
    }
}
