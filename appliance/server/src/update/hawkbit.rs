//! hawkBit's device API (DDI), for a chain that has such a server already: it takes the place of head office's shelf.
//!
//! The box polls, takes the deployment that it is given for a release of its board, downloads the bundle with ranges,
//! compares it with the SHA-256 that the server named, and tells what became of it.
//! When it is installed, and whether, is decided as for any other release: by the window, the transactions and the
//! steward.
//!
//! Links are followed on the configured server only, whatever they say: an answer sends nobody elsewhere.

mod words;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_RANGE, RANGE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use sha2::{Digest, Sha256};
use storebox_proto::ids::{Hash32, NodeId};
use storebox_proto::release::{Release, State};
use storebox_proto::rings::EVERYONE;

use crate::env;
use crate::logging::chain;
use crate::secrets::SecretText;
use crate::trust::line::Line;

use words::{Cancel, ConfigData, Deployment, Feedback, Found, Root};

/// An answer of the API is far smaller.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A server that sends nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const POLL_MIN: Duration = Duration::from_secs(1);
const POLL_MAX: Duration = Duration::from_secs(3600);

/// Why the server is no help now.
#[derive(Debug, thiserror::Error)]
pub enum HawkBitError {
    /// No answer, or not in time.
    #[error("ask hawkBit")]
    Unreachable(#[source] reqwest::Error),
    /// It refuses.
    #[error("hawkBit answered {status} to {path}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What was asked for.
        path: String,
    },
    /// Its answer is not understood.
    #[error("hawkBit's answer to {path}: {why}")]
    Answer {
        /// What was asked for.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The file cannot be written.
    #[error("write the bundle")]
    File(#[from] io::Error),
    /// The bundle is another one than was announced.
    #[error("the bundle has SHA-256 {found}, announced is {announced}")]
    Sum {
        /// What came.
        found: String,
        /// What was to come.
        announced: String,
    },
}

/// One server, one box.
pub struct HawkBit {
    client: Client,
    base: Url,
    _line: Line,
    token: SecretText,
    home: String,
    next_poll: Option<Instant>,
    found: Option<Found>,
    /// The action and what was said about it last.
    told: Option<(String, &'static str)>,
    trouble: Option<String>,
}

impl HawkBit {
    /// The server at this line, where this box is known by this token.
    pub fn new(
        line: Line,
        tenant: &str,
        node: &NodeId,
        token: SecretText,
    ) -> Result<Self, HawkBitError> {
        let home = format!("/{tenant}/controller/v1/{node}");
        let bad = |why: &str| HawkBitError::Answer { path: home.clone(), why: why.to_owned() };
        let base = Url::parse(line.url()).map_err(|_| bad("the address is no URL"))?;
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_MAX)
            .read_timeout(SILENCE_MAX);
        let client = line.client(client).map_err(HawkBitError::Unreachable)?;
        let (next_poll, found, told, trouble) = (None, None, None, None);
        Ok(Self { client, base, _line: line, token, home, next_poll, found, told, trouble })
    }

    /// What the server wants installed here; asks when it is time to.
    ///
    /// While it does not answer, what it said last counts.
    pub(super) async fn offered(&mut self, board: &str) -> Vec<Release> {
        let now = env::instant();
        if self.next_poll.is_none_or(|at| at <= now) {
            // A server that does not answer is asked again soon, but not at every look.
            self.next_poll = Some(now + POLL_MIN);
            self.trouble = self.poll(board).await.err().map(|error| chain(&error));
        }
        self.found.iter().filter_map(|found| release(found, board)).collect()
    }

    /// Why the last poll was not answered.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    async fn poll(&mut self, board: &str) -> Result<(), HawkBitError> {
        let root: Root = self.get(&self.home).await?;
        if let Some(link) = root.config_data() {
            let path = self.own(link)?;
            let request = self.request(Method::PUT, &path)?.json(&ConfigData::of(board));
            let answer = request.send().await.map_err(HawkBitError::Unreachable)?;
            judge(&answer, &path)?;
        }
        let sleep = root.sleep().unwrap_or(POLL_MAX).clamp(POLL_MIN, POLL_MAX);
        if let Some(link) = root.cancel() {
            let path = self.own(link)?;
            let Cancel { id, .. } = self.get(&path).await?;
            self.feed_back(&path, &Feedback::of(&id, "closed", "success", "")).await?;
            self.found = None;
        } else if let Some(link) = root.deployment() {
            let path = self.own(link)?;
            let deployment: Deployment = self.get(&path).await?;
            let bad = |why: String| HawkBitError::Answer { path: path.clone(), why };
            let found = deployment.found(&path).map_err(bad)?;
            let is_new = self.found.as_ref().is_none_or(|before| before.action != found.action);
            if is_new {
                self.told = None;
            }
            self.found = Some(found);
        } else {
            self.found = None;
        }
        self.next_poll = Some(env::instant() + sleep);
        Ok(())
    }

    /// Tells what became of the action, once each.
    pub(super) async fn tell(&mut self, word: &'static str, why: &str) -> Result<(), HawkBitError> {
        let Some(found) = &self.found else { return Ok(()) };
        let action = found.action.clone();
        if self.told.as_ref().is_some_and(|told| *told == (action.clone(), word)) {
            return Ok(());
        }
        let (execution, result) = match word {
            "confirmed" => ("closed", "success"),
            "failed" => ("closed", "failure"),
            "handed-over" => ("downloaded", "none"),
            "held" => ("scheduled", "none"),
            _ => ("proceeding", "none"),
        };
        let path = found.path.clone();
        self.feed_back(&path, &Feedback::of(&action, execution, result, why)).await?;
        self.told = Some((action, word));
        Ok(())
    }

    async fn feed_back(&self, of: &str, feedback: &Feedback) -> Result<(), HawkBitError> {
        let plain = of.split('?').next().unwrap_or(of);
        let path = format!("{plain}/feedback");
        let request = self.request(Method::POST, &path)?.json(feedback);
        let answer = request.send().await.map_err(HawkBitError::Unreachable)?;
        judge(&answer, &path)
    }

    /// Brings the bundle of a release, from where an earlier attempt stopped; tells each piece.
    pub(super) async fn fetch(
        &self,
        release: &Release,
        part: &Path,
        mut piece: impl FnMut(u64, u64),
    ) -> Result<(), HawkBitError> {
        let Some(found) = &self.found else { return Ok(()) };
        let (mut file, mut have) = open_part(part, release.bytes)?;
        if have < release.bytes {
            let path = self.own(&found.href)?;
            let request = self.request(Method::GET, &path)?.header(RANGE, format!("bytes={have}-"));
            let mut answer = request.send().await.map_err(HawkBitError::Unreachable)?;
            judge(&answer, &path)?;
            if !continues(&answer, have) {
                file.set_len(0)?;
                file.seek(SeekFrom::Start(0))?;
                have = 0;
            }
            while let Some(bytes) = answer.chunk().await.map_err(HawkBitError::Unreachable)? {
                have += bytes.len() as u64;
                if have > release.bytes {
                    let why = format!("more than the {} bytes that it announced", release.bytes);
                    fs::remove_file(part)?;
                    return Err(HawkBitError::Answer { path, why });
                }
                file.write_all(&bytes)?;
                piece(bytes.len() as u64, have);
            }
            if have < release.bytes {
                let why = format!("it ended after {have} of {} bytes", release.bytes);
                return Err(HawkBitError::Answer { path, why });
            }
        }
        file.sync_all()?;
        let found = sum(part)?;
        if found != release.digest {
            fs::remove_file(part)?;
            let (found, announced) = (found.to_string(), release.digest.to_string());
            return Err(HawkBitError::Sum { found, announced });
        }
        Ok(())
    }

    async fn get<A: serde::de::DeserializeOwned>(&self, path: &str) -> Result<A, HawkBitError> {
        let request = self.request(Method::GET, path)?.header(ACCEPT, "application/hal+json");
        let mut answer = request.send().await.map_err(HawkBitError::Unreachable)?;
        judge(&answer, path)?;
        let mut body = Vec::new();
        while let Some(bytes) = answer.chunk().await.map_err(HawkBitError::Unreachable)? {
            body.extend_from_slice(&bytes);
            if body.len() > ANSWER_BYTES_MAX {
                let why = "it is too long".to_owned();
                return Err(HawkBitError::Answer { path: path.to_owned(), why });
            }
        }
        serde_json::from_slice(&body)
            .map_err(|error| HawkBitError::Answer { path: path.to_owned(), why: error.to_string() })
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, HawkBitError> {
        let bad = |error: &dyn std::fmt::Display| HawkBitError::Answer {
            path: path.to_owned(),
            why: error.to_string(),
        };
        let url = self.base.join(path).map_err(|error| bad(&error))?;
        let token = format!("TargetToken {}", self.token.reveal());
        Ok(self.client.request(method, url).header(AUTHORIZATION, token))
    }

    /// The path of a link; the server is the one that was configured.
    fn own(&self, link: &str) -> Result<String, HawkBitError> {
        let url = self.base.join(link).map_err(|error| HawkBitError::Answer {
            path: link.chars().take(200).collect(),
            why: error.to_string(),
        })?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(format!("{}{query}", url.path()))
    }
}

/// A deployment as a release; nothing if it is not for this board or its version is none.
fn release(found: &Found, board: &str) -> Option<Release> {
    let version = found.version.parse().ok()?;
    let release = Release {
        id: Release::id_of(board, version),
        version,
        board: board.to_owned(),
        bytes: found.size,
        digest: found.sha256,
        index: found.sha256,
        index_bytes: 1,
        ring: EVERYONE.to_owned(),
        state: State::Offered,
        failures_max: 0,
        why: String::new(),
        approval: String::new(),
    };
    release.check().is_ok().then_some(release)
}

fn judge(answer: &Response, path: &str) -> Result<(), HawkBitError> {
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(HawkBitError::Status { status: status.as_u16(), path: path.to_owned() }),
    }
}

/// Whether the answer goes on where the file ends.
fn continues(answer: &Response, have: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    have == 0
        || (answer.status() == StatusCode::PARTIAL_CONTENT
            && range.is_some_and(|range| range.starts_with(&format!("bytes {have}-"))))
}

fn open_part(part: &Path, bytes_max: u64) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(part)?;
    let mut have = file.seek(SeekFrom::End(0))?;
    if have > bytes_max {
        file.set_len(0)?;
        have = file.seek(SeekFrom::Start(0))?;
    }
    Ok((file, have))
}

/// The SHA-256 of a file.
pub(super) fn sum(path: &Path) -> io::Result<Hash32> {
    let (mut file, mut hasher) = (File::open(path)?, Sha256::new());
    let mut piece = vec![0; 1 << 20];
    loop {
        match io::Read::read(&mut file, &mut piece)? {
            0 => return Ok(Hash32(hasher.finalize().into())),
            read => hasher.update(&piece[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_server_that_sends_elsewhere_is_not_followed_with_the_boxs_token() {
        let here = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let line = Line::straight(&format!("http://{}", here.local_addr().unwrap()));
        let node = "box-1".parse().unwrap();
        let mut server =
            HawkBit::new(line, "shops", &node, SecretText::new(String::new())).unwrap();
        let answering = async {
            let (mut stream, _) = here.accept().await.unwrap();
            let mut piece = [0; 4096];
            assert!(stream.read(&mut piece).await.unwrap() > 0);
            let to = elsewhere.local_addr().unwrap();
            let answer = format!(
                "HTTP/1.1 302 Elsewhere\r\nLocation: http://{to}/\r\nContent-Length: 0\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        };
        let (_open, offered) = tokio::join!(answering, server.offered("x86-64"));
        assert!(offered.is_empty());
        let trouble = server.trouble().unwrap();
        assert!(trouble.contains("302"), "{trouble}");
        assert_eq!(elsewhere.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
