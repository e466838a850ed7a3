//! A release as one file: signed manifest first, content after it.
//!
//! ```text
//! 0   "SBXBUNDL"  format u32  manifest length u32  key id [8]  signature [64]
//! 88  manifest (JSON)                                          padded to 4096
//!     the disk's chunks in the order of the map                each a multiple of 4096
//!     the files in the order of the manifest                   each padded to 4096
//! ```
//!
//! Places are computed from the signed sizes and not written down, so that no two things can lie at
//! the same place. Content is not compressed: the slots' file systems already are, and a chunk can
//! be found, read and repeated by itself.
//!
//! Nothing is believed before the signature held, and no content is handed out before its hash did.

mod create;

use std::io::{self, Read, Seek, SeekFrom, Write};

pub use create::{CreateError, Sources, create};

use crate::blockmap::{BLOCK_BYTES, Chunk};
use crate::digest::Digest;
use crate::manifest::{FileName, InvalidManifest, Manifest};
use crate::signature::{self, KEY_ID_BYTES, KeyId, SIGNATURE_BYTES, SignatureError, TrustedKey};

const MAGIC: &[u8; 8] = b"SBXBUNDL";
const FORMAT: u32 = 1;
const HEADER_BYTES: u64 = 16 + (KEY_ID_BYTES + SIGNATURE_BYTES) as u64;
/// 65,536 chunks make about as much.
const MANIFEST_BYTES_MAX: u32 = 8 << 20;

/// A release whose signature held.
#[derive(Debug)]
pub struct Bundle<R> {
    file: R,
    manifest: Manifest,
    digest: Digest,
    key: KeyId,
    /// Where each piece lies, chunks first.
    places: Vec<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("read the release")]
    Io(#[from] io::Error),
    #[error("this is no Storebox release")]
    NotABundle,
    #[error("release file has format {found}, this program reads {FORMAT}: use a newer program")]
    Format { found: u32 },
    #[error("manifest of {bytes} bytes is larger than any release has")]
    ManifestTooLarge { bytes: u32 },
    #[error("release is cut off: {has} bytes, must be {needs}")]
    Truncated { has: u64, needs: u64 },
    #[error("release has {extra} bytes too many at its end")]
    TrailingBytes { extra: u64 },
    #[error("release is not believed")]
    Signature(#[from] SignatureError),
    #[error("release is signed and cannot be used")]
    Manifest(#[from] InvalidManifest),
}

#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error("read {what} of the release")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("{what} of the release is damaged: its hash is {found}, signed is {signed}")]
    Damaged { what: String, signed: Digest, found: Digest },
    #[error("release has no file {name}")]
    Missing { name: FileName },
}

impl<R: Read + Seek> Bundle<R> {
    /// Checks the signature and the length; reads no content yet.
    pub fn open(mut file: R, trusted: &[TrustedKey]) -> Result<Self, OpenError> {
        let has = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        let header = Header::read(&mut file, has)?;
        let mut manifest = vec![0; header.manifest_bytes as usize];
        file.read_exact(&mut manifest)?;
        signature::verify(&manifest, header.key, &header.signature, trusted)?;
        let digest = Digest::of(&manifest);
        let manifest = Manifest::parse(&manifest)?;
        let (places, needs) = places(&manifest, header.manifest_bytes);
        if has < needs {
            return Err(OpenError::Truncated { has, needs });
        }
        if has > needs {
            return Err(OpenError::TrailingBytes { extra: has - needs });
        }
        Ok(Self { file, manifest, digest, key: header.key, places })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest's hash: the name of exactly this release.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn key(&self) -> KeyId {
        self.key
    }

    fn chunks(&self) -> &[Chunk] {
        self.manifest.disk.as_ref().map_or(&[], |disk| disk.chunks())
    }

    /// One chunk of the disk, whole and as signed.
    pub fn chunk(&mut self, index: usize) -> Result<Vec<u8>, ContentError> {
        let chunk = self.chunks()[index];
        let what = || format!("piece {index} of the disk");
        let mut bytes = vec![0; chunk.size()];
        self.file
            .seek(SeekFrom::Start(self.places[index]))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|source| ContentError::Io { what: what(), source })?;
        let found = Digest::of(&bytes);
        if found != chunk.blake3 {
            return Err(ContentError::Damaged { what: what(), signed: chunk.blake3, found });
        }
        Ok(bytes)
    }

    /// Copies a file out. Its hash is known only at the end: on an error, throw away what came out.
    pub fn copy_file(&mut self, name: &FileName, out: &mut impl Write) -> Result<(), ContentError> {
        let index = self.manifest.files.iter().position(|file| file.name == *name);
        let index = index.ok_or_else(|| ContentError::Missing { name: name.clone() })?;
        let (signed, bytes) = (self.manifest.files[index].blake3, self.manifest.files[index].bytes);
        let what = || format!("file {name}");
        let place = self.places[self.chunks().len() + index];
        let io = |source| ContentError::Io { what: what(), source };
        self.file.seek(SeekFrom::Start(place)).map_err(io)?;
        let mut tee = Tee { from: (&mut self.file).take(bytes), to: out };
        let (found, read) = Digest::of_reader(&mut tee).map_err(io)?;
        if found != signed || read != bytes {
            return Err(ContentError::Damaged { what: what(), signed, found });
        }
        Ok(())
    }

    /// Reads everything once; `progress` hears how many bytes of content were checked.
    pub fn check_content(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), ContentError> {
        let mut done = 0;
        for index in 0..self.chunks().len() {
            done += self.chunk(index)?.len() as u64;
            progress(done);
        }
        for file in self.manifest.files.clone() {
            self.copy_file(&file.name, &mut io::sink())?;
            done += file.bytes;
            progress(done);
        }
        Ok(())
    }

    /// All content, in bytes.
    pub fn content_bytes(&self) -> u64 {
        let files: u64 = self.manifest.files.iter().map(|file| file.bytes).sum();
        files + self.chunks().iter().map(|chunk| chunk.bytes).sum::<u64>()
    }
}

struct Header {
    manifest_bytes: u32,
    key: KeyId,
    signature: [u8; SIGNATURE_BYTES],
}

impl Header {
    fn read(file: &mut impl Read, has: u64) -> Result<Self, OpenError> {
        let mut magic = [0; 8];
        if has < 8 {
            return Err(OpenError::NotABundle);
        }
        file.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(OpenError::NotABundle);
        }
        if has < HEADER_BYTES {
            return Err(OpenError::Truncated { has, needs: HEADER_BYTES });
        }
        let mut word = || -> io::Result<u32> {
            let mut bytes = [0; 4];
            file.read_exact(&mut bytes)?;
            Ok(u32::from_le_bytes(bytes))
        };
        let (format, manifest_bytes) = (word()?, word()?);
        if format != FORMAT {
            return Err(OpenError::Format { found: format });
        }
        if manifest_bytes > MANIFEST_BYTES_MAX {
            return Err(OpenError::ManifestTooLarge { bytes: manifest_bytes });
        }
        let needs = HEADER_BYTES + u64::from(manifest_bytes);
        if has < needs {
            return Err(OpenError::Truncated { has, needs });
        }
        let (mut key, mut signature) = ([0; KEY_ID_BYTES], [0; SIGNATURE_BYTES]);
        file.read_exact(&mut key)?;
        file.read_exact(&mut signature)?;
        Ok(Self { manifest_bytes, key: KeyId(key), signature })
    }
}

/// Where the pieces lie, and the length of the whole.
fn places(manifest: &Manifest, manifest_bytes: u32) -> (Vec<u64>, u64) {
    let mut at = (HEADER_BYTES + u64::from(manifest_bytes)).next_multiple_of(BLOCK_BYTES);
    let chunks = manifest.disk.iter().flat_map(|disk| disk.chunks()).map(|chunk| chunk.bytes);
    let files = manifest.files.iter().map(|file| file.bytes);
    let mut places = Vec::new();
    for bytes in chunks.chain(files) {
        places.push(at);
        at += bytes.next_multiple_of(BLOCK_BYTES);
    }
    (places, at)
}

/// Hands on what is read through it.
struct Tee<'a, R, W> {
    from: R,
    to: &'a mut W,
}

impl<R: Read, W: Write> Read for Tee<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.to.write_all(&buffer[..read])?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
