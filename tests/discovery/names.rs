//! Two boxes of one name: asked for in advance, or met when two halves of a LAN are joined.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lan::lan;
use crate::proc::{Proc, now, tell, until};

const SOON: Duration = Duration::from_secs(30);
const LATER: Duration = Duration::from_secs(60);

fn same_name(node: &str) -> Value {
    json!({ "label": "storebox", "chosen": true, "node": node })
}

fn waits_for(browser: &mut Proc, instance: &str, node: &str) {
    let fits = |line: &str| {
        line.starts_with(&format!("@seen {instance}|")) && line.contains(&format!("|{node}|"))
    };
    browser.wait(LATER, fits);
}

#[test]
fn the_second_box_of_a_chosen_name_takes_another() {
    let Some(lan) = lan(&["box1", "box2", "till"]) else { return };
    let mut browser = lan.play("till", "browser", &json!({}));
    let _first = lan.play("box1", "box", &same_name("box-1"));
    waits_for(&mut browser, "storebox", "box-1");
    let mut second = lan.play("box2", "box", &same_name("box-2"));
    second.wait(SOON, |line| line.starts_with("@named storebox (2)|"));
    waits_for(&mut browser, "storebox (2)", "box-2");
}

#[test]
fn two_boxes_of_a_chosen_name_that_start_together_both_get_seen() {
    let Some(lan) = lan(&["box1", "box2", "till"]) else { return };
    let mut browser = lan.play("till", "browser", &json!({}));
    browser.wait(SOON, |line| line == "@browsing");
    let _first = lan.play("box1", "box", &same_name("box-1"));
    let _second = lan.play("box2", "box", &same_name("box-2"));
    let seen = |line: &str| line.starts_with("@seen storebox|");
    let (_, first) = browser.wait(LATER, seen);
    let other = if first.contains("|box-1|") { "box-2" } else { "box-1" };
    waits_for(&mut browser, "storebox (2)", other);
}

#[test]
fn a_copy_of_a_box_that_appears_when_the_lan_is_joined_makes_one_of_them_take_another_name() {
    let Some(lan) = lan(&["box1", "box2", "till"]) else { return };
    lan.cable("box2", false);
    let copy = |boot: u32| json!({ "boot": boot, "seeks": true, "node": format!("box-{boot}") });
    let mut first = lan.play("box1", "box", &copy(1));
    let mut second = lan.play("box2", "box", &copy(2));
    for announcing in [&mut first, &mut second] {
        announcing.wait(SOON, |line| line == "@announcing");
    }
    let mut browser = lan.play("till", "browser", &json!({}));
    waits_for(&mut browser, "storebox-a1b2c3", "box-1");
    lan.cable("box2", true);
    let joined = now();
    let mut names = BTreeMap::new();
    until(LATER, "a name for each of the two", || {
        let seen = browser
            .try_wait(Duration::from_secs(5), |line| line.starts_with("@seen storebox-a1b2c3"));
        let (_, line) = seen.expect("boxes that are announced");
        let mut words = line.split('|');
        let name = words.next().expect("the instance").to_owned();
        names.insert(words.nth(2).expect("the node").to_owned(), name);
        names.len() == 2 && names["box-1"] != names["box-2"]
    });
    tell(&format!("a name of its own for each copy: {} ms", (now() - joined).as_millis()));
}
