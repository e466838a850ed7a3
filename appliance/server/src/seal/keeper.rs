//! The rings of this box, kept in its vault, and the keys that count now.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use storebox_proto::ids::SiteId;
use storebox_proto::seal::store::StorageKey;
use storebox_proto::seal::{Keyring, Moment, Ring, RingState, Scope, SiteKey};
use storebox_proto::time::Timestamp;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::blocking::beside;
use crate::env;
use crate::secrets::{Vault, VaultError};

/// Its name within the vault.
const NAME: &str = "seal.rings";
/// The last list of what was struck off for which rings began anew.
const RENEWED: &str = "seal.renewed_for";
/// A generation that was replaced opens this long: every box and till has fetched the new one by then.
const OVERLAP_MS: i64 = 48 * 60 * 60 * 1000;
/// Generations that are kept when a ring begins anew, and handed over at once: the newest, and those that still open.
const SHARED_MAX: usize = 4;
/// Old keys are forgotten within this.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Why rings cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum SealsError {
    /// The vault does not take them.
    #[error("keep the rings in the vault")]
    Vault(#[from] VaultError),
    /// What the vault holds is not a list of rings.
    #[error("the vault holds something else than rings under {NAME}")]
    Content(#[source] serde_json::Error),
    /// Too many.
    #[error("a box holds at most {} rings", storebox_proto::limits::RINGS_MAX)]
    Full,
    /// No such ring.
    #[error("no ring of site {site} and scope {scope} is here")]
    Unknown {
        /// The site.
        site: SiteId,
        /// The scope.
        scope: Scope,
    },
}

/// A ring as operators see it: nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RingListed {
    /// The site that it belongs to.
    #[schema(value_type = String)]
    pub site: SiteId,
    /// Who shares it: `boxes` or `tills`.
    #[schema(value_type = String)]
    pub scope: Scope,
    /// How often its key was renewed.
    pub generation: u32,
    /// The first half of its key ids.
    pub tag: String,
    /// The epoch of now.
    pub epoch: u32,
    /// When it stops opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub until: Option<Timestamp>,
}

/// All that this box seals and opens with; cheap to clone.
#[derive(Debug, Clone)]
pub struct Seals {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    vault: Vault,
    keyring: Mutex<Keyring>,
    moment: ArcSwap<Moment>,
    life: u64,
}

impl Seals {
    /// What the vault holds; a locked one holds nothing.
    pub fn open(vault: Vault) -> Result<Self, SealsError> {
        let states: Vec<RingState> = match vault.get(NAME) {
            Some(text) => serde_json::from_str(&text).map_err(SealsError::Content)?,
            None => Vec::new(),
        };
        let rings = states.into_iter().map(Ring::resume).collect();
        let keyring = Keyring::new(rings).ok_or(SealsError::Full)?;
        let moment = ArcSwap::from_pointee(keyring.moment(env::believable()));
        // Never 0: that is what a caller says who knows no life yet.
        let life = u64::from_le_bytes(env::random()) | 1;
        let inner = Inner { vault, keyring: Mutex::new(keyring), moment, life };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// This life of the box: writes are sealed for it.
    pub fn life(&self) -> u64 {
        self.inner.life
    }

    /// The keys that count at this time.
    pub fn moment(&self, now: Timestamp) -> Arc<Moment> {
        let known = self.inner.moment.load_full();
        if known.is_current(now) {
            return known;
        }
        let moment = Arc::new(self.lock().moment(now));
        self.inner.moment.store(Arc::clone(&moment));
        moment
    }

    /// All rings.
    pub fn list(&self, now: Timestamp) -> Vec<RingListed> {
        let listed = |ring: &Ring| RingListed {
            site: ring.state().site.clone(),
            scope: ring.state().scope,
            generation: ring.state().generation,
            tag: hex::encode(ring.tag()),
            epoch: ring.epoch_at(now),
            until: ring.state().until,
        };
        self.lock().rings().iter().map(listed).collect()
    }

    /// Begins a generation with a key that nobody has yet; older ones open for two more days.
    pub fn begin(&self, site: &SiteId, scope: Scope, now: Timestamp) -> Result<(), SealsError> {
        self.change(|keyring| begin_in(keyring, site, scope, now))
    }

    /// Does so for every site and scope, unless it was done for this list of what was struck off: those may know keys.
    pub fn renew_for(&self, list: u64, now: Timestamp) -> Result<usize, SealsError> {
        let done = self.inner.vault.get(RENEWED).and_then(|text| text.parse().ok()).unwrap_or(0);
        if list <= done {
            return Ok(0);
        }
        let all: BTreeSet<(SiteId, Scope)> = {
            let keyring = self.lock();
            let states = keyring.rings().iter().map(Ring::state);
            states.map(|state| (state.site.clone(), state.scope)).collect()
        };
        self.change(|keyring| {
            all.iter().try_for_each(|(site, scope)| begin_in(keyring, site, *scope, now))
        })?;
        // After the rings: a box that ends in between does it once more, which harms nobody.
        self.inner.vault.put(RENEWED, Zeroizing::new(list.to_string()))?;
        Ok(all.len())
    }

    /// Takes a ring that another box handed over.
    pub fn take(&self, state: RingState, now: Timestamp) -> Result<(), SealsError> {
        let (site, scope) = (state.site.clone(), state.scope);
        self.change(|keyring| {
            let added = keyring.add(Ring::resume(state));
            let until = Timestamp::from_unix_ms(now.unix_ms() + OVERLAP_MS);
            keyring.retire_older(&site, scope, until);
            added.then_some(()).ok_or(SealsError::Full)
        })
    }

    /// Takes what head office hands over for these sites: every generation that is not here yet.
    ///
    /// One that is here stays as it is: what was forgotten of it does not return.
    pub fn learn(
        &self,
        states: Vec<RingState>,
        sites: &[SiteId],
        now: Timestamp,
    ) -> Result<usize, SealsError> {
        let known = self.lock().clone();
        let is_news = |state: &RingState| sites.contains(&state.site) && !known.has(state);
        let news: Vec<_> = states.into_iter().filter(is_news).collect();
        if news.is_empty() {
            return Ok(0);
        }
        let until = Timestamp::from_unix_ms(now.unix_ms() + OVERLAP_MS);
        self.change(|keyring| {
            let count = news.len();
            for state in news {
                let (site, scope) = (state.site.clone(), state.scope);
                if !keyring.add(Ring::resume(state)) {
                    return Err(SealsError::Full);
                }
                keyring.retire_older(&site, scope, until);
            }
            Ok(count)
        })
    }

    /// The generations of a site and scope that count, the newest first: for a member that may have them.
    pub fn share(&self, site: &SiteId, scope: Scope, now: Timestamp) -> Vec<RingState> {
        let keyring = self.lock();
        let valid = keyring.of(site, scope).filter(|ring| ring.is_valid(now));
        let mut states: Vec<_> = valid.map(|ring| ring.state().clone()).collect();
        states.sort_by_key(|state| std::cmp::Reverse(state.generation));
        states.truncate(SHARED_MAX);
        states
    }

    /// The newest ring of a site and scope, to be handed to another box or till over a line that can be trusted.
    pub fn hand_over(&self, site: &SiteId, scope: Scope) -> Result<RingState, SealsError> {
        let keyring = self.lock();
        let ring = keyring.newest(site, scope);
        let unknown = || SealsError::Unknown { site: site.clone(), scope };
        ring.map(|ring| ring.state().clone()).ok_or_else(unknown)
    }

    /// Takes all generations of a site and scope away, at once.
    pub fn remove(&self, site: &SiteId, scope: Scope) -> Result<(), SealsError> {
        let unknown = || SealsError::Unknown { site: site.clone(), scope };
        self.change(|keyring| keyring.remove(site, scope).then_some(()).ok_or_else(unknown))
    }

    /// What opens storage, the newest generation first, which seals; nothing if no ring of the site and scope is here.
    pub fn storage(&self, site: &SiteId, scope: Scope) -> Vec<StorageKey> {
        self.lock().storage(site, scope, env::believable())
    }

    /// Forgets old keys, again and again. Dropped at any point it loses nothing.
    pub async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(FORGET_EVERY)).await.is_some() {
            let seals = self.clone();
            if let Err(error) = beside(move || seals.forget(env::proven())).await {
                tracing::warn!(%error, "old sealing keys could not be forgotten");
            }
        }
    }

    /// Forgets what is over at a time that has certainly come.
    fn forget(&self, proven: Timestamp) -> Result<(), SealsError> {
        if self.lock().clone().forget_before(proven) {
            self.change(|keyring| {
                keyring.forget_before(proven);
                Ok(())
            })?;
            tracing::info!("sealing keys that are over were forgotten");
        }
        Ok(())
    }

    /// Changes the rings, on disk first.
    fn change<T>(
        &self,
        make: impl FnOnce(&mut Keyring) -> Result<T, SealsError>,
    ) -> Result<T, SealsError> {
        let mut keyring = self.lock();
        let mut changed = keyring.clone();
        let made = make(&mut changed)?;
        let states: Vec<_> = changed.rings().iter().map(Ring::state).collect();
        let text = serde_json::to_string(&states).expect("rings are plain values");
        self.inner.vault.put(NAME, Zeroizing::new(text))?;
        self.inner.moment.store(Arc::new(changed.moment(env::believable())));
        *keyring = changed;
        Ok(made)
    }

    /// What is behind the lock is replaced whole, so it is whole even if a thread died while holding it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Keyring> {
        self.inner.keyring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn begin_in(
    keyring: &mut Keyring,
    site: &SiteId,
    scope: Scope,
    now: Timestamp,
) -> Result<(), SealsError> {
    let newest = keyring.newest(site, scope).map_or(0, |ring| ring.state().generation);
    let key = SiteKey::new(env::random());
    let generation = newest.saturating_add(1);
    let ring = Ring::begin(&key, site.clone(), scope, generation, now);
    let until = Timestamp::from_unix_ms(now.unix_ms() + OVERLAP_MS);
    keyring.keep_newest(site, scope, SHARED_MAX - 1);
    let added = keyring.add(ring);
    keyring.retire_older(site, scope, until);
    added.then_some(()).ok_or(SealsError::Full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn open(dir: &Path) -> Seals {
        Seals::open(Vault::open(dir, Path::new("")).unwrap()).unwrap()
    }

    #[test]
    fn rings_survive_a_restart_and_a_box_begins_a_new_life() {
        let dir = tempfile::tempdir().unwrap();
        let (site, now) = ("store-7".parse().unwrap(), env::believable());
        let seals = open(dir.path());
        seals.begin(&site, Scope::Boxes, now).unwrap();
        let again = open(dir.path());
        assert_eq!(again.list(now), seals.list(now));
        assert_ne!(again.life(), seals.life());
        assert!(again.moment(now).sealing(Scope::Boxes).is_some());
        assert!(again.moment(now).sealing(Scope::Tills).is_none());
    }

    #[test]
    fn a_ring_that_is_handed_over_opens_what_the_first_box_seals() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, two] = dirs.each_ref().map(|dir| open(dir.path()));
        let (site, now) = ("store-7".parse().unwrap(), env::believable());
        assert!(matches!(one.hand_over(&site, Scope::Boxes), Err(SealsError::Unknown { .. })));
        one.begin(&site, Scope::Boxes, now).unwrap();
        two.take(one.hand_over(&site, Scope::Boxes).unwrap(), now).unwrap();
        let kid = |seals: &Seals| seals.moment(now).sealing(Scope::Boxes).unwrap().kid();
        assert_eq!(kid(&one), kid(&two));
        let stored = one.storage(&site, Scope::Boxes)[0].seal("head", b"bytes");
        let opened = two.storage(&site, Scope::Boxes)[0].open("head", &stored);
        assert_eq!(opened.unwrap(), b"bytes");
        one.begin(&site, Scope::Boxes, now).unwrap();
        assert_ne!(kid(&one), kid(&two));
        assert!(one.moment(now).keys(kid(&two)).is_ok(), "the old generation opens on");
        one.remove(&site, Scope::Boxes).unwrap();
        assert!(one.moment(now).keys(kid(&two)).is_err(), "taken back, at once");
    }

    #[test]
    fn a_box_learns_new_generations_of_its_own_sites_and_never_an_old_key_again() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [office, shop] = dirs.each_ref().map(|dir| open(dir.path()));
        let site: SiteId = "store-7".parse().unwrap();
        let (other, now) = ("store-8".parse().unwrap(), env::believable());
        for site in [&site, &other] {
            office.begin(site, Scope::Boxes, now).unwrap();
        }
        let mut states = office.share(&site, Scope::Boxes, now);
        states.extend(office.share(&other, Scope::Boxes, now));
        let sites = [site.clone()];
        assert_eq!(shop.learn(states.clone(), &sites, now).unwrap(), 1, "its own alone");
        let later = Timestamp::from_unix_ms(now.unix_ms() + 5 * 86_400_000);
        shop.forget(later).unwrap();
        assert_eq!(shop.learn(states, &sites, later).unwrap(), 0);
        assert!(shop.moment(now).sealing(Scope::Boxes).is_none(), "what was forgotten stays so");
        office.begin(&site, Scope::Boxes, now).unwrap();
        let states = office.share(&site, Scope::Boxes, now);
        assert_eq!(states.iter().map(|state| state.generation).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(shop.learn(states, &sites, later).unwrap(), 1);
        let listed: Vec<_> = shop.list(later).iter().map(|ring| ring.until.is_some()).collect();
        assert_eq!(listed, [true, false], "the former one has an end");
        assert_eq!(shop.storage(&site, Scope::Boxes).len(), 2);
    }

    #[test]
    fn when_somebody_was_struck_off_every_ring_begins_anew_once() {
        let dir = tempfile::tempdir().unwrap();
        let now = env::believable();
        let sites: [SiteId; 2] = ["store-7", "store-8"].map(|site| site.parse().unwrap());
        let seals = open(dir.path());
        for site in &sites {
            seals.begin(site, Scope::Boxes, now).unwrap();
        }
        seals.begin(&sites[0], Scope::Tills, now).unwrap();
        assert_eq!(seals.renew_for(2, now).unwrap(), 3);
        let again = open(dir.path());
        assert_eq!(again.renew_for(2, now).unwrap(), 0, "also after a restart");
        for (site, scope) in [(0, Scope::Boxes), (1, Scope::Boxes), (0, Scope::Tills)] {
            let states = again.share(&sites[site], scope, now);
            assert_eq!(states.iter().map(|state| state.generation).collect::<Vec<_>>(), [2, 1]);
            assert!(states[1].until.is_some(), "the one that may be known ends");
        }
        assert_eq!(again.renew_for(3, now).unwrap(), 3);
    }

    #[test]
    fn the_rings_of_many_shops_begin_anew_as_often_as_somebody_is_struck_off() {
        let dir = tempfile::tempdir().unwrap();
        let (now, seals) = (env::believable(), open(dir.path()));
        let sites: Vec<SiteId> = (0..20).map(|n| format!("store-{n}").parse().unwrap()).collect();
        seals
            .change(|keyring| {
                sites.iter().try_for_each(|site| {
                    begin_in(keyring, site, Scope::Boxes, now)?;
                    begin_in(keyring, site, Scope::Tills, now)
                })
            })
            .unwrap();
        for list in 2..10 {
            assert_eq!(seals.renew_for(list, now).unwrap(), 40, "list {list}");
        }
        let again = open(dir.path());
        assert_eq!(again.list(now).len(), 40 * SHARED_MAX, "nothing piles up");
        let states = again.share(&sites[7], Scope::Tills, now);
        let generations: Vec<_> = states.iter().map(|state| state.generation).collect();
        assert_eq!(generations, [9, 8, 7, 6]);
        assert!(states[1..].iter().all(|state| state.until.is_some()));
    }

    #[test]
    fn a_clock_that_is_put_back_gives_back_the_keys_of_that_time() {
        let dir = tempfile::tempdir().unwrap();
        let (site, now) = ("store-7".parse().unwrap(), env::believable());
        let seals = open(dir.path());
        seals.begin(&site, Scope::Boxes, now).unwrap();
        let kid = |at| seals.moment(at).sealing(Scope::Boxes).unwrap().kid();
        let right = kid(now);
        let ahead = Timestamp::from_unix_ms(now.unix_ms() + 10 * 86_400_000);
        assert_ne!(kid(ahead), right);
        assert_eq!(kid(now), right);
    }

    #[test]
    fn keys_are_forgotten_up_to_a_proven_time_only() {
        let dir = tempfile::tempdir().unwrap();
        let (site, now) = ("store-7".parse().unwrap(), env::believable());
        let seals = open(dir.path());
        seals.begin(&site, Scope::Tills, now).unwrap();
        let kid = seals.moment(now).sealing(Scope::Tills).unwrap().kid();
        seals.forget(now).unwrap();
        assert_eq!(seals.moment(now).sealing(Scope::Tills).unwrap().kid(), kid);
        let later = Timestamp::from_unix_ms(now.unix_ms() + 5 * 86_400_000);
        seals.forget(later).unwrap();
        let again = open(dir.path());
        assert!(again.lock().moment(now).sealing(Scope::Tills).is_none());
        assert!(again.lock().moment(later).sealing(Scope::Tills).is_some());
    }
}
