//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::build::Flavour;
use crate::manifest::{Board, FileName, Version};

/// The disk of a Storebox: lay out, assemble, sign, flash, verify, provision.
#[derive(Debug, Parser)]
#[command(name = "storebox-image", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show where each partition lies
    Layout(LayoutArgs),
    /// Make a bootable disk and its update from Debian packages and our programs
    Build(BuildArgs),
    /// Put the images of the partitions together to a disk image
    Assemble(AssembleArgs),
    /// Make a key that signs releases
    Keygen(KeygenArgs),
    /// Sign a release and pack it into one file
    Bundle(BundleArgs),
    /// Say with a key that a bundle may be installed, until a day
    Approve(ApproveArgs),
    /// Show what a release says about itself
    Inspect(InspectArgs),
    /// Check a release, or compare a disk with it
    Verify(VerifyArgs),
    /// List the disks of this computer
    List,
    /// Write a release onto a disk and read it back
    Flash(FlashArgs),
    /// Let a disk go, so that it can be taken out
    Eject {
        /// The disk, such as /dev/sdb
        disk: PathBuf,
    },
    /// Put the shop's file onto a flashed disk, show it, wipe it
    #[command(subcommand)]
    Provision(ProvisionCommand),
    /// Show or change which slot starts; also RAUC's custom boot loader backend
    Slots(SlotsArgs),
    /// What systemd starts on a box, as root
    #[command(subcommand)]
    Box(BoxCommand),
}

#[derive(Debug, Subcommand)]
pub enum BoxCommand {
    /// Make, seal and open the data partition; before anything on it is used
    Disk,
    /// Keep the identity, take in the shop's file; before the network comes up
    Start,
    /// Take over papers of head office, or ask for them; as the user of the service, before it
    Papers,
    /// Tell the address, and a code for the first till, on console and paper
    Announce,
    /// Wait for a good self-test and confirm this start
    Confirm,
    /// Restart if this start is not confirmed
    Deadline,
    /// The service was given up
    Failed,
    /// Install an update into the other slot and restart
    Update {
        /// This file or http:// address, instead of what lies in /var/lib/storebox-updates or on a stick
        file: Option<PathBuf>,
        /// Also an older release, or the same again
        #[arg(long)]
        older: bool,
        /// Also one that fell back before
        #[arg(long)]
        again: bool,
        /// Leave the restart to somebody else
        #[arg(long)]
        no_restart: bool,
    },
    /// Show what became of updates, oldest first, one JSON object a line
    History,
}

#[derive(Debug, Args)]
pub struct LayoutArgs {
    /// Another layout than the one built in
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print the definition by which systemd-repart makes the data partition at first boot
    #[arg(long)]
    pub repart: bool,
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The version of the release
    #[arg(long)]
    pub version: Version,
    /// The oldest release that a box may go back to from this one
    #[arg(long, value_name = "VERSION", default_value = "0.0.0")]
    pub min_version: Version,
    /// Which of Debian's kernels
    #[arg(long, value_enum, default_value = "amd64")]
    pub kernel: Flavour,
    /// A folder with storebox, storebox-image and storebox-init, built for the box
    #[arg(long, value_name = "FOLDER", default_value = "target/release")]
    pub programs: PathBuf,
    /// A folder with ca.cert.pem, release.cert.pem and release.key.pem; `image/keys` makes one to try
    #[arg(long, value_name = "FOLDER")]
    pub keys: PathBuf,
    /// This repository
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub source: PathBuf,
    #[command(flatten)]
    pub cache: Cache,
    /// The folder for disk.img, update.raucb and what they are made of
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
}

/// Where slow things are kept.
#[derive(Debug, Args)]
pub struct Cache {
    /// Where `image/setup` put the tools [default: ~/.cache/storebox]
    #[arg(long, value_name = "FOLDER", env = "STOREBOX_CACHE")]
    pub cache: Option<PathBuf>,
}

impl Cache {
    pub fn folder(&self) -> PathBuf {
        let home = || std::env::home_dir().unwrap_or_default().join(".cache/storebox");
        self.cache.clone().unwrap_or_else(home)
    }
}

#[derive(Debug, Args)]
pub struct AssembleArgs {
    /// FAT volume with the boot loader
    #[arg(long, value_name = "FILE")]
    pub esp: PathBuf,
    /// What the boot loader reads: kernel, initrd, command line
    #[arg(long, value_name = "FILE")]
    pub kernel: PathBuf,
    /// The root file system
    #[arg(long, value_name = "FILE")]
    pub rootfs: PathBuf,
    /// The disk image to write; its map goes beside it, with `.map.json` behind its name
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// The secret key; the public one goes beside it, with `.pub` behind its name
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct BundleArgs {
    #[arg(long)]
    pub version: Version,
    /// The kind of machine, such as x86-64
    #[arg(long)]
    pub board: Board,
    /// The oldest release that a box may go back to from this one
    #[arg(long, value_name = "VERSION")]
    pub min_version: Version,
    /// The secret key that signs
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// A disk image made by `assemble`
    #[arg(long, value_name = "FILE")]
    pub disk: Option<PathBuf>,
    /// A file for updates; may come several times
    #[arg(long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The release to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct ApproveArgs {
    #[arg(long)]
    pub version: Version,
    /// The kind of machine, such as x86-64
    #[arg(long)]
    pub board: Board,
    /// The hash of the bundle's manifest, as `rauc info` prints it
    #[arg(long, value_name = "HASH")]
    pub manifest: String,
    /// How long it counts; whoever signs after the first says the same
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=3650))]
    pub days: u64,
    /// The secret key that signs
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The approval; an earlier one of the same bundle keeps its signatures
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct Release {
    /// The release file
    pub release: PathBuf,
    /// A public key whose releases are believed; may come several times
    #[arg(long = "trust", value_name = "FILE", env = "STOREBOX_TRUST", required = true)]
    pub trust: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    #[command(flatten)]
    pub release: Release,
    /// Copy this file out of the release
    #[arg(long, value_name = "NAME", requires = "out")]
    pub extract: Option<FileName>,
    /// Where to copy it
    #[arg(long, value_name = "FILE", requires = "extract")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub release: Release,
    /// Compare this disk, or file, with the release
    #[arg(long, value_name = "DISK")]
    pub on: Option<PathBuf>,
    /// Say whether a box of this board would take the release
    #[arg(long)]
    pub board: Option<Board>,
    /// What runs on that box now
    #[arg(long, value_name = "VERSION", requires = "board")]
    pub installed: Option<Version>,
    /// The oldest release that box may run
    #[arg(long, value_name = "VERSION", requires = "board")]
    pub floor: Option<Version>,
    /// An older release is what is wanted
    #[arg(long, requires = "board")]
    pub older: bool,
}

#[derive(Debug, Args)]
pub struct FlashArgs {
    #[command(flatten)]
    pub release: Release,
    /// The disk, such as /dev/sdb, or a plain file
    #[arg(long, value_name = "DISK")]
    pub to: PathBuf,
    /// The end of the serial number, for a built-in or large disk
    #[arg(long, value_name = "CHARACTERS")]
    pub confirm: Option<String>,
    /// Let the disk go at the end
    #[arg(long)]
    pub eject: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Put this provisioning file onto the disk as well
    #[arg(long, value_name = "FILE")]
    pub provision: Option<PathBuf>,
    /// Tell the progress as one JSON object a line, for flashing stations
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SlotsArgs {
    /// The boot loader's environment block
    #[arg(long, value_name = "FILE")]
    pub env: PathBuf,
    /// Where the kernel tells which slot runs
    #[arg(long, value_name = "FILE", default_value = "/proc/cmdline")]
    pub cmdline: PathBuf,
    /// show, new, get-current, get-primary, get-state SLOT, set-primary SLOT,
    /// set-state SLOT good|bad, roll-back
    #[arg(required = true)]
    pub words: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum ProvisionCommand {
    /// Check a provisioning file
    Check { file: PathBuf },
    /// Check a provisioning file and put it onto a flashed disk
    Put {
        file: PathBuf,
        #[arg(long, value_name = "DISK")]
        on: PathBuf,
    },
    /// Show what a disk was provisioned with, and what the box answered
    Show {
        #[arg(long, value_name = "DISK")]
        on: PathBuf,
    },
    /// Overwrite and remove the provisioning file of a disk
    Wipe {
        #[arg(long, value_name = "DISK")]
        on: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_of_the_readme_is_understood() {
        let readme = include_str!("../README.md");
        let lines = readme.lines().map(|line| line.trim().trim_start_matches("sudo "));
        let commands: Vec<&str> =
            lines.filter(|line| line.starts_with("storebox-image ")).collect();
        assert!(commands.len() > 8, "{commands:?}");
        for command in commands {
            Cli::try_parse_from(command.split(' ')).expect(command);
        }
    }

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
