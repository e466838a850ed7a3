//! Reads that equal each other seal to equal URLs, so that a cache can answer the second one.

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::derive::parts;
use super::frame::{Fields, Frame};
use super::ring::{KeyId, Keys, Scope};
use super::{Moment, PATH_PREFIX, SealError};
use crate::limits::{SEALED_PAIRS_MAX, SEALED_READ_BYTES_MAX};

/// A padded read is a multiple of this: its length tells little about what is asked.
const BUCKET: usize = 64;
/// What precedes the sealed bytes in AES-SIV's output.
const SIV_BYTES: usize = 16;

/// What is asked for: a path as it stands in a request line, and the query's pairs, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    path: String,
    pairs: Vec<(String, String)>,
}

impl Query {
    /// A query in its one form: the pairs sorted.
    pub fn new(path: &str, mut pairs: Vec<(String, String)>) -> Result<Self, SealError> {
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SealError::Content("a path begins with / and is printable ASCII"));
        }
        if path.contains(['?', '#']) {
            return Err(SealError::Content("a path has no query"));
        }
        if pairs.len() > SEALED_PAIRS_MAX {
            return Err(SealError::Content("too many pairs"));
        }
        pairs.sort_unstable();
        let query = Self { path: path.to_owned(), pairs };
        match query.frame().len() {
            bytes if bytes > SEALED_READ_BYTES_MAX => {
                Err(SealError::TooLarge { bytes, bytes_max: SEALED_READ_BYTES_MAX })
            }
            _ => Ok(query),
        }
    }

    /// The path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query's pairs, decoded and sorted.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// Its one form, padded; what is sealed.
    pub fn frame(&self) -> Vec<u8> {
        Frame::default().text("GET").text(&self.path).pairs(&self.pairs).padded(BUCKET)
    }

    fn of(frame: &[u8]) -> Result<Self, SealError> {
        let mut fields = Fields::of(frame, BUCKET)?;
        if fields.text()? != "GET" {
            return Err(SealError::Content("only GET is read through a URL"));
        }
        let path = fields.text()?;
        let pairs = fields.pairs(SEALED_PAIRS_MAX)?;
        fields.end()?;
        let query = Self::new(&path, pairs.clone())?;
        match query.pairs == pairs {
            true => Ok(query),
            false => Err(SealError::Content("the pairs are not sorted")),
        }
    }
}

/// The URL of a query, the same for everybody in the scope during the epoch.
pub fn seal(keys: &Keys, query: &Query) -> String {
    let sealed = Aes256Siv::new(&(*keys.url.expose()).into())
        .encrypt([&parts(&[b"read"])[..], &keys.kid.bytes()], &query.frame())
        .expect("two headers are fewer than AES-SIV's 126");
    format!("{PATH_PREFIX}{}/{}", keys.kid, URL_SAFE_NO_PAD.encode(sealed))
}

/// What a URL asks for, with the keys that it was sealed with.
pub fn open<'a>(moment: &'a Moment, url: &str) -> Result<(&'a Keys, Query), SealError> {
    let (kid, blob) = split(url)?;
    let keys = moment.keys(kid)?;
    let sealed = URL_SAFE_NO_PAD.decode(blob).map_err(|_| SealError::Broken)?;
    if sealed.len() > SEALED_READ_BYTES_MAX + SIV_BYTES {
        return Err(SealError::TooLarge {
            bytes: sealed.len(),
            bytes_max: SEALED_READ_BYTES_MAX + SIV_BYTES,
        });
    }
    let frame = Aes256Siv::new(&(*keys.url.expose()).into())
        .decrypt([&parts(&[b"read"])[..], &keys.kid.bytes()], &sealed)
        .map_err(|_| SealError::Broken)?;
    Ok((keys, Query::of(&frame)?))
}

/// The key id and the blob of a sealed URL.
pub fn split(url: &str) -> Result<(KeyId, &str), SealError> {
    let rest = url.strip_prefix(PATH_PREFIX).ok_or(SealError::Shape)?;
    let (kid, blob) = rest.split_once('/').ok_or(SealError::Shape)?;
    Ok((kid.parse()?, blob))
}

/// Whether everybody in a scope may have what this path answers: the one list of what is shared.
pub fn is_shared(scope: Scope, path: &str) -> bool {
    let below = |prefix: &str| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match scope {
        Scope::Boxes => below("/sync/v1/feeds") || below("/sync/v1/objects"),
        Scope::Tills => below("/v1/models"),
    }
}
