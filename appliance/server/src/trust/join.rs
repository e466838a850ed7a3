//! A newcomer becomes a member: the key is made here, stays here, and what was granted is kept beside it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use storebox_proto::trust::joiner::{self, CodeJoiner, Compared, Distrust, Requester};
use storebox_proto::trust::words::{Ask, CodeShare, Grant, Granted, Nonce};
use storebox_proto::trust::{Kind, MemberKey, MemberName, Secret, Slip};

use super::call::{CallError, Connection};
use super::client::{Credentials, Way};
use super::paper::{self, PaperError, from_text, private_der};
use crate::env;

const KEY: &str = "member.key";
const GRANT: &str = "member.json";
/// Between two looks whether a person has answered.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a newcomer is no member.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No box could be asked.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The box is not believed.
    #[error(transparent)]
    Distrust(#[from] Distrust),
    /// The disk.
    #[error(transparent)]
    Paper(#[from] PaperError),
    /// Neither the slip nor the caller says where the box is.
    #[error("no address of the box is known; name one with --address")]
    NoAddress,
    /// What was granted cannot be read.
    #[error("the certificates that were granted cannot be read")]
    Certificates,
    /// This key is nobody's yet.
    #[error("{0} holds no membership; enrol first")]
    NoMember(std::path::PathBuf),
}

/// Who wants to come in, and with which key.
pub struct Newcomer {
    key: KeyPair,
    folder: std::path::PathBuf,
    kind: Kind,
    name: MemberName,
}

/// A member's own side.
pub struct Membership {
    key: KeyPair,
    grant: Grant,
}

/// The member's file.
#[derive(Serialize, Deserialize)]
struct Stored {
    kind: Kind,
    grant: Grant,
}

/// A request whose number is shown, on the connection on which it was made.
pub struct Asked {
    connection: Connection,
    compared: Compared,
}

impl Newcomer {
    /// With a key in this folder, made if there is none.
    pub fn new(folder: &Path, kind: Kind, name: MemberName) -> Result<Self, JoinError> {
        paper::folder(folder)?;
        let key = paper::key(&folder.join(KEY))?;
        Ok(Self { key, folder: folder.to_owned(), kind, name })
    }

    fn ask(&self) -> Ask {
        Ask { kind: self.kind, name: self.name.clone(), key: paper::public(&self.key) }
    }

    /// With a slip, at one of these addresses or those on the slip.
    pub async fn by_slip(self, slip: &Slip, hints: &[SocketAddr]) -> Result<Membership, JoinError> {
        let way = Way::by_slip(slip.authority, slip.site.clone());
        let mut connection = first(hints.iter().chain(&slip.addresses), &way).await?;
        let (message, pledge) = joiner::by_slip(slip, self.ask(), connection.channel());
        let granted: Granted = connection.post("/enrol/v1/slip", &message).await?;
        self.keep(pledge.accept(&granted)?)
    }

    /// With a typed code.
    pub async fn by_code(self, code: &str, address: SocketAddr) -> Result<Membership, JoinError> {
        let mut connection = Connection::open(address, &Way::proven_later(), None).await?;
        let random = Secret::new(env::random());
        let (share, joiner) = CodeJoiner::begin(code, self.ask(), connection.channel(), &random);
        let answer: CodeShare = connection.post("/enrol/v1/code/share", &share).await?;
        let (message, pledge) = joiner.go_on(&answer)?;
        let granted: Granted = connection.post("/enrol/v1/code/proof", &message).await?;
        self.keep(pledge.accept(&granted)?)
    }

    /// Asks a person; returns the number that the box must show too.
    pub async fn by_request(&self, address: SocketAddr) -> Result<(String, Asked), JoinError> {
        let mut connection = Connection::open(address, &Way::proven_later(), None).await?;
        let (message, requester) =
            Requester::begin(self.ask(), connection.channel(), env::random());
        let nonce: Nonce = connection.post("/enrol/v1/request", &message).await?;
        let (nonce, number, compared) = requester.go_on(&nonce);
        let _: serde_json::Value = connection.post("/enrol/v1/request/nonce", &nonce).await?;
        Ok((number, Asked { connection, compared }))
    }

    /// Waits for the person at the box, once the one here has said that both numbers are the same.
    pub async fn once_approved(self, asked: Asked) -> Result<Membership, JoinError> {
        let Asked { mut connection, compared } = asked;
        let pledge = compared.are_the_same();
        loop {
            let granted: Option<Granted> =
                connection.post("/enrol/v1/request/answer", &serde_json::json!({})).await?;
            if let Some(granted) = granted {
                return self.keep(pledge.accept(&granted)?);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn keep(self, grant: Grant) -> Result<Membership, JoinError> {
        let stored = Stored { kind: self.kind, grant };
        paper::write_json(&self.folder.join(GRANT), &stored)?;
        let membership = Membership { key: self.key, grant: stored.grant };
        membership.certificates()?;
        Ok(membership)
    }
}

impl Membership {
    /// What a folder holds.
    pub fn open(folder: &Path) -> Result<Self, JoinError> {
        let stored: Option<Stored> = paper::read_json(&folder.join(GRANT), "a membership")?;
        let stored = stored.ok_or_else(|| JoinError::NoMember(folder.to_owned()))?;
        Ok(Self { key: paper::read_key(&folder.join(KEY))?, grant: stored.grant })
    }

    /// Renews the certificate and the rings under the same key; what was granted before stays if that fails.
    pub async fn renew(folder: &Path, address: SocketAddr) -> Result<Self, JoinError> {
        let stored: Option<Stored> = paper::read_json(&folder.join(GRANT), "a membership")?;
        let kind = stored.ok_or_else(|| JoinError::NoMember(folder.to_owned()))?.kind;
        let known = Self::open(folder)?;
        let ask = Ask { kind, name: known.grant.name.clone(), key: known.public() };
        let mut connection = known.connect(address).await?;
        let grant: Grant = connection.post("/enrol/v1/renewal", &ask).await?;
        if (&grant.site, &grant.name) != (&known.grant.site, &known.grant.name) {
            return Err(JoinError::Certificates);
        }
        let renewed = Self { key: known.key, grant };
        renewed.certificates()?;
        let stored = Stored { kind, grant: renewed.grant.clone() };
        paper::write_json(&folder.join(GRANT), &stored)?;
        Ok(renewed)
    }

    /// What was granted.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The public key.
    pub fn public(&self) -> MemberKey {
        paper::public(&self.key)
    }

    fn certificates(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, CertificateDer<'static>), JoinError> {
        let chain: Option<Vec<_>> = self.grant.chain.iter().map(|text| from_text(text)).collect();
        let root = from_text(&self.grant.root);
        chain.zip(root).ok_or(JoinError::Certificates)
    }

    /// How this member reaches the boxes of its site, and what it shows of itself.
    pub fn way(&self) -> Result<(Way, Credentials), JoinError> {
        let (chain, root) = self.certificates()?;
        Ok((Way::by_root(root, self.grant.site.clone()), (chain, private_der(&self.key))))
    }

    /// Connects to a box of its site.
    pub async fn connect(&self, address: SocketAddr) -> Result<Connection, JoinError> {
        let (way, credentials) = self.way()?;
        Ok(Connection::open(address, &way, Some(credentials)).await?)
    }
}

/// The first address at which a box is believed; the last error if none is.
async fn first<'a>(
    addresses: impl Iterator<Item = &'a SocketAddr>,
    way: &Way,
) -> Result<Connection, JoinError> {
    let mut last = JoinError::NoAddress;
    for address in addresses {
        match Connection::open(*address, way, None).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}
