//! The data partition before anything on it is used: made and sealed at the first start, opened at each.
//!
//! What the box holds lies in LUKS2, and the key is bound to the machine: by its TPM, or without one
//! by numbers of the machine that no disk holds ([`home`]). The shop's file says which; without a
//! word in it, a machine with a TPM seals and another one does not. So a start needs no hand, and the
//! disk alone opens nowhere else.
//!
//! The key in the shop's file opens the partition on any machine. It is how a disk moves to a new
//! board: the file is put onto the volume again, opens the partition once, and the partition is bound
//! to the machine that it is in now.
//!
//! systemd-repart makes the partition whole, sealed and formatted, before it writes it into the table:
//! a power cut leaves either nothing or all. Nothing here reads or writes what is inside, and nothing
//! makes a partition anew that is there, whether it opens or not.

pub mod home;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{Error, Places, announce, io_error, replace, run};
use crate::layout::Layout;
use crate::provision::volume::{RESULT, Volume, Window};
use crate::provision::{Disk, DiskKey, Encrypt, Provision};

/// What the opened partition is called by the device mapper; a rule of udev knows it too.
const NAME: &str = "data";
/// The state of the firmware's checks: stays over our updates, changes with another boot policy.
const PCRS: &str = "--tpm2-pcrs=7";
const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
/// A TPM that the firmware names may take its time to answer.
const TPM_LOOKS_MAX: u32 = 150;
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why a box has no data partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
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
    Nothing,
}

impl Guard {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tpm => "sealed by the machine's TPM",
            Self::Machine => "sealed by the machine's own numbers",
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
        Err(error) => {
            let text = format!("the box does not start: {error}");
            announce::on_console(places, &text);
            announce::on_paper(places, &text);
            // Most boxes have neither screen nor printer.
            let _ = on_volume(places, &text);
        }
    }
    opened
}

fn try_open(places: &Places) -> Result<Guard, Error> {
    let wish = wish_of(places);
    let tpm = await_tpm(places);
    settle()?;
    let device = places.at("dev/disk/by-partlabel/data");
    if !device.exists() {
        make(places, &wish, choose(wish.encrypt, tpm)?)?;
        settle()?;
    }
    if !is_sealed(&device)? {
        return Ok(Guard::Nothing);
    }
    if tpm == Tpm::Ready && attach(&device, "-", "tpm2-device=auto,").is_ok() {
        return Ok(Guard::Tpm);
    }
    if let Some(key) = home::fetch(places)? {
        let file = KeyFile::write(places, &key)?;
        if attach(&device, file.as_str(), "").is_ok() {
            return Ok(Guard::Machine);
        }
    }
    let locked = if tpm == Tpm::Silent { Refusal::TpmSilent } else { Refusal::OtherMachine };
    let key = wish.key.as_ref().ok_or(locked)?;
    let guard = choose(wish.encrypt, tpm)?;
    let file = KeyFile::write(places, key)?;
    attach(&device, file.as_str(), "").map_err(|_| Refusal::OtherMachine)?;
    bind(places, &device, key, &file, guard)
}

/// What the shop's file says about the disk; one that is wrong is told about when it is taken in.
fn wish_of(places: &Places) -> Disk {
    let read = || -> Option<Disk> {
        let mut disk = File::open(places.config_volume()).ok()?;
        let bytes = disk.seek(SeekFrom::End(0)).ok()?;
        let volume = Volume::open(Window::new(ReadOnly(disk), 0, bytes)).ok()?;
        let name = volume.provisioning().ok()??;
        Some(Provision::parse(&name, &volume.read(&name).ok()?).ok()?.disk)
    };
    read().unwrap_or_default()
}

/// Where the technician looks who has only a laptop.
fn on_volume(places: &Places, text: &str) -> Option<()> {
    let options = OpenOptions::new().read(true).write(true).clone();
    let mut disk = options.open(places.config_volume()).ok()?;
    let bytes = disk.seek(SeekFrom::End(0)).ok()?;
    let volume = Volume::open(Window::new(&disk, 0, bytes)).ok()?;
    volume.write(RESULT, format!("{text}\r\n").as_bytes()).ok()?;
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
        (Guard::Machine, _) => "Encrypt=key-file\n",
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
        (Guard::Tpm | Guard::Machine, Some(key)) => Some(KeyFile::write(places, key)?),
        (Guard::Nothing, _) | (_, None) => None,
    };
    args.extend(file.as_ref().map(|file| format!("--key-file={}", file.as_str())));
    if guard == Guard::Tpm {
        args.extend(["--tpm2-device=auto".to_owned(), PCRS.to_owned()]);
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

/// The machine that the partition is in now opens it from here on, and the one before no longer does.
fn bind(
    places: &Places,
    device: &Path,
    key: &DiskKey,
    file: &KeyFile,
    guard: Guard,
) -> Result<Guard, Error> {
    // What is sealed stays sealed, whatever a file says by now.
    if guard != Guard::Tpm {
        home::keep(places, key)?;
        return Ok(Guard::Machine);
    }
    for words in bind_words(&device.display().to_string(), file.as_str(), "auto") {
        run("systemd-cryptenroll", &words)?;
    }
    Ok(Guard::Tpm)
}

/// What systemd-cryptenroll is told, twice: it does nothing for a machine with the same firmware state
/// while the slot of the one before is there.
pub fn bind_words(device: &str, key_file: &str, tpm: &str) -> [Vec<String>; 2] {
    let device = device.to_owned();
    let (unlock, tpm) = (format!("--unlock-key-file={key_file}"), format!("--tpm2-device={tpm}"));
    [
        vec!["--wipe-slot=tpm2".to_owned(), device.clone()],
        vec![unlock, tpm, PCRS.to_owned(), device],
    ]
}

/// The key in memory for the moment in which another program reads it.
struct KeyFile(PathBuf);

impl KeyFile {
    fn write(places: &Places, key: &DiskKey) -> Result<Self, Error> {
        let path = places.run().join("disk.key");
        fs::create_dir_all(places.run()).map_err(io_error("create", &path))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options.open(&path).and_then(|mut f| f.write_all(key.expose().as_bytes()));
        written.map_err(io_error("write", &path))?;
        Ok(Self(path))
    }

    fn as_str(&self) -> &str {
        self.0.to_str().expect("the folder of this start has a plain name")
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What guards the data partition of this start, in words.
pub(super) fn guard(places: &Places) -> Option<String> {
    fs::read_to_string(note(places)).ok()
}

fn note(places: &Places) -> PathBuf {
    places.run().join("disk")
}

/// What to say if the file asks for another seal than the partition has had since it was made.
pub(super) fn is_other(places: &Places, wish: &Disk) -> Option<String> {
    let has = guard(places)?;
    let wants = match wish.encrypt? {
        Encrypt::Tpm => Guard::Tpm,
        Encrypt::Provisioned => Guard::Machine,
        Encrypt::Off => Guard::Nothing,
    };
    (has != wants.as_str()).then(|| {
        format!(
            "the data partition is {has}; the shop's file wants it {}: flash the disk again with \
             the file on it",
            wants.as_str()
        )
    })
}

#[cfg(test)]
mod tests;
