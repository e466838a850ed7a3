//! Why a query is refused.

/// What is wrong with a query, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {path}: {what}")]
pub struct QueryFault {
    /// The place in the request.
    pub path: String,
    /// What is wrong there and what would be right.
    pub what: String,
}

impl QueryFault {
    /// A fault at a place.
    pub fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into() }
    }
}
