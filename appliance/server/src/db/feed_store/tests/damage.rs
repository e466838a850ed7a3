//! What is damaged is found, named and repaired; it is never served.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::db::{AdoptError, ApplyError, FoldError, Health, ReadError};

fn built() -> Node {
    let mut node = Node::new(1000);
    node.store.apply(changes(1, (0..20_000).map(|n| (n, Some(1)))), None).unwrap();
    node
}

fn path(node: &Node, name: Hash32) -> PathBuf {
    let hex = name.to_string();
    node.dir.path().join("segments").join(&hex[..2]).join(hex)
}

/// Changes bytes in the middle of a segment file, in place.
fn damage(node: &Node, name: Hash32) {
    let path = path(node, name);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8].fill(0xee);
    fs::write(path, bytes).unwrap();
}

/// The first id that cannot be read.
fn first_damaged(node: &Node) -> ReadError {
    let now = node.store.current().unwrap();
    let damaged = (0..20_000).find_map(|number| match now.get(&product(), &id(number)) {
        Ok(found) => {
            assert_eq!(found, Some(record(number, 1)));
            None
        }
        Err(error) => Some(error),
    });
    damaged.expect("something is damaged")
}

#[test]
fn a_damaged_block_is_an_error_that_names_it_and_the_rest_is_served() {
    let node = built();
    let name = node.store.manifests()[0].segments[3].name;
    damage(&node, name);
    assert_eq!(node.segments.check(name), Health::Damaged);
    let error = first_damaged(&node);
    let ReadError::Damaged { segment, block: Some(_), .. } = error else { panic!("{error}") };
    assert_eq!(segment, name);
}

#[test]
fn a_file_that_is_fetched_again_is_served_at_once() {
    let node = built();
    let name = node.store.manifests()[0].segments[3].name;
    let good = node.segments.read(name).unwrap();
    damage(&node, name);
    first_damaged(&node);
    node.segments.set_aside(name).unwrap();
    assert_eq!(node.segments.check(name), Health::Missing);
    first_damaged(&node);
    node.segments.put(&good).unwrap();
    assert_eq!(node.content().len(), 20_000);
}

#[test]
fn a_range_is_repaired_from_the_author_at_a_later_revision() {
    let mut author = built();
    let mut replica = Node::new(1000);
    let first = author.store.manifests();
    replica.fetch(&author, &first);
    replica.store.adopt(snapshot(1, first.clone())).unwrap();
    let middle = first[0].segments[3].clone();
    let change = changes(2, [(middle.first.as_str().parse().unwrap(), Some(2))]);
    replica.store.apply(change.clone(), None).unwrap();
    let prepared = author.store.prepare(change).unwrap();
    let manifests = prepared.manifests.clone();
    author.store.commit(prepared).unwrap();

    damage(&replica, middle.name);
    let mut replica = replica.restart(1000);
    assert!(matches!(replica.store.fold(), Err(FoldError::Read(ReadError::Damaged { .. }))));
    assert_eq!(replica.fetch(&author, &manifests), 1);
    let repaired = replica.store.repair(&manifests).unwrap();
    assert_eq!(repaired, manifests);
    assert_eq!(replica.content(), author.content());
}

#[test]
fn a_snapshot_with_bad_segments_names_all_of_them_and_changes_nothing() {
    let mut node = built();
    let mut manifests = node.store.manifests();
    let before = node.digest();
    node.store.apply(changes(2, [(1, Some(9))]), None).unwrap();
    let other = Node::new(1000);
    let fetched = other.fetch(&node, &manifests);
    assert!(fetched > 5);
    let mut other = other;
    damage(&other, manifests[0].segments[2].name);
    other.segments.set_aside(manifests[0].segments[4].name).unwrap();
    manifests[0].segments[1].count += 1;
    let Err(AdoptError::Segments { bad }) = other.store.adopt(snapshot(1, manifests.clone()))
    else {
        panic!("bad segments were adopted")
    };
    let why: Vec<&str> = bad.iter().map(|bad| bad.why).collect();
    assert_eq!(why, ["is not what the manifest says", "is damaged", "is missing"]);
    assert!(other.store.current().is_none());

    manifests[0].segments[1].count -= 1;
    other.fetch(&node, &manifests);
    let name = manifests[0].segments[2].name;
    other.segments.put(&node.segments.read(name).unwrap()).unwrap();
    other.store.adopt(snapshot(1, manifests)).unwrap();
    assert_eq!(other.digest(), before);
}

#[test]
fn changes_on_a_damaged_range_are_refused_and_elsewhere_applied() {
    let mut node = built();
    let entry = node.store.manifests()[0].segments[3].clone();
    damage(&node, entry.name);
    let inside: u32 = entry.first.as_str().parse().unwrap();
    let refused = node.store.apply(changes(2, [(inside, Some(2))]), None);
    assert!(matches!(refused, Err(ApplyError::Read(ReadError::Damaged { .. }))));
    node.store.apply(changes(2, [(0, Some(2))]), None).unwrap();
}

/// The one generation directory of a node.
fn directory(node: &Node) -> PathBuf {
    let root = node.dir.path().join("feeds/catalogue");
    let name = fs::read_to_string(root.join("CURRENT")).unwrap();
    root.join(name)
}

#[test]
fn a_damaged_index_is_built_again() {
    let node = built();
    let expected = node.content();
    for entry in fs::read_dir(directory(&node)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            let len = fs::metadata(&path).unwrap().len();
            fs::write(&path, vec![7; usize::try_from(len).unwrap()]).unwrap();
        }
    }
    let node = node.restart(1000);
    let now = node.store.current().unwrap();
    let found = now.find(&product(), "barcode", "4000000012345", 5).unwrap();
    assert_eq!(found, [record(12_345, 1)]);
    assert_eq!(node.content(), expected);
}

#[test]
fn a_database_with_any_damage_is_set_aside_or_read_right() {
    let mut node = built();
    let earlier = node.content();
    node.store.apply(changes(2, (0..200).map(|n| (n, Some(2)))), None).unwrap();
    let expected = node.content();
    let file = directory(&node).join("db");
    let Node { dir, segments, store } = node;
    drop((segments, store));
    let good = fs::read(&file).unwrap();
    let used = good.iter().rposition(|byte| *byte != 0).unwrap();
    for at in (0..used).step_by(used / 23) {
        let mut bad = good.clone();
        bad[at..(at + 64).min(used)].fill(0x5a);
        let copy = tempfile::tempdir().unwrap();
        copy_tree(dir.path(), copy.path());
        let root = copy.path().join("feeds/catalogue");
        let name = fs::read_to_string(root.join("CURRENT")).unwrap();
        fs::write(root.join(name).join("db"), bad).unwrap();
        let (segments, opened) = open(copy.path(), 1000);
        match opened.incident {
            Some(incident) => {
                assert!(opened.store.current().is_none());
                assert!(incident.set_aside.is_some_and(|path| path.exists()));
            }
            None => {
                // sled may drop the damaged end of its log: a whole earlier revision, to be refreshed.
                let node = Node { dir: copy, segments, store: opened.store };
                let is_last = node.store.current().unwrap().revision() == 2;
                let right = if is_last { &expected } else { &earlier };
                assert!(node.content() == *right, "wrong content after damage at {at}");
            }
        }
    }
}

#[test]
fn an_interrupted_flip_leaves_the_old_generation_in_service() {
    let node = built();
    let expected = node.content();
    let root = node.dir.path().join("feeds/catalogue");
    let half = root.join("gen-99");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("db"), b"half").unwrap();
    fs::write(root.join("CURRENT.new"), b"gen-9").unwrap();
    let node = node.restart(1000);
    assert_eq!(node.content(), expected);
    assert!(!half.exists());
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
