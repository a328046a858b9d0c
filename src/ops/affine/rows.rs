//! The loop over output rows, for versions that make whole pixels.

use multiversion::multiversion;

use super::padded::Pixel;
use crate::image::Planes;
use crate::memory;

/// Calls `write(y, line)` for each output row, and writes the line that it fills into the planes.
pub fn each_row(
    line: &mut Vec<Pixel>,
    planes: &mut Planes<'_>,
    mut write: impl FnMut(usize, &mut [Pixel]),
) {
    let (height, width) = (planes.height(), planes.width());
    let [r, g, b] = planes.channels();
    memory::resize(line, width, [0; 4]);
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
