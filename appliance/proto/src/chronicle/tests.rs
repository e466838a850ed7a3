use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000 + seconds * 1000)
}

fn sample(waiting: u64, sales: u64) -> Sample {
    Sample { waiting: Some(waiting), sales: Some(sales), sent: Some(0), ..Sample::default() }
}

fn point(minute: u32) -> Point {
    Point { minute, waiting: Some(minute % 7), ..Point::default() }
}

#[test]
fn a_minute_tells_its_peak_and_its_growth() {
    let mut gatherer = Gatherer::default();
    assert_eq!(gatherer.note(at(0), sample(3, 100)), None);
    assert_eq!(gatherer.note(at(20), sample(9, 104)), None);
    assert_eq!(gatherer.note(at(40), sample(1, 110)), None);
    assert_eq!(gatherer.current().unwrap().waiting, Some(9));
    let ended = gatherer.note(at(60), sample(2, 111)).unwrap();
    assert_eq!((ended.waiting, ended.sales, ended.sent), (Some(9), Some(10), Some(0)));
    assert_eq!(ended.minute, minute_of(at(0)));
    assert_eq!(gatherer.current().unwrap().sales, Some(1));
}

#[test]
fn a_counter_that_begins_anew_adds_nothing_that_did_not_happen() {
    let mut gatherer = Gatherer::default();
    gatherer.note(at(0), sample(0, 500));
    gatherer.note(at(5), sample(0, 3));
    gatherer.note(at(10), sample(0, 8));
    assert_eq!(gatherer.current().unwrap().sales, Some(5));
}

#[test]
fn what_was_never_known_is_absent_and_not_zero() {
    let mut gatherer = Gatherer::default();
    gatherer.note(at(0), Sample::default());
    gatherer.note(at(5), Sample::default());
    let point = gatherer.current().unwrap();
    assert_eq!((point.waiting, point.sales, point.lag_s), (None, None, None));
    assert_eq!((point.answers, point.median_us), (Some(0), None));
}

#[test]
fn masterdata_lags_from_the_last_moment_at_which_it_was_level() {
    let mut gatherer = Gatherer::default();
    let level = |is_level| Sample { is_level: Some(is_level), ..Sample::default() };
    gatherer.note(at(0), level(false));
    assert_eq!(gatherer.current().unwrap().lag_s, None, "it never was");
    gatherer.note(at(5), level(true));
    assert_eq!(gatherer.current().unwrap().lag_s, Some(0));
    gatherer.note(at(50), level(false));
    assert_eq!(gatherer.current().unwrap().lag_s, Some(45));
}

#[test]
fn waits_are_told_to_a_quarter_of_their_octave() {
    let mut waits = Waits::default();
    assert_eq!(waits.within(50), None);
    (0..98).for_each(|_| waits.count(100));
    waits.count(40_000);
    waits.count(9_000_000);
    assert_eq!(waits.total(), 100);
    assert!((100..125).contains(&waits.within(50).unwrap()));
    assert!((40_000..50_000).contains(&waits.within(99).unwrap()));
    assert!((9_000_000..11_250_000).contains(&waits.within(100).unwrap()));
}

#[test]
fn a_ring_keeps_a_day_and_forgets_the_day_before() {
    let mut ring = Ring::default();
    let first = minute_of(at(0));
    let count = u32::try_from(MINUTES).unwrap();
    for minute in first..first + count + 10 {
        ring.put(point(minute));
    }
    let now = first + count + 9;
    let kept = ring.last(MINUTES, now);
    assert_eq!((kept.len(), kept[0].minute, kept[MINUTES - 1].minute), (MINUTES, first + 10, now));
    assert_eq!(ring.last(3, now).len(), 3);
    assert_eq!(ring.last(0, now), []);
    assert_eq!(ring.last(MINUTES, now + count), [], "nothing of it is of that day");
}

proptest! {
    #[test]
    fn roundtrip_of_a_point(numbers in prop::array::uniform8(prop::option::of(0..u32::MAX)), minute: u32) {
        let [waiting, oldest_s, sales, sent, lag_s, answers, median_us, slow_us] = numbers;
        let point =
            Point { minute, waiting, oldest_s, sales, sent, lag_s, answers, median_us, slow_us };
        prop_assert_eq!(Point::decode(&point.encode()), Some(point));
    }

    #[test]
    fn any_bytes_make_a_ring_and_damage_makes_a_gap(bytes in prop::collection::vec(any::<u8>(), 0..4096), hit in 0..Ring::BYTES) {
        Ring::from_bytes(&bytes);
        let mut whole = Vec::new();
        let count = u32::try_from(MINUTES).unwrap();
        (0..count).for_each(|minute| whole.extend(point(minute).encode()));
        whole[hit] ^= 0x40;
        let left = Ring::from_bytes(&whole).last(MINUTES, count - 1);
        prop_assert_eq!(left.len(), MINUTES - 1);
    }

    #[test]
    fn a_wait_is_in_a_bucket_that_ends_within_a_quarter_of_its_octave(us in 1u64..100_000_000) {
        let mut waits = Waits::default();
        waits.count(us);
        let told = waits.within(50).unwrap();
        prop_assert!(told >= us && told <= us + us.div_ceil(4), "{} {}", us, told);
    }
}
