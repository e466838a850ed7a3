//! Lines of a file or stream, decompressed on the way, bounded in length and in sum.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use ruzstd::decoding::StreamingDecoder;
use storebox_proto::limits::RECORD_BYTES_MAX;

/// A line may be longer than a record: spaces and escapes are taken away when it is read.
pub(super) const LINE_BYTES_MAX: usize = 4 * RECORD_BYTES_MAX;

/// Opens a file; `.zst` is decompressed, and never to more than `bytes_max`.
pub(super) fn open(path: &Path, bytes_max: u64) -> io::Result<Box<dyn BufRead>> {
    let file = BufReader::with_capacity(1 << 18, File::open(path)?);
    if path.extension().is_some_and(|ext| ext == "zst") {
        let frames = Frames { source: Some(file), decoder: None };
        return Ok(Box::new(BufReader::with_capacity(1 << 18, Bounded::new(frames, bytes_max))));
    }
    Ok(Box::new(BufReader::with_capacity(1 << 18, Bounded::new(file, bytes_max))))
}

/// A reader that fails, instead of ending, where the limit is reached.
pub(super) struct Bounded<R> {
    inner: R,
    left: u64,
    max: u64,
}

impl<R> Bounded<R> {
    pub(super) fn new(inner: R, max: u64) -> Self {
        Self { inner, left: max, max }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buf)?;
        match self.left.checked_sub(got as u64) {
            Some(left) => {
                self.left = left;
                Ok(got)
            }
            None => {
                let what = format!("more than {} bytes, the limit of an import", self.max);
                Err(io::Error::new(io::ErrorKind::FileTooLarge, what))
            }
        }
    }
}

type Source = BufReader<File>;
type Decoder = StreamingDecoder<Source, ruzstd::decoding::FrameDecoder>;

/// One zstd frame after the other, as `zstd` itself reads them.
struct Frames {
    source: Option<Source>,
    decoder: Option<Decoder>,
}

impl Read for Frames {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(decoder) = &mut self.decoder {
                let got = decoder.read(buf)?;
                if got > 0 || buf.is_empty() {
                    return Ok(got);
                }
                self.source = self.decoder.take().map(StreamingDecoder::into_inner);
            }
            let Some(mut source) = self.source.take() else { return Ok(0) };
            if source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let decoder = StreamingDecoder::new(source)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            self.decoder = Some(decoder);
        }
    }
}

/// A line, or why it is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Whole, without its end.
    Whole,
    /// Longer than a line may be; its rest has been skipped.
    Long,
    /// There is no more.
    End,
}

/// Reads the next line into the buffer, never more than its limit of it.
pub(super) fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let mut long = false;
    let mut seen = false;
    loop {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            return Ok(match (seen, long) {
                (false, _) => Line::End,
                (true, false) => Line::Whole,
                (true, true) => Line::Long,
            });
        }
        seen = true;
        let end = part.iter().position(|byte| *byte == b'\n');
        let take = end.unwrap_or(part.len());
        if line.len() + take > LINE_BYTES_MAX {
            long = true;
            line.clear();
        }
        if !long {
            line.extend_from_slice(&part[..take]);
        }
        let used = end.map_or(take, |at| at + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(if long { Line::Long } else { Line::Whole });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn lines_are_cut_at_their_ends_and_never_beyond_the_limit() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        let text = format!("a\n\n{long}\nb");
        let mut reader = BufReader::with_capacity(7, Cursor::new(text));
        let mut line = Vec::new();
        let mut seen = Vec::new();
        loop {
            let next = next_line(&mut reader, &mut line).unwrap();
            assert!(line.capacity() <= 2 * LINE_BYTES_MAX);
            if next == Line::End {
                break;
            }
            seen.push((next, String::from_utf8(line.clone()).unwrap()));
        }
        let whole = |text: &str| (Line::Whole, text.to_owned());
        assert_eq!(seen, [whole("a"), whole(""), (Line::Long, String::new()), whole("b")]);
    }

    #[test]
    fn a_reader_beyond_its_limit_fails_instead_of_ending() {
        let mut all = Vec::new();
        assert!(Bounded::new(Cursor::new(b"12345"), 5).read_to_end(&mut all).is_ok());
        let error = Bounded::new(Cursor::new(b"123456"), 5).read_to_end(&mut all).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
