//! What is defined of channels, read from the estate whenever that has moved.
//!
//! Definitions were checked where they were authored; one that this version does not understand is passed over,
//! named in the log, and costs the others nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use serde_json::{Map, Value};
use storebox_proto::estate::channel::{
    Access, Channel, ChannelService, Definition, Hook, PushDefinition, ServiceType, Stage,
};
use storebox_proto::feed::registry::ESTATE;
use storebox_proto::ids::{FeedId, ModelName};

use super::fault;
use crate::db::{Generation, ReadError};
use crate::masterdata::Masterdata;

/// Definitions of one kind that are looked at.
const DEFINITIONS_MAX: usize = 10_000;

/// Everything that is defined of channels, at one revision of the estate.
#[derive(Debug, Default)]
pub struct Definitions {
    channels: BTreeMap<String, Arc<Channel>>,
    services: BTreeMap<(String, ServiceType), Arc<ChannelService>>,
    hooks: BTreeMap<String, Vec<Arc<Hook>>>,
    pushes: Vec<Arc<PushDefinition>>,
    access: BTreeMap<String, Vec<Access>>,
}

impl Definitions {
    /// A channel by its id.
    pub fn channel(&self, id: &str) -> Option<&Arc<Channel>> {
        self.channels.get(id)
    }

    /// All channels.
    pub fn channels(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.channels.values()
    }

    /// A service of a channel.
    pub fn service(&self, channel: &str, service: ServiceType) -> Option<&Arc<ChannelService>> {
        self.services.get(&(channel.to_owned(), service))
    }

    /// The services of a channel.
    pub fn services<'a>(
        &'a self,
        channel: &'a str,
    ) -> impl Iterator<Item = &'a Arc<ChannelService>> {
        self.services.values().filter(move |service| service.channel_id == channel)
    }

    /// The hooks of a channel, in the order of their call.
    pub fn hooks(&self, channel: &str) -> impl Iterator<Item = &Arc<Hook>> {
        self.hooks.get(channel).into_iter().flatten()
    }

    /// How many hooks of all channels run after the commit.
    pub fn hooks_after_commit(&self) -> usize {
        let hooks = self.hooks.values().flatten();
        hooks.filter(|hook| hook.stage == Stage::AfterComplete).count()
    }

    /// All push definitions.
    pub fn pushes(&self) -> impl Iterator<Item = &Arc<PushDefinition>> {
        self.pushes.iter()
    }

    /// Who may use a channel.
    pub fn access(&self, channel: &str) -> impl Iterator<Item = &Access> {
        self.access.get(channel).into_iter().flatten()
    }

    /// All or nothing: what was read half-way would deny what it does not name.
    fn read(generation: &Generation) -> Result<Self, ReadError> {
        let mut read = Self::default();
        for channel in each::<Channel>(generation)? {
            read.channels.insert(channel.id.clone(), Arc::new(channel));
        }
        for service in each::<ChannelService>(generation)? {
            let key = (service.channel_id.clone(), service.service);
            if let Some(first) = read.services.get(&key) {
                tracing::warn!(first = %first.id, id = %service.id, "a channel has a service twice");
                continue;
            }
            read.services.insert(key, Arc::new(service));
        }
        let mut hooks = each::<Hook>(generation)?;
        hooks.sort_by(|a, b| (a.sequence, &a.id).cmp(&(b.sequence, &b.id)));
        for hook in hooks {
            read.hooks.entry(hook.channel_id.clone()).or_default().push(Arc::new(hook));
        }
        read.pushes = each::<PushDefinition>(generation)?.into_iter().map(Arc::new).collect();
        for access in each::<Access>(generation)? {
            read.access.entry(access.channel_id.clone()).or_default().push(access);
        }
        Ok(read)
    }
}

fn each<T: Definition>(generation: &Generation) -> Result<Vec<T>, ReadError> {
    let model: ModelName = T::MODEL.parse().expect("a literal that keeps the rule for models");
    let mut found = Vec::new();
    let mut seen = 0;
    let read = generation.each(&model, |record| {
        seen += 1;
        let fields = serde_json::from_slice::<Map<String, Value>>(&record.body);
        match fields.map(|fields| T::from_fields(&fields)) {
            Ok(Ok(definition)) => found.push(definition),
            Ok(Err(fault)) => {
                tracing::warn!(%model, id = %record.id, error = %fault, "a definition is not taken");
            }
            Err(error) => {
                tracing::warn!(%model, id = %record.id, %error, "a definition is not taken");
            }
        }
        seen < DEFINITIONS_MAX
    });
    match read {
        // Head office does not know this kind of definition.
        Ok(()) | Err(ReadError::ModelUnknown { .. }) => Ok(found),
        Err(error @ (ReadError::IndexUnknown { .. } | ReadError::Damaged { .. })) => Err(error),
    }
}

/// Reads the definitions again when the estate has moved; cheap to share.
#[derive(Debug)]
pub struct Book {
    masterdata: Masterdata,
    estate: FeedId,
    read: ArcSwapOption<(Arc<Generation>, Arc<Definitions>)>,
}

impl Book {
    /// The definitions of this estate.
    pub fn new(masterdata: Masterdata) -> Self {
        let estate = ESTATE.parse().expect("a literal that keeps the rule for feeds");
        Self { masterdata, estate, read: ArcSwapOption::empty() }
    }

    /// What is defined now; nothing before the first refresh.
    ///
    /// Where the estate is damaged, what was read before holds until it is repaired.
    pub fn definitions(&self) -> Arc<Definitions> {
        let Some(generation) = self.masterdata.generation(&self.estate) else {
            return Arc::default();
        };
        let before = self.read.load_full();
        if let Some(read) = &before
            && Arc::ptr_eq(&read.0, &generation)
        {
            return Arc::clone(&read.1);
        }
        match Definitions::read(&generation) {
            Ok(definitions) => {
                let definitions = Arc::new(definitions);
                self.read.store(Some(Arc::new((generation, Arc::clone(&definitions)))));
                definitions
            }
            Err(error) => {
                let problem = fault::not_read(&self.masterdata, &error);
                tracing::warn!(%problem, "definitions cannot be read, those before hold");
                before.map(|read| Arc::clone(&read.1)).unwrap_or_default()
            }
        }
    }
}
