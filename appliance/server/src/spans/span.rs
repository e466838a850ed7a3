//! A span: one step of a trace, with when, who, and what came of it.

use std::time::{Duration, Instant};

use storebox_proto::ids::TxKey;

use crate::env;

/// A till that was alone for longer than this is rather one whose clock is wrong.
const ALONE_MAX_MS: i64 = 30 * 24 * 3600 * 1000;

/// What a sale goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// At a till, from the moment it was sold until a box had it.
    Sell,
    /// A box takes it onto its disk.
    Take,
    /// A box sends it on.
    Send,
    /// Head office settles it.
    Settle,
    /// Head office hands it to a system of the company.
    Deliver,
}

impl Step {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sell => "sell",
            Self::Take => "take",
            Self::Send => "send",
            Self::Settle => "settle",
            Self::Deliver => "deliver",
        }
    }

    /// The id of this step of a sale where this one takes it.
    fn id(self, key: &TxKey, who: &str) -> [u8; 8] {
        let mut input = b"storebox-span-v1\n".to_vec();
        input.extend_from_slice(key.0.as_bytes());
        input.extend_from_slice(format!("\n{}\n{who}", self.as_str()).as_bytes());
        let hash = blake3::hash(&input);
        *hash.as_bytes().first_chunk().unwrap_or(&[1; 8])
    }
}

/// Who asked whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nobody.
    Internal = 1,
    /// Somebody asked this box.
    Server = 2,
    /// This box asked somebody.
    Client = 3,
}

/// When something began.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    at: Instant,
}

impl Begun {
    /// Now.
    pub(super) fn now() -> Self {
        Self { at: env::instant() }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub(super) trace: [u8; 16],
    pub(super) id: [u8; 8],
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Since 1970.
    pub(super) begun: Duration,
    /// Since 1970.
    pub(super) ended: Duration,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) failed: Option<String>,
}

impl Span {
    /// A step of a sale that ends now.
    pub fn of(key: &TxKey, step: Step, who: &str, kind: Kind, begun: Begun) -> Self {
        let (trace, id) = (*key.0.as_bytes(), step.id(key, who));
        let span = Self::ending_now(trace, id, step.as_str(), kind, begun);
        span.with("storebox.transaction", key)
    }

    /// Something else that ends now, as a trace of its own.
    pub fn alone(name: &'static str, kind: Kind, begun: Begun) -> Self {
        Self::ending_now(env::random(), env::random(), name, kind, begun)
    }

    fn ending_now(
        trace: [u8; 16],
        id: [u8; 8],
        name: &'static str,
        kind: Kind,
        begun: Begun,
    ) -> Self {
        let ended = since_1970();
        let took = env::instant().saturating_duration_since(begun.at);
        let begun = ended.saturating_sub(took);
        Self { trace, id, parent: None, name, kind, begun, ended, facts: Vec::new(), failed: None }
    }

    /// Below another step of the same sale.
    #[must_use]
    pub fn below(mut self, key: &TxKey, step: Step, who: &str) -> Self {
        self.parent = Some(step.id(key, who));
        self
    }

    /// A further attempt at the same: with an id of its own.
    #[must_use]
    pub fn again(mut self) -> Self {
        self.id = env::random();
        self
    }

    /// With a fact.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.facts.push((name, value.to_string()));
        self
    }

    /// It failed, if there is a reason.
    #[must_use]
    pub fn failed(mut self, why: Option<impl ToString>) -> Self {
        self.failed = why.map(|why| why.to_string());
        self
    }

    /// Begun at another time, by somebody's clock; what cannot be is not believed.
    #[must_use]
    pub fn begun_at(mut self, unix_ms: i64) -> Self {
        let now = i64::try_from(self.ended.as_millis()).unwrap_or(i64::MAX);
        if (0..ALONE_MAX_MS).contains(&(now - unix_ms)) {
            self.begun = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
        }
        self
    }
}

fn since_1970() -> Duration {
    Duration::from_millis(u64::try_from(env::timestamp().unix_ms()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TxKey {
        "0192d3a4-5b6c-7000-8000-000000000001".parse().unwrap()
    }

    #[test]
    fn two_boxes_that_never_spoke_agree_on_parent_and_child() {
        let sent = Span::of(&key(), Step::Send, "store-1", Kind::Client, Begun::now());
        let settled = Span::of(&key(), Step::Settle, "main", Kind::Server, Begun::now());
        let settled = settled.below(&key(), Step::Send, "store-1");
        assert_eq!((settled.parent, settled.trace), (Some(sent.id), sent.trace));
        assert_eq!(hex::encode(sent.trace), "0192d3a45b6c70008000000000000001");
        assert_ne!(sent.clone().again().id, sent.id);
        let elsewhere = Span::of(&key(), Step::Send, "store-2", Kind::Client, Begun::now());
        assert_ne!(elsewhere.id, sent.id);
    }

    #[test]
    fn a_till_whose_clock_is_wrong_does_not_stretch_the_trace() {
        let span = || Span::of(&key(), Step::Sell, "till-1", Kind::Internal, Begun::now());
        let now = i64::try_from(span().ended.as_millis()).unwrap();
        assert_eq!(span().begun_at(now - 60_000).begun.as_millis(), (now - 60_000) as u128);
        for odd in [0, now + 3_600_000] {
            let took = span().begun_at(odd);
            assert!(took.ended - took.begun < Duration::from_secs(60), "{took:?}");
        }
    }
}
