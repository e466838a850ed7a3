mod chain;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ids::NodeId;
use crate::rings::{Rings, Seat, Turn};

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn release(text: &str, ring: &str) -> Release {
    let version = version(text);
    Release {
        id: Release::id_of("x86-64", version),
        version,
        board: "x86-64".to_owned(),
        bytes: 100 << 20,
        digest: Hash32::of(b"whole"),
        index: Hash32::of(b"index"),
        index_bytes: 41,
        ring: ring.to_owned(),
        state: State::Offered,
        failures_max: 2,
        why: String::new(),
        approval: String::new(),
    }
}

fn rings() -> Rings {
    let pilot = json!({"id": "pilot", "order": 1, "boxes": ["store-1"]});
    Rings::read([pilot.as_object().unwrap()]).0
}

/// Decides for a box of 1.4.0 on which everything is fine, but for what is changed.
fn decided(
    node: &str,
    releases: &[Release],
    change: impl for<'a> FnOnce(&mut Situation<'a>),
) -> String {
    let (node, site): (NodeId, SiteId) = (node.parse().unwrap(), "s1".parse().unwrap());
    let rings = rings();
    let mut now = Situation {
        board: "x86-64",
        running: version("1.4.0"),
        seat: Seat { node: &node, site: &site },
        rings: &rings,
        releases,
        past: &[],
        whole: None,
        is_closed: Some(true),
        unsettled: Some(0),
        unsettled_max: 0,
        free_bytes: 1 << 40,
        have_bytes: 0,
    };
    change(&mut now);
    match decide(&now) {
        Decision::Idle(why) => format!("idle: {why}"),
        Decision::Fetch(release) => format!("fetch {}", release.version),
        Decision::Hold(release, why) => format!("hold {}: {why}", release.version),
        Decision::Install(release) => format!("install {}", release.version),
    }
}

#[test]
fn a_box_takes_the_newest_release_whose_turn_it_is() {
    let offered =
        [release("1.5.0", "everyone"), release("1.6.0", "pilot"), release("1.3.0", "pilot")];
    assert_eq!(decided("store-1", &offered, |_| {}), "fetch 1.6.0");
    assert_eq!(decided("store-2", &offered, |_| {}), "fetch 1.5.0");
    let later = decided("store-2", &offered[1..], |_| {});
    assert_eq!(later, "idle: 1.6.0 is on offer; the turn of ring everyone has not come");
    let typed = decided("store-1", &[release("1.6.0", "pilto")], |_| {});
    assert!(typed.starts_with("idle: 1.6.0"), "{typed}");
    assert_eq!(decided("store-1", &offered[2..], |_| {}), "idle: nothing newer is on offer");
    let other = decided("store-1", &offered, |now| now.board = "rpi4");
    assert_eq!(other, "idle: nothing newer is on offer", "a release of another board");
    let halted = Release { state: State::Halted, ..release("1.6.0", "everyone") };
    assert_eq!(decided("store-1", &[halted], |_| {}), "idle: 1.6.0 was halted");
}

#[test]
fn what_is_whole_waits_for_the_transactions_and_for_the_shop_to_close() {
    let offered = [release("1.5.0", "everyone")];
    let at = |change: fn(&mut Situation<'_>)| {
        decided("store-1", &offered, |now| {
            now.whole = Some("x86-64-1.5.0");
            change(now);
        })
    };
    assert_eq!(at(|_| {}), "install 1.5.0");
    let unsettled = at(|now| now.unsettled = Some(3));
    assert_eq!(unsettled, "hold 1.5.0: 3 transactions have to reach head office first");
    assert_eq!(at(|now| (now.unsettled, now.unsettled_max) = (Some(3), 3)), "install 1.5.0");
    assert_eq!(at(|now| now.unsettled = None), "install 1.5.0");
    assert_eq!(
        at(|now| now.is_closed = Some(false)),
        "hold 1.5.0: it waits until the shop is closed"
    );
    let both = at(|now| (now.is_closed, now.unsettled) = (Some(false), Some(1)));
    assert!(both.contains("until the shop is closed"), "no word of it changes with a sale: {both}");
    let wrong = at(|now| now.is_closed = None);
    assert!(
        wrong.contains("until the clock is right"),
        "no hour of a wrong clock is a window: {wrong}"
    );
    const INSTALLED: &[Past<'_>] = &[Past { version: "1.5.0", event: "installed" }];
    let installed = decided("store-1", &offered, |now| {
        now.whole = Some("x86-64-1.5.0");
        now.past = INSTALLED;
    });
    assert_eq!(installed, "hold 1.5.0: it is installed and starts next");
}

#[test]
fn a_disk_without_room_holds_a_release_and_blocks_that_are_here_need_none() {
    let offered = [release("1.5.0", "everyone")];
    let with = |free: u64, have: u64| {
        decided("store-1", &offered, |now| (now.free_bytes, now.have_bytes) = (free, have))
    };
    assert_eq!(with(364 << 20, 0), "fetch 1.5.0");
    let full = with(363 << 20, 0);
    assert_eq!(full, "hold 1.5.0: the disk has 363 MB free, 364 MB are needed");
    assert_eq!(with(274 << 20, 90 << 20), "fetch 1.5.0");
    let whole = |free: u64, past: &'static [Past<'static>]| {
        decided("store-1", &offered, |now| {
            (now.free_bytes, now.whole, now.past) = (free, Some("x86-64-1.5.0"), past);
        })
    };
    assert_eq!(whole(164 << 20, &[]), "install 1.5.0");
    let full = whole(163 << 20, &[]);
    assert_eq!(full, "hold 1.5.0: the disk has 163 MB free, 164 MB are needed");
    const WRITTEN: &[Past<'_>] = &[Past { version: "1.5.0", event: "installing" }];
    assert_eq!(whole(63 << 20, WRITTEN), "install 1.5.0", "the steward's copy is there");
}

#[test]
fn what_came_back_once_is_not_tried_again_and_an_older_one_between_is() {
    let offered = [release("1.6.0", "everyone"), release("1.5.0", "everyone")];
    let after =
        |past: &'static [Past<'static>]| decided("store-1", &offered, |now| now.past = past);
    let line = |event| Past { version: "1.6.0", event };
    const BACK: &[Past<'_>] = &[Past { version: "1.6.0", event: "fell-back" }];
    assert_eq!(after(BACK), "fetch 1.5.0");
    assert_eq!(gave_up(&[line("failed"), line("failed")], version("1.6.0")), None);
    assert_eq!(gave_up(&[line("failed"); 3], version("1.6.0")), Some(Word::Failed));
    assert_eq!(gave_up(&[line("refused")], version("1.6.0")), Some(Word::Refused));
    assert_eq!(gave_up(&[line("broken")], version("1.6.0")), Some(Word::Broken));
    assert_eq!(gave_up(&[line("unapproved"); 9], version("1.6.0")), None, "it may be renewed");
    let by_hand = [line("fell-back"), line("installed"), line("confirmed")];
    assert_eq!(gave_up(&by_hand, version("1.6.0")), None, "a person asked for it, and it works");
    assert_eq!(gave_up(BACK, version("1.5.0")), None);
}

#[test]
fn a_record_is_read_also_with_what_a_later_version_adds() {
    let mut record = serde_json::to_value(release("1.5.0", "pilot")).unwrap();
    record["notBefore"] = json!("2027-01-01");
    let read = Release::read(record.as_object().unwrap()).unwrap();
    assert_eq!(read, release("1.5.0", "pilot"));
    record["state"] = json!("staged");
    let later = Release::read(record.as_object().unwrap()).unwrap();
    assert_eq!(decided("store-1", &[later], |_| {}), "idle: 1.5.0 was halted");
    for (field, value) in [
        ("id", json!("x86-64-1.5.1")),
        ("version", json!("1.5")),
        ("board", json!("../x")),
        ("bytes", json!(0)),
        ("digest", json!("zz")),
        ("ring", json!("")),
        ("why", json!("a\nb")),
        ("approval", json!("x".repeat(8193))),
    ] {
        let mut wrong = serde_json::to_value(release("1.5.0", "pilot")).unwrap();
        wrong[field] = value;
        let fault = Release::read(wrong.as_object().unwrap()).unwrap_err();
        assert!(fault.field == field || fault.field == "id" || fault.field == ".", "{fault}");
    }
    assert_eq!(Turn::Undefined.to_string(), "the ring that it has reached is not defined");
}

#[test]
fn an_index_with_a_block_of_no_size_is_refused() {
    let block = |bytes| Block { name: Hash32::of(b"a"), bytes };
    assert!(matches!(Index::new(vec![block(0)]), Err(InvalidIndex::Block { at: 0, .. })));
    assert!(matches!(Index::new(vec![block(u32::MAX)]), Err(InvalidIndex::Block { .. })));
    assert_eq!(Index::decode(b"SBXR\x01"), Err(InvalidIndex::Format));
}

proptest! {
    #[test]
    fn roundtrip_of_an_index(blocks in prop::collection::vec((any::<[u8; 32]>(), 1_u32..300_000), 1..50)) {
        let blocks = blocks.into_iter().map(|(name, bytes)| Block { name: Hash32(name), bytes });
        let index = Index::new(blocks.collect()).unwrap();
        prop_assert_eq!(Index::decode(&index.encode()), Ok(index));
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Index::decode(&bytes);
        if let Ok(record) = serde_json::from_slice(&bytes) {
            let _ = Release::read(&record);
        }
        let _ = String::from_utf8_lossy(&bytes).parse::<Version>();
    }

    #[test]
    fn roundtrip_of_a_version(parts in any::<[u32; 3]>()) {
        let version = Version(parts);
        prop_assert_eq!(version.to_string().parse(), Ok(version));
    }
}
