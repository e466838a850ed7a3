//! All boxes of the chain in numbers: shops are seldom reached from outside, head office always is.

use prometheus_client::registry::Registry;
use storebox_proto::heartbeat::Heartbeat;
use storebox_proto::time::Timestamp;

use super::{Labels, gauges};
use crate::http::fleet::BoxView;

/// Adds what is known of each box; what is not known has no number.
pub(super) fn add(registry: &mut Registry, boxes: &[BoxView], now: Timestamp) {
    let boxes: Vec<&BoxView> = boxes.iter().filter(|one| one.contact != "revoked").collect();
    let of = |one: &BoxView| -> Labels { vec![("box", one.name.clone())] };
    let here = boxes.iter().map(|one| (of(one), u64::from(one.contact == "here")));
    gauges(registry, "box_here", "Whether a box spoke lately", here);
    let silent = boxes.iter().filter_map(|one| {
        let ms = now.unix_ms().saturating_sub(one.last_contact?.unix_ms());
        Some((of(one), u64::try_from(ms / 1000).unwrap_or(0)))
    });
    gauges(registry, "box_silent_seconds", "Time since a box spoke last", silent);
    let mut number = |name: &str, help: &str, read: fn(&Heartbeat) -> Option<u64>| {
        let told = boxes.iter().filter_map(|one| Some((of(one), read(one.said.as_ref()?)?)));
        gauges(registry, name, help, told);
    };
    number("box_waiting", "Transactions that wait at a box", |said| said.waiting);
    number("box_oldest_seconds", "Age of the oldest of them", |said| {
        said.oldest_s.or(said.waiting.map(|_| 0))
    });
    number("box_quarantined", "Of those, how many wait for a person", |said| said.quarantined);
    number("box_devices_troubled", "Devices that do not work", |said| {
        u64::try_from(said.troubled.len()).ok()
    });
    number("box_bad", "Whether somebody has to act there", |said| {
        Some((said.level == "bad").into())
    });
    let behind = boxes.iter().flat_map(|one| {
        let known = one.feeds.iter().filter_map(|lag| Some((lag.feed.clone(), lag.behind?)));
        known.map(|(feed, behind)| (vec![("box", one.name.clone()), ("feed", feed)], behind))
    });
    gauges(registry, "box_feed_behind", "Revisions that a box is behind", behind);
    let versions = boxes.iter().filter_map(|one| {
        let version = one.said.as_ref()?.version.clone();
        Some((vec![("box", one.name.clone()), ("version", version)], 1))
    });
    gauges(registry, "box_version", "What runs at a box", versions);
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    #[test]
    fn a_box_that_never_spoke_has_no_numbers_but_that_it_is_not_here() {
        let said = r#"{"version":"1.2.0","now":"2026-11-22T10:02:00Z","uptimeS":1,"feeds":[],
            "waiting":3,"oldestS":70,"troubled":["till-printer"],"level":"bad","sentence":"x"}"#;
        let one = |name: &str, contact, said| BoxView {
            name: name.to_owned(),
            contact,
            last_contact: None,
            said,
            feeds: Vec::new(),
        };
        let boxes = [
            one("store-1", "here", Some(serde_json::from_str(said).unwrap())),
            one("store-2", "unknown", None),
            one("store-3", "revoked", None),
        ];
        let mut registry = Registry::with_prefix("storebox");
        add(&mut registry, &boxes, Timestamp::from_unix_ms(0));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "storebox_box_here{box=\"store-1\"} 1\n",
            "storebox_box_here{box=\"store-2\"} 0\n",
            "storebox_box_waiting{box=\"store-1\"} 3\n",
            "storebox_box_devices_troubled{box=\"store-1\"} 1\n",
            "storebox_box_version{box=\"store-1\",version=\"1.2.0\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("store-3") && !text.contains("waiting{box=\"store-2\""), "{text}");
    }
}
