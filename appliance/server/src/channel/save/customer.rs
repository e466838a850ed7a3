//! Customers and their addresses.

use serde_json::{Map, Value};
use storebox_proto::ids::TxKey;
use storebox_proto::problem::Problem;
use storebox_proto::ticket::Grade;

use super::draft::{Draft, lane};
use super::input::Input;
use super::writer::Making;

/// The kind of transaction of a customer.
pub(super) const CUSTOMER: &str = "ChangedBusinessPartners";
/// The kind of transaction of an address.
pub(super) const ADDRESS: &str = "ChangedBPlocation";
const CUSTOMERS: &str = "BusinessPartner";

/// A customer is created, or changed in the fields that are given.
pub(super) fn customer(making: &Making<'_>, mut input: Input) -> Result<Draft, Problem> {
    let Known { id, is_new, mut payload } = known(making, &mut input, CUSTOMER, CUSTOMERS)?;
    making.resolve_one(&mut input, "category", "categoryId", "BPCategory", &["searchKey"])?;
    payload.extend(std::mem::take(&mut input.fields));
    let has_name = payload.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    if is_new && !has_name {
        return input.refuse("name", "is missing: a new customer has one");
    }
    payload.insert("id".to_owned(), Value::String(id.clone()));
    Ok(Draft {
        kind: CUSTOMER,
        lane: lane("customer", &id),
        depends_on: Vec::new(),
        session: None,
        payload,
    })
}

/// An address is created, or changed in the fields that are given.
pub(super) fn address(making: &Making<'_>, mut input: Input) -> Result<Draft, Problem> {
    let Known { id, is_new, mut payload } = known(making, &mut input, ADDRESS, "BPLocation")?;
    let customer = making.customer(&mut input)?;
    let central = match is_new {
        true => None,
        false => making.reader.central("BPLocation", &id)?,
    };
    let before =
        payload.get("businessPartnerId").or_else(|| central.as_ref()?.get("businessPartnerId"));
    let customer = customer.or_else(|| before.and_then(Value::as_str).map(str::to_owned));
    let Some(customer) = customer else {
        return input
            .refuse("businessPartnerId", "or customer is needed: a new address has an owner");
    };
    payload.extend(std::mem::take(&mut input.fields));
    payload.insert("id".to_owned(), Value::String(id));
    payload.insert("businessPartnerId".to_owned(), Value::String(customer.clone()));
    Ok(Draft {
        kind: ADDRESS,
        lane: lane("customer", &customer),
        depends_on: making.held(CUSTOMER, &customer).into_iter().collect(),
        session: None,
        payload,
    })
}

/// What a request is about, as far as it is known.
struct Known {
    id: String,
    is_new: bool,
    /// What the shop has said of it before.
    payload: Map<String, Value>,
}

fn known(
    making: &Making<'_>,
    input: &mut Input,
    kind: &str,
    model: &str,
) -> Result<Known, Problem> {
    let Some(given) = input.take_id("id")? else {
        return Ok(Known { id: making.key.to_string(), is_new: true, payload: Map::new() });
    };
    let central = making.reader.central_id(model, &given)?;
    let is_central = central.is_some();
    let id = central.unwrap_or(given);
    let local = making.reader.local(kind, &id);
    let mut payload = local.as_ref().map(|document| document.payload.clone()).unwrap_or_default();
    payload.remove("origin");
    payload.remove("terminal");
    Ok(Known { id, is_new: !is_central && local.is_none(), payload })
}

impl Making<'_> {
    /// The customer that a request names by id or code.
    pub(super) fn customer(&self, input: &mut Input) -> Result<Option<String>, Problem> {
        self.resolve_one(input, "customer", "businessPartnerId", CUSTOMERS, &["searchKey"])?;
        let Some(given) = input.take_id("businessPartnerId")? else { return Ok(None) };
        let central = self.reader.central_id(CUSTOMERS, &given)?;
        if central.is_none() && self.reader.local(CUSTOMER, &given).is_none() {
            return input.refuse("businessPartnerId", &format!("no customer has the id {given:?}"));
        }
        Ok(Some(central.unwrap_or(given)))
    }

    /// Replaces a code by the id of what has it.
    pub(super) fn resolve_one(
        &self,
        input: &mut Input,
        name: &str,
        field: &str,
        model: &str,
        codes: &[&str],
    ) -> Result<(), Problem> {
        let Some(code) = input.take_text(name)? else { return Ok(()) };
        if input.fields.get(field).is_some_and(|value| !value.is_null()) {
            return input.refuse(name, &format!("and {field} say the same; give one of them"));
        }
        let mut ids = self.reader.ids_of(model, codes, &code)?.into_iter();
        match (ids.next(), ids.next()) {
            (Some(id), None) => {
                input.fields.insert(field.to_owned(), Value::String(id));
                Ok(())
            }
            (Some(_), Some(_)) => {
                input.refuse(name, &format!("several have the code {code:?}; give {field}"))
            }
            (None, _) => input.refuse(name, &format!("nothing has the code {code:?}")),
        }
    }

    /// The transaction that made a document, if head office does not have it yet.
    pub(super) fn held(&self, kind: &str, id: &str) -> Option<TxKey> {
        let document = self.reader.local(kind, id)?;
        (document.grade != Grade::Settled).then_some(document.key)
    }
}
