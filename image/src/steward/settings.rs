//! The shop's file as the files that the programs of a box read.
//!
//! Pure: a provision in, texts out. What a box has before any file of the shop was taken in is
//! here too: it serves the network it is plugged into, and knows no head office.

use std::fmt::Write;

use crate::provision::{Address, Network, Provision};

/// A file and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub name: &'static str,
    pub content: String,
}

pub const CONFIG: &str = "storebox.toml";
pub const NETWORK: &str = "10-storebox.network";
pub const VLAN: &str = "10-storebox.netdev";
pub const CLOCK: &str = "10-storebox-ntp.conf";
pub const SERIAL: &str = "serial";
const TOKEN: &str = "main.token";
/// Holds the name that papers have to be for; there only if head office is reached over https.
pub const PAPERS_FOR: &str = "papers-for";
/// Tills come in over TLS once there are papers.
const LISTEN_TLS: &str = "\n[tls]\nlisten = [\"0.0.0.0:8443\"]\n";
const LISTEN: &str = "[http]\nlisten = [\"0.0.0.0:8080\"]\n";

/// All files that a provision makes. Its texts were checked: none has a quote, a line end or a `$`.
pub fn of(provision: &Provision) -> Vec<Setting> {
    let Provision { store, node, main, network, ntp, serial, token, .. } = provision;
    let key = hex::encode(main.public_key);
    let office = main.site.as_ref().map(|site| format!("site = \"{site}\"\n"));
    let is_tls = main.url.starts_with("https://");
    let tls = if is_tls { LISTEN_TLS } else { "" };
    let proxy = network.proxy.as_ref().map(|proxy| format!("\n[proxy]\nurl = \"{proxy}\"\n"));
    let config = format!(
        "role = \"store\"\nnode = \"{node}\"\n\n{LISTEN}{tls}\n[discovery]\nsite = \"{store}\"\n\n\
         [main]\nurl = \"{}\"\n{}public_key = \"{key}\"\ntoken_file = \"/etc/storebox/{TOKEN}\"\n{}",
        main.url,
        office.unwrap_or_default(),
        proxy.unwrap_or_default(),
    );
    let mut settings = vec![
        Setting { name: CONFIG, content: config },
        Setting { name: TOKEN, content: format!("{}\n", token.expose()) },
    ];
    if is_tls {
        settings.push(Setting { name: PAPERS_FOR, content: format!("{node}\n") });
    }
    settings.extend(network_files(network));
    if !ntp.is_empty() {
        let content = format!("[Time]\nNTP={}\n", ntp.join(" "));
        settings.push(Setting { name: CLOCK, content });
    }
    if !serial.is_empty() {
        let lines = serial.iter().map(|serial| format!("{} {}\n", serial.name, serial.port));
        settings.push(Setting { name: SERIAL, content: lines.collect() });
    }
    settings
}

/// What a box has until a shop's file was taken in: a name of its own, no head office.
pub fn of_an_unprovisioned_box(machine_id: &str) -> Vec<Setting> {
    let id: String = machine_id.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    let content = format!("role = \"store\"\nnode = \"box-{}\"\n\n{LISTEN}", id.to_lowercase());
    vec![Setting { name: CONFIG, content }]
}

fn network_files(network: &Network) -> Vec<Setting> {
    let mut files = Vec::new();
    let wired = "[Match]\nKind=!*\nType=ether\n\n[Network]\nMulticastDNS=no\nLLMNR=no\n";
    let mut addresses = String::new();
    address_lines(&network.address, &mut addresses);
    let Some(vlan) = network.vlan else {
        let content = format!("{wired}{addresses}");
        files.push(Setting { name: NETWORK, content });
        return files;
    };
    let content = format!("[NetDev]\nName=shop\nKind=vlan\n\n[VLAN]\nId={vlan}\n");
    files.push(Setting { name: VLAN, content });
    let content = format!("{wired}VLAN=shop\nLinkLocalAddressing=no\n");
    files.push(Setting { name: "10-storebox-trunk.network", content });
    let content = format!("[Match]\nName=shop\n\n[Network]\n{addresses}");
    files.push(Setting { name: NETWORK, content });
    files
}

fn address_lines(address: &Address, text: &mut String) {
    let lines = match address {
        Address::Dhcp => "DHCP=yes\nLinkLocalAddressing=yes\n".to_owned(),
        Address::Fixed { ip, prefix, gateway, dns } => {
            let mut lines = format!("Address={ip}/{prefix}\nLinkLocalAddressing=ipv6\n");
            if let Some(gateway) = gateway {
                lines += &format!("Gateway={gateway}\n");
            }
            for server in dns {
                lines += &format!("DNS={server}\n");
            }
            lines
        }
    };
    write!(text, "{lines}").expect("a String takes every text");
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../storebox.example.toml");

    fn find<'a>(settings: &'a [Setting], name: &str) -> &'a str {
        &settings.iter().find(|setting| setting.name == name).unwrap().content
    }

    #[test]
    fn the_example_becomes_a_configuration_and_a_network() {
        let provision = Provision::parse("a", EXAMPLE.as_bytes()).unwrap();
        let settings = of(&provision);
        let config: toml::Table = find(&settings, CONFIG).parse().unwrap();
        assert_eq!(config["node"].as_str(), Some("box-0421-1"));
        assert_eq!(config["discovery"]["site"].as_str(), Some("0421"));
        assert_eq!(config["main"]["url"].as_str(), Some("https://main.example.com"));
        assert_eq!(config["tls"]["listen"][0].as_str(), Some("0.0.0.0:8443"));
        assert_eq!(find(&settings, PAPERS_FOR), "box-0421-1\n");
        assert!(!find(&settings, CONFIG).contains("paste-the-token-here"), "secrets lie apart");
        assert_eq!(find(&settings, TOKEN), "paste-the-token-here\n");
        let network = find(&settings, NETWORK);
        assert!(network.contains("Address=192.168.10.5/24\n"), "{network}");
        assert!(network.contains("Gateway=192.168.10.1\nDNS=192.168.10.1\n"), "{network}");
        assert_eq!(find(&settings, SERIAL), "scale /dev/ttyS0\n");
    }

    #[test]
    fn the_site_of_head_office_is_written_where_it_is_not_the_usual_one() {
        let config = |text: &str| -> toml::Table {
            let provision = Provision::parse("a", text.as_bytes()).unwrap();
            find(&of(&provision), CONFIG).parse().unwrap()
        };
        let other = EXAMPLE.replace("[main]\n", "[main]\nsite = \"office-north\"\n");
        assert_eq!(config(&other)["main"]["site"].as_str(), Some("office-north"));
        assert!(config(EXAMPLE)["main"].get("site").is_none(), "the service knows the usual one");
        let open = EXAMPLE.replace("https://", "http://");
        assert!(!config(&open).contains_key("tls"), "no papers, no TLS");
    }

    #[test]
    fn the_proxy_of_the_shop_is_the_services() {
        let text = EXAMPLE.replace("[network]\n", "[network]\nproxy = \"http://10.0.0.9:3128\"\n");
        let settings = of(&Provision::parse("a", text.as_bytes()).unwrap());
        let config: toml::Table = find(&settings, CONFIG).parse().unwrap();
        assert_eq!(config["proxy"]["url"].as_str(), Some("http://10.0.0.9:3128"));
        assert_eq!(config["main"]["url"].as_str(), Some("https://main.example.com"));
        let none = of(&Provision::parse("a", EXAMPLE.as_bytes()).unwrap());
        assert!(!find(&none, CONFIG).contains("proxy"));
    }

    #[test]
    fn a_vlan_gets_the_addresses_and_the_wire_none() {
        let text = EXAMPLE.replace("[network]", "[network]\nvlan = 20");
        let settings = of(&Provision::parse("a", text.as_bytes()).unwrap());
        assert!(find(&settings, VLAN).contains("Id=20\n"));
        assert!(find(&settings, NETWORK).starts_with("[Match]\nName=shop\n"));
        let trunk = find(&settings, "10-storebox-trunk.network");
        assert!(trunk.contains("VLAN=shop\n") && !trunk.contains("Address="), "{trunk}");
    }

    #[test]
    fn a_box_without_a_file_has_a_name_of_its_own_and_no_head_office() {
        let settings = of_an_unprovisioned_box("0123456789ABCDEF\n");
        assert!(settings[0].content.contains("node = \"box-01234567\""));
        assert!(!settings[0].content.contains("main"));
    }
}
