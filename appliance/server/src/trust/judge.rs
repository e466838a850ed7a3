//! Whether a certificate that somebody presents makes it a member of the chain, and if not, why not.
//!
//! TLS has only proven that the other side holds the key; everything else is decided here, after the handshake, so that
//! the answer can name what is wrong.
//! The clock of a box may be wrong: it is never before the proven floor, and a certificate that has expired while head
//! office was out of reach is honoured for [`GRACE`], because a till must not stop selling over it.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use storebox_proto::ids::SiteId;
use storebox_proto::limits::CHAIN_MAX;
use storebox_proto::problem::Code;
use storebox_proto::time::Timestamp;
use storebox_proto::trust::{Fingerprint, Kind, Member};
use webpki::{EndEntityCert, KeyUsage};

use super::strikes::Strikes;

/// How long an expired certificate of a member is honoured.
pub const GRACE: Duration = Duration::from_secs(30 * 86_400);
/// A certificate beyond this is none of ours.
const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// Its time is over, and the grace too.
    #[error("the certificate has expired")]
    Expired,
    /// Its key, or one above it, was struck off by head office.
    #[error("the key of this certificate, or of who issued it, was struck off")]
    Struck,
    /// A member of another site, which has no business here.
    #[error("the certificate belongs to site {0}")]
    Foreign(SiteId),
    /// Anything else: another authority, a broken signature, a name that its issuer may not give.
    #[error("the certificate is not one of this chain: {0}")]
    Invalid(String),
}

impl Objection {
    /// The code of the refusal.
    pub fn code(&self) -> Code {
        match self {
            Self::Expired => Code::CertificateExpired,
            Self::Struck => Code::Revoked,
            Self::Foreign(_) => Code::ForeignSite,
            Self::Invalid(_) => Code::CertificateInvalid,
        }
    }
}

/// A member whose certificate is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Who it is.
    pub member: Member,
    /// The keys of its chain, its own first, without the root's.
    pub keys: Vec<Fingerprint>,
    /// Whether it only lives on grace.
    pub on_grace: bool,
}

impl Known {
    /// Its own key.
    pub fn key(&self) -> Fingerprint {
        *self.keys.first().expect("a judged chain begins with the member's own certificate")
    }
}

/// Knows head office and what it has struck off; cheap to clone.
#[derive(Debug, Clone)]
pub struct Judge {
    root: Arc<TrustAnchor<'static>>,
    strikes: Strikes,
    /// Head office serves boxes of all sites; a box in a shop serves its own.
    site: SiteId,
    takes_foreign_boxes: bool,
}

impl Judge {
    /// For a box of this site; head office takes the boxes of all sites.
    pub fn new(
        root: &CertificateDer<'_>,
        strikes: Strikes,
        site: SiteId,
        takes_foreign_boxes: bool,
    ) -> Result<Self, Objection> {
        let anchor = webpki::anchor_from_trusted_cert(root).map_err(invalid)?;
        Ok(Self { root: Arc::new(anchor.to_owned()), strikes, site, takes_foreign_boxes })
    }

    /// Who presents this chain, its own certificate first.
    pub fn judge(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<Known, Objection> {
        let refuse = |why: &str| Objection::Invalid(why.to_owned());
        if chain.len() > CHAIN_MAX || chain.iter().any(|one| one.len() > CERTIFICATE_BYTES_MAX) {
            return Err(refuse("it is too long"));
        }
        let (own, above) = chain.split_first().ok_or_else(|| refuse("there is none"))?;
        let own = EndEntityCert::try_from(own).map_err(invalid)?;
        let (keys, on_grace) = match self.walk(&own, above, now) {
            Ok(keys) => (keys, false),
            Err(webpki::Error::CertExpired { .. }) => {
                let then = now.unix_ms() - i64::try_from(GRACE.as_millis()).unwrap_or(i64::MAX);
                // Whatever was wrong at that time, what is wrong now is that its time is over.
                let walked = self.walk(&own, above, Timestamp::from_unix_ms(then));
                (walked.map_err(|_| Objection::Expired)?, true)
            }
            Err(error) => return Err(invalid(error)),
        };
        if self.strikes.has_any(&keys) {
            return Err(Objection::Struck);
        }
        let mut members = own.valid_dns_names().filter_map(Member::from_dns);
        let member = members.next().ok_or_else(|| refuse("it names no member"))?;
        if members.next().is_some() {
            return Err(refuse("it names more than one member"));
        }
        let is_welcome =
            member.site == self.site || (self.takes_foreign_boxes && member.kind == Kind::Box);
        match is_welcome {
            true => Ok(Known { member, keys, on_grace }),
            false => Err(Objection::Foreign(member.site)),
        }
    }

    /// When a good certificate expires, in seconds since 1970.
    pub fn expiry(&self, chain: &[CertificateDer<'_>]) -> Option<u64> {
        let (own, above) = chain.split_first()?;
        let own = EndEntityCert::try_from(own).ok()?;
        let never = Timestamp::from_unix_ms(i64::MAX);
        match self.walk(&own, above, never) {
            Err(webpki::Error::CertExpired { not_after, .. }) => Some(not_after.as_secs()),
            Ok(_) | Err(_) => None,
        }
    }

    /// Whether one of these keys was struck off since they were judged.
    pub fn has_struck(&self, known: &Known) -> bool {
        self.strikes.has_any(&known.keys)
    }

    fn walk(
        &self,
        own: &EndEntityCert<'_>,
        above: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<Vec<Fingerprint>, webpki::Error> {
        let at = UnixTime::since_unix_epoch(Duration::from_millis(
            u64::try_from(now.unix_ms()).unwrap_or(0),
        ));
        let algorithms = &[webpki::ring::ECDSA_P256_SHA256];
        let roots = std::slice::from_ref(&*self.root);
        let usage = KeyUsage::client_auth();
        let path = own.verify_for_usage(algorithms, roots, above, at, usage, None, None)?;
        let above = path.intermediate_certificates().map(|one| one.subject_public_key_info());
        let all = std::iter::once(own.subject_public_key_info()).chain(above);
        Ok(all.map(|spki| Fingerprint::of(&spki)).collect())
    }
}

fn invalid(error: webpki::Error) -> Objection {
    if let webpki::Error::CertExpired { .. } = error {
        return Objection::Expired;
    }
    Objection::Invalid(error.to_string())
}
