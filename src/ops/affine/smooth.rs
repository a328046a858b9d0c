//! Bilinear and bicubic transforms, row by row.

use super::coordinates::Affine;
use super::kernel::{self, Smooth};
use super::padded::{PAD, Padded, Pixel, pad};
use super::transformer::{Transformer, each_row};
use crate::image::Planes;
use crate::simd::Simd;

impl Transformer {
    /// Transforms with bilinear or bicubic interpolation.
    ///
    /// A transform whose places all lie on rows or on columns of the input is interpolated in the
    /// other direction only. At a distance of 0, both formulas give the first pixel exactly.
    pub(super) fn smooth(
        &mut self,
        matrix: &[f64; 6],
        fill: Pixel,
        planes: &mut Planes<'_>,
        filter: Smooth,
    ) {
        let (height, width) = (planes.height(), planes.width());
        let map = Affine { matrix, height, width };
        let axes = map.axes();
        let simd = Simd::best(kernel::ISAS);
        pad(planes, &mut self.source);
        let Self { source, line, places, .. } = self;
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
}
