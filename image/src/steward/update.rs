//! Installing the next release into the slot that does not run.
//!
//! The bytes come from the folder that the service fills, from a stick, or from a file that is
//! named. RAUC checks the signature before it writes, writes, and reads back; whether a release is
//! wanted at all is decided here, before RAUC hears of it.
//!
//! Never: an update over a way back that has not proved itself; an older release unless a person
//! asks for it; a release that fell back once, unless a person asks for it; a restart while the shop
//! sells (the timer of `storebox-update` is the window).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::history::{self, Event};
use super::{Error, Places, announce, io_error, run, slots};
use crate::manifest::Version;

const ENDING: &str = "raucb";
/// A stick with more entries was not made for a box.
const ENTRIES_MAX: usize = 1000;
const STICK_OPTIONS: &str = "--options=ro,noexec,nosuid,nodev";

/// What a person may ask for beside the usual.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// An older release, or the same again.
    pub older: bool,
    /// One that fell back before.
    pub again: bool,
    /// Leave the restart to somebody else.
    pub no_restart: bool,
}

/// Why a release is not installed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this start has not proved itself yet; the way back must stay")]
    Unconfirmed,
    #[error("{version} is older than {installed}, which runs")]
    Older { version: Version, installed: Version },
    #[error("{version} runs already")]
    Running { version: Version },
    #[error("{version} came back when it was tried; it needs to be asked for by hand")]
    FellBack { version: Version },
    #[error("{path} is not believed: {why}")]
    NotBelieved { path: String, why: String },
}

/// What RAUC says about a file whose signature holds.
#[derive(Debug, Deserialize)]
struct Info {
    version: String,
    #[serde(default)]
    hash: String,
}

/// Installs what is there, if it is wanted. Says whether the box is to restart.
pub fn update(places: &Places, named: Option<&Path>, wish: Wish) -> Result<bool, Error> {
    let stick = Stick::mount(places);
    let mut candidates: Vec<PathBuf> = named.map(Path::to_owned).into_iter().collect();
    if named.is_none() {
        candidates.extend(updates_in(&places.updates()));
        candidates.extend(stick.iter().flat_map(|stick| updates_in(&stick.at)));
    }
    let mut installed = false;
    for path in candidates {
        match install(places, &path, wish) {
            Ok(()) => {
                installed = true;
                break;
            }
            // What was found by itself and is not wanted is no failure.
            Err(Error::Refused(Refusal::Running { .. })) if named.is_none() => {}
            Err(error @ Error::Refused(_)) if named.is_none() => {
                announce::on_console(places, &format!("{}: {error}", path.display()));
            }
            Err(error) => return Err(error),
        }
    }
    drop(stick);
    if installed && !wish.no_restart {
        run("systemctl", &["reboot"])?;
    }
    Ok(installed)
}

fn install(places: &Places, path: &Path, wish: Wish) -> Result<(), Error> {
    if !places.confirmed().exists() {
        return Err(Refusal::Unconfirmed.into());
    }
    let info = inspect(path)?;
    let version: Version = info
        .version
        .parse()
        .map_err(|_| Error::Answer { program: "rauc info", answer: info.version.clone() })?;
    if let Err(refusal) = wanted(places, version, &info.hash, wish) {
        let refused = Event::Refused;
        history::note(places, refused, &info.version, &info.hash, &refusal.to_string())?;
        return Err(refusal.into());
    }
    history::note(places, Event::Installing, &info.version, &info.hash, "")?;
    announce::on_console(places, &format!("installing release {version}"));
    if let Err(error) = run("rauc", &[Path::new("install"), path]) {
        history::note(places, Event::Failed, &info.version, &info.hash, &error.to_string())?;
        slots::publish(places);
        return Err(error);
    }
    history::note(places, Event::Installed, &info.version, &info.hash, "")?;
    slots::publish(places);
    announce::on_console(places, &format!("release {version} is installed and starts next"));
    Ok(())
}

fn wanted(places: &Places, version: Version, hash: &str, wish: Wish) -> Result<(), Refusal> {
    let installed = places.version().ok().and_then(|text| text.parse::<Version>().ok());
    if let Some(installed) = installed.filter(|_| !wish.older) {
        if version == installed {
            return Err(Refusal::Running { version });
        }
        if version < installed {
            return Err(Refusal::Older { version, installed });
        }
    }
    let lines = history::load(places).unwrap_or_default();
    if !wish.again && history::fell_back(&lines, hash) {
        return Err(Refusal::FellBack { version });
    }
    Ok(())
}

/// Has RAUC check the signature; nothing of the file counts before.
fn inspect(path: &Path) -> Result<Info, Error> {
    let words = [Path::new("info"), Path::new("--output-format=json"), path];
    let answer = run("rauc", &words).map_err(|error| {
        let Error::Failed { said, .. } = &error else { return error };
        let why = said.lines().last().unwrap_or_default().to_owned();
        Error::Refused(Refusal::NotBelieved { path: path.display().to_string(), why })
    })?;
    serde_json::from_str(&answer).map_err(|_| Error::Answer { program: "rauc info", answer })
}

/// The updates in a folder, the newest name first.
fn updates_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().take(ENTRIES_MAX).map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == ENDING)).collect();
    found.sort_by(|a, b| b.cmp(a));
    found
}

/// A stick, mounted read-only as long as this lives.
struct Stick {
    at: PathBuf,
}

impl Stick {
    fn mount(places: &Places) -> Option<Self> {
        let at = places.run().join("stick");
        let own = fs::canonicalize(places.config_volume()).ok()?;
        let own = disk_of(&own);
        let folder = places.at("dev/disk/by-id");
        let entries = fs::read_dir(folder).ok()?.flatten();
        let usb = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("usb-"));
        for entry in usb {
            let Ok(device) = fs::canonicalize(entry.path()) else { continue };
            if disk_of(&device) == own || fs::create_dir_all(&at).is_err() {
                continue;
            }
            // By systemd, because what is mounted from here would be seen by this unit alone, and RAUC reads it too.
            let (what, at) = (device.display().to_string(), at.display().to_string());
            let words = ["--collect", "--fsck=no", STICK_OPTIONS, &what, &at];
            if run("systemd-mount", &words).is_ok() {
                let stick = Self { at: at.into() };
                if !updates_in(&stick.at).is_empty() {
                    return Some(stick);
                }
            }
        }
        None
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        let _ = run("systemd-mount", &[Path::new("--umount"), &self.at]);
    }
}

/// `sda` of `/dev/sda1`, `nvme0n1` of `/dev/nvme0n1p6`.
fn disk_of(device: &Path) -> String {
    let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    match stem.strip_suffix('p') {
        Some(disk) if disk.ends_with(|c: char| c.is_ascii_digit()) => disk.to_owned(),
        Some(_) | None => stem.to_owned(),
    }
}

/// Removes updates that run already from the folder of the service, so that it does not fill.
pub fn tidy(places: &Places) -> Result<(), Error> {
    for path in updates_in(&places.updates()) {
        let runs =
            inspect(&path).is_ok_and(|info| places.version().is_ok_and(|v| v == info.version));
        if runs {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(version: &str) -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path());
        fs::create_dir_all(dir.path().join("usr/lib")).unwrap();
        let release = format!("IMAGE_VERSION={version}\n");
        fs::write(dir.path().join("usr/lib/os-release"), release).unwrap();
        (dir, places)
    }

    #[test]
    fn only_a_newer_release_that_never_fell_back_is_wanted() {
        let (_dir, places) = places("1.4.0");
        let usual = Wish::default();
        let version = |text: &str| text.parse::<Version>().unwrap();
        let ask = |text: &str, hash: &str, wish| wanted(&places, version(text), hash, wish);
        assert_eq!(ask("1.5.0", "aa", usual), Ok(()));
        assert!(matches!(ask("1.4.0", "aa", usual), Err(Refusal::Running { .. })));
        assert!(matches!(ask("1.3.9", "aa", usual), Err(Refusal::Older { .. })));
        assert_eq!(ask("1.3.9", "aa", Wish { older: true, ..usual }), Ok(()));
        history::note(&places, Event::FellBack, "1.5.0", "aa", "").unwrap();
        assert!(matches!(ask("1.5.0", "aa", usual), Err(Refusal::FellBack { .. })));
        assert_eq!(ask("1.5.0", "bb", usual), Ok(()), "another build of it is another update");
        assert_eq!(ask("1.5.0", "aa", Wish { again: true, ..usual }), Ok(()));
    }

    #[test]
    fn nothing_is_installed_before_the_start_is_confirmed() {
        let (dir, places) = places("1.4.0");
        let file = dir.path().join("next.raucb");
        let refused = update(&places, Some(&file), Wish::default()).unwrap_err();
        assert!(matches!(refused, Error::Refused(Refusal::Unconfirmed)), "{refused}");
    }

    #[test]
    fn a_partition_knows_its_disk() {
        let disks = ["/dev/sda1", "/dev/nvme0n1p6", "/dev/mmcblk0p2", "/dev/vda"];
        let disks = disks.map(|path| disk_of(Path::new(path)));
        assert_eq!(disks, ["sda", "nvme0n1", "mmcblk0", "vda"]);
    }
}
