//! Waits, and what is asked for while something does not work.

use super::world::{DISK_BYTES, Disk, World, events, machine, options, serve};
use super::*;

/// Lets the time come for which the machine waits; how long that was.
fn pass(machine: &mut Fetch, now: &mut Instant) -> Duration {
    let until = machine.poll_timeout().unwrap().max(*now);
    let waited = until - *now;
    *now = until;
    machine.handle_timeout(until);
    waited
}

#[test]
fn loads_that_fail_wait_longer_each_time_however_many_heads_arrive() {
    let (mut world, mut disk, mut now) = (World::new(), Disk::default(), start());
    let mut machine = machine(&world, None);
    machine.handle_wish(Wish::Incremental);
    let mut waits = Vec::new();
    for _ in 0..10 {
        let (load, _) = serve(&mut machine, &mut world, &mut disk, now);
        assert!(load.is_some());
        machine.handle_outcome(Outcome::Failed, now);
        waits.push(pass(&mut machine, &mut now));
    }
    assert!(waits[0] <= Duration::from_secs(1), "{waits:?}");
    assert!(waits[7..].iter().all(|wait| *wait >= Duration::from_millis(7500)), "{waits:?}");
    assert!(serve(&mut machine, &mut world, &mut disk, now).0.is_some());
    machine.handle_outcome(Outcome::Switched, now);
    world.publish();
    machine.handle_wish(Wish::Incremental);
    assert!(serve(&mut machine, &mut world, &mut disk, now).0.is_some());
    machine.handle_outcome(Outcome::Failed, now);
    assert!(pass(&mut machine, &mut now) <= Duration::from_secs(1), "all was well in between");
}

#[test]
fn what_the_disk_does_not_take_is_asked_for_ever_less_often() {
    let (mut world, disk, mut now) = (World::new(), Disk::default(), start());
    let mut machine = machine(&world, None);
    machine.handle_wish(Wish::Incremental);
    let mut waits = Vec::new();
    for _ in 0..10 {
        assert!(matches!(machine.poll_request(now), Some(Request::Head { .. })));
        machine.handle_head(&world.signed(), &disk, now);
        let Some(Request::Object { name, .. }) = machine.poll_request(now) else { panic!() };
        machine.handle_object_unstored(&name, now);
        assert_eq!(machine.poll_request(now), None, "nothing more before the next head");
        waits.push(pass(&mut machine, &mut now));
    }
    assert!(waits[7..].iter().all(|wait| *wait >= Duration::from_millis(7500)), "{waits:?}");
}

#[test]
fn what_does_not_fit_on_the_disk_is_not_fetched_until_there_is_room() {
    let (mut world, mut disk, mut now) = (World::new(), Disk::default(), start());
    disk.taken = DISK_BYTES - 100;
    let mut machine = machine(&world, None);
    machine.handle_wish(Wish::Incremental);
    let (load, fetched) = serve(&mut machine, &mut world, &mut disk, now);
    assert_eq!((load.map(|_| ()), fetched), (None, 2), "the manifests, which tell how much it is");
    let refused =
        |event: &Event| matches!(event, Event::Refused(Refused::NoRoom { free: 100, .. }));
    assert!(events(&mut machine).iter().any(refused));
    disk.taken = 0;
    pass(&mut machine, &mut now);
    assert!(serve(&mut machine, &mut world, &mut disk, now).0.is_some());
    machine.handle_outcome(Outcome::Switched, now);
    world.publish();
    disk.taken = DISK_BYTES - 1;
    machine.handle_wish(Wish::Incremental);
    let (load, fetched) = serve(&mut machine, &mut world, &mut disk, now);
    assert_eq!((load.map(|_| ()), fetched), (None, 0));
}

#[test]
fn an_object_has_time_by_its_size() {
    let (mut world, disk, now) = (World::new(), Disk::default(), start());
    let keys = vec![world.key.verifying_key()];
    let options = Options { line_floor: 4, ..options() };
    let mut machine = Fetch::new("catalogue".parse().unwrap(), keys, options.clone(), None);
    machine.handle_wish(Wish::Incremental);
    machine.poll_request(now);
    machine.handle_head(&world.signed(), &disk, now);
    let Some(Request::Object { bytes, .. }) = machine.poll_request(now) else { panic!() };
    let seconds = u64::from(bytes / 4);
    assert!(seconds > 10);
    let least = now + options.page_timeout + Duration::from_secs(seconds);
    assert_eq!(machine.poll_timeout(), Some(least));
}
