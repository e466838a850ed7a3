//! GS1 element strings: what a code on a package of cheese says about it.
//!
//! Source: GS1 General Specifications, section 3 (application identifiers) and figure 7.8.5-2
//! (identifiers of predefined length, which need no separator behind them).
//!
//! An identifier that is not known here ends the reading with an error: its length is not known
//! either, and everything behind it would be read wrongly.

use serde::Serialize;

use crate::receipt::symbol::check_digit;
use crate::scale::{Unit, Weight};

/// The separator, as scanners send FNC1 inside a code.
const SEPARATOR: u8 = 0x1D;
/// Elements of one code; a code of the largest size could not hold more sensible ones.
const ELEMENTS_MAX: usize = 64;

/// Which day a date stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DateKind {
    /// Made on.
    Production,
    /// Payment due on.
    Due,
    /// Packed on.
    Packaging,
    /// Best before.
    BestBefore,
    /// To be sold by.
    SellBy,
    /// Not to be used after.
    Expiry,
}

/// A date as it stands in a code: two digits of a year, and a day that may be left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Date {
    /// Year without its century.
    pub year: u8,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day; `None` means the month's last.
    pub day: Option<u8>,
}

impl Date {
    /// The full year, by the rule of GS1: within 50 years of the present one.
    #[must_use]
    pub fn full_year(&self, present: u16) -> u16 {
        let century = present - present % 100;
        let year = century + u16::from(self.year);
        if year > present + 50 {
            year.saturating_sub(100)
        } else if year + 49 < present {
            year + 100
        } else {
            year
        }
    }
}

/// One element of a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "element", rename_all = "snake_case")]
pub enum Element {
    /// The article's number, 14 digits, its check digit proven.
    Gtin {
        /// The digits.
        digits: String,
    },
    /// The article's net weight.
    NetWeight {
        /// The weight.
        weight: Weight,
    },
    /// A price to pay.
    Price {
        /// The digits, without a point.
        amount: u64,
        /// How many of them stand behind the point.
        decimals: u8,
        /// The currency's ISO 4217 number, if it is given.
        currency: Option<u16>,
    },
    /// A date.
    Date {
        /// Which.
        kind: DateKind,
        /// The date.
        date: Date,
    },
    /// How many pieces.
    Count {
        /// The number.
        count: u32,
    },
    /// The batch it came from.
    Batch {
        /// Its name.
        name: String,
    },
    /// Its serial number.
    Serial {
        /// The number.
        number: String,
    },
    /// Another known element, as it stands.
    Other {
        /// Its identifier.
        identifier: String,
        /// Its value.
        value: String,
    },
}

/// Why a code cannot be read as GS1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gs1Error {
    /// An identifier is not known.
    #[error("read a GS1 code: the identifier at byte {at} is not known")]
    UnknownIdentifier {
        /// Where.
        at: usize,
    },
    /// A value is too short, too long or has a letter where digits must be.
    #[error("read a GS1 code: the value of ({identifier}) has a wrong form")]
    Form {
        /// The identifier.
        identifier: String,
    },
    /// A check digit is wrong.
    #[error("read a GS1 code: the check digit of ({identifier}) is wrong")]
    CheckDigit {
        /// The identifier.
        identifier: String,
    },
    /// Too many elements.
    #[error("read a GS1 code: it has more than {ELEMENTS_MAX} elements")]
    TooLong,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    /// So many digits, no separator needed.
    Digits(usize),
    /// Up to so many digits, then a separator or the end.
    UpToDigits(usize),
    /// Up to so many characters, then a separator or the end.
    UpToText(usize),
}

/// The identifiers read here, `n` standing for the number of decimals.
fn form(rest: &[u8]) -> Option<(usize, Form)> {
    let text = |count: usize| {
        rest.get(..count).and_then(|identifier| std::str::from_utf8(identifier).ok())
    };
    let two = match text(2)? {
        "00" => Some(Form::Digits(18)),
        "01" | "02" | "03" => Some(Form::Digits(14)),
        "11" | "12" | "13" | "15" | "16" | "17" => Some(Form::Digits(6)),
        "20" => Some(Form::Digits(2)),
        "10" | "21" | "22" => Some(Form::UpToText(20)),
        "30" | "37" => Some(Form::UpToDigits(8)),
        "90" => Some(Form::UpToText(30)),
        "91" | "92" | "93" | "94" | "95" | "96" | "97" | "98" | "99" => Some(Form::UpToText(90)),
        _ => None,
    };
    if let Some(form) = two {
        return Some((2, form));
    }
    let three = match text(3)? {
        "240" | "241" | "250" | "251" | "400" | "401" => Some(Form::UpToText(30)),
        "243" | "254" | "420" => Some(Form::UpToText(20)),
        "410" | "411" | "412" | "413" | "414" | "415" | "416" | "417" => Some(Form::Digits(13)),
        "402" => Some(Form::UpToDigits(17)),
        "421" => Some(Form::UpToText(12)),
        "422" | "424" | "425" | "426" => Some(Form::UpToDigits(3)),
        "423" => Some(Form::UpToDigits(15)),
        _ => None,
    };
    if let Some(form) = three {
        return Some((3, form));
    }
    let four = text(4)?;
    let decimals = four.as_bytes()[3].is_ascii_digit();
    let form = match &four[..3] {
        "310" | "311" | "312" | "313" | "314" | "315" | "316" | "320" | "321" | "322" | "323"
        | "324" | "325" | "326" | "327" | "328" | "329" | "330" | "331" | "332" | "333" | "334"
        | "335" | "336" | "337" | "340" | "356" | "357"
            if decimals =>
        {
            Form::Digits(6)
        }
        "390" | "392" if decimals => Form::UpToDigits(15),
        "391" | "393" if decimals => Form::UpToDigits(18),
        "394" if decimals => Form::UpToDigits(4),
        "395" if decimals => Form::UpToDigits(6),
        "703" if decimals => Form::UpToText(30),
        _ => match four {
            "7003" => Form::UpToDigits(10),
            "8002" | "8012" | "8020" => Form::UpToText(25),
            "8003" | "8004" | "8010" => Form::UpToText(30),
            "8005" => Form::UpToDigits(6),
            "8006" | "8017" | "8018" => Form::UpToDigits(18),
            "8007" => Form::UpToText(34),
            "8008" => Form::UpToDigits(12),
            "8110" | "8200" => Form::UpToText(70),
            _ => return None,
        },
    };
    Some((4, form))
}

/// Reads the elements of a code whose scanner said it is a GS1 one.
pub fn parse(data: &[u8]) -> Result<Vec<Element>, Gs1Error> {
    let mut elements = Vec::new();
    let mut at = 0;
    while at < data.len() {
        if data[at] == SEPARATOR {
            at += 1;
            continue;
        }
        if elements.len() == ELEMENTS_MAX {
            return Err(Gs1Error::TooLong);
        }
        let (length, form) = form(&data[at..]).ok_or(Gs1Error::UnknownIdentifier { at })?;
        let identifier = String::from_utf8_lossy(&data[at..at + length]).into_owned();
        let rest = &data[at + length..];
        let (value, taken) =
            value(rest, form).ok_or_else(|| Gs1Error::Form { identifier: identifier.clone() })?;
        elements.push(element(identifier, value)?);
        at += length + taken;
    }
    Ok(elements)
}

fn value(rest: &[u8], form: Form) -> Option<(&str, usize)> {
    let until_separator = rest.iter().position(|byte| *byte == SEPARATOR).unwrap_or(rest.len());
    let (value, digits) = match form {
        Form::Digits(count) => (rest.get(..count)?, true),
        Form::UpToDigits(most) if until_separator <= most => (&rest[..until_separator], true),
        Form::UpToText(most) if until_separator <= most => (&rest[..until_separator], false),
        Form::UpToDigits(_) | Form::UpToText(_) => return None,
    };
    let fine = |byte: &u8| if digits { byte.is_ascii_digit() } else { byte.is_ascii_graphic() };
    if value.is_empty() || !value.iter().all(fine) {
        return None;
    }
    Some((std::str::from_utf8(value).ok()?, value.len()))
}

fn element(identifier: String, value: &str) -> Result<Element, Gs1Error> {
    let wrong = || Gs1Error::Form { identifier: identifier.clone() };
    let decimals = identifier.as_bytes().get(3).map_or(0, |byte| byte.wrapping_sub(b'0'));
    let amount = |digits: &str| digits.parse::<u64>().map_err(|_| wrong());
    Ok(match (identifier.as_str(), identifier.get(..3)) {
        ("01" | "02" | "03", _) => {
            let (body, check) = value.split_at(13);
            if !check_digit(body).is_some_and(|digit| check.chars().eq([digit])) {
                return Err(Gs1Error::CheckDigit { identifier });
            }
            Element::Gtin { digits: value.to_owned() }
        }
        (_, Some("310" | "320")) => {
            let unit = if identifier.starts_with("310") { Unit::Kilogram } else { Unit::Pound };
            let mantissa = i64::try_from(amount(value)?).map_err(|_| wrong())?;
            let weight = Weight::new(mantissa, decimals, unit).ok_or_else(wrong)?;
            Element::NetWeight { weight }
        }
        (_, Some("390" | "392")) => {
            Element::Price { amount: amount(value)?, decimals, currency: None }
        }
        (_, Some("391" | "393")) => {
            let (currency, digits) = value.split_at_checked(3).ok_or_else(wrong)?;
            let currency = Some(currency.parse().map_err(|_| wrong())?);
            Element::Price { amount: amount(digits)?, decimals, currency }
        }
        ("11" | "12" | "13" | "15" | "16" | "17", _) => {
            let kind = match identifier.as_str() {
                "11" => DateKind::Production,
                "12" => DateKind::Due,
                "13" => DateKind::Packaging,
                "15" => DateKind::BestBefore,
                "16" => DateKind::SellBy,
                _ => DateKind::Expiry,
            };
            Element::Date { kind, date: date(value).ok_or_else(wrong)? }
        }
        ("30" | "37", _) => Element::Count { count: value.parse().map_err(|_| wrong())? },
        ("10", _) => Element::Batch { name: value.to_owned() },
        ("21", _) => Element::Serial { number: value.to_owned() },
        _ => Element::Other { identifier, value: value.to_owned() },
    })
}

fn date(value: &str) -> Option<Date> {
    let part = |from: usize| value.get(from..from + 2)?.parse::<u8>().ok();
    let (year, month, day) = (part(0)?, part(2)?, part(4)?);
    let fine = (1..=12).contains(&month) && day <= 31;
    fine.then_some(Date { year, month, day: (day > 0).then_some(day) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_code_of_a_weighed_cheese() {
        let elements =
            parse(b"01040063813339313103001250393297800123\x1d1526122410AB-1\x1d2199").unwrap();
        let weight = Weight::new(1250, 3, Unit::Kilogram).unwrap();
        assert_eq!(
            elements,
            [
                Element::Gtin { digits: "04006381333931".into() },
                Element::NetWeight { weight },
                Element::Price { amount: 123, decimals: 2, currency: Some(978) },
                Element::Date {
                    kind: DateKind::BestBefore,
                    date: Date { year: 26, month: 12, day: Some(24) }
                },
                Element::Batch { name: "AB-1".into() },
                Element::Serial { number: "99".into() },
            ]
        );
    }

    #[test]
    fn a_wrong_check_digit_is_an_error_and_not_an_article() {
        assert_eq!(
            parse(b"0104006381333932"),
            Err(Gs1Error::CheckDigit { identifier: "01".into() })
        );
    }

    #[test]
    fn an_unknown_identifier_ends_the_reading() {
        assert_eq!(parse(b"15261224999\x1d05123"), Err(Gs1Error::UnknownIdentifier { at: 12 }));
    }

    #[test]
    fn values_of_the_wrong_form_are_refused() {
        for code in [&b"310300125x"[..], b"31030012", b"15261324", b"37", b"10", b"392"] {
            assert!(parse(code).is_err(), "{code:?}");
        }
    }

    #[test]
    fn an_open_day_and_the_century_follow_the_rules() {
        let Ok([Element::Date { date, .. }]) =
            parse(b"17300600").as_deref().map(|e| <[_; 1]>::try_from(e.to_vec()).unwrap())
        else {
            panic!("no date");
        };
        assert_eq!((date.day, date.full_year(2026)), (None, 2030));
        assert_eq!(Date { year: 99, month: 1, day: None }.full_year(2026), 1999);
        assert_eq!(Date { year: 5, month: 1, day: None }.full_year(2090), 2105);
    }

    proptest! {
        #[test]
        fn any_bytes_are_elements_or_an_error(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), b'0'..=b'9', Just(0x1D)], 0..80),
        ) {
            let _ = parse(&bytes);
        }
    }
}
