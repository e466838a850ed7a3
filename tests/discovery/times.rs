//! How soon a box is found, and how soon its goodbye is heard.

use std::time::Duration;

use serde_json::json;

use crate::lan::{Lan, lan};
use crate::proc::{Proc, summary};

const SOON: Duration = Duration::from_secs(30);

/// Starts a box under this label and waits until the looker-on has seen it at its IPv4 address.
fn found(lan: &Lan, browser: &mut Proc, label: &str) -> (Proc, Duration) {
    let mut announcing = lan.play("box1", "box", &json!({ "label": label }));
    let (started, _) = announcing.wait(SOON, |line| line == "@announcing");
    let (seen, _) = browser.wait(SOON, |line| line.starts_with(&format!("@seen {label}|")));
    (announcing, seen.saturating_duration_since(started))
}

#[test]
fn a_box_is_found_within_a_second_and_its_goodbye_is_heard() {
    let Some(lan) = lan(&["box1", "till"]) else { return };
    let mut browser = lan.play("till", "browser", &json!({}));
    browser.wait(SOON, |line| line == "@browsing");
    let (mut times, mut goodbyes) = (Vec::new(), Vec::new());
    for round in 0..12 {
        let label = format!("storebox-{round:06x}");
        let (mut announcing, time) = found(&lan, &mut browser, &label);
        times.push(time);
        announcing.order("goodbye");
        let (left, _) = announcing.wait(SOON, |line| line == "@leaving");
        let (gone, _) = browser.wait(SOON, |line| line == format!("@gone {label}"));
        goodbyes.push(gone.saturating_duration_since(left));
    }
    let found = summary("found after it starts to announce", times);
    let goodbye = summary("goodbye heard", goodbyes);
    assert!(found <= Duration::from_secs(1), "{found:?}");
    assert!(goodbye <= Duration::from_secs(2), "{goodbye:?}");
}

/// A till starts while the box is up; the list taken before lets a second pass, in which mDNS may not
/// repeat an answer.
fn late(lan: &Lan, service: &str, quiet: bool) -> Duration {
    if quiet {
        let settings = json!({ "services": [service], "time_ms": 2_200 });
        lan.play("till", "discover", &settings).wait(SOON, |line| line == "@found 1 in all");
    }
    let mut browser = lan.play("till", "browser", &json!({ "services": [service] }));
    let (started, _) = browser.wait(SOON, |line| line == "@browsing");
    let (seen, _) = browser.wait(SOON, |line| line.starts_with("@seen storebox-a1b2c3|"));
    seen.saturating_duration_since(started)
}

#[test]
fn a_till_that_starts_late_finds_a_box_that_is_up() {
    let Some(lan) = lan(&["box1", "till"]) else { return };
    let mut announcing = lan.play("box1", "box", &json!({ "services": ["tills", "peers"] }));
    announcing.wait(SOON, |line| line == "@announcing");
    let quiet =
        ["tills", "peers", "tills", "peers", "tills"].map(|service| late(&lan, service, true));
    let quiet = summary("found by a till that starts late", quiet.to_vec());
    let rushed = ["tills"; 4].map(|service| late(&lan, service, false));
    let rushed = summary("the same within a second of another till", rushed.to_vec());
    assert!(quiet <= Duration::from_secs(1), "{quiet:?}");
    assert!(rushed <= Duration::from_millis(1_500), "{rushed:?}");
}

#[test]
fn the_list_of_boxes_has_every_address_and_what_each_says() {
    let Some(lan) = lan(&["box1", "box2", "till"]) else { return };
    let _first = lan.play("box1", "box", &json!({}));
    let second = json!({ "label": "storebox-d4e5f6", "node": "box-2", "site": "s2" });
    let _second = lan.play("box2", "box", &second);
    let mut list = lan.play("till", "discover", &json!({ "time_ms": 2_500 }));
    let (_, one) = list.wait(SOON, |line| line.starts_with("@found storebox-a1b2c3|"));
    let (_, two) = list.wait(SOON, |line| line.starts_with("@found storebox-d4e5f6|"));
    for (line, host, node) in [(one, "box1", "|box-1|"), (two, "box2", "|box-2|")] {
        assert!(line.contains(&format!("{}:8443", lan.address(host))), "{line}");
        assert!(line.contains("[fe80::") && line.contains('%'), "{line}");
        assert!(line.contains(node), "{line}");
    }
    list.wait(SOON, |line| line == "@found 2 in all");
}
