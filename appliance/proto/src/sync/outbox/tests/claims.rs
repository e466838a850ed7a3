//! Who answers for an entry: what a till hands over is the box's own, and what nobody can bring goes to a person.

use super::*;
use crate::ticket::Grade;

fn word(meta: &Meta) -> Receipt {
    Receipt {
        key: meta.key,
        digest: meta.digest,
        grade: Grade::Held,
        node: "far".parse().unwrap(),
        position: 1,
        at: at(0),
        clock: None,
        batch: None,
        signature: String::new(),
    }
}

/// An outbox that is also written, so that a restart can be tried.
struct Written {
    outbox: Outbox,
    journal: Vec<Record>,
}

impl Written {
    fn new() -> Self {
        Self { outbox: outbox(Limits::default(), &[]), journal: Vec::new() }
    }

    fn write(&mut self, record: Record) {
        self.outbox.apply(&record);
        self.journal.push(record);
    }

    fn guest(&mut self, meta: &Meta) {
        let Admission::New { record, .. } = self.outbox.admit_guest(meta, word(meta), at(0)) else {
            panic!("it is new");
        };
        self.write(record);
    }

    fn claim(&mut self, meta: &Meta) {
        let Admission::Claimed { position: 1, record, digest, .. } = self.outbox.admit(meta, at(5))
        else {
            panic!("it is a guest");
        };
        assert_eq!(digest, meta.digest);
        self.write(record);
    }

    fn answer(&mut self, answers: &[(u64, Verdict)], now: Instant) {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for record in self.outbox.handle_answers(&sink("main"), answers, now, &mut rng) {
            self.write(record);
        }
    }

    fn restart(&mut self) {
        self.outbox = outbox(Limits::default(), &[]);
        self.journal.iter().for_each(|record| self.outbox.apply(record));
    }
}

#[test]
fn what_a_till_hands_over_is_its_own_also_if_a_neighbour_had_passed_it_on_before() {
    let mut written = Written::new();
    let sold = meta(1, "till-1", 1, "ticket:1");
    written.guest(&sold);
    written.claim(&sold);
    assert!(matches!(written.outbox.admit(&sold, at(6)), Admission::Again { position: 1, .. }));
    assert!(matches!(
        written.outbox.admit_guest(&sold, word(&sold), at(7)),
        Admission::Again { position: 1, .. }
    ));
    assert_eq!(sent(written.outbox.poll(&sink("main"), start())), [1]);
    written.answer(&[(1, refused())], start());
    for _ in 0..2 {
        assert_eq!((written.outbox.quarantined(), written.outbox.guests()), (1, 0));
        assert!(written.outbox.is_own(1), "the box that passed it on may be gone");
        written.restart();
    }
}

#[test]
fn what_is_claimed_while_the_sink_refuses_it_is_not_let_go() {
    let mut written = Written::new();
    let sold = meta(1, "till-1", 1, "ticket:1");
    written.guest(&sold);
    assert_eq!(sent(written.outbox.poll(&sink("main"), start())), [1]);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let answers = [(1, refused())];
    let heard = written.outbox.handle_answers(&sink("main"), &answers, start(), &mut rng);
    let [returned] = &heard[..] else { panic!("{heard:?}") };
    written.journal.push(returned.clone());
    written.claim(&sold);
    written.outbox.apply(returned);
    for _ in 0..2 {
        assert!(written.outbox.is_own(1));
        assert_eq!(sent(written.outbox.poll(&sink("main"), start())), [1], "and is offered again");
        written.restart();
    }
}

#[test]
fn a_claim_that_could_not_be_written_leaves_the_neighbours_entry_as_it_was() {
    let mut written = Written::new();
    let sold = meta(1, "till-1", 1, "ticket:1");
    written.guest(&sold);
    let before = written.outbox.checkpoint();
    let Admission::Claimed { record, guest, .. } = written.outbox.admit(&sold, at(5)) else {
        panic!("it is a guest");
    };
    written.outbox.apply(&record);
    written.outbox.disclaim(1, guest);
    assert_eq!(written.outbox.guest(1), Some(&word(&sold)));
    assert_eq!(written.outbox.checkpoint(), before);
    assert_eq!(written.outbox.guests(), 1);
}

#[test]
fn what_depends_on_something_that_nobody_brings_goes_to_a_person_after_a_day() {
    let mut outbox = outbox(Limits::default(), &[]);
    let in_session = |meta: Meta| Meta { session: Some("1".to_owned()), ..meta };
    let mut waiting = in_session(meta(1, "till-1", 1, "ticket:1"));
    waiting.depends_on = vec![key(99)];
    accept(&mut outbox, &waiting);
    accept(&mut outbox, &meta(2, "till-1", 2, "ticket:1"));
    let closing = Meta { kind: CASH_UP.parse().unwrap(), ..meta(3, "till-1", 3, "session:1") };
    accept(&mut outbox, &in_session(closing));
    let missing = || Verdict::Later(Problem::new(Code::DependencyMissing, "99 has not arrived"));
    let (begun, mut now, mut asked) = (start(), start(), 0);
    while outbox.quarantined() == 0 {
        let batch = sent(outbox.poll(&sink("main"), now));
        let answers: Vec<_> = batch.iter().map(|position| (*position, missing())).collect();
        asked += usize::from(batch.contains(&1));
        answer(&mut outbox, &answers, now);
        now += Duration::from_secs(30);
        assert!(now < begun + limits::DEPENDENCY_WAIT_MAX * 2, "it waits without end");
    }
    assert!(now >= begun + limits::DEPENDENCY_WAIT_MAX && asked > 100, "it may come late");
    let summary = outbox.summary(1).unwrap();
    assert_eq!(
        (summary.state, summary.problem.unwrap().code),
        (State::Quarantined, Code::DependencyMissing)
    );
    assert_eq!(outbox.quarantined(), 1, "what stands behind it only waits for it");
    let dropped = outbox.give_up(&key(1), By::new("anna", at(9))).unwrap();
    outbox.apply(&dropped);
    assert_eq!(sent(outbox.poll(&sink("main"), now + Duration::from_secs(120))), [2, 3]);
}

#[test]
fn what_the_disk_does_not_give_back_stops_what_follows_it_and_nothing_else() {
    let mut outbox = outbox(Limits::default(), &["files"]);
    for number in 1..=3 {
        accept(&mut outbox, &meta(number, "till-1", number, &format!("ticket:{number}")));
    }
    let now = start();
    for name in ["main", "files"] {
        assert_eq!(sent(outbox.poll(&sink(name), now)), [1, 2, 3]);
    }
    for record in outbox.handle_unreadable(&sink("main"), &[2]) {
        outbox.apply(&record);
    }
    assert_eq!(outbox.quarantined(), 1);
    assert_eq!(outbox.summary(2).unwrap().problem.unwrap().code, Code::StorageFailed);
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [1, 3]);
    assert_eq!(outbox.handle_unreadable(&sink("files"), &[2]), [], "1 goes first");
    assert_eq!(sent(outbox.poll(&sink("files"), now)), [1, 2, 3]);
    for record in outbox.handle_unreadable(&sink("files"), &[1]) {
        outbox.apply(&record);
    }
    assert_eq!(sent(outbox.poll(&sink("files"), now)), [2, 3]);
    assert_eq!(outbox.sinks()[1].refused, 1, "and is told");
}
