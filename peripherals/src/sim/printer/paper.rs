//! The paper of a simulated printer: commands in, rows and pictures out.

use super::graphics;
use crate::printer::Profile;
use crate::receipt::symbol::QrLevel;
use crate::receipt::{
    Align, Area, Barcode, Bitmap, CodePage, Drawer, Item, Qr, Row, Run, Sheet, Style, Symbology,
};

/// Items of one receipt; a job that never cuts must not fill the memory.
const ITEMS_MAX: usize = 20_000;

/// What a command makes the printer do besides printing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reaction {
    Cut,
    Kick(Drawer),
    Buzz,
    Reports(u8),
    Reset,
    PaperStatus,
    DrawerStatus,
    ProcessId([u8; 4]),
    Identity(&'static str),
}

#[derive(Debug)]
pub(super) struct Paper {
    profile: Profile,
    items: Vec<Item>,
    runs: Vec<Run>,
    /// Half columns from the left.
    at: u16,
    style: Style,
    align: Align,
    page: CodePage,
    pairs: bool,
    /// The first byte of a pair.
    half: Option<u8>,
    tight: bool,
    code: CodeSettings,
    /// Columns of dots on the line that was begun.
    band: Option<Bitmap>,
    /// The picture in the graphics memory.
    stored: Option<Bitmap>,
    pub(super) unknown: u64,
}

#[derive(Debug, Clone)]
struct CodeSettings {
    height: u8,
    module: u8,
    readable: bool,
    qr_module: u8,
    qr_level: QrLevel,
    qr_data: String,
}

impl Default for CodeSettings {
    fn default() -> Self {
        Self {
            height: 162,
            module: 3,
            readable: false,
            qr_module: 3,
            qr_level: QrLevel::L,
            qr_data: String::new(),
        }
    }
}

impl Paper {
    pub(super) fn new(profile: Profile) -> Self {
        Self {
            profile,
            items: Vec::new(),
            runs: Vec::new(),
            at: 0,
            style: Style::default(),
            align: Align::Left,
            page: CodePage::Cp437,
            pairs: false,
            half: None,
            tight: false,
            code: CodeSettings::default(),
            band: None,
            stored: None,
            unknown: 0,
        }
    }

    /// What `ESC @` does: settings are lost, paper is not.
    pub(super) fn reset(&mut self) {
        self.style = Style::default();
        self.align = Align::Left;
        self.page = CodePage::Cp437;
        self.pairs = false;
        self.half = None;
        self.tight = false;
        self.code = CodeSettings::default();
        self.stored = None;
    }

    pub(super) fn sheet(&self) -> Sheet {
        Sheet { columns: self.profile.columns, items: self.items.clone() }
    }

    pub(super) fn tear_off(&mut self) -> Sheet {
        let items = std::mem::take(&mut self.items);
        Sheet { columns: self.profile.columns, items }
    }

    /// Prints a line that was begun.
    pub(super) fn end_line(&mut self) {
        if !self.runs.is_empty() || self.band.is_some() {
            self.feed_line();
        }
    }

    /// Forgets a line that was begun.
    pub(super) fn drop_line(&mut self) {
        self.runs.clear();
        self.band = None;
        self.at = 0;
    }

    fn push(&mut self, item: Item) {
        if self.items.len() < ITEMS_MAX {
            self.items.push(item);
        }
    }

    fn feed_line(&mut self) {
        if let Some(band) = self.band.take() {
            self.picture(band);
            if self.runs.is_empty() {
                self.at = 0;
                return;
            }
        }
        let mut runs = std::mem::take(&mut self.runs);
        let used = runs.iter().map(|run| run.at + run.columns() * 2).max().unwrap_or(0);
        let free = u32::from((self.profile.columns * 2).saturating_sub(used));
        let shift = u16::try_from(self.align.before(free)).unwrap_or(0);
        for run in &mut runs {
            run.at += shift;
        }
        self.at = 0;
        self.push(Item::Row(Row { runs, tight: self.tight }));
    }

    fn put(&mut self, c: char) {
        let wide = crate::receipt::sheet::char_columns(c) * u16::from(self.style.width) * 2;
        if self.at + wide > self.profile.columns * 2 {
            self.feed_line();
        }
        match self.runs.last_mut() {
            Some(run) if run.style == self.style && run.at + run.columns() * 2 == self.at => {
                run.text.push(c);
            }
            _ => self.runs.push(Run { at: self.at, text: c.to_string(), style: self.style }),
        }
        self.at += wide;
    }

    fn text(&mut self, byte: u8) {
        if self.pairs
            && let Some(set) = self.profile.ideographs
        {
            match self.half.take() {
                Some(first) => return self.put(set.decode([first, byte]).unwrap_or('\u{FFFD}')),
                None if byte >= 0x80 => {
                    self.half = Some(byte);
                    return;
                }
                None => {}
            }
        }
        match self.page.decode(byte) {
            Some(c) => self.put(c),
            None => self.unknown += 1,
        }
    }

    /// Carries out one whole command.
    pub(super) fn take(&mut self, command: &[u8]) -> Vec<Reaction> {
        match command {
            [0x0A] => self.feed_line(),
            [0x1B, b'@'] => {
                self.drop_line();
                self.reset();
                return vec![Reaction::Reset];
            }
            [0x1B, b'p', pin, ..] => {
                let second = matches!(pin, 1 | 49);
                let drawer = if second { Drawer::Second } else { Drawer::First };
                return vec![Reaction::Kick(drawer)];
            }
            [0x10, 0x14, 1, pin, _] => {
                let drawer = if *pin == 1 { Drawer::Second } else { Drawer::First };
                return vec![Reaction::Kick(drawer)];
            }
            [0x1B, b'B', ..] => return vec![Reaction::Buzz],
            [0x1B, b'i' | b'm'] | [0x1D, b'V', ..] => {
                self.end_line();
                self.push(Item::Cut);
                return vec![Reaction::Cut];
            }
            [0x1D, b'a', which] => return vec![Reaction::Reports(*which)],
            [0x1D, b'r', 1 | 49] => return vec![Reaction::PaperStatus],
            [0x1D, b'r', 2 | 50] => return vec![Reaction::DrawerStatus],
            [0x1D, b'I', 66] => return vec![Reaction::Identity("STOREBOX")],
            [0x1D, b'I', 67] => return vec![Reaction::Identity(self.profile.name)],
            [0x1D, b'(', b'H', _, _, 0x30, 0x30, a, b, c, d] => {
                return vec![Reaction::ProcessId([*a, *b, *c, *d])];
            }
            [0x1B, ..] => self.escape(command),
            [0x1D, ..] => self.group(command),
            [0x1C, b'&'] => self.pairs = true,
            [0x1C, b'.'] => {
                self.pairs = false;
                self.half = None;
            }
            [byte] if *byte >= 0x20 => self.text(*byte),
            _ => {}
        }
        Vec::new()
    }

    fn escape(&mut self, command: &[u8]) {
        match *command {
            [_, b'E' | b'G', n] => self.style.bold = n & 1 == 1,
            [_, b'-', n] => self.style.underline = n & 3 != 0,
            [_, b'!', n] => {
                self.style.bold = n & 0x08 != 0;
                self.style.underline = n & 0x80 != 0;
                self.style.height = if n & 0x10 != 0 { 2 } else { 1 };
                self.style.width = if n & 0x20 != 0 { 2 } else { 1 };
            }
            [_, b'a', n] => {
                self.align = match n {
                    1 | 49 => Align::Center,
                    2 | 50 => Align::Right,
                    _ => Align::Left,
                }
            }
            [_, b't', n] => {
                let page = self.profile.pages.iter().find(|(_, number)| *number == n);
                self.page = page.map_or(CodePage::Cp437, |(page, _)| *page);
            }
            [_, b'$', low, high] => {
                // A position off the paper is its right edge.
                let dots = u32::from(u16::from_le_bytes([low, high]));
                let half = dots * 2 / u32::from(self.profile.cell.max(1));
                let edge = self.profile.columns * 2;
                self.at = u16::try_from(half).unwrap_or(edge).min(edge);
            }
            [_, b'\\', low, high] => {
                let dots = i32::from(i16::from_le_bytes([low, high]));
                let half = dots * 2 / i32::from(self.profile.cell.max(1));
                let edge = i32::from(self.profile.columns) * 2;
                self.at = u16::try_from((i32::from(self.at) + half).clamp(0, edge)).unwrap_or(0);
            }
            [_, b'*', mode, _, _, ref columns @ ..] => {
                let left = u32::from(self.at) * u32::from(self.profile.cell) / 2;
                self.band = graphics::band(self.band.take(), left, mode, columns);
            }
            [_, b'd', lines] => {
                self.end_line();
                self.push(Item::Feed(lines));
            }
            [_, b'J', units] => {
                self.end_line();
                self.push(Item::Feed(units / 24 / self.profile.units_per_dot.max(1)));
            }
            [_, b'2'] => self.tight = false,
            [_, b'3', units] => self.tight = units <= 24 * self.profile.units_per_dot,
            _ => {}
        }
    }

    fn group(&mut self, command: &[u8]) {
        match command {
            [_, b'!', n] => {
                self.style.width = (n >> 4 & 7) + 1;
                self.style.height = (n & 7) + 1;
            }
            [_, b'B', n] => self.style.invert = n & 1 == 1,
            [_, b'h', n] => self.code.height = *n,
            [_, b'w', n] => self.code.module = *n,
            [_, b'H', n] => self.code.readable = n & 3 != 0,
            [_, b'v', b'0', _, xl, xh, _, _, dots @ ..] => {
                self.raster(usize::from(u16::from_le_bytes([*xl, *xh])), dots);
            }
            [_, b'k', kind @ 65..=73, _, data @ ..] => self.barcode(*kind, data),
            // The older form, whose data ends in a zero.
            [_, b'k', kind @ 0..=6, data @ .., 0] => self.barcode(*kind + 65, data),
            [_, b'(', b'k', _, _, 0x31, function, data @ ..] => self.qr(*function, data),
            [_, b'(', b'L', _, _, 48, function, data @ ..]
            | [_, b'8', b'L', _, _, _, _, 48, function, data @ ..] => match function {
                112 | 113 => self.stored = graphics::stored(*function, data),
                2 | 50 => {
                    if let Some(picture) = self.stored.take() {
                        self.picture(picture);
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn area(&self) -> Area {
        Area { left: 0, width: self.profile.columns }
    }

    fn raster(&mut self, stride: usize, dots: &[u8]) {
        if stride == 0 {
            return;
        }
        self.picture(Bitmap::from_rows(stride, dots));
    }

    /// Strips that follow each other are one picture.
    fn picture(&mut self, mut bitmap: Bitmap) {
        let align = self.align;
        if let Some(Item::Image { bitmap: above, align: same, .. }) = self.items.last()
            && above.width() == bitmap.width()
            && *same == align
        {
            let mut joined = Bitmap::white(above.width(), above.height() + bitmap.height());
            joined.draw(above, 0, 0);
            joined.draw(&bitmap, 0, above.height());
            bitmap = joined;
            self.items.pop();
        }
        let area = self.area();
        self.push(Item::Image { bitmap, area, align });
    }

    fn barcode(&mut self, kind: u8, data: &[u8]) {
        let symbology = match kind {
            65 | 66 => Symbology::Upc,
            67 | 68 => Symbology::Ean,
            69 => Symbology::Code39,
            70 => Symbology::Itf,
            71 => Symbology::Codabar,
            72 => Symbology::Code93,
            _ => Symbology::Code128,
        };
        let text = match data {
            [b'{', b'C', pairs @ ..] if kind == 73 => {
                pairs.iter().map(|pair| format!("{pair:02}")).collect()
            }
            [b'{', b'A' | b'B', text @ ..] if kind == 73 => {
                String::from_utf8_lossy(text).replace("{{", "{")
            }
            _ => String::from_utf8_lossy(data).into_owned(),
        };
        // A printer prints nothing at all for a code it cannot make.
        if let Ok(mut code) = Barcode::new(symbology, &text) {
            code.module = self.code.module.clamp(1, 6);
            code.height = self.code.height;
            code.readable = self.code.readable;
            let item = Item::Barcode { code, area: self.area(), align: self.align };
            self.push(item);
        }
    }

    fn qr(&mut self, function: u8, data: &[u8]) {
        match (function, data) {
            (0x43, [module]) => self.code.qr_module = (*module).clamp(1, 16),
            (0x45, [level]) => {
                self.code.qr_level = match level {
                    0x31 => QrLevel::M,
                    0x32 => QrLevel::Q,
                    0x33 => QrLevel::H,
                    _ => QrLevel::L,
                }
            }
            (0x50, [_, text @ ..]) => {
                self.code.qr_data = String::from_utf8_lossy(text).into_owned();
            }
            (0x51, _) => {
                if let Ok(mut code) = Qr::new(&self.code.qr_data, self.code.qr_level) {
                    code.module = self.code.qr_module;
                    let item = Item::Qr { code, area: self.area(), align: self.align };
                    self.push(item);
                }
            }
            _ => {}
        }
    }
}
