//! zbarimg (Debian's zbar-tools) decodes the barcodes and QR codes of our pictures.

use std::process::Command;

use storebox_peripherals::receipt::layout::layout;
use storebox_peripherals::receipt::{paint, receiptline};

use crate::process;
use crate::receipts::{DOCUMENT, EAN, TARGET};

/// What is decoded from a PNG, in the order of the alphabet: `EAN-13:4006381333931`.
pub(crate) fn read(png: &[u8]) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("receipt.png");
    std::fs::write(&path, png).expect("the folder is ours");
    // It fails if it finds nothing, which a comparison with what was expected says better.
    let output =
        process::output(Command::new("zbarimg").args(["-q", "-Scode93.enable"]).arg(&path), b"")?
            .stdout;
    let text = String::from_utf8(output).expect("zbarimg writes text");
    let mut codes: Vec<String> = text.lines().map(str::to_owned).collect();
    codes.sort();
    Some(codes)
}

fn drawn(document: &str) -> Vec<u8> {
    let document = receiptline::parse(document).expect("a short document");
    paint::sheet(&layout(&document, 48).sheet).to_png()
}

#[test]
fn the_codes_of_a_previewed_receipt_are_decoded() {
    let Some(read) = read(&drawn(DOCUMENT)) else { return };
    assert_eq!(read, [format!("EAN-13:{EAN}"), format!("QR-Code:{TARGET}")]);
}

#[test]
fn every_kind_of_code_is_decoded() {
    let long = "long ".repeat(100);
    for (option, data, expected) in [
        ("ean", "96385074", "EAN-8:96385074".to_owned()),
        ("upc", "042100005264", "EAN-13:0042100005264".to_owned()),
        ("code39", "STOREBOX-42", "CODE-39:STOREBOX-42".to_owned()),
        ("itf", "12345670", "I2/5:12345670".to_owned()),
        ("nw7", "A40156B", "Codabar:A40156B".to_owned()),
        ("code93", "STOREBOX-93", "CODE-93:STOREBOX-93".to_owned()),
        ("code128", "Storebox-128/7", "CODE-128:Storebox-128/7".to_owned()),
        ("code128", "0123456789", "CODE-128:0123456789".to_owned()),
        ("qrcode 3 h", "0123456789", "QR-Code:0123456789".to_owned()),
        ("qrcode 4 m", "Grüße, 5 € 日本", "QR-Code:Grüße, 5 € 日本".to_owned()),
        ("qrcode 4 q", long.trim_end(), format!("QR-Code:{}", long.trim_end())),
    ] {
        let Some(read) = read(&drawn(&format!("{{option: {option}}}\n{{code: {data}}}"))) else {
            return;
        };
        assert_eq!(read, [expected], "{option} {data}");
    }
}
