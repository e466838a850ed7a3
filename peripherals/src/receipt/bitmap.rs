//! Black and white pictures: what a thermal head can print.
//!
//! A picture from outside is refused by its header, before its pixels are unpacked: a few kilobytes
//! can unpack to gigabytes.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Encoded bytes of a picture a document may carry.
pub const IMAGE_BYTES_MAX: usize = 1 << 20;
/// Pixels a picture may have before it is scaled to the paper.
pub const IMAGE_PIXELS_MAX: u64 = 4_000_000;
/// Dots of the widest picture any print head here can show.
pub const WIDTH_MAX: u32 = 2048;
/// Rows of one picture; at 203 dpi this is six metres of paper.
pub const HEIGHT_MAX: u32 = 48_000;

/// Why a picture was refused.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Too large as it came.
    #[error("read a picture: {what} is {is}, its limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        is: u64,
        /// How large it may be.
        limit: u64,
    },
    /// Not base64.
    #[error("read a picture: it is not base64")]
    NotBase64,
    /// Not a readable PNG.
    #[error("read a picture as PNG")]
    NotPng(#[source] png::DecodingError),
}

/// A picture of black and white dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitmap {
    width: u32,
    height: u32,
    stride: usize,
    /// Rows of bytes, first dot in the highest bit, 1 is black.
    bits: Vec<u8>,
}

impl std::fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bitmap({}x{})", self.width, self.height)
    }
}

impl Bitmap {
    /// A white picture, cropped to the limits of this module.
    #[must_use]
    pub fn white(width: u32, height: u32) -> Self {
        let (width, height) = (width.min(WIDTH_MAX), height.min(HEIGHT_MAX));
        let stride = (width as usize).div_ceil(8);
        Self { width, height, stride, bits: vec![0; stride * height as usize] }
    }

    /// A picture from packed rows of `stride` bytes; rows that are not whole are left out.
    #[must_use]
    pub fn from_rows(stride: usize, bytes: &[u8]) -> Self {
        let stride = stride.clamp(1, WIDTH_MAX as usize / 8);
        let rows = (bytes.len() / stride).min(HEIGHT_MAX as usize);
        let width = u32::try_from(stride * 8).unwrap_or(WIDTH_MAX);
        let height = u32::try_from(rows).unwrap_or(HEIGHT_MAX);
        Self { width, height, stride, bits: bytes[..rows * stride].to_vec() }
    }

    /// Dots in a row.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The packed bytes of one row, first dot in the highest bit, 1 is black.
    #[must_use]
    pub fn row(&self, y: u32) -> &[u8] {
        let from = y as usize * self.stride;
        &self.bits[from..from + self.stride]
    }

    /// Whether a dot is black; outside is white.
    #[must_use]
    pub fn is_black(&self, x: u32, y: u32) -> bool {
        x < self.width
            && y < self.height
            && self.bits[y as usize * self.stride + (x / 8) as usize] & (0x80 >> (x % 8)) != 0
    }

    /// Sets a dot; outside nothing happens.
    pub fn set(&mut self, x: u32, y: u32, black: bool) {
        if x < self.width && y < self.height {
            let byte = &mut self.bits[y as usize * self.stride + (x / 8) as usize];
            let mask = 0x80 >> (x % 8);
            if black { *byte |= mask } else { *byte &= !mask }
        }
    }

    /// Blackens a rectangle.
    pub fn fill(&mut self, x: u32, y: u32, width: u32, height: u32) {
        for row in y..y.saturating_add(height).min(self.height) {
            for column in x..x.saturating_add(width).min(self.width) {
                self.set(column, row, true);
            }
        }
    }

    /// Turns every dot of a rectangle around.
    pub fn invert(&mut self, x: u32, y: u32, width: u32, height: u32) {
        for row in y..y.saturating_add(height).min(self.height) {
            for column in x..x.saturating_add(width).min(self.width) {
                self.set(column, row, !self.is_black(column, row));
            }
        }
    }

    /// Copies another picture's black dots to a place.
    pub fn draw(&mut self, other: &Self, x: u32, y: u32) {
        for row in 0..other.height {
            for column in 0..other.width {
                if other.is_black(column, row) {
                    self.set(x.saturating_add(column), y.saturating_add(row), true);
                }
            }
        }
    }

    /// Reads a PNG, scaled down to `width_max` dots if it is wider, and dithered.
    pub fn from_png(bytes: &[u8], width_max: u32) -> Result<Self, ImageError> {
        let too_large = |what, is, limit| ImageError::TooLarge { what, is, limit };
        if bytes.len() > IMAGE_BYTES_MAX {
            return Err(too_large("its size", bytes.len() as u64, IMAGE_BYTES_MAX as u64));
        }
        check_pixels(declared(bytes).unwrap_or_default())?;
        let limits = png::Limits { bytes: 32 << 20 };
        let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().map_err(ImageError::NotPng)?;
        check_pixels(reader.info().size())?;
        let size = reader.output_buffer_size().unwrap_or(usize::MAX);
        if size as u64 > 4 * IMAGE_PIXELS_MAX {
            return Err(too_large("its unpacked size", size as u64, 4 * IMAGE_PIXELS_MAX));
        }
        let mut buffer = vec![0; size];
        let frame = reader.next_frame(&mut buffer).map_err(ImageError::NotPng)?;
        let gray = Gray::from_frame(&buffer[..frame.buffer_size()], &frame);
        Ok(gray.scaled_to(width_max.min(WIDTH_MAX)).dithered())
    }

    /// Reads a PNG written as base64, as ReceiptLine and JSON documents carry it.
    pub fn from_base64_png(text: &str, width_max: u32) -> Result<Self, ImageError> {
        if text.len() > IMAGE_BYTES_MAX * 4 / 3 + 4 {
            return Err(ImageError::TooLarge {
                what: "its text",
                is: text.len() as u64,
                limit: (IMAGE_BYTES_MAX * 4 / 3 + 4) as u64,
            });
        }
        let bytes = STANDARD.decode(text).map_err(|_| ImageError::NotBase64)?;
        Self::from_png(&bytes, width_max)
    }

    /// Writes a PNG of one bit per dot.
    #[must_use]
    pub fn to_png(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (width, height) = (self.width.max(1), self.height.max(1));
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        let mut data: Vec<u8> = self.bits.iter().map(|byte| !byte).collect();
        data.resize((width as usize).div_ceil(8) * height as usize, 0xFF);
        encoder
            .write_header()
            .and_then(|mut writer| writer.write_image_data(&data))
            .expect("a picture of matching size written to memory cannot fail");
        bytes
    }
}

/// The size that a PNG's first chunk claims, before anything is unpacked.
fn declared(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR")?;
    let number = |at: usize| Some(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?));
    Some((number(0)?, number(4)?))
}

fn check_pixels((width, height): (u32, u32)) -> Result<(), ImageError> {
    let is = u64::from(width) * u64::from(height);
    let (what, limit) = ("its number of pixels", IMAGE_PIXELS_MAX);
    if is > limit { Err(ImageError::TooLarge { what, is, limit }) } else { Ok(()) }
}

/// Shades from 0 (black) to 255 (white).
struct Gray {
    width: u32,
    height: u32,
    shades: Vec<u8>,
}

impl Gray {
    fn from_frame(buffer: &[u8], frame: &png::OutputInfo) -> Self {
        let samples = frame.color_type.samples();
        let shades = buffer
            .chunks_exact(samples)
            .map(|pixel| match pixel {
                [gray] => *gray,
                [gray, alpha] => over_white(u32::from(*gray), *alpha),
                [red, green, blue] => over_white(luma(*red, *green, *blue), 255),
                [red, green, blue, alpha, ..] => over_white(luma(*red, *green, *blue), *alpha),
                [] => 255,
            })
            .collect();
        Self { width: frame.width, height: frame.height, shades }
    }

    /// The mean of the pixels under each dot; never enlarges.
    fn scaled_to(self, width_max: u32) -> Self {
        let long = self.height > HEIGHT_MAX;
        if (self.width <= width_max && !long) || width_max == 0 {
            return self;
        }
        let width = self.width.min(width_max);
        let height =
            u32::try_from(u64::from(self.height) * u64::from(width) / u64::from(self.width))
                .unwrap_or(HEIGHT_MAX)
                .clamp(1, HEIGHT_MAX);
        let mut shades = Vec::with_capacity(width as usize * height as usize);
        for y in 0..height {
            let rows = span(y, height, self.height);
            for x in 0..width {
                shades.push(self.mean(span(x, width, self.width), rows.clone()));
            }
        }
        Self { width, height, shades }
    }

    fn mean(&self, columns: std::ops::Range<u32>, rows: std::ops::Range<u32>) -> u8 {
        let mut sum = 0u64;
        let mut count = 0u64;
        for y in rows {
            for x in columns.clone() {
                let at = y as usize * self.width as usize + x as usize;
                sum += u64::from(self.shades.get(at).copied().unwrap_or(255));
                count += 1;
            }
        }
        u8::try_from(sum / count.max(1)).unwrap_or(255)
    }

    /// Floyd and Steinberg's error diffusion; pure black and white stay what they are.
    fn dithered(self) -> Bitmap {
        let mut bitmap = Bitmap::white(self.width, self.height);
        let width = self.width as usize;
        let mut current = vec![0i32; width + 2];
        for y in 0..bitmap.height {
            let mut next = vec![0i32; width + 2];
            for x in 0..width {
                let shade = self.shades.get(y as usize * width + x).copied().unwrap_or(255);
                let wanted = i32::from(shade) + current[x + 1] / 16;
                let black = wanted < 128;
                let error = wanted - if black { 0 } else { 255 };
                current[x + 2] += error * 7;
                next[x] += error * 3;
                next[x + 1] += error * 5;
                next[x + 2] += error;
                if black {
                    bitmap.set(u32::try_from(x).unwrap_or(u32::MAX), y, true);
                }
            }
            current = next;
        }
        bitmap
    }
}

fn span(at: u32, of: u32, total: u32) -> std::ops::Range<u32> {
    let edge =
        |n: u32| u32::try_from(u64::from(n) * u64::from(total) / u64::from(of)).unwrap_or(total);
    let from = edge(at);
    from..edge(at + 1).max(from + 1)
}

fn luma(red: u8, green: u8, blue: u8) -> u32 {
    (u32::from(red) * 299 + u32::from(green) * 587 + u32::from(blue) * 114) / 1000
}

fn over_white(shade: u32, alpha: u8) -> u8 {
    let alpha = u32::from(alpha);
    u8::try_from((shade * alpha + 255 * (255 - alpha)) / 255).unwrap_or(255)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_picture_survives_png_and_back() {
        let mut bitmap = Bitmap::white(13, 7);
        bitmap.fill(2, 1, 5, 3);
        bitmap.set(12, 6, true);
        assert_eq!(Bitmap::from_png(&bitmap.to_png(), 576).unwrap(), bitmap);
    }

    #[test]
    fn a_wide_picture_is_scaled_to_the_paper() {
        let mut bitmap = Bitmap::white(1200, 300);
        bitmap.fill(0, 0, 600, 300);
        let scaled = Bitmap::from_png(&bitmap.to_png(), 384).unwrap();
        assert_eq!((scaled.width(), scaled.height()), (384, 96));
        assert!(scaled.is_black(0, 0) && !scaled.is_black(383, 95));
    }

    #[test]
    fn a_picture_of_too_many_pixels_is_refused_by_its_header() {
        let mut bytes = Bitmap::white(8, 8).to_png();
        // The header's width and height, 40,000 each; its check is corrected.
        bytes[16..24].copy_from_slice(&[0, 0, 0x9C, 0x40, 0, 0, 0x9C, 0x40]);
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        assert!(matches!(Bitmap::from_png(&bytes, 576), Err(ImageError::TooLarge { .. })));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |mut crc, byte| {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xEDB8_8320 & (0u32.wrapping_sub(crc & 1)));
            }
            crc
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_picture_or_an_error(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200), start in any::<bool>(),
        ) {
            if start {
                let mut whole = Bitmap::white(9, 9).to_png();
                let at = bytes.len() % whole.len();
                whole.truncate(at);
                whole.append(&mut bytes);
                bytes = whole;
            }
            let _ = Bitmap::from_png(&bytes, 100);
        }
    }
}
