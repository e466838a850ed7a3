//! RAUC asked by our steward over a bus with our policy: root may, nobody else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use storebox_image::slot::Slot;
use storebox_image::slot::grubenv::EnvFile;
use storebox_image::steward::engine::{Engine, Progress};

use crate::depot::{skip, system};
use crate::rauc::{Machine, is_root};

/// What a machine's bus allows before any service has said something.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=@dir@/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>@policy@</include>
</busconfig>
"#;
const POLICY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/recipe/tree/usr/share/dbus-1/system.d/de.pengutronix.rauc.conf"
);
const NOBODY: u32 = 65_534;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(machine: &Machine, program: &str, args: &[&str], log: &str) -> Running {
    let log = fs::File::create(machine.path(log)).unwrap();
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.env("DBUS_SYSTEM_BUS_ADDRESS", address(machine));
    Running(command.spawn().unwrap())
}

fn address(machine: &Machine) -> String {
    format!("unix:path={}", machine.path("bus").display())
}

/// Asks as a user of the machine.
fn ask(machine: &Machine, user: u32, words: &[&str]) -> Result<String, String> {
    let address = format!("--address={}", address(machine));
    let mut command = Command::new("busctl");
    let asked = command.arg(address).args(words).uid(user).gid(user).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    if asked.status.success() { Ok(text(asked.stdout)) } else { Err(text(asked.stderr)) }
}

/// Gives a machine its bus and RAUC on it.
fn serve(machine: &Machine) -> [Running; 2] {
    let dir = machine.depot.dir.path();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    let text = BUS.replace("@dir@", &dir.display().to_string()).replace("@policy@", POLICY);
    machine.write("bus.conf", text);
    let config = format!("--config-file={}", machine.path("bus.conf").display());
    let bus = start(machine, "dbus-daemon", &["--nofork", &config], "bus.log");
    await_that("the bus", || machine.path("bus").exists());
    fs::set_permissions(machine.path("bus"), fs::Permissions::from_mode(0o777)).unwrap();
    let config = format!("--conf={}", machine.path("system.conf").display());
    let args = [config.as_str(), "--override-boot-slot=A", "service"];
    let rauc = start(machine, "rauc", &args, "service.log");
    let property = ["get-property", "de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer"];
    await_that("RAUC", || ask(machine, 0, &[&property[..], &["Operation"]].concat()).is_ok());
    [rauc, bus]
}

fn await_that(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} does not come");
}

fn confirm_the_running_slot(machine: &Machine) {
    let file = EnvFile::new(machine.path("grubenv"));
    let mut env = file.load().unwrap();
    let mut state = env.state();
    state.confirm(Slot::A);
    env.set_state(&state);
    file.store(&env).unwrap();
}

fn install(machine: &Machine, bundle: &Path) -> (Result<(), String>, Vec<Progress>) {
    let mut steps = Vec::new();
    let engine = Engine::at(&address(machine));
    let done = engine.install(bundle, &mut |step| steps.push(step.clone()));
    (done.map_err(|error| error.to_string()), steps)
}

#[test]
fn the_steward_installs_over_the_bus_and_no_other_user_may_ask_for_anything() {
    let needed = [
        ("rauc", "--version"),
        ("dbus-daemon", "--version"),
        ("busctl", "--version"),
        ("mksquashfs", "-version"),
        ("openssl", "version"),
    ];
    if !needed.iter().all(|(program, arg)| system(program, &[arg]).is_some()) || !is_root() {
        skip("needs root and the packages rauc, dbus, systemd, squashfs-tools and openssl");
        return;
    }
    let machine = Machine::new();
    machine.bundles();
    confirm_the_running_slot(&machine);
    let _running = serve(&machine);

    let engine = ["de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer"];
    let update = machine.path("update.raucb").display().to_string();
    let [name, path, interface] = engine;
    for words in [
        &["call", name, path, interface, "InstallBundle", "sa{sv}", &update, "0"][..],
        &["call", name, path, interface, "Mark", "ss", "active", "other"],
        &["get-property", name, path, interface, "Operation"],
        &[
            "call",
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "RequestName",
            "su",
            name,
            "4",
        ],
    ] {
        let refused = ask(&machine, NOBODY, words).unwrap_err();
        let is_refusal = refused.contains("denied") || refused.contains("not allowed");
        assert!(is_refusal, "{words:?}: {refused}");
    }
    assert!(fs::read(machine.path("rootfs-b")).unwrap().iter().all(|&byte| byte == 0));

    let (refused, _) = install(&machine, &machine.path("bad-signer.raucb"));
    let why = refused.unwrap_err();
    assert!(why.contains("ignature"), "{why}");
    assert!(fs::read(machine.path("rootfs-b")).unwrap().iter().all(|&byte| byte == 0));

    let (done, steps) = install(&machine, &machine.path("update.raucb"));
    done.unwrap();
    assert_eq!(steps.last().map(|step| step.percent), Some(100), "{steps:?}");
    assert!(fs::read(machine.path("rootfs-b")).unwrap().starts_with(&[0x52; 16_384]));
    let shown = machine.depot.run("slots --env {grubenv} show").ok();
    assert!(shown.starts_with("next start: slot B"), "{shown}");
}
