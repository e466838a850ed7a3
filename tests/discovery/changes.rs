//! What changes while a box is announced: its addresses, its link, its revision, and where it may be seen.

use std::time::Duration;

use serde_json::json;

use crate::lan::lan;
use crate::proc::{now, summary, tell};

/// Whatever is waited for comes long before, unless the machine is busy with something else: how soon it came is told,
/// and held against a bound in `times` and `seeking`, which are about that.
const SOON: Duration = Duration::from_secs(20);
const LATER: Duration = Duration::from_secs(60);

fn at(line: &str, address: &str) -> bool {
    line.starts_with("@seen storebox-a1b2c3|") && line.contains(&format!("{address}:8443"))
}

/// A flush spares what came within the last second (RFC 6762, 10.2); what it missed goes with its life of 120 s.
const FORGOTTEN: Duration = Duration::from_secs(150);

#[test]
fn a_new_address_is_known_soon_and_the_old_one_is_gone() {
    let Some(lan) = lan(&["box1", "till"]) else { return };
    let mut browser = lan.play("till", "browser", &json!({}));
    browser.wait(SOON, |line| line == "@browsing");
    let _announcing = lan.play("box1", "box", &json!({}));
    let mut old = lan.address("box1");
    browser.wait(SOON, |line| at(line, &old));
    let mut times = Vec::new();
    for round in 0..3 {
        let new = format!("10.77.0.{}", 150 + round);
        lan.ip("box1", &format!("addr add {new}/24 dev eth0"));
        lan.ip("box1", &format!("addr del {old}/24 dev eth0"));
        if lan.ip("box1", "-4 -o addr show dev eth0").trim().is_empty() {
            lan.ip("box1", &format!("addr add {new}/24 dev eth0"));
        }
        let changed = now();
        let (known, _) = browser
            .wait(FORGOTTEN, |line| at(line, &new) && !line.contains(&format!("{old}:8443")));
        times.push(known.saturating_duration_since(changed));
        old = new;
    }
    summary("new address known, old one gone", times);
}

#[test]
fn a_link_that_was_down_is_announced_on_again() {
    let Some(lan) = lan(&["box1", "till"]) else { return };
    let mut announcing = lan.play("box1", "box", &json!({}));
    announcing.wait(SOON, |line| line == "@announcing");
    let mut browser = lan.play("till", "browser", &json!({}));
    browser.wait(SOON, |line| at(line, &lan.address("box1")));
    lan.ip("box1", "link set eth0 down");
    let mut list = lan.play("till", "discover", &json!({ "time_ms": 2_500 }));
    list.wait(SOON, |line| line == "@found 0 in all");
    lan.ip("box1", "link set eth0 up");
    let up = now();
    let mut fresh = lan.play("till", "browser", &json!({}));
    let (found, _) = fresh.wait(LATER, |line| at(line, &lan.address("box1")));
    tell(&format!("found after its link came up again: {} ms", (found - up).as_millis()));
}

#[test]
fn a_box_that_starts_with_its_cable_out_is_found_when_it_is_plugged_in() {
    let Some(lan) = lan(&["box1", "till"]) else { return };
    lan.cable("box1", false);
    let mut announcing = lan.play("box1", "box", &json!({}));
    announcing.wait(SOON, |line| line == "@announcing");
    let mut list = lan.play("till", "discover", &json!({ "time_ms": 1_500 }));
    list.wait(SOON, |line| line == "@found 0 in all");
    let mut browser = lan.play("till", "browser", &json!({}));
    browser.wait(SOON, |line| line == "@browsing");
    lan.cable("box1", true);
    let plugged = now();
    let (found, _) = browser.wait(LATER, |line| at(line, &lan.address("box1")));
    tell(&format!("found after its cable was plugged in: {} ms", (found - plugged).as_millis()));
}

#[test]
fn a_new_revision_reaches_the_lan_and_a_burst_of_them_does_not_flood_it() {
    let Some(lan) = lan(&["box1", "till"]) else { return };
    let mut browser = lan.play("till", "browser", &json!({}));
    browser.wait(SOON, |line| line == "@browsing");
    let mut announcing = lan.play("box1", "box", &json!({}));
    browser.wait(SOON, |line| at(line, &lan.address("box1")));
    announcing.order("revision 1");
    let told = now();
    let (known, _) = browser.wait(LATER, |line| line.ends_with("|rev 1"));
    tell(&format!("new revision known: {} ms", (known - told).as_millis()));
    for revision in 2..=200 {
        announcing.order(&format!("revision {revision}"));
    }
    browser.wait(LATER, |line| line.ends_with("|rev 200"));
    let revisions: std::collections::BTreeSet<&str> =
        browser.seen().filter_map(|line| line.rsplit_once("|rev ")).map(|(_, rev)| rev).collect();
    assert!(revisions.len() <= 4, "{revisions:?}");
}

#[test]
fn only_the_chosen_interfaces_take_part() {
    let Some(lan) = lan(&["box1", "till", "wan"]) else { return };
    let wan = lan.netns("wan");
    lan.ip("wan", "link set eth0 down");
    lan.ip("box1", &format!("link add wan0 type veth peer name wan0 netns {wan}"));
    for (host, address) in [("box1", "198.51.100.1"), ("wan", "198.51.100.2")] {
        lan.ip(host, &format!("addr add {address}/24 dev wan0"));
        lan.ip(host, "link set wan0 up");
    }
    let mut announcing = lan.play("box1", "box", &json!({ "interfaces": ["eth0"] }));
    announcing.wait(SOON, |line| line == "@announcing");
    let mut inside = lan.play("till", "discover", &json!({ "time_ms": 1_500 }));
    let mut outside = lan.play("wan", "discover", &json!({ "time_ms": 1_500 }));
    let (_, found) = inside.wait(SOON, |line| line.starts_with("@found storebox-a1b2c3|"));
    assert!(!found.contains("198.51.100.1"), "{found}");
    outside.wait(SOON, |line| line == "@found 0 in all");
}

#[test]
fn a_till_without_ipv4_finds_the_box_over_ipv6() {
    let Some(lan) = lan(&["box1", "till"]) else { return };
    lan.ip("till", &format!("addr del {}/24 dev eth0", lan.address("till")));
    let _announcing = lan.play("box1", "box", &json!({}));
    let mut browser = lan.play("till", "browser", &json!({}));
    browser.wait(SOON, |line| line.contains("[fe80::") && line.contains("%"));
}
