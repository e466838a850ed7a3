//! Packs GNU Unifont's glyphs into pages of 256 characters, deflated.
//!
//! As the crate has them they would be a third of the box's program; packed they are a tenth of that.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use unifont::Glyph;

/// Characters of a page.
const PAGE: usize = 256;
/// One byte for the width in dots, then 16 rows of two bytes.
const GLYPH: usize = 33;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let mut pages: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    for (c, glyph) in unifont::enumerate_glyphs() {
        let point = c as usize;
        let page = pages.entry(point / PAGE).or_insert_with(|| vec![0; PAGE * GLYPH]);
        let at = point % PAGE * GLYPH;
        let rows: [u16; 16] = match glyph {
            Glyph::Halfwidth(rows) => rows.map(|row| u16::from(row) << 8),
            Glyph::Fullwidth(rows) => *rows,
        };
        page[at] = if glyph.is_fullwidth() { 16 } else { 8 };
        for (row, bytes) in rows.iter().zip(page[at + 1..at + GLYPH].chunks_exact_mut(2)) {
            bytes.copy_from_slice(&row.to_be_bytes());
        }
    }
    let (mut packed, mut index) = (Vec::new(), String::new());
    for (number, page) in &pages {
        let deflated = miniz_oxide::deflate::compress_to_vec(page, 9);
        writeln!(index, "({number}, {}, {}),", packed.len(), packed.len() + deflated.len())
            .expect("a string takes everything");
        packed.extend(deflated);
    }
    let folder = std::env::var("OUT_DIR").expect("cargo tells where to");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(Path::new(&folder).join(name), bytes).expect("cargo's folder takes files");
    };
    write("glyphs.bin", &packed);
    write("glyphs.rs", format!("[{index}]").as_bytes());
}
