//! An exact weight: an integer, its decimals and its unit, as the scale sent them.
//!
//! Never a float: 1.15 × 100 is 114.99999 in binary, and a shop is audited in cents.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A unit of mass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unit {
    /// Kilogram.
    #[serde(rename = "kg")]
    Kilogram,
    /// Gram.
    #[serde(rename = "g")]
    Gram,
    /// Avoirdupois pound.
    #[serde(rename = "lb")]
    Pound,
    /// Avoirdupois ounce.
    #[serde(rename = "oz")]
    Ounce,
}

impl Unit {
    /// Reads a unit as scales write it: any case, padded with spaces or underscores.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let end = text.iter().position(|&byte| byte == b'_').unwrap_or(text.len());
        if text[end..].iter().any(|&byte| byte != b'_') {
            return None;
        }
        match text[..end].to_ascii_lowercase().as_slice() {
            b"kg" => Some(Self::Kilogram),
            b"g" => Some(Self::Gram),
            b"lb" => Some(Self::Pound),
            b"oz" => Some(Self::Ounce),
            _ => None,
        }
    }

    fn nanograms(self) -> i128 {
        match self {
            Self::Kilogram => 1_000_000_000_000,
            Self::Gram => 1_000_000_000,
            Self::Pound => 453_592_370_000,
            Self::Ounce => 28_349_523_125,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kilogram => "kg",
            Self::Gram => "g",
            Self::Pound => "lb",
            Self::Ounce => "oz",
        })
    }
}

/// A mass: `mantissa` × 10^-`decimals` units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Weight {
    mantissa: i64,
    decimals: u8,
    unit: Unit,
}

/// More digits than any scale shows, few enough that no arithmetic here overflows.
const DIGITS_MAX: usize = 12;

impl Weight {
    /// A weight from its parts; `None` when it has more digits than a scale can show.
    #[must_use]
    pub fn new(mantissa: i64, decimals: u8, unit: Unit) -> Option<Self> {
        let fits = mantissa.unsigned_abs() < 10u64.pow(12) && usize::from(decimals) <= DIGITS_MAX;
        fits.then_some(Self { mantissa, decimals, unit })
    }

    /// Reads `[spaces][sign][spaces]digits[.digits]`, nothing else.
    #[must_use]
    pub fn parse(text: &[u8], unit: Unit) -> Option<Self> {
        let text = text.trim_ascii();
        let (negative, digits) = match text.split_first()? {
            (b'-', rest) => (true, rest.trim_ascii_start()),
            (b'+', rest) => (false, rest.trim_ascii_start()),
            _ => (false, text),
        };
        let (whole, fraction) = match digits.iter().position(|&byte| byte == b'.') {
            Some(at) => (&digits[..at], &digits[at + 1..]),
            None => (digits, &digits[digits.len()..]),
        };
        let count = whole.len() + fraction.len();
        let ends_in_point = digits.last() == Some(&b'.');
        if whole.is_empty() || ends_in_point || count > DIGITS_MAX {
            return None;
        }
        let mut mantissa = 0i64;
        for byte in whole.iter().chain(fraction) {
            if !byte.is_ascii_digit() {
                return None;
            }
            mantissa = mantissa * 10 + i64::from(byte - b'0');
        }
        let decimals = u8::try_from(fraction.len()).ok()?;
        Some(Self { mantissa: if negative { -mantissa } else { mantissa }, decimals, unit })
    }

    /// The integer of the number.
    #[must_use]
    pub fn mantissa(&self) -> i64 {
        self.mantissa
    }

    /// How many of its digits stand behind the point.
    #[must_use]
    pub fn decimals(&self) -> u8 {
        self.decimals
    }

    /// The unit.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Whether nothing is on the plate.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// The integer at another number of decimals; `None` if digits would be lost.
    #[must_use]
    pub fn mantissa_at(&self, decimals: u8) -> Option<i64> {
        if decimals >= self.decimals {
            let more = u32::from(decimals - self.decimals);
            self.mantissa.checked_mul(10i64.checked_pow(more)?)
        } else {
            let divisor = 10i64.checked_pow(u32::from(self.decimals - decimals))?;
            (self.mantissa % divisor == 0).then_some(self.mantissa / divisor)
        }
    }

    /// The same mass in micrograms, where that is a whole number.
    #[must_use]
    pub fn micrograms(&self) -> Option<i64> {
        let scaled = i128::from(self.mantissa) * self.unit.nanograms();
        let divisor = 10i128.pow(u32::from(self.decimals)) * 1000;
        if scaled % divisor == 0 { i64::try_from(scaled / divisor).ok() } else { None }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let scale = 10u64.pow(u32::from(self.decimals));
        let (whole, rest) =
            (self.mantissa.unsigned_abs() / scale, self.mantissa.unsigned_abs() % scale);
        match self.decimals {
            0 => write!(f, "{sign}{whole} {}", self.unit),
            places => {
                write!(
                    f,
                    "{sign}{whole}.{rest:0places$} {}",
                    self.unit,
                    places = usize::from(places)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_weight_keeps_every_digit_it_was_sent_with() {
        let weight = Weight::parse(b"   01.250", Unit::Kilogram).unwrap();
        assert_eq!((weight.mantissa(), weight.decimals()), (1250, 3));
        assert_eq!(weight.to_string(), "1.250 kg");
        assert_eq!(weight.micrograms(), Some(1_250_000_000));
        assert_eq!(Weight::parse(b"- 0.05", Unit::Pound).unwrap().to_string(), "-0.05 lb");
    }

    #[test]
    fn what_is_not_a_number_is_not_a_weight() {
        for text in ["", " ", ".", "1.", ".5", "1.2.3", "1e3", "--1", "1 2", "1234567890123", "-"] {
            assert_eq!(Weight::parse(text.as_bytes(), Unit::Gram), None, "{text:?}");
        }
    }

    #[test]
    fn units_are_read_as_scales_pad_them() {
        assert_eq!(Unit::parse(b"kg_"), Some(Unit::Kilogram));
        assert_eq!(Unit::parse(b"  g"), Some(Unit::Gram));
        assert_eq!(Unit::parse(b"LB"), Some(Unit::Pound));
        assert_eq!(Unit::parse(b"k_g"), None);
        assert_eq!(Unit::parse(b""), None);
    }

    proptest! {
        #[test]
        fn roundtrip_through_text(mantissa in -999_999_999i64..999_999_999, decimals in 0u8..6) {
            let weight = Weight::new(mantissa, decimals, Unit::Gram).unwrap();
            let text = weight.to_string();
            let number = text.strip_suffix(" g").unwrap();
            prop_assert_eq!(Weight::parse(number.as_bytes(), Unit::Gram), Some(weight));
        }

        #[test]
        fn any_bytes_parse_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let _ = Weight::parse(&bytes, Unit::Ounce).map(|weight| weight.micrograms());
            let _ = Unit::parse(&bytes);
        }
    }
}
