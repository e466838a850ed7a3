//! Barcodes and QR codes: what may be in them, and their bars.
//!
//! A printer prints nothing for a code with a wrong digit and says nothing either, so every code is
//! checked before it is sent, and a missing check digit is added.
//!
//! Sources: GS1 General Specifications section 7.9 (check digits), section 5.2 (UPC-E expansion).

use barcoders::sym::{
    code39::Code39, code93::Code93, code128::Code128, ean8::EAN8, ean13::EAN13, tf::TF,
};
use qrcode::bits::Bits;
use qrcode::types::QrResult;
use qrcode::{EcLevel, QrCode, Version};
use serde::{Deserialize, Serialize};

use super::Bitmap;

/// Characters one barcode may hold; more does not fit any paper here.
pub const BARCODE_CHARS_MAX: usize = 64;
/// Bytes one QR code may hold; the largest symbol of lowest correction.
pub const QR_BYTES_MAX: usize = 2953;

/// Kinds of barcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Symbology {
    /// UPC-A; a UPC-E number is expanded to the UPC-A number it stands for.
    Upc,
    /// EAN-13 or EAN-8, by the number of digits.
    Ean,
    /// Code 39.
    Code39,
    /// Interleaved 2 of 5.
    Itf,
    /// Codabar, also NW-7.
    Codabar,
    /// Code 93.
    Code93,
    /// Code 128.
    Code128,
}

/// Why a code was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SymbolError {
    /// The text cannot stand in this kind of code.
    #[error("make a {symbology:?} barcode: {text:?} cannot stand in it")]
    Text {
        /// The kind.
        symbology: Symbology,
        /// The text.
        text: String,
    },
    /// The check digit given is not the right one.
    #[error("make a barcode: {text:?} ends in a wrong check digit")]
    CheckDigit {
        /// The digits.
        text: String,
    },
    /// The text does not fit a QR code.
    #[error("make a QR code: {bytes} bytes do not fit")]
    QrSize {
        /// How many bytes were asked for.
        bytes: usize,
    },
}

/// A checked barcode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barcode {
    symbology: Symbology,
    text: String,
    modules: Vec<bool>,
    /// Dots of the thinnest bar.
    pub module: u8,
    /// Dots of height.
    pub height: u8,
    /// Whether the text stands below it.
    pub readable: bool,
}

impl Barcode {
    /// Checks a text and completes its check digit.
    pub fn new(symbology: Symbology, text: &str) -> Result<Self, SymbolError> {
        let refuse = || SymbolError::Text { symbology, text: text.to_owned() };
        if text.is_empty() || text.len() > BARCODE_CHARS_MAX {
            return Err(refuse());
        }
        let text = match symbology {
            Symbology::Upc => upc_a(text).ok_or_else(refuse)??,
            Symbology::Ean => ean(text).ok_or_else(refuse)??,
            Symbology::Codabar => codabar(text),
            Symbology::Code39 => text.trim_matches('*').to_ascii_uppercase(),
            Symbology::Itf | Symbology::Code93 | Symbology::Code128 => text.to_owned(),
        };
        let modules = modules(symbology, &text).ok_or_else(refuse)?;
        Ok(Self { symbology, text, modules, module: 2, height: 72, readable: false })
    }

    /// The kind.
    #[must_use]
    pub fn symbology(&self) -> Symbology {
        self.symbology
    }

    /// The text, with its check digit.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Dots from the first bar to the last.
    #[must_use]
    pub fn width(&self) -> u32 {
        u32::try_from(self.modules.len()).unwrap_or(u32::MAX) * u32::from(self.module)
    }

    /// The bars, without the readable text.
    #[must_use]
    pub fn bars(&self) -> Bitmap {
        let mut bitmap = Bitmap::white(self.width(), u32::from(self.height));
        let module = u32::from(self.module);
        for (at, black) in (0u32..).zip(&self.modules) {
            if *black {
                bitmap.fill(at * module, 0, module, u32::from(self.height));
            }
        }
        bitmap
    }
}

fn modules(symbology: Symbology, text: &str) -> Option<Vec<bool>> {
    let bars = match symbology {
        Symbology::Upc => EAN13::new(format!("0{text}").get(..12)?).ok()?.encode(),
        Symbology::Ean if text.len() == 8 => EAN8::new(text.get(..7)?).ok()?.encode(),
        Symbology::Ean => EAN13::new(text.get(..12)?).ok()?.encode(),
        Symbology::Code39 => Code39::new(text).ok()?.encode(),
        Symbology::Itf if text.len().is_multiple_of(2) => TF::interleaved(text).ok()?.encode(),
        Symbology::Itf => return None,
        Symbology::Codabar => return codabar_modules(text),
        Symbology::Code93 => Code93::new(text).ok()?.encode(),
        Symbology::Code128 => Code128::new(code128_sets(text)?).ok()?.encode(),
    };
    Some(bars.into_iter().map(|bar| bar == 1).collect())
}

/// Code set C (pairs of digits) where the whole text is such, code set B otherwise.
fn code128_sets(text: &str) -> Option<String> {
    if is_digit_pairs(text) {
        return Some(format!("\u{0106}{text}"));
    }
    text.bytes().all(|byte| (0x20..0x7F).contains(&byte)).then(|| format!("\u{0181}{text}"))
}

/// Whether a Code 128 text is best written as pairs of digits.
#[must_use]
pub fn is_digit_pairs(text: &str) -> bool {
    text.len() >= 4
        && text.len().is_multiple_of(2)
        && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Wide elements of a Codabar character, bar first, seven to a character (EN 798).
fn codabar_wide(c: char) -> Option<u8> {
    Some(match c {
        '0' => 0b0000011,
        '1' => 0b0000110,
        '2' => 0b0001001,
        '3' => 0b1100000,
        '4' => 0b0010010,
        '5' => 0b1000010,
        '6' => 0b0100001,
        '7' => 0b0100100,
        '8' => 0b0110000,
        '9' => 0b1001000,
        '-' => 0b0001100,
        '$' => 0b0011000,
        ':' => 0b1000101,
        '/' => 0b1010001,
        '.' => 0b1010100,
        '+' => 0b0010101,
        'A' => 0b0011010,
        'B' => 0b0101001,
        'C' => 0b0001011,
        'D' => 0b0001110,
        _ => return None,
    })
}

/// Made here: the encoder of `barcoders` 2.0 has B and C exchanged and a wrong plus sign.
fn codabar_modules(text: &str) -> Option<Vec<bool>> {
    let last = text.chars().count().checked_sub(1)?;
    let mut modules = Vec::new();
    for (at, c) in text.chars().enumerate() {
        if c.is_ascii_alphabetic() != (at == 0 || at == last) {
            return None;
        }
        let wide = codabar_wide(c)?;
        for element in 0..7 {
            let width = if wide & (0x40 >> element) != 0 { 2 } else { 1 };
            modules.resize(modules.len() + width, element % 2 == 0);
        }
        if at < last {
            modules.push(false);
        }
    }
    Some(modules)
}

fn codabar(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    let framed = upper.starts_with(['A', 'B', 'C', 'D']) && upper.ends_with(['A', 'B', 'C', 'D']);
    if framed && upper.len() > 1 { upper } else { format!("A{upper}A") }
}

/// The check digit of digits that do not have one yet: from the right, three times every other.
#[must_use]
pub fn check_digit(digits: &str) -> Option<char> {
    let mut sum = 0;
    for (at, c) in digits.chars().rev().enumerate() {
        sum += c.to_digit(10)? * if at % 2 == 0 { 3 } else { 1 };
    }
    char::from_digit((10 - sum % 10) % 10, 10)
}

fn completed(digits: &str, body: usize) -> Option<Result<String, SymbolError>> {
    let check = check_digit(digits.get(..body)?)?;
    match digits.get(body..)? {
        "" => Some(Ok(format!("{digits}{check}"))),
        given if given.chars().eq([check]) => Some(Ok(digits.to_owned())),
        _ => Some(Err(SymbolError::CheckDigit { text: digits.to_owned() })),
    }
}

fn ean(text: &str) -> Option<Result<String, SymbolError>> {
    match text.len() {
        7 | 8 => completed(text, 7),
        12 | 13 => completed(text, 12),
        _ => None,
    }
}

fn upc_a(text: &str) -> Option<Result<String, SymbolError>> {
    match text.len() {
        11 | 12 => completed(text, 11),
        // UPC-E: six digits, or seven and eight with the number system digit 0 in front.
        6 => completed(&upc_e_body(text)?, 11),
        7 | 8 if text.starts_with('0') => {
            let check = text.get(7..)?;
            completed(&format!("{}{check}", upc_e_body(text.get(1..7)?)?), 11)
        }
        _ => None,
    }
}

fn upc_e_body(six: &str) -> Option<String> {
    let (a, b) = (six.get(..2)?, six.get(2..)?);
    Some(match six.get(5..)? {
        last @ ("0" | "1" | "2") => format!("0{a}{last}0000{}", six.get(2..5)?),
        "3" => format!("0{}00000{}", six.get(..3)?, six.get(3..5)?),
        "4" => format!("0{}00000{}", six.get(..4)?, six.get(4..5)?),
        _ => format!("0{a}{}0000{}", b.get(..3)?, b.get(3..)?),
    })
}

/// How much of a QR code may be lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QrLevel {
    /// 7 %.
    #[default]
    L,
    /// 15 %.
    M,
    /// 25 %.
    Q,
    /// 30 %.
    H,
}

/// A checked QR code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qr {
    text: String,
    level: QrLevel,
    size: u32,
    dark: Vec<bool>,
    /// Dots of one module's edge.
    pub module: u8,
}

impl Qr {
    /// Checks that a text fits.
    pub fn new(text: &str, level: QrLevel) -> Result<Self, SymbolError> {
        let too_large = || SymbolError::QrSize { bytes: text.len() };
        if text.is_empty() || text.len() > QR_BYTES_MAX {
            return Err(too_large());
        }
        let correction = match level {
            QrLevel::L => EcLevel::L,
            QrLevel::M => EcLevel::M,
            QrLevel::Q => EcLevel::Q,
            QrLevel::H => EcLevel::H,
        };
        let code = if text.is_ascii() {
            QrCode::with_error_correction_level(text, correction)
        } else {
            declared(text, correction)
        };
        let code = code.map_err(|_| too_large())?;
        let size = u32::try_from(code.width()).map_err(|_| too_large())?;
        let dark = code.into_colors().iter().map(|color| *color == qrcode::Color::Dark).collect();
        Ok(Self { text: text.to_owned(), level, size, dark, module: 3 })
    }

    /// Whether a printer that makes the code itself makes the same one: it cannot say that the
    /// bytes are UTF-8, and a reader would guess.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.text.is_ascii()
    }

    /// What it says.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its error correction.
    #[must_use]
    pub fn level(&self) -> QrLevel {
        self.level
    }

    /// Dots of its edge.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.size * u32::from(self.module)
    }

    /// Its modules as dots, without a quiet zone.
    #[must_use]
    pub fn dots(&self) -> Bitmap {
        let module = u32::from(self.module);
        let mut bitmap = Bitmap::white(self.size * module, self.size * module);
        for (at, dark) in (0u32..).zip(&self.dark) {
            if *dark {
                let (x, y) = (at % self.size * module, at / self.size * module);
                bitmap.fill(x, y, module, module);
            }
        }
        bitmap
    }
}

/// A code that says its bytes are UTF-8 (ECI 26), in the smallest size that holds it.
fn declared(text: &str, correction: EcLevel) -> QrResult<QrCode> {
    const UTF_8: u32 = 26;
    let of_size = |size: i16| {
        let mut bits = Bits::new(Version::Normal(size));
        bits.push_eci_designator(UTF_8)?;
        bits.push_byte_data(text.as_bytes())?;
        bits.push_terminator(correction)?;
        QrCode::with_bits(bits, correction)
    };
    (1..40).find_map(|size| of_size(size).ok()).map_or_else(|| of_size(40), Ok)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(symbology: Symbology, text: &str) -> Result<String, SymbolError> {
        Barcode::new(symbology, text).map(|code| code.text().to_owned())
    }

    #[test]
    fn a_check_digit_is_added_or_proven() {
        assert_eq!(text(Symbology::Ean, "400638133393"), Ok("4006381333931".into()));
        assert_eq!(text(Symbology::Ean, "4006381333931"), Ok("4006381333931".into()));
        assert_eq!(text(Symbology::Ean, "9638507"), Ok("96385074".into()));
        assert!(matches!(
            text(Symbology::Ean, "4006381333932"),
            Err(SymbolError::CheckDigit { .. })
        ));
        assert_eq!(text(Symbology::Upc, "03600029145"), Ok("036000291452".into()));
    }

    #[test]
    fn a_upc_e_number_is_the_upc_a_number_it_stands_for() {
        // The four expansion rules of the GS1 General Specifications.
        for (short, long) in [
            ("123450", "012000003455"),
            ("123453", "012300000451"),
            ("123454", "012340000053"),
            ("123456", "012345000065"),
            ("04252614", "042100005264"),
        ] {
            assert_eq!(text(Symbology::Upc, short), Ok(long.into()), "{short}");
        }
    }

    #[test]
    fn what_cannot_stand_in_a_code_is_refused() {
        for (symbology, bad) in [
            (Symbology::Ean, "12345"),
            (Symbology::Ean, "40063813339x"),
            (Symbology::Itf, "123"),
            (Symbology::Code39, "ä"),
            (Symbology::Code128, "\u{1b}@"),
            (Symbology::Code128, ""),
            (Symbology::Codabar, "12E4"),
        ] {
            assert!(text(symbology, bad).is_err(), "{symbology:?} {bad:?}");
        }
        assert!(Qr::new(&"x".repeat(3000), QrLevel::L).is_err());
        assert!(Qr::new(&"x".repeat(2900), QrLevel::H).is_err());
    }

    #[test]
    fn the_start_characters_of_codabar_are_not_exchanged() {
        let bars = |text: &str| -> String {
            let modules = Barcode::new(Symbology::Codabar, text).unwrap().modules;
            modules.iter().map(|black| if *black { '1' } else { '0' }).collect()
        };
        assert_eq!(bars("B+C"), "10010010110101101101101010010011");
        assert!(Barcode::new(Symbology::Codabar, "A1B2C").is_err());
    }

    #[test]
    fn bars_have_the_width_their_standard_gives_them() {
        let width = |symbology, text| Barcode::new(symbology, text).unwrap().width() / 2;
        assert_eq!(width(Symbology::Ean, "4006381333931"), 95);
        assert_eq!(width(Symbology::Ean, "96385074"), 67);
        // Start, two pairs, check and stop: four times eleven and thirteen.
        assert_eq!(width(Symbology::Code128, "1234"), 57);
    }

    proptest! {
        #[test]
        fn any_text_is_a_code_or_an_error(text in ".{0,20}", digits in "[0-9]{0,14}") {
            for symbology in [
                Symbology::Upc, Symbology::Ean, Symbology::Code39, Symbology::Itf,
                Symbology::Codabar, Symbology::Code93, Symbology::Code128,
            ] {
                let _ = Barcode::new(symbology, &text).map(|code| code.bars());
                let _ = Barcode::new(symbology, &digits).map(|code| code.bars());
            }
            let _ = Qr::new(&text, QrLevel::H).map(|code| code.dots());
        }
    }
}
