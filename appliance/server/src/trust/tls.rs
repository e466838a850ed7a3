//! The box's end of TLS: 1.3 only, its own certificate or the customer's by the name that is asked for.
//!
//! Any client certificate is accepted here and judged after the handshake ([`super::judge`]); that the client holds its
//! key has been proven by then.
//! Only members of the chain are asked for: the name of head office goes along, so browsers of passers-by ask nobody.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, ServerConnection,
    SignatureScheme,
};
use storebox_proto::limits::CHAIN_MAX;
use storebox_proto::trust::proof::EXPORTER_LABEL;

use super::client::{Clock, provider};
use super::customer::Customer;
use super::house::House;
use super::judge::{Judge, Known, Objection};
use super::paper::private_der;
use super::signatures::Signatures;
use crate::env;

/// What the client has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// No certificate.
    Nothing,
    /// That of a member.
    Member(Known),
    /// One that is not believed.
    Bad(Objection),
}

/// What is known about a connection after its handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    /// Names the channel; the same on both ends and on no other connection.
    pub channel: [u8; 32],
    /// Who is at the other end.
    pub presented: Presented,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The key and the certificate do not go together, or the like.
    #[error("use the certificate of this box for TLS")]
    Certificate(#[source] Error),
}

/// Makes the server's end of TLS; cheap to clone.
#[derive(Debug, Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    judge: Judge,
}

impl Tls {
    /// For a box that is a member of its site; the customer's certificate is taken by name.
    pub fn new(house: &House, customer: Option<Customer>) -> Result<Self, TlsError> {
        let provider = provider();
        let signer = provider.key_provider.load_private_key(private_der(&house.key));
        let signer = signer.map_err(TlsError::Certificate)?;
        let own = Arc::new(CertifiedKey::new(house.chain.clone(), signer));
        own.keys_match().map_err(TlsError::Certificate)?;
        let anyone = Anyone::new(house, &provider);
        let config = ServerConfig::builder_with_details(provider, Arc::new(Clock))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Certificate)?
            .with_client_cert_verifier(Arc::new(anyone))
            .with_cert_resolver(Arc::new(ByName { own, customer }));
        let mut config = config;
        // HTTP/2 is not offered: a silent client could hold such a connection for ever.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), judge: house.judge.clone() })
    }

    /// What accepts connections.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Who is at the other end of a connection.
    pub fn secured(&self, connection: &ServerConnection) -> Option<Secured> {
        let channel = connection.export_keying_material([0; 32], EXPORTER_LABEL, None).ok()?;
        let presented = match connection.peer_certificates() {
            None | Some([]) => Presented::Nothing,
            Some(chain) => match self.judge.judge(chain, env::believable()) {
                Ok(known) => Presented::Member(known),
                Err(objection) => Presented::Bad(objection),
            },
        };
        Some(Secured { channel, presented })
    }

    /// Whether a member was struck off since its handshake.
    pub fn has_struck(&self, known: &Known) -> bool {
        self.judge.has_struck(known)
    }
}

/// Chooses the certificate.
#[derive(Debug)]
struct ByName {
    own: Arc<CertifiedKey>,
    customer: Option<Customer>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let customer = self.customer.as_ref();
        let theirs = customer.and_then(|customer| customer.key_for(hello.server_name()?));
        Some(theirs.unwrap_or_else(|| Arc::clone(&self.own)))
    }
}

/// Takes any certificate whose key the client holds.
#[derive(Debug)]
struct Anyone {
    hints: Vec<DistinguishedName>,
    signatures: Signatures,
}

impl Anyone {
    fn new(house: &House, provider: &CryptoProvider) -> Self {
        let root = webpki::anchor_from_trusted_cert(&house.root).ok();
        let hints = root.map(|root| DistinguishedName::in_sequence(&root.subject));
        Self { hints: hints.into_iter().collect(), signatures: Signatures::of(provider) }
    }
}

impl ClientCertVerifier for Anyone {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match above.len() < CHAIN_MAX {
            true => Ok(ClientCertVerified::assertion()),
            false => Err(Error::General("more certificates than any member has".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Signatures::refuse_older()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.signatures.verify(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.schemes()
    }
}

/// The word for a handshake that failed, for logs and metrics.
pub fn failure(error: &std::io::Error) -> &'static str {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::PeerIncompatible(_)) => "downgraded",
        Some(Error::AlertReceived(_)) => "turned_away",
        Some(_) => "handshake",
        None => "handshake_io",
    }
}
