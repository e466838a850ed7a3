//! The rules of the provisioning file, value by value.
//!
//! A value that breaks its rule is noted and checking goes on, so that one reading finds all.

use std::net::IpAddr;
use std::ops::Range;

use toml::{Spanned, Value};
use zeroize::Zeroizing;

use super::{
    Address, Disk, DiskKey, Encrypt, FORMAT, File, FileDisk, FileNetwork, FileSerial, MainServer,
    Network, Problem, Provision, SerialPort, Text, Token,
};

const NAME_CHARS_MAX: usize = 32;
const TEXT_CHARS_MAX: usize = 256;
const TOKEN_CHARS_MIN: usize = 16;
const LIST_MAX: usize = 8;
const SERIAL_PORTS_MAX: usize = 16;
const VLAN_MAX: i64 = 4094;
/// What serial devices in shops speak.
const BAUDS: [u32; 9] = [1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400];

/// The line, from 1, in which a byte of a text lies.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&b| b == b'\n').count() + 1
}

/// The format comes before all other checks: a newer file has keys that we do not know.
pub(super) fn format(text: &str) -> Result<(), Problem> {
    let table: toml::Table = toml::from_str(text).map_err(|error| Problem {
        line: error.span().map(|span| line_of(text, span.start)),
        key: String::new(),
        reason: error.message().to_owned(),
    })?;
    let problem = |reason: String| Problem { line: None, key: "format".into(), reason };
    match table.get("format") {
        Some(Value::Integer(FORMAT)) => Ok(()),
        Some(Value::Integer(found)) => {
            Err(problem(format!("is {found}, this box reads {FORMAT}; it needs an update first")))
        }
        Some(_) => Err(problem(format!("must be the number {FORMAT}"))),
        None => Err(problem(format!("is missing, put `format = {FORMAT}` first"))),
    }
}

pub(super) struct Checker<'a> {
    text: &'a str,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, problems: Vec::new() }
    }

    pub(super) fn provision(&mut self, file: &File) -> Option<Provision> {
        let main = file.main.as_ref();
        // Each is checked before any is asked for, so that all problems are found.
        let site = self.name("site", &file.site);
        let store = self.name("store", &file.store);
        let node = self.name("node", &file.node);
        let token = self.token(&file.token);
        let url = self.required("main.url", main.map_or(&None, |main| &main.url), web_address);
        let main_site = self.optional("main.site", main.map_or(&None, |main| &main.site), name);
        let key = main.map_or(&None, |main| &main.public_key);
        let public_key = self.required("main.public_key", key, public_key);
        let network = self.network(file.network.as_ref());
        let ntp = self.list("ntp", &file.ntp, |text| host(text).map(|()| text.to_owned()));
        let serial = self.serial(&file.serial);
        let disk = self.disk(file.disk.as_ref());
        Some(Provision {
            site: site?,
            store: store?,
            node: node?,
            token: token?,
            main: MainServer { url: url?, site: main_site, public_key: public_key? },
            network,
            ntp,
            serial,
            disk,
        })
    }

    fn disk(&mut self, file: Option<&FileDisk>) -> Disk {
        let Some(file) = file else { return Disk::default() };
        let encrypt = self.optional("disk.encrypt", &file.encrypt, encrypt);
        let key = self.optional("disk.key", &file.key, |text| {
            let mut key = Zeroizing::new([0; 32]);
            let digits = hex::decode_to_slice(text, key.as_mut());
            digits.map_err(|_| "must be 64 hexadecimal digits (0-9, a-f)".to_owned())?;
            Ok(DiskKey::new(&key))
        });
        if encrypt == Some(Encrypt::Provisioned) && file.key.is_none() {
            self.note("disk.key", None, "is missing, and nothing else could open the disk");
        }
        Disk { encrypt, key }
    }

    fn note(&mut self, key: &str, span: Option<Range<usize>>, reason: impl Into<String>) {
        let line = span.map(|span| line_of(self.text, span.start));
        self.problems.push(Problem { line, key: key.to_owned(), reason: reason.into() });
    }

    /// A text that is there keeps a rule, or the rule is noted.
    fn optional<T>(
        &mut self,
        key: &str,
        value: &Text,
        rule: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = value.as_ref()?;
        let checked = match value.get_ref() {
            Value::String(text) if text.chars().count() > TEXT_CHARS_MAX => {
                Err(format!("has more than {TEXT_CHARS_MAX} characters"))
            }
            Value::String(text) => rule(text),
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_) => Err("must be a text in quotes".to_owned()),
        };
        checked.map_err(|reason| self.note(key, Some(value.span()), reason)).ok()
    }

    fn required<T>(
        &mut self,
        key: &str,
        value: &Text,
        rule: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if value.is_none() {
            self.note(key, None, "is missing");
        }
        self.optional(key, value, rule)
    }

    fn name(&mut self, key: &str, value: &Text) -> Option<String> {
        self.required(key, value, name)
    }

    fn token(&mut self, value: &Text) -> Option<Token> {
        self.required("token", value, |text| {
            let plain = text.bytes().all(|b| b.is_ascii_graphic());
            if plain && text.len() >= TOKEN_CHARS_MIN {
                return Ok(Token(text.to_owned()));
            }
            Err(format!("must have at least {TOKEN_CHARS_MIN} characters and no blanks"))
        })
    }

    fn list<T>(
        &mut self,
        key: &str,
        value: &Text,
        rule: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(value) = value else { return Vec::new() };
        let Some(items) = value.get_ref().as_array().filter(|items| items.len() <= LIST_MAX) else {
            let reason = format!("must be a list of up to {LIST_MAX} texts");
            self.note(key, Some(value.span()), reason);
            return Vec::new();
        };
        let mut checked = Vec::new();
        for item in items {
            let text = item.as_str().ok_or_else(|| "must hold texts in quotes".to_owned());
            match text.and_then(&rule) {
                Ok(item) => checked.push(item),
                Err(reason) => self.note(key, Some(value.span()), reason),
            }
        }
        checked
    }

    fn number(&mut self, key: &str, value: &Text, allowed: impl Fn(i64) -> bool) -> Option<i64> {
        let value = value.as_ref()?;
        let number = value.get_ref().as_integer().filter(|&number| allowed(number));
        if number.is_none() {
            self.note(key, Some(value.span()), "is not a number that is possible here");
        }
        number
    }

    fn network(&mut self, file: Option<&FileNetwork>) -> Network {
        let nothing = FileNetwork::default();
        let file = file.unwrap_or(&nothing);
        let vlan = self.number("network.vlan", &file.vlan, |vlan| (1..=VLAN_MAX).contains(&vlan));
        let vlan = vlan.and_then(|vlan| u16::try_from(vlan).ok());
        let proxy = self.optional("network.proxy", &file.proxy, proxy);
        let fixed = self.optional("network.address", &file.address, address);
        let gateway = self.optional("network.gateway", &file.gateway, ip);
        let dns = self.list("network.dns", &file.dns, ip);
        let address = match fixed {
            Some((ip, prefix)) => {
                self.check_gateway(&file.gateway, ip, prefix, gateway);
                Address::Fixed { ip, prefix, gateway, dns }
            }
            None => {
                if file.address.is_none() {
                    self.refuse_without_address("network.gateway", &file.gateway);
                    self.refuse_without_address("network.dns", &file.dns);
                }
                Address::Dhcp
            }
        };
        Network { address, vlan, proxy }
    }

    fn refuse_without_address(&mut self, key: &str, value: &Text) {
        if let Some(value) = value {
            self.note(key, Some(value.span()), "needs network.address beside it");
        }
    }

    fn check_gateway(&mut self, value: &Text, ip: IpAddr, prefix: u8, gateway: Option<IpAddr>) {
        let Some(gateway) = gateway else { return };
        if gateway == ip || !same_network(ip, gateway, prefix) {
            let reason = format!("{gateway} is not another address in the network {ip}/{prefix}");
            self.note("network.gateway", value.as_ref().map(Spanned::span), reason);
        }
    }

    fn serial(&mut self, files: &[FileSerial]) -> Vec<SerialPort> {
        if files.len() > SERIAL_PORTS_MAX {
            self.note("serial", None, format!("more than {SERIAL_PORTS_MAX} ports"));
            return Vec::new();
        }
        let mut ports: Vec<SerialPort> = Vec::new();
        for file in files {
            let name = self.name("serial.name", &file.name);
            let port = self.required("serial.port", &file.port, device);
            if file.baud.is_none() {
                self.note("serial.baud", None, "is missing");
            }
            let is_baud = |baud: i64| BAUDS.iter().any(|&known| i64::from(known) == baud);
            let baud = self.number("serial.baud", &file.baud, is_baud);
            let baud = baud.and_then(|baud| u32::try_from(baud).ok());
            let (Some(name), Some(port), Some(baud)) = (name, port, baud) else { continue };
            if ports.iter().any(|other| other.name == name || other.port == port) {
                let span = file.name.as_ref().map(Spanned::span);
                self.note("serial.name", span, "the same name or port comes twice");
            }
            ports.push(SerialPort { name, port, baud });
        }
        ports
    }
}

fn name(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(format!("must be 1 to {NAME_CHARS_MAX} of a-z, 0-9 and '-'"))
}

fn encrypt(text: &str) -> Result<Encrypt, String> {
    match text {
        "tpm" => Ok(Encrypt::Tpm),
        "provisioned" => Ok(Encrypt::Provisioned),
        "off" => Ok(Encrypt::Off),
        _ => Err("must be \"tpm\", \"provisioned\" or \"off\"".to_owned()),
    }
}

fn public_key(text: &str) -> Result<[u8; 32], String> {
    let mut key = [0; 32];
    hex::decode_to_slice(text, &mut key)
        .map_err(|_| "must be 64 hexadecimal digits (0-9, a-f)".to_owned())?;
    text.parse::<crate::signature::TrustedKey>().map_err(|error| error.to_string())?;
    Ok(key)
}

/// An address without user, query or fragment: those carry secrets into logs.
fn web_address(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| "must begin with https:// or http://".to_owned())?;
    if rest.contains(['@', '?', '#', '\\']) || !rest.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("must hold no user, no '?', no '#' and no blanks".to_owned());
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        Some(_) | None => (authority, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("has a port that is no number up to 65535".to_owned());
    }
    host(name.trim_start_matches('[').trim_end_matches(']'))?;
    Ok(text.to_owned())
}

/// A proxy is spoken to in the open, and is no page.
fn proxy(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").ok_or_else(|| "must begin with http://".to_owned())?;
    if rest.trim_end_matches('/').contains('/') {
        return Err("must end with the port".to_owned());
    }
    web_address(text)
}

fn host(text: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let is_name = !text.is_empty() && text.len() <= 253 && text.bytes().all(allowed);
    if is_name || text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err("is no name or address of a computer".to_owned())
}

fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "is no IP address, like 192.168.10.1".to_owned())
}

fn address(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || "must be an IP address and its prefix, like 192.168.10.5/24".to_owned();
    let (ip, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let (ip, prefix) = (ip.parse::<IpAddr>().map_err(|_| wrong())?, prefix.parse::<u8>());
    let max = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.ok().filter(|prefix| (1..=max).contains(prefix)).ok_or_else(wrong)?;
    if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() {
        return Err("is no address a box can have".to_owned());
    }
    Ok((ip, prefix))
}

fn same_network(one: IpAddr, other: IpAddr, prefix: u8) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    };
    let ((one, family), (other, other_family)) = (bits(one), bits(other));
    let differing = (one ^ other).leading_zeros();
    // A gateway outside of its network is normal in IPv6 (link-local).
    family == other_family && (differing >= u32::from(prefix) || family == 128)
}

fn device(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic()) && !text.split('/').any(|s| s == "..");
    if text.starts_with("/dev/") && text.len() > 5 && plain {
        return Ok(text.to_owned());
    }
    Err("must be a device, like /dev/ttyS0".to_owned())
}
