//! Together with other implementations: avahi's and python-zeroconf's tools see us, and we see them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::json;
use storebox_tests::netns::run;
use storebox_tests::skip;

use crate::lan::{Lan, lan};
use crate::proc::{Proc, tell};

const SOON: Duration = Duration::from_secs(30);
const TXT: [&str; 9] = [
    "txtvers=1",
    "site=s1",
    "node=box-9",
    "role=standby",
    "prio=20",
    "api=1",
    "term=1",
    "pair=0",
    "boot=0000002a",
];

/// The directory of python-zeroconf, once everything is installed; or nothing, where it cannot be.
fn tools() -> Option<&'static Path> {
    static DONE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("zeroconf");
        let setup = concat!(env!("CARGO_MANIFEST_DIR"), "/discovery/setup");
        run(setup, &[&dir.to_string_lossy()]).map(|_| dir)
    });
    match done {
        Ok(dir) => Some(dir),
        Err(why) => skip(&format!("avahi or python-zeroconf cannot be installed: {why}")),
    }
}

fn tool(name: &str) -> String {
    format!("{}/discovery/tools/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// avahi-daemon on a host, with everything of its own.
struct Avahi(Proc);

impl Avahi {
    fn start(lan: &Lan, host: &str) -> Self {
        let mut command = lan.command(host, "unshare");
        command.args(["-m", "-p", "--fork", "--kill-child", "--propagation", "private", "sh"]);
        command.args([tool("avahi.sh"), host.to_owned()]);
        let mut daemon = Proc::start(command);
        daemon.wait(SOON, |line| line.contains("Server startup complete"));
        Self(daemon)
    }

    /// One of avahi's programs beside the daemon.
    fn run(&self, arguments: &[&str]) -> Proc {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.0.id().to_string(), "-m", "-n"]).args(arguments);
        Proc::start(command)
    }

    fn browse(&self) -> Proc {
        self.run(&["avahi-browse", "-rp", "_storebox._tcp"])
    }
}

fn python(lan: &Lan, host: &str, dir: &Path, script: &str, arguments: &[&str]) -> Proc {
    let mut command = lan.command(host, &dir.join("bin/python").to_string_lossy());
    command.arg(tool(script)).args(arguments);
    Proc::start(command)
}

fn resolved_by_avahi(lan: &Lan, host: &str) -> impl Fn(&str) -> bool + use<> {
    let place = format!(";storebox-a1b2c3.local;{};8443;", lan.address(host));
    move |line: &str| {
        let entry = line.starts_with("=;eth0;IPv4;storebox-a1b2c3;_storebox._tcp;local;");
        entry
            && line.contains(&place)
            && line.contains("\"node=box-1\"")
            && line.contains("\"pair=1\"")
    }
}

#[test]
fn avahi_resolves_us_and_hears_our_goodbye() {
    let (Some(_), Some(lan)) = (tools(), lan(&["box1", "avahi"])) else { return };
    let avahi = Avahi::start(&lan, "avahi");
    let mut browse = avahi.browse();
    let mut announcing = lan.play("box1", "box", &json!({}));
    let (from, _) = announcing.wait(SOON, |line| line == "@announcing");
    let (at, _) = browse.wait(SOON, resolved_by_avahi(&lan, "box1"));
    tell(&format!("resolved by avahi: {} ms", at.saturating_duration_since(from).as_millis()));
    let mut resolve = avahi.run(&["avahi-resolve", "-4n", "storebox-a1b2c3.local"]);
    resolve.wait(SOON, |line| line.ends_with(&lan.address("box1")));
    announcing.order("goodbye");
    browse.wait(SOON, |line| line.starts_with("-;eth0;IPv4;storebox-a1b2c3;"));
}

#[test]
fn what_avahi_publishes_is_found_and_its_goodbye_heard() {
    let (Some(_), Some(lan)) = (tools(), lan(&["avahi", "till"])) else { return };
    let avahi = Avahi::start(&lan, "avahi");
    let mut browser = lan.play("till", "browser", &json!({}));
    let publish = ["avahi-publish", "-s", "storebox-pub", "_storebox._tcp", "8443"];
    let published = avahi.run(&[&publish[..], &TXT[..]].concat());
    let found = format!("@seen storebox-pub|avahi.local.|{}:8443", lan.address("avahi"));
    browser.wait(SOON, |line| line.starts_with(&found) && line.contains("|box-9|"));
    drop(published);
    browser.wait(SOON, |line| line == "@gone storebox-pub");
}

#[test]
fn a_box_and_avahi_on_one_host_do_not_disturb_each_other() {
    let (Some(_), Some(lan)) = (tools(), lan(&["both", "till"])) else { return };
    let avahi = Avahi::start(&lan, "both");
    let mut announcing = lan.play("both", "box", &json!({}));
    announcing.wait(SOON, |line| line == "@announcing");
    avahi.browse().wait(SOON, resolved_by_avahi(&lan, "both"));
    let mut browser = lan.play("till", "browser", &json!({}));
    let address = format!("{}:8443", lan.address("both"));
    browser
        .wait(SOON, |line| line.starts_with("@seen storebox-a1b2c3|") && line.contains(&address));
}

#[test]
fn python_zeroconf_resolves_us_and_hears_our_goodbye() {
    let (Some(dir), Some(lan)) = (tools(), lan(&["box1", "till"])) else { return };
    let mut browse = python(&lan, "till", dir, "zeroconf_browse.py", &["_storebox._tcp.local."]);
    browse.wait(SOON, |line| line == "browsing");
    let mut announcing = lan.play("box1", "box", &json!({}));
    let (from, _) = announcing.wait(SOON, |line| line == "@announcing");
    let (at, line) = browse.wait(SOON, |line| line.starts_with("added storebox-a1b2c3."));
    tell(&format!("resolved by python-zeroconf: {} ms", (at - from).as_millis()));
    for part in [&format!("'{}'", lan.address("box1")), "8443", "'node': 'box-1'", "'name': 'Río'"]
    {
        assert!(line.contains(part), "{part} in {line}");
    }
    announcing.order("goodbye");
    browse.wait(SOON, |line| line.starts_with("removed storebox-a1b2c3."));
}

#[test]
fn what_python_zeroconf_publishes_is_found_and_its_goodbye_heard() {
    let (Some(dir), Some(lan)) = (tools(), lan(&["box1", "till"])) else { return };
    let mut browser = lan.play("till", "browser", &json!({}));
    let address = lan.address("box1");
    let place = ["storebox-py", "_storebox._tcp.local.", &address, "8443"];
    let arguments = [&place[..], &TXT[..]].concat();
    let mut published = python(&lan, "box1", dir, "zeroconf_publish.py", &arguments);
    let found = format!("@seen storebox-py|storebox-py.local.|{address}:8443|box-9|");
    browser.wait(SOON, |line| line.starts_with(&found));
    published.order("goodbye");
    browser.wait(SOON, |line| line == "@gone storebox-py");
}
