//! Masterdata as it travels, and what is sealed.

use bytes::Bytes;
use storebox_proto::feed::{Manifest, Segment, SignedHead};
use storebox_proto::seal::{Keyring, Ring, Scope, SiteKey, answer, read, write};
use storebox_proto::time::Timestamp;

use crate::driver::{Target, shape};

/// Of a whole number of records, and never more than the header has said.
pub(crate) fn segment() -> Target {
    let judge = |input: &[u8]| match Segment::parse(Bytes::copy_from_slice(input)) {
        Err(error) => shape(error.to_string().len()),
        Ok(segment) => {
            let count = segment.header().count as usize;
            match segment.changes() {
                Ok((contents, changes)) => {
                    assert!(changes.len() == count, "{} of {count} records", changes.len());
                    assert!(contents.first <= contents.last, "records are in order");
                    shape((1, count))
                }
                Err(error) => shape((2, error.to_string().len())),
            }
        }
    };
    Target {
        name: "segment",
        seeds: &[],
        words: &[b"\0\0", b"\xff\xff\xff\xff"],
        bytes_max: 2048,
        judge,
    }
}

pub(crate) fn manifest() -> Target {
    let judge = |input: &[u8]| match Manifest::parse(input) {
        Ok(manifest) => shape(manifest.segments.len()),
        Err(error) => shape(error.to_string().len()),
    };
    let words: &[&[u8]] = &[b"\0\0", b"\xff\xff\xff\xff", b"Product", b"{", b"}", b"\"", b":"];
    Target { name: "manifest", seeds: &[], words, bytes_max: 2048, judge }
}

/// What nobody has signed is believed by nobody.
pub(crate) fn head() -> Target {
    let judge = |input: &[u8]| match SignedHead::parse(input) {
        Ok(head) => {
            let stranger = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
            assert!(head.open(&[stranger]).is_err(), "a stranger's key opens nothing");
            shape(1)
        }
        Err(error) => shape((2, error.to_string().len())),
    };
    let words: &[&[u8]] =
        &[b"\"", b"{", b"}", b":", b",", b"head", b"key", b"signature", b"\\u0000"];
    Target { name: "head", seeds: &[], words, bytes_max: 4096, judge }
}

/// The first line is a URL, the rest a body; whoever has no key seals nothing that opens.
pub(crate) fn sealed() -> Target {
    let judge = |input: &[u8]| {
        let now = Timestamp::from_unix_ms(1_795_341_720_000);
        let key = SiteKey::new([3; 32]);
        let site = "store-1".parse().expect("a literal name");
        let ring = Ring::begin(&key, site, Scope::Tills, 1, now);
        let rings = Keyring::new(vec![ring]).expect("one ring has no rival");
        let moment = rings.moment(now);
        let line = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
        let url = String::from_utf8_lossy(&input[..line]).into_owned();
        let body = input.get(line + 1..).unwrap_or_default();
        let keys = moment.sealing(Scope::Tills).expect("a ring of tills");
        let (kid, tail) = (keys.kid(), url.rsplit('/').next().unwrap_or_default());
        // The name of the key is public, so a stranger can say it.
        let known = format!("/x/{kid}/{tail}");
        for url in [&url, &known] {
            assert!(read::open(&moment, url).is_err(), "a read that nobody sealed");
            assert!(write::open(&moment, url, body).is_err(), "a write that nobody sealed");
        }
        let question = answer::Question::read(&known);
        let said = answer::open(keys, &question, body);
        shape(said.expect_err("an answer that nobody sealed").to_string().len())
    };
    let words: &[&[u8]] = &[b"/x/", b"/", b"\n", b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", b"=", b"-_"];
    Target { name: "sealed", seeds: &[], words, bytes_max: 1024, judge }
}
