//! Where a sink delivers to, behind one question: did you take these?

use std::path::PathBuf;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use storebox_proto::ids::NodeId;

use super::files::Files;
use super::http::Http;
use super::nats::Nats;
use super::postgres::Postgres;
use crate::config::{Deliver, DeliverTo};
use crate::trust::line::{LineError, Lines};
use crate::uplink::LedgerEntry;

/// Secrets are short; a file with much more is not one.
const SECRET_BYTES_MAX: u64 = 4096;

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It cannot be reached, or not now: the same again, later.
    #[error("{0}")]
    Unavailable(String),
    /// It will never take this.
    #[error("refused: {0}")]
    Refused(String),
}

/// Why a target cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TargetSetUpError {
    /// The secret cannot be read.
    #[error("read the secret in {path}")]
    Secret {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The address is not understood.
    #[error("{0}")]
    Address(String),
    /// It cannot be reached over TLS.
    #[error(transparent)]
    Line(#[from] LineError),
}

/// A system of the company.
pub enum Target {
    /// Tables.
    Postgres(Box<Postgres>),
    /// A stream.
    Nats(Box<Nats>),
    /// A receiver of signed requests.
    Http(Box<Http>),
    /// Files of lines.
    Files(Files),
}

impl Target {
    /// The target of this definition; nothing is connected yet.
    pub fn new(
        deliver: &Deliver,
        ledger: &NodeId,
        signer: &SigningKey,
        lines: &Lines,
    ) -> Result<Self, TargetSetUpError> {
        let secret = secret(deliver)?;
        Ok(match deliver.to {
            DeliverTo::Postgres => Self::Postgres(Box::new(Postgres::new(deliver, secret)?)),
            DeliverTo::Nats => Self::Nats(Box::new(Nats::new(deliver, ledger, secret))),
            DeliverTo::Http => {
                Self::Http(Box::new(Http::new(deliver, ledger, signer.clone(), secret, lines)?))
            }
            DeliverTo::Files => Self::Files(Files::new(deliver)),
        })
    }

    /// Hands a batch over; after `Ok` the other side has all of it, durably, each transaction once.
    pub async fn deliver(&mut self, batch: Arc<[LedgerEntry]>) -> Result<(), TargetError> {
        match self {
            Self::Postgres(target) => target.deliver(&batch).await,
            Self::Nats(target) => target.deliver(&batch).await,
            Self::Http(target) => target.deliver(&batch).await,
            Self::Files(target) => target.deliver(batch).await,
        }
    }

    /// Forgets the connection, if there is one: the next delivery makes a new one and asks what arrived.
    pub fn reset(&mut self) {
        match self {
            Self::Postgres(target) => target.reset(),
            Self::Nats(target) => target.reset(),
            Self::Http(_) | Self::Files(_) => {}
        }
    }
}

fn secret(deliver: &Deliver) -> Result<Option<String>, TargetSetUpError> {
    let path = &deliver.secret_file;
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let fail = |source| TargetSetUpError::Secret { path: path.clone(), source };
    if std::fs::metadata(path).map_err(fail)?.len() > SECRET_BYTES_MAX {
        return Err(fail(std::io::Error::other("too large for a secret")));
    }
    Ok(Some(std::fs::read_to_string(path).map_err(fail)?.trim().to_owned()))
}
