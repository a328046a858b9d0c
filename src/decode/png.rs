//! PNG through the crate `png`.

use std::io::Cursor;

use png::{BitDepth, ColorType, DecodeOptions, Decoder, Reader, Transformations};

use super::image_file::{Cause, ImageFile, check_ratio};
use crate::image::Image;
use crate::memory::{self, Promise};

/// Bytes that one byte of a deflate stream can stand for, at most.
const DEFLATE_RATIO: u64 = 1032;

/// What the crate takes for the pixels of the smallest images.
const BUFFER: usize = 512 << 10;

/// A PNG whose header has been read. Of an animation, its default image.
pub struct Png<'a> {
    reader: Reader<Cursor<&'a [u8]>>,
    length: usize,
}

impl<'a> Png<'a> {
    /// Reads the chunks before the pixels.
    pub fn open(bytes: &'a [u8]) -> Cause<Self> {
        // The chunks before the pixels are read into a buffer that is doubled, and some are kept.
        let _promise = Promise::new(before_pixels(bytes).saturating_mul(4));
        let open = || {
            let mut options = DecodeOptions::default();
            // As Pillow: the checksum of the pixels is compared.
            options.set_ignore_adler32(false);
            // Pixels don't depend on these, which may unpack to megabytes.
            options.set_ignore_text_chunk(true);
            options.set_ignore_iccp_chunk(true);
            let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
            let indexed = decoder.read_header_info()?.color_type == ColorType::Indexed;
            // The crate panics if a palette's last colour is incomplete. Pillow ignores that
            // colour.
            decoder.set_transformations(match indexed {
                true => Transformations::IDENTITY,
                false => Transformations::EXPAND,
            });
            decoder.read_info()
        };
        let reader = open().map_err(|error: png::DecodingError| error.to_string())?;
        Ok(Self { reader, length: bytes.len() })
    }
}

impl ImageFile for Png<'_> {
    fn shape(&self) -> (u32, u32) {
        (self.reader.info().height, self.reader.info().width)
    }

    fn read(mut self: Box<Self>, image: &mut Image) -> Cause<()> {
        let (height, width) = self.shape();
        let info = self.reader.info();
        let packed = info.raw_row_length() as u64 * u64::from(height);
        check_ratio(self.length, packed, DEFLATE_RATIO)?;
        let row = info.raw_row_length();
        // A buffer of a few rows that is doubled, and the row before.
        let rows = row.saturating_mul(8).min(packed as usize);
        let _promise = Promise::new(rows.saturating_mul(4).saturating_add(BUFFER));
        let size = self.reader.output_buffer_size().ok_or("the image exceeds the memory")?;
        let (color, depth) = self.reader.output_color_type();
        image.reshape(width, height);
        if (color, depth) == (ColorType::Rgb, BitDepth::Eight) {
            self.reader.next_frame(&mut image.data).map_err(|error| error.to_string())?;
            return Ok(());
        }
        let mut samples = memory::zeroed(size);
        self.reader.next_frame(&mut samples).map_err(|error| error.to_string())?;
        if color == ColorType::Indexed {
            let palette = self.reader.info().palette.as_deref().ok_or("it has no palette")?;
            look_up(&samples, depth, palette, image);
            return Ok(());
        }
        let grey_only = color == ColorType::Grayscale
            || (color == ColorType::GrayscaleAlpha
                && self.reader.info().color_type == ColorType::Grayscale);
        let bytes = if depth == BitDepth::Sixteen { 2 } else { 1 };
        let pixels = samples.chunks_exact(color.samples() * bytes);
        for (pixel, rgb) in pixels.zip(image.data.chunks_exact_mut(3)) {
            match color {
                // Pillow's mode `I;16` clips to 8 bits; its other modes keep the high byte.
                _ if grey_only && bytes == 2 && pixel[0] != 0 => rgb.fill(255),
                _ if grey_only && bytes == 2 => rgb.fill(pixel[1]),
                ColorType::Grayscale | ColorType::GrayscaleAlpha => rgb.fill(pixel[0]),
                _ => rgb.copy_from_slice(&[pixel[0], pixel[bytes], pixel[2 * bytes]]),
            }
        }
        Ok(())
    }
}

/// Where the first chunk of pixels begins.
fn before_pixels(bytes: &[u8]) -> usize {
    const SIGNATURE: usize = 8;
    let mut at = SIGNATURE;
    while let Some(&[a, b, c, d, name @ ..]) =
        bytes.get(at..at.saturating_add(8)).and_then(|chunk| chunk.first_chunk::<8>())
    {
        if &name == b"IDAT" {
            break;
        }
        at = at.saturating_add(12 + u32::from_be_bytes([a, b, c, d]) as usize);
    }
    at.min(bytes.len())
}

/// The colours of packed indices. Indices beyond the palette are black, as in Pillow.
fn look_up(packed: &[u8], depth: BitDepth, palette: &[u8], image: &mut Image) {
    let mut colors = [[0; 3]; 256];
    for (color, rgb) in colors.iter_mut().zip(palette.chunks_exact(3)) {
        color.copy_from_slice(rgb);
    }
    let bits = depth as usize;
    let mask = 0xFF >> (8 - bits);
    let width = image.width as usize;
    let rows = packed.chunks_exact((width * bits).div_ceil(8));
    for (row, out) in rows.zip(image.data.chunks_exact_mut(width * 3)) {
        for (x, rgb) in out.chunks_exact_mut(3).enumerate() {
            let at = x * bits;
            let index = row[at / 8] >> (8 - bits - at % 8) & mask;
            rgb.copy_from_slice(&colors[usize::from(index)]);
        }
    }
}
