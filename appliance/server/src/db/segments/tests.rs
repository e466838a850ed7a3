use super::*;

fn store() -> (tempfile::TempDir, SegmentStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(dir.path()).unwrap();
    (dir, store)
}

#[test]
fn a_file_is_found_under_its_hash() {
    let (_dir, store) = store();
    let bytes = Bytes::from_static(b"some bytes");
    let name = store.put(&bytes).unwrap();
    assert_eq!(store.read(name).unwrap(), bytes);
    assert_eq!(store.read_part(name, 5, 100).unwrap(), b"bytes");
    assert_eq!(store.check(name), Health::Intact);
    assert_eq!(store.names().unwrap(), [name]);
    let missing = Hash32::of(b"other");
    assert!(matches!(store.read(missing), Err(StoreError::Missing { .. })));
}

#[test]
fn many_files_are_stored_together_and_a_damaged_one_is_replaced() {
    let (_dir, store) = store();
    let files: Vec<Bytes> = (0..40).map(|n| Bytes::from(format!("file {n}"))).collect();
    let named: Vec<(Hash32, &Bytes)> = files.iter().map(|file| (Hash32::of(file), file)).collect();
    store.put_many(named.clone()).unwrap();
    let victim = named[7].0;
    fs::write(store.path(victim), b"rot").unwrap();
    assert_eq!(store.check(victim), Health::Damaged);
    store.put_many(named).unwrap();
    assert_eq!(store.check(victim), Health::Intact);
    assert_eq!(store.names().unwrap().len(), 40);
}

#[test]
fn a_write_that_fails_leaves_nothing_behind() {
    let (dir, store) = store();
    let files = [b"one", b"two"].map(|bytes| Bytes::from_static(bytes));
    let named = files.each_ref().map(|file| (Hash32::of(file), file));
    let blocked = store.path(named[1].0);
    fs::write(blocked.parent().unwrap(), b"a file in the place of the directory").unwrap();
    assert!(store.put_many(named).is_err());
    assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 0);
    assert!(!store.contains(named[1].0));
}

#[test]
fn a_leased_file_survives_every_sweep() {
    let (_dir, store) = store();
    let kept = store.put(&Bytes::from_static(b"kept")).unwrap();
    let read = store.put(&Bytes::from_static(b"read")).unwrap();
    let free = store.put(&Bytes::from_static(b"free")).unwrap();
    let lease = store.lease(read);
    assert_eq!(store.sweep(&BTreeSet::from([kept])).unwrap(), 1);
    assert_eq!((store.contains(read), store.contains(free)), (true, false));
    assert!(!store.remove(read).unwrap());
    drop(lease);
    assert!(store.remove(read).unwrap());
    assert!(!store.contains(read));
}

#[test]
fn an_interrupted_write_leaves_nothing_behind() {
    let (dir, store) = store();
    fs::write(dir.path().join("new").join("17"), b"half").unwrap();
    drop(store);
    let store = SegmentStore::open(dir.path()).unwrap();
    assert!(store.names().unwrap().is_empty());
    assert!(!dir.path().join("new").join("17").exists());
}

#[test]
fn few_damaged_files_are_kept_for_a_technician() {
    let (dir, store) = store();
    for number in 0..SET_ASIDE_MAX + 3 {
        let name = store.put(&Bytes::from(format!("file {number}"))).unwrap();
        store.set_aside(name).unwrap();
    }
    assert!(store.names().unwrap().is_empty());
    assert_eq!(fs::read_dir(dir.path().join("set-aside")).unwrap().count(), SET_ASIDE_MAX);
}
