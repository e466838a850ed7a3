//! SMA SCP-0499, the open protocol of the Scale Manufacturers Association.
//!
//! Source: SCP-0499 sections 4.1–5.1 as cited by the emupos simulator, whose exchanges are the
//! golden vectors.
//! An answer is `LF s r n m f weight(10) unit(3) CR`; the weight is dashes when there is none.

use super::{Answer, Ask, Framing, Kind, Measured, Outcome, Protocol, Refusal, Unit, Weight};

const LF: u8 = 0x0A;
const CR: u8 = 0x0D;
const ANSWER_BYTES: usize = 20;

/// The SMA protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sma;

impl Protocol for Sma {
    fn request(&self, ask: &Ask) -> Result<Vec<u8>, Refusal> {
        Ok(match ask {
            Ask::Weigh => b"\nW\r".to_vec(),
            Ask::Zero => b"\nZ\r".to_vec(),
            Ask::Tare => b"\nT\r".to_vec(),
            Ask::ClearTare => b"\nC\r".to_vec(),
            Ask::TareBy(weight) => {
                let text = weight.to_string();
                let (number, unit) = text.split_once(' ').ok_or(Refusal::OutOfRange)?;
                if weight.mantissa() <= 0 || number.len() > 10 {
                    return Err(Refusal::OutOfRange);
                }
                format!("\nT{number:>10}{unit:_<3}\r").into_bytes()
            }
            Ask::Price(_) => return Err(Refusal::Unsupported),
        })
    }

    fn frame(&self, input: &[u8]) -> Framing {
        if input[0] != LF {
            let next = input.iter().position(|&byte| byte == LF);
            return Framing::Noise(next.unwrap_or(input.len()));
        }
        match input[1..].iter().position(|&byte| byte == CR || byte == LF) {
            Some(at) if input[at + 1] == CR => Framing::Whole(at + 2),
            Some(at) => Framing::Noise(at + 1),
            None if input.len() > ANSWER_BYTES => Framing::Noise(1),
            None => Framing::More,
        }
    }

    fn answer(&self, ask: &Ask, frame: &[u8]) -> Answer {
        if frame == b"\n?\r" {
            return match ask {
                Ask::Weigh => Answer::Weighed(Outcome::DeviceError { code: u16::from(b'?') }),
                Ask::Zero | Ask::Tare | Ask::TareBy(_) | Ask::ClearTare | Ask::Price(_) => {
                    Answer::Refused(Refusal::Unsupported)
                }
            };
        }
        let Some(fields) = Fields::parse(frame) else {
            return Answer::Weighed(Outcome::Garbled);
        };
        match ask {
            Ask::Weigh => Answer::Weighed(fields.outcome()),
            Ask::Zero => fields.carried_out(fields.status == b'Z'),
            Ask::Tare | Ask::TareBy(_) => {
                fields.carried_out(fields.status != b'T' && fields.kind == Kind::Net)
            }
            Ask::ClearTare => fields.carried_out(fields.kind == Kind::Gross),
            Ask::Price(_) => Answer::Refused(Refusal::Unsupported),
        }
    }
}

struct Fields<'a> {
    status: u8,
    kind: Kind,
    moving: bool,
    weight: &'a [u8],
    unit: &'a [u8],
}

impl<'a> Fields<'a> {
    fn parse(frame: &'a [u8]) -> Option<Self> {
        let [LF, status, _range, kind, motion, _reserved, rest @ ..] = frame else { return None };
        if frame.len() != ANSWER_BYTES {
            return None;
        }
        let kind = match kind {
            b'G' | b'g' => Kind::Gross,
            b'N' | b'n' => Kind::Net,
            _ => return None,
        };
        let moving = match motion {
            b'M' => true,
            b' ' => false,
            _ => return None,
        };
        Some(Self { status: *status, kind, moving, weight: &rest[..10], unit: &rest[10..13] })
    }

    fn carried_out(&self, yes: bool) -> Answer {
        if yes { Answer::Done } else { Answer::Refused(Refusal::NotNow) }
    }

    fn outcome(&self) -> Outcome {
        match self.status {
            b'O' => return Outcome::OverCapacity,
            b'U' => return Outcome::UnderZero,
            b'E' | b'I' => return Outcome::OutsideZeroRange,
            b'T' => return Outcome::DeviceError { code: u16::from(b'T') },
            b' ' | b'Z' => {}
            _ => return Outcome::Garbled,
        }
        let weight = Unit::parse(self.unit).and_then(|unit| Weight::parse(self.weight, unit));
        let Some(weight) = weight else { return Outcome::Garbled };
        let at_zero = Some(self.status == b'Z');
        let measured = Measured { weight, kind: self.kind, at_zero, priced: None };
        if self.moving {
            Outcome::InMotion { shown: Some(measured) }
        } else {
            Outcome::Stable(measured)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::proving::{ask, survives_anything, weigh};
    use super::*;

    fn kilograms(text: &str, at_zero: bool) -> Measured {
        let weight = Weight::parse(text.as_bytes(), Unit::Kilogram).unwrap();
        Measured { weight, kind: Kind::Gross, at_zero: Some(at_zero), priced: None }
    }

    #[test]
    fn golden_answers() {
        for (bytes, expected) in [
            (&b"\n 1G       1.250kg_\r"[..], Outcome::Stable(kilograms("1.250", false))),
            (b"\nZ1G       0.000kg_\r", Outcome::Stable(kilograms("0.000", true))),
            (
                b"\n 1GM      1.250kg_\r",
                Outcome::InMotion { shown: Some(kilograms("1.250", false)) },
            ),
            (b"\nO1G       44.09lb_\r", Outcome::OverCapacity),
            (b"\nU1G       -2.20lb_\r", Outcome::UnderZero),
            (b"\nE1G  ----------lb_\r", Outcome::OutsideZeroRange),
            (b"\nI1G  ----------lb_\r", Outcome::OutsideZeroRange),
            (b"\n 1G  ----------lb_\r", Outcome::Garbled),
            (b"\n?\r", Outcome::DeviceError { code: 0x3F }),
        ] {
            assert_eq!(weigh(Sma, bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn the_golden_answer_is_the_recorded_one() {
        let recorded = [
            0x0A, 0x20, 0x31, 0x47, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x31, 0x2E, 0x32,
            0x35, 0x30, 0x6B, 0x67, 0x5F, 0x0D,
        ];
        assert_eq!(weigh(Sma, &recorded), Outcome::Stable(kilograms("1.250", false)));
    }

    #[test]
    fn zero_and_tare_are_done_only_when_the_answer_shows_it() {
        assert_eq!(ask(Sma, Ask::Zero, b"\nZ1G       0.000kg_\r"), Event::Done(Ask::Zero));
        let refused = |ask| Event::Refused { ask, why: Refusal::NotNow };
        assert_eq!(ask(Sma, Ask::Zero, b"\n 1G       1.250kg_\r"), refused(Ask::Zero));
        assert_eq!(ask(Sma, Ask::Tare, b"\n 1N       0.000kg_\r"), Event::Done(Ask::Tare));
        assert_eq!(ask(Sma, Ask::Tare, b"\nT1G       1.250kg_\r"), refused(Ask::Tare));
    }

    #[test]
    fn a_tare_by_value_fills_the_fields() {
        let weight = Weight::parse(b"0.250", Unit::Kilogram).unwrap();
        assert_eq!(Sma.request(&Ask::TareBy(weight)), Ok(b"\nT     0.250kg_\r".to_vec()));
    }

    #[test]
    fn any_bytes_in_any_pieces() {
        survives_anything(|| Sma, b"\n 1G       1.250kg_\r");
    }
}
