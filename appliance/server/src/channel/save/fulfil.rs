//! What happens to a ticket after it was made: goods leave, money comes, an invoice is written; each as often as needed.
//!
//! The id begins with that of the ticket, so that all that happened to it is found beside it.

use std::collections::BTreeSet;

use serde_json::Value;
use storebox_proto::ids::TxKey;
use storebox_proto::problem::Problem;

use super::draft::{Draft, lane};
use super::input::Input;
use super::ticket::ORDER;
use super::writer::Making;
use crate::channel::query::{CANDIDATES_MAX, Reader};
use crate::db::Probe;
use crate::uplink::Document;

/// The kind of transaction of a shipment.
pub(super) const SHIPMENT: &str = "TicketShipment";
/// The kind of transaction of payments.
pub(super) const PAYMENT: &str = "TicketPayment";
/// The kind of transaction of an invoice.
pub(super) const INVOICE: &str = "TicketInvoice";
/// Lines or payments of one call.
const PARTS_MAX: usize = 1000;

/// Lines of a ticket leave the store.
pub(super) fn ship(making: &Making<'_>, mut input: Input) -> Result<Draft, Problem> {
    let ticket = ticket_of(making, &mut input)?;
    let lines = ticket_lines(&mut input, &ticket)?;
    if lines.is_empty() {
        return input.refuse("lines", "are missing: say what leaves");
    }
    input.fields.insert("lines".to_owned(), Value::Array(lines));
    draft(making, input, SHIPMENT, &ticket)
}

/// Money comes for a ticket.
pub(super) fn pay(making: &Making<'_>, mut input: Input) -> Result<Draft, Problem> {
    let ticket = ticket_of(making, &mut input)?;
    let payments = input.take_list("payments")?;
    if !(1..=PARTS_MAX).contains(&payments.len()) {
        return input.refuse("payments", &format!("must be 1 to {PARTS_MAX}"));
    }
    for payment in &payments {
        if payment.quantity("amount")?.is_none() {
            return payment.refuse("amount", "is missing");
        }
    }
    let payments = payments.into_iter().map(|payment| Value::Object(payment.fields)).collect();
    input.fields.insert("payments".to_owned(), Value::Array(payments));
    draft(making, input, PAYMENT, &ticket)
}

/// A ticket, or lines of it, are invoiced.
pub(super) fn invoice(making: &Making<'_>, mut input: Input) -> Result<Draft, Problem> {
    let ticket = ticket_of(making, &mut input)?;
    let lines = ticket_lines(&mut input, &ticket)?;
    if !lines.is_empty() {
        input.fields.insert("lines".to_owned(), Value::Array(lines));
    }
    draft(making, input, INVOICE, &ticket)
}

fn draft(
    making: &Making<'_>,
    mut input: Input,
    kind: &'static str,
    ticket: &Document,
) -> Result<Draft, Problem> {
    let session = input.take_text("session")?;
    if input.fields.remove("id").is_some() {
        return input.refuse("id", "is made by the box; give the request a key to repeat it");
    }
    let mut payload = input.fields;
    payload.insert("id".to_owned(), Value::String(name(&ticket.id, making.key)));
    payload.insert("ticketId".to_owned(), Value::String(ticket.id.clone()));
    if let Some(session) = &session {
        payload.insert("session".to_owned(), Value::String(session.clone()));
    }
    let depends_on = making.held(ORDER, &ticket.id).into_iter().collect();
    Ok(Draft { kind, lane: lane("ticket", &ticket.id), depends_on, session, payload })
}

/// The id of what happens to a ticket.
fn name(ticket: &str, key: TxKey) -> String {
    format!("{ticket}/{key}")
}

/// The ids that what this request has made can have: blocking.
pub(super) fn names_of(reader: &Reader, request: &Value, key: TxKey) -> Vec<String> {
    let text = |field: &str| request.get(field).and_then(Value::as_str);
    let tickets = match (text("ticketId"), text("ticket")) {
        (Some(id), _) => vec![id.to_owned()],
        (None, Some(code)) => {
            let mut tickets =
                reader.tickets.ids("documentNo", &Probe::Exact(code.to_owned()), CANDIDATES_MAX);
            tickets.push(code.to_owned());
            tickets
        }
        (None, None) => Vec::new(),
    };
    tickets.iter().map(|ticket| name(ticket, key)).collect()
}

/// The ticket that a request names by id or by document number.
fn ticket_of(making: &Making<'_>, input: &mut Input) -> Result<Document, Problem> {
    if let Some(id) = input.take_id("ticketId")? {
        if let Some(found) = making.reader.local(ORDER, &id) {
            return Ok(found);
        }
        return input.refuse("ticketId", &format!("no ticket of this store has the id {id:?}"));
    }
    let Some(code) = input.take_text("ticket")? else {
        return input.refuse("ticketId", "or ticket, its document number, is needed");
    };
    if let Some(found) = making.reader.local(ORDER, &code) {
        return Ok(found);
    }
    let known =
        making.reader.tickets.ids("documentNo", &Probe::Exact(code.clone()), CANDIDATES_MAX);
    let known = known.iter().filter_map(|id| making.reader.local(ORDER, id));
    let has_it = |document: &Document| {
        document.payload.get("documentNo").and_then(Value::as_str) == Some(code.as_str())
    };
    let mut found: Vec<Document> = known.filter(has_it).take(2).collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => {
            input.refuse("ticket", &format!("several have the number {code:?}; give ticketId"))
        }
        (None, _) => {
            input.refuse("ticket", &format!("no ticket of this store has the number {code:?}"))
        }
    }
}

/// The lines of a request, each a line of the ticket.
fn ticket_lines(input: &mut Input, ticket: &Document) -> Result<Vec<Value>, Problem> {
    let list = ticket.payload.get("lines").and_then(Value::as_array);
    let ids = list.into_iter().flatten().filter_map(|line| line.get("id")?.as_str());
    let known: BTreeSet<&str> = ids.collect();
    let lines = input.take_list("lines")?;
    if lines.len() > PARTS_MAX {
        return input.refuse("lines", &format!("must be at most {PARTS_MAX}"));
    }
    let checked = |line: Input| {
        line.quantity("quantity")?;
        match line.fields.get("id").and_then(Value::as_str) {
            // A till's own ticket may have lines without ids; they are told apart by its program.
            Some(id) if known.is_empty() || known.contains(id) => Ok(Value::Object(line.fields)),
            Some(_) => line.refuse("id", "no line of the ticket has it"),
            None => line.refuse("id", "of the ticket's line is needed"),
        }
    };
    lines.into_iter().map(checked).collect()
}
