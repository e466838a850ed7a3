//! What readers see.

use std::collections::BTreeSet;

use super::*;
use crate::db::ReadError;

/// A replica with a base of 5,000 products and changes over it.
fn replica() -> Node {
    let mut node = Node::new(1000);
    node.store.apply(changes(1, (0..5000).map(|n| (n, Some(1)))), None).unwrap();
    node.store.apply(changes(2, [(3, Some(2)), (9, None), (7000, Some(1))]), None).unwrap();
    node
}

fn ids(records: Result<Vec<Record>, ReadError>) -> Vec<String> {
    records.unwrap().into_iter().map(|record| record.id.to_string()).collect()
}

#[test]
fn a_record_is_found_by_id_and_by_barcode_in_base_and_overlay() {
    let node = replica();
    let now = node.store.current().unwrap();
    for (number, version) in [(0, 1), (3, 2), (4999, 1), (7000, 1)] {
        let expected = record(number, version);
        assert_eq!(now.get(&product(), &id(number)).unwrap(), Some(expected.clone()));
        let barcode = format!("40{number:011}");
        assert_eq!(now.find(&product(), "barcode", &barcode, 10).unwrap(), [expected]);
    }
    assert_eq!(now.get(&product(), &id(9)).unwrap(), None);
    assert_eq!(now.get(&product(), &id(5001)).unwrap(), None);
    assert!(now.find(&product(), "barcode", "4000000000009", 10).unwrap().is_empty());
    assert_eq!(now.count(&product()), Some(5000));
}

#[test]
fn many_records_with_one_value_come_in_the_order_of_their_ids() {
    let node = replica();
    let now = node.store.current().unwrap();
    let found = ids(now.find(&product(), "categoryId", "C0", 4));
    assert_eq!(found, ["000000", "000007", "000014", "000021"]);
    let found = ids(now.find(&product(), "categoryId", "C3", 3));
    assert_eq!(found, ["000003", "000010", "000017"]);
}

#[test]
fn a_prefix_finds_whole_values_first_and_words_after() {
    let node = replica();
    let now = node.store.current().unwrap();
    let found = now.prefix(&product(), "name", "MILK cru", 1000).unwrap();
    assert!(found.len() > 900 && found.iter().all(|r| r.body.starts_with(b"{\"barcode")));
    let found = ids(now.prefix(&product(), "name", "crus", 3));
    assert_eq!(found, ["000002", "000005", "000008"]);
    let found = ids(now.prefix(&product(), "barcode", "400000000700", 5));
    assert_eq!(found, ["007000"]);
    // "no" is a word of every name and the start of none; the changed record comes through the overlay.
    let found = now.prefix(&product(), "name", "no", 10).unwrap();
    assert_eq!(found[3], record(3, 2));
    assert_eq!(
        found.iter().map(|r| r.id.clone()).collect::<std::collections::BTreeSet<_>>().len(),
        10
    );
}

#[test]
fn a_mistyped_word_is_found_nearest_first() {
    let node = replica();
    let now = node.store.current().unwrap();
    assert_eq!(ids(now.fuzzy(&product(), "name", "crusht milk", 2)), ["000002", "000005"]);
    assert_eq!(ids(now.fuzzy(&product(), "name", "frehs", 2)), ["000000", "000003"]);
    assert_eq!(ids(now.fuzzy(&product(), "name", "fresk", 2)), ["000000", "000003"]);
    assert_eq!(ids(now.fuzzy(&product(), "name", "bread", 2)), Vec::<String>::new());
}

#[test]
fn a_list_goes_on_after_its_last_id_through_base_and_overlay() {
    let node = replica();
    let now = node.store.current().unwrap();
    let (mut after, mut listed) = (None, Vec::new());
    loop {
        let page = now.list(&product(), after.as_ref(), 777).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        listed.extend(page.into_iter().map(|record| (record.id, record.body)));
    }
    let expected: Vec<_> = node.content().into_iter().collect();
    assert_eq!(listed, expected);
    assert_eq!(ids(now.list(&product(), Some(&id(8)), 2)), ["000010", "000011"]);
    assert_eq!(ids(now.list(&product(), Some(&id(4999)), 2)), ["007000"]);
}

#[test]
fn what_is_not_indexed_is_refused_with_its_name() {
    let node = replica();
    let now = node.store.current().unwrap();
    let stranger: ModelName = "Stranger".parse().unwrap();
    assert_eq!(
        now.get(&stranger, &id(1)),
        Err(ReadError::ModelUnknown { model: stranger.clone() })
    );
    let refused = ReadError::IndexUnknown { model: product(), field: "price".to_owned() };
    assert_eq!(now.find(&product(), "price", "1", 1), Err(refused));
}

fn in_use(node: &Node) -> BTreeSet<Hash32> {
    let read = node.store.current().unwrap().segments();
    read.into_iter().map(|(_, name)| name).collect()
}

#[test]
fn a_reader_keeps_what_it_started_on() {
    let mut node = replica();
    let before = node.store.current().unwrap();
    let old = node.content();
    node.store.apply(changes(3, (0..3000).map(|n| (n, None))), None).unwrap();
    let removed = node.segments.sweep(&in_use(&node)).unwrap();
    assert_eq!(removed, 0, "the old generation is still held");
    let mut seen = BTreeMap::new();
    before.each(&product(), |record| seen.insert(record.id, record.body).is_none()).unwrap();
    assert_eq!(seen, old);
    drop(before);
    assert!(node.segments.sweep(&in_use(&node)).unwrap() > 0);
    assert_eq!(node.content().len(), 2001);
}

#[test]
fn large_records_survive_a_restart_and_their_removal() {
    let mut node = Node::new(1000);
    node.store.apply(changes(1, [(1, Some(1))]), None).unwrap();
    let large = Bytes::from(format!("{{\"name\":\"{}\"}}", "x".repeat(60_000)));
    let mut set = changes(2, []);
    let change = Change { id: id(2), body: Some(large.clone()) };
    set.changes.insert(product(), vec![change]);
    node.store.apply(set, None).unwrap();
    let mut node = node.restart(1000);
    assert_eq!(node.content().get(&id(2)), Some(&large));
    node.store.apply(changes(3, [(2, Some(1))]), None).unwrap();
    let node = node.restart(1000);
    assert_eq!(node.content().get(&id(2)), Some(&body(2, 1)));
}

#[test]
fn changes_that_do_not_fit_or_lie_are_refused_and_nothing_happens() {
    let mut node = replica();
    let before = node.digest();
    let gap = node.store.apply(changes(4, [(1, None)]), None);
    assert!(matches!(gap, Err(super::super::ApplyError::Gap { current_revision: 2, .. })));
    let several = ChangeSet { after: 2, ..changes(4, [(1, None)]) };
    let ahead = node.store.prepare(several);
    assert!(matches!(ahead, Err(super::super::ApplyError::Gap { after: 2, .. })));
    let wrong = BTreeMap::from([(product(), Hash32::of(b"lie"))]);
    let lie = node.store.apply(changes(3, [(1, None)]), Some(&wrong));
    assert!(matches!(lie, Err(super::super::ApplyError::Digest { .. })));
    assert_eq!(node.digest(), before);
    assert_eq!(node.restart(1000).digest(), before);
}

#[test]
fn changes_of_several_revisions_at_once_lead_where_each_of_them_would() {
    let (mut each, mut at_once) = (replica(), replica());
    each.store.apply(changes(3, [(1, Some(7)), (9000, Some(1))]), None).unwrap();
    each.store.apply(changes(4, [(9000, None), (2, None)]), None).unwrap();
    let all = changes(4, [(1, Some(7)), (2, None), (9000, None)]);
    at_once.store.apply(ChangeSet { after: 2, ..all }, None).unwrap();
    assert_eq!(at_once.digest(), each.digest());
    assert_eq!(at_once.content(), each.content());
    let again = at_once.restart(1000);
    assert_eq!((again.digest(), again.store.current().unwrap().revision()), (each.digest(), 4));
}

#[test]
fn a_new_definition_makes_a_field_findable_and_leaves_the_records_alone() {
    let mut node = replica();
    let before = node.digest();
    let mut defs = defs();
    defs[0].indexes = vec![IndexDef { field: "id".to_owned(), kind: IndexKind::Exact }];
    node.store.redefine(defs).unwrap();
    let now = node.store.current().unwrap();
    assert_eq!(now.find(&product(), "id", "000003", 5).unwrap(), [record(3, 2)]);
    assert_eq!(now.find(&product(), "id", "004000", 5).unwrap(), [record(4000, 1)]);
    assert!(now.find(&product(), "barcode", "4000000000003", 5).is_err());
    assert_eq!((node.digest(), now.revision(), now.overlay_len()), (before, 2, 3));
    drop(now);
    let node = node.restart(1000);
    let now = node.store.current().unwrap();
    assert_eq!(now.find(&product(), "barcode", "4000000000003", 5).unwrap(), [record(3, 2)]);
}
