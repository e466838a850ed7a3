//! From what a till sent to the bytes of one printer.
//!
//! What is stored is what the till sent, not the bytes: a copy can say that it is one, and a job that was moved to
//! another printer comes out right there.

use serde::{Deserialize, Serialize};
use storebox_peripherals::printer::{Dialect, Profile, escpos, raw, star, zpl};
use storebox_peripherals::receipt::document::{Document, Line};
use storebox_peripherals::receipt::layout::layout;
use storebox_peripherals::receipt::{Drawer, Sheet, json, paint, receiptline};
use storebox_peripherals::spool::{Record, marked};
use storebox_proto::problem::{Code, Problem};

/// How a printer is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Epson's and that of most others.
    EscPos,
    /// Star Line Mode.
    Star,
    /// Zebra's labels.
    Zpl,
}

/// What a printer's paper is like and how it is spoken to.
#[derive(Debug, Clone, PartialEq)]
pub struct Medium {
    /// Its language.
    pub language: Language,
    /// What it can do.
    pub profile: Profile,
}

/// What a till sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Our own JSON document.
    Document,
    /// ReceiptLine.
    Receiptline,
    /// Bytes in the printer's language.
    Raw,
}

/// How a preview is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Sharp at every size.
    Svg,
    /// The dots of the print head.
    Png,
}

/// What came of looking through it before it is taken in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// What will be left out or replaced.
    pub warnings: Vec<String>,
    /// How often it opens the first drawer and the second.
    pub kicks: [u32; 2],
}

/// Warnings that are told; a document of errors need not be answered with a book.
const WARNINGS_MAX: usize = 20;

impl Medium {
    /// The printer's language as a driver speaks it.
    pub fn dialect(&self) -> Box<dyn Dialect> {
        match self.language {
            Language::EscPos => Box::new(escpos::EscPos::new(self.profile.clone())),
            Language::Star => Box::new(star::Star::new(self.profile.clone())),
            Language::Zpl => Box::new(zpl::Zpl::new()),
        }
    }

    /// Looks through what a till sent.
    pub fn check(&self, source: Source, content: &[u8]) -> Result<Checked, Problem> {
        if source == Source::Raw {
            return self.check_raw(content);
        }
        let document = document(source, content)?;
        let mut kicks = [0; 2];
        for line in &document.lines {
            if let Line::Kick(drawer) = line {
                kicks[drawer.index()] += 1;
            }
        }
        let laid = layout(&document, self.profile.columns);
        if let Some(refusal) = laid.refusal {
            let detail = format!("line {}: {}", refusal.line, refusal.what);
            return Err(Problem::new(Code::TooLarge, detail));
        }
        let warnings = laid.warnings.iter().take(WARNINGS_MAX);
        Ok(Checked {
            warnings: warnings
                .map(|warning| format!("line {}: {}", warning.line, warning.what))
                .collect(),
            kicks,
        })
    }

    fn check_raw(&self, content: &[u8]) -> Result<Checked, Problem> {
        if self.language != Language::EscPos {
            let detail = "raw jobs are inspected as ESC/POS, which this printer does not speak";
            return Err(Problem::new(Code::RawRefused, detail));
        }
        let seen = raw::inspect(content)
            .map_err(|error| Problem::new(Code::RawRefused, error.to_string()))?;
        Ok(Checked { warnings: Vec::new(), kicks: seen.kicks })
    }

    /// The bytes that print a job, marked with its code, and as a copy if it is one; a copy opens no drawer.
    pub fn render(
        &self,
        source: Source,
        content: &[u8],
        record: &Record,
    ) -> Result<Vec<u8>, Problem> {
        if source != Source::Raw {
            let mut document = document(source, content)?;
            if record.copy > 0 {
                document.lines.retain(|line| !matches!(line, Line::Kick(_)));
            }
            let document = marked(&document, record);
            return Ok(self.encode(&layout(&document, self.profile.columns).sheet));
        }
        self.check_raw(content)?;
        if record.copy == 0 {
            return Ok(content.to_vec());
        }
        let mark = marked(&Document::default(), record);
        let mut bytes = self.encode(&layout(&mark, self.profile.columns).sheet);
        bytes.extend_from_slice(&raw::without_kicks(content));
        Ok(bytes)
    }

    fn encode(&self, sheet: &Sheet) -> Vec<u8> {
        match self.language {
            Language::EscPos => escpos::encode(sheet, &self.profile),
            Language::Star => star::encode(sheet, &self.profile),
            Language::Zpl => zpl::encode(sheet, 1),
        }
    }

    /// The paper as a picture: SVG, or PNG dot for dot.
    pub fn preview(&self, form: Form, source: Source, content: &[u8]) -> Result<Vec<u8>, Problem> {
        if source == Source::Raw {
            return Err(Problem::new(Code::FieldInvalid, "raw bytes have no preview"));
        }
        let laid = layout(&document(source, content)?, self.profile.columns);
        Ok(match form {
            Form::Svg => paint::svg(&laid.sheet).into_bytes(),
            Form::Png => paint::sheet(&laid.sheet).to_png(),
        })
    }

    /// What opens a drawer.
    pub fn drawer(position: usize) -> Option<Drawer> {
        [Drawer::First, Drawer::Second].get(position).copied()
    }
}

fn document(source: Source, content: &[u8]) -> Result<Document, Problem> {
    let refuse = |detail: String| Problem::new(Code::DocumentInvalid, detail);
    let read = match source {
        Source::Document => json::parse(content),
        Source::Receiptline => match std::str::from_utf8(content) {
            Ok(text) => receiptline::parse(text),
            Err(error) => return Err(refuse(error.to_string())),
        },
        Source::Raw => return Err(refuse("raw bytes are no document".to_owned())),
    };
    read.map_err(|error| refuse(crate::logging::chain(&error)))
}

#[cfg(test)]
mod tests {
    use storebox_peripherals::spool::{Class, State};

    use super::*;

    fn medium() -> Medium {
        Medium { language: Language::EscPos, profile: Profile::epson_m30() }
    }

    #[test]
    fn a_raw_job_that_changes_settings_is_refused() {
        let refused = medium().check(Source::Raw, b"hello\x1d(E\x03\x00\x01\x49\x4e").unwrap_err();
        assert_eq!(refused.code, Code::RawRefused);
        let star = Medium { language: Language::Star, profile: Profile::star_80() };
        assert_eq!(star.check(Source::Raw, b"hello").unwrap_err().code, Code::RawRefused);
    }

    #[test]
    fn a_document_is_checked_and_its_kicks_are_counted() {
        let content =
            br#"{"blocks":[{"block":"text","text":"Tea"},{"block":"drawer","drawer":"first"}]}"#;
        assert_eq!(medium().check(Source::Document, content).unwrap().kicks, [1, 0]);
        let refused = medium().check(Source::Document, b"{\"blocks\":[{\"block\":\"bomb\"}]}");
        assert_eq!(refused.unwrap_err().code, Code::DocumentInvalid);
        let drawn = |form| medium().preview(form, Source::Document, content).unwrap();
        assert!(drawn(Form::Svg).starts_with(b"<svg") || drawn(Form::Svg).starts_with(b"<?xml"));
        assert!(drawn(Form::Png).starts_with(b"\x89PNG"));
    }

    #[test]
    fn a_copy_opens_no_drawer() {
        let document =
            br#"{"blocks":[{"block":"drawer","drawer":"second"},{"block":"text","text":"Tea"}]}"#;
        let bytes = |source, content: &[u8], copy| {
            let record = Record {
                number: 1,
                key: "sale-1".parse().unwrap(),
                printer: "front".to_owned(),
                class: Class::Receipt,
                digest: [0; 16],
                expires_at: None,
                copy,
                of: None,
                state: State::Queued,
            };
            let bytes = medium().render(source, content, &record).unwrap();
            raw::inspect(&bytes).unwrap().kicks
        };
        assert_eq!(bytes(Source::Document, document, 0), [0, 1]);
        assert_eq!(bytes(Source::Document, document, 1), [0, 0]);
        assert_eq!(bytes(Source::Raw, b"Tea\x1bp\x00\x19\xfa", 0), [1, 0]);
        assert_eq!(bytes(Source::Raw, b"Tea\x1bp\x00\x19\xfa", 1), [0, 0]);
    }

    #[test]
    fn a_picture_that_claims_to_be_enormous_is_refused_by_its_header() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        png.extend_from_slice(&40_000_u32.to_be_bytes());
        png.extend_from_slice(&100_000_u32.to_be_bytes());
        png.extend_from_slice(&[1, 0, 0, 0, 0]);
        let crc = crc32fast::hash(&png[12..]);
        png.extend_from_slice(&crc.to_be_bytes());
        use base64::Engine as _;
        let png = base64::engine::general_purpose::STANDARD.encode(png);
        let content = format!(r#"{{"blocks":[{{"block":"image","png":"{png}"}}]}}"#);
        let refused = medium().check(Source::Document, content.as_bytes()).unwrap_err();
        assert_eq!(refused.code, Code::TooLarge);
        assert!(refused.detail.contains("4000000000"), "{}", refused.detail);
    }
}
