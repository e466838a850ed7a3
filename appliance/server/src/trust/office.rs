//! Head office's cabinet: a directory on a machine that need not be on any network.
//!
//! ```text
//! <dir>/root.key root.pem   certifies sites; the only thing that tills and boxes believe
//!       list.key            signs the list of what was struck off
//!       register.json       what was issued
//!       strikes.json        the list
//!       sites/<site>/site.key site.pem
//! ```
//! Whoever has the directory is head office: it belongs on an encrypted disk, with a copy in a safe.

mod register;

use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use storebox_proto::ids::{InvalidName, SiteId};
use storebox_proto::time::Timestamp;
use storebox_proto::trust::name::is_certifiable;
use storebox_proto::trust::strike::{ListRefused, Signed, StrikeList, Struck};
use storebox_proto::trust::{Kind, Member, MemberName};
use zeroize::Zeroizing;

use super::house::{BoxPapers, BoxRequest};
use super::mint::{Authority, HOSTS_MAX, MintError};
use super::paper::{self, PaperError, to_text};
use super::strikes::FILE as STRIKES;
use crate::env;
pub use register::{Issued, Register};

const ROOT_KEY: &str = "root.key";
const ROOT_PEM: &str = "root.pem";
const LIST_KEY: &str = "list.key";

/// Why head office does not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// The disk.
    #[error(transparent)]
    Paper(#[from] PaperError),
    /// A name breaks its rule.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Nothing is certified.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// The list cannot be made.
    #[error(transparent)]
    List(#[from] ListRefused),
    /// No head office lives there.
    #[error("{0} is not the directory of a head office; `storebox site new` makes one")]
    NotThere(PathBuf),
    /// The site exists.
    #[error("site {0} exists already")]
    SiteExists(SiteId),
    /// The site does not.
    #[error("no site is called {0}; `storebox site new` makes it")]
    SiteUnknown(SiteId),
    /// The name is in use.
    #[error("{0} is certified already with other keys; strike it off first")]
    Exists(Member),
    /// Another store has a box of this name: head office would confuse them.
    #[error("a box called {name} exists at site {site}; names of boxes are unique in the chain")]
    NameTaken {
        /// The name.
        name: MemberName,
        /// Where.
        site: SiteId,
    },
    /// Nothing was issued to it.
    #[error("nothing was issued to {0}")]
    Unknown(Member),
    /// A host name that no box may have.
    #[error("{0:?} is not a name of mDNS such as storebox-a1b2c3.local")]
    Host(String),
}

/// An open head office.
pub struct Office {
    dir: PathBuf,
    root: Authority,
    root_certificate: CertificateDer<'static>,
    list_key: SigningKey,
    register: Register,
    list: StrikeList,
}

impl Office {
    /// Opens the cabinet, or founds a head office in a directory that is not one.
    pub fn found(dir: &Path, now: Timestamp) -> Result<Self, OfficeError> {
        if dir.join(ROOT_KEY).exists() {
            return Self::open(dir, now);
        }
        paper::folder(dir)?;
        let secret = Zeroizing::new(env::random::<32>());
        paper::write(&dir.join(LIST_KEY), Zeroizing::new(hex::encode(*secret)).as_bytes())?;
        let root = Authority::root(paper::key(&dir.join(ROOT_KEY))?);
        let certificate = root.certify_itself(now)?;
        paper::write(&dir.join(ROOT_PEM), paper::to_pem(&certificate).as_bytes())?;
        let office = Self::open(dir, now)?;
        office.keep()?;
        Ok(office)
    }

    /// Opens the cabinet.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, OfficeError> {
        if !dir.join(ROOT_KEY).exists() || !dir.join(LIST_KEY).exists() {
            return Err(OfficeError::NotThere(dir.to_owned()));
        }
        let root = Authority::root(paper::read_key(&dir.join(ROOT_KEY))?);
        let root_certificate = read_certificate(&dir.join(ROOT_PEM))?;
        let list_key = read_list_key(&dir.join(LIST_KEY))?;
        let register = Register::read(dir)?;
        let stored: Option<Signed> = paper::read_json(&dir.join(STRIKES), "a signed list")?;
        let list = match stored {
            Some(signed) => signed.open(&list_key.verifying_key())?,
            None => StrikeList::empty(now),
        };
        Ok(Self { dir: dir.to_owned(), root, root_certificate, list_key, register, list })
    }

    /// Makes a site.
    pub fn new_site(&mut self, site: &SiteId, now: Timestamp) -> Result<(), OfficeError> {
        if !is_certifiable(site) {
            // The rule is that of members: no '-' at either end.
            site.as_str().parse::<MemberName>()?;
        }
        let folder = self.site_folder(site);
        if folder.join("site.pem").exists() {
            return Err(OfficeError::SiteExists(site.clone()));
        }
        paper::folder(&folder)?;
        let authority = Authority::site(paper::key(&folder.join("site.key"))?, site);
        let certificate = self.root.certify_site(site, &authority, now)?;
        paper::write(&folder.join("site.pem"), paper::to_pem(&certificate).as_bytes())?;
        Ok(())
    }

    /// Certifies a box and its door.
    pub fn issue(
        &mut self,
        site: &SiteId,
        request: &BoxRequest,
        now: Timestamp,
    ) -> Result<BoxPapers, OfficeError> {
        check_hosts(&request.hosts)?;
        let (authority, of_site) = self.site(site)?;
        let member = Member { site: site.clone(), kind: Kind::Box, name: request.name.clone() };
        let keys = [request.key.fingerprint(), request.door.fingerprint()];
        self.register.check(&member, keys)?;
        let certificate = authority.certify(&member, &request.key, &request.hosts, now)?;
        let door = authority.certify_door(site, &request.door, now)?;
        self.register.put(Issued { member: member.clone(), key: keys[0], door: keys[1], at: now });
        self.keep()?;
        Ok(BoxPapers {
            member,
            certificate: to_text(&certificate),
            site: to_text(&of_site),
            door: to_text(&door),
            root: to_text(&self.root_certificate),
            list_key: hex::encode(self.list_key.verifying_key().as_bytes()),
            strikes: self.strikes()?,
        })
    }

    /// Strikes a box off with its door, and so everybody whom it has let in: one act.
    pub fn strike_box(&mut self, member: &Member, now: Timestamp) -> Result<Signed, OfficeError> {
        let issued = self.register.remove(member);
        let issued = issued.ok_or_else(|| OfficeError::Unknown(member.clone()))?;
        for (key, of) in
            [(issued.key, member.to_string()), (issued.door, format!("the door of {member}"))]
        {
            self.list.strike(Struck { key, of, at: now })?;
        }
        self.keep()?;
        self.strikes()
    }

    /// Strikes any key off: a terminal's, a peer's, or that of a whole site.
    pub fn strike(&mut self, struck: Struck) -> Result<Signed, OfficeError> {
        self.list.strike(struck)?;
        self.keep()?;
        self.strikes()
    }

    /// The signed list, as boxes take it.
    pub fn strikes(&self) -> Result<Signed, OfficeError> {
        Ok(self.list.sign(&self.list_key)?)
    }

    /// What was issued and is in force.
    pub fn issued(&self) -> &[Issued] {
        self.register.issued()
    }

    /// What was struck off.
    pub fn struck(&self) -> &[Struck] {
        &self.list.struck
    }

    /// The key of a site's authority, as slips name it.
    pub fn authority(
        &self,
        site: &SiteId,
    ) -> Result<storebox_proto::trust::Fingerprint, OfficeError> {
        Ok(self.site(site)?.0.fingerprint())
    }

    fn site(&self, site: &SiteId) -> Result<(Authority, CertificateDer<'static>), OfficeError> {
        let folder = self.site_folder(site);
        if !folder.join("site.pem").exists() {
            return Err(OfficeError::SiteUnknown(site.clone()));
        }
        let key = paper::read_key(&folder.join("site.key"))?;
        Ok((Authority::site(key, site), read_certificate(&folder.join("site.pem"))?))
    }

    fn site_folder(&self, site: &SiteId) -> PathBuf {
        self.dir.join("sites").join(site.as_str())
    }

    fn keep(&self) -> Result<(), OfficeError> {
        self.register.write(&self.dir)?;
        Ok(paper::write_json(&self.dir.join(STRIKES), &self.strikes()?)?)
    }
}

fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, PaperError> {
    let bytes = paper::read(path)?;
    CertificateDer::from_pem_slice(&bytes)
        .map_err(|_| PaperError::Content { path: path.to_owned(), wanted: "a certificate as PEM" })
}

fn read_list_key(path: &Path) -> Result<SigningKey, PaperError> {
    let bytes = paper::read(path)?;
    let mut secret = Zeroizing::new([0; 32]);
    let text = bytes.trim_ascii();
    hex::decode_to_slice(text, secret.as_mut_slice()).map_err(|_| PaperError::Content {
        path: path.to_owned(),
        wanted: "64 hexadecimal digits",
    })?;
    Ok(SigningKey::from_bytes(&secret))
}

fn check_hosts(hosts: &[String]) -> Result<(), OfficeError> {
    let is_local = |host: &str| {
        host.strip_suffix(".local").is_some_and(|label| label.parse::<MemberName>().is_ok())
    };
    match hosts.iter().find(|host| !is_local(host)) {
        Some(host) => Err(OfficeError::Host(host.clone())),
        None if hosts.len() > HOSTS_MAX => Err(OfficeError::Host(hosts.join(","))),
        None => Ok(()),
    }
}
