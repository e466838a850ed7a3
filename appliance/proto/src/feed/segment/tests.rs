use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::ids::{Hash32, RecordId};
use crate::limits::{BLOCK_BYTES_TARGET, RECORD_BYTES_MAX, SEGMENT_BYTES_MAX};

fn model() -> crate::ids::ModelName {
    "Product".parse().unwrap()
}

fn id(text: &str) -> RecordId {
    text.parse().unwrap()
}

/// A segment of this many small records.
fn products(count: usize) -> Packed {
    let mut draft = Draft::snapshot(model());
    for number in 0..count {
        let body = format!("{{\"id\":\"{number:06}\",\"name\":\"Milk {number}\"}}");
        draft.push(&id(&format!("{number:06}")), Some(body.as_bytes())).unwrap();
    }
    draft.pack(&mut Packer::new(6)).unwrap()
}

fn checked(bytes: Vec<u8>) -> Result<Contents, SegmentError> {
    Segment::parse(Bytes::from(bytes))?.verify(|_| {})
}

#[test]
fn a_segment_tells_what_it_holds() {
    let packed = products(300);
    let segment = Segment::parse(packed.bytes.clone()).unwrap();
    let contents = segment.verify(|_| {}).unwrap();
    assert_eq!(segment.header().blocks.len(), 5);
    assert_eq!(contents.digest, packed.entry.digest);
    assert_eq!((contents.first, contents.last), (packed.entry.first, packed.entry.last));
    assert_eq!(packed.entry.name, Hash32::of(&packed.bytes));
    let block = segment.block(1).unwrap();
    assert_eq!(block.find("000065"), Ok(1));
    assert_eq!(block.find("0000651"), Err(2));
    assert_eq!(block.id(1), "000065");
}

#[test]
fn equal_records_make_equal_files_and_the_level_does_not_change_the_digest() {
    let mut packer = Packer::new(6);
    let mut draft = Draft::snapshot(model());
    for number in 0..300 {
        draft.push(&id(&format!("{number:06}")), Some(b"{\"a\":1,\"b\":\"some text\"}")).unwrap();
    }
    let first = draft.clone().pack(&mut packer).unwrap();
    let second = draft.clone().pack(&mut packer).unwrap();
    let other = draft.pack(&mut Packer::new(1)).unwrap();
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(first.entry.digest, other.entry.digest);
}

#[test]
fn large_records_get_blocks_of_their_own() {
    let mut draft = Draft::snapshot(model());
    let body = vec![b'x'; RECORD_BYTES_MAX];
    for number in 0..9 {
        draft.push(&id(&number.to_string()), Some(&body)).unwrap();
    }
    let packed = draft.pack(&mut Packer::new(1)).unwrap();
    let segment = Segment::parse(packed.bytes).unwrap();
    assert!(segment.header().blocks.iter().all(|block| block.raw as usize > BLOCK_BYTES_TARGET));
    assert_eq!(segment.header().blocks.len(), 9);
    assert!(segment.verify(|_| {}).is_ok());
}

#[test]
fn a_draft_refuses_what_a_reader_would_refuse() {
    let mut draft = Draft::snapshot(model());
    draft.push(&id("b"), Some(b"{}")).unwrap();
    assert!(matches!(draft.push(&id("b"), Some(b"{}")), Err(DraftError::Order { .. })));
    assert!(matches!(draft.push(&id("c"), None), Err(DraftError::Tombstone { .. })));
    let large = vec![0; RECORD_BYTES_MAX + 1];
    assert!(matches!(draft.push(&id("c"), Some(&large)), Err(DraftError::Large { .. })));
    let empty = Draft::run(model(), 1).pack(&mut Packer::new(1));
    assert_eq!(empty.map(|_| ()), Err(DraftError::Empty));
}

#[test]
fn a_changed_byte_is_found_wherever_it_is() {
    let bytes = products(40).bytes;
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        assert!(checked(changed).is_err(), "byte {at}");
    }
}

#[test]
fn a_damaged_block_leaves_the_others_readable() {
    let bytes = products(300).bytes;
    let blocks = Segment::parse(bytes.clone()).unwrap().into_header().blocks;
    let mut changed = bytes.to_vec();
    changed[blocks[2].offset as usize + 5] ^= 0x10;
    let segment = Segment::parse(Bytes::from(changed)).unwrap();
    assert!(segment.block(1).is_ok());
    let damaged = SegmentError::Block { block: 2, source: BlockError::Checksum };
    assert_eq!(segment.block(2).map(|_| ()), Err(damaged));
    assert!(segment.block(3).is_ok());
}

#[test]
fn a_block_that_unpacks_to_more_than_it_says_is_refused() {
    let bomb = miniz_oxide::deflate::compress_to_vec(&vec![0; 10_000_000], 9);
    let entry = BlockEntry {
        offset: 0,
        packed: u32::try_from(bomb.len()).unwrap(),
        raw: 1000,
        rows: 1,
        first: id("a"),
        checksum: checksum(&bomb),
    };
    let refused = Block::decode(&entry, Kind::Snapshot, &bomb).map(|_| ());
    assert_eq!(refused, Err(BlockError::Unpack { expected: 1000 }));
}

/// A header with a right checksum, so that the fields behind it are reached.
fn forged(mut fields: Vec<u8>) -> Vec<u8> {
    let mut bytes = b"SBXS\x01".to_vec();
    fields.truncate(60_000);
    let (kind, rest) = fields.split_first().map_or((0, &[][..]), |(kind, rest)| (kind & 1, rest));
    bytes.push(kind);
    bytes.extend_from_slice(&u32::try_from(rest.len() + 18).unwrap().to_le_bytes());
    bytes.extend_from_slice(rest);
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

proptest! {
    #[test]
    fn roundtrip_of_any_records(
        rows in prop::collection::btree_map(
            "[a-zA-Z0-9é/ -]{1,20}",
            prop::option::of(prop::collection::vec(any::<u8>(), 0..600)),
            1..300,
        )
    ) {
        let rows: BTreeMap<RecordId, Option<Vec<u8>>> =
            rows.into_iter().map(|(key, body)| (id(&key), body)).collect();
        let mut draft = Draft::run(model(), 9);
        for (key, body) in &rows {
            draft.push(key, body.as_deref()).unwrap();
        }
        let digest = draft.digest();
        let packed = draft.pack(&mut Packer::new(6)).unwrap();
        let segment = Segment::parse(packed.bytes).unwrap();
        let (contents, changes) = segment.changes().unwrap();
        prop_assert_eq!(contents.digest, digest);
        let got: BTreeMap<RecordId, Option<Vec<u8>>> = changes
            .into_iter()
            .map(|change| (change.id, change.body.map(|body| body.to_vec())))
            .collect();
        prop_assert_eq!(got, rows);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(checked(bytes.clone()).is_err());
        let _ = checked(forged(bytes));
    }

    #[test]
    fn any_content_of_a_block_never_panics(
        content in prop::collection::vec(any::<u8>(), 1..2000),
        rows in 1u16..64,
    ) {
        let packed = miniz_oxide::deflate::compress_to_vec(&content, 1);
        let entry = BlockEntry {
            offset: 0,
            packed: u32::try_from(packed.len()).unwrap(),
            raw: u32::try_from(content.len()).unwrap(),
            rows,
            first: id("a"),
            checksum: checksum(&packed),
        };
        let _ = Block::decode(&entry, Kind::Run, &packed);
    }
}

#[test]
fn a_header_cannot_ask_for_more_than_the_limits() {
    let mut fields = vec![0, 1, b'M'];
    fields.extend_from_slice(&0u64.to_le_bytes());
    fields.extend_from_slice(&1u32.to_le_bytes());
    fields.extend_from_slice(&u32::MAX.to_le_bytes());
    fields.extend_from_slice(&1u16.to_le_bytes());
    fields.extend_from_slice(&u32::try_from(SEGMENT_BYTES_MAX).unwrap().to_le_bytes());
    fields.extend_from_slice(&u32::MAX.to_le_bytes());
    fields.extend_from_slice(&1u16.to_le_bytes());
    fields.extend_from_slice(&[1, b'a']);
    fields.extend_from_slice(&0u64.to_le_bytes());
    let refused = Header::parse(&forged(fields));
    assert_eq!(refused, Err(HeaderError::Bounds("block")));
}
