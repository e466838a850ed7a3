//! The data partition before anything on it is used: made and sealed at the first start, opened at each.
//!
//! What the box holds lies in LUKS2, and the key is bound to the machine: by its TPM, or without one
//! by numbers of the machine that no disk holds ([`home`]). The shop's file says which; without a
//! word in it, a machine with a TPM seals and another one does not. So a start needs no hand, and the
//! disk alone opens nowhere else.
//!
//! The key in the shop's file opens the partition on any machine. It is how a disk moves to a new
//! board: the file is put onto the volume again, opens the partition once, and the partition is bound
//! to the machine that it is in now. A key that comes when the partition is there already takes the
//! place of the one before; the file is wiped only when its key is known to open the partition, and
//! the partition to open by its machine: a box that opened it and cannot bind it keeps the file.
//!
//! systemd-repart makes the partition whole, sealed and formatted, before it writes it into the table:
//! a power cut leaves either nothing or all. Nothing here reads or writes what is inside, and nothing
//! makes a partition anew that is there, whether it opens or not. What it is made as it stays; so
//! none is made while a file is there that cannot be read.

pub mod home;
mod key;

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use key::{KeyFile, Newcomer, Tell};
pub use key::{add_words, bind_words, try_words, unbind_words};

use super::{Error, Places, announce, io_error, replace, run, touch};
use crate::layout::Layout;
use crate::provision::stick::{self, StickError};
use crate::provision::volume::{self, RESULT, Volume, VolumeError, Window};
use crate::provision::{Disk, DiskKey, Encrypt, Problem, Provision, Rejected};

/// What the opened partition is called by the device mapper; a rule of udev knows it too.
const NAME: &str = "data";
const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
/// A TPM that the firmware names may take its time to answer.
const TPM_LOOKS_MAX: u32 = 150;
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why a box has no data partition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0}\nNo disk was made yet. Correct the file and start again.")]
    File(Rejected),
    #[error(
        "the shop's file wants the disk sealed by a TPM, and this machine shows none; \
         switch it on in the firmware, or say encrypt = \"provisioned\""
    )]
    NoTpm,
    #[error("the TPM of this machine does not answer; start again, or look at the firmware")]
    TpmSilent,
    #[error("this machine has no numbers of its own, which could keep the key of its disk")]
    NoNumbers,
    #[error(
        "the disk was sealed on another machine; put it back there, or put the shop's file with \
         the key of this disk on the volume SBXCONFIG and start again"
    )]
    OtherMachine,
}

/// What guards the data partition of this start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    Tpm,
    Machine,
    /// It moved here, opened with the key of the shop's file, and could not be bound to this machine.
    File,
    Nothing,
}

impl Guard {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tpm => "sealed by the machine's TPM",
            Self::Machine => "sealed by the machine's own numbers",
            Self::File => "sealed, and opens with the shop's file alone",
            Self::Nothing => "not sealed",
        }
    }
}

/// What this machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tpm {
    Ready,
    /// The firmware names it, and it does not answer.
    Silent,
    Absent,
}

/// How a partition is sealed on this machine; one whose TPM is silent for once must not become open for ever.
fn choose(wish: Option<Encrypt>, tpm: Tpm) -> Result<Guard, Refusal> {
    match (wish, tpm) {
        (Some(Encrypt::Provisioned), _) => Ok(Guard::Machine),
        (Some(Encrypt::Off), _) | (None, Tpm::Absent) => Ok(Guard::Nothing),
        (Some(Encrypt::Tpm) | None, Tpm::Ready) => Ok(Guard::Tpm),
        (Some(Encrypt::Tpm) | None, Tpm::Silent) => Err(Refusal::TpmSilent),
        (Some(Encrypt::Tpm), Tpm::Absent) => Err(Refusal::NoTpm),
    }
}

/// Makes the partition if there is none, and opens it; what is wrong is told on console and paper.
pub fn open(places: &Places) -> Result<Guard, Error> {
    let opened = try_open(places);
    match &opened {
        Ok(guard) => replace(&note(places), guard.as_str().as_bytes())?,
        Err(error) => tell(places, error)?,
    }
    opened
}

fn tell(places: &Places, error: &Error) -> Result<(), Error> {
    let text = format!("the box does not start: {error}");
    let mut answer = format!("{text}\r\n");
    if let Error::Disk(Refusal::File(rejected)) = error {
        // No restart corrects a file.
        touch(&places.waiting())?;
        answer = stick::answer(rejected);
    }
    announce::on_console(places, &text);
    // Most boxes have neither screen nor printer.
    let _ = on_volume(places, &answer);
    announce::on_paper(places, &text);
    Ok(())
}

fn try_open(places: &Places) -> Result<Guard, Error> {
    let asked = wish_of(places);
    let tpm = await_tpm(places);
    settle()?;
    let device = partition(places);
    let is_new = !device.exists();
    if is_new {
        let (wish, guard) = first_wish(&asked, tpm)?;
        make(places, &wish, guard)?;
        settle()?;
    }
    // A file with errors keeps nobody from the disk that is there.
    let wish = asked.ok().flatten().unwrap_or_default();
    if !is_sealed(&device)? {
        return Ok(Guard::Nothing);
    }
    let Some(guard) = open_at_home(places, &device, tpm)? else {
        return move_in(places, &device, &wish, tpm);
    };
    if let Some(key) = &wish.key {
        let tell = &mut key::tell;
        let taken = if is_new { Ok(()) } else { key::take(places, &device, key, guard, tell) };
        settle_key(places, key, taken)?;
    }
    Ok(guard)
}

/// A key that cannot be put on the disk keeps no shop from selling; its file stays, and people are told.
fn settle_key(places: &Places, key: &DiskKey, taken: Result<(), Error>) -> Result<(), Error> {
    match taken {
        Ok(()) => key::note_taken(places, key)?,
        Err(error) => announce::on_console(places, &format!("{}: {error}", trouble(places))),
    }
    Ok(())
}

fn trouble(places: &Places) -> &'static str {
    let is_bound = guard(places).is_none_or(|guard| guard != Guard::File.as_str());
    if is_bound { key::NOT_TAKEN } else { key::NOT_BOUND }
}

/// What the partition is made as, for ever; not from a file that is there and says nobody knows what.
fn first_wish(asked: &Result<Option<Disk>, Rejected>, tpm: Tpm) -> Result<(Disk, Guard), Refusal> {
    let wish = asked.clone().map_err(Refusal::File)?.unwrap_or_default();
    let guard = choose(wish.encrypt, tpm)?;
    Ok((wish, guard))
}

/// Opens the partition by the machine that it is bound to, if it is this one.
fn open_at_home(places: &Places, device: &Path, tpm: Tpm) -> Result<Option<Guard>, Error> {
    if tpm == Tpm::Ready && attach(device, "-", "tpm2-device=auto,").is_ok() {
        return Ok(Some(Guard::Tpm));
    }
    let Some(key) = home::fetch(places)? else { return Ok(None) };
    let file = KeyFile::write(places, &key)?;
    Ok(attach(device, file.as_str(), "").is_ok().then_some(Guard::Machine))
}

/// Opens the partition of another machine by the key of the shop's file, and binds it to this one.
fn move_in(places: &Places, device: &Path, wish: &Disk, tpm: Tpm) -> Result<Guard, Error> {
    let locked = if tpm == Tpm::Silent { Refusal::TpmSilent } else { Refusal::OtherMachine };
    let key = wish.key.as_ref().ok_or(locked)?;
    let guard = choose(wish.encrypt, tpm)?;
    let file = KeyFile::write(places, key)?;
    attach(device, file.as_str(), "").map_err(|_| Refusal::OtherMachine)?;
    settle_in(&Newcomer { places, device, key, file: &file, guard }, &mut key::tell)
}

/// The partition is open, so the box starts, whatever comes of binding it to this machine.
fn settle_in(newcomer: &Newcomer<'_>, tell: Tell<'_>) -> Result<Guard, Error> {
    let Newcomer { places, key, .. } = *newcomer;
    // Noted before anything is wiped: until it is bound, the shop's file is all that opens it.
    replace(&note(places), Guard::File.as_str().as_bytes())?;
    let bound = newcomer.bind(tell);
    let guard = *bound.as_ref().unwrap_or(&Guard::File);
    settle_key(places, key, bound.map(drop))?;
    Ok(guard)
}

fn partition(places: &Places) -> PathBuf {
    places.at("dev/disk/by-partlabel/data")
}

/// What the shop's file says about the disk, if there is a file.
fn wish_of(places: &Places) -> Result<Option<Disk>, Rejected> {
    // Where there is no such volume, no file can come over it.
    let Ok(mut disk) = File::open(places.config_volume()) else { return Ok(None) };
    let read = || -> Result<Option<Disk>, StickError> {
        let unread = |what: &str| {
            let what = what.to_owned();
            move |source| VolumeError::Io { what, source }
        };
        let bytes = disk.seek(SeekFrom::End(0)).map_err(unread("measure"))?;
        let volume = Volume::open(Window::new(ReadOnly(disk), 0, bytes));
        let volume = volume.map_err(unread("read the file system"))?;
        let Some(name) = volume.provisioning()? else { return Ok(None) };
        let bytes = Zeroizing::new(volume.read(&name)?);
        Ok(Some(Provision::parse(&name, &bytes)?.disk))
    };
    read().map_err(|error| match error {
        StickError::Rejected(rejected) => rejected,
        StickError::Volume(error) => {
            let reason = error.to_string();
            let problem = Problem { line: None, key: String::new(), reason };
            Rejected { file: volume::FILE.to_owned(), problems: vec![problem] }
        }
    })
}

/// Where the technician looks who has only a laptop.
fn on_volume(places: &Places, text: &str) -> Option<()> {
    let options = OpenOptions::new().read(true).write(true).clone();
    let mut disk = options.open(places.config_volume()).ok()?;
    let bytes = disk.seek(SeekFrom::End(0)).ok()?;
    let volume = Volume::open(Window::new(&disk, 0, bytes)).ok()?;
    volume.write(RESULT, text.as_bytes()).ok()?;
    volume.close().ok()?;
    disk.sync_all().ok()
}

/// The volume is looked at before anything is taken from it: no access time, no answer.
struct ReadOnly(File);

impl Read for ReadOnly {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for ReadOnly {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

impl Write for ReadOnly {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A TPM of version 2; one that the firmware names is waited for.
fn await_tpm(places: &Places) -> Tpm {
    let device = places.at("dev/tpmrm0");
    let is_named = places.at("sys/firmware/acpi/tables/TPM2").exists();
    let looks = if is_named { TPM_LOOKS_MAX } else { 1 };
    for _ in 0..looks {
        if device.exists() {
            return Tpm::Ready;
        }
        thread::sleep(LOOK_EVERY);
    }
    if is_named { Tpm::Silent } else { Tpm::Absent }
}

fn settle() -> Result<(), Error> {
    run("udevadm", &["settle", "--timeout=30"]).map(drop)
}

/// The definition of the partition, with what seals it.
pub fn definition(guard: Guard, has_key: bool) -> String {
    let encrypt = match (guard, has_key) {
        (Guard::Tpm, true) => "Encrypt=key-file+tpm2\n",
        (Guard::Tpm, false) => "Encrypt=tpm2\n",
        (Guard::Machine | Guard::File, _) => "Encrypt=key-file\n",
        (Guard::Nothing, _) => "",
    };
    Layout::shipped().repart() + encrypt
}

fn make(places: &Places, wish: &Disk, guard: Guard) -> Result<(), Error> {
    let folder = places.run().join("repart.d");
    replace(&folder.join("50-data.conf"), definition(guard, wish.key.is_some()).as_bytes())?;
    if let (Guard::Machine, Some(key)) = (guard, &wish.key) {
        home::keep(places, key)?;
    }
    let mut args = vec!["--dry-run=no".to_owned(), format!("--definitions={}", folder.display())];
    let file = match (guard, &wish.key) {
        (Guard::Tpm | Guard::Machine | Guard::File, Some(key)) => {
            Some(KeyFile::write(places, key)?)
        }
        (Guard::Nothing, _) | (_, None) => None,
    };
    args.extend(file.as_ref().map(|file| format!("--key-file={}", file.as_str())));
    if guard == Guard::Tpm {
        args.extend(["--tpm2-device=auto".to_owned(), key::PCRS.to_owned()]);
    }
    run("systemd-repart", &args).map(drop)
}

fn is_sealed(device: &Path) -> Result<bool, Error> {
    let mut magic = [0; MAGIC.len()];
    let read = File::open(device).and_then(|mut device| device.read_exact(&mut magic));
    read.map_err(io_error("read", device))?;
    Ok(magic == MAGIC)
}

/// Opens the partition without asking anybody.
fn attach(device: &Path, key: &str, more: &str) -> Result<(), Error> {
    let device = device.display().to_string();
    let options = format!("{more}headless=true,discard");
    run("systemd-cryptsetup", &["attach", NAME, &device, key, &options]).map(drop)
}

/// What guards the data partition of this start, in words.
pub(super) fn guard(places: &Places) -> Option<String> {
    fs::read_to_string(note(places)).ok()
}

fn note(places: &Places) -> PathBuf {
    places.run().join("disk")
}

/// Whether the file that gives a key may go: the partition opens with the key and by its machine, or needs neither.
pub(super) fn has_key(places: &Places, wish: &Disk) -> bool {
    let Some(key) = &wish.key else { return true };
    is_open(places) || key::is_taken(places, key)
}

/// Whether the partition needs no key. A start that was cut short has left no note: then the partition says it.
fn is_open(places: &Places) -> bool {
    match (guard(places), is_sealed(&partition(places))) {
        (Some(guard), _) => guard == Guard::Nothing.as_str(),
        (None, Ok(is_sealed)) => !is_sealed,
        // An image that seals nothing may have no such partition.
        (None, Err(Error::Io { source, .. })) => source.kind() == ErrorKind::NotFound,
        (None, Err(_)) => false,
    }
}

/// What to say while the file of a key has to stay.
pub(super) fn key_words(places: &Places) -> String {
    format!(
        "{}: what it holds would be lost with this machine. \
         The file stays on the volume SBXCONFIG, and the next start tries again.",
        trouble(places)
    )
}

/// What to say if the file asks for another seal than the partition has had since it was made.
pub(super) fn is_other(places: &Places, wish: &Disk) -> Option<String> {
    let wants = match wish.encrypt? {
        Encrypt::Tpm => Guard::Tpm,
        Encrypt::Provisioned => Guard::Machine,
        Encrypt::Off => Guard::Nothing,
    };
    // An image that seals notes at each start what it found; another one leaves its partition open.
    let (has, way) = match guard(places) {
        // What has to be done about it is said already.
        Some(has) if has == Guard::File.as_str() => return None,
        None if !is_open(places) => return None,
        Some(has) => (has, "flash the disk again with the file on it"),
        None => (Guard::Nothing.as_str().to_owned(), "this image cannot seal it"),
    };
    (has != wants.as_str()).then(|| {
        let wants = wants.as_str();
        format!("the data partition is {has}; the shop's file wants it {wants}: {way}")
    })
}

#[cfg(test)]
mod tests;
