//! The shop's file: check, put, show, wipe.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use super::target::Target;
use super::{Failure, io_error};
use crate::args::ProvisionCommand;
use crate::medium::{DiskMedium, Medium};
use crate::provision::volume::{FILE_BYTES_MAX, RESULT, Volume};
use crate::provision::{Address, Provision, stick};

pub(super) fn run(command: &ProvisionCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        ProvisionCommand::Check { file } => {
            let (name, bytes) = read(file)?;
            tell(&Provision::parse(&name, &bytes)?, out)
        }
        ProvisionCommand::Put { file, on } => {
            let (name, bytes) = read(file)?;
            let provision = put(&mut existing(on)?, &name, &bytes)?;
            tell(&provision, out)
        }
        ProvisionCommand::Show { on } => show(on, out),
        ProvisionCommand::Wipe { on } => {
            let medium = existing(on)?;
            let volume = volume(&medium)?;
            let wiped = stick::wipe(&volume)?;
            volume.close()?;
            flush(medium)?;
            writeln!(out, "{}", if wiped { "wiped" } else { "there was nothing to wipe" })?;
            Ok(())
        }
    }
}

/// Reads a provisioning file from this computer and checks it.
pub(super) fn read(path: &Path) -> Result<(String, Vec<u8>), Failure> {
    let file = fs::File::open(path).map_err(io_error("open", path))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io_error("read", path))?;
    let name = path.display().to_string();
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let bytes = bytes.len() as u64;
        return Err(crate::provision::volume::VolumeError::TooLarge { name, bytes }.into());
    }
    Provision::parse(&name, &bytes)?;
    Ok((name, bytes))
}

/// Puts a file onto a flashed medium and reads it back from there.
pub(super) fn put(medium: &mut DiskMedium, name: &str, bytes: &[u8]) -> Result<Provision, Failure> {
    let files = volume(medium)?;
    let provision = stick::put(&files, name, bytes)?;
    files.close()?;
    medium.forget_cache().map_err(io_error("flush", medium.path()))?;
    match stick::load(&volume(medium)?)? {
        Some(kept) if kept == provision => Ok(provision),
        Some(_) | None => Err(Failure::ShopForgotten),
    }
}

fn existing(path: &Path) -> Result<DiskMedium, Failure> {
    fs::metadata(path).map_err(io_error("find", path))?;
    Target::find(path)?.open_existing()
}

fn volume(medium: &DiskMedium) -> Result<Volume<&fs::File>, Failure> {
    Ok(Volume::find(medium.file(), medium.bytes())?)
}

fn flush(mut medium: DiskMedium) -> Result<(), Failure> {
    let answer = medium.flush();
    answer.map_err(io_error("flush", medium.path()))
}

fn show(on: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let medium = existing(on)?;
    let volume = volume(&medium)?;
    match volume.provisioning()? {
        Some(name) => tell(&Provision::parse(&name, &volume.read(&name)?)?, out)?,
        None => writeln!(out, "no provisioning file")?,
    }
    if let Ok(result) = volume.read(RESULT) {
        writeln!(out, "the box said:")?;
        for line in String::from_utf8_lossy(&result).lines() {
            let line: String = line.chars().filter(|c| !c.is_control()).collect();
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

fn tell(provision: &Provision, out: &mut dyn Write) -> Result<(), Failure> {
    let Provision { site, store, node, main, network, serial, disk, .. } = provision;
    writeln!(out, "{node} in store {store} of {site}, head office {}", main.url)?;
    match &network.address {
        Address::Dhcp => writeln!(out, "address from the router (DHCP)")?,
        Address::Fixed { ip, prefix, .. } => writeln!(out, "address {ip}/{prefix}")?,
    }
    let key = if disk.key.is_some() { ", with a key of head office" } else { "" };
    writeln!(out, "disk: {}{key}", disk.words())?;
    for port in serial {
        writeln!(out, "serial port {} at {}, {} baud", port.name, port.port, port.baud)?;
    }
    Ok(())
}
