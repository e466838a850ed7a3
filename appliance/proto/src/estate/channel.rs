//! Channels: who else than a till's own program may use a store, which services it is offered, and what happens on
//! the way.
//!
//! All of it is masterdata: the models `Channel`, `ChannelService`, `Hook`, `PushDefinition` and `Access`, and the
//! field `channelId` of a `Terminal`.
//!
//! Invariants:
//! - a terminal belongs to exactly one channel: its `channelId` is one text;
//! - an access entry names a role or a user, never both;
//! - no record holds a secret: a webhook names the file in which the box has it.

mod hook;
mod push;
mod service;
#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::DefinitionFault;
use crate::limits;
use crate::query::Criteria;

pub use hook::{Hook, Script, Stage, Subject, Webhook};
pub use push::{Content, Delivery, PushDefinition, PushEntity};
pub use service::{
    CacheSeconds, ChannelService, Implementation, Parameters, QueryParameters, ServiceType, Wait,
    WriteParameters,
};

/// The model of channels.
pub const CHANNEL: &str = "Channel";
/// The model of the services of channels.
pub const CHANNEL_SERVICE: &str = "ChannelService";
/// The model of hooks.
pub const HOOK: &str = "Hook";
/// The model of push definitions.
pub const PUSH_DEFINITION: &str = "PushDefinition";
/// The model of access entries.
pub const ACCESS: &str = "Access";
/// The model of terminals.
pub const TERMINAL: &str = "Terminal";

/// What kind of business a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelType {
    /// The tills of the own store.
    Pos,
    /// A terminal that customers use alone.
    Kiosk,
    /// A shop on the internet that sells or picks from the store.
    WebShop,
    /// The system of a partner who runs a store.
    Franchise,
    /// Anything else.
    Other,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Channel {
    /// Its id.
    pub id: String,
    /// Its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_key: Option<String>,
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What kind of business it is.
    #[serde(rename = "type")]
    pub kind: ChannelType,
    /// The store that it sells from, if its terminals do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// The prices of its terminals, if they do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_list_id: Option<String>,
    /// The products of its terminals, if they do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assortment_id: Option<String>,
    /// The warehouses whose stock it sees; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warehouse_ids: Vec<String>,
}

/// What an access entry allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// To ask.
    ReadOnly,
    /// To ask and to change.
    Write,
}

impl Right {
    /// As it is written in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Write => "write",
        }
    }
}

/// Who may use a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Access {
    /// Its id.
    pub id: String,
    /// The channel.
    pub channel_id: String,
    /// Everybody of this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_id: Option<String>,
    /// This user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// What they may.
    pub right: Right,
}

/// A record of the estate that defines something of a channel.
pub trait Definition: DeserializeOwned {
    /// The model of its records.
    const MODEL: &'static str;

    /// The rules that the types alone do not carry.
    fn check(&self) -> Result<(), DefinitionFault>;

    /// Reads and checks a record; `active` and `updated` belong to every record and are passed over.
    fn from_fields(fields: &Map<String, Value>) -> Result<Self, DefinitionFault> {
        let definition: Self = read(fields)?;
        definition.check()?;
        Ok(definition)
    }
}

impl Definition for Channel {
    const MODEL: &'static str = CHANNEL;

    fn check(&self) -> Result<(), DefinitionFault> {
        not_empty("name", &self.name)
    }
}

impl Definition for Access {
    const MODEL: &'static str = ACCESS;

    fn check(&self) -> Result<(), DefinitionFault> {
        not_empty("channelId", &self.channel_id)?;
        match (&self.role_id, &self.user_id) {
            (Some(role), None) => not_empty("roleId", role),
            (None, Some(user)) => not_empty("userId", user),
            (None, None) => Err(DefinitionFault::new("roleId", "or userId is needed")),
            (Some(_), Some(_)) => {
                Err(DefinitionFault::new("userId", "cannot stand beside roleId; write two entries"))
            }
        }
    }
}

/// Checks a record if its model is one of a channel.
pub(super) fn check(model: &str, fields: &Map<String, Value>) -> Result<(), DefinitionFault> {
    match model {
        CHANNEL => Channel::from_fields(fields).map(drop),
        CHANNEL_SERVICE => ChannelService::from_fields(fields).map(drop),
        HOOK => Hook::from_fields(fields).map(drop),
        PUSH_DEFINITION => PushDefinition::from_fields(fields).map(drop),
        ACCESS => Access::from_fields(fields).map(drop),
        TERMINAL => match fields.get("channelId") {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(channel)) => not_empty("channelId", channel),
            Some(_) => {
                let what = "must be the id of one channel: a terminal belongs to exactly one";
                Err(DefinitionFault::new("channelId", what))
            }
        },
        _ => Ok(()),
    }
}

pub(super) fn read<T: DeserializeOwned>(fields: &Map<String, Value>) -> Result<T, DefinitionFault> {
    let mut fields = fields.clone();
    fields.remove("active");
    fields.remove("updated");
    read_value("", Value::Object(fields))
}

/// Reads a value whose place in the record is known.
fn read_value<T: DeserializeOwned>(at: &str, value: Value) -> Result<T, DefinitionFault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let inner = error.path().to_string();
        let what = error.into_inner().to_string();
        let path = match (at, inner.as_str()) {
            ("", ".") => field_named(&what).unwrap_or("record").to_owned(),
            (at, ".") => match field_named(&what) {
                Some(field) => format!("{at}.{field}"),
                None => at.to_owned(),
            },
            ("", inner) => inner.to_owned(),
            (at, inner) => format!("{at}.{inner}"),
        };
        DefinitionFault { path, what }
    })
}

/// The field that serde's message is about, where its path ends one level too high.
fn field_named(what: &str) -> Option<&str> {
    what.strip_prefix("missing field `")?.split('`').next()
}

fn not_empty(path: &str, text: &str) -> Result<(), DefinitionFault> {
    match text.trim().is_empty() || text.len() > limits::QUERY_TEXT_BYTES_MAX {
        true => Err(DefinitionFault::new(path, "must have 1 to 256 bytes")),
        false => Ok(()),
    }
}

/// Free parameters: an object of bounded size.
fn bounded(path: &str, parameters: &Map<String, Value>) -> Result<(), DefinitionFault> {
    let bytes = serde_json::to_vec(parameters).map_or(usize::MAX, |json| json.len());
    let max = limits::PARAMETERS_BYTES_MAX;
    match bytes <= max {
        true => Ok(()),
        false => Err(DefinitionFault::new(path, format!("has {bytes} bytes, at most {max}"))),
    }
}

/// A where clause in the query language, as it stands in a record.
fn where_clause(path: &str, list: &Value) -> Result<Criteria, DefinitionFault> {
    Criteria::parse(list, path).map_err(|fault| DefinitionFault::new(fault.path, fault.what))
}
