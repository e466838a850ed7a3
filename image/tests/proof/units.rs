//! systemd and udev of Debian 13 read what is in `systemd/`, and find nothing to say about it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use storebox_image::build::tools::{Tools, Work};

/// A unit and the most exposure that `systemd-analyze security` may find, in tenths.
/// Every point of it is explained in `systemd/README.md`.
const EXPOSURE: [(&str, u32); 9] = [
    ("storebox.service", 15),
    ("storebox-selftest.service", 8),
    ("storebox-announce.service", 19),
    ("storebox-disk.service", 27),
    ("storebox-firstboot.service", 16),
    ("storebox-good-boot.service", 21),
    ("storebox-failed.service", 16),
    ("storebox-deadline.service", 16),
    ("storebox-update.service", 16),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("systemd")
}

/// The tools of `image/setup`, and the folder `systemd` where they see it.
pub(crate) fn tools() -> Option<(Tools, Work)> {
    let home = || std::env::home_dir().unwrap_or_default().join(".cache/storebox");
    let cache = std::env::var_os("STOREBOX_CACHE").map_or_else(home, PathBuf::from);
    let Ok(tools) = Tools::find(&cache) else {
        crate::depot::skip("the tools of image/setup are not there");
        return None;
    };
    let Ok(work) = tools.work() else {
        crate::depot::skip("only root works in the tools of image/setup");
        return None;
    };
    for entry in fs::read_dir(folder()).unwrap().flatten() {
        if entry.path().is_dir() {
            continue;
        }
        fs::copy(entry.path(), work.path(&entry.file_name().to_string_lossy())).unwrap();
    }
    // What the units start has to be there.
    for program in ["storebox", "storebox-image"] {
        let path = tools.root().join("usr/bin").join(program);
        if !path.exists() {
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    Some((tools, work))
}

fn files(work: &Work, endings: &[&str]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(work.path("")).unwrap().flatten().map(|e| e.path()).collect();
    found.retain(|path| path.extension().is_some_and(|end| endings.iter().any(|e| end == *e)));
    found.sort();
    found
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    let Some((tools, work)) = tools() else { return };
    let mut command = tools.command("systemd-analyze");
    command.args(["verify", "--man=no"]);
    let units = files(&work, &["service", "timer", "target"]);
    assert!(units.len() > 8, "{units:?}");
    command.args(units.iter().map(|unit| tools.inside(unit)));
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("storebox")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn every_service_has_its_bound_of_exposure() {
    let mut services: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".service"))
        .collect();
    services.sort();
    let mut bound: Vec<&str> = EXPOSURE.iter().map(|(unit, _)| *unit).collect();
    bound.sort_unstable();
    assert_eq!(services, bound);
}

#[test]
fn no_service_is_more_exposed_than_the_readme_explains() {
    let Some((tools, work)) = tools() else { return };
    for (unit, tenths) in EXPOSURE {
        let mut command = tools.command("systemd-analyze");
        command.args(["security", "--offline=yes", "--no-pager"]);
        command.arg(format!("--threshold={tenths}")).arg(tools.inside(&work.path(unit)));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{unit}: {}", said.lines().last().unwrap_or_default());
    }
}

#[test]
fn udev_understands_the_rules() {
    let Some((tools, work)) = tools() else { return };
    for rules in files(&work, &["rules"]) {
        let output =
            tools.command("udevadm").arg("verify").arg(tools.inside(&rules)).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}
