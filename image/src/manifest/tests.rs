use proptest::prelude::*;

use super::*;

fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        version: "1.4.0".parse().unwrap(),
        board: "x86-64".parse().unwrap(),
        min_version: "1.2.0".parse().unwrap(),
        disk: None,
        files: vec![ReleaseFile {
            name: "rootfs.img".parse().unwrap(),
            bytes: 5,
            blake3: Digest::of(b"hello"),
        }],
    }
}

fn policy() -> Policy {
    Policy {
        board: "x86-64".parse().unwrap(),
        installed: Some("1.3.9".parse().unwrap()),
        floor: "1.1.0".parse().unwrap(),
        older_allowed: false,
    }
}

#[test]
fn a_manifest_survives_its_bytes_and_prints_the_same_twice() {
    let bytes = manifest().to_bytes().unwrap();
    assert_eq!(Manifest::parse(&bytes).unwrap(), manifest());
    assert_eq!(manifest().to_bytes().unwrap(), bytes);
}

#[test]
fn each_reason_to_refuse_a_release_has_its_own_error() {
    assert_eq!(manifest().admit(&policy()), Ok(()));
    let foreign = Policy { board: "rpi4".parse().unwrap(), ..policy() };
    assert!(matches!(manifest().admit(&foreign), Err(Refused::ForeignBoard { .. })));
    let newer = Policy { installed: Some("1.10.0".parse().unwrap()), ..policy() };
    assert!(matches!(manifest().admit(&newer), Err(Refused::Older { .. })));
    let asked = Policy { older_allowed: true, ..newer };
    assert_eq!(manifest().admit(&asked), Ok(()));
    let floor = Policy { floor: "1.4.1".parse().unwrap(), ..asked };
    assert!(matches!(manifest().admit(&floor), Err(Refused::BelowFloor { .. })));
    let empty = Policy { installed: None, ..policy() };
    assert_eq!(manifest().admit(&empty), Ok(()));
}

#[test]
fn a_manifest_that_breaks_a_rule_is_not_written_and_not_read() {
    let mut twice = manifest();
    twice.files.push(twice.files[0].clone());
    assert!(matches!(twice.to_bytes(), Err(InvalidManifest::Twice { .. })));
    let unread = serde_json::to_vec(&twice).unwrap();
    assert!(matches!(Manifest::parse(&unread), Err(InvalidManifest::Twice { .. })));

    let self_refusing = Manifest { min_version: "1.4.1".parse().unwrap(), ..manifest() };
    assert!(matches!(self_refusing.to_bytes(), Err(InvalidManifest::MinVersion { .. })));

    let mut huge = manifest();
    huge.files[0].bytes = u64::MAX;
    assert!(matches!(huge.to_bytes(), Err(InvalidManifest::Sizes)));

    let newer = br#"{"format":2,"something":"else"}"#;
    assert!(matches!(Manifest::parse(newer), Err(InvalidManifest::Format { found: 2 })));
    let text = String::from_utf8(manifest().to_bytes().unwrap()).unwrap();
    let unknown = text.replacen('{', "{\"extra\":1,", 1);
    assert!(matches!(Manifest::parse(unknown.as_bytes()), Err(InvalidManifest::Syntax(_))));
}

#[test]
fn versions_compare_as_numbers_and_names_are_no_paths() {
    let version = |text: &str| text.parse::<Version>();
    assert!(version("1.10.0").unwrap() > version("1.9.9").unwrap());
    for bad in ["", "1", "1.2", "1.2.3.4", "1.2.x", "1.2.+3", "1.02.3", "1.2.4294967296"] {
        assert!(version(bad).is_err(), "{bad}");
    }
    for bad in ["", "../x", "a/b", ".hidden", "A", "ü"] {
        assert!(bad.parse::<FileName>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Manifest::parse(&bytes);
    }

    #[test]
    fn roundtrip_version(major: u32, minor: u32, patch: u32) {
        let version = Version { major, minor, patch };
        prop_assert_eq!(version.to_string().parse(), Ok(version));
    }
}
