//! One server, as head office describes it.

use serde_json::{Map, Value};

use super::lint::Finding;
use super::reading::Reading;

/// What a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerType {
    /// Its word settles.
    Main,
    /// It keeps what it is given and sends it on.
    Store,
    /// What a module brings; treated as a store server.
    Other(String),
}

impl ServerType {
    fn read(text: &str) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "MAIN" => Self::Main,
            "STORE" => Self::Store,
            _ => Self::Other(text.to_owned()),
        }
    }
}

/// What the list of a server's services means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Only those defined.
    Only,
    /// All but those defined.
    Except,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The record's id.
    pub id: String,
    /// What people call it; tills tell servers apart by it.
    pub name: String,
    /// Where it is; one address may stand for a cluster behind it.
    pub address: String,
    /// Ascending: 10 is asked before 20.
    pub priority: u64,
    /// What it is.
    pub server_type: ServerType,
    /// Whether every organisation uses it.
    pub all_organisations: bool,
    /// Whether it takes every service.
    pub all_services: bool,
    /// What its list of services means where it does not take all.
    pub selection: Selection,
    /// Whether it is used at all.
    pub active: bool,
    /// Its key in the original (`mobileServerKey`).
    pub key: Option<String>,
    /// The service that it is pinged by.
    pub ping_service: Option<String>,
    /// Whether a till counts as offline when this server is.
    pub triggers_state: bool,
    /// What an administrator set it to, such as `ON`.
    pub status: Option<String>,
    /// Whether its absences are logged.
    pub offline_log: bool,
    /// When its definition was changed.
    pub updated: Option<String>,
    /// Whether it gets a copy of every transaction, as well as it goes.
    pub copies: bool,
}

impl Server {
    /// Understands a record of the model `Server`.
    pub fn read(record: &Map<String, Value>) -> Result<Self, Finding> {
        let reading = Reading::new("Server", record);
        let address = match reading.text_if("address")? {
            Some(address) if !address.is_empty() => address,
            Some(_) | None => reading.text("url")?,
        };
        check_address(&reading, &address)?;
        let selection = match reading.text_if("serviceSelection")?.as_deref() {
            None | Some("only" | "") => Selection::Only,
            Some("except") => Selection::Except,
            Some(_) => return Err(reading.finding("serviceSelection", "is \"only\" or \"except\"")),
        };
        Ok(Self {
            id: reading.text("id")?,
            name: reading.text("name")?,
            address,
            priority: reading.number_if("priority")?.unwrap_or(10),
            server_type: ServerType::read(&reading.text_if("serverType")?.unwrap_or_default()),
            all_organisations: reading.truth("allOrganizations", false)?,
            all_services: reading.truth("allServices", false)?,
            selection,
            active: reading.truth("active", true)?,
            key: reading.text_if("mobileServerKey")?,
            ping_service: reading.text_if("pingService")?,
            triggers_state: reading.truth("triggerState", true)?,
            status: reading.text_if("status")?,
            offline_log: reading.truth("offlineLog", false)?,
            updated: reading.text_if("updated")?,
            copies: reading.truth("copies", false)?,
        })
    }

    /// Whether its word settles.
    pub fn is_main(&self) -> bool {
        self.server_type == ServerType::Main
    }
}

/// A token in an address would stand in every log on the way.
fn check_address(reading: &Reading<'_>, address: &str) -> Result<(), Finding> {
    let rest = ["http://", "https://"].iter().find_map(|start| address.strip_prefix(start));
    let is_good = rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && rest.chars().all(|c| c.is_ascii_graphic() && !"@?#\\".contains(c))
    });
    match is_good {
        true => Ok(()),
        false => Err(reading.finding(
            "address",
            "must be http:// or https:// with a host, and no user, query or fragment",
        )),
    }
}
