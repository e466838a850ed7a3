mod revoked;

use super::*;
use crate::env;
use crate::http::identity::Identity;
use crate::pass::SiteSecret;
use crate::terminal::access::{Access, Kind, Stranger};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

/// Two boxes of a store, each with its own folder.
struct Store {
    one: Access,
    two: Access,
    dirs: [tempfile::TempDir; 2],
}

impl Store {
    fn open() -> Self {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, two] = [0, 1].map(|index: usize| Access::open(dirs[index].path()).unwrap());
        Self { one, two, dirs }
    }

    /// The same with a terminal of the first box, which is a guest of the second.
    fn with_guest() -> (Self, String) {
        let store = Self::open();
        let token = store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
        store.tell();
        (store, token)
    }

    /// What the first box says to the second.
    fn hello(&self) -> Hello {
        Hello::of("store-1", self.one.terminals())
    }

    fn tell(&self) {
        assert!(!self.hello().say(&self.two, at(10)).unwrap().wants_terminals);
    }

    /// And the second to the first.
    fn answer(&self) {
        let hello = Hello::of("store-2", self.two.terminals());
        hello.say(&self.one, at(10)).unwrap();
    }
}

fn till(name: &str) -> Identity {
    Identity::Terminal(name.parse().unwrap())
}

#[test]
fn a_terminal_is_a_guest_next_door_with_its_own_token_and_epoch_over_a_restart() {
    let store = Store::open();
    store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    store.one.revoke(Kind::Terminal, "till-1", at(2)).unwrap();
    let token = store.one.add(Kind::Terminal, "till-1", [2; 32], at(3)).unwrap();
    assert_eq!(store.two.who(&token, at(4)), Err(Stranger::Unknown));
    store.tell();
    assert_eq!(store.two.who(&token, at(11)), Ok(till("till-1")));
    assert_eq!(store.two.epoch(&"till-1".parse().unwrap(), at(11)), Some(2));
    let listed = store.two.list(Kind::Terminal, at(11));
    assert_eq!(listed[0].guest_of.as_deref(), Some("store-1"));
    assert_eq!(listed[0].last_seen, Some(at(11)));
    let again = Access::open(store.dirs[1].path()).unwrap();
    assert_eq!(again.who(&token, at(12)), Ok(till("till-1")), "its own box may be gone by now");
    assert_eq!(again.who("sbt_wrong", at(12)), Err(Stranger::Unknown));
    let month = at(10 + REMEMBERED_MS);
    assert_eq!(again.who(&token, month), Err(Stranger::Unknown), "its box was not heard of");
    assert!(again.terminals().is_empty(), "a guest is told to nobody as one's own");
}

#[test]
fn nobody_but_a_terminal_is_a_guest() {
    let store = Store::open();
    let now = at(1);
    for kind in [Kind::Operator, Kind::Node] {
        let token = store.one.add(kind, "anna", [kind as u8 + 1; 32], now).unwrap();
        let entry = Entry {
            kind,
            name: "anna".to_owned(),
            hash: Hash32::of(token.as_bytes()),
            epoch: 1,
            added: now,
            revoked: None,
            key: None,
        };
        let refused = Hello::of("store-1", vec![entry]).say(&store.two, now);
        assert!(matches!(refused, Err(ListError::NoTerminal(name)) if name == "anna"));
        assert_eq!(store.two.who(&token, now), Err(Stranger::Unknown));
    }
    store.tell();
    assert_eq!(store.two.list(Kind::Operator, at(11)), []);
    assert!(store.one.terminals().is_empty(), "and nobody else is told of");
}

#[test]
fn a_guest_that_its_box_revokes_is_out_and_an_older_list_does_not_bring_it_back() {
    let store = Store::open();
    let token = store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    let overheard = store.hello();
    store.tell();
    store.one.revoke(Kind::Terminal, "till-1", at(2)).unwrap();
    store.tell();
    assert_eq!(store.two.who(&token, at(3)), Err(Stranger::Revoked));
    assert_eq!(store.two.epoch(&"till-1".parse().unwrap(), at(11)), None);
    assert!(
        store.two.is_revoked(&"till-1".parse().unwrap(), at(11)),
        "nor does a person log in there"
    );
    store.two.hear(overheard, at(4)).unwrap();
    assert_eq!(store.two.who(&token, at(5)), Err(Stranger::Revoked));
    let new = store.one.add(Kind::Terminal, "till-1", [2; 32], at(6)).unwrap();
    store.tell();
    assert_eq!(store.two.who(&new, at(7)), Ok(till("till-1")));
    assert_ne!(store.two.who(&token, at(7)), Ok(till("till-1")));
}

#[test]
fn a_guest_that_is_revoked_where_it_is_one_is_out_in_the_whole_store() {
    let (store, token) = Store::with_guest();
    assert!(store.two.revoke(Kind::Terminal, "till-2", at(2)).is_err());
    store.two.revoke(Kind::Terminal, "till-1", at(2)).unwrap();
    assert_eq!(store.two.who(&token, at(3)), Err(Stranger::Revoked));
    store.tell();
    assert_eq!(store.two.who(&token, at(3)), Err(Stranger::Revoked), "whoever else knows it");
    store.answer();
    assert_eq!(store.one.who(&token, at(4)), Err(Stranger::Revoked));
    let new = store.one.add(Kind::Terminal, "till-1", [2; 32], at(5)).unwrap();
    assert_eq!(store.one.who(&new, at(6)), Ok(till("till-1")));
    store.tell();
    assert_eq!(store.two.who(&new, at(7)), Ok(till("till-1")), "its box has added it anew");
}

#[test]
fn a_name_that_was_revoked_here_stays_out_with_the_token_of_another_box() {
    let store = Store::open();
    let token = store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    let own = store.two.add(Kind::Terminal, "till-1", [2; 32], at(1)).unwrap();
    store.tell();
    assert_eq!(store.two.who(&own, at(2)), Ok(till("till-1")));
    store.two.revoke(Kind::Terminal, "till-1", at(3)).unwrap();
    for token in [&token, &own] {
        assert_eq!(store.two.who(token, at(4)), Err(Stranger::Revoked));
    }
}

#[test]
fn a_member_that_its_box_has_revoked_is_not_met_next_door() {
    let (store, key) = (Store::open(), Fingerprint([1; 32]));
    let certified = |access: &Access| access.certified(Kind::Terminal, "till-1", key, at(9));
    store.one.enrol(Kind::Terminal, "till-1", key, false, at(1)).unwrap();
    store.one.revoke(Kind::Terminal, "till-1", at(2)).unwrap();
    assert_eq!(certified(&store.two), Err(Stranger::Unknown), "another box may have let it in");
    store.tell();
    store.two.meet(Kind::Terminal, "till-1", key, at(3)).unwrap();
    assert_eq!(certified(&store.two), Err(Stranger::Revoked));
    let other = Fingerprint([2; 32]);
    store.two.meet(Kind::Terminal, "till-1", other, at(4)).unwrap();
    assert_eq!(store.two.certified(Kind::Terminal, "till-1", other, at(9)), Ok(()));
}

#[test]
fn the_list_is_wanted_only_when_it_is_another() {
    let store = Store::open();
    store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    let short = |ms| {
        let hello = Hello { terminals: None, ..store.hello() };
        hello.say(&store.two, at(ms)).unwrap().wants_terminals
    };
    assert!(short(2));
    store.tell();
    assert!(!short(3));
    store.one.add(Kind::Terminal, "till-2", [2; 32], at(4)).unwrap();
    assert!(short(5));
}

#[test]
fn boxes_are_bounded_and_one_that_is_gone_makes_room() {
    let store = Store::open();
    let now = |number: usize| at(i64::try_from(number).unwrap());
    let node = |number: usize| format!("store-{number}");
    for number in 1..=BOXES_MAX {
        Hello::of(&node(number), Vec::new()).say(&store.two, now(number)).unwrap();
    }
    let one_more = |ms| Hello::of("store-99", Vec::new()).say(&store.two, at(ms));
    assert!(matches!(one_more(20), Err(ListError::Full)));
    let (next_door, month) = (store.two.next_door(), at(1 + REMEMBERED_MS));
    let page = |node: &str, now| next_door.is_page(&format!("http://{node}.example:8080"), now);
    assert!(page("store-1", at(20)) && !page("store-1", month) && page("store-2", month));
    let file = |node: &str| store.dirs[1].path().join(FOLDER).join(format!("{node}.json"));
    assert!(file("store-1").exists());
    one_more(1 + REMEMBERED_MS).unwrap();
    assert!(!file("store-1").exists() && file("store-2").exists() && file("store-99").exists());
    assert!(page("store-99", month));
    let again = Access::open(store.dirs[1].path()).unwrap();
    assert!(again.next_door().is_page("http://store-99.example:8080", month));
}

#[test]
fn guests_of_a_box_that_is_gone_are_listed_no_more() {
    let (store, _) = Store::with_guest();
    assert_eq!(store.two.list(Kind::Terminal, at(11)).len(), 1);
    assert_eq!(store.two.list(Kind::Terminal, at(10 + REMEMBERED_MS)), []);
}

#[test]
fn tills_are_told_of_boxes_that_have_taken_the_list_of_late() {
    let store = Store::open();
    let (next_door, now) = (store.one.next_door(), env::instant());
    let card = Hello::of("store-2", Vec::new()).card;
    assert_eq!(next_door.others(now), []);
    next_door.meet(card.clone(), now);
    assert_eq!(next_door.others(now), [card.served()]);
    next_door.meet(Card { addresses: Vec::new(), ..card.clone() }, now);
    assert_eq!(next_door.others(now), [card.served()], "one without an address takes none away");
    assert!(next_door.is_page("http://store-2.example:8080", at(1)));
    assert!(!next_door.is_page("http://store-3.example:8080", at(1)));
    assert_eq!(next_door.others(now + TOLD_FOR), []);
}

#[test]
fn the_card_of_this_box_is_made_anew_each_time() {
    let store = Store::open();
    let next_door = store.one.next_door();
    assert_eq!(next_door.own(), None);
    let addresses = Arc::new(Mutex::new(Vec::new()));
    let found = Arc::clone(&addresses);
    next_door.serve(move || {
        let addresses = lock(&found).clone();
        Card { node: "store-1".parse().unwrap(), addresses, pages: Vec::new() }
    });
    assert!(next_door.own().unwrap().addresses.is_empty());
    lock(&addresses).push("http://10.0.0.12".to_owned());
    assert_eq!(next_door.own().unwrap().addresses, ["http://10.0.0.12"]);
    assert!(next_door.is_page("http://10.0.0.12", at(1)));
}

#[test]
fn an_answer_is_believed_from_a_box_of_the_store_to_this_hello_alone() {
    let (ours, others) = (SiteSecret::new("the store's"), SiteSecret::new("another's"));
    let card = Hello::of("store-2", Vec::new()).card;
    let heard = || Heard { wants_terminals: false, asks: "next".to_owned() };
    let reply = Reply::new(&ours, "now", &card, heard());
    assert_eq!(reply.read(&ours, "now"), Some(card.clone()));
    assert_eq!(reply.read(&ours, "before"), None);
    assert_eq!(reply.read(&others, "now"), None);
    let moved = reply.card.replace("store-2.example", "evil.example");
    assert_eq!(Reply { card: moved, ..reply.clone() }.read(&ours, "now"), None);
    let odd = Card { addresses: vec!["*".to_owned()], ..card };
    assert_eq!(Reply::new(&ours, "now", &odd, heard()).read(&ours, "now"), None);
}

#[test]
fn a_damaged_file_is_passed_over_and_asked_for_anew() {
    let (store, token) = Store::with_guest();
    let file = store.dirs[1].path().join(FOLDER).join("store-1.json");
    let whole = std::fs::read(&file).unwrap();
    assert!(!String::from_utf8_lossy(&whole).contains(&token), "no token is stored");
    for damaged in [&whole[..whole.len() / 2], b"", br#"{"version":9}"#] {
        std::fs::write(&file, damaged).unwrap();
        let again = Access::open(store.dirs[1].path()).unwrap();
        assert_eq!(again.who(&token, at(11)), Err(Stranger::Unknown));
        let short = Hello { terminals: None, ..store.hello() };
        assert!(short.say(&again, at(12)).unwrap().wants_terminals);
    }
}

#[test]
fn what_the_version_before_has_written_is_read() {
    let store = Store::open();
    let own = store.two.add(Kind::Terminal, "till-2", [2; 32], at(1)).unwrap();
    let token = store.one.add(Kind::Terminal, "till-1", [1; 32], at(1)).unwrap();
    store.tell();
    let dir = store.dirs[1].path();
    let own_file = dir.join(crate::terminal::access::FILE);
    for file in [dir.join(FOLDER).join("store-1.json"), own_file] {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(!text.contains("past"), "without a past nothing is written that was not before");
    }
    let again = Access::open(dir).unwrap();
    assert_eq!(again.who(&own, at(11)), Ok(till("till-2")));
    assert_eq!(again.who(&token, at(11)), Ok(till("till-1")));
}
