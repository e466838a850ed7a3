//! Boxes that are named in the site's own DNS: DNS-SD over unicast, for networks that carry no multicast.
//!
//! `_storebox._tcp.<domain>` points at instances (PTR), an instance at host and port (SRV), a host at addresses.
//! A server that answers nonsense, nothing, or for ever costs one look and no more.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, TYPE};
use storebox_proto::limits::{BOX_ADDRESSES_MAX, POINTER_PLACES_MAX};
use tokio::net::UdpSocket;

use crate::env;

/// Where the system says whom to ask.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The service as it is called in the domain.
const SERVICE: &str = "_storebox._tcp";
const DNS_PORT: u16 = 53;
/// Servers that are asked, one after the other.
const SERVERS_MAX: usize = 3;
/// One answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// A datagram; we ask for no more.
const DATAGRAM_BYTES: usize = 1232;

/// Whom to ask, and about which domains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resolver {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) domains: Vec<String>,
}

impl Resolver {
    /// What the system says; these domains are asked about before those that it searches.
    pub(super) async fn of_system(domains: &[String]) -> Self {
        let text = tokio::fs::read_to_string(Path::new(RESOLV_CONF)).await.unwrap_or_default();
        let mut resolver = Self::of_text(&text);
        resolver.domains = domains.iter().cloned().chain(resolver.domains).collect();
        resolver.domains.truncate(POINTER_PLACES_MAX);
        resolver
    }

    fn of_text(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    resolver.servers.extend(server.map(|ip| SocketAddr::new(ip, DNS_PORT)));
                }
                Some("search" | "domain") => resolver.domains.extend(words.map(str::to_owned)),
                Some(_) | None => {}
            }
        }
        resolver.servers.truncate(SERVERS_MAX);
        resolver
    }

    /// The addresses of all boxes in the domains.
    pub(super) async fn boxes(&self) -> Vec<SocketAddr> {
        let mut found = BTreeSet::new();
        for domain in &self.domains {
            let name = format!("{SERVICE}.{}", domain.trim_end_matches('.'));
            for server in &self.servers {
                if let Some(boxes) = ask_for_boxes(*server, &name).await {
                    found.extend(boxes);
                    break;
                }
            }
        }
        found.into_iter().take(BOX_ADDRESSES_MAX).collect()
    }
}

/// The boxes behind a name; nothing if the server does not answer.
async fn ask_for_boxes(server: SocketAddr, name: &str) -> Option<Vec<SocketAddr>> {
    let pointed = ask(server, name, TYPE::PTR).await?;
    let instances = pointed.into_iter().filter_map(|answer| match answer {
        Answer::Instance(instance) => Some(instance),
        Answer::Host(..) | Answer::Address(_) => None,
    });
    let mut found = Vec::new();
    for instance in instances.take(POINTER_PLACES_MAX) {
        for answer in ask(server, &instance, TYPE::SRV).await.unwrap_or_default() {
            let Answer::Host(host, port) = answer else { continue };
            for kind in [TYPE::A, TYPE::AAAA] {
                let addresses = ask(server, &host, kind).await.unwrap_or_default();
                found.extend(addresses.into_iter().filter_map(|answer| match answer {
                    Answer::Address(ip) => Some(SocketAddr::new(ip, port)),
                    Answer::Instance(_) | Answer::Host(..) => None,
                }));
            }
        }
    }
    Some(found)
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Instance(String),
    Host(String, u16),
    Address(IpAddr),
}

async fn ask(server: SocketAddr, name: &str, kind: TYPE) -> Option<Vec<Answer>> {
    let id = u16::from_le_bytes(env::random());
    let query = query(id, name, kind)?;
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let answered = async {
        // Connected, so that nobody else's datagrams arrive here.
        let socket = UdpSocket::bind(any).await.ok()?;
        socket.connect(server).await.ok()?;
        socket.send(&query).await.ok()?;
        let mut datagram = [0; DATAGRAM_BYTES];
        loop {
            let length = socket.recv(&mut datagram).await.ok()?;
            if let Some(answers) = understand(&datagram[..length], id, kind) {
                return Some(answers);
            }
        }
    };
    tokio::time::timeout(ANSWER_MAX, answered).await.ok()?
}

fn query(id: u16, name: &str, kind: TYPE) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).ok()?;
    packet.questions.push(Question::new(name, QTYPE::TYPE(kind), CLASS::IN.into(), false));
    packet.build_bytes_vec().ok()
}

/// The answers of a message that belongs to this question.
fn understand(datagram: &[u8], id: u16, kind: TYPE) -> Option<Vec<Answer>> {
    let packet = Packet::parse(datagram).ok()?;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let answers = packet.answers.iter().filter_map(|record| match (&record.rdata, kind) {
        (RData::PTR(instance), TYPE::PTR) => Some(Answer::Instance(instance.0.to_string())),
        (RData::SRV(host), TYPE::SRV) => Some(Answer::Host(host.target.to_string(), host.port)),
        (RData::A(address), TYPE::A) => {
            Some(Answer::Address(Ipv4Addr::from_bits(address.address).into()))
        }
        (RData::AAAA(address), TYPE::AAAA) => {
            Some(Answer::Address(Ipv6Addr::from_bits(address.address).into()))
        }
        _ => None,
    });
    Some(answers.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_system_says_whom_to_ask_about_what() {
        let text = "# made by hand\nnameserver 10.0.0.1\nnameserver nonsense\nnameserver ::1\nsearch shop.lan chain.example\n";
        let resolver = Resolver::of_text(text);
        assert_eq!(resolver.servers, ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(resolver.domains, ["shop.lan", "chain.example"]);
    }

    #[test]
    fn a_question_is_no_answer() {
        let question = query(7, "_storebox._tcp.shop.lan", TYPE::PTR).unwrap();
        assert_eq!(understand(&question, 7, TYPE::PTR), None);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>, id: u16) {
            let _ = understand(&bytes, id, TYPE::PTR);
            let _ = understand(&bytes, id, TYPE::A);
        }
    }
}
