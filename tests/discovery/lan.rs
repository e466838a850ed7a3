//! A store's LAN out of network namespaces: a switch, and hosts with one cable each.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storebox_tests::{netns, skip};

use crate::proc::{Proc, until};

/// One LAN at a time, so that measured times are those of one.
static TURN: Mutex<()> = Mutex::new(());
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Begins every namespace's name, with the number of the process behind it.
const PREFIX: &str = "sbdisco";

pub(crate) struct Lan {
    name: String,
    hosts: Vec<String>,
    _turn: MutexGuard<'static, ()>,
}

/// A LAN with these hosts, or nothing where there cannot be one.
pub(crate) fn lan(hosts: &[&str]) -> Option<Lan> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    netns::sweep(PREFIX);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{PREFIX}-{}-{number}", std::process::id());
    if let Err(why) = netns::ip(&["netns", "add", &format!("{name}-switch")]) {
        return skip(&format!("no network namespaces here: {why}"));
    }
    let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
    let lan = Lan { name, hosts, _turn: turn };
    lan.build();
    Some(lan)
}

impl Lan {
    fn build(&self) {
        self.ip("switch", "link add br0 type bridge mcast_snooping 0");
        self.ip("switch", "link set br0 up");
        for (at, host) in self.hosts.iter().enumerate() {
            netns::ip(&["netns", "add", &self.netns(host)]).expect("the first one worked");
            // Duplicate detection would keep every new IPv6 address back for a second.
            self.shell(host, "for f in /proc/sys/net/ipv6/conf/*/accept_dad; do echo 0 > $f; done");
            self.ip(host, "link set lo up");
            let netns = self.netns(host);
            self.ip("switch", &format!("link add v-{host} type veth peer name eth0 netns {netns}"));
            self.ip("switch", &format!("link set v-{host} master br0 up"));
            self.ip(host, &format!("addr add {}/24 dev eth0", address(at)));
            self.ip(host, "link set eth0 up");
        }
        for host in &self.hosts {
            until(Duration::from_secs(30), "a LAN that is up", || self.is_up(host));
        }
    }

    fn is_up(&self, host: &str) -> bool {
        let addresses = self.ip(host, "-o addr show dev eth0 up");
        addresses.contains("fe80::") && !addresses.contains("tentative")
    }

    pub(crate) fn netns(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    /// The IPv4 address with which the host began.
    pub(crate) fn address(&self, host: &str) -> String {
        address(self.hosts.iter().position(|known| known == host).expect("a host of this LAN"))
    }

    /// `ip` on that host.
    pub(crate) fn ip(&self, host: &str, arguments: &str) -> String {
        let netns = self.netns(host);
        let mut all = vec!["-n", netns.as_str()];
        all.extend(arguments.split(' '));
        netns::ip(&all).unwrap_or_else(|why| panic!("ip {arguments} on {host}: {why}"))
    }

    fn shell(&self, host: &str, line: &str) {
        let netns = self.netns(host);
        netns::ip(&["netns", "exec", &netns, "sh", "-c", line]).expect("a shell on that host");
    }

    /// A command on that host.
    pub(crate) fn command(&self, host: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.netns(host), program]);
        command
    }

    /// This binary on that host, playing a part.
    pub(crate) fn play(&self, host: &str, part: &str, settings: &serde_json::Value) -> Proc {
        let binary = std::env::current_exe().expect("a running test has a file");
        let mut command = self.command(host, &binary.to_string_lossy());
        // With one thread, as on one processor, the name of the test would stand before what it says first.
        command.args([
            "--exact",
            "a_child_process_plays_its_host",
            "--nocapture",
            "--test-threads=2",
        ]);
        command.env("RUST_BACKTRACE", "0").env(crate::host::PART, part);
        command.env(crate::host::SETTINGS, settings.to_string());
        Proc::start(command)
    }

    /// Pulls the host's cable out of the switch, or puts it back.
    pub(crate) fn cable(&self, host: &str, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        self.ip("switch", &format!("link set v-{host} {state}"));
    }

    /// Makes the switch drop multicast towards and from nobody but this host's port.
    pub(crate) fn deaf(&self, host: &str) {
        self.ip("switch", &format!("link set v-{host} type bridge_slave mcast_flood off"));
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for host in self.hosts.iter().map(String::as_str).chain(["switch"]) {
            let _ = netns::ip(&["netns", "del", &self.netns(host)]);
        }
    }
}

fn address(at: usize) -> String {
    format!("10.77.0.{}", 10 + at)
}
