//! What a box says of itself: its name, where tills find it, and by which names its pages are opened.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use storebox_proto::ids::NodeId;

use super::guests::ListError;

/// Addresses and names on a card.
const PLACES_MAX: usize = 32;
/// The longest of them.
const CHARS_MAX: usize = 280;

/// The card of a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its name.
    pub node: NodeId,
    /// Where tills find it, such as `http://10.0.0.12:8080`.
    pub addresses: Vec<String>,
    /// Further origins of pages that it serves, by name.
    pub pages: Vec<String>,
}

/// A box, as tills are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Served {
    /// Its name.
    #[schema(value_type = String)]
    pub node: NodeId,
    /// Where it is found, best first.
    pub addresses: Vec<String>,
}

impl Card {
    /// The card of a box that is served at these addresses, and known by these names.
    pub fn new(
        node: NodeId,
        plain: &[SocketAddr],
        secure: &[SocketAddr],
        domain: &str,
        names: &[String],
    ) -> Self {
        let of = |scheme: &'static str, places: &[SocketAddr]| -> Vec<String> {
            places.iter().map(|at| origin(scheme, &host(at.ip()), at.port())).collect()
        };
        let mut ports: Vec<_> = plain.iter().map(|at| ("http", at.port())).collect();
        ports.extend(secure.iter().map(|at| ("https", at.port())));
        ports.dedup();
        let named = |name: &str| -> Vec<String> {
            ports.iter().map(|(scheme, port)| origin(scheme, name, *port)).collect()
        };
        let mut addresses = of("http", plain);
        let of_domain = secure.first().filter(|_| !domain.is_empty());
        addresses.extend(of_domain.map(|at| origin("https", domain, at.port())));
        addresses.extend(of("https", secure));
        addresses.dedup();
        addresses.truncate(PLACES_MAX);
        let mut pages: Vec<_> = names.iter().flat_map(|name| named(name)).collect();
        pages.truncate(PLACES_MAX);
        Self { node, addresses, pages }
    }

    /// Whether all of it can be what it says; nothing else is handed to tills or compared with pages.
    pub(super) fn check(&self) -> Result<(), ListError> {
        let all = || self.addresses.iter().chain(&self.pages);
        let odd = all().find(|text| !is_origin(text));
        match odd {
            Some(odd) => Err(ListError::Address(odd.chars().take(CHARS_MAX).collect())),
            None if self.addresses.len() > PLACES_MAX || self.pages.len() > PLACES_MAX => {
                Err(ListError::Full)
            }
            None => Ok(()),
        }
    }

    pub(super) fn serves(&self, origin: &str) -> bool {
        self.addresses.iter().chain(&self.pages).any(|text| text == origin)
    }

    pub(super) fn served(&self) -> Served {
        Served { node: self.node.clone(), addresses: self.addresses.clone() }
    }
}

fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// As a browser says it: without the port that is the scheme's own.
fn origin(scheme: &str, host: &str, port: u16) -> String {
    let usual = if scheme == "https" { 443 } else { 80 };
    let host = host.to_ascii_lowercase();
    if port == usual { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
}

fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_of_host =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte);
    text.len() <= CHARS_MAX
        && rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_of_host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_card_says_what_browsers_call_the_box() {
        let node: NodeId = "store-2".parse().unwrap();
        let names = ["storebox.local".to_owned()];
        let plain = [at("10.0.0.12:80"), at("[fd00::1]:8080")];
        let card = Card::new(node.clone(), &plain, &[at("10.0.0.12:8443")], "Shop.Example", &names);
        assert_eq!(
            card.addresses,
            [
                "http://10.0.0.12",
                "http://[fd00::1]:8080",
                "https://shop.example:8443",
                "https://10.0.0.12:8443"
            ]
        );
        assert!(card.serves("http://storebox.local") && card.serves("https://shop.example:8443"));
        assert!(!card.serves("http://evil.example") && !card.serves("http://127.0.0.1"));
        assert!(card.check().is_ok());
        let alone = Card::new(node, &[], &[], "shop.example", &names);
        assert_eq!(alone.addresses, Vec::<String>::new(), "it has none yet");
    }

    #[test]
    fn a_card_with_anything_but_origins_is_refused() {
        let node: NodeId = "store-2".parse().unwrap();
        for odd in ["*", "null", "http://", "http://a/b", "ftp://a", "http://a@b", "http://a b"] {
            let card = Card { node: node.clone(), addresses: vec![odd.to_owned()], pages: vec![] };
            assert!(card.check().is_err(), "{odd}");
            let card = Card { node: node.clone(), addresses: vec![], pages: vec![odd.to_owned()] };
            assert!(card.check().is_err(), "{odd}");
        }
        let many = vec!["http://a".to_owned(); PLACES_MAX + 1];
        assert!(Card { node, addresses: many, pages: vec![] }.check().is_err());
    }
}
