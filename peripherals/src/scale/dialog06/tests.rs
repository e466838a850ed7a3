use proptest::prelude::*;

use super::super::{Kind, Priced, Unit, Weight};
use super::*;
use crate::line::start;

const RESULT: &[u8] = b"\x0202\x1b3\x1b00316\x1b001234\x1b000390\x03";

fn priced(unit_price: u32) -> Ask {
    Ask::Price(PricedAsk { unit_price, tare: None, text: None })
}

fn asked(approval: Option<Approval>) -> (DialogScale, Instant) {
    let now = start();
    let mut scale = DialogScale::new(Dialog06 { approval });
    scale.handle_opened(now);
    assert_eq!(scale.poll_transmit().unwrap().bytes, [0x04]);
    scale.ask(priced(1234), now);
    (scale, now)
}

fn sent(scale: &mut DialogScale) -> Vec<u8> {
    scale.poll_transmit().map(|transmit| transmit.bytes).unwrap_or_default()
}

fn outcome(scale: &mut DialogScale) -> Outcome {
    match scale.poll_event() {
        Some(Event::Reading(reading)) => reading.outcome,
        other => panic!("no reading but {other:?}"),
    }
}

#[test]
fn golden_dialogue_of_a_weighed_sale() {
    let (mut scale, now) = asked(None);
    assert_eq!(sent(&mut scale), b"\x04\x0201\x1b001234\x1b\x03");
    scale.handle_input(b"\x06", now);
    assert_eq!(sent(&mut scale), b"\x04\x05");
    scale.handle_input(RESULT, now);
    let weight = Weight::parse(b"0.316", Unit::Kilogram).unwrap();
    let priced = Some(Priced { unit_price: 1234, amount: 390 });
    let expected = Measured { weight, kind: Kind::Net, at_zero: None, priced };
    assert_eq!(outcome(&mut scale), Outcome::Stable(expected));
    assert_eq!(sent(&mut scale), [0x04]);
}

#[test]
fn price_records_carry_tare_and_text() {
    let ask = |tare, text: Option<&str>| PricedAsk {
        unit_price: 1234,
        tare,
        text: text.map(str::to_owned),
    };
    let bytes = |ask| record::price(&ask).unwrap();
    assert_eq!(bytes(ask(Some(15), None)), b"\x04\x0203\x1b001234\x1b0015\x03");
    assert_eq!(bytes(ask(None, Some("Apples"))), b"\x04\x0204\x1b001234\x1bApples       \x03");
    assert_eq!(
        bytes(ask(Some(15), Some("Äpfel, sehr lange"))),
        b"\x04\x0205\x1b001234\x1b0015\x1b?pfel, sehr l\x03"
    );
    assert_eq!(record::price(&PricedAsk { unit_price: 1_000_000, tare: None, text: None }), None);
}

#[test]
fn a_result_for_another_price_is_not_believed() {
    let (mut scale, now) = asked(None);
    scale.handle_input(b"\x06", now);
    scale.handle_input(b"\x0202\x1b3\x1b00316\x1b001235\x1b000390\x03", now);
    assert_eq!(outcome(&mut scale), Outcome::Garbled);
}

#[test]
fn a_result_whose_sum_is_wrong_is_not_believed() {
    let (mut scale, now) = asked(None);
    scale.handle_input(b"\x06", now);
    scale.handle_input(b"\x0202\x1b3\x1b00316\x1b001234\x1b000490\x03", now);
    assert_eq!(outcome(&mut scale), Outcome::Garbled);
}

#[test]
fn a_five_digit_unit_price_is_read_too() {
    let (mut scale, now) = asked(None);
    scale.handle_input(b"\x06\x0202\x1b3\x1b00316\x1b01234\x1b000390\x03", now);
    assert!(matches!(outcome(&mut scale), Outcome::Stable(_)));
}

#[test]
fn a_moving_plate_is_asked_again_until_it_settles() {
    let (mut scale, now) = asked(None);
    scale.handle_input(b"\x06", now);
    scale.handle_input(b"\x15", now);
    let _ = (sent(&mut scale), sent(&mut scale));
    assert_eq!(sent(&mut scale), b"\x04\x0208\x03");
    scale.handle_input(b"\x0209\x1b20\x03", now);
    assert_eq!(scale.poll_timeout(), Some(now + MOVING_PAUSE));
    scale.handle_timeout(now + MOVING_PAUSE);
    assert_eq!(sent(&mut scale), b"\x04\x05");
    scale.handle_input(RESULT, now);
    assert!(matches!(outcome(&mut scale), Outcome::Stable(_)));
}

#[test]
fn status_codes_are_typed() {
    for (code, expected) in [
        ("21", Outcome::Unchanged { kind: Kind::Unstated }),
        ("30", Outcome::BelowMinimum),
        ("31", Outcome::UnderZero),
        ("32", Outcome::OverCapacity),
        ("11", Outcome::DeviceError { code: 11 }),
    ] {
        let (mut scale, now) = asked(None);
        scale.handle_input(b"\x15", now);
        scale.handle_input(format!("\x0209\x1b{code}\x03").as_bytes(), now);
        assert_eq!(outcome(&mut scale), expected);
    }
}

#[test]
fn a_demand_for_proof_is_answered_from_the_provisioned_numbers() {
    // 0x1234 turned left by 4 is 0x2341; 0x8001 turned right by 7 is 0x0300.
    let (mut scale, now) = asked(Approval::new(vec![(0x1234, 0x8001)]));
    sent(&mut scale);
    scale.handle_input(b"\x0211\x1b247\x03", now);
    assert_eq!(sent(&mut scale), b"\x04\x0210\x1b23410300\x03");
    scale.handle_input(b"\x06", now);
    assert_eq!(sent(&mut scale), b"\x04\x05");
    scale.handle_input(b"\x0211\x1b1\x03", now);
    assert_eq!(sent(&mut scale), b"\x04\x0201\x1b001234\x1b\x03");
}

#[test]
fn without_provisioned_numbers_a_demand_ends_in_needs_approval() {
    let (mut scale, now) = asked(None);
    scale.handle_input(b"\x0211\x1b247\x03", now);
    assert_eq!(outcome(&mut scale), Outcome::NeedsApproval);
}

#[test]
fn a_scale_never_satisfied_is_given_up() {
    let (mut scale, now) = asked(Approval::new(vec![(1, 2)]));
    for _ in 0..PROOFS_MAX {
        scale.handle_input(b"\x0211\x1b247\x03\x06\x0211\x1b1\x03", now);
    }
    scale.handle_input(b"\x0211\x1b247\x03", now);
    assert_eq!(outcome(&mut scale), Outcome::NeedsApproval);
}

#[test]
fn silence_is_tried_three_times_and_the_line_reset() {
    let (mut scale, _) = asked(None);
    let mut records = 0;
    while let Some(at) = scale.poll_timeout() {
        records += usize::from(!sent(&mut scale).is_empty());
        scale.handle_timeout(at);
    }
    assert_eq!((records, outcome(&mut scale)), (3, Outcome::NoReply));
    assert_eq!(sent(&mut scale), [0x04]);
}

#[test]
fn an_approval_never_shows_its_numbers() {
    let approval = Approval::new(vec![(0x1234, 0x5678)]).unwrap();
    assert!(!format!("{approval:?}").contains("1234"));
    assert!(!format!("{approval:?}").contains("4660"));
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces(
        noise in proptest::collection::vec(any::<u8>(), 0..80),
        at in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = [b"\x06", RESULT].concat();
        let at = at.index(bytes.len());
        bytes.splice(at..at, noise);
        let cut = cut.index(bytes.len());
        let seen = |pieces: &[&[u8]]| {
            let (mut scale, now) = asked(Approval::new(vec![(1, 2)]));
            for piece in pieces {
                scale.handle_input(piece, now);
            }
            let outcome = scale.poll_event().map(|event| match event {
                Event::Reading(reading) => Some((reading.outcome, reading.raw)),
                Event::Done(_) | Event::Refused { .. } => None,
            });
            (outcome, std::iter::from_fn(|| scale.poll_transmit()).collect::<Vec<_>>())
        };
        prop_assert_eq!(seen(&[&bytes]), seen(&[&bytes[..cut], &bytes[cut..]]));
    }
}
