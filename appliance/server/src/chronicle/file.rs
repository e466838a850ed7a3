//! The ring on disk: a head that names its form, and a place for each minute of a day.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use storebox_proto::chronicle::{POINT_BYTES, Point, Ring};

/// Its name within the data directory.
pub const FILE: &str = "chronicle";
/// What a file of this form begins with; another form begins anew.
const HEAD: &[u8; 16] = b"storebox-day-1\n\0";
const BYTES: usize = HEAD.len() + Ring::BYTES;

/// The open file; it has one writer.
#[derive(Debug)]
pub struct RingFile(File);

impl RingFile {
    /// Opens the ring of a data directory, with what can be read of it.
    pub fn open(path: &Path) -> io::Result<(Self, Ring)> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::with_capacity(BYTES);
        Read::by_ref(&mut file).take(BYTES as u64).read_to_end(&mut bytes)?;
        let ring = match bytes.strip_prefix(HEAD) {
            Some(points) => Ring::from_bytes(points),
            None => {
                file.set_len(0)?;
                file.write_all_at(HEAD, 0)?;
                Ring::default()
            }
        };
        file.set_len(BYTES as u64)?;
        Ok((Self(file), ring))
    }

    /// Puts a point in its place.
    pub fn put(&self, slot: usize, point: &Point) -> io::Result<()> {
        let place = HEAD.len() + slot * POINT_BYTES;
        self.0.write_all_at(&point.encode(), place as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_survives_a_restart_in_a_file_that_never_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let (file, mut ring) = RingFile::open(&path).unwrap();
        for minute in 100..5000 {
            let point = Point { minute, sales: Some(minute), ..Point::default() };
            file.put(ring.put(point), &point).unwrap();
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), BYTES as u64);
        let (_, again) = RingFile::open(&path).unwrap();
        assert_eq!(again, ring);
    }

    #[test]
    fn a_file_of_another_form_or_a_torn_one_begins_anew_where_it_must() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        std::fs::write(&path, vec![7; 3 * BYTES]).unwrap();
        assert_eq!(RingFile::open(&path).unwrap().1, Ring::default());
        let (file, mut ring) = RingFile::open(&path).unwrap();
        let point = Point { minute: 1, ..Point::default() };
        file.put(ring.put(point), &point).unwrap();
        drop(file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..HEAD.len() + 2 * POINT_BYTES + 5]).unwrap();
        assert_eq!(RingFile::open(&path).unwrap().1.last(5, 3), [point]);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), BYTES as u64);
    }
}
