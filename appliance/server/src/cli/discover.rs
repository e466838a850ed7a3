//! `discover`: which boxes announce themselves on the LAN.

use std::net::SocketAddr;
use std::time::Duration;

use storebox_proto::beacon::Sweep;
use storebox_proto::ids::NodeId;

use super::{CommandError, say};
use crate::discovery::{self, BrowseConfig, Found, Greeting, Interfaces, Service};
use crate::trust::client::Way;

/// Looks for a while and shows what was heard.
pub(super) async fn show(seconds: u64, json: bool) -> Result<(), CommandError> {
    let config = BrowseConfig { services: vec![Service::Tills], interfaces: Interfaces::default() };
    let found = discovery::discover(config, Duration::from_secs(seconds)).await?;
    if json {
        let rows: Vec<_> = found.iter().map(object).collect();
        say(&serde_json::to_string_pretty(&rows).expect("names and addresses are JSON"));
        return Ok(());
    }
    if found.is_empty() {
        say("No box announces itself here. A switch may hold multicast back; try its address.");
        return Ok(());
    }
    found.iter().for_each(|one| say(&line(one)));
    Ok(())
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
