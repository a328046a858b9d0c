//! In plain Rust: pixels are looked up one by one, by indices that are computed for a whole row.

use multiversion::multiversion;

use super::super::super::padded::{PAD, Pixel, pad};
use super::super::super::rows::each_row;
use super::super::fixed::Fixed;
use super::Buffers;
use crate::image::Planes;
use crate::memory;

/// As [`super::transform`].
pub fn transform(map: &Fixed, fill: Pixel, planes: &mut Planes<'_>, buffers: &mut Buffers) {
    let (height, width) = (planes.height(), planes.width());
    let Buffers { pixels, line, indices, .. } = buffers;
    pad(planes, pixels);
    let stride = width + 2 * PAD;
    each_row(line, planes, |y, line| {
        let span = map.span(y, (height, width));
        line[..span.start].fill(fill);
        line[span.end..].fill(fill);
        memory::resize(indices, span.len(), 0);
        // Inside the image, coordinates are not negative. They fit, since its sides are at most
        // 2^15.
        let (x, y) = map.at(span.start, y);
        let right = (map.right.0 as i32, map.right.1 as i32);
        write_indices((x as i32, y as i32), right, stride, indices);
        for (pixel, &at) in line[span].iter_mut().zip(&*indices) {
            *pixel = pixels[at as usize];
        }
    });
}

/// The indices, in the padded copy, of the pixel at `(x, y)` and of those at steps of `right` from
/// it.
#[multiversion(targets = "simd")]
fn write_indices((x, y): (i32, i32), right: (i32, i32), stride: usize, indices: &mut [u32]) {
    let (stride, pad) = (stride as i32, PAD as i32);
    for (i, at) in indices.iter_mut().enumerate() {
        let x = x.wrapping_add((i as i32).wrapping_mul(right.0));
        let y = y.wrapping_add((i as i32).wrapping_mul(right.1));
        *at = (((y >> 16) + pad) * stride + (x >> 16) + pad) as u32;
    }
}
