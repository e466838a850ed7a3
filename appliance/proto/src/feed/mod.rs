//! Masterdata as bytes: records, segments, manifests, heads, and the registry of models.

pub mod record;
pub mod registry;

pub mod cutter;
pub mod digest;
pub mod head;
pub mod manifest;
pub mod position;
pub mod segment;

pub use cutter::{Cutter, Piece, recut};
pub use digest::{content_digest, model_digest};
pub use head::{Head, HeadModel, Run, RunPage, SignedHead};
pub use manifest::{Manifest, SegmentEntry};
pub use position::Position;
pub use record::{Change, Record};
pub use registry::{IndexDef, IndexKind, ModelDef, Registry, Scope};
pub use segment::{Block, Draft, Packer, Segment};

#[cfg(test)]
mod golden;
