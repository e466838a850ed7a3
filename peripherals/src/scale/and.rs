//! A&D standard format.
//!
//! Source: A&D EK-L, GC, EJ and EK-AEP manuals (data format pages), AD-4404 p. 80.
//! `HH,±ddddddd.dd uuu CR LF`; indicators put `GS`, `NT` or `TR` after the first header.
//! An overload shows as `OL` with a number that means nothing; the number is not read.

use super::{Answer, Ask, Framing, Kind, Measured, Outcome, Protocol, Refusal, Unit, Weight};

const ANSWER_MAX: usize = 32;

/// The A&D standard format, asked for with `Q` or streamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct And {
    /// Whether the scale is set to send without being asked.
    pub streams: bool,
}

impl Protocol for And {
    fn request(&self, ask: &Ask) -> Result<Vec<u8>, Refusal> {
        match ask {
            Ask::Weigh => Ok(b"Q\r\n".to_vec()),
            Ask::Zero | Ask::Tare | Ask::TareBy(_) | Ask::ClearTare | Ask::Price(_) => {
                Err(Refusal::Unsupported)
            }
        }
    }

    fn frame(&self, input: &[u8]) -> Framing {
        Framing::of_line(input, ANSWER_MAX)
    }

    fn answer(&self, _ask: &Ask, frame: &[u8]) -> Answer {
        Answer::Weighed(outcome(&frame[..frame.len() - 2]).unwrap_or(Outcome::Garbled))
    }

    fn unsolicited(&self) -> bool {
        self.streams
    }
}

fn outcome(line: &[u8]) -> Option<Outcome> {
    let mut fields = line.split(|&byte| byte == b',');
    let header = fields.next()?;
    let (kind, data) = match (fields.next()?, fields.next()) {
        (data, None) => (Kind::Unstated, data),
        (b"GS", Some(data)) => (Kind::Gross, data),
        (b"NT", Some(data)) => (Kind::Net, data),
        // A comparator's verdict says nothing about gross and net.
        (b"OK" | b"HI" | b"LO", Some(data)) => (Kind::Unstated, data),
        (_, Some(_)) => return None,
    };
    if fields.next().is_some() {
        return None;
    }
    if header == b"OL" {
        return Some(if data.trim_ascii().starts_with(b"-") {
            Outcome::UnderZero
        } else {
            Outcome::OverCapacity
        });
    }
    // Nine characters of number, three of unit.
    if data.len() != 12 || !matches!(data[0], b'+' | b'-' | b' ') {
        return None;
    }
    let weight = Weight::parse(&data[..9], Unit::parse(&data[9..])?)?;
    let measured = Measured { weight, kind, at_zero: None, priced: None };
    match header {
        b"ST" => Some(Outcome::Stable(measured)),
        b"US" => Some(Outcome::InMotion { shown: Some(measured) }),
        // Stable like ST, but pieces and not a weight: the unit `PC` was refused above.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::proving::{survives_anything, weigh};
    use super::*;

    const AND: And = And { streams: false };

    fn grams(text: &str, kind: Kind) -> Measured {
        let weight = Weight::parse(text.as_bytes(), Unit::Gram).unwrap();
        Measured { weight, kind, at_zero: None, priced: None }
    }

    #[test]
    fn golden_answers() {
        for (bytes, expected) in [
            (&b"ST,+00123.45  g\r\n"[..], Outcome::Stable(grams("123.45", Kind::Unstated))),
            (b"ST,NT,+00123.45  g\r\n", Outcome::Stable(grams("123.45", Kind::Net))),
            (
                b"US,+00123.45  g\r\n",
                Outcome::InMotion { shown: Some(grams("123.45", Kind::Unstated)) },
            ),
            (b"OL,+9999999.9\r\n", Outcome::OverCapacity),
            (b"OL,-9999999.9\r\n", Outcome::UnderZero),
            (b"QT,+00000012 PC\r\n", Outcome::Garbled),
            (b"ST,+0012.45  g\r\n", Outcome::Garbled),
            (b"ST,+00123.45  g,\r\n", Outcome::Garbled),
        ] {
            assert_eq!(weigh(AND, bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn any_bytes_in_any_pieces() {
        survives_anything(|| And { streams: true }, b"ST,+00123.45  g\r\n");
    }
}
