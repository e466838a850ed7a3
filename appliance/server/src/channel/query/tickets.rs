//! Tickets of the shop by what people know of them: the number on the paper, the customer.
//!
//! Built when it is asked for first, and kept up with what came or changed since.
//! An entry may be outdated, because a ticket can change; whoever finds a ticket through it holds it against the
//! criteria.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use storebox_proto::feed::{IndexDef, IndexKind};
use storebox_proto::ids::TxKind;
use storebox_proto::query::compare;

use crate::db::Probe;
use crate::uplink::{Document, LocalDocuments};

/// The fields that are indexed.
const FIELDS: [&str; 2] = ["documentNo", "businessPartnerId"];
/// Entries; with more, the outdated ones are thrown out by beginning anew.
const ENTRIES_MAX: usize = 500_000;
/// Tickets that are read at once.
const PAGE: usize = 500;

/// The index.
pub(in crate::channel) struct TicketBook {
    documents: LocalDocuments,
    kind: TxKind,
    state: Mutex<Option<State>>,
}

#[derive(Default)]
struct State {
    /// Up to which change it was kept up.
    count: u64,
    /// Field, value and id.
    entries: BTreeSet<(u8, String, String)>,
}

impl TicketBook {
    pub(super) fn new(documents: LocalDocuments, kind: TxKind) -> Self {
        Self { documents, kind, state: Mutex::default() }
    }

    /// What the planner may use.
    pub(super) fn indexes() -> Vec<IndexDef> {
        let index = |field: &str| IndexDef { field: field.to_owned(), kind: IndexKind::Exact };
        FIELDS.map(index).to_vec()
    }

    /// The tickets behind a key; reads what came or changed since it was asked last.
    pub(in crate::channel) fn ids(&self, field: &str, probe: &Probe) -> Vec<String> {
        let Some(number) = FIELDS.iter().position(|known| *known == field) else {
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
        found.map(|(_, _, id)| id.clone()).collect()
    }

    fn kept_up(&self, state: Option<State>) -> State {
        let Some(mut state) = state.filter(|state| state.entries.len() < ENTRIES_MAX) else {
            return self.read();
        };
        let (count, names) = self.documents.changed_since(state.count);
        let Some(names) = names else { return self.read() };
        let own: BTreeMap<_, _> = names.into_iter().map(|(kind, id)| (id, kind)).collect();
        for (id, _) in own.into_iter().filter(|(_, kind)| *kind == self.kind) {
            if let Some(document) = self.documents.load(&self.kind, &id) {
                state.note(&document);
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
            let page = self.documents.list(&self.kind, after.as_deref(), PAGE);
            page.iter().for_each(|document| state.note(document));
            after = page.last().map(|document| document.id.clone());
            if page.len() < PAGE {
                return state;
            }
        }
    }
}

impl State {
    fn note(&mut self, document: &Document) {
        for (number, field) in (0_u8..).zip(FIELDS) {
            if let Some(value) = document.payload.get(field) {
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
