use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::dictionary::Dictionary;
use super::*;

fn build(keys: &[(String, u32)]) -> FieldIndex {
    let mut whole = Dictionary::default();
    for (key, position) in keys {
        whole.add(key.as_bytes(), *position);
    }
    FieldIndex::assemble(Hash32::of(b"base"), &whole.finish(), &Dictionary::default().finish())
}

#[test]
fn a_changed_or_foreign_index_is_refused() {
    let index = build(&[("a".to_owned(), 1), ("b".to_owned(), 2), ("a".to_owned(), 3)]);
    let file = Bytes::copy_from_slice(index.file());
    assert!(FieldIndex::parse(file.clone(), Hash32::of(b"base")).is_ok());
    let stale = FieldIndex::parse(file.clone(), Hash32::of(b"other"));
    assert!(matches!(stale, Err(IndexError::Stale)));
    for at in 0..file.len() {
        let mut bad = file.to_vec();
        bad[at] ^= 1;
        assert!(FieldIndex::parse(Bytes::from(bad), Hash32::of(b"base")).is_err(), "byte {at}");
    }
    let short = FieldIndex::parse(file.slice(..40), Hash32::of(b"base"));
    assert!(matches!(short, Err(IndexError::Damaged)));
}

proptest! {
    #[test]
    fn every_key_leads_to_its_positions(
        keys in prop::collection::vec("[a-c ]{1,4}", 0..400),
        prefix in "[a-c]{0,2}",
    ) {
        let keys: Vec<(String, u32)> = keys.into_iter().zip(0..).collect();
        let index = build(&keys);
        let mut model: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (key, position) in &keys {
            model.entry(key).or_default().push(*position);
        }
        for (key, positions) in &model {
            prop_assert_eq!(&index.whole.get(key).collect::<Vec<_>>(), positions);
        }
        prop_assert_eq!(index.whole.get("zz").count(), 0);
        let mut seen = BTreeSet::new();
        let visit = |key: &str, _| Ok::<bool, ()>(seen.insert(key.to_owned()));
        prop_assert_eq!(index.whole.prefix(&prefix, visit), Ok(()));
        let expected: BTreeSet<String> = model
            .keys()
            .filter(|key| key.starts_with(&prefix))
            .map(|key| (*key).to_owned())
            .collect();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn any_bytes_are_no_index(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(FieldIndex::parse(Bytes::from(bytes), Hash32::of(b"base")).is_err());
    }
}
