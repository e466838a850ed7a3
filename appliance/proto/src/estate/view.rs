//! What a terminal of one organisation is told: its servers, in the original's words, and the services.

use serde::{Deserialize, Serialize};

use super::roster::Estate;
use super::server::{Selection, Server};
use super::service::{Routing, Timeouts};

/// The servers of one organisation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// In the order in which they are asked.
    pub servers: Vec<ViewServer>,
    /// Longer names first.
    pub services: Vec<ViewService>,
}

/// A server, as a terminal knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewServer {
    /// What it is told apart by.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// What the terminal is to believe until it has asked.
    #[serde(default = "yes")]
    pub online: bool,
    /// Ascending.
    pub priority: u64,
    /// Whether it takes every service.
    #[serde(default)]
    pub all_services: bool,
    /// Whether its word settles.
    #[serde(default)]
    pub main_server: bool,
    /// The services that it takes, or does not take.
    #[serde(default)]
    pub services: Vec<String>,
    /// Whether `services` are those that it does not take.
    #[serde(default)]
    pub all_excluding_defined: bool,
    /// Whether the terminal counts as offline when this server is.
    #[serde(default = "yes")]
    pub trigger_state: bool,
    /// Whether its absences are logged.
    #[serde(default)]
    pub offline_log: bool,
    /// Whether it gets a copy of every transaction.
    #[serde(default)]
    pub copies: bool,
    /// Its key in the original.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mobile_server_key: Option<String>,
    /// What it is pinged by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_service: Option<String>,
    /// What an administrator set it to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// When its definition was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<String>,
}

fn yes() -> bool {
    true
}

/// A service, as a terminal knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewService {
    /// The part of an address that it is known by.
    pub name: String,
    /// How it is routed.
    pub routing: Routing,
    /// How long it is waited for.
    #[serde(flatten)]
    pub timeouts: Timeouts,
}

impl ViewServer {
    /// Whether it takes a service; [`super::GENERIC`] is one that nobody has defined.
    pub fn takes(&self, service: &str) -> bool {
        let is_defined = self.services.iter().any(|defined| defined == service);
        self.all_services || is_defined != self.all_excluding_defined
    }
}

impl Estate {
    /// What a terminal of this organisation is told; nothing if there is nothing to choose.
    pub fn view(&self, organisation: Option<&str>) -> Option<View> {
        if !self.is_multi_server() {
            return None;
        }
        let servers = self.servers.iter().filter(|server| self.serves(server, organisation));
        let servers: Vec<_> = servers.map(|server| self.view_server(server)).collect();
        if servers.is_empty() {
            return None;
        }
        let services = self.services.all().iter().map(|service| ViewService {
            name: service.name.clone(),
            routing: service.routing,
            timeouts: service.timeouts,
        });
        Some(View { servers, services: services.collect() })
    }

    fn view_server(&self, server: &Server) -> ViewServer {
        let defined = self.services_of.get(&server.id);
        ViewServer {
            name: server.name.clone(),
            address: server.address.clone(),
            online: true,
            priority: server.priority,
            all_services: server.all_services,
            main_server: server.is_main(),
            services: defined.map(|list| list.iter().cloned().collect()).unwrap_or_default(),
            all_excluding_defined: server.selection == Selection::Except,
            trigger_state: server.triggers_state,
            offline_log: server.offline_log,
            copies: server.copies,
            mobile_server_key: server.key.clone(),
            ping_service: server.ping_service.clone(),
            status: server.status.clone(),
            updated: server.updated.clone(),
        }
    }
}
