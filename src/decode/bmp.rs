//! BMP without run lengths: a header, perhaps a palette, and bare rows.

use super::image_file::{Cause, ImageFile};
use crate::image::Image;

const REMEDY: &str = "save it uncompressed with 24 bits per pixel, or as PNG";

/// The masks of red, green, blue and alpha that Pillow knows for 32 bits. Each is of one byte.
const MASKS_32: [[u32; 4]; 7] = [
    [0xFF_0000, 0xFF00, 0xFF, 0],
    [0xFF00_0000, 0xFF_0000, 0xFF00, 0],
    [0xFF00_0000, 0xFF00, 0xFF, 0],
    [0xFF00_0000, 0xFF_0000, 0xFF00, 0xFF],
    [0xFF, 0xFF00, 0xFF_0000, 0xFF00_0000],
    [0xFF_0000, 0xFF00, 0xFF, 0xFF00_0000],
    [0xFF00_0000, 0xFF00, 0xFF, 0xFF_0000],
];
const BGR: [usize; 3] = [2, 1, 0];

/// How a pixel is written.
enum Pixel {
    /// As an index of this many bits.
    Index(usize, Box<[[u8; 3]; 256]>),
    /// As 16 bits: 5, 5 or 6, and 5; this is the number of green.
    Word(u32),
    /// As this many bytes; then, where in them red, green and blue are.
    Bytes(usize, [usize; 3]),
}

/// A BMP whose header has been read.
pub struct Bmp<'a> {
    width: u32,
    height: u32,
    top_down: bool,
    pixel: Pixel,
    /// From the first pixel to the end of the file.
    rows: &'a [u8],
}

impl<'a> Bmp<'a> {
    /// Reads the header and the palette, as Pillow 13's `BmpImageFile._bitmap`.
    pub fn open(bytes: &'a [u8]) -> Cause<Self> {
        let header = Header { bytes };
        let (start, size) = (header.u32(10)?, header.u32(14)?);
        if !matches!(size, 12 | 40 | 52 | 56 | 64 | 108 | 124) {
            return Err(format!("a header of {size} bytes is unsupported; {REMEDY}"));
        }
        if bytes.len() < 14 + size as usize {
            return Err("the file ends in the header".into());
        }
        let os2 = size == 12;
        let (width, height, bits, compression, count) = if os2 {
            (header.u16(18)?, header.u16(20)?, header.u16(24)?, 0, 0)
        } else {
            let (compression, count) = (header.u32(30)?, header.u32(46)?);
            (header.u32(18)?, header.u32(22)?, header.u16(28)?, compression, count)
        };
        // Pillow guesses another position in both cases.
        if start == 0 || (bits <= 8 && start == 14 + size) {
            return Err(format!("its header does not say where the pixels begin; {REMEDY}"));
        }
        let pixel = match (bits, compression) {
            (1 | 4 | 8, 0) => {
                let count = if count == 0 { 1 << bits } else { count };
                let entry = if os2 { 3 } else { 4 };
                Pixel::Index(bits as usize, palette(bytes, 14 + size as usize, entry, count, bits)?)
            }
            (16, 0) => Pixel::Word(5),
            (24, 0) => Pixel::Bytes(3, BGR),
            (32, 0) => Pixel::Bytes(4, BGR),
            (16 | 24 | 32, 3) => fields(&header, size, bits)?,
            _ => {
                return Err(format!(
                    "{bits} bits per pixel with compression {compression} are unsupported; {REMEDY}"
                ));
            }
        };
        // Pillow tells a negative height by its highest byte.
        let top_down = !os2 && height >> 24 == 0xFF;
        let height = if top_down { height.wrapping_neg() } else { height };
        let rows = bytes.get(start as usize..).unwrap_or_default();
        Ok(Self { width, height, top_down, pixel, rows })
    }

    /// Bytes of a row, and from row to row.
    fn row(&self) -> (usize, usize) {
        let bits = self.width as usize * self.pixel.bits();
        (bits.div_ceil(8), bits.div_ceil(32) * 4)
    }
}

impl ImageFile for Bmp<'_> {
    fn shape(&self) -> (u32, u32) {
        (self.height, self.width)
    }

    fn read(self: Box<Self>, image: &mut Image) -> Cause<()> {
        let (length, stride) = self.row();
        let needed = stride.saturating_mul(self.height as usize - 1).saturating_add(length);
        if self.rows.len() < needed {
            let there = self.rows.len();
            return Err(format!("the file is truncated: {there} of {needed} bytes of pixels"));
        }
        image.reshape(self.width, self.height);
        let (width, height) = (self.width as usize, self.height as usize);
        for (y, row) in image.data.chunks_exact_mut(3 * width).enumerate() {
            let at = stride * if self.top_down { y } else { height - 1 - y };
            self.pixel.read(&self.rows[at..][..length], row);
        }
        Ok(())
    }
}

impl Pixel {
    fn bits(&self) -> usize {
        match self {
            Self::Index(bits, _) => *bits,
            Self::Word(_) => 16,
            Self::Bytes(bytes, _) => 8 * bytes,
        }
    }

    /// One row to RGB.
    fn read(&self, row: &[u8], rgb: &mut [u8]) {
        let pixels = rgb.chunks_exact_mut(3);
        match self {
            Self::Index(bits, palette) => {
                for (x, rgb) in pixels.enumerate() {
                    let shift = 8 - bits - x * bits % 8;
                    let index = row[x * bits / 8] >> shift & (0xFF >> (8 - bits));
                    rgb.copy_from_slice(&palette[usize::from(index)]);
                }
            }
            Self::Word(green) => {
                for (pixel, rgb) in row.chunks_exact(2).zip(pixels) {
                    let pixel = u32::from(u16::from_le_bytes([pixel[0], pixel[1]]));
                    // Pillow's division truncates.
                    let part = |at: u32, bits: u32| {
                        let max = (1 << bits) - 1;
                        ((pixel >> at & max) * 255 / max) as u8
                    };
                    rgb.copy_from_slice(&[part(5 + green, 5), part(5, *green), part(0, 5)]);
                }
            }
            Self::Bytes(bytes, at) => {
                for (pixel, rgb) in row.chunks_exact(*bytes).zip(pixels) {
                    rgb.copy_from_slice(&at.map(|at| pixel[at]));
                }
            }
        }
    }
}

/// Little-endian fields at positions in the file.
struct Header<'a> {
    bytes: &'a [u8],
}

impl Header<'_> {
    fn at<const N: usize>(&self, at: usize) -> Cause<[u8; N]> {
        let field = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        field.copied().ok_or_else(|| "the file ends in the header".into())
    }

    fn u16(&self, at: usize) -> Cause<u32> {
        self.at(at).map(|field| u16::from_le_bytes(field).into())
    }

    fn u32(&self, at: usize) -> Cause<u32> {
        self.at(at).map(u32::from_le_bytes)
    }
}

/// The pixel of bit fields.
fn fields(header: &Header, size: u32, bits: u32) -> Cause<Pixel> {
    // Headers of 40 bytes are followed by the masks of the colours; longer ones have them there.
    let mask = |i: usize| header.u32(54 + 4 * i);
    let alpha = if size >= 56 { mask(3)? } else { 0 };
    let masks = [mask(0)?, mask(1)?, mask(2)?, alpha];
    match (bits, masks) {
        (16, [0xF800, 0x7E0, 0x1F, _]) => Ok(Pixel::Word(6)),
        (16, [0x7C00, 0x3E0, 0x1F, _]) => Ok(Pixel::Word(5)),
        (24, [0xFF_0000, 0xFF00, 0xFF, _]) => Ok(Pixel::Bytes(3, BGR)),
        (32, [0, 0, 0, 0]) => Ok(Pixel::Bytes(4, BGR)),
        (32, masks) if MASKS_32.contains(&masks) => {
            let [red, green, blue, _] = masks.map(|mask| mask.trailing_zeros() as usize / 8);
            Ok(Pixel::Bytes(4, [red, green, blue]))
        }
        _ => Err(format!("bit fields {masks:X?} of {bits} bits are unsupported; {REMEDY}")),
    }
}

/// The palette of `count` colours; indices beyond them are black.
fn palette(
    bytes: &[u8],
    at: usize,
    entry: usize,
    count: u32,
    bits: u32,
) -> Cause<Box<[[u8; 3]; 256]>> {
    if count > 256 {
        return Err(format!("a palette of {count} colours is unsupported; {REMEDY}"));
    }
    let entries = bytes.get(at..).and_then(|rest| rest.get(..entry * count as usize));
    let entries = entries.ok_or("the file ends in the palette")?;
    let mut palette = Box::new([[0; 3]; 256]);
    for (bgr, rgb) in entries.chunks_exact(entry).zip(&mut *palette) {
        *rgb = BGR.map(|at| bgr[at]);
    }
    // Pillow ignores a palette of the greys 0, 1, 2... (or of black and white), and then reads grey
    // of 8 bits (or of 1), even if the header says otherwise.
    let grey = |i: usize| if count == 2 { [255 * i as u8; 3] } else { [i as u8; 3] };
    let greys = (0..count as usize).all(|i| palette[i] == grey(i));
    if greys && !matches!((bits, count), (1, 2) | (8, 256)) {
        return Err(format!("a palette of {count} greys for {bits} bits is unsupported; {REMEDY}"));
    }
    Ok(palette)
}
