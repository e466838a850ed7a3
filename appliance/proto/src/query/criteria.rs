//! Criteria: which rows are wanted.
//!
//! A list is a conjunction; `{operator: and|or|not, criteria: […]}` nests, and `not` means that none of its
//! criteria holds.
//! A field may be a path (`price.listPrice`, `lines.productId`); where the path meets a list, one fitting element
//! is enough.
//! A negative operator is the negation of its positive one, so a field that is not there is `notEqual` to everything.

use serde_json::{Map, Value, json};

use super::{QueryFault, compare};
use crate::limits;

mod judge;
#[cfg(test)]
mod tests;

macro_rules! operators {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// How a field is held against a value.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Operator { $($(#[$doc])* $name,)* }

        impl Operator {
            /// All of them, by their names on the wire.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$name),)*];
        }
    };
}

operators! {
    /// The same value.
    Equals = "equals";
    /// Not the same value.
    NotEqual = "notEqual";
    /// The same text, whatever the case.
    IEquals = "iEquals";
    /// The text is in it.
    Contains = "contains";
    /// The text is in it, whatever the case.
    IContains = "iContains";
    /// It starts with the text.
    StartsWith = "startsWith";
    /// It starts with the text, whatever the case.
    IStartsWith = "iStartsWith";
    /// It ends with the text.
    EndsWith = "endsWith";
    /// More, or later.
    GreaterThan = "greaterThan";
    /// At least, or not before.
    GreaterOrEqual = "greaterOrEqual";
    /// Less, or earlier.
    LessThan = "lessThan";
    /// At most, or not after.
    LessOrEqual = "lessOrEqual";
    /// From the first to the second value, both included.
    Between = "between";
    /// One of the values.
    InSet = "inSet";
    /// None of the values.
    NotInSet = "notInSet";
    /// There is no value.
    IsNull = "isNull";
    /// There is a value.
    NotNull = "notNull";
}

impl Operator {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, operator)| *operator == self);
        found.map_or("", |(name, _)| name)
    }
}

/// How many values an operator takes.
enum Takes {
    None,
    One,
    Two,
    Set,
}

impl Operator {
    fn takes(self) -> Takes {
        match self {
            Self::IsNull | Self::NotNull => Takes::None,
            Self::Between => Takes::Two,
            Self::InSet | Self::NotInSet => Takes::Set,
            Self::Equals
            | Self::NotEqual
            | Self::IEquals
            | Self::Contains
            | Self::IContains
            | Self::StartsWith
            | Self::IStartsWith
            | Self::EndsWith
            | Self::GreaterThan
            | Self::GreaterOrEqual
            | Self::LessThan
            | Self::LessOrEqual => Takes::One,
        }
    }
}

/// What a row must fulfil.
#[derive(Debug, Clone, PartialEq)]
pub enum Criteria {
    /// All of these.
    And(Vec<Criteria>),
    /// At least one of these.
    Or(Vec<Criteria>),
    /// None of these.
    Not(Vec<Criteria>),
    /// A field is so.
    Field {
        /// Its name or path.
        name: String,
        /// How it is compared.
        operator: Operator,
        /// With what: one value, two for `between`, any number for a set, none for a test for null.
        values: Vec<Value>,
    },
}

impl Criteria {
    /// What every row fulfils.
    pub fn all() -> Self {
        Self::And(Vec::new())
    }

    /// Reads a list of criteria; `path` is its place in the request.
    pub fn parse(list: &Value, path: &str) -> Result<Self, QueryFault> {
        let mut count = 0;
        Ok(Self::And(parse_list(list, path, 0, &mut count)?))
    }

    /// The list that reads as these criteria.
    pub fn to_json(&self) -> Value {
        match self {
            Self::And(list) => Value::Array(list.iter().map(Self::node).collect()),
            Self::Or(_) | Self::Not(_) | Self::Field { .. } => Value::Array(vec![self.node()]),
        }
    }

    fn node(&self) -> Value {
        let nested = |operator: &str, list: &[Self]| {
            let list: Vec<Value> = list.iter().map(Self::node).collect();
            json!({"operator": operator, "criteria": list})
        };
        match self {
            Self::And(list) => nested("and", list),
            Self::Or(list) => nested("or", list),
            Self::Not(list) => nested("not", list),
            Self::Field { name, operator, values } => {
                let operator_name = operator.as_str();
                let value = match operator.takes() {
                    Takes::None => return json!({"fieldName": name, "operator": operator_name}),
                    Takes::Two | Takes::Set => json!(values),
                    Takes::One => values.first().cloned().unwrap_or(Value::Null),
                };
                json!({"fieldName": name, "operator": operator_name, "value": value})
            }
        }
    }

    /// Shows every field that is compared.
    pub fn each_field<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        match self {
            Self::And(list) | Self::Or(list) | Self::Not(list) => {
                list.iter().for_each(|criteria| criteria.each_field(visit));
            }
            Self::Field { name, .. } => visit(name),
        }
    }

    /// Whether a row fulfils them.
    pub fn fits(&self, row: &Map<String, Value>) -> bool {
        match self {
            Self::And(list) => list.iter().all(|criteria| criteria.fits(row)),
            Self::Or(list) => list.iter().any(|criteria| criteria.fits(row)),
            Self::Not(list) => !list.iter().any(|criteria| criteria.fits(row)),
            Self::Field { name, operator, values } => judge::fits(row, name, *operator, values),
        }
    }
}

fn parse_list(
    list: &Value,
    path: &str,
    depth: usize,
    count: &mut usize,
) -> Result<Vec<Criteria>, QueryFault> {
    let Value::Array(list) = list else {
        return Err(QueryFault::new(path, "must be a list of criteria"));
    };
    if depth >= limits::QUERY_DEPTH_MAX {
        let what = format!("is nested deeper than {} levels", limits::QUERY_DEPTH_MAX);
        return Err(QueryFault::new(path, what));
    }
    let parse =
        |(at, node): (usize, &Value)| parse_node(node, &format!("{path}[{at}]"), depth, count);
    list.iter().enumerate().map(parse).collect()
}

fn parse_node(
    node: &Value,
    path: &str,
    depth: usize,
    count: &mut usize,
) -> Result<Criteria, QueryFault> {
    *count += 1;
    if *count > limits::QUERY_CRITERIA_MAX {
        let what = format!("is one too many; there may be {}", limits::QUERY_CRITERIA_MAX);
        return Err(QueryFault::new(path, what));
    }
    let Value::Object(fields) = node else {
        return Err(QueryFault::new(path, "must be an object"));
    };
    let at = |field: &str| format!("{path}.{field}");
    let Some(operator) = fields.get("operator").and_then(Value::as_str) else {
        return Err(QueryFault::new(at("operator"), "must be the name of an operator"));
    };
    let junction: Option<fn(Vec<Criteria>) -> Criteria> = match operator {
        "and" => Some(Criteria::And),
        "or" => Some(Criteria::Or),
        "not" => Some(Criteria::Not),
        _ => None,
    };
    let known: &[&str] = match junction {
        Some(_) => &["operator", "criteria"],
        None => &["operator", "fieldName", "value"],
    };
    if let Some(unknown) = fields.keys().find(|field| !known.contains(&field.as_str())) {
        let unknown: String = unknown.chars().take(64).collect();
        return Err(QueryFault::new(
            at(&unknown),
            format!("is unknown beside operator {operator:.32}"),
        ));
    }
    match junction {
        Some(junction) => {
            let missing = || QueryFault::new(at("criteria"), "is missing");
            let inner = fields.get("criteria").ok_or_else(missing)?;
            Ok(junction(parse_list(inner, &at("criteria"), depth + 1, count)?))
        }
        None => parse_field(fields, operator, path),
    }
}

fn parse_field(
    fields: &Map<String, Value>,
    operator: &str,
    path: &str,
) -> Result<Criteria, QueryFault> {
    let at = |field: &str| format!("{path}.{field}");
    let found = Operator::ALL.iter().find(|(name, _)| *name == operator);
    let Some((_, operator)) = found.copied() else {
        let names: Vec<_> = Operator::ALL.iter().map(|(name, _)| *name).collect();
        let what = format!("is none of and, or, not, {}", names.join(", "));
        return Err(QueryFault::new(at("operator"), what));
    };
    let Some(name) = fields.get("fieldName").and_then(Value::as_str) else {
        return Err(QueryFault::new(at("fieldName"), "must be the name of a field"));
    };
    let max = limits::FIELD_NAME_BYTES_MAX;
    if name.is_empty() || name.len() > max || name.chars().any(char::is_control) {
        return Err(QueryFault::new(at("fieldName"), format!("must have 1 to {max} bytes")));
    }
    let values = parse_values(operator, fields.get("value"), &at("value"))?;
    Ok(Criteria::Field { name: name.to_owned(), operator, values })
}

fn parse_values(
    operator: Operator,
    value: Option<&Value>,
    path: &str,
) -> Result<Vec<Value>, QueryFault> {
    let refuse = |what: String| Err(QueryFault::new(path, what));
    let list = || match value {
        Some(Value::Array(values)) => {
            let check = |(at, value)| single(value, &format!("{path}[{at}]"));
            Ok((values.len(), values.iter().enumerate().map(check)))
        }
        Some(_) | None => {
            Err(QueryFault::new(path, format!("must be a list for {}", operator.as_str())))
        }
    };
    match operator.takes() {
        Takes::None => match value {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(_) => refuse(format!("is not wanted by {}", operator.as_str())),
        },
        Takes::One => match value {
            Some(value) => Ok(vec![single(value, path)?]),
            None => refuse("is missing".to_owned()),
        },
        Takes::Two => match list()? {
            (2, values) => values.collect(),
            (_, _) => refuse("must have two values, from and to".to_owned()),
        },
        Takes::Set => match list()? {
            (count, _) if count > limits::QUERY_SET_MAX => {
                refuse(format!("has {count} values, at most {} are taken", limits::QUERY_SET_MAX))
            }
            (_, values) => values.collect(),
        },
    }
}

/// One value that can be compared.
fn single(value: &Value, path: &str) -> Result<Value, QueryFault> {
    let Some(text) = compare::text(value) else {
        let what = "must be a text, a number, true or false; for null there is isNull";
        return Err(QueryFault::new(path, what));
    };
    if text.len() > limits::QUERY_TEXT_BYTES_MAX {
        let what = format!("has {} bytes, at most {}", text.len(), limits::QUERY_TEXT_BYTES_MAX);
        return Err(QueryFault::new(path, what));
    }
    Ok(value.clone())
}
