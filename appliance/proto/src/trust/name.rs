//! The names under which members are certified.
//!
//! `till-3.terminal.site-0007.storebox.internal`: the identity is a DNS name and nothing else, because DNS names are
//! what name constraints bind in every implementation (they do not bind URIs in most).
//! A site's authority may certify below `site-0007.storebox.internal` only, and a box below its terminals and peers
//! only; a member can therefore not be made up by whoever holds another site's keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{InvalidName, SiteId};

/// All names end in this; `internal` is reserved for private use and never resolves on the internet.
pub const SUFFIX: &str = "storebox.internal";

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A box: serves tills, speaks for its store to head office.
    Box,
    /// A till or other client.
    Terminal,
    /// Carries masterdata between boxes and reads nothing else.
    Peer,
}

impl Kind {
    /// The label in names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Box => "box",
            Self::Terminal => "terminal",
            Self::Peer => "peer",
        }
    }

    fn from_label(label: &str) -> Option<Self> {
        [Self::Box, Self::Terminal, Self::Peer].into_iter().find(|kind| kind.as_str() == label)
    }
}

impl FromStr for Kind {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_label(text).ok_or_else(|| InvalidName {
            kind: "kind of member",
            value: text.chars().take(64).collect(),
            rule: "box, terminal or peer",
        })
    }
}

/// A name within a site that is a DNS label too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemberName(String);

impl MemberName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_label(text: &str) -> bool {
    SiteId::allows(text) && !text.starts_with('-') && !text.ends_with('-')
}

impl FromStr for MemberName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_label(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidName {
            kind: "member",
            value: text.chars().take(64).collect(),
            rule: "1 to 32 of a-z, 0-9 and '-', neither first nor last a '-'",
        })
    }
}

impl TryFrom<String> for MemberName {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MemberName> for String {
    fn from(name: MemberName) -> Self {
        name.0
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One box, terminal or peer of one site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Where it belongs.
    pub site: SiteId,
    /// What it is.
    pub kind: Kind,
    /// Which of them.
    pub name: MemberName,
}

impl Member {
    /// The name in its certificate.
    pub fn dns(&self) -> String {
        format!("{}.{}.{}", self.name, self.kind.as_str(), site_dns(&self.site))
    }

    /// The member that a certificate names; nothing if the name is of another form.
    pub fn from_dns(name: &str) -> Option<Self> {
        let rest = name.strip_suffix(SUFFIX)?.strip_suffix('.')?;
        let mut labels = rest.split('.');
        let (name, kind, site) = (labels.next()?, labels.next()?, labels.next()?);
        if labels.next().is_some() {
            return None;
        }
        let site = site.strip_prefix("site-").filter(|site| is_label(site))?;
        Some(Self {
            site: site.parse().ok()?,
            kind: Kind::from_label(kind)?,
            name: name.parse().ok()?,
        })
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of site {}", self.kind.as_str(), self.name, self.site)
    }
}

/// Whether a site's name can stand in certificates: a DNS label.
pub fn is_certifiable(site: &SiteId) -> bool {
    is_label(site.as_str())
}

/// What a site's authority may certify below.
pub fn site_dns(site: &SiteId) -> String {
    format!("site-{site}.{SUFFIX}")
}

/// What a box may certify below, for one kind of member.
pub fn kind_dns(site: &SiteId, kind: Kind) -> String {
    format!("{}.{}", kind.as_str(), site_dns(site))
}

/// The name that every box of a site answers to, whatever its address: what tills ask for.
pub fn box_dns(site: &SiteId) -> String {
    kind_dns(site, Kind::Box)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_member_is_read_back_from_its_name() {
        let site: SiteId = "0007".parse().unwrap();
        let till =
            Member { site: site.clone(), kind: Kind::Terminal, name: "till-3".parse().unwrap() };
        assert_eq!(till.dns(), "till-3.terminal.site-0007.storebox.internal");
        assert_eq!(Member::from_dns(&till.dns()), Some(till));
        assert_eq!(Member::from_dns(&box_dns(&site)), None, "the common name is nobody's identity");
    }

    #[test]
    fn names_of_another_form_are_nobody() {
        for name in [
            "till-3.terminal.site-0007.storebox.internal.evil.example",
            "a.till-3.terminal.site-0007.storebox.internal",
            "till-3.operator.site-0007.storebox.internal",
            "till-3.terminal.0007.storebox.internal",
            "Till-3.terminal.site-0007.storebox.internal",
            "-till.terminal.site-0007.storebox.internal",
            "till-3.terminal.site-0007.xstorebox.internal",
            "",
        ] {
            assert_eq!(Member::from_dns(name), None, "{name}");
        }
        assert!("till-".parse::<MemberName>().is_err());
        assert!(!is_certifiable(&"-x".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn any_text_is_a_member_or_nobody(text in ".{0,80}") {
            if let Some(member) = Member::from_dns(&text) {
                prop_assert_eq!(member.dns(), text);
            }
        }
    }
}
