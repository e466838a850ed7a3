//! Receipts: from what a till means to what paper, a screen or a label shows.
//!
//! ```text
//! ReceiptLine text ─┐
//! JSON document ────┴─> document ──layout──> Sheet ──> ESC/POS, Star, ZPL, SVG, PNG, text
//! ```
//! A [`Sheet`] is laid out for a number of columns and knows nothing of any printer.
//! Every backend starts from the same sheet, so a preview shows what the paper will.

pub mod bitmap;
pub mod codepage;
pub mod document;
mod font;
mod glyph;
pub mod json;
pub mod layout;
pub mod paint;
pub mod receiptline;
pub mod sheet;
pub mod symbol;

pub use bitmap::Bitmap;
pub use codepage::CodePage;
pub use sheet::{Align, Area, Drawer, Item, Row, Run, Sheet, Style};
pub use symbol::{Barcode, Qr, SymbolError, Symbology};
