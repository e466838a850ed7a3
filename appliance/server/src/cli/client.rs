//! Talking to the running box through its control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use storebox_proto::problem::Problem;

use crate::client;
use crate::node;

/// Imports and refreshes of a whole catalogue take minutes on a small box.
const ANSWER_MAX: Duration = Duration::from_secs(3600);

/// The longest line of an event that is believed.
const EVENT_BYTES_MAX: usize = 64 * 1024;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No box runs on this data directory.
    #[error("no box runs on {data_dir}; start one with `storebox run`")]
    NotRunning {
        /// The directory.
        data_dir: PathBuf,
    },
    /// The call itself failed.
    #[error("ask the running box")]
    Transport(#[source] reqwest::Error),
    /// The box refuses.
    #[error("refused: {0}")]
    Refused(Problem),
    /// The box answers something that is not understood.
    #[error("the box answered {status}, which is not understood")]
    Answer {
        /// The HTTP status.
        status: u16,
    },
}

/// A line to the running box.
#[derive(Debug)]
pub(super) struct Control {
    client: Client,
}

impl Control {
    /// The box that runs on this data directory.
    pub(super) fn open(data_dir: &Path) -> Result<Self, CallError> {
        let socket = node::control_socket(data_dir);
        if std::os::unix::net::UnixStream::connect(&socket).is_err() {
            return Err(CallError::NotRunning { data_dir: data_dir.to_owned() });
        }
        let client = client::builder().unix_socket(socket).timeout(ANSWER_MAX).build();
        Ok(Self { client: client.map_err(CallError::Transport)? })
    }

    /// Asks and reads the answer.
    pub(super) async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, CallError> {
        read(self.send(Method::GET, path, None::<&()>).await?).await
    }

    /// Asks and reads the answer as text, at most so many bytes of it.
    pub(super) async fn text(&self, path: &str, bytes_max: usize) -> Result<String, CallError> {
        let mut response = self.send(Method::GET, path, None::<&()>).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(CallError::Transport)? {
            body.extend_from_slice(&chunk);
            if body.len() > bytes_max {
                body.truncate(bytes_max);
                break;
            }
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Sends a body and reads the answer.
    pub(super) async fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<A, CallError> {
        read(self.send(Method::POST, path, Some(body)).await?).await
    }

    /// Sends lines of JSON and reads the answer.
    pub(super) async fn post_lines<A: DeserializeOwned>(
        &self,
        path: &str,
        lines: &str,
    ) -> Result<A, CallError> {
        let url = format!("http://localhost{path}");
        let request = self.client.post(url).header("content-type", "application/x-ndjson");
        let sent = request.body(lines.to_owned()).send().await.map_err(CallError::Transport)?;
        read(accepted(sent).await?).await
    }

    /// Sends a body that is put in place of what is there.
    pub(super) async fn put(&self, path: &str, body: &impl Serialize) -> Result<(), CallError> {
        self.send(Method::PUT, path, Some(body)).await.map(|_| ())
    }

    /// Sends a body; that it was taken is all the answer.
    pub(super) async fn tell(&self, path: &str, body: &impl Serialize) -> Result<(), CallError> {
        self.send(Method::POST, path, Some(body)).await.map(|_| ())
    }

    /// Hears the data of each event at a path until the stream ends.
    pub(super) async fn listen(
        &self,
        path: &str,
        mut hear: impl FnMut(&str),
    ) -> Result<(), CallError> {
        let mut response = self.send(Method::GET, path, None::<&()>).await?;
        let mut line = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(CallError::Transport)? {
            for byte in chunk {
                if byte != b'\n' && line.len() < EVENT_BYTES_MAX {
                    line.push(byte);
                    continue;
                }
                let text = String::from_utf8_lossy(&line);
                if let Some(data) = text.strip_prefix("data: ") {
                    hear(data);
                }
                line.clear();
            }
        }
        Ok(())
    }

    /// Removes what is at a path.
    pub(super) async fn delete(&self, path: &str) -> Result<(), CallError> {
        self.send(Method::DELETE, path, None::<&()>).await.map(|_| ())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Response, CallError> {
        let request = self.client.request(method, format!("http://localhost{path}"));
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        accepted(request.send().await.map_err(CallError::Transport)?).await
    }
}

async fn accepted(response: Response) -> Result<Response, CallError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    match response.json::<Problem>().await {
        Ok(problem) => Err(CallError::Refused(problem)),
        Err(_) => Err(CallError::Answer { status: status.as_u16() }),
    }
}

async fn read<A: DeserializeOwned>(response: Response) -> Result<A, CallError> {
    let status = response.status().as_u16();
    response.json().await.map_err(|_| CallError::Answer { status })
}
