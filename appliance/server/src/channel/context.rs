//! Who calls, for which channel, and what follows from that.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use storebox_proto::estate::channel::{Channel, Hook};
use storebox_proto::ids::TerminalId;
use storebox_proto::limits::ORGANISATION_DEPTH_MAX;

use super::book::Definitions;
use super::hooks::Point;
use super::request_log::Step;

/// Who calls, as the caller of the execution layer has made sure of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The terminal.
    pub terminal: TerminalId,
    /// The user who works at it, if somebody vouches for that.
    pub user: Option<String>,
    /// The operator of the box, who may do everything.
    pub is_operator: bool,
    /// By which everything about the call is found.
    pub correlation: String,
}

/// What a call is made in: who, where, for which channel.
#[derive(Debug)]
pub struct Context {
    /// Who calls.
    pub caller: Caller,
    /// The channel of the terminal.
    pub channel: Arc<Channel>,
    /// The user: the caller's, or the one that the terminal always works as.
    pub user: Option<String>,
    /// The roles of the user, and of the terminal if nobody is logged in there.
    pub roles: BTreeSet<String>,
    /// Where the terminal sells, and what.
    pub place: Place,
    /// What is defined of channels.
    pub definitions: Arc<Definitions>,
    steps: Mutex<Vec<Step>>,
}

/// Where a terminal sells, and what: from its record, its type, its channel or its organisation, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The store.
    pub organization_id: Option<String>,
    /// Its prices.
    pub price_list_id: Option<String>,
    /// Its products; all of them without one.
    pub assortment_id: Option<String>,
    /// The warehouses whose stock counts; all of them if empty.
    pub warehouse_ids: BTreeSet<String>,
}

/// Finds a record of the estate: model, field (or `id`), value.
pub type Look<'a> = &'a dyn Fn(&str, &str, &str) -> Option<Map<String, Value>>;

impl Context {
    pub(super) fn new(
        caller: Caller,
        channel: Arc<Channel>,
        terminal: &Map<String, Value>,
        definitions: Arc<Definitions>,
        look: Look<'_>,
    ) -> Self {
        let user = caller.user.clone().or_else(|| text(terminal, "userId"));
        let record = user.as_ref().and_then(|user| look("User", "id", user));
        let mut roles = record.as_ref().map(roles_of).unwrap_or_default();
        // Somebody who is logged in has the rights of a person, not those of the terminal.
        if caller.user.is_none() {
            roles.extend(roles_of(terminal));
        }
        let place = Place::of(terminal, &channel, look);
        Self { caller, channel, user, roles, place, definitions, steps: Mutex::default() }
    }

    /// What every line in the log says of a call.
    pub fn span(&self, service: &str) -> tracing::Span {
        tracing::info_span!("channel call", correlation = %self.caller.correlation,
            channel = %self.channel.id, till = %self.terminal(), service,
            user = self.user.as_deref(), roles = self.roles_text())
    }

    /// The roles, as one text; nothing if there are none.
    fn roles_text(&self) -> Option<String> {
        let names: Vec<&str> = self.roles.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| names.join(","))
    }

    /// The hooks of the channel at a point, in the order of their call.
    pub fn hooks_at(&self, point: Point) -> impl Iterator<Item = &Arc<Hook>> {
        let hooks = self.definitions.hooks(&self.channel.id);
        hooks.filter(move |hook| hook.is_for(point.stage, point.service, point.entity))
    }

    /// A hook has run.
    pub fn step(&self, step: Step) {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    /// The hooks that have run.
    pub fn steps(&self) -> Vec<Step> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The terminal's name.
    pub fn terminal(&self) -> &TerminalId {
        &self.caller.terminal
    }
}

impl Place {
    pub(super) fn of(terminal: &Map<String, Value>, channel: &Channel, look: Look<'_>) -> Self {
        let kind = text(terminal, "terminalTypeId").and_then(|id| look("TerminalType", "id", &id));
        let own = |name: &str| {
            text(terminal, name).or_else(|| kind.as_ref().and_then(|kind| text(kind, name)))
        };
        let organization_id = own("organizationId").or_else(|| channel.organization_id.clone());
        let organisations = ancestors(organization_id.as_deref(), look);
        let inherited = |name: &str| organisations.iter().find_map(|record| text(record, name));
        let price_list_id = own("priceListId")
            .or_else(|| channel.price_list_id.clone())
            .or_else(|| inherited("priceListId"));
        let assortment_id = own("assortmentId")
            .or_else(|| channel.assortment_id.clone())
            .or_else(|| inherited("assortmentId"));
        let mut warehouse_ids = texts(terminal, "warehouseIds");
        if warehouse_ids.is_empty() {
            warehouse_ids = channel.warehouse_ids.iter().cloned().collect();
        }
        Self { organization_id, price_list_id, assortment_id, warehouse_ids }
    }
}

/// An organisation and those above it; a circle or a very deep tree is cut.
pub fn ancestors(id: Option<&str>, look: Look<'_>) -> Vec<Map<String, Value>> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut next = id.map(str::to_owned);
    while let Some(id) = next.take() {
        if found.len() >= ORGANISATION_DEPTH_MAX || !seen.insert(id.clone()) {
            break;
        }
        let Some(record) = look("Organization", "id", &id) else { break };
        next = text(&record, "parentId");
        found.push(record);
    }
    found
}

/// The roles of a user or terminal: one as `roleId`, any number as `roles`.
fn roles_of(record: &Map<String, Value>) -> BTreeSet<String> {
    let mut roles = texts(record, "roles");
    roles.extend(text(record, "roleId"));
    roles
}

fn texts(record: &Map<String, Value>, name: &str) -> BTreeSet<String> {
    let list = record.get(name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text(record: &Map<String, Value>, name: &str) -> Option<String> {
    record.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use storebox_proto::estate::channel::Definition;

    use super::*;

    fn place(terminal: Value, channel: Value, records: &[(&str, Value)]) -> Place {
        let look = |model: &str, field: &str, value: &str| {
            let found = records.iter().find(|(of, record)| *of == model && record[field] == value);
            found.and_then(|(_, record)| record.as_object().cloned())
        };
        let channel = Channel::from_fields(channel.as_object().unwrap()).unwrap();
        Place::of(terminal.as_object().unwrap(), &channel, &look)
    }

    #[test]
    fn what_a_terminal_does_not_say_comes_from_its_type_its_channel_and_its_store() {
        let channel = json!({"id": "web", "name": "Web", "type": "web-shop", "assortmentId": "A1",
                             "organizationId": "S1", "warehouseIds": ["W1"]});
        let records = [
            ("TerminalType", json!({"id": "kiosk", "assortmentId": "A0"})),
            ("Organization", json!({"id": "S1", "parentId": "R1"})),
            ("Organization", json!({"id": "R1", "parentId": "S1", "priceListId": "PL1"})),
        ];
        let found = place(json!({"id": "t", "terminalTypeId": "kiosk"}), channel.clone(), &records);
        assert_eq!(found.assortment_id.as_deref(), Some("A0"));
        assert_eq!(found.price_list_id.as_deref(), Some("PL1"));
        assert_eq!(found.warehouse_ids, BTreeSet::from(["W1".to_owned()]));
        let found = place(json!({"id": "t", "priceListId": "PL2"}), channel, &records);
        assert_eq!(found.price_list_id.as_deref(), Some("PL2"));
        assert_eq!(found.assortment_id.as_deref(), Some("A1"));
    }

    #[test]
    fn a_circle_of_organisations_ends() {
        let look = |_: &str, _: &str, id: &str| {
            let parent = if id == "a" { "b" } else { "a" };
            json!({"id": id, "parentId": parent}).as_object().cloned()
        };
        assert_eq!(ancestors(Some("a"), &look).len(), 2);
        let deep = |_: &str, _: &str, id: &str| {
            json!({"id": id, "parentId": format!("{id}x")}).as_object().cloned()
        };
        assert_eq!(ancestors(Some("a"), &deep).len(), ORGANISATION_DEPTH_MAX);
    }
}
