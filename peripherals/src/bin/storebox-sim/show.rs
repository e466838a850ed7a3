//! What a simulated device shows a person.

use std::io::Write;
use std::path::PathBuf;

use storebox_peripherals::receipt::{Item, Sheet, paint};
use storebox_peripherals::sim::printer::Event;

use super::SimError;
use super::stage::Power;

/// Writes a line; a reader that went away is no reason to stop.
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Writes an error and its causes.
pub(super) fn error(error: &SimError) {
    let mut text = format!("failed to {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The rows of a display.
pub(super) fn rows(rows: &[String; 2]) {
    let edge = "─".repeat(rows[0].chars().count());
    line(&format!("┌{edge}┐\n│{}│\n│{}│\n└{edge}┘", rows[0], rows[1]));
}

/// Receipts, to the terminal and to files.
pub(super) struct Paper {
    svg: Option<PathBuf>,
    png: Option<PathBuf>,
    show: bool,
    count: u32,
}

impl Paper {
    pub(super) fn new(svg: Option<PathBuf>, png: Option<PathBuf>, show: bool) -> Self {
        Self { svg, png, show, count: 0 }
    }

    pub(super) fn take(&mut self, event: Event) -> Result<Power, SimError> {
        match event {
            Event::Receipt(sheet) => {
                self.receipt(&sheet)?;
                Ok(Power::Same)
            }
            Event::DrawerOpened(drawer) => {
                line(&format!("the drawer opens: {drawer:?}"));
                Ok(Power::Same)
            }
            Event::Buzzed => {
                line("it sounds");
                Ok(Power::Same)
            }
            Event::PowerLost(sheet) => {
                line("the power is gone; what was printed:");
                self.receipt(&sheet)?;
                Ok(Power::Lost)
            }
            Event::PowerBack => {
                line("the power is back");
                Ok(Power::Back)
            }
        }
    }

    fn receipt(&mut self, sheet: &Sheet) -> Result<(), SimError> {
        self.count += 1;
        if self.show {
            line(&drawn(sheet));
        }
        let name = format!("receipt-{:04}", self.count);
        let files = [
            self.svg.as_ref().map(|folder| (folder, "svg", paint::svg(sheet).into_bytes())),
            self.png.as_ref().map(|folder| (folder, "png", paint::sheet(sheet).to_png())),
        ];
        for (folder, extension, bytes) in files.into_iter().flatten() {
            let path = folder.join(&name).with_extension(extension);
            std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, bytes)).map_err(
                |source| SimError::Io { doing: format!("write {}", path.display()), source },
            )?;
            line(&format!("wrote {}", path.display()));
        }
        Ok(())
    }
}

/// The paper as text, with what is no text named in brackets.
fn drawn(sheet: &Sheet) -> String {
    let width = usize::from(sheet.columns);
    let mut text = format!("┌{}┐\n", "─".repeat(width));
    for item in &sheet.items {
        let rows = match item {
            Item::Row(_) | Item::Feed(_) => {
                Sheet { columns: sheet.columns, items: vec![item.clone()] }.to_text()
            }
            Item::Image { bitmap, .. } => {
                format!("[picture of {} by {} dots]\n", bitmap.width(), bitmap.height())
            }
            Item::Barcode { code, .. } => format!("[{:?} {}]\n", code.symbology(), code.text()),
            Item::Qr { code, .. } => format!("[QR {}]\n", code.text()),
            Item::Cut => format!("{}\n", "- ".repeat(width / 2)),
            Item::Kick(_) | Item::Buzz => String::new(),
        };
        for row in rows.lines() {
            let used: u16 =
                row.chars().map(storebox_peripherals::receipt::sheet::char_columns).sum();
            let pad = width.saturating_sub(usize::from(used));
            text.push_str(&format!("│{row}{}│\n", " ".repeat(pad)));
        }
    }
    text.push_str(&format!("└{}┘", "─".repeat(width)));
    text
}
