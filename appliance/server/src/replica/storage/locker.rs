//! Storage that may not read what it keeps: everything is sealed, under names that say nothing.
//!
//! ```text
//! v1/x/<ab>/<40 digits>       heads and objects alike, sealed
//! v1/seal                     the tag of the key, so that who lacks it is told so and not "nothing is here"
//! ```
//! The newest generation of the ring seals; readers open with any that still counts, the newest first.
//! There is no way back into the open: without a ring nothing is written and nothing is read.

use bytes::Bytes;
use storebox_proto::ids::SiteId;
use storebox_proto::seal::store::{OVERHEAD_BYTES, StorageKey};
use storebox_proto::seal::{Scope, SealError};

use super::{Storage, StorageError};
use crate::seal::Seals;

/// Where the tag of the key is.
const MARK: &str = "v1/seal";
const MARK_BYTES_MAX: usize = 64;

/// Whose ring seals a storage; cheap to clone.
#[derive(Debug, Clone)]
pub struct Locker {
    seals: Seals,
    site: SiteId,
    writes: bool,
}

impl Locker {
    /// The ring that the boxes of this site share.
    pub fn new(seals: Seals, site: SiteId) -> Self {
        Self { seals, site, writes: false }
    }

    /// The same for a writer, who only counts what the newest generation has sealed.
    pub(super) fn for_writing(self) -> Self {
        Self { writes: true, ..self }
    }

    fn keys(&self) -> Result<Vec<StorageKey>, StorageError> {
        let mut keys = self.seals.storage(&self.site, Scope::Boxes);
        if self.writes {
            keys.truncate(1);
        }
        match keys.is_empty() {
            true => Err(StorageError::NoRing { site: self.site.clone() }),
            false => Ok(keys),
        }
    }

    fn newest(&self) -> Result<StorageKey, StorageError> {
        let none = || StorageError::NoRing { site: self.site.clone() };
        self.keys()?.into_iter().next().ok_or_else(none)
    }

    /// The tag of the key that seals now.
    pub(super) fn tag(&self) -> Result<String, StorageError> {
        Ok(self.newest()?.tag())
    }

    /// Where a file was put under the key with this tag, if that is still here.
    pub(super) fn place_under(&self, tag: &str, path: &str) -> Option<String> {
        let keys = self.seals.storage(&self.site, Scope::Boxes);
        keys.iter().find(|key| key.tag() == tag).map(|key| place(key, path))
    }

    pub(super) async fn read(
        &self,
        storage: &Storage,
        path: &str,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        for key in self.keys()? {
            let at = place(&key, path);
            let Some(sealed) = storage.read_as_is(&at, bytes_max + OVERHEAD_BYTES).await? else {
                continue;
            };
            let broken = |source: SealError| StorageError::Broken { at: storage.at(&at), source };
            return key.open(path, &sealed).map(|bytes| Some(bytes.into())).map_err(broken);
        }
        Ok(None)
    }

    pub(super) async fn size(
        &self,
        storage: &Storage,
        path: &str,
    ) -> Result<Option<u64>, StorageError> {
        for key in self.keys()? {
            if let Some(size) = storage.size_as_is(&place(&key, path)).await? {
                return Ok(size.checked_sub(OVERHEAD_BYTES as u64));
            }
        }
        Ok(None)
    }

    pub(super) async fn write(
        &self,
        storage: &Storage,
        path: &str,
        bytes: &Bytes,
    ) -> Result<(), StorageError> {
        let key = self.newest()?;
        let sealed = key.seal(path, bytes);
        storage.write_as_is(&place(&key, path), &sealed.into()).await
    }

    pub(super) async fn remove(&self, storage: &Storage, path: &str) -> Result<(), StorageError> {
        storage.remove_as_is(&place(&self.newest()?, path)).await
    }
}

impl Storage {
    /// Says with which key everything here is sealed.
    pub(in crate::replica) async fn mark(&self) -> Result<(), StorageError> {
        let Some(locker) = &self.locker else { return Ok(()) };
        let tag = locker.tag()?;
        if self.read_as_is(MARK, MARK_BYTES_MAX).await?.is_none_or(|known| known != tag.as_bytes())
        {
            self.write_as_is(MARK, &tag.into()).await?;
        }
        Ok(())
    }

    /// Refuses storage that is sealed with a key which is not here; what is not there is no answer to that.
    pub(super) async fn check_mark(&self) -> Result<(), StorageError> {
        let Some(mark) = self.read_as_is(MARK, MARK_BYTES_MAX).await? else { return Ok(()) };
        let tag = String::from_utf8_lossy(&mark).into_owned();
        let keys = match &self.locker {
            Some(locker) => locker.keys()?,
            None => Vec::new(),
        };
        match keys.iter().any(|key| key.tag() == tag) {
            true => Ok(()),
            false => Err(StorageError::OtherKey { at: self.name.clone(), tag }),
        }
    }
}

fn place(key: &StorageKey, path: &str) -> String {
    let name = key.name(path);
    format!("v1/x/{}/{name}", &name[..2])
}
