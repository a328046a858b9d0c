//! The nearest pixel under any matrix, in Pillow's fixed point.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

use super::super::padded::Pixel;
use super::fixed::Fixed;
use crate::image::Planes;
use crate::simd::{Isa, Simd};

/// The instruction sets that the kernel is written for, best first.
pub const ISAS: &[Isa] = &[Isa::Avx2];

/// The buffers of all versions.
#[derive(Debug, Default)]
pub struct Buffers {
    /// The planes of the image, with margins.
    #[cfg(target_arch = "x86_64")]
    planes: Vec<u8>,
    /// The image as pixels, with margins.
    pixels: Vec<Pixel>,
    /// One output row.
    line: Vec<Pixel>,
    /// The index in `pixels` of each pixel of a row.
    indices: Vec<u32>,
}

impl Buffers {
    /// Those for the image as pixels and for an output row.
    pub fn pixels(&mut self) -> (&mut Vec<Pixel>, &mut Vec<Pixel>) {
        (&mut self.pixels, &mut self.line)
    }
}

/// Replaces each pixel by the one that `map` assigns to it.
pub fn transform(
    simd: Simd,
    map: &Fixed,
    fill: Pixel,
    planes: &mut Planes<'_>,
    buffers: &mut Buffers,
) {
    match simd.isa() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => match avx2::Window::new(map, planes.height(), planes.width()) {
            // SAFETY: the machine has what `simd` names.
            Some(window) => unsafe { avx2::transform(&window, fill, planes, &mut buffers.planes) },
            None => portable::transform(map, fill, planes, buffers),
        },
        Isa::Portable => portable::transform(map, fill, planes, buffers),
        isa => unreachable!("no version for {isa:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::oracle::{fixed, picture};
    use super::*;

    fn inputs() -> impl Strategy<Value = ([f64; 6], (usize, usize), u64)> {
        let turn = (0.0..360.0f64, -40.0..40.0f64, -40.0..40.0f64).prop_map(|(angle, c, f)| {
            let (sin, cos) = angle.to_radians().sin_cos();
            [cos, sin, c, -sin, cos, f]
        });
        let other = prop::array::uniform6(-1.2..1.2f64);
        (prop_oneof![turn, other], (1usize..70, 1usize..70), any::<u64>())
    }

    proptest! {
        #[test]
        fn every_version_is_pillows((matrix, size, seed) in inputs()) {
            let (height, width) = size;
            let data = picture(size, seed);
            // Most places inside.
            let [a, b, c, d, e, f] = matrix;
            let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
            let map =
                Fixed::new(&[a, b, c + x - a * x - b * y, d, e, f + y - d * x - e * y]);
            let fill = [10, 20, 30, 0];
            let expected = fixed(&map, fill, size, &data);
            let mut buffers = Buffers::default();
            for simd in Simd::available(ISAS) {
                let mut ours = data.clone();
                let mut planes = Planes::new((height as u32, width as u32), &mut ours);
                transform(simd, &map, fill, &mut planes, &mut buffers);
                prop_assert_eq!(&ours, &expected, "{}", simd.name());
            }
        }
    }
}
