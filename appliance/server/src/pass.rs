//! By what a box is known at another: a token of its own, or the secret that all boxes of a store share.
//!
//! The shared secret never leaves the box: a request carries a keyed hash over its method, its path, its sender, a nonce
//! and its body, and an answer proves itself over the same nonce.
//! So a stranger who announces itself as a neighbour learns nothing that it could use, and is given nothing.
//! A request that is played again is believed again, so what it does must be harmless twice: reads are reads,
//! transactions have keys, and a hello next door and a list for a mirror carry what the other side asked for last, which
//! counts once.
//! Until boxes of a store have certificates this is what makes them neighbours; it does not hide what is said.

use std::fmt;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use storebox_proto::ids::{Hash32, NodeId};
use storebox_proto::skew;

use crate::env;

/// Begins the header of a request that is known by the shared secret.
pub const SCHEME: &str = "Storebox-Site";
/// The header in which an answer proves that it comes from a box of the store.
pub const PROOF: &str = "storebox-proof";
/// The context of the key: a secret is never used for two purposes.
const CONTEXT: &str = "storebox 2026-11-22 requests between boxes of a store";

/// What all boxes of a store share; never printed.
#[derive(Clone)]
pub struct SiteSecret([u8; 32]);

impl fmt::Debug for SiteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// How a box shows who it is.
#[derive(Clone)]
pub enum Pass {
    /// A token that the other side gave it.
    Token(String),
    /// The secret of the store, under this name.
    Site(SiteSecret, NodeId),
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token(…)"),
            Self::Site(_, node) => write!(f, "Site({node})"),
        }
    }
}

/// A request that is about to be sent.
#[derive(Debug)]
pub struct Shown {
    /// The value of its `Authorization` header.
    pub header: String,
    /// What the answer must prove; nothing if it need not.
    pub proof: Option<String>,
}

impl Pass {
    /// What to send with a request; the path has its query.
    pub fn show(&self, method: &str, path: &str, body: &[u8]) -> Shown {
        match self {
            Self::Token(token) => Shown { header: format!("Bearer {token}"), proof: None },
            Self::Site(secret, node) => {
                let nonce = hex::encode(env::random::<16>());
                let body = Hash32::of(body);
                let mac =
                    secret.mac(&["ask", method, path, node.as_str(), &nonce, &body.to_string()]);
                let header = format!("{SCHEME} {node} {nonce} {body} {mac}");
                Shown { header, proof: Some(secret.mac(&["answer", &nonce])) }
            }
        }
    }
}

/// A request that came with the shared secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who sends it.
    pub node: NodeId,
    /// The hash that its body must have.
    pub body: Hash32,
    /// What the answer carries.
    pub proof: String,
}

impl SiteSecret {
    /// From the text of a file.
    pub fn new(text: &str) -> Self {
        Self(blake3::derive_key(CONTEXT, text.as_bytes()))
    }

    /// Who sends a request, if its header proves it; the path has its query.
    pub fn check(&self, header: &str, method: &str, path: &str) -> Option<Claim> {
        let mut parts = header.strip_prefix(SCHEME)?.strip_prefix(' ')?.split(' ');
        let (node, nonce, body, mac) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let expected = self.mac(&["ask", method, path, node, nonce, body]);
        // Both are hashes that a caller cannot steer towards each other; compared in constant time all the same.
        let same = blake3::Hash::from_hex(mac).ok()? == blake3::Hash::from_hex(expected).ok()?;
        let (node, body) = (node.parse().ok()?, body.parse().ok()?);
        same.then(|| Claim { node, body, proof: self.mac(&["answer", nonce]) })
    }

    /// Says of this text that a box of the store wrote it, in answer to this challenge.
    pub fn vouch(&self, challenge: &str, text: &str) -> String {
        self.mac(&["card", challenge, text])
    }

    /// Whether a box of the store has said so.
    pub fn has_vouched(&self, seal: &str, challenge: &str, text: &str) -> bool {
        let expected = blake3::Hash::from_hex(self.vouch(challenge, text));
        blake3::Hash::from_hex(seal)
            .is_ok_and(|seal| expected.is_ok_and(|expected| seal == expected))
    }

    fn mac(&self, parts: &[&str]) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// What every request of this box to another says of itself: the version that it speaks.
pub fn version() -> HeaderMap {
    let said = (HeaderName::from_static(skew::HEADER), HeaderValue::from(skew::API));
    HeaderMap::from_iter([said])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_the_secret_and_by_nothing_else() {
        let (ours, others) = (SiteSecret::new("the store's"), SiteSecret::new("another's"));
        let pass = Pass::Site(ours.clone(), "store-2".parse().unwrap());
        let shown = pass.show("POST", "/sync/v1/transactions", b"{}");
        let check =
            |secret: &SiteSecret, header: &str, method, path| secret.check(header, method, path);
        let path = "/sync/v1/transactions";
        let claim = check(&ours, &shown.header, "POST", path).unwrap();
        assert_eq!((claim.node.as_str(), claim.body), ("store-2", Hash32::of(b"{}")));
        assert_eq!(Some(claim.proof), shown.proof);
        assert_eq!(check(&others, &shown.header, "POST", path), None);
        assert_eq!(check(&ours, &shown.header, "GET", path), None);
        assert_eq!(check(&ours, &shown.header, "POST", "/sync/v1/feeds"), None);
        let renamed = shown.header.replace("store-2", "store-3");
        assert_eq!(check(&ours, &renamed, "POST", path), None);
        for bad in ["", "Bearer x", "Storebox-Site", "Storebox-Site a b c d"] {
            assert_eq!(check(&ours, bad, "POST", path), None, "{bad}");
        }
        assert!(!format!("{pass:?} {ours:?}").contains("store's"));
    }
}
