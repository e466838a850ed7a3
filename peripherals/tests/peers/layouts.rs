//! ReceiptLine's reference renderer 4.0.4 lays out documents made at test time, and so do we.

use std::process::Command;

use storebox_peripherals::receipt::layout::layout;
use storebox_peripherals::receipt::receiptline;

use crate::process;

/// Documents thrown for one run.
const DOCUMENTS: usize = 400;

/// A small generator of its own, so that a seed means the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 32).expect("32 bits fit") % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

const WORDS: [&str; 17] = [
    "Tea",
    "green tea",
    "1.25",
    "0",
    "a",
    "Whole milk, one litre",
    "\\|",
    "\\\\",
    "\\n",
    "_under_",
    "\"bold\"",
    "`inv`",
    "^wide",
    "^^high",
    "^^^^big^^^^ small",
    "~",
    "x\\x41y",
];
/// An encoding of the reference, and words that take as many columns there as they do here: its
/// "multilingual" makes every letter one column wide, its Japanese makes Cyrillic letters two.
const SCRIPTS: [(&str, [&str; 3]); 2] =
    [("multilingual", ["Кофе", "€", "grüße"]), ("cp932", ["日本語", "茶 緑", "ﾃｨｰ"])];
const PROPERTIES: [&str; 16] = [
    "width: *",
    "width: auto",
    "width: 10",
    "width: 4 *",
    "width: *,8",
    "width: 8 * 6",
    "align: left",
    "align: right",
    "align: center",
    "text: wrap",
    "text: nowrap",
    "border: line",
    "border: space",
    "border: none",
    "border: 2",
    "width: 3,3,3",
];

fn row(dice: &mut Dice, script: &[&str]) -> String {
    let mut row = String::new();
    for cell in 0..=dice.roll(4) {
        if cell > 0 {
            row.push('|');
        }
        row.push_str(dice.pick(&["", " ", "", ""]));
        for word in 0..dice.roll(4) {
            if word > 0 {
                row.push(' ');
            }
            let words = if dice.roll(6) == 0 { script } else { &WORDS };
            row.push_str(dice.pick(words));
        }
        row.push_str(dice.pick(&["", " ", "", ""]));
    }
    match dice.roll(5) {
        0 => format!("|{row}|"),
        1 => format!("|{row}"),
        2 => format!("{row}|"),
        _ => row,
    }
}

fn document(dice: &mut Dice, script: &[&str]) -> String {
    let mut lines = Vec::new();
    for _ in 0..=dice.roll(10) {
        lines.push(match dice.roll(8) {
            0 => "-".to_owned(),
            1 => "---".to_owned(),
            2 | 3 => {
                let first = dice.pick(&PROPERTIES);
                let second = dice.pick(&PROPERTIES);
                format!("{{{first}; {second}}}")
            }
            4 => dice.pick(&["", "=", "===", "--"]).to_owned(),
            _ => row(dice, script),
        });
    }
    lines.join("\n")
}

/// The reference draws its rules from ASCII and keeps trailing blanks; neither is layout.
fn comparable(text: &str) -> Vec<String> {
    let plain = |c| match c {
        '─' => '-',
        '│' => '|',
        // Japan's place of the backslash.
        '¥' => '\\',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' => '+',
        c => c,
    };
    text.lines().map(|line| line.chars().map(plain).collect::<String>().trim_end().into()).collect()
}

#[test]
fn thrown_documents_are_laid_out_as_the_reference_does() {
    let Some(reference) = process::node("receiptline") else { return };
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut dice = Dice(seed | 1);
    let thrown = (0..DOCUMENTS).map(|at| {
        let (encoding, script) = SCRIPTS[at % 2];
        (document(&mut dice, &script), [32, 42, 48][at % 3], encoding)
    });
    let documents: Vec<(String, u16, &str)> = thrown.collect();
    let input = serde_json::to_vec(&documents).expect("texts and numbers");
    let mut node = Command::new("node");
    node.arg(process::script("layout.cjs")).arg(reference);
    let Some(output) = process::run(&mut node, &input) else { return };
    let expected: Vec<String> = serde_json::from_slice(&output).expect("a list of texts");
    assert_eq!(expected.len(), DOCUMENTS);
    for ((document, columns, encoding), expected) in documents.iter().zip(expected) {
        let parsed = receiptline::parse(document).expect("a short document");
        let text = layout(&parsed, *columns).sheet.to_text();
        let (ours, theirs) = (comparable(&text), comparable(&expected));
        assert!(
            ours == theirs,
            "SEED={seed}, at {columns} columns, {encoding}:\n{document}\nreference:\n{}\nours:\n{}",
            theirs.join("\n"),
            ours.join("\n")
        );
    }
}
