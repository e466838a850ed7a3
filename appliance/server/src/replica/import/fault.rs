//! What is wrong with an import, named so that a person can mend it.

use std::fmt;

use serde::Serialize;

/// Faults that are listed; the rest is counted.
pub const FAULTS_LISTED_MAX: usize = 20;
/// The longest piece of the input that is quoted.
const QUOTE_CHARS_MAX: usize = 48;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Fault {
    /// The file, or `body` for what came in a request.
    pub file: String,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": field {field}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// The faults of a whole import: the first ones in full, all of them counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// The first faults.
    pub listed: Vec<Fault>,
    /// How many there are in all.
    pub total: u64,
}

impl Faults {
    pub(in crate::replica) fn add(&mut self, fault: Fault) {
        self.total += 1;
        if self.listed.len() < FAULTS_LISTED_MAX {
            self.listed.push(fault);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} faults", self.total)?;
        for fault in &self.listed {
            write!(f, "; {fault}")?;
        }
        Ok(())
    }
}

/// What is wrong with one row, before it is known where the row stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowFault {
    pub(super) field: Option<String>,
    pub(super) what: String,
}

impl RowFault {
    pub(super) fn row(what: impl Into<String>) -> Self {
        Self { field: None, what: what.into() }
    }

    pub(super) fn field(field: &str, what: impl Into<String>) -> Self {
        Self { field: Some(quote(field)), what: what.into() }
    }

    pub(super) fn at(self, file: &str, line: u64) -> Fault {
        Fault { file: file.to_owned(), line: Some(line), field: self.field, what: self.what }
    }
}

/// The beginning of a text from the input, without control characters.
pub(super) fn quote(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(QUOTE_CHARS_MAX).collect()
}
