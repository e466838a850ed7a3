//! A file for each hook that waits.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use storebox_proto::ids::TxKey;

use super::Errand;
use crate::files;

/// The ending of what waits.
const ENDING: &str = "json";
/// What cannot be read is set aside under this ending.
const DAMAGED: &str = "damaged";

/// The folder.
pub(super) struct Folder(PathBuf);

/// The name of a hook that waits: by transaction, then by hook, so that the same one is there once.
pub(super) fn name(key: TxKey, hook: &str) -> String {
    let hash = blake3::hash(hook.as_bytes()).to_hex();
    format!("{key}.{}", &hash[..16])
}

impl Folder {
    /// The folder and what waits in it; what cannot be read is set aside and named.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Vec<(String, Errand)>)> {
        fs::create_dir_all(dir)?;
        let mut errands = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_none_or(|ending| ending != ENDING) {
                continue;
            }
            let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            match serde_json::from_slice(&fs::read(&path)?) {
                Ok(errand) => errands.push((id, errand)),
                Err(error) => {
                    tracing::error!(id, %error, "a waiting hook cannot be read and is set aside");
                    fs::rename(&path, path.with_extension(DAMAGED))?;
                }
            }
        }
        Ok((Self(dir.to_owned()), errands))
    }

    pub(super) fn load(&self, id: &str) -> Option<Errand> {
        serde_json::from_slice(&fs::read(self.path(id)).ok()?).ok()
    }

    pub(super) fn store(&self, id: &str, errand: &Errand) -> io::Result<()> {
        let bytes = serde_json::to_vec(errand).expect("plain data with string keys");
        files::replace(&self.path(id), &bytes, files::PRIVATE)
    }

    pub(super) fn remove(&self, id: &str) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.{ENDING}"))
    }
}
