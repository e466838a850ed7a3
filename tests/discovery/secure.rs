//! Boxes that speak nothing but TLS on their LAN.

use std::time::Duration;

use serde_json::Value;

use crate::estate::{Estate, said};
use crate::lan::lan;
use crate::proc::{now, tell, until};

const SOON: Duration = Duration::from_secs(40);
const SECRET: &str = "what all boxes of this store share";

#[test]
fn boxes_that_speak_tls_alone_find_each_other_alive_and_say_when_they_take_newcomers() {
    let Some(lan) = lan(&["box1", "box2", "till"]) else { return };
    let folder = tempfile::tempdir().expect("a folder for the test");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).expect("a folder of the test");
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let more = format!(
        "[discovery]\nsite = \"0007\"\n[main]\npublic_key = \"{key}\"\n[peers]\ndiscover = true\nsecret_file = {secret:?}\n"
    );
    let first = Estate::with(&lan, "box1", folder.path(), &more);
    let second = first.further("box2", "box-2", &more);
    let begun = now();
    let (_one, _two) = (first.start(), second.start());
    let sources = |estate: &Estate<'_>, host: &str| {
        let text = said(&estate.run(host, &["status", "--json"]));
        let status: Value = serde_json::from_str(&text).expect("JSON");
        status["sources"].as_array().cloned().unwrap_or_default()
    };
    let is_used = |estate: &Estate<'_>, host: &str, id: &str| {
        sources(estate, host)
            .iter()
            .any(|source| source["id"] == id && source["lastFault"].is_null())
    };
    until(SOON, "the neighbours", || {
        is_used(&first, "box1", "peer-box-2") && is_used(&second, "box2", "peer-box-1")
    });
    tell(&format!("neighbours over TLS: {} ms", begun.elapsed().as_millis()));
    let log = std::fs::read_to_string(second.folder.join("data/trust/audit.log"));
    assert!(log.is_err() || log.is_ok_and(|log| !log.contains("refused")));

    let network = ["discover", "--sweep", "10.77.0.0/28", "--port", "8443", "--json"];
    let swept = said(&first.run("till", &network));
    assert!(swept.contains("box-1") && swept.contains("box-2"), "{swept}");

    let takes = || {
        let heard = said(&first.run("till", &["discover", "--seconds", "2", "--json"]));
        let boxes: Vec<Value> = serde_json::from_str(&heard).expect("JSON");
        boxes.iter().any(|one| one["node"] == "box-1" && one["takesTerminals"] == true)
    };
    assert!(!takes(), "nothing is open");
    first.slip();
    until(SOON, "the slip in the announcement", takes);
    first.good(&["enrol", "close", "--by", "manager"]);
    until(SOON, "the end of it", || !takes());
}
