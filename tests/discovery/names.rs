//! Two boxes that say they are one: a copied disk, or a name that was given twice.

use std::time::Duration;

use serde_json::{Value, json};

use crate::estate::{Estate, said};
use crate::lan::{Lan, lan};
use crate::proc::{Proc, now, tell, until};

const SOON: Duration = Duration::from_secs(30);
const LATER: Duration = Duration::from_secs(60);
/// The label of every box that was given none.
const LABEL: &str = "storebox-a1b2c3";

/// Two boxes that listen to the others of their store, in two halves of a LAN.
fn apart(lan: &Lan, first: &Value, second: &Value) -> [Proc; 2] {
    lan.cable("box2", false);
    let mut boxes = [lan.play("box1", "box", first), lan.play("box2", "box", second)];
    for announcing in &mut boxes {
        announcing.wait(SOON, |line| line == "@announcing");
    }
    boxes
}

fn is_told(lan: &Lan, announcing: &mut Proc, other: &str) {
    let v4 = format!("@namesake {}:", lan.address(other));
    announcing.wait(LATER, |line| line.starts_with(&v4) || line.starts_with("@namesake [fe80:"));
}

#[test]
fn a_copy_of_a_box_that_appears_when_the_lan_is_joined_is_told_and_takes_another_name() {
    let Some(lan) = lan(&["box1", "box2", "till"]) else { return };
    let copy = |boot: u32| json!({ "boot": boot, "elects": true });
    let [mut first, mut second] = apart(&lan, &copy(1), &copy(2));
    let mut browser = lan.play("till", "browser", &json!({}));
    browser.wait(LATER, |line| line.starts_with(&format!("@seen {LABEL}|")));
    lan.cable("box2", true);
    let joined = now();
    is_told(&lan, &mut first, "box2");
    is_told(&lan, &mut second, "box1");
    let (named, _) = browser.wait(LATER, |line| line.starts_with(&format!("@seen {LABEL}-")));
    let time = named.saturating_duration_since(joined).as_millis();
    tell(&format!("another name for a copy: {time} ms"));
    second.plug_out();
    first.wait(LATER, |line| line == "@namesake none");
}

#[test]
fn a_name_that_was_given_twice_is_told_and_nobody_is_called_otherwise() {
    let Some(lan) = lan(&["box1", "box2", "till"]) else { return };
    let named = |label: &str| json!({ "label": label, "boot": label.len(), "elects": true });
    let [mut first, mut second] =
        apart(&lan, &named("storebox-000001"), &named("storebox-0000022"));
    let mut browser = lan.play("till", "browser", &json!({}));
    lan.cable("box2", true);
    is_told(&lan, &mut first, "box2");
    is_told(&lan, &mut second, "box1");
    for label in ["storebox-000001", "storebox-0000022"] {
        lan.play("till", "browser", &json!({}))
            .wait(LATER, |line| line.starts_with(&format!("@seen {label}|")));
    }
    first.order("goodbye");
    second.wait(LATER, |line| line == "@namesake none");
    let other_names =
        |line: &str| line.contains("storebox-000001-") || line.contains("storebox-0000022-");
    let late = browser.try_wait(Duration::from_millis(100), other_names);
    assert_eq!(late, None);
}

#[test]
fn boxes_of_one_disk_say_so_on_their_consoles() {
    let Some(lan) = lan(&["box1", "box2"]) else { return };
    let folder = tempfile::tempdir().expect("a folder for the test");
    let more = "[discovery]\nsite = \"0007\"\n";
    let first = Estate::with(&lan, "box1", folder.path(), more);
    let copy = first.copied("box2", more);
    let (_one, _two) = (first.start(), copy.start());
    let says = |estate: &Estate<'_>, host: &str, other: &str| {
        let status = said(&estate.run(host, &["status", "--json"]));
        let status: Value = serde_json::from_str(&status).expect("JSON");
        let is_told = status["findings"].as_array().expect("a list").iter().any(|finding| {
            let text = finding["text"].as_str().expect("a text");
            finding["code"] == "namesake" && text.contains(&lan.address(other))
        });
        is_told && status["namesake"] == format!("{}:8443", lan.address(other))
    };
    until(LATER, "both to say so", || says(&first, "box1", "box2") && says(&copy, "box2", "box1"));
}
