//! Bilinear and bicubic transforms, row by row.

use super::coordinates::{Affine, Places};
use super::kernel::{self, Smooth};
use super::padded::{PAD, Padded, Pixel, pad};
use super::rows::each_row;
use crate::image::Planes;
use crate::simd::Simd;

/// What is kept between transforms.
#[derive(Debug, Default)]
pub struct Buffers {
    /// The padded copy of the image.
    source: Vec<Pixel>,
    /// One output row.
    line: Vec<Pixel>,
    places: Places,
}

/// Transforms with bilinear or bicubic interpolation.
///
/// A transform whose places all lie on rows or on columns of the input is interpolated in the other
/// direction only. At a distance of 0, both formulas give the first pixel exactly.
pub fn transform(
    matrix: &[f64; 6],
    fill: Pixel,
    planes: &mut Planes<'_>,
    filter: Smooth,
    buffers: &mut Buffers,
) {
    assert!(matrix.iter().all(|v| v.abs() < 1e12), "{matrix:?} is too large for coordinates");
    let (height, width) = (planes.height(), planes.width());
    let map = Affine { matrix, height, width };
    let axes = map.axes();
    let simd = Simd::best(kernel::ISAS);
    let Buffers { source, line, places } = buffers;
    pad(planes, source);
    let stride = width + 2 * PAD;
    each_row(line, planes, |y, line| {
        let span = map.span(y);
        map.places(y, span.clone(), places);
        line[..span.start].fill(fill);
        line[span.end..].fill(fill);
        let source = Padded { pixels: source, stride };
        kernel::interpolate(simd, filter, axes, source, places, &mut line[span]);
    });
}
