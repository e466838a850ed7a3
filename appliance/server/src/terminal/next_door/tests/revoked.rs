//! Who is out stays out, whatever is added, replaced, repeated or full.

use super::*;

fn revoked(access: &Access, token: &str, ms: i64) {
    assert_eq!(access.who(token, at(ms)), Err(Stranger::Revoked));
}

fn name(text: &str) -> TerminalId {
    text.parse().unwrap()
}

#[test]
fn a_stolen_token_stays_out_when_its_name_is_added_anew_at_the_box_that_revoked_it() {
    let (store, third) = (Store::open(), tempfile::tempdir().unwrap());
    let three = Access::open(third.path()).unwrap();
    let stolen = store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    store.tell();
    store.hello().say(&three, at(10)).unwrap();
    store.two.revoke(Kind::Terminal, "till-1", at(11)).unwrap();
    let new = store.two.add(Kind::Terminal, "till-1", [2; 32], at(12)).unwrap();
    revoked(&store.two, &stolen, 13);
    store.tell();
    revoked(&store.two, &stolen, 14);
    store.answer();
    Hello::of("store-2", store.two.terminals()).say(&three, at(15)).unwrap();
    for access in [&store.one, &store.two, &three] {
        revoked(access, &stolen, 16);
        assert_eq!(access.who(&new, at(16)), Ok(till("till-1")));
        assert_eq!(access.epoch(&name("till-1"), at(16)), Some(2));
    }
    for (access, dir) in [(&store.one, 0), (&store.two, 1)] {
        drop(access.terminals());
        revoked(&Access::open(store.dirs[dir].path()).unwrap(), &stolen, 17);
    }
}

#[test]
fn two_terminals_of_one_name_never_number_in_one_epoch() {
    let store = Store::open();
    let theirs = store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    let own = store.two.add(Kind::Terminal, "till-1", [2; 32], at(1)).unwrap();
    store.tell();
    assert_eq!(store.two.who(&own, at(11)), Ok(till("till-1")));
    assert_eq!(store.two.who(&theirs, at(11)), Err(Stranger::Namesake));
    // Where both would be guests, one of them is.
    let dir = tempfile::tempdir().unwrap();
    let three = Access::open(dir.path()).unwrap();
    store.hello().say(&three, at(12)).unwrap();
    Hello::of("store-2", store.two.terminals()).say(&three, at(12)).unwrap();
    assert_eq!(three.who(&theirs, at(13)), Ok(till("till-1")));
    assert_eq!(three.who(&own, at(13)), Err(Stranger::Namesake));
}

#[test]
fn a_guest_that_was_let_in_anew_is_listed_and_revoked_where_an_old_entry_stands() {
    let store = Store::open();
    store.one.add(Kind::Terminal, "till-1", [1; 32], at(5_000)).unwrap();
    store.tell();
    store.two.revoke(Kind::Terminal, "till-1", at(90_000)).unwrap();
    store.answer();
    // The clock of the first box is far behind that of the second.
    let new = store.one.add(Kind::Terminal, "till-1", [2; 32], at(6_000)).unwrap();
    store.tell();
    assert_eq!(store.two.who(&new, at(11)), Ok(till("till-1")));
    let listed = store.two.list(Kind::Terminal, at(11));
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].guest_of.as_deref(), listed[0].revoked), (Some("store-1"), None));
    store.two.revoke(Kind::Terminal, "till-1", at(12)).unwrap();
    revoked(&store.two, &new, 13);
    store.answer();
    revoked(&store.one, &new, 13);
    assert!(store.two.list(Kind::Terminal, at(14))[0].revoked.is_some());
}

#[test]
fn a_box_with_a_new_book_lets_its_own_tills_in_and_those_of_the_old_one_out() {
    let (store, dir) = (Store::open(), tempfile::tempdir().unwrap());
    let old = store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    let stolen = store.one.add(Kind::Terminal, "till-2", [2; 32], at(1)).unwrap();
    store.one.revoke(Kind::Terminal, "till-2", at(2)).unwrap();
    store.one.revoke(Kind::Terminal, "till-1", at(2)).unwrap();
    let old_anew = store.one.add(Kind::Terminal, "till-1", [3; 32], at(3)).unwrap();
    store.tell();
    let replaced = Access::open(dir.path()).unwrap();
    // It has let nobody in yet, so those of the box before it go on until they are adopted.
    Hello::of("store-1", replaced.terminals()).say(&store.two, at(20)).unwrap();
    assert_eq!(store.two.who(&old_anew, at(21)), Ok(till("till-1")));
    let new = replaced.add(Kind::Terminal, "till-1", [4; 32], at(22)).unwrap();
    Hello::of("store-1", replaced.terminals()).say(&store.two, at(23)).unwrap();
    let again = Access::open(store.dirs[1].path()).unwrap();
    for access in [&store.two, &again] {
        assert_eq!(access.who(&new, at(24)), Ok(till("till-1")));
        assert_eq!(access.who(&old_anew, at(24)), Err(Stranger::Unknown));
        for token in [&old, &stolen] {
            revoked(access, token, 24);
        }
    }
}

#[test]
fn who_is_revoked_next_door_is_revoked_here_with_token_key_and_person() {
    let (store, key) = (Store::open(), Fingerprint([1; 32]));
    store.one.enrol(Kind::Terminal, "till-1", key, false, at(1)).unwrap();
    // It came here before its box had told of it, so that it has an entry here too.
    store.two.meet(Kind::Terminal, "till-1", key, at(2)).unwrap();
    let certified = |access: &Access, ms| access.certified(Kind::Terminal, "till-1", key, at(ms));
    store.tell();
    assert_eq!(certified(&store.two, 11), Ok(()));
    store.one.revoke(Kind::Terminal, "till-1", at(12)).unwrap();
    store.tell();
    assert_eq!(certified(&store.two, 13), Err(Stranger::Revoked));
    assert!(store.two.is_revoked(&name("till-1"), at(13)), "nor is a person served at it");
    let listed = &store.two.list(Kind::Terminal, at(13))[0];
    assert_eq!((listed.revoked.is_some(), &listed.guest_of), (true, &None), "the own entry is");
    store.answer();
    // A person has let it in again, in a later epoch.
    store.one.enrol(Kind::Terminal, "till-1", key, false, at(14)).unwrap();
    store.tell();
    store.answer();
    for access in [&store.one, &store.two] {
        assert!(certified(access, 15) != Err(Stranger::Revoked));
        assert_eq!(access.epoch(&name("till-1"), at(15)), Some(2));
    }
    let other = Fingerprint([2; 32]);
    store.one.enrol(Kind::Terminal, "till-1", other, true, at(16)).unwrap();
    store.tell();
    assert_eq!(certified(&store.two, 17), Err(Stranger::Revoked), "another took its place");
}

#[test]
fn a_member_that_a_box_next_door_has_told_of_is_its_guest_and_keeps_its_epoch() {
    let (store, key) = (Store::open(), Fingerprint([1; 32]));
    for other in [Fingerprint([8; 32]), Fingerprint([9; 32]), key] {
        store.one.enrol(Kind::Terminal, "till-1", other, true, at(1)).unwrap();
    }
    store.tell();
    store.two.meet(Kind::Terminal, "till-1", key, at(11)).unwrap();
    let certified = store.two.certified(Kind::Terminal, "till-1", key, at(11));
    assert_eq!(certified, Err(Stranger::Unknown), "it is let in as one that is not known here");
    assert_eq!(store.two.epoch(&name("till-1"), at(11)), Some(3));
    assert!(store.two.terminals().is_empty());
}

#[test]
fn a_hello_that_was_overheard_changes_nothing_however_often_it_is_said() {
    let store = Store::open();
    let token = store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    let asks = store.two.hear(store.hello(), at(10)).unwrap().asks;
    let overheard = Hello { asked: asks.clone(), ..store.hello() };
    let heard = store.two.hear(overheard.clone(), at(10)).unwrap();
    assert!(!heard.wants_terminals && heard.asks != asks);
    assert_eq!(store.two.who(&token, at(11)), Ok(till("till-1")));
    store.one.revoke(Kind::Terminal, "till-1", at(12)).unwrap();
    let told = Hello { asked: heard.asks, ..store.hello() };
    let next = store.two.hear(told, at(13)).unwrap();
    for ms in (20..200).step_by(60) {
        let heard = store.two.hear(overheard.clone(), at(ms * REMEMBERED_MS)).unwrap();
        assert_eq!((heard.wants_terminals, &heard.asks), (true, &next.asks), "nothing was used up");
    }
    revoked(&store.two, &token, 14);
    let second = store.one.add(Kind::Terminal, "till-2", [2; 32], at(15)).unwrap();
    store.tell();
    let late = 10 + REMEMBERED_MS;
    store.two.hear(overheard.clone(), at(late)).unwrap();
    assert_eq!(store.two.who(&second, at(late)), Err(Stranger::Unknown), "nor does it keep alive");
    let again = Access::open(store.dirs[1].path()).unwrap();
    assert!(again.hear(overheard, at(16)).unwrap().wants_terminals, "nor after a restart");
    assert_eq!(again.who(&second, at(17)), Ok(till("till-2")));
}

#[test]
fn a_revocation_holds_on_a_full_disk_and_is_written_when_there_is_room() {
    let store = Store::open();
    let theirs = store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    let own = store.two.add(Kind::Terminal, "till-2", [2; 32], at(1)).unwrap();
    store.tell();
    store.one.revoke(Kind::Terminal, "till-1", at(2)).unwrap();
    // Nothing can be written where a folder is in the way.
    let dir = store.dirs[1].path();
    let in_the_way = [dir.join("access.new"), dir.join(FOLDER).join("store-1.new")];
    in_the_way.iter().for_each(|path| std::fs::create_dir(path).unwrap());
    let refused = store.hello().say(&store.two, at(11));
    assert!(matches!(refused, Err(ListError::Disk(_))), "{refused:?}");
    revoked(&store.two, &theirs, 12);
    assert!(store.two.revoke(Kind::Terminal, "till-2", at(12)).is_err());
    revoked(&store.two, &own, 13);
    let anew = || Access::open(dir).unwrap();
    assert_eq!(anew().who(&own, at(14)), Ok(till("till-2")), "the file does not know it yet");
    in_the_way.iter().for_each(|path| std::fs::remove_dir(path).unwrap());
    let short = Hello { terminals: None, ..store.hello() };
    assert!(!short.say(&store.two, at(15)).unwrap().wants_terminals);
    for token in [&theirs, &own] {
        revoked(&anew(), token, 16);
    }
}

#[test]
fn an_operator_who_revokes_again_when_there_is_room_has_it_written() {
    let store = Store::open();
    let token = store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    let in_the_way = store.dirs[0].path().join("access.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let revoke = || store.one.revoke(Kind::Terminal, "till-1", at(2));
    assert!(revoke().is_err() && revoke().is_err());
    std::fs::remove_dir(&in_the_way).unwrap();
    revoke().unwrap();
    revoked(&Access::open(store.dirs[0].path()).unwrap(), &token, 3);
    assert!(revoke().is_err(), "it does not exist any more");
}

#[test]
fn a_revocation_that_its_box_has_lost_with_its_power_stays_known_next_door() {
    let store = Store::open();
    let stolen = store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    let before = store.one.terminals();
    store.one.revoke(Kind::Terminal, "till-1", at(2)).unwrap();
    store.tell();
    revoked(&store.two, &stolen, 11);
    Hello::of("store-1", before).say(&store.two, at(20)).unwrap();
    revoked(&store.two, &stolen, 21);
    revoked(&Access::open(store.dirs[1].path()).unwrap(), &stolen, 22);
}

#[test]
fn a_terminal_that_takes_the_name_of_a_guest_numbers_in_an_epoch_of_its_own() {
    let (store, _) = Store::with_guest();
    assert_eq!(store.two.epoch(&name("till-1"), at(11)), Some(1));
    store.two.add(Kind::Terminal, "till-1", [2; 32], at(12)).unwrap();
    assert_eq!(store.two.epoch(&name("till-1"), at(13)), Some(2));
    // So does a member with another key than the one that its box has told of.
    store.one.enrol(Kind::Terminal, "till-2", Fingerprint([1; 32]), false, at(14)).unwrap();
    store.tell();
    store.two.meet(Kind::Terminal, "till-2", Fingerprint([2; 32]), at(15)).unwrap();
    assert_eq!(store.two.epoch(&name("till-2"), at(16)), Some(2));
}

#[test]
fn a_member_that_was_met_before_its_box_told_of_it_is_revoked_in_the_epoch_of_its_box() {
    let (store, old, key) = (Store::open(), Fingerprint([1; 32]), Fingerprint([2; 32]));
    store.one.enrol(Kind::Terminal, "till-1", old, false, at(1)).unwrap();
    store.one.enrol(Kind::Terminal, "till-1", key, true, at(2)).unwrap();
    store.two.meet(Kind::Terminal, "till-1", key, at(3)).unwrap();
    store.tell();
    store.two.revoke(Kind::Terminal, "till-1", at(11)).unwrap();
    store.answer();
    for access in [&store.two, &store.one] {
        let seen = access.certified(Kind::Terminal, "till-1", key, at(12));
        assert_eq!(seen, Err(Stranger::Revoked));
    }
}

#[test]
fn a_box_in_the_place_of_another_says_nothing_of_those_that_it_is_to_adopt() {
    let (store, dir) = (Store::open(), tempfile::tempdir().unwrap());
    let old = store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    store.tell();
    let heir = Access::open(dir.path()).unwrap();
    let new = heir.add(Kind::Terminal, "till-2", [2; 32], at(12)).unwrap();
    Hello::of("store-1", heir.terminals()).say(&store.two, at(13)).unwrap();
    assert_eq!(store.two.who(&old, at(14)), Ok(till("till-1")));
    assert_eq!(store.two.who(&new, at(14)), Ok(till("till-2")));
}

#[test]
fn what_a_name_has_now_is_not_taken_for_what_it_had() {
    let (store, dir) = (Store::open(), tempfile::tempdir().unwrap());
    let gone = store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    store.one.revoke(Kind::Terminal, "till-1", at(2)).unwrap();
    store.one.add(Kind::Terminal, "till-1", [2; 32], at(3)).unwrap();
    let heir = Access::open(dir.path()).unwrap();
    let good = heir.add(Kind::Terminal, "till-1", [3; 32], at(4)).unwrap();
    heir.adopt(store.one.terminals()).unwrap();
    Hello::of("store-1", heir.terminals()).say(&store.two, at(5)).unwrap();
    assert_eq!(store.two.who(&good, at(6)), Ok(till("till-1")));
    revoked(&store.two, &gone, 6);
}
