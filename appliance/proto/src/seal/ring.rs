//! The keys of one site, scope and generation, epoch by epoch.
//!
//! ```text
//! site key ──▶ tag, shift, storage key          (for the life of the generation)
//!        └───▶ chain ─day─▶ chain ─day─▶ chain  (one way; the former is wiped)
//!                            └──▶ url, answer, write key of the epoch
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::SealError;
use super::derive::{Secret, derive, parts};
use crate::ids::SiteId;
use crate::time::Timestamp;

/// How long the key of an epoch seals.
pub const EPOCH: std::time::Duration = std::time::Duration::from_secs(EPOCH_S);
const EPOCH_S: u64 = 24 * 60 * 60;
/// Steps that a ring walks at once: a hundred years, 25 ms.
const STEPS_MAX: u32 = 36_525;

/// Who shares answers: whoever has the ring of a scope may read all that is shared in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Boxes among each other: feeds.
    Boxes,
    /// Tills of a shop: masterdata.
    Tills,
}

impl Scope {
    /// The word in keys, files and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boxes => "boxes",
            Self::Tills => "tills",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The secret that a generation begins with: 32 random bytes.
pub type SiteKey = Secret<32>;

/// What is visible of a key: which ring, and which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    /// Tells rings apart; made from the site key and says nothing about it.
    pub tag: [u8; 4],
    /// The day, counted from 1970 and shifted per site.
    pub epoch: u32,
}

impl KeyId {
    /// As it is bound into every seal.
    pub fn bytes(self) -> [u8; 8] {
        let [a, b, c, d] = self.tag;
        let [e, f, g, h] = self.epoch.to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.bytes()))
    }
}

impl FromStr for KeyId {
    type Err = SealError;
    fn from_str(text: &str) -> Result<Self, SealError> {
        let mut bytes = [0; 8];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| SealError::Shape)?;
        // One key id has one form, so that one request has one URL.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(SealError::Shape);
        }
        let [a, b, c, d, e, f, g, h] = bytes;
        Ok(Self { tag: [a, b, c, d], epoch: u32::from_be_bytes([e, f, g, h]) })
    }
}

/// The keys of one epoch.
#[derive(Debug, Clone)]
pub struct Keys {
    pub(super) kid: KeyId,
    pub(super) scope: Scope,
    pub(super) url: Secret<64>,
    pub(super) answer: Secret<32>,
    pub(super) write: Secret<32>,
}

impl Keys {
    /// What is visible of them.
    pub fn kid(&self) -> KeyId {
        self.kid
    }

    /// Who has them.
    pub fn scope(&self) -> Scope {
        self.scope
    }
}

/// The keys of one site, scope and generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    pub(super) state: RingState,
}

/// A ring as it is kept and handed over; its bearer can read and write in the scope from `epoch` on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RingState {
    /// The site that it belongs to.
    pub site: SiteId,
    /// Who shares it.
    pub scope: Scope,
    /// How often the site key was renewed; the newest seals.
    pub generation: u32,
    /// When it stops opening; set when a newer generation has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    tag: Hex<4>,
    shift_s: u32,
    epoch: u32,
    chain: Hex<32>,
    storage: Hex<32>,
}

/// A secret as hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Hex<const N: usize>(Secret<N>);

impl<const N: usize> TryFrom<String> for Hex<N> {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = Zeroizing::new(text);
        let mut bytes = Zeroizing::new([0; N]);
        hex::decode_to_slice(text.as_bytes(), &mut *bytes)?;
        Ok(Self(Secret::new(*bytes)))
    }
}

impl<const N: usize> From<Hex<N>> for String {
    fn from(hex: Hex<N>) -> Self {
        hex::encode(hex.0.expose())
    }
}

impl fmt::Debug for RingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { site, scope, generation, epoch, .. } = self;
        write!(f, "RingState({site} {scope} generation {generation} epoch {epoch} …)")
    }
}

impl Ring {
    /// A new generation.
    pub fn begin(
        key: &SiteKey,
        site: SiteId,
        scope: Scope,
        generation: u32,
        now: Timestamp,
    ) -> Self {
        let make = |purpose: &[u8]| {
            parts(&[
                purpose,
                site.as_str().as_bytes(),
                scope.as_str().as_bytes(),
                &generation.to_be_bytes(),
            ])
        };
        let tag = derive::<4>(key.expose(), &make(b"tag"));
        let shift = derive::<4>(key.expose(), &make(b"shift"));
        let chain = derive::<32>(key.expose(), &make(b"chain"));
        let storage = derive::<32>(key.expose(), &make(b"storage"));
        let day = u32::try_from(EPOCH_S).expect("a day is far below 4 billion seconds");
        let shift_s = u32::from_be_bytes(*shift.expose()) % day;
        let (tag, chain, storage) = (Hex(tag), Hex(chain), Hex(storage));
        let epoch = epoch_at(now, shift_s).saturating_sub(1);
        let state =
            RingState { site, scope, generation, until: None, tag, shift_s, epoch, chain, storage };
        Self { state }
    }

    /// The ring that was kept or handed over.
    pub fn resume(state: RingState) -> Self {
        Self { state }
    }

    /// As it is kept and handed over.
    pub fn state(&self) -> &RingState {
        &self.state
    }

    /// The epoch at this time.
    pub fn epoch_at(&self, now: Timestamp) -> u32 {
        epoch_at(now, self.state.shift_s)
    }

    /// When this epoch ends.
    pub fn end_of(&self, epoch: u32) -> Timestamp {
        let end_s = (u64::from(epoch) + 1) * EPOCH_S;
        let end_s = end_s.saturating_sub(u64::from(self.state.shift_s));
        Timestamp::from_unix_ms(i64::try_from(end_s.saturating_mul(1000)).unwrap_or(i64::MAX))
    }

    /// Whether it still opens.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.state.until.is_none_or(|until| now < until)
    }

    /// What tells it from other rings in a key id.
    pub fn tag(&self) -> [u8; 4] {
        *self.state.tag.0.expose()
    }

    /// The keys of an epoch, unless it is over and forgotten or too far away.
    pub fn keys(&self, epoch: u32) -> Option<Keys> {
        let chain = self.chain_at(epoch)?;
        Some(Keys {
            kid: KeyId { tag: self.tag(), epoch },
            scope: self.state.scope,
            url: derive(chain.expose(), b"url"),
            answer: derive(chain.expose(), b"answer"),
            write: derive(chain.expose(), b"write"),
        })
    }

    /// Forgets all epochs before the one that precedes `proven`, a time that has certainly come.
    ///
    /// Never called with a clock that nobody vouches for: what is forgotten does not return.
    pub fn forget_before(&mut self, proven: Timestamp) -> bool {
        let epoch = self.epoch_at(proven).saturating_sub(1);
        if epoch <= self.state.epoch {
            return false;
        }
        let Some(chain) = self.chain_at(epoch) else { return false };
        self.state.chain = Hex(chain);
        self.state.epoch = epoch;
        true
    }

    /// The key under which storage keeps things, for the life of the generation.
    pub(super) fn storage(&self) -> &Secret<32> {
        &self.state.storage.0
    }

    fn chain_at(&self, epoch: u32) -> Option<Secret<32>> {
        let steps = epoch.checked_sub(self.state.epoch).filter(|&steps| steps <= STEPS_MAX)?;
        let mut chain = self.state.chain.0.clone();
        for _ in 0..steps {
            chain = derive(chain.expose(), b"ratchet");
        }
        Some(chain)
    }
}

fn epoch_at(now: Timestamp, shift_s: u32) -> u32 {
    let now_s = u64::try_from(now.unix_ms()).unwrap_or(0) / 1000 + u64::from(shift_s);
    u32::try_from(now_s / EPOCH_S).unwrap_or(u32::MAX)
}
