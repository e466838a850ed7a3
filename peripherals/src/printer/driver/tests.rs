use super::super::Profile;
use super::super::escpos::EscPos;
use super::*;
use crate::line::start;

const FINE: u8 = 0x12;
const OUT_OF_PAPER: [u8; 4] = [0x18, 0x00, 0x0F, 0x00];
const PAPER_BACK: [u8; 4] = [0x10, 0x00, 0x00, 0x00];

fn opened(profile: Profile) -> (Printer<EscPos>, Instant) {
    let now = start();
    let mut printer = Printer::new(EscPos::new(profile));
    printer.handle_opened(now);
    answer_round(&mut printer, now);
    (printer, now)
}

/// Answers every question that waits, all of them well.
fn answer_round(printer: &mut Printer<EscPos>, now: Instant) {
    for _ in 0..8 {
        let questions = drain(printer).windows(3).filter(|w| w[..2] == [0x10, 0x04]).count();
        if questions == 0 {
            break;
        }
        printer.handle_input(&vec![FINE; questions], now);
    }
}

fn drain(printer: &mut Printer<EscPos>) -> Vec<u8> {
    std::iter::from_fn(|| printer.poll_transmit()).flat_map(|transmit| transmit.bytes).collect()
}

fn verdicts(printer: &mut Printer<EscPos>) -> Vec<Verdict> {
    std::iter::from_fn(|| printer.poll_event())
        .filter_map(|event| match event {
            Event::Job { verdict, .. } => Some(verdict),
            Event::Status { .. } => None,
        })
        .collect()
}

fn job() -> Job {
    Job { number: 6, body: b"receipt\n".to_vec() }
}

#[test]
fn a_job_is_printed_when_its_own_number_comes_back() {
    let (mut printer, now) = opened(Profile::epson_t88());
    printer.print(job(), now).unwrap();
    assert!(drain(&mut printer).ends_with(b"\x1d(H\x06\x00000007"));
    printer.handle_drained(now);
    assert_eq!(verdicts(&mut printer), [Verdict::Sent]);
    printer.handle_input(b"\x37\x220006\x00", now);
    assert_eq!(verdicts(&mut printer), []);
    printer.handle_input(b"\x37\x220007\x00", now);
    assert_eq!(verdicts(&mut printer), [Verdict::Printed(Level::ProcessId)]);
    assert_eq!(printer.ready(now), Ok(()));
}

#[test]
fn a_printer_that_never_answered_gets_no_job() {
    let now = start();
    let mut printer = Printer::new(EscPos::new(Profile::epson_t88()));
    assert_eq!(printer.print(job(), now), Err(NotReady::Away));
    printer.handle_opened(now);
    assert_eq!(printer.print(job(), now), Err(NotReady::Trouble(Trouble::Silent)));
}

#[test]
fn paper_that_runs_out_holds_the_job_without_a_time_out() {
    let (mut printer, mut now) = opened(Profile::epson_t20());
    printer.print(job(), now).unwrap();
    drain(&mut printer);
    printer.handle_drained(now);
    printer.handle_input(&OUT_OF_PAPER, now);
    for _ in 0..200 {
        now += Duration::from_secs(3);
        printer.handle_input(&OUT_OF_PAPER, now);
        printer.handle_timeout(now);
        drain(&mut printer);
    }
    assert_eq!(verdicts(&mut printer), [Verdict::Sent]);
    printer.handle_input(&PAPER_BACK, now);
    printer.handle_input(&[0x00], now);
    assert_eq!(verdicts(&mut printer), [Verdict::Printed(Level::Processed)]);
}

#[test]
fn a_line_that_breaks_before_the_first_byte_starts_nothing() {
    let (mut printer, now) = opened(Profile::epson_t88());
    printer.print(job(), now).unwrap();
    printer.handle_hangup(now);
    assert_eq!(verdicts(&mut printer), [Verdict::NotStarted]);
}

#[test]
fn a_line_that_breaks_after_the_first_byte_leaves_it_unknown() {
    let (mut printer, now) = opened(Profile::epson_t88());
    printer.print(job(), now).unwrap();
    printer.poll_transmit();
    printer.handle_hangup(now);
    assert_eq!(verdicts(&mut printer), [Verdict::Unknown(Doubt::LinkLost)]);
}

#[test]
fn a_late_number_still_proves_a_job_that_was_in_doubt() {
    let (mut printer, now) = opened(Profile::epson_t88());
    printer.print(job(), now).unwrap();
    drain(&mut printer);
    printer.handle_drained(now);
    printer.handle_hangup(now);
    printer.handle_opened(now);
    verdicts(&mut printer);
    printer.handle_input(b"\x37\x220007\x00", now);
    assert_eq!(verdicts(&mut printer), [Verdict::Printed(Level::ProcessId)]);
}

#[test]
fn a_printer_that_falls_silent_leaves_its_job_unknown() {
    let (mut printer, now) = opened(Profile::epson_t20());
    printer.print(job(), now).unwrap();
    drain(&mut printer);
    printer.handle_drained(now);
    for _ in 0..40 {
        let Some(at) = printer.poll_timeout() else { break };
        printer.handle_timeout(at);
        drain(&mut printer);
    }
    assert_eq!(verdicts(&mut printer), [Verdict::Sent, Verdict::Unknown(Doubt::Silent)]);
}

#[test]
fn a_proof_that_never_comes_leaves_the_job_unknown() {
    let (mut printer, now) = opened(Profile::epson_t20());
    printer.print(job(), now).unwrap();
    drain(&mut printer);
    printer.handle_drained(now);
    let mut last = now;
    for _ in 0..2000 {
        let Some(at) = printer.poll_timeout() else { break };
        last = at;
        printer.handle_timeout(at);
        answer_round(&mut printer, at);
        if printer.job.is_none() {
            break;
        }
    }
    assert_eq!(verdicts(&mut printer), [Verdict::Sent, Verdict::Unknown(Doubt::NoProof)]);
    assert!(last - now >= PROOF_MAX && last - now < PROOF_MAX * 2);
}

#[test]
fn status_alone_proves_a_job_only_after_two_good_rounds() {
    let (mut printer, now) = opened(Profile::generic_80());
    printer.print(job(), now).unwrap();
    drain(&mut printer);
    printer.handle_drained(now);
    let mut rounds = 0;
    while printer.job.is_some() && rounds < 10 {
        let at = printer.poll_timeout().unwrap();
        printer.handle_timeout(at);
        answer_round(&mut printer, at);
        rounds += 1;
    }
    assert_eq!(
        (verdicts(&mut printer).pop(), rounds),
        (Some(Verdict::Printed(Level::StatusGood)), 2)
    );
}

#[test]
fn a_clone_that_stops_answering_is_not_taken_for_a_good_one() {
    let (mut printer, now) = opened(Profile::generic_80());
    printer.print(job(), now).unwrap();
    drain(&mut printer);
    printer.handle_drained(now);
    for _ in 0..100 {
        let Some(at) = printer.poll_timeout() else { break };
        printer.handle_timeout(at);
        drain(&mut printer);
    }
    assert_eq!(verdicts(&mut printer), [Verdict::Sent, Verdict::Unknown(Doubt::Silent)]);
}

#[test]
fn a_mute_printer_gets_the_weakest_level() {
    let now = start();
    let mut printer = Printer::new(EscPos::new(Profile::mute_80()));
    printer.handle_opened(now);
    printer.print(job(), now).unwrap();
    drain(&mut printer);
    printer.handle_drained(now);
    assert_eq!(verdicts(&mut printer), [Verdict::Sent, Verdict::Printed(Level::HandedOver)]);
}

#[test]
fn no_question_lands_between_the_bytes_of_a_job() {
    let (mut printer, mut now) = opened(Profile::epson_t88());
    printer.print(Job { number: 1, body: vec![b'x'; 10 * PIECE] }, now).unwrap();
    let mut sent = Vec::new();
    for _ in 0..10 {
        sent.extend(printer.poll_transmit().unwrap().bytes);
        now += Duration::from_secs(2);
        printer.handle_timeout(now);
        printer.handle_input(&[FINE], now);
    }
    assert!(!sent.contains(&0x10), "a question was sent inside the job");
    assert_eq!(printer.recover(Recovery::Resume, now), Err(NotReady::Busy));
}

#[test]
fn a_printer_that_takes_nothing_is_told_once_and_never_spins() {
    let (mut printer, now) = opened(Profile::epson_t88());
    printer.print(Job { number: 1, body: vec![b'x'; 10 * PIECE] }, now).unwrap();
    printer.poll_transmit();
    let (mut last, mut wakes) = (now, 0);
    while last - now < Duration::from_secs(120) {
        last = printer.poll_timeout().unwrap();
        printer.handle_timeout(last);
        wakes += 1;
    }
    assert!(wakes < 100, "{wakes} wakes");
    let stalls = std::iter::from_fn(|| printer.poll_event())
        .filter(|event| matches!(event, Event::Status { trouble: Some(Trouble::Stalled), .. }))
        .count();
    assert_eq!(stalls, 1);
}

#[test]
fn a_broken_picture_is_flushed_before_the_next_job() {
    let (mut printer, now) = opened(Profile::generic_80());
    printer.print(Job { number: 1, body: vec![0x1D; 10 * PIECE] }, now).unwrap();
    printer.poll_transmit();
    printer.handle_hangup(now);
    printer.handle_opened(now);
    let hello = drain(&mut printer);
    assert!(hello.iter().take_while(|byte| **byte == 0).count() >= 24 * 72);
}

#[test]
fn discarding_ends_the_job_and_says_so() {
    let (mut printer, now) = opened(Profile::epson_t88());
    printer.print(job(), now).unwrap();
    drain(&mut printer);
    printer.handle_drained(now);
    printer.handle_input(&[0x18, 0x08, 0x00, 0x00], now);
    assert_eq!(printer.ready(now), Err(NotReady::Busy));
    printer.recover(Recovery::Discard, now).unwrap();
    assert!(drain(&mut printer).starts_with(b"\x10\x05\x02\x1b@"));
    assert_eq!(verdicts(&mut printer), [Verdict::Sent, Verdict::Discarded]);
}

#[test]
fn without_paper_a_drawer_opens_at_once_or_not_at_all() {
    let (mut printer, now) = opened(Profile::epson_t88());
    assert_eq!(printer.kick(Drawer::First, now), Ok(()));
    assert_eq!(drain(&mut printer), b"\x1bp\x00\x19\xfa");
    printer.handle_input(&OUT_OF_PAPER, now);
    drain(&mut printer);
    assert_eq!(printer.kick(Drawer::Second, now), Ok(()));
    assert_eq!(drain(&mut printer), b"\x10\x14\x01\x01\x01");
    let gone = now + SILENT_AFTER;
    let refused = Err(NotReady::Trouble(Trouble::PaperOut));
    assert_eq!(printer.kick(Drawer::First, gone), refused, "it may not even hear it");
    printer.handle_input(&[0x38, 0, 0, 0], now);
    assert_eq!(printer.kick(Drawer::First, now), Err(NotReady::Trouble(Trouble::CoverOpen)));
    printer.handle_input(&[0x18, 0x08, 0, 0], now);
    assert_eq!(printer.kick(Drawer::First, now), Err(NotReady::Trouble(Trouble::Cutter)));
    let (mut clone, now) = opened(Profile::generic_80());
    clone.handle_input(&OUT_OF_PAPER, now);
    assert_eq!(clone.kick(Drawer::First, now), refused);
    assert!(drain(&mut clone).is_empty());
}

#[test]
fn after_a_pulse_the_drawer_is_looked_at_soon_and_often() {
    let (mut printer, now) = opened(Profile::epson_t88());
    printer.kick(Drawer::First, now).unwrap();
    drain(&mut printer);
    let mut rounds = 0;
    while let Some(at) = printer.poll_timeout().filter(|at| *at <= now + DRAWER_WATCHED) {
        printer.handle_timeout(at);
        answer_round(&mut printer, at);
        rounds += 1;
    }
    assert!(rounds >= 6, "{rounds} looks");
}

#[test]
fn paper_that_was_told_to_be_out_once_holds_the_job_through_any_silence() {
    let (mut printer, mut now) = opened(Profile::epson_t88());
    printer.print(job(), now).unwrap();
    drain(&mut printer);
    printer.handle_drained(now);
    printer.handle_input(&OUT_OF_PAPER, now);
    for _ in 0..600 {
        now += Duration::from_secs(1);
        printer.handle_timeout(now);
        // A port that is full takes no questions.
    }
    assert_eq!(verdicts(&mut printer), [Verdict::Sent]);
    assert!(printer.out.len() < 8, "questions pile up: {}", printer.out.len());
    drain(&mut printer);
    printer.handle_input(&PAPER_BACK, now);
    printer.handle_input(b"\x37\x220007\x00", now);
    // It may have lost its power meanwhile, so less is claimed.
    assert_eq!(verdicts(&mut printer), [Verdict::Printed(Level::StatusGood)]);
}

#[test]
fn a_job_that_did_not_leave_whole_is_flushed_before_anything_else() {
    let (mut printer, now) = opened(Profile::generic_80());
    printer.print(job(), now).unwrap();
    drain(&mut printer);
    printer.handle_hangup(now);
    printer.handle_opened(now);
    let hello = drain(&mut printer);
    assert!(hello.iter().take_while(|byte| **byte == 0).count() >= 24 * 72);
}

#[test]
fn no_question_follows_a_job_before_it_has_left() {
    let (mut printer, mut now) = opened(Profile::epson_t88());
    printer.print(job(), now).unwrap();
    drain(&mut printer);
    for _ in 0..30 {
        now += Duration::from_secs(1);
        printer.handle_timeout(now);
        assert!(drain(&mut printer).is_empty());
    }
    assert_eq!(verdicts(&mut printer), []);
}

fn jobs(printer: &mut Printer<EscPos>) -> Vec<(u64, Verdict)> {
    std::iter::from_fn(|| printer.poll_event())
        .filter_map(|event| match event {
            Event::Job { number, verdict } => Some((number, verdict)),
            Event::Status { .. } => None,
        })
        .collect()
}

/// A first job whose proof is still in the printer, and a second one that was sent behind it.
fn two_jobs() -> (Printer<EscPos>, Instant) {
    let (mut printer, now) = opened(Profile::epson_t20());
    printer.print(Job { number: 1, body: b"one\n".to_vec() }, now).unwrap();
    drain(&mut printer);
    printer.handle_drained(now);
    let mut now = now;
    while printer.job.is_some() {
        now = printer.poll_timeout().unwrap();
        printer.handle_timeout(now);
        drain(&mut printer);
    }
    while printer.ready(now).is_err() {
        now = printer.poll_timeout().unwrap();
        printer.handle_timeout(now);
        answer_round(&mut printer, now);
    }
    assert_eq!(jobs(&mut printer)[1], (1, Verdict::Unknown(Doubt::Silent)));
    printer.print(Job { number: 2, body: b"two\n".to_vec() }, now).unwrap();
    drain(&mut printer);
    printer.handle_drained(now);
    assert_eq!(jobs(&mut printer), [(2, Verdict::Sent)]);
    (printer, now)
}

#[test]
fn a_late_answer_proves_its_own_job_and_not_the_next() {
    let (mut printer, now) = two_jobs();
    printer.handle_input(&[0x00], now);
    assert_eq!(jobs(&mut printer), [(1, Verdict::Printed(Level::StatusGood))]);
    printer.handle_input(b"\x5fTM-T20\x00", now);
    assert_eq!(jobs(&mut printer), []);
    printer.handle_input(&[0x00], now);
    assert_eq!(jobs(&mut printer), [(2, Verdict::Printed(Level::Processed))]);
}

#[test]
fn a_proof_that_was_lost_does_not_hold_back_the_next() {
    let (mut printer, now) = two_jobs();
    printer.handle_input(b"\x5fTM-T20\x00\x00", now);
    assert_eq!(jobs(&mut printer), [(2, Verdict::Printed(Level::Processed))]);
}

proptest::proptest! {
    #[test]
    fn any_bytes_from_a_printer_never_panic_and_never_print(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
    ) {
        let (mut printer, now) = opened(Profile::epson_t88());
        printer.print(job(), now).unwrap();
        printer.handle_input(&bytes, now);
        let printed = verdicts(&mut printer).iter().any(|v| matches!(v, Verdict::Printed(_)));
        proptest::prop_assert!(!printed, "called printed before a byte went out");
    }
}
