//! GUIDs as partition tables store them.
//!
//! The first three groups are little-endian on disk and big-endian in print, so the bytes are
//! kept as on disk and only [`Display`](fmt::Display) and [`FromStr`] know about the order.
//! Nothing here is random: a disk image must come out the same twice.

use std::fmt;
use std::str::FromStr;

/// Where the byte of each printed position lies on disk.
const PRINTED: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

/// A GUID in the byte order of the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no GUID (8-4-4-4-12 hexadecimal digits)")]
pub struct InvalidGuid(String);

impl Guid {
    /// What an unused partition entry has as its type.
    pub const NIL: Self = Self([0; 16]);

    /// A version 8 GUID that depends on the two words alone.
    pub fn derived(seed: &str, what: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("storebox image guid v1");
        hasher.update(seed.as_bytes()).update(&[0]).update(what.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        bytes[7] = (bytes[7] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, &at) in PRINTED.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02X}", self.0[at])?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Guid {
    type Err = InvalidGuid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidGuid(text.to_owned());
        let groups: Vec<&str> = text.split('-').collect();
        if groups.iter().map(|group| group.len()).ne([8, 4, 4, 4, 12]) {
            return Err(invalid());
        }
        let mut printed = [0; 16];
        hex::decode_to_slice(groups.concat(), &mut printed).map_err(|_| invalid())?;
        let mut bytes = [0; 16];
        for (position, &at) in PRINTED.iter().enumerate() {
            bytes[at] = printed[position];
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_efi_system_partition_has_the_bytes_the_specification_prints() {
        let guid: Guid = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B".parse().unwrap();
        assert_eq!(hex::encode(guid.0), "28732ac11ff8d211ba4b00a0c93ec93b");
        assert_eq!(guid.to_string(), "C12A7328-F81F-11D2-BA4B-00A0C93EC93B");
    }

    #[test]
    fn a_derived_guid_is_stable_and_says_version_8() {
        let one = Guid::derived("storebox", "disk");
        assert_eq!(one, Guid::derived("storebox", "disk"));
        assert_ne!(one, Guid::derived("storebox", "esp"));
        assert_ne!(one, Guid::derived("storeboxd", "isk"));
        assert_eq!(one.to_string().as_bytes()[14], b'8');
    }

    proptest! {
        #[test]
        fn roundtrip_print_and_parse(bytes in any::<[u8; 16]>()) {
            prop_assert_eq!(Guid(bytes).to_string().parse(), Ok(Guid(bytes)));
        }

        #[test]
        fn any_text_never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Guid>();
        }
    }
}
