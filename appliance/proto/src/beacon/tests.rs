use proptest::prelude::*;

use super::*;

fn beacon() -> Beacon {
    Beacon {
        site: "s0042".parse().unwrap(),
        node: "box-1".parse().unwrap(),
        role: Role::Primary,
        priority: 10,
        progress: Some(Progress { epoch: 3, revision: 4711 }),
        api: 1,
        terminal_api: 1,
        takes_terminals: true,
        boot: 0xdead_beef,
        name: Some("Tienda Río".to_owned()),
    }
}

fn entry(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend_from_slice(text);
    bytes
}

/// The record with one entry replaced, or taken out if there is no replacement.
fn with(key: &str, replacement: Option<&[u8]>) -> Vec<u8> {
    let mut record = Vec::new();
    for (known, value) in beacon().entries() {
        if known != key {
            record.extend(entry(format!("{known}={value}").as_bytes()));
        } else if let Some(replacement) = replacement {
            record.extend(entry(replacement));
        }
    }
    record
}

#[test]
fn the_record_of_a_box_reads_as_written_down() {
    let text: Vec<String> =
        beacon().entries().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        text.join(" "),
        "txtvers=1 site=s0042 node=box-1 role=primary prio=10 api=1 term=1 pair=1 boot=deadbeef \
         rev=3.4711 name=Tienda Río"
    );
}

#[test]
fn the_largest_beacon_fits_its_limit() {
    let long = "x".repeat(32);
    let largest = Beacon {
        site: long.parse().unwrap(),
        node: long.parse().unwrap(),
        role: Role::Primary,
        priority: u16::MAX,
        progress: Some(Progress { epoch: u64::MAX, revision: u64::MAX }),
        api: u16::MAX,
        terminal_api: u16::MAX,
        takes_terminals: true,
        boot: u32::MAX,
        name: Some("é".repeat(200)),
    };
    let record = largest.encode();
    assert!(record.len() <= BEACON_BYTES_MAX, "{}", record.len());
    let read = Beacon::decode(&record).unwrap();
    assert_eq!(read.name, Some("é".repeat(31)));
}

#[test]
fn a_missing_or_bad_value_is_refused_by_its_key() {
    for key in ["site", "node", "role", "prio", "api", "term", "pair", "boot"] {
        assert_eq!(Beacon::decode(&with(key, None)), Err(BeaconError::Missing { key }));
        let bad = format!("{key}=No Such");
        assert_eq!(
            Beacon::decode(&with(key, Some(bad.as_bytes()))),
            Err(BeaconError::Value { key })
        );
    }
    let bad: [(&'static str, &[u8]); 4] = [
        ("prio", b"prio=65536"),
        ("prio", b"prio=+1"),
        ("rev", b"rev=7"),
        ("name", b"name=a\x07b"),
    ];
    for (key, text) in bad {
        assert_eq!(Beacon::decode(&with(key, Some(text))), Err(BeaconError::Value { key }));
    }
    assert_eq!(Beacon::decode(&with("txtvers", None)), Err(BeaconError::Version));
    assert_eq!(Beacon::decode(&with("txtvers", Some(b"txtvers=2"))), Err(BeaconError::Version));
}

#[test]
fn unknown_keys_are_passed_over_and_the_first_of_two_wins() {
    let mut record = beacon().encode();
    for text in [b"new=1".as_slice(), b"NODE=evil", b"=odd", b"", b"bare"] {
        record.extend(entry(text));
    }
    assert_eq!(Beacon::decode(&record), Ok(beacon()));
    assert_eq!(Beacon::decode(&with("node", Some(b"NoDe=box-1"))).unwrap().node, beacon().node);
}

#[test]
fn a_flood_of_entries_and_a_cut_record_are_refused() {
    assert_eq!(Beacon::decode(&[0; 40]), Err(BeaconError::TooMany));
    let large = [0; BEACON_BYTES_MAX + 1];
    assert_eq!(Beacon::decode(&large), Err(BeaconError::TooLarge { bytes: large.len() }));
    let record = beacon().encode();
    assert_eq!(Beacon::decode(&record[..record.len() - 1]), Err(BeaconError::Truncated));
    assert_eq!(Beacon::decode(b""), Err(BeaconError::Version));
}

#[test]
fn labels_are_lower_case_and_stay_within_dns() {
    let label = Label::of_key(&Hash32::of(b"key"));
    assert_eq!(label.as_str().len(), 19);
    assert_eq!(label.host(), format!("{label}.local."));
    assert_eq!(label.contested(7), format!("{label}-00000007").parse().unwrap());
    let long: Label = "a".repeat(63).parse().unwrap();
    assert!(long.contested(1).as_str().parse::<Label>().is_ok());
    for bad in ["", "Upper", "a.b", "-a", "a-", "a b"] {
        assert!(bad.parse::<Label>().is_err(), "{bad}");
    }
}

prop_compose! {
    fn any_beacon()(
        site in "[a-z0-9-]{1,32}",
        node in "[a-z0-9-]{1,32}",
        role in 0_usize..4,
        priority: u16,
        progress in proptest::option::of((any::<u64>(), any::<u64>())),
        apis: (u16, u16),
        takes_terminals: bool,
        boot: u32,
        name in proptest::option::of("[ -~à-ÿ]{1,20}"),
    ) -> Beacon {
        Beacon {
            site: site.parse().unwrap(),
            node: node.parse().unwrap(),
            role: Role::ALL[role],
            priority,
            progress: progress.map(|(epoch, revision)| Progress { epoch, revision }),
            api: apis.0,
            terminal_api: apis.1,
            takes_terminals,
            boot,
            name,
        }
    }
}

proptest! {
    #[test]
    fn roundtrip_of_every_beacon(beacon in any_beacon()) {
        prop_assert_eq!(Beacon::decode(&beacon.encode()), Ok(beacon));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Beacon::decode(&bytes);
    }

    #[test]
    fn any_damage_to_a_record_is_read_or_refused(
        beacon in any_beacon(), at in any::<prop::sample::Index>(), value: u8,
    ) {
        let mut record = beacon.encode();
        let at = at.index(record.len());
        record[at] = value;
        if let Ok(read) = Beacon::decode(&record) {
            prop_assert_eq!(Beacon::decode(&read.encode()), Ok(read));
        }
    }
}
