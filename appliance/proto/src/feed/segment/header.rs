//! The header of a segment: what is in it and where its blocks are.

use crate::feed::segment::{Kind, checksum};
use crate::ids::{ModelName, RecordId};
use crate::limits::{
    BLOCK_BYTES_MAX, BLOCK_RECORDS_MAX, RUN_PAGE_RECORDS_MAX, SEGMENT_BYTES_MAX,
    SEGMENT_CONTENT_MAX, SEGMENT_RECORDS_MAX,
};

const MAGIC: &[u8; 4] = b"SBXS";
const VERSION: u8 = 1;
/// So many bytes from the start of a segment tell how long its header is.
pub const HEADER_PREFIX_BYTES: usize = 10;
/// The longest header: every record its own block, with the longest ids.
pub const HEADER_BYTES_MAX: usize = 1024 * 1024;
/// What one block takes in the directory, without its id.
const ENTRY_BYTES: usize = 4 + 4 + 2 + 1 + 8;

const _: () = assert!(SEGMENT_RECORDS_MAX * (ENTRY_BYTES + 128) + 1024 <= HEADER_BYTES_MAX);
const _: () = assert!(RUN_PAGE_RECORDS_MAX <= SEGMENT_RECORDS_MAX);

/// Why bytes are not the header of a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// There are fewer bytes than the header has.
    #[error("a header of {needed} bytes is cut short after {got}")]
    Short {
        /// How long the header is, as far as is known.
        needed: usize,
        /// How many bytes there are.
        got: usize,
    },
    /// The file is something else.
    #[error("not a segment")]
    Magic,
    /// The file is of a later version.
    #[error("segment version {0} is not known")]
    Version(u8),
    /// The header's bytes were changed.
    #[error("the header does not match its checksum")]
    Checksum,
    /// A field is not allowed.
    #[error("the header's {0} is out of bounds")]
    Bounds(&'static str),
}

/// A block as the directory describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEntry {
    /// Where its packed bytes start in the file.
    pub offset: u32,
    /// The length of its packed bytes.
    pub packed: u32,
    /// The length of its content.
    pub raw: u32,
    /// How many records it holds.
    pub rows: u16,
    /// The first id in it.
    pub first: RecordId,
    /// The checksum of its packed bytes.
    pub checksum: u64,
}

/// What is in a segment and where its blocks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What the segment is part of.
    pub kind: Kind,
    /// The model whose records it holds.
    pub model: ModelName,
    /// The revision of a run; 0 in a snapshot, whose segments are the same through many revisions.
    pub revision: u64,
    /// How many records it holds.
    pub count: u32,
    /// The length of its content before compression.
    pub content: u32,
    /// Its blocks, in order.
    pub blocks: Vec<BlockEntry>,
    /// The length of the whole file.
    pub file: u32,
}

impl Header {
    /// How long the header is, told by the first [`HEADER_PREFIX_BYTES`].
    pub fn len_of(prefix: &[u8]) -> Result<usize, HeaderError> {
        let mut reader = Reader { bytes: prefix, at: 0 };
        let short = HeaderError::Short { needed: HEADER_PREFIX_BYTES, got: prefix.len() };
        if reader.take(4).ok_or(short.clone())? != MAGIC {
            return Err(HeaderError::Magic);
        }
        match reader.u8().ok_or(short.clone())? {
            VERSION => {}
            other => return Err(HeaderError::Version(other)),
        }
        reader.u8().ok_or(short.clone())?;
        let len = reader.u32().ok_or(short)? as usize;
        let allowed = HEADER_PREFIX_BYTES + 8..=HEADER_BYTES_MAX;
        if allowed.contains(&len) { Ok(len) } else { Err(HeaderError::Bounds("length")) }
    }

    /// Reads a header from the start of a segment; what follows it is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let len = Self::len_of(bytes)?;
        let header = bytes.get(..len);
        let header = header.ok_or(HeaderError::Short { needed: len, got: bytes.len() })?;
        let (body, sum) = header.split_at(len - 8);
        if sum != checksum(body).to_le_bytes() {
            return Err(HeaderError::Checksum);
        }
        let mut reader = Reader { bytes: body, at: 5 };
        let parsed = Self::fields(&mut reader, len)?;
        if reader.at != body.len() {
            return Err(HeaderError::Bounds("length"));
        }
        parsed.check()?;
        Ok(parsed)
    }

    fn fields(reader: &mut Reader<'_>, len: usize) -> Result<Self, HeaderError> {
        let kind = match reader.u8() {
            Some(0) => Kind::Snapshot,
            Some(1) => Kind::Run,
            Some(_) | None => return Err(HeaderError::Bounds("kind")),
        };
        reader.u32().ok_or(HeaderError::Bounds("length"))?;
        let model = reader.text().and_then(|text| text.parse().ok());
        let model = model.ok_or(HeaderError::Bounds("model"))?;
        let revision = reader.u64().ok_or(HeaderError::Bounds("revision"))?;
        let count = reader.u32().ok_or(HeaderError::Bounds("count"))?;
        let content = reader.u32().ok_or(HeaderError::Bounds("content length"))?;
        let blocks = reader.u16().ok_or(HeaderError::Bounds("number of blocks"))?;
        let mut offset = u32::try_from(len).map_err(|_| HeaderError::Bounds("length"))?;
        let mut entries = Vec::with_capacity(usize::from(blocks));
        for _ in 0..blocks {
            let entry = BlockEntry::parse(reader, offset).ok_or(HeaderError::Bounds("block"))?;
            offset = offset.checked_add(entry.packed).ok_or(HeaderError::Bounds("block"))?;
            entries.push(entry);
        }
        Ok(Self { kind, model, revision, count, content, blocks: entries, file: offset })
    }

    fn check(&self) -> Result<(), HeaderError> {
        let count: u64 = self.blocks.iter().map(|block| u64::from(block.rows)).sum();
        let content: u64 = self.blocks.iter().map(|block| u64::from(block.raw)).sum();
        let records_max = match self.kind {
            Kind::Snapshot => SEGMENT_RECORDS_MAX,
            Kind::Run => RUN_PAGE_RECORDS_MAX,
        };
        if count == 0 || count != u64::from(self.count) || count > records_max as u64 {
            return Err(HeaderError::Bounds("count"));
        }
        // The cutter closes a segment after the record that reaches the limit.
        if content != u64::from(self.content)
            || content > (SEGMENT_CONTENT_MAX + BLOCK_BYTES_MAX) as u64
        {
            return Err(HeaderError::Bounds("content length"));
        }
        if self.file as usize > SEGMENT_BYTES_MAX {
            return Err(HeaderError::Bounds("file length"));
        }
        if !self.blocks.windows(2).all(|pair| pair[0].first < pair[1].first) {
            return Err(HeaderError::Bounds("order of blocks"));
        }
        Ok(())
    }

    /// The bytes of the header, as they stand at the start of the file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + self.blocks.len() * (ENTRY_BYTES + 32));
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        bytes.push(match self.kind {
            Kind::Snapshot => 0,
            Kind::Run => 1,
        });
        bytes.extend_from_slice(&[0; 4]);
        put_text(&mut bytes, self.model.as_str());
        bytes.extend_from_slice(&self.revision.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.content.to_le_bytes());
        let blocks = u16::try_from(self.blocks.len()).expect("a segment has at most 4096 blocks");
        bytes.extend_from_slice(&blocks.to_le_bytes());
        for block in &self.blocks {
            bytes.extend_from_slice(&block.packed.to_le_bytes());
            bytes.extend_from_slice(&block.raw.to_le_bytes());
            bytes.extend_from_slice(&block.rows.to_le_bytes());
            put_text(&mut bytes, block.first.as_str());
            bytes.extend_from_slice(&block.checksum.to_le_bytes());
        }
        let len = u32::try_from(bytes.len() + 8).expect("a header is far below 4 GB");
        bytes[6..10].copy_from_slice(&len.to_le_bytes());
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }
}

impl BlockEntry {
    fn parse(reader: &mut Reader<'_>, offset: u32) -> Option<Self> {
        let packed = reader.u32()?;
        let raw = reader.u32()?;
        let rows = reader.u16()?;
        let first = reader.text()?.parse().ok()?;
        let checksum = reader.u64()?;
        let allowed = (1..=BLOCK_RECORDS_MAX).contains(&usize::from(rows))
            && (1..=BLOCK_BYTES_MAX).contains(&(raw as usize))
            && (1..=SEGMENT_BYTES_MAX).contains(&(packed as usize));
        allowed.then_some(Self { offset, packed, raw, rows, first, checksum })
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).expect("names and ids have at most 128 bytes"));
    bytes.extend_from_slice(text.as_bytes());
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.u8()?;
        std::str::from_utf8(self.take(usize::from(len))?).ok()
    }
}
