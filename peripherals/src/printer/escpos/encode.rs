//! A sheet as ESC/POS bytes.
//!
//! Text goes as text wherever a code page of the model holds it: 1500 rows of dots take two
//! minutes at 9600 baud, the same receipt as text takes seconds.
//! A row with a letter that no page holds goes as dots, whole, so that its columns stay straight.

use super::super::{Cut, Profile};
use super::kick;
use crate::receipt::symbol::{QrLevel, is_digit_pairs};
use crate::receipt::{
    Align, Area, Barcode, Bitmap, CodePage, Item, Qr, Row, Run, Sheet, Style, Symbology, paint,
};

const ESC: u8 = 0x1B;
const GS: u8 = 0x1D;
const FS: u8 = 0x1C;
const LF: u8 = 0x0A;
/// Dots between two tight rows: exactly a character's height.
const TIGHT: u8 = 24;

/// The bytes that print a sheet on a model, without initialisation and without proof.
#[must_use]
pub fn encode(sheet: &Sheet, profile: &Profile) -> Vec<u8> {
    let mut writer = Writer::new(profile);
    for item in &sheet.items {
        writer.item(item, sheet.columns);
    }
    writer.out
}

struct Writer<'a> {
    profile: &'a Profile,
    out: Vec<u8>,
    page: Option<u8>,
    style: Style,
    tight: bool,
    pairs: bool,
    align: Align,
}

impl<'a> Writer<'a> {
    fn new(profile: &'a Profile) -> Self {
        Self {
            profile,
            out: Vec::new(),
            page: None,
            style: Style::default(),
            tight: false,
            pairs: false,
            align: Align::Left,
        }
    }

    fn item(&mut self, item: &Item, columns: u16) {
        match item {
            Item::Row(row) => self.row(row, columns),
            Item::Image { bitmap, area, align } => self.picture(bitmap, *area, *align),
            Item::Barcode { code, area, align } => {
                let native = self.profile.barcodes && (2..=6).contains(&code.module);
                if native && self.whole_width(*area, columns) {
                    self.align(*align);
                    self.barcode(code);
                    self.align(Align::Left);
                } else {
                    self.picture(&paint::barcode(code), *area, *align);
                }
            }
            Item::Qr { code, area, align } => {
                if self.profile.qr && code.is_plain() && self.whole_width(*area, columns) {
                    self.align(*align);
                    self.qr(code);
                    self.align(Align::Left);
                } else {
                    self.picture(&code.dots(), *area, *align);
                }
            }
            Item::Feed(lines) => self.out.extend_from_slice(&[ESC, 0x64, *lines]),
            Item::Cut => self.cut(),
            Item::Kick(drawer) => self.out.extend_from_slice(&kick(*drawer)),
            Item::Buzz => self.out.extend_from_slice(self.profile.buzz.unwrap_or_default()),
        }
    }

    fn whole_width(&self, area: Area, columns: u16) -> bool {
        area.left == 0 && area.width == columns && columns == self.profile.columns
    }

    fn cut(&mut self) {
        match self.profile.cut {
            // The print head stands above the tear bar and the knife.
            Cut::None => self.out.extend_from_slice(&[ESC, 0x64, 4]),
            Cut::Partial => self.out.extend_from_slice(&[GS, 0x56, 0x42, 0]),
            Cut::Full => self.out.extend_from_slice(&[GS, 0x56, 0x41, 0]),
        }
    }

    fn row(&mut self, row: &Row, columns: u16) {
        self.spacing(row.tight);
        let printable = row.runs.iter().flat_map(|run| run.text.chars()).all(|c| self.has(c));
        if !printable {
            self.strips(&paint::spaced_row(row, columns));
            return;
        }
        let mut at = 0;
        for run in &row.runs {
            self.move_to(&mut at, run.at);
            self.run(run);
            at += run.columns() * 2;
        }
        self.set_style(Style::default());
        self.out.push(LF);
    }

    fn move_to(&mut self, at: &mut u16, to: u16) {
        if to == *at {
            return;
        }
        self.set_style(Style::default());
        if to > *at && (to - *at).is_multiple_of(2) {
            self.set_pairs(false);
            self.out.resize(self.out.len() + usize::from((to - *at) / 2), b' ');
        } else {
            let dots = to * self.profile.cell / 2;
            let [low, high] = dots.to_le_bytes();
            self.out.extend_from_slice(&[ESC, 0x24, low, high]);
        }
        *at = to;
    }

    fn has(&self, c: char) -> bool {
        rule_as_ascii(c).is_some()
            || self.profile.pages.iter().any(|(page, _)| page.encode(c).is_some())
            || self.profile.ideographs.is_some_and(|set| set.encode(c).is_some())
    }

    fn run(&mut self, run: &Run) {
        self.set_style(run.style);
        for (at, c) in run.text.char_indices() {
            if let Some((number, byte)) = self.single(&run.text[at..], c) {
                self.set_pairs(false);
                if !c.is_ascii() && self.page != Some(number) {
                    self.out.extend_from_slice(&[ESC, 0x74, number]);
                    self.page = Some(number);
                }
                self.out.push(byte);
            } else if let Some(pair) = self.profile.ideographs.and_then(|set| set.encode(c)) {
                self.set_pairs(true);
                self.out.extend_from_slice(&pair);
            } else if let Some(ascii) = rule_as_ascii(c) {
                self.set_pairs(false);
                self.out.push(ascii);
            }
        }
    }

    /// The page chosen before is kept while it serves, else the one that serves longest is taken:
    /// every change costs three bytes.
    fn single(&self, rest: &str, c: char) -> Option<(u8, u8)> {
        let holds =
            |page: &CodePage| rest.chars().take_while(|c| page.encode(*c).is_some()).count();
        let pages = &self.profile.pages;
        let current = pages.iter().find(|(_, number)| Some(*number) == self.page);
        let current = current.filter(|(page, _)| page.encode(c).is_some());
        // Of equals, the first one is the preferred one.
        let (page, number) =
            current.or_else(|| pages.iter().rev().max_by_key(|(page, _)| holds(page)))?;
        Some((*number, page.encode(c)?))
    }

    fn set_pairs(&mut self, on: bool) {
        if self.pairs != on {
            self.out.extend_from_slice(&[FS, if on { 0x26 } else { 0x2E }]);
            if on && self.profile.ideographs == Some(crate::receipt::codepage::Ideographs::ShiftJis)
            {
                self.out.extend_from_slice(&[FS, 0x43, 0x01]);
            }
            self.pairs = on;
        }
    }

    fn set_style(&mut self, style: Style) {
        if style.bold != self.style.bold {
            self.out.extend_from_slice(&[ESC, 0x45, u8::from(style.bold)]);
        }
        if style.underline != self.style.underline {
            self.out.extend_from_slice(&[ESC, 0x2D, u8::from(style.underline)]);
        }
        if style.invert != self.style.invert {
            self.out.extend_from_slice(&[GS, 0x42, u8::from(style.invert)]);
        }
        if (style.width, style.height) != (self.style.width, self.style.height) {
            let size = (style.width.clamp(1, 8) - 1) << 4 | (style.height.clamp(1, 8) - 1);
            self.out.extend_from_slice(&[GS, 0x21, size]);
        }
        self.style = style;
    }

    fn spacing(&mut self, tight: bool) {
        if tight != self.tight {
            self.tight = tight;
            if tight {
                let units = TIGHT.saturating_mul(self.profile.units_per_dot);
                self.out.extend_from_slice(&[ESC, 0x33, units]);
            } else {
                self.out.extend_from_slice(&[ESC, 0x32]);
            }
        }
    }

    fn align(&mut self, align: Align) {
        if align != self.align {
            self.align = align;
            let n = match align {
                Align::Left => 0,
                Align::Center => 1,
                Align::Right => 2,
            };
            self.out.extend_from_slice(&[ESC, 0x61, n]);
        }
    }

    fn picture(&mut self, bitmap: &Bitmap, area: Area, align: Align) {
        let left = paint::offset(bitmap, area, align);
        let width = (left + bitmap.width()).min(self.profile.dots);
        let mut placed = Bitmap::white(width, bitmap.height());
        placed.draw(bitmap, left, 0);
        self.strips(&placed);
    }

    /// Sends dots in strips, and keeps anything that looks like a real-time command out of them.
    fn strips(&mut self, bitmap: &Bitmap) {
        let bytes = (bitmap.width().min(self.profile.dots) as usize).div_ceil(8);
        let Ok(width) = u16::try_from(bytes) else { return };
        let rows: Vec<u32> = (0..bitmap.height()).collect();
        for strip in rows.chunks(self.profile.strip_rows.max(1) as usize) {
            let Ok(height) = u16::try_from(strip.len()) else { return };
            let ([xl, xh], [yl, yh]) = (width.to_le_bytes(), height.to_le_bytes());
            self.out.extend_from_slice(&[GS, 0x76, 0x30, 0, xl, xh, yl, yh]);
            let from = self.out.len();
            for y in strip {
                let row = &bitmap.row(*y)[..bytes];
                self.out.extend_from_slice(row);
            }
            real_time_free(&mut self.out[from..]);
        }
    }

    fn barcode(&mut self, code: &Barcode) {
        let text = code.text();
        let (kind, data) = match code.symbology() {
            Symbology::Upc => (65, text.as_bytes().to_vec()),
            Symbology::Ean if text.len() == 8 => (68, text.as_bytes().to_vec()),
            Symbology::Ean => (67, text.as_bytes().to_vec()),
            Symbology::Code39 => (69, text.as_bytes().to_vec()),
            Symbology::Itf => (70, text.as_bytes().to_vec()),
            Symbology::Codabar => (71, text.as_bytes().to_vec()),
            Symbology::Code93 => (72, text.as_bytes().to_vec()),
            Symbology::Code128 => (73, code128(text)),
        };
        let Ok(length) = u8::try_from(data.len()) else { return };
        let below = if code.readable { 2 } else { 0 };
        self.out.extend_from_slice(&[GS, 0x68, code.height, GS, 0x77, code.module]);
        self.out.extend_from_slice(&[GS, 0x48, below, GS, 0x66, 0, GS, 0x6B, kind, length]);
        self.out.extend_from_slice(&data);
    }

    fn qr(&mut self, code: &Qr) {
        let level = match code.level() {
            QrLevel::L => 0x30,
            QrLevel::M => 0x31,
            QrLevel::Q => 0x32,
            QrLevel::H => 0x33,
        };
        let data = code.text().as_bytes();
        let Ok(length) = u16::try_from(data.len() + 3) else { return };
        let [low, high] = length.to_le_bytes();
        self.out.extend_from_slice(&[GS, 0x28, 0x6B, 4, 0, 0x31, 0x41, 0x32, 0]);
        self.out.extend_from_slice(&[GS, 0x28, 0x6B, 3, 0, 0x31, 0x43, code.module]);
        self.out.extend_from_slice(&[GS, 0x28, 0x6B, 3, 0, 0x31, 0x45, level]);
        self.out.extend_from_slice(&[GS, 0x28, 0x6B, low, high, 0x31, 0x50, 0x30]);
        self.out.extend_from_slice(data);
        self.out.extend_from_slice(&[GS, 0x28, 0x6B, 3, 0, 0x31, 0x51, 0x30]);
    }
}

/// Epson's escapes: `{C` and pairs as bytes, or `{B` and text with its braces doubled.
fn code128(text: &str) -> Vec<u8> {
    let mut data = b"{B".to_vec();
    if is_digit_pairs(text) {
        data = b"{C".to_vec();
        let digits: Vec<u8> = text.bytes().map(|byte| byte - b'0').collect();
        data.extend(digits.chunks_exact(2).map(|pair| pair[0] * 10 + pair[1]));
        return data;
    }
    for byte in text.bytes() {
        data.push(byte);
        if byte == b'{' {
            data.push(byte);
        }
    }
    data
}

/// What stands for a ruled line where no page has one.
fn rule_as_ascii(c: char) -> Option<u8> {
    match c {
        '─' => Some(b'-'),
        '│' => Some(b'|'),
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' => Some(b'+'),
        _ => None,
    }
}

/// Changes one dot wherever dots spell the beginning of a real-time command.
///
/// Serial models carry such commands out even inside a picture: `10 04` would make it answer,
/// `10 05` recover, `10 14` open the drawer or switch off.
pub fn real_time_free(dots: &mut [u8]) {
    let mut previous = 0;
    for byte in dots {
        if previous == 0x10 && matches!(*byte, 0x04 | 0x05 | 0x14) {
            *byte |= 0x02;
        }
        previous = *byte;
    }
}

#[cfg(test)]
mod tests;
