//! Letters as dots, for what a printer's own fonts do not hold, and for previews.
//!
//! The glyphs are GNU Unifont's, 8×16 and 16×16 dots, enlarged to the printer's cell without
//! smoothing, so that the same text always gives the same dots.

use super::sheet::{Style, char_columns};
use super::{Bitmap, font};

/// A character cell of the usual 203 dpi receipt printer, in dots.
pub(super) const CELL_WIDTH: u32 = 12;
pub(super) const CELL_HEIGHT: u32 = 24;

/// Draws characters from a place to the right; returns how many dots they took.
pub(super) fn draw(bitmap: &mut Bitmap, x: u32, y: u32, text: &str, style: Style) -> u32 {
    let height = CELL_HEIGHT * u32::from(style.height);
    let mut at = x;
    let mut last = x;
    for c in text.chars() {
        let columns = u32::from(char_columns(c));
        let width = columns * CELL_WIDTH * u32::from(style.width);
        if columns == 0 {
            // A combining mark belongs to the letter before it.
            draw_char(bitmap, last, y, c, CELL_WIDTH * u32::from(style.width), height, style.bold);
            continue;
        }
        draw_char(bitmap, at, y, c, width, height, style.bold);
        (last, at) = (at, at + width);
    }
    let width = at - x;
    if style.underline {
        let thick = 2 * u32::from(style.height).div_ceil(2);
        bitmap.fill(x, y + height - thick, width, thick);
    }
    if style.invert {
        bitmap.invert(x, y, width, height);
    }
    width
}

fn draw_char(bitmap: &mut Bitmap, x: u32, y: u32, c: char, width: u32, height: u32, bold: bool) {
    if width == 0 || c.is_control() {
        return;
    }
    if draw_rule(bitmap, x, y, c, width, height) {
        return;
    }
    let Some(glyph) = font::glyph(c).or_else(|| font::glyph('\u{FFFD}')) else {
        return;
    };
    let glyph_width = glyph.width();
    for row in 0..height {
        let source_row = (row * 16 / height) as usize;
        for column in 0..width {
            let source = (column as usize * glyph_width) / width as usize;
            if glyph.is_set(source, source_row) {
                bitmap.set(x + column, y + row, true);
                if bold {
                    bitmap.set(x + column + 1, y + row, true);
                }
            }
        }
    }
}

/// Ruled lines are drawn, not enlarged from glyphs, so that they join whatever the cell is.
fn draw_rule(bitmap: &mut Bitmap, x: u32, y: u32, c: char, width: u32, height: u32) -> bool {
    let (left, right, up, down) = match c {
        '─' => (true, true, false, false),
        '│' => (false, false, true, true),
        '┌' => (false, true, false, true),
        '┐' => (true, false, false, true),
        '└' => (false, true, true, false),
        '┘' => (true, false, true, false),
        '├' => (false, true, true, true),
        '┤' => (true, false, true, true),
        '┬' => (true, true, false, true),
        '┴' => (true, true, true, false),
        '┼' => (true, true, true, true),
        _ => return false,
    };
    let (middle_x, middle_y) = (x + width / 2 - 1, y + height / 2 - 1);
    if left {
        bitmap.fill(x, middle_y, width / 2 + 1, 2);
    }
    if right {
        bitmap.fill(middle_x, middle_y, width - width / 2 + 1, 2);
    }
    if up {
        bitmap.fill(middle_x, y, 2, height / 2 + 1);
    }
    if down {
        bitmap.fill(middle_x, middle_y, 2, height - height / 2 + 1);
    }
    true
}
