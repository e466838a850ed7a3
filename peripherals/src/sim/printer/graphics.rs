//! Pictures that come as columns (`ESC *`) or through the graphics memory (`GS ( L`, `GS 8 L`).
//!
//! Source: Epson ESC/POS reference, `ESC *`, `GS ( L` functions 50, 112 and 113.
//! `GS v 0` needs none of this: it is rows already.

use crate::receipt::Bitmap;
use crate::receipt::bitmap::{HEIGHT_MAX, WIDTH_MAX};

/// Rows of a band of columns.
const BAND: u32 = 24;

/// Adds a band of columns to the right of what the line holds already; `ESC * m nL nH d...`.
pub(super) fn band(before: Option<Bitmap>, left: u32, mode: u8, columns: &[u8]) -> Option<Bitmap> {
    let (bytes, across, down) = match mode {
        0 => (1, 2, 3),
        1 => (1, 1, 3),
        32 => (3, 2, 1),
        33 => (3, 1, 1),
        _ => return before,
    };
    let left = before.as_ref().map_or(left, |before| before.width().max(left));
    let count = u32::try_from(columns.len() / bytes).unwrap_or(0);
    let mut band = Bitmap::white(left.saturating_add(count.saturating_mul(across)), BAND);
    if let Some(before) = before {
        band.draw(&before, 0, 0);
    }
    for (x, column) in (0u32..).zip(columns.chunks_exact(bytes)) {
        for (y, black) in (0u32..).zip(dots(column)) {
            if black {
                band.fill(left.saturating_add(x * across), y * down, across, down);
            }
        }
    }
    Some(band)
}

/// The dots of bytes, the highest bit first.
fn dots(bytes: &[u8]) -> impl Iterator<Item = bool> {
    bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0))
}

/// What is stored by function 112 (rows) or 113 (columns); `None` if it makes no picture.
pub(super) fn stored(function: u8, data: &[u8]) -> Option<Bitmap> {
    let [_tone, wide, high, _colour, xl, xh, yl, yh, data @ ..] = data else { return None };
    let width = u32::from(u16::from_le_bytes([*xl, *xh])).min(WIDTH_MAX);
    let height = u32::from(u16::from_le_bytes([*yl, *yh])).min(HEIGHT_MAX);
    let (wide, high) = (u32::from((*wide).clamp(1, 2)), u32::from((*high).clamp(1, 2)));
    let is_rows = function == 112;
    let stride = if is_rows { width } else { height }.div_ceil(8) as usize;
    if stride == 0 || width == 0 || height == 0 {
        return None;
    }
    let mut picture = Bitmap::white(width * wide, height * high);
    for (along, line) in (0u32..).zip(data.chunks_exact(stride)) {
        for (across, black) in (0u32..).zip(dots(line)) {
            let (x, y) = if is_rows { (across, along) } else { (along, across) };
            if black && x < width && y < height {
                picture.fill(x * wide, y * high, wide, high);
            }
        }
    }
    Some(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A diagonal of 24 by 24 dots, and the same as whatever a command takes.
    fn diagonal() -> Bitmap {
        let mut picture = Bitmap::white(24, 24);
        (0..24).for_each(|at| picture.set(at, at, true));
        picture
    }

    fn bytes(picture: &Bitmap) -> Vec<u8> {
        (0..picture.height()).flat_map(|y| picture.row(y).to_vec()).collect()
    }

    #[test]
    fn the_same_picture_as_columns_and_as_rows() {
        // A diagonal is its own transposition, so its columns are its rows.
        let dots = bytes(&diagonal());
        assert_eq!(band(None, 0, 33, &dots), Some(diagonal()));
        let header = [48, 1, 1, 49, 24, 0, 24, 0];
        let data = [&header[..], &dots].concat();
        assert_eq!(stored(112, &data), Some(diagonal()));
        assert_eq!(stored(113, &data), Some(diagonal()));
    }

    #[test]
    fn low_density_is_drawn_as_large_as_the_printer_would() {
        let band = band(None, 0, 0, &[0x80, 0x01]).unwrap();
        assert_eq!((band.width(), band.height()), (4, 24));
        assert!(band.is_black(0, 0) && band.is_black(1, 2) && !band.is_black(2, 0));
        assert!(band.is_black(3, 23) && !band.is_black(3, 20));
    }

    #[test]
    fn a_header_that_promises_more_than_comes_takes_no_memory_for_it() {
        let picture = stored(112, &[48, 2, 2, 49, 0xFF, 0xFF, 0xFF, 0xFF, 0x80]).unwrap();
        assert!(picture.width() <= WIDTH_MAX && picture.height() <= HEIGHT_MAX);
        assert_eq!(stored(112, &[48, 1, 1, 49, 0, 0, 9, 0]), None);
    }
}
