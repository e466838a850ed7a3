//! Numbers for transactions that the box makes for a terminal.
//!
//! A till that hands over envelopes of its own numbers them in its own epochs; the box numbers in epochs far above,
//! so that the two never meet.
//! Nothing is kept here that the outbox does not know: after a restart, or when a caller went away half-way, the next
//! number is asked from it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use storebox_proto::ids::TerminalId;
use storebox_proto::problem::Problem;
use storebox_proto::ticket::{Envelope, Receipt};

use crate::env;
use crate::uplink::Outbox;

/// The first epoch in which a box numbers; tills never get there.
const EPOCHS: u32 = 0x8000_0000;

#[derive(Debug, Clone, Copy)]
struct Place {
    epoch: u32,
    next: u64,
}

type Slot = Arc<tokio::sync::Mutex<Option<Place>>>;

/// Hands transactions over with the next number of their terminal.
pub(super) struct Numbers {
    outbox: Outbox,
    slots: Mutex<BTreeMap<TerminalId, Slot>>,
}

impl Numbers {
    pub(super) fn new(outbox: Outbox) -> Self {
        Self { outbox, slots: Mutex::default() }
    }

    /// Gives the envelope its number and hands it over; the number is used only if it was taken.
    pub(super) async fn accept(&self, mut envelope: Envelope) -> Result<Receipt, Problem> {
        let slot = self.slot(&envelope.terminal);
        let mut slot = slot.lock().await;
        let place = match slot.take() {
            Some(place) => place,
            None => self.recover(&envelope.terminal).await?,
        };
        (envelope.epoch, envelope.sequence) = (place.epoch, place.next);
        let receipt = self.outbox.accept(envelope).await?;
        *slot = Some(Place { next: place.next + 1, ..place });
        Ok(receipt)
    }

    fn slot(&self, terminal: &TerminalId) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(terminal.clone()).or_default())
    }

    async fn recover(&self, terminal: &TerminalId) -> Result<Place, Problem> {
        let known = self.outbox.have(terminal.clone()).await?;
        let own =
            known.into_iter().filter(|have| have.epoch >= EPOCHS).max_by_key(|have| have.epoch);
        Ok(match own {
            Some(have) => {
                let last = have.have.iter().map(|range| range.to).max().unwrap_or(0);
                Place { epoch: have.epoch, next: last + 1 }
            }
            None => Place { epoch: new_epoch(), next: 1 },
        })
    }
}

/// An epoch that no earlier outbox of this box has used: it grows with the clock.
fn new_epoch() -> u32 {
    let seconds = env::believable().unix_ms() / 2000;
    EPOCHS | (u32::try_from(seconds).unwrap_or(u32::MAX) & !EPOCHS)
}
