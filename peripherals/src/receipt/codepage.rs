//! Code pages: which byte stands for which character in a printer's own fonts.
//!
//! Tables come from `oem_cp` (IBM pages) and `encoding_rs` (Windows and ISO pages).
//! A character is only ever given to a page that has it; there is no "closest match", because a
//! receipt with the wrong letter in a name is wrong.
//!
//! The euro decides many fights: it is asked for in 858 and 1252 before 8859-7, whose older ROMs
//! print something else at that place.

use encoding_rs::Encoding;
use oem_cp::code_table as oem;

/// A page of 256 characters; 0x20 to 0x7E are ASCII in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodePage {
    /// USA.
    Cp437,
    /// Arabic.
    Cp720,
    /// Greek.
    Cp737,
    /// Baltic.
    Cp775,
    /// Western Europe, without the euro.
    Cp850,
    /// Central Europe.
    Cp852,
    /// Cyrillic.
    Cp855,
    /// Turkish.
    Cp857,
    /// Western Europe, with the euro.
    Cp858,
    /// Portuguese.
    Cp860,
    /// Icelandic.
    Cp861,
    /// Hebrew.
    Cp862,
    /// Canadian French.
    Cp863,
    /// Nordic.
    Cp865,
    /// Cyrillic, second.
    Cp866,
    /// Greek, second.
    Cp869,
    /// Thai.
    Cp874,
    /// Latin 2.
    Iso8859_2,
    /// Greek.
    Iso8859_7,
    /// Latin 9.
    Iso8859_15,
    /// Central Europe.
    Windows1250,
    /// Cyrillic.
    Windows1251,
    /// Western Europe.
    Windows1252,
    /// Greek.
    Windows1253,
    /// Turkish.
    Windows1254,
    /// Hebrew.
    Windows1255,
    /// Baltic.
    Windows1257,
    /// Vietnamese.
    Windows1258,
}

enum Table {
    Oem(&'static oem_cp::OEMCPHashMap<char, u8>, u16),
    Web(&'static Encoding),
}

impl CodePage {
    /// The byte for a character, if this page has it.
    #[must_use]
    pub fn encode(self, c: char) -> Option<u8> {
        if c.is_ascii() {
            let byte = u8::try_from(c).ok()?;
            return (0x20..0x7F).contains(&byte).then_some(byte);
        }
        if c.is_control() {
            return None;
        }
        match self.table() {
            Table::Oem(table, _) => oem_cp::encode_char_checked(c, table),
            Table::Web(encoding) => {
                let mut bytes = [0; 4];
                let mut text = [0; 4];
                let (result, _, count) =
                    encoding.new_encoder().encode_from_utf8_without_replacement(
                        c.encode_utf8(&mut text),
                        &mut bytes,
                        true,
                    );
                let whole = matches!(result, encoding_rs::EncoderResult::InputEmpty) && count == 1;
                whole.then_some(bytes[0])
            }
        }
    }

    /// The character of a byte, if this page has one there.
    #[must_use]
    pub fn decode(self, byte: u8) -> Option<char> {
        if byte < 0x80 {
            return (0x20..0x7F).contains(&byte).then_some(char::from(byte));
        }
        match self.table() {
            Table::Oem(_, number) => {
                oem::DECODING_TABLE_CP_MAP.get(&number)?.decode_char_checked(byte)
            }
            Table::Web(encoding) => {
                let bytes = [byte];
                let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes)?;
                text.chars().next().filter(|c| !c.is_control())
            }
        }
    }

    fn table(self) -> Table {
        match self {
            Self::Cp437 => Table::Oem(&oem::ENCODING_TABLE_CP437, 437),
            Self::Cp720 => Table::Oem(&oem::ENCODING_TABLE_CP720, 720),
            Self::Cp737 => Table::Oem(&oem::ENCODING_TABLE_CP737, 737),
            Self::Cp775 => Table::Oem(&oem::ENCODING_TABLE_CP775, 775),
            Self::Cp850 => Table::Oem(&oem::ENCODING_TABLE_CP850, 850),
            Self::Cp852 => Table::Oem(&oem::ENCODING_TABLE_CP852, 852),
            Self::Cp855 => Table::Oem(&oem::ENCODING_TABLE_CP855, 855),
            Self::Cp857 => Table::Oem(&oem::ENCODING_TABLE_CP857, 857),
            Self::Cp858 => Table::Oem(&oem::ENCODING_TABLE_CP858, 858),
            Self::Cp860 => Table::Oem(&oem::ENCODING_TABLE_CP860, 860),
            Self::Cp861 => Table::Oem(&oem::ENCODING_TABLE_CP861, 861),
            Self::Cp862 => Table::Oem(&oem::ENCODING_TABLE_CP862, 862),
            Self::Cp863 => Table::Oem(&oem::ENCODING_TABLE_CP863, 863),
            Self::Cp865 => Table::Oem(&oem::ENCODING_TABLE_CP865, 865),
            Self::Cp866 => Table::Oem(&oem::ENCODING_TABLE_CP866, 866),
            Self::Cp869 => Table::Oem(&oem::ENCODING_TABLE_CP869, 869),
            Self::Cp874 => Table::Oem(&oem::ENCODING_TABLE_CP874, 874),
            Self::Iso8859_2 => Table::Web(encoding_rs::ISO_8859_2),
            Self::Iso8859_7 => Table::Web(encoding_rs::ISO_8859_7),
            Self::Iso8859_15 => Table::Web(encoding_rs::ISO_8859_15),
            Self::Windows1250 => Table::Web(encoding_rs::WINDOWS_1250),
            Self::Windows1251 => Table::Web(encoding_rs::WINDOWS_1251),
            Self::Windows1252 => Table::Web(encoding_rs::WINDOWS_1252),
            Self::Windows1253 => Table::Web(encoding_rs::WINDOWS_1253),
            Self::Windows1254 => Table::Web(encoding_rs::WINDOWS_1254),
            Self::Windows1255 => Table::Web(encoding_rs::WINDOWS_1255),
            Self::Windows1257 => Table::Web(encoding_rs::WINDOWS_1257),
            Self::Windows1258 => Table::Web(encoding_rs::WINDOWS_1258),
        }
    }
}

/// A set of two-byte characters a printer has in its ROM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ideographs {
    /// Japanese models.
    ShiftJis,
    /// Simplified Chinese models.
    Gb18030,
    /// Traditional Chinese models.
    Big5,
    /// Korean models.
    EucKr,
}

impl Ideographs {
    /// The two bytes for a character, if this set has it as two bytes.
    #[must_use]
    pub fn encode(self, c: char) -> Option<[u8; 2]> {
        let mut bytes = [0; 8];
        let mut text = [0; 4];
        let (result, _, count) = self
            .encoding()
            .new_encoder()
            .encode_from_utf8_without_replacement(c.encode_utf8(&mut text), &mut bytes, true);
        let whole = matches!(result, encoding_rs::EncoderResult::InputEmpty) && count == 2;
        whole.then_some([bytes[0], bytes[1]])
    }

    /// The character of two bytes.
    #[must_use]
    pub fn decode(self, bytes: [u8; 2]) -> Option<char> {
        let text = self.encoding().decode_without_bom_handling_and_without_replacement(&bytes)?;
        let mut chars = text.chars();
        chars.next().filter(|_| chars.next().is_none())
    }

    fn encoding(self) -> &'static Encoding {
        match self {
            Self::ShiftJis => encoding_rs::SHIFT_JIS,
            Self::Gb18030 => encoding_rs::GB18030,
            Self::Big5 => encoding_rs::BIG5,
            Self::EucKr => encoding_rs::EUC_KR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [CodePage; 28] = [
        CodePage::Cp437,
        CodePage::Cp720,
        CodePage::Cp737,
        CodePage::Cp775,
        CodePage::Cp850,
        CodePage::Cp852,
        CodePage::Cp855,
        CodePage::Cp857,
        CodePage::Cp858,
        CodePage::Cp860,
        CodePage::Cp861,
        CodePage::Cp862,
        CodePage::Cp863,
        CodePage::Cp865,
        CodePage::Cp866,
        CodePage::Cp869,
        CodePage::Cp874,
        CodePage::Iso8859_2,
        CodePage::Iso8859_7,
        CodePage::Iso8859_15,
        CodePage::Windows1250,
        CodePage::Windows1251,
        CodePage::Windows1252,
        CodePage::Windows1253,
        CodePage::Windows1254,
        CodePage::Windows1255,
        CodePage::Windows1257,
        CodePage::Windows1258,
    ];

    #[test]
    fn the_euro_is_where_the_vendors_say() {
        assert_eq!(CodePage::Cp858.encode('€'), Some(0xD5));
        assert_eq!(CodePage::Windows1252.encode('€'), Some(0x80));
        assert_eq!(CodePage::Iso8859_15.encode('€'), Some(0xA4));
        assert_eq!(CodePage::Cp850.encode('€'), None);
    }

    #[test]
    fn roundtrip_of_every_byte_of_every_page() {
        for page in ALL {
            for byte in 0x20..=0xFF {
                if let Some(c) = page.decode(byte)
                    && let Some(again) = page.encode(c)
                {
                    assert_eq!(page.decode(again), Some(c), "{page:?} {byte:02x}");
                }
            }
        }
    }

    #[test]
    fn no_page_ever_yields_a_control_byte() {
        for page in ALL {
            for c in (0u32..0x3000).filter_map(char::from_u32) {
                assert!(page.encode(c).is_none_or(|byte| byte >= 0x20 && byte != 0x7F), "{c:?}");
            }
        }
    }

    #[test]
    fn ideographs_are_two_bytes_or_nothing() {
        assert_eq!(Ideographs::ShiftJis.encode('日'), Some([0x93, 0xFA]));
        assert_eq!(Ideographs::Gb18030.encode('中'), Some([0xD6, 0xD0]));
        assert_eq!(Ideographs::ShiftJis.encode('ｱ'), None);
        assert_eq!(Ideographs::Big5.decode(Ideographs::Big5.encode('中').unwrap()), Some('中'));
    }
}
