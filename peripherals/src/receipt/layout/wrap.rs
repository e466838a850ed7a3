//! Breaking a cell's text into rows.

use super::super::document::Span;
use super::super::sheet::{Align, Style, char_columns};

/// One row of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrappedRow {
    /// What stands in it.
    pub(super) parts: Vec<(String, Style)>,
    /// Half columns to its left.
    pub(super) before: u16,
    /// Lines of height.
    pub(super) height: u8,
}

struct Wrap {
    width: u16,
    align: Align,
    space: u16,
    height: u8,
    parts: Vec<(String, Style)>,
    rows: Vec<WrappedRow>,
}

/// Breaks text at the last character that fits; gives up beyond `rows_max` rows.
pub(super) fn wrap(spans: &[Span], width: u16, align: Align, rows_max: usize) -> Vec<WrappedRow> {
    let mut wrap =
        Wrap { width, align, space: width, height: 1, parts: Vec::new(), rows: Vec::new() };
    for span in spans {
        if wrap.rows.len() > rows_max {
            break;
        }
        match span {
            Span::Text(text, style) => wrap.text(text, *style, rows_max),
            Span::Break => wrap.end_row(),
        }
    }
    if !wrap.parts.is_empty() {
        wrap.end_row();
    }
    wrap.rows
}

impl Wrap {
    fn text(&mut self, text: &str, style: Style, rows_max: usize) {
        let mut part = String::new();
        for c in text.chars() {
            if self.rows.len() > rows_max {
                return;
            }
            let columns = char_columns(c) * u16::from(style.width);
            // A character wider than the whole cell can stand nowhere.
            if columns > self.width {
                continue;
            }
            if columns > self.space {
                self.keep(&mut part, style);
                self.end_row();
            }
            self.space -= columns;
            part.push(c);
            if self.space == 0 {
                self.keep(&mut part, style);
                self.end_row();
            }
        }
        self.keep(&mut part, style);
    }

    fn keep(&mut self, part: &mut String, style: Style) {
        if !part.is_empty() {
            self.parts.push((std::mem::take(part), style));
            self.height = self.height.max(style.height);
        }
    }

    fn end_row(&mut self) {
        let before = match self.align {
            Align::Left => 0,
            Align::Center => self.space,
            Align::Right => self.space * 2,
        };
        let parts = std::mem::take(&mut self.parts);
        self.rows.push(WrappedRow { parts, before, height: self.height });
        self.space = self.width;
        self.height = 1;
    }
}
