//! A medium as something to read and seek in.

use std::io::{self, Read, Seek, SeekFrom};

use super::Medium;

/// Reads small pieces from the medium itself.
pub(crate) struct MediumReader<'a> {
    medium: &'a mut dyn Medium,
    at: u64,
}

impl<'a> MediumReader<'a> {
    pub(crate) fn new(medium: &'a mut dyn Medium) -> Self {
        Self { medium, at: 0 }
    }
}

impl Read for MediumReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.medium.bytes().saturating_sub(self.at);
        let len = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let bytes = self.medium.read_back(self.at, len)?;
        buffer[..len].copy_from_slice(&bytes);
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for MediumReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.medium.bytes().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
