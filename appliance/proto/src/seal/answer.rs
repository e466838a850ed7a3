//! Answers: bound to the request they answer, with their age and their revision inside.
//!
//! Caches see how long they may keep an answer, but what counts is what was sealed: a cache can neither prolong an
//! answer's life, nor give it to another question, nor put an old one in the place of a new one.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use std::collections::BTreeMap;

use super::derive::{hash, parts};
use super::frame::{Fields, Frame};
use super::ring::Keys;
use super::{NONCE_BYTES, Nonce, SealError};
use crate::limits::{FEEDS_MAX, SEALED_BODY_BYTES_MAX, SEALED_HEADERS_MAX};
use crate::time::Timestamp;

/// A padded answer is a multiple of this.
const BUCKET: usize = 256;
/// An answer is taken this long after its end: clocks differ, and a cache may answer with it while it asks.
pub const LATE_MS_MAX: u64 = 120_000;
/// An answer that was made later than now by this is not believed.
pub const EARLY_MS_MAX: u64 = 300_000;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers of the answer that the caller needs, names in lower case.
    pub headers: Vec<(String, String)>,
    /// When it was made.
    pub made: Timestamp,
    /// Seconds for which it is fresh.
    pub max_age_s: u32,
    /// The life of the box that made it: writes are sealed for it.
    pub life: u64,
    /// From which revision of which feed it was made, if it was made from one.
    pub standing: Option<Standing>,
    /// The body.
    pub body: Vec<u8>,
}

/// A revision of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The feed.
    pub feed: String,
    /// The life of its author.
    pub epoch: u64,
    /// The revision.
    pub revision: u64,
}

/// What an answer belongs to: the whole sealed request, in a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question([u8; 32]);

impl Question {
    /// A read, by its URL.
    pub fn read(url: &str) -> Self {
        Self(hash(&[b"GET", url.as_bytes()]))
    }

    /// A write, by its URL and its sealed body.
    pub fn write(url: &str, body: &[u8]) -> Self {
        Self(hash(&[b"POST", url.as_bytes(), body]))
    }
}

/// Seals an answer; the nonce is random.
pub fn seal(keys: &Keys, question: &Question, answer: &Answer, nonce: &Nonce) -> Vec<u8> {
    let none = Standing { feed: String::new(), epoch: 0, revision: 0 };
    let standing = answer.standing.as_ref().unwrap_or(&none);
    let made = u64::try_from(answer.made.unix_ms()).unwrap_or(0);
    let frame = Frame::default()
        .number(u64::from(answer.status))
        .pairs(&answer.headers)
        .number(made)
        .number(u64::from(answer.max_age_s))
        .number(answer.life)
        .text(&standing.feed)
        .number(standing.epoch)
        .number(standing.revision)
        .field(&answer.body)
        .padded(BUCKET);
    let kid = keys.kid.bytes();
    let bound = parts(&[b"answer", &question.0, &kid]);
    let sealed = XChaCha20Poly1305::new(keys.answer.expose().into())
        .encrypt(nonce.into(), Payload { msg: &frame, aad: &bound })
        .expect("a frame is far shorter than the cipher's 256 GB");
    [&kid[..], nonce, &sealed].concat()
}

/// Opens an answer to a question; whether it is fresh is asked of the [`Answer`].
pub fn open(keys: &Keys, question: &Question, sealed: &[u8]) -> Result<Answer, SealError> {
    if sealed.len() > SEALED_BODY_BYTES_MAX + 64 * 1024 {
        let (bytes, bytes_max) = (sealed.len(), SEALED_BODY_BYTES_MAX + 64 * 1024);
        return Err(SealError::TooLarge { bytes, bytes_max });
    }
    let (kid, rest) = sealed.split_first_chunk::<8>().ok_or(SealError::Broken)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Broken)?;
    if *kid != keys.kid.bytes() {
        return Err(SealError::Broken);
    }
    let bound = parts(&[b"answer", &question.0, kid]);
    let frame = XChaCha20Poly1305::new(keys.answer.expose().into())
        .decrypt(nonce.into(), Payload { msg: sealed, aad: &bound })
        .map_err(|_| SealError::Broken)?;
    Answer::of(&frame)
}

impl Answer {
    fn of(frame: &[u8]) -> Result<Self, SealError> {
        let mut fields = Fields::of(frame, BUCKET)?;
        let status = fields.small()?;
        let headers = fields.pairs(SEALED_HEADERS_MAX)?;
        let made: i64 = fields.small()?;
        let max_age_s = fields.small()?;
        let life = fields.number()?;
        let (feed, epoch, revision) = (fields.text()?, fields.number()?, fields.number()?);
        let body = fields.field()?.to_vec();
        fields.end()?;
        let made = Timestamp::from_unix_ms(made);
        let standing = (!feed.is_empty()).then_some(Standing { feed, epoch, revision });
        Ok(Self { status, headers, made, max_age_s, life, standing, body })
    }

    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether it may still be believed at this time.
    pub fn check_age(&self, now: Timestamp) -> Result<(), SealError> {
        let age_ms = now.unix_ms() - self.made.unix_ms();
        let early_ms = u64::try_from(-age_ms).unwrap_or(0);
        if early_ms > EARLY_MS_MAX {
            return Err(SealError::Early { early_ms });
        }
        let age_ms = u64::try_from(age_ms).unwrap_or(0);
        match age_ms.checked_sub(u64::from(self.max_age_s) * 1000 + LATE_MS_MAX) {
            Some(late_ms @ 1..) => Err(SealError::Stale { late_ms }),
            Some(0) | None => Ok(()),
        }
    }
}

/// The newest revision that a caller has seen of each feed: nobody may show it an older one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Horizon(BTreeMap<String, (u64, u64)>);

impl Horizon {
    /// Refuses an answer from before what was seen; else remembers it.
    pub fn check(&mut self, answer: &Answer) -> Result<(), SealError> {
        let Some(standing) = &answer.standing else { return Ok(()) };
        let at = (standing.epoch, standing.revision);
        let seen = self.0.get(&standing.feed).copied();
        if seen.is_none() && self.0.len() >= FEEDS_MAX {
            return Err(SealError::Content("more feeds than there are"));
        }
        if seen.is_some_and(|seen| at < seen) {
            return Err(SealError::RolledBack { feed: standing.feed.clone() });
        }
        self.0.insert(standing.feed.clone(), at);
        Ok(())
    }
}
