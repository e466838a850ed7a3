//! Tickets: created whole, changed by field and by line.
//!
//! Every change carries the whole ticket, so that head office needs no earlier one to understand it.

use serde_json::{Map, Value};
use storebox_proto::problem::Problem;

use super::customer::CUSTOMER;
use super::draft::{Draft, lane};
use super::input::Input;
use super::writer::Making;

/// The kind of transaction of a ticket.
pub(super) const ORDER: &str = "Order";
/// Lines of one ticket.
const LINES_MAX: usize = 1000;

/// A ticket is created or changed.
pub(super) fn ticket(making: &Making<'_>, mut input: Input) -> Result<Draft, Problem> {
    let given = input.take_id("id")?;
    if given.as_ref().is_some_and(|id| id.len() > 64 || id.contains('/')) {
        return input.refuse("id", "must have at most 64 bytes and no '/'");
    }
    let before = given.as_ref().and_then(|id| making.reader.local(ORDER, id));
    let id = given.unwrap_or_else(|| making.key.to_string());
    let mut payload = before.map(|document| document.payload).unwrap_or_default();
    payload.remove("origin");
    let customer = making.customer(&mut input)?;
    let lines = lines(making, &mut input, payload.remove("lines"))?;
    amounts(&mut input)?;
    let session = input.take_text("session")?;
    let session = session.or_else(|| payload.get("session")?.as_str().map(str::to_owned));
    payload.extend(std::mem::take(&mut input.fields));
    if let Some(customer) = customer {
        payload.insert("businessPartnerId".to_owned(), Value::String(customer));
    }
    if let Some(session) = &session {
        payload.insert("session".to_owned(), Value::String(session.clone()));
    }
    let customer = payload.get("businessPartnerId").and_then(Value::as_str);
    let depends_on = customer.and_then(|customer| making.held(CUSTOMER, customer));
    payload.insert("id".to_owned(), Value::String(id.clone()));
    payload.insert("lines".to_owned(), Value::Array(lines));
    Ok(Draft {
        kind: ORDER,
        lane: lane("ticket", &id),
        depends_on: depends_on.into_iter().collect(),
        session,
        payload,
    })
}

/// The lines as they are now: changed by id, added without one, taken out where they say so.
fn lines(
    making: &Making<'_>,
    input: &mut Input,
    before: Option<Value>,
) -> Result<Vec<Value>, Problem> {
    let mut lines: Vec<Map<String, Value>> = match before {
        Some(Value::Array(list)) => {
            list.into_iter().filter_map(|line| line.as_object().cloned()).collect()
        }
        Some(_) | None => Vec::new(),
    };
    for (number, mut line) in input.take_list("lines")?.into_iter().enumerate() {
        making.product(&mut line)?;
        line.quantity("quantity")?;
        let id = line.take_id("id")?;
        let known =
            id.as_ref().and_then(|id| lines.iter().position(|known| id_of(known) == Some(id)));
        let is_removed = match line.fields.remove("removed") {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => return line.refuse("removed", "must be true or false"),
        };
        match (known, is_removed) {
            (Some(at), true) => {
                lines.remove(at);
            }
            (None, true) => return line.refuse("id", "no line of the ticket has it"),
            (Some(at), false) => lines[at].extend(line.fields),
            (None, false) => {
                if line.fields.get("productId").and_then(Value::as_str).is_none() {
                    return line.refuse("productId", "or product is needed");
                }
                if line.fields.get("quantity").is_none() {
                    return line.refuse("quantity", "is missing");
                }
                let id = id.unwrap_or_else(|| format!("{}-{}", making.key, number + 1));
                line.fields.insert("id".to_owned(), Value::String(id));
                lines.push(line.fields);
            }
        }
    }
    if lines.len() > LINES_MAX {
        return input.refuse("lines", &format!("would be {}, at most {LINES_MAX}", lines.len()));
    }
    Ok(lines.into_iter().map(Value::Object).collect())
}

/// Taxes and payments are kept as they are; what is an amount must be one.
fn amounts(input: &mut Input) -> Result<(), Problem> {
    for (list, field) in [("taxes", "amount"), ("payments", "amount")] {
        let parts = input.take_list(list)?;
        if parts.is_empty() {
            continue;
        }
        for part in &parts {
            part.quantity(field)?;
        }
        let parts = parts.into_iter().map(|part| Value::Object(part.fields)).collect();
        input.fields.insert(list.to_owned(), Value::Array(parts));
    }
    Ok(())
}

fn id_of(line: &Map<String, Value>) -> Option<&String> {
    match line.get("id")? {
        Value::String(id) => Some(id),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}
