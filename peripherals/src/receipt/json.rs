//! The JSON document: receipts from programs that would rather not write ReceiptLine.
//!
//! ```json
//! {"blocks": [
//!   {"block": "text", "text": "Corner Shop", "align": "center", "bold": true, "width": 2},
//!   {"block": "row", "cells": [{"text": "Tea", "align": "left"},
//!                              {"text": "2.50", "align": "right", "columns": 8}]},
//!   {"block": "rule"},
//!   {"block": "qr", "data": "https://example.org/r/1"},
//!   {"block": "drawer", "drawer": "first"},
//!   {"block": "cut"}]}
//! ```
//! Unknown fields are refused: a misspelt "drawer" must not become a receipt without one.

use serde::{Deserialize, Serialize};

use super::document::{
    Border, CELLS_MAX, Cell, CodeSpec, Document, DocumentError, Frame, LINES_MAX, Line,
    SOURCE_BYTES_MAX, Span, Width,
};
use super::sheet::{Align, Drawer, SCALE_MAX, Style};
use super::symbol::{QrLevel, Symbology};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    blocks: Vec<Block>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "block", rename_all = "snake_case", deny_unknown_fields)]
enum Block {
    Text {
        text: String,
        #[serde(default)]
        align: Align,
        #[serde(default)]
        bold: bool,
        #[serde(default)]
        underline: bool,
        #[serde(default)]
        invert: bool,
        #[serde(default = "one")]
        width: u8,
        #[serde(default = "one")]
        height: u8,
    },
    Row {
        cells: Vec<RowCell>,
    },
    Rule,
    Image {
        png: String,
        #[serde(default)]
        align: Align,
    },
    Barcode {
        symbology: Symbology,
        data: String,
        #[serde(default)]
        align: Align,
        #[serde(default = "two")]
        module: u8,
        #[serde(default = "seventy_two")]
        height: u8,
        #[serde(default)]
        readable: bool,
    },
    Qr {
        data: String,
        #[serde(default)]
        align: Align,
        #[serde(default = "four")]
        module: u8,
        #[serde(default)]
        level: QrLevel,
    },
    Feed {
        lines: u8,
    },
    Cut,
    Drawer {
        drawer: Drawer,
    },
    Buzzer,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowCell {
    text: String,
    #[serde(default)]
    align: Align,
    /// Columns it takes; an equal share of the rest if absent.
    #[serde(default)]
    columns: Option<u16>,
    #[serde(default)]
    bold: bool,
}

fn one() -> u8 {
    1
}

fn two() -> u8 {
    2
}

fn four() -> u8 {
    4
}

fn seventy_two() -> u8 {
    72
}

/// Reads a JSON document.
pub fn parse(bytes: &[u8]) -> Result<Document, DocumentError> {
    let too_large = |what, is, limit| DocumentError::TooLarge { what, is, limit };
    if bytes.len() > SOURCE_BYTES_MAX {
        return Err(too_large("its size", bytes.len(), SOURCE_BYTES_MAX));
    }
    let source: Source = serde_json::from_slice(bytes).map_err(DocumentError::Json)?;
    if source.blocks.len() > LINES_MAX {
        return Err(too_large("its number of blocks", source.blocks.len(), LINES_MAX));
    }
    for block in &source.blocks {
        if let Block::Row { cells } = block
            && cells.len() > CELLS_MAX
        {
            return Err(too_large("a row's number of cells", cells.len(), CELLS_MAX));
        }
    }
    let lines = source.blocks.into_iter().map(line).collect();
    Ok(Document { lines, warnings: Vec::new() })
}

fn line(block: Block) -> Line {
    let frame = Frame::default();
    let widths = vec![Width::Share];
    match block {
        Block::Text { text, align, bold, underline, invert, width, height } => {
            let scale = |n: u8| n.clamp(1, SCALE_MAX);
            let style =
                Style { bold, underline, invert, width: scale(width), height: scale(height) };
            let cell = Cell { align, width: Width::Share, spans: spans(&text, style) };
            Line::Text { cells: vec![cell], frame }
        }
        Block::Row { cells } => {
            let cells = cells.into_iter().map(|cell| {
                let style = Style { bold: cell.bold, ..Style::default() };
                let width = cell.columns.map_or(Width::Share, Width::Columns);
                Cell { align: cell.align, width, spans: spans(&cell.text, style) }
            });
            Line::Text {
                cells: cells.collect(),
                frame: Frame { border: Border::Space(1), ..frame },
            }
        }
        Block::Rule => Line::Rule { widths, frame },
        Block::Image { png, align } => Line::Image { png, widths, frame, align },
        Block::Barcode { symbology, data, align, module, height, readable } => {
            let (module, height) = (module.clamp(1, 4), height.clamp(24, 240));
            let spec = CodeSpec::Bars { symbology, data, module, height, readable };
            Line::Code { spec, widths, frame, align }
        }
        Block::Qr { data, align, module, level } => {
            let spec = CodeSpec::Qr { data, module: module.clamp(1, 16), level };
            Line::Code { spec, widths, frame, align }
        }
        Block::Feed { lines } => Line::Feed(lines),
        Block::Cut => Line::Cut,
        Block::Drawer { drawer } => Line::Kick(drawer),
        Block::Buzzer => Line::Buzz,
    }
}

fn spans(text: &str, style: Style) -> Vec<Span> {
    let mut spans = Vec::new();
    for (at, part) in text.split('\n').enumerate() {
        if at > 0 {
            spans.push(Span::Break);
        }
        let shown: String = part.chars().filter(|c| !c.is_control()).collect();
        spans.push(Span::Text(shown, style));
    }
    spans
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::layout::layout;
    use super::*;

    #[test]
    fn a_document_becomes_rows_of_the_papers_width() {
        let json = br#"{"blocks": [
            {"block": "text", "text": "Corner Shop", "bold": true},
            {"block": "row", "cells": [
                {"text": "Tea", "align": "left"},
                {"text": "2.50", "align": "right", "columns": 8}]},
            {"block": "rule"},
            {"block": "text", "text": "a\nb", "align": "right"},
            {"block": "drawer", "drawer": "first"},
            {"block": "cut"}]}"#;
        let laid = layout(&parse(json).unwrap(), 32);
        let text = "           Corner Shop\n\
                    Tea                         2.50\n\
                    ────────────────────────────────\n\
                    \x20                              a\n\
                    \x20                              b\n";
        assert_eq!(laid.sheet.to_text(), text);
        assert_eq!(laid.warnings, []);
    }

    #[test]
    fn a_misspelt_field_is_refused_and_not_ignored() {
        for json in [
            &br#"{"blocks": [{"block": "text", "text": "x", "blod": true}]}"#[..],
            br#"{"blocks": [{"block": "kick"}]}"#,
            br#"{"blocks": [], "command": "\u001b@"}"#,
        ] {
            assert!(matches!(parse(json), Err(DocumentError::Json(_))));
        }
    }

    #[test]
    fn control_characters_never_reach_the_paper() {
        let json =
            br#"{"blocks": [{"block": "text", "text": "a\u001bp\u0000b", "align": "left"}]}"#;
        assert_eq!(layout(&parse(json).unwrap(), 32).sheet.to_text(), "apb\n");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_document_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
