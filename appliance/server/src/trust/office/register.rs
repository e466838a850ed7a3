//! What head office has issued and not struck off.

use std::path::Path;

use serde::{Deserialize, Serialize};
use storebox_proto::time::Timestamp;
use storebox_proto::trust::{Fingerprint, Member};

use super::super::paper::{self, PaperError};
use super::OfficeError;

const FILE: &str = "register.json";

/// One box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// Which.
    pub member: Member,
    /// Its key.
    pub key: Fingerprint,
    /// The key of its door.
    pub door: Fingerprint,
    /// When it was certified last.
    pub at: Timestamp,
}

/// All boxes of the chain.
#[derive(Debug, Default)]
pub struct Register(Vec<Issued>);

impl Register {
    pub(super) fn read(dir: &Path) -> Result<Self, PaperError> {
        let stored = paper::read_json(&dir.join(FILE), "the register of a head office")?;
        Ok(Self(stored.unwrap_or_default()))
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), PaperError> {
        paper::write_json(&dir.join(FILE), &self.0)
    }

    pub(super) fn issued(&self) -> &[Issued] {
        &self.0
    }

    /// A name is given once in the whole chain; the same box may be certified again.
    pub(super) fn check(&self, member: &Member, keys: [Fingerprint; 2]) -> Result<(), OfficeError> {
        let Some(known) = self.0.iter().find(|known| known.member.name == member.name) else {
            return Ok(());
        };
        if known.member.site != member.site {
            let (name, site) = (member.name.clone(), known.member.site.clone());
            return Err(OfficeError::NameTaken { name, site });
        }
        match [known.key, known.door] == keys {
            true => Ok(()),
            false => Err(OfficeError::Exists(member.clone())),
        }
    }

    pub(super) fn put(&mut self, issued: Issued) {
        self.0.retain(|known| known.member != issued.member);
        self.0.push(issued);
        self.0.sort_by(|a, b| a.member.cmp(&b.member));
    }

    pub(super) fn remove(&mut self, member: &Member) -> Option<Issued> {
        let at = self.0.iter().position(|known| known.member == *member)?;
        Some(self.0.remove(at))
    }
}
