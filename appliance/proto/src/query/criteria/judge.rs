//! Whether the values of a field are what a criterion wants.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::Operator;
use crate::query::compare;

pub(super) fn fits(
    row: &Map<String, Value>,
    name: &str,
    operator: Operator,
    values: &[Value],
) -> bool {
    let any = |test: &dyn Fn(&Value) -> bool| any_at(row, name, test);
    let one = |test: fn(&Value, &Value) -> bool| {
        values.first().is_some_and(|wanted| any(&|value| test(value, wanted)))
    };
    let ordered = |fitting: fn(Ordering) -> bool| {
        values
            .first()
            .is_some_and(|wanted| any(&|value| compare::order(value, wanted).is_some_and(fitting)))
    };
    let in_set = || any(&|value| values.iter().any(|wanted| compare::equal(value, wanted)));
    match operator {
        Operator::Equals => one(compare::equal),
        Operator::NotEqual => !one(compare::equal),
        Operator::IEquals => one(|value, wanted| texts(value, wanted, |a, b| lower(a) == lower(b))),
        Operator::Contains => one(|value, wanted| texts(value, wanted, |a, b| a.contains(b))),
        Operator::IContains => {
            one(|value, wanted| texts(value, wanted, |a, b| lower(a).contains(&lower(b))))
        }
        Operator::StartsWith => one(|value, wanted| texts(value, wanted, |a, b| a.starts_with(b))),
        Operator::IStartsWith => {
            one(|value, wanted| texts(value, wanted, |a, b| lower(a).starts_with(&lower(b))))
        }
        Operator::EndsWith => one(|value, wanted| texts(value, wanted, |a, b| a.ends_with(b))),
        Operator::GreaterThan => ordered(Ordering::is_gt),
        Operator::GreaterOrEqual => ordered(Ordering::is_ge),
        Operator::LessThan => ordered(Ordering::is_lt),
        Operator::LessOrEqual => ordered(Ordering::is_le),
        Operator::Between => match values {
            [from, to] => any(&|value| {
                compare::order(value, from).is_some_and(Ordering::is_ge)
                    && compare::order(value, to).is_some_and(Ordering::is_le)
            }),
            _ => false,
        },
        Operator::InSet => in_set(),
        Operator::NotInSet => !in_set(),
        Operator::IsNull => !any(&|value| !value.is_null()),
        Operator::NotNull => any(&|value| !value.is_null()),
    }
}

/// The text whatever its case, letter by letter, so that a place in a text cannot change a letter.
///
/// (`str::to_lowercase` writes a sigma differently at the end of a word.)
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

fn texts(value: &Value, wanted: &Value, test: fn(&str, &str) -> bool) -> bool {
    match (compare::text(value), compare::text(wanted)) {
        (Some(value), Some(wanted)) => test(&value, &wanted),
        (_, _) => false,
    }
}

/// Whether one of the values at a path passes.
fn any_at(row: &Map<String, Value>, path: &str, test: &dyn Fn(&Value) -> bool) -> bool {
    if let Some(value) = row.get(path) {
        return any_in(value, None, test);
    }
    match path.split_once('.') {
        Some((name, rest)) => row.get(name).is_some_and(|value| any_in(value, Some(rest), test)),
        None => false,
    }
}

fn any_in(value: &Value, rest: Option<&str>, test: &dyn Fn(&Value) -> bool) -> bool {
    match (value, rest) {
        (Value::Array(list), rest) => list.iter().any(|value| any_in(value, rest, test)),
        (Value::Object(fields), Some(rest)) => any_at(fields, rest, test),
        (value, None) => test(value),
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), Some(_)) => false,
    }
}
