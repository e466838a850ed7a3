use storebox_proto::rings::{Seat, Turn};

use super::*;

#[tokio::test]
async fn what_is_rolled_out_is_understood_once_for_each_state_of_the_estate() {
    let ring = |id: &str, order: u32| json!({"id": id, "order": order, "sites": ["oslo"]});
    let set = json!({"id": "night", "number": 4, "ring": "pilot", "values": {"log.level": "warn"}});
    let mut plan = Site::plan(1, Http::default());
    plan.estate =
        vec![("BoxSettings", set), ("Ring", ring("No Ring", 1)), ("Ring", ring("pilot", 2))];
    let mut site = plan.open().await;
    let (node, oslo) = ("store-1".parse().unwrap(), "oslo".parse().unwrap());
    let seat = Seat { node: &node, site: &oslo };
    let rings = site.masterdata.rings().unwrap();
    assert_eq!(rings.all().len(), 1, "what makes no sense is left out");
    assert!(Arc::ptr_eq(&rings, &site.masterdata.rings().unwrap()), "and said once");
    let rollout = site.masterdata.rollout(seat).unwrap();
    assert_eq!(Some(rollout.position), site.masterdata.estate_position());
    assert_eq!((rollout.ring.as_str(), rollout.wanted.revision), ("pilot", 4));

    let Record { id, body } = described(&ring("sooner", 1));
    let changes = vec![Change { id, body: Some(body) }];
    let changes = BTreeMap::from([("Ring".parse().unwrap(), changes)]);
    let (epoch, after) = (rollout.position.epoch, rollout.position.revision);
    let revision = after + 1;
    let published = Timestamp::from_unix_ms(2);
    site.estate.apply(ChangeSet { epoch, after, revision, published, changes }, None).unwrap();
    assert_ne!(Some(rollout.position), site.masterdata.estate_position());
    let rollout = site.masterdata.rollout(seat).unwrap();
    assert_eq!((rollout.ring.as_str(), rollout.position.revision), ("sooner", revision));
    site.close().await;
}

#[tokio::test]
async fn damaged_rings_roll_nothing_out() {
    let ring = json!({"id": "pilot", "order": 1, "sites": ["oslo"]});
    let set = json!({"id": "night", "number": 4, "ring": "pilot", "values": {"log.level": "warn"}});
    let mut plan = Site::plan(1, Http::default());
    plan.estate = vec![("BoxSettings", set), ("Ring", ring)];
    let site = plan.open().await;
    let manifests = site.estate.manifests();
    let of_rings = manifests.iter().find(|one| one.model.as_str() == "Ring").unwrap();
    for segment in &of_rings.segments {
        let name = segment.name.to_string();
        let path = site.dir.path().join("segments").join(&name[..2]).join(name);
        let bytes = vec![0xee; std::fs::read(&path).unwrap().len()];
        std::fs::write(path, bytes).unwrap();
    }
    let (node, oslo) = ("store-1".parse().unwrap(), "oslo".parse().unwrap());
    let seat = Seat { node: &node, site: &oslo };
    assert!(site.masterdata.estate_position().is_some(), "the rest of the estate is served");
    assert!(site.masterdata.rollout(seat).is_none(), "no settings");
    assert!(site.masterdata.rings().is_none(), "and no rings, so that it is nobody's turn below");
    let rings = site.masterdata.rings().unwrap_or_default();
    assert_eq!(rings.turn(seat, "pilot"), Turn::Undefined);
    site.close().await;
}
