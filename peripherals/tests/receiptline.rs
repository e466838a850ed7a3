//! ReceiptLine documents laid out as its reference renderer lays them out.
//!
//! The golden files were written by the reference renderer (receiptline 4.0.4, command `text`).
//! If one of these fails, do not change the golden file: the layout is wrong.

use std::fs;
use std::path::Path;

use storebox_peripherals::receipt::layout::layout;
use storebox_peripherals::receipt::receiptline;

/// The reference draws its rules from ASCII and keeps trailing blanks; neither is layout.
fn comparable(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line: String = line
            .chars()
            .map(|c| match c {
                '─' => '-',
                '│' => '|',
                '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' => '+',
                c => c,
            })
            .collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn compare(document: &Path, golden: &Path, columns: u16) {
    let source = fs::read_to_string(document).expect("a vector is readable");
    let expected = fs::read_to_string(golden).expect("a golden file is readable");
    let parsed = receiptline::parse(&source).expect("a vector is within the limits");
    let text = layout(&parsed, columns).sheet.to_text();
    assert_eq!(
        comparable(&text),
        comparable(&expected),
        "{} at {columns} columns",
        document.display()
    );
}

#[test]
fn every_vector_is_laid_out_as_the_reference_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/receiptline");
    let mut compared = 0;
    for name in ["align", "broken", "marks", "rules", "sale"] {
        for columns in [32, 42, 48] {
            let golden = folder.join(format!("{name}.{columns}.txt"));
            compare(&folder.join(format!("{name}.receipt")), &golden, columns);
            compared += 1;
        }
    }
    assert_eq!(compared, 15);
}

/// The specification's own documents are not ours to ship: `RECEIPTLINE_EXAMPLES` names a folder of
/// them, `RECEIPTLINE_GOLDEN` one of the reference's outputs, `<document>.<columns>.txt`.
#[test]
#[ignore = "needs the specification's examples and the reference's outputs for them"]
fn the_specifications_examples_agree() {
    let examples = std::env::var("RECEIPTLINE_EXAMPLES").expect("the folder of examples is named");
    let golden = std::env::var("RECEIPTLINE_GOLDEN").expect("the folder of outputs is named");
    let mut compared = 0;
    for entry in fs::read_dir(examples).expect("the folder of examples is readable") {
        let document = entry.expect("an entry of the folder is readable").path();
        let name = document.file_name().and_then(|name| name.to_str()).expect("a plain name");
        for columns in [32, 42, 48] {
            let golden = Path::new(&golden).join(format!("{name}.{columns}.txt"));
            compare(&document, &golden, columns);
            compared += 1;
        }
    }
    assert!(compared > 0, "the folder of examples is empty");
}
