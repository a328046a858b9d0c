//! Pillow's `Image.transform(AFFINE)`, within the image's own size: what shears, translations and
//! rotations have in common.
//!
//! For each output row:
//!
//! 1. [`coordinates`] finds the span of columns whose source lies inside the image. The rest of the
//!    row is filled, so that the inner loops need no tests.
//! 2. It computes where in the image each pixel of the span lies.
//! 3. A kernel interpolates there ([`smooth`]), or [`nearest`] copies a pixel.
//!
//! The kernels read a copy of the image with the three channels of a pixel side by side: one load
//! fetches a pixel. The copy is two pixels larger on each side, with the edges repeated, so that no
//! tap is out of bounds. All coordinates are f64 as in Pillow, without fused operations.

mod coordinates;
mod kernel;
mod nearest;
mod smooth;

use multiversion::multiversion;

use super::Interpolation;
use crate::image::Planes;
use kernel::Smooth;

/// The channels of a pixel side by side, and a byte that makes it a power of two.
type Pixel = [u8; 4];

/// How far the copy reaches beyond the image on each side: what bicubic looks up.
const PAD: usize = 2;

/// Transforms images, and keeps its buffers between them.
#[derive(Debug, Default)]
pub struct Transformer {
    source: Vec<Pixel>,
    line: Vec<Pixel>,
    places: coordinates::Places,
    columns: Vec<u32>,
    pieces: Vec<nearest::Piece>,
    plane: Vec<u8>,
}

impl Transformer {
    /// Pillow's `transform(size, AFFINE, matrix, filter, fillcolor=fill)`.
    ///
    /// The matrix maps output to input: `x = m[0] x' + m[1] y' + m[2]`,
    /// `y = m[3] x' + m[4] y' + m[5]`.
    pub fn transform(
        &mut self,
        matrix: &[f64; 6],
        filter: Interpolation,
        fill: [u8; 3],
        planes: &mut Planes<'_>,
    ) {
        let [r, g, b] = fill;
        let fill = [r, g, b, 0];
        match filter {
            Interpolation::Nearest => self.nearest(matrix, fill, planes),
            Interpolation::Bilinear => self.smooth(matrix, fill, planes, Smooth::Bilinear),
            Interpolation::Bicubic => self.smooth(matrix, fill, planes, Smooth::Bicubic),
        }
    }

    /// Copies the planes into `source`, with their edges repeated.
    fn load(&mut self, planes: &mut Planes<'_>) {
        let (height, width) = (planes.height(), planes.width());
        let stride = width + 2 * PAD;
        self.source.resize((height + 2 * PAD) * stride, [0; 4]);
        self.line.resize(width, [0; 4]);
        let [r, g, b] = planes.channels();
        for y in 0..height {
            let part = y * width..(y + 1) * width;
            let line = &mut self.source[(y + PAD) * stride..][..stride];
            let inner = &mut line[PAD..PAD + width];
            join(&r[part.clone()], &g[part.clone()], &b[part], inner);
            let (first, last) = (inner[0], inner[width - 1]);
            line[..PAD].fill(first);
            line[PAD + width..].fill(last);
        }
        for y in 0..PAD {
            self.source.copy_within(PAD * stride..(PAD + 1) * stride, y * stride);
            let last = (PAD + height - 1) * stride;
            self.source.copy_within(last..last + stride, (PAD + height + y) * stride);
        }
    }
}

/// Calls `write(y, line)` for each output row, and writes the line that it fills into the planes.
fn each_row(
    line: &mut [Pixel],
    planes: &mut Planes<'_>,
    mut write: impl FnMut(usize, &mut [Pixel]),
) {
    let (height, width) = (planes.height(), planes.width());
    let [r, g, b] = planes.channels();
    for y in 0..height {
        write(y, line);
        let part = y * width..(y + 1) * width;
        separate(line, [&mut r[part.clone()], &mut g[part.clone()], &mut b[part]]);
    }
}

/// Makes one row of pixels from a row of each plane.
#[multiversion(targets = "simd")]
fn join(r: &[u8], g: &[u8], b: &[u8], line: &mut [Pixel]) {
    for (((pixel, &r), &g), &b) in line.iter_mut().zip(r).zip(g).zip(b) {
        *pixel = (u32::from(r) | u32::from(g) << 8 | u32::from(b) << 16).to_le_bytes();
    }
}

/// Writes one row of pixels to a row of each plane.
#[multiversion(targets = "simd")]
fn separate(line: &[Pixel], [r, g, b]: [&mut [u8]; 3]) {
    for (((pixel, r), g), b) in line.iter().zip(r).zip(g).zip(b) {
        let pixel = u32::from_le_bytes(*pixel);
        [*r, *g, *b] = [pixel as u8, (pixel >> 8) as u8, (pixel >> 16) as u8];
    }
}
