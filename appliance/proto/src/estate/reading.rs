//! Fields of records that other systems write: with the types of JSON or as texts, `Y` and `N` included.

use serde_json::{Map, Value};

use super::lint::{Finding, Rule};

/// The longest text of a definition.
const TEXT_BYTES_MAX: usize = 512;

/// One record.
pub(super) struct Reading<'a> {
    model: &'static str,
    record: &'a Map<String, Value>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(model: &'static str, record: &'a Map<String, Value>) -> Self {
        Self { model, record }
    }

    pub(super) fn id(&self) -> String {
        self.record.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    pub(super) fn finding(&self, field: &str, rule: impl std::fmt::Display) -> Finding {
        let subject = format!("{} {}", self.model, self.id());
        Finding { rule: Rule::Malformed, subject, detail: format!("field {field} {rule}") }
    }

    /// A text that has to be there.
    pub(super) fn text(&self, field: &str) -> Result<String, Finding> {
        let text = self.text_if(field)?;
        text.filter(|text| !text.is_empty())
            .ok_or_else(|| self.finding(field, "is missing or empty"))
    }

    /// A text that may be there.
    pub(super) fn text_if(&self, field: &str) -> Result<Option<String>, Finding> {
        match self.record.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() <= TEXT_BYTES_MAX => Ok(Some(text.clone())),
            Some(_) => {
                Err(self
                    .finding(field, format!("must be a text of at most {TEXT_BYTES_MAX} bytes")))
            }
        }
    }

    /// A whole number that may be there, as a number or as a text.
    pub(super) fn number_if(&self, field: &str) -> Result<Option<u64>, Finding> {
        match self.record.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let text = || value.as_str()?.trim().parse().ok();
                let number = value.as_u64().or_else(text);
                number.map(Some).ok_or_else(|| self.finding(field, "must be a whole number from 0"))
            }
        }
    }

    /// Yes or no, with what holds where nothing is said.
    pub(super) fn truth(&self, field: &str, default: bool) -> Result<bool, Finding> {
        match self.record.get(field) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => truth(value).ok_or_else(|| self.finding(field, "must be yes or no")),
        }
    }
}

/// Yes or no, also in the way of the original.
pub(super) fn truth(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| match value.as_str()? {
        "Y" | "true" => Some(true),
        "N" | "false" => Some(false),
        _ => None,
    })
}
