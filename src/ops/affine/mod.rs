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
//! mod ──▶ nearest ──────────────────────────▶ rows ──▶ padded
//!     └─▶ smooth ──▶ kernel ──▶ coordinates ──────────────┘
//!           └────────────────────────────────▶ rows
//! ```

mod coordinates;
mod kernel;
mod nearest;
mod padded;
mod rows;
mod smooth;

use super::interpolation::Interpolation;
use crate::image::Planes;
use kernel::Smooth;

/// Transforms images, and keeps its buffers between them.
#[derive(Debug, Default)]
pub struct Transformer {
    nearest: nearest::Buffers,
    smooth: smooth::Buffers,
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
        let smooth = match filter {
            Interpolation::Nearest => {
                return nearest::transform(matrix, fill, planes, &mut self.nearest);
            }
            Interpolation::Bilinear => Smooth::Bilinear,
            Interpolation::Bicubic => Smooth::Bicubic,
        };
        smooth::transform(matrix, fill, planes, smooth, &mut self.smooth);
    }
}
