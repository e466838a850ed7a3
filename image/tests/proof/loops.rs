//! Real block devices: loop devices, which need root. A machine that has both must run these.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::stat::{major, minor};
use storebox_image::block::{self, Roots};
use storebox_image::layout::{Layout, MIB, Role};
use storebox_image::medium::{DiskMedium, MediumError};

use crate::depot::{Depot, system};

/// A loop device that goes when the test ends.
pub(crate) struct Loop(pub(crate) PathBuf);

impl Loop {
    pub(crate) fn of(file: &Path, flags: &[&str]) -> Self {
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .args(flags)
            .arg(file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        Self(String::from_utf8(output.stdout).unwrap().trim().into())
    }

    fn with_bytes(depot: &Depot, name: &str, bytes: u64, flags: &[&str]) -> Self {
        let path = depot.path(name);
        fs::File::create(&path).unwrap().set_len(bytes).unwrap();
        Self::of(&path, flags)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

/// A mount that goes when the test ends.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: PathBuf, args: &[&str]) -> Self {
        fs::create_dir_all(&at).unwrap();
        let status = Command::new("mount").args(args).arg(&at).status().unwrap();
        assert!(status.success(), "mount {args:?}");
        Self(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Whether this machine can make loop devices; says why not.
pub(crate) fn has_loops() -> bool {
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    let control = Path::new("/dev/loop-control").exists();
    if !root || !control {
        crate::depot::skip(&format!("needs root ({root}) and /dev/loop-control ({control})"));
        return false;
    }
    let works = Command::new("losetup").arg("--find").output().is_ok_and(|o| o.status.success());
    if !works {
        crate::depot::skip("losetup does not work here");
    }
    works
}

fn disk_bytes() -> u64 {
    Layout::shipped().disk_bytes_min() + 77 * MIB
}

#[test]
fn a_block_device_is_flashed_verified_and_provisioned() {
    if !has_loops() {
        return;
    }
    let depot = Depot::new();
    let device = Loop::with_bytes(&depot, "backing", disk_bytes(), &[]);
    let told = depot.flash(&device.0).ok();
    assert!(told.contains("loop device"), "{told}");
    depot.verify(&device.0).ok();
    let on = device.0.display();
    depot.run(&format!("provision put {{shop.toml}} --on {on}")).ok();
    assert!(depot.run(&format!("provision show --on {on}")).ok().contains("store 0421"));
    let table = storebox_image::gpt::find(&mut fs::File::open(&device.0).unwrap(), disk_bytes());
    assert_eq!(table.unwrap().table.disk_bytes(), disk_bytes());
}

#[test]
fn a_device_that_is_mounted_small_or_protected_is_refused() {
    if !has_loops() {
        return;
    }
    let depot = Depot::new();
    let small = Loop::with_bytes(&depot, "small", 64 * MIB, &[]);
    depot.flash(&small.0).failed(3, "a box needs 1.");
    let protected = Loop::with_bytes(&depot, "protected", disk_bytes(), &["--read-only"]);
    depot.flash(&protected.0).failed(3, "is write-protected");

    let device = Loop::with_bytes(&depot, "backing", disk_bytes(), &[]);
    let made = Command::new("mkfs.ext4").arg("-q").arg(&device.0).status();
    if !made.is_ok_and(|status| status.success()) {
        crate::depot::skip("mkfs.ext4 is not installed");
        return;
    }
    let mount = Mounted::new(depot.path("mnt"), &[device.0.to_str().unwrap()]);
    depot.flash(&device.0).failed(3, "unmount it first");
    drop(mount);
    depot.flash(&device.0).ok();
}

#[test]
fn a_medium_that_runs_out_half_way_fails_clearly_and_goes_on_later() {
    if !has_loops() {
        return;
    }
    let depot = Depot::new();
    // The device promises a whole disk; what is behind it takes 8 MiB.
    let tmpfs = Mounted::new(depot.path("tmp"), &["-t", "tmpfs", "-o", "size=8m", "none"]);
    let backing = tmpfs.0.join("backing");
    fs::File::create(&backing).unwrap().set_len(disk_bytes()).unwrap();
    let device = Loop::of(&backing, &[]);
    depot.flash(&device.0).failed(1, "of the device: ");
    depot.verify(&device.0).failed(4, "never flashed to its end");
    let larger = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&tmpfs.0).status();
    assert!(larger.unwrap().success());
    let told = depot.flash(&device.0).ok();
    assert!(!told.contains("kept 0 bytes"), "{told}");
    depot.verify(&device.0).ok();
    drop(device);
}

#[test]
fn a_device_that_was_exchanged_since_it_was_looked_at_is_not_opened() {
    if !has_loops() {
        return;
    }
    let depot = Depot::new();
    let one = Loop::with_bytes(&depot, "one", disk_bytes(), &[]);
    let two = Loop::with_bytes(&depot, "two", disk_bytes() + MIB, &[]);
    let roots = Roots::default();
    let name = |device: &Loop| device.0.file_name().unwrap().to_str().unwrap().to_owned();
    let looked_at = block::find(&roots, &name(&one)).unwrap();
    let open = |disk: &block::Disk| DiskMedium::open_disk(disk, Path::new("/dev"), &roots);
    open(&looked_at).unwrap();
    let renamed = block::Disk { name: name(&two), ..looked_at.clone() };
    assert!(matches!(open(&renamed), Err(MediumError::Replaced { .. })));
    let resized = block::Disk { bytes: looked_at.bytes - 512, ..looked_at.clone() };
    assert!(matches!(open(&resized), Err(MediumError::Replaced { .. })));
    let held = open(&looked_at).unwrap();
    assert!(matches!(open(&looked_at), Err(MediumError::Busy { .. })));
    drop(held);
}

#[test]
fn first_boot_finds_room_for_the_data_partition() {
    let depot = Depot::new();
    if !has_loops() || system("systemd-repart", &["--version"]).is_none() {
        return;
    }
    let disk = depot.path("flashed.raw");
    depot.flash(&disk).ok();
    fs::create_dir(depot.path("defs")).unwrap();
    let definition = depot.run("layout --repart").ok();
    fs::write(depot.path("defs/50-data.conf"), definition).unwrap();
    let definitions = format!("--definitions={}", depot.path("defs").display());
    let args = [&definitions, "--dry-run=no", "--empty=refuse", disk.to_str().unwrap()];
    let made = system("systemd-repart", &args).unwrap();
    assert!(made.status.success(), "{made:?}");
    let bytes = fs::metadata(&disk).unwrap().len();
    let table = storebox_image::gpt::find(&mut fs::File::open(&disk).unwrap(), bytes).unwrap();
    let data = table.table.entry("data").unwrap();
    assert_eq!(data.start_byte(), Layout::shipped().place(Role::Data).start);
    depot.verify(&disk).ok();
}

#[test]
fn the_disk_of_this_computer_is_never_offered() {
    let depot = Depot::new();
    let told = depot.run("list").ok();
    let number = fs::metadata("/").unwrap().dev();
    let folder = format!("/sys/dev/block/{}:{}", major(number), minor(number));
    // A file system that is laid over others has no device.
    let Ok(folder) = fs::canonicalize(folder) else { return };
    let is_part = folder.join("partition").exists();
    let disk = if is_part { folder.parent().unwrap() } else { &folder };
    let device = format!("/dev/{}", disk.file_name().unwrap().to_str().unwrap());
    let offered = told.split("Left alone:").next().unwrap();
    assert!(!offered.contains(&format!("{device} ")), "{told}");
    if Path::new(&device).exists() && told.contains(&format!("{device} ")) {
        // Without --yes: should the check ever fail, nobody answers the question that follows.
        let run =
            depot.run(&format!("flash {{box.sbx}} --trust {{release.key.pub}} --to {device}"));
        run.failed(3, "this computer runs from");
    }
}
