//! Generation directories: writing one beside, flipping to it, removing what is left over.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use storebox_proto::feed::IndexDef;
use storebox_proto::ids::Hash32;

use super::FeedStore;
use crate::db::base::IndexState;
use crate::db::disk::{Disk, DiskError};
use crate::db::durable;
use crate::db::generation::Generation;
use crate::db::index::{FieldIndex, IndexError};

pub(super) const CURRENT: &str = "CURRENT";

impl FeedStore {
    /// Puts a generation into service whose base is new: a new directory, then the flip.
    ///
    /// Until `CURRENT` is replaced, a failure leaves everything as it was.
    pub(super) fn install(&mut self, generation: Generation) -> Result<Arc<Generation>, DiskError> {
        let name = format!("gen-{}", self.next_directory);
        let dir = self.root.join(&name);
        let disk = match write_directory(&dir, &generation) {
            Ok(disk) => disk,
            Err(error) => {
                // What is left of it is swept at the next start.
                let _swept_later = fs::remove_dir_all(&dir);
                return Err(error);
            }
        };
        durable::sync_dir(&self.root)?;
        durable::replace(&self.root, CURRENT, name.as_bytes())?;
        self.next_directory += 1;
        let old = self.disk.replace(disk).map(|disk| disk.dir().to_owned());
        if let Some(old) = old {
            let _swept_later = fs::remove_dir_all(old);
        }
        Ok(self.show(generation))
    }

    /// Lets readers see a generation that is verified and durable.
    pub(super) fn show(&self, generation: Generation) -> Arc<Generation> {
        let generation = Arc::new(generation);
        self.current.store(Some(Arc::clone(&generation)));
        generation
    }
}

fn write_directory(dir: &Path, generation: &Generation) -> Result<Disk, DiskError> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    for view in generation.models.values() {
        for def in &view.def.indexes {
            if let Some(IndexState::Ready(index)) = view.base.indexes.get(&def.field) {
                save_index(dir, view.def.name.as_str(), def, index)?;
            }
        }
    }
    Disk::create(dir, generation)
}

/// Writes an index file; it is synced with the directory's other files.
pub(super) fn save_index(
    dir: &Path,
    model: &str,
    def: &IndexDef,
    index: &FieldIndex,
) -> std::io::Result<()> {
    fs::write(index_path(dir, model, def), index.file())
}

/// Reads an index file, if it is whole and belongs to the base with this digest.
pub(super) fn load_index(
    dir: &Path,
    model: &str,
    def: &IndexDef,
    base: Hash32,
) -> Result<FieldIndex, IndexError> {
    let file = fs::read(index_path(dir, model, def)).map_err(|_| IndexError::Damaged)?;
    FieldIndex::parse(Bytes::from(file), base)
}

/// Field names are free text, so the file is named by the hash of field and kind.
fn index_path(dir: &Path, model: &str, def: &IndexDef) -> PathBuf {
    let kind = format!("{:?} {}", def.kind, def.field);
    let hash = Hash32::of(kind.as_bytes()).to_string();
    dir.join(format!("{model}-{}.idx", &hash[..16]))
}
