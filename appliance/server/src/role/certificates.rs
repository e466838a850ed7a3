//! The customer's certificate arrives with the estate, sealed for the boxes of this site, and is kept in the vault.
//!
//! Head office's record can be read by every box of the chain and opened by those of one site.
//! What was opened once is served after a restart too, also when the keys that opened it are gone.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use storebox_proto::ids::SiteId;
use storebox_proto::seal::Scope;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::Basics;
use crate::logging;
use crate::masterdata::Masterdata;
use crate::seal::Seals;
use crate::secrets::Vault;
use crate::trust::customer::{Customer, MODEL, Sent};

/// How often the estate is looked at; a look is one record in memory.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Its name within the vault.
const KEPT: &str = "browser.certificate";

/// Why a certificate that was sent is not taken.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the record holds nothing that is sealed")]
    Shape,
    #[error("no ring of this box opens it")]
    Sealed,
    #[error("what was sealed is no certificate with a key")]
    Content,
    #[error(transparent)]
    Customer(#[from] crate::trust::customer::CustomerError),
    #[error("keep it in the vault")]
    Vault(#[from] crate::secrets::VaultError),
}

/// Takes whatever head office sends for this site.
pub(super) struct Certificates {
    site: SiteId,
    customer: Customer,
    seals: Seals,
    vault: Vault,
    masterdata: Masterdata,
}

impl Certificates {
    /// Nothing where the certificate comes in files, or not at all.
    pub(super) fn open(basics: &Basics<'_>, masterdata: &Masterdata) -> Option<Self> {
        let customer = basics.customer.filter(|customer| customer.is_sent())?.clone();
        let site = basics.porch?.site().clone();
        let (seals, vault) = (basics.seals.clone(), basics.vault.clone());
        let opened = Self { site, customer, seals, vault, masterdata: masterdata.clone() };
        opened.recall();
        Some(opened)
    }

    /// Follows the estate until the box stops; nothing is lost when this is dropped.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let (mut seen, mut told) = (None, None);
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            let Some(record) = self.masterdata.look(MODEL, "id", self.site.as_str()) else {
                continue;
            };
            if seen.as_ref() == Some(&record) {
                continue;
            }
            match self.take(&record) {
                Ok(()) => {
                    tracing::info!(domain = self.customer.domain(), "the certificate is in force");
                    seen = Some(record);
                }
                // A ring may come later than the record: it is tried again, and told once.
                Err(error) => {
                    if told.as_ref() != Some(&record) {
                        let (error, domain) = (logging::chain(&error), self.customer.domain());
                        tracing::warn!(error, domain, "the certificate is not in force");
                        told = Some(record);
                    }
                }
            }
        }
    }

    fn take(&self, record: &Map<String, Value>) -> Result<(), Refused> {
        let sealed = record.get("sealed").and_then(Value::as_str).ok_or(Refused::Shape)?;
        let sealed = STANDARD.decode(sealed).map_err(|_| Refused::Shape)?;
        let name = Sent::sealed_as(self.site.as_str());
        let keys = self.seals.storage(&self.site, Scope::Boxes);
        let opened = keys.iter().find_map(|key| key.open(&name, &sealed).ok());
        let opened = Zeroizing::new(opened.ok_or(Refused::Sealed)?);
        let sent: Sent = serde_json::from_slice(&opened).map_err(|_| Refused::Content)?;
        self.customer.take(&sent)?;
        let text = String::from_utf8(opened.to_vec()).map_err(|_| Refused::Content)?;
        let text = Zeroizing::new(text);
        if self.vault.get(KEPT).is_none_or(|kept| *kept != *text) {
            self.vault.put(KEPT, text)?;
        }
        Ok(())
    }

    /// What was sent before the last restart.
    fn recall(&self) {
        let Some(kept) = self.vault.get(KEPT) else { return };
        let Ok(sent) = serde_json::from_str::<Sent>(&kept) else { return };
        if let Err(error) = self.customer.take(&sent) {
            let (error, domain) = (logging::chain(&error), self.customer.domain());
            tracing::warn!(error, domain, "the certificate that was kept is not in force");
        }
    }
}
