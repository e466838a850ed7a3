//! Installing the next release into the slot that does not run.
//!
//! The bytes come from the folder that the service fills, from a stick, or from a file that is
//! named. RAUC checks the signature before it writes, writes, and reads back; whether a release is
//! wanted at all is decided here, before RAUC hears of it, and about a copy that nobody else can change.
//!
//! Never: an update over a way back that has not proved itself; an older release unless a person
//! asks for it; a release that fell back once, unless a person asks for it; a restart while the shop
//! sells (the timer of `storebox-update` is the window), or while the service says that something
//! is in the way, which is asked again once all is written. A service that died says nothing any
//! more: an update may be what mends it.

mod stick;

use std::fs::{self, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::custody::{self, Custody};
use super::engine::{Engine, Progress};
use super::history::{self, Event};
use super::{Error, Places, announce, foreign, io_error, load_env, run, slots};
use crate::approval::{APPROVAL_BYTES_MAX, Approval, Approvers, NotApproved, Wanted};
use crate::manifest::Version;
use crate::slot::rauc::running;

use stick::Stick;

const ENDING: &str = "raucb";
/// What the service has put into its folder begins so.
const OURS: &str = "storebox-";
/// A stick with more entries was not made for a box.
const ENTRIES_MAX: usize = 1000;
/// Beside the updates: why nothing is to be installed now, as the service says.
const HOLD: &str = "hold";
/// A service that does not lock its note (one of the version before) writes it anew before this is over.
const HOLD_FRESH: Duration = Duration::from_secs(3600);
const HOLD_CHARS_MAX: usize = 200;
const HOLD_BYTES_MAX: u64 = 1000;
/// So often is an update begun by itself that cannot be written: each time the way back is gone meanwhile.
const FAILURES_MAX: usize = 3;
/// What is said of an update whose process or power ended first.
const CUT_OFF: &str = "it was cut off";
/// Between two words on the console about a slot that is being written.
const TOLD_PERCENT: u8 = 20;

/// What a person may ask for beside the usual.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// An older release, or the same again.
    pub older: bool,
    /// One that fell back before, or could not be written.
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
    #[error(
        "{version} could not be written {FAILURES_MAX} times; it needs to be asked for by hand"
    )]
    GivenUp { version: Version },
    #[error("{path} is not believed: {why}")]
    NotBelieved { path: String, why: String },
    #[error("{path} is {found} by what it says of itself")]
    OtherVersion { path: String, found: Version },
    #[error("{path} says of itself what makes no sense")]
    Senseless { path: String },
    #[error("{version} may not be installed: {why}")]
    NotApproved { version: Version, why: NotApproved },
    #[error("the list of approvers is damaged: {why}")]
    Approvers { why: String },
    #[error("{path} cannot be read: {why}")]
    Unreadable { path: String, why: String },
    #[error("another update is under way")]
    Busy,
    #[error("{bytes} bytes are more than any release has")]
    Size { bytes: u64 },
    #[error("the data partition has {} MB free, {} MB are needed", free >> 20, needs >> 20)]
    Room { needs: u64, free: u64 },
}

/// What RAUC says about a file whose signature holds.
#[derive(Debug, Deserialize)]
struct Info {
    version: String,
    #[serde(default)]
    hash: String,
}

/// The same, understood.
struct Seen {
    version: Version,
    hash: String,
}

/// Installs what is there, if it is wanted. Says whether a release waits for its start, which this may have begun.
pub fn update(places: &Places, named: Option<&Path>, wish: Wish) -> Result<bool, Error> {
    if !bring(places, named, wish)? {
        return Ok(false);
    }
    if may_restart(places, named, wish) {
        run("systemctl", &["reboot"])?;
    }
    Ok(true)
}

/// Has a newer release in the other slot; says whether one is there that waits for its start.
fn bring(places: &Places, named: Option<&Path>, wish: Wish) -> Result<bool, Error> {
    close(places)?;
    if named.is_none() {
        if let Some(why) = held(places) {
            announce::on_console(places, &format!("no update now: {why}"));
            return Ok(false);
        }
        // Its restart was held up: nothing has to be written again for it.
        if places.confirmed().exists() && history::pending(&history::load(places)?).is_some() {
            return Ok(true);
        }
    }
    let install = |path: &Path| install(places, path, wish);
    match named {
        Some(path) => install(path).map(|()| true),
        None => {
            let stick = Stick::mount(places);
            let mut found = updates_in(&places.updates());
            found.extend(stick.iter().flat_map(|stick| updates_in(&stick.at)));
            first_of(places, &found, install)
        }
    }
}

/// Has the first of those that were found which can be installed; one that is not wanted is no failure, and leaves the
/// next its turn.
fn first_of(
    places: &Places,
    found: &[PathBuf],
    install: impl Fn(&Path) -> Result<(), Error>,
) -> Result<bool, Error> {
    for path in found {
        match install(path) {
            Ok(()) => return Ok(true),
            Err(Error::Refused(Refusal::Running { .. })) => {}
            Err(error @ Error::Refused(_)) => {
                announce::on_console(places, &format!("{}: {error}", path.display()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Writing takes minutes, in which the shop may have opened.
fn may_restart(places: &Places, named: Option<&Path>, wish: Wish) -> bool {
    match held(places).filter(|_| named.is_none()) {
        _ if wish.no_restart => false,
        Some(why) => {
            announce::on_console(places, &format!("the installed release starts later: {why}"));
            false
        }
        None => true,
    }
}

fn install(places: &Places, path: &Path, wish: Wish) -> Result<(), Error> {
    if !places.confirmed().exists() {
        return Err(Refusal::Unconfirmed.into());
    }
    // What is not wanted needs no copy. Whether it is believed says the copy, which nobody takes away meanwhile.
    if let Ok(seen) = inspect(path, path) {
        judge(places, path, path, &seen, wish)?;
    }
    let custody = Custody::take(places, path)?;
    let bundle = custody.bundle();
    let seen = inspect(&bundle, path).map_err(|error| {
        let Error::Refused(refusal) = error else { return error };
        refuse(places, &version_in(path), "", refusal)
    })?;
    judge(places, &bundle, path, &seen, wish)?;
    write(places, &bundle, &seen)
}

/// Whether a bundle is what its name says, and this box wants it and may have it; what is not is written down under the
/// name by which the service and head office know it.
fn judge(
    places: &Places,
    bundle: &Path,
    named: &Path,
    seen: &Seen,
    wish: Wish,
) -> Result<(), Error> {
    let Seen { version, hash } = seen;
    if let Some(announced) = announced(places, named).filter(|announced| announced != version) {
        let refusal = Refusal::OtherVersion { path: named.display().to_string(), found: *version };
        return Err(refuse(places, &announced.to_string(), hash, refusal));
    }
    permit(places, bundle, seen, wish)
        .map_err(|refusal| refuse(places, &version.to_string(), hash, refusal))
}

/// Writes down what became of an update whose end nobody wrote down, so that it counts as tried and is not taken for
/// one that is under way.
pub(super) fn close(places: &Places) -> Result<(), Error> {
    close_unless(places, || Engine::of_the_system().is_busy())
}

/// The same, unless somebody writes; whoever asked for it may be gone.
fn close_unless(places: &Places, is_busy: impl FnOnce() -> bool) -> Result<(), Error> {
    // As long as this is held nobody writes; who does ends the line itself.
    let Some(_lock) = custody::lock(places)? else { return Ok(()) };
    let lines = history::load(places)?;
    let Some((cut, had_another)) = history::begun(&lines) else { return Ok(()) };
    if is_busy() {
        return Err(Refusal::Busy.into());
    }
    let runs = places.version().is_ok_and(|version| version == cut.version);
    let (event, why) = match runs || (!had_another && is_written(places)) {
        true => (Event::Installed, ""),
        false => (Event::Failed, CUT_OFF),
    };
    announce::on_console(places, &format!("release {}: {CUT_OFF}", cut.version));
    history::note(places, event, &cut.version, &cut.manifest, why)?;
    slots::publish(places);
    Ok(())
}

/// Whether the other slot was written to its end and has neither proved itself nor been condemned.
fn is_written(places: &Places) -> bool {
    let Ok(state) = load_env(&places.env()).map(|env| env.state()) else { return false };
    let slot = places.cmdline().ok().and_then(|cmdline| running(&cmdline).ok());
    let other = slot.map(|slot| state.record(slot.other()));
    other.is_some_and(|other| other.whole && !other.confirmed)
}

/// Has RAUC write a bundle that root alone can change.
fn write(places: &Places, bundle: &Path, seen: &Seen) -> Result<(), Error> {
    let Seen { version, hash } = seen;
    let note = |event, why: &str| history::note(places, event, &version.to_string(), hash, why);
    note(Event::Installing, "")?;
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
    if let Err(error) = Engine::of_the_system().install(bundle, &mut tell) {
        note(Event::Failed, &error.to_string())?;
        slots::publish(places);
        return Err(error);
    }
    note(Event::Installed, "")?;
    slots::publish(places);
    announce::on_console(places, &format!("release {version} is installed and starts next"));
    Ok(())
}

/// Whether this box wants exactly this, and may have it.
fn permit(places: &Places, bundle: &Path, seen: &Seen, wish: Wish) -> Result<(), Refusal> {
    wanted(places, seen.version, &seen.hash, wish)?;
    approved(places, bundle, seen.version, &seen.hash)
}

/// Writes a refusal down where somebody has to hear of it: what is only not wanted now is no failure.
fn refuse(places: &Places, version: &str, hash: &str, refusal: Refusal) -> Error {
    let event = match &refusal {
        Refusal::NotBelieved { .. } | Refusal::OtherVersion { .. } | Refusal::Senseless { .. } => {
            Event::Refused
        }
        Refusal::NotApproved { .. } | Refusal::Approvers { .. } => Event::Unapproved,
        Refusal::Unconfirmed
        | Refusal::Older { .. }
        | Refusal::Running { .. }
        | Refusal::FellBack { .. }
        | Refusal::GivenUp { .. }
        | Refusal::Unreadable { .. }
        | Refusal::Busy
        | Refusal::Size { .. }
        | Refusal::Room { .. } => return refusal.into(),
    };
    match history::note_once(places, event, version, hash, &refusal.to_string()) {
        Ok(is_new) => {
            if is_new {
                slots::publish(places);
            }
            refusal.into()
        }
        Err(error) => error,
    }
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
    let read = foreign::read(&bundle.with_extension("approval"), APPROVAL_BYTES_MAX);
    let (bytes, _) = read.map_err(|_| NotApproved::Missing)?;
    Approval::parse(&bytes)
}

/// The version in the name of a bundle.
fn version_in(path: &Path) -> String {
    named_version(path).map_or_else(|| "unknown".to_owned(), |version| version.to_string())
}

fn named_version(path: &Path) -> Option<Version> {
    path.file_stem()?.to_string_lossy().rsplit('-').next()?.parse().ok()
}

/// The version as which the service brought a bundle; nothing where somebody else has named it.
fn announced(places: &Places, path: &Path) -> Option<Version> {
    let is_ours = path.file_name()?.to_string_lossy().starts_with(OURS);
    let is_brought = is_ours && path.parent() == Some(&places.updates());
    named_version(path).filter(|_| is_brought)
}

/// Why nothing is to be installed now, as long as the service says so.
#[expect(clippy::disallowed_methods, reason = "compared with a file's time of the same clock")]
fn held(places: &Places) -> Option<String> {
    let (file, meta) = foreign::open(&places.updates().join(HOLD)).ok()?;
    // A service that runs keeps it locked; this is so whatever the clock did since.
    let is_kept = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    let mut why = Vec::new();
    file.take(HOLD_BYTES_MAX).read_to_end(&mut why).ok()?;
    let (written, now) = (meta.modified().ok()?, SystemTime::now());
    let age = now.duration_since(written).or_else(|_| written.duration_since(now)).ok()?;
    let why = String::from_utf8_lossy(&why);
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    (is_kept || age < HOLD_FRESH)
        .then(|| why.trim().chars().map(plain).take(HOLD_CHARS_MAX).collect())
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
    if !wish.again && history::failures(&lines, hash) >= FAILURES_MAX {
        return Err(Refusal::GivenUp { version });
    }
    Ok(())
}

/// Has RAUC check the signature; nothing of the file counts before. It is spoken of by the name that it came with.
fn inspect(bundle: &Path, named: &Path) -> Result<Seen, Error> {
    let words = [Path::new("info"), Path::new("--output-format=json"), bundle];
    let path = named.display().to_string();
    match run("rauc", &words) {
        Ok(answer) => Ok(understand(&answer).ok_or(Refusal::Senseless { path })?),
        Err(Error::Failed { said, .. }) => {
            let why = said.lines().last().unwrap_or_default().to_owned();
            Err(Refusal::NotBelieved { path, why }.into())
        }
        Err(error) => Err(error),
    }
}

fn understand(answer: &str) -> Option<Seen> {
    let Info { version, hash } = serde_json::from_str(answer).ok()?;
    Some(Seen { version: version.parse().ok()?, hash })
}

/// The updates in a folder, the newest name first.
fn updates_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().take(ENTRIES_MAX).map(|entry| entry.path());
    // RAUC would wait for ever at a pipe, and follow a link.
    let is_plain = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
    let is_update =
        |path: &PathBuf| path.extension().is_some_and(|ending| ending == ENDING) && is_plain(path);
    let mut found: Vec<PathBuf> = paths.filter(is_update).collect();
    found.sort_by(|a, b| b.cmp(a));
    found
}

/// Removes updates that run already from the folder of the service, so that it does not fill, and what a cut one left.
pub fn tidy(places: &Places) -> Result<(), Error> {
    custody::sweep(places)?;
    for path in updates_in(&places.updates()) {
        let version = inspect(&path, &path).map(|seen| seen.version.to_string());
        let runs = version.is_ok_and(|version| places.version().is_ok_and(|runs| runs == version));
        if runs {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
