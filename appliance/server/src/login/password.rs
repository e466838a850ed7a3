//! Passwords and PINs: argon2id with a pepper that no record holds.
//!
//! A PIN has so few values that its hash alone would be guessed in minutes; without the pepper, which lies in the
//! vault of the boxes and nowhere in masterdata, a copy of the records is worth nothing.
//! The text form is the usual one: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

/// What new hashes cost: 19 MiB and two passes, about 50 ms on a small box.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// What a record may ask for; more would let masterdata exhaust the box.
const MEMORY_KIB_MAX: u32 = 64 * 1024;
const PASSES_MAX: u32 = 4;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// The secret part of every hash of a site.
pub(super) type Pepper = Zeroizing<[u8; 32]>;

/// A hash as a record holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hashed {
    memory_kib: u32,
    passes: u32,
    salt: Vec<u8>,
    hash: [u8; HASH_BYTES],
}

impl Hashed {
    /// Reads the text form, within what a box is ready to spend.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let (costs, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let mut costs = costs.split(',');
        let memory_kib = costs.next()?.strip_prefix("m=")?.parse().ok()?;
        let passes = costs.next()?.strip_prefix("t=")?.parse().ok()?;
        let is_single = costs.next()? == "p=1" && costs.next().is_none() && parts.next().is_none();
        let affordable =
            (8..=MEMORY_KIB_MAX).contains(&memory_kib) && (1..=PASSES_MAX).contains(&passes);
        let salt = STANDARD_NO_PAD.decode(salt).ok()?;
        let hash = STANDARD_NO_PAD.decode(hash).ok()?.try_into().ok()?;
        let good = is_single && affordable && (8..=64).contains(&salt.len());
        good.then_some(Self { memory_kib, passes, salt, hash })
    }

    /// Something to compare with when there is no such user: the answer takes as long.
    pub(super) fn nobody() -> Self {
        let (salt, hash) = (vec![0; SALT_BYTES], [0; HASH_BYTES]);
        Self { memory_kib: MEMORY_KIB, passes: PASSES, salt, hash }
    }

    /// Whether this is the password; takes long, and as long for every password.
    pub(super) fn is(&self, password: &str, pepper: &Pepper) -> bool {
        let made = compute(password, pepper, &self.salt, self.memory_kib, self.passes);
        // The hashes of both sides through another hash: what can be learned from how long this takes is worthless.
        made.is_some_and(|made| blake3::hash(&*made) == blake3::hash(&self.hash))
    }
}

/// The text form for a new record.
pub(super) fn hash(password: &str, pepper: &Pepper, salt: [u8; SALT_BYTES]) -> Option<String> {
    let hash = compute(password, pepper, &salt, MEMORY_KIB, PASSES)?;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(*hash));
    Some(format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${salt}${hash}"))
}

fn compute(
    password: &str,
    pepper: &Pepper,
    salt: &[u8],
    memory_kib: u32,
    passes: u32,
) -> Option<Zeroizing<[u8; HASH_BYTES]>> {
    let params = Params::new(memory_kib, passes, 1, Some(HASH_BYTES)).ok()?;
    let argon = Argon2::new_with_secret(&**pepper, Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = Zeroizing::new([0; HASH_BYTES]);
    argon.ok()?.hash_password_into(password.as_bytes(), salt, &mut *hash).ok()?;
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_with_its_pepper_only() {
        let pepper = Zeroizing::new([1; 32]);
        let text = hash("4711", &pepper, [2; SALT_BYTES]).unwrap();
        let hashed = Hashed::parse(&text).unwrap();
        assert!(hashed.is("4711", &pepper));
        assert!(!hashed.is("4712", &pepper));
        assert!(!hashed.is("4711", &Zeroizing::new([3; 32])), "a stolen record is worth nothing");
        assert!(!Hashed::nobody().is("", &pepper));
    }

    #[test]
    fn a_record_cannot_make_the_box_spend_more_than_it_will() {
        let good = "$argon2id$v=19$m=19456,t=2,p=1$AgICAgICAgICAgICAgICAg$";
        let hash = STANDARD_NO_PAD.encode([0; HASH_BYTES]);
        assert!(Hashed::parse(&format!("{good}{hash}")).is_some());
        for (from, to) in [
            ("m=19456", "m=1048576"),
            ("t=2", "t=50"),
            ("p=1", "p=8"),
            ("argon2id", "argon2i"),
            ("v=19", "v=16"),
            ("$AgICAgICAgICAgICAgICAg", "$AgI"),
        ] {
            assert!(Hashed::parse(&format!("{good}{hash}").replace(from, to)).is_none(), "{to}");
        }
        assert!(Hashed::parse(&format!("{good}{hash}$more")).is_none());
        assert!(Hashed::parse("4711").is_none());
    }
}
