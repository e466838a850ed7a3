//! Releases, disks and files that must be refused, each with its own words.

use std::fs;
use std::os::unix::fs::FileExt;

use storebox_image::layout::{Layout, MIB, Role};
use storebox_image::slot::Slot;

use crate::depot::Depot;

#[test]
fn a_bad_release_is_refused_before_the_disk_is_touched() {
    let depot = Depot::new();
    let good = fs::read(depot.path("box.sbx")).unwrap();
    let disk = depot.path("untouched.raw");
    let refused = |bytes: &[u8], words: &str| {
        fs::write(depot.path("box.sbx"), bytes).unwrap();
        depot.flash(&disk).failed(3, words);
        assert!(!disk.exists());
    };
    refused(&good[..good.len() / 2], "release is cut off");
    let mut changed = good.clone();
    changed[200] ^= 1;
    refused(&changed, "the manifest was changed after signing");
    refused(b"not at all", "this is no Storebox release");

    fs::rename(depot.path("release.key"), depot.path("old.key")).unwrap();
    fs::copy(depot.path("release.key.pub"), depot.path("ours.pub")).unwrap();
    depot.run("keygen --out {release.key}").ok();
    depot.bundle("1.4.0", "box.sbx").ok();
    let foreign = depot.run("flash {box.sbx} --trust {ours.pub} --to {untouched.raw}");
    foreign.failed(3, "which is not trusted here");
    let both = "verify {box.sbx} --trust {ours.pub} --trust {release.key.pub}";
    assert!(depot.run(both).ok().contains("is whole"));
}

#[test]
fn damaged_content_ends_a_flash_and_the_disk_does_not_start() {
    let depot = Depot::new();
    let mut damaged = fs::read(depot.path("box.sbx")).unwrap();
    // The disk's chunks come before the file, which ends the release.
    let at = damaged.len() - (10 << 20);
    damaged[at] ^= 1;
    fs::write(depot.path("box.sbx"), damaged).unwrap();
    let disk = depot.path("flashed.raw");
    depot.flash(&disk).failed(1, "is damaged");
    depot.verify(&disk).failed(4, "never flashed to its end");
    depot.run("verify {box.sbx} --trust {release.key.pub}").failed(1, "is damaged");
}

#[test]
fn a_box_refuses_foreign_older_and_too_old_releases() {
    let depot = Depot::new();
    let check =
        |more: &str| depot.run(&format!("verify {{box.sbx}} --trust {{release.key.pub}} {more}"));
    check("--board x86-64 --installed 1.3.0 --floor 1.0.0").ok();
    check("--board rpi4").failed(3, "release is for board x86-64, this is a rpi4");
    check("--board x86-64 --installed 1.5.0").failed(3, "older than the installed 1.5.0");
    check("--board x86-64 --installed 1.5.0 --older").ok();
    check("--board x86-64 --installed 1.5.0 --older --floor 1.4.1").failed(3, "below 1.4.1");
}

#[test]
fn a_changed_slot_is_found_years_later() {
    let depot = Depot::new();
    let disk = depot.path("flashed.raw");
    depot.flash(&disk).ok();
    let at = Layout::shipped().place(Role::Rootfs(Slot::A)).start + 5 * MIB;
    let file = fs::OpenOptions::new().write(true).open(&disk).unwrap();
    file.write_all_at(b"bit rot", at).unwrap();
    let run = depot.verify(&disk);
    assert!(run.out.contains("rootfs-a   DIFFERS"), "{}", run.out);
    run.failed(5, "disk and release differ");
    depot.flash(&disk).ok();
    depot.verify(&disk).ok();
}

#[test]
fn a_shop_file_with_errors_costs_no_flash() {
    let depot = Depot::new();
    let text = fs::read_to_string(depot.path("shop.toml")).unwrap();
    fs::write(depot.path("shop.toml"), text.replace("0421", "0 421")).unwrap();
    let run = depot
        .run("flash {box.sbx} --trust {release.key.pub} --to {new.raw} --provision {shop.toml}");
    run.failed(3, "line 8: store: must be 1 to 32");
    assert!(!depot.path("new.raw").exists());
    depot.run("provision check {shop.toml}").failed(3, "line 9: node: must be");
}

#[test]
fn what_is_no_storebox_disk_is_not_provisioned() {
    let depot = Depot::new();
    fs::write(depot.path("other.raw"), vec![0; 1 << 20]).unwrap();
    depot.run("provision put {shop.toml} --on {other.raw}").failed(1, "no protective MBR");
    depot.run("provision show --on {missing.raw}").failed(1, "No such file");
    depot
        .run("flash {box.sbx} --trust {release.key.pub} --to /dev/sdzz")
        .failed(1, "there is no disk");
    let too_small = depot.run("flash {box.sbx} --trust {release.key.pub} --to {other.raw} --yes");
    too_small.failed(1, "has 1048576 bytes");
}
