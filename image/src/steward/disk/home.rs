//! The key of the disk where no TPM keeps it: on the boot volume, masked by what this machine is.
//!
//! The mask comes from numbers that firmware and board hold and no disk does, so that a disk that was
//! taken out does not open; who takes the machine as well has both, as with a TPM that asks for no
//! PIN. A board whose numbers are a maker's filler is refused rather than believed.

use std::fs;
use std::io;

use zeroize::Zeroizing;

use super::super::{Error, Places, io_error, replace, sync_folder};
use super::Refusal;
use crate::provision::DiskKey;

const CONTEXT: &str = "storebox 2026-11 mask of the key of a data partition";
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const CHECK_BYTES: usize = 8;
/// In one of these every machine tells one from another.
const NUMBERS: [&str; 3] = [
    "sys/class/dmi/id/product_uuid",
    "sys/class/dmi/id/board_serial",
    "sys/firmware/devicetree/base/serial-number",
];
/// Makers who fill the number in for nobody.
const FILLERS: [&str; 2] =
    ["03000200-0400-0500-0006-000700080009", "fefefefe-fefe-fefe-fefe-fefefefefefe"];
/// Fewer different signs are a filler, or can be guessed.
const SIGNS_MIN: usize = 6;

/// Whether this machine can keep a key at all.
pub(super) fn look(places: &Places) -> Result<(), Refusal> {
    mask(places, &[0; SALT_BYTES]).map(drop).ok_or(Refusal::NoNumbers)
}

/// Keeps the key for this machine.
pub(super) fn keep(places: &Places, key: &DiskKey) -> Result<(), Error> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).expect("the kernel's random device always answers once booted");
    let (mask, check) = mask(places, &salt).ok_or(Refusal::NoNumbers)?;
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    hex::decode_to_slice(key.expose(), bytes.as_mut()).expect("a key of a disk is 32 bytes");
    bytes.iter_mut().zip(*mask).for_each(|(byte, mask)| *byte ^= mask);
    replace(&path(places), &[salt.as_slice(), bytes.as_slice(), &check].concat())
}

/// No machine's numbers lead to the key from here on.
pub(super) fn forget(places: &Places) -> Result<(), Error> {
    let path = path(places);
    match fs::remove_file(&path) {
        Ok(()) => sync_folder(path.parent().unwrap_or(&path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("remove", &path)(error)),
    }
}

/// The key, if this machine is the one that it was kept for.
pub(super) fn fetch(places: &Places) -> Result<Option<DiskKey>, Error> {
    let path = path(places);
    let kept = match fs::read(&path) {
        Ok(kept) => kept,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let Some((salt, rest)) = kept.split_first_chunk::<SALT_BYTES>() else { return Ok(None) };
    let Some((bytes, check)) = rest.split_first_chunk::<KEY_BYTES>() else { return Ok(None) };
    let Some((mask, expected)) = mask(places, salt) else { return Ok(None) };
    if check != expected {
        return Ok(None);
    }
    let mut key = Zeroizing::new(*bytes);
    key.iter_mut().zip(*mask).for_each(|(byte, mask)| *byte ^= mask);
    Ok(Some(DiskKey::new(&key)))
}

fn path(places: &Places) -> std::path::PathBuf {
    places.at("efi/storebox/disk.key")
}

type Mask = Zeroizing<[u8; KEY_BYTES]>;

/// What hides the key, and by what this machine is known again; nothing for a machine without numbers.
fn mask(places: &Places, salt: &[u8; SALT_BYTES]) -> Option<(Mask, [u8; CHECK_BYTES])> {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(salt);
    let mut is_somebody = false;
    for number in NUMBERS {
        let text = fs::read_to_string(places.at(number)).unwrap_or_default();
        let text = text.trim_matches(['\0', '\n', ' ']).to_ascii_lowercase();
        let is_telling = is_telling(&text);
        is_somebody |= is_telling;
        let told = if is_telling { text.as_bytes() } else { b"" };
        hasher.update(&u64::try_from(told.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(told);
    }
    let mut out = Zeroizing::new([0; KEY_BYTES + CHECK_BYTES]);
    hasher.finalize_xof().fill(out.as_mut());
    let (mask, check) = out.split_first_chunk::<KEY_BYTES>()?;
    is_somebody.then_some((Zeroizing::new(*mask), check.try_into().ok()?))
}

fn is_telling(text: &str) -> bool {
    let mut signs: Vec<char> = text.chars().filter(char::is_ascii_alphanumeric).collect();
    signs.sort_unstable();
    signs.dedup();
    let is_words = text.contains("filled") || text.contains("default") || text.contains("serial");
    signs.len() >= SIGNS_MIN && !is_words && !FILLERS.contains(&text)
}
