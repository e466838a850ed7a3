//! Another program on loopback, for the tests of hooks and pushes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::supervise::Supervisor;

/// What it has been told.
#[derive(Debug)]
pub(super) struct Heard {
    headers: HeaderMap,
    pub(super) bytes: Bytes,
    pub(super) body: Value,
}

impl Heard {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

type Answers = Arc<Mutex<BTreeMap<String, (u16, String)>>>;

/// The program; a path without an answer hangs.
pub(super) struct Peer {
    address: SocketAddr,
    answers: Answers,
    heard: tokio::sync::Mutex<mpsc::UnboundedReceiver<Heard>>,
    _supervisor: Supervisor,
}

impl Peer {
    pub(super) async fn open() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let answers = Answers::default();
        let router =
            Router::new().route("/{path}", post(hear)).with_state((sender, Arc::clone(&answers)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let supervisor = Supervisor::new();
        supervisor.spawn_short(async move { axum::serve(listener, router).await.unwrap() });
        let heard = tokio::sync::Mutex::new(receiver);
        Self { address, answers, heard, _supervisor: supervisor }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub(super) fn answer(&self, path: &str, status: u16, body: String) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body));
    }

    /// What it is told next.
    pub(super) async fn heard(&self) -> Heard {
        let mut heard = self.heard.lock().await;
        let next = tokio::time::timeout(Duration::from_secs(60), heard.recv()).await;
        next.expect("somebody tells it something").unwrap()
    }

    /// Whether it has been told nothing more.
    pub(super) async fn is_quiet(&self) -> bool {
        self.heard.lock().await.try_recv().is_err()
    }
}

async fn hear(
    State((sender, answers)): State<(mpsc::UnboundedSender<Heard>, Answers)>,
    Path(path): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> (StatusCode, String) {
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    let answer = answers.lock().unwrap().get(&path).cloned();
    let _ = sender.send(Heard { headers, bytes, body });
    match answer {
        Some((status, body)) => (StatusCode::from_u16(status).unwrap(), body),
        None => std::future::pending().await,
    }
}
