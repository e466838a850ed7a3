use storebox_proto::estate::channel::ServiceType;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::time::Timestamp;

use super::*;

fn keeping() -> Keeping {
    let masked = vec!["pin".to_owned(), "cardnumber".to_owned()];
    Keeping { bytes_max: 4 * FILE_BYTES_MAX, age_max: Duration::from_secs(3600), masked }
}

fn entry(correlation: &str, request: Value) -> LogEntry {
    LogEntry {
        correlation: correlation.to_owned(),
        at: Timestamp::from_unix_ms(1_800_000_000_000),
        took: Duration::from_millis(3),
        channel: "web".to_owned(),
        terminal: "web-1".to_owned(),
        user: None,
        roles: vec!["shop".to_owned()],
        service: ServiceType::Ticket,
        request,
        outcome: Ok(json!({"id": "1"})),
        steps: Vec::new(),
    }
}

#[tokio::test]
async fn a_call_is_found_by_its_correlation_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (log, writer) = CallLog::open(dir.path(), keeping()).unwrap();
    log.record(entry("a", json!({"lines": []})));
    let refused = Err(Problem::new(Code::HookRefused, "hook h1 refuses: no"));
    log.record(LogEntry { outcome: refused, ..entry("b", json!(1)) });
    let stop = CancellationToken::new();
    stop.cancel();
    writer.run(stop).await;
    let (log, _writer) = CallLog::open(dir.path(), keeping()).unwrap();
    let all = Wanted { count_max: 10, ..Wanted::default() };
    let by = |wanted: Wanted| {
        let found = log.find(&wanted).unwrap();
        found.iter().map(|entry| entry["correlation"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(by(all.clone()), ["b", "a"]);
    assert_eq!(by(Wanted { correlation: Some("a".to_owned()), ..all.clone() }), ["a"]);
    assert_eq!(by(Wanted { refused: true, ..all.clone() }), ["b"]);
    assert!(by(Wanted { service: Some("query".to_owned()), ..all }).is_empty());
}

#[test]
fn secrets_are_masked_wherever_they_are_and_long_bodies_are_cut() {
    let request = json!({"customer": {"PIN": "1234", "name": "Ada", "pin": null},
        "payments": [{"cardNumber": "4111"}]});
    let line = line(entry("a", request), &keeping().masked);
    let expected = json!({"customer": {"PIN": "…", "name": "Ada", "pin": null},
        "payments": [{"cardNumber": "…"}]});
    assert_eq!(line["request"], expected);
    let long = super::line(entry("a", json!("x".repeat(50_000))), &[]);
    assert_eq!(long["request"]["bytes"], 50_002);
    assert!(long.to_string().len() < BODY_BYTES_MAX);
}

#[test]
fn the_oldest_entries_go_when_there_are_too_many_or_they_are_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let mut shelf = Shelf::open(dir.path().to_owned()).unwrap();
    let lines = vec![b'\n'; 300_000];
    for _ in 0..40 {
        shelf.append(&lines).unwrap();
        shelf.prune(&keeping()).unwrap();
    }
    let held: u64 =
        files(dir.path()).unwrap().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(held <= 6 * FILE_BYTES_MAX, "{held}");
    let oldest = files(dir.path()).unwrap()[0].clone();
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
    File::options().append(true).open(&oldest).unwrap().set_modified(long_ago).unwrap();
    shelf.prune(&keeping()).unwrap();
    assert!(!oldest.exists());
}

#[test]
fn a_log_that_cannot_keep_up_says_how_much_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _writer) = CallLog::open(dir.path(), keeping()).unwrap();
    for _ in 0..WAITING_MAX + 5 {
        log.record(entry("a", json!(1)));
    }
    assert_eq!(log.missed(), 5);
}
