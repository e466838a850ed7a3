//! The FAT volume SBXCONFIG on a disk or in an image, found through the partition table.
//!
//! A technician opens it on any computer, so names come as Windows leaves them: any case, and
//! perhaps with a hidden `.txt` behind. Sizes are bounded before reading.
//!
//! The file system is the crate `fatfs`; we add where the volume lies and what may be in it.

use std::io::{self, Read, Seek, SeekFrom, Write};

use fatfs::{
    Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider,
    format_volume,
};

use crate::gpt;
use crate::layout::Role;

/// The file a technician writes.
pub const FILE: &str = "storebox.toml";
/// The file the box answers with.
pub const RESULT: &str = "RESULT.TXT";
/// More than any provisioning file has; a wrong file is not read into memory.
pub const FILE_BYTES_MAX: u64 = 64 << 10;
/// A volume with more entries in its root is not ours.
const ENTRIES_MAX: usize = 1000;
/// Small clusters: the volume holds a few small files.
const CLUSTER_BYTES: u32 = 2048;
/// The label as FAT stores it.
const LABEL: [u8; 11] = *b"SBXCONFIG  ";

/// A part of a disk as if it were a disk of its own.
#[derive(Debug)]
pub struct Window<F> {
    disk: F,
    start: u64,
    bytes: u64,
    at: u64,
}

impl<F: Read + Write + Seek> Window<F> {
    pub fn new(disk: F, start: u64, bytes: u64) -> Self {
        Self { disk, start, bytes, at: 0 }
    }

    fn seek_for(&mut self, wanted: usize) -> io::Result<usize> {
        self.disk.seek(SeekFrom::Start(self.start + self.at))?;
        let left = usize::try_from(self.bytes.saturating_sub(self.at)).unwrap_or(usize::MAX);
        Ok(wanted.min(left))
    }
}

impl<F: Read + Write + Seek> Read for Window<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.seek_for(buffer.len())?;
        let read = self.disk.read(&mut buffer[..len])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<F: Read + Write + Seek> Write for Window<F> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let len = self.seek_for(buffer.len())?;
        let written = self.disk.write(&buffer[..len])?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.disk.flush()
    }
}

impl<F: Read + Write + Seek> Seek for Window<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// The same bytes for the same inputs: the volume has no clock.
#[derive(Debug)]
pub(crate) struct NoClock;

pub(crate) static CLOCK: NoClock = NoClock;

impl TimeProvider for NoClock {
    fn get_current_date(&self) -> Date {
        Date { year: 2026, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        let time = Time { hour: 0, min: 0, sec: 0, millis: 0 };
        DateTime { date: self.get_current_date(), time }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("find the partition {}", Role::Config.label())]
    Table(#[from] gpt::NoTable),
    #[error("the disk has no partition {}: it is no Storebox disk", Role::Config.label())]
    NoPartition,
    #[error("{what} on the volume {}", Role::Config.label())]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("the volume holds {first} and {second}; leave only one")]
    Ambiguous { first: String, second: String },
    #[error("{name} has {bytes} bytes, allowed are {FILE_BYTES_MAX}")]
    TooLarge { name: String, bytes: u64 },
    #[error("the volume holds more than {ENTRIES_MAX} files")]
    TooMany,
}

/// Makes an empty volume. `id` is the serial number other systems show.
pub fn format<F: Read + Write + Seek>(window: &mut Window<F>, id: u32) -> io::Result<()> {
    let sectors = u32::try_from(window.bytes / gpt::SECTOR_BYTES)
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat16)
        .bytes_per_cluster(CLUSTER_BYTES)
        .total_sectors(sectors)
        .volume_id(id)
        .volume_label(LABEL);
    window.seek(SeekFrom::Start(0))?;
    format_volume(window, options)
}

/// The volume, opened.
pub struct Volume<F: Read + Write + Seek> {
    files: FileSystem<Window<F>>,
}

impl<F: Read + Write + Seek> Volume<F> {
    /// Finds the volume on a disk of `disk_bytes`.
    pub fn find(mut disk: F, disk_bytes: u64) -> Result<Self, VolumeError> {
        let table = gpt::find(&mut disk, disk_bytes)?.table;
        let entry = table.entry(Role::Config.label()).ok_or(VolumeError::NoPartition)?;
        Self::open(Window::new(disk, entry.start_byte(), entry.bytes()))
            .map_err(|source| VolumeError::Io { what: "read the file system".into(), source })
    }

    pub fn open(window: Window<F>) -> io::Result<Self> {
        let mut window = window;
        window.seek(SeekFrom::Start(0))?;
        let files = FileSystem::new(window, FsOptions::new().time_provider(&CLOCK))?;
        Ok(Self { files })
    }

    /// The name under which the provisioning file lies there.
    pub fn provisioning(&self) -> Result<Option<String>, VolumeError> {
        let mut found: Option<String> = None;
        for (count, entry) in self.files.root_dir().iter().enumerate() {
            if count >= ENTRIES_MAX {
                return Err(VolumeError::TooMany);
            }
            let name = entry.map_err(io_error("list files"))?.file_name();
            let lower = name.to_ascii_lowercase();
            if lower != FILE && lower.strip_suffix(".txt") != Some(FILE) {
                continue;
            }
            if let Some(first) = found {
                return Err(VolumeError::Ambiguous { first, second: name });
            }
            found = Some(name);
        }
        Ok(found)
    }

    pub fn read(&self, name: &str) -> Result<Vec<u8>, VolumeError> {
        let what = format!("read {name}");
        let error = || io_error(&what);
        let mut file = self.files.root_dir().open_file(name).map_err(error())?;
        let bytes = file.seek(SeekFrom::End(0)).map_err(error())?;
        if bytes > FILE_BYTES_MAX {
            return Err(VolumeError::TooLarge { name: name.to_owned(), bytes });
        }
        file.seek(SeekFrom::Start(0)).map_err(error())?;
        let mut content = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut content).map_err(error())?;
        Ok(content)
    }

    /// Writes a file, replacing one of that name.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), VolumeError> {
        let what = format!("write {name}");
        let error = || io_error(&what);
        let mut file = self.files.root_dir().create_file(name).map_err(error())?;
        file.truncate().map_err(error())?;
        file.write_all(content).map_err(error())?;
        file.flush().map_err(error())
    }

    /// Overwrites a file with zeros where it lies, then removes its name: it held a secret.
    pub fn wipe(&self, name: &str) -> Result<(), VolumeError> {
        let what = format!("wipe {name}");
        let error = || io_error(&what);
        let root = self.files.root_dir();
        let mut file = root.open_file(name).map_err(error())?;
        let bytes = file.seek(SeekFrom::End(0)).map_err(error())?;
        if bytes > FILE_BYTES_MAX {
            return Err(VolumeError::TooLarge { name: name.to_owned(), bytes });
        }
        file.seek(SeekFrom::Start(0)).map_err(error())?;
        io::copy(&mut io::repeat(0).take(bytes), &mut file).map_err(error())?;
        file.flush().map_err(error())?;
        drop(file);
        root.remove(name).map_err(error())
    }

    /// Writes down what the file system kept in memory. The caller flushes the disk.
    pub fn close(self) -> Result<(), VolumeError> {
        self.files.unmount().map_err(io_error("close"))
    }
}

fn io_error(what: &str) -> impl Fn(io::Error) -> VolumeError {
    move |source| VolumeError::Io { what: what.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const BYTES: u64 = 16 << 20;

    fn formatted() -> Cursor<Vec<u8>> {
        let mut disk = Cursor::new(vec![0xee; usize::try_from(BYTES + (1 << 20)).unwrap()]);
        format(&mut Window::new(&mut disk, 1 << 20, BYTES), 0x1234_5678).unwrap();
        disk
    }

    fn open(disk: &mut Cursor<Vec<u8>>) -> Volume<&mut Cursor<Vec<u8>>> {
        Volume::open(Window::new(disk, 1 << 20, BYTES)).unwrap()
    }

    #[test]
    fn a_file_is_written_read_and_wiped_without_a_trace() {
        let mut disk = formatted();
        assert_eq!(disk.get_ref()[(1 << 20) - 1], 0xee, "nothing before the window is touched");
        let volume = open(&mut disk);
        volume.write(FILE, b"token = 'very-secret'").unwrap();
        volume.close().unwrap();
        let volume = open(&mut disk);
        let name = volume.provisioning().unwrap().unwrap();
        assert_eq!(volume.read(&name).unwrap(), b"token = 'very-secret'");
        volume.wipe(&name).unwrap();
        assert_eq!(volume.provisioning().unwrap(), None);
        volume.close().unwrap();
        assert!(!disk.get_ref().windows(11).any(|window| window == b"very-secret"));
    }

    #[test]
    fn names_as_windows_leaves_them_are_found_and_two_of_them_are_refused() {
        let mut disk = formatted();
        let volume = open(&mut disk);
        volume.write("STOREBOX.TOML.txt", b"a").unwrap();
        volume.write("notes.txt", b"b").unwrap();
        assert_eq!(volume.provisioning().unwrap().as_deref(), Some("STOREBOX.TOML.txt"));
        volume.write("storebox.toml", b"c").unwrap();
        assert!(matches!(volume.provisioning(), Err(VolumeError::Ambiguous { .. })));
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let mut disk = formatted();
        let volume = open(&mut disk);
        volume.write(FILE, &vec![b'#'; 70_000]).unwrap();
        let error = volume.read(FILE).unwrap_err();
        assert!(matches!(error, VolumeError::TooLarge { bytes: 70_000, .. }));
    }

    #[test]
    fn the_same_volume_comes_out_twice() {
        assert!(formatted().into_inner() == formatted().into_inner());
    }
}
