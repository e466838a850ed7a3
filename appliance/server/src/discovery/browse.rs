//! Who announces itself on the LAN.
//!
//! What is reported grows: the first sighting of a box often has its IPv6 address only, the next all.
//! A [`Sighting::Gone`] is a rumour (anyone can send a goodbye) and no reason to drop a box.
//! The library's cache has no limit, so it is watched, and thrown away when somebody fills it; a
//! subscription that ends because we fell behind is begun again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mdns_sd::{HostnameResolutionEvent, Receiver, ResolvedService, ScopedIp, ServiceEvent};
use storebox_proto::beacon::Beacon;
use storebox_proto::limits::BOX_ADDRESSES_MAX;

use super::daemon::{Daemon, DaemonError, Interfaces, Service, answer};
use crate::env;

/// Records in the library's cache above which somebody is filling it; a large store has some dozens.
const CACHE_RECORDS_MAX: i64 = 2_000;
/// How often the cache is looked at; at the fastest flood measured it takes some 20 MB in between.
const CACHE_CHECK_EVERY: Duration = Duration::from_secs(10);
/// How long the daemon may take to tell its counters.
const COUNTERS_MAX: Duration = Duration::from_secs(1);
/// How soon a subscription or a daemon that ended is begun again.
const RESUME_AFTER: Duration = Duration::from_millis(500);
/// Boxes that [`discover`] lists.
const FOUND_MAX: usize = 256;

/// What to look for, and where.
#[derive(Debug, Clone)]
pub struct BrowseConfig {
    /// Which services.
    pub services: Vec<Service>,
    /// On which interfaces.
    pub interfaces: Interfaces,
}

/// A box that announces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// For whom.
    pub service: Service,
    /// Under which name.
    pub instance: String,
    /// Its host name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where, as far as known by now; IPv4 first.
    pub addresses: BTreeSet<SocketAddr>,
    /// What it says about itself.
    pub beacon: Beacon,
}

/// What is seen on the LAN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// A box, or more about it.
    Seen(Box<Found>),
    /// Somebody says that this box leaves.
    Gone {
        /// For whom it was there.
        service: Service,
        /// Under which name.
        instance: String,
    },
}

/// Looks for boxes until it is dropped.
pub struct Browser {
    config: BrowseConfig,
    daemon: Daemon,
    subscriptions: Vec<(Service, Receiver<ServiceEvent>)>,
    check_at: Instant,
    floods: u64,
}

enum Event {
    Service(Service, ServiceEvent),
    Ended,
    Check,
}

impl Browser {
    /// Begins to look.
    pub fn start(config: BrowseConfig) -> Result<Self, DaemonError> {
        let daemon = Daemon::open(&config.interfaces)?;
        let subscriptions = subscribe(&daemon, &config)?;
        let check_at = env::instant() + CACHE_CHECK_EVERY;
        Ok(Self { config, daemon, subscriptions, check_at, floods: 0 })
    }

    /// How often the search was begun anew because somebody had filled the cache.
    pub fn floods(&self) -> u64 {
        self.floods
    }

    /// The next sighting; a call that is dropped loses none.
    pub async fn next(&mut self) -> Sighting {
        loop {
            match self.next_event().await {
                Event::Service(service, event) => {
                    if let Some(sighting) = sighting(service, event) {
                        return sighting;
                    }
                }
                Event::Ended => {
                    // We fell behind, or the thread is gone; the check begins anew.
                    self.subscriptions.clear();
                    self.check_at = self.check_at.min(env::instant() + RESUME_AFTER);
                }
                Event::Check => self.check().await,
            }
        }
    }

    /// Asks the LAN again at once: a long-running search asks ever more rarely, up to once an hour.
    pub fn look_again(&mut self) {
        match subscribe(&self.daemon, &self.config) {
            Ok(subscriptions) => self.subscriptions = subscriptions,
            Err(error) => tracing::debug!(%error, "search not begun again"),
        }
    }

    /// Asks the LAN for the addresses of a `.local` name; what is known when the time is over.
    pub fn resolve(
        &self,
        host: &str,
        limit: Duration,
    ) -> impl Future<Output = Vec<IpAddr>> + use<> {
        let host = format!("{}.", host.trim_end_matches('.').to_ascii_lowercase());
        let limit_ms = u64::try_from(limit.as_millis()).ok();
        let answers = self.daemon.resolve_hostname(&host, limit_ms);
        async move {
            let Ok(answers) = answers else { return Vec::new() };
            while let Some(event) = answer(answers.clone(), limit).await {
                if let HostnameResolutionEvent::AddressesFound(_, found) = event {
                    return found.iter().map(ScopedIp::to_ip_addr).collect();
                }
            }
            Vec::new()
        }
    }

    async fn next_event(&self) -> Event {
        let events = self.subscriptions.iter().map(async |(service, events)| {
            let event = events.recv_async().await;
            event.map_or(Event::Ended, |event| Event::Service(*service, event))
        });
        let mut events: FuturesUnordered<_> = events.collect();
        tokio::select! {
            Some(event) = events.next() => event,
            () = tokio::time::sleep_until(self.check_at.into()) => Event::Check,
        }
    }

    /// A daemon that cannot be opened now is opened at the next check.
    fn reopen(&mut self) {
        let opened = Daemon::open(&self.config.interfaces)
            .and_then(|daemon| Ok((subscribe(&daemon, &self.config)?, daemon)));
        match opened {
            Ok((subscriptions, daemon)) => {
                self.subscriptions = subscriptions;
                self.daemon = daemon;
            }
            Err(error) => tracing::warn!(%error, "search for boxes not started"),
        }
    }

    /// Dropped at its await, it is done again at once by the next call of [`Browser::next`].
    async fn check(&mut self) {
        let records = match self.daemon.get_metrics() {
            Ok(counters) => answer(counters, COUNTERS_MAX).await.map(|counters| {
                let cached = counters.iter().filter(|(name, _)| name.starts_with("cached-"));
                cached.map(|(_, count)| count).sum::<i64>()
            }),
            Err(_) => None,
        };
        self.check_at = env::instant() + CACHE_CHECK_EVERY;
        let flooded = records.is_some_and(|records| records > CACHE_RECORDS_MAX);
        if flooded {
            self.floods += 1;
            tracing::warn!(records, "LAN is flooded with announcements, search begun anew");
        }
        let complete = self.subscriptions.len() == self.config.services.len();
        if !flooded && !complete {
            self.look_again();
        }
        if flooded || self.subscriptions.len() < self.config.services.len() {
            self.reopen();
        }
    }
}

/// Boxes that announce themselves within this time, in the order of their names.
pub async fn discover(config: BrowseConfig, time: Duration) -> Result<Vec<Found>, DaemonError> {
    let mut browser = Browser::start(config)?;
    let mut found: BTreeMap<(Service, String), Found> = BTreeMap::new();
    let end = tokio::time::Instant::from_std(env::instant() + time);
    while let Ok(sighting) = tokio::time::timeout_at(end, browser.next()).await {
        let Sighting::Seen(seen) = sighting else { continue };
        let key = (seen.service, seen.instance.clone());
        if found.contains_key(&key) || found.len() < FOUND_MAX {
            found.insert(key, *seen);
        }
    }
    Ok(found.into_values().collect())
}

fn subscribe(
    daemon: &Daemon,
    config: &BrowseConfig,
) -> Result<Vec<(Service, Receiver<ServiceEvent>)>, DaemonError> {
    let browse = |service: &Service| {
        let events = daemon.browse(service.as_str());
        Ok((*service, events.map_err(DaemonError::order("look for boxes"))?))
    };
    config.services.iter().map(browse).collect()
}

fn sighting(service: Service, event: ServiceEvent) -> Option<Sighting> {
    match event {
        ServiceEvent::ServiceResolved(resolved) => found(service, &resolved),
        ServiceEvent::ServiceRemoved(_, name) => {
            let instance = instance_of(service, &name)?;
            Some(Sighting::Gone { service, instance })
        }
        ServiceEvent::SearchStarted(_)
        | ServiceEvent::ServiceFound(..)
        | ServiceEvent::SearchStopped(_)
        | _ => None,
    }
}

fn found(service: Service, resolved: &ResolvedService) -> Option<Sighting> {
    let instance = instance_of(service, &resolved.fullname)?;
    let entries = resolved.txt_properties.iter().map(|entry| (entry.key().as_bytes(), entry.val()));
    let beacon = match Beacon::from_entries(entries) {
        Ok(beacon) => beacon,
        Err(error) => {
            tracing::debug!(instance, %error, "announcement passed over");
            return None;
        }
    };
    let usable = resolved.addresses.iter().filter_map(|ip| endpoint(ip, resolved.port));
    let sorted: BTreeSet<SocketAddr> = usable.collect();
    let addresses: BTreeSet<SocketAddr> = sorted.into_iter().take(BOX_ADDRESSES_MAX).collect();
    let (host, port) = (resolved.host.clone(), resolved.port);
    let seen = Found { service, instance, host, port, addresses, beacon };
    (!seen.addresses.is_empty()).then(|| Sighting::Seen(Box::new(seen)))
}

fn instance_of(service: Service, name: &str) -> Option<String> {
    let suffix = format!(".{}", service.as_str());
    name.strip_suffix(&suffix).map(str::to_owned)
}

/// A link-local address is worth something only with the interface on which it was heard.
fn endpoint(ip: &ScopedIp, port: u16) -> Option<SocketAddr> {
    match ip {
        ScopedIp::V4(v4) => Some(SocketAddr::new((*v4.addr()).into(), port)),
        ScopedIp::V6(v6) => {
            let link_local = v6.addr().is_unicast_link_local();
            let scope = if link_local { v6.scope_id().index } else { 0 };
            let endpoint = SocketAddrV6::new(*v6.addr(), port, 0, scope);
            (!link_local || scope != 0).then_some(endpoint.into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mdns_sd::ServiceInfo;
    use storebox_proto::beacon::Role;

    use super::*;

    fn beacon() -> Beacon {
        Beacon {
            site: "s1".parse().unwrap(),
            node: "box-1".parse().unwrap(),
            role: Role::Primary,
            priority: 1,
            progress: None,
            api: 1,
            terminal_api: 1,
            takes_terminals: false,
            boot: 7,
            name: None,
        }
    }

    fn resolved(service: Service, ips: &str, entries: &[(&str, String)]) -> ResolvedService {
        let info =
            ServiceInfo::new(service.as_str(), "storebox-a", "storebox-a.local.", ips, 81, entries);
        info.unwrap().as_resolved_service()
    }

    #[test]
    fn an_announcement_becomes_a_sighting() {
        let service = resolved(Service::Tills, "10.0.0.2,2001:db8::1", &beacon().entries());
        let Some(Sighting::Seen(seen)) = found(Service::Tills, &service) else { panic!("seen") };
        assert_eq!(seen.instance, "storebox-a");
        assert_eq!(seen.beacon, beacon());
        let addresses: Vec<String> = seen.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.2:81", "[2001:db8::1]:81"]);
    }

    #[test]
    fn what_is_no_beacon_has_no_place_or_is_of_another_service_is_passed_over() {
        let entries = beacon().entries();
        let nonsense = [("txtvers", "9".to_owned())];
        assert_eq!(found(Service::Tills, &resolved(Service::Tills, "10.0.0.2", &nonsense)), None);
        assert_eq!(found(Service::Tills, &resolved(Service::Tills, "fe80::1", &entries)), None);
        assert_eq!(found(Service::Tills, &resolved(Service::Peers, "10.0.0.2", &entries)), None);
    }

    #[test]
    fn a_crowd_of_addresses_is_cut() {
        let ips: Vec<String> = (1..100).map(|at| format!("10.0.0.{at}")).collect();
        let service = resolved(Service::Tills, &ips.join(","), &beacon().entries());
        let Some(Sighting::Seen(seen)) = found(Service::Tills, &service) else { panic!("seen") };
        assert_eq!(seen.addresses.len(), BOX_ADDRESSES_MAX);
    }
}
