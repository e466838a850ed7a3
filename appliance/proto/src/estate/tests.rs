//! One test for each row of the requirements, and the cases that the JavaScript client is held against too.

mod definitions;
mod rules;
mod switching;

use serde_json::{Map, Value, json};

use super::{Estate, Finding};

/// Records of the estate, in the words of head office.
#[derive(Default)]
struct Records(Vec<(&'static str, Map<String, Value>)>);

impl Records {
    /// With the preference that makes several servers count.
    fn enabled() -> Self {
        let preference = json!({"id": "p", "property": super::ENABLEMENT, "value": "Y", "clientId": "0",
            "organizationId": "0"});
        Self::default().with("Preference", preference)
    }

    fn with(mut self, model: &'static str, record: Value) -> Self {
        let Value::Object(record) = record else { panic!("a record is an object") };
        self.0.push((model, record));
        self
    }

    /// A server for all organisations and services.
    fn server(self, name: &str, priority: u64, server_type: &str) -> Self {
        let record = json!({"id": name, "name": name, "address": format!("http://{name}"),
            "priority": priority, "serverType": server_type, "allOrganizations": "Y", "allServices": "Y"});
        self.with("Server", record)
    }

    /// A server for those organisations and services that are assigned to it.
    fn narrow(self, name: &str, priority: u64, server_type: &str, selection: &str) -> Self {
        let record = json!({"id": name, "name": name, "address": format!("http://{name}"),
            "priority": priority, "serverType": server_type, "serviceSelection": selection});
        self.with("Server", record)
    }

    fn organisation(self, id: &str, parent: Option<&str>) -> Self {
        self.with("Organization", json!({"id": id, "parentId": parent}))
    }

    fn assign(self, server: &str, organisation: &str) -> Self {
        let id = format!("{server}/{organisation}");
        let record = json!({"id": id, "serverId": server, "organizationId": organisation});
        self.with("ServerOrganization", record)
    }

    fn define(self, server: &str, service: &str) -> Self {
        let id = format!("{server}/{service}");
        let record = json!({"id": id, "serverId": server, "serviceId": service});
        self.with("ServerService", record)
    }

    fn read(&self) -> (Estate, Vec<Finding>) {
        Estate::read(self.0.iter().map(|(model, record)| (*model, record)))
    }

    fn estate(&self) -> Estate {
        let (estate, findings) = self.read();
        assert_eq!(findings, []);
        estate
    }

    /// Rules that are broken, by name.
    fn broken(&self) -> Vec<String> {
        let (estate, mut findings) = self.read();
        findings.extend(estate.lint());
        findings.iter().map(ToString::to_string).collect()
    }
}

/// The names of the servers of an organisation, in order.
fn names(estate: &Estate, organisation: &str) -> Vec<String> {
    let view = estate.view(Some(organisation)).unwrap_or_default();
    view.servers.into_iter().map(|server| server.name).collect()
}
