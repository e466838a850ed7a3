//! The documents of the shop that one question looks at: in the order of their ids, one in memory at a time.
//!
//! A full shop holds more documents than the box has memory for, so only ids are known ahead, a page of them.

use std::collections::{BTreeSet, VecDeque};

use storebox_proto::ids::TxKind;

use super::reader::row;
use super::rows::Row;
use crate::uplink::LocalDocuments;

/// Ids that are read at once.
const PAGE: usize = 500;

/// The documents that are still to be looked at.
pub(super) struct Locals {
    source: Option<(LocalDocuments, TxKind)>,
    /// The next ones.
    ids: VecDeque<String>,
    /// More may come behind this one.
    behind: Option<String>,
}

impl Locals {
    /// For an entity that is not created in the shop.
    pub(super) fn none() -> Self {
        Self { source: None, ids: VecDeque::new(), behind: None }
    }

    /// The documents of these ids, as far as there are such.
    pub(super) fn these(documents: LocalDocuments, kind: TxKind, ids: BTreeSet<String>) -> Self {
        Self { source: Some((documents, kind)), ids: ids.into_iter().collect(), behind: None }
    }

    /// All documents of a kind; reads the first page of their ids.
    pub(super) fn all(documents: LocalDocuments, kind: TxKind) -> Self {
        let source = Some((documents, kind));
        let mut all = Self { source, ids: VecDeque::new(), behind: None };
        all.read(None);
        all
    }

    /// Whether there are more than one page.
    pub(super) fn are_many(&self) -> bool {
        self.behind.is_some()
    }

    /// The id of the next one.
    pub(super) fn next_id(&mut self) -> Option<&str> {
        if self.ids.is_empty()
            && let Some(behind) = self.behind.take()
        {
            self.read(Some(&behind));
        }
        self.ids.front().map(String::as_str)
    }

    /// The next one as a row; nothing if it is no more.
    pub(super) fn load_next(&mut self) -> Option<Row> {
        self.next_id()?;
        let id = self.ids.pop_front()?;
        let (documents, kind) = self.source.as_ref()?;
        documents.load(kind, &id).map(row)
    }

    fn read(&mut self, behind: Option<&str>) {
        let Some((documents, kind)) = &self.source else { return };
        self.ids = documents.ids_under(kind, "", behind, PAGE).into();
        self.behind = if self.ids.len() < PAGE { None } else { self.ids.back().cloned() };
    }
}
