//! What ReceiptLine's reference 4.0.4 writes for Star Line Mode, we write too.
//!
//! There is no interpreter of Star's language to be had, so this holds our bytes against another writer's: the same
//! command right before the same word.
//! Where a number may be itself or its digit, each writer has its own habit.

use std::process::Command;

use storebox_peripherals::printer::{Profile, star};
use storebox_peripherals::receipt::layout::layout;
use storebox_peripherals::receipt::receiptline;

use crate::process;

/// A document whose words stand at the left, and what has to stand in its bytes: ours, and the reference's if it differs.
const SAME: [(&str, &[u8], &[u8]); 9] = [
    ("|\"bold\"", b"\x1bEbold", b"\x1bEbold"),
    ("|_under_", b"\x1b-\x01under", b"\x1b-1under"),
    ("|`inv`", b"\x1b4inv", b"\x1b4inv"),
    ("|^wide", b"\x1bi\x00\x01wide", b"\x1bi\x00\x01wide"),
    ("|^^high", b"\x1bi\x01\x00high", b"\x1bi\x01\x00high"),
    ("|^^^big", b"\x1bi\x01\x01big", b"\x1bi\x01\x01big"),
    ("|^^^^huge", b"\x1bi\x02\x02huge", b"\x1bi\x02\x02huge"),
    ("|\u{416}", b"\x1b\x1dt\x0a\x86", b"\x1b\x1dt\x0a\x86"),
    ("x\n=", b"\x1bd\x03", b"\x1bd3"),
];

#[test]
fn styles_pages_and_cuts_are_those_of_another_writer() {
    let Some(reference) = process::node("receiptline") else { return };
    let documents: Vec<_> =
        SAME.iter().map(|(document, ..)| (document, 48, "multilingual", "starlinesbcs")).collect();
    let input = serde_json::to_vec(&documents).expect("texts and numbers");
    let mut node = Command::new("node");
    node.arg(process::script("layout.cjs")).arg(reference);
    let Some(said) = process::run(&mut node, &input) else { return };
    let theirs: Vec<String> = serde_json::from_slice(&said).expect("the script writes texts");
    assert_eq!(theirs.len(), SAME.len());
    for ((document, ours, other), theirs) in SAME.into_iter().zip(theirs) {
        let parsed = receiptline::parse(document).expect("a short document");
        let written = star::encode(&layout(&parsed, 48).sheet, &Profile::star_80());
        // The reference gives its bytes as letters of the same number.
        let theirs: Vec<u8> =
            theirs.chars().map(|c| u8::try_from(c).expect("a byte is a letter")).collect();
        let holds =
            |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|found| found == part);
        assert!(holds(&written, ours), "{document:?}: {:?}", String::from_utf8_lossy(&written));
        assert!(holds(&theirs, other), "{document:?}: {:?}", String::from_utf8_lossy(&theirs));
    }
}
