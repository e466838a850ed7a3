//! What the shop adds to a flashed disk: one file, written by a technician, read once by the box.
//!
//! The file is TOML and strict: an unknown key, a value of the wrong shape or an unknown format is
//! an error and nothing of the file is applied. All errors are told at once, each with its line and
//! key, because the next attempt may mean another drive to the shop. What editors and Windows do to
//! a file (a byte order mark, CR LF, a hidden `.txt`) is no error.
//!
//! The token and the disk's key are secrets: they are in no debug print and in no error, and the
//! file is wiped once the box has taken it in.

mod check;
pub mod stick;
pub mod volume;

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use toml::Spanned;
use zeroize::Zeroizing;

use check::Checker;

/// What this program reads.
pub const FORMAT: i64 = 1;

/// A checked provisioning file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provision {
    pub site: String,
    pub store: String,
    pub node: String,
    pub token: Token,
    pub main: MainServer,
    pub network: Network,
    pub ntp: Vec<String>,
    pub serial: Vec<SerialPort>,
    pub disk: Disk,
}

/// How what the box holds is sealed on its disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// Nothing said: by the machine's TPM where it has one.
    pub encrypt: Option<Encrypt>,
    /// Head office keeps it too, and it opens the disk on any machine.
    pub key: Option<DiskKey>,
}

impl Disk {
    /// What is asked for, for a person.
    pub fn words(&self) -> &'static str {
        match self.encrypt {
            Some(Encrypt::Tpm) => "sealed by the machine's TPM",
            Some(Encrypt::Provisioned) => "sealed by the machine's own numbers",
            Some(Encrypt::Off) => "not sealed",
            None => "sealed by the machine's TPM where there is one",
        }
    }
}

/// What keeps the key of the data partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encrypt {
    /// The machine's TPM.
    Tpm,
    /// The machine's own numbers, over the key of this file.
    Provisioned,
    /// Nothing: the partition is open.
    Off,
}

/// 64 hexadecimal digits that open a data partition; wiped from memory when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct DiskKey(Zeroizing<String>);

impl DiskKey {
    /// From 32 bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(hex::encode(bytes)))
    }

    /// The secret itself, as it opens the partition.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DiskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The one-time enrolment token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Head office.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MainServer {
    pub url: String,
    /// The site that it is certified for, if that is not `head-office`; matters with https only.
    pub site: Option<String>,
    /// The Ed25519 key its heads and receipts are signed with.
    pub public_key: [u8; 32],
}

/// How the box gets onto the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub address: Address,
    pub vlan: Option<u16>,
    pub proxy: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Dhcp,
    Fixed { ip: IpAddr, prefix: u8, gateway: Option<IpAddr>, dns: Vec<IpAddr> },
}

/// A device on a serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialPort {
    pub name: String,
    pub port: String,
    pub baud: u32,
}

/// Why a file was not taken: every reason that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} is not taken: {}", list(problems))]
pub struct Rejected {
    pub file: String,
    pub problems: Vec<Problem>,
}

/// One reason, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub line: Option<usize>,
    /// `network.gateway`; empty if the text as a whole is meant.
    pub key: String,
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

type Text = Option<Spanned<toml::Value>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "format")]
    _format: toml::Value,
    site: Text,
    store: Text,
    node: Text,
    token: Text,
    main: Option<FileMain>,
    network: Option<FileNetwork>,
    ntp: Text,
    #[serde(default)]
    serial: Vec<FileSerial>,
    disk: Option<FileDisk>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMain {
    url: Text,
    site: Text,
    public_key: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileNetwork {
    address: Text,
    gateway: Text,
    dns: Text,
    vlan: Text,
    proxy: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileDisk {
    encrypt: Text,
    key: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSerial {
    name: Text,
    port: Text,
    baud: Text,
}

impl Provision {
    /// Reads a file's bytes; `file` is its name for messages.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Rejected> {
        let rejected = |problems| Rejected { file: file.to_owned(), problems };
        let one = |line, key: &str, reason: String| {
            rejected(vec![Problem { line, key: key.to_owned(), reason }])
        };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
            one(Some(line), "", "this is no UTF-8 text; save it as UTF-8".to_owned())
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        check::format(text).map_err(|problem| rejected(vec![problem]))?;
        let parsed: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| check::line_of(text, span.start));
            one(line, "", error.message().to_owned())
        })?;
        let mut checker = Checker::new(text);
        let provision = checker.provision(&parsed);
        match provision {
            Some(provision) if checker.problems.is_empty() => Ok(provision),
            Some(_) | None => Err(rejected(checker.problems)),
        }
    }
}

#[cfg(test)]
mod tests;
