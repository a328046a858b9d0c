//! The copy of an image that the kernels read: the three channels of a pixel side by side, and the
//! edges repeated.
//!
//! One load fetches a pixel, and no tap is out of bounds.

use multiversion::multiversion;

use crate::image::Planes;
use crate::memory;

/// The channels of a pixel side by side, and a byte that makes it a power of two.
pub type Pixel = [u8; 4];

/// How far the copy reaches beyond the image on each side: what bicubic looks up.
pub const PAD: usize = 2;

/// A copy of an image with its edges repeated, so that it holds all taps of every place.
#[derive(Clone, Copy, Debug)]
pub struct Padded<'a> {
    /// All pixels, row by row.
    pub pixels: &'a [Pixel],
    /// The number of pixels between the starts of two rows.
    pub stride: usize,
}

/// Writes such a copy of `planes` into `pixels`, with rows of `width + 2 * PAD` pixels.
pub fn pad(planes: &mut Planes<'_>, pixels: &mut Vec<Pixel>) {
    let (height, width) = (planes.height(), planes.width());
    let stride = width + 2 * PAD;
    memory::resize(pixels, (height + 2 * PAD) * stride, [0; 4]);
    let [r, g, b] = planes.channels();
    for y in 0..height {
        let part = y * width..(y + 1) * width;
        let line = &mut pixels[(y + PAD) * stride..][..stride];
        let inner = &mut line[PAD..PAD + width];
        join(&r[part.clone()], &g[part.clone()], &b[part], inner);
        let (first, last) = (inner[0], inner[width - 1]);
        line[..PAD].fill(first);
        line[PAD + width..].fill(last);
    }
    for y in 0..PAD {
        pixels.copy_within(PAD * stride..(PAD + 1) * stride, y * stride);
        let last = (PAD + height - 1) * stride;
        pixels.copy_within(last..last + stride, (PAD + height + y) * stride);
    }
}

/// Makes one row of pixels from a row of each plane.
#[multiversion(targets = "simd")]
fn join(r: &[u8], g: &[u8], b: &[u8], line: &mut [Pixel]) {
    for (((pixel, &r), &g), &b) in line.iter_mut().zip(r).zip(g).zip(b) {
        *pixel = (u32::from(r) | u32::from(g) << 8 | u32::from(b) << 16).to_le_bytes();
    }
}
