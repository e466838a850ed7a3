//! The LAN: interfaces that are up, and whether multicast gets from this box to this box.

use std::path::Path;
use std::time::Duration;

use super::good;
use crate::config::Config;
use crate::discovery::{self, BrowseConfig, Interfaces, Service};
use crate::logging;
use crate::status::{Finding, Level};

/// Flags of an interface, linux/if.h.
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_MULTICAST: u32 = 0x1000;

/// How long the LAN is listened to.
const LISTEN: Duration = Duration::from_secs(2);

/// The interfaces that tills can come in by.
pub(super) fn interfaces(configured: &[String]) -> Vec<Finding> {
    judge(configured, &found_in(Path::new("/sys/class/net")))
}

/// The names of interfaces with their flags and whether a cable is in.
fn found_in(folder: &Path) -> Vec<(String, u32, bool)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let text = |name: &str| std::fs::read_to_string(entry.path().join(name)).ok();
            let flags = text("flags")?;
            let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).ok()?;
            let state = text("operstate").unwrap_or_default();
            let name = entry.file_name().to_string_lossy().into_owned();
            Some((name, flags, state.trim() == "up"))
        })
        .collect();
    found.sort();
    found
}

fn judge(configured: &[String], found: &[(String, u32, bool)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in configured {
        if !found.iter().any(|(there, ..)| there == name) {
            let text = format!("The interface {name} in [discovery] interfaces is not there");
            let names: Vec<_> = found.iter().map(|(name, ..)| name.as_str()).collect();
            let advice = format!("There are: {}.", names.join(", "));
            findings.push(Finding::new(Level::Bad, "interface_missing", text).advise(advice));
        }
    }
    let taken = |name: &String, flags: u32| {
        flags & IFF_LOOPBACK == 0 && (configured.is_empty() || configured.contains(name))
    };
    let useful: Vec<_> = found.iter().filter(|(name, flags, _)| taken(name, *flags)).collect();
    let up: Vec<_> = useful
        .iter()
        .filter(|(_, flags, cable)| {
            flags & (IFF_UP | IFF_MULTICAST) == IFF_UP | IFF_MULTICAST && *cable
        })
        .map(|(name, ..)| name.as_str())
        .collect();
    findings.push(if up.is_empty() {
        let names: Vec<_> = useful.iter().map(|(name, ..)| name.as_str()).collect();
        let text = format!("No interface is up that tills could come in by ({})", names.join(", "));
        Finding::new(Level::Bad, "interface_down", text)
            .advise("Check the network cable, its two lights, and the switch.")
    } else {
        good("interfaces", format!("{} up", up.join(", ")))
    });
    findings
}

/// Listens to the LAN for boxes.
pub(super) async fn multicast(config: &Config, announced: bool) -> Vec<Finding> {
    let interfaces = Interfaces::only(config.discovery.interfaces.clone());
    let browse = BrowseConfig { services: vec![Service::Tills], interfaces };
    let found = match discovery::discover(browse, LISTEN).await {
        Ok(found) => found,
        Err(error) => {
            let text = format!("mDNS does not start here: {}", logging::chain(&error));
            let advice = "Port 5353 may be taken by a program that does not share it; tills still find the box by its address.";
            return vec![Finding::new(Level::Notice, "mdns", text).advise(advice)];
        }
    };
    let nodes: Vec<_> = found.iter().map(|one| one.beacon.node.to_string()).collect();
    if announced && !nodes.contains(&config.node.to_string()) {
        let text = format!("{} announces itself and is not heard on its own LAN", config.node);
        let advice = "If it listens on 127.0.0.1 only, that is why; else the switch may hold multicast back (IGMP snooping without a querier): tills then need its address.";
        return vec![Finding::new(Level::Notice, "mdns_silent", text).advise(advice)];
    }
    vec![match nodes.is_empty() {
        true => good("mdns", "No box announces itself on this LAN"),
        false => good("mdns", format!("Heard on the LAN: {}", nodes.join(", "))),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_interface_and_a_pulled_cable_are_told() {
        let up = ("eth0".to_owned(), 0x1003, true);
        let down = ("eth1".to_owned(), 0x1003, false);
        let lo = ("lo".to_owned(), 0x9, true);
        let all = [up, down, lo];
        let codes = |configured: &[&str]| {
            let configured: Vec<_> = configured.iter().map(|&name| name.to_owned()).collect();
            let found = judge(&configured, &all);
            found.into_iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert_eq!(codes(&[]), ["interfaces"]);
        assert_eq!(codes(&["eth1"]), ["interface_down"]);
        assert_eq!(codes(&["eth9"]), ["interface_missing", "interface_down"]);
    }
}
