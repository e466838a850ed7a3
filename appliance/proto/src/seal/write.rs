//! Writes, and reads that are one caller's alone: sealed differently each time and taken once.
//!
//! The URL carries nothing but the key id and the nonce; method, path, headers (with the caller's token) and body
//! are inside. Whose write it is is found out from the token, never from what the sealed request says of itself.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};

use super::derive::parts;
use super::frame::{Fields, Frame};
use super::ring::Keys;
use super::{Moment, NONCE_BYTES, Nonce, PATH_PREFIX, SealError, read};
use crate::limits::{SEALED_BODY_BYTES_MAX, SEALED_HEADERS_MAX, SEALED_READ_BYTES_MAX};

/// A padded write is a multiple of this.
const BUCKET: usize = 256;

/// A request that is not shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The life of the box that it is for, from its last answer; 0 if none is known yet.
    pub life: u64,
    /// Grows with each write of this caller to this box.
    pub counter: u64,
    /// Stays the same when the same request is sealed again: the first answer is given again.
    pub key: [u8; 16],
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: String,
    /// Path and query, as they stand in a request line.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Seals a write; the nonce is random. Returns the URL and the body of the POST.
pub fn seal(keys: &Keys, write: &Write, nonce: &Nonce) -> (String, Vec<u8>) {
    let frame = Frame::default()
        .number(write.life)
        .number(write.counter)
        .field(&write.key)
        .text(&write.method)
        .text(&write.target)
        .pairs(&write.headers)
        .field(&write.body)
        .padded(BUCKET);
    let kid = keys.kid.bytes();
    let sealed = XChaCha20Poly1305::new(keys.write.expose().into())
        .encrypt(nonce.into(), Payload { msg: &frame, aad: &parts(&[b"write", &kid]) })
        .expect("a frame is far shorter than the cipher's 256 GB");
    (format!("{PATH_PREFIX}{}/{}", keys.kid, URL_SAFE_NO_PAD.encode(nonce)), sealed)
}

/// What a POST holds, with the keys that it was sealed with.
pub fn open<'a>(
    moment: &'a Moment,
    url: &str,
    body: &[u8],
) -> Result<(&'a Keys, Write), SealError> {
    let (kid, blob) = read::split(url)?;
    let keys = moment.keys(kid)?;
    if body.len() > SEALED_BODY_BYTES_MAX {
        let (bytes, bytes_max) = (body.len(), SEALED_BODY_BYTES_MAX);
        return Err(SealError::TooLarge { bytes, bytes_max });
    }
    let nonce = URL_SAFE_NO_PAD.decode(blob).map_err(|_| SealError::Broken)?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| SealError::Broken)?;
    let bound = parts(&[b"write", &kid.bytes()]);
    let frame = XChaCha20Poly1305::new(keys.write.expose().into())
        .decrypt((&nonce).into(), Payload { msg: body, aad: &bound })
        .map_err(|_| SealError::Broken)?;
    Ok((keys, Write::of(&frame)?))
}

impl Write {
    fn of(frame: &[u8]) -> Result<Self, SealError> {
        let mut fields = Fields::of(frame, BUCKET)?;
        let (life, counter) = (fields.number()?, fields.number()?);
        let key = fields.field()?.try_into().map_err(|_| SealError::Content("the key"))?;
        let (method, target) = (fields.text()?, fields.text()?);
        if !["GET", "POST", "PUT", "DELETE"].contains(&method.as_str()) {
            return Err(SealError::Content("the method"));
        }
        // Behind a '#' nothing is sent, but the tables of who may what would read it.
        let printable = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !target.starts_with('/') || !printable || target.len() > SEALED_READ_BYTES_MAX {
            return Err(SealError::Content("the target"));
        }
        let headers = fields.pairs(SEALED_HEADERS_MAX)?;
        let body = fields.field()?.to_vec();
        fields.end()?;
        Ok(Self { life, counter, key, method, target, headers, body })
    }

    /// The path of the target.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or(&self.target)
    }
}
