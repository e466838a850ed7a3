//! Text as it is searched: lower case, runs of anything but letters and digits as one space.

/// A key of an index is cut after so many bytes; longer values are compared in the record.
pub(super) const KEY_BYTES_MAX: usize = 256;
/// Words of one value that are indexed.
pub(super) const WORDS_MAX: usize = 16;

/// The searched form of a text.
pub(super) fn normalise(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_alphanumeric() {
            if !normal.is_empty() && !normal.ends_with(' ') {
                normal.push(' ');
            }
        } else if c.is_ascii() {
            normal.push(c.to_ascii_lowercase());
        } else {
            normal.extend(c.to_lowercase());
        }
    }
    normal.truncate(normal.trim_end().len());
    normal
}

/// The key of a whole value: cut where it would be too long.
pub(super) fn key(value: &str) -> &str {
    let mut end = value.len().min(KEY_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

/// The words of a normalised text, each once, the first ones.
pub(super) fn words(normal: &str) -> impl Iterator<Item = &str> {
    let is_new = move |(at, word): &(usize, &str)| !normal.split(' ').take(*at).any(|w| w == *word);
    let words = normal.split(' ').enumerate().filter(|(_, word)| !word.is_empty());
    words.filter(is_new).map(|(_, word)| key(word)).take(WORDS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_and_punctuation_do_not_matter() {
        assert_eq!(normalise("  ICE - CRUSHED/Cubed! "), "ice crushed cubed");
        assert_eq!(normalise("Crème  Brûlée №5"), "crème brûlée 5");
        assert_eq!(normalise("--"), "");
    }

    #[test]
    fn every_word_comes_once() {
        let got: Vec<&str> = words("milk and more milk").collect();
        assert_eq!(got, ["milk", "and", "more"]);
        assert_eq!(words("").count(), 0);
    }

    #[test]
    fn a_long_key_is_cut_between_characters() {
        let long = "é".repeat(200);
        assert_eq!(key(&long).len(), 256);
        let shifted = format!("x{long}");
        assert_eq!(key(&shifted).len(), 255);
    }
}
