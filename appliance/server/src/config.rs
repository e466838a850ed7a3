//! The configuration: one documented TOML file, overridden by the environment, parsed once.
//!
//! A bad value is refused at the start with file, line, key and reason; nothing is guessed and no unknown
//! key is passed over, so that a typing error cannot silently leave a default in force.
//! `storebox.toml` beside this crate is the documented default; a test holds both together.

mod deliver;
mod device;
mod intake;
mod load;
mod proxy;
mod rules;
mod secret;
mod sections;
mod source;
mod trust;

pub use deliver::{Deliver, DeliverTo};
pub use device::Device;
pub use intake::{Intake, IntakeTable};
pub use load::{ConfigError, Override, Place, load, parse};
pub use proxy::{Proxy, ProxyUrl};
pub use secret::{Login, Seal, Secrets};
pub use sections::{
    Discovery, Http, InvalidKey, KeyText, Level, Log, Machine, Main, Masterdata, Mode, Outbox,
    RequestLogging, Role, Sink, TerminalDefaults, Traces, Update, Webhooks,
};
pub use source::{Mirror, Peers, Publish, Require, Source};
pub use trust::{Browser, Tls};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use storebox_proto::ids::NodeId;

/// The documented default, as shipped.
pub const DEFAULT_TOML: &str = include_str!("../storebox.toml");

/// All settings of a box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What this box is.
    pub role: Role,
    /// Its name.
    pub node: NodeId,
    /// Where it keeps everything.
    pub data_dir: PathBuf,
    /// Listeners and their limits.
    pub http: Http,
    /// What is sealed.
    pub seal: Seal,
    /// Where secrets rest.
    pub secrets: Secrets,
    /// How persons log in.
    pub login: Login,
    /// TLS on the LAN.
    pub tls: Tls,
    /// What browsers may.
    pub browser: Browser,
    /// How tills find it.
    pub discovery: Discovery,
    /// The main server of a store.
    pub main: Main,
    /// The way out of the shop.
    pub proxy: Proxy,
    /// Further places for transactions.
    #[serde(rename = "sink")]
    pub sinks: Vec<Sink>,
    /// Where settled transactions go from here (role `main`).
    #[serde(rename = "deliver")]
    pub deliveries: Vec<Deliver>,
    /// Where masterdata comes from besides imports (role `main`).
    #[serde(rename = "intake")]
    pub intakes: Vec<Intake>,
    /// Further sources, beside the main server.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
    /// The other boxes of the store.
    pub peers: Peers,
    /// A second box for what this one holds.
    pub mirror: Mirror,
    /// Where head office puts its feeds.
    #[serde(rename = "publish")]
    pub publish: Vec<Publish>,
    /// The replica.
    pub masterdata: Masterdata,
    /// Transactions that wait.
    pub outbox: Outbox,
    /// What terminals get that masterdata does not describe.
    pub terminal: TerminalDefaults,
    /// Printers, scales, displays and scanners of this box.
    #[serde(rename = "device")]
    pub devices: Vec<Device>,
    /// What is kept of calls of channels (role `store`).
    pub request_log: RequestLogging,
    /// How hooks and pushes reach other programs (role `store`).
    pub webhooks: Webhooks,
    /// What is below the box.
    pub machine: Machine,
    /// How it gets releases (role `store`).
    pub update: Update,
    /// Where it is told how sales travelled.
    pub traces: Traces,
    /// What is logged.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            role: Role::Store,
            node: "storebox".parse().expect("a literal that keeps the rule for node names"),
            data_dir: PathBuf::from("/var/lib/storebox"),
            http: Http::default(),
            seal: Seal::default(),
            secrets: Secrets::default(),
            login: Login::default(),
            tls: Tls::default(),
            browser: Browser::default(),
            discovery: Discovery::default(),
            main: Main::default(),
            proxy: Proxy::default(),
            sinks: Vec::new(),
            deliveries: Vec::new(),
            intakes: Vec::new(),
            sources: Vec::new(),
            peers: Peers::default(),
            mirror: Mirror::default(),
            publish: Vec::new(),
            masterdata: Masterdata::default(),
            outbox: Outbox::default(),
            terminal: TerminalDefaults::default(),
            devices: Vec::new(),
            request_log: RequestLogging::default(),
            webhooks: Webhooks::default(),
            machine: Machine::default(),
            update: Update::default(),
            traces: Traces::default(),
            log: Log::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(value: &toml::Value, at: &str, found: &mut Vec<String>) {
        if let toml::Value::Table(table) = value {
            for (key, below) in table {
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                found.push(path.clone());
                keys(below, &path, found);
            }
        }
    }

    #[test]
    fn the_documented_file_is_the_default() {
        let parsed = parse("storebox.toml", DEFAULT_TOML, &[]).unwrap();
        assert_eq!(parsed, Config::default());
    }

    #[test]
    fn every_key_is_documented() {
        let whole = toml::Value::try_from(Config::default()).unwrap();
        let documented: toml::Value = toml::from_str(DEFAULT_TOML).unwrap();
        let (mut wanted, mut shown) = (Vec::new(), Vec::new());
        keys(&whole, "", &mut wanted);
        keys(&documented, "", &mut shown);
        let lists = ["sink", "source", "publish", "device", "deliver", "intake"];
        wanted.retain(|key| !lists.contains(&key.as_str()));
        assert_eq!(wanted, shown);
        let sink = "id = \"a\"\nurl = \"http://a\"\n";
        let sink = toml::Table::try_from(toml::from_str::<Sink>(sink).unwrap()).unwrap();
        for key in sink.keys() {
            assert!(DEFAULT_TOML.contains(&format!("# {key} = ")), "[[sink]] {key} undocumented");
        }
        let deliver = "id = \"a\"\nto = \"files\"\nurl = \"/a\"\n";
        let deliver = toml::Table::try_from(toml::from_str::<Deliver>(deliver).unwrap()).unwrap();
        for key in deliver.keys() {
            assert!(
                DEFAULT_TOML.contains(&format!("# {key} = ")),
                "[[deliver]] {key} undocumented"
            );
        }
        let intake = "id = \"a\"\nurl = \"host=a\"\n[[table]]\nmodel = \"Product\"\nfrom = \"p\"\nkey = \"k\"\n";
        let intake = toml::Table::try_from(toml::from_str::<Intake>(intake).unwrap()).unwrap();
        let table = intake["table"][0].as_table().unwrap();
        for key in intake.keys().chain(table.keys()).filter(|key| *key != "table") {
            let line =
                if key == "fields" { "# [intake.table.fields]" } else { &format!("# {key} = ") };
            assert!(DEFAULT_TOML.contains(line), "[[intake]] {key} undocumented");
        }
        let source = "id = \"a\"\nkind = \"peer\"\nurl = \"http://a\"\npriority = 1\n";
        let source = toml::Table::try_from(toml::from_str::<Source>(source).unwrap()).unwrap();
        for key in source.keys() {
            assert!(DEFAULT_TOML.contains(&format!("# {key} = ")), "[[source]] {key} undocumented");
        }
        let publish = "id = \"a\"\nurl = \"/media/stick\"\n";
        let publish = toml::Table::try_from(toml::from_str::<Publish>(publish).unwrap()).unwrap();
        for key in publish.keys() {
            assert!(
                DEFAULT_TOML.contains(&format!("# {key} = ")),
                "[[publish]] {key} undocumented"
            );
        }
        let device = toml::Table::try_from(Device::default()).unwrap();
        for key in device.keys() {
            assert!(DEFAULT_TOML.contains(&format!("# {key} = ")), "[[device]] {key} undocumented");
        }
    }

    #[test]
    fn every_key_has_a_comment_above_it() {
        let mut commented = false;
        for line in DEFAULT_TOML.lines() {
            let is_key = line.starts_with(|c: char| c.is_ascii_lowercase());
            assert!(!is_key || commented, "{line:?} has no comment");
            commented = line.starts_with('#') || (commented && is_key);
        }
    }
}
