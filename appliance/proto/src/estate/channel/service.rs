//! What a channel is offered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::hook::check_code;
use super::{Definition, Script, Webhook, not_empty, read_value};
use crate::estate::DefinitionFault;
use crate::query::Entity;

/// The longest that an answer may be kept by a client: a day.
const CACHE_SECONDS_MAX: u32 = 86_400;
/// The longest that a request waits for head office.
const WAIT_SECONDS_MAX: u32 = 55;

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $writes:literal;)*) => {
        /// A service, by what it does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ServiceType { $($(#[$doc])* #[serde(rename = $text)] $name,)* }

        impl ServiceType {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in a record and in a path.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether it changes anything.
            pub fn writes(self) -> bool {
                match self { $(Self::$name => $writes,)* }
            }
        }
    };
}

services! {
    /// Asks for entities.
    Query = "query", false;
    /// Creates or changes a customer.
    Customer = "customer", true;
    /// Creates or changes an address of a customer.
    CustomerAddress = "customer-address", true;
    /// Sets or changes stock.
    Inventory = "inventory", true;
    /// Creates or changes a ticket.
    Ticket = "ticket", true;
    /// Ships lines of a ticket.
    TicketShip = "ticket-ship", true;
    /// Adds payments to a ticket.
    TicketPay = "ticket-pay", true;
    /// Invoices a ticket.
    TicketInvoice = "ticket-invoice", true;
    /// Closes a cash session.
    CashUp = "cash-up", true;
    /// Puts cash in or takes it out.
    CashManagement = "cash-management", true;
}

impl ServiceType {
    /// The service of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|service| service.as_str() == name).copied()
    }
}

/// Who does what a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Implementation {
    /// The box.
    #[default]
    Default,
    /// A script, instead of the box.
    Script,
    /// Another program, instead of the box.
    Webhook,
}

/// A service of a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChannelService {
    /// Its id.
    pub id: String,
    /// The channel.
    pub channel_id: String,
    /// What it does.
    #[serde(rename = "type")]
    pub service: ServiceType,
    /// Who does it.
    #[serde(default)]
    pub implementation: Implementation,
    /// The script, if a script does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// The other program, if one does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Whether the caller is answered before the work is done.
    #[serde(default, rename = "async")]
    pub is_async: bool,
    /// Whether its calls are in the request log.
    #[serde(default = "yes")]
    pub log: bool,
    /// What else is to be said, by type; see [`ChannelService::parameters`].
    #[serde(default, rename = "parameters", skip_serializing_if = "Map::is_empty")]
    pub raw_parameters: Map<String, Value>,
}

fn yes() -> bool {
    true
}

/// How long clients may keep an answer: one time for all entities, or one for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CacheSeconds {
    /// For all entities.
    All(u32),
    /// By entity; others are not kept.
    Each(BTreeMap<Entity, u32>),
}

/// When a caller is answered, if the request does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// When it is on this box's disk.
    #[default]
    Held,
    /// When head office has it.
    Settled,
}

/// The parameters of a service, by its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameters {
    /// Of the query service.
    Query(QueryParameters),
    /// Of a service that changes something.
    Write(WriteParameters),
}

/// The parameters of the query service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct QueryParameters {
    /// The entities that may be asked for; empty for all.
    pub entities: Vec<Entity>,
    /// How long clients may keep answers.
    pub cache_seconds: Option<CacheSeconds>,
    /// Rows of one answer at most, below the limit of the box.
    pub rows_max: Option<u64>,
}

/// The parameters of a service that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WriteParameters {
    /// When a caller is answered.
    pub wait: Wait,
    /// How long a caller waits for head office.
    pub wait_seconds: Option<u32>,
}

impl ChannelService {
    /// The service as it is when a channel names only its type.
    pub fn of_type(channel_id: &str, service: ServiceType) -> Self {
        Self {
            id: String::new(),
            channel_id: channel_id.to_owned(),
            service,
            implementation: Implementation::Default,
            script: None,
            webhook: None,
            is_async: false,
            log: true,
            raw_parameters: Map::new(),
        }
    }

    /// Its parameters; they were checked when the definition was read.
    pub fn parameters(&self) -> Result<Parameters, DefinitionFault> {
        let raw = Value::Object(self.raw_parameters.clone());
        match self.service.writes() {
            false => Ok(Parameters::Query(read_value("parameters", raw)?)),
            true => Ok(Parameters::Write(read_value("parameters", raw)?)),
        }
    }
}

impl Definition for ChannelService {
    const MODEL: &'static str = super::CHANNEL_SERVICE;

    fn check(&self) -> Result<(), DefinitionFault> {
        not_empty("channelId", &self.channel_id)?;
        check_code(self.implementation, self.script.as_ref(), self.webhook.as_ref())?;
        if self.is_async && !self.service.writes() {
            return Err(DefinitionFault::new(
                "async",
                "a query is answered with what was asked for",
            ));
        }
        match self.parameters()? {
            Parameters::Query(query) => query.check(),
            Parameters::Write(write) => write.check(),
        }
    }
}

impl QueryParameters {
    fn check(&self) -> Result<(), DefinitionFault> {
        let fits = |path: String, seconds: u32| match seconds <= CACHE_SECONDS_MAX {
            true => Ok(()),
            false => Err(DefinitionFault::new(path, format!("must be 0 to {CACHE_SECONDS_MAX}"))),
        };
        match &self.cache_seconds {
            None => {}
            Some(CacheSeconds::All(seconds)) => {
                fits("parameters.cacheSeconds".to_owned(), *seconds)?;
            }
            Some(CacheSeconds::Each(each)) => {
                for (entity, seconds) in each {
                    fits(format!("parameters.cacheSeconds.{entity}"), *seconds)?;
                }
            }
        }
        let max = crate::limits::QUERY_ROWS_MAX;
        match self.rows_max {
            Some(rows) if !(1..=max).contains(&rows) => {
                Err(DefinitionFault::new("parameters.rowsMax", format!("must be 1 to {max}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// How long an answer about an entity may be kept.
    pub fn cache_seconds(&self, entity: Entity) -> Option<u32> {
        match self.cache_seconds.as_ref()? {
            CacheSeconds::All(seconds) => Some(*seconds),
            CacheSeconds::Each(each) => each.get(&entity).copied(),
        }
    }
}

impl WriteParameters {
    fn check(&self) -> Result<(), DefinitionFault> {
        match self.wait_seconds {
            Some(seconds) if !(1..=WAIT_SECONDS_MAX).contains(&seconds) => {
                Err(DefinitionFault::new(
                    "parameters.waitSeconds",
                    format!("must be 1 to {WAIT_SECONDS_MAX}"),
                ))
            }
            Some(_) | None => Ok(()),
        }
    }
}
