use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[expect(clippy::disallowed_methods, reason = "a test gets its zero here")]
fn start() -> Instant {
    Instant::now()
}

fn id(name: &str) -> SourceId {
    name.parse().unwrap()
}

fn rung(name: &str, kind: Kind) -> Rung {
    Rung::new(id(name), kind)
}

fn shop() -> Ladder {
    let rungs = [
        rung("stick", Kind::Storage),
        rung("neighbour", Kind::Peer),
        rung("main", Kind::Primary),
        rung("second", Kind::Additional),
    ];
    Ladder::new(rungs, 7)
}

fn names(order: &[SourceId]) -> Vec<&str> {
    order.iter().map(SourceId::as_str).collect()
}

#[test]
fn sources_are_asked_in_their_order_and_storage_takes_no_transactions() {
    let (ladder, now) = (shop(), start());
    let feeds = ladder.order(Service::Feeds, now);
    assert_eq!(names(&feeds), ["main", "second", "neighbour", "stick"]);
    let transactions = ladder.order(Service::Transactions, now);
    assert_eq!(names(&transactions), ["main", "second", "neighbour"]);
    let near = ladder.order_near(Service::Feeds, now);
    assert_eq!(names(&near), ["neighbour", "main", "second", "stick"]);
}

#[test]
fn a_priority_beats_the_order_of_kinds() {
    let mut ladder = shop();
    ladder.put(Rung { priority: 5, ..rung("neighbour", Kind::Peer) });
    assert_eq!(ladder.best(Service::Feeds), Some(&id("neighbour")));
}

#[test]
fn the_first_hard_failure_opens_for_one_service_only() {
    let (mut ladder, now) = (shop(), start());
    ladder.handle_fault(&id("main"), Service::Feeds, Fault::Silent, now);
    assert_eq!(ladder.best(Service::Feeds), Some(&id("second")));
    assert_eq!(ladder.best(Service::Transactions), Some(&id("main")));
    let told: Vec<Event> = std::iter::from_fn(|| ladder.poll_event()).collect();
    let chosen = Event::Chosen { service: Service::Feeds, id: Some(id("second")), back: false };
    assert!(told.contains(&chosen), "{told:?}");
}

#[test]
fn probes_come_after_1_2_4_and_at_last_every_30_seconds() {
    let (mut ladder, mut now) = (shop(), start());
    ladder.handle_fault(&id("main"), Service::Feeds, Fault::Silent, now);
    for whole in [1, 2, 4, 8, 16, 30, 30, 30] {
        let due = ladder.poll_timeout().unwrap();
        let wait = (due - now).as_secs_f64();
        assert!((f64::from(whole) * 0.87..=f64::from(whole)).contains(&wait), "{wait}");
        assert_eq!(ladder.poll_probe(due - Duration::from_millis(1)), None);
        now = due;
        assert_eq!(ladder.poll_probe(now), Some((id("main"), Service::Feeds)));
        assert_eq!(ladder.poll_probe(now), None, "one probe at a time");
        ladder.handle_fault(&id("main"), Service::Feeds, Fault::Silent, now);
    }
    now = ladder.poll_timeout().unwrap();
    ladder.poll_probe(now);
    ladder.handle_success(&id("main"), Service::Feeds, Some(Duration::from_millis(20)), now);
    assert_eq!(ladder.best(Service::Feeds), Some(&id("main")));
    assert_eq!(ladder.poll_timeout(), None);
}

#[test]
fn requests_that_fail_together_are_one_failure() {
    let (mut ladder, now) = (shop(), start());
    for _ in 0..8 {
        ladder.handle_fault(&id("main"), Service::Feeds, Fault::Silent, now);
    }
    assert!(ladder.poll_timeout().unwrap() <= now + PROBE_FIRST);
}

#[test]
fn a_probe_without_an_answer_counts_as_failed() {
    let (mut ladder, now) = (shop(), start());
    ladder.handle_fault(&id("main"), Service::Feeds, Fault::Silent, now);
    let due = ladder.poll_timeout().unwrap();
    ladder.poll_probe(due);
    let limit = ladder.poll_timeout().unwrap();
    assert_eq!(limit, due + PROBE_LIMIT);
    ladder.handle_timeout(limit);
    assert!(ladder.poll_timeout().unwrap() > limit);
}

#[test]
fn a_neighbour_that_lied_is_left_alone_even_in_a_hurry() {
    let (mut ladder, now) = (shop(), start());
    ladder.handle_fault(&id("neighbour"), Service::Feeds, Fault::Lied, now);
    ladder.handle_hurry(now);
    assert!(ladder.poll_timeout().unwrap() > now + DISTRUST / 2);
    ladder.handle_fault(&id("second"), Service::Feeds, Fault::Forbidden, now);
    ladder.handle_hurry(now);
    assert_eq!(ladder.poll_probe(now), Some((id("second"), Service::Feeds)));
}

#[test]
fn where_nothing_answers_a_request_is_the_probe_of_what_is_due() {
    let (mut ladder, now) = (Ladder::new([rung("main", Kind::Primary)], 1), start());
    ladder.handle_fault(&id("main"), Service::Feeds, Fault::Silent, now);
    assert_eq!(ladder.best(Service::Feeds), None);
    assert_eq!(names(&ladder.order(Service::Feeds, now)), Vec::<&str>::new());
    assert_eq!(names(&ladder.order(Service::Feeds, now + PROBE_FIRST)), ["main"]);
}

#[test]
fn a_source_that_others_beat_again_and_again_is_not_asked_first() {
    let (mut ladder, now) = (shop(), start());
    for _ in 0..SLOW_MAX - 1 {
        ladder.handle_slow(&id("main"), Service::Feeds, now);
    }
    assert_eq!(ladder.best(Service::Feeds), Some(&id("main")));
    ladder.handle_slow(&id("main"), Service::Feeds, now);
    assert_eq!(ladder.best(Service::Feeds), Some(&id("second")));
}

#[test]
fn a_source_is_waited_for_by_how_fast_it_usually_is() {
    let (mut ladder, now) = (shop(), start());
    let after = |ladder: &Ladder| ladder.hedge_after(&id("main"), Service::Feeds);
    assert_eq!(after(&ladder), breaker::HEDGE_MAX);
    ladder.handle_success(&id("main"), Service::Feeds, Some(Duration::from_millis(100)), now);
    assert_eq!(after(&ladder), Duration::from_millis(400));
}

#[test]
fn what_was_found_on_the_lan_cannot_crowd_out_or_replace_what_is_configured() {
    let mut ladder = shop();
    for number in 0..100 {
        let found = rung(&format!("found-{number}"), Kind::Peer);
        let taken = ladder.put(Rung { found: true, priority: 1, ..found });
        assert_eq!(taken, number < SOURCES_FOUND_MAX);
    }
    assert!(!ladder.put(Rung { found: true, priority: 0, ..rung("main", Kind::Peer) }));
    ladder.remove(&id("main"));
    assert!(ladder.order(Service::Feeds, start()).contains(&id("main")));
    ladder.remove(&id("found-0"));
    assert!(ladder.put(Rung { found: true, ..rung("found-9", Kind::Peer) }));
}

#[derive(Debug, Clone)]
enum Step1 {
    Works(usize, bool),
    Fails(usize, bool, u8),
    Slow(usize),
    Comes(usize, u16),
    Goes(usize),
    Hurry,
    Passes(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step1>> {
    let step = prop_oneof![
        (0..6usize, any::<bool>()).prop_map(|(s, f)| Step1::Works(s, f)),
        (0..6usize, any::<bool>(), 0..6u8).prop_map(|(s, f, k)| Step1::Fails(s, f, k)),
        (0..6usize).prop_map(Step1::Slow),
        (0..6usize, 0..60u16).prop_map(|(s, p)| Step1::Comes(s, p)),
        (0..6usize).prop_map(Step1::Goes),
        Just(Step1::Hurry),
        (0..40_000u64).prop_map(Step1::Passes),
    ];
    proptest::collection::vec(step, 0..200)
}

fn fault(number: u8) -> Fault {
    match number {
        0 => Fault::Silent,
        1 => Fault::Lied,
        2 => Fault::Stale,
        3 => Fault::Forbidden,
        4 => Fault::Incomplete,
        _ => Fault::Unable { status: 503 },
    }
}

fn service(feeds: bool) -> Service {
    if feeds { Service::Feeds } else { Service::Transactions }
}

proptest! {
    /// Whatever happens: the best closed one is chosen, every open one has a moment that comes, and after all
    /// works again everything is back in its order.
    #[test]
    fn the_best_that_answers_is_chosen_and_nothing_is_forgotten(steps in steps(), seed in any::<u64>()) {
        let all = ["main", "second", "neighbour", "stick", "found-a", "found-b"].map(id);
        let mut ladder = shop();
        ladder.seed = seed;
        let mut now = start();
        for step in steps {
            match step {
                Step1::Works(at, feeds) => {
                    ladder.handle_success(&all[at], service(feeds), Some(Duration::from_millis(5)), now);
                }
                Step1::Fails(at, feeds, kind) => {
                    ladder.handle_fault(&all[at], service(feeds), fault(kind), now);
                }
                Step1::Slow(at) => ladder.handle_slow(&all[at], Service::Feeds, now),
                Step1::Comes(at, priority) => {
                    let found = Rung { found: true, priority, ..Rung::new(all[at].clone(), Kind::Peer) };
                    prop_assert_eq!(ladder.put(found), at >= 4);
                }
                Step1::Goes(at) => ladder.remove(&all[at]),
                Step1::Hurry => ladder.handle_hurry(now),
                Step1::Passes(ms) => {
                    now += Duration::from_millis(ms);
                    ladder.handle_timeout(now);
                    while ladder.poll_probe(now).is_some() {}
                }
            }
            check(&ladder, now);
        }
        for source in &all {
            for service in Service::ALL {
                ladder.handle_success(source, service, Some(Duration::from_millis(5)), now);
            }
        }
        prop_assert_eq!(ladder.poll_timeout(), None);
        prop_assert!(ladder.view().iter().all(|rung| rung.open.is_none()));
    }
}

fn check(ladder: &Ladder, now: Instant) {
    for service in Service::ALL {
        let views: Vec<RungView> =
            ladder.view().into_iter().filter(|view| view.service == service).collect();
        let ranks: Vec<_> = views.iter().map(|view| (view.priority, view.kind)).collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        let best = views.iter().find(|view| view.open.is_none()).map(|view| &view.id);
        assert_eq!(ladder.best(service), best);
        assert!(views.iter().filter(|view| view.chosen).all(|view| Some(&view.id) == best));
        for (_, _, until) in views.iter().filter_map(|view| view.open.as_ref()) {
            assert!(*until <= now + DISTRUST, "it comes back");
        }
    }
}

#[test]
fn boxes_spread_over_equal_sources_by_their_shares_and_each_keeps_to_its_lot() {
    let share = |name: &str, weight| Rung { weight, ..rung(name, Kind::Additional) };
    let rungs = || [share("one", 1), share("three", 3), share("none", 0)];
    let now = start();
    let mut first: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..4000 {
        let order = Ladder::new(rungs(), seed).order(Service::Feeds, now);
        assert_eq!(order, Ladder::new(rungs(), seed).order(Service::Feeds, now));
        assert_eq!(order[2], id("none"), "who has no share comes last");
        *first.entry(order[0].to_string()).or_default() += 1;
    }
    let three = first["three"];
    assert!((2850..3150).contains(&three), "three of four: {first:?}");
    let mut ladder = Ladder::new(rungs(), 7);
    let best = ladder.best(Service::Feeds).cloned().unwrap();
    ladder.handle_fault(&best, Service::Feeds, Fault::Silent, now);
    assert_ne!(ladder.best(Service::Feeds), Some(&best), "and the other takes over");
}
