//! A sheet as Star Line Mode bytes.
//!
//! Text, styles, cuts and drawers are native; every code and picture goes as raster rows, which
//! Line Mode and StarPRNT share.

use super::super::{Cut, Profile};
use super::{ESC, kick};
use crate::receipt::{Align, Area, Bitmap, Item, Row, Run, Sheet, Style, paint};

const LF: u8 = 0x0A;

/// The bytes that print a sheet on a model, without initialisation and without proof.
#[must_use]
pub fn encode(sheet: &Sheet, profile: &Profile) -> Vec<u8> {
    let mut writer = Writer { profile, out: Vec::new(), page: None, style: Style::default() };
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
}

impl Writer<'_> {
    fn item(&mut self, item: &Item, columns: u16) {
        match item {
            Item::Row(row) => self.row(row, columns),
            Item::Image { bitmap, area, align } => self.picture(bitmap, *area, *align),
            Item::Barcode { code, area, align } => {
                self.picture(&paint::barcode(code), *area, *align);
            }
            Item::Qr { code, area, align } => self.picture(&code.dots(), *area, *align),
            Item::Feed(lines) => (0..*lines).for_each(|_| self.out.push(LF)),
            Item::Cut => match self.profile.cut {
                Cut::None => self.out.extend_from_slice(&[LF; 4]),
                // Feed to the knife, then cut.
                Cut::Full => self.out.extend_from_slice(&[ESC, 0x64, 2]),
                Cut::Partial => self.out.extend_from_slice(&[ESC, 0x64, 3]),
            },
            Item::Kick(drawer) => self.out.push(kick(*drawer)),
            Item::Buzz => self.out.extend_from_slice(self.profile.buzz.unwrap_or_default()),
        }
    }

    fn row(&mut self, row: &Row, columns: u16) {
        let whole_columns = row.runs.iter().all(|run| run.at.is_multiple_of(2));
        let has = |c| self.profile.pages.iter().any(|(page, _)| page.encode(c).is_some());
        if !whole_columns || !row.runs.iter().flat_map(|run| run.text.chars()).all(has) {
            self.raster(&paint::spaced_row(row, columns));
            return;
        }
        let mut at = 0;
        for run in &row.runs {
            self.set_style(Style::default());
            let gap = usize::from(run.at.saturating_sub(at) / 2);
            self.out.resize(self.out.len() + gap, b' ');
            self.run(run);
            at = run.at + run.columns() * 2;
        }
        self.set_style(Style::default());
        self.out.push(LF);
    }

    fn run(&mut self, run: &Run) {
        self.set_style(run.style);
        for c in run.text.chars() {
            let pages = &self.profile.pages;
            let current = pages.iter().filter(|(_, number)| Some(*number) == self.page);
            let found =
                current.chain(pages).find_map(|(page, number)| Some((*number, page.encode(c)?)));
            let Some((number, byte)) = found else { continue };
            if !c.is_ascii() && self.page != Some(number) {
                self.out.extend_from_slice(&[ESC, 0x1D, 0x74, number]);
                self.page = Some(number);
            }
            self.out.push(byte);
        }
    }

    fn set_style(&mut self, style: Style) {
        if style.bold != self.style.bold {
            self.out.extend_from_slice(&[ESC, if style.bold { 0x45 } else { 0x46 }]);
        }
        if style.underline != self.style.underline {
            self.out.extend_from_slice(&[ESC, 0x2D, u8::from(style.underline)]);
        }
        if style.invert != self.style.invert {
            self.out.extend_from_slice(&[ESC, if style.invert { 0x34 } else { 0x35 }]);
        }
        if (style.width, style.height) != (self.style.width, self.style.height) {
            let (high, wide) = (style.height.clamp(1, 6) - 1, style.width.clamp(1, 6) - 1);
            self.out.extend_from_slice(&[ESC, 0x69, high, wide]);
        }
        self.style = style;
    }

    fn picture(&mut self, bitmap: &Bitmap, area: Area, align: Align) {
        let left = paint::offset(bitmap, area, align);
        let mut placed =
            Bitmap::white((left + bitmap.width()).min(self.profile.dots), bitmap.height());
        placed.draw(bitmap, left, 0);
        self.raster(&placed);
    }

    fn raster(&mut self, bitmap: &Bitmap) {
        let bytes = (bitmap.width().min(self.profile.dots) as usize).div_ceil(8);
        let Ok(length) = u16::try_from(bytes) else { return };
        let [low, high] = length.to_le_bytes();
        self.out.extend_from_slice(&[ESC, 0x2A, 0x72, 0x41]);
        for y in 0..bitmap.height() {
            self.out.extend_from_slice(&[0x62, low, high]);
            let row = &bitmap.row(y)[..bytes];
            self.out.extend_from_slice(row);
        }
        self.out.extend_from_slice(&[ESC, 0x2A, 0x72, 0x42]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::Drawer;

    fn bytes(item: Item) -> Vec<u8> {
        encode(&Sheet { columns: 48, items: vec![item] }, &Profile::star_80())
    }

    #[test]
    fn golden_text_and_styles() {
        let style = Style { bold: true, width: 2, ..Style::default() };
        let runs = vec![
            Run { at: 0, text: "a €".into(), style: Style::default() },
            Run { at: 8, text: "b".into(), style },
        ];
        assert_eq!(
            bytes(Item::Row(Row { runs, tight: false })),
            b"a \x1b\x1dt\x04\xd5 \x1bE\x1bi\x00\x01b\x1bF\x1bi\x00\x00\n"
        );
    }

    #[test]
    fn golden_picture_cut_and_drawers() {
        let mut bitmap = Bitmap::white(8, 2);
        bitmap.fill(0, 0, 8, 1);
        let area = Area { left: 0, width: 48 };
        assert_eq!(
            bytes(Item::Image { bitmap, area, align: Align::Left }),
            b"\x1b*rAb\x01\x00\xffb\x01\x00\x00\x1b*rB"
        );
        assert_eq!(bytes(Item::Cut), b"\x1bd\x03");
        assert_eq!(bytes(Item::Kick(Drawer::First)), b"\x07");
        assert_eq!(bytes(Item::Kick(Drawer::Second)), b"\x1a");
    }

    #[test]
    fn a_letter_star_does_not_hold_turns_its_row_into_dots() {
        let runs = vec![Run { at: 0, text: "日".into(), style: Style::default() }];
        assert!(bytes(Item::Row(Row { runs, tight: false })).starts_with(b"\x1b*rA"));
    }
}
