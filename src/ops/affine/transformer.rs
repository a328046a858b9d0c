//! [`Transformer`]: the buffers of affine transforms, and the loop over output rows.

use std::ops::Range;

use multiversion::multiversion;

use super::coordinates::Places;
use super::padded::Pixel;
use crate::image::Planes;

/// Transforms images, and keeps its buffers between them.
#[derive(Debug, Default)]
pub struct Transformer {
    /// The padded copy of the image.
    pub(super) source: Vec<Pixel>,
    /// One output row.
    pub(super) line: Vec<Pixel>,
    pub(super) places: Places,
    /// One input column, or one index into `source`, per output column.
    pub(super) columns: Vec<u32>,
    pub(super) pieces: Vec<Piece>,
    /// A copy of one plane.
    pub(super) plane: Vec<u8>,
}

/// An output row that is a piece of an input row.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// The input row.
    pub row: usize,
    /// The input column of the first pixel.
    pub first: usize,
    /// The output columns. All others are outside the image.
    pub span: Range<usize>,
}

/// Calls `write(y, line)` for each output row, and writes the line that it fills into the planes.
pub fn each_row(
    line: &mut Vec<Pixel>,
    planes: &mut Planes<'_>,
    mut write: impl FnMut(usize, &mut [Pixel]),
) {
    let (height, width) = (planes.height(), planes.width());
    let [r, g, b] = planes.channels();
    line.resize(width, [0; 4]);
    for y in 0..height {
        write(y, line);
        let part = y * width..(y + 1) * width;
        separate(line, [&mut r[part.clone()], &mut g[part.clone()], &mut b[part]]);
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
