//! The list of a model's segments at one revision.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::feed::digest::model_digest;
use crate::ids::{Hash32, ModelName, RecordId};
use crate::limits::{
    MANIFEST_BYTES_MAX, MANIFEST_SEGMENTS_MAX, SEGMENT_BYTES_MAX, SEGMENT_RECORDS_MAX,
};

/// One segment of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// The first id in it.
    pub first: RecordId,
    /// The last id in it.
    pub last: RecordId,
    /// How many records it holds.
    pub count: u32,
    /// The length of its file.
    pub bytes: u32,
    /// The name of its file: the hash of its bytes.
    pub name: Hash32,
    /// The hash of its content before compression.
    pub digest: Hash32,
}

/// The segments of a model, in order; its file is named by its hash like a segment's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The model.
    pub model: ModelName,
    /// Its segments; their key ranges do not overlap.
    pub segments: Vec<SegmentEntry>,
}

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is longer than a manifest may be.
    #[error("a manifest of {bytes} bytes, the limit is {MANIFEST_BYTES_MAX}")]
    Large {
        /// Its length.
        bytes: usize,
    },
    /// It is not the JSON of a manifest.
    #[error("not the JSON of a manifest")]
    Json(#[source] serde_json::Error),
    /// It names more segments than a model may have.
    #[error("{segments} segments, the limit is {MANIFEST_SEGMENTS_MAX}")]
    Segments {
        /// How many it names.
        segments: usize,
    },
    /// A segment breaks a rule.
    #[error("segment {segment}: {rule}")]
    Segment {
        /// Which segment.
        segment: usize,
        /// The rule in words.
        rule: &'static str,
    },
}

impl Manifest {
    /// Reads a manifest and checks every rule.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::Large { bytes: bytes.len() });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks limits and order.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.segments.len() > MANIFEST_SEGMENTS_MAX {
            return Err(ManifestError::Segments { segments: self.segments.len() });
        }
        let mut before: Option<&RecordId> = None;
        for (segment, entry) in self.segments.iter().enumerate() {
            let broken = |rule| Err(ManifestError::Segment { segment, rule });
            if !(1..=SEGMENT_RECORDS_MAX).contains(&(entry.count as usize)) {
                return broken("its count is out of bounds");
            }
            if !(1..=SEGMENT_BYTES_MAX).contains(&(entry.bytes as usize)) {
                return broken("its length is out of bounds");
            }
            if entry.first > entry.last {
                return broken("its first id comes after its last");
            }
            if before.is_some_and(|before| *before >= entry.first) {
                return broken("it does not come after the one before");
            }
            before = Some(&entry.last);
        }
        Ok(())
    }

    /// The file; its name is the hash of these bytes.
    pub fn to_bytes(&self) -> Result<Bytes, ManifestError> {
        let bytes = serde_json::to_vec(self).map_err(ManifestError::Json)?;
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::Large { bytes: bytes.len() });
        }
        Ok(Bytes::from(bytes))
    }

    /// The model's digest.
    pub fn digest(&self) -> Hash32 {
        model_digest(self.segments.iter().map(|entry| (&entry.digest, entry.count)))
    }

    /// How many records the model has.
    pub fn count(&self) -> u64 {
        self.segments.iter().map(|entry| u64::from(entry.count)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(first: &str, last: &str) -> SegmentEntry {
        SegmentEntry {
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
            count: 3,
            bytes: 100,
            name: Hash32::of(first.as_bytes()),
            digest: Hash32::of(last.as_bytes()),
        }
    }

    fn manifest(segments: Vec<SegmentEntry>) -> Manifest {
        Manifest { model: "Product".parse().unwrap(), segments }
    }

    #[test]
    fn a_manifest_survives_its_bytes() {
        let manifest = manifest(vec![entry("a", "c"), entry("d", "d")]);
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
        assert_eq!(manifest.count(), 6);
    }

    #[test]
    fn overlapping_or_empty_segments_are_refused() {
        let mut none = entry("a", "b");
        none.count = 0;
        let mut huge = entry("a", "b");
        huge.bytes = u32::MAX;
        for bad in
            [vec![entry("a", "c"), entry("c", "d")], vec![entry("b", "a")], vec![none], vec![huge]]
        {
            let bytes = manifest(bad).to_bytes().unwrap();
            assert!(matches!(Manifest::parse(&bytes), Err(ManifestError::Segment { .. })));
        }
        assert!(matches!(Manifest::parse(b"[]"), Err(ManifestError::Json(_))));
    }
}
