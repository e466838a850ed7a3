//! What has to be fetched for one head, and what arrived of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::{Event, Mode, Options, Position, Progress, Refused, Shelf};
use crate::feed::head::{Head, Run};
use crate::feed::manifest::Manifest;
use crate::ids::{Hash32, ModelName};
use crate::limits;
use crate::sync::absence::Absences;

/// Everything that a load needs, once all of it is on the shelf.
#[derive(Debug, Clone)]
pub enum Load {
    /// Apply the pages of these runs, in order; then the digests must be those of the head.
    Changes {
        /// The revision that is reached.
        head: Box<Head>,
        /// The runs after the position in service.
        runs: Vec<Run>,
    },
    /// Switch to these segments.
    Snapshot {
        /// The revision that is reached.
        head: Box<Head>,
        /// One manifest per model; segments may go by the name of an equal one that was held already.
        manifests: Vec<Manifest>,
    },
}

/// One object that is wanted.
#[derive(Debug, Clone)]
struct Need {
    name: Hash32,
    bytes: u32,
    records: u64,
    model: usize,
}

/// A request that is under way.
#[derive(Debug, Clone, Copy)]
struct Flight {
    asked: Instant,
    until: Instant,
}

/// What is known of one model's load, for progress and log.
#[derive(Debug, Clone)]
struct ModelLoad {
    model: ModelName,
    records: u64,
    pages: u32,
    left: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Manifests,
    Content,
}

/// The objects of one head: wanted, under way, on the shelf.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) head: Head,
    pub(super) signed: Bytes,
    pub(super) mode: Mode,
    stage: Stage,
    needs: Vec<Need>,
    by_name: BTreeMap<Hash32, usize>,
    queue: VecDeque<usize>,
    in_flight: BTreeMap<Hash32, Flight>,
    models: Vec<ModelLoad>,
    /// The model that the log is at; the next is told of when this one is complete.
    told: usize,
    told_started: bool,
    runs: Vec<Run>,
    manifests: BTreeMap<Hash32, Manifest>,
    done: Progress,
}

impl Plan {
    /// Decides what the head asks for, given where the replica stands.
    pub(super) fn new(
        mut head: Head,
        signed: Bytes,
        mode: Mode,
        base: Option<Position>,
        shelf: &impl Shelf,
        options: &Options,
    ) -> Result<Self, Refused> {
        let manifests: u64 = head.models.iter().map(|model| u64::from(model.manifest_bytes)).sum();
        if manifests > limits::FEED_MANIFESTS_BYTES_MAX {
            return Err(Refused::TooLarge { what: "manifests", bytes: manifests });
        }
        let rank = |model: &ModelName| options.order.iter().position(|name| name == model);
        head.models.sort_by_key(|model| rank(&model.model).unwrap_or(usize::MAX));
        let done = Progress { mode, ..Progress::default() };
        let mut plan = Self {
            head,
            signed,
            mode,
            stage: Stage::Content,
            needs: Vec::new(),
            by_name: BTreeMap::new(),
            queue: VecDeque::new(),
            in_flight: BTreeMap::new(),
            models: Vec::new(),
            told: 0,
            told_started: false,
            runs: Vec::new(),
            manifests: BTreeMap::new(),
            done,
        };
        match mode {
            Mode::Incremental => {
                plan.want_pages(base, shelf);
                plan.check_room(shelf)?;
            }
            Mode::Full | Mode::Rebuild => plan.want_manifests(shelf, options)?,
        }
        Ok(plan)
    }

    fn want_pages(&mut self, base: Option<Position>, shelf: &impl Shelf) {
        let from = base.map_or(0, |base| base.revision);
        self.runs = self.head.runs.iter().filter(|run| run.revision > from).cloned().collect();
        let order: Vec<ModelName> = self.head.models.iter().map(|m| m.model.clone()).collect();
        for model in order {
            let pages: Vec<_> = self
                .runs
                .iter()
                .flat_map(|run| &run.pages)
                .filter(|page| page.model == model)
                .map(|page| (page.name, page.bytes, u64::from(page.count)))
                .collect();
            if !pages.is_empty() {
                self.want_model(model, &pages, shelf);
            }
        }
    }

    fn want_manifests(&mut self, shelf: &impl Shelf, options: &Options) -> Result<(), Refused> {
        self.stage = Stage::Manifests;
        for at in 0..self.head.models.len() {
            let entry = &self.head.models[at];
            let (name, bytes) = (entry.manifest, entry.manifest_bytes);
            let held = if self.mode == Mode::Rebuild { None } else { shelf.load(&name) };
            match held {
                Some(held) => self.take_manifest(at, &held)?,
                None => self.want(Need { name, bytes, records: 0, model: at }),
            }
        }
        self.done.objects_total = self.needs.len() as u64;
        self.next_stage(shelf, options)
    }

    /// All manifests are here: asks for the segments that are neither held nor equal to one that is.
    fn next_stage(&mut self, shelf: &impl Shelf, options: &Options) -> Result<(), Refused> {
        if self.stage == Stage::Content || !self.queue.is_empty() || !self.in_flight.is_empty() {
            return Ok(());
        }
        self.stage = Stage::Content;
        self.done = Progress { mode: self.mode, ..Progress::default() };
        self.needs.clear();
        self.by_name.clear();
        let mut bytes_total = 0u64;
        for at in 0..self.head.models.len() {
            let name = self.head.models[at].manifest;
            let mut manifest =
                self.manifests.remove(&name).expect("the stage ends when every manifest is here");
            for entry in &mut manifest.segments {
                bytes_total += u64::from(entry.bytes);
                let equal = || shelf.equal(&manifest.model, &entry.digest);
                if self.mode != Mode::Rebuild && !shelf.holds(&entry.name) {
                    entry.name = equal().unwrap_or(entry.name);
                }
            }
            if bytes_total > options.snapshot_bytes_max {
                return Err(Refused::TooLarge { what: "segments", bytes: bytes_total });
            }
            let pages: Vec<_> = manifest
                .segments
                .iter()
                .map(|entry| (entry.name, entry.bytes, u64::from(entry.count)))
                .collect();
            self.want_model(manifest.model.clone(), &pages, shelf);
            self.manifests.insert(name, manifest);
        }
        self.check_room(shelf)
    }

    /// What fills the disk to the last byte would be thrown away again.
    fn check_room(&self, shelf: &impl Shelf) -> Result<(), Refused> {
        let needed: u64 = self.needs.iter().map(|need| u64::from(need.bytes)).sum();
        let free = if needed == 0 { u64::MAX } else { shelf.room() };
        if needed > free { Err(Refused::NoRoom { needed, free }) } else { Ok(()) }
    }

    fn want_model(&mut self, model: ModelName, pages: &[(Hash32, u32, u64)], shelf: &impl Shelf) {
        let at = self.models.len();
        let records = pages.iter().map(|page| page.2).sum();
        let count = u32::try_from(pages.len()).unwrap_or(u32::MAX);
        self.models.push(ModelLoad { model, records, pages: count, left: 0 });
        for &(name, bytes, records) in pages {
            self.done.objects_total += 1;
            self.done.records_total += records;
            self.done.bytes_total += u64::from(bytes);
            let held = self.mode != Mode::Rebuild && shelf.holds(&name);
            if held || self.by_name.contains_key(&name) {
                self.done.objects += 1;
                self.done.records += records;
                self.done.bytes_held += u64::from(bytes);
            } else {
                self.models[at].left += 1;
                self.want(Need { name, bytes, records, model: at });
            }
        }
    }

    fn want(&mut self, need: Need) {
        if self.by_name.contains_key(&need.name) {
            return;
        }
        self.by_name.insert(need.name, self.needs.len());
        self.queue.push_back(self.needs.len());
        self.needs.push(need);
    }

    fn take_manifest(&mut self, at: usize, bytes: &[u8]) -> Result<(), Refused> {
        let entry = &self.head.models[at];
        let refuse = |reason: String| Refused::Manifest { model: entry.model.clone(), reason };
        let manifest = Manifest::parse(bytes).map_err(|error| refuse(error.to_string()))?;
        if manifest.model != entry.model {
            return Err(refuse(format!("is that of {}", manifest.model)));
        }
        let count: u64 = manifest.segments.iter().map(|segment| u64::from(segment.count)).sum();
        if count != entry.count {
            return Err(refuse(format!("counts {count} records, the head {}", entry.count)));
        }
        self.manifests.insert(entry.manifest, manifest);
        Ok(())
    }

    /// The next object to ask for, while fewer than that are under way.
    ///
    /// What was not there before comes last: to learn that it is still not there ends the plan.
    pub(super) fn next_request(
        &mut self,
        width: usize,
        absent: &Absences<Hash32>,
        now: Instant,
        options: &Options,
    ) -> Option<(Hash32, u32)> {
        if self.in_flight.len() >= width {
            return None;
        }
        let name = |at: &usize| &self.needs[*at].name;
        let new = self.queue.iter().position(|at| !absent.is_known(name(at)));
        let at = new.or_else(|| {
            let due = self.queue.iter().position(|at| !absent.is_held(name(at), now));
            due.filter(|_| self.in_flight.is_empty())
        })?;
        let need = &self.needs[self.queue.remove(at)?];
        let within = limits::time_at(options.line_floor, options.page_timeout, need.bytes);
        self.in_flight.insert(need.name, Flight { asked: now, until: now + within });
        Some((need.name, need.bytes))
    }

    /// Whether all that is missing was not there before, and it is too early to ask for it again.
    pub(super) fn is_stuck(&self, absent: &Absences<Hash32>, now: Instant) -> bool {
        self.in_flight.is_empty()
            && !self.queue.is_empty()
            && self.queue.iter().all(|at| absent.is_held(&self.needs[*at].name, now))
    }

    /// When the object was asked for, if it is under way.
    pub(super) fn asked(&self, name: &Hash32) -> Option<Instant> {
        self.in_flight.get(name).map(|flight| flight.asked)
    }

    /// How large an object that is wanted may be; nothing for one that is not.
    pub(super) fn wanted(&self, name: &Hash32) -> Option<u32> {
        let at = *self.by_name.get(name)?;
        let open = self.in_flight.contains_key(name) || self.queue.contains(&at);
        open.then(|| self.needs[at].bytes)
    }

    /// The object is on the shelf.
    pub(super) fn stored(
        &mut self,
        name: &Hash32,
        shelf: &impl Shelf,
        options: &Options,
    ) -> Result<(), Refused> {
        let Some(&at) = self.by_name.get(name) else { return Ok(()) };
        if self.in_flight.remove(name).is_none() {
            let queued = self.queue.len();
            self.queue.retain(|waiting| *waiting != at);
            if self.queue.len() == queued {
                return Ok(());
            }
        }
        let need = self.needs[at].clone();
        self.done.objects += 1;
        self.done.records += need.records;
        self.done.bytes_fetched += u64::from(need.bytes);
        match self.stage {
            Stage::Content => {
                self.models[need.model].left -= 1;
                Ok(())
            }
            Stage::Manifests => {
                let refuse = |reason: &str| Refused::Manifest {
                    model: self.head.models[need.model].model.clone(),
                    reason: reason.to_owned(),
                };
                let bytes = shelf.load(name).ok_or_else(|| refuse("vanished from the shelf"))?;
                self.take_manifest(need.model, &bytes)?;
                for at in need.model + 1..self.head.models.len() {
                    if self.head.models[at].manifest == *name {
                        self.take_manifest(at, &bytes)?;
                    }
                }
                self.next_stage(shelf, options)
            }
        }
    }

    /// The object did not come; it is asked for again.
    pub(super) fn failed(&mut self, name: &Hash32) -> bool {
        if self.in_flight.remove(name).is_none() {
            return false;
        }
        self.queue.push_front(self.by_name[name]);
        true
    }

    /// An object that was on the shelf proved bad and was taken away: asks for it (again).
    pub(super) fn lost(&mut self, name: &Hash32) -> bool {
        if self.stage == Stage::Manifests {
            return false;
        }
        if self.wanted(name).is_some() {
            return true;
        }
        if let Some(&at) = self.by_name.get(name) {
            self.models[self.needs[at].model].left += 1;
            self.queue.push_back(at);
            return true;
        }
        let pages = self.runs.iter().flat_map(|run| &run.pages);
        let page = pages.map(|page| (&page.model, page.name, page.bytes, page.count));
        let segments = self.manifests.values().flat_map(|manifest| {
            manifest
                .segments
                .iter()
                .map(|entry| (&manifest.model, entry.name, entry.bytes, entry.count))
        });
        let found = page.chain(segments).find(|object| object.1 == *name);
        let Some((model, name, bytes, count)) = found else { return false };
        let Some(at) = self.models.iter().position(|load| load.model == *model) else {
            return false;
        };
        self.models[at].left += 1;
        self.want(Need { name, bytes, records: u64::from(count), model: at });
        true
    }

    /// Ends requests whose time is up, which are asked for again; tells when they were sent.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Instant> {
        let late = self.in_flight.iter().filter(|(_, flight)| flight.until <= now);
        let late: Vec<(Hash32, Instant)> =
            late.map(|(name, flight)| (*name, flight.asked)).collect();
        late.into_iter()
            .map(|(name, asked)| {
                self.failed(&name);
                asked
            })
            .collect()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.in_flight.values().map(|flight| flight.until).min()
    }

    /// Whether nothing is missing.
    pub(super) fn is_complete(&self) -> bool {
        self.stage == Stage::Content && self.queue.is_empty() && self.in_flight.is_empty()
    }

    /// What to do, once nothing is missing.
    pub(super) fn load(&self) -> Load {
        let mut head = Box::new(self.head.clone());
        head.models.sort_by(|a, b| a.model.cmp(&b.model));
        match self.mode {
            Mode::Incremental => Load::Changes { head, runs: self.runs.clone() },
            Mode::Full | Mode::Rebuild => {
                let names = head.models.iter().map(|model| &model.manifest);
                let manifests =
                    names.filter_map(|name| self.manifests.get(name).cloned()).collect();
                Load::Snapshot { head, manifests }
            }
        }
    }

    /// What the log is told: models one by one, in load order.
    pub(super) fn tell(&mut self, events: &mut VecDeque<Event>) {
        while let Some(load) = self.models.get(self.told) {
            let model = load.model.clone();
            if !self.told_started {
                self.told_started = true;
                events.push_back(Event::ModelStarted { mode: self.mode, model: model.clone() });
            }
            if load.left > 0 {
                return;
            }
            let (records, pages) = (load.records, load.pages);
            events.push_back(Event::ModelFinished { mode: self.mode, model, records, pages });
            self.told += 1;
            self.told_started = false;
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let model = self.models.get(self.told).map(|load| load.model.clone());
        let (to, manifests) = (Some(self.head.position()), self.stage == Stage::Manifests);
        Progress { model, to, manifests, ..self.done.clone() }
    }
}
