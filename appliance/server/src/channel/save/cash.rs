//! Cash: put in or taken out, and the session closed.

use serde_json::Value;
use storebox_proto::problem::Problem;
use storebox_proto::ticket::envelope;

use super::draft::{Draft, lane};
use super::input::Input;
use super::writer::Making;

/// The kind of transaction that closes a session.
pub(super) const CASH_UP: &str = envelope::CASH_UP;
/// The kind of transaction that moves cash.
pub(super) const CASH_MANAGEMENT: &str = "CashManagement";

/// A cash session is closed; it waits for everything of the session.
pub(super) fn cash_up(making: &Making<'_>, input: Input) -> Result<Draft, Problem> {
    draft(making, input, CASH_UP)
}

/// Cash is put in or taken out.
pub(super) fn cash_management(making: &Making<'_>, mut input: Input) -> Result<Draft, Problem> {
    if input.quantity("amount")?.is_none() {
        return input.refuse("amount", "is missing");
    }
    let direction = input.take_text("type")?;
    match direction.as_deref() {
        Some("in" | "out") => {}
        Some(_) | None => return input.refuse("type", "must be in or out"),
    }
    input.fields.insert("type".to_owned(), direction.map_or(Value::Null, Value::String));
    draft(making, input, CASH_MANAGEMENT)
}

fn draft(making: &Making<'_>, mut input: Input, kind: &'static str) -> Result<Draft, Problem> {
    let id = input.take_id("id")?.unwrap_or_else(|| making.key.to_string());
    let Some(session) = input.take_text("session")? else {
        return input.refuse("session", "is missing: the cash session that it belongs to");
    };
    let mut payload = input.fields;
    payload.insert("id".to_owned(), Value::String(id));
    payload.insert("session".to_owned(), Value::String(session.clone()));
    let lane = lane("cash", &session);
    Ok(Draft { kind, lane, depends_on: Vec::new(), session: Some(session), payload })
}
