//! CAS: the AP-1 point-of-sale protocol, and the 22-byte stream of its bench scales.
//!
//! Source: CAS AP-1 protocol document, Ohaus Aviator 7000 p. 36 (the "F" overflow sign, the blocks of
//! the priced answer; its flow table misprints the byte that asks for them), CAS SW-II
//! manual p. 15 and NT-200/CI-600D manuals (stream).
//!
//! The point-of-sale answer carries a block check, the XOR of everything between STX and the check
//! itself; it is verified, and a wrong one is asked for again.
//! Asked for a price, the scale sends three such blocks: price to pay, weight, unit price.
//! It computes with the unit price that is keyed in at the scale, and there is no way to set it from
//! here; an answer with another price than the till's is [`Outcome::OtherPrice`].
//! The stream has no check; its fixed commas, header words and line end all have to be right.

use super::{
    Answer, Ask, Framing, Kind, Measured, Outcome, Priced, Protocol, Refusal, Unit, Weight,
};

const SOH: u8 = 0x01;
const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const EOT: u8 = 0x04;
const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
const NAK: u8 = 0x15;
const DC1: u8 = 0x11;
const DC2: u8 = 0x12;
const BLOCK_BYTES: usize = 15;
/// The three blocks of a priced answer.
const PRICED_BYTES: usize = 37;
/// Where the first block of a priced answer ends; an unpriced one has a letter of its unit there.
const PRICED_END: usize = 11;
const STREAM_BYTES: usize = 22;

/// The AP-1 protocol: a handshake, then a checked block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CasPos;

impl Protocol for CasPos {
    fn request(&self, ask: &Ask) -> Result<Vec<u8>, Refusal> {
        match ask {
            Ask::Weigh => Ok(vec![ENQ]),
            Ask::Price(ask) if ask.tare.is_none() && ask.text.is_none() => Ok(vec![ENQ]),
            Ask::Zero | Ask::Tare | Ask::TareBy(_) | Ask::ClearTare | Ask::Price(_) => {
                Err(Refusal::Unsupported)
            }
        }
    }

    fn frame(&self, input: &[u8]) -> Framing {
        match input {
            [ACK | NAK, ..] => Framing::Whole(1),
            [SOH] => Framing::More,
            // The check byte may have any value, so only the length ends a block.
            [SOH, STX, ..] if input.get(PRICED_END) == Some(&ETX) => match input.len() {
                PRICED_BYTES.. if input[PRICED_BYTES - 2..PRICED_BYTES] == [ETX, EOT] => {
                    Framing::Whole(PRICED_BYTES)
                }
                PRICED_BYTES.. => Framing::Noise(1),
                _ => Framing::More,
            },
            [SOH, STX, ..] if input.len() < BLOCK_BYTES => Framing::More,
            [SOH, STX, ..] if input[13..15] == [ETX, EOT] => Framing::Whole(BLOCK_BYTES),
            _ => Framing::Noise(1),
        }
    }

    fn answer(&self, ask: &Ask, frame: &[u8]) -> Answer {
        match (ask, frame) {
            (Ask::Price(_), [ACK]) => Answer::Next(vec![DC2]),
            (_, [ACK]) => Answer::Next(vec![DC1]),
            (Ask::Price(ask), _) if frame.len() == PRICED_BYTES => {
                Answer::Weighed(priced_outcome(frame, ask.unit_price).unwrap_or(Outcome::Garbled))
            }
            (Ask::Weigh, [SOH, STX, block @ .., check, ETX, EOT])
                if frame.len() == BLOCK_BYTES && xor(block) == *check =>
            {
                Answer::Weighed(block_outcome(block))
            }
            // A refused handshake and a wrong check are both answered by asking again.
            _ => Answer::Weighed(Outcome::Garbled),
        }
    }
}

fn xor(block: &[u8]) -> u8 {
    block.iter().fold(0, |check, byte| check ^ byte)
}

fn block_outcome(block: &[u8]) -> Outcome {
    let [state, sign, rest @ ..] = block else { return Outcome::Garbled };
    match sign {
        b'F' => return Outcome::OverCapacity,
        b'-' => return Outcome::UnderZero,
        b' ' => {}
        _ => return Outcome::Garbled,
    }
    let (number, unit) = rest.split_at(6);
    let weight = Unit::parse(unit).and_then(|unit| Weight::parse(number, unit));
    let Some(weight) = weight else { return Outcome::Garbled };
    let measured = Measured { weight, kind: Kind::Unstated, at_zero: None, priced: None };
    match state {
        b'S' => Outcome::Stable(measured),
        b'U' => Outcome::InMotion { shown: Some(measured) },
        _ => Outcome::Garbled,
    }
}

/// What three good blocks say; `None` if one of them is not good.
fn priced_outcome(frame: &[u8], wanted: u32) -> Option<Outcome> {
    let amount = price(checked(&frame[1..12])?)?;
    let outcome = block_outcome(checked(&frame[12..25])?);
    let unit_price = price(checked(&frame[25..36])?)?;
    let Outcome::Stable(measured) = outcome else { return Some(outcome) };
    let priced = Priced { unit_price, amount };
    if !priced.is_plausible(measured.weight) {
        return None;
    }
    if unit_price != wanted {
        return Some(Outcome::OtherPrice { unit_price });
    }
    Some(Outcome::Stable(Measured { priced: Some(priced), ..measured }))
}

fn checked(block: &[u8]) -> Option<&[u8]> {
    match block {
        [STX, inner @ .., check, ETX] if xor(inner) == *check => Some(inner),
        _ => None,
    }
}

/// Eight characters, blanks before the first digit, two decimals: `   15.00` is 1500.
fn price(text: &[u8]) -> Option<u32> {
    let [whole @ .., b'.', tens, ones] = text.trim_ascii_start() else { return None };
    let digits = [whole, &[*tens, *ones]].concat();
    if whole.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// The 22-byte stream, sent without being asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CasStream;

impl Protocol for CasStream {
    fn request(&self, _ask: &Ask) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::Unsupported)
    }

    fn frame(&self, input: &[u8]) -> Framing {
        let starts_well = [b"ST", b"US", b"OL"]
            .iter()
            .any(|word| word.iter().zip(input).all(|(expected, byte)| expected == byte));
        if !starts_well {
            return Framing::Noise(1);
        }
        // The lamp byte may look like a line end, so only the length ends a frame.
        match input.len() {
            STREAM_BYTES.. if input.ends_with(b"\r\n") => Framing::Whole(STREAM_BYTES),
            STREAM_BYTES.. => Framing::Noise(1),
            _ => Framing::More,
        }
    }

    fn answer(&self, _ask: &Ask, frame: &[u8]) -> Answer {
        Answer::Weighed(stream_outcome(frame).unwrap_or(Outcome::Garbled))
    }

    fn unsolicited(&self) -> bool {
        true
    }
}

fn stream_outcome(frame: &[u8]) -> Option<Outcome> {
    let commas = [2, 5, 8].iter().all(|&at| frame.get(at) == Some(&b','));
    if frame.len() != STREAM_BYTES || !commas || frame[17] != b' ' {
        return None;
    }
    let kind = match &frame[3..5] {
        b"GS" => Kind::Gross,
        b"NT" => Kind::Net,
        _ => return None,
    };
    if &frame[..2] == b"OL" {
        return Some(Outcome::OverCapacity);
    }
    Some(settled(&frame[..2], &frame[9..17], &frame[18..20], kind))
}

fn settled(header: &[u8], number: &[u8], unit: &[u8], kind: Kind) -> Outcome {
    let weight = Unit::parse(unit).and_then(|unit| Weight::parse(number, unit));
    let Some(weight) = weight else { return Outcome::Garbled };
    if weight.mantissa() < 0 && kind == Kind::Gross {
        return Outcome::UnderZero;
    }
    let measured = Measured { weight, kind, at_zero: None, priced: None };
    if header == b"ST" {
        Outcome::Stable(measured)
    } else {
        Outcome::InMotion { shown: Some(measured) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::proving::{survives_anything, weigh};
    use super::super::{Event, Pace, PricedAsk, Scale, Weigher};
    use super::*;
    use crate::line::{Line, start};

    const GOLDEN: [u8; 15] =
        [0x01, 0x02, 0x53, 0x20, 0x30, 0x31, 0x2E, 0x32, 0x35, 0x30, 0x6B, 0x67, 0x67, 0x03, 0x04];

    fn kilograms(text: &str, kind: Kind) -> Measured {
        let weight = Weight::parse(text.as_bytes(), Unit::Kilogram).unwrap();
        Measured { weight, kind, at_zero: None, priced: None }
    }

    fn block(text: &[u8]) -> Vec<u8> {
        [&[SOH, STX], text, &[xor(text), ETX, EOT]].concat()
    }

    #[test]
    fn golden_block_after_its_handshake() {
        let now = start();
        let mut scale = Scale::new(CasPos, Pace { every: None, tries: 1 });
        scale.handle_opened(now);
        scale.ask(Ask::Weigh, now);
        assert_eq!(scale.poll_transmit().unwrap().bytes, [ENQ]);
        scale.handle_input(&[ACK], now);
        assert_eq!(scale.poll_transmit().unwrap().bytes, [DC1]);
        scale.handle_input(&GOLDEN, now);
        let Some(Event::Reading(reading)) = scale.poll_event() else { panic!("no reading") };
        assert_eq!(reading.outcome, Outcome::Stable(kilograms("1.250", Kind::Unstated)));
    }

    #[test]
    fn any_single_wrong_byte_in_the_block_is_no_weight() {
        for at in 2..13 {
            let mut bytes = GOLDEN;
            bytes[at] ^= 0x01;
            assert_eq!(weigh(CasPos, &bytes), Outcome::Garbled, "byte {at}");
        }
    }

    #[test]
    fn signs_and_states_are_typed() {
        let shown = Some(kilograms("1.250", Kind::Unstated));
        assert_eq!(weigh(CasPos, &block(b"U 01.250kg")), Outcome::InMotion { shown });
        assert_eq!(weigh(CasPos, &block(b"S-01.250kg")), Outcome::UnderZero);
        assert_eq!(weigh(CasPos, &block(b"SF01.250kg")), Outcome::OverCapacity);
    }

    /// Blocks as on p. 36 of the Aviator's manual: 0.316 kg at 12.34 is 3.90.
    fn priced(amount: &str, weight: &[u8], unit_price: &str) -> Vec<u8> {
        let inner = |text: &[u8]| [&[STX], text, &[xor(text), ETX]].concat();
        let blocks = [inner(amount.as_bytes()), inner(weight), inner(unit_price.as_bytes())];
        [&[SOH][..], &blocks.concat(), &[EOT]].concat()
    }

    fn price_of(answer: &[u8]) -> Outcome {
        let now = start();
        let mut scale = Scale::new(CasPos, Pace { every: None, tries: 1 });
        scale.handle_opened(now);
        let ask = PricedAsk { unit_price: 1234, tare: None, text: None };
        scale.ask(Ask::Price(ask), now);
        assert_eq!(scale.poll_transmit().unwrap().bytes, [ENQ]);
        scale.handle_input(&[ACK], now);
        assert_eq!(scale.poll_transmit().unwrap().bytes, [DC2]);
        scale.handle_input(answer, now);
        let Some(Event::Reading(reading)) = scale.poll_event() else { panic!("no reading") };
        reading.outcome
    }

    #[test]
    fn golden_priced_blocks() {
        let answer = priced("    3.90", b"S 00.316kg", "   12.34");
        assert_eq!(answer.len(), PRICED_BYTES);
        let sold = Priced { unit_price: 1234, amount: 390 };
        let expected = Measured { priced: Some(sold), ..kilograms("0.316", Kind::Unstated) };
        assert_eq!(price_of(&answer), Outcome::Stable(expected));
        for at in 0..answer.len() {
            let mut wrong = answer.clone();
            wrong[at] ^= 0x01;
            assert!(!matches!(price_of_anything(&wrong), Some(Outcome::Stable(_))), "byte {at}");
        }
    }

    /// A broken answer may also be no answer at all.
    fn price_of_anything(answer: &[u8]) -> Option<Outcome> {
        let now = start();
        let mut scale = Scale::new(CasPos, Pace { every: None, tries: 1 });
        scale.handle_opened(now);
        let ask = PricedAsk { unit_price: 1234, tare: None, text: None };
        scale.ask(Ask::Price(ask), now);
        scale.handle_input(&[ACK], now);
        scale.handle_input(answer, now);
        match scale.poll_event()? {
            Event::Reading(reading) => Some(reading.outcome),
            Event::Done(_) | Event::Refused { .. } => None,
        }
    }

    #[test]
    fn a_price_that_is_not_the_tills_or_not_right_is_no_sale() {
        let other = priced("    3.16", b"S 00.316kg", "   10.00");
        assert_eq!(price_of(&other), Outcome::OtherPrice { unit_price: 1000 });
        let wrong = priced("    9.90", b"S 00.316kg", "   12.34");
        assert_eq!(price_of(&wrong), Outcome::Garbled);
        let moving = priced("    0.00", b"U 00.316kg", "   12.34");
        assert!(matches!(price_of(&moving), Outcome::InMotion { .. }));
    }

    #[test]
    fn golden_stream_frames() {
        for (bytes, expected) in [
            (&b"ST,GS,0@,   1.250 kg\r\n"[..], Outcome::Stable(kilograms("1.250", Kind::Gross))),
            (b"ST,NT,0\r,  -0.250 kg\r\n", Outcome::Stable(kilograms("-0.250", Kind::Net))),
            (
                b"US,GS,0@,   1.250 kg\r\n",
                Outcome::InMotion { shown: Some(kilograms("1.250", Kind::Gross)) },
            ),
            (b"OL,GS,0@,   1.250 kg\r\n", Outcome::OverCapacity),
            (b"ST,GS,0@,  -1.250 kg\r\n", Outcome::UnderZero),
            (b"ST,XX,0@,   1.250 kg\r\n", Outcome::Garbled),
        ] {
            let now = start();
            let mut scale = Scale::new(CasStream, Pace { every: None, tries: 1 });
            scale.handle_opened(now);
            scale.handle_input(bytes, now);
            let Some(Event::Reading(reading)) = scale.poll_event() else { panic!("no reading") };
            assert_eq!(reading.outcome, expected);
        }
    }

    #[test]
    fn a_stream_is_its_own_answer() {
        let now = start();
        let mut scale = Scale::new(CasStream, Pace { every: None, tries: 3 });
        scale.handle_opened(now);
        scale.handle_input(b"ST,GS,0@,", now);
        scale.ask(Ask::Weigh, now);
        assert_eq!((scale.poll_transmit(), scale.poll_event()), (None, None));
        scale.handle_input(b"   1.250 kg\r\n", now);
        let Some(Event::Reading(reading)) = scale.poll_event() else { panic!("no reading") };
        assert_eq!(reading.outcome, Outcome::Stable(kilograms("1.250", Kind::Gross)));
    }

    #[test]
    fn any_bytes_in_any_pieces() {
        survives_anything(|| CasPos, &[&[ACK][..], &GOLDEN].concat());
        survives_anything(|| CasStream, b"ST,GS,0@,   1.250 kg\r\n");
    }
}
