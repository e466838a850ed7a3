//! Signatures of TLS 1.3, as both ends check them; nothing older is spoken.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::CertificateDer;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// The algorithms of a provider.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signatures(WebPkiSupportedAlgorithms);

impl Signatures {
    pub(super) fn of(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }

    /// Whether the other side holds the key of its certificate.
    pub(super) fn verify(
        self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    pub(super) fn schemes(self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }

    /// What is said to a handshake of an older version; rustls is configured not to get there.
    pub(super) fn refuse_older() -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }
}
