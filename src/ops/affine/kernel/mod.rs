//! Bilinear and bicubic interpolation of the pixels of a row.
//!
//! Pillow's formulas in f64, with its order of operations, since rounding depends on it. For taps
//! `a` and `b`, and `v1` to `v4`, at a distance `d` from the first or the second:
//!
//! ```text
//! bilinear   a + (b - a) * d
//! bicubic    v2 + d * (p2 + d * (p3 + d * p4))
//!            p2 = -v1 + v3    p3 = 2 * (v1 - v2) + v3 - v4    p4 = -v1 + v2 - v3 + v4
//! ```
//!
//! Both are applied along the rows first, then to their results along the column. The result is
//! truncated to an integer and clamped to a byte.
//!
//! The vector versions have the channels of a pixel side by side in a register. On x86-64 they
//! compute the differences of bytes in integers, which are exact, as they are in f64. From the
//! first multiplication by a fraction on, they do what Pillow does. Compilers don't find this form:
//! there, the portable version takes five times as long.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod estimates;
mod filter;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

pub use filter::Smooth;

use super::coordinates::{Axes, Places};
use super::padded::{Padded, Pixel};
use crate::simd::{Isa, Simd};

/// The instruction sets that the interpolation is written for, best first.
///
/// ARM's version needs NEON only. But cores without dot products (Cortex-A72 and earlier) take two
/// f64 apart again, so that the portable version is faster on them.
pub const ISAS: &[Isa] = &[Isa::Avx512, Isa::Avx2, Isa::NeonDot];

/// Writes the pixels at `places` of `source` into `line`.
///
/// # Panics
/// If `source` lacks a tap.
pub fn interpolate(
    simd: Simd,
    filter: Smooth,
    axes: Axes,
    source: Padded<'_>,
    places: &Places,
    line: &mut [Pixel],
) {
    match simd.isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has what `simd` names.
        Isa::Avx512 => unsafe { avx512::interpolate(filter, axes, source, places, line) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::interpolate(filter, axes, source, places, line) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::NeonDot => unsafe { neon::interpolate(filter, axes, source, places, line) },
        Isa::Portable => portable::interpolate(filter, axes, source, places, line),
        isa => unreachable!("no version for {isa:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIDE: usize = 12;

    /// A padded image, and places in it.
    fn inputs() -> impl Strategy<Value = (Vec<Pixel>, Places)> {
        // Noise, or one colour with a few other pixels.
        let spots = prop_oneof![20 => Just([200, 255, 0]), 1 => any::<[u8; 3]>()];
        let pixels = prop_oneof![
            prop::collection::vec(any::<[u8; 3]>(), SIDE * SIDE),
            prop::collection::vec(spots, SIDE * SIDE),
        ];
        let fraction = || prop_oneof![4 => 0.0..1.0, 1 => Just(0.0)];
        let place = (1..SIDE - 2, 1..SIDE - 2, fraction(), fraction());
        (pixels, prop::collection::vec(place, 0..40)).prop_map(|(pixels, list)| {
            let mut places = Places::default();
            for (x, y, dx, dy) in list {
                places.at.push((y * SIDE + x) as u32);
                places.dx.push(dx);
                places.dy.push(dy);
            }
            (pixels.into_iter().map(|[r, g, b]| [r, g, b, 0]).collect(), places)
        })
    }

    proptest! {
        #[test]
        fn every_version_is_the_portable_one((pixels, places) in inputs()) {
            let source = Padded { pixels: &pixels, stride: SIDE };
            for filter in [Smooth::Bilinear, Smooth::Bicubic] {
                for axes in [Axes::X, Axes::Y, Axes::Both] {
                    let run = |simd| {
                        let mut line = vec![[0; 4]; places.at.len()];
                        interpolate(simd, filter, axes, source, &places, &mut line);
                        line
                    };
                    let expected = run(Simd::PORTABLE);
                    for simd in Simd::available(ISAS) {
                        prop_assert_eq!(run(simd), &*expected, "{} {:?}", simd.name(), filter);
                    }
                }
            }
        }
    }
}
