//! Documents of the shop by what people know of them: a ticket by the number on the paper, a customer by its code.
//!
//! Built when it is asked for first, and kept up with what came or changed since.
//! An entry may be outdated, because a document can change; whoever finds one through it holds it against the
//! criteria.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use storebox_proto::feed::{IndexDef, IndexKind, ModelDef};
use storebox_proto::ids::TxKind;
use storebox_proto::query::compare;

use crate::db::Probe;
use crate::uplink::{Document, LocalDocuments};

/// Entries; with more, the outdated ones are thrown out by beginning anew.
const ENTRIES_MAX: usize = 500_000;
/// Ids of documents that are read at once.
const PAGE: usize = 500;

/// The index of one kind.
pub(in crate::channel) struct LocalIndex {
    documents: LocalDocuments,
    kind: TxKind,
    fields: &'static [&'static str],
    state: Mutex<Option<State>>,
}

#[derive(Default)]
struct State {
    /// Up to which change it was kept up.
    count: u64,
    /// Field, value and id.
    entries: BTreeSet<(u8, String, String)>,
}

impl LocalIndex {
    /// The index of these fields.
    pub(super) fn new(
        documents: LocalDocuments,
        kind: TxKind,
        fields: &'static [&'static str],
    ) -> Self {
        Self { documents, kind, fields, state: Mutex::default() }
    }

    /// The kind.
    pub(super) fn kind(&self) -> &TxKind {
        &self.kind
    }

    /// Whether it finds what the index of head office's model finds.
    pub(super) fn answers(&self, field: &str, central: Option<&ModelDef>) -> bool {
        let is_exact = |def: &ModelDef| {
            def.indexes.iter().any(|index| index.field == field && index.kind == IndexKind::Exact)
        };
        self.fields.contains(&field) && central.is_none_or(is_exact)
    }

    /// What the planner may use.
    pub(super) fn indexes(&self) -> Vec<IndexDef> {
        let index = |field: &&str| IndexDef { field: (*field).to_owned(), kind: IndexKind::Exact };
        self.fields.iter().map(index).collect()
    }

    /// The documents behind a key, so many at most; reads what came or changed since it was asked last.
    pub(in crate::channel) fn ids(
        &self,
        field: &str,
        probe: &Probe,
        count_max: usize,
    ) -> Vec<String> {
        let Some(number) = self.fields.iter().position(|known| *known == field) else {
            return Vec::new();
        };
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.take();
        let state = state.insert(self.kept_up(before));
        let (Probe::Exact(text) | Probe::Prefix(text)) = probe;
        let from = (number, text.clone(), String::new());
        let fits = |value: &str| match probe {
            Probe::Exact(text) => value == text,
            Probe::Prefix(text) => value.starts_with(text.as_str()),
        };
        let found = state.entries.range(from..);
        let found = found.take_while(|(of, value, _)| *of == number && fits(value));
        found.take(count_max).map(|(_, _, id)| id.clone()).collect()
    }

    fn kept_up(&self, state: Option<State>) -> State {
        let Some(mut state) = state.filter(|state| state.entries.len() < ENTRIES_MAX) else {
            return self.read();
        };
        let (count, names) = self.documents.changed_since(state.count);
        let Some(names) = names else { return self.read() };
        let own = names.into_iter().filter(|(kind, _)| *kind == self.kind).map(|(_, id)| id);
        for id in own.collect::<BTreeSet<_>>() {
            if let Some(document) = self.documents.load(&self.kind, &id) {
                state.note(self.fields, &document);
            }
        }
        state.count = count;
        state
    }

    fn read(&self) -> State {
        let (count, _) = self.documents.changed_since(u64::MAX);
        let mut state = State { count, ..State::default() };
        let mut after: Option<String> = None;
        loop {
            let ids = self.documents.ids_under(&self.kind, "", after.as_deref(), PAGE);
            let found = ids.iter().filter_map(|id| self.documents.load(&self.kind, id));
            found.for_each(|document| state.note(self.fields, &document));
            if ids.len() < PAGE {
                return state;
            }
            after = ids.last().cloned();
        }
    }
}

impl State {
    fn note(&mut self, fields: &[&str], document: &Document) {
        for (number, field) in (0_u8..).zip(fields) {
            if let Some(value) = document.payload.get(*field) {
                self.note_value(number, value, &document.id);
            }
        }
    }

    /// A field may be a list, of which one fitting element is enough.
    fn note_value(&mut self, field: u8, value: &Value, id: &str) {
        match (value, compare::text(value)) {
            (Value::Array(list), _) => {
                list.iter().for_each(|value| self.note_value(field, value, id));
            }
            (_, Some(text)) => {
                self.entries.insert((field, text, id.to_owned()));
            }
            (_, None) => {}
        }
    }
}
