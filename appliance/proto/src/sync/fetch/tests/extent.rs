//! Turning to another extent of a feed.

use super::*;

/// An author of an excerpt, whose life began earlier than that of the whole feed.
fn excerpt() -> World {
    World { feed: "catalogue--small".parse().unwrap(), ..World::new() }
}

/// A machine that has taken the whole feed, in a later epoch.
fn whole(disk: &mut Disk, now: Instant) -> Fetch {
    let mut world = World::new();
    world.epoch = 9;
    settled(&mut world, disk, now)
}

#[test]
fn another_extent_is_taken_whole_whatever_its_epoch_and_followed_from_there() {
    let (mut small, mut disk, now) = (excerpt(), Disk::default(), start());
    let mut machine = whole(&mut disk, now);
    machine.handle_feed(small.feed.clone());
    assert_eq!(machine.position().map(|at| at.epoch), Some(9), "what is here stays in service");
    let request = machine.clone().poll_request(now);
    assert_eq!(request, Some(Request::Head { after: None, wait: false }));
    let (load, fetched) = serve(&mut machine, &mut small, &mut disk, now);
    assert!(matches!(load, Some(Load::Snapshot { .. })), "{load:?}");
    assert_eq!(fetched, 0, "all of its segments were here");
    machine.handle_outcome(Outcome::Switched, now);
    assert_eq!(machine.position(), Some(Position { epoch: 1, revision: 1 }));
    let former = small.signed();
    small.publish();
    machine.handle_wish(Wish::Incremental);
    let (load, _) = serve(&mut machine, &mut small, &mut disk, now);
    assert!(matches!(load, Some(Load::Changes { .. })), "{load:?}");
    machine.handle_outcome(Outcome::Switched, now);
    machine.handle_wish(Wish::Full);
    machine.poll_request(now);
    machine.handle_head(&former, &disk, now);
    let refused = events(&mut machine)
        .into_iter()
        .any(|event| matches!(event, Event::Refused(Refused::Rollback { .. })));
    assert!(refused, "within an extent nothing goes back");
}

#[test]
fn a_source_without_the_extent_or_with_another_one_changes_nothing() {
    let (small, mut disk, now) = (excerpt(), Disk::default(), start());
    let mut machine = whole(&mut disk, now);
    machine.handle_feed(small.feed.clone());
    machine.poll_request(now);
    machine.handle_unchanged(now);
    assert!(machine.poll_timeout().is_some_and(|at| at > now), "it asks again later, not at once");
    let mut machine = whole(&mut disk, now);
    machine.handle_feed(small.feed);
    machine.poll_request(now);
    machine.handle_head(&World::new().signed(), &disk, now);
    let told = events(&mut machine);
    assert!(matches!(&told[..], [Event::Refused(Refused::Feed { .. }), Event::Failed]), "{told:?}");
    assert_eq!(machine.position().map(|at| at.epoch), Some(9));
}

#[test]
fn a_load_that_is_under_way_ends_before_the_machine_turns() {
    let (mut small, mut disk, now) = (excerpt(), Disk::default(), start());
    let mut world = World::new();
    world.epoch = 9;
    let mut machine = settled(&mut world, &mut disk, now);
    world.publish();
    machine.handle_wish(Wish::Incremental);
    let (load, _) = serve(&mut machine, &mut world, &mut disk, now);
    assert!(load.is_some());
    machine.handle_feed(small.feed.clone());
    assert_eq!(machine.poll_request(now), None);
    machine.handle_outcome(Outcome::Switched, now);
    assert_eq!(machine.position(), Some(Position { epoch: 9, revision: 2 }));
    let (load, _) = serve(&mut machine, &mut small, &mut disk, now);
    assert!(matches!(load, Some(Load::Snapshot { head, .. }) if head.feed == small.feed));
    machine.handle_feed("catalogue".parse().unwrap());
    machine.handle_feed(small.feed.clone());
    machine.handle_outcome(Outcome::Switched, now);
    assert_eq!(machine.position(), Some(Position { epoch: 1, revision: 1 }));
    assert!(machine.is_resting(), "it was turned back before it had turned");
}

#[test]
fn a_replica_that_turned_back_before_anything_came_takes_nothing_older_than_it_has() {
    let (small, mut disk, now) = (excerpt(), Disk::default(), start());
    let mut world = World::new();
    let former = world.signed();
    world.publish();
    let mut machine = settled(&mut world, &mut disk, now);
    let here = machine.position();
    for restarts in [false, true] {
        machine.handle_feed(small.feed.clone());
        if restarts {
            machine.handle_origin(Some(world.feed.clone()));
        }
        machine.handle_feed(world.feed.clone());
        machine.handle_wish(Wish::Full);
        machine.poll_request(now);
        machine.handle_head(&former, &disk, now);
        let told = events(&mut machine);
        let rollback = |event: &Event| matches!(event, Event::Refused(Refused::Rollback { .. }));
        assert!(told.iter().any(rollback), "restarts={restarts}: {told:?}");
        assert_eq!(machine.position(), here);
    }
    machine.handle_origin(None);
    machine.handle_wish(Wish::Full);
    machine.poll_request(now);
    machine.handle_head(&former, &disk, now);
    let told = events(&mut machine);
    let begun = |event: &Event| matches!(event, Event::Started { mode: Mode::Full, .. });
    assert!(told.iter().any(begun), "what is of no known feed is made anew: {told:?}");
}
