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

    use super::*;

    /// Pillow's `affine_fixed`, pixel by pixel.
    fn oracle(map: &Fixed, fill: Pixel, (height, width): (usize, usize), data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for channel in 0..3 {
            for y in 0..height {
                for x in 0..width {
                    let (x, y) = map.at(x, y);
                    let (x, y) = (x >> 16, y >> 16);
                    let inside = (0..width as i64).contains(&x) && (0..height as i64).contains(&y);
                    let at = |()| (channel * height + y as usize) * width + x as usize;
                    out.push(inside.then_some(()).map_or(fill[channel], |u| data[at(u)]));
                }
            }
        }
        out
    }

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
            let data: Vec<u8> = (0..3 * height as u64 * width as u64)
                .map(|i| ((i ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
                .collect();
            // Most places inside.
            let [a, b, c, d, e, f] = matrix;
            let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
            let map =
                Fixed::new(&[a, b, c + x - a * x - b * y, d, e, f + y - d * x - e * y]);
            let fill = [10, 20, 30, 0];
            let expected = oracle(&map, fill, size, &data);
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
