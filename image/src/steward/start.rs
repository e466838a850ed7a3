//! Every start, before the network and the shop's service: the identity, and the shop's file.
//!
//! The shop's settings lie in a folder of their own, and a link names the folder that counts. A new
//! file makes a new folder; moving the link is the one step that takes it in. Only then is the file
//! wiped, so that a power cut before it takes the file in again, and one after it finds it done.
//!
//! A file with errors changes nothing. A box that never had a good one then waits: it tells on
//! console and paper what is wrong, and neither serves nor restarts.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use nix::unistd::Group;

use super::settings::{self, Setting};
use super::{
    Error, Places, announce, disk, io_error, load_env, papers, replace, slots, sync_folder, touch,
};
use crate::provision::Provision;
use crate::provision::stick::{self, StickError};
use crate::provision::volume::{Volume, VolumeError, Window};

const MACHINE_ID: &str = "MACHINE_ID";
const GROUP: &str = "storebox";

/// What a start found.
#[derive(Debug, PartialEq, Eq)]
pub enum Shop {
    /// A file was taken in now.
    TakenIn { node: String, store: String },
    /// Nothing new; what was taken in once counts.
    Known,
    /// No file ever came.
    Unprovisioned,
    /// The file has errors; what counted before still does.
    Wrong { why: String, waits: bool },
}

/// Does all that has to be done before the network comes up.
pub fn start(places: &Places) -> Result<Shop, Error> {
    let id = keep_machine_id(places)?;
    let updates = places.updates();
    fs::create_dir_all(&updates).map_err(io_error("create", &updates))?;
    own(&updates, 0o770)?;
    let current = places.state().join("etc");
    let shop = match take_in(places) {
        Ok(Some(provision)) => {
            let Provision { node, store, disk, .. } = provision;
            let key = (!disk::has_key(places, &disk)).then(|| disk::key_words(places));
            let texts: Vec<_> = key.into_iter().chain(disk::is_other(places, &disk)).collect();
            if !texts.is_empty() {
                tell(places, &texts.join("\n"))?;
            }
            Shop::TakenIn { node, store }
        }
        Ok(None) if current.exists() => Shop::Known,
        Ok(None) => Shop::Unprovisioned,
        Err(Error::Stick(StickError::Rejected(why))) => {
            Shop::Wrong { why: why.to_string(), waits: !current.exists() }
        }
        // A volume that cannot be read must not keep a shop from selling.
        Err(error @ (Error::Stick(_) | Error::Io { .. })) if current.exists() => {
            announce::on_console(places, &format!("the volume SBXCONFIG is not used: {error}"));
            Shop::Known
        }
        Err(error) => return Err(error),
    };
    match &shop {
        Shop::Unprovisioned => keep(places, &settings::of_an_unprovisioned_box(&id))?,
        Shop::Wrong { why, waits } => {
            if *waits {
                touch(&places.waiting())?;
            }
            tell(
                places,
                &format!("{why}\nNothing was changed. Correct the file and start again."),
            )?;
        }
        Shop::TakenIn { .. } | Shop::Known => {}
    }
    apply(places, &current)?;
    slots::publish(places);
    Ok(shop)
}

/// On the console now, and on paper once there are printers: the shop does not wait for them.
fn tell(places: &Places, text: &str) -> Result<(), Error> {
    announce::on_console(places, text);
    announce::leave(places, text)
}

/// The same identity in both slots: the root is read-only, the boot loader's block is not.
fn keep_machine_id(places: &Places) -> Result<String, Error> {
    let path = places.at("etc/machine-id");
    let id = fs::read_to_string(&path).map_err(io_error("read", &path))?.trim().to_owned();
    let file = places.env();
    let mut env = load_env(&file)?;
    let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if is_id && env.get(MACHINE_ID) != Some(&id) {
        let state = env.state();
        env.set_state(&state);
        env.set(MACHINE_ID, &id)?;
        file.store(&env)?;
    }
    Ok(id)
}

fn take_in(places: &Places) -> Result<Option<Provision>, Error> {
    let path = places.config_volume();
    let disk = OpenOptions::new().read(true).write(true).open(&path);
    let mut disk = disk.map_err(io_error("open", &path))?;
    let bytes = disk.seek(SeekFrom::End(0)).map_err(io_error("measure", &path))?;
    let volume = Volume::open(Window::new(&disk, 0, bytes)).map_err(io_error("read", &path))?;
    if let Some(papers) = papers::fetch(places, &volume)? {
        own(&papers, 0o640)?;
    }
    let loaded = stick::load(&volume);
    let taken = match loaded {
        Ok(Some(provision)) => {
            keep(places, &settings::of(&provision))?;
            if disk::has_key(places, &provision.disk) {
                stick::complete(&volume, &provision)?;
            } else {
                stick::hold(&volume, &provision, &disk::key_words(places))?;
            }
            Ok(Some(provision))
        }
        other => other.map_err(Error::from),
    };
    let closed = volume.close().map_err(|error: VolumeError| Error::Stick(error.into()));
    disk.sync_all().map_err(io_error("flush", &path))?;
    closed.and(taken)
}

/// Puts the settings into a new folder and points the link at it.
fn keep(places: &Places, settings: &[Setting]) -> Result<(), Error> {
    let state = places.state();
    // The service passes through here to its own folder.
    make_public(&state)?;
    let link = state.join("etc");
    let old = fs::read_link(&link).ok();
    let name = if old.as_deref() == Some(Path::new("etc-1")) { "etc-2" } else { "etc-1" };
    let folder = state.join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).map_err(io_error("create", &folder))?;
    for Setting { name, content } in settings {
        let path = folder.join(name);
        replace(&path, content.as_bytes())?;
        own(&path, 0o640)?;
    }
    own(&folder, 0o750)?;
    sync_folder(&folder)?;
    let new = state.join("etc.new");
    let _ = fs::remove_file(&new);
    symlink(name, &new).map_err(io_error("link", &new))?;
    fs::rename(&new, &link).map_err(io_error("replace", &link))?;
    sync_folder(&state)?;
    if let Some(old) = old {
        let _ = fs::remove_dir_all(state.join(old));
    }
    Ok(())
}

/// Root writes, the service reads, nobody else does either.
fn own(path: &Path, mode: u32) -> Result<(), Error> {
    let permissions = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, permissions).map_err(io_error("close", path))?;
    // Where there is no such group, there is no such service that would have to read it.
    if let Ok(Some(group)) = Group::from_name(GROUP) {
        chown(path, None, Some(group.gid.as_raw())).map_err(io_error("give away", path))?;
    }
    Ok(())
}

/// What others than the service read: network, clock, names of serial ports.
fn apply(places: &Places, current: &Path) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(current) else { return Ok(()) };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let folder = match name.rsplit('.').next() {
            Some("network" | "netdev") => places.at("run/systemd/network"),
            _ if name == settings::CLOCK => places.at("run/systemd/timesyncd.conf.d"),
            _ => continue,
        };
        make_public(&folder)?;
        let to = folder.join(&*name);
        fs::copy(&path, &to).map_err(io_error("copy", &path))?;
        let readable = fs::Permissions::from_mode(0o644);
        fs::set_permissions(&to, readable).map_err(io_error("open", &to))?;
    }
    let serial = fs::read_to_string(current.join(settings::SERIAL)).unwrap_or_default();
    let folder = places.at("dev/storebox");
    for (name, port) in serial.lines().filter_map(|line| line.split_once(' ')) {
        make_public(&folder)?;
        let link = folder.join(name);
        let _ = fs::remove_file(&link);
        symlink(port, &link).map_err(io_error("link", &link))?;
    }
    Ok(())
}

/// A folder that everybody may read, whatever this unit's mask is.
fn make_public(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder, open).map_err(io_error("open", folder))
}

#[cfg(test)]
#[path = "start/tests.rs"]
mod tests;
