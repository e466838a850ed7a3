//! Bytes that other boxes have on disk.
//!
//! If a test here fails, do not change the test: boxes in the field would no longer agree.

use std::convert::Infallible;

use bytes::Bytes;

use super::segment::{Draft, Packer, Segment};
use super::{Change, Piece, content_digest, model_digest, recut};
use crate::ids::{Hash32, RecordId};

fn records() -> Vec<Change> {
    let body = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    vec![
        Change { id: "1".parse().unwrap(), body: body("{\"id\":\"1\",\"name\":\"Milk\"}") },
        Change { id: "2".parse().unwrap(), body: None },
        Change { id: "é".parse().unwrap(), body: body("{}") },
    ]
}

const DIGEST: &str = "1089e3430f3195b0f23c13f056d6053b0a8a3746a7d72e890971ec6bfdffec36";
const RUN: &str = concat!(
    "534258530101400000000750726f647563742a000000000000000300000024000000010029000000",
    "24000000030001317270a1243ccce0c40cec520cc2dbc3e6012400dbff0131197b226964223a2231",
    "222c226e616d65223a224d696c6b227d01320002c3a9037b7d",
);

#[test]
fn a_run_of_version_1_is_read() {
    let bytes = hex::decode(RUN).unwrap();
    let segment = Segment::parse(Bytes::from(bytes)).unwrap();
    assert_eq!(segment.header().model.as_str(), "Product");
    assert_eq!(segment.header().revision, 42);
    let (contents, changes) = segment.changes().unwrap();
    assert_eq!(changes, records());
    assert_eq!(contents.digest.to_string(), DIGEST);
}

#[test]
fn a_run_is_written_in_version_1() {
    let mut draft = Draft::run("Product".parse().unwrap(), 42);
    for change in records() {
        draft.push(&change.id, change.body.as_deref()).unwrap();
    }
    assert_eq!(draft.digest().to_string(), DIGEST);
    let packed = draft.pack(&mut Packer::new(6)).unwrap();
    assert_eq!(hex::encode(&packed.bytes), RUN);
}

#[test]
fn a_model_is_cut_and_hashed_as_ever() {
    let changes: Vec<Change> = (0..30_000)
        .map(|number| {
            let id: RecordId = format!("{number:05}").parse().unwrap();
            Change { id, body: Some(Bytes::from(format!("{{\"n\":{number}}}"))) }
        })
        .collect();
    let mut cut: Vec<(Hash32, u32)> = Vec::new();
    let none = |_| Ok::<_, Infallible>(Vec::new());
    let Ok(()) = recut(&[], &changes, none, |piece| {
        if let Piece::Cut(records) = piece {
            cut.push((content_digest(&records), u32::try_from(records.len()).unwrap()));
        }
        Ok(())
    });
    let counts: Vec<u32> = cut.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts[..5], [1465, 847, 190, 1137, 904]);
    let digest = model_digest(cut.iter().map(|(digest, count)| (digest, *count)));
    assert_eq!(
        digest.to_string(),
        "ec01af79f6cbd5d21f0f7bc56cc5a06306641cbd9ac2a38a4430454adb32d357"
    );
}
