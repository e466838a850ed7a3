//! The two partitions of a slot: the root with its tree of hashes, and the kernel that knows its hash.

use std::fs;
use std::path::{Path, PathBuf};

use super::kernel::Kernel;
use super::tools::{Tools, Work};
use super::{BuildError, EPOCH, copy, size, write};

/// The same for every release: an update then finds blocks and hashes that did not change.
const ROOT_UUID: &str = "3b9f1a52-6c2e-4d1f-9f37-5a0d1f5c0002";
const SALT: &str = "53746f7265626f78000000000000000000000000000000000000000000000000";
const BLOCK_BYTES: u64 = 4096;
/// Small pieces that lie each at its own block, so that a small release changes few blocks.
/// Level 19 takes a minute more than level 9 to write and 4 of 60 MB less to carry; reading is the same.
const COMPRESSION: [&str; 2] = ["-zzstd,level=19", "-C65536"];

/// A root file system with its tree of hashes behind it.
#[derive(Debug)]
pub(super) struct Rootfs {
    pub(super) image: PathBuf,
    blocks: u64,
    hash: String,
}

pub(super) fn rootfs(tools: &Tools, work: &Work, root: &Path) -> Result<Rootfs, BuildError> {
    let image = work.path("rootfs.img");
    let time = format!("-T{EPOCH}");
    let uuid = format!("-U{ROOT_UUID}");
    let [algorithm, cluster] = COMPRESSION;
    tools.run(
        "mkfs.erofs",
        &[&"--quiet", &time, &uuid, &"-x-1", &algorithm, &cluster, &image, &root],
    )?;
    let blocks = size(&image)?.div_ceil(BLOCK_BYTES);
    let (data, offset) =
        (format!("--data-blocks={blocks}"), format!("--hash-offset={}", blocks * BLOCK_BYTES));
    let salt = format!("--salt={SALT}");
    let said = tools.run(
        "veritysetup",
        &[&"format", &"--no-superblock", &data, &offset, &salt, &image, &image],
    )?;
    let hash = said.lines().find_map(|line| line.strip_prefix("Root hash:"));
    let unexpected = || BuildError::Unexpected { what: "veritysetup", line: said.clone() };
    let hash = hash.ok_or_else(unexpected)?.trim().to_owned();
    Ok(Rootfs { image, blocks, hash })
}

/// The kernel partition: not compressed, because GRUB reads it faster that way.
pub(super) fn kernel(
    tools: &Tools,
    work: &Work,
    kernel: &Kernel,
    initrd: &Path,
    rootfs: &Rootfs,
    words: &[String],
) -> Result<PathBuf, BuildError> {
    let tree = work.path("slot");
    copy(&kernel.image, &tree.join("vmlinuz"))?;
    copy(initrd, &tree.join("initrd.img"))?;
    let Rootfs { blocks, hash, .. } = rootfs;
    let cmdline = format!("{} storebox.verity={blocks}:{hash}:{SALT}", words.join(" "));
    write(&tree.join("slot.cfg"), format!("set STOREBOX_CMDLINE=\"{cmdline}\"\n"))?;
    let image = work.path("kernel.img");
    let _ = fs::remove_file(&image);
    let fixed: [&dyn AsRef<Path>; 14] = [
        &tree,
        &image,
        &"-noI",
        &"-noD",
        &"-noF",
        &"-noX",
        &"-noappend",
        &"-quiet",
        &"-no-progress",
        &"-all-root",
        &"-all-time",
        &EPOCH,
        &"-mkfs-time",
        &EPOCH,
    ];
    // It refuses times that are given twice.
    let mut command = tools.command("mksquashfs");
    command.env_remove("SOURCE_DATE_EPOCH");
    for arg in fixed {
        let arg = arg.as_ref();
        command.arg(if arg.starts_with(tools.root()) { tools.inside(arg) } else { arg.into() });
    }
    super::tools::finish("mksquashfs", &mut command)?;
    Ok(image)
}
