//! From keys to a provisioned disk, on plain files.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use storebox_image::layout::{Layout, MIB, Role};

use crate::depot::{Depot, SHOP, system};

#[test]
fn a_release_goes_from_parts_to_a_provisioned_disk() {
    let depot = Depot::new();
    let disk = depot.path("flashed.raw");
    let told = depot
        .run("flash {box.sbx} --trust {release.key.pub} --to {flashed.raw} --provision {shop.toml}")
        .ok();
    assert!(told.contains("release 1.4.0 written") && told.contains("box-0421-1"), "{told}");
    let size = fs::metadata(&disk).unwrap();
    assert_eq!(size.len(), Layout::shipped().disk_bytes_min());
    assert!(size.blocks() * 512 < 40 * MIB, "only content is written");

    let verified = depot.verify(&disk).ok();
    assert!(verified.contains("rootfs-a   as released"), "{verified}");
    assert!(verified.contains("SBXCONFIG  changed, as is normal"), "{verified}");
    let shown = depot.run("provision show --on {flashed.raw}").ok();
    assert!(shown.contains("box-0421-1 in store 0421 of demo-chain"), "{shown}");
    assert!(!shown.contains("paste-the-token"), "the token is not shown");

    depot.run("provision wipe --on {flashed.raw}").ok();
    assert!(depot.run("provision show --on {flashed.raw}").ok().contains("no provisioning file"));
    let volume = Layout::shipped().place(Role::Config).start;
    let mut bytes = vec![0; usize::try_from(40 * MIB).unwrap()];
    File::open(&disk).unwrap().read_exact_at(&mut bytes, volume).unwrap();
    let token = b"paste-the-token-here";
    let left = bytes.windows(token.len()).filter(|window| window == token).count();
    assert_eq!(left, 1, "what is left is the example's");
}

#[test]
fn a_flash_interrupted_by_nothing_is_repeated_without_harm() {
    let depot = Depot::new();
    let disk = depot.path("flashed.raw");
    depot.flash(&disk).ok();
    depot.flash(&disk).ok();
    depot.verify(&disk).ok();
    let asked = depot.run("flash {box.sbx} --trust {release.key.pub} --to {flashed.raw}");
    asked.failed(3, "use --yes where nobody can be asked");
}

#[test]
fn a_flashing_station_hears_the_progress_as_json() {
    let depot = Depot::new();
    let told = depot.run("flash {box.sbx} --trust {release.key.pub} --to {new.raw} --json").ok();
    let lines: Vec<serde_json::Value> =
        told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let last = lines.last().unwrap();
    assert_eq!(last["phase"], "read-back");
    assert_eq!(last["done"], last["total"]);
    assert!(lines.iter().any(|line| line["phase"] == "write"), "{told}");
}

#[test]
fn what_other_programs_think_of_the_disk() {
    let depot = Depot::new();
    let disk = depot.path("flashed.raw");
    depot.flash(&disk).ok();
    let path = disk.to_str().unwrap();
    if let Some(verdict) = system("sgdisk", &["--verify", path]) {
        let verdict = String::from_utf8(verdict.stdout).unwrap();
        assert!(verdict.contains("No problems found"), "{verdict}");
    }
    let config = Layout::shipped().place(Role::Config).start;
    if let Some(listed) = system("mdir", &["-b", "-i", &format!("{path}@@{config}")]) {
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains("storebox.example.toml"), "{listed}");
    }
    let mut volume = vec![0; usize::try_from(40 * MIB).unwrap()];
    File::open(&disk).unwrap().read_exact_at(&mut volume, config).unwrap();
    let copy = depot.path("volume.img");
    fs::write(&copy, volume).unwrap();
    if let Some(checked) = system("fsck.vfat", &["-n", copy.to_str().unwrap()]) {
        assert!(checked.status.success(), "{checked:?}");
    }
}

#[test]
fn a_file_that_mtools_put_there_is_read() {
    let depot = Depot::new();
    let disk = depot.path("flashed.raw");
    depot.flash(&disk).ok();
    let config = Layout::shipped().place(Role::Config).start;
    let volume = format!("{}@@{config}", disk.display());
    let crlf = depot.path("crlf.toml");
    fs::write(&crlf, format!("\u{feff}{}", SHOP.replace('\n', "\r\n"))).unwrap();
    let args = ["-i", &volume, crlf.to_str().unwrap(), "::STOREBOX.TOML.TXT"];
    let Some(copied) = system("mcopy", &args) else { return };
    assert!(copied.status.success(), "{copied:?}");
    let shown = depot.run("provision show --on {flashed.raw}").ok();
    assert!(shown.contains("box-0421-1"), "{shown}");
}

#[test]
fn the_same_inputs_make_the_same_release() {
    let depot = Depot::new();
    depot.bundle("1.4.0", "again.sbx").ok();
    assert!(fs::read(depot.path("box.sbx")).unwrap() == fs::read(depot.path("again.sbx")).unwrap());
    let told = depot.run("inspect {box.sbx} --trust {release.key.pub}").ok();
    assert!(told.contains("release 1.4.0 for x86-64"), "{told}");
    depot
        .run("inspect {box.sbx} --trust {release.key.pub} --extract rootfs.img --out {out.img}")
        .ok();
    assert!(
        fs::read(depot.path("out.img")).unwrap() == fs::read(depot.path("rootfs.img")).unwrap()
    );
}

#[test]
fn a_secret_key_is_nobody_elses_and_never_overwritten() {
    let depot = Depot::new();
    let mode = fs::metadata(depot.path("release.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    depot.run("keygen --out {release.key}").failed(1, "File exists");
}

#[test]
fn the_layout_is_printed_with_what_first_boot_makes() {
    let depot = Depot::new();
    let told = depot.run("layout").ok();
    assert!(told.contains("rootfs-a          97       512"), "{told}");
    assert!(depot.run("layout --repart").ok().contains("SizeMinBytes=268435456"));
}
