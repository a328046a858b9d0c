//! Look-up tables of 256 values, and the histograms that some of them are made from.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vbmi;
mod histogram;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

pub use histogram::{Pairs, histogram};

use crate::simd::{Isa, Simd};

/// The instruction sets that [`map`] is written for, best first.
const ISAS: &[Isa] = &[Isa::Avx512Vbmi, Isa::Avx2, Isa::Neon];

/// Whether [`map`] looks up many values at once on this machine. Otherwise a simple computation is
/// faster than a look-up.
pub fn is_vectorised() -> bool {
    Simd::best(ISAS) != Simd::PORTABLE
}

/// Replaces each value by its entry in `table`.
pub fn map(plane: &mut [u8], table: &[u8; 256]) {
    map_with(Simd::best(ISAS), plane, table);
}

fn map_with(simd: Simd, plane: &mut [u8], table: &[u8; 256]) {
    match simd.isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has what `simd` names.
        Isa::Avx512Vbmi => unsafe { avx512vbmi::map(plane, table) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::map(plane, table) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::Neon => unsafe { neon::map(plane, table) },
        Isa::Portable => portable::map(plane, table),
        isa => unreachable!("no version for {isa:?}"),
    }
}

/// As [`map`], for a table of which entry `v` is about `slope * v + offset`, truncated and clamped.
pub fn map_line(plane: &mut [u8], table: &[u8; 256], slope: f64, offset: f64) {
    map_line_with(Simd::best(ISAS), plane, table, slope, offset);
}

#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(unused_variables, reason = "only AVX2 computes the line")
)]
fn map_line_with(simd: Simd, plane: &mut [u8], table: &[u8; 256], slope: f64, offset: f64) {
    match simd.isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has what `simd` names.
        Isa::Avx2 if unsafe { avx2::map_line(plane, table, slope, offset) } => {}
        _ => map_with(simd, plane, table),
    }
}

/// Replaces each value by its entry in `table`, and returns the [`histogram`] of another plane.
///
/// With AVX2 the values are looked up between the increments, which leave most of the machine idle.
pub fn map_and_count(
    plane: &mut [u8],
    table: &[u8; 256],
    counted: &[u8],
    pairs: &mut Pairs,
) -> [u32; 256] {
    map_and_count_with(Simd::best(ISAS), plane, table, counted, pairs)
}

fn map_and_count_with(
    simd: Simd,
    plane: &mut [u8],
    table: &[u8; 256],
    counted: &[u8],
    pairs: &mut Pairs,
) -> [u32; 256] {
    match simd.isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has what `simd` names.
        Isa::Avx2 if plane.len() == counted.len() => unsafe {
            avx2::map_and_count(plane, table, counted, pairs)
        },
        _ => {
            map_with(simd, plane, table);
            histogram(counted, pairs)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ISAS, Pairs, Simd, histogram, map_and_count_with, map_line_with, map_with};
    use crate::ops::blend::Blend;

    fn counts(plane: &[u8]) -> [u32; 256] {
        let mut counts = [0; 256];
        plane.iter().for_each(|&v| counts[usize::from(v)] += 1);
        counts
    }

    /// Values that repeat in `period`.
    fn plane(len: usize, period: usize) -> Vec<u8> {
        (0..len).map(|i| ((i % period).wrapping_mul(0x9E37_79B9) >> 8) as u8).collect()
    }

    #[test]
    fn values_of_large_planes_are_counted() {
        let table: [u8; 256] = std::array::from_fn(|v| (v * 7 + 1) as u8);
        let mut pairs = Pairs::default();
        for len in [32_767, 32_768, 32_769, 50_176, 65_535, 65_536, 65_537, 98_304, 150_000] {
            for period in [1, 2, 5, 1000, len] {
                let counted = plane(len, period);
                let expected = counts(&counted);
                assert_eq!(histogram(&counted, &mut pairs), expected, "{len} {period}");
                let other = plane(len, 300);
                let looked_up: Vec<u8> = other.iter().map(|&v| table[usize::from(v)]).collect();
                for simd in Simd::available(ISAS) {
                    let mut mapped = other.clone();
                    let counts =
                        map_and_count_with(simd, &mut mapped, &table, &counted, &mut pairs);
                    assert_eq!(counts, expected, "{len} {period} {}", simd.name());
                    assert!(mapped == looked_up, "{len} {}", simd.name());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_value_is_mapped(
            plane in prop::collection::vec(any::<u8>(), 0..400),
            other in prop::collection::vec(any::<u8>(), 0..400),
            table in prop::array::uniform32(any::<u8>()),
        ) {
            let table: [u8; 256] =
                std::array::from_fn(|i| table[i % 32].wrapping_add((i / 32) as u8));
            let expected: Vec<u8> = plane.iter().map(|&v| table[usize::from(v)]).collect();
            let mut pairs = Pairs::default();
            for simd in Simd::available(ISAS) {
                let mut mapped = plane.clone();
                map_with(simd, &mut mapped, &table);
                prop_assert_eq!(&mapped, &expected, "{}", simd.name());
                let as_long: Vec<u8> = plane.iter().map(|v| v.wrapping_mul(3)).collect();
                for other in [&other, &as_long] {
                    let mut mapped = plane.clone();
                    let counted = map_and_count_with(simd, &mut mapped, &table, other, &mut pairs);
                    prop_assert_eq!(&mapped, &expected, "{}", simd.name());
                    prop_assert_eq!(counted, counts(other));
                }
            }
        }

        #[test]
        fn lines_are_mapped(
            plane in prop::collection::vec(any::<u8>(), 0..400),
            from: u8,
            factor in prop_oneof![0f32..3.0, -200f32..200.0, (0..30).prop_map(|n| n as f32 / 10.0)],
            wrong: bool,
        ) {
            let blend = Blend::new(factor);
            let table: [u8; 256] = std::array::from_fn(|v| blend.of(from, v as u8));
            let expected: Vec<u8> = plane.iter().map(|&v| table[usize::from(v)]).collect();
            let slope = f64::from(factor) + if wrong { 0.01 } else { 0.0 };
            let offset = f64::from(from) * (1.0 - f64::from(factor));
            for simd in Simd::available(ISAS) {
                let mut mapped = plane.clone();
                map_line_with(simd, &mut mapped, &table, slope, offset);
                prop_assert_eq!(&mapped, &expected, "{}", simd.name());
            }
        }

        #[test]
        fn every_value_is_counted(plane in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(histogram(&plane, &mut Pairs::default()), counts(&plane));
        }
    }
}
