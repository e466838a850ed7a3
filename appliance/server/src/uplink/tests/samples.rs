//! Boxes and transactions for tests.

use std::path::Path;

use ed25519_dalek::SigningKey;
use storebox_proto::ids::{SinkId, TxKey};
use storebox_proto::sync::outbox::SinkDef;
use storebox_proto::ticket::Envelope;

use crate::uplink::{LedgerOptions, OutboxOptions};

pub(in crate::uplink) fn key(number: u64) -> TxKey {
    TxKey(uuid::Uuid::from_u128(0x0192_d3a4_5b6c_7000_8000_0000_0000_0000 + u128::from(number)))
}

/// The number that a key was made from.
pub(in crate::uplink) fn number(key: TxKey) -> u64 {
    u64::try_from(key.0.as_u128() & 0xFFFF_FFFF).unwrap()
}

/// Sale `number` of terminal `till-<till>`; its content follows from these alone.
pub(in crate::uplink) fn sale(number: u64, till: u64, sequence: u64, bytes: usize) -> Envelope {
    let filler: String = ('a'..='z').cycle().take(bytes).collect();
    serde_json::from_value(serde_json::json!({
        "key": key(number), "kind": "Order", "terminal": format!("till-{till}"), "epoch": 1,
        "sequence": sequence, "lane": format!("ticket:{number}"),
        "occurredAt": "2026-11-22T10:02:00Z", "clock": "synchronised",
        "payload": {"id": format!("order-{number}"), "gross": "12.30", "filler": filler},
    }))
    .unwrap()
}

pub(in crate::uplink) fn main_sink() -> SinkId {
    "main".parse().unwrap()
}

pub(in crate::uplink) fn signer(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

pub(in crate::uplink) fn store_options(dir: &Path) -> OutboxOptions {
    let sinks = vec![SinkDef { id: main_sink(), authoritative: true }];
    OutboxOptions::new(dir.join("outbox"), sinks, "store-1".parse().unwrap(), signer(1))
}

pub(in crate::uplink) fn main_options(dir: &Path) -> LedgerOptions {
    LedgerOptions::new(dir.join("ledger"), "main".parse().unwrap(), signer(2))
}
