use std::io::Cursor;

use super::*;
use crate::blockmap::BlockMap;
use crate::manifest::ReleaseFile;
use crate::signature::ReleaseKey;

const IMAGE: u64 = 8 << 20;

fn key() -> ReleaseKey {
    ReleaseKey::from_seed([1; 32])
}

/// A small release with a disk and a file, written by `key`.
fn written(key: &ReleaseKey) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0x5a; usize::try_from(IMAGE).unwrap()]);
    let content = [0..20_480, 1 << 20..(1 << 20) + 8192, IMAGE - 20_480..IMAGE];
    let map = BlockMap::survey(&mut disk, IMAGE, &content).unwrap();
    let file =
        ReleaseFile { name: "rootfs.img".parse().unwrap(), bytes: 5, blake3: Digest::of(b"hello") };
    let manifest = Manifest {
        format: 1,
        version: "1.4.0".parse().unwrap(),
        board: "x86-64".parse().unwrap(),
        min_version: "1.0.0".parse().unwrap(),
        disk: Some(map),
        files: vec![file],
    };
    let mut out = Vec::new();
    let sources = Sources { disk: Some(disk), files: vec![&b"hello"[..]] };
    create(&mut out, &manifest, key, sources).unwrap();
    out
}

fn open(bytes: &[u8]) -> Result<Bundle<Cursor<&[u8]>>, OpenError> {
    Bundle::open(Cursor::new(bytes), &[key().public()])
}

#[test]
fn a_release_is_read_as_it_was_written_and_written_the_same_twice() {
    let bytes = written(&key());
    assert_eq!(bytes, written(&key()));
    let mut bundle = open(&bytes).unwrap();
    assert_eq!(bundle.manifest().version.to_string(), "1.4.0");
    assert_eq!(bundle.chunk(1).unwrap(), vec![0x5a; 8192]);
    let mut file = Vec::new();
    bundle.copy_file(&"rootfs.img".parse().unwrap(), &mut file).unwrap();
    assert_eq!(file, b"hello");
    let mut checked = 0;
    bundle.check_content(&mut |bytes| checked = bytes).unwrap();
    assert_eq!(checked, bundle.content_bytes());
}

#[test]
fn a_release_cut_off_anywhere_is_refused_as_cut_off() {
    let bytes = written(&key());
    for len in (8..bytes.len()).step_by(97).chain([8, 87, 88, 89, bytes.len() - 1]) {
        let error = open(&bytes[..len]).unwrap_err();
        assert!(matches!(error, OpenError::Truncated { .. }), "{len}: {error:?}");
    }
    assert!(matches!(open(&bytes[..7]), Err(OpenError::NotABundle)));
    let long = [&bytes[..], b"x"].concat();
    assert!(matches!(open(&long), Err(OpenError::TrailingBytes { extra: 1 })));
}

#[test]
fn a_changed_bit_anywhere_is_noticed_before_it_is_used() {
    let bytes = written(&key());
    let manifest_end = 88 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let content = manifest_end.next_multiple_of(4096);
    let last_content = bytes.len() - 4096 + 5;
    for at in (0..manifest_end).chain((content..last_content).step_by(61)) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        match (at, open(&changed)) {
            (0..8, Err(OpenError::NotABundle))
            | (8..12, Err(OpenError::Format { .. }))
            | (16..24, Err(OpenError::Signature(SignatureError::UnknownKey { .. })))
            | (24.., Err(OpenError::Signature(SignatureError::Tampered { .. }))) => {}
            (12..16, Err(error)) => assert!(
                matches!(
                    error,
                    OpenError::Truncated { .. }
                        | OpenError::ManifestTooLarge { .. }
                        | OpenError::Signature(SignatureError::Tampered { .. })
                ),
                "{error:?}"
            ),
            (_, Ok(mut bundle)) => {
                assert!(at >= content, "{at} is covered by the signature");
                let error = bundle.check_content(&mut |_| {}).unwrap_err();
                assert!(matches!(error, ContentError::Damaged { .. }), "{at}: {error:?}");
            }
            (_, Err(error)) => panic!("{at}: {error:?}"),
        }
    }
}

#[test]
fn a_release_of_another_key_is_refused_by_name() {
    let bytes = written(&ReleaseKey::from_seed([9; 32]));
    let error = open(&bytes).unwrap_err();
    assert!(matches!(error, OpenError::Signature(SignatureError::UnknownKey { .. })));
}

#[test]
fn content_that_changed_after_it_was_described_is_not_signed() {
    let bytes = written(&key());
    let manifest = open(&bytes).unwrap().manifest().clone();
    let image = || Cursor::new(vec![0x5a; usize::try_from(IMAGE).unwrap()]);
    let sources = Sources { disk: Some(image()), files: vec![&b"hullo"[..]] };
    let error = create(&mut io::sink(), &manifest, &key(), sources).unwrap_err();
    assert!(matches!(error, CreateError::FileChanged { .. }));
    let mut changed = image();
    changed.get_mut()[(1 << 20) + 7] = 0;
    let sources = Sources { disk: Some(changed), files: vec![&b"hello"[..]] };
    let error = create(&mut io::sink(), &manifest, &key(), sources).unwrap_err();
    assert!(matches!(error, CreateError::DiskChanged { at: 1_048_576 }));
}
