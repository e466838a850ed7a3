//! A transaction as a till hands it over.
//!
//! The content digest is taken over the canonical form (the JSON with sorted keys and without spaces),
//! so that a till which sends the same sale again with other spacing is understood as the same.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{Hash32, LaneId, TerminalId, TxKey, TxKind};
use crate::limits;
use crate::time::{ClockConfidence, Timestamp};

/// A transaction with all that its way to head office needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// Minted by the till (UUIDv7); the same sale has the same key for ever.
    pub key: TxKey,
    /// `Order`, `CashUp`, `CashManagement`, `ChangedBusinessPartners`, …
    pub kind: TxKind,
    /// Who sold it; must be the terminal that the token belongs to.
    pub terminal: TerminalId,
    /// Grows by one whenever the till has lost its memory of sequence numbers.
    pub epoch: u32,
    /// Gap-free within terminal and epoch, from 1.
    pub sequence: u64,
    /// The aggregate whose transactions stay in order.
    pub lane: LaneId,
    /// Transactions that must be settled first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TxKey>,
    /// The cash session; a `CashUp` waits for every transaction of its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// When it happened, by the clock of the till.
    pub occurred_at: Timestamp,
    /// How far that clock may be believed.
    pub clock: ClockConfidence,
    /// The business content.
    pub payload: Map<String, Value>,
}

/// Why bytes are not an envelope.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Too many bytes.
    #[error("transaction is {bytes} bytes, the limit is {max}")]
    TooLarge {
        /// What arrived.
        bytes: usize,
        /// What may arrive.
        max: usize,
    },
    /// Not JSON, or not of this shape.
    #[error("transaction is not understood: {0}")]
    Malformed(#[source] serde_json::Error),
    /// A field has a value that it may not have.
    #[error("field {field}: {rule}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its rule.
        rule: &'static str,
    },
}

/// The kind that waits for its whole session.
pub const CASH_UP: &str = "CashUp";

impl Envelope {
    /// Reads and checks one envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > limits::ENVELOPE_BYTES_MAX {
            let max = limits::ENVELOPE_BYTES_MAX;
            return Err(EnvelopeError::TooLarge { bytes: bytes.len(), max });
        }
        let envelope: Self = serde_json::from_slice(bytes).map_err(EnvelopeError::Malformed)?;
        envelope.check()?;
        Ok(envelope)
    }

    /// The rules that the types alone do not carry.
    pub fn check(&self) -> Result<(), EnvelopeError> {
        let refuse = |field, rule| Err(EnvelopeError::Field { field, rule });
        if self.key.0.get_version_num() != 7 {
            return refuse("key", "must be a UUID of version 7");
        }
        if self.sequence == 0 {
            return refuse("sequence", "starts at 1");
        }
        if self.depends_on.len() > limits::DEPENDS_MAX {
            return refuse("dependsOn", "at most 64 keys");
        }
        if self.depends_on.contains(&self.key) {
            return refuse("dependsOn", "must not name the transaction itself");
        }
        if self.session.as_ref().is_some_and(|s| s.is_empty() || s.len() > 128) {
            return refuse("session", "1 to 128 bytes");
        }
        if self.kind.as_str() == CASH_UP && self.session.is_none() {
            return refuse("session", "a CashUp must name its session");
        }
        Ok(())
    }

    /// The bytes that are stored, sent and digested.
    pub fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an envelope is plain data with string keys")
    }

    /// The digest of the canonical bytes.
    pub fn digest(&self) -> Hash32 {
        Hash32::of(&self.canonical())
    }

    /// Whether this has to wait for another one that was accepted before it.
    pub fn waits_for(&self, earlier: &Self) -> bool {
        let closes_its_session = self.kind.as_str() == CASH_UP
            && self.session.is_some()
            && self.session == earlier.session;
        self.lane == earlier.lane || closes_its_session || self.depends_on.contains(&earlier.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALE: &str = r#"{"key":"0192d3a4-5b6c-7d8e-9f00-112233445566","kind":"Order","terminal":"till-1",
        "epoch":1,"sequence":7,"lane":"ticket:7","occurredAt":"2026-11-22T10:02:00Z","clock":"synchronised",
        "payload":{"gross":"12.30","lines":[{"quantity":1,"productId":"25671"}]}}"#;

    #[test]
    fn spacing_and_key_order_do_not_change_the_digest() {
        let one = Envelope::parse(SALE.as_bytes()).unwrap();
        let value: Value = serde_json::from_str(SALE).unwrap();
        let two = Envelope::parse(value.to_string().as_bytes()).unwrap();
        assert_eq!(one.digest(), two.digest());
        let other = Envelope::parse(SALE.replace("12.30", "12.31").as_bytes()).unwrap();
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn canonical_bytes_read_back_as_the_same_envelope() {
        let sale = Envelope::parse(SALE.as_bytes()).unwrap();
        assert_eq!(Envelope::parse(&sale.canonical()).unwrap(), sale);
    }

    #[test]
    fn a_number_is_read_exactly_so_that_reading_again_changes_no_digest() {
        for number in ["-5.684341886080802e-14", "0.1", "1.7976931348623157e308", "-0.0"] {
            let text = SALE.replace("\"12.30\"", number);
            let sale = Envelope::parse(text.as_bytes()).unwrap();
            let again = Envelope::parse(&sale.canonical()).unwrap();
            assert_eq!(again.digest(), sale.digest(), "{number}");
            assert_eq!(sale.payload["gross"].as_f64(), number.parse().ok(), "{number}");
        }
    }

    #[test]
    fn a_broken_rule_names_its_field() {
        let bad = SALE.replace("-7d8e-", "-4d8e-");
        let error = Envelope::parse(bad.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "field key: must be a UUID of version 7");
        let bad = SALE.replace("\"sequence\":7", "\"sequence\":0");
        assert!(Envelope::parse(bad.as_bytes()).is_err());
        let bad = SALE.replace("\"Order\"", "\"CashUp\"");
        assert!(Envelope::parse(bad.as_bytes()).is_err());
        let bad = SALE.replace("\"epoch\"", "\"epok\"");
        assert!(
            Envelope::parse(bad.as_bytes()).unwrap_err().to_string().contains("not understood")
        );
    }
}
