//! What happens on the way of a request: code of the chain, at named points.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Definition, Implementation, ServiceType, bounded, not_empty};
use crate::estate::DefinitionFault;
use crate::limits;
use crate::query::Entity;

/// The longest that a webhook is waited for.
const WEBHOOK_MS_MAX: u32 = 30_000;
/// How long a webhook is waited for if nothing is said.
const WEBHOOK_MS: u32 = 2_000;

/// When a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// A request has come; may change it.
    OnRequest,
    /// An answer goes; may change it.
    OnResponse,
    /// A query is read; may change it.
    BeforeQuery,
    /// The answer of a query is there; may change it.
    AfterQuery,
    /// Before an input is understood; may change it.
    BeforeSave,
    /// The object is complete and about to be stored; may refuse it.
    OnSave,
    /// Stored but not yet committed; may change the answer only.
    AfterSave,
    /// Committed; repeated until it succeeds, and never fails the sale.
    AfterComplete,
    /// Before a shipment is made; may change it.
    BeforeCreateShipment,
    /// A shipment was made; may change the answer only.
    AfterCreateShipment,
    /// Before a payment is made; may change it.
    BeforeCreatePayment,
    /// A payment was made; may change the answer only.
    AfterCreatePayment,
    /// Before an invoice is made; may change it.
    BeforeCreateInvoice,
    /// An invoice was made; may change the answer only.
    AfterCreateInvoice,
}

impl Stage {
    /// All of them, with their names in a record.
    pub const ALL: [(&'static str, Self); 14] = [
        ("on-request", Self::OnRequest),
        ("on-response", Self::OnResponse),
        ("before-query", Self::BeforeQuery),
        ("after-query", Self::AfterQuery),
        ("before-save", Self::BeforeSave),
        ("on-save", Self::OnSave),
        ("after-save", Self::AfterSave),
        ("after-complete", Self::AfterComplete),
        ("before-create-shipment", Self::BeforeCreateShipment),
        ("after-create-shipment", Self::AfterCreateShipment),
        ("before-create-payment", Self::BeforeCreatePayment),
        ("after-create-payment", Self::AfterCreatePayment),
        ("before-create-invoice", Self::BeforeCreateInvoice),
        ("after-create-invoice", Self::AfterCreateInvoice),
    ];

    /// Its name in a record.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, stage)| *stage == self).map_or("", |(name, _)| name)
    }

    /// What a hook of this stage says it is about.
    fn subject(self) -> Subject {
        match self {
            Self::OnRequest | Self::OnResponse => Subject::Service,
            Self::BeforeQuery | Self::AfterQuery => Subject::Asked,
            Self::BeforeSave | Self::OnSave | Self::AfterSave | Self::AfterComplete => {
                Subject::Saved
            }
            Self::BeforeCreateShipment
            | Self::AfterCreateShipment
            | Self::BeforeCreatePayment
            | Self::AfterCreatePayment
            | Self::BeforeCreateInvoice
            | Self::AfterCreateInvoice => Subject::Ticket,
        }
    }
}

/// What the hooks of a stage are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A service of the channel, or all of them.
    Service,
    /// One of the ten entities that can be asked for with hooks.
    Asked,
    /// A customer, an address or a ticket.
    Saved,
    /// A ticket, always.
    Ticket,
}

impl Subject {
    /// The entities that a hook may name.
    pub fn entities(self) -> &'static [Entity] {
        match self {
            Self::Service => &[],
            Self::Asked => &[
                Entity::Product,
                Entity::ProductPrice,
                Entity::ProductTax,
                Entity::Discount,
                Entity::Customer,
                Entity::CustomerAddress,
                Entity::Ticket,
                Entity::Store,
                Entity::Channel,
                Entity::Terminal,
            ],
            Self::Saved => &[Entity::Customer, Entity::CustomerAddress, Entity::Ticket],
            Self::Ticket => &[Entity::Ticket],
        }
    }
}

/// Code in the embedded language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Script(pub String);

/// Another program that is asked over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// Where it is.
    pub url: String,
    /// How long it is waited for.
    #[serde(default = "webhook_ms")]
    pub timeout_ms: u32,
    /// The name of the file in the box's secrets that signs what is sent; unsigned without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

fn webhook_ms() -> u32 {
    WEBHOOK_MS
}

/// A hook of a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hook {
    /// Its id, by which it is named in logs and refusals.
    pub id: String,
    /// The channel.
    pub channel_id: String,
    /// When it is called.
    #[serde(rename = "type")]
    pub stage: Stage,
    /// What it is about, where the stage knows several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<Entity>,
    /// The service it is about, for requests and responses; all of them without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceType>,
    /// `script` or `webhook`.
    pub implementation: Implementation,
    /// The script, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// The other program, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Hooks of one stage are called by this number, then by id.
    #[serde(default)]
    pub sequence: u32,
    /// What the code is given besides the object.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
}

impl Definition for Hook {
    const MODEL: &'static str = super::HOOK;

    fn check(&self) -> Result<(), DefinitionFault> {
        not_empty("channelId", &self.channel_id)?;
        if self.implementation == Implementation::Default {
            return Err(DefinitionFault::new("implementation", "must be script or webhook"));
        }
        if self.implementation == Implementation::Default {
            return Err(DefinitionFault::new("implementation", "must be script or webhook"));
        }
        check_code(self.implementation, self.script.as_ref(), self.webhook.as_ref())?;
        bounded("parameters", &self.parameters)?;
        let subject = self.stage.subject();
        if self.service.is_some() && subject != Subject::Service {
            let what =
                format!("is for on-request and on-response, not for {}", self.stage.as_str());
            return Err(DefinitionFault::new("service", what));
        }
        let names = |entities: &[Entity]| {
            entities.iter().map(|entity| entity.as_str()).collect::<Vec<_>>().join(", ")
        };
        match (subject, self.entity) {
            (Subject::Service, None) | (Subject::Ticket, None | Some(Entity::Ticket)) => Ok(()),
            (Subject::Service, Some(_)) => {
                let what = format!("is not for {}; name a service", self.stage.as_str());
                Err(DefinitionFault::new("entity", what))
            }
            (_, Some(entity)) if subject.entities().contains(&entity) => Ok(()),
            (_, Some(_) | None) => {
                let what = format!("must be one of {}", names(subject.entities()));
                Err(DefinitionFault::new("entity", what))
            }
        }
    }
}

impl Hook {
    /// Whether it is called at this point.
    pub fn is_for(&self, stage: Stage, service: ServiceType, entity: Option<Entity>) -> bool {
        self.stage == stage
            && self.service.is_none_or(|own| own == service)
            && (self.entity.is_none() || self.entity == entity)
    }
}

/// The code that an implementation needs, and nothing else.
pub(super) fn check_code(
    implementation: Implementation,
    script: Option<&Script>,
    webhook: Option<&Webhook>,
) -> Result<(), DefinitionFault> {
    let superfluous = |path: &str| {
        Err(DefinitionFault::new(path, "does not fit the implementation; leave it away"))
    };
    let missing = |path: &str| Err(DefinitionFault::new(path, "is missing"));
    match (implementation, script, webhook) {
        (Implementation::Default, None, None) => Ok(()),
        (Implementation::Script, Some(script), None) => script.check(),
        (Implementation::Webhook, None, Some(webhook)) => webhook.check("webhook"),
        (Implementation::Script, None, _) => missing("script"),
        (Implementation::Webhook, _, None) => missing("webhook"),
        (Implementation::Default | Implementation::Webhook, Some(_), _) => superfluous("script"),
        (Implementation::Default | Implementation::Script, _, Some(_)) => superfluous("webhook"),
    }
}

impl Script {
    fn check(&self) -> Result<(), DefinitionFault> {
        let max = limits::SCRIPT_BYTES_MAX;
        match (1..=max).contains(&self.0.len()) {
            true => Ok(()),
            false => Err(DefinitionFault::new("script", format!("must have 1 to {max} bytes"))),
        }
    }
}

impl Webhook {
    pub(super) fn check(&self, at: &str) -> Result<(), DefinitionFault> {
        let refuse =
            |field: &str, what: &str| Err(DefinitionFault::new(format!("{at}.{field}"), what));
        let rest = self.url.strip_prefix("https://").or_else(|| self.url.strip_prefix("http://"));
        let has_host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        if !has_host || self.url.len() > limits::POINTER_BYTES_MAX {
            return refuse("url", "must begin with https:// or http://, a host behind it");
        }
        if rest.is_some_and(|rest| rest.split('/').next().unwrap_or_default().contains('@')) {
            return refuse("url", "must hold no password; name a secret");
        }
        if !(1..=WEBHOOK_MS_MAX).contains(&self.timeout_ms) {
            return refuse("timeoutMs", "must be 1 to 30000");
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        match &self.secret {
            Some(name) if !(1..=64).contains(&name.len()) || !name.chars().all(plain) => refuse(
                "secret",
                "must be the name of a file: 1 to 64 of A-Z, a-z, 0-9, '-' and '_'",
            ),
            Some(_) | None => Ok(()),
        }
    }
}
