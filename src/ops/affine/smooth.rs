//! Bilinear and bicubic: row by row, with the kernel that the transform needs and the machine allows.

use super::coordinates::{Map, Places};
use super::{PAD, Pixel, Transformer, each_row, portable};
use crate::image::Planes;

/// Writes the pixels at `places` of `source`, whose rows are `stride` apart, into `line`.
pub type Kernel = fn(source: &[Pixel], stride: usize, places: &Places, line: &mut [Pixel]);

/// The kernels of a filter.
pub struct Kernels {
    /// In both directions.
    pub both: Kernel,
    /// Along the row only.
    pub along_x: Kernel,
    /// Along the column only.
    pub along_y: Kernel,
}

impl Transformer {
    /// Transforms with bilinear or bicubic interpolation.
    ///
    /// A transform that lies on the input's rows or columns is interpolated in the other direction
    /// only: between pixels 0 apart either formula gives the first of them, exactly.
    pub(super) fn smooth(
        &mut self,
        matrix: &[f64; 6],
        fill: Pixel,
        planes: &mut Planes<'_>,
        kernels: Kernels,
    ) {
        let (height, width) = (planes.height(), planes.width());
        let map = Map { matrix, height, width };
        let kernel = match map.aligned() {
            (_, true) => kernels.along_x,
            (true, false) => kernels.along_y,
            (false, false) => kernels.both,
        };
        self.load(planes);
        let Self { source, line, places, .. } = self;
        let stride = width + 2 * PAD;
        each_row(line, planes, |y, line| {
            let span = map.span(y);
            map.places(y, span.clone(), places);
            line[..span.start].fill(fill);
            line[span.end..].fill(fill);
            kernel(source, stride, places, &mut line[span]);
        });
    }
}

/// The bilinear kernels of this machine.
pub fn bilinear() -> Kernels {
    #[cfg(target_arch = "x86_64")]
    if let Some(kernels) = super::x86::bilinear() {
        return kernels;
    }
    portable::BILINEAR
}

/// The bicubic kernels of this machine.
pub fn bicubic() -> Kernels {
    #[cfg(target_arch = "x86_64")]
    if let Some(kernels) = super::x86::bicubic() {
        return kernels;
    }
    portable::BICUBIC
}
