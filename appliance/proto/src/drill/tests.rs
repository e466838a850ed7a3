use super::*;
use proptest::prelude::*;

#[expect(clippy::disallowed_methods, reason = "a test gets its zero here")]
fn start() -> Instant {
    Instant::now()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(i64::try_from(seconds * 1000).unwrap())
}

fn order(seconds: u32) -> Order {
    Order { seconds, by: " anna ".to_owned() }
}

fn sample(accepted: u64, done: u64) -> Sample {
    Sample { accepted, done, waiting: accepted - done, ..Sample::default() }
}

fn events(drill: &mut Drill) -> Vec<Event> {
    std::iter::from_fn(|| drill.poll_event()).collect()
}

#[test]
fn a_drill_ends_by_itself_and_reports_what_worked() {
    let (mut drill, zero) = (Drill::default(), start());
    let mut before = sample(100, 100);
    before.waits.count(9_000_000);
    drill.begin(order(60), before.clone(), at(0), zero).unwrap();
    let mut later = Sample { waits: before.waits.clone(), ..sample(112, 100) };
    later.waits.count(800);
    drill.handle_sample(&later, at(30), zero + Duration::from_secs(30));
    assert!(drill.is_cut());
    drill.handle_sample(&later, at(60), zero + Duration::from_secs(60));
    assert!(!drill.is_cut());
    // What is sold after the line is back does not count.
    let after = Sample { waits: later.waits.clone(), ..sample(115, 113) };
    drill.handle_sample(&after, at(62), zero + Duration::from_millis(61_500));
    let told = events(&mut drill);
    let [Event::Cut(first), Event::Whole(_), Event::Finished(report)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((first.by.as_str(), first.until), ("anna", at(60)));
    assert_eq!((report.accepted, report.waiting, report.failed), (12, 12, 0));
    assert_eq!(
        (report.end, report.ended, report.drained_ms),
        (Some(End::Time), Some(at(60)), Some(1500))
    );
    let longest = report.longest_us.unwrap();
    assert!((800..1100).contains(&longest), "the wait before the drill does not count: {longest}");
    assert_eq!(drill.report(), None);
}

#[test]
fn a_person_or_the_end_of_the_box_ends_it_sooner() {
    let (mut drill, zero) = (Drill::default(), start());
    assert!(!drill.end(End::Person, None, None, at(0), zero));
    drill.begin(order(60), sample(0, 0), at(0), zero).unwrap();
    assert_eq!(drill.begin(order(60), sample(0, 0), at(1), zero), Err(Refused::Running));
    assert!(drill.end(End::Person, Some("ben".to_owned()), Some(&sample(3, 0)), at(9), zero));
    assert_eq!(drill.report().unwrap().ended_by.as_deref(), Some("ben"));
    // The next one may begin although the last has not drained; its report is finished without that.
    drill.begin(order(1), sample(3, 0), at(10), zero).unwrap();
    assert!(drill.end(End::Restart, None, Some(&sample(5, 0)), at(11), zero));
    let told = events(&mut drill);
    let finished: Vec<_> = told
        .iter()
        .filter_map(|event| match event {
            Event::Finished(report) => Some((report.end, report.accepted, report.drained_ms)),
            Event::Cut(_) | Event::Whole(_) => None,
        })
        .collect();
    assert_eq!(finished, [(Some(End::Person), 3, None), (Some(End::Restart), 2, None)]);
}

#[test]
fn what_never_arrives_is_not_waited_for_for_ever() {
    let (mut drill, zero) = (Drill::default(), start());
    drill.begin(order(1), sample(0, 0), at(0), zero).unwrap();
    drill.handle_sample(&sample(2, 0), at(1), zero + Duration::from_secs(1));
    drill.handle_sample(&sample(2, 1), at(9), zero + DRAIN_MAX);
    assert!(drill.report().is_some());
    drill.handle_sample(&sample(2, 1), at(10), zero + DRAIN_MAX + Duration::from_secs(2));
    assert_eq!(drill.report(), None);
    // What waits for a person is nobody's to drain.
    drill.begin(order(1), sample(2, 1), at(20), zero).unwrap();
    let held = Sample { quarantined: 1, ..sample(2, 1) };
    drill.handle_sample(&held, at(22), zero + Duration::from_secs(2));
    drill.handle_sample(&held, at(23), zero + Duration::from_secs(3));
    assert_eq!(drill.report(), None);
}

#[test]
fn an_order_out_of_bounds_is_refused() {
    let (mut drill, zero) = (Drill::default(), start());
    let mut begin = |seconds, by: &str| {
        let order = Order { seconds, by: by.to_owned() };
        drill.begin(order, Sample::default(), at(0), zero)
    };
    assert_eq!(begin(0, "anna"), Err(Refused::Unfit(Unfit::Seconds)));
    assert_eq!(begin(1, "  "), Err(Refused::Unfit(Unfit::By)));
}

proptest! {
    #[test]
    fn the_line_is_never_cut_beyond_its_time_and_every_cut_is_finished_once(
        steps in proptest::collection::vec((0u8..4, 1u32..200), 1..60),
    ) {
        let (mut drill, zero) = (Drill::default(), start());
        let (mut now, mut cuts, mut wholes, mut finished) = (0u64, 0, 0, 0);
        let mut due = 0;
        for (step, number) in steps {
            now += u64::from(number);
            let (moment, counted) = (zero + Duration::from_secs(now), sample(now, now / 2));
            match step {
                0 => {
                    if drill.begin(order(number), counted, at(now), moment).is_ok() {
                        due = now + u64::from(number);
                    }
                }
                1 => drop(drill.end(End::Person, None, Some(&counted), at(now), moment)),
                _ => {
                    drill.handle_sample(&counted, at(now), moment);
                    prop_assert!(!drill.is_cut() || now < due);
                }
            }
            while let Some(event) = drill.poll_event() {
                match event {
                    Event::Cut(_) => cuts += 1,
                    Event::Whole(_) => wholes += 1,
                    Event::Finished(_) => finished += 1,
                }
            }
            prop_assert_eq!(cuts, wholes + u32::from(drill.is_cut()));
            prop_assert_eq!(cuts, finished + u32::from(drill.report().is_some()));
        }
    }
}
