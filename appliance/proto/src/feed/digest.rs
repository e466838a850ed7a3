//! What two boxes compare to know that they hold the same records.
//!
//! A digest is over content before compression, so two compressors agree on it.
//! A model's digest is over its segments' digests, so a difference is found by comparing lists, not records;
//! it is equal on two boxes because both cut their segments by the same rule (`cutter`).

use crate::feed::record::Record;
use crate::feed::segment::rows;
use crate::ids::Hash32;

const MODEL_DOMAIN: &[u8] = b"storebox-model-v1\n";

/// The digest of a segment that holds these records, whether or not it exists as a file.
pub fn content_digest(records: &[Record]) -> Hash32 {
    // Hashed in one piece: BLAKE3 is several times as fast on many kilobytes as on single rows.
    let len = records.iter().map(|record| rows::len(record.id.as_str(), Some(&record.body))).sum();
    let mut content = Vec::with_capacity(len);
    for record in records {
        rows::write(&mut content, record.id.as_str(), Some(&record.body));
    }
    Hash32::of(&content)
}

/// The digest of a model: over the digests and counts of its segments, in order.
///
/// A model without segments has a digest too.
pub fn model_digest<'a>(segments: impl IntoIterator<Item = (&'a Hash32, u32)>) -> Hash32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(MODEL_DOMAIN);
    for (digest, count) in segments {
        hasher.update(&digest.0);
        hasher.update(&count.to_le_bytes());
    }
    Hash32(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_model_has_a_digest() {
        let empty = model_digest([]);
        assert_eq!(empty, Hash32::of(MODEL_DOMAIN));
        assert_ne!(empty, model_digest([(&Hash32::of(b""), 0)]));
    }

    #[test]
    fn the_digest_depends_on_order_and_counts() {
        let (a, b) = (Hash32::of(b"a"), Hash32::of(b"b"));
        assert_ne!(model_digest([(&a, 1), (&b, 1)]), model_digest([(&b, 1), (&a, 1)]));
        assert_ne!(model_digest([(&a, 1)]), model_digest([(&a, 2)]));
    }
}
