//! Opening a replica: what is whole goes into service, what is not is set aside.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use storebox_proto::feed::{Change, ModelDef};
use storebox_proto::ids::{FeedId, ModelName};

use super::directory::{CURRENT, load_index, save_index};
use super::{FeedStore, Options};
use crate::db::base::{Base, IndexState};
use crate::db::disk::{Disk, DiskError, Loaded, LoadedModel};
use crate::db::durable;
use crate::db::generation::Generation;
use crate::db::model::{ModelView, totals};
use crate::db::overlay::Overlay;
use crate::db::segments::SegmentStore;

/// Room that the version before kept for each replica.
const RESERVE_BEFORE: &str = "reserve";

/// Why a replica cannot be opened at all; nothing was set aside.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk is full, and the database does not open without space.
    #[error("open {path}: the disk is full")]
    DiskFull {
        /// The replica's directory.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error("open {path}: another process has it open")]
    Busy {
        /// The replica's directory.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("open {path}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A replica that could not be read and was set aside; the feed starts empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// What was found.
    pub found: String,
    /// Where the directory is kept, if it could be moved.
    pub set_aside: Option<PathBuf>,
}

/// An open replica, and what went wrong on the way.
pub struct Opened {
    /// The replica; empty if there was none or it was set aside.
    pub store: FeedStore,
    /// What was set aside.
    pub incident: Option<Incident>,
}

impl FeedStore {
    /// Opens the replica of a feed in `dir/<feed>`; makes an empty one if there is none.
    pub fn open(
        dir: &Path,
        feed: FeedId,
        defs: Vec<ModelDef>,
        segments: SegmentStore,
        options: Options,
    ) -> Result<Opened, OpenError> {
        let root = dir.join(feed.as_str());
        let fails = |source| OpenError::Io { path: root.clone(), source };
        fs::create_dir_all(&root).map_err(fails)?;
        let named = current_directory(&root).map_err(fails)?;
        sweep(&root, named.as_ref().map(|(path, _)| path.as_path())).map_err(fails)?;
        let defs = defs.into_iter().map(|def| (def.name.clone(), Arc::new(def))).collect();
        let mut store = Self {
            root: root.clone(),
            feed,
            defs,
            segments,
            options,
            current: Arc::new(ArcSwapOption::empty()),
            disk: None,
            next_directory: named.as_ref().map_or(1, |(_, number)| number + 1),
        };
        let loaded = match &named {
            None => Ok(()),
            Some((path, _)) => store.load(path),
        };
        let (Some((path, number)), Err(error)) = (named, loaded) else {
            return Ok(Opened { store, incident: None });
        };
        match error {
            DiskError::Full => Err(OpenError::DiskFull { path }),
            DiskError::Locked => Err(OpenError::Busy { path }),
            DiskError::Engine(_) | DiskError::Panicked(_) | DiskError::Damaged(_) => {
                store.disk = None;
                let set_aside = set_aside(&root, &path, number);
                let incident = Incident { found: error.to_string(), set_aside };
                Ok(Opened { store, incident: Some(incident) })
            }
        }
    }

    fn load(&mut self, path: &Path) -> Result<(), DiskError> {
        let (disk, loaded) = Disk::open(path)?;
        if loaded.feed != self.feed {
            return Err(DiskError::Damaged("it belongs to another feed"));
        }
        let Loaded { feed, epoch, revision, published, models } = loaded;
        let mut views = BTreeMap::new();
        for (model, loaded) in models {
            let view = self.restore(path, &model, loaded)?;
            views.insert(model, view);
        }
        for model in self.defs.keys() {
            if views.contains_key(model) {
                continue;
            }
            let view = self.empty_view(model);
            let view = view.map_err(|_| DiskError::Damaged("an empty model cannot be made"))?;
            views.insert(model.clone(), view);
        }
        self.disk = Some(disk);
        self.show(Generation { feed, epoch, revision, published, models: views });
        Ok(())
    }

    fn restore(
        &self,
        path: &Path,
        model: &ModelName,
        loaded: LoadedModel,
    ) -> Result<ModelView, DiskError> {
        let def = self.def(model);
        let LoadedModel { segments, ranges, overlay: changes, overlay_sum } = loaded;
        let mut overlay = Overlay::new(&def.indexes);
        for (id, body) in changes {
            overlay.set(&def.indexes, &Change { id, body });
        }
        if overlay.sum() != overlay_sum {
            return Err(DiskError::Damaged("a change was altered"));
        }
        let mut base =
            Base::new(model.clone(), segments.clone(), &self.segments, &self.options.cache);
        let indexes = def.indexes.iter().map(|index| {
            let loaded = load_index(path, model.as_str(), index, base.digest());
            loaded.map(|found| (index.field.clone(), IndexState::Ready(Arc::new(found))))
        });
        match indexes.collect::<Result<_, _>>() {
            Ok(indexes) => base.indexes = indexes,
            Err(_) => base = self.index_again(path, &def, base)?,
        }
        let (digest, count) = totals(&ranges);
        let (base, overlay) = (Arc::new(base), Arc::new(overlay));
        Ok(ModelView { def, base, overlay, ranges: Arc::new(ranges), digest, count })
    }

    /// Builds the indexes of a base whose index files are missing or damaged.
    ///
    /// If a segment is damaged too, the base serves what does not need an index until it is repaired.
    fn index_again(&self, path: &Path, def: &ModelDef, base: Base) -> Result<Base, DiskError> {
        match self.assemble(def, base.entries().cloned().collect()) {
            Ok(built) => {
                for index in &def.indexes {
                    if let Some(IndexState::Ready(found)) = built.indexes.get(&index.field) {
                        save_index(path, def.name.as_str(), index, found)?;
                    }
                }
                Ok(built)
            }
            Err(bad) => {
                let mut base = base;
                if let Some(first) = bad.first() {
                    let broken = |index: &storebox_proto::feed::IndexDef| {
                        (index.field.clone(), IndexState::Broken { segment: first.name })
                    };
                    base.indexes = def.indexes.iter().map(broken).collect();
                }
                Ok(base)
            }
        }
    }
}

/// The directory that `CURRENT` names, with its number.
fn current_directory(root: &Path) -> io::Result<Option<(PathBuf, u64)>> {
    let text = match fs::read_to_string(root.join(CURRENT)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(error),
    };
    let number = text.trim().strip_prefix("gen-").and_then(|number| number.parse().ok());
    Ok(number.map(|number: u64| (root.join(format!("gen-{number}")), number)))
}

/// Removes directories that no flip has named, or whose removal was interrupted.
fn sweep(root: &Path, keep: Option<&Path>) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.ends_with(RESERVE_BEFORE) {
            fs::remove_file(&path)?;
            continue;
        }
        let is_generation = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("gen-"));
        if is_generation && Some(path.as_path()) != keep {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// Keeps the directory for a technician, one at most, without opening it.
fn set_aside(root: &Path, path: &Path, number: u64) -> Option<PathBuf> {
    let aside = root.join(format!("set-aside-{number}"));
    for entry in fs::read_dir(root).ok()?.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with("set-aside-")) {
            let _kept_if_busy = fs::remove_dir_all(entry.path());
        }
    }
    fs::rename(path, &aside).ok()?;
    fs::remove_file(root.join(CURRENT)).ok()?;
    durable::sync_dir(root).ok()?;
    Some(aside)
}
