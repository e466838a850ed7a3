//! What DHCP gives: option 224 (of those for a site's own use), and the code on the box's label.
//!
//! The option holds the text of a [`super::Pointer`].
//! Clients of DHCP hand it on in different ways: as it is, or as hexadecimal digits with or without colons, behind a
//! name in a file of leases.

use super::pointer::{InvalidPointer, Pointer};
use crate::limits::POINTER_BYTES_MAX;

/// Begins what the code on a label says.
const LABEL: &str = "storebox:";
/// Files of leases are short.
const LEASE_BYTES_MAX: usize = 16 * 1024;

impl Pointer {
    /// The pointer in what a DHCP client wrote: the text itself, or a lease with `OPTION_224=…` or `option-224 …;`.
    pub fn from_lease(text: &str, port: u16) -> Result<Self, InvalidPointer> {
        if text.len() > LEASE_BYTES_MAX {
            return Err(InvalidPointer::TooLong { bytes: text.len() });
        }
        let names = ["OPTION_224=", "new_unknown_224=", "unknown-224 ", "option-224 "];
        for line in text.lines() {
            let named = names.iter().find_map(|name| line.split_once(name));
            if let Some((_, value)) = named {
                let value = value.trim().trim_end_matches(';').trim_matches(['"', '\'']);
                return Self::parse(&plain(value), port);
            }
        }
        Self::parse(&plain(text.trim()), port)
    }

    /// The pointer that a label's code or a person's hand gives: `storebox:10.0.0.5:8443,box.shop.lan`, an address of a
    /// page of the box, or a plain list of places.
    pub fn from_label(text: &str, port: u16) -> Result<Self, InvalidPointer> {
        let text = text.trim();
        if text.len() > POINTER_BYTES_MAX {
            return Err(InvalidPointer::TooLong { bytes: text.len() });
        }
        let is_label = text.get(..LABEL.len()).is_some_and(|head| head.eq_ignore_ascii_case(LABEL));
        let (rest, port) = match (is_label, text.split_once("://")) {
            (true, _) => (&text[LABEL.len()..], port),
            (false, Some((scheme, rest))) if scheme.eq_ignore_ascii_case("http") => (rest, 80),
            (false, Some((scheme, rest))) if scheme.eq_ignore_ascii_case("https") => (rest, 443),
            (false, _) => return Self::parse(text, port),
        };
        let rest = rest.trim_start_matches('/');
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        Self::parse(&rest[..end], port)
    }
}

/// A text that was written as hexadecimal digits, or as it is.
fn plain(text: &str) -> String {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    match hex::decode(&digits).map(String::from_utf8) {
        Ok(Ok(plain)) if !plain.is_empty() => plain,
        Ok(_) | Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::beacon::Place;

    fn wanted() -> Pointer {
        let host = "box.shop.lan".to_owned();
        Pointer { places: vec![Place::Name { host, port: 8443 }] }
    }

    const TEXT: &str = "SBX1 host=box.shop.lan port=8443";

    #[test]
    fn leases_of_several_clients_are_read() {
        let hex = hex::encode(TEXT);
        let colons =
            hex.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned());
        let colons = colons.collect::<Vec<_>>().join(":");
        for lease in [
            format!("ADDRESS=10.0.0.9\nOPTION_224={hex}\nROUTER=10.0.0.1\n"),
            format!("  option unknown-224 {colons};\n"),
            format!("new_unknown_224='{hex}'"),
            TEXT.to_owned(),
            hex.clone(),
        ] {
            assert_eq!(Pointer::from_lease(&lease, 80), Ok(wanted()), "{lease}");
        }
    }

    #[test]
    fn a_label_and_a_typed_address_are_read() {
        for text in [
            "storebox:box.shop.lan:8443",
            "STOREBOX://box.shop.lan:8443/?ca=5f",
            "https://box.shop.lan:8443/enrol#x",
            " box.shop.lan:8443 ",
        ] {
            assert_eq!(Pointer::from_label(text, 80), Ok(wanted()), "{text}");
        }
        let address = |text: &str| vec![Place::Address(text.parse().unwrap())];
        assert_eq!(
            Pointer::from_label("http://10.0.0.5", 8080).unwrap().places,
            address("10.0.0.5:80")
        );
        assert_eq!(Pointer::from_label("10.0.0.5", 8080).unwrap().places, address("10.0.0.5:8080"));
        assert!(Pointer::from_label("ftp://10.0.0.5", 80).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = Pointer::from_lease(&text, 80);
            let _ = Pointer::from_label(&text, 80);
        }
    }
}
