//! What a model looks like after changes: its ranges cut again where they are touched.

use bytes::Bytes;
use storebox_proto::feed::segment::DraftError;
use storebox_proto::feed::{
    Change, Draft, Packer, Piece, Record, SegmentEntry, content_digest, recut,
};
use storebox_proto::ids::{Hash32, ModelName, RecordId};

use super::generation::ReadError;
use super::model::{ModelView, Range};
use super::segments::{SegmentStore, StoreError};

/// The level at which an author packs; smaller files are read many times (decision 0003).
pub(super) const PACK_LEVEL: u8 = 6;
/// Finished segments that wait to be synced together.
const PENDING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Why ranges cannot be cut.
#[derive(Debug, thiserror::Error)]
pub(super) enum CutError {
    #[error("read the records of a range")]
    Read(#[from] ReadError),
    #[error("pack a segment")]
    Pack(#[from] DraftError),
    #[error("store a segment")]
    Store(#[from] StoreError),
}

/// The ranges of a model after changes; `cut` makes a range of the records of a new one.
pub(super) fn ranges_after<E: From<ReadError>>(
    view: &ModelView,
    changes: &[Change],
    mut cut: impl FnMut(Vec<Record>) -> Result<Option<Range>, E>,
) -> Result<Vec<Range>, E> {
    let lasts: Vec<&RecordId> = view.ranges.iter().map(|range| &range.last).collect();
    let mut next = Vec::with_capacity(lasts.len() + 1);
    recut(
        &lasts,
        changes,
        |number| view.range(&view.ranges[number]).map_err(E::from),
        |piece| {
            match piece {
                Piece::Kept(number) => next.push(view.ranges[number].clone()),
                Piece::Cut(records) => next.extend(cut(records)?),
            }
            Ok(())
        },
    )?;
    Ok(next)
}

/// A range that is known by its digest alone.
pub(super) fn computed(records: &[Record]) -> Option<Range> {
    let (first, last) = (records.first()?.id.clone(), records.last()?.id.clone());
    let count = u32::try_from(records.len()).ok()?;
    Some(Range { first, last, count, digest: content_digest(records), file: None })
}

/// Writes segments, several at a time.
pub(super) struct SegmentSink<'a> {
    store: &'a SegmentStore,
    packer: Packer,
    pending: Vec<(Hash32, Bytes)>,
    pending_bytes: usize,
}

impl<'a> SegmentSink<'a> {
    pub(super) fn new(store: &'a SegmentStore) -> Self {
        let packer = Packer::new(PACK_LEVEL);
        Self { store, packer, pending: Vec::new(), pending_bytes: 0 }
    }

    /// Packs the records of a range; the file is durable after [`SegmentSink::finish`].
    pub(super) fn write(
        &mut self,
        model: &ModelName,
        records: &[Record],
    ) -> Result<SegmentEntry, CutError> {
        let mut draft = Draft::snapshot(model.clone());
        for record in records {
            draft.push(&record.id, Some(&record.body))?;
        }
        let packed = draft.pack(&mut self.packer)?;
        self.pending_bytes += packed.bytes.len();
        self.pending.push((packed.entry.name, packed.bytes));
        if self.pending_bytes > PENDING_BYTES_MAX {
            self.finish()?;
        }
        Ok(packed.entry)
    }

    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        self.pending_bytes = 0;
        let pending = std::mem::take(&mut self.pending);
        self.store.put_many(pending.iter().map(|(name, bytes)| (*name, bytes)))
    }
}
