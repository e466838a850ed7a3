use proptest::prelude::*;

use super::*;
use crate::printer::Level;
use crate::receipt::{layout::layout, receiptline};

fn request(key: &str) -> Request {
    Request {
        key: key.parse().unwrap(),
        printer: "front".into(),
        class: Class::Receipt,
        digest: [0x7F; 16],
        expires_at: None,
    }
}

fn new(spool: &mut Spool, request: Request) -> u64 {
    match spool.submit(request) {
        Ok(Submitted::New(record)) => record.number,
        other => panic!("not a new job: {other:?}"),
    }
}

fn printed(spool: &mut Spool, key: &str) -> u64 {
    let number = new(spool, request(key));
    spool.begin(number).unwrap();
    spool.apply(number, Verdict::Sent).unwrap();
    spool.apply(number, Verdict::Printed(Level::Processed)).unwrap();
    number
}

#[test]
fn a_key_submitted_again_prints_nothing_and_answers_with_its_job() {
    let mut spool = Spool::default();
    let number = printed(&mut spool, "sale-1");
    let again = spool.submit(request("sale-1")).unwrap();
    assert!(matches!(again, Submitted::Known(record)
        if record.number == number && record.state == State::Printed { level: Level::Processed }));
    assert_eq!(spool.next("front"), None);
}

#[test]
fn a_key_with_another_receipt_is_refused() {
    let mut spool = Spool::default();
    let number = printed(&mut spool, "sale-1");
    let other = Request { digest: [1; 16], ..request("sale-1") };
    assert_eq!(spool.submit(other), Err(SpoolError::KeyTaken { number }));
}

#[test]
fn a_restart_leaves_what_had_begun_unknown_and_what_had_not_queued() {
    let mut spool = Spool::default();
    let (begun, sent) = (new(&mut spool, request("a")), new(&mut spool, request("b")));
    let waiting = new(&mut spool, request("c"));
    spool.begin(begun).unwrap();
    spool.begin(sent).unwrap();
    spool.apply(sent, Verdict::Sent).unwrap();
    let records: Vec<Record> = spool.jobs().cloned().collect();
    let (mut spool, changes) = Spool::restore(records);
    assert_eq!(changes.len(), 2);
    let restarted = State::Unknown { doubt: Doubt::Restarted };
    assert_eq!(spool.get(begun).unwrap().state, restarted);
    assert_eq!(spool.get(sent).unwrap().state, restarted);
    assert_eq!(spool.next("front").unwrap().number, waiting);
    assert!(matches!(spool.submit(request("a")), Ok(Submitted::Known(_))));
    assert_eq!(new(&mut spool, request("d")), 4);
}

#[test]
fn a_job_that_never_started_waits_again_in_its_place() {
    let mut spool = Spool::default();
    let (first, _) = (new(&mut spool, request("a")), new(&mut spool, request("b")));
    spool.begin(first).unwrap();
    spool.apply(first, Verdict::NotStarted).unwrap();
    assert_eq!(spool.next("front").unwrap().number, first);
}

#[test]
fn receipts_print_before_reports_and_printers_do_not_mix() {
    let mut spool = Spool::default();
    new(&mut spool, Request { class: Class::Report, ..request("report") });
    new(&mut spool, Request { printer: "bar".into(), ..request("bar") });
    let receipt = new(&mut spool, request("receipt"));
    assert_eq!(spool.next("front").unwrap().number, receipt);
    assert_eq!(spool.next("bar").unwrap().key.as_str(), "bar");
    assert_eq!(spool.next("back"), None);
    assert_eq!(spool.next("ba"), None);
}

#[test]
fn a_doubtful_job_is_printed_again_only_as_a_copy() {
    let mut spool = Spool::default();
    let number = new(&mut spool, request("sale-1"));
    spool.begin(number).unwrap();
    spool.apply(number, Verdict::Unknown(Doubt::LinkLost)).unwrap();
    assert_eq!(spool.begin(number), Err(SpoolError::State { number }));
    let copy = spool.copy(number, "sale-1-copy".parse().unwrap(), Some("bar")).unwrap();
    let Submitted::New(copy) = copy else { panic!("no new job") };
    assert_eq!((copy.copy, copy.of, copy.printer.as_str()), (1, Some(number), "bar"));
    let again = spool.copy(number, "sale-1-copy".parse().unwrap(), None).unwrap();
    assert_eq!(again, Submitted::Known(copy.clone()));
    assert_eq!(
        spool.copy(copy.number, "x".parse().unwrap(), None),
        Err(SpoolError::State { number: copy.number })
    );
}

#[test]
fn a_copy_says_so_and_every_receipt_carries_its_code() {
    let mut spool = Spool::default();
    let number = printed(&mut spool, "sale-1");
    let document = receiptline::parse("Tea|2.50\n===").unwrap();
    let text = |record: &Record| layout(&marked(&document, record), 32).sheet.to_text();
    let original = text(spool.get(number).unwrap());
    assert!(!original.contains("COPY") && original.contains("#7F7F-0"), "{original}");
    let Ok(Submitted::New(copy)) = spool.copy(number, "again".parse().unwrap(), None) else {
        panic!("no copy")
    };
    assert!(text(&copy).contains("*** COPY 1 ***") && text(&copy).contains("#7F7F-1"));
}

#[test]
fn a_job_past_its_time_never_prints() {
    let mut spool = Spool::default();
    let number = new(&mut spool, Request { expires_at: Some(1000), ..request("a") });
    assert_eq!(spool.expire(999), []);
    assert_eq!(spool.expire(1000).len(), 1);
    assert_eq!(spool.get(number).unwrap().state, State::Expired);
    assert_eq!(spool.next("front"), None);
}

#[test]
fn a_printer_that_stands_still_leaves_the_others_their_share() {
    let mut spool = Spool::default();
    for n in 0..WAITING_EACH_MAX {
        new(&mut spool, request(&format!("k{n}")));
    }
    assert_eq!(spool.submit(request("one-more")), Err(SpoolError::Crowded));
    for printer in ["back", "fron", "frontier"] {
        new(&mut spool, Request { printer: printer.into(), ..request(printer) });
        assert_eq!(spool.next(printer).unwrap().printer, printer);
    }
}

#[test]
fn a_full_spool_refuses_and_forgets_only_what_is_finished() {
    let mut spool = Spool::default();
    for n in 0..WAITING_MAX {
        let printer = match n / WAITING_EACH_MAX {
            0 => "front".to_owned(),
            other => format!("printer-{other}"),
        };
        new(&mut spool, Request { printer, ..request(&format!("k{n}")) });
    }
    assert_eq!(spool.submit(request("one-more")), Err(SpoolError::Full));
    let mut forgotten = 0;
    for n in 0..FINISHED_MAX + 10 {
        let number = spool.next("front").unwrap().number;
        spool.begin(number).unwrap();
        let printed = Verdict::Printed(Level::HandedOver);
        let changes = spool.apply(number, printed).unwrap();
        forgotten += changes.iter().filter(|c| matches!(c, Change::Forget { .. })).count();
        new(&mut spool, request(&format!("m{n}")));
    }
    assert_eq!(forgotten, 10);
}

#[test]
fn a_record_survives_being_written_down() {
    let mut spool = Spool::default();
    let number = printed(&mut spool, "till-3:2026-11-22.17");
    let record = spool.get(number).unwrap();
    let json = serde_json::to_string(record).unwrap();
    assert!(json.contains(r#""state":"printed","level":"processed""#), "{json}");
    assert_eq!(&serde_json::from_str::<Record>(&json).unwrap(), record);
    assert!(serde_json::from_str::<Key>(r#""no spaces here""#).is_err());
}

#[derive(Debug, Clone)]
enum Step {
    Submit(u8),
    Begin,
    Apply(u8, Verdict),
    Copy(u8),
    Cancel(u8),
    Restart,
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Sent),
        Just(Verdict::Printed(Level::Processed)),
        Just(Verdict::Unknown(Doubt::LinkLost)),
        Just(Verdict::NotStarted),
        Just(Verdict::Discarded),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6u8).prop_map(Step::Submit),
        Just(Step::Begin),
        (1..8u8, verdict()).prop_map(|(number, verdict)| Step::Apply(number, verdict)),
        (1..8u8).prop_map(Step::Copy),
        (1..8u8).prop_map(Step::Cancel),
        Just(Step::Restart),
    ]
}

proptest! {
    /// A job number whose first byte may have gone out never begins again, whatever happens.
    #[test]
    fn nothing_that_began_ever_begins_again(steps in proptest::collection::vec(step(), 0..80)) {
        let mut spool = Spool::default();
        let mut began = BTreeSet::new();
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Submit(key) => drop(spool.submit(request(&format!("k{key}")))),
                Step::Begin => {
                    if let Some(number) = spool.next("front").map(|job| job.number) {
                        spool.begin(number).unwrap();
                        prop_assert!(began.insert(number), "job {} began twice", number);
                    }
                }
                Step::Apply(number, verdict) => {
                    let accepted = spool.apply(number.into(), verdict).is_ok();
                    if accepted && verdict == Verdict::NotStarted {
                        began.remove(&number.into());
                    }
                }
                Step::Copy(number) => drop(spool.copy(number.into(), format!("c{at}").parse().unwrap(), None)),
                Step::Cancel(number) => drop(spool.cancel(number.into())),
                Step::Restart => {
                    let records: Vec<Record> = spool.jobs().cloned().collect();
                    spool = Spool::restore(records).0;
                }
            }
            let keys: BTreeSet<_> = spool.jobs().map(|job| job.key.clone()).collect();
            prop_assert_eq!(keys.len(), spool.jobs().count(), "two jobs share a key");
        }
    }
}

#[test]
fn a_job_that_could_not_be_written_down_was_never_there() {
    let mut spool = Spool::default();
    let Ok(Submitted::New(record)) = spool.submit(request("a")) else { panic!("it is new") };
    spool.withdraw(record.number);
    assert_eq!((spool.next("front"), spool.find(&record.key)), (None, None));
    assert!(matches!(spool.submit(request("a")), Ok(Submitted::New(_))));
}
