//! The slip: what the box prints and the till's own scanner reads.
//!
//! `SBX1:<site>:<fingerprint of the site's authority>:<slip>:<secret>[:<address>,…]`, as one QR code.
//! Only the secret is secret, and only until the slip is used; addresses are a hint and believed by nobody.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::name::is_certifiable;
use super::{Fingerprint, Secret};
use crate::ids::SiteId;
use crate::limits::{SLIP_ADDRESSES_MAX, SLIP_BYTES_MAX};

const VERSION: &str = "SBX1";

/// Tells the slips of a box apart; not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SlipId(pub [u8; 4]);

impl fmt::Display for SlipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl TryFrom<String> for SlipId {
    type Error = InvalidSlip;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut id = [0; 4];
        hex::decode_to_slice(&text, &mut id).map_err(|_| InvalidSlip::Field("slip"))?;
        Ok(Self(id))
    }
}

impl From<SlipId> for String {
    fn from(id: SlipId) -> Self {
        id.to_string()
    }
}

/// A slip as a newcomer holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slip {
    /// The site that it leads to.
    pub site: SiteId,
    /// The key of the site's authority.
    pub authority: Fingerprint,
    /// Which slip.
    pub id: SlipId,
    /// What proves that one holds it.
    pub secret: Secret<16>,
    /// Where a box may be.
    pub addresses: Vec<SocketAddr>,
}

/// Why a text is no slip.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSlip {
    /// Something else was scanned.
    #[error("this is not a slip of a Storebox")]
    Other,
    /// A field is wrong.
    #[error("the slip is damaged: its {0} cannot be read")]
    Field(&'static str),
    /// Much too long.
    #[error("the slip has more than {SLIP_BYTES_MAX} bytes")]
    Long,
}

impl FromStr for Slip {
    type Err = InvalidSlip;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > SLIP_BYTES_MAX {
            return Err(InvalidSlip::Long);
        }
        let rest = text.trim().strip_prefix(VERSION).and_then(|rest| rest.strip_prefix(':'));
        let mut fields = rest.ok_or(InvalidSlip::Other)?.splitn(5, ':');
        let mut field = |what| fields.next().ok_or(InvalidSlip::Field(what));
        let site = field("site")?.parse().map_err(|_| InvalidSlip::Field("site"))?;
        if !is_certifiable(&site) {
            return Err(InvalidSlip::Field("site"));
        }
        let authority = field("authority")?.parse().map_err(|_| InvalidSlip::Field("authority"))?;
        let id = SlipId::try_from(field("slip")?.to_owned())?;
        let mut secret = [0; 16];
        hex::decode_to_slice(field("secret")?, &mut secret)
            .map_err(|_| InvalidSlip::Field("secret"))?;
        let addresses = fields.next().unwrap_or_default();
        let addresses = addresses.split(',').filter(|text| !text.is_empty());
        let addresses: Result<Vec<_>, _> =
            addresses.take(SLIP_ADDRESSES_MAX).map(str::parse::<SocketAddr>).collect();
        let addresses = addresses.map_err(|_| InvalidSlip::Field("address"))?;
        Ok(Self { site, authority, id, secret: Secret::new(secret), addresses })
    }
}

impl Slip {
    /// The text of the QR code; the only place where the secret is shown.
    pub fn text(&self) -> String {
        let Self { site, authority, id, secret, addresses } = self;
        let mut text =
            format!("{VERSION}:{site}:{authority}:{id}:{}", hex::encode(secret.reveal()));
        for (index, address) in addresses.iter().take(SLIP_ADDRESSES_MAX).enumerate() {
            text.push(if index == 0 { ':' } else { ',' });
            text.push_str(&address.to_string());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slip() -> Slip {
        Slip {
            site: "0007".parse().unwrap(),
            authority: Fingerprint([1; 32]),
            id: SlipId([2; 4]),
            secret: Secret::new([3; 16]),
            addresses: vec!["10.77.0.10:8443".parse().unwrap(), "[fe80::1]:8443".parse().unwrap()],
        }
    }

    #[test]
    fn roundtrip_of_a_slip() {
        assert_eq!(slip().text().parse::<Slip>().unwrap(), slip());
        let bare = Slip { addresses: Vec::new(), ..slip() };
        assert_eq!(bare.text().parse::<Slip>().unwrap(), bare);
        assert!(!format!("{:?}", slip()).contains("0303"), "a slip that is logged is still secret");
    }

    #[test]
    fn a_damaged_slip_says_what_is_wrong() {
        let text = slip().text();
        assert_eq!("4006381333931".parse::<Slip>(), Err(InvalidSlip::Other));
        assert_eq!(text[..40].parse::<Slip>(), Err(InvalidSlip::Field("authority")));
        assert_eq!(text.replace("0303", "03zz").parse::<Slip>(), Err(InvalidSlip::Field("secret")));
        assert_eq!("x".repeat(600).parse::<Slip>(), Err(InvalidSlip::Long));
    }

    proptest! {
        #[test]
        fn any_text_is_a_slip_or_refused(text in "SBX1:[0-9a-f:,.]{0,200}|.{0,100}") {
            if let Ok(slip) = text.parse::<Slip>() {
                prop_assert_eq!(slip.text().parse::<Slip>().unwrap(), slip);
            }
        }
    }
}
