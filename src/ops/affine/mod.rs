//! Pillow's `Image.transform(AFFINE)` and `Image.rotate`, within the image's own size.
//!
//! A copy of the image with its three channels side by side is looked up in, its edges repeated, so that
//! no tap is out of bounds; per output row the span that lies inside the image is found first, so that
//! the inner loops test nothing. All coordinates are f64, as Pillow's, and without fused operations.

mod coordinates;
mod kernel;
mod nearest;
mod smooth;

use multiversion::multiversion;

use super::{Interpolation, Sampling};
use kernel::Smooth;

/// A pixel, its channels side by side, and a byte that makes it a power of two.
type Pixel = [u8; 4];

/// How far the copy reaches beyond the image on each side: what bicubic looks up.
const PAD: usize = 2;

/// What transforms reuse.
#[derive(Debug, Default)]
pub struct Buffers {
    source: Vec<Pixel>,
    line: Vec<Pixel>,
    places: coordinates::Places,
    columns: Vec<u32>,
    rows: Vec<(usize, std::ops::Range<usize>, usize)>,
    plane: Vec<u8>,
}

impl Buffers {
    /// Pillow's `transform(size, AFFINE, matrix, filter, fillcolor=fill)`.
    pub fn transform(
        &mut self,
        matrix: &[f64; 6],
        sampling: Sampling,
        size: (usize, usize),
        planes: &mut [u8],
    ) {
        let [r, g, b] = sampling.fill;
        let fill = [r, g, b, 0];
        match sampling.filter {
            Interpolation::Nearest => self.nearest(matrix, fill, size, planes),
            Interpolation::Bilinear => self.smooth(matrix, fill, size, planes, Smooth::Bilinear),
            Interpolation::Bicubic => self.smooth(matrix, fill, size, planes, Smooth::Bicubic),
        }
    }

    /// Pillow's `rotate(degrees, filter, fillcolor=fill)`.
    ///
    /// Multiples of a right angle that keep the shape only move pixels. Else the matrix is that of the
    /// turn by `-degrees` about the centre, sine and cosine rounded to 15 decimals.
    pub fn rotate(
        &mut self,
        degrees: f64,
        sampling: Sampling,
        size: (usize, usize),
        planes: &mut [u8],
    ) {
        let (height, width) = size;
        // Python's %: the divisor's sign.
        let degrees = degrees.rem_euclid(360.0);
        let quarters = if degrees == 0.0 || degrees == 180.0 {
            Some(degrees)
        } else {
            Some(degrees).filter(|d| (*d == 90.0 || *d == 270.0) && height == width)
        };
        if let Some(degrees) = quarters {
            if degrees != 0.0 {
                self.load(size, planes);
                self.turn(degrees, size, planes);
            }
            return;
        }
        // The system's sine and cosine, as Python's.
        let angle = -degrees.to_radians();
        let (cos, sin) = (round15(angle.cos()), round15(angle.sin()));
        let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
        let matrix =
            [cos, sin, cos * -x + sin * -y + 0.0 + x, -sin, cos, -sin * -x + cos * -y + 0.0 + y];
        self.transform(&matrix, sampling, size, planes);
    }

    /// Turns by 90, 180 or 270 degrees counter-clockwise.
    fn turn(&self, degrees: f64, (height, width): (usize, usize), planes: &mut [u8]) {
        let stride = width + 2 * PAD;
        let pixel = |y: usize, x: usize| self.source[(y + PAD) * stride + x + PAD];
        let (last_y, last_x) = (height - 1, width - 1);
        for (channel, plane) in planes.chunks_exact_mut(height * width).enumerate() {
            for (y, row) in plane.chunks_exact_mut(width).enumerate() {
                for (x, v) in row.iter_mut().enumerate() {
                    let from = if degrees == 90.0 {
                        pixel(x, last_x - y)
                    } else if degrees == 180.0 {
                        pixel(last_y - y, last_x - x)
                    } else {
                        pixel(last_y - x, y)
                    };
                    *v = from[channel];
                }
            }
        }
    }

    /// Copies the planes into `source`, with their edges repeated.
    fn load(&mut self, (height, width): (usize, usize), planes: &[u8]) {
        let stride = width + 2 * PAD;
        self.source.resize((height + 2 * PAD) * stride, [0; 4]);
        self.line.resize(width, [0; 4]);
        let (r, rest) = planes.split_at(height * width);
        let (g, b) = rest.split_at(height * width);
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

/// Lets `write` fill the line of each output row, and writes it into the planes.
fn each_row(
    line: &mut [Pixel],
    (height, width): (usize, usize),
    planes: &mut [u8],
    mut write: impl FnMut(usize, &mut [Pixel]),
) {
    let (r, rest) = planes.split_at_mut(height * width);
    let (g, b) = rest.split_at_mut(height * width);
    for y in 0..height {
        write(y, line);
        let part = y * width..(y + 1) * width;
        separate(line, [&mut r[part.clone()], &mut g[part.clone()], &mut b[part]]);
    }
}

/// Three rows to one of pixels.
#[multiversion(targets = "simd")]
fn join(r: &[u8], g: &[u8], b: &[u8], line: &mut [Pixel]) {
    for (((pixel, &r), &g), &b) in line.iter_mut().zip(r).zip(g).zip(b) {
        *pixel = (u32::from(r) | u32::from(g) << 8 | u32::from(b) << 16).to_le_bytes();
    }
}

/// A row of pixels to three.
#[multiversion(targets = "simd")]
fn separate(line: &[Pixel], [r, g, b]: [&mut [u8]; 3]) {
    for (((pixel, r), g), b) in line.iter().zip(r).zip(g).zip(b) {
        let pixel = u32::from_le_bytes(*pixel);
        [*r, *g, *b] = [pixel as u8, (pixel >> 8) as u8, (pixel >> 16) as u8];
    }
}

/// Python's `round(value, 15)`: to the nearest decimal, exactly.
fn round15(value: f64) -> f64 {
    use std::io::Write;
    let mut digits = [0u8; 32];
    let mut rest = &mut digits[..];
    let written = write!(rest, "{value:.15}").is_ok();
    let len = 32 - rest.len();
    let text = std::str::from_utf8(&digits[..len]).ok().filter(|_| written);
    text.and_then(|text| text.parse().ok()).unwrap_or(value)
}
