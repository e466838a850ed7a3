//! What a printer model can do.
//!
//! Widths and code page numbers are a model's own: 80 mm paper is 42 columns on one and 48 on
//! another, and page 19 is 858 on most, not all.
//! Sources: Epson code page tables and widths as collected in escpos-printer-db (CC BY 4.0) and
//! the Rongta and Xprinter tables cited by emupos; a clone is assumed to have less, never more.

use serde::{Deserialize, Serialize};

use crate::receipt::CodePage;
use crate::receipt::codepage::Ideographs;

/// How a model cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// It has no knife: the paper is fed to the tear bar.
    None,
    /// One point is left uncut.
    Partial,
    /// Cut through.
    Full,
}

/// The best proof of printing a model gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// None: it never answers.
    Nothing,
    /// It answers real-time status requests only.
    Status,
    /// It answers a status request placed behind the job (`GS r`).
    StatusRequest,
    /// It returns a job's number once that job is printed (`GS ( H`).
    ProcessId,
}

/// What a printer model can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The name it is configured by.
    pub name: &'static str,
    /// Columns of font A.
    pub columns: u16,
    /// Dots across.
    pub dots: u32,
    /// Dots of a column.
    pub cell: u16,
    /// Code pages in order of preference, each with its number for `ESC t`.
    pub pages: Vec<(CodePage, u8)>,
    /// Two-byte characters in its ROM.
    pub ideographs: Option<Ideographs>,
    /// Its knife.
    pub cut: Cut,
    /// Whether it draws barcodes.
    pub barcodes: bool,
    /// Whether it draws QR codes.
    pub qr: bool,
    /// Rows of dots sent as one picture; clones lose data in larger ones.
    pub strip_rows: u32,
    /// Vertical motion units in one dot.
    pub units_per_dot: u8,
    /// The best proof of printing it gives.
    pub proof: Proof,
    /// Whether it reports changes by itself (`GS a`).
    pub reports: bool,
    /// Whether it opens a drawer in real time (`DLE DC4 1`), also while it is out of paper.
    pub kicks_at_once: bool,
    /// What makes it sound, if it can.
    pub buzz: Option<&'static [u8]>,
    /// Bytes it prints in a second.
    pub bytes_per_second: u32,
}

const EPSON_PAGES: [(CodePage, u8); 20] = [
    (CodePage::Cp437, 0),
    (CodePage::Cp858, 19),
    (CodePage::Windows1252, 16),
    (CodePage::Cp850, 2),
    (CodePage::Cp852, 18),
    (CodePage::Cp866, 17),
    (CodePage::Cp857, 13),
    (CodePage::Cp737, 14),
    (CodePage::Cp860, 3),
    (CodePage::Cp863, 4),
    (CodePage::Cp865, 5),
    (CodePage::Iso8859_15, 40),
    (CodePage::Iso8859_2, 39),
    (CodePage::Windows1250, 45),
    (CodePage::Windows1251, 46),
    (CodePage::Windows1253, 47),
    (CodePage::Windows1254, 48),
    (CodePage::Windows1257, 51),
    (CodePage::Windows1258, 52),
    (CodePage::Iso8859_7, 15),
];

const CLONE_PAGES: [(CodePage, u8); 6] = [
    (CodePage::Cp437, 0),
    (CodePage::Cp858, 19),
    (CodePage::Windows1252, 16),
    (CodePage::Cp850, 2),
    (CodePage::Cp852, 18),
    (CodePage::Cp866, 17),
];

/// `ESC B 2 2`, twice a fifth of a second: the buzzer of Xprinter and its relatives.
const CLONE_BUZZ: &[u8] = &[0x1B, 0x42, 0x02, 0x02];

impl Profile {
    /// Epson TM-T88V to TM-T88VII: 80 mm at 180 dpi, 42 columns.
    #[must_use]
    pub fn epson_t88() -> Self {
        Self {
            name: "epson-tm-t88",
            columns: 42,
            dots: 512,
            cell: 12,
            pages: EPSON_PAGES.to_vec(),
            ideographs: None,
            cut: Cut::Partial,
            barcodes: true,
            qr: true,
            strip_rows: 128,
            units_per_dot: 2,
            proof: Proof::ProcessId,
            reports: true,
            kicks_at_once: true,
            buzz: None,
            bytes_per_second: 3000,
        }
    }

    /// Epson TM-m30, TM-T82, TM-T83: 80 mm at 203 dpi, 48 columns.
    #[must_use]
    pub fn epson_m30() -> Self {
        Self {
            name: "epson-tm-m30",
            columns: 48,
            dots: 576,
            units_per_dot: 1,
            strip_rows: 96,
            ..Self::epson_t88()
        }
    }

    /// Epson TM-T20II, TM-T20III: as the TM-m30, and no process id is counted on.
    #[must_use]
    pub fn epson_t20() -> Self {
        Self { name: "epson-tm-t20", proof: Proof::StatusRequest, ..Self::epson_m30() }
    }

    /// An ESC/POS printer of unknown make, 80 mm, 48 columns.
    #[must_use]
    pub fn generic_80() -> Self {
        Self {
            name: "escpos-80",
            pages: CLONE_PAGES.to_vec(),
            qr: false,
            strip_rows: 24,
            proof: Proof::Status,
            reports: false,
            kicks_at_once: false,
            buzz: Some(CLONE_BUZZ),
            bytes_per_second: 2000,
            ..Self::epson_m30()
        }
    }

    /// An ESC/POS printer of unknown make, 58 mm, 32 columns, without a knife.
    #[must_use]
    pub fn generic_58() -> Self {
        Self {
            name: "escpos-58",
            columns: 32,
            dots: 384,
            cut: Cut::None,
            buzz: None,
            bytes_per_second: 1000,
            ..Self::generic_80()
        }
    }

    /// A printer of unknown make with a simplified Chinese ROM, 80 mm.
    #[must_use]
    pub fn generic_80_chinese() -> Self {
        Self {
            name: "escpos-80-gb18030",
            ideographs: Some(Ideographs::Gb18030),
            ..Self::generic_80()
        }
    }

    /// Epson's Japanese models, 80 mm, 48 columns.
    #[must_use]
    pub fn epson_m30_japanese() -> Self {
        Self {
            name: "epson-tm-m30-ja",
            ideographs: Some(Ideographs::ShiftJis),
            ..Self::epson_m30()
        }
    }

    /// A printer that never answers, 80 mm: only the weakest confirmation is possible.
    #[must_use]
    pub fn mute_80() -> Self {
        Self { name: "escpos-80-mute", proof: Proof::Nothing, ..Self::generic_80() }
    }

    /// Star printers in Line Mode or StarPRNT, 80 mm, 48 columns.
    #[must_use]
    pub fn star_80() -> Self {
        Self {
            name: "star-80",
            pages: STAR_PAGES.to_vec(),
            proof: Proof::StatusRequest,
            kicks_at_once: false,
            buzz: None,
            ..Self::epson_m30()
        }
    }

    /// Every built-in profile.
    #[must_use]
    pub fn all() -> Vec<Self> {
        vec![
            Self::epson_t88(),
            Self::epson_m30(),
            Self::epson_t20(),
            Self::epson_m30_japanese(),
            Self::generic_80(),
            Self::generic_58(),
            Self::generic_80_chinese(),
            Self::mute_80(),
            Self::star_80(),
        ]
    }

    /// A built-in profile by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|profile| profile.name == name)
    }
}

/// Star's numbers for `ESC GS t`.
const STAR_PAGES: [(CodePage, u8); 5] = [
    (CodePage::Cp437, 1),
    (CodePage::Cp858, 4),
    (CodePage::Windows1252, 32),
    (CodePage::Cp852, 5),
    (CodePage::Cp866, 10),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_found_by_its_name_and_its_columns_fit_its_paper() {
        for profile in Profile::all() {
            assert_eq!(Profile::named(profile.name), Some(profile.clone()));
            assert!(u32::from(profile.columns * profile.cell) <= profile.dots, "{}", profile.name);
            assert!(profile.strip_rows >= 8 && !profile.pages.is_empty());
        }
    }

    #[test]
    fn the_euro_is_never_looked_for_in_the_greek_page_first() {
        for profile in Profile::all() {
            let page = profile.pages.iter().find(|(page, _)| page.encode('€').is_some());
            let page = page.map(|(page, _)| *page);
            assert!(matches!(page, Some(CodePage::Cp858)), "{} takes {page:?}", profile.name);
        }
    }
}
