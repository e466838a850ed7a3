//! The messages of enrolment, as JSON over the newcomer's TLS channel.
//!
//! Fields that are not known are refused: a message of another version must not be half understood.

use serde::{Deserialize, Serialize};

use super::slip::SlipId;
use super::{Kind, MemberKey, MemberName};
use crate::ids::{InvalidName, SiteId};
use crate::seal::RingState;

/// Thirty-two bytes on the wire: a proof, a share, a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes32(pub [u8; 32]);

impl TryFrom<String> for Bytes32 {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(&text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(InvalidName {
                kind: "value",
                value: text.chars().take(64).collect(),
                rule: "64 hexadecimal digits",
            }),
        }
    }
}

impl From<Bytes32> for String {
    fn from(bytes: Bytes32) -> Self {
        hex::encode(bytes.0)
    }
}

/// What a newcomer wants to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// What it is; boxes are certified by head office and never here.
    pub kind: Kind,
    /// The name that it wants.
    pub name: MemberName,
    /// Its own key.
    pub key: MemberKey,
}

/// Enrolment by slip, in one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BySlip {
    /// Which slip.
    pub slip: SlipId,
    /// What is wanted.
    pub ask: Ask,
    /// That the sender holds the slip, on this very channel.
    pub proof: Bytes32,
}

/// Enrolment by code, first message and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeShare {
    /// The sender's share of the exchange.
    pub share: Bytes32,
}

/// Enrolment by code, second message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByCode {
    /// What is wanted.
    pub ask: Ask,
    /// That the sender knew the code.
    pub proof: Bytes32,
}

/// A request that a person answers, first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What is wanted.
    pub ask: Ask,
    /// The hash of the nonce that follows.
    pub commitment: Bytes32,
}

/// A nonce of either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nonce {
    /// The nonce.
    pub nonce: Bytes32,
}

/// What a member gets: its certificate and whom it believes from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The site.
    pub site: SiteId,
    /// What the member is called.
    pub name: MemberName,
    /// The certificates that it presents, its own first, each as base64 of its DER.
    pub chain: Vec<String>,
    /// The certificate of head office, whom it believes, as base64 of its DER.
    pub root: String,
    /// The key that signs lists of what was struck off, 64 hexadecimal digits.
    pub list_key: String,
    /// The sealing keys of the member's scope, the newest generation first; none where nothing is sealed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rings: Vec<RingState>,
}

/// The grant and the box's proof that it knew the secret too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    /// The JSON of a [`Grant`], to the letter as it was proven.
    pub grant: String,
    /// The proof.
    pub proof: Bytes32,
}
