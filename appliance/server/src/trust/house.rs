//! What makes a box a member of its site: two keys that never leave it, and what head office has certified.
//!
//! ```text
//! <data_dir>/trust/box.key  door.key   made here, mode 0600
//!                  papers.json         certificates, head office's root, the key of its lists
//!                  strikes.json        what was struck off
//! ```
//! A box asks with [`request`] and becomes a member with [`adopt`]; no secret travels in either direction.
//! Another head office is taken over only after [`reset`]: both need somebody at the box, because both are commands
//! that work on the directory of a box that does not run.

use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use storebox_proto::ids::{InvalidName, SiteId};
use storebox_proto::time::Timestamp;
use storebox_proto::trust::strike::Signed;
use storebox_proto::trust::{Fingerprint, Kind, Member, MemberKey, MemberName};

use super::judge::{Judge, Objection};
use super::mint::{Authority, MintError};
use super::paper::{self, PaperError, from_text};
use super::strikes::{self, StrikeError, Strikes};

/// The folder within the data directory.
pub const FOLDER: &str = "trust";
const PAPERS: &str = "papers.json";
const BOX_KEY: &str = "box.key";
const DOOR_KEY: &str = "door.key";

/// What a box sends to head office to be certified; nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxRequest {
    /// How it is called.
    pub name: MemberName,
    /// Its key.
    pub key: MemberKey,
    /// The key of its door.
    pub door: MemberKey,
    /// Names of mDNS under which browsers find it.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// What head office answers; nothing in it is secret either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxPapers {
    /// Which box.
    pub member: Member,
    /// Its certificate.
    pub certificate: String,
    /// The site's.
    pub site: String,
    /// Its door's.
    pub door: String,
    /// Head office's.
    pub root: String,
    /// The key of head office's lists.
    pub list_key: String,
    /// What was struck off when this was made.
    pub strikes: Signed,
}

/// Why a box is no member, or cannot become one.
#[derive(Debug, thiserror::Error)]
pub enum HouseError {
    /// The disk.
    #[error(transparent)]
    Paper(#[from] PaperError),
    /// The name cannot be certified.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The papers are for other keys.
    #[error("these papers are not for the keys of this box: ask head office with a new request")]
    OtherKeys,
    /// The box belongs to another head office.
    #[error("this box belongs to another head office; `storebox site reset` ends that, at the box")]
    Adopted,
    /// The papers are not good.
    #[error("the papers of this box are not good")]
    Papers(#[from] Objection),
    /// Something in the papers cannot be read.
    #[error("the {0} in the papers cannot be read")]
    Field(&'static str),
    /// What is kept is not good.
    #[error("use {path}")]
    Kept {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<HouseError>,
    },
    /// The list of what was struck off is not good.
    #[error("use the list of what was struck off")]
    Strikes(#[from] StrikeError),
    /// Nothing is certified.
    #[error(transparent)]
    Mint(#[from] MintError),
}

/// A box that is a member of its site.
pub struct House {
    /// Which member it is.
    pub member: Member,
    /// Judges others.
    pub judge: Judge,
    /// What was struck off.
    pub strikes: Strikes,
    /// Its certificate and the site's, as TLS presents them.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) root: CertificateDer<'static>,
    pub(super) list_key: String,
    pub(super) key: KeyPair,
    pub(super) door: Door,
}

/// Certifies terminals and peers of this box's site.
pub(super) struct Door {
    authority: Authority,
    /// The door's certificate and the site's.
    above: Vec<CertificateDer<'static>>,
}

impl Door {
    /// The chain of a new member.
    pub(super) fn certify(
        &self,
        member: &Member,
        key: &MemberKey,
        now: Timestamp,
    ) -> Result<Vec<CertificateDer<'static>>, MintError> {
        let own = self.authority.certify(member, key, &[], now)?;
        Ok(std::iter::once(own).chain(self.above.iter().cloned()).collect())
    }
}

/// Where a box keeps its papers.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

/// What head office needs to certify this box; makes its keys if there are none.
pub fn request(data_dir: &Path, name: &str, hosts: Vec<String>) -> Result<BoxRequest, HouseError> {
    let folder = folder(data_dir);
    paper::folder(&folder)?;
    let key = paper::public(&paper::key(&folder.join(BOX_KEY))?);
    let door = paper::public(&paper::key(&folder.join(DOOR_KEY))?);
    Ok(BoxRequest { name: name.parse()?, key, door, hosts })
}

/// Takes papers over, if they are for this box and from its head office.
pub fn adopt(data_dir: &Path, papers: &BoxPapers, now: Timestamp) -> Result<(), HouseError> {
    let folder = folder(data_dir);
    let known: Option<BoxPapers> = paper::read_json(&folder.join(PAPERS), "the papers of a box")?;
    let is_other =
        |known: &BoxPapers| known.root != papers.root || known.list_key != papers.list_key;
    if known.as_ref().is_some_and(is_other) {
        return Err(HouseError::Adopted);
    }
    let house = House::of(&folder, papers, papers.member.site.clone(), true)?;
    house.judge.judge(&house.chain, now)?;
    match house.strikes.take(&papers.strikes) {
        Ok(_) | Err(StrikeError::Older { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(paper::write_json(&folder.join(PAPERS), papers)?)
}

/// Forgets the site, its head office and both keys; the box is nobody until it is adopted again.
pub fn reset(data_dir: &Path) -> Result<(), HouseError> {
    let folder = folder(data_dir);
    match std::fs::remove_dir_all(&folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(PaperError::File { path: folder, source }.into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

impl House {
    /// The membership of this box, if it has one; head office takes the boxes of all sites.
    pub fn open(data_dir: &Path, takes_foreign_boxes: bool) -> Result<Option<Self>, HouseError> {
        let folder = folder(data_dir);
        let papers: Option<BoxPapers> =
            paper::read_json(&folder.join(PAPERS), "the papers of a box")?;
        let Some(papers) = papers else { return Ok(None) };
        let site = papers.member.site.clone();
        let house = Self::of(&folder, &papers, site, takes_foreign_boxes);
        house.map(Some).map_err(|error| match error {
            HouseError::Field(_)
            | HouseError::Name(_)
            | HouseError::OtherKeys
            | HouseError::Papers(_) => {
                HouseError::Kept { path: folder.join(PAPERS), source: Box::new(error) }
            }
            HouseError::Strikes(StrikeError::Refused(_)) => {
                HouseError::Kept { path: folder.join(strikes::FILE), source: Box::new(error) }
            }
            // These name the file, or are not about one.
            HouseError::Paper(_)
            | HouseError::Strikes(_)
            | HouseError::Adopted
            | HouseError::Mint(_)
            | HouseError::Kept { .. } => error,
        })
    }

    fn of(
        folder: &Path,
        papers: &BoxPapers,
        site: SiteId,
        takes_foreign_boxes: bool,
    ) -> Result<Self, HouseError> {
        let certificate = |text: &str, field| from_text(text).ok_or(HouseError::Field(field));
        let own = certificate(&papers.certificate, "certificate")?;
        let of_site = certificate(&papers.site, "certificate of the site")?;
        let of_door = certificate(&papers.door, "certificate of the door")?;
        let root = certificate(&papers.root, "certificate of head office")?;
        let key = paper::read_key(&folder.join(BOX_KEY))?;
        let door_key = paper::read_key(&folder.join(DOOR_KEY))?;
        let is_for = |certificate: &CertificateDer<'_>, key: &KeyPair| {
            key_of(certificate) == Some(paper::public(key).fingerprint())
        };
        if papers.member.kind != Kind::Box || !is_for(&own, &key) || !is_for(&of_door, &door_key) {
            return Err(HouseError::OtherKeys);
        }
        let mut list_key = [0; 32];
        let read = hex::decode_to_slice(&papers.list_key, &mut list_key);
        let list_key_read = read.ok().and_then(|()| VerifyingKey::from_bytes(&list_key).ok());
        let verifying = list_key_read.ok_or(HouseError::Field("key of the lists"))?;
        let strikes = Strikes::open(folder, verifying)?;
        let judge = Judge::new(&root, strikes.clone(), site.clone(), takes_foreign_boxes)?;
        let door = Door {
            authority: Authority::door(door_key, &site),
            above: vec![of_door, of_site.clone()],
        };
        let (member, list_key) = (papers.member.clone(), papers.list_key.clone());
        Ok(Self { member, judge, strikes, chain: vec![own, of_site], root, list_key, key, door })
    }

    /// The key of the site's authority, as slips name it.
    pub fn authority(&self) -> Fingerprint {
        let of_site = self.chain.last().expect("a chain of two was built above");
        key_of(of_site).expect("the certificate was read when the house was opened")
    }

    /// When this box's certificate expires.
    pub fn expires(&self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.judge.expiry(&self.chain)?).ok()?;
        Some(Timestamp::from_unix_ms(seconds.saturating_mul(1000)))
    }

    /// The certificate of head office as PEM, for whoever wants to install it.
    pub fn root_pem(&self) -> String {
        paper::to_pem(&self.root)
    }
}

#[cfg(test)]
impl House {
    /// A till certified by this door as of any time, for tests of what is refused.
    pub(crate) fn issue_for_test(
        &self,
        site: &SiteId,
        name: &str,
        now: Timestamp,
    ) -> (KeyPair, Vec<String>) {
        let name = name.parse().expect("a name that the test has chosen");
        let member = Member { site: site.clone(), kind: Kind::Terminal, name };
        let key = KeyPair::generate().expect("the kernel's random device answers");
        let chain = self.door.certify(&member, &paper::public(&key), now).expect("it certifies");
        (key, chain.iter().map(paper::to_text).collect())
    }
}

/// The key in a certificate.
pub(super) fn key_of(certificate: &CertificateDer<'_>) -> Option<Fingerprint> {
    let read = webpki::EndEntityCert::try_from(certificate).ok()?;
    Some(Fingerprint::of(&read.subject_public_key_info()))
}
