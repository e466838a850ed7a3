//! MT-SICS, the Mettler-Toledo Standard Interface Command Set, levels 0 and 1.
//!
//! Source: Mettler AT/ML operating instructions p. 87 (`S`), MT-SICS reference 11780711 (`SI`,
//! `Z`, `T`, `TA`, `TAC`, error answers).
//! Weighing uses `SI`, which answers at once with `S S` (settled) or `S D` (dynamic); `S` would
//! wait inside the scale.
//! Some devices answer with the command's own name, `SI S …`; both are understood.

use super::{Answer, Ask, Framing, Kind, Measured, Outcome, Protocol, Refusal, Unit, Weight};

/// The longest answer understood; balances answer inquiries with more, which is not asked for.
const ANSWER_MAX: usize = 64;
/// Characters of a weight.
const NUMBER_CHARS: usize = 10;

/// The MT-SICS protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sics;

impl Protocol for Sics {
    fn request(&self, ask: &Ask) -> Result<Vec<u8>, Refusal> {
        Ok(match ask {
            Ask::Weigh => b"SI\r\n".to_vec(),
            Ask::Zero => b"Z\r\n".to_vec(),
            Ask::Tare => b"T\r\n".to_vec(),
            Ask::ClearTare => b"TAC\r\n".to_vec(),
            Ask::TareBy(weight) if weight.mantissa() > 0 => format!("TA {weight}\r\n").into_bytes(),
            Ask::TareBy(_) => return Err(Refusal::OutOfRange),
            Ask::Price(_) => return Err(Refusal::Unsupported),
        })
    }

    fn patience(&self, ask: &Ask) -> std::time::Duration {
        // Zero and tare wait inside the scale for a settled plate.
        std::time::Duration::from_millis(match ask {
            Ask::Zero | Ask::Tare => 6000,
            Ask::Weigh | Ask::TareBy(_) | Ask::ClearTare | Ask::Price(_) => 300,
        })
    }

    fn frame(&self, input: &[u8]) -> Framing {
        Framing::of_line(input, ANSWER_MAX)
    }

    fn answer(&self, ask: &Ask, frame: &[u8]) -> Answer {
        let words: Vec<&[u8]> = frame
            .trim_ascii()
            .split(|&byte| byte == b' ')
            .filter(|word| !word.is_empty())
            .collect();
        match (ask, words.as_slice()) {
            (Ask::Weigh, [b"S" | b"SI", rest @ ..]) => Answer::Weighed(weighed(rest, frame)),
            (Ask::Weigh, [b"ET"]) => Answer::Weighed(Outcome::Garbled),
            (Ask::Weigh, [b"ES"]) => {
                Answer::Weighed(Outcome::DeviceError { code: u16::from(b'S') })
            }
            (Ask::Weigh, [b"EL"]) => {
                Answer::Weighed(Outcome::DeviceError { code: u16::from(b'L') })
            }
            (Ask::Zero, [b"Z", b"A"])
            | (Ask::Tare, [b"T", b"S", ..])
            | (Ask::TareBy(_), [b"TA", b"A", ..])
            | (Ask::ClearTare, [b"TAC", b"A"]) => Answer::Done,
            (Ask::Zero, [b"Z", b"I" | b"+" | b"-"])
            | (Ask::Tare, [b"T", b"I" | b"+" | b"-"])
            | (Ask::TareBy(_), [b"TA", b"I"])
            | (Ask::ClearTare, [b"TAC", b"I"]) => Answer::Refused(Refusal::NotNow),
            (Ask::TareBy(_), [b"TA", b"L"]) => Answer::Refused(Refusal::OutOfRange),
            (Ask::Weigh, _) => Answer::Weighed(Outcome::Garbled),
            (_, [b"ES"]) => Answer::Refused(Refusal::Unsupported),
            _ => Answer::Refused(Refusal::Garbled),
        }
    }
}

fn weighed(words: &[&[u8]], frame: &[u8]) -> Outcome {
    match words {
        [_, _, _] if !is_whole(frame) => Outcome::Garbled,
        [b"S", number, unit] => measured(number, unit).map_or(Outcome::Garbled, Outcome::Stable),
        [b"D", number, unit] => measured(number, unit)
            .map_or(Outcome::Garbled, |shown| Outcome::InMotion { shown: Some(shown) }),
        [b"I"] => Outcome::NotReady,
        [b"+"] => Outcome::OverCapacity,
        [b"-"] => Outcome::UnderZero,
        _ => Outcome::Garbled,
    }
}

/// Whether the number stands in its field of ten characters, blanks before it: there is no check,
/// and of a number that lost a digit on the line the width alone tells.
fn is_whole(frame: &[u8]) -> bool {
    let text = frame.trim_ascii_end();
    let Some(unit) = text.iter().rposition(|byte| *byte == b' ') else { return false };
    let Some(field) = unit.checked_sub(NUMBER_CHARS) else { return false };
    let before = &text[..field];
    let is_right = text[field..unit].trim_ascii_start().iter().all(u8::is_ascii_graphic);
    is_right && matches!(before, b"S S " | b"S D " | b"SI S " | b"SI D ")
}

fn measured(number: &[u8], unit: &[u8]) -> Option<Measured> {
    let weight = Weight::parse(number, Unit::parse(unit)?)?;
    Some(Measured { weight, kind: Kind::Unstated, at_zero: None, priced: None })
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::proving::{ask, survives_anything, weigh};
    use super::*;

    fn kilograms(text: &str) -> Measured {
        let weight = Weight::parse(text.as_bytes(), Unit::Kilogram).unwrap();
        Measured { weight, kind: Kind::Unstated, at_zero: None, priced: None }
    }

    #[test]
    fn golden_answers() {
        let moving = Outcome::InMotion { shown: Some(kilograms("1.250")) };
        for (bytes, expected) in [
            (&b"S S      1.250 kg\r\n"[..], Outcome::Stable(kilograms("1.250"))),
            (b"SI S      1.250 kg\r\n", Outcome::Stable(kilograms("1.250"))),
            (b"S S     -0.010 kg\r\n", Outcome::Stable(kilograms("-0.010"))),
            (b"S D      1.250 kg\r\n", moving),
            (b"S I\r\n", Outcome::NotReady),
            (b"S +\r\n", Outcome::OverCapacity),
            (b"S -\r\n", Outcome::UnderZero),
            (b"ET\r\n", Outcome::Garbled),
            (b"ES\r\n", Outcome::DeviceError { code: 0x53 }),
            (b"S S      1.250\r\n", Outcome::Garbled),
            (b"S S      1.250 xx\r\n", Outcome::Garbled),
        ] {
            assert_eq!(weigh(Sics, bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_number_that_lost_a_character_is_no_weight() {
        let whole = b"S S      1.250 kg\r\n";
        // Up to the unit: grams are what is left of kilograms that lost their first letter.
        for lost in 0..whole.len() - 4 {
            let mut bytes = whole.to_vec();
            bytes.remove(lost);
            assert_eq!(weigh(Sics, &bytes), Outcome::Garbled, "character {lost}");
        }
    }

    #[test]
    fn commands_report_what_the_scale_says() {
        let refused = |ask, why| Event::Refused { ask, why };
        assert_eq!(ask(Sics, Ask::Zero, b"Z A\r\n"), Event::Done(Ask::Zero));
        assert_eq!(ask(Sics, Ask::Zero, b"Z I\r\n"), refused(Ask::Zero, Refusal::NotNow));
        assert_eq!(ask(Sics, Ask::Tare, b"T S  0.250 kg\r\n"), Event::Done(Ask::Tare));
        assert_eq!(ask(Sics, Ask::ClearTare, b"TAC A\r\n"), Event::Done(Ask::ClearTare));
        assert_eq!(ask(Sics, Ask::Tare, b"ES\r\n"), refused(Ask::Tare, Refusal::Unsupported));
        let weight = Weight::parse(b"0.250", Unit::Kilogram).unwrap();
        assert_eq!(Sics.request(&Ask::TareBy(weight)), Ok(b"TA 0.250 kg\r\n".to_vec()));
    }

    #[test]
    fn any_bytes_in_any_pieces() {
        survives_anything(|| Sics, b"S S      1.250 kg\r\n");
    }
}
