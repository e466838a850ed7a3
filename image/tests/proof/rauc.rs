//! RAUC itself, with our program as its boot loader backend, on files for slots.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::depot::{Depot, system};

/// Waits until the service answers, then asks what an update asks.
const UPDATE: &str = r#"
export DBUS_STARTER_BUS_TYPE=session
rauc --conf="$1/system.conf" --override-boot-slot=A service >"$1/service.log" 2>&1 &
service=$!
tries=0
until rauc status >/dev/null 2>&1; do
  tries=$((tries + 1)); [ $tries -lt 200 ] || exit 9
  sleep 0.05
done
rauc install "$1/update.raucb" >"$1/early.log" 2>&1 && exit 8
rauc status mark-good >/dev/null 2>&1 || exit 7
for bad in "$1"/bad-*.raucb; do
  rauc install "$bad" >"$bad.log" 2>&1 && exit 5
  cat "$1/kernel-b" "$1/rootfs-b" | tr -d '\0' | grep -q . && exit 4
done
rauc install "$1/update.raucb" >"$1/install.log" 2>&1 || exit 6
kill $service
"#;

const MANIFEST: &str = "[update]\ncompatible=storebox-x86-64\nversion=2.0.0\n\
    [image.kernel]\nfilename=kernel.img\n[image.rootfs]\nfilename=rootfs.img\n";

pub(crate) struct Machine {
    pub(crate) depot: Depot,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let machine = Self { depot: Depot { dir: tempfile::tempdir().unwrap() } };
        fs::create_dir_all(machine.path("content")).unwrap();
        machine.write("content/kernel.img", vec![0x4b; 8192]);
        machine.write("content/rootfs.img", vec![0x52; 16_384]);
        machine.write("content/manifest.raucm", MANIFEST);
        machine.write("cmdline", "quiet rauc.slot=A\n");
        for slot in ["kernel-a", "kernel-b", "rootfs-a", "rootfs-b"] {
            machine.write(slot, vec![0; 65_536]);
        }
        machine.write("system.conf", machine.config());
        let program = env!("CARGO_BIN_EXE_storebox-image");
        let dir = machine.depot.dir.path().display();
        let handler = format!(
            "#!/bin/sh\nexec {program} slots --env {dir}/grubenv --cmdline {dir}/cmdline \"$@\"\n"
        );
        machine.write("handler", handler);
        fs::set_permissions(machine.path("handler"), fs::Permissions::from_mode(0o755)).unwrap();
        machine.depot.run("slots --env {grubenv} new").ok();
        machine
    }

    fn config(&self) -> String {
        let dir = self.depot.dir.path().display();
        format!(
            "[system]\ncompatible=storebox-x86-64\nbootloader=custom\nmountprefix={dir}/mnt\n\
             statusfile={dir}/status\n[keyring]\npath={dir}/cert.pem\n\
             [handlers]\nbootloader-custom-backend={dir}/handler\n\
             [slot.kernel.0]\ndevice={dir}/kernel-a\ntype=raw\nbootname=A\n\
             [slot.kernel.1]\ndevice={dir}/kernel-b\ntype=raw\nbootname=B\n\
             [slot.rootfs.0]\ndevice={dir}/rootfs-a\ntype=raw\nparent=kernel.0\n\
             [slot.rootfs.1]\ndevice={dir}/rootfs-b\ntype=raw\nparent=kernel.1\n"
        )
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.depot.path(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn key(&self, name: &str) {
        let text = |end: &str| self.path(&format!("{name}{end}")).display().to_string();
        let (key, cert) = (text("key.pem"), text("cert.pem"));
        let request = "req -x509 -newkey rsa:2048 -nodes -subj /CN=test -days 3650 -keyout";
        let mut args: Vec<&str> = request.split(' ').collect();
        args.extend([key.as_str(), "-out", cert.as_str()]);
        assert!(system("openssl", &args).unwrap().status.success());
    }

    /// Makes a bundle of what is in `content`, signed by one of the keys.
    fn bundle(&self, key: &str, name: &str) {
        let text = |name: &str| self.path(name).display().to_string();
        let (cert, key) = (text(&format!("{key}cert.pem")), text(&format!("{key}key.pem")));
        let (content, update) = (text("content"), text(name));
        let args = ["--cert", &cert, "--key", &key, "bundle", &content, &update];
        let made = system("rauc", &args).unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    /// The good update, and those that no box may take.
    pub(crate) fn bundles(&self) {
        self.key("");
        self.key("strange-");
        self.bundle("", "update.raucb");
        let good = fs::read(self.path("update.raucb")).unwrap();
        self.write("bad-truncated.raucb", &good[..good.len() / 2]);
        let mut changed = good.clone();
        changed[good.len() / 3] ^= 1;
        self.write("bad-changed.raucb", changed);
        self.bundle("strange-", "bad-signer.raucb");
        self.write("content/manifest.raucm", MANIFEST.replace("x86-64", "toaster"));
        self.bundle("", "bad-board.raucb");
    }
}

pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}

#[test]
fn rauc_installs_only_what_is_whole_ours_and_for_this_board_over_a_confirmed_way_back() {
    let needed =
        [("rauc", "--version"), ("dbus-run-session", "--version"), ("mksquashfs", "-version")];
    let all_there = needed.iter().all(|(program, arg)| system(program, &[arg]).is_some());
    if !all_there || system("openssl", &["version"]).is_none() || !is_root() {
        crate::depot::skip("needs root and the packages rauc, dbus, squashfs-tools and openssl");
        return;
    }
    let machine = Machine::new();
    machine.bundles();
    let mut bus = Command::new("dbus-run-session");
    bus.args(["--", "sh", "-c", UPDATE, "update"]).arg(machine.depot.dir.path());
    let output = bus.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    for (bad, why) in [
        ("truncated", "size"),
        ("changed", "ignature"),
        ("signer", "ignature"),
        ("board", "Compatible mismatch"),
    ] {
        let log = fs::read_to_string(machine.path(&format!("bad-{bad}.raucb.log"))).unwrap();
        assert!(log.contains(why), "{bad}: {log}");
    }

    let early = fs::read_to_string(machine.path("early.log")).unwrap();
    assert!(early.contains("Failed marking slot kernel.1 non-bootable"), "{early}");
    assert!(fs::read(machine.path("rootfs-b")).unwrap().starts_with(&[0x52; 16_384]));
    assert!(fs::read(machine.path("kernel-b")).unwrap().starts_with(&[0x4b; 8192]));
    assert!(fs::read(machine.path("rootfs-a")).unwrap().iter().all(|&b| b == 0));
    let shown = machine.depot.run("slots --env {grubenv} show").ok();
    assert!(shown.starts_with("next start: slot B\nslot A: confirmed"), "{shown}");
}
