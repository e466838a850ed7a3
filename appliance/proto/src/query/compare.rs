//! How a value of a criterion is held against a value of a record.
//!
//! Two texts are equal if they are the same text: a code with leading zeros is not a number.
//! A number given as JSON number is equal to every spelling of that number, because prices are kept as texts.
//! In an order, two numbers in whatever spelling are compared as numbers, two instants as instants, and
//! everything else as text.

use std::cmp::Ordering;

use serde_json::Value;

use crate::time::Timestamp;

/// The longest exponent that is written out; beyond it a number is compared as text.
const EXPONENT_MAX: u32 = 400;

/// The value as an index has it; nothing for null, lists and objects.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a record's value is what the criterion wants.
pub fn equal(of_record: &Value, wanted: &Value) -> bool {
    match (text(of_record), text(wanted)) {
        (Some(one), Some(other)) if one == other => true,
        (Some(one), Some(other)) if wanted.is_number() => match (decimal(&one), decimal(&other)) {
            (Some(one), Some(other)) => one.compare(&other) == Ordering::Equal,
            (_, _) => false,
        },
        (_, _) => false,
    }
}

/// The order of a record's value and the criterion's; nothing if one of them is no single value.
pub fn order(of_record: &Value, wanted: &Value) -> Option<Ordering> {
    let (one, other) = (text(of_record)?, text(wanted)?);
    if let (Some(one), Some(other)) = (decimal(&one), decimal(&other)) {
        return Some(one.compare(&other));
    }
    match (one.parse::<Timestamp>(), other.parse::<Timestamp>()) {
        (Ok(one), Ok(other)) => Some(one.cmp(&other)),
        (_, _) => Some(one.cmp(&other)),
    }
}

/// A decimal number as its digits: sign, before and after the point, without needless zeros.
struct Decimal {
    negative: bool,
    whole: String,
    part: String,
}

fn decimal(text: &str) -> Option<Decimal> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (digits, exponent) = match rest.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(part) {
        return None;
    }
    let (mut whole, mut part) = (whole.to_owned(), part.to_owned());
    shift(&mut whole, &mut part, exponent)?;
    let whole = whole.trim_start_matches('0').to_owned();
    let part = part.trim_end_matches('0').to_owned();
    let negative = negative && !(whole.is_empty() && part.is_empty());
    Some(Decimal { negative, whole, part })
}

/// Moves the point by an exponent.
fn shift(whole: &mut String, part: &mut String, exponent: i32) -> Option<()> {
    if exponent.unsigned_abs() > EXPONENT_MAX {
        return None;
    }
    let places = usize::try_from(exponent.unsigned_abs()).ok()?;
    if exponent >= 0 {
        let moved = places.min(part.len());
        whole.push_str(&part[..moved]);
        whole.extend(std::iter::repeat_n('0', places - moved));
        part.drain(..moved);
        return Some(());
    }
    let moved = places.min(whole.len());
    let tail = whole.split_off(whole.len() - moved);
    let zeros: String = std::iter::repeat_n('0', places - moved).collect();
    *part = [zeros.as_str(), &tail, part].concat();
    Some(())
}

impl Decimal {
    fn compare(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.size(other),
            (true, true) => other.size(self),
        }
    }

    fn size(&self, other: &Self) -> Ordering {
        let length = self.whole.len().cmp(&other.whole.len());
        length.then_with(|| self.whole.cmp(&other.whole)).then_with(|| self.part.cmp(&other.part))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_code_is_not_a_number_but_a_number_is_every_spelling_of_it() {
        assert!(!equal(&json!("007"), &json!("7")));
        assert!(equal(&json!("3.50"), &json!(3.5)));
        assert!(equal(&json!(7), &json!("7")));
        assert!(!equal(&json!(7), &json!("07")));
        assert!(equal(&json!(true), &json!("true")));
        assert!(!equal(&json!(null), &json!(null)));
    }

    #[test]
    fn prices_and_times_are_ordered_as_such() {
        assert_eq!(order(&json!("9.90"), &json!("10")), Some(Ordering::Less));
        assert_eq!(order(&json!(-1.5), &json!("-1.25")), Some(Ordering::Less));
        assert_eq!(order(&json!("1e2"), &json!(99)), Some(Ordering::Greater));
        assert_eq!(order(&json!("0.050"), &json!("5e-2")), Some(Ordering::Equal));
        assert_eq!(order(&json!("-0"), &json!(0)), Some(Ordering::Equal));
        let (noon, later) = ("2026-11-22T12:00:00+01:00", "2026-11-22T11:30:00Z");
        assert_eq!(order(&json!(noon), &json!(later)), Some(Ordering::Less));
        assert_eq!(order(&json!("2017-03-03"), &json!("2017-04-09")), Some(Ordering::Less));
        assert_eq!(order(&json!([1]), &json!(1)), None);
    }

    #[test]
    fn an_exponent_that_nobody_could_write_out_makes_a_text() {
        for text in ["1e-2147483648", "1e2147483647", "1e-401", "1e99999999999"] {
            assert_eq!(order(&json!("1"), &json!(text)), Some(Ordering::Less), "{text}");
            assert_eq!(order(&json!(text), &json!("1")), Some(Ordering::Greater), "{text}");
            assert!(!equal(&json!(text), &json!(1)), "{text}");
            assert!(equal(&json!(text), &json!(text)), "{text}");
        }
        assert_eq!(order(&json!("1"), &json!("1e-400")), Some(Ordering::Greater));
    }

    proptest! {
        #[test]
        fn decimals_are_ordered_like_the_integers_that_they_are(one: i32, other: i32, places in 0_u32..4) {
            let spell = |number: i32| {
                let digits = format!("{:05}", number.unsigned_abs());
                let at = digits.len() - places as usize;
                let sign = if number < 0 { "-" } else { "" };
                json!(format!("{sign}{}.{}", &digits[..at], &digits[at..]))
            };
            prop_assert_eq!(order(&spell(one), &spell(other)), Some(one.cmp(&other)));
        }

        #[test]
        fn any_two_texts_have_an_order(
            one in ".{0,40}|-?[0-9]{1,3}[eE]-?[0-9]{1,11}",
            other in "[-0-9.eE]{0,24}|-?[0-9.]{1,3}[eE]-?[0-9]{1,11}",
        ) {
            let ahead = order(&json!(one), &json!(other)).unwrap();
            prop_assert_eq!(order(&json!(other), &json!(one)), Some(ahead.reverse()));
        }
    }
}
