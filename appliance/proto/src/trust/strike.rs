//! The list of keys that were struck off: signed by head office, carried by anybody, believed by everybody.
//!
//! It travels as a record of the estate feed (model `StrikeList`), so it arrives over whatever brings masterdata and
//! needs no internet.
//! Its number only grows: an older list never takes the place of a newer one.
//! One entry strikes a key off, and with it all that this key has certified: a stolen box is one act.

use std::collections::BTreeSet;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::Fingerprint;
use crate::limits::{STRIKE_LIST_BYTES_MAX, STRUCK_MAX};
use crate::time::Timestamp;

/// The model of the estate feed that carries the list.
pub const MODEL: &str = "StrikeList";
/// The only record of that model.
pub const RECORD: &str = "current";
/// Signed before the payload, so that no other signature of the key is a list.
const CONTEXT: &[u8] = b"storebox/strike-list/1\n";

/// One key that is not believed any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Struck {
    /// The key.
    pub key: Fingerprint,
    /// Whose it was, for people.
    pub of: String,
    /// When it was struck off.
    pub at: Timestamp,
}

/// The list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrikeList {
    /// Grows with every change.
    pub number: u64,
    /// When it was made.
    pub made: Timestamp,
    /// The keys.
    pub struck: Vec<Struck>,
}

/// The list as it travels and rests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The JSON of the list, to the letter as it was signed.
    pub list: String,
    /// 128 hexadecimal digits.
    pub signature: String,
}

/// Why a list is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListRefused {
    /// Longer than any list.
    #[error("the list has more than {STRIKE_LIST_BYTES_MAX} bytes or {STRUCK_MAX} entries")]
    Large,
    /// Another key has signed it, or it was changed.
    #[error("the list is not signed by head office")]
    Signature,
    /// Signed, but not a list of this version.
    #[error("the list cannot be read")]
    Content,
}

impl StrikeList {
    /// The list before anything was struck off.
    pub fn empty(now: Timestamp) -> Self {
        Self { number: 0, made: now, struck: Vec::new() }
    }

    /// Adds a key, once.
    pub fn strike(&mut self, struck: Struck) -> Result<(), ListRefused> {
        if self.struck.iter().any(|known| known.key == struck.key) {
            return Ok(());
        }
        if self.struck.len() >= STRUCK_MAX {
            return Err(ListRefused::Large);
        }
        self.made = self.made.max(struck.at);
        self.number += 1;
        self.struck.push(struck);
        Ok(())
    }

    /// The keys, for looking up.
    pub fn keys(&self) -> BTreeSet<Fingerprint> {
        self.struck.iter().map(|struck| struck.key).collect()
    }

    /// The list with a signature.
    pub fn sign(&self, key: &SigningKey) -> Result<Signed, ListRefused> {
        let list = serde_json::to_string(self).expect("names, numbers and times are JSON");
        if list.len() > STRIKE_LIST_BYTES_MAX {
            return Err(ListRefused::Large);
        }
        let signature = key.sign(&text(&list));
        Ok(Signed { list, signature: hex::encode(signature.to_bytes()) })
    }
}

impl Signed {
    /// The list, if this key has signed it.
    pub fn open(&self, key: &VerifyingKey) -> Result<StrikeList, ListRefused> {
        if self.list.len() > STRIKE_LIST_BYTES_MAX {
            return Err(ListRefused::Large);
        }
        let mut signature = [0; 64];
        hex::decode_to_slice(&self.signature, &mut signature)
            .map_err(|_| ListRefused::Signature)?;
        key.verify_strict(&text(&self.list), &Signature::from_bytes(&signature))
            .map_err(|_| ListRefused::Signature)?;
        let list: StrikeList =
            serde_json::from_str(&self.list).map_err(|_| ListRefused::Content)?;
        if list.struck.len() > STRUCK_MAX {
            return Err(ListRefused::Large);
        }
        Ok(list)
    }
}

fn text(list: &str) -> Vec<u8> {
    [CONTEXT, list.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signed() -> (Signed, VerifyingKey) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let mut list = StrikeList::empty(Timestamp::from_unix_ms(0));
        let at = Timestamp::from_unix_ms(5);
        list.strike(Struck { key: Fingerprint([1; 32]), of: "box a".to_owned(), at }).unwrap();
        (list.sign(&key).unwrap(), key.verifying_key())
    }

    #[test]
    fn a_signed_list_is_read_by_whoever_knows_the_key() {
        let (signed, key) = signed();
        let list = signed.open(&key).unwrap();
        assert_eq!((list.number, list.keys().len()), (1, 1));
        let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
        assert_eq!(signed.open(&other), Err(ListRefused::Signature));
    }

    #[test]
    fn a_full_list_still_fits_its_record() {
        let mut list = StrikeList::empty(Timestamp::from_unix_ms(1));
        for n in 0..STRUCK_MAX {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&(n as u64).to_be_bytes());
            let of = "terminal till-0000 of site 0000".to_owned();
            let at = Timestamp::from_unix_ms(1_800_000_000_000);
            list.strike(Struck { key: Fingerprint(key), of, at }).unwrap();
        }
        let one_more =
            Struck { key: Fingerprint([9; 32]), of: String::new(), at: Timestamp::from_unix_ms(2) };
        assert_eq!(list.strike(one_more), Err(ListRefused::Large));
        assert!(list.sign(&SigningKey::from_bytes(&[7; 32])).is_ok());
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_refused(at in 0usize..200, bit in 0u8..7) {
            let (mut signed, key) = signed();
            let mut bytes = signed.list.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(list) = String::from_utf8(bytes) {
                signed.list = list;
                prop_assert_eq!(signed.open(&key), Err(ListRefused::Signature));
            }
        }
    }
}
