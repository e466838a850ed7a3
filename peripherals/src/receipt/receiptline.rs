//! ReceiptLine: receipts as plain text, one line of the receipt per line of the text.
//!
//! Source: OFSC ReceiptLine Specification, grammar section, and the behaviour of its reference
//! renderer 4.0.4, whose text output is the golden oracle of `tests/vectors/receiptline`.
//!
//! The whole grammar is read, except that `command` (bytes for the printer) is off: a document
//! comes from a till, and a till does not speak to the printer behind the box's back.
//! What is wrong in a line is left out and told as a warning, as the grammar demands; only a
//! document beyond the limits is refused.

mod column;
mod escape;

use super::document::{
    Border, CELLS_MAX, Cell, CodeSpec, Document, DocumentError, Frame, LINES_MAX, Line,
    SOURCE_BYTES_MAX, Warning, Width,
};
use super::sheet::Align;
use super::symbol::{QrLevel, Symbology};
use column::{Column, Content, Member};

/// What a property saves for the lines after it.
#[derive(Debug, Clone)]
struct Saved {
    frame: Frame,
    /// Empty means "auto": every column shares.
    widths: Vec<Width>,
    code: CodeOptions,
}

#[derive(Debug, Clone, Copy)]
struct CodeOptions {
    /// `None` is a QR code.
    symbology: Option<Symbology>,
    module: u8,
    height: u8,
    readable: bool,
    cell: u8,
    level: QrLevel,
}

impl Default for CodeOptions {
    fn default() -> Self {
        Self {
            symbology: Some(Symbology::Code128),
            module: 2,
            height: 72,
            readable: false,
            cell: 3,
            level: QrLevel::L,
        }
    }
}

/// Reads a ReceiptLine document.
pub fn parse(text: &str) -> Result<Document, DocumentError> {
    let too_large = |what, is, limit| DocumentError::TooLarge { what, is, limit };
    if text.len() > SOURCE_BYTES_MAX {
        return Err(too_large("its size", text.len(), SOURCE_BYTES_MAX));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let count = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    if count > LINES_MAX {
        return Err(too_large("its number of lines", count, LINES_MAX));
    }
    let mut reader = Reader {
        saved: Saved { frame: Frame::default(), widths: Vec::new(), code: CodeOptions::default() },
        document: Document::default(),
        at: 0,
    };
    for (at, line) in text.split('\n').enumerate() {
        reader.at = at + 1;
        reader.line(line);
    }
    Ok(reader.document)
}

struct Reader {
    saved: Saved,
    document: Document,
    at: usize,
}

impl Reader {
    fn warn(&mut self, what: impl Into<String>) {
        self.document.warnings.push(Warning { line: self.at, what: what.into() });
    }

    fn push(&mut self, line: Line) {
        self.document.lines.push(line);
    }

    fn line(&mut self, line: &str) {
        let mut columns = column::split(line);
        if columns.len() > CELLS_MAX {
            self.warn("more columns than any paper has; the rest is left out");
            columns.truncate(CELLS_MAX);
        }
        if let [Column { align, content }] = columns.as_mut_slice() {
            let align = *align;
            match std::mem::replace(content, Content::Broken) {
                Content::Property(members) => return self.property(members, align),
                Content::Rule => {
                    let (widths, frame) = (self.block_widths(), self.saved.frame);
                    return self.push(Line::Rule { widths, frame });
                }
                Content::Cut => return self.push(Line::Cut),
                kept @ (Content::Text(_) | Content::Broken) => *content = kept,
            }
        }
        self.text(columns);
    }

    fn text(&mut self, columns: Vec<Column>) {
        let mut cells = Vec::new();
        for (at, column) in columns.into_iter().enumerate() {
            let Content::Text(spans) = column.content else {
                // A property has a line of its own; beside text the whole line means nothing.
                return self.warn("braces are wrong, or a property stands beside other columns");
            };
            let width = match self.saved.widths.as_slice() {
                [] => Width::Share,
                widths => widths.get(at).copied().unwrap_or(Width::Columns(0)),
            };
            cells.push(Cell { align: column.align, width, spans });
        }
        for width in self.saved.widths.iter().skip(cells.len()) {
            cells.push(Cell { align: Align::Center, width: *width, spans: Vec::new() });
        }
        let frame = self.saved.frame;
        self.push(Line::Text { cells, frame });
    }

    /// The width a rule, a picture or a code may take.
    fn block_widths(&self) -> Vec<Width> {
        let widths = &self.saved.widths;
        if widths.is_empty() || widths.contains(&Width::Share) {
            return vec![Width::Share];
        }
        let fixed: Vec<u16> = widths
            .iter()
            .filter_map(|width| match width {
                Width::Columns(columns) if *columns > 0 => Some(*columns),
                Width::Columns(_) | Width::Share => None,
            })
            .collect();
        let count = u16::try_from(fixed.len()).unwrap_or(u16::MAX);
        let between = match self.saved.frame.border {
            Border::Line => count.saturating_add(1),
            Border::Space(gap) => count.saturating_sub(1).saturating_mul(gap),
        };
        let sum = fixed.iter().fold(between, |sum, width| sum.saturating_add(*width));
        vec![Width::Columns(if count == 0 { 0 } else { sum })]
    }

    fn property(&mut self, members: Vec<Member>, align: Align) {
        let mut rules = None;
        let find = |key: &str| members.iter().rev().find(|member| member.key == key);
        if members.iter().any(|member| member.key.is_empty()) {
            self.warn("a member of this property is not understood");
        }
        if let Some(member) = find("text") {
            self.saved.frame.wrap = !member.value.eq_ignore_ascii_case("nowrap");
        }
        if let Some(member) = find("border") {
            rules = self.border(&member.value);
        }
        if let Some(member) = find("width") {
            self.saved.widths = column::widths(&member.value);
        }
        if let Some(member) = find("align") {
            self.saved.frame.align = match member.value.to_ascii_lowercase().as_str() {
                "left" => Align::Left,
                "right" => Align::Right,
                _ => Align::Center,
            };
        }
        if let Some(member) = find("option") {
            self.saved.code = code_options(&member.value);
        }
        self.document.lines.extend(rules);
        let (widths, frame) = (self.block_widths(), self.saved.frame);
        if let Some(member) = find("image") {
            let png = column::base64(&member.value);
            self.push(Line::Image { png, widths: widths.clone(), frame, align });
        }
        if let Some(member) = find("code") {
            let spec = code_spec(self.saved.code, member.value.clone());
            self.push(Line::Code { spec, widths, frame, align });
        }
        if find("command").is_some() {
            self.warn("commands for the printer are off; this one is left out");
        }
    }

    fn border(&mut self, value: &str) -> Option<Line> {
        let before = self.saved.frame.border;
        let border = match value.to_ascii_lowercase().as_str() {
            "line" => Border::Line,
            "none" | "0" => Border::Space(0),
            "2" => Border::Space(2),
            _ => Border::Space(1),
        };
        self.saved.frame.border = border;
        match (before == Border::Line, border == Border::Line) {
            (false, true) => Some(Line::RulesStart),
            (true, false) => Some(Line::RulesStop),
            (false, false) | (true, true) => None,
        }
    }
}

fn code_options(value: &str) -> CodeOptions {
    let lower = value.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(['\t', ' ', ',']).collect();
    let symbology = words.iter().find_map(|word| match *word {
        "upc" => Some(Some(Symbology::Upc)),
        "ean" | "jan" => Some(Some(Symbology::Ean)),
        "code39" => Some(Some(Symbology::Code39)),
        "itf" => Some(Some(Symbology::Itf)),
        "codabar" | "nw7" => Some(Some(Symbology::Codabar)),
        "code93" => Some(Some(Symbology::Code93)),
        "code128" => Some(Some(Symbology::Code128)),
        "qrcode" => Some(None),
        _ => None,
    });
    let number = |from: u8, to: u8| {
        let numbers = words.iter().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
        numbers.filter_map(|word| word.parse::<u8>().ok()).find(|n| (from..=to).contains(n))
    };
    let level = words.iter().find_map(|word| match *word {
        "l" => Some(QrLevel::L),
        "m" => Some(QrLevel::M),
        "q" => Some(QrLevel::Q),
        "h" => Some(QrLevel::H),
        _ => None,
    });
    let usual = CodeOptions::default();
    CodeOptions {
        symbology: symbology.unwrap_or(usual.symbology),
        module: number(2, 4).unwrap_or(usual.module),
        height: number(24, 240).unwrap_or(usual.height),
        readable: words.contains(&"hri"),
        cell: number(3, 8).unwrap_or(usual.cell),
        level: level.unwrap_or_default(),
    }
}

fn code_spec(options: CodeOptions, data: String) -> CodeSpec {
    let CodeOptions { module, height, readable, cell, level, .. } = options;
    match options.symbology {
        Some(symbology) => CodeSpec::Bars { symbology, data, module, height, readable },
        None => CodeSpec::Qr { data, module: cell, level },
    }
}

#[cfg(test)]
mod tests;
