//! The key of the vault bound to a TPM, with a TPM made of software and systemd's own tool.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use storebox_tests::wait;

use crate::box_of::{executable, skipped};

const KEY: &str = "6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b";
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A TPM whose secrets are in a folder; the tool wants its two ports side by side.
struct Tpm {
    _swtpm: Running,
    port: u16,
}

impl Tpm {
    fn start(state: &Path) -> Self {
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        let any = || {
            TcpListener::bind("127.0.0.1:0")
                .and_then(|any| any.local_addr())
                .expect("loopback has free ports")
                .port()
        };
        let port = std::iter::repeat_with(any)
            .find(|port| *port < 65_535 && free(port + 1))
            .expect("this machine lets a test do this");
        std::fs::create_dir_all(state).expect("this machine lets a test do this");
        let channel = |port: u16| format!("type=tcp,port={port},bindaddr=127.0.0.1");
        let mut swtpm = Command::new("swtpm");
        swtpm.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"]);
        swtpm.arg("--tpmstate").arg(format!("dir={}", state.display()));
        swtpm.args(["--server", &channel(port), "--ctrl", &channel(port + 1)]);
        let swtpm =
            Running(swtpm.stderr(Stdio::null()).spawn().expect("this machine lets a test do this"));
        let up = wait::held_within(PATIENCE, || !free(port) && !free(port + 1));
        assert!(up, "the software TPM does not come up");
        Self { _swtpm: swtpm, port }
    }

    fn creds(&self, what: &[&str], from: &Path, to: &Path) -> Output {
        let device = format!("--tpm2-device=swtpm:host=127.0.0.1,port={}", self.port);
        let mut creds = Command::new("systemd-creds");
        creds.args(what).arg(device).arg("--name=vault.key").arg(from).arg(to);
        creds.output().expect("this machine lets a test do this")
    }
}

/// A box that gets its credentials as systemd would give them.
fn start(folder: &Path, credentials: Option<&Path>, log: &Path) -> Running {
    let mut program = Command::new(executable());
    std::fs::write(folder.join("storebox.toml"), "").expect("this machine lets a test do this");
    program.arg("run").arg("--config").arg(folder.join("storebox.toml"));
    program.env("STOREBOX_DATA_DIR", folder.join("data"));
    program.env("STOREBOX_HTTP__LISTEN", "127.0.0.1:0");
    program.env_remove("CREDENTIALS_DIRECTORY");
    if let Some(credentials) = credentials {
        program.env("CREDENTIALS_DIRECTORY", credentials);
    }
    program.stderr(File::create(log).expect("this machine lets a test do this"));
    let running = Running(program.spawn().expect("this machine lets a test do this"));
    let serves = wait::held_within(PATIENCE, || {
        std::fs::read_to_string(log).is_ok_and(|log| log.contains("serving"))
    });
    assert!(serves, "{}", std::fs::read_to_string(log).expect("this machine lets a test do this"));
    running
}

fn command(folder: &Path, words: &[&str]) -> Output {
    let mut program = Command::new(executable());
    program.args(words).arg("--config").arg(folder.join("storebox.toml"));
    program
        .env("STOREBOX_DATA_DIR", folder.join("data"))
        .output()
        .expect("this machine lets a test do this")
}

fn is_here() -> bool {
    let runs = |program: &str| {
        let asked = Command::new(program).arg("--version").output();
        asked.is_ok_and(|output| output.status.success())
    };
    let library = |name: &str| {
        let found = Command::new("find").args(["/usr/lib", "-name", name]).output();
        found.is_ok_and(|output| !output.stdout.is_empty())
    };
    runs("swtpm")
        && runs("systemd-creds")
        && library("libtss2-tcti-swtpm.so.0")
        && library("libtss2-esys.so.0")
}

#[test]
fn a_vault_opens_with_the_tpm_of_its_box_and_with_no_other() {
    if !is_here() {
        return skipped(
            "swtpm, systemd-creds or their libraries are missing; tests/setup installs them",
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let at = |name: &str| -> PathBuf { folder.join(name) };
    std::fs::write(at("plain"), KEY).unwrap();
    std::fs::create_dir(at("credentials")).unwrap();
    let mine = Tpm::start(&at("tpm-1"));
    let sealed = mine.creds(&["encrypt", "--with-key=tpm2"], &at("plain"), &at("sealed"));
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
    std::fs::remove_file(at("plain")).unwrap();
    let bytes = std::fs::read(at("sealed")).unwrap();
    assert!(!bytes.windows(16).any(|window| window == &KEY.as_bytes()[..16]));

    let opened = mine.creds(&["decrypt"], &at("sealed"), &at("credentials/vault.key"));
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    let log = at("log-1");
    let running = start(folder, Some(&at("credentials")), &log);
    assert!(std::fs::read_to_string(&log).unwrap().contains("guard=\"credential\" locked=false"));
    let made = command(folder, &["seal", "new", "--site", "store-7", "--scope", "tills"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    drop(running);

    // The disk in another machine: its TPM refuses, and without the key the vault stays shut.
    let thief = Tpm::start(&at("tpm-2"));
    let refused = thief.creds(&["decrypt"], &at("sealed"), &at("stolen"));
    assert!(!refused.status.success());
    let log = at("log-2");
    let running = start(folder, None, &log);
    assert!(std::fs::read_to_string(&log).unwrap().contains("locked=true"));
    let listed = command(folder, &["seal", "list"]);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("store-7"));
    let status = command(folder, &["status", "--json"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("vault_locked"));
    drop(running);

    // Back home everything is there.
    let running = start(folder, Some(&at("credentials")), &at("log-3"));
    let listed = command(folder, &["seal", "list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("store-7"));
    drop(running);
}
