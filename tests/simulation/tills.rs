//! Tills that sell: each hands over one transaction at a time and repeats it until it is confirmed.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use storebox_proto::ids::{LaneId, TerminalId, TxKey};
use storebox_proto::ticket::Envelope;
use storebox_proto::ticket::envelope::CASH_UP;
use storebox_proto::time::{ClockConfidence, Timestamp};

/// The field that makes the main server refuse a transaction until a person has repaired it.
pub(crate) const POISON: &str = "poison";

/// A simulated till.
pub(crate) struct Till {
    pub(crate) id: TerminalId,
    pub(crate) left: u32,
    /// Handed over and not yet confirmed.
    pub(crate) pending: Option<Envelope>,
    epoch: u32,
    sequence: u64,
    session: u32,
    in_session: u32,
    tickets: Vec<(LaneId, TxKey)>,
}

impl Till {
    pub(crate) fn new(id: TerminalId, left: u32) -> Self {
        let (epoch, sequence, session) = (1, 0, 1);
        Self { id, left, pending: None, epoch, sequence, session, in_session: 0, tickets: vec![] }
    }

    /// The next transaction, if the day is not over.
    pub(crate) fn sell(&mut self, rng: &mut ChaCha8Rng, clock: Timestamp) -> Option<Envelope> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let closing = self.left == 0 || (self.in_session > 2 && rng.random_ratio(1, 6));
        let envelope = if closing { self.cash_up(rng, clock) } else { self.ticket(rng, clock) };
        self.pending = Some(envelope.clone());
        Some(envelope)
    }

    /// The till was replaced and remembers no sequence number.
    pub(crate) fn forget(&mut self) {
        self.epoch += 1;
        self.sequence = 0;
        self.session += 1;
        self.in_session = 0;
    }

    fn ticket(&mut self, rng: &mut ChaCha8Rng, clock: Timestamp) -> Envelope {
        self.in_session += 1;
        let follows = !self.tickets.is_empty() && rng.random_ratio(1, 3);
        let (kind, lane, depends_on) = if follows {
            let (lane, order) = self.tickets[rng.random_range(0..self.tickets.len())].clone();
            let depends_on = if rng.random_ratio(1, 2) { vec![order] } else { vec![] };
            ("Payment", lane, depends_on)
        } else {
            let number = format!("ticket:{}-{}-{}", self.id, self.epoch, self.sequence);
            let waits = !self.tickets.is_empty() && rng.random_ratio(1, 5);
            let depends_on =
                if waits { vec![self.tickets[self.tickets.len() - 1].1] } else { vec![] };
            ("Order", number.parse().unwrap(), depends_on)
        };
        let envelope = self.envelope(rng, clock, kind, lane.clone(), depends_on);
        if kind == "Order" {
            self.tickets.push((lane, envelope.key));
        }
        envelope
    }

    fn cash_up(&mut self, rng: &mut ChaCha8Rng, clock: Timestamp) -> Envelope {
        let lane = format!("session:{}-{}", self.id, self.session).parse().unwrap();
        let envelope = self.envelope(rng, clock, CASH_UP, lane, vec![]);
        self.session += 1;
        self.in_session = 0;
        envelope
    }

    fn envelope(
        &mut self,
        rng: &mut ChaCha8Rng,
        clock: Timestamp,
        kind: &str,
        lane: LaneId,
        depends_on: Vec<TxKey>,
    ) -> Envelope {
        self.sequence += 1;
        let mut payload = json!({"amount": rng.random_range(1..10_000u32).to_string()});
        if kind != CASH_UP && rng.random_ratio(1, 40) {
            payload[POISON] = json!(true);
        }
        let envelope = Envelope {
            key: mint(rng, clock),
            kind: kind.parse().unwrap(),
            terminal: self.id.clone(),
            epoch: self.epoch,
            sequence: self.sequence,
            lane,
            depends_on,
            session: Some(format!("{}-{}", self.id, self.session)),
            occurred_at: clock,
            clock: ClockConfidence::Plausible,
            payload: payload.as_object().unwrap().clone(),
        };
        envelope.check().unwrap();
        envelope
    }
}

fn mint(rng: &mut ChaCha8Rng, clock: Timestamp) -> TxKey {
    let ms = u64::try_from(clock.unix_ms()).unwrap();
    let random: [u8; 10] = rng.random();
    TxKey(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
}
