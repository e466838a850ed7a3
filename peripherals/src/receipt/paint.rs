//! A sheet as dots and as SVG: previews, digital receipts, and the fallback on paper.

use std::fmt::Write;

use super::glyph::{self, CELL_HEIGHT, CELL_WIDTH};
use super::sheet::{Align, Area, Item, Row, Sheet};
use super::{Barcode, Bitmap};

/// Dots between two rows that are not tight.
const GAP: u32 = 6;
/// Dots of white around a preview.
const MARGIN: u32 = 24;
/// Dots above and below a cut's dashes.
const CUT_SPACE: u32 = 24;

/// One row as dots, as wide as the sheet.
#[must_use]
pub fn row(row: &Row, columns: u16) -> Bitmap {
    let height = CELL_HEIGHT * u32::from(row.lines());
    let mut bitmap = Bitmap::white(u32::from(columns) * CELL_WIDTH, height);
    for run in &row.runs {
        // Smaller characters stand on the same ground line as taller ones.
        let down = height - CELL_HEIGHT * u32::from(run.style.height);
        glyph::draw(&mut bitmap, u32::from(run.at) * CELL_WIDTH / 2, down, &run.text, run.style);
    }
    bitmap
}

/// One row as dots, with the gap below it that a printer leaves between rows of text.
#[must_use]
pub fn spaced_row(text: &Row, columns: u16) -> Bitmap {
    let dots = row(text, columns);
    if text.tight {
        return dots;
    }
    let mut spaced = Bitmap::white(dots.width(), dots.height() + GAP);
    spaced.draw(&dots, 0, 0);
    spaced
}

/// A barcode with its readable text below it.
#[must_use]
pub fn barcode(code: &Barcode) -> Bitmap {
    let bars = code.bars();
    if !code.readable {
        return bars;
    }
    let text_width = u32::try_from(code.text().len()).unwrap_or(0) * CELL_WIDTH;
    let width = bars.width().max(text_width);
    let mut bitmap = Bitmap::white(width, bars.height() + CELL_HEIGHT);
    bitmap.draw(&bars, (width - bars.width()) / 2, 0);
    let at = (width - text_width) / 2;
    glyph::draw(&mut bitmap, at, bars.height(), code.text(), super::Style::default());
    bitmap
}

/// The whole sheet as dots.
#[must_use]
pub fn sheet(sheet: &Sheet) -> Bitmap {
    let width = u32::from(sheet.columns) * CELL_WIDTH;
    let mut pieces = Vec::new();
    let mut y = MARGIN;
    for item in &sheet.items {
        let (x, piece, gap) = piece(item, sheet.columns);
        let height = piece.as_ref().map_or(0, Bitmap::height);
        if let Some(piece) = piece {
            pieces.push((x, y, piece));
        }
        y = y.saturating_add(height + gap);
    }
    let mut whole = Bitmap::white(width + 2 * MARGIN, y.saturating_add(MARGIN));
    for (x, y, piece) in &pieces {
        whole.draw(piece, x + MARGIN, *y);
    }
    whole
}

/// Where an item stands, its dots, and the space it needs besides.
fn piece(item: &Item, columns: u16) -> (u32, Option<Bitmap>, u32) {
    match item {
        Item::Row(text) => {
            let gap = if text.tight { 0 } else { GAP };
            (0, Some(row(text, columns)), gap)
        }
        Item::Image { bitmap, area, align } => placed(bitmap.clone(), *area, *align),
        Item::Barcode { code, area, align } => placed(barcode(code), *area, *align),
        Item::Qr { code, area, align } => placed(code.dots(), *area, *align),
        Item::Feed(lines) => (0, None, u32::from(*lines) * (CELL_HEIGHT + GAP)),
        Item::Cut => (0, Some(cut_mark(u32::from(columns) * CELL_WIDTH)), CUT_SPACE),
        Item::Kick(_) | Item::Buzz => (0, None, 0),
    }
}

fn placed(bitmap: Bitmap, area: Area, align: Align) -> (u32, Option<Bitmap>, u32) {
    (offset(&bitmap, area, align), Some(bitmap), GAP)
}

/// How many dots stand to the left of a picture.
#[must_use]
pub fn offset(bitmap: &Bitmap, area: Area, align: Align) -> u32 {
    let free = (u32::from(area.width) * CELL_WIDTH).saturating_sub(bitmap.width());
    u32::from(area.left) * CELL_WIDTH + align.before(free)
}

fn cut_mark(width: u32) -> Bitmap {
    let mut mark = Bitmap::white(width, CUT_SPACE + 1);
    for x in (0..width).step_by(16) {
        mark.fill(x, CUT_SPACE, 8, 1);
    }
    mark
}

/// The whole sheet as SVG: text stays text, so that it can be searched and read aloud.
#[must_use]
pub fn svg(sheet: &Sheet) -> String {
    let width = u32::from(sheet.columns) * CELL_WIDTH + 2 * MARGIN;
    let mut body = String::new();
    let mut y = MARGIN;
    for item in &sheet.items {
        let (x, piece, gap) = piece(item, sheet.columns);
        let height = piece.as_ref().map_or(0, Bitmap::height);
        match (item, &piece) {
            (Item::Row(row), _) => svg_row(&mut body, row, y),
            (_, Some(piece)) => svg_dots(&mut body, piece, x + MARGIN, y),
            (_, None) => {}
        }
        y = y.saturating_add(height + gap);
    }
    let height = y.saturating_add(MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <g font-family=\"monospace\" font-size=\"20\" fill=\"#000\" \
         style=\"white-space:pre\">\n{body}</g>\n</svg>\n"
    )
}

fn svg_row(body: &mut String, row: &Row, y: u32) {
    let height = CELL_HEIGHT * u32::from(row.lines());
    for run in &row.runs {
        let (x, length) =
            (u32::from(run.at) * CELL_WIDTH / 2 + MARGIN, u32::from(run.columns()) * CELL_WIDTH);
        let (wide, high) = (u32::from(run.style.width), u32::from(run.style.height));
        let top = y + height - CELL_HEIGHT * high;
        if run.style.invert {
            let _ = writeln!(
                body,
                "<rect x=\"{x}\" y=\"{top}\" width=\"{length}\" height=\"{}\"/>",
                CELL_HEIGHT * high
            );
        }
        if run.text.trim().is_empty() && !run.style.underline {
            continue;
        }
        let _ = write!(
            body,
            "<text transform=\"translate({x} {}) scale({wide} {high})\" textLength=\"{}\" \
             lengthAdjust=\"spacingAndGlyphs\"",
            top + 18 * high,
            length / wide.max(1)
        );
        if run.style.bold {
            body.push_str(" font-weight=\"bold\"");
        }
        if run.style.underline {
            body.push_str(" text-decoration=\"underline\"");
        }
        if run.style.invert {
            body.push_str(" fill=\"#fff\"");
        }
        let _ = writeln!(body, ">{}</text>", escaped(&run.text));
    }
}

/// One path of horizontal strokes: small, and sharp at any size.
fn svg_dots(body: &mut String, bitmap: &Bitmap, left: u32, top: u32) {
    body.push_str("<path d=\"");
    for y in 0..bitmap.height() {
        let mut x = 0;
        while x < bitmap.width() {
            let from = x;
            while bitmap.is_black(x, y) {
                x += 1;
            }
            if x > from {
                let _ = write!(body, "M{} {}h{}v1h-{}z", left + from, top + y, x - from, x - from);
            } else {
                x += 1;
            }
        }
    }
    body.push_str("\"/>\n");
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Not allowed in XML, not even escaped.
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Run, Style};
    use super::*;

    fn text_row(text: &str, style: Style) -> Row {
        Row { runs: vec![Run { at: 0, text: text.to_owned(), style }], tight: false }
    }

    #[test]
    fn letters_no_code_page_holds_still_make_dots() {
        for text in ["A", "€", "ß", "Ж", "Ω", "日", "한", "ไ", "ش", "क", "🜚"] {
            let dots = row(&text_row(text, Style::default()), 8);
            let black = (0..dots.height())
                .flat_map(|y| (0..dots.width()).map(move |x| (x, y)))
                .filter(|&(x, y)| dots.is_black(x, y))
                .count();
            assert!(black > 8, "{text} has {black} dots");
        }
    }

    #[test]
    fn an_inverted_run_is_black_around_its_letters() {
        let style = Style { invert: true, width: 2, height: 2, ..Style::default() };
        let dots = row(&text_row(" ", style), 8);
        assert!(dots.is_black(0, 0) && dots.is_black(23, 47) && !dots.is_black(24, 0));
    }

    #[test]
    fn markup_in_a_text_stays_text() {
        let items = vec![Item::Row(text_row("<script>&\u{1}\"", Style::default()))];
        let svg = svg(&Sheet { columns: 32, items });
        assert!(svg.contains(">&lt;script&gt;&amp;&quot;</text>"));
    }
}
