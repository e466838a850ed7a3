//! Asking every address of a network, one after the other, when a person says so.

use std::net::Ipv4Addr;
use std::str::FromStr;

/// The largest network that is swept: 1024 addresses.
const PREFIX_MIN: u8 = 22;

/// The addresses of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    first: u32,
    last: u32,
}

/// Why a text is not a network that may be swept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network of at most 1024 addresses such as 10.0.0.0/24")]
pub struct InvalidSweep(String);

impl FromStr for Sweep {
    type Err = InvalidSweep;

    fn from_str(text: &str) -> Result<Self, InvalidSweep> {
        let refuse = || InvalidSweep(text.chars().take(64).collect());
        let (address, prefix) = text.split_once('/').ok_or_else(refuse)?;
        let address: Ipv4Addr = address.parse().map_err(|_| refuse())?;
        let prefix: u8 = prefix.parse().map_err(|_| refuse())?;
        if !(PREFIX_MIN..=32).contains(&prefix) || address.is_multicast() || address.is_broadcast()
        {
            return Err(refuse());
        }
        let mask = u32::MAX << (32 - prefix);
        let network = address.to_bits() & mask;
        let last = network | !mask;
        // The first and the last are no hosts, except where there are no others.
        let inner = u32::from(prefix <= 30);
        Ok(Self { first: network + inner, last: last - inner })
    }
}

impl Sweep {
    /// All addresses, ascending.
    pub fn addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        (self.first..=self.last).map(Ipv4Addr::from_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<String> {
        let sweep: Sweep = text.parse().unwrap();
        sweep.addresses().map(|address| address.to_string()).collect()
    }

    #[test]
    fn a_network_has_its_hosts() {
        assert_eq!(addresses("10.0.0.0/30"), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(addresses("10.0.0.9/32"), ["10.0.0.9"]);
        assert_eq!(addresses("10.0.0.9/31"), ["10.0.0.8", "10.0.0.9"]);
        assert_eq!(addresses("10.0.0.77/24").len(), 254);
        assert_eq!(addresses("10.0.4.0/22").len(), 1022);
        assert_eq!(addresses("255.255.255.248/29").len(), 6);
    }

    #[test]
    fn what_is_too_large_or_no_network_is_refused() {
        for text in [
            "10.0.0.0/21",
            "0.0.0.0/0",
            "10.0.0.0",
            "10.0.0.0/33",
            "::/120",
            "224.0.0.0/24",
            "x/24",
        ] {
            assert!(text.parse::<Sweep>().is_err(), "{text}");
        }
    }
}
