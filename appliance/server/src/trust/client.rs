//! The other end of TLS: whom a till, a newcomer or a box believes.
//!
//! The name that is verified is the site's, whatever address was dialled: addresses change, are spoofed and stand in no
//! certificate.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use storebox_proto::ids::SiteId;
use storebox_proto::trust::Fingerprint;
use storebox_proto::trust::name::box_dns;

use super::house::{House, key_of};
use super::paper::private_der;
use super::signatures::Signatures;
use crate::env;

/// What a client shows of itself.
pub type Credentials = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The one provider of algorithms.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The box's clock, never before what is proven.
#[derive(Debug)]
pub(super) struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let ms = u64::try_from(env::believable().unix_ms()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(ms)))
    }
}

/// Whom to believe.
#[derive(Debug, Clone)]
enum Faith {
    /// Boxes of a site, as head office certifies them.
    Root(CertificateDer<'static>),
    /// Boxes of a site whose authority has this key, as a slip says.
    Authority(Fingerprint),
    /// Anybody, for now: what follows proves who it is.
    ProvenLater,
}

/// How to reach a box of a site.
#[derive(Debug, Clone)]
pub struct Way {
    faith: Faith,
    site: SiteId,
}

impl Way {
    /// For members: boxes of this site, certified below this root.
    pub fn by_root(root: CertificateDer<'static>, site: SiteId) -> Self {
        Self { faith: Faith::Root(root), site }
    }

    /// For newcomers with a slip.
    pub fn by_slip(authority: Fingerprint, site: SiteId) -> Self {
        Self { faith: Faith::Authority(authority), site }
    }

    /// For newcomers with a code or a request; the site is not known yet.
    pub fn proven_later() -> Self {
        let site = "unknown".parse().expect("a literal that keeps the rule for sites");
        Self { faith: Faith::ProvenLater, site }
    }

    /// The name that is asked for.
    pub fn server_name(&self) -> ServerName<'static> {
        ServerName::try_from(box_dns(&self.site)).expect("a site's name is a DNS label")
    }

    /// The client's end of TLS.
    pub fn config(&self, credentials: Option<Credentials>) -> Result<ClientConfig, Error> {
        let provider = provider();
        let verifier = Verifier {
            way: self.clone(),
            name: self.server_name(),
            provider: Arc::clone(&provider),
            signatures: Signatures::of(&provider),
        };
        let config = ClientConfig::builder_with_details(provider, Arc::new(Clock))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        match credentials {
            Some((chain, key)) => config.with_client_auth_cert(chain, key),
            None => Ok(config.with_no_client_auth()),
        }
    }
}

impl House {
    /// How this box reaches the boxes of a site, head office's among them.
    pub fn way_to(&self, site: SiteId) -> (Way, Credentials) {
        let way = Way::by_root(self.root.clone(), site);
        (way, (self.chain.clone(), private_der(&self.key)))
    }
}

#[derive(Debug)]
struct Verifier {
    way: Way,
    name: ServerName<'static>,
    provider: Arc<CryptoProvider>,
    signatures: Signatures,
}

impl Verifier {
    fn below(
        &self,
        anchor: &CertificateDer<'_>,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(anchor.clone().into_owned())?;
        let provider = Arc::clone(&self.provider);
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = built.map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(own, above, &self.name, &[], now)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.way.faith {
            Faith::Root(root) => self.below(root, own, above, now),
            Faith::Authority(wanted) => {
                let site = above.iter().find(|one| key_of(one) == Some(*wanted));
                let other = "this box is not of the site on the slip";
                let site = site.ok_or_else(|| Error::General(other.to_owned()))?;
                self.below(site, own, &[], now)
            }
            Faith::ProvenLater => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Signatures::refuse_older()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.verify(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.schemes()
    }
}
