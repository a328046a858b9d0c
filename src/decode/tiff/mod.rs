//! TIFF, first page, as Pillow's `TiffImagePlugin` reads it: also turned as its orientation tag says,
//! which Pillow does for this format alone.
//!
//! The crate `image` reads neither palettes nor several depths, and widens others differently, so the
//! format is read here; the decompressors are those that it uses.

mod chunks;
mod directory;

use chunks::Compression;
use directory::Directory;

use super::cmyk::to_rgb;
use crate::error::{Error, Result};
use crate::image::Image;

mod tag {
    pub const WIDTH: u16 = 256;
    pub const HEIGHT: u16 = 257;
    pub const BITS: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const FILL_ORDER: u16 = 266;
    pub const STRIP_OFFSETS: u16 = 273;
    pub const ORIENTATION: u16 = 274;
    pub const SAMPLES: u16 = 277;
    pub const ROWS_PER_STRIP: u16 = 278;
    pub const STRIP_SIZES: u16 = 279;
    pub const PLANAR: u16 = 284;
    pub const PREDICTOR: u16 = 317;
    pub const COLORS: u16 = 320;
    pub const TILE_WIDTH: u16 = 322;
    pub const TILE_HEIGHT: u16 = 323;
    pub const TILE_OFFSETS: u16 = 324;
    pub const TILE_SIZES: u16 = 325;
    pub const EXTRA: u16 = 338;
    pub const FORMAT: u16 = 339;
}

type Cause<T> = std::result::Result<T, String>;

/// A TIFF whose first directory has been read.
pub struct Tiff<'a> {
    bytes: &'a [u8],
    directory: Directory<'a>,
    width: usize,
    height: usize,
    orientation: u32,
}

/// What the samples mean, and so how many of them are needed.
enum Color {
    Grey { inverted: bool },
    Palette(Vec<[u8; 3]>),
    Rgb,
    Premultiplied,
    Cmyk,
}

/// How the samples are stored.
struct Layout {
    color: Color,
    bits: usize,
    samples: usize,
    planar: bool,
    predictor: bool,
    reversed: bool,
    compression: Compression,
}

impl<'a> Tiff<'a> {
    /// Reads the first directory.
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let open = || {
            let directory = Directory::open(bytes)?;
            let [width, height] = [tag::WIDTH, tag::HEIGHT].map(|tag| directory.first(tag, 0));
            let orientation = directory.first(tag::ORIENTATION, 1)?;
            let (width, height) = (width? as usize, height? as usize);
            Ok(Self { bytes, directory, width, height, orientation })
        };
        open().map_err(|cause: String| Error::decode("TIFF", cause))
    }

    /// Height and width in pixels, of the image as it is turned.
    pub fn shape(&self) -> (u32, u32) {
        let (height, width) = (self.height as u32, self.width as u32);
        if (5..=8).contains(&self.orientation) { (width, height) } else { (height, width) }
    }

    /// Decodes the pixels.
    pub fn read(self, image: &mut Image) -> Cause<()> {
        let layout = self.layout()?;
        let samples = self.samples(&layout)?;
        let (height, width) = self.shape();
        image.reshape(width, height);
        if (2..=8).contains(&self.orientation) {
            let mut pixels = vec![0; image.data.len()];
            layout.color.convert(&samples, &mut pixels);
            self.turn(&pixels, &mut image.data);
        } else {
            layout.color.convert(&samples, &mut image.data);
        }
        Ok(())
    }

    /// Understands the tags, or refuses what Pillow refuses too.
    fn layout(&self) -> Cause<Layout> {
        let directory = &self.directory;
        let compression = Compression::from_tag(directory.first(tag::COMPRESSION, 1)?)?;
        let photometric = directory.first(tag::PHOTOMETRIC, 0)?;
        let samples = directory.first(tag::SAMPLES, 1)?;
        let depths = directory.all(tag::BITS)?.unwrap_or_else(|| vec![1]);
        let extra = directory.all(tag::EXTRA)?.unwrap_or_default();
        let format = directory.first(tag::FORMAT, 1)?;
        let bits = depths.first().copied().unwrap_or(1);
        let used = depths.get(..samples as usize).unwrap_or(&depths);
        let extra_alpha = extra.first().copied();
        let color = match (photometric, bits, samples) {
            (0, 1 | 2 | 4 | 8, 1) => Color::Grey { inverted: true },
            (0, 16, 1) if !directory.big_endian => Color::Grey { inverted: false },
            (1, 1 | 2 | 4 | 8 | 16, 1) => Color::Grey { inverted: false },
            (1, 8, 2) if extra_alpha == Some(2) => Color::Grey { inverted: false },
            (2, 8 | 16, 4..=6) if extra_alpha == Some(1) => Color::Premultiplied,
            (2, 8 | 16, 3..=6) => Color::Rgb,
            (3, 1 | 2 | 4 | 8, 1) | (3, 8, 2) => Color::Palette(self.palette(bits)?),
            (5, 8 | 16, 4..=6) => Color::Cmyk,
            _ => {
                return Err(format!(
                    "{samples} samples of {bits} bits with photometric interpretation {photometric} \
                     are not supported"
                ));
            }
        };
        if format != 1 || used.iter().any(|&depth| depth != bits) {
            return Err(
                "samples that are signed, floating or of unequal depths are not supported".into()
            );
        }
        let predictor = match directory.first(tag::PREDICTOR, 1)? {
            2 if compression.predicts() && bits >= 8 => true,
            other if other > 1 && compression.predicts() => {
                return Err(format!("predictor {other} at {bits} bits is not supported"));
            }
            _ => false,
        };
        Ok(Layout {
            color,
            bits: bits as usize,
            samples: samples as usize,
            planar: directory.first(tag::PLANAR, 1)? == 2,
            predictor,
            reversed: directory.first(tag::FILL_ORDER, 1)? == 2,
            compression,
        })
    }

    /// The colour map: all reds, all greens, all blues, of 16 bits.
    fn palette(&self, bits: u32) -> Cause<Vec<[u8; 3]>> {
        let map = self.directory.all(tag::COLORS)?.ok_or("the palette is missing")?;
        let count = 1usize << bits;
        let (red, rest) = map.split_at_checked(count).ok_or("the palette is too short")?;
        let (green, blue) = rest.split_at_checked(count).ok_or("the palette is too short")?;
        let colors = red.iter().zip(green).zip(blue);
        let colors: Vec<_> =
            colors.map(|((&r, &g), &b)| [r, g, b].map(|value| (value >> 8) as u8)).collect();
        if colors.len() < count { Err("the palette is too short".into()) } else { Ok(colors) }
    }

    /// All samples that the colour needs, interleaved and of 8 bits.
    fn samples(&self, layout: &Layout) -> Cause<Vec<u8>> {
        let directory = &self.directory;
        let (w, h, offsets, sizes) = match directory.all(tag::TILE_OFFSETS)? {
            Some(offsets) if directory.all(tag::STRIP_OFFSETS)?.is_none() => {
                let w = directory.first(tag::TILE_WIDTH, 0)? as usize;
                let h = directory.first(tag::TILE_HEIGHT, 0)? as usize;
                (w, h, offsets, directory.all(tag::TILE_SIZES)?)
            }
            _ => {
                let offsets = directory.all(tag::STRIP_OFFSETS)?.ok_or("there are no pixels")?;
                let rows = directory.first(tag::ROWS_PER_STRIP, u32::MAX)? as usize;
                (self.width, rows.min(self.height), offsets, directory.all(tag::STRIP_SIZES)?)
            }
        };
        if w == 0 || h == 0 {
            return Err("strips or tiles of no pixels".into());
        }
        let tiled = w != self.width || directory.all(tag::STRIP_OFFSETS)?.is_none();
        let (across, down) = (self.width.div_ceil(w), self.height.div_ceil(h));
        let channels = layout.color.channels();
        let (planes, step) = if layout.planar { (channels, 1) } else { (1, layout.samples) };
        if offsets.len() < planes * across * down {
            return Err("strips or tiles are missing".into());
        }
        let stride = w.checked_mul(step * layout.bits).ok_or("tiles are too large")?.div_ceil(8);
        let mut out = Vec::new();
        for (i, &offset) in offsets.iter().enumerate().take(planes * across * down) {
            let (plane, i_in_plane) = (i / (across * down), i % (across * down));
            let (left, top) = (i_in_plane % across * w, i_in_plane / across * h);
            let rows = h.min(self.height - top);
            let size =
                stride.checked_mul(if tiled { h } else { rows }).ok_or("tiles are too large")?;
            let data = self.chunk(offset as usize, sizes.as_deref().and_then(|sizes| sizes.get(i)));
            let data = layout.decode(data?, size, stride, step, directory.big_endian)?;
            // Only now: a file that is too short for its first chunk costs no memory.
            out.resize(self.width * self.height * channels, 0);
            let columns = w.min(self.width - left);
            let wanted = if layout.planar { 1 } else { channels };
            for (y, row) in data.chunks_exact(stride).take(rows).enumerate() {
                let start = ((top + y) * self.width + left) * channels + plane;
                if layout.bits == 8 && !layout.planar && channels == step {
                    let bytes = columns * channels;
                    out[start..start + bytes].copy_from_slice(&row[..bytes]);
                    continue;
                }
                let pixels = out[start..].chunks_mut(channels).take(columns);
                for (x, pixel) in pixels.enumerate() {
                    for (c, out) in pixel.iter_mut().enumerate().take(wanted) {
                        *out = layout.sample(row, x * step + c, directory.big_endian);
                    }
                }
            }
        }
        Ok(out)
    }

    fn chunk(&self, offset: usize, size: Option<&u32>) -> Cause<&'a [u8]> {
        let data = self.bytes.get(offset..).ok_or("the file is truncated")?;
        match size {
            Some(&size) if size as usize > data.len() => Err("the file is truncated".into()),
            Some(&size) => Ok(&data[..size as usize]),
            None => Ok(data),
        }
    }

    /// Turns `pixels` as the orientation says.
    fn turn(&self, pixels: &[u8], out: &mut [u8]) {
        let (right, bottom) = (self.width - 1, self.height - 1);
        let columns = self.shape().1 as usize;
        for (i, rgb) in out.chunks_exact_mut(3).enumerate() {
            let (x, y) = (i % columns, i / columns);
            let (x, y) = match self.orientation {
                2 => (right - x, y),
                3 => (right - x, bottom - y),
                4 => (x, bottom - y),
                5 => (y, x),
                6 => (y, bottom - x),
                7 => (right - y, bottom - x),
                8 => (right - y, x),
                _ => (x, y),
            };
            rgb.copy_from_slice(&pixels[(y * self.width + x) * 3..][..3]);
        }
    }
}

impl Layout {
    /// A strip's or tile's bytes, with predictions resolved.
    fn decode(
        &self,
        data: &[u8],
        size: usize,
        stride: usize,
        step: usize,
        big_endian: bool,
    ) -> Cause<Vec<u8>> {
        let mut data = if self.reversed {
            let reversed: Vec<u8> = data.iter().map(|byte| byte.reverse_bits()).collect();
            self.compression.decode(&reversed, size)?
        } else {
            self.compression.decode(data, size)?
        };
        if self.predictor {
            for row in data.chunks_exact_mut(stride) {
                if self.bits == 8 {
                    for i in step..row.len() {
                        row[i] = row[i].wrapping_add(row[i - step]);
                    }
                    continue;
                }
                let in_order = |value: u16| if big_endian { value.swap_bytes() } else { value };
                for i in (2 * step..row.len() - 1).step_by(2) {
                    let value = |at: usize| in_order(u16::from_le_bytes([row[at], row[at + 1]]));
                    let sum = value(i).wrapping_add(value(i - 2 * step));
                    row[i..i + 2].copy_from_slice(&in_order(sum).to_le_bytes());
                }
            }
        }
        Ok(data)
    }

    /// Sample `i` of a row, of 8 bits: grey of 16 bits is clipped, colour keeps its high byte, and grey
    /// of less is widened, all as in Pillow.
    fn sample(&self, row: &[u8], i: usize, big_endian: bool) -> u8 {
        match self.bits {
            8 => row[i],
            16 => {
                let (mut high, mut low) = (row[2 * i], row[2 * i + 1]);
                if !big_endian {
                    (high, low) = (low, high);
                }
                match self.color {
                    Color::Grey { .. } if high == 0 => low,
                    Color::Grey { .. } => 255,
                    _ => high,
                }
            }
            bits => {
                let max = 0xFF >> (8 - bits);
                let value = row[i * bits / 8] >> (8 - bits - i * bits % 8) & max;
                if matches!(self.color, Color::Palette(_)) { value } else { value * (255 / max) }
            }
        }
    }
}

impl Color {
    fn channels(&self) -> usize {
        match self {
            Self::Grey { .. } | Self::Palette(_) => 1,
            Self::Rgb => 3,
            Self::Premultiplied | Self::Cmyk => 4,
        }
    }

    /// Interleaved samples to RGB.
    fn convert(&self, samples: &[u8], rgb: &mut [u8]) {
        match self {
            Self::Cmyk => return to_rgb(samples, rgb),
            Self::Rgb => return rgb.copy_from_slice(samples),
            _ => {}
        }
        for (samples, rgb) in samples.chunks_exact(self.channels()).zip(rgb.chunks_exact_mut(3)) {
            rgb.copy_from_slice(&self.rgb(samples));
        }
    }

    fn rgb(&self, samples: &[u8]) -> [u8; 3] {
        match self {
            Self::Grey { inverted: true } => [255 - samples[0]; 3],
            Self::Grey { inverted: false } => [samples[0]; 3],
            Self::Palette(colors) => colors[usize::from(samples[0])],
            Self::Premultiplied => {
                let alpha = u32::from(samples[3]);
                let part = |c: u8| (u32::from(c) * 255).checked_div(alpha).unwrap_or(0).min(255);
                [samples[0], samples[1], samples[2]].map(|c| part(c) as u8)
            }
            Self::Rgb | Self::Cmyk => [samples[0], samples[1], samples[2]],
        }
    }
}
