//! The certificates of a chain: head office, site, door, member.
//!
//! ```text
//! head office (root, offline)
//!   └─ site 0007            may certify below site-0007.storebox.internal, and doors
//!        ├─ box-1           serves tills; its key is the box's own
//!        └─ door of box-1   may certify below terminal. and peer.site-0007.storebox.internal, and nobody else
//!             └─ till-3
//! ```
//! Certificates begin on a fixed day: a till whose clock stands a little behind must not refuse its box.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData,
    SanType, SerialNumber, SignatureAlgorithm,
};
use rustls::pki_types::CertificateDer;
use storebox_proto::ids::SiteId;
use storebox_proto::time::Timestamp;
use storebox_proto::trust::name::{box_dns, kind_dns, site_dns};
use storebox_proto::trust::{Fingerprint, Kind, Member, MemberKey};

use super::paper::public;
use crate::env;

const DAY_MS: i64 = 86_400_000;
const ROOT_DAYS: i64 = 30 * 365;
const SITE_DAYS: i64 = 20 * 365;
const DOOR_DAYS: i64 = 10 * 365;
const BOX_DAYS: i64 = 2 * 365;
/// Tills renew by themselves long before.
const CLIENT_DAYS: i64 = 365;
/// Host names that a box's certificate may carry besides its own.
pub const HOSTS_MAX: usize = 4;

/// Why nothing is certified.
#[derive(Debug, thiserror::Error)]
#[error("make a certificate for {of}")]
pub struct MintError {
    /// For whom.
    pub of: String,
    /// Why.
    #[source]
    pub source: rcgen::Error,
}

/// A key that certifies others, with the name under which it does.
pub(super) struct Authority {
    key: KeyPair,
    name: DistinguishedName,
}

/// The public key of a newcomer, as the signer wants it.
struct Subject<'a>(&'a MemberKey);

impl PublicKeyData for Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.point()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl Authority {
    pub(super) fn root(key: KeyPair) -> Self {
        let name = named("Storebox head office", &public(&key));
        Self { key, name }
    }

    pub(super) fn site(key: KeyPair, site: &SiteId) -> Self {
        let name = named(&format!("Storebox site {site}"), &public(&key));
        Self { key, name }
    }

    pub(super) fn door(key: KeyPair, site: &SiteId) -> Self {
        let name = door_name(site, &public(&key));
        Self { key, name }
    }

    pub(super) fn public(&self) -> MemberKey {
        public(&self.key)
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.public().fingerprint()
    }

    /// The root's own certificate.
    pub(super) fn certify_itself(
        &self,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, MintError> {
        let params = authority(self.name.clone(), now, ROOT_DAYS, BasicConstraints::Constrained(2));
        let made = params.self_signed(&self.key);
        let made = made.map_err(|source| MintError { of: "head office".to_owned(), source })?;
        Ok(made.der().clone())
    }

    /// The root certifies a site.
    pub(super) fn certify_site(
        &self,
        site: &SiteId,
        authority_of_site: &Authority,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, MintError> {
        let name = authority_of_site.name.clone();
        let mut params = authority(name, now, SITE_DAYS, BasicConstraints::Constrained(1));
        // `local`: boxes answer to names of mDNS too, for browsers.
        params.name_constraints = Some(below([site_dns(site), "local".to_owned()]));
        self.sign(params, &authority_of_site.public(), format!("site {site}"))
    }

    /// A site certifies the door of a box.
    pub(super) fn certify_door(
        &self,
        site: &SiteId,
        door: &MemberKey,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, MintError> {
        let name = door_name(site, door);
        let mut params = authority(name, now, DOOR_DAYS, BasicConstraints::Constrained(0));
        let kinds = [Kind::Terminal, Kind::Peer];
        params.name_constraints = Some(below(kinds.map(|kind| kind_dns(site, kind))));
        self.sign(params, door, format!("the door of a box of site {site}"))
    }

    /// Certifies a member: a site its boxes, a door terminals and peers.
    pub(super) fn certify(
        &self,
        member: &Member,
        key: &MemberKey,
        hosts: &[String],
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, MintError> {
        let fail = |source| MintError { of: member.to_string(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&member.dns(), key);
        let mut names = vec![member.dns()];
        let days = match member.kind {
            Kind::Box => {
                names.push(box_dns(&member.site));
                names.extend(hosts.iter().take(HOSTS_MAX).cloned());
                params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
                BOX_DAYS
            }
            Kind::Terminal | Kind::Peer => CLIENT_DAYS,
        };
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        for name in names {
            params.subject_alt_names.push(SanType::DnsName(name.try_into().map_err(fail)?));
        }
        date(&mut params, now, days);
        self.sign(params, key, member.to_string())
    }

    fn sign(
        &self,
        params: CertificateParams,
        key: &MemberKey,
        of: String,
    ) -> Result<CertificateDer<'static>, MintError> {
        let own = {
            let mut own = CertificateParams::default();
            own.distinguished_name = self.name.clone();
            own
        };
        let issuer = Issuer::from_params(&own, &self.key);
        let made = params.signed_by(&Subject(key), &issuer);
        Ok(made.map_err(|source| MintError { of, source })?.der().clone())
    }
}

fn authority(
    name: DistinguishedName,
    now: Timestamp,
    days: i64,
    depth: BasicConstraints,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(depth);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    date(&mut params, now, days);
    params
}

/// A name that is unique to the key, so that chains of two generations are never confused.
fn named(text: &str, key: &MemberKey) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    // The limit of a common name is 64; the identity is in the alternative names, this is for people.
    let text: String = text.chars().take(50).collect();
    name.push(DnType::CommonName, format!("{text} {}", key.fingerprint().short()));
    name
}

fn door_name(site: &SiteId, key: &MemberKey) -> DistinguishedName {
    named(&format!("Storebox door at {site}"), key)
}

fn below<const N: usize>(names: [String; N]) -> NameConstraints {
    let permitted_subtrees = names.into_iter().map(GeneralSubtree::DnsName).collect();
    NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() }
}

fn date(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let until = now.unix_ms().saturating_add(days.saturating_mul(DAY_MS)) / 1000;
    let latest = rcgen::date_time_ymd(9990, 1, 1);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after =
        time::OffsetDateTime::from_unix_timestamp(until).unwrap_or(latest).min(latest);
    let mut serial = env::random::<16>();
    serial[0] &= 0x7f;
    serial[0] |= 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
}
