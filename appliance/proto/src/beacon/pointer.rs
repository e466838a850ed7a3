//! Where a box may be found when multicast does not reach it: typed, on a slip, or given by DHCP.
//!
//! Two forms are read: `SBX1 host=10.0.0.5,storebox.shop.lan port=8443`, the text of DHCP option 224 and
//! of a file, and a plain list such as `10.0.0.5:8443 storebox.shop.lan`, which a person types.
//! Like a beacon, a pointer is a hint; further words (`ca=…`) are left to those who can check them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::limits::{POINTER_BYTES_MAX, POINTER_PLACES_MAX};

/// One place to try.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// An address.
    Address(SocketAddr),
    /// A name that somebody has to resolve.
    Name {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Places to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// In the order in which they were written, each once.
    pub places: Vec<Place>,
}

/// Why a text points nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPointer {
    /// Longer than any pointer.
    #[error("pointer has {bytes} bytes, more than {POINTER_BYTES_MAX}")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// Names more places than are looked at.
    #[error("pointer names more than {POINTER_PLACES_MAX} places")]
    TooMany,
    /// Names no place.
    #[error("pointer names no place")]
    Empty,
    /// A place is neither an address nor a name.
    #[error("{0:?} is neither an address nor a host name, with or without a port")]
    Place(String),
    /// The port is not one.
    #[error("{0:?} is not a port")]
    Port(String),
}

impl Pointer {
    /// Reads a pointer; places without a port get this one.
    pub fn parse(text: &str, port: u16) -> Result<Self, InvalidPointer> {
        if text.len() > POINTER_BYTES_MAX {
            return Err(InvalidPointer::TooLong { bytes: text.len() });
        }
        let mut words = text.split_ascii_whitespace().peekable();
        if words.peek() != Some(&"SBX1") {
            return Self::of(words.flat_map(|word| word.split(',')), port);
        }
        let (mut hosts, mut named) = (Vec::new(), port);
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            match key {
                "host" => hosts.extend(value.split(',')),
                "port" => named = port_of(value)?,
                _ => {}
            }
        }
        Self::of(hosts.into_iter(), named)
    }

    fn of<'a>(hosts: impl Iterator<Item = &'a str>, port: u16) -> Result<Self, InvalidPointer> {
        let mut places = Vec::new();
        for host in hosts.filter(|host| !host.is_empty()) {
            let place = place_of(host, port)?;
            if places.contains(&place) {
                continue;
            }
            if places.len() == POINTER_PLACES_MAX {
                return Err(InvalidPointer::TooMany);
            }
            places.push(place);
        }
        if places.is_empty() { Err(InvalidPointer::Empty) } else { Ok(Self { places }) }
    }
}

fn place_of(text: &str, port: u16) -> Result<Place, InvalidPointer> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let portless = address.port() == 0;
        let refused = InvalidPointer::Port("0".to_owned());
        return if portless { Err(refused) } else { Ok(Place::Address(address)) };
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Place::Address(SocketAddr::new(ip, port)));
    }
    if let Some(ip) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let ip = Ipv6Addr::from_str(ip).map_err(|_| InvalidPointer::Place(text.to_owned()))?;
        return Ok(Place::Address(SocketAddr::new(ip.into(), port)));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port_of(port)?),
        None => (text, port),
    };
    if is_host(host) {
        return Ok(Place::Name { host: host.to_ascii_lowercase(), port });
    }
    Err(InvalidPointer::Place(text.to_owned()))
}

fn port_of(text: &str) -> Result<u16, InvalidPointer> {
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(InvalidPointer::Port(text.to_owned())),
    }
}

/// A DNS name with at least one letter, so that a mistyped address is not sent to a resolver.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    name.len() <= 253
        && name.split('.').all(label)
        && name.rsplit('.').next().is_some_and(|last| last.bytes().any(|b| b.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Place {
        Place::Address(text.parse().unwrap())
    }

    fn name(host: &str, port: u16) -> Place {
        Place::Name { host: host.to_owned(), port }
    }

    #[test]
    fn what_dhcp_gives_is_read() {
        let read = Pointer::parse("SBX1 host=10.77.0.10,Box.Shop.lan port=8443 ca=5f2c9e", 80);
        let places = vec![address("10.77.0.10:8443"), name("box.shop.lan", 8443)];
        assert_eq!(read, Ok(Pointer { places }));
    }

    #[test]
    fn what_a_person_types_is_read() {
        let read = Pointer::parse(
            " 10.0.0.5:9000, 10.0.0.5:9000 storebox.shop.lan ::1 [::1]:81 [fe80::1]",
            80,
        );
        let places = vec![
            address("10.0.0.5:9000"),
            name("storebox.shop.lan", 80),
            address("[::1]:80"),
            address("[::1]:81"),
            address("[fe80::1]:80"),
        ];
        assert_eq!(read, Ok(Pointer { places }));
    }

    #[test]
    fn what_points_nowhere_is_refused_with_its_reason() {
        let bad = |text: &str| Pointer::parse(text, 80).unwrap_err();
        assert_eq!(bad(""), InvalidPointer::Empty);
        assert_eq!(bad("SBX1 ca=1"), InvalidPointer::Empty);
        assert_eq!(bad("10.0.0.256"), InvalidPointer::Place("10.0.0.256".to_owned()));
        assert_eq!(bad("http://box"), InvalidPointer::Port("//box".to_owned()));
        assert_eq!(bad("10.0.0.5:0"), InvalidPointer::Port("0".to_owned()));
        assert_eq!(bad("box:0"), InvalidPointer::Port("0".to_owned()));
        assert_eq!(bad("a b c d e f g h i"), InvalidPointer::TooMany);
        assert_eq!(bad(&"a".repeat(600)), InvalidPointer::TooLong { bytes: 600 });
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}", spiced in "SBX1 [a-z=,.:0-9% \\[\\]]{0,60}") {
            let _ = Pointer::parse(&text, 80);
            let _ = Pointer::parse(&spiced, 80);
        }
    }
}
