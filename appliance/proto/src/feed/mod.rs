//! Masterdata as bytes: records, segments, manifests, heads, and the registry of models.

pub mod record;
pub mod registry;

pub use record::{Change, Record};
pub use registry::{IndexDef, IndexKind, ModelDef, Registry, Scope};
