//! ReceiptLine and JSON documents, through layout, drawing and printing.

use storebox_peripherals::line::Line;
use storebox_peripherals::printer::escpos::encode;
use storebox_peripherals::printer::{Profile, raw, zpl};
use storebox_peripherals::receipt::document::{Document, DocumentError};
use storebox_peripherals::receipt::layout::layout;
use storebox_peripherals::receipt::{Item, json, paint, receiptline};
use storebox_peripherals::sim::printer::PrinterSim;
use storebox_peripherals::sim::script::Script;

use crate::driver::{Target, now, shape};

const LINES: &[&[u8]] = &[
    b"|",
    b"\n",
    b"{",
    b"}",
    b";",
    b":",
    b"\\",
    b"^",
    b"_",
    b"`",
    b"\"",
    b"~",
    b"---\n",
    b"===\n",
    b"-\n",
    b"{width:*,4,8}",
    b"{border:line}",
    b"{border:space}",
    b"{align:right}",
    b"{text:nowrap}",
    b"{option:qrcode 5 m}",
    b"{option:ean hri 3 80}",
    b"{option:code128 4 240}",
    b"{code:400638133393}",
    b"{image:iVBORw0KGgo}",
    b"{command:\\x1bp0}",
    b"\\x1b",
    b"\\n",
    "日本語".as_bytes(),
    "é€".as_bytes(),
];
const BLOCKS: &[&[u8]] = &[
    br#"{"block":"cut"}"#,
    br#"{"block":"rule"}"#,
    br#"{"block":"feed","lines":255}"#,
    b",",
    b"[",
    b"]",
    br#"{"block":"text","text":"x","width":6,"height":6}"#,
    b"-1",
    b"65535",
    b"256",
    b"null",
    b"\"",
    b"\\u0000",
    br#"{"block":"row","cells":[{"text":"a","columns":3},{"text":"b","align":"right"}]}"#,
    br#"{"block":"barcode","symbology":"ean","data":"400638133393"}"#,
    br#"{"block":"drawer","drawer":"second"}"#,
    br#"{"block":"qr","data":"x","module":9,"level":"h"}"#,
    br#"{"block":"image","png":"iVBORw0KGgo="}"#,
];

/// Whatever a document says: its print-out passes as a raw job, does no more than its sheet says,
/// and is understood to the last byte by a printer.
fn judge(document: &Document) -> u64 {
    let mut kinds = Vec::new();
    for profile in [Profile::epson_t88(), Profile::generic_58()] {
        let laid = layout(document, profile.columns);
        let count =
            |wanted: fn(&Item) -> bool| laid.sheet.items.iter().filter(|item| wanted(item)).count();
        let bytes = encode(&laid.sheet, &profile);
        let seen = raw::inspect(&bytes).expect("our own bytes only print");
        assert_eq!(
            seen.kicks.iter().sum::<u32>() as usize,
            count(|item| matches!(item, Item::Kick(_))),
            "pulses"
        );
        let mut sim = PrinterSim::new(profile, Script::default());
        sim.handle_opened(now());
        sim.handle_input(&bytes, now());
        assert_eq!(sim.unknown_bytes(), 0, "the printer did not understand");
        kinds.extend(laid.sheet.items.iter().map(std::mem::discriminant));
        kinds.dedup();
        assert!(laid.sheet.items.len() <= 20_000, "{} items", laid.sheet.items.len());
    }
    shape((
        kinds,
        document.lines.iter().map(std::mem::discriminant).collect::<Vec<_>>(),
        document.warnings.len(),
    ))
}

fn judged(parsed: Result<Document, DocumentError>) -> u64 {
    parsed.map_or_else(|error| shape(std::mem::discriminant(&error)), |document| judge(&document))
}

pub(crate) fn document_receiptline() -> Target {
    let judge = |input: &[u8]| judged(receiptline::parse(&String::from_utf8_lossy(input)));
    let seeds = &["tests/vectors/receiptline"];
    Target { name: "document_receiptline", seeds, words: LINES, bytes_max: 600, judge }
}

pub(crate) fn document_json() -> Target {
    let judge = |input: &[u8]| judged(json::parse(input));
    Target { name: "document_json", seeds: &[], words: BLOCKS, bytes_max: 800, judge }
}

/// Drawing takes longer than printing, so it has a target of its own.
pub(crate) fn document_drawn() -> Target {
    let judge = |input: &[u8]| {
        let Ok(document) = receiptline::parse(&String::from_utf8_lossy(input)) else { return 0 };
        let sheet = layout(&document, 32).sheet;
        let svg = paint::svg(&sheet);
        assert!(svg.ends_with("</svg>\n") && !svg.contains('\u{1b}'), "not an SVG");
        let label = zpl::encode(&sheet, 1);
        assert_eq!(label.windows(3).filter(|bytes| bytes == b"^XZ").count(), 1, "one label");
        shape(sheet.items.iter().map(std::mem::discriminant).collect::<Vec<_>>())
    };
    let seeds = &["tests/vectors/receiptline", "fuzz/corpus/document_receiptline"];
    Target { name: "document_drawn", seeds, words: LINES, bytes_max: 300, judge }
}
