//! The fields of a request, each read once, each refused by its name.

use serde_json::{Map, Value};
use storebox_proto::ids::{RecordId, TxKey};
use storebox_proto::problem::Problem;

use super::stock::Quantity;
use crate::channel::fault;

/// The longest code or session.
const TEXT_MAX: usize = 128;

/// The fields that are still to be read, and where they stand in the request.
pub(super) struct Input {
    pub(super) fields: Map<String, Value>,
    at: String,
}

impl Input {
    /// The fields of a request or of a part of it.
    pub(super) fn of(value: Value, at: &str) -> Result<Self, Problem> {
        match value {
            Value::Object(fields) => Ok(Self { fields, at: at.to_owned() }),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                Err(fault::field(if at.is_empty() { "request" } else { at }, "must be an object"))
            }
        }
    }

    /// The place of a field in the request.
    pub(super) fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    pub(super) fn refuse<T>(&self, name: &str, what: &str) -> Result<T, Problem> {
        Err(fault::field(&self.path(name), what))
    }

    /// Takes a text; null is as good as nothing.
    pub(super) fn take_text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text))
                if (1..=TEXT_MAX).contains(&text.len()) && !text.chars().any(char::is_control) =>
            {
                Ok(Some(text))
            }
            Some(_) => {
                self.refuse(name, "must be a text of 1 to 128 bytes without control characters")
            }
        }
    }

    /// Takes an id.
    pub(super) fn take_id(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let id = self.take_text(name)?;
        match id {
            Some(id) if id.parse::<RecordId>().is_err() => self.refuse(name, "must be an id"),
            id => Ok(id),
        }
    }

    /// Takes a list; nothing is an empty one.
    pub(super) fn take_list(&mut self, name: &str) -> Result<Vec<Self>, Problem> {
        let at = self.path(name);
        match self.fields.remove(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => {
                let part = |(number, value)| Self::of(value, &format!("{at}[{number}]"));
                list.into_iter().enumerate().map(part).collect()
            }
            Some(_) => self.refuse(name, "must be a list"),
        }
    }

    /// A number that stays where it is, in any exact spelling.
    pub(super) fn quantity(&self, name: &str) -> Result<Option<Quantity>, Problem> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match Quantity::parse(value) {
                Some(quantity) => Ok(Some(quantity)),
                None => self.refuse(
                    name,
                    "must be a decimal number with at most 6 places, such as \"12.50\"",
                ),
            },
        }
    }
}

/// The key that a caller gave its request, so that it can be repeated.
pub(super) fn key_of(request: &Value) -> Result<Option<TxKey>, Problem> {
    let refuse = || fault::field("key", "must be a UUID of version 7");
    match request.get("key") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            let key: TxKey = text.parse().map_err(|_| refuse())?;
            if key.0.get_version_num() == 7 { Ok(Some(key)) } else { Err(refuse()) }
        }
        Some(_) => Err(refuse()),
    }
}
