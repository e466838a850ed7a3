//! Signed proof that a node has a transaction.
//!
//! The signature (Ed25519, RFC 8032) is over the text of [`Receipt::signed_text`], which names every field;
//! `node` tells whose key verifies it.
//! What a box flushed to its disk together it signs together, because a signature is the dearest part of an answer:
//! then the signature is over [`batch_text`], the root of a Merkle tree (RFC 9162) of these texts, and `batch` leads
//! from the receipt's own text to that root.
//! A box in a shop says how far its clock may be believed; head office, whose clock is set, does not.

use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::merkle::{self, Inclusion, Node, Tree};
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
    /// Its place among those that were signed with it; nothing: it was signed alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Inclusion>,
    /// Ed25519 over [`Receipt::signed_text`], or over [`batch_text`] if there is a batch; 128 hexadecimal digits.
    pub signature: String,
}

/// What a receipt says before it is signed, which is what makes it dear.
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
        receipt.signature = signature(signer, &receipt.signed_text());
        receipt
    }
}

/// What was said together, signed once.
#[derive(Debug, Clone)]
pub struct Signed {
    receipts: Vec<Receipt>,
    /// Nothing for one that stands alone.
    tree: Option<Tree>,
    signature: String,
}

impl Signed {
    /// Signs all of these.
    pub fn sign(statements: Vec<Statement>, signer: &SigningKey) -> Self {
        let receipts: Vec<Receipt> = statements.into_iter().map(|statement| statement.0).collect();
        if let [alone] = &*receipts {
            let signature = signature(signer, &alone.signed_text());
            return Self { receipts, tree: None, signature };
        }
        let leaves = receipts.iter().map(|receipt| merkle::leaf(receipt.signed_text().as_bytes()));
        let tree = Tree::over(leaves.collect());
        let text = tree.as_ref().map(|tree| batch_text(tree.size(), tree.root()));
        let signature = text.map(|text| signature(signer, &text)).unwrap_or_default();
        Self { receipts, tree, signature }
    }

    /// One of them, in the order in which they were said.
    pub fn receipt(&self, index: usize) -> Option<Receipt> {
        let mut receipt = self.receipts.get(index)?.clone();
        receipt.batch = self.tree.as_ref().map(|tree| tree.prove(index));
        receipt.signature.clone_from(&self.signature);
        Some(receipt)
    }
}

/// The text that is signed for receipts that are signed together.
pub fn batch_text(size: usize, root: &Node) -> String {
    format!("storebox-receipts-v1\n{size}\n{}\n", hex::encode(root))
}

fn signature(signer: &SigningKey, text: &str) -> String {
    hex::encode(signer.sign(text.as_bytes()).to_bytes())
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
        let (clock, batch, signature) = (None, None, String::new());
        Statement(Self { key, digest, grade, node, position, at, clock, batch, signature })
    }

    /// Whether this key signed exactly these fields.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        let own = self.signed_text();
        let text = match &self.batch {
            None => own,
            Some(batch) => match batch.root(merkle::leaf(own.as_bytes())) {
                Some(root) => batch_text(batch.size as usize, &root),
                None => return false,
            },
        };
        let mut bytes = [0; 64];
        hex::decode_to_slice(&self.signature, &mut bytes).is_ok()
            && key.verify(text.as_bytes(), &Signature::from_bytes(&bytes)).is_ok()
    }

    /// The text that is signed, or that is a leaf of what is signed.
    pub fn signed_text(&self) -> String {
        let Self { key, digest, grade, node, position, at, clock, batch: _, signature: _ } = self;
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

    #[test]
    fn what_is_signed_together_is_believed_one_by_one_and_for_nothing_else() {
        let signer = SigningKey::from_bytes(&[7; 32]);
        let key = signer.verifying_key();
        let node: NodeId = "store-17".parse().unwrap();
        let at = Timestamp::from_unix_ms(1_795_341_720_000);
        let say = |number: u128| {
            let name = TxKey(uuid::Uuid::from_u128(number));
            Receipt::state(name, Hash32::of(b"x"), Grade::Held, &node, 4, at)
        };
        for size in 1..=9 {
            let signed = Signed::sign((0..size).map(say).collect(), &signer);
            let receipts: Vec<Receipt> = (0..).map_while(|index| signed.receipt(index)).collect();
            assert_eq!(receipts.len() as u128, size);
            for receipt in &receipts {
                assert!(receipt.is_signed_by(&key));
                assert_eq!(receipt.batch.is_none(), size == 1, "one alone is signed as ever");
                let text = serde_json::to_string(receipt).unwrap();
                assert_eq!(serde_json::from_str::<Receipt>(&text).unwrap(), *receipt);
                let forged = Receipt { grade: Grade::Settled, ..receipt.clone() };
                assert!(!forged.is_signed_by(&key));
                let alone = Receipt { batch: None, ..receipt.clone() };
                assert_eq!(alone.is_signed_by(&key), size == 1);
            }
            let other =
                Receipt { batch: receipts[0].batch.clone(), ..receipts[size as usize - 1].clone() };
            assert_eq!(other.is_signed_by(&key), size == 1, "a place is one receipt's");
        }
        assert!(Signed::sign(Vec::new(), &signer).receipt(0).is_none());
    }
}
