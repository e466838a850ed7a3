//! What the box says about itself on the LAN, kept true while it runs.
//!
//! A box that listens on loopback alone has nobody to tell and stays silent.
//! mDNS that cannot be used is a warning: a till also finds the box by its address.

use std::time::Duration;

use storebox_proto::beacon::{Beacon, Label, Progress, Role as BeaconRole};
use storebox_proto::ids::Hash32;
use storebox_proto::skew;
use storebox_proto::sync::election::Candidate;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Role};
use crate::discovery::{
    AnnounceConfig, Announcer, ElectConfig, Elector, Interfaces, Service, Told,
};
use crate::env;
use crate::logging;
use crate::role;
use crate::status::{Panel, Status};
use crate::supervise::{Policy, Supervisor};
use crate::trust::porch::Porch;

/// How often the beacon is compared with the state of the box; mDNS lets it change every six seconds.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The feed whose revision is told.
const CATALOGUE: &str = "catalogue";

/// Starts to announce the box, if anybody can reach it.
pub(super) fn start(
    config: &Config,
    public_key: &[u8],
    panel: Panel,
    listeners: [&[TcpListener]; 2],
    porch: Option<&Porch>,
    told: Told,
    supervisor: &Supervisor,
) {
    let Some(port) =
        reachable_port(listeners.into_iter().flatten()).filter(|_| config.discovery.announce)
    else {
        return;
    };
    let (sender, beacons) = watch::channel(beacon(config));
    let announced = AnnounceConfig {
        label: Label::of_key(&Hash32::of(public_key)),
        port,
        services: Service::ALL.to_vec(),
        interfaces: Interfaces::only(config.discovery.interfaces.clone()),
        alias: true,
    };
    let elected = ElectConfig {
        site: config.discovery.site.clone(),
        own: Candidate { priority: config.discovery.priority, node: config.node.clone() },
        boot: beacons.borrow().boot,
        interfaces: announced.interfaces.clone(),
        probe_path: "/healthz".to_owned(),
        greeting: porch.and_then(role::greeting),
    };
    let (in_charge, namesakes) = (told.in_charge.subscribe(), told.namesake.subscribe());
    elect(config.role, elected, told, supervisor);
    supervisor.spawn("announcer", Policy::Restart, move |stop| {
        let (announced, beacons) = (announced.clone(), beacons.clone());
        let namesakes = namesakes.clone();
        async move {
            match Announcer::start(announced, beacons, namesakes) {
                Ok(announcer) => announcer.run(stop).await,
                Err(error) => {
                    let error = logging::chain(&error);
                    tracing::warn!(error, "the box is not announced on the LAN");
                    return Err("mDNS does not start".into());
                }
            }
            Ok(())
        }
    });
    let porch = porch.cloned();
    supervisor.spawn_owner("beacon", move |stop| keep_true(sender, panel, in_charge, porch, stop));
}

/// Takes part in the election of the store; the main server is in charge of none.
fn elect(role: Role, elected: ElectConfig, told: Told, supervisor: &Supervisor) {
    if role == Role::Main {
        return;
    }
    supervisor.spawn("election", Policy::Restart, move |stop| {
        let (elected, told) = (elected.clone(), told.clone());
        async move {
            let elector = Elector::start(elected).map_err(|_| "mDNS does not start")?;
            elector.run(&told, stop).await;
            Ok(())
        }
    });
}

/// The first port beyond loopback; plain listeners come before those over TLS.
fn reachable_port<'a>(listeners: impl Iterator<Item = &'a TcpListener>) -> Option<u16> {
    let addresses = listeners.filter_map(|listener| listener.local_addr().ok());
    addresses.filter(|address| !address.ip().is_loopback()).map(|address| address.port()).next()
}

fn beacon(config: &Config) -> Beacon {
    let discovery = &config.discovery;
    Beacon {
        site: discovery.site.clone(),
        node: config.node.clone(),
        role: match config.role {
            Role::Main => BeaconRole::Main,
            Role::Store => BeaconRole::Standby,
        },
        priority: discovery.priority,
        progress: None,
        api: skew::API,
        terminal_api: skew::API,
        takes_terminals: false,
        boot: u32::from_le_bytes(env::random()),
        name: Some(discovery.name.clone()).filter(|name| !name.is_empty()),
    }
}

async fn keep_true(
    beacons: watch::Sender<Beacon>,
    panel: Panel,
    in_charge: watch::Receiver<bool>,
    porch: Option<Porch>,
    stop: CancellationToken,
) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let told = progress(&panel.status().await);
        let is_primary = *in_charge.borrow();
        let takes_terminals = porch.as_ref().is_some_and(Porch::takes_newcomers);
        beacons.send_if_modified(|beacon| {
            let role = match beacon.role {
                BeaconRole::Primary | BeaconRole::Standby if is_primary => BeaconRole::Primary,
                BeaconRole::Primary | BeaconRole::Standby => BeaconRole::Standby,
                other @ (BeaconRole::Main | BeaconRole::Peer) => other,
            };
            let news = Beacon { role, progress: told, takes_terminals, ..beacon.clone() };
            let is_news = news != *beacon;
            *beacon = news;
            is_news
        });
    }
}

fn progress(status: &Status) -> Option<Progress> {
    let catalogue = status.feeds.iter().find(|feed| feed.feed == CATALOGUE)?;
    Some(Progress { epoch: catalogue.epoch, revision: catalogue.revision })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_box_on_loopback_alone_is_not_announced() {
        let loopback = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert_eq!(reachable_port([loopback].iter()), None);
        let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = everywhere.local_addr().unwrap().port();
        assert_eq!(reachable_port([everywhere].iter()), Some(port));
    }

    #[test]
    fn the_beacon_of_any_configuration_fits_into_its_record() {
        let mut config = Config::default();
        config.discovery.name = "Main street".to_owned();
        let told = beacon(&config);
        assert_eq!(Beacon::decode(&told.encode()).unwrap(), told);
    }
}
