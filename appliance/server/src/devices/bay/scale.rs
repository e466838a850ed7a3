//! A scale's bay: asks for a weight when a till does, tells every reading, and never makes a number up.
//!
//! A till that waits gets the first settled weight that was measured after it asked.
//! Until then the scale is asked again and again; when time is up, the till hears what the plate did last.
//!
//! An 8217 may tell each weight once and then say "nothing new".
//! That never confirms a weight, unless the configuration says that this scale means it so; and such a scale is not
//! asked behind the till's back, so that its one answer is the till's, except while somebody watches the live weight.
//! Where it does confirm, it confirms only the weight right before it: a tare, a zero or an answer that was lost on the
//! line in between, and nobody knows what "nothing new" is about.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use storebox_peripherals::scale::{
    Ask, Event, Kind, Measured, Model, Outcome, Pace, Priced, Reading, Refusal, Weigher,
};
use storebox_proto::ids::DeviceId;
use storebox_proto::problem::{Code, Problem};
use tokio::sync::{oneshot, watch};

use super::Craft;
use crate::devices::definition::Weighing as Way;

/// While a till waits, a plate that moves is asked again after this.
const AGAIN_AFTER: Duration = Duration::from_millis(40);
/// While somebody watches, a scale that is not polled by itself is asked at this distance.
const WATCHED_EVERY: Duration = Duration::from_millis(200);
/// Tills that wait for one scale.
const WAITING_MAX: usize = 16;

/// How many watch the live weight of a scale; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Audience(Arc<AtomicUsize>);

/// One who watches, until this is dropped.
#[derive(Debug)]
pub struct Watcher(Audience);

impl Audience {
    /// Watches from now on.
    pub fn join(&self) -> Watcher {
        self.0.fetch_add(1, Ordering::Relaxed);
        Watcher(self.clone())
    }

    fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a scale said last.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// What it came to.
    pub outcome: Outcome,
    /// When.
    pub at: Instant,
}

/// A weighing as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Weighing {
    /// `stable`, `in_motion`, `under_zero`, `over_capacity`, `disconnected`, …; only a stable one has a weight.
    pub state: String,
    /// The weight as an exact decimal; there is none unless the scale said that it is settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// Its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// `gross`, `net` or `unstated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub kind: Option<Kind>,
    /// The price, from a scale that computes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub priced: Option<Priced>,
    /// What a moving scale shows, for a display only, with its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// The age of this reading.
    pub age_ms: u64,
}

impl Seen {
    /// The words for it, at this time.
    pub fn tell(&self, now: Instant) -> Weighing {
        let age = now.saturating_duration_since(self.at).as_millis();
        let state = serde_json::to_value(&self.outcome).ok();
        let state = state.and_then(|outcome| Some(outcome.get("state")?.as_str()?.to_owned()));
        let mut weighing = Weighing {
            state: state.unwrap_or_default(),
            weight: None,
            unit: None,
            kind: None,
            priced: None,
            shown: None,
            age_ms: u64::try_from(age).unwrap_or(u64::MAX),
        };
        match &self.outcome {
            Outcome::Stable(Measured { weight, kind, priced, .. }) => {
                let text = weight.to_string();
                weighing.weight = text.split(' ').next().map(str::to_owned);
                weighing.unit = Some(weight.unit().to_string());
                (weighing.kind, weighing.priced) = (Some(*kind), *priced);
            }
            Outcome::InMotion { shown } => {
                weighing.shown = shown.map(|measured| measured.weight.to_string());
            }
            Outcome::Unchanged { .. }
            | Outcome::Empty
            | Outcome::UnderZero
            | Outcome::OverCapacity
            | Outcome::BelowMinimum
            | Outcome::OutsideZeroRange
            | Outcome::NotReady
            | Outcome::OtherPrice { .. }
            | Outcome::NeedsApproval
            | Outcome::DeviceError { .. }
            | Outcome::Garbled
            | Outcome::NoReply
            | Outcome::Disconnected => {}
        }
        weighing
    }
}

/// What a scale can be asked.
#[derive(Debug)]
pub enum Command {
    /// A settled weight.
    Weigh {
        /// [`Ask::Weigh`] or [`Ask::Price`].
        ask: Ask,
        /// When the till stops waiting.
        until: Instant,
        /// The way back.
        answer: oneshot::Sender<Result<Seen, Problem>>,
    },
    /// Tare or zero.
    Do {
        /// What.
        ask: Ask,
        /// When the till stops waiting.
        until: Instant,
        /// The way back.
        answer: oneshot::Sender<Result<(), Problem>>,
    },
}

struct Weight {
    ask: Ask,
    since: Instant,
    until: Instant,
    answer: oneshot::Sender<Result<Seen, Problem>>,
}

struct Deed {
    ask: Ask,
    until: Instant,
    answer: oneshot::Sender<Result<(), Problem>>,
}

/// What the thread of a scale does.
pub(in crate::devices) struct ScaleCraft {
    id: DeviceId,
    way: Way,
    audience: Audience,
    weights: Vec<Weight>,
    deeds: Vec<Deed>,
    asked_at: Option<Instant>,
    last: Option<Outcome>,
    /// The weight that "nothing new" would confirm.
    settled: Option<Measured>,
    seen: watch::Sender<Option<Seen>>,
}

impl ScaleCraft {
    pub(in crate::devices) fn new(
        id: DeviceId,
        way: Way,
        audience: Audience,
        seen: watch::Sender<Option<Seen>>,
    ) -> Self {
        let (weights, deeds) = (Vec::new(), Vec::new());
        Self { id, way, audience, weights, deeds, asked_at: None, last: None, settled: None, seen }
    }

    /// The line of this scale.
    pub(in crate::devices) fn line(&self) -> Box<dyn Weigher> {
        let every = Pace::default().every.filter(|_| !self.tells_once());
        self.way.model.driver(&self.way.setup, Pace { every, ..Pace::default() })
    }

    /// Whether a weight that was told may not be told again.
    fn tells_once(&self) -> bool {
        matches!(self.way.model, Model::Toledo8217 | Model::Toledo8213) && !self.way.confirms
    }

    fn read(&mut self, reading: Reading) {
        let seen = Seen { outcome: self.confirmed(&reading), at: reading.at };
        self.settled = None;
        if let (Outcome::Stable(measured), true) = (&seen.outcome, reading.is_first) {
            self.settled = Some(*measured);
        }
        if !matches!(seen.outcome, Outcome::Unchanged { .. }) {
            self.seen.send_replace(Some(seen.clone()));
            self.last = Some(seen.outcome.clone());
        }
        let fault = fault(&seen.outcome);
        let (done, waiting) =
            std::mem::take(&mut self.weights).into_iter().partition(|weight: &Weight| {
                let is_refused = fault.is_some() && concerns(&weight.ask, &seen.outcome);
                seen.at >= weight.since && (is_refused || answers(&weight.ask, &seen.outcome))
            });
        self.weights = waiting;
        let done: Vec<Weight> = done;
        for weight in done {
            let answer = fault.clone().map_or_else(|| Ok(seen.clone()), Err);
            let _ = weight.answer.send(answer);
        }
    }

    /// "Nothing new" right behind a settled weight confirms it, if this scale is known to mean it so.
    fn confirmed(&self, reading: &Reading) -> Outcome {
        match (&reading.outcome, self.settled) {
            (Outcome::Unchanged { kind }, Some(measured))
                if self.way.confirms && reading.is_first && *kind == measured.kind =>
            {
                Outcome::Stable(measured)
            }
            (outcome, _) => outcome.clone(),
        }
    }

    fn end_deed(&mut self, ask: &Ask, result: Result<(), Refusal>) {
        // Also one that failed may have been carried out.
        self.settled = None;
        let Some(at) = self.deeds.iter().position(|deed| deed.ask == *ask) else {
            // A refused question for a weight ends in a reading only where the protocol has weighings.
            if let Err(why) = result {
                self.refuse_weights(ask, why);
            }
            return;
        };
        let _ = self.deeds.remove(at).answer.send(result.map_err(refusal));
    }

    fn refuse_weights(&mut self, ask: &Ask, why: Refusal) {
        if why == Refusal::Busy {
            return;
        }
        for weight in self.weights.extract_if(.., |weight| weight.ask == *ask) {
            let _ = weight.answer.send(Err(refusal(why)));
        }
    }

    fn give_up(&mut self, now: Instant) {
        for weight in self.weights.extract_if(.., |weight| weight.until <= now) {
            let _ = weight.answer.send(Err(unsettled(self.last.as_ref())));
        }
        for deed in self.deeds.extract_if(.., |deed| deed.until <= now) {
            let _ =
                deed.answer.send(Err(Problem::new(Code::ScaleFault, "the scale did not answer")));
        }
    }
}

impl Craft for ScaleCraft {
    type Line = Box<dyn Weigher>;
    type Command = Command;

    fn take(&mut self, line: &mut Box<dyn Weigher>, command: Command, now: Instant) {
        if self.weights.len() + self.deeds.len() >= WAITING_MAX {
            let detail = format!("{WAITING_MAX} requests wait for {} already", self.id);
            return self.turn_away(command, Problem::new(Code::Busy, detail));
        }
        match command {
            Command::Weigh { ask, until, answer } => {
                if self.weights.is_empty() || ask != Ask::Weigh {
                    line.ask(ask.clone(), now);
                    self.asked_at = Some(now);
                }
                self.weights.push(Weight { ask, since: now, until, answer });
            }
            Command::Do { ask, until, answer } => {
                self.settled = None;
                line.ask(ask.clone(), now);
                self.deeds.push(Deed { ask, until, answer });
            }
        }
    }

    fn turn_away(&mut self, command: Command, why: Problem) {
        match command {
            Command::Weigh { answer, .. } => drop(answer.send(Err(why))),
            Command::Do { answer, .. } => drop(answer.send(Err(why))),
        }
    }

    fn hear(&mut self, event: Event, _now: Instant) {
        match event {
            Event::Reading(reading) => self.read(reading),
            Event::Done(ask) => self.end_deed(&ask, Ok(())),
            Event::Refused { ask, why } => self.end_deed(&ask, Err(why)),
        }
    }

    fn tend(&mut self, line: Option<&mut Box<dyn Weigher>>, now: Instant) {
        self.give_up(now);
        let Some(line) = line else { return };
        let due = self.asked_at.is_none_or(|at| now.saturating_duration_since(at) >= AGAIN_AFTER);
        if due && let Some(weight) = self.weights.first() {
            line.ask(weight.ask.clone(), now);
            self.asked_at = Some(now);
            return;
        }
        let since = self.asked_at.map(|at| now.saturating_duration_since(at));
        if self.tells_once()
            && self.audience.is_there()
            && since.is_none_or(|since| since >= WATCHED_EVERY)
        {
            line.ask(Ask::Weigh, now);
            self.asked_at = Some(now);
        }
    }
}

/// Whether this is what a till that asked for it can sell by.
fn answers(ask: &Ask, outcome: &Outcome) -> bool {
    let Outcome::Stable(measured) = outcome else { return false };
    let is_priced = match ask {
        // The answer to a till that asked before, or beside, may carry another price.
        Ask::Price(wanted) => {
            measured.priced.is_some_and(|priced| priced.unit_price == wanted.unit_price)
        }
        Ask::Weigh | Ask::Zero | Ask::Tare | Ask::TareBy(_) | Ask::ClearTare => true,
    };
    measured.weight.mantissa() > 0 && is_priced
}

/// Whether a fault is one for who asked this: a price that somebody else asked for is none.
fn concerns(ask: &Ask, outcome: &Outcome) -> bool {
    let Outcome::OtherPrice { unit_price } = outcome else { return true };
    matches!(ask, Ask::Price(wanted) if wanted.unit_price != *unit_price)
}

/// Why waiting on does not help, if it does not.
pub(in crate::devices) fn fault(outcome: &Outcome) -> Option<Problem> {
    let detail = match outcome {
        Outcome::NeedsApproval => {
            "the scale demands a proof that this box does not have".to_owned()
        }
        Outcome::DeviceError { code } => format!("the scale reports its fault {code}"),
        Outcome::OtherPrice { unit_price } => {
            format!("the scale computes with the unit price {unit_price}, keyed in there")
        }
        Outcome::Garbled => "the scale's answers make no sense: check its line settings".to_owned(),
        Outcome::NoReply => "the scale does not answer".to_owned(),
        Outcome::Disconnected => return Some(Problem::new(Code::DeviceAway, "the scale is gone")),
        Outcome::Stable(_)
        | Outcome::InMotion { .. }
        | Outcome::Unchanged { .. }
        | Outcome::Empty
        | Outcome::UnderZero
        | Outcome::OverCapacity
        | Outcome::BelowMinimum
        | Outcome::OutsideZeroRange
        | Outcome::NotReady => return None,
    };
    Some(Problem::new(Code::ScaleFault, detail))
}

/// What to say when time is up.
fn unsettled(last: Option<&Outcome>) -> Problem {
    let (code, detail) = match last {
        Some(Outcome::Stable(measured)) if measured.weight.mantissa() > 0 => (
            Code::ScaleUnsettled,
            "the scale told this weight before: lift the article and put it back",
        ),
        Some(Outcome::Stable(_) | Outcome::Empty) => (Code::ScaleRange, "nothing is on the plate"),
        Some(Outcome::UnderZero) => (Code::ScaleRange, "the plate is below zero"),
        Some(Outcome::OverCapacity) => {
            (Code::ScaleRange, "more is on the plate than the scale can weigh")
        }
        Some(Outcome::BelowMinimum) => {
            (Code::ScaleRange, "less is on the plate than may be sold by weight")
        }
        Some(Outcome::OutsideZeroRange) => (Code::ScaleRange, "empty the plate and set it to zero"),
        Some(Outcome::InMotion { .. }) => (Code::ScaleUnsettled, "the plate does not come to rest"),
        Some(
            Outcome::Unchanged { .. }
            | Outcome::NotReady
            | Outcome::OtherPrice { .. }
            | Outcome::NeedsApproval
            | Outcome::DeviceError { .. }
            | Outcome::Garbled
            | Outcome::NoReply
            | Outcome::Disconnected,
        )
        | None => (Code::ScaleUnsettled, "the scale had no new weight in time"),
    };
    Problem::new(code, detail)
}

fn refusal(why: Refusal) -> Problem {
    let code = match why {
        Refusal::Unsupported | Refusal::OutOfRange | Refusal::NotNow => Code::DeviceRefused,
        Refusal::Busy => Code::Busy,
        Refusal::NoReply | Refusal::Garbled => Code::ScaleFault,
    };
    Problem::new(code, why.to_string())
}

#[cfg(test)]
mod tests;
