//! Whatever way a revision is reached, content and digests are the same.

use proptest::prelude::*;

use super::*;
use crate::db::SnapshotWriter;

type Sets = Vec<BTreeMap<u32, Option<u32>>>;

/// Change sets, some of them dense in one place, on a few thousand ids.
fn sets() -> impl Strategy<Value = Sets> {
    let change = (0u32..6000, prop::option::weighted(0.75, 0u32..4));
    let spread = prop::collection::btree_map(0u32..6000, change.prop_map(|(_, v)| v), 1..600);
    let dense = (0u32..5500, 1u32..400, prop::option::weighted(0.6, 4u32..8))
        .prop_map(|(from, len, version)| (from..from + len).map(|id| (id, version)).collect());
    prop::collection::vec(prop_oneof![spread, dense], 1..5)
}

fn from_scratch(content: &BTreeMap<RecordId, Bytes>) -> Manifest {
    let dir = tempfile::tempdir().unwrap();
    let segments = SegmentStore::open(dir.path()).unwrap();
    let mut writer = SnapshotWriter::new(&segments, product()).unwrap();
    for (id, body) in content {
        writer.push(&Record { id: id.clone(), body: body.clone() }).unwrap();
    }
    writer.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn incremental_full_and_folded_replicas_agree(sets in sets()) {
        let mut author = Node::new(1_000_000);
        let mut follower = Node::new(1_000_000);
        let mut folding = Node::new(0);
        let mut expected = BTreeMap::new();
        for (set, revision) in sets.into_iter().zip(1..) {
            for (number, version) in &set {
                match version {
                    Some(version) => drop(expected.insert(id(*number), body(*number, *version))),
                    None => drop(expected.remove(&id(*number))),
                }
            }
            let prepared = author.store.prepare(changes(revision, set.clone())).unwrap();
            let manifests = prepared.manifests.clone();
            author.store.commit(prepared).unwrap();
            let heads = BTreeMap::from([(product(), author.digest())]);
            follower.store.apply(changes(revision, set.clone()), Some(&heads)).unwrap();
            folding.store.apply(changes(revision, set), Some(&heads)).unwrap();
            prop_assert_eq!(&follower.content(), &expected);
            prop_assert_eq!(&folding.content(), &expected);
            prop_assert_eq!(folding.store.current().unwrap().overlay_len(), 0);
            prop_assert_eq!(&folding.store.manifests(), &manifests);
            prop_assert_eq!(from_scratch(&expected).digest(), follower.digest());
        }
        let whole = from_scratch(&expected);
        prop_assert_eq!(author.digest(), whole.digest());
        prop_assert_eq!(&folding.store.manifests()[..], std::slice::from_ref(&whole));
        let mut follower = follower.restart(1_000_000);
        prop_assert_eq!(&follower.content(), &expected);
        let folded = follower.store.fold().unwrap();
        prop_assert_eq!(&folded, &folding.store.manifests());
        prop_assert_eq!(&follower.content(), &expected);

        let mut full = Node::new(1_000_000);
        full.fetch(&folding, &folded);
        full.store.adopt(snapshot(9, folded)).unwrap();
        prop_assert_eq!(&full.content(), &expected);
        prop_assert_eq!(full.digest(), author.digest());
        prop_assert_eq!(&full.restart(0).content(), &expected);
    }
}

#[test]
fn a_full_refresh_fetches_only_what_differs() {
    let mut author = Node::new(0);
    author.store.apply(changes(1, (0..20_000).map(|n| (n, Some(1)))), None).unwrap();
    let mut replica = Node::new(0);
    let first = author.store.manifests();
    let all = replica.fetch(&author, &first);
    replica.store.adopt(snapshot(1, first)).unwrap();
    author.store.apply(changes(2, [(7_000, Some(2)), (7_001, None)]), None).unwrap();
    let second = author.store.manifests();
    let fetched = replica.fetch(&author, &second);
    replica.store.adopt(snapshot(2, second)).unwrap();
    assert_eq!(replica.content(), author.content());
    assert!(all > 10 && fetched <= 2, "{fetched} of {all}");
}
