//! A bootable disk and its update from Debian packages and our programs.
//!
//! Everything here drives programs of Debian in a tree of their own ([`tools`]), so that the result
//! does not depend on what the computer has installed. What goes into a box is in `recipe/`, as
//! data: the packages, what of them is left out, the kernel modules, and the files that are ours.
//!
//! ```text
//! packages ──▶ base ──┐
//! kernel package ─────┼─▶ root ──▶ rootfs.img (EROFS, then its tree of hashes)
//! programs, recipe ───┘                │ root hash
//!                                      ▼
//!                              kernel.img (vmlinuz, initrd.img, slot.cfg) ──▶ update.raucb
//!                              esp.img (GRUB) ──────────────────────────────▶ disk.img
//! ```
//!
//! The same inputs give the same bytes of `disk.img`, `kernel.img` and `rootfs.img`: times, owners,
//! orders and identifiers are fixed. The inputs are the recipe, our programs, the version, the key
//! that updates are checked with, and the Debian packages, which `packages.txt` lists with their
//! versions. `update.raucb` carries the same images and a signature, which has a time in it.

mod base;
mod esp;
mod initrd;
mod kernel;
mod root;
mod slot;
pub mod tools;
mod update;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::assemble::{self, AssembleError, Parts};
use crate::blockmap::BlockMap;
use crate::layout::Layout;
use crate::manifest::Version;

use tools::{ToolError, Tools};

/// The moment that all files of an image bear: the clock of a box that lost its own starts there.
const EPOCH: &str = "1760000000";
/// Which boxes an update is for, in RAUC's words.
const COMPATIBLE: &str = "storebox-x86-64";
/// The same, as head office names it.
const BOARD: &str = "x86-64";

/// Which of Debian's kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Flavour {
    /// The one that ships: USB serial, printers, common network cards and disks
    Amd64,
    /// For virtual machines only; no USB
    CloudAmd64,
}

impl Flavour {
    fn package(self) -> &'static str {
        match self {
            Self::Amd64 => "linux-image-amd64",
            Self::CloudAmd64 => "linux-image-cloud-amd64",
        }
    }
}

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct Inputs {
    pub version: Version,
    /// The oldest release that a box may go back to from this one.
    pub min_version: Version,
    pub flavour: Flavour,
    /// The repository: `image/recipe`, `image/grub` and `systemd` are read from there.
    pub source: PathBuf,
    /// `storebox`, `storebox-image` and `storebox-init`.
    pub programs: PathBuf,
    /// `ca.cert.pem`, `release.cert.pem` and `release.key.pem`.
    pub keys: PathBuf,
    /// What is slow to make and may be thrown away.
    pub cache: PathBuf,
    /// Where the results go.
    pub out: PathBuf,
}

/// What was made.
#[derive(Debug)]
pub struct Built {
    pub disk: PathBuf,
    pub map: BlockMap,
    pub kernel_bytes: u64,
    pub rootfs_bytes: u64,
    pub update: PathBuf,
    pub update_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("understand {what}: {line:?}")]
    Unexpected { what: &'static str, line: String },
    #[error("fill the boot volume")]
    Esp(#[source] io::Error),
    #[error("assemble the disk")]
    Assemble(#[from] AssembleError),
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    move |source| BuildError::Io { what, path: path.to_owned(), source }
}

/// Makes everything; `tell` hears what is being done.
pub fn build(inputs: &Inputs, tell: &mut dyn FnMut(&str)) -> Result<Built, BuildError> {
    let tools = Tools::find(&inputs.cache)?;
    let work = tools.work()?;
    tell("Debian packages");
    let base = base::fetch(&inputs.cache, &recipe(inputs, "packages"))?;
    let packages = kernel::fetch(&tools, inputs)?;
    tell("root");
    let root = root::lay_out(&tools, &work, inputs, &base)?;
    let kernel = kernel::install(&tools, &work, inputs, &packages, &root)?;
    root::finish(&tools, inputs, &root)?;
    tell("root file system");
    let rootfs = slot::rootfs(&tools, &work, &root)?;
    tell("kernel and initrd");
    let initrd = initrd::make(&tools, &work, inputs, &root, &kernel)?;
    let words = list(&recipe(inputs, "cmdline"))?;
    let kernel = slot::kernel(&tools, &work, &kernel, &initrd, &rootfs, &words)?;
    let esp = esp::make(&tools, &work, inputs)?;
    tell("disk");
    fs::create_dir_all(&inputs.out).map_err(io_error("create", &inputs.out))?;
    let parts = Parts { esp, kernel, rootfs: rootfs.image };
    let disk = inputs.out.join("disk.img");
    let map = assemble::assemble(&Layout::shipped(), &parts, &disk)?;
    tell("update");
    let update = update::sign(&tools, &work, inputs, &parts)?;
    let built = Built {
        disk,
        map,
        kernel_bytes: size(&parts.kernel)?,
        rootfs_bytes: size(&parts.rootfs)?,
        update_bytes: size(&update)?,
        update,
    };
    for part in [&parts.kernel, &parts.rootfs] {
        let name = part.file_name().unwrap_or_default();
        copy(part, &inputs.out.join(name))?;
    }
    copy(&root.join("usr/share/storebox/packages.txt"), &inputs.out.join("packages.txt"))?;
    Ok(built)
}

fn recipe(inputs: &Inputs, name: &str) -> PathBuf {
    inputs.source.join("image/recipe").join(name)
}

/// The lines of a list in the recipe; `#` begins a remark.
fn list(path: &Path) -> Result<Vec<String>, BuildError> {
    let text = fs::read_to_string(path).map_err(io_error("read", path))?;
    let words = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(words.filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

fn size(path: &Path) -> Result<u64, BuildError> {
    Ok(fs::metadata(path).map_err(io_error("measure", path))?.len())
}

fn copy(from: &Path, to: &Path) -> Result<(), BuildError> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    }
    fs::copy(from, to).map_err(io_error("copy", from)).map(|_| ())
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), BuildError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    }
    fs::write(path, content).map_err(io_error("write", path))
}
