use storebox_proto::rings::Seat;

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
