//! Which bytes of a disk image are content, and their hashes.
//!
//! Our own JSON inside the signed manifest, not bmap 2.0: a map that is signed with the release
//! needs no checksum of its own, and hashes per chunk are what resuming and reading back stand on.
//!
//! Invariants of a [`BlockMap`]: chunks are in order, apart, inside the image, aligned to
//! [`BLOCK_BYTES`] and at most [`CHUNK_BYTES_MAX`] long; the first one is the head with the
//! partition table, the last one the tail with its backup.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::gpt;

/// Direct reads and writes of every disk we know are aligned to this.
pub const BLOCK_BYTES: u64 = BLOCK_SIZE as u64;
/// The same, as memory is counted.
pub const BLOCK_SIZE: usize = 4096;
/// What is written, read back and repeated as one.
pub const CHUNK_BYTES_MAX: u64 = 4 << 20;
/// With chunks of 4 MiB a disk of 256 GiB; keeps a manifest small whatever it says.
const CHUNKS_MAX: usize = 1 << 16;

/// A piece of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    pub at: u64,
    pub bytes: u64,
    pub blake3: Digest,
}

impl Chunk {
    pub fn end(&self) -> u64 {
        self.at.saturating_add(self.bytes)
    }

    /// The chunk's length as memory is counted; valid chunks are at most 4 MiB.
    pub fn size(&self) -> usize {
        usize::try_from(self.bytes).expect("a valid chunk is at most CHUNK_BYTES_MAX")
    }
}

/// The content of a disk image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct BlockMap {
    image_bytes: u64,
    chunks: Vec<Chunk>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    image_bytes: u64,
    chunks: Vec<Chunk>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMap {
    #[error("{count} chunks, must be 3 to {CHUNKS_MAX}")]
    Count { count: usize },
    #[error("chunk at {at} with {bytes} bytes is not aligned, too long or outside of the image")]
    Chunk { at: u64, bytes: u64 },
    #[error("chunk at {at} overlaps the one before it")]
    Overlap { at: u64 },
    #[error("the {which} of the image, which has the partition table, is not mapped")]
    Table { which: &'static str },
}

impl BlockMap {
    fn new(image_bytes: u64, chunks: Vec<Chunk>) -> Result<Self, InvalidMap> {
        if !(3..=CHUNKS_MAX).contains(&chunks.len()) {
            return Err(InvalidMap::Count { count: chunks.len() });
        }
        for chunk in &chunks {
            let Chunk { at, bytes, .. } = *chunk;
            let aligned = at.is_multiple_of(BLOCK_BYTES) && bytes.is_multiple_of(BLOCK_BYTES);
            let sized = (1..=CHUNK_BYTES_MAX).contains(&bytes) && chunk.end() <= image_bytes;
            if !aligned || !sized {
                return Err(InvalidMap::Chunk { at, bytes });
            }
        }
        if let Some(pair) = chunks.windows(2).find(|pair| pair[0].end() > pair[1].at) {
            return Err(InvalidMap::Overlap { at: pair[1].at });
        }
        let (head, tail) = (chunks[0], chunks[chunks.len() - 1]);
        if head.at != 0 || head.bytes < gpt::HEAD_BYTES {
            return Err(InvalidMap::Table { which: "start" });
        }
        if tail.end() != image_bytes || tail.bytes < gpt::TAIL_BYTES {
            return Err(InvalidMap::Table { which: "end" });
        }
        Ok(Self { image_bytes, chunks })
    }

    /// Hashes the content of an image. Ranges are widened to whole blocks and
    /// joined where they overlap; ranges that only touch may belong to two partitions.
    pub fn survey(
        image: &mut (impl Read + Seek),
        image_bytes: u64,
        content: &[Range<u64>],
    ) -> Result<Self, SurveyError> {
        let mut chunks = Vec::new();
        for range in join(content) {
            let mut at = range.start;
            while at < range.end {
                let bytes = CHUNK_BYTES_MAX.min(range.end - at);
                let mut piece = vec![0; usize::try_from(bytes).expect("a chunk fits memory")];
                image.seek(SeekFrom::Start(at))?;
                image.read_exact(&mut piece)?;
                chunks.push(Chunk { at, bytes, blake3: Digest::of(&piece) });
                at += bytes;
            }
        }
        Ok(Self::new(image_bytes, chunks)?)
    }

    pub fn image_bytes(&self) -> u64 {
        self.image_bytes
    }

    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The chunk with the partition table.
    pub fn head(&self) -> &Chunk {
        &self.chunks[0]
    }

    /// What lies between the table and its backup.
    pub fn content(&self) -> &[Chunk] {
        &self.chunks[1..self.chunks.len() - 1]
    }

    pub fn mapped_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    #[error("read the image")]
    Io(#[from] io::Error),
    #[error("the image cannot be mapped")]
    Invalid(#[from] InvalidMap),
}

fn join(content: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = content
        .iter()
        .map(|r| r.start / BLOCK_BYTES * BLOCK_BYTES..r.end.next_multiple_of(BLOCK_BYTES))
        .filter(|range| !range.is_empty())
        .collect();
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end > range.start => last.end = last.end.max(range.end),
            Some(_) | None => joined.push(range),
        }
    }
    joined
}

impl TryFrom<Raw> for BlockMap {
    type Error = InvalidMap;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        Self::new(raw.image_bytes, raw.chunks)
    }
}

impl From<BlockMap> for Raw {
    fn from(map: BlockMap) -> Self {
        Self { image_bytes: map.image_bytes, chunks: map.chunks }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const IMAGE: u64 = 16 << 20;

    fn chunk(at: u64, bytes: u64) -> Chunk {
        Chunk { at, bytes, blake3: Digest::of(b"") }
    }

    #[test]
    fn content_is_widened_joined_and_cut() {
        let mut image = Cursor::new(vec![1; usize::try_from(IMAGE).unwrap()]);
        let content =
            [0..17_408, IMAGE - 16_896..IMAGE, (1 << 20) + 5..(1 << 20) + 9, 1 << 20..6 << 20];
        let map = BlockMap::survey(&mut image, IMAGE, &content).unwrap();
        let places: Vec<_> = map.chunks().iter().map(|chunk| (chunk.at, chunk.bytes)).collect();
        let expected =
            [(0, 20_480), (1 << 20, 4 << 20), (5 << 20, 1 << 20), (IMAGE - 20_480, 20_480)];
        assert_eq!(places, expected);
        assert_eq!(map.content().len(), 2);
    }

    #[test]
    fn a_map_survives_json_and_a_broken_one_does_not_get_in() {
        let head_and_tail = |middle: Chunk| {
            BlockMap::new(IMAGE, vec![chunk(0, 20_480), middle, chunk(IMAGE - 20_480, 20_480)])
        };
        let map = head_and_tail(chunk(1 << 20, 4096)).unwrap();
        let json = serde_json::to_string(&map).unwrap();
        assert_eq!(serde_json::from_str::<BlockMap>(&json).unwrap(), map);

        let refused = |at, bytes| head_and_tail(chunk(at, bytes)).unwrap_err();
        assert!(matches!(refused(1, 4096), InvalidMap::Chunk { .. }));
        assert!(matches!(refused(1 << 20, 0), InvalidMap::Chunk { .. }));
        assert!(matches!(refused(1 << 20, 8 << 20), InvalidMap::Chunk { .. }));
        assert!(matches!(refused(u64::MAX - 4095, 4096), InvalidMap::Chunk { .. }));
        assert_eq!(refused(4096, 4096), InvalidMap::Overlap { at: 4096 });
        let no_tail = BlockMap::new(
            IMAGE,
            vec![chunk(0, 20_480), chunk(1 << 20, 4096), chunk(2 << 20, 4096)],
        );
        assert_eq!(no_tail, Err(InvalidMap::Table { which: "end" }));
        assert!(matches!(BlockMap::new(IMAGE, vec![]), Err(InvalidMap::Count { count: 0 })));
    }
}
