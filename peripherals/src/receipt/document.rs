//! What a receipt says, independent of any width: the common ground of ReceiptLine and JSON.
//!
//! A document is a list of lines.
//! A line of text is cells side by side; the [`Frame`] says how wide they are, whether rules stand
//! between them, and where the whole stands on the paper.

use super::sheet::{Align, Drawer, Style};
use super::symbol::{QrLevel, Symbology};

/// Lines of one document: eight metres of paper.
pub const LINES_MAX: usize = 2000;
/// Bytes of a document as it arrives, pictures included.
pub const SOURCE_BYTES_MAX: usize = 2 << 20;
/// Cells side by side; more do not fit the widest sheet.
pub const CELLS_MAX: usize = 96;

/// How wide a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// An equal part of what the fixed cells leave.
    Share,
    /// So many columns; none at zero.
    Columns(u16),
}

/// What stands between cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// Ruled lines, one column each.
    Line,
    /// So many empty columns.
    Space(u16),
}

impl Border {
    /// Columns between two cells.
    #[must_use]
    pub fn columns(self) -> u16 {
        match self {
            Self::Line => 1,
            Self::Space(columns) => columns,
        }
    }
}

/// How a line stands on the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Where a line narrower than the paper stands.
    pub align: Align,
    /// What stands between its cells.
    pub border: Border,
    /// Whether text too long for its cell goes on below, or is cut off.
    pub wrap: bool,
}

impl Default for Frame {
    fn default() -> Self {
        Self { align: Align::Center, border: Border::Space(1), wrap: true }
    }
}

/// A part of a cell's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// Characters of one style.
    Text(String, Style),
    /// The text goes on below.
    Break,
}

/// One cell of a line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Where its text stands.
    pub align: Align,
    /// How wide it is.
    pub width: Width,
    /// Its text.
    pub spans: Vec<Span>,
}

/// What a barcode or a QR code should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeSpec {
    /// A barcode.
    Bars {
        /// Its kind.
        symbology: Symbology,
        /// What it says.
        data: String,
        /// Dots of the thinnest bar.
        module: u8,
        /// Dots of height.
        height: u8,
        /// Whether its text stands below.
        readable: bool,
    },
    /// A QR code.
    Qr {
        /// What it says.
        data: String,
        /// Dots of a module's edge.
        module: u8,
        /// Its error correction.
        level: QrLevel,
    },
}

/// One line of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Cells of text.
    Text {
        /// The cells.
        cells: Vec<Cell>,
        /// How they stand.
        frame: Frame,
    },
    /// A horizontal rule.
    Rule {
        /// Its width.
        widths: Vec<Width>,
        /// How it stands.
        frame: Frame,
    },
    /// The paper is cut.
    Cut,
    /// Ruled lines begin with the next line of text.
    RulesStart,
    /// Ruled lines end.
    RulesStop,
    /// A picture, as base64 PNG.
    Image {
        /// The picture.
        png: String,
        /// The width it may take.
        widths: Vec<Width>,
        /// How that width stands.
        frame: Frame,
        /// Where the picture stands inside it.
        align: Align,
    },
    /// A barcode or QR code.
    Code {
        /// What it should be.
        spec: CodeSpec,
        /// The width it may take.
        widths: Vec<Width>,
        /// How that width stands.
        frame: Frame,
        /// Where the code stands inside it.
        align: Align,
    },
    /// Empty lines.
    Feed(u8),
    /// A drawer opens.
    Kick(Drawer),
    /// The printer sounds.
    Buzz,
}

/// Why a document was refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is too large.
    #[error("read a document: {what} is {is}, the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large.
        is: usize,
        /// How large it may be.
        limit: usize,
    },
    /// Its JSON does not follow the model.
    #[error("read a document as JSON")]
    Json(#[source] serde_json::Error),
}

/// Something in a document that was left out, told to whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The line it stands in, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// A document that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// Its lines.
    pub lines: Vec<Line>,
    /// What was left out while reading.
    pub warnings: Vec<Warning>,
}
