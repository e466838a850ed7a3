//! The records that define channels, as JSON Schemas in the OpenAPI document, for programs that write them.
//!
//! What a record really may be is decided where it is read (`storebox_proto::estate::channel`); a test holds the names of
//! fields and values here against what is said there.

use storebox_proto::estate::channel::{ServiceType, Stage};
use storebox_proto::limits::{QUERY_ROWS_MAX, SCRIPT_BYTES_MAX};
use storebox_proto::query::Entity;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};

type Part = RefOr<Schema>;

/// The schemas, each with its name.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("ChannelRecord", channel()),
        ("ChannelServiceRecord", service()),
        ("HookRecord", hook()),
        ("PushDefinitionRecord", push()),
        ("AccessRecord", access()),
        ("WebhookDefinition", webhook()),
        ("QueryParameters", query_parameters()),
        ("WriteParameters", write_parameters()),
    ]
}

fn text(about: &str) -> Part {
    let text = ObjectBuilder::new().schema_type(Type::String);
    RefOr::T(text.description(Some(about)).build().into())
}

fn named(about: &str, names: &[&'static str]) -> Part {
    let text = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names.to_vec()));
    RefOr::T(text.description(Some(about)).build().into())
}

fn truth(about: &str) -> Part {
    let truth = ObjectBuilder::new().schema_type(Type::Boolean);
    RefOr::T(truth.description(Some(about)).build().into())
}

fn number(about: &str, from: u32, to: u64) -> Part {
    let to = u32::try_from(to).unwrap_or(u32::MAX);
    let number = ObjectBuilder::new().schema_type(Type::Integer);
    let number = number.minimum(Some(f64::from(from))).maximum(Some(f64::from(to)));
    RefOr::T(number.description(Some(about)).build().into())
}

fn free(about: &str) -> Part {
    let object = ObjectBuilder::new().schema_type(Type::Object);
    RefOr::T(object.description(Some(about)).build().into())
}

fn list(about: &str, of: Part) -> Part {
    RefOr::T(ArrayBuilder::new().items(of).description(Some(about)).build().into())
}

fn refer(name: &str) -> Part {
    RefOr::Ref(Ref::from_schema_name(name))
}

fn script() -> Part {
    let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(SCRIPT_BYTES_MAX));
    RefOr::T(text.description(Some("Rhai, for the implementation `script`.")).build().into())
}

/// An object with these fields and no other; the first ones are needed.
fn record(about: &str, needed: usize, fields: Vec<(&str, Part)>) -> Schema {
    let object = ObjectBuilder::new().schema_type(Type::Object).description(Some(about));
    let object = object.additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let each = fields.into_iter().enumerate();
    let filled = each.fold(object, |object, (at, (name, part))| {
        let object = object.property(name, part);
        if at < needed { object.required(name) } else { object }
    });
    filled.build().into()
}

fn services() -> Vec<&'static str> {
    ServiceType::ALL.iter().map(|service| service.as_str()).collect()
}

fn entities() -> Vec<&'static str> {
    Entity::ALL.map(|(name, _)| name).to_vec()
}

fn channel() -> Schema {
    let kinds = ["pos", "kiosk", "web-shop", "franchise", "other"];
    record(
        "A channel: a record of the model `Channel`.",
        3,
        vec![
            ("id", text("Its id.")),
            ("name", text("Its name.")),
            ("type", named("What kind of business it is.", &kinds)),
            ("searchKey", text("Its code.")),
            ("description", text("What it is for.")),
            ("organizationId", text("The store, if its terminals do not say.")),
            ("priceListId", text("Their prices, if they do not say.")),
            ("assortmentId", text("Their products, if they do not say.")),
            (
                "warehouseIds",
                list("The warehouses whose stock it sees; all without.", text("An id.")),
            ),
        ],
    )
}

fn service() -> Schema {
    let done_by = ["default", "script", "webhook"];
    record(
        "A service of a channel: a record of the model `ChannelService`.",
        3,
        vec![
            ("id", text("Its id.")),
            ("channelId", text("The channel.")),
            ("type", named("What it does.", &services())),
            ("implementation", named("Who does it; the box without it.", &done_by)),
            ("script", script()),
            ("webhook", refer("WebhookDefinition")),
            (
                "async",
                truth("Whether the caller is answered with 202 before the work is done; no."),
            ),
            ("log", truth("Whether its calls are in the request log; yes.")),
            ("parameters", free("`QueryParameters` of a query, `WriteParameters` of all others.")),
        ],
    )
}

fn hook() -> Schema {
    let stages = Stage::ALL.map(|(name, _)| name);
    record(
        "A hook: a record of the model `Hook`.",
        4,
        vec![
            ("id", text("Its id, by which it is named.")),
            ("channelId", text("The channel.")),
            ("type", named("When it is called.", &stages)),
            ("implementation", named("What is called.", &["script", "webhook"])),
            ("entity", named("What it is about, where the stage has several.", &entities())),
            ("service", named("For requests and answers; all services without it.", &services())),
            ("script", script()),
            ("webhook", refer("WebhookDefinition")),
            ("sequence", number("Hooks of one stage are called by this, then by id.", 0, u64::MAX)),
            ("parameters", free("What the code is given besides the object.")),
        ],
    )
}

fn push() -> Schema {
    let criterion = free("A criterion, as in a query.");
    record(
        "A push definition: a record of the model `PushDefinition`.",
        4,
        vec![
            ("id", text("Its id.")),
            ("channelId", text("The channel.")),
            ("entity", named("What it is about.", &["Product", "Customer", "Ticket"])),
            ("delivery", named("How it gets there.", &["webhook", "sse"])),
            ("webhook", refer("WebhookDefinition")),
            ("frequency", number("Minutes between two deliveries; 0 is at once.", 0, 10_080)),
            ("where", list("Which of them, in the query language.", criterion)),
            ("content", named("What it says; `signal` without it.", &["signal", "full"])),
            ("parameters", free("What is sent along.")),
        ],
    )
}

fn access() -> Schema {
    record(
        "Who may use a channel: a record of the model `Access`.",
        3,
        vec![
            ("id", text("Its id.")),
            ("channelId", text("The channel.")),
            ("right", named("What they may.", &["read-only", "write"])),
            ("roleId", text("Everybody of this role; or `userId`.")),
            ("userId", text("This user; or `roleId`.")),
        ],
    )
}

fn webhook() -> Schema {
    record(
        "Another program that the box calls.",
        1,
        vec![
            ("url", text("Where it is: https:// or http://, without a password.")),
            ("timeoutMs", number("How long it is waited for; 2000 without it.", 1, 30_000)),
            ("secret", text("The name of the file in the box's folder `secrets` that signs.")),
        ],
    )
}

fn query_parameters() -> Schema {
    let seconds = number("For all entities; or an object with numbers by entity.", 0, 86_400);
    record(
        "What a query may be.",
        0,
        vec![
            ("entities", list("Which may be asked for; all without.", named("One.", &entities()))),
            ("cacheSeconds", seconds),
            ("rowsMax", number("Rows of one answer.", 1, QUERY_ROWS_MAX)),
        ],
    )
}

fn write_parameters() -> Schema {
    record(
        "When a change is answered.",
        0,
        vec![
            ("wait", named("For the box's disk, or for head office.", &["held", "settled"])),
            ("waitSeconds", number("How long to wait for head office.", 1, 55)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};
    use storebox_proto::estate;

    use super::*;

    fn schema(name: &str) -> Value {
        let found = schemas().into_iter().find(|(own, _)| *own == name).unwrap().1;
        serde_json::to_value(found).unwrap()
    }

    /// What a refusal lists between backquotes behind `expected`.
    fn listed(model: &str, record: &Value) -> BTreeSet<String> {
        let fault = estate::check(model, record.as_object().unwrap()).unwrap_err().what;
        let (_, list) = fault.split_once("expected").unwrap_or_else(|| panic!("{fault}"));
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    fn names(of: &Value) -> BTreeSet<String> {
        of.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_schemas_have_the_fields_that_records_may_have() {
        let service = |kind: &str, parameters: Value| json!({"id": "s", "channelId": "c", "type": kind, "parameters": parameters});
        let hook = json!({"id": "h", "channelId": "c", "type": "on-request",
            "implementation": "webhook", "webhook": {"zzz": 1}});
        for (name, model, record) in [
            ("ChannelRecord", "Channel", json!({"zzz": 1})),
            ("ChannelServiceRecord", "ChannelService", json!({"zzz": 1})),
            ("HookRecord", "Hook", json!({"zzz": 1})),
            ("PushDefinitionRecord", "PushDefinition", json!({"zzz": 1})),
            ("AccessRecord", "Access", json!({"zzz": 1})),
            ("WebhookDefinition", "Hook", hook),
            ("QueryParameters", "ChannelService", service("query", json!({"zzz": 1}))),
            ("WriteParameters", "ChannelService", service("ticket", json!({"zzz": 1}))),
        ] {
            assert_eq!(names(&schema(name)["properties"]), listed(model, &record), "{name}");
        }
    }

    #[test]
    fn the_schemas_have_the_values_that_fields_may_have() {
        for (name, model, field) in [
            ("ChannelRecord", "Channel", "type"),
            ("ChannelServiceRecord", "ChannelService", "type"),
            ("ChannelServiceRecord", "ChannelService", "implementation"),
            ("HookRecord", "Hook", "type"),
            ("HookRecord", "Hook", "entity"),
            ("HookRecord", "Hook", "service"),
            ("PushDefinitionRecord", "PushDefinition", "entity"),
            ("PushDefinitionRecord", "PushDefinition", "delivery"),
            ("PushDefinitionRecord", "PushDefinition", "content"),
            ("AccessRecord", "Access", "right"),
        ] {
            let schema = schema(name);
            let list = schema["properties"][field]["enum"].as_array().unwrap().iter();
            let own: BTreeSet<String> =
                list.map(|name| name.as_str().unwrap().to_owned()).collect();
            assert_eq!(own, listed(model, &json!({field: "zzz"})), "{field} of {name}");
        }
    }
}
