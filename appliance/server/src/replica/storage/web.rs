//! A web server: read by anybody's rules, written to by those of WebDAV.

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_LENGTH, LOCATION};
use reqwest::{Client, Method, Request, Response, StatusCode, Url};

use super::{CONNECT_MAX, PlaceError, SILENT_MAX, StorageError};
use crate::client;
use crate::trust::line::Line;

/// What of a redirect's target is repeated.
const TARGET_CHARS_MAX: usize = 200;
/// Appended to the name of a file that is being written.
const PART: &str = ".part";
/// Directories are made this often while others make them too.
const COLLECTIONS_TRIES: u32 = 3;

/// A client for storage at the end of this line.
pub(super) fn client(line: &Line) -> Result<Client, PlaceError> {
    line.client(client::builder().connect_timeout(CONNECT_MAX)).map_err(PlaceError::Client)
}

/// The address of storage as clients use it.
pub(super) fn root(line: &Line) -> Result<Url, PlaceError> {
    Url::parse(line.url()).map_err(|_| PlaceError::Address { url: line.url().to_owned() })
}

#[derive(Clone)]
pub(super) struct Web {
    client: Client,
    root: Url,
    /// As the server knows itself, which is over TLS where the line is.
    outer: Url,
    _line: Line,
    /// Who writes; nothing: nobody.
    writer: Option<(String, String)>,
}

impl Web {
    pub(super) fn plain(line: Line, outer: Url) -> Result<Self, PlaceError> {
        let (client, root) = (client(&line)?, root(&line)?);
        Ok(Self { client, root, outer, _line: line, writer: None })
    }

    pub(super) fn dav(
        line: Line,
        outer: Url,
        user: String,
        secret: String,
    ) -> Result<Self, PlaceError> {
        Ok(Self { writer: Some((user, secret)), ..Self::plain(line, outer)? })
    }

    pub(super) async fn read(
        &self,
        path: &str,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        let request = self.request(Method::GET, path);
        body(ask(&self.client, request).await?, bytes_max).await
    }

    pub(super) async fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        let response = ask(&self.client, self.request(Method::HEAD, path)).await?;
        length(&response)
    }

    pub(super) async fn write(&self, path: &str, bytes: &Bytes) -> Result<(), StorageError> {
        if self.writer.is_none() {
            return Err(StorageError::ReadOnly { at: self.url(path).to_string() });
        }
        let part = format!("{path}{PART}");
        let mut response = self.put(&part, bytes).await?;
        for _ in 0..COLLECTIONS_TRIES {
            if !matches!(response.status(), StatusCode::CONFLICT | StatusCode::NOT_FOUND) {
                break;
            }
            self.make_collections(path).await?;
            response = self.put(&part, bytes).await?;
        }
        accept(&response)?;
        let mut rename = self.request(method(b"MOVE"), &part);
        let destination =
            below(&self.outer, path).as_str().parse().expect("a URL is printable ASCII");
        rename.headers_mut().insert("destination", destination);
        rename.headers_mut().insert("overwrite", "T".parse().expect("a letter"));
        accept(&send(&self.client, rename).await?)
    }

    pub(super) async fn remove(&self, path: &str) -> Result<(), StorageError> {
        let response = send(&self.client, self.request(Method::DELETE, path)).await?;
        if response.status() == StatusCode::NOT_FOUND { Ok(()) } else { accept(&response) }
    }

    async fn put(&self, path: &str, bytes: &Bytes) -> Result<Response, StorageError> {
        let mut request = self.request(Method::PUT, path);
        *request.body_mut() = Some(bytes.clone().into());
        send(&self.client, request).await
    }

    /// The directories above a file, the root included; one that is there already is no error.
    async fn make_collections(&self, path: &str) -> Result<(), StorageError> {
        let whole = self.url(path).path().to_owned();
        for (at, _) in whole.match_indices('/').skip(1) {
            let mut request = self.request(method(b"MKCOL"), "");
            request.url_mut().set_path(&whole[..at]);
            let response = send(&self.client, request).await?;
            let known = matches!(
                response.status(),
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::CONFLICT | StatusCode::FORBIDDEN
            );
            // Where two make it at once, a server may fail for one of them; the file that follows has the last word.
            if !known && !response.status().is_server_error() {
                accept(&response)?;
            }
        }
        Ok(())
    }

    fn request(&self, method: Method, path: &str) -> Request {
        let request = self.client.request(method, self.url(path));
        let request = match &self.writer {
            Some((user, secret)) if !user.is_empty() => request.basic_auth(user, Some(secret)),
            Some(_) | None => request,
        };
        request.build().expect("a parsed URL and no other part that could be wrong")
    }

    fn url(&self, path: &str) -> Url {
        below(&self.root, path)
    }
}

fn below(root: &Url, path: &str) -> Url {
    let mut url = root.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/').filter(|part| !part.is_empty()));
    }
    url
}

fn method(name: &[u8]) -> Method {
    Method::from_bytes(name).expect("a literal that is a token")
}

pub(super) async fn send(client: &Client, request: Request) -> Result<Response, StorageError> {
    let at = request.url().to_string();
    client.execute(request).await.map_err(|error| unreachable(at, error))
}

/// Sends what carries no file, so that its answer begins soon.
pub(super) async fn ask(client: &Client, request: Request) -> Result<Response, StorageError> {
    let at = request.url().to_string();
    soon(&at, send(client, request)).await?
}

/// What a server does in time.
async fn soon<T>(at: &str, work: impl Future<Output = T>) -> Result<T, StorageError> {
    let late = |_| StorageError::Late { at: at.to_owned(), within_s: SILENT_MAX.as_secs() };
    tokio::time::timeout(SILENT_MAX, work).await.map_err(late)
}

/// The whole body, if it is no longer than it may be and does not stop coming; nothing if there is no such file.
pub(super) async fn body(
    mut response: Response,
    bytes_max: usize,
) -> Result<Option<Bytes>, StorageError> {
    if is_absent(&response) {
        return Ok(None);
    }
    accept(&response)?;
    let at = response.url().to_string();
    let too_large = || StorageError::TooLarge { at: at.clone(), bytes_max };
    if response.content_length().is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    loop {
        let part = soon(&at, response.chunk()).await?;
        let part = part.map_err(|error| unreachable(at.clone(), error))?;
        let Some(part) = part else { return Ok(Some(body.freeze())) };
        if body.len() + part.len() > bytes_max {
            return Err(too_large());
        }
        body.extend_from_slice(&part);
    }
}

/// The length that an answer to HEAD tells; nothing if there is no such file.
pub(super) fn length(response: &Response) -> Result<Option<u64>, StorageError> {
    if is_absent(response) {
        return Ok(None);
    }
    accept(response)?;
    let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    Ok(Some(length.and_then(|length| length.parse().ok()).unwrap_or(u64::MAX)))
}

fn is_absent(response: &Response) -> bool {
    matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// Whether the answer says yes.
pub(super) fn accept(response: &Response) -> Result<(), StorageError> {
    let (status, at) = (response.status(), response.url().to_string());
    if status.is_redirection() {
        let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
        let to = to.unwrap_or_default().chars().take(TARGET_CHARS_MAX).collect();
        return Err(StorageError::Redirected { at, to });
    }
    match status {
        status if status.is_success() => Ok(()),
        status => Err(StorageError::Status { at, status: status.as_u16() }),
    }
}

fn unreachable(at: String, error: reqwest::Error) -> StorageError {
    StorageError::Unreachable { at, source: Box::new(error.without_url()) }
}
