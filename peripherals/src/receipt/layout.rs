//! A document laid out for a number of columns.
//!
//! The rules are ReceiptLine's, so that one document looks the same from every box: fixed cells
//! first, the rest shared equally, the widest fixed cells narrowed when nothing is left; text wraps
//! at the last character that fits, not at words, because prices stand beside it.
//!
//! What cannot be shown (a bad picture, a wrong check digit) is replaced by its text where it has
//! one, and told as a warning: a shop would rather have a receipt without a barcode than none.
//! A picture beyond the limits is another matter: whoever sent it is to be told so, and
//! [`Laid::refusal`] says why; a picture that is only wider than the paper is scaled.

mod rules;
mod wrap;

use super::bitmap::ImageError;
use super::document::{Border, Cell, CodeSpec, Document, Frame, Line, Span, Warning, Width};
use super::sheet::{Align, Area, COLUMNS_MAX, COLUMNS_MIN, Item, Row, Run, Sheet, Style};
use super::{Barcode, Bitmap, Qr};
use rules::{Ruled, Rules};

/// Dots of a column, by which pictures are fitted to the sheet.
const CELL_DOTS: u32 = 12;
/// Pictures one document may unpack.
const IMAGES_MAX: usize = 4;
/// Rows of one picture: thirty centimetres of paper.
const IMAGE_ROWS_MAX: u32 = 2400;
/// Codes one document may hold; a large QR code takes milliseconds to make.
const CODES_MAX: usize = 64;
/// Rows one document may become; a few long lines in narrow cells can make very many.
const ITEMS_MAX: usize = 4000;

/// A document laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    /// The sheet.
    pub sheet: Sheet,
    /// What was left out or replaced.
    pub warnings: Vec<Warning>,
    /// Why the document should not be taken in: its first picture beyond a limit.
    pub refusal: Option<Warning>,
}

/// Lays a document out for a number of columns, which is brought within sensible limits.
#[must_use]
pub fn layout(document: &Document, columns: u16) -> Laid {
    let columns = columns.clamp(COLUMNS_MIN, COLUMNS_MAX);
    let mut page = Page {
        columns,
        items: Vec::new(),
        warnings: document.warnings.clone(),
        refusal: None,
        rules: Rules::default(),
        images: 0,
        codes: 0,
        line: 0,
    };
    for (at, line) in document.lines.iter().enumerate() {
        page.line = at + 1;
        if page.items.len() >= ITEMS_MAX {
            page.warn("the document is too long; the rest is left out");
            break;
        }
        page.add(line);
    }
    page.stop_rules();
    Laid {
        sheet: Sheet { columns, items: page.items },
        warnings: page.warnings,
        refusal: page.refusal,
    }
}

struct Page {
    columns: u16,
    items: Vec<Item>,
    warnings: Vec<Warning>,
    refusal: Option<Warning>,
    rules: Rules,
    images: usize,
    codes: usize,
    line: usize,
}

/// Where a line stands and how wide its cells are.
struct Place {
    area: Area,
    widths: Vec<u16>,
}

impl Page {
    fn warn(&mut self, what: impl Into<String>) {
        self.warnings.push(Warning { line: self.line, what: what.into() });
    }

    /// Leaves something out that is beyond a limit, and says that the document should be refused.
    fn refuse(&mut self, what: String) {
        self.refusal.get_or_insert(Warning { line: self.line, what: what.clone() });
        self.warn(what);
    }

    fn add(&mut self, line: &Line) {
        match line {
            Line::Text { cells, frame } => self.text(cells, *frame),
            Line::Rule { widths, frame } => self.rule(widths, *frame),
            Line::Cut => {
                if self.rules.cut() {
                    self.rules_row(None);
                }
                self.items.push(Item::Cut);
            }
            Line::RulesStart => self.rules.start(),
            Line::RulesStop => self.stop_rules(),
            Line::Image { png, widths, frame, align } => {
                let area = place(widths, *frame, self.columns, false).area;
                self.image(png, area, *align);
            }
            Line::Code { spec, widths, frame, align } => {
                let area = place(widths, *frame, self.columns, false).area;
                self.code(spec, area, *align);
            }
            Line::Feed(lines) => self.items.push(Item::Feed(*lines)),
            Line::Kick(drawer) => self.items.push(Item::Kick(*drawer)),
            Line::Buzz => self.items.push(Item::Buzz),
        }
    }

    fn text(&mut self, cells: &[Cell], frame: Frame) {
        let cells: Vec<&Cell> =
            cells.iter().filter(|cell| cell.width != Width::Columns(0)).collect();
        let widths: Vec<Width> = cells.iter().map(|cell| cell.width).collect();
        let place = place(&widths, frame, self.columns, true);
        let wrapped: Vec<_> = cells
            .iter()
            .zip(&place.widths)
            .map(|(cell, width)| wrap::wrap(&cell.spans, *width, cell.align, ITEMS_MAX))
            .collect();
        let ruled = Ruled { left: place.area.left, widths: place.widths.clone() };
        if self.rules.line() {
            self.rules_row(Some(&ruled));
        }
        let running = self.rules.running();
        self.rules.keep(ruled);
        let rows =
            if frame.wrap { wrapped.iter().map(Vec::len).max().unwrap_or(0).max(1) } else { 1 };
        let room = ITEMS_MAX.saturating_sub(self.items.len());
        if rows > room {
            self.warn("the text is too long; the rest is left out");
        }
        for at in 0..rows.min(room) {
            let row = self.text_row(&wrapped, at, &place, frame.border, running);
            self.items.push(Item::Row(row));
        }
    }

    fn text_row(
        &self,
        wrapped: &[Vec<wrap::WrappedRow>],
        at: usize,
        place: &Place,
        border: Border,
        running: bool,
    ) -> Row {
        let present = wrapped.iter().filter_map(|cell| cell.get(at));
        let height = present.map(|row| row.height).max().unwrap_or(1);
        let bar = Style { height, ..Style::default() };
        let mut runs = Vec::new();
        let mut column = place.area.left;
        let mut rule = |column: u16| {
            if running {
                runs.push(Run { at: column * 2, text: "│".into(), style: bar });
            }
        };
        rule(column);
        column += u16::from(running);
        let mut text_runs = Vec::new();
        for (width, cell) in place.widths.iter().zip(wrapped) {
            if let Some(row) = cell.get(at) {
                let mut half = column * 2 + row.before;
                for (text, style) in &row.parts {
                    let run = Run { at: half, text: text.clone(), style: *style };
                    half += run.columns() * 2;
                    text_runs.push(run);
                }
            }
            column += width;
            rule(column);
            column += border.columns();
        }
        runs.append(&mut text_runs);
        runs.sort_by_key(|run| run.at);
        Row { runs, tight: running }
    }

    fn rule(&mut self, widths: &[Width], frame: Frame) {
        if self.rules.rule() {
            let area = place(widths, frame, self.columns, false).area;
            let text = "─".repeat(usize::from(area.width));
            let runs = vec![Run { at: area.left * 2, text, style: Style::default() }];
            self.items.push(Item::Row(Row { runs, tight: false }));
        }
    }

    fn stop_rules(&mut self) {
        if self.rules.stop() {
            self.rules_row(None);
        }
    }

    fn rules_row(&mut self, next: Option<&Ruled>) {
        let (left, text) = self.rules.draw(next);
        let runs = vec![Run { at: left * 2, text, style: Style::default() }];
        self.items.push(Item::Row(Row { runs, tight: next.is_some() }));
    }

    fn image(&mut self, png: &str, area: Area, align: Align) {
        self.images += 1;
        if self.images > IMAGES_MAX {
            self.refuse(format!("there are more than {IMAGES_MAX} pictures"));
            return;
        }
        match Bitmap::from_base64_png(png, u32::from(area.width) * CELL_DOTS) {
            Ok(bitmap) if bitmap.height() > IMAGE_ROWS_MAX => {
                let rows = bitmap.height();
                self.refuse(format!("a picture has {rows} rows, its limit is {IMAGE_ROWS_MAX}"));
            }
            Ok(bitmap) => self.items.push(Item::Image { bitmap, area, align }),
            Err(error @ ImageError::TooLarge { .. }) => self.refuse(error.to_string()),
            Err(error @ (ImageError::NotBase64 | ImageError::NotPng(_))) => {
                self.warn(error.to_string());
            }
        }
    }

    fn code(&mut self, spec: &CodeSpec, area: Area, align: Align) {
        self.codes += 1;
        if self.codes > CODES_MAX {
            self.warn(format!("more than {CODES_MAX} codes; this one is left out"));
            return;
        }
        let dots = u32::from(area.width) * CELL_DOTS;
        let (made, data) = match spec {
            CodeSpec::Bars { symbology, data, module, height, readable } => {
                let made = Barcode::new(*symbology, data).map(|mut code| {
                    (code.module, code.height, code.readable) = (*module, *height, *readable);
                    while code.module > 1 && code.width() > dots {
                        code.module -= 1;
                    }
                    let fits = code.width() <= dots;
                    fits.then_some(Item::Barcode { code, area, align })
                });
                (made, data)
            }
            CodeSpec::Qr { data, module, level } => {
                let made = Qr::new(data, *level).map(|mut code| {
                    code.module = *module;
                    while code.module > 1 && code.width() > dots {
                        code.module -= 1;
                    }
                    let fits = code.width() <= dots;
                    fits.then_some(Item::Qr { code, area, align })
                });
                (made, data)
            }
        };
        match made {
            Ok(Some(item)) => self.items.push(item),
            Ok(None) => self.code_as_text(data, align, "the code is wider than the paper".into()),
            Err(error) => self.code_as_text(data, align, error.to_string()),
        }
    }

    fn code_as_text(&mut self, data: &str, align: Align, what: String) {
        self.warn(what);
        let shown: String = data.chars().filter(|c| !c.is_control()).collect();
        let spans = vec![Span::Text(shown, Style::default())];
        let cell = Cell { align, width: Width::Share, spans };
        self.text(&[cell], Frame::default());
    }
}

/// Gives every cell its width and the whole its place.
fn place(widths: &[Width], frame: Frame, columns: u16, is_text: bool) -> Place {
    let wanted: Vec<Width> =
        widths.iter().copied().filter(|width| *width != Width::Columns(0)).collect();
    let most = match (is_text, frame.border) {
        (false, _) => wanted.len(),
        (true, Border::Line) => usize::from((columns - 1) / 2),
        (true, Border::Space(gap)) => usize::from((columns + gap) / (gap + 1)),
    };
    let wanted = &wanted[..wanted.len().min(most)];
    let mut sizes: Vec<i32> = wanted
        .iter()
        .map(|width| match width {
            Width::Share => -1,
            Width::Columns(columns) => i32::from(*columns),
        })
        .collect();
    let shares = i32::try_from(sizes.iter().filter(|size| **size < 0).count()).unwrap_or(i32::MAX);
    let mut free = i32::from(columns) - sizes.iter().filter(|size| **size > 0).sum::<i32>();
    if is_text && !sizes.is_empty() {
        let count = i32::try_from(sizes.len()).unwrap_or(i32::MAX);
        free -= match frame.border {
            Border::Line => count + 1,
            Border::Space(gap) => (count - 1) * i32::from(gap),
        };
    }
    while shares > free {
        // Of equally wide cells the last one gives way.
        let widest = sizes.iter().enumerate().filter(|(_, size)| **size > 0);
        let Some((at, _)) = widest.max_by_key(|(_, size)| **size) else { break };
        sizes[at] -= 1;
        free += 1;
    }
    for (share, size) in (0..).zip(sizes.iter_mut().filter(|size| **size < 0)) {
        *size = (free + share) / shares;
    }
    let left_over = u32::try_from(if shares > 0 { 0 } else { free.max(0) }).unwrap_or(0);
    let left = u16::try_from(frame.align.before(left_over)).unwrap_or(0);
    let width = columns - u16::try_from(left_over).unwrap_or(columns).min(columns);
    let widths = sizes.iter().map(|size| u16::try_from(*size).unwrap_or(0)).collect();
    Place { area: Area { left, width }, widths }
}
