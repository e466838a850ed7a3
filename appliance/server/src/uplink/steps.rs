//! The steps of a sale as traces tell them: sold, taken, sent, settled.

use storebox_proto::ids::{NodeId, SinkId, TerminalId, TxKey, TxKind};
use storebox_proto::problem::Problem;
use storebox_proto::sync::outbox::{Failure, Item, Verdict};
use storebox_proto::ticket::{Answer, Envelope, Receipt, SettleAnswer};
use storebox_proto::time::Timestamp;

use super::line::Heard;
use crate::spans::{self, Begun, Kind, Span, Step};

/// A transaction on its way onto this box's disk, if its trace is told.
pub(super) struct Arrival {
    begun: Begun,
    key: TxKey,
    kind: TxKind,
    terminal: TerminalId,
    occurred_at: Timestamp,
    /// The neighbour that it comes from.
    origin: Option<NodeId>,
}

impl Arrival {
    /// It arrives now, from a till or, with its receipt, from a neighbour.
    pub(super) fn of(envelope: &Envelope, guest: Option<&Receipt>) -> Option<Self> {
        Some(Self {
            begun: spans::begin(&envelope.key)?,
            key: envelope.key,
            kind: envelope.kind.clone(),
            terminal: envelope.terminal.clone(),
            occurred_at: envelope.occurred_at,
            origin: guest.map(|receipt| receipt.node.clone()),
        })
    }

    /// It is on the disk, or refused.
    pub(super) fn end(self, node: &NodeId, outcome: &Result<Receipt, Problem>) {
        let Self { begun, key, kind, terminal, occurred_at, origin } = self;
        let (till, refused) = (terminal.as_str(), outcome.as_ref().err());
        let span = Span::of(&key, Step::Take, node.as_str(), Kind::Server, begun);
        let span = span.with("storebox.kind", kind.as_str()).with("storebox.till", till);
        let span = match (outcome, refused) {
            (Ok(receipt), _) => span.with("storebox.grade", receipt.grade.as_str()),
            (Err(_), _) => span,
        };
        let span = span.failed(refused.map(|problem| problem.code.as_str()));
        if let Some(origin) = origin {
            spans::tell(span.below(&key, Step::Send, origin.as_str()));
            return;
        }
        spans::tell(span.below(&key, Step::Sell, till));
        let sold = Span::of(&key, Step::Sell, till, Kind::Internal, begun);
        spans::tell(sold.with("storebox.till", till).begun_at(occurred_at.unix_ms()));
    }
}

/// A batch was sent on, or was to be.
pub(super) fn sent(
    begun: Begun,
    node: &NodeId,
    sink: &SinkId,
    items: &[Item],
    outcome: &Result<Heard, Failure>,
) {
    for item in items.iter().filter(|item| spans::begin(&item.key).is_some()) {
        let span = Span::of(&item.key, Step::Send, node.as_str(), Kind::Client, begun);
        let span = span.with("storebox.sink", sink).below(&item.key, Step::Take, node.as_str());
        let verdict = outcome.as_ref().map(|heard| {
            heard.answers.iter().find(|(position, _)| *position == item.position).map(|one| &one.1)
        });
        spans::tell(match verdict {
            Ok(Some(Verdict::Taken)) => span,
            Ok(Some(Verdict::Later(problem) | Verdict::Refused(problem))) => {
                span.again().failed(Some(problem.code.as_str()))
            }
            Ok(None) => span.again().failed(Some("no answer")),
            Err(failure) => span.again().failed(Some(words(failure))),
        });
    }
}

fn words(failure: &Failure) -> &str {
    match failure {
        Failure::Unreachable => "unreachable",
        Failure::Lost => "lost",
        Failure::Unavailable => "unavailable",
        Failure::Forbidden(problem) | Failure::BatchRefused(problem) => problem.code.as_str(),
    }
}

/// A batch was judged at head office.
pub fn settled(begun: Begun, caller: &NodeId, answer: &SettleAnswer) {
    let Some(node) = spans::node() else { return };
    for one in answer.answers.iter().filter(|one| spans::begin(&one.key).is_some()) {
        let span = Span::of(&one.key, Step::Settle, node.as_str(), Kind::Server, begun);
        let span = span.with("storebox.box", caller).below(&one.key, Step::Send, caller.as_str());
        spans::tell(match &one.answer {
            Answer::Taken { receipt } => span.with("storebox.position", receipt.position),
            Answer::Later { problem } | Answer::Refused { problem } => {
                span.again().failed(Some(problem.code.as_str()))
            }
        });
    }
}
