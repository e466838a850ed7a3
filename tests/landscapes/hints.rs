//! Boxes as they are configured, on a LAN without announcements: found by what the store's DNS and its DHCP say.
//!
//! The router is Debian's dnsmasq, the DHCP client is busybox's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use storebox_tests::{skip, wait};

use crate::net::{Net, build};
use crate::shop::{Node, PATIENCE};

/// The host that is the router of the store.
const ROUTER: &str = "till";
const ROUTER_AT: &str = "10.77.0.20";
const BOX_AT: &str = "10.77.0.11";

/// A program on a host, which ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The router's name server and DHCP server.
fn router(net: &Net, folder: &Path) -> Option<Running> {
    if Command::new("dnsmasq").arg("--version").output().is_err() {
        return skip("dnsmasq is not installed");
    }
    let instance = "counter._storebox._tcp.shop.lan";
    let mut command = net.command(ROUTER, Path::new("dnsmasq"));
    command
        .args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-ping"])
        .args(["--bind-interfaces", "--pid-file=", "--user=root", "--interface=eth0"])
        .args(["--dhcp-authoritative", "--dhcp-range=10.77.0.100,10.77.0.110,5m"])
        .arg(format!("--dhcp-leasefile={}", folder.join("leases").display()))
        .arg(format!("--dhcp-option-force=224,{BOX_AT}:8080"))
        .arg(format!("--ptr-record=_storebox._tcp.shop.lan,{instance}"))
        .arg(format!("--srv-host={instance},box.shop.lan,8080"))
        .arg(format!("--host-record=box.shop.lan,{BOX_AT}"));
    let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
    Some(Running(child.expect("it is installed")))
}

/// A DHCP client that puts what it is given where the box looks for it.
fn client(net: &Net, folder: &Path, given: &Path) -> Option<Running> {
    let applets = Command::new("busybox").arg("--list").output();
    if !applets.is_ok_and(|list| String::from_utf8_lossy(&list.stdout).contains("udhcpc")) {
        return skip("busybox has no udhcpc here");
    }
    let script = folder.join("given.sh");
    let line =
        format!("#!/bin/sh\n[ -z \"$opt224\" ] || echo \"OPTION_224=$opt224\" > {given:?}\n");
    fs::write(&script, line).expect("a folder of the test");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its own file");
    let mut command = net.command("box2", Path::new("busybox"));
    command.args(["udhcpc", "-f", "-i", "eth0", "-O", "224", "-s"]).arg(&script);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Some(Running(command.spawn().expect("it is installed")))
}

/// A box of the store that announces nothing; `more` says where it looks for others.
async fn start(net: &Net, folder: &Path, host: &str, more: &str) -> anyhow::Result<Node> {
    let secret = folder.join("store.secret");
    fs::write(&secret, "what all boxes of this store share")?;
    let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]).verifying_key();
    let key: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let settings = format!(
        "role = \"store\"\n[http]\nlisten = [\"0.0.0.0:8080\"]\n[main]\npublic_key = \"{key}\"\n\
         [peers]\ndiscover = true\nsecret_file = {secret:?}\n\
         [discovery]\nannounce = false\nport = 8080\n{more}"
    );
    let mut node = Node::lay_out(folder, host, &settings)?;
    node.start(net, host).await?;
    Ok(node)
}

async fn await_neighbour(node: &Node) -> anyhow::Result<()> {
    wait::until("the other box is a source", PATIENCE, || async {
        let status = node.get("/v1/status").await?;
        let sources = status["sources"].as_array().cloned().unwrap_or_default();
        Ok(sources.iter().any(|source| source["id"] == "peer-box1" && source["up"] == true))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_box_finds_another_in_the_dns_of_its_store() -> anyhow::Result<()> {
    let Some(net) = build() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let Some(_router) = router(&net, folder.path()) else { return Ok(()) };
    let _first = start(&net, folder.path(), "box1", "").await?;
    let more = format!("domains = [\"shop.lan\"]\nname_servers = [\"{ROUTER_AT}:53\"]\n");
    let second = start(&net, folder.path(), "box2", &more).await?;
    await_neighbour(&second).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_box_finds_another_by_what_the_stores_dhcp_server_gives() -> anyhow::Result<()>
{
    let Some(net) = build() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let Some(_router) = router(&net, folder.path()) else { return Ok(()) };
    let _first = start(&net, folder.path(), "box1", "").await?;
    let given = folder.path().join("given");
    let second = start(&net, folder.path(), "box2", &format!("dhcp_file = {given:?}\n")).await?;
    // The lease comes when the box has been up for a while, as after a power cut in which the router is slower.
    let Some(_client) = client(&net, folder.path(), &given) else { return Ok(()) };
    await_neighbour(&second).await
}
