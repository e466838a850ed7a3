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
fn a_source_without_a_head_is_not_asked_again_at_once_and_the_wish_stays() {
    let (mut world, mut disk, mut now) = (World::new(), Disk::default(), start());
    let position = settled(&mut world, &mut disk, now).position();
    let keys = vec![world.key.verifying_key()];
    let options = Options { follow: true, ..options() };
    let follower =
        || Fetch::new("catalogue".parse().unwrap(), keys.clone(), options.clone(), position);
    let anew = Some(Request::Head { after: None, wait: false });
    let mut wished = follower();
    wished.handle_wish(Wish::Full);
    // What the neighbour lost is wanted, and it has nothing either.
    let mut damaged = follower();
    world.publish();
    damaged.handle_wish(Wish::Incremental);
    assert!(serve(&mut damaged, &mut world, &mut disk, now).0.is_some());
    damaged.handle_outcome(Outcome::Mismatch, now);
    pass(&mut damaged, &mut now);
    for machine in [&mut wished, &mut damaged] {
        for _ in 0..5 {
            assert_eq!(machine.poll_request(now), anew);
            machine.handle_unchanged(now);
            assert_eq!(machine.poll_request(now), None, "not at once");
            let waited = pass(machine, &mut now);
            assert!(waited >= Duration::from_millis(500) && waited <= Duration::from_secs(2));
        }
        assert!(!events(machine).contains(&Event::UpToDate));
    }
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

/// The objects that the machine asks for now, which do not come; heads do.
fn ask_all(machine: &mut Fetch, world: &mut World, disk: &Disk, now: Instant) -> Vec<Hash32> {
    let mut names = Vec::new();
    while let Some(request) = machine.poll_request(now) {
        match request {
            Request::Head { .. } => machine.handle_head(&world.signed(), disk, now),
            Request::Object { name, .. } => names.push(name),
        }
    }
    names
}

/// A machine that asks for many objects at once, with the manifests on its shelf.
fn wide(world: &mut World, disk: &mut Disk, now: Instant) -> Fetch {
    let keys = vec![world.key.verifying_key()];
    let options = Options { in_flight_max: 8, line_floor: 4, ..options() };
    let mut machine = Fetch::new("catalogue".parse().unwrap(), keys, options, None);
    machine.handle_wish(Wish::Incremental);
    for name in ask_all(&mut machine, world, disk, now) {
        disk.objects.insert(name, world.objects[&name].clone());
        machine.handle_stored(&name, disk, now);
    }
    machine
}

#[test]
fn after_time_outs_half_as_many_objects_are_asked_for_at_once() {
    let (mut world, mut disk, mut now) = (World::new(), Disk::default(), start());
    let mut machine = wide(&mut world, &mut disk, now);
    let mut asked = Vec::new();
    for _ in 0..5 {
        let mut names = ask_all(&mut machine, &mut world, &disk, now);
        while names.is_empty() {
            pass(&mut machine, &mut now);
            names = ask_all(&mut machine, &mut world, &disk, now);
        }
        asked.push(names.len());
        pass(&mut machine, &mut now);
    }
    assert_eq!(asked, [8, 4, 2, 1, 1]);
}

#[test]
fn a_line_that_is_too_slow_for_many_objects_at_once_brings_them_with_fewer() {
    const LINE_BYTES_PER_S: f64 = 8.0;
    let (mut world, mut disk, zero) = (World::new(), Disk::default(), start());
    let mut machine = wide(&mut world, &mut disk, zero);
    let mut under_way: Vec<(Hash32, f64, Instant)> = Vec::new();
    for second in 0..600 {
        let now = zero + Duration::from_secs(second);
        let share = LINE_BYTES_PER_S / f64::from(u32::try_from(under_way.len().max(1)).unwrap());
        under_way.iter_mut().for_each(|(_, left, _)| *left -= share);
        for (name, ..) in under_way.extract_if(.., |(_, left, _)| *left <= 0.0) {
            let bytes = world.objects[&name].clone();
            if machine.handle_object(&name, &bytes, now) == Verdict::Keep {
                disk.objects.insert(name, bytes);
                machine.handle_stored(&name, &disk, now);
            }
        }
        under_way.retain(|(.., until)| *until > now);
        machine.handle_timeout(now);
        while let Some(request) = machine.poll_request(now) {
            match request {
                Request::Head { .. } => machine.handle_head(&world.signed(), &disk, now),
                Request::Object { name, bytes } => {
                    let within = limits::time_at(4, options().page_timeout, bytes);
                    under_way.push((name, f64::from(bytes), now + within));
                }
            }
        }
        if machine.has_load() {
            return;
        }
    }
    panic!("ten minutes later {} of the objects are here", disk.objects.len());
}

#[test]
fn an_object_that_is_gone_is_asked_for_ever_less_often_and_the_rest_comes() {
    let (mut world, mut disk, zero) = (World::new(), Disk::default(), start());
    let gone = world.segment("Product", 0).name;
    let mut machine = machine(&world, None);
    machine.handle_wish(Wish::Incremental);
    let (mut asked, mut heads, mut fetched, mut now) = (Vec::new(), Vec::new(), 0, zero);
    while now < zero + Duration::from_secs(600) {
        while let Some(request) = machine.poll_request(now) {
            match request {
                Request::Head { .. } => {
                    heads.push(now);
                    machine.handle_head(&world.signed(), &disk, now);
                }
                Request::Object { name, .. } if name == gone => {
                    asked.push(now);
                    machine.handle_object_gone(&name, now);
                }
                Request::Object { name, .. } => {
                    fetched += 1;
                    disk.objects.insert(name, world.objects[&name].clone());
                    machine.handle_stored(&name, &disk, now);
                }
            }
        }
        pass(&mut machine, &mut now);
    }
    let waits: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((10..20).contains(&asked.len()), "{waits:?}");
    assert!(waits[0] >= Duration::from_secs(1) && waits[0] < Duration::from_secs(5), "{waits:?}");
    assert!(waits[7..].iter().all(|wait| *wait >= Duration::from_secs(60)), "{waits:?}");
    assert_eq!(fetched, 2 + 11, "everything else is here, and came once");
    let looks = heads.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(looks <= Some(Duration::from_secs(15)), "a newer head is soon seen: {looks:?}");
    machine.handle_wish(Wish::Incremental);
    machine.poll_request(now);
    machine.handle_head(&world.signed(), &disk, now);
    let asks = machine.poll_request(now);
    assert!(matches!(asks, Some(Request::Object { name, .. }) if name == gone), "{asks:?}");
    machine.handle_object_gone(&gone, now);
    assert_eq!(machine.poll_request(now), None, "a wish asks for it once");
    world.publish();
    machine.handle_wish(Wish::Incremental);
    assert!(
        serve(&mut machine, &mut world, &mut disk, now).0.is_some(),
        "it is not named any more"
    );
}
