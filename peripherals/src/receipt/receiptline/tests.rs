use proptest::prelude::*;

use super::super::Item;
use super::super::layout::layout;
use super::*;

fn text(source: &str, columns: u16) -> String {
    layout(&parse(source).unwrap(), columns).sheet.to_text()
}

fn warnings(source: &str) -> Vec<Warning> {
    layout(&parse(source).unwrap(), 32).warnings
}

#[test]
fn columns_are_attracted_by_the_pipes_beside_them() {
    assert_eq!(text("a", 16), "        a\n");
    assert_eq!(text("|a", 16), "a\n");
    assert_eq!(text("a|", 16), "               a\n");
    assert_eq!(text("|a|", 16), "        a\n");
    assert_eq!(text("| a |", 16), "        a\n");
    assert_eq!(text("ab|cd", 16), "     ab cd\n");
    assert_eq!(text("ab |cd|", 17), "ab          cd\n");
}

#[test]
fn specials_and_escapes_follow_the_grammar() {
    assert_eq!(text("|a~~b", 16), "a  b\n");
    assert_eq!(text(r"|\|\{\}\\\-\=\~\_\`\^\x41\q", 24), "|{}\\-=~_`^A\n");
    assert_eq!(text(r"|a\nb", 16), "a\nb\n");
    assert_eq!(text(r"|\x1bp\x07b", 16), "pb\n");
    assert_eq!(text("|^ab", 16), "a b\n");
    assert_eq!(text(r"|a\x4|", 16), text("|a|", 16));
}

#[test]
fn a_command_never_reaches_the_printer() {
    for source in ["{command: \\x1b@}", "{x: \\x1bp\\x00}"] {
        assert_eq!(layout(&parse(source).unwrap(), 32).sheet.items, []);
        assert_eq!(warnings(source).len(), 1);
    }
}

#[test]
fn codes_take_their_saved_options() {
    let source = "{option: ean 3 100 hri}\n{c: 400638133393}\n{o: qrcode, 5, q}\n{code: abc}";
    let items = layout(&parse(source).unwrap(), 48).sheet.items;
    let [Item::Barcode { code: bars, .. }, Item::Qr { code: qr, .. }] = items.as_slice() else {
        panic!("not a barcode and a QR code: {items:?}");
    };
    assert_eq!(
        (bars.text(), bars.module, bars.height, bars.readable),
        ("4006381333931", 3, 100, true)
    );
    assert_eq!((qr.text(), qr.module, qr.level()), ("abc", 5, QrLevel::Q));
}

#[test]
fn a_bad_code_stands_as_text_and_is_told() {
    let source = "{option: ean}\n{code: 4006381333932}";
    assert!(text(source, 32).contains("4006381333932"));
    assert_eq!(warnings(source)[0].line, 1);
}

#[test]
fn bad_braces_leave_their_line_out_and_are_told() {
    for source in ["{a:left", "x}", "a|{b:line}", "{{}}", "{nonsense}"] {
        assert_eq!(text(source, 32), "", "{source}");
        assert_eq!(warnings(source).len(), 1, "{source}");
    }
}

#[test]
fn a_document_of_too_many_lines_is_refused() {
    assert!(matches!(parse(&"\n".repeat(LINES_MAX)), Err(DocumentError::TooLarge { .. })));
}

#[test]
fn a_document_that_would_become_kilometres_stops() {
    for source in [
        format!("{{w: 1}}\n{}", format!("|{}\n", "x".repeat(20_000)).repeat(4)),
        format!("{{w: 1}}\n|{}", "x".repeat(1 << 20)),
        format!("{{o: qrcode}}\n{}", "{c: x}\n".repeat(1000)),
    ] {
        let laid = layout(&parse(&source).unwrap(), 32);
        assert!(laid.sheet.items.len() <= 4000 && !laid.warnings.is_empty());
    }
}

proptest! {
    #[test]
    fn any_text_is_laid_out(
        source in r#"([a-z 1-9.|{}:;,*\\\^_"`~=\-\n]|\{width:|\{border:line\}|\\x|日|\x00){0,120}"#,
        columns in 0u16..200,
    ) {
        let laid = layout(&parse(&source).unwrap(), columns);
        for item in &laid.sheet.items {
            if let Item::Row(row) = item {
                let mut end = 0;
                for run in &row.runs {
                    prop_assert!(run.at >= end, "runs overlap");
                    end = run.at + run.columns() * 2;
                }
                prop_assert!(end <= laid.sheet.columns * 2, "a row leaves the paper");
            }
        }
    }
}
