//! A disk image from the images of its partitions.
//!
//! No root, no loop device, no mount: the table is computed, the parts are copied to their places,
//! the volume SBXCONFIG is formatted in place. The image is sparse, and the same inputs give the
//! same bytes: nothing in it comes from a clock or a random number.
//!
//! Slot B stays empty: a new box runs its one release until the first update.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::blockmap::{BlockMap, SurveyError};
use crate::digest::Digest;
use crate::fat;
use crate::gpt;
use crate::layout::{Layout, Place, Role};
use crate::provision::volume::{self, Volume, VolumeError, Window};
use crate::slot::Slot;

/// How much of a part is in memory, and the smallest hole that is left in the image.
const PIECE_BYTES: usize = 64 << 10;
const EXAMPLE_NAME: &str = "storebox.example.toml";
const EXAMPLE: &str = include_str!("../storebox.example.toml");

/// The images of the partitions.
#[derive(Debug, Clone)]
pub struct Parts {
    pub esp: PathBuf,
    pub kernel: PathBuf,
    pub rootfs: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    #[error("{what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} has {bytes} bytes, its partition {label} holds {room}")]
    TooLarge { path: PathBuf, label: &'static str, bytes: u64, room: u64 },
    #[error("{path} is empty")]
    Empty { path: PathBuf },
    #[error("{path} is no FAT volume: no firmware would start from it")]
    NotFat { path: PathBuf },
    #[error("lay out the disk")]
    Table(#[from] gpt::InvalidTable),
    #[error("fill the volume {}", Role::Config.label())]
    Config(#[source] io::Error),
    #[error("fill the volume {}", Role::Config.label())]
    Example(#[from] VolumeError),
    #[error("map the image")]
    Survey(#[from] SurveyError),
}

/// Writes the image, replacing a file that is there, and says which of its bytes are content.
pub fn assemble(layout: &Layout, parts: &Parts, out: &Path) -> Result<BlockMap, AssembleError> {
    let io_error = |what| move |source| AssembleError::Io { what, path: out.to_owned(), source };
    let table = layout.table(layout.image_bytes())?;
    let mut image = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(out)
        .map_err(io_error("create"))?;
    image.set_len(layout.image_bytes()).map_err(io_error("size"))?;
    let mut content = vec![0..gpt::HEAD_BYTES, table.tail_at()..table.disk_bytes()];
    let placed = [
        (&parts.esp, Role::Esp),
        (&parts.kernel, Role::Kernel(Slot::A)),
        (&parts.rootfs, Role::Rootfs(Slot::A)),
    ];
    for (path, role) in placed {
        content.extend(copy_part(path, layout.place(role), &mut image, out)?);
    }
    content.extend(config_volume(layout, &mut image)?);
    write_at(&mut image, 0, &table.head()).map_err(io_error("write"))?;
    write_at(&mut image, table.tail_at(), &table.tail()).map_err(io_error("write"))?;
    image.sync_all().map_err(io_error("flush"))?;
    Ok(BlockMap::survey(&mut image, layout.image_bytes(), &content)?)
}

fn copy_part(
    path: &Path,
    place: &Place,
    image: &mut File,
    out: &Path,
) -> Result<Vec<Range<u64>>, AssembleError> {
    let io_error = |what, path: &Path| {
        let path = path.to_owned();
        move |source| AssembleError::Io { what, path, source }
    };
    let mut part = File::open(path).map_err(io_error("open", path))?;
    let bytes = part.seek(SeekFrom::End(0)).map_err(io_error("read", path))?;
    let (label, room) = (place.role.label(), place.bytes);
    if bytes == 0 {
        return Err(AssembleError::Empty { path: path.to_owned() });
    }
    if bytes > room {
        return Err(AssembleError::TooLarge { path: path.to_owned(), label, bytes, room });
    }
    let used = match place.role {
        Role::Esp => fat::content(&mut part, bytes)
            .map_err(io_error("read", path))?
            .ok_or_else(|| AssembleError::NotFat { path: path.to_owned() })?,
        Role::Kernel(_) | Role::Rootfs(_) | Role::Config | Role::Data => {
            std::iter::once(0..bytes).collect()
        }
    };
    for range in &used {
        copy_sparse(&mut part, range, image, place.start).map_err(|source| AssembleError::Io {
            what: "copy into",
            path: out.into(),
            source,
        })?;
    }
    Ok(used.into_iter().map(|r| r.start + place.start..r.end + place.start).collect())
}

/// Copies a range; what is all zeros is left as a hole, which reads the same.
fn copy_sparse(
    part: &mut File,
    range: &Range<u64>,
    image: &mut File,
    start: u64,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    part.seek(SeekFrom::Start(range.start))?;
    let mut at = range.start;
    while at < range.end {
        let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        let piece = &mut piece[..left.min(PIECE_BYTES)];
        part.read_exact(piece)?;
        if piece.iter().any(|&b| b != 0) {
            write_at(image, start + at, piece)?;
        }
        at += piece.len() as u64;
    }
    Ok(())
}

fn config_volume(layout: &Layout, image: &mut File) -> Result<Vec<Range<u64>>, AssembleError> {
    let place = layout.place(Role::Config);
    let id = Digest::of(layout.seed().as_bytes());
    let id = u32::from_le_bytes([id.bytes()[0], id.bytes()[1], id.bytes()[2], id.bytes()[3]]);
    let mut window = Window::new(&mut *image, place.start, place.bytes);
    volume::format(&mut window, id).map_err(AssembleError::Config)?;
    let files = Volume::open(window).map_err(AssembleError::Config)?;
    // With the line ends of Windows, whose old editors show nothing else as lines.
    files.write(EXAMPLE_NAME, EXAMPLE.replace('\n', "\r\n").as_bytes())?;
    files.close()?;
    let mut window = Window::new(image, place.start, place.bytes);
    let used = fat::content(&mut window, place.bytes).map_err(AssembleError::Config)?;
    let used = used.expect("the volume was formatted above");
    Ok(used.into_iter().map(|r| r.start + place.start..r.end + place.start).collect())
}

fn write_at(image: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
    image.seek(SeekFrom::Start(at))?;
    image.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::layout::MIB;

    /// A FAT volume and two parts of other kinds, small.
    fn parts(dir: &Path) -> Parts {
        let esp = dir.join("esp.img");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&esp).unwrap();
        file.set_len(48 * MIB).unwrap();
        volume::format(&mut Window::new(&file, 0, 48 * MIB), 1).unwrap();
        let volume = Volume::open(Window::new(&file, 0, 48 * MIB)).unwrap();
        volume.write("grub.cfg", b"boot").unwrap();
        volume.close().unwrap();
        let (kernel, rootfs) = (dir.join("kernel.img"), dir.join("rootfs.img"));
        std::fs::write(&kernel, vec![0x4b; 300_001]).unwrap();
        std::fs::write(&rootfs, [vec![0x52; 5 << 20], vec![0; 1 << 20]].concat()).unwrap();
        Parts { esp, kernel, rootfs }
    }

    fn digest(path: &Path) -> Digest {
        Digest::of_reader(&mut File::open(path).unwrap()).unwrap().0
    }

    #[test]
    fn the_same_inputs_give_the_same_image_and_it_is_sparse() {
        let dir = tempfile::tempdir().unwrap();
        let (parts, layout) = (parts(dir.path()), Layout::shipped());
        let (one, two) = (dir.path().join("one.img"), dir.path().join("two.img"));
        std::fs::write(&two, vec![0xff; 1 << 20]).unwrap();
        let map = assemble(&layout, &parts, &one).unwrap();
        assert_eq!(assemble(&layout, &parts, &two).unwrap(), map);
        assert_eq!(digest(&one), digest(&two));
        let metadata = std::fs::metadata(&one).unwrap();
        assert_eq!(metadata.len(), layout.image_bytes());
        assert!(metadata.blocks() * 512 < 16 * MIB, "{} blocks", metadata.blocks());
        assert!(map.mapped_bytes() < 16 * MIB, "{}", map.mapped_bytes());
    }

    #[test]
    fn every_part_lies_where_the_table_says_and_the_map_holds_all_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (parts, layout) = (parts(dir.path()), Layout::shipped());
        let out = dir.path().join("disk.img");
        let map = assemble(&layout, &parts, &out).unwrap();
        let mut image = File::open(&out).unwrap();
        let found = gpt::find(&mut image, layout.image_bytes()).unwrap();
        let kernel = found.table.entry("kernel-a").unwrap();
        image.seek(SeekFrom::Start(kernel.start_byte())).unwrap();
        let mut bytes = vec![0; 300_002];
        image.read_exact(&mut bytes).unwrap();
        assert!(bytes[..300_001].iter().all(|&b| b == 0x4b) && bytes[300_001] == 0);
        let rootfs = layout.place(Role::Rootfs(Slot::A));
        let mapped: u64 = map
            .content()
            .iter()
            .filter(|chunk| (rootfs.start..rootfs.end()).contains(&chunk.at))
            .map(|chunk| chunk.bytes)
            .sum();
        assert_eq!(mapped, 6 << 20, "zeros inside a file system are content too");
        let disk = OpenOptions::new().read(true).write(true).open(&out).unwrap();
        let volume = Volume::find(disk, layout.image_bytes()).unwrap();
        assert_eq!(volume.provisioning().unwrap(), None);
        assert!(volume.read(EXAMPLE_NAME).unwrap().ends_with(b"baud = 9600\r\n"));
    }

    #[test]
    fn a_part_that_does_not_belong_there_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (good, layout) = (parts(dir.path()), Layout::shipped());
        let out = dir.path().join("disk.img");
        let try_with = |change: &dyn Fn(&mut Parts)| {
            let mut parts = good.clone();
            change(&mut parts);
            assemble(&layout, &parts, &out).unwrap_err()
        };
        let not_fat = try_with(&|parts| parts.esp = parts.rootfs.clone());
        assert!(matches!(not_fat, AssembleError::NotFat { .. }));
        let large = try_with(&|parts| parts.kernel = parts.esp.clone());
        assert!(matches!(large, AssembleError::TooLarge { label: "kernel-a", .. }));
        let missing = try_with(&|parts| parts.rootfs = dir.path().join("none"));
        assert!(matches!(missing, AssembleError::Io { what: "open", .. }));
        let empty = dir.path().join("empty");
        File::create(&empty).unwrap();
        let empty = try_with(&|parts| parts.rootfs = empty.clone());
        assert!(matches!(empty, AssembleError::Empty { .. }));
    }
}
