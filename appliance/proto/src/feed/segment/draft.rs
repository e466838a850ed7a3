//! A segment in the making.

use bytes::Bytes;
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress, create_comp_flags_from_zip_params,
};

use crate::feed::manifest::SegmentEntry;
use crate::feed::segment::header::{BlockEntry, Header};
use crate::feed::segment::{Kind, checksum, rows};
use crate::ids::{Hash32, ModelName, RecordId};
use crate::limits::{
    BLOCK_BYTES_TARGET, BLOCK_RECORDS_MAX, RECORD_BYTES_MAX, RUN_PAGE_RECORDS_MAX,
    SEGMENT_BYTES_MAX, SEGMENT_CONTENT_MAX, SEGMENT_RECORDS_MAX,
};

/// Why a record cannot be added, or a draft not be packed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The id is not greater than the one before.
    #[error("record {id} is out of order")]
    Order {
        /// The record's id.
        id: RecordId,
    },
    /// The body is longer than a record may be.
    #[error("record {id} has {bytes} bytes, the limit is {RECORD_BYTES_MAX}")]
    Large {
        /// The record's id.
        id: RecordId,
        /// Its length.
        bytes: usize,
    },
    /// A snapshot has no tombstones.
    #[error("record {id} is a tombstone in a snapshot")]
    Tombstone {
        /// The record's id.
        id: RecordId,
    },
    /// The segment has reached its limit and takes no more.
    #[error("the segment is full")]
    Full,
    /// There is nothing to pack.
    #[error("the segment is empty")]
    Empty,
    /// The content does not shrink and the file would exceed its limit.
    #[error("the segment packs to {bytes} bytes, the limit is {SEGMENT_BYTES_MAX}")]
    Incompressible {
        /// What it packs to.
        bytes: usize,
    },
}

/// A compressor with its level; one per thread, used for many segments.
pub struct Packer {
    compressor: Box<CompressorOxide>,
}

impl Packer {
    /// A packer of a level from 0 (fast) to 9 (small); the level is no part of the format.
    pub fn new(level: u8) -> Self {
        let flags = create_comp_flags_from_zip_params(i32::from(level.min(9)), 0, 0);
        Self { compressor: Box::new(CompressorOxide::new(flags)) }
    }

    fn pack(&mut self, content: &[u8], file: &mut Vec<u8>) {
        self.compressor.reset();
        let start = file.len();
        // Deflate adds at most 5 bytes per 32 KB to what does not shrink.
        file.resize(start + content.len() + content.len() / 1024 + 64, 0);
        let (status, _, packed) =
            compress(&mut self.compressor, content, &mut file[start..], TDEFLFlush::Finish);
        assert_eq!(
            status,
            TDEFLStatus::Done,
            "the output has room for content that does not shrink"
        );
        file.truncate(start + packed);
    }
}

/// A finished segment.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The file.
    pub bytes: Bytes,
    /// Its entry in a manifest: ids, count, name and digest.
    pub entry: SegmentEntry,
}

/// Records on their way into a segment; compression waits for [`Draft::pack`], which another thread may do.
#[derive(Debug, Clone)]
pub struct Draft {
    kind: Kind,
    model: ModelName,
    revision: u64,
    content: Vec<u8>,
    /// Where each block ends, with its number of rows and its first id.
    blocks: Vec<(usize, u16, RecordId)>,
    last: Option<RecordId>,
    count: usize,
}

impl Draft {
    /// An empty segment of a snapshot.
    pub fn snapshot(model: ModelName) -> Self {
        Self::new(Kind::Snapshot, model, 0)
    }

    /// An empty page of the run of a revision.
    pub fn run(model: ModelName, revision: u64) -> Self {
        Self::new(Kind::Run, model, revision)
    }

    fn new(kind: Kind, model: ModelName, revision: u64) -> Self {
        let (content, blocks) = (Vec::new(), Vec::new());
        Self { kind, model, revision, content, blocks, last: None, count: 0 }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the segment takes no more; a run goes on with the next page.
    pub fn is_full(&self) -> bool {
        let records_max = match self.kind {
            Kind::Snapshot => SEGMENT_RECORDS_MAX,
            Kind::Run => RUN_PAGE_RECORDS_MAX,
        };
        self.count >= records_max || self.content.len() >= SEGMENT_CONTENT_MAX
    }

    /// Adds a record, or in a run a tombstone; ids ascend.
    pub fn push(&mut self, id: &RecordId, body: Option<&[u8]>) -> Result<(), DraftError> {
        if self.is_full() {
            return Err(DraftError::Full);
        }
        if self.last.as_ref().is_some_and(|last| last >= id) {
            return Err(DraftError::Order { id: id.clone() });
        }
        match (self.kind, body) {
            (Kind::Snapshot, None) => return Err(DraftError::Tombstone { id: id.clone() }),
            (_, Some(body)) if body.len() > RECORD_BYTES_MAX => {
                return Err(DraftError::Large { id: id.clone(), bytes: body.len() });
            }
            (Kind::Snapshot | Kind::Run, _) => {}
        }
        let starts_block = match self.blocks.last() {
            None => true,
            Some((_, rows, _)) if usize::from(*rows) >= BLOCK_RECORDS_MAX => true,
            Some(_) => self.block_len() >= BLOCK_BYTES_TARGET,
        };
        if starts_block {
            self.blocks.push((self.content.len(), 0, id.clone()));
        }
        rows::write(&mut self.content, id.as_str(), body);
        if let Some((end, rows, _)) = self.blocks.last_mut() {
            *end = self.content.len();
            *rows += 1;
        }
        self.last = Some(id.clone());
        self.count += 1;
        Ok(())
    }

    fn block_len(&self) -> usize {
        let start = self.blocks.len().checked_sub(2).map_or(0, |before| self.blocks[before].0);
        self.content.len() - start
    }

    /// The digest of the content so far.
    pub fn digest(&self) -> Hash32 {
        Hash32::of(&self.content)
    }

    /// Compresses and names the segment.
    pub fn pack(self, packer: &mut Packer) -> Result<Packed, DraftError> {
        let (Some(first), Some(last)) = (self.blocks.first(), self.last.clone()) else {
            return Err(DraftError::Empty);
        };
        let first = first.2.clone();
        let mut packed = Vec::with_capacity(self.content.len() / 4);
        let mut entries = Vec::with_capacity(self.blocks.len());
        let mut start = 0;
        for (end, rows, id) in &self.blocks {
            let offset = packed.len();
            packer.pack(&self.content[start..*end], &mut packed);
            entries.push(BlockEntry {
                offset: 0,
                packed: length(packed.len() - offset),
                raw: length(end - start),
                rows: *rows,
                first: id.clone(),
                checksum: checksum(&packed[offset..]),
            });
            start = *end;
        }
        let header = Header {
            kind: self.kind,
            model: self.model,
            revision: self.revision,
            count: length(self.count),
            content: length(self.content.len()),
            blocks: entries,
            file: 0,
        };
        let mut bytes = header.to_bytes();
        bytes.append(&mut packed);
        if bytes.len() > SEGMENT_BYTES_MAX {
            return Err(DraftError::Incompressible { bytes: bytes.len() });
        }
        let entry = SegmentEntry {
            first,
            last,
            count: length(self.count),
            bytes: length(bytes.len()),
            name: Hash32::of(&bytes),
            digest: Hash32::of(&self.content),
        };
        Ok(Packed { bytes: Bytes::from(bytes), entry })
    }
}

fn length(len: usize) -> u32 {
    u32::try_from(len).expect("every length in a segment is far below 4 GB")
}
