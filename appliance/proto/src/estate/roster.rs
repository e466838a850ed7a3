//! Which servers a till uses for what: definitions of the estate, as masterdata, and what follows from them.
//!
//! Head office describes servers, services and organisations as records; this module understands them, says what is
//! wrong with them, and answers for one organisation which servers there are (a [`View`]) and for one request where it
//! goes (a [`Switch`]).
//! The same answers come from `console/client/servers.js`; both are held against one list of cases.
//!
//! Invariants:
//! - without the preference, or without a server, there is one server and nothing to choose;
//! - a record that makes no sense is named and left out, and the others count;
//! - no server is locked out for ever, and none is waited for where another one may be asked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::lint::{Finding, Rule};
use super::organisation::Organisations;
use super::reading::{Reading, truth};
use super::server::{Selection, Server};
use super::service::Catalogue;

/// The preference that makes several servers count.
pub const ENABLEMENT: &str = "OBMOBC_MultiServerArchitecture";

/// The models that this module reads.
pub const MODELS: [&str; 6] =
    ["Organization", "Preference", "Server", "ServerOrganization", "ServerService", "Service"];

/// The definitions of the estate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Estate {
    /// Whether several servers count.
    pub enabled: bool,
    /// Active servers, ascending by priority, equal ones by name.
    pub servers: Vec<Server>,
    /// What is asked for.
    pub services: Catalogue,
    /// Who belongs to whom.
    pub organisations: Organisations,
    /// Organisations by server.
    pub organisations_of: BTreeMap<String, BTreeSet<String>>,
    /// Names of services by server.
    pub services_of: BTreeMap<String, BTreeSet<String>>,
}

impl Estate {
    /// Understands records, each with its model, and names what makes no sense.
    pub fn read<'a>(
        records: impl IntoIterator<Item = (&'a str, &'a Map<String, Value>)>,
    ) -> (Self, Vec<Finding>) {
        let mut sorted: BTreeMap<&str, Vec<&Map<String, Value>>> = BTreeMap::new();
        for (model, record) in records {
            sorted.entry(model).or_default().push(record);
        }
        let of = |model: &str| sorted.get(model).map_or(&[][..], Vec::as_slice);
        let (mut estate, mut findings) = (Self::default(), Vec::new());
        estate.organisations = Organisations::read(of("Organization"), &mut findings);
        estate.services = Catalogue::read(of("Service"), &mut findings);
        for record in of("Server") {
            match Server::read(record) {
                Ok(server) if server.active => estate.servers.push(server),
                Ok(_) => {}
                Err(finding) => findings.push(finding),
            }
        }
        estate.servers.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        for record in of("Preference") {
            estate.enabled |= enables(record, &mut findings);
        }
        estate.join(of("ServerOrganization"), of("ServerService"), &mut findings);
        (estate, findings)
    }

    /// Whether a terminal has to choose at all.
    pub fn is_multi_server(&self) -> bool {
        self.enabled && !self.servers.is_empty()
    }

    /// Whether an organisation uses a server.
    pub fn serves(&self, server: &Server, organisation: Option<&str>) -> bool {
        let assigned = self.organisations_of.get(&server.id);
        server.all_organisations
            || organisation.is_some_and(|organisation| {
                let lineage = self.organisations.lineage(organisation);
                lineage.iter().any(|above| assigned.is_some_and(|list| list.contains(*above)))
            })
    }

    /// Whether a server takes a service.
    pub fn offers(&self, server: &Server, service: &str) -> bool {
        let defined = self.services_of.get(&server.id);
        let is_defined = defined.is_some_and(|list| list.contains(service));
        match (server.all_services, server.selection) {
            (true, _) => true,
            (false, Selection::Only) => is_defined,
            (false, Selection::Except) => !is_defined,
        }
    }

    fn join(
        &mut self,
        organisations: &[&Map<String, Value>],
        services: &[&Map<String, Value>],
        findings: &mut Vec<Finding>,
    ) {
        for record in organisations {
            let reading = Reading::new("ServerOrganization", record);
            match (reading.text("serverId"), reading.text("organizationId")) {
                (Ok(server), Ok(organisation)) => {
                    self.organisations_of.entry(server).or_default().insert(organisation);
                }
                (Err(finding), _) | (_, Err(finding)) => findings.push(finding),
            }
        }
        for record in services {
            let reading = Reading::new("ServerService", record);
            match (reading.text("serverId"), reading.text("serviceId")) {
                (Ok(server), Ok(service)) => match self.services.name_of(&service) {
                    Some(name) => {
                        let name = name.to_owned();
                        self.services_of.entry(server).or_default().insert(name);
                    }
                    None => findings.push(reading.finding(
                        "serviceId",
                        format!("names the service {service:?}, which is not defined"),
                    )),
                },
                (Err(finding), _) | (_, Err(finding)) => findings.push(finding),
            }
        }
    }
}

/// Whether a preference makes several servers count; at any other level than the system's it does not.
fn enables(record: &Map<String, Value>, findings: &mut Vec<Finding>) -> bool {
    if record.get("property").and_then(Value::as_str) != Some(ENABLEMENT) {
        return false;
    }
    let at_system = |field: &str| match record.get(field) {
        None | Some(Value::Null) => true,
        Some(value) => value.as_str() == Some("0"),
    };
    let is_narrowed = ["userId", "roleId", "windowId"]
        .iter()
        .any(|field| record.get(*field).is_some_and(|value| !value.is_null()));
    if !at_system("clientId") || !at_system("organizationId") || is_narrowed {
        let detail = format!("{ENABLEMENT} may be set for the whole system only");
        findings.push(Finding { rule: Rule::Enablement, subject: ENABLEMENT.to_owned(), detail });
        return false;
    }
    record.get("value").and_then(truth) == Some(true)
}
