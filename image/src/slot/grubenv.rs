//! GRUB's environment block: 1024 bytes that boot loader, RAUC and we all write.
//!
//! The format is GRUB's: a line of signature, `name=value` lines with backslash escapes, lines that
//! start with `#`, and `#` as padding. Variables of others (`MACHINE_ID`) are kept as they are. A
//! block that does not parse is never repaired in place by guessing: the caller takes
//! [`State::unknown`](super::State::unknown), which starts a slot whatever happened.
//!
//! GRUB writes the block into the sectors it read it from, and so do we: the length never changes,
//! one write of 1024 bytes replaces it ([`EnvFile::store`]). Truncating and rewriting, as
//! grub-editenv does, leaves a window in which the block is empty.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Record, Slot, State};

/// The size GRUB gives the block; another size is not ours to write.
pub const BLOCK_BYTES: usize = 1024;
const SIGNATURE: &[u8] = b"# GRUB Environment Block\n";
const ORDER: &str = "ORDER";

/// The variables of a block, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Env {
    variables: Vec<(String, String)>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEnv {
    #[error("environment block has {found} bytes, must be {BLOCK_BYTES}")]
    Length { found: usize },
    #[error("environment block does not start with GRUB's signature")]
    Signature,
    #[error("environment block is torn at byte {at}")]
    Torn { at: usize },
    #[error("environment block is not text")]
    NotText,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvRefused {
    #[error("environment of {needed} bytes does not fit the block of {BLOCK_BYTES}")]
    Full { needed: usize },
    #[error("{name:?} is no name of a variable")]
    Name { name: String },
}

impl Env {
    pub fn parse(block: &[u8]) -> Result<Self, InvalidEnv> {
        if block.len() != BLOCK_BYTES {
            return Err(InvalidEnv::Length { found: block.len() });
        }
        let text = std::str::from_utf8(block).map_err(|_| InvalidEnv::NotText)?;
        let lines = text
            .strip_prefix(std::str::from_utf8(SIGNATURE).expect("the signature is ASCII"))
            .ok_or(InvalidEnv::Signature)?;
        let mut variables = Vec::new();
        let mut chars = lines.char_indices().peekable();
        while let Some(&(at, first)) = chars.peek() {
            if first == '#' {
                chars.by_ref().find(|&(_, c)| c == '\n');
                continue;
            }
            let torn = || InvalidEnv::Torn { at: SIGNATURE.len() + at };
            let name: String = chars.by_ref().map(|(_, c)| c).take_while(|&c| c != '=').collect();
            if !is_name(&name) {
                return Err(torn());
            }
            let value = read_value(&mut chars).ok_or_else(torn)?;
            variables.push((name, value));
        }
        Ok(Self { variables })
    }

    /// The block, always [`BLOCK_BYTES`] long.
    pub fn to_block(&self) -> Result<[u8; BLOCK_BYTES], EnvRefused> {
        let mut bytes = SIGNATURE.to_vec();
        for (name, value) in &self.variables {
            bytes.extend(name.as_bytes());
            bytes.push(b'=');
            for byte in value.bytes() {
                if matches!(byte, b'\\' | b'\n') {
                    bytes.push(b'\\');
                }
                bytes.push(byte);
            }
            bytes.push(b'\n');
        }
        if bytes.len() > BLOCK_BYTES {
            return Err(EnvRefused::Full { needed: bytes.len() });
        }
        let mut block = [b'#'; BLOCK_BYTES];
        block[..bytes.len()].copy_from_slice(&bytes);
        Ok(block)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn set(&mut self, name: &str, value: &str) -> Result<(), EnvRefused> {
        if !is_name(name) {
            return Err(EnvRefused::Name { name: name.to_owned() });
        }
        match self.variables.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.variables.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// What the block says about the slots. What it does not say is taken as the boot loader's
    /// script takes it: as [`State::unknown`].
    pub fn state(&self) -> State {
        let mut state = State::unknown();
        let order = self.get(ORDER).unwrap_or_default();
        if order.split_whitespace().find(|&word| matches!(word, "A" | "B")) == Some("B") {
            state.first = Slot::B;
        }
        for slot in Slot::BOTH {
            let get = |what: &str| self.get(&variable(slot, what));
            // What is no number counts as used up, in the script as here.
            let tries = get("TRY").map_or(0, |tries| tries.parse().unwrap_or(u8::MAX));
            let record = Record {
                whole: get("OK").is_none_or(|ok| ok == "1"),
                tries,
                confirmed: get("CONFIRMED") == Some("1"),
            };
            *state.record_mut(slot) = record;
        }
        state
    }

    /// Puts the state of the slots in, leaving all else as it is.
    pub fn set_state(&mut self, state: &State) {
        let order = format!("{} {}", state.first, state.first.other());
        let mut set = |name: &str, value: &str| {
            self.set(name, value).expect("the names of the slots' variables are names");
        };
        set(ORDER, &order);
        for slot in Slot::BOTH {
            let record = state.record(slot);
            set(&variable(slot, "OK"), if record.whole { "1" } else { "0" });
            set(&variable(slot, "TRY"), &record.tries.to_string());
            set(&variable(slot, "CONFIRMED"), if record.confirmed { "1" } else { "0" });
        }
    }
}

fn variable(slot: Slot, what: &str) -> String {
    format!("{slot}_{what}")
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The value up to the end of its line, or nothing if the block ends before the line does.
fn read_value(chars: &mut impl Iterator<Item = (usize, char)>) -> Option<String> {
    let mut value = String::new();
    loop {
        match chars.next()?.1 {
            '\n' => return Some(value),
            '\\' => value.push(chars.next()?.1),
            other => value.push(other),
        }
    }
}

/// The block where the boot loader finds it.
#[derive(Debug)]
pub struct EnvFile {
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    #[error("{what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("read {path}")]
    Invalid {
        path: PathBuf,
        #[source]
        source: InvalidEnv,
    },
    #[error("write {path}")]
    Refused {
        path: PathBuf,
        #[source]
        source: EnvRefused,
    },
}

impl EnvFile {
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned() }
    }

    pub fn load(&self) -> Result<Env, EnvFileError> {
        let block = std::fs::read(&self.path).map_err(|source| self.io("read", source))?;
        Env::parse(&block)
            .map_err(|source| EnvFileError::Invalid { path: self.path.clone(), source })
    }

    /// Replaces the block in place with one write and waits until it is on the disk.
    pub fn store(&self, env: &Env) -> Result<(), EnvFileError> {
        let block = env
            .to_block()
            .map_err(|source| EnvFileError::Refused { path: self.path.clone(), source })?;
        let file: File = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)
            .map_err(|source| self.io("open", source))?;
        file.write_all_at(&block, 0).map_err(|source| self.io("write", source))?;
        file.set_len(BLOCK_BYTES as u64).map_err(|source| self.io("write", source))?;
        file.sync_all().map_err(|source| self.io("flush", source))
    }

    fn io(&self, what: &'static str, source: io::Error) -> EnvFileError {
        EnvFileError::Io { what, path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_flashed_box_has_the_block_that_the_boot_script_reads() {
        let mut env = Env::default();
        env.set_state(&State::flashed());
        let block = env.to_block().unwrap();
        let text = "# GRUB Environment Block\nORDER=A B\nA_OK=1\nA_TRY=0\nA_CONFIRMED=0\n\
                    B_OK=0\nB_TRY=0\nB_CONFIRMED=0\n#";
        assert!(block.starts_with(text.as_bytes()));
        assert!(block[text.len()..].iter().all(|&b| b == b'#'));
        assert_eq!(Env::parse(&block).unwrap().state(), State::flashed());
    }

    #[test]
    fn variables_of_others_and_warnings_stay_readable() {
        let mut block = b"# GRUB Environment Block\n# WARNING: Do not edit!\n".to_vec();
        block.extend(b"MACHINE_ID=0123\nA_TRY=2\nsaved=a\\\\b\\\nc\n");
        block.resize(BLOCK_BYTES, b'#');
        let mut env = Env::parse(&block).unwrap();
        assert_eq!(env.get("saved"), Some("a\\b\nc"));
        assert_eq!(env.state().record(Slot::A).tries, 2);
        env.set_state(&State::flashed());
        assert_eq!(Env::parse(&env.to_block().unwrap()).unwrap().get("MACHINE_ID"), Some("0123"));
    }

    #[test]
    fn a_torn_block_is_refused_and_the_unknown_state_starts_a_slot() {
        assert_eq!(Env::parse(b""), Err(InvalidEnv::Length { found: 0 }));
        assert_eq!(Env::parse(&[0; BLOCK_BYTES]), Err(InvalidEnv::Signature));
        let mut env = Env::default();
        env.set_state(&State::flashed());
        let whole = env.to_block().unwrap();
        for cut in SIGNATURE.len()..200 {
            let mut torn = whole;
            torn[cut..].fill(0);
            assert!(matches!(Env::parse(&torn), Ok(_) | Err(InvalidEnv::Torn { .. })));
        }
        State::unknown().choose();
    }

    #[test]
    fn an_environment_that_does_not_fit_is_refused() {
        let mut env = Env::default();
        env.set("BIG", &"x".repeat(BLOCK_BYTES)).unwrap();
        assert!(matches!(env.to_block(), Err(EnvRefused::Full { .. })));
        assert!(matches!(env.set("a b", ""), Err(EnvRefused::Name { .. })));
    }

    #[test]
    fn a_stored_block_is_loaded_again_and_keeps_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let file = EnvFile::new(dir.path().join("grubenv"));
        let mut env = Env::default();
        env.set_state(&State::flashed());
        file.store(&env).unwrap();
        env.set("MACHINE_ID", "4711").unwrap();
        file.store(&env).unwrap();
        assert_eq!(file.load().unwrap(), env);
        assert_eq!(std::fs::metadata(dir.path().join("grubenv")).unwrap().len(), 1024);
    }

    #[test]
    fn grub_editenv_reads_our_block_and_we_read_its() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grubenv");
        let mut env = Env::default();
        env.set_state(&State::flashed());
        env.set("odd", "a\\b").unwrap();
        EnvFile::new(&path).store(&env).unwrap();
        let editenv = |args: &[&str]| {
            std::process::Command::new("grub-editenv").arg(&path).args(args).output()
        };
        let Ok(listed) = editenv(&["list"]) else {
            crate::skip("grub-editenv (package grub-common) is not installed");
            return;
        };
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains("ORDER=A B\nA_OK=1\nA_TRY=0\n"), "{listed}");
        assert!(editenv(&["set", "A_TRY=3", "ORDER=B A"]).unwrap().status.success());
        let env = EnvFile::new(&path).load().unwrap();
        assert_eq!((env.state().first(), env.state().record(Slot::A).tries), (Slot::B, 3));
        assert_eq!(env.get("odd"), Some("a\\b"));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(tail in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut block = SIGNATURE.to_vec();
            block.extend(tail);
            block.resize(BLOCK_BYTES, b'#');
            if let Ok(env) = Env::parse(&block) {
                env.state().choose();
            }
        }

        #[test]
        fn roundtrip_variables(variables in prop::collection::btree_map("[A-Za-z0-9_]{1,8}", "[ -~\n\\\\é]{0,20}", 0..8)) {
            let mut env = Env::default();
            for (name, value) in &variables {
                env.set(name, value).unwrap();
            }
            prop_assert_eq!(Env::parse(&env.to_block().unwrap()), Ok(env));
        }
    }
}
