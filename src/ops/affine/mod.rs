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
//! The kernels read a copy of the image with the three channels of a pixel side by side
//! ([`padded`]). All coordinates are f64 as in Pillow, without fused operations.
//!
//! The files import one another in one direction:
//!
//! ```text
//! mod ──▶ nearest ─────────▶ transformer ──▶ coordinates ──▶ padded
//!     └─▶ smooth ──▶ kernel ─────────────────────┘
//! ```

mod coordinates;
mod kernel;
mod nearest;
mod padded;
mod smooth;
mod transformer;

pub use transformer::Transformer;

use super::interpolation::Interpolation;
use crate::image::Planes;
use kernel::Smooth;

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
}
