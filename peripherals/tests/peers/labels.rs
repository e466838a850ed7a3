//! zpl-renderer-js 3.4.0 draws our labels, and zbarimg reads the drawing.

use std::process::Command;

use storebox_peripherals::printer::zpl::{Field, encode, fields};
use storebox_peripherals::receipt::layout::layout;
use storebox_peripherals::receipt::{Bitmap, Symbology, paint, receiptline};

use crate::receipts::{DOCUMENT, EAN, TARGET};
use crate::{codes, process};

/// Dots of one millimetre.
const DOTS: u32 = 8;

fn drawn(zpl: &[u8], width: u32, height: u32) -> Option<Vec<u8>> {
    let renderer = process::node("zpl-renderer-js")?;
    let size = [width, height].map(|dots| dots.div_ceil(DOTS).to_string());
    let label = process::script("label.cjs");
    process::run(Command::new("node").arg(label).arg(renderer).args(size), zpl)
}

#[test]
fn a_label_of_fields_is_read() {
    let barcode = |y, symbology, data: &str| Field::Barcode {
        x: 30,
        y,
        height: 70,
        symbology,
        data: data.to_owned(),
    };
    let label = [
        Field::Text { x: 30, y: 10, height: 40, text: "Café 1,25 € ^~_\\ 50%".to_owned() },
        barcode(80, Symbology::Ean, &EAN[..12]),
        barcode(220, Symbology::Code128, "Storebox-7"),
        barcode(360, Symbology::Code39, "BOX-42"),
        barcode(500, Symbology::Itf, "12345670"),
        Field::Qr { x: 500, y: 80, module: 5, data: TARGET.to_owned() },
    ];
    let Some(png) = drawn(&fields(&label, 1), 800, 640) else { return };
    let Some(read) = codes::read(&png) else { return };
    let expected = [
        "CODE-128:Storebox-7".to_owned(),
        "CODE-39:BOX-42".to_owned(),
        format!("EAN-13:{EAN}"),
        "I2/5:12345670".to_owned(),
        format!("QR-Code:{TARGET}"),
    ];
    assert_eq!(read, expected);
}

/// Where the black dots of a picture lie, without the white around them.
fn black(bitmap: &Bitmap) -> Vec<(u32, u32)> {
    let all = (0..bitmap.height()).flat_map(|y| (0..bitmap.width()).map(move |x| (x, y)));
    let black: Vec<_> = all.filter(|(x, y)| bitmap.is_black(*x, *y)).collect();
    let left = black.iter().map(|(x, _)| *x).min().unwrap_or(0);
    let top = black.iter().map(|(_, y)| *y).min().unwrap_or(0);
    black.into_iter().map(|(x, y)| (x - left, y - top)).collect()
}

#[test]
fn a_sheet_as_a_label_is_its_preview_dot_for_dot() {
    let document = receiptline::parse(DOCUMENT).expect("a short document");
    let sheet = layout(&document, 42).sheet;
    let preview = paint::sheet(&sheet);
    let (width, height) = (preview.width(), preview.height());
    let Some(png) = drawn(&encode(&sheet, 1), width, height) else { return };
    let printed = Bitmap::from_png(&png, 2048).expect("the renderer writes PNG");
    assert!(black(&printed) == black(&preview), "the label is not its preview");
}
