//! Proofs that bind what is said to a secret and to the channel on which it is said.
//!
//! Every part goes in with its length before it, so that no two different sets of parts read the same.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Secret;
use super::words::{Ask, Bytes32};

/// Keying material that TLS exports from one channel (RFC 8446, 7.5) under [`EXPORTER_LABEL`].
pub type Channel = [u8; 32];

/// The label under which the channel is exported.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-storebox-enrol";

/// That the newcomer knows the secret.
pub(super) fn of_newcomer(key: &Secret<32>, channel: &Channel, ask: &Ask) -> Bytes32 {
    mac(key, &parts_of(b"storebox/enrol/1/join", channel, ask))
}

/// That the box knows the secret, over all that it grants.
pub(super) fn of_box(key: &Secret<32>, channel: &Channel, grant: &str) -> Bytes32 {
    mac(key, &[b"storebox/enrol/1/grant", channel, grant.as_bytes()])
}

/// The key of a proof from a secret that was printed.
pub(super) fn key_of_slip(secret: &Secret<16>) -> Secret<32> {
    derive(b"storebox/enrol/1/slip", secret.reveal())
}

/// The key of a proof from an exchange.
pub(super) fn key_of_code(secret: &Secret<64>) -> Secret<32> {
    derive(b"storebox/enrol/1/code", secret.reveal())
}

/// The key of a proof for a request: no secret stands behind it, the compared number does.
pub(super) fn key_of_request(newcomer: &Bytes32, of_box: &Bytes32) -> Secret<32> {
    derive(b"storebox/enrol/1/request", &[newcomer.0, of_box.0].concat())
}

/// What a nonce is announced by.
pub(super) fn commitment(channel: &Channel, ask: &Ask, nonce: &Bytes32) -> Bytes32 {
    let mut parts = parts_of(b"storebox/enrol/1/commit", channel, ask);
    parts.push(&nonce.0);
    Bytes32(hash(&parts))
}

/// Eight digits that both sides show; neither could choose its nonce knowing the other's.
pub(super) fn number(channel: &Channel, ask: &Ask, newcomer: &Bytes32, of_box: &Bytes32) -> String {
    let mut parts = parts_of(b"storebox/enrol/1/number", channel, ask);
    parts.extend([&newcomer.0[..], &of_box.0[..]]);
    let hash = hash(&parts);
    let number = u64::from_be_bytes(hash[..8].try_into().expect("eight bytes of thirty-two"));
    let digits = format!("{:08}", number % 100_000_000);
    format!("{} {}", &digits[..4], &digits[4..])
}

/// Compares without telling how much was right.
pub(super) fn is_same(wanted: &Bytes32, given: &Bytes32) -> bool {
    wanted.0.ct_eq(&given.0).into()
}

fn parts_of<'a>(context: &'a [u8], channel: &'a Channel, ask: &'a Ask) -> Vec<&'a [u8]> {
    let (kind, name) = (ask.kind.as_str().as_bytes(), ask.name.as_str().as_bytes());
    vec![context, channel, kind, name, ask.key.point()]
}

fn derive(context: &[u8], secret: &[u8]) -> Secret<32> {
    let key = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    Secret::new(key.chain_update(context).finalize().into_bytes().into())
}

fn mac(key: &Secret<32>, parts: &[&[u8]]) -> Bytes32 {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.reveal()).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    Bytes32(mac.finalize().into_bytes().into())
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
