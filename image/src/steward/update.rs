//! Installing the next release into the slot that does not run.
//!
//! The bytes come from the folder that the service fills, from a stick, or from a file that is
//! named. RAUC checks the signature before it writes, writes, and reads back; whether a release is
//! wanted at all is decided here, before RAUC hears of it.
//!
//! Never: an update over a way back that has not proved itself; an older release unless a person
//! asks for it; a release that fell back once, unless a person asks for it; a restart while the shop
//! sells (the timer of `storebox-update` is the window), or while the service says that something
//! is in the way. A service that died says nothing any more: an update may be what mends it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::engine::{Engine, Progress};
use super::history::{self, Event};
use super::{Error, Places, announce, io_error, run, slots};
use crate::approval::{APPROVAL_BYTES_MAX, Approval, Approvers, NotApproved, Wanted};
use crate::manifest::Version;

const ENDING: &str = "raucb";
/// A stick with more entries was not made for a box.
const ENTRIES_MAX: usize = 1000;
/// Beside the updates: why nothing is to be installed now, as the service says.
const HOLD: &str = "hold";
/// The service writes its note anew before this is over.
const HOLD_FRESH: Duration = Duration::from_secs(3600);
const HOLD_CHARS_MAX: usize = 200;
/// Between two words on the console about a slot that is being written.
const TOLD_PERCENT: u8 = 20;
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
    #[error("{version} may not be installed: {why}")]
    NotApproved { version: Version, why: NotApproved },
    #[error("the list of approvers is damaged: {why}")]
    Approvers { why: String },
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
    if let Some(why) = held(places).filter(|_| named.is_none()) {
        announce::on_console(places, &format!("no update now: {why}"));
        return Ok(false);
    }
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
    let info = inspect(path).inspect_err(|error| {
        if let Error::Refused(refusal) = error {
            let _ = note_refused(places, &version_in(path), "", &refusal.to_string());
        }
    })?;
    let version: Version = info
        .version
        .parse()
        .map_err(|_| Error::Answer { program: "rauc info", answer: info.version.clone() })?;
    let wanted = wanted(places, version, &info.hash, wish)
        .and_then(|()| approved(places, path, version, &info.hash));
    if let Err(refusal) = wanted {
        note_refused(places, &info.version, &info.hash, &refusal.to_string())?;
        return Err(refusal.into());
    }
    history::note(places, Event::Installing, &info.version, &info.hash, "")?;
    announce::on_console(places, &format!("installing release {version}"));
    let mut told = 0;
    let mut tell = |progress: &Progress| {
        slots::publish_while(places, Some(progress.percent));
        if progress.percent >= told {
            told = progress.percent.saturating_add(TOLD_PERCENT);
            let Progress { percent, words } = progress;
            announce::on_console(places, &format!("{percent} %: {words}"));
        }
    };
    if let Err(error) = Engine::of_the_system().install(path, &info.hash, &mut tell) {
        history::note(places, Event::Failed, &info.version, &info.hash, &error.to_string())?;
        slots::publish(places);
        return Err(error);
    }
    history::note(places, Event::Installed, &info.version, &info.hash, "")?;
    slots::publish(places);
    announce::on_console(places, &format!("release {version} is installed and starts next"));
    Ok(())
}

/// Whether enough people want exactly this bundle installed; where nobody is named, RAUC's word is enough.
fn approved(places: &Places, path: &Path, version: Version, hash: &str) -> Result<(), Refusal> {
    let damaged = |why: String| Refusal::Approvers { why };
    let approvers = match fs::read_to_string(places.approvers()) {
        Ok(text) => Approvers::parse(&text).map_err(|error| damaged(error.to_string()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(damaged(error.to_string())),
    };
    let board = places.system("STOREBOX_BOARD=").ok().flatten().unwrap_or_default();
    let wanted = Wanted { board: &board, version, manifest: hash };
    read_approval(path)
        .and_then(|approval| approvers.check(&approval, &wanted, history::now()))
        .map_err(|why| Refusal::NotApproved { version, why })
}

fn read_approval(bundle: &Path) -> Result<Approval, NotApproved> {
    let path = bundle.with_extension("approval");
    let file = fs::File::open(&path).map_err(|_| NotApproved::Missing)?;
    let mut bytes = Vec::new();
    let read = file.take(APPROVAL_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|_| NotApproved::Unreadable)?;
    Approval::parse(&bytes)
}

/// Writes a refusal down, once however often it is met.
fn note_refused(places: &Places, version: &str, hash: &str, why: &str) -> Result<(), Error> {
    let lines = history::load(places)?;
    let is_same = |line: &history::Line| {
        (line.event, line.version.as_str(), line.manifest.as_str())
            == (Event::Refused, version, hash)
    };
    if lines.last().is_some_and(is_same) {
        return Ok(());
    }
    history::note(places, Event::Refused, version, hash, why)?;
    slots::publish(places);
    Ok(())
}

/// The version in the name that the service has given a bundle.
fn version_in(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let last = stem.rsplit('-').next().unwrap_or_default();
    last.parse::<Version>().map_or_else(|_| "unknown".to_owned(), |version| version.to_string())
}

/// Why nothing is to be installed now, as long as the service says so.
#[expect(clippy::disallowed_methods, reason = "compared with a file's time of the same clock")]
fn held(places: &Places) -> Option<String> {
    let path = places.updates().join(HOLD);
    let written = fs::metadata(&path).ok()?.modified().ok()?;
    let now = SystemTime::now();
    let age = now.duration_since(written).or_else(|_| written.duration_since(now)).ok()?;
    let why = fs::read_to_string(&path).ok().filter(|_| age < HOLD_FRESH)?;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    Some(why.trim().chars().map(plain).take(HOLD_CHARS_MAX).collect())
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
    use crate::signature::ReleaseKey;

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
    fn where_approvers_are_named_a_bundle_needs_their_word_beside_it() {
        let (dir, places) = places("1.4.0");
        let release = dir.path().join("usr/lib/os-release");
        fs::write(&release, "IMAGE_VERSION=1.4.0\nSTOREBOX_BOARD=x86-64\n").unwrap();
        let bundle = dir.path().join("storebox-x86-64-1.5.0.raucb");
        let (version, hash) = ("1.5.0".parse::<Version>().unwrap(), "ab".repeat(32));
        let ask = || approved(&places, &bundle, version, &hash);
        assert_eq!(ask(), Ok(()), "nobody is named");
        let keys = [1, 2].map(|number| ReleaseKey::from_seed([number; 32]));
        let [first, second] = keys.each_ref().map(|key| key.public().to_string());
        fs::create_dir_all(places.approvers().parent().unwrap()).unwrap();
        let list = format!("threshold = 2\nkeys = [{first:?}, {second:?}]\n");
        fs::write(places.approvers(), list).unwrap();
        let refused = |why| Err(Refusal::NotApproved { version, why });
        assert_eq!(ask(), refused(NotApproved::Missing));
        let mut approval = Approval {
            board: "x86-64".parse().unwrap(),
            version,
            manifest: hash.clone(),
            expires: history::now() + 86_400,
            signatures: Vec::new(),
        };
        let beside = dir.path().join("storebox-x86-64-1.5.0.approval");
        for (key, wanted) in
            keys.iter().zip([refused(NotApproved::TooFew { valid: 1, threshold: 2 }), Ok(())])
        {
            approval.sign(key).unwrap();
            fs::write(&beside, serde_json::to_vec(&approval).unwrap()).unwrap();
            assert_eq!(ask(), wanted);
        }
        fs::write(&beside, b"{").unwrap();
        assert_eq!(ask(), refused(NotApproved::Unreadable));
        fs::write(places.approvers(), "threshold = 0\nkeys = []\n").unwrap();
        assert!(matches!(ask(), Err(Refusal::Approvers { .. })), "a damaged list lets nothing in");
    }

    #[test]
    fn what_the_service_holds_up_waits_and_a_service_that_died_holds_nothing_up() {
        let (dir, places) = places("1.4.0");
        assert_eq!(held(&places), None);
        let note = dir.path().join("var/lib/storebox-updates/hold");
        fs::create_dir_all(note.parent().unwrap()).unwrap();
        fs::write(&note, "3 transactions have\nto reach head office first\n").unwrap();
        let why = held(&places).unwrap();
        assert_eq!(why, "3 transactions have to reach head office first");
        assert!(!update(&places, None, Wish::default()).unwrap(), "nothing was looked at");
        let by_hand = update(&places, Some(Path::new("/x.raucb")), Wish::default());
        assert!(matches!(by_hand, Err(Error::Refused(Refusal::Unconfirmed))), "a person decides");
        let file = fs::File::options().write(true).open(&note).unwrap();
        for hours in [2, 20_000] {
            let then = fs::metadata(&note).unwrap().modified().unwrap();
            file.set_modified(then - Duration::from_secs(hours * 3600)).unwrap();
            assert_eq!(held(&places), None);
        }
    }

    #[test]
    fn a_refusal_is_written_down_once_with_the_version_in_the_name() {
        let (_dir, places) = places("1.4.0");
        let bundle = Path::new("/var/lib/storebox-updates/storebox-x86-64-1.5.0.raucb");
        assert_eq!(version_in(bundle), "1.5.0");
        assert_eq!(version_in(Path::new("/media/update.raucb")), "unknown");
        for _ in 0..3 {
            note_refused(&places, "1.5.0", "", "not believed").unwrap();
        }
        note_refused(&places, "1.5.1", "", "not believed").unwrap();
        assert_eq!(history::load(&places).unwrap().len(), 2);
    }

    #[test]
    fn a_partition_knows_its_disk() {
        let disks = ["/dev/sda1", "/dev/nvme0n1p6", "/dev/mmcblk0p2", "/dev/vda"];
        let disks = disks.map(|path| disk_of(Path::new(path)));
        assert_eq!(disks, ["sda", "nvme0n1", "mmcblk0", "vda"]);
    }
}
