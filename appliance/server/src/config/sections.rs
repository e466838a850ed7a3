//! The sections of the configuration file, each with its defaults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use storebox_proto::ids::{SinkId, SiteId, TxKind};
use storebox_proto::limits;
use storebox_proto::sync::pace::Window;

/// What a box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Authors masterdata and settles transactions.
    Main,
    /// Stands in a shop.
    Store,
}

impl Role {
    /// The word in the file and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Store => "store",
        }
    }
}

/// Listeners and their limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Addresses; port 0 takes any free one.
    #[serde(deserialize_with = "one_or_many")]
    pub listen: Vec<SocketAddr>,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_address_max: usize,
    /// Seconds for a request head.
    pub head_timeout_s: u64,
    /// Seconds for a request body.
    pub body_timeout_s: u64,
    /// Seconds between requests.
    pub idle_timeout_s: u64,
    /// Seconds that an answer may stay unread.
    pub write_timeout_s: u64,
    /// Seconds for a whole request.
    pub request_timeout_s: u64,
    /// Largest request body.
    pub body_bytes_max: usize,
    /// Requests of one terminal or box in a second; 0: as many as it likes.
    pub requests_per_s_max: u32,
    /// Requests in a second that one address may have refused for who it is.
    pub strangers_per_s_max: u32,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            connections_max: 512,
            connections_per_address_max: 64,
            head_timeout_s: 5,
            body_timeout_s: 30,
            idle_timeout_s: 75,
            write_timeout_s: 30,
            request_timeout_s: 75,
            body_bytes_max: limits::BATCH_BYTES_MAX + 512 * 1024,
            requests_per_s_max: 0,
            strangers_per_s_max: 20,
        }
    }
}

impl Http {
    /// Time for a request head.
    pub fn head_timeout(&self) -> Duration {
        Duration::from_secs(self.head_timeout_s)
    }

    /// Time for a request body.
    pub fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_timeout_s)
    }

    /// Time between requests.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_s)
    }

    /// Time for an answer to be read.
    pub fn write_timeout(&self) -> Duration {
        Duration::from_secs(self.write_timeout_s)
    }

    /// Time for a whole request.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_s)
    }
}

/// `listen` takes one address or a list of them.
fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<SocketAddr>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "an address such as \"127.0.0.1:8080\", or a list of them")]
    enum Listen {
        One(SocketAddr),
        Many(Vec<SocketAddr>),
    }
    Ok(match Listen::deserialize(from)? {
        Listen::One(address) => vec![address],
        Listen::Many(addresses) => addresses,
    })
}

/// A public key as text; empty means none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyText(pub Option<VerifyingKey>);

/// The text is not a public key.
#[derive(Debug, thiserror::Error)]
#[error("must be the 64 hexadecimal digits of an Ed25519 public key")]
pub struct InvalidKey;

impl TryFrom<String> for KeyText {
    type Error = InvalidKey;
    fn try_from(text: String) -> Result<Self, InvalidKey> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(|_| InvalidKey)?;
        VerifyingKey::from_bytes(&bytes).map(|key| Self(Some(key))).map_err(|_| InvalidKey)
    }
}

impl From<KeyText> for String {
    fn from(key: KeyText) -> Self {
        key.0.map(|key| hex::encode(key.as_bytes())).unwrap_or_default()
    }
}

/// The main server of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Main {
    /// Where it is; empty: nowhere.
    pub url: String,
    /// The site that it is certified for, which is what an https URL is believed by.
    pub site: SiteId,
    /// Holds the authorities by which an https URL is believed instead.
    pub ca_file: PathBuf,
    /// Who signs its masterdata.
    pub public_key: KeyText,
    /// Holds the token that it gave this box.
    pub token_file: PathBuf,
    /// Whether everything goes there sealed.
    pub sealed: bool,
}

impl Default for Main {
    fn default() -> Self {
        Self {
            url: String::new(),
            site: "head-office".parse().expect("a literal that keeps the rule for sites"),
            ca_file: PathBuf::new(),
            public_key: KeyText::default(),
            token_file: PathBuf::new(),
            sealed: false,
        }
    }
}

/// A further place for transactions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sink {
    /// Its name.
    pub id: SinkId,
    /// Where it is.
    pub url: String,
    /// Whether its receipt is the one that counts.
    #[serde(default)]
    pub authoritative: bool,
    /// Holds the token that it gave this box.
    #[serde(default)]
    pub token_file: PathBuf,
    /// Who signs its receipts.
    #[serde(default)]
    pub public_key: KeyText,
    /// Whether everything goes there sealed.
    #[serde(default)]
    pub sealed: bool,
    /// The site that it is certified for, for an https URL; nothing: that of the main server.
    #[serde(default)]
    pub site: Option<SiteId>,
    /// Holds the authorities by which an https URL is believed instead.
    #[serde(default)]
    pub ca_file: PathBuf,
}

/// When a replica follows its author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// At once.
    Follow,
    /// When a terminal or the timer asks.
    Scheduled,
}

/// The replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Masterdata {
    /// When it follows its author.
    pub mode: Mode,
    /// Changed records beside the base.
    pub overlay_max: usize,
    /// Memory for decoded blocks.
    pub cache_bytes: u64,
    /// Hours for one verification of everything; 0 is never.
    pub scrub_hours: u64,
    /// Kilobytes in a second that come over the line to other places; 0 is no limit.
    pub line_kb_per_s: u64,
    /// When news is followed over that line.
    pub line_window: Window,
}

impl Default for Masterdata {
    fn default() -> Self {
        let cache_bytes = 28 * 1024 * 1024;
        let (line_kb_per_s, line_window) = (0, Window::default());
        Self {
            mode: Mode::Follow,
            overlay_max: 3000,
            cache_bytes,
            scrub_hours: 24,
            line_kb_per_s,
            line_window,
        }
    }
}

/// Transactions that wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outbox {
    /// How many may wait.
    pub entries_max: usize,
    /// Kinds that go before others when many wait.
    pub urgent: Vec<TxKind>,
    /// Disk space kept free for them.
    pub reserve_bytes: u64,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { entries_max: limits::HELD_MAX, urgent: Vec::new(), reserve_bytes: 16 * 1024 * 1024 }
    }
}

/// What terminals get that masterdata does not describe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TerminalDefaults {
    /// Minutes between full refreshes; 0 is undefined.
    pub full_minutes: u32,
    /// Minutes between incremental refreshes; 0 is undefined.
    pub incremental_minutes: u32,
    /// The preference "No Auto Incremental Load at Login".
    pub no_auto_incremental_at_login: bool,
    /// Minutes until an announced refresh shows a window; 0 is at once.
    pub popup_minutes: u32,
    /// Records on a page.
    pub batch_size: u32,
    /// The original's refusal after a failed full refresh.
    pub refuse_login_after_failed_full: bool,
}

impl Default for TerminalDefaults {
    fn default() -> Self {
        Self {
            full_minutes: 0,
            incremental_minutes: 10,
            no_auto_incremental_at_login: false,
            popup_minutes: 5,
            batch_size: 500,
            refuse_login_after_failed_full: false,
        }
    }
}

/// A log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The box cannot do its job.
    Error,
    /// A technician may be called.
    Warn,
    /// What the shop would notice.
    Info,
    /// Decisions.
    Debug,
    /// Bytes.
    Trace,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Of everything.
    pub level: Level,
    /// Of single modules.
    pub modules: BTreeMap<String, Level>,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info, modules: BTreeMap::new() }
    }
}

/// What is below the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Machine {
    /// What its steward tells of the update slots.
    pub slots_file: PathBuf,
}

impl Default for Machine {
    fn default() -> Self {
        Self { slots_file: PathBuf::from("/run/storebox-box/slots.json") }
    }
}

/// How the box gets releases (role `store`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Update {
    /// What says which system this is.
    pub release_file: PathBuf,
    /// Where the steward looks for updates.
    pub folder: PathBuf,
    /// When the shop is closed.
    pub window: Window,
    /// So many transactions that head office has not settled hold no update up.
    pub unsettled_max: u64,
    /// A hawkBit server that takes the place of head office's releases; empty: none.
    pub hawkbit_url: String,
    /// Its tenant.
    pub hawkbit_tenant: String,
    /// Holds the token by which it knows this box.
    pub hawkbit_token_file: PathBuf,
    /// Holds the authorities that vouch for it; empty: those of this machine.
    pub hawkbit_ca_file: PathBuf,
}

impl Default for Update {
    fn default() -> Self {
        Self {
            release_file: PathBuf::from("/usr/lib/os-release"),
            folder: PathBuf::from("/var/lib/storebox-updates"),
            window: "00:00-05:00".parse().expect("a literal that is a window"),
            unsettled_max: 0,
            hawkbit_url: String::new(),
            hawkbit_tenant: "DEFAULT".to_owned(),
            hawkbit_token_file: PathBuf::new(),
            hawkbit_ca_file: PathBuf::new(),
        }
    }
}

/// Where it is told how sales travelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// A collector that takes OTLP over HTTP; empty: nobody is told.
    pub url: String,
    /// Of a thousand sales, how many are told.
    pub of_1000: u16,
}

impl Default for Traces {
    fn default() -> Self {
        Self { url: String::new(), of_1000: 1000 }
    }
}

/// What is kept of calls of channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestLogging {
    /// Megabytes of it; 0: nothing is kept.
    pub megabytes: u64,
    /// Days of it.
    pub days: u64,
    /// Fields whose content is never kept.
    pub masked: Vec<String>,
}

impl Default for RequestLogging {
    fn default() -> Self {
        let masked =
            ["password", "pin", "token", "secret", "cardNumber", "pan", "cvv", "cvc", "iban"];
        Self { megabytes: 32, days: 14, masked: masked.map(str::to_owned).to_vec() }
    }
}

/// How other programs are called for channels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Holds the authorities that vouch for programs behind https addresses; empty: those of this machine.
    pub ca_file: PathBuf,
}

/// How the box is found on the LAN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Discovery {
    /// Whether it announces itself.
    pub announce: bool,
    /// The store it belongs to.
    pub site: SiteId,
    /// Whom tills prefer: lower first.
    pub priority: u16,
    /// What people call it; empty: nothing.
    pub name: String,
    /// Network interfaces that take part; none: all but loopback.
    pub interfaces: Vec<String>,
    /// Where boxes are that no announcement reaches: typed addresses and names, or what a label says.
    pub boxes: Vec<String>,
    /// Names to ask for.
    pub names: Vec<String>,
    /// Domains whose DNS names boxes, besides those that the system searches.
    pub domains: Vec<String>,
    /// Who is asked about them; none: the system's servers.
    pub name_servers: Vec<SocketAddr>,
    /// Where the DHCP client puts what it was given; empty: nowhere.
    pub dhcp_file: PathBuf,
    /// The port of whatever names none.
    pub port: u16,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            announce: true,
            site: "store".parse().expect("a literal that keeps the rule for sites"),
            priority: 10,
            name: String::new(),
            interfaces: Vec::new(),
            boxes: Vec::new(),
            names: Vec::new(),
            domains: Vec::new(),
            name_servers: Vec::new(),
            dhcp_file: PathBuf::new(),
            port: 8080,
        }
    }
}
