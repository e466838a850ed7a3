//! What a channel is told without asking.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Definition, Webhook, bounded, not_empty, where_clause};
use crate::estate::DefinitionFault;
use crate::query::{Criteria, Entity};

/// What a push may be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PushEntity {
    /// A product, or its price.
    Product,
    /// A customer, or an address of it.
    Customer,
    /// A ticket.
    Ticket,
}

impl PushEntity {
    /// What a client asks for when it wants to know more.
    pub fn entity(self) -> Entity {
        match self {
            Self::Product => Entity::Product,
            Self::Customer => Entity::Customer,
            Self::Ticket => Entity::Ticket,
        }
    }
}

/// What a push says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// That it has changed.
    #[default]
    Signal,
    /// What it is now.
    Full,
}

/// How a push gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// The box calls.
    Webhook,
    /// A client listens.
    Sse,
}

impl Delivery {
    /// As it is written in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Sse => "sse",
        }
    }
}

/// A push definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PushDefinition {
    /// Its id.
    pub id: String,
    /// The channel.
    pub channel_id: String,
    /// What it is about.
    pub entity: PushEntity,
    /// Minutes between two deliveries; 0 is at once.
    #[serde(default)]
    pub frequency: u32,
    /// Which of them, in the query language: a list of criteria.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub raw_where: Option<Value>,
    /// What it says.
    #[serde(default)]
    pub content: Content,
    /// How it gets there.
    pub delivery: Delivery,
    /// Where to, if the box calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// What is sent along.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
}

/// A push is never rarer than once a week.
const FREQUENCY_MAX: u32 = 7 * 24 * 60;

impl PushDefinition {
    /// Which rows it is about.
    pub fn criteria(&self) -> Result<Criteria, DefinitionFault> {
        self.raw_where.as_ref().map_or(Ok(Criteria::all()), |list| where_clause("where", list))
    }
}

impl Definition for PushDefinition {
    const MODEL: &'static str = super::PUSH_DEFINITION;

    fn check(&self) -> Result<(), DefinitionFault> {
        not_empty("channelId", &self.channel_id)?;
        self.criteria()?;
        bounded("parameters", &self.parameters)?;
        if self.frequency > FREQUENCY_MAX {
            let what = format!("must be 0 to {FREQUENCY_MAX} minutes");
            return Err(DefinitionFault::new("frequency", what));
        }
        match (self.delivery, &self.webhook) {
            (Delivery::Webhook, Some(webhook)) => webhook.check("webhook"),
            (Delivery::Sse, None) => Ok(()),
            (Delivery::Webhook, None) => Err(DefinitionFault::new("webhook", "is missing")),
            (Delivery::Sse, Some(_)) => {
                Err(DefinitionFault::new("webhook", "does not fit the delivery; leave it away"))
            }
        }
    }
}
