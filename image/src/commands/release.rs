//! Where releases are made: layout, assemble, keygen, bundle, inspect.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Failure, beside, io_error};
use crate::args::{AssembleArgs, BundleArgs, InspectArgs, KeygenArgs, LayoutArgs, Release};
use crate::assemble::{self, Parts};
use crate::blockmap::BlockMap;
use crate::bundle::{self, Bundle, Sources};
use crate::digest::Digest;
use crate::layout::{Layout, MIB, Role};
use crate::manifest::{FORMAT, FileName, Manifest, ReleaseFile};
use crate::signature::{ReleaseKey, TrustedKey};
use crate::words;

const MAP: &str = ".map.json";

pub(super) fn layout(args: &LayoutArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let layout = match &args.file {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(io_error("read", path))?;
            text.parse().map_err(|source| Failure::Layout { path: path.clone(), source })?
        }
        None => Layout::shipped(),
    };
    if args.repart {
        return Ok(write!(out, "{}", layout.repart())?);
    }
    writeln!(out, "{:<10} {:>9} {:>9}  type", "label", "at MiB", "MiB")?;
    for place in layout.places() {
        let (at, mib) = (place.start / MIB, place.bytes / MIB);
        let label = place.role.label();
        let rest = if place.role == Role::Data { "+" } else { "" };
        writeln!(out, "{label:<10} {at:>9} {:>9}  {}", format!("{mib}{rest}"), place.kind.guid())?;
    }
    writeln!(out, "image {}", words::size(layout.image_bytes()))?;
    writeln!(out, "smallest disk {}", words::size(layout.disk_bytes_min()))?;
    Ok(())
}

pub(super) fn assemble(args: &AssembleArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let AssembleArgs { esp, kernel, rootfs, out: image } = args;
    let parts = Parts { esp: esp.clone(), kernel: kernel.clone(), rootfs: rootfs.clone() };
    let map = assemble::assemble(&Layout::shipped(), &parts, image)?;
    keep_map(&map, image)?;
    let (whole, mapped) = (words::size(map.image_bytes()), words::size(map.mapped_bytes()));
    writeln!(out, "{}: {whole}, of it content {mapped}", image.display())?;
    Ok(())
}

pub(super) fn keygen(args: &KeygenArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::Random(io::Error::other(error.to_string())))?;
    let key = ReleaseKey::from_seed(seed);
    let mut secret = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.out)
        .map_err(io_error("create", &args.out))?;
    secret.write_all(key.to_secret_text().as_bytes()).map_err(io_error("write", &args.out))?;
    secret.sync_all().map_err(io_error("flush", &args.out))?;
    let public = beside(&args.out, ".pub");
    fs::write(&public, format!("{}\n", key.public())).map_err(io_error("write", &public))?;
    writeln!(
        out,
        "key {}: secret {}, public {}",
        key.public().id(),
        args.out.display(),
        public.display()
    )?;
    Ok(())
}

pub(super) fn bundle(args: &BundleArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let key = fs::read_to_string(&args.key).map_err(io_error("read", &args.key))?;
    let key: ReleaseKey =
        key.parse().map_err(|source| Failure::Key { path: args.key.clone(), source })?;
    let disk = args.disk.as_deref().map(open_disk).transpose()?;
    let mut files = Vec::new();
    let mut sources = Vec::new();
    for path in &args.files {
        let (described, file) = describe(path)?;
        files.push(described);
        sources.push(file);
    }
    let (image, map) = disk.unzip();
    let manifest = Manifest {
        format: FORMAT,
        version: args.version,
        board: args.board.clone(),
        min_version: args.min_version,
        disk: map,
        files,
    };
    let unfinished = beside(&args.out, ".part");
    let file = File::create(&unfinished).map_err(io_error("create", &unfinished))?;
    let mut writer = BufWriter::new(file);
    bundle::create(&mut writer, &manifest, &key, Sources { disk: image, files: sources })?;
    let file =
        writer.into_inner().map_err(|error| io_error("write", &unfinished)(error.into_error()))?;
    file.sync_all().map_err(io_error("flush", &unfinished))?;
    fs::rename(&unfinished, &args.out).map_err(io_error("name", &args.out))?;
    let bytes = file.metadata().map_err(io_error("look at", &args.out))?.len();
    let id = key.public().id();
    writeln!(out, "{}: {}, signed with key {id}", args.out.display(), words::size(bytes))?;
    Ok(())
}

/// Writes the map beside the image.
pub(super) fn keep_map(map: &BlockMap, image: &Path) -> Result<(), Failure> {
    let path = beside(image, MAP);
    let json =
        serde_json::to_vec(map).map_err(|source| Failure::Map { path: path.clone(), source })?;
    fs::write(&path, json).map_err(io_error("write", &path))
}

fn open_disk(path: &Path) -> Result<(File, BlockMap), Failure> {
    let map = beside(path, MAP);
    let json = fs::read(&map).map_err(io_error("read", &map))?;
    let map = serde_json::from_slice(&json).map_err(|source| Failure::Map { path: map, source })?;
    Ok((File::open(path).map_err(io_error("open", path))?, map))
}

fn describe(path: &Path) -> Result<(ReleaseFile, File), Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name: FileName = name.parse()?;
    let mut file = File::open(path).map_err(io_error("open", path))?;
    let (blake3, bytes) = Digest::of_reader(&mut file).map_err(io_error("read", path))?;
    io::Seek::rewind(&mut file).map_err(io_error("read", path))?;
    Ok((ReleaseFile { name, bytes, blake3 }, file))
}

/// Opens a release whose signature holds for one of the trusted keys.
pub(super) fn open(release: &Release) -> Result<Bundle<File>, Failure> {
    let mut trusted: Vec<TrustedKey> = Vec::new();
    for path in &release.trust {
        let text = fs::read_to_string(path).map_err(io_error("read", path))?;
        trusted.push(text.parse().map_err(|source| Failure::Key { path: path.clone(), source })?);
    }
    let path = &release.release;
    let file = File::open(path).map_err(io_error("open", path))?;
    Bundle::open(file, &trusted).map_err(|source| Failure::Open { path: path.clone(), source })
}

pub(super) fn inspect(args: &InspectArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut release = open(&args.release)?;
    if let (Some(name), Some(path)) = (&args.extract, &args.out) {
        let mut file = File::create(path).map_err(io_error("create", path))?;
        if let Err(error) = release.copy_file(name, &mut file) {
            fs::remove_file(path).map_err(io_error("remove", path))?;
            return Err(error.into());
        }
        return file.sync_all().map_err(io_error("flush", path));
    }
    let manifest = release.manifest();
    writeln!(out, "release {} for {}", manifest.version, manifest.board)?;
    writeln!(out, "nothing older than {} after it", manifest.min_version)?;
    writeln!(out, "signed with key {}", release.key())?;
    writeln!(out, "manifest {}", release.digest())?;
    if let Some(disk) = &manifest.disk {
        let (whole, mapped) = (words::size(disk.image_bytes()), words::size(disk.mapped_bytes()));
        writeln!(out, "disk {whole}, of it content {mapped}")?;
    }
    for file in &manifest.files {
        writeln!(out, "file {} {} {}", file.name, words::size(file.bytes), file.blake3)?;
    }
    Ok(())
}
