//! The nearest pixel under any matrix, in Pillow's fixed point.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vbmi;
#[cfg(target_arch = "x86_64")]
mod blocks;
mod portable;

use super::super::padded::Pixel;
use super::fixed::Fixed;
use crate::image::Planes;
use crate::simd::{Isa, Simd};
#[cfg(target_arch = "x86_64")]
use blocks::{BANDS, Layout};

/// The instruction sets that the kernel is written for, best first.
pub const ISAS: &[Isa] = &[Isa::Avx512Vbmi, Isa::Avx2];

/// The buffers of all versions.
#[derive(Debug, Default)]
pub struct Buffers {
    /// Those of blocks.
    #[cfg(target_arch = "x86_64")]
    blocks: blocks::Buffers,
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
        Isa::Avx512Vbmi => match Layout::new::<avx512vbmi::Vbmi>(map, planes) {
            // SAFETY: the machine has what `simd` names.
            Some(layout) => unsafe {
                avx512vbmi::transform(&layout, fill, planes, &mut buffers.blocks);
            },
            None => portable::transform(map, fill, planes, buffers),
        },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => match Layout::new::<avx2::Avx2<BANDS>>(map, planes) {
            // SAFETY: as above.
            Some(layout) => unsafe {
                avx2::transform(&layout, fill, planes, &mut buffers.blocks);
            },
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

    /// Rotations, shears and others, about the middle of the image or far from it.
    fn inputs() -> impl Strategy<Value = ([f64; 6], (usize, usize), u64)> {
        let place = || prop_oneof![-40.0..40.0f64, -400.0..400.0f64, -32_000.0..32_000.0f64];
        let step = || prop_oneof![-1.2..1.2f64, (-1..2).prop_map(f64::from), -2.5..2.5f64];
        let turn = (0.0..360.0f64, place(), place()).prop_map(|(angle, c, f)| {
            let (sin, cos) = angle.to_radians().sin_cos();
            [cos, sin, c, -sin, cos, f]
        });
        let other = (step(), step(), place(), step(), step(), place())
            .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f]);
        (prop_oneof![turn, other], (1usize..90, 1usize..90), any::<u64>())
    }

    proptest! {
        #[test]
        fn every_version_is_pillows((matrix, size, seed) in inputs()) {
            let (height, width) = size;
            let data = picture(size, seed);
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
