//! The records of Checkout-Dialog 06: bytes on one side, meaning on the other.

use super::super::{Kind, Measured, Priced, PricedAsk, Unit, Weight};

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const EOT: u8 = 0x04;
const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
const NAK: u8 = 0x15;
const ESC: u8 = 0x1B;

const PRICE_MAX: u32 = 999_999;
const TARE_MAX: u16 = 9_999;
const TEXT_CHARS: usize = 13;
/// Record 02 is the longest, at 29 bytes.
const RECORD_MAX: usize = 48;
const PAIRS_MAX: usize = 5;

/// The numbers agreed with the scale's maker for one approval, provisioned as a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Approval {
    pairs: Vec<(u16, u16)>,
}

impl std::fmt::Debug for Approval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Approval(…)")
    }
}

impl Approval {
    /// One to five pairs: the checksum of a verified part of the software, and its key remainder.
    #[must_use]
    pub fn new(pairs: Vec<(u16, u16)>) -> Option<Self> {
        (1..=PAIRS_MAX).contains(&pairs.len()).then_some(Self { pairs })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Ack,
    Nak,
    Record(Record),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Result(Measured),
    Status(u16),
    /// The scale demands the proof, scrambled by this number.
    Challenge(u8),
    Verdict {
        valid: bool,
    },
}

pub(super) fn poll() -> Vec<u8> {
    vec![EOT, ENQ]
}

pub(super) fn why() -> Vec<u8> {
    vec![EOT, STX, b'0', b'8', ETX]
}

/// Record 01, 03, 04 or 05, by what the question carries; `None` if a field overflows.
pub(super) fn price(ask: &PricedAsk) -> Option<Vec<u8>> {
    if ask.unit_price == 0 || ask.unit_price > PRICE_MAX || ask.tare.is_some_and(|t| t > TARE_MAX) {
        return None;
    }
    let number = match (&ask.tare, &ask.text) {
        (None, None) => "01",
        (Some(_), None) => "03",
        (None, Some(_)) => "04",
        (Some(_), Some(_)) => "05",
    };
    let mut bytes = vec![EOT, STX];
    bytes.extend_from_slice(number.as_bytes());
    bytes.push(ESC);
    bytes.extend_from_slice(format!("{:06}", ask.unit_price).as_bytes());
    bytes.push(ESC);
    if let Some(tare) = ask.tare {
        bytes.extend_from_slice(format!("{tare:04}").as_bytes());
        if ask.text.is_some() {
            bytes.push(ESC);
        }
    }
    if let Some(text) = &ask.text {
        let mut shown: Vec<u8> = text
            .chars()
            .map(|c| {
                u8::try_from(c).ok().filter(|byte| (0x20..0x7F).contains(byte)).unwrap_or(b'?')
            })
            .take(TEXT_CHARS)
            .collect();
        shown.resize(TEXT_CHARS, b' ');
        bytes.extend_from_slice(&shown);
    }
    bytes.push(ETX);
    Some(bytes)
}

/// Record 10: each checksum turned left by the challenge's high digit, each key right by its low.
pub(super) fn proof(approval: &Approval, challenge: u8) -> Vec<u8> {
    let (left, right) = (u32::from(challenge >> 4), u32::from(challenge & 0x0F));
    let mut bytes = vec![EOT, STX, b'1', b'0', ESC];
    for (sum, key) in &approval.pairs {
        let pair = format!("{:04X}{:04X}", sum.rotate_left(left), key.rotate_right(right));
        bytes.extend_from_slice(pair.as_bytes());
    }
    bytes.push(ETX);
    bytes
}

/// Takes the first reply out of what was received; a reply that cannot be understood is `None`.
pub(super) fn take(input: &mut Vec<u8>) -> Option<(Option<Reply>, Vec<u8>)> {
    match *input.first()? {
        ACK => Some((Some(Reply::Ack), vec![input.remove(0)])),
        NAK => Some((Some(Reply::Nak), vec![input.remove(0)])),
        STX => {
            let Some(end) = input.iter().position(|&byte| byte == ETX) else {
                return (input.len() > RECORD_MAX).then(|| (None, std::mem::take(input)));
            };
            let rest = input.split_off(end + 1);
            let raw = std::mem::replace(input, rest);
            Some((parse(&raw[1..end]).map(Reply::Record), raw))
        }
        _ => {
            let raw = vec![input.remove(0)];
            Some((None, raw))
        }
    }
}

/// Fields are told apart by ESC, never by position: the unit price has five or six digits.
fn parse(body: &[u8]) -> Option<Record> {
    let fields: Vec<&[u8]> = body.split(|&byte| byte == ESC).collect();
    match fields.as_slice() {
        [b"02", unit, weight, price, amount] => result(unit, weight, price, amount),
        [b"09", [high @ b'0'..=b'9', low @ b'0'..=b'9']] => {
            Some(Record::Status(u16::from(high - b'0') * 10 + u16::from(low - b'0')))
        }
        [b"11", [b'2', digits @ ..]] if digits.len() == 2 => {
            let text = std::str::from_utf8(digits).ok()?;
            Some(Record::Challenge(u8::from_str_radix(text, 16).ok()?))
        }
        [b"11", [b'1', ..]] => Some(Record::Verdict { valid: true }),
        [b"11", [b'0', ..]] => Some(Record::Verdict { valid: false }),
        _ => None,
    }
}

fn result(unit: &[u8], weight: &[u8], price: &[u8], amount: &[u8]) -> Option<Record> {
    // Pound variants have other steps and no readable rule for them; only kilograms are believed.
    if unit != b"3" || weight.len() != 5 || !matches!(price.len(), 5 | 6) || amount.len() != 6 {
        return None;
    }
    let grams = i64::from(number(weight)?);
    let priced = Priced { unit_price: number(price)?, amount: number(amount)? };
    let weight = Weight::new(grams, 3, Unit::Kilogram)?;
    Some(Record::Result(Measured { weight, kind: Kind::Net, at_zero: None, priced: Some(priced) }))
}

fn number(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
