//! In-store EANs: codes a shop's own scale prints, with a weight or a price inside.
//!
//! Every country, chain and scale lays them out differently, so the layout is configured as a
//! pattern of 13 characters: digits stand for themselves, `I` is the article, `W` the weight, `P`
//! the price, `x` anything, and the last one, `C`, the check digit.
//! The first rule that fits wins.

use serde::{Deserialize, Serialize};

use crate::receipt::symbol::check_digit;
use crate::scale::{Unit, Weight};

const DIGITS: usize = 13;
/// Rules of one shop.
pub const RULES_MAX: usize = 64;

/// A rule as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSource {
    /// 13 characters, such as `28IIIIIWWWWWC`.
    pub pattern: String,
    /// How many of the weight's or price's digits stand behind the point.
    pub decimals: u8,
    /// The weight's unit.
    #[serde(default = "kilogram")]
    pub unit: Unit,
}

fn kilogram() -> Unit {
    Unit::Kilogram
}

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use the in-store rule {pattern:?}: {why}")]
pub struct RuleError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// A checked rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pattern: [u8; DIGITS],
    decimals: u8,
    unit: Unit,
}

/// What an in-store code carries besides its article.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Carried {
    /// A weight.
    Weight(Weight),
    /// A price to pay.
    Price {
        /// The digits, without a point.
        amount: u64,
        /// How many of them stand behind the point.
        decimals: u8,
    },
}

/// What an in-store code says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InStore {
    /// The article's digits.
    pub item: String,
    /// What else it carries.
    pub carried: Carried,
}

impl Rule {
    /// Checks a rule.
    pub fn new(source: &RuleSource) -> Result<Self, RuleError> {
        let refuse = |why| Err(RuleError { pattern: source.pattern.clone(), why });
        let Ok(pattern) = <[u8; DIGITS]>::try_from(source.pattern.as_bytes()) else {
            return refuse("it must have 13 characters");
        };
        let known = |byte: &u8| byte.is_ascii_digit() || b"IWPx".contains(byte);
        if pattern[DIGITS - 1] != b'C' || !pattern[..DIGITS - 1].iter().all(known) {
            return refuse("only digits, I, W, P and x may stand in it, and C at its end");
        }
        let count = |letter: u8| pattern.iter().filter(|byte| **byte == letter).count();
        if pattern[0] != b'0' && pattern[0] != b'2' {
            return refuse("in-store numbers begin with 2, or with 0 before a UPC's 2");
        }
        if count(b'I') == 0 || (count(b'W') == 0) == (count(b'P') == 0) {
            return refuse("it needs an article, and either a weight or a price");
        }
        if usize::from(source.decimals) > count(b'W') + count(b'P') {
            return refuse("it has more decimals than digits");
        }
        Ok(Self { pattern, decimals: source.decimals, unit: source.unit })
    }

    fn read(&self, digits: &[u8; DIGITS]) -> Option<InStore> {
        let fits = |(pattern, digit): (&u8, &u8)| !pattern.is_ascii_digit() || pattern == digit;
        if !self.pattern.iter().zip(digits).all(fits) {
            return None;
        }
        let part = |letter: u8| -> String {
            let here = self.pattern.iter().zip(digits).filter(|(pattern, _)| **pattern == letter);
            here.map(|(_, digit)| char::from(*digit)).collect()
        };
        let weight = part(b'W');
        let carried = if weight.is_empty() {
            Carried::Price { amount: part(b'P').parse().ok()?, decimals: self.decimals }
        } else {
            Carried::Weight(Weight::new(weight.parse().ok()?, self.decimals, self.unit)?)
        };
        Some(InStore { item: part(b'I'), carried })
    }
}

/// Reads an EAN-13, or a UPC-A as the EAN it is, by the first rule that fits.
#[must_use]
pub fn read(rules: &[Rule], code: &[u8]) -> Option<InStore> {
    let mut digits = [b'0'; DIGITS];
    match code.len() {
        DIGITS => digits.copy_from_slice(code),
        12 => digits[1..].copy_from_slice(code),
        _ => return None,
    }
    let body = std::str::from_utf8(&digits[..DIGITS - 1]).ok()?;
    if check_digit(body).map(u32::from) != Some(u32::from(digits[DIGITS - 1])) {
        return None;
    }
    rules.iter().take(RULES_MAX).find_map(|rule| rule.read(&digits))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(pattern: &str, decimals: u8) -> Result<Rule, RuleError> {
        Rule::new(&RuleSource { pattern: pattern.into(), decimals, unit: Unit::Kilogram })
    }

    fn code(body: &str) -> Vec<u8> {
        format!("{body}{}", check_digit(body).unwrap()).into_bytes()
    }

    #[test]
    fn a_weight_and_a_price_are_read_by_their_rules() {
        let rules = [rule("28IIIIIWWWWWC", 3).unwrap(), rule("2xIIIIIPPPPPC", 2).unwrap()];
        let weight = Weight::new(1250, 3, Unit::Kilogram).unwrap();
        assert_eq!(
            read(&rules, &code("281234501250")),
            Some(InStore { item: "12345".into(), carried: Carried::Weight(weight) })
        );
        let carried = Carried::Price { amount: 499, decimals: 2 };
        assert_eq!(
            read(&rules, &code("201234500499")),
            Some(InStore { item: "12345".into(), carried })
        );
    }

    #[test]
    fn a_upc_is_read_as_the_ean_it_is() {
        let rules = [rule("02IIIIIxPPPPC", 2).unwrap()];
        let read = read(&rules, &code("21234570499")).unwrap();
        assert_eq!(read.carried, Carried::Price { amount: 499, decimals: 2 });
    }

    #[test]
    fn a_wrong_check_digit_or_another_article_is_not_ours() {
        let rules = [rule("28IIIIIWWWWWC", 3).unwrap()];
        let mut wrong = code("281234501250");
        wrong[12] = if wrong[12] == b'0' { b'1' } else { b'0' };
        assert_eq!(read(&rules, &wrong), None);
        assert_eq!(read(&rules, b"4006381333931"), None);
    }

    #[test]
    fn rules_that_could_only_mislead_are_refused() {
        for (pattern, decimals) in [
            ("28IIIIIWWWWW", 3),
            ("28IIIIIWWWWWx", 3),
            ("40IIIIIWWWWWC", 3),
            ("28IIIIIxxxxxC", 0),
            ("28IIIWWWPPPPC", 0),
            ("28IIIIIWWWWWC", 6),
            ("28IIIIIQWWWWC", 3),
        ] {
            assert!(rule(pattern, decimals).is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..20), body in "[0-9]{12}") {
            let rules = [rule("2IIIIIIWWWWWC", 3).unwrap()];
            let _ = read(&rules, &bytes);
            prop_assert_eq!(read(&rules, &code(&body)).is_some(), body.starts_with('2'));
        }
    }
}
