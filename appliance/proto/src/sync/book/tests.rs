use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[path = "tests/world.rs"]
mod world;

use world::{World, addr, hint, ms, start};

#[test]
fn an_empty_book_looks_around_at_once_and_every_ten_seconds() {
    let mut world = World::new();
    world.run(ms(25_000));
    assert_eq!(world.looked, [ms(0), ms(10_000), ms(20_000)]);
}

#[test]
fn the_first_box_that_answers_is_used_at_once() {
    let mut world = World::new();
    world.alive(addr(1), "box-1");
    world.hint(hint(1, Source::Mdns, "box-1", 10));
    assert_eq!(world.chosen(), Some(addr(1)));
    world.run(ms(60_000));
    assert_eq!(world.looked, [ms(0)], "nobody looks around while a box is well");
}

#[test]
fn a_box_whose_plug_is_pulled_is_left_for_the_next_by_our_own_probes() {
    let mut world = World::new();
    world.alive(addr(1), "box-1");
    world.alive(addr(2), "box-2");
    world.hint(hint(1, Source::Mdns, "box-1", 10));
    world.hint(hint(2, Source::Mdns, "box-2", 20));
    world.run(ms(3_000));
    world.dead(addr(1));
    let pulled = world.now;
    world.run_until(ms(5_000), |world| world.chosen() == Some(addr(2)));
    let gap = world.now - pulled;
    assert!(gap <= PROBE_EVERY + 2 * PROBE_LIMIT_MIN, "{gap:?}");
}

#[test]
fn a_box_alone_is_waited_for_longer_and_a_slow_one_no_shorter_than_it_usually_takes() {
    let mut world = World::new();
    world.alive(addr(1), "box-1");
    world.hint(hint(1, Source::Mdns, "box-1", 10));
    world.run(ms(3_000));
    world.dead(addr(1));
    world.run(PROBE_EVERY + 2 * PROBE_LIMIT_MIN + ms(300));
    assert_eq!(world.chosen(), Some(addr(1)), "there is nobody else");
    world.run(ms(3_000));
    assert_eq!(world.chosen(), None);
    for (at, name) in [(1, "box-1"), (2, "box-2")] {
        world.alive(addr(at), name);
        world.hint(hint(at, Source::Mdns, name, at * 10));
    }
    world.run(ms(20_000));
    assert_eq!(world.chosen(), Some(addr(1)));
    world.slow(ms(150));
    world.run(ms(20_000));
    world.slow(ms(350));
    world.run(ms(700));
    assert_eq!(world.chosen(), Some(addr(1)), "it has taken 150 ms before");
}

#[test]
fn a_box_that_answers_late_is_used_again_and_known_to_be_slow() {
    let mut world = World::new();
    for (at, name) in [(1, "box-1"), (2, "box-2")] {
        world.alive(addr(at), name);
        world.hint(hint(at, Source::Mdns, name, at * 10));
    }
    world.run(ms(3_000));
    world.slow(ms(300));
    world.run(ms(60_000));
    let before = world.trace.len();
    assert_eq!(world.chosen(), Some(addr(1)), "late is not dead");
    world.run(ms(10_000));
    let probes = world.trace.len() - before;
    assert!(probes <= 24, "{probes} probes in ten seconds: no storm");
}

#[test]
fn two_failed_requests_move_on_without_waiting_for_a_probe() {
    let mut world = World::new();
    for (at, name) in [(1, "box-1"), (2, "box-2")] {
        world.alive(addr(at), name);
        world.hint(hint(at, Source::Mdns, name, 10));
    }
    world.run(ms(1_000));
    world.dead(addr(1));
    world.book.handle_traffic(addr(1), Outcome::Failed, world.now);
    assert_eq!(world.chosen(), Some(addr(1)), "one failure is a doubt");
    world.book.handle_traffic(addr(1), Outcome::Failed, world.now);
    assert_eq!(world.chosen(), Some(addr(2)));
}

#[test]
fn a_goodbye_makes_the_book_ask_and_forget_nothing() {
    let mut world = World::new();
    world.alive(addr(1), "box-1");
    world.hint(hint(1, Source::Mdns, "box-1", 10));
    world.run(ms(200));
    let asked = world.probes;
    world.doubt(addr(1));
    assert_eq!(world.probes, asked + 1);
    assert_eq!(world.chosen(), Some(addr(1)));
    for _ in 0..1000 {
        world.doubt(addr(1));
    }
    assert_eq!(world.probes, asked + 1, "forged goodbyes make no storm of probes");
}

#[test]
fn a_better_box_is_moved_to_only_after_it_has_settled() {
    let mut world = World::new();
    world.alive(addr(2), "box-2");
    world.hint(hint(2, Source::Mdns, "box-2", 20));
    world.run(ms(1_000));
    world.alive(addr(1), "box-1");
    world.hint(hint(1, Source::Mdns, "box-1", 10));
    let up = world.now;
    world.run_until(ms(60_000), |world| world.chosen() == Some(addr(1)));
    assert_eq!(world.now - up, SETTLE);
    world.alive(addr(3), "box-3");
    world.hint(hint(3, Source::Mdns, "box-3", 10));
    world.run(ms(60_000));
    assert_eq!(world.chosen(), Some(addr(1)), "an equal box is no reason to move");
}

#[test]
fn a_flapping_better_box_does_not_drag_the_till_along() {
    let mut world = World::new();
    world.alive(addr(2), "box-2");
    world.hint(hint(2, Source::Mdns, "box-2", 20));
    world.hint(hint(1, Source::Typed, "box-1", 10));
    for _ in 0..20 {
        world.alive(addr(1), "box-1");
        world.run(ms(6_000));
        world.dead(addr(1));
        world.run(ms(4_000));
        assert_eq!(world.chosen(), Some(addr(2)));
    }
}

#[test]
fn a_second_address_of_the_box_is_used_when_the_first_goes() {
    let mut world = World::new();
    for at in [1, 2] {
        world.alive(addr(at), "box-1");
        world.hint(hint(at, Source::Mdns, "box-1", 10));
        world.run(ms(100));
    }
    assert_eq!(world.book.boxes().len(), 1);
    world.dead(addr(1));
    world.run(ms(3_000));
    assert_eq!(world.chosen(), Some(addr(2)));
    let choice = world.book.chosen().unwrap();
    assert_eq!(choice.endpoint, addr(2));
    assert_eq!(choice.key, BoxKey::Node("box-1".parse().unwrap()));
}

#[test]
fn a_box_that_dies_with_all_its_addresses_is_left_as_fast_as_one_with_a_single_address() {
    let mut world = World::new();
    for at in 1..=5 {
        world.alive(addr(at), "box-1");
        world.hint(hint(at, Source::Mdns, "box-1", 10));
    }
    world.alive(addr(9), "box-2");
    world.hint(hint(9, Source::Mdns, "box-2", 20));
    world.run(ms(20_000));
    (1..=5).for_each(|at| world.dead(addr(at)));
    let died = world.now;
    world.run_until(ms(9_000), |world| world.chosen() == Some(addr(9)));
    let gap = world.now - died;
    assert!(gap <= PROBE_EVERY + RETRY_AFTER + 2 * PROBE_LIMIT, "{gap:?}");
}

#[test]
fn a_stranger_is_struck_off_at_once() {
    let mut world = World::new();
    world.alive(addr(1), "box-1");
    world.hint(hint(1, Source::Mdns, "box-1", 10));
    world.book.handle_traffic(addr(1), Outcome::Stranger, world.now);
    assert_eq!(world.chosen(), None);
}

#[test]
fn the_proven_name_beats_every_claim() {
    let mut world = World::new();
    world.alive(addr(1), "box-9");
    world.hint(hint(1, Source::Mdns, "box-1", 0));
    assert_eq!(world.book.chosen().unwrap().key, BoxKey::Node("box-9".parse().unwrap()));
    assert_eq!(world.book.boxes()[0].priority, u16::MAX, "the claim was about another box");
}

#[test]
fn announcements_cannot_point_back_at_ourselves_or_at_nobody() {
    let mut world = World::new();
    for bad in ["127.0.0.1:80", "[::1]:80", "0.0.0.0:80", "224.0.0.251:80", "10.0.0.1:0"] {
        let endpoint: SocketAddr = bad.parse().unwrap();
        world.hint(Hint { endpoint, source: Source::Mdns, claim: None });
        assert_eq!(world.book.poll_event(), Some(Event::Refused { endpoint }), "{bad}");
    }
    assert!(world.book.boxes().is_empty());
}

#[test]
fn a_flood_of_forged_boxes_neither_drives_out_nor_hides_a_real_one() {
    let mut world = World::new();
    world.alive(addr(1), "box-1");
    world.hint(hint(1, Source::Mdns, "box-1", 10));
    world.run(ms(1_000));
    world.alive(addr(2), "box-2");
    for round in 0..30_u16 {
        for forged in 0..100 {
            world.hint(hint(1_000 + round * 100 + forged, Source::Mdns, "evil", 0));
        }
        world.run(ms(1_000));
        assert_eq!(world.chosen(), Some(addr(1)));
    }
    world.hint(hint(2, Source::FixedName, "box-2", 10));
    world.run(ms(10_000));
    let up = |view: &BoxView| view.endpoints.iter().any(|(_, health)| health.is_usable());
    assert_eq!(world.book.boxes().iter().filter(|view| up(view)).count(), 2);
    world.alive(addr(3), "box-3");
    world.hint(hint(3, Source::Mdns, "box-3", 10));
    world.run(ms(10_000));
    assert_eq!(world.book.boxes().iter().filter(|view| up(view)).count(), 3);
}

#[test]
fn a_book_full_of_addresses_of_last_year_takes_new_ones_after_a_day() {
    let mut world = World::new();
    for at in 0..64 {
        world.alive(addr(at), "box-1");
        world.hint(hint(at, Source::Mdns, "box-1", 10));
        world.dead(addr(at));
    }
    world.alive(addr(100), "box-1");
    world.run(ms(60_000));
    world.hint(hint(100, Source::Mdns, "box-1", 10));
    assert_eq!(world.chosen(), None, "what has answered is not given up that soon");
    world.now += FORGET_AFTER;
    world.hint(hint(100, Source::Mdns, "box-1", 10));
    world.run(ms(10_000));
    assert_eq!(world.chosen(), Some(addr(100)));
    assert_eq!(world.book.remembered().len(), BOOK_REMEMBERED_MAX);
    assert_eq!(world.book.remembered()[0].0, addr(100));
}

#[derive(Debug, Clone)]
enum Step {
    Hint(u16, usize, Option<u8>),
    Doubt(u16),
    Alive(u16, u8),
    Dead(u16),
    Traffic(u16, u8),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0_u16..90;
    prop_oneof![
        4 => (at.clone(), 0_usize..5, proptest::option::of(0_u8..4)).prop_map(|(a, s, n)| Step::Hint(a, s, n)),
        1 => at.clone().prop_map(Step::Doubt),
        2 => (at.clone(), 0_u8..4).prop_map(|(a, n)| Step::Alive(a, n)),
        1 => at.clone().prop_map(Step::Dead),
        1 => (at, 0_u8..3).prop_map(|(a, o)| Step::Traffic(a, o)),
        4 => (0_u64..3_000).prop_map(Step::Pass),
    ]
}

const SOURCES: [Source; 5] =
    [Source::Typed, Source::LastKnown, Source::Dhcp, Source::FixedName, Source::Mdns];

fn take(world: &mut World, step: &Step) {
    match *step {
        Step::Hint(at, source, node) => {
            let node = node.map(|node| (format!("box-{node}"), u16::from(node)));
            let claim =
                node.map(|(node, priority)| Claim { node: node.parse().unwrap(), priority });
            world.hint(Hint { endpoint: addr(at), source: SOURCES[source], claim });
        }
        Step::Doubt(at) => world.doubt(addr(at)),
        Step::Alive(at, node) => world.alive(addr(at), &format!("box-{node}")),
        Step::Dead(at) => world.dead(addr(at)),
        Step::Traffic(at, how) => {
            let outcome = [Outcome::Answered(None), Outcome::Failed, Outcome::Stranger];
            world.book.handle_traffic(addr(at), outcome[usize::from(how)].clone(), world.now);
        }
        Step::Pass(time) => world.run(ms(time)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_invariant_holds_after_every_step(steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        let mut proven: BTreeMap<SocketAddr, ()> = BTreeMap::new();
        for step in &steps {
            take(&mut world, step);
            world.check();
            for view in world.book.boxes() {
                for (endpoint, health) in &view.endpoints {
                    if health.is_usable() {
                        proven.insert(*endpoint, ());
                    }
                }
            }
            let known: Vec<SocketAddr> =
                world.book.boxes().into_iter().flat_map(|v| v.endpoints).map(|(e, _)| e).collect();
            prop_assert!(proven.keys().all(|endpoint| known.contains(endpoint)));
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_trace(steps in proptest::collection::vec(step(), 1..80)) {
        let zero = start();
        let run = || {
            let mut world = World::at(zero);
            steps.iter().for_each(|step| take(&mut world, step));
            (world.trace, world.book.boxes(), world.book.remembered())
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn a_living_box_that_is_hinted_at_is_in_use_within_a_bounded_time(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new();
        steps.iter().for_each(|step| take(&mut world, step));
        world.run(PROBE_DOWN_EVERY_MAX);
        world.alive(addr(200), "box-live");
        world.hint(hint(200, Source::Typed, "box-live", 0));
        let known = world.book.boxes().iter().flat_map(|v| &v.endpoints).any(|(e, _)| *e == addr(200));
        prop_assume!(known);
        world.run(ms(15_000));
        prop_assert!(world.chosen().is_some());
    }
}
