//! Words that differ by a few edits: a letter more, less, other, or two swapped.
//!
//! An automaton over the bytes of a key, so that an index walks only where a near word can still come.
//! Its state is the last two rows of the table of edit distances; nothing is built in advance.

use fst::Automaton;

/// Longer words of a query are cut.
const CHARS_MAX: usize = 24;
/// A word up to this length may differ by one edit, a longer one by two.
const SHORT_CHARS_MAX: usize = 5;
const ROW: usize = CHARS_MAX + 1;
const FAR: u8 = u8::MAX / 2;

/// A word and everything near it.
#[derive(Debug)]
pub(super) struct Typo {
    word: Vec<char>,
    edits: u8,
}

/// How far a key has been compared.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    /// Distances of the key so far to each beginning of the word.
    row: [u8; ROW],
    /// The same, one character before.
    before: [u8; ROW],
    last: Option<char>,
    /// Bits of a character whose bytes are not complete, and how many bytes are missing.
    code: u32,
    missing: u8,
}

impl Typo {
    pub(super) fn new(word: &str) -> Self {
        let word: Vec<char> = word.chars().take(CHARS_MAX).collect();
        let edits = if word.len() <= SHORT_CHARS_MAX { 1 } else { 2 };
        Self { word, edits }
    }

    /// How many edits lie between the word and a key, if not too many.
    pub(super) fn distance(&self, key: &str) -> Option<u8> {
        let mut state = self.start();
        for byte in key.bytes() {
            state = self.accept(&state, byte);
            if !self.can_match(&state) {
                return None;
            }
        }
        self.is_match(&state).then(|| state.row[self.word.len()])
    }

    fn step(&self, state: &Progress, c: char) -> Progress {
        let mut row = [FAR; ROW];
        row[0] = (state.row[0] + 1).min(FAR);
        for (at, letter) in self.word.iter().enumerate() {
            let other = state.row[at] + u8::from(*letter != c);
            let mut least = other.min(row[at] + 1).min(state.row[at + 1] + 1);
            let is_swap = at > 0 && self.word[at - 1] == c && state.last == Some(*letter);
            if is_swap {
                least = least.min(state.before[at - 1] + 1);
            }
            row[at + 1] = least.min(FAR);
        }
        Progress { row, before: state.row, last: Some(c), code: 0, missing: 0 }
    }
}

impl Automaton for &Typo {
    type State = Progress;

    fn start(&self) -> Progress {
        let mut row = [FAR; ROW];
        for (distance, cell) in (0u8..).zip(row.iter_mut().take(self.word.len() + 1)) {
            *cell = distance;
        }
        Progress { row, before: [FAR; ROW], last: None, code: 0, missing: 0 }
    }

    fn is_match(&self, state: &Progress) -> bool {
        state.missing == 0 && state.row[self.word.len()] <= self.edits
    }

    fn can_match(&self, state: &Progress) -> bool {
        // A swap may still go on from the row before, at the cost of one edit.
        let near = |row: &[u8; ROW], edits: u8| row.iter().any(|distance| *distance <= edits);
        near(&state.row, self.edits) || near(&state.before, self.edits - 1)
    }

    fn accept(&self, state: &Progress, byte: u8) -> Progress {
        let (code, missing) = match (state.missing, byte) {
            (0, 0..0x80) => return self.step(state, char::from(byte)),
            (0, 0xc0..0xe0) => (u32::from(byte & 0x1f), 1),
            (0, 0xe0..0xf0) => (u32::from(byte & 0x0f), 2),
            (0, _) => (u32::from(byte & 0x07), 3),
            (missing, _) => (state.code << 6 | u32::from(byte & 0x3f), missing - 1),
        };
        if missing == 0 {
            return self.step(state, char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        Progress { code, missing, ..state.clone() }
    }
}

const _: () = assert!(CHARS_MAX < FAR as usize);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edits_are_counted_and_a_swap_is_one() {
        for (word, key, expected) in [
            ("milk", "milk", Some(0)),
            ("milk", "mlik", Some(1)),
            ("milk", "silk", Some(1)),
            ("milk", "mi", None),
            ("crushed", "crusher", Some(1)),
            ("crushed", "curshde", Some(2)),
            ("crushed", "brushes ice", None),
            ("crème", "creme", Some(1)),
            ("brûlée", "brulee", Some(2)),
        ] {
            assert_eq!(Typo::new(word).distance(key), expected, "{word} {key}");
        }
    }

    /// The whole table, as in a textbook.
    fn table(a: &[char], b: &[char]) -> usize {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                if i == 0 || j == 0 {
                    table[i][j] = i + j;
                    continue;
                }
                let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                table[i][j] = replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    table[i][j] = table[i][j].min(table[i - 2][j - 2] + 1);
                }
            }
        }
        table[a.len()][b.len()]
    }

    proptest! {
        #[test]
        fn the_automaton_equals_the_whole_table(word in "[abé]{1,8}", key in "[abé]{0,10}") {
            let typo = Typo::new(&word);
            let (a, b): (Vec<char>, Vec<char>) = (word.chars().collect(), key.chars().collect());
            let expected = u8::try_from(table(&a, &b)).unwrap();
            let expected = Some(expected).filter(|distance| *distance <= typo.edits);
            prop_assert_eq!(typo.distance(&key), expected);
        }
    }
}
