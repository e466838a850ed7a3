mod extent;
mod failure;
mod world;

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::ids::ModelName;
use world::{Disk, SEGMENTS, World, events, machine, options, serve, settled, sign};

#[expect(clippy::disallowed_methods, reason = "a test gets its zero here")]
fn start() -> Instant {
    Instant::now()
}

#[test]
fn the_first_refresh_takes_the_snapshot_and_tells_of_models_one_by_one() {
    let (mut world, mut disk, now) = (World::new(), Disk::default(), start());
    let mut machine = machine(&world, None);
    assert_eq!(machine.poll_request(now), None, "nobody wants anything yet");
    machine.handle_wish(Wish::Incremental);
    let (load, fetched) = serve(&mut machine, &mut world, &mut disk, now);
    let Some(Load::Snapshot { head, manifests }) = load else { panic!("{load:?}") };
    assert_eq!((head.revision, manifests.len(), fetched), (1, 2, 2 + 12));
    assert_eq!(machine.poll_load().map(|_| ()), None, "a load is handed out once");
    machine.handle_outcome(Outcome::Switched, now);
    let to = Position { epoch: 1, revision: 1 };
    let mode = Mode::Full;
    let model = |name: &str| name.parse::<ModelName>().unwrap();
    let done = |name| Event::ModelFinished { mode, model: model(name), records: 600, pages: 6 };
    let told = [
        Event::Started { mode, to },
        Event::ModelStarted { mode, model: model("Product") },
        done("Product"),
        Event::ModelStarted { mode, model: model("Brand") },
        done("Brand"),
        Event::Switched { mode, to },
    ];
    assert_eq!(events(&mut machine), told);
    assert!(machine.is_resting());
}

#[test]
fn a_newer_head_brings_only_the_runs_since() {
    let (mut world, mut disk, now) = (World::new(), Disk::default(), start());
    let mut machine = settled(&mut world, &mut disk, now);
    world.publish();
    world.publish();
    machine.handle_wish(Wish::Incremental);
    let (load, fetched) = serve(&mut machine, &mut world, &mut disk, now);
    let Some(Load::Changes { head, runs }) = load else { panic!("{load:?}") };
    assert_eq!((head.revision, runs.len(), fetched), (3, 2, 4));
    assert_eq!(head.check().map_err(|error| error.to_string()), Ok(()), "models are by name again");
    machine.handle_outcome(Outcome::Switched, now);
    machine.handle_wish(Wish::Incremental);
    assert_eq!(serve(&mut machine, &mut world, &mut disk, now).1, 0);
    assert_eq!(events(&mut machine).last(), Some(&Event::UpToDate));
}

#[test]
fn behind_the_horizon_after_a_new_epoch_or_on_wish_the_snapshot_is_taken() {
    let (mut world, mut disk, now) = (World::new(), Disk::default(), start());
    let machine = settled(&mut world, &mut disk, now);
    for change in 0..3 {
        let (mut machine, mut disk) = (machine.clone(), disk.clone());
        let mut wish = Wish::Incremental;
        match change {
            0 => {
                world.publish();
                world.publish();
                world.horizon = 2;
            }
            1 => world.epoch = 2,
            _ => {
                world = World::new();
                wish = Wish::Full;
            }
        }
        machine.handle_wish(wish);
        let (load, _) = serve(&mut machine, &mut world, &mut disk, now);
        assert!(matches!(load, Some(Load::Snapshot { .. })), "{change}");
    }
}

#[test]
fn segments_that_are_held_under_any_name_are_not_fetched() {
    let (mut world, mut disk, now) = (World::new(), Disk::default(), start());
    let mut machine = settled(&mut world, &mut disk, now);
    let held = world.segment("Product", 0);
    disk.objects.remove(&held.name);
    let other = Hash32::of(b"packed by another compressor");
    disk.objects.insert(other, Bytes::new());
    disk.equal.insert(held.digest, other);
    machine.handle_wish(Wish::Full);
    let (load, fetched) = serve(&mut machine, &mut world, &mut disk, now);
    let Some(Load::Snapshot { manifests, .. }) = load else { panic!("{load:?}") };
    assert_eq!(fetched, 0);
    assert_eq!(manifests[1].segments[0].name, other);
}

#[test]
fn an_older_head_is_refused_and_the_old_generation_stays() {
    let (mut world, mut disk, now) = (World::new(), Disk::default(), start());
    world.revision = 5;
    world.horizon = 5;
    let mut machine = settled(&mut world, &mut disk, now);
    let in_service = machine.position();
    for (epoch, revision) in [(1, 4), (0, 9)] {
        (world.epoch, world.revision, world.horizon) = (epoch, revision, revision);
        machine.handle_wish(Wish::Full);
        assert!(serve(&mut machine, &mut world, &mut disk, now).0.is_none());
        let told = events(&mut machine);
        assert!(matches!(told[0], Event::Refused(Refused::Rollback { .. })), "{told:?}");
        assert_eq!(machine.position(), in_service);
    }
}

#[test]
fn a_head_by_another_key_of_another_feed_or_changed_on_the_way_is_refused() {
    let (mut world, disk, now) = (World::new(), Disk::default(), start());
    let head = world.head();
    let foreign = sign(&head, &SigningKey::from_bytes(&[8; 32]));
    let other = sign(&Head { feed: "partners".parse().unwrap(), ..head.clone() }, &world.key);
    let good = String::from_utf8(sign(&head, &world.key).to_vec()).unwrap();
    let changed = Bytes::from(good.replace("\\\"horizon\\\":1", "\\\"horizon\\\":0"));
    assert_ne!(changed, good);
    let endless = Bytes::from(vec![b' '; 3 * limits::HEAD_BYTES_MAX]);
    for bad in [foreign, other, changed, Bytes::from_static(b"{}"), endless] {
        let mut machine = machine(&world, None);
        machine.handle_wish(Wish::Incremental);
        machine.poll_request(now);
        machine.handle_head(&bad, &disk, now);
        let told = events(&mut machine);
        assert!(matches!(told[..], [Event::Refused(_), Event::Failed]), "{told:?}");
        assert!(machine.poll_timeout().unwrap() > now);
    }
}

#[test]
fn more_than_the_box_takes_is_refused_before_it_is_fetched() {
    let (mut world, mut disk, now) = (World::new(), Disk::default(), start());
    let options = Options { snapshot_bytes_max: 100, ..options() };
    let keys = vec![world.key.verifying_key()];
    let mut machine = Fetch::new("catalogue".parse().unwrap(), keys, options, None);
    machine.handle_wish(Wish::Incremental);
    assert!(serve(&mut machine, &mut world, &mut disk, now).0.is_none());
    assert!(events(&mut machine).iter().any(|event| {
        matches!(event, Event::Refused(Refused::TooLarge { what: "segments", .. }))
    }));
}

#[test]
fn a_lying_object_is_thrown_away_and_the_rest_is_not_fetched_twice() {
    let (mut world, mut disk, now) = (World::new(), Disk::default(), start());
    let mut machine = machine(&world, None);
    machine.handle_wish(Wish::Incremental);
    let mut fetched = BTreeSet::new();
    let mut lies = 5;
    let mut now = now;
    loop {
        let Some(request) = machine.poll_request(now) else {
            let Some(at) = machine.poll_timeout() else { break };
            now = now.max(at);
            machine.handle_timeout(now);
            continue;
        };
        match request {
            Request::Head { .. } => machine.handle_head(&world.signed(), &disk, now),
            Request::Object { name, .. } if lies > 0 && fetched.len() == 5 => {
                lies -= 1;
                let bytes = [&world.objects[&name][..], b"x"].concat();
                assert_eq!(machine.handle_object(&name, &bytes, now), Verdict::Lied);
                let late = world.objects[&name].clone();
                assert_ne!(machine.handle_object(&name, &late, now), Verdict::Lied);
            }
            Request::Object { name, .. } => {
                let bytes = world.objects[&name].clone();
                assert_eq!(machine.handle_object(&name, &bytes, now), Verdict::Keep);
                assert!(fetched.insert(name), "fetched twice");
                disk.objects.insert(name, bytes);
                machine.handle_stored(&name, &disk, now);
            }
        }
    }
    assert!(machine.poll_load().is_some());
    assert_eq!(events(&mut machine).iter().filter(|e| matches!(e, Event::Lied { .. })).count(), 5);
}

#[test]
fn after_a_restart_it_goes_on_at_the_page_where_it_stopped() {
    let (mut world, mut disk, now) = (World::new(), Disk::default(), start());
    let first = settled(&mut world, &mut disk, now);
    for _ in 0..10 {
        world.publish();
    }
    let mut fetched = 0;
    for stop_after in [1, 4, 7, 100] {
        let mut machine = machine(&world, first.position());
        machine.handle_wish(Wish::Incremental);
        machine.poll_request(now);
        machine.handle_head(&world.signed(), &disk, now);
        for _ in 0..stop_after {
            let Some(Request::Object { name, .. }) = machine.poll_request(now) else { break };
            disk.objects.insert(name, world.objects[&name].clone());
            machine.handle_stored(&name, &disk, now);
            fetched += 1;
        }
        if stop_after == 100 {
            let load = machine.poll_load().map(|(load, _)| load);
            assert!(matches!(load, Some(Load::Changes { runs, .. }) if runs.len() == 10));
        }
    }
    assert_eq!(fetched, 20, "each page of ten runs of two models once");
}

#[test]
fn a_mismatch_fetches_what_differs_and_everything_at_most_once_an_hour() {
    let (mut world, mut disk, mut now) = (World::new(), Disk::default(), start());
    let mut machine = settled(&mut world, &mut disk, now);
    world.publish();
    machine.handle_wish(Wish::Incremental);
    let mut modes = Vec::new();
    let zero = now;
    while now < zero + REBUILD_EVERY * 3 {
        let (load, fetched) = serve(&mut machine, &mut world, &mut disk, now);
        if load.is_some() {
            machine.handle_outcome(Outcome::Mismatch, now);
            let mode = events(&mut machine).into_iter().find_map(|event| {
                if let Event::Mismatch { mode } = event { Some(mode) } else { None }
            });
            modes.push((mode.unwrap(), fetched, (now - zero).as_secs() / 3600));
        }
        now = machine.poll_timeout().unwrap().max(now);
        machine.handle_timeout(now);
    }
    let everything = usize::try_from(SEGMENTS).unwrap() * 2 + 2;
    assert_eq!(modes[0], (Mode::Incremental, 2, 0));
    assert_eq!((modes[1].0, modes[1].2), (Mode::Full, 0));
    assert!(modes[1].1 < everything);
    assert_eq!(modes[2..], [0, 1, 2].map(|hour| (Mode::Rebuild, everything, hour)));
    machine.handle_wish(Wish::Full);
    assert!(serve(&mut machine, &mut world, &mut disk, now - Duration::from_secs(60)).0.is_none());
}

#[test]
fn a_damaged_piece_on_the_shelf_is_fetched_again() {
    let (mut world, mut disk, now) = (World::new(), Disk::default(), start());
    let mut machine = settled(&mut world, &mut disk, now);
    machine.handle_wish(Wish::Full);
    assert!(serve(&mut machine, &mut world, &mut disk, now).0.is_some());
    let piece = world.segment("Brand", 3).name;
    disk.objects.remove(&piece);
    machine.handle_outcome(Outcome::Damaged(vec![piece]), now);
    let (load, fetched) = serve(&mut machine, &mut world, &mut disk, now);
    assert!(load.is_some());
    assert_eq!(fetched, 1);
    machine.handle_outcome(Outcome::Damaged(vec![Hash32::of(b"unheard of")]), now);
    assert!(machine.poll_timeout().is_some(), "tries again from the head");
}

#[test]
fn silence_and_a_swept_object_lead_back_to_the_head() {
    let (mut world, disk, mut now) = (World::new(), Disk::default(), start());
    let mut machine = machine(&world, None);
    machine.handle_wish(Wish::Incremental);
    assert!(matches!(machine.poll_request(now), Some(Request::Head { .. })));
    now = machine.poll_timeout().unwrap();
    machine.handle_timeout(now);
    now = machine.poll_timeout().unwrap();
    machine.handle_timeout(now);
    assert!(matches!(machine.poll_request(now), Some(Request::Head { .. })));
    machine.handle_head(&world.signed(), &disk, now);
    let Some(Request::Object { name, .. }) = machine.poll_request(now) else { panic!() };
    machine.handle_object_gone(&name, now);
    now = machine.poll_timeout().unwrap();
    machine.handle_timeout(now);
    assert!(matches!(machine.poll_request(now), Some(Request::Head { .. })));
    machine.handle_head(&world.signed(), &disk, now);
    assert!(machine.poll_request(now).is_some());
    machine.handle_timeout(machine.poll_timeout().unwrap());
    assert!(events(&mut machine).iter().filter(|event| **event == Event::Failed).count() == 3);
}

#[test]
fn a_follower_waits_for_news_and_a_wish_does_not_wait_for_it() {
    let (mut world, mut disk, now) = (World::new(), Disk::default(), start());
    let position = settled(&mut world, &mut disk, now).position();
    let keys = vec![world.key.verifying_key()];
    let options = Options { follow: true, ..options() };
    let mut machine = Fetch::new("catalogue".parse().unwrap(), keys, options, position);
    let asked = machine.poll_request(now);
    assert_eq!(asked, Some(Request::Head { after: position, wait: true }));
    assert!(machine.is_resting());
    machine.handle_unchanged(now);
    assert_eq!(machine.poll_request(now), asked);
    machine.handle_wish(Wish::Full);
    assert_eq!(machine.poll_request(now), Some(Request::Head { after: None, wait: false }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn through_loss_lies_crashes_and_new_revisions_it_reaches_the_author(
        moves in prop::collection::vec((0u8..12, any::<u8>()), 0..300),
    ) {
        let (mut world, mut disk, mut now) = (World::new(), Disk::default(), start());
        let mut machine = machine(&world, None);
        let mut in_service = None;
        machine.handle_wish(Wish::Incremental);
        let mut pending: Vec<Request> = Vec::new();
        let calm = std::iter::repeat_n((2u8, 0u8), 400);
        for (step, pick) in moves.into_iter().chain(calm) {
            while let Some(request) = machine.poll_request(now) {
                pending.push(request);
            }
            if let Some((load, _)) = machine.poll_load() {
                let outcome = match step {
                    0 => Outcome::Failed,
                    1 => Outcome::Mismatch,
                    _ => Outcome::Switched,
                };
                if let (Outcome::Switched, Load::Snapshot { manifests, .. }) = (&outcome, &load) {
                    let names = manifests.iter().flat_map(|manifest| &manifest.segments);
                    for entry in names {
                        prop_assert!(disk.objects.contains_key(&entry.name));
                    }
                }
                machine.handle_outcome(outcome, now);
            }
            let request = (!pending.is_empty()).then(|| pending.remove(pick as usize % pending.len()));
            match (step, request) {
                (0, _) => {}
                (1, Some(Request::Object { name, .. })) => {
                    machine.handle_object(&name, b"lie", now);
                }
                (3, _) => {
                    pending.clear();
                    machine = self::machine(&world, in_service);
                    machine.handle_wish(Wish::Incremental);
                }
                (4, _) => {
                    world.publish();
                    machine.handle_wish(Wish::Incremental);
                }
                (5, Some(Request::Object { name, .. })) => machine.handle_object_gone(&name, now),
                (6, _) => world.horizon = world.revision,
                (_, Some(Request::Object { name, .. })) => {
                    let bytes = world.objects[&name].clone();
                    if machine.handle_object(&name, &bytes, now) == Verdict::Keep {
                        disk.objects.insert(name, bytes);
                        machine.handle_stored(&name, &disk, now);
                    }
                }
                (_, Some(Request::Head { .. })) => machine.handle_head(&world.signed(), &disk, now),
                (_, None) => {
                    if let Some(at) = machine.poll_timeout() {
                        now = now.max(at);
                        machine.handle_timeout(now);
                    }
                }
            }
            prop_assert!(machine.position() >= in_service, "never back");
            in_service = machine.position();
            while machine.poll_event().is_some() {}
        }
        let author = Position { epoch: world.epoch, revision: world.revision };
        prop_assert_eq!(machine.position(), Some(author));
    }
}
