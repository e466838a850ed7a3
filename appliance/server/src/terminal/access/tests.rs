use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

#[test]
fn a_token_lets_its_terminal_in_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    let token = access.add(Kind::Terminal, "till-1", [7; 32], at(1)).unwrap();
    let till = Identity::Terminal("till-1".parse().unwrap());
    assert_eq!(access.who(&token, at(2)), Ok(till.clone()));
    assert_eq!(access.list(Kind::Terminal, at(2))[0].last_seen, Some(at(2)));
    let again = Access::open(dir.path()).unwrap();
    assert_eq!(again.who(&token, at(3)), Ok(till));
    assert_eq!(again.who("sbt_wrong", at(3)), Err(Stranger::Unknown));
    let file = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
    assert!(!file.contains(&hex::encode([7; 32])), "the token itself is never stored");
}

#[test]
fn a_revoked_terminal_stays_out_and_returns_in_the_next_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    let old = access.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    assert!(matches!(
        access.add(Kind::Terminal, "till-1", [2; 32], at(1)),
        Err(AccessError::Exists(_))
    ));
    access.revoke(Kind::Terminal, "till-1", at(2)).unwrap();
    assert_eq!(access.who(&old, at(3)), Err(Stranger::Revoked));
    assert!(matches!(access.revoke(Kind::Terminal, "till-1", at(3)), Err(AccessError::Unknown(_))));
    let new = access.add(Kind::Terminal, "till-1", [2; 32], at(4)).unwrap();
    assert!(access.who(&new, at(5)).is_ok());
    for access in [&access, &Access::open(dir.path()).unwrap()] {
        assert_eq!(access.who(&old, at(5)), Err(Stranger::Revoked), "for ever");
        assert_eq!(access.epoch(&"till-1".parse().unwrap(), at(5)), Some(2));
    }
}

#[test]
fn a_terminal_and_a_node_may_share_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    access.add(Kind::Terminal, "a", [1; 32], at(1)).unwrap();
    let token = access.add(Kind::Node, "a", [2; 32], at(1)).unwrap();
    assert_eq!(access.who(&token, at(1)), Ok(Identity::Node("a".parse().unwrap())));
    assert!(access.add(Kind::Node, "Not A Name", [3; 32], at(1)).is_err());
}

#[test]
fn an_enrolled_member_has_an_epoch_and_can_be_replaced_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    let (old, new) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
    let may = |key| access.certified(Kind::Terminal, "till-1", key, at(9));
    assert_eq!(may(old), Err(Stranger::Unknown));
    access.enrol(Kind::Terminal, "till-1", old, false, at(1)).unwrap();
    access.enrol(Kind::Terminal, "till-1", old, false, at(1)).unwrap();
    access.meet(Kind::Terminal, "till-1", new, at(1)).unwrap();
    assert_eq!((may(old), may(new)), (Ok(()), Err(Stranger::Revoked)));
    let taken = access.enrol(Kind::Terminal, "till-2", old, false, at(2));
    assert!(matches!(taken, Err(AccessError::KeyTaken)));
    let there = access.enrol(Kind::Terminal, "till-1", new, false, at(2));
    assert!(matches!(there, Err(AccessError::Exists(_))));
    access.enrol(Kind::Terminal, "till-1", new, true, at(2)).unwrap();
    assert_eq!((may(old), may(new)), (Err(Stranger::Revoked), Ok(())));
    assert_eq!(access.epoch(&"till-1".parse().unwrap(), at(2)), Some(2));
    access.revoke(Kind::Terminal, "till-1", at(3)).unwrap();
    assert_eq!(
        Access::open(dir.path()).unwrap().certified(Kind::Terminal, "till-1", new, at(4)),
        Err(Stranger::Revoked)
    );
    access.meet(Kind::Terminal, "till-1", new, at(4)).unwrap();
    assert_eq!(may(new), Err(Stranger::Revoked), "coming again does not help");
}

#[test]
fn a_certificate_is_not_let_in_under_the_name_of_a_terminal_that_has_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    let (old, never_met, new) = (Fingerprint([1; 32]), Fingerprint([2; 32]), Fingerprint([3; 32]));
    let may = |key| access.certified(Kind::Terminal, "till-1", key, at(9));
    // Removed, and added again by a token.
    access.enrol(Kind::Terminal, "till-1", old, false, at(1)).unwrap();
    access.revoke(Kind::Terminal, "till-1", at(2)).unwrap();
    let token = access.add(Kind::Terminal, "till-1", [7; 32], at(3)).unwrap();
    assert_eq!(may(old), Err(Stranger::Revoked));
    assert_eq!(may(never_met), Err(Stranger::Namesake), "another box has let it in, or had");
    access.meet(Kind::Terminal, "till-1", never_met, at(4)).unwrap();
    assert_eq!(may(never_met), Err(Stranger::Namesake), "coming again does not help");
    assert!(access.who(&token, at(5)).is_ok());
    // Enrolled in place of the one with the token.
    access.enrol(Kind::Terminal, "till-1", new, true, at(6)).unwrap();
    assert_eq!((may(new), may(old)), (Ok(()), Err(Stranger::Revoked)));
    assert_eq!(access.who(&token, at(7)), Err(Stranger::Revoked));
    // Boxes have both: head office knows them by their token, and their line by its certificate.
    access.add(Kind::Node, "store-1", [8; 32], at(8)).unwrap();
    assert_eq!(access.certified(Kind::Node, "store-1", new, at(9)), Ok(()));
}

#[test]
fn what_names_had_before_is_bounded_and_the_oldest_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut book = Book::default();
    let entry = |number: usize| Entry {
        kind: Kind::Terminal,
        name: "till-1".to_owned(),
        hash: Hash32::of(&number.to_le_bytes()),
        epoch: u32::try_from(number).unwrap(),
        added: at(1),
        revoked: None,
        key: None,
    };
    for number in 0..=PAST_MAX + 1 {
        book = book.with([entry(number)], []).unwrap();
    }
    let knows = |number: usize| book.by_hash(&entry(number).hash.0.into()).is_some();
    assert!(!knows(0) && knows(1) && knows(PAST_MAX + 1));
    assert_eq!(book.with_past(Kind::Terminal).count(), PAST_MAX + 1);
    std::fs::write(dir.path().join(FILE), book.bytes()).unwrap();
    assert_eq!(Access::open(dir.path()).unwrap().terminals().len(), PAST_MAX + 1);
}

#[test]
fn an_heir_takes_over_who_is_out_as_well() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [before, heir] = [0, 1].map(|index: usize| Access::open(dirs[index].path()).unwrap());
    let old = before.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    before.revoke(Kind::Terminal, "till-1", at(2)).unwrap();
    let token = before.add(Kind::Terminal, "till-1", [2; 32], at(3)).unwrap();
    for entered in [1, 0] {
        assert_eq!(heir.adopt(before.terminals()).unwrap(), entered);
        assert_eq!(heir.terminals().len(), 2);
    }
    assert_eq!(heir.who(&old, at(4)), Err(Stranger::Revoked));
    assert_eq!(heir.who(&token, at(4)), Ok(Identity::Terminal("till-1".parse().unwrap())));
    assert_eq!(heir.epoch(&"till-1".parse().unwrap(), at(4)), Some(2));
}

#[test]
fn a_damaged_file_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), b"{\"version\":").unwrap();
    assert!(matches!(Access::open(dir.path()), Err(AccessError::Content { .. })));
    std::fs::write(dir.path().join(FILE), b"{\"version\":2,\"entries\":[]}").unwrap();
    assert!(matches!(Access::open(dir.path()), Err(AccessError::Version { version: 2, .. })));
    assert!(dir.path().join(FILE).exists());
}
