//! Asking every address of a network, when a person says so; nothing sweeps by itself.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use storebox_proto::beacon::Sweep;
use storebox_proto::ids::NodeId;
use storebox_proto::sync::book::Outcome;

use super::probe::probe;
use super::tongue::{Greeting, Tongues};

/// Addresses that are asked at once: fewer than a cheap router's table of connections.
const AT_ONCE: usize = 32;
/// A box on the same LAN answers far sooner.
const ANSWER_MAX: Duration = Duration::from_millis(800);
/// What a box answers without knowing who asks.
const PATH: &str = "/healthz";

/// The boxes that answer at this port, ascending by address; a network of 1022 addresses takes half a minute.
///
/// With a greeting, those that speak TLS alone as well.
pub async fn sweep(
    network: Sweep,
    port: u16,
    greeting: Option<Greeting>,
) -> Vec<(SocketAddr, Option<NodeId>)> {
    let tongues = &Tongues::new(greeting);
    let asked = network.addresses().map(|address| async move {
        let endpoint = SocketAddr::new(address.into(), port);
        match probe(endpoint, PATH.to_owned(), None, tongues, ANSWER_MAX).await.0 {
            Outcome::Answered(node) => Some((endpoint, node)),
            Outcome::Failed | Outcome::Stranger => None,
        }
    });
    let mut found: Vec<_> =
        stream::iter(asked).buffer_unordered(AT_ONCE).filter_map(async |one| one).collect().await;
    found.sort();
    found
}
