//! The rows of a block: how a record lies in the content of a segment.
//!
//! `varint id length, id, varint body length + 1 (0: tombstone), body`, nothing between rows.
//! One record has one encoding, so equal records mean equal content and equal digests.

use bytes::Bytes;

use crate::ids::RecordId;
use crate::limits::RECORD_BYTES_MAX;

/// Why the content of a block is not a list of rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The content ends inside a row.
    #[error("row {row} is cut short")]
    Short {
        /// Which row of the block.
        row: usize,
    },
    /// A length is out of bounds or not written in its shortest form.
    #[error("row {row} has a length out of bounds")]
    Length {
        /// Which row of the block.
        row: usize,
    },
    /// The id is not a record id.
    #[error("row {row} has an id that is not allowed")]
    Id {
        /// Which row of the block.
        row: usize,
    },
    /// The id is not greater than the one before.
    #[error("row {row} is out of order")]
    Order {
        /// Which row of the block.
        row: usize,
    },
    /// There are more or fewer rows than the directory says.
    #[error("{got} rows where the directory says {expected}")]
    Count {
        /// What the directory says.
        expected: usize,
        /// What there is.
        got: usize,
    },
}

/// Where a row lies in its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    id_start: u32,
    id_len: u8,
    removed: bool,
    body_start: u32,
    body_len: u32,
}

impl Span {
    pub(super) fn id(self, content: &[u8]) -> &str {
        let start = self.id_start as usize;
        std::str::from_utf8(&content[start..start + usize::from(self.id_len)])
            .expect("a span is made only after its id was checked to be UTF-8")
    }

    pub(super) fn body(self, content: &Bytes) -> Option<Bytes> {
        let start = self.body_start as usize;
        (!self.removed).then(|| content.slice(start..start + self.body_len as usize))
    }
}

/// Appends one row; lengths are the caller's to have checked.
pub fn write(content: &mut Vec<u8>, id: &str, body: Option<&[u8]>) {
    varint(content, id.len());
    content.extend_from_slice(id.as_bytes());
    match body {
        None => varint(content, 0),
        Some(body) => {
            varint(content, body.len() + 1);
            content.extend_from_slice(body);
        }
    }
}

/// The length of a row, without writing it.
pub fn len(id: &str, body: Option<&[u8]>) -> usize {
    let body = body.map_or(1, |body| varint_len(body.len() + 1) + body.len());
    varint_len(id.len()) + id.len() + body
}

/// Finds the rows of a content and checks every rule that a reader relies on.
pub(super) fn spans(content: &[u8], expected: usize) -> Result<Vec<Span>, RowError> {
    let mut spans: Vec<Span> = Vec::with_capacity(expected);
    let mut at = 0;
    while at < content.len() {
        let row = spans.len();
        if row == expected {
            return Err(RowError::Count { expected, got: row + 1 });
        }
        let span = one(content, &mut at, row)?;
        if spans.last().is_some_and(|last| last.id(content) >= span.id(content)) {
            return Err(RowError::Order { row });
        }
        spans.push(span);
    }
    match spans.len() {
        got if got == expected => Ok(spans),
        got => Err(RowError::Count { expected, got }),
    }
}

fn one(content: &[u8], at: &mut usize, row: usize) -> Result<Span, RowError> {
    let id_len = read_varint(content, at, row)?;
    let id_len = u8::try_from(id_len).map_err(|_| RowError::Length { row })?;
    let id_start = take(content, at, usize::from(id_len), row)?;
    let id = &content[id_start as usize..*at];
    if !std::str::from_utf8(id).is_ok_and(RecordId::allows) {
        return Err(RowError::Id { row });
    }
    let body = read_varint(content, at, row)?;
    let body_len = body.saturating_sub(1);
    if body_len > RECORD_BYTES_MAX {
        return Err(RowError::Length { row });
    }
    let body_start = take(content, at, body_len, row)?;
    let body_len = u32::try_from(body_len).map_err(|_| RowError::Length { row })?;
    Ok(Span { id_start, id_len, removed: body == 0, body_start, body_len })
}

/// Moves on by `len` bytes and returns where they start.
fn take(content: &[u8], at: &mut usize, len: usize, row: usize) -> Result<u32, RowError> {
    if content.len() - *at < len {
        return Err(RowError::Short { row });
    }
    let start = u32::try_from(*at).map_err(|_| RowError::Length { row })?;
    *at += len;
    Ok(start)
}

fn varint(content: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        content.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    content.push(value.to_le_bytes()[0]);
}

fn varint_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => 3,
    }
}

/// Reads a length of at most three bytes in its shortest form.
fn read_varint(content: &[u8], at: &mut usize, row: usize) -> Result<usize, RowError> {
    let mut value = 0;
    for shift in [0, 7, 14] {
        let byte = *content.get(*at).ok_or(RowError::Short { row })?;
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let shortest = byte != 0 || shift == 0;
            return if shortest { Ok(value) } else { Err(RowError::Length { row }) };
        }
    }
    Err(RowError::Length { row })
}

const _: () = assert!(RECORD_BYTES_MAX + 1 < 1 << 21, "a length fits three bytes of a varint");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_row_is_known_without_writing_it() {
        for size in [0, 1, 126, 127, 128, 16_382, 16_383, 16_384, RECORD_BYTES_MAX] {
            let body = vec![b'x'; size];
            let mut content = Vec::new();
            write(&mut content, "id", Some(&body));
            assert_eq!(content.len(), len("id", Some(&body)), "{size}");
        }
        let mut content = Vec::new();
        write(&mut content, "id", None);
        assert_eq!(content.len(), len("id", None));
    }

    #[test]
    fn rows_out_of_order_or_with_a_padded_length_are_refused() {
        let mut content = Vec::new();
        write(&mut content, "b", Some(b"{}"));
        write(&mut content, "a", Some(b"{}"));
        assert_eq!(spans(&content, 2), Err(RowError::Order { row: 1 }));
        assert_eq!(spans(&[0x81, 0x00, b'a', 0], 1), Err(RowError::Length { row: 0 }));
        assert_eq!(spans(&[1, b'a'], 1), Err(RowError::Short { row: 0 }));
        assert_eq!(spans(&[1, 7, 0], 1), Err(RowError::Id { row: 0 }));
        assert_eq!(spans(&[1, b'a', 0], 2), Err(RowError::Count { expected: 2, got: 1 }));
    }
}
