//! The first program of a box's start: finds the slot's root, checks it by dm-verity, hands over.
//!
//! It is all there is in the initrd, beside the modules it loads: no shell, no udev, no prompt.
//! Whatever fails ends in a restart, so that the boot loader's count of tries moves on to the other
//! slot; it must never wait for a person.
//!
//! The kernel's command line says what is to be started. The release's own part of it, from the
//! slot's kernel partition, carries the root hash of the root file system: a root that is not the
//! one this kernel was released with does not start.

mod modules;
mod root;
mod verity;

use std::convert::Infallible;
use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;
use std::{env, thread};

use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::chroot;

/// Long enough to be read on the console.
const BEFORE_RESTART: Duration = Duration::from_secs(3);

fn main() {
    let Err(failure) = start();
    log(&format!("cannot start: {failure}; restarting"));
    thread::sleep(BEFORE_RESTART);
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    // Returning from the first process makes the kernel panic, and `panic=` restarts as well.
}

fn start() -> Result<Infallible, String> {
    mount_kernel_file_systems()?;
    modules::load_all();
    let cmdline = fs::read_to_string("/proc/cmdline").map_err(because("read the command line"))?;
    let device = root::open(&cmdline)?;
    log(&format!("root is {device}"));
    move_into_root()?;
    let failed = Command::new("/sbin/init").exec();
    Err(format!("start /sbin/init: {failed}"))
}

fn mount_kernel_file_systems() -> Result<(), String> {
    for (folder, kind) in [("/dev", "devtmpfs"), ("/proc", "proc"), ("/sys", "sysfs")] {
        fs::create_dir_all(folder).map_err(because(folder))?;
        mount_at(kind, folder, kind, MsFlags::MS_NOSUID)?;
    }
    fs::create_dir_all(root::AT).map_err(because(root::AT))
}

/// Leaves the initrd behind; its memory goes back to the system.
fn move_into_root() -> Result<(), String> {
    for folder in ["dev", "proc", "sys"] {
        let (from, to) = (format!("/{folder}"), format!("{}/{folder}", root::AT));
        mount_at(&from, &to, "", MsFlags::MS_MOVE)?;
    }
    let _ = fs::remove_dir_all(modules::FOLDER);
    let _ = fs::remove_file("/init");
    env::set_current_dir(root::AT).map_err(because("enter the root"))?;
    mount_at(".", "/", "", MsFlags::MS_MOVE)?;
    chroot(".").map_err(because("change the root"))?;
    env::set_current_dir("/").map_err(because("enter the root"))
}

fn mount_at(what: &str, at: &str, kind: &str, flags: MsFlags) -> Result<(), String> {
    mount(Some(what), at, Some(kind), flags, None::<&str>)
        .map_err(because(&format!("mount {what} at {at}")))
}

fn because<E: Display>(what: &str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

/// A line in the kernel's log, which the console shows and the journal keeps.
fn log(line: &str) {
    if let Ok(mut log) = OpenOptions::new().write(true).open("/dev/kmsg") {
        // One write is one message.
        let _ = log.write_all(format!("<4>storebox-init: {line}\n").as_bytes());
    }
}
