//! A shop's LAN and the line to head office, out of network namespaces.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use storebox_tests::{netns, skip};

/// One network at a time, so that measured times are those of one.
static TURN: Mutex<()> = Mutex::new(());
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Begins every namespace's name, with the number of the process behind it.
const PREFIX: &str = "sbland";

/// Host, its interface, its switch, its address.
const CABLES: [(&str, &str, &str, &str); 6] = [
    ("hq", "wan0", "wan", "10.88.0.1"),
    ("box1", "wan0", "wan", "10.88.0.11"),
    ("box2", "wan0", "wan", "10.88.0.12"),
    ("box1", "eth0", "lan", "10.77.0.11"),
    ("box2", "eth0", "lan", "10.77.0.12"),
    ("till", "eth0", "lan", "10.77.0.20"),
];

pub(crate) struct Net {
    name: String,
    _turn: MutexGuard<'static, ()>,
}

/// The network, or nothing where there cannot be one.
pub(crate) fn build() -> Option<Net> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    netns::sweep(PREFIX);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let net = Net { name: format!("{PREFIX}-{}-{number}", std::process::id()), _turn: turn };
    if let Err(why) = netns::ip(&["netns", "add", &net.netns("switch")]) {
        return skip(&format!("no network namespaces here: {why}"));
    }
    for switch in ["wan", "lan"] {
        net.ip("switch", &format!("link add {switch} type bridge mcast_snooping 0"));
        net.ip("switch", &format!("link set {switch} up"));
    }
    for host in ["hq", "box1", "box2", "till"] {
        netns::ip(&["netns", "add", &net.netns(host)]).expect("the first one worked");
        net.ip(host, "link set lo up");
    }
    for (host, interface, switch, address) in CABLES {
        let (plug, netns) = (plug(host, interface), net.netns(host));
        let make = format!("link add {plug} type veth peer name {interface} netns {netns}");
        net.ip("switch", &make);
        net.ip("switch", &format!("link set {plug} master {switch} up"));
        net.ip(host, &format!("addr add {address}/24 dev {interface}"));
        net.ip(host, &format!("link set {interface} up"));
    }
    Some(net)
}

fn plug(host: &str, interface: &str) -> String {
    format!("{}-{host}", &interface[..1])
}

impl Net {
    fn netns(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    fn ip(&self, host: &str, arguments: &str) {
        let netns = self.netns(host);
        let mut all = vec!["-n", netns.as_str()];
        all.extend(arguments.split(' '));
        netns::ip(&all).unwrap_or_else(|why| panic!("ip {arguments} on {host}: {why}"));
    }

    /// A program on that host.
    pub(crate) fn command(&self, host: &str, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.netns(host)]).arg(program);
        command
    }

    /// Pulls a host's cable out of the switch, or puts it back.
    pub(crate) fn cable(&self, host: &str, interface: &str, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        self.ip("switch", &format!("link set {} {state}", plug(host, interface)));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in ["hq", "box1", "box2", "till", "switch"] {
            let _ = netns::ip(&["netns", "del", &self.netns(host)]);
        }
    }
}
