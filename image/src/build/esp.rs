//! The boot volume: GRUB, its script and its notes about the slots.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions, format_volume};

use super::tools::{Tools, Work};
use super::{BuildError, Inputs, io_error, write};
use crate::gpt::SECTOR_BYTES;
use crate::layout::{Layout, Role};
use crate::provision::volume::CLOCK;
use crate::slot::State;
use crate::slot::grubenv::Env;

/// Finds the volume it was started from; everything else is in `grub.cfg`.
const EARLY: &str = "search --no-floppy --set=root --file /grub/storebox.id\n\
    set prefix=($root)/grub\nconfigfile ($root)/grub/grub.cfg\n";
const MODULES: &str = "part_gpt fat squash4 loadenv search search_fs_file configfile regexp test \
    echo linux normal minicmd reboot sleep serial terminal efi_gop gzio";
/// Firmware is strict: FAT32, and small clusters make enough of them for it.
const CLUSTER_BYTES: u32 = 512;
const LABEL: [u8; 11] = *b"STOREBOX   ";
const VOLUME_ID: u32 = 0x5342_4f58;

pub(super) fn make(tools: &Tools, work: &Work, inputs: &Inputs) -> Result<PathBuf, BuildError> {
    let (early, loader) = (work.path("early.cfg"), work.path("grub.efi"));
    write(&early, EARLY)?;
    let mut command = tools.command("grub-mkimage");
    command.args(["-O", "x86_64-efi", "-p", "/grub", "-c"]).arg(tools.inside(&early));
    command.arg("-o").arg(tools.inside(&loader)).args(MODULES.split_whitespace());
    super::tools::finish("grub-mkimage", &mut command)?;
    let read = |path: &Path| fs::read(path).map_err(io_error("read", path));
    let mut env = Env::default();
    env.set_state(&State::flashed());
    let block = env.to_block().expect("the notes of a new box fit their block");
    let files = [
        ("EFI/BOOT/BOOTX64.EFI", read(&loader)?),
        ("grub/grub.cfg", read(&inputs.source.join("image/grub/grub.cfg"))?),
        ("grub/grubenv", block.to_vec()),
        ("grub/storebox.id", b"storebox\n".to_vec()),
    ];
    let image = work.path("esp.img");
    let bytes = Layout::shipped().place(Role::Esp).bytes;
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(true).open(&image);
    let mut file = file.map_err(io_error("create", &image))?;
    file.set_len(bytes).map_err(io_error("size", &image))?;
    fill(&mut file, bytes, &files).map_err(BuildError::Esp)?;
    Ok(image)
}

fn fill(
    disk: &mut (impl Read + Write + Seek),
    bytes: u64,
    files: &[(&str, Vec<u8>)],
) -> io::Result<()> {
    let sectors = u32::try_from(bytes / SECTOR_BYTES).map_err(io::Error::other)?;
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(CLUSTER_BYTES)
        .total_sectors(sectors)
        .volume_id(VOLUME_ID)
        .volume_label(LABEL);
    format_volume(&mut *disk, options)?;
    disk.seek(SeekFrom::Start(0))?;
    let volume = FileSystem::new(disk, FsOptions::new().time_provider(&CLOCK))?;
    for (path, content) in files {
        let mut folder = volume.root_dir();
        let mut parts: Vec<&str> = path.split('/').collect();
        let name = parts.pop().unwrap_or_default();
        for part in parts {
            folder = folder.create_dir(part)?;
        }
        let mut file = folder.create_file(name)?;
        file.truncate()?;
        file.write_all(content)?;
        file.flush()?;
    }
    volume.unmount()
}
