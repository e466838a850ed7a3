//! A box that is found by its store's DNS, by the name that every till knows, and by asking everywhere.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use storebox_tests::skip;

use crate::lan::{Lan, lan};
use crate::proc::{Proc, tell};

const SOON: Duration = Duration::from_secs(30);
const LATER: Duration = Duration::from_secs(60);

/// A name server of Debian's on a host of the LAN.
struct NameServer(Child);

impl NameServer {
    fn start(lan: &Lan, host: &str, target: &str) -> Option<Self> {
        if Command::new("dnsmasq").arg("--version").output().is_err() {
            return skip("dnsmasq is not installed");
        }
        let instance = "counter._storebox._tcp.shop.lan";
        let mut command = lan.command(host, "dnsmasq");
        command
            .args([
                "--no-daemon",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--bind-interfaces",
            ])
            .args(["--pid-file=", "--user=root"])
            .arg(format!("--listen-address={}", lan.address(host)))
            .arg(format!("--ptr-record=_storebox._tcp.shop.lan,{instance}"))
            .arg(format!("--srv-host={instance},box.shop.lan,8443"))
            .arg(format!("--host-record=box.shop.lan,{target}"));
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        Some(Self(child.expect("it is installed")))
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn without_multicast_a_box_is_found_in_the_dns_of_its_store() {
    let Some(lan) = lan(&["box1", "till", "router"]) else { return };
    let Some(_server) = NameServer::start(&lan, "router", &lan.address("box1")) else { return };
    let mut first = lan.play("box1", "box", &json!({ "label": "storebox-000001" }));
    first.wait(SOON, |line| line == "@announcing");
    lan.deaf("till");
    lan.deaf("box1");
    let settings = json!({
        "domain": "shop.lan",
        "name_server": format!("{}:53", lan.address("router")),
    });
    let mut till = lan.play("till", "till", &settings);
    let (started, _) = till.wait(SOON, |line| line == "@seeking");
    let chosen = format!("@chosen {}:8443", lan.address("box1"));
    let (found, _) = till.wait(LATER, |line| line == chosen);
    let time = found.saturating_duration_since(started);
    tell(&format!("found by unicast DNS-SD: {} ms", time.as_millis()));
}

fn electing(lan: &Lan, host: &str, priority: u16) -> Proc {
    let number = host.trim_start_matches("box");
    let settings = json!({
        "label": format!("storebox-00000{number}"), "node": format!("box-{number}"),
        "priority": priority, "elects": true,
    });
    let mut one = lan.play(host, "box", &settings);
    one.wait(SOON, |line| line == "@announcing");
    one
}

#[test]
fn one_box_of_a_store_answers_to_the_name_that_every_till_knows_and_another_one_after_it() {
    let Some(lan) = lan(&["box1", "box2", "till"]) else { return };
    let mut first = electing(&lan, "box1", 5);
    let mut second = electing(&lan, "box2", 9);
    first.wait(LATER, |line| line == "@in charge");
    let by_name = json!({ "services": [], "fixed": "storebox.local" });
    let mut till = lan.play("till", "till", &by_name);
    let chosen = |host: &str| format!("@chosen {}:8443", lan.address(host));
    let wanted = chosen("box1");
    till.wait(LATER, |line| line == wanted);
    assert_eq!(second.seen().filter(|line| *line == "@in charge").count(), 0);
    let before = crate::proc::now();
    first.plug_out();
    let (after, _) = second.wait(LATER, |line| line == "@in charge");
    tell(&format!(
        "another box in charge after {} ms",
        after.saturating_duration_since(before).as_millis()
    ));
    let mut till = lan.play("till", "till", &by_name);
    let wanted = chosen("box2");
    till.wait(LATER, |line| line == wanted);
}

#[test]
fn a_sweep_finds_the_boxes_of_a_network_that_carries_no_multicast() {
    let Some(lan) = lan(&["box1", "box2", "till"]) else { return };
    let boxes = [("box1", "box-1"), ("box2", "box-2")].map(|(host, node)| {
        let settings = json!({ "label": format!("storebox-00000{}", &node[4..]), "node": node });
        let mut one = lan.play(host, "box", &settings);
        one.wait(SOON, |line| line == "@announcing");
        lan.deaf(host);
        one
    });
    let mut command = lan.command("till", env!("CARGO_BIN_EXE_storebox-under-test"));
    command.args(["discover", "--sweep", "10.77.0.0/24", "--port", "8443", "--json"]);
    let before = crate::proc::now();
    let output = command.output().expect("the program starts");
    let time = crate::proc::now().saturating_duration_since(before);
    let text = String::from_utf8_lossy(&output.stdout);
    tell(&format!("254 addresses asked in {} ms", time.as_millis()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).expect("a list");
    let found: Vec<_> = rows.iter().map(|row| row["node"].as_str().unwrap_or_default()).collect();
    assert_eq!(found, ["box-1", "box-2"], "{text}");
    drop(boxes);
}
