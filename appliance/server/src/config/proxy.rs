//! The way out of a shop that leads through a proxy.

use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

/// Where a proxy listens that names no port.
const PORT: u16 = 3128;

/// The way to servers beyond the shop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Proxy {
    /// Where it is; empty: servers are reached without one.
    pub url: ProxyUrl,
    /// Hosts and domains that are reached without it.
    pub direct: Vec<String>,
}

/// A proxy's address as text; empty means none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProxyUrl(pub Option<(String, u16)>);

/// The text is not a proxy's address.
#[derive(Debug, thiserror::Error)]
#[error("must be such as http://proxy.example:3128, without a user, a password or a path")]
pub struct InvalidProxy;

impl TryFrom<String> for ProxyUrl {
    type Error = InvalidProxy;
    fn try_from(text: String) -> Result<Self, InvalidProxy> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let authority = text.strip_prefix("http://").ok_or(InvalidProxy)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = match authority.strip_prefix('[') {
            // Colons are in brackets only.
            Some(bracketed) => {
                let (host, rest) = bracketed.split_once(']').ok_or(InvalidProxy)?;
                host.parse::<Ipv6Addr>().map_err(|_| InvalidProxy)?;
                (host, (!rest.is_empty()).then(|| rest.strip_prefix(':').unwrap_or("")))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = port.map_or(Ok(PORT), port_of)?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
        match !host.is_empty() && host.bytes().all(allowed) {
            true => Ok(Self(Some((host.to_owned(), port)))),
            false => Err(InvalidProxy),
        }
    }
}

fn port_of(text: &str) -> Result<u16, InvalidProxy> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse().ok().filter(|port| is_number && *port != 0);
    port.ok_or(InvalidProxy)
}

impl From<ProxyUrl> for String {
    fn from(url: ProxyUrl) -> Self {
        match url.0 {
            None => Self::new(),
            Some((host, port)) if host.contains(':') => format!("http://[{host}]:{port}"),
            Some((host, port)) => format!("http://{host}:{port}"),
        }
    }
}

impl Proxy {
    /// Whether a host is among those that are reached without it; names have no case.
    pub fn is_direct(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.direct.iter().any(|direct| {
            let direct = direct.to_ascii_lowercase();
            let domain = host.strip_suffix(direct.trim_start_matches('.'));
            domain.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written_alike() {
        for (text, host, port, written) in [
            ("http://proxy.example:8080", "proxy.example", 8080, "http://proxy.example:8080"),
            ("http://10.0.0.9/", "10.0.0.9", PORT, "http://10.0.0.9:3128"),
            ("http://[fe80::1]:81", "fe80::1", 81, "http://[fe80::1]:81"),
            ("http://[fe80::1]", "fe80::1", PORT, "http://[fe80::1]:3128"),
        ] {
            let url = ProxyUrl::try_from(text.to_owned()).unwrap();
            assert_eq!(url.0, Some((host.to_owned(), port)), "{text}");
            assert_eq!(String::from(url), written);
        }
        assert_eq!(ProxyUrl::try_from(String::new()).unwrap(), ProxyUrl(None));
    }

    #[test]
    fn what_is_no_address_of_a_proxy_is_refused() {
        for text in [
            "proxy.example:3128",
            "https://proxy.example",
            "http://",
            "http://user:secret@proxy.example",
            "http://proxy.example/path",
            "http://proxy.example:0",
            "http://proxy.example:99999",
            "http://proxy.example:+80",
            "http://proxy.example:",
            "http://fe80::1",
            "http://a:b:80",
            "http://[fe80::1",
            "http://[fe80::1]81",
            "http://[proxy.example]:81",
            "http://[]",
        ] {
            assert!(ProxyUrl::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_and_domains_are_left_out() {
        let direct = vec!["10.0.0.7".to_owned(), ".Shop.example".to_owned()];
        let proxy = Proxy { direct, ..Proxy::default() };
        for host in ["10.0.0.7", "shop.example", "box.shop.example", "BOX.SHOP.EXAMPLE"] {
            assert!(proxy.is_direct(host), "{host}");
        }
        for host in ["110.0.0.7", "10.0.0.70", "myshop.example", "example"] {
            assert!(!proxy.is_direct(host), "{host}");
        }
    }
}
