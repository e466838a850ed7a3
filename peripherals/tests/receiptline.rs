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
