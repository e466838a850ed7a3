//! Which keys open the data partition, besides the machine that it is bound to.
//!
//! Every change is made in an order that a power cut may end anywhere: the shop's file is on its
//! volume until the partition opens with the key in it, and the next start does the whole again.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::super::{Error, Places, io_error, replace, run, run_with};
use super::{Guard, Refusal, home};
use crate::provision::DiskKey;

/// The state of the firmware's checks: stays over our updates, changes with another boot policy.
pub(super) const PCRS: &str = "--tpm2-pcrs=7";
/// What people are told of a key that could not be put on the disk.
pub(super) const NOT_TAKEN: &str = "the key of the shop's file does not open the disk";
/// The same of one that opens the disk, and alone.
pub(super) const NOT_BOUND: &str = "only the key of the shop's file opens the disk";
const ENROL: &str = "systemd-cryptenroll";
const TRY: &str = "systemd-creds";
/// Where systemd-cryptenroll looks for a key that no list of processes shows.
const NEW_KEY: &str = "NEWPASSWORD";
const CONTEXT: &str = "storebox 2026-11 the key of a file that opens a data partition";

/// Tells a program of systemd what to do, with a new key where there is one.
pub(super) type Tell<'a> =
    &'a mut dyn FnMut(&str, &[String], Option<&DiskKey>) -> Result<(), Error>;

/// The programs themselves.
pub(super) fn tell(program: &str, words: &[String], new: Option<&DiskKey>) -> Result<(), Error> {
    let done = match new {
        Some(key) => run_with(program, words, (NEW_KEY, key.expose())),
        None => run(program, words),
    };
    done.map(drop)
}

/// A partition that came from another machine, and is open here by the key of the shop's file.
pub(super) struct Newcomer<'a> {
    pub(super) places: &'a Places,
    pub(super) device: &'a Path,
    pub(super) key: &'a DiskKey,
    /// The same key, where other programs read it.
    pub(super) file: &'a KeyFile,
    /// What is to guard it in this machine.
    pub(super) guard: Guard,
}

impl Newcomer<'_> {
    /// The machine that the partition is in now opens it from here on, and the one before no longer does,
    /// whatever kind of machine it was. Nothing is wiped before this machine has shown that it can keep a key.
    pub(super) fn bind(&self, tell: Tell<'_>) -> Result<Guard, Error> {
        let Self { places, key, .. } = *self;
        let device = self.device.display().to_string();
        // What is sealed stays sealed, whatever a file says by now.
        if self.guard != Guard::Tpm {
            home::look(places)?;
            tell(ENROL, &unbind_words(&device), None)?;
            home::keep(places, key)?;
            return Ok(Guard::Machine);
        }
        tell(TRY, &try_words("auto"), None)?;
        for words in bind_words(&device, self.file.as_str(), "auto") {
            tell(ENROL, &words, None)?;
        }
        home::forget(places)?;
        Ok(Guard::Tpm)
    }
}

/// The key of a file that came after the partition was made opens it from now on, in place of the one before.
pub(super) fn take(
    places: &Places,
    device: &Path,
    key: &DiskKey,
    guard: Guard,
    tell: Tell<'_>,
) -> Result<(), Error> {
    let device = device.display().to_string();
    if guard == Guard::Tpm {
        // A move here that was cut short may have left what opens it on the board before.
        home::forget(places)?;
        return tell(ENROL, &add_words(&device, "--unlock-tpm2-device=auto"), Some(key));
    }
    let before = home::fetch(places)?.ok_or(Refusal::NoNumbers)?;
    // The machine's own numbers lead to this key alone: there are two until they lead to the new one.
    if before != *key {
        let file = KeyFile::write(places, &before)?;
        let [_, words @ ..] = add_words(&device, &unlock(&file));
        tell(ENROL, &words, Some(key))?;
        drop(file);
        home::keep(places, key)?;
    }
    // Also where they lead to it already: what was cut short here has left the key before on the disk.
    let file = KeyFile::write(places, key)?;
    tell(ENROL, &add_words(&device, &unlock(&file)), Some(key))
}

fn unlock(file: &KeyFile) -> String {
    format!("--unlock-key-file={}", file.as_str())
}

/// What systemd-cryptenroll is told to put a key in place of those before: it adds it, and wipes the others then.
pub fn add_words(device: &str, unlock: &str) -> [String; 4] {
    ["--wipe-slot=password", "--password", unlock, device].map(str::to_owned)
}

/// What systemd-cryptenroll is told so that no TPM opens the partition.
pub fn unbind_words(device: &str) -> [String; 2] {
    ["--wipe-slot=tpm2", device].map(str::to_owned)
}

/// What systemd-creds is told to have a TPM seal something, which is thrown away: one that refuses is known before
/// anything is wiped for it, and no partition has a slot of two machines meanwhile.
pub fn try_words(tpm: &str) -> [String; 7] {
    let tpm = format!("--tpm2-device={tpm}");
    ["encrypt", "--with-key=tpm2", &tpm, PCRS, "--name=tried", "-", "-"].map(str::to_owned)
}

/// What systemd-cryptenroll is told, twice: it does nothing for a machine with the same firmware state
/// while the slot of the one before is there.
pub fn bind_words(device: &str, key_file: &str, tpm: &str) -> [Vec<String>; 2] {
    let (unlock, tpm) = (format!("--unlock-key-file={key_file}"), format!("--tpm2-device={tpm}"));
    [unbind_words(device).to_vec(), vec![unlock, tpm, PCRS.to_owned(), device.to_owned()]]
}

/// Notes for the rest of this start that the partition opens with this key.
pub(super) fn note_taken(places: &Places, key: &DiskKey) -> Result<(), Error> {
    replace(&note(places), &fingerprint(key))
}

/// Whether the partition is known to open with this key.
pub(super) fn is_taken(places: &Places, key: &DiskKey) -> bool {
    fs::read(note(places)).is_ok_and(|noted| noted == fingerprint(key))
}

fn note(places: &Places) -> PathBuf {
    places.run().join("disk-key")
}

/// Tells one key from another, and leads to none: a key is 32 random bytes.
fn fingerprint(key: &DiskKey) -> [u8; blake3::OUT_LEN] {
    blake3::derive_key(CONTEXT, key.expose().as_bytes())
}

/// The key in memory for the moment in which another program reads it.
pub(super) struct KeyFile(PathBuf);

impl KeyFile {
    pub(super) fn write(places: &Places, key: &DiskKey) -> Result<Self, Error> {
        let path = places.run().join("disk.key");
        fs::create_dir_all(places.run()).map_err(io_error("create", &path))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options.open(&path).and_then(|mut f| f.write_all(key.expose().as_bytes()));
        written.map_err(io_error("write", &path))?;
        Ok(Self(path))
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().expect("the folder of this start has a plain name")
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        // The file lies in memory, whose pages are given away as they are.
        if let Ok(mut file) = OpenOptions::new().write(true).open(&self.0) {
            let bytes = file.metadata().map_or(0, |file| file.len());
            let _ = io::copy(&mut io::repeat(0).take(bytes), &mut file);
        }
        let _ = fs::remove_file(&self.0);
    }
}
