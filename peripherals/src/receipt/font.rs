//! GNU Unifont's glyphs, 8×16 and 16×16 dots, unpacked a page of 256 characters at a time.
//!
//! The build packs them; a page stays unpacked once it was used, 8 KB each and all of them below 3 MB.

use std::sync::OnceLock;

use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// Characters of a page.
const PAGE: usize = 256;
/// One byte for the width in dots, then 16 rows of two bytes.
const GLYPH: usize = 33;

/// Every page of the font: its number, and from where to where it lies in the packed bytes.
static INDEX: &[(usize, usize, usize)] = &include!(concat!(env!("OUT_DIR"), "/glyphs.rs"));
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/glyphs.bin"));
static PAGES: OnceLock<Vec<OnceLock<Vec<u8>>>> = OnceLock::new();

/// The dots of a character.
#[derive(Debug, Clone, Copy)]
pub(super) struct Glyph(&'static [u8]);

impl Glyph {
    /// Dots from left to right: 8 or 16.
    pub(super) fn width(self) -> usize {
        usize::from(self.0[0])
    }

    /// Whether a dot is black.
    pub(super) fn is_set(self, x: usize, row: usize) -> bool {
        row < 16 && x < self.width() && self.0[1 + row * 2 + x / 8] & (0x80 >> (x % 8)) != 0
    }
}

/// The glyph of a character, if the font has one.
pub(super) fn glyph(c: char) -> Option<Glyph> {
    let (number, place) = (c as usize / PAGE, c as usize % PAGE);
    let at = INDEX.binary_search_by_key(&number, |page| page.0).ok()?;
    let pages = PAGES.get_or_init(|| vec![OnceLock::new(); INDEX.len()]);
    let page = pages[at].get_or_init(|| {
        let (_, from, to) = INDEX[at];
        decompress_to_vec_with_limit(&PACKED[from..to], PAGE * GLYPH)
            .expect("a test unpacks every page of the build")
    });
    let glyph = Glyph(page.get(place * GLYPH..(place + 1) * GLYPH)?);
    (glyph.width() > 0).then_some(glyph)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_glyph_is_what_the_font_has() {
        let mut compared = 0;
        for (c, whole) in unifont::enumerate_glyphs() {
            let packed = glyph(c).unwrap();
            assert_eq!(packed.width(), whole.get_width(), "{c:?}");
            for row in 0..16 {
                for x in 0..packed.width() {
                    assert_eq!(packed.is_set(x, row), whole.get_pixel(x, row), "{c:?}");
                }
            }
            compared += 1;
        }
        assert!(compared > 50_000);
        assert!(glyph('\u{10FFFF}').is_none());
    }
}
