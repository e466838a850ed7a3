//! Where the records with a value of a field are: finite-state maps from key to positions.
//!
//! A position is the number of the record in its model's base, in id order.
//! An index belongs to one base and is as immutable as the base.
//!
//! ```text
//! "SBXI" version  length of each part  digest of the base
//! whole: map, postings   words: map, postings
//! BLAKE3 of all before
//! ```
//!
//! A map's value is the position itself (lowest bit 0) or where the key's list of positions starts (bit 1).

mod build;
mod dictionary;

use bytes::Bytes;
use fst::{Automaton, IntoStreamer, Streamer};
use storebox_proto::ids::Hash32;

pub(super) use build::{Extract, FieldBuilder};

const MAGIC: &[u8; 5] = b"SBXI\x01";
const PARTS: usize = 4;
const HEADER_BYTES: usize = MAGIC.len() + PARTS * 8 + 32;

/// Why a file is not the index of a base.
#[derive(Debug, thiserror::Error)]
pub(super) enum IndexError {
    #[error("the index file was changed or cut short")]
    Damaged,
    #[error("the index belongs to other data")]
    Stale,
}

/// The index of one field.
#[derive(Debug)]
pub(super) struct FieldIndex {
    file: Bytes,
    /// Whole values.
    pub(super) whole: KeyMap,
    /// Single words; empty unless the field is text.
    pub(super) words: KeyMap,
}

impl FieldIndex {
    fn assemble(base: Hash32, whole: &(Vec<u8>, Vec<u8>), words: &(Vec<u8>, Vec<u8>)) -> Self {
        let parts = [&whole.0, &whole.1, &words.0, &words.1];
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let mut file = Vec::with_capacity(HEADER_BYTES + total + 32);
        file.extend_from_slice(MAGIC);
        for part in parts {
            file.extend_from_slice(&(part.len() as u64).to_le_bytes());
        }
        file.extend_from_slice(&base.0);
        for part in parts {
            file.extend_from_slice(part);
        }
        let sum = blake3::hash(&file);
        file.extend_from_slice(sum.as_bytes());
        Self::parse(Bytes::from(file), base).expect("what was just written can be read")
    }

    /// Reads an index file and checks that it belongs to this base.
    pub(super) fn parse(file: Bytes, base: Hash32) -> Result<Self, IndexError> {
        let end = file.len().checked_sub(32).ok_or(IndexError::Damaged)?;
        let (body, sum) = file.split_at(end);
        if end < HEADER_BYTES || !body.starts_with(MAGIC) || blake3::hash(body) != *sum {
            return Err(IndexError::Damaged);
        }
        if body[HEADER_BYTES - 32..HEADER_BYTES] != base.0 {
            return Err(IndexError::Stale);
        }
        let mut at = HEADER_BYTES;
        let mut parts = Vec::with_capacity(PARTS);
        for number in 0..PARTS {
            let field = MAGIC.len() + number * 8;
            let len = body[field..field + 8].try_into().map_err(|_| IndexError::Damaged)?;
            let len = usize::try_from(u64::from_le_bytes(len)).map_err(|_| IndexError::Damaged)?;
            let to = at.checked_add(len).filter(|to| *to <= end).ok_or(IndexError::Damaged)?;
            parts.push(file.slice(at..to));
            at = to;
        }
        let whole = KeyMap::new(parts[0].clone(), parts[1].clone())?;
        let words = KeyMap::new(parts[2].clone(), parts[3].clone())?;
        Ok(Self { whole, words, file })
    }

    /// The bytes of the index's file.
    pub(super) fn file(&self) -> &[u8] {
        &self.file
    }
}

/// From key to positions.
#[derive(Debug)]
pub(super) struct KeyMap {
    map: fst::Map<Bytes>,
    postings: Bytes,
}

impl KeyMap {
    fn new(map: Bytes, postings: Bytes) -> Result<Self, IndexError> {
        let map = fst::Map::new(map).map_err(|_| IndexError::Damaged)?;
        Ok(Self { map, postings })
    }

    /// The positions of a key, ascending.
    pub(super) fn get(&self, key: &str) -> Postings {
        self.map.get(key).map_or(Postings::None, |value| self.postings(value))
    }

    /// Every key with this prefix, ascending, until `visit` says stop (false).
    pub(super) fn prefix<E>(
        &self,
        prefix: &str,
        mut visit: impl FnMut(&str, Postings) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut stream = self.map.range().ge(prefix).into_stream();
        while let Some((key, value)) = stream.next() {
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            let Ok(key) = std::str::from_utf8(key) else { continue };
            if !visit(key, self.postings(value))? {
                break;
            }
        }
        Ok(())
    }

    /// Keys that an automaton accepts, ascending, at most `limit`.
    pub(super) fn accepted(
        &self,
        automaton: impl Automaton,
        limit: usize,
    ) -> Vec<(String, Postings)> {
        let mut stream = self.map.search(automaton).into_stream();
        let mut found = Vec::new();
        while let Some((key, value)) = stream.next() {
            if found.len() == limit {
                break;
            }
            if let Ok(key) = std::str::from_utf8(key) {
                found.push((key.to_owned(), self.postings(value)));
            }
        }
        found
    }

    fn postings(&self, value: u64) -> Postings {
        let Ok(half) = usize::try_from(value >> 1) else { return Postings::None };
        if value & 1 == 0 {
            return u32::try_from(half).map_or(Postings::None, Postings::One);
        }
        let mut bytes = self.postings.slice(half.min(self.postings.len())..);
        match read(&mut bytes) {
            Some(left) => Postings::Many { bytes, left, last: 0 },
            None => Postings::None,
        }
    }
}

/// Positions, ascending.
#[derive(Debug, Clone)]
pub(super) enum Postings {
    None,
    One(u32),
    Many { bytes: Bytes, left: u32, last: u32 },
}

impl Iterator for Postings {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::One(position) => {
                let position = *position;
                *self = Self::None;
                Some(position)
            }
            Self::Many { bytes, left, last } => {
                *left = left.checked_sub(1)?;
                *last = last.checked_add(read(bytes)?)?;
                Some(*last)
            }
        }
    }
}

fn read(bytes: &mut Bytes) -> Option<u32> {
    let mut value = 0u64;
    for at in 0..5 {
        let byte = *bytes.get(at)?;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            bytes::Buf::advance(bytes, at + 1);
            return u32::try_from(value).ok();
        }
    }
    None
}

fn write(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests;
