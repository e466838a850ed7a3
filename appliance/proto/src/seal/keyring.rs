//! All rings of a box, and the keys that count at one moment.

use super::ring::{EPOCH, KeyId, Keys, Ring, RingState, Scope};
use super::{SealError, store};
use crate::ids::SiteId;
use crate::limits::{RING_GENERATIONS_MAX, RINGS_MAX};
use crate::time::Timestamp;

/// The rings of a box; a small list that changes once a day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyring {
    rings: Vec<Ring>,
}

/// Keys that are ready for use until the next epoch of any ring begins.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// Previous, current and next epoch of each ring.
    keys: Vec<Keys>,
    /// The tag of each ring with the epoch that is current.
    current: Vec<([u8; 4], u32)>,
    /// The key that seals in each scope, with the end of its epoch.
    sealing: Vec<(Scope, usize, Timestamp)>,
    /// The time it was made for: a clock that is put back before it makes it anew.
    from: Timestamp,
    /// When this is to be made anew.
    until: Timestamp,
}

impl Keyring {
    /// These rings, if they can live together.
    pub fn new(rings: Vec<Ring>) -> Option<Self> {
        let mut ring = Self::default();
        rings.into_iter().all(|one| ring.add(one)).then_some(ring)
    }

    /// All of them.
    pub fn rings(&self) -> &[Ring] {
        &self.rings
    }

    /// Adds a ring, or replaces the one of its site, scope and generation; refused beyond the limit.
    pub fn add(&mut self, ring: Ring) -> bool {
        let same = |known: &&mut Ring| {
            let (a, b) = (known.state(), ring.state());
            (&a.site, a.scope, a.generation) == (&b.site, b.scope, b.generation)
        };
        if let Some(known) = self.rings.iter_mut().find(same) {
            *known = ring;
            return true;
        }
        let of_it = self.of(&ring.state().site, ring.state().scope).count();
        if self.rings.len() >= RINGS_MAX || of_it >= RING_GENERATIONS_MAX {
            return false;
        }
        self.rings.push(ring);
        true
    }

    /// All generations of a site and scope.
    pub fn of(&self, site: &SiteId, scope: Scope) -> impl Iterator<Item = &Ring> {
        self.rings
            .iter()
            .filter(move |ring| ring.state().site == *site && ring.state().scope == scope)
    }

    /// Whether this very generation is here.
    pub fn has(&self, state: &RingState) -> bool {
        self.of(&state.site, state.scope).any(|ring| ring.state().generation == state.generation)
    }

    /// The newest generation of a site and scope.
    pub fn newest(&self, site: &SiteId, scope: Scope) -> Option<&Ring> {
        self.of(site, scope).max_by_key(|ring| ring.state().generation)
    }

    /// Older generations of a site and scope open until then, and no longer.
    pub fn retire_older(&mut self, site: &SiteId, scope: Scope, until: Timestamp) {
        let newest = self.newest(site, scope).map(|ring| ring.state().generation);
        for ring in &mut self.rings {
            let state = &mut ring.state;
            let older = Some(state.generation) < newest;
            if state.site == *site && state.scope == scope && older {
                state.until = Some(state.until.map_or(until, |known| known.min(until)));
            }
        }
    }

    /// Keeps so many of the newest generations of a site and scope.
    pub fn keep_newest(&mut self, site: &SiteId, scope: Scope, count: usize) {
        let mut generations: Vec<_> =
            self.of(site, scope).map(|ring| ring.state().generation).collect();
        generations.sort_unstable_by_key(|generation| std::cmp::Reverse(*generation));
        generations.truncate(count);
        let Some(&oldest) = generations.last() else { return };
        self.rings.retain(|ring| {
            let state = ring.state();
            (&state.site, state.scope) != (site, scope) || state.generation >= oldest
        });
    }

    /// Takes all generations of a site and scope away.
    pub fn remove(&mut self, site: &SiteId, scope: Scope) -> bool {
        let before = self.rings.len();
        self.rings.retain(|ring| ring.state().site != *site || ring.state().scope != scope);
        self.rings.len() < before
    }

    /// Forgets what is over, up to a time that has certainly come; tells whether anything changed.
    pub fn forget_before(&mut self, proven: Timestamp) -> bool {
        let before = self.rings.len();
        self.rings.retain(|ring| ring.is_valid(proven));
        let mut changed = self.rings.len() < before;
        for ring in &mut self.rings {
            changed |= ring.forget_before(proven);
        }
        changed
    }

    /// The keys that count now.
    pub fn moment(&self, now: Timestamp) -> Moment {
        let far = i64::try_from(EPOCH.as_millis()).unwrap_or(i64::MAX);
        let until = Timestamp::from_unix_ms(now.unix_ms() + far);
        let mut moment = Moment { from: now, until, ..Moment::default() };
        for ring in self.rings.iter().filter(|ring| ring.is_valid(now)) {
            let epoch = ring.epoch_at(now);
            let end = ring.end_of(epoch);
            moment.until = moment.until.min(end).min(ring.state().until.unwrap_or(end));
            moment.current.push((ring.tag(), epoch));
            for epoch in [epoch.saturating_sub(1), epoch, epoch.saturating_add(1)] {
                moment.keys.extend(ring.keys(epoch));
            }
            let state = ring.state();
            let is_newest = self.newest(&state.site, state.scope) == Some(ring);
            let wanted = KeyId { tag: ring.tag(), epoch };
            let at = moment.keys.iter().position(|keys| keys.kid == wanted);
            if let Some(at) = at.filter(|_| is_newest) {
                moment.sealing.push((state.scope, at, end));
            }
        }
        moment
    }

    /// What storage is sealed with in a scope of a site, the newest generation first; the first one seals.
    pub fn storage(&self, site: &SiteId, scope: Scope, now: Timestamp) -> Vec<store::StorageKey> {
        let mut rings: Vec<_> = self.of(site, scope).filter(|ring| ring.is_valid(now)).collect();
        rings.sort_by_key(|ring| std::cmp::Reverse(ring.state().generation));
        rings.iter().map(|ring| store::StorageKey::new(ring.tag(), ring.storage())).collect()
    }
}

impl Moment {
    /// Whether it counts at this time.
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }

    /// The keys that a key id names.
    pub fn keys(&self, kid: KeyId) -> Result<&Keys, SealError> {
        if let Some(keys) = self.keys.iter().find(|keys| keys.kid == kid) {
            return Ok(keys);
        }
        let named = kid.to_string();
        match self.current.iter().find(|(tag, _)| *tag == kid.tag) {
            None => Err(SealError::KeyUnknown { kid: named }),
            Some(&(_, epoch)) => Err(SealError::Epoch {
                kid: named,
                epoch: kid.epoch,
                from: epoch.saturating_sub(1),
                to: epoch.saturating_add(1),
            }),
        }
    }

    /// The keys that seal in a scope.
    pub fn sealing(&self, scope: Scope) -> Option<&Keys> {
        let (_, at, _) = self.sealing.iter().find(|(of, _, _)| *of == scope)?;
        self.keys.get(*at)
    }

    /// Seconds for which a URL that is sealed now in this scope stays the one that is asked for.
    pub fn lasts_s(&self, kid: KeyId, now: Timestamp) -> u32 {
        let end = self.sealing.iter().find(|(_, at, _)| self.keys[*at].kid == kid);
        let left_ms = end.map_or(0, |(_, _, end)| end.unix_ms() - now.unix_ms());
        u32::try_from(left_ms.max(0) / 1000).unwrap_or(u32::MAX)
    }
}
