//! How a box comes to the papers that an https head office wants: on the volume that a technician carries.
//!
//! The box makes its keys and answers with `REQUEST.JSON`; head office certifies it (`storebox site issue`) and
//! answers with `PAPERS.JSON`; the next start takes that over. Nothing in either is secret, and the keys never leave
//! the box. Until then the line to head office is down and the shop sells.
//!
//! The volume is root's and the keys are the service's, so each does its part: [`fetch`] and [`request_onto`] run as
//! root, [`adopt`] as the user of the service, right before it.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Error, Places, io_error, replace, run, settings};
use crate::provision::stick::StickError;
use crate::provision::volume::{Volume, VolumeError, Window};

/// What the box gives to head office.
pub const REQUEST: &str = "REQUEST.JSON";
/// What head office gives to the box.
pub const PAPERS: &str = "PAPERS.JSON";

impl Places {
    /// What came over the volume last, as root keeps it.
    fn papers(&self) -> PathBuf {
        self.state().join("papers.json")
    }

    /// The service's own folder.
    fn data(&self) -> PathBuf {
        self.at("var/lib/storebox")
    }
}

/// Takes the papers off the volume, if there are any; says where they are now.
pub(super) fn fetch<F: Read + Write + Seek>(
    places: &Places,
    volume: &Volume<F>,
) -> Result<Option<PathBuf>, Error> {
    match volume.read(PAPERS) {
        Ok(papers) => {
            replace(&places.papers(), &papers)?;
            Ok(Some(places.papers()))
        }
        Err(VolumeError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StickError::from(error).into()),
    }
}

/// Has the service's program take new papers over, or make the request for the first ones.
pub fn adopt(places: &Places) -> Result<(), Error> {
    let wanted = places.state().join("etc").join(settings::PAPERS_FOR);
    let Ok(node) = fs::read_to_string(wanted) else { return Ok(()) };
    let data = places.data();
    let of = |words: &[&str]| -> Vec<String> {
        let data = format!("--data-dir={}", data.display());
        std::iter::once(data).chain(words.iter().map(|word| (*word).to_owned())).collect()
    };
    let (adopted, papers) = (data.join("adopted.json"), places.papers());
    if let Some(new) =
        fs::read(&papers).ok().filter(|new| fs::read(&adopted).ok().as_ref() != Some(new))
    {
        run("storebox", &of(&["site", "adopt", &papers.display().to_string()]))?;
        replace(&adopted, &new)?;
    }
    if !adopted.exists() {
        let request = run("storebox", &of(&["site", "request", node.trim()]))?;
        replace(&data.join("request.json"), request.as_bytes())?;
    }
    Ok(())
}

/// Puts the request onto the volume while there are no papers; says whether somebody has to carry it.
pub(super) fn request_onto(places: &Places) -> Result<bool, Error> {
    let data = places.data();
    let Ok(request) = fs::read(data.join("request.json")) else { return Ok(false) };
    if data.join("adopted.json").exists() {
        return Ok(false);
    }
    put(&places.config_volume(), &request)?;
    Ok(true)
}

fn put(path: &Path, request: &[u8]) -> Result<(), Error> {
    let disk = OpenOptions::new().read(true).write(true).open(path);
    let mut disk = disk.map_err(io_error("open", path))?;
    let bytes = disk.seek(SeekFrom::End(0)).map_err(io_error("measure", path))?;
    let volume = Volume::open(Window::new(&disk, 0, bytes)).map_err(io_error("read", path))?;
    let is_there = volume.read(REQUEST).is_ok_and(|there| there == request);
    let written = if is_there { Ok(()) } else { volume.write(REQUEST, request) };
    let closed = volume.close();
    disk.sync_all().map_err(io_error("flush", path))?;
    written.and(closed).map_err(|error| Error::Stick(error.into()))
}
