//! A receipt laid out for a width, before any printer is chosen.

use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthChar;

use super::{Barcode, Bitmap, Qr};

/// A sheet no printer profile exceeds; also bounds what a layout may allocate.
pub const COLUMNS_MAX: u16 = 96;
/// The narrowest sheet a layout can do something sensible with.
pub const COLUMNS_MIN: u16 = 16;
/// The largest enlargement of a character.
pub const SCALE_MAX: u8 = 6;

/// Where something stands between two edges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Align {
    /// At the left edge.
    Left,
    /// Between the edges.
    #[default]
    Center,
    /// At the right edge.
    Right,
}

impl Align {
    /// Of `free` units, how many stand to the left.
    #[must_use]
    pub fn before(self, free: u32) -> u32 {
        match self {
            Self::Left => 0,
            Self::Center => free / 2,
            Self::Right => free,
        }
    }
}

/// How characters look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Emphasised.
    pub bold: bool,
    /// Underlined.
    pub underline: bool,
    /// White on black.
    pub invert: bool,
    /// Times as wide, 1 to [`SCALE_MAX`].
    pub width: u8,
    /// Times as high, 1 to [`SCALE_MAX`].
    pub height: u8,
}

impl Default for Style {
    fn default() -> Self {
        Self { bold: false, underline: false, invert: false, width: 1, height: 1 }
    }
}

/// Characters of one style, at one place of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Where it starts, in half columns from the left edge of the sheet.
    pub at: u16,
    /// The characters.
    pub text: String,
    /// Their style.
    pub style: Style,
}

impl Run {
    /// How wide it is, in columns.
    #[must_use]
    pub fn columns(&self) -> u16 {
        let each = u16::from(self.style.width);
        self.text.chars().fold(0, |sum, c| sum.saturating_add(char_columns(c) * each))
    }
}

/// One row of text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// What stands in it, from left to right, never overlapping.
    pub runs: Vec<Run>,
    /// Whether the next row follows without a gap, as ruled lines need it.
    pub tight: bool,
}

impl Row {
    /// The height of its tallest character, in lines.
    #[must_use]
    pub fn lines(&self) -> u8 {
        self.runs.iter().map(|run| run.style.height).max().unwrap_or(1)
    }
}

/// The part of a sheet something is aligned in, in columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Columns to its left.
    pub left: u16,
    /// Columns inside it.
    pub width: u16,
}

/// Which of a printer's two drawer connectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drawer {
    /// Connector pin 2.
    First,
    /// Connector pin 5.
    Second,
}

impl Drawer {
    /// Its place among the two.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }
}

/// One thing on a sheet, or one thing done between two of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Text.
    Row(Row),
    /// A picture.
    Image {
        /// Its dots.
        bitmap: Bitmap,
        /// Where it may stand.
        area: Area,
        /// Where it stands.
        align: Align,
    },
    /// A barcode.
    Barcode {
        /// What it says.
        code: Barcode,
        /// Where it may stand.
        area: Area,
        /// Where it stands.
        align: Align,
    },
    /// A QR code.
    Qr {
        /// What it says.
        code: Qr,
        /// Where it may stand.
        area: Area,
        /// Where it stands.
        align: Align,
    },
    /// Empty lines.
    Feed(u8),
    /// The paper is cut.
    Cut,
    /// A drawer is opened.
    Kick(Drawer),
    /// The printer sounds.
    Buzz,
}

/// A laid-out receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// How many columns it was laid out for.
    pub columns: u16,
    /// What stands on it, from top to bottom.
    pub items: Vec<Item>,
}

impl Sheet {
    /// The sheet as plain text, one line per row; pictures and codes are left out.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for item in &self.items {
            match item {
                Item::Row(row) => {
                    text.push_str(row_text(row).trim_end());
                    text.push('\n');
                }
                Item::Feed(lines) => (0..*lines).for_each(|_| text.push('\n')),
                Item::Image { .. }
                | Item::Barcode { .. }
                | Item::Qr { .. }
                | Item::Cut
                | Item::Kick(_)
                | Item::Buzz => {}
            }
        }
        text
    }
}

fn row_text(row: &Row) -> String {
    let mut text = String::new();
    let mut column = 0;
    for run in &row.runs {
        // Half a column rounds up, as the reference renderer does.
        let at = run.at.div_ceil(2);
        while column < at {
            text.push(' ');
            column += 1;
        }
        for c in run.text.chars() {
            text.push(c);
            let wide = char_columns(c);
            let gap = wide * (u16::from(run.style.width) - 1);
            (0..gap).for_each(|_| text.push(' '));
            column += wide + gap;
        }
    }
    text
}

/// How many columns a character takes at its normal size.
#[must_use]
pub fn char_columns(c: char) -> u16 {
    match UnicodeWidthChar::width(c) {
        Some(2) => 2,
        Some(0) | None => 0,
        Some(_) => 1,
    }
}
