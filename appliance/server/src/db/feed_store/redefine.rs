//! Models that are searched by other fields than before: a registry that arrived with a refresh.

use std::collections::BTreeMap;
use std::sync::Arc;

use storebox_proto::feed::{Change, ModelDef};
use storebox_proto::ids::ModelName;

use super::adopt::same;
use super::{FeedStore, FoldError};
use crate::db::generation::Generation;
use crate::db::model::ModelView;
use crate::db::overlay::Overlay;

impl FeedStore {
    /// Takes new definitions of the feed's models and builds the indexes that they ask for.
    ///
    /// Records, digests and revision stay; if it fails, so do the definitions.
    pub fn redefine(&mut self, defs: Vec<ModelDef>) -> Result<(), FoldError> {
        let defs = defs.into_iter().map(|def| (def.name.clone(), Arc::new(def))).collect();
        let old = std::mem::replace(&mut self.defs, defs);
        let result = self.index_as_defined();
        if result.is_err() {
            self.defs = old;
        }
        result
    }

    fn index_as_defined(&mut self) -> Result<(), FoldError> {
        let Some(current) = self.current() else { return Ok(()) };
        let mut models: BTreeMap<ModelName, ModelView> = BTreeMap::new();
        for model in current.models.keys().chain(self.defs.keys()) {
            let view = match current.models.get(model) {
                None => self.empty_view(model).map_err(|bad| FoldError::Segments { bad })?,
                Some(view) if *view.def == *self.def(model) => view.clone(),
                Some(view) => self.indexed(view)?,
            };
            models.insert(model.clone(), view);
        }
        let is_same = models.len() == current.models.len()
            && models.values().zip(current.models.values()).all(|(a, b)| a.def == b.def);
        if !is_same {
            self.install(Generation { models, ..same(&current) })?;
        }
        Ok(())
    }

    fn indexed(&self, view: &ModelView) -> Result<ModelView, FoldError> {
        let def = self.def(&view.def.name);
        let entries = view.base.entries().cloned().collect();
        let base = self.assemble(&def, entries).map_err(|bad| FoldError::Segments { bad })?;
        let mut overlay = Overlay::new(&def.indexes);
        for (id, body) in view.overlay.iter() {
            overlay.set(&def.indexes, &Change { id: id.clone(), body: body.clone() });
        }
        Ok(ModelView { def, base: Arc::new(base), overlay: Arc::new(overlay), ..view.clone() })
    }
}
