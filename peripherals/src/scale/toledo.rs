//! Mettler-Toledo 8217 and 8213, "ECR weight only".
//!
//! Source: Mettler-Toledo DIVA Service Manual, p. 39–45 (commands, status and confidence bytes);
//! Rice Lake BenchPro p. 30 and Salter-Brecknell 3700LP p. 11 (8213); answers of Ariva-S scales
//! as recorded by other drivers.
//!
//! Traps kept in mind:
//! - the status byte may itself be a carriage return or a start byte, so a status answer is known
//!   by its length and never by its end;
//! - bit 6 of the status byte means different things to different makers and is not looked at;
//! - an answer without any error bit after `W` means "nothing new", not "zero"; and it never is a
//!   weight by itself, though one at the centre of zero says that the plate is empty.

use std::time::Duration;

use super::{Answer, Ask, Framing, Kind, Measured, Outcome, Protocol, Refusal, Unit, Weight};

const STX: u8 = 0x02;
const CR: u8 = 0x0D;

const MOTION: u8 = 0x01;
const OVER: u8 = 0x02;
const UNDER: u8 = 0x04;
const OUTSIDE_ZERO: u8 = 0x08;
const AT_ZERO: u8 = 0x10;
const NET: u8 = 0x20;

/// The 8217 protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toledo8217 {
    /// What the scale is set to; the answer itself names no unit.
    pub unit: Unit,
    /// Whether this model wants a carriage return after tare commands.
    pub tare_ends_in_cr: bool,
}

impl Default for Toledo8217 {
    fn default() -> Self {
        Self { unit: Unit::Kilogram, tare_ends_in_cr: false }
    }
}

impl Toledo8217 {
    /// Pounds come as `dd.dd`, kilograms as `dd.ddd`.
    fn decimals(&self) -> u8 {
        match self.unit {
            Unit::Pound => 2,
            Unit::Kilogram | Unit::Gram | Unit::Ounce => 3,
        }
    }
}

impl Protocol for Toledo8217 {
    fn request(&self, ask: &Ask) -> Result<Vec<u8>, Refusal> {
        let mut bytes = match ask {
            Ask::Weigh => return Ok(b"W".to_vec()),
            Ask::Zero => return Ok(b"Z".to_vec()),
            Ask::Tare => b"T".to_vec(),
            Ask::ClearTare => b"C".to_vec(),
            Ask::TareBy(weight) => {
                let steps = weight.mantissa_at(self.decimals()).ok_or(Refusal::OutOfRange)?;
                if weight.unit() != self.unit || !(1..=99_999).contains(&steps) {
                    return Err(Refusal::OutOfRange);
                }
                format!("T{steps:05}").into_bytes()
            }
            Ask::Price(_) => return Err(Refusal::Unsupported),
        };
        if self.tare_ends_in_cr {
            bytes.push(CR);
        }
        Ok(bytes)
    }

    fn patience(&self, ask: &Ask) -> Duration {
        // Tare commands are answered 150 ms late by design.
        match ask {
            Ask::Tare | Ask::TareBy(_) | Ask::ClearTare => Duration::from_millis(450),
            Ask::Weigh | Ask::Zero | Ask::Price(_) => Duration::from_millis(300),
        }
    }

    fn frame(&self, input: &[u8]) -> Framing {
        frame(input, usize::from(self.decimals()) + 6)
    }

    fn answer(&self, ask: &Ask, frame: &[u8]) -> Answer {
        if let Some(status) = status(frame) {
            let kind = if status & NET == 0 { Kind::Gross } else { Kind::Net };
            return status_answer(ask, status, kind);
        }
        let body = &frame[1..frame.len() - 1];
        let (number, kind) = match body.split_last() {
            Some((b'N', number)) => (number, Kind::Net),
            Some(_) | None => (body, Kind::Gross),
        };
        weight_answer(ask, number, 2, self.decimals(), self.unit, kind)
    }
}

/// The 8213 protocol: three digits before the point, two behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toledo8213 {
    /// What the scale is set to; the answer itself names no unit.
    pub unit: Unit,
}

impl Protocol for Toledo8213 {
    fn request(&self, ask: &Ask) -> Result<Vec<u8>, Refusal> {
        match ask {
            Ask::Weigh => Ok(b"W".to_vec()),
            Ask::Zero => Ok(b"Z".to_vec()),
            Ask::Tare | Ask::TareBy(_) | Ask::ClearTare | Ask::Price(_) => {
                Err(Refusal::Unsupported)
            }
        }
    }

    fn frame(&self, input: &[u8]) -> Framing {
        frame(input, 8)
    }

    fn answer(&self, ask: &Ask, frame: &[u8]) -> Answer {
        match status(frame) {
            // Its bit for a net weight is always set.
            Some(status) => status_answer(ask, status, Kind::Unstated),
            None => {
                let number = &frame[1..frame.len() - 1];
                weight_answer(ask, number, 3, 2, self.unit, Kind::Unstated)
            }
        }
    }
}

fn frame(input: &[u8], longest: usize) -> Framing {
    if input[0] != STX {
        let next = input.iter().position(|&byte| byte == STX);
        return Framing::Noise(next.unwrap_or(input.len()));
    }
    match input.get(1) {
        Some(b'?') if input.len() < 4 => Framing::More,
        Some(b'?') if input[3] == CR => Framing::Whole(4),
        Some(b'?') => Framing::Noise(1),
        Some(_) | None => match input[1..].iter().position(|&byte| byte == CR || byte == STX) {
            Some(at) if input[at + 1] == CR => Framing::Whole(at + 2),
            Some(at) => Framing::Noise(at + 1),
            None if input.len() > longest => Framing::Noise(1),
            None => Framing::More,
        },
    }
}

fn status(frame: &[u8]) -> Option<u8> {
    match frame {
        [STX, b'?', status, CR] => Some(*status),
        _ => None,
    }
}

fn status_answer(ask: &Ask, status: u8, kind: Kind) -> Answer {
    // A byte with the top bit set was read with the wrong parity setting.
    if status >= 0x80 {
        return match ask {
            Ask::Weigh => Answer::Weighed(Outcome::Garbled),
            Ask::Zero | Ask::Tare | Ask::TareBy(_) | Ask::ClearTare | Ask::Price(_) => {
                Answer::Refused(Refusal::Garbled)
            }
        };
    }
    if *ask != Ask::Weigh {
        let refused = status & (MOTION | OVER | UNDER | OUTSIDE_ZERO) != 0;
        return if refused { Answer::Refused(Refusal::NotNow) } else { Answer::Done };
    }
    Answer::Weighed(if status & OVER != 0 {
        Outcome::OverCapacity
    } else if status & UNDER != 0 {
        Outcome::UnderZero
    } else if status & MOTION != 0 {
        Outcome::InMotion { shown: None }
    } else if status & OUTSIDE_ZERO != 0 {
        Outcome::OutsideZeroRange
    } else if status & AT_ZERO != 0 {
        // At the centre of zero nothing lies on the plate, whatever was reported before.
        Outcome::Empty
    } else {
        Outcome::Unchanged { kind }
    })
}

fn weight_answer(
    ask: &Ask,
    number: &[u8],
    whole: usize,
    decimals: u8,
    unit: Unit,
    kind: Kind,
) -> Answer {
    if *ask != Ask::Weigh {
        return Answer::Refused(Refusal::Garbled);
    }
    // The number of digits is the only sign of the unit, so it must be the expected one.
    let shaped = number.len() == whole + 1 + usize::from(decimals)
        && number
            .iter()
            .enumerate()
            .all(|(at, byte)| if at == whole { *byte == b'.' } else { byte.is_ascii_digit() });
    let weight = if shaped { Weight::parse(number, unit) } else { None };
    Answer::Weighed(weight.map_or(Outcome::Garbled, |weight| {
        Outcome::Stable(Measured { weight, kind, at_zero: None, priced: None })
    }))
}

#[cfg(test)]
mod tests {
    use super::super::proving::{ask, survives_anything, weigh};
    use super::super::{Event, Reading};
    use super::*;

    fn kilograms(text: &str, kind: Kind) -> Outcome {
        let weight = Weight::parse(text.as_bytes(), Unit::Kilogram).unwrap();
        Outcome::Stable(Measured { weight, kind, at_zero: None, priced: None })
    }

    #[test]
    fn golden_answers_of_the_8217() {
        let kg = Toledo8217::default;
        let pounds = || Toledo8217 { unit: Unit::Pound, tare_ends_in_cr: false };
        assert_eq!(weigh(kg(), b"\x0201.250\x0d"), kilograms("1.250", Kind::Gross));
        assert_eq!(weigh(kg(), b"\x0200.200N\x0d"), kilograms("0.200", Kind::Net));
        let moving = Outcome::InMotion { shown: None };
        for (status, expected) in [
            (0x01, moving.clone()),
            (0x02, Outcome::OverCapacity),
            (0x04, Outcome::UnderZero),
            (0x24, Outcome::UnderZero),
            (0x44, Outcome::UnderZero),
            (0x08, Outcome::OutsideZeroRange),
            (0x0d, Outcome::UnderZero),
            (0x03, Outcome::OverCapacity),
            (0x21, moving),
            (0x50, Outcome::Empty),
            (0x10, Outcome::Empty),
            (0x20, Outcome::Unchanged { kind: Kind::Net }),
            (0x40, Outcome::Unchanged { kind: Kind::Gross }),
            (0x00, Outcome::Unchanged { kind: Kind::Gross }),
        ] {
            assert_eq!(weigh(kg(), &[STX, b'?', status, CR]), expected, "status {status:02x}");
        }
        assert!(matches!(weigh(pounds(), b"\x0202.75\x0d"), Outcome::Stable(_)));
    }

    #[test]
    fn a_pound_answer_on_a_kilogram_scale_is_no_weight() {
        assert_eq!(weigh(Toledo8217::default(), b"\x0202.75\x0d"), Outcome::Garbled);
        let pounds = Toledo8217 { unit: Unit::Pound, tare_ends_in_cr: false };
        assert_eq!(weigh(pounds, b"\x0201.250\x0d"), Outcome::Garbled);
    }

    #[test]
    fn the_8213_has_three_digits_before_the_point() {
        let scale = || Toledo8213 { unit: Unit::Pound };
        let weight = Weight::parse(b"12.34", Unit::Pound).unwrap();
        let kind = Kind::Unstated;
        let expected = Outcome::Stable(Measured { weight, kind, at_zero: None, priced: None });
        assert_eq!(weigh(scale(), b"\x02012.34\x0d"), expected);
        assert_eq!(weigh(scale(), b"\x02?\x64\x0d"), Outcome::UnderZero);
        assert_eq!(weigh(scale(), b"\x0212.34\x0d"), Outcome::Garbled);
    }

    #[test]
    fn a_tare_by_value_is_five_digits_in_the_scales_own_steps() {
        let scale = Toledo8217 { unit: Unit::Kilogram, tare_ends_in_cr: true };
        let tare = |text: &str, unit| Ask::TareBy(Weight::parse(text.as_bytes(), unit).unwrap());
        assert_eq!(scale.request(&tare("0.05", Unit::Kilogram)), Ok(b"T00050\r".to_vec()));
        assert_eq!(scale.request(&tare("0.05", Unit::Pound)), Err(Refusal::OutOfRange));
        assert_eq!(scale.request(&tare("0.0005", Unit::Kilogram)), Err(Refusal::OutOfRange));
        assert_eq!(scale.request(&tare("-1", Unit::Kilogram)), Err(Refusal::OutOfRange));
    }

    #[test]
    fn zero_and_tare_report_what_the_status_says() {
        let kg = Toledo8217::default;
        assert_eq!(ask(kg(), Ask::Zero, b"\x02?\x50\x0d"), Event::Done(Ask::Zero));
        let refused = Event::Refused { ask: Ask::Tare, why: Refusal::NotNow };
        assert_eq!(ask(kg(), Ask::Tare, b"\x02?\x01\x0d"), refused);
    }

    #[test]
    fn noise_before_an_answer_costs_nothing() {
        assert_eq!(
            weigh(Toledo8217::default(), b"\x00xx\x0d\x02\x0201.250\x0d"),
            kilograms("1.250", Kind::Gross)
        );
    }

    #[test]
    fn only_a_settled_weight_above_zero_can_be_sold() {
        let at = crate::line::start();
        let reading = |outcome| Reading { outcome, at, raw: Vec::new(), is_first: true };
        assert!(reading(kilograms("1.250", Kind::Gross)).sellable().is_some());
        assert!(reading(kilograms("0.000", Kind::Gross)).sellable().is_none());
        assert!(reading(Outcome::Unchanged { kind: Kind::Gross }).sellable().is_none());
    }

    #[test]
    fn any_bytes_in_any_pieces() {
        survives_anything(Toledo8217::default, b"\x0201.250\x0d\x02?\x0d\x0d");
        survives_anything(|| Toledo8213 { unit: Unit::Pound }, b"\x02012.34\x0d");
    }
}
