//! Published feeds on storage that understands nothing of them: a bucket, a web server, FTP, a folder or a USB stick.
//!
//! ```text
//! v1/heads/<feed>             the signed head: the commit point, replaced whole and last
//! v1/objects/<ab>/<hash>      segments, pages of runs and manifests, never changed
//! ```
//!
//! Where a ring is named, all of it is sealed ([`locker`]).
//!
//! Nothing on it is believed: heads are signed, objects are named by their hash, and every answer is bounded in time
//! and size by whoever reads it.
//! So a half-written publication has a head whose objects are missing or damaged, which is found out by name, and an
//! older one has an older head, which is refused.
//!
//! Rejected: one crate for all of it (opendal) brings a second HTTP stack with its own retries, and FTP through a
//! further crate with regular expressions and a calendar; what is needed here is three verbs.

mod folder;
mod ftp;
mod locker;
mod place;
mod s3;
mod web;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use rustls::pki_types::ServerName;
use storebox_proto::feed::{Position, SignedHead};
use storebox_proto::ids::{FeedId, Hash32, SiteId};
use storebox_proto::limits::object_time;
use storebox_proto::seal::SealError;
use storebox_proto::sync::ladder::Fault;

use crate::valve::Valve;

use super::source::{HeadWish, SIGNED_HEAD_BYTES_MAX, SourceError};
use crate::trust::authorities;
use crate::trust::line::{Believed, LineError, Lines};

pub use locker::Locker;
pub use place::{Place, PlaceError, Settings};

use folder::Folder;
use ftp::{Ftp, Secure};
use s3::S3;
use web::Web;

/// Storage cannot say that there is something new: it is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// One file is written within this, and read unless it is large.
const FILE_MAX: Duration = Duration::from_secs(60);
/// A server that sends nothing for so long is given up.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// Connecting takes no longer.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No answer, or not in time.
    #[error("ask {at}")]
    Unreachable {
        /// What was asked for.
        at: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer within the time.
    #[error("{at} did not answer within {within_s} s")]
    Late {
        /// What was asked for.
        at: String,
        /// How long it was waited for.
        within_s: u64,
    },
    /// An answer that is no help.
    #[error("{at} answered {status}")]
    Status {
        /// What was asked for.
        at: String,
        /// The status of HTTP or FTP.
        status: u16,
    },
    /// It sends elsewhere; that is never followed.
    #[error("{at} sends to {to:?}, which is not followed")]
    Redirected {
        /// What was asked for.
        at: String,
        /// Where it sends.
        to: String,
    },
    /// The file is longer than it may be.
    #[error("{at} has more than {bytes_max} bytes")]
    TooLarge {
        /// What was asked for.
        at: String,
        /// What it may be.
        bytes_max: usize,
    },
    /// It is to be sealed, and there is no key for that.
    #[error("no ring of site {site} and scope boxes is here, so nothing is sealed or opened")]
    NoRing {
        /// The site.
        site: SiteId,
    },
    /// It is sealed with a key that is not here.
    #[error("{at} is sealed with the key {tag}, which this box does not have")]
    OtherKey {
        /// Where.
        at: String,
        /// What is visible of the key.
        tag: String,
    },
    /// A seal does not hold.
    #[error("open {at}")]
    Broken {
        /// What was opened.
        at: String,
        /// Why not.
        #[source]
        source: SealError,
    },
    /// A plain web server takes nothing.
    #[error("{at} can only be read")]
    ReadOnly {
        /// What was to be written.
        at: String,
    },
}

impl From<StorageError> for SourceError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Status { at, status } => Self::Status { url: at, status },
            StorageError::Redirected { at, to } => Self::Redirected { url: at, to },
            StorageError::TooLarge { at, bytes_max } => Self::TooLarge { url: at, bytes_max },
            error @ (StorageError::Unreachable { .. }
            | StorageError::Late { .. }
            | StorageError::NoRing { .. }
            | StorageError::OtherKey { .. }
            | StorageError::Broken { .. }
            | StorageError::ReadOnly { .. }) => Self::Storage(error),
        }
    }
}

impl StorageError {
    /// What it says about the storage as a source.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoRing { .. } | Self::OtherKey { .. } => Fault::Forbidden,
            Self::Broken { .. } => Fault::Lied,
            Self::Unreachable { .. }
            | Self::Late { .. }
            | Self::Status { .. }
            | Self::Redirected { .. }
            | Self::TooLarge { .. }
            | Self::ReadOnly { .. } => Fault::Silent,
        }
    }
}

/// What speaks for one kind of storage.
#[derive(Clone)]
enum Way {
    Folder(Folder),
    Web(Web),
    S3(S3),
    Ftp(Ftp),
}

/// By whom an FTP server is believed.
fn secure(url: &str, host: &str, ca_file: &Path) -> Result<Secure, PlaceError> {
    let refused = |source| LineError::Authorities { url: url.to_owned(), source };
    let config = authorities::config(ca_file).map_err(refused)?;
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| PlaceError::Address { url: url.to_owned() })?;
    Ok(Secure { config, name })
}

/// Storage that is read, and written to where it can be; cheap to clone.
#[derive(Clone)]
pub struct Storage {
    way: Way,
    name: String,
    valve: Valve,
    locker: Option<Locker>,
}

impl Storage {
    /// The storage at this place.
    pub fn open(settings: Settings, lines: &Lines) -> Result<Self, PlaceError> {
        let ca_file = settings.ca_file.clone();
        let line = |url: &Url| lines.open(url.as_str(), Believed::Authorities(&ca_file));
        let place = Place::parse(settings)?;
        let name = place.to_string();
        let way = match place {
            Place::Folder(root) => Way::Folder(Folder::new(root)),
            Place::Web { url } => Way::Web(Web::plain(line(&url)?, url)?),
            Place::Dav { url, user, secret } => Way::Web(Web::dav(line(&url)?, url, user, secret)?),
            Place::S3(bucket) => Way::S3(S3::new(line(&bucket.endpoint)?, bucket)?),
            Place::Ftp(server) => {
                let secure = server.secure.then(|| secure(&name, &server.host, &ca_file));
                Way::Ftp(Ftp::new(server, secure.transpose()?))
            }
        };
        Ok(Self { way, name, locker: None, valve: Valve::default() })
    }

    /// Read through this valve, unless it is on this machine.
    #[must_use]
    pub fn behind(self, valve: &Valve) -> Self {
        match self.is_here() {
            true => self,
            false => Self { valve: valve.clone(), ..self },
        }
    }

    /// What a drill shuts.
    pub(super) fn valve(&self) -> &Valve {
        &self.valve
    }

    /// The same, where everything is sealed by this.
    pub fn locked(self, locker: Option<Locker>) -> Self {
        Self { locker, ..self }
    }

    /// The same for a writer.
    pub(super) fn for_writing(self) -> Self {
        let locker = self.locker.map(Locker::for_writing);
        Self { locker, ..self }
    }

    /// The tag of the key that seals what is written now; nothing if it is written as it is.
    pub(super) fn tag(&self) -> Result<Option<String>, StorageError> {
        self.locker.as_ref().map(Locker::tag).transpose()
    }

    /// Where a file was put under the key with this tag, or in the open.
    pub(super) fn place_under(&self, tag: Option<&str>, path: &str) -> Option<String> {
        match tag {
            None => Some(path.to_owned()),
            Some(tag) => self.locker.as_ref()?.place_under(tag, path),
        }
    }

    /// Where it is, without any secret.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is on this machine, so that reading it costs no line.
    pub fn is_here(&self) -> bool {
        matches!(self.way, Way::Folder(_))
    }

    /// The signed head, or nothing if it is still this one.
    pub(super) async fn head(
        &self,
        feed: &FeedId,
        wish: HeadWish,
    ) -> Result<Option<Bytes>, SourceError> {
        let mut waited = Duration::ZERO;
        loop {
            let path = head_path(feed);
            let Some(bytes) = self.read(&path, SIGNED_HEAD_BYTES_MAX).await? else {
                self.check_mark().await?;
                return Err(SourceError::Gone { url: self.at(&path) });
            };
            if wish.after.is_none() || position(&bytes) != wish.after {
                return Ok(Some(bytes));
            }
            if waited + LOOK_EVERY > wish.wait {
                tokio::time::sleep(wish.wait.saturating_sub(waited)).await;
                return Ok(None);
            }
            waited += LOOK_EVERY;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// An object of at most so many bytes.
    pub(super) async fn object(&self, name: &Hash32, max: u32) -> Result<Bytes, SourceError> {
        let path = object_path(name);
        let found = self.read(&path, max as usize).await?;
        found.ok_or_else(|| SourceError::Gone { url: self.at(&path) })
    }

    /// Looks whether it answers; what it has does not matter.
    pub(super) async fn probe(&self) -> Result<(), SourceError> {
        if self.size("v1/heads/catalogue").await?.is_none() {
            self.check_mark().await?;
        }
        Ok(())
    }

    /// The whole file; nothing if it is not there.
    pub(super) async fn read(
        &self,
        path: &str,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        match &self.locker {
            Some(locker) => locker.read(self, path, bytes_max).await,
            None => self.read_as_is(path, bytes_max).await,
        }
    }

    /// How long the file is; nothing if it is not there.
    pub(super) async fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        match &self.locker {
            Some(locker) => locker.size(self, path).await,
            None => self.size_as_is(path).await,
        }
    }

    /// Replaces the file; nobody sees it half written where the storage can do that.
    pub(super) async fn write(&self, path: &str, bytes: &Bytes) -> Result<(), StorageError> {
        match &self.locker {
            Some(locker) => locker.write(self, path, bytes).await,
            None => self.write_as_is(path, bytes).await,
        }
    }

    /// Removes the file, if it is there.
    pub(super) async fn remove(&self, path: &str) -> Result<(), StorageError> {
        match &self.locker {
            Some(locker) => locker.remove(self, path).await,
            None => self.remove_as_is(path).await,
        }
    }

    async fn read_as_is(
        &self,
        path: &str,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        let read = async {
            match &self.way {
                Way::Folder(folder) => folder.read(path, bytes_max).await,
                Way::Web(web) => web.read(path, bytes_max).await,
                Way::S3(s3) => s3.read(path, bytes_max).await,
                Way::Ftp(ftp) => ftp.read(path, bytes_max).await,
            }
        };
        // A large file on a slow line may take long, as long as something of it comes.
        let bytes_max = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        self.in_time(path, object_time(FILE_MAX, bytes_max), read).await
    }

    async fn size_as_is(&self, path: &str) -> Result<Option<u64>, StorageError> {
        let size = async {
            match &self.way {
                Way::Folder(folder) => folder.size(path).await,
                Way::Web(web) => web.size(path).await,
                Way::S3(s3) => s3.size(path).await,
                Way::Ftp(ftp) => ftp.size(path).await,
            }
        };
        self.in_time(path, FILE_MAX, size).await
    }

    async fn write_as_is(&self, path: &str, bytes: &Bytes) -> Result<(), StorageError> {
        let write = async {
            match &self.way {
                Way::Folder(folder) => folder.write(path, bytes).await,
                Way::Web(web) => web.write(path, bytes).await,
                Way::S3(s3) => s3.write(path, bytes).await,
                Way::Ftp(ftp) => ftp.write(path, bytes).await,
            }
        };
        self.in_time(path, FILE_MAX, write).await
    }

    /// Removes the file of exactly this name, if it is there.
    pub(super) async fn remove_as_is(&self, path: &str) -> Result<(), StorageError> {
        let remove = async {
            match &self.way {
                Way::Folder(folder) => folder.remove(path).await,
                Way::Web(web) => web.remove(path).await,
                Way::S3(s3) => s3.remove(path).await,
                Way::Ftp(ftp) => ftp.remove(path).await,
            }
        };
        self.in_time(path, FILE_MAX, remove).await
    }

    async fn in_time<T>(
        &self,
        path: &str,
        within: Duration,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let late = |_| StorageError::Late { at: self.at(path), within_s: within.as_secs() };
        tokio::time::timeout(within, work).await.map_err(late)?
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.name)
    }
}

/// Where the head of a feed is.
pub(super) fn head_path(feed: &FeedId) -> String {
    format!("v1/heads/{feed}")
}

/// Where an object is.
pub(super) fn object_path(name: &Hash32) -> String {
    let hex = name.to_string();
    format!("v1/objects/{}/{hex}", &hex[..2])
}

/// What a head says about itself, before anybody believes it.
fn position(bytes: &Bytes) -> Option<Position> {
    #[derive(serde::Deserialize)]
    struct Claim {
        epoch: u64,
        revision: u64,
    }
    let signed = SignedHead::parse(bytes).ok()?;
    let Claim { epoch, revision } = serde_json::from_str(&signed.payload).ok()?;
    Some(Position { epoch, revision })
}

#[cfg(test)]
mod tests;
