//! `discover`: which boxes announce themselves on the LAN, and which are found by other hints, side by side.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use storebox_proto::beacon::{Pointer, Sweep};
use storebox_proto::ids::NodeId;
use storebox_proto::sync::book::BoxKey;
use tokio_util::sync::CancellationToken;

use super::{CommandError, say};
use crate::config::{self, Discovery};
use crate::discovery::{
    self, BrowseConfig, DaemonError, Found, Greeting, Interfaces, SeekConfig, Seeker, Service,
};
use crate::trust::client::Way;

/// Where to look, and how long.
pub(super) struct Look {
    pub(super) discovery: Discovery,
    pub(super) at: Vec<String>,
    pub(super) domain: Vec<String>,
    pub(super) seconds: u64,
}

impl Look {
    /// What the configuration knows, if there is one, and what is named besides.
    pub(super) fn of(file: &Path, at: Vec<String>, domain: Vec<String>, seconds: u64) -> Self {
        // A technician's laptop has no configuration, and needs none.
        let discovery = config::load(file).unwrap_or_default().discovery;
        Self { discovery, at, domain, seconds }
    }
}

/// A box that answers at an address that nobody announced.
struct Hinted {
    at: SocketAddr,
    node: Option<NodeId>,
}

/// Looks for a while and shows what was heard and who answered.
pub(super) async fn show(look: Look, json: bool) -> Result<(), CommandError> {
    let Look { mut discovery, at, domain, seconds } = look;
    for text in &at {
        Pointer::parse(text, discovery.port)?;
    }
    discovery.boxes.extend(at);
    discovery.domains.extend(domain);
    let time = Duration::from_secs(seconds);
    let interfaces = Interfaces::only(discovery.interfaces.clone());
    let browse = BrowseConfig { services: vec![Service::Tills], interfaces };
    // Only announcements say which store a box is of; a technician wants to see all.
    let seek = SeekConfig { site: None, ..SeekConfig::of(&discovery, Vec::new(), None) };
    let (found, hinted) = tokio::join!(discovery::discover(browse, time), hinted(seek, time));
    let (found, mut hinted) = (found?, hinted?);
    hinted.retain(|one| !found.iter().any(|found| found.addresses.contains(&one.at)));
    if json {
        let rows: Vec<_> =
            found.iter().map(object).chain(hinted.iter().map(hinted_object)).collect();
        say(&serde_json::to_string_pretty(&rows).expect("names and addresses are JSON"));
        return Ok(());
    }
    if found.is_empty() && hinted.is_empty() {
        say("No box announces itself here. A switch may hold multicast back; try its address.");
        return Ok(());
    }
    found.iter().for_each(|one| say(&line(one)));
    hinted.iter().for_each(|Hinted { at, node }| {
        let node = node.as_ref().map_or("(gives no name)", NodeId::as_str);
        say(&format!("{:<24} {node:<16} not announced, answers at {at}", "-"));
    });
    Ok(())
}

/// Who answers among those that hints lead to.
async fn hinted(seek: SeekConfig, time: Duration) -> Result<Vec<Hinted>, DaemonError> {
    let seeker = Seeker::start(seek)?;
    let (handle, stop) = (seeker.handle(), CancellationToken::new());
    let timer = async {
        tokio::time::sleep(time).await;
        stop.cancel();
    };
    tokio::join!(seeker.run(stop.clone()), timer);
    let mut hinted = Vec::new();
    for seen in handle.view().boxes {
        let node = match seen.key {
            BoxKey::Node(node) => Some(node),
            BoxKey::Endpoint(_) => None,
        };
        let usable = seen.endpoints.into_iter().filter(|(_, health)| health.is_usable());
        hinted.extend(usable.map(|(at, _)| Hinted { at, node: node.clone() }));
    }
    hinted.sort_by_key(|one| one.at);
    Ok(hinted)
}

fn hinted_object(Hinted { at, node }: &Hinted) -> serde_json::Value {
    serde_json::json!({ "announced": false, "node": node, "addresses": [at.to_string()] })
}

/// Asks every address of a network and shows who answers like a box.
pub(super) async fn sweep(network: Sweep, port: u16, json: bool) {
    // Who answers is shown to a person and believed by nobody, so any certificate will do.
    let anybody = Way::proven_later();
    let greeting = anybody.config(None).ok();
    let greeting = greeting.map(|config| Greeting::new(config, anybody.server_name()));
    let found = discovery::sweep(network, port, greeting).await;
    let name = |node: &Option<NodeId>| node.as_ref().map(ToString::to_string);
    if json {
        let row = |(at, node): &(SocketAddr, Option<NodeId>)| serde_json::json!({ "address": at.to_string(), "node": name(node) });
        let rows: Vec<_> = found.iter().map(row).collect();
        return say(&serde_json::to_string_pretty(&rows).expect("names and addresses are JSON"));
    }
    if found.is_empty() {
        return say("Nobody answers there at this port.");
    }
    found.iter().for_each(|(at, node)| {
        say(&format!("{at}  {}", name(node).as_deref().unwrap_or("(gives no name)")));
    });
}

fn addresses(found: &Found) -> Vec<String> {
    found.addresses.iter().map(ToString::to_string).collect()
}

fn progress(found: &Found) -> Option<String> {
    let progress = found.beacon.progress?;
    Some(format!("{}.{}", progress.epoch, progress.revision))
}

fn object(found: &Found) -> serde_json::Value {
    serde_json::json!({
        "announced": true,
        "instance": found.instance,
        "node": found.beacon.node,
        "site": found.beacon.site,
        "role": found.beacon.role.as_str(),
        "name": found.beacon.name,
        "priority": found.beacon.priority,
        "takesTerminals": found.beacon.takes_terminals,
        "catalogue": progress(found),
        "addresses": addresses(found),
    })
}

fn line(found: &Found) -> String {
    let beacon = &found.beacon;
    let name = beacon.name.as_deref().unwrap_or("-");
    let catalogue = progress(found).unwrap_or_else(|| "none".to_owned());
    let addresses = addresses(found).join(", ");
    format!(
        "{:<24} {:<16} {:<8} site {:<12} {name}  catalogue {catalogue}  {addresses}",
        found.instance,
        beacon.node.as_str(),
        beacon.role.as_str(),
        beacon.site.as_str(),
    )
}
