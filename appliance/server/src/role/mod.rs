//! What a role mounts: which tasks run and which routes are served.

mod certificates;
mod channels;
mod deliveries;
mod devices;
mod fleet;
mod giving_way;
mod intakes;
mod main;
mod mirror;
mod next_door;
mod peers;
mod proxy;
mod publish;
mod releases;
mod replica;
mod rings;
mod sources;
mod store;
mod strikes;
mod transactions;

use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use storebox_proto::ids::SiteId;
use storebox_proto::seal::Scope;
use utoipa_axum::router::OpenApiRouter;

use crate::config::{Config, Role};
use crate::db::StoreError;
use crate::fleet::Roll;
use crate::login::Logins;
use crate::replica::author::AuthorError;
use crate::replica::refresher::RefresherError;
use crate::replica::source::SourceRefused;
use crate::replica::storage::PlaceError;
use crate::seal::Seals;
use crate::secrets::{self, SecretError, SecretText, Vault};
use crate::settings::Desk;
use crate::status::PanelBuilder;
use crate::supervise::Supervisor;
use crate::terminal::access::Access;
use crate::trust::customer::Customer;
use crate::trust::line::{Believed, Line, LineError, Lines};
use crate::trust::porch::Porch;
use crate::update::{BlocksError, HawkBitError};
use crate::uplink::{CopiesOpenError, LedgerOpenError, OutboxOpenError};
use crate::valve::Valve;
use crate::wire::Wire;

/// Why a role does not start.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The segments cannot be used.
    #[error("open the segment store")]
    Segments(#[from] StoreError),
    /// A file that the role needs cannot be used.
    #[error("use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The author does not start.
    #[error("open the author")]
    Author(#[from] AuthorError),
    /// The replicas do not open.
    #[error("open the replicas")]
    Replicas(#[from] RefresherError),
    /// The main server cannot be addressed.
    #[error("use the main server")]
    Source(#[from] SourceRefused),
    /// Copies for neighbours do not open.
    #[error("open neighbours' copies")]
    Copies(#[from] CopiesOpenError),
    /// Storage cannot be used.
    #[error("use the storage")]
    Storage(#[from] PlaceError),
    /// The outbox does not open.
    #[error("open the outbox")]
    Outbox(#[from] OutboxOpenError),
    /// The ledger does not open.
    #[error("open the ledger")]
    Ledger(#[from] LedgerOpenError),
    /// A target of settled transactions cannot be set up.
    #[error("set up the delivery {id}")]
    Delivery {
        /// Its name.
        id: String,
        /// Why.
        #[source]
        source: crate::sink::TargetSetUpError,
    },
    /// A database of masterdata cannot be addressed.
    #[error("set up the intake {id}: {reason}")]
    Intake {
        /// Its name.
        id: String,
        /// Why.
        reason: String,
    },
    /// The blocks of releases cannot be kept.
    #[error(transparent)]
    Releases(#[from] BlocksError),
    /// The server of releases cannot be addressed.
    #[error("address hawkBit")]
    HawkBit(#[from] HawkBitError),
    /// The spool of print jobs does not open.
    #[error("open the spool")]
    Spool(#[from] crate::devices::spool::SpoolOpenError),
    /// A token cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A server cannot be reached over TLS.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The records of pushes cannot be used.
    #[error("open the records of pushes")]
    Pushes(#[source] crate::db::DiskError),
    /// The HTTP client does not start.
    #[error("start the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// What every role builds on.
pub struct Basics<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The key pair of the box.
    pub key: &'a SigningKey,
    /// Who may come in.
    pub access: &'a Access,
    /// Who logs in.
    pub logins: &'a Logins,
    /// What seals.
    pub seals: &'a Seals,
    /// The line to the main server.
    pub line: &'a Line,
    /// Who opens lines to others.
    pub lines: &'a Lines,
    /// Its door, likewise.
    pub porch: Option<&'a Porch>,
    /// What a drill shuts.
    pub valve: &'a Valve,
    /// The customer's certificate, if the box has a name for it.
    pub customer: Option<&'a Customer>,
    /// What head office sets here, in a shop.
    pub settings: Option<&'a Desk>,
    /// Where secrets rest.
    pub vault: &'a Vault,
    /// What boxes said, at head office.
    pub roll: &'a Roll,
    /// Where tasks start.
    pub supervisor: &'a Supervisor,
}

/// Starts the parts of the role and returns their routes.
pub async fn start(
    basics: &Basics<'_>,
    panel: &mut PanelBuilder,
) -> Result<Vec<OpenApiRouter>, RoleError> {
    match basics.config.role {
        Role::Main => main::start(basics, panel).await,
        Role::Store => store::start(basics, panel).await,
    }
}

pub use fleet::{source_for_visits, start as start_fleet};
pub use peers::greeting;
pub use proxy::report as report_proxy;
pub use transactions::held_by;

/// Opens the line that `[main]` describes.
///
/// A box without papers has no bridge; its line is down, as it is when the cable is cut. The shop sells all the same.
pub fn open_line(config: &Config, lines: &Lines) -> Result<Line, RoleError> {
    let main = &config.main;
    match lines.open(&main.url, believed(&main.ca_file, &main.site)) {
        Err(LineError::NotAdopted(url)) => {
            tracing::warn!(
                url,
                "main.url is https, but this box was not adopted by head office: the line stays down"
            );
            Ok(lines.closed(&url))
        }
        opened => Ok(opened?),
    }
}

/// A server of the chain is believed by head office's word, unless the configuration names others.
fn believed<'a>(ca_file: &'a Path, site: &'a SiteId) -> Believed<'a> {
    match ca_file.as_os_str().is_empty() {
        true => Believed::Site(site),
        false => Believed::Authorities(ca_file),
    }
}

/// The token in a file or credential; none where a certificate takes its place.
fn token(file: &Path) -> Result<SecretText, RoleError> {
    match file.as_os_str().is_empty() {
        true => Ok(SecretText::new(String::new())),
        false => Ok(secrets::read(file)?),
    }
}

/// The sealed line to another box, if the configuration wants one.
fn wire(
    basics: &Basics<'_>,
    sealed: bool,
    line: &Line,
    token: &SecretText,
) -> Result<Option<Wire>, RoleError> {
    let seals = basics.seals.clone();
    let open = || Wire::over(line, token.clone(), seals, Scope::Boxes);
    sealed.then(open).transpose().map_err(RoleError::Client)
}
