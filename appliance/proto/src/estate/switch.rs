//! Where one request goes, and how a terminal learns which servers are there.
//!
//! Health is per server and service: a server that fails at one thing goes on doing the others.
//! Times are milliseconds of any clock that only goes forward.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::service::{GENERIC, Routing, Timeouts};
use super::view::{View, ViewServer};

/// The first look at a server that failed.
const PROBE_MIN_MS: u64 = 1000;
/// The longest time between two looks at it.
const PROBE_MAX_MS: u64 = 30_000;

/// Where one request goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The service that was recognised; `*` is none.
    pub service: String,
    /// What is done with `servers`.
    pub routing: Routing,
    /// The servers, by name, in order; by failover, the next is asked when one does not answer.
    pub servers: Vec<String>,
    /// The one whose word settles; only for transactions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authoritative: Option<String>,
    /// Servers that get a copy, as well as it goes; only for transactions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<String>,
    /// Whether the message is kept before it is sent.
    pub keep_first: bool,
    /// How long each server is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// A server is silent for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Silence {
    failures: u32,
    probe_at: u64,
}

/// Chooses servers.
#[derive(Debug, Clone)]
pub struct Switch {
    view: View,
    silent: BTreeMap<(String, String), Silence>,
}

impl Switch {
    /// All servers are believed to be there that the view says are.
    pub fn new(view: View) -> Self {
        let offline = view.servers.iter().filter(|server| !server.online);
        let silence = Silence { failures: 1, probe_at: 0 };
        let silent = offline.map(|server| ((server.name.clone(), GENERIC.to_owned()), silence));
        let silent = silent.collect();
        Self { view, silent }
    }

    /// The service of an address: its name is part of it, and the longest such name wins.
    fn service(&self, address: &str) -> (&str, Routing, Timeouts) {
        let matching = self.view.services.iter().filter(|one| address.contains(&one.name));
        match matching.max_by(|a, b| a.name.len().cmp(&b.name.len()).then(b.name.cmp(&a.name))) {
            Some(service) => (&service.name, service.routing, service.timeouts),
            None => (GENERIC, Routing::Failover, Timeouts::default()),
        }
    }

    /// Where a request to this address goes; `timeout_ms` is what the caller would wait.
    pub fn route(&self, address: &str, timeout_ms: Option<u64>) -> Route {
        let (service, routing, timeouts) = self.service(address);
        let taking: Vec<&ViewServer> =
            self.view.servers.iter().filter(|server| server.takes(service)).collect();
        let keeping = routing == Routing::Transaction;
        let names = |servers: &[&ViewServer]| -> Vec<String> {
            servers.iter().map(|server| server.name.clone()).collect()
        };
        let (copies, ways): (Vec<&ViewServer>, Vec<&ViewServer>) =
            taking.iter().copied().partition(|server| keeping && server.copies);
        let servers = match routing {
            Routing::Broadcast | Routing::Ping => names(&taking),
            Routing::Failover | Routing::Transaction => {
                let is_there = |server: &&ViewServer| !self.is_silent(&server.name, service);
                let (there, silent): (Vec<_>, Vec<_>) = ways.into_iter().partition(is_there);
                // Those that are silent are not given up: with nobody else left they are asked all the same.
                names(&[there, silent].concat())
            }
        };
        Route {
            service: service.to_owned(),
            routing,
            servers,
            authoritative: taking
                .iter()
                .find(|server| keeping && server.main_server)
                .map(|server| server.name.clone()),
            copies: names(&copies),
            keep_first: keeping,
            timeout_ms: timeouts.choose(timeout_ms),
        }
    }

    /// A server did not answer.
    pub fn failed(&mut self, server: &str, service: &str, now: u64) {
        let key = (server.to_owned(), service.to_owned());
        let failures = self.silent.get(&key).map_or(0, |silence| silence.failures);
        let wait = (PROBE_MIN_MS << failures.min(16)).min(PROBE_MAX_MS);
        let silence = Silence { failures: failures.saturating_add(1), probe_at: now + wait };
        self.silent.insert(key, silence);
    }

    /// A server answered, whatever it said.
    pub fn answered(&mut self, server: &str, service: &str) {
        self.silent.remove(&(server.to_owned(), service.to_owned()));
        self.silent.remove(&(server.to_owned(), GENERIC.to_owned()));
    }

    /// Servers that are to be looked at, each with the service it is silent for.
    pub fn due(&self, now: u64) -> Vec<(String, String)> {
        let due = self.silent.iter().filter(|(_, silence)| silence.probe_at <= now);
        due.map(|(key, _)| key.clone()).collect()
    }

    /// Whether the terminal counts as online: some server that decides on that is there.
    pub fn is_online(&self) -> bool {
        let deciding = self.view.servers.iter().filter(|server| server.trigger_state);
        let mut deciding = deciding.peekable();
        let none = deciding.peek().is_none();
        let is_silent =
            |server: &ViewServer| self.silent.keys().any(|(name, _)| *name == server.name);
        none || deciding.any(|server| !is_silent(server))
    }

    fn is_silent(&self, server: &str, service: &str) -> bool {
        let silent =
            |service: &str| self.silent.contains_key(&(server.to_owned(), service.to_owned()));
        silent(service) || silent(GENERIC)
    }
}
