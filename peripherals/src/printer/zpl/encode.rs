//! Labels as ZPL II.
//!
//! A sheet goes as one picture, so that it looks the same as its preview; a label made of fields
//! goes as native text and barcodes, which print faster and sharper.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::receipt::{Bitmap, Sheet, Symbology, paint};

/// Copies of one label in one job.
const COPIES_MAX: u16 = 999;

/// Something on a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "field", rename_all = "snake_case", deny_unknown_fields)]
pub enum Field {
    /// Text.
    Text {
        /// Dots from the left.
        x: u16,
        /// Dots from the top.
        y: u16,
        /// Dots of height.
        height: u16,
        /// The text.
        text: String,
    },
    /// A barcode with its text below.
    Barcode {
        /// Dots from the left.
        x: u16,
        /// Dots from the top.
        y: u16,
        /// Dots of height.
        height: u16,
        /// Its kind.
        symbology: Symbology,
        /// What it says.
        data: String,
    },
    /// A QR code.
    Qr {
        /// Dots from the left.
        x: u16,
        /// Dots from the top.
        y: u16,
        /// Dots of one module, 1 to 10.
        module: u8,
        /// What it says.
        data: String,
    },
}

/// A label of native fields.
#[must_use]
pub fn fields(label: &[Field], copies: u16) -> Vec<u8> {
    let mut out = String::from("^XA^CI28");
    for field in label {
        let result = match field {
            Field::Text { x, y, height, text } => {
                write!(out, "^FO{x},{y}^A0N,{height},{height}^FH_^FD{}^FS", hex(text))
            }
            Field::Barcode { x, y, height, symbology, data } => {
                let command = match symbology {
                    Symbology::Upc => format!("^BUN,{height},Y,N,Y"),
                    Symbology::Ean if matches!(data.len(), 7 | 8) => format!("^B8N,{height},Y,N"),
                    Symbology::Ean => format!("^BEN,{height},Y,N"),
                    Symbology::Code39 => format!("^B3N,N,{height},Y,N"),
                    Symbology::Itf => format!("^B2N,{height},Y,N,N"),
                    Symbology::Codabar => format!("^BKN,N,{height},Y,N"),
                    Symbology::Code93 => format!("^BAN,{height},Y,N,N"),
                    Symbology::Code128 => format!("^BCN,{height},Y,N,N"),
                };
                write!(out, "^FO{x},{y}^BY2{command}^FH_^FD{}^FS", hex(data))
            }
            Field::Qr { x, y, module, data } => {
                let module = (*module).clamp(1, 10);
                write!(out, "^FO{x},{y}^BQN,2,{module}^FH_^FDMA,{}^FS", hex(data))
            }
        };
        result.expect("writing to a string cannot fail");
    }
    finish(out, copies)
}

/// A sheet as one picture.
#[must_use]
pub fn encode(sheet: &Sheet, copies: u16) -> Vec<u8> {
    let bitmap = paint::sheet(sheet);
    let mut out = format!("^XA^PW{}^LL{}^FO0,0", bitmap.width(), bitmap.height());
    picture(&mut out, &bitmap);
    finish(out, copies)
}

fn finish(mut out: String, copies: u16) -> Vec<u8> {
    let copies = copies.clamp(1, COPIES_MAX);
    if copies > 1 {
        write!(out, "^PQ{copies}").expect("writing to a string cannot fail");
    }
    out.push_str("^XZ\n");
    out.into_bytes()
}

fn picture(out: &mut String, bitmap: &Bitmap) {
    let stride = bitmap.width().div_ceil(8);
    let total = stride * bitmap.height();
    write!(out, "^GFA,{total},{total},{stride},").expect("writing to a string cannot fail");
    for y in 0..bitmap.height() {
        let row = bitmap.row(y);
        match row.iter().rposition(|byte| *byte != 0) {
            // A comma fills the rest of a row with white.
            None => out.push(','),
            Some(last) => {
                for byte in &row[..=last] {
                    write!(out, "{byte:02X}").expect("writing to a string cannot fail");
                }
                if last + 1 < row.len() {
                    out.push(',');
                }
            }
        }
    }
    out.push_str("^FS");
}

/// Field data with everything that could be a command written as hexadecimal.
fn hex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '^' | '~' | '_' | '\\' => {
                write!(out, "_{:02X}", u32::from(c)).expect("writing to a string cannot fail");
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::{Item, Row, Run, Style};

    #[test]
    fn golden_fields() {
        let label = [
            Field::Text { x: 20, y: 10, height: 30, text: "Käse ^XZ~JA 1,99 €".into() },
            Field::Barcode {
                x: 20,
                y: 60,
                height: 80,
                symbology: Symbology::Ean,
                data: "4006381333931".into(),
            },
            Field::Qr { x: 300, y: 10, module: 4, data: "https://example.org".into() },
        ];
        assert_eq!(
            String::from_utf8(fields(&label, 2)).unwrap(),
            "^XA^CI28^FO20,10^A0N,30,30^FH_^FDKäse _5EXZ_7EJA 1,99 €^FS\
             ^FO20,60^BY2^BEN,80,Y,N^FH_^FD4006381333931^FS\
             ^FO300,10^BQN,2,4^FH_^FDMA,https://example.org^FS^PQ2^XZ\n"
        );
    }

    #[test]
    fn a_sheet_is_one_picture_of_its_own_size() {
        let runs = vec![Run { at: 0, text: "A".into(), style: Style::default() }];
        let items = vec![Item::Row(Row { runs, tight: false })];
        let out = String::from_utf8(encode(&Sheet { columns: 32, items }, 1)).unwrap();
        assert!(out.starts_with("^XA^PW432^LL78^FO0,0^GFA,4212,4212,54,"), "{}", &out[..60]);
        assert!(out.ends_with("^FS^XZ\n") && !out.contains("^PQ"));
    }
}
