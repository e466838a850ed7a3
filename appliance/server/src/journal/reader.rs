//! Reading single records from any thread, without a copy of them in memory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::disk::Disk;
use super::log::Location;
use super::{record, segment};

/// What Linux says of bad sectors and broken file systems: `EIO`, `EBADMSG`, `EUCLEAN` (errno(3)).
const DAMAGE: [i32; 3] = [5, 74, 117];

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is gone, or holds something else there by now: damage, or a record that was moved or is not needed.
    #[error("record {sequence} cannot be read in {}: the file is damaged there or gone", file.display())]
    Gone {
        /// The record.
        sequence: u64,
        /// Where it was.
        file: PathBuf,
    },
    /// The disk did not give the bytes.
    #[error("the disk does not give record {sequence} of {}", file.display())]
    Io {
        /// The record.
        sequence: u64,
        /// Where it is.
        file: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
}

impl ReadError {
    /// Whether the record itself is not there any more, rather than the system short of something.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Gone { .. } => true,
            Self::Io { source, .. } => {
                source.raw_os_error().is_some_and(|number| DAMAGE.contains(&number))
            }
        }
    }
}

/// Reads records by their location; cheap to clone.
#[derive(Clone)]
pub struct Reader {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: Arc<Path>,
}

impl Reader {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self { disk, dir: dir.into() }
    }

    /// Where the files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The body of the record at this location, checked.
    pub fn read(&self, location: &Location) -> Result<Bytes, ReadError> {
        let Location { segment, sequence, .. } = *location;
        let mut bytes = vec![0; location.length as usize];
        let path = self.dir.join(segment::file_name(segment));
        let read = self.disk.open(&path);
        let read = read.and_then(|file| file.read_exact_at(&mut bytes, location.offset));
        match read {
            Ok(()) => {}
            Err(error) if is_absence(&error) => {
                return Err(ReadError::Gone { sequence, file: path });
            }
            Err(source) => return Err(ReadError::Io { sequence, file: path, source }),
        }
        match record::parse(&bytes, 0, None) {
            Some(found) if found.header.sequence == sequence => {
                Ok(Bytes::from(bytes).slice(found.body()))
            }
            Some(_) | None => Err(ReadError::Gone { sequence, file: path }),
        }
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}
