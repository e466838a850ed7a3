//! Signed proof that a node has a transaction.
//!
//! The signature (Ed25519, RFC 8032) is over the text of [`Receipt::signed_text`], which names every field;
//! `node` tells whose key verifies it.
//! A box in a shop says how far its clock may be believed; head office, whose clock is set, does not.

use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::ids::{Hash32, NodeId, TxKey};
use crate::time::{ClockConfidence, Timestamp};

/// How safe a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// G1: on this node's disk, flushed.
    Held,
    /// G2: on two nodes.
    Mirrored,
    /// G3: the main server has it; the only grade that counts as synchronised.
    Settled,
    /// G4: digests compared.
    Reconciled,
}

impl Grade {
    /// The word on the wire and in the console.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Mirrored => "mirrored",
            Self::Settled => "settled",
            Self::Reconciled => "reconciled",
        }
    }
}

/// What a node says about a transaction, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The transaction.
    pub key: TxKey,
    /// Its content.
    pub digest: Hash32,
    /// How safe it is here.
    pub grade: Grade,
    /// Who says so.
    pub node: NodeId,
    /// The node's own number of the transaction.
    pub position: u64,
    /// When the node took it, by its own clock.
    pub at: Timestamp,
    /// How far that clock may be believed; nothing: the node says nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockConfidence>,
    /// Ed25519 over [`Receipt::signed_text`], 128 hexadecimal digits.
    pub signature: String,
}

/// What a receipt says before it is signed, which is what makes it dear: once for each.
#[derive(Debug, Clone)]
pub struct Statement(Receipt);

impl Statement {
    /// The same by a clock that may be believed so far.
    #[must_use]
    pub fn by_clock(self, clock: ClockConfidence) -> Self {
        Self(Receipt { clock: Some(clock), ..self.0 })
    }

    /// Signs it.
    pub fn sign(self, signer: &SigningKey) -> Receipt {
        let mut receipt = self.0;
        receipt.signature = hex::encode(signer.sign(receipt.signed_text().as_bytes()).to_bytes());
        receipt
    }
}

impl Receipt {
    /// What is to be signed; it says nothing of the clock.
    pub fn state(
        key: TxKey,
        digest: Hash32,
        grade: Grade,
        node: &NodeId,
        position: u64,
        at: Timestamp,
    ) -> Statement {
        let node = node.clone();
        let (clock, signature) = (None, String::new());
        Statement(Self { key, digest, grade, node, position, at, clock, signature })
    }

    /// Whether this key signed exactly these fields.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        let mut bytes = [0; 64];
        hex::decode_to_slice(&self.signature, &mut bytes).is_ok()
            && key.verify(self.signed_text().as_bytes(), &Signature::from_bytes(&bytes)).is_ok()
    }

    /// The text that is signed.
    pub fn signed_text(&self) -> String {
        let Self { key, digest, grade, node, position, at, clock, signature: _ } = self;
        let grade = grade.as_str();
        let (version, end) = match clock {
            None => ("v1", String::new()),
            Some(clock) => ("v2", format!("{}\n", clock.as_str())),
        };
        format!(
            "storebox-receipt-{version}\n{key}\n{digest}\n{grade}\n{node}\n{position}\n{at}\n{end}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_receipt_is_not_believed() {
        let signer = SigningKey::from_bytes(&[7; 32]);
        let key: TxKey = "0192d3a4-5b6c-7d8e-9f00-112233445566".parse().unwrap();
        let node: NodeId = "store-17".parse().unwrap();
        let at = Timestamp::from_unix_ms(1_795_341_720_000);
        let statement = Receipt::state(key, Hash32::of(b"x"), Grade::Held, &node, 4, at);
        let receipt = statement.clone().sign(&signer);
        assert!(receipt.is_signed_by(&signer.verifying_key()));
        let mut forged = receipt.clone();
        forged.grade = Grade::Settled;
        assert!(!forged.is_signed_by(&signer.verifying_key()));
        let mut cut = receipt.clone();
        cut.signature.pop();
        assert!(!cut.is_signed_by(&signer.verifying_key()));
        let doubtful = statement.by_clock(ClockConfidence::Wrong).sign(&signer);
        assert!(doubtful.is_signed_by(&signer.verifying_key()));
        let sure = Receipt { clock: Some(ClockConfidence::Synchronised), ..doubtful.clone() };
        assert!(!sure.is_signed_by(&signer.verifying_key()));
        let silent = Receipt { clock: None, ..doubtful };
        assert!(!silent.is_signed_by(&signer.verifying_key()));
    }
}
