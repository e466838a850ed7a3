//! Writing a release file.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::{FORMAT, HEADER_BYTES, MAGIC, MANIFEST_BYTES_MAX, Tee};
use crate::blockmap::{BLOCK_BYTES, Chunk};
use crate::digest::Digest;
use crate::manifest::{FileName, InvalidManifest, Manifest};
use crate::signature::ReleaseKey;

/// Where the content of a release comes from: the disk image, and the files in the manifest's order.
pub struct Sources<D, F> {
    pub disk: Option<D>,
    pub files: Vec<F>,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("write the release")]
    Io(#[from] io::Error),
    #[error("describe the release")]
    Manifest(#[from] InvalidManifest),
    #[error("manifest of {bytes} bytes is larger than a release may have")]
    ManifestTooLarge { bytes: usize },
    #[error("manifest and content do not belong together: {what}")]
    Mismatch { what: &'static str },
    #[error("piece of the disk at {at} changed since it was mapped")]
    DiskChanged { at: u64 },
    #[error("file {name} changed since it was described")]
    FileChanged { name: FileName },
}

/// Signs the manifest and writes it with its content. The same inputs give the same bytes.
pub fn create<D: Read + Seek, F: Read>(
    out: &mut impl Write,
    manifest: &Manifest,
    key: &ReleaseKey,
    sources: Sources<D, F>,
) -> Result<(), CreateError> {
    let bytes = manifest.to_bytes()?;
    let manifest_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    if manifest_bytes > MANIFEST_BYTES_MAX {
        return Err(CreateError::ManifestTooLarge { bytes: bytes.len() });
    }
    if sources.files.len() != manifest.files.len() {
        return Err(CreateError::Mismatch { what: "number of files" });
    }
    out.write_all(MAGIC)?;
    out.write_all(&FORMAT.to_le_bytes())?;
    out.write_all(&manifest_bytes.to_le_bytes())?;
    out.write_all(&key.public().id().0)?;
    out.write_all(&key.sign(&bytes))?;
    out.write_all(&bytes)?;
    pad(out, HEADER_BYTES + u64::from(manifest_bytes))?;
    match (sources.disk, &manifest.disk) {
        (Some(mut disk), Some(map)) => {
            map.chunks().iter().try_for_each(|chunk| copy_chunk(&mut disk, chunk, out))?;
        }
        (None, None) => {}
        (Some(_), None) | (None, Some(_)) => {
            return Err(CreateError::Mismatch { what: "disk and its map" });
        }
    }
    for (file, mut source) in manifest.files.iter().zip(sources.files) {
        let mut tee = Tee { from: &mut source, to: out };
        if Digest::of_reader(&mut tee)? != (file.blake3, file.bytes) {
            return Err(CreateError::FileChanged { name: file.name.clone() });
        }
        pad(out, file.bytes)?;
    }
    Ok(out.flush()?)
}

fn copy_chunk(
    disk: &mut (impl Read + Seek),
    chunk: &Chunk,
    out: &mut impl Write,
) -> Result<(), CreateError> {
    let mut piece = vec![0; chunk.size()];
    disk.seek(SeekFrom::Start(chunk.at))?;
    disk.read_exact(&mut piece)?;
    if Digest::of(&piece) != chunk.blake3 {
        return Err(CreateError::DiskChanged { at: chunk.at });
    }
    Ok(out.write_all(&piece)?)
}

fn pad(out: &mut impl Write, written: u64) -> io::Result<()> {
    let missing = written.next_multiple_of(BLOCK_BYTES) - written;
    io::copy(&mut io::repeat(0).take(missing), out).map(|_| ())
}
