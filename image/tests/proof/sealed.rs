//! The key of a data partition bound to TPMs made of software, by the words that a box tells systemd.
//!
//! That a box starts from such a partition is tried on a machine (`image/trial sealed`): it takes a kernel that opens it.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use storebox_image::build::tools::{Tools, Work};
use storebox_image::steward::disk::{add_words, bind_words, try_words, unbind_words};

use crate::depot::{skip, system};
use crate::loops::{Loop, has_loops};
use crate::units;

/// Until a TPM answers.
const LOOKS_MAX: u32 = 600;

/// A TPM made of software, whose secrets are in a folder; it wants two ports side by side.
struct Tpm {
    child: Child,
    name: String,
}

impl Tpm {
    fn start(state: &Path) -> Self {
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        let any = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let is_fit = |port: &u16| *port < 65_535 && free(port + 1);
        let port = std::iter::repeat_with(any).find(is_fit).unwrap();
        fs::create_dir(state).unwrap();
        let channel = |port: u16| format!("type=tcp,port={port},bindaddr=127.0.0.1");
        let mut command = Command::new("swtpm");
        command.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"]);
        command.arg("--tpmstate").arg(format!("dir={}", state.display()));
        command.args(["--server", &channel(port), "--ctrl", &channel(port + 1)]);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let is_up = || !free(port) && !free(port + 1);
        assert!((0..LOOKS_MAX).any(|_| is_up() || pause()), "the software TPM does not come up");
        Self { child, name: format!("swtpm:host=127.0.0.1,port={port}") }
    }
}

fn pause() -> bool {
    thread::sleep(Duration::from_millis(50));
    false
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A partition of a box that opens with a key, and the programs that bind it.
struct Bench {
    tools: Tools,
    work: Work,
    device: Loop,
}

impl Bench {
    fn open() -> Option<Self> {
        let (tools, work) = units::tools()?;
        if !has_loops() || system("swtpm", &["--version"]).is_none() {
            skip("swtpm or loop devices are not there; tests/setup installs swtpm");
            return None;
        }
        fs::write(work.path("key"), "5a".repeat(32)).unwrap();
        let raw = work.path("data.raw");
        fs::File::create(&raw).unwrap().set_len(64 << 20).unwrap();
        let device = Loop::of(&raw, &[]);
        let bench = Self { tools, work, device };
        // The key is 32 random bytes: nothing is gained by stretching it.
        let fast = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
        let mut format = bench.tools.command("cryptsetup");
        format.args(["luksFormat", "-q", "--type", "luks2", "--key-file", &bench.key()]).args(fast);
        assert_done(&format.arg(&bench.device.0).output().unwrap());
        Some(bench)
    }

    fn key(&self) -> String {
        self.tools.inside(&self.work.path("key")).display().to_string()
    }

    fn enrol(&self, words: &[String]) -> Output {
        self.tools.command("systemd-cryptenroll").args(words).output().unwrap()
    }

    fn device(&self) -> String {
        self.device.0.display().to_string()
    }

    /// Puts the key of a file that came later there, opening the partition by this machine.
    fn add(&self, key: &str, tpm: &Tpm) -> Output {
        let words = add_words(&self.device(), &format!("--unlock-tpm2-device={}", tpm.name));
        let mut enrol = self.tools.command("systemd-cryptenroll");
        enrol.args(words).env("NEWPASSWORD", key).output().unwrap()
    }

    fn opens_with_key(&self, key: &str) -> bool {
        fs::write(self.work.path("tried"), key).unwrap();
        let tried = self.tools.inside(&self.work.path("tried")).display().to_string();
        let mut open = self.tools.command("cryptsetup");
        open.args(["open", "--test-passphrase", "--key-file", &tried, &self.device()]);
        open.output().unwrap().status.success()
    }

    fn bind(&self, tpm: &Tpm) {
        for words in bind_words(&self.device(), &self.key(), &tpm.name) {
            assert_done(&self.enrol(&words));
        }
    }

    /// Whether this TPM opens the partition: only then systemd adds another key, which is taken away again.
    fn opens_with(&self, tpm: &Tpm) -> bool {
        let device = self.device();
        let unlock = format!("--unlock-tpm2-device={}", tpm.name);
        let words = [unlock, "--recovery-key".to_owned(), device.clone()];
        let opened = self.enrol(&words).status.success();
        assert_done(&self.enrol(&["--wipe-slot=recovery".to_owned(), device]));
        opened
    }
}

fn assert_done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_partition_opens_with_the_tpm_it_was_bound_to_last_and_with_no_other() {
    let Some(bench) = Bench::open() else { return };
    let mine = Tpm::start(&bench.work.path("mine"));
    let theirs = Tpm::start(&bench.work.path("theirs"));
    assert!(!bench.opens_with(&mine), "the key alone opens it yet");
    bench.bind(&mine);
    assert!(bench.opens_with(&mine));
    assert!(!bench.opens_with(&theirs));
    // The disk moves to another board, by the key of the shop's file.
    bench.bind(&theirs);
    assert!(bench.opens_with(&theirs));
    assert!(!bench.opens_with(&mine), "the board before has lost it");
}

#[test]
fn a_tpm_that_refuses_leaves_the_partition_to_the_one_before() {
    let Some(bench) = Bench::open() else { return };
    let mine = Tpm::start(&bench.work.path("mine"));
    bench.bind(&mine);
    let tried = |tpm: &str| bench.tools.command("systemd-creds").args(try_words(tpm)).output();
    assert_done(&tried(&mine.name).unwrap());
    let dead = Tpm::start(&bench.work.path("dead")).name.clone();
    assert!(!tried(&dead).unwrap().status.success(), "it answers no more, and nothing is wiped");
    assert!(bench.opens_with(&mine));
}

#[test]
fn a_key_that_comes_after_the_disk_was_sealed_opens_it_in_place_of_the_one_before() {
    let Some(bench) = Bench::open() else { return };
    let (mine, theirs) =
        (Tpm::start(&bench.work.path("mine")), Tpm::start(&bench.work.path("theirs")));
    bench.bind(&mine);
    // A first start without the shop's file: the TPM alone opens the disk.
    assert_done(&bench.enrol(&["--wipe-slot=password".to_owned(), bench.device()]));
    let (first, second) = ("5b".repeat(32), "5c".repeat(32));
    assert!(!bench.opens_with_key(&first));
    assert!(!bench.add(&first, &theirs).status.success(), "another machine adds none");
    assert!(!bench.opens_with_key(&first));
    assert_done(&bench.add(&first, &mine));
    assert!(bench.opens_with_key(&first), "head office's key opens it when the machine is broken");
    assert_done(&bench.add(&second, &mine));
    assert!(bench.opens_with_key(&second));
    assert!(!bench.opens_with_key(&first), "one key of head office at a time");
    assert!(bench.opens_with(&mine), "and the machine as before");
}

#[test]
fn a_disk_that_moved_to_a_machine_without_a_tpm_opens_with_the_one_before_no_longer() {
    let Some(bench) = Bench::open() else { return };
    let before = Tpm::start(&bench.work.path("before"));
    bench.bind(&before);
    assert_done(&bench.enrol(&unbind_words(&bench.device())));
    assert!(!bench.opens_with(&before));
    assert!(bench.opens_with_key(&"5a".repeat(32)), "the key that the new machine keeps");
    assert_done(&bench.enrol(&unbind_words(&bench.device())));
}
