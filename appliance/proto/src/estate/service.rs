//! What servers are asked for: the catalogue of services, how each is routed, and how long it is waited for.
//!
//! Services come with the program and its modules; head office may set their times and add further ones.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lint::Finding;
use super::reading::Reading;

/// What an address means that no service's name is part of.
pub const GENERIC: &str = "*";

/// How a request is routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Routing {
    /// One server after the other, until one answers.
    Failover,
    /// All servers; who fails is not missed.
    Broadcast,
    /// Kept first, then sent; only the main server's word settles.
    Transaction,
    /// Each server for itself: is it there?
    Ping,
}

impl Routing {
    /// The original's word; what is not known is routed by failover.
    pub fn read(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "broadcast" => Self::Broadcast,
            "transaction" => Self::Transaction,
            "ping" => Self::Ping,
            _ => Self::Failover,
        }
    }
}

/// How long an answer is waited for, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// Where it is set, it wins over everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_timeout: Option<u64>,
    /// What an administrator wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// What the module wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_timeout: Option<u64>,
}

impl Timeouts {
    /// Override, then the administrator's, then the module's, then the caller's.
    pub fn choose(&self, caller: Option<u64>) -> Option<u64> {
        self.override_timeout.or(self.timeout).or(self.default_timeout).or(caller)
    }
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The record's id; of a built-in one, its name.
    pub id: String,
    /// The part of an address that it is known by.
    pub name: String,
    /// How it is routed.
    pub routing: Routing,
    /// How long it is waited for.
    pub timeouts: Timeouts,
}

/// The services that come with the program: part of the address, routing, the module's time-out.
const BUILT_IN: [(&str, Routing, u64); 17] = [
    ("v1/transactions", Routing::Transaction, 10_000),
    ("v1/documents", Routing::Failover, 5000),
    ("v1/models", Routing::Failover, 5000),
    ("v1/models/BusinessPartner", Routing::Failover, 5000),
    ("v1/models/Product", Routing::Failover, 5000),
    ("v1/terminal/config", Routing::Failover, 5000),
    ("v1/terminal/login", Routing::Failover, 5000),
    ("v1/terminal/idle", Routing::Broadcast, 2000),
    ("healthz", Routing::Ping, 1000),
    ("retail.posterminal.OrderLoader", Routing::Transaction, 10_000),
    ("retail.posterminal.CustomerLoader", Routing::Transaction, 10_000),
    ("retail.posterminal.CustomerAddrLoader", Routing::Transaction, 10_000),
    ("retail.posterminal.CancelLayawayLoader", Routing::Transaction, 10_000),
    ("retail.posterminal.ProcessCashMgmt", Routing::Transaction, 10_000),
    ("retail.posterminal.ProcessCashClose", Routing::Transaction, 10_000),
    ("retail.posterminal.master", Routing::Failover, 30_000),
    ("mobile.core.checkServerAvailability", Routing::Ping, 1000),
];

/// What a transaction is about, as far as the rules between services know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// Customers and their addresses.
    Customers,
    /// Tickets.
    Tickets,
    /// Cash-ups and what goes before them.
    CashUps,
}

/// The services of transactions, by what they are about; `v1/transactions` carries all and so cannot part them.
pub const TRANSACTIONS: [(&str, Concern); 6] = [
    ("retail.posterminal.CustomerLoader", Concern::Customers),
    ("retail.posterminal.CustomerAddrLoader", Concern::Customers),
    ("retail.posterminal.OrderLoader", Concern::Tickets),
    ("retail.posterminal.CancelLayawayLoader", Concern::Tickets),
    ("retail.posterminal.ProcessCashMgmt", Concern::CashUps),
    ("retail.posterminal.ProcessCashClose", Concern::CashUps),
];

/// All services, those with longer names first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue(Vec<Service>);

impl Default for Catalogue {
    fn default() -> Self {
        let built_in = BUILT_IN.iter().map(|(name, routing, default)| Service {
            id: (*name).to_owned(),
            name: (*name).to_owned(),
            routing: *routing,
            timeouts: Timeouts { default_timeout: Some(*default), ..Timeouts::default() },
        });
        let mut catalogue = Self(built_in.collect());
        catalogue.sort();
        catalogue
    }
}

impl Catalogue {
    pub(super) fn read(records: &[&Map<String, Value>], findings: &mut Vec<Finding>) -> Self {
        let mut catalogue = Self::default();
        for record in records {
            match catalogue.add(&Reading::new("Service", record)) {
                Ok(()) => {}
                Err(finding) => findings.push(finding),
            }
        }
        catalogue.sort();
        catalogue
    }

    fn add(&mut self, reading: &Reading<'_>) -> Result<(), Finding> {
        let (id, name) = (reading.text("id")?, reading.text("name")?);
        let routing = reading.text_if("routing")?.map(|text| Routing::read(&text));
        let times = Timeouts {
            override_timeout: match reading.truth("overrideTimeout", false)? {
                true => reading.number_if("timeoutOverride")?,
                false => None,
            },
            timeout: reading.number_if("timeout")?,
            default_timeout: reading.number_if("defaultTimeout")?,
        };
        match self.0.iter_mut().find(|known| known.name == name) {
            Some(known) if routing.is_some_and(|routing| routing != known.routing) => {
                Err(reading.finding("routing", "of a service that comes with the program is fixed"))
            }
            Some(known) => {
                let default_timeout = times.default_timeout.or(known.timeouts.default_timeout);
                known.id = id;
                known.timeouts = Timeouts { default_timeout, ..times };
                Ok(())
            }
            None => {
                let routing = routing.unwrap_or(Routing::Failover);
                self.0.push(Service { id, name, routing, timeouts: times });
                Ok(())
            }
        }
    }

    /// Longer names first, so that the first match is the longest.
    fn sort(&mut self) {
        self.0.sort_by(|a, b| b.name.len().cmp(&a.name.len()).then(a.name.cmp(&b.name)));
    }

    /// All services.
    pub fn all(&self) -> &[Service] {
        &self.0
    }

    /// The service of an address: its name is part of it, and the longest such name wins.
    pub fn find(&self, address: &str) -> Option<&Service> {
        self.0.iter().find(|service| address.contains(&service.name))
    }

    /// The name of a service by its id or its name.
    pub fn name_of(&self, id: &str) -> Option<&str> {
        if id == GENERIC {
            return Some(GENERIC);
        }
        let found = self.0.iter().find(|service| service.id == id || service.name == id);
        found.map(|service| service.name.as_str())
    }
}
