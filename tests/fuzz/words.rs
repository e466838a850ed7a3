//! What tills, partners, other hosts of the LAN and people say.

use serde_json::Value;
use storebox_proto::beacon::{Beacon, Pointer};
use storebox_proto::query::Query;
use storebox_proto::ticket::Envelope;

use crate::driver::{Target, shape};

const JSON: &[&[u8]] = &[
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"-1",
    b"1e999",
    b"\\u0000",
    b"18446744073709551616",
    b"-5.684341886080802e-14",
];

/// What is read is written as it was, so that its digest stays.
pub(crate) fn envelope() -> Target {
    let judge = |input: &[u8]| match Envelope::parse(input) {
        Ok(envelope) => {
            let canonical = envelope.canonical();
            let again = Envelope::parse(&canonical).expect("what was read can be read again");
            assert!(again.digest() == envelope.digest(), "the digest is another");
            shape((1, envelope.depends_on.len(), envelope.session.is_some()))
        }
        Err(error) => shape((2, error.to_string().len())),
    };
    Target { name: "envelope", seeds: &[], words: JSON, bytes_max: 2048, judge }
}

/// A question is also held against a record, whose values are as wild as those of the question.
pub(crate) fn query() -> Target {
    let judge = |input: &[u8]| {
        let row = [("id", "1e-2147483648"), ("name", "-0.0e400")];
        let row = row.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect();
        let Ok(request) = serde_json::from_slice::<Value>(input) else { return 0 };
        match Query::parse(&request) {
            Ok(query) => {
                let fits = query.criteria.fits(&row);
                shape((1, format!("{:?}", query.criteria).len(), fits))
            }
            Err(fault) => shape((2, fault.to_string().len())),
        }
    };
    let words: &[&[u8]] = &[
        b"\"",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b"\"criteria\":",
        b"\"operator\":",
        b"\"and\"",
        b"\"or\"",
        b"\"iContains\"",
        b"\"between\"",
        b"\"inSet\"",
        b"\"value\":",
        b"null",
        b"1e999",
        b"\"1e-2147483648\"",
        b"\"fieldName\":\"id\",",
        b"\"fieldName\":\"name\",",
        b"\"equals\"",
        b"\"greaterThan\"",
    ];
    Target { name: "query", seeds: &[], words, bytes_max: 2048, judge }
}

/// The TXT record of an announcement, as any host of the LAN can send it.
pub(crate) fn beacon() -> Target {
    let judge = |input: &[u8]| match Beacon::decode(input) {
        Ok(beacon) => {
            let again = Beacon::decode(&beacon.encode()).expect("what was read can be said");
            assert!(again == beacon, "{beacon:?} is said as {again:?}");
            shape((1, beacon.progress.is_some(), beacon.name.is_some()))
        }
        Err(error) => shape((2, error.to_string().len())),
    };
    let words: &[&[u8]] = &[b"\x06", b"\xff", b"=", b"site=", b"node=", b"role=", b"prio=", b"\0"];
    Target { name: "beacon", seeds: &[], words, bytes_max: 600, judge }
}

/// The text of a label, of DHCP or of a person.
pub(crate) fn pointer() -> Target {
    let judge = |input: &[u8]| match Pointer::parse(&String::from_utf8_lossy(input), 8080) {
        Ok(pointer) => shape((1, pointer.places.len())),
        Err(error) => shape((2, error.to_string().len())),
    };
    let words: &[&[u8]] =
        &[b"SBX1 ", b"host=", b"port=", b"[::1]", b":", b",", b" ", b"65536", b".local"];
    Target { name: "pointer", seeds: &[], words, bytes_max: 512, judge }
}

pub(crate) fn configuration() -> Target {
    let judge = |input: &[u8]| match storebox::config::parse(
        "box.toml",
        &String::from_utf8_lossy(input),
        &[],
    ) {
        Ok(config) => shape((1, config.sources.len(), config.devices.len())),
        Err(error) => shape((2, error.to_string().len())),
    };
    let words: &[&[u8]] =
        &[b"[", b"]", b"=", b"\"", b"\n", b"[[source]]\n", b"[main]\n", b"-1", b"true", b"0x"];
    Target { name: "configuration", seeds: &[], words, bytes_max: 8192, judge }
}
