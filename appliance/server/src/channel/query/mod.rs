//! The query service: entities put together from the replica and from what was created in this shop.
//!
//! ```text
//! request ─▶ references ─▶ plan ─▶ candidates (index, or bounded scan) ─▶ criteria ─▶ rows ─▶ what they bring
//! ```

mod answer;
mod bring;
mod entity;
mod local_index;
mod locals;
mod plan;
mod reader;
mod references;
mod rows;
mod search;
#[cfg(test)]
mod tests;

pub(super) use answer::{answer, one};
pub(super) use reader::{CANDIDATES_MAX, Reader};
