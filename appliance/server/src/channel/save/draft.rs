//! A transaction before it has a number.

use serde_json::{Map, Value, json};
use storebox_proto::ids::{Hash32, LaneId, TxKey, TxKind};

/// What a request becomes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    /// What it is.
    pub(super) kind: &'static str,
    /// The aggregate whose transactions stay in order.
    pub(super) lane: LaneId,
    /// What must be settled first.
    pub(super) depends_on: Vec<TxKey>,
    /// The cash session.
    pub(super) session: Option<String>,
    /// The content.
    pub(super) payload: Map<String, Value>,
}

impl Draft {
    /// What the caller is told of it; follows from the content alone, so that a repeated request gets the same.
    pub(super) fn answer(payload: &Map<String, Value>) -> Map<String, Value> {
        let mut answer = Map::new();
        for name in ["id", "ticketId", "businessPartnerId", "documentNo", "session"] {
            if let Some(value) = payload.get(name) {
                answer.insert(name.to_owned(), value.clone());
            }
        }
        if let Some(Value::Array(lines)) = payload.get("lines") {
            let ids: Vec<Value> = lines
                .iter()
                .enumerate()
                .map(|(at, line)| json!({"line": at + 1, "id": line.get("id")}))
                .collect();
            answer.insert("lines".to_owned(), Value::Array(ids));
        }
        answer
    }

    /// The kind, as the outbox has it.
    pub(super) fn tx_kind(&self) -> TxKind {
        self.kind.parse().expect("a literal that keeps the rule for kinds")
    }
}

/// The lane of an aggregate; an id that is no name of a lane stands for itself by its hash.
pub(super) fn lane(of: &str, id: &str) -> LaneId {
    let plain = format!("{of}:{id}");
    plain.parse().unwrap_or_else(|_| {
        let hashed = format!("{of}:{}", Hash32::of(id.as_bytes()));
        hashed.parse().expect("a word and hexadecimal digits are a name of a lane")
    })
}
