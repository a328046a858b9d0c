//! BMP, as Pillow's `BmpImagePlugin` reads it. The crate `image` widens 5 and 6 bits differently and
//! fills skipped pixels of run-length codes differently, so the format is read here.

use crate::error::{Error, Result};
use crate::image::Image;

const FILE_HEADER: usize = 14;

/// A BMP whose header has been read.
pub struct Bmp<'a> {
    bytes: &'a [u8],
    width: u32,
    height: u32,
    top_down: bool,
    pixels: Pixels,
    colors: Vec<[u8; 3]>,
    start: usize,
}

/// How a row is coded.
#[derive(Clone, Copy)]
enum Pixels {
    /// Indices of 1, 4 or 8 bits, most significant first.
    Indices(usize),
    /// Run lengths of indices of 4 or 8 bits.
    Runs(usize),
    /// 16 bits, with so many bits of green.
    Packed { green: u32 },
    /// Whole bytes: how many a pixel, and where in it are red, green and blue.
    Bytes(usize, [usize; 3]),
}

impl<'a> Bmp<'a> {
    /// Reads the header and the palette.
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        Self::parse(bytes).map_err(|cause| Error::decode("BMP", cause))
    }

    fn parse(bytes: &'a [u8]) -> std::result::Result<Self, String> {
        let header = u32_at(bytes, FILE_HEADER)? as usize;
        let mut end = FILE_HEADER + header;
        let old = header == 12;
        let (width, height, bits, compression, used) = match header {
            12 => {
                let [width, height] = [18, 20].map(|at| u16_at(bytes, at));
                (u32::from(width?), u32::from(height?), u16_at(bytes, 24)?, 0, 0)
            }
            40 | 52 | 56 | 64 | 108 | 124 => {
                let [width, height, compression, used] =
                    [18, 22, 30, 46].map(|at| u32_at(bytes, at));
                (width?, height?, u16_at(bytes, 28)?, compression?, used?)
            }
            other => return Err(format!("a header of {other} bytes is of no known version")),
        };
        // Only a height of this sign byte is negative to Pillow.
        let top_down = !old && height >> 24 == 0xFF;
        let height = if top_down { height.wrapping_neg() } else { height };
        let mut masks = [0; 4];
        if compression == 3 {
            for (i, mask) in masks.iter_mut().enumerate().take(if header >= 56 { 4 } else { 3 }) {
                *mask = u32_at(bytes, FILE_HEADER + 40 + 4 * i)?;
            }
            if header == 40 {
                end += 12;
            }
        }
        let pixels = layout(bits, compression, masks)?;
        let count = if used == 0 { 1usize << bits.min(16) } else { used as usize };
        let entry = if old { 3 } else { 4 };
        let mut start = u32_at(bytes, 10)? as usize;
        let indexed = matches!(pixels, Pixels::Indices(_) | Pixels::Runs(_));
        if indexed && count > 65536 {
            return Err(format!("a palette of {count} colours is too large"));
        }
        if indexed && start == FILE_HEADER + header {
            start += entry * count;
        }
        let mut colors = Vec::new();
        if indexed {
            let palette = bytes.get(end..).ok_or("the file is truncated")?;
            let palette = &palette[..palette.len().min(entry * count)];
            colors = palette.chunks_exact(entry).map(|bgr| [bgr[2], bgr[1], bgr[0]]).collect();
            end += entry * count;
            colors.resize(256, [0; 3]);
        }
        let start = if start == 0 { end } else { start };
        Ok(Self { bytes, width, height, top_down, pixels, colors, start })
    }

    /// Height and width in pixels.
    pub fn shape(&self) -> (u32, u32) {
        (self.height, self.width)
    }

    /// Decodes the pixels.
    pub fn read(self, image: &mut Image) -> std::result::Result<(), String> {
        let data = self.bytes.get(self.start..).ok_or("the file is truncated")?;
        let (width, height) = (self.width as usize, self.height as usize);
        let bits = match self.pixels {
            Pixels::Indices(bits) => bits,
            Pixels::Packed { .. } => 16,
            Pixels::Bytes(bytes, _) => bytes * 8,
            Pixels::Runs(bits) => {
                let indices = self.runs(bits == 4)?;
                let rows = indices.chunks_exact(width);
                self.rows(image, rows, |row, rgb| self.indices(row, 8, rgb));
                return Ok(());
            }
        };
        let stride = (width * bits).div_ceil(32) * 4;
        let last = (width * bits).div_ceil(8);
        if data.len() < stride * (height - 1) + last {
            return Err("the file is truncated".into());
        }
        self.rows(image, data.chunks(stride), |row, rgb| match self.pixels {
            Pixels::Packed { green } => packed(row, green, rgb),
            Pixels::Bytes(bytes, order) => {
                for (pixel, rgb) in row.chunks_exact(bytes).zip(rgb.chunks_exact_mut(3)) {
                    rgb.copy_from_slice(&order.map(|at| pixel[at]));
                }
            }
            Pixels::Indices(_) | Pixels::Runs(_) => self.indices(row, bits, rgb),
        });
        Ok(())
    }

    /// Applies `read` to each row of the file and its place in the image.
    fn rows<'r>(
        &self,
        image: &mut Image,
        rows: impl Iterator<Item = &'r [u8]>,
        read: impl Fn(&[u8], &mut [u8]),
    ) {
        image.reshape(self.width, self.height);
        let out = image.data.chunks_exact_mut(self.width as usize * 3);
        if self.top_down {
            rows.zip(out).for_each(|(row, rgb)| read(row, rgb));
        } else {
            rows.zip(out.rev()).for_each(|(row, rgb)| read(row, rgb));
        }
    }

    fn indices(&self, row: &[u8], bits: usize, rgb: &mut [u8]) {
        for (x, rgb) in rgb.chunks_exact_mut(3).enumerate() {
            let shift = 8 - bits - x * bits % 8;
            let index = row[x * bits / 8] >> shift & (0xFF >> (8 - bits));
            rgb.copy_from_slice(&self.colors[usize::from(index)]);
        }
    }

    /// The indices behind run-length codes; what the codes skip is 0.
    fn runs(&self, half: bool) -> std::result::Result<Vec<u8>, String> {
        let (width, height) = (self.width as usize, self.height as usize);
        let total = width * height;
        let mut out: Vec<u8> = Vec::new();
        let (mut at, mut x) = (self.start, 0);
        while out.len() < total {
            let Some(&[count, value]) = self.bytes.get(at..).and_then(|rest| rest.first_chunk())
            else {
                break;
            };
            at += 2;
            match (count, value) {
                (0, 0) => {
                    out.resize(out.len().next_multiple_of(width), 0);
                    x = 0;
                }
                (0, 1) => break,
                (0, 2) => {
                    let Some(&[right, up]) =
                        self.bytes.get(at..).and_then(|rest| rest.first_chunk())
                    else {
                        break;
                    };
                    at += 2;
                    let skip = usize::from(right) + usize::from(up) * width;
                    out.resize((out.len() + skip).min(total), 0);
                    x = out.len() % width;
                }
                (0, count) => {
                    let pixels = usize::from(count).min(total - out.len());
                    let bytes = if half { pixels.div_ceil(2) } else { pixels };
                    let Some(literal) = self.bytes.get(at..at + bytes) else {
                        break;
                    };
                    at += bytes;
                    if half {
                        let nibbles = literal.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                        out.extend(nibbles.take(pixels));
                    } else {
                        out.extend_from_slice(literal);
                    }
                    x += usize::from(count);
                    // Pillow aligns to the file, not to the data.
                    at += at % 2;
                }
                (count, value) => {
                    let pixels = usize::from(count).min(width.saturating_sub(x));
                    let pair = if half { [value >> 4, value & 15] } else { [value; 2] };
                    out.extend(pair.into_iter().cycle().take(pixels));
                    x += pixels;
                }
            }
        }
        if out.len() < total { Err("the file is truncated".into()) } else { Ok(out) }
    }
}

/// The coding that Pillow takes for these fields of the header.
fn layout(bits: u16, compression: u32, masks: [u32; 4]) -> std::result::Result<Pixels, String> {
    const BGR: [usize; 3] = [2, 1, 0];
    Ok(match (compression, bits, masks) {
        (0, 1 | 4 | 8, _) => Pixels::Indices(bits.into()),
        (1, 8, _) => Pixels::Runs(8),
        (2, 4, _) => Pixels::Runs(4),
        (0, 16, _) | (3, 16, [0x7C00, 0x3E0, 0x1F, _]) => Pixels::Packed { green: 5 },
        (3, 16, [0xF800, 0x7E0, 0x1F, _]) => Pixels::Packed { green: 6 },
        (0, 24, _) | (3, 24, [0xFF_0000, 0xFF00, 0xFF, _]) => Pixels::Bytes(3, BGR),
        (0, 32, _) | (3, 32, [0, 0, 0, 0] | [0xFF_0000, 0xFF00, 0xFF, 0 | 0xFF00_0000]) => {
            Pixels::Bytes(4, BGR)
        }
        (3, 32, [0xFF00_0000, 0xFF_0000, 0xFF00, 0 | 0xFF]) => Pixels::Bytes(4, [3, 2, 1]),
        (3, 32, [0xFF00_0000, 0xFF00, 0xFF, 0 | 0xFF_0000]) => Pixels::Bytes(4, [3, 1, 0]),
        (3, 32, [0xFF, 0xFF00, 0xFF_0000, 0xFF00_0000]) => Pixels::Bytes(4, [0, 1, 2]),
        _ => {
            return Err(format!(
                "{bits} bits a pixel with compression {compression} are unsupported"
            ));
        }
    })
}

/// Pixels of 16 bits; 5 and 6 bits widen by `v * 255 / max`, as in Pillow.
fn packed(row: &[u8], green: u32, rgb: &mut [u8]) {
    for (pixel, rgb) in row.chunks_exact(2).zip(rgb.chunks_exact_mut(3)) {
        let pixel = u32::from(u16::from_le_bytes([pixel[0], pixel[1]]));
        let max = (1 << green) - 1;
        rgb[0] = ((pixel >> (5 + green) & 31) * 255 / 31) as u8;
        rgb[1] = ((pixel >> 5 & max) * 255 / max) as u8;
        rgb[2] = ((pixel & 31) * 255 / 31) as u8;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> std::result::Result<u16, String> {
    let field =
        bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or("the header is truncated")?;
    Ok(u16::from_le_bytes(*field))
}

fn u32_at(bytes: &[u8], at: usize) -> std::result::Result<u32, String> {
    let field =
        bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or("the header is truncated")?;
    Ok(u32::from_le_bytes(*field))
}
