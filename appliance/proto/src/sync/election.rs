//! Which of the boxes of one store is in charge: the one that tills without a better hint ask first.
//!
//! Nothing of a till's safety hangs on it: every box takes sales, so two boxes in charge for a moment cost a
//! preference and no ticket.
//! Therefore there is no vote and no lease; each box decides for itself from the boxes that it knows to be alive:
//!
//! ```text
//! standby ── nobody in charge is alive, and it is the best alive, for a moment ──▶ primary
//! standby ── it is better than the one in charge, for a long time ────────────────▶ primary
//! primary ── a better one is in charge ───────────────────────────────────────────▶ standby
//! ```
//!
//! The long time keeps a box with a loose plug from moving the store back and forth.

use std::time::{Duration, Instant};

use crate::ids::NodeId;

/// A box that has just started, or has just lost its primary, looks around for so long.
pub const CLAIM_AFTER: Duration = Duration::from_secs(2);
/// A better box is in charge only after it has been there for so long.
pub const TAKE_OVER_AFTER: Duration = Duration::from_secs(60);

/// A box, as the others see it: lower is better, and names decide between equal priorities.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Its priority.
    pub priority: u16,
    /// Its name.
    pub node: NodeId,
}

/// A box that is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Which.
    pub candidate: Candidate,
    /// Whether it says that it is in charge.
    pub is_primary: bool,
}

/// The decision of one box.
#[derive(Debug, Clone)]
pub struct Election {
    own: Candidate,
    is_primary: bool,
    /// Since when it could be in charge, were it patient enough; and how patient it has to be.
    waiting: Option<(Instant, Duration)>,
}

impl Election {
    /// A box that has just started.
    pub fn new(own: Candidate) -> Self {
        Self { own, is_primary: false, waiting: None }
    }

    /// Whether this box is in charge.
    pub fn is_primary(&self) -> bool {
        self.is_primary
    }

    /// The boxes that are alive now, without this one; to be told again at [`Election::poll_timeout`].
    pub fn handle_neighbours(&mut self, alive: &[Neighbour], now: Instant) {
        let primaries = alive.iter().filter(|one| one.is_primary).map(|one| &one.candidate);
        let in_charge = primaries.min();
        if self.is_primary {
            self.is_primary = in_charge.is_none_or(|other| self.own < *other);
            self.waiting = None;
            return;
        }
        let is_best = alive.iter().all(|one| self.own < one.candidate);
        let patience = match in_charge {
            None if is_best => CLAIM_AFTER,
            Some(other) if self.own < *other => TAKE_OVER_AFTER,
            None | Some(_) => {
                self.waiting = None;
                return;
            }
        };
        let since = match self.waiting {
            Some((since, known)) if known == patience => since,
            Some(_) | None => now,
        };
        self.waiting = Some((since, patience));
        if now.saturating_duration_since(since) >= patience {
            self.is_primary = true;
            self.waiting = None;
        }
    }

    /// When it has to look again, if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.map(|(since, patience)| since + patience)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test gets its zero here")]
    fn start() -> Instant {
        Instant::now()
    }

    fn candidate(number: u64, priority: u16) -> Candidate {
        Candidate { priority, node: format!("box-{number}").parse().unwrap() }
    }

    /// Boxes on a LAN: who is up, in which part of it, and how late each hears of the others.
    struct Store {
        boxes: Vec<Election>,
        up: Vec<bool>,
        part: Vec<u8>,
        /// What each box said of itself lately, newest last.
        said: Vec<Vec<bool>>,
        now: Instant,
        changes: u32,
    }

    const STEP: Duration = Duration::from_millis(250);
    /// News is at most so many steps old.
    const LATE_MAX: usize = 4;

    impl Store {
        fn new(priorities: &[u16]) -> Self {
            let boxes = (0..)
                .zip(priorities)
                .map(|(number, priority)| Election::new(candidate(number, *priority)));
            let boxes: Vec<_> = boxes.collect();
            let count = boxes.len();
            Self {
                boxes,
                up: vec![true; count],
                part: vec![0; count],
                said: vec![vec![false]; count],
                now: start(),
                changes: 0,
            }
        }

        fn step(&mut self, rng: &mut ChaCha8Rng) {
            self.now += STEP;
            for me in 0..self.boxes.len() {
                let mut alive = Vec::new();
                for other in (0..self.boxes.len()).filter(|other| *other != me) {
                    let late = usize::try_from(rng.next_u32()).unwrap() % LATE_MAX;
                    let said = &self.said[other];
                    let is_primary = said[said.len().saturating_sub(1 + late)];
                    if self.up[other] && self.part[other] == self.part[me] {
                        let candidate = self.boxes[other].own.clone();
                        alive.push(Neighbour { candidate, is_primary });
                    }
                }
                let before = self.boxes[me].is_primary();
                if self.up[me] {
                    self.boxes[me].handle_neighbours(&alive, self.now);
                }
                self.changes += u32::from(before != self.boxes[me].is_primary());
            }
            for (said, one) in self.said.iter_mut().zip(&self.boxes) {
                said.push(one.is_primary());
                said.drain(..said.len().saturating_sub(LATE_MAX));
            }
        }

        fn set_up(&mut self, which: usize, up: bool) {
            if self.up[which] && !up {
                self.boxes[which] = Election::new(self.boxes[which].own.clone());
                self.said[which] = vec![false];
            }
            self.up[which] = up;
        }

        fn primaries(&self, part: u8) -> Vec<usize> {
            let here = |&which: &usize| self.up[which] && self.part[which] == part;
            (0..self.boxes.len())
                .filter(here)
                .filter(|&which| self.boxes[which].is_primary())
                .collect()
        }

        fn run(&mut self, seconds: u64, rng: &mut ChaCha8Rng) {
            for _ in 0..seconds * 4 {
                self.step(rng);
            }
        }
    }

    #[test]
    fn in_every_part_of_every_store_one_box_is_in_charge_once_it_is_quiet() {
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let count = 1 + usize::try_from(rng.next_u32() % 6).unwrap();
            let priorities: Vec<u16> =
                (0..count).map(|_| u16::try_from(rng.next_u32() % 3).unwrap()).collect();
            let mut store = Store::new(&priorities);
            for _ in 0..20 {
                let which = usize::try_from(rng.next_u32()).unwrap() % count;
                match rng.next_u32() % 3 {
                    0 => store.set_up(which, !store.up[which]),
                    1 => store.part[which] = u8::try_from(rng.next_u32() % 2).unwrap(),
                    _ => store.part.fill(0),
                }
                store.run(u64::from(rng.next_u32() % 8), &mut rng);
            }
            store.run(10, &mut rng);
            for part in 0..2 {
                let here = (0..count).any(|which| store.up[which] && store.part[which] == part);
                let primaries = store.primaries(part);
                assert_eq!(primaries.len(), usize::from(here), "seed {seed}: {primaries:?}");
            }
            store.run(70, &mut rng);
            let best = (0..count).filter(|&w| store.up[w] && store.part[w] == 0);
            let best = best.min_by_key(|&which| store.boxes[which].own.clone());
            assert_eq!(
                store.primaries(0).first().copied(),
                best,
                "seed {seed}: the best in the end"
            );
        }
    }

    #[test]
    fn a_better_box_with_a_loose_plug_does_not_move_the_store() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut store = Store::new(&[1, 5]);
        store.set_up(0, false);
        store.run(10, &mut rng);
        assert_eq!(store.primaries(0), [1]);
        store.changes = 0;
        for _ in 0..20 {
            store.set_up(0, true);
            store.run(15, &mut rng);
            store.set_up(0, false);
            store.run(15, &mut rng);
        }
        assert_eq!((store.changes, store.primaries(0)), (0, vec![1]));
    }

    #[test]
    fn the_next_one_is_in_charge_soon_after_the_first_is_gone() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut store = Store::new(&[1, 5, 9]);
        store.run(10, &mut rng);
        assert_eq!(store.primaries(0), [0]);
        store.set_up(0, false);
        store.run(4, &mut rng);
        assert_eq!(store.primaries(0), [1]);
    }
}
