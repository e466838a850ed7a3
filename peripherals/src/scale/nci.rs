//! NCI / Weigh-Tronix SCP-01 ("ECR").
//!
//! Source: Mettler-Toledo DIVA Service Manual p. 35–37, Ohaus Aviator 7000 p. 49, Avery
//! Weigh-Tronix 7821 p. 25, Salter-Brecknell 3700LP.
//!
//! An answer is `LF weight unit CR LF status CR ETX`, or the status alone when there is no weight
//! to give.
//! Some makers put an `S` before the status bytes; it cannot be one of them, as the first status
//! byte never has bit 6 set.
//! A status byte always has bits 4 and 5 set, which is the only check this protocol has; it is
//! verified.

use super::{Answer, Ask, Framing, Kind, Measured, Outcome, Protocol, Refusal, Unit, Weight};

const LF: u8 = 0x0A;
const CR: u8 = 0x0D;
const ETX: u8 = 0x03;
/// Longer than any answer, so that noise without an end is given up.
const ANSWER_MAX: usize = 32;

/// The NCI protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nci;

impl Protocol for Nci {
    fn request(&self, ask: &Ask) -> Result<Vec<u8>, Refusal> {
        match ask {
            Ask::Weigh => Ok(b"W\r".to_vec()),
            Ask::Zero => Ok(b"Z\r".to_vec()),
            Ask::Tare | Ask::TareBy(_) | Ask::ClearTare | Ask::Price(_) => {
                Err(Refusal::Unsupported)
            }
        }
    }

    fn frame(&self, input: &[u8]) -> Framing {
        if input[0] != LF {
            let next = input.iter().position(|&byte| byte == LF);
            return Framing::Noise(next.unwrap_or(input.len()));
        }
        match input.windows(2).position(|pair| pair == [CR, ETX]) {
            Some(at) => Framing::Whole(at + 2),
            None if input.len() > ANSWER_MAX => Framing::Noise(1),
            None => Framing::More,
        }
    }

    fn answer(&self, ask: &Ask, frame: &[u8]) -> Answer {
        let body = &frame[1..frame.len() - 2];
        if body == b"?" {
            return match ask {
                Ask::Weigh => Answer::Weighed(Outcome::DeviceError { code: u16::from(b'?') }),
                Ask::Zero | Ask::Tare | Ask::TareBy(_) | Ask::ClearTare | Ask::Price(_) => {
                    Answer::Refused(Refusal::Unsupported)
                }
            };
        }
        let (number, status) = match body.iter().position(|&byte| byte == CR) {
            Some(at) if body.get(at + 1) == Some(&LF) => (Some(&body[..at]), &body[at + 2..]),
            Some(_) => return Answer::Weighed(Outcome::Garbled),
            None => (None, body),
        };
        let Some(status) = Status::parse(status) else {
            return Answer::Weighed(Outcome::Garbled);
        };
        match ask {
            Ask::Weigh => Answer::Weighed(status.outcome(number)),
            Ask::Zero if status.refuses() => Answer::Refused(Refusal::NotNow),
            Ask::Zero | Ask::Tare | Ask::TareBy(_) | Ask::ClearTare | Ask::Price(_) => Answer::Done,
        }
    }
}

/// The status bytes; absent optional ones count as nothing set.
struct Status {
    first: u8,
    second: u8,
    third: u8,
}

impl Status {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(b"S").unwrap_or(bytes);
        let valid = (2..=4).contains(&bytes.len())
            && bytes.iter().all(|byte| byte & 0xB0 == 0x30)
            && bytes[0] & 0x40 == 0;
        valid.then(|| Self {
            first: bytes[0],
            second: bytes[1],
            third: bytes.get(2).copied().unwrap_or(0x30),
        })
    }

    fn refuses(&self) -> bool {
        self.first & 0x0D != 0 || self.second & 0x0F != 0 || self.third & 0x08 != 0
    }

    fn outcome(&self, number: Option<&[u8]>) -> Outcome {
        let broken = u16::from(self.first & 0x0C) | u16::from(self.second & 0x0C) << 4;
        if broken != 0 {
            return Outcome::DeviceError { code: broken };
        }
        if self.second & 0x02 != 0 {
            return Outcome::OverCapacity;
        }
        if self.second & 0x01 != 0 {
            return Outcome::UnderZero;
        }
        if self.third & 0x08 != 0 {
            return Outcome::OutsideZeroRange;
        }
        let measured = match number.map(|number| self.measured(number)) {
            Some(None) => return Outcome::Garbled,
            Some(measured) => measured,
            None => None,
        };
        match measured {
            shown if self.first & 0x01 != 0 => Outcome::InMotion { shown },
            Some(measured) => Outcome::Stable(measured),
            None => Outcome::NotReady,
        }
    }

    fn measured(&self, text: &[u8]) -> Option<Measured> {
        let text = text.trim_ascii();
        let unit_at = text.iter().position(|byte| {
            !byte.is_ascii_digit() && !matches!(byte, b'.' | b'-' | b'+' | b' ')
        })?;
        let weight = Weight::parse(&text[..unit_at], Unit::parse(&text[unit_at..])?)?;
        let kind = if self.third & 0x04 != 0 { Kind::Net } else { Kind::Gross };
        let at_zero = Some(self.first & 0x02 != 0);
        (weight.mantissa() >= 0).then_some(Measured { weight, kind, at_zero, priced: None })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::proving::{ask, survives_anything, weigh};
    use super::*;

    fn pounds(text: &str, kind: Kind, at_zero: bool) -> Measured {
        let weight = Weight::parse(text.as_bytes(), Unit::Pound).unwrap();
        Measured { weight, kind, at_zero: Some(at_zero), priced: None }
    }

    #[test]
    fn golden_answers() {
        for (bytes, expected) in [
            (&b"\n0001.25LB\r\nS00\r\x03"[..], Outcome::Stable(pounds("1.25", Kind::Gross, false))),
            (b"\n0001.25LB\r\n00\r\x03", Outcome::Stable(pounds("1.25", Kind::Gross, false))),
            (b"\n0000.00LB\r\n2p0\r\x03", Outcome::Stable(pounds("0.00", Kind::Gross, true))),
            (b"\n0001.00LB\r\n0p4\r\x03", Outcome::Stable(pounds("1.00", Kind::Net, false))),
            (b"\nS10\r\x03", Outcome::InMotion { shown: None }),
            (b"\n01\r\x03", Outcome::UnderZero),
            (b"\n02\r\x03", Outcome::OverCapacity),
            (b"\n0p8\r\x03", Outcome::OutsideZeroRange),
            (b"\n40\r\x03", Outcome::DeviceError { code: 4 }),
            (b"\n04\r\x03", Outcome::DeviceError { code: 0x40 }),
        ] {
            assert_eq!(weigh(Nci, bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_weight_beside_an_error_bit_is_no_weight() {
        assert_eq!(weigh(Nci, b"\n0001.25LB\r\n02\r\x03"), Outcome::OverCapacity);
        let shown = Some(pounds("1.25", Kind::Gross, false));
        assert_eq!(weigh(Nci, b"\n0001.25LB\r\n10\r\x03"), Outcome::InMotion { shown });
    }

    #[test]
    fn status_bytes_without_their_fixed_bits_are_garbage() {
        for bytes in
            [&b"\n0001.25LB\r\n\x10\x30\r\x03"[..], b"\n0001.25LB\r\n0\r\x03", b"\n1.25\r\x03"]
        {
            assert_eq!(weigh(Nci, bytes), Outcome::Garbled);
        }
    }

    #[test]
    fn a_scale_that_does_not_know_zero_says_so() {
        let refused = Event::Refused { ask: Ask::Zero, why: Refusal::Unsupported };
        assert_eq!(ask(Nci, Ask::Zero, b"\n?\r\x03"), refused);
        assert_eq!(ask(Nci, Ask::Zero, b"\n20\r\x03"), Event::Done(Ask::Zero));
    }

    #[test]
    fn any_bytes_in_any_pieces() {
        survives_anything(|| Nci, b"\n0001.25LB\r\nS00\r\x03");
    }
}
